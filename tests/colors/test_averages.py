"""Medians and modes of components, against their definitions written out with scipy's densities."""

import numpy as np
import pytest
from helpers import antialiased_logo, median_palette, read_sample
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.spatial.distance import cdist
from scipy.stats import multivariate_normal

from gmmquant import ColorHistogram, Quantizer, quantize
from gmmquant.colors import averages
from gmmquant.colors.averages import MAX_SHIFT, average_colors
from gmmquant.colors.spaces import COLOR_SPACES, SRGB
from gmmquant.models.gaussian import Gaussians
from gmmquant.quantization import fit_colors

LOGO_COLORS = [(255, 255, 255), (0, 0, 0), (29, 161, 242), (225, 48, 108)]


def component_of(colors, result, *, by_mean):
    """Return the component that each of `colors` (n, 3) is of."""
    points = COLOR_SPACES[result.fit.space].from_srgb(colors / 255)
    if by_mean:
        return cdist(points, result.means).argmin(axis=1)
    mixture = zip(result.weights, result.means, result.covariances, strict=True)
    return np.argmax([np.log(w) + multivariate_normal(m, c).logpdf(points) for w, m, c in mixture], axis=0)


def srgb_means(result):
    return 255 * np.clip(COLOR_SPACES[result.fit.space].to_srgb(result.means), 0, 1)


def expected_modes(image, result, *, by_mean):
    colors, counts = np.unique(image.reshape(-1, 3), axis=0, return_counts=True)
    labels, means = component_of(colors, result, by_mean=by_mean), srgb_means(result)
    palette = np.rint(means).astype(np.uint8)
    for k in range(len(means)):
        mine = np.flatnonzero(labels == k)
        if mine.size:
            top = mine[counts[mine].argmax()]
            shift = np.sqrt(((colors[top] - means[k]) ** 2).sum())
            if counts[top] > result.weights[k] * counts.sum() / 2 and shift <= MAX_SHIFT:
                palette[k] = colors[top]
    return palette


def expected_medians(image, result):
    pixels = image.reshape(-1, 3)
    return median_palette(pixels, component_of(pixels, result, by_mean=False), srgb_means(result))


@pytest.mark.parametrize("options", [{}, {"space": "oklab"}, {"covariance": "tied"}])
@pytest.mark.parametrize("image", [antialiased_logo(), read_sample("cat.jpg")[::3, ::3]], ids=["logo", "cat"])
@pytest.mark.parametrize("k", [3, 4, 7])
def test_a_component_is_drawn_in_the_median_of_its_pixels_if_that_is_near_its_mean(k, image, options):
    result = quantize(image, k, **options)
    np.testing.assert_array_equal(result.palette, expected_medians(image, result))
    assert (result.palette != np.rint(srgb_means(result))).any()


@pytest.mark.parametrize("options", [{}, {"space": "oklab"}, {"covariance": "tied"}, {"method": "kmeans"}])
@pytest.mark.parametrize("k", [3, 4, 7])
def test_with_modes_it_is_the_colour_of_most_of_its_pixels(k, options):
    image = antialiased_logo()
    result = quantize(image, k, average="mode", **options)
    np.testing.assert_array_equal(result.palette, expected_modes(image, result, by_mean="method" in options))
    assert (result.palette != np.rint(srgb_means(result))).any() or "space" in options


@pytest.mark.parametrize("average", ["median", "mode"])
def test_the_flat_colours_of_a_logo_are_exact(average):
    image = antialiased_logo()
    for k in (4, 5, 6, 8, 16):
        palette = {tuple(color) for color in quantize(image, k, average=average).palette.tolist()}
        assert palette.issuperset(LOGO_COLORS)


def test_and_those_of_flat_areas_among_very_many_colours_whose_medians_are_those_of_cells(monkeypatch):
    rng = np.random.default_rng(0)
    image = np.clip(rng.choice([60, 190], (700, 700, 1)) + rng.normal(0, 14, (700, 700, 3)), 0, 255).astype(np.uint8)
    image[:, :90], image[:, 90:150] = (243, 17, 141), (5, 200, 96)
    quantizer = Quantizer(image)
    monkeypatch.setattr(fit_colors, "_MEDIAN_CELLS", 1 << 14)
    assert sum(cells.weights.size >= 1 << 14 for cells in quantizer.fitter.levels) > 1
    palette = quantizer.fit(4).palette
    assert {(243, 17, 141), (5, 200, 96)} <= {tuple(color) for color in palette.tolist()}
    monkeypatch.setattr(fit_colors, "_MEDIAN_CELLS", 1 << 30)
    exact = Quantizer(image).fit(4)
    np.testing.assert_array_equal(exact.palette, expected_medians(image, exact))
    assert np.abs(palette.astype(int) - exact.palette).max() <= 1


