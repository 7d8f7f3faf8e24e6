"""The chunks of a PNG besides its pixels: texts, resolution, colour space, transparency, wherever they stand.

Pillow reads them only as far as the pixels and mixes texts with facts of the same name. What is compressed is unpacked
up to a limit, since a few bytes may stand for terabytes. Layout: Portable Network Graphics, third edition (W3C, 2025).
"""

from __future__ import annotations

import struct
import zlib
from dataclasses import dataclass

import numpy as np

from gmmquant.images.containers import METERS_PER_INCH, PNG_SIGNATURE, iterate_chunks

# Bytes of a text, of all texts together, and of a colour profile (those of printers have 1 to 3 million); what is
# longer is left out.
LIMIT = 1 << 20
TEXTS_LIMIT = 4 * LIMIT
PROFILE_LIMIT = 1 << 24

_XMP = b"XML:com.adobe.xmp"

# What stands for sRGB in gAMA and cHRM, in 1/100000: the power 1/2.2; x and y of white, red, green and blue.
_GAMMA = 45_455
_PRIMARIES = (31_270, 32_900, 64_000, 33_000, 30_000, 60_000, 15_000, 6_000)
_SRGB = bytes((1, 13, 0, 1))  # cICP: BT.709 primaries, sRGB's transfer function, RGB, full range

# The modes of Pillow that correspond to types of colour, and the bits that each may have.
_MODES = {
    0: ("L", (1, 2, 4, 8, 16)),
    2: ("RGB", (8, 16)),
    3: ("P", (1, 2, 4, 8)),
    4: ("LA", (8, 16)),
    6: ("RGBA", (8, 16)),
}


def read_png_header(beginning: bytes) -> tuple[tuple[int, int], str]:
    """Return the size (width, height) and the mode that the header of a PNG states; an empty mode if it is broken."""
    if len(beginning) < len(PNG_SIGNATURE) + 18 or beginning[8:16] != b"\0\0\0\x0dIHDR":
        return (0, 0), ""
    width, height, bits, color_type = struct.unpack_from(">IIBB", beginning, 16)
    mode, possible = _MODES.get(color_type, ("", ()))
    return (width, height), mode if width and height and bits in possible else ""


def ancillary(data: bytes) -> dict[bytes, list[bytes]] | None:
    """Return the bodies of a PNG's chunks by their kind, without those that hold pixels and those above the limit.

    None if a chunk is cut short or the last is missing: OpenCV would make room for all that a chunk claims to hold.
    """
    found: dict[bytes, list[bytes]] = {}
    for kind, body in iterate_chunks(data):
        if kind not in (b"IDAT", b"fdAT", b"fcTL") and len(body) <= (PROFILE_LIMIT if kind == b"iCCP" else LIMIT):
            found.setdefault(kind, []).append(bytes(body))
    return found if b"IEND" in found else None


def resolution(found: dict[bytes, list[bytes]]) -> tuple[float, float] | None:
    """Return the resolution in pixels an inch, if one is stated in pixels a metre."""
    body = found.get(b"pHYs", [b""])[0]
    if len(body) != 9 or body[8] != 1:
        return None
    x, y = struct.unpack_from(">II", body)
    return x * METERS_PER_INCH, y * METERS_PER_INCH


def is_srgb(found: dict[bytes, list[bytes]]) -> bool:
    """Tell whether a PNG states that it is sRGB, which counts more than a profile (cICP) or stands for one (sRGB)."""
    return _SRGB in found.get(b"cICP", []) or (b"sRGB" in found and b"iCCP" not in found and b"cICP" not in found)


def foreign_color_space(found: dict[bytes, list[bytes]]) -> str | None:
    """Name what a PNG without a profile states of its colour space, if that is clearly not sRGB; None if it is.

    A cICP chunk counts most: primaries/transfer function. Gamma is the power that encodes light.
    """
    body = found.get(b"cICP", [b""])[0]
    if len(body) == 4:
        return None if body == _SRGB else f"colour space {body[0]}/{body[1]} (cICP)"
    gamma = int.from_bytes(found.get(b"gAMA", [b""])[0][:4], "big")
    if gamma and abs(gamma - _GAMMA) > _GAMMA // 20:
        return f"gamma {gamma / 100_000:g} (gAMA)"
    primaries = found.get(b"cHRM", [b""])[0]
    if len(primaries) == 32 and np.abs(np.frombuffer(primaries, ">u4").astype(float) - _PRIMARIES).max() > 1000:
        return "colour space of other primaries (cHRM)"
    return None


