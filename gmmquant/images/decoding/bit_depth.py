"""Values of other bit depths scaled to 8 or 16 bits."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt


def stretched(values: npt.NDArray[Any], maximum: int) -> npt.NDArray[Any]:
    """Scale integers from 0..`maximum` to the range of uint8, or of uint16 if `maximum` > 255; clip larger ones."""
    dtype = np.uint8 if maximum <= 255 else np.uint16
    top = int(np.iinfo(dtype).max)
    if maximum == top:
        return values.astype(dtype)
    table = ((np.arange(maximum + 1, dtype=np.uint64) * top + maximum // 2) // maximum).astype(dtype)
    scaled: npt.NDArray[Any] = table[np.minimum(values, maximum)]
    return scaled
