"""The settings of a fit and of recolouring, and the names of formats. Imports no numpy."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
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
from gmmquant.parsing import Color, hex_code, hex_codes, parse_color, resized_size

if TYPE_CHECKING:
    import numpy.typing as npt

    from gmmquant.models.scalar_validation import Integer

    ColorsLike = Sequence[str | Sequence[Integer] | npt.NDArray[Any]] | npt.NDArray[Any] | str

DEFAULT_K = 16
# Of "csv", "md" and the index of "html" there is one file for all images of a run.
REPORTS = ("json", "csv", "md", "html")
DEFAULT_REPORT = "json"
ANY_K = "{all k}"  # in a command line, the numbers of colours of all fits of a report
SHEET_FORMATS, PLOT_FORMATS = ("png", "webp", "svg", "pdf"), ("svg", "pdf", "png")
DEFAULT_NAME = "{stem}_k{k}"  # of the files of a fit; see `pipeline.names`
ALL = "all"
# The largest number of colours that "auto:DE" chooses: that of an indexed file.
MAX_AUTO_K = 256
# The name of standard input and of standard output.
STANDARD_INPUT = STANDARD_OUTPUT = "-"
MAX_TRANSFER_K = 256
MAX_NOISE = 64  # levels of 255
MAX_SMOOTH = 4
MAX_PIXELS = 200_000_000

Style = Literal["mixture", "poster", "faithful", "likelihood"]
Method = Literal["gmm", "kmeans"]
Recoloring = Literal["posterior", "nearest", "soft"]
Dither = Literal["none", "floyd-steinberg", "blue-noise", "bayer", "posterior"]
Search = Literal["none", "split-merge"]
Average = Literal["median", "mode", "mean"]
Space = Literal["srgb", "linear", "lab", "oklab"]
PaletteOrder = Literal["weight", "luminance", "hue", "given"]
Alpha = Literal["keep", "quantize"]
ColorDepth = Literal["rgb888", "rgb565", "rgb555", "rgb444"]
METHODS, RECOLORINGS, DITHERS, SPACES = map(get_args, (Method, Recoloring, Dither, Space))
RANDOM_DITHERS = ("floyd-steinberg", "blue-noise", "posterior")  # whose pattern the seed decides
SEARCHES, AVERAGES, PALETTE_ORDERS = map(get_args, (Search, Average, PaletteOrder))
COLOR_DEPTHS, ALPHAS = map(get_args, (ColorDepth, Alpha))

# The settings that a style decides unless they are set: their values for a mixture, and what other styles change.
_OF_MIXTURE: dict[str, Any] = {
    "method": "gmm",
    "covariance": "full",
    "noise": 2.0,
    "shrink": 0.9,
    "search": "none",
    "space": "srgb",
    "average": "median",
    "dither": "none",
    "smooth": 0.0,
}
STYLES: dict[str, dict[str, Any]] = {
    "mixture": {},
    "poster": {"smooth": 2.0},
    "faithful": {"method": "kmeans", "space": "oklab", "average": "mode", "dither": "floyd-steinberg"},
    "likelihood": {"noise": 0.0, "shrink": 0.0, "search": "split-merge", "average": "mean"},
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
    "average": AVERAGES,
    "space": SPACES,
    "dither": DITHERS,
    "color_depth": COLOR_DEPTHS,
    "alpha": ALPHAS,
}
# What contradicts a fit of colour and alpha together: all but these values, of which those of a style give way.
_OF_ALPHA: dict[str, Any] = {"dither": "none", "smooth": 0.0, "space": "srgb", "search": "none"}
_WITH_ALPHA = _OF_ALPHA | {"keep_colors": (), "color_depth": "rgb888"}
_RECOLORING_OF_METHOD = {"gmm": "posterior", "kmeans": "nearest"}
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
    average: Average | None
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
        What the image is for; a name for values of other settings, each of which may still be set.
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
        and at most an eighth of the standard deviation of the image's values. Less where components would overlap, down
        to none: see docs/noise-and-shape.md.
    shrink : float
        How far "full" covariances are drawn towards a common one, from 0 (not at all) to below 1. See
        "Shrinkage" in docs/mathematics.md.
    search : "none" or "split-merge"
        How a better optimum of a mixture's likelihood is looked for: not at all, or by splits and merges of components;
        see docs/mathematics.md. Not with shrinkage and "tied" covariances.
    average : "median", "mode" or "mean"
        The colour that a component is drawn in: the median of its pixels in each channel, the exact colour that most of
        them have, or its mean. Instead of a median or mode that is more than 16 levels from the mean, and where no
        colour is that of most pixels, it is the mean. Means keep the squared error least; medians keep more chroma.
    init : "kmeans", "k-means++", "random_from_data" or "random"
        Initialisation of a mixture.
    restarts : int
        Number of starts on the coarsest cells. The best one is continued; with a search, several of them are: see
        docs/mathematics.md.
    method : "gmm" or "kmeans"
        A Gaussian mixture, for the likelihood, or KMeans, for the squared error.
    recolor : "posterior", "nearest", "soft" or None
        The colour of a pixel: that of its most probable component, the nearest one, or the mean of all weighted by
        their probabilities. None: as `dither` requires, otherwise "posterior" for "gmm", and "nearest" for "kmeans",
        with kept colours, and where components overlap so much that few colours would be used.
    space : "srgb", "linear", "lab" or "oklab"
        Colour space of the fit and of distances between colours, except those of dithering, which are of the eye: see
        docs/drawing.md.
    dither : "none", "floyd-steinberg", "blue-noise", "bayer" or "posterior"
        How colours between those of the palette are mixed: by diffusing errors to the next pixels, by the thresholds of
        a mask, which is blue noise or Bayer's matrix, or by drawing from the responsibilities of each pixel.
    strength : float or None
        Amount of dithering, from 0, where each pixel has the nearest colour as the eye sees it (with "posterior": the
        most probable), to 1. None: 0.87 for fitted colours; 1 for a palette and with "posterior".
    smooth : float
        How much the label of a pixel depends on its neighbours, from 0 (not at all) to 4: each of the eight that has
        the same label adds this to its score, in nats. Not with "soft" and with dithering. See
        "Smoothing" in docs/mathematics.md.
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
        `average` then has none. A dither, smoothing, space or search of the style is left out.
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
    average: Average = _OF_STYLE
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
        """Set the values that the style decides, and check all."""
        check_choice("style", self.style, tuple(STYLES))
        for name, value in self._of_style().items():
            object.__setattr__(self, name, value)
        for name, least in (("seed", 0), ("n_seeds", 1), ("max_iter", 1), ("restarts", 1)):
            if getattr(self, name) is not None or name != "max_iter":
                remedy = "; seed=1, n_seeds=5 takes the best of the seeds 1 to 5" if name == "seed" else ""
                object.__setattr__(self, name, check_integer(name, getattr(self, name), least, remedy))
        if self.tol is not None:
            check_non_negative("tol", self.tol)
        if check_non_negative("noise", self.noise) > MAX_NOISE:
            raise ParameterError(f"noise = {self.noise:g} is too large; use at most {MAX_NOISE} levels")
        if check_non_negative("shrink", self.shrink) >= 1:
            raise ParameterError(f"shrink = {self.shrink:g} is too large; use a number below 1, or covariance = 'tied'")
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
                    f"keep_colors: {code} is not an {self.color_depth} colour; use {hex_code(shown)}, the nearest"
                )
        if self.alpha == "quantize":
            self._check_alpha()
        if self.search != "none" and (reason := self._without_search(vars(self))):
            raise ParameterError(f"search = {self.search!r} contradicts {reason}")
        if self.strength is not None and check_non_negative("strength", self.strength) > 1:
            raise ParameterError(f"strength = {self.strength:g} is too large; use a number from 0 to 1")
        if check_non_negative("smooth", self.smooth) > MAX_SMOOTH:
            raise ParameterError(f"smooth = {self.smooth:g} is too large; use a number from 0 to {MAX_SMOOTH}")
        if self.smooth and self.dither != "none":
            raise ParameterError(
                f"smooth = {self.smooth:g} contradicts dither = {self.dither!r}, which mixes colours; omit one"
            )
        if self.smooth and self.recolor == "soft":
            raise ParameterError(
                f"smooth = {self.smooth:g} contradicts recolor = 'soft', which has no labels; omit one"
            )
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
        Components are drawn in their means for a mixture without noise and shrinkage, which is the textbook's, and for
        KMeans without dithering, which minimises the error.
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
        if "average" in unset and (plain or values["method"] == "kmeans"):
            values["average"] = "mean" if plain else "mode"
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
    return check_choice("format", format_of(name) or name, tuple(OUTPUT_FORMATS))


def format_of(extension: str) -> str | None:
    """Return the output format of a name or extension in lower case; None if it is of none."""
    return next((name for name, others in OUTPUT_FORMATS.items() if extension in (name, *others)), None)


def _is_empty(colors: object) -> bool:
    return colors is None or (isinstance(colors, str) and not colors)


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


def parse_choices(name: str, text: str | Sequence[str], choices: Sequence[str]) -> tuple[str, ...]:
    """Parse a text such as "gpl,ase" into choices, without repetitions, in their order; "all" means all of them."""
    parts = [part.strip() for part in (text.split(",") if isinstance(text, str) else text)]
    chosen = [check_choice(name, part, (*choices, ALL)) for part in parts if part != ALL]
    return tuple(dict.fromkeys(choices if ALL in parts else chosen))
