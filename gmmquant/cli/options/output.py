"""Options of the output files."""

from __future__ import annotations

from functools import partial
from typing import Annotated, Any

from gmmquant.cli.options.declaration import complete_several, flag, option, parse_several, positive
from gmmquant.errors import ParameterError
from gmmquant.models.scalar_validation import check_choice
from gmmquant.settings import (
    LAYERS,
    MAPS,
    OUTPUT_FORMATS,
    PALETTE_FORMATS,
    PLOT_FORMATS,
    REPORTS,
    SHEET_FORMATS,
    parse_output_format,
)

_FILES, _ADDITIONAL = "Files", "Additional outputs"


def reports_of(text: str) -> tuple[str, ...]:
    """Return the reports that `text` names; none for "none"."""
    if "none" not in (names := [name.strip() for name in text.split(",")]):
        return parse_several("report", ",".join(names), choices=REPORTS)
    if set(names) > {"none"}:
        raise ParameterError(f"report = {text!r} contradicts itself; leave out none, or all others")
    return ()


def _complete_report(incomplete: str) -> list[str]:
    return complete_several(REPORTS)(incomplete) + ["none"] * "none".startswith(incomplete)


def _name(template: str) -> str:
    from gmmquant.pipeline.names import check_name

    return check_name(template)


Output = Annotated[
    str | None,
    option(
        "-o, --output",
        "PATH",
        "Folder, file (one image, one k), or - for standard output.",
        default="next to each image",
    ),
]
Force = Annotated[bool, flag("-f, --force", "Replace existing outputs, and a report of other settings.")]
SkipExisting = Annotated[bool, flag("--skip-existing", "Keep existing outputs and write only missing ones.")]
Format = Annotated[
    str,
    option("--format", "FORMAT", "Image format:", _FILES, choices=tuple(OUTPUT_FORMATS), convert=parse_output_format),
]
Optimize = Annotated[bool, flag("--optimize", "Compress files more, which takes longer.", _FILES)]
KeepMetadata = Annotated[bool, flag("--keep-metadata", "Copy EXIF, XMP and comments to the outputs.", _FILES)]
Name = Annotated[
    str,
    option("--name", "TEMPLATE", "Names of the files: {stem}, {ext} (of the input) and {k}.", _FILES, convert=_name),
]
PreserveTimes = Annotated[bool, flag("--preserve-times", "Copy the file times of each input to its outputs.", _FILES)]
MaxPixels = Annotated[
    int, option("--max-pixels", "INT", "Refuse images with more pixels, summed over frames.", _FILES, convert=positive)
]
Report = Annotated[
    Any,
    option(
        "--report",
        "FORMATS",
        "Reports: json, csv, md, html (joined by commas), or none.",
        _FILES,
        complete=_complete_report,
        convert=reports_of,
    ),
]
SkipIfLarger = Annotated[bool, flag("--skip-if-larger", "Write no file that is not smaller than the input.", _FILES)]
PaletteOut = Annotated[
    Any, option("--palette-out", "FORMATS", "Write palettes:", _ADDITIONAL, choices=PALETTE_FORMATS, several=True)
]
Sheet = Annotated[
    Any,
    option("--sheet", "FORMATS", "Write all images side by side:", _ADDITIONAL, choices=SHEET_FORMATS, several=True),
]
Plots = Annotated[
    Any, option("--plots", "FORMATS", "Write plots of the fits:", _ADDITIONAL, choices=PLOT_FORMATS, several=True)
]
Maps = Annotated[Any, option("--maps", "MAPS", "Write maps:", _ADDITIONAL, choices=MAPS, several=True)]
Layers = Annotated[
    str | None,
    option(
        "--layers",
        "KIND",
        "Write each component as an image with alpha:",
        _ADDITIONAL,
        choices=LAYERS,
        convert=partial(check_choice, "layers", choices=LAYERS),
    ),
]
SaveModel = Annotated[bool, flag("--save-model", "Write each fitted mixture as a file for --model.", _ADDITIONAL)]
