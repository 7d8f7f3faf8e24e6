"""Atomic writes: each final name is absent or complete, whatever happens in between."""

from __future__ import annotations

import contextlib
import errno
import fcntl
import itertools
import os
import secrets
from collections.abc import Callable, Iterator
from concurrent.futures import Executor, Future, ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

from gmmquant.errors import OutputError, ParameterError
from gmmquant.system.filesystem import ask, entries, exists, is_folder, is_object_store, open_path
from gmmquant.system.paths import AnyPath, RemotePath
from gmmquant.system.process import signals_held

_PREFIX, _SUFFIX = ".gmmquant-", ".tmp"

# A run is considered alive for a day after it wrote a temporary to a remote storage.
_LIFE_SECONDS = 86_400


class OutputSet(contextlib.ExitStack):
    """The outputs of one image, as a context manager: all of them are written, or none.

    `stage` adds a file, `commit` gives all files their final names. Leaving the context removes the temporaries; an
    error inside `commit` also removes the files that already have their final names. An existing file is replaced with
    `overwrite` (a link itself, not its target), kept with `keep`, and otherwise raises an `OutputError`. `times` are
    the access and modification times of files on this machine, in nanoseconds since 1970.

    On this machine a file is staged under a hidden temporary name in its folder, flushed to the disk, and then renamed;
    the folder is flushed last, so that a loss of power does not undo the names.
    A lock beside the first file in a folder, also a temporary, marks the run as alive: see `sweep_temporaries`.

    A remote storage limits what can be guaranteed:

    - An object store writes an object at once, so staged data stays in memory until `commit`. A killed run leaves
      nothing behind.
    - Any other storage is treated as a file system: files are staged and moved, without locks or flushing. If a move
      cannot replace a file, the file is removed first.
    - If the storage cannot create a name exclusively, another run may take it between the check and the write, and is
      overwritten. If the connection fails for good inside `commit`, files with their final names may stay.
    """

    def __init__(self, *, overwrite: bool, keep: bool = False, times: tuple[int, int] | None = None) -> None:
        super().__init__()
        if overwrite and keep:
            raise ParameterError("existing files cannot be both replaced and kept; set overwrite or keep, not both")
        self._overwrite, self._keep, self._times = overwrite, keep, times
        self._tokens: dict[Path, str] = {}  # of the locks in local folders
        self._token = secrets.token_hex(8)  # for remote storages
        self._staged: list[_StagedFile] = []
        self._replaced: dict[AnyPath, bytes] = {}
        self._numbers = itertools.count()  # of the temporaries

    def stage(self, path: AnyPath, data: bytes, *, replaced: bytes | None = None) -> None:
        """Stage `data` as the content of `path`; an OSError names `path`.

        `replaced` is the present content of a file that is replaced in any case; `commit` raises an `OutputError` if
        it has other content by then.
        """
        try:
            file = self._file(path)
            self._staged.append(file)
            if replaced is not None:
                self._replaced[path] = replaced
            self.callback(file.discard)  # before the locks, which are older
            file.write(data, self._times)
        except OSError as error:
            error.filename = str(path)
            raise

    def drop(self, path: AnyPath) -> None:
        """Leave out a staged file."""
        self._staged = [file for file in self._staged if file.path != path]

    def _file(self, path: AnyPath) -> _StagedFile:
        number = next(self._numbers)
        if isinstance(path, Path):
            folder = path.parent
            if folder not in self._tokens:
                with signals_held():
                    self._tokens[folder] = self.enter_context(_lock(folder))
            return _LocalFile(path, folder / f"{_PREFIX}{self._tokens[folder]}-{number}{_SUFFIX}")
        if is_object_store(path):
            return _Object(path)
        return _MovedFile(path, path.parent / f"{_PREFIX}{self._token}-{number}{_SUFFIX}")

    def _restore(self, path: AnyPath) -> None:
        """Give a file that was replaced its old content again, if possible."""
        with contextlib.suppress(OSError):
            file = self._file(path)
            self.callback(file.discard)
            file.write(self._replaced[path], None)
            file.appear(overwrite=True)

    def commit(self) -> list[AnyPath]:
        """Give every staged file its final name; return these names, without those of files that were kept."""
        written: list[_StagedFile] = []
        for file in self._staged:
            if isinstance(file, _LocalFile) and file.path.is_dir() and not file.path.is_symlink():
                raise ParameterError(f"{file.path.name} is a folder; move it, or use another --output")
        for path, content in self._replaced.items():
            _refuse_other_content(path, content)
        try:
            for file in self._staged:
                # A signal between the renaming and the list would leave a file. Remote storages may take too long.
                with signals_held() if isinstance(file, _LocalFile) else contextlib.nullcontext():
                    overwrite = self._overwrite or file.path in self._replaced
                    try:
                        if not overwrite and exists(file.path):
                            raise FileExistsError(str(file.path))
                        file.appear(overwrite=overwrite)
                    except FileExistsError:
                        if not self._keep:
                            raise OutputError(f"{file.path.name} exists") from None
                    else:
                        written.append(file)
        except BaseException:
            if not self._overwrite:  # a replaced file cannot be restored, so the new one stays
                for file in written:
                    if file.path in self._replaced:
                        self._restore(file.path)
                    else:
                        _remove(file.path)
            raise
        for folder in dict.fromkeys(file.path.parent for file in written if isinstance(file, _LocalFile)):
            _flush_folder(folder)
        return [file.path for file in written]


