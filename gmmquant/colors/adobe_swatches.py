"""Palettes as Adobe's programs keep them: Swatch Exchange (ASE) and the swatches of Photoshop (ACO). All big-endian.

ACO follows "Adobe Photoshop File Formats Specification", chapter "Color Swatches". Adobe has not published ASE; its
layout is known from files: a header, then blocks, each a type, a length and that many bytes.

Colours that only a colour profile makes RGB of (CMYK, Lab, colour books) are refused: a guess would look wrong. So are
the greys of an ACO file, of which programs disagree whether 10000 is white, as light, or black, as ink.
"""

from __future__ import annotations

import colorsys
import struct
from collections.abc import Iterable, Iterator, Sequence
from typing import Any

from gmmquant.colors.palette import Color, Palette
from gmmquant.errors import PaletteFileError

ASE_BEGINNING = b"ASEF"
ACO_BEGINNINGS = (b"\0\1", b"\0\2")

_COLOR, _GROUP_START, _GROUP_END = 0x0001, 0xC001, 0xC002
_PROCESS_COLOR = 2
_RGB, _HSB = 0, 1
_ACO_SPACES = {
    2: "CMYK",
    3: "Pantone",
    4: "Focoltone",
    5: "Trumatch",
    6: "Toyo",
    7: "Lab",
    8: "grey",
    9: "CMYK",
    10: "HKS",
}


def encode_ase(palette: Palette, captions: Sequence[str], name: str) -> bytes:
    """Write `palette` (K, 3) as a group of swatches: `name` is that of the group, `captions` those of its colours."""
    blocks = [
        _ase_block(_GROUP_START, _ase_text(name)),
        *(
            _ase_block(_COLOR, _ase_text(caption) + struct.pack(">4s3fH", b"RGB ", *(color / 255), _PROCESS_COLOR))
            for color, caption in zip(palette, captions, strict=True)
        ),
        _ase_block(_GROUP_END, b""),
    ]
    return struct.pack(">4sHHI", ASE_BEGINNING, 1, 0, len(blocks)) + b"".join(blocks)


def read_ase(data: bytes) -> Iterator[Color]:
    """Give the colours of an ASE file one by one, whatever groups they stand in.

    Raises
    ------
    PaletteFileError
        If the file is cut short or holds a colour that is neither RGB nor grey.
    """
    (n_blocks,) = _unpack(">I", data, 8)
    offset = 12
    for _ in range(n_blocks):
        kind, length = _unpack(">HI", data, offset)
        offset += 6
        if length > len(data) - offset:
            raise _cut_short()
        if kind == _COLOR:
            yield _ase_color(data[offset : offset + length])
        offset += length


def encode_aco(palette: Palette, captions: Sequence[str]) -> bytes:
    """Write `palette` (K, 3) in version 1, without names, and then in version 2 for programs that look for `captions`.

    A channel is repeated in both bytes of its 16 bits, so that 255 becomes 65535.
    """
    colors = [struct.pack(">5H", _RGB, *(int(channel) * 257 for channel in color), 0) for color in palette]
    names = [struct.pack(">I", len(caption) + 1) + (caption + "\0").encode("utf-16-be") for caption in captions]
    first = struct.pack(">HH", 1, len(colors)) + b"".join(colors)
    second = struct.pack(">HH", 2, len(colors)) + b"".join(
        color + name for color, name in zip(colors, names, strict=True)
    )
    return first + second


def read_aco(data: bytes) -> Iterator[Color]:
    """Give the colours of an ACO file one by one: of its first section, whose colours a second one only names.

    Raises
    ------
    PaletteFileError
        If the file is cut short or holds a colour that is neither RGB nor HSB.
    """
    version, n_colors = _unpack(">HH", data, 0)
    offset = 4
    for _ in range(n_colors):
        space, *values = _unpack(">5H", data, offset)
        offset += 10
        if version == 2:
            (length,) = _unpack(">I", data, offset)
            offset += 4 + 2 * length
            if offset > len(data):
                raise _cut_short()
        yield _aco_color(space, values)


def _ase_block(kind: int, content: bytes) -> bytes:
    return struct.pack(">HI", kind, len(content)) + content


def _ase_text(text: str) -> bytes:
    """Write a text with its length, in UTF-16 units with the zero at its end."""
    encoded = (text + "\0").encode("utf-16-be")
    return struct.pack(">H", len(encoded) // 2) + encoded


def _ase_color(block: bytes) -> Color:
    (name_length,) = _unpack(">H", block, 0)
    offset = 2 + 2 * name_length
    (model,) = _unpack(">4s", block, offset)
    model = model.strip().upper()
    if model == b"RGB":
        return _to_8_bits(_unpack(">3f", block, offset + 4))
    if model == b"GRAY":  # 1 is white
        return _to_8_bits(_unpack(">f", block, offset + 4) * 3)
    if model in (b"CMYK", b"LAB"):
        raise _no_rgb(model.decode())
    raise PaletteFileError(f"damaged: a swatch has the colour model {model[:4]!r}; get an undamaged copy")


def _aco_color(space: int, values: Sequence[int]) -> Color:
    if space == _RGB:
        # The higher byte is right both for programs that write v * 257 and for those that write v * 256.
        red, green, blue = (value >> 8 for value in values[:3])
        return red, green, blue
    if space == _HSB:
        return _to_8_bits(colorsys.hsv_to_rgb(*(value / 65535 for value in values[:3])))
    raise _no_rgb(_ACO_SPACES.get(space, f"number {space}"))


def _to_8_bits(channels: Iterable[float]) -> Color:
    """Round channels in [0, 1] to 8 bits; what is further outside than rounding explains is damage."""
    levels = [255 * channel for channel in channels]
    if not all(-0.5 <= level <= 255.5 for level in levels):
        raise PaletteFileError("damaged: a swatch has a value outside 0 to 1; get an undamaged copy")
    red, green, blue = (min(round(level), 255) for level in levels)
    return red, green, blue


def _unpack(layout: str, data: bytes, offset: int) -> tuple[Any, ...]:
    try:
        return struct.unpack_from(layout, data, offset)
    except struct.error:
        raise _cut_short() from None


def _cut_short() -> PaletteFileError:
    return PaletteFileError("cut short or damaged; get an undamaged copy")


def _no_rgb(space: str) -> PaletteFileError:
    return PaletteFileError(f"holds a colour of the space {space}, which has no exact RGB; save the swatches as RGB")
