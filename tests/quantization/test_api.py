"""Arguments and results of `quantize` and `Quantizer`, against Pillow's conversions."""

import copy
import inspect
import io
import pydoc
import re
import subprocess
import sys
from contextlib import suppress
from dataclasses import fields, is_dataclass
from importlib import import_module
from pathlib import Path
from pkgutil import walk_packages

import numpy as np
import pytest
from helpers import SAMPLE_IMAGES, read_sample
from PIL import Image

import gmmquant
from gmmquant import GaussianMixture, ImageError, NotFittedError, ParameterError, Quantizer, Settings, quantize

CAT = read_sample("cat.jpg")[60:100, 120:180]
GREY = ["1", "L"]
COLOR = ["P", "RGB", "RGBX", "CMYK", "YCbCr", "LAB", "HSV"]
WITH_ALPHA = ["LA", "PA", "RGBA", "RGBa", "La"]


def in_mode(mode):
    """Return the cat as a PIL image of a mode; with alpha, a part is half-transparent and a part transparent."""
    image = Image.fromarray(CAT)
    if mode in WITH_ALPHA:
        image = image.convert("RGBA")
        image.putalpha(Image.fromarray(np.tile(np.clip(np.arange(60) * 6 - 30, 0, 255), (40, 1)).astype(np.uint8)))
    if mode == "La":
        return image.convert("LA").convert("La")
    if mode == "LAB":
        from PIL import ImageCms

        srgb, lab = ImageCms.createProfile("sRGB"), ImageCms.createProfile("LAB")
        return ImageCms.profileToProfile(image, srgb, lab, outputMode="LAB")
    return image.convert(mode)


def theirs():
    from sklearn.mixture import GaussianMixture as Theirs

    return Theirs(2)


def assert_same(result, expected):
    np.testing.assert_array_equal(result.image, expected.image)
    assert result.log_likelihood == expected.log_likelihood


@pytest.mark.parametrize("mode", [*GREY, *COLOR, *WITH_ALPHA])
def test_a_pil_image_of_any_mode_equals_the_array_that_pillow_converts_it_to(mode):
    image = in_mode(mode)
    target = "L" if mode in GREY else "RGBA" if mode in WITH_ALPHA else "RGB"
    plain = image.convert("LA") if mode == "La" else image
    assert_same(quantize(image, 4), quantize(np.asarray(plain.convert(target)), 4))


@pytest.mark.parametrize("mode", ["I;16", "I;16L", "I;16B"])
def test_a_pil_image_of_16_bits_keeps_them_in_any_byte_order(mode):
    deep = np.random.default_rng(0).integers(0, 65536, (20, 30)).astype(np.uint16)
    image = Image.frombytes(mode, (30, 20), deep.astype(">u2" if mode == "I;16B" else "<u2").tobytes())
    result = quantize(image, 4)
    assert_same(result, quantize(deep, 4))
    assert np.ptp(result.image) > 100


@pytest.mark.parametrize("form", ["index", "alpha per index"])
def test_a_transparent_entry_of_a_palette_becomes_alpha(form):
    image = Image.fromarray(CAT).quantize(6)
    image.info["transparency"] = 2 if form == "index" else bytes([255, 255, 0, 128, 255, 255])
    result = quantize(image, 4)
    np.testing.assert_array_equal(result.alpha, np.asarray(image.convert("RGBA"))[:, :, 3])
    assert_same(result, quantize(np.asarray(image.convert("RGBA")), 4))


def test_a_pil_image_without_a_known_range_is_refused_with_a_remedy_that_keeps_its_values():
    deep = np.random.default_rng(0).integers(0, 65536, (20, 30))
    integers, floats = Image.fromarray(deep.astype(np.int32)), Image.fromarray((deep / 65535).astype(np.float32))
    with pytest.raises(ParameterError, match=r"mode I has no known range; use image\.convert\('I;16'\)"):
        quantize(integers, 3)
    with pytest.raises(ParameterError, match=r"mode F has no known range; pass its values scaled to 0\.\.65535"):
        quantize(floats, 3)
    scaled = np.rint(65535 * np.asarray(floats)).astype(np.uint16)
    assert_same(quantize(integers.convert("I;16"), 3), quantize(scaled, 3))


