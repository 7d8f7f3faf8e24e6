"""The smallest of several PNGs of the same pixels: oxipng filters their rows in several ways, libdeflate compresses.

Run as a program, in a process of its own: oxipng holds the interpreter, so that no signal is handled meanwhile. It
imports nothing of gmmquant and no numpy, which would take longer than the trials of a small image.
"""

from __future__ import annotations

import os
import pickle
import struct
import sys
import zlib
from collections.abc import Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from itertools import product, repeat
from operator import itemgetter
from typing import Any

import deflate

# A PNG of one IDAT, whose rows are not filtered, and a filter for them.
Trial = tuple[bytes, str]

NO_FILTER = "NoOp"

# The first one takes several times as long as the others, and is tried with two orders at most.
_SLOW_FILTER = "Brute"
_FILTERS: tuple[str, ...] = ("Sub", "Entropy", "Bigrams")
# These are tried before the others, and show whether filters are worth it.
_FIRST_FILTERS = ("Up", "BigEnt")

_MANY_BITS = 4
# Rows of 1 or 2 bits are so short that these are all compressed at the best level, without a filter too.
_FILTERS_OF_FEW_BITS = (NO_FILTER, "Up", "Entropy")

# Levels of libdeflate: the second ranks filters in a tenth of the time of the third, which is the best.
_FASTEST, _QUICK, _BEST = 1, 6, 12

# At the quick level, filtered rows may be so much larger than unfiltered ones: for more filters to be tried, and to be
# compressed at the best level; the most of each group.
_NOT_FAR, _NEAR, _MAX_FILTERED = 1.1, 1.05, 3

_DEPTH_POSITION = 24  # of the byte with the bits of an index
_SIGNATURE_BYTES = 8

# Level 4 of oxipng: its level 6 takes twice the time for true colour 0.4 % smaller.
_LEVEL = 4

_IN_PLACE: dict[str, Any] = dict.fromkeys(
    ("bit_depth_reduction", "color_type_reduction", "palette_reduction", "grayscale_reduction"), False
)


def smallest(groups: Sequence[Sequence[bytes]]) -> bytes:
    """Return the smallest PNG that is found of the same pixels; each group has one bit depth and several orders.

    Filters are ranked by a quick compression. Depths are not, nor is the lack of a filter, since the best compression
    makes more of the repetitions that they leave.
    """
    with ThreadPoolExecutor(os.cpu_count()) as threads:
        sorted_by_oxipng = [threads.submit(with_sorted_palette, group[0]) for group in groups if _is_sorted(group)]
        finalists = [trial for group in groups for trial in _finalists(group, threads, is_only=len(groups) == 1)]
        pngs, names = zip(*dict.fromkeys(finalists), strict=True)
        found = list(threads.map(compressed, pngs, names, repeat(_BEST)))
        return min([*found, *(future.result() for future in sorted_by_oxipng)], key=len)


def _is_sorted(group: Sequence[bytes]) -> bool:
    """Return whether the order that oxipng finds without filters is tried: with 8 bits, unless it is to be kept."""
    return len(group) > 1 and group[0][_DEPTH_POSITION] > _MANY_BITS


def _finalists(group: Sequence[bytes], threads: ThreadPoolExecutor, *, is_only: bool) -> list[Trial]:
    """Return the trials of a group that are compressed at the best level."""
    bits = group[0][_DEPTH_POSITION]
    if bits < _MANY_BITS:
        ranked = _ranked(product(group, _FILTERS_OF_FEW_BITS), _BEST, threads)
        return [ranked[0][1], *([(ranked[0][1][0], _SLOW_FILTER)] if is_only else [])]
    unfiltered = _ranked(product(group, [NO_FILTER]), _QUICK, threads)[0]
    filtered = _ranked(product(group[:2], _FIRST_FILTERS), _QUICK, threads)
    if filtered[0][0] <= _NOT_FAR * unfiltered[0] and (is_only or bits > _MANY_BITS):
        more = (
            product(group[:3], _FILTERS) if is_only else product(dict.fromkeys((group[0], group[-1])), [_SLOW_FILTER])
        )
        filtered = sorted(filtered + _ranked(more, _QUICK, threads), key=itemgetter(0))
    return [unfiltered[1], *(trial for size, trial in filtered[:_MAX_FILTERED] if size <= _NEAR * unfiltered[0])]


def _ranked(trials: Iterable[Trial], level: int, threads: ThreadPoolExecutor) -> list[tuple[int, Trial]]:
    """Return the sizes of trials at a level of libdeflate, and the trials, the smallest first."""
    listed = list(trials)
    sizes = threads.map(lambda trial: len(deflate.zlib_compress(_filtered(*trial), level)), listed)
    return sorted(zip(sizes, listed, strict=True), key=itemgetter(0))


def compressed(png: bytes, filter_name: str, level: int) -> bytes:
    """Return a PNG of one IDAT and unfiltered rows with filtered ones, compressed at a level of libdeflate, 1 to 12."""
    data = bytes(deflate.zlib_compress(_filtered(png, filter_name), level))
    chunks = [(name, data if name == b"IDAT" else body) for name, body in _chunks(png)]
    parts = [(struct.pack(">I", len(body)), name + body) for name, body in chunks]
    checked = (length + named + struct.pack(">I", zlib.crc32(named)) for length, named in parts)
    return png[:_SIGNATURE_BYTES] + b"".join(checked)


def _filtered(png: bytes, filter_name: str) -> bytes:
    """Return the rows of a PNG after a filter of oxipng, each after the number of the one that it has."""
    if filter_name != NO_FILTER:
        import oxipng  # takes a millisecond

        png = _by_oxipng(png, filter=[getattr(oxipng.RowFilter, filter_name)], force=True, **_IN_PLACE)
    return zlib.decompress(b"".join(body for name, body in _chunks(png) if name == b"IDAT"))


def _chunks(png: bytes) -> Iterable[tuple[bytes, bytes]]:
    """Yield type and body of the chunks of a PNG that is complete."""
    start = _SIGNATURE_BYTES
    while start < len(png):
        length, name = struct.unpack_from(">I4s", png, start)
        yield name, png[start + 8 : start + 8 + length]
        start += 12 + length


def with_sorted_palette(png: bytes) -> bytes:
    """Return an indexed PNG without filters, with its palette in the order in which oxipng finds it the smallest."""
    import oxipng

    in_place = {**_IN_PLACE, "palette_reduction": True}
    return _by_oxipng(png, deflate_level=_BEST, filter=[oxipng.RowFilter.NoOp], force=True, **in_place)


def reduced(png: bytes, *, keep_order: bool) -> bytes:
    """Return a PNG as oxipng makes it: true colour may become indexed unless `keep_order`; it stays coloured."""
    options: dict[str, Any] = _IN_PLACE if keep_order else {"grayscale_reduction": False}
    return _by_oxipng(png, deflate_level=None, level=_LEVEL, **options)


def _by_oxipng(png: bytes, *, deflate_level: int | None = _FASTEST, **options: Any) -> bytes:
    import oxipng

    if deflate_level is not None:
        options["deflate"] = oxipng.Deflaters.libdeflater(deflate_level)
    return bytes(oxipng.optimize_from_memory(png, strip=oxipng.StripChunks.none(), **options))


if __name__ == "__main__":
    name, arguments, keywords = pickle.load(sys.stdin.buffer)  # noqa: S301
    sys.stdout.buffer.write(globals()[name](*arguments, **keywords))
