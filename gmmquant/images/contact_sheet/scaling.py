"""Images scaled to panels: reduced by the mean of the area in linear light, enlarged by whole factors."""

from __future__ import annotations

import math

import cv2
import numpy as np
import numpy.typing as npt

from gmmquant.colors.spaces import srgb_to_linear
from gmmquant.images.scaling import resized, srgb_of

# The squares behind transparent pixels.
_SQUARE_PIXELS = 10
_LIGHT, _DARK = 255, 225


def panel_size(width: int, height: int, max_width: int, max_height: int) -> tuple[int, int]:
    """Return the size at which an image fits into a panel: reduced, or enlarged by the largest whole factor."""
    scale = min(max_width / width, max_height / height)
    if scale >= 1:
        factor = math.floor(scale)
        return factor * width, factor * height
    return max(round(scale * width), 1), max(round(scale * height), 1)


def to_panel(pixels: npt.NDArray[np.uint8], width: int, height: int) -> npt.NDArray[np.uint8]:
    """Return an image (h, w, 3 or 4), sRGB, as RGB (height, width, 3), over a checkerboard where it is transparent.

    An image that is larger is `resized`; a smaller one is enlarged by whole factors, its pixels staying squares. A
    small copy of an image, for which there is no such factor, is enlarged smoothly.
    """
    h, w, n_channels = pixels.shape
    if width < w or height < h:
        scaled = resized(pixels, width, height)
    elif width % w == height % h == 0:
        scaled = np.repeat(np.repeat(pixels, height // h, axis=0), width // w, axis=1)
    else:
        enlarged = cv2.resize(pixels, (width, height), interpolation=cv2.INTER_LINEAR)
        scaled = enlarged.astype(np.uint8, copy=False)
    if n_channels == 3:
        return scaled
    alpha = scaled[..., 3:] / 255
    colors, squares = (srgb_to_linear(each / 255) for each in (scaled[..., :3], checkerboard(width, height)))
    return srgb_of(alpha * colors + (1 - alpha) * squares)


def checkerboard(width: int, height: int) -> npt.NDArray[np.uint8]:
    """Return grey squares, RGB (height, width, 3)."""
    rows, columns = np.arange(height) // _SQUARE_PIXELS, np.arange(width) // _SQUARE_PIXELS
    dark = (rows[:, np.newaxis] + columns) % 2 == 1
    return np.repeat(np.where(dark, _DARK, _LIGHT).astype(np.uint8)[..., np.newaxis], 3, axis=2)
