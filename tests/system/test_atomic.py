"""Outputs appear complete and together, or not at all."""

import errno
import fcntl
import io
import os
import signal
import stat
import threading
from pathlib import Path

import pytest

from gmmquant.errors import OutputError, ParameterError
from gmmquant.system import atomic
from gmmquant.system.atomic import OutputSet, sweep_temporaries
from gmmquant.system.process import Stopped, stopped_by_signals


def names(folder):
    return sorted(os.listdir(folder))


def test_no_final_name_exists_before_commit_and_all_do_after(tmp_path):
    with OutputSet(overwrite=False) as files:
        files.stage(tmp_path / "a", b"first")
        files.stage(tmp_path / "b", b"second")
        assert all(name.startswith(".gmmquant-") and name.endswith(".tmp") for name in names(tmp_path))
        assert files.commit() == [tmp_path / "a", tmp_path / "b"]
    assert names(tmp_path) == ["a", "b"]
    assert (tmp_path / "a").read_bytes() == b"first"
    assert (tmp_path / "b").read_bytes() == b"second"


def test_without_commit_nothing_is_left(tmp_path):
    with pytest.raises(ZeroDivisionError), OutputSet(overwrite=False) as files:
        files.stage(tmp_path / "a", b"first")
        _ = 1 / 0
    assert names(tmp_path) == []


def test_a_file_that_appears_before_commit_is_kept_and_nothing_is_written(tmp_path):
    with pytest.raises(OutputError, match="b exists"), OutputSet(overwrite=False) as files:
        files.stage(tmp_path / "a", b"mine")
        files.stage(tmp_path / "b", b"mine")
        (tmp_path / "b").write_bytes(b"theirs")
        files.commit()
    assert names(tmp_path) == ["b"]
    assert (tmp_path / "b").read_bytes() == b"theirs"


def test_a_folder_with_the_name_of_one_file_stops_all(tmp_path):
    (tmp_path / "b.json").mkdir()
    (tmp_path / "a.png").write_bytes(b"old")
    with pytest.raises(ParameterError, match=r"b\.json is a folder; move it"), OutputSet(overwrite=True) as files:
        files.stage(tmp_path / "a.png", b"new")
        files.stage(tmp_path / "b.json", b"{}")
        files.commit()
    assert (tmp_path / "a.png").read_bytes() == b"old"
    assert sorted(os.listdir(tmp_path)) == ["a.png", "b.json"]


def test_a_link_to_a_folder_is_replaced_like_any_link(tmp_path):
    (tmp_path / "folder").mkdir()
    (tmp_path / "a.png").symlink_to("folder")
    with OutputSet(overwrite=True) as files:
        files.stage(tmp_path / "a.png", b"new")
        files.commit()
    assert not (tmp_path / "a.png").is_symlink()
    assert (tmp_path / "a.png").read_bytes() == b"new"


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


def test_a_file_system_without_hard_links_works_too(tmp_path, monkeypatch):
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


@pytest.mark.parametrize("links", [True, False])
def test_existing_files_can_be_kept_while_the_others_are_written(tmp_path, monkeypatch, links):
    def no_links(*_):
        raise OSError(errno.EPERM, "Operation not permitted")

    if not links:
        monkeypatch.setattr(os, "link", no_links)
    (tmp_path / "c").symlink_to("nowhere")
    with OutputSet(overwrite=False, keep=True) as files:
        for name in "abc":
            files.stage(tmp_path / name, b"mine")
        (tmp_path / "b").write_bytes(b"theirs")
        assert files.commit() == [tmp_path / "a"]
    assert names(tmp_path) == ["a", "b", "c"]
    assert [(tmp_path / name).read_bytes() for name in "ab"] == [b"mine", b"theirs"]
    assert not (tmp_path / "nowhere").exists()


def test_a_failure_removes_written_files_but_not_kept_ones(tmp_path):
    (tmp_path / "a").write_bytes(b"theirs")
    with OutputSet(overwrite=False, keep=True) as files:
        for name in "abc":
            files.stage(tmp_path / name, b"mine")
        os.unlink(next(path for path in tmp_path.iterdir() if path.name.endswith("-2.tmp")))
        with pytest.raises(FileNotFoundError):
            files.commit()
    assert names(tmp_path) == ["a"]
    assert (tmp_path / "a").read_bytes() == b"theirs"


def test_overwrite_and_keep_together_are_refused():
    with pytest.raises(ParameterError, match="not both"):
        OutputSet(overwrite=True, keep=True)


@pytest.mark.parametrize("overwrite", [True, False])
def test_a_file_has_its_times_to_the_nanosecond_when_it_appears(tmp_path, overwrite):
    times = (1_234_567_890_123_456_789, 987_654_321_000_000_001)
    with OutputSet(overwrite=overwrite, times=times) as files:
        files.stage(tmp_path / "a", b"data")
        (temporary,) = (path for path in tmp_path.iterdir() if path.name.endswith("-0.tmp"))
        assert (temporary.stat().st_atime_ns, temporary.stat().st_mtime_ns) == times
        files.commit()
    status = (tmp_path / "a").stat()
    assert (status.st_atime_ns, status.st_mtime_ns) == times


