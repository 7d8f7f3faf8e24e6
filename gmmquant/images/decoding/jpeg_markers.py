"""The end of a JPEG, found by its markers.

Layout: ITU-T T.81, annex B.
"""

from __future__ import annotations

import re

# A marker, except those that occur within compressed pixels; a marker without a length; those around an image.
_MARKER = re.compile(rb"\xff([^\x00\xff\xd0-\xd7])")
_TEMPORARY, _START, _END = b"\x01", b"\xd8", b"\xd9"


def find_end_marker(data: bytes) -> int | None:
    """Return the position of the end marker of the first image; None if there is none before another image starts."""
    position = 2
    while found := _MARKER.search(data, position):
        if found[1] == _END:
            return found.start()
        if found[1] == _START:
            return None
        position = found.end()
        if found[1] != _TEMPORARY:
            position += int.from_bytes(data[position : position + 2], "big")
    return None
