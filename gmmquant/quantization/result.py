"""The results of fitting and recolouring: a fit, the statistics of an image, and the image in few colours."""

from __future__ import annotations

import math
import os
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO, Self

import numpy as np
import numpy.typing as npt

from gmmquant.images.decoded import Animation, array_of
from gmmquant.images.recolor import ColorImage, IndexedImage
from gmmquant.models.array_validation import FloatArray, read_only
from gmmquant.models.gaussian import Gaussians
from gmmquant.models.selection import BoundedChoice, Choice, Criteria, n_parameters
from gmmquant.quantization.fit import Fit
from gmmquant.settings import Settings
from gmmquant.system.printable import plural

if TYPE_CHECKING:
    from gmmquant.images.recolor import PILImage
    from gmmquant.models.mixture import GaussianMixture


@dataclass(frozen=True, eq=False, repr=False)
class ImageStatistics:
    """The figures of an image recoloured by a fit, or of several images together.

    Attributes
    ----------
    counts : ndarray of int64, shape (K,)
        Visible pixels of each component.
    weight : float
        Sum over visible pixels of (alpha / 255)^2: their number, if all are opaque.
    log_likelihood : float
        Sum over visible pixels, with this weight, of log sum_k weights[k] N(x | means[k], covariances[k]), in nats.
    entropy : float
        Sum over visible pixels, with this weight, of the entropy of the responsibilities, in nats.
    mse : float
        Mean over visible pixels of the squared error, summed over the three channels, in 0..255 units, of the image
        composited over one colour: that of a pixel times (alpha / 255)^2.
    errors : dict
        The same for each recoloring by this fit, without dithering and smoothing: `posterior`, `nearest`, `soft`.
    seconds : dict
        Time spent: `seed` (KMeans), `fit` (EM and the final likelihood), `recolor`, and `write` once files are written.
    regions : int or None
        Connected regions of visible pixels with one label, in all frames; None if the image was not smoothed.
    """

    counts: npt.NDArray[np.int64]
    weight: float
    log_likelihood: float
    entropy: float
    mse: float
    errors: dict[str, float]
    seconds: dict[str, float]
    regions: int | None = None

    def __repr__(self) -> str:
        """Return the number of pixels and the main figures in one line."""
        return f"<ImageStatistics of {plural(self.n_pixels, 'pixel')}, mse {self.mse:.1f}>"

    @property
    def n_pixels(self) -> int:
        """Number of visible pixels."""
        return int(self.counts.sum())

    @classmethod
    def total(cls, images: Sequence[ImageStatistics]) -> ImageStatistics:
        """Return the statistics of several images together, the same for any order of them."""
        n = [image.n_pixels for image in images]
        counted = [image.regions for image in images if image.regions is not None]

        def mean(values: Sequence[float]) -> float:
            return math.fsum(value * n_pixels for value, n_pixels in zip(values, n, strict=True)) / max(sum(n), 1)

        return cls(
            counts=np.sum([image.counts for image in images], axis=0),
            weight=math.fsum(image.weight for image in images),
            log_likelihood=math.fsum(image.log_likelihood for image in images),
            entropy=math.fsum(image.entropy for image in images),
            mse=mean([image.mse for image in images]),
            errors={name: mean([image.errors[name] for image in images]) for name in images[0].errors},
            seconds={name: math.fsum(image.seconds[name] for image in images) for name in images[0].seconds},
            regions=sum(counted) if len(counted) == len(images) else None,
        )


