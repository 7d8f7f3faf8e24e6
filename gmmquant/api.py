"""quantize(), apply_model() and transfer_colors(): quantization in one call."""

from __future__ import annotations

import os
import re
from collections.abc import Iterable
from dataclasses import fields, replace
from typing import TYPE_CHECKING, cast, overload

import numpy as np
import numpy.typing as npt

from gmmquant.errors import ParameterError
from gmmquant.images.inputs import image_input, to_array
from gmmquant.images.palette_input import to_palette
from gmmquant.images.pixels import FlatImage
from gmmquant.models.scalar_validation import CovarianceName, InitName, check_integer
from gmmquant.models.serialization import model_path
from gmmquant.parsing import check_k, parse_auto, parse_k, shortened
from gmmquant.quantization.color_models import read_color_model
from gmmquant.quantization.fitter import Fitter
from gmmquant.quantization.keywords import hinted, refuse_ineffective
from gmmquant.quantization.quantizer import Quantizer
from gmmquant.quantization.result import QuantizedImage
from gmmquant.quantization.results import QuantizedImages
from gmmquant.settings import (
    DEFAULT_K,
    MAX_TRANSFER_K,
    Alpha,
    Average,
    ColorDepth,
    Dither,
    Method,
    PaletteOrder,
    Recoloring,
    Search,
    Settings,
    Space,
    Style,
)

if TYPE_CHECKING:
    from typing import Unpack

    from gmmquant.images.inputs import ImageLike
    from gmmquant.images.palette_input import PaletteLike
    from gmmquant.models.scalar_validation import Integer
    from gmmquant.settings import ColorsLike, SettingsOptions


@overload
def quantize(  # type: ignore[overload-overlap]  # a str is one k
    image: ImageLike,
    k: Integer | str | None = None,
    *,
    palette: PaletteLike | None = None,
    **settings: Unpack[SettingsOptions],
) -> QuantizedImage: ...


@overload
def quantize(
    image: ImageLike,
    k: Iterable[Integer | str],
    *,
    palette: PaletteLike | None = None,
    **settings: Unpack[SettingsOptions],
) -> list[QuantizedImage]: ...


