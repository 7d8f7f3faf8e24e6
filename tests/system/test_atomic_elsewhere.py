"""Outputs in storages elsewhere: complete and together, or not at all, as far as each storage can keep that."""

import os
import time

import pytest

from gmmquant.errors import OutputError
from gmmquant.system import atomic
from gmmquant.system.atomic import OutputSet, sweep_temporaries
from gmmquant.system.filesystem import ask, entries, is_object_store, make_folder, open_path
from gmmquant.system.paths import parse_path

fsspec = pytest.importorskip("fsspec")


def content(folder):
    """Return what is in a folder, by name; one that is not there is empty."""
    try:
        return {entry.path.name: open_path(entry.path).read() for entry in entries(folder) if entry.is_file}
    except FileNotFoundError:
        return {}


def put(path, data):
    ask(path, lambda system, name: system.pipe_file(name, data))


@pytest.fixture
def fail(monkeypatch):
    """Let what gives a file its final name fail for one name."""

    def install(target, error):
        kind = ask(target, lambda system, _: type(system))
        method = {"memory": "pipe_file", "s3": "_call_s3", "sftp": "mv"}[target.scheme]
        call = getattr(kind, method)

        def fail_or_call(self, *arguments, **options):
            named = any(str(value).endswith(f"/{target.name}") for value in (*arguments, *options.values()))
            if named and "head_object" not in arguments:
                raise error
            return call(self, *arguments, **options)

        monkeypatch.setattr(kind, method, fail_or_call)

    return install


def test_nothing_has_its_name_before_commit_and_everything_after(elsewhere):
    with OutputSet(overwrite=False, times=(0, 0)) as files:
        files.stage(elsewhere / "a", b"first")
        files.stage(elsewhere / "b", b"second")
        assert all(name.startswith(".gmmquant-") and name.endswith(".tmp") for name in content(elsewhere))
        assert bool(content(elsewhere)) == (not is_object_store(elsewhere))
        assert files.commit() == [elsewhere / "a", elsewhere / "b"]
    assert content(elsewhere) == {"a": b"first", "b": b"second"}


def test_here_and_elsewhere_go_together(elsewhere, tmp_path):
    (tmp_path / "b").write_bytes(b"theirs")
    with pytest.raises(OutputError, match="b exists"), OutputSet(overwrite=False) as files:
        files.stage(elsewhere / "a", b"mine")
        files.stage(tmp_path / "b", b"mine")
        files.commit()
    assert content(elsewhere) == {}
    assert os.listdir(tmp_path) == ["b"]


def test_without_commit_nothing_is_left(elsewhere):
    with pytest.raises(ZeroDivisionError), OutputSet(overwrite=False) as files:
        files.stage(elsewhere / "a", b"first")
        _ = 1 / 0
    assert content(elsewhere) == {}


def test_what_exists_is_neither_replaced_nor_joined(elsewhere):
    with pytest.raises(OutputError, match="b exists"), OutputSet(overwrite=False) as files:
        files.stage(elsewhere / "a", b"mine")
        files.stage(elsewhere / "b", b"mine")
        put(elsewhere / "b", b"theirs")
        files.commit()
    assert content(elsewhere) == {"b": b"theirs"}


def test_what_exists_is_replaced_if_so_wanted(elsewhere):
    put(elsewhere / "a", b"an old and longer one")
    with OutputSet(overwrite=True) as files:
        files.stage(elsewhere / "a", b"new")
        assert files.commit() == [elsewhere / "a"]
    assert content(elsewhere) == {"a": b"new"}


def test_what_exists_can_be_kept_while_the_rest_is_written(elsewhere):
    put(elsewhere / "a", b"theirs")
    with OutputSet(overwrite=False, keep=True) as files:
        files.stage(elsewhere / "a", b"mine")
        files.stage(elsewhere / "b", b"mine")
        assert files.commit() == [elsewhere / "b"]
    assert content(elsewhere) == {"a": b"theirs", "b": b"mine"}


