"""Work on many items in a cluster of computers, by Dask.

What all items share goes to the scheduler once, as a task that returns it: workers pass it on to each other, and it is
computed again if all workers that hold it are lost, unlike data that is scattered. Only a window of the items is in the
scheduler, so its memory does not grow with their number. If a worker dies, its items run again on another worker; the
result of an item that kills more workers than the scheduler allows is `WorkerDied`.

Sums are computed where the parts are, eight at a time, as parts arrive. Dask keeps how each part is computed until the
total is there; therefore the total is fetched after a number of items, and a new one started.

If no worker is connected, items wait: Slurm and Kubernetes start workers when there is room, and replace those that
reach a time limit. The user is notified once each time.
"""

from __future__ import annotations

import contextlib
from collections import defaultdict
from collections.abc import Callable, Generator, Hashable, Iterable, Iterator
from concurrent.futures import Future as Promise
from itertools import chain, islice
from time import monotonic
from typing import Any

import distributed

from gmmquant.errors import ClusterError
from gmmquant.system.executors.base import Callback, Executor, Item, Result, Results, Work, WorkerDied, ignore
from gmmquant.system.executors.dask.task_group import TaskGroup, in_loop
from gmmquant.system.executors.dask.tasks import leave_if_cancelled

_IDLE_SECONDS = 0.1  # between two calls of `idle`
_COUNT_SECONDS = 1.0  # between two counts of the workers
_PATIENCE_SECONDS = 10.0  # without a worker until the user is notified

# For each thread of the cluster: the number of items in the scheduler at which it is given more, in one message; the
# number then; and the number of results that may wait for an earlier one.
_MIN_SCHEDULED, _MAX_SCHEDULED, _MAX_WAITING = 2, 4, 32

# Parts that are added in one task, and items until a sum is fetched.
_ARITY, _WINDOW = 8, 1 << 16


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

    may_run_twice = True

    def __init__(
        self,
        client: distributed.Client,
        *,
        idle: Callable[[], None] = ignore,
        note: Callable[[str], None] = ignore,
        kill: Callable[[], None] = ignore,
    ) -> None:
        self._client, self._idle, self._kill = client, idle, kill
        self._workers = WorkerCount(client, note)

    def worker_callback(self, call: Callback) -> Callback:
        """Return a function that ends cancelled items: `call` stays in this process."""
        return leave_if_cancelled  # type: ignore[return-value]  # it takes any arguments

    def results(
        self,
        work: Work[Item, Result],
        items: Iterable[Item],
        on_result: Callable[[Result | WorkerDied], None],
        may_start: Callable[[int], bool],
    ) -> Generator[Results[Result], None, None]:
        """Yield results as they arrive; `work`, items and results must be picklable."""
        numbered, n_started = enumerate(items), 0
        with self._task_group(work) as tasks:
            while True:
                self.max_waiting = _MAX_WAITING * self._workers.n_threads
                new: list[tuple[int, Item]] = []
                for _ in range(self._workers.room(tasks.n_busy)):
                    following = next(numbered, None) if may_start(n_started) else None
                    if following is None:
                        break
                    new.append(following)
                    n_started += 1
                tasks.submit(new)
                if not tasks.n_busy:
                    return
                arrived = self._collect(tasks)
                for result in arrived.values():
                    on_result(result)
                if arrived:
                    yield arrived

    def total(
        self,
        work: Work[Item, Result],
        items: Iterable[Item],
        add: Callable[[Result, Result], Result],
        *,
        on_death: Callable[[Item, WorkerDied], Result],
        on_result: Callable[[Result | WorkerDied | None], None] = ignore,
    ) -> Result | None:
        """Return the sum of `work(item, admit)` over all items, computed in the cluster; None if there are none."""
        numbered = enumerate(items)
        total: Result | None = None
        while (first := next(numbered, None)) is not None:
            window = chain([first], islice(numbered, _WINDOW - 1))
            with self._task_group(work, add) as tasks:
                part: Result = self._window_total(tasks, window, on_death, on_result)
            total = part if total is None else add(total, part)
        return total

    def _window_total(
        self,
        tasks: TaskGroup,
        numbered: Iterator[tuple[int, Item]],
        on_death: Callable[[Item, WorkerDied], Any],
        on_result: Callable[[Any], None],
    ) -> Any:
        started: dict[Hashable, Item] = {}
        parts: dict[int, list[distributed.Future]] = defaultdict(list)  # by the number of additions below them
        levels: dict[Hashable, int] = {}  # of the sums that are being computed
        while True:
            new = list(islice(numbered, self._workers.room(len(started))))
            tasks.submit(new, fetch=False)
            started |= new
            for level in sorted(parts):
                while len(parts[level]) >= _ARITY:
                    some, parts[level] = parts[level][:_ARITY], parts[level][_ARITY:]
                    levels[tasks.add(some)] = level + 1
            if not (started or levels):
                rest = [(level, part) for level in sorted(parts) for part in parts[level]]
                if len(rest) == 1:
                    return self._fetched(tasks, rest[0][1])
                for level, part in rest[:_ARITY]:
                    parts[level].remove(part)
                levels[tasks.add([part for _, part in rest[:_ARITY]])] = rest[:_ARITY][-1][0]
            for name, part in self._collect(tasks).items():
                if name in started:
                    item = started.pop(name)
                    parts[0].append(tasks.put(on_death(item, part)) if isinstance(part, WorkerDied) else part)
                    on_result(part if isinstance(part, WorkerDied) else None)
                else:
                    parts[levels.pop(name)].append(_unless_dead(part))

    def _fetched(self, tasks: TaskGroup, part: distributed.Future) -> Any:
        tasks.fetch("total", part)
        results: dict[Any, Any] = {}
        while not results:
            results = self._collect(tasks)
        return _unless_dead(results["total"])

    def _collect(self, tasks: TaskGroup) -> dict[Any, Any]:
        results = tasks.collect(_IDLE_SECONDS)
        self._workers.update()
        self._idle()
        return results

    @contextlib.contextmanager
    def _task_group(self, work: Work[Any, Any], add: Callable[[Any, Any], Any] | None = None) -> Iterator[TaskGroup]:
        """Provide tasks that share `work` and `add`; cancel those that are left."""
        tasks = TaskGroup(self._client, work, add)
        try:
            yield tasks
        finally:
            if tasks.n_busy and not tasks.cancel():
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


def _unless_dead(part: Result | WorkerDied) -> Result:
    """Return a sum, which the run cannot do without."""
    if isinstance(part, WorkerDied):
        raise ClusterError(f"colours cannot be added up: {part.reason}")
    return part