@pytest.mark.parametrize("kind", [str, Path])
def test_a_path_is_read_by_read_image(samples, kind):
    path = samples / "alpha.png"
    assert_same(quantize(kind(path), 3), quantize(gmmquant.read_image(path).pixels, 3))


@pytest.mark.parametrize(
    ("image", "message"),
    [
        ([[1, 2], [3, 4]], "image is a list; pass an array of pixels, a PIL image, or the path, the bytes or an open"),
        (None, "image is a NoneType; pass"),
        (np.ones((4, 4, 3), complex), "image has type complex128; use uint8 or uint16"),
        (np.ones((3, 40, 40), np.uint8), r"image has shape \(3, 40, 40\); use"),
    ],
)
def test_an_argument_that_is_not_an_image_is_refused_with_its_type(image, message):
    with pytest.raises(ParameterError, match=message):
        quantize(image, 2)


def test_a_file_that_is_not_an_image_is_an_image_error(tmp_path):
    (tmp_path / "x.png").write_text("text")
    with pytest.raises(ImageError, match=r"x\.png: not a supported image"):
        quantize(tmp_path / "x.png", 2)


def test_arrays_need_no_pillow_and_importing_the_package_loads_no_large_module():
    code = (
        "import sys, gmmquant; heavy = {'numpy', 'cv2', 'PIL', 'scipy'}; print(sorted(heavy & set(sys.modules)))\n"
        "import numpy as np; gmmquant.quantize(np.arange(48, dtype=np.uint8).reshape(4, 4, 3), 2)\n"
        "print('PIL' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "[]\nFalse\n"


# --- settings ---------------------------------------------------------------------------------------------------------


def test_the_signature_of_quantize_has_every_setting_with_its_default():
    parameters = inspect.signature(quantize).parameters
    assert list(parameters)[:3] == ["image", "k", "palette"]
    assert {name: parameters[name].default for name in list(parameters)[3:]} == {
        field.name: field.default for field in fields(Settings)
    }
    shown = pydoc.render_doc(quantize, renderer=pydoc.plaintext)
    assert all(field.name in shown for field in fields(Settings))


def test_a_quantizer_takes_settings_by_name_as_quantize_does():
    options = {"method": "kmeans", "seed": 3, "dither": "floyd-steinberg", "space": "oklab"}
    assert_same(Quantizer(CAT, **options).fit(4), quantize(CAT, 4, **options))
    assert_same(Quantizer(CAT, Settings(**options)).fit(4), quantize(CAT, 4, **options))
    with pytest.raises(ParameterError, match="settings and seed are both set"):
        Quantizer(CAT, Settings(), seed=3)
    with pytest.raises(TypeError):
        Quantizer(CAT, sed=3)


HINTS = {
    "sed": r"did you mean seed\?",
    "colors": r"use quantize\(image, k\), or quantize\(image, palette=\.\.\.\) for given colours",
    "model": r"use apply_model\(image, path\)",
    "transfer_from": r"use transfer_colors\(image, target\)",
    "n_colors": r"use quantize\(image, k\)",
    "n_clusters": r"use quantize\(image, k\)",
    "n_components": r"use quantize\(image, k\)",
    "n_init": "use restarts",
    "init_params": "use init",
    "reg_covar": "use noise",
    "sample_weight": r"use an alpha channel: a pixel weighs \(alpha / 255\)\^2",
    "mask": "use an alpha channel that is 0 where a pixel is not to count",
}


@pytest.mark.parametrize(("name", "hint"), HINTS.items())
def test_an_unknown_argument_is_a_type_error_that_names_the_way(name, hint):
    for function in (quantize, Quantizer):
        with pytest.raises(TypeError, match=f"unexpected keyword argument '{name}'; {hint}$"):
            function(CAT, **{name: 3})


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"strength": 0.5}, "strength = 0.5 has no effect without dithering; use dither = 'blue-noise', or omit it"),
        ({"shrink": 0.5, "covariance": "tied"}, "shrink = 0.5 has no effect on covariance = 'tied'"),
        ({"method": "kmeans", "noise": 3}, "noise = 3 has no effect on KMeans"),
        ({"method": "kmeans", "init": "random"}, "init = 'random' has no effect on KMeans"),
    ],
)
def test_an_argument_without_effect_is_refused_as_the_command_does(options, message):
    for call in (lambda: quantize(CAT, 2, **options), lambda: Quantizer(CAT, **options)):
        with pytest.raises(ParameterError, match=message):
            call()
    useful = {"dither": "bayer"} if "strength" in options else {}
    if useful:
        quantize(CAT, 2, **options, **useful)


