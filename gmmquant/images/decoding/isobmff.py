"""The primary image of a file of items, such as AVIF: its properties, and the other images that belong to it.

Layout: ISO/IEC 23008-12 (HEIF), ISO/IEC 14496-12 (boxes).
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from itertools import islice

from gmmquant.images.containers import iterate_boxes
from gmmquant.images.decoding.code_points import StatedSpace, space_of_code_points

_FULL_BOX_BYTES = 4  # version and flags, before what the box contains
_MAX_BOXES = 1 << 15  # of properties, which have numbers of 15 bits, and of items

Property = tuple[bytes, bytes]
Boxes = dict[bytes, tuple[int, int]]  # begin and end of the bodies of boxes, by their types


def stated_space(data: bytes) -> StatedSpace:
    """Return the colour space that a colr box of the primary image, or else of the frames, states by code points."""
    boxes = _meta_boxes(data)
    properties = _properties(data, boxes)
    # The tiles of a grid may have the box instead of the grid.
    for kind, body in [*_of_primary(data, boxes, properties), *properties]:
        if kind == b"colr" and body[:4] == b"nclx" and len(body) >= 8:
            return _space_of(body)
    for kind, begin, end in iterate_boxes(data):  # a sequence of frames has it in the description of their coding
        found = data.find(b"colrnclx", begin, end) if kind == b"moov" else -1
        if found >= 0 and found + 12 <= end:
            return _space_of(data[found + 4 : found + 12])
    return StatedSpace()


def other_images(data: bytes) -> Iterator[str]:
    """Yield names of the images that belong to the primary one and are not shown."""
    boxes = _meta_boxes(data)
    properties = data[slice(*boxes.get(b"iprp", (0, 0)))]
    if b"tmap" in _item_types(data, *boxes.get(b"iinf", (0, 0))) or b":aux:hdrgainmap" in properties:
        yield "an HDR gain map"
    if b":auxiliary:depth" in properties or b"auxid:2\0" in properties:
        yield "a depth map"
    if b"matte\0" in properties:
        yield "mattes"
    if b"ster" in data[slice(*boxes.get(b"grpl", (0, 0)))]:
        yield "a second view (stereo)"


def _space_of(nclx: bytes) -> StatedSpace:
    return space_of_code_points("nclx", *struct.unpack_from(">HH", nclx, 4))


def _properties(data: bytes, boxes: Boxes) -> list[Property]:
    """Return the type and body of all properties of items."""
    lists = _boxes(data, *boxes.get(b"iprp", (0, 0)))
    stored = islice(iterate_boxes(data, *lists.get(b"ipco", (0, 0))), _MAX_BOXES)
    return [(kind, data[begin:end]) for kind, begin, end in stored]


def _of_primary(data: bytes, boxes: Boxes, properties: list[Property]) -> list[Property]:
    """Return those of the properties that the primary item has; none if the boxes are damaged."""
    try:
        lists = _boxes(data, *boxes[b"iprp"])
        associated = _associated(data[slice(*lists[b"ipma"])], _item_id(data, *boxes[b"pitm"]))
    except (KeyError, struct.error, IndexError):
        return []
    return [properties[index - 1] for index in associated if 0 < index <= len(properties)]


def _boxes(data: bytes, begin: int, end: int) -> Boxes:
    return {kind: (start, stop) for kind, start, stop in islice(iterate_boxes(data, begin, end), _MAX_BOXES)}


def _meta_boxes(data: bytes) -> Boxes:
    """Return the boxes that describe the items."""
    for kind, begin, end in iterate_boxes(data):
        if kind == b"meta":
            return _boxes(data, begin + _FULL_BOX_BYTES, end)
    return {}


def _item_types(data: bytes, begin: int, end: int) -> set[bytes]:
    """Return the types of the items; those of entries before version 2 have none."""
    count_bytes = 2 if data[begin : begin + 1] == b"\0" else 4
    entries = islice(iterate_boxes(data, begin + _FULL_BOX_BYTES + count_bytes, end), _MAX_BOXES)
    starts = [start + (8 if data[start] == 2 else 10) for kind, start, _ in entries if kind == b"infe"]
    return {data[start : start + 4] for start in starts}


def _item_id(data: bytes, begin: int, end: int) -> int:
    """Return the identifier of the primary item."""
    return int.from_bytes(data[begin + _FULL_BOX_BYTES : end][: 2 if data[begin] == 0 else 4], "big")


def _associated(body: bytes, item: int) -> list[int]:
    """Return the numbers, from 1, of the properties of an item."""
    id_format, wide = ">H" if body[0] == 0 else ">I", body[3] & 1
    (n_items,) = struct.unpack_from(">I", body, _FULL_BOX_BYTES)
    position = _FULL_BOX_BYTES + 4
    for _ in range(min(n_items, _MAX_BOXES)):
        (found,) = struct.unpack_from(id_format, body, position)
        position += struct.calcsize(id_format)
        end = position + 1 + body[position] * (2 if wide else 1)
        if found == item:
            if not wide:
                return [index & 0x7F for index in body[position + 1 : end]]
            return [index & 0x7FFF for (index,) in struct.iter_unpack(">H", body[position + 1 : end])]
        position = end
    return []
