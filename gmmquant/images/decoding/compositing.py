"""Frames of a GIF or APNG composed into full images: each is drawn over a rectangle of the previous image.

Both formats have the same three disposal methods (GIF89a, CompuServe, 1990; PNG, third edition, W3C, 2025). An APNG may
also blend by alpha. The canvas starts fully transparent, as in browsers, whatever background colour a GIF states.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

from gmmquant.images.decoded import Animation

# The treatment of a frame's rectangle before the next frame is drawn.
Disposal = Literal["keep", "clear", "restore"]


@dataclass(frozen=True)
class FrameControl:
    """The rectangle of a frame on the canvas, its duration in milliseconds, its disposal, and whether alpha blends."""

    x: int
    y: int
    width: int
    height: int
    duration: float
    disposal: Disposal
    blend: bool = True


def animation_of(controls: Sequence[FrameControl], loop: int) -> Animation | None:
    """Return the timing of frames; None for a single frame."""
    return Animation(tuple(control.duration for control in controls), loop) if len(controls) > 1 else None


def composite(
    size: tuple[int, int], n_frames: int, frames: Iterable[tuple[FrameControl, npt.NDArray[Any]]]
) -> npt.NDArray[Any]:
    """Draw `n_frames` frames (h, w, 3 or 4) on a canvas of `size`; return the canvas after each frame.

    The result has shape (n_frames, height, width, 3 or 4); it is RGB if no pixel of any canvas is transparent.
    """
    width, height = size
    for n, (control, pixels) in enumerate(frames):
        if n == 0:
            canvas = np.zeros((height, width, 4), pixels.dtype)
            canvases = np.empty((n_frames, height, width, 4), pixels.dtype)
        region = canvas[control.y : control.y + control.height, control.x : control.x + control.width]
        previous = region.copy()
        if pixels.shape[2] == 3:
            region[..., :3] = pixels
            region[..., 3] = np.iinfo(pixels.dtype).max
        else:
            region[...] = _blend(region, pixels) if control.blend else pixels
        canvases[n] = canvas
        if control.disposal == "clear":
            region[...] = 0
        elif control.disposal == "restore":
            region[...] = previous
    return canvases if (canvases[..., 3] < np.iinfo(canvases.dtype).max).any() else canvases[..., :3]


def _blend(below: npt.NDArray[Any], above: npt.NDArray[Any]) -> npt.NDArray[Any]:
    """Blend RGBA pixels by the "over" operator of Porter and Duff (1984)."""
    top = int(np.iinfo(above.dtype).max)
    if not ((above[..., 3] > 0) & (above[..., 3] < top)).any():
        return np.where(above[..., 3:] > 0, above, below)
    alpha = above[..., 3:] / top
    rest = below[..., 3:] / top * (1 - alpha)
    total = alpha + rest
    mixed = above[..., :3] * alpha + below[..., :3] * rest
    colors = np.divide(mixed, total, out=np.zeros(mixed.shape), where=total > 0)
    blended = np.rint(np.concatenate([colors, total * top], axis=-1)).astype(above.dtype)
    return np.where(above[..., 3:] == top, above, blended)
