"""Folders and files in storages: on this machine, in memory, and on local SFTP and S3 servers."""

import errno
import io
import itertools
import os
import socket
import sys
from pathlib import Path

import numpy as np
import pytest
from image_files import saved

from gmmquant.cli.app import run
from gmmquant.errors import ImageError, ParameterError
from gmmquant.images.encoding.encode import is_gmmquant_output
from gmmquant.images.files import read_image
from gmmquant.system import filesystem
from gmmquant.system.filesystem import (
    Entry,
    ask,
    entries,
    examine,
    exists,
    files_below,
    is_folder,
    make_folder,
    open_path,
)
from gmmquant.system.paths import RemotePath, parse_path

pytest.importorskip("fsspec")

# Names that mean something to a shell, a URL or a pattern, and nothing to us.
AWKWARD = ["a b.png", "a?b#c.png", "%20.png", "[1]*.png", "é.png", "a::b.png"]


def put(path, data):
    """Write a file without the code under test."""
    if isinstance(path, RemotePath):
        ask(path, lambda system, name: system.makedirs(system._parent(name), exist_ok=True))
        ask(path, lambda system, name: system.pipe_file(name, data))
    else:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data)


@pytest.fixture
def tree(remote_folder):
    """A folder with files and folders, some of them hidden."""
    for name in ["b.png", "a.png", "sub/c.png", "sub/deep/d.png", "sub.png", ".hidden/e.png", ".f.png"]:
        put(remote_folder / name, name.encode())
    return remote_folder


def test_existing_and_missing_paths_are_distinguished(remote_folder):
    put(remote_folder / "sub/a.png", b"data")
    assert exists(remote_folder / "sub/a.png")
    assert exists(remote_folder / "sub")
    assert not exists(remote_folder / "sub/b.png")
    assert is_folder(remote_folder / "sub")
    assert not is_folder(remote_folder / "sub/a.png")
    assert not is_folder(remote_folder / "nothing")


def test_files_of_other_programs_are_seen(remote_folder):
    def write_as_another(system, name):
        other = type(system)(*system.storage_args, **system.storage_options, skip_instance_cache=True)
        other.pipe_file(name, b"")

    for names in (["a"], ["a", "b"], ["a", "b", "c"]):
        ask(remote_folder / names[-1], write_as_another)
        assert [entry.path.name for entry in entries(remote_folder)] == names
        assert list(files_below(remote_folder)) == [remote_folder / name for name in names]
        assert exists(remote_folder / names[-1])
        assert not exists(remote_folder / "z")
        assert len(entries(remote_folder)) == len(names)


def test_a_folder_lists_its_files_and_folders_by_name(tree):
    assert entries(tree) == [
        Entry(tree / ".f.png", is_folder=False, is_file=True),
        Entry(tree / ".hidden", is_folder=True, is_file=False),
        Entry(tree / "a.png", is_folder=False, is_file=True),
        Entry(tree / "b.png", is_folder=False, is_file=True),
        Entry(tree / "sub", is_folder=True, is_file=False),
        Entry(tree / "sub.png", is_folder=False, is_file=True),
    ]


def test_local_and_remote_trees_are_walked_alike(tree, tmp_path):
    for name in ["b.png", "a.png", "sub/c.png", "sub/deep/d.png", "sub.png", ".hidden/e.png", ".f.png"]:
        put(tmp_path / name, name.encode())
    below = [str(found)[len(str(tree)) + 1 :] for found in files_below(tree)]
    assert below == [str(found.relative_to(tmp_path)) for found in files_below(tmp_path)]
    assert below == ["a.png", "b.png", "sub.png", "sub/c.png", "sub/deep/d.png"]


def test_links_are_marked_and_links_to_folders_are_not_followed(tmp_path, sftp):
    served, url, _ = sftp
    for folder, named in [(tmp_path, tmp_path), (served / "links", parse_path(f"{url}/links"))]:
        put(folder / "real/a.png", b"")
        (folder / "loop").symlink_to(".")
        (folder / "file").symlink_to("real/a.png")
        (folder / "broken").symlink_to("nowhere")
        assert entries(named) == [
            Entry(named / "broken", is_folder=False, is_file=False, is_link=True),
            Entry(named / "file", is_folder=False, is_file=True, is_link=True),
            Entry(named / "loop", is_folder=True, is_file=False, is_link=True),
            Entry(named / "real", is_folder=True, is_file=False),
        ]
        broken = [named / "broken"] if isinstance(named, Path) else []  # reading one of this machine says so
        assert list(files_below(named)) == [*broken, named / "file", named / "real" / "a.png"]


@pytest.mark.parametrize("name", AWKWARD)
def test_special_characters_in_names_are_taken_literally(remote_folder, name):
    put(remote_folder / name, name.encode())
    (entry,) = entries(remote_folder)
    assert entry.path == remote_folder / name == next(iter(files_below(remote_folder)))
    assert exists(entry.path)
    assert open_path(entry.path).read() == name.encode()