def test_an_object_that_appears_after_our_look_is_not_replaced(elsewhere, monkeypatch):
    if not is_object_store(elsewhere):
        pytest.skip("a file system has no way to create a name only if it is free")
    put(elsewhere / "a", b"theirs")
    monkeypatch.setattr(atomic, "exists", lambda _: False)
    with pytest.raises(OutputError, match="a exists"), OutputSet(overwrite=False) as files:
        files.stage(elsewhere / "a", b"mine")
        files.commit()
    assert content(elsewhere) == {"a": b"theirs"}


def test_a_store_that_cannot_create_only_is_written_to_all_the_same(monkeypatch):
    target = parse_path("memory://plain/a")
    kind = ask(target, lambda system, _: type(system))
    plain = kind.pipe_file
    monkeypatch.setattr(kind, "pipe_file", lambda self, name, data: plain(self, name, data))
    with OutputSet(overwrite=False) as files:
        files.stage(target, b"data")
        files.commit()
    with pytest.raises(OutputError, match="a exists"), OutputSet(overwrite=False) as files:
        files.stage(target, b"other")
        files.commit()
    assert open_path(target).read() == b"data"


def test_a_failure_in_commit_removes_what_was_put_before(elsewhere, fail):
    fail(elsewhere / "b", RuntimeError("quota\nexceeded"))
    with OutputSet(overwrite=False) as files:
        for name in "abc":
            files.stage(elsewhere / name, b"mine")
        with pytest.raises(OSError, match="quota exceeded") as caught:
            files.commit()
    assert caught.value.filename == str(elsewhere / "b")
    assert content(elsewhere) == {}


def test_what_replaced_another_stays_when_a_later_one_fails(elsewhere, fail):
    put(elsewhere / "a", b"theirs")
    fail(elsewhere / "b", RuntimeError("quota exceeded"))
    with pytest.raises(OSError, match="quota exceeded"), OutputSet(overwrite=True) as files:
        files.stage(elsewhere / "a", b"mine")
        files.stage(elsewhere / "b", b"mine")
        files.commit()
    assert content(elsewhere) == {"a": b"mine"}


def test_a_bucket_that_is_not_there_is_an_error_of_the_system(s3):
    target = parse_path("s3://another-bucket/a")
    with pytest.raises(OSError) as caught, OutputSet(overwrite=False) as files:
        files.stage(target, b"mine")
        files.commit()
    assert caught.value.filename == str(target)
    assert "\n" not in caught.value.strerror


# --- file systems elsewhere -------------------------------------------------------------------------------------------


@pytest.fixture
def served(sftp, tmp_path):
    """A folder that is served by SFTP: as it is here, and as it is called elsewhere."""
    folder, url, _ = sftp
    (folder / tmp_path.name).mkdir()
    return folder / tmp_path.name, parse_path(f"{url}/{tmp_path.name}")


def test_a_file_is_never_seen_in_part(served, monkeypatch):
    here, there = served
    with OutputSet(overwrite=False) as files:
        files.stage(there / "a", b"x" * 100_000)
        (temporary,) = here.iterdir()
        assert temporary.name.startswith(".gmmquant-")
        assert temporary.stat().st_size == 100_000
        inode = temporary.stat().st_ino
        files.commit()
    assert (here / "a").stat().st_ino == inode
    assert os.listdir(here) == ["a"]


def test_a_folder_that_is_missing_names_the_file_and_not_the_temporary(served):
    _, there = served
    with pytest.raises(FileNotFoundError) as caught, OutputSet(overwrite=False) as files:
        files.stage(there / "missing" / "a", b"")
    assert caught.value.filename == str(there / "missing" / "a")


