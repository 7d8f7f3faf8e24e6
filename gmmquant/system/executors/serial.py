"""Work on many items one after the other, in this process: see `executors.base` for what is promised."""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterable

from gmmquant.system.executors.base import Item, LocalExecutor, Raised, Result, Work, WorkerDied


class SerialExecutor(LocalExecutor):
    """One item after the other, in this process."""

    def results(
        self,
        work: Work[Item, Result],
        items: Iterable[Item],
        on_result: Callable[[Result | WorkerDied], None],
        may_begin: Callable[[int], bool],
    ) -> Generator[dict[int, Result | WorkerDied | Raised], None, None]:
        """Yield each result; what work raises is raised. As each is told of at once, one more may always follow."""
        for number, item in enumerate(items):
            result = work(item, _admit_all)
            on_result(result)
            yield {number: result}


def _admit_all(n_bytes: int) -> None:
    """Let work take any memory."""
