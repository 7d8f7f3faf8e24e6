"""Distinct pairs of a colour and an alpha value, as points whose squared distances are the errors that can be seen.

A pixel of colour c and alpha a, with p = a c, is drawn as p on black, and as p + 1 - a on white. If p changes by dp and
a by da, the mean of the squared errors on the two, summed over the three channels, is

    1/2 sum dp_i^2 + 1/2 sum (dp_i - da)^2 = sum (dp_i - da / 2)^2 + 3/4 da^2,

so it is the squared Euclidean distance of the points (p - a / 2, sqrt(3) / 2 a) in four dimensions, without an
approximation. On a grey g the error is sum (dp_i - g da)^2, which is at most the sum of those on black and on white.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import numpy.typing as npt

from gmmquant.colors.morton import MortonCodes, decode
from gmmquant.colors.palette import Palette
from gmmquant.models.array_validation import FloatArray
from gmmquant.models.cells import Cells

Alphas = npt.NDArray[np.uint8]

_ALPHA_SCALE = math.sqrt(0.75)

# A level of a fit has at most this part of the cells of the next finer one.
_COARSER = 0.5


def to_points(colors: FloatArray, alphas: FloatArray) -> FloatArray:
    """Return the points (n, 4) of `colors` (n, 3), sRGB, and `alphas` (n,), both in [0, 1]."""
    alpha = alphas[:, np.newaxis]
    return np.concatenate([alpha * (colors - 0.5), _ALPHA_SCALE * alpha], axis=1)


def to_entries(points: FloatArray) -> tuple[Palette, Alphas]:
    """Return the 8-bit colours (K, 3) and alphas (K,), at least 1, near `points` (K, 4).

    Alpha is rounded first. The colour then has the least error for the alpha that there is, not for the one that was
    meant: in units of `to_points` it is the first three coordinates that are divided by it.
    """
    alphas = np.clip(np.rint(255 / _ALPHA_SCALE * points[:, 3]), 1, 255)
    colors = np.rint(255 * np.clip(points[:, :3] * (255 / alphas[:, np.newaxis]) + 0.5, 0.0, 1.0))
    return colors.astype(np.uint8), alphas.astype(np.uint8)


@dataclass(frozen=True, eq=False)
class TranslucentColors:
    """The distinct pairs of colour and alpha of visible pixels, in an order that keeps neighbouring points together.

    Attributes
    ----------
    colors : ndarray of shape (n_pairs, 3)
        Colours, sRGB in [0, 1].
    alphas : ndarray of uint8, shape (n_pairs,)
        Alpha, from 1 to 255.
    counts : ndarray of int64, shape (n_pairs,)
        Pixels of each pair.
    order : ndarray of int64, shape (n_pairs,)
        Morton codes of the premultiplied values, ascending: 8 bits of each of the four.
    """

    colors: FloatArray
    alphas: Alphas
    counts: npt.NDArray[np.int64]
    order: npt.NDArray[np.int64]

    @classmethod
    def of_pixels(
        cls, codes: MortonCodes, bit_depth: int, alpha: Alphas | None
    ) -> tuple[TranslucentColors, npt.NDArray[np.intp]]:
        """Return the pairs of pixels, and the index of the pair of each pixel, (n_pixels,).

        `codes` (n_pixels,) are Morton codes of `bit_depth` bits a channel; `alpha` (n_pixels,) is None if all are
        opaque.
        """
        keys: npt.NDArray[Any] = codes << codes.dtype.type(8)  # 24 bits in 32, or 48 in 64
        keys |= codes.dtype.type(255) if alpha is None else alpha
        distinct, index, counts = np.unique(keys, return_inverse=True, return_counts=True)
        alphas = (distinct & distinct.dtype.type(255)).astype(np.uint8)
        colors = decode(distinct >> distinct.dtype.type(8), bit_depth).T / np.float64((1 << bit_depth) - 1)
        premultiplied = np.rint(colors * alphas[:, np.newaxis]).astype(np.int64)
        order = _interleaved(np.concatenate([premultiplied, alphas[:, np.newaxis].astype(np.int64)], axis=1))
        by_order = np.argsort(order, kind="stable")
        rank = np.empty_like(by_order)
        rank[by_order] = np.arange(by_order.size)
        pairs = cls(colors[by_order], alphas[by_order], counts[by_order].astype(np.int64), order[by_order])
        return pairs, rank[index]

    @property
    def n_pairs(self) -> int:
        """Number of pairs."""
        return self.counts.size

    @cached_property
    def cells(self) -> Cells:
        """The points of the pairs, weighted by their pixels: each pixel counts as much as it is seen."""
        return Cells.from_samples(to_points(self.colors, self.alphas / 255), self.counts.astype(np.float64))

    @cached_property
    def color_cells(self) -> Cells:
        """The colours of the pairs as those of a histogram: sRGB, a pixel weighing (alpha / 255)^2."""
        return Cells.from_samples(self.colors, self.counts * (self.alphas / 255) ** 2)

    @cached_property
    def levels(self) -> list[Cells]:
        """The levels of a fit: cubes of equal size, the coarsest first, and the pairs last."""
        levels = [self.cells]
        for bits in range(7, 0, -1):
            starts = np.flatnonzero(np.diff(self.order >> 4 * (8 - bits), prepend=-1))
            if starts.size <= _COARSER * levels[-1].weights.size:
                levels.append(self.cells.merged(starts))
        return levels[::-1]


def _interleaved(values: npt.NDArray[np.int64]) -> npt.NDArray[Any]:
    """Return the Morton codes of `values` (n, 4) of 8 bits."""
    codes = np.zeros(len(values), dtype=np.int64)
    for bit in range(8):
        for channel in range(4):
            codes |= (values[:, channel] >> bit & 1) << (4 * bit + channel)
    return codes
