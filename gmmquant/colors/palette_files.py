"""Palettes as files: what other programs read and write, to bytes and back, exact to 8 bits.

A file is judged by its content, not by its ending. Text formats are here, Adobe's binary ones in
`gmmquant.colors.adobe_swatches`, images in `gmmquant.images.palette_image`.

Sources: GIMP's developer documentation ("GPL palette format") for GPL; W3C's "CSS Custom Properties for Cascading
Variables", "CSS Syntax" and "CSS Color" for CSS; the documentation of paint.net ("Working with Palettes") for its
eight digits.
"""

from __future__ import annotations

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

# 4096 colours with names and comments take less than 1 MB; what is much larger is no palette.
MAX_BYTES = 4_000_000

# GIMP reads lines of up to 1024 bytes, and a character takes up to four.
_LONGEST_NAME = 240

_GPL_COLUMNS = 16
_RGB_LINE = re.compile(r"\s*([0-9]{1,3})\s+([0-9]{1,3})\s+([0-9]{1,3})(?:\s|$)")
_GPL_FIELD = re.compile(r"\w+:")
_HEX_DIGITS = re.compile(r"#?((?:[0-9a-fA-F]{3}){1,2})")
_ALPHA_AND_HEX_DIGITS = re.compile(r"[0-9a-fA-F]{2}([0-9a-fA-F]{6})")
_CSS_COMMENT = re.compile(r"/\*.*?(?:\*/|\Z)", re.DOTALL)
_CSS_COLOR_FUNCTION = re.compile(
    r"(?:rgba?|hsla?|hwb|(?:ok)?(?:lab|lch)|color|color-mix|contrast-color|device-cmyk|light-dark)\(", re.IGNORECASE
)
_NAMES_IN_CSS = """
    aliceblue antiquewhite aqua aquamarine azure beige bisque black blanchedalmond blue blueviolet brown burlywood
    cadetblue chartreuse chocolate coral cornflowerblue cornsilk crimson cyan darkblue darkcyan darkgoldenrod darkgray
    darkgreen darkgrey darkkhaki darkmagenta darkolivegreen darkorange darkorchid darkred darksalmon darkseagreen
    darkslateblue darkslategray darkslategrey darkturquoise darkviolet deeppink deepskyblue dimgray dimgrey dodgerblue
    firebrick floralwhite forestgreen fuchsia gainsboro ghostwhite gold goldenrod gray green greenyellow grey honeydew
    hotpink indianred indigo ivory khaki lavender lavenderblush lawngreen lemonchiffon lightblue lightcoral lightcyan
    lightgoldenrodyellow lightgray lightgreen lightgrey lightpink lightsalmon lightseagreen lightskyblue lightslategray
    lightslategrey lightsteelblue lightyellow lime limegreen linen magenta maroon mediumaquamarine mediumblue
    mediumorchid mediumpurple mediumseagreen mediumslateblue mediumspringgreen mediumturquoise mediumvioletred
    midnightblue mintcream mistyrose moccasin navajowhite navy oldlace olive olivedrab orange orangered orchid
    palegoldenrod palegreen paleturquoise palevioletred papayawhip peachpuff peru pink plum powderblue purple
    rebeccapurple red rosybrown royalblue saddlebrown salmon sandybrown seagreen seashell sienna silver skyblue
    slateblue slategray slategrey snow springgreen steelblue tan teal thistle tomato transparent turquoise violet wheat
    white whitesmoke yellow yellowgreen
"""
_CSS_NAMES = frozenset(_NAMES_IN_CSS.split())


@dataclass(frozen=True)
class _Named:
    """A palette and what is written beside its colours."""

    colors: Palette
    name: str
    weights: npt.NDArray[np.float64] | None

    @property
    def captions(self) -> list[str]:
        """Name each colour by its hex code, and its weight in percent."""
        codes = [hex_code(color) for color in self.colors]
        if self.weights is None:
            return codes
        return [f"{code} {weight:.2%}" for code, weight in zip(codes, self.weights, strict=True)]


def encode_palette(
    palette: npt.NDArray[Any], kind: str, *, name: str = "", weights: npt.ArrayLike | None = None
) -> bytes:
    """Write a palette as a file of the format `kind`.

    Parameters
    ----------
    palette : ndarray of uint8, shape (K, 3)
        sRGB, 1 to 4096 colours; their order is kept.
    kind : "hex", "json", "gpl", "css", "ase" or "aco"
        Also the usual ending of such a file's name.
    name : str
        Any text. What a palette's name cannot hold is replaced; a hex list and an ACO file have no place for a name.
    weights : array-like of shape (K,), optional
        The part of the image, 0 to 1, that has each colour; written as it is into JSON and in percent into the names
        or comments of all others but a hex list.

    Raises
    ------
    ParameterError
        If `kind` is unknown or an array is not of this shape and type.
    """
    encode = PALETTE_FORMATS[check_choice("palette format", kind, tuple(PALETTE_FORMATS))]
    palette = check_palette(palette)
    return encode(_Named(palette, _plain(name), check_shares(weights, len(palette))))


def read_palette(data: bytes) -> Palette:
    """Read a palette file that is no image: any that `encode_palette` writes, paint.net's, or JASC-PAL.

    Returns
    -------
    ndarray of uint8, shape (K, 3)
        sRGB, 1 to 4096 colours in the order of the file.

    Raises
    ------
    PaletteFileError
        If it is no palette, is damaged or too large, or has colours that have no exact 8-bit RGB.
    """
    if len(data) > MAX_BYTES:
        raise PaletteFileError(f"{len(data)} bytes are above the limit {MAX_BYTES}; give a palette, which is smaller")
    return collect_colors(_colors_of(data), PaletteFileError)


