"""QOI, by Pillow.

Source: "The Quite OK Image Format Specification", version 1.0.
"""

from __future__ import annotations

from typing import BinaryIO

from gmmquant.images.decoding.reader import Admit, Header, StoredImage, damaged
from gmmquant.images.decoding.single import decode_single, read_single_header

_END = bytes(7) + b"\1"


def read_header(file: BinaryIO) -> Header:
    return read_single_header(file, "QOI")


def decode(data: bytes, header: Header, admit: Admit) -> StoredImage:
    if _END not in data:  # bytes may follow
        raise damaged("QOI")
    return decode_single(data, header, admit)
