"""Long arrays worked on in threads: for numpy's operations that leave the interpreter's lock alone.

What is computed does not depend on the number of threads. Operations shorter than 50 microseconds gain nothing by it.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from threading import Thread
from typing import Any

import numpy.typing as npt

# Elements taken at a time, so that what is made of them stays in cache.
_CHUNK = 1 << 16

# Fewer elements than these are not worth a thread.
_LONG = 1 << 20

_MAX_THREADS = 4

# The most that this process is to use, where it is one of several that share the processors.
_share: int | None = None


def use_at_most(n_threads: int) -> None:
    """Let this process compute in so many threads at most."""
    global _share
    _share = n_threads


def for_chunks(work: Callable[[slice], object], n: int) -> None:
    """Call `work` with each chunk of `n` elements; its calls must not depend on each other."""
    chunks = [slice(start, min(start + _CHUNK, n)) for start in range(0, n, _CHUNK)]
    n_threads = 1 if n < _LONG else min(n_processors(), _MAX_THREADS)

    def work_on(some: Sequence[slice]) -> Callable[[], None]:
        def go() -> None:
            for chunk in some:
                work(chunk)

        return go

    together([work_on(chunks[first::n_threads]) for first in range(n_threads)])


def sort(values: npt.NDArray[Any]) -> None:
    """Sort `values` (n,) in path: the lower half and the upper in a thread each, once they are told apart.

    12 million codes took 34 ms so, 49 in one thread.
    """
    if values.size < _LONG or n_processors() == 1:
        values.sort()
        return
    middle = values.size // 2
    values.partition(middle)
    together([values[:middle].sort, values[middle:].sort])


def n_processors() -> int:
    """Return the number of processors that this process may run on, or its share of them."""
    if _share is not None:
        return _share
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def together(tasks: Sequence[Callable[[], object]]) -> None:
    """Run `tasks`, the first in this thread and the others beside it, or after it where no thread can be started.

    What a task raises is raised when all have ended; the first, if several raise.
    """
    raised: list[BaseException] = []

    def run(task: Callable[[], object]) -> None:
        try:
            task()
        except BaseException as error:
            raised.append(error)

    first, *others = tasks
    threads, left = [], [first]
    for task in others:
        thread = Thread(target=run, args=(task,))
        try:
            thread.start()
            threads.append(thread)
        except RuntimeError:  # no more threads, or the interpreter is about to end
            left.append(task)
    for task in left:
        run(task)
    for thread in threads:
        thread.join()
    if raised:
        raise raised[0]
