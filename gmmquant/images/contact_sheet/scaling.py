"""Images scaled to panels: reduced by the mean of the area in linear light, enlarged by whole factors."""

from __future__ import annotations

import math
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt

from gmmquant.colors.spaces import linear_to_srgb, srgb_to_linear

_CHUNK_PIXELS = 1 << 20  # that are reduced at a time: 16 MB of floats

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

    An image that is larger is `reduced`; a smaller one is enlarged by whole factors, its pixels staying squares. A
    small copy of an image, for which there is no such factor, is enlarged smoothly.
    """
    h, w, n_channels = pixels.shape
    if width < w or height < h:
        scaled = reduced(pixels, width, height)
    elif width % w == height % h == 0:
        scaled = np.repeat(np.repeat(pixels, height // h, axis=0), width // w, axis=1)
    else:
        enlarged = cv2.resize(pixels, (width, height), interpolation=cv2.INTER_LINEAR)
        scaled = enlarged.astype(np.uint8, copy=False)
    if n_channels == 3:
        return scaled
    alpha = scaled[..., 3:] / 255
    colors, squares = (srgb_to_linear(each / 255) for each in (scaled[..., :3], checkerboard(width, height)))
    return _to_8_bits(alpha * colors + (1 - alpha) * squares)


def reduced(pixels: npt.NDArray[np.uint8], width: int, height: int) -> npt.NDArray[np.uint8]:
    """Return an image (h, w, 3 or 4), sRGB, as (height, width, 3 or 4), each pixel the mean of its area.

    Colours are averaged in linear light, in which dithered pixels mix as they do for the eye, and weigh their alpha.
    """
    mean = _area_mean(pixels, width, height)
    if pixels.shape[2] == 3:
        return _to_8_bits(mean)
    alpha = mean[..., 3:]
    colors = mean[..., :3] / np.where(alpha > 0, alpha, 1)
    return np.dstack([_to_8_bits(colors), np.rint(255 * alpha).astype(np.uint8)])


def checkerboard(width: int, height: int) -> npt.NDArray[np.uint8]:
    """Return grey squares, RGB (height, width, 3)."""
    rows, columns = np.arange(height) // _SQUARE_PIXELS, np.arange(width) // _SQUARE_PIXELS
    dark = (rows[:, np.newaxis] + columns) % 2 == 1
    return np.repeat(np.where(dark, _DARK, _LIGHT).astype(np.uint8)[..., np.newaxis], 3, axis=2)


def _to_8_bits(linear: npt.NDArray[Any]) -> npt.NDArray[np.uint8]:
    """Return linear light as sRGB, uint8."""
    return np.rint(np.clip(linear_to_srgb(linear.astype(np.float64)), 0, 1) * 255).astype(np.uint8)


def _area_mean(pixels: npt.NDArray[np.uint8], width: int, height: int) -> npt.NDArray[Any]:
    """Return the mean of each panel pixel's area, (height, width, 3 or 4): linear light, times alpha, and alpha.

    A chunk of rows after the other, so that a large image needs no copy in floats.
    """
    h, w, n_channels = pixels.shape
    linear = srgb_to_linear(np.arange(256) / 255).astype(np.float32)
    mean = np.zeros((height, width, n_channels), dtype=np.float32)
    bounds = np.arange(height + 1) * (h / height)
    step = max(_CHUNK_PIXELS // w, 1)
    for start in range(0, h, step):
        stop = min(start + step, h)
        chunk: npt.NDArray[Any] = linear[pixels[start:stop, :, :3]]
        if n_channels == 4:
            alpha = pixels[start:stop, :, 3:].astype(np.float32) / 255
            chunk = np.concatenate([chunk * alpha, alpha], axis=2)
        if w != width:
            chunk = cv2.resize(chunk, (width, stop - start), interpolation=cv2.INTER_AREA)
        first, last = int(start * height // h), min(math.ceil(stop * height / h), height)
        rows = np.arange(start, stop)
        # The part of each row of the image that lies in each row of the panel.
        lower = np.maximum(rows, bounds[first:last, np.newaxis])
        upper = np.minimum(rows + 1, bounds[first + 1 : last + 1, np.newaxis])
        share = (np.clip(upper - lower, 0, None) * (height / h)).astype(np.float32)
        mean[first:last] += np.tensordot(share, chunk, axes=1)
    return mean
