"""Curves of the objective as bars of a line of text."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

_BARS = "▁▂▃▄▅▆▇█"


def objectives_of(trace: Sequence[Mapping[str, Any]]) -> list[float]:
    """Return the objectives of a record's trace in the order of the iterations, those of all levels together."""
    return [objective for step in trace for objective in step["objective"]]


def curve(values: Sequence[float], columns: int) -> str:
    """Return values as bars, at most `columns`, from the lowest bar to the highest; empty for fewer than two values.

    If there are more values than bars, a bar has the last of its values: the curve ends where the fit does.
    """
    if len(values) < 2:
        return ""
    n = min(columns, len(values))
    shown = np.array(values)[np.arange(1, n + 1) * len(values) // n - 1]
    low, high = min(values), max(values)
    heights = np.rint((shown - low) / max(high - low, 1e-300) * (len(_BARS) - 1))
    return "".join(_BARS[int(height)] for height in heights)
