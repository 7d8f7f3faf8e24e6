"""Dithering by a mask of blue noise: a label depends only on the colour and the position of its pixel.

The mask is made by void-and-cluster (Ulichney, "The void-and-cluster method for dither array generation", 1993): each
rank goes to the position farthest from those with lower ranks, so that the positions below any rank are spread evenly
but without a visible pattern.

Each distinct colour has a list of picks from the palette, and the mask chooses from it. Each pick is the colour nearest
to the colour plus the error of the picks before it, so that the mean of the list approaches the colour. That is Knoll's
pattern dithering (US patent 6,606,166, of 1999), with this mask instead of Bayer's. A list is sorted along the first
principal axis of the palette, mostly from dark to light, so that dark picks have the low ranks and light ones the high.
"""

from __future__ import annotations

from functools import lru_cache

import numpy as np
import numpy.typing as npt

from gmmquant.images.dithering.color_grid import ColorGrid
from gmmquant.images.dithering.pixels import Labels, Pixels, check_strength, nearest_labels, order_of_colors
from gmmquant.models.array_validation import FloatArray

# Edge of the mask, in pixels.
MASK_SIZE = 64

# Standard deviation of the Gaussian that measures how crowded a position is: Ulichney's choice.
_SIGMA_PIXELS = 1.5

# Picks in a list. With 64, black and white show greys from 1 % on, and gradients have no steps; with more, picks are
# far from the colour, and photographs noisier. Where the limit on all picks is exceeded, lists are shorter.
_MAX_PICKS, _MIN_PICKS = 64, 16
_MAX_TOTAL_PICKS = 1 << 24

_CHUNK_COLORS = 1 << 13


@lru_cache(maxsize=8)
def blue_noise_mask(size: int = MASK_SIZE, seed: int = 0) -> npt.NDArray[np.intp]:
    """Return a read-only mask of ranks 0 ... size^2 - 1, each once, shape (size, size), that tiles the plane."""
    n = size * size
    away = np.minimum(np.arange(size), size - np.arange(size))
    bell = np.exp(-(away**2) / (2 * _SIGMA_PIXELS**2))
    # Repeated in both directions, so that the bell around any position of the torus is a view.
    bells = np.tile(np.outer(bell, bell), (2, 2))

    def around(position: int) -> FloatArray:
        y, x = divmod(position, size)
        return bells[size - y : 2 * size - y, size - x : 2 * size - x]

    dots = np.zeros((size, size), dtype=np.bool_)
    crowd = np.zeros((size, size))
    for position in np.random.default_rng(seed).choice(n, -(-n // 10), replace=False):
        dots.flat[position] = True
        crowd += around(position)

    def remove_from_tightest_cluster() -> int:
        position = int(np.where(dots, crowd, -np.inf).argmax())
        dots.flat[position] = False
        np.subtract(crowd, around(position), out=crowd)
        return position

    # Dots move from clusters to voids until one moves to where it was; ties could go on for ever.
    for _ in range(n):
        moved = remove_from_tightest_cluster()
        void = int(np.where(dots, np.inf, crowd).argmin())
        dots.flat[void] = True
        crowd += around(void)
        if moved == void:
            break

    ranks = np.empty(n, dtype=np.intp)
    voids = np.where(dots, np.inf, crowd)
    n_dots = int(dots.sum())
    for rank in range(n_dots, n):
        ranks[position := int(voids.argmin())] = rank
        voids += around(position)
        voids.flat[position] = np.inf
    for rank in range(n_dots - 1, -1, -1):
        ranks[remove_from_tightest_cluster()] = rank
    ranks.flags.writeable = False
    return ranks.reshape(size, size)


def mask_across(width: int, seed: int) -> npt.NDArray[np.intp]:
    """Return the mask repeated to the width of an image, shape (MASK_SIZE, width)."""
    return blue_noise_mask(seed=seed)[:, np.arange(width) % MASK_SIZE]


def blue_noise(
    pixels: Pixels, values: FloatArray, palette: FloatArray, *, strength: float = 1.0, seed: int = 0
) -> Labels:
    """Dither by the mask of a `seed`.

    `strength` is the target of the mean of a list, from the nearest palette colour, 0, to the colour itself, 1.
    """
    nearest = nearest_labels(values, palette)
    if check_strength(strength) == 0 or len(palette) == 1:
        return pixels.shown(nearest[pixels.index])
    order = order_of_colors(palette)
    lists = order.astype(nearest.dtype).take(_lists(ColorGrid.of(palette[order]), values, strength))
    # The grid may confuse colours of the palette that are close to each other.
    exact = (palette[nearest] == values).all(axis=1)
    lists[exact] = nearest[exact, np.newaxis]
    labels = np.empty(pixels.index.shape, dtype=nearest.dtype)
    length = lists.shape[1]
    picks = mask_across(pixels.index.shape[1], seed) * length // MASK_SIZE**2
    for index, out in zip(pixels.frames(pixels.index), pixels.frames(labels), strict=True):
        for top in range(0, len(index), MASK_SIZE):
            rows = index[top : top + MASK_SIZE]
            out[top : top + MASK_SIZE] = lists.reshape(-1).take(rows * np.intp(length) + picks[: len(rows)])
    return pixels.shown(labels)


def _lists(grid: ColorGrid, values: FloatArray, strength: float) -> Labels:
    """Return the sorted list of labels of each of `values` (n_colors, 3), shape (n_colors, length)."""
    length = int(np.clip(_MAX_TOTAL_PICKS // len(values), _MIN_PICKS, _MAX_PICKS))
    lists = np.empty((len(values), length), dtype=grid.labels.dtype)
    for start in range(0, len(values), _CHUNK_COLORS):
        some = slice(start, start + _CHUNK_COLORS)
        colors = grid.inside(grid.coordinates(values[some]))
        near = grid.palette.T[:, grid.label(colors)]
        colors = near + np.float32(strength) * (colors - near)
        left = np.zeros_like(colors)
        for pick in range(length):
            labels = grid.label(grid.inside(colors + left))
            lists[some, pick] = labels
            left += colors - grid.palette.T[:, labels]
    lists.sort(axis=1)
    return lists
