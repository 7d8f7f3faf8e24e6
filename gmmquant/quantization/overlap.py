"""Mixtures whose components overlap, as there are very many, so that most pixels would get one of a few.

Of a grey photograph in 64 colours, components are closer together than the noise is wide: the likelihood gains nothing
from keeping them apart, and one of them is the most probable almost everywhere. With less noise they separate. Where
they still overlap, each pixel gets the nearest colour.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from itertools import chain
from typing import TYPE_CHECKING

from gmmquant.models.sweep import most_probable

if TYPE_CHECKING:
    from gmmquant.models.cells import Cells
    from gmmquant.quantization.fit import Fit

# The squared error of the most probable colours, as a multiple of that of the nearest, above which components overlap.
# Of 13 photographs and their JPEGs it is 1.1 at most in 2 to 32 colours, 1.4 in 128, and in 256 of four images 1.8 to
# 3.5; of these in grey up to 3.6 in 24 colours and up to 670 in 128.
MAX_ERROR_RATIO = 1.5

# Fewer components hardly overlap: of 5 colours or less the ratio is 1.13 at most.
_FEWEST = 8

# Parts of the noise that are tried in turn.
_PARTS = (0.5, 0.25, 0.0625, 0.0)

# Cells of each component, or more, on which errors are compared, which takes a hundredth of the time of a fit.
_CELLS_PER_COMPONENT = 64


def without_overlap(fit: Fit, levels: Sequence[Cells], refit: Callable[[float], Fit]) -> Fit:
    """Return a fit, or the first of those with less noise whose components do not overlap.

    If all overlap, this is the one with the least error, to be drawn by the nearest colours. `refit` fits with a noise
    in levels of 255.
    """
    if fit.k < _FEWEST:
        return fit
    cells = next((cells for cells in levels if cells.weights.size >= _CELLS_PER_COMPONENT * fit.k), levels[-1])
    found: list[tuple[float, int, Fit]] = []
    for each in chain([fit], (refit(part * fit.noise) for part in _PARTS if fit.noise)):
        posterior, nearest = (_error(each, recoloring, cells) for recoloring in ("posterior", "nearest"))
        if posterior <= MAX_ERROR_RATIO * nearest:
            return each
        found.append((nearest, len(found), each))
    return replace(min(found)[-1], recoloring="nearest")


def _error(fit: Fit, recoloring: str, cells: Cells) -> float:
    """Return the squared error of the colours of a fit for the means of cells, in its space."""
    labels = most_probable(fit.scores(recoloring, cells.origin), cells)
    difference = cells.offsets - (fit.centers - cells.origin)[labels].T
    return float((cells.weights * (difference**2).sum(axis=0)).sum())
