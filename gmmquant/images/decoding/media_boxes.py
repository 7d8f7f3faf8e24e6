"""The sizes that an AVIF states, and where its images and the frames of its animation are, from its boxes.

Layout: ISO/IEC 14496-12 (ISO base media file format), sections 8.7.3 to 8.7.5 and 8.11.3; ISO/IEC 23008-12, section
6.5.3. Damaged tables raise a `struct.error`, a `KeyError`, an `IndexError`, a `ValueError` or a `StopIteration`.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from typing import BinaryIO

import numpy as np
import numpy.typing as npt

from gmmquant.images.containers import iterate_boxes

# Boxes that hold no pixels; the table of an animation has some 10 bytes a frame.
_MAX_BOX_BYTES = 1 << 24
_MAX_BOXES, _MAX_FRAMES = 1000, 1 << 20

# From the box of an animation to the tables of its frames; the track is the only one of which there are several.
_PATH = (b"mdia", b"minf", b"stbl")


def stated_size(file: BinaryIO) -> tuple[int, int, int]:
    """Return the largest width and height that a property states, and the largest number of frames of a track."""
    sizes, n_frames = [(0, 0)], 1
    for body in _described(file):
        sizes += [struct.unpack_from(">II", body, at + 8) for at in _found(body, b"ispe")]
        n_frames = max([n_frames, *(struct.unpack_from(">I", body, at + 12)[0] for at in _found(body, b"stsz"))])
    width, height = max(sizes, key=lambda size: size[0] * size[1])
    return width, height, n_frames


def _described(file: BinaryIO) -> Iterator[bytes]:
    """Yield the bodies of the boxes `meta` and `moov` at the top of a file."""
    position = 0
    for _ in range(_MAX_BOXES):
        file.seek(position)
        head = file.read(16)
        if len(head) < 8:
            return
        length, box_type = struct.unpack_from(">I4s", head)
        if length == 1 and len(head) == 16:
            (length,) = struct.unpack_from(">Q", head, 8)
        if box_type in (b"meta", b"moov"):
            file.seek(position)
            yield file.read(min(length, _MAX_BOX_BYTES) if length else _MAX_BOX_BYTES)
        if length < 8:
            return
        position += length


def _found(body: bytes, box_type: bytes) -> Iterator[int]:
    """Yield the positions of a box type that version, flags and two numbers follow."""
    at = body.find(box_type)
    while 0 <= at <= len(body) - 16:
        yield at
        at = body.find(box_type, at + 4)


def frames(data: bytes) -> Iterator[tuple[int, int]]:
    """Yield where the frames of all tracks start and end in a file."""
    for kind, start, end in iterate_boxes(data):
        if kind == b"moov":
            for inner, begin, stop in iterate_boxes(data, start, end):
                if inner == b"trak":
                    starts, sizes = _frames_of_track(data, begin, stop)
                    yield from zip(starts.tolist(), (starts + sizes).tolist(), strict=True)


def images(data: bytes) -> Iterator[list[tuple[int, int]]]:
    """Yield for each item of a file, an image or metadata, where its parts start and end in the file.

    Those that lie in a box of the tables themselves (`idat`) and those that refer to other items are left out: no
    encoder stores pixels there.
    """
    for kind, start, end in iterate_boxes(data):
        if kind == b"meta":
            for inner, begin, stop in iterate_boxes(data, start + 4, end):
                if inner == b"iloc":
                    yield from _parts_of_items(data[begin:stop])


def _parts_of_items(body: bytes) -> Iterator[list[tuple[int, int]]]:
    version, offset_bytes, base_bytes = body[0], body[4] >> 4, body[5] >> 4
    length_bytes, index_bytes = body[4] & 15, body[5] & 15 if version else 0
    id_bytes, at = (4 if version > 1 else 2), 6

    def read(n_bytes: int) -> int:
        nonlocal at
        at += n_bytes
        if at > len(body):
            raise IndexError
        return int.from_bytes(body[at - n_bytes : at], "big")

    for _ in range(read(id_bytes)):
        read(id_bytes)
        method = read(2) & 15 if version else 0
        read(2)
        base, parts = read(base_bytes), []
        for _ in range(read(2)):
            read(index_bytes)
            start = base + read(offset_bytes)
            parts.append((start, start + read(length_bytes)))
        if method == 0:
            yield parts


def _frames_of_track(data: bytes, start: int, end: int) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64]]:
    """Return starts and sizes of the frames of a track: chunks of frames lie anywhere, frames in a chunk in a row."""
    for name in _PATH:
        start, end = next(((begin, stop) for kind, begin, stop in iterate_boxes(data, start, end) if kind == name))
    tables = {kind: data[begin:stop] for kind, begin, stop in iterate_boxes(data, start, end)}
    if b"stsz" not in tables:  # sizes of 4 bits, which nobody needs
        return np.zeros(0, np.int64), np.zeros(0, np.int64)
    wide = b"co64" in tables
    starts = _table(tables[b"co64" if wide else b"stco"], ">u8" if wide else ">u4", 4).astype(np.int64)
    constant, count = struct.unpack_from(">II", tables[b"stsz"], 4)
    if constant:
        sizes = np.full(min(count, _MAX_FRAMES), constant, np.int64)
    else:
        sizes = _table(tables[b"stsz"], ">u4", 8).astype(np.int64)
    rows = _table(tables[b"stsc"], ">u4", 4, 3).astype(np.int64)  # first chunk, from 1; frames in each chunk; unused
    per_chunk = np.repeat(rows[:, 1], np.diff(np.append(rows[:, 0] - 1, len(starts))))
    # Chunks claim any number of frames. Those after the last frame are left out.
    per_chunk = np.minimum(per_chunk, len(sizes))
    per_chunk = per_chunk[: int(np.searchsorted(np.cumsum(per_chunk), len(sizes))) + 1]
    in_chunk = np.repeat(np.arange(len(starts)), per_chunk)[: len(sizes)]
    total = np.cumsum(sizes[: len(in_chunk)])  # up to the end of each
    before = np.append(0, total)[np.append(0, np.cumsum(per_chunk))[:-1].clip(max=len(total))]
    sizes = sizes[: len(in_chunk)]
    return starts[in_chunk] + total - sizes - before[in_chunk], sizes


def _table(body: bytes, dtype: str, at: int, columns: int = 1) -> npt.NDArray[np.uint64]:
    """Return the rows of a table whose number stands at byte `at` and which follow it."""
    (count,) = struct.unpack_from(">I", body, at)
    values = np.frombuffer(body, dtype, count * columns, at + 4)
    return values.reshape(-1, columns) if columns > 1 else values
