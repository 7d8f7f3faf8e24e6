"""The main job on one picture: histogram -> KMeans -> EM -> recolour, for each k.

picture -> visible pixels -> ColorHistogram -> cells -> KMeans -> Gaussian mixture
        -> label of each distinct colour -> label of each pixel -> recoloured picture
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from time import perf_counter
from typing import Any, overload

import numpy as np
import numpy.typing as npt

from gmmquant.colors.histogram import ColorHistogram
from gmmquant.colors.palette import palette_from_means
from gmmquant.errors import ParameterError
from gmmquant.images.pixels import alpha_to_8_bits, split_channels
from gmmquant.models.checks import check_finite_objective
from gmmquant.models.covariance import COVARIANCE_TYPES, FULL, CovarianceType
from gmmquant.models.em import EMFit, Watcher, best, em, em_step, evaluate, make_start, watch_nothing
from gmmquant.models.gaussian import Gaussians
from gmmquant.models.kmeans import center_scores
from gmmquant.models.moments import Cells, most_probable
from gmmquant.models.parameters import check_choice
from gmmquant.models.selection import Choice, Criteria, aic, bic, choose, icl, n_parameters
from gmmquant.quantized import QuantizedImage
from gmmquant.settings import AUTO, Settings, check_k

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
    image : ndarray of shape (height, width), (height, width, 3) or (height, width, 4), uint8 or uint16
        Grey, RGB or RGBA, sRGB values. Fully transparent pixels take no part in the fit.
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

    def __init__(self, image: npt.NDArray[Any], settings: Settings | None = None) -> None:
        rgb, alpha = split_channels(image)
        self.settings = settings or Settings()
        self.shape = (int(rgb.shape[0]), int(rgb.shape[1]))
        self._alpha = None if alpha is None else alpha_to_8_bits(alpha)
        self._visible = None if alpha is None else alpha > 0
        self._pixels = rgb.reshape(-1, 3) if self._visible is None else rgb[self._visible]
        if len(self._pixels) == 0:
            raise ParameterError("every pixel is fully transparent: there is no visible colour to fit")
        self.histogram = ColorHistogram.from_pixels(self._pixels)
        self._cells = self.histogram.cells()

    def fit(self, k: int, watch: Watcher = watch_nothing) -> QuantizedImage:
        """Fit a mixture of `k` components and recolour the picture by it.

        `watch(n_iter, objective)` is called at the start and after each iteration of EM.
        """
        check_k(k)
        started = perf_counter()
        if self.histogram.n_colors <= k:
            return self._recolor(k, self._keep(), exact=True, seconds={"seed": 0.0, "fit": perf_counter() - started})
        rng = np.random.default_rng(self.settings.seed)
        starts = [self._start(k, rng) for _ in range(self.settings.restarts)]
        seeded = perf_counter()
        fit = best(self._refine(start, watch) for start in starts)
        fit = replace(fit, gaussians=fit.gaussians.sorted())
        return self._recolor(k, fit, exact=False, seconds={"seed": seeded - started, "fit": perf_counter() - seeded})

    def apply(self, mixture: Gaussians, *, exact: bool = False) -> QuantizedImage:
        """Recolour the picture by a mixture that was fitted elsewhere; nothing is fitted.

        `exact` says that the mixture keeps the colours of a picture, one a component: each pixel then gets the nearest.
        """
        started = perf_counter()
        _, objective = em_step(self._cells, mixture, self.histogram.rounding_variance)
        check_finite_objective("objective", objective)
        fit = EMFit(mixture, (objective,), converged=True)
        seconds = {"fit": perf_counter() - started}
        return replace(self._recolor(len(mixture.weights), fit, exact=exact, seconds=seconds), converged=None)

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
        variance, kind = self.histogram.rounding_variance, COVARIANCE_TYPES[self.settings.covariance]
        rng = np.random.default_rng(self.settings.seed)
        n_components = min(k, cells.weights.size)
        starts = [
            make_start(cells, n_components, self.settings.init, rng, variance, kind) for _ in range(_AUTO_RESTARTS)
        ]
        fit = best(em(cells, start, variance=variance, tol=_AUTO_TOL, max_iter=_AUTO_MAX_ITER) for start in starts)
        evaluation, n = evaluate(cells, fit.gaussians), n_parameters(k, 3, kind)
        total, n_pixels = evaluation.log_likelihood, self.histogram.n_pixels
        return Criteria(k, aic(total, n), bic(total, n, n_pixels), icl(total, n, n_pixels, evaluation.entropy))

    def _start(self, k: int, rng: np.random.Generator) -> Gaussians:
        """Place the components, by KMeans if not told otherwise."""
        kind = COVARIANCE_TYPES[self.settings.covariance]
        return make_start(self._cells, k, self.settings.init, rng, self.histogram.rounding_variance, kind)

    def _refine(self, start: Gaussians, watch: Watcher) -> EMFit:
        """Refine the components by EM."""
        variance = self.histogram.rounding_variance
        tol, max_iter = self.settings.tol, self.settings.max_iter
        return em(self._cells, start, variance=variance, tol=tol, max_iter=max_iter, watch=watch)

    def _keep(self) -> EMFit:
        """Keep the colours as they are, one a component."""
        mixture = exact_mixture(self.histogram, COVARIANCE_TYPES[self.settings.covariance])
        _, objective = em_step(self._cells, mixture, self.histogram.rounding_variance)
        return EMFit(mixture, (objective,), converged=True)

    def _recolor(self, k: int, fit: EMFit, *, exact: bool, seconds: dict[str, float]) -> QuantizedImage:
        """Label colours and pixels by the fitted mixture, and measure it."""
        started = perf_counter()
        mixture = fit.gaussians
        evaluation = evaluate(self._cells, mixture)
        color_labels = evaluation.labels
        if exact:
            color_labels = most_probable(center_scores(mixture.means, self._cells.origin), self._cells)
        evaluated = perf_counter()
        palette = palette_from_means(mixture.means)
        labels = self._label_pixels(color_labels, len(palette))
        return QuantizedImage(
            k=k,
            mixture=mixture,
            palette=palette,
            labels=labels,
            alpha=self._alpha,
            counts=_count(color_labels, self.histogram.counts, len(palette)),
            exact=exact,
            trace=fit.trace,
            level=self.histogram.bit_depth,
            converged=fit.converged,
            log_likelihood=evaluation.log_likelihood,
            entropy=evaluation.entropy,
            mse=mean_squared_error(self.histogram, palette, color_labels),
            seconds={
                "seed": seconds.get("seed", 0.0),
                "fit": seconds["fit"] + evaluated - started,
                "recolor": perf_counter() - evaluated,
            },
        )

    def _label_pixels(self, color_labels: npt.NDArray[Any], n_labels: int) -> npt.NDArray[Any]:
        """Spread the labels of the distinct colours over the pixels, shape (height, width)."""
        compact = color_labels.astype(np.uint8 if n_labels <= 256 else np.uint16)
        spread = self.histogram.to_pixels(compact, self._pixels)
        if self._visible is None:
            return spread.reshape(self.shape)
        labels = np.zeros(self.shape, dtype=compact.dtype)
        labels[self._visible] = spread
        return labels


def coarse_cells(histogram: ColorHistogram) -> Cells:
    """Return the colours in cells of 5 bits a channel, or of as many more as it takes to have a few hundred of them.

    Pictures of low contrast need more bits; those of few colours are taken as they are.
    """
    if histogram.n_colors > AUTO_PATH[-1]:
        for bits in range(_AUTO_BITS, histogram.bit_depth):
            cells = histogram.cells(bits)
            if cells.weights.size >= _AUTO_CELLS:
                return cells
    return histogram.cells()


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
    difference = histogram.values * 255 - palette[color_labels]
    return float((histogram.counts * (difference**2).sum(axis=1)).sum()) / histogram.n_pixels


def _count(color_labels: npt.NDArray[Any], counts: npt.NDArray[np.int64], n_labels: int) -> npt.NDArray[np.int64]:
    """Return the number of pixels of each label, shape (n_labels,)."""
    totals = np.zeros(n_labels, dtype=np.int64)
    np.add.at(totals, color_labels, counts)
    return totals


@overload
def quantize(
    image: npt.NDArray[Any],
    k: int | str,
    *,
    seed: int = ...,
    max_iter: int = ...,
    tol: float = ...,
    covariance: str = ...,
    init: str = ...,
    restarts: int = ...,
) -> QuantizedImage: ...


@overload
def quantize(
    image: npt.NDArray[Any],
    k: Iterable[int],
    *,
    seed: int = ...,
    max_iter: int = ...,
    tol: float = ...,
    covariance: str = ...,
    init: str = ...,
    restarts: int = ...,
) -> list[QuantizedImage]: ...


def quantize(
    image: npt.NDArray[Any],
    k: int | str | Iterable[int],
    *,
    seed: int = Settings.seed,
    max_iter: int = Settings.max_iter,
    tol: float = Settings.tol,
    covariance: str = Settings.covariance,
    init: str = Settings.init,
    restarts: int = Settings.restarts,
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
    settings = Settings(seed, max_iter, tol, covariance, init, restarts)
    if isinstance(k, str):
        check_choice("k", k, [AUTO])
        quantizer = Quantizer(image, settings)
        return quantizer.fit(quantizer.choose_k().k)
    if isinstance(k, Iterable):
        ks = [check_k(each) for each in k]
        quantizer = Quantizer(image, settings)
        return [quantizer.fit(each) for each in ks]
    return Quantizer(image, settings).fit(check_k(k))
