"""Resolution, EXIF, XMP and comments of a file, checked and bounded.

EXIF loses the orientation, which is applied to the pixels; the thumbnail and the sizes, which describe other images;
the colour space, which becomes sRGB; and maker notes, whose inner offsets would break. XMP loses the orientation and
the colour space. Broken or too long metadata are left out and never cost the image.
"""

from __future__ import annotations

import math
import re
from typing import Any

from PIL import Image

from gmmquant.images.decoded import Metadata
from gmmquant.images.decoding.decoder_stderr import damage_ignored
from gmmquant.images.decoding.reader import StoredImage
from gmmquant.images.exif import DESCRIPTIVE, EXIF, GPS, keep_bytes_of_texts

MAX_METADATA_BYTES = 1 << 20  # of each text or block
_MAX_COMMENTS = 100
_MAX_DPI = 1e5

_X_RESOLUTION, _Y_RESOLUTION, _RESOLUTION_UNIT = 282, 283, 296
_KEPT_TAGS = (*DESCRIPTIVE, _X_RESOLUTION, _Y_RESOLUTION, _RESOLUTION_UNIT, EXIF, GPS)

_COLOR_SPACE, _INTEROPERABILITY = 0xA001, 0xA005
_ADOBE_RGB, _UNCALIBRATED = 2, 0xFFFF

# Tags dropped from the EXIF directory: maker note, colour space, width, height, interoperability directory, gamma.
_DROPPED_TAGS = (0x927C, _COLOR_SPACE, 0xA002, 0xA003, _INTEROPERABILITY, 0xA500)

# Possessive, so that a megabyte of spaces takes no time.
_XMP_ORIENTATION = rb"\stiff:Orientation\s*+=\s*+[\"'](\d*+)[\"']|<tiff:Orientation>\s*+(\d*+)\s*+</tiff:Orientation>"

# Properties of XMP that no longer apply, as attributes and as elements.
_STALE = rb"(?:tiff:Orientation|exif:ColorSpace|photoshop:ICCProfile)"
_STALE_XMP = rb"\s" + _STALE + rb"\s*+=\s*+(?:\"[^\"<]*+\"|'[^'<]*+')|<" + _STALE + rb">[^<]*+</" + _STALE + rb">"


def xmp_orientation(xmp: object) -> int:
    """Return the orientation that XMP states, 1 to 8; 1 if there is none."""
    found = re.search(_XMP_ORIENTATION, xmp) if isinstance(xmp, bytes) and len(xmp) <= MAX_METADATA_BYTES else None
    digits = (found[1] or found[2] or b"") if found else b""
    return int(digits) if digits in (b"2", b"3", b"4", b"5", b"6", b"7", b"8") else 1


def clean_metadata(stored: StoredImage, orientation: int, *, has_profile: bool) -> Metadata:
    """Return the usable metadata of a file whose `orientation` is applied.

    `has_profile` is whether the file states a colour space that is applied.
    """
    turned = orientation in (5, 6, 7, 8)
    exif = _load_exif(stored.exif)
    dpi = _checked_dpi(stored.dpi) or _checked_dpi(_exif_dpi(exif))
    xmp = stored.xmp if isinstance(stored.xmp, bytes) and len(stored.xmp) <= MAX_METADATA_BYTES else b""
    comments = [(keyword, _decode_text(text)) for keyword, text in stored.comments[:_MAX_COMMENTS]]
    return Metadata(
        dpi=dpi[::-1] if dpi is not None and turned else dpi,
        has_profile=has_profile,
        exif=_clean_exif(exif, turned=turned),
        xmp=re.sub(_STALE_XMP, b"", xmp),
        comments=tuple((keyword, text) for keyword, text in comments if text and len(text) <= MAX_METADATA_BYTES),
    )


def states_adobe_rgb(block: object) -> bool:
    """Return whether EXIF data state Adobe RGB, as cameras do without a profile (JEITA CP-3461, DCF option file).

    They name the interoperability rule R03 and an uncalibrated space, or the number 2, which is not in the standard.
    """
    with damage_ignored():
        exif = _load_exif(block)
        color_space = exif.get_ifd(EXIF).get(_COLOR_SPACE)
        rule = exif.get_ifd(_INTEROPERABILITY).get(1, "") if color_space == _UNCALIBRATED else ""
        return color_space == _ADOBE_RGB or str(rule).startswith("R03")
    return False


def _decode_text(text: object) -> str:
    if not isinstance(text, bytes):
        return text if isinstance(text, str) else ""
    text = text.rstrip(b"\0")
    try:
        return text.decode()
    except UnicodeDecodeError:
        return text.decode("latin-1")


def _load_exif(block: object) -> Image.Exif:
    """Return EXIF data; empty if there are none, or if they are damaged or too long."""
    if isinstance(block, Image.Exif):
        return block
    with damage_ignored():
        if isinstance(block, bytes) and len(block) <= MAX_METADATA_BYTES:
            exif = Image.Exif()
            exif.load(block.removeprefix(b"Exif\0\0"))
            return exif
    return Image.Exif()


def _clean_exif(exif: Image.Exif, *, turned: bool) -> bytes:
    """Return EXIF data without the tags that no longer apply; empty if nothing is left."""
    block = b""
    with damage_ignored():
        for tag in [tag for tag in exif if tag not in _KEPT_TAGS]:
            del exif[tag]
        if EXIF in exif:
            for tag in _DROPPED_TAGS:
                exif.get_ifd(EXIF).pop(tag, None)
        if turned and _X_RESOLUTION in exif and _Y_RESOLUTION in exif:
            exif[_X_RESOLUTION], exif[_Y_RESOLUTION] = exif[_Y_RESOLUTION], exif[_X_RESOLUTION]
        keep_bytes_of_texts(exif)
        block = exif.tobytes().removeprefix(b"Exif\0\0") if len(exif) else b""
    return block if len(block) <= MAX_METADATA_BYTES else b""


def _exif_dpi(exif: Image.Exif) -> tuple[float, float] | None:
    with damage_ignored():
        scale = 2.54 if exif.get(_RESOLUTION_UNIT) == 3 else 1.0  # per centimetre or inch
        return float(exif[_X_RESOLUTION]) * scale, float(exif[_Y_RESOLUTION]) * scale
    return None


def _checked_dpi(dpi: Any) -> tuple[float, float] | None:
    """Return a resolution as two numbers; None if it is missing or absurd."""
    try:
        x, y = (float(value) for value in dpi)
    except (TypeError, ValueError, ZeroDivisionError, OverflowError):
        return None
    return (x, y) if all(math.isfinite(value) and 0 < value <= _MAX_DPI for value in (x, y)) else None
