"""Rows of a PNG made small: packed bits, filters, orders of the palette, and what zlib makes of them.

Indices of a palette are no amounts, so the filters, which foretell a value from its neighbours, mostly do harm; zlib
finds the repetitions of whole runs itself. That is why rows are not filtered by default, at any depth: at 16 colours
files become a sixth smaller than with Pillow, which filters packed bits, in less time. The thorough
way tries filters nonetheless, with the palette in orders in which neighbours in the image have close indices:
gradients and drawn images gain by it, and about one photograph in three.

Filters and packing: PNG specification, third edition (W3C, 2025), sections 7.2 and 9.
The chain: Zeng, Li and Lei, "An efficient color re-indexing scheme for palette-based compression", ICIP 2000.
"""

from __future__ import annotations

import zlib
from collections.abc import Callable
from itertools import product
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from gmmquant.images.encoding.palette_entries import Entries, packed

Rows = npt.NDArray[np.uint8]
Kinds = npt.NDArray[np.uint8]
Choose = Callable[[Rows], Kinds]

# The filters that are of use here; that of averages, 3, is not.
NONE, SUB, UP, PAETH = _KINDS = (0, 1, 2, 4)

# Level 5 of zlib takes half of the time of its level 6 and makes files 3 to 5 % larger: with it they would not stay
# within 15 % of what Pillow's `optimize` makes of every image.
_FAIR, _BEST = 6, 9

# Bytes of rows that are so few that two filters cost nothing; and, where it shall be thorough, all that zlib can do.
_TINY, _SMALL = 1 << 14, 1 << 16

# Bytes of rows on which filters and orders are compared; and from which on only the best of them is carried out.
_SAMPLE = 1 << 20


class _Setting(NamedTuple):
    level: int
    memory: int = 8
    strategy: int = zlib.Z_DEFAULT_STRATEGY


_STRATEGIES = (zlib.Z_DEFAULT_STRATEGY, zlib.Z_FILTERED)
_RANKING = tuple(_Setting(_FAIR, 8, strategy) for strategy in _STRATEGIES)
_USUAL = tuple(_Setting(_BEST, *rest) for rest in product((9, 8), _STRATEGIES))
_OTHERS = tuple(_Setting(_BEST, 9, strategy) for strategy in (zlib.Z_HUFFMAN_ONLY, zlib.Z_RLE, zlib.Z_FIXED))
_EVERY = (*(_Setting(_BEST, *rest) for rest in product(range(1, 10), _STRATEGIES)), *_OTHERS)


def bits_for(n_entries: int) -> int:
    """Return the fewest bits, 1, 2, 4 or 8, that tell `n_entries` entries apart."""
    return next(bits for bits in (1, 2, 4, 8) if n_entries <= 1 << bits)


def compressed(rows: Rows) -> bytes:
    """Compress rows (height, n_bytes) for a PNG in little time."""
    if rows.size > _TINY:
        return _deflated(_filtered(rows, _UNFILTERED), _Setting(_FAIR))
    return min((_deflated(_filtered(rows, _always(kind)), _Setting(_BEST)) for kind in (NONE, PAETH)), key=len)


def compressed_well(rows: Rows) -> bytes:
    """Compress rows (height, n_bytes) for a PNG with what of filters and settings makes them smallest."""
    return _best_of({0: rows})[1]


def reordered_well(entries: Entries) -> tuple[Entries, bytes]:
    """Put the entries that occur in the order that makes the rows smallest; return them so, and the rows compressed."""
    occurring = np.flatnonzero(np.bincount(entries.labels.ravel(), minlength=len(entries)))
    entries = entries.in_order(occurring)
    orders = (np.arange(len(entries)), _by_luminance(entries), _chained(entries))
    candidates = [entries.in_order(order) for order in orders]
    bits = bits_for(len(entries))
    best, stream = _best_of({number: packed(each.labels, bits) for number, each in enumerate(candidates)})
    return candidates[best], stream


def _best_of(variants: dict[int, Rows]) -> tuple[int, bytes]:
    """Return which of several forms of the same rows becomes smallest, and it compressed."""
    ways = [(0, _UNFILTERED), *product(variants, _CHOICES)]  # unfiltered, they all become as small

    def size_of_sample(way: tuple[int, Choose]) -> int:
        scanlines = _filtered(_middle(variants[way[0]]), way[1])
        return min(len(_deflated(scanlines, setting)) for setting in _RANKING)

    ways.sort(key=size_of_sample)
    size = variants[0].size
    n_ways, settings = (4, _EVERY) if size <= _SMALL else (3 if size <= _SAMPLE else 1, _USUAL)
    best = (0, b"")
    for variant, choose in ways[:n_ways]:
        scanlines = _filtered(variants[variant], choose)
        for setting in settings:
            stream = _deflated(scanlines, setting)
            if not best[1] or len(stream) < len(best[1]):
                best = (variant, stream)
    return best


