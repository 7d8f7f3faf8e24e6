"""Pixels weigh as their colour can be seen: against opaque images, scipy, scikit-learn and compositing."""

import numpy as np
import pytest
from helpers import log_joint_by_scipy, read_sample
from scipy.special import logsumexp
from sklearn.cluster import KMeans

from gmmquant import ColorHistogram, ParameterError, Quantizer, quantize
from gmmquant.colors.morton import encode
from gmmquant.colors.spaces import COLOR_SPACES
from gmmquant.models.convergence import default_tol

CAT = read_sample("cat.jpg")
EIGHT = np.array(
    [
        *([220, 40, 30], [240, 160, 20], [250, 235, 60], [60, 170, 60]),
        *([40, 150, 190], [40, 60, 170], [130, 50, 150], [30, 30, 30]),
    ],
    dtype=np.uint8,
)
FITS = [
    {"method": "gmm", "covariance": "full", "noise": 0, "shrink": 0},
    {"method": "gmm", "noise": 2, "shrink": 0.9},
    {"method": "kmeans"},
]
each_fit = pytest.mark.parametrize("options", FITS, ids=["likelihood", "noise and shrinkage", "kmeans"])


def cutout(seed=0):
    """Return a disc of eight flat colours, RGBA, on a photograph of alpha 1 to 3: 90 % of the pixels."""
    rng = np.random.default_rng(seed)
    image = np.dstack([CAT[:160, :240], rng.integers(1, 4, (160, 240), dtype=np.uint8)])
    y, x = np.mgrid[-80:80, -120:120]
    radius, sector = np.hypot(x, y), ((np.arctan2(y, x) / np.pi + 1) * 4).astype(int) % 8
    inside = radius < 38
    image[inside, :3] = EIGHT[sector[inside]]
    image[..., 3][inside] = np.clip((38 - radius[inside]) / 4 * 255, 3, 255)
    return image


