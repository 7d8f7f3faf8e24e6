"""Columns of text: the layout of the tables."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from rich.cells import cell_len
from rich.text import Text

_GAP = "  "


class Column(NamedTuple):
    """A heading, and a cell for each row; `is_text` cells are aligned at the left, others at the right."""

    heading: str
    cells: Sequence[str]
    is_text: bool = False

    @property
    def width(self) -> int:
        """The terminal columns of the widest cell or of the heading."""
        return max(map(cell_len, (self.heading, *self.cells)))

    def aligned(self, cell: str) -> str:
        """Return a cell, or the heading, with the width of the column."""
        spaces = " " * (self.width - cell_len(cell))
        return f"{cell}{spaces}" if self.is_text else f"{spaces}{cell}"


def width_of(columns: Sequence[Column]) -> int:
    """Return the width of columns side by side."""
    return sum(column.width for column in columns) + len(_GAP) * (len(columns) - 1)


def heading_line(columns: Sequence[Column], *titles: str) -> Text:
    """Return the line of the headings, with further `titles` after those of the columns."""
    return Text(_GAP.join([*(column.aligned(column.heading) for column in columns), *titles]), style="bold", end="")


def rows_of(columns: Sequence[Column]) -> list[Text]:
    """Return the line of each row."""
    n_rows = len(columns[0].cells)
    return [Text(_GAP.join(c.aligned(c.cells[row]) for c in columns), end="") for row in range(n_rows)]


def tables(columns: Sequence[Column], width: int) -> list[list[Column]]:
    """Divide columns among as few tables of at most `width` as possible; each begins with the first column.

    They are as equal in width as the order of the columns allows.
    """
    found = _filled(columns, width)
    narrower = width
    while narrower > 0 and len(parts := _filled(columns, narrower := narrower - 1)) == len(found) > 1:
        found = parts
    return found


def _filled(columns: Sequence[Column], width: int) -> list[list[Column]]:
    """Divide columns among tables of at most `width`, each with as many as fit, but at least one after the first."""
    first, *others = columns
    parts = [[first]]
    for column in others:
        if len(parts[-1]) > 1 and width_of([*parts[-1], column]) > width:
            parts.append([first])
        parts[-1].append(column)
    return parts


def shortened(name: str, width: int, mark: str) -> str:
    """Return `name` with its beginning replaced by `mark` if it is wider than `width`: the end tells names apart."""
    if cell_len(name) <= width:
        return name
    while name and cell_len(mark + name) > width:
        name = name[1:]
    return mark + name
