"""From a histogram to a mixture, coarse to fine: cells -> KMeans -> EM -> finer cells -> EM -> ... -> `Fit`.

A fit needs no pixels. The colours of many images are fitted as those of one, and a `Fitter` is small enough to be sent
between processes.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from functools import cached_property, partial
from time import perf_counter
from typing import TYPE_CHECKING, Literal, overload

import numpy as np
import numpy.typing as npt

from gmmquant.colors.color_depth import to_depth
from gmmquant.colors.exact import equal_colors, exact_mixture
from gmmquant.colors.histogram import ColorHistogram
from gmmquant.colors.palette import Palette, check_palette
from gmmquant.colors.spaces import COLOR_SPACES, SRGB
from gmmquant.errors import ParameterError
from gmmquant.models import budget
from gmmquant.models.array_validation import FloatArray, check_finite_objective
from gmmquant.models.cells import Cells
from gmmquant.models.coarse_to_fine import best_start, descend, down_to_noise, fit_by_search, fit_with_means, levels_for
from gmmquant.models.convergence import DEFAULT_TOL_NATS, default_tol
from gmmquant.models.covariance import COVARIANCE_TYPES, FULL
from gmmquant.models.em import EMFit, Watcher, e_step, watch_nothing
from gmmquant.models.gaussian import Gaussians
from gmmquant.models.starts import clusters_about
from gmmquant.parsing import AUTO, check_k, hex_code, largest_difference, parse_auto, parse_color
from gmmquant.quantization.fit import Fit
from gmmquant.quantization.fit_colors import NO_COLORS, averaged_colors, candidates_of, with_colors
from gmmquant.quantization.overlap import without_overlap
from gmmquant.settings import Method, Settings
from gmmquant.system.forks import forked
from gmmquant.system.printable import plural
from gmmquant.system.threads import n_processors

if TYPE_CHECKING:
    from gmmquant.colors.color_sum import Colors
    from gmmquant.models.codebook import Codebook
    from gmmquant.models.selection import BoundedChoice, Choice

# KMeans stops when an iteration reduces the squared error by less than this multiple of `tol`, relatively.
_KMEANS_TOL_FACTOR = 6

# The largest noise, as a part of the standard deviation of the image's values. Otherwise a night scene of values from 0
# to 9 would be drawn in one colour, whatever k.
_MAX_NOISE = 0.125

# What a fit takes in addition to the components of its mixture, and about what drawing takes, in components.
_COST_IN_COMPONENTS = 10


class Fitter:
    """Fits mixtures to the colours of one image or many, at any k, and computes once all that the fits share.

    `colors` is a ColorHistogram, or ColorCells if there are too many colours for one. A pickled Fitter holds its two
    arguments only.
    """

    def __init__(self, colors: Colors, settings: Settings | None = None) -> None:
        self.colors = colors
        self.settings = settings or Settings()
        self.space = COLOR_SPACES[self.settings.space]
        self.covariance_type = COVARIANCE_TYPES[self.settings.covariance]
        self.shrinkage = self.settings.shrink if self.covariance_type is FULL else 0.0
        self.found: dict[int, Fit] = {}  # fits by k that a choice of k, or a fork, has made
        self._awaited: dict[int, Callable[[], dict[int, Fit]]] = {}  # fits by k that forks make

    def __reduce__(self) -> tuple[type[Fitter], tuple[Colors, Settings]]:
        """Pickle the two arguments only."""
        return Fitter, (self.colors, self.settings)

    @cached_property
    def noise(self) -> float:
        """The noise of the settings in levels of 255, or what an image of low contrast can bear: see `_MAX_NOISE`."""
        if self.settings.method == "kmeans" or not self.settings.noise or self.colors.n_colors == 0:
            return 0.0
        spread = 255 * float(np.sqrt(np.trace(self._srgb_cells.covariance) / 3))
        return min(self.settings.noise, _MAX_NOISE * spread)

    @cached_property
    def variance(self) -> float:
        """The variance of each colour in each channel, in addition to the scatter of its cell."""
        return self.colors.variance_in(self.space, self.noise)

    @cached_property
    def _srgb_cells(self) -> Cells:
        return self.colors.cells(SRGB)

    @cached_property
    def cells(self) -> Cells:
        """The distinct colours with their weights."""
        return self._srgb_cells if self.space is SRGB else self.colors.cells(self.space, self.noise)

    @cached_property
    def points(self) -> Cells:
        """The distinct colours without scatter, weighted by their counts, at which a mixture is evaluated."""
        # Cells outside sRGB have scatter, which takes eight times as long to compute, and only a fit needs it.
        plain = self.space is SRGB and isinstance(self.colors, ColorHistogram)
        return self.cells if plain else self.colors.points(self.space)

    @cached_property
    def levels(self) -> list[Cells]:
        """The levels of a fit: the coarsest cells first, `cells` last."""
        return self.colors.tree.levels(self.cells)

    def forget_levels(self) -> None:
        """Free the levels; the next fit makes them again."""
        self.__dict__.pop("levels", None)

    def coarsened(self, min_cells: int) -> Fitter:
        """Return a fitter whose fits end at the coarsest level of at least `min_cells` cells, or at the finest."""
        n_coarser = sum(cells.weights.size < min_cells for cells in self.levels)
        coarse = Fitter(self.colors, self.settings)
        coarse.levels = self.levels[: n_coarser + 1]
        coarse.cells = coarse.levels[-1]
        return coarse

    @overload
    def choose_k(self, asked: Literal["auto"] = "auto") -> Choice: ...

    @overload
    def choose_k(self, asked: str) -> Choice | BoundedChoice: ...

    def choose_k(self, asked: str = AUTO) -> Choice | BoundedChoice:
        """Choose a number of colours: by ICL for "auto", the fewest with a mean difference of at most DE for "auto:DE".

        The difference is between the colours and those of the recoloured image, in hundredths of the unit of OKLab.
        """
        bound = largest_difference(parse_auto(asked))
        if bound is not None:
            from gmmquant.quantization.fewest_colors import fewest_colors

            return fewest_colors(self, bound)
        from gmmquant.quantization.choose_k import choose_k

        return choose_k(self)

    @contextmanager
    def fits_in_forks(self, ks: Iterable[int]) -> Iterator[None]:
        """Make the fits for `ks` at the same time, in forks of this process, until the block is left.

        `fit` still makes the largest k in this process, and waits for the others.
        """
        n_colors = self.colors.n_colors
        unknown = {k for k in ks if n_colors is None or k < n_colors} - self.found.keys()
        asked = sorted(unknown, reverse=True)
        if len(asked) < 2 or n_processors() == 1:
            yield
            return
        shares: list[list[int]] = [[] for _ in range(min(n_processors(), len(asked)))]
        loads = [_COST_IN_COMPONENTS * len(asked), *[0] * (len(shares) - 1)]  # this process draws all of the images
        for number, k in enumerate(asked):
            least = loads.index(min(loads)) if number else 0
            shares[least].append(k)
            loads[least] += k + _COST_IN_COMPONENTS
        _ = self.points, self.levels  # made once, for all
        with forked([partial(self._fits, share) for share in shares[1:]]) as results:
            self._awaited = {k: result for share, result in zip(shares[1:], results, strict=True) for k in share}
            try:
                yield
            finally:
                self._awaited = {}

    def _fits(self, ks: Iterable[int]) -> dict[int, Fit]:
        return {k: self._fit(k, watch_nothing) for k in ks}

    def fit(self, k: int, watch: Watcher = watch_nothing) -> Fit:
        """Fit a mixture of `k` components; at most `k` distinct colours are kept exactly.

        `watch(n_iter, objective)` is called at the start and after each iteration of EM in this process.
        """
        if self.colors.n_colors == 0:
            return self._fit_nothing(k)
        k = check_k(k)
        if k in self._awaited and k not in self.found:
            self.found |= self._awaited[k]()
        return self.found[k] if k in self.found else self._fit(k, watch)

    def _fit(self, k: int, watch: Watcher) -> Fit:
        kept = self.kept_colors
        if k < len(kept):
            raise ParameterError(
                f"k = {k} is below the {plural(len(kept), 'colour')} to keep; use at least {len(kept)}"
            )
        fit = self._keep_all(k)
        if fit is not None:
            by_weight = np.argsort(-fit.mixture.weights, kind="stable")
        else:
            fit = self._fit_from_seeds(k, watch)
            colors = averaged_colors(self.points, self.levels, fit.mixture, self.settings)
            # It may be of one of several seeds, or of less noise.
            fit = replace(fit, colors=colors, settings=self.settings)
            by_weight = fit.mixture.order()
        kept_first = np.concatenate([np.arange(len(kept)), by_weight[by_weight >= len(kept)]])
        return with_colors(fit, self.settings, kept, by_weight, given=kept_first, default="weight")

    def fit_palette(self, palette: npt.NDArray[np.uint8], k: int | None = None, watch: Watcher = watch_nothing) -> Fit:
        """Fit weights and covariances about a fixed palette, uint8 (K, 3), whose colours are the means.

        With `k`, these are the k of its colours with the least squared error (see `gmmquant.models.subset`), among them
        those that the settings keep. Each pixel gets the nearest colour unless the settings choose a recoloring or a
        dither.
        """
        started = perf_counter()
        settings, palette = self.settings, check_palette(palette)
        given = tuple(map(hex_code, palette))
        if self.colors.n_colors == 0:
            return self._fit_nothing(len(palette) if k is None else k)
        palette = self._subset(palette, check_k(k)) if k is not None else to_depth(palette, settings.color_depth)
        K = len(palette)
        tol = self._tol_for(K)
        fit = fit_with_means(
            self._levels_for(K),
            self.space.from_srgb(palette / 255),
            covariance_type=self.covariance_type,
            shrinkage=self._shrinkage_for(K),
            shape=self._component_shape,
            variance=self.variance,
            tol=tol,
            max_iter=settings.max_iter,
            watch=watch,
        )
        undecided = settings.recolor is None and settings.dither == "none"
        recoloring = "nearest" if undecided else None
        result = replace(self._result(K, fit, tol, perf_counter() - started), recoloring=recoloring, given=given)
        by_weight = result.mixture.order()
        return with_colors(result, settings, palette, by_weight, given=np.arange(K), default="given")

    def evaluate(
        self,
        mixture: Gaussians,
        *,
        method: Method = "gmm",
        nearest_by_mean: bool = False,
        colors: Palette | None = None,
    ) -> Fit:
        """Return a mixture that was fitted elsewhere, by `method`, as a `Fit` to these colours, with its objective.

        `colors` (K, 3) are the colours of images where these are not the means rounded to 8 bits.
        """
        if self.colors.n_colors == 0:
            return self._fit_nothing(len(mixture.weights))
        started = perf_counter()
        _, objective = e_step(self.cells, mixture, self.variance)
        check_finite_objective("objective", objective)
        K = len(mixture.weights)
        fit = self._result(K, self._unfitted(mixture, objective), None, perf_counter() - started)
        fit = replace(fit, method=method, converged=None, nearest_by_mean=nearest_by_mean, colors=colors)
        return with_colors(fit, self.settings, NO_COLORS, mixture.order(), given=np.arange(K), default="given")

    def fit_mixture(
        self,
        levels: Sequence[Cells],
        k: int,
        tol: float,
        max_iter: int | None,
        watch: Watcher = watch_nothing,
        *,
        shrinkage: float | None = None,
    ) -> tuple[EMFit, dict[str, float]]:
        """Fit a mixture by EM: at the coarsest of `levels` the best of the starts, then each level in turn.

        Return it with the seconds of both. `shrinkage` is that of the settings unless it is set.
        """
        started, settings, variance = perf_counter(), self.settings, self.variance
        start = best_start(
            levels,
            k,
            init=settings.init,
            restarts=settings.restarts,
            rng=np.random.default_rng(settings.seed),
            covariance_type=self.covariance_type,
            shrinkage=self.shrinkage if shrinkage is None else shrinkage,
            shape=self._component_shape,
            variance=variance,
            tol=tol,
            max_iter=max_iter,
            fixed=self._kept_means,
        )
        seeded = perf_counter()
        n_fixed = len(self.kept_colors)
        fit = descend(levels, start, variance=variance, tol=tol, max_iter=max_iter, n_fixed=n_fixed, watch=watch)
        return fit, {"seed": seeded - started, "fit": perf_counter() - seeded}

    def _fit_from_seeds(self, k: int, watch: Watcher) -> Fit:
        """Fit from the seed of the settings, or from each of several, of which the best is returned."""
        if self.settings.n_seeds == 1:
            return (self._fit_clusters if self.settings.method == "kmeans" else self._fit_mixture)(k, watch)
        from gmmquant.quantization.seeds import best_of_seeds

        def fit_from(seed: int) -> Fit:
            fitter = Fitter(self.colors, replace(self.settings, seed=seed, n_seeds=1))
            fitter.cells, fitter.levels = self.cells, self.levels
            return fitter._fit_from_seeds(k, watch)

        first = self.settings.seed
        return best_of_seeds(range(first, first + self.settings.n_seeds), fit_from, self.points)

    def _fit_mixture(self, k: int, watch: Watcher) -> Fit:
        fit = self._fit_at_noise(k, watch)
        if not self.noise and not self.shrinkage:  # the textbook's mixture, drawn by its components, overlapping or not
            return fit

        def refit(noise: float) -> Fit:
            fitter = Fitter(self.colors, replace(self.settings, noise=noise))
            if self.space is SRGB:
                fitter.cells, fitter.levels = self.cells, self.levels
            return fitter._fit_at_noise(k, watch)

        fit = without_overlap(fit, self.levels, refit)
        undecided = self.settings.recolor is None and self.settings.dither == "none"
        return fit if undecided else replace(fit, recoloring=None)

    def _fit_at_noise(self, k: int, watch: Watcher) -> Fit:
        tol = self._tol_for(k)
        levels, shrinkage = self._levels_for(k), self._shrinkage_for(k)
        if self.settings.search != "none":
            started = perf_counter()
            fit = self._fit_by_search(levels, k, tol, watch)
            return self._result(k, fit, tol, perf_counter() - started)
        fit, seconds = self.fit_mixture(levels, k, tol, self.settings.max_iter, watch, shrinkage=shrinkage)
        return self._result(k, fit, tol, seconds["fit"], seconds["seed"])

    def _fit_by_search(self, levels: Sequence[Cells], k: int, tol: float, watch: Watcher) -> EMFit:
        """Fit a mixture as `fit_mixture` does, with a search for a better optimum, which includes the starts."""
        return fit_by_search(
            levels,
            k,
            init=self.settings.init,
            restarts=self.settings.restarts,
            rng=np.random.default_rng(self.settings.seed),
            covariance_type=self.covariance_type,
            variance=self.variance,
            tol=tol,
            max_iter=self.settings.max_iter,
            fixed=self._kept_means,
            watch=watch,
        )

    def _fit_clusters(self, k: int, watch: Watcher) -> Fit:
        """Fit centers by KMeans; the mixture consists of their clusters as Gaussians."""
        started = perf_counter()
        codebook = self.fit_centers(self._cluster_levels_for(k), k, watch)
        n_fixed = len(self.kept_colors)
        clusters = clusters_about(self.cells, codebook.centers, self.variance, self.covariance_type, n_fixed)
        fit = EMFit(codebook.trace, codebook.n_cells, codebook.n_iter, codebook.converged, clusters)
        return self._result(k, fit, self.cluster_tol, perf_counter() - started)

    def fit_centers(self, levels: Sequence[Cells], k: int, watch: Watcher = watch_nothing) -> Codebook:
        """Fit `k` centers by KMeans at each of `levels` in turn, the colours to keep among them."""
        from gmmquant.models.palette_kmeans import fit_codebook

        return fit_codebook(
            levels,
            k,
            restarts=self.settings.restarts,
            rng=np.random.default_rng(self.settings.seed),
            tol=_KMEANS_TOL_FACTOR * self.cluster_tol,
            max_iter=self.settings.max_iter,
            fixed=self._kept_means,
            watch=watch,
        )

    @property
    def cluster_tol(self) -> float:
        """The tolerance of KMeans, of which it ends at a multiple."""
        return DEFAULT_TOL_NATS if self.settings.tol is None else self.settings.tol

    def _keep_all(self, k: int) -> Fit | None:
        """Return the exact fit, one component per distinct colour and colour to keep, or None for more than `k`."""
        histogram, kept = self.colors, self.kept_colors
        if not isinstance(histogram, ColorHistogram) or histogram.n_colors > k:
            return None
        if len(kept) and np.count_nonzero(~equal_colors(histogram, kept).any(axis=1)) + len(kept) > k:
            return None
        mixture = exact_mixture(histogram, self.covariance_type, self.space, kept)
        cells, variance = histogram.cells(self.space), histogram.variance_in(self.space)  # exact colours have no noise
        objective = 0.0 if self.settings.method == "kmeans" else e_step(cells, mixture, variance)[1]
        fit = self._result(k, self._unfitted(mixture, objective), None, 0.0)
        return replace(fit, noise=0.0, variance=variance, exact=True, nearest_by_mean=True, recoloring="nearest")

    def _fit_nothing(self, k: int) -> Fit:
        """Return the fit to an image without a visible pixel: a mixture of no components."""
        covariances = np.zeros(self.covariance_type.shape(0, 3))
        mixture = Gaussians(np.zeros(0), np.zeros((0, 3)), covariances, self.covariance_type)
        fit = self._result(k, EMFit((), (), n_iter=0, converged=True, gaussians=mixture), None, 0.0)
        return replace(fit, exact=True)

    @cached_property
    def kept_colors(self) -> Palette:
        """The colours to keep, (n_kept, 3)."""
        kept = [parse_color(code) for code in self.settings.kept_codes]
        return np.array(kept, dtype=np.uint8).reshape(-1, 3)

    @property
    def _kept_means(self) -> FloatArray:
        """The colours to keep in the space of the fit, (n_kept, 3)."""
        return self.space.from_srgb(self.kept_colors / 255)

    @property
    def _component_shape(self) -> FloatArray:
        """The shape of the covariance that those of components are drawn towards."""
        return self.space.component_shape()

    def _subset(self, palette: Palette, k: int) -> Palette:
        """Return the `k` colours of a palette with the least squared error, in its order."""
        from gmmquant.models.subset import best_subset

        candidates, required = candidates_of(palette, self.settings, k)
        rng = np.random.default_rng(self.settings.seed)
        return candidates[best_subset(self.levels, self.space.from_srgb(candidates / 255), k, rng, required)]

    def _shrinkage_for(self, k: int) -> float:
        """Return the shrinkage of an image's fit: a single component shares its covariance with none."""
        return self.shrinkage if k > 1 else 0.0

    def _levels_for(self, k: int) -> list[Cells]:
        """Return the levels of a fit of `k` components. Cells are not finer than the noise, unless there is none."""
        bounded = self.settings.max_iter is None
        levels = down_to_noise(self.levels, self.variance) if self.noise and bounded else self.levels
        return levels_for(levels, k, bounded=bounded)

    def _cluster_levels_for(self, k: int) -> list[Cells]:
        """Return the levels of KMeans: with many clusters, cells of about equal scatter instead of weight."""
        is_coarse = self.cells.weights.size < self.colors.tree.n_colors
        if k < budget.MANY_CLUSTERS or is_coarse:
            return self._levels_for(k)
        sizes = [n_cells * max(k, budget.MIN_PALETTE_CENTERS) for n_cells in budget.PALETTE_CELLS_PER_CENTER]
        levels = self.colors.tree.levels_by_scatter(self.cells, sizes)
        return levels_for(levels, k, bounded=self.settings.max_iter is None)

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
            variance=self.variance,
            settings=self.settings,
        )
