"""Animated PNG parsed into frames, each a PNG that the PNG decoder reads.

So frames keep 16 bits, palettes and transparent colours, and damage is found as in other PNGs. Pillow blends some
frames wrongly, and OpenCV clears to black in files without alpha. Layout: PNG, third edition (W3C, 2025).
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from dataclasses import dataclass, field

from gmmquant.images.containers import PNG_SIGNATURE, iterate_chunks, png_chunk
from gmmquant.images.decoding.compositing import Disposal, FrameControl

# Chunks that every frame needs to be decoded, and the bytes that each may have.
_SHARED_CHUNKS = {b"PLTE": 768, b"tRNS": 256}
_DISPOSALS = {1: Disposal.CLEAR, 2: Disposal.RESTORE}


@dataclass(frozen=True)
class _Frame:
    control: FrameControl
    compressed: list[memoryview] = field(default_factory=list)


@dataclass(frozen=True)
class Apng:
    """The canvas size of an animated PNG, its frames, and how often they are played (0: forever)."""

    size: tuple[int, int]
    frames: tuple[_Frame, ...]
    loop: int
    header: bytes
    shared: bytes

    def files(self) -> Iterator[bytes]:
        """Yield each frame as a PNG."""
        for frame in self.frames:
            header = struct.pack(">II", frame.control.width, frame.control.height) + self.header[8:]
            pixels = b"".join(png_chunk(b"IDAT", part) for part in frame.compressed)
            yield PNG_SIGNATURE + png_chunk(b"IHDR", header) + self.shared + pixels + png_chunk(b"IEND", b"")


def parse_apng(data: bytes) -> Apng | None:
    """Parse an animated PNG; None if it is damaged. A default image before the first frame is left out."""
    frames: list[_Frame] = []
    shared: dict[bytes, bytes] = {}
    header, loop, sequence_number, chunk_type = b"", 0, 0, b""
    for chunk_type, body in iterate_chunks(data, verified=True):
        if chunk_type == b"IHDR" and len(body) == 13:
            header = bytes(body)
        elif chunk_type in _SHARED_CHUNKS:
            if chunk_type in shared or len(body) > _SHARED_CHUNKS[chunk_type]:
                return None
            shared[chunk_type] = png_chunk(chunk_type, body)
        elif chunk_type == b"acTL" and len(body) == 8:
            (loop,) = struct.unpack_from(">I", body, 4)
        elif chunk_type in (b"fcTL", b"fdAT"):
            if len(body) < 4 or struct.unpack_from(">I", body)[0] != sequence_number:
                return None
            sequence_number += 1
            if chunk_type == b"fdAT":
                if not frames:
                    return None
                frames[-1].compressed.append(body[4:])
            elif len(body) != 26:
                return None
            else:
                frames.append(_Frame(_parse_control(bytes(body))))
        elif chunk_type == b"IDAT" and frames:
            frames[-1].compressed.append(body)
    width, height = struct.unpack_from(">II", header) if header else (0, 0)
    complete = all(frame.compressed and frame.control.fits(width, height) for frame in frames)
    if chunk_type != b"IEND" or not frames or not complete:
        return None
    return Apng((width, height), tuple(frames), loop, header, b"".join(shared.values()))


def _parse_control(body: bytes) -> FrameControl:
    _, width, height, x, y, numerator, denominator, disposal, blend = struct.unpack(">IIIIIHHBB", body)
    duration = 1000.0 * numerator / (denominator or 100)
    return FrameControl(x, y, width, height, duration, _DISPOSALS.get(disposal, Disposal.KEEP), blend == 1)
