"""A histogram becomes a mixture, coarse to fine: cells -> KMeans -> EM -> finer cells -> EM -> ... -> a `Fit`.

No pixels are needed for it, so a fit to all the colours of many images is one like any other, and small enough to be
sent between processes: so is the `Fitter` that makes it, and the `Fit` by which any image can be drawn.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cached_property
from time import perf_counter
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from gmmquant.colors.exact import exact_mixture
from gmmquant.colors.histogram import ColorHistogram
from gmmquant.colors.levels import levels_of
from gmmquant.colors.palette import check_palette, to_8_bits
from gmmquant.colors.spaces import COLOR_SPACES, ColorSpace
from gmmquant.models.array_validation import check_finite_objective
from gmmquant.models.cells import Cells
from gmmquant.models.coarse_to_fine import Descent, best_start, descend, levels_for
from gmmquant.models.covariance import COVARIANCE_TYPES
from gmmquant.models.em import Watcher, e_step, start_from_centers, watch_nothing
from gmmquant.models.gaussian import Gaussians
from gmmquant.models.selection import Choice
from gmmquant.quantization.choose_k import choose_k
from gmmquant.settings import Settings, check_k

if TYPE_CHECKING:
    from gmmquant.colors.color_sum import Colors

# Where nobody says when a fit ends: the gain of an iteration of EM, in nats per pixel, below which it is the last. Of
# few pixels up to the larger one: half a nat for each component and eight at most, over all pixels. Which pixels they
# happen to be moves their likelihood by half a nat for each parameter (Akaike 1974); a component has up to ten.
_TOL, _LARGEST_TOL = 1e-4, 5e-4
_NATS_A_COMPONENT, _MOST_NATS = 0.5, 8.0

# KMeans stops when an iteration takes less than so many times `tol` off the squared error, as a part of it.
_KMEANS_TOL = 6


@dataclass(frozen=True)
class Fit:
    """A mixture, with all that drawing an image by it and telling of it takes.

    Attributes
    ----------
    k : int
        Number of components asked for.
    method : "gmm" or "kmeans"
    space : str
        Colour space of the fit.
    mixture : Gaussians
        Heaviest component first; about a given palette, in its order.
    trace, n_cells, n_iter, tol, converged
        See `QuantizedImage`.
    seconds : dict
        Time spent: `seed` (starts) and `fit`.
    exact : bool
        Whether there were at most `k` colours, each of which is a component: nothing was fitted, each pixel gets the
        nearest, and none is dithered, as no colour lies between those of the palette.
    unrounded : bool
        Whether the nearest component is that of the nearest mean, and not of the nearest mean as it is written: of
        colours with 16 bits, the 8-bit ones may coincide.
    given : ndarray of uint8, shape (K, 3), or None
        The palette, where it was given.
    recoloring : str or None
        How pixels get their colours, where it is not for the settings to say: see `Settings.recolor`.
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
    exact: bool = False
    unrounded: bool = False
    given: npt.NDArray[np.uint8] | None = None
    recoloring: str | None = None

    @property
    def palette(self) -> npt.NDArray[np.uint8]:
        """The colours that images are drawn in, uint8 (K, 3): those given, or the means, rounded to 8 bits."""
        return to_8_bits(self.mixture.means, COLOR_SPACES[self.space]) if self.given is None else self.given

    def drawn_as(self, settings: Settings) -> tuple[str, str]:
        """Return how pixels get their colours, and how they are dithered: as `settings` say, where the fit does not."""
        return self.recoloring or settings.recoloring, "none" if self.exact else settings.dither


