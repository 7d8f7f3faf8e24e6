"""What comes of a fit: figures of all that was drawn by it, and an image in its colours."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from gmmquant.images.recolor import ColorImage, IndexedImage
from gmmquant.models.array_validation import FloatArray
from gmmquant.models.gaussian import Gaussians
from gmmquant.models.selection import aic, bic, icl, n_parameters


@dataclass(frozen=True)
class FitFigures:
    """A fitted mixture with what is known of it and of an image drawn by it, or of many together.

    Attributes
    ----------
    k : int
        Number of components asked for.
    method : "gmm" or "kmeans"
    recoloring : "posterior", "nearest", "soft" or "transfer"
        What a label says: the most probable component, or the nearest colour of the palette. "soft" and "transfer" have
        the labels of "posterior", but are drawn in colours of their own: the posterior means, or what the colours of
        another image make of them.
    dither : "none", "floyd-steinberg", "blue-noise" or "posterior"
    mixture : Gaussians
        The mixture, or the clusters of KMeans as one, heaviest component first (those of a given palette in its
        order), for colours of `space`. Its number of
        components K is below `k` where the image has fewer colours.
    space : str
        Colour space of the fit: the likelihood is that of densities in it.
    palette : ndarray of uint8, shape (K, 3)
        The means, rounded to 8 bits.
    counts : ndarray of int64, shape (K,)
        Visible pixels of each component.
    means_fixed : bool
        Whether the means were not fitted but given, as a palette; a criterion does not charge for them.
    exact : bool
        Whether the image has at most `k` colours, which are then kept as they are.
    trace : tuple of float
        Objective at the start of each level of the fit and after each iteration: J, in nats per pixel; of KMeans, the
        mean squared distance to the nearest center (outside sRGB, with that of colours within the rounding of 8 bits).
    n_cells : tuple of int
        Number of cells of the level that each value of `trace` was taken on; at the last they are the distinct colours,
        unless those are beyond the work that a fit is allowed.
    n_iter : int
        Number of iterations, at all levels together.
    tol : float, or None where nothing was fitted
        The gain of an iteration of EM, in nats per pixel, below which it was the last; of KMeans see `Settings.tol`.
    converged : bool, or None where nothing was fitted
    log_likelihood : float
        Sum over visible pixels of log sum_k weights[k] N(x | means[k], covariances[k]), in nats.
    entropy : float
        Sum over visible pixels of the entropy of the responsibilities, in nats.
    mse : float
        Mean over visible pixels of the squared error, summed over the three channels, in 0..255 units.
    errors : dict
        The same for each way to recolour by this fit, without dithering: `posterior`, `nearest`, `soft`.
    seconds : dict
        Time spent: `seed` (KMeans), `fit` (EM and the final likelihood), `recolor`.
    """

    k: int
    method: str
    recoloring: str
    dither: str
    mixture: Gaussians
    space: str
    palette: npt.NDArray[np.uint8]
    counts: npt.NDArray[np.int64]
    means_fixed: bool
    exact: bool
    trace: tuple[float, ...]
    n_cells: tuple[int, ...]
    n_iter: int
    tol: float | None
    converged: bool | None
    log_likelihood: float
    entropy: float
    mse: float
    errors: dict[str, float]
    seconds: dict[str, float]

    @property
    def weights(self) -> FloatArray:
        """Weights of the components, shape (K,)."""
        return self.mixture.weights

    @property
    def means(self) -> FloatArray:
        """Means of the components, shape (K, 3), in the space of the fit (sRGB in [0, 1] by default)."""
        return self.mixture.means

    @property
    def covariances(self) -> FloatArray:
        """Covariances of the components, shape (K, 3, 3), whatever their type."""
        return self.mixture.full_covariances()

    @property
    def k_fitted(self) -> int:
        """Number of components fitted: `k`, or the number of distinct colours where that is smaller."""
        return len(self.weights)

    @property
    def n_pixels(self) -> int:
        """Number of visible pixels: those the mixture was fitted to."""
        return int(self.counts.sum())

    @property
    def mean_log_likelihood(self) -> float:
        """Log-likelihood per visible pixel, in nats."""
        return self.log_likelihood / self.n_pixels

    @property
    def aic(self) -> float:
        """Akaike's criterion of the fit."""
        return aic(self.log_likelihood, self._n_parameters())

    @property
    def bic(self) -> float:
        """Bayesian information criterion of the fit, with the visible pixels as samples."""
        return bic(self.log_likelihood, self._n_parameters(), self.n_pixels)

    @property
    def icl(self) -> float:
        """Integrated completed likelihood of the fit, as a criterion to be minimised."""
        return icl(self.log_likelihood, self._n_parameters(), self.n_pixels, self.entropy)

    def _n_parameters(self) -> int:
        fitted = n_parameters(self.k_fitted, 3, self.mixture.covariance_type)
        return fitted - self.means.size if self.means_fixed else fitted

    @property
    def psnr(self) -> float:
        """Peak signal-to-noise ratio in decibels; infinite where every pixel is exact."""
        return 10 * math.log10(3 * 255**2 / self.mse) if self.mse > 0 else math.inf


@dataclass(frozen=True)
class QuantizedImage(FitFigures):
    """An image in the colours of a fitted mixture, with the figures of the fit.

    Attributes
    ----------
    labels : ndarray of uint8 or uint16, shape (height, width)
        Index of each pixel's component, see `recoloring`; 0 where the image is fully transparent.
    colors : ndarray of uint8, shape (height, width, 3), or None
        The colours that pixels are drawn in where they are not entries of the palette.
    alpha : ndarray of uint8, shape (height, width), or None
    """

    labels: npt.NDArray[Any]
    colors: npt.NDArray[np.uint8] | None
    alpha: npt.NDArray[np.uint8] | None

    @property
    def image(self) -> npt.NDArray[np.uint8]:
        """The recoloured image, RGB (height, width, 3), or RGBA where the original has alpha."""
        return self.drawn.pixels

    @property
    def drawn(self) -> IndexedImage | ColorImage:
        """The recoloured image as it is written: indexed, or in colours of its own."""
        if self.colors is not None:
            return ColorImage(self.colors, self.alpha)
        return IndexedImage(self.labels, self.palette, self.alpha)
