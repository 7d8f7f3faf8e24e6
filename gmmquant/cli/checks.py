"""Checks of options together: those that contradict others, or have no effect on what is asked for."""

from __future__ import annotations

import os
import re
import shlex
from collections.abc import Sequence
from itertools import chain

import typer

from gmmquant.cli.parser import REPEATED, is_new_file, is_number_of_colors
from gmmquant.errors import ParameterError
from gmmquant.parsing import MAX_K, largest_difference, largest_of, parse_hex
from gmmquant.settings import (
    ALPHAS,
    DITHERS,
    LAYERS,
    MAX_TRANSFER_K,
    METHODS,
    OF_FITS,
    OUTPUT_FORMATS,
    PALETTE_FORMATS,
    RANDOM_DITHERS,
    RECOLORINGS,
    SPACES,
    STYLES,
    Settings,
)
from gmmquant.system.installation import CLUSTER, is_installed, missing
from gmmquant.system.printable import plural

# Options whose names differ from those of their parameters.
_NAMES = {"k": "-k", "as_json": "--json"}

# Options that contradict others: the option, the reason, the parameters of the others.
_CONTRADICTIONS = (
    ("force", "replaces existing outputs", ("skip_existing",)),
    ("as_json", "prints one array of records", ("json_lines",)),
    ("dry_run", "prints no records", ("as_json",)),
    ("preview", "shows images", ("as_json", "json_lines", "quiet", "dry_run")),
    ("quiet", "prints only errors", ("verbose",)),
    ("model", "fits nothing; use --dither or --smooth", ("style",)),
    ("model", "fits nothing", ("k", *OF_FITS, "space", "average", "palette", "transfer_from", "save_model")),
    ("palette", "sets the colours", ("average", "method", "init", "search", "restarts", "transfer_from")),
    ("shared", "fits one mixture to all images", ("model", "transfer_from", "skip_if_larger")),
    ("shared", "fits one mixture to all images, plots are those of one image", ("plots",)),
    (
        "transfer_from",
        "moves every colour",
        (
            *("recolor", "dither", "strength", "smooth", "average", "keep_colors", "color_depth"),
            *("palette_out", "layers", "save_model"),
        ),
    ),
)

# Options about colours without alpha.
_WITHOUT_ALPHA = ("palette", "model", "transfer_from", "shared", "maps", "layers", "palette_out", "save_model")

# Options with one value, which may be followed by another by mistake.
_SINGLE_CHOICES = {
    "format": OUTPUT_FORMATS,
    "layers": LAYERS,
    "style": STYLES,
    "dither": DITHERS,
    "recolor": RECOLORINGS,
    "alpha": ALPHAS,
    "method": METHODS,
    "space": SPACES,
}

# Those of them whose values write files of other names, so that a second run adds them.
_OTHER_FILES = ("format", "layers")

# Options with one file, and the endings of their files, of which another may follow by mistake.
_FILES_OF = {"model": (".json",), "palette": tuple(f".{name}" for name in PALETTE_FORMATS if name != "png")}

# Words that are commands of other programs.
_COMMANDS = ("help", "version")

# Formats that --optimize leaves as they are; of gif, it leaves only still images.
_NOT_OPTIMIZED = ("bmp",)


def refuse(ctx: typer.Context, option: str, reason: str, others: Sequence[str]) -> None:
    """Raise a `ParameterError` if one of the parameters `others` is set together with `option`."""
    for other in others:
        if is_set(ctx, other):
            raise ParameterError(f"{option} {reason}; leave out {_option_name(other)} or {option}")


def is_set(ctx: typer.Context, name: str) -> bool:
    """Return whether a parameter is set by the user."""
    source = ctx.get_parameter_source(name)
    return source is not None and source.name != "DEFAULT"


def _option_name(parameter: str) -> str:
    return _NAMES.get(parameter, f"--{parameter.replace('_', '-')}")


