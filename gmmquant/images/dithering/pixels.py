"""What the ways of dithering share: the pixels they take, the plain answer that they start from, an order of colours.

An image is dithered to a palette when its labels are not those of the nearest colours, but such that the colours of
any small part have the mean that the part of the image had. Three ways, each in a module of its own:
`error_diffusion` is the sharpest; `blue_noise` decides every pixel by its colour and place alone, so that what stands
still in an animation does not flicker; `posterior` draws the component of a mixture that a pixel belongs to.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from gmmquant.errors import ParameterError
from gmmquant.models.array_validation import FloatArray
from gmmquant.models.cells import Cells
from gmmquant.models.kmeans import center_scores
from gmmquant.models.sweep import most_probable

Labels = npt.NDArray[Any]


@dataclass(frozen=True)
class Pixels:
    """The pixels to be dithered, as numbers of distinct colours.

    Attributes
    ----------
    index : ndarray of uint32, shape (height, width)
        Which of the distinct colours each pixel has.
    visible : ndarray of bool, shape (height, width), or None
        Where the image can be seen, None for everywhere. Other pixels take no part and get label 0.
    frame_height : int or None
        Height of a frame, where the frames of an animation stand one below the other. Each is dithered as it would be
        by itself.
    """

    index: npt.NDArray[np.uint32]
    visible: npt.NDArray[np.bool_] | None = None
    frame_height: int | None = None

    def __post_init__(self) -> None:
        height = len(self.index)
        if self.frame_height is not None and (self.frame_height < 1 or height % self.frame_height):
            raise ParameterError(
                f"frame_height = {self.frame_height} does not divide the height {height}; give the height of one frame"
            )

    def frames(self, array: npt.NDArray[Any]) -> npt.NDArray[Any]:
        """Return a view of `array` (height, width) as (n_frames, frame height, width)."""
        height, width = array.shape
        return array.reshape(-1, self.frame_height or height, width)

    def shown(self, labels: Labels) -> Labels:
        """Return `labels` (height, width) with 0 where the image cannot be seen, in place."""
        if self.visible is not None:
            labels[~self.visible] = 0
        return labels


def check_strength(strength: float) -> float:
    """Return `strength`, which must be a number from 0 to 1."""
    if not 0 <= strength <= 1:
        raise ParameterError(f"strength = {strength} is outside 0 to 1; 0 does not dither, 1 does so in full")
    return float(strength)


def label_type(K: int) -> type[np.unsignedinteger[Any]]:
    """Return the type of the labels of a palette of `K` colours."""
    return np.uint8 if K <= 256 else np.uint16


def nearest_labels(values: FloatArray, palette: FloatArray) -> Labels:
    """Return the label of the colour of `palette` (K, 3) that is nearest to each of `values` (n_colors, 3)."""
    origin = palette.mean(axis=0)
    labels = most_probable(center_scores(palette, origin), Cells.points(values, origin))
    return labels.astype(label_type(len(palette)))


def principal_axes(colors: FloatArray) -> FloatArray:
    """Return the principal axes (3, 3) of `colors` (n, 3), a row each, that of the largest variance first.

    An axis points to where its largest component is positive, so that it does not depend on how it was computed.
    """
    offsets = colors - colors.mean(axis=0)
    axes = np.linalg.eigh(np.einsum("ni,nj->ij", offsets, offsets))[1].T[::-1]
    largest = np.take_along_axis(axes, np.abs(axes).argmax(axis=1)[:, np.newaxis], axis=1)
    return np.where(largest < 0, -axes, axes)


def order_of_colors(palette: FloatArray) -> npt.NDArray[np.intp]:
    """Return the order of `palette` (K, 3) along its first principal axis: mostly from dark to light."""
    return np.argsort((palette - palette.mean(axis=0)) @ principal_axes(palette)[0], kind="stable")
