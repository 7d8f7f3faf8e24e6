"""Executors: results in order, items taken late, and processes that die."""

import contextlib
import errno
import os
import signal
import subprocess
import sys
import time
from functools import partial
from math import log2
from multiprocessing import resource_tracker
from multiprocessing.connection import Connection
from multiprocessing.process import BaseProcess
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from waiting import GUARD_SECONDS, wait_for
from work import (
    children,
    clean_up,
    count_processors,
    die,
    fail,
    ignore_sigterm,
    large,
    leave_a_mark,
    longer_for_earlier,
    meet,
    square,
    take_and_die,
    take_memory,
    take_memory_in_turn,
    wait_long,
)

from gmmquant.errors import ImageError
from gmmquant.system import threads
from gmmquant.system.executors import processes
from gmmquant.system.executors.base import WorkerDied
from gmmquant.system.executors.processes import ProcessExecutor
from gmmquant.system.executors.serial import SerialExecutor

METHODS = ["fork", "spawn"]

pytestmark = pytest.mark.filterwarnings("ignore:.*multi-threaded.*fork:DeprecationWarning")


@pytest.fixture(params=["in process", *METHODS])
def executor(request):
    """Each executor, with two processes if it has any."""
    return SerialExecutor() if request.param == "in process" else ProcessExecutor(2, start_method=request.param)


