"""JPEG 2000: up to 8 bits by Pillow, as OpenCV fails on grey with alpha, CMYK and YCC; more bits by OpenCV.

Decoders allocate memory for the size in the codestream, not for the one in a JP2's header box, so both must agree, and
for each tile. They report nothing if tiles are missing or their end was never written. Layout: ISO/IEC 15444-1, annexes
A and I.
"""

from __future__ import annotations

import io
import struct
from typing import Any, BinaryIO

import numpy as np
import numpy.typing as npt

from gmmquant.errors import ImageError
from gmmquant.images.containers import iterate_boxes
from gmmquant.images.decoding.code_points import StatedSpace, space_of_code_points, space_of_primaries
from gmmquant.images.decoding.icc import parametric_curve
from gmmquant.images.decoding.opencv import decode_with_opencv, stretched, to_rgb
from gmmquant.images.decoding.pillow import decode_with_pillow, read_pillow_header
from gmmquant.images.decoding.reader import BASE_BYTES, Admit, Header, StoredImage, byte_limit, damaged

_START_OF_CODESTREAM = b"\xff\x4f\xff\x51"  # the SOC marker and the SIZ marker
_START_OF_TILE, _END_OF_CODESTREAM = 0xFF90, 0xFFD9
_MAX_BOXES = 1000

# The decoder of 8 bits allocates some 6 KB for each tile and 1 KB for each of its channels, before the first pixel.
_TILE_BYTES, _TILE_CHANNEL_BYTES = 6 << 10, 1 << 10
_ENUMERATED, _RESTRICTED_ICC, _ANY_ICC, _CODE_POINTS = 1, 2, 3, 5  # methods of a colour specification box

# Enumerated colour spaces. Greys have sRGB's curve; sYCC, and CMYK as without a profile, are converted by the decoder.
_CMYK, _SRGB, _GREY, _SYCC, _ROMM = 12, 16, 17, 18, 21
_OTHERS = {
    0: "bi-level",
    1: "YCbCr (1)",
    3: "YCbCr (2)",
    4: "YCbCr (3)",
    9: "PhotoYCC",
    11: "CMY",
    13: "YCCK",
    14: "CIELab",
    15: "bi-level (2)",
    19: "CIEJab",
    20: "e-sRGB",
    22: "YPbPr 1125/60",
    23: "YPbPr 1250/50",
    24: "e-sYCC",
}

# ROMM RGB (ISO 22028-2): x and y of white, red, green and blue, and the curve, linear up to 1/512 of the light.
_ROMM_CHROMATICITIES = (0.3457, 0.3585, 0.7347, 0.2653, 0.1596, 0.8404, 0.0366, 0.0001)
_ROMM_CURVE = (1.8, 1.0, 0.0, 1 / 16, 16 / 512)


def read_header(file: BinaryIO) -> Header:
    data = file.read(BASE_BYTES)
    boxes = list(iterate_boxes(data))
    for kind, start, end in boxes[:_MAX_BOXES]:
        if kind == b"jp2h":
            boxes += iterate_boxes(data, start, end)
    if len(boxes) > _MAX_BOXES:  # through which Pillow would go one by one
        raise damaged("JPEG 2000")
    # Pillow reads as many bytes as a box claims to have, and a file would allocate them.
    return read_pillow_header(io.BytesIO(data), "JPEG 2000", "Jpeg2K")


def decode(data: bytes, header: Header, admit: Admit) -> StoredImage:
    admit(*header.size, 1)
    start, plain, space = _find_codestream(data)
    if data[start : start + 4] != _START_OF_CODESTREAM or start + 42 > len(data):
        raise damaged("JPEG 2000")
    x1, y1, x0, y0 = struct.unpack_from(">4I", data, start + 8)
    (n_channels,) = struct.unpack_from(">H", data, start + 40)
    channels = [data[start + 42 + 3 * n : start + 45 + 3 * n] for n in range(n_channels)]
    size = (x1 - x0, y1 - y0)
    if not 0 < n_channels < 16385 or len(channels[-1]) < 3 or size != header.size or min(size) < 1:
        raise damaged("JPEG 2000")
    if _is_incomplete(data, start, size, n_channels):
        raise damaged("JPEG 2000")
    bits = max(channel[0] & 0x7F for channel in channels) + 1
    # Whether all are unsigned and have the same bits, without subsampling.
    plain = plain and all(channel == bytes([bits - 1, 1, 1]) for channel in channels)
    pixels = _decode_pixels(data, n_channels, bits, plain=plain)
    return StoredImage.with_info(pixels[np.newaxis], header, **space._asdict())


