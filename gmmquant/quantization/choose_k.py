"""A number of colours that suits an image: fits along a path of k to coarse cells, and the choice by their ICL.

On cells of a few bits the ICL has its minimum at numbers of colours that a person can distinguish, and a fit takes
milliseconds. docs/choosing-k.md shows how stable the choice is.
"""

from __future__ import annotations

from dataclasses import replace

from gmmquant.colors.color_sum import Colors
from gmmquant.models.cells import Cells
from gmmquant.models.convergence import DEFAULT_TOL_NATS
from gmmquant.models.inference import evaluate
from gmmquant.models.selection import KEPT_GAIN, KEPT_GAIN_SHRUNKEN, Choice, Criteria, choose, n_parameters
from gmmquant.quantization.fitter import Fitter

# Numbers of colours that are tried.
AUTO_PATH = (1, 2, 4, 8, 12, 16, 24, 32, 48, 64)

# Cubes of the coarse cells: at least _BITS per channel, and at least _MIN_CELLS of them.
_BITS, _MIN_CELLS = 5, 400


def choose_k(fitter: Fitter) -> Choice:
    """Choose a number of colours by ICL, from fits along `AUTO_PATH` to coarse cells: see `coarse_cells`.

    Without a visible pixel it is 0.
    """
    if fitter.colors.n_colors == 0:
        return Choice(0, ())
    cells, n_kept = coarse_cells(fitter.colors, fitter.cells), len(fitter.kept_colors)
    n_cells = cells.weights.size
    if n_cells == 1:
        return choose([_criteria(fitter, cells, max(n_kept, 1))])
    # With few colours each may be a component. The next k shows that one more costs parameters and gains nothing.
    ks = sorted({*(k for k in AUTO_PATH if k < n_cells), *(k for k in (n_cells,) if k < AUTO_PATH[-1])})
    ks += [k for k in AUTO_PATH if k > n_cells][:1]
    others = [k for k in ks if k > max(n_kept, 1)] or [n_kept]
    # One free component is the reference of the gain, also with kept colours: about one that is not in the image, any
    # second one gains nearly all.
    free = Fitter(fitter.colors, replace(fitter.settings, keep_colors=()))
    kept_gain = KEPT_GAIN_SHRUNKEN if fitter.shrinkage else KEPT_GAIN
    path = [_criteria(free, cells, 1), *(_criteria(fitter, cells, k) for k in others)]
    return choose(path, kept_gain, range(max(n_kept, 1), n_cells + 1))


def _criteria(fitter: Fitter, cells: Cells, k: int) -> Criteria:
    """Fit k components, but not more free ones than cells, as any other fit; return the criteria for k components."""
    n_kept = len(fitter.kept_colors)
    K = max(min(k, cells.weights.size), n_kept)
    fit, _ = fitter.fit_mixture([cells], K, DEFAULT_TOL_NATS, max_iter=None)
    sums, free = evaluate(cells, fit.gaussians), n_parameters(k, 3, fitter.covariance_type) - 3 * n_kept
    return Criteria.of(k, sums.log_likelihood, sums.entropy, free, fitter.colors.total_weight)


def coarse_cells(colors: Colors, cells: Cells) -> Cells:
    """Return the `cells` of `colors`, in cubes of 5 bits per channel, or of more bits if that gives fewer than 400.

    Images of low contrast need more bits. The colours of an image of few colours are returned unchanged.
    """
    tree = colors.tree
    if tree.n_colors > AUTO_PATH[-1]:
        for bits in range(_BITS, tree.bit_depth):
            cubes = tree.cubes(bits)
            if cubes.size >= _MIN_CELLS:
                return cells.merged(cubes)
    return cells
