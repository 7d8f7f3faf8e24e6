"""Work on many items in a cluster of computers, by Dask.

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

import contextlib
from collections import defaultdict
from collections.abc import Callable, Hashable, Iterable, Iterator, Sequence
from concurrent.futures import Future as Promise
from time import monotonic
from typing import Any

import distributed

from gmmquant.errors import ClusterError
from gmmquant.system.executors.base import Add, Callback, Executor, Item, Prepared, Results, Work, WorkerDied, ignore
from gmmquant.system.executors.dask.task_group import TaskGroup, in_loop
from gmmquant.system.executors.dask.tasks import leave_if_cancelled

_COUNT_SECONDS = 1.0  # between two counts of the workers
_PATIENCE_SECONDS = 10.0  # without a worker until the user is notified

# For each thread of the cluster: the number of items in the scheduler at which it is given more, in one message; the
# number then; and the number of results that may wait for an earlier one.
_MIN_SCHEDULED, _MAX_SCHEDULED, _MAX_WAITING = 2, 4, 32

# Parts that are added in one task, and the number of additions after which a sum, then of 8^5 results, is fetched.
_ARITY, _FETCHED_LEVEL = 8, 5


class DaskExecutor(Executor):
    """Works in the cluster of a Dask scheduler: see `connect.dask_executor`.

    Parameters
    ----------
    client : distributed.Client
    idle : callable
        Called several times a second while nothing arrives.
    note : callable of a str
        Called with what the user should know, such as that no worker is connected.
    kill : callable
        Ends all workers at once, if they belong to this executor.
    """

    def __init__(
        self,
        client: distributed.Client,
        *,
        idle: Callable[[], None] = ignore,
        note: Callable[[str], None] = ignore,
        kill: Callable[[], None] = ignore,
    ) -> None:
        super().__init__(idle)
        self._client, self._kill = client, kill
        self._workers = WorkerCount(client, note)

    def worker_callback(self, call: Callback) -> Callback:
        """Return a function that ends cancelled items: `call` stays in this process."""
        return leave_if_cancelled  # type: ignore[return-value]  # it takes any arguments

    def repeatable(self, items: Iterable[Item], prepare: Callable[[Item], Prepared]) -> Iterator[Prepared]:
        """Yield `prepare(item)` for each item: if a worker dies, another one repeats its work."""
        return map(prepare, items)

    def _pool(self, work: Work[Any, Any], add: Add[Any] | None) -> _DaskPool:
        return _DaskPool(TaskGroup(self._client, work, add), self._workers, self._kill, adds=add is not None)


class _DaskPool:
    """Tasks in the cluster for the items of one `map` or `total`: see `Pool`."""

    def __init__(self, tasks: TaskGroup, workers: WorkerCount, kill: Callable[[], None], *, adds: bool) -> None:
        self._tasks, self._workers, self._kill, self._adds = tasks, workers, kill, adds
        self._parts: dict[int, list[distributed.Future]] = defaultdict(list)  # by the number of additions below them
        self._levels: dict[Hashable, int] = {}  # of the sums that are being computed

    @property
    def max_waiting(self) -> int:
        """Number of results that may wait for an earlier one."""
        return _MAX_WAITING * self._workers.n_threads

    @property
    def room(self) -> int:
        """Number of items that the scheduler is to be given: several at once, when it has few."""
        return self._workers.room(self._tasks.n_busy - len(self._levels))

    @property
    def is_busy(self) -> bool:
        """Whether a task is in the scheduler."""
        return self._tasks.n_busy > 0

    def submit(self, numbered: Iterable[tuple[int, Any]]) -> None:
        """Submit items and sums."""
        self._tasks.submit(list(numbered), fetch=not self._adds)
        for level, parts in sorted(self._parts.items()):
            while len(parts) >= _ARITY:
                self._add(level + 1, [parts.pop() for _ in range(_ARITY)])
        if not self.is_busy:  # all items are finished: add up what is left
            levels = [level for level, parts in sorted(self._parts.items()) for _ in parts][:_ARITY]
            rest = [self._parts[level].pop() for level in levels]
            if rest:
                self._add(levels[-1] if any(self._parts.values()) else _FETCHED_LEVEL, rest)

    def _add(self, level: int, parts: Sequence[distributed.Future]) -> None:
        self._levels[self._tasks.add(parts, fetch=level == _FETCHED_LEVEL)] = level

    def collect(self, seconds: float) -> Results:
        """Return the results that arrive; with sums, None for an item whose result becomes a part of one."""
        results: list[tuple[Any, Any]] = []
        for name, result in self._tasks.collect(seconds).items():
            level = self._levels.pop(name, 0)
            if level and isinstance(result, WorkerDied):
                raise ClusterError(f"colours cannot be added up: {result.reason}")
            if not self._adds or level == _FETCHED_LEVEL or isinstance(result, WorkerDied):
                results.append((None if level else name, result))
            else:
                self._parts[level].append(result)
                results += [] if level else [(name, None)]
        self._workers.update()
        return results

    def close(self) -> None:
        """Cancel the tasks that are left; end the workers if that takes too long."""
        if self._tasks.n_busy and not self._tasks.cancel():
            self._kill()


class WorkerCount:
    """The number of threads in the cluster, counted again once a second."""

    def __init__(self, client: distributed.Client, note: Callable[[str], None]) -> None:
        self._client, self._note = client, note
        self._asked_at = monotonic()
        self._answer: Promise[dict[str, Any]] | None = None
        self._notified = False
        self._none_since: float | None = None
        self._set(sum(client.nthreads().values()))

    def _set(self, n_threads: int) -> None:
        self.n_threads = max(1, n_threads)
        if n_threads:
            self._none_since, self._notified = None, False
        elif self._none_since is None:
            self._none_since = monotonic()

    def room(self, n_scheduled: int) -> int:
        """Return how many more items the scheduler is to be given."""
        return _MAX_SCHEDULED * self.n_threads - n_scheduled if n_scheduled <= _MIN_SCHEDULED * self.n_threads else 0

    def update(self) -> None:
        """Count again if it is time, and notify the user if there has been no worker for long."""
        now = monotonic()
        if self._answer is None and now - self._asked_at > _COUNT_SECONDS:
            self._asked_at = now
            self._answer = in_loop(self._client, lambda: self._client.scheduler.identity(n_workers=0))
        if self._answer is not None and self._answer.done():
            with contextlib.suppress(Exception):  # a scheduler that is busy or gone makes the tasks fail
                self._set(self._answer.result()["total_threads"])
            self._answer = None
        if self._none_since is not None and now - self._none_since > _PATIENCE_SECONDS and not self._notified:
            self._notified = True
            self._note("no worker is connected to the scheduler; waiting for one")
