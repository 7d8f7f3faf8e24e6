"""The command: its parameters, its run and its exit codes."""

from __future__ import annotations

import gc
import logging
import os
import sys
import warnings
from collections.abc import Sequence
from dataclasses import fields
from enum import IntEnum
from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING

import typer

from gmmquant.cli import options, reporters
from gmmquant.cli.checks import is_set, notes_on_arguments, refuse_contradictions, refuse_missing_packages, refuse_words
from gmmquant.cli.console import Console, say
from gmmquant.cli.destination import destination_of, folder_and_name
from gmmquant.cli.help import usage_of
from gmmquant.cli.parser import Command, has_empty
from gmmquant.cli.text import command_line, in_options
from gmmquant.errors import (
    ClusterError,
    ExistsError,
    GmmquantError,
    ImageError,
    ModelFileError,
    PaletteFileError,
    ParameterError,
)
from gmmquant.parsing import largest_of
from gmmquant.settings import (
    DEFAULT_K,
    DEFAULT_NAME,
    DEFAULT_OUTPUT_FORMAT,
    DEFAULT_REPORT,
    MAX_PIXELS,
    STANDARD_INPUT,
    Settings,
)
from gmmquant.system.process import Stopped, hold_standard_streams, keep_freed_memory, stopped_by_signals, system_reason

if TYPE_CHECKING:
    from gmmquant.pipeline.plan import Plan
    from gmmquant.pipeline.strategy import Strategy
    from gmmquant.system.paths import SourcePath


class ExitCode(IntEnum):
    """Exit codes. A run that was stopped by a signal exits with 128 + the number of the signal: 130, 143 or 129."""

    DONE = 0
    FAILED = 1
    USAGE = 2


app = typer.Typer(pretty_exceptions_enable=False, rich_markup_mode=None)

_SILENCE = logging.NullHandler()  # one, as it is added once

_DEFAULT_K = [str(DEFAULT_K)]
_NO_COLORS: list[str] = []

# Pixels of the small images for previews and sheets, and for the index of a folder.
_PANEL_PIXELS, _THUMBNAIL_PIXELS = 250_000, 20_000

# Each row of a sheet takes several megabytes until the end of the run.
_MAX_SHEET_ROWS = 200


def _strategy(
    model: Path | None,
    palette: str | None,
    transfer_from: Path | None,
    settings: Settings,
    max_pixels: int,
    ks: Sequence[int | str],
) -> Strategy:
    """Return the strategy that the options name: load a model, a palette or an image, or fit each image.

    `ks` are the numbers of colours that the user chose, if any.
    """
    from gmmquant.pipeline.strategy import FitEach

    if all(option is None for option in (model, palette, transfer_from)):
        return FitEach()
    from gmmquant.pipeline import loaded_strategy

    if model is not None:
        return loaded_strategy.load_model(model)
    if palette is not None:
        return loaded_strategy.load_fixed_palette(palette, settings, ks)
    assert transfer_from is not None  # noqa: S101
    return loaded_strategy.load_transfer_image(transfer_from, settings, max_pixels)


