"""The pictures of SVG and PDF sheets as small files that show hardly a loss.

PNG of true colour takes most of such a sheet: 13.5 MB of 120 pictures of photographs and their copies. Recoloured
images that were reduced have mixtures of few colours, so 256 of them show a picture closer than a JPEG and in fewer
bytes: 2.5 MB at 35 to 46 dB, against 4.0 MB at 33 to 39 dB. Photographs take a quarter as JPEG.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
from PIL import Image

from gmmquant.images.embedded import JPEG_QUALITY
from gmmquant.images.encoding.output_metadata import save_by_pillow
from gmmquant.images.recolor import IndexedImage, to_pil

_N_COLORS = 256

# Largest mean squared errors of 256 colours, summed over the channels: over all pixels 38 dB, and 35 dB over those that
# differ, as small details on a flat ground count for nothing among all. JPEGs of this quality have 33 to 39 dB.
_MAX_ERROR, _MAX_ERROR_OF_OTHERS = 3 * 255**2 / 10**3.8, 3 * 255**2 / 10**3.5

# Share of the rows of several colours that equal the row above from which on a picture is an enlarged one.
_REPEATED = 0.4


def picture_file(pixels: npt.NDArray[np.uint8]) -> tuple[str, bytes]:
    """Return RGB pixels (height, width, 3) as a small file, with its kind: "png" or "jpeg".

    A picture of at most 256 colours, or of enlarged pixels, keeps them exactly. One that 256 colours show well has
    these, frequent ones exactly. Any other is a JPEG in full colour resolution.
    """
    indexed, error, of_others = in_few_colors(pixels)
    is_close = error <= _MAX_ERROR and of_others <= _MAX_ERROR_OF_OTHERS
    drawn = pixels[(pixels != pixels[:, :1]).any(axis=(1, 2))]  # without rows of one colour, such as a border
    is_enlarged = len(drawn) > 1 and (drawn[1:] == drawn[:-1]).all(axis=(1, 2)).mean() >= _REPEATED
    if error == 0 or (is_close and not is_enlarged):
        return "png", save_by_pillow(to_pil(indexed), "PNG")
    if is_enlarged:
        return "png", save_by_pillow(Image.fromarray(pixels), "PNG")
    return "jpeg", save_by_pillow(Image.fromarray(pixels), "JPEG", quality=JPEG_QUALITY, subsampling=0)


def in_few_colors(pixels: npt.NDArray[np.uint8]) -> tuple[IndexedImage, float, float]:
    """Return a picture in at most 256 colours, and its mean squared errors: of all pixels, and of those that differ.

    Pillow's octree groups the colours. A group has the colour of most of its pixels, if at least half have it, so that
    flat areas keep theirs.
    """
    codes = pixels.astype(np.uint32) @ np.array([1 << 16, 1 << 8, 1], dtype=np.uint32)
    distinct = np.unique(codes)
    if len(distinct) <= _N_COLORS:
        return IndexedImage(np.searchsorted(distinct, codes).astype(np.uint8), _colors_of(distinct)), 0.0, 0.0
    image = Image.fromarray(pixels).quantize(_N_COLORS, method=Image.Quantize.FASTOCTREE, dither=Image.Dither.NONE)
    labels = np.asarray(image)
    palette = np.array(image.getpalette(), dtype=np.uint8).reshape(-1, 3)[: int(labels.max()) + 1]
    # Sorting group and colour as one number takes a tenth of the time of an argsort.
    found, counts = np.unique(labels.astype(np.uint32) << 24 | codes, return_counts=True)
    groups, colors = found >> 24, _colors_of(found)
    major = 2 * counts >= np.bincount(groups, counts)[groups]
    palette[groups[major]] = colors[major]
    errors = ((colors.astype(float) - palette[groups]) ** 2).sum(axis=1)
    total = float(errors @ counts)
    return IndexedImage(labels, palette), total / counts.sum(), total / max(counts[errors > 0].sum(), 1)


def _colors_of(codes: npt.NDArray[np.uint32]) -> npt.NDArray[np.uint8]:
    """Return the colours (n, 3) of numbers whose lowest 24 bits are red, green and blue."""
    return np.column_stack([codes >> 16 & 255, codes >> 8 & 255, codes & 255]).astype(np.uint8)
