"""The fewest colours with which the recoloured image differs from the original by at most a bound, for `-k auto:DE`.

The difference is the distance in OKLab, a just noticeable one being 0.02 (CSS Color Module Level 4, section 13.2), so
2 in the hundredths that are used here. It falls with more colours, nearly without exceptions. So k is searched by
doubling and bisection: first by fits to coarse cells, which take milliseconds, then by fits to all colours near the k
found. The difference is always that of all colours.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from functools import cache
from typing import TYPE_CHECKING

import numpy as np

from gmmquant.colors.histogram import ColorHistogram
from gmmquant.colors.spaces import SRGB, srgb_to_oklab
from gmmquant.models.array_validation import FloatArray
from gmmquant.models.inference import posteriors
from gmmquant.models.selection import BoundedChoice, Tried
from gmmquant.models.sweep import most_probable
from gmmquant.settings import MAX_AUTO_K

if TYPE_CHECKING:
    from gmmquant.quantization.fit import Fit
    from gmmquant.quantization.fitter import Fitter

# Cells of the coarse fits: at least eight per component.
_MIN_COARSE_CELLS = 8 * MAX_AUTO_K

# Colours that are compared at a time, so that they stay in cache.
_CHUNK = 1 << 14


def fewest_colors(fitter: Fitter, bound: float) -> BoundedChoice:
    """Choose the k whose fit differs from the colours by at most `bound`, while that of k - 1 differs by more.

    The fit is kept by `fitter`. Without a visible pixel, k is 0.
    """
    if fitter.colors.n_colors == 0:
        return BoundedChoice(0, bound, 0.0, ())
    colors, path = fitter.colors, list[Tried]()
    fits: dict[int, Fit] = {}
    lowest = max(len(fitter.kept_colors), 1)
    most = MAX_AUTO_K
    if isinstance(colors, ColorHistogram):
        most = max(min(MAX_AUTO_K, colors.n_colors + len(fitter.kept_colors)), lowest)

    def search(fitter_of_fits: Fitter, start: int, *, full: bool) -> int:
        def reaches(k: int) -> bool:
            fits[k] = fitter_of_fits.fit(k)
            path.append(Tried(k, mean_difference(fitter, fits[k]), full))
            return path[-1].difference <= bound

        return least(cache(reaches), start, lowest, most)

    k = search(fitter, search(fitter.coarsened(_MIN_COARSE_CELLS), lowest, full=False), full=True)
    fitter.found[k] = fits[k]
    difference = next(tried.difference for tried in path if tried.full and tried.k == k)
    return BoundedChoice(k, bound, difference, tuple(path))


def least(reaches: Callable[[int], bool], start: int, lowest: int, most: int) -> int:
    """Return a k that reaches while k - 1 does not, or `lowest`; `most`, the last tried, if none is found.

    Steps that double lead away from `start`, bisection leads back. Where several k are such a k, it is one of them.
    """
    low, high, step = lowest - 1, most, 1  # low does not reach, high does, or is the most
    if reaches(start):
        high = start
        while high - step > low and reaches(high - step):
            high, step = high - step, 2 * step
        low = max(high - step, low)
    else:
        low = start
        while low + step < high and not reaches(low + step):
            low, step = low + step, 2 * step
        high = min(low + step, high)
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (low, middle) if reaches(middle) else (middle, high)
    reaches(high)
    return high


def mean_difference(fitter: Fitter, fit: Fit) -> float:
    """Return the mean over pixels of the OKLab distance, times 100, between the colours and those `fit` gives them.

    Colours are recoloured as the settings of `fitter` ask for, without dithering and smoothing.
    """
    points, palette = fitter.points, fit.palette.astype(np.float64)
    recoloring, _ = fit.drawing(fitter.settings)
    original = points if fitter.space is SRGB else fitter.colors.points(SRGB)

    def sum_of_distances(columns: slice, drawn: FloatArray) -> float:
        values = original.offsets[:, columns].T + original.origin
        distances = np.sqrt(((srgb_to_oklab(values) - srgb_to_oklab(drawn / 255)) ** 2).sum(axis=1))
        return float((points.weights[columns] * distances).sum())

    if recoloring == "soft":
        blocks = ((p.columns, np.rint(p.mean(palette))) for p in posteriors(points, fit.mixture))
    else:
        labels = most_probable(fit.scores(recoloring, points.origin), points)
        chunks = (slice(start, start + _CHUNK) for start in range(0, labels.size, _CHUNK))
        blocks = ((chunk, palette[labels[chunk]]) for chunk in chunks)
    return 100 * math.fsum(sum_of_distances(*block) for block in blocks) / points.total_weight