def refuse_contradictions(ctx: typer.Context, settings: Settings, ks: Sequence[int | str]) -> None:
    """Raise a `ParameterError` if options contradict each other."""
    for name, reason, others in _CONTRADICTIONS:
        if is_set(ctx, name):
            refuse(ctx, _option_name(name), reason, others)
    if settings.method == "kmeans":
        by_dither = "method" not in STYLES[settings.style]
        option = f"--dither {settings.dither}" if by_dither else f"--style {settings.style}"
        option = "--method kmeans" if is_set(ctx, "method") else option
        refuse(ctx, option, "chooses its starts itself", ["init"])
        refuse(ctx, option, "fits no mixture", ["noise", "shrink", "search"])
        if is_set(ctx, "method") and "search" in STYLES[settings.style]:
            refuse(ctx, option, f"fits no mixture, and --style {settings.style} needs one", ["style"])
    if is_set(ctx, "transfer_from") and (settings.smooth or settings.dither != "none"):
        style = f"--style {settings.style}"
        raise ParameterError(f"--transfer-from moves every colour; leave out {style} or --transfer-from")
    if is_set(ctx, "strength") and settings.dither == "none":
        raise ParameterError("--strength has no effect without dithering; add --dither blue-noise, or leave it out")
    if is_set(ctx, "shrink") and settings.shrink and settings.covariance != "full":
        other = f"--covariance {settings.covariance}"
        raise ParameterError(f"--shrink {settings.shrink:g} has no effect on {other}; leave out one of them")
    fixed = next((name for name in ("palette", "model") if is_set(ctx, name)), None)
    if is_set(ctx, "seed") and fixed is not None:
        _refuse_seed(ctx, settings, fixed)
    if settings.keep_colors:
        _refuse_to_keep(ctx, settings, ks)
    automatic = next((k for k in ks if isinstance(k, str)), None)
    if settings.alpha == "quantize":
        refuse(ctx, "--alpha quantize", "fits colour and alpha together", _WITHOUT_ALPHA)
        if automatic is not None:
            raise ParameterError(f"-k {automatic} chooses colours without alpha, not --alpha quantize; use numbers")
    if is_set(ctx, "palette") and automatic is not None:
        raise ParameterError(f"-k {automatic} chooses colours by a fit, not from --palette; use numbers, as in -k 3")
    if is_set(ctx, "sample_size") and not is_set(ctx, "shared"):
        raise ParameterError("--sample-size has no effect without --shared; add --shared, or leave it out")
    bounded = next((k for k in ks if largest_difference(k) is not None), None)
    if is_set(ctx, "transfer_from") and bounded is not None:
        raise ParameterError(f"-k {bounded} keeps the colours, --transfer-from moves them; use a number, or auto")
    if is_set(ctx, "transfer_from") and largest_of(ks) > MAX_TRANSFER_K:
        raise ParameterError(
            f"k = {largest_of(ks)} is above the limit of --transfer-from; use at most {MAX_TRANSFER_K}"
        )


def refuse_missing_packages(
    image_format: str, reports: Sequence[str], plots: Sequence[str], scheduler: str | None
) -> None:
    """Raise a `ParameterError` that names all packages that the options need and that are missing."""
    from gmmquant.images.encoding.encode import output_format

    needs = []
    if "html" in reports:
        from gmmquant.report.html.rendering import JINJA2

        needs += [JINJA2] * (not is_installed("jinja2"))
    if plots:
        from gmmquant.report.plots.canvas import MATPLOTLIB, require_matplotlib

        needs += [MATPLOTLIB] * (not is_installed("matplotlib"))
    if scheduler is not None:
        needs += [CLUSTER] * (not is_installed("distributed"))
    if need := output_format(image_format).missing():
        needs.append(need)
    if needs:
        raise ParameterError(missing(*needs))
    if plots:
        require_matplotlib()  # before any work, also if it is installed and cannot be loaded


