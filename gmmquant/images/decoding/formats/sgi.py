"""SGI, by Pillow.

Source: "The SGI Image File Format", version 1.00.
"""

from __future__ import annotations

from typing import BinaryIO

from gmmquant.images.decoding.reader import Admit, Header, StoredImage
from gmmquant.images.decoding.single import ONLY_8_BITS, decode_single, read_single_header


def read_header(file: BinaryIO) -> Header:
    return read_single_header(file, "SGI")


def decode(data: bytes, header: Header, admit: Admit) -> StoredImage:
    return decode_single(data, header, admit, notes=(ONLY_8_BITS,) if data[3] == 2 else ())
