"""The palette of an indexed image file, with the entries that no pixel has, so that colours keep their indices.

Tables of some formats have a fixed size, and programs fill them up. Such a filling is at the end and in no pixel: it is
left out, since nobody chose it. Entries between others are kept, whatever they are.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import numpy.typing as npt
from PIL import Image

from gmmquant.images.decoding.decoder_stderr import captured_stderr, damage_ignored
from gmmquant.images.files import Conversion
from gmmquant.system.filesystem import open_regular

# Formats with palettes, by Pillow's names, and those whose tables have 256 entries, or a power of two.
INDEXED_FORMATS = ("PNG", "GIF", "BMP", "TIFF", "PCX", "TGA", "PSD")
_PADDED_FORMATS = ("GIF", "TIFF", "PCX", "PSD")

_MAX_ENTRIES = 256


def palette_of_entries(
    path: Path, pixels: npt.NDArray[np.uint8], visible: npt.NDArray[np.bool_], to_srgb: Conversion
) -> tuple[npt.NDArray[np.uint8], int] | None:
    """Return the palette (K, 3) of the image file at `path`, and how many of its entries no pixel has.

    `pixels` (height, width, 3 or 4) are those of the file in sRGB, `visible` (height, width) is where they are not
    fully transparent, and `to_srgb` converts the colours that are not among them. Transparent entries are left out.
    None is returned if the file is not indexed, or its indices do not fit: Pillow composes some frames differently.
    """
    from PIL import ImageOps  # for this only

    table = None
    with damage_ignored(), open_regular(path) as file, captured_stderr():  # Pillow refuses some that OpenCV reads
        image = Image.open(file, formats=INDEXED_FORMATS)
        if image.mode == "P":
            index = np.asarray(ImageOps.exif_transpose(image))
            table = np.array(image.getpalette("RGB") or [], dtype=np.uint8).reshape(-1, 3)[:_MAX_ENTRIES]
    if table is None or not table.size or index.shape != pixels.shape[:2]:
        return None
    labels, colors = index[visible], pixels[visible][:, :3]
    entries = np.zeros((_MAX_ENTRIES, 3), dtype=np.uint8)
    entries[: len(table)] = to_srgb(table)
    entries[labels] = colors
    if not np.array_equal(entries[labels], colors):
        return None
    counts = np.bincount(labels, minlength=_MAX_ENTRIES)
    used = np.flatnonzero(counts)
    if not used.size:
        return None
    n_entries = _without_filling(table, int(used[-1]) + 1, padded=image.format in _PADDED_FORMATS)
    kept = np.flatnonzero(_is_color(image, n_entries) | (counts[:n_entries] > 0))
    return entries[kept], len(kept) - used.size


def _without_filling(table: npt.NDArray[np.uint8], n_used: int, *, padded: bool) -> int:
    """Return the number of entries of `table` (n, 3) before a filling at its end, at least `n_used`.

    A filling has one colour, several times, or one that an earlier entry has. A single black entry at the end is one
    too, if tables of the format are `padded`.
    """
    if len(table) <= n_used:
        return n_used
    differs = (table != table[-1]).any(axis=1)
    first = int(np.flatnonzero(differs).max(initial=-1)) + 1
    start = max(first, n_used)
    is_filling = len(table) - start > 1 or not differs[:start].all() or (padded and not table[-1].any())
    return start if is_filling else len(table)


def _is_color(image: Image.Image, n_entries: int) -> npt.NDArray[np.bool_]:
    """Return which entries of the palette of `image` are not fully transparent, (n_entries,)."""
    transparency = image.info.get("transparency")
    is_color = np.ones(n_entries, dtype=np.bool_)
    if isinstance(transparency, bytes):
        alphas = np.frombuffer(transparency, np.uint8)[:n_entries]
        is_color[: len(alphas)] = alphas > 0
    elif isinstance(transparency, int) and transparency < n_entries:
        is_color[transparency] = False
    return is_color
