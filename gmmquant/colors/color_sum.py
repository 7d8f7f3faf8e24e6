"""The sum of the colours of many images, of bounded size and independent of the order and grouping of the images.

Up to a limit of distinct colours, which 8-bit colours never exceed, the sum is the histogram of all pixels. If 16-bit
colours exceed it, they are gathered in cells: cubes with as many bits per channel as keep their number bounded, each
with the number, the sums and the products of its pixels' values, as integers. Nothing is rounded, and an addition never
lowers the number of colours or of occupied cubes. So any tree of partial sums ends with the same bytes.

Translucent pixels have weights in units of 1 / 65025 (see `gmmquant.colors.histogram`). In these units, the products of
540 million opaque pixels would leave the range of 64-bit integers. So each sum has two parts, as hours have minutes:
whole opaque pixels, and the rest below one.

Cells have a scatter (see `gmmquant.models.cells`), and a fit to them is one to a level that is not the finest. The bits
adapt since 16-bit images of low contrast have many colours in few cubes of 8 bits.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from typing import ClassVar

import numpy as np
import numpy.typing as npt

from gmmquant.colors.histogram import OPAQUE_SQUARE, ColorHistogram, add_runs, merge, value_variance
from gmmquant.colors.spaces import SRGB, ColorSpace
from gmmquant.errors import ParameterError
from gmmquant.models.cells import Cells, upper_triangle

IntArray = npt.NDArray[np.int64]

# Distinct 16-bit colours that a sum keeps apart, 270 MB. Of more, an eighth as many cells are made, 190 MB: many more
# than a fit iterates on. A cube has eight halves, so there are never fewer than a 64th.
MOST_COLORS = 1 << 24
_CELLS = 8

# Cubes whose moments are computed at a time, so that the summands stay in cache.
_CUBES = 2048

_DEPTH = 16
_LARGEST = (1 << _DEPTH) - 1
_LARGEST_SUM = (1 << 63) - 1
_ROWS, _COLUMNS = upper_triangle(3)


@dataclass(frozen=True, eq=False)
class ColorCells:
    """16-bit colours in cubes, with the moments of the pixels in each.

    `tree` has the counts and weights of the cubes, whose size follows from its `bit_depth`. `moments` (9, n_cells) are
    weighted sums over the pixels of a cube: the `sums` (3, n_cells) of red, green and blue, relative to the lowest
    values in the cube, and the `products` (6, n_cells) of these, upper triangles row by row. Their `rests` below whole
    numbers, of the same shape and in units of 1 / 65025, are None if all pixels are opaque.
    """

    n_colors: ClassVar[None] = None  # it is not known
    bit_depth: ClassVar[int] = _DEPTH  # of the colours
    tree: ColorHistogram
    moments: IntArray
    rests: IntArray | None = None

    @property
    def sums(self) -> IntArray:
        """The sums, without their rests."""
        return self.moments[:3]

    @property
    def products(self) -> IntArray:
        """The products, without their rests."""
        return self.moments[3:]

    @property
    def total_weight(self) -> float:
        """The weight of all pixels, in opaque ones."""
        return self.tree.total_weight

    @property
    def n_pixels(self) -> int:
        """Number of pixels counted."""
        return self.tree.n_pixels

    def cells(self, space: ColorSpace = SRGB, noise: float = 0.0) -> Cells:
        """Return the cubes as cells of `space`, to which a mixture is fitted.

        As with a histogram, the scatter includes the variance of each colour except in sRGB.
        """
        weights = self.tree.weights
        moments = self.moments if self.rests is None else self.moments + self.rests / OPAQUE_SQUARE
        within = moments[:3] / weights
        scatter = moments[3:] / weights - within[_ROWS] * within[_COLUMNS]
        scatter[_ROWS == _COLUMNS] = np.maximum(scatter[_ROWS == _COLUMNS], 0.0)
        scatter /= _LARGEST**2
        corners = self.tree.channels.astype(np.float64) * (1 << (_DEPTH - self.tree.bit_depth))
        means = (corners + within) / _LARGEST
        if space is not SRGB:
            scatter[_ROWS == _COLUMNS] += value_variance(_LARGEST, noise)
            means, scatter = space.transform_moments(means, scatter)
        origin = np.array([(channel * weights).sum() for channel in means]) / weights.sum()
        return Cells(weights, means - origin[:, np.newaxis], scatter, origin)

    def points(self, space: ColorSpace = SRGB) -> Cells:
        """Return the means of the cubes as points of `space`, weighted by their pixels."""
        cells = self.cells(space)
        return Cells(cells.weights, cells.offsets, None, cells.origin)

    def variance_in(self, space: ColorSpace, noise: float = 0.0) -> float:
        """Return the variance of each colour in each channel of `space`, in addition to the scatter of its cell."""
        return value_variance(_LARGEST, noise) if space is SRGB else 0.0


Colors = ColorHistogram | ColorCells


def add_up(parts: Sequence[Colors], limit: int = MOST_COLORS) -> Colors:
    """Return the sum of the colours of images, or of such sums, made with the same limit.

    Up to `limit` distinct 16-bit colours it is a `ColorHistogram`; with more, it is `ColorCells`, at most an eighth as
    many. If one part has 16 bits, so has the sum: v of 8 bits becomes v * 257, which is the same colour.

    Raises
    ------
    ParameterError
        If there are no parts, or if 64-bit integers cannot hold the products of all pixels in cells: of more than
        3.5e13 in those of 7 bits, the coarsest that the default limit leads to, and 1.4e14 in those of 8; or the
        squared alpha of more than 1.4e14 pixels.
    """
    if not parts:
        raise ParameterError("no colours to add up; pass those of at least one image")
    n_pixels = sum(part.n_pixels for part in parts)
    if any(part.tree.alpha_squares is not None for part in parts):
        _refuse_more_than(_LARGEST_SUM // OPAQUE_SQUARE, n_pixels)
    histograms = [part for part in parts if isinstance(part, ColorHistogram)]
    if len(histograms) == len(parts):
        first, *others = histograms
        merged = first.merged(*others) if others else first
        if merged.bit_depth < _DEPTH or merged.n_colors <= limit:
            return merged
        parts = [merged]
    max_cells = max(limit // _CELLS, 1)
    cells = [_as_cells(part) if isinstance(part, ColorHistogram) else part for part in parts]
    bits = min(_finest(part.tree, max_cells) for part in cells)
    total = _add_cells([_coarser(part, bits) for part in cells])
    bits = _finest(total.tree, max_cells)
    _refuse_more_than(_LARGEST_SUM >> 2 * (_DEPTH - bits), n_pixels)
    return _coarser(total, bits)


def _refuse_more_than(max_pixels: int, n_pixels: int) -> None:
    if n_pixels > max_pixels:
        raise ParameterError(f"{n_pixels} pixels are too many to add up; use at most {max_pixels}")


def _as_cells(histogram: ColorHistogram) -> ColorCells:
    """Return colours as cubes of 16 bits a channel, whose pixels all have the lowest value."""
    n = histogram.n_colors
    zeros = np.broadcast_to(np.int64(0), (9, n))
    return ColorCells(histogram.deepened(), zeros, None if histogram.alpha_squares is None else zeros)


def _finest(tree: ColorHistogram, max_cells: int) -> int:
    """Return the most bits a channel, below those of colours, with which at most `max_cells` cubes are occupied."""
    bits = min(tree.bit_depth, _DEPTH - 1)
    while tree.cubes(bits).size > max_cells:
        bits -= 1
    return bits


def _coarser(cells: ColorCells, bits: int) -> ColorCells:
    """Return `cells` in larger cubes, of `bits` a channel.

    Relative to the corner of the larger cube a value is the offset o of the smaller one's corner, plus the value v in
    it. The sums of o + v and of the products (o + v)(o' + v') over pixels of weight n follow from n and the sums of v
    and v v'. They are linear in these, so whole numbers and rests are moved by themselves.
    """
    tree = cells.tree
    if bits == tree.bit_depth:
        return cells
    starts = tree.cubes(bits)

    codes = tree.codes[starts] >> tree.codes.dtype.type(3 * (tree.bit_depth - bits))
    squares = tree.alpha_squares
    larger = ColorHistogram(
        codes, np.add.reduceat(tree.counts, starts), bits, None if squares is None else np.add.reduceat(squares, starts)
    )
    if squares is None or cells.rests is None:
        return ColorCells(larger, _moved(tree, starts, bits, tree.counts, cells.moments))
    whole, rest = np.divmod(squares, OPAQUE_SQUARE)
    moments = _moved(tree, starts, bits, whole, cells.moments)
    return _carried(larger, moments, _moved(tree, starts, bits, rest, cells.rests))


def _moved(
    tree: ColorHistogram, starts: npt.NDArray[np.intp], bits: int, weights: IntArray, moments: IntArray
) -> IntArray:
    """Return the moments (9, n_larger) in larger cubes, which begin at `starts` among the cubes of `tree`."""
    lost = tree.bit_depth - bits
    ends = np.append(starts[1:], tree.n_colors)
    moved = np.empty((9, starts.size), dtype=np.int64)
    for cubes in (slice(first, first + _CUBES) for first in range(0, starts.size, _CUBES)):
        members = slice(int(starts[cubes][0]), int(ends[cubes][-1]))
        first, n, v, vv = starts[cubes] - members.start, weights[members], moments[:3, members], moments[3:, members]
        o = (tree.channels[:, members] & ((1 << lost) - 1)).astype(np.int64) << (_DEPTH - tree.bit_depth)
        products = o[_ROWS] * (n * o[_COLUMNS] + v[_COLUMNS]) + o[_COLUMNS] * v[_ROWS] + vv
        moved[:3, cubes] = np.add.reduceat(n * o + v, first, axis=1)
        moved[3:, cubes] = np.add.reduceat(products, first, axis=1)
    return moved


def _carried(tree: ColorHistogram, moments: IntArray, rests: IntArray) -> ColorCells:
    """Return cells whose rests are below a whole number, the excess being added to `moments`."""
    carries, rests = np.divmod(rests, OPAQUE_SQUARE)
    return ColorCells(tree, moments + carries, rests)


def _add_cells(cells: Sequence[ColorCells]) -> ColorCells:
    """Return the sum of cells whose cubes have one size."""
    first = cells[0]
    if len(cells) == 1:
        return first
    codes, order, starts = merge([part.tree.codes for part in cells])
    total = partial(add_runs, order=order, starts=starts)
    opaque = all(part.tree.alpha_squares is None for part in cells)
    squares = None if opaque else total([part.tree.opacity for part in cells])
    tree = ColorHistogram(codes, total([part.tree.counts for part in cells]), first.tree.bit_depth, squares)
    moments = total([part.moments for part in cells])
    if opaque:
        return ColorCells(tree, moments)
    zero = np.int64(0)
    rests = [np.broadcast_to(zero, part.moments.shape) if part.rests is None else part.rests for part in cells]
    return _carried(tree, moments, total(rests))
