"""The smallest of several PNGs of the same pixels: oxipng filters their rows in several ways, libdeflate compresses.

Run as a program, in a process of its own: oxipng holds the interpreter, so that no signal is handled meanwhile. It
imports nothing of gmmquant and no numpy, which would take longer than the trials of a small image.
"""

from __future__ import annotations

import pickle
import struct
import sys
import zlib
from collections.abc import Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from itertools import chain, product, repeat
from typing import Any

import deflate

# A PNG of one IDAT, whose rows are not filtered, and a filter for them.
Trial = tuple[bytes, str]

NO_FILTER = "NoOp"
_FILTERS = ("Sub", "Up", "Entropy", "Bigrams", "BigEnt")
_FIRST_FILTERS = ("Entropy", "BigEnt")  # show whether filters are worth it
_SLOW_FILTER = "Brute"  # is tried with the best order

_MANY_BITS = 4
# Rows of 1 or 2 bits are so short that these are all compressed at the best level.
_FILTERS_OF_FEW_BITS = (NO_FILTER, "Up", "Entropy")

# Levels of libdeflate: the second ranks filters; the third is the first to search for repetitions as the best one does,
# so that its sizes of samples tell depths, orders and filters apart.
_FASTEST, _QUICK, _THOROUGH, _BEST = 1, 6, 10, 12

# A sample is a quarter of the rows, in strips all over the image: with two strips, files of 256 colours were 0.3 to
# 0.6 % larger. Images of fewer pixels are their own samples.
_SAMPLED_PART, _STRIPS, _SAMPLED_PIXELS = 4, 4, 1 << 16

# At the quick level, the first filters make samples at most so much larger where any filter won: of 26 images of 256
# colours, and of 26 of 16 colours with two depths each.
_WORTH_IT = {1: 1.07, 2: 1.03}

# Rows are compressed without a filter if their sample is at most so much larger than of the other depth, and if a
# filter leaves more than this part of it. With filters, the best of a depth are, up to this number, if smaller.
_NEAR, _FAR, _MAX_FILTERED = 1.02, 0.95, 2

_DEPTH_POSITION = 24  # of the byte with the bits of an index
_SIGNATURE_BYTES = 8

# Level 4 of oxipng: its level 6 takes twice the time for true colour 0.4 % smaller.
_LEVEL = 4

_IN_PLACE: dict[str, Any] = dict.fromkeys(
    ("bit_depth_reduction", "color_type_reduction", "palette_reduction", "grayscale_reduction"), False
)


def smallest(groups: Sequence[Sequence[bytes]], n_threads: int) -> bytes:
    """Return the smallest PNG that is found of the same pixels; each group has one bit depth and several orders."""
    with ThreadPoolExecutor(n_threads) as threads:
        if groups[0][0][_DEPTH_POSITION] < _MANY_BITS:
            return _smallest_of_few_bits(list(dict.fromkeys(groups[0])), threads)
        # Those of the most bits, which take longest, come first.
        trials = _finalists([_with_order_of_oxipng(group) for group in reversed(groups)], threads)
        return min(threads.map(compressed, *zip(*trials, strict=True), repeat(_BEST)), key=len)


def _finalists(groups: Sequence[Sequence[bytes]], threads: ThreadPoolExecutor) -> list[Trial]:
    """Return the trials that are compressed at the best level, by the sizes of samples of the rows."""
    samples = [[_sample(png) for png in group] for group in groups]
    png_of = dict(zip(chain(*samples), chain(*groups), strict=True))
    sizes = [_sizes([(sample, NO_FILTER) for sample in group], _THOROUGH, threads) for group in samples]
    filtered = _best_filters(samples, threads)
    unfiltered = [min(zip(*pair, strict=True)) for pair in zip(sizes, samples, strict=True)]
    limit = _NEAR * min(size for size, _ in unfiltered)
    found: dict[Trial, None] = {}
    for group, (size, best), others in zip(samples, unfiltered, filtered, strict=True):
        if size <= limit and not (others and others[0][0] <= _FAR * size):
            # No file is to be larger than in the order of oxipng, which is the first one.
            found |= dict.fromkeys((sample, NO_FILTER) for sample in (group[0], best))
        found |= dict.fromkeys(trial for other_size, trial in others if other_size < size)
    return [(png_of[sample], name) for sample, name in found]


