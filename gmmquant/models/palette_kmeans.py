"""KMeans for palettes: centers of low squared error, from coarse to fine, after a search on coarse cells.

Lloyd's iterations end in a local optimum near their start, so a search moves centers elsewhere: `palette_trials` for
few clusters, `palette_moves` for many. One start is made by splits, others by greedy k-means++. A cell's scatter counts
as error, so the error falls from level to level as it falls within one.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial

import numpy as np

from gmmquant.models import budget
from gmmquant.models.array_validation import FloatArray
from gmmquant.models.cells import Cells
from gmmquant.models.codebook import Codebook, refine
from gmmquant.models.em import Watcher, watch_after, watch_nothing
from gmmquant.models.kmeans import kmeans_plus_plus
from gmmquant.models.palette_moves import SWEEPS_PER_ROUND, move_centers
from gmmquant.models.palette_starts import merged_splits, principal_splits
from gmmquant.models.palette_trials import search

# A start counts only if it is better than those before by more than this fraction of the error: many end alike.
_MIN_IMPROVEMENT = 1e-4


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
    fixed = np.empty((0, len(levels[0].origin))) if fixed is None else fixed
    many = n_clusters >= budget.MANY_CLUSTERS
    through = partial(_refine_through, tol=tol, max_iter=max_iter, n_fixed=len(fixed), long_steps=many)
    searched, finer = levels[: budget.PALETTE_SEARCH_LEVELS], levels[budget.PALETTE_SEARCH_LEVELS :]
    improve, compared = (_move, searched[-1:]) if many else (_try, searched)
    lowest, fits = np.inf, []
    for number in range(_n_starts(levels, n_clusters, restarts)):
        start = _start(levels[0], n_clusters, fixed, None if number == 0 else rng)
        trial = through(compared, Codebook((), (), 0, False, improve(searched, start, rng, len(fixed))))
        if trial.trace[-1] < (1 - _MIN_IMPROVEMENT) * lowest:
            lowest = trial.trace[-1]
            watch(trial.n_iter, lowest)
            fits.append(through(finer, trial, watch=watch))
    return min(fits, key=lambda fit: fit.trace[-1])


def _n_starts(levels: Sequence[Cells], n_clusters: int, restarts: int) -> int:
    """Return the number of starts: `restarts`, or fewer, but in proportion, where a start takes long."""
    n_scores = levels[: budget.PALETTE_SEARCH_LEVELS][-1].weights.size * n_clusters
    return 1 + (restarts - 1) * budget.MAX_PALETTE_START_SCORES // max(n_scores, budget.MAX_PALETTE_START_SCORES)


def _start(cells: Cells, n_clusters: int, fixed: FloatArray, rng: np.random.Generator | None) -> FloatArray:
    """Return centers by k-means++, or, without `rng`, by splits; the first are those in `fixed` (n_fixed, d)."""
    if rng is not None:
        return kmeans_plus_plus(cells, n_clusters, rng, fixed)
    splits = (merged_splits if n_clusters >= budget.MANY_CLUSTERS else principal_splits)(cells, n_clusters)
    return np.concatenate([fixed, _without_nearest(splits, fixed, n_clusters - len(fixed))])


def _try(levels: Sequence[Cells], centers: FloatArray, rng: np.random.Generator, n_fixed: int) -> FloatArray:
    """Return centers of lower error after trials at each of `levels`."""
    for cells in levels:
        n_trials = budget.MAX_PALETTE_SEARCH_SCORES // (cells.weights.size * len(centers))
        centers = search(cells, centers, rng, min(n_trials, budget.MAX_PALETTE_TRIALS), n_fixed)
    return centers


def _move(levels: Sequence[Cells], centers: FloatArray, rng: np.random.Generator, n_fixed: int) -> FloatArray:
    """Return centers of lower error after rounds of moves at the last of `levels`."""
    n_scores = SWEEPS_PER_ROUND * levels[-1].weights.size * len(centers)
    n_rounds = min(budget.MAX_PALETTE_MOVE_SCORES // n_scores, budget.MAX_PALETTE_ROUNDS)
    return move_centers(levels[-1], centers, rng, n_rounds, n_fixed)


def _refine_through(
    levels: Sequence[Cells],
    fit: Codebook,
    *,
    tol: float,
    max_iter: int | None,
    n_fixed: int,
    long_steps: bool,
    watch: Watcher = watch_nothing,
) -> Codebook:
    """Refine the centers of `fit` at each of `levels`."""
    max_scores = budget.MAX_LONG_STEP_SCORES if long_steps else budget.MAX_PALETTE_LEVEL_SCORES
    for cells in levels:
        affordable = max(max_scores // (cells.weights.size * len(fit.centers)), 1)
        most = min(budget.MAX_PALETTE_LEVEL_ITERATIONS, affordable) if max_iter is None else max_iter - fit.n_iter
        watch_level = partial(watch_after, watch, fit.n_iter)
        level = refine(
            cells, fit.centers, tol=tol, max_iter=most, n_fixed=n_fixed, long_steps=long_steps, watch=watch_level
        )
        fit = level.after(fit)
    return fit


def _without_nearest(centers: FloatArray, fixed: FloatArray, n: int) -> FloatArray:
    """Return `n` of `centers` (K, d), without those nearest to `fixed` (n_fixed, d), which replace them."""
    for mean in fixed[: len(centers) - n]:
        centers = np.delete(centers, ((centers - mean) ** 2).sum(axis=1).argmin(), axis=0)
    return centers
