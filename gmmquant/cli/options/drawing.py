"""Options of drawing: which colour each pixel gets."""

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
        "Colour of a pixel:",
        _PANEL,
        choices=RECOLORINGS,
        default="posterior for gmm, nearest for kmeans",
    ),
]
Dither = Annotated[str, option("--dither", "METHOD", "Dithering:", _PANEL, choices=DITHERS)]
Strength = Annotated[
    float, option("--strength", "FLOAT", "Strength of the dithering, from 0 to 1.", _PANEL, convert=number)
]
