"""Options of recolouring and dithering."""

from __future__ import annotations

from typing import Annotated

from gmmquant.cli.options.declaration import number, option
from gmmquant.settings import DITHERS, RECOLORINGS

_PANEL = "Drawing"

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
Dither = Annotated[str, option("--dither", "METHOD", "Dithering:", _PANEL, choices=DITHERS)]
Strength = Annotated[float, option("--strength", "FLOAT", "Amount of dithering, from 0 to 1.", _PANEL, convert=number)]
Smooth = Annotated[
    float, option("--smooth", "STRENGTH", "Larger regions, fewer specks, from 0 to 4.", _PANEL, convert=number)
]
