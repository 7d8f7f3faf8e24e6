"""The header of a JPEG XL: its size, before any memory is allocated for it, its depth and whether it is an animation.

Layout: ISO/IEC 18181-1, annexes C to E (size, metadata); ISO/IEC 18181-2 (boxes).
"""

from __future__ import annotations

from typing import NamedTuple

from gmmquant.images.containers import iterate_boxes

CODESTREAM = b"\xff\x0a"

_RATIOS = {1: (1, 1), 2: (12, 10), 3: (4, 3), 4: (3, 2), 5: (16, 9), 6: (5, 4), 7: (2, 1)}


class JxlHeader(NamedTuple):
    """Size after the orientation is applied, the bits of a channel, and the number of other channels than colours."""

    width: int
    height: int
    bits: int = 8
    is_animation: bool = False
    n_extra: int = 0


class _Bits:
    """Bits of bytes, from the lowest; a ValueError is raised behind the end."""

    def __init__(self, data: bytes) -> None:
        self._number, self._rest = int.from_bytes(data, "little"), 8 * len(data)

    def read(self, n_bits: int) -> int:
        self._rest -= n_bits
        if self._rest < 0:
            raise ValueError
        value = self._number & ((1 << n_bits) - 1)
        self._number >>= n_bits
        return value

    def select(self, *choices: tuple[int, int]) -> int:
        """Read two bits that choose an offset and the number of bits of a value that is added."""
        offset, n_bits = choices[self.read(2)]
        return offset + self.read(n_bits)


def parse_jxl(data: bytes) -> JxlHeader | None:
    """Parse the header of a file; None if it is cut short."""
    try:
        return _parse(_Bits(_codestream(data)[2:258]))
    except ValueError:
        return None


def _codestream(data: bytes) -> bytes:
    """Return the beginning of the codestream."""
    if data.startswith(CODESTREAM):
        return data[:258]
    for kind, start, end in iterate_boxes(data):
        if kind in (b"jxlc", b"jxlp"):
            start += 4 if kind == b"jxlp" else 0  # the number of the part
            return data[start : min(end, start + 258)]
    raise ValueError


def _parse(bits: _Bits) -> JxlHeader:
    width, height = _size(bits)
    if bits.read(1):  # everything has its default
        return JxlHeader(width, height)
    is_animation = False
    if bits.read(1):
        if bits.read(3) >= 4:
            width, height = height, width
        if bits.read(1):
            _size(bits)
        if bits.read(1):
            _preview(bits)
        is_animation = bool(bits.read(1))
        if is_animation:
            bits.select((100, 0), (1000, 0), (1, 10), (1, 30))
            bits.select((1, 0), (1001, 0), (1, 8), (1, 10))
            bits.select((0, 0), (0, 3), (0, 16), (0, 32))
            bits.read(1)
    if bits.read(1):  # floating point
        depth = bits.select((32, 0), (16, 0), (24, 0), (1, 6))
        bits.read(4)
    else:
        depth = bits.select((8, 0), (10, 0), (12, 0), (1, 6))
    bits.read(1)
    return JxlHeader(width, height, depth, is_animation, bits.select((0, 0), (1, 0), (2, 4), (1, 12)))


def _size(bits: _Bits) -> tuple[int, int]:
    in_eights = bool(bits.read(1))
    height = _side(bits, in_eights=in_eights)
    ratio = bits.read(3)
    if ratio == 0:
        return _side(bits, in_eights=in_eights), height
    over, under = _RATIOS[ratio]
    return height * over // under, height


def _side(bits: _Bits, *, in_eights: bool) -> int:
    return 8 * (bits.read(5) + 1) if in_eights else bits.select((1, 9), (1, 13), (1, 18), (1, 30))


def _preview(bits: _Bits) -> None:
    choices = ((16, 0), (32, 0), (1, 5), (33, 9)) if bits.read(1) else ((1, 6), (65, 8), (321, 10), (1345, 12))
    bits.select(*choices)
    if bits.read(3) == 0:
        bits.select(*choices)
