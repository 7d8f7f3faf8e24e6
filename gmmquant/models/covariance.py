"""The types of covariance: how each pools the components' scatter, and what that means for their densities.

    full        each component has a full matrix              (K, d, d)
    tied        all components share one matrix                (d, d)
    diag        each component has a variance for each feature (K, d)
    spherical   each component has one variance                (K,)

The M-step pools the scatter of the components: not at all, over the components, or over the features. The result
maximises the objective under the type's constraint. A new type is one entry here, and its name in `CovarianceName`.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from typing import NamedTuple

import numpy as np

from gmmquant.errors import SingularCovarianceError
from gmmquant.models.array_validation import FloatArray
from gmmquant.models.scalar_validation import check_choice


class CovarianceType(NamedTuple):
    """A type of covariance, for K components and d features.

    Scatter is (K, d, d) if `dense`, otherwise (K, d). If `shared`, all components have the same covariance.
    `shape(K, d)` is the shape of the covariances, `pool(scatter, weights)` computes them from scatter and weights (K,),
    `spread(covariances, K, d)` returns them in the shape of scatter.
    """

    name: str
    dense: bool
    shared: bool
    shape: Callable[[int, int], tuple[int, ...]]
    pool: Callable[[FloatArray, FloatArray], FloatArray]
    spread: Callable[[FloatArray, int, int], FloatArray]
    n_parameters: Callable[[int, int], int]

    def __reduce__(self) -> str:
        """Pickle a type as the name of its constant: functions without a name cannot be pickled."""
        return self.name.upper()


FULL = CovarianceType(
    name="full",
    dense=True,
    shared=False,
    shape=lambda K, d: (K, d, d),
    pool=lambda scatter, weights: scatter,
    spread=lambda covariances, K, d: covariances,
    n_parameters=lambda K, d: K * d * (d + 1) // 2,
)
TIED = CovarianceType(
    name="tied",
    dense=True,
    shared=True,
    shape=lambda K, d: (d, d),
    pool=lambda scatter, weights: np.einsum("k,kij->ij", weights, scatter) / weights.sum(),
    spread=lambda covariances, K, d: np.broadcast_to(covariances, (K, d, d)),
    n_parameters=lambda K, d: d * (d + 1) // 2,
)
DIAG = CovarianceType(
    name="diag",
    dense=False,
    shared=False,
    shape=lambda K, d: (K, d),
    pool=lambda scatter, weights: scatter,
    spread=lambda covariances, K, d: covariances,
    n_parameters=lambda K, d: K * d,
)
SPHERICAL = CovarianceType(
    name="spherical",
    dense=False,
    shared=False,
    shape=lambda K, d: (K,),
    pool=lambda scatter, weights: scatter.mean(axis=1),
    spread=lambda covariances, K, d: np.broadcast_to(covariances[:, np.newaxis], (K, d)),
    n_parameters=lambda K, d: K,
)
COVARIANCE_TYPES = {covariance_type.name: covariance_type for covariance_type in (FULL, TIED, DIAG, SPHERICAL)}


def check_covariance_type(name: object) -> CovarianceType:
    """Return the type of that name."""
    return COVARIANCE_TYPES[check_choice("covariance_type", name, tuple(COVARIANCE_TYPES))]


def precisions_cholesky(covariances: FloatArray, covariance_type: CovarianceType) -> FloatArray:
    """Return C with C C^T = inverse covariance, in the shape of `covariances`: upper triangles or roots of variances.

    A covariance without inverse raises SingularCovarianceError. LAPACK takes 16 microseconds for sixteen 3 x 3
    matrices; the same entry by entry in numpy, without checks, took 14.
    """
    if not covariance_type.dense:
        if (covariances <= 0).any():
            raise collapse(covariances.reshape(len(covariances), -1).min(axis=1), covariance_type)
        return 1 / np.sqrt(covariances)
    try:
        factors = np.linalg.inv(np.linalg.cholesky(covariances)) * _lower_triangle(covariances.shape[-1])
    except np.linalg.LinAlgError:
        raise collapse(np.linalg.eigvalsh(covariances).min(axis=-1), covariance_type) from None
    return factors.swapaxes(-1, -2)


def precisions(factors: FloatArray, covariance_type: CovarianceType) -> FloatArray:
    """Return the inverse covariances from `precisions_cholesky`, in the same shape."""
    return factors @ np.swapaxes(factors, -1, -2) if covariance_type.dense else factors**2


@cache
def _lower_triangle(d: int) -> FloatArray:
    return np.tri(d)


def collapse(smallest: FloatArray, covariance_type: CovarianceType) -> SingularCovarianceError:
    """Return the error for covariances with these smallest variances, at least one of them not above 0."""
    shared = covariance_type.shared
    component = "the covariance that all components share" if shared else f"component {smallest.argmin()}"
    return SingularCovarianceError(
        f"{component} collapsed onto too few distinct samples (smallest variance of its covariance "
        f"{smallest.min():.3g}, must be above 0): use fewer components, a larger reg_covar, or other starting values"
    )
