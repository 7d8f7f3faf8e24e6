"""Palette files of other programs, written and read, exact to 8 bits.

A file is recognised by its content, not by its extension. Text formats are here, Adobe's binary ones in
`gmmquant.colors.adobe_swatches`. A new format is one entry of `FORMATS`, and its name in `settings.PALETTE_FORMATS` if
it can be written. `gmmquant.images.palette_image` adds the format that is drawn, and reads palettes from images.

Sources: GIMP's developer documentation ("GPL palette format"); W3C's "CSS Custom Properties for Cascading Variables",
"CSS Syntax" and "CSS Color"; paint.net's documentation ("Working with Palettes") for hex codes of eight digits.
"""

from __future__ import annotations

import codecs
import json
import re
import unicodedata
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy.typing as npt

from gmmquant.colors.adobe_swatches import ACO_BEGINNINGS, ASE_BEGINNING, encode_aco, encode_ase, read_aco, read_ase
from gmmquant.colors.named_palettes import NAMED_PALETTES
from gmmquant.colors.palette import NamedPalette, Palette, check_palette, check_shares, collect_colors, hex_code
from gmmquant.errors import PaletteFileError, ParameterError
from gmmquant.models.scalar_validation import check_choice
from gmmquant.settings import Color, parse_color, parse_color_name, parse_hex, shortened

SCHEMA = "gmmquant-palette/1"

# 4096 colours with names and comments take less than 1 MB.
MAX_BYTES = 4_000_000

# GIMP reads lines of up to 1024 bytes, and a character takes up to four.
_MAX_NAME_CHARACTERS = 240

_GPL_COLUMNS = 16
_RGB_LINE = re.compile(r"\s*([0-9]{1,3})\s+([0-9]{1,3})\s+([0-9]{1,3})(?:\s|$)")
_GPL_FIELD = re.compile(r"\w+:")
_ALPHA_AND_HEX_DIGITS = re.compile(r"[0-9a-fA-F]{2}([0-9a-fA-F]{6})")
_CSS_COMMENT = re.compile(r"/\*.*?(?:\*/|\Z)", re.DOTALL)
_CSS_COLOR_FUNCTION = re.compile(
    r"(?:rgba?|hsla?|hwb|(?:ok)?(?:lab|lch)|color|color-mix|contrast-color|device-cmyk|light-dark)\(", re.IGNORECASE
)
_CSS_RGB = re.compile(r"rgb\(\s*([0-9]{1,3})\s*,\s*([0-9]{1,3})\s*,\s*([0-9]{1,3})\s*\)", re.IGNORECASE)


@dataclass(frozen=True)
class PaletteFormat:
    """A format of palette files; `encode` is None if it is only read, the others have defaults if it is only written.

    `recognizes` tells whether a file, without its byte order mark, is of the format.
    """

    name: str
    recognizes: Callable[[bytes], bool] = lambda data: False
    read: Callable[[bytes], Iterator[Color]] = lambda data: iter(())
    encode: Callable[[NamedPalette], bytes] | None = None


def encode_palette(
    palette: npt.NDArray[Any],
    format_name: str,
    *,
    name: str = "",
    weights: npt.ArrayLike | None = None,
    formats: Sequence[PaletteFormat] | None = None,
) -> bytes:
    """Return a palette, sRGB, uint8 (K, 3), as a file in one of `formats`; by default, of `FORMATS`.

    Characters of `name` that a format cannot hold are replaced; hex lists, ACO and JASC files store no name. `weights`
    (K,), the shares of the image from 0 to 1, are stored in full in JSON, and in percent in the names or comments of
    all other formats but hex lists and JASC.

    Raises
    ------
    ParameterError
        If the format is unknown or an array is not of this shape and type.
    """
    encoders = {entry.name: entry.encode for entry in formats or FORMATS if entry.encode is not None}
    encode = encoders[check_choice("palette format", format_name, tuple(encoders))]
    palette = check_palette(palette)
    return encode(NamedPalette(palette, _plain(name), check_shares(weights, len(palette))))


def read_palette(data: bytes) -> Palette:
    """Return the colours, sRGB, of a palette file that is not an image: any format of `encode_palette`.

    Raises
    ------
    PaletteFileError
        If it is not a palette, is damaged or too large, or has colours without an exact 8-bit RGB value.
    """
    if len(data) > MAX_BYTES:
        raise PaletteFileError(f"{len(data)} bytes are above the limit {MAX_BYTES}; use a smaller file")
    content = data.removeprefix(codecs.BOM_UTF8)
    if not content.strip():
        raise PaletteFileError("the file is empty; use one with at least one colour")
    for entry in FORMATS:
        if entry.recognizes(content):
            return collect_colors(entry.read(content), PaletteFileError)
    raise PaletteFileError(
        "unknown palette format; use hex codes, JSON, a GIMP palette (gpl), CSS, ASE, ACO or a JASC palette (pal)"
    )


