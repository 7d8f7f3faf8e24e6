"""WebP: single images by OpenCV, animations by Pillow.

The header is read here, as Pillow would read the whole file and allocate the canvas. Zeros decode as pixels, so that
the decoder reports nothing if the end of a file was never written; encoders end the data with the last byte that the
decoder needs. Layout: RFC 9649.
"""

from __future__ import annotations

import io
import struct
from typing import Any, BinaryIO

from gmmquant.images.containers import iterate_riff_chunks, riff_chunk
from gmmquant.images.decoding.opencv import decode_with_opencv, to_rgb
from gmmquant.images.decoding.pillow import decode_animation
from gmmquant.images.decoding.reader import Admit, DamagedError, Header, StoredImage, damaged

_FILE_HEADER_BYTES, _FRAME_HEADER_BYTES = 12, 16
_PIXELS = (b"VP8 ", b"VP8L")
_TEXTS = {b"ICCP": "icc_profile", b"EXIF": "exif", b"XMP ": "xmp"}
_HAS_ALPHA = 0x10
_MAX_TEXT_BYTES = 1 << 24

# The data of flat images may end in thousands of zeros that are needed, and those of any image in some, up to 6 in
# 300 files, that are not.
_SURPLUS_BYTES = 32


def read_header(file: BinaryIO) -> Header | None:
    n_bytes, form = struct.unpack("<4xI4s", file.read(_FILE_HEADER_BYTES))
    if form != b"WEBP":
        return None
    size, mode, n_frames = (0, 0), "RGB", 0
    info: dict[str, Any] = {}
    end = 8 + n_bytes
    for chunk_type, start, length in iterate_riff_chunks(file, _FILE_HEADER_BYTES, end):
        n_frames += chunk_type == b"ANMF"
        if chunk_type == b"VP8L":
            info["is_lossless"] = True
        if chunk_type == b"ANIM":
            file.seek(start)
            info["loop"] = struct.unpack("<IH", file.read(6))[1]
        elif chunk_type in (*_PIXELS, b"VP8X") and size == (0, 0):
            file.seek(start)
            size, has_alpha = _read_size(chunk_type, file.read(10))
            mode = "RGBA" if has_alpha else "RGB"
        elif chunk_type in _TEXTS and length <= _MAX_TEXT_BYTES:
            file.seek(start)
            info.setdefault(_TEXTS[chunk_type], file.read(length))
    return Header("WebP", size, mode, max(n_frames, 1), info, end)


def decode(data: bytes, header: Header, admit: Admit) -> StoredImage:
    admit(*header.size, header.n_frames)
    if _is_incomplete(data):
        raise damaged("WebP")
    if header.n_frames > 1:
        return decode_animation(data, header)
    pixels, orientation, _ = decode_with_opencv(data, "WebP")
    return StoredImage.with_info(to_rgb(pixels)[None], header, orientation=orientation)


def _read_size(chunk_type: bytes, body: bytes) -> tuple[tuple[int, int], bool]:
    """Return width and height, and whether there is alpha, of the first chunk of a file."""
    if chunk_type == b"VP8X":
        width, height = (int.from_bytes(body[at : at + 3], "little") + 1 for at in (4, 7))
        return (width, height), bool(body[0] & _HAS_ALPHA)
    if chunk_type == b"VP8L":
        bits = int.from_bytes(body[1:5], "little")
        return ((bits & 0x3FFF) + 1, (bits >> 14 & 0x3FFF) + 1), bool(bits >> 28 & 1)
    width, height = struct.unpack_from("<HH", body, 6)
    return (width & 0x3FFF, height & 0x3FFF), False


def _is_incomplete(data: bytes) -> bool:
    """Return whether the end of a file is missing or was never written."""
    chunks = list(iterate_riff_chunks(io.BytesIO(data), _FILE_HEADER_BYTES, len(data)))
    chunk_type, start, length = chunks[-1] if chunks else (b"", 0, 0)
    end = start + length
    if chunk_type == b"ANMF":
        chunks += iterate_riff_chunks(io.BytesIO(data), start + _FRAME_HEADER_BYTES, end)
        chunk_type, start, _ = chunks[-1]
    if end > len(data) or any(kind == bytes(4) for kind, _, _ in chunks):
        return True
    return chunk_type in _PIXELS and _has_surplus(chunk_type, data[start:end])


def _has_surplus(chunk_type: bytes, body: bytes) -> bool:
    """Return whether compressed pixels end in zeros that the decoder does not need."""
    if any(body[-2 * _SURPLUS_BYTES :]):
        return False
    shorter = riff_chunk(chunk_type, body[:-_SURPLUS_BYTES])
    try:
        decode_with_opencv(riff_chunk(b"RIFF", b"WEBP" + shorter), "WebP")
    except DamagedError:
        return False
    return True
