"""Fits without images: a fit to a histogram recolours any image, and is sent between processes."""

import pickle
import sys
from contextlib import contextmanager

import numpy as np
import pytest
from helpers import read_sample

import gmmquant.quantization.fitter
from gmmquant import ColorHistogram, ParameterError, Quantizer, Settings
from gmmquant.models.covariance import COVARIANCE_TYPES
from gmmquant.models.inference import evaluate
from gmmquant.pipeline.loaded_strategy import TransferColors, load_transfer_image
from gmmquant.quantization.fit import Fit
from gmmquant.quantization.fitter import Fitter

CAT = read_sample("cat.jpg")[::8, ::8]
COFFEE = read_sample("coffee.png")[::12, ::12]
GIVEN = np.array([[0, 0, 0], [250, 240, 230], [150, 90, 40]], dtype=np.uint8)
FEW = np.array([[[0, 0, 0], [9, 9, 9]], [[9, 9, 9], [255, 0, 0]]], dtype=np.uint8)

SETTINGS = [
    Settings(),
    Settings(method="kmeans", space="linear"),
    Settings(space="oklab", recolor="soft", covariance="tied"),
    Settings(dither="posterior", covariance="spherical"),
]


def histogram_of(image):
    return ColorHistogram.from_pixels(image.reshape(-1, 3))


def assert_same_fit(one, other):
    np.testing.assert_array_equal(one.mixture.weights, other.mixture.weights)
    np.testing.assert_array_equal(one.mixture.means, other.mixture.means)
    np.testing.assert_array_equal(one.mixture.covariances, other.mixture.covariances)
    assert one.mixture.covariance_type is other.mixture.covariance_type
    np.testing.assert_array_equal(one.palette, other.palette)
    for name in (
        "k",
        "method",
        "space",
        "trace",
        "n_cells",
        "n_iter",
        "tol",
        "converged",
        "exact",
        "nearest_by_mean",
        "recoloring",
    ):
        assert getattr(one, name) == getattr(other, name)


@pytest.mark.parametrize("settings", SETTINGS)
def test_a_fitter_sent_to_another_process_fits_the_same(settings):
    fitter = Fitter(histogram_of(CAT), settings)
    fit = fitter.fit(5)
    there = pickle.loads(pickle.dumps(fitter))
    assert_same_fit(there.fit(5), fit)
    assert_same_fit(there.fit_palette(GIVEN), fitter.fit_palette(GIVEN))
    assert there.choose_k() == fitter.choose_k()


@pytest.mark.parametrize(
    ("step", "k", "tol"),
    [(2, 3, 1e-4), (2, 12, 6 / 33900), (2, 16, 8 / 33900), (2, 32, 16 / 33900), (8, 3, 5e-4), (8, 16, 5e-4)],
)
def test_fits_to_few_pixels_stop_at_a_gain_of_half_a_nat_per_component_in_total(step, k, tol):
    histogram = histogram_of(read_sample("cat.jpg")[::step, ::step])
    fitter, asked = Fitter(histogram), Fitter(histogram, Settings(tol=tol))
    fit = fitter.fit(k)
    assert fit.tol == tol
    assert_same_fit(fit, asked.fit(k))
    palette = np.random.default_rng(k).integers(0, 256, (k, 3), dtype=np.uint8)
    assert_same_fit(fitter.fit_palette(palette), asked.fit_palette(palette))


@pytest.mark.parametrize(
    ("image", "method"), [(read_sample("cat.jpg"), "gmm"), (CAT, "kmeans")], ids=["large", "by squared error"]
)
def test_other_fits_stop_at_a_gain_of_a_ten_thousandth(image, method):
    default, asked = (Fitter(histogram_of(image), Settings(tol=tol, method=method)).fit(8) for tol in (None, 1e-4))
    assert default.tol == 1e-4
    assert_same_fit(default, asked)


def test_the_tolerance_is_none_if_nothing_was_fitted():
    assert Fitter(histogram_of(FEW)).fit(8).tol is None
    mixture = Fitter(histogram_of(CAT)).fit(3).mixture
    assert Fitter(histogram_of(COFFEE)).evaluate(mixture).tol is None


