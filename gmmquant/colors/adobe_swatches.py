"""Palettes of Adobe's programs: Swatch Exchange (ASE) and the swatches of Photoshop (ACO). All numbers are big-endian.

ACO follows "Adobe Photoshop File Formats Specification", chapter "Color Swatches". Adobe has not published ASE; its
layout is known from files: a header, then blocks, each a type, a length and that many bytes.

Colours that only a colour profile converts to RGB (CMYK, Lab, colour books) are refused, since a guess would look
wrong. So are the greys of an ACO file, because programs disagree on whether 10000 is white or black.
"""

from __future__ import annotations

import colorsys
import io
import struct
from collections.abc import Iterable, Iterator, Sequence
from typing import Any

from gmmquant.colors.palette import NamedPalette, Swatch
from gmmquant.errors import PaletteFileError
from gmmquant.parsing import Color

ASE_BEGINNING = b"ASEF"
ACO_BEGINNINGS = (b"\0\1", b"\0\2")

_COLOR, _GROUP_START, _GROUP_END = 0x0001, 0xC001, 0xC002
_PROCESS_COLOR = 2
_RGB, _HSB = 0, 1
_ACO_SPACES = ["RGB", "HSB", "CMYK", "Pantone", "Focoltone", "Trumatch", "Toyo", "Lab", "grey", "CMYK", "HKS"]


def encode_ase(palette: NamedPalette) -> bytes:
    """Return a palette as an ASE file of one group."""
    swatches = (
        _encode_text(">H", caption) + struct.pack(">4s3fH", b"RGB ", *(color / 255), _PROCESS_COLOR)
        for color, caption in zip(palette.colors, palette.captions, strict=True)
    )
    blocks = [
        (_GROUP_START, _encode_text(">H", palette.name)),
        *((_COLOR, each) for each in swatches),
        (_GROUP_END, b""),
    ]
    encoded = (struct.pack(">HI", block_type, len(content)) + content for block_type, content in blocks)
    return struct.pack(">4sHHI", ASE_BEGINNING, 1, 0, len(blocks)) + b"".join(encoded)


def read_ase(data: bytes) -> Iterator[Swatch]:
    """Yield the colours of an ASE file, of all groups."""
    file = io.BytesIO(data[8:])
    (n_blocks,) = _read(">I", file)
    for _ in range(n_blocks):
        block_type, length = _read(">HI", file)
        (content,) = _read(f">{length}s", file)
        if block_type == _COLOR:
            yield _ase_swatch(io.BytesIO(content))


def encode_aco(palette: NamedPalette) -> bytes:
    """Return a palette as an ACO file: version 1, without names, then version 2 for programs that read captions.

    A channel is repeated in both bytes of its 16 bits, so that 255 becomes 65535.
    """
    colors = [struct.pack(">5H", _RGB, *(257 * channel for channel in color), 0) for color in palette.colors.tolist()]
    named = (color + _encode_text(">I", caption) for color, caption in zip(colors, palette.captions, strict=True))
    heads = [struct.pack(">HH", version, len(colors)) for version in (1, 2)]
    return b"".join((heads[0], *colors, heads[1], *named))


def read_aco(data: bytes) -> Iterator[Swatch]:
    """Yield the colours of the first section of an ACO file; a second section has the same colours with names."""
    file = io.BytesIO(data)
    version, n_colors = _read(">HH", file)
    for _ in range(n_colors):
        space, *values = _read(">5H", file)
        if version == 2:
            (length,) = _read(">I", file)
            _read(f">{2 * length}s", file)
        yield Swatch(_aco_color(space, values))


def _encode_text(length_layout: str, text: str) -> bytes:
    """Return a text in UTF-16 with a zero at its end, after its length in units of two bytes."""
    encoded = (text + "\0").encode("utf-16-be")
    return struct.pack(length_layout, len(encoded) // 2) + encoded


def _ase_swatch(block: io.BytesIO) -> Swatch:
    (name_length,) = _read(">H", block)
    name, model = _read(f">{2 * name_length}s4s", block)
    return Swatch(_ase_color(model.strip().upper(), block), name.decode("utf-16-be", "replace").rstrip("\0"))


def _ase_color(model: bytes, block: io.BytesIO) -> Color:
    if model == b"RGB":
        return _to_8_bits(_read(">3f", block))
    if model == b"GRAY":  # 1 is white
        return _to_8_bits(_read(">f", block) * 3)
    if model in (b"CMYK", b"LAB"):
        raise _not_rgb(model.decode())
    raise PaletteFileError(f"damaged: a swatch has the colour model {model!r}; get an undamaged copy")


def _aco_color(space: int, values: Sequence[int]) -> Color:
    if space == _RGB:
        # The higher byte is right both for programs that write v * 257 and for those that write v * 256.
        return tuple(value >> 8 for value in values[:3])
    if space == _HSB:
        return _to_8_bits(colorsys.hsv_to_rgb(*(value / 65535 for value in values[:3])))
    raise _not_rgb(_ACO_SPACES[space] if space < len(_ACO_SPACES) else f"number {space}")


def _to_8_bits(channels: Iterable[float]) -> Color:
    """Round channels in [0, 1] to 8 bits; refuse values that are outside by more than rounding."""
    levels = [255 * channel for channel in channels]
    if not all(-0.5 <= level <= 255.5 for level in levels):
        raise PaletteFileError("damaged: a swatch has a value outside 0 to 1; get an undamaged copy")
    return tuple(min(round(level), 255) for level in levels)


def _read(layout: str, file: io.BytesIO) -> tuple[Any, ...]:
    """Read a structure from a file; refuse a file that ends before it."""
    try:
        return struct.unpack(layout, file.read(struct.calcsize(layout)))
    except struct.error:
        raise PaletteFileError("truncated or damaged; get an undamaged copy") from None


def _not_rgb(space: str) -> PaletteFileError:
    return PaletteFileError(f"contains a colour in the space {space}, which has no exact RGB; save the swatches as RGB")
