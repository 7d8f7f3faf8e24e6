"""Paths of images and outputs: on this machine, or in a remote storage, written as URLs.

This module only names; `filesystem` reads and lists. fsspec defines the schemes and takes its options from the URL, the
environment and its configuration. It is imported when the first URL is named.
"""

from __future__ import annotations

import contextlib
import os
import posixpath
import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath
from typing import Any

from gmmquant.errors import ParameterError
from gmmquant.system.installation import Need, missing

_URL = re.compile(r"([a-z][a-z0-9+._-]+)://(.*)", re.DOTALL | re.IGNORECASE)

_LOCAL = frozenset({"file", "local"})  # this machine
_WITHOUT_HOST = frozenset({"memory"})
_SERVERS = frozenset({"sftp", "ssh", "ftp", "smb", "http", "https", "hdfs", "webhdfs", "webdav"})
_WITH_QUERY = frozenset({"http", "https"})

# Other names of schemes, with the names under which they are compared.
_ALIASES = {"s3a": "s3", "gcs": "gs", "ssh": "sftp", "az": "abfs"}


@dataclass(frozen=True, order=True, repr=False)
class RemotePath:
    """A path in a remote storage, with the parts and the `/` of a `pathlib.Path`.

    Its text is the URL without password and query, which may be a key: safe to show and record. A pickle keeps both.
    """

    scheme: str  # in lower case
    host: str  # everything before the first "/": a bucket, or a server with user and port; may be empty
    path: str = ""  # empty, or begins with "/" and does not end with one
    query: str = ""  # the part after "?", for http and https; for other schemes "?" belongs to the path

    def __str__(self) -> str:
        user, at, server = self.host.rpartition("@")
        path = self.path.removeprefix("/") if self.scheme in _WITHOUT_HOST else self.path
        return f"{self.scheme}://{user.partition(':')[0]}{at}{server}{path}"

    def __repr__(self) -> str:
        return f"{type(self).__name__}({str(self)!r})"

    @property
    def root(self) -> str:
        """URL of the whole storage, with user and password."""
        return f"{self.scheme}://{self.host}"

    @property
    def secrets(self) -> tuple[str, ...]:
        """Parts of the URL that must not be shown."""
        password = self.host.rpartition("@")[0].partition(":")[2]
        return tuple(secret for secret in (password, self.query) if secret)

    @property
    def name(self) -> str:
        """Last part of the path; empty for a bucket or server."""
        return self.path.rpartition("/")[2]

    @property
    def stem(self) -> str:
        """Name without its extension."""
        return PurePosixPath(self.name).stem

    @property
    def suffix(self) -> str:
        """Extension of the name, with its dot."""
        return PurePosixPath(self.name).suffix

    @property
    def parent(self) -> RemotePath:
        """Folder of this path; a bucket or server is its own parent."""
        return RemotePath(self.scheme, self.host, self.path.rpartition("/")[0])

    def __truediv__(self, name: str) -> RemotePath:
        name = name.strip("/")
        return RemotePath(self.scheme, self.host, f"{self.path}/{name}" if name else self.path)


@dataclass(frozen=True)
class StandardInput:
    """Image data from standard input; its outputs begin with `stdin`."""

    data: bytes = field(repr=False)

    name = "-"
    stem = "stdin"
    suffix = ""
    parent = Path()

    def __str__(self) -> str:
        return self.name


AnyPath = Path | RemotePath

# Where an image is read from.
SourcePath = Path | RemotePath | StandardInput


def parse_path(text: str | os.PathLike[str] | RemotePath) -> AnyPath:
    """Return the path for a text: a URL if it begins with `scheme://`, otherwise a path of this machine.

    A `file://` or `local://` URL is a path of this machine. Names in URLs are taken literally; `%20` is not decoded.
    A `ParameterError` is raised for a URL of an unknown scheme, without its package, or with nothing after the scheme.
    """
    if isinstance(text, RemotePath):
        return text
    match = _URL.fullmatch(os.fspath(text))
    if match is None and re.match(r"data:\w+/[^,]*,", os.fspath(text)):
        raise ParameterError("data: URLs are not read; decode it, and use the file or standard input")
    if match is None:
        return Path(text)
    scheme, rest = match[1].lower(), match[2]
    if scheme in _LOCAL and rest:
        return Path(rest)
    filesystem_class(scheme)
    if scheme in _WITHOUT_HOST:
        return RemotePath(scheme, "", f"/{rest.lstrip('/')}".rstrip("/"))
    host, _, path = rest.partition("/")
    path, _, query = path.partition("?") if scheme in _WITH_QUERY else (path, "", "")
    _check_host(scheme, host, path)
    return RemotePath(scheme, host, f"/{path if host else path.lstrip('/')}".rstrip("/"), query)


def local_path(text: str | os.PathLike[str]) -> Path:
    """Return the path of a file that is read from this machine only; a `ParameterError` is raised for a URL."""
    match = _URL.fullmatch(os.fspath(text))
    if match is None:
        return Path(text)
    if match[1].lower() in _LOCAL:
        return Path(match[2])
    host, _, path = match[2].partition("/")
    shown = RemotePath(match[1], host, f"/{path.partition('?')[0]}" if path else "")  # without password and query
    raise ParameterError(f"{shown}: only input images are read from URLs; download it first")


