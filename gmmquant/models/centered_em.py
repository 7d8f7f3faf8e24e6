"""EM for components whose distances are many times their widths: moments about each component's mean.

The sweep takes scores and moments about one origin. A variance is then the difference of two numbers of the size of the
squared distance from it: at a distance of 1e6 standard deviations, twelve of the sixteen digits cancel. Here moments
are about the means of the components, and scores from whitened differences. That takes several times as long as a
sweep, so a step is taken so only where the sweep would lose more than half of the digits.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from gmmquant.errors import SingularCovarianceError
from gmmquant.models.array_validation import FloatArray, check_finite_objective
from gmmquant.models.cells import Cells, feature_map
from gmmquant.models.convergence import is_small_gain
from gmmquant.models.covariance import collapse
from gmmquant.models.em import EMFit, Iterate, Watcher, collect, e_step, m_step, watch_nothing
from gmmquant.models.gaussian import Gaussians, log_joint
from gmmquant.models.starts import n_rows_for
from gmmquant.models.sweep import exponentials

# The largest distance of a component from the origin of moments, in standard deviations. A rounding of 2e-16 of its
# square is 2e-8 of the variance.
_MAX_DEVIATIONS = 1e4

# A component at this many standard deviations from 0 is as narrow as the rounding of its samples.
_COLLAPSED_DEVIATIONS = 1e15


def centered_em(
    cells: Cells,
    start: Gaussians,
    *,
    variance: float,
    tol: float,
    max_iter: int,
    watch: Watcher = watch_nothing,
) -> EMFit:
    """Iterate as `em` does without momentum, also where components are far from the origin of `cells`."""
    return collect(_iterate(cells, start, variance, tol), cells.weights.size, max_iter, watch)


def loses_digits(gaussians: Gaussians, origin: FloatArray) -> bool:
    """Return whether moments about `origin` (d,), or (K, d) for each component, are too inexact for the covariances.

    Rounding changes the product of features i and j by a fraction of |m_i m_j|, where m is the mean less the origin.
    Relative to the covariance in every direction, that is at most the same fraction of the square of
    sum_i |m_i| sqrt(P_ii), where P is the inverse covariance. The units of the features do not matter.
    """
    try:
        return bool(_deviations(gaussians, origin).max() > _MAX_DEVIATIONS)
    except SingularCovarianceError:
        return True  # or it is singular by itself, which a second M-step shows


def centered_e_step(
    cells: Cells, gaussians: Gaussians, origins: FloatArray, variance: float
) -> tuple[FloatArray, float]:
    """Return the moments (K, F) of the responsibilities, each component's about its row of `origins` (K, d), and J."""
    K, n_rows = len(gaussians.weights), n_rows_for(cells, gaussians.covariance_type)
    penalties = 0.5 * variance * _precision_diagonals(gaussians).sum(axis=1, keepdims=True)
    shifts = origins - cells.origin
    moments, total = np.zeros((K, n_rows)), 0.0
    for columns, _, scores in log_joint(gaussians, cells):
        weights, offsets = cells.weights[columns], cells.offsets[:, columns]
        scatter = None if cells.scatter is None else cells.scatter[:, columns]
        scores -= penalties
        value, normalizer = exponentials(scores)
        scores *= weights / normalizer
        for moment, shift, weighted in zip(moments, shifts, scores, strict=True):
            moment += np.einsum("fn,n->f", feature_map(offsets - shift[:, np.newaxis], n_rows, scatter), weighted)
        total += float((weights * value).sum())
    return moments, total / cells.total_weight


def _iterate(cells: Cells, start: Gaussians, variance: float, tol: float) -> Iterator[Iterate]:
    """Yield the start, then the state after each iteration, without end: see `iterate`."""
    gaussians, objective = start, -np.inf
    is_far = loses_digits(start, cells.origin)
    while True:
        previous = objective
        if is_far:
            origin = gaussians.means
            moments, objective = centered_e_step(cells, gaussians, origin, variance)
        else:
            origin = cells.origin
            moments, objective = e_step(cells, gaussians, variance)
        check_finite_objective("objective", objective)
        converged = is_small_gain(objective - previous, tol)
        yield Iterate(gaussians, objective, converged=converged)
        candidate = m_step(moments, origin, variance, gaussians)
        was_far, is_far = is_far, loses_digits(candidate, cells.origin)
        if loses_digits(candidate, origin) if was_far else is_far:
            # A component moved far, or became narrow: the same responsibilities again, about the new means.
            origin = candidate.means
            moments, _ = centered_e_step(cells, gaussians, origin, variance)
            candidate = m_step(moments, origin, variance, gaussians)
        if origin is not cells.origin:
            _refuse_collapsed(candidate, cells.origin)
        gaussians = candidate


def _refuse_collapsed(gaussians: Gaussians, origin: FloatArray) -> None:
    """Refuse a component whose variance is the rounding of its samples, which is above 0 about their mean."""
    deviations = np.maximum(_deviations(gaussians, origin), _deviations(gaussians, np.zeros_like(origin)))
    collapsed = deviations > _COLLAPSED_DEVIATIONS
    if collapsed.any():
        raise collapse(np.where(collapsed, 0.0, 1.0), gaussians.covariance_type)


def _deviations(gaussians: Gaussians, origin: FloatArray) -> FloatArray:
    """Return sum_i |m_i| sqrt(P_ii), where m is the mean less the origin, (K,); 0 for a component that vanished."""
    distances = np.vecdot(np.abs(gaussians.means - origin), np.sqrt(_precision_diagonals(gaussians)))
    return np.where(gaussians.weights > 0, distances, 0.0)


def _precision_diagonals(gaussians: Gaussians) -> FloatArray:
    """Return the diagonal of each inverse covariance, shape (K, d)."""
    factors = gaussians.covariance_type.spread(gaussians.factors, *gaussians.means.shape)
    return np.asarray(np.vecdot(factors, factors) if gaussians.covariance_type.dense else factors**2)
