"""Draws the images of a preview for the graphics of a terminal, each with its caption and the curve of its fit."""

from __future__ import annotations

import re
import shutil
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
from rich.cells import cell_len

from gmmquant.cli.preview.blocks import Pixels, encode_blocks
from gmmquant.cli.preview.curve import curve, objectives_of
from gmmquant.cli.preview.kitty import encode_kitty
from gmmquant.cli.preview.layout import GAP_COLUMNS, grid_of
from gmmquant.cli.preview.sixel import MAX_COLORS, encode_sixel
from gmmquant.cli.preview.terminal import Capabilities, Graphics
from gmmquant.cli.reporters.columns import shortened
from gmmquant.images import scaling
from gmmquant.images.contact_sheet.scaling import panel_size
from gmmquant.images.encoding.encode import encode_image
from gmmquant.images.recolor import ColorImage, IndexedImage
from gmmquant.images.reduced import nearest
from gmmquant.system.printable import printable

# The size of a cell where the terminal does not know it.
_CELL_PIXELS = (10, 20)
_BLOCK_PIXELS = (1, 2)

# Images in less room, in columns and rows, show little: with graphics, and with half blocks, of which 80 columns hold
# three images side by side.
_LEAST_ROOM, _LEAST_ROOM_OF_BLOCKS = (16, 6), (24, 10)

_MAX_CURVE_COLUMNS = 24

# A figure at the end of a caption, which is left out where it does not fit.
_LAST_FACT = re.compile(r"  [0-9.]+ [A-Za-z]+$")
_OPAQUE = 128

Image = IndexedImage | ColorImage | Pixels  # RGB or RGBA if it is an array


class Entry(NamedTuple):
    """An image to show, with a caption and the `trace` of its fit in the record."""

    caption: str
    image: Image
    trace: Sequence[Mapping[str, Any]] = ()


def note_of(capabilities: Capabilities) -> str | None:
    """Return why a terminal shows no preview, in one line with a remedy; None if it shows one."""
    if capabilities.graphics is not Graphics.NONE:
        return None
    return "--preview needs a terminal with 256 colours and UTF-8, and no NO_COLOR; the images are written"


def preview_for(entries: Iterable[tuple[Any, ...]], capabilities: Capabilities) -> str:
    """Return the text that shows entries in the window of the terminal; arguments as for `preview`."""
    columns, rows = shutil.get_terminal_size((80, 24))
    return preview(entries, capabilities, columns, rows, capabilities.cell_pixels)