def open_raw(monkeypatch, write):
    """Make the module write to files by `write(raw file, data)`."""

    class Raw(io.FileIO):
        def write(self, data):
            return write(super(), bytes(data))

    monkeypatch.setattr(atomic, "open", lambda path, mode: io.BufferedWriter(Raw(path, mode)), raising=False)


@pytest.mark.parametrize("call", ["write", "fsync"])
def test_a_disk_that_fails_leaves_nothing_behind(tmp_path, monkeypatch, call):
    with OutputSet(overwrite=False) as files:
        files.stage(tmp_path / "a", b"fits")

        def full(*_):
            raise OSError(errno.ENOSPC, "No space left on device")

        if call == "write":
            open_raw(monkeypatch, full)
        else:
            monkeypatch.setattr(atomic.os, call, full)
        with pytest.raises(OSError, match="No space left") as caught:
            files.stage(tmp_path / "b", b"does not fit")
        assert caught.value.filename == str(tmp_path / "b")
    assert names(tmp_path) == []


def test_a_folder_is_flushed_once_all_of_its_files_have_their_names(tmp_path, monkeypatch):
    flushed, fsync = [], os.fsync

    def flush(descriptor):
        if stat.S_ISDIR(os.fstat(descriptor).st_mode):
            flushed.append([name for name in names(tmp_path) if not name.startswith(".")])
        fsync(descriptor)

    monkeypatch.setattr(atomic.os, "fsync", flush)
    with OutputSet(overwrite=False) as files:
        for name in "abc":
            files.stage(tmp_path / name, b"1")
        files.commit()
    assert flushed == [["a", "b", "c"]]


@pytest.mark.parametrize("number", [errno.EINVAL, errno.EIO])
def test_files_are_written_where_a_folder_cannot_be_flushed(tmp_path, monkeypatch, number):
    fsync = os.fsync

    def refuse(descriptor):
        if stat.S_ISDIR(os.fstat(descriptor).st_mode):
            raise OSError(number, os.strerror(number))
        fsync(descriptor)

    monkeypatch.setattr(atomic.os, "fsync", refuse)
    with OutputSet(overwrite=False) as files:
        files.stage(tmp_path / "a", b"1")
        assert files.commit() == [tmp_path / "a"]
    assert names(tmp_path) == ["a"]


def refuse_removal(monkeypatch, refuses):
    """Make the removal of files fail whose names `refuses` returns true for."""
    unlink = Path.unlink

    def fail(path, *arguments, **options):
        if refuses(path.name):
            raise OSError(errno.EIO, "Input/output error", str(path))
        unlink(path, *arguments, **options)

    monkeypatch.setattr(Path, "unlink", fail)


def test_a_temporary_that_cannot_be_removed_fails_nothing_and_is_swept_later(tmp_path, monkeypatch):
    with monkeypatch.context() as patch, OutputSet(overwrite=False) as files:
        files.stage(tmp_path / "a", b"1")
        assert files.commit() == [tmp_path / "a"]
        refuse_removal(patch, lambda name: name.startswith("."))
        files.close()
        assert len(names(tmp_path)) == 3
    sweep_temporaries(tmp_path)
    assert names(tmp_path) == ["a"]


def test_a_lock_that_cannot_be_closed_fails_nothing_once_the_files_have_their_names(tmp_path, monkeypatch):
    close = os.close

    def fail(descriptor):
        close(descriptor)
        raise OSError(errno.EIO, "Input/output error")

    with OutputSet(overwrite=False) as files:
        files.stage(tmp_path / "a", b"first")
        files.commit()
        monkeypatch.setattr(os, "close", fail)
    assert names(tmp_path) == ["a"]


def test_a_written_file_that_cannot_be_removed_does_not_hide_the_failure_or_keep_the_others(tmp_path, monkeypatch):
    (tmp_path / "c").touch()
    refuse_removal(monkeypatch, lambda name: name == "a")
    with pytest.raises(OutputError, match="c exists"), OutputSet(overwrite=False) as files:
        for name in "abc":
            files.stage(tmp_path / name, b"1")
        files.commit()
    assert names(tmp_path) == ["a", "c"]


def test_partial_writes_are_continued(tmp_path, monkeypatch):
    open_raw(monkeypatch, lambda file, data: file.write(data[:3]))
    with OutputSet(overwrite=False) as files:
        files.stage(tmp_path / "a", b"0123456789")
        files.commit()
    assert (tmp_path / "a").read_bytes() == b"0123456789"


def test_a_staged_file_never_replaces_the_temporary_of_another_run(tmp_path, monkeypatch):
    monkeypatch.setattr(atomic.secrets, "token_hex", lambda _: "0")
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


def test_a_sweep_removes_temporaries_of_dead_runs_only(tmp_path):
    for name in (".gmmquant-dead.tmp", ".gmmquant-dead-0.tmp", ".gmmquant-dead-1.tmp", ".gmmquant-orphan-0.tmp"):
        (tmp_path / name).write_bytes(b"torn")
    others = [".gmmquant-notes", "image.tmp"]
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