@dataclass(frozen=True, eq=False)
class RecoloredFit:
    """A fit, how images are recoloured by it, and the statistics of an image or of several.

    Attributes
    ----------
    fit : Fit
    recoloring : "posterior", "nearest", "soft" or "transfer"
        What a label means: the most probable component, or the nearest colour of the palette. "soft" and "transfer"
        have the labels of "posterior" but draw other colours: the posterior means, or transported colours. It is
        "nearest" instead of "posterior" where a fit of overlapping components decides so: a UserWarning tells.
    dither : "none", "floyd-steinberg", "blue-noise", "bayer" or "posterior"
    statistics : ImageStatistics
    """

    fit: Fit
    recoloring: str
    dither: str
    statistics: ImageStatistics

    @property
    def shares(self) -> FloatArray:
        """Shares of the visible pixels that have each colour, shape (K,); the weights if no pixel is visible."""
        counts = self.statistics.counts
        return read_only(counts / counts.sum()) if counts.any() else self.weights

    def with_seconds(self, **seconds: float) -> Self:
        """Return a copy whose statistics have more entries in `seconds`."""
        statistics = replace(self.statistics, seconds={**self.statistics.seconds, **seconds})
        return replace(self, statistics=statistics)

    @property
    def k(self) -> int:
        """Requested number of components; `len(palette)` is smaller if the image has fewer colours."""
        return self.fit.k

    @property
    def mixture(self) -> Gaussians:
        """The fitted mixture."""
        return self.fit.mixture

    @property
    def palette(self) -> npt.NDArray[np.uint8]:
        """The colours, sRGB, shape (K, 3), in the order of the components (`Settings.palette_order`)."""
        return self.fit.palette

    @property
    def weights(self) -> FloatArray:
        """Weights of the components, shape (K,)."""
        return read_only(self.fit.mixture.weights)

    @property
    def means(self) -> FloatArray:
        """Means of the components, shape (K, 3), in the space of the fit (sRGB in [0, 1] by default)."""
        return read_only(self.fit.mixture.means)

    @property
    def covariances(self) -> FloatArray:
        """Covariances of the components, shape (K, 3, 3), whatever their type."""
        return read_only(self.fit.mixture.full_covariances())

    @property
    def log_likelihood(self) -> float:
        """Log-likelihood of the visible pixels, in nats; a pixel weighs (alpha / 255)^2."""
        return self.statistics.log_likelihood

    @property
    def mean_log_likelihood(self) -> float:
        """Log-likelihood divided by the weight of the visible pixels, in nats; NaN without a visible pixel."""
        return self.log_likelihood / self.statistics.weight if self.statistics.weight else math.nan

    @property
    def aic(self) -> float:
        """Akaike information criterion; smaller is better."""
        return self._criteria.aic

    @property
    def bic(self) -> float:
        """Bayesian information criterion with the weight of the visible pixels as their number; smaller is better."""
        return self._criteria.bic

    @property
    def icl(self) -> float:
        """BIC plus twice the entropy of the responsibilities; smaller is better."""
        return self._criteria.icl

    @property
    def _criteria(self) -> Criteria:
        mixture, sums = self.mixture, self.statistics
        free = n_parameters(len(mixture.weights), 3, mixture.covariance_type) if len(mixture.weights) else 0
        if self.fit.fixed is not None:
            free -= mixture.means.shape[1] * np.count_nonzero(self.fit.fixed)
        return Criteria.of(self.k, sums.log_likelihood, sums.entropy, free, sums.weight)

    @property
    def mse(self) -> float:
        """Mean squared error per visible pixel, composited, summed over the three channels, in 0..255 units."""
        return self.statistics.mse

    @property
    def psnr(self) -> float:
        """Peak signal-to-noise ratio in decibels; infinite where every pixel is exact."""
        return 10 * math.log10(3 * 255**2 / self.mse) if self.mse > 0 else math.inf