def test_a_flat_image_cannot_be_resized():
    with pytest.raises(ParameterError, match="resize has no effect on a FlatImage"):
        Quantizer(gmmquant.FlatImage.from_array(CAT), resize="50%")


def test_16_colours_are_the_default():
    assert_same(quantize(CAT), quantize(CAT, 16))


@pytest.mark.parametrize(
    ("mixture", "message"),
    [
        ("m.json", r"mixture is a str; pass GaussianMixture\.load\(path\)"),
        (gmmquant.KMeans(2), r"mixture is a KMeans; pass a fitted gmmquant\.GaussianMixture, or use fit_palette"),
        (None, "mixture is a NoneType; pass a fitted"),
        (quantize(CAT, 2).fit, r"mixture is a Fit; pass its mixture, fit\.mixture"),
        (theirs(), r"mixture is a sklearn\.GaussianMixture; pass a fitted gmmquant"),
    ],
)
def test_what_is_not_a_mixture_is_refused_with_its_type(mixture, message):
    quantizer = Quantizer(CAT)
    result = quantizer.fit(2)
    for use in (quantizer.apply, lambda mixture: quantizer.transfer(result, mixture)):
        with pytest.raises(ParameterError, match=message):
            use(mixture)


@pytest.mark.parametrize(
    ("factor", "value"), [(255, "a mean of [0-9.]+, and values of sRGB go from 0 to 1"), (3, "a mean")]
)
def test_a_mixture_of_values_outside_the_space_is_refused(factor, value):
    mixture = GaussianMixture(3, random_state=0).fit(CAT.reshape(-1, 3) / 255 * factor)
    with pytest.raises(ParameterError, match=f"the mixture has {value}.*fit it to pixels / 255"):
        Quantizer(CAT).apply(mixture)
    Quantizer(CAT).apply(GaussianMixture(3, random_state=0).fit(CAT.reshape(-1, 3) / 255))


@pytest.mark.parametrize("method", ["maps", "layers", "openraster"])
def test_a_result_of_another_image_is_refused(method):
    quantizer, other, clear = Quantizer(CAT), quantize(CAT[:20], 3), quantize(in_mode("RGBA"), 3)
    veiled = quantize(np.dstack([CAT, np.full((40, 60), 128, np.uint8)]), 3)
    for result, found in (
        (other, "60 x 20 pixels, not of 60 x 40"),
        (clear, r"visible pixels of weight \S+, not of 2400"),
        (veiled, r"2400 visible pixels of weight 604\S*, not of 2400 of weight 2400"),
    ):
        with pytest.raises(ParameterError, match=f"the fit is to an image of .*{found}.*pass a result of this image"):
            getattr(quantizer, method)(result)
    with pytest.raises(ParameterError, match="fit is a ndarray; pass a result of this image"):
        getattr(quantizer, method)(CAT)
    getattr(quantizer, method)(quantize(CAT, 3))


