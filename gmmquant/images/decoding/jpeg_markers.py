"""Where the pixels of a JPEG start and end, found by its markers.

Layout: ITU-T T.81, annex B.
"""

from __future__ import annotations

import re
from typing import BinaryIO

# A marker, except those that occur within compressed pixels; a marker without a length; those around an image.
_MARKER = re.compile(rb"\xff([^\x00\xff\xd0-\xd7])")
_TEMPORARY, _START, _END, _PIXELS = b"\x01", b"\xd8", b"\xd9", b"\xda"

# A profile of 16 MB has 256 segments. Decoders skip bytes between segments, of which some cameras write a few.
_MAX_SEGMENTS, _MAX_GAP_BYTES = 10_000, 1 << 16

# Also those between scans of pixels.
_MAX_MARKERS = 1_000_000


def find_pixels(file: BinaryIO) -> int | None:
    """Return the position of the marker before the first compressed pixels; None if there is none."""
    position = 2
    for _ in range(_MAX_SEGMENTS):
        file.seek(position)
        found = _MARKER.match(beginning := file.read(4)) or _MARKER.search(beginning + file.read(_MAX_GAP_BYTES))
        if found is None or found[1] == _END:
            return None
        position += found.start()
        if found[1] == _PIXELS:
            return position
        position += 2
        if found[1] not in (_TEMPORARY, _START):
            file.seek(position)
            position += int.from_bytes(file.read(2), "big")
    return None


def find_end_marker(data: bytes) -> int | None:
    """Return the position of the end marker of the first image; None if there is none before another image starts."""
    position = 2
    for _ in range(_MAX_MARKERS):
        found = _MARKER.search(data, position)
        if found is None:
            return None
        if found[1] == _END:
            return found.start()
        if found[1] == _START:
            return None
        position = found.end()
        if found[1] != _TEMPORARY:
            position += int.from_bytes(data[position : position + 2], "big")
    return None
