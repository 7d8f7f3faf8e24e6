"""A decoded array taken apart: colour and alpha, 8 or 16 bits."""

from typing import Any

import numpy as np
import numpy.typing as npt

from gmmquant.errors import ParameterError


def split_channels(image: npt.NDArray[Any]) -> tuple[npt.NDArray[Any], npt.NDArray[Any] | None]:
    """Split a grey (h, w), RGB (h, w, 3) or RGBA (h, w, 4) array into RGB (h, w, 3) and alpha (h, w) or None.

    Raises
    ------
    ParameterError
        If `image` has another shape, no pixel, or another type than uint8 or uint16.
    """
    image = np.asarray(image)
    image = image.astype(image.dtype.newbyteorder("="), copy=False)
    if image.dtype not in (np.uint8, np.uint16):
        raise ParameterError(
            f"image has type {image.dtype}; give uint8 or uint16, as in "
            "np.rint(image * 65535).astype(np.uint16) for floats in [0, 1]"
        )
    if image.ndim not in (2, 3) or (image.ndim == 3 and image.shape[2] not in (3, 4)):
        raise ParameterError(
            f"image has shape {image.shape}; give (height, width), (height, width, 3) or (height, width, 4)"
        )
    if image.size == 0:
        raise ParameterError(f"image has shape {image.shape}, which holds no pixel; give at least one")
    if image.ndim == 2:
        image = np.repeat(image[:, :, np.newaxis], 3, axis=2)
    return image[:, :, :3], image[:, :, 3] if image.shape[2] == 4 else None


def alpha_to_8_bits(alpha: npt.NDArray[Any]) -> npt.NDArray[np.uint8]:
    """Return a uint8 alpha as it is, a uint16 one rounded to 256 levels, of which 0 is kept for what is invisible."""
    if alpha.dtype == np.uint8:
        return alpha
    rounded = ((alpha.astype(np.uint32) + 128) // 257).astype(np.uint8)
    return np.maximum(rounded, alpha > 0)
