"""The frames of an animation as files store them: the first in full, then the boxes that change."""

from __future__ import annotations

import math
from itertools import pairwise
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from gmmquant.errors import ParameterError
from gmmquant.images.decoded import Animation


class Box(NamedTuple):
    """A part of a frame: its first column and row, its width and height."""

    x: int
    y: int
    width: int
    height: int

    def of(self, frame: npt.NDArray[Any]) -> npt.NDArray[Any]:
        """Return this box of `frame` (height, width, ...)."""
        return frame[self.y : self.y + self.height, self.x : self.x + self.width]


def frames_of(stacked: npt.NDArray[Any], animation: Animation | None) -> npt.NDArray[Any]:
    """Return the frames (n, height, width, ...) of an array in which they stand one below the other."""
    n = 1 if animation is None else animation.n_frames
    if n < 1 or len(stacked) % n:
        raise ParameterError(f"{len(stacked)} rows are not {n} frames of equal height; pass one duration per frame")
    return stacked.reshape(n, len(stacked) // n, *stacked.shape[1:])


def changed_boxes(frames: npt.NDArray[Any], *, multiple: int = 1) -> list[Box]:
    """Return the box of each frame that differs from the previous one, of one pixel if nothing changes.

    The first column and row of a box are multiples of `multiple`.
    """
    import cv2  # for animations only

    height, width = frames.shape[1:3]
    boxes = [Box(0, 0, width, height)]
    for before, now in pairwise(frames):
        differs = before != now
        x, y, width, height = cv2.boundingRect((differs.any(axis=2) if differs.ndim == 3 else differs).view(np.uint8))
        left, top = x // multiple * multiple, y // multiple * multiple
        boxes.append(Box(left, top, max(x + width - left, 1), max(y + height - top, 1)))
    return boxes


def milliseconds(animation: Animation) -> list[float]:
    """Return the durations, with 0 for those that are negative or not finite."""
    return [duration if math.isfinite(duration) and duration > 0 else 0.0 for duration in animation.durations]
