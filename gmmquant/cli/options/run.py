"""The input images, options for many images, and options of what is printed."""

from __future__ import annotations

import sys
from typing import Annotated

import typer

from gmmquant.cli.console import emit
from gmmquant.cli.options.declaration import flag, option, positive
from gmmquant.version import __version__

_MANY = "Many images"


def _show_version(value: bool) -> None:
    if value:
        _show(f"gmmquant {__version__}\n")


def _show_short_help(ctx: typer.Context, value: bool) -> None:
    if value:
        from gmmquant.cli import help as page

        _show(page.short_help(ctx.command.params, *page.columns_and_ink(sys.stdout)))


def _show_help(ctx: typer.Context, value: bool) -> None:
    if value:
        from gmmquant.cli import help as page

        _show(page.long_help(ctx.command.params, *page.columns_and_ink(sys.stdout)))


def _show(text: str) -> None:
    raise typer.Exit(0 if emit(text) else 1)


Images = Annotated[
    list[str],
    typer.Argument(metavar="IMAGE", show_default=False, help="Images, folders, quoted patterns, @FILE lists or -."),
]
Recursive = Annotated[bool, flag("-r, --recursive", "Include images in subfolders.")]
DryRun = Annotated[bool, flag("-n, --dry-run", "Show what would be read and written, and do nothing.")]
Quiet = Annotated[bool, flag("-q, --quiet", "Print only errors.")]
Verbose = Annotated[bool, flag("-v, --verbose", "Print a table for each image, with all components.")]
Stats = Annotated[bool, flag("--stats", "Print the statistics of each fit: likelihoods, BIC, time.")]
Preview = Annotated[bool, flag("--preview", "Show the image and the results in the terminal.")]
Version = Annotated[bool, flag("--version", "Show the version and exit.", callback=_show_version, is_eager=True)]
ShortHelp = Annotated[
    bool, flag("-h", "Show examples and the options that are used most.", callback=_show_short_help, is_eager=True)
]
Help = Annotated[bool, flag("--help", "Show all options and exit.", callback=_show_help, is_eager=True)]
Jobs = Annotated[
    int | None,
    option(
        "-j, --jobs",
        "INT",
        "Number of images at a time, and of processors used for one.",
        _MANY,
        convert=positive,
        default="one per processor",
    ),
]
Null = Annotated[bool, flag("-0, --null", "Names in lists end with a zero byte, as from find -print0.", _MANY)]
Shared = Annotated[bool, flag("--shared", "Fit one mixture, and so one palette, to all images.", _MANY)]
SampleSize = Annotated[
    int | None,
    option(
        "--sample-size", "INT", "Fit the shared mixture to this many images.", _MANY, convert=positive, default="all"
    ),
]
FailFast = Annotated[bool, flag("--fail-fast", "Start no further images after a failure.", _MANY)]
Scheduler = Annotated[
    str | None,
    option(
        "--scheduler", "ADDRESS", "Address of a Dask scheduler (tcp://host:8786), or local.", _MANY, choices=["local"]
    ),
]
