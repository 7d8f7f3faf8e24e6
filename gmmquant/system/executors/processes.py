"""Work on many items in processes of their own, beside each other: see `executors.base` for what is promised."""

from __future__ import annotations

import contextlib
import multiprocessing
import os
import signal
import sys
from collections import deque
from collections.abc import Callable, Generator, Iterable, Sequence
from enum import Enum
from multiprocessing.connection import Connection, wait
from multiprocessing.context import BaseContext
from multiprocessing.process import BaseProcess
from multiprocessing.reduction import ForkingPickler
from time import monotonic
from typing import Any

from gmmquant.system import threads
from gmmquant.system.executors.base import Callback, Item, LocalExecutor, Raised, Result, Work, WorkerDied, ignore
from gmmquant.system.process import Stopped, die_with_parent, release_signals, signals_held, stopped_by_signals

# Seconds between two calls of `idle`, and those that processes have to end by themselves when all is stopped.
_BEAT = 0.1
_GRACE = 0.6

# Results that may wait for an earlier one, for each process.
_AHEAD = 32


class ProcessExecutor(LocalExecutor):
    """Up to `n` processes, of one computing thread each, which live as long as there is work.

    If a process dies (killed, or out of memory), the result of its item is `WorkerDied`. If the work is stopped
    by an exception or by closing the iterator of `map`, processes end within a second.

    Parameters
    ----------
    n : int
    memory : int or None
        Bytes that items in work may take together, as they announce it; one that needs more is worked on alone. None:
        any.
    idle : callable
        Called several times a second while there is nothing to tell.
    start_method : "fork" or "spawn"
        "fork" is ready at once; where the system's libraries do not bear it (macOS), "spawn" starts afresh.
    """

    def __init__(
        self,
        n: int,
        *,
        memory: int | None = None,
        idle: Callable[[], None] = lambda: None,
        start_method: str = "fork" if sys.platform == "linux" else "spawn",
    ) -> None:
        self._n, self._memory, self._idle = n, memory, idle
        self.ahead = _AHEAD * n
        self._context: BaseContext = multiprocessing.get_context(start_method)

    def worker_callback(self, call: Callback) -> Callback:
        """Return what does nothing: `call` belongs to this process, and is not sent to another."""
        return ignore  # type: ignore[return-value]  # it takes any arguments

    def results(
        self,
        work: Work[Item, Result],
        items: Iterable[Item],
        on_result: Callable[[Result | WorkerDied], None],
        may_begin: Callable[[int], bool],
    ) -> Generator[dict[int, Result | WorkerDied | Raised], None, None]:
        """Yield results as they come; `work`, items and results must be picklable."""
        numbered, given = enumerate(items), 0
        pool = _ProcessPool(self._context, self._n, work, self._memory)
        try:
            news: dict[int, Any] = {}
            while True:
                while may_begin(given) and pool.has_room:
                    following = next(numbered, None)
                    if following is None:
                        break
                    pool.give(*following)
                    given += 1
                if news:
                    yield news
                elif not pool.is_busy:
                    return
                news = pool.listen(_BEAT) if pool.is_busy else {}
                for result in news.values():
                    if not isinstance(result, Raised):
                        on_result(result)
                self._idle()
        finally:
            pool.dismiss()


class _News(Enum):
    """What a process tells, with a value each."""

    WANTED = "wanted"  # bytes of memory
    DONE = "done"  # the result
    RAISED = "raised"  # an exception


class _Worker:
    """A process and what it is at."""

    def __init__(self, process: BaseProcess, connection: Connection) -> None:
        self.process, self.connection = process, connection
        self.number: int | None = None  # of the item that it is at
        self.wants = 0  # bytes that it waits for
        self.takes = 0  # bytes that it was let take


