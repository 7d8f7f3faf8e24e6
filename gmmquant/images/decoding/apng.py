"""Animated PNG taken apart: each frame becomes a PNG of its own, which the decoder of PNG reads as any other.

So frames keep 16 bits, palettes and transparent colours, and damage is found as elsewhere. (Pillow blends some frames
wrongly, and OpenCV clears to black where a file has no alpha of its own.) Layout: PNG, third edition (W3C, 2025).
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from dataclasses import dataclass, field

from gmmquant.images.containers import PNG_SIGNATURE, iterate_chunks, png_chunk
from gmmquant.images.decoding.compositing import Disposal, FrameBox

# What a frame needs besides its pixels to be decoded, and the bytes that it may have.
_SHARED = {b"PLTE": 768, b"tRNS": 256}


@dataclass
class _Frame:
    box: FrameBox
    packed: list[memoryview] = field(default_factory=list)


@dataclass(frozen=True)
class Apng:
    """An animated PNG: the canvas, the frames' places, how often they are shown (0: for ever), each frame as a PNG."""

    size: tuple[int, int]
    places: tuple[FrameBox, ...]
    loop: int
    images: tuple[tuple[memoryview, ...], ...]
    header: bytes
    shared: bytes

    def files(self) -> Iterator[bytes]:
        """Make the PNG of each frame in turn."""
        for box, packed in zip(self.places, self.images, strict=True):
            header = struct.pack(">II", box.width, box.height) + self.header[8:]
            pixels = b"".join(png_chunk(b"IDAT", part) for part in packed)
            yield PNG_SIGNATURE + png_chunk(b"IHDR", header) + self.shared + pixels + png_chunk(b"IEND", b"")


def announced_frames(found: dict[bytes, list[bytes]]) -> int:
    """Return how many frames a PNG says it has; 0 if it is no animation."""
    body = found.get(b"acTL", [b""])[0]
    return int(struct.unpack_from(">I", body)[0]) if len(body) == 8 else 0


def take_apart(data: bytes) -> Apng | None:
    """Take an animated PNG apart; None if it is damaged. A default image before the first frame is none of them."""
    frames: list[_Frame] = []
    shared: dict[bytes, bytes] = {}
    header, loop, order, kind = b"", 0, 0, b""
    for kind, body in iterate_chunks(data, verified=True):
        if kind == b"IHDR" and len(body) == 13:
            header = bytes(body)
        elif kind in _SHARED:
            if kind in shared or len(body) > _SHARED[kind]:
                return None
            shared[kind] = png_chunk(kind, body)
        elif kind == b"acTL" and len(body) == 8:
            (loop,) = struct.unpack_from(">I", body, 4)
        elif kind in (b"fcTL", b"fdAT"):
            if len(body) < 4 or struct.unpack_from(">I", body)[0] != order:
                return None  # a chunk is missing or in the wrong box
            order += 1
            if kind == b"fdAT":
                if not frames:
                    return None
                frames[-1].packed.append(body[4:])
            elif len(body) != 26:
                return None
            else:
                frames.append(_Frame(_place(bytes(body))))
        elif kind == b"IDAT" and frames:
            frames[-1].packed.append(body)
    size = struct.unpack_from(">II", header) if header else (0, 0)
    if kind != b"IEND" or not frames or not all(frame.packed and frame.box.fits(*size) for frame in frames):
        return None
    places, packed = tuple(frame.box for frame in frames), tuple(tuple(frame.packed) for frame in frames)
    return Apng((size[0], size[1]), places, loop, packed, header, b"".join(shared.values()))


def _place(body: bytes) -> FrameBox:
    _, width, height, x, y, numerator, denominator, disposal, blend = struct.unpack(">IIIIIHHBB", body)
    kinds = {1: Disposal.CLEAR, 2: Disposal.RESTORE}
    duration = 1000.0 * numerator / (denominator or 100)
    return FrameBox(x, y, width, height, duration, kinds.get(disposal, Disposal.KEEP), blend == 1)
