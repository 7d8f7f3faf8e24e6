"""The sum of the colours of many images, of bounded size and independent of the order and grouping of the images.

Up to a limit of distinct colours, which 8-bit colours never exceed, the sum is the histogram of all pixels. If 16-bit
colours exceed it, they are gathered in cells: cubes with as many bits per channel as keep their number bounded, each
with the number, the sums and the products of its pixels' values, as integers. Nothing is rounded, and an addition never
lowers the number of colours or of occupied cubes. So any tree of partial sums ends with the same bytes.

Cells have a scatter (see `gmmquant.models.cells`), and a fit to them is one to a level that is not the finest. The bits
adapt since 16-bit images of low contrast have many colours in few cubes of 8 bits.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

import numpy as np
import numpy.typing as npt

from gmmquant.colors.histogram import ColorHistogram, merge, value_variance
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
_ROWS, _COLUMNS = upper_triangle(3)


@dataclass(frozen=True)
class ColorCells:
    """16-bit colours in cubes, with the moments of the pixels in each.

    `tree` counts the pixels of the cubes, whose size follows from its `bit_depth`. `sums` (3, n_cells) are those of
    red, green and blue over the pixels of a cube, relative to the lowest values in the cube; `products` (6, n_cells)
    are the sums of their products, upper triangles row by row.
    """

    n_colors: ClassVar[None] = None  # it is not known
    bit_depth: ClassVar[int] = _DEPTH  # of the colours
    tree: ColorHistogram
    sums: IntArray
    products: IntArray

    @property
    def moments(self) -> tuple[IntArray, IntArray, IntArray]:
        """Number, sums and products of the pixels of each cube."""
        return self.tree.counts, self.sums, self.products

    @property
    def n_pixels(self) -> int:
        """Number of pixels counted."""
        return self.tree.n_pixels

    def cells(self, space: ColorSpace = SRGB, noise: float = 0.0) -> Cells:
        """Return the cubes as cells of `space`, to which a mixture is fitted.

        As with a histogram, the scatter includes the variance of each colour except in sRGB.
        """
        weights = self.tree.counts.astype(np.float64)
        within = self.sums / weights
        scatter = self.products / weights - within[_ROWS] * within[_COLUMNS]
        scatter[_ROWS == _COLUMNS] = np.maximum(scatter[_ROWS == _COLUMNS], 0.0)
        scatter /= _LARGEST**2
        corners = self.tree.channels.astype(np.float64) * (1 << (_DEPTH - self.tree.bit_depth))
        means = (corners + within) / _LARGEST
        if space is not SRGB:
            scatter[_ROWS == _COLUMNS] += value_variance(_LARGEST, noise)
            means, scatter = space.transform_moments(means, scatter)
        origin = np.array([(channel * weights).sum() for channel in means]) / weights.sum()
        return Cells(weights, means - origin[:, np.newaxis], scatter, origin)

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
        3.5e13 in those of 7 bits, the coarsest that the default limit leads to, and 1.4e14 in those of 8.
    """
    if not parts:
        raise ParameterError("no colours to add up; pass those of at least one image")
    histograms = [part for part in parts if isinstance(part, ColorHistogram)]
    if len(histograms) == len(parts):
        first, *others = histograms
        merged = first.merged(*others) if others else first
        if merged.bit_depth < _DEPTH or merged.n_colors <= limit:
            return merged
        parts = [merged]
    n_pixels, max_cells = sum(part.n_pixels for part in parts), max(limit // _CELLS, 1)
    cells = [_as_cells(part) if isinstance(part, ColorHistogram) else part for part in parts]
    bits = min(_finest(part.tree, max_cells) for part in cells)
    total = _add_cells([_coarser(part, bits) for part in cells])
    bits = _finest(total.tree, max_cells)
    max_pixels = np.iinfo(np.int64).max >> 2 * (_DEPTH - bits)
    if n_pixels > max_pixels:
        raise ParameterError(f"{n_pixels} pixels are too many to add up; use at most {max_pixels}")
    return _coarser(total, bits)


def _as_cells(histogram: ColorHistogram) -> ColorCells:
    """Return colours as cubes of 16 bits a channel, whose pixels all have the lowest value."""
    n = histogram.n_colors
    return ColorCells(histogram.deepened(), *(np.broadcast_to(np.int64(0), (rows, n)) for rows in (3, 6)))


def _finest(tree: ColorHistogram, max_cells: int) -> int:
    """Return the most bits a channel, below those of colours, with which at most `max_cells` cubes are occupied."""
    bits = min(tree.bit_depth, _DEPTH - 1)
    while tree.cubes(bits).size > max_cells:
        bits -= 1
    return bits


def _coarser(cells: ColorCells, bits: int) -> ColorCells:
    """Return `cells` in larger cubes, of `bits` a channel.

    Relative to the corner of the larger cube a value is the offset o of the smaller one's corner, plus the value v in
    it. The sums of o + v and of the products (o + v)(o' + v') over n pixels follow from n and the sums of v and v v'.
    """
    tree = cells.tree
    if bits == tree.bit_depth:
        return cells
    lost = tree.bit_depth - bits
    starts = tree.cubes(bits)
    ends = np.append(starts[1:], tree.n_colors)
    counts, sums, products = (np.empty((*rows, starts.size), dtype=np.int64) for rows in ((), (3,), (6,)))
    for cubes in (slice(first, first + _CUBES) for first in range(0, starts.size, _CUBES)):
        members = slice(int(starts[cubes][0]), int(ends[cubes][-1]))
        first, n, v, vv = starts[cubes] - members.start, *(part[..., members] for part in cells.moments)
        o = (tree.channels[:, members] & ((1 << lost) - 1)).astype(np.int64) << (_DEPTH - tree.bit_depth)
        moved = o[_ROWS] * (n * o[_COLUMNS] + v[_COLUMNS]) + o[_COLUMNS] * v[_ROWS] + vv
        counts[cubes] = np.add.reduceat(n, first)
        sums[:, cubes] = np.add.reduceat(n * o + v, first, axis=1)
        products[:, cubes] = np.add.reduceat(moved, first, axis=1)
    codes = tree.codes[starts] >> tree.codes.dtype.type(3 * lost)
    return ColorCells(ColorHistogram(codes, counts, bits), sums, products)


def _add_cells(cells: Sequence[ColorCells]) -> ColorCells:
    """Return the sum of cells whose cubes have one size."""
    if len(cells) == 1:
        return cells[0]
    codes, order, starts = merge([part.tree.codes for part in cells])
    counts, sums, products = (
        np.add.reduceat(np.concatenate(parts, axis=-1)[..., order], starts, axis=-1)
        for parts in zip(*(part.moments for part in cells), strict=True)
    )
    return ColorCells(ColorHistogram(codes, counts, cells[0].tree.bit_depth), sums, products)
