"""Work on many items: the interface of all executors, and the loop that they share.

Results are in the order of the items, whichever is finished first. An item is taken from its iterator only when it can
be started, so ending the iterator lets the started items finish and starts no others.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Generator, Iterable, Iterator, Sequence
from contextlib import closing
from functools import reduce
from itertools import islice
from typing import Any, Generic, NamedTuple, Protocol, TypeVar

Item = TypeVar("Item")
Prepared = TypeVar("Prepared")
Result = TypeVar("Result")
Callback = TypeVar("Callback", bound=Callable[..., None])

# Work calls it before it allocates much memory, with the number of bytes; it returns when they may be allocated.
Admit = Callable[[int], None]
Work = Callable[[Item, Admit], Result]
Add = Callable[[Result, Result], Result]

_IDLE_SECONDS = 0.1  # between two calls of `idle`


class WorkerDied(NamedTuple):
    """Result of an item whose process died: the reason and a remedy, in one line."""

    reason: str


class Raised(NamedTuple):
    """Result of an item whose work raised an exception."""

    error: Exception


# Results with the numbers of their items. If results are added up elsewhere, None is the result of an item, and a sum
# of several results has the number None.
Results = Sequence[tuple[Any, Any]]


def ignore(*_: object) -> None:
    """Do nothing."""


class Pool(Protocol):
    """Works on the items of one `map` or `total`."""

    @property
    def max_waiting(self) -> int:
        """Number of results that may wait for an earlier one."""

    @property
    def room(self) -> int:
        """Number of items that can be started now."""

    @property
    def is_busy(self) -> bool:
        """Whether results are still to arrive."""

    def submit(self, numbered: Iterable[tuple[int, Any]]) -> None:
        """Start items; nothing arrives if all items have been started and finished."""

    def collect(self, seconds: float) -> Results:
        """Return the results that arrive within some seconds, as soon as there is one."""

    def close(self) -> None:
        """End the work on all items that are left."""


class Executor(ABC):
    """Works on many items. A subclass supplies a pool; this class keeps the order and adds up.

    `idle` is called several times a second while results are awaited.
    """

    def __init__(self, idle: Callable[[], None] = ignore) -> None:
        self._idle = idle

    @abstractmethod
    def _pool(self, work: Work[Any, Any], add: Add[Any] | None) -> Pool:
        """Return a pool for `work`; with `add`, it may return sums of results instead of the results."""

    def worker_callback(self, call: Callback) -> Callback:
        """Return what work is to call instead of `call`, which another process cannot reach."""
        return call

    def repeatable(self, items: Iterable[Item], prepare: Callable[[Item], Prepared]) -> Iterator[Item | Prepared]:
        """Yield the items; `prepare(item)` instead if work may be repeated, in a process with another working folder.

        `prepare` is called as late as possible, before the work changes anything.
        """
        return iter(items)

    def map(
        self, work: Work[Item, Result], items: Iterable[Item], on_result: Callable[[Result | WorkerDied], None] = ignore
    ) -> Generator[Result | WorkerDied, None, None]:
        """Yield `work(item, admit)` for each item, in order; an exception of an item is raised in its turn.

        `on_result` is called with each result as it arrives, in any order, before another item is taken.
        """
        waiting: dict[int, Any] = {}
        n_yielded = 0

        def may_start(n_started: int) -> bool:
            return n_started - n_yielded < pool.max_waiting

        with closing(self._pool(work, None)) as pool:
            for arrived in self._run(pool, items, on_result, may_start):
                waiting.update((number, result) for number, _, result in arrived)
                while n_yielded in waiting:
                    yield _unless_raised(waiting.pop(n_yielded))
                    n_yielded += 1

    def total(
        self,
        work: Work[Item, Result],
        items: Iterable[Item],
        add: Add[Result],
        *,
        on_death: Callable[[Item, WorkerDied], Result],
        on_result: Callable[[Result | WorkerDied | None], None] = ignore,
    ) -> Result | None:
        """Return the sum of `work(item, admit)` over all items; None if there are none.

        `add` must be associative and commutative: results are added as they arrive. `on_death(item, died)` is the
        result of an item whose process died. `on_result` is called with each result as it arrives, before another item
        is taken; with None if the result is not fetched.
        """
        total: RunningTotal[Result] = RunningTotal(add)
        with closing(self._pool(work, add)) as pool:
            for arrived in self._run(pool, items, on_result, lambda _: True):
                for _, item, outcome in arrived:
                    result = _unless_raised(outcome)
                    if isinstance(result, WorkerDied):
                        result = on_death(item, result)
                    if result is not None:
                        total.add(result)
        return total.value()

    def _run(
        self, pool: Pool, items: Iterable[Item], on_result: Callable[[Any], None], may_start: Callable[[int], bool]
    ) -> Iterator[list[tuple[Any, Any, Any]]]:
        """Yield numbers, items and results as they arrive; `may_start(n)`: whether another may be started after n."""
        numbered, n_started = enumerate(items), 0
        started: dict[int | None, Item] = {}

        def startable() -> Iterator[tuple[int, Item]]:
            nonlocal n_started
            while may_start(n_started) and (following := next(numbered, None)) is not None:
                n_started += 1
                started.update([following])
                yield following

        arrived: Results = ()
        while True:
            pool.submit(islice(startable(), pool.room))
            if arrived:  # not before more items are started: the consumer may take long
                yield [(number, started.pop(number, None), result) for number, result in arrived]
            elif not pool.is_busy:
                return
            arrived = pool.collect(_IDLE_SECONDS) if pool.is_busy else ()
            for number, result in arrived:
                if number is not None and not isinstance(result, Raised):
                    on_result(result)
            self._idle()


class RunningTotal(Generic[Result]):
    """A sum of parts, kept as sums of 1, 2, 4, 8 ... parts: adding up n growing parts takes n log n of work."""

    def __init__(self, add: Add[Any]) -> None:
        self._add, self._sums, self._n = add, list[Result](), 0

    def add(self, part: Result) -> None:
        """Add one more part."""
        self._n += 1
        for _ in range((self._n & -self._n).bit_length() - 1):  # as many sums as n has factors of 2 are complete
            part = self._add(self._sums.pop(), part)
        self._sums.append(part)

    def value(self) -> Result | None:
        """Return the sum of all parts; None if there are none."""
        return reduce(lambda later, earlier: self._add(earlier, later), reversed(self._sums)) if self._sums else None


def _unless_raised(result: Any) -> Any:
    if isinstance(result, Raised):
        raise result.error
    return result
