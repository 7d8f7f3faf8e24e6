"""Write the result of a quantization to a file of its user."""

from __future__ import annotations

import io
import os
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO, cast

from gmmquant.errors import FormatWarning, OutputError, ParameterError
from gmmquant.images.encoding.encode import encode_image, output_format
from gmmquant.settings import OUTPUT_FORMATS, format_of
from gmmquant.system.paths import parse_path
from gmmquant.system.single_file import write_file
from gmmquant.system.user_warning import warn_user

if TYPE_CHECKING:
    from gmmquant.quantization.result import QuantizedImage


def save_result(
    result: QuantizedImage,
    file: str | os.PathLike[str] | BinaryIO,
    format_name: str | None,
    *,
    optimize: bool,
    replace_input: bool,
) -> None:
    """Write a recoloured image to a path or an open file: see `QuantizedImage.save`."""
    opened = not isinstance(file, (str, os.PathLike))
    if opened and (isinstance(file, io.TextIOBase) or not hasattr(file, "write")):
        raise ParameterError(f"file is a {type(file).__name__}; use a path, or a file that is open with mode 'wb'")
    if opened and (getattr(file, "closed", False) is True or not getattr(file, "writable", lambda: True)()):
        raise ParameterError("the file is closed, or open for reading only; open it with mode 'wb', or use a path")
    name = _format_of(file, format_name)
    if not opened and not replace_input:
        _refuse_input(Path(cast("str", file)), result.source)
    found = output_format(name)
    data = encode_image(
        result.recolored,
        name,
        animation=result.animation,
        optimize=optimize,
        keep_order=result.fit.keeps_order,
    )
    if opened:
        cast("BinaryIO", file).write(data)
    else:
        write_file(parse_path(cast("str", file)), data)
    for loss in found.losses(alpha=result.alpha, animation=result.animation):
        warn_user(loss, FormatWarning)


def _format_of(file: Any, format_name: str | None) -> str:
    """Return the format that is asked for, or the extension of a file; an image has no extension of another format."""
    if format_name is not None:
        if isinstance(file, (str, os.PathLike)):
            _refuse_other_extension(os.fspath(file), format_name)
        return format_name
    name = file if isinstance(file, (str, os.PathLike)) else getattr(file, "name", "")
    suffix = parse_path(name).suffix if isinstance(name, (str, os.PathLike)) and name else ""
    if not suffix:
        what = repr(os.fspath(file)) if isinstance(file, (str, os.PathLike)) else "the file"
        raise ParameterError(f"{what} has no extension; add one, or set format: {', '.join(OUTPUT_FORMATS)}")
    return suffix.lower().removeprefix(".")


def _refuse_other_extension(path: str, format_name: str) -> None:
    """Raise a `ParameterError` if a path has the extension of another format than the one that is asked for."""
    named, asked = format_of(parse_path(path).suffix.lower().removeprefix(".")), format_of(format_name)
    if named and asked and named != asked:
        raise ParameterError(
            f"format = {format_name!r} contradicts {path!r}; leave out format, or change the extension"
        )


def _refuse_input(target: Path, source: Path | None) -> None:
    """Raise an `OutputError` if `target` is the file that an image was read from."""
    try:
        is_input = source is not None and os.path.samefile(target, source)
    except OSError:  # one of them does not exist
        return
    if is_input:
        raise OutputError(f"{target} is the file that the image was read from; use another, or replace_input=True")
