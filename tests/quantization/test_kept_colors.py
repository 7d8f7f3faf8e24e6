"""Kept colours: against plain EM under the constraint, and the laws of their palettes; subsets, orders and depths."""

from itertools import combinations

import numpy as np
import pytest
from helpers import cells_of, draw_from, log_joint_by_scipy, random_mixture, read_sample
from PIL import Image
from scipy.special import logsumexp

from gmmquant import ColorHistogram, ParameterError, Quantizer, Settings, quantize
from gmmquant.models.covariance import COVARIANCE_TYPES
from gmmquant.models.em import em
from gmmquant.models.kmeans import kmeans_plus_plus
from gmmquant.models.palette_kmeans import fit_codebook
from gmmquant.models.starts import make_start, start_from_centers
from gmmquant.parsing import color_names
from gmmquant.quantization.fitter import Fitter
from gmmquant.settings import COLOR_DEPTHS, bits_of, displayed, levels_of

KINDS = ["full", "tied", "diag", "spherical"]
CAT = read_sample("cat.jpg")[::3, ::3]
KEEP = ("#ffffff", "#e30613")
KEPT = [(255, 255, 255), (227, 6, 19)]


def colors_of(palette):
    return list(map(tuple, palette.tolist()))


def under(kind, matrices, totals):
    """Return matrices (K, d, d) under the constraint of a covariance type."""
    variances = np.diagonal(matrices, axis1=1, axis2=2)
    if kind == "tied":
        return np.broadcast_to(np.average(matrices, axis=0, weights=totals), matrices.shape)
    if kind == "diag":
        return variances[:, :, np.newaxis] * np.eye(3)
    if kind == "spherical":
        return variances.mean(axis=1)[:, np.newaxis, np.newaxis] * np.eye(3)
    return matrices


@pytest.mark.parametrize("kind", KINDS)
def test_each_iteration_is_one_of_plain_em_that_leaves_the_first_means(kind):
    rng = np.random.default_rng(1)
    X = draw_from(rng, random_mixture(rng, 4, 3), 300)
    start = start_from_centers(cells_of(X), rng.normal(size=(4, 3)), 0.0, COVARIANCE_TYPES[kind], n_fixed=2)
    fit = em(cells_of(X), start, variance=0.0, tol=-1.0, max_iter=5, n_fixed=2)
    weights, means, covariances = start.weights, start.means.copy(), start.full_covariances()
    for objective in fit.trace:
        joint = log_joint_by_scipy(X, weights, means, covariances)
        log_density = logsumexp(joint, axis=1)
        assert objective == pytest.approx(log_density.mean(), rel=1e-10)
        responsibilities = np.exp(joint - log_density[:, np.newaxis])
        totals = responsibilities.sum(axis=0)
        means[2:] = (responsibilities.T @ X)[2:] / totals[2:, np.newaxis]
        about = X[:, np.newaxis] - means
        matrices = np.einsum("nk,nki,nkj->kij", responsibilities, about, about) / totals[:, np.newaxis, np.newaxis]
        weights, covariances = totals / len(X), under(kind, matrices, totals)
    assert fit.gaussians.means[:2].tobytes() == start.means[:2].tobytes()


@pytest.mark.parametrize("init", ["kmeans", "k-means++", "random_from_data", "random"])
def test_every_start_begins_with_the_fixed_means(init):
    rng = np.random.default_rng(0)
    fixed = np.array([[0.5, 0.5, 0.5], [9.0, 9.0, 9.0]])
    start = make_start(cells_of(rng.random((200, 3))), 5, init, rng, 1e-4, fixed=fixed)
    assert start.means[:2].tobytes() == fixed.tobytes()
    assert (start.weights > 0).all()


def test_seeding_avoids_samples_at_the_fixed_centers():
    X = np.repeat(np.eye(3), [900, 90, 10], axis=0)
    for seed in range(20):
        centers = kmeans_plus_plus(cells_of(X), 3, np.random.default_rng(seed), np.eye(3)[:1])
        assert sorted(map(tuple, centers)) == sorted(map(tuple, np.eye(3)))


def test_kmeans_about_fixed_centers_is_an_optimum_of_lloyd_under_the_constraint():
    rng = np.random.default_rng(2)
    X, fixed = rng.random((400, 3)), np.array([[0.5, 0.5, 0.5], [1.0, 0.0, 0.0]])
    book = fit_codebook([cells_of(X)], 6, restarts=3, rng=rng, tol=0.0, max_iter=500, fixed=fixed)
    assert book.centers[:2].tobytes() == fixed.tobytes()
    assert np.diff(book.trace).max() <= 1e-12
    labels = ((X[:, np.newaxis] - book.centers) ** 2).sum(axis=2).argmin(axis=1)
    for cluster in range(2, 6):
        np.testing.assert_allclose(book.centers[cluster], X[labels == cluster].mean(axis=0), atol=1e-9)


