"""What is in a storage: folders, files and their bytes, on this machine and on servers that stand for others."""

import io
import itertools
import os
import sys

import numpy as np
import pytest
from image_files import saved

from gmmquant.errors import ImageError, ParameterError
from gmmquant.images.encoding.encode import is_gmmquant_output
from gmmquant.images.files import read_image
from gmmquant.system import filesystem
from gmmquant.system.filesystem import Entry, ask, entries, exists, files_below, is_folder, make_folder, open_path
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
def tree(elsewhere):
    """A folder with files and folders, hidden ones too."""
    for name in ["b.png", "a.png", "sub/c.png", "sub/deep/d.png", "sub.png", ".hidden/e.png", ".f.png"]:
        put(elsewhere / name, name.encode())
    return elsewhere


def test_what_is_there_is_told_from_what_is_not(elsewhere):
    put(elsewhere / "sub/a.png", b"data")
    assert exists(elsewhere / "sub/a.png")
    assert exists(elsewhere / "sub")
    assert not exists(elsewhere / "sub/b.png")
    assert is_folder(elsewhere / "sub")
    assert not is_folder(elsewhere / "sub/a.png")
    assert not is_folder(elsewhere / "nothing")


def test_what_others_write_is_seen(elsewhere):
    def write_as_another(system, name):
        other = type(system)(*system.storage_args, **system.storage_options, skip_instance_cache=True)
        other.pipe_file(name, b"")

    for names in (["a"], ["a", "b"], ["a", "b", "c"]):
        ask(elsewhere / names[-1], write_as_another)
        assert [entry.path.name for entry in entries(elsewhere)] == names
        assert list(files_below(elsewhere)) == [elsewhere / name for name in names]
        assert exists(elsewhere / names[-1])
        assert not exists(elsewhere / "z")
        assert len(entries(elsewhere)) == len(names)


def test_a_folder_lists_its_files_and_folders_by_name(tree):
    assert entries(tree) == [
        Entry(tree / ".f.png", is_folder=False, is_file=True),
        Entry(tree / ".hidden", is_folder=True, is_file=False),
        Entry(tree / "a.png", is_folder=False, is_file=True),
        Entry(tree / "b.png", is_folder=False, is_file=True),
        Entry(tree / "sub", is_folder=True, is_file=False),
        Entry(tree / "sub.png", is_folder=False, is_file=True),
    ]


def test_a_tree_is_walked_alike_here_and_elsewhere(tree, tmp_path):
    for name in ["b.png", "a.png", "sub/c.png", "sub/deep/d.png", "sub.png", ".hidden/e.png", ".f.png"]:
        put(tmp_path / name, name.encode())
    below = [str(found)[len(str(tree)) + 1 :] for found in files_below(tree)]
    assert below == [str(found.relative_to(tmp_path)) for found in files_below(tmp_path)]
    assert below == ["a.png", "b.png", "sub.png", "sub/c.png", "sub/deep/d.png"]


def test_links_are_told_and_those_to_folders_are_not_walked(tmp_path, sftp):
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
        assert list(files_below(named)) == [named / "file", named / "real" / "a.png"]


@pytest.mark.parametrize("name", AWKWARD)
def test_awkward_names_are_taken_as_they_stand(elsewhere, name):
    put(elsewhere / name, name.encode())
    (entry,) = entries(elsewhere)
    assert entry.path == elsewhere / name == next(iter(files_below(elsewhere)))
    assert exists(entry.path)
    assert open_path(entry.path).read() == name.encode()


def test_what_is_not_there_cannot_be_listed_or_opened(elsewhere):
    missing = elsewhere / "missing"
    for look in (entries, lambda folder: list(files_below(folder)), open_path):
        with pytest.raises(FileNotFoundError) as caught:
            look(missing)
        assert caught.value.filename == str(missing)
        assert caught.value.strerror == "No such file or directory"


