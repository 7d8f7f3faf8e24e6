"""Pixels of floating-point files, whose colours have values from 0 to 1."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from gmmquant.errors import ImageError

_BAND_ROWS = 256


def levels_of(values: npt.NDArray[Any]) -> npt.NDArray[np.uint16]:
    """Return floating-point values (h, w, ...) from 0 to 1 as 16 bits, 65535 for 1.

    Others raise an `ImageError`: their range is unknown, so that any scale would be a guess.
    """
    levels = np.empty(values.shape, np.uint16)
    lowest, highest = np.inf, -np.inf
    for start in range(0, len(values), _BAND_ROWS):
        band = values[start : start + _BAND_ROWS]
        if not np.isfinite(band).all():
            raise ImageError("non-finite pixels (NaN or infinity); replace them by values from 0 to 1")
        band = band.astype(np.float64)
        lowest, highest = min(lowest, float(band.min())), max(highest, float(band.max()))
        levels[start : start + _BAND_ROWS] = np.rint(np.clip(band, 0, 1) * 65535)
    if lowest < 0 or highest > 1:
        raise ImageError(
            f"floating-point pixels from {lowest:g} to {highest:g}, outside of 0 to 1; scale them, or save 16 bits"
        )
    return levels
