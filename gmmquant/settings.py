"""The settings of a fit and of recolouring, numbers of colours, and names of formats. Imports no numpy."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from numbers import Integral
from typing import TYPE_CHECKING, Any, Literal, TypedDict, cast, get_args

from gmmquant.errors import ParameterError
from gmmquant.models.scalar_validation import (
    COVARIANCE_NAMES,
    INIT_NAMES,
    CovarianceName,
    InitName,
    check_choice,
    check_integer,
    check_non_negative,
)

if TYPE_CHECKING:
    import numpy.typing as npt

    from gmmquant.models.scalar_validation import Integer

    ColorsLike = Sequence[str | Sequence[Integer] | npt.NDArray[Any]] | npt.NDArray[Any] | str

Color = tuple[int, ...]  # red, green and blue, 0 to 255

DEFAULT_K = 16
# Of "csv", "md" and the index of "html" there is one file for all images of a run.
REPORTS = ("json", "csv", "md", "html")
DEFAULT_REPORT = "json"
ANY_K = "{all k}"  # in a command line, the numbers of colours of all fits of a report
SHEET_FORMATS, PLOT_FORMATS = ("png", "webp", "svg", "pdf"), ("svg", "pdf", "png")
DEFAULT_NAME = "{stem}_k{k}"  # of the files of a fit; see `pipeline.names`
AUTO, ALL = "auto", "all"
# The largest number of colours that "auto:DE" chooses: that of an indexed file.
MAX_AUTO_K = 256
# The name of standard input and of standard output.
STANDARD_INPUT = STANDARD_OUTPUT = "-"
MAX_K = 4096
_MAX_DIFFERENCE = 100  # in hundredths of the unit of OKLab: that of black and white
MAX_TRANSFER_K = 256
MAX_NOISE = 64  # levels of 255
MAX_SMOOTH = 4
MAX_SEEDS = 1000
MAX_PIXELS = 200_000_000

Style = Literal["mixture", "poster", "faithful", "likelihood"]
Method = Literal["gmm", "kmeans"]
Recoloring = Literal["posterior", "nearest", "soft"]
Dither = Literal["none", "floyd-steinberg", "blue-noise", "bayer", "posterior"]
Search = Literal["none", "split-merge"]
Space = Literal["srgb", "linear", "lab", "oklab"]
PaletteOrder = Literal["weight", "luminance", "hue", "given"]
Alpha = Literal["keep", "quantize"]
ColorDepth = Literal["rgb888", "rgb565", "rgb555", "rgb444"]
METHODS, RECOLORINGS, DITHERS, SPACES = map(get_args, (Method, Recoloring, Dither, Space))
SEARCHES, PALETTE_ORDERS, COLOR_DEPTHS, ALPHAS = map(get_args, (Search, PaletteOrder, ColorDepth, Alpha))

# The settings that a style decides unless they are set: their values for a mixture, and what other styles change.
_OF_MIXTURE: dict[str, Any] = {
    "method": "gmm",
    "covariance": "full",
    "noise": 2.0,
    "shrink": 0.9,
    "search": "none",
    "space": "srgb",
    "snap": 16.0,
    "dither": "none",
    "smooth": 0.0,
}
STYLES: dict[str, dict[str, Any]] = {
    "mixture": {},
    "poster": {"smooth": 2.0},
    "faithful": {"method": "kmeans", "space": "oklab", "dither": "floyd-steinberg"},
    "likelihood": {"noise": 0.0, "shrink": 0.0, "search": "split-merge", "snap": 0.0},
}
_OF_STYLE: Any = None
_OF_MIXTURES_ONLY = {"covariance", "noise", "shrink", "search"}

# Settings that have no effect on recolouring.
OF_FITS = ("max_iter", "tol", "covariance", "noise", "shrink", "search", "init", "restarts", "method", "keep_colors")

SPACE_TITLES = {"srgb": "sRGB", "linear": "linear RGB", "lab": "CIELAB", "oklab": "OKLab"}
CHANNELS = {"srgb": "R, G, B", "linear": "R, G, B (linear)", "lab": "L*, a*, b*", "oklab": "L, a, b"}
# Output formats with their other names, which are extensions too; see the module of the name in `images.encoding`.
OUTPUT_FORMATS = {
    "png": (),
    "webp": (),
    "tiff": ("tif",),
    "gif": (),
    "bmp": (),
    "jpg": ("jpeg",),
    "avif": (),
    "jxl": (),
}
DEFAULT_OUTPUT_FORMAT = "png"
PALETTE_FORMATS = ("hex", "json", "gpl", "css", "ase", "aco", "pal", "png")
MAPS = ("labels", "entropy", "loglik")
LAYERS = ("flat", "exact")

_CHOICES = {
    "style": tuple(STYLES),
    "covariance": COVARIANCE_NAMES,
    "init": INIT_NAMES,
    "method": METHODS,
    "search": SEARCHES,
    "space": SPACES,
    "dither": DITHERS,
    "color_depth": COLOR_DEPTHS,
    "alpha": ALPHAS,
}
# What contradicts a fit of colour and alpha together: all but these values, of which those of a style give way.
_OF_ALPHA: dict[str, Any] = {"dither": "none", "smooth": 0.0, "space": "srgb", "search": "none"}
_WITH_ALPHA = _OF_ALPHA | {"keep_colors": (), "color_depth": "rgb888"}
# A per cent, or a width and a height of which one may be missing.
_RESIZE = re.compile(r"([0-9]{1,6}(?:\.[0-9]{1,6})?)%|([0-9]{0,6})x([0-9]{0,6})", re.ASCII)
# Ranges of numbers as other programs have them.
_OTHER_RANGE = re.compile(r"([0-9]+)(?:\.\.\.?|:|[\u2010-\u2015])([0-9]+)")
_RECOLORING_OF_METHOD = {"gmm": "posterior", "kmeans": "nearest"}
_HEX_AND_ALPHA = re.compile(r"#(?:[0-9a-fA-F]{4}){1,2}")
_HEX_DIGITS = re.compile(r"#?((?:[0-9a-fA-F]{3}){1,2})")
_RECOLORING_OF_DITHER = {dither: "posterior" if dither == "posterior" else "nearest" for dither in DITHERS[1:]}


class SettingsOptions(TypedDict, total=False):
    """The attributes of `Settings` by name, for functions that take settings as keyword arguments."""

    style: Style
    seed: Integer
    n_seeds: Integer
    max_iter: Integer | None
    tol: float | None
    covariance: CovarianceName | None
    noise: float | None
    shrink: float | None
    search: Search | None
    snap: float | None
    init: InitName
    restarts: Integer
    method: Method | None
    recolor: Recoloring | None
    space: Space | None
    dither: Dither | None
    strength: float | None
    smooth: float | None
    keep_colors: ColorsLike
    palette_order: PaletteOrder | None
    color_depth: ColorDepth
    alpha: Alpha
    resize: str | None


@dataclass(frozen=True)
class Settings:
    """The settings of a fit and of recolouring.

    Settings for which no default is named here are None until they are set, and then have the value of the style.

    Attributes
    ----------
    style : "mixture", "poster", "faithful" or "likelihood"
        What the image is for; a name for values of other settings (see `STYLES`), each of which may still be set.
    seed : int
        Seed of the random starts and of the grain of dithering.
    n_seeds : int
        Number of fits, from this seed and those that follow it. The one with the highest likelihood is used; with
        KMeans that with the least squared error.
    max_iter : int or None
        Maximum number of iterations, at all levels together. None: 500, and at each level at most some seconds of work,
        so that a fit to very many colours may end before it has converged, or on cells of several colours.
    tol : float or None
        EM stops when an iteration gains less than this, in nats per pixel (on coarse cells, less than a fraction of
        it). KMeans stops when an iteration reduces the squared error by less than six times this fraction. None: 1e-4;
        for EM on few pixels min(k / 2, 128) divided by their number if that is more, at most 5e-4.
    covariance : "full", "tied", "diag" or "spherical"
        One matrix per component, one matrix for all, variances per component, one variance per component.
    noise : float
        Standard deviation, in levels of 255, of each recorded value for a mixture; of effect at 8 bits from 0.25 on,
        and at most an eighth of the standard deviation of the image's values.
    shrink : float
        How far "full" covariances are drawn towards a common one, from 0 (not at all) to below 1. See
        `gmmquant.models.prior`.
    search : "none" or "split-merge"
        How a better optimum of a mixture's likelihood is looked for: not at all, or by splits and merges of components;
        see `gmmquant.models.split_merge`. Not with shrinkage and "tied" covariances.
    snap : float
        A component of which most pixels have exactly one colour is drawn in it, if it is at most this far from the
        mean: the Euclidean distance of the 8-bit values. 0: components are drawn in their means.
    init : "kmeans", "k-means++", "random_from_data" or "random"
        Initialisation of a mixture.
    restarts : int
        Number of starts on the coarsest cells. The best one is continued; with a search, several of them are: see
        `gmmquant.models.coarse_to_fine.fit_by_search`.
    method : "gmm" or "kmeans"
        A Gaussian mixture, for the likelihood, or KMeans, for the squared error.
    recolor : "posterior", "nearest", "soft" or None
        The colour of a pixel: that of its most probable component, the nearest one, or the mean of all weighted by
        their probabilities. None: as `dither` requires, otherwise "posterior" for "gmm", and "nearest" for "kmeans" and
        with kept colours.
    space : "srgb", "linear", "lab" or "oklab"
        Colour space of the fit and of distances between colours, except those of dithering, which are of the eye: see
        `gmmquant.images.dithering.mixing`.
    dither : "none", "floyd-steinberg", "blue-noise", "bayer" or "posterior"
        How colours between those of the palette are mixed: by diffusing errors to the next pixels, by the thresholds of
        a mask, which is blue noise or Bayer's matrix, or by drawing from the responsibilities of each pixel.
    strength : float or None
        Amount of dithering, from 0 to 1. None: 0.87 for fitted colours; 1 for a palette and with "posterior".
    smooth : float
        How much the label of a pixel depends on its neighbours, from 0 (not at all) to 4: each of the eight that has
        the same label adds this to its score, in nats. Not with "soft" and with dithering. See
        `gmmquant.images.smoothing`.
    keep_colors : sequence of str or of three integers
        Colours that the palette contains exactly, among its k colours: hex codes, names of CSS, or values from 0 to
        255; also as one text with commas; kept as a tuple of `#rrggbb`. They are the means of components, and the
        others are fitted about them.
    palette_order : "weight", "luminance", "hue", "given" or None
        Order of the colours, and so of the components: the heaviest, the darkest, or the greys and then red first.
        "given" is the order of a palette or a model; for fitted colours, kept ones first and then by weight. None:
        "weight" for fitted colours, otherwise "given".
    color_depth : "rgb888", "rgb565", "rgb555" or "rgb444"
        Bits of red, green and blue of hardware that the colours are made for. They are rounded to its colours, to
        distinct ones where possible.
    alpha : "keep" or "quantize"
        Whether an image keeps its alpha, or gets entries of colour and alpha that are fitted together, at most k with
        that of the fully transparent pixels; pixels get the nearest. Of effect on images with partial alpha, on which
        `snap` then has none. A dither, smoothing, space or search of the style is left out.
    resize : str or None
        Size of the image that is fitted and drawn, in place of its own: "320x240" fits it into this box, "320x" and
        "x240" set one side, "50%" both. The aspect is kept. Each new pixel has the mean of the light in its area.

    Raises
    ------
    ParameterError
        If a value is not accepted.
    """

    style: Style = "mixture"
    method: Method = _OF_STYLE
    seed: int = 0
    n_seeds: int = 1
    max_iter: int | None = None
    tol: float | None = None
    covariance: CovarianceName = _OF_STYLE
    noise: float = _OF_STYLE
    shrink: float = _OF_STYLE
    search: Search = _OF_STYLE
    snap: float = _OF_STYLE
    init: InitName = "kmeans"
    restarts: int = 4
    recolor: Recoloring | None = None
    space: Space = _OF_STYLE
    dither: Dither = _OF_STYLE
    strength: float | None = None
    smooth: float = _OF_STYLE
    keep_colors: ColorsLike = ()
    palette_order: PaletteOrder | None = None
    color_depth: ColorDepth = "rgb888"
    alpha: Alpha = "keep"
    resize: str | None = None

    def __post_init__(self) -> None:
        """Set what the style decides, and check the values."""
        check_choice("style", self.style, tuple(STYLES))
        for name, value in self._of_style().items():
            object.__setattr__(self, name, value)
        for name, least in (("seed", 0), ("n_seeds", 1), ("max_iter", 1), ("restarts", 1)):
            if getattr(self, name) is not None or name != "max_iter":
                object.__setattr__(self, name, check_integer(name, getattr(self, name), least))
        if self.tol is not None:
            check_non_negative("tol", self.tol)
        if check_non_negative("noise", self.noise) > MAX_NOISE:
            raise ParameterError(f"noise = {self.noise} is too large; use at most {MAX_NOISE} levels")
        if check_non_negative("shrink", self.shrink) >= 1:
            raise ParameterError(f"shrink = {self.shrink} is too large; use a number below 1, or covariance = 'tied'")
        check_non_negative("snap", self.snap)
        for name, choices in _CHOICES.items():
            check_choice(name, getattr(self, name), choices)
        if self.resize is not None:
            resized_size(self.resize, 1, 1)
        if self.recolor is not None:
            check_choice("recolor", self.recolor, RECOLORINGS)
        if self.palette_order is not None:
            check_choice("palette_order", self.palette_order, PALETTE_ORDERS)
        if self.recolor == "soft" and self.color_depth != "rgb888":
            raise ParameterError(f"recolor = 'soft' mixes colours outside {self.color_depth}; omit color_depth or it")
        object.__setattr__(self, "keep_colors", () if _is_empty(self.keep_colors) else hex_codes(self.keep_colors))
        for code in self.kept_codes:
            shown = displayed(parse_color(code), self.color_depth)
            if shown != parse_color(code):
                raise ParameterError(
                    f"keep_colors: {code} is not an {self.color_depth} colour; use {_hex_code(shown)}, the nearest"
                )
        if self.alpha == "quantize":
            self._check_alpha()
        if self.search != "none" and (reason := self._without_search(vars(self))):
            raise ParameterError(f"search = {self.search!r} contradicts {reason}")
        if self.strength is not None and check_non_negative("strength", self.strength) > 1:
            raise ParameterError(f"strength = {self.strength} is too large; use a number from 0 to 1")
        if check_non_negative("smooth", self.smooth) > MAX_SMOOTH:
            raise ParameterError(f"smooth = {self.smooth} is too large; use a number from 0 to {MAX_SMOOTH}")
        if self.smooth and self.dither != "none":
            raise ParameterError(
                f"smooth = {self.smooth} contradicts dither = {self.dither!r}, which mixes colours; omit one"
            )
        if self.smooth and self.recolor == "soft":
            raise ParameterError(f"smooth = {self.smooth} contradicts recolor = 'soft', which has no labels; omit one")
        required = _RECOLORING_OF_DITHER.get(self.dither)
        if required and self.recolor not in (None, required):
            raise ParameterError(
                f"recolor = {self.recolor!r} contradicts dither = {self.dither!r}, which needs {required!r}; omit one"
            )

    @property
    def kept_codes(self) -> tuple[str, ...]:
        """The colours to keep, as `#rrggbb`."""
        return cast("tuple[str, ...]", self.keep_colors)

    def _of_style(self) -> dict[str, Any]:
        """Return the values of the settings that are not set: those of the style, where they do not contradict others.

        Dithering takes its colours from KMeans in OKLab, as the style "faithful" does, unless a method or what only a
        mixture has is set, also by the style: pixels get the nearest colours, and errors are those that the eye sees.
        Components are drawn
        in their means for a mixture without noise and shrinkage, which is the textbook's, and for KMeans without
        dithering, which minimises the error.
        """
        unset = {name for name in _OF_MIXTURE if getattr(self, name) is None}
        values = _OF_MIXTURE | STYLES[self.style]
        values |= {name: getattr(self, name) for name in _OF_MIXTURE if name not in unset}
        if self.alpha == "quantize":
            values |= {name: value for name, value in _OF_ALPHA.items() if name in unset}
        if "dither" in unset and self.recolor not in (None, _RECOLORING_OF_DITHER.get(values["dither"])):
            values["dither"] = "none"
        if "smooth" in unset and (values["dither"] != "none" or self.recolor == "soft"):
            values["smooth"] = 0.0
        if "dither" in unset and values["smooth"]:
            values["dither"] = "none"
        dithered = _RECOLORING_OF_DITHER.get(values["dither"]) == "nearest"
        is_mixture = bool(_OF_MIXTURES_ONLY - unset or _OF_MIXTURES_ONLY & STYLES[self.style].keys())
        if dithered and "method" in unset and not is_mixture:
            values["method"] = "kmeans"
        if dithered and "space" in unset and values["method"] == "kmeans":
            values["space"] = "oklab"
        if values["method"] == "kmeans":
            values |= dict.fromkeys({"noise", "shrink"} & unset, 0.0)
        if values["covariance"] != "full" and "shrink" in unset:
            values["shrink"] = 0.0
        if "search" in unset and self._without_search(values):
            values["search"] = "none"
        of_style = dithered or "method" in STYLES[self.style]
        plain = not of_style if values["method"] == "kmeans" else not values["noise"] and not values["shrink"]
        if plain and "snap" in unset:
            values["snap"] = 0.0
        return {name: values[name] for name in unset}

    def _check_alpha(self) -> None:
        """Refuse what contradicts a fit of colour and alpha together."""
        for name, value in _WITH_ALPHA.items():
            if getattr(self, name) != value:
                raise ParameterError(f"alpha = 'quantize' contradicts {name} = {getattr(self, name)!r}; omit one")
        if self.n_seeds > 1:
            raise ParameterError("alpha = 'quantize' contradicts several seeds; use one seed")
        if self.recolor not in (None, "nearest"):
            raise ParameterError(f"alpha = 'quantize' contradicts recolor = {self.recolor!r}; use recolor = 'nearest'")

    def _without_search(self, values: dict[str, Any]) -> str | None:
        """Return the setting that contradicts a search, of `values` and those that no style decides, and a remedy."""
        if values["method"] == "kmeans":
            return "method = 'kmeans'; use 'gmm'"
        if values["shrink"]:
            return f"shrink = {values['shrink']}; use shrink = 0"
        if values["covariance"] == "tied":
            return "covariance = 'tied'; use 'full'"
        return None

    @property
    def recoloring(self) -> str:
        """`recolor`, or if that is None the recoloring of the dither, of kept colours or of the method."""
        decided = self.recolor or _RECOLORING_OF_DITHER.get(self.dither)
        # A pixel that has a kept colour keeps it. Its most probable component may be another with a mean nearby.
        return decided or ("nearest" if self.keep_colors else _RECOLORING_OF_METHOD[self.method])


def parse_output_format(text: str) -> str:
    """Return the output format of a name or extension, in upper or lower case."""
    name = text.lower()
    name = next((format for format, others in OUTPUT_FORMATS.items() if name in others), name)  # noqa: A001
    return check_choice("format", name, tuple(OUTPUT_FORMATS))


def hex_codes(colors: object) -> tuple[str, ...]:
    """Return colours, as `colors_of` takes them, as `#rrggbb`, without repetitions, in their order."""
    return tuple(dict.fromkeys(map(_hex_code, colors_of(colors))))


def _is_empty(colors: object) -> bool:
    return colors is None or (isinstance(colors, str) and not colors)


def colors_of(colors: object) -> Iterator[Color]:
    """Yield colours in their order: of a text, see `split_colors`, or of texts and of three integers each."""
    colors = colors.tolist() if hasattr(colors, "tolist") else colors
    if not isinstance(colors, Iterable):
        raise ParameterError(f"{colors!r} is not a list of colours; use one such as ['#1d3557', (255, 0, 0)]")
    for color in [colors] if isinstance(colors, str) else colors:
        if isinstance(color, str):
            yield from map(parse_color, split_colors(color))
        else:
            yield _color_of_numbers(color.tolist() if hasattr(color, "tolist") else color)


def _color_of_numbers(color: object) -> Color:
    is_color = isinstance(color, Sequence) and len(color) == 3 and all(isinstance(value, Integral) for value in color)
    if not is_color or not all(0 <= value <= 255 for value in cast("Color", color)):
        shown = shortened(repr(color))
        raise ParameterError(f"{shown} is not a colour; use a hex code, a name of CSS, or three integers up to 255")
    return tuple(map(int, cast("Color", color)))


def split_colors(text: str) -> list[str]:
    """Return the parts of a text of colours: between commas, semicolons or spaces."""
    return re.split(r"\s*[,;]\s*|\s+", text.strip())


def _hex_code(color: Color) -> str:
    return "#" + bytes(color).hex()


def displayed(color: Color, depth: str) -> Color:
    """Return the nearest colour that hardware of a depth shows."""
    return tuple(
        min(levels_of(bits), key=lambda level: abs(level - value))
        for bits, value in zip(bits_of(depth), color, strict=True)
    )


def bits_of(depth: str) -> tuple[int, ...]:
    """Return the bits of red, green and blue of a depth such as "rgb565"."""
    return tuple(int(bits) for bits in depth.removeprefix("rgb"))


def levels_of(bits: int) -> list[int]:
    """Return the 8-bit values that a channel of 1 to 8 bits can show, ascending: its bits repeated.

    Of 5 bits, v is shown as v << 3 | v >> 2, so that the least value is 0 and the largest 255.
    """
    return [int((f"{value:0{bits}b}" * 8)[:8], 2) for value in range(1 << bits)]


def parse_color(text: str, other_names: Sequence[str] = ()) -> Color:
    """Return the colour of a hex code, `#rrggbb`, `#rgb` or without the sign, or of a name of CSS.

    If it is neither, a `ParameterError` lists similar names, also of `other_names`.
    """
    color = parse_hex(text.strip()) or parse_color_name(text.strip())
    if color is None:
        from difflib import get_close_matches

        what = "a colour, a palette or a file" if other_names else "a colour"
        palettes = f", a palette ({', '.join(other_names)})" if other_names else ""
        remedy = f"use hex codes or names of CSS, as in #1a2b3c,#fff,red{palettes}"
        if near := get_close_matches(shortened(text.strip().lower()), [*other_names, *color_names()], 1, 0.65):
            remedy = f"did you mean {near[0]}?"
        if _HEX_AND_ALPHA.fullmatch(text.strip()):
            remedy = f"a palette has no alpha: use {text.strip()[: 7 if len(text.strip()) == 9 else 4]}"
        raise ParameterError(f"{shortened(text)!r} is not {what}; {remedy}")
    return color


def parse_hex(text: str) -> Color | None:
    """Return the colour of `#rrggbb` or `#rgb`, with or without the sign; None if it is neither."""
    match = _HEX_DIGITS.fullmatch(text)
    if match is None:
        return None
    digits = match[1] if len(match[1]) == 6 else "".join(digit * 2 for digit in match[1])
    return tuple(bytes.fromhex(digits))


def parse_color_name(text: str) -> Color | None:
    """Return the colour of a name of CSS, in upper or lower case; None if there is no such name."""
    return parse_hex(color_names().get(text.lower(), ""))


def color_names() -> dict[str, str]:
    """Return the hex codes of the names of CSS."""
    from PIL import ImageColor  # few runs name colours

    # Pillow replaces the code of a name by its colour when it is used first.
    codes = ImageColor.colormap.items()
    return {name: code if isinstance(code, str) else _hex_code(code[:3]) for name, code in codes}


def shortened(text: str) -> str:
    """Return a text of at most 40 characters for a message."""
    return text if len(text) <= 40 else text[:37] + "..."


def check_k(k: object) -> int:
    """Return `k`, a number of colours from 1 to 4096, as an int."""
    number = check_integer("k", k, 1)
    if number > MAX_K:
        raise ParameterError(f"k = {number} is too large; use at most {MAX_K}")
    return number


def resized_size(resize: str, width: int, height: int) -> tuple[int, int]:
    """Return the width and the height, at least 1, of an image of `width` x `height` after `Settings.resize`."""
    match = _RESIZE.fullmatch(resize)
    if match is None or (limits := [float(text) for text in match.groups() if text]) == [] or min(limits) <= 0:
        number = resize.strip()
        sizes = f"{number}x, x{number} or {number}%" if re.fullmatch("[1-9][0-9]{0,5}", number) else ""
        sizes = sizes or "320x240, 320x, x240 or 50%"
        raise ParameterError(f"resize = {shortened(resize)!r} is not a size; use {sizes}")
    per_cent, new_width, new_height = match.groups()
    sides = ((new_width, width), (new_height, height))
    scale = float(per_cent) / 100 if per_cent else min(int(text) / side for text, side in sides if text)
    return max(int(scale * width + 0.5), 1), max(int(scale * height + 0.5), 1)


def largest_of(ks: Iterable[int | str]) -> int:
    """Return the largest number of colours in `ks`; 0 if all of them are chosen automatically."""
    return max((k for k in ks if isinstance(k, int)), default=0)


def largest_difference(k: int | str) -> float | None:
    """Return the bound DE of the k "auto:DE", in hundredths of the unit of OKLab; None for a number and for "auto"."""
    return float(k.partition(":")[2]) if isinstance(k, str) and k != AUTO else None


def in_names(k: int | str) -> str:
    """Return `k` as in the names of files: 7, auto, and auto2 for "auto:2", since some systems refuse colons."""
    return str(k).replace(":", "")


def parse_seeds(text: str) -> range:
    """Return the seeds of a text such as "3" or "1-5"; raise a ValueError for another."""
    match = re.fullmatch(r"\s*([0-9]{1,18})(?:-([0-9]{1,18}))?\s*", text)
    if match is None:
        raise ValueError(f"{text!r} is not a seed; use a number such as 3, or a range such as 1-5")
    first, last = int(match[1]), int(match[2] or match[1])
    if not 0 <= last - first < MAX_SEEDS:
        raise ValueError(f"{text!r} is not a range of 1 to {MAX_SEEDS} seeds; use one such as 1-5")
    return range(first, last + 1)


def parse_auto(text: str) -> str:
    """Return "auto", or "auto:DE" with DE in its shortest form."""
    bound = re.fullmatch(r"auto:([0-9]{1,3}(?:\.[0-9]{1,3})?)", text)
    if text == AUTO:
        return AUTO
    if bound is None or not 0 < float(bound[1]) <= _MAX_DIFFERENCE:
        raise ParameterError(
            f"k = {text!r} is not a choice of k; use auto, or auto:DE with a mean OKLab difference DE from 0.001 to "
            f"{_MAX_DIFFERENCE}, as in auto:2"
        )
    return f"{AUTO}:{float(bound[1]):g}"


def parse_k(texts: Iterable[str]) -> list[int | str]:
    """Parse texts such as "2,3", "5-8" and "auto:2" into numbers of colours, without repetitions, in their order."""
    return list(dict.fromkeys(k for text in texts for part in text.split(",") for k in _parse_k_part(part)))


def _parse_k_part(part: str) -> Iterator[int | str]:
    if part.strip().startswith(AUTO):
        yield parse_auto(part.strip())
        return
    numbers = re.fullmatch(r"(-?[0-9]+)(?:-([0-9]+))?", part.strip())
    if numbers is None:
        if other := _OTHER_RANGE.fullmatch(part.strip()):
            raise ParameterError(f"k = {part!r} is not a range; did you mean {other[1]}-{other[2]}?")
        raise ParameterError(
            f"k = {part!r} is not a number of colours; use integers from 1 to {MAX_K} (2 3 7, 2,3,7 or 2-8), auto or "
            "auto:2"
        )
    low, high = check_k(int(numbers[1])), check_k(int(numbers[2] or numbers[1]))
    if low > high:
        raise ParameterError(f"k = {part} is an empty range; write the smaller number first, as in {high}-{low}")
    yield from range(low, high + 1)


def parse_choices(name: str, text: str | Sequence[str], choices: Sequence[str]) -> tuple[str, ...]:
    """Parse a text such as "gpl,ase" into choices, without repetitions, in their order; "all" means all of them."""
    parts = [part.strip() for part in (text.split(",") if isinstance(text, str) else text)]
    chosen = [check_choice(name, part, choices) for part in parts if part != ALL]
    return tuple(dict.fromkeys(choices if ALL in parts else chosen))