@hinted
def quantize(
    image: ImageLike,
    k: Integer | str | Iterable[Integer | str] | None = None,
    *,
    palette: PaletteLike | None = None,
    style: Style = Settings.style,
    method: Method | None = None,
    recolor: Recoloring | None = None,
    dither: Dither | None = None,
    strength: float | None = None,
    smooth: float | None = None,
    space: Space | None = None,
    covariance: CovarianceName | None = None,
    noise: float | None = None,
    shrink: float | None = None,
    search: Search | None = None,
    average: Average | None = None,
    seed: Integer = Settings.seed,
    n_seeds: Integer = Settings.n_seeds,
    init: InitName = Settings.init,
    restarts: Integer = Settings.restarts,
    tol: float | None = Settings.tol,
    max_iter: Integer | None = Settings.max_iter,
    keep_colors: ColorsLike = Settings.keep_colors,
    palette_order: PaletteOrder | None = Settings.palette_order,
    color_depth: ColorDepth = Settings.color_depth,
    alpha: Alpha = Settings.alpha,
    resize: str | None = Settings.resize,
) -> QuantizedImage | list[QuantizedImage]:
    """Redraw an image in `k` colours: those of a Gaussian mixture fitted to its pixels, or of a palette.

    Parameters
    ----------
    image : array, PIL image, file or DecodedImage
        An array of uint8 or uint16 and of shape (height, width), (height, width, 3) or (height, width, 4): grey, RGB or
        RGBA, sRGB values (OpenCV's arrays are BGR: pass `image[..., ::-1]`). A PIL image of any mode except I and F.
        The path, the bytes or an open file of an image, which `read_image` reads, or what that returns. Of an
        animation, all frames share the colours, and are one below the other in the result. A pixel weighs
        (alpha / 255)^2 in the fit, and the colours of fully transparent pixels are kept. If no pixel is visible, the
        result is the image with a palette of none.
    k : int from 1 to 4096, "auto", "auto:DE", or an iterable of them
        Number of colours; several share one histogram. "auto" chooses the number that ICL supports, "auto:2" the fewest
        colours with a mean OKLab difference from the image, times 100, of at most 2: see `Quantizer.choose_k`. Unless
        it is set, 16, or all colours of `palette`.
    palette : array, sequence of colours, file or text, optional
        Colours to draw the image in, or the `k` best of them. An array (K, 3) of values from 0 to 255, hex codes, names
        of CSS, triples, a palette file or a name such as "gameboy": see `read_palette`.
    style : "mixture", "poster", "faithful" or "likelihood"
        What the image is for: a smooth one with vivid accents, flat areas, the least visible error, or the highest
        likelihood. It decides the settings that are None, as the option --style does: see docs/cli.md.
    method : "gmm" or "kmeans"
        A Gaussian mixture, for the likelihood, or KMeans, for the squared error.
    recolor : "posterior", "nearest", "soft" or None
        The colour of a pixel: that of its most probable component, the nearest one, or the mean of all weighted by
        their probabilities. None: as `dither` requires, otherwise "posterior" for "gmm", and "nearest" for "kmeans" and
        with kept colours. If this is not set and components overlap so much that few colours would be used, pixels get
        the nearest colours: `result.recoloring` tells. Not with `noise=0` and `shrink=0`.
    dither : "none", "floyd-steinberg", "blue-noise", "bayer" or "posterior"
        How colours between those of the palette are mixed.
    strength : float or None
        Amount of dithering, from 0, where each pixel has the nearest colour as the eye sees it (with "posterior": the
        most probable), to 1. None: 0.87 for fitted colours; 1 for a palette and with "posterior".
    smooth : float
        How much a pixel follows its neighbours, from 0 (not at all) to 4: fewer and larger regions.
    space : "srgb", "linear", "lab" or "oklab"
        Colour space of the fit.
    covariance, noise, shrink, search, average, seed, n_seeds, init, restarts, tol, max_iter
        Details of the fit: see `Settings`.
    keep_colors : sequence of str or of three integers
        Colours that the palette contains exactly: hex codes, names of CSS, or values from 0 to 255; also as one text
        with commas. The other colours are fitted about them, and all together are `k`.
    palette_order : "weight", "luminance", "hue", "given" or None
        Order of the colours and components: see `Settings`.
    color_depth : "rgb888", "rgb565", "rgb555" or "rgb444"
        Bits of red, green and blue of hardware that the colours are made for.
    alpha : "keep" or "quantize"
        Whether the result keeps the alpha of the image, or has at most `k` entries of colour and alpha, as an indexed
        PNG has them: see `Settings`.
    resize : str or None
        Size of the result: "320x240" fits the image into this box, "320x" and "x240" set one side, "50%" both.

    Returns
    -------
    QuantizedImage, or a list of them for an iterable `k`, in its order, which notebooks show side by side

    Raises
    ------
    ParameterError
        If the image or a setting is not accepted, or a setting has no effect.
    ImageError, PaletteFileError
        If a file is not a supported image, or not a palette.
    OSError
        If a file cannot be read: a FileNotFoundError if there is none.

    Warns
    -----
    ConvergenceWarning
        If `max_iter` iterations were not enough.
    UserWarning
        If 16-bit values are so small that the image is dark, as data of 12 bits are: the message names a factor. If
        components overlap, so that pixels get the nearest colours, which `recolor` decides if it is set.
    """
    given = locals()
    options = {field.name: given[field.name] for field in fields(Settings)}
    settings = Settings(**options)
    refuse_ineffective(options, settings, has_palette=palette is not None)
    one = k is None or isinstance(k, str) or not isinstance(k, Iterable)
    asked = cast("Iterable[object]", [] if k is None else [k] if one else k)
    ks = [_checked_k(each) for each in asked]
    if not ks and not one:
        raise ParameterError("k is empty; use at least one number of colours")
    colors = None if palette is None else to_palette(palette)
    if colors is not None and any(isinstance(each, str) for each in ks):
        raise ParameterError(f"k = {ks[0]!r} chooses colours by a fit, not from a palette; use numbers, as in k = 3")
    if colors is not None and not ks and len(settings.keep_colors):
        raise ParameterError("keep_colors has no effect on a palette without k, of which all colours are kept; omit it")
    quantizer = Quantizer(image, settings)
    if colors is not None:
        results = [quantizer.fit_palette(colors, cast("int | None", each)) for each in ks or cast("list[int]", [None])]
    else:
        ks = ks or [DEFAULT_K]
        results = [_chosen(quantizer, each) if isinstance(each, str) else quantizer.fit(each) for each in ks]
    return results[0] if one else QuantizedImages(results)


