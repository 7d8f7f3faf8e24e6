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
_FIRST_FILTERS = ("Sub", "BigEnt")  # show whether filters are worth it
_SLOW_FILTER = "Brute"  # is tried with the best order

# Rows of fewer bits are so short that those with these filters are all compressed at the best level. Eight bits are
# tried if the sample, without a filter, is larger by at most this factor, or if there are few pixels, of which a byte
# holds this number.
_MANY_BITS, _NEAR_FEW_BITS = 4, 1.1
_FEW_PIXELS, _FEW_PIXELS_OF_A_BYTE = 1 << 18, 45
_FILTERS_OF_FEW_BITS = (NO_FILTER, "Up", "Entropy")

# Levels of libdeflate: the second ranks filters; the third is the first to search for repetitions as the best one does,
# so that its sizes of samples tell depths, orders and filters apart.
_FASTEST, _QUICK, _THOROUGH, _BEST = 1, 6, 10, 12

# A sample is a quarter of the rows, in strips all over the image: with two strips, files of 256 colours were 0.3 to
# 0.6 % larger. Images of fewer pixels are their own samples.
_SAMPLED_PART, _STRIPS, _SAMPLED_PIXELS = 4, 4, 1 << 16

# At the quick level, the first filters make samples at most so much larger where any filter won: of 26 images of 256
# colours, and of 26 of 16 colours with two depths each.
_WORTH_IT_ALONE, _WORTH_IT = 1.07, 1.03

# Rows are compressed without a filter if their sample is at most so much larger than of the other depth, and if a
# filter leaves more than this part of it. With filters, the best of a depth are, up to this number, if smaller.
_NEAR, _FAR, _MAX_FILTERED = 1.02, 0.95, 2

# Where a byte holds this number of pixels at the quick level, whole rows are ranked unless there are too many: samples
# of what repeats mislead. In drawings it holds more still. At the quick and the thorough level, filters that are the
# best for them make files larger than none by up to these factors. These are the numbers, of a depth, of the orders and
# of the trials with filters that are compressed at the best level.
_PIXELS_OF_A_BYTE, _WHOLE_PIXELS = 12, 1 << 19
_DRAWN_PIXELS_OF_A_BYTE, _DRAWN_WHOLE_PIXELS = 16, 1 << 18
_NEAR_AT_QUICK, _NEAR_AT_THOROUGH, _MAX_BARE, _MAX_RANKED, _MAX_BEST = 1.25, 1.15, 2, 6, 3

# Pixels up to which oxipng at its highest level takes less than a tenth of a second, and up to which it finds more than
# these trials, in less time.
_SMALL_PIXELS, _TINY_PIXELS = 1 << 15, 1 << 12

# Of the width and height, of the bits of an index, and of these and the colour type.
_SIZE_POSITION, _DEPTH_POSITION, _KIND = 16, 24, slice(24, 26)
_SIGNATURE_BYTES = 8

_LEVEL = 6  # the highest of oxipng

_IN_PLACE: dict[str, Any] = dict.fromkeys(
    ("bit_depth_reduction", "color_type_reduction", "palette_reduction", "grayscale_reduction"), False
)


def smallest(groups: Sequence[Sequence[bytes]], n_threads: int) -> bytes:
    """Return the smallest PNG that is found of the same pixels; each group has one bit depth and several orders."""
    plain, keep_order = groups[0][0], len(groups[0]) == 1
    n_pixels, is_few = _n_pixels(plain), plain[_DEPTH_POSITION] < _MANY_BITS
    groups = _with_those_of_oxipng(groups)
    with ThreadPoolExecutor(n_threads) as threads:
        if n_pixels <= _TINY_PIXELS:
            trials = list(product(chain(*groups), [NO_FILTER]))
        elif is_few:
            trials = _trials_of_few_bits(groups, threads)
        elif _holds(plain, _DRAWN_PIXELS_OF_A_BYTE):
            trials = _trials_of_drawing(groups, threads)
        else:
            trials = _trials(groups, threads)
        files = list(threads.map(compressed, *zip(*trials, strict=True), repeat(_BEST)))
    if is_few:
        png, _ = min(zip(trials, files, strict=True), key=lambda each: len(each[1]))[0]
        files.append(compressed(png, _SLOW_FILTER, _BEST))
    if n_pixels <= _SMALL_PIXELS:
        files.append(reduced(plain, keep_order=keep_order))
    return min(files, key=len)


