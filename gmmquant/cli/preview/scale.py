"""Sizes of images in pixels: whole factors up, nearest labels or mean colours down."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

Pixels = npt.NDArray[np.uint8]


def scaled_size(size: tuple[int, int], room: tuple[int, int]) -> tuple[int, int]:
    """Return the width and height of an image in a room (both width, height): enlarged by whole factors only."""
    scale = min(room[0] / size[0], room[1] / size[1])
    scale = int(scale) if scale >= 1 else scale
    return max(round(size[0] * scale), 1), max(round(size[1] * scale), 1)


def nearest(values: npt.NDArray[Any], size: tuple[int, int]) -> npt.NDArray[Any]:
    """Return an array (height, width, ...) at another size (width, height), each value from the nearest pixel."""
    rows, columns = (
        ((np.arange(n) + 0.5) * length / n).astype(np.intp)
        for n, length in zip(reversed(size), values.shape, strict=False)
    )
    scaled: npt.NDArray[Any] = values[rows[:, np.newaxis], columns]
    return scaled


def resized(pixels: Pixels, size: tuple[int, int]) -> Pixels:
    """Return RGB or RGBA pixels (height, width, 3 or 4) at another size (width, height).

    A smaller image has the mean of the light in each new pixel, weighted by alpha.
    """
    height, width = pixels.shape[:2]
    if size[0] >= width and size[1] >= height:
        return nearest(pixels, size)
    from gmmquant.images import scaling

    return scaling.resized(pixels, *size)
