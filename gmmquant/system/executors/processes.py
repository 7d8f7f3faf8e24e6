"""Work on many items in several processes at a time."""

from __future__ import annotations

import contextlib
import multiprocessing
import os
import signal
import sys
from collections.abc import Callable, Iterable, Sequence
from itertools import chain
from multiprocessing.connection import Connection, wait
from multiprocessing.context import BaseContext
from multiprocessing.process import BaseProcess
from multiprocessing.reduction import ForkingPickler
from time import monotonic
from typing import Any

from gmmquant.system import threads
from gmmquant.system.executors.base import Add, Callback, Executor, Raised, Results, Work, WorkerDied, ignore
from gmmquant.system.process import Stopped, die_with_parent, release_signals, signals_held, stopped_by_signals

_GRACE_SECONDS = 0.6  # for processes to end by themselves

# Results of each process that may wait for an earlier one.
_MAX_WAITING = 32


class ProcessExecutor(Executor):
    """Works in up to `n` processes of one computing thread each, which live as long as there is work.

    Items and results must be picklable. If a process dies (killed, or out of memory), the result of its item is
    `WorkerDied`. If the work is stopped, by an exception or by closing the iterator of `map`, the processes end within
    a second. `memory` is the number of bytes that all running items together may allocate, as announced by `admit`; an
    item that needs more runs alone. "fork" starts faster than "spawn", but libraries of macOS cannot be forked.
    """

    def __init__(
        self,
        n: int,
        *,
        memory: int | None = None,
        idle: Callable[[], None] = ignore,
        start_method: str = "fork" if sys.platform == "linux" else "spawn",
    ) -> None:
        super().__init__(idle)
        self._n, self._memory = n, memory
        self._context: BaseContext = multiprocessing.get_context(start_method)

    def worker_callback(self, call: Callback) -> Callback:
        """Return a function that does nothing: `call` stays in this process."""
        return ignore  # type: ignore[return-value]  # it takes any arguments

    def _pool(self, work: Work[Any, Any], add: Add[Any] | None) -> _ProcessPool:
        return _ProcessPool(self._context, self._n, work, self._memory)


class _Worker:
    """A process, the number of its item, and the bytes that it asks for and has."""

    def __init__(self, process: BaseProcess, connection: Connection) -> None:
        self.process, self.connection = process, connection
        self.number: int | None = None
        self.requested = self.admitted = 0


class _ProcessPool:
    """Processes that each work on one item at a time: see `Pool`."""

    def __init__(self, context: BaseContext, n: int, work: Work[Any, Any], memory: int | None) -> None:
        self._context, self._n, self._work, self._memory = context, n, work, memory
        self._workers: list[_Worker] = []
        self._unstarted: list[tuple[int, Any]] = []  # items for which no process could be started
        self.max_waiting = _MAX_WAITING * n

    @property
    def room(self) -> int:
        n_busy = sum(worker.number is not None for worker in self._workers)
        return max(0, self._n - n_busy - len(self._unstarted))

    @property
    def is_busy(self) -> bool:
        return any(worker.number is not None for worker in self._workers)

    def submit(self, numbered: Iterable[tuple[int, Any]]) -> None:
        unstarted, self._unstarted = iter(self._unstarted), []
        for number, item in chain(unstarted, numbered):
            worker = next((worker for worker in self._workers if worker.number is None), None)
            try:
                if worker is None and len(self._workers) < self._n:
                    worker = self._start()
            except OSError:
                if not self._workers:
                    raise
                # Each attempt leaves four descriptors open in Python, so no other is made until a process dies.
                self._n = len(self._workers)
            if worker is None:  # take no others
                self._unstarted = [(number, item), *unstarted]
                return
            worker.number = number
            _send(worker, item)

    def collect(self, seconds: float) -> Results:
        results: list[tuple[int | None, Any]] = []
        busy = {worker.connection: worker for worker in self._workers if worker.number is not None}
        for connection in wait(list(busy), seconds):
            worker = busy[connection]  # type: ignore[index]  # `wait` returns some of its arguments
            try:
                requested, result = worker.connection.recv()
            except (EOFError, OSError):
                reason = f"its process {self._remove_dead(worker)}, perhaps for lack of memory"
                results.append((worker.number, WorkerDied(f"{reason}; run it alone with --jobs 1, or scale it down")))
                continue
            if requested is None:
                results.append((worker.number, result))
                worker.number, worker.admitted = None, 0
            else:
                worker.requested = requested
        self._admit()
        return results

    def close(self) -> None:
        """End all processes: idle ones find their connection closed, others get SIGTERM, then SIGKILL."""
        with signals_held():
            for worker in self._workers:
                _close(worker.connection)
                if worker.number is not None:
                    worker.process.terminate()
            end = monotonic() + _GRACE_SECONDS
            for worker in self._workers:
                _join(worker.process, max(0.0, end - monotonic()))
            self._workers.clear()

    def _admit(self) -> None:
        """Admit the requests for memory that fit, those of earlier items first."""
        waiting = sorted((worker for worker in self._workers if worker.requested), key=lambda w: w.number or 0)
        for worker in waiting:
            others = sum(other.admitted for other in self._workers if other is not worker)
            if others and self._memory is not None and others + worker.requested > self._memory:
                return
            worker.admitted, worker.requested = worker.requested, 0
            _send(worker, None)

    def _start(self) -> _Worker:
        ours, theirs = self._context.Pipe()
        # A forked process inherits the connections to the others, which must close when this process closes them.
        forks = self._context.get_start_method() == "fork"
        inherited = [*(worker.connection for worker in self._workers), ours] if forks else []
        process = self._context.Process(  # type: ignore[attr-defined]
            target=_serve, args=(theirs, inherited, self._work, os.getpid()), daemon=True
        )
        try:
            with signals_held():
                process.start()
                worker = _Worker(process, ours)
                self._workers.append(worker)
        except BaseException:
            _close(ours)
            raise
        finally:
            _close(theirs)
        return worker

    def _remove_dead(self, worker: _Worker) -> str:
        """Remove a process that has died; return how it died."""
        self._workers.remove(worker)
        _close(worker.connection)
        code = _join(worker.process, _GRACE_SECONDS)
        code = 128 - code if code > 128 else code  # a signal that it handled
        if code < 0:
            names = {number.value: number.name for number in signal.Signals}  # lacks most real-time signals
            return f"was killed by {names.get(-code, f'signal {-code}')}"
        return f"ended with exit code {code}"


