"""Options of the model, and of how images are drawn by it."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from gmmquant.cli.options.declaration import one_of, option
from gmmquant.errors import ParameterError
from gmmquant.models.scalar_validation import COVARIANCE_NAMES, INIT_NAMES
from gmmquant.settings import DITHERS, METHODS, RECOLORINGS, SPACES, parse_k


def _read_k(texts: list[str]) -> list[str]:
    try:
        return [str(k) for k in parse_k(texts)]
    except ParameterError as error:
        raise typer.BadParameter(str(error)) from None


Colors = Annotated[
    list[str],
    option(
        "-k",
        "--colors",
        metavar="INT...",
        callback=_read_k,
        help="Numbers of colours, each an image of its own: 2 3 7, 2,3,7 or 2-8. Takes every integer that "
        "follows; -- ends the list. auto: the fewest colours that keep 90 % of the gain in ICL.",
        panel="Model",
    ),
]
Method = Annotated[
    str,
    option(
        "--method",
        metavar="WAY",
        autocompletion=one_of(METHODS),
        help="gmm: a Gaussian mixture, of the highest likelihood. kmeans: the least squared error, as of a palette "
        "to draw the image with.",
        panel="Model",
    ),
]
Space = Annotated[
    str,
    option(
        "--space",
        metavar="SPACE",
        autocompletion=one_of(SPACES),
        help="Colour space of the fit: srgb, linear (light), lab or oklab (as people see). Likelihoods are of "
        "densities in it.",
        panel="Model",
    ),
]
Covariance = Annotated[
    str,
    option(
        "--covariance",
        metavar="TYPE",
        autocompletion=one_of(COVARIANCE_NAMES),
        help=f"Shape of the components: {', '.join(COVARIANCE_NAMES)}. full fits best; the others have fewer "
        "parameters, to compare, or for images of few pixels.",
        panel="Model",
    ),
]
Init = Annotated[
    str,
    option(
        "--init",
        metavar="WAY",
        autocompletion=one_of(INIT_NAMES),
        help=f"How a fit starts: {', '.join(INIT_NAMES)}. The others start from less than "
        "kmeans does, to see how much the start matters. Of gmm only.",
        panel="Model",
    ),
]
Restarts = Annotated[
    int,
    option(
        "--restarts",
        metavar="INT",
        help="Try so many starts for a few iterations, on coarse cells of colours, and go on with the best: as a "
        "rule a higher likelihood, not always.",
        panel="Model",
    ),
]
Seed = Annotated[
    int,
    option(
        "--seed",
        metavar="INT",
        help="Start from other random seeds, to see how much chance matters; the same one gives the same images.",
        panel="Model",
    ),
]
MaxIter = Annotated[
    int | None,
    option(
        "--max-iter",
        metavar="INT",
        help="Most iterations for each k, beside trying starts. Default: 500, and no more than some seconds' work, "
        "which ends fits of many colours early; a number of yours is obeyed whatever the time.",
        panel="Model",
        show_default=False,
    ),
]
Tol = Annotated[
    float | None,
    option(
        "--tol",
        metavar="FLOAT",
        help="Stop when an iteration gains less than this, in nats per pixel; larger is faster and fits worse. "
        "Default: 1e-4; for few pixels more: min(k / 2, 8) divided by their number, 5e-4 at most.",
        panel="Model",
        show_default=False,
    ),
]
ModelFile = Annotated[
    Path | None,
    option(
        "--model",
        metavar="FILE",
        help="Fit nothing: recolour by a mixture that --save-model wrote, and report the likelihood under it.",
        panel="Model",
        show_default=False,
    ),
]
Palette = Annotated[
    str | None,
    option(
        "--palette",
        metavar="FILE|#HEX,...",
        help="Keep to these colours, in their order: a palette file, an image of swatches, or '#1d3557,#e63946'. "
        "Weights and covariances are fitted to them; each pixel gets the nearest.",
        panel="Model",
        show_default=False,
    ),
]
Recolor = Annotated[
    str | None,
    option(
        "--recolor",
        metavar="WAY",
        autocompletion=one_of(RECOLORINGS),
        help="Which colour a pixel gets: posterior, that of its most probable component (of gmm the default), "
        "nearest, that with the least error (of kmeans the default), or soft, the mean of all by their "
        "probabilities, which is a smooth image of many colours.",
        panel="Drawing",
        show_default=False,
    ),
]
Dither = Annotated[
    str,
    option(
        "--dither",
        metavar="WAY",
        autocompletion=one_of(DITHERS),
        help="Mix colours by neighbouring pixels: none, floyd-steinberg (errors passed on), blue-noise (an even "
        "grain, the same in every frame), or posterior (each pixel's component drawn from its probabilities).",
        panel="Drawing",
    ),
]
Strength = Annotated[
    float,
    option("--strength", metavar="FLOAT", help="How much of the dithering is done, from 0 to 1.", panel="Drawing"),
]
TransferFrom = Annotated[
    Path | None,
    option(
        "--transfer-from",
        metavar="IMAGE",
        help="Draw the images in the colours of this one: optimal transport between the mixtures of both, k "
        "components each, moves every colour.",
        panel="Drawing",
        show_default=False,
    ),
]
