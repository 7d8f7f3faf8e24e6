"""The layout of a contact sheet: rows of panels with captions and palettes become a drawing."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from statistics import median_low
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from gmmquant.images.contact_sheet.drawing import Drawing, Item, Picture, Rectangle, Text
from gmmquant.images.contact_sheet.fonts import Font, shortened, shown
from gmmquant.images.contact_sheet.palette import Palette, palette_items
from gmmquant.images.contact_sheet.scaling import panel_size, to_panel
from gmmquant.images.scaling import resized

# Pixels of the page. At 2,000 pixels it is 17 cm wide with 300 pixels per inch, and its texts have 6 to 8 points.
_PAGE_WIDTH = 2000
_MARGIN, _GAP, _ROW_GAP, _FOOTER_HEIGHT = 48, 24, 44, 100
_MAX_HEIGHT, _MIN_HEIGHT = 420, 200  # of panels; below the smaller one, a row is broken into lines
_MIN_CELL_WIDTH = 292

_NAME_SIZE, _DETAIL_SIZE, _TITLE_SIZE, _CAPTION_SIZE, _FOOTER_SIZE = 26, 18, 22, 18, 16
_TITLE_LINE, _CAPTION_LINE, _FOOTER_LINE = 32, 25, 22
_INK, _GREY, _FRAME, _EMPTY = "#222222", "#666666", "#d4d4d4", "#f3f3f3"


class Panel(NamedTuple):
    """An image (h, w, 3 or 4), uint8, or None if there is none, with a title, captions, and the palette below it."""

    pixels: npt.NDArray[np.uint8] | None
    title: str
    captions: tuple[str, ...] = ()
    palette: Palette | None = None


class Row(NamedTuple):
    """The panels of one image, all of its size (width, height), with its name and details."""

    name: str
    details: str
    size: tuple[int, int]
    panels: tuple[Panel, ...]

    def compact(self) -> Row:
        """Return a copy with images that are not larger than the largest panel: a few megabytes."""
        width, height = panel_size(*self.size, _PAGE_WIDTH, _MAX_HEIGHT)

        def small(panel: Panel) -> Panel:
            if panel.pixels is None or width * height >= panel.pixels[..., 0].size:
                return panel
            return panel._replace(pixels=resized(panel.pixels, width, height))

        return self._replace(panels=tuple(small(panel) for panel in self.panels))


class _Grid(NamedTuple):
    """Number of cells in a line of a row, the width of a cell, and the number of rows side by side."""

    n_columns: int
    cell_width: int
    n_rows: int

    @property
    def row_width(self) -> int:
        return self.n_columns * (self.cell_width + _GAP) - _GAP

    @property
    def page_width(self) -> int:
        return 2 * _MARGIN + self.n_rows * (self.row_width + _ROW_GAP) - _ROW_GAP


def lay_out(rows: Sequence[Row], footer: str, font: Font, max_aspect: float = math.inf) -> list[Drawing]:
    """Return the pages of a sheet: the rows below each other, their panels in lines of equal cells.

    Rows of few panels stand side by side where the page would be higher than wide. There is one page, unless it would
    be more than `max_aspect` times as high as wide: then all have this aspect ratio, and a row that is not higher stays
    in one piece.
    """
    grid = _grid(rows)
    most = max_aspect * grid.page_width
    foot = list(_lines(footer.split(), font, grid.page_width - 2 * _MARGIN, _FOOTER_SIZE, separator=" "))
    foot_height = _FOOTER_HEIGHT + _FOOTER_LINE * max(len(foot) - 1, 0)
    pages: list[list[Item]] = [[]]
    y = _MARGIN
    for start in range(0, len(rows), grid.n_rows):
        items, height = _band_items(rows[start : start + grid.n_rows], grid, font)
        if y + height + foot_height > most and pages[-1]:
            pages.append([])
            y = _MARGIN
        pages[-1] += [item._replace(y=item.y + y) for item in items]
        y += height + _ROW_GAP
    end = y + foot_height - _ROW_GAP if len(pages) == 1 else max(round(most), y + foot_height - _ROW_GAP)
    baselines = range(end - _MARGIN - _FOOTER_LINE * (len(foot) - 1), end, _FOOTER_LINE)
    texts = [Text(_MARGIN, y, line, _FOOTER_SIZE, _GREY) for y, line in zip(baselines, foot, strict=False)]
    return [Drawing(grid.page_width, end, (*items, *texts)) for items in pages]


def _grid(rows: Sequence[Row]) -> _Grid:
    """Return the grid that suits most rows, as all lines of a sheet have the same cells."""
    n_columns = max(median_low(_preferred_columns(row) for row in rows), 1)
    grid = _with_cells(rows, n_columns, 1)
    for n_rows in range(2, len(rows) + 1):
        if math.ceil(len(rows) / grid.n_rows) * grid.cell_width <= grid.page_width or not all(
            _is_readable(row, n_columns, n_rows) for row in rows
        ):
            break
        grid = _with_cells(rows, n_columns, n_rows)
    return grid


def _with_cells(rows: Sequence[Row], n_columns: int, n_rows: int) -> _Grid:
    widest = max(panel_size(*row.size, _PAGE_WIDTH, _MAX_HEIGHT)[0] for row in rows)
    return _Grid(n_columns, max(min(_cell_width(n_columns, n_rows), widest), _MIN_CELL_WIDTH), n_rows)


def _preferred_columns(row: Row) -> int:
    """Return the most panels in a line that are not too low, divided evenly over the lines."""
    most = max((n for n in range(2, len(row.panels) + 1) if _is_readable(row, n)), default=1)
    n_lines = math.ceil(len(row.panels) / most)
    return math.ceil(len(row.panels) / n_lines)


def _is_readable(row: Row, n_columns: int, n_rows: int = 1) -> bool:
    """Return whether the panels of a row are neither too narrow nor too low beside the others of a line."""
    width, height = row.size
    cell_width = _cell_width(n_columns, n_rows)
    return cell_width >= _MIN_CELL_WIDTH and cell_width * height / width >= min(_MIN_HEIGHT, height)


def _cell_width(n_columns: int, n_rows: int) -> int:
    row_width = (_PAGE_WIDTH - 2 * _MARGIN - (n_rows - 1) * _ROW_GAP) // n_rows
    return (row_width - (n_columns - 1) * _GAP) // n_columns


def _band_items(rows: Sequence[Row], grid: _Grid, font: Font) -> tuple[list[Item], int]:
    """Return the items of rows side by side that start at y = 0, and the height of the highest."""
    items: list[Item] = []
    highest = 0
    for number, row in enumerate(rows):
        placed, height = _row_items(row, grid, font)
        items += [item._replace(x=item.x + number * (grid.row_width + _ROW_GAP)) for item in placed]
        highest = max(highest, height)
    return items, highest


def _row_items(row: Row, grid: _Grid, font: Font) -> tuple[list[Item], int]:
    """Return the items of a row that starts at y = 0, and its height."""
    items: list[Item] = []
    room = grid.row_width
    details = shortened(shown(row.details, font), font, _DETAIL_SIZE, room)
    beside = font.width(details, _DETAIL_SIZE) + _GAP
    # The details stand beside a name of usual length, and below it on a narrow page.
    below = room - beside < min(0.6 * room, font.width(shown(row.name, font), _NAME_SIZE, bold=True))
    name = shortened(shown(row.name, font), font, _NAME_SIZE, room if below else room - beside, bold=True)
    y = _NAME_SIZE
    items.append(Text(_MARGIN, y, name, _NAME_SIZE, _INK, bold=True))
    if below:
        y += _CAPTION_LINE + 4
        items.append(Text(_MARGIN, y, details, _DETAIL_SIZE, _GREY))
    else:
        x = _MARGIN + round(font.width(name, _NAME_SIZE, bold=True)) + _GAP
        items.append(Text(x, y, details, _DETAIL_SIZE, _GREY))
    y += 18
    size = panel_size(*row.size, grid.cell_width, _MAX_HEIGHT)
    for start in range(0, len(row.panels), grid.n_columns):
        bottom = y
        for column, panel in enumerate(row.panels[start : start + grid.n_columns]):
            x = _MARGIN + column * (grid.cell_width + _GAP)
            placed, end = _panel_items(panel, x, y, size, grid.cell_width, font)
            items += placed
            bottom = max(bottom, end)
        y = bottom + _GAP
    return items, y - _GAP


def _panel_items(
    panel: Panel, x: int, y: int, size: tuple[int, int], cell_width: int, font: Font
) -> tuple[list[Item], int]:
    """Return the items of a panel with its upper left corner at (x, y), and where it ends."""
    width, height = size
    # A frame around the image, as many images are white at their edges.
    items: list[Item] = [Rectangle(x - 1, y - 1, width + 2, height + 2, _FRAME)]
    if panel.pixels is None:
        items.append(Rectangle(x, y, width, height, _EMPTY))
    else:
        items.append(Picture(x, y, to_panel(panel.pixels, width, height)))
    y += height + _TITLE_LINE
    title = shortened(shown(panel.title, font), font, _TITLE_SIZE, cell_width, bold=True)
    items.append(Text(x, y, title, _TITLE_SIZE, _INK, bold=True))
    y += 2
    for line in _lines(panel.captions, font, cell_width, _CAPTION_SIZE, separator=", "):
        y += _CAPTION_LINE
        items.append(Text(x, y, line, _CAPTION_SIZE, _GREY))
    y += 15
    if panel.palette is not None:
        placed, y = palette_items(panel.palette, x, y, cell_width, font)
        items += placed
    return items, y


def _lines(parts: Sequence[str], font: Font, width: float, size: int, separator: str) -> Iterator[str]:
    """Yield lines of at most `width` pixels that hold the parts, a separator between those of a line."""
    line = ""
    for part in (shown(part, font) for part in parts):
        longer = f"{line}{separator}{part}" if line else part
        if line and font.width(longer, size) > width:
            yield shortened(line, font, size, width)
            longer = part
        line = longer
    if line:
        yield shortened(line, font, size, width)
