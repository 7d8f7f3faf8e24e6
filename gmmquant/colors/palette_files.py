"""Palette files of other programs, written and read, exact to 8 bits.

A file is recognised by its content, not by its extension. The formats are in `palette_text`, `palette_css`,
`palette_tables` and `adobe_swatches`. A new format is one entry of `FORMATS`, and its name in
`settings.PALETTE_FORMATS` if it can be written. `gmmquant.images.palette_image` adds the format that is drawn, and
reads palettes from images.
"""

from __future__ import annotations

import codecs
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy.typing as npt

from gmmquant.colors.adobe_swatches import ACO_BEGINNINGS, ASE_BEGINNING, encode_aco, encode_ase, read_aco, read_ase
from gmmquant.colors.named_palettes import NAMED_PALETTES
from gmmquant.colors.palette import NamedPalette, Palette, Swatch, check_palette, check_shares, collect_colors
from gmmquant.colors.palette_css import encode_css, has_custom_properties, read_css
from gmmquant.colors.palette_tables import is_color_table, is_riff_palette, read_color_table, read_riff_palette
from gmmquant.colors.palette_text import (
    encode_gpl,
    encode_hex,
    encode_jasc,
    encode_json,
    is_text,
    read_gpl,
    read_hex,
    read_jasc,
    read_json,
)
from gmmquant.errors import PaletteFileError, ParameterError
from gmmquant.models.scalar_validation import check_choice
from gmmquant.parsing import Color, hex_code, parse_color, split_colors

# 4096 colours with names and comments take less than 1 MB.
MAX_BYTES = 4_000_000

# GIMP reads lines of up to 1024 bytes, and a character takes up to four.
_MAX_NAME_CHARACTERS = 240

# Names that say nothing, as programs give them: placeholders and hex codes.
_NO_NAME = re.compile(r"untitled|index [0-9]+|#?(?:[0-9a-f]{2}){3,4}", re.IGNORECASE)
_SHARE_OF_CAPTION = re.compile(r"(?:^|\s)[0-9]{1,3}\.[0-9]{2}%$")


@dataclass(frozen=True)
class PaletteFormat:
    """A format of palette files; `encode` is None if it is only read, the others have defaults if it is only written.

    `recognizes` returns whether a file, without its byte order mark, is of the format.
    """

    name: str
    recognizes: Callable[[bytes], bool] = lambda data: False
    read: Callable[[bytes], Iterator[Swatch]] = lambda data: iter(())
    encode: Callable[[NamedPalette], bytes] | None = None


def encode_palette(
    palette: npt.NDArray[Any],
    format_name: str,
    *,
    name: str = "",
    shares: npt.ArrayLike | None = None,
    names: Mapping[str, str] | None = None,
    formats: Sequence[PaletteFormat] | None = None,
) -> bytes:
    """Return a palette, sRGB, uint8 (K, 3), as a file in one of `formats`; by default, of `FORMATS`.

    Characters of `name` that a format cannot hold are replaced; hex lists, ACO and JASC files store no name. `shares`
    (K,), those of the image from 0 to 1, are stored in full in JSON, and in percent in the names or comments of
    all other formats but hex lists and JASC. `names` of colours, by hex code, are stored by the same formats.

    Raises
    ------
    ParameterError
        If the format is unknown or an array is not of this shape and type.
    """
    encoders = {entry.name: entry.encode for entry in formats or FORMATS if entry.encode is not None}
    encode = encoders[check_choice("palette format", format_name, tuple(encoders))]
    palette = check_palette(palette)
    known = names or {}
    of_colors = [_plain(known.get(hex_code(color), "")) for color in palette]
    return encode(NamedPalette(palette, _plain(name) or "palette", check_shares(shares, len(palette)), of_colors))


def read_named_palette(data: bytes) -> tuple[Palette, dict[str, str]]:
    """Return the colours, sRGB, of a palette file that is not an image, and names by hex code.

    The formats are those of `encode_palette`, RIFF PAL and ACT. Files of GPL, JSON and ASE name colours.

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
    entry = next((entry for entry in FORMATS if entry.recognizes(content)), None)
    if entry is None:
        raise PaletteFileError(
            "unknown palette format; use hex codes, JSON, a GIMP palette (gpl), CSS, ASE, ACO, ACT or a palette (pal) "
            "of JASC or RIFF"
        )
    names: dict[str, str] = {}

    def colors() -> Iterator[Color]:
        for color, name in entry.read(content):
            if known := _own_name(name):
                names.setdefault(hex_code(color), known)
            yield color

    return collect_colors(colors(), PaletteFileError), names


def parse_colors(text: str) -> Palette:
    """Return the colours of a text: hex codes, names of CSS and of `NAMED_PALETTES`, as in "gameboy,red".

    They are separated by commas, semicolons or spaces. Others raise a `ParameterError` that names one which is similar.
    """
    colors: list[Color] = []
    for item in split_colors(text):
        named = NAMED_PALETTES.get(item.strip().lower())
        colors += [parse_color(code) for code in named] if named else [parse_color(item, tuple(NAMED_PALETTES))]
    return collect_colors(colors, ParameterError)


def _plain(name: str) -> str:
    """Return a name of one line that any encoding of Unicode can hold."""
    words = "".join(c if c.isprintable() else " " for c in name).split()
    return " ".join(words)[:_MAX_NAME_CHARACTERS].rstrip()


def _own_name(caption: str) -> str:
    """Return the name of a colour in a caption, without a share of the image; empty if it is a placeholder."""
    name = _SHARE_OF_CAPTION.sub("", _plain(caption))
    return "" if _NO_NAME.fullmatch(name) else name


# In the order in which a file is tested.
FORMATS = (
    PaletteFormat("ase", lambda data: data.startswith(ASE_BEGINNING), read_ase, encode_ase),
    PaletteFormat("riff", is_riff_palette, read_riff_palette),
    PaletteFormat("act", is_color_table, read_color_table),
    PaletteFormat("aco", lambda data: data.startswith(ACO_BEGINNINGS), read_aco, encode_aco),
    PaletteFormat("gpl", lambda data: is_text(data, b"GIMP Palette"), read_gpl, encode_gpl),
    PaletteFormat("pal", lambda data: is_text(data, b"JASC-PAL"), read_jasc, encode_jasc),
    PaletteFormat("json", lambda data: is_text(data.lstrip(), b"{", b"["), read_json, encode_json),
    PaletteFormat("css", lambda data: is_text(data) and has_custom_properties(data), read_css, encode_css),
    PaletteFormat("hex", is_text, read_hex, encode_hex),
)