@dataclass(frozen=True, eq=False, repr=False)
class QuantizedImage(RecoloredFit):
    """An image in few colours.

    Attributes
    ----------
    labels : ndarray of uint8 or uint16, shape (height, width)
        Index of each pixel's colour in `palette`; 0 where the image is fully transparent.
    colors : ndarray of uint8, shape (height, width, 3), or None
        The colours of the pixels where they are not entries of the palette ("soft" and "transfer").
    alpha : ndarray of uint8, shape (height, width), or None
    hidden : ndarray of uint8, shape (n_hidden, 3) or (1, 3), or None
        The original colours of the fully transparent pixels, row by row, or the only one; None if there are no such
        pixels. They are kept in `image` and in files in true colour.
    animation : Animation or None
        Durations and repetitions, if the image has several frames. They are one below the other in `labels`, `alpha`
        and `image`, whose height is that of all frames.
    source : Path or None
        The file that the image was read from, which `save` does not replace.
    settings : Settings or None
        Those of the Quantizer that drew it: `Quantizer(image, result.settings)` makes the same result.
    asked : str or None
        "auto" or "auto:DE" where `quantize` chose k by it.
    choice : Choice, BoundedChoice or None
        What `quantize` compared to choose k.

    Notes
    -----
    Results are compared by identity: two of the same image and settings are not equal by `==`. Compare their arrays, as
    in `np.array_equal(one.image, other.image)`.

    The arrays of a result are read-only; `result.labels.copy()` can be edited. `image`, `frames` and
    `np.asarray(result)` are new arrays at each access, which can be edited without an effect on the result.
    """

    labels: npt.NDArray[Any]
    colors: npt.NDArray[np.uint8] | None
    alpha: npt.NDArray[np.uint8] | None
    hidden: npt.NDArray[np.uint8] | None = None
    animation: Animation | None = None
    source: Path | None = None
    settings: Settings | None = None
    asked: str | None = None
    choice: Choice | BoundedChoice | None = None

    def __post_init__(self) -> None:
        """Make the arrays read-only, as views: those of the image may be the caller's."""
        for name in ("labels", "colors", "alpha", "hidden"):
            array = getattr(self, name)
            if array is not None:
                object.__setattr__(self, name, read_only(array))

    @property
    def image(self) -> npt.NDArray[np.uint8]:
        """The recoloured image, sRGB, (height, width, 3), or (height, width, 4) if the original has alpha."""
        pixels = self.recolored.pixels
        return pixels if pixels.flags.writeable else pixels.copy()

    @property
    def frames(self) -> npt.NDArray[np.uint8]:
        """The frames of the recoloured image, (n_frames, height, width, 3) or (n_frames, height, width, 4)."""
        image = self.image
        return image.reshape(self.n_frames, -1, *image.shape[1:])

    @property
    def n_frames(self) -> int:
        """Number of frames; 1 if the image is not an animation."""
        return 1 if self.animation is None else self.animation.n_frames

    @property
    def hex(self) -> list[str]:
        """The colours of the palette as `#rrggbb`.

        After `alpha = "quantize"`, entries with an alpha below 255 are `#rrggbbaa`; `palette` has no alpha.
        """
        return self.fit.codes

    def __array__(self, dtype: npt.DTypeLike | None = None, copy: bool | None = None) -> npt.NDArray[Any]:
        """Return `image`, so that `np.asarray(result)` has the pixels."""
        return array_of(self.image, dtype, copy)

    @property
    def recolored(self) -> IndexedImage | ColorImage:
        """The recoloured image as it is written, indexed or with a colour for each pixel."""
        if self.colors is not None:
            return ColorImage(self.colors, self.alpha)
        # Without a visible pixel there may be no palette, but a file needs an entry.
        palette = self.hidden[:1] if self.hidden is not None and len(self.palette) == 0 else self.palette
        return IndexedImage(self.labels, palette, self.alpha, self.hidden)

    def save(
        self,
        file: str | os.PathLike[str] | BinaryIO,
        *,
        format: str | None = None,  # noqa: A002
        optimize: bool = False,
        replace_input: bool = False,
    ) -> None:
        """Write the recoloured image, indexed where the format allows it, and an animation where it allows that.

        An existing file is replaced in one step, but not the file that the image was read from.

        Parameters
        ----------
        file : str, path-like or binary file
            A path, or a file that is open for writing.
        format : "png", "webp", "tiff", "gif", "bmp", "jpg", "avif" or "jxl", optional
            Unless it is set, the extension of `file` is the format.
        optimize : bool
            Take more time for a smaller file.
        replace_input : bool
            Whether the file that the image was read from may be replaced.

        Raises
        ------
        ParameterError
            If the format is not one of these.
        ImageError
            If the format cannot hold the image.
        OutputError
            If the system cannot write the file (then also an OSError), or if it is the image's own.

        Warns
        -----
        FormatWarning
            If the format cannot store something of the image: exact colours, partial transparency, durations.
        """
        from gmmquant.quantization.saving import save_result

        save_result(self, file, format, optimize=optimize, replace_input=replace_input)

    def save_model(self, path: str | os.PathLike[str]) -> None:
        """Write the mixture and how it draws images as JSON, for `apply_model` and `GaussianMixture.load`.

        The file is that of the command's --save-model. An existing file is replaced in one step.

        Raises
        ------
        ParameterError
            If the name has the ending of another format than `.json`, the image has no visible pixel, or its alpha was
            quantized.
        OutputError
            If the system cannot write the file. It is an OSError.
        """
        from gmmquant.quantization.saved_model import save_model

        save_model(self, path)

    def to_estimator(self) -> GaussianMixture:
        """Return the mixture as a fitted `GaussianMixture` of points in the space of the fit: see `Fit.to_space`.

        Its `predict_proba` gives the exact posteriors of colours. Its `color_space_` is the space. A ParameterError is
        raised if the image has no visible pixel, or its alpha was quantized.
        """
        from gmmquant.quantization.saved_model import estimator_of

        return estimator_of(self)

    def to_pil(self) -> PILImage:
        """Return the recoloured image for Pillow.

        Its mode is RGBA with alpha, otherwise P with the palette, or RGB above 256 colours and with "soft". The frames
        of an animation are one below the other.
        """
        from gmmquant.images.recolor import to_pil

        return to_pil(self.recolored)

    @property
    def shown(self) -> IndexedImage | ColorImage:
        """The recoloured image as notebooks show it, with the first frame of an animation only."""
        return self.recolored if self.n_frames == 1 else ColorImage.from_pixels(self.frames[0])

    def _repr_html_(self) -> str:
        """Return the image, its palette and its figures as notebooks show them."""
        from gmmquant.quantization.notebook import result_html

        return result_html(self)

    def _repr_png_(self) -> bytes:
        """Return the image for programs that show no HTML."""
        from gmmquant.images.preview import preview_png

        return preview_png(self.shown)

    def __repr__(self) -> str:
        """Return size, number of colours, method and figures in one line."""
        height, width = self.labels.shape
        frames = "" if self.n_frames == 1 else f", {self.n_frames} frames"
        return (
            f"<QuantizedImage {width} x {height // self.n_frames}{frames}, {plural(len(self.palette), 'colour')}, "
            f"{self.fit.method}, "
            f"log-likelihood {self.mean_log_likelihood:.4f} per pixel, mse {self.mse:.1f}>"
        )
