"""Quantize one image in memory: fit a mixture for each k, and recolour the image by it.

image -> visible pixels -> ColorHistogram -> Fitter -> Fit
      -> label of each distinct colour -> label of each pixel -> recoloured image

Modules that few runs need are imported where they are used.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import fields, replace
from functools import cached_property
from time import perf_counter
from typing import TYPE_CHECKING, Any, Literal, Unpack, cast, overload

import numpy as np
import numpy.typing as npt

from gmmquant.colors.palette import check_palette, to_8_bits
from gmmquant.errors import ConvergenceWarning, ParameterError
from gmmquant.images.distortion import error_of_colors, error_of_labels, error_of_pixels
from gmmquant.images.inputs import image_input
from gmmquant.images.pixel_colors import PixelColors
from gmmquant.images.pixels import FlatImage, label_type
from gmmquant.images.recolor import ColorImage, IndexedImage
from gmmquant.images.scaling import resized_frames
from gmmquant.models.array_validation import IndexArray
from gmmquant.models.cells import Cells
from gmmquant.models.em import Watcher, watch_nothing
from gmmquant.models.gaussian import Gaussians, natural_parameters
from gmmquant.models.inference import Evaluation, Posterior, evaluate
from gmmquant.models.sweep import most_probable
from gmmquant.parsing import AUTO, check_k
from gmmquant.quantization.fit import Fit
from gmmquant.quantization.fitter import Fitter
from gmmquant.quantization.keywords import refuse_ineffective, refuse_unknown
from gmmquant.quantization.mixtures import check_space, color_mixture
from gmmquant.quantization.neighbors import count_label_regions, dithered_labels, smoothed_labels
from gmmquant.quantization.result import ImageStatistics, QuantizedImage, RecoloredFit
from gmmquant.settings import SPACE_TITLES, Method, Settings, SettingsOptions
from gmmquant.system.printable import plural
from gmmquant.system.user_warning import warn_user

if TYPE_CHECKING:
    from gmmquant.colors.translucent import TranslucentColors
    from gmmquant.images.inputs import ImageLike
    from gmmquant.images.maps import GreyMap
    from gmmquant.images.palette_input import PaletteLike
    from gmmquant.models.scalar_validation import Integer
    from gmmquant.models.selection import BoundedChoice, Choice
    from gmmquant.quantization.mixtures import MixtureLike

Receiver = Callable[[IndexedImage | ColorImage], None]


def receive_nothing(image: IndexedImage | ColorImage) -> None:
    """Ignore a recoloured image."""


class Quantizer:
    """One image, prepared once for fits at any number of k.

    Parameters
    ----------
    image : array, PIL image, file or FlatImage
        See `quantize`. To save memory, pass a FlatImage and drop the array that it was made from.
    settings : Settings, optional
    **options
        Settings by name, as for `quantize`, instead of `settings`.

    Attributes
    ----------
    histogram : ColorHistogram
        Distinct colours of the visible pixels, shared by all fits.
    fitter : Fitter
        Fits mixtures to these colours.
    settings : Settings
    shape : (height, width)
    n_frames : int
        Number of frames, one below the other.
    visible : ndarray of bool, shape (height, width), or None
        Where the image is not fully transparent; None without alpha.
    source : Path or None
        The file that the image was read from.

    Raises
    ------
    ParameterError
        If the image or a setting is not accepted.
    """

    def __init__(
        self, image: ImageLike | FlatImage, settings: Settings | None = None, **options: Unpack[SettingsOptions]
    ) -> None:
        refuse_unknown("Quantizer", options, [field.name for field in fields(Settings)])
        if settings is not None and options:
            raise ParameterError(f"settings and {', '.join(options)} are both set; pass only one of them")
        self.settings = settings or Settings(**cast("dict[str, Any]", options))
        refuse_ineffective(options, self.settings)
        self._animation, self.source = None, None
        if isinstance(image, FlatImage):
            if options.get("resize") is not None:
                raise ParameterError("resize has no effect on a FlatImage, a list of colours; pass the array instead")
            self._flat = image
        else:
            pixels, self._animation, self.source = image_input(image)
            n_frames = 1 if self._animation is None else self._animation.n_frames
            self._flat = FlatImage.from_array(resized_frames(pixels, n_frames, self.settings.resize), n_frames)
        self.shape, self.n_frames, self.visible = self._flat.shape, self._flat.n_frames, self._flat.visible
        self.histogram = self._flat.histogram()
        self._pixels = PixelColors(self._flat, self.histogram)
        self.fitter = self._new_fitter()

    def fit(self, k: Integer, watch: Watcher = watch_nothing, receive: Receiver = receive_nothing) -> QuantizedImage:
        """Fit a mixture of `k` components and recolour the image by it.

        `watch(n_iter, objective)` is called at the start and after each iteration of EM, `receive(image)` as soon as
        the image is recoloured, before the likelihood is computed. A ConvergenceWarning tells that `max_iter` was too
        small, a UserWarning that components overlap, so that pixels get the nearest colours: see `quantize`.
        """
        number = check_k(k) if self.histogram.n_colors else int(k)  # 0 is chosen for an image without a visible pixel
        fit = self._converged(self.fitter.fit(number, watch))
        if self._is_drawn_otherwise(fit):
            warn_user(
                f"components overlap at k = {fit.k}, so pixels get the nearest colours; use fewer colours or "
                "method='kmeans', or recolor='nearest' or 'posterior' to decide it",
                UserWarning,
            )
        return self.recolor(fit, receive)

    def fit_palette(
        self,
        palette: PaletteLike,
        k: Integer | None = None,
        watch: Watcher = watch_nothing,
        receive: Receiver = receive_nothing,
    ) -> QuantizedImage:
        """Recolour the image with a fixed palette, to which weights and covariances are fitted.

        The palette is an array (K, 3) of values from 0 to 255, a sequence of colours, a file or a name: see
        `read_palette`.

        With `k`, it is recoloured with the k colours of the palette that have the least squared error. The colours keep
        their order. Each pixel gets the nearest colour unless the settings choose a recoloring or a dither.

        Raises
        ------
        ParameterError
            If `palette` is not one, or holds none or more than 4096 colours, or fewer distinct ones than `k`.
        PaletteFileError, OSError
            If the file is not a palette or cannot be read.
        """
        from gmmquant.images.palette_input import to_palette

        self._require_own_alpha("a palette")
        number = None if k is None else check_k(k)
        return self.recolor(self._converged(self.fitter.fit_palette(to_palette(palette), number, watch)), receive)

    def apply(
        self,
        mixture: MixtureLike,
        *,
        exact: bool = False,
        colors: npt.NDArray[np.uint8] | None = None,
        method: Method | None = None,
        receive: Receiver = receive_nothing,
    ) -> QuantizedImage:
        """Recolour the image by a mixture that was fitted elsewhere; `receive(image)` as for `fit`.

        Parameters
        ----------
        mixture : fitted or loaded GaussianMixture, Gaussians, or a result, which stands for its mixture
            Of three features: colours in the space of the settings (sRGB in [0, 1] by default). Of a saved model, only
            the mixture is used: see `apply_model`.
        exact : bool
            Whether the mixture holds the exact colours of an image, one per component. The nearest colour is then found
            by the means and not by the palette.
        colors : ndarray of uint8, shape (K, 3), optional
            The colours of the components where these are not the means rounded to 8 bits.
        method : "gmm" or "kmeans", optional
            How the mixture was fitted, for the record. Unless it is set, that of a result, otherwise "gmm".

        Raises
        ------
        ParameterError
            If the mixture is not one of colours in their range, or of another space, or if `colors` are not one for
            each component. A loaded mixture whose `color_space_` is None is one of sRGB; the space of a fitted one is
            not known.
        NotFittedError
            If the GaussianMixture is not fitted.
        """
        self._require_own_alpha("a given mixture")
        gaussians = color_mixture(mixture, self.fitter.space)
        if colors is not None and len(check_palette(colors)) != len(gaussians.means):
            n_colors, n_components = len(colors), len(gaussians.means)
            raise ParameterError(
                f"colors has {n_colors} rows, the mixture {n_components} components; pass one for each"
            )
        method = method or cast("Method", mixture.fit.method if isinstance(mixture, RecoloredFit) else "gmm")
        fit = self.fitter.evaluate(gaussians, method=method, nearest_by_mean=exact, colors=colors)
        return self.recolor(fit, receive)

    def maps(self, fit: QuantizedImage) -> tuple[GreyMap, GreyMap]:
        """Return two maps of a fit to this image: the entropy of each pixel in bits, and its log density in nats.

        Fully transparent pixels are NaN.
        """
        from gmmquant.quantization.soft import grey_maps

        self.check_own(fit)
        return grey_maps(self._pixels, self._points, fit.fit)

    def layers(self, fit: QuantizedImage, *, exact: bool = False) -> Iterator[ColorImage]:
        """Yield a layer for each component of a fit to this image, with its responsibility as alpha.

        The layers have the colours of the palette, and their sum is the soft image. With `exact` each pixel of a layer
        has its own colour, and their sum is this image, to half a level of 255. Without a visible pixel there are none.
        """
        from gmmquant.quantization.soft import layer_images

        self.check_own(fit)
        visible = self._pixels.flat.n_visible > 0
        return layer_images(self._pixels, self._points, fit.fit, exact=exact) if visible else iter(())

    def openraster(self, fit: QuantizedImage) -> bytes:
        """Return the exact layers of a fit to this image as an OpenRaster file, the first colour lowest.

        They are drawn over each other, so each has the alpha that this needs instead of its responsibility. Without a
        visible pixel, a ParameterError is raised.
        """
        from gmmquant.quantization.soft import openraster_file

        self.check_own(fit)
        self._pixels.flat.require_visible()
        return openraster_file(self._pixels, self._points, fit.fit)

    def transfer(self, fit: QuantizedImage, target: MixtureLike, receive: Receiver = receive_nothing) -> QuantizedImage:
        """Recolour the image by optimal transport from `fit`, a fit to it, to `target`, a mixture in the same space.

        The target may be anything that `apply` takes. Labels are those of the most probable components; the error is
        the distance by which colours move.
        """
        from gmmquant.models.transport import transport_between

        self.check_own(fit)
        gaussians = color_mixture(target, self.fitter.space)
        if self._flat.n_visible == 0:
            receive(fit.recolored)
            return fit
        started = perf_counter()
        moved = transport_between(fit.mixture, gaussians).map(self._points)
        colors = to_8_bits(moved, self.fitter.space)
        recolored = self._pixels.drawn(colors)
        color_labels = most_probable(natural_parameters(fit.mixture, self._points.origin), self._points)
        seconds = fit.statistics.seconds
        seconds = {**seconds, "recolor": seconds["recolor"] + perf_counter() - started}
        receive(ColorImage(recolored, self._flat.alpha))
        K = len(fit.weights)
        counts, mse = self.histogram.count(color_labels, K), error_of_colors(self.histogram, colors)
        return replace(
            fit,
            fit=replace(fit.fit, exact=False),
            recoloring="transfer",
            dither="none",
            statistics=replace(fit.statistics, counts=counts, mse=mse, seconds=seconds, regions=None),
            colors=recolored,
            labels=self._pixels.labels(color_labels, K),
        )

    @overload
    def choose_k(self, asked: Literal["auto"] = "auto") -> Choice: ...

    @overload
    def choose_k(self, asked: str) -> Choice | BoundedChoice: ...

    def choose_k(self, asked: str = AUTO) -> Choice | BoundedChoice:
        """Choose a number of colours.

        Parameters
        ----------
        asked : str
            "auto" chooses the number that ICL supports; "auto:DE", such as "auto:2", the fewest colours, at most 256,
            with which the mean OKLab difference between the image and its recoloured copy, times 100, is at most DE.
            The copy is the one that the settings ask for, without dithering and smoothing. 2 is a just noticeable
            difference.
        """
        self._require_own_alpha(f"k = {asked!r}")
        return self.fitter.choose_k(asked)

    def recolor(self, fit: Fit | RecoloredFit, receive: Receiver = receive_nothing) -> QuantizedImage:
        """Recolour the image by a fit, also one to other images, or by that of a result.

        `receive(image)` is called as for `fit`.

        Raises
        ------
        ParameterError
            If the fit is in another colour space than the settings.
        """
        fit = fit.fit if isinstance(fit, RecoloredFit) else fit
        untyped: object = fit
        if not isinstance(untyped, Fit):
            raise ParameterError(f"fit is a {type(fit).__name__}; pass a result, or its fit")
        if fit.space != self.settings.space:
            raise ParameterError(
                f"the fit is in {fit.space}, the settings are for {self.settings.space}; use one space for both"
            )
        if self._flat.n_visible == 0:
            return self._leave_hidden(fit, receive)
        if fit.alphas is not None:
            return self._recolor_with_alpha(fit, fit.alphas, receive)
        started = perf_counter()
        mixture, palette, points = fit.mixture, fit.palette, self._points
        alpha, hidden = self._flat.alpha, self._flat.hidden
        (recoloring, dither), smoothing = fit.drawing(self.settings), fit.smoothing(self.settings)
        scores = {name: fit.scores(name, points.origin) for name in ("posterior", "nearest")}
        used = "nearest" if recoloring == "nearest" else "posterior"
        evaluated = self._evaluate(mixture, palette) if recoloring == "soft" else None
        color_labels = most_probable(scores[used], points).astype(label_type(len(palette)), copy=False)
        if dither != "none":
            labels = dithered_labels(self._pixels, points, fit, self.settings)
        elif smoothing:
            centers = fit.centers if used == "nearest" else None
            labels = smoothed_labels(self._pixels, points, scores[used], centers, smoothing)
        else:
            labels = self._pixels.labels(color_labels, len(palette))
        colors = None if evaluated is None else self._pixels.drawn(evaluated[1])
        recolored = perf_counter()
        receive(IndexedImage(labels, palette, alpha, hidden) if colors is None else ColorImage(colors, alpha))
        received = perf_counter()
        evaluation, mean_colors = evaluated or self._evaluate(mixture, palette)
        errors = {}
        for name, theta in scores.items():
            by_score = color_labels if name == used else most_probable(theta, points)
            errors[name] = error_of_labels(self.histogram, by_score, palette)
        errors["soft"] = error_of_colors(self.histogram, mean_colors)
        if dither == "none" and not smoothing:
            mse, counts = errors[recoloring], self.histogram.count(color_labels, len(palette))
        else:
            mse = self._error_of(labels, palette)
            counts = np.bincount(self._flat.visible_values(labels), minlength=len(palette))
        fit_seconds = fit.seconds["fit"] + perf_counter() - received
        seconds = {"seed": fit.seconds["seed"], "fit": fit_seconds, "recolor": recolored - started}
        weight = self.histogram.total_weight
        regions = count_label_regions(labels, self._pixels) if smoothing else None
        statistics = ImageStatistics(
            counts, weight, evaluation.log_likelihood, evaluation.entropy, mse, errors, seconds, regions
        )
        return self._result(fit, recoloring, dither, statistics, labels, colors)

    def _error_of(self, labels: npt.NDArray[Any], palette: npt.NDArray[np.uint8]) -> float:
        """Return the squared error of the image drawn by `labels` (height, width) in the colours of `palette`."""
        flat = self._flat
        return error_of_pixels(flat.codes, flat.bit_depth, flat.visible_values(labels), palette, flat.visible_alpha)

    def __repr__(self) -> str:
        """Return the size of the image, its number of colours, the method and the space in one line."""
        height, width = self.shape
        frames = "" if self.n_frames == 1 else f", {self.n_frames} frames"
        return (
            f"<Quantizer {width} x {height // self.n_frames}{frames}, "
            f"{plural(self.histogram.n_colors, 'distinct colour')}, "
            f"{self.settings.method} in {SPACE_TITLES[self.settings.space]}>"
        )

    def _result(
        self,
        fit: Fit,
        recoloring: str,
        dither: str,
        statistics: ImageStatistics,
        labels: npt.NDArray[Any],
        colors: npt.NDArray[np.uint8] | None,
    ) -> QuantizedImage:
        """Return a result with the alpha, hidden colours, animation and source of the image."""
        flat = self._flat
        own = (flat.alpha, flat.hidden, self._animation, self.source, self.settings)
        return QuantizedImage(fit, recoloring, dither, statistics, labels, colors, *own)

    def _converged(self, fit: Fit) -> Fit:
        """Return a fit; warn if the settings limit its iterations, and it stopped before it converged."""
        if fit.converged is False and self.settings.max_iter is not None:
            fitted = f"the fit of {plural(fit.k, 'colour')}"
            warn_user(
                f"{fitted} did not converge in max_iter = {self.settings.max_iter} iterations; raise or omit "
                "it, or raise tol",
                ConvergenceWarning,
            )
        return fit

    def _is_drawn_otherwise(self, fit: Fit) -> bool:
        """Return whether pixels get the nearest colours since components overlap, and not by the settings."""
        decided = fit.recoloring == "nearest" and self.settings.recoloring != "nearest"
        return decided and not fit.exact and fit.alphas is None and self.settings.method == "gmm"

    def check_own(self, result: QuantizedImage) -> None:
        """Refuse a result of another image, by its size, visible pixels, their weight, and the error of its labels."""
        remedy, untyped = "pass a result of this image, as of Quantizer.fit", cast("object", result)
        if not isinstance(untyped, QuantizedImage):
            raise ParameterError(f"fit is a {type(result).__name__}; {remedy}")
        if result.fit.alphas is not None:
            raise ParameterError("the fit is one of colour and alpha together; use alpha = 'keep'")
        (height, width), (own_height, own_width) = result.labels.shape, self.shape
        if (height, width) != (own_height, own_width):
            raise ParameterError(
                f"the fit is to an image of {width} x {height} pixels, not of {own_width} x {own_height}; {remedy}"
            )
        check_space(result.fit.space, self.fitter.space)
        statistics, weight = result.statistics, self.histogram.total_weight
        if statistics.n_pixels != self._flat.n_visible or not np.isclose(statistics.weight, weight):
            raise ParameterError(
                f"the fit is to an image of {statistics.n_pixels} visible pixels of weight {statistics.weight:g}, not "
                f"of {self._flat.n_visible} of weight {weight:g}; {remedy}"
            )
        expected = statistics.errors["posterior"] if result.colors is not None else result.mse
        if statistics.n_pixels and not np.isclose(self._error_of(result.labels, result.palette), expected, rtol=1e-6):
            raise ParameterError(f"the fit is to another image of this size, as its squared error shows; {remedy}")

    def _new_fitter(self) -> Fitter:
        """Return a fitter to the colours, or to the pairs of colour and alpha where the settings ask for it."""
        if self.settings.alpha == "keep" or self._flat.visible_alpha is None:
            return Fitter(self.histogram, self.settings)
        from gmmquant.quantization.translucent import TranslucentFitter

        return TranslucentFitter(self.histogram, self.settings, self._pairs[0], hides=self._flat.hidden is not None)

    @cached_property
    def _pairs(self) -> tuple[TranslucentColors, IndexArray]:
        """The distinct pairs of colour and alpha, and the index of the pair of each visible pixel."""
        from gmmquant.colors.translucent import TranslucentColors

        return TranslucentColors.of_pixels(self._flat.codes, self._flat.bit_depth, self._flat.visible_alpha)

    def _require_own_alpha(self, other: str) -> None:
        """Refuse an input about colours without alpha if the settings ask for a fit of both."""
        if self.settings.alpha == "quantize":
            raise ParameterError(f"alpha = 'quantize' fits colour and alpha together, not with {other}; omit one")

    def _recolor_with_alpha(self, fit: Fit, alphas: npt.NDArray[np.uint8], receive: Receiver) -> QuantizedImage:
        """Recolour the image in the entries of a fit to colour and alpha; fully transparent pixels become black."""
        from gmmquant.quantization.translucent import draw

        started, flat = perf_counter(), self._flat
        drawing = draw(*self._pairs, fit.palette, alphas)
        visible_labels = drawing.labels.astype(label_type(len(alphas)))
        labels, alpha = flat.laid_out(visible_labels), flat.laid_out(alphas[drawing.labels])
        hidden = None if flat.hidden is None else np.zeros((1, 3), dtype=np.uint8)
        recolored = perf_counter()
        receive(IndexedImage(labels, fit.palette, alpha, hidden))
        evaluation = evaluate(self._points, fit.mixture)
        statistics = ImageStatistics(
            drawing.counts,
            self.histogram.total_weight,
            evaluation.log_likelihood,
            evaluation.entropy,
            drawing.mse,
            {"nearest": drawing.mse},
            {**fit.seconds, "recolor": recolored - started},
        )
        own = (alpha, hidden, self._animation, self.source, self.settings)
        return QuantizedImage(fit, "nearest", "none", statistics, labels, None, *own)

    def _leave_hidden(self, fit: Fit, receive: Receiver) -> QuantizedImage:
        """Return an image without a visible pixel as it is, in none of the colours of `fit`."""
        flat, K = self._flat, len(fit.palette)
        errors, seconds = dict.fromkeys(("posterior", "nearest", "soft"), 0.0), {**fit.seconds, "recolor": 0.0}
        regions = 0 if fit.smoothing(self.settings) else None
        statistics = ImageStatistics(np.zeros(K, dtype=np.int64), 0.0, 0.0, 0.0, 0.0, errors, seconds, regions)
        labels = np.zeros(flat.shape, dtype=label_type(K))
        result = self._result(fit, *fit.drawing(self.settings), statistics, labels, None)
        receive(result.recolored)
        return result

    @property
    def _points(self) -> Cells:
        """The distinct colours without scatter, with their weights, for evaluating a mixture."""
        return self.fitter.points

    def _evaluate(self, mixture: Gaussians, palette: npt.NDArray[np.uint8]) -> tuple[Evaluation, npt.NDArray[np.uint8]]:
        """Return the evaluation of the mixture and the posterior mean of each distinct colour, (n_colors, 3).

        The mean is taken over the palette's sRGB values in every space, so that the layers add up to it.
        """
        mean_colors = np.empty((self.histogram.n_colors, 3), dtype=np.uint8)
        values = palette.astype(np.float64)

        def note(posterior: Posterior) -> None:
            mean_colors[posterior.columns] = np.rint(posterior.mean(values))

        return evaluate(self._points, mixture, note), mean_colors
