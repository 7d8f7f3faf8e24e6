"""The mixture of an image that has no more colours than were asked for, together with those to keep."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from gmmquant.colors.histogram import ColorHistogram
from gmmquant.colors.spaces import ColorSpace
from gmmquant.models.cells import upper_triangle
from gmmquant.models.covariance import CovarianceType
from gmmquant.models.gaussian import Gaussians

_NONE = np.empty((0, 3), dtype=np.uint8)


def exact_mixture(
    histogram: ColorHistogram,
    covariance_type: CovarianceType,
    space: ColorSpace,
    kept: npt.NDArray[np.uint8] = _NONE,
) -> Gaussians:
    """Return a component for each colour of `kept` (n_kept, 3), then for each other distinct colour, by weight.

    They are as wide as the rounding of a colour. Colours to keep that the image does not have get weight 0.

    EM is not run, since it could only merge neighbours. The pixels take the nearest mean, which is their colour: the
    most probable component would be that of a neighbour some 400 times as frequent.
    """
    equal = equal_colors(histogram, kept)
    is_kept, order = np.asarray(equal.any(axis=1)), np.argsort(-histogram.weights, kind="stable")
    others = order[~is_kept[order]]
    colors = np.concatenate([kept / np.float64(255), histogram.values[others]])
    weights = np.concatenate([histogram.weights @ equal, histogram.weights[others]]) / histogram.total_weight
    rows, columns = upper_triangle(3)
    scatter = np.empty((len(colors), 3, 3))
    upper = space.rounding_scatter(colors, histogram.rounding_variance)
    scatter[:, rows, columns] = scatter[:, columns, rows] = upper.T
    if not covariance_type.dense:
        scatter = np.diagonal(scatter, axis1=1, axis2=2)
    return Gaussians(weights, space.from_srgb(colors), covariance_type.pool(scatter, weights), covariance_type)


def equal_colors(histogram: ColorHistogram, colors: npt.NDArray[np.uint8]) -> npt.NDArray[np.bool_]:
    """Return which distinct colours of a histogram equal which of `colors` (n, 3), shape (n_colors, n)."""
    step = histogram.largest // 255
    equal: npt.NDArray[np.bool_] = (histogram.colors[:, np.newaxis] == colors * np.uint64(step)).all(axis=2)
    return equal
