"""Samples of a TIFF that neither Pillow nor OpenCV decodes: in separate planes, of 32 bits, or floating-point.

Libtiff, through Pillow, decompresses strips and tiles as if each byte were a pixel of a grey image; the bytes become
samples here. Layout: TIFF 6.0 (Adobe, 1992), sections 14 and 15; "TIFF Technical Note 3" (Adobe, 2005).
"""

from __future__ import annotations

import struct
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from gmmquant.images.decoding.floats import levels_of
from gmmquant.images.decoding.pillow import opened_by_pillow
from gmmquant.images.decoding.reader import damaged

_WIDTH, _HEIGHT, _BITS, _COMPRESSION, _PHOTOMETRIC = 256, 257, 258, 259, 262
_STRIP_OFFSETS, _CHANNELS, _ROWS_PER_STRIP, _STRIP_BYTES, _PLANAR, _PREDICTOR = 273, 277, 278, 279, 284, 317
_TILE_WIDTH, _TILE_HEIGHT, _TILE_OFFSETS, _TILE_BYTES, _SAMPLE_FORMAT = 322, 323, 324, 325, 339
_WHITE_IS_ZERO, _BLACK_IS_ZERO, _RGB = 0, 1, 2
_NO_PREDICTOR, _DIFFERENCES, _FLOAT_DIFFERENCES = 1, 2, 3
_UNSIGNED, _FLOAT = 1, 3

# Tiles larger than this and than the image, at 64 bytes a pixel, are not read.
_MAX_TILE_BYTES = 1 << 26

# Without compression, LZW, deflate under two numbers, PackBits, LZMA, Zstandard.
_COMPRESSIONS = (1, 5, 8, 32946, 32773, 34925, 50000)
_KINDS = {(_UNSIGNED, 16): "u2", (_UNSIGNED, 32): "u4", (_FLOAT, 16): "f2", (_FLOAT, 32): "f4", (_FLOAT, 64): "f8"}


