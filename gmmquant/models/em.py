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

from gmmquant.errors import SingularCovarianceError
from gmmquant.models.array_validation import FloatArray, check_finite_objective
from gmmquant.models.cells import Cells, phi_rows
from gmmquant.models.covariance import FULL, CovarianceType
from gmmquant.models.gaussian import Gaussians, gaussians_from_moments, natural_parameters
from gmmquant.models.kmeans import center_scores, kmeans_plus_plus, lloyd, random_centers
from gmmquant.models.sweep import HARDMAX, SOFTMAX, sweep

Watcher = Callable[[int, float], None]


def watch_nothing(n_iter: int, objective: float) -> None:
    """Take note of an iteration by doing nothing: the watcher for when nobody watches."""


def watch_on(watch: Watcher, done: int, n_iter: int, objective: float) -> None:
    """Tell `watch` of an iteration that comes after `done` others."""
    watch(done + n_iter, objective)


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


def start_from_centers(
    cells: Cells, centers: FloatArray, variance: float, covariance_type: CovarianceType = FULL
) -> Gaussians:
    """Make each cluster, the cells nearest to one of `centers` (..., K, d), a Gaussian."""
    return start_from_moments(
        cells, cluster_moments(cells, centers, covariance_type), centers, variance, covariance_type
    )


def cluster_moments(cells: Cells, centers: FloatArray, covariance_type: CovarianceType) -> FloatArray:
    """Return the moments (..., K, F) of the clusters of cells nearest to each of `centers` (..., K, d).

    They are what an M-step reads.
    """
    first_order = center_scores(centers, cells.origin)
    theta = np.zeros((*centers.shape[:-1], _n_rows(cells, covariance_type)))
    theta[..., : first_order.shape[-1]] = first_order
    return sweep(theta, cells, HARDMAX)[0]


def make_start(
    cells: Cells,
    n_components: int,
    init: str,
    rng: np.random.Generator,
    variance: float,
    covariance_type: CovarianceType = FULL,
    kmeans_tol: float = 1e-4,
    kmeans_max_iter: int = 300,
    stack: tuple[int, ...] = (),
) -> Gaussians:
    """Make a start, or a `stack` of them, by the way that `init` names: kmeans, k-means++, random_from_data or random.

    `kmeans_tol` and `kmeans_max_iter` say when KMeans stops: see `start_from_kmeans`.
    """
    if init == "random":
        return start_at_random(cells, n_components, rng, variance, covariance_type, stack)
    if init == "kmeans":
        return start_from_kmeans(
            cells, n_components, rng, variance, covariance_type, kmeans_tol, kmeans_max_iter, stack
        )
    draw_centers = {"k-means++": kmeans_plus_plus, "random_from_data": random_centers}[init]
    return start_from_centers(cells, draw_centers(cells, n_components, rng, stack), variance, covariance_type)


def start_from_kmeans(
    cells: Cells,
    n_components: int,
    rng: np.random.Generator,
    variance: float,
    covariance_type: CovarianceType = FULL,
    tol: float = 1e-4,
    max_iter: int = 300,
    stack: tuple[int, ...] = (),
) -> Gaussians:
    """Make Gaussians of the clusters of KMeans, which only places the start: its centers may still shift a little.

    KMeans stops when the squared shift of its centers is at most `tol` times the mean variance of the features, or
    after `max_iter` iterations.
    """
    shift = tol * float(np.diagonal(cells.covariance).mean())
    seeds = kmeans_plus_plus(cells, n_components, rng, stack)
    return start_from_centers(
        cells, lloyd(cells, seeds, tol=shift, max_iter=max_iter).centers, variance, covariance_type
    )


def start_at_random(
    cells: Cells,
    n_components: int,
    rng: np.random.Generator,
    variance: float,
    covariance_type: CovarianceType = FULL,
    stack: tuple[int, ...] = (),
) -> Gaussians:
    """Make Gaussians of random responsibilities: K components that all look like the whole, but for noise."""
    n_rows = _n_rows(cells, covariance_type)
    moments = np.zeros((*stack, n_components, n_rows))
    for one in np.ndindex(stack):
        for columns in cells.blocks(n_components, n_rows).columns:
            weights = rng.random((n_components, cells.weights[columns].size))
            weights *= cells.weights[columns] / weights.sum(axis=0)
            moments[one] += weights @ cells.features(columns, n_rows).T
    centers = np.broadcast_to(cells.origin, (*stack, n_components, len(cells.origin)))
    return start_from_moments(cells, moments, centers, variance, covariance_type)


def _n_rows(cells: Cells, covariance_type: CovarianceType) -> int:
    return phi_rows(len(cells.origin), "dense" if covariance_type.dense else "diagonal")


def start_from_moments(
    cells: Cells,
    moments: FloatArray,
    centers: FloatArray,
    variance: float,
    covariance_type: CovarianceType,
    *,
    means_fixed: bool = False,
) -> Gaussians:
    """Run the M-step on the moments of a start; an empty component stays at its center and takes all the spread."""
    *clusters, d = centers.shape
    overall = cells.covariance + variance * np.eye(d)
    spread = overall if covariance_type.dense else np.diagonal(overall)
    scatter = np.broadcast_to(spread, (*clusters, *spread.shape))
    empty = Gaussians(np.zeros(clusters), centers, covariance_type.pool(scatter, np.ones(clusters)), covariance_type)
    return gaussians_from_moments(moments, cells.origin, variance, previous=empty, means_fixed=means_fixed)


