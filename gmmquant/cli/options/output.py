"""Options of the files that are written."""

from __future__ import annotations

from typing import Annotated

from gmmquant.cli.options.declaration import one_of, option, some_of
from gmmquant.settings import MAPS, OUTPUT_FORMATS, PALETTE_FORMATS

Output = Annotated[
    str | None,
    option(
        "-o",
        "--output",
        metavar="DIR",
        help="Folder for what is written; made if missing. Default: beside each image. -: the image, of one k, "
        "goes to standard output and nothing to files; with --json or --json-lines, the records alone do.",
        panel="Files",
        show_default=False,
    ),
]
Format = Annotated[
    str,
    option(
        "--format",
        metavar="FORMAT",
        autocompletion=one_of(tuple(OUTPUT_FORMATS)),
        help=f"Format of the images: {', '.join(OUTPUT_FORMATS)}. Indexed where it can be, lossless but for jpg.",
        panel="Files",
    ),
]
Optimize = Annotated[
    bool,
    option(
        "--optimize",
        metavar="",
        help="Take more time to make the files smaller: png above all, not gif and bmp.",
        panel="Files",
    ),
]
KeepMetadata = Annotated[
    bool,
    option(
        "--keep-metadata",
        metavar="",
        help="Carry over EXIF, XMP and comments too, as far as the format has places for them.",
        panel="Files",
    ),
]
Force = Annotated[bool, option("-f", "--force", metavar="", help="Replace outputs that exist.", panel="Files")]
SkipExisting = Annotated[
    bool,
    option(
        "--skip-existing",
        metavar="",
        help="Keep outputs that exist and make only what is missing, to resume a run.",
        panel="Files",
    ),
]
MaxPixels = Annotated[
    int,
    option(
        "--max-pixels",
        metavar="INT",
        help="Refuse larger images, all frames counted, before they are decoded.",
        panel="Files",
    ),
]
KeepExtension = Annotated[
    bool,
    option(
        "--keep-extension",
        metavar="",
        help="Name outputs cat.jpg_k7.png and so on, so that cat.jpg and cat.png can be done in one run.",
        panel="Files",
    ),
]
PreserveTimes = Annotated[
    bool,
    option("--preserve-times", metavar="", help="Give outputs the times of their inputs.", panel="Files"),
]
PaletteOut = Annotated[
    str | None,
    option(
        "--palette-out",
        metavar="FORMATS",
        autocompletion=some_of(PALETTE_FORMATS),
        help=f"Write the palette too, as NAME_k7_palette.gpl and so on: {', '.join(PALETTE_FORMATS)}, with commas "
        "between several, or all.",
        panel="Written besides",
        show_default=False,
    ),
]
Maps = Annotated[
    str | None,
    option(
        "--maps",
        metavar="MAPS",
        autocompletion=some_of(MAPS),
        help=f"Write maps too, as NAME_k7_entropy.png and so on: {', '.join(MAPS)}, or all. Which component a pixel "
        "belongs to, how uncertain that is, and how well the pixel fits.",
        panel="Written besides",
        show_default=False,
    ),
]
Layers = Annotated[
    bool,
    option(
        "--layers",
        metavar="",
        help="Write each component too, as NAME_k7_layer01.png: its colour, with its probability as alpha. They add "
        "up to the soft image.",
        panel="Written besides",
    ),
]
SaveModel = Annotated[
    bool,
    option(
        "--save-model",
        metavar="",
        help="Write each fitted mixture too, as NAME_k7.gmm.json, to use with --model.",
        panel="Written besides",
    ),
]
