"""Formats of one image of 8 bits per channel that Pillow decodes."""

from __future__ import annotations

from typing import BinaryIO

import numpy as np

from gmmquant.errors import ImageError
from gmmquant.images.decoding.pillow import decode_with_pillow, read_pillow_header
from gmmquant.images.decoding.reader import Admit, Header, StoredImage, damaged

NO_ALPHA = "the alpha of every pixel is 0, as in files without alpha; the image is taken as opaque"
ONLY_8_BITS = "the image has 16 bits per channel; only the higher 8 are used"


def read_single_header(file: BinaryIO, name: str) -> Header:
    """Return the header of a file of the format `name`, also Pillow's name; raise an `ImageError` if Pillow fails."""
    try:
        header = read_pillow_header(file, name, name.capitalize())
    except MemoryError:
        raise
    except Exception:  # Pillow raises many types of exceptions
        raise ImageError(f"this kind of {name} is not supported, or the file is damaged; save it as PNG") from None
    if min(header.size) < 1:
        raise damaged(name)
    return header


def decode_single(
    data: bytes, header: Header, admit: Admit, *, has_alpha: bool = True, notes: tuple[str, ...] = ()
) -> StoredImage:
    """Decode the image; its alpha is left out if it is opaque everywhere, or if `has_alpha` is false."""
    admit(*header.size, 1)
    pixels = decode_with_pillow(data, header.format)
    if pixels.shape[:2] != header.size[::-1]:
        raise damaged(header.format)
    if pixels.shape[2] == 4 and (not has_alpha or (pixels[..., 3] == 255).all()):
        pixels = np.ascontiguousarray(pixels[..., :3])
    return StoredImage.with_info(pixels[np.newaxis], header, notes=notes)
