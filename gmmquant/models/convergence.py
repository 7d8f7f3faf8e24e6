"""When EM has converged: the rule and its tolerance, a gain of J by one iteration, in nats per sample."""

from __future__ import annotations

# The tolerance of a fit to many pixels. On thirteen photographs no fit gained 0.01 nats by a tolerance of 1e-7.
DEFAULT_TOL_NATS = 1e-4

# The tolerance of a fit to few pixels: half a nat per component, at most 128, divided by the number of pixels. Their
# total log-likelihood varies by half a nat for each parameter by chance (Akaike 1974), and a component has up to ten.
# Without the limits, a fit of two components ended 0.2 nats per pixel lower, and fits to 32 x 32 pixels 0.08.
_TOTAL_NATS_PER_COMPONENT, _MAX_TOTAL_NATS, _MAX_TOL_NATS = 0.5, 128.0, 5e-4

# The smallest tolerance at a coarse level. Below it, all iterations could be spent there.
_MIN_COARSE_TOL_NATS = 1e-6

# The fixed cost of an iteration, in scores: 100 to 150 microseconds of calls, which dominate with few cells. Coarser
# levels stop no later for a finest level on which an iteration costs more than the second number.
_ITERATION_OVERHEAD_SCORES, _COSTLY_ITERATION_SCORES = 30_000, 1_200_000


def is_small_gain(gain: float, tol: float) -> bool:
    """Return whether an iteration that changed J by `gain` ends the fit (with momentum: resets the momentum)."""
    return abs(gain) < tol


def default_tol(n_components: int, n_samples: float) -> float:
    """Return the tolerance of a fit to `n_samples` pixels for which none was set, in nats per pixel."""
    total = min(_TOTAL_NATS_PER_COMPONENT * n_components, _MAX_TOTAL_NATS)
    return min(max(DEFAULT_TOL_NATS, total / n_samples), _MAX_TOL_NATS)


def tol_at_level(tol: float, n_cells: int, n_finest: int, n_components: int) -> float:
    """Return the tolerance on a level of `n_cells`, if `tol` is that on the finest level, of `n_finest` cells.

    On a coarse level an iteration costs less, so it may gain less.
    """
    if n_cells == n_finest:
        return tol
    cost, finest = (_ITERATION_OVERHEAD_SCORES + n * n_components for n in (n_cells, n_finest))
    return max(tol * min(1.0, cost / min(finest, _COSTLY_ITERATION_SCORES)), _MIN_COARSE_TOL_NATS)
