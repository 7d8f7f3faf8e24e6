"""GIF: one palette of at most 256 colours, one of which may stand for transparency.

The blocks are put together here, since Pillow merges frames that are alike and may change the palette; it compresses
the labels. Layout: Graphics Interchange Format, version 89a (CompuServe, 1990). How often an animation is shown is said
by the extension NETSCAPE2.0: how often it is repeated, that is, once less; shown once, it has none.
"""

from __future__ import annotations

import io
import struct

import numpy as np
import numpy.typing as npt
from PIL import Image

from gmmquant.errors import ImageError
from gmmquant.images.containers import end_of_blocks
from gmmquant.images.decoded import Animation, Metadata
from gmmquant.images.encoding.frame_diff import Box, changed_boxes, frames_of, milliseconds
from gmmquant.images.encoding.output_metadata import comments_of
from gmmquant.images.encoding.palette_entries import MAX_ENTRIES, Entries, entries_of
from gmmquant.images.encoding.signature import gif_mark
from gmmquant.images.recolor import IndexedImage

# From this alpha value on a pixel is opaque, below it transparent.
OPAQUE = 128

_KEEP, _CLEAR = 1, 2
_MAX_DELAY = _MAX_LOOP = 65535


def encode_gif(
    image: IndexedImage, metadata: Metadata, *, keep_metadata: bool, animation: Animation | None, optimize: bool
) -> bytes:
    """Encode an image as a GIF; for the parameters see `encode.encode_image`."""
    entries = _with_binary_alpha(image)
    clear = np.flatnonzero(entries.alphas == 0)
    transparent = int(clear[0]) if clear.size else None
    frames = frames_of(entries.labels, animation)
    # Where nothing is transparent, an entry besides can stand for what is as it was.
    unchanged = transparent
    if optimize and len(frames) > 1 and transparent is None and len(entries) < MAX_ENTRIES:
        unchanged = len(entries)
    bits = max((max(len(entries) - 1, unchanged or 0)).bit_length(), 1)
    height, width = frames.shape[1:]
    blocks = [
        struct.pack("<6sHHBBB", b"GIF89a", width, height, 0xF0 | bits - 1, 0, 0),
        entries.colors.tobytes().ljust(3 << bits, b"\0"),
        gif_mark(),
    ]
    if animation is not None and len(frames) > 1 and animation.loop != 1:
        repeats = min(max(animation.loop - 1, 0), _MAX_LOOP)
        blocks.append(b"!\xff\x0bNETSCAPE2.0" + struct.pack("<BBHB", 3, 1, repeats, 0))
    blocks += [b"!\xfe" + _in_blocks(comment) for comment in comments_of(metadata, keep=keep_metadata) if comment]
    delays = [0] if animation is None else centiseconds(animation)
    if transparent is not None and _uncovers(frames, transparent):
        whole = Box(0, 0, width, height)
        for frame, delay in zip(frames, delays, strict=True):
            blocks.append(_frame(frame, whole, delay, transparent, _CLEAR))
    else:
        boxes = changed_boxes(frames)
        for number, (frame, box, delay) in enumerate(zip(frames, boxes, delays, strict=True)):
            shown = _frame(box.of(frame), box, delay, transparent, _KEEP)
            if optimize and number and unchanged is not None:
                part = box.of(frame)
                part = np.where(part == box.of(frames[number - 1]), np.uint8(unchanged), part)
                shown = min(shown, _frame(part, box, delay, unchanged, _KEEP), key=len)
            blocks.append(shown)
    return b"".join([*blocks, b";"])


def rounds_times(animation: Animation) -> bool:
    """Tell whether the times of frames are not kept to the millisecond."""
    return centiseconds(animation) != [duration / 10 for duration in milliseconds(animation)]


def centiseconds(animation: Animation) -> list[int]:
    """Return the durations as a GIF counts them."""
    return [min(round(duration / 10), _MAX_DELAY) for duration in milliseconds(animation)]


def _with_binary_alpha(image: IndexedImage) -> Entries:
    """Return entries of which one is fully transparent, if anything is, and the others opaque."""
    if image.alpha is None or (image.alpha >= OPAQUE).all():
        entries = entries_of(IndexedImage(image.labels, image.palette))
    else:
        opaque = image.alpha >= OPAQUE
        labels, alpha = np.where(opaque, image.labels, 0), np.where(opaque, 255, 0).astype(np.uint8)
        entries = entries_of(IndexedImage(labels, image.palette, alpha))
    if entries is None:
        limit = MAX_ENTRIES if image.alpha is None else MAX_ENTRIES - 1
        beside = "" if image.alpha is None else " beside transparency"
        raise ImageError(
            f"{len(image.palette)} colours are above the {limit} that a gif holds{beside}; "
            "choose a smaller k, or png, webp or tiff"
        )
    return entries


def _uncovers(frames: npt.NDArray[np.uint8], transparent: int) -> bool:
    """Tell whether a pixel is transparent that was not a frame before."""
    clear = frames == transparent
    return bool((clear[1:] & ~clear[:-1]).any())


def _frame(labels: npt.NDArray[np.uint8], box: Box, delay: int, transparent: int | None, disposal: int) -> bytes:
    flags = disposal << 2 | (transparent is not None)
    control = struct.pack("<BBBBHBB", 0x21, 0xF9, 4, flags, delay, transparent or 0, 0)
    place = struct.pack("<BHHHHB", 0x2C, box.x, box.y, box.width, box.height, 0)
    return control + place + _image_data(labels)


def _image_data(labels: npt.NDArray[np.uint8]) -> bytes:
    """Return labels compressed, as Pillow writes them."""
    buffer = io.BytesIO()
    Image.fromarray(np.ascontiguousarray(labels)).save(buffer, "GIF", optimize=False, interlace=False)
    gif = buffer.getvalue()
    place = 13 + (3 << (gif[10] & 7) + 1)
    while gif[place] == 0x21:  # an extension
        place = end_of_blocks(gif, place + 2)
    return gif[place + 10 : -1]


def _in_blocks(data: bytes) -> bytes:
    parts = (data[start : start + 255] for start in range(0, len(data), 255))
    return b"".join(bytes([len(part)]) + part for part in parts) + b"\0"
