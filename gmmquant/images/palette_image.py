"""Palettes as images: a chart of swatches, the palette of any image; and a palette from any file.

Swatches cover the chart without gaps, background or text, so that any program that collects the colours of an image
finds exactly the palette. The rows differ by one swatch at most.
"""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from gmmquant.colors.palette import Palette, check_palette, collect_colors
from gmmquant.colors.palette_files import FORMATS, PaletteFormat, read_named_palette
from gmmquant.errors import ImageError, PaletteFileError
from gmmquant.images.decoding.reader import Header
from gmmquant.images.decoding.registry import read_header
from gmmquant.images.encoding.encode import encode_image
from gmmquant.images.encoding.frame_diff import frames_of
from gmmquant.images.files import read_with_conversion
from gmmquant.images.indexed_palette import INDEXED_FORMATS, palette_of_entries
from gmmquant.images.recolor import IndexedImage
from gmmquant.parsing import MAX_K
from gmmquant.system.filesystem import open_regular

# Formats whose compression changes colours, mostly or always.
_LOSSY_FORMATS = ("JPEG", "WebP", "AVIF", "HEIF", "JPEG XL", "JPEG 2000")

# Limits of palette files: a chart of 4096 swatches has a million pixels and 20 kB.
MAX_BYTES = 16_000_000
MAX_PIXELS = 1 << 24

_WIDTH_PIXELS = 960
_MAX_SIDE_PIXELS, _MIN_SIDE_PIXELS = 240, 16

# More swatches fill several rows; the chart is then 1 to 2 times as wide as high.
_MAX_SINGLE_ROW = 8
_MAX_ASPECT = 2.0

_CHUNK_PIXELS = 1 << 16


class FoundPalette(NamedTuple):
    """The colours (K, 3) of a file, its names of colours by hex code, and a note on the colours, which may be empty."""

    colors: Palette
    names: dict[str, str]
    note: str = ""


def encode_swatches(palette: npt.NDArray[Any]) -> bytes:
    """Return `palette` (K, 3), 1 to 4096 colours, as a PNG of flat swatches, indexed where 256 entries suffice.

    Colours are drawn in reading order. An array of another shape or type raises a ParameterError.
    """
    palette = check_palette(palette)
    return encode_image(IndexedImage(_chart(len(palette)), palette), "png")


# All formats of palette files. A chart keeps the order of the palette.
ALL_FORMATS = (*FORMATS, PaletteFormat("png", encode=lambda palette: encode_swatches(palette.colors)))


def read_palette_image(path: Path) -> FoundPalette | None:
    """Return the palette of an image, or None if the file is not an image.

    The palette of an indexed image is that of the file, see `gmmquant.images.indexed_palette`; that of any other image,
    its distinct colours in reading order. Colours are those of `read_image`, with the colour profile applied. Fully
    transparent pixels are ignored. Only the first frame of an animation is read. A PaletteFileError is raised if the
    image is damaged or too large, or has more than 4096 colours or more than 8 bits per channel.
    """
    try:
        with open_regular(path) as file:
            header = read_header(file)
    except ImageError:
        return None
    try:
        image, to_srgb = read_with_conversion(path, max_pixels=MAX_PIXELS)
    except ImageError as error:
        reason = str(error).partition(";")[0]
        raise PaletteFileError(
            f"{reason}; use an undamaged image with 8 bits per channel and at most {MAX_PIXELS} pixels"
        ) from None
    if image.pixels.dtype != np.uint8:
        raise PaletteFileError("an image with more than 8 bits per channel cannot be a palette; save it with 8")
    first = frames_of(image.pixels, image.animation)[0]
    if header.format in INDEXED_FORMATS:
        found = palette_of_entries(path, first, _visible(first), to_srgb)
        if found is not None:
            return FoundPalette(found[0], {}, _note_on_unused(*found))
    colors = _in_reading_order(first.reshape(-1, first.shape[2]))
    palette = collect_colors(map(tuple, colors.tolist()), PaletteFileError)
    return FoundPalette(palette, {}, _note_on_compression(palette, header))


def load_palette(path: Path) -> Palette:
    """Read a palette from a file of any kind: see `load_named_palette`."""
    return load_named_palette(path).colors


