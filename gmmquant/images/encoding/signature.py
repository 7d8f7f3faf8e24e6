"""The mark by which gmmquant knows the files that it wrote, so that it does not take them as inputs.

Each format has its own place for it, found without reading the whole file: the text entry `Software` of a PNG (where
each byte counts, a private chunk that other programs drop when they change the image), the first comment of a GIF or
JPEG, the tag `Software` of a TIFF or of the EXIF in a WebP, the bytes 6 to 9 of a BMP, which are free to use.
"""

from __future__ import annotations

import struct
from pathlib import Path
from typing import BinaryIO

from gmmquant.images.containers import PNG_SIGNATURE

MARK = "gmmquant"
BMP_MARK = b"gmmq"
PNG_CHUNK = b"gmQT"  # ancillary, private, not to be copied to an image that was changed

_BEGINNING = 4096
_SOFTWARE_TAG = 305
_ASCII = 2

# Chunks of a WebP that are looked through: an animation has one for each frame.
_MAX_CHUNKS = 100_000


def png_mark() -> bytes:
    """Return the content of the chunk tEXt."""
    return b"Software\0" + MARK.encode()


def gif_mark() -> bytes:
    """Return a comment as a block of a GIF."""
    return b"!\xfe" + bytes([len(MARK)]) + MARK.encode() + b"\0"


def jpeg_mark() -> bytes:
    """Return a comment as a segment of a JPEG."""
    return b"\xff\xfe" + struct.pack(">H", 2 + len(MARK)) + MARK.encode()


def is_own_output(source: Path | BinaryIO) -> bool:
    """Tell whether gmmquant wrote a file, by its mark; what cannot be read, it did not.

    A file that is open must be seekable. Little of it is read, from its beginning on, and it is left open.
    """
    try:
        if not isinstance(source, Path):
            source.seek(0)
            return _is_marked(source)
        if not source.is_file():
            return False
        with source.open("rb") as file:
            return _is_marked(file)
    except (OSError, ValueError):  # ValueError: a name with a zero in it
        return False


def _is_marked(file: BinaryIO) -> bool:
    beginning = file.read(_BEGINNING)
    if beginning.startswith(PNG_SIGNATURE):
        return _with_length(b"tEXt", png_mark()) in beginning or _with_length(PNG_CHUNK, b"") in beginning
    if beginning.startswith(b"GIF8"):
        return gif_mark() in beginning
    if beginning.startswith(b"\xff\xd8"):
        return jpeg_mark() in beginning
    if beginning.startswith(b"BM"):
        return beginning[6:10] == BMP_MARK
    if beginning[:4] in (b"II*\0", b"MM\0*"):
        return _software_of_tiff(file, 0) == MARK.encode()
    if beginning[:4] == b"RIFF" and beginning[8:12] == b"WEBP":
        return _software_of_webp(file) == MARK.encode()
    return False


def _with_length(kind: bytes, content: bytes) -> bytes:
    """Return a chunk of a PNG but for its checksum: the length tells it from a longer text that begins alike."""
    return struct.pack(">I", len(content)) + kind + content


def _software_of_webp(file: BinaryIO) -> bytes:
    """Return the `Software` of the EXIF chunk, to which the sizes of the chunks lead."""
    place = 12
    for _ in range(_MAX_CHUNKS):
        file.seek(place)
        head = file.read(8)
        if len(head) < 8:
            return b""
        if head[:4] == b"EXIF":
            return _software_of_tiff(file, place + 8)
        size = int.from_bytes(head[4:], "little")
        place += 8 + size + size % 2
    return b""


def _software_of_tiff(file: BinaryIO, start: int) -> bytes:
    """Return the tag `Software` of the TIFF structure at `start`, without its last zero; nothing if there is none."""
    file.seek(start)
    head = file.read(8)
    order = {b"II": "<", b"MM": ">"}.get(head[:2])
    if order is None or len(head) < 8:
        return b""
    file.seek(start + struct.unpack(order + "I", head[4:])[0])
    entries = file.read(2 + 12 * 256)[2:]
    for number in range(len(entries) // 12):
        tag, kind, count, value = struct.unpack_from(order + "HHII", entries, 12 * number)
        if tag == _SOFTWARE_TAG and kind == _ASCII and count == len(MARK) + 1:
            file.seek(start + value)
            return file.read(count)[:-1]
    return b""
