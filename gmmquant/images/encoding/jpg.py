"""JPEG: on white, with the colours in full resolution."""

from __future__ import annotations

import struct
import threading
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from typing import Any

import numpy as np
import numpy.typing as npt
from PIL import Image, ImageFile

from gmmquant.images.decoded import Metadata
from gmmquant.images.encoding.output_format import EncodeOptions, OutputFormat
from gmmquant.images.encoding.output_metadata import MARK, comments_of, exif_of, save_by_pillow
from gmmquant.images.recolor import ColorImage, IndexedImage

_QUALITY = 95
_MAX_SEGMENT_BYTES = 65533
_XMP_PREFIX = b"http://ns.adobe.com/xap/1.0/\0"

_pillow_state = threading.Lock()


def encode_jpg(image: IndexedImage | ColorImage, options: EncodeOptions) -> bytes:
    """Encode an image as a JPEG."""
    metadata = options.metadata
    settings: dict[str, Any] = {"quality": _QUALITY, "subsampling": 0}
    settings |= {"optimize": options.optimize, "progressive": options.optimize}
    settings |= {what.lower(): data for what, data, limit in _single_segments(metadata) if 0 < len(data) <= limit}
    rgb = _on_white(image.pixels)
    with _buffer_of(6 * rgb.width * rgb.height) if options.optimize else nullcontext():
        jpeg = save_by_pillow(rgb, "JPEG", metadata, **settings)
    comments = b"".join(map(_comment, (MARK.encode(), *comments_of(metadata))))
    after_jfif = 4 + struct.unpack_from(">H", jpeg, 4)[0]
    return jpeg[:after_jfif] + comments + jpeg[after_jfif:]


@contextmanager
def _buffer_of(n_bytes: int) -> Iterator[None]:
    """Give Pillow a buffer of at least `n_bytes`, in one thread at a time.

    An optimized JPEG is written at once. Pillow's buffer has 2 bytes a pixel, and random colours took 2.4.
    """
    with _pillow_state:
        usual, ImageFile.MAXBLOCK = ImageFile.MAXBLOCK, max(ImageFile.MAXBLOCK, n_bytes)
        try:
            yield
        finally:
            ImageFile.MAXBLOCK = usual


def _comment(text: bytes) -> bytes:
    """Return a comment as a segment, cut to the bytes that it can hold."""
    text = text[:_MAX_SEGMENT_BYTES]
    return b"\xff\xfe" + struct.pack(">H", 2 + len(text)) + text


def _single_segments(metadata: Metadata) -> tuple[tuple[str, bytes, int], ...]:
    """Return the metadata that must fit into one segment each: name, data, limit in bytes."""
    exif = exif_of(metadata).tobytes() if metadata.exif else b""
    return ("EXIF", exif, _MAX_SEGMENT_BYTES), ("XMP", metadata.xmp, _MAX_SEGMENT_BYTES - len(_XMP_PREFIX))


def _cut_metadata(metadata: Metadata) -> tuple[str, ...]:
    """Warn of metadata that are too long for a segment."""
    notes = []
    too_long = [what for what, data, limit in _single_segments(metadata) if len(data) > limit]
    if too_long:
        notes.append(f"jpg stores no {' and no '.join(too_long)} above {_MAX_SEGMENT_BYTES} bytes: png stores them")
    if any(len(comment) > _MAX_SEGMENT_BYTES for comment in comments_of(metadata)):
        notes.append(f"jpg stores only {_MAX_SEGMENT_BYTES} bytes of a comment: png stores longer ones")
    return tuple(notes)


def _on_white(pixels: npt.NDArray[np.uint8]) -> Image.Image:
    """Return pixels (height, width, 3 or 4) composed onto white."""
    image = Image.fromarray(pixels)
    if image.mode == "RGB":
        return image
    composed = Image.new("RGB", image.size, "white")
    composed.paste(image, mask=image)
    return composed


FORMAT = OutputFormat(
    "jpg",
    encode_jpg,
    signatures=(b"\xff\xd8",),
    is_marked=lambda file, beginning: _comment(MARK.encode()) in beginning,
    exact=False,
    alpha="none",
    max_side_pixels=65500,
    cut_metadata=_cut_metadata,
)
