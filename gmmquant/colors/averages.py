"""The colour that a component is drawn in: an average of the colours of its pixels, other than their mean.

Antialiased edges, and the mixed pixels of a photograph, draw a mean towards their colours, mostly towards grey. They do
not move a median or a mode that most pixels agree on: a flat area keeps its exact colour, and a vivid one its chroma.
"""

from __future__ import annotations

import numpy as np

from gmmquant.colors.palette import Palette, to_8_bits
from gmmquant.colors.spaces import ColorSpace
from gmmquant.models.array_validation import FloatArray, IndexArray
from gmmquant.models.cells import Cells
from gmmquant.models.gaussian import Gaussians, natural_parameters
from gmmquant.models.kmeans import center_scores
from gmmquant.models.sweep import most_probable
from gmmquant.settings import Average

# The largest distance of an average from the mean, in levels of 255: of a component of several colours, the mean stays.
MAX_SHIFT = 16.0

# Half of a weight, less what sums of floating-point numbers may lack of it.
_HALF = 0.5 - 1e-9

# Colours that are counted by component and level at a time: they are copied, 64 bytes a colour.
_CHUNK = 1 << 20


def average_colors(
    points: Cells, mixture: Gaussians, space: ColorSpace, average: Average, *, by_mean: bool = False
) -> Palette:
    """Return the median or mode of each component of `mixture`, in `space`, as 8-bit sRGB (K, 3).

    One of the `points`, colours in `space` or the means of cells, is of its most probable component, or of the nearest
    mean if `by_mean`. Where a median or mode is more than `MAX_SHIFT` from the mean, or there is none, it is the mean.
    """
    means = 255 * np.clip(space.to_srgb(mixture.means), 0.0, 1.0)
    theta = center_scores(mixture.means, points.origin) if by_mean else natural_parameters(mixture, points.origin)
    averages = _medians(theta, points, space) if average == "median" else _modes(theta, points, space, mixture.weights)
    is_near = np.linalg.norm(averages - means, axis=1) <= MAX_SHIFT  # not where there is none, NaN
    return np.rint(np.where(is_near[:, np.newaxis], averages, means)).astype(np.uint8)


def _medians(theta: FloatArray, points: Cells, space: ColorSpace) -> FloatArray:
    """Return the lower median of each channel, in levels of 255, (K, 3); NaN without a colour."""
    K, labels = len(theta), most_probable(theta, points)
    counts = np.zeros((3, K * 256))
    for chunk in (slice(start, start + _CHUNK) for start in range(0, labels.size, _CHUNK)):
        first, weights = 256 * labels[chunk], points.weights[chunk]
        for count, levels in zip(counts, _levels(points, chunk, space).T, strict=True):
            count += np.bincount(first + levels, weights, minlength=count.size)
    sums = counts.reshape(3, K, 256).cumsum(axis=2)
    medians = (sums < sums[..., -1:] * _HALF).sum(axis=2)
    return np.where(sums[..., -1] > 0, medians, np.nan).T


def _modes(theta: FloatArray, points: Cells, space: ColorSpace, weights: FloatArray) -> FloatArray:
    """Return the most frequent colour with more than half of a component's weight, in levels, (K, 3); NaN if none."""
    majority = weights * points.total_weight / 2
    frequent = np.flatnonzero(points.weights > majority.min())
    modes = np.full((len(weights), 3), np.nan)
    if frequent.size:
        counts = points.weights[frequent]
        labels = most_probable(theta, Cells(counts, points.offsets[:, frequent], None, points.origin))
        dominant = np.flatnonzero(counts > majority[labels])
        dominant = dominant[np.argsort(counts[dominant], kind="stable")]  # of several the last one is kept
        modes[labels[dominant]] = _levels(points, frequent[dominant], space)
    return modes


def _levels(points: Cells, columns: slice | IndexArray, space: ColorSpace) -> Palette:
    """Return some of the points as 8-bit sRGB, (n, 3)."""
    return to_8_bits((points.offsets[:, columns] + points.origin[:, np.newaxis]).T, space)