@dataclass(frozen=True)
class SampleLayout:
    """How samples of `dtype`, in the byte order of the file, lie in strips or tiles; `block` is (width, height)."""

    width: int
    height: int
    channels: int
    dtype: np.dtype[Any]
    is_planar: bool
    is_tiled: bool
    compression: int
    predictor: int
    block: tuple[int, int]
    starts: Sequence[int]
    sizes: Sequence[int]

    @property
    def padded_size(self) -> tuple[int, int]:
        """Width and height of all blocks; strips end with the image."""
        if not self.is_tiled:
            return self.width, self.height
        width, height = self.block
        return -(-self.width // width) * width, -(-self.height // height) * height


def sample_layout(tags: Mapping[int, Any], order: str) -> SampleLayout | None:
    """Return the layout of grey or RGB samples, with or without more channels; None if it is not supported.

    `order` is that of bytes, "<" or ">".
    """
    try:
        return _parse_layout(tags, order)
    except (KeyError, TypeError, ValueError, OverflowError):  # tags are missing, or of a wrong type
        return None


def _parse_layout(tags: Mapping[int, Any], order: str) -> SampleLayout | None:
    bits, formats = np.unique(tags.get(_BITS, 1)), np.unique(tags.get(_SAMPLE_FORMAT, _UNSIGNED))
    kind = _KINDS.get((int(formats[0]), int(bits[0]))) if len(bits) == len(formats) == 1 else None
    channels, predictor = int(tags.get(_CHANNELS, 1)), int(tags.get(_PREDICTOR, _NO_PREDICTOR))
    colors = {_WHITE_IS_ZERO: 1, _BLACK_IS_ZERO: 1, _RGB: 3}.get(tags.get(_PHOTOMETRIC, -1), 0)
    is_known = kind is not None and colors and tags.get(_COMPRESSION, 1) in _COMPRESSIONS
    if not is_known or not colors <= channels <= colors + 1 or predictor not in (1, 2, 3):
        return None
    if predictor == _FLOAT_DIFFERENCES and kind is not None and not kind.startswith("f"):
        return None
    width, height, is_tiled = int(tags[_WIDTH]), int(tags[_HEIGHT]), _TILE_OFFSETS in tags
    if is_tiled:
        block = int(tags[_TILE_WIDTH]), int(tags[_TILE_HEIGHT])
    else:
        block = width, min(int(tags.get(_ROWS_PER_STRIP, height)), height)
    layout = SampleLayout(
        width=width,
        height=height,
        channels=channels,
        dtype=np.dtype(f"{order}{kind}"),
        is_planar=tags.get(_PLANAR) == 2 and channels > 1,
        is_tiled=is_tiled,
        compression=int(tags.get(_COMPRESSION, 1)),
        predictor=predictor,
        block=block,
        starts=[int(start) for start in tags[_TILE_OFFSETS if is_tiled else _STRIP_OFFSETS]],
        sizes=[int(size) for size in tags[_TILE_BYTES if is_tiled else _STRIP_BYTES]],
    )
    n_blocks = -(-width // max(block[0], 1)) * -(-height // max(block[1], 1)) * (channels if layout.is_planar else 1)
    if min(width, height, *block) < 1:
        return None
    padded_width, padded_height = layout.padded_size
    if padded_width * padded_height * channels * layout.dtype.itemsize > max(_MAX_TILE_BYTES, 64 * width * height):
        return None
    is_whole = len(layout.starts) == len(layout.sizes) == n_blocks
    return layout if is_whole else None


def decode_samples(data: bytes, layout: SampleLayout) -> npt.NDArray[np.uint16]:
    """Decode samples to 16 bits, shape (height, width, channels).

    Floating-point ones have to be from 0 to 1: see `levels_of`. 32 bits are rounded.
    """
    if layout.is_planar:
        n_blocks = len(layout.starts) // layout.channels
        planes = (slice(n * n_blocks, (n + 1) * n_blocks) for n in range(layout.channels))
        samples = np.dstack([_decode_blocks(data, layout, plane, 1) for plane in planes])
    else:
        samples = _decode_blocks(data, layout, slice(None), layout.channels)
    if samples.dtype.kind == "f":
        return levels_of(samples)
    if samples.dtype.itemsize == 4:
        return ((samples.astype(np.uint64) + 32768) // 65537).astype(np.uint16)
    return samples.astype(np.uint16)


def _decode_blocks(data: bytes, layout: SampleLayout, blocks: slice, channels: int) -> npt.NDArray[Any]:
    """Decode some strips or tiles to (height, width, channels)."""
    width, height = layout.padded_size
    n_bytes, block_width = channels * layout.dtype.itemsize, layout.block[0]
    try:
        grey = _grey_tiff(data, layout, blocks, n_bytes)
    except struct.error:  # a position or size is negative or above 4 GB
        raise damaged("TIFF") from None
    with opened_by_pillow(grey, "TIFF") as image:
        rows = np.asarray(image)
    if rows.shape != (height, width * n_bytes):
        raise damaged("TIFF")
    if layout.predictor == _FLOAT_DIFFERENCES:
        rows = rows.reshape(height, -1, block_width * layout.dtype.itemsize, channels)
        rows = np.cumsum(rows, axis=2, dtype=np.uint8)
        planes = rows.reshape(height, -1, layout.dtype.itemsize, block_width * channels)
        samples = np.ascontiguousarray(planes.swapaxes(2, 3)).view(layout.dtype.newbyteorder(">"))
    else:
        samples = np.ascontiguousarray(rows).view(layout.dtype)
        if layout.predictor == _DIFFERENCES:
            integers = samples.view(layout.dtype.str.replace("f", "u"))
            integers = integers.reshape(height, -1, block_width, channels)
            native = integers.dtype.newbyteorder("=")
            samples = np.cumsum(integers, axis=2, dtype=native).view(layout.dtype.newbyteorder("="))
    return np.asarray(samples).reshape(height, width, channels)[: layout.height, : layout.width]


def _grey_tiff(data: bytes, layout: SampleLayout, blocks: slice, n_bytes: int) -> bytes:
    """Return the file with another directory: of some blocks, as grey pixels of one byte, `n_bytes` for each."""
    width, height = layout.padded_size
    fields: list[tuple[int, Sequence[int]]] = [
        (_WIDTH, (width * n_bytes,)),
        (_HEIGHT, (height,)),
        (_BITS, (8,)),
        (_COMPRESSION, (layout.compression,)),
        (_PHOTOMETRIC, (_BLACK_IS_ZERO,)),
        (_CHANNELS, (1,)),
    ]
    starts, sizes = tuple(layout.starts)[blocks], tuple(layout.sizes)[blocks]
    if layout.is_tiled:
        fields += [(_TILE_WIDTH, (layout.block[0] * n_bytes,)), (_TILE_HEIGHT, (layout.block[1],))]
        fields += [(_TILE_OFFSETS, starts), (_TILE_BYTES, sizes)]
    else:
        fields += [(_STRIP_OFFSETS, starts), (_ROWS_PER_STRIP, (layout.block[1],)), (_STRIP_BYTES, sizes)]
    order = "<" if data[:2] == b"II" else ">"
    padding = b"\0" * (len(data) % 2)
    position = len(data) + len(padding)
    tables, entries = b"", b""
    for number, values in sorted(fields):
        stored = struct.pack(f"{order}{len(values)}I", *values)
        if len(values) > 1:
            stored, tables = struct.pack(f"{order}I", position + len(tables)), tables + stored
        entries += struct.pack(f"{order}HHI", number, 4, len(values)) + stored
    head = data[:2] + struct.pack(f"{order}HI", 42, position + len(tables))
    directory = struct.pack(f"{order}H", len(fields)) + entries + bytes(4)
    return b"".join((head, memoryview(data)[8:], padding, tables, directory))