def preview(
    entries: Iterable[tuple[Any, ...]],
    capabilities: Capabilities,
    columns: int,
    rows: int,
    cell_pixels: tuple[int, int] | None = None,
) -> str:
    """Return the text that shows images side by side, or in a grid, as large as a window holds them.

    Each entry is an `Entry` or a tuple like it. The window has `columns` x `rows` cells, each of `cell_pixels` (width,
    height) if known. Images are enlarged by whole factors. Nothing is returned for a terminal without graphics.
    """
    shown = [Entry(*entry) for entry in entries]
    if capabilities.graphics is Graphics.NONE or not shown:
        return ""
    by_blocks = capabilities.graphics in (Graphics.BLOCKS, Graphics.TRUE_COLOR_BLOCKS)
    cell = _BLOCK_PIXELS if by_blocks else cell_pixels or _CELL_PIXELS
    n_lines = 3 if any(objectives_of(entry.trace)[1:] for entry in shown) else 2  # a caption, a curve, an empty line
    least = _LEAST_ROOM_OF_BLOCKS if by_blocks else _LEAST_ROOM
    grid = grid_of([_size(entry.image) for entry in shown], (columns, rows), cell, least, n_lines)
    sizes = [panel_size(*_size(entry.image), grid.columns * cell[0], grid.rows * cell[1]) for entry in shown]
    texts = [_texts(entry, grid.columns) for entry in shown]
    used = max(*(-(-size[0] // cell[0]) for size in sizes), *(cell_len(line) for lines in texts for line in lines))
    draw = _blocks_row if by_blocks else _graphics_row
    parts = list[str]()
    for start in range(0, len(shown), grid.n_across):
        of_row = slice(start, start + grid.n_across)
        parts.append(draw([entry.image for entry in shown[of_row]], sizes[of_row], used, cell, capabilities))
        parts += [_joined(line, used) + "\n" for line in zip(*texts[of_row], strict=True) if any(line)]
        parts.append("\n")
    return "".join(parts)


def _size(image: Image) -> tuple[int, int]:
    """Return width and height."""
    if isinstance(image, ColorImage):
        image = image.colors
    height, width = (image.labels if isinstance(image, IndexedImage) else image).shape[:2]
    return width, height


def _pixels(image: Image) -> Pixels:
    return image if isinstance(image, np.ndarray) else image.pixels


def resized(pixels: Pixels, size: tuple[int, int]) -> Pixels:
    """Return pixels at another size (width, height): repeated if it is larger, else the mean of the light in each."""
    width, height = size
    is_larger = width >= pixels.shape[1] and height >= pixels.shape[0]
    return nearest(pixels, height, width) if is_larger else scaling.resized(pixels, width, height)


def _texts(entry: Entry, columns: int) -> tuple[str, str]:
    """Return the lines below an image: its caption, and the curve of its fit or nothing."""
    caption = printable(entry.caption)
    while cell_len(caption) > columns and (fact := _LAST_FACT.search(caption)):
        caption = caption[: fact.start()]
    return shortened(caption, columns, "…"), _curve(entry, columns)


def _curve(entry: Entry, columns: int) -> str:
    """Return the curve of the objective and the number of iterations, or the curve alone if that is all that fits."""
    values = objectives_of(entry.trace)
    drawn = curve(values, min(columns, _MAX_CURVE_COLUMNS))
    label = f" {len(values) - len(entry.trace)} iterations"  # each level begins with the objective before the first
    return f"{drawn}{label}" if drawn and len(drawn + label) <= columns else drawn


def _joined(texts: Sequence[str], columns: int) -> str:
    """Return texts side by side, each in a column of `columns` cells."""
    padded = [text + " " * (columns - cell_len(text)) for text in texts]
    return (" " * GAP_COLUMNS).join(padded).rstrip()


def _blocks_row(
    images: Sequence[Image],
    sizes: Sequence[tuple[int, int]],
    columns: int,
    cell: tuple[int, int],  # noqa: ARG001  as for `_graphics_row`
    capabilities: Capabilities,
) -> str:
    """Return images at their `sizes` as lines of half blocks, side by side in `columns` cells each."""
    true_color = capabilities.graphics is Graphics.TRUE_COLOR_BLOCKS
    drawn = [
        encode_blocks(resized(_pixels(image), size), true_color=true_color)
        for image, size in zip(images, sizes, strict=True)
    ]
    lines = []
    for row in range(max(map(len, drawn))):
        line = ""
        for of_image, (width, _) in zip(drawn, sizes, strict=True):
            line += (of_image[row] if row < len(of_image) else " " * width) + " " * (columns + GAP_COLUMNS - width)
        lines.append(line.rstrip(" ") + "\n")
    return "".join(lines)


def _graphics_row(
    images: Sequence[Image],
    sizes: Sequence[tuple[int, int]],
    columns: int,
    cell: tuple[int, int],
    capabilities: Capabilities,
) -> str:
    """Return images at their `sizes` by a graphics protocol, in `columns` cells each; the cursor ends below them.

    Empty lines make room first, so that nothing scrolls while an image is drawn.
    """
    n_rows = max(-(-height // cell[1]) for _, height in sizes)
    drawn = []
    for number, (image, size) in enumerate(zip(images, sizes, strict=True)):
        if capabilities.graphics is Graphics.SIXEL:
            shown = _sixel(image, size)
        else:
            is_exact = capabilities.cell_pixels is not None and size >= _size(image)
            shown = _kitty(image, size, None if is_exact else max(size[0] // cell[0], 1))
        drawn.append(f"\x1b7\x1b[{number * (columns + GAP_COLUMNS) + 1}G{shown}\x1b8")
    return "\n" * n_rows + f"\x1b[{n_rows}A" + "".join(drawn) + f"\x1b[{n_rows}B\r"


def _kitty(image: Image, size: tuple[int, int], columns: int | None) -> str:
    """Return an image by the kitty protocol, enlarged to `size`, or scaled to `columns` cells by the terminal."""
    width, height = max(size, _size(image))
    alpha = None if isinstance(image, np.ndarray) or image.alpha is None else nearest(image.alpha, height, width)
    if isinstance(image, IndexedImage):
        drawn: IndexedImage | ColorImage = IndexedImage(nearest(image.labels, height, width), image.palette, alpha)
    else:
        drawn = ColorImage.from_pixels(nearest(_pixels(image), height, width))
    return encode_kitty(encode_image(drawn, "png"), columns)


def _sixel(image: Image, size: tuple[int, int]) -> str:
    """Return an image at `size` as sixels: its own labels and palette, or those of a fit if it has more colours."""
    if isinstance(image, IndexedImage) and len(image.palette) <= MAX_COLORS:
        width, height = size
        visible = None if image.alpha is None else nearest(image.alpha, height, width) >= _OPAQUE
        return encode_sixel(nearest(image.labels, height, width), image.palette, visible)
    from gmmquant.api import quantize

    pixels = resized(_pixels(image), size)
    fit = quantize(pixels, MAX_COLORS, method="kmeans")
    return encode_sixel(fit.labels, fit.palette, pixels[..., 3] >= _OPAQUE if pixels.shape[2] == 4 else None)
