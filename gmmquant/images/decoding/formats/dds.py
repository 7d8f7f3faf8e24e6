"""DDS: the largest level of the first texture, by Pillow.

Source: Microsoft's "Programming Guide for DDS".
"""

from __future__ import annotations

import struct
from typing import BinaryIO

from gmmquant.errors import ImageError
from gmmquant.images.decoding.reader import SEVERAL_IMAGES, Admit, Header, StoredImage
from gmmquant.images.decoding.single import decode_single, read_single_header

_CUBE_MAP, _VOLUME = 0x200, 0x200000
_BC6H = (94, 95, 96)


def read_header(file: BinaryIO) -> Header:
    beginning = file.read(132)
    if beginning[84:88] == b"DX10" and struct.unpack_from("<I", beginning, 128)[0] in _BC6H:
        raise ImageError("a DDS in BC6H stores light without an upper limit; map its tones and save it as PNG")
    file.seek(0)
    return read_single_header(file, "DDS")


def decode(data: bytes, header: Header, admit: Admit) -> StoredImage:
    (capabilities,) = struct.unpack_from("<I", data, 112)
    notes = (SEVERAL_IMAGES,) if capabilities & (_CUBE_MAP | _VOLUME) else ()
    return decode_single(data, header, admit, notes=notes)
