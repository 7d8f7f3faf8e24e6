"""ICO and CUR of Windows: the largest image, a PNG or a bitmap with a mask.

Source: Microsoft's "Icons" (Win32), and "The format of icon resources".
"""

from __future__ import annotations

import struct
from typing import Any, BinaryIO

import numpy as np
import numpy.typing as npt

from gmmquant.images.containers import PNG_SIGNATURE
from gmmquant.images.decoding.dib import HEADER_BYTES, Dib, decode_dib, parse_dib, unpacked
from gmmquant.images.decoding.icons import decode_embedded, embedded_header, note_on_sizes
from gmmquant.images.decoding.reader import BASE_BYTES, Admit, Header, StoredImage, damaged

_MAX_IMAGES = 1000
_OPAQUE_MASKS = (0xFF0000, 0xFF00, 0xFF, 0)


def read_header(file: BinaryIO) -> Header | None:
    _, kind, n_images = struct.unpack("<HHH", file.read(6))
    if not 0 < n_images <= _MAX_IMAGES:
        return None
    entries = list(struct.iter_unpack("<BBBBHHII", file.read(16 * n_images)))
    # A side of 256 is stored as 0. A cursor has a position where an icon has the bits of a pixel.
    bits = 5 if kind == 1 else 6
    largest = max(entries, key=lambda entry: ((entry[0] or 256) * (entry[1] or 256), entry[bits]))
    start, end = largest[7], largest[7] + largest[6]
    file.seek(start)
    part = file.read(min(end - start, BASE_BYTES))
    if len(part) < min(end - start, BASE_BYTES):
        raise damaged("ICO")
    if part.startswith(PNG_SIGNATURE):
        embedded = embedded_header(part)
        if embedded is None:
            return None
        details: Any = (start, end, embedded)
        size = embedded.size
    else:
        dib = parse_dib(part[:HEADER_BYTES])
        if dib is None or dib.height < 2 or dib.rle:
            return None
        dib = dib._replace(height=dib.height // 2)  # the mask is below
        details, size = (start, end, dib), (dib.width, dib.height)
    return Header("ICO", size, "RGBA", info={"n_images": n_images}, n_bytes=end, details=details)


def decode(data: bytes, header: Header, admit: Admit) -> StoredImage:
    start, end, inner = header.details
    notes = note_on_sizes(header.info["n_images"], header.size)
    if isinstance(inner, Header):
        stored = decode_embedded(data[start:end], inner, admit)
        return stored._replace(notes=(*stored.notes, *notes))
    admit(*header.size, 1)
    return StoredImage(_decode_bitmap(memoryview(data)[start:end], inner)[np.newaxis], notes=notes)


def _decode_bitmap(data: memoryview, dib: Dib) -> npt.NDArray[Any]:
    if dib.bits == 32 and dib.masks == _OPAQUE_MASKS:  # a file that has no alpha has zeros there
        dib = dib._replace(masks=(*_OPAQUE_MASKS[:3], 0xFF000000))
    pixels = decode_dib(data, dib, dib.end_of_palette)
    if pixels is None:
        raise damaged("ICO")
    if pixels.shape[2] == 4 and pixels[..., 3].any():
        return pixels if (pixels[..., 3] < np.iinfo(pixels.dtype).max).any() else pixels[..., :3]
    pixels = pixels[..., :3]
    row_bytes = (dib.width + 31) // 32 * 4
    stored = data[dib.end_of_palette + dib.row_bytes * dib.height :][: row_bytes * dib.height]
    if not any(stored):
        return pixels
    if len(stored) < row_bytes * dib.height:
        raise damaged("ICO")
    rows = np.frombuffer(stored, np.uint8).reshape(dib.height, row_bytes)
    hidden = unpacked(rows if dib.top_down else rows[::-1], 1, dib.width)
    alpha = (1 - hidden) * np.iinfo(pixels.dtype).max
    return np.dstack([pixels, alpha.astype(pixels.dtype)])
