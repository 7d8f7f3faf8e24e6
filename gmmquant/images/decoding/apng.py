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
_ANIMATION_CHUNKS = (b"acTL", b"fcTL", b"fdAT")
_DISPOSALS: dict[int, Disposal] = {1: "clear", 2: "restore"}


@dataclass
class Apng:
    """An animated PNG: its header and shared chunks, the number of plays (0: forever), and its frames.

    `out_of_order` is whether a frame is missing or the numbers of its parts are not in order, while every chunk is
    undamaged. Browsers then show the default image.
    """

    header: bytes = b""
    shared: dict[bytes, bytes] = field(default_factory=dict)
    loop: int = 0
    controls: list[FrameControl] = field(default_factory=list)
    compressed: list[list[memoryview]] = field(default_factory=list)
    out_of_order: bool = False

    @property
    def size(self) -> tuple[int, int]:
        """Width and height of the canvas."""
        width, height = struct.unpack_from(">II", self.header.ljust(8, b"\0"))
        return width, height

    def files(self) -> Iterator[bytes]:
        """Yield each frame as a PNG."""
        for control, parts in zip(self.controls, self.compressed, strict=True):
            header = png_chunk(b"IHDR", struct.pack(">II", control.width, control.height) + self.header[8:])
            pixels = b"".join(png_chunk(b"IDAT", part) for part in parts)
            yield PNG_SIGNATURE + header + b"".join(self.shared.values()) + pixels + png_chunk(b"IEND", b"")


def parse_apng(data: bytes) -> Apng | None:
    """Parse an animated PNG; None if it is damaged. A default image before the first frame is left out."""
    apng, sequence_number, chunk_type = Apng(), 0, b""
    for chunk_type, body in iterate_chunks(data, verified=True):
        if chunk_type == b"IHDR" and len(body) == 13:
            apng.header = bytes(body)
        elif chunk_type in _SHARED_CHUNKS:
            if chunk_type in apng.shared or len(body) > _SHARED_CHUNKS[chunk_type]:
                return None
            apng.shared[chunk_type] = png_chunk(chunk_type, body)
        elif chunk_type == b"acTL" and len(body) == 8:
            (apng.loop,) = struct.unpack_from(">I", body, 4)
        elif chunk_type in (b"fcTL", b"fdAT"):
            if apng.out_of_order or body[:4] != struct.pack(">I", sequence_number):
                apng.out_of_order = True
                continue
            sequence_number += 1
            if chunk_type == b"fcTL" and len(body) == 26:
                apng.controls.append(_parse_control(body))
                apng.compressed.append([])
            elif chunk_type == b"fdAT" and apng.controls:
                apng.compressed[-1].append(body[4:])
            else:
                return None
        elif chunk_type == b"IDAT" and apng.controls:
            apng.compressed[-1].append(body)
    if apng.out_of_order:
        return apng if chunk_type == b"IEND" else None
    width, height = apng.size
    fitting = all(0 < one.width <= width - one.x and 0 < one.height <= height - one.y for one in apng.controls)
    return apng if chunk_type == b"IEND" and apng.controls and fitting and all(apng.compressed) else None


def without_animation(data: bytes) -> bytes:
    """Return a PNG without the chunks of its animation; it shows the default image."""
    chunks = (png_chunk(kind, body) for kind, body in iterate_chunks(data) if kind not in _ANIMATION_CHUNKS)
    return PNG_SIGNATURE + b"".join(chunks)


def _parse_control(body: memoryview) -> FrameControl:
    _, width, height, x, y, numerator, denominator, disposal, blend = struct.unpack(">IIIIIHHBB", body)
    duration = 1000.0 * numerator / (denominator or 100)
    return FrameControl(x, y, width, height, duration, _DISPOSALS.get(disposal, "keep"), blend == 1)
