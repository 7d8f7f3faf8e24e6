"""Work on many items: what whoever does it promises, and the plainest way, in this process.

Results come in the order of the items, whatever is done first. Items are taken from their iterator no sooner than they
are worked on, so that whoever ends the iterator lets what was begun be finished, and nothing more.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Generator, Iterable, Iterator
from contextlib import closing
from dataclasses import dataclass
from functools import reduce
from itertools import chain
from typing import Generic, TypeVar

Item = TypeVar("Item")
Result = TypeVar("Result")

Callback = TypeVar("Callback", bound=Callable[..., None])

# Told by work before it takes much memory: how many bytes. It returns when they may be taken.
Admit = Callable[[int], None]
Work = Callable[[Item, Admit], Result]


@dataclass(frozen=True)
class WorkerDied:
    """What becomes of an item whose process on_death: what to tell of that, in a line with the remedy."""

    reason: str


def ignore(*_: object) -> None:
    """Take no notice of what is told."""


class Executor(ABC):
    """Whoever does work on many items.

    Attributes
    ----------
    may_run_twice : bool
        Whether an item may be worked on more than once, and in another path: what is asked about the world, such as
        whether an output exists, is then to be asked before.
    """

    may_run_twice = False

    def worker_callback(self, call: Callback) -> Callback:
        """Return what work is to call in place of `call`, which may be out of its reach."""
        return call

    @abstractmethod
    def map(
        self, work: Work[Item, Result], items: Iterable[Item], on_result: Callable[[Result | WorkerDied], None] = ignore
    ) -> Generator[Result | WorkerDied, None, None]:
        """Yield `work(item, admit)` for each item, in their order.

        `on_result` is told of each result as it comes, in any order, before another item is taken.
        """

    @abstractmethod
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
        is taken; if results are not fetched, with None for each finished item.
        """


class Sums(Generic[Result]):
    """Parts added up as they on_result: n of them in the work of n log n, and as much memory as the last few sums.

    Sums are of 1, 2, 4, 8 ... parts, at most one of each.
    """

    def __init__(self, add: Callable[[Result, Result], Result]) -> None:
        self._add, self._sums, self._n = add, list[Result](), 0

    def take(self, part: Result) -> None:
        """Take one more part."""
        self._n += 1
        n = self._n
        while n % 2 == 0:
            part, n = self._add(self._sums.pop(), part), n // 2
        self._sums.append(part)

    def total(self) -> Result | None:
        """Return the sum of all parts; None if there are none."""
        return reduce(lambda later, earlier: self._add(earlier, later), reversed(self._sums)) if self._sums else None


@dataclass(frozen=True)
class Raised:
    """What becomes of an item whose work raised an exception."""

    error: Exception


class LocalExecutor(Executor):
    """Workers on this machine, whose results are all at hand as they come.

    Attributes
    ----------
    ahead : int
        Results that may wait for an earlier one.
    """

    ahead = 1

    @abstractmethod
    def results(
        self,
        work: Work[Item, Result],
        items: Iterable[Item],
        on_result: Callable[[Result | WorkerDied], None],
        may_begin: Callable[[int], bool],
    ) -> Generator[dict[int, Result | WorkerDied | Raised], None, None]:
        """Yield results by the numbers of their items as they come; `may_begin(n)` says if one may follow the first n.

        `on_result` as for `map`.
        """

    def map(
        self, work: Work[Item, Result], items: Iterable[Item], on_result: Callable[[Result | WorkerDied], None] = ignore
    ) -> Generator[Result | WorkerDied, None, None]:
        """Yield `work(item, admit)` for each item; what it raises is raised in its turn."""
        waiting: dict[int, Result | WorkerDied | Raised] = {}
        told = 0
        with closing(self.results(work, items, on_result, lambda begun: begun - told < self.ahead)) as results:
            for news in results:
                waiting |= news
                while told in waiting:
                    yield _unless_raised(waiting.pop(told))
                    told += 1

    def total(
        self,
        work: Work[Item, Result],
        items: Iterable[Item],
        add: Callable[[Result, Result], Result],
        *,
        on_death: Callable[[Item, WorkerDied], Result],
        on_result: Callable[[Result | WorkerDied | None], None] = ignore,
    ) -> Result | None:
        """Return the sum of `work(item, admit)` over all items, added up in whatever order they come."""
        sums = Sums(add)
        taken: dict[int, Item] = {}

        def taking() -> Iterator[Item]:
            for number, item in enumerate(items):
                taken[number] = item
                yield item

        with closing(self.results(work, taking(), on_result, lambda begun: True)) as results:
            for number, result in chain.from_iterable(news.items() for news in results):
                item, heard = taken.pop(number), _unless_raised(result)
                sums.take(on_death(item, heard) if isinstance(heard, WorkerDied) else heard)
        return sums.total()


def _unless_raised(result: Result | WorkerDied | Raised) -> Result | WorkerDied:
    if isinstance(result, Raised):
        raise result.error
    return result