def refuse_words(ctx: typer.Context, images: Sequence[str]) -> None:
    """Raise a `ParameterError` if one of `images` is a number of colours, or the value or file of an option."""
    _refuse_numbers_as_palette(ctx.params.get("palette"), images)
    for text in images:
        for name, endings in _FILES_OF.items():
            if is_set(ctx, name) and text.lower().endswith(endings) and not os.path.isdir(text):
                raise ParameterError(f"{text} is not an image; {_option_name(name)} takes one file")
        if os.path.lexists(text):
            continue
        if is_set(ctx, "seed") and text.isdigit():
            raise ParameterError(f"{text} is not a file; --seed takes one number or a range, as in --seed 1-5")
        number = text.removeprefix("k=")
        if is_number_of_colors(number):
            raise ParameterError(f"{text} is not a file; did you mean -k {number}?")
        if text in _COMMANDS:
            raise ParameterError(f"{text} is not a file; did you mean --{text}?")
        for name, choices in _SINGLE_CHOICES.items():
            if text in choices and is_set(ctx, name):
                option = _option_name(name)
                again = f"; run again with --skip-existing {option} {text}" * (name in _OTHER_FILES)
                raise ParameterError(f"{text} is not a file; {option} takes one value{again}")


def _refuse_numbers_as_palette(palette: str | None, images: Sequence[str]) -> None:
    """Raise a `ParameterError` if the palette is numbers of colours, which others may follow."""

    def is_number(text: str) -> bool:
        return is_number_of_colors(text) and not os.path.lexists(text)

    if palette is not None and is_number(palette) and not all(map(parse_hex, palette.split(","))):
        ks = " ".join(filter(is_number, [palette, *images]))
        raise ParameterError(f"{palette} is not a palette; did you mean -k {ks}?")


def notes_on_arguments(ctx: typer.Context, images: Sequence[str], settings: Settings, image_format: str) -> list[str]:
    """Return a note on each option without an effect, and on arguments that seem to mean another one."""
    notes = [f"{name} is set more than once; the last value is used" for name in ctx.meta.get(REPEATED, ())]
    if is_set(ctx, "optimize") and image_format in _NOT_OPTIMIZED:
        notes.append(f"--optimize makes no {image_format} smaller")
    if is_set(ctx, "style") and "smooth" in STYLES[settings.style] and not (settings.smooth or is_set(ctx, "smooth")):
        other = "--recolor soft" if settings.dither == "none" else f"--dither {settings.dither}"
        notes.append(f"--style {settings.style} smooths nothing with {other}, which mixes colours")
    small = re.fullmatch("(x?)([2-9]|1[0-6])(x?)", settings.resize or "")
    if small is not None:
        side, times = "height" if small[1] else "width", int(small[2])
        notes.append(f"--resize {settings.resize} is a {side} of {times} pixels; {times} times the size is {times}00%")
    formats = [*OUTPUT_FORMATS, *chain.from_iterable(OUTPUT_FORMATS.values())]
    if len(images) == 2 and is_new_file(images[1], formats) and os.path.isfile(images[0]):
        notes.append(f"{images[1]} does not exist; to write the image to it, use -o {shlex.quote(images[1])}")
    return notes


def _refuse_seed(ctx: typer.Context, settings: Settings, fixed: str) -> None:
    """Raise a `ParameterError` if --seed has no effect, or has several seeds; `fixed` is palette or model."""
    is_random = settings.dither in RANDOM_DITHERS or (fixed == "palette" and is_set(ctx, "k"))
    if not is_random:
        raise ParameterError(
            f"--seed has no effect on --{fixed} with --dither {settings.dither}; use --dither blue-noise, or leave "
            "out --seed"
        )
    if settings.n_seeds > 1:
        raise ParameterError(f"--{fixed} has no fits from several seeds; use one, or leave out --seed")


def _refuse_to_keep(ctx: typer.Context, settings: Settings, ks: Sequence[int | str]) -> None:
    """Raise a `ParameterError` if the colours of --keep-colors are too many, or are all kept anyway."""
    n_kept = len(settings.keep_colors)
    smallest = min((k for k in ks if isinstance(k, int)), default=MAX_K)
    if is_set(ctx, "palette") and not is_set(ctx, "k"):
        raise ParameterError("--palette keeps all its colours; leave out --keep-colors, or choose some, as in -k 3")
    if smallest < n_kept:
        source = "" if is_set(ctx, "k") else " (the default)"
        reasons = "; ".join([f"use at least -k {n_kept}", *ctx.params["keep_colors"].notes])
        raise ParameterError(
            f"k = {smallest}{source} is below the {plural(n_kept, 'colour')} of --keep-colors; {reasons}"
        )
