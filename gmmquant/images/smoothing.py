"""Smoothing: labels that depend on the colour of a pixel and on its neighbours, by a hidden Markov random field.

The colours x have the densities of a mixture, and the labels z have a Potts prior:

    log p(z | x) = sum_i u_i(z_i) + b * (pairs of neighbours with equal labels) + constant

u_i(k) is the score of component k, log weights[k] + log N(x_i | means[k], covariances[k]). Neighbours are the up to
eight visible pixels around a pixel, and b is the strength (Zhang, Brady and Smith, "Segmentation of brain MR images
through a hidden Markov random field model and the expectation-maximization algorithm", 2001). The mixture stays as it
is. The mean-field approximation gives each pixel beliefs q_i(k) that sum to 1. They start as the responsibilities, and
an update sets

    q_i(k) = exp(u_i(k) + b * sum over neighbours j of q_j(k)) / the sum of the same over k

A sweep updates four classes of pixels in turn, those with even or odd rows and columns. Pixels of a class are not
neighbours, so an update maximises the free energy of mean-field over their beliefs, and no sweep lowers it. Updates of
all pixels at once can oscillate. The label of a pixel is its largest belief.

Beliefs are computed tile by tile and never stored for the whole image. A tile has so wide a border that nothing beyond
it can have an effect: labels are the same for tiles of any size.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from itertools import product
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from gmmquant.images.dithering.pixels import Labels, Pixels, label_type
from gmmquant.models.array_validation import FloatArray, IndexArray
from gmmquant.models.cells import Cells, feature_map
from gmmquant.models.sweep import exp
from gmmquant.system.threads import for_each

# Beliefs are integers from 0 to this, so that the sum over eight neighbours fits into 16 bits.
_CERTAIN = 8191

# Parities of the row and the column of each class: first the even rows, then the odd ones.
_CLASSES = ((0, 0), (0, 1), (1, 0), (1, 1))

# Rows and columns by which a change can spread in a sweep: a row for each parity, a column for each class.
_REACH_ROWS, _REACH_COLUMNS = 2, 4

# The last sweep changes at most this share of the labels, or there are more sweeps, as many as for the other share.
_TOLERANCE, _EXPECTED = 9e-4, 6e-4
_MIN_SWEEPS, _MAX_SWEEPS = 3, 64

# Of a large image, the sweeps that it needs are found with one tile in 24.
_MIN_SAMPLED_PIXELS, _SAMPLED_TILE = 4_000_000, 24

# Beliefs of a tile and its border, at about 9 bytes each, and the smallest edge of a tile without its border.
_TILE_BELIEFS = 1 << 21
_MIN_EDGE_PIXELS = 64

# Scores and beliefs that are computed at a time.
_CHUNK_SCORES, _CHUNK_BELIEFS = 1 << 17, 1 << 18

Beliefs = npt.NDArray[np.uint16]
Likelihoods = npt.NDArray[np.float32]


class _Tile(NamedTuple):
    """A part of a frame with a border: the indices of its colours, where it is visible, its labels; and its inside."""

    indices: npt.NDArray[np.uint32]
    visible: npt.NDArray[np.bool_] | None
    labels: Labels
    rows: slice
    columns: slice


class _Class(NamedTuple):
    """Likelihoods and beliefs, (rows, K, columns), of a class of pixels, with a line of zeros at each edge.

    `flat` are the beliefs with one more number before and after, so that each has neighbours.
    """

    likelihoods: Likelihoods
    beliefs: Beliefs
    flat: Beliefs

    @classmethod
    def of(cls, likelihoods: Likelihoods) -> _Class:
        """Return a class whose beliefs are the responsibilities."""
        flat = np.zeros(likelihoods.size + 2, dtype=np.uint16)
        beliefs = flat[1:-1].reshape(likelihoods.shape)
        _normalize(likelihoods.copy(), out=beliefs)
        return cls(likelihoods, beliefs, flat)


def smooth_labels(pixels: Pixels, points: Cells, theta: FloatArray, strength: float) -> Labels:
    """Return labels (height, width) that take account of their neighbours; 0 where nothing is visible.

    `points` are the distinct colours; theta (K, F) are the coefficients of their scores, see `models.sweep`.
    """
    labels = np.zeros(pixels.index.shape, dtype=label_type(len(theta)))
    n_sweeps, sampled = _first_sweeps(strength), labels.size >= _MIN_SAMPLED_PIXELS
    while True:
        share = run_sweeps(pixels, points, theta, strength, n_sweeps, labels, sampled=sampled)
        if not sampled and (share <= _TOLERANCE or n_sweeps == _MAX_SWEEPS):
            return pixels.shown(labels)
        # The share falls with about the square of the number of sweeps.
        n_sweeps = min(max(math.ceil(n_sweeps * math.sqrt(share / _EXPECTED)), _MIN_SWEEPS), _MAX_SWEEPS)
        sampled = False


def _first_sweeps(strength: float) -> int:
    """Return the number of sweeps to begin with, which suffices for many images."""
    return 5 + math.ceil(3 * strength)


def run_sweeps(
    pixels: Pixels,
    points: Cells,
    theta: FloatArray,
    strength: float,
    n_sweeps: int,
    labels: Labels,
    *,
    sampled: bool = False,
) -> float:
    """Write `labels` after `n_sweeps`, or some tiles of them; return the share that the last sweep changed."""
    tiles = list(_tiles(pixels, labels, len(theta), n_sweeps))
    if sampled:
        tiles = tiles[_SAMPLED_TILE // 2 :: _SAMPLED_TILE]
    counts: list[tuple[int, int]] = []

    def work(tile: _Tile) -> None:
        counts.append(_smooth_tile(tile, points, theta, strength, n_sweeps))

    for_each(work, tiles, labels.size)
    n_changed, n_visible = np.sum(counts, axis=0) if counts else (0, 0)
    return float(n_changed / max(n_visible, 1))


def _tiles(pixels: Pixels, labels: Labels, K: int, n_sweeps: int) -> Iterator[_Tile]:
    """Yield tiles that cover all frames, with borders from which a change can reach the inside in `n_sweeps`."""
    above, beside = _REACH_ROWS * n_sweeps, _REACH_COLUMNS * n_sweeps
    # Twice as wide as high, as the border is. Starts are even, so that the classes of a tile are those of its frame.
    half = math.isqrt(_TILE_BELIEFS // (2 * K))
    n_rows = max(half - 2 * above, _MIN_EDGE_PIXELS) // 2 * 2
    n_columns = max(2 * half - 2 * beside, _MIN_EDGE_PIXELS) // 2 * 2
    visibles = None if pixels.visible is None else pixels.frames(pixels.visible)
    for number, (index, out) in enumerate(zip(pixels.frames(pixels.index), pixels.frames(labels), strict=True)):
        height, width = index.shape
        for top, left in product(range(0, height, n_rows), range(0, width, n_columns)):
            bottom, right = min(top + n_rows, height), min(left + n_columns, width)
            first, start = max(top - above, 0), max(left - beside, 0)
            part = np.s_[first : bottom + above, start : right + beside]
            visible = None if visibles is None else visibles[number][part]
            yield _Tile(
                index[part], visible, out[part], slice(top - first, bottom - first), slice(left - start, right - start)
            )


def _smooth_tile(tile: _Tile, points: Cells, theta: FloatArray, b: float, n_sweeps: int) -> tuple[int, int]:
    """Label the inside of a tile; return how many labels the last sweep changed, and how many are visible."""
    inside, height = (tile.rows, tile.columns), len(tile.indices)
    components, likelihoods = _likelihoods(tile, points, theta, b)
    classes = {parity: _Class.of(each) for parity, each in zip(_CLASSES, likelihoods, strict=True)}
    before: Labels | None = None
    for sweeps_left in reversed(range(n_sweeps)):
        if sweeps_left == 0:
            before = _most_believed(classes, components, tile)
        for y, x in _CLASSES:
            # The rows from which later updates can carry a change to the inside.
            margin = _REACH_ROWS * sweeps_left + 1 - y
            rows = slice(max(tile.rows.start - margin, 0), min(tile.rows.stop + margin, height))
            _update(classes, y, x, _of_parity(rows, y), b)
    after = _most_believed(classes, components, tile)
    tile.labels[inside] = after
    changed, seen = after != before, None if tile.visible is None else tile.visible[inside]
    if seen is None:
        return int(np.count_nonzero(changed)), after.size
    return int(np.count_nonzero(changed & seen)), int(np.count_nonzero(seen))


def _likelihoods(tile: _Tile, points: Cells, theta: FloatArray, b: float) -> tuple[IndexArray, Likelihoods]:
    """Return the components that matter in a tile, and exp(score) relative to the largest, (class, rows, K, columns).

    It is 0 where a component does not matter, because its belief would be 0 even if all neighbours were certain of it;
    at the edges; and where nothing is visible.
    """
    lowest = -(8 * b + math.log(_CERTAIN))
    width = max(_CHUNK_SCORES // len(theta), 1)
    parts = [tile.indices[y::2, x::2] for y, x in _CLASSES]
    chunks = [list(_relative_likelihoods(part.ravel(), points, theta, lowest, width)) for part in parts]
    components = np.unique(np.concatenate([near for of_class in chunks for near, _ in of_class]))
    rows, columns = parts[0].shape
    likelihoods = np.zeros((len(_CLASSES), rows + 2, len(components), columns + 2), dtype=np.float32)
    for out, part, of_class, (y, x) in zip(likelihoods, parts, chunks, _CLASSES, strict=True):
        rows, columns = part.shape
        flat = np.zeros((len(components), part.size), dtype=np.float32)
        for number, (near, relative) in enumerate(of_class):
            start = number * width
            flat[np.searchsorted(components, near), start : start + width] = relative
        of_class.clear()
        inner = out[1 : rows + 1, :, 1 : columns + 1]
        inner[...] = flat.reshape(len(components), rows, columns).swapaxes(0, 1)
        if tile.visible is not None:
            inner *= tile.visible[y::2, np.newaxis, x::2]
    return components, likelihoods


def _relative_likelihoods(
    index: npt.NDArray[np.uint32], points: Cells, theta: FloatArray, lowest: float, width: int
) -> Iterator[tuple[IndexArray, Likelihoods]]:
    """Yield, for `width` pixels at a time, components and exp(score) relative to the largest, (components, pixels).

    Where the relative score is below `lowest` it is 0; components that are below everywhere are left out.
    """
    for start in range(0, index.size, width):
        part = index[start : start + width]
        # BLAS has other last digits for products of other shapes, so all have the same.
        padded = np.zeros(width, dtype=index.dtype)
        padded[: part.size] = part
        scores = theta @ feature_map(points.offsets.take(padded, axis=1), theta.shape[1])
        largest = scores.max(axis=0)
        near = np.flatnonzero((scores >= largest + lowest).any(axis=1))
        relative = np.subtract(scores[near, : part.size], largest[: part.size], dtype=np.float32, casting="same_kind")
        matters = relative >= np.float32(lowest)
        # Processors are slow with the tiny results of lower numbers.
        np.maximum(relative, np.float32(lowest), out=relative)
        yield near, np.multiply(exp(relative, relative), matters, out=relative)


def _update(classes: dict[tuple[int, int], _Class], y: int, x: int, rows: slice, b: float) -> None:
    """Update the beliefs of the pixels with row parity `y` and column parity `x`, in some `rows` of their class.

    With the zeros at the edges, each neighbour is at a constant distance in the flat arrays of beliefs.
    """
    own, beside, above, diagonal = (classes[key] for key in ((y, x), (y, 1 - x), (1 - y, x), (1 - y, 1 - x)))
    row = own.beliefs[0].size
    n_rows = max(_CHUNK_BELIEFS // row, 1)
    lines_buffer, scores_buffer = np.empty((n_rows + 1) * row, dtype=np.uint16), np.empty(n_rows * row, np.float32)
    for first in range(rows.start + 1, rows.stop + 1, n_rows):
        last = min(first + n_rows, rows.stop + 1)
        # The neighbours in even rows or columns have the numbers i and i + 1, those in odd ones i - 1 and i.
        left, right = (slice(first * row + x + i, last * row + x + i) for i in (0, 1))
        top, bottom = (first + y - 1) * row, (last + y) * row
        lines = np.add(
            diagonal.flat[top + x : bottom + x],
            diagonal.flat[top + x + 1 : bottom + x + 1],
            out=lines_buffer[: bottom - top],
        )
        lines += above.flat[top + 1 : bottom + 1]
        agreement = lines[:-row]
        agreement += lines[row:]
        agreement += beside.flat[left]
        agreement += beside.flat[right]
        scores = np.multiply(agreement, np.float32(b / _CERTAIN), dtype=np.float32, out=scores_buffer[: agreement.size])
        likelihoods = own.likelihoods[first:last]
        beliefs = exp(scores, scores).reshape(likelihoods.shape)
        beliefs *= likelihoods
        _normalize(beliefs, out=own.beliefs[first:last])


def _normalize(values: Likelihoods, out: Beliefs) -> None:
    """Write `values` (rows, K, columns) as beliefs; they are scaled in place. Zeros for all components stay zeros."""
    # The largest likelihood of a visible pixel is 1, and so its sum is at least that.
    total = values.sum(axis=1, keepdims=True)
    values *= np.float32(_CERTAIN) / np.maximum(total, np.float32(1))
    out[...] = values


def _most_believed(classes: dict[tuple[int, int], _Class], components: IndexArray, tile: _Tile) -> Labels:
    """Return the labels of the inside of a tile."""
    numbers = components.astype(tile.labels.dtype)
    labels = np.empty_like(tile.labels[tile.rows, tile.columns])
    for (y, x), of_class in classes.items():
        rows, columns = _of_parity(tile.rows, y), _of_parity(tile.columns, x)
        beliefs = of_class.beliefs[rows.start + 1 : rows.stop + 1, :, columns.start + 1 : columns.stop + 1]
        largest, best = beliefs[:, 0].copy(), np.full(beliefs[:, 0].shape, numbers[0])
        for belief, number in zip(beliefs.swapaxes(0, 1)[1:], numbers[1:], strict=True):
            best = np.where(belief > largest, number, best)
            np.maximum(largest, belief, out=largest)
        labels[y::2, x::2] = best
    return labels


def _of_parity(part: slice, parity: int) -> slice:
    """Return which of the even (0) or odd (1) rows or columns are in `part`."""
    return slice((part.start + 1 - parity) // 2, (part.stop + 1 - parity) // 2)