def _smallest_of_few_bits(group: Sequence[bytes], threads: ThreadPoolExecutor) -> bytes:
    """Return the smallest PNG of a group that is alone, with indices of 1 or 2 bits."""
    trials = list(product(group, _FILTERS_OF_FEW_BITS))
    found = list(threads.map(compressed, *zip(*trials, strict=True), repeat(_BEST)))
    best, (png, _) = min(zip(found, trials, strict=True), key=lambda each: len(each[0]))
    return min(best, compressed(png, _SLOW_FILTER, _BEST), key=len)


def _with_order_of_oxipng(group: Sequence[bytes]) -> list[bytes]:
    """Return the different PNGs of a group after the one of oxipng's order, unless the order is to be kept."""
    return list(dict.fromkeys([with_sorted_palette(group[0]), *group] if len(group) > 1 else group))


def _best_filters(groups: Sequence[Sequence[bytes]], threads: ThreadPoolExecutor) -> list[list[tuple[int, Trial]]]:
    """Return the best trials of each group with filters, after their sizes, the smallest first."""
    few = [dict.fromkeys((*group[:2], group[-1])) for group in groups]  # the file's own order is the first or second
    first = [_sizes(product(group, _FIRST_FILTERS), _QUICK, threads) for group in few]
    bare = [_sizes(product(group, [NO_FILTER]), _QUICK, threads) for group in groups]
    are_worth_it = [min(one) <= _WORTH_IT[len(groups)] * min(other) for one, other in zip(first, bare, strict=True)]
    trials = [list(product(group, _FILTERS * worth)) for group, worth in zip(groups, are_worth_it, strict=True)]
    sizes = [_sizes(each, _QUICK, threads) for each in trials]
    ranked = [[trial for _, trial in sorted(zip(*pair, strict=True))] for pair in zip(sizes, trials, strict=True)]
    near = [[*best[:_MAX_FILTERED], *((png, _SLOW_FILTER) for png, _ in best[:1])] for best in ranked]
    sizes = [_sizes(each, _THOROUGH, threads) for each in near]
    return [sorted(zip(*pair, strict=True))[:_MAX_FILTERED] for pair in zip(sizes, near, strict=True)]


def _sizes(trials: Iterable[Trial], level: int, threads: ThreadPoolExecutor) -> Iterable[int]:
    """Return the sizes of trials at a level of libdeflate; oxipng filters here, as it holds the interpreter."""
    rows = (_filtered(*trial) for trial in trials)
    return map(len, threads.map(_deflated, rows, repeat(level)))


def _sample(png: bytes) -> bytes:
    """Return a PNG of some of the rows of a PNG of one IDAT, the same rows for each depth."""
    chunks = dict(_chunks(png))
    header, rows = chunks[b"IHDR"], zlib.decompress(chunks[b"IDAT"])
    width, height = struct.unpack_from(">II", header)
    n, row_bytes = height // (_SAMPLED_PART * _STRIPS), len(rows) // height
    if n == 0 or width * height < _SAMPLED_PIXELS:
        return png
    starts = [(2 * strip + 1) * height // (2 * _STRIPS) - n // 2 for strip in range(_STRIPS)]
    kept = b"".join(rows[start * row_bytes : (start + n) * row_bytes] for start in starts)
    new_header = struct.pack(">II", width, n * _STRIPS) + header[8:]
    return _replaced(png, {b"IHDR": new_header, b"IDAT": zlib.compress(kept, 0)})


def compressed(png: bytes, filter_name: str, level: int) -> bytes:
    """Return a PNG of one IDAT and unfiltered rows with filtered ones, compressed at a level of libdeflate, 1 to 12."""
    return _replaced(png, {b"IDAT": _deflated(_filtered(png, filter_name), level)})


def _deflated(rows: bytes, level: int) -> bytes:
    return bytes(deflate.zlib_compress(rows, level))


def _replaced(png: bytes, bodies: dict[bytes, bytes]) -> bytes:
    """Return a PNG with other bodies of chunks, by their types."""
    chunks = [(name, bodies.get(name, body)) for name, body in _chunks(png)]
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
    """Return an indexed PNG without filters, with its palette in the order in which oxipng finds it the smallest.

    By its fast evaluation, oxipng would find another order than at its highest level.
    """
    import oxipng

    options = {**_IN_PLACE, "palette_reduction": True, "fast_evaluation": False}
    found = _by_oxipng(png, deflate_level=_QUICK, filter=[oxipng.RowFilter.NoOp], force=True, **options)
    return _replaced(found, {b"IDAT": zlib.compress(_filtered(found, NO_FILTER), 0)})


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
