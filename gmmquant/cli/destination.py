"""Where the outputs go: the folder or file that --output names, or standard output."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from typing import TYPE_CHECKING

import typer

from gmmquant.cli.checks import is_set, refuse
from gmmquant.errors import ParameterError
from gmmquant.settings import OUTPUT_FORMATS, PALETTE_FORMATS, STANDARD_OUTPUT, format_of

if TYPE_CHECKING:
    from gmmquant.pipeline.plan import Destination
    from gmmquant.system.paths import AnyPath

# Options of files, which contradict standard output.
_FILE_OPTIONS = (
    *("palette_out", "maps", "layers", "save_model"),
    *("force", "skip_existing", "name", "preserve_times", "report", "preview", "sheet", "plots"),
)

# Names of the standard output of this process, which are no folders.
_STANDARD_OUTPUTS = frozenset({"/dev/stdout", "/dev/fd/1", "/proc/self/fd/1"})

# Extensions of files that would be strange for a folder, and that `mimetypes` does not know.
_UNWRITTEN = frozenset({"eps", "psd", "jp2", "tga", "md", "mkv", "xcf", "kra", "ora", "raw", "dng"})


def destination_of(ctx: typer.Context, output: str | None, ks: Sequence[int | str], *, records: bool) -> Destination:
    """Return where the outputs go. Standard output takes one image, or the records, and then no files are written."""
    from gmmquant.pipeline.plan import Destination

    if output != STANDARD_OUTPUT:
        return Destination.FILES
    refuse(ctx, "--output -", "writes no files", _FILE_OPTIONS)
    if records:
        refuse(ctx, "--output -", "writes no files", ["skip_if_larger"])
        option = "--json" if is_set(ctx, "as_json") else "--json-lines"
        refuse(ctx, option, "with --output - prints figures, and no image", ["format", "optimize", "keep_metadata"])
        return Destination.RECORD
    if is_set(ctx, "skip_if_larger"):  # the image would stand for a result of another size
        refuse(ctx, "--skip-if-larger", "with --output - passes on the image as it is", ["resize"])
    if len(ks) > 1:
        raise ParameterError(f"--output - writes one image, not {len(ks)}; choose one number of colours, as in -k 7")
    if is_set(ctx, "shared"):
        raise ParameterError("--output - writes one image, but --shared writes several; name a folder, or add --json")
    if sys.stdout.isatty():
        raise ParameterError("--output - would write an image to the terminal; redirect standard output")
    return Destination.STANDARD_OUTPUT


def folder_and_name(
    ctx: typer.Context, output: str | None, image_format: str
) -> tuple[AnyPath | None, str | None, str]:
    """Return the folder of the outputs, the name of the image if --output is a file, and the format."""
    from gmmquant.system.filesystem import is_folder
    from gmmquant.system.paths import parse_path

    if output is None or output == STANDARD_OUTPUT:
        return None, None, image_format
    path = parse_path(output)
    extension = path.suffix.lower().removeprefix(".")
    named = format_of(extension)
    if output.endswith("/") or is_folder(path):
        return path, None, image_format
    if output in _STANDARD_OUTPUTS:
        raise ParameterError(f"--output {output} is not a folder; use --output - for standard output")
    if named is None:
        if not is_set(ctx, "palette"):  # after whose file a folder may well be named
            _refuse_extension(output, path.stem, extension)
        return path, None, image_format
    if is_set(ctx, "format") and image_format != named:
        raise ParameterError(f"--format {image_format} contradicts --output {output}; leave out --format")
    if is_set(ctx, "name"):
        raise ParameterError(f"--name has no effect on --output {output}, which is a file; leave out one of them")
    return path.parent, path.name, named


def _refuse_extension(output: str, stem: str, extension: str) -> None:
    """Raise a `ParameterError` if a folder with this extension would be strange."""
    if extension in PALETTE_FORMATS:
        raise ParameterError(f"--output {output} looks like a palette; use --palette-out {extension}, or {output}/")
    if not extension:
        return
    import mimetypes
    from difflib import get_close_matches

    from gmmquant.images.decoding.registry import INPUT_EXTENSIONS

    known = mimetypes.MimeTypes().guess_type(f"x.{extension}", strict=False)[0] is not None
    if known or extension in _UNWRITTEN or f".{extension}" in INPUT_EXTENSIONS:
        formats = ", ".join(OUTPUT_FORMATS) if extension != "apng" else f"{stem}.png"
        raise ParameterError(f"--output {output} looks like a file of another format; use {formats}, or {output}/")
    if near := get_close_matches(extension, OUTPUT_FORMATS, 1):
        raise ParameterError(f"--output {output} is of no known format; did you mean {stem}.{near[0]}, or {output}/?")
