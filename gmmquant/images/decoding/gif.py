"""GIF taken apart: every frame's box, time, palette and packed pixels, which Pillow then unpacks one by one.

Pillow and OpenCV lay frames over one another too, but each fills with a background colour in some cases where browsers
leave the canvas transparent. Layout: GIF89a (CompuServe, 1990), and Netscape's application block for the loop.
"""

from __future__ import annotations

import io
import struct
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
from PIL import Image

from gmmquant.images.containers import end_of_blocks
from gmmquant.images.decoding.compositing import Disposal, FrameBox

_EXTENSION, _IMAGE, _END = 0x21, 0x2C, 0x3B
_CONTROL, _COMMENT, _APPLICATION = 0xF9, 0xFE, 0xFF
_DISPOSALS = {2: Disposal.CLEAR, 3: Disposal.RESTORE}
_GREYS = bytes(level for level in range(256) for _ in range(3))


@dataclass(frozen=True)
class GifFrame:
    """One frame: its box, its palette (n, 3), its transparent entry if any, and its pixels as the file packs them."""

    box: FrameBox
    palette: npt.NDArray[np.uint8]
    transparent: int | None
    interlaced: bool
    packed: slice


@dataclass(frozen=True)
class Gif:
    """A GIF: the canvas, the frames, how often they are shown (0: for ever), and the comment."""

    size: tuple[int, int]
    frames: tuple[GifFrame, ...]
    loop: int
    comment: bytes


def take_apart(data: bytes, max_frames: int) -> Gif | None:
    """Take a GIF apart; None if it is damaged or incomplete. Of more than `max_frames` frames, one more is returned."""
    try:
        return _take_apart(data, max_frames)
    except (struct.error, IndexError):
        return None


def unpack(data: bytes, gif: Gif) -> Iterator[tuple[FrameBox, npt.NDArray[np.uint8]]]:
    """Unpack each frame in turn into RGB, or RGBA where it has a transparent entry; Pillow's errors pass through.

    Pillow is given each frame as a GIF of its own whose palette is the greys, so that it returns entries, not colours.
    """
    for frame in gif.frames:
        size = struct.pack("<HH", frame.box.width, frame.box.height)
        header = b"GIF89a" + size + b"\xf7\0\0" + _GREYS
        descriptor = b"\x2c" + bytes(4) + size + bytes([0x40 * frame.interlaced])
        with Image.open(io.BytesIO(header + descriptor + data[frame.packed] + b";"), formats=("GIF",)) as image:
            labels = np.asarray(image)
        colors = np.zeros((256, 3 if frame.transparent is None else 4), np.uint8)
        colors[: len(frame.palette), :3] = frame.palette
        if frame.transparent is not None:
            colors[:, 3] = 255
            colors[frame.transparent, 3] = 0
        yield frame.box, colors[labels]


def _take_apart(data: bytes, max_frames: int) -> Gif | None:
    width, height, flags = struct.unpack_from("<HHB", data, 6)
    common, position = _palette(data, 13, flags)
    frames: list[GifFrame] = []
    control, loop, comment = b"", 1, b""
    while data[position] != _END:
        if data[position] == _EXTENSION:
            label, start = data[position + 1], position + 2
            position = end_of_blocks(data, start)
            body = data[start + 1 : start + 1 + data[start]]
            if label == _CONTROL and len(body) >= 4:
                control = body
            elif label == _COMMENT and not comment:
                comment = _joined(data, start, position)
            elif label == _APPLICATION and body in (b"NETSCAPE2.0", b"ANIMEXTS1.0"):
                loop = _loop(data[start + 12 : position])
        elif data[position] == _IMAGE:
            x, y, w, h, flags = struct.unpack_from("<HHHHB", data, position + 1)
            own, start = _palette(data, position + 10, flags)
            position = end_of_blocks(data, start + 1)
            fields, hundredths, entry = struct.unpack("<BHB", control[:4] or bytes(4))
            disposal = _DISPOSALS.get(fields >> 2 & 7, Disposal.KEEP)
            box = FrameBox(x, y, w, h, 10.0 * hundredths, disposal)
            width, height = max(width, x + w), max(height, y + h)  # a canvas too small grows, as in browsers
            palette = common if own is None else own
            palette = np.frombuffer(_GREYS, np.uint8).reshape(-1, 3) if palette is None else palette
            frames.append(
                GifFrame(box, palette, entry if fields & 1 else None, bool(flags & 0x40), slice(start, position))
            )
            control = b""
            if w == 0 or h == 0:
                return None
            if len(frames) > max_frames:
                break
        else:
            return None
    return Gif((width, height), tuple(frames), loop, comment) if frames else None


def _palette(data: bytes, start: int, flags: int) -> tuple[npt.NDArray[np.uint8] | None, int]:
    """Return the palette that begins at `start`, if the flags say that there is one, and where it ends."""
    if not flags & 0x80:
        return None, start
    n = 2 << (flags & 7)
    if start + 3 * n > len(data):
        raise IndexError
    return np.frombuffer(data, np.uint8, 3 * n, start).reshape(n, 3), start + 3 * n


def _joined(data: bytes, position: int, end: int) -> bytes:
    parts = []
    while position < end and (length := data[position]):
        parts.append(data[position + 1 : position + 1 + length])
        position += 1 + length
    return b"".join(parts)


def _loop(blocks: Any) -> int:
    """Return how often frames are shown: the file says how often again, 0 for ever."""
    if len(blocks) < 4 or blocks[0] != 3 or blocks[1] & 7 != 1:
        return 1
    again = int(struct.unpack_from("<H", blocks, 2)[0])
    return again + 1 if again else 0
