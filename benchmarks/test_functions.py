"""Benchmarks of each stage of a fit: python -m pytest benchmarks --benchmark-only."""

from pathlib import Path

import numpy as np
import pytest

from gmmquant import Quantizer, read_image
from gmmquant.colors.histogram import ColorHistogram
from gmmquant.colors.morton import encode
from gmmquant.images.encoding.encode import encode_image
from gmmquant.images.recolor import IndexedImage
from gmmquant.models.gaussian import natural_parameters
from gmmquant.models.inference import evaluate
from gmmquant.models.sweep import most_probable, sweep
from gmmquant.quantization.fitter import Fitter

IMAGE = Path(__file__).parent.parent / "sample_images" / "coffee.png"


@pytest.fixture(scope="module")
def pixels():
    return read_image(IMAGE).pixels


@pytest.fixture(scope="module")
def quantizer(pixels):
    return Quantizer(pixels)


def test_read(benchmark):
    benchmark(read_image, IMAGE)


def test_histogram(benchmark, pixels):
    benchmark(lambda: ColorHistogram.from_codes(encode(pixels.reshape(-1, 3)), 8))


def test_cells(benchmark, quantizer):
    benchmark(quantizer.histogram.cells)


def test_levels(benchmark, quantizer):
    benchmark.pedantic(lambda fresh: fresh.levels, setup=lambda: ((Fitter(quantizer.histogram),), {}), rounds=20)


@pytest.mark.parametrize("k", [2, 7, 20, 64, 256])
def test_sweep_over_the_distinct_colours(benchmark, quantizer, k):
    cells, mixture = quantizer.histogram.cells(), quantizer.fit(k).mixture
    theta = natural_parameters(mixture, cells.origin, quantizer.histogram.rounding_variance)
    benchmark(sweep, theta, cells)


def test_likelihood(benchmark, quantizer):
    benchmark(evaluate, quantizer.histogram.cells(), quantizer.fit(20).mixture)


def test_labels_of_colours(benchmark, quantizer):
    cells, mixture = quantizer.histogram.cells(), quantizer.fit(20).mixture
    benchmark(most_probable, natural_parameters(mixture, cells.origin), cells)


def test_labels_of_pixels(benchmark, quantizer, pixels):
    codes, labels = encode(pixels.reshape(-1, 3)), np.zeros(quantizer.histogram.n_colors, np.uint8)
    benchmark(quantizer.histogram.to_pixels, labels, codes)


def test_png(benchmark, quantizer):
    fit = quantizer.fit(20)
    benchmark(encode_image, IndexedImage(fit.labels, fit.palette), "png")


@pytest.mark.parametrize("k", [2, 3, 7, 20])
def test_fit(benchmark, quantizer, k):
    benchmark(quantizer.fit, k)