def load_named_palette(path: Path) -> FoundPalette:
    """Read a palette and names by hex code from a file of any kind: see `read_named_palette`, `read_palette_image`."""
    try:
        with open_regular(path) as file:
            data = file.read(MAX_BYTES + 1)
    except ImageError:
        raise PaletteFileError("not a regular file; use a palette file or an image") from None
    if len(data) > MAX_BYTES:
        raise PaletteFileError(f"more than {MAX_BYTES} bytes, the limit for a palette; use a smaller file")
    return read_palette_image(path) or FoundPalette(*read_named_palette(data))


def _note_on_unused(palette: Palette, n_unused: int) -> str:
    """Return a note if most of the entries of a palette are in no pixel of its image; else ""."""
    if 2 * n_unused <= len(palette):
        return ""
    return (
        f"{n_unused} of the {len(palette)} colours of its palette are in no pixel of it, and are used too; save it "
        "without a palette to leave them out"
    )


def _note_on_compression(palette: Palette, header: Header) -> str:
    """Return a note if the compression of an image may have changed its colours; else ""."""
    if header.format not in _LOSSY_FORMATS or header.info.get("is_lossless"):
        return ""
    changed = "has changed" if header.format == "JPEG" else "may have changed"
    used = "the colour of it" if len(palette) == 1 else f"the swatches, and all {len(palette)} colours of it are used"
    return f"{header.format} {changed} {used}; save the chart as PNG for exact colours"


def _visible(pixels: npt.NDArray[np.uint8]) -> npt.NDArray[np.bool_]:
    """Return which of `pixels` (..., 3 or 4) are not fully transparent."""
    return pixels[..., 3] > 0 if pixels.shape[-1] == 4 else np.ones(pixels.shape[:-1], dtype=np.bool_)


def _in_reading_order(pixels: npt.NDArray[np.uint8]) -> npt.NDArray[np.uint8]:
    """Return the distinct visible colours of `pixels` (n, 3 or 4) in the order of first occurrence."""
    seen = np.zeros(1 << 24, dtype=np.bool_)
    found: dict[int, None] = {}
    for start in range(0, len(pixels), _CHUNK_PIXELS):
        chunk = pixels[start : start + _CHUNK_PIXELS]
        red, green, blue = chunk[_visible(chunk), :3].T.astype(np.uint32)
        codes = red << 16 | green << 8 | blue
        seen[codes] = True
        if len(found) <= MAX_K:
            _, first = np.unique(codes, return_index=True)
            found.update(dict.fromkeys(codes[np.sort(first)].tolist()))
    if len(found) > MAX_K:
        raise PaletteFileError(
            f"an image of {np.count_nonzero(seen)} colours is above the limit {MAX_K} of a palette; "
            "use one with fewer, such as a chart of swatches or an indexed image"
        )
    codes = np.array(list(found), dtype=np.uint32)
    return np.stack([codes >> 16, codes >> 8 & 255, codes & 255], axis=1).astype(np.uint8)


def _chart(n_colors: int) -> npt.NDArray[np.uint16]:
    """Return the swatch, 0 to n_colors - 1, of each pixel of a chart that rows of swatches fill."""
    n_columns = n_colors
    if n_colors > _MAX_SINGLE_ROW:  # of the lengths of rows within the aspect ratios, that with the smallest remainder
        narrowest, widest = math.isqrt(n_colors - 1) + 1, math.isqrt(int(_MAX_ASPECT * n_colors))
        n_columns = min(range(narrowest, widest + 1), key=lambda length: (-n_colors % length, length))
    n_rows = -(-n_colors // n_columns)
    side = min(max(_WIDTH_PIXELS // n_columns, _MIN_SIDE_PIXELS), _MAX_SIDE_PIXELS)
    # Rows with one swatch less come first, so that the first colours, mostly the heaviest, have the larger swatches.
    fewest, n_longer = divmod(n_colors, n_rows)
    lengths = np.repeat([fewest, fewest + 1], [n_rows - n_longer, n_longer])
    x = np.arange(side * n_columns)
    starts = np.cumsum(lengths) - lengths
    rows = starts[:, np.newaxis] + x * lengths[:, np.newaxis] // x.size
    return np.repeat(rows.astype(np.uint16), side if n_rows > 1 else _MAX_SIDE_PIXELS, axis=0)
