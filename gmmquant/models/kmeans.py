"""KMeans: greedy k-means++ seeding, then Lloyd's iterations, on weighted samples.

Seeding follows Arthur and Vassilvitskii, "k-means++: the advantages of careful seeding" (2007), in the greedy form that
tries a few candidates per step and keeps the best.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import KW_ONLY, dataclass
from typing import TYPE_CHECKING, Any, NamedTuple, Self

import numpy as np
import numpy.typing as npt

from gmmquant.errors import ParameterError
from gmmquant.models.array_validation import (
    FloatArray,
    IndexArray,
    check_array,
    check_enough_samples,
    check_finite_objective,
    check_fitted,
    check_sample_weight,
    check_samples,
    weights_near_one,
)
from gmmquant.models.cells import Cells
from gmmquant.models.dataframes import CONTAINERS, container_of, in_container
from gmmquant.models.estimator import Estimator, RandomState, random_generator
from gmmquant.models.scalar_validation import check_choice, check_integer, check_non_negative
from gmmquant.models.sweep import most_probable

if TYPE_CHECKING:
    from gmmquant.models.scalar_validation import Integer

_CELLS_AT_A_TIME = 1 << 15  # of which moments are summed, so that their features stay in cache


class Clusters(NamedTuple):
    """The result of Lloyd's iterations: centers (K, d), number of iterations, and whether they met the tolerance."""

    centers: FloatArray
    n_iter: int
    converged: bool


def center_scores(centers: FloatArray, origin: FloatArray) -> FloatArray:
    """Return theta (K, 1 + d) with theta_k . (1, x - origin) = (|x - origin|^2 - |x - centers[k]|^2) / 2.

    The largest score is that of the nearest center: KMeans is the mixture's sweep with first-order features and a
    maximum instead of the softmax.
    """
    offsets = centers - origin
    return np.concatenate([-0.5 * (offsets**2).sum(axis=1, keepdims=True), offsets], axis=1)


def squared_distances(cells: Cells, points: FloatArray) -> FloatArray:
    """Return the squared distance of each of `points` (n_points, d) to the mean of each cell, (n_points, n_cells)."""
    distances = np.zeros((len(points), cells.weights.size))
    for offset, coordinates in zip(cells.offsets, (points - cells.origin).T, strict=True):
        difference = offset - coordinates[:, np.newaxis]
        difference *= difference
        distances += difference
    return distances


def nearest_squared_distances(cells: Cells, centers: FloatArray) -> FloatArray:
    """Return the squared distance of the mean of each cell to the nearest center, shape (n_cells,)."""
    labels = most_probable(center_scores(centers, cells.origin), cells)
    difference = cells.offsets - (centers - cells.origin)[labels].T
    return np.asarray((difference**2).sum(axis=0))


def inertia(cells: Cells, centers: FloatArray) -> float:
    """Return the sum over cells of weight times squared distance to the nearest center."""
    return float((cells.weights * nearest_squared_distances(cells, centers)).sum())


def kmeans_plus_plus(
    cells: Cells, n_clusters: int, rng: np.random.Generator, fixed: FloatArray | None = None
) -> FloatArray:
    """Draw starting centers (n_clusters, d): each the best of 2 + log(n_clusters) candidates.

    Candidates are drawn with probability proportional to weight times squared distance to the nearest center so far;
    the one that leaves the smallest weighted sum of squared distances is taken. The first centers are those in `fixed`
    (n_fixed, d); without any, the first is drawn with probability proportional to weight.
    """
    n_candidates = 2 + int(np.log(n_clusters))
    positions = cells.positions()
    chosen: list[int] = []
    if fixed is None or not len(fixed):
        fixed = np.empty((0, len(cells.origin)))
        chances = rng.random(1 + (n_clusters - 1) * n_candidates)
        chosen.append(int(_draw(cells.weights, chances[:1])[0]))
        chances = chances[1:]
        closest = squared_distances(cells, positions[chosen])[0]
    else:
        chances = rng.random((n_clusters - len(fixed)) * n_candidates)
        closest = nearest_squared_distances(cells, fixed)
    for step in range(0, chances.size, n_candidates):
        mass = cells.weights * closest
        if not mass.any():
            # Every sample equals a center already: any further center is a repetition.
            mass = cells.weights
        candidates = _draw(mass, chances[step : step + n_candidates])
        closer = np.minimum(squared_distances(cells, positions[candidates]), closest)
        best = int(np.einsum("ln,n->l", closer, cells.weights).argmin())
        chosen.append(int(candidates[best]))
        closest = closer[best]
    return np.concatenate([fixed, positions[chosen]])


