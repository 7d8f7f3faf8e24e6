"""Metadata of output files: resolution, colour space, the input's, gmmquant's mark; and Pillow's encoders.

By the mark gmmquant recognises the files that it wrote, so that it does not take them as inputs. Each format stores it
where it is found without reading the whole file: see the modules of the formats.
"""

from __future__ import annotations

import io
import math
import re
import struct
from collections.abc import Iterator
from functools import cache
from typing import Any, BinaryIO

from PIL import Image

from gmmquant.images.decoded import Metadata
from gmmquant.images.decoding.decoder_stderr import damage_ignored
from gmmquant.images.exif import keep_bytes_of_texts

MARK = "gmmquant"

_SOFTWARE, _ASCII, _MAX_TAGS = 0x0131, 2, 256
_X_RESOLUTION, _Y_RESOLUTION, _RESOLUTION_UNIT, _INCHES = 0x011A, 0x011B, 0x0128, 2
_DATE_OF_PROFILE = slice(24, 36)
_MAX_DPI = 65535

# The texts of libwebp's errors for lack of memory, VP8_ENC_ERROR_OUT_OF_MEMORY and that of its bit stream.
_LITTLE_MEMORY = ("encoding error 1", "encoding error 2")


def dpi_of(metadata: Metadata) -> tuple[float, float] | None:
    """Return the resolution, if it is one that files can hold."""
    if metadata.dpi is None or not all(math.isfinite(dpi) and 0.5 <= dpi <= _MAX_DPI for dpi in metadata.dpi):
        return None
    return metadata.dpi


def profile_of(metadata: Metadata) -> bytes:
    """Return the ICC profile that the file gets: sRGB's, or none if the input had none."""
    return _srgb_profile() if metadata.has_profile else b""


@cache
def _srgb_profile() -> bytes:
    """Return an ICC profile of sRGB with a fixed date, so that the same image gives the same bytes."""
    from PIL import ImageCms  # takes 5 ms, and few files have a profile

    profile = bytearray(ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes())
    profile[_DATE_OF_PROFILE] = b"\x07\xd0\0\x01\0\x01\0\0\0\0\0\0"
    return bytes(profile)


def exif_of(metadata: Metadata) -> Image.Exif:
    """Return the EXIF, an empty one if there is none or it cannot be read."""
    with damage_ignored():
        exif = Image.Exif()
        if metadata.exif:
            exif.load(metadata.exif)
            keep_bytes_of_texts(exif)
            exif.tobytes()
        return exif
    return Image.Exif()


def signed_exif(metadata: Metadata) -> bytes:
    """Return a TIFF structure of the EXIF, the resolution, and gmmquant's mark as `Software`."""
    exif, dpi = exif_of(metadata), dpi_of(metadata)
    exif[_SOFTWARE] = MARK
    if dpi is not None:
        exif.update({_X_RESOLUTION: dpi[0], _Y_RESOLUTION: dpi[1], _RESOLUTION_UNIT: _INCHES})
    return exif.tobytes().removeprefix(b"Exif\0\0")


def is_marked_tiff(file: BinaryIO, start: int = 0) -> bool:
    """Return whether the tag `Software` of the TIFF structure that begins at byte `start` is gmmquant's mark."""
    file.seek(start)
    head = file.read(8)
    order = {b"II": "<", b"MM": ">"}.get(head[:2])
    if order is None or len(head) < 8:
        return False
    file.seek(start + struct.unpack(order + "I", head[4:])[0])
    tags = file.read(2 + 12 * _MAX_TAGS)[2:]
    for number in range(len(tags) // 12):
        tag, data_type, count, value = struct.unpack_from(order + "HHII", tags, 12 * number)
        if tag == _SOFTWARE and data_type == _ASCII and count == len(MARK) + 1:
            file.seek(start + value)
            return file.read(count)[:-1] == MARK.encode()
    return False


def is_marked_within(file: BinaryIO, beginning: bytes) -> bool:
    """Return whether gmmquant's mark is in a TIFF structure that starts within the first bytes of a file."""
    return any(is_marked_tiff(file, found.start()) for found in re.finditer(rb"II\*\0|MM\0\*", beginning))


def comments_of(metadata: Metadata) -> Iterator[bytes]:
    """Yield the comments as UTF-8, with their keyword unless that is "Comment"."""
    for keyword, text in metadata.comments:
        line = text if keyword.lower() == "comment" else f"{keyword}: {text}"
        yield line.encode("utf-8", "replace")


def save_by_pillow(image: Image.Image, format: str, metadata: Metadata | None = None, **options: Any) -> bytes:  # noqa: A002
    """Return the file that Pillow makes of an image, with the resolution and the colour space of `metadata`."""
    metadata = metadata or Metadata()
    described = {"dpi": dpi_of(metadata), "icc_profile": profile_of(metadata)}
    buffer = io.BytesIO()
    try:
        image.save(buffer, format, **options, **{name: value for name, value in described.items() if value})
    except KeyError:
        if format in Image.SAVE:
            raise
        raise ImportError(f"Pillow cannot load its part for {format}") from None  # of which it says nothing
    except ValueError as error:
        if str(error) in _LITTLE_MEMORY:
            raise MemoryError from None
        raise
    return buffer.getvalue()
