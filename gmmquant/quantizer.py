"""The main job on one picture: histogram -> KMeans -> EM -> recolour, for each k.

picture -> visible pixels -> ColorHistogram -> cells -> KMeans -> Gaussian mixture
        -> label of each distinct colour -> label of each pixel -> recoloured picture
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import replace
from functools import cached_property
from time import perf_counter
from typing import Any, overload

import numpy as np
import numpy.typing as npt

from gmmquant.colors.histogram import ColorHistogram
from gmmquant.colors.palette import palette_from_means
from gmmquant.errors import ParameterError
from gmmquant.images.pixels import FlatImage
from gmmquant.models.cells import Cells
from gmmquant.models.checks import check_finite_objective
from gmmquant.models.coarse_to_fine import Descent, best_start, descend, levels_for
from gmmquant.models.covariance import COVARIANCE_TYPES, FULL, CovarianceType
from gmmquant.models.em import Watcher, best, e_step, em, evaluate, make_start, start_from_centers, watch_nothing
from gmmquant.models.gaussian import Gaussians, natural_parameters
from gmmquant.models.kmeans import center_scores
from gmmquant.models.lbg import fit_codebook
from gmmquant.models.moments import most_probable
from gmmquant.models.parameters import check_choice
from gmmquant.models.selection import Choice, Criteria, aic, bic, choose, icl, n_parameters
from gmmquant.quantized import QuantizedImage
from gmmquant.settings import AUTO, Settings, check_k

Receiver = Callable[[npt.NDArray[Any], npt.NDArray[np.uint8], npt.NDArray[np.uint8] | None], None]


def receive_nothing(
    labels: npt.NDArray[Any], palette: npt.NDArray[np.uint8], alpha: npt.NDArray[np.uint8] | None
) -> None:
    """Do nothing with a recoloured picture."""


# Levels of a fit: cells of at most 1/150 of the pixels, then of an eighth of that, and so on, as long as the next are
# fewer than the distinct colours.
_COARSEST = 150
_REFINEMENT = 8
_FINEST = 0.8

# KMeans stops when an iteration takes less than so many times `tol` off the squared error, as a part of it.
_KMEANS_TOL = 3

# Colours whose error is computed at a time, so that it stays in cache.
_CHUNK = 1 << 15

# Numbers of colours that `choose_k` tries, and how: on cells of a few bits the ICL has its minimum at colours that a
# person tells apart, and a fit takes milliseconds.
AUTO_PATH = (1, 2, 4, 8, 12, 16, 24, 32, 48, 64)
_AUTO_BITS = 5
_AUTO_CELLS = 400
_AUTO_RESTARTS = 3
_AUTO_TOL = 1e-4
_AUTO_MAX_ITER = 300


class Quantizer:
    """One picture, made ready once for fits at any number of k.

    Parameters
    ----------
    image : ndarray of shape (height, width), (height, width, 3) or (height, width, 4), uint8 or uint16; or FlatImage
        Grey, RGB or RGBA, sRGB values. Fully transparent pixels take no part in the fit. Who flattens the array before
        and drops it saves its memory.
    settings : Settings, optional

    Attributes
    ----------
    histogram : ColorHistogram
        Distinct colours of the visible pixels, shared by every fit.
    shape : (height, width)

    Raises
    ------
    ParameterError
        If the array is of another shape or type, or has no visible pixel.
    """

    def __init__(self, image: npt.NDArray[Any] | FlatImage, settings: Settings | None = None) -> None:
        self._flat = image if isinstance(image, FlatImage) else FlatImage.from_array(image)
        self.settings = settings or Settings()
        self.shape = self._flat.shape
        self.histogram = ColorHistogram.from_codes(self._flat.codes, self._flat.bit_depth)

    def fit(self, k: int, watch: Watcher = watch_nothing, receive: Receiver = receive_nothing) -> QuantizedImage:
        """Fit a mixture of `k` components and recolour the picture by it.

        `watch(n_iter, objective)` is called at the start and after each iteration of EM, `receive(labels, palette,
        alpha)` as soon as the picture is recoloured, before the likelihood is computed.
        """
        check_k(k)
        if self.histogram.n_colors <= k:
            return self._recolor(k, self._keep(), receive, exact=True, seconds={"seed": 0.0, "fit": 0.0})
        fitted = self._fit_clusters if self.settings.method == "kmeans" else self._fit_mixture
        fit, seconds = fitted(k, watch)
        fit = replace(fit, gaussians=fit.gaussians.sorted())
        return self._recolor(k, fit, receive, exact=False, seconds=seconds)

    def _fit_mixture(self, k: int, watch: Watcher) -> tuple[Descent, dict[str, float]]:
        """Fit a mixture by EM; return it, and the seconds that its start and the rest took."""
        started = perf_counter()
        settings, variance = self.settings, self.histogram.rounding_variance
        levels = levels_for(self.levels, k, bounded=settings.max_iter is None)
        start = best_start(
            levels,
            k,
            init=settings.init,
            restarts=settings.restarts,
            rng=np.random.default_rng(settings.seed),
            kind=COVARIANCE_TYPES[settings.covariance],
            variance=variance,
            tol=settings.tol,
            max_iter=settings.max_iter,
        )
        seeded = perf_counter()
        fit = descend(levels, start, variance=variance, tol=settings.tol, max_iter=settings.max_iter, watch=watch)
        return fit, {"seed": seeded - started, "fit": perf_counter() - seeded}

    def _fit_clusters(self, k: int, watch: Watcher) -> tuple[Descent, dict[str, float]]:
        """Fit centers by KMeans; return their clusters as Gaussians, and the seconds that took."""
        started = perf_counter()
        settings = self.settings
        codebook = fit_codebook(
            levels_for(self.levels, k, bounded=settings.max_iter is None),
            k,
            restarts=settings.restarts,
            rng=np.random.default_rng(settings.seed),
            tol=_KMEANS_TOL * settings.tol,
            max_iter=settings.max_iter,
            watch=watch,
        )
        kind = COVARIANCE_TYPES[settings.covariance]
        clusters = start_from_centers(self._cells, codebook.centers, self.histogram.rounding_variance, kind)
        fit = Descent(clusters, codebook.trace, codebook.n_cells, codebook.n_iter, codebook.converged)
        return fit, {"seed": 0.0, "fit": perf_counter() - started}

    def apply(self, mixture: Gaussians, *, exact: bool = False, receive: Receiver = receive_nothing) -> QuantizedImage:
        """Recolour the picture by a mixture that was fitted elsewhere; nothing is fitted.

        `exact` says that the mixture keeps the colours of a picture, one a component: each pixel then gets the nearest.
        """
        started = perf_counter()
        _, objective = e_step(self._cells, mixture, self.histogram.rounding_variance)
        check_finite_objective("objective", objective)
        fit = self._given(mixture, objective)
        seconds = {"fit": perf_counter() - started}
        applied = self._recolor(len(mixture.weights), fit, receive, exact=exact, seconds=seconds)
        return replace(applied, converged=None)

    def choose_k(self) -> Choice:
        """Choose a number of colours by ICL, from fits along `AUTO_PATH` to coarse cells: see `coarse_cells`."""
        cells = coarse_cells(self.histogram)
        n_cells = cells.weights.size
        if n_cells == 1:
            return choose([self._criteria(cells, 1)])
        # Of a few colours each may be a component, and the next k shows that one more is charged for and gains nothing.
        ks = sorted({*(k for k in AUTO_PATH if k < n_cells), *(k for k in (n_cells,) if k < AUTO_PATH[-1])})
        ks += [k for k in AUTO_PATH if k > n_cells][:1]
        return choose([self._criteria(cells, k) for k in ks])

    def _criteria(self, cells: Cells, k: int) -> Criteria:
        """Fit `k` components, as many of them as there are cells, and return the criteria for all k."""
        kind = COVARIANCE_TYPES[self.settings.covariance]
        variance = 1 / (12 * self.histogram.largest**2)  # of an interval: the criteria were tried with it
        rng = np.random.default_rng(self.settings.seed)
        n_components = min(k, cells.weights.size)
        starts = [
            make_start(cells, n_components, self.settings.init, rng, variance, kind) for _ in range(_AUTO_RESTARTS)
        ]
        fit = best(em(cells, start, variance=variance, tol=_AUTO_TOL, max_iter=_AUTO_MAX_ITER) for start in starts)
        evaluation, n = evaluate(cells, fit.gaussians), n_parameters(k, 3, kind)
        total, n_pixels = evaluation.log_likelihood, self.histogram.n_pixels
        return Criteria(k, aic(total, n), bic(total, n, n_pixels), icl(total, n, n_pixels, evaluation.entropy))

    @cached_property
    def _cells(self) -> Cells:
        """The distinct colours, weighted by their counts."""
        return self.histogram.cells()

    @cached_property
    def levels(self) -> list[Cells]:
        """The cells that a fit goes through, the coarsest first, the distinct colours last."""
        n_pixels, shares = self.histogram.n_pixels, [_COARSEST]
        while shares[-1] * _REFINEMENT * 4 < _FINEST * self.histogram.n_colors:
            shares.append(shares[-1] * _REFINEMENT)
        # All octrees before any cells, for the memory that they take for a moment.
        octrees = list(self.histogram.octrees([n_pixels / share for share in reversed(shares)]))
        levels = [self._cells]
        for starts in octrees:
            levels.append(levels[-1].merged(starts))
        return levels[::-1]

    def _given(self, mixture: Gaussians, objective: float) -> Descent:
        """Return the end of a fit for a mixture that nothing was fitted for."""
        return Descent(mixture, (objective,), (self.histogram.n_colors,), n_iter=0, converged=True)

    def _keep(self) -> Descent:
        """Keep the colours as they are, one a component."""
        mixture = exact_mixture(self.histogram, COVARIANCE_TYPES[self.settings.covariance])
        _, objective = e_step(self._cells, mixture, self.histogram.rounding_variance)
        return self._given(mixture, objective)

    def _recolor(
        self, k: int, fit: Descent, receive: Receiver, *, exact: bool, seconds: dict[str, float]
    ) -> QuantizedImage:
        """Label colours and pixels by the fitted mixture, give the picture away, and measure it."""
        started = perf_counter()
        mixture = fit.gaussians
        palette = palette_from_means(mixture.means)
        origin = self._cells.origin
        nearest = exact or self.settings.recoloring == "nearest"
        centers = mixture.means if exact else palette / 255
        theta = center_scores(centers, origin) if nearest else natural_parameters(mixture, origin)
        color_labels = most_probable(theta, self._cells)
        labels = self._label_pixels(color_labels, len(palette))
        recolored = perf_counter()
        receive(labels, palette, self._flat.alpha)
        received = perf_counter()
        evaluation = evaluate(self._cells, mixture)
        return QuantizedImage(
            k=k,
            method=self.settings.method,
            recoloring="nearest" if nearest else "posterior",
            mixture=mixture,
            palette=palette,
            labels=labels,
            alpha=self._flat.alpha,
            counts=_count(color_labels, self.histogram.counts, len(palette)),
            exact=exact,
            trace=fit.trace,
            n_cells=fit.n_cells,
            n_iter=fit.n_iter,
            converged=fit.converged,
            log_likelihood=evaluation.log_likelihood,
            entropy=evaluation.entropy,
            mse=mean_squared_error(self.histogram, palette, color_labels),
            seconds={
                "seed": seconds.get("seed", 0.0),
                "fit": seconds["fit"] + perf_counter() - received,
                "recolor": recolored - started,
            },
        )

    def _label_pixels(self, color_labels: npt.NDArray[Any], n_labels: int) -> npt.NDArray[Any]:
        """Spread the labels of the distinct colours over the pixels, shape (height, width)."""
        compact = color_labels.astype(np.uint8 if n_labels <= 256 else np.uint16)
        return self._flat.laid_out(self.histogram.to_pixels(compact, self._flat.codes))


def coarse_cells(histogram: ColorHistogram) -> Cells:
    """Return the colours in cells of 5 bits a channel, or of as many more as it takes to have a few hundred of them.

    Pictures of low contrast need more bits; those of few colours are taken as they are. The cells stand in the order of
    red, then green, then blue, which decides what chance draws.
    """
    bits, cells = histogram.bit_depth, histogram.cells()
    if histogram.n_colors > AUTO_PATH[-1]:
        for fewer in range(_AUTO_BITS, histogram.bit_depth):
            starts = histogram.cubes(fewer)
            if starts.size >= _AUTO_CELLS:
                bits, cells = fewer, cells.merged(starts)
                break
    red, green, blue = np.floor(
        cells.positions().T * (histogram.largest / (histogram.largest + 1)) * (1 << bits) + 1e-6
    )
    order = np.lexsort([blue, green, red])
    scatter = None if cells.scatter is None else cells.scatter[:, order]
    return Cells(cells.weights[order], cells.offsets[:, order], scatter, cells.origin)


def exact_mixture(histogram: ColorHistogram, kind: CovarianceType = FULL) -> Gaussians:
    """Make each distinct colour a component, the most frequent first, as wide as the rounding of a colour.

    For pictures that have no more colours than were asked for. EM is not run: it could only merge neighbours, and the
    answer that loses nothing is known. Nor are pixels given to their most probable component: beside a neighbour some
    400 times as frequent, a colour would be given to that. The nearest is the colour itself.
    """
    order = np.argsort(-histogram.counts, kind="stable")
    n = histogram.n_colors
    weights = histogram.counts[order] / histogram.n_pixels
    scatter = np.tile(histogram.rounding_variance * (np.eye(3) if kind.dense else np.ones(3)), (n, 1, 1))
    covariances = kind.pool(scatter if kind.dense else scatter[:, 0], weights)
    return Gaussians(weights, histogram.values[order], covariances, kind)


def mean_squared_error(
    histogram: ColorHistogram, palette: npt.NDArray[np.uint8], color_labels: npt.NDArray[Any]
) -> float:
    """Return the mean over pixels of the squared error, summed over channels, in 0..255 units.

    `color_labels` (n_colors,) index `palette` (K, 3).
    """
    scale, total = 255 / histogram.largest, 0.0
    for start in range(0, histogram.n_colors, _CHUNK):
        part = slice(start, start + _CHUNK)
        squared = np.zeros(color_labels[part].size)
        for channel, entries in zip(histogram.channels[:, part], palette.T, strict=True):
            difference = channel * scale - entries[color_labels[part]]
            difference *= difference
            squared += difference
        total += float((histogram.counts[part] * squared).sum())
    return total / histogram.n_pixels


def _count(color_labels: npt.NDArray[Any], counts: npt.NDArray[np.int64], n_labels: int) -> npt.NDArray[np.int64]:
    """Return the number of pixels of each label, shape (n_labels,)."""
    return np.bincount(color_labels, counts, minlength=n_labels).astype(np.int64)


@overload
def quantize(
    image: npt.NDArray[Any],
    k: int | str,
    *,
    seed: int = ...,
    max_iter: int | None = ...,
    tol: float = ...,
    covariance: str = ...,
    init: str = ...,
    restarts: int = ...,
    method: str = ...,
    recolor: str | None = ...,
) -> QuantizedImage: ...


@overload
def quantize(
    image: npt.NDArray[Any],
    k: Iterable[int],
    *,
    seed: int = ...,
    max_iter: int | None = ...,
    tol: float = ...,
    covariance: str = ...,
    init: str = ...,
    restarts: int = ...,
    method: str = ...,
    recolor: str | None = ...,
) -> list[QuantizedImage]: ...


def quantize(
    image: npt.NDArray[Any],
    k: int | str | Iterable[int],
    *,
    seed: int = Settings.seed,
    max_iter: int | None = Settings.max_iter,
    tol: float = Settings.tol,
    covariance: str = Settings.covariance,
    init: str = Settings.init,
    restarts: int = Settings.restarts,
    method: str = Settings.method,
    recolor: str | None = Settings.recolor,
) -> QuantizedImage | list[QuantizedImage]:
    """Remake a picture in `k` colours: the means of a Gaussian mixture fitted to its pixels.

    Parameters
    ----------
    image : ndarray of shape (height, width), (height, width, 3) or (height, width, 4), uint8 or uint16
        Grey, RGB or RGBA, sRGB values; channels in that order (OpenCV's arrays are BGR: pass `image[..., ::-1]`).
    k : int from 1 to 4096, "auto", or iterable of int
        Number of colours; chosen by ICL; or several of them, which then share one histogram.
    seed, max_iter, tol, covariance, init, restarts
        See `gmmquant.Settings`.

    Returns
    -------
    QuantizedImage, or a list of them, one for each value of an iterable `k`, in its order.

    Raises
    ------
    ParameterError
        If the array or a parameter is outside what is accepted, or no pixel is visible.
    """
    settings = Settings(seed, max_iter, tol, covariance, init, restarts, method, recolor)
    if isinstance(k, str):
        check_choice("k", k, [AUTO])
        quantizer = Quantizer(image, settings)
        return quantizer.fit(quantizer.choose_k().k)
    if isinstance(k, Iterable):
        ks = [check_k(each) for each in k]
        if not ks:
            raise ParameterError("k holds no number of colours; give at least one")
        quantizer = Quantizer(image, settings)
        return [quantizer.fit(each) for each in ks]
    return Quantizer(image, settings).fit(check_k(k))
