"""What a written file says besides its pixels: resolution, colour space, and what is carried over from the input."""

from __future__ import annotations

import math
from collections.abc import Iterator
from functools import cache

from PIL import Image

from gmmquant.images.decoded import Metadata
from gmmquant.images.decoding.decoder_stderr import pillow_at_ease
from gmmquant.images.encoding.signature import MARK
from gmmquant.images.exif import keep_bytes_of_texts

# What is carried over from an input that says nothing.
NO_METADATA = Metadata()

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
    """Return the ICC profile that the file gets: sRGB's, or none where the input had none."""
    return _srgb_profile() if metadata.has_profile else b""


@cache
def _srgb_profile() -> bytes:
    """Return an ICC profile of sRGB, made on no particular day so that the same image gives the same bytes."""
    from PIL import ImageCms  # takes 5 ms, and few files have a profile

    profile = bytearray(ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes())
    profile[_DATE_OF_PROFILE] = b"\x07\xd0\0\x01\0\x01\0\0\0\0\0\0"
    return bytes(profile)


def exif_of(metadata: Metadata, *, keep: bool) -> Image.Exif:
    """Return the EXIF of the input if it is to be kept and can be read, else an empty one."""
    exif = Image.Exif()
    if keep and metadata.exif:
        try:
            with pillow_at_ease():
                exif.load(metadata.exif)
                keep_bytes_of_texts(exif)
                exif.tobytes()
        except Exception:  # what camera and editor programs write here is often broken, and never worth an image
            return Image.Exif()
    return exif


def signed_exif(metadata: Metadata, *, keep: bool) -> bytes:
    """Return a TIFF structure that names gmmquant, with the resolution, and the EXIF of the input where kept."""
    exif, dpi = exif_of(metadata, keep=keep), dpi_of(metadata)
    exif[_SOFTWARE] = MARK
    if dpi is not None:
        exif.update({_X_RESOLUTION: dpi[0], _Y_RESOLUTION: dpi[1], _RESOLUTION_UNIT: _INCHES})
    return exif.tobytes().removeprefix(b"Exif\0\0")


def comments_of(metadata: Metadata, *, keep: bool) -> Iterator[bytes]:
    """Yield the comments to be kept as lines of UTF-8, with their keyword unless that is "Comment"."""
    for keyword, text in metadata.comments if keep else ():
        line = text if keyword.lower() == "comment" else f"{keyword}: {text}"
        yield line.encode("utf-8", "replace")
