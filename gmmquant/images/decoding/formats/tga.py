"""TGA, by Pillow. It has no signature: its header must be plausible, and its size fit the length of the file.

Source: "Truevision TGA File Format Specification", version 2.0.
"""

from __future__ import annotations

import os
import struct
from typing import BinaryIO

from gmmquant.images.decoding.reader import Admit, Header, StoredImage
from gmmquant.images.decoding.single import NO_ALPHA, decode_single, read_single_header

_MAPPED, _COLOR, _GREY = 1, 2, 3
_DEPTHS = {_MAPPED: (8,), _COLOR: (16, 24, 32), _GREY: (8, 16)}
_RUNS = 8  # is added to the kind if pixels are in runs
_MAX_RUN_PIXELS = 128
_FOOTER = b"TRUEVISION-XFILE.\0"


def read_header(file: BinaryIO) -> Header | None:
    header = file.read(18)
    n_bytes = file.seek(-len(_FOOTER), os.SEEK_END) + len(_FOOTER)
    has_footer = file.read() == _FOOTER
    if not _is_plausible(header, None if has_footer else n_bytes):
        return None
    file.seek(0)
    return read_single_header(file, "TGA")


def decode(data: bytes, header: Header, admit: Admit) -> StoredImage:
    kind, attribute_bits = data[2] & ~_RUNS, data[17] & 0x0F
    has_alpha = kind == _MAPPED or attribute_bits > 0 or data[16] == 32
    stored = decode_single(data, header, admit, has_alpha=has_alpha)
    frames = stored.frames
    if frames.shape[3] == 4 and not frames[..., 3].any():
        notes = (NO_ALPHA,) if attribute_bits else ()
        stored = stored._replace(frames=frames[..., :3].copy(), notes=notes)
    return stored._replace(dpi=None)


def _is_plausible(header: bytes, n_bytes: int | None) -> bool:
    """Return whether the fields of a header fit each other and the number of bytes, which is None with a footer."""
    id_bytes, map_type, kind, _, n_colors, map_bits, _, _, width, height, bits, flags = struct.unpack_from(
        "<BBBHHBHHHHBB", header
    )
    runs, kind = bool(kind & _RUNS), kind & ~_RUNS
    if kind not in _DEPTHS or bits not in _DEPTHS[kind] or not width or not height or flags & 0xC0:
        return False
    if (map_type, map_bits) not in ((0, 0), (1, 15), (1, 16), (1, 24), (1, 32)) and map_type != 0:
        return False
    if kind == _MAPPED and map_type != 1:
        return False
    start = 18 + id_bytes + (n_colors * ((map_bits + 7) // 8) if map_type else 0)
    n_pixels = width * height if not runs else -(-width * height // _MAX_RUN_PIXELS)
    return n_bytes is None or start + n_pixels * (bits // 8 + runs) <= n_bytes
