"""Palette files of other programs, encoded and read, exact to 8 bits.

A file is recognised by its content, not by its extension. Text formats are here, Adobe's binary ones in
`gmmquant.colors.adobe_swatches`, images in `gmmquant.images.palette_image`. A new format is one entry of
`_FORMATS`, and its name in `settings.PALETTE_FORMATS` if it can be written.

Sources: GIMP's developer documentation ("GPL palette format") for GPL; W3C's "CSS Custom Properties for Cascading
Variables", "CSS Syntax" and "CSS Color" for CSS; the documentation of paint.net ("Working with Palettes") for its
eight digits.
"""

from __future__ import annotations

import codecs
import io
import json
import re
import unicodedata
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from gmmquant.colors.adobe_swatches import ACO_BEGINNINGS, ASE_BEGINNING, encode_aco, encode_ase, read_aco, read_ase
from gmmquant.colors.palette import Color, Palette, check_palette, check_shares, collect_colors, hex_code
from gmmquant.errors import PaletteFileError, ParameterError
from gmmquant.models.scalar_validation import check_choice

SCHEMA = "gmmquant-palette/1"

# 4096 colours with names and comments take less than 1 MB.
MAX_BYTES = 4_000_000

# GIMP reads lines of up to 1024 bytes, and a character takes up to four.
_MAX_NAME_CHARACTERS = 240

_GPL_COLUMNS = 16
_RGB_LINE = re.compile(r"\s*([0-9]{1,3})\s+([0-9]{1,3})\s+([0-9]{1,3})(?:\s|$)")
_GPL_FIELD = re.compile(r"\w+:")
_HEX_DIGITS = re.compile(r"#?((?:[0-9a-fA-F]{3}){1,2})")
_ALPHA_AND_HEX_DIGITS = re.compile(r"[0-9a-fA-F]{2}([0-9a-fA-F]{6})")
_CSS_COMMENT = re.compile(r"/\*.*?(?:\*/|\Z)", re.DOTALL)
_CSS_COLOR_FUNCTION = re.compile(
    r"(?:rgba?|hsla?|hwb|(?:ok)?(?:lab|lch)|color|color-mix|contrast-color|device-cmyk|light-dark)\(", re.IGNORECASE
)
_CSS_RGB = re.compile(r"rgb\(\s*[0-9]{1,3}(?:\s*,\s*[0-9]{1,3}){2}\s*\)", re.IGNORECASE)


@dataclass(frozen=True)
class _Named:
    """A palette, its name and the weights of its colours."""

    colors: Palette
    name: str
    weights: npt.NDArray[np.float64] | None

    @property
    def captions(self) -> list[str]:
        """The hex code of each colour, with its weight in percent."""
        codes = [hex_code(color) for color in self.colors]
        if self.weights is None:
            return codes
        return [f"{code} {weight:.2%}" for code, weight in zip(codes, self.weights, strict=True)]


@dataclass(frozen=True)
class PaletteFormat:
    """A format of palette files.

    Attributes
    ----------
    name : str
    recognizes : callable
        Whether the content of a file, without a byte order mark, is of this format; the formats are asked in turn.
    read : callable
        Yields the colours of the content.
    encode : callable or None
        None if the format is only read.
    """

    name: str
    recognizes: Callable[[bytes], bool]
    read: Callable[[bytes], Iterator[Color]]
    encode: Callable[[_Named], bytes] | None = None


def encode_palette(
    palette: npt.NDArray[Any],
    format: str,  # noqa: A002
    *,
    name: str = "",
    weights: npt.ArrayLike | None = None,
) -> bytes:
    """Encode a palette as a file.

    Parameters
    ----------
    palette : ndarray of uint8, shape (K, 3)
        sRGB, 1 to 4096 colours; their order is kept.
    format : "hex", "json", "gpl", "css", "ase" or "aco"
        Also the usual extension of such a file.
    name : str
        Any text. Characters that a palette's name cannot hold are replaced; hex lists and ACO files store no name.
    weights : array-like of shape (K,), optional
        The share of the image, 0 to 1, that has each colour; stored in full in JSON, and in percent in the names or
        comments of all other formats but hex lists.

    Raises
    ------
    ParameterError
        If `format` is unknown or an array is not of this shape and type.
    """
    encoders = {each.name: each.encode for each in _FORMATS if each.encode is not None}
    encode = encoders[check_choice("palette format", format, tuple(encoders))]
    palette = check_palette(palette)
    return encode(_Named(palette, _plain(name), check_shares(weights, len(palette))))


def read_palette(data: bytes) -> Palette:
    """Read a palette file that is not an image: any that `encode_palette` writes, paint.net's, or JASC-PAL.

    Returns
    -------
    ndarray of uint8, shape (K, 3)
        sRGB, 1 to 4096 colours in the order of the file.

    Raises
    ------
    PaletteFileError
        If it is not a palette, is damaged or too large, or has colours without an exact 8-bit RGB value.
    """
    if len(data) > MAX_BYTES:
        raise PaletteFileError(f"{len(data)} bytes are above the limit {MAX_BYTES}; give a palette, which is smaller")
    content = data.removeprefix(codecs.BOM_UTF8)
    found = next((entry for entry in _FORMATS if entry.recognizes(content)), None)
    if found is None:
        raise PaletteFileError(
            "unknown kind of palette; give hex codes, JSON, a GIMP palette (gpl), CSS, ASE, ACO or a JASC palette (pal)"
        )
    return collect_colors(found.read(content), PaletteFileError)


