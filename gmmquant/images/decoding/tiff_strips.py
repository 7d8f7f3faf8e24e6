"""Damage of the strips and tiles of a TIFF that their compression can tell, and that libtiff does not look for.

Deflate: the checksum at the end (RFC 1950). LZW: the code that ends it is not zero (TIFF 6.0, section 13). JPEG: the
end marker.
"""

from __future__ import annotations

import io
import zlib

from gmmquant.images.decoding.jpeg_markers import find_end_marker
from gmmquant.images.decoding.tiff_directory import COMPRESSION, read_directory

_LZW, _JPEG, _DEFLATE = 5, 7, (8, 32946)

# More than a program adds to a strip.
_ZEROS = bytes(16)

_STEP_BYTES = 1 << 20


def is_damaged(data: bytes, most_bytes: int) -> bool:
    """Return whether a strip or tile of a TIFF is damaged; `most_bytes` are decompressed for it, enough for the image.

    Files that the decoder has to judge are not called damaged.
    """
    file = io.BytesIO(data)
    directory = read_directory(file)
    compression = directory.integer(file, COMPRESSION, 1)
    parts = (data[start : start + size] for start, size in directory.parts(file).tolist() if start >= 0 and size > 0)
    if compression in _DEFLATE:
        return any(not _is_intact(part, most_bytes) for part in parts)
    if compression == _LZW:
        return any(len(part) > len(_ZEROS) and part.endswith(_ZEROS) for part in parts)
    if compression == _JPEG:
        return any(part.startswith(b"\xff\xd8") and find_end_marker(part) is None for part in parts)
    return False


def _is_intact(compressed: bytes, most_bytes: int) -> bool:
    """Decompress a zlib stream and forget it; return False if it, or its checksum, is wrong."""
    decompressor = zlib.decompressobj()
    try:
        while compressed and not decompressor.eof and most_bytes > 0:
            most_bytes -= len(decompressor.decompress(compressed, _STEP_BYTES))
            compressed = decompressor.unconsumed_tail
    except zlib.error:
        return False
    return True
