"""Smoothing by a hidden Markov random field, compared with the formula of mean-field in loops, and its laws."""

import itertools
import json
import sys

import numpy as np
import pytest
from helpers import assert_refused, read_sample
from PIL import Image
from scipy import ndimage
from scipy.special import softmax

from gmmquant import Quantizer, quantize
from gmmquant.images import smoothing
from gmmquant.images.dithering.pixels import Pixels
from gmmquant.images.smoothing import run_sweeps, smooth_labels
from gmmquant.models.cells import Cells
from gmmquant.models.covariance import SPHERICAL
from gmmquant.models.gaussian import Gaussians, natural_parameters
from gmmquant.quantization.neighbors import pixels_of
from gmmquant.settings import Settings
from gmmquant.system import threads

NEIGHBOURS = [step for step in itertools.product((-1, 0, 1), repeat=2) if step != (0, 0)]


def random_field(seed, height, width, K, n_frames=1):
    """Draw pixels of random colours, some invisible, and the coefficients of a mixture of K components."""
    rng = np.random.default_rng(seed)
    points = Cells.points(rng.random((60, 3)), np.full(3, 0.5))
    shape = height * n_frames, width
    pixels = Pixels(rng.integers(0, 60, shape).astype(np.uint32), rng.random(shape) < 0.85, height)
    mixture = Gaussians(rng.dirichlet(np.full(K, 5.0)), rng.random((K, 3)), rng.uniform(0.05, 0.2, K), SPHERICAL)
    return pixels, points, natural_parameters(mixture, points.origin)


def scores_of(pixels, points, theta):
    """Return the score of each component at each pixel, (height, width, K)."""
    return (theta @ points.features(slice(None), theta.shape[1])).T[pixels.index]


def neighbours(i, j, visible):
    """Yield the visible neighbours of a pixel."""
    for dy, dx in NEIGHBOURS:
        y, x = i + dy, j + dx
        if 0 <= y < visible.shape[0] and 0 <= x < visible.shape[1] and visible[y, x]:
            yield y, x


def mean_field(scores, visible, strength, n_sweeps, round_beliefs=lambda beliefs: beliefs):
    """Yield the beliefs (height, width, K) of one frame after each sweep, by the formula, pixel by pixel."""
    height, width, _ = scores.shape
    beliefs = round_beliefs(softmax(scores, axis=2))
    for _ in range(n_sweeps):
        for top, left in ((0, 0), (0, 1), (1, 0), (1, 1)):
            for i, j in itertools.product(range(top, height, 2), range(left, width, 2)):
                agreement = sum(beliefs[near] for near in neighbours(i, j, visible))
                beliefs[i, j] = round_beliefs(softmax(scores[i, j] + strength * agreement))
        yield beliefs.copy()


def rounded_mean_field(scores, visible, strength, n_sweeps):
    """Yield the same with beliefs of 31 levels, and scores of 255 steps that end where no belief can be 1 / 62."""
    step = (8 * strength + np.log(63)) / 255
    steps = np.rint((scores.max(axis=2, keepdims=True) - scores) / step)
    return mean_field(
        np.where(steps < 255, -steps * step, -np.inf), visible, strength, n_sweeps, lambda q: np.rint(31 * q) / 31
    )


def free_energy(beliefs, scores, visible, strength):
    """Return the bound on the log of the normalising constant that mean-field maximises."""
    total = 0.0
    for i, j in np.argwhere(visible):
        q = beliefs[i, j]
        agreement = sum((q @ beliefs[near] for near in neighbours(i, j, visible)), 0.0)
        total += q @ scores[i, j] - np.sum(q * np.log(np.maximum(q, 1e-300))) + strength / 2 * agreement
    return total


def log_posterior(labels, scores, visible, strength):
    """Return log p(z | x) of one frame, without its constant."""
    own = np.take_along_axis(scores, labels[..., np.newaxis].astype(int), axis=2)[..., 0][visible].sum()
    pairs = 0
    for i, j in np.argwhere(visible):
        pairs += sum(labels[near] == labels[i, j] for near in neighbours(i, j, visible))
    return own + strength * pairs / 2


