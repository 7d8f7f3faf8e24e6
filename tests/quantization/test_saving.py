"""Saved results: files that are replaced or not, formats that lose something, open files."""

import errno
import io
import os
import warnings
from pathlib import Path

import numpy as np
import pytest
from helpers import read_sample
from PIL import Image

import gmmquant
from gmmquant import FormatWarning, GaussianMixture, OutputError, ParameterError, quantize, read_image

CAT = read_sample("cat.jpg")[60:100, 120:180]


class Named(io.BytesIO):
    """The content of a file, with its name, as of an open file."""

    def __init__(self, path):
        super().__init__(path.read_bytes())
        self.name = str(path)


@pytest.fixture
def photograph(tmp_path):
    """The path of a small PNG."""
    Image.fromarray(CAT).save(tmp_path / "cat.png")
    return tmp_path / "cat.png"


# --- the input --------------------------------------------------------------------------------------------------------

OPENED = {
    "path": lambda path: path,
    "text": str,
    "relative path": lambda path: path.name,
    "open file": lambda path: Named(path),
    "Pillow": Image.open,
    "decoded": read_image,
}


@pytest.mark.parametrize("form", OPENED)
@pytest.mark.parametrize("link", [None, os.symlink, os.link])
def test_the_file_of_the_image_is_not_replaced_unless_asked_for(photograph, monkeypatch, form, link):
    monkeypatch.chdir(photograph.parent)
    before = photograph.read_bytes()
    target = photograph.parent / "target.png" if link else photograph
    if link:
        link(photograph, target)
    result = quantize(OPENED[form](photograph), 3)
    monkeypatch.chdir("/")
    with pytest.raises(OutputError, match=r"is the file that the image was read from; use another, or replace_input"):
        result.save(target)
    assert photograph.read_bytes() == before
    result.save(target, replace_input=True)
    np.testing.assert_array_equal(read_image(target).pixels, result.image)


def test_every_kind_of_result_knows_the_file_of_its_image(photograph):
    quantizer = gmmquant.Quantizer(photograph)
    results = [quantizer.fit(3), quantizer.fit_palette("gameboy"), quantizer.apply(quantizer.fit(3))]
    results.append(quantizer.transfer(results[0], results[1]))
    for result in results:
        with pytest.raises(OutputError, match="is the file that the image was read from"):
            result.save(photograph)


def test_any_other_file_is_replaced(photograph, tmp_path):
    (tmp_path / "other.png").write_text("old")
    result = quantize(photograph, 3)
    result.save(tmp_path / "other.png")
    np.testing.assert_array_equal(read_image(tmp_path / "other.png").pixels, result.image)


# --- what a format cannot hold ----------------------------------------------------------------------------------------


def veiled():
    """Return the cat in RGBA, with alpha from 0 to 255."""
    alpha = np.tile(np.clip(np.arange(60) * 6 - 30, 0, 255), (40, 1)).astype(np.uint8)
    return np.dstack([CAT, alpha])


@pytest.mark.parametrize(
    ("name", "warned"),
    [
        ("a.png", []),
        ("a.webp", []),
        ("a.gif", ["gif stores no partial transparency: alpha of 128 or more becomes opaque, the rest transparent"]),
        (
            "a.jpg",
            [
                "jpg stores colours approximately: png and webp store them exactly",
                "jpg stores no transparency: the image is put on white",
            ],
        ),
    ],
)
def test_a_warning_names_each_thing_that_is_lost_at_the_line_that_saves(tmp_path, name, warned):
    result = quantize(veiled(), 3)
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        result.save(tmp_path / name)
    assert [str(each.message) for each in caught] == warned
    assert {(each.category, each.filename) for each in caught} == {(FormatWarning, __file__)} or not warned
    assert (tmp_path / name).exists()


def test_a_warning_names_the_line_that_quantizes():
    with pytest.warns(gmmquant.ConvergenceWarning) as caught:
        quantize(CAT, 5, max_iter=1)
    assert [each.filename for each in caught] == [__file__]


# --- open files and formats -------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("name", "format_name"), [("x.png", "gif"), ("x.JPEG", "tiff"), ("x.tif", "png")])
def test_a_format_that_contradicts_the_extension_is_refused(tmp_path, name, format_name):
    result = quantize(CAT, 2)
    with pytest.raises(ParameterError, match=f"format = '{format_name}' contradicts '.*{name}'; leave out format"):
        result.save(tmp_path / name, format=format_name)
    assert not list(tmp_path.iterdir())
    result.save(tmp_path / "x.tif", format="tiff")
    result.save(tmp_path / "x.dat", format="png")
    assert len(list(tmp_path.iterdir())) == 2