def test_an_image_is_recoloured_by_the_fit_of_another_result():
    result = quantize(CAT[:20], 3)
    assert_same(Quantizer(CAT).recolor(result), Quantizer(CAT).recolor(result.fit))
    with pytest.raises(ParameterError, match="fit is a int; pass a result, or its fit"):
        Quantizer(CAT).recolor(3)


def test_a_mixture_that_is_not_fitted_or_not_of_colours_is_refused():
    with pytest.raises(NotFittedError):
        Quantizer(CAT).apply(GaussianMixture(2))
    plane = GaussianMixture(2, random_state=0).fit(np.random.default_rng(0).normal(size=(50, 2)))
    with pytest.raises(ParameterError, match="the mixture has 2 features; colours have 3"):
        Quantizer(CAT).apply(plane)


# --- results ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("mode", ["RGB", "RGBA"])
@pytest.mark.parametrize("name", ["a.png", "a.webp", "a.tif", "a.GIF", "a.bmp"])
def test_pillow_reads_a_saved_result_with_the_same_pixels(tmp_path, name, mode):
    image = Image.fromarray(CAT).convert(mode)
    if mode == "RGBA":
        image.putalpha(
            Image.fromarray(np.where(np.arange(60) < 20, 0, 255).astype(np.uint8).repeat(40).reshape(60, 40).T)
        )
    result = quantize(image, 5)
    (tmp_path / name).write_text("replaced")
    result.save(tmp_path / name)
    with Image.open(tmp_path / name) as saved:
        read = np.asarray(saved.convert(mode))
    visible = np.ones(read.shape[:2], bool) if mode == "RGB" or name == "a.bmp" else read[:, :, 3] > 0
    np.testing.assert_array_equal(read[visible][:, :3], result.image[visible][:, :3])
    assert sorted(path.name for path in tmp_path.iterdir()) == [name]


def test_a_saved_png_is_indexed_in_the_order_of_the_palette(tmp_path):
    result = quantize(CAT, 5)
    result.save(tmp_path / "a.png")
    with Image.open(tmp_path / "a.png") as saved:
        assert saved.mode == "P"
        np.testing.assert_array_equal(np.asarray(saved), result.labels)
        np.testing.assert_array_equal(np.reshape(saved.getpalette(), (-1, 3))[:5], result.palette)


def test_an_optimized_file_has_the_same_pixels_and_is_no_larger(tmp_path):
    result = quantize(CAT, 5)
    result.save(tmp_path / "a.png")
    result.save(tmp_path / "b.png", optimize=True)
    sizes = [(tmp_path / name).stat().st_size for name in ("a.png", "b.png")]
    assert sizes[1] <= sizes[0]
    with Image.open(tmp_path / "b.png") as saved:
        np.testing.assert_array_equal(np.asarray(saved.convert("RGB")), result.image)


@pytest.mark.parametrize("name", ["a", "a.txt", "a.png.txt"])
def test_an_unknown_extension_is_refused_and_no_file_is_written(tmp_path, name):
    with pytest.raises(ParameterError, match="png, webp, tiff"):
        quantize(CAT, 2).save(tmp_path / name)
    assert list(tmp_path.iterdir()) == []


def test_a_missing_folder_is_an_error_that_names_the_file(tmp_path):
    with pytest.raises(gmmquant.OutputError, match=r"b/a\.png: no such file or directory"):
        quantize(CAT, 2).save(tmp_path / "b" / "a.png")


@pytest.mark.filterwarnings("ignore::gmmquant.ConvergenceWarning")
@pytest.mark.parametrize("k", [2, 256, 300])
def test_pillows_image_of_a_result_has_its_pixels_and_palette(k):
    rng = np.random.default_rng(0)
    image = rng.integers(0, 256, (40, 40, 3)).astype(np.uint8)
    result = quantize(image, k, max_iter=2)
    shown = result.to_pil()
    np.testing.assert_array_equal(np.asarray(shown.convert("RGB")), result.image)
    assert shown.mode == ("P" if k <= 256 else "RGB")
    if k <= 256:
        np.testing.assert_array_equal(np.asarray(shown), result.labels)
        np.testing.assert_array_equal(np.reshape(shown.getpalette(), (-1, 3))[:k], result.palette)
    buffer = io.BytesIO()
    shown.save(buffer, "PNG")
    with Image.open(buffer) as read:
        np.testing.assert_array_equal(np.asarray(read.convert("RGB")), result.image)


