"""Long arrays worked on in threads: for numpy's operations that leave the interpreter's lock alone.

What is computed does not depend on the number of threads. Operations shorter than 50 microseconds gain nothing by it.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy.typing as npt

# Elements taken at a time, so that what is made of them stays in cache.
_CHUNK = 1 << 16

# Fewer elements than these are not worth a thread.
_LONG = 1 << 20

_MAX_THREADS = 4


def for_chunks(work: Callable[[slice], object], n: int) -> None:
    """Call `work` with each chunk of `n` elements; its calls must not depend on each other."""
    chunks = [slice(start, min(start + _CHUNK, n)) for start in range(0, n, _CHUNK)]

    def work_on(some: list[slice]) -> None:
        for chunk in some:
            work(chunk)

    if n < _LONG:
        work_on(chunks)
        return
    n_threads = min(os.cpu_count() or 1, _MAX_THREADS)
    with ThreadPoolExecutor(n_threads) as threads:
        list(threads.map(work_on, [chunks[first::n_threads] for first in range(n_threads)]))


def sort(values: npt.NDArray[Any]) -> None:
    """Sort `values` (n,) in place: the lower half and the upper in a thread each, once they are told apart."""
    if values.size < _LONG:
        values.sort()
        return
    middle = values.size // 2
    values.partition(middle)
    with ThreadPoolExecutor(1) as thread:
        upper = thread.submit(values[middle:].sort)
        values[:middle].sort()
        upper.result()
