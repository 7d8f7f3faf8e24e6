"""Outputs in remote storages: complete and together, or not at all, as far as each storage can guarantee that."""

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
    """Return the contents of a folder by name; empty if the folder does not exist."""
    try:
        return {entry.path.name: open_path(entry.path).read() for entry in entries(folder) if entry.is_file}
    except FileNotFoundError:
        return {}


def put(path, data):
    ask(path, lambda system, name: system.pipe_file(name, data))


@pytest.fixture
def fail(monkeypatch):
    """Make the step that gives a file its final name fail for one name."""

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


def test_no_final_name_exists_before_commit_and_all_do_after(remote_folder):
    with OutputSet(overwrite=False, times=(0, 0)) as files:
        files.stage(remote_folder / "a", b"first")
        files.stage(remote_folder / "b", b"second")
        assert all(name.startswith(".gmmquant-") and name.endswith(".tmp") for name in content(remote_folder))
        assert bool(content(remote_folder)) == (not is_object_store(remote_folder))
        assert files.commit() == [remote_folder / "a", remote_folder / "b"]
    assert content(remote_folder) == {"a": b"first", "b": b"second"}


def test_local_and_remote_outputs_are_written_together(remote_folder, tmp_path):
    (tmp_path / "b").write_bytes(b"theirs")
    with pytest.raises(OutputError, match="b exists"), OutputSet(overwrite=False) as files:
        files.stage(remote_folder / "a", b"mine")
        files.stage(tmp_path / "b", b"mine")
        files.commit()
    assert content(remote_folder) == {}
    assert os.listdir(tmp_path) == ["b"]


def test_without_commit_nothing_is_left(remote_folder):
    with pytest.raises(ZeroDivisionError), OutputSet(overwrite=False) as files:
        files.stage(remote_folder / "a", b"first")
        _ = 1 / 0
    assert content(remote_folder) == {}


def test_an_existing_file_is_kept_and_nothing_is_written(remote_folder):
    with pytest.raises(OutputError, match="b exists"), OutputSet(overwrite=False) as files:
        files.stage(remote_folder / "a", b"mine")
        files.stage(remote_folder / "b", b"mine")
        put(remote_folder / "b", b"theirs")
        files.commit()
    assert content(remote_folder) == {"b": b"theirs"}


def test_an_existing_file_is_replaced_on_request(remote_folder):
    put(remote_folder / "a", b"an old and longer one")
    with OutputSet(overwrite=True) as files:
        files.stage(remote_folder / "a", b"new")
        assert files.commit() == [remote_folder / "a"]
    assert content(remote_folder) == {"a": b"new"}


def test_existing_files_can_be_kept_while_the_others_are_written(remote_folder):
    put(remote_folder / "a", b"theirs")
    with OutputSet(overwrite=False, keep=True) as files:
        files.stage(remote_folder / "a", b"mine")
        files.stage(remote_folder / "b", b"mine")
        assert files.commit() == [remote_folder / "b"]
    assert content(remote_folder) == {"a": b"theirs", "b": b"mine"}


def test_an_object_that_appears_after_the_check_is_not_replaced(remote_folder, monkeypatch):
    if not is_object_store(remote_folder):
        pytest.skip("a file system has no way to create a name only if it is free")
    put(remote_folder / "a", b"theirs")
    monkeypatch.setattr(atomic, "exists", lambda _: False)
    with pytest.raises(OutputError, match="a exists"), OutputSet(overwrite=False) as files:
        files.stage(remote_folder / "a", b"mine")
        files.commit()
    assert content(remote_folder) == {"a": b"theirs"}


def test_a_store_without_exclusive_creation_works_too(monkeypatch):
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


def test_a_failure_in_commit_removes_the_files_before_it(remote_folder, fail):
    fail(remote_folder / "b", RuntimeError("quota\nexceeded"))
    with OutputSet(overwrite=False) as files:
        for name in "abc":
            files.stage(remote_folder / name, b"mine")
        with pytest.raises(OSError, match="quota exceeded") as caught:
            files.commit()
    assert caught.value.filename == str(remote_folder / "b")
    assert content(remote_folder) == {}


