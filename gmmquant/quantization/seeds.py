"""Fits from several seeds: the best of them, and the spread of their likelihoods."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

from gmmquant.models.cells import Cells
from gmmquant.models.inference import evaluate
from gmmquant.quantization.fit import Fit, SeedFigures


def best_of_seeds(seeds: range, fit_from: Callable[[int], Fit], points: Cells) -> Fit:
    """Return the best of the fits from `seeds`, with the figures of all.

    The best mixture has the highest likelihood of `points`, the best result of KMeans the least squared error.
    """
    fits = {seed: fit_from(seed) for seed in seeds}
    total = float(points.weights.sum())
    figures = tuple(
        SeedFigures(seed, evaluate(points, fit.mixture).log_likelihood / total, fit.trace[-1])
        for seed, fit in fits.items()
    )

    def quality(figure: SeedFigures) -> float:
        return -figure.objective if fits[figure.seed].method == "kmeans" else figure.mean_log_likelihood

    seed = max(figures, key=quality).seed
    best = fits[seed]
    seconds = {name: sum(fit.seconds[name] for fit in fits.values()) for name in best.seconds}
    return replace(best, seconds=seconds, seeds=figures, seed=seed)
