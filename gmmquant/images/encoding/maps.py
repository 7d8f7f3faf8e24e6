"""Maps of an image as PNGs: grey of 16 bits, or labels."""

from __future__ import annotations

import io
from typing import Any

import numpy as np
import numpy.typing as npt
from PIL import Image, PngImagePlugin

from gmmquant.images.encoding.signature import MARK
from gmmquant.images.maps import GreyMap

_WHITE = 65535


def encode_grey_map(grey: GreyMap) -> bytes:
    """Return a map as a grey PNG of 16 bits."""
    levels = np.rint((grey.values - grey.black) * (_WHITE / (grey.white - grey.black)))
    levels = np.clip(levels, 0, _WHITE).astype(np.uint16)
    said = f"{grey.unit}: 0 is {grey.black!r}, {_WHITE} is {grey.white!r}, linear between"
    return _encode(Image.fromarray(levels), said)


def encode_label_map(
    labels: npt.NDArray[Any], palette: npt.NDArray[np.uint8], visible: npt.NDArray[np.bool_] | None
) -> bytes:
    """Return the labels (height, width) of pixels as a PNG with the labels as values, K for invisible pixels.

    It is indexed, with the colours of `palette` (K, 3) and a transparent entry for K; grey of 16 bits if these are more
    than 256.
    """
    K = len(palette)
    values = labels.astype(np.uint16)
    hides = visible is not None and not visible.all()
    if visible is not None:
        values[~visible] = K
    said = f"labels from 0 to {K - 1}; {K} where nothing is visible"
    if K + hides > 256:
        return _encode(Image.fromarray(values), said)
    image = Image.fromarray(values.astype(np.uint8))
    if K == 256:
        image.putpalette(palette.tobytes())
        return _encode(image, said)
    image.putpalette(palette.tobytes() + bytes(3))
    return _encode(image, said, transparency=K)


def _encode(image: Image.Image, description: str, **options: Any) -> bytes:
    text = PngImagePlugin.PngInfo()
    text.add_text("Software", MARK)
    text.add_text("Description", description)
    buffer = io.BytesIO()
    image.save(buffer, "PNG", pnginfo=text, **options)
    return buffer.getvalue()
