"""Palettes as tables of bytes: Microsoft's RIFF PAL and Photoshop's colour table (ACT); both are only read.

Sources: Microsoft's "Multimedia Programming Interface and Data Specifications 1.0", "Palette File Format"; "Adobe
Photoshop File Formats Specification", chapter "Color Table".
"""

from __future__ import annotations

import struct
from collections.abc import Iterator

from gmmquant.colors.palette import Swatch
from gmmquant.errors import PaletteFileError

_N_ENTRIES = 256  # of an ACT file, whose palette may have fewer
_TABLE_BYTES = 3 * _N_ENTRIES
_NO_INDEX = 0xFFFF
_LOG_PALETTE_VERSION = 0x0300


def is_riff_palette(data: bytes) -> bool:
    """Return whether data begin as a RIFF file of the form PAL."""
    return data[:4] == b"RIFF" and data[8:12] == b"PAL "


def read_riff_palette(data: bytes) -> Iterator[Swatch]:
    """Yield the colours of the first palette of a RIFF file: four bytes each, the last for flags."""
    position = 12
    while data[position : position + 4] != b"data":
        if position + 8 > len(data):
            raise _damaged()
        (length,) = struct.unpack_from("<I", data, position + 4)
        position += 8 + length + length % 2
    if position + 12 > len(data):
        raise _damaged()
    version, n_colors = struct.unpack_from("<HH", data, position + 8)
    colors = data[position + 12 : position + 12 + 4 * n_colors]
    if version != _LOG_PALETTE_VERSION or len(colors) < 4 * n_colors:
        raise _damaged()
    for start in range(0, len(colors), 4):
        yield Swatch(tuple(colors[start : start + 3]))


def is_color_table(data: bytes) -> bool:
    """Return whether data can be an ACT file, which has no signature: 256 colours, and perhaps their number."""
    if len(data) == _TABLE_BYTES + 4:
        (n_colors,) = struct.unpack_from(">H", data, _TABLE_BYTES)
        return n_colors <= _N_ENTRIES and not _is_aco(data)
    return len(data) == _TABLE_BYTES and not _is_printable(data) and not _is_aco(data)


def read_color_table(data: bytes) -> Iterator[Swatch]:
    """Yield the colours of an ACT file without the transparent one; all 256 if their number is missing."""
    n_colors, transparent = struct.unpack(">HH", data[_TABLE_BYTES:] or struct.pack(">HH", _N_ENTRIES, _NO_INDEX))
    for index in range(n_colors or _N_ENTRIES):
        if index != transparent:
            yield Swatch(tuple(data[3 * index : 3 * index + 3]))


def _is_aco(data: bytes) -> bool:
    """Return whether data fit the layout of Photoshop's swatches, which can have the length of a table by chance."""
    version, n_colors = struct.unpack_from(">HH", data)
    return version in (1, 2) and 0 < 4 + 10 * n_colors <= len(data)


def _is_printable(data: bytes) -> bool:
    try:
        return "".join(data.decode().split()).isprintable()
    except UnicodeDecodeError:
        return False


def _damaged() -> PaletteFileError:
    return PaletteFileError("truncated or damaged; get an undamaged copy")
