"""JPEG XL, by pillow-jxl-plugin: 8 bits, or 16 bits of grey; a JPEG that was packed without loss is read as a JPEG.

The decoder applies the orientation; the one in EXIF does not count. Layout: ISO/IEC 18181.
"""

from __future__ import annotations

import io
from typing import Any, BinaryIO

import numpy as np
import numpy.typing as npt

from gmmquant.errors import ImageError
from gmmquant.images.containers import iterate_boxes
from gmmquant.images.decoding.jxl_header import JxlHeader, parse_jxl
from gmmquant.images.decoding.optional import import_decoder
from gmmquant.images.decoding.pillow import errors_as_damage
from gmmquant.images.decoding.profiles import read_profile
from gmmquant.images.decoding.reader import BASE_BYTES, Admit, Header, StoredImage, damaged, unused_images

_CHANNELS = {"L": 1, "I;16": 1, "LA": 2, "RGB": 3, "RGBA": 4}
_MAX_EXTRA_CHANNELS = 16
_TIFF = (b"II*\0", b"MM\0*")
_ONLY_8_BITS = "the image has more than 8 bits per channel; only 8 are used"
_LAST_FRAME = "the file is an animation; only its last frame is used"


def read_header(file: BinaryIO) -> Header:
    found = parse_jxl(file.read(BASE_BYTES))
    if found is None:
        raise damaged("JPEG XL")
    if found.n_extra > _MAX_EXTRA_CHANNELS:
        raise ImageError(
            f"JPEG XL with {found.n_extra} extra channels is above the limit {_MAX_EXTRA_CHANNELS}; save it as PNG"
        )
    _library()
    return Header("JPEG XL", (found.width, found.height), "RGB", details=found)


def decode(data: bytes, header: Header, admit: Admit) -> StoredImage:
    from gmmquant.images.decoding.formats import jpeg
    from gmmquant.images.decoding.registry import read_header as header_of

    found: JxlHeader = header.details
    admit(*header.size, 1)
    with errors_as_damage("JPEG XL"):
        is_jpeg, info, decoded, profile, boxes = _library().Decoder(num_threads=0)(data)
    if is_jpeg:
        inner = header_of(io.BytesIO(decoded))
        if inner.format != "JPEG" or sorted(inner.size) != sorted(header.size):
            raise damaged("JPEG XL")
        return jpeg.decode(decoded, inner, lambda *_: None)
    if (info.width, info.height) != header.size or info.mode not in _CHANNELS:
        raise damaged("JPEG XL")
    pixels = _pixels(decoded, info)
    has_gain_map = any(kind == b"jhgm" for kind, _, _ in iterate_boxes(data))
    notes = unused_images(["an HDR gain map"] if has_gain_map else [])
    if found.is_animation:
        notes = (_LAST_FRAME, *notes)
    if found.bits > 8 and pixels.dtype == np.uint8:
        notes = (*notes, _ONLY_8_BITS)
    texts = {bytes(box.box_type): bytes(box.data) for box in boxes if box.box_type in (b"Exif", b"xml ")}
    exif = texts.get(b"Exif", b"")
    return StoredImage(
        pixels[np.newaxis],
        orientation=1,
        notes=notes,
        profile=_stated_profile(bytes(profile or b"")),
        exif=exif if exif[:4] in _TIFF else exif[4:],  # behind the position of the TIFF structure
        xmp=texts.get(b"xml ", b""),
    )


def _stated_profile(profile: bytes) -> bytes | None:
    """Return the profile unless it is sRGB, in a format that cannot leave its space open."""
    found = read_profile(profile) if profile else None
    return None if not profile or (found is not None and found.is_srgb) else profile


def _library() -> Any:
    return import_decoder("JPEG XL", "pillow-jxl-plugin", "pillow_jxl")


def _pixels(decoded: bytes, info: Any) -> npt.NDArray[Any]:
    channels, dtype = _CHANNELS[info.mode], np.uint16 if info.mode == "I;16" else np.uint8
    values = np.frombuffer(decoded, dtype)
    if values.size != info.width * info.height * channels:
        raise damaged("JPEG XL")
    pixels = values.reshape(info.height, info.width, channels)
    return pixels[..., ([0, 0, 0], [0, 0, 0, 1])[channels - 1]] if channels < 3 else pixels.copy()
