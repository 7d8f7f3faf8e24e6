"""Split and merge: a mixture at a local optimum becomes a better one of as many components.

Components whose cells two Gaussians describe better are split, and EM goes on with the additional ones. Then the two
components that lose least by it are merged, and EM goes on, until there are as many as before. The result is kept if
its objective J is higher. This is the SMEM algorithm (Ueda, Nakano, Ghahramani and Hinton, "SMEM algorithm for mixture
models", 2000), but the splits come first, so that EM shows which components have become superfluous.

What a split gains is the J of two parts that EM fits to the cells of the component alone, from several cuts of them
(Verbeek, Vlassis and Krose, "Efficient greedy learning of Gaussian mixture models", 2003). For merges, a component of
weight w and entropy h counts w (log w - h), its share of the mean log-likelihood if each sample belongs to one
component. The pairs that lose least of that are compared by what J loses before any further iteration.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import replace
from functools import partial
from itertools import islice
from typing import NamedTuple

import numpy as np

from gmmquant.models.array_validation import FloatArray
from gmmquant.models.cells import Cells
from gmmquant.models.em import EMFit, em, m_step
from gmmquant.models.gaussian import Gaussians, entropies, natural_parameters
from gmmquant.models.starts import n_rows_for
from gmmquant.models.sweep import LOWEST, exp, exponentials

# Components that are split, and merged, in a round: this part of them, but at least two. With one of 7, a fit ended
# 0.01 nats lower, with two of 20 another 0.006. Rounds of four or one after a round without gain changed little.
_SPLIT_PART, _MIN_SPLITS = 1 / 6, 2

# Pairs of components that are merged and split again, one pair after the other.
_N_MERGES = 6

# Iterations of EM for the parts of a component alone, after the splits, after each merge, and at the end of a round.
_PART_ITERATIONS, _SPLIT_ITERATIONS, _MERGE_ITERATIONS, _MAX_ROUND_ITERATIONS = 4, 5, 3, 30

# A round must gain this much in J, in nats per sample, or the search ends.
MIN_GAIN_NATS = 3e-4

# The cells of a component have at least this responsibility of it, and each part at least this share of their weight.
_MIN_RESPONSIBILITY, _MIN_SHARE = 1e-3, 1e-3

# A component of at most this weight is removed instead of a merge.
_MIN_WEIGHT = 1e-12

# Columns of a matrix product: the last digits of large ones by BLAS depend on the number of threads.
_COLUMNS = 1024

# Cuts of a component in three features: by planes across an axis of its cells (the longest last) at a distance from the
# mean, and by the squared distance from the mean, both in standard deviations along the axes.
_PLANES = ((2, 0.0), (2, 0.9), (2, -0.9), (1, 0.0), (1, 0.9), (1, -0.9), (0, 0.0))
_SHELLS = (0.4, 1.2, 3.0)


def split_and_merge(
    cells: Cells,
    start: Gaussians,
    *,
    variance: float,
    tol: float,
    max_scores: int,
    n_fixed: int = 0,
    ranking: Cells | None = None,
) -> EMFit:
    """Return the best mixture found from `start` by splits and merges, before EM has taken about `max_scores` scores.

    Splits and merges are chosen on the cells `ranking`, which may be coarser. The first `n_fixed` components are
    neither split nor merged, and their means stay. The course of the result is its objective alone.
    """
    improve = partial(em, cells, variance=variance, tol=tol, accelerated=True, n_fixed=n_fixed)
    best = improve(start, max_iter=_MAX_ROUND_ITERATIONS)
    is_better, n_scores = len(start.weights) - n_fixed > 1, 0
    while is_better and n_scores < max_scores:
        is_better = False
        for fit in _tries(best.gaussians, improve, ranking or cells, variance, n_fixed):
            n_scores += fit.n_iter * cells.weights.size * len(start.weights)
            is_better = fit.trace[-1] > best.trace[-1] + MIN_GAIN_NATS
            if is_better or n_scores >= max_scores:
                break
        best = fit if is_better else best
    return replace(best, trace=best.trace[-1:], n_cells=best.n_cells[-1:], n_iter=0)


def _tries(
    gaussians: Gaussians, improve: Callable[..., EMFit], cells: Cells, variance: float, n_fixed: int
) -> Iterator[EMFit]:
    """Yield fits that follow from changes of a mixture: splits and as many merges, then a merge that is split again.

    `improve` runs EM, and splits and merges are chosen on `cells`. A result counts the iterations since the last one.
    """
    K = len(gaussians.weights)
    splits = sorted(_splits(cells, gaussians, variance, range(n_fixed, K)), key=lambda split: -split.gain)
    n_splits = max(int(_SPLIT_PART * K), _MIN_SPLITS)
    fit = improve(_with_splits(gaussians, splits[:n_splits]), max_iter=_SPLIT_ITERATIONS)
    n_iter = fit.n_iter
    while len(fit.gaussians.weights) > K:
        merge = next(_merges(cells, fit.gaussians, variance, n_fixed))
        fit = improve(merge.gaussians, max_iter=_MERGE_ITERATIONS)
        n_iter += fit.n_iter
    fit = improve(fit.gaussians, max_iter=_MAX_ROUND_ITERATIONS)
    yield replace(fit, n_iter=n_iter + fit.n_iter)
    for merge in islice(_merges(cells, gaussians, variance, n_fixed), _N_MERGES):
        again = list(_splits(cells, merge.gaussians, variance, [merge.kept]) if merge.kept != merge.lost else ())
        if again:
            yield improve(_with_splits(merge.gaussians, again), max_iter=_MAX_ROUND_ITERATIONS)


class _Split(NamedTuple):
    """A component's index, its two parts, whose weights sum to 1, and what its samples together gain by them in J."""

    component: int
    parts: Gaussians
    gain: float


