"""Colour and alpha fitted together: errors as they are seen, files read back, and what contradicts it."""

import io
import re
import warnings

import cv2
import numpy as np
import pytest
from helpers import read_sample
from image_shadows import icon, over, seen_error
from PIL import Image
from sklearn.cluster import KMeans

from gmmquant import FormatWarning, ParameterError, Quantizer, Settings, quantize
from gmmquant.report.record import codes_of, fit_record
from gmmquant.system import threads

ICON = icon()
N_PAIRS = len(np.unique(ICON[ICON[..., 3] > 0], axis=0))
PALETTE = np.array([[0, 0, 0], [255, 255, 255]], dtype=np.uint8)
each_method = pytest.mark.parametrize("method", ["gmm", "kmeans"])


def quantized(image=ICON, k=24, **options):
    return quantize(image, k, alpha="quantize", **options)


def encoded(result, file_format, **options):
    file = io.BytesIO()
    result.save(file, format=file_format, **options)
    return file.getvalue()


@each_method
@pytest.mark.parametrize("k", [2, 5, 24, 256])
def test_the_squared_error_is_that_over_black_and_over_white(method, k):
    result = quantized(k=k, method=method)
    assert result.mse == pytest.approx(seen_error(ICON, result.image), rel=1e-9)
    assert result.statistics.errors == {"nearest": result.mse}
    visible = ICON[..., 3] > 0
    np.testing.assert_array_equal(result.statistics.counts, np.bincount(result.labels[visible]))


@each_method
@pytest.mark.parametrize("k", [2, 16, 17, 256])
def test_an_indexed_png_of_at_most_k_entries_is_read_back_by_another_decoder(method, k):
    result = quantized(k=k, method=method)
    data = encoded(result, "png")
    with Image.open(io.BytesIO(data)) as image:
        assert image.mode == "P"
        assert len(image.getpalette()) <= 3 * k
    decoded = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_UNCHANGED)
    np.testing.assert_array_equal(cv2.cvtColor(decoded, cv2.COLOR_BGRA2RGBA), result.image)
    assert len(np.unique(result.image.reshape(-1, 4), axis=0)) <= k


@pytest.mark.parametrize("file_format", ["webp", "tiff"])
def test_files_in_true_colour_have_the_same_pixels(file_format):
    result = quantized()
    with Image.open(io.BytesIO(encoded(result, file_format))) as image:
        pixels = np.asarray(image.convert("RGBA"))
    np.testing.assert_array_equal(over(pixels, 0), over(result.image, 0))
    np.testing.assert_array_equal(pixels[..., 3], result.image[..., 3])


def test_a_gif_warns_that_it_has_no_partial_transparency():
    with pytest.warns(FormatWarning, match="no partial transparency"):
        encoded(quantized(), "gif")


@each_method
def test_all_pairs_are_kept_exactly_if_there_are_enough_entries(method):
    result = quantized(k=N_PAIRS + 1, method=method)
    kept = quantize(ICON, N_PAIRS + 1, method=method)
    assert (result.fit.exact, result.mse) == (True, 0)
    visible = ICON[..., 3] > 0
    np.testing.assert_array_equal(result.image[visible], kept.image[visible])
    fewer = quantized(k=N_PAIRS, method=method)
    assert not fewer.fit.exact
    assert fewer.mse > 0


@each_method
def test_the_error_is_near_that_of_scikit_learn_and_falls_with_k(method):
    visible = ICON[ICON[..., 3] > 0]
    premultiplied, alpha = visible[:, :3] * (visible[:, 3:] / 255), visible[:, 3:].astype(float)
    points = np.hstack([premultiplied - alpha / 2, np.sqrt(0.75) * alpha])
    errors = []
    for k in (4, 12, 40):
        errors.append(quantized(k=k, method=method).mse)
        theirs = KMeans(k - 1, n_init=3, random_state=0).fit(points).inertia_ / len(points)
        assert errors[-1] <= 1.1 * theirs + 0.25
    assert errors == sorted(errors, reverse=True)


def test_means_of_overlapping_components_are_moved_to_the_pixels_that_they_draw():
    assert quantized(method="gmm").mse <= 1.25 * quantized(method="kmeans").mse


def test_the_objective_never_falls_and_the_error_never_rises():
    fit = quantized(method="gmm").fit
    for level in set(fit.n_cells):
        of_level = [value for value, n in zip(fit.trace, fit.n_cells, strict=True) if n == level]
        assert (np.diff(of_level) >= -1e-9).all()
    assert len(fit.trace) > 3
    trace = quantized(method="kmeans", k=6).fit.trace
    assert (np.diff(trace) <= 1e-12).all()


@pytest.mark.parametrize("options", [{}, {"method": "kmeans"}, {"style": "poster", "smooth": 0.0}], ids=str)
@pytest.mark.parametrize("kind", ["opaque", "cut out"])
def test_an_image_without_partial_alpha_gives_the_same_result_as_without_the_option(options, kind):
    image = icon(opaque=True)
    if kind == "cut out":
        image = np.dstack([image, np.where(ICON[..., 3] > 127, 255, 0).astype(np.uint8)])
    result, kept = quantized(image, 7, **options), quantize(image, 7, **options)
    np.testing.assert_array_equal(result.image, kept.image)
    assert result.fit.alphas is None
    assert result.log_likelihood == kept.log_likelihood


