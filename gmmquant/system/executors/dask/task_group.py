"""Tasks in a cluster: submitted, collected, retried and cancelled."""

from __future__ import annotations

import asyncio
import contextlib
import pickle
from collections import deque
from collections.abc import Awaitable, Callable, Hashable, Sequence
from concurrent.futures import CancelledError
from concurrent.futures import Future as Promise
from dataclasses import dataclass
from functools import partial
from itertools import count
from queue import Empty, SimpleQueue
from secrets import token_hex
from typing import Any

import distributed
from distributed.scheduler import KilledWorker

from gmmquant.errors import ClusterError
from gmmquant.system.executors.base import Raised, Result, Work, WorkerDied
from gmmquant.system.executors.dask.tasks import TaskContext, add_parts, run_item, versions, wait_until_left

# Times that an item which raised an exception is tried again.
_RETRIES = 2

# Time for cancelled items to end.
_GRACE_SECONDS = 0.6


@dataclass(frozen=True)
class _Task:
    """A submitted task whose result is not known."""

    future: distributed.Future
    fetch: bool
    resubmit: Callable[[], distributed.Future] | None  # None: not again


class TaskGroup:
    """Tasks in the cluster that share their work.

    The scheduler counts a worker's death against all tasks that were on it, also those that waited. So each task that
    the scheduler gives up is tried once more, one at a time: a task that only waited behind a deadly one then succeeds.
    """

    def __init__(self, client: distributed.Client, work: Work[Any, Any], add: Callable[[Any, Any], Any] | None) -> None:
        self._client, self._name, self._numbers = client, f"gmmquant-{token_hex(8)}", count()
        self._arrived: SimpleQueue[tuple[Hashable, Any]] = SimpleQueue()
        self._busy: dict[Hashable, _Task] = {}
        self._suspects: deque[Hashable] = deque()
        self._retried: Hashable = None
        context = pickle.dumps(TaskContext(work, add, versions()))  # bytes, which Dask does not inspect
        self._context = client.submit(pickle.loads, context, key=self._key("put"), pure=False)

    @property
    def n_busy(self) -> int:
        """Number of tasks whose results are not known."""
        return len(self._busy)

    def submit(self, numbered: Sequence[tuple[int, Any]], *, fetch: bool = True) -> None:
        """Submit items; without `fetch`, `collect` returns futures for their results."""
        if not numbered:
            return
        packed = [pickle.dumps(item) for _, item in numbered]
        submit = partial(self._client.map, run_item, retries=_RETRIES, pure=False)
        futures = submit([self._context] * len(packed), packed, key=[self._key("do") for _ in packed])
        for (number, _), item, future in zip(numbered, packed, futures, strict=True):

            def resubmit(item: bytes = item) -> distributed.Future:
                return submit([self._context], [item], key=[self._key("do")])[0]

            self._follow(number, _Task(future, fetch, resubmit))

    def add(self, parts: Sequence[distributed.Future], *, fetch: bool) -> Hashable:
        """Submit the sum of some parts; return its name in what `collect` returns."""

        def submit() -> distributed.Future:
            return self._client.submit(
                add_parts, self._context, *parts, key=self._key("add"), retries=_RETRIES, pure=False
            )

        future = submit()
        self._follow(future.key, _Task(future, fetch, submit))
        return future.key  # type: ignore[no-any-return]

    def collect(self, seconds: float) -> dict[Hashable, Any]:
        """Return the results that arrive within some seconds, as soon as there is one; raise what a task raised."""
        arrived: list[tuple[Hashable, Any]] = []
        with contextlib.suppress(Empty):
            arrived.append(self._arrived.get(timeout=seconds))
            while True:
                arrived.append(self._arrived.get_nowait())
        results: dict[Hashable, Any] = {}
        for name, result in arrived:
            if isinstance(result, WorkerDied) and self._busy[name].resubmit is not None:
                self._suspects.append(name)
                continue
            del self._busy[name]
            if isinstance(result, Raised):
                raise result.error
            results[name] = result
        if self._suspects and self._retried not in self._busy:
            self._retried = name = self._suspects.popleft()
            task = self._busy[name]
            assert task.resubmit is not None  # noqa: S101
            self._follow(name, _Task(task.resubmit(), task.fetch, None))
        return results

    def cancel(self) -> bool:
        """Cancel the tasks that are left; return whether all of them ended in time."""
        with contextlib.suppress(Exception):
            self._client.cancel([task.future for task in self._busy.values()], force=True)
            ended = in_loop(
                self._client, lambda: self._client.run(wait_until_left, self._name, _GRACE_SECONDS, on_error="return")
            )
            return all(answer is True for answer in ended.result(2 * _GRACE_SECONDS).values())
        return False

    def _key(self, what: str) -> Hashable:
        """Return a name for a task: Dask groups tasks whose names differ in the number only."""
        return (f"{self._name}-{what}", next(self._numbers))

    def _follow(self, name: Hashable, task: _Task) -> None:
        self._busy[name] = task
        in_loop(self._client, lambda: self._wait_for(name, task))

    async def _wait_for(self, name: Hashable, task: _Task) -> None:
        """Wait for a task in the thread of the client; put its result where `collect` finds it."""
        try:
            error = await task.future.exception()
            if error is not None:
                raise error
            result = await task.future if task.fetch or task.future.cancelled() else task.future
        except KilledWorker as killed:
            n_workers = 2 * (killed.allowed_failures + 1)
            remedy = "give workers more, or scale it down"
            result = WorkerDied(f"it was lost with {n_workers} workers in turn, perhaps for want of memory; {remedy}")
        except BaseException as error:
            result = Raised(_explained(error))
        self._arrived.put((name, result))


def _explained(error: BaseException) -> Any:
    """Return an error of the cluster as a `ClusterError` with a remedy, and any other as it is."""
    if isinstance(error, (CancelledError, asyncio.CancelledError, OSError)):
        return ClusterError("the connection to the scheduler was lost; run again with --skip-existing to go on")
    if isinstance(error, ImportError):
        return ClusterError(f"a worker cannot do the work ({error}); install there what is installed here")
    return error


def in_loop(client: distributed.Client, call: Callable[[], Awaitable[Result]]) -> Promise[Result]:
    """Await the result of `call` in the thread of the client."""

    async def wait() -> Result:
        return await call()

    return asyncio.run_coroutine_threadsafe(wait(), client.loop.asyncio_loop)
