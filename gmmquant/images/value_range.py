"""16-bit values of which only the lowest bits are used, as a camera or a microscope stores them: the image is dark."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import numpy.typing as npt

# Bits of data that are stored in 16 without being scaled.
_DEPTHS = (8, 10, 12, 14)

# Fewer pixels tell too little about the range of their values.
_LEAST_PIXELS = 256

# Formats whose files of 16 bits often have such data, and do not state it.
WITHOUT_RANGE = ("PNG", "TIFF", "PNM")

FILE_REMEDY = (
    "scale it in Python: pixels = read_image(file).pixels; pixels[..., :3] *= {factor}; quantize(pixels, 16).save(out)"
)
ARRAY_REMEDY, ALPHA_REMEDY = "pass image * {factor}", "set image[..., :3] *= {factor} first"
PILLOW_REMEDY = "pass np.asarray(image) * {factor}"


def note_on_range(pixels: npt.NDArray[Any], remedy: str) -> str:
    """Return a note on uint16 `pixels` (height, width) or (height, width, channels) that are dark; else "".

    Their largest value, without alpha, is above 0 and has at most 14 bits, a quarter of the range. Images of very few
    pixels have no note. `remedy` has the field {factor}, which the values may be multiplied by.
    """
    if pixels.dtype.newbyteorder("=") != np.uint16 or math.prod(pixels.shape[:2]) < _LEAST_PIXELS:
        return ""
    has_alpha = pixels.ndim == 3 and pixels.shape[2] == 4
    largest = int((pixels[..., :3] if has_alpha else pixels).max())
    bits = next((bits for bits in _DEPTHS if largest < 1 << bits), None)
    if bits is None or largest == 0:
        return ""
    return (
        f"the largest value is {largest} of 65535, as in {bits}-bit data, so the image is dark; "
        f"{remedy.format(factor=1 << (16 - bits))}"
    )