def _with_those_of_oxipng(groups: Sequence[Sequence[bytes]]) -> list[list[bytes]]:
    """Return the different PNGs of each group, those of the most bits first, with the ones that oxipng would make.

    These come first in their groups, as no file is to be larger than of them. One of channels, of grey levels for
    example, is a group. Groups of one order are to be kept as they are.
    """
    if len(groups[0]) == 1:
        return [list(group) for group in reversed(groups)]
    many = groups[-1][0]
    found = [_unfiltered(many, color_type_reduction=False)]
    if len(groups) > 1 and groups[0][0][_DEPTH_POSITION] >= _MANY_BITS:
        found.append(_unfiltered(many, color_type_reduction=False, bit_depth_reduction=False))
    if _is_grey(many):
        found.append(_unfiltered(many, bit_depth_reduction=False, palette_reduction=False))
    by_kind: dict[bytes, dict[bytes, None]] = {}
    for png in (*found, *chain(*reversed(groups))):
        by_kind.setdefault(png[_KIND], {})[png] = None
    return [list(group) for group in by_kind.values()]


def _is_grey(png: bytes) -> bool:
    """Return whether all entries of a palette are grey."""
    colors = dict(_chunks(png))[b"PLTE"]
    return colors[::3] == colors[1::3] == colors[2::3]


def _holds(png: bytes, n_pixels: int) -> bool:
    """Return whether a byte of a PNG holds `n_pixels` or more at the quick level, without a filter."""
    return n_pixels * len(compressed(png, NO_FILTER, _QUICK)) <= _n_pixels(png)


def _n_pixels(png: bytes) -> int:
    width, height = struct.unpack_from(">II", png, _SIZE_POSITION)
    return int(width * height)


def _trials_of_few_bits(groups: Sequence[Sequence[bytes]], threads: ThreadPoolExecutor) -> list[Trial]:
    """Return the trials that are compressed at the best level, of indices of 1 or 2 bits and the best of 8."""
    few = [png for png in chain(*groups) if png[_DEPTH_POSITION] < _MANY_BITS]
    many = [png for png in chain(*groups) if png[_DEPTH_POSITION] >= _MANY_BITS]
    sizes, others = ([*_sizes([(_sample(png), NO_FILTER) for png in each], _THOROUGH, threads)] for each in (few, many))
    trials = list(product(few, _FILTERS_OF_FEW_BITS))
    are_few = _n_pixels(few[0]) <= _FEW_PIXELS and _holds(few[0], _FEW_PIXELS_OF_A_BYTE)
    if are_few or min(others) <= _NEAR_FEW_BITS * min(sizes):
        trials += product([many[others.index(min(others))]], (NO_FILTER, _SLOW_FILTER))
    return trials


def _trials_of_drawing(groups: Sequence[Sequence[bytes]], threads: ThreadPoolExecutor) -> list[Trial]:
    """Return the trials of a drawing that are compressed at the best level."""
    ranked = [[_to_rank(png, _DRAWN_WHOLE_PIXELS) for png in group] for group in groups]
    png_of = dict(zip(chain(*ranked), chain(*groups), strict=True))
    bare = [_ranked(product(group, [NO_FILTER]), _THOROUGH, threads)[:_MAX_BARE] for group in ranked]
    least, best = min(chain(*bare))
    [(least_at_quick, _)] = _ranked([best], _QUICK, threads)
    found = [trial for _, trial in chain(*bare)]
    for group in ranked:
        quick = _ranked(product(group, _FILTERS), _QUICK, threads)[:_MAX_RANKED]
        near = [trial for size, trial in quick if size <= _NEAR_AT_QUICK * least_at_quick]
        near += [(png, _SLOW_FILTER) for png, _ in near[:1]]
        thorough = _ranked(near, _THOROUGH, threads)[:_MAX_BEST]
        found += [trial for size, trial in thorough if size <= _NEAR_AT_THOROUGH * least]
    return [(png_of[png], name) for png, name in found]


