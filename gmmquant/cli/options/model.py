"""Options of the fit: the numbers of colours, the colour space, the palette, and how EM and KMeans run."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

from gmmquant.cli.options.declaration import by_style, integer, number, option
from gmmquant.models.scalar_validation import COVARIANCE_NAMES, INIT_NAMES
from gmmquant.settings import METHODS, SPACES, parse_k

_COLORS, _ADVANCED = "Colours", "Advanced fitting"


Colors = Annotated[
    list[str], option("-k, --colors", "INT...", "Numbers of colours, such as 2 3 7 or 2-8, or auto.", convert=parse_k)
]
Method = Annotated[
    str | None,
    option(
        "--method",
        "METHOD",
        "gmm (a Gaussian mixture) or kmeans (least squared error).",
        _COLORS,
        choices=METHODS,
        default=by_style("method"),
    ),
]
Space = Annotated[
    str | None,
    option("--space", "SPACE", "Colour space of the fit:", _COLORS, choices=SPACES, default=by_style("space")),
]
Palette = Annotated[
    str | None,
    option("--palette", "FILE|#HEX,...", "Colours from a palette file, from an image, or '#1d3557,#e63946'.", _COLORS),
]
ModelFile = Annotated[
    Path | None, option("--model", "FILE", "Use a mixture written by --save-model.", _COLORS, convert=Path)
]
TransferFrom = Annotated[
    Path | None,
    option("--transfer-from", "IMAGE", "Recolour the images with the colours of this one.", _COLORS, convert=Path),
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
Restarts = Annotated[
    int, option("--restarts", "INT", "Number of starts; the best is kept.", _ADVANCED, convert=integer)
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
Seed = Annotated[int, option("--seed", "INT", "Seed of the random numbers.", _ADVANCED, convert=integer)]
