"""The noise that pixel values are uncertain by."""

import json

import numpy as np
import pytest
from helpers import read_sample
from PIL import Image

from gmmquant import ColorHistogram, GaussianMixture, Quantizer, quantize
from gmmquant.colors.color_sum import ColorCells, add_up
from gmmquant.colors.spaces import COLOR_SPACES
from gmmquant.quantization.fitter import Fitter
from gmmquant.settings import Settings


@pytest.fixture(scope="module")
def flat():
    return read_sample("flat.png")[..., :3]


@pytest.fixture(scope="module")
def histogram():
    return ColorHistogram.from_pixels(read_sample("cat.jpg")[::3, ::3].reshape(-1, 3))


def test_noise_is_the_reg_covar_of_an_estimator(histogram):
    """From the same start, the estimator with `reg_covar` (s / 255)^2 makes the same steps."""
    fit = Fitter(histogram, Settings(noise=2.0, shrink=0.0, init="random_from_data", max_iter=500, tol=1e-9)).fit(3)
    mixture = fit.mixture
    estimator = GaussianMixture(
        3,
        reg_covar=(2 / 255) ** 2,
        tol=1e-10,
        max_iter=500,
        weights_init=mixture.weights,
        means_init=mixture.means,
        precisions_init=np.linalg.inv(mixture.covariances),
    ).fit(histogram.values, sample_weight=histogram.counts)
    assert fit.trace[-1] == pytest.approx(estimator.lower_bound_, abs=1e-6)
    np.testing.assert_allclose(estimator.means_, mixture.means, atol=1e-3)


@pytest.mark.parametrize("noise", [1.0, 2.0, 3.0])
def test_no_component_is_narrower_than_the_noise(histogram, noise):
    narrowest = np.linalg.eigvalsh(Fitter(histogram, Settings(noise=noise)).fit(16).mixture.covariances).min()
    assert narrowest >= (noise / 255) ** 2 * (1 - 1e-9)


def test_noise_below_the_recording_step_changes_nothing(histogram):
    plain, same = (Fitter(histogram, Settings(noise=noise)).fit(5) for noise in (0.0, 0.2))
    np.testing.assert_array_equal(plain.mixture.covariances, same.mixture.covariances)
    assert plain.trace == same.trace


@pytest.mark.parametrize("space", ["linear", "lab", "oklab"])
def test_in_other_spaces_a_colour_scatters_as_noisy_samples_do(space):
    rng = np.random.default_rng(0)
    colors = rng.integers(40, 216, (20, 3)).astype(np.uint8)
    histogram = ColorHistogram.from_pixels(colors)
    scatter = histogram.cells(COLOR_SPACES[space], 3.0).scatter
    for color, upper in zip(histogram.colors, scatter.T, strict=True):
        noisy = COLOR_SPACES[space].from_srgb((color + rng.normal(0, 3, (20_000, 3))) / 255)
        expected = np.cov(noisy.T)[np.triu_indices(3)]
        np.testing.assert_allclose(upper, expected, rtol=0.08, atol=0.04 * np.abs(expected).max())


def test_16_bit_colours_have_the_noise_of_8_bit_ones(histogram):
    deep = ColorHistogram.from_pixels(histogram.colors.astype(np.uint16) * 257)
    for space in COLOR_SPACES.values():
        assert deep.variance_in(space, 2.0) == histogram.variance_in(space, 2.0)
    fits = [
        Fitter(colors, Settings(noise=2.0)).fit(4) for colors in (deep, ColorHistogram.from_pixels(histogram.colors))
    ]
    np.testing.assert_allclose(fits[0].mixture.means, fits[1].mixture.means, atol=1e-9)


def test_cells_of_many_16_bit_colours_have_the_noise_too():
    """In sRGB beside the cells, in other spaces in their scatter, as for a histogram of the same colours.

    The cubes are 32 levels wide, over which the curves of a space bend by some 15 %.
    """
    pixels = np.random.default_rng(1).integers(16_384, 49_152, (4000, 3)).astype(np.uint16)
    histogram = ColorHistogram.from_pixels(pixels)
    cells = add_up([histogram], limit=2000)
    assert isinstance(cells, ColorCells)
    for space in COLOR_SPACES.values():
        assert cells.variance_in(space, 5.0) == histogram.variance_in(space, 5.0)
        added = [colors.cells(space, 5.0).covariance - colors.cells(space).covariance for colors in (cells, histogram)]
        np.testing.assert_allclose(*added, rtol=0.2, atol=0.02 * np.abs(added[1]).max())


def test_exact_colours_and_kmeans_have_no_noise(flat):
    exact = [quantize(flat, 8, noise=noise) for noise in (0.0, 3.0)]
    assert exact[0].fit.exact
    assert exact[0].fit.trace == exact[1].fit.trace
    np.testing.assert_array_equal(exact[0].covariances, exact[1].covariances)
    settings = [Settings(method="kmeans", space="lab", noise=noise) for noise in (0.0, 3.0)]
    clusters = [Quantizer(read_sample("cat.jpg"), each).fit(5) for each in settings]
    assert clusters[0].fit.trace == clusters[1].fit.trace
    assert clusters[0].log_likelihood == clusters[1].log_likelihood


def test_the_command_records_noise_and_shrinkage_and_recolours_as_python_does(command, tmp_path, samples):
    result = command(samples / "cat.jpg", "-k", "5", "--noise", "2", "--shrink", "0.8", "-o", "out")
    assert result.returncode == 0, result.stderr
    settings = json.loads((tmp_path / "out/cat_report.json").read_text())["settings"]
    assert (settings["noise"], settings["shrink"]) == (2.0, 0.8)
    assert settings["reg_covar"] == pytest.approx((2 / 255) ** 2, rel=1e-12)
    with Image.open(tmp_path / "out/cat_k5.png") as image:
        expected = quantize(samples / "cat.jpg", 5, noise=2.0, shrink=0.8).image
        np.testing.assert_array_equal(np.asarray(image.convert("RGB")), expected)


def test_an_image_of_low_contrast_is_not_taken_for_noise():
    rng = np.random.default_rng(0)
    dark = np.clip(rng.normal(3, 2, (60, 60, 3)), 0, 9).round().astype(np.uint8)
    spread = np.sqrt(dark.reshape(-1, 3).var(axis=0).mean())
    for space in ("srgb", "lab"):
        fits = quantize(dark, [8, 32], noise=2.0, shrink=0.9, space=space)
        for fit in fits:
            assert fit.fit.noise == pytest.approx(spread / 8, rel=1e-9)
            assert len(np.unique(fit.palette, axis=0)) >= (0.9 if space == "srgb" else 0.6) * fit.k
    assert Quantizer(read_sample("cat.jpg"), noise=2.0).fitter.noise == 2.0