def test_a_missing_path_cannot_be_listed_or_opened(remote_folder):
    missing = remote_folder / "missing"
    for look in (entries, lambda folder: list(files_below(folder)), open_path, lambda path: examine(path, id)):
        with pytest.raises(FileNotFoundError) as caught:
            look(missing)
        assert caught.value.filename == str(missing)
        assert caught.value.strerror == "No such file or directory"


def test_a_remote_file_is_read_from_any_position(remote_folder):
    data = np.random.default_rng(0).bytes(200_000)
    put(remote_folder / "file", data)

    def check(file):
        assert file.read(100) == data[:100]
        file.seek(150_000)
        assert file.read(10) == data[150_000:150_010]
        assert file.tell() == 150_010
        file.seek(0)
        assert file.read() == data

    examine(remote_folder / "file", check)
    with open_path(remote_folder / "file") as file:
        assert file.seek(-100, os.SEEK_END) == len(data) - 100
        assert file.read() == data[-100:]
        file.seek(0)
        check(file)


def test_a_file_of_more_bytes_than_the_limit_is_refused(remote_folder):
    put(remote_folder / "file", b"12345")
    assert open_path(remote_folder / "file", 5).read() == b"12345"
    with pytest.raises(ImageError, match="a file of 5 bytes is above the limit 4"):
        open_path(remote_folder / "file", 4)


def test_the_limit_holds_if_a_storage_reports_a_wrong_size(monkeypatch):
    target = parse_path("memory://liar/file")
    put(target, b"x" * 1000)
    system = ask(target, lambda system, _: system)
    monkeypatch.setattr(type(system), "info", lambda *_: {"name": "file", "type": "file", "size": None})
    with pytest.raises(ImageError, match="above the limit 10"):
        open_path(target, 10)


def test_a_folder_cannot_be_read_as_a_file(remote_folder, tmp_path):
    put(remote_folder / "sub/file", b"")
    os.mkfifo(tmp_path / "pipe")
    for folder in (remote_folder / "sub", tmp_path, tmp_path / "pipe"):
        for read in (open_path, lambda path: examine(path, lambda file: file.read())):
            with pytest.raises(ImageError, match="not a regular file"):
                read(folder)


def test_a_remote_image_is_read_like_a_local_one(remote_folder, photo):
    data = saved(photo, "TIFF")
    put(remote_folder / "image.tif", data)
    with open_path(remote_folder / "image.tif") as file:
        assert np.array_equal(read_image(file).pixels, read_image(io.BytesIO(data)).pixels)
    assert not examine(remote_folder / "image.tif", is_gmmquant_output)


def test_folders_are_made_if_the_storage_has_folders(remote_folder, tmp_path):
    for folder in (remote_folder / "a" / "b", tmp_path / "a" / "b"):
        make_folder(folder)
        make_folder(folder)
        assert filesystem.is_folder(folder) or filesystem.is_object_store(folder)


def test_no_bucket_is_made(s3):
    make_folder(parse_path("s3://another-bucket/folder"))
    assert not exists(parse_path("s3://another-bucket"))


# --- failures ---------------------------------------------------------------------------------------------------------


def failing(monkeypatch, errors):
    """Make the file system in memory fail with each error in turn."""
    system = ask(parse_path("memory://"), lambda system, _: system)
    info, waiting = type(system).info, iter(errors)

    def fail_or_look(self, path):
        for error in waiting:
            raise error
        return info(self, path)

    monkeypatch.setattr(type(system), "info", fail_or_look)


class ForeignError(Exception):
    """An exception as libraries of storages raise it."""


@pytest.mark.parametrize(
    ("error", "kind", "reason"),
    [
        (ForeignError("no\ncredentials"), OSError, "no credentials"),
        (ForeignError(), OSError, "ForeignError"),
        (ForeignError("x" * 10_000), OSError, "x" * 300 + "..."),
        (PermissionError("Access Denied"), PermissionError, "Permission denied"),
        (ConnectionResetError(104, "Connection reset"), ConnectionResetError, "Connection reset"),
        (KeyError("name"), OSError, "'name'"),
    ],
)
def test_every_failure_becomes_an_oserror_of_one_line(monkeypatch, error, kind, reason):
    failing(monkeypatch, itertools.repeat(error))
    target = parse_path("memory://a")
    for look in (exists, is_folder, open_path):
        with pytest.raises(kind) as caught:
            look(target)
        assert isinstance(caught.value, OSError)
        assert (caught.value.strerror, caught.value.filename) == (reason, "memory://a")


