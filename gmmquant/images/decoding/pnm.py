"""Netpbm's images, PBM, PGM, PPM and PAM: what a header says, and the values stretched to the whole range.

They are read here, not by a library: OpenCV takes values up to another maximum than 255 or 65535 as they are and swaps
the channels of a PAM, and Pillow knows no PAM and no 16-bit colour. Layout: the manual pages pbm(5) to pam(5) of
Netpbm.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from gmmquant.errors import ImageError

# A header is one to seven words; this many bytes hold them and some comments.
HEADER_BYTES = 1 << 16

_MAGIC = re.compile(rb"P[1-7][\s#]")
_WORD = re.compile(rb"(?:\s++|#[^\n\r]*+)*+([^\s#]++)")  # possessive: no second way to match, no time lost
_CHANNELS = {b"1": 1, b"2": 1, b"3": 3, b"4": 1, b"5": 1, b"6": 3}


@dataclass(frozen=True)
class PnmHeader:
    """What a header says: the kind, "1" to "7", the sizes, the maximum of a value, and where the values begin."""

    kind: bytes
    width: int
    height: int
    channels: int
    maximum: int
    start: int

    @property
    def stored_as(self) -> np.dtype[Any]:
        """The type of a value that is not written as digits."""
        return np.dtype(">u2" if self.maximum > 255 else np.uint8)

    @property
    def n_bytes(self) -> int:
        """The bytes of all values that are not written as digits; those of a PBM are bits, in rows of whole bytes."""
        row = -(-self.width // 8) if self.kind == b"4" else self.width * self.channels * self.stored_as.itemsize
        return row * self.height


def is_pnm(beginning: bytes) -> bool:
    """Tell whether a file that begins so is a PBM, PGM, PPM or PAM."""
    return _MAGIC.match(beginning) is not None


def read_pnm_header(beginning: bytes) -> PnmHeader | None:
    """Read the header at the beginning of a file; None if it is broken.

    Raises
    ------
    ImageError
        If it is a PAM of four channels other than RGB and alpha.
    """
    kind = beginning[1:2]
    if kind == b"7":
        return _read_pam_header(beginning)
    values, position = [], 2
    for _ in range(2 if kind in (b"1", b"4") else 3):
        found = _WORD.match(beginning, position)
        if found is None or not found[1].isdigit() or len(found[1]) > 9:
            return None
        values.append(int(found[1]))
        position = found.end()
    width, height, maximum = (*values, 1)[:3]
    return _checked(PnmHeader(kind, width, height, _CHANNELS[kind], maximum, position + 1))


def decode_pnm(data: bytes, header: PnmHeader) -> npt.NDArray[Any] | None:
    """Return the values, (height, width, channels), stretched to all of uint8, or uint16 above 255; None if cut short.

    The channels of a PAM are grey, grey and alpha, RGB or RGBA.
    """
    count = header.width * header.height * header.channels
    values: npt.NDArray[Any] | None
    if header.kind in (b"1", b"2", b"3"):
        values = _plain(data[header.start :], header, count)
    elif len(data) - header.start < header.n_bytes:
        values = None
    elif header.kind == b"4":
        packed = np.frombuffer(data, np.uint8, header.n_bytes, header.start).reshape(header.height, -1)
        values = 1 - np.unpackbits(packed, axis=1)[:, : header.width]
    else:
        values = np.frombuffer(data, header.stored_as, count, header.start)
    if values is None:
        return None
    return stretched(values.reshape(header.height, header.width, header.channels), header.maximum)


def is_followed(data: bytes, header: PnmHeader) -> bool:
    """Tell whether another image follows the first, which only those can that are not written as digits."""
    end = header.start + header.n_bytes
    return header.kind not in (b"1", b"2", b"3") and is_pnm(data[end : end + 3])


def stretched(values: npt.NDArray[Any], maximum: int) -> npt.NDArray[Any]:
    """Map integers 0 to `maximum` (others are cut off) to all of uint8, or of uint16 if `maximum` is above 255."""
    full = np.uint8 if maximum <= 255 else np.uint16
    top = int(np.iinfo(full).max)
    if maximum == top:
        return values.astype(full)
    table = (np.arange(maximum + 1, dtype=np.uint64) * top + maximum // 2) // maximum
    stretched_values: npt.NDArray[Any] = table.astype(full)[np.minimum(values, maximum)]
    return stretched_values


def _read_pam_header(beginning: bytes) -> PnmHeader | None:
    end = beginning.find(b"ENDHDR\n")
    if end < 0:
        return None
    words: dict[bytes, bytes] = {}
    for line in beginning[3:end].split(b"\n"):
        name, _, value = line.strip().partition(b" ")
        if not name.startswith(b"#"):
            words[name] = value.strip()
    numbers = [words.get(name, b"") for name in (b"WIDTH", b"HEIGHT", b"DEPTH", b"MAXVAL")]
    if any(not number.isdigit() or len(number) > 9 for number in numbers):
        return None
    width, height, channels, maximum = map(int, numbers)
    meaning = words.get(b"TUPLTYPE", b"")
    if channels == 4 and meaning not in (b"", b"RGB_ALPHA"):
        shown = re.sub(r"[^A-Z_]", "?", meaning[:20].decode("latin-1"))
        raise ImageError(f"PAM of 4 channels and tuple type {shown} is not supported; convert it to RGB_ALPHA or RGB")
    return _checked(PnmHeader(b"7", width, height, channels, maximum, end + 7))


def _checked(header: PnmHeader) -> PnmHeader | None:
    good = header.width > 0 and header.height > 0 and 1 <= header.channels <= 4 and 0 < header.maximum < 65536
    return header if good else None


def _plain(text: bytes, header: PnmHeader, count: int) -> npt.NDArray[Any] | None:
    """Read values written as decimal digits; a plain PBM's digits may stand without a space between them."""
    text = re.sub(rb"#[^\n\r]*", b"", text)
    if header.kind == b"1":
        digits = np.frombuffer(text, np.uint8)
        if re.fullmatch(rb"[01\s]*+", text) is None:
            return None
        digits = digits[digits >= ord("0")][:count]
        return ord("1") - digits if digits.size == count else None
    if 2 * count - 1 > len(text) or re.fullmatch(rb"[\d\s]*", text) is None:
        return None
    values = np.fromstring(text, dtype=np.float64, sep=" ")[:count]  # floats: a number of any length is one
    return values.astype(np.uint32) if values.size == count and values.max() <= header.maximum else None
