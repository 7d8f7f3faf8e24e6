"""PFM: floating-point pixels, whose values are taken as sRGB if they are from 0 to 1.

Layout: Netpbm's manual page pfm(5). Rows are stored from the bottom.
"""

from __future__ import annotations

import re
from typing import BinaryIO

import numpy as np

from gmmquant.images.decoding.floats import levels_of
from gmmquant.images.decoding.reader import Admit, Header, StoredImage, damaged

_HEADER = re.compile(rb"P([Ff])\s+([0-9]{1,9})\s+([0-9]{1,9})\s+([-+]?[0-9.]{1,30}(?:[eE][-+]?[0-9]{1,3})?)\s")


def read_header(file: BinaryIO) -> Header | None:
    match = _HEADER.match(file.read(128))
    if match is None:
        return None
    channels, size = 3 if match[1] == b"F" else 1, (int(match[2]), int(match[3]))
    order = "<" if float(match[4]) < 0 else ">"
    if min(size) < 1:
        return None
    return Header("PFM", size, "RGB" if channels == 3 else "L", details=(match.end(), channels, order))


def decode(data: bytes, header: Header, admit: Admit) -> StoredImage:
    admit(*header.size, 1)
    start, channels, order = header.details
    (width, height), n_bytes = header.size, 4 * channels * header.size[0] * header.size[1]
    if len(data) < start + n_bytes:
        raise damaged("PFM")
    values = np.frombuffer(data, f"{order}f4", n_bytes // 4, start).reshape(height, width, channels)
    return StoredImage(np.broadcast_to(levels_of(values[::-1]), (height, width, 3)).copy()[np.newaxis])
