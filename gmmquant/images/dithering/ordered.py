"""Ordered dithering: a mask of thresholds chooses each label, by the colour and the position of its pixel only.

Each distinct colour has a list of picks from the palette, and the mask chooses from it. Each pick is the colour nearest
to the colour plus a part of the error of the picks before it, so that the mean of the list approaches the colour. That
is Knoll's pattern dithering (US patent 6,606,166, of 1999), with any mask. A list is sorted along the first principal
axis of the palette, mostly from dark to light, so that dark picks have the low ranks and light ones the high.
"""

from __future__ import annotations

import numpy as np

from gmmquant.images.dithering.color_grid import ColorGrid
from gmmquant.images.dithering.masks import Mask, mask_across
from gmmquant.images.dithering.mixing import Conversion, same
from gmmquant.images.dithering.pixels import Labels, Pixels, check_strength, nearest_labels, order_of_colors
from gmmquant.models.array_validation import FloatArray

# Picks in a list. With 64, black and white show greys from 1 % on, and gradients have no steps; with more, picks are
# far from the colour, and photographs noisier. Where the limit on all picks is exceeded, lists are shorter.
_MAX_PICKS, _MIN_PICKS = 64, 16
_MAX_TOTAL_PICKS = 1 << 24

_CHUNK_COLORS = 1 << 13
_CHUNK_DISTANCES = 1 << 20

# A colour that is so near to a border, of the distance of two palette colours, is on it.
_AT_BORDER = 1e-4

# The part of the error by which a pick is chosen, while all of it stays for the next picks. So picks are nearer to the
# colour: with half of it, blue noise in 16 / 64 colours of 13 photographs has an SSIMULACRA2 of 27.2 / 62.2 (with all
# 25.4 / 59.6), and in the colours of pico8 a FLIP of 0.203 (0.253). With 0.3, the light of nord is farther from the
# image.
_CARRY = np.float32(0.5)


def ordered(
    pixels: Pixels,
    values: FloatArray,
    palette: FloatArray,
    mask: Mask,
    *,
    seen: Conversion = same,
    strength: float = 1.0,
) -> Labels:
    """Dither by a `mask` of thresholds.

    `strength` sets the target of the mean of a list, from the nearest palette colour, 0, to the colour itself, 1. It is
    the share of the way there if means and distances have one space, as for the colours of a fit. For given colours,
    where half a share would make steps between the areas of two colours: see `_targets`.
    """
    nearest = nearest_labels(seen(values), seen(palette))
    if check_strength(strength) == 0 or len(palette) == 1:
        return pixels.shown(nearest[pixels.index])
    if strength < 1 and seen is not same:
        values, strength = _targets(values, palette, nearest, seen, strength), 1.0
    order = order_of_colors(palette)
    lists = order.astype(nearest.dtype).take(_lists(ColorGrid.of(palette[order], seen), values, strength))
    # The grid may confuse colours of the palette that are close to each other.
    exact = (palette[nearest] == values).all(axis=1)
    lists[exact] = nearest[exact, np.newaxis]
    labels = np.empty(pixels.index.shape, dtype=nearest.dtype)
    length, size = lists.shape[1], len(mask)
    picks = mask_across(mask, pixels.index.shape[1]) * length // mask.size
    for index, out in zip(pixels.frames(pixels.index), pixels.frames(labels), strict=True):
        for top in range(0, len(index), size):
            rows = index[top : top + size]
            out[top : top + size] = lists.reshape(-1).take(rows * np.intp(length) + picks[: len(rows)])
    return pixels.shown(labels)


