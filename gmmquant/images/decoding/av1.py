"""The largest frame that AV1 data announce, which is what a decoder allocates, whatever the boxes around them state.

Layout: AV1 Bitstream & Decoding Process Specification, sections 5.3 to 5.5 (open bitstream units, sequence headers).
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import suppress

_SEQUENCE_HEADER = 1

# A still image has a handful of units, and a few for each tile.
_MAX_UNITS = 10_000


def largest_sequence(data: bytes) -> tuple[int, int]:
    """Return width and height of the largest sequence in the data of an image, up to damage; (0, 0) if there is none.

    Data of too many units raise a `ValueError`. Metadata are taken for a single unit.
    """
    sizes = [(0, 0)]
    with suppress(IndexError):
        sizes.extend(map(_size_of_sequence, _sequence_headers(data)))
    return max(sizes, key=lambda size: size[0] * size[1])


def _sequence_headers(data: bytes) -> Iterator[bytes]:
    position = 0
    for _ in range(_MAX_UNITS):
        if position >= len(data):
            return
        head = data[position]
        position += 2 if head & 4 else 1
        length = len(data) - position
        if head & 2:
            length, position = _variable_length(data, position)
        if head >> 3 & 15 == _SEQUENCE_HEADER:
            yield data[position : position + length]
        position += length
    raise ValueError


def _variable_length(data: bytes, position: int) -> tuple[int, int]:
    """Return the number of up to 8 bytes at `position`, 7 bits each, and the position after it."""
    number = 0
    for n in range(8):
        byte = data[position + n]
        number |= (byte & 127) << 7 * n
        if byte < 128:
            return number, position + n + 1
    raise IndexError


class _Bits:
    """Bits of a sequence header, read in order; those after its end raise an `IndexError`."""

    def __init__(self, data: bytes) -> None:
        self._value, self._rest = int.from_bytes(data, "big"), 8 * len(data)

    def read(self, n: int) -> int:
        if n > self._rest:
            raise IndexError
        self._rest -= n
        return self._value >> self._rest & ((1 << n) - 1)

    def skip_variable_length(self) -> None:
        """Skip as many zeros as there are, a one, and as many bits as there were zeros."""
        zeros = 0
        while not self.read(1):
            zeros += 1
        self.read(zeros if zeros < 32 else 0)


def _size_of_sequence(body: bytes) -> tuple[int, int]:
    """Return the width and height of a sequence header; nothing else of it is kept."""
    bits = _Bits(body[:1024])
    bits.read(4)  # profile, still image
    if bits.read(1):  # the short header of a still image
        bits.read(5)
    else:
        _skip_timing(bits)
    width_bits, height_bits = bits.read(4) + 1, bits.read(4) + 1
    return bits.read(width_bits) + 1, bits.read(height_bits) + 1


def _skip_timing(bits: _Bits) -> None:
    """Skip the timing and the operating points of a sequence."""
    delay_bits = 0
    if bits.read(1):  # timing
        bits.read(64)
        if bits.read(1):  # frames have the same duration
            bits.skip_variable_length()
        if bits.read(1):  # a model of the decoder
            delay_bits = bits.read(5) + 1
            bits.read(42)
    has_display_delay = bits.read(1)
    for _ in range(bits.read(5) + 1):
        bits.read(12)
        if bits.read(5) > 7:  # a high level has a tier
            bits.read(1)
        if delay_bits and bits.read(1):
            bits.read(2 * delay_bits + 1)
        if has_display_delay and bits.read(1):
            bits.read(4)
