"""The main job on one picture: histogram -> KMeans -> EM -> recolour, for each k.

picture -> visible pixels -> ColorHistogram -> cells -> KMeans -> Gaussian mixture
        -> label of each distinct colour -> label of each pixel -> recoloured picture
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass, replace
from time import perf_counter
from typing import Any, overload

import numpy as np
import numpy.typing as npt

from gmmquant.colors.histogram import ColorHistogram
from gmmquant.colors.palette import palette_from_means
from gmmquant.errors import ParameterError
from gmmquant.images.pixels import alpha_to_8_bits, split_channels
from gmmquant.images.recolor import recolor
from gmmquant.models.checks import FloatArray
from gmmquant.models.em import EMFit, Watcher, em, em_step, evaluate, start_from_kmeans, watch_nothing
from gmmquant.models.gaussian import Gaussians
from gmmquant.models.moments import Cells
from gmmquant.models.selection import aic, bic, icl, n_parameters
from gmmquant.settings import Settings, check_k


@dataclass(frozen=True)
class QuantizedImage:
    """A picture in the colours of a fitted mixture, with what is known of the fit.

    Attributes
    ----------
    k : int
        Number of components asked for.
    weights, means, covariances : ndarrays of shape (K,), (K, 3), (K, 3, 3)
        The mixture, heaviest component first, for sRGB in [0, 1]. K is below `k` where the picture has fewer colours.
    palette : ndarray of uint8, shape (K, 3)
        The means, rounded to 8 bits.
    labels : ndarray of uint8 or uint16, shape (height, width)
        Index of each pixel's most probable component; 0 where the picture is fully transparent.
    alpha : ndarray of uint8, shape (height, width), or None
    counts : ndarray of int64, shape (K,)
        Visible pixels of each component.
    exact : bool
        Whether the picture has at most `k` colours, which are then kept as they are.
    trace : tuple of float
        Objective J, in nats per pixel, at the start and after each iteration.
    level : int
        Bits per channel of the colours that the trace was taken on.
    converged : bool
    log_likelihood : float
        Sum over visible pixels of log sum_k weights[k] N(x | means[k], covariances[k]), in nats.
    entropy : float
        Sum over visible pixels of the entropy of the responsibilities, in nats.
    mse : float
        Mean over visible pixels of the squared error, summed over the three channels, in 0..255 units.
    seconds : dict
        Time spent: `seed` (KMeans), `fit` (EM and the final likelihood), `recolor`.
    """

    k: int
    weights: FloatArray
    means: FloatArray
    covariances: FloatArray
    palette: npt.NDArray[np.uint8]
    labels: npt.NDArray[Any]
    alpha: npt.NDArray[np.uint8] | None
    counts: npt.NDArray[np.int64]
    exact: bool
    trace: tuple[float, ...]
    level: int
    converged: bool
    log_likelihood: float
    entropy: float
    mse: float
    seconds: dict[str, float]

    @property
    def image(self) -> npt.NDArray[np.uint8]:
        """The recoloured picture, RGB (height, width, 3), or RGBA where the original has alpha."""
        return recolor(self.labels, self.palette, self.alpha)

    @property
    def k_fitted(self) -> int:
        """Number of components fitted: `k`, or the number of distinct colours where that is smaller."""
        return len(self.weights)

    @property
    def n_pixels(self) -> int:
        """Number of visible pixels: those the mixture was fitted to."""
        return int(self.counts.sum())

    @property
    def n_iter(self) -> int:
        """Number of EM iterations."""
        return len(self.trace) - 1

    @property
    def mean_log_likelihood(self) -> float:
        """Log-likelihood per visible pixel, in nats."""
        return self.log_likelihood / self.n_pixels

    @property
    def aic(self) -> float:
        """Akaike's criterion of the fit."""
        return aic(self.log_likelihood, n_parameters(*self.means.shape))

    @property
    def bic(self) -> float:
        """Bayesian information criterion of the fit, with the visible pixels as samples."""
        return bic(self.log_likelihood, n_parameters(*self.means.shape), self.n_pixels)

    @property
    def icl(self) -> float:
        """Integrated completed likelihood of the fit, as a criterion to be minimised."""
        return icl(self.log_likelihood, n_parameters(*self.means.shape), self.n_pixels, self.entropy)

    @property
    def psnr(self) -> float:
        """Peak signal-to-noise ratio in decibels; infinite where every pixel is exact."""
        return 10 * math.log10(3 * 255**2 / self.mse) if self.mse > 0 else math.inf


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
        self._cells = Cells.from_samples(self.histogram.values, self.histogram.counts.astype(np.float64))

    def fit(self, k: int, watch: Watcher = watch_nothing) -> QuantizedImage:
        """Fit a mixture of `k` components and recolour the picture by it.

        `watch(n_iter, objective)` is called at the start and after each iteration of EM.
        """
        check_k(k)
        exact = self.histogram.n_colors <= k
        started = perf_counter()
        start, own_labels = exact_mixture(self.histogram) if exact else (self._cluster(k), None)
        seeded = perf_counter()
        fit = self._keep(start) if exact else self._refine(start, watch)
        gaussians = fit.gaussians
        evaluation = evaluate(self._cells, gaussians)
        color_labels = evaluation.labels if own_labels is None else own_labels
        fitted = perf_counter()
        palette = palette_from_means(gaussians.means)
        labels = self._label_pixels(color_labels, len(palette))
        recolored = perf_counter()
        return QuantizedImage(
            k=k,
            weights=gaussians.weights,
            means=gaussians.means,
            covariances=gaussians.covariances,
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
            seconds={"seed": seeded - started, "fit": fitted - seeded, "recolor": recolored - fitted},
        )

    def _cluster(self, k: int) -> Gaussians:
        """Place the components by KMeans."""
        rng = np.random.default_rng(self.settings.seed)
        return start_from_kmeans(self._cells, k, rng, self.histogram.rounding_variance)

    def _refine(self, start: Gaussians, watch: Watcher) -> EMFit:
        """Refine the components by EM; the heaviest comes first."""
        variance = self.histogram.rounding_variance
        tol, max_iter = self.settings.tol, self.settings.max_iter
        fit = em(self._cells, start, variance=variance, tol=tol, max_iter=max_iter, watch=watch)
        return replace(fit, gaussians=fit.gaussians.sorted())

    def _keep(self, start: Gaussians) -> EMFit:
        """Keep the components as they are."""
        _, objective = em_step(self._cells, start, self.histogram.rounding_variance)
        return EMFit(start, (objective,), converged=True)

    def _label_pixels(self, color_labels: npt.NDArray[Any], n_labels: int) -> npt.NDArray[Any]:
        """Spread the labels of the distinct colours over the pixels, shape (height, width)."""
        compact = color_labels.astype(np.uint8 if n_labels <= 256 else np.uint16)
        spread = self.histogram.to_pixels(compact, self._pixels)
        if self._visible is None:
            return spread.reshape(self.shape)
        labels = np.zeros(self.shape, dtype=compact.dtype)
        labels[self._visible] = spread
        return labels