def _targets(values: FloatArray, palette: FloatArray, nearest: Labels, seen: Conversion, strength: float) -> FloatArray:
    """Return the mean colour to show for each of `values` (n_colors, 3), between its `nearest` colour and itself.

    Let r be the position of a colour on the ray from its nearest colour p through it, as seen: 0 at p, 1 where another
    colour q is as near,

        r = 1 - min over q of (|x - q|^2 - |x - p|^2) / |p - q|^2

    The target is p up to r = 1 - strength, and from there it moves towards the colour y of the border r = 1, which is
    the same on both sides, so that gradients have no step. y is between the colour itself, which takes picks from
    anywhere, and the nearest mixtures of p with each near q, whose picks are these two: `strength` is the share of the
    former.
    """
    colors = seen(palette)
    between = np.square(colors[:, np.newaxis] - colors).sum(axis=2)
    targets = np.empty_like(values)
    step = max(1, _CHUNK_DISTANCES // len(palette))
    for start in range(0, len(values), step):
        some = slice(start, start + step)
        own = nearest[some]
        points = seen(values[some])
        distances = sum(np.square(points[:, [axis]] - colors[:, axis]) for axis in range(3))
        more = distances - np.take_along_axis(distances, own[:, np.newaxis].astype(np.intp), axis=1)
        gaps = between[own]
        to_border = np.divide(more, gaps, out=np.full_like(more, np.inf), where=gaps > 0)
        kept = (1 - (1 - strength) / np.clip(1 - to_border.min(axis=1), 1e-9, 1)) / strength
        inside = values[some] - palette[own]
        mixed = _mixed_with_near(inside, palette - palette[own][:, np.newaxis], to_border, strength)
        towards = strength * inside + (1 - strength) * mixed
        targets[some] = palette[own] + np.maximum(kept, 0)[:, np.newaxis] * towards
    return targets


def _mixed_with_near(inside: FloatArray, steps: FloatArray, to_border: FloatArray, strength: float) -> FloatArray:
    """Return the nearest points to colours on the lines to other palette colours, averaged, (n_colors, 3).

    Colours are relative to their nearest palette colour: `inside` (n_colors, 3), and the others, `steps`
    (n_colors, K, 3). One of these counts if `to_border` (n_colors, K) is below `strength`: most where that is 0, and if
    its line leads near to the colour.
    """
    lengths = np.square(steps).sum(axis=2)
    along = np.einsum("nki,ni->nk", steps, inside)
    shares = np.clip(np.divide(along, lengths, out=np.zeros_like(along), where=lengths > 0), 0, 1)
    missed = np.square(inside[:, np.newaxis] - shares[..., np.newaxis] * steps).sum(axis=2)
    missed = np.divide(missed, lengths, out=np.ones_like(missed), where=lengths > 0)
    # At a border its line alone counts, whatever lines of others lead through the colour.
    weights = np.maximum(strength - to_border, 0) / (np.square(to_border + _AT_BORDER) * (missed + _AT_BORDER))
    weights /= np.maximum(weights.sum(axis=1, keepdims=True), np.finfo(np.float64).tiny)
    return np.asarray(np.einsum("nk,nki->ni", weights * shares, steps))


def _lists(grid: ColorGrid, values: FloatArray, strength: float) -> Labels:
    """Return the sorted list of labels of each of `values` (n_colors, 3), shape (n_colors, length)."""
    length = int(np.clip(_MAX_TOTAL_PICKS // len(values), _MIN_PICKS, _MAX_PICKS))
    lists = np.empty((len(values), length), dtype=grid.labels.dtype)
    for start in range(0, len(values), _CHUNK_COLORS):
        some = slice(start, start + _CHUNK_COLORS)
        colors = grid.inside(grid.coordinates(values[some]))
        near = grid.palette.T[:, grid.label(colors)]
        colors = near + np.float32(strength) * (colors - near)
        left = np.zeros_like(colors)
        for pick in range(length):
            error = _CARRY * left
            if pick == length - 1:  # all of the error where no pick has differed, or a faint grey would have no dot
                is_flat = (lists[some, :pick] == lists[some, :1]).all(axis=1)
                error = np.where(is_flat, left, error)
            labels = grid.label(grid.inside(colors + error))
            lists[some, pick] = labels
            left += colors - grid.palette.T[:, labels]
    lists.sort(axis=1)
    return lists