def parse_colors(text: str) -> Palette:
    """Read colours such as "#1a2b3c,#fff,000": hex codes between commas, uint8 (K, 3).

    Raises
    ------
    ParameterError
        If a part is no hex code, or there are more than 4096 colours.
    """

    def colors() -> Iterator[Color]:
        for part in text.split(","):
            color = _parse_hex(part.strip())
            if color is None:
                raise ParameterError(f"{_shown(part)} is no colour; give hex codes as in #1a2b3c,#fff,#000")
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
    return " ".join(words)[:_LONGEST_NAME].rstrip() or "palette"


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


# The formats that `encode_palette` knows. The name of each is also the ending of its files.
PALETTE_FORMATS: dict[str, Callable[[_Named], bytes]] = {
    "hex": _encode_hex,
    "json": _encode_json,
    "gpl": _encode_gpl,
    "css": _encode_css,
    "ase": lambda palette: encode_ase(palette.colors, palette.captions, palette.name),
    "aco": lambda palette: encode_aco(palette.colors, palette.captions),
}


# --- reading ----------------------------------------------------------------------------------------------------------


def _colors_of(data: bytes) -> Iterator[Color]:
    """Tell what kind of palette a file is, and give its colours one by one."""
    if data.startswith(ASE_BEGINNING):
        return read_ase(data)
    if data.startswith(ACO_BEGINNINGS):
        return read_aco(data)
    if b"\0" in data or not data.strip():
        raise PaletteFileError(
            "no palette of a kind that is known; "
            "give hex codes, JSON, a GIMP palette (gpl), CSS, ASE, ACO or a JASC palette (pal)"
        )
    try:
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError:  # names in an older encoding; the colours are ASCII in any
        text = data.decode("latin-1")
    if text.startswith("GIMP Palette"):
        return _read_gpl(text)
    if text.startswith("JASC-PAL"):
        return _read_jasc(text)
    if text.lstrip().startswith(("{", "[")):
        return _read_json(text)
    properties = list(_custom_properties(text)) if "--" in text else []
    return _read_css(properties) if properties else _read_hex(text)


def _lines(text: str) -> Iterator[tuple[int, str]]:
    """Give each line of a text with its number, whichever way lines end."""
    return enumerate((line.rstrip("\n") for line in io.StringIO(text, newline=None)), 1)


def _read_hex(text: str) -> Iterator[Color]:
    """Read hex codes; in a file whose comments name paint.net, eight digits too, whose first two are alpha."""
    is_paint_net = False
    for number, line in _lines(text):
        is_paint_net = is_paint_net or "paint.net" in line.lower()
        codes = line.partition(";")[0].partition("//")[0]
        for word in codes.replace(",", " ").split():
            match = _ALPHA_AND_HEX_DIGITS.fullmatch(word) if is_paint_net else None
            color = _parse_hex(match[1] if match else word)
            if color is None:
                raise _no_color(f"line {number}", word)
            yield color


def _read_gpl(text: str) -> Iterator[Color]:
    for number, line in _lines(text):
        if number > 1 and line.strip() and not line.startswith("#") and not _GPL_FIELD.match(line):
            yield _rgb_of_line(number, line)


def _read_jasc(text: str) -> Iterator[Color]:
    """Read a palette of Paint Shop Pro: its name, a version, how many colours there are, and the colours."""
    count, n_colors = "", 0
    for number, line in _lines(text):
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
        raise PaletteFileError(f"line {number}: {_shown(line)} is no colour; write three numbers from 0 to 255")
    return red, green, blue


def _read_json(text: str) -> Iterator[Color]:
    try:
        record = json.loads(text)
    except (ValueError, RecursionError):
        raise PaletteFileError("no JSON, or cut short; get an undamaged copy") from None
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


def _custom_properties(text: str) -> Iterator[tuple[str, str]]:
    """Find the custom properties of a style sheet, `--name: value`, in their order."""
    for piece in re.split("[;{}]", _CSS_COMMENT.sub(" ", text)):
        name, colon, value = piece.partition(":")
        if colon and re.fullmatch(r"--\S+", name.strip()):
            yield name.strip(), value.strip()


def _read_css(properties: list[tuple[str, str]]) -> Iterator[Color]:
    """Take the custom properties that are hex codes; pass over lengths and the like, but over no other colour."""
    for name, value in properties:
        color = _parse_hex(value) if value.startswith("#") else None
        if color is not None:
            yield color
        elif value.startswith("#") or _CSS_COLOR_FUNCTION.match(value) or value.lower() in _CSS_NAMES:
            raise _no_color(_shown(name), value)


def _no_color(place: str, found: object) -> PaletteFileError:
    return PaletteFileError(f"{place}: {_shown(found)} is no colour of 8 bits without alpha; write #rrggbb")


def _shown(found: object) -> str:
    """Return what was found as one short line without control characters."""
    if isinstance(found, list | dict):
        return f"a {type(found).__name__}"
    text = found if isinstance(found, str) else json.dumps(found)
    text = text if len(text) <= 40 else text[:37] + "..."
    return repr(text) if isinstance(found, str) else text
