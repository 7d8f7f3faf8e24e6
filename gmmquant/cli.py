"""The command: options, exit codes, and the run that they lead to."""

from __future__ import annotations

import gc
import logging
import os
from collections.abc import Sequence
from enum import IntEnum
from pathlib import Path
from typing import Annotated

import typer

from gmmquant.arguments import ListingCommand
from gmmquant.errors import GmmquantError, ModelFileError, ParameterError
from gmmquant.models.parameters import COVARIANCE_NAMES, INIT_NAMES, check_integer
from gmmquant.process import Stopped, hold_standard_streams, keep_freed_memory, stopped_by_signals, system_reason
from gmmquant.screen import Screen, emit, say
from gmmquant.settings import DEFAULT_K, MAX_PIXELS, Settings, parse_k
from gmmquant.version import __version__


class ExitCode(IntEnum):
    """What the exit code says. A run that a signal stopped exits with 128 + its number: 130, 143 or 129."""

    DONE = 0
    FAILED = 1
    USAGE = 2


app = typer.Typer(pretty_exceptions_enable=False, rich_markup_mode="rich")

_FILES, _MODEL, _MESSAGES = "Files", "Model", "Messages"
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


def _show_version(asked: bool) -> None:
    if asked:
        written = emit(f"gmmquant {__version__}\n")
        raise typer.Exit(ExitCode.DONE if written else ExitCode.FAILED)


def _read_k(texts: list[str]) -> list[str]:
    try:
        return [str(k) for k in parse_k(texts)]
    except ParameterError as error:
        raise typer.BadParameter(str(error)) from None


def _refuse_with_model(ctx: typer.Context) -> None:
    """Refuse the options of a fit beside --model, which fits nothing."""
    names = {"k": "-k", "save_model": "--save-model", "max_iter": "--max-iter"}
    for name in ("k", "save_model", "seed", "max_iter", "tol", "covariance", "init", "restarts", "method"):
        source = ctx.get_parameter_source(name)
        if source is not None and source.name != "DEFAULT":
            raise ParameterError(f"--model fits nothing: leave out {names.get(name, f'--{name}')}, or --model")


