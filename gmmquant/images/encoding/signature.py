"""The mark by which gmmquant recognises the files that it wrote, so that it does not take them as inputs.

Each format stores it where it is found without reading the whole file: see the modules of the formats.
"""

from __future__ import annotations

import struct
from typing import BinaryIO

MARK = "gmmquant"

_SOFTWARE_TAG = 305
_ASCII = 2
_MAX_TAGS = 256


def is_marked_tiff(file: BinaryIO, start: int = 0) -> bool:
    """Return whether the tag `Software` of the TIFF structure that begins at byte `start` is gmmquant's mark."""
    file.seek(start)
    head = file.read(8)
    order = {b"II": "<", b"MM": ">"}.get(head[:2])
    if order is None or len(head) < 8:
        return False
    file.seek(start + struct.unpack(order + "I", head[4:])[0])
    tags = file.read(2 + 12 * _MAX_TAGS)[2:]
    for number in range(len(tags) // 12):
        tag, data_type, count, value = struct.unpack_from(order + "HHII", tags, 12 * number)
        if tag == _SOFTWARE_TAG and data_type == _ASCII and count == len(MARK) + 1:
            file.seek(start + value)
            return file.read(count)[:-1] == MARK.encode()
    return False