class _Merge(NamedTuple):
    """The mixture with component `lost` merged into `kept`, an earlier one, or without it if both are the same."""

    gaussians: Gaussians
    kept: int
    lost: int


def _with_splits(gaussians: Gaussians, splits: Sequence[_Split]) -> Gaussians:
    """Return the mixture with the parts of each split instead of its component; the second parts are the last ones."""
    weights, means, covariances = gaussians.weights.copy(), gaussians.means.copy(), gaussians.covariances.copy()
    added = []
    for component, parts, _ in splits:
        added.append(Gaussians(weights[component] * parts.weights[1:], parts.means[1:], parts.covariances[1:]))
        weights[component] *= parts.weights[0]
        means[component], covariances[component] = parts.means[0], parts.covariances[0]
    return Gaussians(
        np.concatenate([weights, *(part.weights for part in added)]),
        np.concatenate([means, *(part.means for part in added)]),
        np.concatenate([covariances, *(part.covariances for part in added)]),
        gaussians.covariance_type,
    )


def _splits(cells: Cells, gaussians: Gaussians, variance: float, components: Iterable[int]) -> Iterator[_Split]:
    """Yield the best split of each of `components` that has one."""
    responsibilities, _, _ = _responsibilities(cells, gaussians, variance)
    for j in components:
        own = _cells_of(cells, responsibilities[j])
        if own.weights.size < 2:
            continue
        moments = _moments_of_parts(own, n_rows_for(own, gaussians.covariance_type), variance)
        if len(moments):
            whole = m_step(moments[:1].sum(axis=1), own.origin, variance, gaussians)
            parts, objective = _fit_parts(own, moments, variance, gaussians)
            gain = own.total_weight * (objective + float(entropies(whole)[0]))
            yield _Split(j, parts, gain)


def _fit_parts(cells: Cells, moments: FloatArray, variance: float, previous: Gaussians) -> tuple[Gaussians, float]:
    """Run EM from each pair of parts with `moments` (n_pairs, 2, F); return the best pair and its objective J.

    All pairs are fitted at once. `previous` has their covariance type.
    """
    n_pairs, _, n_rows = moments.shape
    phi, first_parts = cells.features(slice(None), n_rows), moments.swapaxes(0, 1).reshape(-1, n_rows)
    parts = m_step(first_parts, cells.origin, variance, previous)
    for n_iter in range(_PART_ITERATIONS + 1):
        # The weights of an M-step sum to 1 over all pairs.
        pairs = Gaussians(n_pairs * parts.weights, parts.means, parts.covariances, parts.covariance_type)
        scores = _scores(natural_parameters(pairs, cells.origin, variance), phi).reshape(2, -1)
        log_densities, normalizer = exponentials(scores)
        if n_iter < _PART_ITERATIONS:
            scores /= normalizer
            weighted = scores.reshape(2 * n_pairs, -1) * cells.weights
            parts = m_step(_products(weighted, phi), cells.origin, variance, pairs)
    objectives = np.add.reduce(log_densities.reshape(n_pairs, -1) * cells.weights, axis=1) / cells.total_weight
    best = int(objectives.argmax())
    return pairs.taken(np.array([best, n_pairs + best])), float(objectives[best])


def _cells_of(cells: Cells, responsibilities: FloatArray) -> Cells:
    """Return the cells of a component, weighted by its `responsibilities` (n_cells,)."""
    inside = np.flatnonzero(responsibilities > _MIN_RESPONSIBILITY)
    scatter = None if cells.scatter is None else cells.scatter[:, inside]
    return Cells(cells.weights[inside] * responsibilities[inside], cells.offsets[:, inside], scatter, cells.origin)


