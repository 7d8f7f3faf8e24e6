"""The visible pixels of an image as a list of colour codes."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import numpy.typing as npt

from gmmquant.colors.histogram import ColorHistogram
from gmmquant.colors.morton import MortonCodes, encode
from gmmquant.errors import ParameterError
from gmmquant.models.array_validation import refuse_masked


@dataclass(frozen=True, eq=False)
class FlatImage:
    """The visible pixels of an image as a list, and how to lay them out as an image again.

    Attributes
    ----------
    codes : ndarray of shape (n_visible,)
        Morton code of each visible pixel (see `gmmquant.colors.morton`), row by row.
    bit_depth : int
        8 or 16.
    shape : (height, width)
    alpha : ndarray of uint8, shape (height, width), or None
    visible : ndarray of bool, shape (height, width), or None
        Where the image is not fully transparent; None without alpha.
    hidden : ndarray of uint8, shape (n_hidden, 3) or (1, 3), or None
        The colours of the fully transparent pixels, row by row, or the only one; None if there are no such pixels.
    n_frames : int
        Number of frames of equal height, one below the other.
    """

    codes: MortonCodes
    bit_depth: int
    shape: tuple[int, int]
    alpha: npt.NDArray[np.uint8] | None = None
    visible: npt.NDArray[np.bool_] | None = None
    hidden: npt.NDArray[np.uint8] | None = None
    n_frames: int = 1

    @classmethod
    def from_array(cls, image: npt.NDArray[Any], n_frames: int = 1) -> FlatImage:
        """Flatten an image: grey (h, w) or (h, w, 1), RGB (h, w, 3) or RGBA (h, w, 4), uint8 or uint16.

        An animation is an array of `n_frames` frames, one below the other.

        Raises
        ------
        ParameterError
            If the array is of another shape or type, or of shape (n, 3) or (n, 4), which is a list of colours.
        """
        check_image(image)
        rgb, alpha = split_channels(image)
        visible = None if alpha is None else alpha > 0
        pixels = rgb.reshape(-1, 3) if visible is None else _colors_where(visible, image)
        hidden = None if visible is None else _hidden_colors(image, ~visible)
        shape = int(rgb.shape[0]), int(rgb.shape[1])
        alpha = None if alpha is None else alpha_to_8_bits(alpha)
        return cls(encode(pixels), 8 * pixels.dtype.itemsize, shape, alpha, visible, hidden, n_frames)

    @property
    def n_visible(self) -> int:
        """Number of visible pixels."""
        return int(self.codes.size)

    @cached_property
    def visible_alpha(self) -> npt.NDArray[np.uint8] | None:
        """The alpha of the visible pixels, shape (n_visible,); None if all of them are opaque."""
        alpha = None if self.alpha is None else self.visible_values(self.alpha)
        return None if alpha is None or (alpha == 255).all() else alpha

    def require_visible(self) -> FlatImage:
        """Return the image; a ParameterError is raised if it has no visible pixel."""
        if self.n_visible == 0:
            raise ParameterError("every pixel is fully transparent; use an image with a visible pixel")
        return self

    def histogram(self) -> ColorHistogram:
        """Count and weigh the distinct colours of the visible pixels."""
        return ColorHistogram.from_codes(self.codes, self.bit_depth, self.visible_alpha)

    def laid_out(self, values: npt.NDArray[Any], hidden: npt.ArrayLike = 0) -> npt.NDArray[Any]:
        """Return an array (height, width, ...), `values` (n_visible, ...) at visible pixels and `hidden` elsewhere."""
        shape = (*self.shape, *values.shape[1:])
        if self.visible is None:
            return values.reshape(shape)
        laid_out = np.full(shape, hidden, dtype=values.dtype)
        laid_out[self.visible] = values
        return laid_out

    def visible_values(self, laid_out: npt.NDArray[Any]) -> npt.NDArray[Any]:
        """Return the values (n_visible,) of an array (height, width) at the visible pixels."""
        return laid_out.ravel() if self.visible is None else laid_out[self.visible]


def label_type(n_labels: int) -> type[np.unsignedinteger[Any]]:
    """Return the type of the labels of pixels: one byte for up to 256, else two."""
    return np.uint8 if n_labels <= 256 else np.uint16


def check_image(image: npt.NDArray[Any]) -> None:
    """Raise a ParameterError if an array is not an image as `FlatImage.from_array` takes it."""
    refuse_mask(image)
    untyped: object = image
    if not isinstance(untyped, np.ndarray):
        raise ParameterError(f"image is a {type(image).__name__}; pass an array, as read_image(file).pixels is one")
    if image.ndim == 2 and image.shape[1] in (3, 4):
        raise ParameterError(
            f"image has shape {image.shape}, like a list of colours; use image.reshape(height, width, "
            f"{image.shape[1]}), or image[..., np.newaxis] if it is grey and {image.shape[1]} pixels wide"
        )
    if image.dtype.newbyteorder("=") not in (np.uint8, np.uint16):
        raise ParameterError(f"image has type {image.dtype}{_values_of(image)}")
    if image.ndim not in (2, 3) or (image.ndim == 3 and image.shape[2] not in (1, 3, 4)):
        raise ParameterError(
            f"image has shape {image.shape}; use (height, width), (height, width, 3) or (height, width, 4)"
        )
    if image.size == 0:
        raise ParameterError(f"image has shape {image.shape} and no pixels; pass at least one")


def refuse_mask(image: object) -> None:
    """Raise a ParameterError if an image is an array with masked values."""
    remedy = "use {filled}, or an alpha channel that is 0 where a pixel is not to count"
    refuse_masked("image", image, remedy)


def split_channels(image: npt.NDArray[Any]) -> tuple[npt.NDArray[Any], npt.NDArray[Any] | None]:
    """Split grey (h, w) or (h, w, 1), RGB (h, w, 3) or RGBA (h, w, 4) into RGB (h, w, 3) and alpha (h, w) or None."""
    image = image.astype(image.dtype.newbyteorder("="), copy=False)
    if image.ndim == 2:
        image = image[:, :, np.newaxis]
    if image.shape[2] == 1:
        image = np.repeat(image, 3, axis=2)
    return image[:, :, :3], image[:, :, 3] if image.shape[2] == 4 else None


def _values_of(image: npt.NDArray[Any]) -> str:
    """Return the range of the values of an array that is not uint8 or uint16, and how to convert them."""
    kind, remedy = image.dtype.kind, "; use uint8 or uint16"
    if kind == "b":
        return f"{remedy}, as in image * np.uint8(255)"
    if kind not in "iuf" or image.size == 0:
        return remedy
    low, high = float(image.min()), float(image.max())
    found = f" and values from {low:g} to {high:g}"
    if not low >= 0 or not high <= 65535:  # NaN is neither
        return f"{found}{remedy} with values from 0 to 255 or to 65535"
    bits = 8 if high <= 255 else 16
    if kind == "f" and high <= 1:
        return f"{found}{remedy}, as in np.rint(image * 255).astype(np.uint8)"
    return f"{found}{remedy}, as in {'np.rint(image)' if kind == 'f' else 'image'}.astype(np.uint{bits})"


def _colors_where(chosen: npt.NDArray[np.bool_], rgba: npt.NDArray[Any]) -> npt.NDArray[Any]:
    """Return the colours (n, 3) of the `chosen` (height, width) pixels of `rgba`.

    Pixels are selected as one integer each: 12 million took 0.015 s, with three channels 0.3 to 0.6.
    """
    native = np.ascontiguousarray(rgba, dtype=rgba.dtype.newbyteorder("="))
    packed = native.view(f"u{4 * rgba.itemsize}")[..., 0]
    return packed[chosen].view(native.dtype).reshape(-1, 4)[:, :3]


def _hidden_colors(rgba: npt.NDArray[Any], hides: npt.NDArray[np.bool_]) -> npt.NDArray[np.uint8] | None:
    """Return the colours of the pixels of `rgba` that are fully transparent, as `FlatImage.hidden`."""
    hidden = _colors_where(hides, rgba)
    if len(hidden) == 0:
        return None
    one = (hidden == hidden[0]).all()
    return in_8_bits(hidden[:1] if one else hidden).copy()


def alpha_to_8_bits(alpha: npt.NDArray[Any]) -> npt.NDArray[np.uint8]:
    """Return a copy of uint8 alpha, or uint16 alpha rounded to 8 bits, with 0 only for fully transparent pixels."""
    return alpha.copy() if alpha.dtype == np.uint8 else np.maximum(in_8_bits(alpha), alpha > 0)


def in_8_bits(values: npt.NDArray[Any]) -> npt.NDArray[np.uint8]:
    """Return uint8 values, or uint16 values rounded to 8 bits."""
    if values.dtype == np.uint8:
        return values
    return ((values.astype(np.uint32) + 128) // 257).astype(np.uint8)
