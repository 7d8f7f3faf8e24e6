"""What a run is of, how many images are worked on and how, and what is said of it."""

from __future__ import annotations

from typing import Annotated

import typer

from gmmquant.cli.console import emit
from gmmquant.cli.options.declaration import one_of, option
from gmmquant.version import __version__


def _show_version(asked: bool) -> None:
    if asked:
        raise typer.Exit(0 if emit(f"gmmquant {__version__}\n") else 1)


Images = Annotated[
    list[str],
    typer.Argument(
        metavar="IMAGE...",
        readable=False,  # what cannot be read costs that image, not the run
        help="Images (PNG, JPEG, WebP, AVIF, TIFF, BMP, GIF, PNM, JPEG 2000), folders of them, patterns in quotes "
        "('*.jpg', '**/*.png'), @FILE for a list of names; - for an image on standard input, @- for a list there.",
        show_default=False,
    ),
]
Recursive = Annotated[
    bool,
    option(
        "-r",
        "--recursive",
        metavar="",
        help="Look into subfolders too; their tree is made again below --output.",
        panel="Many images",
    ),
]
Null = Annotated[
    bool,
    option(
        "-0",
        "--null",
        metavar="",
        help="Names in lists end in a zero byte, as find -print0 writes them, and - is such a list on standard input.",
        panel="Many images",
    ),
]
Jobs = Annotated[
    int | None,
    option(
        "-j",
        "--jobs",
        metavar="INT",
        help="Images worked on at a time, each by a process with one thread. Default: one for each processor.",
        panel="Many images",
        show_default=False,
    ),
]
Shared = Annotated[
    bool,
    option(
        "--shared",
        metavar="",
        help="Fit one mixture to all images together, and recolour each by it: one palette, in one order, for all.",
        panel="Many images",
    ),
]
SampleSize = Annotated[
    int | None,
    option(
        "--sample-size",
        metavar="INT",
        help="Fit the shared mixture to so many of the images only, spread evenly over them, for a quick look.",
        panel="Many images",
        show_default=False,
    ),
]
Scheduler = Annotated[
    str | None,
    option(
        "--scheduler",
        metavar="ADDRESS",
        help="Let a Dask cluster do the images (pip install 'gmmquant\\[cluster]'): the address of its scheduler, "
        "tcp://host:8786, or local for one begun here, of --jobs workers.",
        panel="Many images",
        autocompletion=one_of(["local"]),
        show_default=False,
    ),
]
FailFast = Annotated[
    bool,
    option("--fail-fast", metavar="", help="Begin no more images after one has failed.", panel="Many images"),
]
DryRun = Annotated[
    bool,
    option(
        "-n",
        "--dry-run",
        metavar="",
        help="Show what would be read and written, and do neither.",
        panel="Many images",
    ),
]
Quiet = Annotated[bool, option("-q", "--quiet", metavar="", help="Show nothing but errors.", panel="Messages")]
Verbose = Annotated[
    bool,
    option(
        "-v",
        "--verbose",
        metavar="",
        help="Show a table of each image even where there are several, and every component: weight, pixels, spread, "
        "colour.",
        panel="Messages",
    ),
]
Json = Annotated[
    bool,
    option(
        "--json",
        metavar="",
        help="Write the records to standard output, as one JSON array, instead of tables.",
        panel="Messages",
    ),
]
JsonLines = Annotated[
    bool,
    option(
        "--json-lines",
        metavar="",
        help="Write a line of JSON to standard output for each image as it is finished, in the order of the inputs: "
        "what became of it, and its record.",
        panel="Messages",
    ),
]
Version = Annotated[
    bool,
    typer.Option("--version", metavar="", callback=_show_version, is_eager=True, help="Show the version and exit."),
]