def _chosen(quantizer: Quantizer, asked: str) -> QuantizedImage:
    """Return the result of the k that "auto" or "auto:DE" chooses, with the choice."""
    choice = quantizer.choose_k(asked)
    return replace(quantizer.fit(choice.k), asked=asked, choice=choice)


def _checked_k(k: object) -> int | str:
    """Return a number of colours, or "auto" or "auto:DE" as the command writes it."""
    if not isinstance(k, str):
        return check_k(k)
    match = re.fullmatch(r"\s*([0-9]{1,9})(?:(?:-|[,\s]+)[0-9]{1,9})*\s*", k)
    if match is None:
        return parse_auto(k)
    if k.strip() == match[1]:
        raise ParameterError(f"k = {k!r} is a text; pass the integer {int(match[1])}")
    numbers = ", ".join(map(str, parse_k(re.split(r"[,\s]+", k.strip()))[:5]))
    raise ParameterError(f"k = {shortened(k)!r} is a text; pass integers, as in [{numbers}]")


@hinted
def apply_model(
    image: ImageLike,
    model: str | os.PathLike[str],
    *,
    recolor: Recoloring | None = None,
    dither: Dither | None = None,
    strength: float | None = None,
    smooth: float | None = None,
    seed: int = Settings.seed,
    palette_order: PaletteOrder | None = Settings.palette_order,
    color_depth: ColorDepth = Settings.color_depth,
    resize: str | None = Settings.resize,
) -> QuantizedImage:
    """Redraw an image by a mixture that was fitted to another one and saved, as the command does with `--model`.

    Parameters
    ----------
    image : array, PIL image, file or DecodedImage
        As for `quantize`.
    model : path
        A file that `--save-model` or `GaussianMixture.save` wrote. It has the colour space and the colours.
    recolor, dither, strength, smooth, seed, palette_order, color_depth, resize
        As for `quantize`. Without `recolor`, pixels get their colours as in the image of the model. The model does not
        have `dither`, `strength` and `smooth`: pass them again for the same image.

    Returns
    -------
    QuantizedImage
        Its figures are those of `image` under the mixture.

    Raises
    ------
    ModelFileError
        If the file is not a model of colours. The message names it.
    ParameterError, ImageError, OSError
        As for `quantize`; and a ParameterError if `model` is not a path, or is a URL.
    """
    given = locals()
    options = {field.name: given[field.name] for field in fields(Settings) if field.name in given}
    asked = Settings(**options)
    refuse_ineffective(options, asked, has_model=True)
    saved = read_color_model(model_path(model, "model", ", or use Quantizer(image).apply(mixture) for one in memory"))
    return saved.recolor(Quantizer(image, saved.settings(asked)))


@hinted
def transfer_colors(
    image: ImageLike, target: ImageLike, k: Integer = 20, *, seed: Integer = Settings.seed, space: Space = "srgb"
) -> npt.NDArray[np.uint8]:
    """Recolour an image with the colours of another, by optimal transport between mixtures fitted to both.

    Parameters
    ----------
    image, target : array, PIL image, file or DecodedImage
        As for `quantize`; their sizes may differ. The colours come from `target`. `image` must not be an animation.
    k : int from 1 to 256
        Number of components of each mixture. Few change the overall mood; with many, colours follow those of the
        target more closely.
    seed : int
        Seed of the random starts.
    space : "srgb", "linear", "lab" or "oklab"
        Colour space of the fits and of the transport.

    Returns
    -------
    ndarray of uint8, shape (height, width, 3), or (height, width, 4) if `image` has alpha

    Raises
    ------
    ParameterError, ImageError, OSError
        As for `quantize`; and a ParameterError if no pixel of `target` is visible.
    """
    n_components = check_k(k)
    if n_components > MAX_TRANSFER_K:
        raise ParameterError(f"k = {k} is above the limit of a transfer; use at most {MAX_TRANSFER_K}")
    settings = Settings(seed=check_integer("seed", seed, 0), space=space)
    quantizer = Quantizer(to_array(image), settings)
    colors = FlatImage.from_array(image_input(target).pixels).require_visible().histogram()
    moved_to = Fitter(colors, settings).fit(n_components).mixture
    return quantizer.transfer(quantizer.fit(n_components), moved_to).image
