"""The parts of files: chunks of a PNG or WebP, sub-blocks of a GIF, boxes of a JP2 or AVIF.

Layout: PNG, third edition (W3C, 2025), section 5; RFC 9649, section 2.3; GIF89a (CompuServe, 1990), section 15;
ISO/IEC 14496-12, section 4.2.
"""

from __future__ import annotations

import struct
import zlib
from collections.abc import Iterator
from typing import BinaryIO

PNG_SIGNATURE = b"\x89PNG\r\n\x1a\n"
# An animation has some for each frame; a file of many more is made to take long.
MAX_PARTS = 100_000
_MAX_PNG_CHUNKS = 1_000_000  # those of pixels may be short

METERS_PER_INCH = 0.0254  # PNG and BMP state resolutions in pixels per metre


def png_chunk(chunk_type: bytes, body: bytes | memoryview) -> bytes:
    """Return a PNG chunk: length, type, body and checksum."""
    checksum = zlib.crc32(body, zlib.crc32(chunk_type))
    return b"".join((struct.pack(">I", len(body)), chunk_type, body, struct.pack(">I", checksum)))


def iterate_chunks(data: bytes | memoryview, *, verified: bool = False) -> Iterator[tuple[bytes, memoryview]]:
    """Yield type and body of the chunks of a PNG, up to the last (IEND) or one that is cut short; at most a million.

    If `verified`, a wrong checksum ends the iteration too; otherwise checksums are left to the decoder.
    """
    view = memoryview(data)
    position = len(PNG_SIGNATURE)
    for _ in range(_MAX_PNG_CHUNKS):
        if position + 12 > len(data):
            return
        (length,) = struct.unpack_from(">I", data, position)
        end = position + 12 + length
        if end > len(data):
            return
        if verified and zlib.crc32(view[position + 4 : end - 4]) != struct.unpack_from(">I", data, end - 4)[0]:
            return
        chunk_type = bytes(view[position + 4 : position + 8])
        yield chunk_type, view[position + 8 : end - 4]
        if chunk_type == b"IEND":
            return
        position = end


def riff_chunk(chunk_type: bytes, body: bytes) -> bytes:
    """Return a chunk of a WebP: type, length and body, padded to an even length."""
    return chunk_type + struct.pack("<I", len(body)) + body + b"\0" * (len(body) % 2)


def iterate_riff_chunks(file: BinaryIO, start: int, end: int) -> Iterator[tuple[bytes, int, int]]:
    """Yield type, position of the body and length of the chunks of a WebP from `start` to `end`, the first 100,000."""
    for _ in range(MAX_PARTS):
        file.seek(start)
        head = file.read(8)
        if start + 8 > end or len(head) < 8:
            return
        length = int.from_bytes(head[4:], "little")
        yield head[:4], start + 8, length
        start += 8 + length + length % 2


def end_of_blocks(gif: bytes, position: int) -> int:
    """Return the end of the GIF sub-blocks at `position`, each a length and that many bytes; the last has length 0."""
    while length := gif[position]:
        position += 1 + length
    return position + 1


def iterate_boxes(data: bytes, start: int = 0, end: int | None = None) -> Iterator[tuple[bytes, int, int]]:
    """Yield the type, body start and body end of the boxes from `start` to `end`, up to one with an invalid length.

    There are at most 100,000.
    """
    end = len(data) if end is None else end
    for _ in range(MAX_PARTS):
        if start + 8 > end:
            return
        length, box_type = struct.unpack_from(">I4s", data, start)
        header_bytes = 8
        if length == 1 and start + 16 <= end:
            (length,) = struct.unpack_from(">Q", data, start + 8)
            header_bytes = 16
        stop = end if length == 0 else start + length
        if stop > end or stop < start + header_bytes:
            return
        yield box_type, start + header_bytes, stop
        start = stop
