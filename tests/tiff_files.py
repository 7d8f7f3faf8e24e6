"""TIFFs of 8 or 16 bits with any tags."""

import struct

import numpy as np


def tiff(pixels, tags=None):
    """Return an uncompressed TIFF of uint8 or uint16 pixels (h, w, channels): grey, RGB, or RGB with plain alpha.

    `tags` are integers (LONG), bytes (UNDEFINED), lists of pairs (RATIONAL) or arrays (SHORT).
    """
    height, width, channels = pixels.shape
    bits = np.full(channels, 8 * pixels.itemsize, "<u2")
    values = {
        256: width,
        257: height,
        258: bits,
        259: 1,
        262: 1 if channels == 1 else 2,
        273: 8,
        277: channels,
        278: height,
        279: pixels.nbytes,
        **({338: 2} if channels == 4 else {}),
        **(tags or {}),
    }
    stored = np.ascontiguousarray(pixels, dtype=pixels.dtype.newbyteorder("<")).tobytes()
    stored += bytes(len(stored) % 2)
    directory, tail = struct.pack("<H", len(values)), b""
    after = 8 + len(stored) + 2 + 12 * len(values) + 4
    for tag, value in sorted(values.items()):
        kind, count, body = _field(value)
        if len(body) > 4:
            body, tail = struct.pack("<I", after + len(tail)), tail + body + bytes(len(body) % 2)
        directory += struct.pack("<HHI", tag, kind, count) + body.ljust(4, b"\0")
    return b"II*\0" + struct.pack("<I", 8 + len(stored)) + stored + directory + bytes(4) + tail


def _field(value):
    """Return type, count and bytes of the value of a tag."""
    if isinstance(value, int):
        return 4, 1, struct.pack("<I", value)
    if isinstance(value, bytes):
        return 7, len(value), value
    if isinstance(value, list):
        return 5, len(value), b"".join(struct.pack("<II", *pair) for pair in value)
    return 3, len(value), value.tobytes()
