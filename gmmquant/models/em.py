"""Expectation-Maximisation for a mixture of Gaussians, on weighted cells: where it starts, one step, the loop.

The objective J is the weighted mean log-likelihood of the samples when each carries a `variance` of its own, in the
E-step as well as in the covariances: a lower bound on the log-likelihood that no iteration lowers, and under which no
covariance can become singular. With variance 0 it is the textbook algorithm (Dempster, Laird and Rubin 1977) and J is
the mean log-likelihood itself.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from gmmquant.models.checks import FloatArray, check_finite_objective
from gmmquant.models.covariance import FULL, CovarianceType
from gmmquant.models.gaussian import Gaussians, gaussians_from_moments, log_joint, natural_parameters
from gmmquant.models.kmeans import center_scores, kmeans_plus_plus, lloyd, random_centers
from gmmquant.models.moments import Assignment, Cells, hardmax, phi_rows, softmax, sweep

Watcher = Callable[[int, float], None]


def watch_nothing(n_iter: int, objective: float) -> None:
    """Take note of an iteration by doing nothing: the watcher for when nobody watches."""


@dataclass(frozen=True)
class EMFit:
    """What EM ends with.

    Attributes
    ----------
    gaussians : Gaussians
        The parameters at which the last value of `trace` was taken.
    trace : tuple of float
        J at the start and after each iteration.
    converged : bool
        Whether the last gain of J was below the tolerance.
    """

    gaussians: Gaussians
    trace: tuple[float, ...]
    converged: bool

    @property
    def n_iter(self) -> int:
        """Number of M-steps."""
        return len(self.trace) - 1


@dataclass(frozen=True)
class Evaluation:
    """What a mixture says of the cells it is applied to, at its own parameters and without any variance of samples.

    Attributes
    ----------
    labels : ndarray of shape (n_cells,)
        Index of the most probable component.
    log_likelihood : float
        Sum over samples of log sum_k weights[k] N(x | ...), in nats.
    entropy : float
        Sum over samples of the entropy of the responsibilities, in nats.
    """

    labels: npt.NDArray[np.intp]
    log_likelihood: float
    entropy: float


def start_from_centers(cells: Cells, centers: FloatArray, variance: float, kind: CovarianceType = FULL) -> Gaussians:
    """Make each cluster, the cells nearest to one of `centers` (K, d), a Gaussian."""
    theta = center_scores(centers, cells.origin)
    return _start_from_assignment(cells, theta, hardmax, centers, variance, kind)


def make_start(
    cells: Cells, n_components: int, init: str, rng: np.random.Generator, variance: float, kind: CovarianceType = FULL
) -> Gaussians:
    """Make a start by the way that `init` names: kmeans, k-means++, random_from_data or random."""
    if init == "random":
        return start_at_random(cells, n_components, rng, variance, kind)
    if init == "kmeans":
        return start_from_kmeans(cells, n_components, rng, variance, kind)
    draw_centers = {"k-means++": kmeans_plus_plus, "random_from_data": random_centers}[init]
    return start_from_centers(cells, draw_centers(cells, n_components, rng), variance, kind)


def start_from_kmeans(
    cells: Cells, n_components: int, rng: np.random.Generator, variance: float, kind: CovarianceType = FULL
) -> Gaussians:
    """Make Gaussians of the clusters of KMeans, which only places the start: its centers may still shift a little."""
    tol = 1e-4 * float(np.diagonal(cells.covariance()).mean())
    centers = lloyd(cells, kmeans_plus_plus(cells, n_components, rng), tol=tol, max_iter=300).centers
    return start_from_centers(cells, centers, variance, kind)


def start_at_random(
    cells: Cells, n_components: int, rng: np.random.Generator, variance: float, kind: CovarianceType = FULL
) -> Gaussians:
    """Make Gaussians of random responsibilities: K components that all look like the whole, but for noise."""

    def draw(scores: FloatArray) -> FloatArray:
        scores[:] = rng.random(scores.shape)
        scores /= scores.sum(axis=0)
        return np.zeros(scores.shape[1])

    centers = np.tile(cells.origin, (n_components, 1))
    return _start_from_assignment(cells, center_scores(centers, cells.origin), draw, centers, variance, kind)


def _start_from_assignment(
    cells: Cells, theta: FloatArray, assign: Assignment, centers: FloatArray, variance: float, kind: CovarianceType
) -> Gaussians:
    """Run the M-step on an assignment by first-order scores; an empty component takes its origin and all the spread."""
    K, d = centers.shape
    n_rows = phi_rows(d, "dense" if kind.dense else "diagonal")
    moments, _ = sweep(np.pad(theta, ((0, 0), (0, n_rows - theta.shape[1]))), cells, assign)
    overall = cells.covariance() + variance * np.eye(d)
    scatter = np.broadcast_to(overall if kind.dense else np.diagonal(overall), (K, d, d) if kind.dense else (K, d))
    empty = Gaussians(np.zeros(K), centers, kind.pool(scatter, np.ones(K)), kind)
    return gaussians_from_moments(moments, cells.origin, variance, previous=empty)


def best(fits: Iterable[EMFit]) -> EMFit:
    """Return the fit that ended with the highest objective; the first, in ties."""
    return max(fits, key=lambda fit: fit.trace[-1])


def em_step(cells: Cells, gaussians: Gaussians, variance: float) -> tuple[Gaussians, float]:
    """Run one E-step and M-step; return the new parameters and J at the old ones."""
    theta = natural_parameters(gaussians, cells.origin, variance)
    moments, objective = sweep(theta, cells, softmax)
    return gaussians_from_moments(moments, cells.origin, variance, previous=gaussians), objective


def em(
    cells: Cells,
    start: Gaussians,
    *,
    variance: float,
    tol: float,
    max_iter: int,
    watch: Watcher = watch_nothing,
) -> EMFit:
    """Iterate from `start` until an iteration gains less than `tol` in J, or `max_iter` times.

    Each E-step gives J at the parameters before it, so the last one, which only judges, costs no M-step: the
    parameters returned are those that the last J was taken at.
    """
    gaussians, trace = start, list[float]()
    while True:
        updated, objective = em_step(cells, gaussians, variance)
        check_finite_objective("objective", objective)
        trace.append(objective)
        watch(len(trace) - 1, objective)
        converged = len(trace) > 1 and abs(objective - trace[-2]) < tol
        if converged or len(trace) > max_iter:
            return EMFit(gaussians, tuple(trace), converged)
        gaussians = updated


def evaluate(cells: Cells, gaussians: Gaussians) -> Evaluation:
    """Label the cells by their most probable component; sum log-likelihood and entropy over what they stand for."""
    labels = np.empty(cells.weights.size, dtype=np.intp)
    log_likelihood = entropy = 0.0
    for columns, scores in log_joint(gaussians, cells):
        weights = cells.weights[columns]
        labels[columns] = scores.argmax(axis=0)
        responsibilities = scores.copy()
        log_density = softmax(responsibilities)
        expected = (responsibilities * scores).sum(axis=0)
        log_likelihood += float((weights * log_density).sum())
        entropy += float((weights * (log_density - expected)).sum())
    return Evaluation(labels, log_likelihood, max(entropy, 0.0))