@pytest.mark.parametrize("lazily", [False, True])
def test_a_file_elsewhere_is_read_from_any_position(elsewhere, lazily):
    data = np.random.default_rng(0).bytes(200_000)
    put(elsewhere / "file", data)
    with open_path(elsewhere / "file", lazily=lazily) as file:
        assert file.read(100) == data[:100]
        assert file.seek(-100, os.SEEK_END) == len(data) - 100
        assert file.read() == data[-100:]
        assert file.seek(150_000) == 150_000
        assert file.read(10) == data[150_000:150_010]
        assert file.tell() == 150_010
        file.seek(0)
        assert file.read() == data


@pytest.mark.parametrize("lazily", [False, True])
def test_a_file_of_more_bytes_than_the_limit_is_refused(elsewhere, lazily):
    put(elsewhere / "file", b"12345")
    assert open_path(elsewhere / "file", 5, lazily=lazily).read() == b"12345"
    with pytest.raises(ImageError, match="a file of 5 bytes is above the limit 4"):
        open_path(elsewhere / "file", 4, lazily=lazily)


def test_a_storage_that_lies_about_a_size_is_held_to_the_limit(monkeypatch):
    target = parse_path("memory://liar/file")
    put(target, b"x" * 1000)
    system = ask(target, lambda system, _: system)
    monkeypatch.setattr(type(system), "info", lambda *_: {"name": "file", "type": "file", "size": None})
    with pytest.raises(ImageError, match="above the limit 10"):
        open_path(target, 10)


def test_a_folder_is_no_file_to_read(elsewhere, tmp_path):
    put(elsewhere / "sub/file", b"")
    os.mkfifo(tmp_path / "pipe")
    for folder in (elsewhere / "sub", tmp_path, tmp_path / "pipe"):
        with pytest.raises(ImageError, match="not a regular file"):
            open_path(folder)


@pytest.mark.parametrize("lazily", [False, True])
def test_an_image_elsewhere_is_read_like_one_here(elsewhere, photo, lazily):
    data = saved(photo, "TIFF")
    put(elsewhere / "image.tif", data)
    with open_path(elsewhere / "image.tif", lazily=lazily) as file:
        assert not is_gmmquant_output(file)
        assert np.array_equal(read_image(file).pixels, read_image(io.BytesIO(data)).pixels)


def test_folders_are_made_where_there_are_any(elsewhere, tmp_path):
    for folder in (elsewhere / "a" / "b", tmp_path / "a" / "b"):
        make_folder(folder)
        make_folder(folder)
        assert filesystem.is_folder(folder) or filesystem.is_object_store(folder)


def test_no_bucket_is_made(s3):
    make_folder(parse_path("s3://another-bucket/folder"))
    assert not exists(parse_path("s3://another-bucket"))


# --- failures ---------------------------------------------------------------------------------------------------------


def failing(monkeypatch, errors):
    """Let the file system in memory fail with each error in turn, then no more."""
    system = ask(parse_path("memory://"), lambda system, _: system)
    info, waiting = type(system).info, iter(errors)

    def fail_or_tell(self, path):
        for error in waiting:
            raise error
        return info(self, path)

    monkeypatch.setattr(type(system), "info", fail_or_tell)


class ForeignError(Exception):
    """As the libraries of storages raise them."""


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
def test_every_failure_becomes_an_error_of_the_system_with_one_line(monkeypatch, error, kind, reason):
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


def test_what_runs_out_of_memory_says_so(monkeypatch):
    failing(monkeypatch, [MemoryError()])
    with pytest.raises(MemoryError):
        exists(parse_path("memory://a"))


def test_a_failure_that_passes_is_not_noticed(monkeypatch):
    failing(monkeypatch, [ForeignError("the line is dead")])
    assert not exists(parse_path("memory://nothing"))


def test_a_connection_that_was_cut_is_made_anew(sftp):
    folder, url, disconnect = sftp
    (folder / "after").write_bytes(b"data")
    assert open_path(parse_path(f"{url}/after")).read() == b"data"
    disconnect()
    assert open_path(parse_path(f"{url}/after")).read() == b"data"
    file = open_path(parse_path(f"{url}/after"), lazily=True)
    disconnect()
    with pytest.raises(OSError) as caught:
        file.read()
    assert caught.value.filename == str(parse_path(f"{url}/after"))


def test_a_wrong_password_is_one_line_that_does_not_show_it(sftp):
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
