"""Images at another size, each pixel the mean of the light in its area."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import numpy.typing as npt

from gmmquant.colors.spaces import linear_to_srgb, srgb_to_linear
from gmmquant.images.pixels import check_image
from gmmquant.parsing import resized_size
from gmmquant.settings import MAX_PIXELS

_CHUNK_PIXELS = 1 << 20  # that are resized at a time: 16 MB of floats


def resized_frames(
    pixels: npt.NDArray[Any], n_frames: int, resize: str | None, max_pixels: int = MAX_PIXELS
) -> npt.NDArray[Any]:
    """Return an image of `n_frames`, one below the other, whose frames have the size that `resize` asks for.

    It is grey (h, w) or (h, w, 1), RGB or RGBA, uint8 or uint16; any other array is refused by a
    ParameterError if it is to be resized. An `ImageError` is raised for more than `max_pixels`.
    """
    if resize is None:
        return pixels
    check_image(pixels)
    height, width = len(pixels) // n_frames, pixels.shape[1]
    size = resized_size(resize, width, height)
    if size == (width, height):
        return pixels
    from gmmquant.images.decoding.reader import check_size

    check_size(size[0], size[1], max_pixels, n_frames)
    frames = pixels.reshape(n_frames, height, width, -1)
    scaled = np.concatenate([resized(frame, *size) for frame in frames])
    return scaled[..., 0] if pixels.ndim == 2 else scaled


def resized(pixels: npt.NDArray[Any], width: int, height: int) -> npt.NDArray[Any]:
    """Return an image (h, w, 1, 3 or 4), sRGB, uint8 or uint16, as (height, width, 1, 3 or 4) of the same type.

    Colours are averaged in linear light, in which dithered pixels mix as they do for the eye, and weigh their alpha.
    A larger image is interpolated linearly.
    """
    if (height, width) == pixels.shape[:2]:
        return pixels
    dtype = np.uint16 if pixels.dtype == np.uint16 else np.uint8
    mean = _area_mean(pixels, width, height)
    if pixels.shape[2] < 4:
        return srgb_of(mean, dtype)
    alpha = mean[..., 3:]
    colors = mean[..., :3] / np.where(alpha > 0, alpha, 1)
    return np.dstack([srgb_of(colors, dtype), _as_integers(alpha, dtype)])


def srgb_of(linear: npt.NDArray[Any], dtype: npt.DTypeLike = np.uint8) -> npt.NDArray[Any]:
    """Return linear light in [0, 1], of shape (height, width, channels), as sRGB of an integer type."""
    # Some rows after the others: new memory may take longer than the conversion.
    step = max(_CHUNK_PIXELS // 16 // max(linear.shape[1], 1), 1)
    parts = [linear[start : start + step] for start in range(0, len(linear), step)]
    return np.concatenate([_as_integers(linear_to_srgb(part.astype(np.float64)), dtype) for part in parts])


def _as_integers(values: npt.NDArray[Any], dtype: npt.DTypeLike) -> npt.NDArray[Any]:
    integers: npt.NDArray[Any] = np.rint(np.clip(values, 0, 1) * np.iinfo(np.dtype(dtype)).max).astype(dtype)
    return integers


def _area_mean(pixels: npt.NDArray[Any], width: int, height: int) -> npt.NDArray[Any]:
    """Return the mean of the area of each new pixel, (height, width, 1, 3 or 4): linear light, times alpha, and alpha.

    A chunk of rows after the other, so that a large image needs no copy in floats.
    """
    import cv2

    h, w, n_channels = pixels.shape
    largest = 65535 if pixels.dtype == np.uint16 else 255
    linear = srgb_to_linear(np.arange(largest + 1) / largest).astype(np.float32)
    mean = np.zeros((height, width, n_channels), dtype=np.float32)
    bounds = np.arange(height + 1) * (h / height)
    step = max(_CHUNK_PIXELS // w, 1)
    for start in range(0, h, step):
        stop = min(start + step, h)
        colors = pixels[start:stop, :, :3]
        if pixels.dtype == np.uint8:  # a tenth of the time of an index
            chunk: npt.NDArray[Any] = cv2.LUT(np.ascontiguousarray(colors), linear).reshape(colors.shape)
        else:
            chunk = linear.take(colors, mode="clip")
        if n_channels == 4:
            alpha = pixels[start:stop, :, 3:].astype(np.float32) / largest
            chunk = np.concatenate([chunk * alpha, alpha], axis=2)
        if w != width:
            chunk = cv2.resize(chunk, (width, stop - start), interpolation=cv2.INTER_AREA)
            chunk = chunk.reshape(stop - start, width, n_channels)
        first, last = int(start * height // h), min(math.ceil(stop * height / h), height)
        rows = np.arange(start, stop)
        # The part of each row of the image that lies in each new row.
        lower = np.maximum(rows, bounds[first:last, np.newaxis])
        upper = np.minimum(rows + 1, bounds[first + 1 : last + 1, np.newaxis])
        share = (np.clip(upper - lower, 0, None) * (height / h)).astype(np.float32)
        mean[first:last] += np.tensordot(share, chunk, axes=1)
    return mean
