"""Options of recolouring and dithering."""

from __future__ import annotations

from typing import Annotated

from gmmquant.cli.options.declaration import DITHERED, by_style, number, option
from gmmquant.settings import ALPHAS, AVERAGES, DITHERS, RECOLORINGS, STYLES

_PANEL = "Drawing"

Style = Annotated[str, option("--style", "STYLE", "What the image is for:", choices=tuple(STYLES))]
Recolor = Annotated[
    str | None,
    option(
        "--recolor",
        "METHOD",
        "Recolouring:",
        _PANEL,
        choices=RECOLORINGS,
        default="posterior, or nearest for kmeans, --palette and --keep-colors",
    ),
]
Dither = Annotated[
    str | None, option("--dither", "METHOD", "Dithering:", _PANEL, choices=DITHERS, default=by_style("dither"))
]
Strength = Annotated[
    float | None,
    option(
        "--strength",
        "FLOAT",
        "Amount of dithering, from 0 to 1.",
        _PANEL,
        convert=number,
        default="0.87 for fitted colours; 1 for a palette and for posterior",
    ),
]
Average = Annotated[
    str | None,
    option(
        "--average",
        "NAME",
        "The colour of a component:",
        _PANEL,
        choices=AVERAGES,
        default=f"median; {DITHERED}: mode; likelihood and kmeans: mean",
    ),
]
Smooth = Annotated[
    float | None,
    option(
        "--smooth",
        "STRENGTH",
        "Larger regions, fewer specks, from 0 to 4.",
        _PANEL,
        convert=number,
        default=by_style("smooth"),
    ),
]
Alpha = Annotated[str, option("--alpha", "MODE", "Alpha: as it is, or fitted with colour:", _PANEL, choices=ALPHAS)]
Resize = Annotated[
    str | None,
    option("--resize", "SIZE", "Resize the image first: 320x240 (fit), 320x, x240 or 50%.", _PANEL),
]