def _moments_of_parts(cells: Cells, n_rows: int, variance: float) -> FloatArray:
    """Return the moments (n_cuts, 2, F) of the two parts of `cells` by each of the cuts that leave enough in both."""
    share = cells.weights / cells.total_weight
    centered = cells.offsets - np.add.reduce(cells.offsets * share, axis=1)[:, np.newaxis]
    variances, axes = np.linalg.eigh(_products(centered * share, centered))
    along = axes.T @ centered
    along /= np.sqrt(np.maximum(variances, 0.0) + variance)[:, np.newaxis]
    squares = (along * along).sum(axis=0)
    inside = [along[axis] > limit for axis, limit in _PLANES] + [squares < limit for limit in _SHELLS]
    weighted = cells.features(slice(None), n_rows) * cells.weights
    first = _products(np.array(inside, dtype=np.float64), weighted)
    both = np.stack([first, weighted.sum(axis=1) - first], axis=1)
    enough = both[:, :, 0].min(axis=1) > _MIN_SHARE * cells.total_weight
    return np.asarray(both[enough])


def _merges(cells: Cells, gaussians: Gaussians, variance: float, n_fixed: int) -> Iterator[_Merge]:
    """Yield merges of two components, those first that lose least, or the loss of a component without weight."""
    K = len(gaussians.weights)
    responsibilities, log_densities, phi = _responsibilities(cells, gaussians, variance)
    moments = _products(responsibilities * cells.weights, phi)
    lightest = n_fixed + int(moments[n_fixed:, 0].argmin())
    if moments[lightest, 0] <= _MIN_WEIGHT * cells.total_weight:
        yield _Merge(_without(gaussians, lightest), lightest, lightest)
        return
    first, second = np.triu_indices(K - n_fixed, 1) + np.array(n_fixed)
    pairs = moments[first] + moments[second]
    alone = _contributions(moments, m_step(moments, cells.origin, variance, gaussians))
    together = m_step(pairs, cells.origin, variance, gaussians)
    losses = alone[first] + alone[second] - _contributions(pairs, together)
    likely = np.argsort(losses, kind="stable")[:K]
    first, second = first[likely], second[likely]
    merged = together.taken(likely)
    merged = Gaussians(pairs[likely, 0] / cells.total_weight, merged.means, merged.covariances, merged.covariance_type)
    # What the density of each cell is multiplied by.
    factors = _scores(natural_parameters(merged, cells.origin, variance), phi) - log_densities
    exp(np.clip(factors, LOWEST, -LOWEST, out=factors), factors)
    factors += np.maximum(1 - responsibilities[first] - responsibilities[second], 0.0)
    losses = -np.add.reduce(np.log(factors) * cells.weights, axis=1)
    for pair in np.argsort(losses, kind="stable").tolist():
        kept, lost = int(first[pair]), int(second[pair])
        weights, means, covariances = gaussians.weights.copy(), gaussians.means.copy(), gaussians.covariances.copy()
        weights[kept], means[kept] = merged.weights[pair], merged.means[pair]
        covariances[kept] = merged.covariances[pair]
        mixture = Gaussians(weights, means, covariances, gaussians.covariance_type)
        yield _Merge(_without(mixture, lost), kept, lost)


def _without(gaussians: Gaussians, component: int) -> Gaussians:
    """Return the mixture without one of its components."""
    kept = gaussians.taken(np.delete(np.arange(len(gaussians.weights)), component))
    return Gaussians(kept.weights / kept.weights.sum(), kept.means, kept.covariances, kept.covariance_type)


def _contributions(moments: FloatArray, gaussians: Gaussians) -> FloatArray:
    """Return w (log w - entropy) of components with these moments (n, F), of which `gaussians` were made, (n,)."""
    weights = moments[:, 0]
    return weights * (np.log(weights) - entropies(gaussians))


def _scores(theta: FloatArray, phi: FloatArray) -> FloatArray:
    """Return theta (K, F) @ phi (F, n), by few columns as in `_products`."""
    scores = np.empty((len(theta), phi.shape[1]))
    for start in range(0, phi.shape[1], _COLUMNS):
        np.matmul(theta, phi[:, start : start + _COLUMNS], out=scores[:, start : start + _COLUMNS])
    return scores


def _products(rows: FloatArray, others: FloatArray) -> FloatArray:
    """Return `rows` (m, n) @ `others` (F, n)^T by columns so few that BLAS does not share them out among threads."""
    starts = range(0, rows.shape[1], _COLUMNS)
    parts = [rows[:, start : start + _COLUMNS] @ others[:, start : start + _COLUMNS].T for start in starts]
    return np.asarray(np.add.reduce(parts))


def _responsibilities(cells: Cells, gaussians: Gaussians, variance: float) -> tuple[FloatArray, FloatArray, FloatArray]:
    """Return the responsibilities (K, n_cells), the log densities (n_cells,), and the features (F, n_cells)."""
    theta = natural_parameters(gaussians, cells.origin, variance)
    phi = cells.features(slice(None), theta.shape[1])
    scores = _scores(theta, phi)
    log_densities, normalizer = exponentials(scores)
    scores /= normalizer
    return scores, log_densities, phi
