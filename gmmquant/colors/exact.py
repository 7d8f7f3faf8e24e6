"""The mixture of an image that has no more colours than were asked for."""

from __future__ import annotations

import numpy as np

from gmmquant.colors.histogram import ColorHistogram
from gmmquant.colors.spaces import ColorSpace
from gmmquant.models.cells import upper_triangle
from gmmquant.models.covariance import CovarianceType
from gmmquant.models.gaussian import Gaussians


def exact_mixture(histogram: ColorHistogram, covariance_type: CovarianceType, space: ColorSpace) -> Gaussians:
    """Return a component for each distinct colour, the heaviest first, as wide as the rounding of a colour.

    EM is not run, since it could only merge neighbours. The pixels take the nearest mean, which is their colour: the
    most probable component would be that of a neighbour some 400 times as frequent.
    """
    order = np.argsort(-histogram.weights, kind="stable")
    colors = histogram.values[order]
    weights = histogram.weights[order] / histogram.total_weight
    rows, columns = upper_triangle(3)
    scatter = np.empty((histogram.n_colors, 3, 3))
    upper = space.rounding_scatter(colors, histogram.rounding_variance)
    scatter[:, rows, columns] = scatter[:, columns, rows] = upper.T
    if not covariance_type.dense:
        scatter = np.diagonal(scatter, axis1=1, axis2=2)
    return Gaussians(weights, space.from_srgb(colors), covariance_type.pool(scatter, weights), covariance_type)