METHODS = [
    *({"covariance": kind, "noise": 0.0, "shrink": 0.0} for kind in KINDS),
    {"covariance": "full", "noise": 2.0, "shrink": 0.8},
    {"method": "kmeans"},
]


@pytest.mark.parametrize("space", ["srgb", "linear", "lab", "oklab"])
@pytest.mark.parametrize("options", METHODS, ids=lambda options: "-".join(map(str, options.values())))
def test_kept_colors_are_in_the_palette_and_no_color_is_there_twice(options, space):
    fit = quantize(CAT, 6, keep_colors=KEEP, space=space, **options)
    colors = colors_of(fit.palette)
    assert len(set(colors)) == len(colors) == 6
    assert set(KEPT) <= set(colors)
    assert [color in KEPT for color in colors] == fit.fit.fixed.tolist()
    fall = np.diff(fit.fit.trace) if options.get("method") else -np.diff(fit.fit.trace)
    assert fall.max() <= 1e-9
    assert np.diff(fit.weights).max() <= 0
    assert (np.bincount(fit.labels.ravel(), minlength=6) == fit.statistics.counts).all()


def test_a_pixel_with_a_kept_color_keeps_it():
    image = read_sample("rocket.jpg")[::2, ::2]
    code = "#" + bytes(image.reshape(-1, 3)[0]).hex()
    for options in METHODS:
        drawn = quantize(image, 5, keep_colors=(code, "white"), **options).image
        for color in (image.reshape(-1, 3)[0], (255, 255, 255)):
            of_color = (image == color).all(axis=2)
            assert (drawn[of_color] == color).all()


@pytest.mark.parametrize("method", ["gmm", "kmeans"])
def test_a_fitted_color_that_would_round_to_a_kept_one_is_the_nearest_other(method):
    """16-bit values of 25755 and 25765 are 100.2 of 255."""
    values = np.array([25700, 25755, 25765, 25765], dtype=np.uint16)
    fit = quantize(np.repeat(values, 3).reshape(1, 4, 3), 2, method=method, keep_colors=["#646464"])
    assert not fit.fit.exact
    assert sorted(np.abs(fit.palette.astype(int) - 100).sum(axis=1).tolist()) == [0, 1]


@pytest.mark.parametrize("method", ["gmm", "kmeans"])
def test_few_colors_are_kept_exactly_beside_the_kept_ones(method):
    image = np.array([[[10, 20, 30], [10, 20, 30], [40, 50, 60]]], dtype=np.uint8)
    fit = quantize(image, 4, method=method, keep_colors=["#102030", "#28323c"])  # the second is in the image
    assert np.array_equal(fit.image, image)
    assert fit.fit.exact
    assert colors_of(fit.palette) == [(10, 20, 30), (40, 50, 60), (16, 32, 48)]
    assert fit.fit.fixed.tolist() == [False, True, True]
    assert fit.statistics.counts.tolist() == [2, 1, 0]
    np.testing.assert_allclose(fit.weights, [2 / 3, 1 / 3, 0])


@pytest.mark.parametrize("depth", COLOR_DEPTHS[1:])
@pytest.mark.parametrize("method", ["gmm", "kmeans"])
def test_as_many_colors_as_asked_for_are_drawn_in_the_nearest_ones_of_a_lower_depth(method, depth):
    """The palette has no colour twice, so it also has colours farther from some greys than the nearest."""
    greys = np.repeat(np.arange(256, dtype=np.uint8), 3).reshape(8, 32, 3)
    quantizer = Quantizer(greys, method=method, color_depth=depth)
    fit = quantizer.fit(256)
    assert fit.fit.exact
    assert len(set(colors_of(fit.palette))) == 256
    nearest = np.array([displayed(color, depth) for color in colors_of(greys.reshape(-1, 3))], dtype=float)
    expected = ((nearest - greys.reshape(-1, 3)) ** 2).sum(axis=1).mean()
    assert ((fit.image.astype(float) - greys) ** 2).sum(axis=2).mean() == pytest.approx(expected)
    assert fit.mse == pytest.approx(expected)
    later = Quantizer(greys, color_depth=depth, recolor="nearest").apply(quantizer.fit(256).mixture, exact=True)
    assert later.mse == pytest.approx(expected)