@pytest.mark.parametrize("strength", [0.3, 1.0, 4.0])
@pytest.mark.parametrize(("height", "width"), [(9, 12), (8, 7), (1, 11), (10, 1), (1, 1)])
def test_labels_are_those_of_the_formula_in_loops(strength, height, width):
    pixels, points, theta = random_field(height, height, width, 4, n_frames=2)
    scores = scores_of(pixels, points, theta)
    for n_sweeps in (1, 3):
        labels = np.zeros(pixels.index.shape, dtype=np.uint8)
        run_sweeps(pixels, points, theta, strength, n_sweeps, labels)
        for frame in (slice(0, height), slice(height, 2 * height)):
            visible = pixels.visible[frame]
            *_, beliefs = rounded_mean_field(scores[frame], visible, strength, n_sweeps)
            np.testing.assert_array_equal(labels[frame][visible], beliefs.argmax(axis=2)[visible])


@pytest.mark.parametrize("strength", [0.4, 1.5, 4.0])
def test_beliefs_are_those_of_the_formula(strength, monkeypatch):
    pixels, points, theta = random_field(5, 10, 13, 3)
    found, of_tile = {}, smoothing._most_believed

    def note(field, tile):
        found.update(enumerate(field.beliefs.reshape(*field.shape, -1)[:, 1:-1, 1:-1, :3].copy()))
        return of_tile(field, tile)

    monkeypatch.setattr(smoothing, "_most_believed", note)
    run_sweeps(pixels, points, theta, strength, 4, np.zeros((10, 13), dtype=np.uint8))
    scores, visible = scores_of(pixels, points, theta), pixels.visible
    *_, rounded = rounded_mean_field(scores, visible, strength, 4)
    *_, exact = mean_field(scores, visible, strength, 4)
    for number, (y, x) in enumerate(itertools.product((0, 1), repeat=2)):
        expected, seen = rounded[y::2, x::2], visible[y::2, x::2]
        actual = found[number][: expected.shape[0], : expected.shape[1]] / 31
        np.testing.assert_allclose(actual[seen], expected[seen], atol=1e-12)
        assert (actual[~seen] == 0).all()
        assert abs(actual[seen] - exact[y::2, x::2][seen]).mean() < 0.01


def test_rounding_changes_few_labels():
    pixels, points, theta, _ = cat_of(7)
    part = Pixels(np.ascontiguousarray(pixels.index[100:170, 100:180]))
    labels = np.zeros((70, 80), dtype=np.uint8)
    run_sweeps(part, points, theta, 1.0, 6, labels)
    *_, exact = mean_field(scores_of(part, points, theta), np.ones((70, 80), dtype=bool), 1.0, 6)
    assert (labels != exact.argmax(axis=2)).mean() < 0.002


def test_only_pixels_beside_a_change_are_updated_and_that_changes_nothing(monkeypatch):
    pixels, points, theta, _ = cat_of(7)
    part = Pixels(pixels.index[:120, :150])
    expected, labels = np.zeros((2, 120, 150), dtype=np.uint8)
    n_updated = []
    believe, update = smoothing._believe, smoothing._update

    def count(scores, agreement, b, buffers):
        n_updated.append(scores.shape[1])
        return believe(scores, agreement, b, buffers)

    monkeypatch.setattr(smoothing, "_believe", count)
    run_sweeps(part, points, theta, 1.0, 8, labels)
    few, n_updated[:] = sum(n_updated), []

    def update_all(field, number, b):
        field.stale[:] = True
        field.undecided[:] = field.colors > 0
        update(field, number, b)

    monkeypatch.setattr(smoothing, "_update", update_all)
    run_sweeps(part, points, theta, 1.0, 8, expected)
    np.testing.assert_array_equal(labels, expected)
    assert few < sum(n_updated) / 2


def test_scores_are_the_same_whether_those_of_all_colours_are_kept_or_not(monkeypatch):
    pixels, points, theta = random_field(7, 90, 110, 11)
    kept, labels = np.zeros((2, 90, 110), dtype=np.uint8)
    run_sweeps(pixels, points, theta, 1.0, 4, kept)
    monkeypatch.setattr(smoothing, "_MAX_KEPT_SCORES", 0)
    monkeypatch.setattr(smoothing, "_TILE_BELIEFS", 1)
    run_sweeps(pixels, points, theta, 1.0, 4, labels)
    np.testing.assert_array_equal(labels[pixels.visible], kept[pixels.visible])


@pytest.mark.parametrize(("difference", "outvoted"), [(-15.5, True), (-16.5, False)])
def test_eight_certain_neighbours_outweigh_eight_times_the_strength(difference, outvoted):
    index = np.zeros((7, 7), dtype=np.uint32)
    index[3, 3] = 1
    points = Cells.points(np.array([[0.0], [1.0]]), np.zeros(1))
    theta = np.array([[0.0, 0.0], [-50.0, 50.0 - difference]])  # scores (0, -50) and (0, -difference)
    labels = smooth_labels(Pixels(index), points, theta, 2.0)
    assert labels[3, 3] == (0 if outvoted else 1)
    assert np.count_nonzero(labels) == (not outvoted)