def best(fits: Iterable[EMFit]) -> EMFit:
    """Return the fit that ended with the highest objective; the first, in ties."""
    return max(fits, key=lambda fit: fit.trace[-1])


def e_step(cells: Cells, gaussians: Gaussians, variance: float) -> tuple[FloatArray, FloatArray]:
    """Return the moments of the responsibilities (..., K, F), all that the M-step needs, and J, shape (...)."""
    return sweep(natural_parameters(gaussians, cells.origin, variance), cells, SOFTMAX)


def em_step(cells: Cells, gaussians: Gaussians, variance: float) -> tuple[Gaussians, FloatArray]:
    """Run one E-step and M-step; return the new parameters and J at the old ones."""
    moments, objective = e_step(cells, gaussians, variance)
    return gaussians_from_moments(moments, cells.origin, variance, previous=gaussians), objective


def em(
    cells: Cells,
    start: Gaussians,
    *,
    variance: float,
    tol: float,
    max_iter: int,
    accelerated: bool = False,
    means_fixed: bool = False,
    watch: Watcher = watch_nothing,
) -> EMFit:
    """Iterate from `start` until an iteration gains less than `tol` in J, or `max_iter` times.

    Each E-step gives J at the parameters before it, so the last one, which only judges, costs no M-step: the
    parameters returned are those that the last J was taken at.

    An `accelerated` fit carries the direction of the last M-step on into the next iteration, the further the longer all
    goes well (Nesterov's momentum). An iteration that would lower J is taken back and the momentum is lost (O'Donoghue
    and Candes, "Adaptive restart for accelerated gradient schemes", 2015); only one without momentum ends the fit.

    With `means_fixed` only weights and covariances are fitted. The M-step is still the best there is for the means
    given, so that all of the above holds. Many a mean given has little to stand for, and momentum empties no component.
    """
    gaussians, momentum = start, 0
    moments, reached = e_step(cells, gaussians, variance)
    objective = float(reached)
    check_finite_objective("objective", objective)
    trace, last = [objective], moments
    watch(0, objective)
    while len(trace) <= max_iter:
        ahead = moments + momentum / (momentum + 2) * (moments - last) if momentum else moments
        if means_fixed:
            ahead = _unless_emptied(ahead, moments)
        try:
            proposal = gaussians_from_moments(ahead, cells.origin, variance, gaussians, means_fixed=means_fixed)
            further, reached = e_step(cells, proposal, variance)
        except SingularCovarianceError:
            if not momentum:
                raise
            momentum = 0
            continue
        objective = float(reached)
        if momentum and not objective >= trace[-1]:
            momentum = 0
            continue
        check_finite_objective("objective", objective)
        gain = objective - trace[-1]
        gaussians, last, moments = proposal, moments, further
        trace.append(objective)
        watch(len(trace) - 1, objective)
        if abs(gain) >= tol:
            momentum += accelerated
        elif momentum:
            momentum = 0
        else:
            return EMFit(gaussians, tuple(trace), converged=True)
    return EMFit(gaussians, tuple(trace), converged=False)


def race(cells: Cells, starts: Gaussians, *, variance: float, tol: float, max_iter: int) -> EMFit:
    """Iterate from each of a stack of `starts`, side by side, until none has farther to go; return the highest.

    Each goes as an accelerated `em` does, except that an iteration which it takes back counts too. Over some hundred
    cells an iteration takes as long as its calls of numpy do, whatever they compute: one of four mixtures takes little
    more than twice as long as one of one.
    """
    stack, momentum = starts, np.zeros(len(starts.weights))
    moments, objective = e_step(cells, stack, variance)
    check_finite_objective("objective", float(objective.sum()))
    trace, last, converged = [objective], moments, False
    while len(trace) <= max_iter and not converged:
        ahead = moments + (momentum / (momentum + 2))[:, np.newaxis, np.newaxis] * (moments - last)
        try:
            proposals = gaussians_from_moments(ahead, cells.origin, variance, stack)
            further, objective = e_step(cells, proposals, variance)
        except SingularCovarianceError as error:
            collapsed = np.reshape(error.collapsed, (momentum.size, -1)).any(axis=1)
            if not momentum[collapsed].any():
                raise
            momentum = np.where(collapsed, 0.0, momentum)
            continue
        check_finite_objective("objective", float(objective.sum()))
        gain, plain = objective - trace[-1], momentum == 0
        kept = plain | (gain >= 0)
        if kept.all():
            stack, last, moments = proposals, moments, further
        else:
            stack = Gaussians.stack([(proposals if new else stack).at(place) for place, new in enumerate(kept)])
            last, moments = moments, np.where(kept[:, np.newaxis, np.newaxis], further, moments)
            objective = np.where(kept, objective, trace[-1])
        little = np.abs(gain) < tol
        momentum = np.where(kept & ~little, momentum + 1, 0.0)
        converged = bool((plain & little).all())
        trace.append(objective)
    first = int(trace[-1].argmax())
    return EMFit(stack.at(first), tuple(float(objectives[first]) for objectives in trace), converged)


def _unless_emptied(ahead: FloatArray, moments: FloatArray) -> FloatArray:
    """Return `ahead` with the components whose weight is not above 0 there as they are in `moments`.

    A component that loses most of its weight in an iteration would have less than none if that were carried on, and
    with weight 0 it could never come back: fits ended up to 0.04 nats lower.
    """
    return np.where(ahead[:, :1] <= 0, moments, ahead)
