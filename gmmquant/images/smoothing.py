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

Beliefs and scores are integers of 8 bits. Most beliefs soon stay as they are, and only pixels with a neighbour that has
changed are updated, which gives the same labels. Beliefs are computed tile by tile and never stored for the whole
image. A tile has so wide a border that nothing beyond it can have an effect: labels are the same for tiles of any size.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from functools import lru_cache, reduce
from itertools import product
from typing import Any, NamedTuple

import cv2
import numpy as np
import numpy.typing as npt

from gmmquant.images.dithering.pixels import Labels, Pixels
from gmmquant.images.pixels import label_type
from gmmquant.models.array_validation import FloatArray, IndexArray
from gmmquant.models.cells import Cells, feature_map
from gmmquant.models.sweep import largest_scores
from gmmquant.system.threads import for_each

# Beliefs are integers from 0 to this, so that the sum over eight neighbours fits into 8 bits.
_CERTAIN = 31

# Scores are numbers of steps below the largest of the pixel, at most this.
_LOWEST = 255

# Parities of the row and the column of each class: first the even rows, then the odd ones.
_CLASSES = ((0, 0), (0, 1), (1, 0), (1, 1))

# Rows and columns by which a change can spread in a sweep: a row for each parity, a column for each class.
_REACH_ROWS, _REACH_COLUMNS = 2, 4

# The last sweep changes at most this share of the labels, or there are twice as many sweeps.
_TOLERANCE, _MAX_SWEEPS = 9e-4, 64

# Beliefs of a tile and its border, at about 3 bytes each, and the smallest edge of a tile without its border.
_TILE_BELIEFS = 6 << 20
_MIN_EDGE_PIXELS = 64

# Scores of all colours that are kept; where there are more, each tile computes those of its colours.
_MAX_KEPT_SCORES = 1 << 25

# Scores and beliefs that are computed at a time. With an eighth of them two threads took twice as long, because they
# often waited for each other.
_CHUNK_SCORES, _CHUNK_BELIEFS = 1 << 16, 1 << 19

# Sums are computed for all pixels of a range if at least this share of them is needed.
_MIN_DENSITY = 0.2

# Scores and beliefs of a pixel are padded to a multiple of this: numpy copies 8 or 16 bytes three times as fast as 12.
_PADDING = 8

Bytes = npt.NDArray[np.uint8]
Floats = npt.NDArray[np.float32]


class _Tile(NamedTuple):
    """A part of a frame with a border: the indices of its colours, where it is visible, its labels; and its inside."""

    indices: npt.NDArray[np.uint32]
    visible: npt.NDArray[np.bool_] | None
    labels: Labels
    rows: slice
    columns: slice


class _Field(NamedTuple):
    """The state of a tile: flat arrays of its pixels, class by class, each with a line of nothing at its edges.

    `shape` is (class, rows, columns). The scores of a pixel are `scores[colors]`, and scores and beliefs have a column
    for each of `components`. Pixels that are `undecided` have more than one component that matters. Those that are
    `stale` have a neighbour that changed after their last update. For `buffers` see `_believe`.
    """

    components: IndexArray
    shape: tuple[int, int, int]
    scores: Bytes
    colors: npt.NDArray[np.int32]
    beliefs: Bytes
    undecided: npt.NDArray[np.bool_]
    stale: npt.NDArray[np.bool_]
    buffers: Floats


def smooth_labels(pixels: Pixels, points: Cells, theta: FloatArray, strength: float) -> Labels:
    """Return labels (height, width) that take account of their neighbours; 0 where nothing is visible.

    `points` are the distinct colours; theta (K, F) are the coefficients of their scores, see `models.sweep`.
    """
    labels = np.zeros(pixels.index.shape, dtype=label_type(len(theta)))
    n_sweeps = 6 + math.ceil(4 * strength)
    while run_sweeps(pixels, points, theta, strength, n_sweeps, labels) > _TOLERANCE and n_sweeps < _MAX_SWEEPS:
        n_sweeps = min(2 * n_sweeps, _MAX_SWEEPS)
    return pixels.shown(labels)


def run_sweeps(
    pixels: Pixels, points: Cells, theta: FloatArray, strength: float, n_sweeps: int, labels: Labels
) -> float:
    """Write `labels` after `n_sweeps`; return the share that the last sweep changed."""
    n_colors, kept = points.weights.size, None
    if n_colors * _padded(len(theta)) <= _MAX_KEPT_SCORES:
        kept = _scores(np.arange(n_colors), points, theta, strength)
    counts: list[tuple[int, int]] = []

    def work(tile: _Tile) -> None:
        used = np.zeros(n_colors, dtype=np.bool_)
        used[tile.indices] = True
        colors = np.flatnonzero(used)
        scores = _scores(colors, points, theta, strength) if kept is None else kept.take(colors, axis=0)
        # 0 is nothing, and the colours of the tile have the numbers from 1.
        numbers = np.cumsum(used, dtype=np.int32).take(tile.indices)
        if tile.visible is not None:
            numbers *= tile.visible
        counts.append(_smooth_tile(tile, _field(numbers, scores, strength), strength, n_sweeps))

    for_each(work, list(_tiles(pixels, labels, len(theta), n_sweeps)), labels.size)
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