# Each of the three kinds of file is written (in memory or under a temporary name), appears under its final name (a
# FileExistsError if another run has taken it), and is discarded in the end.


class _LocalFile(NamedTuple):
    """A file on this machine."""

    path: Path
    temporary: Path

    def write(self, data: bytes, times: tuple[int, int] | None) -> None:
        with open(self.temporary, "xb") as file:
            file.write(data)
            file.flush()
            if times is not None:
                os.utime(file.fileno(), ns=times)
            os.fsync(file.fileno())

    def appear(self, *, overwrite: bool) -> None:
        if overwrite:
            os.replace(self.temporary, self.path)
            return
        try:
            os.link(self.temporary, self.path)
        except FileExistsError:
            raise
        except OSError:  # a file system without hard links
            os.replace(self.temporary, self.path)

    def discard(self) -> None:
        _remove(self.temporary)


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
        def move(system: Any, name: str) -> None:
            system.mv(f"{name.rpartition('/')[0]}/{self.temporary.name}", name)

        try:
            ask(self.path, move)
        except OSError:
            is_moved = exists(self.path) and not exists(self.temporary)  # only the answer was lost
            if not is_moved:
                if not overwrite or not exists(self.path) or is_folder(self.path):
                    raise
                _remove(self.path)
                ask(self.path, move)
        self.is_temporary = False

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
        def put(system: Any, name: str) -> None:
            system.pipe_file(name, self.data)

        def create(system: Any, name: str) -> None:
            try:
                system.pipe_file(name, self.data, mode="create")
            except FileExistsError:
                if system.cat_file(name) != self.data:  # else a request was repeated, as its answer was lost
                    raise
            except Exception:  # a store without exclusive creation
                put(system, name)

        ask(self.path, put if overwrite else create)

    def discard(self) -> None:
        self.data = b""


_StagedFile = _LocalFile | _MovedFile | _Object


def _refuse_other_content(path: AnyPath, content: bytes) -> None:
    """Raise an `OutputError` if a file that is to be replaced has other content than before."""
    with open_path(path) as file:
        if file.read() != content:
            raise OutputError(f"{path.name} was changed by another run; run again to add to it")


def _remove(path: AnyPath) -> None:
    """Remove a file if possible: an error only follows another one, or leaves a temporary, which later runs sweep."""
    with contextlib.suppress(OSError):
        if isinstance(path, Path):
            path.unlink()
        else:
            ask(path, lambda system, name: system.rm_file(name))


def _flush_folder(folder: Path) -> None:
    """Write the names in a folder to the disk if possible: the files are complete, and some systems cannot do this."""
    with contextlib.suppress(OSError):
        descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)


class HeldSet(contextlib.ExitStack):
    """Like an `OutputSet`, but holds one file in memory: the image for standard output."""

    data: bytes | None = None

    def stage(self, path: AnyPath, data: bytes, *, replaced: bytes | None = None) -> None:
        """Hold a file; its path is ignored, and nothing is replaced."""
        self.data = data

    def drop(self, path: AnyPath) -> None:
        """Do nothing: what takes the place of the image is not staged."""

    def commit(self) -> list[AnyPath]:
        """Return an empty list, as no file is written."""
        return []


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
    executor: Executor = ThreadPoolExecutor(1) if in_background else _SameThread()
    try:
        executor.submit(int)
    except RuntimeError:
        executor = _SameThread()
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
    names = list(filter(_is_temporary, os.listdir(folder)))
    for token in {name.removeprefix(_PREFIX).removesuffix(_SUFFIX).partition("-")[0] for name in names}:
        lock = f"{_PREFIX}{token}{_SUFFIX}"
        with contextlib.suppress(OSError), _held(folder / lock):
            for name in names:
                if name == lock or name.startswith(f"{_PREFIX}{token}-"):
                    os.unlink(folder / name)


def _sweep_old(folder: RemotePath) -> None:
    from datetime import UTC, datetime  # for remote storages only

    for entry in entries(folder):
        if entry.is_file and _is_temporary(entry.path.name):
            path = folder / entry.path.name
            with contextlib.suppress(OSError):
                written = ask(path, lambda system, name: system.modified(name))
                written = written if written.tzinfo else written.replace(tzinfo=UTC)
                if (datetime.now(UTC) - written).total_seconds() > _LIFE_SECONDS:
                    _remove(path)


def _is_temporary(name: str) -> bool:
    return name.startswith(_PREFIX) and name.endswith(_SUFFIX)


@contextlib.contextmanager
def _lock(folder: Path) -> Iterator[str]:
    """Hold a locked temporary; the temporaries in its folder that share the token it yields belong to a live run."""
    while True:
        token = secrets.token_hex(8)
        path = folder / f"{_PREFIX}{token}{_SUFFIX}"
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL, 0o666)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            if os.fstat(descriptor).st_nlink:
                break
        except BlockingIOError:
            pass
        except OSError:  # a file system without locks, where a sweep cannot lock either
            break
        os.close(descriptor)  # a sweep was faster and removes the new lock: use another token
    try:
        yield token
    finally:
        _remove(path)
        with contextlib.suppress(OSError):
            os.close(descriptor)


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
