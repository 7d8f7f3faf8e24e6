"""Device-independent bitmaps, as in BMP and ICO files: every header of Windows and OS/2, every depth and channel mask.

OpenCV and Pillow decode some layouts wrongly or refuse them. Sources: Microsoft's "Bitmap Storage" (Win32); IBM's
"OS/2 Presentation Manager Programming Reference", volume III, "Bitmap Data".
"""

from __future__ import annotations

import struct
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from gmmquant.errors import ImageError
from gmmquant.images.decoding.dib_rle import decode_rle

# The longest header with masks behind it.
HEADER_BYTES = 124 + 16

_CORE_BYTES, _INFO_BYTES, _OS2_BYTES = 12, 40, 64
_RAW, _RLE8, _RLE4, _BITFIELDS, _JPEG, _PNG, _ALPHA_BITFIELDS = range(7)
_OS2_HUFFMAN, _OS2_RLE24 = 3, 4
_DEPTHS = (1, 2, 4, 8, 16, 24, 32)
_DEFAULT_MASKS = {
    16: (0x7C00, 0x03E0, 0x001F, 0),
    24: (0xFF0000, 0xFF00, 0xFF, 0),
    32: (0xFF0000, 0xFF00, 0xFF, 0),
}
_EMBEDDED_PROFILE = b"DEBM"

# Pixels are converted in bands.
_BAND_PIXELS = 1 << 18


class Dib(NamedTuple):
    """The header of a bitmap: its layout, and positions counted from the start of the header.

    `masks` are those of red, green, blue and alpha; `profile` is the position and length of a colour profile.
    """

    width: int
    height: int
    top_down: bool
    bits: int
    rle: int  # bits of a pixel in runs; 0 if the pixels are not compressed
    masks: tuple[int, int, int, int]
    palette: int
    n_colors: int
    color_bytes: int
    pixels_per_meter: tuple[int, int]
    profile: tuple[int, int]

    @property
    def row_bytes(self) -> int:
        """The length of a row, a multiple of four bytes."""
        return (self.width * self.bits + 31) // 32 * 4

    @property
    def end_of_palette(self) -> int:
        """The position behind the palette, where pixels are unless the file says otherwise."""
        return self.palette + self.n_colors * self.color_bytes


def parse_dib(header: bytes) -> Dib | None:
    """Parse the header of a bitmap from its first `HEADER_BYTES` bytes; None if it is broken.

    A compression that is not supported raises an `ImageError`.
    """
    (size,) = struct.unpack_from("<I", header)
    if size < _CORE_BYTES or len(header) < min(size, HEADER_BYTES):
        return None
    if size == _CORE_BYTES:
        width, height, _, bits = struct.unpack_from("<HHHH", header, 4)
        compression, x, y, n_colors = _RAW, 0, 0, 0
    else:
        # Bitmaps of OS/2 may leave out fields at the end of the header.
        padded = header[: min(size, _INFO_BYTES)].ljust(_INFO_BYTES, b"\0")
        width, height, _, bits, compression, _, x, y, n_colors = struct.unpack_from("<iiHHIIiiI", padded, 4)
    is_os2 = size < _INFO_BYTES or size == _OS2_BYTES
    if width < 1 or height == 0 or (bits not in _DEPTHS and compression not in (_JPEG, _PNG)):
        return None
    _check_compression(compression, bits, is_os2=is_os2)
    masks, behind = _DEFAULT_MASKS.get(bits, (0, 0, 0, 0)), size
    if compression in (_BITFIELDS, _ALPHA_BITFIELDS):
        if size == _INFO_BYTES:
            n_masks = 3 if compression == _BITFIELDS else 4
            behind += 4 * n_masks
        else:
            n_masks = 3 if size < 56 else 4
        found = struct.unpack_from(f"<{n_masks}I", header, _INFO_BYTES)
        masks = (*found, 0)[:4] if any(found) else masks
        if bits < 16 or not _is_usable(masks, bits):
            return None
    rle = {_RLE8: 8, _RLE4: 4, _OS2_RLE24: 24}.get(compression, 0)
    n_colors = min(n_colors or 1 << bits, 1 << bits) if bits <= 8 else 0
    profile = struct.unpack_from("<II", header, 112) if size == 124 and header[56:60] == _EMBEDDED_PROFILE else (0, 0)
    return Dib(
        width=width,
        height=abs(height),
        top_down=height < 0,
        bits=bits,
        rle=rle,
        masks=masks,
        palette=behind,
        n_colors=n_colors,
        color_bytes=3 if size == _CORE_BYTES else 4,
        pixels_per_meter=(x, y),
        profile=profile,
    )


def decode_dib(data: memoryview, dib: Dib, pixels_at: int) -> npt.NDArray[Any] | None:
    """Decode the pixels of a bitmap whose header begins `data`; None if they are cut short.

    The result has shape (height, width, 3 or 4) and type uint8, or uint16 if a mask has more than 8 bits.
    """
    if dib.rle:
        rows = decode_rle(data[pixels_at:], dib.width, dib.height, dib.rle)
        if rows is None:
            return None
        pixels = rows[..., ::-1] if dib.rle == 24 else _palette(data, dib, pixels_at)[rows]
    else:
        stored = data[pixels_at : pixels_at + dib.row_bytes * dib.height]
        if len(stored) < dib.row_bytes * dib.height:
            return None
        rows = np.frombuffer(stored, np.uint8).reshape(dib.height, dib.row_bytes)
        pixels = _palette_pixels(rows, data, dib, pixels_at) if dib.bits <= 8 else _masked_pixels(rows, dib)
    return pixels if dib.top_down else pixels[::-1]


