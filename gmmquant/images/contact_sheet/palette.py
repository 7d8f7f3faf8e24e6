"""The palette below a panel: swatches with hex codes and weights, and a strip of the colours that have no room."""

from __future__ import annotations

from typing import NamedTuple

from gmmquant.colors.palette import over
from gmmquant.images.contact_sheet.drawing import Rectangle, Text
from gmmquant.images.contact_sheet.fonts import Font

_SIZE, _LINE = 16, 27  # of texts, and between their lines
_SWATCH_WIDTH, _SWATCH_HEIGHT = 26, 19
_TEXT_GAP, _COLUMN_GAP = 7, 8
_WIDEST, _WIDEST_WITH_ALPHA = "#dddddd  88.8%", "#dddddddd  88.8%"
_MAX_LINES, _MAX_LINES_OF_ONE = 4, 7  # of texts, and of texts in a single column
_CHIP, _MAX_CHIP_WIDTH, _MAX_STRIP_LINES = 10, 20, 12
_LIGHT, _DARK = 255, 204  # of the squares that alpha shows
_INK, _GREY, _FRAME = "#333333", "#666666", "#d4d4d4"


class Palette(NamedTuple):
    """Colours as `#rrggbb`, or `#rrggbbaa` with alpha, and their weights, which sum to 1."""

    colors: tuple[str, ...]
    weights: tuple[float, ...]


def palette_items(palette: Palette, x: int, y: int, width: int, font: Font) -> tuple[list[Rectangle | Text], int]:
    """Return the items of a palette with its upper left corner at (x, y), and where it ends.

    As many colours have a swatch with hex code and weight as fit into a few lines. The others are chips of a strip, up
    to a few hundred, and their number stands at the end of it.
    """
    texts = [f"{color}  {_share(weight)}" for color, weight in zip(palette.colors, palette.weights, strict=True)]
    widest = _WIDEST_WITH_ALPHA if any(len(color) == len("#rrggbbaa") for color in palette.colors) else _WIDEST
    n_columns = max(width // (round(font.width(widest, _SIZE)) + _SWATCH_WIDTH + _TEXT_GAP + _COLUMN_GAP), 1)
    n_lines = _MAX_LINES if n_columns > 1 else _MAX_LINES_OF_ONE
    n_texts = len(texts) if len(texts) <= n_columns * n_lines else n_columns * (n_lines - 1)
    items: list[Rectangle | Text] = []
    pitch = width // n_columns
    for number, (color, text) in enumerate(zip(palette.colors[:n_texts], texts, strict=False)):
        left, top = x + number % n_columns * pitch, y + number // n_columns * _LINE
        items += [
            Rectangle(left - 1, top - 1, _SWATCH_WIDTH + 2, _SWATCH_HEIGHT + 2, _FRAME),
            *_filled(left, top, _SWATCH_WIDTH, _SWATCH_HEIGHT, color),
            Text(left + _SWATCH_WIDTH + _TEXT_GAP, top + 15, text, _SIZE, _INK),
        ]
    y += -(-n_texts // n_columns) * _LINE
    others = palette.colors[n_texts:]
    if not others:
        return items, y
    strip, y = _strip_items(others, x, y + 2, width, font)
    return items + strip, y


def _strip_items(colors: tuple[str, ...], x: int, y: int, width: int, font: Font) -> tuple[list[Rectangle | Text], int]:
    """Return chips of `colors` in lines, each in a frame, and at the end of the last one their number."""
    label = f"+ {len(colors)}"
    room = width - round(font.width(label, _SIZE)) - 12
    n_lines = min(-(-len(colors) * _CHIP // room), _MAX_STRIP_LINES)
    chip = min(max(room * n_lines // len(colors), _CHIP), _MAX_CHIP_WIDTH)
    in_line = -(-len(colors) // n_lines) if n_lines < _MAX_STRIP_LINES else room // chip
    while in_line * chip > room:
        chip -= 1
    height = _SWATCH_HEIGHT if n_lines == 1 else _CHIP
    n_shown = min(len(colors), in_line * n_lines)
    items: list[Rectangle | Text] = []
    for start in range(0, n_shown, in_line):  # all before the chips, since frames of lines overlap
        top, n_chips = y + start // in_line * height, min(in_line, n_shown - start)
        items.append(Rectangle(x - 1, top - 1, n_chips * chip + 2, height + 2, _FRAME))
    for number, color in enumerate(colors[:n_shown]):
        left, top = x + number % in_line * chip, y + number // in_line * height
        items += _filled(left, top, chip, height, color)
    bottom = y + -(-n_shown // in_line) * height
    items.append(Text(x + in_line * chip + 10, bottom - (4 if n_lines == 1 else 1), label, _SIZE, _GREY))
    return items, bottom + 8


def _filled(x: int, y: int, width: int, height: int, color: str) -> list[Rectangle]:
    """Return a rectangle of `color`; with alpha, one on four squares of light and dark grey."""
    filled = [Rectangle(x, y, width, height, over(color, _LIGHT))]
    if len(color) == len("#rrggbbaa"):
        right, lower, dark = width // 2, height // 2, over(color, _DARK)
        filled.append(Rectangle(x + right, y, width - right, lower, dark))
        filled.append(Rectangle(x, y + lower, right, height - lower, dark))
    return filled


def _share(weight: float) -> str:
    """Return a share in per cent; one that rounds to 0 differs from that of a colour without pixels."""
    return f"{weight:.1%}" if not 0 < weight < 0.0005 else "<0.1%"