def _is_incomplete(data: bytes, start: int, size: tuple[int, int], n_channels: int) -> bool:
    """Return whether a codestream at `start` lacks a tile or its end, or has too many tiles for its size."""
    x1, y1, _, _, width, height, x0, y0 = struct.unpack_from(">8I", data, start + 8)
    if not (width and height and x0 < x1 and y0 < y1):
        return True
    n_tiles = -(-(x1 - x0) // width) * -(-(y1 - y0) // height)
    if n_tiles > 65535 or n_tiles * (_TILE_BYTES + n_channels * _TILE_CHANNEL_BYTES) > byte_limit(size[0] * size[1]):
        return True
    position, seen = start + 2, set()
    while position + 12 <= len(data):
        marker, length, tile, part_bytes = struct.unpack_from(">HHHI", data, position)
        if marker == _START_OF_TILE:
            seen.add(tile)
            # The last part may extend to the end, whose position is then not stated.
            end = data.rfind(b"\xff\xd9", position) if part_bytes == 0 else position + max(part_bytes, 12)
            position = end if end >= 0 else len(data)
        elif marker == _END_OF_CODESTREAM or seen or length < 2:
            break
        else:
            position += 2 + length
    return len(seen) < n_tiles or data[position : position + 2] != b"\xff\xd9"


def _find_codestream(data: bytes) -> tuple[int, bool, StatedSpace]:
    """Return the start of the codestream, whether it is RGB or grey without a palette, and the stated colour space."""
    if data.startswith(_START_OF_CODESTREAM):
        return 0, True, StatedSpace()
    boxes = {box_type: (begin, end) for box_type, begin, end in iterate_boxes(data)}
    plain, spaces = True, list[StatedSpace]()
    for box_type, begin, end in iterate_boxes(data, *boxes.get(b"jp2h", (0, 0))):
        if box_type == b"colr" and end - begin > 3:
            body = data[begin + 3 : end]
            if data[begin] in (_RESTRICTED_ICC, _ANY_ICC):
                spaces.append(StatedSpace(body))
            elif data[begin] == _CODE_POINTS and len(body) >= 6:
                spaces.append(space_of_code_points("colr", *struct.unpack_from(">HH", body)))
            elif data[begin] == _ENUMERATED and len(body) >= 4:
                (number,) = struct.unpack_from(">I", body)
                plain = plain and number in (_SRGB, _GREY, _ROMM)
                spaces.append(_enumerated_space(number))
        plain = plain and box_type != b"pclr"
    # A profile, or else the first that is applied.
    spaces.sort(key=lambda space: (space.profile is None, not space.is_srgb))
    space = spaces[0].unless_srgb() if spaces else StatedSpace()
    return boxes.get(b"jp2c", (len(data), 0))[0], plain, space


def _enumerated_space(number: int) -> StatedSpace:
    if number in (_SRGB, _GREY, _SYCC):
        return StatedSpace(is_srgb=True)
    if number == _ROMM:
        return space_of_primaries("ROMM RGB", _ROMM_CHROMATICITIES, parametric_curve(*_ROMM_CURVE))
    if number == _CMYK:
        return StatedSpace()
    return StatedSpace(other_color_space=f"colour space {_OTHERS.get(number, 'unknown')} (JPEG 2000's {number})")


def _decode_pixels(data: bytes, n_channels: int, bits: int, *, plain: bool) -> npt.NDArray[Any]:
    if bits <= 8:
        pixels = decode_with_pillow(data, "JPEG 2000")
        # Pillow has shifted fewer bits up.
        return stretched(pixels >> (8 - bits), (1 << bits) - 1) if bits < 8 and plain else pixels
    if not plain or n_channels == 2 or bits > 16:
        raise ImageError(
            f"JPEG 2000 with {bits} bits per channel is supported only as grey, RGB or RGBA of up to 16 bits; "
            "convert it to 8 bits"
        )
    pixels, _, _ = decode_with_opencv(data, "JPEG 2000")
    if pixels.dtype != np.uint16:
        raise damaged("JPEG 2000")
    return to_rgb(stretched(pixels, (1 << bits) - 1))
