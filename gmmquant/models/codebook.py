"""Codebook, and Lloyd's iterations with momentum, which refine its centers.

Lloyd's iterations (Linde, Buzo and Gray, "An algorithm for vector quantizer design", 1980) move each center to the mean
of the cells nearest to it. They may go farther along the last change (Nesterov's momentum, as in `em`), or farther in
the direction of the mean, too (Lee, Baek and Sung, "A modified k-means algorithm for vector quantizer design", 1997).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from gmmquant.models.array_validation import FloatArray
from gmmquant.models.cells import Cells
from gmmquant.models.em import Course, Watcher, nesterov_coefficient, watch_nothing
from gmmquant.models.kmeans import center_scores, cluster_means, cluster_moments
from gmmquant.models.sweep import most_probable

# How far a center goes in the direction of the mean, and what it keeps of its last move. On photographs at K = 256, six
# iterations lower the error as much as ten with Nesterov's momentum.
STEP, _MOMENTUM = 1.7, 0.75


@dataclass(frozen=True, eq=False)
class Codebook(Course):
    """The result of a fit: the centers (K, d), and the course of the mean squared distance to the nearest of them."""

    centers: FloatArray


def refine(
    cells: Cells,
    centers: FloatArray,
    *,
    tol: float,
    max_iter: int,
    n_fixed: int = 0,
    long_steps: bool = False,
    watch: Watcher = watch_nothing,
) -> Codebook:
    """Alternate assignment and means until an iteration lowers the error by less than the fraction `tol`.

    Means are extrapolated, with `long_steps` by `STEP` and momentum from the first iteration on. An iteration that
    would raise the error is discarded, and the next one is Lloyd's. The first `n_fixed` centers stay.
    `watch(n_iter, error)` is called at the start and after each iteration.
    """
    spread = float(np.trace(cells.covariance))
    moments, error = assign(cells, centers, spread)
    previous_centers = centers
    means = previous_means = cluster_means(cells, moments, centers, n_fixed)
    trace, converged = [error], False
    n_gains = 1 if long_steps else 0
    watch(0, error)
    while len(trace) <= max_iter and not converged:
        if n_gains == 0:
            extrapolated = means
        elif long_steps:
            extrapolated = centers + STEP * (means - centers) + _MOMENTUM * (centers - previous_centers)
        else:
            extrapolated = means + nesterov_coefficient(n_gains) * (means - previous_means)
        moments, error = assign(cells, extrapolated, spread)
        if n_gains and error > trace[-1]:
            n_gains, centers = 0, means
            continue
        converged = trace[-1] - error <= tol * error
        previous_centers, centers = centers, extrapolated
        previous_means, means = means, cluster_means(cells, moments, extrapolated, n_fixed)
        trace.append(error)
        watch(len(trace) - 1, error)
        n_gains += 1
    return Codebook(tuple(trace), (cells.weights.size,) * len(trace), len(trace) - 1, converged, means)


def assign(cells: Cells, centers: FloatArray, spread: float) -> tuple[FloatArray, float]:
    """Return the moments (K, 1 + d) of the cells nearest to each center, and the mean squared distance to them.

    `spread` is the trace of the cells' covariance.
    """
    theta = center_scores(centers, cells.origin)
    moments = cluster_moments(cells, most_probable(theta, cells), *theta.shape)
    score = float(np.add.reduce(theta * moments, axis=None)) / cells.total_weight
    return moments, max(spread - 2 * score, 0.0)
