"""What can be asked for: the number of colours, and what influences a fit besides. Needs nothing but Python."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import TypedDict

from gmmquant.errors import ParameterError
from gmmquant.models.scalar_validation import (
    COVARIANCE_NAMES,
    INIT_NAMES,
    check_choice,
    check_integer,
    check_non_negative,
)

DEFAULT_K = (2, 3, 7, 20)
AUTO = "auto"
# The name of standard input and output.
STANDARD_INPUT = STANDARD_OUTPUT = "-"
MAX_K = 4096
MAX_TRANSFER_K = 256
MAX_PIXELS = 200_000_000
METHODS = ("gmm", "kmeans")
RECOLORINGS = ("posterior", "nearest", "soft")
DITHERS = ("none", "floyd-steinberg", "blue-noise", "posterior")
# Settings that say how a mixture is fitted, and nothing of how an image is drawn by it.
OF_FITS = ("max_iter", "tol", "covariance", "init", "restarts", "method")

SPACE_TITLES = {"srgb": "sRGB", "linear": "linear RGB", "lab": "CIELAB", "oklab": "OKLab"}
SPACES = tuple(SPACE_TITLES)
CHANNELS = {"srgb": "R, G, B", "linear": "R, G, B (linear)", "lab": "L*, a*, b*", "oklab": "L, a, b"}
# Output formats with their other names, which are extensions too. The module of the name in `images.encoding` has the
# entry of the format.
OUTPUT_FORMATS: dict[str, tuple[str, ...]] = {
    "png": (),
    "webp": (),
    "tiff": ("tif",),
    "gif": (),
    "bmp": (),
    "jpg": ("jpeg",),
}
DEFAULT_OUTPUT_FORMAT = "png"
PALETTE_FORMATS = ("hex", "json", "gpl", "css", "ase", "aco", "png")
MAPS = ("labels", "entropy", "loglik")

_RECOLORING_OF_METHOD = {"gmm": "posterior", "kmeans": "nearest"}
_RECOLORING_OF_DITHER = {"floyd-steinberg": "nearest", "blue-noise": "nearest", "posterior": "posterior"}


class SettingsArguments(TypedDict, total=False):
    """The arguments of `Settings`, for functions that pass them on."""

    seed: int
    max_iter: int | None
    tol: float | None
    covariance: str
    init: str
    restarts: int
    method: str
    recolor: str | None
    space: str
    dither: str
    strength: float


@dataclass(frozen=True)
class Settings:
    """What influences a fit besides the image and k.

    Attributes
    ----------
    seed : int
        Seed of what is drawn at random: starts, and the grain of dithering.
    max_iter : int or None
        Most iterations, at all levels together. None: 500, and no more work at a level than some seconds, so that
        an image of very many colours may end before it has converged, or without iterations on its single colours.
    tol : float or None
        EM stops when an iteration gains less than this, in nats per pixel (on coarse cells, less than a part of it);
        KMeans when an iteration takes less than six times this part off the squared error. None: 1e-4, and for EM on
        few pixels more: min(k / 2, 8) divided by their number, that is half a nat for each component, 8 at most, over
        all of them; but no more than 5e-4.
    covariance : "full", "tied", "diag" or "spherical"
        A matrix for each component, one matrix for all, variances for each component, one variance for each.
    init : "kmeans", "k-means++", "random_from_data" or "random"
        How a fit starts.
    restarts : int
        Number of starts on the coarsest cells, of which the best goes on.
    method : "gmm" or "kmeans"
        A Gaussian mixture, for the likelihood, or KMeans, for the least squared error.
    recolor : "posterior", "nearest", "soft" or None
        Which colour a pixel gets: that of its most probable component, the nearest, or the mean of all by their
        probabilities. None: the dither's own, or the method's, "posterior" of a mixture, "nearest" of KMeans.
    space : "srgb", "linear", "lab" or "oklab"
        Colour space that the fit runs in, and that colours are near each other in.
    dither : "none", "floyd-steinberg", "blue-noise" or "posterior"
        How pixels between the colours of the palette are spread over them: errors diffused to the next pixels, by the
        thresholds of a blue-noise mask, or by a draw from each pixel's responsibilities.
    strength : float
        How much of the dithering is done, from 0 to 1.

    Raises
    ------
    ParameterError
        If a value is outside what a fit can use.
    """

    seed: int = 0
    max_iter: int | None = None
    tol: float | None = None
    covariance: str = "full"
    init: str = "kmeans"
    restarts: int = 4
    method: str = "gmm"
    recolor: str | None = None
    space: str = "srgb"
    dither: str = "none"
    strength: float = 1.0

    def __post_init__(self) -> None:
        """Refuse values that no fit can use."""
        check_integer("seed", self.seed, 0)
        if self.max_iter is not None:
            check_integer("max_iter", self.max_iter, 1)
        if self.tol is not None:
            check_non_negative("tol", self.tol)
        check_choice("covariance", self.covariance, COVARIANCE_NAMES)
        check_choice("init", self.init, INIT_NAMES)
        check_integer("restarts", self.restarts, 1)
        check_choice("method", self.method, METHODS)
        if self.recolor is not None:
            check_choice("recolor", self.recolor, RECOLORINGS)
        check_choice("space", self.space, SPACES)
        check_choice("dither", self.dither, DITHERS)
        if check_non_negative("strength", self.strength) > 1:
            raise ParameterError(f"strength = {self.strength} is above the limit; give a number from 0 to 1")
        own = _RECOLORING_OF_DITHER.get(self.dither)
        if own is not None and self.recolor not in (None, own):
            raise ParameterError(
                f"recolor = {self.recolor!r} contradicts dither = {self.dither!r}, which mixes colours by {own!r}; "
                "leave one of them out"
            )

    @property
    def recoloring(self) -> str:
        """How pixels get their colours: `recolor`, or what dither or method do by themselves."""
        return self.recolor or _RECOLORING_OF_DITHER.get(self.dither) or _RECOLORING_OF_METHOD[self.method]


def parse_output_format(text: str) -> str:
    """Return the output format that a name or extension means, in any case.

    Raises
    ------
    ParameterError
        If it is none.
    """
    name = text.lower()
    name = next((format for format, others in OUTPUT_FORMATS.items() if name in others), name)  # noqa: A001
    return check_choice("format", name, tuple(OUTPUT_FORMATS))


def check_k(k: object) -> int:
    """Return `k`, a number of colours from 1 to 4096, as an int."""
    number = check_integer("k", k, 1)
    if number > MAX_K:
        raise ParameterError(f"k = {number} is above the limit; give at most {MAX_K}")
    return number


def largest_of(ks: Iterable[int | str]) -> int:
    """Return the largest number of colours in `ks`; 0 if there is none but "auto"."""
    return max((k for k in ks if isinstance(k, int)), default=0)


def parse_k(texts: Iterable[str]) -> list[int | str]:
    """Turn texts such as "2,3", "5-8" and "auto" into the numbers of colours they mean, each once, in the order given.

    Raises
    ------
    ParameterError
        If a part is neither an integer nor a range, or a number is outside 1 to 4096.
    """
    return list(dict.fromkeys(k for text in texts for part in text.split(",") for k in _parse_k_part(part)))


def _parse_k_part(part: str) -> Iterator[int | str]:
    if part == AUTO:
        yield AUTO
        return
    numbers = re.fullmatch(r"(-?[0-9]+)(?:-([0-9]+))?", part.strip())
    if numbers is None:
        raise ParameterError(
            f"k = {part!r} is no number of colours; give integers from 1 to {MAX_K}, as in 2 3 7, 2,3,7 or 2-8, or auto"
        )
    low, high = check_k(int(numbers[1])), check_k(int(numbers[2] or numbers[1]))
    if low > high:
        raise ParameterError(f"k = {part} is an empty range; give the smaller number first, as in {high}-{low}")
    yield from range(low, high + 1)


def parse_choices(name: str, text: str | None, choices: Sequence[str]) -> tuple[str, ...]:
    """Turn a text such as "gpl,ase" into the choices it names, each once, in the order given; "all" names all.

    Raises
    ------
    ParameterError
        If a part is none of `choices`.
    """
    parts = [] if text is None else list(choices) if text.strip() == "all" else text.split(",")
    return tuple(dict.fromkeys(check_choice(name, part.strip(), choices) for part in parts))