@app.command(cls=ListingCommand, help=_HELP, epilog=_EPILOG, context_settings={"help_option_names": ["-h", "--help"]})
def quantize(
    ctx: typer.Context,
    image: Annotated[
        list[Path],
        typer.Argument(
            metavar="IMAGE...",
            readable=False,  # what cannot be read costs that picture, not the run
            help="Pictures (PNG, JPEG, WebP, TIFF, BMP, GIF) or folders of pictures.",
            show_default=False,
        ),
    ],
    k: Annotated[
        list[str],
        typer.Option(
            "-k",
            "--colors",
            metavar="INT...",
            callback=_read_k,
            help="Numbers of colours, each a picture of its own: 2 3 7, 2,3,7 or 2-8. Takes every integer that "
            "follows; -- ends the list. auto: the fewest colours that keep 90 % of the gain in ICL.",
            rich_help_panel=_MODEL,
        ),
    ] = _DEFAULT_K,
    output: Annotated[
        Path | None,
        typer.Option(
            "-o",
            "--output",
            metavar="DIR",
            readable=False,
            help="Folder for what is written; made if missing. Default: beside each picture.",
            show_default=False,
            rich_help_panel=_FILES,
        ),
    ] = None,
    force: Annotated[
        bool, typer.Option("-f", "--force", metavar="", help="Replace outputs that exist.", rich_help_panel=_FILES)
    ] = False,
    skip_existing: Annotated[
        bool,
        typer.Option(
            "--skip-existing",
            metavar="",
            help="Keep outputs that exist and make only what is missing, to resume a run.",
            rich_help_panel=_FILES,
        ),
    ] = False,
    max_pixels: Annotated[
        int,
        typer.Option(
            "--max-pixels",
            metavar="INT",
            help="Refuse larger pictures before they are decoded.",
            rich_help_panel=_FILES,
        ),
    ] = MAX_PIXELS,
    seed: Annotated[
        int,
        typer.Option(
            "--seed",
            metavar="INT",
            help="Start from other random seeds, to see how much chance matters; the same one gives the same pictures.",
            rich_help_panel=_MODEL,
        ),
    ] = Settings.seed,
    max_iter: Annotated[
        int | None,
        typer.Option(
            "--max-iter",
            metavar="INT",
            help="Most iterations for each k, beside trying starts. Default: 500, and no more than some seconds' work, "
            "which ends fits of many colours early; a number of yours is obeyed whatever the time.",
            show_default=False,
            rich_help_panel=_MODEL,
        ),
    ] = Settings.max_iter,
    tol: Annotated[
        float,
        typer.Option(
            "--tol",
            metavar="FLOAT",
            help="Stop when an iteration gains less than this, in nats per pixel; larger is faster and fits worse.",
            rich_help_panel=_MODEL,
        ),
    ] = Settings.tol,
    method: Annotated[
        str,
        typer.Option(
            "--method",
            metavar="WAY",
            help="gmm: a Gaussian mixture, of the highest likelihood. kmeans: the least squared error, as of a palette "
            "to draw the picture with.",
            rich_help_panel=_MODEL,
        ),
    ] = Settings.method,
    recolor: Annotated[
        str | None,
        typer.Option(
            "--recolor",
            metavar="WAY",
            help="Which colour a pixel gets: posterior, that of its most probable component (of gmm the default), or "
            "nearest, that with the least error (of kmeans the default).",
            show_default=False,
            rich_help_panel=_MODEL,
        ),
    ] = Settings.recolor,
    covariance: Annotated[
        str,
        typer.Option(
            "--covariance",
            metavar="TYPE",
            help=f"Shape of the components: {', '.join(COVARIANCE_NAMES)}. full fits best; the others have fewer "
            "parameters, to compare, or for pictures of few pixels.",
            rich_help_panel=_MODEL,
        ),
    ] = Settings.covariance,
    init: Annotated[
        str,
        typer.Option(
            "--init",
            metavar="WAY",
            help=f"How a fit starts: {', '.join(INIT_NAMES)}. The others start from less than "
            "kmeans does, to see how much the start matters. Of gmm only.",
            rich_help_panel=_MODEL,
        ),
    ] = Settings.init,
    restarts: Annotated[
        int,
        typer.Option(
            "--restarts",
            metavar="INT",
            help="Try so many starts for a few iterations, on coarse cells of colours, and go on with the best: as a "
            "rule a higher likelihood, not always.",
            rich_help_panel=_MODEL,
        ),
    ] = Settings.restarts,
    save_model: Annotated[
        bool,
        typer.Option(
            "--save-model",
            metavar="",
            help="Write each fitted mixture too, as NAME_k7.gmm.json, to use with --model.",
            rich_help_panel=_FILES,
        ),
    ] = False,
    model: Annotated[
        Path | None,
        typer.Option(
            "--model",
            metavar="FILE",
            readable=False,
            help="Fit nothing: recolour by a mixture that --save-model wrote, and report the likelihood under it.",
            show_default=False,
            rich_help_panel=_FILES,
        ),
    ] = None,
    quiet: Annotated[
        bool, typer.Option("-q", "--quiet", metavar="", help="Show nothing but errors.", rich_help_panel=_MESSAGES)
    ] = False,
    verbose: Annotated[
        bool,
        typer.Option(
            "-v",
            "--verbose",
            metavar="",
            help="List every component too: weight, pixels, spread, colour.",
            rich_help_panel=_MESSAGES,
        ),
    ] = False,
    as_json: Annotated[
        bool,
        typer.Option(
            "--json",
            metavar="",
            help="Write the records to standard output, as one JSON array, instead of tables.",
            rich_help_panel=_MESSAGES,
        ),
    ] = False,
    version: Annotated[  # noqa: ARG001  its callback does the work
        bool,
        typer.Option("--version", metavar="", callback=_show_version, is_eager=True, help="Show the version and exit."),
    ] = False,
) -> int:
    """Plan the run, do the pictures one after the other, show what became of each."""
    if force and skip_existing:
        raise ParameterError("--force and --skip-existing contradict each other; give one of them")
    check_integer("max-pixels", max_pixels, 1)
    settings = Settings(seed, max_iter, tol, covariance, init, restarts, method, recolor)
    if model is not None:
        _refuse_with_model(ctx)

    # The program's own blocks are too small for BLAS to gain by threads; its idle threads would only cost memory.
    os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
    keep_freed_memory()
    from gmmquant.batch import Existing, Task, load_model, plan, run_all

    gc.freeze()
    gc.enable()

    applied = None if model is None else load_model(model)
    ks = parse_k(k) if applied is None else [len(applied.model.gaussians.weights)]
    existing = Existing.REPLACE if force else Existing.KEEP if skip_existing else Existing.REFUSE
    task = Task(ks, settings, existing, max_pixels, save_model, applied)
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
    except ModelFileError as error:
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
