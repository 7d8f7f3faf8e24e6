"""From values of distinct colours to values of pixels."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from gmmquant.colors.histogram import ColorHistogram
from gmmquant.images.pixels import FlatImage, label_type


@dataclass(frozen=True, eq=False)
class PixelColors:
    """The visible pixels of an image, and its distinct colours, of which there are n_colors."""

    flat: FlatImage
    histogram: ColorHistogram

    def laid_out(self, values: npt.NDArray[Any]) -> npt.NDArray[Any]:
        """Return the value of each pixel's colour, shape (height, width, ...), from `values` (n_colors, ...).

        Where nothing is visible, floating-point values are NaN, and integers 0.
        """
        return self.flat.laid_out(self.to_visible(values), np.nan if values.dtype.kind == "f" else 0)

    def to_visible(self, values: npt.NDArray[Any]) -> npt.NDArray[Any]:
        """Return the value of the colour of each visible pixel, shape (n_visible, ...)."""
        return self.histogram.to_pixels(values, self.flat.codes)

    def labels(self, color_labels: npt.NDArray[Any], n_labels: int) -> npt.NDArray[Any]:
        """Return the label of each pixel, shape (height, width), from those of the distinct colours."""
        return self.laid_out(color_labels.astype(label_type(n_labels), copy=False))

    def drawn(self, colors: npt.NDArray[np.uint8]) -> npt.NDArray[np.uint8]:
        """Return the pixels (height, width, 3) in `colors` (n_colors, 3), and in the hidden ones where invisible."""
        return self.with_hidden(self.laid_out(colors))

    def with_hidden(self, pixels: npt.NDArray[np.uint8]) -> npt.NDArray[np.uint8]:
        """Set the invisible ones of `pixels` (height, width, 3) to their hidden colours, in place, and return them."""
        if self.flat.visible is not None and self.flat.hidden is not None:
            pixels[~self.flat.visible] = self.flat.hidden
        return pixels

    def numbers(self) -> npt.NDArray[np.uint32]:
        """Return the numbers of the distinct colours, shape (n_colors,)."""
        return np.arange(self.histogram.n_colors, dtype=np.uint32)
