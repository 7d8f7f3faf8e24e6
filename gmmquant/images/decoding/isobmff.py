"""The boxes of JP2 and AVIF files, each a length, a type and a body. Layout: ISO/IEC 14496-12, section 4.2."""

from __future__ import annotations

import struct
from collections.abc import Iterator


def iterate_boxes(data: bytes, start: int = 0, end: int | None = None) -> Iterator[tuple[bytes, int, int]]:
    """Yield the type, body start and body end of the boxes from `start` to `end`, up to one with an invalid length."""
    end = len(data) if end is None else end
    while start + 8 <= end:
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