def random_centers(cells: Cells, n_clusters: int, rng: np.random.Generator) -> FloatArray:
    """Draw starting centers (n_clusters, d): distinct cells, with probability proportional to weight."""
    share = cells.weights / cells.total_weight
    return cells.positions()[rng.choice(share.size, n_clusters, replace=False, p=share)]


def lloyd(
    cells: Cells,
    centers: FloatArray,
    *,
    tol: float,
    max_iter: int,
    n_fixed: int = 0,
    watch: Callable[[int, FloatArray], object] | None = None,
) -> Clusters:
    """Alternate assignment and means until the centers' squared shift is at most `tol`, or `max_iter` times.

    The first `n_fixed` centers stay. `watch(n_iter, centers)` is called after each iteration.
    """
    for n_iter in range(1, max_iter + 1):
        moved = lloyd_step(cells, centers, n_fixed)
        shift = float(((moved - centers) ** 2).sum())
        centers = moved
        if watch is not None:
            watch(n_iter, centers)
        if shift <= tol:
            return Clusters(centers, n_iter, converged=True)
    return Clusters(centers, max_iter, converged=False)


def lloyd_step(cells: Cells, centers: FloatArray, n_fixed: int = 0) -> FloatArray:
    """Move each center but the first `n_fixed` to the mean of the cells nearest to it."""
    labels = most_probable(center_scores(centers, cells.origin), cells)
    return cluster_means(cells, cluster_moments(cells, labels, len(centers), 1 + len(cells.origin)), centers, n_fixed)


def cluster_moments(cells: Cells, labels: IndexArray, n_clusters: int, n_rows: int) -> FloatArray:
    """Return the sums of weight * phi over the cells of each cluster, (n_clusters, n_rows), for `labels` (n_cells,)."""
    moments = np.zeros((n_clusters, n_rows))
    for start in range(0, labels.size, _CELLS_AT_A_TIME):
        part = slice(start, start + _CELLS_AT_A_TIME)
        weighted = cells.features(part, n_rows) * cells.weights[part]
        moments += np.array([np.bincount(labels[part], row, minlength=n_clusters) for row in weighted]).T
    return moments


def cluster_means(cells: Cells, moments: FloatArray, centers: FloatArray, n_fixed: int = 0) -> FloatArray:
    """Return the mean of each cluster from its `moments` (K, 1 + d); the center of an empty cluster is relocated.

    The first `n_fixed` centers stay where they are.
    """
    totals = moments[:, :1]
    empty = totals == 0
    means = np.where(empty, centers, moments[:, 1:] / np.where(empty, 1.0, totals) + cells.origin)
    means[:n_fixed], empty[:n_fixed] = centers[:n_fixed], False
    return relocate_empty(cells, means, centers, empty[:, 0]) if empty.any() else means


def relocate_empty(cells: Cells, moved: FloatArray, centers: FloatArray, empty: npt.NDArray[np.bool_]) -> FloatArray:
    """Return `moved` with the centers of empty clusters on the cells with the largest weighted squared distances.

    Every other cell can keep its center, so the inertia never rises. If all distances are 0 (fewer distinct samples
    than clusters), the center stays, a repetition without effect.
    """
    cost = cells.weights * nearest_squared_distances(cells, centers)
    costliest = np.argsort(-cost, kind="stable")[: int(empty.sum())]
    relocated = moved.copy()
    for cluster, cell in zip(np.flatnonzero(empty), costliest, strict=False):
        if cost[cell] > 0:
            relocated[cluster] = cells.offsets[:, cell] + cells.origin
    return relocated


def _draw(mass: FloatArray, chances: FloatArray) -> IndexArray:
    """Draw an index into `mass` (n,), with probability proportional to it, for each of `chances` in [0, 1).

    An index of mass 0 is never drawn.
    """
    cumulative = mass.cumsum()
    # A chance just below 1, times the total, could round to the total, which is past the last index with mass.
    return np.asarray(cumulative.searchsorted(chances * np.nextafter(cumulative[-1], 0.0), side="right"))


