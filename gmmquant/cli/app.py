"""The command: options, exit codes, and the run that they lead to."""

from __future__ import annotations

import gc
import logging
import os
import sys
from collections.abc import Sequence
from contextlib import closing
from enum import IntEnum
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import typer

from gmmquant.cli.console import Manner, Screen, say, show_planned
from gmmquant.cli.options import model as model_options
from gmmquant.cli.options import output as output_options
from gmmquant.cli.options import run as run_options
from gmmquant.cli.parser import ListingCommand
from gmmquant.errors import ClusterError, GmmquantError, ImageError, ModelFileError, PaletteFileError, ParameterError
from gmmquant.models.scalar_validation import check_integer
from gmmquant.settings import (
    DEFAULT_K,
    DEFAULT_OUTPUT_FORMAT,
    MAPS,
    MAX_PIXELS,
    MAX_TRANSFER_K,
    OF_FITS,
    PALETTE_FORMATS,
    STANDARD_OUTPUT,
    Settings,
    largest_of,
    parse_choices,
    parse_k,
    parse_output_format,
)
from gmmquant.system.process import Stopped, hold_standard_streams, keep_freed_memory, stopped_by_signals, system_reason

if TYPE_CHECKING:
    from gmmquant.pipeline.plan import Destination, Plan
    from gmmquant.pipeline.strategy import FitEach
    from gmmquant.system.paths import SourcePath


class ExitCode(IntEnum):
    """What the exit code says. A run that a signal stopped exits with 128 + its number: 130, 143 or 129."""

    DONE = 0
    FAILED = 1
    USAGE = 2


app = typer.Typer(pretty_exceptions_enable=False, rich_markup_mode="rich")

_DEFAULT_K = [",".join(map(str, DEFAULT_K))]

_HELP = """\
Look at images, and remake them, in a few colours by a Gaussian mixture.

For each k, the pixels are clustered by KMeans, the clusters refined into a mixture of k Gaussians by EM, and every \
pixel is given the mean colour of its most probable component. Written are the recoloured images and a report of \
the log-likelihoods.
"""

_EPILOG = """\
[bold]Examples[/bold]

[cyan]gmmquant cat.jpg -k 2 3 7 20[/cyan]   cat_k2.png to cat_k20.png, cat_report.json

[cyan]gmmquant photos -k 2-8 -o out[/cyan]   every image of a folder

[cyan]gmmquant cat.jpg -k auto[/cyan]   a number of colours that suits the image

[cyan]gmmquant -k 5 -- 7[/cyan]   5 colours for a file named 7

Exit codes: 0 all done (or skipped), 1 some image failed, 2 wrong usage, 130, 143 or 129 stopped by INT, TERM or HUP.
"""


# Options whose names differ from those of their parameters.
_NAMES = {"k": "-k", "as_json": "--json"}

# What has nothing to say beside an option: the option, why, the parameters.
_CONTRADICTIONS = {
    "force": ("replaces outputs that exist", ("skip_existing",)),
    "as_json": ("is one array of records", ("json_lines",)),
    "dry_run": ("makes no records", ("as_json",)),
    "quiet": ("shows nothing but errors", ("verbose",)),
    "model": ("fits nothing", ("k", *OF_FITS, "space", "palette", "transfer_from", "save_model")),
    "palette": ("says which colours there are", ("k", "method", "init", "restarts", "transfer_from")),
    "shared": ("fits one mixture to all images", ("model", "palette", "transfer_from")),
    "transfer_from": ("moves every colour", ("recolor", "dither", "strength", "palette_out", "layers", "save_model")),
}


def _is_given(ctx: typer.Context, name: str) -> bool:
    source = ctx.get_parameter_source(name)
    return source is not None and source.name != "DEFAULT"


def _option_name(parameter: str) -> str:
    return _NAMES.get(parameter, f"--{parameter.replace('_', '-')}")


def _refuse_contradictions(ctx: typer.Context, settings: Settings, ks: Sequence[int | str]) -> None:
    """Refuse options that have nothing to say beside others, or ask for what cannot be."""
    given = partial(_is_given, ctx)

    def refuse(option: str, why: str, others: Sequence[str]) -> None:
        for other in filter(given, others):
            raise ParameterError(f"{option} {why}: leave out {_option_name(other)}, or {option}")

    for name, (why, others) in _CONTRADICTIONS.items():
        if given(name):
            refuse(_option_name(name), why, others)
    if settings.method == "kmeans":
        refuse("--method kmeans", "has starts of its own", ["init"])
    if given("strength") and settings.dither == "none":
        raise ParameterError("--strength is that of a dither; give one, as in --dither blue-noise, or leave it out")
    if given("sample_size") and not given("shared"):
        raise ParameterError("--sample-size limits the images that --shared is fitted to; give both, or leave it out")
    largest = largest_of(ks)
    if given("transfer_from") and largest > MAX_TRANSFER_K:
        raise ParameterError(f"k = {largest} is above the limit of --transfer-from; give at most {MAX_TRANSFER_K}")


