"""Options of the fit: the numbers of colours, the colour space, the palette, and how EM and KMeans run."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Annotated, NamedTuple

from gmmquant.cli.options.declaration import DITHERED, by_style, integer, number, option
from gmmquant.colors.named_palettes import NAMED_PALETTES
from gmmquant.errors import ParameterError
from gmmquant.models.scalar_validation import COVARIANCE_NAMES, INIT_NAMES
from gmmquant.parsing import color_names, hex_code, hex_codes, parse_k, parse_seeds
from gmmquant.settings import COLOR_DEPTHS, METHODS, PALETTE_ORDERS, SEARCHES, SPACES
from gmmquant.system.paths import local_path

_COLORS, _ADVANCED = "Colours", "Advanced fitting"


def _complete_colors(names: Sequence[str] = ()) -> Callable[[str], list[str]]:
    """Return the completion of the last of colours with commas: by `names`, and after a letter by those of CSS."""

    def complete(incomplete: str) -> list[str]:
        before, comma, last = incomplete.rpartition(",")
        known = [*names, *(color_names() if last else ())]
        return [before + comma + name for name in known if name.startswith(last.lower())]

    return complete


class KeptColors(NamedTuple):
    """The hex codes of colours to keep, and notes on the files that they are from."""

    codes: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()


def _kept_colors(texts: Sequence[str]) -> KeptColors:
    """Return the colours of hex codes, of the names of palettes, and of palette files."""
    codes, notes = list[str](), list[str]()
    for text in texts:
        try:
            codes += hex_codes(text)
        except ParameterError:
            from gmmquant.pipeline.loaded_strategy import note_on, read_colors

            found, _ = read_colors(text)
            codes += map(hex_code, found.colors)
            notes += filter(None, [note_on(text, found)])
    return KeptColors(hex_codes(codes), tuple(notes))


Colors = Annotated[
    list[str],
    option(
        "-k, --colors",
        "INT...",
        "Numbers of colours: 2 3 7, 2-8, auto or auto:DE, a mean difference.",
        choices=("auto", "auto:1", "auto:2", "auto:3", "auto:5"),
        convert=parse_k,
    ),
]
Method = Annotated[
    str | None,
    option(
        "--method",
        "METHOD",
        "gmm (a Gaussian mixture) or kmeans (least squared error).",
        _COLORS,
        choices=METHODS,
        default=f"gmm; {DITHERED}: kmeans",
    ),
]
Space = Annotated[
    str | None,
    option(
        "--space",
        "SPACE",
        "Colour space of the fit:",
        _COLORS,
        choices=SPACES,
        default=f"srgb; {DITHERED}: oklab",
    ),
]
Palette = Annotated[
    str | None,
    option(
        "--palette",
        "FILE|COLORS",
        "A file, colours such as '#1d3557,red', or a name such as gameboy.",
        _COLORS,
        complete=_complete_colors(tuple(NAMED_PALETTES)),
    ),
]
KeepColors = Annotated[
    list[str],
    option(
        "--keep-colors",
        "COLORS",
        "Colours that the palette contains exactly: '#ffffff,red'.",
        _COLORS,
        default="none",
        convert=_kept_colors,
        complete=_complete_colors(),
    ),
]
PaletteOrder = Annotated[
    str | None,
    option(
        "--palette-order",
        "ORDER",
        "Order of the colours:",
        _COLORS,
        choices=PALETTE_ORDERS,
        default="weight, or given for --palette and --model",
    ),
]
ColorDepth = Annotated[
    str, option("--color-depth", "DEPTH", "Colours of displays with fewer bits:", _COLORS, choices=COLOR_DEPTHS)
]
ModelFile = Annotated[
    Path | None, option("--model", "FILE", "Use a mixture written by --save-model.", _COLORS, convert=local_path)
]
TransferFrom = Annotated[
    Path | None,
    option(
        "--transfer-from", "IMAGE", "Recolour the images with the colours of this one.", _COLORS, convert=local_path
    ),
]
Init = Annotated[str, option("--init", "METHOD", "Initialisation:", _ADVANCED, choices=INIT_NAMES)]
Covariance = Annotated[
    str | None,
    option(
        "--covariance",
        "TYPE",
        "Shape of the components:",
        _ADVANCED,
        choices=COVARIANCE_NAMES,
        default=by_style("covariance"),
    ),
]
Noise = Annotated[
    float | None,
    option(
        "--noise",
        "LEVELS",
        "Uncertainty of the pixel values, in levels of 255.",
        _ADVANCED,
        convert=number,
        default=by_style("noise"),
    ),
]
Shrink = Annotated[
    float | None,
    option(
        "--shrink",
        "FLOAT",
        "Draw covariances towards a common one: 0 to below 1.",
        _ADVANCED,
        convert=number,
        default=by_style("shrink"),
    ),
]
Search = Annotated[
    str | None,
    option(
        "--search",
        "NAME",
        "How a higher likelihood is looked for:",
        _ADVANCED,
        choices=SEARCHES,
        default=by_style("search"),
    ),
]
Restarts = Annotated[
    int,
    option(
        "--restarts",
        "INT",
        "Number of starts; the best is kept (1, 2, 6, 22 with split-merge).",
        _ADVANCED,
        convert=integer,
    ),
]
Tol = Annotated[
    float | None,
    option(
        "--tol",
        "FLOAT",
        "Stop when an iteration gains less, in nats per pixel.",
        _ADVANCED,
        convert=number,
        default="1e-4, more for few pixels",
    ),
]
MaxIter = Annotated[
    int | None,
    option(
        "--max-iter",
        "INT",
        "Maximum number of iterations per k.",
        _ADVANCED,
        convert=integer,
        default="500, or several seconds of work",
    ),
]
Seed = Annotated[
    str,
    option(
        "--seed", "INT", "Seed of the random numbers; the best of several with 1-5.", _ADVANCED, convert=parse_seeds
    ),
]
