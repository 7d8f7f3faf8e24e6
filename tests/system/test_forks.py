"""Work in forks: its results are those of this process, whatever happens to the forks, which leave nothing behind."""

import os
import pickle
import signal
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from functools import partial

import pytest
from waiting import GUARD_SECONDS, wait_for

from gmmquant.system import forks, threads
from gmmquant.system.forks import forked

pytestmark = [
    pytest.mark.skipif(sys.platform != "linux", reason="only there are processes forked"),
    pytest.mark.filterwarnings("error"),
]

HERE = os.getpid()


def process():
    return os.getpid()


def n_descriptors():
    return len(os.listdir("/proc/self/fd"))


def test_each_result_is_from_a_process_of_its_own():
    with forked([process, process]) as results:
        first, second = (result() for result in results)
    assert len({first, second, HERE}) == 3


def test_a_result_larger_than_a_pipe_holds_arrives_whole():
    with forked([partial(bytes, 10_000_000)]) as [result]:
        assert result() == bytes(10_000_000)


def fail_elsewhere(how):
    if os.getpid() != HERE:
        how()
    return os.getpid()


@pytest.mark.parametrize(
    "how",
    [
        lambda: signal.raise_signal(signal.SIGKILL),
        lambda: signal.raise_signal(signal.SIGTERM),
        lambda: signal.raise_signal(signal.SIGINT),
        lambda: bytes(1 << 62),
        lambda: sys.exit("no"),
    ],
    ids=["killed", "terminated", "interrupted", "without memory", "exit"],
)
def test_what_fails_in_a_fork_is_done_here(how, capfd):
    with forked([partial(fail_elsewhere, how)]) as [result]:
        assert result() == HERE
    assert capfd.readouterr() == ("", "")


@pytest.mark.parametrize("written", [b"", bytes(7), (99).to_bytes(8) + pickle.dumps("torn")])
def test_a_result_that_is_not_whole_is_not_taken(monkeypatch, written):
    def serve(work, results, parent):
        os.write(results, written)
        os._exit(0)

    monkeypatch.setattr(forks, "_serve", serve)
    with forked([process]) as [result]:
        assert result() == HERE


def test_what_cannot_be_pickled_is_done_here():
    with forked([lambda: lambda: 5]) as [result]:
        assert result()() == 5


@pytest.mark.parametrize("call", ["fork", "pipe"])
def test_without_a_process_or_descriptors_the_work_is_done_here(monkeypatch, call):
    def refuse():
        raise BlockingIOError

    monkeypatch.setattr(forks.os, call, refuse)
    before = n_descriptors()
    with forked([process]) as [result]:
        assert n_descriptors() == before
        assert result() == HERE


def test_a_thread_among_others_is_not_forked():
    """A fork of it waited for ever for the lock of a cached property that another thread was computing."""

    def work():
        with forked([process]) as [result]:
            return result()

    with ThreadPoolExecutor() as pool:
        assert pool.submit(work).result() == HERE


def test_an_error_of_the_work_is_raised_where_its_result_is_asked_for():
    with forked([partial(int, "x")]) as [result], pytest.raises(ValueError, match="'x'"):
        result()


def test_forks_end_with_the_block_and_leave_no_process_and_no_descriptor(monkeypatch):
    pids, fork = [], os.fork
    monkeypatch.setattr(forks.os, "fork", lambda: pids.append(fork()) or pids[-1])
    before = n_descriptors()
    with pytest.raises(KeyError), forked([partial(time.sleep, 2 * GUARD_SECONDS)] * 2):
        raise KeyError
    assert n_descriptors() == before
    assert len(pids) == 2
    for pid in pids:
        with pytest.raises(ChildProcessError):
            os.waitpid(pid, os.WNOHANG)


def test_a_fork_has_one_computing_thread():
    with forked([threads.n_processors]) as [result]:
        assert result() == 1


def test_a_fork_dies_with_its_parent():
    code = (
        "import os, time\n"
        "from gmmquant.system.forks import forked\n"
        "def work():\n"
        "    print(os.getpid(), flush=True)\n"
        "    time.sleep(600)\n"
        "with forked([work]) as [result]:\n"
        "    result()\n"
    )
    with subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True) as parent:
        fork = int(parent.stdout.readline())
        parent.kill()
        assert parent.stdout.read() == ""  # ends when no process holds it
    wait_for(lambda: not os.path.exists(f"/proc/{fork}"))
