"""GaussianMixture: Expectation-Maximisation for a mixture of Gaussians, on weighted samples or cells.

The objective J is the weighted mean log-likelihood of the samples when each carries a variance `reg_covar` of its own,
in the E-step as well as in the covariances: a lower bound on the log-likelihood that no iteration lowers, and under
which no covariance can become singular. With `reg_covar=0` it is the textbook algorithm (Dempster, Laird and Rubin
1977) and J is the mean log-likelihood itself. KMeans is better where only the squared error of the picture counts.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable
from dataclasses import dataclass
from typing import Self

import numpy as np
import numpy.typing as npt

from gmmquant.errors import ConvergenceWarning, ParameterError
from gmmquant.models.checks import (
    FloatArray,
    check_array,
    check_enough_samples,
    check_fitted,
    check_sample_weight,
    check_samples,
)
from gmmquant.models.gaussian import Gaussians, gaussians_from_moments, log_joint, natural_parameters
from gmmquant.models.kmeans import center_scores, kmeans_plus_plus, lloyd
from gmmquant.models.moments import Cells, hardmax, n_features, softmax, sweep
from gmmquant.models.parameters import check_integer, check_non_negative

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


def start_from_centers(cells: Cells, centers: FloatArray, variance: float) -> Gaussians:
    """Make each cluster, the cells nearest to one of `centers` (K, d), a Gaussian."""
    d = len(cells.center)
    theta = center_scores(centers, cells.center)
    theta = np.pad(theta, ((0, 0), (0, n_features(d, 2) - theta.shape[1])))
    moments, _ = sweep(theta, cells, hardmax)
    spread = cells.covariance() + variance * np.eye(d)
    empty = Gaussians(np.zeros(len(centers)), centers, np.broadcast_to(spread, (len(centers), d, d)))
    return gaussians_from_moments(moments, cells.center, variance, previous=empty)


def em_step(cells: Cells, gaussians: Gaussians, variance: float) -> tuple[Gaussians, float]:
    """Run one E-step and M-step; return the new parameters and J at the old ones."""
    theta = natural_parameters(gaussians, cells.center, variance)
    moments, objective = sweep(theta, cells, softmax)
    return gaussians_from_moments(moments, cells.center, variance, previous=gaussians), objective


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
        trace.append(objective)
        watch(len(trace) - 1, objective)
        converged = len(trace) > 1 and objective - trace[-2] < tol
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
        log_likelihood += float(weights @ log_density)
        entropy += float(weights @ (log_density - expected))
    return Evaluation(labels, log_likelihood, max(entropy, 0.0))


class GaussianMixture:
    """A mixture of Gaussians with full covariances, with scikit-learn's names and meanings, and sample weights.

    Parameters
    ----------
    n_components : int, default 1
    tol : float, default 1e-3
        Stop when an iteration gains less than this in `lower_bound_`.
    reg_covar : float, default 1e-6
        Variance that each sample carries in each feature, in the square of the features' unit. It is added to every
        covariance, and counted in the E-step too, so that the objective never falls. 0 is the textbook algorithm.
    max_iter : int, default 100
    weights_init : array-like of shape (n_components,), optional
    means_init : array-like of shape (n_components, n_features), optional
    precisions_init : array-like of shape (n_components, n_features, n_features), optional
        Where to start, inverse covariances in the last; what is not given comes from KMeans.
    random_state : int, numpy Generator or None, default None
        Source of the seeding's randomness; an int makes the fit repeatable.

    Attributes
    ----------
    weights_ : ndarray of shape (n_components,)
    means_ : ndarray of shape (n_components, n_features)
    covariances_ : ndarray of shape (n_components, n_features, n_features)
    converged_ : bool
    n_iter_ : int
    lower_bound_ : float
        J at the final parameters: with `reg_covar=0`, the mean log-likelihood of the training samples.
    lower_bounds_ : list of float
        J at the start and after each iteration; it never falls.
    n_features_in_ : int

    Notes
    -----
    Covariances are E[x x^T] - m m^T about the center of the data, in float64: a cluster narrower than some 1e-7 of its
    distance from that center has a covariance of rounding errors. Scale such features, or fit their parts.
    """

    def __init__(
        self,
        n_components: int = 1,
        *,
        tol: float = 1e-3,
        reg_covar: float = 1e-6,
        max_iter: int = 100,
        weights_init: npt.ArrayLike | None = None,
        means_init: npt.ArrayLike | None = None,
        precisions_init: npt.ArrayLike | None = None,
        random_state: int | np.random.Generator | None = None,
    ) -> None:
        self.n_components = n_components
        self.tol = tol
        self.reg_covar = reg_covar
        self.max_iter = max_iter
        self.weights_init = weights_init
        self.means_init = means_init
        self.precisions_init = precisions_init
        self.random_state = random_state

    def fit(
        self,
        X: npt.ArrayLike,
        y: object = None,
        sample_weight: npt.ArrayLike | None = None,
        sample_covariance: npt.ArrayLike | None = None,
    ) -> Self:
        """Fit the mixture to `X`, from KMeans or from the `_init` parameters.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features)
        y : ignored
        sample_weight : array-like of shape (n_samples,), optional
            How many times each sample counts; the fit is that of the samples repeated so often.
        sample_covariance : array-like of shape (n_samples, n_features, n_features), optional
            Covariance inside each sample, where a sample is the mean of a group (a cell).

        Raises
        ------
        ParameterError
            If a parameter or an array is outside what is accepted.
        SingularCovarianceError
            If a component collapses, which only `reg_covar=0` or a very small one allows.

        Warns
        -----
        ConvergenceWarning
            If `max_iter` iterations were not enough.
        """
        samples = check_samples(X)
        n, d = samples.shape
        weight = check_sample_weight(sample_weight, n)
        scatter = None if sample_covariance is None else check_array("sample_covariance", sample_covariance, (n, d, d))
        n_components = check_integer("n_components", self.n_components, 1)
        max_iter = check_integer("max_iter", self.max_iter, 1)
        tol = check_non_negative("tol", self.tol)
        variance = check_non_negative("reg_covar", self.reg_covar)
        check_enough_samples(int(np.count_nonzero(weight)), "n_components", n_components)
        cells = Cells.from_samples(samples, weight, scatter)
        start = self._start(cells, n_components, variance)
        result = em(cells, start, variance=variance, tol=tol, max_iter=max_iter)
        if not result.converged:
            warnings.warn(
                f"the mixture stopped after max_iter = {max_iter} iterations before meeting tol = {tol:g}; "
                "raise one of them, or look at the data",
                ConvergenceWarning,
                stacklevel=2,
            )
        self.weights_ = result.gaussians.weights
        self.means_ = result.gaussians.means
        self.covariances_ = result.gaussians.covariances
        self.converged_ = result.converged
        self.n_iter_ = result.n_iter
        self.lower_bounds_ = list(result.trace)
        self.lower_bound_ = result.trace[-1]
        self.n_features_in_ = d
        return self

    def predict(self, X: npt.ArrayLike) -> npt.NDArray[np.intp]:
        """Return the index of the most probable component of each row of `X`, shape (n_samples,)."""
        return np.concatenate([scores.argmax(axis=0) for scores in self._scores(X)])

    def predict_proba(self, X: npt.ArrayLike) -> FloatArray:
        """Return the responsibility of each component for each row of `X`, shape (n_samples, n_components)."""
        blocks = list(self._scores(X))
        for scores in blocks:
            softmax(scores)
        return np.concatenate(blocks, axis=1).T

    def score_samples(self, X: npt.ArrayLike) -> FloatArray:
        """Return the log density, in nats, at each row of `X`, shape (n_samples,)."""
        return np.concatenate([softmax(scores) for scores in self._scores(X)])

    def score(self, X: npt.ArrayLike, y: object = None, sample_weight: npt.ArrayLike | None = None) -> float:
        """Return the (weighted) mean log density of `X`, in nats per sample."""
        log_density = self.score_samples(X)
        return float(np.average(log_density, weights=check_sample_weight(sample_weight, len(log_density))))

    def _scores(self, X: npt.ArrayLike) -> list[FloatArray]:
        check_fitted(self, "means_")
        samples = check_samples(X, self.n_features_in_)
        gaussians = Gaussians(self.weights_, self.means_, self.covariances_)
        cells = Cells.points(samples, center=gaussians.weights @ gaussians.means)
        return [scores for _, scores in log_joint(gaussians, cells)]

    def _start(self, cells: Cells, n_components: int, variance: float) -> Gaussians:
        d = len(cells.center)
        weights, means, covariances = None, None, None
        if self.weights_init is not None:
            weights = _check_weights_init(self.weights_init, n_components)
        if self.means_init is not None:
            means = check_array("means_init", self.means_init, (n_components, d))
        if self.precisions_init is not None:
            precisions = check_array("precisions_init", self.precisions_init, (n_components, d, d))
            covariances = _check_precisions_init(precisions)
        if weights is None or means is None or covariances is None:
            seeds = kmeans_plus_plus(cells, n_components, np.random.default_rng(self.random_state))
            tol = 1e-4 * float(np.diagonal(cells.covariance()).mean())
            centers = lloyd(cells, seeds, tol=tol, max_iter=300).centers
            clusters = start_from_centers(cells, centers, variance)
            weights = clusters.weights if weights is None else weights
            means = clusters.means if means is None else means
            covariances = clusters.covariances if covariances is None else covariances
        return Gaussians(weights, means, covariances)


def _check_weights_init(value: npt.ArrayLike, n_components: int) -> FloatArray:
    weights = check_array("weights_init", value, (n_components,))
    if (weights < 0).any() or abs(weights.sum() - 1) > 1e-8:
        raise ParameterError(f"weights_init sums to {weights.sum():g}; give weights of at least 0 that sum to 1")
    return weights


def _check_precisions_init(precisions: FloatArray) -> FloatArray:
    symmetric = np.allclose(precisions, precisions.transpose(0, 2, 1))
    smallest = float(np.linalg.eigvalsh(precisions).min())
    if not symmetric or smallest <= 0:
        raise ParameterError(
            f"precisions_init must hold symmetric positive-definite matrices; the smallest eigenvalue is {smallest:g}"
        )
    return np.asarray(np.linalg.inv(precisions))
