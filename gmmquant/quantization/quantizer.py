"""The main job on one image: it is fitted and recoloured, for each k.

image -> visible pixels -> ColorHistogram -> Fitter -> Fit, which may come from elsewhere
        -> label of each distinct colour -> label of each pixel -> recoloured image

What only some runs need is imported where it is used: a module takes about a millisecond, the fit of a cat thirty.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace
from functools import cached_property, partial
from time import perf_counter
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from gmmquant.colors.palette import to_8_bits
from gmmquant.colors.spaces import SRGB
from gmmquant.errors import ParameterError
from gmmquant.images.distortion import error_of_colors, error_of_labels, error_of_pixels
from gmmquant.images.pixels import FlatImage
from gmmquant.images.recolor import ColorImage, IndexedImage
from gmmquant.models.array_validation import FloatArray
from gmmquant.models.cells import Cells
from gmmquant.models.em import Watcher, watch_nothing
from gmmquant.models.gaussian import Gaussians, natural_parameters
from gmmquant.models.inference import Evaluation, Posterior, evaluate, posteriors
from gmmquant.models.kmeans import center_scores
from gmmquant.models.selection import Choice
from gmmquant.models.sweep import most_probable
from gmmquant.quantization.fitter import Fit, Fitter
from gmmquant.quantization.result import QuantizedImage
from gmmquant.settings import Settings

if TYPE_CHECKING:
    from gmmquant.images.maps import GreyMap

Receiver = Callable[[IndexedImage | ColorImage], None]


def receive_nothing(image: IndexedImage | ColorImage) -> None:
    """Do nothing with a recoloured image."""


class Quantizer:
    """One image, made ready once for fits at any number of k.

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
    fitter : Fitter
        What fits its colours; it knows nothing of the pixels.
    shape : (height, width)

    Raises
    ------
    ParameterError
        If the array is of another shape or type, or has no visible pixel.
    """

    def __init__(self, image: npt.NDArray[Any] | FlatImage, settings: Settings | None = None) -> None:
        self._flat = image if isinstance(image, FlatImage) else FlatImage.from_array(image)
        self.shape = self._flat.shape
        self.histogram = self._flat.histogram()
        self.fitter = Fitter(self.histogram, settings)

    @property
    def settings(self) -> Settings:
        """What influences a fit, and how the image is drawn by it."""
        return self.fitter.settings

    def fit(self, k: int, watch: Watcher = watch_nothing, receive: Receiver = receive_nothing) -> QuantizedImage:
        """Fit a mixture of `k` components and recolour the image by it.

        `watch(n_iter, objective)` is called at the start and after each iteration of EM, `receive(image)` as
        soon as the image is recoloured, before the likelihood is computed.
        """
        return self.draw(self.fitter.fit(k, watch), receive)

    def fit_palette(
        self, palette: npt.NDArray[np.uint8], watch: Watcher = watch_nothing, receive: Receiver = receive_nothing
    ) -> QuantizedImage:
        """Recolour the image by a given palette (K, 3): means that stay, with weights and covariances fitted to them.

        The colours are exactly those given, in their order. Unless the settings say otherwise, each pixel gets the
        nearest.

        Raises
        ------
        ParameterError
            If `palette` is not uint8 of shape (K, 3), or holds none or more than 4096 colours.
        """
        return self.draw(self.fitter.fit_palette(palette, watch), receive)

    def apply(self, mixture: Gaussians, *, exact: bool = False, receive: Receiver = receive_nothing) -> QuantizedImage:
        """Recolour the image by a mixture that was fitted elsewhere; nothing is fitted.

        `exact` says that the mixture keeps the colours of an image, one a component: the nearest is then the nearest
        mean, not the nearest of the colours as they are written.
        """
        return self.draw(self.fitter.judge(mixture, unrounded=exact), receive)

    def maps(self, fit: QuantizedImage) -> tuple[GreyMap, GreyMap]:
        """Return the maps of a fit to this image: the entropy of each pixel, and its log-density."""
        from gmmquant.images.maps import GreyMap

        entropy, log_density = np.empty((2, self.histogram.n_colors))
        for posterior in posteriors(self._points, fit.mixture):
            entropy[posterior.columns] = posterior.entropies / np.log(2)
            log_density[posterior.columns] = posterior.log_densities
        return (
            GreyMap.of_entropy(self._flat.laid_out(self._spread(entropy)), fit.k_fitted),
            GreyMap.of_log_density(self._flat.laid_out(self._spread(log_density)), self._flat.visible),
        )

    def layers(self, fit: QuantizedImage) -> Iterator[ColorImage]:
        """Yield each component of a fit to this image as a layer: its colour, with its responsibility as alpha."""
        from gmmquant.images.layers import layer_alphas

        index = self._spread(np.arange(self.histogram.n_colors, dtype=np.uint32))
        alpha = np.full(self.shape, 255, dtype=np.uint8) if self._flat.alpha is None else self._flat.alpha
        visible = alpha.ravel() if self._flat.visible is None else alpha[self._flat.visible]
        layers = layer_alphas(self._points, fit.mixture, fit.palette, index, visible)
        for color, layer in zip(fit.palette, layers, strict=True):
            yield ColorImage(np.broadcast_to(color, (*self.shape, 3)), self._flat.laid_out(layer))

    def transfer(self, fit: QuantizedImage, target: Gaussians, receive: Receiver = receive_nothing) -> QuantizedImage:
        """Draw the image in the colours of another, by optimal transport from its mixture to `target`.

        `fit` is a fit to this image, `target` a mixture in the same space. The labels are those of the most probable
        components, the error is how far colours were moved.
        """
        from gmmquant.models.transport import transport_between

        started = perf_counter()
        moved = transport_between(fit.mixture, target).map(self._points)
        colors = to_8_bits(moved, self.fitter.space)
        drawn = self._flat.laid_out(self._spread(colors))
        color_labels = self._most_probable(natural_parameters(fit.mixture, self._points.origin))
        seconds = {**fit.seconds, "recolor": fit.seconds["recolor"] + perf_counter() - started}
        receive(ColorImage(drawn, self._flat.alpha))
        return replace(
            fit,
            recoloring="transfer",
            dither="none",
            exact=False,
            colors=drawn,
            labels=self._label_pixels(color_labels, fit.k_fitted),
            counts=self.histogram.count(color_labels, fit.k_fitted),
            mse=error_of_colors(self.histogram, colors),
            seconds=seconds,
        )

    @property
    def n_frames(self) -> int:
        """Number of frames, one below the other."""
        return self._flat.n_frames

    @property
    def visible(self) -> npt.NDArray[np.bool_] | None:
        """Where the image is not fully transparent, shape (height, width); None where it has no alpha."""
        return self._flat.visible

    def choose_k(self) -> Choice:
        """Choose a number of colours by ICL."""
        return self.fitter.choose_k()

    def draw(self, fit: Fit, receive: Receiver = receive_nothing) -> QuantizedImage:
        """Recolour the image by a fit, which may be one to other images; `receive(image)` as for `fit`.

        Raises
        ------
        ParameterError
            If the fit is one in another colour space than that of the settings.
        """
        if fit.space != self.settings.space:
            asked = self.settings.space
            raise ParameterError(f"a fit in {fit.space} cannot draw in {asked}; give both the same settings")
        started = perf_counter()
        mixture, settings, alpha = fit.mixture, self.settings, self._flat.alpha
        palette, (recoloring, dither) = fit.palette, fit.drawn_as(settings)
        centers = mixture.means if fit.unrounded else self.fitter.space.from_srgb(palette / 255)
        ways = {
            "posterior": partial(self._most_probable, natural_parameters(mixture, self._points.origin)),
            "nearest": partial(self._most_probable, center_scores(centers, self._points.origin)),
        }
        way = "nearest" if recoloring == "nearest" else "posterior"
        evaluated = self._evaluate(mixture, palette) if recoloring == "soft" else None
        color_labels = ways[way]()
        labels = self._label_pixels(color_labels, len(palette)) if dither == "none" else self._dither(mixture, palette)
        colors = None if evaluated is None else self._flat.laid_out(self._spread(evaluated[1]))
        recolored = perf_counter()
        receive(IndexedImage(labels, palette, alpha) if colors is None else ColorImage(colors, alpha))
        received = perf_counter()
        evaluation, mean_colors = evaluated or self._evaluate(mixture, palette)
        by_way = {other: color_labels if other == way else label() for other, label in ways.items()}
        errors = {other: error_of_labels(self.histogram, by_way[other], palette) for other in ways}
        errors["soft"] = error_of_colors(self.histogram, mean_colors)
        if dither == "none":
            mse, counts = errors[recoloring], self.histogram.count(color_labels, len(palette))
        else:
            visible = self._flat.visible_values(labels)
            mse = error_of_pixels(self._flat.codes, self._flat.bit_depth, visible, palette)
            counts = np.bincount(visible, minlength=len(palette))
        return QuantizedImage(
            k=fit.k,
            method=fit.method,
            recoloring=recoloring,
            dither=dither,
            mixture=mixture,
            space=settings.space,
            palette=palette,
            labels=labels,
            colors=colors,
            alpha=alpha,
            counts=counts,
            means_fixed=fit.given is not None,
            exact=fit.exact,
            trace=fit.trace,
            n_cells=fit.n_cells,
            n_iter=fit.n_iter,
            tol=fit.tol,
            converged=fit.converged,
            log_likelihood=evaluation.log_likelihood,
            entropy=evaluation.entropy,
            mse=mse,
            errors=errors,
            seconds={
                "seed": fit.seconds["seed"],
                "fit": fit.seconds["fit"] + perf_counter() - received,
                "recolor": recolored - started,
            },
        )

    @cached_property
    def _points(self) -> Cells:
        """The distinct colours as a mixture is evaluated at them, weighted by their counts."""
        # Elsewhere than in sRGB cells have a scatter, which takes eight times as long, and only a fit needs it.
        space = self.fitter.space
        return self.fitter.cells if space is SRGB else self.histogram.points(space)

    def _most_probable(self, theta: FloatArray) -> npt.NDArray[np.intp]:
        """Return the label of the largest score of each distinct colour, by coefficients `theta` (K, F)."""
        return most_probable(theta, self._points)

    def _dither(self, mixture: Gaussians, palette: npt.NDArray[np.uint8]) -> npt.NDArray[Any]:
        """Return labels (height, width) that mix colours by neighbouring pixels, in the space of the fit."""
        from gmmquant.images.dithering.blue_noise import blue_noise
        from gmmquant.images.dithering.error_diffusion import floyd_steinberg
        from gmmquant.images.dithering.pixels import Pixels
        from gmmquant.images.dithering.posterior import sample_labels

        settings, histogram = self.settings, self.histogram
        index = self._flat.laid_out(self._spread(np.arange(histogram.n_colors, dtype=np.uint32)))
        pixels = Pixels(index, self._flat.visible, self.shape[0] // self.n_frames)
        colors = self.fitter.space.from_srgb(palette / 255)
        if settings.dither == "posterior":
            blocks = (
                (posterior.columns, posterior.components, posterior.responsibilities)
                for posterior in posteriors(self._points, mixture)
            )
            return sample_labels(pixels, blocks, colors, strength=settings.strength, seed=settings.seed)
        dither = {"floyd-steinberg": floyd_steinberg, "blue-noise": blue_noise}[settings.dither]
        values = self.fitter.space.from_srgb(histogram.values)
        return dither(pixels, values, colors, strength=settings.strength, seed=settings.seed)

    def _evaluate(self, mixture: Gaussians, palette: npt.NDArray[np.uint8]) -> tuple[Evaluation, npt.NDArray[np.uint8]]:
        """Evaluate the mixture, and return with it the posterior mean of each distinct colour, (n_colors, 3).

        The mean is that of the palette's sRGB values, whatever the space of the fit, so that layers add up to it.
        """
        mean_colors = np.empty((self.histogram.n_colors, 3), dtype=np.uint8)
        values = palette.astype(np.float64)

        def note(posterior: Posterior) -> None:
            mean_colors[posterior.columns] = np.rint(posterior.mean(values))

        return evaluate(self._points, mixture, note), mean_colors

    def _label_pixels(self, color_labels: npt.NDArray[Any], n_labels: int) -> npt.NDArray[Any]:
        """Spread the labels of the distinct colours over the pixels, shape (height, width)."""
        compact = color_labels.astype(np.uint8 if n_labels <= 256 else np.uint16)
        return self._flat.laid_out(self._spread(compact))

    def _spread(self, values: npt.NDArray[Any]) -> npt.NDArray[Any]:
        """Give each visible pixel the value of its colour: from (n_colors, ...) to (n_visible, ...)."""
        return self.histogram.to_pixels(values, self._flat.codes)
