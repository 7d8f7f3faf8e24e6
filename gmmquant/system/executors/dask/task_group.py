"""Tasks in a cluster, begun, followed, tried again and cancelled."""

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
from gmmquant.system.executors.base import Result, Work, WorkerDied
from gmmquant.system.executors.dask.tasks import TaskContext, add_parts, do, versions, wait_until_left

# Times that an item is tried again that raised something.
_RETRIES = 2

# Seconds that cancelled items have to end.
_GRACE = 0.6


@dataclass(frozen=True)
class _Begun:
    """A task that has not been heard of."""

    future: distributed.Future
    fetch: bool
    again: Callable[[], distributed.Future] | None  # begins it anew; None: not again


class TaskGroup:
    """Tasks in the cluster that share what they work with.

    A worker's death counts against all tasks that it had, also those that waited there. So what the scheduler gives up
    is tried again, one such task at a time: whoever merely stood behind a deadly one is done then.
    """

    def __init__(self, client: distributed.Client, work: Work[Any, Any], add: Callable[[Any, Any], Any] | None) -> None:
        self._client, self._name, self._numbers = client, f"gmmquant-{token_hex(8)}", count()
        self._news: SimpleQueue[tuple[Hashable, Any]] = SimpleQueue()
        self._busy: dict[Hashable, _Begun] = {}
        self._suspects: deque[Hashable] = deque()
        self._tried_again: Hashable = None
        self._context = self.put(TaskContext(work, add, versions()))

    @property
    def n_busy(self) -> int:
        """Number of tasks that have not been heard of."""
        return len(self._busy)

    def put(self, value: Any) -> distributed.Future:
        """AnyPath a value in the cluster, in such a way that it can be made again."""
        return self._client.submit(pickle.loads, _packed(value), key=self._key("put"), pure=False)

    def give(self, numbered: Sequence[tuple[int, Any]], *, fetch: bool = True) -> None:
        """Begin items; where their results are not to be fetched, `listen` returns where they are."""
        if not numbered:
            return
        packed = [_packed(item) for _, item in numbered]
        begin = partial(self._client.map, do, retries=_RETRIES, pure=False)
        futures = begin([self._context] * len(packed), packed, key=[self._key("do") for _ in packed])
        for (number, _), item, future in zip(numbered, packed, futures, strict=True):

            def again(item: bytes = item) -> distributed.Future:
                return begin([self._context], [item], key=[self._key("do")])[0]

            self._follow(number, _Begun(future, fetch, again))

    def add(self, parts: Sequence[distributed.Future]) -> Hashable:
        """Begin the sum of some parts; return its name in what `listen` returns, which is where it is."""

        def begin() -> distributed.Future:
            return self._client.submit(
                add_parts, self._context, *parts, key=self._key("add"), retries=_RETRIES, pure=False
            )

        future = begin()
        self._follow(future.key, _Begun(future, False, begin))
        return future.key  # type: ignore[no-any-return]

    def fetch(self, name: Hashable, future: distributed.Future) -> None:
        """Fetch a result from where it is: `listen` will return it."""
        self._follow(name, _Begun(future, True, None))

    def listen(self, seconds: float) -> dict[Hashable, Any]:
        """Wait so long for news; return the results that came. What a task raised is raised."""
        news: list[tuple[Hashable, Any]] = []
        with contextlib.suppress(Empty):
            news.append(self._news.get(timeout=seconds))
            while True:
                news.append(self._news.get_nowait())
        results: dict[Hashable, Any] = {}
        for name, result in news:
            if isinstance(result, WorkerDied) and self._busy[name].again is not None:
                self._suspects.append(name)
                continue
            del self._busy[name]
            if isinstance(result, _Failed):
                raise result.as_told()
            results[name] = result
        if self._suspects and self._tried_again not in self._busy:
            self._tried_again = name = self._suspects.popleft()
            begun = self._busy[name]
            assert begun.again is not None  # noqa: S101
            self._follow(name, _Begun(begun.again(), begun.fetch, None))
        return results

    def cancel(self) -> bool:
        """Cancel what has not been heard of; tell whether all that was at work has left it in time."""
        with contextlib.suppress(Exception):
            self._client.cancel([begun.future for begun in self._busy.values()], force=True)
            left = in_loop(
                self._client, lambda: self._client.run(wait_until_left, self._name, _GRACE, on_error="return")
            )
            return all(answer is True for answer in left.result(2 * _GRACE).values())
        return False

    def _key(self, what: str) -> Hashable:
        """Return a name for a task: Dask takes those that differ in the number alone to be alike."""
        return (f"{self._name}-{what}", next(self._numbers))

    def _follow(self, name: Hashable, begun: _Begun) -> None:
        """Let `listen` tell what becomes of a task."""
        self._busy[name] = begun
        in_loop(self._client, lambda: self._tell(name, begun))

    async def _tell(self, name: Hashable, begun: _Begun) -> None:
        """Wait for a task in the thread of the client; put what became of it where `listen` finds it."""
        try:
            error = await begun.future.exception()
            if error is not None:
                raise error
            result = await begun.future if begun.fetch or begun.future.cancelled() else begun.future
        except KilledWorker as killed:
            n_workers = 2 * (killed.allowed_failures + 1)
            remedy = "give workers more, or scale it down"
            result = WorkerDied(f"it was lost with {n_workers} workers in turn, perhaps for want of memory; {remedy}")
        except BaseException as error:
            result = _Failed(error)
        self._news.put((name, result))


@dataclass(frozen=True)
class _Failed:
    """What a task raised, or the way to its result."""

    error: BaseException

    def as_told(self) -> BaseException:
        """Return the error in our words, where it is not that of the work."""
        if isinstance(self.error, (CancelledError, asyncio.CancelledError, OSError)):
            return ClusterError("the connection to the scheduler was lost; run again with --skip-existing to go on")
        if isinstance(self.error, ImportError):
            return ClusterError(f"a worker cannot do the work ({self.error}); install there what is installed here")
        return self.error


def _packed(value: Any) -> bytes:
    """Return a value as bytes, which Dask does not look into."""
    return pickle.dumps(value, pickle.HIGHEST_PROTOCOL)


def in_loop(client: distributed.Client, call: Callable[[], Awaitable[Result]]) -> Promise[Result]:
    """Await what `call` returns in the thread of the client."""

    async def wait() -> Result:
        return await call()

    return asyncio.run_coroutine_threadsafe(wait(), client.loop.asyncio_loop)