def parse_colors(text: str) -> Palette:
    """Return the colours of a text with commas: hex codes, names of CSS and of `NAMED_PALETTES`, as in "gameboy,red".

    Others raise a `ParameterError` that lists names which are similar.
    """
    colors: list[Color] = []
    for item in text.split(","):
        named = NAMED_PALETTES.get(item.strip().lower())
        colors += [parse_color(code) for code in named] if named else [parse_color(item, tuple(NAMED_PALETTES))]
    return collect_colors(colors, ParameterError)


# --- writing ----------------------------------------------------------------------------------------------------------


def _plain(name: str) -> str:
    """Return a name of one line that any encoding of Unicode can hold."""
    words = "".join(c if c.isprintable() else " " for c in name).split()
    return " ".join(words)[:_MAX_NAME_CHARACTERS].rstrip() or "palette"


def _encode_hex(palette: NamedPalette) -> bytes:
    return "".join(hex_code(color) + "\n" for color in palette.colors).encode()


def _encode_json(palette: NamedPalette) -> bytes:
    entries: list[dict[str, Any]] = [{"hex": hex_code(color), "rgb": color.tolist()} for color in palette.colors]
    if palette.weights is not None:
        entries = [entry | {"weight": weight} for entry, weight in zip(entries, palette.weights.tolist(), strict=True)]
    lines = ",\n  ".join(json.dumps(entry) for entry in entries)
    head = f' "schema": {json.dumps(SCHEMA)},\n "name": {json.dumps(palette.name)},\n'
    return f'{{\n{head} "colors": [\n  {lines}\n ]\n}}\n'.encode()


def _encode_gpl(palette: NamedPalette) -> bytes:
    head = f"GIMP Palette\nName: {palette.name}\nColumns: {min(len(palette.colors), _GPL_COLUMNS)}\n#\n"
    lines = (
        f"{red:3} {green:3} {blue:3}\t{caption}\n"
        for (red, green, blue), caption in zip(palette.colors.tolist(), palette.captions, strict=True)
    )
    return (head + "".join(lines)).encode()


def _encode_jasc(palette: NamedPalette) -> bytes:
    lines = [f"{red} {green} {blue}" for red, green, blue in palette.colors.tolist()]
    return "".join(f"{line}\r\n" for line in ("JASC-PAL", "0100", str(len(lines)), *lines)).encode()


def _encode_css(palette: NamedPalette) -> bytes:
    # CSS allows more characters in an identifier, but these are what people type; after `--` it may begin with a digit.
    letters = "".join(c for c in unicodedata.normalize("NFKD", palette.name) if not unicodedata.combining(c))
    identifier = re.sub(r"[^A-Za-z0-9_]+", "-", letters).strip("-") or "palette"
    lines = [
        f"  --{identifier}-{i}: {caption[:7]};" + (f" /* {caption[8:]} */" if caption[8:] else "")
        for i, caption in enumerate(palette.captions, 1)
    ]
    return "\n".join([":root {", *lines, "}", ""]).encode()


# --- reading ----------------------------------------------------------------------------------------------------------


def _is_text(data: bytes, *beginnings: bytes) -> bool:
    """Tell whether data are text with one of `beginnings`, if there are any."""
    return b"\0" not in data and bool(data.strip()) and data.startswith(beginnings or b"")


def _text(data: bytes) -> str:
    try:
        return data.decode("utf-8")
    except UnicodeDecodeError:  # names in an older encoding; the colours are ASCII in any
        return data.decode("latin-1")


def _lines(data: bytes) -> Iterator[tuple[int, str]]:
    """Return the lines of a text with their numbers; they may end as on any system."""
    return enumerate(re.split(r"\r\n?|\n", _text(data)), 1)


def _read_hex(data: bytes) -> Iterator[Color]:
    """Yield the colours of hex codes; after a comment that names paint.net, those of eight digits begin with alpha."""
    is_paint_net = False
    for number, line in _lines(data):
        is_paint_net = is_paint_net or "paint.net" in line.lower()
        codes = line.partition(";")[0].partition("//")[0]
        for word in codes.replace(",", " ").split():
            match = _ALPHA_AND_HEX_DIGITS.fullmatch(word) if is_paint_net else None
            color = parse_hex(match[1] if match else word)
            if color is None:
                raise _no_color(f"line {number}", word)
            yield color


