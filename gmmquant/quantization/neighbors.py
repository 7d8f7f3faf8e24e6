"""Labels that depend on neighbouring pixels: dithered or smoothed.

The methods are in `gmmquant.images`, imported where they are used; here they get the colours and scores of a fit.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy.typing as npt

from gmmquant.images.pixel_colors import PixelColors
from gmmquant.models.array_validation import FloatArray
from gmmquant.models.cells import Cells
from gmmquant.models.inference import posteriors
from gmmquant.models.kmeans import nearest_squared_distances
from gmmquant.quantization.fit import Fit
from gmmquant.settings import Settings

if TYPE_CHECKING:
    from gmmquant.images.dithering.pixels import Pixels

# Used instead of a variance of 0 about centers, if each colour is one of them.
_MIN_VARIANCE = 1e-12

_CHUNK_COLORS = 1 << 14

# Mixtures of more fitted colours reach all colours of an image nearly enough.
_MAX_UNREACHED_COLORS = 32


def dithered_labels(pixel_colors: PixelColors, points: Cells, fit: Fit, settings: Settings) -> npt.NDArray[Any]:
    """Return labels (height, width) dithered as the eye sees colours: see `gmmquant.images.dithering.mixing`.

    `points` are the distinct colours in the space of the fit.
    """
    from gmmquant.images.dithering.error_diffusion import floyd_steinberg
    from gmmquant.images.dithering.masks import bayer_mask, blue_noise_mask
    from gmmquant.images.dithering.mixing import mixing_of
    from gmmquant.images.dithering.ordered import ordered
    from gmmquant.images.dithering.posterior import sample_labels
    from gmmquant.images.dithering.reach import reachable

    pixels, seed, method = pixels_of(pixel_colors), settings.seed, settings.dither
    given = fit.fixed is not None and bool(fit.fixed.all())
    mixing = mixing_of(fit.palette, given=given)
    colors = mixing.from_srgb(fit.palette / 255)
    if method == "posterior":
        strength = 1.0 if settings.strength is None else settings.strength
        blocks = ((p.columns, p.components, p.responsibilities) for p in posteriors(points, fit.mixture))
        return sample_labels(pixels, blocks, colors, strength=strength, seed=seed)
    strength = mixing.strength if settings.strength is None else settings.strength
    values = pixel_colors.histogram.values
    for start in range(0, len(values), _CHUNK_COLORS):  # conversions of a chunk stay in cache
        values[start : start + _CHUNK_COLORS] = mixing.from_srgb(values[start : start + _CHUNK_COLORS])
    if strength > 0 and (given or len(colors) <= _MAX_UNREACHED_COLORS):
        values += strength * (reachable(values, colors, mixing) - values)
    if method == "floyd-steinberg":
        return floyd_steinberg(pixels, values, colors, seen=mixing.seen, strength=strength, seed=seed)
    mask = bayer_mask() if method == "bayer" else blue_noise_mask(seed=seed)
    return ordered(pixels, values, colors, mask, seen=mixing.seen, strength=strength)


def smoothed_labels(
    pixel_colors: PixelColors, points: Cells, theta: FloatArray, centers: FloatArray | None, strength: float
) -> npt.NDArray[Any]:
    """Return labels (height, width) that take account of their neighbours.

    `theta` are the scores of a mixture, or those of `centers`. KMeans is the limit of a mixture with one variance in
    all directions (Bishop, "Pattern Recognition and Machine Learning", 2006, section 9.3.2), so scores of centers are
    divided by the variance about them.
    """
    from gmmquant.images.smoothing import smooth_labels

    if centers is not None:
        squared = nearest_squared_distances(points, centers)
        variance = float((points.weights * squared).sum()) / (3 * points.total_weight)
        theta = theta / max(variance, _MIN_VARIANCE)
    return smooth_labels(pixels_of(pixel_colors), points, theta, strength)


def count_label_regions(labels: npt.NDArray[Any], pixel_colors: PixelColors) -> int:
    """Return the number of connected regions of `labels` (height, width) in all frames."""
    from gmmquant.images.regions import count_regions

    flat = pixel_colors.flat
    return count_regions(labels, flat.visible, flat.shape[0] // flat.n_frames)


def pixels_of(pixel_colors: PixelColors) -> Pixels:
    """Return the number of each pixel's colour, with what a method must know about the pixels."""
    from gmmquant.images.dithering.pixels import Pixels

    flat = pixel_colors.flat
    alpha = None if flat.visible_alpha is None else flat.alpha
    return Pixels(pixel_colors.laid_out(pixel_colors.numbers()), flat.visible, flat.shape[0] // flat.n_frames, alpha)