def parse_colors(text: str) -> Palette:
    """Read colours such as "#1a2b3c,#fff,000": hex codes between commas, uint8 (K, 3).

    Raises
    ------
    ParameterError
        If a part is not a hex code, or there are more than 4096 colours.
    """

    def colors() -> Iterator[Color]:
        for part in text.split(","):
            color = _parse_hex(part.strip())
            if color is None:
                raise ParameterError(f"{_shown(part)} is not a colour; give hex codes as in #1a2b3c,#fff,#000")
            yield color

    return collect_colors(colors(), ParameterError)


def _parse_hex(text: str) -> Color | None:
    """Read `#rrggbb` or `#rgb`, with or without the sign; None if it is neither."""
    match = _HEX_DIGITS.fullmatch(text)
    if match is None:
        return None
    digits = match[1]
    if len(digits) == 3:
        digits = "".join(digit * 2 for digit in digits)
    red, green, blue = bytes.fromhex(digits)
    return red, green, blue


# --- writing ----------------------------------------------------------------------------------------------------------


def _plain(name: str) -> str:
    """Return a name of one line that any encoding of Unicode can hold."""
    words = "".join(c if c.isprintable() else " " for c in name).split()
    return " ".join(words)[:_MAX_NAME_CHARACTERS].rstrip() or "palette"


def _encode_hex(palette: _Named) -> bytes:
    return "".join(hex_code(color) + "\n" for color in palette.colors).encode()


def _encode_json(palette: _Named) -> bytes:
    entries: list[dict[str, Any]] = [{"hex": hex_code(color), "rgb": color.tolist()} for color in palette.colors]
    if palette.weights is not None:
        for entry, weight in zip(entries, palette.weights.tolist(), strict=True):
            entry["weight"] = weight
    lines = ",\n  ".join(json.dumps(entry, allow_nan=False) for entry in entries)
    head = f' "schema": {json.dumps(SCHEMA)},\n "name": {json.dumps(palette.name)},\n'
    return f'{{\n{head} "colors": [\n  {lines}\n ]\n}}\n'.encode()


def _encode_gpl(palette: _Named) -> bytes:
    head = f"GIMP Palette\nName: {palette.name}\nColumns: {min(len(palette.colors), _GPL_COLUMNS)}\n#\n"
    lines = (
        f"{red:3} {green:3} {blue:3}\t{caption}\n"
        for (red, green, blue), caption in zip(palette.colors.tolist(), palette.captions, strict=True)
    )
    return (head + "".join(lines)).encode()


def _encode_css(palette: _Named) -> bytes:
    identifier = _css_identifier(palette.name)
    lines = [
        f"  --{identifier}-{i}: {caption[:7]};" + (f" /* {caption[8:]} */" if caption[8:] else "")
        for i, caption in enumerate(palette.captions, 1)
    ]
    return "\n".join([":root {", *lines, "}", ""]).encode()


def _css_identifier(name: str) -> str:
    """Return what a name has of letters without accents, digits, `-` and `_`, with `-` for the rest.

    CSS allows more, and escapes for all else, but this is what people type. After the `--` of a custom property an
    identifier may begin with a digit.
    """
    letters = "".join(c for c in unicodedata.normalize("NFKD", name) if not unicodedata.combining(c))
    return re.sub(r"[^A-Za-z0-9_]+", "-", letters).strip("-") or "palette"


# --- reading ----------------------------------------------------------------------------------------------------------


def _is_text(data: bytes, *beginnings: bytes) -> bool:
    """Return whether content is text with one of `beginnings`, if there are any."""
    return b"\0" not in data and bool(data.strip()) and data.startswith(beginnings or b"")


def _text(data: bytes) -> str:
    try:
        return data.decode("utf-8")
    except UnicodeDecodeError:  # names in an older encoding; the colours are ASCII in any
        return data.decode("latin-1")


def _lines(data: bytes) -> Iterator[tuple[int, str]]:
    """Yield each line of a text with its number, whatever its line ends are."""
    return enumerate((line.rstrip("\n") for line in io.StringIO(_text(data), newline=None)), 1)


def _read_hex(data: bytes) -> Iterator[Color]:
    """Read hex codes; in a file whose comments name paint.net, eight digits too, whose first two are alpha."""
    is_paint_net = False
    for number, line in _lines(data):
        is_paint_net = is_paint_net or "paint.net" in line.lower()
        codes = line.partition(";")[0].partition("//")[0]
        for word in codes.replace(",", " ").split():
            match = _ALPHA_AND_HEX_DIGITS.fullmatch(word) if is_paint_net else None
            color = _parse_hex(match[1] if match else word)
            if color is None:
                raise _no_color(f"line {number}", word)
            yield color


