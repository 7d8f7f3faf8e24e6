"""JPEG 2000: up to 8 bits by Pillow, as OpenCV fails on grey with alpha, CMYK and YCC; more bits by OpenCV.

Decoders allocate memory for the size in the codestream, not for the one in a JP2's header box, so both must agree.
Layout: ISO/IEC 15444-1, annexes A and I.
"""

from __future__ import annotations

import io
import struct
from dataclasses import dataclass
from typing import Any, BinaryIO

import numpy as np
import numpy.typing as npt

from gmmquant.errors import ImageError
from gmmquant.images.containers import iterate_boxes
from gmmquant.images.decoding.opencv import decode_with_opencv, stretched, to_rgb
from gmmquant.images.decoding.pillow import decode_with_pillow, read_pillow_header
from gmmquant.images.decoding.reader import Admit, Header, StoredImage, damaged

_START_OF_CODESTREAM = b"\xff\x4f\xff\x51"  # the SOC marker and the SIZ marker
_RESTRICTED_ICC, _ANY_ICC = 2, 3  # methods of a colour specification box
_SRGB, _GREY = 16, 17  # enumerated colour spaces


@dataclass(frozen=True)
class _Codestream:
    """Sizes, the largest number of bits per channel, and the ICC profile of the file around the codestream, if any.

    Channels are `plain` if they are unsigned, alike and not subsampled, without palette, in sRGB or grey.
    """

    size: tuple[int, int]
    channels: int
    bits: int
    plain: bool
    profile: bytes | None


def read_header(file: BinaryIO) -> Header:
    # Pillow reads as many bytes as a box claims to have, and a file would allocate them.
    return read_pillow_header(io.BytesIO(file.read()), "JPEG 2000", "Jpeg2K")


def decode(data: bytes, header: Header, admit: Admit) -> StoredImage:
    admit(*header.size, 1)
    stream = _read_codestream(data)
    if stream is None or stream.size != header.size:
        raise damaged("JPEG 2000")
    return StoredImage.with_info(_decode_pixels(data, stream)[np.newaxis], header, profile=stream.profile)


def _decode_pixels(data: bytes, stream: _Codestream) -> npt.NDArray[Any]:
    bits = stream.bits
    if bits <= 8:
        pixels = decode_with_pillow(data, "JPEG 2000")
        if bits < 8 and stream.plain:  # Pillow has shifted them up
            return stretched(pixels >> (8 - bits), (1 << bits) - 1)
        return pixels
    if not stream.plain or stream.channels == 2 or bits > 16:
        raise ImageError(
            f"JPEG 2000 with {bits} bits per channel is supported only as grey, RGB or RGBA of up to 16 bits; "
            "convert it to 8 bits"
        )
    decoded = decode_with_opencv(data, "JPEG 2000")
    if decoded.pixels.dtype != np.uint16:
        raise damaged("JPEG 2000")
    return to_rgb(stretched(decoded.pixels, (1 << bits) - 1))


def _read_codestream(data: bytes) -> _Codestream | None:
    """Read the header of a bare codestream or of the one in a JP2; None if it is broken."""
    start, plain = 0, True
    profile: bytes | None = None
    if not data.startswith(_START_OF_CODESTREAM):
        found = {box_type: (begin, end) for box_type, begin, end in iterate_boxes(data)}
        if b"jp2c" not in found:
            return None
        start = found[b"jp2c"][0]
        for box_type, begin, end in iterate_boxes(data, *found.get(b"jp2h", (0, 0))):
            if box_type == b"colr" and end - begin > 3:
                if data[begin] in (_RESTRICTED_ICC, _ANY_ICC):
                    profile = profile or data[begin + 3 : end]
                elif end - begin >= 7:
                    plain = plain and struct.unpack_from(">I", data, begin + 3)[0] in (_SRGB, _GREY)
            plain = plain and box_type != b"pclr"
    if data[start : start + 4] != _START_OF_CODESTREAM or start + 42 > len(data):
        return None
    x1, y1, x0, y0 = struct.unpack_from(">4I", data, start + 8)
    (channels,) = struct.unpack_from(">H", data, start + 40)
    components = [data[start + 42 + 3 * n : start + 45 + 3 * n] for n in range(channels)]
    if not 0 < channels < 16385 or len(components[-1]) < 3 or x1 <= x0 or y1 <= y0:
        return None
    bits = max(component[0] & 0x7F for component in components) + 1
    plain = plain and all(component == bytes([bits - 1, 1, 1]) for component in components)
    return _Codestream((x1 - x0, y1 - y0), channels, bits, plain, profile)
