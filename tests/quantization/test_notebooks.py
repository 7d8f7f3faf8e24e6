"""What notebooks show: results, fits, images and maps, self-contained."""

import base64
import io
import pickle
import re
from dataclasses import replace
from html.parser import HTMLParser

import numpy as np
import pytest
from helpers import SAMPLE_IMAGES, read_sample
from IPython.core.formatters import DisplayFormatter
from PIL import Image

from gmmquant import Animation, DecodedImage, Quantizer, quantize, read_image
from gmmquant.images.recolor import ColorImage, IndexedImage


class Elements(HTMLParser):
    """The elements of a page with their attributes, and its texts."""

    def __init__(self, page):
        super().__init__()
        self.elements, self.texts = [], []
        self.feed(page)

    def handle_starttag(self, tag, attrs):
        self.elements.append((tag, dict(attrs)))

    def handle_data(self, data):
        self.texts.append(data)


def picture(data):
    return Image.open(io.BytesIO(data))


def image_of(page):
    """Return the image of a page as pixels."""
    (source,) = [attributes["src"] for tag, attributes in Elements(page).elements if tag == "img"]
    return np.asarray(picture(base64.b64decode(source.removeprefix("data:image/png;base64,"))).convert("RGBA"))


@pytest.fixture(scope="module")
def result():
    return quantize(read_sample("cat.jpg"), 7)


def test_a_result_shows_its_image_its_palette_and_its_figures(result):
    page = result._repr_html_()
    shown = Elements(page)
    np.testing.assert_array_equal(image_of(page)[..., :3], result.image)
    codes = ["#" + bytes(color).hex() for color in result.palette]
    assert [text for text in shown.texts if text.startswith("#")] == codes
    backgrounds = re.findall(r"background:(#[0-9a-f]{6})", page)
    assert backgrounds == codes
    assert [text.strip() for text in shown.texts if text.strip().endswith("%")] == [
        f"{(result.labels == label).mean():.1%}" for label in range(7)
    ]
    assert any(f"{w:.1%}" not in page for w in result.weights)
    assert f"weight {result.weights[0]:.1%}" in result.fit._repr_html_()
    figures = dict(zip(shown.texts[-22::2], shown.texts[-21::2], strict=True))
    assert figures["size"] == "451 x 300"
    assert figures["k"] == "7"
    assert figures["iterations"] == str(result.fit.n_iter)
    assert float(figures["log-likelihood per pixel"].split()[0]) == pytest.approx(result.mean_log_likelihood, abs=5e-5)
    criteria = [float(value) for value in figures["AIC, BIC, ICL per pixel"].split(", ")]
    assert criteria == pytest.approx([value / 135_300 for value in (result.aic, result.bic, result.icl)], abs=5e-5)
    assert float(figures["squared error"]) == pytest.approx(result.mse, abs=5e-3)
    assert float(figures["PSNR"].split()[0]) == pytest.approx(result.psnr, abs=5e-3)


def test_a_page_loads_nothing_and_takes_its_text_color_from_the_notebook(result):
    for page in (result._repr_html_(), result.fit._repr_html_()):
        shown = Elements(page)
        assert {tag for tag, _ in shown.elements} <= {"div", "img", "span", "code", "table", "tr", "th", "td"}
        for _, attributes in shown.elements:
            assert attributes.keys() <= {"style", "src", "alt"}
            assert "url(" not in attributes.get("style", "")
        assert re.findall(r"(?<![-\w])color:([^;\"]+)", page) == ["inherit"] * 2


def test_texts_of_a_page_are_escaped(result):
    fit = replace(result.fit, space='"><b>', colors=result.palette)
    hostile = replace(result, recoloring="<script>alert('x')</script>", fit=fit)
    page = hostile._repr_html_()
    assert "<script" not in page
    assert "<b>" not in page
    assert {"<script>alert('x')</script>", '"><b>'} <= set(Elements(page).texts)


def test_many_colors_are_a_strip_with_their_number():
    page = quantize(read_sample("cat.jpg"), 60)._repr_html_()
    assert len([text for text in Elements(page).texts if text.startswith("#")]) == 24
    assert len(set(re.findall(r"background:(#[0-9a-f]{6})", page))) == 60
    assert " + 36" in Elements(page).texts


@pytest.mark.parametrize(
    ("name", "k", "expected"),
    [("flat.png", 7, ["7, 3 found", "the exact colours", "exact"]), ("alpha.png", 3, ["3", "96 x 96"])],
)
def test_exact_and_transparent_images_have_pages(name, k, expected):
    result = quantize(read_sample(name), k)
    page = result._repr_html_()
    assert set(expected) <= set(Elements(page).texts)
    shown = image_of(page)
    alpha = shown[..., 3] if result.alpha is None else result.alpha
    np.testing.assert_array_equal(shown[..., 3], alpha)
    np.testing.assert_array_equal(shown[alpha > 0, :3], result.image[alpha > 0, :3])


