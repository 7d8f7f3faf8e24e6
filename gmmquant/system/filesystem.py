"""Existence, entries and contents of paths, on this machine or in a remote storage of fsspec.

The errors of remote systems (botocore's, paramiko's) become an OSError that names the path, or a `ParameterError` if a
package is missing. fsspec keeps one connection a thread. A connection that has died is made again, once.
"""

from __future__ import annotations

import contextlib
import errno
import io
import os
import stat
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO, Literal, TypeVar

from gmmquant.errors import GmmquantError, ImageError
from gmmquant.system.paths import AnyPath, RemotePath, SourcePath, StandardInput, filesystem_class

# Storages that write an object at once. Any other is treated as a file system, where files grow and can be moved.
_OBJECT_STORES = frozenset({"s3", "s3a", "gs", "gcs", "az", "abfs", "abfss", "memory"})

# Errors that a new connection would not fix.
_DEFINITE: tuple[tuple[type[Exception], int], ...] = (
    (FileNotFoundError, errno.ENOENT),
    (FileExistsError, errno.EEXIST),
    (PermissionError, errno.EACCES),
    (IsADirectoryError, errno.EISDIR),
    (NotADirectoryError, errno.ENOTDIR),
)
_DEFINITE_NUMBERS = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EROFS, *(number for _, number in _DEFINITE)})

_MAX_REASON_CHARACTERS = 300

# Size of a request if little of a file is wanted.
_BLOCK_BYTES = 1 << 15

Answer = TypeVar("Answer")


@dataclass(frozen=True)
class Entry:
    """An entry of a folder: its path, whether it is a folder or a file (links followed), and whether it is a link."""

    path: AnyPath
    is_folder: bool
    is_file: bool
    is_link: bool = False


def is_object_store(path: RemotePath) -> bool:
    """Return whether the storage writes objects at once, and has no folders apart from their names."""
    return path.scheme in _OBJECT_STORES


def ask(path: RemotePath, question: Callable[[Any, str], Answer]) -> Answer:
    """Return `question(system, name)` for fsspec's file system and the name of `path` in it; retry once if it fails.

    Raises
    ------
    ParameterError
        If a package is missing.
    OSError
        For any failure, with the path and a reason in one line, without passwords.
    """
    try:
        try:
            return question(*_reached(path))
        except Exception as error:
            if isinstance(error, (GmmquantError, MemoryError)) or _number(error) in _DEFINITE_NUMBERS:
                raise
        filesystem_class(path.scheme).clear_instance_cache()
        return question(*_reached(path))
    except (GmmquantError, MemoryError):
        raise
    except Exception as error:
        raise _as_system_error(error, path) from None


def exists(path: AnyPath) -> bool:
    """Return whether the path exists; a broken link of this machine does."""
    return os.path.lexists(path) if isinstance(path, Path) else _kind(path) is not None


def is_folder(path: AnyPath) -> bool:
    """Return whether this is a folder; in an object store, a name that others begin with is one."""
    return path.is_dir() if isinstance(path, Path) else _kind(path) == "directory"


def entries(folder: AnyPath) -> list[Entry]:
    """Return the entries of a folder, sorted by name; raise an OSError if it cannot be listed."""
    if isinstance(folder, Path):
        with os.scandir(folder) as found:
            here = [Entry(folder / e.name, _leads(e.is_dir), _leads(e.is_file), e.is_symlink()) for e in found]
        return sorted(here, key=lambda entry: entry.path.name)
    return _remote_entries(folder)


def raise_it(_: AnyPath, error: OSError) -> None:
    """Raise the error."""
    raise error


def _leads(question: Callable[[], bool]) -> bool:
    """Return the answer, or False for a link that leads to itself."""
    try:
        return question()
    except OSError:
        return False