@pytest.mark.parametrize("method", ["gmm", "kmeans"])
@pytest.mark.parametrize("k", [2, 3])
def test_kept_colors_come_before_exact_ones(method, k):
    """Two colours of the image and two kept ones are more than k."""
    image = np.array([[[10, 20, 30], [10, 20, 30], [40, 50, 60]]], dtype=np.uint8)
    fit = quantize(image, k, method=method, keep_colors=["#000000", "#ffffff"])
    assert {(0, 0, 0), (255, 255, 255)} <= set(colors_of(fit.palette))
    assert len(set(colors_of(fit.palette))) == k
    assert np.isfinite(fit.log_likelihood)


def test_16_bit_colors_are_kept_too():
    image = CAT.astype(np.uint16) * 257
    image[0, 0] = 65535
    fit = quantize(image, 5, keep_colors=KEEP)
    assert set(KEPT) <= set(colors_of(fit.palette))
    few = quantize(image[:1, :2], 4, keep_colors=["white"])
    assert few.fit.exact
    assert len(few.palette) == 2


def test_as_many_kept_colors_as_k_are_a_fixed_palette():
    kept = quantize(CAT, 2, keep_colors=KEEP, palette_order="given", method="kmeans")
    fixed = Quantizer(CAT).fit_palette(np.array(KEPT, np.uint8))
    assert np.array_equal(kept.image, fixed.image)


def test_free_parameters_do_not_count_fixed_means():
    fit = quantize(CAT, 5, keep_colors=KEEP, covariance="full")
    free = 4 + 3 * 3 + 5 * 6
    assert fit.aic == pytest.approx(2 * free - 2 * fit.log_likelihood)


def test_auto_chooses_at_least_the_kept_colors():
    small = CAT[::3, ::3]
    fit = quantize(small, "auto", keep_colors=KEEP)
    assert len(fit.palette) > 2
    kept = quantize(small, "auto", keep_colors=[f"#{value:06x}" for value in range(9)])
    assert len(kept.palette) > 9
    one = quantize(np.zeros((4, 4, 3), np.uint8), "auto", keep_colors=KEEP)
    assert set(KEPT) <= set(colors_of(one.palette))


@pytest.mark.parametrize("name", ["red", "white"])
def test_auto_chooses_as_many_colours_or_more_if_one_is_kept_that_is_not_in_the_image(name):
    assert Quantizer(CAT, keep_colors=[name]).choose_k().k >= Quantizer(CAT).choose_k().k > 2


def test_the_same_seed_gives_the_same_bits():
    one, other = (quantize(CAT, 5, keep_colors=KEEP) for _ in range(2))
    assert one.means.tobytes() == other.means.tobytes()


@pytest.mark.parametrize(
    ("options", "k", "words"),
    [
        ({"keep_colors": KEEP}, 1, "k = 1 is below the 2 colours to keep; use at least 2"),
        ({"keep_colors": ["blak"]}, 3, "'blak' is not a colour; did you mean black"),
        ({"keep_colors": KEEP, "color_depth": "rgb444"}, 3, "#e30613 is not an rgb444 colour; use #dd0011"),
        ({"recolor": "soft", "color_depth": "rgb444"}, 3, "omit color_depth"),
    ],
)
def test_what_cannot_be_kept_is_refused_in_one_line(options, k, words):
    with pytest.raises(ParameterError, match=words) as caught:
        quantize(CAT, k, **options)
    assert "\n" not in str(caught.value)


def test_colors_are_codes_and_names_in_any_sequence():
    expected = ("#ffffff", "#e30613")
    for colors in ("white,#e30613", ["#fff", "e30613", "WHITE"], ("white,#E30613",)):
        assert Settings(keep_colors=colors).keep_colors == expected


# Subsets of palettes


@pytest.mark.parametrize("space", ["srgb", "oklab"])
def test_the_chosen_colors_have_the_least_error_of_all_subsets(space):
    palette = np.random.default_rng(4).integers(0, 256, (9, 3), dtype=np.uint8)
    quantizer = Quantizer(CAT, Settings(space=space))
    fit = quantizer.fit_palette(palette, 3)
    histogram, to_space = quantizer.histogram, quantizer.fitter.space.from_srgb
    distances = ((to_space(histogram.values)[:, np.newaxis] - to_space(palette / 255)) ** 2).sum(axis=2)
    errors = {s: histogram.counts @ distances[:, list(s)].min(axis=1) for s in combinations(range(9), 3)}
    best = min(errors, key=errors.get)
    assert np.array_equal(fit.palette, palette[list(best)])
    assert fit.k == 3
    every = quantizer.fit_palette(palette, 9)
    assert np.array_equal(every.palette, palette)
    assert np.array_equal(every.image, quantizer.fit_palette(palette).image)


