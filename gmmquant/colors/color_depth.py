"""Colours as hardware of a lower colour depth shows them, and palettes without repetitions at any depth."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import numpy as np
import numpy.typing as npt

from gmmquant.colors.palette import Palette
from gmmquant.models.array_validation import FloatArray
from gmmquant.parsing import Color
from gmmquant.settings import bits_of, levels_of

Grid = list[FloatArray]  # the levels that each channel can show


def to_depth(values: npt.NDArray[Any], depth: str) -> Palette:
    """Return the nearest colours of a depth, uint8 (n, 3), to sRGB `values` (n, 3) from 0 to 255."""
    grid = _grid(depth)
    columns = [levels[_nearest(levels, column)] for levels, column in zip(grid, values.T, strict=True)]
    return np.stack(columns, axis=1).astype(np.uint8)


def distinct_colors(values: npt.NDArray[Any], depth: str, taken: Iterable[Color] = ()) -> Palette:
    """Return the nearest colours of a depth, as `to_depth`, but none of them twice or in `taken`.

    A colour that an earlier one has, or `taken`, is replaced by the nearest that is free, if any is. `taken` are
    colours of the depth.
    """
    grid, colors = _grid(depth), []
    used = np.zeros([len(levels) for levels in grid], dtype=np.bool_)
    for color in taken:
        used[tuple(_nearest(levels, level) for levels, level in zip(grid, color, strict=True))] = True
    for value in values:
        center = [int(_nearest(levels, level)) for levels, level in zip(grid, value, strict=True)]
        index = tuple(center) if not used[tuple(center)] else _nearest_free(value, grid, center, used)
        used[index] = True
        colors.append([levels[i] for levels, i in zip(grid, index, strict=True)])
    return np.array(colors, dtype=np.uint8).reshape(-1, 3)


def _grid(depth: str) -> Grid:
    return [np.array(levels_of(bits), dtype=np.float64) for bits in bits_of(depth)]


def _nearest(levels: FloatArray, values: Any) -> Any:
    """Return the index of the nearest level of each value, the lower of two equally near."""
    return np.searchsorted((levels[1:] + levels[:-1]) / 2, values)


def _nearest_free(value: FloatArray, grid: Grid, center: list[int], used: npt.NDArray[np.bool_]) -> tuple[int, ...]:
    """Return the index of the nearest colour that is not used; `center`, the nearest of all, if every one is."""
    step = min(float(np.diff(levels).min()) for levels in grid)
    radius, largest = 1, max(used.shape)
    while True:
        starts = [max(c - radius, 0) for c in center]
        window = tuple(slice(start, c + radius + 1) for start, c in zip(starts, center, strict=True))
        red, green, blue = (
            (levels[part] - level) ** 2 for levels, part, level in zip(grid, window, value, strict=True)
        )
        distances = red[:, np.newaxis, np.newaxis] + green[:, np.newaxis] + blue
        distances[used[window]] = np.inf
        index = np.unravel_index(distances.argmin(), distances.shape)
        # No colour outside the window is nearer than half a step beyond it.
        if distances[index] <= ((radius + 0.5) * step) ** 2 or radius >= largest:
            break
        radius *= 2
    if np.isinf(distances[index]):
        return tuple(center)
    return tuple(start + int(i) for start, i in zip(starts, index, strict=True))