def veiled(dtype=np.uint8):
    """Return part of the cat, RGBA, with alpha in steps of a fifth, some of it 0."""
    image = CAT[40:100, 80:160].astype(np.int64)
    fifths = np.random.default_rng(1).integers(0, 6, image.shape[:2])
    return (np.dstack([image, 51 * fifths]) * (np.iinfo(dtype).max // 255)).astype(dtype)


def over(image, background):
    """Return RGBA composited over a colour, (height, width, 3), in 0..255."""
    alpha = image[..., 3:].astype(float) / 255
    return alpha * image[..., :3] + (1 - alpha) * background


@each_fit
@pytest.mark.parametrize("space", ["srgb", "oklab"])
def test_nearly_invisible_pixels_do_not_take_the_colours_of_the_visible_ones(options, space):
    image = cutout()
    assert (image[..., 3] <= 3).mean() > 0.87
    result = quantize(image, 8, space=space, **options)
    differences = np.abs(result.palette.astype(int) - EIGHT[:, np.newaxis]).max(axis=2)
    assert sorted(differences.argmin(axis=0)) == list(range(8))
    # In other spaces the few faint pixels of a component may move a dark mean by more than half a level.
    assert differences.min(axis=0).max() <= (space != "srgb")
    errors = [((over(result.image, b) - over(image, b)) ** 2).sum(axis=-1).mean() for b in (0, 255)]
    assert max(errors) < 1.2


@each_fit
@pytest.mark.parametrize(("space", "dtype"), [("srgb", np.uint8), ("oklab", np.uint8), ("srgb", np.uint16)])
def test_the_fit_is_that_to_an_opaque_image_with_each_pixel_repeated_by_its_squared_alpha(options, space, dtype):
    image = veiled(dtype)
    squares = (image[..., 3].ravel() // (image[..., 3].max() // 5)).astype(int) ** 2
    repeated = np.repeat(image[..., :3].reshape(-1, 3), squares, axis=0)[np.newaxis]
    # The tolerance of a fit to few pixels depends on their number, so it is fixed.
    one, other = (Quantizer(each, space=space, tol=1e-5, **options) for each in (image, repeated))
    for k in (2, 6):
        weighted, plain = one.fit(k), other.fit(k)
        assert weighted.fit.n_iter == plain.fit.n_iter
        np.testing.assert_array_equal(weighted.palette, plain.palette)
        for name in ("weights", "means", "covariances"):
            np.testing.assert_allclose(getattr(weighted, name), getattr(plain, name), rtol=1e-6, atol=1e-9)
        assert weighted.log_likelihood == pytest.approx(plain.log_likelihood / 25, rel=1e-7)
        assert weighted.statistics.entropy == pytest.approx(plain.statistics.entropy / 25, rel=1e-6)
        assert weighted.mean_log_likelihood == pytest.approx(plain.mean_log_likelihood, rel=1e-7)
        # Means of squared errors are over the visible pixels.
        n_visible = np.count_nonzero(squares)
        assert weighted.mse * n_visible == pytest.approx(plain.mse * squares.sum() / 25, rel=1e-7)


@pytest.mark.parametrize("dither", ["none", "floyd-steinberg", "blue-noise"])
@pytest.mark.parametrize("recolor", [None, "soft"])
def test_the_squared_error_is_that_of_the_images_composited_over_any_colour(dither, recolor):
    if recolor and dither != "none":
        pytest.skip("they exclude each other")
    image = veiled()
    result = quantize(image, 5, dither=dither, recolor=recolor)
    visible = image[..., 3] > 0
    for background in (0, 255, np.array([12, 200, 90])):
        difference = over(result.image, background) - over(image, background)
        assert result.mse == pytest.approx((difference[visible] ** 2).sum(axis=1).mean(), rel=1e-9)


@pytest.mark.parametrize("space", ["srgb", "lab"])
def test_log_likelihood_and_entropy_are_sums_over_the_pixels_with_their_weights(space):
    image = cutout()
    result = quantize(image, 5, space=space, noise=1, shrink=0.5)
    values = COLOR_SPACES[space].from_srgb(image[..., :3].reshape(-1, 3) / 255)
    weights = (image[..., 3].ravel() / 255) ** 2
    log_density = logsumexp(log_joint_by_scipy(values, result.weights, result.means, result.covariances), axis=1)
    assert result.statistics.weight == pytest.approx(weights.sum(), rel=1e-12)
    assert result.log_likelihood == pytest.approx(weights @ log_density, rel=1e-9)
    assert result.mean_log_likelihood == pytest.approx(np.average(log_density, weights=weights), rel=1e-9)


def test_kmeans_is_as_good_as_scikit_learns_with_these_weights():
    image = cutout()
    pixels, weights = image[..., :3].reshape(-1, 3).astype(float), (image[..., 3].ravel() / 255) ** 2
    for k in (8, 12):
        theirs = KMeans(k, n_init=4, random_state=0).fit(pixels, sample_weight=weights)
        ours = quantize(image, k, method="kmeans")
        assert ours.mse <= 1.02 * theirs.inertia_ / len(pixels) + 1e-3
        assert ours.fit.trace[-1] * 255**2 == pytest.approx(ours.mse * len(pixels) / weights.sum(), rel=0.02, abs=0.02)


def test_alpha_of_nothing_but_0_and_255_gives_the_very_fit_of_the_opaque_pixels():
    image = veiled()
    image[..., 3] = np.where(image[..., 3] > 100, 255, 0)
    visible = image[..., 3] > 0
    for options in FITS:
        one, other = quantize(image, 4, **options), quantize(image[visible][np.newaxis, :, :3], 4, **options)
        for name in ("weights", "means", "covariances", "log_likelihood", "mse", "bic"):
            np.testing.assert_array_equal(getattr(one, name), getattr(other, name))


def test_nearly_invisible_pixels_do_not_change_the_choice_of_k():
    photo, noise = CAT[30:90, 40:130], np.random.default_rng(0).integers(0, 256, (10, 90, 3), dtype=np.uint8)
    veil = [np.full(part.shape[:2], alpha, np.uint8) for part, alpha in ((photo, 255), (noise, 1))]
    veiled_noise = np.vstack([np.dstack([photo, veil[0]]), np.dstack([noise, veil[1]])])
    ks = [Quantizer(image).choose_k().k for image in (photo, veiled_noise, np.vstack([photo, noise]))]
    assert ks[0] == ks[1] != ks[2]


def test_the_tolerance_is_that_of_an_image_of_as_many_opaque_pixels():
    image = np.dstack([CAT[:100, :100], np.full((100, 100), 51, np.uint8)])
    assert (
        quantize(image, 2).fit.tol == quantize(CAT[:20, :20], 2).fit.tol == default_tol(2, 400) > default_tol(2, 10_000)
    )


def test_criteria_of_an_image_that_weighs_less_than_one_pixel_do_not_reward_parameters():
    faint = np.dstack([CAT[:20, :20], np.ones((20, 20), np.uint8)])
    result = quantize(faint, 3)
    assert result.statistics.weight < 0.01
    assert result.bic == pytest.approx(-2 * result.log_likelihood, rel=1e-12)


def test_a_histogram_has_the_sums_of_squared_alpha_by_a_dictionary():
    rng = np.random.default_rng(3)
    for dtype in (np.uint8, np.uint16):
        pixels, alpha = rng.integers(0, 4, (400, 3)).astype(dtype), rng.integers(1, 256, 400).astype(np.uint8)
        histogram, expected = ColorHistogram.from_pixels(pixels, alpha), {}
        for color, a in zip(map(tuple, pixels.tolist()), alpha.tolist(), strict=True):
            expected[color] = expected.get(color, 0) + a**2
        assert (
            dict(zip(map(tuple, histogram.colors.tolist()), histogram.alpha_squares.tolist(), strict=True)) == expected
        )
        with pytest.raises(ParameterError, match="alpha is 0 for some pixels"):
            ColorHistogram.from_pixels(pixels, alpha * (alpha > 9))
        np.testing.assert_array_equal(histogram.counts, ColorHistogram.from_pixels(pixels).counts)
        np.testing.assert_array_equal(histogram.weights, histogram.alpha_squares / 255**2)
        codes = encode(pixels)
        np.testing.assert_array_equal(
            histogram.colors[histogram.to_pixels(np.arange(histogram.n_colors), codes)], pixels
        )
