"""ColorHistogram: the distinct colours of an image with their counts, and the mapping from colours back to pixels.

Equal colours have equal responsibilities, so a fit to the distinct colours weighted by their counts is exactly the fit
to all pixels. Photographs have 3 to 10 times fewer distinct colours than pixels, graphics thousands of times.

A pixel weighs as much as its colour can be seen. Composited over any background, colours x and y of alpha a differ by
a (x - y), so the squared error is that of an opaque pixel times (a / 255)^2. That is the weight of the pixel. Sums of
a^2 are integers, so sums of histograms are exact.

Codes are sorted and runs counted. For 12 million pixels in one thread that takes 0.08 s where numpy sorts with AVX-512,
and 0.5 to 1 s where it does not. A table of 2^24 counters takes 0.1 s, of which 0.03 s whatever the number of pixels,
so it counts the 8-bit colours of large images.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import numpy.typing as npt

from gmmquant.colors.morton import MortonCodes, decode, encode
from gmmquant.colors.spaces import SRGB, ColorSpace
from gmmquant.errors import ParameterError
from gmmquant.models.array_validation import FloatArray, refuse_masked
from gmmquant.models.cells import Cells
from gmmquant.system.threads import for_chunks, sort

# The levels of a fit: cells of at most 1/150 of the pixels, then of an eighth of that, and so on, while they are fewer
# than the distinct colours.
_COARSEST = 150
_REFINEMENT = 8
_FINEST = 0.8

# Pixels from which on colours are counted in a table.
_MANY_PIXELS = 1 << 22

# Pixels whose codes are indices of the table at a time: numpy's bincount casts all of them, 8 bytes a pixel.
_CHUNK_PIXELS = 1 << 16

# Colours that are counted by label at a time: bincount casts labels and counts, 16 bytes a colour.
_CHUNK_COLORS = 1 << 20

# The squared alpha of an opaque pixel: the unit in which weights are integers.
OPAQUE_SQUARE = 255**2
_ALPHA_SQUARES = np.arange(256, dtype=np.int64) ** 2


@dataclass(frozen=True, eq=False, repr=False)
class ColorHistogram:
    """Distinct RGB colours in the order of their Morton codes, each with the number and weight of its pixels.

    Attributes
    ----------
    codes : ndarray of shape (n_colors,), ascending
        Morton codes, whose bits are those of the channels in turn, which keep neighbours together.
    counts : ndarray of int64, shape (n_colors,)
    bit_depth : int
        Bits a channel: 8 or 16.
    alpha_squares : ndarray of int64, shape (n_colors,), or None
        Sum of the squared alpha, from 0 to 255, of the pixels of each colour; None if all pixels are opaque.
    """

    codes: MortonCodes
    counts: npt.NDArray[np.int64]
    bit_depth: int
    alpha_squares: npt.NDArray[np.int64] | None = None

    def __repr__(self) -> str:
        """Return the numbers of colours and of pixels in one line."""
        return f"<ColorHistogram of {self.n_colors} colours of {self.n_pixels} pixels, {self.bit_depth} bits>"

    @classmethod
    def from_pixels(cls, pixels: npt.NDArray[Any], alpha: npt.NDArray[np.uint8] | None = None) -> ColorHistogram:
        """Count the colours of `pixels`, RGB of shape (n_pixels, 3), uint8 or uint16.

        `alpha` (n_pixels,), uint8, is above 0; without it, all pixels are opaque. A ParameterError is raised for other
        types and shapes.
        """
        refuse_masked("pixels", pixels, "leave masked pixels out, or use {filled}")
        refuse_masked("alpha", alpha, "leave masked pixels out, or use {filled}")
        _refuse_other("pixels", pixels, "np.array(pixels, dtype=np.uint8)")
        if pixels.ndim != 2 or pixels.shape[1] != 3:
            raise ParameterError(
                f"pixels has shape {pixels.shape}; use (n_pixels, 3), or FlatImage.from_array(image).histogram()"
            )
        if alpha is not None:
            _check_alpha(alpha, len(pixels))
        return cls.from_codes(encode(pixels), 8 * pixels.dtype.itemsize, alpha)

    @classmethod
    def from_codes(
        cls, codes: MortonCodes, bit_depth: int, alpha: npt.NDArray[np.uint8] | None = None
    ) -> ColorHistogram:
        """Count the distinct Morton `codes` (n_pixels,) of pixels with `alpha` (n_pixels,), or of opaque ones."""
        if alpha is None or (alpha == 255).all():
            tabulated = bit_depth == 8 and codes.size >= _MANY_PIXELS
            return cls(*(_tabulated(codes) if tabulated else _counted(codes.copy())), bit_depth)
        # A code has 8 bits free for alpha, so that one sort suffices.
        pairs, counts = _counted(codes << codes.dtype.type(8) | alpha)
        squares = _ALPHA_SQUARES[pairs & codes.dtype.type(255)] * counts
        ordered = pairs >> codes.dtype.type(8)
        starts = _run_starts(ordered)
        return cls(ordered[starts], np.add.reduceat(counts, starts), bit_depth, np.add.reduceat(squares, starts))

    @classmethod
    def empty(cls) -> ColorHistogram:
        """Return the histogram of no pixels."""
        return cls(np.empty(0, dtype=np.uint32), np.empty(0, dtype=np.int64), 8)

    def merged(self, *others: ColorHistogram) -> ColorHistogram:
        """Return the histogram of all pixels of this one and of `others`, with 16 bits if one of them has 16."""
        histograms = [self, *others]
        if len({histogram.bit_depth for histogram in histograms}) > 1:
            histograms = [histogram.deepened() for histogram in histograms]
        codes, order, starts = merge([histogram.codes for histogram in histograms])
        counts = add_runs([histogram.counts for histogram in histograms], order, starts)
        opaque = all(histogram.alpha_squares is None for histogram in histograms)
        squares = None if opaque else add_runs([histogram.opacity for histogram in histograms], order, starts)
        return ColorHistogram(codes, counts, histograms[0].bit_depth, squares)

    def deepened(self) -> ColorHistogram:
        """Return the histogram of the same colours with 16 bits a channel: v of 8 bits is v * 257 of 16."""
        if self.bit_depth == 16:
            return self
        # The bits of v * 257 are those of v, twice, and so are those of its code.
        codes = self.codes.astype(np.uint64)
        return ColorHistogram(codes << np.uint64(24) | codes, self.counts, 16, self.alpha_squares)

    def __reduce__(self) -> tuple[type[ColorHistogram], tuple[Any, ...]]:
        """Pickle without the decoded channels."""
        return ColorHistogram, (self.codes, self.counts, self.bit_depth, self.alpha_squares)

    @property
    def tree(self) -> ColorHistogram:
        """The histogram of which octrees are made, which is this one."""
        return self

    @property
    def n_colors(self) -> int:
        """Number of distinct colours."""
        return int(self.codes.size)

    @property
    def n_pixels(self) -> int:
        """Number of pixels counted."""
        return int(self.counts.sum())

    @property
    def opacity(self) -> npt.NDArray[np.int64]:
        """Sum of the squared alpha of the pixels of each colour, shape (n_colors,)."""
        return self.counts * OPAQUE_SQUARE if self.alpha_squares is None else self.alpha_squares

    @property
    def weights(self) -> FloatArray:
        """The weight of each colour, shape (n_colors,), in opaque pixels."""
        if self.alpha_squares is None:
            return self.counts.astype(np.float64)
        return self.alpha_squares / OPAQUE_SQUARE

    @property
    def total_weight(self) -> float:
        """The weight of all pixels, in opaque ones, which is their number if all are opaque."""
        squares = self.alpha_squares
        return float(self.n_pixels) if squares is None else int(squares.sum()) / OPAQUE_SQUARE

    @property
    def largest(self) -> int:
        """The largest value of a channel, 255 or 65535."""
        return (1 << self.bit_depth) - 1

    @property
    def rounding_variance(self) -> float:
        """Variance, in [0, 1] units, of each value, which is the `entropy_power` of the step of recording."""
        return entropy_power(self.largest)

    @cached_property
    def channels(self) -> npt.NDArray[Any]:
        """Red, green and blue of the distinct colours, shape (3, n_colors), in the dtype of the pixels."""
        return decode(self.codes, self.bit_depth)

    @property
    def colors(self) -> npt.NDArray[Any]:
        """The distinct colours, shape (n_colors, 3), in the dtype of the pixels."""
        return np.ascontiguousarray(self.channels.T)

    @property
    def values(self) -> FloatArray:
        """The distinct colours as sRGB values in [0, 1], shape (n_colors, 3)."""
        return self.colors / np.float64(self.largest)

    def points(self, space: ColorSpace = SRGB) -> Cells:
        """Return the colours as points of `space` with their weights, at which a mixture is evaluated."""
        weights = self.weights
        offsets = self.channels / np.float64(self.largest)
        if space is not SRGB:
            offsets = np.ascontiguousarray(space.from_srgb(offsets.T).T)
        origin = np.array([(channel * weights).sum() for channel in offsets]) / (weights.sum() or 1.0)
        offsets -= origin[:, np.newaxis]
        return Cells(weights, offsets, None, origin)

    def cells(self, space: ColorSpace = SRGB, noise: float = 0.0) -> Cells:
        """Return the colours as cells of `space` with their weights, to which a mixture is fitted.

        In sRGB all colours have the same variance, `variance_in(SRGB, noise)`, and the cells have no scatter. In other
        spaces the variance differs from colour to colour and is the scatter of the cells.
        """
        points = self.points(space)
        if space is SRGB:
            return points
        scatter = space.rounding_scatter(self.values, value_variance(self.largest, noise))
        return Cells(points.weights, points.offsets, scatter, points.origin)

    def variance_in(self, space: ColorSpace, noise: float = 0.0) -> float:
        """Return the variance of each colour in each channel of `space`, in addition to the scatter of its cell."""
        return value_variance(self.largest, noise) if space is SRGB else 0.0

    def cubes(self, bits: int) -> npt.NDArray[np.intp]:
        """Return the starts of the runs of colours that agree in their first `bits` a channel: cubes of equal size."""
        return _run_starts(self.codes >> self.codes.dtype.type(3 * (self.bit_depth - bits)))

    def octrees(self, capacities: Sequence[float]) -> Iterator[npt.NDArray[np.intp]]:
        """Yield, for each of the ascending `capacities` in opaque pixels, the starts of the leaves of an octree.

        A leaf is the largest node that holds at most the capacity, or a single colour that holds more. So leaves are
        small where there are many pixels; an image has some 4 total_weight / capacity of them, whatever its contrast. A
        start is an index of the leaves of the previous octree, at first of the colours.
        """
        ancestors = self._common_ancestors()
        for capacity in capacities:
            starts = np.flatnonzero(ancestors > capacity)
            yield starts
            ancestors = ancestors[starts]

    def _common_ancestors(self, side_power: int = 0) -> FloatArray:
        """Return the weight of the lowest common ancestor of each colour and the previous one, shape (n_colors,).

        The two are in one leaf of an octree if and only if that node is within its capacity. The first is infinity.
        Weights are multiplied by the side of the node's cube (1 for the whole) to the power of `side_power`.
        """
        different = self.codes[1:] ^ self.codes[:-1]
        common = np.full(self.n_colors, -1, dtype=np.int8)  # bits that a colour shares with the previous one
        common[1:] = 0
        for bits in range(1, self.bit_depth):
            common[1:] += different < (1 << 3 * (self.bit_depth - bits))
        weights = self.counts if self.alpha_squares is None else self.alpha_squares
        ancestors, nodes = np.empty(self.n_colors), np.arange(self.n_colors)
        # From the single colours up, each node gets the weight of its parent. That is its lowest common ancestor with
        # the previous node, except for a first child, which occurs again as its parent.
        for bits in range(self.bit_depth - 1, -1, -1):
            first = np.flatnonzero(common < bits)
            weights = np.add.reduceat(weights, first)
            measures = weights * 0.5 ** (side_power * bits) if side_power else weights
            ancestors[nodes] = np.repeat(measures, _lengths(first, nodes.size))
            nodes, common = nodes[first], common[first]
        if self.alpha_squares is not None:
            ancestors /= OPAQUE_SQUARE
        ancestors[0] = np.inf
        return ancestors

    def levels(self, cells: Cells) -> list[Cells]:
        """Return the cells of a fit, the coarsest first, the last being `cells`, those of the colours in any space."""
        shares = [_COARSEST]
        while shares[-1] * _REFINEMENT * 4 < _FINEST * self.n_colors:
            shares.append(shares[-1] * _REFINEMENT)
        # All octrees come first, since both they and the cells need memory for a moment.
        octrees = list(self.octrees([self.total_weight / share for share in reversed(shares)]))
        levels = [cells]
        for starts in octrees:
            levels.append(levels[-1].merged(starts))
        return levels[::-1]

    def levels_by_scatter(self, cells: Cells, sizes: Sequence[int]) -> list[Cells]:
        """Return cells of about equal scatter, of about the ascending `sizes` in number, and `cells` as the last.

        A leaf of the octree has at most a certain weight times squared side of its cube, to which its scatter is in
        proportion. `cells` are those of the colours in any space; sizes near their number are left out.
        """
        ancestors, octrees = self._common_ancestors(side_power=2), []
        for size in reversed(sizes):
            if size < _FINEST * ancestors.size:
                starts = np.flatnonzero(ancestors >= np.partition(ancestors, ancestors.size - size)[-size])
                octrees.append(starts)
                ancestors = ancestors[starts]
        levels = [cells]
        for starts in octrees:
            levels.append(levels[-1].merged(starts))
        return levels[::-1]

    def count(self, labels: npt.NDArray[Any], n_labels: int) -> npt.NDArray[np.int64]:
        """Return the number of pixels of each of `n_labels` labels; `labels` (n_colors,) are those of the colours."""
        counts = np.zeros(n_labels)
        for part in (slice(at, at + _CHUNK_COLORS) for at in range(0, self.n_colors, _CHUNK_COLORS)):
            counts += np.bincount(labels[part], self.counts[part], minlength=n_labels)
        return counts.astype(np.int64)

    def to_pixels(self, values: npt.NDArray[Any], codes: MortonCodes) -> npt.NDArray[Any]:
        """Return the value of each pixel's colour, shape (n_pixels, ...), from `values` of shape (n_colors, ...).

        `codes` (n_pixels,) are the Morton codes of the pixels, all of them in this histogram.
        """
        spread = np.empty((codes.size, *values.shape[1:]), dtype=values.dtype)
        if self.bit_depth == 16:

            def look_up(chunk: slice) -> None:
                spread[chunk] = values[np.searchsorted(self.codes, codes[chunk])]

        else:
            # A table of all 2^24 colours: only the pages of those that occur are ever touched.
            table = np.empty((1 << 24, *values.shape[1:]), dtype=values.dtype)
            table[self.codes] = values

            def look_up(chunk: slice) -> None:
                np.take(table, codes[chunk], axis=0, out=spread[chunk], mode="clip")

        for_chunks(look_up, codes.size)
        return spread


def _refuse_other(name: str, value: object, conversion: str) -> None:
    """Raise a ParameterError for an argument that is not an array, with the `conversion` to one."""
    if not isinstance(value, np.ndarray):
        raise ParameterError(f"{name} is a {type(value).__name__}; pass an array, as in {conversion}")


def _check_alpha(alpha: npt.NDArray[Any], n_pixels: int) -> None:
    """Raise a ParameterError unless `alpha` is an array of uint8 above 0, one for each pixel."""
    _refuse_other("alpha", alpha, "np.array(alpha, dtype=np.uint8)")
    if alpha.dtype != np.uint8:
        raise ParameterError(f"alpha has type {alpha.dtype}; use uint8 with values from 1 to 255")
    if alpha.shape != (n_pixels,):
        raise ParameterError(f"alpha has shape {alpha.shape}; use ({n_pixels},), one value for each pixel")
    if (alpha == 0).any():
        raise ParameterError("alpha is 0 for some pixels; leave them out")


def merge(codes: Sequence[MortonCodes]) -> tuple[MortonCodes, npt.NDArray[np.intp], npt.NDArray[np.intp]]:
    """Return the distinct codes of ascending arrays, the order that sorts all, and the starts of equal ones in it.

    A stable sort profits from runs in order: two million codes took 41 ms, np.unique 73, searching one million in the
    other 68; a hundred thousand and eight million took 202, 513 and 63.
    """
    everything = np.concatenate(codes)
    order = np.argsort(everything, kind="stable")
    ordered = everything[order]
    starts = _run_starts(ordered)
    return ordered[starts], order, starts


def add_runs(
    parts: Sequence[npt.NDArray[np.int64]], order: npt.NDArray[np.intp], starts: npt.NDArray[np.intp]
) -> npt.NDArray[np.int64]:
    """Return the sums of `parts` (..., n) over equal codes, for the order and starts of `merge`."""
    return np.asarray(np.add.reduceat(np.concatenate(parts, axis=-1)[..., order], starts, axis=-1))


def _counted(codes: MortonCodes) -> tuple[MortonCodes, npt.NDArray[np.int64]]:
    """Sort `codes` (n,) in place; return the distinct ones with their numbers."""
    sort(codes)
    starts = _run_starts(codes)
    return codes[starts], _lengths(starts, codes.size)


def _tabulated(codes: MortonCodes) -> tuple[MortonCodes, npt.NDArray[np.int64]]:
    """Return what `_counted` does, by a table of all codes; `codes` (n,) are of 8 bits a channel, and stay."""
    table = np.zeros(1 << 24, dtype=np.uint32)
    for start in range(0, codes.size, _CHUNK_PIXELS):
        np.add.at(table, codes[start : start + _CHUNK_PIXELS].astype(np.intp), np.uint32(1))
    distinct = np.flatnonzero(table)
    return distinct.astype(codes.dtype), table[distinct].astype(np.int64)


def _run_starts(ordered: npt.NDArray[Any]) -> npt.NDArray[np.intp]:
    """Return the index of the first of each run of equal values."""
    first = np.ones(ordered.size, dtype=np.bool_)
    np.not_equal(ordered[1:], ordered[:-1], out=first[1:])
    return np.flatnonzero(first)


def _lengths(starts: npt.NDArray[np.intp], end: int) -> npt.NDArray[np.int64]:
    """Return the lengths of runs from `starts` to `end`; np.diff with `append` would copy `starts`, which is slower."""
    lengths = np.empty(starts.size, dtype=np.int64)
    np.subtract(starts[1:], starts[:-1], out=lengths[:-1])
    lengths[-1:] = end - starts[-1:]
    return lengths


def value_variance(largest: int, noise: float) -> float:
    """Return the variance, in [0, 1] units, of values up to `largest` that are uncertain by `noise` levels of 255.

    It is that of the noise, or of the recording in steps where that is larger.
    """
    return max(entropy_power(largest), (noise / 255) ** 2)


def entropy_power(largest: int) -> float:
    """Return the variance h^2 / (2 pi e), in [0, 1] units, of values recorded in steps of h = 1 / `largest`.

    It is the entropy power of the step (Shannon 1948, section 21): a Gaussian of this variance has the differential
    entropy log h of an interval of length h. So a component that has shrunk to one colour has the density of that
    colour's cell, and the objective J of an image of one colour is -3 log h.
    """
    return 1 / (2 * math.pi * math.e * largest**2)