@app.command(
    cls=Command,
    context_settings={"help_option_names": []},  # -h and --help are parameters
)
def quantize(
    ctx: typer.Context,
    image: options.run.Images,
    k: options.model.Colors = _DEFAULT_K,
    style: options.drawing.Style = Settings.style,
    output: options.output.Output = None,
    report: options.output.Report = DEFAULT_REPORT,
    preview: options.run.Preview = False,
    stats: options.run.Stats = False,
    sheet: options.output.Sheet = None,
    plots: options.output.Plots = None,
    force: options.output.Force = False,
    skip_existing: options.output.SkipExisting = False,
    name: options.output.Name = DEFAULT_NAME,
    recursive: options.run.Recursive = False,
    dry_run: options.run.DryRun = False,
    quiet: options.run.Quiet = False,
    verbose: options.run.Verbose = False,
    as_json: reporters.Json = False,
    json_lines: reporters.JsonLines = False,
    version: options.run.Version = False,
    short_help: options.run.ShortHelp = False,
    help: options.run.Help = False,  # noqa: A002  the option's name
    method: options.model.Method = None,
    space: options.model.Space = None,
    palette: options.model.Palette = None,
    keep_colors: options.model.KeepColors = _NO_COLORS,
    palette_order: options.model.PaletteOrder = Settings.palette_order,
    color_depth: options.model.ColorDepth = Settings.color_depth,
    model: options.model.ModelFile = None,
    transfer_from: options.model.TransferFrom = None,
    recolor: options.drawing.Recolor = Settings.recolor,
    dither: options.drawing.Dither = None,
    strength: options.drawing.Strength = None,
    average: options.drawing.Average = None,
    smooth: options.drawing.Smooth = None,
    alpha: options.drawing.Alpha = Settings.alpha,
    resize: options.drawing.Resize = Settings.resize,
    format: options.output.Format = DEFAULT_OUTPUT_FORMAT,  # noqa: A002  the option's name
    optimize: options.output.Optimize = False,
    keep_metadata: options.output.KeepMetadata = False,
    preserve_times: options.output.PreserveTimes = False,
    skip_if_larger: options.output.SkipIfLarger = False,
    max_pixels: options.output.MaxPixels = MAX_PIXELS,
    palette_out: options.output.PaletteOut = None,
    maps: options.output.Maps = None,
    layers: options.output.Layers = None,
    save_model: options.output.SaveModel = False,
    jobs: options.run.Jobs = None,
    null: options.run.Null = False,
    shared: options.run.Shared = False,
    sample_size: options.run.SampleSize = None,
    fail_fast: options.run.FailFast = False,
    scheduler: options.run.Scheduler = None,
    init: options.model.Init = Settings.init,
    covariance: options.model.Covariance = None,
    noise: options.model.Noise = None,
    shrink: options.model.Shrink = None,
    search: options.model.Search = None,
    restarts: options.model.Restarts = Settings.restarts,
    tol: options.model.Tol = Settings.tol,
    max_iter: options.model.MaxIter = Settings.max_iter,
    seed: options.model.Seed = str(Settings.seed),
) -> int:
    """Plan the run, process the images and show their outcomes."""
    seeds = ctx.params["seed"]
    values = {name: ctx.params[name] for name in (field.name for field in fields(Settings)) if name in ctx.params}
    kept = ctx.params["keep_colors"]
    values |= {"seed": seeds.start, "n_seeds": len(seeds), "keep_colors": kept.codes}
    if palette is not None and method is None:
        values["method"] = "gmm"  # a mixture is fitted about the colours, also if they are dithered
    settings = Settings(**values)
    refuse_contradictions(ctx, settings, k)
    refuse_words(ctx, image)

    # The blocks are too small for BLAS to gain from threads, and the number of threads would change the last digits.
    os.environ["OPENBLAS_NUM_THREADS"] = "1"
    keep_freed_memory()
    from gmmquant.images.encoding.encode import output_format
    from gmmquant.pipeline.batch import planned_outcomes
    from gmmquant.pipeline.continued import makes_again
    from gmmquant.pipeline.outdated import mixed_note
    from gmmquant.pipeline.plan import Destination, Existing, Products, Task, plan
    from gmmquant.pipeline.sources import Reading, sources_of
    from gmmquant.pipeline.summary import planned_summary
    from gmmquant.pipeline.summary_check import check_summary

    chosen_ks = k if is_set(ctx, "k") else ()
    strategy = _strategy(model, palette, transfer_from, settings, max_pixels, chosen_ks)
    ks = strategy.ks or k
    to = destination_of(ctx, output, ks, records=as_json or json_lines)
    many = strategy.settings(settings).recoloring == "soft" or transfer_from is not None
    folder, image_name, format = folder_and_name(ctx, output, format)  # noqa: A001
    if image_name is not None and not is_set(ctx, "report"):
        report = ()  # one file is named, and no other is expected
    refuse_missing_packages(format, report, plots or (), scheduler)
    if reason := output_format(format).refusal_of_colors(None if many else largest_of(ks)):
        raise ParameterError(reason)
    products = Products(
        format=format,
        optimize=optimize,
        keep_metadata=keep_metadata,
        models=save_model,
        palettes=palette_out or (),
        maps=maps or (),
        layers=layers,
        reports=tuple(report),
        plots=plots or (),
        sheets=sheet or (),
    )
    task = Task(
        ks,
        settings,
        existing=Existing.REPLACE if force else Existing.KEEP if skip_existing else Existing.REFUSE,
        max_pixels=max_pixels,
        products=products,
        strategy=strategy,
        name=name,
        preserve_times=preserve_times,
        skip_if_larger=skip_if_larger,
        shared=shared,
        to=to,
        image_name=image_name,
        command=ctx.obj or "gmmquant",
    )
    notes = list(dict.fromkeys(filter(None, [strategy.note, *kept.notes])))
    notes += notes_on_arguments(ctx, image, settings, format)
    if STANDARD_INPUT in image and not null and output is None and not (as_json or json_lines or sys.stdout.isatty()):
        notes.append("standard output has the figures; -o - writes the image there")
    if to is Destination.RECORD:
        option = "--json" if as_json else "--json-lines"
        notes.append(f"standard output has the figures, and no image is written; leave out {option} for the image")
    planned = plan(sources_of(image, Reading(recursive, null, max_pixels, notes.append, verbose)), task, folder)
    if "json" not in products.reports and makes_again(planned):
        notes.append("--skip-existing makes existing outputs again to compare them; --report json avoids that")
    n_images = len(planned.entries)
    if to is Destination.STANDARD_OUTPUT and n_images > 1 and not dry_run:
        raise ParameterError(
            f"--output - writes one image, not {n_images}; name one image, or use a folder for --output"
        )
    has_index = "html" in products.reports and (n_images > 1 or shared)
    illustrated = _PANEL_PIXELS if preview or products.sheets else _THUMBNAIL_PIXELS if has_index else 0
    if products.sheets and n_images > _MAX_SHEET_ROWS:
        raise ParameterError(
            f"--sheet holds at most {_MAX_SHEET_ROWS} images, not {n_images}; use --report html, or fewer images"
        )
    planned = planned._replace(task=planned.task._replace(illustrated=illustrated))
    notes += filter(None, (check_summary(planned), mixed_note(planned)))
    style = next((name for name in reporters.REPORTERS if ctx.params.get(name)), "table")
    reporter = reporters.reporter_class(style)(
        sys.stdout, n_images=n_images, shared=shared, verbose=verbose, stats=stats
    )
    if dry_run:
        console = Console(reporter, quiet=quiet)
        for note in notes:
            console.note(note)
        succeeded = console.show_plan(chain(planned_outcomes(planned, sample_size), planned_summary(planned)))
        _note_kept(planned, console)
        return ExitCode.DONE if succeeded else ExitCode.FAILED
    n_to_count = min(len(planned.jobs), sample_size or n_images) if shared else 0
    shown = None
    if preview:
        from gmmquant.cli.preview.outcomes import Preview

        shown = Preview(sys.stdin, sys.stdout, os.environ)
    advises = not (is_set(ctx, "format") or image_name)
    with Console(
        reporter, ks, n_images, n_to_count=n_to_count, quiet=quiet, preview=shown, advises_format=advises
    ) as console:
        for note in notes:
            console.note(note)
        succeeded = _run_jobs(
            planned, console, jobs=jobs, sample_size=sample_size, scheduler=scheduler, fail_fast=fail_fast
        )
    return ExitCode.DONE if succeeded else ExitCode.FAILED


