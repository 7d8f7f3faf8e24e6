"""Recoloured images: indices into a palette, or a colour for each pixel."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import numpy.typing as npt

if TYPE_CHECKING:
    from PIL import Image

    PILImage = Image.Image


class ColorImage(NamedTuple):
    """An image of `colors` (height, width, 3), uint8, with `alpha` (height, width), uint8, or None."""

    colors: npt.NDArray[np.uint8]
    alpha: npt.NDArray[np.uint8] | None = None

    @property
    def pixels(self) -> npt.NDArray[np.uint8]:
        """The colours, RGB (height, width, 3), or RGBA with alpha."""
        return self.colors if self.alpha is None else np.dstack([self.colors, self.alpha])


class IndexedImage(NamedTuple):
    """An image of `labels` (height, width), uint8 or uint16, into a `palette` (K, 3), uint8; with `alpha` as above."""

    labels: npt.NDArray[Any]
    palette: npt.NDArray[np.uint8]
    alpha: npt.NDArray[np.uint8] | None = None

    @property
    def pixels(self) -> npt.NDArray[np.uint8]:
        """The colours, RGB (height, width, 3), or RGBA with alpha."""
        return ColorImage(self.palette[self.labels], self.alpha).pixels


def to_pil(image: IndexedImage | ColorImage) -> PILImage:
    """Return a PIL image: mode P where there are at most 256 colours and no alpha, else RGB or RGBA."""
    from PIL import Image

    if isinstance(image, IndexedImage) and image.alpha is None and len(image.palette) <= 256:
        indexed = Image.fromarray(image.labels.astype(np.uint8, copy=False))
        indexed.putpalette(image.palette.tobytes())
        return indexed
    return Image.fromarray(np.ascontiguousarray(image.pixels))
