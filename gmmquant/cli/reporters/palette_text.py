"""Palettes as text: swatches with the hex code written on each, or the codes alone."""

from __future__ import annotations

from collections.abc import Sequence

from rich.text import Text

from gmmquant.colors.palette import over

# Columns of a swatch in addition to its code, " #aabbcc ", and of a code: the space after it.
_SWATCH_COLUMNS, _CODE_COLUMNS = 2, 1

# Relative luminance at which black and white have the same contrast: (Y + 0.05)^2 = 0.05 * 1.05.
_EVEN_LUMINANCE = 0.1791


def palette_text(colors: Sequence[str], columns: int, *, swatches: bool) -> Text:
    """Return the first of `colors`, as many as `columns` hold, at least one, and the number of the others.

    Colours are "#aabbcc", or "#aabbccdd" with alpha. `swatches` is whether the terminal shows colours.
    """
    n_shown = len(colors)
    more = ""
    while n_shown > 1 and columns_of(colors[:n_shown], swatches=swatches) + len(more) > columns:
        n_shown -= 1
        more = f"{' ' * swatches}+ {len(colors) - n_shown}"
    text = Text(end="")
    for color in colors[:n_shown]:
        text.append(f" {color} " if swatches else f"{color} ", style_of(color) if swatches else "")
    return text.append(more)


def columns_of(colors: Sequence[str], *, swatches: bool) -> int:
    """Return how many columns a palette of `colors` takes as a whole."""
    return sum(map(len, colors)) + len(colors) * (_SWATCH_COLUMNS if swatches else _CODE_COLUMNS)


def style_of(color: str) -> str:
    """Return the style of text on `color` ("#aabbcc"): black or white, whichever has the higher contrast.

    A colour with alpha is put on white. The contrast (WCAG 2.2) is at least 4.58. Black and white are the exact
    colours, not those of the terminal's theme.
    """
    color = over(color, 255)
    return f"{'#000000' if luminance(color) > _EVEN_LUMINANCE else '#ffffff'} on {color}"


def luminance(color: str) -> float:
    """Return the relative luminance of an sRGB colour "#aabbcc", 0 to 1."""
    levels = (int(color[i : i + 2], 16) / 255 for i in (1, 3, 5))
    red, green, blue = (c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in levels)
    return 0.2126 * red + 0.7152 * green + 0.0722 * blue
