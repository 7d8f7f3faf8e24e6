"""Work on many items one after the other, in this process."""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterable

from gmmquant.system.executors.base import Executor, Item, Result, Results, Work, WorkerDied, ignore


class SerialExecutor(Executor):
    """Works on one item after the other, in this process; an exception is raised at once."""

    def results(
        self,
        work: Work[Item, Result],
        items: Iterable[Item],
        on_result: Callable[[Result | WorkerDied], None],
        may_start: Callable[[int], bool],
    ) -> Generator[Results[Result], None, None]:
        """Yield each result; as none waits, another item may always be started."""
        for number, item in enumerate(items):
            result = work(item, ignore)
            on_result(result)
            yield {number: result}
