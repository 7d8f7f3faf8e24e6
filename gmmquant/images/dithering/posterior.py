"""Posterior dithering: each pixel's component is drawn from its responsibilities.

The mean colour of a small area is its posterior mean. A draw is the number of cumulative responsibilities that a
uniform number reaches. The uniform numbers are the ranks of a mask of blue noise, so that neighbours differ and the
mean is right over a few pixels, with random lower digits, so that rare components have their share. Components are
ordered by colour, mostly from dark to light, so that similar numbers draw similar colours.

Pixels are processed in the order of their colours, so that responsibilities are held for a block of colours only.
"""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np
import numpy.typing as npt

from gmmquant.images.dithering.masks import BLUE_NOISE_SIZE, blue_noise_mask, mask_across
from gmmquant.images.dithering.pixels import Labels, Pixels, check_strength, order_of_colors
from gmmquant.images.pixels import label_type
from gmmquant.models.array_validation import FloatArray
from gmmquant.system.threads import for_chunks, sort

_CHUNK_PIXELS = 1 << 16

# Bits of a uniform number, and of its random digits below a rank of the mask.
_BITS = 32
_RANDOM_BITS = _BITS - (BLUE_NOISE_SIZE**2 - 1).bit_length()


def sample_labels(
    pixels: Pixels,
    blocks: Iterable[tuple[slice, npt.NDArray[np.intp], FloatArray]],
    palette: FloatArray,
    *,
    strength: float = 1.0,
    seed: int = 0,
) -> Labels:
    """Draw the component of each pixel from its responsibilities.

    `blocks` are consecutive blocks of all distinct colours: their slice, the components (K',) with a share in them, and
    the responsibilities (K', n) of these components. Components are ordered by their colours in `palette`. The share
    `strength` is drawn; the rest goes to the most probable component. `seed` is that of the mask and of the digits.
    """
    check_strength(strength)
    ranks = np.argsort(order_of_colors(palette))
    _, height, width = pixels.frames(pixels.index).shape
    uniforms = _uniforms(height, width, seed).reshape(-1)
    ordered = _by_color(pixels)
    labels = np.zeros(pixels.index.size, dtype=label_type(len(palette)))
    start = 0
    for columns, components, responsibilities in blocks:
        order = np.argsort(ranks[components])
        shares = responsibilities * strength
        shares[responsibilities.argmax(axis=0), np.arange(shares.shape[1])] += 1 - strength
        cumulative = np.cumsum(shares[order], axis=0)
        cumulative /= cumulative[-1].copy()  # from the last component with a share on, exactly 1
        names = components[order].astype(labels.dtype)
        stop = int(np.searchsorted(ordered, np.uint64(columns.stop << 32)))
        for part in (ordered[first : min(first + _CHUNK_PIXELS, stop)] for first in range(start, stop, _CHUNK_PIXELS)):
            colors, positions = (part >> np.uint64(32)).astype(np.intp), (part & np.uint64(0xFFFFFFFF)).astype(np.intp)
            numbers = uniforms.take(positions % uniforms.size) * np.float64(2.0**-_BITS)
            of_part = cumulative[:, colors[0] - columns.start : colors[-1] - columns.start + 1]
            labels[positions] = names[_drawn(of_part, colors - colors[0], numbers)]
        start = stop
    return labels.reshape(pixels.index.shape)


def _uniforms(height: int, width: int, seed: int) -> npt.NDArray[np.uint32]:
    """Return uniform numbers for a frame, in parts of 2^-32: a rank of the mask, then random digits."""
    digits = np.random.default_rng(seed).integers(1 << _RANDOM_BITS, size=(height, width), dtype=np.uint32)
    ranks = mask_across(blue_noise_mask(seed=seed), width).astype(np.uint32) << np.uint32(_RANDOM_BITS)
    for top in range(0, height, BLUE_NOISE_SIZE):
        rows = digits[top : top + BLUE_NOISE_SIZE]
        rows |= ranks[: len(rows)]
    return digits


def _by_color(pixels: Pixels) -> npt.NDArray[np.uint64]:
    """Return the visible pixels in the order of their colours, each as colour << 32 | position."""
    ordered = pixels.index.astype(np.uint64).reshape(-1)
    ordered <<= np.uint64(32)

    def add_positions(chunk: slice) -> None:
        ordered[chunk] |= np.arange(chunk.start, chunk.stop, dtype=np.uint64)

    for_chunks(add_positions, ordered.size)
    if pixels.visible is not None:
        ordered = ordered[pixels.visible.reshape(-1)]
    sort(ordered)
    return ordered


def _drawn(cumulative: FloatArray, colors: npt.NDArray[np.intp], numbers: FloatArray) -> npt.NDArray[np.intp]:
    """Return how many of the `cumulative` shares (K', n) of its colour each of `numbers` (n_pixels,) reaches.

    With the index of the colour added, the shares of all colours are one ascending list. `numbers` have 32 fractional
    bits and there are at most 2^16 colours, so that no sum of the two rounds up to the next colour.
    """
    K, n = cumulative.shape
    ascending = (cumulative.T + np.arange(n)[:, np.newaxis]).reshape(-1)
    return np.asarray(np.searchsorted(ascending, colors + numbers, side="right") - K * colors)
