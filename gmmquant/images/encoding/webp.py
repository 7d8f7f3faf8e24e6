"""WebP without loss: every pixel as it is, also the colours below full transparency.

Pillow compresses; the chunks are put together here, since its encoder of animations merges frames that are alike and
does not keep what is transparent. Layout: RFC 9649, "WebP Image Format", section 2.
"""

from __future__ import annotations

import io
import struct
from collections.abc import Iterator

import numpy as np
import numpy.typing as npt
from PIL import Image

from gmmquant.images.decoded import Animation, Metadata
from gmmquant.images.encoding.frame_diff import changed_boxes, frames_of, milliseconds
from gmmquant.images.encoding.output_metadata import profile_of, signed_exif
from gmmquant.images.recolor import ColorImage, IndexedImage

_HAS_PROFILE, _HAS_ALPHA, _HAS_EXIF, _HAS_XMP, _IS_ANIMATED = 0x20, 0x10, 0x08, 0x04, 0x02
_REPLACE_AND_KEEP = 0x02
_MAX_DURATION, _MAX_LOOP = (1 << 24) - 1, 65535

# Pillow's `method` and `quality`, which are here an effort: the first takes a third of the time of Pillow's default,
# for files 1 % larger.
_FAST, _SMALL = {"method": 3, "quality": 30}, {"method": 5, "quality": 100}


def encode_webp(
    image: IndexedImage | ColorImage,
    metadata: Metadata,
    *,
    keep_metadata: bool,
    animation: Animation | None,
    optimize: bool,
) -> bytes:
    """Encode an image as a WebP; for the parameters see `encode.encode_image`."""
    frames = frames_of(image.pixels, animation)
    height, width, channels = frames.shape[1:]
    profile, exif = profile_of(metadata), signed_exif(metadata, keep=keep_metadata)
    xmp = metadata.xmp if keep_metadata else b""
    effort = _SMALL if optimize else _FAST
    animated = animation is not None and len(frames) > 1
    flags = _HAS_EXIF
    for flag, present in (
        (_HAS_PROFILE, profile),
        (_HAS_ALPHA, channels == 4),
        (_HAS_XMP, xmp),
        (_IS_ANIMATED, animated),
    ):
        flags |= flag if present else 0
    chunks = [_chunk(b"VP8X", struct.pack("<I", flags) + _three_bytes(width - 1, height - 1))]
    if profile:
        chunks.append(_chunk(b"ICCP", profile))
    if animation is not None and animated:
        chunks += _animated(frames, animation, effort)
    else:
        chunks.append(_bitstream(frames[0], effort))
    chunks.append(_chunk(b"EXIF", exif))
    if xmp:
        chunks.append(_chunk(b"XMP ", xmp))
    content = b"WEBP" + b"".join(chunks)
    return b"RIFF" + struct.pack("<I", len(content)) + content


def rounds_times(animation: Animation) -> bool:
    """Tell whether the times of frames are not kept exactly."""
    return _durations(animation) != milliseconds(animation)


def _durations(animation: Animation) -> list[int]:
    """Return the durations as a WebP counts them, in whole milliseconds."""
    return [min(round(duration), _MAX_DURATION) for duration in milliseconds(animation)]


def _chunk(kind: bytes, data: bytes) -> bytes:
    return kind + struct.pack("<I", len(data)) + data + b"\0" * (len(data) % 2)


def _three_bytes(*numbers: int) -> bytes:
    return b"".join(struct.pack("<I", number)[:3] for number in numbers)


def _bitstream(pixels: npt.NDArray[np.uint8], effort: dict[str, int]) -> bytes:
    """Return the chunk VP8L of pixels (height, width, 3 or 4), as Pillow writes it."""
    buffer = io.BytesIO()
    Image.fromarray(np.ascontiguousarray(pixels)).save(buffer, "WEBP", lossless=True, exact=True, **effort)
    webp = buffer.getvalue()
    place = 12
    while webp[place : place + 4] != b"VP8L":
        size = struct.unpack_from("<I", webp, place + 4)[0]
        place += 8 + size + size % 2
    return _chunk(b"VP8L", webp[place + 8 :][: struct.unpack_from("<I", webp, place + 4)[0]])


def _animated(frames: npt.NDArray[np.uint8], animation: Animation, effort: dict[str, int]) -> Iterator[bytes]:
    """Yield the chunks of an animation, each frame but the first being the box that changed, put over what was."""
    yield _chunk(b"ANIM", struct.pack("<IH", 0, min(max(animation.loop, 0), _MAX_LOOP)))
    for frame, box, duration in zip(frames, changed_boxes(frames, multiple=2), _durations(animation), strict=True):
        place = _three_bytes(box.x // 2, box.y // 2, box.width - 1, box.height - 1, duration)
        yield _chunk(b"ANMF", place + bytes([_REPLACE_AND_KEEP]) + _bitstream(box.of(frame), effort))
