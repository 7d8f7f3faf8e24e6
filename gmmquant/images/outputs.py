"""Writing files so that each final name is absent or complete, whatever happens in between."""

from __future__ import annotations

import contextlib
import fcntl
import os
import secrets
from pathlib import Path
from types import TracebackType
from typing import Self

from gmmquant.errors import OutputError

_PREFIX, _SUFFIX = ".gmmquant-", ".tmp"


def exists_message(path: Path) -> str:
    """Say that an output exists, and what can be done."""
    return f"{path.name} exists; use --force to replace it or --skip-existing to keep it"


class OutputSet:
    """The outputs of one picture: all of them appear under their names, or none does.

    As a context manager: `stage` writes a file, flushed to the disk, under a hidden temporary name in its folder;
    `commit` gives all of them their names. Leaving the context without `commit` removes what was staged, and an error
    inside `commit` what was renamed too.

    Parameters
    ----------
    overwrite : bool
        Whether a file that exists under a final name is replaced (a link is replaced, not written through) or is an
        `OutputError`.
    """

    def __init__(self, *, overwrite: bool) -> None:
        self._overwrite = overwrite
        self._staged: list[tuple[Path, Path, int]] = []

    def stage(self, path: Path, data: bytes) -> None:
        """Write `data` to a temporary file beside `path`."""
        temporary, descriptor = _create_temporary(path.parent)
        self._staged.append((temporary, path, descriptor))
        view = memoryview(data)
        while view:
            view = view[os.write(descriptor, view) :]
        os.fsync(descriptor)

    def commit(self) -> None:
        """Give every staged file its final name."""
        renamed: list[Path] = []
        try:
            for temporary, path, _ in self._staged:
                _rename(temporary, path, overwrite=self._overwrite)
                renamed.append(path)
        except BaseException:
            if not self._overwrite:  # what was replaced cannot be brought back, so the new one stays
                for path in renamed:
                    path.unlink(missing_ok=True)
            raise

    def __enter__(self) -> Self:
        """Begin with nothing staged."""
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Remove the temporaries that are left."""
        for temporary, _, descriptor in self._staged:
            temporary.unlink(missing_ok=True)
            os.close(descriptor)


def sweep_temporaries(folder: Path) -> None:
    """Remove the temporaries that killed runs left in `folder`; those of living runs are locked, and stay."""
    with contextlib.suppress(OSError):
        for name in os.listdir(folder):
            if name.startswith(_PREFIX) and name.endswith(_SUFFIX):
                _remove_unlocked(folder / name)


def _remove_unlocked(path: Path) -> None:
    with contextlib.suppress(OSError):
        descriptor = os.open(path, os.O_RDWR | os.O_NOFOLLOW | os.O_NONBLOCK)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            path.unlink()
        finally:
            os.close(descriptor)


def _create_temporary(folder: Path) -> tuple[Path, int]:
    """Create and lock a new file in `folder`, with the permissions that the user's umask gives to new files."""
    while True:
        path = folder / f"{_PREFIX}{secrets.token_hex(8)}{_SUFFIX}"
        flags = os.O_RDWR | os.O_CREAT | os.O_EXCL
        descriptor = os.open(path, flags, 0o666)
        if _lock(descriptor):
            return path, descriptor
        os.close(descriptor)  # a sweep of another run was faster and removes the file: take another name


def _lock(descriptor: int) -> bool:
    """Lock a new temporary against sweeps; False if a sweep got hold of it first."""
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    except OSError:  # a file system without locks: a sweep cannot lock it either, and leaves it alone
        return True
    return os.fstat(descriptor).st_nlink > 0


def _rename(temporary: Path, path: Path, *, overwrite: bool) -> None:
    """Give `temporary` the name `path` in one step; without `overwrite`, only if nothing has that name."""
    if overwrite:
        os.replace(temporary, path)
        return
    try:
        os.link(temporary, path)
    except FileExistsError:
        raise OutputError(exists_message(path)) from None
    except OSError:  # a file system without hard links
        if os.path.lexists(path):
            raise OutputError(exists_message(path)) from None
        os.replace(temporary, path)