def test_a_file_that_replaced_another_stays_if_a_later_one_fails(remote_folder, fail):
    put(remote_folder / "a", b"theirs")
    fail(remote_folder / "b", RuntimeError("quota exceeded"))
    with pytest.raises(OSError, match="quota exceeded"), OutputSet(overwrite=True) as files:
        files.stage(remote_folder / "a", b"mine")
        files.stage(remote_folder / "b", b"mine")
        files.commit()
    assert content(remote_folder) == {"a": b"mine"}


@pytest.mark.parametrize("lost", [1, 2], ids=["first file", "second file"])
def test_a_file_whose_answer_is_lost_is_written_once_and_is_not_taken_for_that_of_another_run(
    remote_folder, request, monkeypatch, lost
):
    """The request that gives a file its name is done, its answer is lost, and it is repeated."""
    if remote_folder.scheme == "s3":
        faults = request.getfixturevalue("s3_faults")
        faults.start(lambda _: "lost" if faults.requests[-1].startswith("PUT") and len(puts(faults)) == lost else None)
    else:
        lose_the_answer(monkeypatch, remote_folder, lost)
    with OutputSet(overwrite=False) as files:
        files.stage(remote_folder / "a", b"first")
        files.stage(remote_folder / "b", b"second")
        assert files.commit() == [remote_folder / "a", remote_folder / "b"]
    assert content(remote_folder) == {"a": b"first", "b": b"second"}


def puts(faults):
    return [request for request in faults.requests if request.startswith("PUT")]


def lose_the_answer(monkeypatch, folder, number):
    """Make one call of a storage, counted from 1, raise an error after it was done."""
    kind = ask(folder, lambda system, _: type(system))
    method = "pipe_file" if folder.scheme == "memory" else "mv"
    call, calls = getattr(kind, method), []

    def do_and_fail(self, *arguments, **options):
        calls.append(call(self, *arguments, **options))
        if len(calls) == number:
            raise OSError("the connection was lost")

    monkeypatch.setattr(kind, method, do_and_fail)


def test_a_missing_bucket_is_an_oserror(s3):
    target = parse_path("s3://another-bucket/a")
    with pytest.raises(OSError) as caught, OutputSet(overwrite=False) as files:
        files.stage(target, b"mine")
        files.commit()
    assert caught.value.filename == str(target)
    assert "\n" not in caught.value.strerror


# --- remote file systems ---------------------------------------------------------------------------------------------


@pytest.fixture
def served(sftp, tmp_path):
    """A folder served by SFTP: its local path and its URL."""
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


def test_an_error_of_a_missing_folder_names_the_file_and_not_the_temporary(served):
    _, there = served
    with pytest.raises(FileNotFoundError) as caught, OutputSet(overwrite=False) as files:
        files.stage(there / "missing" / "a", b"")
    assert caught.value.filename == str(there / "missing" / "a")


def test_missing_bytes_are_noticed(served, monkeypatch):
    here, there = served
    kind = ask(there, lambda system, _: type(system))
    send = kind.pipe_file
    monkeypatch.setattr(kind, "pipe_file", lambda self, name, data, **_: send(self, name, data[:-1]))
    with pytest.raises(OSError, match="only 3 of 4 bytes arrived"), OutputSet(overwrite=False) as files:
        files.stage(there / "a", b"data")
    assert os.listdir(here) == []


def test_a_system_that_cannot_move_onto_a_file_works_too(served, monkeypatch):
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


def test_a_connection_that_is_cut_between_stage_and_commit_loses_nothing(served, sftp):
    here, there = served
    with OutputSet(overwrite=False) as files:
        files.stage(there / "a", b"data")
        sftp[2]()
        files.commit()
    assert (here / "a").read_bytes() == b"data"


def test_a_sweep_removes_old_temporaries_only(served):
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
def test_two_runs_can_make_the_same_folder_at_once(served, monkeypatch, error):
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
