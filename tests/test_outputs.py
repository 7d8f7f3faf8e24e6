"""Files appear under their names complete and together, or not at all."""

import errno
import fcntl
import os
import stat

import pytest

from gmmquant import outputs
from gmmquant.errors import OutputError
from gmmquant.outputs import OutputSet, sweep_temporaries


def names(folder):
    return sorted(os.listdir(folder))


def test_nothing_has_its_name_before_commit_and_everything_after(tmp_path):
    with OutputSet(overwrite=False) as files:
        files.stage(tmp_path / "a", b"first")
        files.stage(tmp_path / "b", b"second")
        assert all(name.startswith(".gmmquant-") and name.endswith(".tmp") for name in names(tmp_path))
        files.commit()
    assert names(tmp_path) == ["a", "b"]
    assert (tmp_path / "a").read_bytes() == b"first"
    assert (tmp_path / "b").read_bytes() == b"second"


def test_without_commit_nothing_is_left(tmp_path):
    with pytest.raises(ZeroDivisionError), OutputSet(overwrite=False) as files:
        files.stage(tmp_path / "a", b"first")
        _ = 1 / 0
    assert names(tmp_path) == []


def test_a_file_that_appears_meanwhile_is_neither_replaced_nor_joined(tmp_path):
    with pytest.raises(OutputError, match="b exists"), OutputSet(overwrite=False) as files:
        files.stage(tmp_path / "a", b"mine")
        files.stage(tmp_path / "b", b"mine")
        (tmp_path / "b").write_bytes(b"theirs")
        files.commit()
    assert names(tmp_path) == ["b"]
    assert (tmp_path / "b").read_bytes() == b"theirs"


def test_overwrite_replaces_a_file_in_one_step(tmp_path):
    (tmp_path / "a").write_bytes(b"old")
    with OutputSet(overwrite=True) as files, open(tmp_path / "a", "rb") as reader:
        files.stage(tmp_path / "a", b"new")
        files.commit()
        assert reader.read() == b"old"
    assert (tmp_path / "a").read_bytes() == b"new"


def test_a_dangling_link_counts_as_a_file_that_exists(tmp_path):
    (tmp_path / "a").symlink_to("nowhere")
    with pytest.raises(OutputError), OutputSet(overwrite=False) as files:
        files.stage(tmp_path / "a", b"new")
        files.commit()
    assert names(tmp_path) == ["a"]
    assert not (tmp_path / "nowhere").exists()


def test_a_file_system_without_hard_links_is_served_too(tmp_path, monkeypatch):
    def no_links(*_):
        raise OSError(errno.EPERM, "Operation not permitted")

    monkeypatch.setattr(os, "link", no_links)
    (tmp_path / "b").write_bytes(b"theirs")
    with OutputSet(overwrite=False) as files:
        files.stage(tmp_path / "a", b"new")
        files.commit()
    with pytest.raises(OutputError), OutputSet(overwrite=False) as files:
        files.stage(tmp_path / "b", b"mine")
        files.commit()
    assert names(tmp_path) == ["a", "b"]
    assert (tmp_path / "b").read_bytes() == b"theirs"


@pytest.mark.parametrize("call", ["write", "fsync"])
def test_a_disk_that_fails_leaves_nothing_behind(tmp_path, monkeypatch, call):
    with OutputSet(overwrite=False) as files:
        files.stage(tmp_path / "a", b"fits")

        def full(*_):
            raise OSError(errno.ENOSPC, "No space left on device")

        monkeypatch.setattr(outputs.os, call, full)
        with pytest.raises(OSError, match="No space left"):
            files.stage(tmp_path / "b", b"does not fit")
    assert names(tmp_path) == []


def test_writes_that_the_system_cuts_short_are_continued(tmp_path, monkeypatch):
    write = os.write
    monkeypatch.setattr(outputs.os, "write", lambda descriptor, data: write(descriptor, data[:3]))
    with OutputSet(overwrite=False) as files:
        files.stage(tmp_path / "a", b"0123456789")
        files.commit()
    assert (tmp_path / "a").read_bytes() == b"0123456789"


def test_a_staged_file_never_takes_the_place_of_another(tmp_path, monkeypatch):
    monkeypatch.setattr(outputs.secrets, "token_hex", lambda _: "0")
    (tmp_path / ".gmmquant-0-0.tmp").write_bytes(b"theirs")
    with pytest.raises(FileExistsError), OutputSet(overwrite=True) as files:
        files.stage(tmp_path / "a", b"mine")


def test_hundreds_of_outputs_need_few_open_files(tmp_path):
    before = len(os.listdir("/proc/self/fd"))
    with OutputSet(overwrite=False) as files:
        for i in range(300):
            files.stage(tmp_path / str(i), b"x")
        assert len(os.listdir("/proc/self/fd")) <= before + 1
        files.commit()
    assert len(names(tmp_path)) == 300


def test_new_files_have_the_permissions_of_the_umask(tmp_path):
    previous = os.umask(0o027)
    try:
        with OutputSet(overwrite=False) as files:
            files.stage(tmp_path / "a", b"")
            files.commit()
    finally:
        os.umask(previous)
    assert stat.S_IMODE((tmp_path / "a").stat().st_mode) == 0o640


def test_a_sweep_takes_what_dead_runs_left_and_nothing_else(tmp_path):
    for name in (".gmmquant-dead.tmp", ".gmmquant-dead-0.tmp", ".gmmquant-dead-1.tmp", ".gmmquant-orphan-0.tmp"):
        (tmp_path / name).write_bytes(b"torn")
    others = [".gmmquant-notes", "picture.tmp"]
    for name in others:
        (tmp_path / name).write_bytes(b"mine")
    sweep_temporaries(tmp_path)
    assert names(tmp_path) == others
    sweep_temporaries(tmp_path / "missing")


def test_a_sweep_follows_no_link_and_waits_for_no_pipe(tmp_path):
    (tmp_path / "mine").write_bytes(b"mine")
    (tmp_path / ".gmmquant-link.tmp").symlink_to("mine")
    os.mkfifo(tmp_path / ".gmmquant-pipe.tmp")
    sweep_temporaries(tmp_path)
    assert (tmp_path / "mine").read_bytes() == b"mine"


def test_a_sweep_leaves_the_temporaries_of_a_living_run(tmp_path):
    with OutputSet(overwrite=False) as files:
        files.stage(tmp_path / "a", b"alive")
        sweep_temporaries(tmp_path)
        files.commit()
    assert names(tmp_path) == ["a"]
    assert (tmp_path / "a").read_bytes() == b"alive"


def test_a_temporary_that_a_sweep_catches_newborn_is_made_again(tmp_path, monkeypatch):
    flock, calls = fcntl.flock, []

    def swept_first(descriptor, operation):
        calls.append(descriptor)
        if len(calls) == 1:
            for path in tmp_path.iterdir():
                path.unlink()
        return flock(descriptor, operation)

    monkeypatch.setattr(outputs.fcntl, "flock", swept_first)
    with OutputSet(overwrite=False) as files:
        files.stage(tmp_path / "a", b"alive")
        files.commit()
    assert names(tmp_path) == ["a"]