def _run_jobs(
    planned: Plan,
    console: Console,
    *,
    jobs: int | None,
    sample_size: int | None,
    scheduler: str | None,
    fail_fast: bool,
) -> bool:
    """Run the jobs of a plan and show their outcomes; return whether all succeeded. Arguments as for `quantize`."""
    from gmmquant.pipeline.batch import executor_for, run_all
    from gmmquant.pipeline.outdated import has_new_fits, outdated_note
    from gmmquant.pipeline.summary import summarized
    from gmmquant.report.outcome import Done
    from gmmquant.system.paths import identity

    if not gc.isenabled():  # since the start of the program
        gc.freeze()
        gc.enable()
    with stopped_by_signals() as stop_if_asked:

        def watch(source: SourcePath, k: int | str, n_iter: int, objective: float) -> None:
            stop_if_asked()
            console.show_iteration(source, k, n_iter, objective)

        def idle() -> None:
            stop_if_asked()
            console.refresh()

        with executor_for(planned, jobs, idle, scheduler, console.note) as executor:
            if planned.shared_job is not None:
                from gmmquant.pipeline.shared_palette import run_shared

                outcomes = run_shared(
                    planned, executor, console.count, idle, sample_size=sample_size, fail_fast=fail_fast
                )
            else:
                outcomes = run_all(planned, watch, executor=executor, fail_fast=fail_fast)
            done, reported = set[str](), set[str]()
            for outcome in summarized(planned, outcomes):
                console.show(outcome)
                if isinstance(outcome, Done) and outcome.written:
                    (done if has_new_fits(outcome) else reported).add(identity(outcome.source))
                stop_if_asked()
        _note_kept(planned, console)
        if note := outdated_note(planned, done, reported):
            console.note(note)
        return console.finish()


