"""PCX, by Pillow. Its resolution is dropped: some programs store the size of a screen instead.

Source: ZSoft's "PCX Technical Reference Manual".
"""

from __future__ import annotations

from typing import BinaryIO

from gmmquant.images.decoding.reader import Admit, Header, StoredImage, damaged
from gmmquant.images.decoding.single import decode_single, read_single_header

_HEADER_BYTES = 128
_PALETTE_BYTES, _PALETTE_MARK, _GREY = 769, b"\x0c", 2


def read_header(file: BinaryIO) -> Header:
    return read_single_header(file, "PCX")


def decode(data: bytes, header: Header, admit: Admit) -> StoredImage:
    if len(data) < _HEADER_BYTES:
        raise damaged("PCX")
    version, bits, planes, kind = data[1], data[3], data[65], data[68]
    needs_palette = version == 5 and (bits, planes) == (8, 1) and kind != _GREY
    if needs_palette and data[-_PALETTE_BYTES : 1 - _PALETTE_BYTES] != _PALETTE_MARK:
        raise damaged("PCX")  # Pillow would take the indices for greys
    return decode_single(data, header, admit)._replace(dpi=None)
