"""Work on many items one after the other, in this process."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from gmmquant.system.executors.base import Add, Executor, Results, Work, ignore


class SerialExecutor(Executor):
    """Works on one item after the other, in this process; an exception is raised at once."""

    def _pool(self, work: Work[Any, Any], add: Add[Any] | None) -> _SerialPool:
        return _SerialPool(work)


class _SerialPool:
    """Takes an item, and works on it when its result is collected."""

    max_waiting = room = 1

    def __init__(self, work: Work[Any, Any]) -> None:
        self._work = work
        self._started: list[tuple[int, Any]] = []

    @property
    def is_busy(self) -> bool:
        return bool(self._started)

    def submit(self, numbered: Iterable[tuple[int, Any]]) -> None:
        self._started.extend(numbered)

    def collect(self, seconds: float) -> Results:
        number, item = self._started.pop()
        return [(number, self._work(item, ignore))]

    def close(self) -> None:
        pass  # no work is left
