"""A mixture with given means: the colours of a palette stay as they are, weights and covariances are fitted to them.

The M-step takes each covariance about the given mean, which maximises the objective under that constraint
(`em.m_step`). So the objective never falls here either, and a fit runs from coarse cells to fine ones as any other.
"""

from __future__ import annotations

from collections.abc import Sequence

from gmmquant.models.array_validation import FloatArray, check_array, check_size
from gmmquant.models.cells import Cells
from gmmquant.models.coarse_to_fine import Descent, descend
from gmmquant.models.covariance import FULL, CovarianceType
from gmmquant.models.em import Watcher, em, watch_nothing
from gmmquant.models.gaussian import Gaussians
from gmmquant.models.starts import cluster_moments, start_from_moments


def fit_with_means(
    levels: Sequence[Cells],
    means: FloatArray,
    *,
    covariance_type: CovarianceType = FULL,
    variance: float,
    tol: float,
    max_iter: int | None,
    watch: Watcher = watch_nothing,
) -> Descent:
    """Fit weights and covariances of a mixture with given `means` (K, d), at each of `levels` in turn.

    Means may be repeated, and more than there are cells. The components of the result have the order of `means` and
    exactly these means; one that stands for nothing has weight 0. The other parameters are those of `descend`.

    Raises
    ------
    ParameterError
        If `means` has another shape, is not finite, or is so large that its squares leave the range of float64.
    SingularCovarianceError
        If a component collapses, which needs a `variance` of 0.
    """
    means = check_array("means", means, (max(len(means), 1), len(levels[0].origin)))
    check_size("means", means)
    gaussians = start_with_means(levels[0], means, variance, covariance_type)
    start = em(levels[0], gaussians, variance=variance, tol=tol, max_iter=0)
    return descend(levels, start, variance=variance, tol=tol, max_iter=max_iter, means_fixed=True, watch=watch)


def start_with_means(
    cells: Cells, means: FloatArray, variance: float, covariance_type: CovarianceType = FULL
) -> Gaussians:
    """Return a Gaussian about each of `means` (K, d), with the weight and the scatter of the cells nearest to it.

    A mean without nearest cells takes a part of every cell, together the weight of an average cell, and becomes as wide
    as all of the data about it. Its weight must not start at 0, since EM would never raise it.
    """
    moments = cluster_moments(cells, means, covariance_type)
    empty = moments[:, 0] == 0
    moments[empty] = moments.sum(axis=0) / cells.weights.size
    return start_from_moments(cells, moments, means, variance, covariance_type, means_fixed=True)