def unpacked(rows: npt.NDArray[np.uint8], bits: int, width: int) -> npt.NDArray[np.uint8]:
    """Return values of 1, 2, 4 or 8 bits, the first of a byte in its high bits, as bytes (h, width)."""
    if bits == 8:
        return rows[:, :width]
    shifts = np.arange(8 - bits, -1, -bits, dtype=np.uint8)
    values = rows[:, : (width * bits + 7) // 8, np.newaxis] >> shifts & ((1 << bits) - 1)
    return np.asarray(values.reshape(len(rows), -1)[:, :width], dtype=np.uint8)


def _palette(data: memoryview, dib: Dib, pixels_at: int) -> npt.NDArray[np.uint8]:
    """Return the 256 colours of a palette, black where it has fewer, or where the pixels begin before its end."""
    n_colors = min(dib.n_colors, max(pixels_at - dib.palette, 0) // dib.color_bytes)
    stored = data[dib.palette : dib.palette + n_colors * dib.color_bytes]
    entries = np.frombuffer(stored[: len(stored) // dib.color_bytes * dib.color_bytes], np.uint8)
    palette = np.zeros((256, 3), np.uint8)
    palette[: len(entries) // dib.color_bytes] = entries.reshape(-1, dib.color_bytes)[:, 2::-1]
    return palette


def _palette_pixels(rows: npt.NDArray[np.uint8], data: memoryview, dib: Dib, pixels_at: int) -> npt.NDArray[np.uint8]:
    palette = _palette(data, dib, pixels_at)
    pixels = np.empty((dib.height, dib.width, 3), np.uint8)
    for band in _bands(dib):
        pixels[band] = palette[unpacked(rows[band], dib.bits, dib.width)]
    return pixels


def _masked_pixels(rows: npt.NDArray[np.uint8], dib: Dib) -> npt.NDArray[Any]:
    masks = dib.masks[: 4 if dib.masks[3] else 3]
    dtype = np.uint16 if max(mask.bit_count() for mask in masks) > 8 else np.uint8
    pixels = np.empty((dib.height, dib.width, len(masks)), dtype)
    n_bytes = dib.bits // 8
    rows = rows[:, : n_bytes * dib.width].reshape(dib.height, dib.width, n_bytes)
    for band in _bands(dib):
        words = None
        for channel, mask in enumerate(masks):
            shift = (mask & -mask).bit_length() - 1
            if mask == 0xFF << shift and shift % 8 == 0 and dtype == np.uint8:
                pixels[band, :, channel] = rows[band, :, shift // 8]
                continue
            if words is None:
                words = _words(rows[band])
            pixels[band, :, channel] = _levels(words & np.uint32(mask), mask, dtype)
    return pixels


def _words(stored: npt.NDArray[np.uint8]) -> npt.NDArray[np.uint32]:
    """Return pixels (h, w, 2 to 4 bytes) as numbers (h, w)."""
    words = np.zeros((*stored.shape[:2], 4), np.uint8)
    words[..., : stored.shape[2]] = stored
    return words.view("<u4")[..., 0]


def _levels(values: npt.NDArray[np.uint32], mask: int, dtype: type[np.uint8 | np.uint16]) -> npt.NDArray[Any]:
    """Stretch the bits under a mask to the range of a type; of more than 16 bits the highest count."""
    if mask == 0:  # a channel that is not stored
        return np.zeros(values.shape, dtype)
    bits, shift = mask.bit_count(), (mask & -mask).bit_length() - 1
    used = min(bits, 16)
    top, maximum = int(np.iinfo(dtype).max), (1 << used) - 1
    table = ((np.arange(maximum + 1, dtype=np.uint64) * top + maximum // 2) // maximum).astype(dtype)
    return np.asarray(table[values >> np.uint32(shift + bits - used)])


def _bands(dib: Dib) -> list[slice]:
    step = max(_BAND_PIXELS // dib.width, 1)
    return [slice(start, start + step) for start in range(0, dib.height, step)]


def _is_usable(masks: tuple[int, ...], bits: int) -> bool:
    """Return whether the bits of each mask are neighbours within a pixel, and of no other mask."""
    contiguous = all((mask // (mask & -mask) + 1).bit_count() == 1 for mask in masks if mask)
    union = masks[0] | masks[1] | masks[2] | masks[3]
    return contiguous and union < 1 << bits and union.bit_count() == sum(mask.bit_count() for mask in masks)


def _check_compression(compression: int, bits: int, *, is_os2: bool) -> None:
    if is_os2 and compression in (_OS2_HUFFMAN, _OS2_RLE24):
        supported, name = compression == _OS2_RLE24 and bits == 24, "Huffman coding"
    elif compression in (_JPEG, _PNG):
        supported, name = False, "a JPEG in it" if compression == _JPEG else "a PNG in it"
    elif compression in (_RLE8, _RLE4):
        supported, name = bits == (8 if compression == _RLE8 else 4), f"runs of {bits} bits"
    else:
        supported, name = compression in (_RAW, _BITFIELDS, _ALPHA_BITFIELDS), f"compression {compression}"
    if not supported:
        raise ImageError(f"a BMP with {name} is not supported; save it as PNG")