def test_an_image_without_a_visible_pixel_has_a_page_without_nan():
    page = quantize(np.zeros((4, 4, 4), dtype=np.uint8), 3)._repr_html_()
    assert "nan" not in page
    assert "log-likelihood" not in page


def test_a_large_image_is_reduced():
    image = np.random.default_rng(0).integers(0, 256, (900, 1600, 3), dtype=np.uint8)
    result = quantize(image, 2)
    assert image_of(result._repr_html_()).shape[:2] == (450, 800)
    assert picture(result._repr_png_()).size == (800, 450)


def test_results_images_layers_and_maps_are_shown_as_png(result):
    quantizer = Quantizer(read_sample("cat.jpg"))
    shown = np.asarray(picture(result._repr_png_()).convert("RGB"))
    np.testing.assert_array_equal(shown, result.image)
    for image in (result.recolored, ColorImage(result.image)):
        np.testing.assert_array_equal(np.asarray(picture(image._repr_png_()).convert("RGB")), image.pixels)
    layer = next(quantizer.layers(result))
    np.testing.assert_array_equal(np.asarray(picture(layer._repr_png_()).convert("RGBA"))[..., 3], layer.alpha)
    for grey in quantizer.maps(result):
        levels = np.asarray(picture(grey._repr_png_()).convert("L"))
        values = grey.black + (grey.white - grey.black) / 255 * levels
        np.testing.assert_allclose(values, grey.values, atol=0.51 * (grey.white - grey.black) / 255)


def test_a_decoded_image_is_shown_with_8_bits_and_an_animation_by_its_first_frame():
    decoded = read_image(SAMPLE_IMAGES / "cat.jpg")
    np.testing.assert_array_equal(np.asarray(picture(decoded._repr_png_()).convert("RGB")), decoded.pixels)
    deep = read_image(SAMPLE_IMAGES / "sixteen.png")
    assert deep.pixels.dtype == np.uint16
    shown = np.asarray(picture(deep._repr_png_()).convert("RGB"))
    np.testing.assert_allclose(shown, deep.pixels / 257, atol=0.51)
    frames = np.arange(24, dtype=np.uint8).reshape(4, 2, 3)
    animated = DecodedImage(frames, animation=Animation((40.0, 40.0)))
    np.testing.assert_array_equal(np.asarray(picture(animated._repr_png_()).convert("RGB")), frames[:2])


def test_results_for_several_k_are_shown_side_by_side():
    results = quantize(read_sample("flat.png"), [1, 2])
    shown, _ = DisplayFormatter().format(results)
    assert shown["text/plain"].split() == repr(results).split()
    page = shown["text/html"]
    assert page.startswith('<div style="display:grid;')
    first, second = (page.index(result._repr_html_()) for result in results)
    assert first < second
    assert page.count("<div") == page.count("</div>")
    assert "result" not in Elements(page).texts[-1]


def test_a_list_of_very_many_results_shows_the_first_with_the_number_of_others():
    results = quantize(read_sample("flat.png")[:9, :9], [1] * 18)
    page = results._repr_html_()
    assert page.count("<img") == 16
    assert Elements(page).texts[-1] == "+ 2 results"


def test_results_for_several_k_are_a_list():
    results = quantize(read_sample("flat.png"), (1, 2), method="kmeans")
    assert isinstance(results, list)
    assert results == list(results)
    assert type(results + results) is list
    assert results[1] is list(results)[1]


@pytest.mark.parametrize("part", [slice(2), slice(1, None), slice(None, None, -1), slice(0)])
def test_a_part_of_the_results_is_shown_as_all_are(part):
    results = quantize(read_sample("flat.png"), (1, 2, 3), method="kmeans")
    assert results[part] == list(results)[part]
    assert results[part]._repr_html_().count("<img") == len(list(results)[part])
    again = pickle.loads(pickle.dumps(results))
    assert type(again) is type(results)
    assert [result.hex for result in again] == [result.hex for result in results]


def test_ipython_finds_the_representations(result):
    format_of = DisplayFormatter().format
    shown, _ = format_of(result)
    assert shown["text/html"] == result._repr_html_()
    assert shown["image/png"] == result._repr_png_()
    assert shown["text/plain"] == repr(result)
    assert "text/html" in format_of(result.fit)[0]
    image = IndexedImage(result.labels, result.palette)
    assert "image/png" in format_of(image)[0]


def test_a_decoded_image_is_described_in_one_line():
    assert repr(read_image(SAMPLE_IMAGES / "cat.jpg")) == "<DecodedImage 451 x 300, RGB, uint8>"
    frames = np.zeros((4, 2, 4), dtype=np.uint8)
    assert (
        repr(DecodedImage(frames, animation=Animation((40.0, 40.0)))) == "<DecodedImage 2 x 4, RGBA, uint8, 2 frames>"
    )
