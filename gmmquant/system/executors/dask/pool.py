"""Work in a cluster on the items of one `map` or `total`, by Dask.

What all items share goes to the scheduler once, as a task that returns it: workers pass it on to each other, and it is
computed again if all workers that hold it are lost, unlike data that is scattered. Only a window of the items is in the
scheduler, so its memory does not grow with their number. If a worker dies, its items run again on another worker; the
result of an item that kills more workers than the scheduler allows is `WorkerDied`.

Sums are computed where the parts are, eight at a time, as parts arrive. Dask keeps how each part is computed until it
is not needed; therefore sums of many results are fetched.

If no worker is connected, items wait: Slurm and Kubernetes start workers when there is room, and replace those that
reach a time limit. The user is notified once each time.
"""

from __future__ import annotations

import asyncio
import contextlib
import math
import pickle
from collections import defaultdict, deque
from collections.abc import Awaitable, Callable, Hashable, Iterable, Sequence
from concurrent.futures import CancelledError
from concurrent.futures import Future as Promise
from dataclasses import dataclass
from functools import partial
from itertools import count
from queue import Empty, SimpleQueue
from secrets import token_hex
from time import monotonic
from typing import Any

import distributed
from distributed.scheduler import KilledWorker

from gmmquant.errors import ClusterError
from gmmquant.system.executors.base import Add, Raised, Result, Results, Work, WorkerDied
from gmmquant.system.executors.dask.tasks import TaskContext, add_parts, run_item, versions, wait_until_left

_COUNT_SECONDS = 1.0  # between two counts of the workers
_PATIENCE_SECONDS = 10.0  # without a worker until the user is notified
_GRACE_SECONDS = 0.6  # for cancelled items to end

# For each thread of the cluster: the number of items in the scheduler below which more are sent, in one message; their
# largest number; and the number of results that may wait for an earlier one.
_MIN_SCHEDULED, _MAX_SCHEDULED, _MAX_WAITING = 2, 4, 32

# Parts that are added in one task, and the number of additions after which a sum, then of 8^5 results, is fetched.
_ARITY, _FETCHED_LEVEL = 8, 5

# Times that an item which raised an exception is tried again.
_RETRIES = 2


@dataclass(eq=False)
class _Task:
    """A submitted task: the work on an item, or a sum at a level, which is the number of additions below it."""

    number: int | None
    level: int
    submit: Callable[[], list[distributed.Future]]
    future: distributed.Future
    is_retried: bool = False


