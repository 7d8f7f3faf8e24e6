"""What the posterior shows of each pixel: maps of entropy and density, layers, an OpenRaster file.

The encoders are in `gmmquant.images`, imported where they are used.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

import numpy as np

from gmmquant.colors.spaces import SRGB
from gmmquant.images.pixel_colors import PixelColors
from gmmquant.images.recolor import ColorImage
from gmmquant.models.cells import Cells
from gmmquant.models.inference import posteriors
from gmmquant.parsing import hex_code
from gmmquant.quantization.fit import Fit

if TYPE_CHECKING:
    from gmmquant.images.layers import Layers
    from gmmquant.images.maps import GreyMap


def grey_maps(pixel_colors: PixelColors, points: Cells, fit: Fit) -> tuple[GreyMap, GreyMap]:
    """Return the entropy of each pixel's posterior in bits, and its log density in nats."""
    from gmmquant.images.maps import GreyMap

    entropy, log_density = np.empty((2, pixel_colors.histogram.n_colors))
    for posterior in posteriors(points, fit.mixture) if pixel_colors.flat.n_visible else ():
        entropy[posterior.columns] = posterior.entropies / np.log(2)
        log_density[posterior.columns] = posterior.log_densities
    return (
        GreyMap.of_entropy(pixel_colors.laid_out(entropy), len(fit.mixture.weights)),
        GreyMap.of_log_density(pixel_colors.laid_out(log_density), pixel_colors.flat.visible),
    )


def layer_images(pixel_colors: PixelColors, points: Cells, fit: Fit, *, exact: bool) -> Iterator[ColorImage]:
    """Yield a layer for each component, with its responsibility as alpha: see `Quantizer.layers`.

    `points` are the distinct colours in the space of the fit. There must be a visible pixel.
    """
    return _laid_out(pixel_colors, fit, _layers(pixel_colors, points, fit, exact=exact))


def openraster_file(pixel_colors: PixelColors, points: Cells, fit: Fit) -> bytes:
    """Return the exact layers, one above the other, as an OpenRaster file: see `Quantizer.openraster`."""
    from gmmquant.images.openraster import encode_openraster

    flat = pixel_colors.flat
    layers = _layers(pixel_colors, points, fit, exact=True, stacked=True)
    names = (f"{number} {hex_code(color)}" for number, color in enumerate(fit.palette, start=1))
    alpha, colors = layers.composed()
    pixels = pixel_colors.with_hidden(flat.laid_out(colors))
    composed = ColorImage(pixels, None if flat.visible is None else flat.laid_out(alpha))
    return encode_openraster(zip(names, _laid_out(pixel_colors, fit, layers), strict=True), composed)


def _layers(pixel_colors: PixelColors, points: Cells, fit: Fit, *, exact: bool, stacked: bool = False) -> Layers:
    from gmmquant.images.layers import Layers, Pixels

    histogram, flat, mixture = pixel_colors.histogram, pixel_colors.flat, fit.mixture
    index = pixel_colors.to_visible(pixel_colors.numbers())
    pixels, unmixing = Pixels.of(index, histogram.n_colors, flat.visible_alpha), None
    if exact:
        from gmmquant.images.unmixing import Unmixing

        values, largest = histogram.channels, histogram.largest
        if fit.space == SRGB.name:
            unmixing = Unmixing(mixture.means, mixture.full_covariances(), values, largest)
        else:
            variance = histogram.variance_in(SRGB, fit.noise)
            unmixing = Unmixing.from_colors(points, mixture, values, largest, variance)
    return Layers(points, mixture, fit.palette, pixels, unmixing, stacked=stacked)


def _laid_out(pixel_colors: PixelColors, fit: Fit, layers: Layers) -> Iterator[ColorImage]:
    """Yield layers as images, with the colours of the palette where they have no others."""
    flat = pixel_colors.flat
    for color, (alpha, colors) in zip(fit.palette, layers, strict=True):
        filled = np.broadcast_to(color, (*flat.shape, 3)) if colors is None else flat.laid_out(colors, color)
        yield ColorImage(filled, flat.laid_out(alpha))
