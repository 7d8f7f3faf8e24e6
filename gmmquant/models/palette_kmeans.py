"""KMeans for palettes: centers of low squared error, from coarse to fine, after a search on coarse cells.

Lloyd's iterations (Linde, Buzo and Gray, "An algorithm for vector quantizer design", 1980) end in a local optimum near
their start. One start is made by splits along principal axes (Wu, "Efficient statistical computations for optimal color
quantization", 1991), others by greedy k-means++. From each, centers that are hardly needed are moved into clusters that
gain much by a split (Patane and Russo, "The enhanced LBG algorithm", 2001), many in one trial, chosen at random (as in
Franti, "Efficiency of random swap clustering", 2018). A trial is kept if the error is lower after a few iterations. A
cell's scatter counts in the error, so the error falls from level to level as it falls within one.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from itertools import islice

import numpy as np

from gmmquant.models import budget
from gmmquant.models.array_validation import FloatArray, IndexArray
from gmmquant.models.cells import Cells
from gmmquant.models.em import Course, Watcher, nesterov_coefficient, watch_after, watch_nothing
from gmmquant.models.kmeans import center_scores, cluster_means, cluster_moments, kmeans_plus_plus
from gmmquant.models.sweep import most_probable

# A start counts only if it is better than those before by more than this fraction of the error: many end alike.
_MIN_IMPROVEMENT = 1e-4

# A center may move although the split gains a little less than its removal costs: after the iterations that follow, the
# gain is higher and the cost lower. Both are multiplied by random factors exp(z), z being normal with this deviation.
_WORTHWHILE, _RANDOMNESS = 0.7, 0.25


@dataclass(frozen=True)
class Codebook(Course):
    """The result of a fit: the centers (K, d), and the course of the mean squared distance to the nearest of them."""

    centers: FloatArray


def fit_codebook(
    levels: Sequence[Cells],
    n_clusters: int,
    *,
    restarts: int,
    rng: np.random.Generator,
    tol: float,
    max_iter: int | None,
    fixed: FloatArray | None = None,
    watch: Watcher = watch_nothing,
) -> Codebook:
    """Return centers of low error, fitted at each of `levels` in turn, the finest last.

    Of the `restarts` starts, within `budget`, one is made by splits, the others by k-means++. They are searched and
    compared at the second level, since the first is too coarse. One that is better than those before is fitted at the
    finer levels, and the best of these fits is returned, so that more starts never end worse.

    A level ends with an iteration that lowers the error by less than the fraction `tol`. After the search there are at
    most `max_iter` iterations; if that is None, the limits of `budget` apply to each level. The first centers are those
    in `fixed` (n_fixed, d), and stay.
    """
    coarsest = levels[0]
    fixed = np.empty((0, len(coarsest.origin))) if fixed is None else fixed
    through = partial(_refine_through, tol=tol, max_iter=max_iter, n_fixed=len(fixed))
    lowest, fits, n_searched = np.inf, [], budget.PALETTE_SEARCH_LEVELS
    for number in range(_n_starts(levels, n_clusters, restarts)):
        if number:
            start = kmeans_plus_plus(coarsest, n_clusters, rng, fixed)
        else:
            splits = principal_splits(coarsest, n_clusters)
            start = np.concatenate([fixed, _without_nearest(splits, fixed, n_clusters - len(fixed))])
        for cells in levels[:n_searched]:
            n_trials = budget.MAX_PALETTE_SEARCH_SCORES // (cells.weights.size * n_clusters)
            start = search(cells, start, rng, min(n_trials, budget.MAX_PALETTE_TRIALS), len(fixed))
        trial = through(levels[:n_searched], Codebook((), (), 0, False, start))
        if trial.trace[-1] < (1 - _MIN_IMPROVEMENT) * lowest:
            lowest = trial.trace[-1]
            watch(trial.n_iter, lowest)
            fits.append(through(levels[n_searched:], trial, watch=watch))
    return min(fits, key=lambda fit: fit.trace[-1])


def _n_starts(levels: Sequence[Cells], n_clusters: int, restarts: int) -> int:
    """Return the number of starts: `restarts`, or fewer, but in proportion, where a start takes long."""
    n_scores = levels[: budget.PALETTE_SEARCH_LEVELS][-1].weights.size * n_clusters
    return 1 + (restarts - 1) * budget.MAX_PALETTE_START_SCORES // max(n_scores, budget.MAX_PALETTE_START_SCORES)


def _refine_through(
    levels: Sequence[Cells],
    fit: Codebook,
    *,
    tol: float,
    max_iter: int | None,
    n_fixed: int,
    watch: Watcher = watch_nothing,
) -> Codebook:
    """Refine the centers of `fit` at each of `levels`."""
    for cells in levels:
        affordable = max(budget.MAX_PALETTE_LEVEL_SCORES // (cells.weights.size * len(fit.centers)), 1)
        most = min(budget.MAX_PALETTE_LEVEL_ITERATIONS, affordable) if max_iter is None else max_iter - fit.n_iter
        watch_level = partial(watch_after, watch, fit.n_iter)
        level = refine(cells, fit.centers, tol=tol, max_iter=most, n_fixed=n_fixed, watch=watch_level)
        fit = level.after(fit)
    return fit


def refine(
    cells: Cells,
    centers: FloatArray,
    *,
    tol: float,
    max_iter: int,
    n_fixed: int = 0,
    watch: Watcher = watch_nothing,
) -> Codebook:
    """Alternate assignment and means until an iteration lowers the error by less than the fraction `tol`.

    As in `em`, means are extrapolated (Nesterov's momentum), and an iteration that would raise the error is discarded.
    The first `n_fixed` centers stay. `watch(n_iter, error)` is called at the start and after each iteration.
    """
    spread = float(np.trace(cells.covariance))
    moments, error = _assign(cells, centers, spread)
    means = previous_means = cluster_means(cells, moments, centers, n_fixed)
    trace, n_gains, converged = [error], 0, False
    watch(0, error)
    while len(trace) <= max_iter and not converged:
        extrapolated = means + nesterov_coefficient(n_gains) * (means - previous_means) if n_gains else means
        moments, error = _assign(cells, extrapolated, spread)
        if n_gains and error > trace[-1]:
            n_gains = 0
            continue
        converged = trace[-1] - error <= tol * error
        previous_means, means = means, cluster_means(cells, moments, extrapolated, n_fixed)
        trace.append(error)
        watch(len(trace) - 1, error)
        n_gains += 1
    return Codebook(tuple(trace), (cells.weights.size,) * len(trace), len(trace) - 1, converged, means)


def _assign(cells: Cells, centers: FloatArray, spread: float) -> tuple[FloatArray, float]:
    """Return the moments (K, 1 + d) of the cells nearest to each center, and the mean squared distance to them."""
    theta = center_scores(centers, cells.origin)
    moments = cluster_moments(cells, most_probable(theta, cells), *theta.shape)
    score = float(np.add.reduce(theta * moments, axis=None)) / cells.total_weight
    return moments, max(spread - 2 * score, 0.0)


def _without_nearest(centers: FloatArray, fixed: FloatArray, n: int) -> FloatArray:
    """Return `n` of `centers` (K, d), without those nearest to `fixed` (n_fixed, d), which replace them."""
    for mean in fixed[: len(centers) - n]:
        centers = np.delete(centers, ((centers - mean) ** 2).sum(axis=1).argmin(), axis=0)
    return centers


def principal_splits(cells: Cells, n_clusters: int) -> FloatArray:
    """Return centers (`n_clusters`, or as many as cells if these are fewer) by splits that lower the error the most.

    All clusters that gain at least half as much as the best one are split at once.
    """
    labels, n = np.zeros(cells.weights.size, dtype=np.intp), 1
    while n < n_clusters:
        gains, halves = split_clusters(cells, labels, n)
        by_gain = np.argsort(-gains, kind="stable")
        chosen = by_gain[gains[by_gain] >= max(gains.max() / 2, np.finfo(np.float64).tiny)][: n_clusters - n]
        if not chosen.size:
            break
        numbers = np.tile(np.arange(n), 2)
        numbers[n + chosen] = n + np.arange(chosen.size)
        labels, n = numbers[halves], n + chosen.size
    return _means(cells, labels, n)


def split_clusters(cells: Cells, labels: IndexArray, n_clusters: int) -> tuple[FloatArray, IndexArray]:
    """Return how much the best split of each cluster lowers the mean squared distance, (n_clusters,), and the halves.

    A split is a cut across the first principal axis. The halves are labels (n_cells,): a cell of cluster k is in k or
    in n_clusters + k. A cluster of one position gains nothing.
    """
    weights, d = cells.weights, len(cells.origin)
    moments = cluster_moments(cells, labels, n_clusters, 1 + d)
    totals = moments[:, 0]
    means = moments[:, 1:] / np.where(totals > 0, totals, 1.0)[:, np.newaxis]
    centered = [row - mean.take(labels) for row, mean in zip(cells.offsets, means.T, strict=True)]
    scatter = np.empty((n_clusters, d, d))
    for i in range(d):
        weighted = weights * centered[i]
        for j in range(i + 1):
            scatter[:, i, j] = scatter[:, j, i] = np.bincount(labels, weighted * centered[j], minlength=n_clusters)
    axes = np.linalg.eigh(scatter)[1][:, :, -1]
    along = sum((row * axis.take(labels) for row, axis in zip(centered, axes.T, strict=True)), start=np.zeros(1))
    order = np.argsort(4 * np.abs(along).max() * labels + along)  # by cluster, then along its axis
    starts = np.searchsorted(labels[order], np.arange(n_clusters + 1))
    filled = np.flatnonzero(np.diff(starts))
    first, cluster = starts[filled], np.repeat(np.arange(filled.size), np.diff(starts)[filled])
    below, moment = np.cumsum(weights[order]), np.cumsum((weights * along)[order])
    for sums in (below, moment):
        sums -= np.concatenate([[0.0], sums[first[1:] - 1]])[cluster]
    above = totals[filled][cluster] - below
    above[starts[filled + 1] - 1] = np.inf
    moment[starts[filled + 1] - 1] = 0.0
    removed = moment**2 * (1 / below + 1 / above)
    best = np.maximum.reduceat(removed, first)
    is_best = np.flatnonzero(removed == best[cluster])
    cut = is_best[np.searchsorted(is_best, first)]  # the first of equal ones
    gains, halves = np.zeros(n_clusters), np.empty_like(labels)
    gains[filled] = best / cells.total_weight
    halves[order] = labels[order] + n_clusters * (np.arange(labels.size) > cut[cluster])
    return gains, halves


def _means(cells: Cells, labels: IndexArray, n_clusters: int) -> FloatArray:
    """Return the mean of each cluster, (n_clusters, d); that of an empty one is the origin."""
    moments = cluster_moments(cells, labels, n_clusters, 1 + len(cells.origin))
    return np.asarray(moments[:, 1:] / np.where(moments[:, :1] > 0, moments[:, :1], 1.0) + cells.origin)


def search(cells: Cells, centers: FloatArray, rng: np.random.Generator, n_trials: int, n_fixed: int = 0) -> FloatArray:
    """Return centers of lower error: in each of `n_trials`, some are moved, and kept there if that lowers the error.

    After a success twice as many centers are moved, after a failure a third. The first `n_fixed` stay.
    """
    trial = partial(refine, cells, tol=0.0, max_iter=budget.MAX_PALETTE_TRIAL_ITERATIONS, n_fixed=n_fixed)
    best = trial(centers)
    moves = None
    n_moved = max(len(centers) // 8, 1)
    for _ in range(min(n_trials, 2 * len(centers)) if len(centers) > 1 else 0):
        moves = moves or Moves(cells, best.centers, n_fixed)
        moved, n_moved = moves.draw(rng, n_moved)
        if n_moved:
            other = trial(moved)
            if other.trace[-1] < best.trace[-1]:
                best, moves, n_moved = other, None, 2 * n_moved
                continue
        n_moved = max(n_moved // 3, 1)
    return best.centers


class Moves:
    """Moves of centers that are hardly needed into clusters that gain much by a split.

    Removing a center costs the distance of its cells to their second nearest less that to their nearest.
    """

    def __init__(self, cells: Cells, centers: FloatArray, n_fixed: int = 0) -> None:
        K = len(centers)
        self.centers, self.n_fixed = centers, n_fixed
        labels, self.costs = costs_of_removal(cells, centers)
        self.costs[:n_fixed] = np.inf
        self.gains, halves = split_clusters(cells, labels, K)
        self.halves = _means(cells, halves, 2 * K).reshape(2, K, -1)

    def draw(self, rng: np.random.Generator, n: int) -> tuple[FloatArray, int]:
        """Return the centers after at most `n` moves, and the number of moves.

        Those that gain more than they cost come first, after both are multiplied by random factors. The first `n_fixed`
        centers stay; a split of their clusters adds a center beside them.
        """
        noise = np.exp(_RANDOMNESS * rng.standard_normal((2, len(self.centers))))
        pairs = list(islice(_pairs(_WORTHWHILE * self.costs * noise[0], self.gains * noise[1]), n))
        moved = self.centers.copy()
        for removed, split in pairs:
            moved[removed], moved[split] = self.halves[:, split]
        moved[: self.n_fixed] = self.centers[: self.n_fixed]
        return moved, len(pairs)


def _pairs(costs: FloatArray, gains: FloatArray) -> Iterator[tuple[int, int]]:
    """Pair the cheapest centers with the clusters that gain the most, each in one pair, while the gain is higher."""
    by_gain = np.argsort(-gains, kind="stable").tolist()
    paired: set[int] = set()
    for moved in np.argsort(costs, kind="stable").tolist():
        if moved in paired:
            continue
        split = next((cluster for cluster in by_gain if cluster not in paired and cluster != moved), None)
        if split is None or gains[split] <= costs[moved]:
            return
        paired |= {moved, split}
        yield moved, split


def costs_of_removal(cells: Cells, centers: FloatArray) -> tuple[IndexArray, FloatArray]:
    """Return the nearest center of each cell, (n_cells,), and the rise of the mean squared error without it, (K,)."""
    theta = center_scores(centers, cells.origin)
    labels, farther = np.empty(cells.weights.size, dtype=np.intp), np.empty(cells.weights.size)
    for columns in cells.blocks(*theta.shape).columns:
        scores = cells.features(columns, theta.shape[1]).T @ theta.T
        rows, nearest = np.arange(len(scores)), scores.argmax(axis=1)
        labels[columns], farther[columns] = nearest, scores[rows, nearest]
        scores[rows, nearest] = -np.inf
        farther[columns] -= scores[rows, scores.argmax(axis=1)]  # numpy's argmax is twice as fast as its max
    costs = np.bincount(labels, 2 * cells.weights * farther, minlength=len(centers))
    return labels, np.asarray(costs / cells.total_weight)
