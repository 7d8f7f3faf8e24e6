"""The smallest of several PNGs of the same pixels, each compressed by oxipng with several filters.

Run as a program, in a process of its own: oxipng holds the interpreter, so that no signal is handled meanwhile. It
imports nothing of gmmquant and no numpy, which would take longer than the trials of a small image.
"""

from __future__ import annotations

import pickle
import sys
from collections.abc import Sequence
from itertools import product
from typing import Any

NO_FILTER = "NoOp"

# The first one takes twice as long as the others, and is tried with one order only.
_SLOW_FILTER = "Brute"
_FILTERS: tuple[str, ...] = ("Sub", "Up", "Entropy", "Bigrams", "BigEnt")

_MANY_BITS = 4
# Rows of 1 or 2 bits are so short that these are all compressed at the best level, without a filter too.
_FILTERS_OF_FEW_BITS = (NO_FILTER, "Up", "Entropy")

# Levels of libdeflate: the second ranks filters in an eighth of the time of the third, which is the best.
_FASTEST, _QUICK, _BEST = 1, 6, 12

_DEPTH_POSITION = 24  # of the byte with the bits of an index

# Level 4 of oxipng: its level 6 takes twice the time for true colour 0.4 % smaller.
_LEVEL = 4

_IN_PLACE: dict[str, Any] = dict.fromkeys(
    ("bit_depth_reduction", "color_type_reduction", "palette_reduction", "grayscale_reduction"), False
)


def smallest(groups: Sequence[Sequence[bytes]]) -> bytes:
    """Return the smallest PNG that is found of the same pixels; each group has one bit depth and several orders.

    The last order of a group is that of oxipng, unless the depth is below 4 bits. Orders and filters are ranked by a
    quick compression. Depths are not, nor is the lack of a filter, since the best compression makes more of the
    repetitions that they leave.
    """
    finalists = [trial for group in groups for trial in _finalists(group, is_only=len(groups) == 1)]
    return min((compressed(png, name, _BEST) for png, name in dict.fromkeys(finalists)), key=len)


def _finalists(group: Sequence[bytes], *, is_only: bool) -> list[tuple[bytes, str]]:
    """Return the PNGs of a group, each with a filter, that are compressed at the best level.

    They are chosen so that of 78 images (13 photographs in 2, 16 and 256 colours, plain and dithered) none is larger
    than that of oxipng at its highest level, which tries all filters with one order.
    """
    first, last, bits = group[0], group[-1], group[0][_DEPTH_POSITION]
    if bits < _MANY_BITS:
        ranked = _ranked(group, _FILTERS_OF_FEW_BITS, _BEST)
        return [ranked[0], *([(ranked[0][0], _SLOW_FILTER)] if is_only else [])]
    if bits == _MANY_BITS and not is_only:
        return [(first, NO_FILTER), _ranked(group, _FILTERS, _QUICK)[0]]
    unfiltered = [(first, NO_FILTER), (last, NO_FILTER), _ranked(group, [NO_FILTER], _QUICK)[0]]
    if is_only:
        ranked = _ranked(group, _FILTERS, _QUICK)
        return [*unfiltered, *ranked[:2], (ranked[0][0], _SLOW_FILTER)]
    return [*unfiltered, _ranked([last], _FILTERS, _QUICK)[0], (last, _SLOW_FILTER)]


def with_sorted_palette(png: bytes) -> bytes:
    """Return an indexed PNG with its palette in the order that oxipng finds."""
    import oxipng

    options: dict[str, Any] = {
        "filter": [oxipng.RowFilter.NoOp],
        "deflate": oxipng.Deflaters.libdeflater(_FASTEST),
        "strip": oxipng.StripChunks.none(),
    }
    in_place = {**_IN_PLACE, "palette_reduction": True}
    return bytes(oxipng.optimize_from_memory(png, force=True, **options, **in_place))


def _ranked(pngs: Sequence[bytes], filters: Sequence[str], level: int) -> list[tuple[bytes, str]]:
    """Return each of the PNGs with each filter, those first that are the smallest at a level of libdeflate."""
    return sorted(product(pngs, filters), key=lambda trial: len(compressed(trial[0], trial[1], level)))


def compressed(png: bytes, filter_name: str, level: int) -> bytes:
    """Return a PNG, indexed or not, whose rows are filtered so and compressed at a level of libdeflate, 1 to 12."""
    import oxipng  # takes a millisecond

    options: dict[str, Any] = {
        "filter": [getattr(oxipng.RowFilter, filter_name)],
        "deflate": oxipng.Deflaters.libdeflater(level),
        "strip": oxipng.StripChunks.none(),
    }
    return bytes(oxipng.optimize_from_memory(png, force=True, **options, **_IN_PLACE))


def reduced(png: bytes, *, keep_order: bool) -> bytes:
    """Return a PNG as oxipng makes it: true colour may become indexed unless `keep_order`; it stays coloured."""
    import oxipng

    options: dict[str, Any] = _IN_PLACE if keep_order else {"grayscale_reduction": False}
    return bytes(oxipng.optimize_from_memory(png, level=_LEVEL, strip=oxipng.StripChunks.none(), **options))


if __name__ == "__main__":
    name, arguments, keywords = pickle.load(sys.stdin.buffer)  # noqa: S301
    sys.stdout.buffer.write(globals()[name](*arguments, **keywords))
