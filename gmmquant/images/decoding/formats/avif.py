"""AVIF: single images by OpenCV, whose 10 and 12 bits are stretched to 16; animations by Pillow, with 8 bits.

The bit depth stands in the decoder's configuration (av1C; AV1 Codec ISO Media File Format Binding, section 2.3).
Compressed frames end with a bit that is 1 (AV1, section 8.2.4), so that one which ends in zeros was not written.
"""

from __future__ import annotations

import struct
from typing import BinaryIO

import numpy as np

from gmmquant.images.containers import iterate_boxes
from gmmquant.images.decoding.av1 import largest_sequence
from gmmquant.images.decoding.isobmff import other_images, stated_space
from gmmquant.images.decoding.media_boxes import frames, images, stated_size
from gmmquant.images.decoding.opencv import decode_with_opencv, stretched, to_rgb
from gmmquant.images.decoding.pillow import decode_animation, orientation_of, read_pillow_header
from gmmquant.images.decoding.reader import (
    MAX_FRAMES,
    Admit,
    Header,
    StoredImage,
    byte_limit,
    damaged,
    unused_images,
)

# The largest image that the decoder accepts, whatever our limit.
_MAX_PIXELS = 1 << 28

# Sequences may be larger than what is shown of them, by parts of blocks.
_SLACK_PIXELS = 1 << 20

# Images may share data, but not all with all.
_MAX_OVERLAP = 4

# A frame that was written ends in at most one byte of zeros.
_ZEROS = bytes(16)


def read_header(file: BinaryIO) -> Header:
    # Pillow reads the whole file.
    width, height, n_frames = stated_size(file)
    if width * height > _MAX_PIXELS:
        return Header("AVIF", (width, height), "RGB")
    file.seek(0)
    return read_pillow_header(file, "AVIF", "Avif", byte_limit(width * height * min(n_frames, MAX_FRAMES)))


def decode(data: bytes, header: Header, admit: Admit) -> StoredImage:
    admit(*header.size, header.n_frames)
    if _is_damaged(data, header):
        raise damaged("AVIF")
    # Pillow adds to the EXIF block the rotation and mirroring that boxes ask for. They alone count, not XMP.
    orientation = orientation_of(header.info.get("exif", b"")) or 1
    stated = stated_space(data).unless_srgb()
    if header.n_frames > 1:
        deep = ("the animation has more than 8 bits per channel; only 8 are used",) if _bits(data) > 8 else ()
        return decode_animation(data, header, deep).with_space(stated)._replace(orientation=orientation)
    pixels, _, _ = decode_with_opencv(data, "AVIF")
    if pixels.dtype == np.uint16:
        pixels = stretched(pixels, (1 << _bits(data)) - 1)
    notes = unused_images(other_images(data))
    pixels = to_rgb(pixels)[None]
    return StoredImage.with_info(pixels, header, orientation=orientation, notes=notes).with_space(stated)


def _is_damaged(data: bytes, header: Header) -> bool:
    """Return whether an image is larger than the header states, or a frame of an animation is missing or unwritten."""
    width, height = header.size
    try:
        shown = list(frames(data)) if header.n_frames > 1 else []
        if any(end > len(data) or data[max(end - len(_ZEROS), 0) : end] == _ZEROS for _, end in shown):
            return True
        stored = [*images(data), *([frame] for frame in shown)]
        if sum(end - start for parts in stored for start, end in parts) > _MAX_OVERLAP * len(data):
            return True
        sizes = [largest_sequence(b"".join(data[start:end] for start, end in parts)) for parts in stored]
    except (struct.error, KeyError, IndexError, ValueError, StopIteration):
        return True
    return any(w * h > width * height + _SLACK_PIXELS for w, h in sizes)


def _bits(data: bytes) -> int:
    """Return the bits per channel, 8, 10 or 12, of the first configuration in the file."""
    for box_type, start, end in iterate_boxes(data):
        if box_type in (b"meta", b"moov"):
            found = data.find(b"av1C", start, end)
            if found >= 0 and found + 7 <= end:
                flags = data[found + 6]
                return 12 if flags & 0x20 else 10 if flags & 0x40 else 8
    return 8
