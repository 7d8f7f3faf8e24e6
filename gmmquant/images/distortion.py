"""How far a recoloured image is from the original: squared errors in 0..255 units, summed over the channels.

They are errors of the image composited over a background of one colour, whichever it is: the error of a pixel times its
squared alpha (see `gmmquant.colors.histogram`). Means are over the visible pixels, whatever their alpha.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import numpy.typing as npt

from gmmquant.colors.histogram import ColorHistogram
from gmmquant.colors.morton import MortonCodes, decode

# Chunks of this size stay in cache.
_CHUNK_COLORS = 1 << 15


def error_of_labels(histogram: ColorHistogram, color_labels: npt.NDArray[Any], palette: npt.NDArray[np.uint8]) -> float:
    """Return the mean squared error over pixels where each distinct colour gets one entry of `palette` (K, 3).

    `color_labels` has shape (n_colors,).
    """
    return _error_of_histogram(histogram, lambda part: (entries[color_labels[part]] for entries in palette.T))


def error_of_colors(histogram: ColorHistogram, colors: npt.NDArray[np.uint8]) -> float:
    """Return the mean squared error over pixels where each distinct colour gets one of `colors` (n_colors, 3)."""
    return _error_of_histogram(histogram, lambda part: colors[part].T)


def _error_of_histogram(histogram: ColorHistogram, drawn: Callable[[slice], Any]) -> float:
    weights = histogram.counts if histogram.alpha_squares is None else histogram.weights

    def errors(part: slice) -> npt.NDArray[np.float64]:
        return weights[part] * _squared(histogram.channels[:, part], histogram.largest, drawn(part))

    return _total(errors, histogram.n_colors) / histogram.n_pixels


def error_of_pixels(
    codes: MortonCodes,
    bit_depth: int,
    labels: npt.NDArray[Any],
    palette: npt.NDArray[np.uint8],
    alpha: npt.NDArray[np.uint8] | None = None,
) -> float:
    """Return the mean squared error over pixels of `codes` (n_pixels,), each with its entry of `palette` (K, 3).

    `alpha` (n_pixels,) is None for opaque pixels.
    """

    def errors(part: slice) -> npt.NDArray[np.float64]:
        drawn = (entries[labels[part]] for entries in palette.T)
        squared = _squared(decode(codes[part], bit_depth), (1 << bit_depth) - 1, drawn)
        return squared if alpha is None else squared * (alpha[part] / 255) ** 2

    return _total(errors, codes.size) / codes.size


def _total(errors: Callable[[slice], npt.NDArray[np.float64]], n: int) -> float:
    """Add up `errors` of `n` colours or pixels, chunk by chunk."""
    return sum(float(errors(slice(start, start + _CHUNK_COLORS)).sum()) for start in range(0, n, _CHUNK_COLORS))


def _squared(channels: npt.NDArray[Any], largest: int, drawn: Any) -> npt.NDArray[np.float64]:
    """Return squared differences (n,) between `channels` (3, n), up to `largest`, and 8-bit channels `drawn`."""
    scale = 255 / largest
    squared = np.zeros(channels.shape[1])
    for channel, other in zip(channels, drawn, strict=True):
        difference = channel * scale - other
        difference *= difference
        squared += difference
    return squared
