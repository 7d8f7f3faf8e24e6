"""Random swaps of components for some seconds, from a fit: an estimate of the best likelihood that there is.

A component is removed and another split, EM runs for a few iterations, and the mixture is kept if it is better (Zhao,
Hautamaki and Franti, "Random swap EM algorithm for finite mixture models in image segmentation", 2009).
"""

from __future__ import annotations

import time
from functools import partial

import numpy as np
import numpy.typing as npt

from gmmquant import Settings
from gmmquant.colors.histogram import ColorHistogram
from gmmquant.errors import SingularCovarianceError
from gmmquant.models.coarse_to_fine import descend
from gmmquant.models.em import em
from gmmquant.models.gaussian import Gaussians
from gmmquant.models.inference import evaluate
from gmmquant.quantization.fitter import Fitter

# Swaps are tried on the level with about this number of cells.
_CELLS = 10_000

# Iterations of a try, and how far below the best J it may be after these.
_STAGES = ((8, 0.05), (15, 0.01), (40, 0.0))


def best_by_swaps(pixels: npt.NDArray[np.uint8], k: int, seconds: float, seed: int = 0) -> float:
    """Return the mean log-likelihood of `pixels` (n, 3) after `seconds` of processor time of random swaps."""
    fitter, rng = (
        Fitter(ColorHistogram.from_pixels(pixels), Settings(style="likelihood", search="none")),
        np.random.default_rng(seed),
    )
    levels, variance = fitter.levels, fitter.variance
    level = min(range(len(levels)), key=lambda index: abs(np.log(levels[index].weights.size / _CELLS)))
    improve = partial(em, levels[level], variance=variance, tol=1e-5, accelerated=True)
    best = improve(fitter.fit(k).mixture, max_iter=100)
    started = time.process_time()
    while time.process_time() - started < seconds:
        try:
            fit = improve(_swapped(best.gaussians, rng), max_iter=0)
            for max_iter, slack in _STAGES:
                fit = improve(fit.gaussians, max_iter=max_iter)
                if fit.trace[-1] < best.trace[-1] - slack:
                    break
        except SingularCovarianceError:
            continue
        if fit.trace[-1] > best.trace[-1] + 1e-5:
            best = fit
    final = descend(levels[level:], best, variance=variance, tol=1e-5, max_iter=None)
    return evaluate(fitter.points, final.gaussians).log_likelihood / len(pixels)


def _swapped(gaussians: Gaussians, rng: np.random.Generator) -> Gaussians:
    """Return the mixture without one component, and with another split at random."""
    removed, split = rng.choice(len(gaussians.weights), 2, replace=False)
    weights, means, covariances = (
        array.copy() for array in (gaussians.weights, gaussians.means, gaussians.covariances)
    )
    variances, axes = np.linalg.eigh(covariances[split])
    step = axes[:, -1] * np.sqrt(variances[-1]) * rng.choice([0.5, 0.8, 1.0])
    if rng.random() < 0.3:
        direction = rng.normal(size=3)
        step = 0.9 * np.linalg.cholesky(covariances[split]) @ (direction / np.linalg.norm(direction))
    share = rng.choice([0.5, 0.2, 0.1])
    shape = covariances[split] - 0.7 * share * (1 - share) * np.outer(step, step)
    weights[removed], weights[split] = share * weights[split], (1 - share) * weights[split]
    means[removed], means[split] = means[split] + (1 - share) * step, means[split] - share * step
    covariances[removed], covariances[split] = shape * rng.choice([1.0, 0.3, 0.1]), shape
    return Gaussians(weights / weights.sum(), means, covariances)
