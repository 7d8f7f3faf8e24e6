"""Axes of charts: from values to positions, and round numbers for ticks."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import NamedTuple

from gmmquant.report.numbers import decimal

# Steps between ticks, times a power of ten.
_STEPS = (1, 2, 2.5, 5, 10)

_N_TICKS = 5  # about this number, of a linear scale
_LEAST_GAP = 24  # between the ticks of a scale of counts, in units of the drawing


class Tick(NamedTuple):
    """A tick at a position along an axis, in units of the drawing."""

    position: float
    text: str


class Scale(NamedTuple):
    """Linear from the values `low`..`high` to the positions `start`..`end`; `is_log`: linear in the logarithm."""

    low: float
    high: float
    start: float
    end: float
    is_log: bool = False

    def __call__(self, value: float) -> float:
        """Return the position of a value."""
        low, high, value = (
            (math.log(each) for each in (self.low, self.high, value)) if self.is_log else (*self[:2], value)
        )
        share = (value - low) / (high - low) if high > low else 0.5
        return round(self.start + share * (self.end - self.start), 2)


def nice_scale(values: Sequence[float], start: float, end: float) -> tuple[Scale, list[Tick]]:
    """Return a scale that begins and ends at round numbers about `values`, and about five ticks."""
    low, high = min(values), max(values)
    if high - low < 1e-9 * max(abs(low), abs(high), 1e-3):
        margin = 0.05 * abs(high) or 1.0
        low, high = low - margin, high + margin
    step = _step((high - low) / (_N_TICKS - 1))
    first, last = math.floor(low / step + 1e-9), math.ceil(high / step - 1e-9)
    scale = Scale(first * step, last * step, start, end)
    digits = max(0, -math.floor(math.log10(step) + 1e-9) + (step / 10 ** math.floor(math.log10(step) + 1e-9) == 2.5))
    return scale, [Tick(scale(i * step), decimal(i * step, digits)) for i in range(first, last + 1)]


def _step(least: float) -> float:
    """Return the smallest round number of at least `least`."""
    power = 10.0 ** math.floor(math.log10(least))
    return next(step * power for step in _STEPS if step * power >= least * (1 - 1e-9))


def count_scale(counts: Sequence[int], start: float, end: float) -> tuple[Scale, list[Tick]]:
    """Return a logarithmic scale of counts of at least 1, with a tick at each as far as there is room.

    The last tick is always kept: it ends the axis.
    """
    distinct = sorted(set(counts))
    scale = Scale(distinct[0], distinct[-1], start, end, is_log=True)
    ticks: list[Tick] = []
    for count in distinct:
        tick = Tick(scale(count), decimal(count))
        while len(ticks) > 1 and count == distinct[-1] and tick.position - ticks[-1].position < _LEAST_GAP:
            ticks.pop()
        if not ticks or tick.position - ticks[-1].position >= _LEAST_GAP:
            ticks.append(tick)
    return scale, ticks


def iteration_scale(n_iterations: int, start: float, end: float) -> tuple[Scale, list[Tick]]:
    """Return a scale of 0 to `n_iterations` iterations, with ticks at whole numbers."""
    scale = Scale(0, max(n_iterations, 1), start, end)
    step = max(1, round(_step(max(n_iterations, 1) / 6)))
    return scale, [Tick(scale(i), decimal(i)) for i in range(0, max(n_iterations, 1) + 1, step)]
