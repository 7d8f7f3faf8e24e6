"""The mixture of an image that has no more colours than were asked for."""

from __future__ import annotations

import numpy as np

from gmmquant.colors.histogram import ColorHistogram
from gmmquant.colors.spaces import SRGB, ColorSpace
from gmmquant.models.cells import upper_triangle
from gmmquant.models.covariance import FULL, CovarianceType
from gmmquant.models.gaussian import Gaussians


def exact_mixture(
    histogram: ColorHistogram, covariance_type: CovarianceType = FULL, space: ColorSpace = SRGB
) -> Gaussians:
    """Make each distinct colour a component, the most frequent first, as wide as the rounding of a colour.

    EM is not run: it could only merge neighbours, and the answer that loses nothing is known. Nor are pixels given to
    their most probable component: beside a neighbour some 400 times as frequent, a colour would be given to that. The
    nearest is the colour itself.
    """
    order = np.argsort(-histogram.counts, kind="stable")
    colors = histogram.values[order]
    weights = histogram.counts[order] / histogram.n_pixels
    rows, columns = upper_triangle(3)
    scatter = np.empty((histogram.n_colors, 3, 3))
    upper = space.rounding_scatter(colors, histogram.rounding_variance)
    scatter[:, rows, columns] = scatter[:, columns, rows] = upper.T
    covariances = covariance_type.pool(
        scatter if covariance_type.dense else np.diagonal(scatter, axis1=1, axis2=2), weights
    )
    return Gaussians(weights, space.from_srgb(colors), covariances, covariance_type)
