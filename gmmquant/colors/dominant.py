"""Dominant colours: a flat area of a drawing keeps its colour, although its component has antialiased edges."""

from __future__ import annotations

import numpy as np

from gmmquant.colors.histogram import ColorHistogram
from gmmquant.colors.palette import Palette, to_8_bits
from gmmquant.colors.spaces import ColorSpace
from gmmquant.models.cells import Cells
from gmmquant.models.gaussian import Gaussians, natural_parameters
from gmmquant.models.kmeans import center_scores
from gmmquant.models.sweep import most_probable


def dominant_colors(
    histogram: ColorHistogram, mixture: Gaussians, space: ColorSpace, levels: float, *, by_mean: bool = False
) -> Palette | None:
    """Return a colour for each component of `mixture`, in `space`, as 8-bit sRGB (K, 3), or None for the means.

    It is the most frequent colour with more than half of the component's weight, if there is one at most `levels` of
    255 from the mean, and otherwise the mean. A colour is of its most probable component, or of the nearest mean if
    `by_mean`.
    """
    palette = to_8_bits(mixture.means, space)
    majority, weights = mixture.weights * histogram.total_weight / 2, histogram.weights
    frequent = np.flatnonzero(weights > majority.min())
    if frequent.size == 0:
        return None
    values, origin = histogram.colors[frequent] / np.float64(histogram.largest), mixture.means.mean(axis=0)
    theta = center_scores(mixture.means, origin) if by_mean else natural_parameters(mixture, origin)
    labels = most_probable(theta, Cells.points(space.from_srgb(values), origin))
    shifts = np.linalg.norm(255 * (values - space.to_srgb(mixture.means)[labels]), axis=1)
    dominant = np.flatnonzero((weights[frequent] > majority[labels]) & (shifts <= levels))
    dominant = dominant[np.argsort(weights[frequent][dominant], kind="stable")]  # of several the last one is kept
    palette[labels[dominant]] = to_8_bits(values[dominant])
    return palette if dominant.size else None
