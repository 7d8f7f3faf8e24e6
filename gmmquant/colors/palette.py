"""A palette: the few colours of an image, as bytes and as text."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from itertools import islice
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from gmmquant.colors.spaces import SRGB, ColorSpace
from gmmquant.errors import GmmquantError, ParameterError
from gmmquant.models.array_validation import FloatArray, check_array
from gmmquant.parsing import MAX_K, Color, hex_code

# Shares may exceed 1 by the rounding of floating-point sums.
_ROUNDING = 1e-9

Palette = npt.NDArray[np.uint8]  # (K, 3)


class Swatch(NamedTuple):
    """A colour of a palette file, and its name there, which may be empty."""

    color: Color
    name: str = ""


class NamedPalette(NamedTuple):
    """A palette (K, 3), its name, the shares of the image (K,) that have its colours, if known, and their K names."""

    colors: Palette
    name: str
    shares: FloatArray | None
    names: Sequence[str]

    @property
    def captions(self) -> list[str]:
        """The name or else the hex code of each colour, with its share in percent."""
        named = zip(self.colors, self.names, self._percentages, strict=True)
        return [f"{name or hex_code(color)} {share}".rstrip() for color, name, share in named]

    @property
    def details(self) -> list[str]:
        """The name of each colour, if it has one, and its share in percent."""
        return [f"{name} {share}".strip() for name, share in zip(self.names, self._percentages, strict=True)]

    @property
    def _percentages(self) -> list[str]:
        return [""] * len(self.colors) if self.shares is None else [f"{share:.2%}" for share in self.shares]


def to_8_bits(values: FloatArray, space: ColorSpace = SRGB) -> Palette:
    """Round colours (n, 3) of `space` to 8-bit sRGB, clipped to the gamut, which a mean in a curved space may leave."""
    return np.rint(np.clip(space.to_srgb(values), 0.0, 1.0) * 255).astype(np.uint8)


def over(code: str, grey: int) -> str:
    """Return a colour `#rrggbbaa` on a grey of 0 to 255 as `#rrggbb`; a code without alpha stays."""
    *channels, alpha = bytes.fromhex(code[1:]) if len(code) == 9 else (*bytes.fromhex(code[1:]), 255)
    return "#" + bytes(round((alpha * channel + (255 - alpha) * grey) / 255) for channel in channels).hex()


def check_palette(palette: npt.NDArray[Any]) -> Palette:
    """Return `palette`, 1 to 4096 colours as uint8 (K, 3)."""
    palette = np.asarray(palette)
    if palette.dtype != np.uint8 or palette.ndim != 2 or palette.shape[1:] != (3,):
        raise ParameterError(f"palette has shape {palette.shape} and type {palette.dtype}; use uint8 of shape (K, 3)")
    if not 1 <= len(palette) <= MAX_K:
        raise ParameterError(f"palette has {len(palette)} colours; use 1 to {MAX_K}")
    return palette


def check_shares(shares: npt.ArrayLike | None, n_colors: int) -> FloatArray | None:
    """Return the shares of the image that have each colour, shape (n_colors,), each from 0 to 1; None stays None."""
    if shares is None:
        return None
    checked = check_array("shares", shares, (n_colors,))
    outside = checked[(checked < 0) | (checked > 1 + _ROUNDING)]
    if outside.size:
        raise ParameterError(f"shares contains {outside[0]:g}; use shares of the image, from 0 to 1")
    return checked


def collect_colors(colors: Iterable[Color], failure: type[GmmquantError]) -> Palette:
    """Return `colors` in their order, with repetitions; raise `failure` if there are none or more than 4096.

    At most 4097 are taken from the iterable.
    """
    found = list(islice(colors, MAX_K + 1))
    if len(found) > MAX_K:
        raise failure(f"more than {MAX_K} colours, the limit; use a palette with fewer")
    if not found:
        raise failure("contains no colours; add at least one")
    return np.array(found, dtype=np.uint8)