def _smooth_tile(tile: _Tile, field: _Field, b: float, n_sweeps: int) -> tuple[int, int]:
    """Label the inside of a tile; return how many labels the last sweep changed, and how many are visible."""
    inside = tile.labels[tile.rows, tile.columns]
    before = inside
    for sweeps_left in reversed(range(n_sweeps)):
        if sweeps_left == 0:
            before = _most_believed(field, tile)
        for number in range(len(_CLASSES)):
            _update(field, number, b)
    inside[...] = _most_believed(field, tile)
    seen = np.ones_like(before, dtype=np.bool_) if tile.visible is None else tile.visible[tile.rows, tile.columns]
    return int(np.count_nonzero((inside != before) & seen)), int(np.count_nonzero(seen))


def _scores(colors: IndexArray, points: Cells, theta: FloatArray, b: float) -> Bytes:
    """Return by how many steps the components of `colors` are below the largest, (n_colors, K and padding)."""
    K, width = len(theta), max(_CHUNK_SCORES // len(theta), 1)
    below = np.full((colors.size, _padded(K)), _LOWEST, dtype=np.uint8)

    def work(start: int) -> None:
        out = below[start : start + width, :K]
        # BLAS has other last digits for products of other shapes, so all have the same.
        part = np.zeros(width, dtype=np.intp)
        part[: len(out)] = colors[start : start + width]
        scores = theta @ feature_map(points.offsets.take(part, axis=1), theta.shape[1])
        np.subtract(scores.max(axis=0), scores, out=scores)
        scores *= 1 / _step(b)
        np.minimum(scores, _LOWEST, out=scores)
        out[...] = np.rint(scores, out=scores).T[: len(out)]

    for_each(work, range(0, colors.size, width), below.size)
    return below


def _step(b: float) -> float:
    """Return the nats in a step of scores: with it, `_LOWEST` is too low to matter.

    A component 8 b + log(2 _CERTAIN) below the largest has a belief of 0 even if all neighbours are certain of it.
    """
    return (8 * b + math.log(2 * _CERTAIN + 1)) / _LOWEST


def _padded(K: int) -> int:
    """Return the number of scores and beliefs of a pixel."""
    return -(-K // _PADDING) * _PADDING


def _field(numbers: npt.NDArray[np.int32], scores: Bytes, b: float) -> _Field:
    """Return the first state of a tile: the beliefs are the responsibilities.

    `numbers` (height, width) are those of the colours with `scores`, from 1, or 0 where nothing is visible.
    """
    components = np.flatnonzero(scores.min(axis=0) < _LOWEST)
    table = np.full((len(scores) + 1, _padded(components.size)), _LOWEST, dtype=np.uint8)
    table[0, 0] = 0
    table[1:, : components.size] = scores.take(components, axis=1)
    beliefs, undecided = np.zeros_like(table), np.zeros(len(table), dtype=np.bool_)
    certain_of, buffers = np.zeros(len(table), dtype=np.uint16), np.empty((2, _CHUNK_BELIEFS), dtype=np.float32)
    for part in _chunks(*table.shape):
        planes = _transposed(table[part])
        undecided[part] = np.count_nonzero(planes < _LOWEST, axis=0) > 1
        planes = _believe(planes, np.zeros_like(planes), b, buffers)
        largest, first = largest_scores(planes)
        certain_of[part] = np.where(largest == _CERTAIN, first + 1, 0)
        beliefs[part] = _transposed(planes)
    beliefs[0] = certain_of[0] = 0
    # Pixels stay certain if their neighbours are certain of the same.
    certain, square = certain_of.take(numbers), np.ones((3, 3), dtype=np.uint8)
    stale = (certain == 0) | (cv2.dilate(certain, square) != cv2.erode(certain, square))
    colors = _by_class(numbers)
    flat = colors.ravel()
    beliefs, stale = beliefs.take(flat, axis=0), _by_class(stale).ravel()
    return _Field(components, colors.shape, table, flat, beliefs, undecided.take(flat), stale, buffers)


def _by_class(values: npt.NDArray[Any]) -> npt.NDArray[Any]:
    """Return `values` (height, width) of pixels as (class, rows, columns), with a line of zeros at each edge."""
    height, width = values.shape
    classes = np.zeros((len(_CLASSES), (height + 1) // 2 + 2, (width + 1) // 2 + 2), dtype=values.dtype)
    for of_class, (y, x) in zip(classes, _CLASSES, strict=True):
        part = values[y::2, x::2]
        of_class[1 : 1 + part.shape[0], 1 : 1 + part.shape[1]] = part
    return classes


def _transposed(values: Bytes) -> Bytes:
    """Return `values` (m, n) as (n, m); numpy takes two to eight times as long to copy them."""
    return np.asarray(cv2.transpose(values))


def _chunks(n_pixels: int, width: int) -> Iterator[slice]:
    """Yield slices of the pixels, with `width` beliefs each, that are computed at a time."""
    size = max(_CHUNK_BELIEFS // width, 1)
    return (slice(start, start + size) for start in range(0, n_pixels, size))


def _update(field: _Field, number: int, b: float) -> None:
    """Update the stale pixels of a class; neighbours of those whose beliefs change become stale."""
    size, steps, width = field.shape[1] * field.shape[2], _steps(field.shape, number), field.beliefs.shape[1]
    of_class, rows = slice(number * size, (number + 1) * size), field.beliefs.view(f"V{width}").ravel()
    stale = np.flatnonzero(field.stale[of_class] & field.undecided[of_class]) + of_class.start
    field.stale[of_class] = False
    has_changed = np.zeros(size, dtype=np.bool_)
    for part in _chunks(stale.size, width):
        pixels = stale[part]
        agreement = _agreement(field.beliefs, pixels, steps)
        scores = field.scores.take(field.colors.take(pixels), axis=0)
        beliefs = _transposed(_believe(_transposed(scores), _transposed(agreement), b, field.buffers))
        before = field.beliefs.take(pixels, axis=0)
        differs = beliefs.view(np.uint64) != before.view(np.uint64)
        changed = np.flatnonzero(reduce(np.logical_or, differs.T))  # `any` of short rows takes ten times as long
        pixels = pixels.take(changed)
        rows[pixels] = beliefs.take(changed, axis=0).view(rows.dtype).ravel()
        has_changed[pixels - of_class.start] = True
    for step in steps:
        field.stale[of_class.start + step : of_class.stop + step] |= has_changed


def _agreement(beliefs: Bytes, pixels: IndexArray, steps: list[int]) -> Bytes:
    """Return the sums of the beliefs of the neighbours, `steps` away, of `pixels`, which ascend."""
    first, stop = int(pixels[0]), int(pixels[-1]) + 1
    if pixels.size < _MIN_DENSITY * (stop - first):
        total = beliefs.take(pixels + steps[0], axis=0)
        for step in steps[1:]:
            total += beliefs.take(pixels + step, axis=0)
        return total
    total = beliefs[first + steps[0] : stop + steps[0]].copy()
    for step in steps[1:]:
        total += beliefs[first + step : stop + step]
    return total.take(pixels - first, axis=0)


def _steps(shape: tuple[int, int, int], number: int) -> list[int]:
    """Return the distances, in the arrays of a field, from a pixel of a class to its eight neighbours."""
    (y, x), (_, n_rows, n_columns) = _CLASSES[number], shape
    # The neighbours in even rows or columns have the numbers i and i + 1, those in odd ones i - 1 and i.
    rows, columns = ((y, 0), (1 - y, y - 1), (1 - y, y)), ((x, 0), (1 - x, x - 1), (1 - x, x))
    steps = [
        ((_CLASSES.index((row, column)) - number) * n_rows + down) * n_columns + right
        for (row, down), (column, right) in product(rows, columns)
    ]
    return steps[1:]


def _believe(scores: Bytes, agreement: Bytes, b: float, buffers: Floats) -> Bytes:
    """Return the beliefs (K, n) of pixels with `scores`, whose neighbours' beliefs have the sums `agreement`.

    `buffers` (2, K n or more) are written to: new arrays of this size take longer than the computation.
    """
    values, factors = buffers[:, : scores.size].reshape(2, *scores.shape)
    of_score, of_agreement = _exponentials(b)
    cv2.LUT(scores, of_score, dst=values)
    cv2.LUT(agreement, of_agreement, dst=factors)
    values *= factors
    # The largest score is 0 steps below itself, so the sum is at least 1.
    values *= np.float32(_CERTAIN) / values.sum(axis=0)
    return np.asarray(cv2.convertScaleAbs(values))


@lru_cache(maxsize=8)
def _exponentials(b: float) -> tuple[Floats, Floats]:
    """Return the exponentials of scores and of agreements from 0 to 255, (1, 256) each; 0 for the lowest score."""
    numbers = np.arange(256.0)[np.newaxis]
    of_score = np.where(numbers < _LOWEST, np.exp(-_step(b) * numbers), 0)
    return of_score.astype(np.float32), np.exp(b / _CERTAIN * numbers).astype(np.float32)


def _most_believed(field: _Field, tile: _Tile) -> Labels:
    """Return the labels of the inside of a tile."""
    labels = np.empty(len(field.beliefs), dtype=tile.labels.dtype)
    for part in _chunks(*field.beliefs.shape):
        labels[part] = field.components.take(largest_scores(_transposed(field.beliefs[part]))[1])
    inside = np.empty_like(tile.labels[tile.rows, tile.columns])
    for of_class, (y, x) in zip(labels.reshape(field.shape), _CLASSES, strict=True):
        rows, columns = _of_parity(tile.rows, y), _of_parity(tile.columns, x)
        inside[y::2, x::2] = of_class[rows.start + 1 : rows.stop + 1, columns.start + 1 : columns.stop + 1]
    return inside


def _of_parity(part: slice, parity: int) -> slice:
    """Return which of the even (0) or odd (1) rows or columns are in `part`."""
    return slice((part.start + 1 - parity) // 2, (part.stop + 1 - parity) // 2)