def exact_mixture(histogram: ColorHistogram) -> tuple[Gaussians, npt.NDArray[np.intp]]:
    """Make each distinct colour a component, as wide as the rounding of a colour; return its label for each colour too.

    For pictures that have no more colours than were asked for. EM is not run: it could only merge neighbours, and the
    answer that loses nothing is known. Nor are the labels those of the most probable components: beside a neighbour
    some 400 times as frequent, a colour would be given to that.
    """
    n = histogram.n_colors
    order = np.argsort(-histogram.counts, kind="stable")
    labels = np.empty_like(order)
    labels[order] = np.arange(n)
    covariances = np.tile(histogram.rounding_variance * np.eye(3), (n, 1, 1))
    return Gaussians(histogram.counts[order] / histogram.n_pixels, histogram.values[order], covariances), labels


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
    image: npt.NDArray[Any], k: int, *, seed: int = ..., max_iter: int = ..., tol: float = ...
) -> QuantizedImage: ...


@overload
def quantize(
    image: npt.NDArray[Any], k: Iterable[int], *, seed: int = ..., max_iter: int = ..., tol: float = ...
) -> list[QuantizedImage]: ...


def quantize(
    image: npt.NDArray[Any],
    k: int | Iterable[int],
    *,
    seed: int = Settings.seed,
    max_iter: int = Settings.max_iter,
    tol: float = Settings.tol,
) -> QuantizedImage | list[QuantizedImage]:
    """Remake a picture in `k` colours: the means of a Gaussian mixture fitted to its pixels.

    Parameters
    ----------
    image : ndarray of shape (height, width), (height, width, 3) or (height, width, 4), uint8 or uint16
        Grey, RGB or RGBA, sRGB values; channels in that order (OpenCV's arrays are BGR: pass `image[..., ::-1]`).
    k : int or iterable of int, 1 to 4096
        Number of colours, or several of them, which then share one histogram.
    seed, max_iter, tol
        See `gmmquant.Settings`.

    Returns
    -------
    QuantizedImage, or a list of them, one for each value of an iterable `k`, in its order.

    Raises
    ------
    ParameterError
        If the array or a parameter is outside what is accepted, or no pixel is visible.
    """
    settings = Settings(seed=seed, max_iter=max_iter, tol=tol)
    if isinstance(k, Iterable):
        ks = [check_k(each) for each in k]
        quantizer = Quantizer(image, settings)
        return [quantizer.fit(each) for each in ks]
    return Quantizer(image, settings).fit(check_k(k))
