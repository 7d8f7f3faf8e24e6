"""Cells, the weighted samples or groups of samples that mixtures are fitted to, and the blocks that sweeps read.

A cell has a weight n_c, a mean m_c = E[x] and a second moment Q_c = E[x x^T], which replaces x x^T. A point is a cell
without scatter. EM on cells never lowers its objective either (Verbeek, Nunnink and Vlassis, "Accelerated EM-based
clustering of large data sets", 2006).

Where neighbouring cells are close together, as the colours of a `ColorHistogram` are, a block of cells fills a small
box, and most components are far below the best one everywhere in it. `Blocks.near` proves so from bounds of the scores
over the box, and a sweep leaves those components out.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import cache, cached_property
from itertools import pairwise
from typing import Literal

import numpy as np

from gmmquant.models.array_validation import FloatArray, IndexArray

# Scores per block: 384 KiB of them stay in the second-level cache (of 2 MB) with the features of their columns.
# With 256 KiB sweeps over 600 to 260,000 colours took up to 12 % longer, with 512 up to 14.
_BLOCK_SCORES = 49_152
_LABEL_BLOCK_SCORES = 131_072  # where scores become labels only: 512 cells at K = 256

# The smallest number of columns of a block, and the largest number of blocks: a block costs some 40 microseconds in
# addition to its scores.
_MIN_WIDTH, _MAX_BLOCKS = 256, 3000

# The smallest number of blocks for which boxes pay. If there would be fewer, half as many blocks are made, since their
# calls cost time: 10,000 cells at K = 16 take 4.6 ns a score in two blocks, 5.3 in four.
_MIN_BOXED_BLOCKS = 6

_ROUNDING = 1e-12  # the part of a score by which another may seem lower than it is

_BLOCKS_AT_A_TIME = 256  # whose scores are bounded: with thousands of components, those of all would take 0.1 GB
_MAX_KEPT_FEATURES = 655_360  # entries of a feature map (5 MB); a larger one is computed in every sweep
_RUNS_AT_A_TIME = 2048  # of cells that are merged, so that they stay in cache


@dataclass(frozen=True, eq=False)
class Cells:
    """Weighted samples, or groups of samples, of d features, in the form that the sweep reads.

    Attributes
    ----------
    weights : ndarray of shape (n_cells,)
        Number of samples in each cell; above 0.
    offsets : ndarray of shape (d, n_cells)
        Mean of each cell less `origin`, one feature a row, so that a block is contiguous.
    scatter : ndarray of shape (d * (d + 1) / 2, n_cells) or None
        Upper triangle of the covariance inside each cell, row by row; None if every cell is a point.
    origin : ndarray of shape (d,)
        What was subtracted. A covariance is E[x x^T] - m m^T, which cancels when the data are far from 0.
    """

    weights: FloatArray
    offsets: FloatArray
    scatter: FloatArray | None
    origin: FloatArray
    _blocks: dict[tuple[int, int], Blocks] = field(default_factory=dict, repr=False, compare=False)
    _features: dict[int, FloatArray] = field(default_factory=dict, repr=False, compare=False)

    @classmethod
    def from_samples(
        cls, X: FloatArray, sample_weight: FloatArray, sample_covariance: FloatArray | None = None
    ) -> Cells:
        """Return the samples `X` (n, d) of weight above 0 as cells about their mean, with scatter (n, d, d) or none."""
        kept = sample_weight > 0
        if not kept.all():
            X, sample_weight = X[kept], sample_weight[kept]
            sample_covariance = None if sample_covariance is None else sample_covariance[kept]
        origin = np.average(X, axis=0, weights=sample_weight)
        rows, columns = upper_triangle(X.shape[1])
        scatter = None if sample_covariance is None else np.ascontiguousarray(sample_covariance[:, rows, columns].T)
        return cls(sample_weight, np.ascontiguousarray((X - origin).T), scatter, origin)

    @classmethod
    def points(cls, X: FloatArray, origin: FloatArray) -> Cells:
        """Return a point of weight 1 for each row of `X` (n, d), about an `origin` that does not depend on the rows."""
        return cls(np.ones(len(X)), np.ascontiguousarray((X - origin).T), None, origin)

    def merged(self, starts: IndexArray) -> Cells:
        """Return coarser cells: each run of cells from one of `starts` (ascending, the first 0) up to the next."""
        d, n_rows = len(self.origin), phi_rows(len(self.origin), "dense")
        weights = np.empty(starts.size)
        means, scatter = np.empty((d, starts.size)), np.empty((n_rows - 1 - d, starts.size))
        ends = np.append(starts[1:], self.weights.size)
        for runs in (slice(first, first + _RUNS_AT_A_TIME) for first in range(0, starts.size, _RUNS_AT_A_TIME)):
            members = slice(int(starts[runs][0]), int(ends[runs][-1]))
            first, sizes, weight = starts[runs] - members.start, ends[runs] - starts[runs], self.weights[members]
            weights[runs] = np.add.reduceat(weight, first)
            means[:, runs] = np.add.reduceat(self.offsets[:, members] * weight, first, axis=1) / weights[runs]
            within = self.offsets[:, members] - np.repeat(means[:, runs], sizes, axis=1)
            inside = None if self.scatter is None else self.scatter[:, members]
            second = feature_map(within, n_rows, inside)[1 + d :] * weight
            scatter[:, runs] = np.add.reduceat(second, first, axis=1) / weights[runs]
        return Cells(weights, means, scatter, self.origin)

    @cached_property
    def total_weight(self) -> float:
        """The number of samples in all cells."""
        return float(self.weights.sum())

    def positions(self) -> FloatArray:
        """Return the means of the cells in the samples' coordinates, shape (n_cells, n_features)."""
        return (self.offsets + self.origin[:, np.newaxis]).T

    @cached_property
    def covariance(self) -> FloatArray:
        """The covariance (d, d) of all samples; it must not be written to."""
        total: FloatArray = np.einsum("in,jn,n->ij", self.offsets, self.offsets, self.weights) / self.total_weight
        if self.scatter is not None:
            rows, columns = upper_triangle(len(self.origin))
            inside = np.einsum("rn,n->r", self.scatter, self.weights) / self.total_weight
            total[rows, columns] += inside
            total[columns[rows != columns], rows[rows != columns]] += inside[rows != columns]
        return total

    def features(self, columns: slice, n_rows: int) -> FloatArray:
        """Return phi with `n_rows` rows (see `phi_rows`) of the cells in `columns`; it must not be written to."""
        if self.weights.size * n_rows > _MAX_KEPT_FEATURES:
            scatter = None if self.scatter is None else self.scatter[:, columns]
            return feature_map(self.offsets[:, columns], n_rows, scatter)
        if n_rows not in self._features:
            self._features[n_rows] = feature_map(self.offsets, n_rows, self.scatter)
        return self._features[n_rows][:, columns]

    def blocks(self, n_components: int, n_rows: int, n_scores: int = _BLOCK_SCORES) -> Blocks:
        """Return the blocks in which a sweep with theta of shape (n_components, n_rows) reads the cells."""
        n = self.weights.size
        width = max(_MIN_WIDTH, n_scores // n_components, -(-n // _MAX_BLOCKS))
        n_blocks = -(-n // width)
        if n_blocks < _MIN_BOXED_BLOCKS:
            width = max(_MIN_WIDTH, -(-n // max((n_blocks + 1) // 2, 1)))
        if (width, n_rows) not in self._blocks:
            self._blocks[width, n_rows] = Blocks.cut(self, width, n_rows)
        return self._blocks[width, n_rows]

    def label_blocks(self, n_components: int, n_rows: int) -> Blocks:
        """Return the blocks in which labels are found: larger ones, since there is less work on a score."""
        return self.blocks(n_components, n_rows, _LABEL_BLOCK_SCORES)


@dataclass(frozen=True, eq=False)
class Blocks:
    """Cells cut into blocks of consecutive columns, with the box that each block fills.

    A score theta . phi(x) is, about the centre c of a box,

        score(c) + sum_i slope_i (x - c)_i + terms of second order,

    and the second order is never positive, since a Gaussian's logarithm is concave (for KMeans it is absent). So over
    the box a score is at least score(c) - sum_i |slope_i| h_i - bend, where h is half the size of the box. Let `best`
    be the component for which that is highest. Another one exceeds it by at most

        score(c) - score_best(c) + sum_i |slope_i - slope_best,i| h_i + bend_best.

    For centers far from the origin the difference of the slopes is much smaller than the slopes: at K = 256 a block of
    160,000 colours has 19 near centers, and 52 by bounds of each score alone. All of these are products of theta with
    features of the box: `center` (F, n_blocks) is phi(c), `bend` (F, n_blocks) the largest |phi| of second order that a
    deviation from c and the scatter of a cell can have, and `reach` (d, F, n_blocks) half the difference of phi between
    the two ends of the box, for each feature.
    """

    columns: tuple[slice, ...]
    center: FloatArray
    reach: FloatArray
    bend: FloatArray

    @classmethod
    def cut(cls, cells: Cells, width: int, n_rows: int) -> Blocks:
        """Cut `cells` into blocks of `width` columns; few blocks, or very many features, have no boxes."""
        n, d = cells.weights.size, len(cells.origin)
        starts = np.arange(0, n, width)
        columns = tuple(slice(int(start), int(stop)) for start, stop in pairwise([*starts, n]))
        if len(columns) < _MIN_BOXED_BLOCKS or d * n_rows * len(columns) > cells.offsets.size:
            return cls(columns, *np.empty((3, 0, 0, 0)))
        lowest = np.minimum.reduceat(cells.offsets, starts, axis=1)
        highest = np.maximum.reduceat(cells.offsets, starts, axis=1)
        center, half = (lowest + highest) / 2, (highest - lowest) / 2
        ends = half * np.eye(d)[:, :, np.newaxis]
        reach = [(feature_map(center + end, n_rows) - feature_map(center - end, n_rows)) / 2 for end in ends]
        scatter = None if cells.scatter is None else np.maximum.reduceat(np.abs(cells.scatter), starts, axis=1)
        bend = feature_map(half, n_rows, scatter)
        bend[: 1 + d] = 0.0
        return cls(columns, feature_map(center, n_rows), np.stack(reach), bend)

    def near(self, theta: FloatArray, margin: float) -> Iterator[slice | IndexArray]:
        """Yield, for each block, the components of `theta` (K, n_rows) that may come within `margin` of the largest."""
        if self.center.size == 0:
            yield from [slice(None)] * len(self.columns)
            return
        for start in range(0, len(self.columns), _BLOCKS_AT_A_TIME):
            some = slice(start, start + _BLOCKS_AT_A_TIME)
            score, slopes = theta @ self.center[:, some], [theta @ ends[:, some] for ends in self.reach]
            bend = np.abs(theta) @ self.bend[:, some]
            lowest = score - bend
            for slope in slopes:
                lowest -= np.abs(slope)
            best = lowest.argmax(axis=0), np.arange(score.shape[1])
            limit = score[best] - bend[best] - margin - _ROUNDING * np.abs(score[best])
            for slope in slopes:
                slope -= slope[best]
                score += np.abs(slope, out=slope)
            for block in (score >= limit).T:
                yield np.flatnonzero(block)


@cache
def upper_triangle(d: int) -> tuple[IndexArray, IndexArray]:
    """Return the rows and columns of the upper triangle of a d x d matrix, row by row."""
    return np.triu_indices(d)


def phi_rows(d: int, second_order: Literal["none", "diagonal", "dense"]) -> int:
    """Return the number of rows of phi: 1, x (d rows), and the squares of x or the upper triangle of x x^T, by rows."""
    return 1 + d + {"none": 0, "diagonal": d, "dense": d * (d + 1) // 2}[second_order]


def feature_map(offsets: FloatArray, n_rows: int, scatter: FloatArray | None = None) -> FloatArray:
    """Return phi with `n_rows` rows of points or cells: `offsets` (d, n), `scatter` (d (d + 1) / 2, n) or None."""
    d, n = offsets.shape
    phi = np.empty((n_rows, n))
    phi[0] = 1.0
    phi[1 : 1 + d] = offsets
    if n_rows == phi_rows(d, "diagonal"):
        np.multiply(offsets, offsets, out=phi[1 + d :])
        if scatter is not None:
            phi[1 + d :] += second_moments(scatter, d, dense=False)
    elif n_rows == phi_rows(d, "dense"):
        row = 1 + d
        for i in range(d):
            np.multiply(offsets[i], offsets[i:], out=phi[row : row + d - i])
            row += d - i
        if scatter is not None:
            phi[1 + d :] += scatter
    return phi


def second_moments(scatter: FloatArray, d: int, *, dense: bool) -> FloatArray:
    """Return all rows of `scatter` (d (d + 1) / 2, n), or those of the variances."""
    if dense:
        return scatter
    rows, columns = upper_triangle(d)
    return np.asarray(scatter[rows == columns])
