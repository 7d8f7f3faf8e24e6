"""A number of colours that suits an image: fits along a path of k to coarse cells, and the choice by their ICL.

On cells of a few bits the ICL has its minimum at numbers of colours that a person tells apart, and a fit takes
milliseconds. How steady that is: docs/choosing-k.md.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from gmmquant.colors.spaces import COLOR_SPACES, SRGB, ColorSpace
from gmmquant.models.cells import Cells
from gmmquant.models.covariance import COVARIANCE_TYPES
from gmmquant.models.em import best, em, make_start
from gmmquant.models.inference import evaluate
from gmmquant.models.selection import Choice, Criteria, aic, bic, choose, icl, n_parameters
from gmmquant.settings import Settings

if TYPE_CHECKING:
    from gmmquant.colors.color_sum import Colors

# Numbers of colours that are tried, and how.
AUTO_PATH = (1, 2, 4, 8, 12, 16, 24, 32, 48, 64)
_BITS = 5
_CELLS = 400
_RESTARTS = 3
_TOL = 1e-4
_MAX_ITER = 300


def choose_k(colors: Colors, settings: Settings) -> Choice:
    """Choose a number of colours by ICL, from fits along `AUTO_PATH` to coarse cells: see `coarse_cells`."""
    cells = coarse_cells(colors, COLOR_SPACES[settings.space])
    n_cells = cells.weights.size
    if n_cells == 1:
        return choose([_criteria(colors, settings, cells, 1)])
    # Of a few colours each may be a component, and the next k shows that one more is charged for and gains nothing.
    ks = sorted({*(k for k in AUTO_PATH if k < n_cells), *(k for k in (n_cells,) if k < AUTO_PATH[-1])})
    ks += [k for k in AUTO_PATH if k > n_cells][:1]
    return choose([_criteria(colors, settings, cells, k) for k in ks])


def _criteria(colors: Colors, settings: Settings, cells: Cells, k: int) -> Criteria:
    """Fit `k` components, as many of them as there are cells, and return the criteria for all k."""
    covariance_type = COVARIANCE_TYPES[settings.covariance]
    variance = 1 / (12 * colors.largest**2)  # of an interval: the criteria were tried with it
    if settings.space != SRGB.name:
        variance = 0.0
    rng = np.random.default_rng(settings.seed)
    n_components = min(k, cells.weights.size)
    starts = [make_start(cells, n_components, settings.init, rng, variance, covariance_type) for _ in range(_RESTARTS)]
    fit = best(em(cells, start, variance=variance, tol=_TOL, max_iter=_MAX_ITER) for start in starts)
    evaluation, n = evaluate(cells, fit.gaussians), n_parameters(k, 3, covariance_type)
    total, n_pixels = evaluation.log_likelihood, colors.n_pixels
    return Criteria(k, aic(total, n), bic(total, n, n_pixels), icl(total, n, n_pixels, evaluation.entropy))


def coarse_cells(colors: Colors, space: ColorSpace = SRGB) -> Cells:
    """Return the colours in cells of 5 bits a channel, or of as many more as it takes to have a few hundred of them.

    Images of low contrast need more bits; those of few colours are taken as they are. The cells stand in the order of
    red, then green, then blue, which decides what chance draws.
    """
    tree, cells = colors.tree, colors.cells(space)
    bits, starts = tree.bit_depth, np.arange(tree.n_colors)
    if tree.n_colors > AUTO_PATH[-1]:
        for fewer in range(_BITS, tree.bit_depth):
            cubes = tree.cubes(fewer)
            if cubes.size >= _CELLS:
                bits, starts, cells = fewer, cubes, cells.merged(cubes)
                break
    red, green, blue = tree.channels[:, starts] >> (tree.bit_depth - bits)
    order = np.lexsort([blue, green, red])
    scatter = None if cells.scatter is None else cells.scatter[:, order]
    return Cells(cells.weights[order], cells.offsets[:, order], scatter, cells.origin)