def test_a_failure_shows_no_password_or_key(monkeypatch):
    failing(monkeypatch, itertools.repeat(ForeignError("me:geheim@host refused")))
    with pytest.raises(OSError, match=r"me:\*\*\*@host refused"):
        exists(RemotePath("memory", "me:geheim@host", "/a"))


def test_running_out_of_memory_stays_a_memory_error(monkeypatch):
    failing(monkeypatch, [MemoryError()])
    with pytest.raises(MemoryError):
        exists(parse_path("memory://a"))


def test_a_failure_is_retried_once(monkeypatch):
    failing(monkeypatch, [ForeignError("the line is dead")])
    assert not exists(parse_path("memory://nothing"))


def test_a_connection_that_was_cut_is_made_again(sftp):
    folder, url, disconnect = sftp
    (folder / "after").write_bytes(b"data")
    assert open_path(parse_path(f"{url}/after")).read() == b"data"
    disconnect()
    assert open_path(parse_path(f"{url}/after")).read() == b"data"
    disconnect()
    assert examine(parse_path(f"{url}/after"), lambda file: file.read()) == b"data"

    def read_without_a_connection(file):
        disconnect()
        return file.read()

    with pytest.raises(OSError) as caught:
        examine(parse_path(f"{url}/after"), read_without_a_connection)
    assert caught.value.filename == str(parse_path(f"{url}/after"))


@pytest.fixture
def closed_port():
    """A port of this machine on which nothing listens."""
    with socket.socket() as held:
        held.bind(("127.0.0.1", 0))
        yield held.getsockname()[1]


@pytest.fixture(params=["http", "ftp", "sftp", "s3"])
def refused(request, closed_port, monkeypatch):
    """A URL of a server that refuses connections."""
    if request.param != "s3":
        yield parse_path(f"{request.param}://me:geheim@127.0.0.1:{closed_port}/folder/cat.png")
        return
    forget_connections = pytest.importorskip("s3fs").S3FileSystem.clear_instance_cache
    forget_connections()
    for name, value in [
        ("AWS_ENDPOINT_URL", f"http://127.0.0.1:{closed_port}"),
        ("AWS_ACCESS_KEY_ID", "me"),
        ("AWS_SECRET_ACCESS_KEY", "geheim"),
        ("AWS_MAX_ATTEMPTS", "1"),
    ]:
        monkeypatch.setenv(name, value)
    yield parse_path("s3://bucket/folder/cat.png")
    forget_connections()


def test_a_server_that_refuses_the_connection_is_reported_as_such(refused):
    for look in (exists, is_folder, entries, open_path, lambda path: list(files_below(path))):
        with pytest.raises(ConnectionRefusedError) as caught:
            look(refused)
        assert caught.value.filename == str(refused)
        assert caught.value.strerror == (
            "the server refused the connection; check its address and port, and that it is running"
        )


def test_the_command_reports_a_refused_connection_with_the_url_and_a_remedy(closed_port, tmp_path, capsys):
    url = f"http://127.0.0.1:{closed_port}/cat.png"
    assert run([url, "-k", "2", "-o", str(tmp_path)]) == 1
    reason = "the server refused the connection; check its address and port, and that it is running"
    assert f"{url}: {reason}" in capsys.readouterr().err
    assert list(tmp_path.iterdir()) == []


def test_an_unknown_server_is_reported_as_such(monkeypatch):
    def fail_to_resolve(*_, **__):
        raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")

    monkeypatch.setattr(socket, "getaddrinfo", fail_to_resolve)
    with pytest.raises(OSError, match="the server was not found; check its name and the network"):
        exists(parse_path("http://nowhere.invalid/cat.png"))


def test_a_folder_that_cannot_be_made_at_the_second_attempt_is_reported_with_the_second_reason(monkeypatch):
    errors = [ConnectionRefusedError(errno.ECONNREFUSED, "refused"), PermissionError(errno.EACCES, "denied")]

    class System:
        def makedirs(self, name, exist_ok):
            raise errors.pop(0)

    monkeypatch.setattr("gmmquant.system.filesystem._connected", lambda path: (System(), "a"))
    with pytest.raises(PermissionError):
        make_folder(parse_path("sftp://host/a"))


def test_an_error_of_a_wrong_password_does_not_show_it(sftp):
    _, url, _ = sftp
    wrong = parse_path(url.replace("geh-heim", "verraten") + "/a")
    with pytest.raises(OSError, match=r"Authentication failed") as caught:
        exists(wrong)
    assert "verraten" not in str(caught.value)


def test_a_package_that_is_missing_on_a_worker_is_named(monkeypatch):
    monkeypatch.setitem(sys.modules, "fsspec", None)
    monkeypatch.setitem(sys.modules, "fsspec.registry", None)
    with pytest.raises(ParameterError, match=r"gmmquant\[cluster\]"):
        exists(RemotePath("s3", "bucket", "/a"))