def _send(worker: _Worker, item: object) -> None:
    """Send to a process; if that fails, the process has died or is killed, which `collect` finds."""
    try:
        worker.connection.send(item)
    except OSError:
        worker.process.kill()


def _close(connection: Connection | BaseProcess) -> None:
    """Close a connection, or those of a process that has ended.

    An error is ignored: the connection is closed all the same, and all that was sent has arrived.
    """
    with contextlib.suppress(OSError):
        connection.close()


def _join(process: BaseProcess, seconds: float) -> int:
    """Wait for the end of a process, kill it after some seconds, and return its exit code."""
    process.join(seconds)
    if process.exitcode is None:
        process.kill()
        process.join()
    code = process.exitcode or 0
    _close(process)
    return code


def _serve(connection: Connection, inherited: Sequence[Connection], work: Work[Any, Any], parent: int) -> None:
    """Work on the items that arrive until the connection closes, the parent dies, or SIGTERM arrives.

    Each answer is a pair: the bytes that are requested, or None and the result.
    """
    for other in inherited:
        _close(other)
    # A terminal sends these to all its processes; the parent handles them.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGHUP, signal.SIG_IGN)
    threads.use_at_most(1)

    def admit(n_bytes: int) -> None:
        connection.send((n_bytes, None))
        connection.recv()

    code = 0
    try:
        with stopped_by_signals() as stop_if_asked:
            release_signals()
            die_with_parent(parent)
            while True:
                item = connection.recv()
                try:
                    answer = _packed(work(item, admit))
                except MemoryError:
                    answer = _packed(WorkerDied("not enough memory; run it alone with --jobs 1, or scale it down"))
                except Exception as error:
                    answer = _packed_error(error)
                stop_if_asked()
                connection.send_bytes(answer)
    except (EOFError, OSError):
        pass
    except Stopped as stop:
        code = stop.exit_code
    os._exit(code)


def _packed(result: object) -> bytes:
    """Return an answer as `Connection.send` would send it."""
    return bytes(ForkingPickler.dumps((None, result)))


def _packed_error(error: Exception) -> bytes:
    """Return the answer that an exception was raised: a RuntimeError with its text if it cannot be pickled."""
    try:
        answer = _packed(Raised(error))
        ForkingPickler.loads(answer)
    except Exception:
        return _packed(Raised(RuntimeError(f"{type(error).__name__}: {error}")))
    return answer