@dataclass(eq=False, repr=False)
class KMeans(Estimator):
    """KMeans clustering of weighted samples, with scikit-learn's names and meanings.

    Parameters
    ----------
    n_clusters : int, default 8
    init : "k-means++", "random" or array-like of shape (n_clusters, n_features), default "k-means++"
        The start: greedy k-means++, random samples, or these centers.
    n_init : int or "auto", default "auto"
        Number of starts; the fit with the smallest inertia is kept. "auto" is 10 for "random", else 1.
    max_iter : int, default 300
    tol : float, default 1e-4
        Stop when the squared shift of all centers together is at most `tol` times the mean variance of the features.
    verbose : int, default 0
        1 prints each start, its iterations with their inertia, and whether it converged, to standard output.
    random_state : int, numpy Generator, RandomState or None, default None
        Source of the seeding's randomness; an int makes the fit repeatable.

    Attributes
    ----------
    cluster_centers_ : ndarray of shape (n_clusters, n_features)
    labels_ : ndarray of shape (n_samples,)
        Index of each sample's nearest center.
    inertia_ : float
        Sum over samples of weight times squared distance to the nearest center.
    n_iter_ : int
    n_features_in_ : int
    feature_names_in_ : ndarray of str, shape (n_features,)
        Names of the columns, only if `X` was a data frame whose columns have strings as names.
    """

    _estimator_type = "clusterer"

    n_clusters: Integer = 8
    _: KW_ONLY
    init: str | npt.ArrayLike = "k-means++"
    n_init: Integer | str = "auto"
    max_iter: Integer = 300
    tol: float = 1e-4
    verbose: int = 0
    random_state: RandomState = None

    def fit(self, X: npt.ArrayLike, y: object = None, sample_weight: npt.ArrayLike | None = None) -> Self:
        """Find the centers of `X` (n_samples, n_features), in which sample i counts `sample_weight[i]` times.

        Raises
        ------
        ParameterError
            If a parameter, `X` or `sample_weight` is outside what is accepted.

        Warns
        -----
        ConvergenceWarning
            If `max_iter` iterations were not enough, or fewer than `n_clusters` clusters are distinct.
        """
        samples = check_samples(X)
        weight = check_sample_weight(sample_weight, len(samples))
        n_clusters = check_integer("n_clusters", self.n_clusters, 1)
        max_iter = check_integer("max_iter", self.max_iter, 1)
        tol = check_non_negative("tol", self.tol)
        near_one = weights_near_one(weight)
        check_enough_samples(near_one, "n_clusters", n_clusters)
        cells = Cells.from_samples(samples, near_one)
        shift = tol * float(np.diagonal(cells.covariance).mean())
        rng = random_generator(self.random_state)
        starts = [self._start(cells, n_clusters, rng) for _ in range(self._number_of_starts())]
        fits = [self._lloyd(cells, start, shift, max_iter, weight.max() / near_one.max()) for start in starts]
        best = min(fits, key=lambda fit: inertia(cells, fit.centers))
        check_finite_objective("inertia", inertia(cells, best.centers))
        if not best.converged:
            self._warn(
                f"KMeans stopped after max_iter = {max_iter} iterations before meeting tol = {tol:g}; raise either"
            )
        self.cluster_centers_ = best.centers
        self.n_iter_ = best.n_iter
        self.n_features_in_ = samples.shape[1]
        self._keep_feature_names(X)
        self.labels_ = self._nearest(self._points(samples))
        self.inertia_ = float((weight[:, np.newaxis] * (samples - best.centers[self.labels_]) ** 2).sum())
        n_distinct = np.unique(self.labels_).size
        if n_distinct < n_clusters:
            self._warn(
                f"only {n_distinct} of n_clusters = {n_clusters} clusters contain samples, the other centers are "
                "duplicates: X may have too few distinct samples; use fewer clusters"
            )
        return self

    def fit_predict(self, X: npt.ArrayLike, y: object = None, sample_weight: npt.ArrayLike | None = None) -> IndexArray:
        """Fit to `X` and return the index of each sample's nearest center, shape (n_samples,)."""
        return self.fit(X, sample_weight=sample_weight).labels_

    def predict(self, X: npt.ArrayLike) -> IndexArray:
        """Return the index of the nearest center of each row of `X`, shape (n_samples,)."""
        return self._nearest(self._cells(X))

    def transform(self, X: npt.ArrayLike) -> Any:
        """Return the distance of each row of `X` to each center, shape (n_samples, n_clusters).

        It is an array, or the data frame that `set_output` or scikit-learn's configuration asks for.
        """
        distances = np.sqrt(squared_distances(self._cells(X), self.cluster_centers_)).T
        return in_container(distances, container_of(self), self.get_feature_names_out(), X)

    def fit_transform(self, X: npt.ArrayLike, y: object = None, sample_weight: npt.ArrayLike | None = None) -> Any:
        """Fit to `X` and return the distance of each sample to each center as `transform` does."""
        return self.fit(X, sample_weight=sample_weight).transform(X)

    def set_output(self, *, transform: str | None = None) -> Self:
        """Choose what `transform` and `fit_transform` return, and return the estimator.

        Parameters
        ----------
        transform : "default", "pandas", "polars" or None
            An array, or a data frame with the columns `get_feature_names_out`. None changes nothing.

        Raises
        ------
        ParameterError
            If it is something else.
        """
        if transform is not None:
            check_choice("transform", transform, CONTAINERS)
            self._sklearn_output_config = {"transform": transform}  # the name that scikit-learn's clone copies
        return self

    def get_feature_names_out(self, input_features: object = None) -> npt.NDArray[Any]:
        """Return the names of the columns of `transform`, "kmeans0" and so on; `input_features` is not used."""
        check_fitted(self, "cluster_centers_")
        return np.array([f"kmeans{number}" for number in range(len(self.cluster_centers_))], dtype=object)

    def score(self, X: npt.ArrayLike, y: object = None, sample_weight: npt.ArrayLike | None = None) -> float:
        """Return minus the inertia of `X`; larger is better."""
        cells = self._cells(X)
        weight = check_sample_weight(sample_weight, cells.weights.size)
        return -float((weight * nearest_squared_distances(cells, self.cluster_centers_)).sum())

    def _lloyd(self, cells: Cells, start: FloatArray, shift: float, max_iter: int, scale: float) -> Clusters:
        """Run Lloyd's iterations from one start; with `verbose`, print them, with inertias multiplied by `scale`."""

        def show(n_iter: int, centers: FloatArray) -> None:
            self._print(f"Iteration {n_iter}, inertia {scale * inertia(cells, centers):.6g}")

        self._print("Initialization complete")
        fit = lloyd(cells, start, tol=shift, max_iter=max_iter, watch=show if self.verbose else None)
        if fit.converged:
            self._print(f"Converged after {fit.n_iter} iterations: the centers' squared shift is within {shift:.6g}")
        return fit

    def _cells(self, X: npt.ArrayLike) -> Cells:
        check_fitted(self, "cluster_centers_")
        self._check_feature_names(X)
        return self._points(check_samples(X, self.n_features_in_, self))

    def _points(self, samples: FloatArray) -> Cells:
        return Cells.points(samples, origin=self.cluster_centers_.mean(axis=0))

    def _nearest(self, cells: Cells) -> IndexArray:
        return most_probable(center_scores(self.cluster_centers_, cells.origin), cells)

    def _number_of_starts(self) -> int:
        if self.n_init == "auto":
            return 10 if isinstance(self.init, str) and self.init == "random" else 1
        n_init = check_integer("n_init", self.n_init, 1, ", or 'auto'")
        return n_init if isinstance(self.init, str) else 1

    def _start(self, cells: Cells, n_clusters: int, rng: np.random.Generator) -> FloatArray:
        if not isinstance(self.init, str):
            return check_array("init", self.init, (n_clusters, len(cells.origin)))
        if self.init == "k-means++":
            return kmeans_plus_plus(cells, n_clusters, rng)
        if self.init == "random":
            return random_centers(cells, n_clusters, rng)
        raise ParameterError(f"init = {self.init!r} is unknown; use 'k-means++', 'random' or an array of centers")
