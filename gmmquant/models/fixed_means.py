"""A mixture about given means: the colours of a palette stay as they are, weights and covariances are fitted to them.

With its means held, the M-step that maximises the objective takes each covariance about the mean that is given, not
about that of the samples (`gaussian.gaussians_from_moments`). So the objective never falls here either, and a fit runs
from coarse cells to fine ones as any other does.

No weight starts at 0, since EM would never raise it again. A mean that no cell is nearest to starts with a small part
of every cell, which makes it as wide as all of the data about it; the data then decide what becomes of it.
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
    """Fit weights and covariances of a mixture with the given means, at each of `levels` in turn.

    Parameters
    ----------
    levels : sequence of Cells
        The coarsest first, such as `levels_for` chooses.
    means : ndarray of shape (K, d)
        In the samples' units. They may be repeated, and more than there are cells.
    covariance_type : CovarianceType
    variance : float
        What each sample carries in each feature, as in `em`.
    tol, max_iter, watch
        As in `descend`.

    Returns
    -------
    Descent
        Its components stand in the order of `means` and have just these means, bit for bit. A component that nothing
        is left to has weight 0.

    Raises
    ------
    ParameterError
        If `means` is of another shape, not finite, or so large that its squares leave the range of float64.
    SingularCovarianceError
        If a component collapses, which takes a `variance` of 0.
    """
    given = check_array("means", means, (max(len(means), 1), len(levels[0].origin)))
    check_size("means", given)
    start = em(
        levels[0], start_with_means(levels[0], given, variance, covariance_type), variance=variance, tol=tol, max_iter=0
    )
    return descend(levels, start, variance=variance, tol=tol, max_iter=max_iter, means_fixed=True, watch=watch)


def start_with_means(
    cells: Cells, means: FloatArray, variance: float, covariance_type: CovarianceType = FULL
) -> Gaussians:
    """Make a Gaussian about each of `means` (K, d), with the weight and the scatter of the cells nearest to it.

    One that no cell is nearest to takes a part of every cell: together the weight of an average cell.
    """
    moments = cluster_moments(cells, means, covariance_type)
    empty = moments[:, 0] == 0
    moments[empty] = moments.sum(axis=0) / cells.weights.size
    return start_from_moments(cells, moments, means, variance, covariance_type, means_fixed=True)
