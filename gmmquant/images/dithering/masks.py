"""Masks of thresholds for ordered dithering: ranks 0 ... n^2 - 1, each once, that tile the plane."""

from __future__ import annotations

from functools import lru_cache

import numpy as np
import numpy.typing as npt

from gmmquant.models.array_validation import FloatArray

Mask = npt.NDArray[np.intp]  # (size, size)

# Edges of the masks, in pixels.
BLUE_NOISE_SIZE, BAYER_SIZE = 64, 8

# Standard deviation of the Gaussian that measures how crowded a position is: Ulichney's choice.
_SIGMA_PIXELS = 1.5


@lru_cache(maxsize=8)
def blue_noise_mask(size: int = BLUE_NOISE_SIZE, seed: int = 0) -> Mask:
    """Return a read-only mask of blue noise, by void-and-cluster.

    Each rank goes to the position farthest from those with lower ranks, so that the positions below any rank are spread
    evenly but without a visible pattern (Ulichney, "The void-and-cluster method for dither array generation", 1993).
    """
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


@lru_cache(maxsize=8)
def bayer_mask(size: int = BAYER_SIZE) -> Mask:
    """Return the read-only matrix of Bayer, of a `size` that is a power of 2.

    In its quarters M(2n) has 4 M(n) plus 0, 2, 3 and 1, from M(1) = 0. So neighbours differ in the highest bits of
    their ranks, and the positions below any rank form a regular pattern (Bayer, "An optimum method for two-level
    rendition of continuous-tone pictures", 1973).
    """
    mask = np.zeros((1, 1), dtype=np.intp)
    while len(mask) < size:
        mask = np.block([[4 * mask, 4 * mask + 2], [4 * mask + 3, 4 * mask + 1]])
    mask.flags.writeable = False
    return mask


def mask_across(mask: Mask, width: int) -> Mask:
    """Return a mask repeated to the width of an image, shape (size, width)."""
    return mask[:, np.arange(width) % len(mask)]
