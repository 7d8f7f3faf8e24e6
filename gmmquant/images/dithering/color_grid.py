"""ColorGrid: the nearest colour of a palette, read off a table of small cubes.

Dithering needs the nearest colour to a new point at every pixel: here, one look-up. The cubes fill a box around the
palette along its principal axes, where the palette of an image is slim: a million cubes are 150 to 250 along the
longest axis. Points outside are moved to the surface, so that errors stay bounded where no mixture of the palette
reaches. A cube has the label of its centre; where that is not the nearest colour, dithering corrects the error like any
other.

To fill the table, bricks of 8 x 8 x 8 cubes are compared only with palette colours that can be the nearest somewhere
in them: those within the distance of the nearest one plus the diameter of the brick from its centre. Distances are
Euclidean in the space of the colours or in another one: see `gmmquant.images.dithering.mixing`.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from gmmquant.images.dithering.mixing import Conversion, same
from gmmquant.images.dithering.pixels import Labels, principal_axes
from gmmquant.images.pixels import label_type
from gmmquant.models.array_validation import FloatArray
from gmmquant.models.kmeans import center_scores
from gmmquant.models.sweep import largest_scores

Coordinates = npt.NDArray[np.float32]

# Limits on the cubes of a grid, and on those along an axis, whose numbers are bytes.
_MAX_CUBES = 1 << 20
_MAX_CUBES_PER_AXIS = 256

# Margin around the palette on each side, as a share of its width. Around a colour amid others, errors must grow beyond
# the palette before another is the nearest: amid the corners of a cube, flat colours missed their mean by up to a
# seventh of the edge without margin. With a margin of 1, errors accumulated where no mixture reaches and showed as
# coarse dots.
_MARGIN = 0.3

# Distances may be rounded by less than this factor.
_ROUNDING = 1 + 1e-6

_BRICK_EDGE_CUBES = 8
_CHUNK_BRICKS = 32


@dataclass(frozen=True, eq=False)
class ColorGrid:
    """A grid of cubes over a box about a palette, with the colour nearest to the centre of each.

    Coordinates are axes @ color - origin, rotated and scaled to cubes of edge 1. The first axis is the longest.
    """

    axes: FloatArray  # (3, 3)
    origin: FloatArray  # (3,)
    box: Coordinates  # (3, 1), the far corner of the box; the near one is 0
    palette: Coordinates  # (K, 3), in coordinates
    labels: Labels  # (65536 * n,), that of cube (a, b, c) at index a + 256 b + 65536 c

    @classmethod
    def of(cls, palette: FloatArray, seen: Conversion = same) -> ColorGrid:
        """Make the grid of a `palette` (K, 3), where colours `seen(palette)` have distances as the eye sees them."""
        rotation = principal_axes(palette)
        turned = _turned(rotation, palette)
        low, high = turned.min(axis=1), turned.max(axis=1)
        margin = _MARGIN * (high - low)
        low, extent = low - margin, high - low + 2 * margin
        order = np.argsort(-extent, kind="stable")
        edge = _edge(extent[order])
        axes, origin = rotation[order] / edge, low[order] / edge
        box = (extent[order, np.newaxis] / edge).astype(np.float32)
        colors = _inside((_turned(axes, palette) - origin[:, np.newaxis]).astype(np.float32), box)
        colors_of = np.asarray(np.linalg.inv(axes), dtype=np.float64)

        def seen_at(coordinates: FloatArray) -> FloatArray:
            return seen(_turned(colors_of, (coordinates + origin[:, np.newaxis]).T).T).T

        levels = box[:, 0].astype(np.intp) + 1
        if seen is same:
            labels = _nearest_to_cubes(colors.astype(np.float64), levels, same)
        else:
            labels = _nearest_to_cubes(seen(palette).T, levels, seen_at)
        # The cube of a palette colour has its label, whatever is nearest to the centre; of equal colours, the first.
        labels[_numbers(colors)[::-1]] = np.arange(len(palette))[::-1]
        return cls(axes, origin, box, np.ascontiguousarray(colors.T), labels)

    def coordinates(self, colors: FloatArray) -> Coordinates:
        """Return the coordinates of `colors` (n, 3), an axis a row, shape (3, n)."""
        return (_turned(self.axes, colors) - self.origin[:, np.newaxis]).astype(np.float32)

    def inside(self, coordinates: Coordinates) -> Coordinates:
        """Move points outside the box to its surface, and return the array, which is changed."""
        return _inside(coordinates, self.box)

    def label(self, coordinates: Coordinates) -> Labels:
        """Return the labels at `coordinates` (3, n), all in the box, shape (n,)."""
        return self.labels.take(_numbers(coordinates))


def _turned(axes: FloatArray, colors: FloatArray) -> FloatArray:
    """Return axes @ colors^T, shape (3, n); with BLAS, the last digits would depend on the number of colours."""
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

    An axis shorter than the edge has one cube, so the number of cubes is the largest of three quotients: of the
    longest extent, of the two longest and of all three by the edge to this power.
    """
    if extent[0] == 0:
        return 1.0
    parts = np.cumprod(extent / extent[0]) / _MAX_CUBES
    return float(extent[0] * max(1 / (_MAX_CUBES_PER_AXIS - 1), *parts ** (1 / np.arange(1, 4))))


def _nearest_to_cubes(palette: FloatArray, levels: npt.NDArray[np.intp], seen_at: Conversion) -> Labels:
    """Return the table of labels of `levels` (3,) cubes along the axes.

    `palette` (3, K) and `seen_at(coordinates)`, (3, n) to (3, n), are colours of the space in which distances are.
    """
    brick = np.minimum(levels, _BRICK_EDGE_CUBES)
    counts = -(-levels // brick)
    table = np.zeros((counts[2] * brick[2], _MAX_CUBES_PER_AXIS, _MAX_CUBES_PER_AXIS), dtype=label_type(len(palette.T)))
    cubes = np.indices(tuple(brick)).reshape(3, 1, -1) + 0.5
    corners = np.indices(tuple(counts)).reshape(3, -1) * brick[:, np.newaxis]
    for start in range(0, corners.shape[1], _CHUNK_BRICKS):
        some = corners[:, start : start + _CHUNK_BRICKS]
        points = some[..., np.newaxis] + cubes
        points = seen_at(points.reshape(3, -1)).reshape(points.shape)
        centers = points.mean(axis=2)
        features = np.ones((len(some.T), 4, cubes.shape[2]))
        offsets = np.subtract(points, centers[..., np.newaxis], out=features[:, 1:].swapaxes(0, 1))
        diameters = 2 * np.sqrt(np.einsum("abi,abi->bi", offsets, offsets).max(axis=1))
        distances = np.sqrt(
            sum((center[:, np.newaxis] - axis) ** 2 for center, axis in zip(centers, palette, strict=True))
        )
        can_be_nearest = distances <= (distances.min(axis=1) * _ROUNDING + diameters)[:, np.newaxis]
        for (a, b, c), center, candidates, of_brick in zip(some.T, centers.T, can_be_nearest, features, strict=True):
            near = np.flatnonzero(candidates)
            _, first = largest_scores(center_scores(palette.T[near], center) @ of_brick)
            # The last brick along an axis may reach beyond the table.
            part = table[c : c + brick[2], b : b + brick[1], a : a + brick[0]].T
            part[:] = near[first].reshape(brick)[: part.shape[0], : part.shape[1], : part.shape[2]]
    return table.reshape(-1)
