"""Points of colour and alpha: their distances against compositing, their rounding, and the order of the pairs."""

import numpy as np
import pytest
from image_shadows import icon, over

from gmmquant.colors.morton import encode
from gmmquant.colors.palette import over as over_grey
from gmmquant.colors.translucent import TranslucentColors, to_entries, to_points

RNG = np.random.default_rng(0)


def random_rgba(n):
    return RNG.integers(0, 256, (n, 4), dtype=np.uint8)


def points_of(rgba):
    return to_points(rgba[:, :3] / 255, rgba[:, 3] / 255)


def pairs_of(image):
    visible = image[image[..., 3] > 0]
    return visible, *TranslucentColors.of_pixels(encode(visible[:, :3]), 8, visible[:, 3])


def test_a_squared_distance_is_the_mean_of_the_errors_over_black_and_over_white():
    first, second = random_rgba(500), random_rgba(500)
    errors = [((over(first, grey) - over(second, grey)) ** 2).sum(axis=1) for grey in (0, 255)]
    squared = ((points_of(first) - points_of(second)) ** 2).sum(axis=1)
    np.testing.assert_allclose(255**2 * squared, np.mean(errors, axis=0), atol=1e-9)


def test_pairs_of_8_bits_are_entries_of_themselves():
    rgba = random_rgba(2000)
    rgba[:, 3] = np.maximum(rgba[:, 3], 1)
    np.testing.assert_array_equal(np.column_stack(to_entries(points_of(rgba))), rgba)


def test_an_entry_is_never_fully_transparent():
    assert to_entries(points_of(np.array([[90, 80, 70, 0]], dtype=np.uint8)) + 1e-6)[1].tolist() == [1]


def test_a_code_with_alpha_is_put_on_grey_as_its_pixels_are():
    for rgba in random_rgba(50):
        shown = np.rint(over(rgba[np.newaxis], 204)).astype(np.uint8)
        assert over_grey("#" + rgba.tobytes().hex(), 204) == "#" + shown.tobytes().hex()
    assert over_grey("#12ab9f", 204) == "#12ab9f"


def test_a_rounded_entry_has_the_least_error_of_the_colours_with_its_alpha():
    points = points_of(random_rgba(40)) + RNG.normal(0, 0.004, (40, 4))
    for point, color, alpha in zip(points, *to_entries(points), strict=True):
        for channel in range(3):
            others = np.tile([*color, alpha], (256, 1)).astype(np.uint8)
            others[:, channel] = np.arange(256)
            errors = ((points_of(others) - point) ** 2).sum(axis=1)
            assert errors[color[channel]] <= errors.min() + 1e-12


@pytest.mark.parametrize("bit_depth", [8, 16])
def test_the_pairs_are_the_distinct_pixels_with_their_numbers(bit_depth):
    visible = icon()[icon()[..., 3] > 0]
    colors = visible[:, :3] if bit_depth == 8 else visible[:, :3].astype(np.uint16) * 257
    pairs, index = TranslucentColors.of_pixels(encode(colors), bit_depth, visible[:, 3])
    found = np.column_stack([np.rint(255 * pairs.colors), pairs.alphas])
    np.testing.assert_array_equal(found[index], visible)
    assert len(np.unique(visible, axis=0)) == pairs.n_pairs
    np.testing.assert_array_equal(np.bincount(index), pairs.counts)


def test_levels_have_the_weight_the_mean_and_the_scatter_of_the_pixels():
    visible, pairs, _ = pairs_of(icon())
    points = points_of(visible)
    sizes = [cells.weights.size for cells in pairs.levels]
    assert len(sizes) > 2
    assert sizes == sorted(sizes)
    assert sizes[-1] == pairs.n_pairs
    for cells in pairs.levels:
        assert cells.total_weight == pytest.approx(len(visible))
        np.testing.assert_allclose(cells.covariance, np.cov(points.T, bias=True), atol=1e-12)
