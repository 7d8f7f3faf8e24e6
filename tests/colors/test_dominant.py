"""Dominant colours, against the definition written out with scipy's densities."""

import numpy as np
import pytest
from helpers import antialiased_logo
from scipy.spatial.distance import cdist
from scipy.stats import multivariate_normal

from gmmquant import ColorHistogram, quantize
from gmmquant.colors.dominant import dominant_colors
from gmmquant.colors.spaces import COLOR_SPACES
from gmmquant.models.gaussian import Gaussians

LOGO_COLORS = [(255, 255, 255), (0, 0, 0), (29, 161, 242), (225, 48, 108)]


def expected_palette(image, result, levels, *, by_mean):
    colors, counts = np.unique(image.reshape(-1, 3), axis=0, return_counts=True)
    space = COLOR_SPACES[result.fit.space]
    points, means = space.from_srgb(colors / 255), result.means
    if by_mean:
        labels = cdist(points, means).argmin(axis=1)
    else:
        mixture = zip(result.weights, means, result.covariances, strict=True)
        labels = np.argmax([np.log(w) + multivariate_normal(m, c).logpdf(points) for w, m, c in mixture], axis=0)
    srgb = np.clip(space.to_srgb(means), 0, 1)
    palette = np.rint(255 * srgb).astype(np.uint8)
    for k in range(len(means)):
        mine = np.flatnonzero(labels == k)
        if mine.size:
            top = mine[counts[mine].argmax()]
            shift = np.sqrt(((colors[top] - 255 * srgb[k]) ** 2).sum())
            if counts[top] > result.weights[k] * counts.sum() / 2 and shift <= levels:
                palette[k] = colors[top]
    return palette


@pytest.mark.parametrize(
    "options", [{}, {"space": "oklab"}, {"covariance": "tied"}, {"method": "kmeans", "snap": 16.0}]
)
@pytest.mark.parametrize("k", [3, 4, 7])
def test_a_component_is_drawn_in_the_colour_of_most_of_its_pixels_if_that_is_near_its_mean(k, options):
    image = antialiased_logo()
    result = quantize(image, k, **options)
    expected = expected_palette(image, result, 16.0, by_mean="method" in options)
    np.testing.assert_array_equal(result.palette, expected)
    assert (result.palette != np.rint(255 * result.means)).any() or "space" in options


def test_the_flat_colours_of_a_logo_are_exact():
    image = antialiased_logo()
    for k in (4, 5, 6, 8, 16):
        palette = {tuple(color) for color in quantize(image, k).palette.tolist()}
        assert palette.issuperset(LOGO_COLORS)


def test_the_colours_of_16_bit_images_snap_too():
    image = antialiased_logo()
    deep = quantize(image.astype(np.uint16) * 257, 4)
    assert {tuple(color) for color in deep.palette.tolist()} == set(LOGO_COLORS)


def test_without_snapping_colours_are_the_means():
    result = quantize(antialiased_logo(), 4, snap=0.0)
    np.testing.assert_array_equal(result.palette, np.rint(255 * result.means))


@pytest.mark.parametrize("colors", [[(100, 100, 100), (104, 104, 104)], [(104, 104, 104), (100, 100, 100)]])
def test_of_two_colours_with_more_than_half_of_the_weight_the_more_frequent_is_drawn(colors):
    """Pixels belong to components in parts, so those labelled as one may have more than its weight."""
    pixels = np.repeat([*colors, (200, 200, 200)], [40, 30, 30], axis=0).astype(np.uint8)
    histogram = ColorHistogram.from_pixels(pixels)
    means, covariances = np.array([[0.4] * 3, [0.8] * 3]), np.repeat(0.01 * np.eye(3)[np.newaxis], 2, axis=0)
    mixture = Gaussians(np.array([0.5, 0.5]), means, covariances)
    palette = dominant_colors(histogram, mixture, COLOR_SPACES["srgb"], 16.0)
    assert tuple(palette[0].tolist()) == colors[0]


@pytest.mark.parametrize(("levels", "expected"), [(7.98, 102), (8.02, 110)])
def test_a_colour_is_drawn_if_it_is_at_most_so_many_levels_from_the_mean(levels, expected):
    histogram = ColorHistogram.from_pixels(np.array([[110, 102, 102]] * 3 + [[0, 0, 0]], dtype=np.uint8))
    mixture = Gaussians(np.ones(1), np.full((1, 3), 102 / 255), 0.01 * np.eye(3)[np.newaxis])
    palette = dominant_colors(histogram, mixture, COLOR_SPACES["srgb"], levels)
    if expected == 102:
        assert palette is None
    else:
        assert palette.tolist() == [[110, 102, 102]]


@pytest.mark.parametrize(("by_mean", "owner"), [(True, 0), (False, 1)])
def test_a_colour_is_of_the_nearest_mean_or_of_the_most_probable_component(by_mean, owner):
    histogram = ColorHistogram.from_pixels(np.array([[150, 90, 90]] * 9 + [[0, 0, 0]], dtype=np.uint8))
    means = np.array([[140, 90, 90], [162, 90, 90]]) / 255
    covariances = np.array([2.0, 30.0])[:, np.newaxis, np.newaxis] ** 2 / 255**2 * np.eye(3)
    mixture = Gaussians(np.array([0.5, 0.5]), means, covariances)
    palette = dominant_colors(histogram, mixture, COLOR_SPACES["srgb"], 16.0, by_mean=by_mean)
    expected = np.rint(255 * means).astype(np.uint8)
    expected[owner] = [150, 90, 90]
    np.testing.assert_array_equal(palette, expected)
