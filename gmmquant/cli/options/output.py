"""Options of the files that are written."""

from __future__ import annotations

from typing import Annotated

from gmmquant.cli.options.declaration import flag, integer, option
from gmmquant.settings import MAPS, OUTPUT_FORMATS, PALETTE_FORMATS

_FILES, _ADDITIONAL = "Files", "Additional outputs"

Output = Annotated[
    str | None,
    option("-o, --output", "DIR", "Folder of the outputs; - is standard output.", default="beside each image"),
]
Force = Annotated[bool, flag("-f, --force", "Replace existing outputs.")]
SkipExisting = Annotated[bool, flag("--skip-existing", "Keep existing outputs and make only what is missing.")]
Format = Annotated[str, option("--format", "FORMAT", "Image format:", _FILES, choices=tuple(OUTPUT_FORMATS))]
Optimize = Annotated[bool, flag("--optimize", "Take more time to make smaller files.", _FILES)]
KeepMetadata = Annotated[bool, flag("--keep-metadata", "Copy EXIF, XMP and comments to the outputs.", _FILES)]
KeepExtension = Annotated[bool, flag("--keep-extension", "Name outputs cat.jpg_k7.png instead of cat_k7.png.", _FILES)]
PreserveTimes = Annotated[bool, flag("--preserve-times", "Give outputs the times of their inputs.", _FILES)]
MaxPixels = Annotated[
    int, option("--max-pixels", "INT", "Refuse images of more pixels, all frames counted.", _FILES, convert=integer)
]
PaletteOut = Annotated[
    str | None,
    option("--palette-out", "FORMATS", "Write palettes:", _ADDITIONAL, choices=PALETTE_FORMATS, several=True),
]
Maps = Annotated[str | None, option("--maps", "MAPS", "Write maps:", _ADDITIONAL, choices=MAPS, several=True)]
Layers = Annotated[bool, flag("--layers", "Write each component as a layer with alpha.", _ADDITIONAL)]
SaveModel = Annotated[bool, flag("--save-model", "Write each fitted mixture, for --model.", _ADDITIONAL)]
