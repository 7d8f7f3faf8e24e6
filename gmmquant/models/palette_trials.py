"""Moves of centers in trials that are kept or discarded as a whole: the search of KMeans for palettes of few colours.

Centers that are hardly needed are moved into clusters that gain much by a split (Patane and Russo, "The enhanced LBG
algorithm", 2001), many in one trial, chosen at random (as in Franti, "Efficiency of random swap clustering", 2018). A
trial is kept if the error is lower after a few iterations.
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from itertools import islice

import numpy as np

from gmmquant.models import budget
from gmmquant.models.array_validation import FloatArray, IndexArray
from gmmquant.models.cells import Cells
from gmmquant.models.codebook import refine
from gmmquant.models.kmeans import center_scores
from gmmquant.models.palette_starts import means_of_clusters, split_clusters

# A center may move although the split gains a little less than its removal costs: after the iterations that follow, the
# gain is higher and the cost lower. Both are multiplied by random factors exp(z), z being normal with this deviation.
_WORTHWHILE, _RANDOMNESS = 0.7, 0.25


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

    def __init__(self, cells: Cells, centers: FloatArray, n_fixed: int) -> None:
        K = len(centers)
        self.centers, self.n_fixed = centers, n_fixed
        labels, self.costs = costs_of_removal(cells, centers)
        self.costs[:n_fixed] = np.inf
        self.gains, halves = split_clusters(cells, labels, K)
        self.halves = means_of_clusters(cells, halves, 2 * K).reshape(2, K, -1)

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
