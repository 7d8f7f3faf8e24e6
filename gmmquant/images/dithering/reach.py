"""Colours that no mixture of a given palette reaches: the mixture that looks nearest takes their place.

The mixtures are the convex hull of the palette, in the space in which means are taken. Error diffusion towards a colour
outside of it never ends: what is missing grows until labels far from the colour are chosen, such as green for a vivid
blue of which the palette has only a dull one. So each colour is first replaced by the mixture m = sum_k w_k p_k, with
weights that sum to 1, for which |seen(m) - seen(colour)|^2 is about the least. It is found in two stages: picks, each
the palette colour that brings the mean of all picks nearest, and then exchanges of weight between two colours, the one
towards which the error falls fastest and the one from which it does (Lacoste-Julien and Jaggi, "On the global linear
convergence of Frank-Wolfe optimization variants", 2015).

Of many colours, displacements are interpolated between those of a lattice, as in tables of colour conversions.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from gmmquant.images.dithering.mixing import Conversion, Mixing
from gmmquant.models.array_validation import FloatArray

# Nodes of the lattice along an edge of the cube, and the number of colours above which it is used.
_NODES, _MAX_EXACT_COLORS = 21, 1000

# For four palettes of 3 to 16 colours, mixtures are 0.0004 farther than the nearest on average, 0.02 at most for 99 %.
_PICKS, _EXCHANGES = 16, 30

# Multiples of the step at which the error would be the least if its slopes stayed the same. Near black they do not.
_STEP_FACTORS = (0.25, 1, 4, 16)

# The difference by which slopes of `seen` are measured; colours so far outside the hull are taken for inside.
_DELTA, _INSIDE = 1e-5, 1e-9

# Colours that moved less than this are mixtures, but for rounding.
_SAME = 1e-6

# Colours of a flat palette that are taken for its corners.
_MAX_CORNERS = 64

_CHUNK_DISTANCES = 1 << 16


def reachable(values: FloatArray, palette: FloatArray, mixing: Mixing) -> FloatArray:
    """Return `values` (n, 3), those outside the convex hull of `palette` (K, 3) moved to where it looks nearest.

    Both are in the space in which `mixing` takes means. Moves are shorter by `mixing.slack`.
    """
    corners, outside = _hull(palette, values)
    found = _interpolated if np.count_nonzero(outside) > _MAX_EXACT_COLORS else _nearest_mixtures
    moves = found(values[outside], corners, mixing) - values[outside]
    lengths = np.sqrt(np.square(moves).sum(axis=1, keepdims=True))
    moves *= np.where(lengths > _SAME, np.maximum(1 - mixing.slack / np.maximum(lengths, _SAME), 0), 0)
    result = values.copy()
    result[outside] += moves
    return result


def _hull(palette: FloatArray, values: FloatArray) -> tuple[FloatArray, npt.NDArray[np.bool_]]:
    """Return the palette colours at corners of the hull, and which values are outside; of a flat hull, all are."""
    from scipy.spatial import ConvexHull, QhullError

    try:
        hull = ConvexHull(palette)
    except (QhullError, ValueError):  # fewer than four colours, or all in a plane
        corners = palette
        if len(palette) > _MAX_CORNERS:  # the farthest in many directions
            directions = np.random.default_rng(0).standard_normal((_MAX_CORNERS, 3))
            corners = palette[np.unique((directions @ palette.T).argmax(axis=1))]
        return corners, np.ones(len(values), dtype=np.bool_)
    outside = np.zeros(len(values), dtype=np.bool_)
    for *normal, offset in hull.equations:
        outside |= values @ np.array(normal) + offset > _INSIDE
    return palette[hull.vertices], outside


def _interpolated(values: FloatArray, corners: FloatArray, mixing: Mixing) -> FloatArray:
    """Return the nearest mixtures of `values`, interpolated in sRGB, where a lattice is even to the eye."""
    from scipy.ndimage import map_coordinates

    colors = mixing.to_srgb(values)
    positions = np.clip(colors, 0, 1).T * (_NODES - 1)
    lower = np.minimum(positions.astype(np.intp), _NODES - 2)
    is_used = np.zeros((_NODES, _NODES, _NODES), dtype=np.bool_)
    for corner in np.ndindex(2, 2, 2):
        is_used[tuple(lower + np.array(corner)[:, np.newaxis])] = True
    nodes = np.argwhere(is_used) / (_NODES - 1)
    moves = np.zeros((3, *is_used.shape))
    moves[:, is_used] = (mixing.to_srgb(_nearest_mixtures(mixing.from_srgb(nodes), corners, mixing)) - nodes).T
    moved = [map_coordinates(lattice, positions, order=1) for lattice in moves]
    return mixing.from_srgb(np.clip(colors + np.stack(moved, axis=1), 0, 1))


def _nearest_mixtures(values: FloatArray, corners: FloatArray, mixing: Mixing) -> FloatArray:
    """Return the mixtures of `corners` (K, 3) that look nearest to each of `values` (n, 3)."""
    size = max(_CHUNK_DISTANCES // len(corners), 1)
    parts = [values[start : start + size] for start in range(0, len(values), size)]
    return np.concatenate([values[:0], *(_exchanged(part, corners, mixing.looks) for part in parts)])


def _exchanged(values: FloatArray, corners: FloatArray, seen: Conversion) -> FloatArray:
    """Return mixtures from picks, after exchanges of their weights."""
    every, targets = np.arange(len(values)), seen(values)
    mixtures, weights = _picked(targets, corners, seen)
    errors = seen(mixtures) - targets
    for _ in range(_EXCHANGES):
        # Of what is seen along each axis, and of half the squared error towards each corner.
        slopes = np.stack([seen(mixtures + step) - errors - targets for step in _DELTA * np.eye(3)], axis=2) / _DELTA
        rises = np.einsum("nsi,ns->ni", slopes, errors) @ corners.T
        towards, away = rises.argmin(axis=1), np.where(weights > 0, rises, -np.inf).argmax(axis=1)
        directions = corners[towards] - corners[away]
        changes = np.einsum("nsi,ni->ns", slopes, directions)
        lengths = np.square(changes).sum(axis=1)
        steps = np.divide(-(changes * errors).sum(axis=1), lengths, out=np.zeros(len(values)), where=lengths > 0)
        best, squares = np.zeros(len(values)), np.square(errors).sum(axis=1)
        for factor in _STEP_FACTORS:
            tried = np.clip(factor * steps, 0, weights[every, away])
            moved_errors = seen(np.maximum(mixtures + tried[:, np.newaxis] * directions, 0)) - targets
            moved_squares = np.square(moved_errors).sum(axis=1)
            better = moved_squares < squares
            best[better], squares[better], errors[better] = tried[better], moved_squares[better], moved_errors[better]
        mixtures = mixtures + best[:, np.newaxis] * directions
        np.add.at(weights, (every, towards), best)
        np.subtract.at(weights, (every, away), best)
    return mixtures


def _picked(targets: FloatArray, corners: FloatArray, seen: Conversion) -> tuple[FloatArray, FloatArray]:
    """Return means (n, 3) of picks from `corners`, each of which brings the mean nearest, and the shares (n, K)."""
    every = np.arange(len(targets))
    mixtures, weights = np.zeros_like(targets), np.zeros((len(targets), len(corners)))
    for n in range(_PICKS):
        means = (n * mixtures[:, np.newaxis] + corners) / (n + 1)
        best = np.square(seen(means) - targets[:, np.newaxis]).sum(axis=2).argmin(axis=1)
        mixtures = means[every, best]
        weights[every, best] += 1 / _PICKS
    return mixtures, weights
