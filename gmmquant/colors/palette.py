"""A palette: the few colours of an image, as bytes and as text."""

from __future__ import annotations

from collections.abc import Iterable
from itertools import islice
from typing import Any

import numpy as np
import numpy.typing as npt

from gmmquant.colors.spaces import SRGB, ColorSpace
from gmmquant.errors import GmmquantError, ParameterError
from gmmquant.models.array_validation import FloatArray, check_array
from gmmquant.settings import MAX_K

# By how much a sum of floats that is 1 may be above it.
_ROUNDING = 1e-9

Palette = npt.NDArray[np.uint8]
Color = tuple[int, int, int]


def to_8_bits(values: FloatArray, space: ColorSpace = SRGB) -> Palette:
    """Round `values` (n, 3), colours of `space`, to the 8-bit sRGB colours (n, 3) that an image can hold.

    What lies outside the gamut, as the mean of colours in a curved space may, is clipped to it.
    """
    return np.rint(np.clip(space.to_srgb(values), 0.0, 1.0) * 255).astype(np.uint8)


def hex_code(color: npt.NDArray[Any]) -> str:
    """Write an 8-bit colour (3,) as `#rrggbb`."""
    red, green, blue = (int(channel) for channel in color)
    return f"#{red:02x}{green:02x}{blue:02x}"


def check_palette(palette: npt.NDArray[Any]) -> Palette:
    """Return `palette`, 1 to 4096 colours as uint8 (K, 3)."""
    palette = np.asarray(palette)
    if palette.dtype != np.uint8 or palette.ndim != 2 or palette.shape[1:] != (3,):
        raise ParameterError(f"palette has shape {palette.shape} and type {palette.dtype}; give uint8 of shape (K, 3)")
    if not 1 <= len(palette) <= MAX_K:
        raise ParameterError(f"palette has {len(palette)} colours; give 1 to {MAX_K}")
    return palette


def check_shares(weights: npt.ArrayLike | None, n_colors: int) -> FloatArray | None:
    """Return the weights of colours, shape (n_colors,), each a part from 0 to 1; None stays None."""
    if weights is None:
        return None
    shares = check_array("weights", weights, (n_colors,))
    if (shares < 0).any():
        raise ParameterError(f"weights holds {shares.min():g}; weights must be at least 0")
    if (shares > 1 + _ROUNDING).any():
        raise ParameterError(f"weights holds {shares.max():g}; give parts of the image, which are at most 1")
    return shares


def collect_colors(colors: Iterable[Color], failure: type[GmmquantError]) -> Palette:
    """Return `colors` as they come, repeated ones too, uint8 (K, 3).

    No more of them are taken than it needs to tell that there are too many.

    Raises
    ------
    failure
        If there are none, or more than 4096.
    """
    found = list(islice(colors, MAX_K + 1))
    if len(found) > MAX_K:
        raise failure(f"more than {MAX_K} colours, the limit; give a palette of fewer")
    if not found:
        raise failure("holds no colour; give at least one")
    return np.array(found, dtype=np.uint8)
