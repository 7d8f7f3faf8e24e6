r"""The blocked sweep: scores -> responsibilities -> moments, the one computation behind KMeans and EM.

A score is linear in the features phi(x) = (1, x, x x^T) of a sample, for KMeans in the first two of them, so that

    scores = theta @ phi                (K x F)(F x n)
    responsibilities = assign(scores)   softmax for a mixture, the one-hot maximum for KMeans
    moments = (responsibilities * weights) @ phi^T

is the E-step and the sufficient statistics of the M-step at once. It runs over blocks of columns that stay in cache;
the n x K matrix is never stored. Long sums of numbers are left to numpy's own loops: BLAS cuts those over 10,000 into
as many parts as it has threads, and the result would depend on their number.

What is swept are cells, not points: a cell has a weight n_c, a mean m_c = E[x] and a second moment Q_c = E[x x^T],
which stands in for x x^T. A point is a cell without scatter. EM on cells still never decreases its objective
(Verbeek, Nunnink and Vlassis, "Accelerated EM-based clustering of large data sets", 2006).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Literal

import numpy as np
import numpy.typing as npt

from gmmquant.models.checks import FloatArray

# Scores held at a time: 256 KiB of them stay in the second-level cache with the features of their columns. On 30,374
# colours and K = 20 a sweep took 3.8 ms with this size, 4.4 with a quarter of it and 9.9 with eight times as many.
_BLOCK_SCORES = 32_768

Assignment = Callable[[FloatArray], FloatArray]


@dataclass(frozen=True)
class Cells:
    """Weighted samples, or groups of samples, in the form that the sweep reads.

    Attributes
    ----------
    weights : ndarray of shape (n_cells,)
        Weight of each cell: how many samples it stands for. All above 0.
    offsets : ndarray of shape (n_features, n_cells)
        Mean of each cell less `origin`, one feature a row, so that a block is contiguous.
    scatter : ndarray of shape (n_features * (n_features + 1) / 2, n_cells) or None
        Upper triangle of the covariance inside each cell, row by row; None where every cell is a point.
    origin : ndarray of shape (n_features,)
        What was subtracted. A covariance is E[x x^T] - m m^T, which cancels when the data lie far from 0.
    """

    weights: FloatArray
    offsets: FloatArray
    scatter: FloatArray | None
    origin: FloatArray

    @classmethod
    def from_samples(
        cls,
        X: FloatArray,
        sample_weight: FloatArray,
        sample_covariance: FloatArray | None = None,
    ) -> Cells:
        """Make cells of samples (n, d), weights (n,) and covariances inside the samples (n, d, d), if any.

        Samples of weight 0 are left out; the origin is the weighted mean.
        """
        kept = sample_weight > 0
        if not kept.all():
            X, sample_weight = X[kept], sample_weight[kept]
            sample_covariance = None if sample_covariance is None else sample_covariance[kept]
        origin = np.average(X, axis=0, weights=sample_weight)
        rows, columns = np.triu_indices(X.shape[1])
        scatter = None if sample_covariance is None else np.ascontiguousarray(sample_covariance[:, rows, columns].T)
        return cls(sample_weight, np.ascontiguousarray((X - origin).T), scatter, origin)

    @classmethod
    def points(cls, X: FloatArray, origin: FloatArray) -> Cells:
        """Make a cell of weight 1 of each row of `X` (n, d), about a given origin.

        For what is asked of single samples: about a fixed origin, the answer does not depend on the other rows.
        """
        return cls(np.ones(len(X)), np.ascontiguousarray((X - origin).T), None, origin)

    @property
    def total_weight(self) -> float:
        """Sum of the weights: the number of samples that the cells stand for."""
        return float(self.weights.sum())

    def positions(self) -> FloatArray:
        """Return the means of the cells in the samples' own coordinates, shape (n_cells, n_features)."""
        return (self.offsets + self.origin[:, np.newaxis]).T

    def covariance(self) -> FloatArray:
        """Return the covariance (d, d) of all that the cells stand for."""
        total: FloatArray = np.einsum("in,jn,n->ij", self.offsets, self.offsets, self.weights) / self.total_weight
        if self.scatter is not None:
            rows, columns = np.triu_indices(len(self.origin))
            inside = np.einsum("rn,n->r", self.scatter, self.weights) / self.total_weight
            total[rows, columns] += inside
            total[columns[rows != columns], rows[rows != columns]] += inside[rows != columns]
        return total

    def blocks(self, n_components: int) -> Iterator[slice]:
        """Cut the columns into blocks whose scores for `n_components` stay in cache."""
        width = max(256, _BLOCK_SCORES // n_components)
        for start in range(0, self.weights.size, width):
            yield slice(start, min(start + width, self.weights.size))

    def features(self, columns: slice, n_rows: int) -> FloatArray:
        """Return the feature map with `n_rows` rows (see `phi_rows`) of the cells in `columns`."""
        offsets = self.offsets[:, columns]
        d, n = offsets.shape
        phi = np.empty((n_rows, n))
        phi[0] = 1.0
        phi[1 : 1 + d] = offsets
        if n_rows == phi_rows(d, "diagonal"):
            np.multiply(offsets, offsets, out=phi[1 + d :])
            if self.scatter is not None:
                phi[1 + d :] += self.second_moments_inside(columns, dense=False)
        elif n_rows == phi_rows(d, "dense"):
            row = 1 + d
            for i in range(d):
                np.multiply(offsets[i], offsets[i:], out=phi[row : row + d - i])
                row += d - i
            if self.scatter is not None:
                phi[1 + d :] += self.second_moments_inside(columns, dense=True)
        return phi

    def second_moments_inside(self, columns: slice, *, dense: bool) -> FloatArray:
        """Return the scatter of the cells in `columns`: all rows of it, or those of the variances."""
        if self.scatter is None:
            raise ValueError("points have no scatter")
        if dense:
            return self.scatter[:, columns]
        rows, others = np.triu_indices(len(self.origin))
        return self.scatter[rows == others, columns]


def phi_rows(d: int, second_order: Literal["none", "diagonal", "dense"]) -> int:
    """Return the number of rows of phi for samples of dimension `d`.

    Rows 1 and x; "diagonal" adds the squares of x, "dense" the upper triangle of x x^T, row by row.
    """
    return 1 + d + {"none": 0, "diagonal": d, "dense": d * (d + 1) // 2}[second_order]


def softmax(scores: FloatArray) -> FloatArray:
    """Turn scores (K, n) into responsibilities in place; return logsumexp over K, shape (n,)."""
    largest = scores.max(axis=0)
    scores -= largest
    np.exp(scores, out=scores)
    normalizer = scores.sum(axis=0)
    scores /= normalizer
    return np.asarray(np.log(normalizer) + largest)


def hardmax(scores: FloatArray) -> FloatArray:
    """Turn scores (K, n) into the one-hot of their maximum (the first, in ties) in place; return that maximum."""
    labels = scores.argmax(axis=0)
    columns = np.arange(scores.shape[1])
    largest: FloatArray = scores[labels, columns]
    scores[:] = 0.0
    scores[labels, columns] = 1.0
    return largest


def sweep(theta: FloatArray, cells: Cells, assign: Assignment) -> tuple[FloatArray, float]:
    """Run one blocked sweep.

    Parameters
    ----------
    theta : ndarray of shape (K, F)
        Coefficients of each component's score in features of `cells` less their origin; F says which (`phi_rows`).
    cells : Cells
    assign : softmax or hardmax

    Returns
    -------
    moments : ndarray of shape (K, F)
        Sum over cells of weight * responsibility * phi, for each component.
    objective : float
        Weighted mean over cells of what `assign` returned: J of a mixture with `softmax`.
    """
    moments = np.zeros_like(theta)
    objective = 0.0
    for columns in cells.blocks(len(theta)):
        phi = cells.features(columns, theta.shape[1])
        weights = cells.weights[columns]
        scores = theta @ phi
        objective += float((weights * assign(scores)).sum())
        scores *= weights
        moments += scores @ phi.T
    return moments, objective / cells.total_weight


def most_probable(theta: FloatArray, cells: Cells) -> npt.NDArray[np.intp]:
    """Return the index of the largest score of each cell, shape (n_cells,); the first, in ties."""
    labels = np.empty(cells.weights.size, dtype=np.intp)
    for columns in cells.blocks(len(theta)):
        labels[columns] = (theta @ cells.features(columns, theta.shape[1])).argmax(axis=0)
    return labels
