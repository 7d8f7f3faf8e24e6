"""Recoloured images: indices into a palette, or a colour for each pixel."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt


@dataclass(frozen=True)
class IndexedImage:
    """An image of indices into a palette.

    Attributes
    ----------
    labels : ndarray of uint8 or uint16, shape (height, width)
    palette : ndarray of uint8, shape (K, 3)
    alpha : ndarray of uint8, shape (height, width), or None
    """

    labels: npt.NDArray[Any]
    palette: npt.NDArray[np.uint8]
    alpha: npt.NDArray[np.uint8] | None = None

    @property
    def pixels(self) -> npt.NDArray[np.uint8]:
        """The colours, RGB (height, width, 3), or RGBA with alpha."""
        return _with_alpha(self.palette[self.labels], self.alpha)


@dataclass(frozen=True)
class ColorImage:
    """An image with a colour for each pixel.

    Attributes
    ----------
    colors : ndarray of uint8, shape (height, width, 3)
    alpha : ndarray of uint8, shape (height, width), or None
    """

    colors: npt.NDArray[np.uint8]
    alpha: npt.NDArray[np.uint8] | None = None

    @property
    def pixels(self) -> npt.NDArray[np.uint8]:
        """The colours, RGB (height, width, 3), or RGBA with alpha."""
        return _with_alpha(self.colors, self.alpha)


def _with_alpha(colors: npt.NDArray[np.uint8], alpha: npt.NDArray[np.uint8] | None) -> npt.NDArray[np.uint8]:
    return colors if alpha is None else np.dstack([colors, alpha])
