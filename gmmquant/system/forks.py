"""Work in forks: copies of this process, which share its memory until one of the two writes to it."""

from __future__ import annotations

import os
import pickle
import signal
import sys
import warnings
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from threading import current_thread, main_thread
from typing import Generic, NoReturn, TypeVar

from gmmquant.system import threads
from gmmquant.system.process import die_with_parent, end_by_signals, signals_held

_SIZE = 8  # bytes of the size of a result, which precedes it

Result = TypeVar("Result")


@contextmanager
def forked(works: Sequence[Callable[[], Result]]) -> Iterator[list[Callable[[], Result]]]:
    """Do each of `works` in a fork of this process; yield functions that wait for the results, which are pickled.

    What fails in a fork, or cannot be forked, is done in this process when its result is asked for. Forks end with the
    block at the latest. A fork waits for ever for a lock that another thread of this process held. So only the main
    thread forks, and the works must share no lock with what other threads do meanwhile.
    """
    forks = [_Fork(work) for work in works]
    try:
        for fork in forks:
            fork.start()
        yield [fork.result for fork in forks]
    finally:
        for fork in forks:
            fork.close()


class _Fork(Generic[Result]):
    """A process that does some work, its result's end of a pipe, and the work; process 0 is none."""

    def __init__(self, work: Callable[[], Result]) -> None:
        self._work, self._pid, self._results = work, 0, -1

    def start(self) -> None:
        """Start the process, where that is safe: libraries of macOS cannot be forked, nor a thread among others."""
        if sys.platform != "linux" or current_thread() is not main_thread():
            return
        parent = os.getpid()
        with signals_held(), warnings.catch_warnings():
            warnings.simplefilter("ignore", DeprecationWarning)  # of other threads, from Python 3.12 on
            try:
                results, ours = os.pipe()
            except OSError:
                return
            try:
                pid = os.fork()
            except OSError:
                os.close(results)
            else:
                if pid == 0:
                    _serve(self._work, ours, parent)
                self._pid, self._results = pid, results
            os.close(ours)

    def result(self) -> Result:
        """Wait for the result of the process, or do the work here."""
        data = b""
        if self._pid:
            with suppress(OSError, MemoryError), open(self._results, "rb", closefd=False) as results:
                data = results.read()
            self.close()
        is_whole = len(data) > _SIZE and int.from_bytes(data[:_SIZE]) == len(data) - _SIZE
        return pickle.loads(data[_SIZE:]) if is_whole else self._work()  # noqa: S301  of this process's own making

    def close(self) -> None:
        """End the process; it leaves nothing behind."""
        with signals_held():
            if self._pid:
                with suppress(OSError):
                    os.close(self._results)
                os.kill(self._pid, signal.SIGKILL)
                os.waitpid(self._pid, 0)
                self._pid = 0


def _serve(work: Callable[[], object], results: int, parent: int) -> NoReturn:
    """Do the work and write its result; an exception or a signal ends this process without one."""
    try:
        end_by_signals()
        die_with_parent(parent)
        threads.use_at_most(1)
        data = pickle.dumps(work())
        with open(results, "wb") as stream:
            stream.write(len(data).to_bytes(_SIZE) + data)
    finally:
        os._exit(0)
