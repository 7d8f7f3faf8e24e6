"""quantize() on images: against scipy pixel by pixel, and its laws."""

import json
import math
import subprocess
import sys
import weakref

import numpy as np
import pytest
from helpers import in_morton_order, log_joint_by_scipy, median_palette, read_only, read_sample
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.special import logsumexp
from waiting import GUARD_SECONDS

from gmmquant import ConvergenceWarning, ParameterError, Quantizer, Settings, quantize
from gmmquant.colors.morton import decode
from gmmquant.colors.palette import to_8_bits
from gmmquant.images.pixels import FlatImage, alpha_to_8_bits, split_channels
from gmmquant.images.recolor import IndexedImage
from gmmquant.parsing import hex_code


def noisy_image(seed=0, height=24, width=30, dtype=np.uint8, n_channels=3):
    """Draw an image of three blurred regions; a fourth channel is alpha with holes."""
    rng = np.random.default_rng(seed)
    regions = np.array([[0.2, 0.3, 0.7], [0.8, 0.6, 0.2], [0.4, 0.8, 0.5]])
    region = np.arange(width) * 3 // width
    values = regions[np.broadcast_to(region, (height, width))] + 0.06 * rng.normal(size=(height, width, 3))
    largest = np.iinfo(dtype).max
    image = np.rint(np.clip(values, 0, 1) * largest).astype(dtype)
    if n_channels == 1:
        return image[:, :, 0]
    if n_channels == 4:
        alpha = rng.choice([0, largest // 2, largest], size=(height, width, 1), p=[0.3, 0.3, 0.4])
        return np.concatenate([image, alpha.astype(dtype)], axis=2)
    return image


IMAGES = {
    "grey": noisy_image(1, n_channels=1),
    "rgb": noisy_image(2),
    "rgba": noisy_image(3, n_channels=4),
    "rgb of 16 bits": noisy_image(4, dtype=np.uint16),
    "rgba of 16 bits": noisy_image(5, dtype=np.uint16, n_channels=4),
}
each_image = pytest.mark.parametrize("image", IMAGES.values(), ids=IMAGES.keys())


def values_and_visible(image):
    """Return all pixels as RGB in [0, 1], (n, 3), and which of them are visible."""
    largest = np.iinfo(image.dtype).max
    rgb = np.repeat(image[:, :, np.newaxis], 3, axis=2) if image.ndim == 2 else image[:, :, :3]
    visible = image[:, :, 3] > 0 if image.ndim == 3 and image.shape[2] == 4 else np.ones(rgb.shape[:2], bool)
    return rgb.reshape(-1, 3) / largest, visible.ravel()


def weights_of(image):
    """Return the weight of each visible pixel: the square of its alpha, rounded to 8 bits, in [0, 1]."""
    if image.ndim == 2 or image.shape[2] == 3:
        return np.ones(image.shape[0] * image.shape[1])
    alpha = image[:, :, 3][image[:, :, 3] > 0] / (np.iinfo(image.dtype).max // 255)
    return (np.maximum(np.rint(alpha), 1) / 255) ** 2


def colors_of(image):
    return {tuple(color) for color in image[..., :3].reshape(-1, 3).tolist()}


def assert_same_fit(one, other):
    for name in ("weights", "means", "covariances", "palette", "log_likelihood", "mse"):
        np.testing.assert_array_equal(getattr(one, name), getattr(other, name))
    np.testing.assert_array_equal(one.statistics.counts, other.statistics.counts)
    assert (one.fit.trace, one.statistics.entropy) == (other.fit.trace, other.statistics.entropy)


# Pixel by pixel


@each_image
@pytest.mark.parametrize("k", [1, 3, 6])
def test_every_pixel_has_the_median_of_its_most_probable_component(image, k):
    result = quantize(image, k)
    values, visible = values_and_visible(image)
    log_joint = log_joint_by_scipy(values[visible], result.weights, result.means, result.covariances)
    labels = log_joint.argmax(axis=1)
    np.testing.assert_array_equal(result.labels.ravel()[visible], labels)
    palette = median_palette(np.rint(255 * values[visible]), labels, 255 * result.means, weights_of(image))
    expected = palette[labels]
    np.testing.assert_array_equal(result.image[..., :3].reshape(-1, 3)[visible], expected)
    np.testing.assert_array_equal(result.statistics.counts, np.bincount(labels, minlength=k))
    assert result.image.dtype == np.uint8


@each_image
@pytest.mark.parametrize("k", [1, 3, 6])
def test_log_likelihood_and_entropy_equal_those_of_scipy_over_all_visible_pixels(image, k):
    result = quantize(image, k)
    values, visible = values_and_visible(image)
    log_joint = log_joint_by_scipy(values[visible], result.weights, result.means, result.covariances)
    log_density, weights = logsumexp(log_joint, axis=1), weights_of(image)
    assert result.log_likelihood == pytest.approx(weights @ log_density, rel=1e-9)
    assert result.mean_log_likelihood == pytest.approx(np.average(log_density, weights=weights), rel=1e-9)
    log_responsibilities = log_joint - log_density[:, np.newaxis]
    entropy = -(weights @ (np.exp(log_responsibilities) * log_responsibilities).sum(axis=1))
    assert result.statistics.entropy == pytest.approx(entropy, rel=1e-7, abs=1e-7)


def test_log_likelihood_of_flat_16_bit_colours_equals_that_of_scipy():
    for seed in range(5):
        colors = np.random.default_rng(seed).integers(0, 65536, (4, 3)).astype(np.uint16)
        result = quantize(np.repeat(colors, 25, axis=0).reshape(10, 10, 3), 4)
        log_joint = log_joint_by_scipy(colors / 65535, result.weights, result.means, result.covariances)
        assert result.mean_log_likelihood == pytest.approx(logsumexp(log_joint, axis=1).mean(), rel=1e-9)


@each_image
@pytest.mark.parametrize("k", [2, 5, 2000])
def test_mse_and_psnr_equal_the_plain_formulas_on_the_pixels(image, k):
    result = quantize(image, k)
    values, visible = values_and_visible(image)
    difference = values[visible] * 255 - result.image[..., :3].reshape(-1, 3)[visible].astype(float)
    difference *= np.sqrt(weights_of(image))[:, np.newaxis]
    mse = (difference**2).sum(axis=1).mean()
    assert result.mse == pytest.approx(mse, rel=1e-9, abs=1e-12)
    if mse > 0:
        # Peak 255, mean over the pixels and over their three channels.
        assert result.psnr == pytest.approx(20 * math.log10(255 / math.sqrt((difference**2).mean())), rel=1e-9)
    else:
        assert result.psnr == math.inf


def test_criteria_equal_scikit_learns_formulas_with_the_weight_of_the_pixels_as_samples():
    result = quantize(IMAGES["rgba"], 4)
    n = weights_of(IMAGES["rgba"]).sum()
    free = 3 + 4 * 3 + 4 * 6
    assert result.statistics.n_pixels == int((IMAGES["rgba"][:, :, 3] > 0).sum())
    assert result.statistics.weight == pytest.approx(n, rel=1e-12)
    assert result.aic == pytest.approx(2 * free - 2 * result.log_likelihood)
    assert result.bic == pytest.approx(free * math.log(n) - 2 * result.log_likelihood)
    assert result.icl == pytest.approx(result.bic + 2 * result.statistics.entropy)


@each_image
def test_components_are_sorted_by_weight(image):
    result = quantize(image, 6)
    assert (np.diff(result.weights) <= 0).all()
    assert result.weights.sum() == pytest.approx(1.0, abs=1e-12)
    assert result.k == len(result.weights) == len(result.palette) == 6


# Calls


def test_several_k_give_the_results_of_single_fits_in_their_order():
    image = IMAGES["rgb"]
    several = quantize(image, [5, 2, 3])
    assert [result.k for result in several] == [5, 2, 3]
    for result in several:
        alone = quantize(image, result.k)
        assert_same_fit(result, alone)
        np.testing.assert_array_equal(result.image, alone.image)


@pytest.mark.parametrize("ks", [(2, 3), np.array([2, 3]), range(2, 4), iter([2, 3])])
def test_any_iterable_of_integers_is_accepted_as_several_k(ks):
    assert [result.k for result in quantize(IMAGES["grey"], ks)] == [2, 3]


def test_a_grey_image_gives_the_result_of_three_equal_channels():
    grey = IMAGES["grey"]
    one, three = quantize(grey, 4), quantize(np.dstack([grey] * 3), 4)
    assert_same_fit(one, three)
    np.testing.assert_array_equal(one.image, three.image)
    assert one.image.shape == (*grey.shape, 3)
    assert (one.image == one.image[..., :1]).all()


@pytest.mark.parametrize("name", ["rgba", "rgba of 16 bits"])
@pytest.mark.parametrize("k", [1, 4])
def test_transparent_pixels_are_left_out_of_the_fit(name, k):
    image = IMAGES[name]
    visible = image[:, :, 3] > 0
    assert not visible.all()
    result = quantize(image, k)
    alone = quantize(image[visible][np.newaxis], k)
    assert_same_fit(result, alone)
    np.testing.assert_array_equal(result.labels[visible], alone.labels[0])
    assert not result.labels[~visible].any()
    repainted = image.copy()
    repainted[~visible, :3] = 99
    np.testing.assert_array_equal(quantize(repainted, k).image[visible], result.image[visible])


def test_alpha_is_kept_in_8_bits():
    result = quantize(IMAGES["rgba"], 3)
    np.testing.assert_array_equal(result.image[:, :, 3], IMAGES["rgba"][:, :, 3])
    sixteen = quantize(IMAGES["rgba of 16 bits"], 3)
    np.testing.assert_array_equal(sixteen.image[:, :, 3], np.rint(IMAGES["rgba of 16 bits"][:, :, 3] / 257))


def test_an_image_without_alpha_has_none_and_opaque_alpha_changes_no_colour():
    rgb = IMAGES["rgb"]
    opaque = np.dstack([rgb, np.full(rgb.shape[:2], 255, np.uint8)])
    one, other = quantize(rgb, 4), quantize(opaque, 4)
    assert one.alpha is None
    assert_same_fit(one, other)
    np.testing.assert_array_equal(other.image, np.dstack([one.image, opaque[:, :, 3]]))


def test_an_8_bit_image_scaled_to_16_bits_gives_the_same_colours():
    image = IMAGES["rgb"]
    eight, sixteen = quantize(image, 3), quantize(image.astype(np.uint16) * 257, 3)
    assert abs(eight.palette.astype(int) - sixteen.palette).max() <= 1
    assert (eight.labels == sixteen.labels).mean() > 0.99


@pytest.mark.filterwarnings("ignore::gmmquant.ConvergenceWarning")
def test_labels_have_the_smallest_sufficient_type():
    y, x = np.mgrid[:20, :20]
    image = np.dstack([x, y, 0 * x]).astype(np.uint8)
    assert quantize(image, 256, max_iter=1).labels.dtype == np.uint8
    result = quantize(image, 400)
    assert result.labels.dtype == np.uint16
    np.testing.assert_array_equal(result.image, image)


def test_same_seed_gives_the_same_bytes_and_another_seed_another_start():
    image = IMAGES["rgb"]
    one, other = quantize(image, 6, seed=3), quantize(image.copy(), 6, seed=3)
    assert_same_fit(one, other)
    assert one.image.tobytes() == other.image.tobytes()
    assert len({quantize(image, 6, seed=seed).fit.trace[0] for seed in range(5)}) > 1


def test_iterations_end_at_the_limit_or_at_the_tolerance():
    image = IMAGES["rgb"]
    with pytest.warns(ConvergenceWarning, match="the fit of 6 colours did not converge in max_iter = 2 iterations"):
        cut = quantize(image, 6, max_iter=2, tol=0)
    assert (cut.fit.n_iter, cut.fit.converged, len(cut.fit.trace)) == (2, False, 2 + len(set(cut.fit.n_cells)))
    loose, tight = quantize(image, 6, tol=1e-2), quantize(image, 6, tol=1e-6)
    assert loose.fit.n_iter < tight.fit.n_iter
    for result, tol in ((loose, 1e-2), (tight, 1e-6)):
        assert result.fit.converged
        assert len(set(result.fit.n_cells)) > 1
        at_the_colours = np.array(result.fit.trace)[np.array(result.fit.n_cells) == result.fit.n_cells[-1]]
        small = np.diff(at_the_colours) < tol
        assert small[-1]
        # A small gain with momentum is followed by an iteration without, and a second one in a row ends the fit.
        assert not (small[:-2] & small[1:-1]).any()


def test_the_watcher_is_called_with_the_trace():
    seen = []
    result = Quantizer(IMAGES["rgb"], Settings(noise=0, shrink=0, tol=1e-3)).fit(3, lambda *step: seen.append(step))
    sizes, level = np.unique(result.fit.n_cells, return_inverse=True)
    assert len(sizes) > 1
    iterations = (
        np.arange(len(result.fit.trace)) - level
    )  # each level but the first starts from the end of the previous one
    steps = list(zip(iterations.tolist(), result.fit.trace, strict=True))
    trials = seen[0][0]  # iterations of the trials
    assert 1 <= trials < level.tolist().count(0)
    assert seen == steps[trials:]
    assert seen[-1][0] == result.fit.n_iter


def test_image_is_left_unchanged():
    for image in IMAGES.values():
        locked = read_only(image)
        quantize(locked, 3)
        np.testing.assert_array_equal(locked, image)


def test_a_strided_view_gives_the_result_of_its_copy():
    bgr = IMAGES["rgb"][::-1, ::2, ::-1]
    assert_same_fit(quantize(bgr, 3), quantize(bgr.copy(), 3))


# Laws


@st.composite
def small_images(draw):
    """Draw small images of few colours or many, sometimes with flat channels, 8 or 16 bits."""
    rng = np.random.default_rng(draw(st.integers(0, 100_000)))
    shape = draw(st.integers(1, 10)), draw(st.integers(1, 10))
    dtype = draw(st.sampled_from([np.uint8, np.uint16]))
    n_colors = draw(st.sampled_from([1, 2, 5, 100]))
    palette = rng.integers(0, np.iinfo(dtype).max + 1, (n_colors, 3))
    if draw(st.booleans()):
        palette = palette // 64 + 90  # neighbours
    if draw(st.booleans()):
        palette[:, 1] = palette[:, 0]
    return palette[rng.integers(0, n_colors, shape)].astype(dtype)


law = settings(max_examples=30)


@law
@given(small_images(), st.integers(1, 7))
def test_a_result_has_at_most_k_colours_all_of_the_palette(image, k):
    result = quantize(image, k)
    assert len(colors_of(result.image)) <= k
    assert colors_of(result.image) <= set(map(tuple, result.palette.tolist()))
    assert result.image.shape == image.shape
    assert result.statistics.counts.sum() == image.shape[0] * image.shape[1]
    assert len(result.weights) == min(k, len(colors_of(image)))
    assert result.mean_log_likelihood >= result.fit.trace[-1] - 1e-6


@law
@given(small_images(), st.integers(1, 7), st.integers(0, 100))
def test_order_of_the_pixels_does_not_matter(image, k, seed):
    order = np.random.default_rng(seed).permutation(image.shape[0] * image.shape[1])
    shuffled = image.reshape(-1, 3)[order].reshape(1, -1, 3)
    one, other = quantize(image, k), quantize(shuffled, k)
    assert_same_fit(one, other)
    np.testing.assert_array_equal(other.labels.ravel(), one.labels.ravel()[order])


@law
@given(small_images(), st.integers(1, 7))
def test_recolouring_a_result_again_at_the_same_k_changes_nothing(original, k):
    image = quantize(original, k).image
    again = quantize(image, k)
    assert again.fit.exact
    np.testing.assert_array_equal(again.image, image)


def test_recolouring_a_result_with_alpha_again_changes_no_visible_pixel():
    image = quantize(IMAGES["rgba"], 4).image
    again = quantize(image, 4).image
    visible = image[:, :, 3] > 0
    np.testing.assert_array_equal(again[visible], image[visible])
    np.testing.assert_array_equal(again[:, :, 3], image[:, :, 3])


@law
@given(small_images(), st.integers(1, 7))
def test_trace_never_falls(image, k):
    rounding = 1e-9 if image.dtype == np.uint8 else 1e-6  # precisions reach 1e6 with 8 bits, 5e10 with 16
    assert np.diff(quantize(image, k).fit.trace).min(initial=0.0) >= -rounding


# Few colours


@pytest.mark.parametrize("k", [2, 3, 20])
def test_neighbours_of_very_unequal_counts_are_both_kept(k):
    image = np.full((60, 60, 3), 100, dtype=np.uint8)
    image[7, 9] = [101, 100, 100]
    result = quantize(image, k)
    assert result.fit.exact
    assert result.fit.converged
    assert (result.k, len(result.weights), result.fit.n_iter, result.mse) == (k, 2, 0, 0.0)
    np.testing.assert_array_equal(result.image, image)
    np.testing.assert_array_equal(result.palette, [[100, 100, 100], [101, 100, 100]])
    assert result.statistics.counts.tolist() == [3599, 1]
    np.testing.assert_allclose(result.weights, np.array([3599, 1]) / 3600)
    np.testing.assert_allclose(result.covariances, np.tile(np.eye(3) / (2 * math.pi * math.e * 255**2), (2, 1, 1)))


@law
@given(small_images(), st.integers(0, 3))
def test_image_of_no_more_than_k_colours_keeps_them(image, spare):
    if image.dtype != np.uint8:
        image = (image // 257).astype(np.uint8)
    result = quantize(image, len(colors_of(image)) + spare)
    assert result.fit.exact
    np.testing.assert_array_equal(result.image, image)
    assert (result.mse, result.psnr) == (0.0, math.inf)
    colors, counts = np.unique(image.reshape(-1, 3), axis=0, return_counts=True)
    order = sorted(in_morton_order(colors, 8), key=lambda index: -counts[index])
    np.testing.assert_array_equal(result.palette, colors[order])
    np.testing.assert_array_equal(result.statistics.counts, counts[order])


def test_exact_16_bit_colours_are_kept_to_the_nearest_8_bits():
    image = np.array([[[0, 257, 65535], [129, 128, 40000]]], dtype=np.uint16)
    result = quantize(image, 2)
    assert result.fit.exact
    np.testing.assert_array_equal(result.image, [[[0, 1, 255], [1, 0, 156]]])


@pytest.mark.parametrize("shape", [(1, 1), (1, 1, 3), (5, 6), (5, 4, 3)])
@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
@pytest.mark.parametrize("k", [1, 7])
def test_one_colour_is_unchanged(shape, dtype, k):
    value = 200 if dtype == np.uint8 else 200 * 257
    result = quantize(np.full(shape, value, dtype=dtype), k)
    assert (result.image == 200).all()
    assert len(result.weights) == 1
    variance = 1 / (2 * math.pi * math.e * np.iinfo(dtype).max ** 2)
    np.testing.assert_allclose(result.covariances, [variance * np.eye(3)])
    assert result.mean_log_likelihood == pytest.approx(-1.5 * math.log(2 * math.pi * variance))
    assert result.statistics.entropy == 0.0


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
def test_objective_of_one_colour_is_the_logarithm_of_the_number_of_cells_in_the_cube(dtype):
    result = quantize(np.full((3, 4, 3), 90, dtype=dtype), 2)
    assert result.fit.trace == (pytest.approx(3 * math.log(np.iinfo(dtype).max), rel=1e-12),)


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
def test_objective_of_exact_colours_is_their_log_likelihood_less_half_a_nat_a_channel(dtype):
    # Each colour has, in each channel, the variance of its component.
    colors = np.array([[10, 20, 30], [200, 100, 0], [90, 90, 250]], dtype=dtype)
    result = quantize(colors[[0, 1, 1, 2]][np.newaxis], 3)
    assert len(result.fit.trace) == 1
    assert result.fit.trace[0] == pytest.approx(result.mean_log_likelihood - 1.5, rel=1e-8)


def test_a_k_below_the_number_of_colours_is_fitted_and_one_above_it_is_exact():
    image = np.arange(5, dtype=np.uint8)[np.newaxis].repeat(6, axis=0) * 40
    results = quantize(image, [4, 5, 6])
    assert [result.fit.exact for result in results] == [False, True, True]
    assert [len(result.weights) for result in results] == [4, 5, 5]


# Errors

BAD_IMAGES = [
    (np.zeros((2, 2)), ("float64", "uint8 or uint16", "np.rint")),
    (np.zeros((2, 2), np.float16), ("float16", "uint8 or uint16", "np.rint")),
    (np.zeros((2, 2), bool), ("bool", "uint8 or uint16")),
    (np.zeros((2, 2), np.int64), ("int64", "uint8 or uint16")),
    (np.zeros(4, np.uint8), ("(4,)", "(height, width)")),
    (np.zeros((2, 2, 2), np.uint8), ("(2, 2, 2)", "(height, width, 3)")),
    (np.zeros((2, 2, 5), np.uint8), ("(2, 2, 5)", "(height, width, 4)")),
    (np.zeros((1, 2, 2, 3), np.uint8), ("(1, 2, 2, 3)", "(height, width, 3)")),
    (np.zeros((0, 2, 3), np.uint8), ("(0, 2, 3)", "at least one")),
]


@pytest.mark.parametrize("options", [{}, {"resize": "50%"}], ids=["", "resized"])
@pytest.mark.parametrize(("image", "parts"), BAD_IMAGES)
def test_a_bad_array_is_refused_with_value_and_remedy(image, parts, options):
    with pytest.raises(ParameterError) as caught:
        quantize(image, 2, **options)
    assert isinstance(caught.value, ValueError)
    for part in parts:
        assert part in str(caught.value)


BAD_OPTIONS = [
    ({"k": 0}, "k = 0 is too small; use at least 1"),
    ({"k": -3}, "k = -3 is too small; use at least 1"),
    ({"k": 4097}, "k = 4097 is too large; use at most 4096"),
    ({"k": 2.0}, "k = 2.0 is not an integer; use one of at least 1"),
    (
        {"k": "7"},
        "k = '7' is a text; pass the integer 7",
    ),
    ({"k": "2-4"}, "k = '2-4' is a text; pass integers, as in [2, 3, 4]"),
    ({"k": "2 3,7"}, "k = '2 3,7' is a text; pass integers, as in [2, 3, 7]"),
    (
        {"k": "seven"},
        "k = 'seven' is not a choice of k; use auto, or auto:DE with a mean OKLab difference DE from 0.001 to 100, "
        "as in auto:2",
    ),
    ({"k": [None]}, "k = None is not an integer; use one of at least 1"),
    ({"k": True}, "k = True is not an integer; use one of at least 1"),
    ({"k": [2, 0]}, "k = 0 is too small; use at least 1"),
    ({"k": 2, "seed": -1}, "seed = -1 is too small; use at least 0"),
    ({"k": []}, "k is empty; use at least one number of colours"),
    ({"k": 2, "max_iter": 0}, "max_iter = 0 is too small; use at least 1"),
    ({"k": 2, "tol": -0.1}, "tol = -0.1 is not a finite number of at least 0"),
]


@pytest.mark.parametrize(("options", "message"), BAD_OPTIONS)
def test_a_bad_option_is_refused_with_value_and_limit(options, message):
    with pytest.raises(ParameterError) as caught:
        quantize(IMAGES["rgb"], **options)
    assert str(caught.value) == message


@pytest.mark.parametrize("k", [0, 4097, 2.0])
def test_quantizer_refuses_a_bad_k_at_each_fit(k):
    quantizer = Quantizer(IMAGES["rgb"])
    with pytest.raises(ParameterError, match=f"k = {k} is"):
        quantizer.fit(k)


# The parts


def test_palette_rounds_to_the_nearest_and_stays_within_the_range():
    means = np.array([[0.0, 1.0, 0.5], [-0.01, 1.02, 100.4 / 255], [100.6 / 255, 254.6 / 255, 0.4 / 255]])
    palette = to_8_bits(means)
    assert palette.dtype == np.uint8
    np.testing.assert_array_equal(palette, [[0, 255, 128], [0, 255, 100], [101, 255, 0]])


def test_the_hex_code_of_every_palette_colour_parses_as_that_colour():
    for color in np.array([[0, 1, 255], [16, 15, 160], [0, 0, 0]], dtype=np.uint8):
        code = hex_code(color)
        assert len(code) == 7
        assert [int(code[i : i + 2], 16) for i in (1, 3, 5)] == color.tolist()


def test_16_bit_alpha_is_rounded_to_the_nearest_of_256_levels_and_never_made_invisible():
    values = np.arange(65536, dtype=np.uint16)
    expected = np.rint(values / 257)
    expected[1:129] = 1
    np.testing.assert_array_equal(alpha_to_8_bits(values), expected)
    eight = np.arange(256, dtype=np.uint8)
    np.testing.assert_array_equal(alpha_to_8_bits(eight), eight)
    assert not np.shares_memory(alpha_to_8_bits(eight), eight)


@pytest.mark.parametrize("image", [IMAGES["rgb"], IMAGES["rgba"]], ids=["rgb", "rgba"])
def test_a_quantizer_does_not_share_memory_with_the_array(image):
    image = image.copy()
    quantizer = Quantizer(image, Settings(seed=3))
    before = quantizer.fit(3)
    alive = weakref.ref(image)
    image[:] = 0
    assert_same_fit(quantizer.fit(3), before)
    np.testing.assert_array_equal(quantizer.fit(3).image, before.image)
    del image
    assert alive() is None


@each_image
def test_a_flat_image_holds_the_visible_pixels_and_lays_them_out_again(image):
    values, visible = values_and_visible(image)
    flat = FlatImage.from_array(image)
    channels = decode(flat.codes, flat.bit_depth)
    np.testing.assert_array_equal(channels.T / np.iinfo(image.dtype).max, values[visible])
    for channel, expected in zip(channels, values.T, strict=True):
        laid_out = flat.laid_out(channel)
        assert laid_out.shape == image.shape[:2] == flat.shape
        np.testing.assert_array_equal(laid_out.ravel(), np.where(visible, expected * np.iinfo(image.dtype).max, 0))


def test_channels_are_split_into_colour_and_alpha():
    rgba = np.arange(24, dtype=np.uint8).reshape(2, 3, 4)
    rgb, alpha = split_channels(rgba)
    np.testing.assert_array_equal(rgb, rgba[..., :3])
    np.testing.assert_array_equal(alpha, rgba[..., 3])
    assert split_channels(rgb)[1] is None
    grey, alpha = split_channels(rgba[..., 0])
    np.testing.assert_array_equal(grey, np.stack([rgba[..., 0]] * 3, axis=2))
    assert alpha is None


def test_recolouring_looks_each_label_up_in_the_palette():
    palette = np.array([[1, 2, 3], [4, 5, 6]], dtype=np.uint8)
    labels = np.array([[0, 1], [1, 1]], dtype=np.uint8)
    alpha = np.array([[0, 9], [255, 7]], dtype=np.uint8)
    image = IndexedImage(labels, palette, alpha).pixels
    for y in range(2):
        for x in range(2):
            assert image[y, x].tolist() == [*palette[labels[y, x]].tolist(), alpha[y, x]]
    np.testing.assert_array_equal(IndexedImage(labels, palette).pixels, image[..., :3])


def test_importing_the_estimators_and_quantize_loads_no_command_line_and_no_image_library():
    program = (
        "import json, sys, gmmquant; from gmmquant import KMeans, GaussianMixture, quantize; "
        "print(json.dumps(sorted({name.partition('.')[0] for name in sys.modules})))"
    )
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True, timeout=GUARD_SECONDS
    )
    loaded = set(json.loads(done.stdout))
    assert {"gmmquant", "numpy"} <= loaded
    assert not loaded & {"typer", "rich", "cv2", "matplotlib", "PIL", "scipy", "sklearn"}


# The sample images

LIKELIHOODS_OF_CAT = {2: 4.6155, 3: 4.6653, 7: 4.8932, 20: 5.0330}


@pytest.fixture(scope="module")
def cat_fits():
    return quantize(read_sample("cat.jpg"), LIKELIHOODS_OF_CAT, style="likelihood")


def test_fits_of_the_cat_reach_known_likelihoods(cat_fits):
    for result in cat_fits:
        assert result.mean_log_likelihood >= LIKELIHOODS_OF_CAT[result.k] - 0.01
    likelihoods = [result.mean_log_likelihood for result in cat_fits]
    assert likelihoods == sorted(likelihoods)


def test_fits_of_the_cat_converge_without_their_trace_ever_falling(cat_fits):
    for result in cat_fits:
        assert result.fit.converged
        assert np.diff(result.fit.trace).min() >= -1e-9


def test_log_likelihood_of_the_cat_equals_that_of_scipy_over_its_pixels(cat_fits):
    values, _ = values_and_visible(read_sample("cat.jpg"))
    for result in cat_fits[:3]:
        log_joint = log_joint_by_scipy(values, result.weights, result.means, result.covariances)
        assert result.log_likelihood == pytest.approx(logsumexp(log_joint, axis=1).sum(), rel=1e-9)


@pytest.mark.parametrize("name", ["coffee.png", "rocket.jpg", "flat.png", "grey.png", "alpha.png"])
def test_trace_never_falls_on_the_sample_images(name):
    result = quantize(read_sample(name), 7)
    assert np.diff(result.fit.trace).min(initial=0.0) >= -1e-9
    assert result.fit.converged
    assert result.mean_log_likelihood >= result.fit.trace[-1]