def _note_kept(planned: Plan, console: Console) -> None:
    """Note that --optimize has no effect on the files that a run kept, if these may be larger."""
    from gmmquant.cli.advice import advice_on_kept
    from gmmquant.pipeline.plan import Existing

    if planned.task.products.optimize and planned.task.existing is Existing.KEEP and console.has_kept:
        images = (job.files(k)["image"] for job in planned.jobs for k in job.ks)
        if note := advice_on_kept(images):
            console.note(note)


def run(arguments: Sequence[str]) -> int:
    """Run the command on `arguments` and return its exit code; every error is one line."""
    hold_standard_streams()
    # Libraries log by default on standard error: Pillow odd headers, asyncio connections of S3 that a process inherits
    # and cannot close. What matters raises an error as well.
    logging.getLogger().addHandler(_SILENCE)
    warnings.filterwarnings("ignore", module=r"PIL\.")
    try:
        if has_empty(arguments):
            raise ParameterError("an argument is empty; use a name or a value, or set its shell variable")
        command = typer.main.get_command(app)
        typed = command_line(arguments)
        result = command.main(arguments, prog_name="gmmquant", standalone_mode=False, obj=typed)
        return int(result or ExitCode.DONE)
    except SystemExit as end:  # of shell completion, or of rich when the reader of the help closed the pipe
        return ExitCode.DONE if isinstance(end.__context__, BrokenPipeError) else int(end.code or 0)
    except typer.TyperException as error:
        usage = usage_of(error, command.params)
        about = "-h" if usage.startswith("missing") else "--help"  # the short one has examples
        say(f"{usage}; see gmmquant {about}")
        return ExitCode.USAGE
    except (ModelFileError, PaletteFileError, ImageError) as error:  # of a file that an option names
        say(str(error))
        return ExitCode.USAGE
    except (ClusterError, ExistsError) as error:
        say(str(error))
        return ExitCode.FAILED
    except GmmquantError as error:
        say(in_options(str(error)))
        return ExitCode.USAGE
    except (OSError, MemoryError) as error:
        path = getattr(error, "filename", None)
        start = f"{os.fsdecode(path)}: " if isinstance(path, (str, bytes)) else ""
        say(f"{start}{system_reason(error)}; nothing more was done")
        return ExitCode.FAILED
    except Stopped as stop:
        say(
            f"stopped by {stop.name}: finished images are complete; run again with --skip-existing to do the rest",
            wait=False,
        )
        return stop.exit_code