def _middle(rows: Rows) -> Rows:
    """Return rows from the middle, of at most `_SAMPLE` bytes or one row."""
    n = max(_SAMPLE // rows.shape[1], 1)
    first = max((len(rows) - n) // 2, 0)
    return rows[first : first + n]


def _deflated(scanlines: Rows, setting: _Setting) -> bytes:
    squeeze = zlib.compressobj(setting.level, zlib.DEFLATED, zlib.MAX_WBITS, setting.memory, setting.strategy)
    return squeeze.compress(scanlines.data) + squeeze.flush()


def _filtered(rows: Rows, choose: Choose) -> Rows:
    """Return the scanlines of `rows`: before each the number of its filter, of those that `choose` tells."""
    kinds = choose(rows)
    scanlines = np.empty((len(rows), rows.shape[1] + 1), dtype=np.uint8)
    scanlines[:, 0] = kinds
    for kind in np.flatnonzero(np.bincount(kinds)):
        members = slice(None) if (kinds == kind).all() else np.flatnonzero(kinds == kind)
        scanlines[members, 1:] = _differences(rows, int(kind))[members]
    return scanlines


def _differences(rows: Rows, kind: int) -> Rows:
    """Return `rows` less what filter `kind` foretells of each byte; a byte is a pixel or holds several."""
    if kind == NONE:
        return rows
    left, up, corner = (np.zeros_like(rows) for _ in range(3))
    left[:, 1:], up[1:], corner[1:, 1:] = rows[:, :-1], rows[:-1], rows[:-1, :-1]
    if kind == SUB:
        return rows - left
    if kind == UP:
        return rows - up
    to_left, to_up = (np.subtract(one, corner, dtype=np.int16) for one in (up, left))
    to_corner = np.abs(to_left + to_up)
    np.abs(to_left, out=to_left)
    np.abs(to_up, out=to_up)
    near_left = (to_left <= to_up) & (to_left <= to_corner)
    return rows - np.where(near_left, left, np.where(to_up <= to_corner, up, corner))


def _always(kind: int) -> Choose:
    return lambda rows: np.full(len(rows), kind, dtype=np.uint8)


def _least(score: Callable[[Rows], npt.NDArray[np.float64]]) -> Choose:
    """Choose the filter of each row whose bytes have the least `score`."""

    def choose(rows: Rows) -> Kinds:
        best = np.argmin([score(_differences(rows, kind)) for kind in _KINDS], axis=0)
        kinds: Kinds = np.array(_KINDS, dtype=np.uint8)[best]
        return kinds

    return choose


def _sum_of(rows: Rows) -> npt.NDArray[np.float64]:
    """Return the sum over each row of the bytes as signed numbers, without their signs."""
    sums: npt.NDArray[np.float64] = np.abs(rows.view(np.int8).astype(np.int16)).sum(axis=1, dtype=np.float64)
    return sums


def _entropy_of(rows: Rows) -> npt.NDArray[np.float64]:
    """Return the entropy of the bytes of each row, times their number, less what is the same for every row."""
    entropies = np.empty(len(rows))
    for number, row in enumerate(rows):
        counts = np.bincount(row)
        counts = counts[counts > 0]
        entropies[number] = -(counts * np.log(counts)).sum()
    return entropies


_UNFILTERED = _always(NONE)
_CHOICES: tuple[Choose, ...] = (*map(_always, _KINDS[1:]), _least(_sum_of), _least(_entropy_of))


def _by_luminance(entries: Entries) -> npt.NDArray[np.intp]:
    """Return the order of `entries` from dark to light (Rec. 601), the more transparent first."""
    return np.lexsort((entries.colors @ np.array([299, 587, 114]), entries.alphas))


def _chained(entries: Entries) -> npt.NDArray[np.intp]:
    """Return the order of `entries` in which those that often touch are near to each other.

    Begin with the entry that most often touches others; go on with the one that most often touches those in the chain,
    and put it at the end where what it touches is nearer.
    """
    n = len(entries)
    touching = np.zeros((n, n))
    for one, other in (
        (entries.labels[:, 1:], entries.labels[:, :-1]),
        (entries.labels[1:], entries.labels[:-1]),
    ):
        pairs = one.astype(np.intp) * n + other
        touching += np.bincount(pairs.ravel(), minlength=n * n).reshape(n, n)
    touching += touching.T
    np.fill_diagonal(touching, 0)
    chain = [int(touching.sum(axis=0).argmax())]
    free = np.ones(n, dtype=np.bool_)
    free[chain] = False
    bond = touching[chain[0]].copy()
    while free.any():
        following = int(np.where(free, bond, -1).argmax())
        places = np.arange(len(chain)) - (len(chain) - 1) / 2
        at_end = touching[following, chain] @ places > 0
        chain.insert(len(chain) if at_end else 0, following)
        free[following] = False
        bond += touching[following]
    return np.array(chain)