def _read_gpl(data: bytes) -> Iterator[Color]:
    for number, line in _lines(data):
        if number > 1 and line.strip() and not line.startswith("#") and not _GPL_FIELD.match(line):
            yield _rgb_of_line(number, line)


def _read_jasc(data: bytes) -> Iterator[Color]:
    """Read a palette of Paint Shop Pro: its name, a version, how many colours there are, and the colours."""
    count, n_colors = "", 0
    for number, line in _lines(data):
        if number == 3:
            count = line.strip()
        elif number > 3 and line.strip():
            n_colors += 1
            yield _rgb_of_line(number, line)
    if count != str(n_colors):
        raise PaletteFileError(
            f"line 3 says {_shown(count)} colours, but there are {n_colors}; get an undamaged copy, or correct line 3"
        )


def _rgb_of_line(number: int, line: str) -> Color:
    match = _RGB_LINE.match(line)
    red, green, blue = (int(channel) for channel in match.groups()) if match else (256, 256, 256)
    if max(red, green, blue) > 255:
        raise PaletteFileError(f"line {number}: {_shown(line)} is not a colour; write three numbers from 0 to 255")
    return red, green, blue


def _read_json(data: bytes) -> Iterator[Color]:
    try:
        record = json.loads(_text(data))
    except (ValueError, RecursionError):
        raise PaletteFileError("invalid JSON, or cut short; get an undamaged copy") from None
    entries = record.get("colors") if isinstance(record, dict) else record
    if not isinstance(entries, list):
        raise PaletteFileError('JSON without a list of colours; give a list of hex codes, or {"colors": [...]}')
    for number, entry in enumerate(entries, 1):
        code = entry.get("hex") if isinstance(entry, dict) else entry
        color = _parse_hex(code) if isinstance(code, str) else None
        if color is None:
            raise _no_color(f"colors, entry {number}", code)
        if isinstance(entry, dict) and "rgb" in entry and entry["rgb"] != list(color):
            raise PaletteFileError(f"colors, entry {number}: hex and rgb are two colours; remove one of them")
        yield color


def _custom_properties(data: bytes) -> Iterator[tuple[str, str]]:
    """Yield the custom properties of a style sheet, `--name: value`, in their order."""
    for piece in re.split("[;{}]", _CSS_COMMENT.sub(" ", _text(data))):
        name, colon, value = piece.partition(":")
        if colon and re.fullmatch(r"--\S+", name.strip()):
            yield name.strip(), value.strip()


def _read_css(data: bytes) -> Iterator[Color]:
    """Yield the custom properties that are colours; lengths and the like are skipped, inexact colours refused."""
    for name, value in _custom_properties(data):
        color = _parse_css(value)
        if color is not None:
            yield color
        elif value.startswith("#") or value.lower() == "transparent" or _CSS_COLOR_FUNCTION.match(value):
            raise _no_color(_shown(name), value)


def _parse_css(value: str) -> Color | None:
    """Return a hex code, a named colour or rgb() of three integers as a colour; None if it is none of them.

    Percentages and other functions have no exact 8-bit RGB value.
    """
    if value.startswith("#"):
        return _parse_hex(value)
    from PIL import ImageColor  # for CSS files only

    if value.lower() not in ImageColor.colormap and not _CSS_RGB.fullmatch(value):
        return None
    red, green, blue, *_ = ImageColor.getrgb(value)
    return (red, green, blue) if max(red, green, blue) <= 255 else None


def _no_color(where: str, found: object) -> PaletteFileError:
    return PaletteFileError(f"{where}: {_shown(found)} is not a colour of 8 bits without alpha; write #rrggbb")


def _shown(found: object) -> str:
    """Return a value as one short line without control characters."""
    if isinstance(found, list | dict):
        return f"a {type(found).__name__}"
    text = found if isinstance(found, str) else json.dumps(found)
    text = text if len(text) <= 40 else text[:37] + "..."
    return repr(text) if isinstance(found, str) else text


# In the order in which they are asked for a file.
_FORMATS = (
    PaletteFormat(
        "ase", lambda data: data.startswith(ASE_BEGINNING), read_ase, lambda p: encode_ase(p.colors, p.captions, p.name)
    ),
    PaletteFormat(
        "aco", lambda data: data.startswith(ACO_BEGINNINGS), read_aco, lambda p: encode_aco(p.colors, p.captions)
    ),
    PaletteFormat("gpl", lambda data: _is_text(data, b"GIMP Palette"), _read_gpl, _encode_gpl),
    PaletteFormat("jasc", lambda data: _is_text(data, b"JASC-PAL"), _read_jasc),
    PaletteFormat("json", lambda data: _is_text(data.lstrip(), b"{", b"["), _read_json, _encode_json),
    PaletteFormat("css", lambda data: _is_text(data) and any(_custom_properties(data)), _read_css, _encode_css),
    PaletteFormat("hex", _is_text, _read_hex, _encode_hex),
)