class DaskPool:
    """Tasks in the cluster that share their work: see `Pool`.

    The scheduler counts a worker's death against all tasks that were on it, also those that waited. So each task that
    the scheduler gives up is tried once more, one at a time: a task that only waited behind a deadly one then succeeds.
    `kill` is called if cancelled tasks do not end in time.
    """

    def __init__(
        self, workers: WorkerCount, work: Work[Any, Any], add: Add[Any] | None, kill: Callable[[], None]
    ) -> None:
        self._client, self._workers, self._kill, self._adds = workers.client, workers, kill, add is not None
        self._name, self._numbers = f"gmmquant-{token_hex(8)}", count()
        self._arrived: SimpleQueue[tuple[_Task, Any]] = SimpleQueue()
        self._busy: set[_Task] = set()
        self._suspects: deque[_Task] = deque()
        self._retried: _Task | None = None
        self._parts: dict[int, list[distributed.Future]] = defaultdict(list)  # by their level
        context = pickle.dumps(TaskContext(work, add, versions()))  # bytes, which Dask does not inspect
        self._context = self._client.submit(pickle.loads, context, key=self._key("put"), pure=False)

    @property
    def max_waiting(self) -> int:
        """Number of results that may wait for an earlier one."""
        return _MAX_WAITING * self._workers.n_threads

    @property
    def room(self) -> int:
        """Number of items to send to the scheduler: several at once, when it has few."""
        n_items, n_threads = sum(task.number is not None for task in self._busy), self._workers.n_threads
        return _MAX_SCHEDULED * n_threads - n_items if n_items <= _MIN_SCHEDULED * n_threads else 0

    @property
    def is_busy(self) -> bool:
        """Whether a task is in the scheduler."""
        return bool(self._busy)

    def submit(self, numbered: Iterable[tuple[int, Any]]) -> None:
        """Submit items, and sums of the parts that have arrived."""
        items = [(number, pickle.dumps(item)) for number, item in numbered]
        for (number, item), future in zip(items, self._run([item for _, item in items]), strict=True):
            self._follow(_Task(number, 0, partial(self._run, [item]), future))
        for level, parts in sorted(self._parts.items()):
            while len(parts) >= _ARITY:
                self._submit_sum(level + 1, [parts.pop() for _ in range(_ARITY)])
        if not self._busy and any(self._parts.values()):  # all items are finished: add up what is left
            levels = [level for level, parts in sorted(self._parts.items()) for _ in parts][:_ARITY]
            rest = [self._parts[level].pop() for level in levels]
            self._submit_sum(levels[-1] if any(self._parts.values()) else _FETCHED_LEVEL, rest)

    def collect(self, seconds: float) -> Results:
        """Return the results that arrive within some seconds; raise an error of the cluster at once."""
        arrived: list[tuple[_Task, Any]] = []
        with contextlib.suppress(Empty):
            arrived.append(self._arrived.get(timeout=seconds))
            while True:
                arrived.append(self._arrived.get_nowait())
        results: list[tuple[int | None, Any]] = []
        for task, result in arrived:
            if isinstance(result, WorkerDied) and not task.is_retried:
                self._suspects.append(task)
                continue
            self._busy.remove(task)
            if isinstance(result, WorkerDied) and task.number is None:
                raise ClusterError(f"colours cannot be added up: {result.reason}")
            if isinstance(result, Raised) and isinstance(result.error, ClusterError):
                raise result.error
            if isinstance(result, (WorkerDied, Raised)) or self._is_fetched(task):
                results.append((task.number, result))
            else:
                self._parts[task.level].append(result)
                if task.number is not None:
                    results.append((task.number, None))
        if self._suspects and self._retried not in self._busy:
            self._retried = task = self._suspects.popleft()
            task.is_retried = True
            [task.future] = task.submit()
            self._follow(task)
        self._workers.update()
        return results

    def close(self) -> None:
        """Cancel the tasks that are left."""
        ended = not self._busy
        with contextlib.suppress(Exception):
            if self._busy:
                self._client.cancel([task.future for task in self._busy], force=True)
                answers = in_loop(
                    self._client,
                    lambda: self._client.run(wait_until_left, self._name, _GRACE_SECONDS, on_error="return"),
                )
                ended = all(answer is True for answer in answers.result(2 * _GRACE_SECONDS).values())
        if not ended:
            self._kill()

    def _run(self, items: Sequence[bytes]) -> list[distributed.Future]:
        """Submit items in one message."""
        keys, contexts = [self._key("do") for _ in items], [self._context] * len(items)
        run = partial(self._client.map, run_item, retries=_RETRIES, pure=False)
        return run(contexts, items, key=keys) if items else []

    def _add(self, parts: Sequence[distributed.Future]) -> list[distributed.Future]:
        key = self._key("add")
        return [self._client.submit(add_parts, self._context, *parts, key=key, retries=_RETRIES, pure=False)]

    def _submit_sum(self, level: int, parts: Sequence[distributed.Future]) -> None:
        [future] = self._add(parts)
        self._follow(_Task(None, level, partial(self._add, parts), future))

    def _key(self, name: str) -> Hashable:
        """Return a name for a task: Dask groups tasks whose names differ in the number only."""
        return (f"{self._name}-{name}", next(self._numbers))

    def _is_fetched(self, task: _Task) -> bool:
        return not self._adds or task.level == _FETCHED_LEVEL

    def _follow(self, task: _Task) -> None:
        self._busy.add(task)
        in_loop(self._client, lambda: self._wait_for(task))

    async def _wait_for(self, task: _Task) -> None:
        """Wait for a task in the thread of the client; put its result where `collect` finds it."""
        try:
            error = await task.future.exception()
            if error is not None:
                raise error
            result = await task.future if self._is_fetched(task) or task.future.cancelled() else task.future
        except KilledWorker as killed:
            n_workers = 2 * (killed.allowed_failures + 1)
            remedy = "give the workers more memory, or scale the image down"
            result = WorkerDied(f"{n_workers} workers died on it, perhaps for lack of memory; {remedy}")
        except BaseException as error:
            result = Raised(_explained(error))
        self._arrived.put((task, result))


def _explained(error: BaseException) -> Any:
    """Return an error of the cluster as a `ClusterError` with a remedy, and any other as it is."""
    if isinstance(error, (CancelledError, asyncio.CancelledError, OSError)):
        return ClusterError("the connection to the scheduler was lost; run again with --skip-existing to continue")
    if isinstance(error, ImportError):
        return ClusterError(f"a worker lacks a package ({error}); install the same packages there as here")
    return error


class WorkerCount:
    """The number of threads in the cluster, counted again once a second; `note` is called if there are none."""

    def __init__(self, client: distributed.Client, note: Callable[[str], None]) -> None:
        self.client, self._note = client, note
        self._asked_at = monotonic()
        self._answer: Promise[dict[str, Any]] | None = None
        self._none_since: float | None = None  # infinite after the user was notified
        self._set(sum(client.nthreads().values()))

    def _set(self, n_threads: int) -> None:
        self.n_threads = max(1, n_threads)
        self._none_since = None if n_threads else self._none_since or monotonic()

    def update(self) -> None:
        """Count again if it is time, and notify the user if there has been no worker for long."""
        now = monotonic()
        if self._answer is None and now - self._asked_at > _COUNT_SECONDS:
            self._asked_at = now
            self._answer = in_loop(self.client, lambda: self.client.scheduler.identity(n_workers=0))
        if self._answer is not None and self._answer.done():
            with contextlib.suppress(Exception):  # a scheduler that is busy or gone makes the tasks fail
                self._set(self._answer.result()["total_threads"])
            self._answer = None
        if self._none_since is not None and now - self._none_since > _PATIENCE_SECONDS:
            self._none_since = math.inf
            self._note("no worker is connected to the scheduler; waiting for one")


def in_loop(client: distributed.Client, call: Callable[[], Awaitable[Result]]) -> Promise[Result]:
    """Await the result of `call` in the thread of the client."""

    async def wait() -> Result:
        return await call()

    return asyncio.run_coroutine_threadsafe(wait(), client.loop.asyncio_loop)