def files_below(
    folder: AnyPath,
    key: Callable[[str], Any] = str,
    on_error: Callable[[AnyPath, OSError], None] = raise_it,
    *,
    recursive: bool = True,
) -> Iterator[AnyPath]:
    """Yield the files in a folder and below it, each folder's files before its folders.

    Hidden files and folders (beginning with a dot) are skipped, and links to folders are not followed.

    Parameters
    ----------
    folder : AnyPath
    key : function of a name
        Sort key of the names in a folder.
    on_error : function of a folder and an OSError
        Called if a folder cannot be listed; if it returns, the folder is skipped.
    recursive : bool
    """
    if recursive and isinstance(folder, RemotePath) and is_object_store(folder):
        try:
            yield from _objects_below(folder, key)
        except OSError as error:
            on_error(folder, error)
        return
    waiting: list[AnyPath] = [folder]
    while waiting:
        here = waiting.pop()
        try:
            found = [entry for entry in entries(here) if not entry.path.name.startswith(".")]
        except OSError as error:
            on_error(here, error)
            continue
        found.sort(key=lambda entry: key(entry.path.name))
        yield from (entry.path for entry in found if entry.is_file)
        if recursive:
            waiting += [entry.path for entry in reversed(found) if entry.is_folder and not entry.is_link]


def open_path(path: SourcePath, limit: int | None = None, *, lazily: bool = False) -> BinaryIO:
    """Open a regular file of at most `limit` bytes as a seekable binary file.

    With `lazily`, a remote file is fetched in small blocks as it is read; otherwise at once. An `ImageError` is raised
    if it is not a regular file, or larger; an OSError if it cannot be read.
    """
    if isinstance(path, Path):
        return open_regular(path, limit)
    if isinstance(path, StandardInput):
        return io.BytesIO(path.data)
    return ask(path, lambda system, name: _opened(system, name, path, limit, lazily=lazily))


def check_writable(folder: AnyPath) -> None:
    """Raise an OSError if no file could be made in a folder of this machine, or in its nearest existing parent.

    Remote folders are not checked.
    """
    if not isinstance(folder, Path):
        return
    there = next((path for path in (folder, *folder.parents) if os.path.lexists(path)), folder)
    number = 0
    if not os.path.isdir(there):
        number = errno.ENOTDIR
    elif not os.access(there, os.W_OK | os.X_OK):
        number = errno.EROFS if os.statvfs(there).f_flag & os.ST_RDONLY else errno.EACCES
    if number:
        raise OSError(number, os.strerror(number), str(there))


def make_folder(folder: AnyPath) -> None:
    """Make a folder and its parents unless they exist; nothing is made in an object store, which has no folders."""
    if isinstance(folder, Path):
        folder.mkdir(parents=True, exist_ok=True)
    elif not is_object_store(folder):
        try:
            ask(folder, lambda system, name: system.makedirs(name, exist_ok=True))
        except OSError:
            # Another run may have made a part of the same folders at the same time.
            ask(folder, lambda system, name: system.makedirs(name, exist_ok=True))


def open_regular(path: str | os.PathLike[str], limit: int | None = None) -> BinaryIO:
    """Open a regular file, of at most `limit` bytes; refuse pipes, devices and sockets at once."""
    descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK)
    try:
        status = os.fstat(descriptor)
        if not stat.S_ISREG(status.st_mode):
            raise _not_regular()
        check_bytes(status.st_size, limit)
        return os.fdopen(descriptor, "rb")
    except BaseException:
        os.close(descriptor)
        raise


def check_bytes(n_bytes: int, limit: int | None) -> None:
    """Refuse a file of more bytes than `limit`."""
    if limit is not None and n_bytes > limit:
        raise ImageError(
            f"a file of {n_bytes} bytes is above the limit {limit}; raise max_pixels (--max-pixels), "
            "or give a smaller file"
        )


def _not_regular() -> ImageError:
    return ImageError("not a regular file; give an image file or a folder")


def _reached(path: RemotePath) -> tuple[Any, str]:
    """Return fsspec's file system for a path, and the name of the path in it."""
    kind = filesystem_class(path.scheme)
    # Only the root is parsed: some systems parse "?" and "#" in a name as parts of the URL.
    system = kind(**kind._get_kwargs_from_urls(path.root))
    name = kind._strip_protocol(path.root).rstrip("/") + path.path
    return system, (name or "/") + (f"?{path.query}" if path.query else "")


def _info(system: Any, name: str) -> dict[str, Any] | None:
    """Return the current properties of a name; None if it does not exist."""
    system.invalidate_cache()
    try:
        return dict(system.info(name))
    except Exception as error:
        if _number(error) == errno.ENOENT:
            return None
        raise


def _kind(path: RemotePath) -> str | None:
    found = ask(path, _info)
    return None if found is None else str(found["type"])


