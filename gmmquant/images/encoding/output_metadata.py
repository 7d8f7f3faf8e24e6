"""Metadata of output files: resolution, colour space, and what is kept of the input's; and Pillow's encoders."""

from __future__ import annotations

import io
import math
from collections.abc import Iterator
from functools import cache
from typing import Any

from PIL import Image

from gmmquant.images.decoded import Metadata
from gmmquant.images.decoding.decoder_stderr import damage_ignored
from gmmquant.images.encoding.signature import MARK
from gmmquant.images.exif import keep_bytes_of_texts

_SOFTWARE = 0x0131
_X_RESOLUTION, _Y_RESOLUTION, _RESOLUTION_UNIT, _INCHES = 0x011A, 0x011B, 0x0128, 2
_DATE_OF_PROFILE = slice(24, 36)
_MAX_DPI = 65535


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


def comments_of(metadata: Metadata) -> Iterator[bytes]:
    """Yield the comments as UTF-8, with their keyword unless that is "Comment"."""
    for keyword, text in metadata.comments:
        line = text if keyword.lower() == "comment" else f"{keyword}: {text}"
        yield line.encode("utf-8", "replace")


def pillow_options(metadata: Metadata) -> dict[str, Any]:
    """Return the resolution and the ICC profile, where there are, as arguments of Pillow's `save`."""
    options = {"dpi": dpi_of(metadata), "icc_profile": profile_of(metadata)}
    return {name: value for name, value in options.items() if value}


def save_by_pillow(image: Image.Image, format: str, **options: Any) -> bytes:  # noqa: A002  Pillow's name
    """Return the file that Pillow makes of an image."""
    buffer = io.BytesIO()
    image.save(buffer, format, **options)
    return buffer.getvalue()
