"""`Fit`: a fitted mixture, the colours of its images, and the figures of its record."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from gmmquant.colors.palette import Palette, to_8_bits
from gmmquant.colors.spaces import COLOR_SPACES
from gmmquant.errors import ParameterError
from gmmquant.models.array_validation import FloatArray, read_only
from gmmquant.models.gaussian import Gaussians, natural_parameters
from gmmquant.models.kmeans import center_scores
from gmmquant.parsing import hex_code, with_alpha
from gmmquant.settings import Settings
from gmmquant.system.printable import plural


class SeedFigures(NamedTuple):
    """A fit from one seed: its log-likelihood per pixel in nats, and the last value of its trace."""

    seed: int
    mean_log_likelihood: float
    objective: float


@dataclass(frozen=True, eq=False, repr=False)
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
        Number of iterations at all levels together, without those of a search.
    tol : float or None
        Gain per iteration, in nats per pixel, at which EM stopped; for KMeans see `Settings.tol`. None if nothing was
        fitted.
    converged : bool or None
        None if the mixture was fitted elsewhere.
    seconds : dict
        Time spent: `seed` (starts) and `fit`, which includes the starts with a search and with KMeans.
    noise : float
        The noise of this fit, in levels of 255: that of the settings or less, see `Settings.noise`. 0 for KMeans and
        for exact colours.
    variance : float
        Variance of each value in the objective, in units of `space`: that of `noise` and of the rounding of the image.
        0 in other spaces than sRGB, where it differs from colour to colour.
    exact : bool
        Whether there were at most `k` colours, each of which is a component. Nothing is fitted or dithered, and each
        pixel gets the nearest colour.
    nearest_by_mean : bool
        Whether the nearest colour is found by the means, not by the palette: 16-bit means can round to the same 8 bits.
        Not at a lower depth, where the colour of a component may be farther from its mean than another.
    colors : ndarray of uint8, shape (K, 3), or None
        The colours of recoloured images unless components are drawn in their means: those of a fixed palette, kept
        colours and others that differ from them, medians and modes, or colours of a lower depth.
    alphas : ndarray of uint8, shape (K,), or None
        The alpha of each colour, from 1 to 255, where both were fitted together; None where images keep their alpha.
    fixed : ndarray of bool, shape (K,), or None
        Which components have fixed colours, as means and in the images; None if none have.
    keeps_order : bool
        Whether files must keep the order of the palette.
    recoloring : str or None
        How pixels get their colours, if the fit decides it and not the settings: see `Settings.recolor`.
    seeds : tuple of SeedFigures
        The fits from several seeds, of which this is the best; empty if there was one.
    seed : int or None
        The seed of this fit, if there are several.
    given : tuple of str
        The palette that weights and covariances were fitted to, or of which the best colours were taken, as `#rrggbb`.
    settings : Settings or None
        Those of the fit.

    Fits are compared by identity, as `==` of arrays has no single answer: compare their `palette`, `trace` or mixture.
    Copies of `palette` can be edited; it is read-only.
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
    variance: float = 0.0
    exact: bool = False
    nearest_by_mean: bool = False
    colors: Palette | None = None
    alphas: npt.NDArray[np.uint8] | None = None
    fixed: npt.NDArray[np.bool_] | None = None
    keeps_order: bool = False
    recoloring: str | None = None
    seeds: tuple[SeedFigures, ...] = ()
    seed: int | None = None
    given: tuple[str, ...] = ()
    settings: Settings | None = None

    def _repr_html_(self) -> str:
        """Return the palette and the figures as notebooks show them."""
        from gmmquant.quantization.notebook import fit_html

        return fit_html(self)

    def __repr__(self) -> str:
        """Return the number of colours, method, space and iterations in one line."""
        converged = {True: "converged", False: "not converged", None: "not fitted here"}[self.converged]
        return f"<Fit k={self.k}, {self.method}, {self.space}, {plural(self.n_iter, 'iteration')}, {converged}>"

    def to_space(self, colors: npt.ArrayLike) -> FloatArray:
        """Return sRGB colours as points of the space of the fit, to which its means and covariances belong.

        Parameters
        ----------
        colors : array-like of shape (..., 3)
            uint8, uint16, or floating-point values from 0 to 1. Of an image with alpha, pass the first three channels.

        Returns
        -------
        ndarray of shape (..., 3)

        Raises
        ------
        ParameterError
            If the shape or the type is another, or a floating-point value is not from 0 to 1.
        """
        values = np.asarray(colors)
        known = values.dtype in (np.uint8, np.uint16) or values.dtype.kind == "f"
        if not known or values.ndim == 0 or values.shape[-1] != 3:
            raise ParameterError(
                f"colors is {values.dtype} of shape {values.shape}; pass uint8, uint16 or floats of shape (..., 3)"
            )
        if values.dtype.kind == "f" and not ((values >= 0) & (values <= 1)).all():
            found = f"{values.min():g} to {values.max():g}"
            raise ParameterError(f"colors has floats from {found}; pass values from 0 to 1, as in colors / 255")
        scale = 1.0 if values.dtype.kind == "f" else float(np.iinfo(values.dtype).max)
        return COLOR_SPACES[self.space].from_srgb(values.astype(np.float64) / scale)

    @cached_property
    def palette(self) -> Palette:
        """The colours of recoloured images, uint8 (K, 3), which are `colors`, or the means rounded to 8 bits."""
        colors = to_8_bits(self.mixture.means, COLOR_SPACES[self.space]) if self.colors is None else self.colors
        return read_only(colors)

    @property
    def codes(self) -> list[str]:
        """The colours of `palette` as `#rrggbb`, and those with an alpha below 255 as `#rrggbbaa`."""
        return with_alpha(list(map(hex_code, self.palette)), None if self.alphas is None else self.alphas.tolist())

    @property
    def centers(self) -> FloatArray:
        """The colours among which the nearest is found, in the space of the fit, (K, 3)."""
        return self.mixture.means if self.nearest_by_mean else COLOR_SPACES[self.space].from_srgb(self.palette / 255)

    def scores(self, recoloring: str, origin: FloatArray) -> FloatArray:
        """Return the parameters by which a colour relative to `origin` gets its entry of the palette: see `sweep`."""
        if recoloring == "nearest":
            return center_scores(self.centers, origin)
        return natural_parameters(self.mixture, origin)

    def drawing(self, settings: Settings) -> tuple[str, str]:
        """Return the recoloring and the dither of images: those of the fit, otherwise those of `settings`."""
        return self.recoloring or settings.recoloring, "none" if self.exact else settings.dither

    def smoothing(self, settings: Settings) -> float:
        """Return the strength of smoothing: that of `settings`, or 0 where each pixel keeps its colour."""
        return 0.0 if self.exact else settings.smooth
