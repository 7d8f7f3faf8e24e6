"""Text that is safe to show, and lists of files."""

from __future__ import annotations

import re
import shlex
from collections.abc import Sequence

from gmmquant.system.paths import AnyPath
from gmmquant.system.printable import printable as printable


def command_line(arguments: Sequence[str]) -> str:
    """Return the command as it would be typed, without the names and passwords of servers."""
    return re.sub(r"://[^/@\s]*@", "://***@", shlex.join(["gmmquant", *arguments]))


def file_names(paths: Sequence[AnyPath], limit: int = 8) -> str:
    """Return the names of files and their folder. Above `limit`, all but the first ones and the last are counted."""
    names = [printable(path.name) for path in paths]
    if len(names) > limit:
        names = [*names[: limit - 1], f"{len(names) - limit} more", names[-1]]
    return f"{', '.join(names)} in {printable(str(paths[0].parent))}"
