"""Work on many items in a cluster of computers, by Dask: see `executors.base` for what is promised.

What all items share goes to the scheduler once, as a task that returns it: workers hand it on to each other, and where
all are lost that hold it, it is made again, which data that is merely sent out could not be. Of the items only a window
stands in the scheduler, whose memory therefore does not grow with their number. An item whose worker dies is begun anew
on another (`may_run_twice`); one that kills more workers than the scheduler allows is `WorkerDied`.

Sums are made where the parts are, eight at a time, as parts come. Dask keeps how each part is made until the whole is
there, so that it can be made again; therefore after so many items the sum so far is fetched, and a new one begun.

Where no worker is connected, items wait: on Slurm and Kubernetes workers come when there is room for them, and those
that a time limit ends are followed by others. That is told once each time, and a signal ends it.
"""

from __future__ import annotations

import contextlib
from collections import defaultdict
from collections.abc import Callable, Generator, Hashable, Iterable, Iterator
from concurrent.futures import Future as Promise
from itertools import islice
from time import monotonic
from typing import Any

import distributed

from gmmquant.errors import ClusterError
from gmmquant.system.executors.base import Callback, Executor, Item, Result, Work, WorkerDied, ignore
from gmmquant.system.executors.dask.task_group import TaskGroup, in_loop
from gmmquant.system.executors.dask.tasks import leave_if_cancelled

# Seconds between two calls of `idle`, between two looks at how many workers there are, and without any until that is
# told.
_BEAT, _LOOK, _PATIENCE = 0.1, 1.0, 10.0

# For each thread of the cluster: items in the scheduler at which it is given more, and how many are there then; and
# results that may wait for an earlier one. What it is given at a time costs it one message.
_LOW, _HIGH, _AHEAD = 2, 4, 32

# Parts that are added in one task, and items until a sum is fetched.
_ARITY, _WINDOW = 8, 1 << 16


