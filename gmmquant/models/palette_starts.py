"""Starts of KMeans for palettes: clusters split along their principal axes, and pairs of them merged.

Splits follow Wu, "Efficient statistical computations for optimal color quantization" (1991). To merge the pair that
costs least is Ward's method (1963), in vector quantization that of pairwise nearest neighbours (Equitz, "A new vector
quantization clustering algorithm", 1989). Half as many clusters again as are wanted are made by splits, and merged.
"""

from __future__ import annotations

import numpy as np

from gmmquant.models import budget
from gmmquant.models.array_validation import FloatArray, IndexArray
from gmmquant.models.cells import Cells
from gmmquant.models.kmeans import cluster_moments

_SPLITS_PER_CENTER = 1.5


def principal_splits(cells: Cells, n_clusters: int) -> FloatArray:
    """Return centers (`n_clusters`, or as many as cells if these are fewer) by splits that lower the error the most."""
    return means_of_clusters(cells, *_split_all(cells, n_clusters, 1 / 2))


def merged_splits(cells: Cells, n_clusters: int) -> FloatArray:
    """Return centers (`n_clusters`, or as many as cells if these are fewer) by more splits than that, and merges."""
    n_splits = min(int(_SPLITS_PER_CENTER * n_clusters), budget.MAX_MERGED_CLUSTERS)
    labels, n = _split_all(cells, max(n_splits, n_clusters), 1 / 4)
    if n <= n_clusters:
        return means_of_clusters(cells, labels, n)
    moments = cluster_moments(cells, labels, n, 1 + len(cells.origin))
    return merge_clusters(moments[:, 0], moments[:, 1:] / moments[:, :1], n_clusters) + cells.origin


def merge_clusters(weights: FloatArray, means: FloatArray, n_clusters: int) -> FloatArray:
    """Merge clusters of `weights` (n,) > 0 and `means` (n, d) until `n_clusters` are left; return their means.

    A merge raises the error by w w' / (w + w') times the squared distance of the means. Each is the one that raises it
    the least.
    """
    weights, means, n = weights.copy(), means.copy(), len(weights)
    costs = costs_of_merges(weights, means)
    nearest = costs.argmin(axis=1)
    lowest = costs[np.arange(n), nearest]
    left = np.ones(n, dtype=np.bool_)
    for _ in range(n - n_clusters):
        kept = int(lowest.argmin())
        merged = int(nearest[kept])
        total = weights[kept] + weights[merged]
        means[kept] = (weights[kept] * means[kept] + weights[merged] * means[merged]) / total
        weights[kept], left[merged] = total, False
        row = total * weights / (total + weights) * ((means - means[kept]) ** 2).sum(axis=1)
        row[~left] = row[kept] = np.inf
        costs[merged] = costs[:, merged] = np.inf
        costs[kept] = costs[:, kept] = row
        # To no other cluster the union is nearer than both of its parts were.
        changed = np.flatnonzero(left & ((nearest == kept) | (nearest == merged)))
        nearest[changed] = costs[changed].argmin(axis=1)
        lowest[changed] = costs[changed, nearest[changed]]
        lowest[merged] = np.inf
    return means[left]


def costs_of_merges(weights: FloatArray, means: FloatArray) -> FloatArray:
    """Return the rise of the error, in sums over samples, by a merge of any two clusters, (n, n), infinite with itself.

    `weights` are (n,), `means` (n, d); clusters of weight 0 cost nothing.
    """
    squares = squared_distances(means, means)
    squares *= weights
    squares /= np.maximum(weights[:, np.newaxis] + weights, np.finfo(np.float64).tiny)
    squares *= weights[:, np.newaxis]
    np.fill_diagonal(squares, np.inf)
    return squares


def squared_distances(points: FloatArray, others: FloatArray) -> FloatArray:
    """Return the squared distances between `points` (n, d) and `others` (m, d), shape (n, m)."""
    norms = (points**2).sum(axis=1)[:, np.newaxis] + (others**2).sum(axis=1)
    return np.asarray(np.maximum(norms - 2 * points @ others.T, 0.0))


def _split_all(cells: Cells, n_clusters: int, share: float) -> tuple[IndexArray, int]:
    """Return labels (n_cells,) of clusters by splits, and the number of clusters.

    All clusters that gain at least this `share` of what the best one gains are split at once.
    """
    labels, n = np.zeros(cells.weights.size, dtype=np.intp), 1
    while n < n_clusters:
        gains, halves = split_clusters(cells, labels, n)
        by_gain = np.argsort(-gains, kind="stable")
        chosen = by_gain[gains[by_gain] >= max(share * gains.max(), np.finfo(np.float64).tiny)][: n_clusters - n]
        if not chosen.size:
            break
        numbers = np.tile(np.arange(n), 2)
        numbers[n + chosen] = n + np.arange(chosen.size)
        labels, n = numbers[halves], n + chosen.size
    return labels, n


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
    order = np.argsort((4 * np.abs(along).max() or 1.0) * labels + along)  # by cluster, then along its axis
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


def means_of_clusters(cells: Cells, labels: IndexArray, n_clusters: int) -> FloatArray:
    """Return the mean of each cluster, (n_clusters, d); that of an empty one is the origin."""
    moments = cluster_moments(cells, labels, n_clusters, 1 + len(cells.origin))
    return np.asarray(moments[:, 1:] / np.where(moments[:, :1] > 0, moments[:, :1], 1.0) + cells.origin)
