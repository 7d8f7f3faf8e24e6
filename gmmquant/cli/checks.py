"""Checks of options together: those that contradict others, or have no effect on what is asked for."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import typer

from gmmquant.cli.parser import is_number_of_colors
from gmmquant.errors import ParameterError
from gmmquant.settings import MAX_K, MAX_TRANSFER_K, OF_FITS, STYLES, Settings, largest_difference, largest_of

# Options whose names differ from those of their parameters.
_NAMES = {"k": "-k", "as_json": "--json"}

# Options that contradict others: the option, the reason, the parameters of the others.
_CONTRADICTIONS = {
    "force": ("replaces existing outputs", ("skip_existing",)),
    "as_json": ("prints one array of records", ("json_lines",)),
    "dry_run": ("prints no records", ("as_json",)),
    "preview": ("shows images", ("as_json", "json_lines", "quiet", "dry_run")),
    "quiet": ("prints only errors", ("verbose",)),
    "model": ("fits nothing", ("style", "k", *OF_FITS, "space", "snap", "palette", "transfer_from", "save_model")),
    "palette": ("sets the colours", ("snap", "method", "init", "search", "restarts", "transfer_from")),
    "shared": ("fits one mixture to all images", ("model", "transfer_from", "skip_if_larger", "plots")),
    "transfer_from": (
        "moves every colour",
        (
            *("recolor", "dither", "strength", "smooth", "snap", "keep_colors", "color_depth"),
            *("palette_out", "layers", "save_model"),
        ),
    ),
}

# Options of files, which contradict standard output.
FILE_OPTIONS = (
    *("palette_out", "maps", "layers", "save_model"),
    *("force", "skip_existing", "name", "preserve_times", "report", "skip_if_larger", "preview", "sheet", "plots"),
)


def refuse(ctx: typer.Context, option: str, reason: str, others: Sequence[str]) -> None:
    """Raise a `ParameterError` if one of the parameters `others` is set together with `option`."""
    for other in others:
        if is_set(ctx, other):
            raise ParameterError(f"{option} {reason}: leave out {_option_name(other)} or {option}")


def is_set(ctx: typer.Context, name: str) -> bool:
    """Return whether a parameter is set by the user."""
    source = ctx.get_parameter_source(name)
    return source is not None and source.name != "DEFAULT"


def _option_name(parameter: str) -> str:
    return _NAMES.get(parameter, f"--{parameter.replace('_', '-')}")


def refuse_contradictions(ctx: typer.Context, settings: Settings, ks: Sequence[int | str]) -> None:
    """Raise a `ParameterError` if options contradict each other."""
    for name, (reason, others) in _CONTRADICTIONS.items():
        if is_set(ctx, name):
            refuse(ctx, _option_name(name), reason, others)
    if settings.method == "kmeans":
        by_dither = "method" not in STYLES[settings.style]
        option = f"--dither {settings.dither}" if by_dither else f"--style {settings.style}"
        option = "--method kmeans" if is_set(ctx, "method") else option
        refuse(ctx, option, "chooses its starts itself", ["init"])
        refuse(ctx, option, "fits no mixture", ["noise", "shrink", "search"])
    if is_set(ctx, "transfer_from") and (settings.smooth or settings.dither != "none"):
        style = f"--style {settings.style}"
        raise ParameterError(f"--transfer-from moves every colour: leave out {style} or --transfer-from")
    if is_set(ctx, "strength") and settings.dither == "none":
        raise ParameterError("--strength has no effect without dithering: add --dither blue-noise, or leave it out")
    if is_set(ctx, "shrink") and settings.covariance != "full":
        raise ParameterError(f"--shrink has no effect on --covariance {settings.covariance}: leave out one of them")
    fixed = next((name for name in ("palette", "model") if is_set(ctx, name)), None)
    if settings.n_seeds > 1 and fixed is not None:
        raise ParameterError(f"--{fixed} has no random starts: leave out --seed, or use one seed")
    if settings.keep_colors:
        _refuse_to_keep(ctx, settings, ks)
    automatic = next((k for k in ks if isinstance(k, str)), None)
    if is_set(ctx, "palette") and automatic is not None:
        raise ParameterError(f"-k {automatic} chooses colours by a fit, not from --palette: use numbers, as in -k 3")
    if is_set(ctx, "sample_size") and not is_set(ctx, "shared"):
        raise ParameterError("--sample-size has no effect without --shared: add --shared, or leave it out")
    bounded = next((k for k in ks if largest_difference(k) is not None), None)
    if is_set(ctx, "transfer_from") and bounded is not None:
        raise ParameterError(f"-k {bounded} keeps the colours, --transfer-from moves them: use a number, or auto")
    if is_set(ctx, "transfer_from") and largest_of(ks) > MAX_TRANSFER_K:
        raise ParameterError(
            f"k = {largest_of(ks)} is above the limit of --transfer-from; use at most {MAX_TRANSFER_K}"
        )


def refuse_numbers(ctx: typer.Context, images: Sequence[str]) -> None:
    """Raise a `ParameterError` if one of `images` is a number of colours and not a file."""
    for text in images:
        if is_set(ctx, "seed") and text.isdigit() and not Path(text).exists():
            raise ParameterError(f"{text} is not a file; --seed takes one number or a range, as in --seed 1-5")
        if is_number_of_colors(text) and not Path(text).exists():
            raise ParameterError(f"{text} is not a file; did you mean -k {text}?")


def _refuse_to_keep(ctx: typer.Context, settings: Settings, ks: Sequence[int | str]) -> None:
    """Raise a `ParameterError` if the colours of --keep-colors are too many, or are all kept anyway."""
    n_kept = len(settings.keep_colors)
    smallest = min((k for k in ks if isinstance(k, int)), default=MAX_K)
    if is_set(ctx, "palette") and not is_set(ctx, "k"):
        raise ParameterError("--palette keeps all its colours: leave out --keep-colors, or choose some, as in -k 3")
    if smallest < n_kept:
        source = "" if is_set(ctx, "k") else " (the default)"
        raise ParameterError(
            f"k = {smallest}{source} is below the {n_kept} colours of --keep-colors; use at least -k {n_kept}"
        )
