"""Signals, standard streams and the memory of a process."""

import ctypes
import io
import os
import signal
import sys
import threading

import pytest

from gmmquant.system import process
from gmmquant.system.process import (
    Stopped,
    die_with_parent,
    hold_standard_streams,
    keep_freed_memory,
    signals_held,
    stopped_by_signals,
    system_reason,
)


@pytest.fixture
def handlers():
    """Restore the handlers of signals after the test."""
    before = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)}
    yield
    for number, handler in before.items():
        signal.signal(number, handler)


def test_only_the_first_signal_stops_the_program(handlers):
    cleaned = []
    with pytest.raises(Stopped) as stop, stopped_by_signals():
        try:
            signal.raise_signal(signal.SIGTERM)
        finally:
            signal.raise_signal(signal.SIGINT)
            cleaned.append("all")
    assert (stop.value.name, stop.value.exit_code, cleaned) == ("SIGTERM", 143, ["all"])


def test_a_signal_in_a_destructor_stops_the_program_later(handlers):
    class Signalled:
        def __del__(self):
            signal.raise_signal(signal.SIGTERM)  # Python ignores exceptions here

    reached = []
    with pytest.raises(Stopped), stopped_by_signals() as stop_if_asked:
        Signalled()
        reached.append("the line after")
        stop_if_asked()
        reached.append("the end")
    assert reached == ["the line after"]


def test_of_the_errors_in_destructors_only_those_of_the_system_are_silent(handlers, monkeypatch):
    class Failing:
        def __init__(self, error):
            self.error = error

        def __del__(self):
            raise self.error

    shown = []
    monkeypatch.setattr(sys, "unraisablehook", lambda ignored: shown.append(ignored.exc_value))
    bug = ValueError("a bug")
    with stopped_by_signals():
        Failing(OSError(28, "No space left on device"))
        Failing(bug)
    assert shown == [bug]


def test_a_signal_after_the_work_stops_nothing(handlers):
    with stopped_by_signals():
        pass
    signal.raise_signal(signal.SIGTERM)


def test_a_signal_that_reaches_another_thread_waits_until_the_outermost_held_block_is_left(handlers):
    ready, done = threading.Event(), []

    def be_signalled():
        ready.wait()
        os.kill(os.getpid(), signal.SIGINT)  # this thread does not hold it

    thread = threading.Thread(target=be_signalled)
    thread.start()
    with pytest.raises(Stopped) as stop, stopped_by_signals(), signals_held():
        with signals_held():
            ready.set()
            thread.join()
            done.append("inner")
        done.append("outer")
    assert (stop.value.name, done) == ("SIGINT", ["inner", "outer"])


def test_only_on_linux_a_process_dies_with_its_parent(handlers, monkeypatch):
    with pytest.raises(Stopped), stopped_by_signals():
        die_with_parent(os.getpid())  # any other process
    monkeypatch.setattr(ctypes, "CDLL", lambda *_: pytest.fail("other systems have no such call"))
    monkeypatch.setattr(sys, "platform", "darwin")
    with stopped_by_signals():
        die_with_parent(os.getpid())


def test_a_stream_that_a_program_has_replaced_is_left_as_it_is(monkeypatch):
    ours, file = io.StringIO(), io.TextIOWrapper(io.BytesIO(), "ascii")
    monkeypatch.setattr(sys, "stdout", ours)
    monkeypatch.setattr(sys, "stderr", file)
    hold_standard_streams()
    assert sys.stdout is ours
    file.write("é")
    file.flush()
    assert file.buffer.getvalue() == rb"\xe9"


@pytest.mark.parametrize(
    ("largest_accepted", "kept"),
    [(1 << 30, [1 << 30, 1 << 30]), (1 << 25, [1 << 30, 1 << 25, 1 << 30]), (0, [1 << 30, 1 << 25])],
)
def test_memory_is_trimmed_later_only_if_large_arrays_stay_in_it(monkeypatch, largest_accepted, kept):
    calls = []

    class Library:
        def mallopt(self, parameter, value):
            calls.append(value)
            return parameter == process._M_TRIM_THRESHOLD or value <= largest_accepted

    monkeypatch.setattr(ctypes, "CDLL", lambda *_: Library())
    keep_freed_memory()
    assert calls == kept


def test_the_reason_of_an_error_of_the_system_is_in_lower_case():
    assert system_reason(MemoryError()) == "not enough memory"
    assert system_reason(OSError(28, "No space left on device")) == "no space left on device"
    assert system_reason(ConnectionResetError()) == "connectionreseterror"
