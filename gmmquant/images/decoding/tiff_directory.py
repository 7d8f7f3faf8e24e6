"""The directories of a TIFF: the tags of the first, and the strips or tiles of pixels that it points to.

Decoders hold all values of all tags, and any number of tags may share the same bytes of a file. So the directory is
checked before they get the file. Layout: TIFF 6.0 (Adobe, 1992), section 2; BigTIFF (2007).
"""

from __future__ import annotations

import io
import struct
from collections.abc import Mapping
from dataclasses import dataclass
from typing import BinaryIO, NamedTuple

import numpy as np
import numpy.typing as npt

from gmmquant.images.decoding.decoder_stderr import damage_ignored
from gmmquant.images.decoding.reader import BASE_BYTES

WIDTH, HEIGHT, COMPRESSION = 256, 257, 259
_NEW_SUBFILE_TYPE, _REDUCED_OR_MASK = 254, 0b101
_STRIP_OFFSETS, _STRIP_BYTES, _TILE_WIDTH, _TILE_HEIGHT, _TILE_OFFSETS, _TILE_BYTES = 273, 279, 322, 323, 324, 325

# Tags of data that lie anywhere in a file: the tables of an old kind of JPEG, and other directories.
_POINTERS = (513, 519, 0x8769, 0x8825)

# Bytes of a value of each type.
_TYPE_BYTES = {1: 1, 2: 1, 3: 2, 4: 4, 5: 8, 6: 1, 7: 1, 8: 2, 9: 4, 10: 8, 11: 4, 12: 8, 13: 4, 16: 8, 17: 8, 18: 8}
_INTEGERS = {1: "u1", 3: "u2", 4: "u4", 13: "u4", 16: "u8", 18: "u8"}

_MAX_TAGS, _MAX_PAGES = 4096, 64


class _Tag(NamedTuple):
    """The type and number of the values of a tag, and where they start in the file."""

    type: int
    n_values: int
    start: int

    @property
    def n_bytes(self) -> int:
        return self.n_values * _TYPE_BYTES.get(self.type, 0)


@dataclass(frozen=True)
class Directory:
    """A directory of a TIFF file: byte order, tags by number, and the end of the directory itself.

    `is_big` is whether the file is a BigTIFF. The position of the `next` page's directory, 0 for none, is stored at
    `next_at`.
    """

    order: str
    is_big: bool
    tags: Mapping[int, _Tag]
    end: int
    next_at: int
    next: int

    def integers(self, file: BinaryIO, number: int) -> npt.NDArray[np.int64]:
        """Return the values of a tag; none if it is missing, cut short or has no integers."""
        tag = self.tags.get(number)
        if tag is None or tag.type not in _INTEGERS:
            return np.zeros(0, np.int64)
        file.seek(tag.start)
        data = file.read(min(tag.n_bytes, BASE_BYTES))
        dtype = np.dtype(self.order + _INTEGERS[tag.type])
        return np.frombuffer(data, dtype, len(data) // dtype.itemsize).astype(np.int64)

    def integer(self, file: BinaryIO, number: int, default: int = 0) -> int:
        """Return the first value of a tag."""
        return int(next(iter(self.integers(file, number)), default))

    @property
    def is_tiled(self) -> bool:
        """Whether the pixels are stored in tiles."""
        return _TILE_OFFSETS in self.tags

    def tile_pixels(self, file: BinaryIO) -> int:
        """Return the number of pixels of a tile; 0 if there are none."""
        return self.integer(file, _TILE_WIDTH) * self.integer(file, _TILE_HEIGHT) if self.is_tiled else 0

    def parts(self, file: BinaryIO) -> npt.NDArray[np.int64]:
        """Return where strips or tiles start and how many bytes they have, shape (n, 2); none if they do not match."""
        starts = self.integers(file, _TILE_OFFSETS if self.is_tiled else _STRIP_OFFSETS)
        sizes = self.integers(file, _TILE_BYTES if self.is_tiled else _STRIP_BYTES)
        return np.stack([starts, sizes], axis=1) if len(starts) == len(sizes) else np.zeros((0, 2), np.int64)

    @property
    def tag_bytes(self) -> int:
        """Number of bytes of the values of all tags."""
        return sum(tag.n_bytes for tag in self.tags.values())

    def needed_bytes(self, file: BinaryIO) -> int | None:
        """Return how many bytes from the beginning of a file the first page needs; None if that is unknown."""
        if any(tag in self.tags for tag in _POINTERS):
            return None
        parts = self.parts(file)
        if not len(parts) or (parts < 0).any():
            return None
        return max(self.end, int(parts.sum(axis=1).max()), *(tag.start + tag.n_bytes for tag in self.tags.values()))


def read_directory(file: BinaryIO, start: int | None = None) -> Directory:
    """Read the directory at `start`, or the first.

    A `struct.error` is raised if it is cut short or has thousands of tags.
    """
    file.seek(0)
    head = file.read(16)
    order = {b"II": "<", b"MM": ">"}[head[:2]]
    is_big = struct.unpack_from(order + "H", head, 2)[0] == 43
    if start is None:
        (start,) = struct.unpack_from(order + ("Q" if is_big else "I"), head, 8 if is_big else 4)
    count_bytes, entry, inline = (8, "HHQ8s", 8) if is_big else (2, "HHI4s", 4)
    entry_bytes = struct.calcsize(order + entry)
    file.seek(start)
    (n_tags,) = struct.unpack(order + ("Q" if is_big else "H"), file.read(count_bytes))
    if n_tags > _MAX_TAGS:
        raise struct.error
    entries = file.read(n_tags * entry_bytes)
    if len(entries) < n_tags * entry_bytes:
        raise struct.error
    tags = {}
    for n, (number, kind, count, value) in enumerate(struct.iter_unpack(order + entry, entries)):
        at = start + count_bytes + n * entry_bytes + entry_bytes - inline
        tag = _Tag(kind, count, at)
        if tag.n_bytes > inline:
            tag = tag._replace(start=struct.unpack(order + ("Q" if is_big else "I"), value)[0])
        tags[number] = tag
    end = start + count_bytes + n_tags * entry_bytes + inline
    file.seek(end - inline)
    following = int.from_bytes(file.read(inline), "little" if order == "<" else "big")
    return Directory(order, is_big, tags, end, end - inline, following)


def has_further_image(file: BinaryIO, first: Directory) -> bool:
    """Return whether a page follows that is neither a smaller version of another one, nor a mask, nor damaged."""
    following, seen = first.next, {0}
    with damage_ignored():
        while following not in seen and len(seen) < _MAX_PAGES:
            seen.add(following)
            page = read_directory(file, following)
            if not page.integer(file, _NEW_SUBFILE_TYPE) & _REDUCED_OR_MASK:
                return page.end != first.end
            following = page.next
    return False


def first_page(data: bytes) -> bytes:
    """Return a TIFF that ends with its first page.

    Files are read as far as the first page needs. A decoder that follows the position of the second one beyond the end
    would call them damaged.
    """
    directory = read_directory(io.BytesIO(data))
    at, end, view = directory.next_at, directory.end, memoryview(data)
    parts = directory.parts(io.BytesIO(data))
    has_pixels = ((parts[:, 0] < end) & (parts.sum(axis=1) > at)).any()  # in the place of the position
    return b"".join((view[:at], bytes(end - at), view[end:])) if any(view[at:end]) and not has_pixels else data
