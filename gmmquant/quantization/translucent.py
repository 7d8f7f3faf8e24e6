"""Fit colour and alpha together, and draw an image in entries of both, as an indexed file has them.

pixels -> distinct pairs of colour and alpha -> points in four dimensions -> KMeans or a mixture -> entries
       -> nearest entry of each pair -> entry of each pixel

Distances are errors composited over black and over white: see `gmmquant.colors.translucent`. Fully transparent pixels
take no part. They have an entry of their own, one of the k.
"""

from __future__ import annotations

from dataclasses import replace
from time import perf_counter
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from gmmquant.colors.histogram import ColorHistogram
from gmmquant.colors.palette import Palette
from gmmquant.colors.translucent import Alphas, TranslucentColors, to_entries, to_points
from gmmquant.errors import ParameterError
from gmmquant.models.array_validation import FloatArray, IndexArray
from gmmquant.models.cells import Cells
from gmmquant.models.coarse_to_fine import levels_for
from gmmquant.models.codebook import refine
from gmmquant.models.em import Course, EMFit, Watcher, watch_nothing
from gmmquant.models.kmeans import center_scores
from gmmquant.models.starts import clusters_of
from gmmquant.models.sweep import most_probable
from gmmquant.parsing import check_k
from gmmquant.quantization.fit import Fit
from gmmquant.quantization.fit_colors import NO_COLORS, with_colors
from gmmquant.quantization.fitter import Fitter
from gmmquant.settings import Settings

# Of Lloyd's iterations from the means of a mixture: the fraction of the error at which they end, and their number.
_LLOYD_TOL, _MAX_LLOYD_ITERATIONS = 6e-4, 50


class Drawing(NamedTuple):
    """An image in entries: the entry of each visible pixel (n_visible,), pixels of each entry, and the mean error.

    The error is squared, summed over the channels, in 0..255 units, and the mean of those over black and over white.
    """

    labels: npt.NDArray[np.intp]
    counts: npt.NDArray[np.int64]
    mse: float


class TranslucentFitter(Fitter):
    """Fits entries of colour and alpha to the pairs of an image, at most `k` with that of the transparent pixels.

    The mixture of a fit consists of the colours drawn in each entry, as that of KMeans does, and weighs pixels as all
    fits do. So its likelihood is that of colours, as that of other fits; the objective is that of the fit to the points
    in four dimensions.
    """

    def __init__(self, colors: ColorHistogram, settings: Settings, pairs: TranslucentColors, *, hides: bool) -> None:
        super().__init__(colors, settings)
        self.pairs = pairs
        self._n_hidden_entries = int(hides)

    def fit(self, k: int, watch: Watcher = watch_nothing) -> Fit:
        """Fit at most `k` entries; if there are no more pairs, they are kept exactly."""
        n = check_k(k) - self._n_hidden_entries
        if n < 1:
            raise ParameterError("k = 1 is the entry of the fully transparent pixels; use at least k = 2")
        started, pairs = perf_counter(), self.pairs
        exact, tol = pairs.n_pairs <= n, None
        if exact:
            course, points = Course((), (), n_iter=0, converged=True), pairs.cells.positions()
        else:
            tol = self.cluster_tol if self.settings.method == "kmeans" else self._tol_for(n)
            course, points = self._fit_points(n, tol, watch)
        entries = np.unique(np.column_stack(to_entries(points)), axis=0)
        used, labels = np.unique(_nearest(pairs.cells, entries[:, :3], entries[:, 3]), return_inverse=True)
        colors, alphas = entries[used, :3], entries[used, 3]
        mixture = clusters_of(pairs.color_cells, labels, colors / 255, self.variance, self.covariance_type)
        em = EMFit(course.trace, course.n_cells, course.n_iter, course.converged, mixture)
        fit = self._result(k, em, tol, perf_counter() - started)
        fit = replace(fit, exact=exact, recoloring="nearest", colors=colors, alphas=alphas)
        by_weight = mixture.order()
        return with_colors(fit, self.settings, NO_COLORS, by_weight, given=by_weight, default="weight")

    @property
    def _kept_means(self) -> FloatArray:
        """No points are kept."""
        return np.empty((0, 4))

    @property
    def _component_shape(self) -> FloatArray:
        """A sphere: what a weight of chroma would be for translucent points depends on their alpha."""
        return np.eye(4)

    def _fit_points(self, n: int, tol: float, watch: Watcher) -> tuple[Course, FloatArray]:
        """Return the course of a fit of `n` centers or components to the points, and the centers of entries (n, 4).

        The means of a mixture are moved by Lloyd's iterations, as pixels get the nearest entry: where components
        overlap, the means alone have up to 20 times the error.
        """
        levels = levels_for(self.pairs.levels, n, bounded=self.settings.max_iter is None)
        if self.settings.method == "kmeans":
            codebook = self.fit_centers(levels, n, watch)
            return codebook, codebook.centers
        shrinkage = self._shrinkage_for(n)
        fit, _ = self.fit_mixture(levels, n, tol, self.settings.max_iter, watch, shrinkage=shrinkage)
        means = refine(self.pairs.cells, fit.gaussians.means, tol=_LLOYD_TOL, max_iter=_MAX_LLOYD_ITERATIONS).centers
        return fit, means


def draw(pairs: TranslucentColors, index: IndexArray, colors: Palette, alphas: Alphas) -> Drawing:
    """Draw the pixels of the pairs `index` (n_visible,) each in the nearest entry of `colors` (K, 3), `alphas` (K,)."""
    labels = _nearest(pairs.cells, colors, alphas)
    centers = to_points(colors / 255, alphas / 255)
    squared = ((to_points(pairs.colors, pairs.alphas / 255) - centers[labels]) ** 2).sum(axis=1)
    counts = np.bincount(labels, pairs.counts, minlength=len(centers)).astype(np.int64)
    return Drawing(labels[index], counts, 255**2 * float(pairs.counts @ squared) / int(pairs.counts.sum()))


def _nearest(cells: Cells, colors: Palette, alphas: Alphas) -> IndexArray:
    """Return the nearest of the entries `colors` (K, 3) and `alphas` (K,) for each cell, (n_cells,)."""
    return most_probable(center_scores(to_points(colors / 255, alphas / 255), cells.origin), cells)