# What would be written to files, where everything goes to standard output.
_OF_FILES = (
    "palette_out",
    "maps",
    "layers",
    "save_model",
    "force",
    "skip_existing",
    "keep_extension",
    "preserve_times",
)


def _destination(ctx: typer.Context, output: str | None, ks: Sequence[int | str], *, records: bool) -> Destination:
    """Return where what is made goes, by --output; to standard output goes one thing, and nothing to files."""
    from gmmquant.pipeline.plan import Destination

    if output != STANDARD_OUTPUT:
        return Destination.FILES
    for name in _OF_FILES:
        if _is_given(ctx, name):
            raise ParameterError(f"--output - writes no files: leave out {_option_name(name)}, or name a folder")
    if records:
        return Destination.RECORD
    if len(ks) > 1:
        raise ParameterError(f"--output - writes one image, not one for each of {len(ks)} k; give one, as in -k 7")
    if _is_given(ctx, "shared"):
        raise ParameterError("--output - writes one image, --shared fits many; name a folder, or give --json")
    if sys.stdout.isatty():
        raise ParameterError("--output - writes an image to standard output, which is a terminal; redirect it")
    return Destination.STANDARD_OUTPUT


def _strategy(
    model: Path | None, palette: str | None, transfer_from: Path | None, settings: Settings, max_pixels: int
) -> FitEach:
    """Return what becomes of each image: a fit of its own, or what was given instead of it."""
    if model is not None:
        from gmmquant.pipeline.strategy import load_model

        return load_model(model)
    if palette is not None:
        from gmmquant.pipeline.strategy import load_fixed_palette

        return load_fixed_palette(palette)
    if transfer_from is not None:
        from gmmquant.pipeline.strategy import load_transfer_image

        return load_transfer_image(transfer_from, settings, max_pixels)
    from gmmquant.pipeline.strategy import FitEach

    return FitEach()