def profile(found: dict[bytes, list[bytes]]) -> bytes | None:
    """Return the colour profile, unpacked; None if there is none, empty if it cannot be unpacked."""
    if b"iCCP" not in found:
        return None
    _, _, packed = found[b"iCCP"][0].partition(b"\0")
    return _unpacked(packed[1:], PROFILE_LIMIT) or b""


def transparent_grey(found: dict[bytes, list[bytes]]) -> int | None:
    """Return the grey level, of 8 or 16 bits, that a PNG without alpha declares transparent; None if it does not."""
    header, body = found.get(b"IHDR", [b""])[0], found.get(b"tRNS", [b""])[0]
    if len(header) != 13 or header[9] != 0 or len(body) != 2 or header[8] not in (1, 2, 4, 8, 16):
        return None
    bits = header[8]
    level = int.from_bytes(body, "big") & ((1 << bits) - 1)
    return level * 255 // ((1 << bits) - 1) if bits < 8 else level


def texts(found: dict[bytes, list[bytes]]) -> list[tuple[str, str]]:
    """Return the textual entries, keyword and text, without those that carry what is no text for people.

    What is packed and cannot be unpacked counts to the limit of all texts as much as it was allowed.
    """
    entries, room = [], TEXTS_LIMIT
    for text in (_text_of(kind, body) for kind in (b"tEXt", b"zTXt", b"iTXt") for body in found.get(kind, [])):
        if text.keyword in (b"", b"Software", _XMP) or text.keyword.startswith(b"Raw profile type"):
            continue
        limit = min(LIMIT, room)
        content = text.content(limit)
        if content is not None:
            room -= len(content)
        elif text.packed:
            room -= limit
        if content:
            entries.append((text.keyword.decode("latin-1"), content.decode(text.encoding, "replace")))
    return entries


def xmp(found: dict[bytes, list[bytes]]) -> bytes:
    """Return the XMP packet; empty if there is none."""
    texts_of_xmp = (text for body in found.get(b"iTXt", []) if (text := _text_of(b"iTXt", body)).keyword == _XMP)
    first = next(texts_of_xmp, None)
    content = None if first is None else first.content(LIMIT)
    return (content or b"").decode("utf-8", "replace").encode()


@dataclass(frozen=True)
class _Text:
    """A textual entry as the file has it: the keyword, the text, whether that is packed, and how it is encoded."""

    keyword: bytes
    stored: bytes
    packed: bool
    encoding: str

    def content(self, limit: int) -> bytes | None:
        """Return the text, unpacked; None if it is damaged or above the limit."""
        if self.packed:
            return _unpacked(self.stored, limit)
        return self.stored if len(self.stored) <= limit else None


def _text_of(kind: bytes, body: bytes) -> _Text:
    """Take a textual chunk apart; without a keyword if it is broken."""
    keyword, _, rest = body.partition(b"\0")
    if kind == b"tEXt":
        return _Text(keyword, rest, False, "latin-1")
    if kind == b"zTXt":
        return _Text(keyword, rest[1:], True, "latin-1")
    parts = rest[2:].split(b"\0", 2)
    if len(rest) < 2 or len(parts) != 3:
        return _Text(b"", b"", False, "utf-8")
    return _Text(keyword, parts[2], rest[0] != 0, "utf-8")


def _unpacked(packed: bytes, limit: int) -> bytes | None:
    """Unpack what zlib packed; None if it is damaged or above the limit."""
    if limit == 0:  # to zlib, that means none
        return None
    unpacker = zlib.decompressobj()
    try:
        unpacked = unpacker.decompress(packed, limit)
    except zlib.error:
        return None
    return unpacked if unpacker.eof else None
