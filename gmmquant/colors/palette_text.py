"""Palettes as text: hex codes, GIMP's GPL, JASC-PAL and JSON.

Sources: GIMP's developer documentation ("GPL palette format"); paint.net's documentation ("Working with Palettes") for
hex codes of eight digits.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from typing import Any

from gmmquant.colors.palette import NamedPalette, Swatch
from gmmquant.errors import PaletteFileError
from gmmquant.parsing import (
    Color,
    color_remedy,
    hex_code,
    parse_color_name,
    parse_hex,
    parse_hsl,
    parse_rgb,
    shortened,
    split_colors,
)

SCHEMA = "gmmquant-palette/1"

_GPL_COLUMNS = 16
_RGB_LINE = re.compile(r"\s*([0-9]{1,3})\s+([0-9]{1,3})\s+([0-9]{1,3})(?:\s+(.*)|$)")
_GPL_FIELD = re.compile(r"\w+:")
_OPAQUE_HEX = re.compile(r"#(?:([0-9a-fA-F]{6})[fF]{2}|([0-9a-fA-F]{3})[fF])")
_COMMENT = re.compile(r"//|#(?=[\s#]|$)")
_OPAQUE_AND_HEX_DIGITS = re.compile(r"[fF]{2}([0-9a-fA-F]{6})")
_ALPHA_AND_NAME = re.compile(r"([0-9]+)(?:\s+(.*)|$)")


# --- writing ----------------------------------------------------------------------------------------------------------


def encode_hex(palette: NamedPalette) -> bytes:
    """Return a palette as one hex code a line."""
    return "".join(hex_code(color) + "\n" for color in palette.colors).encode()


def encode_json(palette: NamedPalette) -> bytes:
    """Return a palette as JSON, with the names and the exact shares of its colours."""
    entries: list[dict[str, Any]] = [{"hex": hex_code(color), "rgb": color.tolist()} for color in palette.colors]
    entries = [entry | ({"name": name} if name else {}) for entry, name in zip(entries, palette.names, strict=True)]
    if palette.shares is not None:
        entries = [entry | {"share": share} for entry, share in zip(entries, palette.shares.tolist(), strict=True)]
    lines = ",\n  ".join(json.dumps(entry) for entry in entries)
    head = f' "schema": {json.dumps(SCHEMA)},\n "name": {json.dumps(palette.name)},\n'
    return f'{{\n{head} "colors": [\n  {lines}\n ]\n}}\n'.encode()


def encode_gpl(palette: NamedPalette) -> bytes:
    """Return a palette as GIMP writes it."""
    head = f"GIMP Palette\nName: {palette.name}\nColumns: {min(len(palette.colors), _GPL_COLUMNS)}\n#\n"
    lines = (
        f"{red:3} {green:3} {blue:3}\t{caption}\n"
        for (red, green, blue), caption in zip(palette.colors.tolist(), palette.captions, strict=True)
    )
    return (head + "".join(lines)).encode()


def encode_jasc(palette: NamedPalette) -> bytes:
    """Return a palette as JASC-PAL."""
    lines = [f"{red} {green} {blue}" for red, green, blue in palette.colors.tolist()]
    return "".join(f"{line}\r\n" for line in ("JASC-PAL", "0100", str(len(lines)), *lines)).encode()


# --- reading ----------------------------------------------------------------------------------------------------------


def is_text(data: bytes, *beginnings: bytes) -> bool:
    """Return whether data are text with one of `beginnings`, if there are any."""
    return b"\0" not in data and bool(data.strip()) and data.startswith(beginnings or b"")


def text_of(data: bytes) -> str:
    """Return data as text."""
    try:
        return data.decode("utf-8")
    except UnicodeDecodeError:  # names in an older encoding; the colours are ASCII in any
        return data.decode("latin-1")


def read_hex(data: bytes) -> Iterator[Swatch]:
    """Yield the colours of hex codes, and of names, `rgb()` and `hsl()` of CSS.

    Comments are after "//" and a "#" that begins no code.
    After ";" are colours or a comment, see `_without_comment`. After a comment that names paint.net, codes of eight
    digits begin with alpha.
    """
    is_paint_net = False
    for number, line in _lines(data):
        is_paint_net = is_paint_net or "paint.net" in line.lower()
        codes = _without_comment(number, _COMMENT.split(line, maxsplit=1)[0], is_paint_net)
        for word in split_colors(codes) if codes.strip() else ():
            if not word:  # a comma at the end
                continue
            color = _color_of_word(word, is_paint_net)
            if color is None:
                raise no_color(f"line {number}", word)
            yield Swatch(color)


def _without_comment(number: int, line: str, is_paint_net: bool) -> str:
    """Return a line of a hex list without the comment after a ";", which separates colours if all after it are codes.

    A `PaletteFileError` is raised where a ";" can be either, as colours would be lost.
    """
    before, semicolon, rest = line.partition(";")
    if not semicolon:
        return line
    after = split_colors(rest.strip(" \t,;"))
    last = next((word for word in reversed(split_colors(before)) if word), "")
    codes = [word for word in after if _is_code(word, last, is_paint_net)]
    if not last:  # a whole line is a comment, but lines of codes alone can be a table whose first cells are empty
        if codes != after or is_paint_net:
            return ""
    else:
        joined = not (before[-1:].isspace() or rest[:1].isspace())
        if all(_color_of_word(word, is_paint_net) for word in after) and (joined or len(codes) == len(after)):
            return line.replace(";", ",")
        if not codes:
            return before
    raise PaletteFileError(
        f"line {number}: {shown(line.strip())} can be colours or a comment; write commas between colours, and // "
        "before a comment"
    )


def _is_code(word: str, last: str, is_paint_net: bool) -> bool:
    """Return whether a word after a ";" is surely a hex code: it has a sign, six digits, or as many as `last`.

    Three digits alone can be a number.
    """
    is_whole = word.startswith("#") or len(word) in (6, 8) or len(word) == len(last)
    return is_whole and not parse_color_name(word) and _color_of_word(word, is_paint_net) is not None


def _color_of_word(word: str, is_paint_net: bool) -> Color | None:
    """Return the colour of a word of a hex list; None if it is not one."""
    match = _OPAQUE_AND_HEX_DIGITS.fullmatch(word) if is_paint_net else None
    return parse_opaque_hex(match[1] if match else word) or parse_color_name(word) or parse_rgb(word) or parse_hsl(word)


def read_gpl(data: bytes) -> Iterator[Swatch]:
    """Yield the colours of a palette of GIMP with their names; of Aseprite also with an alpha, which is opaque."""
    has_alpha = False
    for number, line in _lines(data):
        has_alpha = has_alpha or "".join(line.split()) == "Channels:RGBA"
        if number > 1 and line.strip() and not line.startswith("#") and not _GPL_FIELD.match(line):
            color, name = _rgb_of_line(number, line)
            if has_alpha and (match := _ALPHA_AND_NAME.match(name)):
                if int(match[1]) != 255:
                    reason = f"line {number}: {shown(line)} is not a colour; write 255 for alpha, as a palette has none"
                    raise PaletteFileError(reason)
                name = match[2] or ""
            yield Swatch(color, name)


def read_jasc(data: bytes) -> Iterator[Swatch]:
    """Yield the colours of a palette of Paint Shop Pro, after the lines of its name, version and number of colours."""
    count, n_colors = "", 0
    for number, line in _lines(data):
        if number == 3:
            count = line.strip()
        elif number > 3 and line.strip():
            n_colors += 1
            yield Swatch(_rgb_of_line(number, line)[0])
    if count != str(n_colors):
        raise PaletteFileError(
            f"line 3 declares {shown(count)} colours, but there are {n_colors}; correct it, or get an undamaged copy"
        )


def read_json(data: bytes) -> Iterator[Swatch]:
    """Yield the colours of a list: hex codes, lists of three numbers, or objects with "hex", "rgb" and "name"."""
    try:
        record = json.loads(text_of(data))
    except (ValueError, RecursionError):
        raise PaletteFileError("invalid or truncated JSON; get an undamaged copy") from None
    entries = record.get("colors") if isinstance(record, dict) else record
    if not isinstance(entries, list):
        raise PaletteFileError('JSON without a list of colours; use a list of hex codes, or {"colors": [...]}')
    for number, entry in enumerate(entries, 1):
        fields = entry if isinstance(entry, dict) else {"rgb" if isinstance(entry, list) else "hex": entry}
        code, name = fields.get("hex"), fields.get("name")
        rgb = _rgb_of_list(fields.get("rgb"))
        color = parse_opaque_hex(code) if isinstance(code, str) else rgb if code is None else None
        if color is None:
            raise no_color(f"colors, entry {number}", fields.get("rgb") if code is None else code)
        if "rgb" in fields and rgb != color:
            raise PaletteFileError(f"colors, entry {number}: hex and rgb differ; remove one of them")
        yield Swatch(color, name if isinstance(name, str) else "")


def parse_opaque_hex(text: str) -> Color | None:
    """Return the colour of a hex code as in CSS, whose alpha, if it has one, is opaque; None for any other text."""
    match = _OPAQUE_HEX.fullmatch(text)
    return parse_hex(match[1] or match[2]) if match else parse_hex(text)


def no_color(where: str, found: object) -> PaletteFileError:
    """Return the error of an entry that is not a colour."""
    remedy = color_remedy(found) if isinstance(found, str) else "write #rrggbb"
    return PaletteFileError(f"{where}: {shown(found)} is not a colour; {remedy}")


def shown(found: object) -> str:
    """Return a value of a file as one short line without control characters."""
    if isinstance(found, dict):
        return "a dict"
    text = found if isinstance(found, str) else json.dumps(found)
    text = shortened(text)
    return repr(text) if isinstance(found, str) else text


def _lines(data: bytes) -> Iterator[tuple[int, str]]:
    """Return the lines of a text with their numbers; they may end as on any system."""
    return enumerate(re.split(r"\r\n?|\n", text_of(data)), 1)


def _rgb_of_line(number: int, line: str) -> tuple[Color, str]:
    """Return the colour of a line of three numbers, and the text behind it."""
    match = _RGB_LINE.match(line)
    color = tuple(map(int, match.groups()[:3])) if match else ()
    if match is None or max(color, default=256) > 255:
        raise PaletteFileError(f"line {number}: {shown(line)} is not a colour; write three numbers from 0 to 255")
    return color, match[4] or ""


def _rgb_of_list(value: object) -> Color | None:
    """Return the colour of a list of three integers from 0 to 255; None for any other value."""
    if not isinstance(value, list) or len(value) != 3:
        return None
    return tuple(value) if all(type(level) is int and 0 <= level <= 255 for level in value) else None
