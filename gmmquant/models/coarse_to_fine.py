"""Coarse to fine: a mixture is fitted to a few large cells first, then to ever smaller ones.

A cell carries the scatter of what it stands for, so the objective J on coarse cells is a lower bound of J on finer ones
and rises from level to level as it rises within one. Most iterations run where they cost least, and so do the starts of
which the best is kept: one at the coarsest level is a thousand times cheaper than one on the colours of a large
photograph. (Verbeek, Nunnink and Vlassis, "Accelerated EM-based clustering of large data sets", 2006.)
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial

import numpy as np

from gmmquant.models import budget
from gmmquant.models.cells import Cells
from gmmquant.models.convergence import tol_at_level
from gmmquant.models.covariance import CovarianceType
from gmmquant.models.em import EMFit, Watcher, best_trial, em, watch_after, watch_nothing
from gmmquant.models.gaussian import Gaussians
from gmmquant.models.starts import make_start


@dataclass(frozen=True)
class Descent:
    """The result of a fit from coarse to fine.

    Attributes
    ----------
    gaussians : Gaussians
        The mixture at the finest level.
    trace : tuple of float
        J at the start of each level and after each iteration.
    n_cells : tuple of int
        Number of cells of the level that each value of `trace` was computed on.
    n_iter : int
        Iterations at all levels together.
    converged : bool
        Whether the finest level that was iterated on converged.
    """

    gaussians: Gaussians
    trace: tuple[float, ...]
    n_cells: tuple[int, ...]
    n_iter: int
    converged: bool


def levels_for(levels: Sequence[Cells], n_components: int, *, bounded: bool) -> list[Cells]:
    """Return those of `levels`, the coarsest first, that a fit of `n_components` goes through.

    The first has `MIN_CELLS_PER_COMPONENT` cells per component, or is the finest. If the work is `bounded`, a sweep
    over the first stays within `MAX_STARTING_SWEEP_SCORES`, even if it has fewer cells for that, and two iterations on
    any other within `MAX_LEVEL_SCORES`.
    """
    enough = [cells for cells in levels if cells.weights.size >= n_components] or [levels[-1]]
    if not bounded:
        return _from_the_first_with_room(enough, n_components)
    max_first = budget.MAX_STARTING_SWEEP_SCORES // n_components
    affordable = [cells for cells in enough if cells.weights.size <= max_first] or enough[:1]
    first, *others = _from_the_first_with_room(affordable, n_components)
    max_cells = min(budget.MAX_FINER_CELLS, budget.MAX_LEVEL_SCORES // (2 * n_components))
    return [first, *(cells for cells in others if cells.weights.size <= max_cells)]


def _from_the_first_with_room(levels: Sequence[Cells], n_components: int) -> list[Cells]:
    roomy = [cells for cells in levels if cells.weights.size >= budget.MIN_CELLS_PER_COMPONENT * n_components]
    return roomy or [levels[-1]]


def best_start(
    levels: Sequence[Cells],
    n_components: int,
    *,
    init: str,
    restarts: int,
    rng: np.random.Generator,
    covariance_type: CovarianceType,
    variance: float,
    tol: float,
    max_iter: int | None,
) -> EMFit:
    """Try `restarts` starts at the coarsest of `levels` for a few iterations; return the one with the highest J.

    Fewer are tried where seeding them would exceed `MAX_SEEDING_SCORES`.
    """
    cells = levels[0]
    n_scores = cells.weights.size * n_components
    kmeans_max_iter = max(budget.MAX_START_KMEANS_SCORES // n_scores, 1)
    starts = [
        make_start(cells, n_components, init, rng, variance, covariance_type, budget.START_KMEANS_TOL, kmeans_max_iter)
        for _ in range(min(restarts, max(budget.MAX_SEEDING_SCORES // n_scores, 1)))
    ]
    max_trial = min(budget.MAX_TRIAL_ITERATIONS, max(budget.MAX_TRIAL_SCORES // n_scores, 1))
    max_iter = max_trial if max_iter is None else min(max_iter, max_trial)
    return best_trial(
        cells, starts, variance=variance, tol=_tol_at(cells, levels, tol, n_components), max_iter=max_iter
    )


def descend(
    levels: Sequence[Cells],
    start: EMFit,
    *,
    variance: float,
    tol: float,
    max_iter: int | None,
    means_fixed: bool = False,
    watch: Watcher = watch_nothing,
) -> Descent:
    """Refine `start`, which was fitted at the first of `levels`, at each of them in turn, the finest last.

    At each level EM runs until it has converged (see `tol_at_level`). It runs `max_iter` iterations in all, and at any
    level but the last at most half of those that remain. If `max_iter` is None, `MAX_ITERATIONS` and, at each level,
    `MAX_LEVEL_SCORES` are the limits. With `means_fixed` the means of `start` stay.
    """
    K = len(start.gaussians.weights)
    limit = budget.MAX_ITERATIONS if max_iter is None else max_iter
    fit, trace, n_cells, n_iter = start, [*start.trace[:-1]], [levels[0].weights.size] * start.n_iter, start.n_iter
    for cells in levels:
        size, remaining = cells.weights.size, limit - n_iter
        level_max_iter = remaining if cells is levels[-1] else (remaining + 1) // 2
        if max_iter is None:
            level_max_iter = min(level_max_iter, budget.MAX_LEVEL_SCORES // (size * K))
        fit = em(
            cells,
            fit.gaussians,
            variance=variance,
            tol=_tol_at(cells, levels, tol, K),
            max_iter=level_max_iter,
            accelerated=True,
            means_fixed=means_fixed,
            watch=partial(watch_after, watch, n_iter),
        )
        trace += fit.trace
        n_cells += [size] * len(fit.trace)
        n_iter += fit.n_iter
    return Descent(fit.gaussians, tuple(trace), tuple(n_cells), n_iter, fit.converged)


def _tol_at(cells: Cells, levels: Sequence[Cells], tol: float, n_components: int) -> float:
    return tol_at_level(tol, cells.weights.size, levels[-1].weights.size, n_components)
