"""A drawing as plain data: rectangles, pictures and texts on a white page. The backends turn it into files."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import numpy.typing as npt


class Rectangle(NamedTuple):
    """A filled rectangle, in pixels from the upper left corner of the page; `fill` is `#rrggbb`."""

    x: int
    y: int
    width: int
    height: int
    fill: str


class Picture(NamedTuple):
    """Pixels (height, width, 3), uint8, each of which covers a pixel of the page, from (x, y) on."""

    x: int
    y: int
    pixels: npt.NDArray[np.uint8]


class Text(NamedTuple):
    """A line of text from x on; y is its baseline, `size` its font size in pixels."""

    x: int
    y: int
    text: str
    size: int
    color: str
    bold: bool = False


Item = Rectangle | Picture | Text


class Drawing(NamedTuple):
    """A page of `width` and `height` pixels, and its items; a later item covers an earlier one."""

    width: int
    height: int
    items: tuple[Item, ...]
