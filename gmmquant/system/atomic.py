"""Atomic writes: each final name is absent or complete, whatever happens in between."""

from __future__ import annotations

import contextlib
import errno
import fcntl
import os
import secrets
from collections.abc import Callable, Iterator
from concurrent.futures import Executor, Future, ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from gmmquant.errors import OutputError, ParameterError
from gmmquant.system.filesystem import ask, entries, exists, is_folder, is_object_store
from gmmquant.system.paths import AnyPath, RemotePath
from gmmquant.system.process import signals_held

_PREFIX, _SUFFIX = ".gmmquant-", ".tmp"

# A run is considered alive for a day after it wrote a temporary to a remote storage.
_LIFE_SECONDS = 86_400


class OutputSet:
    """The outputs of one image, as a context manager: all of them are written, or none.

    `stage` adds a file, `commit` gives all files their final names. Leaving the context without `commit` removes the
    staged files; an error inside `commit` also removes those that already have their final names.

    On this machine a file is staged under a hidden temporary name in its folder, flushed to the disk, and then renamed.
    A lock beside the first file in a folder, also a temporary, marks the run as alive: see `sweep_temporaries`.

    A remote storage limits what can be guaranteed:

    - An object store writes an object at once, so staged data stays in memory until `commit`. A killed run leaves
      nothing behind.
    - Any other storage is treated as a file system: files are staged and moved, without locks or flushing. If a move
      cannot replace a file, the file is removed first.
    - If the storage cannot create a name exclusively, another run may take it between the check and the write, and is
      overwritten. If the connection fails for good inside `commit`, files with their final names may stay.

    Parameters
    ----------
    overwrite : bool
        Whether an existing file is replaced (a link itself, not its target) or raises an `OutputError`.
    keep : bool
        Whether, without `overwrite`, an existing file is kept and the staged one dropped.
    times : (int, int) or None
        Access and modification times of files on this machine, in nanoseconds since 1970.
    """

    def __init__(self, *, overwrite: bool, keep: bool = False, times: tuple[int, int] | None = None) -> None:
        if overwrite and keep:
            raise ParameterError("existing files cannot be both replaced and kept; give overwrite or keep, not both")
        self._overwrite, self._keep, self._times = overwrite, keep, times
        self._locks: dict[Path, _Lock] = {}
        self._token = secrets.token_hex(8)
        self._staged: list[_LocalFile | _MovedFile | _Object] = []

    def stage(self, path: AnyPath, data: bytes) -> None:
        """Stage `data` as the content of `path`; an OSError names `path`."""
        try:
            file = self._file(path)
            self._staged.append(file)
            file.write(data, self._times)
        except OSError as error:
            error.filename = str(path)
            raise

    def _file(self, path: AnyPath) -> _LocalFile | _MovedFile | _Object:
        number = len(self._staged)
        if isinstance(path, Path):
            folder = path.parent
            if folder not in self._locks:
                with signals_held():
                    self._locks[folder] = _Lock(folder)
            return _LocalFile(path, folder / f"{_PREFIX}{self._locks[folder].token}-{number}{_SUFFIX}")
        if is_object_store(path):
            return _Object(path)
        return _MovedFile(path, path.parent / f"{_PREFIX}{self._token}-{number}{_SUFFIX}")

    def commit(self) -> list[AnyPath]:
        """Give every staged file its final name; return these names, without those of files that were kept."""
        written: list[_LocalFile | _MovedFile | _Object] = []
        for file in self._staged:
            if isinstance(file, _LocalFile) and file.path.is_dir() and not file.path.is_symlink():
                raise ParameterError(f"{file.path.name} is a folder; move it, or give another --output")
        try:
            for file in self._staged:
                # A signal between the renaming and the list would leave a file.
                with signals_held() if isinstance(file, _LocalFile) else contextlib.nullcontext():
                    try:
                        file.appear(overwrite=self._overwrite)
                    except FileExistsError:
                        if not self._keep:
                            raise OutputError(f"{file.path.name} exists") from None
                    else:
                        written.append(file)
        except BaseException:
            if not self._overwrite:  # a replaced file cannot be restored, so the new one stays
                for file in written:
                    file.vanish()
            raise
        return [file.path for file in written]

    def __enter__(self) -> Self:
        """Start with nothing staged."""
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Remove the remaining temporaries, the locks last."""
        with contextlib.ExitStack() as stack:  # calls each, in reverse order, even if others fail
            for lock in self._locks.values():
                stack.callback(lock.release)
            for file in self._staged:
                stack.callback(file.discard)


# Each of the three kinds of file is written (in memory or under a temporary name), appears under its final name (a
# FileExistsError if that exists and is not replaced), vanishes again if others cannot appear, and is discarded.


@dataclass
class _LocalFile:
    """A file on this machine."""

    path: Path
    temporary: Path

    def write(self, data: bytes, times: tuple[int, int] | None) -> None:
        descriptor = os.open(self.temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o666)
        try:
            view = memoryview(data)
            while view:
                view = view[os.write(descriptor, view) :]
            if times is not None:
                os.utime(descriptor, ns=times)
            os.fsync(descriptor)
        finally:
            os.close(descriptor)

    def appear(self, *, overwrite: bool) -> None:
        if overwrite:
            os.replace(self.temporary, self.path)
            return
        try:
            os.link(self.temporary, self.path)
        except FileExistsError:
            raise
        except OSError:  # a file system without hard links
            if os.path.lexists(self.path):
                raise FileExistsError(self.path) from None
            os.replace(self.temporary, self.path)

    def vanish(self) -> None:
        self.path.unlink(missing_ok=True)

    def discard(self) -> None:
        self.temporary.unlink(missing_ok=True)


@dataclass
class _MovedFile:
    """A file in a remote file system."""

    path: RemotePath
    temporary: RemotePath
    is_temporary: bool = False

    def write(self, data: bytes, _times: tuple[int, int] | None) -> None:
        def send(system: Any, name: str) -> None:
            system.pipe_file(name, data)
            if (size := system.info(name)["size"]) != len(data):
                raise OSError(errno.EIO, f"only {size} of {len(data)} bytes arrived")

        self.is_temporary = True
        ask(self.temporary, send)

    def appear(self, *, overwrite: bool) -> None:
        if not overwrite and exists(self.path):
            raise FileExistsError(str(self.path))
        try:
            self._move()
        except OSError:
            if not overwrite or not exists(self.path) or is_folder(self.path):
                raise
            _remove(self.path)
            self._move()
        self.is_temporary = False

    def _move(self) -> None:
        def move(system: Any, name: str) -> None:
            system.mv(f"{name.rpartition('/')[0]}/{self.temporary.name}", name)

        ask(self.path, move)

    def vanish(self) -> None:
        _remove(self.path)

    def discard(self) -> None:
        if self.is_temporary:
            _remove(self.temporary)


@dataclass
class _Object:
    """An object in an object store."""

    path: RemotePath
    data: bytes = b""

    def write(self, data: bytes, _times: tuple[int, int] | None) -> None:
        self.data = data

    def appear(self, *, overwrite: bool) -> None:
        if not overwrite and exists(self.path):
            raise FileExistsError(str(self.path))
        ask(self.path, self._put if overwrite else self._create)

    def _put(self, system: Any, name: str) -> None:
        system.pipe_file(name, self.data)

    def _create(self, system: Any, name: str) -> None:
        try:
            system.pipe_file(name, self.data, mode="create")
        except FileExistsError:
            raise
        except Exception:  # a store without exclusive creation
            self._put(system, name)

    def vanish(self) -> None:
        _remove(self.path)

    def discard(self) -> None:
        self.data = b""


def _remove(path: RemotePath) -> None:
    """Remove a remote file if possible; an error here only follows another one."""
    with contextlib.suppress(OSError):
        ask(path, lambda system, name: system.rm_file(name))


class HeldSet:
    """Like an `OutputSet`, but holds one file in memory: the image for standard output."""

    def __init__(self) -> None:
        self.data: bytes | None = None

    def stage(self, path: AnyPath, data: bytes) -> None:
        """Hold a file; its path is ignored."""
        self.data = data

    def commit(self) -> list[AnyPath]:
        """Return an empty list, as no file is written."""
        return []

    def __enter__(self) -> Self:
        """Start with nothing."""
        return self

    def __exit__(self, *_: object) -> None:
        """Keep the data."""


class _SameThread(Executor):
    """Calls functions in the thread that submits them."""

    def submit(self, function: Callable[..., Any], /, *args: Any, **kwargs: Any) -> Future[Any]:
        """Call the function; its exceptions are raised at once."""
        done: Future[Any] = Future()
        done.set_result(function(*args, **kwargs))
        return done


@contextlib.contextmanager
def writing(*, in_background: bool) -> Iterator[Executor]:
    """Provide an executor for encoding and writing files: a thread, or the calling thread if none can be started.

    If the caller is stopped, files that are not started are not written.
    """
    executor = ThreadPoolExecutor(1)
    try:
        if in_background:
            executor.submit(int).result()
    except RuntimeError:
        in_background = False
    if not in_background:
        yield _SameThread()
        return
    try:
        yield executor
    finally:
        executor.shutdown(cancel_futures=True)


def sweep_temporaries(folder: AnyPath) -> None:
    """Remove the temporaries of killed runs from `folder`, but not those of live runs.

    On this machine a live run holds a lock. In a remote file system a run is considered alive for a day after it wrote
    the file, by the clocks of both. An object store has no temporaries.
    """
    with contextlib.suppress(OSError):
        if isinstance(folder, Path):
            _sweep_unlocked(folder)
        elif not is_object_store(folder):
            _sweep_old(folder)


def _sweep_unlocked(folder: Path) -> None:
    names = [name for name in os.listdir(folder) if name.startswith(_PREFIX) and name.endswith(_SUFFIX)]
    for token in {name.removeprefix(_PREFIX).removesuffix(_SUFFIX).partition("-")[0] for name in names}:
        lock = f"{_PREFIX}{token}{_SUFFIX}"
        with contextlib.suppress(OSError), _held(folder / lock):
            for name in names:
                if name == lock or name.startswith(f"{_PREFIX}{token}-"):
                    os.unlink(folder / name)


def _sweep_old(folder: RemotePath) -> None:
    from datetime import UTC, datetime  # for remote storages only

    for entry in entries(folder):
        path = entry.path
        if entry.is_file and path.name.startswith(_PREFIX) and path.name.endswith(_SUFFIX):
            with contextlib.suppress(OSError):
                written = ask(folder / path.name, lambda system, name: system.modified(name))
                written = written if written.tzinfo else written.replace(tzinfo=UTC)
                if (datetime.now(UTC) - written).total_seconds() > _LIFE_SECONDS:
                    _remove(folder / path.name)


class _Lock:
    """A locked temporary: the temporaries in its folder that share its token belong to a live run."""

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
            except OSError:  # a file system without locks, where a sweep cannot lock either
                return
            os.close(self._descriptor)  # a sweep was faster and removes the new lock: use another token

    def release(self) -> None:
        """Remove the lock."""
        self._path.unlink(missing_ok=True)
        os.close(self._descriptor)


@contextlib.contextmanager
def _held(lock: Path) -> Iterator[None]:
    """Hold the lock of a run that has ended, if the lock still exists; raise an OSError if the run is alive."""
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
