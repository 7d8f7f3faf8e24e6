"""The parts that image files are made of, for those who read them and those who write them.

Layout: PNG specification, third edition (W3C, 2025), section 5; GIF89a (CompuServe, 1990), section 15.
"""

from __future__ import annotations

import struct
import zlib
from collections.abc import Iterator

PNG_SIGNATURE = b"\x89PNG\r\n\x1a\n"

# PNG and BMP count pixels by the metre.
METERS_PER_INCH = 0.0254


def png_chunk(kind: bytes, body: bytes | memoryview) -> bytes:
    """Make a chunk of a PNG, its length before it and its checksum behind."""
    checksum = zlib.crc32(body, zlib.crc32(kind))
    return b"".join((struct.pack(">I", len(body)), kind, body, struct.pack(">I", checksum)))


def iterate_chunks(data: bytes | memoryview, *, verified: bool = False) -> Iterator[tuple[bytes, memoryview]]:
    """Go through the chunks of a PNG, each a kind and a body, up to the last (IEND) or to what is cut short.

    Or, if `verified`, to a wrong checksum; otherwise checksums are left to the decoder.
    """
    view = memoryview(data)
    position = len(PNG_SIGNATURE)
    while position + 12 <= len(data):
        (length,) = struct.unpack_from(">I", data, position)
        end = position + 12 + length
        if end > len(data):
            return
        if verified and zlib.crc32(view[position + 4 : end - 4]) != struct.unpack_from(">I", data, end - 4)[0]:
            return
        kind = bytes(view[position + 4 : position + 8])
        yield kind, view[position + 8 : end - 4]
        if kind == b"IEND":
            return
        position = end


def end_of_blocks(gif: bytes, place: int) -> int:
    """Return where a run of a GIF's sub-blocks ends, each its length and that many bytes; the last has length 0."""
    while length := gif[place]:
        place += 1 + length
    return place + 1
