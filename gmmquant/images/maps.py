"""Maps of an image as PNGs: of each pixel, how uncertain its component is, how well the mixture fits it, its label.

The entropy of a pixel's responsibilities is 0 bits for a single component, 1 bit for two of equal shares, and log2 K at
most. Its log-density is low where no component fits: rare colours, specks, edges.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
from PIL import Image, PngImagePlugin

from gmmquant.images.encoding.output_metadata import MARK, save_by_pillow

_WHITE = 65535


@dataclass(frozen=True, eq=False, repr=False)
class GreyMap:
    """Values (height, width) in a `unit`, drawn linearly from the value `black` to the value `white`.

    The value of a fully transparent pixel is NaN, so `np.nanmean` is the mean of the visible ones. It is drawn black.
    """

    values: npt.NDArray[np.float64]
    unit: str
    black: float
    white: float

    @classmethod
    def of_entropy(cls, entropy: npt.NDArray[np.float64], n_components: int) -> GreyMap:
        """Return a map of the entropy (height, width) of responsibilities, in bits; white is the maximum log2 K."""
        return cls(entropy, "bits", 0.0, math.log2(max(n_components, 2)))

    @classmethod
    def of_log_density(cls, log_density: npt.NDArray[np.float64], visible: npt.NDArray[np.bool_] | None) -> GreyMap:
        """Return a map of log-densities (height, width), in nats, from the lowest, black, to the highest, white."""
        seen = log_density if visible is None else log_density[visible]
        low, high = (float(seen.min()), float(seen.max())) if seen.size else (0.0, 0.0)
        values = log_density if visible is None else np.where(visible, log_density, np.nan)
        return cls(values, "nats", low, high if high > low else low + 1.0)

    @property
    def levels(self) -> npt.NDArray[np.uint8]:
        """The map in levels of 8 bits, (height, width)."""
        return self._scaled(255).astype(np.uint8)

    def levels_of_16_bits(self) -> npt.NDArray[np.uint16]:
        """Return the map in levels of 16 bits, (height, width)."""
        return self._scaled(_WHITE).astype(np.uint16)

    def _scaled(self, top: int) -> npt.NDArray[np.float64]:
        values = np.where(np.isnan(self.values), self.black, self.values)
        return np.rint(np.clip((values - self.black) * (top / (self.white - self.black)), 0, top))

    def __repr__(self) -> str:
        """Return the size, the unit and the range in one line."""
        height, width = self.values.shape
        return f"<GreyMap {width} x {height}, {self.black:.4g} to {self.white:.4g} {self.unit}>"

    def _repr_png_(self) -> bytes:
        """Return the map as notebooks show it: a small grey PNG of 8 bits."""
        from gmmquant.images.preview import preview_of_pixels

        return preview_of_pixels(self.levels)


def encode_grey_map(grey: GreyMap) -> bytes:
    """Return a map as a grey PNG of 16 bits."""
    scale = f"{grey.unit}: 0 is {grey.black!r}, {_WHITE} is {grey.white!r}, linear between"
    if np.isnan(grey.values).any():
        scale += "; 0 where nothing is visible"
    return _encode(Image.fromarray(grey.levels_of_16_bits()), scale)


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
    meaning = f"labels from 0 to {K - 1}; {K} where nothing is visible" if K else "0: nothing is visible"
    if K + hides > 256:
        return _encode(Image.fromarray(values), meaning)
    image = Image.fromarray(values.astype(np.uint8))
    image.putpalette((palette.tobytes() + bytes(3))[: 3 * 256])
    return _encode(image, meaning, **({"transparency": K} if K < 256 else {}))


def _encode(image: Image.Image, description: str, **options: Any) -> bytes:
    text = PngImagePlugin.PngInfo()
    text.add_text("Software", MARK)
    text.add_text("Description", description)
    return save_by_pillow(image, "PNG", pnginfo=text, **options)
