"""What quantize accepts is what its types say: a program of a user is checked by mypy, and runs."""

import json

import numpy as np
import pytest
from helpers import read_sample
from mypy import api

import gmmquant
from gmmquant import ConvergenceWarning, ParameterError, Quantizer, make_record, quantize

CAT = read_sample("cat.jpg")[60:100, 120:180]

PROGRAM = """
import numpy as np
from PIL import Image

from gmmquant import GaussianMixture, KMeans, QuantizedImage, Quantizer, quantize, transfer_colors

image = Image.fromarray(np.arange(240, dtype=np.uint8).reshape(8, 10, 3))
one: QuantizedImage = quantize(
    image, 3, style="mixture", method=None, recolor=None, dither=None, strength=None, smooth=None, space=None,
    covariance=None, noise=None, shrink=None, search=None, average=None, tol=None, max_iter=None, palette_order=None,
    resize=None, palette=None,
)
whole = np.int64(2)
one = quantize(image, whole, seed=np.uint8(1), n_seeds=np.int32(1), restarts=np.int16(2), max_iter=np.int64(300))
several: list[QuantizedImage] = quantize(image, [2, np.int64(3)])
several = quantize(image, np.arange(2, 4))
one = quantize(image, palette=[np.array([1, 2, 3]), "white", (9, 9, 9), [np.uint8(200), 2, 3]])
one = quantize(image, palette=[np.array([1, 2, 3])])
one = quantize(image, palette=np.eye(3, dtype=np.uint8))
one = quantize(image, 4, keep_colors=[np.array([1, 2, 3]), "#ffffff"])
one = quantize(image, 4, keep_colors=np.eye(3, dtype=np.uint8))
one = quantize(image, 4, keep_colors="red,blue")
quantizer = Quantizer(image, seed=np.int64(3), method=None)
one = quantizer.fit(whole)
one = quantizer.fit_palette([np.array([1, 2, 3])], np.int64(1))
pixels = transfer_colors(image, image, whole, seed=np.int64(3))
mixture = GaussianMixture(whole, n_init=np.int64(1), max_iter=np.int64(50), tol=1.0).fit(np.eye(3))
clusters = KMeans(whole, n_init=np.int64(1), max_iter=np.int64(9)).fit(np.eye(3))
"""


def test_mypy_passes_a_program_with_none_integers_of_numpy_and_colours_as_arrays_and_finds_misspelt_names(tmp_path):
    (tmp_path / "program.py").write_text(PROGRAM)
    lines = ("import gmmquant", "from gmmquant import GausianMixture, quantize", "gmmquant.quantise(1)", "quantize")
    (tmp_path / "misspelt.py").write_text("\n".join(lines))
    programs = [str(tmp_path / name) for name in ("program.py", "misspelt.py")]
    printed, _, _ = api.run(["--strict", "--config-file=", f"--cache-dir={tmp_path / 'cache'}", *programs])
    assert [line for line in printed.splitlines() if "program.py" in line] == []
    found = [line.partition("misspelt.py:")[2] for line in printed.splitlines() if "misspelt.py" in line]
    assert [line.split(":")[0] for line in found] == ["2", "3"]
    assert "GausianMixture" in found[0]
    assert "quantise" in found[1]


def test_a_program_with_none_integers_of_numpy_and_colours_as_arrays_runs():
    exec(PROGRAM, {})


def test_the_package_says_that_it_is_typed(project):
    assert (project / "gmmquant" / "py.typed").is_file()


def test_integers_of_numpy_become_integers_of_python():
    integers = {"seed": np.uint8(3), "n_seeds": np.int16(2), "restarts": np.int64(1), "max_iter": np.int8(99)}
    quantizer = Quantizer(CAT, **integers)
    result = quantizer.fit(np.int64(2))
    json.dumps(make_record(quantizer, result))
    assert type(result.fit.k) is int
    assert {type(getattr(quantizer.settings, name)) for name in integers} == {int}


# --- masked arrays ----------------------------------------------------------------------------------------------------

MASKED = np.ma.masked_less(CAT, 40)


@pytest.mark.parametrize(
    "use",
    [
        lambda image: quantize(image, 2),
        lambda image: Quantizer(image),
        lambda image: quantize(image, 2, resize="50%"),
        lambda image: gmmquant.transfer_colors(CAT, image, 2),
        lambda image: quantize(CAT, palette=image[0]),
    ],
)
def test_an_image_with_a_mask_is_refused_with_a_remedy(use):
    with pytest.raises(ParameterError, match=r"has \d+ masked value\(s\), .*; .*\.filled\(value\)"):
        use(MASKED)


