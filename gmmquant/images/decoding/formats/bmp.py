"""BMP of Windows and OS/2, also in a bitmap array, of which the first image is read."""

from __future__ import annotations

import struct
from typing import BinaryIO

from gmmquant.images.containers import METERS_PER_INCH
from gmmquant.images.decoding.dib import HEADER_BYTES, decode_dib, parse_dib
from gmmquant.images.decoding.dib_space import stated_space
from gmmquant.images.decoding.reader import SEVERAL_IMAGES, Admit, Header, StoredImage, damaged
from gmmquant.images.decoding.single import NO_ALPHA

_FILE_HEADER_BYTES = 14


def read_header(file: BinaryIO) -> Header | None:
    start = 0
    notes: tuple[str, ...] = ()
    beginning = file.read(2 * _FILE_HEADER_BYTES)
    if beginning[:2] == b"BA":
        start = _FILE_HEADER_BYTES
        notes = (SEVERAL_IMAGES,) if any(beginning[6:10]) else ()
    (pixels_at,) = struct.unpack_from("<I", beginning, start + 10)
    dib_at = start + _FILE_HEADER_BYTES
    file.seek(dib_at)
    dib = parse_dib(file.read(HEADER_BYTES))
    if dib is None:
        return None
    x, y = dib.pixels_per_meter
    info = {"dpi": (x * METERS_PER_INCH, y * METERS_PER_INCH)} if x > 0 and y > 0 else {}
    details = (dib, dib_at, pixels_at - dib_at if pixels_at > dib_at else dib.end_of_palette, notes)
    return Header("BMP", (dib.width, dib.height), "RGB", info=info, details=details)


def decode(data: bytes, header: Header, admit: Admit) -> StoredImage:
    admit(*header.size, 1)
    dib, dib_at, pixels_at, notes = header.details
    pixels = decode_dib(memoryview(data)[dib_at:], dib, pixels_at)
    if pixels is None:
        raise damaged("BMP")
    if pixels.shape[2] == 4 and not pixels[..., 3].any():
        pixels, notes = pixels[..., :3], (*notes, NO_ALPHA)
    start, length = dib.profile
    profile = data[dib_at + start : dib_at + start + length] if length else None
    stored = StoredImage.with_info(pixels[None], header, notes=notes, profile=profile)
    return stored.with_space(stated_space(data[dib_at : dib_at + HEADER_BYTES]))
