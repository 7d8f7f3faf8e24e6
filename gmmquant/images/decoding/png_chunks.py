"""The ancillary chunks of a PNG: texts, resolution, colour space, transparency, anywhere in the file.

Pillow reads only those before the pixels, and mixes texts with other entries of the same name. Compressed chunks are
decompressed up to a limit, since a few bytes may expand to terabytes. Layout: PNG, third edition (W3C, 2025).
"""

from __future__ import annotations

import struct
import zlib
from collections.abc import Mapping

from gmmquant.images.containers import METERS_PER_INCH, PNG_SIGNATURE, iterate_chunks
from gmmquant.images.decoding.code_points import (
    SRGB_CHROMATICITIES,
    StatedSpace,
    space_of_code_points,
    space_of_gamma,
)
from gmmquant.images.decoding.metadata import MAX_METADATA_BYTES
from gmmquant.images.decoding.profiles import MAX_PROFILE_BYTES
from gmmquant.images.decoding.reader import damaged

# Texts beyond it are left out.
_MAX_ALL_TEXTS_BYTES = 4 * MAX_METADATA_BYTES

_COMPRESSED_TEXTS = (b"zTXt", b"iTXt")
_MAX_DECOMPRESSED_TEXTS = 32

_XMP = b"XML:com.adobe.xmp"

_UNIT = 100_000  # of the numbers in gAMA and cHRM

# The bodies of chunks by type, in file order.
Chunks = Mapping[bytes, list[bytes]]


def read_chunks(data: bytes) -> Chunks:
    """Return the chunks of a PNG without those of pixels and those above the limit.

    A file is damaged if a chunk is cut short or the last is missing: OpenCV would allocate the stated size of a chunk.
    """
    chunks: dict[bytes, list[bytes]] = {}
    for chunk_type, body in iterate_chunks(data):
        limit = MAX_PROFILE_BYTES if chunk_type == b"iCCP" else MAX_METADATA_BYTES
        if chunk_type not in (b"IDAT", b"fdAT", b"fcTL") and len(body) <= limit:
            chunks.setdefault(chunk_type, []).append(bytes(body))
    if b"IEND" not in chunks:
        raise damaged("PNG")
    return chunks


def with_few_texts(data: bytes) -> bytes:
    """Return a PNG with the first of its compressed texts only: libpng decompresses 8 MB of each of a thousand."""
    if sum(chunk_type in _COMPRESSED_TEXTS for chunk_type, _ in iterate_chunks(data)) <= _MAX_DECOMPRESSED_TEXTS:
        return data
    start, n_texts, parts = len(PNG_SIGNATURE), 0, [PNG_SIGNATURE]
    for chunk_type, body in iterate_chunks(data):
        end = start + 12 + len(body)
        n_texts += chunk_type in _COMPRESSED_TEXTS
        if chunk_type not in _COMPRESSED_TEXTS or n_texts <= _MAX_DECOMPRESSED_TEXTS:
            parts.append(data[start:end])
        start = end
    return b"".join(parts)


def first(chunks: Chunks, chunk_type: bytes) -> bytes:
    """Return the body of the first chunk of a type; empty if there is none."""
    return chunks.get(chunk_type, [b""])[0]


def announced_frames(chunks: Chunks) -> int:
    """Return the number of frames that a PNG states; 0 if it is not animated."""
    body = first(chunks, b"acTL")
    return int.from_bytes(body[:4], "big") if len(body) == 8 else 0


def resolution(chunks: Chunks) -> tuple[float, float] | None:
    """Return the resolution in pixels per inch, if it is stated in pixels per metre."""
    body = first(chunks, b"pHYs")
    if len(body) != 9 or body[8] != 1:
        return None
    x, y = struct.unpack_from(">II", body)
    return x * METERS_PER_INCH, y * METERS_PER_INCH


def color_space(chunks: Chunks) -> StatedSpace:
    """Return the colour space of a PNG: by cICP, else iCCP, else sRGB, else gAMA and cHRM (4.3 of the standard).

    A cICP that is not applied counts only without iCCP, whose profile then describes what programs shall show.
    """
    stated, code_points = StatedSpace(), first(chunks, b"cICP")
    if len(code_points) == 4:
        stated = space_of_code_points("cICP", *code_points[:2], full_range=code_points[3] == 1)
    if b"iCCP" in chunks and not stated.is_srgb and stated.profile is None:
        return StatedSpace(profile(chunks))
    if stated != StatedSpace():
        return stated
    return StatedSpace(is_srgb=True) if b"sRGB" in chunks else _space_of_gamma_and_primaries(chunks)


