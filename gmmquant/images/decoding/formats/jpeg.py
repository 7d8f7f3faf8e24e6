"""JPEG, by OpenCV, CMYK by Pillow; the first image of a file with several (MPO).

A file whose pixel data are cut short is refused even if it has an end marker. A file without an end marker is cut
short: the decoder reports nothing if its missing part is filled with zeros, which are valid codes.
"""

from __future__ import annotations

from typing import Any, BinaryIO

import numpy as np
import numpy.typing as npt

from gmmquant.errors import ImageError
from gmmquant.images.decoding.jpeg_extras import other_images
from gmmquant.images.decoding.jpeg_markers import find_end_marker, find_pixels
from gmmquant.images.decoding.opencv import decode_with_opencv, to_rgb
from gmmquant.images.decoding.pillow import decode_with_pillow, read_pillow_header
from gmmquant.images.decoding.reader import Admit, Header, StoredImage, damaged, unused_images

_MAX_SCAN_HEADER_BYTES = 1 << 16

# Pillow joins all parts of the metadata, each of 64 kB, to what it has.
_MAX_METADATA_BYTES = 1 << 25

# Data that a decoder does not reach once it has decoded all pixels.
_SURPLUS = bytes(range(254, 0, -7))


def read_header(file: BinaryIO) -> Header:
    pixels = find_pixels(file)
    if pixels is None:  # Pillow would search the whole file
        raise damaged("JPEG")
    if pixels > _MAX_METADATA_BYTES:
        raise ImageError(f"{pixels} bytes before the pixels are above the limit {_MAX_METADATA_BYTES}; save it again")
    file.seek(0)
    return read_pillow_header(file, "JPEG", "Jpeg", pixels + _MAX_SCAN_HEADER_BYTES)


def decode(data: bytes, header: Header, admit: Admit) -> StoredImage:
    admit(*header.size, 1)
    end = find_end_marker(data)
    if end is None:
        raise damaged("JPEG")
    pixels, orientation, doubtful = decode_with_opencv(data, "JPEG")
    if doubtful and _is_cut_short(data, end, pixels):
        raise damaged("JPEG")
    notes = unused_images(other_images(data))
    if doubtful:
        notes = ("the decoder found errors in the file; parts of the image may be wrong", *notes)
    # Unless it is per inch or centimetre, Pillow may have made the resolution up.
    dpi = header.info.get("dpi") if header.info.get("jfif_unit") in (1, 2) else None
    comments = (("Comment", header.info.get("comment", b"")),)
    # OpenCV's colours of inks are up to two levels too bright.
    pixels = (decode_with_pillow(data, "JPEG") if header.mode == "CMYK" else to_rgb(pixels))[None]
    return StoredImage.with_info(pixels, header, orientation=orientation, notes=notes, dpi=dpi, comments=comments)


def _is_cut_short(data: bytes, end: int, decoded: npt.NDArray[Any]) -> bool:
    """Return whether pixels are missing from a file, with its end marker at `end`, that the decoder found faulty.

    libjpeg reports only the first fault of a file, which need not be this one. If surplus data before the end marker
    change the image, the decoder still needed data there. Only faulty files are decoded twice.
    """
    again, _, _ = decode_with_opencv(data[:end] + _SURPLUS + data[end:], "JPEG")
    return not np.array_equal(again, decoded)
