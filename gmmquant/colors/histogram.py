"""ColorHistogram: the distinct colours of a picture with their counts, and the way back from colours to pixels.

Equal colours have equal responsibilities, so a fit to the distinct colours weighted by their counts is exactly the fit
to all pixels. Photographs have 3 to 10 times fewer distinct colours than pixels, graphics thousands of times.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from gmmquant.errors import ParameterError
from gmmquant.models.moments import Cells

FloatArray = npt.NDArray[np.float64]
KeyArray = npt.NDArray[np.unsignedinteger[Any]]


@dataclass(frozen=True)
class ColorHistogram:
    """Distinct RGB colours in ascending order, each with the number of pixels that have it.

    Attributes
    ----------
    keys : ndarray of shape (n_colors,), ascending
        red, green and blue packed into one integer, red highest, `bit_depth` bits each.
    counts : ndarray of int64, shape (n_colors,)
    bit_depth : int
        8 or 16.
    """

    keys: KeyArray
    counts: npt.NDArray[np.int64]
    bit_depth: int

    @classmethod
    def from_pixels(cls, pixels: npt.NDArray[Any]) -> ColorHistogram:
        """Count the distinct rows of `pixels`, RGB of shape (n_pixels, 3), uint8 or uint16.

        Raises
        ------
        ParameterError
            If the dtype is neither.
        """
        keys = np.sort(pack(pixels))
        first = np.flatnonzero(np.concatenate([[keys.size > 0], keys[1:] != keys[:-1]]))
        counts = np.diff(first, append=keys.size)
        return cls(keys[first], counts.astype(np.int64), 8 * pixels.dtype.itemsize)

    def merged(self, *others: ColorHistogram) -> ColorHistogram:
        """Return the histogram of all the pixels of this one and of `others`, which must have its bit depth."""
        histograms = (self, *others)
        depths = sorted({histogram.bit_depth for histogram in histograms})
        if len(depths) > 1:
            raise ParameterError(f"histograms of {depths} bits cannot be merged; bring the pictures to one depth first")
        keys, index = np.unique(np.concatenate([h.keys for h in histograms]), return_inverse=True)
        counts = np.zeros(keys.size, dtype=np.int64)
        np.add.at(counts, index, np.concatenate([h.counts for h in histograms]))
        return ColorHistogram(keys, counts, self.bit_depth)

    @property
    def n_colors(self) -> int:
        """Number of distinct colours."""
        return int(self.keys.size)

    @property
    def n_pixels(self) -> int:
        """Number of pixels counted."""
        return int(self.counts.sum())

    @property
    def largest(self) -> int:
        """The largest value of a channel: 255 or 65535."""
        return (1 << self.bit_depth) - 1

    @property
    def rounding_variance(self) -> float:
        """Variance, in [0, 1] units, of a value recorded in steps of h = 1 / largest: h^2 / 12."""
        return 1 / (12 * self.largest**2)

    @property
    def colors(self) -> npt.NDArray[Any]:
        """The distinct colours, shape (n_colors, 3), in the dtype of the pixels."""
        shifts = (2 * self.bit_depth, self.bit_depth, 0)
        channels = [(self.keys >> shift) & self.largest for shift in shifts]
        return np.stack(channels, axis=1).astype(np.uint8 if self.bit_depth == 8 else np.uint16)

    @property
    def values(self) -> FloatArray:
        """The distinct colours as sRGB values in [0, 1], shape (n_colors, 3)."""
        return self.colors / np.float64(self.largest)

    def cells(self, bits: int | None = None) -> Cells:
        """Return the colours as cells to be fitted, weighted by counts: one for each, or cells of `bits` a channel.

        A cell of fewer bits than the picture has holds all colours that agree in their first `bits`; it has their mean
        and their scatter.
        """
        weights = self.counts.astype(np.float64)
        if bits is None or bits >= self.bit_depth:
            return Cells.from_samples(self.values, weights)
        corners = self.colors >> (self.bit_depth - bits)
        _, cell = np.unique(pack(corners), return_inverse=True)
        values = self.values
        totals: FloatArray = np.bincount(cell, weights).astype(np.float64)
        means = np.stack([np.bincount(cell, weights * channel) for channel in values.T], axis=1) / totals[:, np.newaxis]
        offsets = values - means[cell]
        scatter = np.empty((len(totals), 3, 3))
        for i in range(3):
            for j in range(i, 3):
                scatter[:, i, j] = np.bincount(cell, weights * offsets[:, i] * offsets[:, j]) / totals
                scatter[:, j, i] = scatter[:, i, j]
        return Cells.from_samples(means, totals, scatter)

    def to_pixels(self, labels: npt.NDArray[Any], pixels: npt.NDArray[Any]) -> npt.NDArray[Any]:
        """Give each of `pixels` (n_pixels, 3), all of them counted here, the label of its colour.

        `labels` has shape (n_colors,); the result has shape (n_pixels,) and its dtype.
        """
        keys = pack(pixels)
        if self.bit_depth == 8:
            # A table with a place for each of the 2^24 colours: only the pages of those that occur are ever touched.
            table = np.empty(1 << 24, dtype=labels.dtype)
            table[self.keys] = labels
            return np.asarray(table[keys])
        return np.asarray(labels[np.searchsorted(self.keys, keys)])


def pack(pixels: npt.NDArray[Any]) -> KeyArray:
    """Pack RGB `pixels` (n_pixels, 3) into one integer each: uint32 for uint8 pixels, uint64 for uint16."""
    if pixels.dtype not in (np.uint8, np.uint16):
        raise ParameterError(f"pixels of type {pixels.dtype} are not supported; convert them to uint8 or uint16")
    depth = 8 * pixels.dtype.itemsize
    keys: KeyArray = pixels[:, 0].astype(np.uint32 if depth == 8 else np.uint64)
    for channel in (1, 2):
        keys <<= depth
        keys |= pixels[:, channel]
    return keys