def test_a_pickled_fitter_has_the_size_of_its_colours_and_counts():
    fitter = Fitter(histogram_of(CAT), Settings(space="lab"))
    fitter.fit(3)
    assert len(pickle.dumps(fitter)) < 12 * fitter.colors.n_colors + 2000


@pytest.mark.parametrize("settings", SETTINGS)
def test_a_fit_sent_to_another_process_draws_the_same_image(settings):
    quantizer = Quantizer(CAT, settings)
    fit = quantizer.fitter.fit(4)
    sent = pickle.loads(pickle.dumps(fit))
    assert isinstance(sent, Fit)
    assert_same_fit(sent, fit)
    np.testing.assert_array_equal(quantizer.recolor(sent).image, quantizer.fit(4).image)


@pytest.mark.parametrize("covariance_type", COVARIANCE_TYPES.values(), ids=lambda covariance_type: covariance_type.name)
def test_an_unpickled_covariance_type_is_the_same_object(covariance_type):
    assert pickle.loads(pickle.dumps(covariance_type)) is covariance_type


@pytest.mark.parametrize("settings", SETTINGS)
def test_recolouring_by_a_fit_to_another_image_equals_recolouring_by_its_model(settings):
    quantizer = Quantizer(COFFEE, settings)
    fit = Fitter(histogram_of(CAT), settings).fit(6)
    drawn, applied = quantizer.recolor(fit), quantizer.apply(fit.mixture, colors=fit.colors)
    np.testing.assert_array_equal(drawn.image, applied.image)
    assert (drawn.log_likelihood, drawn.mse, drawn.statistics.errors) == (
        applied.log_likelihood,
        applied.mse,
        applied.statistics.errors,
    )
    assert (drawn.fit.trace, drawn.fit.n_iter) == (fit.trace, fit.n_iter)


def test_an_image_is_recoloured_by_a_palette_fit_to_another_image():
    fit = Fitter(histogram_of(CAT)).fit_palette(GIVEN)
    drawn = Quantizer(COFFEE).recolor(fit)
    np.testing.assert_array_equal(drawn.palette, GIVEN)
    distances = ((COFFEE.reshape(-1, 1, 3).astype(int) - GIVEN) ** 2).sum(axis=2)
    np.testing.assert_array_equal(distances[np.arange(distances.shape[0]), drawn.labels.ravel()], distances.min(axis=1))
    assert drawn.fit.fixed.all()


def test_an_image_of_some_of_the_colours_of_an_exact_fit_is_unchanged():
    """One of the colours is rare, and the settings choose a dither."""
    images = [FEW, np.full((40, 40, 3), 9, dtype=np.uint8)]
    fit = Fitter(histogram_of(np.concatenate([image.reshape(-1, 3) for image in images]))).fit(3)
    assert fit.exact
    for image in images:
        drawn = Quantizer(image, Settings(dither="posterior")).recolor(fit)
        np.testing.assert_array_equal(drawn.image, image)
        assert (drawn.mse, drawn.dither) == (0, "none")


def test_an_exact_fit_separates_16_bit_colours_that_are_equal_in_8_bits():
    image = np.array([[[1000, 1000, 1000], [1001, 1000, 1000], [1001, 1000, 1000]]], dtype=np.uint16)
    fit = Fitter(histogram_of(image)).fit(2)
    np.testing.assert_array_equal(Quantizer(image).recolor(fit).labels, [[1, 0, 0]])


def test_an_evaluated_mixture_is_a_fit_without_iterations():
    fitter = Fitter(histogram_of(CAT), Settings(style="likelihood"))
    fit = fitter.fit(3)
    judged = fitter.evaluate(fit.mixture)
    assert (judged.n_iter, judged.converged, judged.n_cells) == (0, None, (fitter.colors.n_colors,))
    assert judged.trace[0] == pytest.approx(fit.trace[-1], abs=1e-12)
    likelihood = evaluate(fitter.cells, fit.mixture).log_likelihood / fitter.colors.n_pixels
    assert judged.trace[0] <= likelihood


