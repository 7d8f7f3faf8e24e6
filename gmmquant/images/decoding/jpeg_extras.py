"""Images in a JPEG that are not shown: a second view, an HDR gain map, a depth map, a short video.

They follow the first image and are listed in its Multi-Picture Format segment or its XMP. Layout: CIPA DC-007 (MPF);
ISO 21496-1 and hdrgm of XMP (gain maps); GDepth, GImage and GCamera of XMP.
"""

from __future__ import annotations

import re
import struct
from collections.abc import Iterator

from gmmquant.images.decoding.metadata import MAX_METADATA_BYTES

_START_OF_SCAN, _APP1, _APP2 = 0xDA, 0xE1, 0xE2
_MPF = b"MPF\0"
_DESCRIPTIONS = {_APP1: b"http://ns.adobe.com/xap/1.0/\0", _APP2: b"urn:iso:std:iso:ts:21496:-1\0"}  # XMP, gain map
_LIST_TAG, _ENTRY_BYTES, _MAX_ENTRIES = 0xB002, 16, 100
_HEAD_BYTES = 1 << 16  # of a further image, in which its purpose is found

# Types of images in an MPF list. Those of 0x01.... are previews of the first image; others, such as 0, tell nothing.
_TYPES = {0x020001: "parts of a panorama", 0x020002: "a second view (stereo)", 0x020003: "views from other angles"}
_PREVIEW = 0x01

# What the segments of the first image, or the beginnings of the others, contain.
_PURPOSES = {
    "an HDR gain map": rb"hdrgm:|:aux:hdrgainmap|urn:iso:std:iso:ts:21496:-1\0|Semantic=[\"']GainMap[\"']",
    "a depth map": rb"GDepth:|:aux:(?:depth|disparity)|Semantic=[\"']Depth[\"']",
    "a second view (stereo)": rb"GImage:",
    "a video": rb"GCamera:(?:MotionPhoto|MicroVideo)\s*(?:=\s*[\"']|>)\s*1|Semantic=[\"']MotionPhoto[\"']",
    "mattes": rb":aux:\w+matte",
}


def other_images(data: bytes) -> Iterator[str]:
    """Yield the names of the images of a JPEG file that are not shown, such as "a depth map"."""
    described, listed = b"", list[tuple[int, bytes]]()
    for marker, begin, end in _segments(data):
        if marker == _APP2 and data.startswith(_MPF, begin):
            listed = list(_listed_images(data, begin + len(_MPF), end))
        elif marker in _DESCRIPTIONS and data.startswith(_DESCRIPTIONS[marker], begin):
            described += data[begin:end] if len(described) < MAX_METADATA_BYTES else b""
    heads = [head for kind, head in listed if kind >> 16 != _PREVIEW]
    found = [
        name for name, purpose in _PURPOSES.items() if any(re.search(purpose, text) for text in [described, *heads])
    ]
    yield from found
    known = [_TYPES[kind] for kind, _ in listed if kind in _TYPES]
    yield from known
    if heads and not found and not known:
        yield "another image"


def _segments(data: bytes) -> Iterator[tuple[int, int, int]]:
    """Yield marker, begin and end of the segments before the pixels."""
    position = 2
    while position + 4 <= len(data) and data[position] == 0xFF and data[position + 1] != _START_OF_SCAN:
        if data[position + 1] == 0xFF:  # a filling byte
            position += 1
            continue
        (length,) = struct.unpack_from(">H", data, position + 2)
        yield data[position + 1], position + 4, min(position + 2 + length, len(data))
        position += 2 + length


def _listed_images(data: bytes, start: int, end: int) -> Iterator[tuple[int, bytes]]:
    """Yield type and beginning of the images after the first in a list, whose TIFF structure begins at `start`."""
    order = "<" if data[start : start + 2] == b"II" else ">"
    try:
        (directory,) = struct.unpack_from(order + "I", data, start + 4)
        (n_tags,) = struct.unpack_from(order + "H", data, start + directory)
        for n in range(min(n_tags, _MAX_ENTRIES)):
            tag, _, length, entries = struct.unpack_from(order + "HHII", data, start + directory + 2 + 12 * n)
            if tag != _LIST_TAG:
                continue
            for entry in range(1, min(length // _ENTRY_BYTES, _MAX_ENTRIES)):
                position = start + entries + _ENTRY_BYTES * entry
                if position + _ENTRY_BYTES <= end:
                    attributes, size, offset = struct.unpack_from(order + "III", data, position)
                    yield attributes & 0xFFFFFF, data[start + offset : start + offset + min(size, _HEAD_BYTES)]
    except struct.error:
        return
