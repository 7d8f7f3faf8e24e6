"""ColorGrid: the nearest colour of a palette, read off a table of small cubes.

Dithering asks at every pixel for the colour nearest to a place where none was asked for before: one look at a table
here. The cubes fill a box about the palette, along its principal axes: so turned, the palette of an image has a slim
box, and a million cubes are 150 to 250 along the longest axis. What lies outside is moved to the surface, so that
errors cannot grow without bound where no mixture of the palette reaches. A whole cube has the label of its centre:
where that is not the nearest colour, what is amiss is an error like any other, and dithering makes up for it.

To fill the table, bricks of 8 x 8 x 8 cubes are compared only with those colours of the palette that can be the nearest
somewhere in them: not further from the brick's centre than the nearest of all and the brick's diagonal together.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from gmmquant.images.dithering.pixels import Labels, label_type, principal_axes
from gmmquant.models.array_validation import FloatArray
from gmmquant.models.kmeans import center_scores
from gmmquant.models.sweep import largest_scores

Coordinates = npt.NDArray[np.float32]

# Cubes of a grid, at most; along an axis there may be as many as a byte can count.
_MAX_CUBES = 1 << 20
_MAX_LEVELS = 256

# Room about the palette on each side, in parts of its width. Where a colour of it stands in the midst of others, errors
# must grow beyond the palette before another is the nearest: amid the corners of a cube, flat colours missed their mean
# by up to a seventh of the edge without room. With as much as the palette is wide, errors gathered where no mixture
# reaches and showed as coarse dots.
_MARGIN = 0.3

# Cubes along an edge of a brick, and bricks compared with the palette at a time.
_BRICK = 8
_BRICKS = 256


@dataclass(frozen=True)
class ColorGrid:
    """A grid of cubes over a box about a palette, with the colour nearest to the centre of each.

    Attributes
    ----------
    axes : ndarray of shape (3, 3)
    origin : ndarray of shape (3,)
        Coordinates are axes @ color - origin: a rotation, and the scale that makes the edge of a cube 1. The first axis
        is the longest.
    box : ndarray of float32, shape (3, 1)
        The far corner of the box; the near one is 0.
    palette : ndarray of float32, shape (K, 3)
        The palette in coordinates.
    labels : ndarray of uint8 or uint16, shape (65536 * n,)
        The label of cube (a, b, c) stands at a + 256 b + 65536 c: its number, if its coordinates are the bytes.
    """

    axes: FloatArray
    origin: FloatArray
    box: Coordinates
    palette: Coordinates
    labels: Labels

    @classmethod
    def of(cls, palette: FloatArray) -> ColorGrid:
        """Make the grid of a `palette` (K, 3)."""
        rotation = principal_axes(palette)
        turned = _turned(rotation, palette)
        low, high = turned.min(axis=1), turned.max(axis=1)
        margin = _MARGIN * (high - low)
        low, extent = low - margin, high - low + 2 * margin
        order = np.argsort(-extent, kind="stable")
        edge = _edge(extent[order])
        axes, origin = rotation[order] / edge, low[order] / edge
        box = (extent[order, np.newaxis] / edge).astype(np.float32)
        own = _inside((_turned(axes, palette) - origin[:, np.newaxis]).astype(np.float32), box)
        labels = _nearest_to_cubes(own.T.astype(np.float64), box[:, 0].astype(np.intp) + 1)
        # A colour of the palette has its own label, whatever its cube's centre is nearest to; the first, of equals.
        labels[_numbers(own)[::-1]] = np.arange(len(palette))[::-1]
        return cls(axes, origin, box, np.ascontiguousarray(own.T), labels)

    def coordinates(self, colors: FloatArray) -> Coordinates:
        """Return the coordinates of `colors` (n, 3), an axis a row, shape (3, n)."""
        return (_turned(self.axes, colors) - self.origin[:, np.newaxis]).astype(np.float32)

    def inside(self, coordinates: Coordinates) -> Coordinates:
        """Move what is outside the box to its surface, in place."""
        return _inside(coordinates, self.box)

    def label(self, coordinates: Coordinates) -> Labels:
        """Return the labels at `coordinates` (3, n), all in the box, shape (n,)."""
        return self.labels.take(_numbers(coordinates))


def _turned(axes: FloatArray, colors: FloatArray) -> FloatArray:
    """Return axes @ colors^T, shape (3, n); by BLAS, the last digit of a colour would depend on how many there are."""
    return np.stack([colors[:, 0] * a + colors[:, 1] * b + colors[:, 2] * c for a, b, c in axes])


def _inside(coordinates: Coordinates, box: Coordinates) -> Coordinates:
    np.maximum(coordinates, np.float32(0), out=coordinates)
    return np.minimum(coordinates, box, out=coordinates)


def _numbers(coordinates: Coordinates) -> npt.NDArray[np.intp]:
    """Return the numbers of the cubes at `coordinates` (3, n), shape (n,)."""
    a, b, c = coordinates.astype(np.intp)
    return np.asarray(a + 256 * b + 65536 * c)


def _edge(extent: FloatArray) -> float:
    """Return the edge of the cubes for a box of `extent` (3,), the longest first.

    An axis shorter than the edge has one cube, so there are as many as the largest of three quotients: of the longest
    extent, of the two longest and of all, each by as many edges.
    """
    if extent[0] == 0:
        return 1.0
    parts = np.cumprod(extent / extent[0]) / _MAX_CUBES
    return float(extent[0] * max(1 / (_MAX_LEVELS - 1), *parts ** (1 / np.arange(1, 4))))


def _nearest_to_cubes(palette: FloatArray, levels: npt.NDArray[np.intp]) -> Labels:
    """Return the table of labels for a `palette` (K, 3) in coordinates, and `levels` (3,) cubes along the axes."""
    brick = np.minimum(levels, _BRICK)
    counts = -(-levels // brick)
    table = np.zeros((counts[2] * brick[2], _MAX_LEVELS, _MAX_LEVELS), dtype=label_type(len(palette)))
    cubes = np.indices(tuple(brick)).reshape(3, -1)
    features = np.concatenate([np.ones((1, cubes.shape[1])), cubes - (brick[:, np.newaxis] - 1) / 2])
    corners = np.indices(tuple(counts)).reshape(3, -1).T * brick
    for (a, b, c), center, near in _near_bricks(palette, corners, brick):
        _, first = largest_scores(center_scores(palette[near], center) @ features)
        # The last brick along an axis may reach beyond the table.
        part = table[c : c + brick[2], b : b + brick[1], a : a + brick[0]].T
        part[:] = near[first].reshape(brick)[: part.shape[0], : part.shape[1], : part.shape[2]]
    return table.reshape(-1)


def _near_bricks(
    palette: FloatArray, corners: npt.NDArray[np.intp], brick: npt.NDArray[np.intp]
) -> Iterator[tuple[npt.NDArray[np.intp], FloatArray, npt.NDArray[np.intp]]]:
    """Yield the corner and the centre of each brick, and the labels that can be nearest to a cube's centre in it."""
    reach = float(np.sqrt(((brick - 1) ** 2).sum())) + 1e-6
    for start in range(0, len(corners), _BRICKS):
        some = corners[start : start + _BRICKS]
        centers = some + brick / 2
        squares = np.zeros((len(some), len(palette)))
        for axis in range(3):
            squares += (centers[:, axis, np.newaxis] - palette[:, axis]) ** 2
        distances = np.sqrt(squares, out=squares)
        near = distances <= distances.min(axis=1, keepdims=True) + reach
        for corner, center, candidates in zip(some, centers, near, strict=True):
            yield corner, center, np.flatnonzero(candidates)
