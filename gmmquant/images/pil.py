"""Pillow's images as arrays of pixels, and recoloured images as Pillow's."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
from PIL import Image

from gmmquant.errors import ParameterError
from gmmquant.images.recolor import ColorImage, IndexedImage

PILImage = Image.Image

_GREY, _COLOR = {"1", "L"}, {"P", "RGB", "RGBX", "CMYK", "YCbCr", "LAB", "HSV"}
_WITH_ALPHA = {"LA", "La", "PA", "RGBA", "RGBa"}


def from_pil(image: Image.Image) -> npt.NDArray[Any]:
    """Return the pixels of a Pillow image as Pillow converts them: grey, RGB or RGBA, uint8 or (mode I;16) uint16.

    An entry or colour that `info["transparency"]` marks becomes alpha. Colour profiles and EXIF orientation are not
    applied; `read_image` does that.

    Raises
    ------
    ParameterError
        If the mode has no known range of values (I, F).
    """
    mode = image.mode
    if mode.startswith("I;16"):
        pixels = np.asarray(image)
        return pixels.astype(pixels.dtype.newbyteorder("="), copy=False)
    if mode not in _GREY | _COLOR | _WITH_ALPHA:
        raise ParameterError(
            f"a PIL image of mode {mode} has no known range; use image.convert('I;16') for grey values up to 65535 or "
            "image.convert('RGB') for values up to 255"
        )
    if mode == "La":  # Pillow converts it to LA only
        image = image.convert("LA")
    target = "RGBA" if image.has_transparency_data else "L" if mode in _GREY else "RGB"
    return np.asarray(image.convert(target))


def to_pil(image: IndexedImage | ColorImage) -> Image.Image:
    """Return a recoloured image for Pillow: mode P where it has at most 256 colours and no alpha, else RGB or RGBA."""
    if isinstance(image, IndexedImage) and image.alpha is None and len(image.palette) <= 256:
        indexed = Image.fromarray(image.labels.astype(np.uint8, copy=False))
        indexed.putpalette(image.palette.tobytes())
        return indexed
    return Image.fromarray(np.ascontiguousarray(image.pixels))