@pytest.mark.parametrize("average", ["median", "mode"])
def test_so_are_those_of_16_bit_images(average):
    deep = antialiased_logo().astype(np.uint16) * 257
    assert {tuple(color) for color in quantize(deep, 4, average=average).palette.tolist()} == set(LOGO_COLORS)


def test_with_means_colours_are_the_means():
    result = quantize(antialiased_logo(), 4, average="mean")
    np.testing.assert_array_equal(result.palette, np.rint(255 * result.means))


def average(pixels, mixture, name, alpha=None, **options):
    """Return the colours of a mixture of pixels in sRGB."""
    histogram = ColorHistogram.from_pixels(pixels, alpha)
    return average_colors(histogram.cells(SRGB), mixture, SRGB, name, **options)


def one_component(mean):
    return Gaussians(np.ones(1), np.array([mean]) / 255, 0.01 * np.eye(3)[np.newaxis])


@settings(max_examples=50)
@given(st.integers(0, 10_000), st.sampled_from([np.uint8, np.uint16]), st.integers(1, 7))
def test_a_median_has_at_most_half_of_the_weight_below_and_at_most_half_above_it(seed, dtype, chunk):
    rng = np.random.default_rng(seed)
    largest = np.iinfo(dtype).max
    pixels = (largest / 2 + largest / 40 * rng.normal(size=(9, 3))).astype(dtype)
    alpha = rng.integers(1, 256, len(pixels)).astype(np.uint8)
    levels, weights = np.rint(pixels * (255 / largest)), (alpha / 255.0) ** 2
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(averages, "_CHUNK", chunk)
        patch.setattr(averages, "MAX_SHIFT", 255.0)
        (median,) = average(pixels, one_component([128] * 3), "median", alpha)
    for channel, value in zip(levels.T, median, strict=True):
        assert value in channel
        assert max(weights[channel < value].sum(), weights[channel > value].sum()) <= weights.sum() / 2 + 1e-12


@pytest.mark.parametrize("colors", [[(100, 100, 100), (104, 104, 104)], [(104, 104, 104), (100, 100, 100)]])
def test_of_two_colours_with_more_than_half_of_the_weight_the_more_frequent_is_the_mode(colors):
    """Pixels belong to components in parts, so those labelled as one may have more than its weight."""
    pixels = np.repeat([*colors, (200, 200, 200)], [40, 30, 30], axis=0).astype(np.uint8)
    means, covariances = np.array([[0.4] * 3, [0.8] * 3]), np.repeat(0.01 * np.eye(3)[np.newaxis], 2, axis=0)
    palette = average(pixels, Gaussians(np.array([0.5, 0.5]), means, covariances), "mode")
    assert tuple(palette[0].tolist()) == colors[0]


@pytest.mark.parametrize("name", ["median", "mode"])
@pytest.mark.parametrize(("distance", "is_drawn"), [(MAX_SHIFT - 0.02, True), (MAX_SHIFT + 0.02, False)])
def test_a_colour_is_drawn_if_it_is_at_most_so_many_levels_from_the_mean(name, distance, is_drawn):
    pixels = np.array([[110, 102, 102]] * 3 + [[0, 0, 0]], dtype=np.uint8)
    mixture = one_component([110 - distance, 102, 102])
    (color,) = average(pixels, mixture, name)
    assert color.tolist() == ([110, 102, 102] if is_drawn else [94, 102, 102])


@pytest.mark.parametrize("name", ["median", "mode"])
@pytest.mark.parametrize(("by_mean", "owner"), [(True, 0), (False, 1)])
def test_a_colour_is_of_the_nearest_mean_or_of_the_most_probable_component(name, by_mean, owner):
    pixels = np.array([[150, 90, 90]] * 9 + [[0, 0, 0]], dtype=np.uint8)
    means = np.array([[140, 90, 90], [162, 90, 90]]) / 255
    covariances = np.array([2.0, 30.0])[:, np.newaxis, np.newaxis] ** 2 / 255**2 * np.eye(3)
    palette = average(pixels, Gaussians(np.array([0.5, 0.5]), means, covariances), name, by_mean=by_mean)
    expected = np.rint(255 * means).astype(np.uint8)
    expected[owner] = [150, 90, 90]
    np.testing.assert_array_equal(palette, expected)


def test_a_component_without_pixels_is_drawn_in_its_mean():
    pixels = np.full((4, 3), 200, dtype=np.uint8)
    means, covariances = np.array([[8.0] * 3, [200.0] * 3]) / 255, np.repeat(1e-4 * np.eye(3)[np.newaxis], 2, axis=0)
    palette = average(pixels, Gaussians(np.array([0.5, 0.5]), means, covariances), "median")
    assert palette.tolist() == [[8] * 3, [200] * 3]
