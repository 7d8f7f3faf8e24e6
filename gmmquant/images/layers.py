"""Layers: an image for each component, of its mean colour with its responsibility as alpha.

The sum of all layers is the soft image. Alpha has 256 levels, so responsibilities are rounded together: the levels of
a pixel sum to its alpha, and exchanges of one level between two components bring the sum of colours near to the soft
one.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import numpy.typing as npt

from gmmquant.models.array_validation import FloatArray
from gmmquant.models.cells import Cells
from gmmquant.models.gaussian import Gaussians
from gmmquant.models.inference import posteriors

# Error of a sum of layers, in 0..255 units, below which nothing is exchanged.
_TOLERANCE = 0.4
_MAX_EXCHANGES = 20

# Components of a pixel that are tried first, those with the largest shares; and pairs compared at a time.
_FEW_COMPONENTS = 12
_CHUNK_PAIRS = 1 << 16


def layer_alphas(
    points: Cells,
    mixture: Gaussians,
    palette: npt.NDArray[np.uint8],
    index: npt.NDArray[Any],
    alpha: npt.NDArray[np.uint8],
) -> Iterator[npt.NDArray[np.uint8]]:
    """Yield the alpha of each component's layer, shape (n_pixels,), in the order of the components.

    `points` are the distinct colours in the space of the mixture, and `index` (n_pixels,) is that of each pixel.
    `palette` has shape (K, 3), `alpha` shape (n_pixels,).
    """
    pairs, inverse = np.unique(index.astype(np.int64) << 8 | alpha, return_inverse=True)
    levels = np.zeros((len(palette), pairs.size), dtype=np.uint8)
    for posterior in posteriors(points, mixture):
        start, stop = np.searchsorted(pairs, [posterior.columns.start << 8, posterior.columns.stop << 8])
        colors = (pairs[start:stop] >> 8) - posterior.columns.start
        shares, alphas = posterior.responsibilities[:, colors], (pairs[start:stop] & 255).astype(np.uint8)
        levels[posterior.components, start:stop] = alpha_levels(shares, alphas, palette[posterior.components])
    for layer in levels:
        yield layer[inverse]


def alpha_levels(
    responsibilities: FloatArray, alpha: npt.NDArray[np.uint8], palette: npt.NDArray[np.uint8]
) -> npt.NDArray[np.uint8]:
    """Return the `alpha` (n,) of pixels divided among components of `palette` (K, 3) by `responsibilities` (K, n).

    The levels, of shape (K, n), sum to `alpha`.
    """
    exact = responsibilities * alpha
    levels = np.floor(exact)
    left = np.rint(alpha - levels.sum(axis=0))
    # As many of the largest remainders as needed are rounded up (Hamilton's method).
    ranks = np.argsort(np.argsort(levels - exact, axis=0, kind="stable"), axis=0)
    levels += ranks < left
    colors = palette.astype(np.float64)
    errors = (levels - exact).T @ colors / 255
    # A few components are fast, and enough for nearly all pixels.
    for most in (_FEW_COMPONENTS, 4 * _FEW_COMPONENTS, len(palette)):
        bad = np.flatnonzero(np.abs(errors).max(axis=1) > _TOLERANCE)
        at_once = max(_CHUNK_PAIRS // most**2, 1)
        for start in range(0, bad.size, at_once):
            columns = bad[start : start + at_once]
            part = np.argsort(-exact[:, columns], axis=0, kind="stable")[:most]
            levels[part, columns] = _exchanged(
                levels[part, columns], exact[part, columns] > 0, colors[part], errors[columns]
            )
        errors[bad] = (levels[:, bad] - exact[:, bad]).T @ colors / 255
    return levels.astype(np.uint8)


def _exchanged(
    levels: FloatArray, present: npt.NDArray[np.bool_], colors: FloatArray, errors: FloatArray
) -> FloatArray:
    """Return `levels` (m, n) with single ones moved between m components while their sum gets nearer to the colour.

    Components may get levels where they are `present` (m, n). They have `colors` (m, n, 3); `errors` (n, 3) are those
    of the sums over all components, in 0..255 units.
    """
    m, n = levels.shape
    levels, errors = levels.copy(), errors.copy()
    moves = (colors[np.newaxis, :] - colors[:, np.newaxis]) / 255  # from the first component to the second
    active = np.arange(n)
    for _ in range(_MAX_EXCHANGES):
        after = np.abs(errors[active] + moves[:, :, active]).max(axis=3)
        after[(levels[:, np.newaxis, active] < 1) | ~present[:, active]] = np.inf
        best = after.reshape(m * m, -1).argmin(axis=0)
        better = after.reshape(m * m, -1)[best, np.arange(active.size)] < np.abs(errors[active]).max(axis=1)
        active, (giver, taker) = active[better], np.unravel_index(best[better], (m, m))
        if active.size == 0:
            break
        errors[active] += moves[giver, taker, active]
        levels[giver, active] -= 1
        levels[taker, active] += 1
    return levels
