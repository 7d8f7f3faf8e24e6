"""Information criteria of a mixture: the smaller, the better.

Schwarz 1978 (BIC), Akaike 1974 (AIC), Biernacki, Celeux and Govaert 2000 (ICL). Pixels are many and not independent,
so BIC nearly always prefers the largest mixture; ICL, which also charges for uncertain assignments, does not.
"""

import math

from gmmquant.models.covariance import FULL, CovarianceType


def n_parameters(n_components: int, n_features: int, kind: CovarianceType = FULL) -> int:
    """Return the number of free parameters: weights (less one, as they sum to 1), means and covariances."""
    return n_components - 1 + n_components * n_features + kind.n_parameters(n_components, n_features)


def aic(log_likelihood: float, n_parameters: int) -> float:
    """Return Akaike's criterion of a total `log_likelihood` in nats."""
    return 2 * n_parameters - 2 * log_likelihood


def bic(log_likelihood: float, n_parameters: int, n_samples: float) -> float:
    """Return the Bayesian information criterion of a total `log_likelihood` in nats over `n_samples`."""
    return n_parameters * math.log(n_samples) - 2 * log_likelihood


def icl(log_likelihood: float, n_parameters: int, n_samples: float, entropy: float) -> float:
    """Return BIC plus twice the total `entropy` of the responsibilities, in nats."""
    return bic(log_likelihood, n_parameters, n_samples) + 2 * entropy
