"""A fitted mixture applied to cells: responsibilities, densities, and their sums.

They are computed from whitened differences (`log_joint`), without a variance of samples.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import NamedTuple

import numpy as np

from gmmquant.models.array_validation import FloatArray, IndexArray
from gmmquant.models.cells import Cells
from gmmquant.models.gaussian import Gaussians, log_joint
from gmmquant.models.sweep import LOWEST, MARGIN, exp


class Posterior(NamedTuple):
    """Responsibilities (K', n), log densities (n,) and entropies of the responsibilities (n,), in nats, of n cells.

    `columns` are the cells, `components` (K',), ascending, those that are near; the others have no responsibility here.
    """

    columns: slice
    components: IndexArray
    responsibilities: FloatArray
    log_densities: FloatArray
    entropies: FloatArray

    def mean(self, values: FloatArray) -> FloatArray:
        """Return the mean of `values` (K, m), a row per component, by the responsibilities of each cell: (n, m)."""
        return np.asarray(self.responsibilities.T @ values[self.components])


class Evaluation(NamedTuple):
    """Sums over all samples of log density and of entropy of the responsibilities, in nats."""

    log_likelihood: float
    entropy: float


def posteriors(cells: Cells, gaussians: Gaussians) -> Iterator[Posterior]:
    """Yield the posterior of each block of `cells`, in order."""
    for columns, components, scores in log_joint(gaussians, cells, MARGIN):
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
    """Return the sums over all samples in `cells`; `look` is called with the posterior of each block."""
    log_likelihood = entropy = 0.0
    for posterior in posteriors(cells, gaussians):
        weights = cells.weights[posterior.columns]
        log_likelihood += float((weights * posterior.log_densities).sum())
        entropy += float((weights * posterior.entropies).sum())
        look(posterior)
    return Evaluation(log_likelihood, entropy)