def test_a_sweep_keeps_the_temporaries_of_a_live_run(tmp_path):
    with OutputSet(overwrite=False) as files:
        files.stage(tmp_path / "a", b"alive")
        sweep_temporaries(tmp_path)
        files.commit()
    assert names(tmp_path) == ["a"]
    assert (tmp_path / "a").read_bytes() == b"alive"


def test_a_lock_that_a_sweep_removes_at_once_is_made_again(tmp_path, monkeypatch):
    flock, calls = fcntl.flock, []

    def swept_first(descriptor, operation):
        calls.append(descriptor)
        if len(calls) == 1:
            for path in tmp_path.iterdir():
                path.unlink()
        return flock(descriptor, operation)

    monkeypatch.setattr(atomic.fcntl, "flock", swept_first)
    with OutputSet(overwrite=False) as files:
        files.stage(tmp_path / "a", b"alive")
        files.commit()
    assert names(tmp_path) == ["a"]


@pytest.mark.parametrize("refusals", [[errno.EAGAIN], [errno.ENOLCK]], ids=["a sweep holds it", "no locks"])
def test_a_lock_that_the_system_refuses_stops_no_output(tmp_path, monkeypatch, refusals):
    flock, locked = fcntl.flock, []

    def refuse(descriptor, operation):
        if refusals:
            raise OSError(refusals.pop(), "refused")
        locked.append(descriptor)
        return flock(descriptor, operation)

    expected = 1 if refusals == [errno.EAGAIN] else 0  # another lock is tried if only this one is held
    monkeypatch.setattr(atomic.fcntl, "flock", refuse)
    with OutputSet(overwrite=False) as files:
        files.stage(tmp_path / "a", b"alive")
        files.commit()
    assert len(locked) == expected
    assert (tmp_path / "a").read_bytes() == b"alive"
    sweep_temporaries(tmp_path)
    assert names(tmp_path) == ["a"]


def test_a_name_that_another_run_takes_at_the_last_moment_is_kept(tmp_path, monkeypatch):
    (tmp_path / "a").write_bytes(b"theirs")
    monkeypatch.setattr(atomic, "exists", lambda path: False)  # as it was a moment ago
    with pytest.raises(OutputError, match="a exists"), OutputSet(overwrite=False) as files:
        files.stage(tmp_path / "a", b"mine")
        files.commit()
    assert names(tmp_path) == ["a"]
    assert (tmp_path / "a").read_bytes() == b"theirs"


@pytest.mark.parametrize("at", [1, 2, 3])
def test_a_signal_during_commit_leaves_all_files_or_none(tmp_path, monkeypatch, at):
    links, link = [], os.link

    def linked_and_signalled(*names):
        link(*names)
        links.append(names)
        if len(links) == at:
            signal.raise_signal(signal.SIGTERM)  # to this thread: of a process, any may get it, and late

    monkeypatch.setattr(atomic.os, "link", linked_and_signalled)
    held = signal.getsignal(signal.SIGTERM)
    try:
        with pytest.raises(Stopped), stopped_by_signals(), OutputSet(overwrite=False) as files:
            for name in "abc":
                files.stage(tmp_path / name, b"data")
            files.commit()
    finally:
        for number in (signal.SIGINT, signal.SIGHUP):
            signal.signal(number, signal.default_int_handler if number == signal.SIGINT else signal.SIG_DFL)
        signal.signal(signal.SIGTERM, held)
    assert os.listdir(tmp_path) == []


def test_a_failure_gives_a_replaced_file_its_old_content_again(tmp_path):
    (tmp_path / "report").write_bytes(b"old")
    with pytest.raises(OutputError, match="b exists"), OutputSet(overwrite=False) as files:
        files.stage(tmp_path / "a", b"new")
        files.stage(tmp_path / "report", b"new", replaced=b"old")
        files.stage(tmp_path / "b", b"new")
        (tmp_path / "b").write_bytes(b"theirs")
        files.commit()
    assert names(tmp_path) == ["b", "report"]
    assert (tmp_path / "report").read_bytes() == b"old"


def test_a_file_that_changed_since_it_was_read_is_not_replaced(tmp_path):
    (tmp_path / "report").write_bytes(b"old")
    with pytest.raises(OutputError, match="report was changed by another run"), OutputSet(overwrite=True) as files:
        files.stage(tmp_path / "a", b"new")
        files.stage(tmp_path / "report", b"new", replaced=b"old")
        (tmp_path / "report").write_bytes(b"theirs")
        files.commit()
    assert names(tmp_path) == ["report"]
    assert (tmp_path / "report").read_bytes() == b"theirs"


def test_files_are_written_by_the_caller_if_no_thread_can_be_started(monkeypatch):
    def refuse(*_):
        raise RuntimeError("can't start new thread")

    monkeypatch.setattr(threading.Thread, "start", refuse)
    with atomic.writing(in_background=True) as executor:
        assert executor.submit(threading.get_ident).result() == threading.get_ident()
