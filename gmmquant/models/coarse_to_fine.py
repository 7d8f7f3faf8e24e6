"""Coarse to fine: a mixture is fitted to a few large cells first, then to ever smaller ones.

A cell carries the scatter of what it stands for, so the objective J of coarse cells is a lower bound of that of finer
ones: J rises from level to level as it rises within one. Most iterations are run where they cost least, and so are the
starts of which the best is kept: a start at the coarsest level is a thousand times cheaper than one on the colours of a
large photograph. (Verbeek, Nunnink and Vlassis, "Accelerated EM-based clustering of large data sets", 2006.)
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial

import numpy as np

from gmmquant.models.cells import Cells
from gmmquant.models.covariance import CovarianceType
from gmmquant.models.em import EMFit, Watcher, best, em, make_start, race, watch_nothing, watch_on
from gmmquant.models.gaussian import Gaussians

# Iterations of a trial start, and the tolerance of its KMeans.
TRIAL_ITERATIONS = 12
KMEANS_TOL = 1e-3

# The least tolerance of EM at a coarse level, the scores of an iteration that is dear, and as how many scores all else
# in an iteration counts: see `_tol_at`. Of few cells it is most of it, 100 to 150 microseconds.
_LEAST_TOL = 1e-6
_DEAR = 1_200_000
_BESIDES = 30_000

# Cells of the level that a fit starts at, for each component at least.
_CELLS_A_COMPONENT = 8

# Scores that are computed at most where nobody says how many iterations there should be, each some 4 ns if it is near:
# in all at a level, by KMeans and by EM from a trial start, and in one sweep over the level of the starts. And cells
# that are iterated on at most: two sweeps over 940,000 took 95 ms and gained 0.00006 nats.
_WORK = 128_000_000
_KMEANS_WORK = 64_000_000
_TRIAL_WORK = 4_000_000
_STARTING_WORK = 256_000_000
_MOST_CELLS = 400_000

# Most scores of starts that are tried side by side. Of more, the scores cost more than the calls of numpy for them.
_TOGETHER = 65_536

# Products of cells and components that seeding may go through, for all starts together: thousands of components take a
# minute to seed, and get one start.
_SEEDING_WORK = 8_000_000

# Iterations at all levels together, where nobody says how many.
_MAX_ITER = 500


@dataclass(frozen=True)
class Descent:
    """What a fit from coarse to fine ends with.

    Attributes
    ----------
    gaussians : Gaussians
        The mixture at the finest level.
    trace : tuple of float
        J at the start of each level and after each iteration.
    n_cells : tuple of int
        Number of cells of the level that each value of `trace` was taken on.
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

    The first has eight cells a component, or is the finest. If the work is `bounded`, no sweep over the first is beyond
    `_STARTING_WORK`, even if it has fewer cells for that, and two iterations at any other are within `_WORK`.
    """
    enough = [cells for cells in levels if cells.weights.size >= n_components] or [levels[-1]]
    if not bounded:
        return _from_the_first_with_room(enough, n_components)
    first, *others = _from_the_first_with_room(
        [cells for cells in enough if cells.weights.size * n_components <= _STARTING_WORK] or enough[:1], n_components
    )
    return [
        first,
        *(
            cells
            for cells in others
            if cells.weights.size <= _MOST_CELLS and 2 * cells.weights.size * n_components <= _WORK
        ),
    ]


def _from_the_first_with_room(levels: Sequence[Cells], n_components: int) -> list[Cells]:
    roomy = [cells for cells in levels if cells.weights.size >= _CELLS_A_COMPONENT * n_components]
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

    Fewer are tried where seeding alone would be too much work (`_SEEDING_WORK`); those of few scores, side by side.
    """
    cells = levels[0]
    scores = cells.weights.size * n_components
    restarts = min(restarts, max(_SEEDING_WORK // scores, 1))
    kmeans_max_iter = max(_KMEANS_WORK // scores, 1)
    tol = _tol_at(cells, levels, tol, n_components)
    max_iter = min(max_iter or _MAX_ITER, TRIAL_ITERATIONS, max(_TRIAL_WORK // scores, 1))
    together = max(_TOGETHER // scores, 1)
    stacks = ((min(together, restarts - first),) for first in range(0, restarts, together))
    starts = (
        make_start(cells, n_components, init, rng, variance, covariance_type, KMEANS_TOL, kmeans_max_iter, stack)
        for stack in stacks
    )
    return best(race(cells, stack, variance=variance, tol=tol, max_iter=max_iter) for stack in starts)


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
    """Refine `start`, which was made at the first of `levels`, at each of them in turn, the finest last.

    At each level EM runs until an iteration gains too little for what it costs (`_tol_at`). In all it runs `max_iter`
    iterations at most, of what is left at most half at any level but the last. Where that is None, it is `_MAX_ITER`,
    and no more than `_WORK` scores are computed at a level. With `means_fixed` the means of `start` stay.
    """
    K = len(start.gaussians.weights)
    bounded, limit = max_iter is None, max_iter or _MAX_ITER
    fit, trace, n_cells, n_iter = start, [*start.trace[:-1]], [levels[0].weights.size] * start.n_iter, start.n_iter
    for cells in levels:
        left = limit - n_iter
        share = left if cells is levels[-1] else (left + 1) // 2
        fit = em(
            cells,
            fit.gaussians,
            variance=variance,
            tol=_tol_at(cells, levels, tol, K),
            max_iter=min(share, _WORK // (cells.weights.size * K)) if bounded else share,
            accelerated=True,
            means_fixed=means_fixed,
            watch=partial(watch_on, watch, n_iter),
        )
        trace += fit.trace
        n_cells += [cells.weights.size] * len(fit.trace)
        n_iter += fit.n_iter
    return Descent(fit.gaussians, tuple(trace), tuple(n_cells), n_iter, fit.converged)


def _tol_at(cells: Cells, levels: Sequence[Cells], tol: float, n_components: int) -> float:
    """Return the tolerance at a level: `tol` at the finest, at others as much less as an iteration costs less.

    It costs less than one at the finest level, or than one of `_DEAR` scores, whichever is less. But it is never so
    small at a coarse level that all iterations would be spent there.
    """
    if cells is levels[-1]:
        return tol
    cost, finest = (_BESIDES + each.weights.size * n_components for each in (cells, levels[-1]))
    return max(tol * min(1.0, cost / min(finest, _DEAR)), _LEAST_TOL)
