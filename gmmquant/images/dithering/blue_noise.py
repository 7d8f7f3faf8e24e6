"""Dithering by a mask of blue noise: the colour and the place of a pixel alone decide.

The mask is made by void-and-cluster (Ulichney, "The void-and-cluster method for dither array generation", 1993): ranks
0, 1, 2, ... go to places as far as can be from those that have one, so that the places below any rank are spread evenly
but without order, and no pattern is seen.

For any palette, the mask chooses from a short list that each distinct colour has: colours of the palette picked one by
one, each the nearest to the colour and what the picks before it left over, so that the mean of the list comes to the
colour. That is Knoll's pattern dithering (US patent 6,606,166, of 1999), with this mask in place of Bayer's. A list is
sorted along the palette's first principal axis, mostly from dark to light, so that its dark picks have the low ranks,
which are spread evenly, and its light ones the high.
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

# Standard deviation, in pixels, of the Gaussian that says how crowded a place is: Ulichney's choice.
_SIGMA = 1.5

# Length of a colour's list. With 64, black and white show greys from 1 % on, and slopes have no steps; beyond, picks
# get far from the colour, and photographs noisier. Very many colours, more than smooth slopes have, get shorter lists:
# so many picks for all of them together, or the fewest for each.
_LENGTH, _FEWEST = 64, 16
_PICKS = 1 << 24

# Distinct colours whose lists are made at a time.
_COLORS = 1 << 13


@lru_cache(maxsize=8)
def blue_noise_mask(size: int = MASK_SIZE, seed: int = 0) -> npt.NDArray[np.intp]:
    """Return ranks 0 ... size^2 - 1, each once, shape (size, size), that tile the plane; not to be written to."""
    n = size * size
    away = np.minimum(np.arange(size), size - np.arange(size))
    bell = np.exp(-(away**2) / (2 * _SIGMA**2))
    # Twice in each direction, so that the bell about any place of the torus is a view of it.
    bells = np.tile(np.outer(bell, bell), (2, 2))

    def about(place: int) -> FloatArray:
        y, x = divmod(place, size)
        return bells[size - y : 2 * size - y, size - x : 2 * size - x]

    dots = np.zeros((size, size), dtype=np.bool_)
    crowd = np.zeros((size, size))
    for place in np.random.default_rng(seed).choice(n, -(-n // 10), replace=False):
        dots.flat[place] = True
        crowd += about(place)

    def remove_from_tightest_cluster() -> int:
        place = int(np.where(dots, crowd, -np.inf).argmax())
        dots.flat[place] = False
        np.subtract(crowd, about(place), out=crowd)
        return place

    # Dots move from clusters to voids until the largest void is where the last came from; ties may go on for ever.
    for _ in range(n):
        moved = remove_from_tightest_cluster()
        void = int(np.where(dots, np.inf, crowd).argmin())
        dots.flat[void] = True
        crowd += about(void)
        if moved == void:
            break

    ranks = np.empty(n, dtype=np.intp)
    voids = np.where(dots, np.inf, crowd)
    n_dots = int(dots.sum())
    for rank in range(n_dots, n):
        ranks[place := int(voids.argmin())] = rank
        voids += about(place)
        voids.flat[place] = np.inf
    for rank in range(n_dots - 1, -1, -1):
        ranks[remove_from_tightest_cluster()] = rank
    ranks.flags.writeable = False
    return ranks.reshape(size, size)


def mask_across(width: int, seed: int) -> npt.NDArray[np.intp]:
    """Return the mask side by side as often as an image is wide, shape (MASK_SIZE, width)."""
    return blue_noise_mask(seed=seed)[:, np.arange(width) % MASK_SIZE]


def blue_noise(
    pixels: Pixels, values: FloatArray, palette: FloatArray, *, strength: float = 1.0, seed: int = 0
) -> Labels:
    """Dither by a mask of blue noise.

    Parameters
    ----------
    pixels : Pixels
    values : ndarray of shape (n_colors, 3)
        The distinct colours, in any colour space.
    palette : ndarray of shape (K, 3)
        In the same space.
    strength : float
        Part of the way from the nearest colour to its own that the mean of a colour's list goes. With 0, the labels are
        those of the nearest colours.
    seed : int
        Which mask.

    Returns
    -------
    labels : ndarray of uint8, or uint16 if K > 256, shape (height, width)

    Raises
    ------
    ParameterError
        If `strength` is outside 0 to 1.
    """
    nearest = nearest_labels(values, palette)
    if check_strength(strength) == 0 or len(palette) == 1:
        return pixels.shown(nearest[pixels.index])
    order = order_of_colors(palette)
    lists = order.astype(nearest.dtype).take(_lists(ColorGrid.of(palette[order]), values, strength))
    # The grid may not tell a colour of the palette from one close by.
    own = (palette[nearest] == values).all(axis=1)
    lists[own] = nearest[own, np.newaxis]
    labels = np.empty(pixels.index.shape, dtype=nearest.dtype)
    length = lists.shape[1]
    picks = mask_across(pixels.index.shape[1], seed) * length // MASK_SIZE**2
    for index, out in zip(pixels.frames(pixels.index), pixels.frames(labels), strict=True):
        for top in range(0, len(index), MASK_SIZE):
            rows = index[top : top + MASK_SIZE]
            out[top : top + MASK_SIZE] = lists.reshape(-1).take(rows * np.intp(length) + picks[: len(rows)])
    return pixels.shown(labels)


def _lists(grid: ColorGrid, values: FloatArray, strength: float) -> Labels:
    """Return the list of each of `values` (n_colors, 3): sorted labels, shape (n_colors, length)."""
    length = int(np.clip(_PICKS // len(values), _FEWEST, _LENGTH))
    lists = np.empty((len(values), length), dtype=grid.labels.dtype)
    for start in range(0, len(values), _COLORS):
        some = slice(start, start + _COLORS)
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
