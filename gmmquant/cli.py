"""The command: options, exit codes, and the run that they lead to."""

from __future__ import annotations

import gc
import logging
import os
from collections.abc import Sequence
from enum import IntEnum
from pathlib import Path
from typing import TYPE_CHECKING

import typer

from gmmquant import options
from gmmquant.arguments import ListingCommand
from gmmquant.errors import GmmquantError, ModelFileError, PaletteFileError, ParameterError, PictureError
from gmmquant.models.parameters import check_choice, check_integer
from gmmquant.process import Stopped, hold_standard_streams, keep_freed_memory, stopped_by_signals, system_reason
from gmmquant.screen import Screen, say
from gmmquant.settings import (
    DEFAULT_K,
    FORMAT_ALIASES,
    FORMATS,
    MAPS,
    MAX_PIXELS,
    MAX_TRANSFER_K,
    OF_FITS,
    PALETTE_FORMATS,
    Settings,
    parse_choices,
    parse_k,
)

if TYPE_CHECKING:
    from gmmquant.ways import PlainFit


class ExitCode(IntEnum):
    """What the exit code says. A run that a signal stopped exits with 128 + its number: 130, 143 or 129."""

    DONE = 0
    FAILED = 1
    USAGE = 2


app = typer.Typer(pretty_exceptions_enable=False, rich_markup_mode="rich")

_DEFAULT_K = [",".join(map(str, DEFAULT_K))]

_HELP = """\
Look at pictures, and remake them, in a few colours by a Gaussian mixture.

For each k, the pixels are clustered by KMeans, the clusters refined into a mixture of k Gaussians by EM, and every \
pixel is given the mean colour of its most probable component. Written are the recoloured pictures and a report of \
the log-likelihoods.
"""

_EPILOG = """\
[bold]Examples[/bold]

[cyan]gmmquant cat.jpg -k 2 3 7 20[/cyan]   cat_k2.png to cat_k20.png, cat_report.json

[cyan]gmmquant photos -k 2-8 -o out[/cyan]   every picture of a folder

[cyan]gmmquant cat.jpg -k auto[/cyan]   a number of colours that suits the picture

[cyan]gmmquant -k 5 -- 7[/cyan]   5 colours for a file named 7

Exit codes: 0 all done (or skipped), 1 some picture failed, 2 wrong usage, 130, 143 or 129 stopped by INT, TERM or HUP.
"""


# Options whose names differ from those of their parameters.
_NAMES = {"k": "-k"}

# What has nothing to say beside an option: the option, why, the parameters.
_CONTRADICTIONS = {
    "model": ("fits nothing", ("k", *OF_FITS, "space", "palette", "transfer_to", "save_model")),
    "palette": ("says which colours there are", ("k", "method", "init", "restarts", "transfer_to")),
    "transfer_to": ("moves every colour", ("recolor", "dither", "strength", "palette_out", "layers", "save_model")),
}


def _refuse_contradictions(ctx: typer.Context, settings: Settings, ks: Sequence[int | str]) -> None:
    """Refuse options that have nothing to say beside others, or ask for what cannot be."""

    def given(name: str) -> bool:
        source = ctx.get_parameter_source(name)
        return source is not None and source.name != "DEFAULT"

    def refuse(option: str, why: str, others: Sequence[str]) -> None:
        for other in filter(given, others):
            name = _NAMES.get(other, f"--{other.replace('_', '-')}")
            raise ParameterError(f"{option} {why}: leave out {name}, or {option}")

    for name, (why, others) in _CONTRADICTIONS.items():
        if given(name):
            refuse(f"--{name.replace('_', '-')}", why, others)
    if settings.method == "kmeans":
        refuse("--method kmeans", "has starts of its own", ["init"])
    if given("strength") and settings.dither == "none":
        raise ParameterError("--strength is that of a dither; give one, as in --dither blue-noise, or leave it out")
    largest = _largest(ks)
    if given("transfer_to") and largest > MAX_TRANSFER_K:
        raise ParameterError(f"k = {largest} is above the limit of --transfer-to; give at most {MAX_TRANSFER_K}")


def _largest(ks: Sequence[int | str]) -> int:
    return max((k for k in ks if isinstance(k, int)), default=0)


def _refuse_for_gif(ks: Sequence[int | str], *, smooth: bool) -> None:
    """Refuse what a GIF cannot hold: a picture in true colour, or more than 256 colours."""
    if smooth:
        raise ParameterError("format = 'gif' holds 256 colours, a smooth picture has more; give png, webp or tiff")
    largest = _largest(ks)
    if largest > 256:
        raise ParameterError(f"format = 'gif' holds 256 colours, not {largest}; give fewer, or png, webp or tiff")


def _way(
    model: Path | None, palette: str | None, transfer_to: Path | None, settings: Settings, max_pixels: int
) -> PlainFit:
    """Return what becomes of each picture: a fit of its own, or what was given instead of it."""
    if model is not None:
        from gmmquant.given import load_model

        return load_model(model)
    if palette is not None:
        from gmmquant.given import give_palette

        return give_palette(palette)
    if transfer_to is not None:
        from gmmquant.given import load_target

        return load_target(transfer_to, settings, max_pixels)
    from gmmquant.ways import PlainFit

    return PlainFit()


