"""What the dithering methods share: their pixels, the nearest labels that they start from, an order of colours.

The labels of a dithered image are chosen so that the mean colour of any small area is that of the original. There are
three methods: `error_diffusion` is the sharpest; `ordered` depends only on the colour and position of a pixel, so that
still areas of an animation do not flicker; `posterior` draws a component of the mixture for each pixel.

All return labels of shape (height, width) into a palette (K, 3), uint8, or uint16 if K > 256. `values` (n_colors, 3)
are the distinct colours, in the colour space of the palette, in which means are taken; `seen` converts from it to the
space in which the nearest colour is found. A `strength` outside 0 to 1 raises a ParameterError.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from gmmquant.errors import ParameterError
from gmmquant.images.pixels import label_type
from gmmquant.models.array_validation import FloatArray
from gmmquant.models.cells import Cells
from gmmquant.models.kmeans import center_scores
from gmmquant.models.sweep import most_probable

Labels = npt.NDArray[Any]


@dataclass(frozen=True, eq=False)
class Pixels:
    """The pixels to be dithered: the `index` (height, width) of the distinct colour of each.

    Where they are not `visible` (height, width), they are ignored and get label 0. Frames of `frame_height` pixels, one
    below the other, are dithered separately. `alpha` (height, width) is None if all visible pixels are opaque.
    """

    index: npt.NDArray[np.uint32]
    visible: npt.NDArray[np.bool_] | None = None
    frame_height: int | None = None
    alpha: npt.NDArray[np.uint8] | None = None

    def __post_init__(self) -> None:
        height = len(self.index)
        if self.frame_height is not None and (self.frame_height < 1 or height % self.frame_height):
            raise ParameterError(
                f"frame_height = {self.frame_height} does not divide the height {height}; use the height of one frame"
            )

    def frames(self, array: npt.NDArray[Any]) -> npt.NDArray[Any]:
        """Return a view of `array` (height, width) as (n_frames, frame height, width)."""
        height, width = array.shape
        return array.reshape(-1, self.frame_height or height, width)

    def shown(self, labels: Labels) -> Labels:
        """Set `labels` (height, width) to 0 where pixels are invisible, and return them."""
        if self.visible is not None:
            labels[~self.visible] = 0
        return labels


def check_strength(strength: float) -> float:
    """Return `strength`, which must be a number from 0 to 1."""
    if not 0 <= strength <= 1:
        raise ParameterError(f"strength = {strength} is not between 0 and 1; 0 turns dithering off, 1 dithers fully")
    return float(strength)


def nearest_labels(values: FloatArray, palette: FloatArray) -> Labels:
    """Return the label of the colour of `palette` (K, 3) that is nearest to each of `values` (n_colors, 3)."""
    origin = palette.mean(axis=0)
    labels = most_probable(center_scores(palette, origin), Cells.points(values, origin))
    return labels.astype(label_type(len(palette)))


def principal_axes(colors: FloatArray) -> FloatArray:
    """Return the principal axes (3, 3) of `colors` (n, 3), a row each, that of the largest variance first.

    The largest component of an axis is positive, so that the sign does not depend on the computation.
    """
    offsets = colors - colors.mean(axis=0)
    axes = np.linalg.eigh(np.einsum("ni,nj->ij", offsets, offsets))[1].T[::-1]
    largest = np.take_along_axis(axes, np.abs(axes).argmax(axis=1)[:, np.newaxis], axis=1)
    return np.where(largest < 0, -axes, axes)


def order_of_colors(palette: FloatArray) -> npt.NDArray[np.intp]:
    """Return the order of `palette` (K, 3) along its first principal axis: mostly from dark to light."""
    return np.argsort((palette - palette.mean(axis=0)) @ principal_axes(palette)[0], kind="stable")
