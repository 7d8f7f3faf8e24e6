"""What users pass as a palette: an array, a sequence of colours, a file, or a text of names and colours."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from gmmquant.colors.palette import Palette, check_palette, collect_colors
from gmmquant.errors import PaletteFileError, ParameterError
from gmmquant.models.array_validation import refuse_masked
from gmmquant.parsing import colors_of
from gmmquant.system.paths import local_path
from gmmquant.system.printable import printable

if TYPE_CHECKING:
    from gmmquant.settings import ColorsLike

    PaletteLike = ColorsLike | os.PathLike[str]


def read_palette(source: str | os.PathLike[str]) -> Palette:
    """Read a palette from a file, or from a text of colours and names of palettes.

    Parameters
    ----------
    source : str or path-like
        A palette file (hex codes, JSON, GIMP, CSS, ASE, ACO, JASC), an image, whose colours are the palette, a name
        such as "gameboy", or colours with commas, such as "#1d3557,red". A file of that name comes first. The palette
        of an indexed image includes colours that no pixel has. A lossy image, such as a JPEG, has more colours than
        were drawn.

    Returns
    -------
    ndarray of uint8, shape (K, 3), sRGB, in the order of the file

    Raises
    ------
    ParameterError
        If a text is neither a file nor colours and names, or `source` is neither a text nor a path.
    PaletteFileError
        If a file is not a palette. The message names it.
    OSError
        If the system cannot read it: a FileNotFoundError if there is none.
    """
    from gmmquant.colors.palette_files import parse_colors
    from gmmquant.images.palette_image import load_palette

    untyped: object = source
    if not isinstance(untyped, (str, os.PathLike)):
        raise ParameterError(
            f"source is a {type(source).__name__}; pass a file, a name or a text such as '#1d3557,red'; "
            "quantize takes lists and arrays as they are"
        )
    path = palette_path(source)
    if path is None:
        return parse_colors(os.fspath(source))
    try:
        return load_palette(path)
    except PaletteFileError as error:
        raise PaletteFileError(f"{printable(str(path))}: {error}") from None


def palette_path(source: str | os.PathLike[str]) -> Path | None:
    """Return the path that a palette is to be read from, or None if it is a text of colours and names.

    A `ParameterError` is raised for a URL.
    """
    path = local_path(source)
    if not isinstance(source, str):
        return path
    is_path = path.suffix or len(path.parts) > 1 or (path.exists() and not path.is_dir())
    is_file = path.is_file() or ("," not in source and is_path)
    # A colour such as rgb(255 0 0 / 1) has the separator of folders.
    is_color = source.lower().startswith(("#", "rgb(", "rgba(", "hsl(", "hsla("))
    return path if is_file and not is_color else None


def to_palette(palette: PaletteLike) -> Palette:
    """Return a palette as uint8 (K, 3).

    It is an array of integers from 0 to 255, a sequence of colours (hex codes, names of CSS, triples of integers), or
    anything that `read_palette` takes. A ParameterError is raised for anything else.
    """
    if isinstance(palette, (str, os.PathLike)):
        return read_palette(palette)
    refuse_masked("palette", palette, "leave masked colours out, or use {filled}")
    if isinstance(palette, np.ndarray):
        return _from_array(palette)
    untyped: object = palette
    if not isinstance(untyped, Sequence) or isinstance(untyped, (bytes, bytearray)):
        raise ParameterError(
            f"palette is a {type(palette).__name__}; pass an array (K, 3), a list of colours, a file or a name"
        )
    if len(palette) == 0:
        raise ParameterError("palette contains no colours; add at least one, or leave palette out for fitted colours")
    return collect_colors(colors_of(palette), ParameterError)


def _from_array(palette: npt.NDArray[Any]) -> Palette:
    """Return an array of integers from 0 to 255 as a palette."""
    if palette.dtype.kind in "iu" and palette.size and palette.min() >= 0 and palette.max() <= 255:
        palette = palette.astype(np.uint8, copy=False)
    elif palette.dtype.kind in "iu" and palette.size:
        outside = palette[(palette < 0) | (palette > 255)]
        raise ParameterError(f"palette contains {outside[0]}; use integers from 0 to 255")
    elif palette.dtype.kind == "f":
        raise ParameterError(
            f"palette has type {palette.dtype}; use integers from 0 to 255, as in "
            "np.rint(255 * palette).astype(np.uint8) for values from 0 to 1"
        )
    return check_palette(palette)
