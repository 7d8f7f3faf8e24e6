"""AVIF: single images by OpenCV, whose 10 and 12 bits are stretched to 16; animations by Pillow, with 8 bits.

The bit depth stands in the decoder's configuration (av1C; AV1 Codec ISO Media File Format Binding, section 2.3).
"""

from __future__ import annotations

import numpy as np

from gmmquant.images.containers import iterate_boxes
from gmmquant.images.decoding.opencv import decode_with_opencv, stretched, to_rgb
from gmmquant.images.decoding.pillow import decode_animation, orientation_of
from gmmquant.images.decoding.reader import Admit, Header, StoredImage


def decode(data: bytes, header: Header, admit: Admit) -> StoredImage:
    if header.n_frames > 1:
        notes = ("the animation has more than 8 bits per channel; only 8 are used",) if _bits(data) > 8 else ()
        return decode_animation(data, header, admit, notes)
    admit(*header.size, 1)
    pixels, _, _ = decode_with_opencv(data, "AVIF")
    if pixels.dtype == np.uint16:
        pixels = stretched(pixels, (1 << _bits(data)) - 1)
    # Pillow adds to the EXIF block the rotation and mirroring that boxes ask for. They alone count.
    orientation = orientation_of(header.info.get("exif", b""))
    return StoredImage.with_info(to_rgb(pixels)[None], header, orientation=orientation)


def _bits(data: bytes) -> int:
    """Return the bits per channel, 8, 10 or 12, of the first configuration in the file."""
    for box_type, start, end in iterate_boxes(data):
        if box_type in (b"meta", b"moov"):
            found = data.find(b"av1C", start, end)
            if found >= 0 and found + 7 <= end:
                flags = data[found + 6]
                return 12 if flags & 0x20 else 10 if flags & 0x40 else 8
    return 8