class DaskExecutor(Executor):
    """The workers of a Dask scheduler: see `dask_executor`.

    Parameters
    ----------
    client : distributed.Client
    idle : callable
        Called several times a second while there is nothing to tell.
    note : callable of a str
        Told what the user should know, such as that no worker is connected.
    kill : callable
        Ends all workers at once, where they are ours.
    """

    may_run_twice = True

    def __init__(
        self,
        client: distributed.Client,
        *,
        idle: Callable[[], None] = lambda: None,
        note: Callable[[str], None] = lambda _: None,
        kill: Callable[[], None] = lambda: None,
    ) -> None:
        self._client, self._idle, self._kill = client, idle, kill
        self._workers = WorkerCount(client, note)

    def worker_callback(self, call: Callback) -> Callback:
        """Return what ends items that were cancelled: `call` itself is out of their reach."""
        return leave_if_cancelled  # type: ignore[return-value]  # it takes any arguments

    def map(
        self, work: Work[Item, Result], items: Iterable[Item], on_result: Callable[[Result | WorkerDied], None] = ignore
    ) -> Generator[Result | WorkerDied, None, None]:
        """Yield `work(item, admit)` for each item; `work`, items and results must be picklable."""
        numbered, given, told = enumerate(items), 0, 0
        results: dict[Hashable, Result | WorkerDied] = {}
        with self._task_group(work) as tasks:
            while True:
                room = min(self._workers.room(tasks.n_busy), _AHEAD * self._workers.n_threads - (given - told))
                new = list(islice(numbered, max(room, 0)))
                tasks.give(new)
                given += len(new)
                if told in results:
                    yield results.pop(told)
                    told += 1
                elif tasks.n_busy:
                    new_results = self._listen(tasks)
                    for result in new_results.values():
                        on_result(result)
                    results |= new_results
                elif not new:
                    return

    def total(
        self,
        work: Work[Item, Result],
        items: Iterable[Item],
        add: Callable[[Result, Result], Result],
        *,
        on_death: Callable[[Item, WorkerDied], Result],
        on_result: Callable[[Result | WorkerDied | None], None] = ignore,
    ) -> Result | None:
        """Return the sum of `work(item, admit)` over all items, made in the cluster; None if there are none."""
        numbered = enumerate(items)
        total: Result | None = None
        while (first := next(numbered, None)) is not None:
            with self._task_group(work, add) as tasks:
                window = islice(numbered, _WINDOW - 1)
                part: Result = self._sum_of_window(tasks, first, window, on_death=on_death, on_result=on_result)
            total = part if total is None else add(total, part)
        return total

    def _sum_of_window(
        self,
        tasks: TaskGroup,
        first: tuple[int, Item],
        others: Iterator[tuple[int, Item]],
        *,
        on_death: Callable[[Item, WorkerDied], Any],
        on_result: Callable[[Any], None],
    ) -> Any:
        taken: dict[Hashable, Item] = {}
        parts: dict[int, list[distributed.Future]] = defaultdict(list)  # by how often they were added
        levels: dict[Hashable, int] = {}  # of what is being added
        new = [first]
        while True:
            tasks.give(new, fetch=False)
            taken |= new
            for name, part in self._listen(tasks).items():
                if name in taken:
                    item = taken.pop(name)
                    parts[0].append(tasks.put(on_death(item, part)) if isinstance(part, WorkerDied) else part)
                    on_result(part if isinstance(part, WorkerDied) else None)
                else:
                    parts[levels.pop(name)].append(_not_lost(part))
            new = list(islice(others, self._workers.room(len(taken))))
            for level in sorted(parts):
                while len(parts[level]) >= _ARITY:
                    some, parts[level] = parts[level][:_ARITY], parts[level][_ARITY:]
                    levels[tasks.add(some)] = level + 1
            if not (new or taken or levels):
                rest = [(level, part) for level in sorted(parts) for part in parts[level]]
                if len(rest) == 1:
                    return self._fetched(tasks, rest[0][1])
                some, others_left = rest[:_ARITY], rest[_ARITY:]
                parts = defaultdict(list)
                for level, part in others_left:
                    parts[level].append(part)
                levels[tasks.add([part for _, part in some])] = some[-1][0]

    def _fetched(self, tasks: TaskGroup, part: distributed.Future) -> Any:
        tasks.fetch("total", part)
        results: dict[Hashable, Any] = {}
        while not results:
            results = self._listen(tasks)
        return _not_lost(results["total"])

    def _listen(self, tasks: TaskGroup) -> dict[Hashable, Any]:
        results = tasks.listen(_BEAT)
        self._workers.look()
        self._idle()
        return results

    @contextlib.contextmanager
    def _task_group(self, work: Work[Any, Any], add: Callable[[Any, Any], Any] | None = None) -> Iterator[TaskGroup]:
        """Offer tasks that share `work` and `add`; leave none of them behind."""
        tasks = TaskGroup(self._client, work, add)
        try:
            yield tasks
        finally:
            if tasks.n_busy and not tasks.cancel():
                self._kill()


class WorkerCount:
    """How many threads work in the cluster, looked at now and then."""

    def __init__(self, client: distributed.Client, note: Callable[[str], None]) -> None:
        self._client, self._note = client, note
        self._looked = monotonic()
        self._answer: Promise[dict[str, Any]] | None = None
        self._told = False
        n_threads = sum(client.nthreads().values())
        self.n_threads = max(1, n_threads)
        self._without_since = None if n_threads else self._looked

    def room(self, n_busy: int) -> int:
        """Return how many items are to be given to the scheduler, which has so many."""
        return _HIGH * self.n_threads - n_busy if n_busy <= _LOW * self.n_threads else 0

    def look(self) -> None:
        """Look again if it is time, and tell the user where no worker has been seen for long."""
        now = monotonic()
        if self._answer is None and now - self._looked > _LOOK:
            self._looked = now
            self._answer = in_loop(self._client, lambda: self._client.scheduler.identity(n_workers=0))
        if self._answer is not None and self._answer.done():
            with contextlib.suppress(Exception):  # the scheduler is busy or gone, which the tasks will tell
                n_threads = self._answer.result()["total_threads"]
                self.n_threads = max(1, n_threads)
                if n_threads:
                    self._without_since, self._told = None, False
                elif self._without_since is None:
                    self._without_since = now
            self._answer = None
        if self._without_since is not None and now - self._without_since > _PATIENCE and not self._told:
            self._told = True
            self._note("no worker is connected to the scheduler; waiting for one")


def _not_lost(part: Result | WorkerDied) -> Result:
    """Return a sum, without which there is no going on."""
    if isinstance(part, WorkerDied):
        raise ClusterError(f"colours cannot be added up: {part.reason}")
    return part