@app.command(cls=ListingCommand, help=_HELP, epilog=_EPILOG, context_settings={"help_option_names": ["-h", "--help"]})
def quantize(
    ctx: typer.Context,
    image: options.Images,
    k: options.Colors = _DEFAULT_K,
    method: options.Method = Settings.method,
    space: options.Space = Settings.space,
    covariance: options.Covariance = Settings.covariance,
    init: options.Init = Settings.init,
    restarts: options.Restarts = Settings.restarts,
    seed: options.Seed = Settings.seed,
    max_iter: options.MaxIter = Settings.max_iter,
    tol: options.Tol = Settings.tol,
    model: options.ModelFile = None,
    palette: options.Palette = None,
    recolor: options.Recolor = Settings.recolor,
    dither: options.Dither = Settings.dither,
    strength: options.Strength = Settings.strength,
    transfer_to: options.TransferTo = None,
    output: options.Output = None,
    format: options.Format = FORMATS[0],  # noqa: A002  the option's name
    optimize: options.Optimize = False,
    keep_metadata: options.KeepMetadata = False,
    force: options.Force = False,
    skip_existing: options.SkipExisting = False,
    max_pixels: options.MaxPixels = MAX_PIXELS,
    palette_out: options.PaletteOut = None,
    maps: options.Maps = None,
    layers: options.Layers = False,
    save_model: options.SaveModel = False,
    quiet: options.Quiet = False,
    verbose: options.Verbose = False,
    as_json: options.Json = False,
    version: options.Version = False,  # noqa: ARG001  its callback does the work
) -> int:
    """Plan the run, do the pictures one after the other, show what became of each."""
    if force and skip_existing:
        raise ParameterError("--force and --skip-existing contradict each other; give one of them")
    check_integer("max-pixels", max_pixels, 1)
    format = FORMAT_ALIASES.get(format.lower(), format.lower())  # noqa: A001
    check_choice("format", format, FORMATS)
    settings = Settings(
        seed=seed,
        max_iter=max_iter,
        tol=tol,
        covariance=covariance,
        init=init,
        restarts=restarts,
        method=method,
        recolor=recolor,
        space=space,
        dither=dither,
        strength=strength,
    )
    _refuse_contradictions(ctx, settings, parse_k(k))

    # The program's own blocks are too small for BLAS to gain by threads; its idle threads would only cost memory.
    os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
    keep_freed_memory()
    from gmmquant.batch import run_all
    from gmmquant.plan import Existing, Products, Task, plan

    # What the imports made stays; garbage, which `main` left uncollected meanwhile, is collected from here on.
    gc.freeze()
    gc.enable()

    way = _way(model, palette, transfer_to, settings, max_pixels)
    ks = way.ks or parse_k(k)
    if format == "gif":
        soft = way.settings(settings).recoloring == "soft"
        _refuse_for_gif(ks, smooth=soft or transfer_to is not None)
    task = Task(
        ks,
        settings,
        Existing.REPLACE if force else Existing.KEEP if skip_existing else Existing.REFUSE,
        max_pixels,
        Products(
            format,
            optimize,
            keep_metadata,
            save_model,
            parse_choices("palette-out", palette_out, PALETTE_FORMATS),
            parse_choices("maps", maps, MAPS),
            layers,
        ),
        way,
    )
    planned = plan(image, task, output)
    screen = Screen(ks, len(planned), quiet=quiet, verbose=verbose, as_json=as_json)
    with stopped_by_signals() as stop_if_asked, screen:

        def watch(source: Path, k: int | str, n_iter: int, objective: float) -> None:
            stop_if_asked()
            screen.watch(source, k, n_iter, objective)

        for outcome in run_all(planned, task, watch):
            screen.show(outcome)
            stop_if_asked()
        return ExitCode.DONE if screen.finish() else ExitCode.FAILED


def run(arguments: Sequence[str]) -> int:
    """Run the command on `arguments` and return its exit code; every error is one line."""
    hold_standard_streams()
    # Pillow reports odd headers to its log, which would end up on standard error; what matters is raised as well.
    logging.getLogger("PIL").addHandler(logging.NullHandler())
    try:
        result = typer.main.get_command(app).main(list(arguments), prog_name="gmmquant", standalone_mode=False)
        return int(result or ExitCode.DONE)
    except SystemExit as end:  # of shell completion; and of rich, when whoever read the help has gone: no failure
        return ExitCode.DONE if isinstance(end.__context__, BrokenPipeError) else int(end.code or 0)
    except typer.TyperException as error:
        usage = error.format_message().rstrip(".")
        say(f"{usage[:1].lower()}{usage[1:]}; see gmmquant --help")
        return ExitCode.USAGE
    except (ModelFileError, PaletteFileError, PictureError) as error:
        say(str(error))
        return ExitCode.FAILED
    except GmmquantError as error:
        say(str(error))
        return ExitCode.USAGE
    except (OSError, MemoryError) as error:
        say(f"{system_reason(error)}; nothing more was done")
        return ExitCode.FAILED
    except Stopped as stop:
        say(f"stopped by {stop.name}: finished pictures are complete; run again with --skip-existing to do the rest")
        return stop.exit_code
