"""Recoloured images: indices into a palette, or a colour for each pixel."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

if TYPE_CHECKING:
    from PIL import Image

    PILImage = Image.Image


@dataclass(frozen=True, eq=False)
class ColorImage:
    """An image of `colors` (height, width, 3), uint8, with `alpha` (height, width), uint8, or None."""

    colors: npt.NDArray[np.uint8]
    alpha: npt.NDArray[np.uint8] | None = None

    @classmethod
    def from_pixels(cls, pixels: npt.NDArray[np.uint8]) -> ColorImage:
        """Return the image of pixels, RGB (height, width, 3) or RGBA (height, width, 4)."""
        return cls(pixels[..., :3], pixels[..., 3] if pixels.shape[2] == 4 else None)

    @property
    def pixels(self) -> npt.NDArray[np.uint8]:
        """The colours, RGB (height, width, 3), or RGBA with alpha."""
        return self.colors if self.alpha is None else np.dstack([self.colors, self.alpha])

    def without_hidden(self) -> ColorImage:
        """Return it with black for all pixels of alpha 0, if these have several colours and others are visible."""
        hides = None if self.alpha is None else self.alpha == 0
        if hides is None or hides.all() or (self.colors[hides] == self.colors[hides][:1]).all():
            return self
        return replace(self, colors=np.where(hides[..., np.newaxis], np.uint8(0), self.colors))

    def _repr_png_(self) -> bytes:
        """Return the image as notebooks show it."""
        from gmmquant.images.preview import preview_png

        return preview_png(self)


@dataclass(frozen=True, eq=False)
class IndexedImage:
    """An image of `labels` (height, width), uint8 or uint16, into a `palette` (K, 3), uint8; with `alpha` as above.

    `hidden` are the colours of the pixels of alpha 0, row by row, or their only one: (n_hidden, 3) or (1, 3), uint8. If
    it is None, they have those of their labels.
    """

    labels: npt.NDArray[Any]
    palette: npt.NDArray[np.uint8]
    alpha: npt.NDArray[np.uint8] | None = None
    hidden: npt.NDArray[np.uint8] | None = None

    @property
    def pixels(self) -> npt.NDArray[np.uint8]:
        """The colours, RGB (height, width, 3), or RGBA with alpha; labels beyond the palette have its last colour."""
        colors = self.palette.take(self.labels, axis=0, mode="clip")  # a quarter of the time of an index
        if self.alpha is not None and self.hidden is not None:
            colors[self.alpha == 0] = self.hidden
        return ColorImage(colors, self.alpha).pixels

    def _repr_png_(self) -> bytes:
        """Return the image as notebooks show it."""
        from gmmquant.images.preview import preview_png

        return preview_png(self)

    @property
    def hidden_color(self) -> npt.NDArray[np.uint8] | None:
        """The colour of all pixels of alpha 0, shape (3,); None if they have several, or those of their labels."""
        return self.hidden[0] if self.hidden is not None and len(self.hidden) == 1 else None

    def without_hidden(self) -> IndexedImage:
        """Return it with black for all pixels of alpha 0, if these have several colours and others are visible."""
        several = self.hidden is not None and len(self.hidden) > 1 and not self.only_hides
        return replace(self, hidden=np.zeros((1, 3), np.uint8)) if several else self

    @property
    def only_hides(self) -> bool:
        """Whether nothing is visible, and the pixels hide several colours."""
        several = self.hidden is not None and len(self.hidden) > 1
        return several and self.alpha is not None and not self.alpha.any()


def to_pil(image: IndexedImage | ColorImage) -> PILImage:
    """Return a PIL image: mode P where there are at most 256 colours and no alpha, else RGB or RGBA."""
    from PIL import Image

    if isinstance(image, IndexedImage) and image.alpha is None and len(image.palette) <= 256:
        indexed = Image.fromarray(image.labels.astype(np.uint8, copy=False))
        indexed.putpalette(image.palette.tobytes())
        return indexed
    return Image.fromarray(np.ascontiguousarray(image.pixels))
