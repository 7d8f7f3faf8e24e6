"""Netpbm's formats PBM, PGM, PPM and PAM; values are stretched to the full range of 8 or 16 bits.

OpenCV does not scale values whose maximum is neither 255 nor 65535, and swaps the channels of a PAM. Pillow reads no
PAM and no 16-bit colour. Layout: Netpbm's manual pages pbm(5), pgm(5), ppm(5) and pam(5).
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any, BinaryIO

import numpy as np
import numpy.typing as npt

from gmmquant.errors import ImageError
from gmmquant.images.decoding.opencv import stretched
from gmmquant.images.decoding.reader import SEVERAL_IMAGES, Admit, Header, StoredImage, damaged

# Room for a header's few words and some comments.
_HEADER_BYTES = 1 << 16

_MAGIC = re.compile(rb"P[1-7][\s#]")
_WORD = rb"(?:\s++|#[^\n\r]*+)*+([^\s#]++)"  # possessive, so that it never backtracks
_CHANNELS = {b"1": 1, b"2": 1, b"3": 3, b"4": 1, b"5": 1, b"6": 3}
_PLAIN = (b"1", b"2", b"3")  # values are decimal digits
_BITMAP, _PAM = b"4", b"7"  # values are bits; the header has names


@dataclass(frozen=True)
class _Layout:
    """The header of a file: the digit after the P, sizes, the maximum of a value, and the position of the first."""

    digit: bytes
    width: int
    height: int
    channels: int
    maximum: int
    start: int

    @property
    def dtype(self) -> np.dtype[Any]:
        """Type of a binary value."""
        return np.dtype(">u2" if self.maximum > 255 else np.uint8)

    @property
    def end(self) -> int:
        """Position after the last binary value; each row of a bitmap is padded to bytes."""
        bitmap = self.digit == _BITMAP
        row_bytes = -(-self.width // 8) if bitmap else self.width * self.channels * self.dtype.itemsize
        return self.start + row_bytes * self.height


def read_header(file: BinaryIO) -> Header:
    beginning = file.read(_HEADER_BYTES)
    layout = _parse_pam_header(beginning) if beginning[1:2] == _PAM else _parse_header(beginning)
    if not (layout.width > 0 and layout.height > 0 and 1 <= layout.channels <= 4 and 0 < layout.maximum < 65536):
        raise damaged("PNM")
    return Header("PNM", (layout.width, layout.height), "L" if layout.channels < 3 else "RGB", details=layout)


def decode(data: bytes, header: Header, admit: Admit) -> StoredImage:
    admit(*header.size, 1)
    layout: _Layout = header.details
    values = _read_values(data, layout)
    if values is None:
        raise damaged("PNM")
    values = stretched(values.reshape(layout.height, layout.width, layout.channels), layout.maximum)
    if layout.channels < 3:
        values = values[:, :, [0, 0, 0] if layout.channels == 1 else [0, 0, 0, 1]]
    is_followed = layout.digit not in _PLAIN and _MAGIC.match(data, layout.end) is not None
    notes = (SEVERAL_IMAGES,) if is_followed else ()
    return StoredImage(values[np.newaxis], notes=notes, has_full_range=layout.maximum < np.iinfo(np.uint16).max)


def _parse_header(beginning: bytes) -> _Layout:
    digit = beginning[1:2]
    found = re.match(b"P." + _WORD * (2 if digit in (b"1", _BITMAP) else 3), beginning)
    if found is None:
        raise damaged("PNM")
    width, height, maximum = (*map(_to_integer, found.groups()), 1)[:3]
    return _Layout(digit, width, height, _CHANNELS[digit], maximum, found.end() + 1)


def _parse_pam_header(beginning: bytes) -> _Layout:
    head, end, _ = beginning.partition(b"ENDHDR\n")
    if not end:
        raise damaged("PNM")
    lines = (line.strip().partition(b" ") for line in head[3:].split(b"\n"))
    words = {name: value.strip() for name, _, value in lines if not name.startswith(b"#")}
    names = (b"WIDTH", b"HEIGHT", b"DEPTH", b"MAXVAL")
    width, height, channels, maximum = (_to_integer(words.get(name, b"")) for name in names)
    tuple_type = words.get(b"TUPLTYPE", b"")
    if channels == 4 and tuple_type not in (b"", b"RGB_ALPHA"):
        shown = re.sub(r"[^A-Z_]", "?", tuple_type[:20].decode("latin-1"))
        raise ImageError(f"PAM with 4 channels and tuple type {shown} is not supported; convert it to RGB_ALPHA or RGB")
    return _Layout(_PAM, width, height, channels, maximum, len(head + end))


def _to_integer(word: bytes) -> int:
    if not word.isdigit() or len(word) > 9:
        raise damaged("PNM")
    return int(word)


def _read_values(data: bytes, layout: _Layout) -> npt.NDArray[Any] | None:
    """Return the values of all pixels in order; None if some are missing or invalid."""
    count = layout.width * layout.height * layout.channels
    if layout.digit in _PLAIN:
        return _read_plain_values(re.sub(rb"#[^\n\r]*", b"", data[layout.start :]), layout, count)
    if len(data) < layout.end:
        return None
    if layout.digit == _BITMAP:
        packed = np.frombuffer(data, np.uint8, layout.end - layout.start, layout.start).reshape(layout.height, -1)
        return 1 - np.unpackbits(packed, axis=1)[:, : layout.width]
    return np.frombuffer(data, layout.dtype, count, layout.start)


def _read_plain_values(text: bytes, layout: _Layout, count: int) -> npt.NDArray[Any] | None:
    """Read decimal digits; those of a bitmap need no space between them."""
    if layout.digit == b"1":
        if re.fullmatch(rb"[01\s]*+", text) is None:
            return None
        digits = np.frombuffer(text, np.uint8)
        digits = digits[digits >= ord("0")][:count]
        return ord("1") - digits if digits.size == count else None
    if 2 * count - 1 > len(text) or re.fullmatch(rb"[\d\s]*", text) is None:
        return None
    values = np.fromstring(text, dtype=np.float64, sep=" ")[:count]  # as floats, since numbers may have any length
    return values.astype(np.uint32) if values.size == count and values.max() <= layout.maximum else None
