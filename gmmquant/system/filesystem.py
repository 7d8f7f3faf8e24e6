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
from pathlib import Path
from typing import Any, BinaryIO, NamedTuple, TypeVar

from gmmquant.errors import GmmquantError, ImageError
from gmmquant.system.paths import AnyPath, RemotePath, SourcePath, StandardInput, filesystem_class

# Storages that write an object at once. Any other is treated as a file system, where files grow and can be moved.
_OBJECT_STORES = frozenset({"s3", "s3a", "gs", "gcs", "az", "abfs", "abfss", "memory"})

# The errno of errors that often lack it.
_NUMBERS = {
    FileNotFoundError: errno.ENOENT,
    FileExistsError: errno.EEXIST,
    PermissionError: errno.EACCES,
    IsADirectoryError: errno.EISDIR,
    NotADirectoryError: errno.ENOTDIR,
}

# Errors that a new connection would not fix, with their reasons.
_DEFINITE = {
    errno.ECONNREFUSED: "the server refused the connection; check its address and port, and that it is running",
    errno.EHOSTUNREACH: "the server was not found; check its name and the network",
    **{number: os.strerror(number) for number in (*_NUMBERS.values(), errno.ENOSPC, errno.EDQUOT, errno.EROFS)},
}

_MAX_REASON_CHARACTERS = 300

# Size of a request if little of a file is wanted.
_BLOCK_BYTES = 1 << 15

Answer = TypeVar("Answer")


class Entry(NamedTuple):
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

    A failure is an OSError as in `_system_errors`, or a `ParameterError` if a package is missing.
    """
    with _system_errors(path):
        try:
            return question(*_connected(path))
        except Exception as error:
            if isinstance(error, (GmmquantError, MemoryError)) or _number(error) in _DEFINITE:
                raise
        filesystem_class(path.scheme).clear_instance_cache()
        return question(*_connected(path))


def exists(path: AnyPath) -> bool:
    """Return whether the path exists; a broken link of this machine does."""
    return os.path.lexists(path) if isinstance(path, Path) else _kind(path) is not None


def is_empty(path: AnyPath) -> bool:
    """Return whether this is a file of no bytes on this machine."""
    return isinstance(path, Path) and path.is_file() and path.stat().st_size == 0


def is_broken_link(path: AnyPath) -> bool:
    """Return whether this is a link of this machine to nothing, or to itself."""
    return isinstance(path, Path) and os.path.islink(path) and not os.path.exists(path)


def is_folder(path: AnyPath) -> bool:
    """Return whether this is a folder; in an object store, a name that others begin with is one."""
    return path.is_dir() if isinstance(path, Path) else _kind(path) == "directory"


def entries(folder: AnyPath) -> list[Entry]:
    """Return the entries of a folder, sorted by name; raise an OSError if it cannot be listed."""
    if isinstance(folder, Path):
        with os.scandir(folder) as found:
            return [_local_entry(folder, entry) for entry in sorted(found, key=lambda entry: entry.name)]

    def list_now(system: Any, name: str) -> list[tuple[str, str]]:
        system.invalidate_cache()
        return [(str(found["name"]), str(found["type"])) for found in system.ls(name, detail=True)]

    kinds = {name.rstrip("/").rpartition("/")[2]: kind for name, kind in ask(folder, list_now)}
    return [_remote_entry(folder / name, kinds[name]) for name in sorted(kinds.keys() - {"", ".", ".."})]


def _local_entry(folder: Path, entry: os.DirEntry[str]) -> Entry:
    path = folder / entry.name
    if entry.is_symlink():  # if it leads to itself, the methods of `entry` raise an OSError
        return Entry(path, os.path.isdir(path), os.path.isfile(path), is_link=True)
    return Entry(path, entry.is_dir(), entry.is_file())


def _remote_entry(path: RemotePath, kind: str) -> Entry:
    target = _kind(path) if kind == "link" else kind
    return Entry(path, target == "directory", target == "file", is_link=kind == "link")


def raise_it(_: AnyPath, error: OSError) -> None:
    """Raise the error."""
    raise error


def files_below(
    folder: AnyPath,
    key: Callable[[str], Any] = str,
    on_error: Callable[[AnyPath, OSError], None] = raise_it,
    *,
    recursive: bool = True,
) -> Iterator[AnyPath]:
    """Yield the files in a folder and, if `recursive`, below it, each folder's files before its folders.

    Hidden files and folders (beginning with a dot) are skipped, and links to folders are not followed. Links to nothing
    are files. `key` sorts the names in a folder. `on_error` is called if a folder cannot be listed; if it returns, the
    folder is skipped.
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
        yield from (entry.path for entry in found if entry.is_file or (entry.is_link and is_broken_link(entry.path)))
        if recursive:
            waiting += [entry.path for entry in reversed(found) if entry.is_folder and not entry.is_link]


def open_path(path: SourcePath, limit: int | None = None) -> BinaryIO:
    """Open a regular file of at most `limit` bytes as a seekable binary file; a remote file is fetched at once.

    An `ImageError` is raised if it is not a regular file, or larger; an OSError if it cannot be read.
    """
    if isinstance(path, Path):
        return open_regular(path, limit)
    if isinstance(path, StandardInput):
        return io.BytesIO(path.data)

    def fetch(system: Any, name: str) -> BinaryIO:
        size = _file_size(system, name)
        check_bytes(size or 0, limit)
        with system.open(name, "rb") as file:
            if hasattr(file, "prefetch"):  # paramiko otherwise waits for every 32 KiB
                file.prefetch(size)
            data = file.read() if limit is None else file.read(limit + 1)
        check_bytes(len(data), limit)
        return io.BytesIO(data)

    return ask(path, fetch)


