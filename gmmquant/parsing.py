"""Texts as values: colours, sizes, seeds and numbers of colours. Imports no numpy."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence
from colorsys import hls_to_rgb
from numbers import Integral
from typing import cast

from gmmquant.errors import ParameterError
from gmmquant.models.scalar_validation import check_integer

Color = tuple[int, ...]  # red, green and blue, 0 to 255

MAX_K = 4096
AUTO = "auto"
MAX_SEEDS = 1000
_MAX_DIFFERENCE = 100  # in hundredths of the unit of OKLab: that of black and white

# Patterns of rare inputs are compiled when they are used.
_HEX_DIGITS = re.compile(r"#?((?:[0-9a-fA-F]{3}){1,2})")
_HEX_AND_ALPHA = re.compile(r"#(?:[0-9a-fA-F]{4}){1,2}")
_LEVEL, _OPAQUE = r"\s*([0-9]{1,3})\s*", r"\s*(?:1(?:\.0*)?|100(?:\.0*)?%)\s*"
_RGB = (
    rf"rgba?\((?:{_LEVEL},{_LEVEL},{_LEVEL}(?:,{_OPAQUE})?"
    rf"|\s*([0-9]{{1,3}})\s+([0-9]{{1,3}})\s+{_LEVEL}(?:/{_OPAQUE})?)\)"
)
_PER_CENT = r"([0-9]{1,3}(?:\.[0-9]{1,6})?)%"
_HSL = (
    rf"hsla?\(\s*([-+]?[0-9]{{1,4}}(?:\.[0-9]{{1,6}})?)(?:deg)?"
    rf"(?:\s*,\s*{_PER_CENT}\s*,\s*{_PER_CENT}\s*(?:,{_OPAQUE})?|\s+{_PER_CENT}\s+{_PER_CENT}\s*(?:/{_OPAQUE})?)\)"
)
# An alpha in a function of CSS: a fourth of several values with commas, or any after a slash.
_ALPHA_IN_FUNCTION = r"(?:(?:rgb|hsl)a?\((?:[^,()]*,){3}[^,()]*|[a-z-]+\([^()/]*/[^()]*)\)"
_OTHER_HEX = re.compile(r"(?:0[xX]|\$)([0-9a-fA-F]{6})")
# A colour, with anything in parentheses as in rgb(255, 0, 0), and the separator after it.
_ITEM = re.compile(r"((?:\([^()]*\)|[^\s,;])*)(\s*[,;]\s*|\s+|$)")
# A per cent, or a width and a height of which one may be missing.
_RESIZE = re.compile(r"([0-9]{1,6}(?:\.[0-9]{1,6})?)%|([0-9]{0,6})x([0-9]{0,6})", re.ASCII)
# Ranges of numbers as other programs have them.
_OTHER_RANGE = re.compile(r"([0-9]+)(?:\.\.\.?|:|[\u2010-\u2015])([0-9]+)")


def hex_codes(colors: object) -> tuple[str, ...]:
    """Return colours, as `colors_of` takes them, as `#rrggbb`, without repetitions, in their order."""
    return tuple(dict.fromkeys(map(hex_code, colors_of(colors))))


def colors_of(colors: object) -> Iterator[Color]:
    """Yield colours in their order: of a text, see `split_colors`, or of texts and of three integers each."""
    colors = colors.tolist() if hasattr(colors, "tolist") else colors
    if not isinstance(colors, Iterable):
        raise ParameterError(f"{colors!r} is not a list of colours; use one such as ['#1d3557', (255, 0, 0)]")
    for color in [colors] if isinstance(colors, str) else colors:
        if isinstance(color, str):
            yield from map(parse_color, split_colors(color))
        else:
            yield _color_of_numbers(color.tolist() if hasattr(color, "tolist") else color)


def _color_of_numbers(color: object) -> Color:
    is_color = isinstance(color, Sequence) and len(color) == 3 and all(isinstance(value, Integral) for value in color)
    if not is_color or not all(0 <= value <= 255 for value in cast("Color", color)):
        shown = shortened(repr(color))
        raise ParameterError(f"{shown} is not a colour; use a hex code, a name of CSS, or three integers up to 255")
    return tuple(map(int, cast("Color", color)))


def split_colors(text: str) -> list[str]:
    """Return the parts of a text of colours: between commas, semicolons or spaces, except within parentheses."""
    parts = []
    for part in _ITEM.finditer(text.strip()):
        parts.append(part[1])
        if not part[2]:
            break
    return parts


def hex_code(color: Iterable[int]) -> str:
    """Return an 8-bit colour as `#rrggbb`."""
    return "#" + bytes(map(int, color)).hex()


def with_alpha(codes: Sequence[str], alphas: Sequence[int] | None) -> list[str]:
    """Return colours `#rrggbb` with their alphas, if there are any: those below 255 become `#rrggbbaa`."""
    return [code if a == 255 else f"{code}{a:02x}" for code, a in zip(codes, alphas or [255] * len(codes), strict=True)]


def parse_color(text: str, other_names: Sequence[str] = ()) -> Color:
    """Return the colour of a hex code, `#rrggbb`, `#rgb` or without the sign, of a name of CSS, an `rgb()` or `hsl()`.

    If it is none of these, a `ParameterError` lists similar names, also of `other_names`.
    """
    color = parse_hex(text.strip()) or parse_color_name(text.strip()) or parse_rgb(text.strip())
    color = color or parse_hsl(text.strip())
    if color is None:
        from difflib import get_close_matches

        what = "a colour, a palette or a file" if other_names else "a colour"
        palettes = f", a palette ({', '.join(other_names)})" if other_names else ""
        remedy = f"use hex codes or names of CSS, as in #1a2b3c,#fff,red{palettes}"
        if near := get_close_matches(shortened(text.strip().lower()), [*other_names, *color_names()], 1, 0.65):
            remedy = f"did you mean {near[0]}?"
        if other := _OTHER_HEX.fullmatch(text.strip()):
            remedy = f"use #{other[1]}"
        elif _HEX_AND_ALPHA.fullmatch(text.strip()):
            remedy = f"a palette has no alpha: use {text.strip()[: 7 if len(text.strip()) == 9 else 4]}"
        elif text.strip().lower().startswith(("rgb(", "rgba(", "hsl(", "hsla(")):
            values = "a hue and two percentages" if text.strip()[0] in "hH" else "three integers from 0 to 255"
            example = "hsl(120,100%,50%)" if text.strip()[0] in "hH" else "rgb(255,0,0)"
            remedy = f"use {values}{', without alpha' * has_alpha(text.strip())}, as in {example}"
        raise ParameterError(f"{shortened(text)!r} is not {what}; {remedy}")
    return color


def parse_hex(text: str) -> Color | None:
    """Return the colour of `#rrggbb` or `#rgb`, with or without the sign; None if it is neither."""
    match = _HEX_DIGITS.fullmatch(text)
    if match is None:
        return None
    digits = match[1] if len(match[1]) == 6 else "".join(digit * 2 for digit in match[1])
    return tuple(bytes.fromhex(digits))


def parse_color_name(text: str) -> Color | None:
    """Return the colour of a name of CSS, in upper or lower case; None if there is no such name."""
    return parse_hex(color_names().get(text.lower(), ""))


def parse_rgb(text: str) -> Color | None:
    """Return the colour of `rgb(255, 0, 0)`, `rgb(255 0 0)` and the like of CSS, integers and opaque; None for others.

    The others may be inexact, as percentages are.
    """
    match = re.fullmatch(_RGB, text, re.IGNORECASE)
    color = tuple(int(level) for level in match.groups() if level) if match else None
    return color if color is None or max(color) <= 255 else None


def parse_hsl(text: str) -> Color | None:
    """Return the colour of an opaque `hsl(120, 100%, 50%)`, `hsl(120 100% 50%)` and the like of CSS; None for others.

    It is rounded to 8 bits, as browsers do.
    """
    match = re.fullmatch(_HSL, text, re.IGNORECASE)
    if match is None:
        return None
    hue, saturation, lightness = (float(value) for value in match.groups() if value)
    rgb = hls_to_rgb(hue / 360 % 1, min(lightness, 100) / 100, min(saturation, 100) / 100)
    return tuple(int(255 * value + 0.5) for value in rgb)


def has_alpha(text: str) -> bool:
    """Return whether a colour of CSS has an alpha, also an opaque one."""
    is_code = _HEX_AND_ALPHA.fullmatch(text) or (len(text) == 8 and _HEX_AND_ALPHA.fullmatch(f"#{text}"))
    return bool(is_code or text.lower() == "transparent" or re.fullmatch(_ALPHA_IN_FUNCTION, text, re.IGNORECASE))


def color_remedy(text: str) -> str:
    """Return what to write in a file instead of `text`, which is not a colour there."""
    if match := _OTHER_HEX.fullmatch(text):
        return f"write #{match[1]}"
    return "write #rrggbb, without alpha" if has_alpha(text) else "write #rrggbb"


def color_names() -> dict[str, str]:
    """Return the hex codes of the names of CSS."""
    from PIL import ImageColor  # few runs name colours

    # Pillow replaces the code of a name by its colour when it is used first.
    codes = ImageColor.colormap.items()
    return {name: code if isinstance(code, str) else hex_code(code[:3]) for name, code in codes}


def shortened(text: str) -> str:
    """Return a text of at most 40 characters for a message."""
    return text if len(text) <= 40 else text[:37] + "..."


def resized_size(resize: str, width: int, height: int) -> tuple[int, int]:
    """Return the width and the height, at least 1, of an image of `width` x `height` after `Settings.resize`."""
    if not isinstance(resize, str):
        raise ParameterError(f"resize = {resize!r} is not a size; use a text such as '320x240', '320x' or '50%'")
    match = _RESIZE.fullmatch(resize)
    if match is None or (limits := [float(text) for text in match.groups() if text]) == [] or min(limits) <= 0:
        number = resize.strip()
        sizes = f"{number}x (the width), x{number} or {number}%" if re.fullmatch("[1-9][0-9]{0,5}", number) else ""
        sizes += f", or {number}00% for {number} times the size" * (len(number) == 1 and bool(sizes))
        sizes = sizes or "320x240, 320x, x240 or 50%"
        raise ParameterError(f"resize = {shortened(resize)!r} is not a size; use {sizes}")
    per_cent, new_width, new_height = match.groups()
    sides = ((new_width, width), (new_height, height))
    scale = float(per_cent) / 100 if per_cent else min(int(text) / side for text, side in sides if text)
    return max(int(scale * width + 0.5), 1), max(int(scale * height + 0.5), 1)


def parse_seeds(text: str) -> range:
    """Return the seeds of a text such as "3" or "1-5"; raise a ValueError for another."""
    match = re.fullmatch(r"\s*([0-9]{1,18})(?:-([0-9]{1,18}))?\s*", text)
    if match is None:
        raise ValueError(f"{text!r} is not a seed; use a number such as 3, or a range such as 1-5")
    first, last = int(match[1]), int(match[2] or match[1])
    if not 0 <= last - first < MAX_SEEDS:
        raise ValueError(f"{text!r} is not a range of 1 to {MAX_SEEDS} seeds; use one such as 1-5")
    return range(first, last + 1)


def check_k(k: object) -> int:
    """Return `k`, a number of colours from 1 to 4096, as an int."""
    number = check_integer("k", k, 1)
    if number > MAX_K:
        raise ParameterError(f"k = {number} is too large; use at most {MAX_K}")
    return number


def parse_k(texts: Iterable[str]) -> list[int | str]:
    """Parse texts such as "2,3", "5-8" and "auto:2" into numbers of colours, without repetitions, in their order."""
    return list(dict.fromkeys(k for text in texts for part in text.split(",") for k in _parse_k_part(part)))


def _parse_k_part(part: str) -> Iterator[int | str]:
    if part.strip().startswith(AUTO):
        yield parse_auto(part.strip())
        return
    numbers = re.fullmatch(r"(-?[0-9]+)(?:-([0-9]+))?", part.strip())
    if numbers is None:
        if other := _OTHER_RANGE.fullmatch(part.strip()):
            raise ParameterError(f"k = {part!r} is not a range; did you mean {other[1]}-{other[2]}?")
        raise ParameterError(
            f"k = {part!r} is not a number of colours; use integers from 1 to {MAX_K} (2 3 7, 2,3,7 or 2-8), auto or "
            "auto:2"
        )
    low, high = check_k(int(numbers[1])), check_k(int(numbers[2] or numbers[1]))
    if low > high:
        raise ParameterError(f"k = {part} is an empty range; write the smaller number first, as in {high}-{low}")
    yield from range(low, high + 1)


def parse_auto(text: object) -> str:
    """Return "auto", or "auto:DE" with DE in its shortest form."""
    bound = re.fullmatch(r"auto:([0-9]{1,3}(?:\.[0-9]{1,3})?)", text) if isinstance(text, str) else None
    if text == AUTO:
        return AUTO
    if bound is None or not 0 < float(bound[1]) <= _MAX_DIFFERENCE:
        raise ParameterError(
            f"k = {text!r} is not a choice of k; use auto, or auto:DE with a mean OKLab difference DE from 0.001 to "
            f"{_MAX_DIFFERENCE}, as in auto:2"
        )
    return f"{AUTO}:{float(bound[1]):g}"


def largest_of(ks: Iterable[int | str]) -> int:
    """Return the largest number of colours in `ks`; 0 if all of them are chosen automatically."""
    return max((k for k in ks if isinstance(k, int)), default=0)


def largest_difference(k: int | str) -> float | None:
    """Return the bound DE of the k "auto:DE", in hundredths of the unit of OKLab; None for a number and for "auto"."""
    return float(k.partition(":")[2]) if isinstance(k, str) and k != AUTO else None


def in_names(k: int | str) -> str:
    """Return `k` as in the names of files: 7, auto, and auto2 for "auto:2", since some systems refuse colons."""
    return str(k).replace(":", "")