@pytest.mark.parametrize(("options", "mode"), [({}, "RGBA"), ({"recolor": "soft"}, "RGBA")])
def test_pillows_image_of_a_result_with_alpha_keeps_it(options, mode):
    result = quantize(in_mode("RGBA"), 3, **options)
    assert result.to_pil().mode == mode
    np.testing.assert_array_equal(np.asarray(result.to_pil()), result.image)


def test_a_result_is_shown_in_one_line():
    shown = repr(quantize(CAT, 5, method="kmeans"))
    assert shown.startswith("<QuantizedImage 60 x 40, 5 colours, kmeans, log-likelihood ")
    assert "\n" not in shown
    assert len(shown) < 120


def test_the_page_on_the_python_interface_lists_all_public_names(project):
    page = (project / "docs/python-api.md").read_text(encoding="utf-8")
    listed = {line.split("`")[1].split("(")[0] for line in page.splitlines() if line.startswith("| `")}
    assert set(gmmquant.__all__) - {"__version__"} <= listed
    for name in listed:
        value = gmmquant
        for part in name.split("."):
            value = getattr(value, part, None) or value.__dataclass_fields__[part]


def test_an_empty_path_is_named():
    with pytest.raises(ParameterError, match=r"^source is an empty text; pass the path of an image$"):
        quantize("", 2)


def records_within(value, found):
    """Add to `found` an object of each class of gmmquant that the public attributes of `value` lead to."""
    if isinstance(value, (list, tuple)):
        for each in value:
            records_within(each, found)
    if not type(value).__module__.startswith("gmmquant") or isinstance(value, type) or type(value) in found:
        return
    found[type(value)] = value
    for name in dir(value):
        if not name.startswith("_"):
            records_within(getattr(value, name, None), found)


def test_two_objects_with_arrays_are_compared_by_identity():
    quantizer = gmmquant.Quantizer(SAMPLE_IMAGES / "alpha.png")
    results = [quantizer.fit(2), quantize(CAT, 2, recolor="soft")]
    image = gmmquant.read_image(SAMPLE_IMAGES / "cat.jpg")
    estimators = [GaussianMixture(1).fit(CAT[0]), gmmquant.KMeans(1).fit(CAT[0])]
    found = {}
    reached = [*results, image, quantizer, list(quantizer.layers(results[0])), quantizer.maps(results[0]), *estimators]
    records_within([*reached, gmmquant.FlatImage.from_array(CAT)], found)
    names = {kind.__name__ for kind in found}
    assert {"QuantizedImage", "Fit", "Gaussians", "ColorImage", "IndexedImage", "GreyMap", "ColorHistogram"} <= names
    for one in found.values():
        other = copy.copy(one)
        assert one == one and (one == other) in (True, False), type(one)
        if any(isinstance(getattr(one, name, None), np.ndarray) for name in dir(one)):
            assert one != other and one in [other, one] and len({one, other}) == 2, type(one)


def test_no_dataclass_that_holds_an_array_compares_its_fields():
    kinds = set()
    for module in walk_packages(gmmquant.__path__, "gmmquant."):
        with suppress(ImportError):  # of an optional package
            kinds |= {kind for kind in vars(import_module(module.name)).values() if is_dataclass(kind)}
    with_arrays = {kind for kind in kinds if re.search("NDArray|FloatArray", str(kind.__annotations__))}
    assert len(with_arrays) > 10
    assert [kind for kind in with_arrays if kind.__eq__ is not object.__eq__] == []
