"""ICNS of macOS: the largest image, a PNG, a JPEG 2000, or runs of channels with or without a mask.

The format is known from files and from Apple's header IconStorage.h, which names the kinds of images.
"""

from __future__ import annotations

import os
import struct
from collections.abc import Iterator
from typing import Any, BinaryIO

import numpy as np
import numpy.typing as npt

from gmmquant.errors import ImageError
from gmmquant.images.decoding.icons import decode_embedded, embedded_header, note_on_sizes
from gmmquant.images.decoding.reader import BASE_BYTES, Admit, Header, StoredImage, damaged

_FILES = {b"ic10": 1024, b"ic09": 512, b"ic14": 512, b"ic08": 256, b"ic13": 256, b"ic07": 128, b"icp6": 64}
_FILES |= {b"ic12": 64, b"icp5": 32, b"ic11": 32, b"icp4": 16}
_ARGB = {b"ic05": 32, b"ic04": 16}  # may be files too
_RGB = {b"it32": (128, b"t8mk"), b"ih32": (48, b"h8mk"), b"il32": (32, b"l8mk"), b"is32": (16, b"s8mk")}
_SIDES = {**_FILES, **_ARGB, **{kind: side for kind, (side, _) in _RGB.items()}}
_MAX_BLOCKS = 1000


def read_header(file: BinaryIO) -> Header | None:
    blocks = dict(_blocks(file))
    n_bytes = file.seek(0, os.SEEK_END)
    file.seek(4)
    if struct.unpack(">I", file.read(4))[0] > n_bytes:
        raise damaged("ICNS")
    kinds = [kind for kind in _SIDES if kind in blocks]
    if not kinds:
        raise ImageError("an ICNS without images in colour is not supported; save it as PNG")
    largest = max(kinds, key=_SIDES.__getitem__)  # of the same side, the first: files before runs
    start, end = blocks[largest]
    if end > n_bytes:
        raise damaged("ICNS")
    file.seek(start)
    part = file.read(min(end - start, BASE_BYTES))
    side = _SIDES[largest]
    embedded = None
    if largest in _FILES or (largest in _ARGB and part[:4] != b"ARGB"):
        embedded = embedded_header(part)
        if embedded is None:
            return None
    size = (side, side) if embedded is None else embedded.size
    n_images = len(kinds)
    return Header("ICNS", size, "RGBA", details=(largest, blocks, embedded, n_images))


def decode(data: bytes, header: Header, admit: Admit) -> StoredImage:
    kind, blocks, embedded, n_images = header.details
    part = data[slice(*blocks[kind])]
    notes = note_on_sizes(n_images, header.size)
    if embedded is not None:
        stored = decode_embedded(part, embedded, admit)
        return stored._replace(notes=(*stored.notes, *notes))
    admit(*header.size, 1)
    side = header.size[0]
    if kind in _ARGB:
        pixels = _channels(part[4:], side, 4)[..., [1, 2, 3, 0]]
    else:
        pixels = _channels(part[4:] if kind == b"it32" else part, side, 3)
        mask = data[slice(*blocks.get(_RGB[kind][1], (0, 0)))]
        if mask:
            if len(mask) < side * side:
                raise damaged("ICNS")
            alpha = np.frombuffer(mask, np.uint8, side * side).reshape(side, side)
            pixels = np.dstack([pixels, alpha])
    return StoredImage(np.ascontiguousarray(pixels)[np.newaxis], notes=notes)


def _blocks(file: BinaryIO) -> Iterator[tuple[bytes, tuple[int, int]]]:
    """Yield the kind, start and end of each block."""
    position = 8
    for _ in range(_MAX_BLOCKS):
        file.seek(position)
        head = file.read(8)
        if len(head) < 8:
            return
        kind, length = struct.unpack(">4sI", head)
        if length < 8:
            return
        yield kind, (position + 8, position + length)
        position += length


def _channels(data: bytes, side: int, n_channels: int) -> npt.NDArray[Any]:
    """Decode channels one after the other, each in runs; (side, side, n_channels).

    A byte below 128 is followed by that many bytes and one more, any other by one that is repeated 3 to 130 times.
    """
    n_pixels = side * side
    if len(data) == n_channels * n_pixels:  # not in runs
        return np.frombuffer(data, np.uint8).reshape(side, side, n_channels)
    values, position = bytearray(), 0
    while len(values) < n_channels * n_pixels and position + 1 < len(data):
        count = data[position]
        if count < 128:
            values += data[position + 1 : position + 2 + count]
            position += 2 + count
        else:
            values += data[position + 1 : position + 2] * (count - 125)
            position += 2
    if len(values) < n_channels * n_pixels:
        raise damaged("ICNS")
    planes = np.frombuffer(bytes(values[: n_channels * n_pixels]), np.uint8)
    return np.moveaxis(planes.reshape(n_channels, side, side), 0, -1)
