"""A drawing as an array, and as PNG and WebP."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from gmmquant.images.contact_sheet.drawing import Drawing, Picture, Rectangle
from gmmquant.images.contact_sheet.fonts import RasterFont
from gmmquant.images.encoding.encode import encode_image
from gmmquant.images.recolor import ColorImage


def rasterize(drawing: Drawing, font: RasterFont) -> npt.NDArray[np.uint8]:
    """Return a drawing as RGB (height, width, 3)."""
    canvas = np.full((drawing.height, drawing.width, 3), 255, dtype=np.uint8)
    for item in drawing.items:
        if isinstance(item, Rectangle):
            color = list(bytes.fromhex(item.fill[1:]))
            canvas[max(item.y, 0) : item.y + item.height, max(item.x, 0) : item.x + item.width] = color
        elif isinstance(item, Picture):
            height, width = item.pixels.shape[:2]
            canvas[item.y : item.y + height, item.x : item.x + width] = item.pixels
        else:
            font.draw(canvas, item.x, item.y, item.text, item.size, item.color, bold=item.bold)
    return canvas


def encode_raster(drawing: Drawing, font: RasterFont, format: str) -> bytes:  # noqa: A002
    """Return a drawing as a lossless file of the format "png" or "webp", with the mark of gmmquant's outputs."""
    return encode_image(ColorImage(rasterize(drawing, font)), format)