@pytest.mark.parametrize("name", ["png", "webp", "tiff", "gif", "bmp"])
def test_an_open_file_gets_what_a_path_gets(tmp_path, name):
    result = quantize(CAT, 4)
    file = io.BytesIO()
    result.save(file, format=name)
    assert not file.closed
    result.save(tmp_path / "x", format=name)
    assert file.getvalue() == (tmp_path / "x").read_bytes()
    with (tmp_path / f"y.{name}").open("wb") as named:
        result.save(named)
    assert (tmp_path / f"y.{name}").read_bytes() == file.getvalue()


@pytest.mark.parametrize("mode", ["wb", "rb"])
def test_a_file_that_cannot_be_written_is_refused_with_a_remedy(photograph, mode):
    before = photograph.read_bytes()
    with open(photograph.parent / "out.png" if mode == "wb" else photograph, mode) as file:
        if mode == "wb":
            file.close()
        with pytest.raises(ParameterError, match=r"^the file is closed, or open for reading only; open it with mode"):
            quantize(CAT, 2).save(file, format="png")
    assert photograph.read_bytes() == before


@pytest.mark.parametrize(
    ("file", "message"),
    [
        (io.BytesIO(), "the file has no extension; add one, or set format: png, webp, tiff, gif, bmp, jpg"),
        ("noext", "'noext' has no extension; add one, or set format: png, webp"),
        (io.StringIO(), "file is a StringIO; use a path, or a file that is open with mode 'wb'"),
        (None, "file is a NoneType; use a path"),
        (7, "file is a int; use a path"),
    ],
)
def test_what_cannot_be_written_to_is_refused_with_a_remedy(file, message):
    with pytest.raises(ParameterError, match=message):
        quantize(CAT, 2).save(file)


# --- errors of the system ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", [OutputError, OSError, gmmquant.GmmquantError])
def test_a_file_that_cannot_be_written_is_an_error_of_the_system_and_of_gmmquant(tmp_path, kind):
    mixture = GaussianMixture(2, random_state=0).fit(CAT.reshape(-1, 3) / 255)
    for save, ending in ((quantize(CAT, 2).save, "png"), (mixture.save, "json")):
        with pytest.raises(kind, match=rf"a\.{ending}: no such file or directory") as caught:
            save(tmp_path / "missing" / f"a.{ending}")
        assert caught.value.errno == errno.ENOENT
        (tmp_path / f"b.{ending}").mkdir()
        with pytest.raises(kind, match=rf"b\.{ending}: is a folder; use the name of a file"):
            save(tmp_path / f"b.{ending}")


def test_an_error_of_a_model_names_its_file(tmp_path):
    (tmp_path / "m.json").write_text("{")
    with pytest.raises(gmmquant.ModelFileError, match=r"m\.json: not JSON"):
        GaussianMixture.load(tmp_path / "m.json")
    with pytest.raises(FileNotFoundError):
        GaussianMixture.load(tmp_path / "none.json")


# --- results as arrays and texts --------------------------------------------------------------------------------------


@pytest.mark.parametrize("image", [CAT, veiled()])
@pytest.mark.parametrize("options", [{}, {"recolor": "soft"}])
def test_a_result_is_an_array_of_its_pixels(image, options):
    result = quantize(image, 4, **options)
    np.testing.assert_array_equal(np.asarray(result), result.image)
    assert np.asarray(result, dtype=np.float32).dtype == np.float32
    np.testing.assert_array_equal(quantize(result, 4).image.shape, result.image.shape)
    with pytest.raises(ValueError, match="copied"):
        np.asarray(result, dtype=float, copy=False)


def test_hex_codes_are_those_of_the_palette():
    result = quantize(CAT, 4)
    assert result.hex == ["#{:02x}{:02x}{:02x}".format(*color) for color in result.palette]


def test_a_quantizer_is_shown_in_one_line(samples):
    shown = repr(gmmquant.Quantizer(samples / "cat.jpg", dither="bayer"))
    n_colors = len(np.unique(read_sample("cat.jpg").reshape(-1, 3), axis=0))
    assert shown == f"<Quantizer 451 x 300, {n_colors:,} distinct colours, kmeans in OKLab>"


def test_the_working_folder_may_be_gone(tmp_path, monkeypatch):
    folder = tmp_path / "gone"
    folder.mkdir()
    monkeypatch.chdir(folder)
    Image.fromarray(CAT).save("cat.png")
    with Image.open("cat.png") as image:
        image.load()
        Path(folder / "cat.png").unlink()
        folder.rmdir()
        quantize(image, 2).save(tmp_path / "a.png")
    assert quantize(io.BytesIO((tmp_path / "a.png").read_bytes()), 2).source is None