def test_bytes_that_get_lost_are_noticed(served, monkeypatch):
    here, there = served
    kind = ask(there, lambda system, _: type(system))
    whole = kind.pipe_file
    monkeypatch.setattr(kind, "pipe_file", lambda self, name, data, **_: whole(self, name, data[:-1]))
    with pytest.raises(OSError, match="only 3 of 4 bytes arrived"), OutputSet(overwrite=False) as files:
        files.stage(there / "a", b"data")
    assert os.listdir(here) == []


def test_a_system_that_moves_nothing_onto_a_file_is_served_too(served, monkeypatch):
    here, there = served
    kind = ask(there, lambda system, _: type(system))
    move = kind.mv

    def careful(self, old, new):
        if self.exists(new):
            raise OSError("the name is taken")
        move(self, old, new)

    monkeypatch.setattr(kind, "mv", careful)
    for data in (b"old", b"new"):
        with OutputSet(overwrite=True) as files:
            files.stage(there / "a", data)
            files.commit()
        assert (here / "a").read_bytes() == data
    (here / "folder").mkdir()
    with pytest.raises(OSError), OutputSet(overwrite=True) as files:
        files.stage(there / "folder", b"new")
        files.commit()
    assert sorted(os.listdir(here)) == ["a", "folder"]


def test_a_line_that_was_cut_between_stage_and_commit_loses_nothing(served, sftp):
    here, there = served
    with OutputSet(overwrite=False) as files:
        files.stage(there / "a", b"data")
        sftp[2]()
        files.commit()
    assert (here / "a").read_bytes() == b"data"


def test_a_sweep_takes_old_temporaries_and_nothing_else(served):
    here, there = served
    day = 86_400
    ages = {
        ".gmmquant-dead-0.tmp": 1.1 * day,
        ".gmmquant-alive-0.tmp": 0.9 * day,
        ".gmmquant-new-0.tmp": 0,
        ".gmmquant-notes": 9 * day,
        "old.tmp": 9 * day,
    }
    for name, age in ages.items():
        (here / name).write_bytes(b"")
        os.utime(here / name, (time.time() - age, time.time() - age))
    (here / ".gmmquant-folder-0.tmp").mkdir()
    os.utime(here / ".gmmquant-folder-0.tmp", (0, 0))
    sweep_temporaries(there)
    assert sorted(os.listdir(here)) == sorted(ages.keys() - {".gmmquant-dead-0.tmp"} | {".gmmquant-folder-0.tmp"})
    sweep_temporaries(there / "missing")


def test_nothing_is_swept_from_an_object_store(monkeypatch):
    put(parse_path("memory://swept/.gmmquant-dead-0.tmp"), b"")
    monkeypatch.setattr(atomic, "_LIFE_SECONDS", -1)
    sweep_temporaries(parse_path("memory://swept"))
    assert content(parse_path("memory://swept")) == {".gmmquant-dead-0.tmp": b""}


@pytest.mark.parametrize("error", [FileExistsError("a"), OSError("Failure")])
def test_two_that_make_one_folder_at_once_both_have_it(served, monkeypatch, error):
    here, there = served
    kind = ask(there, lambda system, _: type(system))
    make = kind.makedirs

    def lose(self, path, exist_ok):
        if not (here / "a").exists():
            (here / "a").mkdir()
            raise error
        make(self, path, exist_ok=exist_ok)

    monkeypatch.setattr(kind, "makedirs", lose)
    make_folder(there / "a" / "b")
    assert (here / "a" / "b").is_dir()


def test_a_url_of_this_machine_is_written_as_a_path_is(tmp_path):
    (tmp_path / "a").write_bytes(b"theirs")
    target = parse_path(f"file://{tmp_path}/a")
    with pytest.raises(OutputError, match="a exists"), OutputSet(overwrite=False, times=(5, 7)) as files:
        files.stage(target, b"mine")
        assert any(name.endswith("-0.tmp") for name in os.listdir(tmp_path))
        files.commit()
    assert os.listdir(tmp_path) == ["a"]
