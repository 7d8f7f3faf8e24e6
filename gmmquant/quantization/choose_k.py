"""A number of colours that suits an image: fits along a path of k to coarse cells, and the choice by their ICL.

On cells of a few bits the ICL has its minimum at numbers of colours that a person can tell apart, and a fit takes
milliseconds. docs/choosing-k.md shows how steady the choice is.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from gmmquant.colors.spaces import COLOR_SPACES, SRGB, ColorSpace
from gmmquant.models.cells import Cells
from gmmquant.models.coarse_to_fine import best_start, descend
from gmmquant.models.convergence import DEFAULT_TOL_NATS
from gmmquant.models.covariance import COVARIANCE_TYPES
from gmmquant.models.inference import evaluate
from gmmquant.models.selection import Choice, Criteria, aic, bic, choose, icl, n_parameters
from gmmquant.settings import Settings

if TYPE_CHECKING:
    from gmmquant.colors.color_sum import Colors

# Numbers of colours that are tried.
AUTO_PATH = (1, 2, 4, 8, 12, 16, 24, 32, 48, 64)

# Cubes of the coarse cells: at least _BITS per channel, and at least _MIN_CELLS of them.
_BITS, _MIN_CELLS = 5, 400


def choose_k(colors: Colors, settings: Settings) -> Choice:
    """Choose a number of colours by ICL, from fits along `AUTO_PATH` to coarse cells: see `coarse_cells`."""
    cells = coarse_cells(colors, COLOR_SPACES[settings.space])
    n_cells = cells.weights.size
    if n_cells == 1:
        return choose([_criteria(colors, settings, cells, 1)])
    # With few colours each may be a component. The next k shows that one more costs parameters and gains nothing.
    ks = sorted({*(k for k in AUTO_PATH if k < n_cells), *(k for k in (n_cells,) if k < AUTO_PATH[-1])})
    ks += [k for k in AUTO_PATH if k > n_cells][:1]
    return choose([_criteria(colors, settings, cells, k) for k in ks])


def _criteria(colors: Colors, settings: Settings, cells: Cells, k: int) -> Criteria:
    """Fit min(k, number of cells) components as any other fit to `cells`; return the criteria for k components."""
    covariance_type = COVARIANCE_TYPES[settings.covariance]
    variance = colors.variance_in(COLOR_SPACES[settings.space])
    start = best_start(
        [cells],
        min(k, cells.weights.size),
        init=settings.init,
        restarts=settings.restarts,
        rng=np.random.default_rng(settings.seed),
        covariance_type=covariance_type,
        variance=variance,
        tol=DEFAULT_TOL_NATS,
        max_iter=None,
    )
    fit = descend([cells], start, variance=variance, tol=DEFAULT_TOL_NATS, max_iter=None)
    evaluation, n = evaluate(cells, fit.gaussians), n_parameters(k, 3, covariance_type)
    total, n_pixels = evaluation.log_likelihood, colors.n_pixels
    return Criteria(k, aic(total, n), bic(total, n, n_pixels), icl(total, n, n_pixels, evaluation.entropy))


def coarse_cells(colors: Colors, space: ColorSpace = SRGB) -> Cells:
    """Return the colours in cubes of 5 bits per channel, or of more bits if that gives fewer than 400 cubes.

    Images of low contrast need more bits. The colours of an image of few colours are returned as they are.
    """
    tree, cells = colors.tree, colors.cells(space)
    if tree.n_colors > AUTO_PATH[-1]:
        for bits in range(_BITS, tree.bit_depth):
            cubes = tree.cubes(bits)
            if cubes.size >= _MIN_CELLS:
                return cells.merged(cubes)
    return cells
