"""An inverse-Wishart prior that draws the full covariance of each component towards a common one.

The prior acts as `weight` more samples of each component, with the covariance `scale` about its mean (Fraley and
Raftery, "Bayesian regularization for normal mixture estimation and model-based clustering", 2007). The M-step then
maximises J less a penalty, and that objective never falls.

The common covariance has a given shape, and a third of the total variance of a tied mixture's. So borders between
components are nearly those of the nearest mean, in the metric of that shape: docs/noise-and-shape.md has the figures of
other choices.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from gmmquant.models.array_validation import FloatArray
from gmmquant.models.gaussian import Gaussians

# The fraction of the variance of a tied mixture that covariances are drawn towards.
SCALE = 1 / 3


class CovariancePrior(NamedTuple):
    """The prior of each component's covariance: `scale` is (d, d), `weight` a fraction of all samples."""

    scale: FloatArray
    weight: float

    @classmethod
    def towards(cls, tied: Gaussians, shrinkage: float, shape: FloatArray) -> CovariancePrior:
        """Return the prior that draws a component of average weight by `shrinkage`, below 1, to a `shape` (d, d)."""
        scale = SCALE * np.trace(tied.covariances) / np.trace(shape) * shape
        return cls(scale, shrinkage / (1 - shrinkage) / len(tied.weights))

    def shrunk(self, scatter: FloatArray, weights: FloatArray) -> FloatArray:
        """Return the mean of the `scatter` (K, d, d) of components with `weights` (K,) and that of the prior."""
        shares = (weights / (weights + self.weight))[:, np.newaxis, np.newaxis]
        return self.scale + shares * (scatter - self.scale)

    def penalty(self, gaussians: Gaussians) -> float:
        """Return `weight` times the sum over components of KL(N(0, scale) || N(0, covariance)), in nats per sample."""
        (K, d), factors = gaussians.means.shape, gaussians.factors
        traces = np.vdot(self.scale @ factors, factors)
        log_roots = np.log(factors.diagonal(axis1=1, axis2=2)).sum()
        return float(self.weight * (0.5 * (traces - K * (d + np.linalg.slogdet(self.scale)[1])) - log_roots))