@pytest.mark.parametrize("as_rows", [list, tuple, lambda colors: [list(color) for color in colors]])
def test_a_palette_of_rows_with_masks_is_refused_with_a_remedy(as_rows):
    colors = np.ma.masked_less(np.arange(12, dtype=np.uint8).reshape(4, 3), 2)
    with pytest.raises(ParameterError, match=r"^palette has 2 masked value\(s\), .*np\.ma\.array\(palette\)\.filled"):
        quantize(CAT, palette=as_rows(colors))
    with pytest.raises(ParameterError, match="is not a colour"):
        quantize(CAT, 5, keep_colors=as_rows(colors))


def test_a_histogram_of_masked_pixels_is_refused_with_a_remedy():
    pixels = np.ma.masked_array(CAT.reshape(-1, 3), mask=False)
    alpha = np.ma.masked_less(np.full(len(pixels), 255, np.uint8), 0)
    assert gmmquant.ColorHistogram.from_pixels(pixels, alpha).n_pixels == len(pixels)
    alpha[3], pixels[:2] = np.ma.masked, np.ma.masked
    with pytest.raises(ParameterError, match=r"^pixels has 6 masked value\(s\), .*use pixels\.filled\(value\)"):
        gmmquant.ColorHistogram.from_pixels(pixels)
    with pytest.raises(ParameterError, match=r"^alpha has 1 masked value\(s\), .*use alpha\.filled\(value\)"):
        gmmquant.ColorHistogram.from_pixels(pixels.data, alpha)


def test_a_masked_array_without_a_masked_value_is_an_array():
    image = np.ma.masked_array(CAT, mask=False)
    np.testing.assert_array_equal(quantize(image, 2).image, quantize(CAT, 2).image)


# --- messages ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("palette", [[], ()])
def test_a_palette_of_no_colours_is_named(palette):
    with pytest.raises(ParameterError, match=r"^palette contains no colours; add at least one"):
        quantize(CAT, palette=palette)


def test_one_colour_is_singular():
    assert ", 1 colour, " in repr(quantize(CAT, 1))
    assert ", 1 distinct colour, " in repr(Quantizer(np.zeros((3, 5), np.uint8)))
    with pytest.warns(ConvergenceWarning, match="of 2 colours did not"):
        assert ", 1 iteration, " in repr(quantize(CAT, 2, max_iter=1).fit)
    with pytest.raises(ParameterError, match="above the 1 colour of the palette; use at most 1"):
        quantize(CAT, 2, palette="red")


def test_public_objects_are_shown_in_one_line_without_their_arrays():
    quantizer = Quantizer(np.arange(5 * 6 * 3, dtype=np.uint8).reshape(5, 6, 3))
    result = quantizer.fit(3)
    for shown in (result, result.fit, result.mixture, result.statistics, quantizer.histogram, *quantizer.maps(result)):
        text = repr(shown)
        assert text.startswith(f"<{type(shown).__name__}") and "array" not in text and "\n" not in text, text


def test_arrays_of_results_are_read_only_and_those_of_callers_are_not():
    image = np.arange(5 * 6 * 4, dtype=np.uint8).reshape(5, 6, 4)
    result = Quantizer(image).fit(3)
    for name in ("labels", "palette", "weights", "means", "covariances", "shares", "alpha"):
        assert not getattr(result, name).flags.writeable, name
    assert image.flags.writeable and result.labels.copy().flags.writeable
    for drawn in (result, Quantizer(image[..., :3], recolor="soft").fit(3)):
        before = drawn.image
        drawn.image[...], drawn.frames[...], np.asarray(drawn)[...] = 7, 7, 7
        assert np.array_equal(drawn.image, before)
    for covariance in ("full", "tied"):
        result = Quantizer(image, covariance=covariance, shrink=0).fit(3)
        mixture, before = result.to_estimator(), result.covariances.copy()
        mixture.means_[...], mixture.weights_[...], mixture.covariances_[...] = 7, 7, 7
        assert not (result.means == 7).any() and not (result.weights == 7).any()
        assert np.array_equal(result.covariances, before)
