"""Sums of the colours of many images: exact up to a limit, the same in any order; and fits to them."""

import pickle
from functools import reduce

import numpy as np
import pytest
from helpers import read_sample
from hypothesis import given, settings
from hypothesis import strategies as st

from gmmquant import ColorHistogram, ParameterError, Quantizer, Settings
from gmmquant.colors.color_sum import ColorCells, add_up
from gmmquant.colors.spaces import COLOR_SPACES, SRGB, ColorSpace
from gmmquant.models.cells import upper_triangle
from gmmquant.models.inference import evaluate
from gmmquant.quantization.fitter import Fitter

law = settings(max_examples=60)

CAT = read_sample("cat.jpg")
TEN = [CAT[40 * row : 40 * row + 40, 60 * column : 60 * column + 60] for row in range(2) for column in range(5)]


def deep(image, seed=0):
    """Return an 8-bit image as one of 16 bits that uses all of them."""
    noise = np.random.default_rng(seed).integers(0, 257, image.shape)
    return (image.astype(np.int64) * 256 + noise * 255 // 256).clip(0, 65535).astype(np.uint16)


def histogram_of(image, alpha=None):
    return ColorHistogram.from_pixels(image.reshape(-1, 3), alpha)


def as_16_bits(image):
    return image if image.dtype == np.uint16 else image.astype(np.uint16) * 257


def together(images):
    """Return images as one, of 16 bits if one of them has these."""
    if len({image.dtype for image in images}) > 1:
        images = [as_16_bits(image) for image in images]
    return np.concatenate([image.reshape(1, -1, 3) for image in images], axis=1)


def bytes_of(colors):
    """Return all that a sum consists of."""
    arrays = [colors.tree.codes, colors.tree.counts, colors.tree.alpha_squares]
    if isinstance(colors, ColorCells):
        arrays += [colors.sums, colors.products, colors.rests]
    arrays = [array for array in arrays if array is not None]
    return type(colors), colors.tree.bit_depth, [(array.dtype, array.shape, array.tobytes()) for array in arrays]


def added_up(images, limit=1 << 24):
    """Add up images as a run does, two sums at a time."""
    parts = [add_up([histogram_of(image)], limit) for image in images]
    return reduce(lambda one, other: add_up([one, other], limit), parts)


@st.composite
def collections(draw):
    """Draw images as arrays (n, 3) of either depth, each of values far from each other or near."""
    rng = np.random.default_rng(draw(st.integers(0, 10_000)))
    near = draw(st.booleans())
    images = []
    for _ in range(draw(st.integers(1, 7))):
        dtype, n = draw(st.sampled_from([np.uint8, np.uint16, np.uint16])), draw(st.integers(1, 40))
        largest = np.iinfo(dtype).max
        spread = draw(st.sampled_from([3, largest // 50, largest]))
        center = largest // 3 if near else rng.integers(0, largest + 1, 3)
        images.append((center + rng.integers(-spread, spread + 1, (n, 3))).clip(0, largest).astype(dtype))
    return images


LIMITS = [1, 10, 24, 48, 80, 120]


@law
@given(collections())
def test_the_sum_is_the_histogram_of_all_the_pixels(images):
    whole = histogram_of(together(images))
    assert bytes_of(added_up(images)) == bytes_of(whole)
    assert bytes_of(add_up([histogram_of(image) for image in images])) == bytes_of(whole)


@st.composite
def translucent_collections(draw):
    """Draw images as pixels (n, 3) with alpha (n,): all opaque, or some."""
    images, rng = draw(collections()), np.random.default_rng(draw(st.integers(0, 10_000)))
    ranges = [(255, 256)] if draw(st.booleans()) else [(255, 256), (1, 4), (1, 256), (254, 256)]
    return [(image, rng.integers(*draw(st.sampled_from(ranges)), len(image)).astype(np.uint8)) for image in images]


@settings(max_examples=100)
@given(translucent_collections(), st.sampled_from([*LIMITS, 1 << 24]), st.randoms(use_true_random=False))
def test_the_sum_is_the_same_bytes_in_any_order_and_grouping(images, limit, random):
    parts = [histogram_of(*image) for image in images]
    expected = bytes_of(reduce(lambda one, other: add_up([one, other], limit), parts[1:], add_up(parts[:1], limit)))
    random.shuffle(parts)
    while len(parts) > 1:
        n = random.randint(2, len(parts))
        first = random.randint(0, len(parts) - n)
        parts[first : first + n] = [pickle.loads(pickle.dumps(add_up(parts[first : first + n], limit)))]
    assert bytes_of(add_up(parts, limit)) == expected


@law
@given(collections(), st.sampled_from(LIMITS))
def test_a_sum_is_exact_up_to_the_limit_and_otherwise_has_cells_with_the_moments_of_their_pixels(images, limit):
    pixels, total = together(images)[0], added_up(images, limit)
    n_colors = len(np.unique(pixels, axis=0))
    assert total.n_pixels == len(pixels)
    if pixels.dtype == np.uint8 or n_colors <= limit:
        assert (total.n_colors, total.bit_depth) == (n_colors, 8 * pixels.itemsize)
        return
    assert (total.n_colors, total.bit_depth) == (None, 16)
    size = 1 << (16 - total.tree.bit_depth)
    corners = {tuple(corner): n for n, corner in enumerate((total.tree.channels.T.astype(int) * size).tolist())}
    number = np.array([corners[tuple(corner)] for corner in (pixels.astype(int) // size * size).tolist()])
    assert max(limit // 64, 1) <= total.tree.n_colors <= max(limit // 8, 1)
    assert total.tree.n_colors == len(np.unique(number))
    np.testing.assert_array_equal(total.tree.counts, np.bincount(number))
    within = pixels.astype(int) % size
    rows, columns = upper_triangle(3)
    for cell in range(total.tree.n_colors):
        members = within[number == cell]
        np.testing.assert_array_equal(total.sums[:, cell], members.sum(axis=0))
        np.testing.assert_array_equal(total.products[:, cell], (members.T @ members)[rows, columns])
    cells, values = total.cells(), pixels / 65535
    assert cells.total_weight == len(pixels)
    np.testing.assert_allclose(cells.origin, values.mean(axis=0), rtol=1e-12)
    np.testing.assert_allclose(cells.covariance, np.cov(values.T, bias=True), rtol=1e-9, atol=1e-15)


@law
@given(translucent_collections(), st.sampled_from([*LIMITS, 1 << 24]))
def test_a_sum_has_the_exact_moments_of_its_pixels_weighted_by_their_squared_alpha(images, limit):
    total = add_up([histogram_of(*image) for image in images], limit)
    pixels, alpha = together([image for image, _ in images])[0].astype(int), np.concatenate([a for _, a in images])
    squares = alpha.astype(int) ** 2
    assert (total.tree.alpha_squares is None) == (alpha == 255).all()
    assert total.tree.opacity.sum() == squares.sum()
    assert total.total_weight == squares.sum() / 255**2
    size = 1 << (total.bit_depth - total.tree.bit_depth)
    corners = {tuple(corner): n for n, corner in enumerate((total.tree.channels.T.astype(int) * size).tolist())}
    number = np.array([corners[tuple(corner)] for corner in (pixels // size * size).tolist()])
    expected = np.zeros(total.tree.n_colors, dtype=int)
    np.add.at(expected, number, squares)
    np.testing.assert_array_equal(total.tree.opacity, expected)
    if isinstance(total, ColorCells):
        rows, columns = upper_triangle(3)
        within = (pixels % size).T
        values = np.concatenate([within, within[rows] * within[columns]]) * squares
        expected = np.zeros((9, total.tree.n_colors), dtype=int)
        np.add.at(expected.T, number, values.T)
        rests = 0 if total.rests is None else total.rests
        np.testing.assert_array_equal(total.moments * 255**2 + rests, expected)
        assert ((np.asarray(rests) >= 0) & (np.asarray(rests) < 255**2)).all()
    cells, values = total.cells(), pixels / ((1 << total.bit_depth) - 1)
    np.testing.assert_allclose(cells.weights.sum(), squares.sum() / 255**2, rtol=1e-12)
    np.testing.assert_allclose(cells.origin, np.average(values, axis=0, weights=squares), rtol=1e-12)
    covariance = np.cov(values.T, bias=True, aweights=squares)
    np.testing.assert_allclose(cells.covariance, covariance, rtol=1e-9, atol=1e-15)


def test_images_of_low_contrast_have_many_small_cells():
    image = np.random.default_rng(0).integers(30000, 30200, (4000, 3)).astype(np.uint16)
    assert added_up([image], 3000).tree.n_colors >= 3000 // 64
    assert added_up([image], 3000).tree.bit_depth > 8


def test_nothing_to_add_up_is_refused():
    with pytest.raises(ParameterError, match="pass those of at least one image"):
        add_up([])


def test_more_pixels_than_64_bit_products_can_hold_are_refused_alone_and_together():
    codes = np.arange(100, dtype=np.uint64) << np.uint64(40)
    most = np.iinfo(np.int64).max >> 2 * (16 - added_up([deep(CAT[:9, :9])], 10).tree.bit_depth)
    assert most > 2**30

    def alike(n_pixels):
        return ColorHistogram(codes, np.full(100, n_pixels // 100), 16)

    add_up([alike(most)], 50)
    with pytest.raises(ParameterError, match=r"pixels are too many to add up; use at most \d+"):
        add_up([alike(1 << 62)], 50)
    half = add_up([alike(most // 2)], 50)
    with pytest.raises(ParameterError, match="too many"):
        for _ in range(40):
            half = add_up([half, half], 50)
    assert (half.products >= 0).all()


def test_as_many_translucent_pixels_as_opaque_ones_fit_into_64_bits():
    few = histogram_of(np.random.default_rng(0).integers(32_000, 32_768, (100, 3)).astype(np.uint16))
    bits = add_up([few], 50).tree.bit_depth
    counts = np.full(few.n_colors, (np.iinfo(np.int64).max >> 2 * (16 - bits)) // few.n_colors)
    parts = (ColorHistogram(few.codes, counts, 16, squares) for squares in (None, counts * 255**2 - 1))
    opaque, translucent = (add_up([part], 50) for part in parts)
    assert opaque.products.max() > 1 << 61
    assert (translucent.moments >= 0).all()
    np.testing.assert_allclose(translucent.moments + translucent.rests / 255**2, opaque.moments, rtol=1e-9)


def test_more_pixels_than_64_bit_squares_of_alpha_can_hold_are_refused():
    black, many, few = np.zeros(1, dtype=np.uint32), np.array([1 << 60]), np.array([1 << 30])
    parts = [ColorHistogram(black, many, 8), ColorHistogram(black, few, 8, few)]
    assert [add_up([part]).n_pixels for part in parts] == [1 << 60, 1 << 30]
    with pytest.raises(ParameterError, match=r"too many to add up; use at most 14184\d+"):
        add_up(parts)


# --- other spaces -----------------------------------------------------------------------------------------------------


def random_scatter(rng, n):
    """Draw means (3, n) and upper triangles (6, n) of covariances as wide as a cell of 8 bits."""
    rows, columns = upper_triangle(3)
    factors = rng.normal(scale=1 / 600, size=(n, 3, 3))
    return rng.uniform(0.05, 0.95, (3, n)), (factors @ factors.transpose(0, 2, 1))[:, rows, columns].T


def test_an_affine_map_transforms_mean_and_covariance_exactly():
    rng = np.random.default_rng(1)
    matrix, shift = rng.normal(size=(3, 3)), rng.normal(size=3)
    space = ColorSpace("affine", lambda x: x @ matrix.T + shift, lambda x: x, (0, 0, 0), (1, 1, 1), (1, 1, 1))
    means, scatter = random_scatter(rng, 50)
    rows, columns = upper_triangle(3)
    full = np.empty((50, 3, 3))
    full[:, rows, columns] = full[:, columns, rows] = scatter.T
    new_means, new_scatter = space.transform_moments(means, scatter)
    np.testing.assert_allclose(new_means, matrix @ means + shift[:, np.newaxis], rtol=1e-12)
    expected = (matrix @ full @ matrix.T)[:, rows, columns].T
    np.testing.assert_allclose(new_scatter, expected, rtol=1e-9, atol=1e-18)


@pytest.mark.parametrize("name", ["linear", "lab", "oklab"])
def test_mean_and_covariance_in_a_curved_space_are_nearly_those_of_many_samples(name):
    rng, space = np.random.default_rng(2), COLOR_SPACES[name]
    means, scatter = random_scatter(rng, 3)
    rows, columns = upper_triangle(3)
    new_means, new_scatter = space.transform_moments(means, scatter)
    for n in range(3):
        full = np.empty((3, 3))
        full[rows, columns] = full[columns, rows] = scatter[:, n]
        values = space.from_srgb(rng.multivariate_normal(means[:, n], full, size=100_000))
        expected, spread = np.cov(values.T), values.std(axis=0)
        np.testing.assert_allclose((new_means[:, n] - values.mean(axis=0)) / spread, 0, atol=0.02)
        scales = (spread[:, np.newaxis] * spread)[rows, columns]
        np.testing.assert_allclose(new_scatter[:, n] / scales, expected[rows, columns] / scales, atol=0.03)


@pytest.mark.parametrize("name", ["linear", "lab", "oklab"])
def test_the_rounding_of_single_colours_is_transformed_as_by_differences(name):
    space, values = COLOR_SPACES[name], np.random.default_rng(3).uniform(0.05, 1, (3, 200))
    spread = np.zeros((6, 200))
    spread[[0, 3, 5]] = 1e-8
    _, scatter = space.transform_moments(values, spread)
    expected = space.rounding_scatter(values.T, 1e-8)
    np.testing.assert_allclose(scatter, expected, rtol=1e-3, atol=1e-3 * np.abs(expected).max())


# --- fits -------------------------------------------------------------------------------------------------------------

COLLECTIONS = {
    "8 bits": TEN,
    "16 bits": [deep(image, seed) for seed, image in enumerate(TEN)],
    "both": [image if seed % 3 else deep(image, seed) for seed, image in enumerate(TEN)],
}


@pytest.mark.parametrize("space", ["srgb", "oklab"])
@pytest.mark.parametrize("images", COLLECTIONS.values(), ids=COLLECTIONS)
def test_the_fit_to_the_sum_is_that_to_one_image_of_all_pixels(images, space):
    asked = Settings(space=space)
    whole = Quantizer(together(images), asked)
    fitter = Fitter(added_up(images), asked)
    assert fitter.choose_k() == whole.choose_k()
    for k in (1, 6):
        fit, expected = fitter.fit(k), whole.fit(k)
        np.testing.assert_array_equal(fit.palette, expected.palette)
        drawn = [Quantizer(image, asked).recolor(fit) for image in images]
        assert sum(each.log_likelihood for each in drawn) == pytest.approx(expected.log_likelihood, rel=1e-9)
        assert sum(each.statistics.entropy for each in drawn) == pytest.approx(
            expected.statistics.entropy, rel=1e-9, abs=1e-9
        )
        assert all((each.palette == expected.palette).all() for each in drawn)
        np.testing.assert_array_equal(sum(each.statistics.counts for each in drawn), expected.statistics.counts)


@pytest.mark.parametrize("space", ["srgb", "oklab"])
@pytest.mark.parametrize("covariance", ["full", "spherical"])
@pytest.mark.parametrize("k", [2, 6])
def test_the_objective_of_a_fit_to_cells_rises_nearly_to_that_of_the_colours(space, covariance, k):
    images, asked = COLLECTIONS["16 bits"], Settings(space=space, covariance=covariance)
    exact, cells = (Fitter(added_up(images, limit), asked) for limit in (1 << 24, 20_000))
    assert isinstance(cells.colors, ColorCells)
    assert exact.variance == cells.variance
    coarse = cells.fit(k)
    assert (np.diff(coarse.trace) > -1e-6).all()
    points = exact.colors.points(COLOR_SPACES[space])
    fine, rough = (evaluate(points, fit.mixture).log_likelihood / points.total_weight for fit in (exact.fit(k), coarse))
    assert rough > fine - 0.02
    if space == SRGB.name:
        assert coarse.trace[-1] < rough


def test_kmeans_and_palettes_are_fitted_to_cells_too():
    images, palette = COLLECTIONS["16 bits"], np.array([[0, 0, 0], [200, 120, 80], [255, 255, 255]], dtype=np.uint8)
    asked = Settings(method="kmeans", tol=1e-6)
    exact, cells = (Fitter(added_up(images, limit), asked) for limit in (1 << 24, 20_000))
    assert cells.fit(5).trace[-1] == pytest.approx(exact.fit(5).trace[-1], rel=0.02)
    weights = [fitter.fit_palette(palette).mixture.weights for fitter in (exact, cells)]
    np.testing.assert_allclose(*weights, atol=0.012)


def test_as_many_colours_are_chosen_from_cells_as_from_the_colours_themselves():
    images = COLLECTIONS["16 bits"]
    choices = [Fitter(added_up(images, limit)).choose_k() for limit in (1 << 24, 20_000)]
    assert choices[0].k == choices[1].k


def test_colours_without_noise_vary_by_their_rounding_alone():
    histogram = histogram_of(deep(TEN[0]))
    cells = add_up([histogram], 100)
    assert isinstance(cells, ColorCells)
    for colors in (histogram, cells):
        assert colors.variance_in(SRGB) == colors.variance_in(SRGB, 0.0) < colors.variance_in(SRGB, 2.0)
