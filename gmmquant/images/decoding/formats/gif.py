"""GIF parsed into frames; Pillow decompresses each, and they are composed by `compositing`.

Pillow and OpenCV compose frames too, but in some cases fill with a background colour where browsers leave the canvas
transparent. Pillow also allocates memory for a frame when it opens a file, and a frame may reach far outside the screen
that the header states. So the blocks are parsed before Pillow gets the file. Layout: GIF89a (CompuServe, 1990), and
Netscape's application extension for the loop.
"""

from __future__ import annotations

import io
import struct
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from typing import BinaryIO

import numpy as np
import numpy.typing as npt
from PIL import Image

from gmmquant.colors.palette import Palette
from gmmquant.images.containers import MAX_PARTS, end_of_blocks
from gmmquant.images.decoding.compositing import Disposal, FrameControl, animation_of, composite
from gmmquant.images.decoding.pillow import errors_as_damage
from gmmquant.images.decoding.reader import BASE_BYTES, MAX_FRAMES, Admit, Header, StoredImage, damaged

_EXTENSION, _IMAGE, _TRAILER = 0x21, 0x2C, 0x3B
_GRAPHIC_CONTROL, _COMMENT, _APPLICATION = 0xF9, 0xFE, 0xFF
_DISPOSALS: dict[int, Disposal] = {2: "clear", 3: "restore"}
_GREYS = np.arange(256, dtype=np.uint8).repeat(3).reshape(256, 3)


@dataclass(frozen=True)
class _Frame:
    """A frame: its palette (n, 3), its transparent index if any, and the positions of its compressed pixels."""

    control: FrameControl
    palette: Palette
    transparent: int | None
    interlaced: bool
    compressed: slice


@dataclass
class _Contents:
    """A parsed file: canvas size, frames, plays (0: forever), comment, profile, and its end; 0 if it has none."""

    width: int = 0
    height: int = 0
    frames: list[_Frame] = field(default_factory=list)
    loop: int = 1
    comment: bytes = b""
    profile: bytes | None = None
    end: int = 0


def read_header(file: BinaryIO) -> Header:
    contents = _parse(file.read(BASE_BYTES))
    size = contents.width, contents.height
    return Header("GIF", size, "P", max(len(contents.frames), 1), n_bytes=contents.end or None)


def decode(data: bytes, header: Header, admit: Admit) -> StoredImage:
    contents = _parse(data)
    size, frames = (contents.width, contents.height), contents.frames
    admit(*size, len(frames))
    if not contents.end or not frames:
        raise damaged("GIF")
    with errors_as_damage("GIF"):
        canvases = composite(size, len(frames), _decompress(data, frames))
    animation = animation_of([frame.control for frame in frames], contents.loop)
    comments = (("Comment", contents.comment),)
    return StoredImage.with_info(canvases, header, animation=animation, comments=comments, profile=contents.profile)


def _decompress(data: bytes, frames: list[_Frame]) -> Iterator[tuple[FrameControl, npt.NDArray[np.uint8]]]:
    """Yield each frame as RGB, or as RGBA if it has a transparent index.

    Pillow gets a GIF of one frame with a palette of greys, so that it returns indices.
    """
    for frame in frames:
        size = struct.pack("<HH", frame.control.width, frame.control.height)
        header = b"GIF89a" + size + b"\xf7\0\0" + _GREYS.tobytes()
        descriptor = bytes([_IMAGE, 0, 0, 0, 0]) + size + bytes([0x40 * frame.interlaced])
        with Image.open(io.BytesIO(header + descriptor + data[frame.compressed] + b";"), formats=("GIF",)) as image:
            indices = np.asarray(image)
        colors = np.zeros((256, 3 if frame.transparent is None else 4), np.uint8)
        colors[: len(frame.palette), :3] = frame.palette
        if frame.transparent is not None:
            colors[:, 3] = 255
            colors[frame.transparent, 3] = 0
        yield frame.control, colors[indices]


def _parse(data: bytes) -> _Contents:
    """Parse a file up to its end, its first damage, or one frame above the limit."""
    contents = _Contents()
    with suppress(struct.error, IndexError):
        _parse_blocks(data, contents)
    return contents


def _parse_blocks(data: bytes, contents: _Contents) -> None:
    """Add what a file contains to `contents`; damage raises a `struct.error` or an `IndexError`."""
    contents.width, contents.height, flags = struct.unpack_from("<HHB", data, 6)
    global_palette, position = _read_palette(data, 13, flags, _GREYS)
    graphic_control = b""
    for _ in range(MAX_PARTS):
        if data[position] == _TRAILER or len(contents.frames) > MAX_FRAMES:
            contents.end = position + 1
            return
        if data[position] == _EXTENSION:
            label, start = data[position + 1], position + 2
            position = end_of_blocks(data, start)
            body = data[start + 1 : start + 1 + data[start]]
            if label == _GRAPHIC_CONTROL and len(body) >= 4:
                graphic_control = body
            elif label == _COMMENT and not contents.comment:
                contents.comment = _join_blocks(data, start)
            elif label == _APPLICATION and body in (b"NETSCAPE2.0", b"ANIMEXTS1.0"):
                contents.loop = _read_loop(data[start + 12 : position])
            elif label == _APPLICATION and body == b"ICCRGBG1012" and contents.profile is None:
                contents.profile = _join_blocks(data, start + 12)
        elif data[position] == _IMAGE:
            x, y, w, h, flags = struct.unpack_from("<HHHHB", data, position + 1)
            if w == 0 or h == 0:
                raise IndexError
            # A canvas that is too small grows, as in browsers. This frame counts even if it is cut short.
            contents.width, contents.height = max(contents.width, x + w), max(contents.height, y + h)
            palette, start = _read_palette(data, position + 10, flags, global_palette)
            position = end_of_blocks(data, start + 1)
            fields, hundredths, index = struct.unpack("<BHB", graphic_control[:4] or bytes(4))
            graphic_control = b""
            control = FrameControl(x, y, w, h, 10.0 * hundredths, _DISPOSALS.get(fields >> 2 & 7, "keep"))
            transparent, interlaced = index if fields & 1 else None, bool(flags & 0x40)
            contents.frames.append(_Frame(control, palette, transparent, interlaced, slice(start, position)))
        else:
            raise IndexError


def _read_palette(data: bytes, start: int, flags: int, default: Palette) -> tuple[Palette, int]:
    """Return the palette at `start`, or `default` if the flags state none, and the position after it."""
    if not flags & 0x80:
        return default, start
    n = 2 << (flags & 7)
    if start + 3 * n > len(data):
        raise IndexError
    return np.frombuffer(data, np.uint8, 3 * n, start).reshape(n, 3), start + 3 * n


def _join_blocks(data: bytes, position: int) -> bytes:
    """Return the contents of the sub-blocks at `position`."""
    parts = []
    while length := data[position]:
        parts.append(data[position + 1 : position + 1 + length])
        position += 1 + length
    return b"".join(parts)


def _read_loop(blocks: bytes) -> int:
    """Return the number of plays, 0 for ever; the file states the repetitions after the first play."""
    if len(blocks) < 4 or blocks[0] != 3 or blocks[1] & 7 != 1:
        return 1
    repetitions = int.from_bytes(blocks[2:4], "little")
    return repetitions + 1 if repetitions else 0
