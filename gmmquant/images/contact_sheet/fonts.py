"""The fonts of raster images, and text that they can show.

OpenCV 5 contains a font with Latin, Greek, Cyrillic and Chinese letters, the same on every machine. Pillow's, which is
used with OpenCV 4, has ASCII letters. Characters that a font lacks are shown as escape codes.
"""

from __future__ import annotations

import unicodedata
from functools import cache, lru_cache
from typing import Any, Protocol

import cv2
import numpy as np
import numpy.typing as npt
from PIL import Image, ImageDraw, ImageFont

from gmmquant.system.printable import escaped

_REGULAR, _BOLD = 400, 600  # weights of the font
_ELLIPSIS = "..."


class Font(Protocol):
    """A font: which characters it has, and how wide a line of text is."""

    def covers(self, character: str) -> bool:
        """Return whether the font has a character."""

    def width(self, text: str, size: int, *, bold: bool = False) -> float:
        """Return the width of a line of text in pixels, for a font size in pixels."""


class RasterFont(Font, Protocol):
    """A font that draws into arrays."""

    def draw(
        self, canvas: npt.NDArray[np.uint8], x: int, y: int, text: str, size: int, color: str, *, bold: bool
    ) -> None:
        """Draw a line of text from x on, with its baseline at y, into `canvas` (height, width, 3), RGB."""


class OpenCVFont:
    """The font "sans" of OpenCV 5, which takes its Chinese characters from a second one."""

    def __init__(self) -> None:
        self._face: Any = cv2.FontFace("sans")
        self._unknown = self._shape("??")  # what is drawn for characters that it lacks
        self.covers = cache(self._covers)
        self._width = lru_cache(1 << 14)(self._measured)

    def width(self, text: str, size: int, *, bold: bool = False) -> float:
        """Return the width of a line of text in pixels, for a font size in pixels."""
        return self._width(text, size, bold)

    def draw(
        self, canvas: npt.NDArray[np.uint8], x: int, y: int, text: str, size: int, color: str, *, bold: bool
    ) -> None:
        """Draw a line of text from x on, with its baseline at y, into `canvas` (height, width, 3), RGB."""
        rgb = (*bytes.fromhex(color[1:]), 0)
        # Only the rows of the text are passed on: OpenCV measures and wraps within the array.
        top, bottom = max(y - 2 * size, 0), min(y + size, len(canvas))
        cv2.putText(canvas[top:bottom], text, (x, y - top), rgb, self._face, size, _BOLD if bold else _REGULAR)

    def _covers(self, character: str) -> bool:
        return character == "?" or not np.array_equal(self._shape(2 * character), self._unknown)

    def _shape(self, text: str) -> npt.NDArray[np.uint8]:
        image = np.zeros((40, 120, 3), dtype=np.uint8)
        cv2.putText(image, text, (4, 30), (255, 255, 255, 0), self._face, 24, _REGULAR)
        return image

    def _measured(self, text: str, size: int, bold: bool) -> float:
        _, _, width, _ = cv2.getTextSize((0, 0), text, (0, 0), self._face, size, _BOLD if bold else _REGULAR)
        return float(width)


class PillowFont:
    """The font that Pillow contains, which has ASCII letters; bold text is drawn with a thin outline."""

    def covers(self, character: str) -> bool:
        """Return whether the font has a character."""
        return character.isascii()

    def width(self, text: str, size: int, *, bold: bool = False) -> float:
        """Return the width of a line of text in pixels, for a font size in pixels."""
        return float(_pillow_font(size).getlength(text)) + 0.05 * size * bold

    def draw(
        self, canvas: npt.NDArray[np.uint8], x: int, y: int, text: str, size: int, color: str, *, bold: bool
    ) -> None:
        """Draw a line of text from x on, with its baseline at y, into `canvas` (height, width, 3), RGB."""
        image = Image.fromarray(canvas)
        draw = ImageDraw.Draw(image)
        draw.text(
            (x, y), text, fill=color, font=_pillow_font(size), anchor="ls", stroke_width=0.025 * size if bold else 0
        )
        canvas[:] = np.asarray(image)


@cache
def raster_font() -> RasterFont:
    """Return the font of raster images: that of OpenCV 5, or that of Pillow."""
    return OpenCVFont() if hasattr(cv2, "FontFace") else PillowFont()


@cache
def _pillow_font(size: int) -> Any:
    return ImageFont.load_default(size)


def shown(text: str, font: Font) -> str:
    """Return `text` as `font` can show it: composed, with characters that it lacks or that are invisible escaped."""
    composed = unicodedata.normalize("NFC", text)
    return "".join(c if c.isprintable() and font.covers(c) else escaped(c) for c in composed)


def shortened(text: str, font: Font, size: int, width: float, *, bold: bool = False) -> str:
    """Return `text` if it is at most `width` pixels wide; otherwise its start and its end, with dots between them.

    The end is at least as long as the start: names in a folder often differ in their last characters only.
    """
    if font.width(text, size, bold=bold) <= width:
        return text
    low, high = 0, len(text) - 1  # number of characters that are kept
    while low < high:
        middle = (low + high + 1) // 2
        if font.width(_ends(text, middle), size, bold=bold) <= width:
            low = middle
        else:
            high = middle - 1
    return _ends(text, low)


def _ends(text: str, n_kept: int) -> str:
    return text[: n_kept // 2].rstrip() + _ELLIPSIS + text[len(text) - (n_kept + 1) // 2 :].lstrip()