class _ProcessPool:
    """Processes that each do one item at a time."""

    def __init__(self, context: BaseContext, n: int, work: Work[Any, Any], memory: int | None) -> None:
        self._context, self._n, self._work, self._memory = context, n, work, memory
        self._workers: list[_Worker] = []
        self._waiting: deque[tuple[int, object]] = deque()  # items, where fewer processes can be started than wanted

    @property
    def has_room(self) -> bool:
        """Whether one more item can be begun."""
        return not self._waiting and (self._idle_one() is not None or len(self._workers) < self._n)

    @property
    def is_busy(self) -> bool:
        """Whether any item is in work."""
        return any(worker.number is not None for worker in self._workers)

    def give(self, number: int, item: object) -> None:
        """Begin an item; or as soon as one of the processes is idle, where the system lets no more be started."""
        worker = self._idle_one()
        if worker is None:
            try:
                worker = self._start()
            except OSError:
                if not self._workers:
                    raise
                self._n = len(self._workers)
                self._waiting.append((number, item))
                return
        worker.number = number
        with contextlib.suppress(OSError):  # it has died, which `listen` will find
            worker.connection.send(item)

    def _idle_one(self) -> _Worker | None:
        return next((worker for worker in self._workers if worker.number is None), None)

    def listen(self, seconds: float) -> dict[int, Any]:
        """Wait so long for news; return the results that came, by the numbers of their items."""
        results: dict[int, Any] = {}
        busy = {worker.connection: worker for worker in self._workers if worker.number is not None}
        for connection in wait(list(busy), seconds):
            worker = busy[connection]  # type: ignore[index]  # `wait` returns what it was given
            number = worker.number
            assert number is not None  # noqa: S101
            try:
                news, value = worker.connection.recv()
            except (EOFError, OSError):
                reason = f"its process {self._bury(worker)}, perhaps for want of memory"
                results[number] = WorkerDied(f"{reason}; run it alone, with --jobs 1, or scale it down")
                continue
            if news is _News.WANTED:
                worker.wants = value
                continue
            worker.number, worker.takes = None, 0
            results[number] = Raised(value) if news is _News.RAISED else value
        if self._waiting and (self._idle_one() is not None or not self._workers):
            self.give(*self._waiting.popleft())
        self._admit()
        return results

    def dismiss(self) -> None:
        """End all processes: the idle ones find their connection closed, the others are told to stop, then killed."""
        with signals_held():
            for worker in self._workers:
                worker.connection.close()
                if worker.number is not None:
                    worker.process.terminate()
            end = monotonic() + _GRACE
            for worker in self._workers:
                worker.process.join(max(0.0, end - monotonic()))
                if worker.process.exitcode is None:
                    worker.process.kill()
                    worker.process.join()
                worker.process.close()
            self._workers.clear()

    def _admit(self) -> None:
        """Let those take memory who wait for it, the first item first, as far as there is enough."""
        waiting = sorted((worker for worker in self._workers if worker.wants), key=lambda worker: worker.number or 0)
        for worker in waiting:
            taken = sum(other.takes for other in self._workers if other is not worker)
            if taken and self._memory is not None and taken + worker.wants > self._memory:
                return
            worker.takes, worker.wants = worker.wants, 0
            with contextlib.suppress(OSError):
                worker.connection.send(None)

    def _start(self) -> _Worker:
        ours, theirs = self._context.Pipe()
        # A forked process inherits the connections to the others, which would not close as long as it has them.
        inherited = [worker.connection for worker in self._workers] if self._forks else []
        arguments = theirs, [*inherited, ours] if self._forks else [], self._work, os.getpid()
        process = self._context.Process(target=_serve, args=arguments, daemon=True)  # type: ignore[attr-defined]
        try:
            with signals_held():
                process.start()
                worker = _Worker(process, ours)
                self._workers.append(worker)
        except BaseException:
            ours.close()
            raise
        finally:
            theirs.close()
        return worker

    @property
    def _forks(self) -> bool:
        return self._context.get_start_method() == "fork"

    def _bury(self, worker: _Worker) -> str:
        """Let a process go that has died; return how."""
        self._workers.remove(worker)
        worker.connection.close()
        worker.process.join(_GRACE)
        code = worker.process.exitcode
        if code is None:
            worker.process.kill()
            worker.process.join()
            code = worker.process.exitcode
        worker.process.close()
        code = code or 0
        code = 128 - code if code > 128 else code  # it ended in order, by a signal
        if code < 0:
            names = {number.value: number.name for number in signal.Signals}  # of those for programs' own use, few
            return f"was killed by {names.get(-code, f'signal {-code}')}"
        return f"ended with exit code {code}"


def _serve(connection: Connection, inherited: Sequence[Connection], work: Work[Any, Any], parent: int) -> None:
    """Do what comes through the connection until it closes, the parent dies, or SIGTERM asks for an end."""
    for other in inherited:
        other.close()
    # What a terminal sends to all its processes is the parent's to answer.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGHUP, signal.SIG_IGN)
    threads.use_at_most(1)

    def admit(n_bytes: int) -> None:
        connection.send((_News.WANTED, n_bytes))
        connection.recv()

    code = 0
    try:
        with stopped_by_signals() as stop_if_asked:
            release_signals()
            die_with_parent(parent)
            while True:
                item = connection.recv()
                try:
                    told = _packed(_News.DONE, work(item, admit))
                except MemoryError:
                    told = _packed(
                        _News.DONE, WorkerDied("not enough memory; run it alone, with --jobs 1, or scale it down")
                    )
                except Exception as error:
                    told = _raised(error)
                stop_if_asked()
                connection.send_bytes(told)
    except (EOFError, OSError):
        pass
    except Stopped as stop:
        code = stop.exit_code
    os._exit(code)


def _packed(news: _News, value: object) -> bytes:
    """Return news as `Connection.send` would send them."""
    return bytes(ForkingPickler.dumps((news, value)))


def _raised(error: Exception) -> bytes:
    """Tell of an exception, in its own words where it does not survive the way to another process."""
    try:
        told = _packed(_News.RAISED, error)
        ForkingPickler.loads(told)
    except Exception:
        return _packed(_News.RAISED, RuntimeError(f"{type(error).__name__}: {error}"))
    return told
