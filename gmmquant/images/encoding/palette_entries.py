"""The entries of a palette as files store them: each a colour with an alpha value."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from gmmquant.images.recolor import ColorImage, IndexedImage
from gmmquant.system.threads import for_chunks

MAX_ENTRIES = 256


class Entries(NamedTuple):
    """An image of at most 256 pairs of colour and alpha: `labels` (height, width) of `colors` (n, 3), `alphas` (n,)."""

    labels: npt.NDArray[np.uint8]
    colors: npt.NDArray[np.uint8]
    alphas: npt.NDArray[np.uint8]

    def __len__(self) -> int:
        return len(self.colors)


def entries_of(image: IndexedImage, *, keep_order: bool = False) -> Entries | None:
    """Return the entries of an image, in the order of its palette; None where 256 do not suffice.

    Without alpha, a palette of at most 256 colours is kept. With alpha, entries that do not occur are left out, unless
    `keep_order` is set: then each opaque colour has its index in the palette, where 256 entries suffice for that. If
    all fully transparent pixels have one colour, their entry has it; otherwise it has a colour of the palette.
    """
    if image.alpha is None and len(image.palette) <= MAX_ENTRIES:
        opaque = np.full(len(image.palette), 255, dtype=np.uint8)
        return Entries(image.labels.astype(np.uint8, copy=False), image.palette, opaque)
    labels, colors, alphas = pair_with_alpha(image.labels, image.palette, image.alpha, keep_order=keep_order)
    if keep_order and len(colors) > MAX_ENTRIES:
        return entries_of(image)
    if image.hidden_color is not None:
        colors[alphas == 0] = image.hidden_color
    return Entries(labels, colors, alphas) if len(colors) <= MAX_ENTRIES else None


def opaque_entries(image: IndexedImage | ColorImage) -> Entries | None:
    """Return the entries of an image; None if 256 do not suffice, or there is alpha."""
    return entries_of(image) if isinstance(image, IndexedImage) and image.alpha is None else None


def packed(labels: npt.NDArray[np.uint8], bits: int) -> npt.NDArray[np.uint8]:
    """Return labels (height, width) packed to `bits` each, the first in the highest bits, rows filled up to a byte."""
    if bits == 8:
        return labels
    per_byte = 8 // bits
    rows = np.left_shift(labels[:, ::per_byte], 8 - bits, dtype=np.uint8)
    for index in range(1, per_byte):
        part = labels[:, index::per_byte]
        rows[:, : part.shape[1]] |= part << (8 - bits * (index + 1))
    return rows


def pair_with_alpha(
    labels: npt.NDArray[Any],
    palette: npt.NDArray[np.uint8],
    alpha: npt.NDArray[np.uint8] | None,
    *,
    keep_order: bool = False,
) -> tuple[npt.NDArray[Any], npt.NDArray[np.uint8], npt.NDArray[np.uint8]]:
    """Return labels, colours and alphas of entries, one for each pair of colour and alpha that occurs.

    If `keep_order` is set, the opaque colours of the whole palette come first.
    """
    pairs = (labels.astype(np.uint32) << 8 | (255 if alpha is None else alpha)).ravel()
    occurs = np.zeros(len(palette) << 8, dtype=np.bool_)

    def note(chunk: slice) -> None:
        occurs[pairs[chunk]] = True

    for_chunks(note, pairs.size)
    if keep_order:
        occurs[255::256] = True
    used = np.flatnonzero(occurs)
    if keep_order:
        used = used[np.argsort(used & 255 != 255, kind="stable")]
    entries = np.zeros(occurs.size, dtype=np.min_scalar_type(used.size - 1))
    entries[used] = np.arange(used.size)
    index = np.empty(pairs.size, dtype=entries.dtype)
    for_chunks(lambda chunk: np.take(entries, pairs[chunk], out=index[chunk], mode="clip"), pairs.size)
    return index.reshape(labels.shape), palette[used >> 8], (used & 255).astype(np.uint8)