def _read_gpl(data: bytes) -> Iterator[Color]:
    for number, line in _lines(data):
        if number > 1 and line.strip() and not line.startswith("#") and not _GPL_FIELD.match(line):
            yield _rgb_of_line(number, line)


def _read_jasc(data: bytes) -> Iterator[Color]:
    """Yield the colours of a palette of Paint Shop Pro, after the lines of its name, version and number of colours."""
    count, n_colors = "", 0
    for number, line in _lines(data):
        if number == 3:
            count = line.strip()
        elif number > 3 and line.strip():
            n_colors += 1
            yield _rgb_of_line(number, line)
    if count != str(n_colors):
        raise PaletteFileError(
            f"line 3 declares {_shown(count)} colours, but there are {n_colors}; correct it, or get an undamaged copy"
        )


def _rgb_of_line(number: int, line: str) -> Color:
    match = _RGB_LINE.match(line)
    color = tuple(map(int, match.groups())) if match else ()
    if max(color, default=256) > 255:
        raise PaletteFileError(f"line {number}: {_shown(line)} is not a colour; write three numbers from 0 to 255")
    return color


def _read_json(data: bytes) -> Iterator[Color]:
    try:
        record = json.loads(_text(data))
    except (ValueError, RecursionError):
        raise PaletteFileError("invalid or truncated JSON; get an undamaged copy") from None
    entries = record.get("colors") if isinstance(record, dict) else record
    if not isinstance(entries, list):
        raise PaletteFileError('JSON without a list of colours; use a list of hex codes, or {"colors": [...]}')
    for number, entry in enumerate(entries, 1):
        code = entry.get("hex") if isinstance(entry, dict) else entry
        color = parse_hex(code) if isinstance(code, str) else None
        if color is None:
            raise _no_color(f"colors, entry {number}", code)
        if isinstance(entry, dict) and "rgb" in entry and entry["rgb"] != list(color):
            raise PaletteFileError(f"colors, entry {number}: hex and rgb differ; remove one of them")
        yield color


def _custom_properties(data: bytes) -> Iterator[tuple[str, str]]:
    """Yield name and value of the custom properties of a style sheet, `--name: value`, in their order."""
    for piece in re.split("[;{}]", _CSS_COMMENT.sub(" ", _text(data))):
        name, colon, value = piece.partition(":")
        if colon and re.fullmatch(r"--\S+", name.strip()):
            yield name.strip(), value.strip()


def _read_css(data: bytes) -> Iterator[Color]:
    """Yield the colours of custom properties; other values, such as lengths, are skipped, inexact colours refused."""
    for name, value in _custom_properties(data):
        color = _parse_css(value)
        if color is not None:
            yield color
        elif value.startswith("#") or value.lower() == "transparent" or _CSS_COLOR_FUNCTION.match(value):
            raise _no_color(_shown(name), value)


def _parse_css(value: str) -> Color | None:
    """Return the colour of a hex code, a name or rgb() of three integers; None for others, which may be inexact."""
    if value.startswith("#"):
        return parse_hex(value)
    match = _CSS_RGB.fullmatch(value)
    color = tuple(map(int, match.groups())) if match else parse_color_name(value)
    return color if color is None or max(color) <= 255 else None


def _no_color(where: str, found: object) -> PaletteFileError:
    return PaletteFileError(f"{where}: {_shown(found)} is not a colour; write #rrggbb, without alpha")


def _shown(found: object) -> str:
    """Return a value of a file as one short line without control characters."""
    if isinstance(found, list | dict):
        return f"a {type(found).__name__}"
    text = found if isinstance(found, str) else json.dumps(found)
    text = shortened(text)
    return repr(text) if isinstance(found, str) else text


# In the order in which a file is tested.
FORMATS = (
    PaletteFormat("ase", lambda data: data.startswith(ASE_BEGINNING), read_ase, encode_ase),
    PaletteFormat("aco", lambda data: data.startswith(ACO_BEGINNINGS), read_aco, encode_aco),
    PaletteFormat("gpl", lambda data: _is_text(data, b"GIMP Palette"), _read_gpl, _encode_gpl),
    PaletteFormat("pal", lambda data: _is_text(data, b"JASC-PAL"), _read_jasc, _encode_jasc),
    PaletteFormat("json", lambda data: _is_text(data.lstrip(), b"{", b"["), _read_json, _encode_json),
    PaletteFormat("css", lambda data: _is_text(data) and any(_custom_properties(data)), _read_css, _encode_css),
    PaletteFormat("hex", _is_text, _read_hex, _encode_hex),
)