def is_alive(pid):
    """Return whether a process runs; a zombie does not."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


def open_pipes():
    """Return the open pipes and sockets of this process, which lead to its workers."""
    found = set()
    for number in os.listdir("/proc/self/fd"):
        with contextlib.suppress(FileNotFoundError):  # that of the folder itself
            found.add((number, os.readlink(f"/proc/self/fd/{number}")))
    return {(number, target) for number, target in found if target.startswith(("pipe:", "socket:"))}


@pytest.fixture
def nothing_left():
    """Check that no process, zombie or open pipe is left."""
    resource_tracker.ensure_running()  # "spawn" starts it once and keeps it
    pipes, processes_before = open_pipes(), children()
    yield
    assert open_pipes() <= pipes  # what other tests dropped may go meanwhile
    assert children() == processes_before


# --- results ----------------------------------------------------------------------------------------------------------


@given(st.lists(st.integers(), max_size=20))
def test_the_serial_executor_returns_the_results_of_the_work(items):
    assert list(SerialExecutor().map(square, items)) == [item * item for item in items]


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize(("n", "n_items"), [(1, 0), (1, 5), (3, 13), (9, 2)])
def test_results_are_in_order_from_no_more_processes_than_items(method, n, n_items, nothing_left):
    results = list(ProcessExecutor(n, start_method=method).map(longer_for_earlier, range(n_items)))
    assert [item for item, _ in results] == list(range(n_items))
    pids = {pid for _, pid in results}
    assert os.getpid() not in pids
    assert len(pids) <= min(n, n_items)


def test_several_items_are_worked_on_at_a_time(tmp_path, nothing_left):
    pids = list(ProcessExecutor(3).map(partial(meet, folder=tmp_path, n=3), range(3)))
    assert len(set(pids)) == 3


def test_a_result_may_be_large(nothing_left):
    assert [len(result) for result in ProcessExecutor(2).map(large, range(4))] == [3_000_000] * 4


def test_each_process_computes_in_one_thread(executor):
    expected = threads.n_processors() if isinstance(executor, SerialExecutor) else 1
    assert list(executor.map(count_processors, range(3))) == [expected] * 3


def test_no_item_is_taken_before_it_can_be_started(tmp_path, nothing_left):
    taken = []

    def items():
        for item in range(40):
            done = sum(path.name.isdecimal() for path in tmp_path.iterdir())
            assert item - done < 2  # of two processes, one at least has nothing to do
            taken.append(item)
            yield item

    (tmp_path / "go").touch()
    for position, item in enumerate(ProcessExecutor(2).map(partial(leave_a_mark, folder=tmp_path), items())):
        assert item == position
    assert len(taken) == 40


def test_the_number_of_results_that_wait_for_an_earlier_one_is_limited(tmp_path, monkeypatch, nothing_left):
    monkeypatch.setattr(processes, "_MAX_WAITING", 4)
    taken, calls, most = [], [], []

    def items():
        for item in range(30):
            taken.append(item)
            yield item

    def idle():
        calls.append(len(taken))
        if len(taken) >= 8 and calls[-4:] == [len(taken)] * 4:  # nothing more is taken
            most.append(len(taken))
            (tmp_path / "go").touch()

    executor = ProcessExecutor(2, idle=idle)
    assert list(executor.map(partial(leave_a_mark, folder=tmp_path), items())) == list(range(30))
    assert most[0] == 8


def test_ending_the_items_yields_the_started_ones_and_no_more(nothing_left):
    taken, ended = [], []

    def items():
        for item in range(100):
            if ended:
                return
            taken.append(item)
            yield item

    results = []
    for result in ProcessExecutor(2).map(square, items()):
        results.append(result)
        if result == 9:
            ended.append(True)
    assert results == [item * item for item in taken]
    assert 4 <= len(results) < 100


# --- what goes wrong --------------------------------------------------------------------------------------------------


def died(how):
    """Return the result of an item whose process ended in this way."""
    return WorkerDied(f"its process {how}, perhaps for lack of memory; run it alone with --jobs 1, or scale it down")


@pytest.mark.parametrize("method", METHODS)
def test_a_process_that_dies_fails_its_item_only_and_the_reason_says_how(method, nothing_left):
    items = ["a", "by SIGKILL", "b", "by os._exit", "by a signal without a name", "c", "by SIGKILL"]
    results = list(ProcessExecutor(2, start_method=method).map(die, items))
    assert results == [
        "a",
        died("was killed by SIGKILL"),
        "b",
        died("ended with exit code 7"),
        died(f"was killed by signal {signal.SIGRTMIN + 3}"),
        "c",
        died("was killed by SIGKILL"),
    ]


def test_processes_may_all_die_at_once(nothing_left):
    assert list(ProcessExecutor(3).map(die, ["by SIGKILL"] * 20)) == [died("was killed by SIGKILL")] * 20


def test_an_exception_is_raised_in_its_turn_and_ends_the_work(executor, capfd, nothing_left):
    results = executor.map(fail, range(10))
    assert [next(results), next(results)] == [0, 1]
    with pytest.raises(ImageError, match="no image"):
        next(results)
    assert list(results) == []
    assert capfd.readouterr() == ("", "")


@pytest.mark.parametrize(
    ("item", "kind", "text"),
    [
        ("picky", RuntimeError, "PickyError: 1 and 2"),
        ("system", FileNotFoundError, "No such file"),
        ("function", Exception, "pickle"),
    ],
)
def test_results_and_exceptions_that_cannot_be_pickled_are_described(item, kind, text, capfd, nothing_left):
    with pytest.raises(kind, match=text):
        list(ProcessExecutor(2).map(fail, [item]))
    assert capfd.readouterr() == ("", "")


def test_an_exception_of_the_iterator_of_items_ends_the_work(nothing_left):
    def items():
        yield 1
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        list(ProcessExecutor(2).map(square, items()))


# --- memory -----------------------------------------------------------------------------------------------------------


def test_memory_is_admitted_up_to_the_limit_or_to_one_item(tmp_path, nothing_left):
    sizes = [6, 6, 3, 20, 1, 9, 2, 10, 11, 4, 4, 4]
    executor = ProcessExecutor(4, memory=10)
    assert list(executor.map(partial(take_memory, folder=tmp_path), enumerate(sizes))) == list(range(len(sizes)))
    taken = {}
    for line in (tmp_path / "log").read_text().splitlines():
        number, change = line.split()
        taken[number] = taken.get(number, 0) + int(change)
        holders = [size for size in taken.values() if size]
        assert sum(holders) <= 10 or len(holders) == 1
    assert not any(taken.values())


def test_without_a_limit_all_items_are_admitted_at_once(tmp_path, nothing_left):
    executor = ProcessExecutor(3, memory=None)
    assert list(executor.map(partial(take_memory, folder=tmp_path), [(n, 1 << 60) for n in range(6)])) == list(range(6))


def test_a_large_item_is_not_overtaken_by_later_small_ones(tmp_path, monkeypatch, nothing_left):
    admit = processes._ProcessPool._admit

    def note_and_admit(pool):
        for worker in pool._workers:
            if worker.requested:
                (tmp_path / f"requested {worker.number}").touch()
        admit(pool)

    monkeypatch.setattr(processes._ProcessPool, "_admit", note_and_admit)
    sizes = [5, 10, 5, 5, 5, 5]
    list(ProcessExecutor(3, memory=10).map(partial(take_memory_in_turn, folder=tmp_path), enumerate(sizes)))
    assert (tmp_path / "log").read_text().split()[:2] == ["0", "1"]


def test_the_memory_of_a_process_that_died_is_free_again(tmp_path, nothing_left):
    executor = ProcessExecutor(2, memory=10)
    results = list(executor.map(partial(take_and_die, folder=tmp_path), [(n, 10) for n in range(5)]))
    assert results == [died("was killed by SIGKILL")] * 5


def test_an_item_for_which_the_memory_does_not_suffice_fails_alone(nothing_left):
    def work(item, admit):
        if item == 1:
            raise MemoryError
        return item

    reason = "not enough memory; run it alone with --jobs 1, or scale it down"
    assert list(ProcessExecutor(2).map(work, range(4))) == [0, WorkerDied(reason), 2, 3]


# --- the end ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("work", [wait_long, ignore_sigterm, clean_up])
def test_work_that_is_stopped_ends_at_once(method, work, tmp_path, monkeypatch, nothing_left):
    if work is not ignore_sigterm:  # all other work must end by itself, however busy the machine is
        monkeypatch.setattr(processes, "_GRACE_SECONDS", GUARD_SECONDS)

    class EnoughError(Exception):
        pass

    def idle():
        if len(list(tmp_path.glob("started *"))) == 2:
            raise EnoughError

    with pytest.raises(EnoughError):
        list(ProcessExecutor(2, idle=idle, start_method=method).map(partial(work, folder=tmp_path), range(10)))
    started = [path.name.split() for path in tmp_path.glob("started *")]
    assert not any(is_alive(pid) for _, _, pid in started)
    assert sorted(path.name for path in tmp_path.glob("cleaned *")) == (
        ["cleaned 0", "cleaned 1"] if work is clean_up else []
    )


def test_closing_the_results_ends_the_work(nothing_left):
    results = ProcessExecutor(2).map(longer_for_earlier, iter(range(10**9)))
    assert next(results)[0] == 0
    results.close()


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("work", ["wait_long", "square"])
def test_no_process_outlives_a_parent_that_is_killed(method, work, tmp_path, clean_environment):
    """The parent is killed while processes work, or while they wait for items."""
    code = f"""if True:
        import os, pathlib, sys, time
        from functools import partial
        from gmmquant.system.executors.processes import ProcessExecutor
        from work import children, square, wait_long
        def report():
            if len(children()) >= 2:
                print(*children(), flush=True)
                time.sleep(3600)
        if __name__ == "__main__":
            work = partial(wait_long, folder=pathlib.Path(sys.argv[1])) if {work!r} == "wait_long" else square
            executor = ProcessExecutor(2, idle=report, start_method={method!r})
            for result in executor.map(work, range(1000)):
                report()
    """
    script = tmp_path / "parent.py"
    script.write_text(code)
    environment = {**clean_environment, "PYTHONPATH": str(Path(__file__).parents[1])}
    parent = subprocess.Popen([sys.executable, script, tmp_path], stdout=subprocess.PIPE, text=True, env=environment)
    pids = parent.stdout.readline().split()
    assert len(pids) >= 2
    assert all(map(is_alive, pids))
    parent.kill()
    parent.communicate()
    wait_for(lambda: not any(map(is_alive, pids)))


@pytest.mark.parametrize("method", METHODS)
def test_processes_work_without_standard_streams(method, tmp_path, clean_environment):
    script = tmp_path / "parent.py"
    script.write_text(
        "import sys\n"
        "from gmmquant.system.process import hold_standard_streams\n"
        "from gmmquant.system.executors.processes import ProcessExecutor\n"
        "from work import die\n"
        "if __name__ == '__main__':\n"
        "    hold_standard_streams()\n"
        f"    executor = ProcessExecutor(2, start_method={method!r})\n"
        "    results = list(executor.map(die, ['a', 'by SIGKILL', 'b']))\n"
        "    open(sys.argv[1], 'w').write(repr(results))\n"
    )
    environment = {**clean_environment, "PYTHONPATH": str(Path(__file__).parents[1])}
    arguments = [sys.executable, script, tmp_path / "results"]
    ended = subprocess.run(arguments, env=environment, preexec_fn=lambda: [os.close(stream) for stream in (0, 1, 2)])
    assert ended.returncode == 0
    assert (tmp_path / "results").read_text() == repr(["a", died("was killed by SIGKILL"), "b"])


# --- sums -------------------------------------------------------------------------------------------------------------


@given(st.lists(st.one_of(st.integers(0, 9), st.none()), max_size=200))
def test_a_total_is_the_sum_of_all_in_few_additions(items):
    """Tuples are added, as their sum shows its parts, including the substitutes for items whose process died."""
    sizes, arrived = [], []

    def add(one, other):
        sizes.append(len(one) + len(other))
        return one + other

    total = SerialExecutor().total(
        lambda item, admit: WorkerDied("somehow") if item is None else (item,),
        iter(items),
        add,
        on_death=lambda item, died: (item,),
        on_result=arrived.append,
    )
    assert total == (tuple(items) or None)
    assert arrived == [WorkerDied("somehow") if item is None else (item,) for item in items]
    assert len(sizes) == max(len(items) - 1, 0)
    assert sum(sizes) <= len(items) * (log2(len(items)) + 1 if items else 0)


@pytest.mark.parametrize("n", [0, 1, 7, 64])
def test_a_total_is_the_same_with_every_executor(executor, n, nothing_left):
    total = executor.total(square, range(n), lambda one, other: one + other, on_death=lambda item, died: 0)
    assert total == (sum(i * i for i in range(n)) if n else None)


def test_a_total_has_a_substitute_for_items_whose_process_died(nothing_left):
    items = ["a", "by SIGKILL", "b", "by os._exit"]
    total = ProcessExecutor(2).total(
        lambda item, admit: {die(item, admit)}, items, set.union, on_death=lambda item, died: {f"({item})"}
    )
    assert total == {"a", "(by SIGKILL)", "b", "(by os._exit)"}


def test_if_the_system_refuses_more_processes_the_others_do_the_work(monkeypatch, nothing_left):
    start = processes._ProcessPool._start

    def refuse_a_second(pool):
        if pool._workers:
            raise BlockingIOError(errno.EAGAIN, "no more processes")
        return start(pool)

    monkeypatch.setattr(processes._ProcessPool, "_start", refuse_a_second)
    assert list(ProcessExecutor(3).map(lambda item, admit: 2 * item, range(9))) == [2 * item for item in range(9)]


def test_if_no_process_can_be_started_the_error_of_the_system_is_raised(monkeypatch, nothing_left):
    def refuse(process):
        raise BlockingIOError(errno.EAGAIN, "no more processes")

    monkeypatch.setattr(BaseProcess, "start", refuse)
    with pytest.raises(BlockingIOError, match="no more processes"):
        list(ProcessExecutor(3).map(square, range(9)))


def test_an_item_that_cannot_be_sent_to_its_process_fails_and_nothing_waits_for_it(monkeypatch, nothing_left):
    def refuse(connection, item):
        raise OSError(errno.ENOBUFS, "No buffer space available")

    monkeypatch.setattr(Connection, "send", refuse)
    assert list(ProcessExecutor(1).map(square, [3])) == [died("was killed by SIGKILL")]


def test_no_more_processes_are_tried_after_the_system_has_refused_one(monkeypatch, nothing_left):
    """Each refused process costs descriptors, of which a long run would have none left. Only one item waits."""
    start, refused, taken = processes._ProcessPool._start, [], []

    def items():
        for item in range(4):
            taken.append(item)
            yield item

    def refuse_a_second(pool):
        if pool._workers:
            refused.append(pool)
            raise BlockingIOError(errno.EAGAIN, "no more processes")
        return start(pool)

    def work(item, admit):
        time.sleep(0.3)  # several times `processes` looks for results
        return item

    monkeypatch.setattr(processes._ProcessPool, "_start", refuse_a_second)
    results = ProcessExecutor(3).map(work, items(), on_result=lambda result: taken.append(f"result {result}"))
    assert list(results) == list(range(4))
    assert taken[:3] == [0, 1, "result 0"]
    assert len(refused) == 1


def test_the_results_of_a_total_do_not_wait_for_an_early_one(tmp_path):
    """The first item ends after the results of all others have arrived."""
    arrived = []

    def slow_first(item, admit):
        if item == 0:
            wait_for((tmp_path / "others").exists)
        return [item]

    def note(result):
        arrived.append(result)
        if len(arrived) == 8:
            (tmp_path / "others").touch()

    total = ProcessExecutor(2).total(
        slow_first, range(9), lambda one, other: one + other, on_death=None, on_result=note
    )
    assert arrived[-1] == [0]
    assert sorted(total) == list(range(9))


def test_a_process_that_sigterm_ends_is_reported_as_such(nothing_left):
    def stop_itself(item, admit):
        os.kill(os.getpid(), signal.SIGTERM)
        time.sleep(10)

    assert list(ProcessExecutor(1).map(stop_itself, [0])) == [died("was killed by SIGTERM")]