class Fitter:
    """The colours of an image, or of many, made ready once for fits at any number of k.

    Pickled, it is its two arguments: what is derived from them is made anew where it is needed.

    Parameters
    ----------
    colors : ColorHistogram, or ColorCells of more colours than a histogram is made of
    settings : Settings, optional
    """

    def __init__(self, colors: Colors, settings: Settings | None = None) -> None:
        self.colors = colors
        self.settings = settings or Settings()

    def __reduce__(self) -> tuple[type[Fitter], tuple[Colors, Settings]]:
        """Pickle the two arguments alone."""
        return Fitter, (self.colors, self.settings)

    @property
    def space(self) -> ColorSpace:
        """The colour space that the fit runs in."""
        return COLOR_SPACES[self.settings.space]

    @property
    def variance(self) -> float:
        """The variance that each colour carries in each channel, beside what its cell says."""
        return self.colors.variance_in(self.space)

    @cached_property
    def cells(self) -> Cells:
        """The colours as they are fitted, weighted by their counts."""
        return self.colors.cells(self.space)

    @cached_property
    def levels(self) -> list[Cells]:
        """The cells that a fit goes through, the coarsest first, those of `cells` last."""
        return levels_of(self.colors.tree, self.cells)

    def choose_k(self) -> Choice:
        """Choose a number of colours by ICL."""
        return choose_k(self.colors, self.settings)

    def fit(self, k: int, watch: Watcher = watch_nothing) -> Fit:
        """Fit a mixture of `k` components; no more colours than that are kept as they are.

        `watch(n_iter, objective)` is called at the start and after each iteration of EM.
        """
        check_k(k)
        if isinstance(self.colors, ColorHistogram) and self.colors.n_colors <= k:
            return self._keep(k, self.colors)
        fitted = self._fit_clusters if self.settings.method == "kmeans" else self._fit_mixture
        fit = fitted(k, watch)
        return replace(fit, mixture=fit.mixture.sorted())

    def fit_palette(self, palette: npt.NDArray[np.uint8], watch: Watcher = watch_nothing) -> Fit:
        """Fit weights and covariances to a given palette (K, 3), whose colours are means that stay.

        Unless the settings say otherwise, each pixel is to get the nearest.

        Raises
        ------
        ParameterError
            If `palette` is not uint8 of shape (K, 3), or holds none or more than 4096 colours.
        """
        from gmmquant.models.fixed_means import fit_with_means

        started = perf_counter()
        settings, palette = self.settings, check_palette(palette)
        tol = self._tol_for(len(palette))
        descent = fit_with_means(
            self._levels_for(len(palette)),
            self.space.from_srgb(palette / 255),
            covariance_type=COVARIANCE_TYPES[settings.covariance],
            variance=self.variance,
            tol=tol,
            max_iter=settings.max_iter,
            watch=watch,
        )
        undecided = settings.recolor is None and settings.dither == "none"
        fit = self._ended(len(palette), descent, tol, fit=perf_counter() - started)
        return replace(fit, given=palette, recoloring="nearest" if undecided else None)

    def judge(self, mixture: Gaussians, *, unrounded: bool = False) -> Fit:
        """Return a mixture that was fitted elsewhere as a fit to these colours, with its objective; nothing is fitted.

        `unrounded` as in `Fit`.
        """
        started = perf_counter()
        objective = self._objective(mixture)
        check_finite_objective("objective", objective)
        fit = self._ended(len(mixture.weights), self._unfitted(mixture, objective), fit=perf_counter() - started)
        return replace(fit, converged=None, unrounded=unrounded)

    def _fit_mixture(self, k: int, watch: Watcher) -> Fit:
        """Fit a mixture by EM."""
        started = perf_counter()
        settings, variance = self.settings, self.variance
        levels, tol = self._levels_for(k), self._tol_for(k)
        start = best_start(
            levels,
            k,
            init=settings.init,
            restarts=settings.restarts,
            rng=np.random.default_rng(settings.seed),
            covariance_type=COVARIANCE_TYPES[settings.covariance],
            variance=variance,
            tol=tol,
            max_iter=settings.max_iter,
        )
        seeded = perf_counter()
        descent = descend(levels, start, variance=variance, tol=tol, max_iter=settings.max_iter, watch=watch)
        return self._ended(k, descent, tol, seed=seeded - started, fit=perf_counter() - seeded)

    def _fit_clusters(self, k: int, watch: Watcher) -> Fit:
        """Fit centers by KMeans; their clusters as Gaussians are the mixture."""
        from gmmquant.models.palette_kmeans import fit_codebook

        started = perf_counter()
        settings = self.settings
        tol = _TOL if settings.tol is None else settings.tol
        codebook = fit_codebook(
            self._levels_for(k),
            k,
            restarts=settings.restarts,
            rng=np.random.default_rng(settings.seed),
            tol=_KMEANS_TOL * tol,
            max_iter=settings.max_iter,
            watch=watch,
        )
        covariance_type = COVARIANCE_TYPES[settings.covariance]
        clusters = start_from_centers(self.cells, codebook.centers, self.variance, covariance_type)
        descent = Descent(clusters, codebook.trace, codebook.n_cells, codebook.n_iter, codebook.converged)
        return self._ended(k, descent, tol, fit=perf_counter() - started)

    def _levels_for(self, k: int) -> list[Cells]:
        return levels_for(self.levels, k, bounded=self.settings.max_iter is None)

    def _tol_for(self, k: int) -> float:
        """Return the gain in J below which an iteration of EM with `k` components is the last."""
        if self.settings.tol is not None:
            return self.settings.tol
        of_all = min(_NATS_A_COMPONENT * k, _MOST_NATS)
        return min(max(_TOL, of_all / self.colors.n_pixels), _LARGEST_TOL)

    def _keep(self, k: int, histogram: ColorHistogram) -> Fit:
        """Keep the colours as they are, one a component."""
        mixture = exact_mixture(histogram, COVARIANCE_TYPES[self.settings.covariance], self.space)
        objective = 0.0 if self.settings.method == "kmeans" else self._objective(mixture)
        fit = self._ended(k, self._unfitted(mixture, objective), fit=0.0)
        return replace(fit, exact=True, unrounded=True, recoloring="nearest")

    def _objective(self, mixture: Gaussians) -> float:
        """Return the objective of a mixture on these colours."""
        return float(e_step(self.cells, mixture, self.variance)[1])

    def _unfitted(self, mixture: Gaussians, objective: float) -> Descent:
        """Return the end of a fit for a mixture that nothing was fitted for."""
        return Descent(mixture, (objective,), (self.cells.weights.size,), n_iter=0, converged=True)

    def _ended(self, k: int, end: Descent, tol: float | None = None, *, seed: float = 0.0, fit: float) -> Fit:
        """Return what a fit to `tol` ended with, and the seconds that its start and the rest took."""
        asked = self.settings
        seconds = {"seed": seed, "fit": fit}
        return Fit(
            k, asked.method, asked.space, end.gaussians, end.trace, end.n_cells, end.n_iter, tol, end.converged, seconds
        )
