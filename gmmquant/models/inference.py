"""A fitted mixture applied to cells: responsibilities, densities, and their sums.

Computed from whitened differences (`log_joint`), at the mixture's own parameters and without a variance of samples.
Components that are far away in a block of cells are left out of it: together they would change no sum by a bit.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from gmmquant.models.array_validation import FloatArray
from gmmquant.models.cells import Cells
from gmmquant.models.gaussian import Gaussians, log_joint
from gmmquant.models.sweep import LOWEST, SOFTMAX, exp


@dataclass(frozen=True)
class Posterior:
    """What follows from a mixture for a block of n cells.

    Attributes
    ----------
    columns : slice
        The cells.
    components : ndarray of int, shape (K',), ascending
        Components that are near; the others have no responsibility here.
    responsibilities : ndarray of shape (K', n)
    log_densities : ndarray of shape (n,)
        log sum_k weights[k] N(x | means[k], covariances[k]).
    entropies : ndarray of shape (n,)
        Entropies of the responsibilities, in nats.
    """

    columns: slice
    components: npt.NDArray[np.intp]
    responsibilities: FloatArray
    log_densities: FloatArray
    entropies: FloatArray

    def mean(self, values: FloatArray) -> FloatArray:
        """Return the mean, by the responsibilities, of one row of `values` (K, m) per component: shape (n, m)."""
        return np.asarray(self.responsibilities.T @ values[self.components])


@dataclass(frozen=True)
class Evaluation:
    """Sums, over the samples that cells stand for, of log density and of entropy of the responsibilities, in nats."""

    log_likelihood: float
    entropy: float


def posteriors(cells: Cells, gaussians: Gaussians) -> Iterator[Posterior]:
    """Yield the posterior of each block of `cells`, in order."""
    for columns, components, scores in log_joint(gaussians, cells, SOFTMAX.margin):
        largest = scores.max(axis=0)
        scores -= largest
        np.maximum(scores, LOWEST, out=scores)
        responsibilities = exp(scores, np.empty_like(scores))
        normalizer = responsibilities.sum(axis=0)
        responsibilities /= normalizer
        scores *= responsibilities
        log_normalizer = np.log(normalizer)
        entropies = np.maximum(log_normalizer - scores.sum(axis=0), 0.0)
        yield Posterior(columns, components, responsibilities, log_normalizer + largest, entropies)


def evaluate(
    cells: Cells, gaussians: Gaussians, look: Callable[[Posterior], object] = lambda posterior: None
) -> Evaluation:
    """Sum log-likelihood and entropy over what the cells stand for; `look` sees each posterior."""
    log_likelihood = entropy = 0.0
    for posterior in posteriors(cells, gaussians):
        weights = cells.weights[posterior.columns]
        log_likelihood += float((weights * posterior.log_densities).sum())
        entropy += float((weights * posterior.entropies).sum())
        look(posterior)
    return Evaluation(log_likelihood, entropy)
