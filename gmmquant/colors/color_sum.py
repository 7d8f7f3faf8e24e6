"""The sum of the colours of many images, of bounded size and the same in whatever order and groups it is made.

Histograms are added up by colour, and the sum is exactly the histogram of all the pixels, as long as that has no more
distinct colours than a limit. 8-bit colours never have, there being 2^24 of them. 16-bit ones beyond it are gathered in
cells: cubes with as many bits per channel as keep their number bounded, each with the number, the sums and the products
of its pixels' values, as integers. No rounding takes place, and neither the number of colours nor that of occupied
cubes ever falls by an addition. So what the sum of all is does not depend on what was summed first: any tree of partial
sums ends with the same bytes.

Cells carry their scatter (see `gmmquant.models.cells`), and a fit to them is one to a level that is not the finest. The
bits adapt since 16-bit images of low contrast have many colours in few cubes of 8 bits.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from gmmquant.colors.histogram import ColorHistogram, entropy_power, merge
from gmmquant.colors.spaces import SRGB, ColorSpace
from gmmquant.errors import ParameterError
from gmmquant.models.cells import Cells, upper_triangle

IntArray = npt.NDArray[np.int64]

# Distinct 16-bit colours that a sum keeps apart: 270 MB of them. Beyond, an eighth as many cells: 190 MB, and more by
# far than a fit iterates on. A cube has eight halves, so there are never fewer than a 64th.
MOST_COLORS = 1 << 24
_CELLS = 8

# Cubes of which the moments are made at a time.
_CUBES = 2048

_DEPTH = 16
_LARGEST = (1 << _DEPTH) - 1
_ROWS, _COLUMNS = upper_triangle(3)


@dataclass(frozen=True)
class ColorCells:
    """16-bit colours in cubes, with the moments of the pixels in each.

    Attributes
    ----------
    tree : ColorHistogram
        The cubes: Morton codes of as many bits a channel as its `bit_depth` says, with the numbers of pixels.
    sums : ndarray of int64, shape (3, n_cells)
        Sum of red, green and blue over the pixels of a cube, each less its lowest value in the cube.
    products : ndarray of int64, shape (6, n_cells)
        Sums of the products of the same: the upper triangle, row by row.
    """

    tree: ColorHistogram
    sums: IntArray
    products: IntArray

    @property
    def moments(self) -> tuple[IntArray, IntArray, IntArray]:
        """Number, sums and products of the pixels of each cube."""
        return self.tree.counts, self.sums, self.products

    @property
    def n_colors(self) -> None:
        """Number of distinct colours: it is not known."""

    @property
    def n_pixels(self) -> int:
        """Number of pixels counted."""
        return self.tree.n_pixels

    @property
    def bit_depth(self) -> int:
        """Bits a channel of the colours: 16."""
        return _DEPTH

    @property
    def largest(self) -> int:
        """The largest value of a channel: 65535."""
        return _LARGEST

    def cells(self, space: ColorSpace = SRGB) -> Cells:
        """Return the cubes as cells of `space`: what a mixture is fitted to.

        As with a histogram, the variance that each colour carries stands beside the cells in sRGB, and is in their
        scatter elsewhere. Mean and scatter in another space are those that `ColorSpace.carried` tells from them.
        """
        weights = self.tree.counts.astype(np.float64)
        within = self.sums / weights
        scatter = self.products / weights - within[_ROWS] * within[_COLUMNS]
        scatter[_ROWS == _COLUMNS] = np.maximum(scatter[_ROWS == _COLUMNS], 0.0)
        scatter /= _LARGEST**2
        corners = self.tree.channels.astype(np.float64) * (1 << (_DEPTH - self.tree.bit_depth))
        means = (corners + within) / _LARGEST
        if space is not SRGB:
            scatter[_ROWS == _COLUMNS] += entropy_power(_LARGEST)
            means, scatter = space.carried(means, scatter)
        origin = np.array([(channel * weights).sum() for channel in means]) / weights.sum()
        return Cells(weights, means - origin[:, np.newaxis], scatter, origin)

    def variance_in(self, space: ColorSpace) -> float:
        """Return the variance that each colour carries in each channel of `space` beside what its cell says."""
        return entropy_power(_LARGEST) if space is SRGB else 0.0


Colors = ColorHistogram | ColorCells


def add_up(parts: Sequence[Colors], limit: int = MOST_COLORS) -> Colors:
    """Return the sum of the colours of images, or of such sums, made with the same limit.

    If one has 16 bits, so has the sum: v of 8 bits becomes v * 257, which is the same colour.

    Parameters
    ----------
    parts : sequence of ColorHistogram and ColorCells
    limit : int
        Distinct 16-bit colours up to which the sum is exact, a `ColorHistogram`. With more, it is `ColorCells`, an
        eighth as many at most.

    Raises
    ------
    ParameterError
        If there are no parts, or more pixels in cells than 64-bit integers can hold the products of: 3.5e13 of 7 bits,
        the coarsest that the default limit leads to, and 1.4e14 of 8.
    """
    if not parts:
        raise ParameterError("no colours to add up; give those of at least one image")
    histograms = [part for part in parts if isinstance(part, ColorHistogram)]
    if len(histograms) == len(parts):
        first, *others = histograms
        whole = first.merged(*others) if others else first
        if whole.bit_depth < _DEPTH or whole.n_colors <= limit:
            return whole
        parts = [whole]
    most, n_pixels = max(limit // _CELLS, 1), sum(part.n_pixels for part in parts)
    cells = [_as_cells(part) if isinstance(part, ColorHistogram) else part for part in parts]
    bits = min(_finest(part.tree, most) for part in cells)
    merged = _merged([_coarser(part, bits) for part in cells])
    bits = _finest(merged.tree, most)
    _check_range(n_pixels, bits)  # the limit is higher for more bits
    return _coarser(merged, bits)


def _as_cells(histogram: ColorHistogram) -> ColorCells:
    """Return colours as cubes of 16 bits a channel, in which every value is the lowest."""
    n = histogram.n_colors
    return ColorCells(histogram.deepened(), *(np.broadcast_to(np.int64(0), (rows, n)) for rows in (3, 6)))


def _finest(tree: ColorHistogram, most: int) -> int:
    """Return the most bits a channel, below those of colours, at which no more than `most` cubes are occupied."""
    bits = min(tree.bit_depth, _DEPTH - 1)
    while tree.cubes(bits).size > most:
        bits -= 1
    return bits


def _check_range(n_pixels: int, bits: int) -> None:
    """Refuse more pixels than a sum of products of values in cubes of `bits` can hold in 64-bit integers."""
    most = np.iinfo(np.int64).max >> 2 * (_DEPTH - bits)
    if n_pixels > most:
        raise ParameterError(f"{n_pixels} pixels are too many to be added up; give at most {most}")


def _coarser(cells: ColorCells, bits: int) -> ColorCells:
    """Return `cells` in cubes of `bits` a channel, of which smaller cubes are parts.

    About the corner of the larger cube a value is the offset o of the smaller one's corner, plus the value v in that:
    the sums of o + v and of the products (o + v)(o' + v') over n pixels follow from n and the sums of v and v v'.
    """
    tree = cells.tree
    if bits == tree.bit_depth:
        return cells
    lost = tree.bit_depth - bits
    starts = tree.cubes(bits)
    ends = np.append(starts[1:], tree.n_colors)
    counts, sums, products = (np.empty((*rows, starts.size), dtype=np.int64) for rows in ((), (3,), (6,)))
    # Some thousand cubes at a time, so that what is summed stays in cache.
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


def _merged(cells: Sequence[ColorCells]) -> ColorCells:
    """Add up cells whose cubes have one size."""
    if len(cells) == 1:
        return cells[0]
    codes, order, starts = merge([part.tree.codes for part in cells])
    counts, sums, products = (
        np.add.reduceat(np.concatenate(parts, axis=-1)[..., order], starts, axis=-1)
        for parts in zip(*(part.moments for part in cells), strict=True)
    )
    return ColorCells(ColorHistogram(codes, counts, cells[0].tree.bit_depth), sums, products)