@app.command(cls=ListingCommand, help=_HELP, epilog=_EPILOG, context_settings={"help_option_names": ["-h", "--help"]})
def quantize(
    ctx: typer.Context,
    image: run_options.Images,
    k: model_options.Colors = _DEFAULT_K,
    method: model_options.Method = Settings.method,
    space: model_options.Space = Settings.space,
    covariance: model_options.Covariance = Settings.covariance,
    init: model_options.Init = Settings.init,
    restarts: model_options.Restarts = Settings.restarts,
    seed: model_options.Seed = Settings.seed,
    max_iter: model_options.MaxIter = Settings.max_iter,
    tol: model_options.Tol = Settings.tol,
    model: model_options.ModelFile = None,
    palette: model_options.Palette = None,
    recolor: model_options.Recolor = Settings.recolor,
    dither: model_options.Dither = Settings.dither,
    strength: model_options.Strength = Settings.strength,
    transfer_from: model_options.TransferFrom = None,
    output: output_options.Output = None,
    format: output_options.Format = DEFAULT_OUTPUT_FORMAT,  # noqa: A002  the option's name
    optimize: output_options.Optimize = False,
    keep_metadata: output_options.KeepMetadata = False,
    force: output_options.Force = False,
    skip_existing: output_options.SkipExisting = False,
    keep_extension: output_options.KeepExtension = False,
    preserve_times: output_options.PreserveTimes = False,
    max_pixels: output_options.MaxPixels = MAX_PIXELS,
    recursive: run_options.Recursive = False,
    null: run_options.Null = False,
    jobs: run_options.Jobs = None,
    shared: run_options.Shared = False,
    sample_size: run_options.SampleSize = None,
    scheduler: run_options.Scheduler = None,
    fail_fast: run_options.FailFast = False,
    dry_run: run_options.DryRun = False,
    palette_out: output_options.PaletteOut = None,
    maps: output_options.Maps = None,
    layers: output_options.Layers = False,
    save_model: output_options.SaveModel = False,
    quiet: run_options.Quiet = False,
    verbose: run_options.Verbose = False,
    as_json: run_options.Json = False,
    json_lines: run_options.JsonLines = False,
    version: run_options.Version = False,  # noqa: ARG001  its callback does the work
) -> int:
    """Plan the run, do the images, show what became of each."""
    check_integer("max-pixels", max_pixels, 1)
    for name, number in (("jobs", jobs), ("sample-size", sample_size)):
        if number is not None:
            check_integer(name, number, 1)
    format = parse_output_format(format)  # noqa: A001
    settings = Settings(
        seed=seed,
        max_iter=max_iter,
        tol=tol,
        covariance=covariance,  # type: ignore[arg-type]  # Settings checks it
        init=init,  # type: ignore[arg-type]  # Settings checks it
        restarts=restarts,
        method=method,  # type: ignore[arg-type]  # Settings checks it
        recolor=recolor,  # type: ignore[arg-type]  # Settings checks it
        space=space,  # type: ignore[arg-type]  # Settings checks it
        dither=dither,  # type: ignore[arg-type]  # Settings checks it
        strength=strength,
    )
    _refuse_contradictions(ctx, settings, parse_k(k))

    # The program's own blocks are too small for BLAS to gain by threads, whose number would change the last digits.
    os.environ["OPENBLAS_NUM_THREADS"] = "1"
    keep_freed_memory()
    from gmmquant.images.encoding.encode import output_format
    from gmmquant.pipeline.batch import planned_outcomes
    from gmmquant.pipeline.plan import Destination, Existing, Products, Task, plan
    from gmmquant.pipeline.sources import Reading, sources_of
    from gmmquant.system.paths import parse_path

    # What the imports made stays; garbage, which `main` left uncollected meanwhile, is collected from here on.
    gc.freeze()
    gc.enable()

    strategy = _strategy(model, palette, transfer_from, settings, max_pixels)
    ks = strategy.ks or parse_k(k)
    to = _destination(ctx, output, ks, records=as_json or json_lines)
    smooth = strategy.settings(settings).recoloring == "soft" or transfer_from is not None
    most = None if smooth else largest_of(ks)
    if reason := output_format(format).refusal_of_colors(most):
        raise ParameterError(reason)
    products = Products(
        format=format,
        optimize=optimize,
        keep_metadata=keep_metadata,
        models=save_model,
        palettes=parse_choices("palette-out", palette_out, PALETTE_FORMATS),
        maps=parse_choices("maps", maps, MAPS),
        layers=layers,
    )
    task = Task(
        ks,
        settings,
        existing=Existing.REPLACE if force else Existing.KEEP if skip_existing else Existing.REFUSE,
        max_pixels=max_pixels,
        products=products,
        strategy=strategy,
        keep_extension=keep_extension,
        preserve_times=preserve_times,
        shared=shared,
        to=to,
    )
    folder = None if output is None or to is not Destination.FILES else parse_path(output)
    planned = plan(sources_of(image, Reading(recursive, null, max_pixels)), task, folder)
    manner = Manner(quiet, verbose, as_json, json_lines)
    if dry_run:
        return ExitCode.DONE if show_planned(planned_outcomes(planned, sample_size), manner) else ExitCode.FAILED
    if to is Destination.STANDARD_OUTPUT and len(planned.entries) > 1:
        raise ParameterError(f"--output - writes one image, not {len(planned.entries)}; give one, or name a folder")
    return _carry_out(planned, manner, jobs=jobs, sample_size=sample_size, scheduler=scheduler, fail_fast=fail_fast)


def _carry_out(
    planned: Plan, manner: Manner, *, jobs: int | None, sample_size: int | None, scheduler: str | None, fail_fast: bool
) -> ExitCode:
    """Do what is planned, and show what became of each image; the arguments are those of `quantize`."""
    from gmmquant.pipeline.batch import executor_for, run_all

    n_jobs = len(planned.jobs)
    to_count = None if planned.shared_job is None else min(n_jobs, sample_size or n_jobs)
    screen = Screen(planned.task.ks, len(planned.entries), manner, to_count=to_count)
    with stopped_by_signals() as stop_if_asked, screen:

        def watch(source: SourcePath, k: int | str, n_iter: int, objective: float) -> None:
            stop_if_asked()
            screen.watch(source, k, n_iter, objective)

        def idle() -> None:
            stop_if_asked()
            screen.refresh()

        with executor_for(planned, jobs, idle, scheduler, screen.note) as executor:
            if planned.shared_job is not None:
                from gmmquant.pipeline.shared_palette import run_shared

                outcomes = run_shared(
                    planned, executor, screen.count, idle, sample_size=sample_size, fail_fast=fail_fast
                )
            else:
                outcomes = run_all(planned, watch, executor=executor, fail_fast=fail_fast)
            with closing(outcomes):
                for outcome in outcomes:
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
    except (ClusterError, ModelFileError, PaletteFileError, ImageError) as error:
        say(str(error))
        return ExitCode.FAILED
    except GmmquantError as error:
        say(str(error))
        return ExitCode.USAGE
    except (OSError, MemoryError) as error:
        say(f"{system_reason(error)}; nothing more was done")
        return ExitCode.FAILED
    except Stopped as stop:
        told = f"stopped by {stop.name}: finished images are complete; run again with --skip-existing to do the rest"
        say(told, wait=False)
        return stop.exit_code
