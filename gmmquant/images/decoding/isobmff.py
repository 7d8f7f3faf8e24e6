"""What Pillow does not tell of a JPEG 2000 or AVIF: the bits of a value, and a JPEG 2000's true size and profile.

A JP2 and an AVIF consist of boxes, each a length, a kind and a body. A JP2's header box gives a size, but decoders make
room for the one that its codestream gives, so that counts. Layouts: ISO/IEC 14496-12 (boxes), 15444-1 (JPEG 2000,
annexes A and I) and the AV1 bindings of AVIF (av1C).
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from dataclasses import dataclass

_START_OF_CODESTREAM = b"\xff\x4f\xff\x51"  # its start and the marker of its sizes
_RESTRICTED, _ANY = 2, 3  # the ways in which a colour specification holds an ICC profile
_SRGB, _GREY = 16, 17


@dataclass(frozen=True)
class Codestream:
    """What a JPEG 2000 says: size, channels, bits, whether they are all alike and plain, and its profile if any."""

    width: int
    height: int
    channels: int
    bits: int
    plain: bool
    profile: bytes | None


def boxes(data: bytes, start: int = 0, end: int | None = None) -> Iterator[tuple[bytes, int, int]]:
    """Go through the boxes from `start` to `end`: each its kind, and where its body begins and ends."""
    end = len(data) if end is None else end
    while start + 8 <= end:
        length, kind = struct.unpack_from(">I4s", data, start)
        head = 8
        if length == 1 and start + 16 <= end:
            (length,) = struct.unpack_from(">Q", data, start + 8)
            head = 16
        stop = end if length == 0 else start + length
        if stop > end or stop < start + head:
            return
        yield kind, start + head, stop
        start = stop


def read_codestream(data: bytes) -> Codestream | None:
    """Read the sizes of a JPEG 2000, a JP2 or a bare codestream; None if they are not there."""
    start, plain = 0, True
    profile: bytes | None = None
    if not data.startswith(_START_OF_CODESTREAM):
        found = {kind: (begin, end) for kind, begin, end in boxes(data)}
        if b"jp2c" not in found:
            return None
        start = found[b"jp2c"][0]
        for kind, begin, end in boxes(data, *found.get(b"jp2h", (0, 0))):
            if kind == b"colr" and end - begin > 3:
                method = data[begin]
                if method in (_RESTRICTED, _ANY):
                    profile = profile or data[begin + 3 : end]
                elif end - begin >= 7:
                    plain = plain and struct.unpack_from(">I", data, begin + 3)[0] in (_SRGB, _GREY)
            plain = plain and kind != b"pclr"
    if data[start : start + 4] != _START_OF_CODESTREAM or start + 42 > len(data):
        return None
    x1, y1, x0, y0 = struct.unpack_from(">4I", data, start + 8)
    (channels,) = struct.unpack_from(">H", data, start + 40)
    each = [data[start + 42 + 3 * n : start + 45 + 3 * n] for n in range(channels)]
    if not 0 < channels < 16385 or len(each[-1]) < 3 or x1 <= x0 or y1 <= y0:
        return None
    bits = max(one[0] & 0x7F for one in each) + 1
    plain = plain and all(one == bytes([bits - 1, 1, 1]) for one in each)
    return Codestream(x1 - x0, y1 - y0, channels, bits, plain, profile)


def avif_bits(data: bytes) -> int:
    """Return the bits of a value of an AVIF: 8, 10 or 12, from the first configuration of its decoder."""
    for kind, begin, end in boxes(data):
        if kind in (b"meta", b"moov"):
            found = data.find(b"av1C", begin, end)
            if found >= 0 and found + 7 <= end:
                flags = data[found + 6]
                return 12 if flags & 0x20 else 10 if flags & 0x40 else 8
    return 8
