"""The parameters of a Gaussian mixture: to scores (natural parameters) and back from moments."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cache, cached_property
from itertools import repeat

import numpy as np
import numpy.typing as npt

from gmmquant.models.array_validation import FloatArray
from gmmquant.models.cells import Cells, second_moments, upper_triangle
from gmmquant.models.covariance import FULL, CovarianceType, precisions_cholesky

# Stands in for the logarithm of a vanished component's weight: far below that of any density, but finite, since
# infinities in a matrix product raise floating-point warnings.
LOG_OF_ZERO = -1e300

_LOG_2_PI = math.log(2 * math.pi)

# A component of no more weight than this has vanished: what is divided by it may overflow.
_LEAST_TOTAL = float(np.finfo(np.float64).tiny / np.finfo(np.float64).eps)


@dataclass(frozen=True)
class Gaussians:
    """A mixture of K Gaussians in d dimensions: sum over k of weights[k] N(x | means[k], covariances[k]).

    Or a stack of mixtures, for all that iterations read and make: then each array has one axis more, in front.

    Attributes
    ----------
    weights : ndarray of shape (K,), summing to 1; a component that vanished has weight 0
    means : ndarray of shape (K, d)
    covariances : ndarray whose shape depends on `covariance_type`, (K, d, d) for full covariances
    covariance_type : CovarianceType
    """

    weights: FloatArray
    means: FloatArray
    covariances: FloatArray
    covariance_type: CovarianceType = FULL

    @cached_property
    def factors(self) -> FloatArray:
        """C with C C^T = inverse covariance, in the shape of the covariances: see `precisions_cholesky`."""
        return precisions_cholesky(self.covariances, self.covariance_type)

    @classmethod
    def stack(cls, mixtures: Sequence[Gaussians]) -> Gaussians:
        """Put mixtures of one type into one."""
        return cls(
            np.stack([mixture.weights for mixture in mixtures]),
            np.stack([mixture.means for mixture in mixtures]),
            np.stack([mixture.covariances for mixture in mixtures]),
            mixtures[0].covariance_type,
        )

    def at(self, place: int) -> Gaussians:
        """Return one mixture of a stack."""
        return Gaussians(self.weights[place], self.means[place], self.covariances[place], self.covariance_type)

    def sorted(self) -> Gaussians:
        """Return the same mixture with the heaviest component first; equal weights in order of their means."""
        order = np.lexsort([*self.means.T[::-1], -self.weights])
        covariances = self.covariances if self.covariance_type.shared else self.covariances[order]
        return Gaussians(self.weights[order], self.means[order], covariances, self.covariance_type)

    def full_covariances(self) -> FloatArray:
        """Return a matrix for each component, shape (K, d, d), whatever the type."""
        K, d = self.means.shape
        spread = self.covariance_type.spread(self.covariances, K, d)
        return spread if self.covariance_type.dense else spread[:, :, np.newaxis] * np.eye(d)


def natural_parameters(gaussians: Gaussians, origin: FloatArray, variance: float = 0.0) -> FloatArray:
    r"""Return theta (..., K, F) with theta_k . phi(x - origin) = log weights[k] + log N(x | means[k], covariances[k]).

    Parameters
    ----------
    gaussians : Gaussians
    origin : ndarray of shape (d,)
        What was subtracted from the samples before phi was taken.
    variance : float
        Variance that each sample carries in each feature. With it the score is the expectation of the line above
        over N(x, variance I), that is, less variance / 2 * trace of the inverse covariance.

    Raises
    ------
    SingularCovarianceError
        If a covariance has no inverse.
    """
    covariance_type = gaussians.covariance_type
    *stack, K, d = gaussians.means.shape
    factors = covariance_type.spread(gaussians.factors, K, d)
    to_origin = origin - gaussians.means
    if covariance_type.dense:
        # Rows of W with W (1, x) = C^T (x - mean): the score is its peak less half of (1, x)^T (W^T W) (1, x).
        whitening = np.empty((*stack, K, d, 1 + d))
        linear = whitening[..., 1:]
        linear[...] = factors.swapaxes(-1, -2)
        np.matmul(linear, to_origin[..., np.newaxis], out=whitening[..., :1])
        squares = (whitening.swapaxes(-1, -2) @ whitening).reshape(*stack, K, -1)
        places, halves = _upper_places(1 + d)
        theta = squares.take(places, axis=-1) * halves
        traces = np.einsum("...ij,...ij->...", factors, factors)
    else:
        inverse, whitened = factors**2, factors * to_origin
        constant = -0.5 * np.vecdot(whitened, whitened)
        theta = np.concatenate([constant[..., np.newaxis], -inverse * to_origin, -0.5 * inverse], axis=-1)
        traces = inverse.sum(axis=-1)
    theta[..., 0] += _log_peaks(gaussians, factors) - 0.5 * variance * traces
    return theta


def log_joint(
    gaussians: Gaussians, cells: Cells, margin: float = np.inf
) -> Iterator[tuple[slice, npt.NDArray[np.intp], FloatArray]]:
    """Yield block by block: columns of `cells`, components, and log weights[k] + log N(x | ...), shape (K, block).

    Components whose score stays more than `margin` below the largest all over the block are left out. Of a cell with
    scatter the score is the mean over the cell.

    The same scores as by `natural_parameters`, but from whitened differences: where components are narrow (16-bit
    colours), terms of 1e10 cancel in the other form, and 1e-6 of a nat is lost. For what is reported; a sweep needs the
    linear form.
    """
    covariance_type = gaussians.covariance_type
    K, d = gaussians.means.shape
    factors = covariance_type.spread(gaussians.factors, K, d)
    half_squares = _half_squares_dense if covariance_type.dense else _half_squares_diagonal
    offsets = gaussians.means - cells.origin
    peaks = _log_peaks(gaussians, factors)[:, np.newaxis]
    theta = natural_parameters(gaussians, cells.origin)
    blocks = cells.blocks(*theta.shape)
    everyone = np.arange(K)
    nearby = blocks.near(theta, margin) if margin < np.inf else repeat(slice(None), len(blocks.columns))
    for columns, near in zip(blocks.columns, nearby, strict=True):
        # About a point of the block, both sides of the difference are as small as it is.
        about = cells.offsets[:, columns.start]
        scores = half_squares(factors[near], offsets[near] - about, cells.offsets[:, columns] - about[:, np.newaxis])
        np.subtract(peaks[near], scores, out=scores)
        if cells.scatter is not None:
            scores += theta[near, 1 + d :] @ second_moments(cells.scatter[:, columns], d, dense=covariance_type.dense)
        yield columns, everyone[near], scores


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
    """Return log weights[k] + log N(means[k] | means[k], covariances[k]), shape (..., K)."""
    with np.errstate(divide="ignore"):
        log_weights = np.maximum(np.log(gaussians.weights), LOG_OF_ZERO)
    roots = factors.diagonal(axis1=-2, axis2=-1) if gaussians.covariance_type.dense else factors
    return np.asarray(log_weights + np.log(roots).sum(axis=-1) - 0.5 * roots.shape[-1] * _LOG_2_PI)


def gaussians_from_moments(
    moments: FloatArray, origin: FloatArray, variance: float, previous: Gaussians, *, means_fixed: bool = False
) -> Gaussians:
    """M-step: read weights, means and covariances, of the type of `previous`, off the moments (..., K, F) of a sweep.

    `variance` is what each sample carries (see `natural_parameters`); it is added to every covariance, after the
    subtraction that cancels. `previous` serves `keep_vanished` too. With `means_fixed` its means stay, and covariances
    are taken about them: E[(x - mu)(x - mu)^T] is the scatter about the samples' own mean m, plus (m - mu)(m - mu)^T.
    """
    covariance_type, d = previous.covariance_type, len(origin)
    totals = safe = moments[..., 0]
    any_vanished = totals.min() <= _LEAST_TOTAL
    if any_vanished:
        # Momentum may carry a total below 0: were it kept, the other weights would sum to more than 1.
        vanished = totals <= _LEAST_TOTAL
        totals, safe = np.where(vanished, 0.0, totals), np.where(vanished, 1.0, totals)
    expected = moments[..., 1:] / safe[..., np.newaxis]
    offsets = expected[..., :d]
    scatter = _scatter(expected[..., d:], offsets, variance, covariance_type)
    if means_fixed:
        scatter += _squares(offsets - (previous.means - origin), dense=covariance_type.dense)
    means = previous.means if means_fixed else offsets + origin
    updated = Gaussians(
        totals / totals.sum(axis=-1, keepdims=True), means, covariance_type.pool(scatter, totals), covariance_type
    )
    return keep_vanished(updated, vanished, previous) if any_vanished else updated


def keep_vanished(updated: Gaussians, vanished: npt.NDArray[np.bool_], previous: Gaussians) -> Gaussians:
    """Give components that no sample belongs to weight 0 and leave their means and covariances where they were.

    Their moments are 0 / 0. With weight 0 they add nothing to any density, so the objective is what it would be
    without them, still does not fall, and the arrays keep the shape that was asked for.
    """
    covariances = updated.covariances.copy()
    if not updated.covariance_type.shared:
        covariances[vanished] = previous.covariances[vanished]
    return Gaussians(
        np.where(vanished, 0.0, updated.weights),
        np.where(vanished[..., np.newaxis], previous.means, updated.means),
        covariances,
        updated.covariance_type,
    )


def _scatter(second: FloatArray, offsets: FloatArray, variance: float, covariance_type: CovarianceType) -> FloatArray:
    """Return the scatter of each component about its mean, (..., K, d, d) if dense, else (..., K, d), from E[x x^T]."""
    if not covariance_type.dense:
        return second - offsets**2 + variance
    d = offsets.shape[-1]
    return np.asarray(second.take(_places(d), axis=-1) - _squares(offsets, dense=True) + variance * _identity(d))


def _squares(shifts: FloatArray, *, dense: bool) -> FloatArray:
    """Return v v^T of each row v of `shifts` (..., K, d), shape (..., K, d, d), or its diagonal, (..., K, d)."""
    return shifts[..., :, np.newaxis] * shifts[..., np.newaxis, :] if dense else shifts**2


@cache
def _places(d: int) -> npt.NDArray[np.intp]:
    """Return where each entry of a symmetric d x d matrix stands in its upper triangle."""
    places = np.empty((d, d), dtype=np.intp)
    rows, columns = upper_triangle(d)
    places[rows, columns] = places[columns, rows] = np.arange(rows.size)
    return places


@cache
def _upper_places(d: int) -> tuple[npt.NDArray[np.intp], FloatArray]:
    """Return where the upper triangle of a d x d matrix A stands row by row, and what -x^T A x / 2 takes of each entry.

    It takes minus a half of one on the diagonal, and minus one beside it, for the one below.
    """
    rows, columns = upper_triangle(d)
    return rows * d + columns, np.where(rows == columns, -0.5, -1.0)


@cache
def _identity(d: int) -> FloatArray:
    return np.eye(d)
