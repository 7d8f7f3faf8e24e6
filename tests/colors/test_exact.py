"""The mixture of an image with few colours: its colours, their shares, and the widths of their roundings."""

import numpy as np
import pytest

from gmmquant import ColorHistogram
from gmmquant.colors.exact import equal_colors, exact_mixture
from gmmquant.colors.spaces import COLOR_SPACES
from gmmquant.models.covariance import COVARIANCE_TYPES

PIXELS = np.array([[255, 0, 0]] * 5 + [[0, 0, 255]] * 2 + [[20, 200, 90]] * 3, dtype=np.uint8)
KEPT = np.array([[1, 2, 3], [0, 0, 255]], dtype=np.uint8)
COLORS = np.array([[1, 2, 3], [0, 0, 255], [255, 0, 0], [20, 200, 90]])  # the kept ones, then the others by weight


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
@pytest.mark.parametrize("space", ["srgb", "oklab"])
def test_the_kept_colours_come_first_then_the_others_by_weight_each_exact(space, dtype):
    step = np.iinfo(dtype).max // 255
    histogram = ColorHistogram.from_pixels(PIXELS.astype(dtype) * dtype(step))
    mixture = exact_mixture(histogram, COVARIANCE_TYPES["full"], COLOR_SPACES[space], KEPT)
    np.testing.assert_array_equal(mixture.means, COLOR_SPACES[space].from_srgb(COLORS / 255))
    np.testing.assert_allclose(mixture.weights, [0, 0.2, 0.5, 0.3], rtol=1e-15)
    plain = exact_mixture(histogram, COVARIANCE_TYPES["full"], COLOR_SPACES[space])
    np.testing.assert_array_equal(plain.means, COLOR_SPACES[space].from_srgb(COLORS[[2, 3, 1]] / 255))


@pytest.mark.parametrize("kind", COVARIANCE_TYPES)
def test_each_colour_is_as_wide_as_its_rounding(kind):
    histogram = ColorHistogram.from_pixels(PIXELS)
    mixture = exact_mixture(histogram, COVARIANCE_TYPES[kind], COLOR_SPACES["srgb"], KEPT)
    expected = np.tile(histogram.rounding_variance * np.eye(3), (4, 1, 1))
    np.testing.assert_allclose(mixture.full_covariances(), expected, rtol=1e-12, atol=1e-20)


def test_equal_colors_are_those_equal_in_all_channels():
    histogram = ColorHistogram.from_pixels(PIXELS)
    plain = [[tuple(color) == tuple(other) for other in KEPT.tolist()] for color in histogram.colors.tolist()]
    assert equal_colors(histogram, KEPT).tolist() == plain
