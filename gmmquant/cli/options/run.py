"""The images of a run, options of how it goes through them, and options of what it prints."""

from __future__ import annotations

from typing import Annotated

import typer

from gmmquant.cli.console import emit
from gmmquant.cli.options.declaration import flag, integer, option
from gmmquant.version import __version__

_MANY = "Many images"


def _show_version(value: bool) -> None:
    if value:
        raise typer.Exit(0 if emit(f"gmmquant {__version__}\n") else 1)


Images = Annotated[
    list[str],
    typer.Argument(
        metavar="IMAGE",
        show_default=False,
        help="Images, folders, quoted patterns ('*.jpg'), @FILE lists or -.",
    ),
]
Recursive = Annotated[bool, flag("-r, --recursive", "Search folders with their subfolders.")]
DryRun = Annotated[bool, flag("-n, --dry-run", "Show what would be read and written, and stop.")]
Quiet = Annotated[bool, flag("-q, --quiet", "Print only errors.")]
Verbose = Annotated[bool, flag("-v, --verbose", "Print a table for each image, and every component.")]
Version = Annotated[bool, flag("--version", "Show the version and exit.", callback=_show_version, is_eager=True)]
Jobs = Annotated[
    int | None,
    option(
        "-j, --jobs",
        "INT",
        "Number of images to work on at a time.",
        _MANY,
        convert=integer,
        default="one for each processor",
    ),
]
Null = Annotated[bool, flag("-0, --null", "Names in lists end in a zero byte (find -print0).", _MANY)]
Shared = Annotated[bool, flag("--shared", "Fit one mixture to all images: one palette for all.", _MANY)]
SampleSize = Annotated[
    int | None,
    option(
        "--sample-size",
        "INT",
        "Number of images that the shared mixture is fitted to.",
        _MANY,
        convert=integer,
        default="all images",
    ),
]
FailFast = Annotated[bool, flag("--fail-fast", "Start no more images after one has failed.", _MANY)]
Scheduler = Annotated[
    str | None,
    option(
        "--scheduler", "ADDRESS", "Dask scheduler to work with: tcp://host:8786, or local.", _MANY, choices=["local"]
    ),
]
