"""What a file says besides its pixels, as `Metadata`: resolution, EXIF, XMP, comments; all of it bounded, none trusted.

Of EXIF, the orientation is taken out, as it is applied to the pixels; so are the thumbnail and the sizes, which are of
another image, the colour space, which is sRGB by now, and maker notes, whose inner offsets would not hold elsewhere.
What is broken or too long is left out and never fails.
"""

from __future__ import annotations

import io
import math
import re
from typing import Any

from PIL import Image

from gmmquant.images.decoded import Metadata
from gmmquant.images.decoding import png_chunks
from gmmquant.images.decoding.decoder_stderr import pillow_at_ease
from gmmquant.images.decoding.sniff import Header
from gmmquant.images.exif import DESCRIPTIVE, EXIF, GPS, keep_bytes_of_texts

# Bytes of one piece of what a file says, and how many comments are kept.
_LIMIT = png_chunks.LIMIT
_MOST_COMMENTS = 100

_HIGHEST_DPI = 1e5
_X_RESOLUTION, _Y_RESOLUTION, _RESOLUTION_UNIT = 282, 283, 296

# Of the directory of EXIF: maker note, colour space, width, height, the directory that names a colour space, gamma.
_OF_THE_FILE = (0x927C, 0xA001, 0xA002, 0xA003, 0xA005, 0xA500)

_CENTIMETRES = 3
_JFIF_UNITS = (1, 2)  # an inch, a centimetre

# Of the first directory, which is a TIFF's own, what is kept.
_KEPT = (*DESCRIPTIVE, _X_RESOLUTION, _Y_RESOLUTION, _RESOLUTION_UNIT, EXIF, GPS)

_XMP_ORIENTATION = re.compile(
    rb"\s+tiff:Orientation\s*=\s*(?:\"\d*\"|'\d*')|<tiff:Orientation>\s*\d*\s*</tiff:Orientation>"
)


def read_metadata(
    data: bytes,
    header: Header,
    found: dict[bytes, list[bytes]],
    *,
    has_profile: bool,
    turned: bool,
    comment: bytes = b"",
) -> Metadata:
    """Collect what a file says.

    Parameters
    ----------
    data : the whole file
    header : Header
    found : the chunks of a PNG, else empty
    has_profile : bool
        Whether the file named its colour space, and that was heeded.
    turned : bool
        Whether the orientation swaps width and height, and so the two resolutions.
    comment : bytes
        The comment of a GIF.
    """
    info = header.info
    dpi, block, xmp = info.get("dpi"), info.get("exif", b""), info.get("xmp", b"")
    comments = [("Comment", _text(comment))]
    if header.format == "PNG":
        dpi, block, xmp = png_chunks.resolution(found), found.get(b"eXIf", [b""])[0], png_chunks.xmp(found)
        comments = png_chunks.texts(found)
    elif header.format == "TIFF":
        dpi = dpi if _X_RESOLUTION in header.tiff_tags else None  # else Pillow has made one up
    elif header.format == "JPEG":
        dpi = dpi if info.get("jfif_unit") in _JFIF_UNITS else None  # else Pillow may have made one up
        comments = [("Comment", _text(info.get("comment", b"")))]
    exif = _load_exif(data, header, block)
    dpi = _checked_dpi(dpi) or _checked_dpi(_dpi_of(exif))
    return Metadata(
        dpi=dpi[::-1] if dpi is not None and turned else dpi,
        has_profile=has_profile,
        exif=_written(exif, turned=turned),
        xmp=_XMP_ORIENTATION.sub(b"", xmp) if isinstance(xmp, bytes) and len(xmp) <= _LIMIT else b"",
        comments=tuple((key, text) for key, text in comments[:_MOST_COMMENTS] if text and len(text) <= _LIMIT),
    )


def _text(comment: object) -> str:
    if not isinstance(comment, bytes):
        return ""
    comment = comment.rstrip(b"\0")
    try:
        return comment.decode()
    except UnicodeDecodeError:
        return comment.decode("latin-1")


def _load_exif(data: bytes, header: Header, block: object) -> Image.Exif | None:
    """Load the EXIF data of a block, or the descriptive tags of a TIFF; None if there are none, or broken ones."""
    if header.format == "TIFF":
        block = data
    elif not isinstance(block, bytes) or not block or len(block) > _LIMIT:
        return None
    else:
        block = block.removeprefix(b"Exif\0\0")
    exif = Image.Exif()
    try:
        with pillow_at_ease():
            if header.format == "TIFF":
                with Image.open(io.BytesIO(block), formats=("TIFF",)) as image:
                    whole = image.getexif()
                    exif.update({tag: whole[tag] for tag in DESCRIPTIVE if tag in whole})
                    for tag in (EXIF, GPS):
                        if further := whole.get_ifd(tag):
                            exif.get_ifd(tag).update(further)
                            exif[tag] = 0  # where it stands is seen when it is written
            else:
                exif.load(block)
    except MemoryError:
        raise
    except Exception:  # what cameras and editors write here is often broken
        return None
    return exif


def _written(exif: Image.Exif | None, *, turned: bool) -> bytes:
    """Return EXIF data without what does not hold any more; empty if nothing is left."""
    if exif is None:
        return b""
    try:
        with pillow_at_ease():
            for tag in [tag for tag in exif if tag not in _KEPT]:
                del exif[tag]
            if EXIF in exif:
                for tag in _OF_THE_FILE:
                    exif.get_ifd(EXIF).pop(tag, None)
            if turned and _X_RESOLUTION in exif and _Y_RESOLUTION in exif:
                exif[_X_RESOLUTION], exif[_Y_RESOLUTION] = exif[_Y_RESOLUTION], exif[_X_RESOLUTION]
            keep_bytes_of_texts(exif)
            block = exif.tobytes().removeprefix(b"Exif\0\0") if len(exif) else b""
    except MemoryError:
        raise
    except Exception:  # as above
        return b""
    return block if len(block) <= _LIMIT else b""


def _dpi_of(exif: Image.Exif | None) -> tuple[Any, Any] | None:
    if exif is None:
        return None
    try:
        scale = 2.54 if exif.get(_RESOLUTION_UNIT, 2) == _CENTIMETRES else 1.0
        return float(exif[_X_RESOLUTION]) * scale, float(exif[_Y_RESOLUTION]) * scale
    except Exception:  # as above
        return None


def _checked_dpi(dpi: Any) -> tuple[float, float] | None:
    """Return a resolution as two numbers; None if it is none, or absurd."""
    try:
        x, y = (float(value) for value in dpi)
    except (TypeError, ValueError, ZeroDivisionError, OverflowError):
        return None
    return (x, y) if all(math.isfinite(value) and 0 < value <= _HIGHEST_DPI for value in (x, y)) else None
