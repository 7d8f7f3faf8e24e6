"""GIF: one palette of at most 256 colours, one of which may stand for transparency.

The blocks are put together here, since Pillow merges frames that are alike and may change the palette; it compresses
the labels. Layout: Graphics Interchange Format, version 89a (CompuServe, 1990). The extension NETSCAPE2.0 states how
often an animation is repeated, once less than it is shown; an animation that is shown once has none.
"""

from __future__ import annotations

import struct
from typing import cast

import numpy as np
import numpy.typing as npt
from PIL import Image

from gmmquant.errors import ImageError
from gmmquant.images.containers import end_of_blocks
from gmmquant.images.encoding.frame_diff import Box, changed_boxes, frames_of
from gmmquant.images.encoding.output_format import OPAQUE, EncodeOptions, OutputFormat
from gmmquant.images.encoding.output_metadata import MARK, comments_of, save_by_pillow
from gmmquant.images.encoding.palette_entries import MAX_ENTRIES, Entries, entries_of
from gmmquant.images.recolor import ColorImage, IndexedImage

_KEEP, _CLEAR = 1, 2
_MAX_LOOP = 65535


def encode_gif(image: IndexedImage | ColorImage, options: EncodeOptions) -> bytes:
    """Encode an image as a GIF."""
    animation = options.animation
    indexed = cast(IndexedImage, image)  # true colour was refused before
    entries = _with_binary_alpha(indexed, keep_order=options.keep_order)
    clear = np.flatnonzero(entries.alphas == 0)
    transparent = int(clear[0]) if clear.size else None
    frames = frames_of(entries.labels, animation)
    uncovers = transparent is not None and _uncovers(frames, transparent)
    # The entry for pixels that do not change: the transparent one, or one added for it.
    unchanged = None
    if options.optimize and animation is not None and not uncovers:
        unchanged = len(entries) if transparent is None and len(entries) < MAX_ENTRIES else transparent
    bits = max((max(len(entries) - 1, unchanged or 0)).bit_length(), 1)
    height, width = frames.shape[1:]
    blocks = [
        struct.pack("<6sHHBBB", b"GIF89a", width, height, 0xF0 | bits - 1, 0, 0),
        entries.colors.tobytes().ljust(3 << bits, b"\0"),
        _comment(MARK.encode()),
    ]
    if animation is not None and animation.loop != 1:
        repeats = min(max(animation.loop - 1, 0), _MAX_LOOP)
        blocks.append(b"!\xff\x0bNETSCAPE2.0" + struct.pack("<BBHB", 3, 1, repeats, 0))
    blocks += [_comment(comment) for comment in comments_of(options.metadata) if comment]
    delays = [0] if animation is None else FORMAT.times(animation)
    boxes = [Box(0, 0, width, height)] * len(frames) if uncovers else changed_boxes(frames)
    for number, (frame, box, delay) in enumerate(zip(frames, boxes, delays, strict=True)):
        part = box.of(frame)
        block = _frame(part, box, delay, transparent, _CLEAR if uncovers else _KEEP)
        if unchanged is not None and number:
            part = np.where(part == box.of(frames[number - 1]), np.uint8(unchanged), part)
            block = min(block, _frame(part, box, delay, unchanged, _KEEP), key=len)
        blocks.append(block)
    return b"".join([*blocks, b";"])


def _with_binary_alpha(image: IndexedImage, *, keep_order: bool) -> Entries:
    """Return entries of which one is fully transparent, if anything is, and the others opaque."""
    opaque = None if image.alpha is None else image.alpha >= OPAQUE
    if opaque is None or opaque.all():
        entries = entries_of(IndexedImage(image.labels, image.palette))
    else:
        labels, alpha = np.where(opaque, image.labels, 0), np.where(opaque, 255, 0).astype(np.uint8)
        entries = entries_of(IndexedImage(labels, image.palette, alpha, image.hidden), keep_order=keep_order)
    if entries is None:
        raise ImageError(FORMAT.refusal_of_colors(len(image.palette), transparent=image.alpha is not None))
    return entries


def _uncovers(frames: npt.NDArray[np.uint8], transparent: int) -> bool:
    """Return whether a pixel is transparent in a frame that was not in the one before."""
    clear = frames == transparent
    return bool((clear[1:] & ~clear[:-1]).any())


def _frame(labels: npt.NDArray[np.uint8], box: Box, delay: int, transparent: int | None, disposal: int) -> bytes:
    flags = disposal << 2 | (transparent is not None)
    control = struct.pack("<BBBBHBB", 0x21, 0xF9, 4, flags, delay, transparent or 0, 0)
    layout = struct.pack("<BHHHHB", 0x2C, box.x, box.y, box.width, box.height, 0)
    return control + layout + _image_data(labels)


def _image_data(labels: npt.NDArray[np.uint8]) -> bytes:
    """Return labels compressed, as Pillow writes them."""
    image = Image.fromarray(np.ascontiguousarray(labels))
    gif = save_by_pillow(image, "GIF", optimize=False, interlace=False)
    position = 13 + (3 << (gif[10] & 7) + 1)
    while gif[position] == 0x21:  # an extension
        position = end_of_blocks(gif, position + 2)
    return gif[position + 10 : -1]


def _comment(text: bytes) -> bytes:
    parts = (text[start : start + 255] for start in range(0, len(text), 255))
    return b"!\xfe" + b"".join(bytes([len(part)]) + part for part in parts) + b"\0"


FORMAT = OutputFormat(
    "gif",
    encode_gif,
    signatures=(b"GIF8",),
    is_marked=lambda file, beginning: _comment(MARK.encode()) in beginning,
    alpha="binary",
    frames="animation",
    time_unit_ms=10,
    max_time=65535,
    max_colors=MAX_ENTRIES,
    max_side_pixels=65535,
    missing_metadata=("EXIF", "XMP"),
)
