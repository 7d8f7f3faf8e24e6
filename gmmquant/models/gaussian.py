"""The parameters of a Gaussian mixture: to scores (natural parameters) and back from moments."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from gmmquant.models.checks import FloatArray
from gmmquant.models.covariance import FULL, CovarianceType, precisions, precisions_cholesky
from gmmquant.models.moments import Cells

# Stands in for the logarithm of a vanished component's weight: far below that of any density, but finite, since
# infinities in a matrix product raise floating-point warnings.
LOG_OF_ZERO = -1e300


@dataclass(frozen=True)
class Gaussians:
    """A mixture of K Gaussians in d dimensions: sum over k of weights[k] N(x | means[k], covariances[k]).

    Attributes
    ----------
    weights : ndarray of shape (K,), summing to 1; a component that vanished has weight 0
    means : ndarray of shape (K, d)
    covariances : ndarray whose shape depends on `kind`, (K, d, d) for full covariances
    kind : CovarianceType
    """

    weights: FloatArray
    means: FloatArray
    covariances: FloatArray
    kind: CovarianceType = FULL

    def sorted(self) -> Gaussians:
        """Return the same mixture with the heaviest component first; equal weights in order of their means."""
        order = np.lexsort([*self.means.T[::-1], -self.weights])
        covariances = self.covariances if self.kind.shared else self.covariances[order]
        return Gaussians(self.weights[order], self.means[order], covariances, self.kind)

    def full_covariances(self) -> FloatArray:
        """Return a matrix for each component, shape (K, d, d), whatever the type."""
        K, d = self.means.shape
        spread = self.kind.spread(self.covariances, K, d)
        return spread if self.kind.dense else spread[:, :, np.newaxis] * np.eye(d)


def natural_parameters(gaussians: Gaussians, origin: FloatArray, variance: float = 0.0) -> FloatArray:
    r"""Return theta (K, F) with theta_k . phi(x - origin) = log weights[k] + log N(x | means[k], covariances[k]).

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
    kind = gaussians.kind
    K, d = gaussians.means.shape
    factors = precisions_cholesky(gaussians.covariances, kind)
    inverse = kind.spread(precisions(factors, kind), K, d)
    factors = kind.spread(factors, K, d)
    offsets = gaussians.means - origin
    if kind.dense:
        linear = np.einsum("kij,kj->ki", inverse, offsets)
        traces = np.trace(inverse, axis1=1, axis2=2)
        rows, columns = np.triu_indices(d)
        quadratic = -inverse[:, rows, columns]
        quadratic[:, rows == columns] *= 0.5
    else:
        linear = offsets * inverse
        traces = inverse.sum(axis=1)
        quadratic = -0.5 * inverse
    whitened = _whiten(factors, offsets[:, :, np.newaxis])[:, :, 0]
    constant = _log_peaks(gaussians, factors) - 0.5 * (whitened**2).sum(axis=1) - 0.5 * variance * traces
    return np.column_stack([constant, linear, quadratic])


def log_joint(gaussians: Gaussians, cells: Cells) -> Iterator[tuple[slice, FloatArray]]:
    """Yield, block by block, the columns of `cells` and log weights[k] + log N(x | ...), shape (K, block).

    Of a cell with scatter it is the mean over the cell.

    The same scores as by `natural_parameters`, but from whitened differences: where components are narrow (16-bit
    colours), terms of 1e10 cancel in the other form, and 1e-6 of a nat is lost. For what is reported; a sweep needs the
    linear form.
    """
    kind = gaussians.kind
    K, d = gaussians.means.shape
    factors = kind.spread(precisions_cholesky(gaussians.covariances, kind), K, d)
    offsets = (gaussians.means - cells.origin)[:, :, np.newaxis]
    peaks = _log_peaks(gaussians, factors)[:, np.newaxis]
    for columns in cells.blocks(K * d):
        whitened = _whiten(factors, cells.offsets[:, columns] - offsets)
        scores = peaks - 0.5 * (whitened * whitened).sum(axis=1)
        if cells.scatter is not None:
            scores += natural_parameters(gaussians, cells.origin)[:, 1 + d :] @ cells.second_moments_inside(
                columns, dense=kind.dense
            )
        yield columns, scores


def _whiten(factors: FloatArray, differences: FloatArray) -> FloatArray:
    """Return factors[k]^T @ differences[k], shape (K, d, n), for matrices (K, d, d) or their diagonals (K, d)."""
    if factors.ndim == 2:
        return factors[:, :, np.newaxis] * differences
    return np.swapaxes(factors, 1, 2) @ differences


def _log_peaks(gaussians: Gaussians, factors: FloatArray) -> FloatArray:
    """Return log weights[k] + log N(means[k] | means[k], covariances[k]), shape (K,)."""
    log_weights = np.full(len(gaussians.weights), LOG_OF_ZERO)
    np.log(gaussians.weights, out=log_weights, where=gaussians.weights > 0)
    roots = factors if factors.ndim == 2 else np.diagonal(factors, axis1=1, axis2=2)
    return np.asarray(log_weights + np.log(roots).sum(axis=1) - 0.5 * roots.shape[1] * np.log(2 * np.pi))


def gaussians_from_moments(moments: FloatArray, origin: FloatArray, variance: float, previous: Gaussians) -> Gaussians:
    """M-step: read weights, means and covariances, of the type of `previous`, off the moments (K, F) of a sweep.

    `variance` is what each sample carries (see `natural_parameters`); it is added to every covariance, after the
    subtraction that cancels. `previous` serves `keep_vanished` too.
    """
    kind, d = previous.kind, len(origin)
    totals = moments[:, 0]
    vanished = totals <= np.finfo(np.float64).tiny / np.finfo(np.float64).eps
    safe = np.where(vanished, 1.0, totals)[:, np.newaxis]
    offsets = moments[:, 1 : 1 + d] / safe
    scatter = _scatter(moments[:, 1 + d :] / safe, offsets, variance, kind)
    updated = Gaussians(totals / totals.sum(), offsets + origin, kind.pool(scatter, totals), kind)
    return keep_vanished(updated, vanished, previous) if vanished.any() else updated


def keep_vanished(updated: Gaussians, vanished: npt.NDArray[np.bool_], previous: Gaussians) -> Gaussians:
    """Give components that no sample belongs to weight 0 and leave their means and covariances where they were.

    Their moments are 0 / 0. With weight 0 they add nothing to any density, so the objective is what it would be
    without them, still does not fall, and the arrays keep the shape that was asked for.
    """
    covariances = updated.covariances.copy()
    if not updated.kind.shared:
        covariances[vanished] = previous.covariances[vanished]
    return Gaussians(
        np.where(vanished, 0.0, updated.weights),
        np.where(vanished[:, np.newaxis], previous.means, updated.means),
        covariances,
        updated.kind,
    )


def _scatter(second: FloatArray, offsets: FloatArray, variance: float, kind: CovarianceType) -> FloatArray:
    """Return the scatter of each component about its mean, (K, d, d) if dense, else (K, d), from E[x x^T]."""
    if not kind.dense:
        return second - offsets**2 + variance
    K, d = offsets.shape
    rows, columns = np.triu_indices(d)
    upper = second - offsets[:, rows] * offsets[:, columns]
    scatter = np.empty((K, d, d))
    scatter[:, rows, columns] = upper
    scatter[:, columns, rows] = upper
    scatter[:, range(d), range(d)] += variance
    return scatter