def _remote_entries(folder: RemotePath) -> list[Entry]:
    def list_now(system: Any, name: str) -> list[tuple[str, str]]:
        system.invalidate_cache()
        return [(str(found["name"]), str(found["type"])) for found in system.ls(name, detail=True)]

    kinds = {name.rstrip("/").rpartition("/")[2]: kind for name, kind in ask(folder, list_now)}
    found = []
    for name in sorted(kinds.keys() - {"", ".", ".."}):
        path, kind = folder / name, kinds[name]
        is_link = kind == "link"
        target = _kind(path) if is_link else kind
        found.append(Entry(path, target == "directory", target == "file", is_link))
    return found


def _objects_below(folder: RemotePath, key: Callable[[str], Any]) -> Iterator[AnyPath]:
    """Yield the objects below a folder, with one request for all folders."""

    def find_now(system: Any, name: str) -> list[str]:
        found = _info(system, name)
        if found is None or found["type"] != "directory":
            raise FileNotFoundError(name) if found is None else NotADirectoryError(name)
        start = f"{name.rstrip('/')}/"
        return [path.removeprefix(start) for path in system.find(name) if path.startswith(start)]

    names = (tuple(name.split("/")) for name in ask(folder, find_now) if not name.endswith("/"))
    shown = [parts for parts in names if not any(part.startswith(".") for part in parts)]
    for parts in sorted(shown, key=lambda parts: [*((1, key(part)) for part in parts[:-1]), (0, key(parts[-1]))]):
        yield folder / "/".join(parts)


def _opened(system: Any, name: str, path: RemotePath, limit: int | None, *, lazily: bool) -> BinaryIO:
    found = system.info(name)
    if found["type"] not in ("file", "link"):
        raise _not_regular()
    check_bytes(found.get("size") or 0, limit)
    if lazily:
        return io.BufferedReader(_LazyFile(system.open(name, "rb", block_size=_BLOCK_BYTES), path, found.get("size")))
    with system.open(name, "rb") as file:
        if hasattr(file, "prefetch"):  # paramiko otherwise waits for every 32 KiB
            file.prefetch(found["size"])
        data = file.read() if limit is None else file.read(limit + 1)
    check_bytes(len(data), limit)
    return io.BytesIO(data)


class _LazyFile(io.RawIOBase):
    """A remote file whose errors become OSErrors."""

    def __init__(self, file: Any, path: RemotePath, size: int | None) -> None:
        self._file, self._path, self._size = file, path, size

    def readable(self) -> Literal[True]:
        return True

    def seekable(self) -> Literal[True]:
        return True

    def seek(self, offset: int, whence: int = os.SEEK_SET) -> int:
        if whence == os.SEEK_END and self._size is not None:  # some servers do not tell paramiko the size
            offset, whence = self._size + offset, os.SEEK_SET
        with self._failures():
            self._file.seek(offset, whence)
            return int(self._file.tell())

    def tell(self) -> int:
        with self._failures():
            return int(self._file.tell())

    def readinto(self, buffer: Any) -> int:
        with self._failures():
            data = self._file.read(len(buffer))
        buffer[: len(data)] = data
        return len(data)

    def close(self) -> None:
        if not self.closed:
            with contextlib.suppress(Exception):  # it was only read
                self._file.close()
        super().close()

    @contextlib.contextmanager
    def _failures(self) -> Iterator[None]:
        try:
            yield
        except MemoryError:
            raise
        except Exception as error:
            raise _as_system_error(error, self._path) from None


def _number(error: Exception) -> int | None:
    """Return the errno of an error, if it has one."""
    number = getattr(error, "errno", None)
    if isinstance(error, OSError) and isinstance(number, int):
        return number
    return next((number for kind, number in _DEFINITE if isinstance(error, kind)), None)


def _as_system_error(error: Exception, path: RemotePath) -> OSError:
    """Return an OSError with the errno, a reason in one line without secrets, and the path."""
    number = _number(error)
    words = " ".join(str(error).split()) or type(error).__name__
    if number in _DEFINITE_NUMBERS:
        words = os.strerror(number)
    elif isinstance(error, OSError) and error.strerror:
        words = " ".join(error.strerror.split())
    for secret in path.secrets:
        words = words.replace(secret, "***")
    if len(words) > _MAX_REASON_CHARACTERS:
        words = f"{words[:_MAX_REASON_CHARACTERS]}..."
    return OSError(number or errno.EIO, words, str(path))
