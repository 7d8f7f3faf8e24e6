"""Images inside a page: encoded, reduced if they are large, and written as data URLs (RFC 2397)."""

from __future__ import annotations

from base64 import b64encode
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
from PIL import Image

from gmmquant.images.encoding.encode import encode_image
from gmmquant.images.encoding.output_metadata import save_by_pillow
from gmmquant.images.recolor import ColorImage, IndexedImage
from gmmquant.images.reduced import reduced

# Pixels up to which true colour is stored without loss: at most 200 kB, and each pixel of an icon can be looked at.
_SMALL_PIXELS = 1 << 16

# In full colour resolution: 1 byte a pixel on noisy photographs, where quality 95 takes 1.6.
JPEG_QUALITY = 90

# Entries up to which an indexed PNG is smaller than a lossless WebP at this speed.
_MAX_ENTRIES = 256

# Of a thumbnail of 80 x 53 pixels: 0.9 kB. A JPEG has 0.6 kB of tables alone.
_THUMBNAIL_QUALITY, _THUMBNAIL_METHOD = 48, 4


class EmbeddedImage(NamedTuple):
    """An image as a data URL, its size in pixels, and whether it has the pixels of the image that it shows."""

    url: str
    width: int
    height: int
    is_reduced: bool
    is_lossless: bool


def embed(image: IndexedImage | ColorImage, max_pixels: int, *, lossless: bool = False) -> EmbeddedImage:
    """Return an sRGB image for a page, reduced to at most `max_pixels` pixels: see `gmmquant.images.reduced`.

    An indexed image keeps its palette exactly. True colour becomes a JPEG, unless it is small, has alpha, or is to be
    `lossless`.
    """
    shown = reduced(image, max_pixels)
    height, width = shown.labels.shape if isinstance(shown, IndexedImage) else shown.colors.shape[:2]
    is_reduced = width * height < (image.labels.size if isinstance(image, IndexedImage) else image.colors.size // 3)
    exact = lossless or shown.alpha is not None or width * height <= _SMALL_PIXELS
    if isinstance(shown, ColorImage) and not exact:
        jpeg = save_by_pillow(Image.fromarray(shown.colors), "JPEG", quality=JPEG_QUALITY, subsampling=0)
        return EmbeddedImage(data_url(jpeg, "jpeg"), width, height, is_reduced, is_lossless=False)
    name = "png" if isinstance(shown, IndexedImage) and len(shown.palette) <= _MAX_ENTRIES else "webp"
    return EmbeddedImage(data_url(encode_image(shown, name), name), width, height, is_reduced, is_lossless=True)


def embed_thumbnail(pixels: npt.NDArray[np.uint8], side: int) -> EmbeddedImage:
    """Return RGB or RGBA pixels (height, width, 3 or 4) as a WebP of few bytes, within a square of `side` pixels."""
    height, width = pixels.shape[:2]
    image = ColorImage.from_pixels(pixels)
    factor = min(1.0, side / max(height, width))
    small = reduced(image, max(1, round(height * factor) * round(width * factor))).pixels
    small = small[:side, :side]  # an image of one row or column may still be longer
    data = save_by_pillow(
        Image.fromarray(np.ascontiguousarray(small)), "WEBP", quality=_THUMBNAIL_QUALITY, method=_THUMBNAIL_METHOD
    )
    return EmbeddedImage(data_url(data, "webp"), small.shape[1], small.shape[0], is_reduced=True, is_lossless=False)


def data_url(data: bytes, kind: str) -> str:
    """Return a file of an image format (a media type without `image/`) as a data URL."""
    return f"data:image/{kind};base64,{b64encode(data).decode('ascii')}"
