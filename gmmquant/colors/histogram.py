"""ColorHistogram: the distinct colours of an image with their counts, and the way back from colours to pixels.

Equal colours have equal responsibilities, so a fit to the distinct colours weighted by their counts is exactly the fit
to all pixels. Photographs have 3 to 10 times fewer distinct colours than pixels, graphics thousands of times.

Sorting the pixels' codes and counting runs takes 0.05 s for 12 million, in two threads; in one 0.08, as does OpenCV's
histogram of 256^3 bins, but 14 ms for the smallest image; a table of 2^24 counters takes 0.10.
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
from gmmquant.models.cells import Cells
from gmmquant.system.threads import for_chunks, sort

FloatArray = npt.NDArray[np.float64]


@dataclass(frozen=True)
class ColorHistogram:
    """Distinct RGB colours in the order of their Morton codes, each with the number of pixels that have it.

    Attributes
    ----------
    codes : ndarray of shape (n_colors,), ascending
        Morton codes (see `gmmquant.colors.morton`): neighbours stand together.
    counts : ndarray of int64, shape (n_colors,)
    bit_depth : int
        Bits a channel: 8 or 16.
    """

    codes: MortonCodes
    counts: npt.NDArray[np.int64]
    bit_depth: int

    @classmethod
    def from_pixels(cls, pixels: npt.NDArray[Any]) -> ColorHistogram:
        """Count the distinct rows of `pixels`, RGB of shape (n_pixels, 3), uint8 or uint16.

        Raises
        ------
        ParameterError
            If the dtype is neither.
        """
        return cls.from_codes(encode(pixels), 8 * pixels.dtype.itemsize)

    @classmethod
    def from_codes(cls, codes: MortonCodes, bit_depth: int) -> ColorHistogram:
        """Count the distinct Morton `codes` (n_pixels,) of pixels."""
        ordered = codes.copy()
        sort(ordered)
        first = np.flatnonzero(_runs(ordered))
        distinct = ordered[first]
        counts = _lengths(first, ordered.size)
        return cls(distinct, counts, bit_depth)

    def merged(self, *others: ColorHistogram) -> ColorHistogram:
        """Return the histogram of all the pixels of this one and of `others`; of 16 bits if one of them has these."""
        histograms = [self, *others]
        if len({histogram.bit_depth for histogram in histograms}) > 1:
            histograms = [histogram.deepened() for histogram in histograms]
        codes, order, starts = merge([histogram.codes for histogram in histograms])
        counts = np.concatenate([histogram.counts for histogram in histograms])[order]
        return ColorHistogram(codes, np.add.reduceat(counts, starts), histograms[0].bit_depth)

    def deepened(self) -> ColorHistogram:
        """Return the histogram of the same colours with 16 bits a channel: v of 8 bits is v * 257 of 16.

        The bits of v * 257 are those of v, twice, and so are those of its code.
        """
        if self.bit_depth == 16:
            return self
        codes = self.codes.astype(np.uint64)
        return ColorHistogram(codes << np.uint64(24) | codes, self.counts, 16)

    def __reduce__(self) -> tuple[type[ColorHistogram], tuple[MortonCodes, npt.NDArray[np.int64], int]]:
        """Pickle the counts alone, without the channels that may have been decoded."""
        return ColorHistogram, (self.codes, self.counts, self.bit_depth)

    @property
    def tree(self) -> ColorHistogram:
        """What the octrees are made of: the colours themselves."""
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
    def largest(self) -> int:
        """The largest value of a channel: 255 or 65535."""
        return (1 << self.bit_depth) - 1

    @property
    def rounding_variance(self) -> float:
        """Variance, in [0, 1] units, that each value carries: the `entropy_power` of the step it was recorded in."""
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
        """Return the colours as points of `space`, weighted by their counts: what a mixture is evaluated at."""
        weights = self.counts.astype(np.float64)
        offsets = self.channels / np.float64(self.largest)
        if space is not SRGB:
            offsets = np.ascontiguousarray(space.from_srgb(offsets.T).T)
        origin = np.array([(channel * weights).sum() for channel in offsets]) / weights.sum()
        offsets -= origin[:, np.newaxis]
        return Cells(weights, offsets, None, origin)

    def cells(self, space: ColorSpace = SRGB) -> Cells:
        """Return the colours as cells of `space`, weighted by their counts: what a mixture is fitted to.

        The variance that a colour carries is `variance_in(space)` in every channel of sRGB, beside the cells; elsewhere
        the cells have it as their scatter, which differs from colour to colour.
        """
        points = self.points(space)
        if space is SRGB:
            return points
        scatter = space.rounding_scatter(self.values, self.rounding_variance)
        return Cells(points.weights, points.offsets, scatter, points.origin)

    def variance_in(self, space: ColorSpace) -> float:
        """Return the variance that each colour carries in each channel of `space` beside what its cell says."""
        return self.rounding_variance if space is SRGB else 0.0

    def cubes(self, bits: int) -> npt.NDArray[np.intp]:
        """Return where the runs of colours begin that agree in their first `bits` a channel: cubes of equal size."""
        return np.flatnonzero(_runs(self.codes >> self.codes.dtype.type(3 * (self.bit_depth - bits))))

    def octrees(self, capacities: Sequence[float]) -> Iterator[npt.NDArray[np.intp]]:
        """Yield where the leaves of an octree begin that hold at most a capacity of pixels, for each of `capacities`.

        A leaf is the largest node that holds no more than the capacity, or a single colour that holds more. So there
        are many small cells where there are many pixels, and few large ones where there are few: an image has some
        4 n_pixels / capacity of them, whatever its contrast.

        `capacities` must ascend: what is yielded are the places of the leaves among those of the octree before (the
        single colours at first).
        """
        ancestors = self._common_ancestors()
        for capacity in capacities:
            starts = np.flatnonzero(ancestors > capacity)
            yield starts
            ancestors = ancestors[starts]

    def _common_ancestors(self) -> FloatArray:
        """Return the pixels in the lowest common ancestor of each colour and the one before it, shape (n_colors,).

        The two are in one leaf of an octree if and only if that node is within its capacity. The first colour has none
        before it: infinity.
        """
        different = self.codes[1:] ^ self.codes[:-1]
        common = np.full(self.n_colors, -1, dtype=np.int8)  # length of the prefix that a colour shares with the last
        common[1:] = 0
        for bits in range(1, self.bit_depth):
            common[1:] += different < (1 << 3 * (self.bit_depth - bits))
        ancestors, nodes, weights = np.empty(self.n_colors), np.arange(self.n_colors), self.counts
        # From the single colours up: each node is given the weight of its parent. That is its lowest common ancestor
        # with the node before it, but for the first child, which is met again as its parent.
        for bits in range(self.bit_depth - 1, -1, -1):
            first = np.flatnonzero(common < bits)
            weights = np.add.reduceat(weights, first)
            ancestors[nodes] = np.repeat(weights, _lengths(first, nodes.size))
            nodes, common = nodes[first], common[first]
        ancestors[0] = np.inf
        return ancestors

    def count(self, labels: npt.NDArray[Any], n_labels: int) -> npt.NDArray[np.int64]:
        """Return the number of pixels of each of `n_labels` labels, by those of the colours (n_colors,)."""
        return np.bincount(labels, self.counts, minlength=n_labels).astype(np.int64)

    def to_pixels(self, values: npt.NDArray[Any], codes: MortonCodes) -> npt.NDArray[Any]:
        """Give each pixel the value of its colour, by its Morton code in `codes` (n_pixels,), all of them counted here.

        `values` has shape (n_colors, ...); the result has shape (n_pixels, ...) and its dtype.
        """
        spread = np.empty((codes.size, *values.shape[1:]), dtype=values.dtype)
        if self.bit_depth == 16:

            def look_up(chunk: slice) -> None:
                spread[chunk] = values[np.searchsorted(self.codes, codes[chunk])]

        else:
            # A table with a place for each of the 2^24 colours: only the pages of those that occur are ever touched.
            table = np.empty((1 << 24, *values.shape[1:]), dtype=values.dtype)
            table[self.codes] = values

            def look_up(chunk: slice) -> None:
                np.take(table, codes[chunk], axis=0, out=spread[chunk], mode="clip")

        for_chunks(look_up, codes.size)
        return spread


def merge(
    codes: Sequence[MortonCodes],
) -> tuple[MortonCodes, npt.NDArray[np.intp], npt.NDArray[np.intp]]:
    """Merge ascending arrays of codes: return the distinct ones, and which of all, end to end, are equal to each.

    The order (n,) puts equal ones side by side; they begin at the places that stand last, shape (n_distinct,).

    A stable sort is quick to see what is in order: two million codes took 41 ms, np.unique 73, searching the place of
    each of one million in the other 68; of a hundred thousand in eight million, 202, 513 and 63.
    """
    everything = np.concatenate(codes)
    order = np.argsort(everything, kind="stable")
    ordered = everything[order]
    starts = np.flatnonzero(_runs(ordered))
    return ordered[starts], order, starts


def _runs(ordered: npt.NDArray[Any]) -> npt.NDArray[np.bool_]:
    """Tell where a run of equal values begins, shape (n,)."""
    first = np.ones(ordered.size, dtype=np.bool_)
    np.not_equal(ordered[1:], ordered[:-1], out=first[1:])
    return first


def _lengths(starts: npt.NDArray[np.intp], end: int) -> npt.NDArray[np.int64]:
    """Return the lengths of runs that begin at `starts` (ascending), the last up to `end`.

    np.diff with `append` would copy `starts` first, which costs more than the differences.
    """
    lengths = np.empty(starts.size, dtype=np.int64)
    np.subtract(starts[1:], starts[:-1], out=lengths[:-1])
    lengths[-1:] = end - starts[-1:]
    return lengths


def entropy_power(largest: int) -> float:
    """Return the variance h^2 / (2 pi e), in [0, 1] units, of values recorded in steps of h = 1 / `largest`.

    It is the entropy power of the step (Shannon 1948, section 21): a Gaussian of this variance has the differential
    entropy log h of an interval of length h. So a component that has shrunk onto one colour counts just as the cell of
    that colour, and the objective J of an image of one colour is -3 log h, no more and no less.
    """
    return 1 / (2 * math.pi * math.e * largest**2)