def test_transparent_pixels_have_the_entry_of_alpha_0_and_visible_ones_another():
    image = ICON.copy()
    image[:20, :20] = np.dstack([read_sample("cat.jpg")[:20, :20], np.zeros((20, 20), np.uint8)])
    image[-9:, :9] = (10, 20, 30, 1)
    for k in (2, 3, 9):
        result = quantized(image, k)
        np.testing.assert_array_equal(result.alpha > 0, image[..., 3] > 0)
        assert not result.image[result.alpha == 0].any()
        assert len(result.palette) <= k - 1
        assert (result.fit.alphas > 0).all()


def test_an_image_without_transparent_pixels_may_use_all_entries():
    image = ICON.copy()
    image[..., 3] = np.maximum(image[..., 3], 1)
    assert len(quantized(image, 5, method="kmeans").palette) == 5
    assert len(quantized(image, 1).palette) == 1


def test_one_entry_beside_transparent_pixels_is_refused():
    with pytest.raises(ParameterError, match="k = 1 is the entry of the fully transparent pixels; use at least k = 2"):
        quantized(k=1)


def test_16_bits_are_fitted_and_drawn_in_8():
    deep = ICON.astype(np.uint16) * 257
    np.testing.assert_array_equal(quantized(deep).image, quantized().image)


def test_the_bytes_do_not_depend_on_the_number_of_threads(monkeypatch):
    image = np.tile(ICON, (8, 8, 1))
    files = []
    for n in (1, 4):
        monkeypatch.setattr(threads, "n_processors", lambda n=n: n)
        files.append(encoded(quantized(image, 12), "png"))
    assert files[0] == files[1]


def test_a_fit_draws_another_image_in_its_entries():
    fit = quantized(k=9).fit
    other = icon(64, blur=3)
    result = Quantizer(other, Settings(alpha="quantize")).recolor(fit)
    assert result.mse == pytest.approx(seen_error(other, result.image))
    entries = {(*color, alpha) for color, alpha in zip(fit.palette.tolist(), fit.alphas.tolist(), strict=True)}
    assert {tuple(pixel) for pixel in result.image[other[..., 3] > 0].tolist()} <= entries


def test_the_record_has_the_alpha_of_each_entry_and_counts_pairs_as_distinct():
    result = quantized(k=9)
    components = fit_record(result, {})["components"]
    assert components["alpha"] == result.fit.alphas.tolist()
    assert sum(components["pixels"]) == (ICON[..., 3] > 0).sum()
    assert sum(components["weight"]) == pytest.approx(1)
    shadow = quantized(ICON * np.array([0, 0, 0, 1], dtype=np.uint8), 9)
    assert len(np.unique(shadow.palette, axis=0)) < 8
    assert fit_record(shadow, {})["distinct_colors"] == len(shadow.palette) == 8
    codes = codes_of(components)
    assert {len(code) for code in codes} == {7, 9}
    assert [code[7:] for code in codes] == ["" if a == 255 else f"{a:02x}" for a in components["alpha"]]
    assert result.hex == codes
    assert len(set(shadow.hex)) == len(shadow.hex)
    assert re.findall("<code>(.*?)</code>", result._repr_html_()) == codes
    assert "alpha" not in fit_record(quantize(ICON, 9), {})["components"]
    assert {len(code) for code in quantize(ICON, 9).hex} == {7}


@pytest.mark.parametrize("order", ["weight", "luminance", "hue", "given"])
def test_alphas_stay_with_their_colours_in_every_order(order):
    result = quantized(k=9, palette_order=order)
    assert result.mse == pytest.approx(quantized(k=9).mse)
    assert result.mse == pytest.approx(seen_error(ICON, result.image))


@pytest.mark.parametrize(
    "options",
    [
        *({"dither": "bayer"}, {"space": "oklab"}, {"smooth": 1.0}, {"recolor": "soft"}, {"recolor": "posterior"}),
        *({"keep_colors": "#fff"}, {"color_depth": "rgb565"}, {"search": "split-merge", "shrink": 0}),
    ],
    ids=str,
)
def test_a_setting_that_contradicts_it_is_refused(options):
    with pytest.raises(ParameterError, match=f"alpha = 'quantize' contradicts {next(iter(options))} = "):
        Settings(alpha="quantize", **options)


def test_several_seeds_are_refused():
    with pytest.raises(ParameterError, match="alpha = 'quantize' contradicts several seeds; use one seed"):
        Settings(alpha="quantize", n_seeds=2)


@pytest.mark.parametrize("style", ["mixture", "poster", "faithful", "likelihood"])
def test_what_contradicts_it_in_a_style_is_left_out(style):
    settings = Settings(style=style, alpha="quantize")
    assert (settings.dither, settings.smooth, settings.space, settings.search) == ("none", 0, "srgb", "none")


def test_what_is_about_colours_without_alpha_is_refused():
    quantizer = Quantizer(ICON, Settings(alpha="quantize"))
    kept = quantize(ICON, 3)
    for call in (
        lambda: quantizer.fit_palette(PALETTE),
        lambda: quantizer.apply(kept),
        lambda: quantizer.choose_k("auto"),
        lambda: quantize(ICON, 2, palette=PALETTE, alpha="quantize"),
        lambda: quantize(ICON, "auto:2", alpha="quantize"),
    ):
        with pytest.raises(ParameterError, match="alpha = 'quantize' fits colour and alpha together"):
            call()
    fit = quantizer.fit(4)
    for call in (quantizer.maps, quantizer.layers, quantizer.openraster, lambda fit: quantizer.transfer(fit, kept)):
        with pytest.raises(ParameterError, match="the fit is one of colour and alpha together"):
            call(fit)
    with pytest.raises(ParameterError, match="alpha = 'drop' is unknown"):
        Settings(alpha="drop")


def test_nothing_is_warned_of_in_a_png():
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        encoded(quantized(), "png", optimize=True)
