"""The four types of covariance: how each pools the components' scatter, and what that means for their densities.

    full        each component has its own matrix              (K, d, d)
    tied        all components share one matrix                (d, d)
    diag        each component has a variance for each feature (K, d)
    spherical   each component has one variance                (K,)

A type differs in two things only. Its scatter is dense (full, tied) or diagonal (diag, spherical), which decides how
many features a sweep needs; and the M-step pools that scatter: not at all, over the components, or over the features.
Each pooled value is the one that maximises the objective under the type's constraint.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cache

import numpy as np

from gmmquant.errors import SingularCovarianceError
from gmmquant.models.array_validation import FloatArray
from gmmquant.models.scalar_validation import COVARIANCE_NAMES, check_choice


@dataclass(frozen=True)
class CovarianceType:
    """What sets a type of covariance apart; K components, d features.

    Attributes
    ----------
    name : str
    dense : bool
        Whether features may correlate: scatter is (K, d, d), otherwise (K, d).
    shared : bool
        Whether all components have the same covariance.
    shape : function of (K, d) that gives the shape of the covariances
    pool : function of the scatter of each component and the weights (K,) that gives the covariances
    spread : function of covariances, K and d that gives them in the shape of scatter
    n_parameters : function of (K, d) that gives the number of free parameters
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
    return COVARIANCE_TYPES[check_choice("covariance_type", name, COVARIANCE_NAMES)]


def precisions_cholesky(covariances: FloatArray, covariance_type: CovarianceType) -> FloatArray:
    """Return C with C C^T = inverse covariance: upper triangular matrices, or the roots of inverse variances.

    The shape is that of `covariances`. LAPACK makes those of sixteen 3 x 3 matrices in 16 microseconds; written out
    entry by entry in numpy, without any check, it took 14.

    Raises
    ------
    SingularCovarianceError
        If a covariance has no inverse.
    """
    if not covariance_type.dense:
        if (covariances <= 0).any():
            raise _collapse(covariances.min(axis=-1) if covariances.ndim == 2 else covariances, covariance_type)
        return 1 / np.sqrt(covariances)
    try:
        factors = np.linalg.inv(np.linalg.cholesky(covariances)) * _lower_triangle(covariances.shape[-1])
    except np.linalg.LinAlgError:
        raise _collapse(np.linalg.eigvalsh(covariances).min(axis=-1), covariance_type) from None
    return factors.swapaxes(-1, -2)


@cache
def _lower_triangle(d: int) -> FloatArray:
    """Return a d x d matrix of ones on and below the diagonal, zeros above."""
    return np.tri(d)


def precisions(factors: FloatArray, covariance_type: CovarianceType) -> FloatArray:
    """Return the inverse covariances from `precisions_cholesky`, in the same shape."""
    return factors @ np.swapaxes(factors, -1, -2) if covariance_type.dense else factors**2


def covariances_from_precisions(values: FloatArray, covariance_type: CovarianceType) -> FloatArray:
    """Return the inverses of `values`, given in the shape of the type."""
    return np.asarray(np.linalg.inv(values)) if covariance_type.dense else 1 / values


def _collapse(smallest: FloatArray, covariance_type: CovarianceType) -> SingularCovarianceError:
    """Return the error for covariances with these smallest variances, at least one of them not above 0."""
    component = (
        "the covariance that all components share" if covariance_type.shared else f"component {smallest.argmin()}"
    )
    return SingularCovarianceError(
        f"{component} collapsed onto too few distinct samples (smallest variance of its covariance "
        f"{smallest.min():.3g}, must be above 0): use fewer components, a larger reg_covar, or other starting values"
    )
