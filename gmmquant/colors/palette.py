"""A palette: the few colours of a picture, as bytes and as text."""

from typing import Any

import numpy as np
import numpy.typing as npt


def palette_from_means(means: npt.NDArray[np.float64]) -> npt.NDArray[np.uint8]:
    """Round component means (K, 3), sRGB in [0, 1], to the 8-bit colours (K, 3) that a picture can hold."""
    return np.rint(np.clip(means, 0.0, 1.0) * 255).astype(np.uint8)


def hex_code(color: npt.NDArray[Any]) -> str:
    """Write an 8-bit colour (3,) as `#rrggbb`."""
    red, green, blue = (int(channel) for channel in color)
    return f"#{red:02x}{green:02x}{blue:02x}"
