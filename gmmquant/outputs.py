"""Writing files so that each final name is absent or complete, whatever happens in between."""

from __future__ import annotations

import contextlib
import fcntl
import os
import secrets
from collections.abc import Callable, Iterator
from concurrent.futures import Executor, Future, ThreadPoolExecutor
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from gmmquant.errors import OutputError

_PREFIX, _SUFFIX = ".gmmquant-", ".tmp"


class OutputSet:
    """The outputs of one picture: all of them appear under their names, or none does.

    As a context manager: `stage` writes a file, flushed to the disk, under a hidden temporary name in its folder;
    `commit` gives all of them their names. Leaving the context without `commit` removes what was staged, and an error
    inside `commit` what was renamed too.

    The first file staged in a folder is accompanied by a lock, a temporary itself, which tells other runs that this one
    lives: see `sweep_temporaries`.

    Parameters
    ----------
    overwrite : bool
        Whether a file that exists under a final name is replaced (a link is replaced, not written through) or is an
        `OutputError`.
    """

    def __init__(self, *, overwrite: bool) -> None:
        self._overwrite = overwrite
        self._locks: dict[Path, _Lock] = {}
        self._staged: list[tuple[Path, Path]] = []

    def stage(self, path: Path, data: bytes) -> None:
        """Write `data` to a temporary file beside `path`; an OSError of the system names `path`."""
        try:
            self._write(path, data)
        except OSError as error:
            error.filename = os.fspath(path)
            raise

    def _write(self, path: Path, data: bytes) -> None:
        folder = path.parent
        if folder not in self._locks:
            self._locks[folder] = _Lock(folder)
        temporary = folder / f"{_PREFIX}{self._locks[folder].token}-{len(self._staged)}{_SUFFIX}"
        self._staged.append((temporary, path))
        descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o666)
        try:
            view = memoryview(data)
            while view:
                view = view[os.write(descriptor, view) :]
            os.fsync(descriptor)
        finally:
            os.close(descriptor)

    def commit(self) -> None:
        """Give every staged file its final name."""
        renamed: list[Path] = []
        try:
            for temporary, path in self._staged:
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
        """Remove the temporaries that are left, the locks last."""
        for temporary, _ in self._staged:
            temporary.unlink(missing_ok=True)
        for lock in self._locks.values():
            lock.release()


class _AtOnce(Executor):
    """Does what it is given before it goes on."""

    def submit(self, function: Callable[..., Any], /, *args: Any, **kwargs: Any) -> Future[Any]:
        """Call the function; what it raises is raised."""
        done: Future[Any] = Future()
        done.set_result(function(*args, **kwargs))
        return done


@contextlib.contextmanager
def writing(*, in_background: bool) -> Iterator[Executor]:
    """Offer what encodes and writes files: a thread, so that the caller can go on, or at once.

    At once too where no thread can be started. What stops the caller does not wait for files that are not begun.
    """
    executor = ThreadPoolExecutor(1)
    try:
        if in_background:
            executor.submit(int).result()
    except RuntimeError:
        in_background = False
    if not in_background:
        yield _AtOnce()
        return
    try:
        yield executor
    finally:
        executor.shutdown(cancel_futures=True)


def sweep_temporaries(folder: Path) -> None:
    """Remove the temporaries that killed runs left in `folder`; those of living runs, whose lock is held, stay."""
    with contextlib.suppress(OSError):
        names = [name for name in os.listdir(folder) if name.startswith(_PREFIX) and name.endswith(_SUFFIX)]
        for token in {name.removeprefix(_PREFIX).removesuffix(_SUFFIX).partition("-")[0] for name in names}:
            lock = f"{_PREFIX}{token}{_SUFFIX}"
            with contextlib.suppress(OSError), _held(folder / lock):
                for name in names:
                    if name == lock or name.startswith(f"{_PREFIX}{token}-"):
                        os.unlink(folder / name)


class _Lock:
    """A locked temporary in a folder: it marks the temporaries that share its token as those of a living run."""

    def __init__(self, folder: Path) -> None:
        while True:
            self.token = secrets.token_hex(8)
            self._path = folder / f"{_PREFIX}{self.token}{_SUFFIX}"
            self._descriptor = os.open(self._path, os.O_RDWR | os.O_CREAT | os.O_EXCL, 0o666)
            try:
                fcntl.flock(self._descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
                if os.fstat(self._descriptor).st_nlink:
                    return
            except BlockingIOError:
                pass
            except OSError:  # a file system without locks: no sweep can take one either
                return
            os.close(self._descriptor)  # a sweep was faster and removes the newborn lock: take another token

    def release(self) -> None:
        """Remove the lock."""
        self._path.unlink(missing_ok=True)
        os.close(self._descriptor)


@contextlib.contextmanager
def _held(lock: Path) -> Iterator[None]:
    """Hold the lock of a run that has ended; an OSError if the run lives. A lock that is gone needs no holding."""
    try:
        descriptor = os.open(lock, os.O_RDWR | os.O_NOFOLLOW | os.O_NONBLOCK)
    except FileNotFoundError:
        yield
        return
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        yield
    finally:
        os.close(descriptor)


def _rename(temporary: Path, path: Path, *, overwrite: bool) -> None:
    """Give `temporary` the name `path` in one step; without `overwrite`, only if nothing has that name."""
    if overwrite:
        os.replace(temporary, path)
        return
    try:
        os.link(temporary, path)
    except FileExistsError:
        raise OutputError(f"{path.name} exists") from None
    except OSError:  # a file system without hard links
        if os.path.lexists(path):
            raise OutputError(f"{path.name} exists") from None
        os.replace(temporary, path)
