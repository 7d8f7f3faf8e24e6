"""The order of a palette: by luminance, or by hue."""

from __future__ import annotations

import numpy as np

from gmmquant.colors.palette import Palette
from gmmquant.colors.spaces import srgb_to_lab
from gmmquant.models.array_validation import IndexArray

# Colours of a lower chroma in CIELAB are greys, whose hue depends on the rounding to 8 bits.
_MIN_CHROMA = 4.0


def order_by_luminance(palette: Palette) -> IndexArray:
    """Return the indices of the colours, the darkest first, by their lightness in CIELAB."""
    return np.argsort(srgb_to_lab(palette / 255)[:, 0], kind="stable")


def order_by_hue(palette: Palette) -> IndexArray:
    """Return the indices of the greys, the darkest first, then of the others by their hue angle in CIELAB.

    That is from pink and red by way of yellow, green and blue to violet.
    """
    lightness, a, b = srgb_to_lab(palette / 255).T
    is_color = np.hypot(a, b) >= _MIN_CHROMA
    hue = np.arctan2(b, a) % (2 * np.pi)
    return np.lexsort([np.where(is_color, hue, lightness), is_color])