@pytest.mark.parametrize("seed", range(3))
def test_no_sweep_lowers_the_free_energy_and_labels_gain_posterior_probability(seed):
    pixels, points, theta = random_field(seed, 14, 15, 3)
    scores, strength = scores_of(pixels, points, theta), 1.0
    sweeps = mean_field(scores, pixels.visible, strength, 8)
    energies = [
        free_energy(beliefs, scores, pixels.visible, strength) for beliefs in (softmax(scores, axis=2), *sweeps)
    ]
    assert np.diff(energies).min() > -1e-9
    before, after = scores.argmax(axis=2), smooth_labels(pixels, points, theta, strength)
    assert log_posterior(after, scores, pixels.visible, strength) > log_posterior(
        before, scores, pixels.visible, strength
    )


@pytest.mark.parametrize(("strength", "n_sweeps"), [(0.5, 9), (4.0, 5)])
def test_labels_are_the_same_for_tiles_of_any_size_and_for_any_number_of_threads(strength, n_sweeps, monkeypatch):
    rng = np.random.default_rng(0)
    pixels, points, theta = random_field(1, 181, 227, 5)
    ranks = ndimage.gaussian_filter(rng.random((181, 227)), 2).argsort(axis=None).argsort().reshape(181, 227)
    pixels = Pixels((ranks * 60 // ranks.size).astype(np.uint32), pixels.visible)
    expected, labels = np.empty((2, 181, 227), dtype=np.uint8)
    share = run_sweeps(pixels, points, theta, strength, n_sweeps, expected)
    monkeypatch.setattr(smoothing, "_TILE_BELIEFS", 1)
    monkeypatch.setattr(smoothing, "_CHUNK_BELIEFS", 3000)
    for n_threads in (1, 2, 3):
        monkeypatch.setattr(threads, "_MIN_ELEMENTS", 1)
        monkeypatch.setattr(threads, "_share", n_threads)
        assert run_sweeps(pixels, points, theta, strength, n_sweeps, labels) == share
        np.testing.assert_array_equal(labels, expected)


def test_frames_are_smoothed_separately():
    pixels, points, theta = random_field(2, 20, 31, 4, n_frames=3)
    together, alone = np.zeros((60, 31), dtype=np.uint8), np.zeros((20, 31), dtype=np.uint8)
    run_sweeps(pixels, points, theta, 1.0, 5, together)
    for index, visible, labels in zip(*map(pixels.frames, (pixels.index, pixels.visible, together)), strict=True):
        run_sweeps(Pixels(index, visible), points, theta, 1.0, 5, alone)
        np.testing.assert_array_equal(alone[visible], labels[visible])


def cat_of(k, **options):
    """Return the cat's pixels as `smooth_labels` takes them, the coefficients of a fit, and that fit."""
    quantizer = Quantizer(read_sample("cat.jpg"), Settings(covariance="full", noise=0, shrink=0, **options))
    fit = quantizer.fit(k)
    pixels = pixels_of(quantizer._pixels)
    return pixels, quantizer._points, natural_parameters(fit.mixture, quantizer._points.origin), fit


def test_one_more_sweep_changes_less_than_a_thousandth_of_the_labels(monkeypatch):
    pixels, points, theta, _ = cat_of(7)
    last = []
    original = smoothing.run_sweeps

    def record(*arguments, **options):
        last.append(arguments[4])
        return original(*arguments, **options)

    monkeypatch.setattr(smoothing, "run_sweeps", record)
    for tolerance in (9e-4, 2e-4):  # with the second, sweeps are added
        monkeypatch.setattr(smoothing, "_TOLERANCE", tolerance)
        for strength in (0.25, 1.0, 2.0, 4.0):
            labels = smooth_labels(pixels, points, theta, strength)
            more = np.empty_like(labels)
            share = original(pixels, points, theta, strength, last[-1] + 1, more)
            assert share <= min(1.5 * tolerance, 1e-3)
            assert np.mean(more != labels) == share
    assert len(last) > 8


def test_more_strength_gives_fewer_regions_and_more_error():
    settings = {"covariance": "full", "noise": 0, "shrink": 0}
    plain, *smoothed = (quantize(read_sample("cat.jpg"), 7, smooth=s, **settings) for s in (0, 1, 4))
    regions = [fit.statistics.regions for fit in smoothed]
    n_plain = sum(ndimage.label(plain.labels == label)[1] for label in range(7))
    assert [n_plain, *regions] == sorted([n_plain, *regions], reverse=True)
    assert regions[0] < n_plain / 4
    errors = [fit.mse for fit in (plain, *smoothed)]
    assert errors == sorted(errors)
    assert errors[1] < 1.12 * errors[0]


def drawing():
    """Return the regions of a drawn image, (240, 320): a disc, a square, a lozenge, stripes, a slanting line."""
    y, x = np.mgrid[:240, :320]
    regions = np.zeros((240, 320), dtype=int)
    regions[(x - 90) ** 2 + (y - 90) ** 2 < 60**2] = 1
    regions[(y > 150) & (x > 150)] = 2
    regions[abs(x - 250) + abs(y - 80) < 60] = 3
    regions[(y > 200) & (x < 120) & (x // 8 % 2 == 0)] = 4
    regions[(x + y > 330) & (x + y < 342)] = 4
    return regions


@pytest.mark.parametrize(
    ("options", "noise"),
    [
        ({"covariance": "full", "noise": 0, "shrink": 0}, 28),
        ({"covariance": "tied", "noise": 2}, 26),
        ({"method": "kmeans"}, 24),
    ],
)
def test_regions_under_noise_are_found_where_single_pixels_do_not_show_them(options, noise):
    regions = drawing()
    colors = np.array([[60, 90, 140], [170, 120, 60], [80, 160, 90], [110, 50, 140], [190, 190, 180]])
    rng = np.random.default_rng(1)
    image = np.clip(np.rint(colors[regions] + rng.normal(0, noise, (240, 320, 3))), 0, 255).astype(np.uint8)
    plain, smooth = (quantize(image, 5, smooth=strength, **options) for strength in (0, 2))
    of_region = [np.bincount(plain.labels[regions == region]).argmax() for region in range(5)]
    truth = np.array(of_region)[regions]
    assert sorted(of_region) == [0, 1, 2, 3, 4]
    assert (plain.labels == truth).mean() < 0.95
    assert (smooth.labels == truth).mean() > 0.99


def test_without_smoothing_its_module_is_not_imported(monkeypatch):
    monkeypatch.setitem(sys.modules, "gmmquant.images.smoothing", None)
    monkeypatch.setitem(sys.modules, "gmmquant.images.regions", None)
    image = read_sample("cat.jpg")[::4, ::4]
    fit = quantize(image, 3)
    assert fit.statistics.regions is None
    with pytest.raises(ImportError):
        quantize(image, 3, smooth=1)


@pytest.mark.parametrize("options", [{}, {"method": "kmeans"}, {"recolor": "nearest", "space": "lab"}])
def test_error_counts_and_regions_are_those_of_the_drawn_image(options):
    image = np.dstack([read_sample("cat.jpg")[:80, :100], np.full((80, 100), 255, dtype=np.uint8)])
    image[20:30, 40:70, 3] = 0
    plain, smooth = (quantize(image, 4, smooth=strength, **options) for strength in (0, 1))
    visible = image[..., 3] > 0
    difference = smooth.palette[smooth.labels].astype(float) - image[..., :3]
    assert smooth.mse == pytest.approx((difference[visible] ** 2).sum(axis=1).mean(), rel=1e-12)
    np.testing.assert_array_equal(smooth.statistics.counts, np.bincount(smooth.labels[visible], minlength=4))
    n_regions = sum(ndimage.label((smooth.labels == label) & visible)[1] for label in range(4))
    assert smooth.statistics.regions == n_regions
    assert (smooth.labels[~visible] == 0).all()
    assert smooth.statistics.errors == plain.statistics.errors
    assert smooth.log_likelihood == plain.log_likelihood
    np.testing.assert_array_equal(smooth.means, plain.means)


def test_kmeans_is_smoothed_as_the_spherical_mixture_of_which_it_is_the_limit():
    image = read_sample("cat.jpg")[::2, ::2]
    quantizer = Quantizer(image, Settings(method="kmeans", smooth=1.5))
    fit = quantizer.fit(6)
    pixels, centers = image.reshape(-1, 3) / 255, fit.palette / 255
    squared = ((pixels[:, np.newaxis] - centers) ** 2).sum(axis=2).min(axis=1)
    mixture = Gaussians(np.full(6, 1 / 6), centers, np.full(6, squared.mean() / 3), SPHERICAL)
    theta = natural_parameters(mixture, quantizer._points.origin)
    smoothed = smooth_labels(pixels_of(quantizer._pixels), quantizer._points, theta, 1.5)
    np.testing.assert_array_equal(smoothed, fit.labels)


def test_exact_colours_and_colours_of_the_palette_are_kept():
    rng = np.random.default_rng(0)
    colors = rng.integers(0, 256, (5, 3)).astype(np.uint8)
    image = colors[rng.integers(0, 5, (30, 40))]
    fit = quantize(image, 8, smooth=4)
    np.testing.assert_array_equal(fit.image, image)
    assert fit.statistics.regions is None
    drawn = Quantizer(image, Settings(smooth=4)).fit_palette(colors)
    np.testing.assert_array_equal(drawn.image, image)


def test_16_bits_and_one_component_are_smoothed():
    image = read_sample("cat.jpg")[:60, :70]
    deep = image.astype(np.uint16) * 257
    one, other = quantize(image, 4, smooth=1, noise=2), quantize(deep, 4, smooth=1, noise=2)
    assert (one.labels != other.labels).mean() < 0.02
    assert quantize(image, 1, smooth=1).statistics.regions == 1


def in_pillow(path):
    """Return the pixels of a file, RGB, by Pillow."""
    with Image.open(path) as image:
        return np.asarray(image.convert("RGB"))


@pytest.mark.parametrize("recolor", ["soft", "nearest"])
def test_a_model_is_smoothed_as_a_fit_is(command, tmp_path, samples, recolor):
    fit = ["--covariance", "full", "--shrink", "0", "--noise", "1", "--recolor", recolor, "--save-model", "-o", "fit"]
    assert command(samples / "cat.jpg", "-k", "4", *fit).returncode == 0
    applied = command(samples / "cat.jpg", "--model", "fit/cat_k4.gmm.json", "--smooth", "1", "-o", "out", "-v")
    assert applied.returncode == 0, applied.stderr
    drawn = recolor if recolor == "nearest" else "posterior"
    expected = quantize(read_sample("cat.jpg"), 4, covariance="full", shrink=0, noise=1, recolor=drawn, smooth=1)
    np.testing.assert_array_equal(in_pillow(tmp_path / "out" / "cat_k4.png"), expected.image)
    report = json.loads((tmp_path / "out" / "cat_report.json").read_text())
    assert report["settings"]["smooth"] == 1
    assert report["fits"][0]["regions"] == expected.statistics.regions
    assert f"smoothed at 1 into {expected.statistics.regions:,} regions" in applied.stdout
    again = command(
        samples / "cat.jpg", "--model", "fit/cat_k4.gmm.json", "-o", "out", "--skip-existing", "--recolor", drawn
    )
    assert again.returncode == 1
    assert "with --smooth 1.0, this run is with --smooth 0.0" in again.stderr


def test_images_of_a_shared_mixture_are_smoothed_and_their_regions_add_up(command, tmp_path, samples):
    (tmp_path / "album").mkdir()
    for number, left in enumerate((0, 150, 300)):
        Image.fromarray(read_sample("cat.jpg")[:100, left : left + 90]).save(tmp_path / "album" / f"{number}.png")
    for jobs in ("1", "2"):
        result = command("album", "--shared", "-k", "5", "--smooth", "1", "-o", jobs, "-j", jobs)
        assert result.returncode == 0, result.stderr
    for name in ("0_k5.png", "1_k5.png", "2_k5.png"):
        assert (tmp_path / "1" / name).read_bytes() == (tmp_path / "2" / name).read_bytes()
    report = json.loads((tmp_path / "1" / "shared_report.json").read_text())
    regions = [image["fits"][0]["regions"] for image in report["images"]]
    assert report["fits"][0]["regions"] == sum(regions)
    drawn = in_pillow(tmp_path / "1" / "0_k5.png").astype(int) @ [1 << 16, 1 << 8, 1]
    assert regions[0] == sum(ndimage.label(drawn == color)[1] for color in np.unique(drawn))


def test_settings_that_contradict_smoothing_are_refused():
    assert_refused(["smooth = -1"], Settings, smooth=-1)
    assert_refused(["smooth = 4.5", "0 to 4"], Settings, smooth=4.5)
    assert_refused(["smooth = 1", "blue-noise"], Settings, smooth=1, dither="blue-noise")
    assert_refused(["smooth = 1", "soft"], Settings, smooth=1, recolor="soft")
