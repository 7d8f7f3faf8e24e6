"""Work on many items: the interface of all executors.

Results are in the order of the items, whichever is finished first. An item is taken from its iterator only when it can
be started, so ending the iterator lets the started items finish and starts no others.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Generator, Iterable, Iterator
from contextlib import closing
from dataclasses import dataclass
from functools import reduce
from itertools import chain
from typing import Any, Generic, TypeVar

Item = TypeVar("Item")
Result = TypeVar("Result")
Callback = TypeVar("Callback", bound=Callable[..., None])

# Work calls it before it allocates much memory, with the number of bytes; it returns when they may be allocated.
Admit = Callable[[int], None]
Work = Callable[[Item, Admit], Result]


@dataclass(frozen=True)
class WorkerDied:
    """Result of an item whose process died: the reason and a remedy, in one line."""

    reason: str


@dataclass(frozen=True)
class Raised:
    """Result of an item whose work raised an exception."""

    error: Exception


# The results of some items, by the numbers of the items.
Results = dict[int, Result | WorkerDied | Raised]


def ignore(*_: object) -> None:
    """Do nothing."""


class Executor(ABC):
    """Works on many items.

    Attributes
    ----------
    may_run_twice : bool
        Whether an item may be run again, in another process with another working folder. Then paths must be absolute,
        and what the first run changes, such as which outputs exist, must be looked up before.
    max_waiting : int
        Number of results that may wait for an earlier one.
    """

    may_run_twice = False
    max_waiting = 1

    def worker_callback(self, call: Callback) -> Callback:
        """Return what work is to call instead of `call`, which another process cannot reach."""
        return call

    @abstractmethod
    def results(
        self,
        work: Work[Item, Result],
        items: Iterable[Item],
        on_result: Callable[[Result | WorkerDied], None],
        may_start: Callable[[int], bool],
    ) -> Generator[Results[Result], None, None]:
        """Yield results as they arrive; `may_start(n)` tells whether another item may be started after the first n."""

    def map(
        self, work: Work[Item, Result], items: Iterable[Item], on_result: Callable[[Result | WorkerDied], None] = ignore
    ) -> Generator[Result | WorkerDied, None, None]:
        """Yield `work(item, admit)` for each item, in order; an exception of an item is raised in its turn.

        `on_result` is called with each result as it arrives, in any order, before another item is taken.
        """
        waiting: Results[Result] = {}
        n_yielded = 0
        with closing(self.results(work, items, on_result, lambda n: n - n_yielded < self.max_waiting)) as results:
            for arrived in results:
                waiting |= arrived
                while n_yielded in waiting:
                    yield _unless_raised(waiting.pop(n_yielded))
                    n_yielded += 1

    def total(
        self,
        work: Work[Item, Result],
        items: Iterable[Item],
        add: Callable[[Result, Result], Result],
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
        started: dict[int, Item] = {}

        def starting() -> Iterator[Item]:
            for number, item in enumerate(items):
                started[number] = item
                yield item

        with closing(self.results(work, starting(), on_result, lambda _: True)) as results:
            for number, outcome in chain.from_iterable(arrived.items() for arrived in results):
                item, result = started.pop(number), _unless_raised(outcome)
                total.add(on_death(item, result) if isinstance(result, WorkerDied) else result)
        return total.value()


class RunningTotal(Generic[Result]):
    """A sum of parts, kept as sums of 1, 2, 4, 8 ... parts: adding up n growing parts takes n log n of work."""

    def __init__(self, add: Callable[[Any, Any], Any]) -> None:
        self._add, self._sums, self._n = add, list[Result](), 0

    def add(self, part: Result) -> None:
        """Add one more part."""
        self._n += 1
        n = self._n
        while n % 2 == 0:
            part, n = self._add(self._sums.pop(), part), n // 2
        self._sums.append(part)

    def value(self) -> Result | None:
        """Return the sum of all parts; None if there are none."""
        return reduce(lambda later, earlier: self._add(earlier, later), reversed(self._sums)) if self._sums else None


def _unless_raised(result: Result | WorkerDied | Raised) -> Result | WorkerDied:
    if isinstance(result, Raised):
        raise result.error
    return result
