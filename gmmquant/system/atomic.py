"""Writing files so that each final name is absent or complete, whatever happens in between."""

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

# For so many seconds after it wrote a temporary elsewhere, a run is taken to be alive.
_LIFE = 86_400


class OutputSet:
    """The outputs of one image: all of them appear under their names, or none does.

    As a context manager: `stage` takes a file, `commit` gives all of them their names. Leaving the context without
    `commit` removes what was staged, and an error inside `commit` what got its name too.

    On this machine a file is staged under a hidden temporary name in its folder, flushed to the disk, and then renamed.
    The first file staged in a folder is accompanied by a lock, a temporary itself, which tells other runs that this one
    lives: see `sweep_temporaries`.

    Elsewhere as much is promised as the storage can keep:

    - An object store takes an object whole, so what is staged stays in memory until `commit` puts it. A run that is
      killed leaves nothing behind.
    - Any other is taken for a file system: files are staged and moved as here, but without locks, and they are in the
      storage when it says so, not flushed. Where a move cannot replace a file, that is removed first.
    - Where the storage has no way to create a name only if it is free, another run may take it between our look and
      our write, which then replaces it. If the connection fails for good inside `commit`, what got its name may stay.

    Parameters
    ----------
    overwrite : bool
        Whether a file that exists under a final name is replaced (a link is replaced, not written through) or is an
        `OutputError`.
    keep : bool
        Whether, without `overwrite`, a file that exists is left as it is, and the one staged for its name dropped.
    times : (int, int) or None
        Times of access and modification that files on this machine are given, in nanoseconds since 1970.
    """

    def __init__(self, *, overwrite: bool, keep: bool = False, times: tuple[int, int] | None = None) -> None:
        if overwrite and keep:
            raise ParameterError("what exists cannot be replaced and kept at once; give overwrite or keep, not both")
        self._overwrite, self._keep, self._times = overwrite, keep, times
        self._locks: dict[Path, _Lock] = {}
        self._token = secrets.token_hex(8)
        self._staged: list[_LocalFile | _MovedFile | _Object] = []

    def stage(self, path: AnyPath, data: bytes) -> None:
        """Take `data` as what `path` is to hold; an OSError of the system names `path`."""
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
        """Give every staged file its final name; return those names, without those of files that were kept."""
        written: list[_LocalFile | _MovedFile | _Object] = []
        for file in self._staged:  # before any appears, as all do or none
            if isinstance(file, _LocalFile) and file.path.is_dir() and not file.path.is_symlink():
                raise ParameterError(f"{file.path.name} is a folder; move it, or give another --output")
        try:
            for file in self._staged:
                # A signal between the two would leave a file that is not known to have appeared.
                with signals_held() if isinstance(file, _LocalFile) else contextlib.nullcontext():
                    try:
                        file.appear(overwrite=self._overwrite)
                    except FileExistsError:
                        if not self._keep:
                            raise OutputError(f"{file.path.name} exists") from None
                    else:
                        written.append(file)
        except BaseException:
            if not self._overwrite:  # what was replaced cannot be brought back, so the new one stays
                for file in written:
                    file.vanish()
            raise
        return [file.path for file in written]

    def __enter__(self) -> Self:
        """Begin with nothing staged."""
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Remove the temporaries that are left, the locks last."""
        with contextlib.ExitStack() as stack:  # each is done whatever becomes of the others, the last named first
            for lock in self._locks.values():
                stack.callback(lock.release)
            for file in self._staged:
                stack.callback(file.discard)


# Each of the three is written under no name or a temporary one, appears under its final name (a FileExistsError if that
# is taken and is not to be replaced), vanishes from there again if others of its set cannot appear, and is discarded.


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
    """A file in a file system elsewhere."""

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
        except Exception:  # a store that knows no such condition
            self._put(system, name)

    def vanish(self) -> None:
        _remove(self.path)

    def discard(self) -> None:
        self.data = b""


def _remove(path: RemotePath) -> None:
    """Remove a file elsewhere, as far as that can be reached: what fails here is never the first failure."""
    with contextlib.suppress(OSError):
        ask(path, lambda system, name: system.rm_file(name))


class HeldSet:
    """What would be written to files, held in memory instead: the image that goes to standard output."""

    def __init__(self) -> None:
        self.data: bytes | None = None

    def stage(self, path: AnyPath, data: bytes) -> None:
        """Hold a file."""
        self.data = data

    def commit(self) -> list[AnyPath]:
        """Return that no file was written."""
        return []

    def __enter__(self) -> Self:
        """Begin with nothing."""
        return self

    def __exit__(self, *_: object) -> None:
        """Leave what is held."""


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


def sweep_temporaries(folder: AnyPath) -> None:
    """Remove the temporaries that killed runs left in `folder`; those of living runs stay.

    On this machine a living run holds a lock. In a file system elsewhere it is taken to live for a day after it wrote
    the file, by the clocks of both. An object store has none.
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
    from datetime import UTC, datetime  # for storages elsewhere only

    for entry in entries(folder):
        path = entry.path
        if entry.is_file and path.name.startswith(_PREFIX) and path.name.endswith(_SUFFIX):
            with contextlib.suppress(OSError):
                written = ask(folder / path.name, lambda system, name: system.modified(name))
                written = written if written.tzinfo else written.replace(tzinfo=UTC)
                if (datetime.now(UTC) - written).total_seconds() > _LIFE:
                    _remove(folder / path.name)


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
