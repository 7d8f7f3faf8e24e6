"""Information criteria of a mixture, and a choice of k by them. Smaller is better.

Schwarz 1978 (BIC), Akaike 1974 (AIC), Biernacki, Celeux and Govaert 2000 (ICL). Pixels are many and not independent, so
BIC nearly always prefers the largest mixture; ICL, which also penalises uncertain assignments, does not.
"""

from __future__ import annotations

import math
import sys
from collections.abc import Sequence
from typing import NamedTuple

from gmmquant.models.covariance import FULL, CovarianceType

# The fraction of the largest gain in ICL over one component that the chosen k keeps. Around its minimum the ICL is
# flat, and uneven by the luck of the starts: for 5 of 13 images the minimum was at the end of the path, or moved by two
# steps or more when the image was halved in size or saved as JPEG at quality 90. With 0.85 to 0.9, chosen on these
# images, none did.
KEPT_GAIN = 0.9

# The same for mixtures with shrunken covariances, whose ICL falls up to the end of the path for most photographs. With
# 0.75 no choice for 17 images was at the end, or moved by two steps; with 0.9 one was, and another did.
KEPT_GAIN_SHRUNKEN = 0.75

_ANY = range(1, sys.maxsize)


def n_parameters(n_components: int, n_features: int, covariance_type: CovarianceType = FULL) -> int:
    """Return the number of free parameters: weights (less one, as they sum to 1), means and covariances."""
    return n_components - 1 + n_components * n_features + covariance_type.n_parameters(n_components, n_features)


class Criteria(NamedTuple):
    """The information criteria of a mixture with k components."""

    k: int
    aic: float
    bic: float
    icl: float

    @classmethod
    def of(cls, k: int, log_likelihood: float, entropy: float, n_parameters: int, n_samples: float) -> Criteria:
        """Return the criteria; log-likelihood and entropy of the responsibilities are sums over samples, in nats.

        Nearly invisible pixels may weigh less than one sample together. They count as one, since BIC would otherwise
        reward parameters.
        """
        bic = n_parameters * math.log(max(n_samples, 1.0)) - 2 * log_likelihood
        return cls(k, 2 * n_parameters - 2 * log_likelihood, bic, bic + 2 * entropy)


class Choice(NamedTuple):
    """A choice of k, and the path of fits, in ascending order of k, that it was made from.

    The path is empty if there was nothing to fit; then k is 0. On it, k outside `candidates` are
    references: they cannot be chosen, or would need more colours than there are.
    """

    k: int
    path: tuple[Criteria, ...]
    kept_gain: float = KEPT_GAIN
    candidates: range = _ANY

    @property
    def lowest_icl(self) -> int:
        """The k of the lowest ICL on the path."""
        return min(self.path, key=lambda criteria: criteria.icl).k if self.path else self.k

    @property
    def runner_up(self) -> int:
        """The k of the lowest ICL among the other candidates after the first; k itself if there are none."""
        others = [entry for entry in self.path[1:] if entry.k in self.candidates and entry.k != self.k]
        return min(others, key=lambda criteria: criteria.icl).k if others else self.k

    @property
    def lowest_bic(self) -> int:
        """The k of the lowest BIC among the candidates."""
        path = [criteria for criteria in self.path if criteria.k in self.candidates]
        return min(path, key=lambda criteria: criteria.bic).k if path else self.k


class Tried(NamedTuple):
    """A k that was tried, the mean difference of its fit, and whether the fit was to all samples or to coarse cells."""

    k: int
    difference: float
    full: bool


class BoundedChoice(NamedTuple):
    """The fewest components for a bound of the mean difference, the one reached, and the fits in their order.

    The difference is above the bound only if the largest k does not reach it.
    """

    k: int
    bound: float
    difference: float
    path: tuple[Tried, ...]


def choose(path: Sequence[Criteria], kept_gain: float = KEPT_GAIN, candidates: range = _ANY) -> Choice:
    """Choose the smallest k after the first that keeps the fraction `kept_gain` of the ICL's gain over the first.

    `path` is in ascending order of k. Its first entry, one component, is the reference of the gain. It is chosen only
    if there is no other: an image in one colour shows nothing. If no other k has a gain, the second entry is chosen.
    """
    first, *others = path
    if not others:
        return Choice(first.k, (first,), kept_gain, candidates)
    best = min(others, key=lambda criteria: criteria.icl)
    enough = max(best.icl, first.icl - kept_gain * (first.icl - best.icl)) if best.icl < first.icl else math.inf
    return Choice(next(criteria.k for criteria in others if criteria.icl <= enough), tuple(path), kept_gain, candidates)
