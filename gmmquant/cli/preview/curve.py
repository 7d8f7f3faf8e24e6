"""Curves of the objective in braille: each character has two columns of four dots."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

_FIRST = 0x2800
# The bits of the dots of a character, from the lowest to the highest, in its left and in its right column.
_DOTS = ((0x40, 0x04, 0x02, 0x01), (0x80, 0x20, 0x10, 0x08))

# Most of the gain is in the first iterations. The power spreads those near the end over several dots.
_POWER = 0.2


def objectives_of(trace: Sequence[Mapping[str, Any]]) -> list[float]:
    """Return the objectives of a record's trace in the order of the iterations, those of all levels together."""
    return [objective for step in trace for objective in step["objective"]]


def curve(values: Sequence[float], columns: int) -> str:
    """Return how values approach the last one, in at most `columns` characters; empty for fewer than two values.

    The lowest dot is the value that is farthest from the last, the highest dot the last; between them, heights are by a
    power of the distance. If there are more values than columns of dots, each column has the last of its values.
    """
    if len(values) < 2:
        return ""
    n = min(2 * columns, len(values))
    distances = np.abs(np.array(values) - values[-1])
    shown = distances[np.arange(1, n + 1) * len(values) // n - 1]
    heights = np.rint(3 * (1 - (shown / (distances.max() or 1.0)) ** _POWER)).astype(int).tolist()
    cells = [0] * -(-n // 2)
    for column, height in enumerate(heights):
        cells[column // 2] |= _DOTS[column % 2][height]
    return "".join(chr(_FIRST + bits) for bits in cells)
