"""PSD: the merged image, by Pillow.

Source: "Adobe Photoshop File Formats Specification".
"""

from __future__ import annotations

import struct
from typing import BinaryIO

from gmmquant.errors import ImageError
from gmmquant.images.decoding.reader import Admit, Header, StoredImage
from gmmquant.images.decoding.single import decode_single, read_single_header

# A resource has an identifier of 16 bits. Pillow reads all of them before it knows the image.
_MAX_RESOURCES = 1 << 16

_EXTRA_CHANNEL = "a fourth channel is not the transparency of the image and is left out"


def read_header(file: BinaryIO) -> Header:
    beginning = file.read(26)
    version, bits = struct.unpack(">4xH16xH2x", beginning)
    if version == 2:
        raise ImageError("a PSB, a large document of Photoshop, is not supported; save it as PSD or PNG")
    if bits in (16, 32):
        raise ImageError(f"a PSD of {bits} bits per channel is not supported; save it as 16-bit PNG or TIFF")
    _check_resources(file)
    file.seek(0)
    return read_single_header(file, "PSD")


def _check_resources(file: BinaryIO) -> None:
    """Raise an `ImageError` if a file has more resources than there are identifiers."""
    file.seek(26)
    (length,) = struct.unpack(">I", file.read(4))  # of the colours
    position = 30 + length
    file.seek(position)
    end = position + 4 + int(struct.unpack(">I", file.read(4))[0])
    position += 4
    for _ in range(_MAX_RESOURCES):
        file.seek(position + 6)  # after the signature and the identifier
        n_name = 1 + int.from_bytes(file.read(1), "big")  # with its length
        position += 6 + n_name + n_name % 2
        file.seek(position)
        length = int.from_bytes(file.read(4), "big")
        position += 4 + length + length % 2
        if position >= end:
            return
    raise ImageError(f"a PSD with more than {_MAX_RESOURCES} image resources is not supported; save it again")


def decode(data: bytes, header: Header, admit: Admit) -> StoredImage:
    has_alpha = _n_layers(data) < 0
    notes = (_EXTRA_CHANNEL,) if header.mode == "RGBA" and not has_alpha else ()
    return decode_single(data, header, admit, has_alpha=has_alpha, notes=notes)


def _n_layers(data: bytes) -> int:
    """Return the number of layers, negative if the merged image is transparent; 0 if the file does not state it."""
    position = 26
    for _ in range(2):  # colours and resources
        if position + 4 > len(data):
            return 0
        position += 4 + struct.unpack_from(">I", data, position)[0]
    if position + 10 > len(data):
        return 0
    length, layers_length, n_layers = struct.unpack_from(">IIh", data, position)
    return n_layers if length and layers_length else 0