def filesystem_class(scheme: str) -> Any:
    """Return fsspec's class for a scheme; raise a `ParameterError` if there is none, or if a package is missing."""
    try:
        from fsspec.registry import get_filesystem_class
    except ImportError:
        need = Need(f"{scheme}:// needs the package fsspec", "cluster", "download the files before")
        raise ParameterError(missing(need)) from None
    try:
        return get_filesystem_class(scheme)
    except ImportError as error:
        raise ParameterError(f"{scheme}:// needs another package: {' '.join(str(error).split())}") from None
    except ValueError:
        raise ParameterError(
            f"unknown scheme {scheme}://; use one that fsspec supports, such as s3, gs or sftp, or write ./{scheme}:// "
            "for a file"
        ) from None


def identity(path: SourcePath) -> str:
    """Return a text that is the same for two names of one path; links are not followed.

    Not to be shown: it may contain a query, or a user and password.
    """
    if isinstance(path, Path):
        return os.path.abspath(path)
    if isinstance(path, StandardInput):
        return path.name
    scheme = _ALIASES.get(path.scheme, path.scheme)
    if path.scheme in _SERVERS:
        host = path.host.rpartition("@")[2].lower()
        name = posixpath.normpath(path.path or "/")
        return f"{scheme}://{host}{name}" + (f"?{path.query}" if path.query else "")
    return f"{scheme}://{path.host}{path.path}"


def absolute(path: AnyPath) -> AnyPath:
    """Return a path that does not depend on the working folder."""
    return path.absolute() if isinstance(path, Path) else path


def common_folder(folders: Sequence[AnyPath]) -> AnyPath:
    """Return the folder that contains all of `folders`, relative if one of them is.

    It is the working folder if they are in several storages.
    """
    remote = [folder for folder in folders if isinstance(folder, RemotePath)]
    if not remote:
        common = os.path.commonpath(map(os.path.abspath, map(str, folders)))
        return Path(common if all(os.path.isabs(str(folder)) for folder in folders) else os.path.relpath(common))
    if len(remote) < len(folders) or len({identity(_root(folder)) for folder in remote}) > 1:
        return Path()
    return _root(remote[0]) / posixpath.commonpath([folder.path or "/" for folder in remote])


def below(path: AnyPath, folder: AnyPath) -> str:
    """Return the folders between `folder` and a path in it, joined by "/"; empty if there are none."""
    if isinstance(path, Path):
        inner = path.parent.relative_to(folder).as_posix() if isinstance(folder, Path) else ""
        return "" if inner == "." else inner
    return path.parent.path.removeprefix("" if isinstance(folder, Path) else folder.path).strip("/")


def relative(path: SourcePath, folder: AnyPath) -> str:
    """Return `path` relative to `folder`, joined by "/"; a path in another storage is returned in full.

    Links are resolved, except for the last name. Bytes that are not UTF-8 are escaped, as records are text.
    """
    if isinstance(path, StandardInput):
        return path.name
    if isinstance(path, Path):
        resolved = os.path.join(os.path.realpath(path.parent), path.name)
        return as_text(os.path.relpath(resolved, os.path.realpath(folder)) if isinstance(folder, Path) else resolved)
    if isinstance(folder, RemotePath) and identity(_root(path)) == identity(_root(folder)):
        paths = (path.path or "/", folder.path or "/")
        if all(posixpath.normpath(path) == path for path in paths):  # "//" and ".." are names in some storages
            return as_text(posixpath.relpath(*paths))
    return as_text(str(path))


def path_from_here(path: AnyPath) -> str:
    """Return a path as it can be typed here: relative to the current folder, if it is below it."""
    if not isinstance(path, Path):
        return str(path)
    full = os.path.abspath(path)
    here = os.path.relpath(full)
    return full if here.startswith(os.pardir) else here


def _root(path: RemotePath) -> RemotePath:
    return RemotePath(path.scheme, path.host)


def as_text(name: SourcePath | str) -> str:
    """Return a name as UTF-8 text, in which bytes that are not UTF-8 are escaped."""
    return os.fsencode(str(name)).decode("utf-8", "backslashreplace")


def _check_host(scheme: str, host: str, path: str) -> None:
    """Refuse a URL with nothing after its scheme, or whose password would be taken for a path."""
    if not host and not path.strip("/"):
        raise ParameterError(f"{scheme}:// has nothing after the scheme; add a bucket or server, and a path")
    if scheme not in _SERVERS:
        return
    from urllib.parse import urlsplit  # for URLs only

    with contextlib.suppress(ValueError):
        _ = urlsplit(f"{scheme}://{host}").port  # a ValueError if it is not a port
        if not re.search(r"[?#\s]", host):
            return
    raise ParameterError(
        f"the server, port, user and password of a {scheme}:// URL cannot be distinguished; "
        "use a number as the port, and a key instead of a password with special characters"
    )
