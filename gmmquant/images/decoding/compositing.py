"""Frames of an animation laid over one another: each a rectangle, drawn on what the frames before have left.

GIF89a (CompuServe, 1990) and the PNG specification (third edition) have the same three ways of disposal; an APNG may
also blend by alpha. The canvas starts fully transparent, as browsers have it, whatever background colour a GIF names.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from enum import Enum
from typing import Any

import numpy as np
import numpy.typing as npt


class Disposal(Enum):
    """What becomes of a frame's rectangle when its time is over."""

    KEEP = 0
    CLEAR = 1
    RESTORE = 2


@dataclass(frozen=True)
class FrameBox:
    """Where a frame is drawn, how long it is shown (in milliseconds), and what becomes of it."""

    x: int
    y: int
    width: int
    height: int
    duration: float
    disposal: Disposal
    blend: bool = True

    def fits(self, width: int, height: int) -> bool:
        """Tell whether the rectangle lies on a canvas and is not empty."""
        return 0 < self.width <= width - self.x and 0 < self.height <= height - self.y


def composed(
    size: tuple[int, int], n_frames: int, drawn: Iterable[tuple[FrameBox, npt.NDArray[Any]]]
) -> npt.NDArray[Any]:
    """Draw frames (h, w, 3 or 4), each at its place; return all canvases, (n_frames, height, width, 3 or 4).

    RGB where no pixel of any frame is transparent.
    """
    width, height = size
    canvases = np.empty((0, height, width, 4), np.uint8)
    for n, canvas in enumerate(_canvases(width, height, drawn)):
        if n == 0:
            canvases = np.empty((n_frames, height, width, 4), canvas.dtype)
        canvases[n] = canvas
    return canvases if (canvases[..., 3] < np.iinfo(canvases.dtype).max).any() else canvases[..., :3]


def _canvases(
    width: int, height: int, drawn: Iterable[tuple[FrameBox, npt.NDArray[Any]]]
) -> Iterator[npt.NDArray[Any]]:
    canvas: npt.NDArray[Any] | None = None
    for place, pixels in drawn:
        if canvas is None:
            canvas = np.zeros((height, width, 4), pixels.dtype)
        box = canvas[place.y : place.y + place.height, place.x : place.x + place.width]
        before = box.copy()
        if pixels.shape[2] == 3:
            box[..., :3] = pixels
            box[..., 3] = np.iinfo(pixels.dtype).max
        else:
            box[...] = over(box, pixels) if place.blend else pixels
        yield canvas
        if place.disposal is Disposal.CLEAR:
            box[...] = 0
        elif place.disposal is Disposal.RESTORE:
            box[...] = before


def over(below: npt.NDArray[Any], above: npt.NDArray[Any]) -> npt.NDArray[Any]:
    """Lay RGBA pixels over others of the same type, by the "over" operation of Porter and Duff (1984)."""
    top = int(np.iinfo(above.dtype).max)
    if not ((above[..., 3] > 0) & (above[..., 3] < top)).any():
        return np.where(above[..., 3:] > 0, above, below)
    alpha = above[..., 3:] / top
    under = below[..., 3:] / top * (1 - alpha)
    total = alpha + under
    mixed = above[..., :3] * alpha + below[..., :3] * under
    colors = np.divide(mixed, total, out=np.zeros(mixed.shape), where=total > 0)
    blended = np.rint(np.concatenate([colors, total * top], axis=-1)).astype(above.dtype)
    return np.where(above[..., 3:] == top, above, blended)
