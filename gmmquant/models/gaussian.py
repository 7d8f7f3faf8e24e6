"""The parameters of a Gaussian mixture, and the scores of samples by them: log weight plus log density."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache, cached_property
from itertools import repeat

import numpy as np

from gmmquant.models.array_validation import FloatArray, IndexArray
from gmmquant.models.cells import Cells, second_moments, upper_triangle
from gmmquant.models.covariance import FULL, CovarianceType, precisions_cholesky

# Replaces the logarithm of a vanished component's weight: far below that of any density, but finite, since infinities
# in a matrix product raise floating-point warnings.
LOG_OF_ZERO = -1e300

_LOG_2_PI = math.log(2 * math.pi)


@dataclass(frozen=True, eq=False, repr=False)
class Gaussians:
    """A mixture of K Gaussians in d dimensions: sum over k of weights[k] N(x | means[k], covariances[k]).

    The weights (K,) sum to 1; a component that vanished has weight 0. Means are (K, d), covariances (K, d, d) if full;
    for the other types see `CovarianceType.shape`.
    """

    weights: FloatArray
    means: FloatArray
    covariances: FloatArray
    covariance_type: CovarianceType = FULL

    def __repr__(self) -> str:
        """Return the number of components and features, and the type of the covariances, in one line."""
        K, d = self.means.shape
        return f"<Gaussians: {K} components of {d} features, {self.covariance_type.name} covariances>"

    @cached_property
    def factors(self) -> FloatArray:
        """C with C C^T = inverse covariance, in the shape of the covariances: see `precisions_cholesky`."""
        return precisions_cholesky(self.covariances, self.covariance_type)

    def order(self) -> IndexArray:
        """Return the indices of the components, the heaviest first; equal weights in order of their means."""
        return np.lexsort([*self.means.T[::-1], -self.weights])

    def taken(self, order: IndexArray) -> Gaussians:
        """Return the components with the indices `order`, in that order."""
        covariances = self.covariances if self.covariance_type.shared else self.covariances[order]
        return Gaussians(self.weights[order], self.means[order], covariances, self.covariance_type)

    def full_covariances(self) -> FloatArray:
        """Return a matrix for each component, shape (K, d, d), whatever the type."""
        K, d = self.means.shape
        spread = self.covariance_type.spread(self.covariances, K, d)
        return spread if self.covariance_type.dense else spread[:, :, np.newaxis] * np.eye(d)


def natural_parameters(gaussians: Gaussians, origin: FloatArray, variance: float = 0.0) -> FloatArray:
    """Return theta (K, F) with theta_k . phi(x - origin) = log weights[k] + log N(x | means[k], covariances[k]).

    If each sample has a `variance` in each feature, the score is the expectation over N(x, variance I), which is less
    by variance / 2 * trace of the inverse covariance. A singular covariance raises SingularCovarianceError.
    """
    K, d = gaussians.means.shape
    factors = gaussians.covariance_type.spread(gaussians.factors, K, d)
    to_origin = origin - gaussians.means
    if gaussians.covariance_type.dense:
        # Rows of W with W (1, x) = C^T (x - mean): the score is its peak less half of (1, x)^T (W^T W) (1, x).
        whitening = np.empty((K, d, 1 + d))
        linear = whitening[:, :, 1:]
        linear[...] = factors.transpose(0, 2, 1)
        np.matmul(linear, to_origin[:, :, np.newaxis], out=whitening[:, :, :1])
        squares = (whitening.transpose(0, 2, 1) @ whitening).reshape(K, -1)
        indices, halves = _upper_triangle_halves(1 + d)
        theta = squares.take(indices, axis=1) * halves
        traces = np.einsum("kij,kij->k", factors, factors)
    else:
        inverse, whitened = factors**2, factors * to_origin
        constant = -0.5 * np.vecdot(whitened, whitened)
        theta = np.concatenate([constant[:, np.newaxis], -inverse * to_origin, -0.5 * inverse], axis=1)
        traces = inverse.sum(axis=1)
    theta[:, 0] += _log_peaks(gaussians, factors) - 0.5 * variance * traces
    return theta


def entropies(gaussians: Gaussians) -> FloatArray:
    """Return the differential entropy of each component, log((2 pi e)^d |covariance|) / 2 nats, shape (K,)."""
    K, d = gaussians.means.shape
    factors = gaussians.covariance_type.spread(gaussians.factors, K, d)
    return np.asarray(0.5 * d * (_LOG_2_PI + 1) - _log_roots(gaussians, factors))


def log_joint(
    gaussians: Gaussians, cells: Cells, margin: float = np.inf
) -> Iterator[tuple[slice, IndexArray, FloatArray]]:
    """Yield, block by block, columns of `cells`, components, and log weights[k] + log N(x | ...), shape (K, block).

    Components that are more than `margin` below the largest everywhere in the block are left out. The score of a cell
    with scatter is the mean over the cell.

    These are the scores of `natural_parameters`, but from whitened differences, for figures that are reported: where
    components are narrow (16-bit colours), terms of 1e10 cancel in the linear form, and 1e-6 nats are lost.
    """
    K, d = gaussians.means.shape
    dense = gaussians.covariance_type.dense
    factors = gaussians.covariance_type.spread(gaussians.factors, K, d)
    half_squares = _half_squares_dense if dense else _half_squares_diagonal
    offsets = gaussians.means - cells.origin
    peaks = _log_peaks(gaussians, factors)[:, np.newaxis]
    theta = natural_parameters(gaussians, cells.origin)
    blocks = cells.blocks(*theta.shape)
    components = np.arange(K)
    nearby = blocks.near(theta, margin) if margin < np.inf else repeat(slice(None), len(blocks.columns))
    for columns, near in zip(blocks.columns, nearby, strict=True):
        # Relative to a point of the block, both sides of the difference are as small as the block.
        about = cells.offsets[:, columns.start]
        scores = half_squares(factors[near], offsets[near] - about, cells.offsets[:, columns] - about[:, np.newaxis])
        np.subtract(peaks[near], scores, out=scores)
        if cells.scatter is not None:
            scores += theta[near, 1 + d :] @ second_moments(cells.scatter[:, columns], d, dense=dense)
        yield columns, components[near], scores


def _half_squares_dense(factors: FloatArray, means: FloatArray, points: FloatArray) -> FloatArray:
    """Return |factors[k]^T (points - means[k])|^2 / 2, shape (K, n), for `points` (d, n), in one matrix product."""
    K, d = means.shape
    rows = np.empty((d, K, d + 1))
    rows[:, :, :d] = factors.transpose(2, 0, 1)
    rows[:, :, d] = -(rows[:, :, :d] * means).sum(axis=2)
    rows *= np.sqrt(0.5)
    whitened = rows.reshape(d * K, d + 1) @ np.concatenate([points, np.ones((1, points.shape[1]))])
    whitened *= whitened
    total: FloatArray
    total, *others = whitened.reshape(d, K, -1)
    for square in others:
        total += square
    return total


def _half_squares_diagonal(factors: FloatArray, means: FloatArray, points: FloatArray) -> FloatArray:
    """Return the same for factors that are the diagonals of matrices, (K, d)."""
    total = np.zeros((len(means), points.shape[1]))
    for factor, mean, point in zip(factors.T, means.T, points, strict=True):
        whitened = (point - mean[:, np.newaxis]) * factor[:, np.newaxis]
        whitened *= whitened
        total += whitened
    total *= 0.5
    return total


def _log_peaks(gaussians: Gaussians, factors: FloatArray) -> FloatArray:
    """Return log weights[k] + log N(means[k] | means[k], covariances[k]), shape (K,)."""
    weights = gaussians.weights
    if np.minimum.reduce(weights) > 0:
        log_weights = np.log(weights)
    else:
        log_weights = np.log(weights, where=weights > 0, out=np.full(len(weights), LOG_OF_ZERO))
    d = gaussians.means.shape[1]
    return np.asarray(log_weights + _log_roots(gaussians, factors) - 0.5 * d * _LOG_2_PI)


def _log_roots(gaussians: Gaussians, factors: FloatArray) -> FloatArray:
    """Return the logarithm of the root of each inverse covariance's determinant, shape (K,)."""
    roots = factors.diagonal(axis1=1, axis2=2) if gaussians.covariance_type.dense else factors
    return np.asarray(np.add.reduce(np.log(roots), axis=1))


@cache
def _upper_triangle_halves(d: int) -> tuple[IndexArray, FloatArray]:
    """Return the indices of the upper triangle of a flat d x d matrix A, and the coefficients of -x^T A x / 2 there.

    They are -1/2 on the diagonal, and -1 elsewhere, since each entry also counts for that below the diagonal.
    """
    rows, columns = upper_triangle(d)
    return rows * d + columns, np.where(rows == columns, -0.5, -1.0)
