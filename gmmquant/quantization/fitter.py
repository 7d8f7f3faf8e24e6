"""From a histogram to a mixture, coarse to fine: cells -> KMeans -> EM -> finer cells -> EM -> ... -> `Fit`.

A fit needs no pixels. The colours of many images are fitted as those of one, and `Fitter` and `Fit` are small enough to
be sent between processes.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from time import perf_counter
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from gmmquant.colors.dominant import dominant_colors
from gmmquant.colors.exact import exact_mixture
from gmmquant.colors.histogram import ColorHistogram
from gmmquant.colors.palette import check_palette, to_8_bits
from gmmquant.colors.spaces import COLOR_SPACES
from gmmquant.models.array_validation import check_finite_objective
from gmmquant.models.cells import Cells
from gmmquant.models.coarse_to_fine import best_start, descend, fit_with_means, levels_for
from gmmquant.models.convergence import DEFAULT_TOL_NATS, default_tol
from gmmquant.models.covariance import COVARIANCE_TYPES, FULL
from gmmquant.models.em import EMFit, Watcher, e_step, watch_nothing
from gmmquant.models.gaussian import Gaussians
from gmmquant.models.selection import Choice
from gmmquant.models.starts import start_from_centers
from gmmquant.settings import Settings, check_k

if TYPE_CHECKING:
    from gmmquant.colors.color_sum import Colors

# KMeans stops when an iteration reduces the squared error by less than this multiple of `tol`, relatively.
_KMEANS_TOL_FACTOR = 6


@dataclass(frozen=True, eq=False)
class Fit:
    """A fitted mixture, and what recolouring an image and its record need.

    Attributes
    ----------
    k : int
        Requested number of components.
    method : "gmm" or "kmeans"
    space : str
        Colour space of the fit; densities are densities in it.
    mixture : Gaussians
        The mixture, or the clusters of KMeans as one, for colours of `space`: the heaviest component first, or the
        order of a fixed palette. It has fewer than `k` components if the image has fewer colours.
    trace : tuple of float
        Objective at the start of each level and after each iteration: J in nats per pixel; for KMeans the mean squared
        distance to the nearest center (outside sRGB it includes the distance of colours that round to the same 8 bits).
    n_cells : tuple of int
        Number of cells of the level that each value of `trace` was computed on. The cells of the finest level are the
        distinct colours, unless a fit to these would take too long.
    n_iter : int
        Number of iterations at all levels together.
    tol : float or None
        Gain per iteration, in nats per pixel, at which EM stopped; for KMeans see `Settings.tol`. None if nothing was
        fitted.
    converged : bool or None
        None if the mixture was fitted elsewhere.
    seconds : dict
        Time spent: `seed` (starts) and `fit`.
    noise : float
        See `Settings.noise`.
    exact : bool
        Whether there were at most `k` colours, each of which is a component. Nothing is fitted or dithered, and each
        pixel gets the nearest colour.
    nearest_by_mean : bool
        Whether the nearest colour is found by the means, not by the palette: 16-bit means can round to the same 8 bits.
    fixed_palette : ndarray of uint8, shape (K, 3), or None
        The palette whose colours are the means, if it was fixed.
    snapped_palette : ndarray of uint8, shape (K, 3), or None
        The means rounded to 8 bits, but dominant colours where components have one: see `dominant_colors`.
    recoloring : str or None
        How pixels get their colours, if the fit decides it and not the settings: see `Settings.recolor`.
    """

    k: int
    method: str
    space: str
    mixture: Gaussians
    trace: tuple[float, ...]
    n_cells: tuple[int, ...]
    n_iter: int
    tol: float | None
    converged: bool | None
    seconds: dict[str, float]
    noise: float = 0.0
    exact: bool = False
    nearest_by_mean: bool = False
    fixed_palette: npt.NDArray[np.uint8] | None = None
    snapped_palette: npt.NDArray[np.uint8] | None = None
    recoloring: str | None = None

    @cached_property
    def palette(self) -> npt.NDArray[np.uint8]:
        """The colours of recoloured images, uint8 (K, 3): the fixed palette, or the means, snapped or rounded."""
        for palette in (self.fixed_palette, self.snapped_palette):
            if palette is not None:
                return palette
        return to_8_bits(self.mixture.means, COLOR_SPACES[self.space])

    def drawing(self, settings: Settings) -> tuple[str, str]:
        """Return the recoloring and the dither of images: those of the fit, otherwise those of `settings`."""
        return self.recoloring or settings.recoloring, "none" if self.exact else settings.dither

    def smoothing(self, settings: Settings) -> float:
        """Return the strength of smoothing: that of `settings`, or 0 where each pixel keeps its colour."""
        return 0.0 if self.exact else settings.smooth


class Fitter:
    """Fits mixtures to the colours of one image or many, at any k; what the fits share is computed once.

    `colors` is a ColorHistogram, or ColorCells if there are too many colours for one. A pickled Fitter holds its two
    arguments only.
    """

    def __init__(self, colors: Colors, settings: Settings | None = None) -> None:
        self.colors = colors
        self.settings = settings or Settings()
        self.space = COLOR_SPACES[self.settings.space]
        self.covariance_type = COVARIANCE_TYPES[self.settings.covariance]
        self.shrinkage = self.settings.shrink if self.covariance_type is FULL else 0.0
        # The variance of each colour in each channel, in addition to the scatter of its cell.
        self.noise = 0.0 if self.settings.method == "kmeans" else self.settings.noise
        self.variance = colors.variance_in(self.space, self.noise)

    def __reduce__(self) -> tuple[type[Fitter], tuple[Colors, Settings]]:
        """Pickle the two arguments only."""
        return Fitter, (self.colors, self.settings)

    @cached_property
    def cells(self) -> Cells:
        """The distinct colours with their weights."""
        return self.colors.cells(self.space, self.noise)

    @cached_property
    def levels(self) -> list[Cells]:
        """The levels of a fit: the coarsest cells first, `cells` last."""
        return self.colors.tree.levels(self.cells)

    def choose_k(self) -> Choice:
        """Choose a number of colours by ICL."""
        from gmmquant.quantization.choose_k import choose_k

        return choose_k(self)

    def fit(self, k: int, watch: Watcher = watch_nothing) -> Fit:
        """Fit a mixture of `k` components; at most `k` distinct colours are kept exactly.

        `watch(n_iter, objective)` is called at the start and after each iteration of EM.
        """
        if self.colors.n_colors == 0:
            return self._fit_nothing(k)
        check_k(k)
        if isinstance(self.colors, ColorHistogram) and self.colors.n_colors <= k:
            return self._keep(k, self.colors)
        fitted = self._fit_clusters if self.settings.method == "kmeans" else self._fit_mixture
        fit = fitted(k, watch)
        fit = replace(fit, mixture=fit.mixture.sorted())
        if not self.settings.snap or not isinstance(self.colors, ColorHistogram):
            return fit
        by_mean = self.settings.method == "kmeans"
        snapped = dominant_colors(self.colors, fit.mixture, self.space, self.settings.snap, by_mean=by_mean)
        return replace(fit, snapped_palette=snapped)

    def fit_palette(self, palette: npt.NDArray[np.uint8], watch: Watcher = watch_nothing) -> Fit:
        """Fit weights and covariances about a fixed palette, uint8 (K, 3), whose colours are the means.

        Each pixel gets the nearest colour unless the settings choose a recoloring or a dither.
        """
        started = perf_counter()
        settings, palette = self.settings, check_palette(palette)
        K = len(palette)
        if self.colors.n_colors == 0:
            return self._fit_nothing(K)
        tol = self._tol_for(K)
        fit = fit_with_means(
            self._levels_for(K),
            self.space.from_srgb(palette / 255),
            covariance_type=self.covariance_type,
            shrinkage=self.shrinkage,
            variance=self.variance,
            tol=tol,
            max_iter=settings.max_iter,
            watch=watch,
        )
        undecided = settings.recolor is None and settings.dither == "none"
        recoloring = "nearest" if undecided else None
        return replace(
            self._result(K, fit, tol, perf_counter() - started), fixed_palette=palette, recoloring=recoloring
        )

    def evaluate(
        self,
        mixture: Gaussians,
        *,
        palette: npt.NDArray[np.uint8] | None = None,
        nearest_by_mean: bool = False,
    ) -> Fit:
        """Return a mixture that was fitted elsewhere as a `Fit` to these colours, drawn in a `palette`."""
        if self.colors.n_colors == 0:
            return self._fit_nothing(len(mixture.weights))
        started = perf_counter()
        _, objective = e_step(self.cells, mixture, self.variance)
        check_finite_objective("objective", objective)
        fit = self._result(len(mixture.weights), self._unfitted(mixture, objective), None, perf_counter() - started)
        return replace(fit, converged=None, nearest_by_mean=nearest_by_mean, snapped_palette=palette)

    def fit_mixture(
        self, levels: Sequence[Cells], k: int, tol: float, max_iter: int | None, watch: Watcher = watch_nothing
    ) -> tuple[EMFit, dict[str, float]]:
        """Fit a mixture by EM: at the coarsest of `levels` the best of the starts, then each level in turn.

        Return it with the seconds of both.
        """
        started, settings, variance = perf_counter(), self.settings, self.variance
        start = best_start(
            levels,
            k,
            init=settings.init,
            restarts=settings.restarts,
            rng=np.random.default_rng(settings.seed),
            covariance_type=self.covariance_type,
            shrinkage=self.shrinkage,
            variance=variance,
            tol=tol,
            max_iter=max_iter,
        )
        seeded = perf_counter()
        fit = descend(levels, start, variance=variance, tol=tol, max_iter=max_iter, watch=watch)
        return fit, {"seed": seeded - started, "fit": perf_counter() - seeded}

    def _fit_mixture(self, k: int, watch: Watcher) -> Fit:
        tol = self._tol_for(k)
        fit, seconds = self.fit_mixture(self._levels_for(k), k, tol, self.settings.max_iter, watch)
        return self._result(k, fit, tol, seconds["fit"], seconds["seed"])

    def _fit_clusters(self, k: int, watch: Watcher) -> Fit:
        """Fit centers by KMeans; the mixture consists of their clusters as Gaussians."""
        from gmmquant.models.palette_kmeans import fit_codebook

        started = perf_counter()
        settings = self.settings
        tol = DEFAULT_TOL_NATS if settings.tol is None else settings.tol
        codebook = fit_codebook(
            self._levels_for(k),
            k,
            restarts=settings.restarts,
            rng=np.random.default_rng(settings.seed),
            tol=_KMEANS_TOL_FACTOR * tol,
            max_iter=settings.max_iter,
            watch=watch,
        )
        clusters = start_from_centers(self.cells, codebook.centers, self.variance, self.covariance_type)
        fit = EMFit(codebook.trace, codebook.n_cells, codebook.n_iter, codebook.converged, clusters)
        return self._result(k, fit, tol, perf_counter() - started)

    def _keep(self, k: int, histogram: ColorHistogram) -> Fit:
        """Return the exact fit: one component per distinct colour."""
        mixture = exact_mixture(histogram, self.covariance_type, self.space)
        cells, variance = histogram.cells(self.space), histogram.variance_in(self.space)  # exact colours have no noise
        objective = 0.0 if self.settings.method == "kmeans" else e_step(cells, mixture, variance)[1]
        fit = self._result(k, self._unfitted(mixture, objective), None, 0.0)
        return replace(fit, noise=0.0, exact=True, nearest_by_mean=True, recoloring="nearest")

    def _fit_nothing(self, k: int) -> Fit:
        """Return the fit to an image without a visible pixel: a mixture of no components."""
        covariances = np.zeros(self.covariance_type.shape(0, 3))
        mixture = Gaussians(np.zeros(0), np.zeros((0, 3)), covariances, self.covariance_type)
        fit = self._result(k, EMFit((), (), n_iter=0, converged=True, gaussians=mixture), None, 0.0)
        return replace(fit, exact=True)

    def _levels_for(self, k: int) -> list[Cells]:
        return levels_for(self.levels, k, bounded=self.settings.max_iter is None)

    def _tol_for(self, k: int) -> float:
        """Return the gain in J below which EM with `k` components ends."""
        return default_tol(k, self.colors.total_weight) if self.settings.tol is None else self.settings.tol

    def _unfitted(self, mixture: Gaussians, objective: float) -> EMFit:
        """Return the result of a fit without iterations."""
        return EMFit((objective,), (self.cells.weights.size,), n_iter=0, converged=True, gaussians=mixture)

    def _result(self, k: int, fit: EMFit, tol: float | None, fit_seconds: float, seed: float = 0.0) -> Fit:
        """Return `fit` as a `Fit` that took `fit_seconds`, after `seed` seconds for the starts."""
        return Fit(
            k=k,
            method=self.settings.method,
            space=self.settings.space,
            mixture=fit.gaussians,
            trace=fit.trace,
            n_cells=fit.n_cells,
            n_iter=fit.n_iter,
            tol=tol,
            converged=fit.converged,
            seconds={"seed": seed, "fit": fit_seconds},
            noise=self.noise,
        )