def _space_of_gamma_and_primaries(chunks: Chunks) -> StatedSpace:
    gamma = int.from_bytes(first(chunks, b"gAMA")[:4], "big") / _UNIT
    stated = struct.unpack(">8I", first(chunks, b"cHRM")) if len(first(chunks, b"cHRM")) == 32 else ()
    return space_of_gamma(gamma, [value / _UNIT for value in stated] or SRGB_CHROMATICITIES, "gAMA", "cHRM")


def profile(chunks: Chunks) -> bytes | None:
    """Return the ICC profile; None if there is none, empty if it cannot be decompressed."""
    if b"iCCP" not in chunks:
        return None
    compressed = first(chunks, b"iCCP").partition(b"\0")[2][1:]
    return _decompress(compressed, MAX_PROFILE_BYTES) or b""


def transparent_grey(chunks: Chunks) -> int | None:
    """Return the transparent level of a grey PNG without alpha, for 8 or 16 bits; None if there is none."""
    header, body = first(chunks, b"IHDR"), first(chunks, b"tRNS")
    if len(header) != 13 or header[9] != 0 or len(body) != 2 or header[8] not in (1, 2, 4, 8, 16):
        return None
    bits = header[8]
    level = int.from_bytes(body, "big") & ((1 << bits) - 1)
    return level * 255 // ((1 << bits) - 1) if bits < 8 else level


def texts(chunks: Chunks) -> list[tuple[str, str]]:
    """Return keyword and content of the texts, without XMP, raw profiles and the name of the software.

    A text that cannot be decompressed uses up as much of the limit for all texts as it was allowed.
    """
    entries, room = [], _MAX_ALL_TEXTS_BYTES
    for chunk_type, encoding in ((b"tEXt", "latin-1"), (b"zTXt", "latin-1"), (b"iTXt", "utf-8")):
        for keyword, stored, compressed in (_parse_text(chunk_type, body) for body in chunks.get(chunk_type, [])):
            if keyword in (b"", b"Software", _XMP) or keyword.startswith(b"Raw profile type"):
                continue
            limit = min(MAX_METADATA_BYTES, room)
            content = _content(stored, compressed, limit)
            room -= limit if content is None and compressed else len(content or b"")
            if content:
                entries.append((keyword.decode("latin-1"), content.decode(encoding, "replace")))
    return entries


def xmp(chunks: Chunks) -> bytes:
    """Return the XMP packet; empty if there is none."""
    for keyword, stored, compressed in (_parse_text(b"iTXt", body) for body in chunks.get(b"iTXt", [])):
        if keyword == _XMP:
            content = _content(stored, compressed, MAX_METADATA_BYTES)
            return (content or b"").decode("utf-8", "replace").encode()
    return b""


def _parse_text(chunk_type: bytes, body: bytes) -> tuple[bytes, bytes, bool]:
    """Return the keyword of a textual chunk, empty if it is broken, the stored text, and whether it is compressed."""
    keyword, _, rest = body.partition(b"\0")
    if chunk_type == b"tEXt":
        return keyword, rest, False
    if chunk_type == b"zTXt":
        return keyword, rest[1:], True
    fields = rest[2:].split(b"\0", 2)
    return (keyword, fields[2], rest[0] != 0) if len(fields) == 3 else (b"", b"", False)


def _content(stored: bytes, compressed: bool, limit: int) -> bytes | None:
    """Return a text, decompressed; None if it is damaged or above the limit."""
    if compressed:
        return _decompress(stored, limit)
    return stored if len(stored) <= limit else None


def _decompress(compressed: bytes, limit: int) -> bytes | None:
    """Decompress a zlib stream; None if it is damaged or longer than the limit."""
    if limit == 0:  # which zlib takes for no limit
        return None
    decompressor = zlib.decompressobj()
    try:
        content = decompressor.decompress(compressed, limit)
    except zlib.error:
        return None
    return content if decompressor.eof else None
