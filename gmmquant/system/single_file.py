"""Write one file for a Python program: in one step, with errors that name it."""

from __future__ import annotations

import errno
from pathlib import Path

from gmmquant.errors import OutputError
from gmmquant.system.atomic import OutputSet
from gmmquant.system.paths import AnyPath
from gmmquant.system.printable import printable
from gmmquant.system.process import system_reason


def write_file(path: AnyPath, data: bytes) -> None:
    """Write `data`, replacing an existing file in one step; raise an `OutputError` if the system refuses."""
    name = printable(str(path))
    try:
        if isinstance(path, Path) and path.is_dir():
            raise IsADirectoryError(errno.EISDIR, "is a folder; use the name of a file")
        with OutputSet(overwrite=True) as outputs:
            outputs.stage(path, data)
            outputs.commit()
    except OSError as error:
        failure = OutputError(f"{name}: {system_reason(error)}")
        failure.errno, failure.filename = error.errno, str(path)
        raise failure from None
