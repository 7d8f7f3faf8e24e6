"""WebP without loss: every pixel as it is, also the colours below full transparency.

Pillow compresses; the chunks are put together here, since its encoder of animations merges frames that are alike and
does not keep what is transparent. Layout: RFC 9649, "WebP Image Format", section 2.
"""

from __future__ import annotations

import io
import struct
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from typing import Any, BinaryIO

import numpy as np
import numpy.typing as npt
from PIL import Image

from gmmquant.images.containers import iterate_riff_chunks, riff_chunk
from gmmquant.images.decoded import Animation
from gmmquant.images.encoding.frame_diff import changed_boxes, frames_of
from gmmquant.images.encoding.output_format import EncodeOptions, OutputFormat
from gmmquant.images.encoding.output_metadata import is_marked_tiff, profile_of, save_by_pillow, signed_exif
from gmmquant.images.recolor import ColorImage, IndexedImage

_HAS_PROFILE, _HAS_ALPHA, _HAS_EXIF, _HAS_XMP, _IS_ANIMATED = 0x20, 0x10, 0x08, 0x04, 0x02
_REPLACE_AND_KEEP = 0x02
_FILE_HEADER_BYTES = 12
_MAX_LOOP = 65535

# Pillow's `method` and `quality`, which are here an effort: the first takes a third of the time of Pillow's default,
# for files 1 % larger. Of icons with alpha, the second may make files a sixth larger.
_FAST, _SMALL = {"method": 3, "quality": 30}, {"method": 5, "quality": 100}


def encode_webp(image: IndexedImage | ColorImage, options: EncodeOptions) -> bytes:
    """Encode an image as a WebP."""
    animation, xmp, profile = options.animation, options.metadata.xmp, profile_of(options.metadata)
    frames = frames_of(image.pixels, animation)
    height, width, channels = frames.shape[1:]
    encoded = partial(_bitstream, efforts=(_FAST, _SMALL) if options.optimize else (_FAST,))
    present = {_HAS_PROFILE: profile, _HAS_XMP: xmp, _HAS_ALPHA: channels == 4, _IS_ANIMATED: animation}
    flags = sum((flag for flag, value in present.items() if value), start=_HAS_EXIF)
    chunks = [riff_chunk(b"VP8X", struct.pack("<I", flags) + _three_bytes(width - 1, height - 1))]
    if profile:
        chunks.append(riff_chunk(b"ICCP", profile))
    chunks += [encoded(frames[0])] if animation is None else _animated(frames, animation, encoded)
    chunks.append(riff_chunk(b"EXIF", signed_exif(options.metadata)))
    if xmp:
        chunks.append(riff_chunk(b"XMP ", xmp))
    content = b"WEBP" + b"".join(chunks)
    return b"RIFF" + struct.pack("<I", len(content)) + content


def _three_bytes(*numbers: int) -> bytes:
    return b"".join(number.to_bytes(3, "little") for number in numbers)


def _bitstream(pixels: npt.NDArray[np.uint8], efforts: Sequence[dict[str, Any]]) -> bytes:
    """Return the chunk VP8L of pixels (height, width, 3 or 4), as Pillow writes it, of `efforts` the smallest."""
    image = Image.fromarray(np.ascontiguousarray(pixels))
    file = min((save_by_pillow(image, "WEBP", lossless=True, exact=True, **effort) for effort in efforts), key=len)
    chunks = iterate_riff_chunks(io.BytesIO(file), _FILE_HEADER_BYTES, len(file))
    start, length = next((start, length) for kind, start, length in chunks if kind == b"VP8L")
    return riff_chunk(b"VP8L", file[start : start + length])


def _animated(
    frames: npt.NDArray[np.uint8], animation: Animation, encoded: Callable[[npt.NDArray[np.uint8]], bytes]
) -> Iterator[bytes]:
    """Yield the chunks of an animation, each frame after the first drawing only the box that changed."""
    yield riff_chunk(b"ANIM", struct.pack("<IH", 0, min(max(animation.loop, 0), _MAX_LOOP)))
    for frame, box, duration in zip(frames, changed_boxes(frames, multiple=2), FORMAT.times(animation), strict=True):
        layout = _three_bytes(box.x // 2, box.y // 2, box.width - 1, box.height - 1, duration)
        yield riff_chunk(b"ANMF", layout + bytes([_REPLACE_AND_KEEP]) + encoded(box.of(frame)))


def _is_marked(file: BinaryIO, beginning: bytes) -> bool:
    """Return whether the EXIF, to which the sizes of the chunks lead, has gmmquant's mark."""
    if beginning[8:12] != b"WEBP":
        return False
    chunks = iterate_riff_chunks(file, _FILE_HEADER_BYTES, 8 + int.from_bytes(beginning[4:8], "little"))
    return next((is_marked_tiff(file, start) for kind, start, _ in chunks if kind == b"EXIF"), False)


FORMAT = OutputFormat(
    "webp",
    encode_webp,
    signatures=(b"RIFF",),
    is_marked=_is_marked,
    frames="animation",
    time_unit_ms=1,
    max_time=(1 << 24) - 1,
    max_side_pixels=16383,
    missing_metadata=("comments",),
)