def _to_rank(png: bytes, max_pixels: int) -> bytes:
    """Return a PNG, or a sample of its rows if it has more pixels."""
    return png if _n_pixels(png) <= max_pixels else _sample(png)


def _ranked(trials: Iterable[Trial], level: int, threads: ThreadPoolExecutor) -> list[tuple[int, Trial]]:
    """Return trials after their sizes at a level of libdeflate, the smallest first."""
    trials = list(trials)
    return sorted(zip(_sizes(trials, level, threads), trials, strict=True))


def _trials(groups: Sequence[Sequence[bytes]], threads: ThreadPoolExecutor) -> list[Trial]:
    """Return the trials that are compressed at the best level, by the sizes of samples of the rows."""
    max_pixels = _WHOLE_PIXELS if _holds(groups[0][0], _PIXELS_OF_A_BYTE) else 0
    samples = [[_to_rank(png, max_pixels) for png in group] for group in groups]
    png_of = dict(zip(chain(*samples), chain(*groups), strict=True))
    sizes = [_sizes([(sample, NO_FILTER) for sample in group], _THOROUGH, threads) for group in samples]
    filtered = _best_filters(samples, threads)
    unfiltered = [min(zip(*pair, strict=True)) for pair in zip(sizes, samples, strict=True)]
    limit = _NEAR * min(size for size, _ in unfiltered)
    found: dict[Trial, None] = {}
    for group, (size, best), others in zip(samples, unfiltered, filtered, strict=True):
        if size <= limit and not (others and others[0][0] <= _FAR * size):
            found |= dict.fromkeys((sample, NO_FILTER) for sample in (group[0], best))
        found |= dict.fromkeys(trial for other_size, trial in others if other_size < size)
    return [(png_of[sample], name) for sample, name in found]


def _best_filters(groups: Sequence[Sequence[bytes]], threads: ThreadPoolExecutor) -> list[list[tuple[int, Trial]]]:
    """Return the best trials of each group with filters, after their sizes, the smallest first."""
    few = [[group[0], *group[2:]] for group in groups]  # the second one is the file's own order, which hardly ever pays
    first = [_sizes(product(group, _FIRST_FILTERS), _QUICK, threads) for group in few]
    bare = [_sizes(product(group, [NO_FILTER]), _QUICK, threads) for group in groups]
    limit = _WORTH_IT if len(groups) > 1 else _WORTH_IT_ALONE
    are_worth_it = [min(one) <= limit * min(other) for one, other in zip(first, bare, strict=True)]
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


def _unfiltered(png: bytes, **options: Any) -> bytes:
    """Return an unfiltered PNG as oxipng finds it the smallest, in another order, depth or colour type."""
    import oxipng

    # By its fast evaluation, oxipng would find another order than at its highest level.
    found = _by_oxipng(
        png, deflate_level=_QUICK, filter=[oxipng.RowFilter.NoOp], force=True, fast_evaluation=False, **options
    )
    return _replaced(found, {b"IDAT": zlib.compress(_filtered(found, NO_FILTER), 0)})


def reduced(png: bytes, *, keep_order: bool, free_hidden: bool = False) -> bytes:
    """Return a PNG as oxipng makes it at its highest level: true colour may become indexed unless `keep_order`.

    With `free_hidden`, the colours of fully transparent pixels become what compresses best.
    """
    kept = _IN_PLACE if keep_order else {}
    return _by_oxipng(png, deflate_level=None, level=_LEVEL, optimize_alpha=free_hidden, **kept)


def _by_oxipng(png: bytes, *, deflate_level: int | None = _FASTEST, **options: Any) -> bytes:
    import oxipng

    if deflate_level is not None:
        options["deflate"] = oxipng.Deflaters.libdeflater(deflate_level)
    return bytes(oxipng.optimize_from_memory(png, strip=oxipng.StripChunks.none(), **options))


if __name__ == "__main__":
    name, arguments, keywords = pickle.load(sys.stdin.buffer)  # noqa: S301
    sys.stdout.buffer.write(globals()[name](*arguments, **keywords))