def test_colors_to_keep_are_among_the_chosen_ones_and_repetitions_are_not():
    palette = np.array([*KEPT, [0, 0, 0], [0, 0, 0], [90, 70, 60], [180, 150, 140]], np.uint8)
    fit = Quantizer(CAT, keep_colors=KEEP[1:]).fit_palette(palette, 3)
    assert KEPT[1] in colors_of(fit.palette)
    assert len(set(colors_of(Quantizer(CAT).fit_palette(palette, 5).palette))) == 5
    for k, keep, words in ((6, (), "above the 5 colours"), (3, ("blue",), "#0000ff is not in the palette")):
        with pytest.raises(ParameterError, match=words):
            Quantizer(CAT, keep_colors=keep).fit_palette(palette, k)


# Orders and depths


@pytest.mark.parametrize("order", ["weight", "luminance", "hue", "given"])
@pytest.mark.parametrize("fixed", [False, True])
def test_an_order_moves_components_colors_and_labels_together(order, fixed):
    def drawn(order):
        quantizer = Quantizer(CAT, keep_colors=() if fixed else KEEP, palette_order=order)
        palette = np.random.default_rng(0).integers(0, 256, (6, 3), dtype=np.uint8)
        return quantizer.fit_palette(palette) if fixed else quantizer.fit(6)

    plain, ordered = drawn(None), drawn(order)
    # Of two equally near colours the first one in the order is used.
    assert (ordered.image != plain.image).any(axis=2).mean() < 1e-3
    assert ordered.log_likelihood == pytest.approx(plain.log_likelihood, rel=1e-12)
    moved = [colors_of(plain.palette).index(color) for color in colors_of(ordered.palette)]
    assert sorted(moved) == list(range(6))
    for name in ("weights", "means", "covariances"):
        assert np.array_equal(getattr(ordered, name), getattr(plain, name)[moved])
    assert np.abs(ordered.statistics.counts - plain.statistics.counts[moved]).max() < 1e-3 * plain.labels.size
    if order == "weight":
        assert np.diff(ordered.weights).max() <= 0
    if order == "given":
        assert moved == list(range(6)) if fixed else colors_of(ordered.palette)[:2] == KEPT


@pytest.mark.parametrize("depth", ["rgb565", "rgb555", "rgb444"])
@pytest.mark.parametrize("method", ["gmm", "kmeans"])
def test_colors_of_a_depth_are_distinct_and_each_pixel_gets_the_nearest(depth, method):
    fit = quantize(CAT, 24, method=method, recolor="nearest", color_depth=depth, keep_colors=["white"])
    for channel, bits in zip(fit.palette.T, bits_of(depth), strict=True):
        assert set(channel.tolist()) <= set(levels_of(bits))
    assert len(set(colors_of(fit.palette))) == 24
    distances = ((CAT[:, :, np.newaxis].astype(int) - fit.palette) ** 2).sum(axis=3)
    assert fit.mse == pytest.approx(distances.min(axis=2).mean())
    assert np.array_equal(np.take_along_axis(distances, fit.labels[..., np.newaxis], 2)[..., 0], distances.min(axis=2))


def test_a_fixed_palette_is_rounded_to_a_depth():
    palette = np.array([[227, 6, 19], [255, 255, 255]], np.uint8)
    assert colors_of(Quantizer(CAT, color_depth="rgb565").fit_palette(palette).palette) == [(231, 4, 16), (255,) * 3]


def test_a_name_that_pillow_has_used_is_still_a_colour():
    Image.new("RGB", (1, 1), "teal")
    assert Settings(keep_colors=["teal", "Navy"]).keep_colors == ("#008080", "#000080")
    assert color_names()["teal"] == "#008080"


def test_settings_at_their_defaults_change_no_bit():
    histogram = ColorHistogram.from_pixels(CAT.reshape(-1, 3))
    plain = Fitter(histogram, Settings()).fit(5)
    assert plain.fixed is None
    assert not plain.keeps_order
    assert Fitter(histogram, Settings(palette_order="weight")).fit(5).mixture.means.tobytes() == (
        plain.mixture.means.tobytes()
    )
