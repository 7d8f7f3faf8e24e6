"""Layers: an image for each component, with its share of each pixel as alpha.

Flat layers have the colour of their component, and their sum is the soft image. Exact layers have a colour for
each pixel (see `unmixing`), and their sum is the image itself.

Alpha has 256 levels, so responsibilities are rounded together, and the levels of a pixel sum to its alpha. In flat
layers, exchanges of one level between two components bring the sum of colours near to the soft one. The colours of
exact layers are those for the rounded levels.

A sum of layers needs a program that adds. For programs that draw layers over each other, each alpha is divided by what
the layers above leave visible: a_k / (1 - sum_{j > k} a_j). Such layers are `stacked`.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from gmmquant.images.unmixing import Unmixing
from gmmquant.models.array_validation import FloatArray, IndexArray
from gmmquant.models.cells import Cells
from gmmquant.models.gaussian import Gaussians
from gmmquant.models.inference import posteriors

# Error of a sum of layers, in 0..255 units, below which nothing is exchanged.
_TOLERANCE = 0.4
_MAX_EXCHANGES = 20

# Components of a pixel that are tried first, those with the largest shares; and pairs compared at a time.
_FEW_COMPONENTS = 12
_CHUNK_PAIRS = 1 << 16

# Shares of exact layers that are computed at a time, and entries of layers that are kept: 0.2 GB, and as much again
# while they are sorted.
_SHARES_AT_A_TIME = 1 << 17
_MAX_ENTRIES = 1 << 24

# An alpha above 0 of a layer at a pair of colour and alpha: eight bytes, which numpy moves as one number.
_ENTRY = np.dtype([("pair", np.uint32), ("alpha", np.uint8), ("color", np.uint8, 3)])


class Pixels(NamedTuple):
    """The visible pixels of an image: distinct pairs of colour and alpha, and the pair of each pixel.

    `pairs` (n_pairs,), ascending, are 256 times the index of a colour plus alpha; `inverse` has shape (n_pixels,).
    """

    pairs: npt.NDArray[np.int64]
    inverse: npt.NDArray[Any]

    @classmethod
    def of(cls, index: npt.NDArray[Any], n_colors: int, alpha: npt.NDArray[np.uint8] | None) -> Pixels:
        """Return those of pixels with the colours `index` (n_pixels,) and `alpha` (n_pixels,); None: all opaque."""
        if alpha is None:
            return cls(np.arange(n_colors) << 8 | 255, index)
        return cls(*np.unique(index.astype(np.int64) << 8 | alpha, return_inverse=True))


class _Block(NamedTuple):
    """The layers of some pairs: alphas (K', n) and colours (K', n, 3) of `components` (K',).

    `shares` (K', n) are the parts of the composed colours that the layers have; `alpha` (n,) is the composed one.
    """

    columns: slice
    components: IndexArray
    alphas: npt.NDArray[np.uint8]
    colors: npt.NDArray[np.uint8]
    shares: FloatArray
    alpha: npt.NDArray[np.uint8]


class Layers:
    """The layers of an image by a mixture: iterated, the alpha and the colours of each, in the order of the components.

    Parameters
    ----------
    points : Cells
        The distinct colours in the space of the mixture.
    mixture : Gaussians
    palette : ndarray of uint8, shape (K, 3)
        The colours of flat layers, and of exact ones where they are transparent.
    pixels : Pixels
    exact : Unmixing, optional
        For exact layers: the colours of the components and of the image.
    stacked : bool
        Whether each layer covers those before it, instead of being added to them.
    """

    def __init__(
        self,
        points: Cells,
        mixture: Gaussians,
        palette: npt.NDArray[np.uint8],
        pixels: Pixels,
        exact: Unmixing | None = None,
        *,
        stacked: bool = False,
    ) -> None:
        self._points, self._mixture, self._palette, self._pixels = points, mixture, palette, pixels
        self._exact, self._stacked = exact, stacked

    def __iter__(self) -> Iterator[tuple[npt.NDArray[np.uint8], npt.NDArray[np.uint8] | None]]:
        """Yield the alpha (n_pixels,) and the colours (n_pixels, 3) of each layer; None if it is flat."""
        first, (pairs, inverse) = 0, self._pixels
        while first < len(self._palette):
            entries, bounds = self._entries(first)
            end = first + len(bounds) - 1
            for component, start, stop in zip(range(first, end), bounds[:-1], bounds[1:], strict=True):
                layer = entries[start:stop]
                if self._exact is None:
                    alpha = np.zeros(pairs.size, dtype=np.uint8)
                    alpha[layer["pair"]] = layer["alpha"]
                    yield alpha[inverse], None
                else:
                    rgba = np.full((pairs.size, 4), [*self._palette[component], 0], dtype=np.uint8)
                    rgba[layer["pair"], :3], rgba[layer["pair"], 3] = layer["color"], layer["alpha"]
                    # Four bytes as one number: 12 megapixels take 0.2 s, three times as fast as rows of bytes.
                    spread = rgba.view(np.uint32)[:, 0][inverse].view(np.uint8).reshape(-1, 4)
                    yield spread[:, 3], spread[:, :3]
            first = end

    def composed(self) -> tuple[npt.NDArray[np.uint8], npt.NDArray[np.uint8]]:
        """Return the alpha (n_pixels,) and the colours (n_pixels, 3) of all layers together."""
        pairs, inverse = self._pixels
        alpha, colors = np.empty(pairs.size, dtype=np.uint8), np.empty((pairs.size, 3), dtype=np.uint8)
        for block in self._blocks():
            colors[block.columns] = np.rint(np.einsum("kn,kni->ni", block.shares, block.colors))
            alpha[block.columns] = block.alpha
        return alpha[inverse], colors[inverse]

    def _entries(self, first: int) -> tuple[npt.NDArray[Any], IndexArray]:
        """Return the entries of components from `first` on, sorted by component, and where each begins, and the end.

        These are all components that remain, or fewer if the entries would be too many.
        """
        end, parts, owners, size = len(self._palette), [], [], 0
        for block in self._blocks():
            rows = slice(*np.searchsorted(block.components, [first, end]))
            alphas = block.alphas[rows]
            positions = np.flatnonzero(alphas != 0)
            row, column = np.divmod(positions.astype(np.int32), max(alphas.shape[1], 1))
            part = np.empty(positions.size, dtype=_ENTRY)
            part["pair"], part["alpha"] = column + block.columns.start, alphas.ravel()[positions]
            if self._exact is not None:
                part["color"] = block.colors[rows].reshape(-1, 3)[positions]
            parts.append(part)
            owners.append(block.components[rows][row].astype(np.uint16))
            size += part.size
            while size > _MAX_ENTRIES and end - first > 1:
                end = (first + end + 1) // 2
                parts = [part[owner < end] for part, owner in zip(parts, owners, strict=True)]
                owners = [owner[owner < end] for owner in owners]
                size = sum(owner.size for owner in owners)
        components = np.concatenate(owners)
        entries = np.concatenate([part.view(np.uint64) for part in parts])[np.argsort(components, kind="stable")]
        counts = np.bincount(components, minlength=end)[first:]
        return entries.view(_ENTRY), np.concatenate([[0], np.cumsum(counts)])

    def _blocks(self) -> Iterator[_Block]:
        pairs = self._pixels.pairs
        for posterior in posteriors(self._points, self._mixture):
            components, palette = posterior.components, self._palette[posterior.components]
            start, stop = np.searchsorted(pairs, [posterior.columns.start << 8, posterior.columns.stop << 8])
            width = max(stop - start if self._exact is None else _SHARES_AT_A_TIME // len(components), 1)
            for begin in range(start, stop, width):
                columns = slice(begin, min(begin + width, stop))
                index, alpha = pairs[columns] >> 8, (pairs[columns] & 255).astype(np.uint8)
                responsibilities = posterior.responsibilities[:, index - posterior.columns.start]
                if self._exact is None:
                    levels = alpha_levels(responsibilities, alpha, palette)
                else:
                    levels = rounded(responsibilities * alpha, alpha).astype(np.uint8)
                alphas, shares = covering(levels) if self._stacked else (levels, levels / alpha)
                colors = np.broadcast_to(palette[:, np.newaxis], (*levels.shape, 3))
                if self._exact is not None:
                    colors = self._exact.levels(components, shares, index)
                yield _Block(columns, components, alphas, colors, shares, alpha)


def covering(levels: npt.NDArray[np.uint8]) -> tuple[npt.NDArray[np.uint8], FloatArray]:
    """Return alphas (K, n) for drawing layers over each other, the last on top, and their shares (K, n) of the result.

    Added, they would have the alphas `levels` (K, n). Each alpha is rounded so that what shines through it and the
    layers above is nearest to what it should be; the composed alpha is that of the sum to half a level.
    """
    alphas = np.zeros_like(levels)
    weights = np.zeros(levels.shape)
    visible = np.ones(levels.shape[1])  # the part of the next layer that can be seen
    wanted = np.full(levels.shape[1], 255)  # the same, in levels, without rounding
    for level, alpha, weight in zip(levels[::-1], alphas[::-1], weights[::-1], strict=True):
        wanted -= level
        ratio = np.divide(wanted, 255 * visible, out=np.ones_like(visible), where=(level > 0) & (visible > 0))
        alpha[:] = np.rint(255 * np.maximum(1 - ratio, 0))
        weight[:] = visible * alpha / 255
        visible -= weight
    return alphas, weights / weights.sum(axis=0)


def rounded(exact: FloatArray, alpha: npt.NDArray[np.uint8]) -> FloatArray:
    """Return `exact` levels (K, n), which sum to `alpha` (n,), as integers that sum to it (Hamilton's method)."""
    levels = np.floor(exact)
    left = np.rint(alpha - levels.sum(axis=0))
    # As many of the largest remainders as needed are rounded up.
    ranks = np.argsort(np.argsort(levels - exact, axis=0, kind="stable"), axis=0)
    levels += ranks < left
    return np.asarray(levels)


def alpha_levels(
    responsibilities: FloatArray, alpha: npt.NDArray[np.uint8], palette: npt.NDArray[np.uint8]
) -> npt.NDArray[np.uint8]:
    """Return the `alpha` (n,) of pixels divided among components of `palette` (K, 3) by `responsibilities` (K, n).

    The levels, of shape (K, n), sum to `alpha`.
    """
    exact = responsibilities * alpha
    levels = rounded(exact, alpha)
    colors = palette.astype(np.float64)
    errors = (levels - exact).T @ colors / 255
    # A few components are fast, and enough for nearly all pixels.
    for most in (_FEW_COMPONENTS, 4 * _FEW_COMPONENTS, len(palette)):
        bad = np.flatnonzero(np.abs(errors).max(axis=1) > _TOLERANCE)
        at_once = max(_CHUNK_PAIRS // most**2, 1)
        for start in range(0, bad.size, at_once):
            columns = bad[start : start + at_once]
            part = np.argsort(-exact[:, columns], axis=0, kind="stable")[:most]
            levels[part, columns] = _exchanged(
                levels[part, columns], exact[part, columns] > 0, colors[part], errors[columns]
            )
        errors[bad] = (levels[:, bad] - exact[:, bad]).T @ colors / 255
    return levels.astype(np.uint8)


def _exchanged(
    levels: FloatArray, present: npt.NDArray[np.bool_], colors: FloatArray, errors: FloatArray
) -> FloatArray:
    """Return `levels` (m, n) with single ones moved between m components while their sum gets nearer to the colour.

    Components may get levels where they are `present` (m, n). They have `colors` (m, n, 3); `errors` (n, 3) are those
    of the sums over all components, in 0..255 units.
    """
    m, n = levels.shape
    levels, errors = levels.copy(), errors.copy()
    moves = (colors[np.newaxis, :] - colors[:, np.newaxis]) / 255  # from the first component to the second
    active = np.arange(n)
    for _ in range(_MAX_EXCHANGES):
        after = np.abs(errors[active] + moves[:, :, active]).max(axis=3)
        after[(levels[:, np.newaxis, active] < 1) | ~present[:, active]] = np.inf
        best = after.reshape(m * m, -1).argmin(axis=0)
        better = after.reshape(m * m, -1)[best, np.arange(active.size)] < np.abs(errors[active]).max(axis=1)
        active, (giver, taker) = active[better], np.unravel_index(best[better], (m, m))
        if active.size == 0:
            break
        errors[active] += moves[giver, taker, active]
        levels[giver, active] -= 1
        levels[taker, active] += 1
    return levels
