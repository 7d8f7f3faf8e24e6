"""Many moves of centers at once, each judged on its own: the search of KMeans for palettes of many colours.

A move takes a center away where it is hardly needed, and splits a cluster elsewhere that gains much by it (Patane and
Russo, "The enhanced LBG algorithm", 2001). Either half changes the error only nearby. So a round makes many of them, in
different places, and refines all centers by a few iterations. Each cluster belongs to the nearest place. The places
where centers cost least are paired with those that gained most; where the gain is higher, their centers are kept, and
all others are as before. That takes no longer than one move of a search by random swaps (Franti, "Efficiency of random
swap clustering", 2018), which a local optimum of hundreds of centers makes fail almost always.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from gmmquant.models.array_validation import FloatArray, IndexArray
from gmmquant.models.cells import Cells
from gmmquant.models.codebook import STEP
from gmmquant.models.kmeans import center_scores, cluster_means, cluster_moments
from gmmquant.models.palette_starts import costs_of_merges, squared_distances
from gmmquant.models.sweep import most_probable

# A center is moved if the estimated gain exceeds this part of the estimated cost. The cost is that of a merge with one
# neighbour, and the gain that of a uniform cluster; refined, they are about 0.65 and 1.4 times as high.
_WORTHWHILE = 0.45

# Estimates are multiplied by exp(z), z being normal with this deviation. Without it, rounds soon find nothing new.
_RANDOMNESS = 0.1

_UNIFORM_GAIN = 0.7  # of a split, as a part of the scatter along the first axis: 3/4 if uniform, 2/pi if normal
_HALF = 0.8  # how far the halves are from the mean, in standard deviations along that axis

# Of places: no other is among this number of nearest clusters of one. With 0, half of the moves are lost.
_MIN_DISTANCE = 4
_TRIAL_SWEEPS = 3
SWEEPS_PER_ROUND = _TRIAL_SWEEPS + 1


class Partition(NamedTuple):
    """Cells by their nearest center.

    `centers` (K, d); `labels` and `scores` (n_cells,) of the nearest, a score as in `center_scores`; `moments`
    (K, 1 + d) of the clusters; `total`, the sum of weight times score, which is higher if the error is lower.
    """

    centers: FloatArray
    labels: IndexArray
    scores: FloatArray
    moments: FloatArray
    total: float

    @classmethod
    def of(cls, cells: Cells, centers: FloatArray) -> Partition:
        """Assign the cells to `centers`."""
        theta = center_scores(centers, cells.origin)
        labels = most_probable(theta, cells)
        scores = theta[:, 0].take(labels)
        for coefficients, offsets in zip(theta.T[1:], cells.offsets, strict=True):
            scores += coefficients.take(labels) * offsets
        moments = cluster_moments(cells, labels, *theta.shape)
        return cls(centers, labels, scores, moments, float(np.add.reduce(theta * moments, axis=None)))

    def refined(self, cells: Cells, n_fixed: int) -> FloatArray:
        """Return the centers after a long step towards the means of their clusters; the first `n_fixed` stay.

        The error of the same clusters falls, since the step is less than twice the distance to the means.
        """
        return self.centers + STEP * (cluster_means(cells, self.moments, self.centers, n_fixed) - self.centers)


class Moves(NamedTuple):
    """Centers `removed` (n,), each to be paired with a cluster of `split` (n,), and the centers `moved` (K, d).

    `places` (2 n, d) are where the removed centers and the split clusters were, in this order.
    """

    removed: IndexArray
    split: IndexArray
    moved: FloatArray
    places: FloatArray


def move_centers(
    cells: Cells, centers: FloatArray, rng: np.random.Generator, n_rounds: int, n_fixed: int = 0
) -> FloatArray:
    """Return centers of lower error after at most `n_rounds` rounds of moves; the first `n_fixed` stay."""
    best = Partition.of(cells, Partition.of(cells, centers).refined(cells, n_fixed))
    measured = np.full((2, len(centers)), np.nan)  # what taking each center away cost, and what its split gained
    for _ in range(n_rounds):
        moves = _draw_moves(cells, best, measured, rng, n_fixed)
        if not moves.removed.size:
            break
        trial = Partition.of(cells, moves.moved)
        for _ in range(_TRIAL_SWEEPS - 1):
            trial = Partition.of(cells, trial.refined(cells, n_fixed))
        combined, changed = _combine(cells, best, trial, moves, measured, n_fixed)
        if combined.total > best.total:
            best = combined
            measured[:, changed] = np.nan
    return cluster_means(cells, best.moments, best.centers, n_fixed)


def _draw_moves(cells: Cells, best: Partition, measured: FloatArray, rng: np.random.Generator, n_fixed: int) -> Moves:
    """Draw moves by estimated costs and gains, or by those that were `measured` (2, K) and are not NaN."""
    means = cluster_means(cells, best.moments, best.centers, n_fixed)
    costs, gains, steps = _estimates(cells, best, n_fixed)
    expected = np.where(np.isnan(measured), [_WORTHWHILE * costs, gains], measured)
    expected *= np.exp(_RANDOMNESS * rng.standard_normal(expected.shape))
    removed, split = _pairs(expected[0], expected[1], _nearest_clusters(means))
    moved = best.refined(cells, n_fixed)
    moved[removed], moved[split] = means[split] + steps[split], means[split] - steps[split]
    moved[:n_fixed] = best.centers[:n_fixed]
    return Moves(removed, split, moved, means[np.concatenate([removed, split])])


def _combine(
    cells: Cells, best: Partition, trial: Partition, moves: Moves, measured: FloatArray, n_fixed: int
) -> tuple[Partition, npt.NDArray[np.bool_]]:
    """Keep of a `trial` what lowers the error; return the result, and whether each cluster is in a place kept.

    What the moves cost and gained is written to `measured`.
    """
    removed, split = moves.removed, moves.split
    place = squared_distances(best.centers, moves.places).argmin(axis=1)
    rises = 2 * cells.weights * (best.scores - trial.scores)
    costs, gains = np.bincount(place[best.labels], rises, minlength=len(moves.places)).reshape(2, -1) * [[1], [-1]]
    measured[0, removed], measured[1, split] = costs, gains
    cheapest, largest = np.argsort(costs, kind="stable"), np.argsort(-gains, kind="stable")
    n_kept = np.count_nonzero(gains[largest] > costs[cheapest])
    cheapest, largest = cheapest[:n_kept], largest[:n_kept]
    changed = np.isin(place, np.concatenate([cheapest, removed.size + largest]))
    before, after = best.refined(cells, n_fixed), trial.refined(cells, n_fixed)
    centers = np.where(changed[:, np.newaxis], after, before)
    centers[removed] = before[removed]
    centers[removed[cheapest]] = after[removed[largest]]
    return Partition.of(cells, centers), changed


def _estimates(cells: Cells, partition: Partition, n_fixed: int) -> tuple[FloatArray, FloatArray, FloatArray]:
    """Return what taking each center away costs, what a split of its cluster gains, and steps to the halves.

    The first two are sums over samples, (K,). A step leads from the mean to one half, (K, d).
    """
    K, d = partition.centers.shape
    weights = partition.moments[:, 0]
    means = partition.moments[:, 1:] / np.maximum(weights, np.finfo(np.float64).tiny)[:, np.newaxis]
    merges = costs_of_merges(weights, means)
    merges[:, weights == 0] = np.inf  # to merge with an empty cluster is not to take a center away
    costs = merges.min(axis=1)
    costs[:n_fixed] = np.inf
    scatter = np.empty((K, d, d))
    for i in range(d):
        weighted = cells.weights * cells.offsets[i]
        for j in range(i + 1):
            second = np.bincount(partition.labels, weighted * cells.offsets[j], minlength=K)
            scatter[:, i, j] = scatter[:, j, i] = second - weights * means[:, i] * means[:, j]
    along, axes = np.linalg.eigh(scatter)
    widest = np.maximum(along[:, -1], 0.0)
    deviations = np.sqrt(widest / np.maximum(weights, np.finfo(np.float64).tiny))
    return costs, _UNIFORM_GAIN * widest, _HALF * deviations[:, np.newaxis] * axes[:, :, -1]


def _nearest_clusters(means: FloatArray) -> list[list[int]]:
    """Return the `_MIN_DISTANCE` clusters whose means are nearest to each of `means` (K, d)."""
    squares = squared_distances(means, means)
    np.fill_diagonal(squares, np.inf)
    n = min(_MIN_DISTANCE, len(means) - 1)
    nearest: list[list[int]] = squares.argpartition(n - 1, axis=1)[:, :n].tolist()
    return nearest


def _pairs(costs: FloatArray, gains: FloatArray, neighbours: list[list[int]]) -> tuple[IndexArray, IndexArray]:
    """Pair the cheapest centers with the clusters that gain the most, while the gain is higher, none near another."""
    by_gain = np.argsort(-gains, kind="stable").tolist()
    taken: set[int] = set()
    pairs = []
    for removed in np.argsort(costs, kind="stable").tolist():
        if removed in taken:
            continue
        near = taken.union(neighbours[removed], [removed])
        split = next((cluster for cluster in by_gain if cluster not in near), None)
        if split is None or gains[split] <= costs[removed]:
            break
        pairs.append((removed, split))
        taken = near.union(neighbours[split], [split])
    chosen = np.array(pairs, dtype=np.intp).reshape(-1, 2)
    return chosen[:, 0], chosen[:, 1]