def examine(path: SourcePath, question: Callable[[BinaryIO], Answer]) -> Answer:
    """Return `question(file)` for a regular file, of which a remote storage sends only the blocks that are read."""
    if not isinstance(path, RemotePath):
        with open_path(path) as file:
            return question(file)

    def look(system: Any, name: str) -> Answer:
        _file_size(system, name)
        with system.open(name, "rb", block_size=_BLOCK_BYTES) as file:
            return question(file)

    return ask(path, look)


def check_writable(folder: AnyPath) -> None:
    """Raise an OSError if no file could be made in a folder of this machine, or in its nearest existing parent.

    Remote folders are not checked.
    """
    if not isinstance(folder, Path):
        return
    nearest = next((path for path in (folder, *folder.parents) if os.path.lexists(path)), folder)
    if not os.path.isdir(nearest):
        number = errno.ENOTDIR
    elif os.access(nearest, os.W_OK | os.X_OK):
        return
    else:
        number = errno.EROFS if os.statvfs(nearest).f_flag & os.ST_RDONLY else errno.EACCES
    raise OSError(number, os.strerror(number), str(nearest))


def make_folder(folder: AnyPath) -> None:
    """Make a folder and its parents unless they exist; nothing is made in an object store, which has no folders."""

    def make(system: Any, name: str) -> None:
        system.makedirs(name, exist_ok=True)

    if isinstance(folder, Path):
        folder.mkdir(parents=True, exist_ok=True)
    elif not is_object_store(folder):
        with contextlib.suppress(OSError):
            ask(folder, make)
            return
        ask(folder, make)  # another run may have made a part of the same folders at the same time


def open_regular(path: str | os.PathLike[str], limit: int | None = None) -> BinaryIO:
    """Open a regular file, of at most `limit` bytes; refuse pipes, devices and sockets at once."""
    descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK)
    try:
        status = os.fstat(descriptor)
        _check_regular(stat.S_ISREG(status.st_mode))
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
            "or use a smaller file"
        )


def _check_regular(is_regular: bool) -> None:
    if not is_regular:
        raise ImageError("not a regular file; use an image file or a folder")


def _connected(path: RemotePath) -> tuple[Any, str]:
    """Return fsspec's file system for a path, and the name of the path in it."""
    kind = filesystem_class(path.scheme)
    # Only the root is parsed: some systems parse "?" and "#" in a name as parts of the URL.
    system = kind(**kind._get_kwargs_from_urls(path.root))
    name = kind._strip_protocol(path.root).rstrip("/") + path.path
    return system, (name or "/") + (f"?{path.query}" if path.query else "")


def _kind(path: RemotePath) -> str | None:
    """Return "directory", "file", "link" or another kind; None if nothing has this path."""

    def look_now(system: Any, name: str) -> str:
        system.invalidate_cache()
        return str(system.info(name)["type"])

    try:
        return ask(path, look_now)
    except FileNotFoundError:
        return None


def _objects_below(folder: RemotePath, key: Callable[[str], Any]) -> Iterator[AnyPath]:
    """Yield the objects below a folder, with one request for all folders."""

    def find_now(system: Any, name: str) -> list[str]:
        system.invalidate_cache()
        if system.info(name)["type"] != "directory":
            raise NotADirectoryError(name)
        start = f"{name.rstrip('/')}/"
        return [path.removeprefix(start) for path in system.find(name) if path.startswith(start)]

    names = (tuple(name.split("/")) for name in ask(folder, find_now) if not name.endswith("/"))
    shown = [parts for parts in names if not any(part.startswith(".") for part in parts)]
    for parts in sorted(shown, key=lambda parts: [*((1, key(part)) for part in parts[:-1]), (0, key(parts[-1]))]):
        yield folder / "/".join(parts)


def _file_size(system: Any, name: str) -> int | None:
    """Return the number of bytes of a regular file, if the storage knows it."""
    found = system.info(name)
    _check_regular(found["type"] in ("file", "link"))
    return found.get("size")  # type: ignore[no-any-return]


@contextlib.contextmanager
def _system_errors(path: RemotePath) -> Iterator[None]:
    """Turn every failure into an OSError with an errno, a reason in one line without secrets, and the path."""
    try:
        yield
    except (GmmquantError, MemoryError):
        raise
    except Exception as error:
        number = _number(error)
        words = str(getattr(error, "strerror", None) or error).split()
        reason = _DEFINITE.get(number or 0, " ".join(words)) or type(error).__name__
        for secret in path.secrets:
            reason = reason.replace(secret, "***")
        if len(reason) > _MAX_REASON_CHARACTERS:
            reason = f"{reason[:_MAX_REASON_CHARACTERS]}..."
        raise OSError(number or errno.EIO, reason, str(path)) from None


def _number(error: Exception) -> int | None:
    """Return the errno of an error, or of the failed connection that caused it; None if there is none."""
    import socket  # fsspec has imported it

    for cause in _causes(error):
        if isinstance(cause, ConnectionRefusedError):
            return errno.ECONNREFUSED
        if isinstance(cause, socket.gaierror):
            return errno.EHOSTUNREACH
    if isinstance(error, OSError) and isinstance(error.errno, int):
        return error.errno
    return next((number for kind, number in _NUMBERS.items() if isinstance(error, kind)), None)


def _causes(error: BaseException | None) -> Iterator[BaseException]:
    """Yield an error and its causes: that of a missing file may be that fsspec could not connect to the server."""
    while error is not None:
        yield error
        by_address = getattr(error, "errors", None)
        if isinstance(by_address, dict):  # of paramiko
            yield from by_address.values()
        error = error.__cause__ or error.__context__
