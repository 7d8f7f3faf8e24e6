"""Small PNGs of images for notebooks."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from gmmquant.images.recolor import ColorImage, IndexedImage

# Larger images are reduced, as a notebook holds every image that it shows.
_MAX_WIDTH, _MAX_HEIGHT = 800, 600


def preview_png(image: IndexedImage | ColorImage) -> bytes:
    """Return an image as a PNG of at most 800 x 600 pixels: as it is, or reduced by the mean of the area."""
    from gmmquant.images.contact_sheet.scaling import panel_size
    from gmmquant.images.encoding.encode import encode_image
    from gmmquant.images.scaling import resized

    height, width = (image.labels if isinstance(image, IndexedImage) else image.colors).shape[:2]
    if width > _MAX_WIDTH or height > _MAX_HEIGHT:
        small = resized(image.pixels, *panel_size(width, height, _MAX_WIDTH, _MAX_HEIGHT))
        image = ColorImage(np.ascontiguousarray(small[..., :3]), small[..., 3] if small.shape[2] == 4 else None)
    return encode_image(image, "png")


def preview_of_pixels(pixels: npt.NDArray[Any]) -> bytes:
    """Return pixels (height, width[, channels]), uint8 or uint16, as a PNG of 8 bits: see `preview_png`."""
    from gmmquant.images.pixels import alpha_to_8_bits, in_8_bits, split_channels

    colors, alpha = split_channels(pixels)
    return preview_png(
        ColorImage(np.ascontiguousarray(in_8_bits(colors)), None if alpha is None else alpha_to_8_bits(alpha))
    )
