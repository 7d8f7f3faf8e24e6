"""KMeans for palettes: centers of low squared error, from coarse to fine, some of them moved to where they gain more.

Lloyd's iterations (Linde, Buzo and Gray, "An algorithm for vector quantizer design", 1980) end in a local optimum near
their start. One start is made by splits along principal axes (Wu, "Efficient statistical computations for optimal color
quantization", 1991), others by greedy k-means++. From each, centers that are hardly needed are moved into clusters that
gain more by a split (Patane and Russo, "The enhanced LBG algorithm", 2001), as long as that lowers the error; the best
start is refined. A cell's scatter counts in the error, so the error falls from level to level as it falls within one.
"""

from __future__ import annotations

import heapq
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from typing import NamedTuple

import numpy as np

from gmmquant.models import budget
from gmmquant.models.array_validation import FloatArray, IndexArray
from gmmquant.models.cells import Cells
from gmmquant.models.em import Course, Watcher, nesterov_coefficient, watch_after, watch_nothing
from gmmquant.models.kmeans import center_scores, cluster_means, kmeans_plus_plus
from gmmquant.models.starts import start_from_centers
from gmmquant.models.sweep import HARDMAX, largest_scores, sweep


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

    Of the `restarts` starts, one is made by splits, the others by k-means++, within `MAX_PALETTE_SEEDING_SCORES`. A
    level ends with an iteration that lowers the error by less than the fraction `tol`. After the search for a start
    there are at most `max_iter` iterations; if that is None, the limits of `budget` apply to each level. The first
    centers are those in `fixed` (n_fixed, d), and stay.
    """
    coarsest = levels[0]
    fixed = np.empty((0, len(coarsest.origin))) if fixed is None else fixed
    n_fixed = len(fixed)
    starts = [
        np.concatenate([fixed, _without_nearest(principal_splits(coarsest, n_clusters), fixed, n_clusters - n_fixed)])
    ]
    n_random = min(restarts - 1, budget.MAX_PALETTE_SEEDING_SCORES // (coarsest.weights.size * n_clusters))
    starts += [kmeans_plus_plus(coarsest, n_clusters, rng, fixed) for _ in range(n_random)]
    through = partial(_refine_through, tol=tol, max_iter=max_iter, n_fixed=n_fixed)
    # The starts are compared at the second level; the first is too coarse.
    trials = (through(levels[:2], Codebook((), (), 0, False, improve(coarsest, start, n_fixed))) for start in starts)
    best = min(trials, key=lambda fit: fit.trace[-1])
    watch(best.n_iter, best.trace[-1])
    return through(levels[2:], best, watch=watch)


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
    moments, score = sweep(center_scores(centers, cells.origin), cells, HARDMAX)
    return moments, max(spread - 2 * float(score), 0.0)


def _without_nearest(centers: FloatArray, fixed: FloatArray, n: int) -> FloatArray:
    """Return `n` of `centers` (K, d), without those nearest to `fixed` (n_fixed, d), which replace them."""
    for mean in fixed[: len(centers) - n]:
        centers = np.delete(centers, ((centers - mean) ** 2).sum(axis=1).argmin(), axis=0)
    return centers


def principal_splits(cells: Cells, n_clusters: int) -> FloatArray:
    """Return centers (`n_clusters`, or as many as cells if these are fewer) by splits that lower the error the most."""
    leaves = [_leaf(cells, np.arange(cells.weights.size))]
    while len(leaves) < n_clusters and leaves[0].parts:
        for members in heapq.heappop(leaves).parts:
            heapq.heappush(leaves, _leaf(cells, members))
    centers = [
        np.average(cells.offsets[:, leaf.members], axis=1, weights=cells.weights[leaf.members]) for leaf in leaves
    ]
    return np.array(centers) + cells.origin


class _Leaf(NamedTuple):
    """A cluster of cells, and the two parts of its best split, if it has any; the highest gain sorts first."""

    minus_gain: float
    first: int  # unique, so that comparisons end here
    members: IndexArray
    parts: tuple[IndexArray, ...]


def _leaf(cells: Cells, members: IndexArray) -> _Leaf:
    """Return the leaf of `members` with their best split along their first principal axis."""
    if members.size == 1:
        return _Leaf(0.0, int(members[0]), members, ())
    weights, offsets = cells.weights[members], cells.offsets[:, members]
    total = weights.sum()
    centered = offsets - (offsets @ weights / total)[:, np.newaxis]
    _, axes = np.linalg.eigh(centered * weights @ centered.T)
    along = axes[:, -1] @ centered
    order = np.argsort(along, kind="stable")
    below = np.cumsum(weights[order])[:-1]
    moment = np.cumsum((weights * along)[order])[:-1]
    gains = moment**2 * (1 / below + 1 / (total - below))
    last = int(gains.argmax())
    return _Leaf(
        -float(gains[last]), int(members[0]), members, (members[order[: last + 1]], members[order[last + 1 :]])
    )


def improve(cells: Cells, centers: FloatArray, n_fixed: int = 0) -> FloatArray:
    """Return centers of lower error: some of them are moved between trials of a few iterations.

    The first `n_fixed` stay.
    """
    tol, max_iter = budget.PALETTE_TRIAL_TOL, budget.MAX_PALETTE_TRIAL_ITERATIONS
    trial = partial(refine, cells, tol=tol, max_iter=max_iter, n_fixed=n_fixed)
    best = trial(centers)
    fraction = 1.0
    for _ in range(budget.MAX_PALETTE_SHIFTS if len(centers) > 1 else 0):
        shifted, n_shifted = shift_centers(cells, best.centers, fraction, n_fixed)
        if n_shifted == 0:
            break
        other = trial(shifted)
        if other.trace[-1] < best.trace[-1]:
            best = other
        elif n_shifted == 1:
            break
        else:
            fraction /= 2
    return best.centers


def shift_centers(cells: Cells, centers: FloatArray, fraction: float = 1.0, n_fixed: int = 0) -> tuple[FloatArray, int]:
    """Move centers that are hardly needed into clusters that gain more by a split; return centers and number moved.

    Removing a center costs the distance of its cells to their second nearest less that to their nearest. A split at the
    mean along the first axis of a Gaussian cluster removes 2 / pi of the variance along it. Of the pairs of a center
    and a cluster that gain more than they cost (see `_pairs`), a `fraction` is used, but at least one. The first
    `n_fixed` centers stay; in the clusters of these, a second center is added by a split.
    """
    clusters = start_from_centers(cells, centers, variance=0.0)
    variances, axes = np.linalg.eigh(clusters.covariances)
    gains = clusters.weights * variances[:, -1] * (2 / np.pi)
    costs = _costs_of_removal(cells, clusters.means)
    costs[:n_fixed] = np.inf
    pairs = list(_pairs(costs, gains))
    pairs = pairs[: max(1, int(fraction * len(pairs)))]
    shifted = clusters.means.copy()
    for moved, split in pairs:
        half = axes[split, :, -1] * np.sqrt(variances[split, -1] * 2 / np.pi)
        shifted[moved], shifted[split] = clusters.means[split] + half, clusters.means[split] - half
    shifted[:n_fixed] = centers[:n_fixed]
    return shifted, len(pairs)


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


def _costs_of_removal(cells: Cells, centers: FloatArray) -> FloatArray:
    """Return the increase of the mean squared distance without each center, shape (K,)."""
    theta = center_scores(centers, cells.origin)
    costs = np.zeros(len(centers))
    for columns in cells.blocks(*theta.shape).columns:
        scores = theta @ cells.features(columns, theta.shape[1])
        nearest, labels = largest_scores(scores)
        scores[labels, np.arange(labels.size)] = -np.inf
        farther = 2 * (nearest - scores.max(axis=0))
        costs += np.bincount(labels, cells.weights[columns] * farther, minlength=len(centers))
    return costs / cells.total_weight
