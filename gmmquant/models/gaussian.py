"""The parameters of a Gaussian mixture: to scores (natural parameters) and back from moments."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from gmmquant.errors import SingularCovarianceError
from gmmquant.models.checks import FloatArray
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
    covariances : ndarray of shape (K, d, d)
    """

    weights: FloatArray
    means: FloatArray
    covariances: FloatArray

    def sorted(self) -> Gaussians:
        """Return the same mixture with the heaviest component first; equal weights in order of their means."""
        keys = [*self.means.T[::-1], -self.weights]
        order = np.lexsort(keys)
        return Gaussians(self.weights[order], self.means[order], self.covariances[order])


def precision_factors(covariances: FloatArray) -> FloatArray:
    """Return A with A^T A = inverse covariance, lower triangular, shape (K, d, d).

    Raises
    ------
    SingularCovarianceError
        If a covariance has no inverse.
    """
    try:
        return np.asarray(np.linalg.inv(np.linalg.cholesky(covariances)))
    except np.linalg.LinAlgError:
        raise SingularCovarianceError(_collapse_message(covariances)) from None


def natural_parameters(gaussians: Gaussians, center: FloatArray, variance: float = 0.0) -> FloatArray:
    r"""Return theta (K, F) with theta_k . phi(x - center) = log weights[k] + log N(x | means[k], covariances[k]).

    Parameters
    ----------
    gaussians : Gaussians
    center : ndarray of shape (d,)
        What was subtracted from the samples before phi was taken.
    variance : float
        Variance that each sample carries in each feature. With it the score is the expectation of the line above
        over N(x, variance I), that is, less variance / 2 * trace of the inverse covariance.
    """
    d = len(center)
    factors = precision_factors(gaussians.covariances)
    precisions = factors.transpose(0, 2, 1) @ factors
    offsets = gaussians.means - center
    whitened = np.einsum("kij,kj->ki", factors, offsets)
    constant = _log_peaks(gaussians, factors) - 0.5 * (whitened**2).sum(axis=1)
    constant -= 0.5 * variance * np.trace(precisions, axis1=1, axis2=2)
    linear = np.einsum("kij,kj->ki", precisions, offsets)
    rows, columns = np.triu_indices(d)
    quadratic = -precisions[:, rows, columns]
    quadratic[:, rows == columns] *= 0.5
    return np.column_stack([constant, linear, quadratic])


def log_joint(gaussians: Gaussians, cells: Cells) -> Iterator[tuple[slice, FloatArray]]:
    """Yield, block by block, the columns of `cells` and log weights[k] + log N(x | ...) at their means, (K, block).

    The same scores as by `natural_parameters`, but from whitened differences: where components are narrow (16-bit
    colours), terms of 1e10 cancel in the other form, and 1e-6 of a nat is lost. For what is reported; a sweep needs the
    linear form.
    """
    K, d = gaussians.means.shape
    factors = precision_factors(gaussians.covariances)
    whitened_means = np.einsum("kij,kj->ki", factors, gaussians.means - cells.center)
    peaks = _log_peaks(gaussians, factors)[:, np.newaxis]
    for columns in cells.blocks(K * d):
        whitened = (factors.reshape(K * d, d) @ cells.offsets[:, columns]).reshape(K, d, -1)
        whitened -= whitened_means[:, :, np.newaxis]
        yield columns, peaks - 0.5 * (whitened * whitened).sum(axis=1)


def _log_peaks(gaussians: Gaussians, factors: FloatArray) -> FloatArray:
    """Return log weights[k] + log N(means[k] | means[k], covariances[k]), shape (K,)."""
    log_weights = np.full(len(gaussians.weights), LOG_OF_ZERO)
    np.log(gaussians.weights, out=log_weights, where=gaussians.weights > 0)
    log_det = np.log(np.diagonal(factors, axis1=1, axis2=2)).sum(axis=1)
    return np.asarray(log_weights + log_det - 0.5 * gaussians.means.shape[1] * np.log(2 * np.pi))


def gaussians_from_moments(moments: FloatArray, center: FloatArray, variance: float, previous: Gaussians) -> Gaussians:
    """M-step: read weights, means and covariances off the moments (K, F) of a sweep.

    `variance` is what each sample carries (see `natural_parameters`); it is added to every covariance, after the
    subtraction that cancels. `previous` serves `keep_vanished`.
    """
    d = len(center)
    totals = moments[:, 0]
    vanished = totals <= np.finfo(np.float64).tiny / np.finfo(np.float64).eps
    safe = np.where(vanished, 1.0, totals)[:, np.newaxis]
    offsets = moments[:, 1 : 1 + d] / safe
    rows, columns = np.triu_indices(d)
    upper = moments[:, 1 + d :] / safe - offsets[:, rows] * offsets[:, columns]
    covariances = np.empty((len(moments), d, d))
    covariances[:, rows, columns] = upper
    covariances[:, columns, rows] = upper
    covariances[:, range(d), range(d)] += variance
    updated = Gaussians(totals / totals.sum(), offsets + center, covariances)
    return keep_vanished(updated, vanished, previous) if vanished.any() else updated


def keep_vanished(updated: Gaussians, vanished: npt.NDArray[np.bool_], previous: Gaussians) -> Gaussians:
    """Give components that no sample belongs to weight 0 and leave their means and covariances where they were.

    Their moments are 0 / 0. With weight 0 they add nothing to any density, so the objective is what it would be
    without them, still does not fall, and the arrays keep the shape that was asked for.
    """
    return Gaussians(
        np.where(vanished, 0.0, updated.weights),
        np.where(vanished[:, np.newaxis], previous.means, updated.means),
        np.where(vanished[:, np.newaxis, np.newaxis], previous.covariances, updated.covariances),
    )


def _collapse_message(covariances: FloatArray) -> str:
    smallest = np.linalg.eigvalsh(covariances).min(axis=1)
    k = int(smallest.argmin())
    return (
        f"component {k} collapsed onto too few distinct samples (smallest eigenvalue of its covariance "
        f"{smallest[k]:.3g}, must be above 0): use fewer components, a larger reg_covar, or other starting values"
    )