def test_a_fit_in_another_space_is_refused():
    fit = Fitter(histogram_of(CAT), Settings(space="lab")).fit(2)
    with pytest.raises(ParameterError, match="is in lab, the settings are for srgb"):
        Quantizer(CAT).recolor(fit)


@pytest.mark.parametrize("k", [0, 4097])
def test_a_number_of_colours_out_of_range_is_refused(k):
    with pytest.raises(ParameterError, match=str(k)):
        Fitter(histogram_of(FEW)).fit(k)


def test_a_target_holds_the_colours_of_its_image_and_not_the_pixels(samples):
    target = load_transfer_image(samples / "cat.jpg", Settings())
    assert isinstance(target, TransferColors)
    quantizer = Quantizer(COFFEE)
    drawn = target.recolor(quantizer, 3, lambda *step: None, lambda image: None)
    sent = pickle.loads(pickle.dumps(target))
    assert (sent.inputs, sent.digest) == (target.inputs, target.digest)
    assert len(pickle.dumps(target)) < 12 * target.fitter.colors.n_colors + 3000
    again = sent.recolor(quantizer, 3, lambda *step: None, lambda image: None)
    np.testing.assert_array_equal(again.image, drawn.image)


def test_a_fit_after_the_levels_were_forgotten_is_the_same():
    histogram = ColorHistogram.from_pixels(read_sample("cat.jpg")[::4, ::4].reshape(-1, 3))
    fitter = Fitter(histogram, Settings())
    first = fitter.fit(5)
    levels = fitter.levels
    fitter.forget_levels()
    assert fitter.levels is not levels
    assert np.array_equal(fitter.fit(5).mixture.means, first.mixture.means)


@pytest.mark.skipif(sys.platform != "linux", reason="only there are processes forked")
@pytest.mark.parametrize("settings", [*SETTINGS, Settings(keep_colors=("#ff0000",), noise=0, shrink=0)])
def test_fits_in_forks_are_those_of_one_process(monkeypatch, settings):
    monkeypatch.setattr(gmmquant.quantization.fitter, "n_processors", lambda: 3)
    made, watched = [], []
    fit_here = Fitter._fit

    def note(fitter, k, watch):
        made.append(k)
        return fit_here(fitter, k, watch)

    ks = [2, 9, 3, 5, 4]
    alone = {k: Fitter(histogram_of(CAT), settings).fit(k) for k in ks}
    monkeypatch.setattr(Fitter, "_fit", note)
    fitter = Fitter(histogram_of(CAT), settings)
    with fitter.fits_in_forks(ks):
        for k in ks:
            assert_same_fit(fitter.fit(k, lambda *_, k=k: watched.append(k)), alone[k])
        assert_same_fit(fitter.fit(6), Fitter(histogram_of(CAT), settings).fit(6))
    assert set(watched) == {9}
    assert made == [9, 6, 6]


@pytest.mark.parametrize(
    ("n", "ks", "n_forks"), [(1, [2, 3, 4], 0), (2, [2, 3, 4], 1), (8, [2, 3, 4, 4], 2), (8, [4], 0), (8, [300, 2], 0)]
)
def test_forks_are_as_many_as_other_processors_and_fits(monkeypatch, n, ks, n_forks):
    started = []

    @contextmanager
    def pretend(works):
        started.extend(works)
        yield works

    monkeypatch.setattr(gmmquant.quantization.fitter, "n_processors", lambda: n)
    monkeypatch.setattr(gmmquant.quantization.fitter, "forked", pretend)
    few = histogram_of(CAT.reshape(-1, 3)[:200])
    with Fitter(few).fits_in_forks(ks):
        assert len(started) == n_forks


def test_what_cannot_be_fitted_is_refused_with_forks_too(monkeypatch):
    monkeypatch.setattr(gmmquant.quantization.fitter, "n_processors", lambda: 2)
    fitter = Fitter(histogram_of(CAT), Settings(keep_colors=("#ff0000", "#00ff00", "#0000ff")))
    with fitter.fits_in_forks([5, 2]):
        fitter.fit(5)
        with pytest.raises(ParameterError, match="k = 2 is below the 3 colours to keep"):
            fitter.fit(2)
