"""The options of the command: what each is called, and what its help says.

They are types of parameters, so that the command reads as a list of names.
"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from gmmquant.errors import ParameterError
from gmmquant.models.parameters import COVARIANCE_NAMES, INIT_NAMES
from gmmquant.screen import emit
from gmmquant.settings import FORMATS, MAPS, PALETTE_FORMATS, parse_k
from gmmquant.version import __version__

_FILES, _MODEL, _DRAWING, _BESIDES, _MESSAGES = "Files", "Model", "Drawing", "Written besides", "Messages"


def _show_version(asked: bool) -> None:
    if asked:
        raise typer.Exit(0 if emit(f"gmmquant {__version__}\n") else 1)


def _read_k(texts: list[str]) -> list[str]:
    try:
        return [str(k) for k in parse_k(texts)]
    except ParameterError as error:
        raise typer.BadParameter(str(error)) from None


def _option(*names: str, help: str, panel: str, **settings: Any) -> Any:  # noqa: A002  typer's name
    """Make an option without a default of its own to show, unless `settings` say so."""
    return typer.Option(*names, help=help, rich_help_panel=panel, **{"readable": False, **settings})


Images = Annotated[
    list[Path],
    typer.Argument(
        metavar="IMAGE...",
        readable=False,  # what cannot be read costs that picture, not the run
        help="Pictures (PNG, JPEG, WebP, AVIF, TIFF, BMP, GIF, PNM, JPEG 2000) or folders of pictures.",
        show_default=False,
    ),
]
Colors = Annotated[
    list[str],
    _option(
        "-k",
        "--colors",
        metavar="INT...",
        callback=_read_k,
        help="Numbers of colours, each a picture of its own: 2 3 7, 2,3,7 or 2-8. Takes every integer that "
        "follows; -- ends the list. auto: the fewest colours that keep 90 % of the gain in ICL.",
        panel=_MODEL,
    ),
]
Method = Annotated[
    str,
    _option(
        "--method",
        metavar="WAY",
        help="gmm: a Gaussian mixture, of the highest likelihood. kmeans: the least squared error, as of a palette "
        "to draw the picture with.",
        panel=_MODEL,
    ),
]
Space = Annotated[
    str,
    _option(
        "--space",
        metavar="SPACE",
        help="Colour space of the fit: srgb, linear (light), lab or oklab (as people see). Likelihoods are of "
        "densities in it.",
        panel=_MODEL,
    ),
]
Covariance = Annotated[
    str,
    _option(
        "--covariance",
        metavar="TYPE",
        help=f"Shape of the components: {', '.join(COVARIANCE_NAMES)}. full fits best; the others have fewer "
        "parameters, to compare, or for pictures of few pixels.",
        panel=_MODEL,
    ),
]
Init = Annotated[
    str,
    _option(
        "--init",
        metavar="WAY",
        help=f"How a fit starts: {', '.join(INIT_NAMES)}. The others start from less than "
        "kmeans does, to see how much the start matters. Of gmm only.",
        panel=_MODEL,
    ),
]
Restarts = Annotated[
    int,
    _option(
        "--restarts",
        metavar="INT",
        help="Try so many starts for a few iterations, on coarse cells of colours, and go on with the best: as a "
        "rule a higher likelihood, not always.",
        panel=_MODEL,
    ),
]
Seed = Annotated[
    int,
    _option(
        "--seed",
        metavar="INT",
        help="Start from other random seeds, to see how much chance matters; the same one gives the same pictures.",
        panel=_MODEL,
    ),
]
MaxIter = Annotated[
    int | None,
    _option(
        "--max-iter",
        metavar="INT",
        help="Most iterations for each k, beside trying starts. Default: 500, and no more than some seconds' work, "
        "which ends fits of many colours early; a number of yours is obeyed whatever the time.",
        panel=_MODEL,
        show_default=False,
    ),
]
Tol = Annotated[
    float,
    _option(
        "--tol",
        metavar="FLOAT",
        help="Stop when an iteration gains less than this, in nats per pixel; larger is faster and fits worse.",
        panel=_MODEL,
    ),
]
ModelFile = Annotated[
    Path | None,
    _option(
        "--model",
        metavar="FILE",
        help="Fit nothing: recolour by a mixture that --save-model wrote, and report the likelihood under it.",
        panel=_MODEL,
        show_default=False,
    ),
]
Palette = Annotated[
    str | None,
    _option(
        "--palette",
        metavar="FILE|#HEX,...",
        help="Keep to these colours, in their order: a palette file, a picture of swatches, or '#1d3557,#e63946'. "
        "Weights and covariances are fitted to them; each pixel gets the nearest.",
        panel=_MODEL,
        show_default=False,
    ),
]
Recolor = Annotated[
    str | None,
    _option(
        "--recolor",
        metavar="WAY",
        help="Which colour a pixel gets: posterior, that of its most probable component (of gmm the default), "
        "nearest, that with the least error (of kmeans the default), or soft, the mean of all by their "
        "probabilities, which is a smooth picture of many colours.",
        panel=_DRAWING,
        show_default=False,
    ),
]
Dither = Annotated[
    str,
    _option(
        "--dither",
        metavar="WAY",
        help="Mix colours by neighbouring pixels: none, floyd-steinberg (errors passed on), blue-noise (an even "
        "grain, the same in every frame), or posterior (each pixel's component drawn from its probabilities).",
        panel=_DRAWING,
    ),
]
Strength = Annotated[
    float,
    _option("--strength", metavar="FLOAT", help="How much of the dithering is done, from 0 to 1.", panel=_DRAWING),
]
TransferTo = Annotated[
    Path | None,
    _option(
        "--transfer-to",
        metavar="IMAGE",
        help="Draw the pictures in the colours of this one: optimal transport between the mixtures of both, k "
        "components each, moves every colour.",
        panel=_DRAWING,
        show_default=False,
    ),
]
Output = Annotated[
    Path | None,
    _option(
        "-o",
        "--output",
        metavar="DIR",
        help="Folder for what is written; made if missing. Default: beside each picture.",
        panel=_FILES,
        show_default=False,
    ),
]
Format = Annotated[
    str,
    _option(
        "--format",
        metavar="FORMAT",
        help=f"Format of the pictures: {', '.join(FORMATS)}. Indexed where it can be, lossless but for jpg.",
        panel=_FILES,
    ),
]
Optimize = Annotated[
    bool,
    _option(
        "--optimize",
        metavar="",
        help="Take more time to make the files smaller: png above all, not gif and bmp.",
        panel=_FILES,
    ),
]
KeepMetadata = Annotated[
    bool,
    _option(
        "--keep-metadata",
        metavar="",
        help="Carry over EXIF, XMP and comments too, as far as the format has places for them.",
        panel=_FILES,
    ),
]
Force = Annotated[bool, _option("-f", "--force", metavar="", help="Replace outputs that exist.", panel=_FILES)]
SkipExisting = Annotated[
    bool,
    _option(
        "--skip-existing",
        metavar="",
        help="Keep outputs that exist and make only what is missing, to resume a run.",
        panel=_FILES,
    ),
]
MaxPixels = Annotated[
    int,
    _option(
        "--max-pixels",
        metavar="INT",
        help="Refuse larger pictures, all frames counted, before they are decoded.",
        panel=_FILES,
    ),
]
PaletteOut = Annotated[
    str | None,
    _option(
        "--palette-out",
        metavar="FORMATS",
        help=f"Write the palette too, as NAME_k7_palette.gpl and so on: {', '.join(PALETTE_FORMATS)}, with commas "
        "between several, or all.",
        panel=_BESIDES,
        show_default=False,
    ),
]
Maps = Annotated[
    str | None,
    _option(
        "--maps",
        metavar="MAPS",
        help=f"Write maps too, as NAME_k7_entropy.png and so on: {', '.join(MAPS)}, or all. Which component a pixel "
        "belongs to, how uncertain that is, and how well the pixel fits.",
        panel=_BESIDES,
        show_default=False,
    ),
]
Layers = Annotated[
    bool,
    _option(
        "--layers",
        metavar="",
        help="Write each component too, as NAME_k7_layer01.png: its colour, with its probability as alpha. They add "
        "up to the soft picture.",
        panel=_BESIDES,
    ),
]
SaveModel = Annotated[
    bool,
    _option(
        "--save-model",
        metavar="",
        help="Write each fitted mixture too, as NAME_k7.gmm.json, to use with --model.",
        panel=_BESIDES,
    ),
]
Quiet = Annotated[bool, _option("-q", "--quiet", metavar="", help="Show nothing but errors.", panel=_MESSAGES)]
Verbose = Annotated[
    bool,
    _option(
        "-v",
        "--verbose",
        metavar="",
        help="List every component too: weight, pixels, spread, colour.",
        panel=_MESSAGES,
    ),
]
Json = Annotated[
    bool,
    _option(
        "--json",
        metavar="",
        help="Write the records to standard output, as one JSON array, instead of tables.",
        panel=_MESSAGES,
    ),
]
Version = Annotated[
    bool,
    typer.Option("--version", metavar="", callback=_show_version, is_eager=True, help="Show the version and exit."),
]
