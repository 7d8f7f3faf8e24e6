"""Images made smaller to be shown on a page, and thumbnails."""

from __future__ import annotations

import math
from typing import Any, overload

import numpy as np
import numpy.typing as npt

from gmmquant.images.recolor import ColorImage, IndexedImage
from gmmquant.images.scaling import resized


def reduced_shape(height: int, width: int, max_pixels: int) -> tuple[int, int]:
    """Return the height and the width of an image of the same aspect, at least 1, with at most `max_pixels` pixels."""
    if height * width <= max_pixels:
        return height, width
    factor = math.sqrt(max_pixels / (height * width))
    short, long = sorted((height, width))
    short = max(1, math.floor(short * factor))
    long = min(max(1, math.floor(long * factor)), max(1, max_pixels // short))
    return (short, long) if height <= width else (long, short)


@overload
def reduced(image: IndexedImage, max_pixels: int) -> IndexedImage: ...


@overload
def reduced(image: ColorImage, max_pixels: int) -> ColorImage: ...


def reduced(image: IndexedImage | ColorImage, max_pixels: int) -> IndexedImage | ColorImage:
    """Return an image of at most `max_pixels` pixels, for display.

    A larger indexed image keeps its palette: each pixel has the label at its centre. Other colours are means over the
    area of a pixel, of linear light weighted by alpha. The colours of fully transparent pixels, which are not visible,
    are not kept.
    """
    if isinstance(image, IndexedImage):
        height, width = reduced_shape(image.labels.shape[0], image.labels.shape[1], max_pixels)
        labels = nearest(image.labels, height, width)
        return IndexedImage(labels, image.palette, None if image.alpha is None else nearest(image.alpha, height, width))
    height, width = reduced_shape(image.colors.shape[0], image.colors.shape[1], max_pixels)
    return ColorImage.from_pixels(resized(image.pixels, width, height))


def first_frame(image: IndexedImage | ColorImage, height: int) -> IndexedImage | ColorImage:
    """Return the upper `height` rows of an image, which are the first frame of an animation, for display."""
    alpha = None if image.alpha is None else image.alpha[:height]
    if isinstance(image, IndexedImage):
        return IndexedImage(image.labels[:height], image.palette, alpha)
    return ColorImage(image.colors[:height], alpha)


def nearest(values: npt.NDArray[Any], height: int, width: int) -> npt.NDArray[Any]:
    """Return an array (h, w, ...) as (height, width, ...), each value that at the centre of the new pixel."""
    if values.shape[:2] == (height, width):
        return values
    rows, columns = (
        ((2 * np.arange(new) + 1) * old // (2 * new)) for old, new in zip(values.shape, (height, width), strict=False)
    )
    found: npt.NDArray[Any] = values[rows[:, np.newaxis], columns]
    return found
