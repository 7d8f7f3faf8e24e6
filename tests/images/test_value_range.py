"""16-bit images with data of fewer bits are noted, with a remedy that works."""

import re
import struct
import warnings
from dataclasses import replace

import cv2
import numpy as np
import pytest
import tifffile
from image_files import png, png_chunk, read
from PIL import Image

from gmmquant import quantize, read_image
from gmmquant.images.value_range import note_on_range


def data_of(bits, n_channels=3):
    """Return values of some bits, (20, 30, n_channels) or (20, 30), among them the largest; opaque with 4 channels."""
    values = np.random.default_rng(bits).integers(0, 1 << bits, (20, 30, n_channels)).astype(np.uint16)
    values[0, 0] = (1 << bits) - 1
    if n_channels == 4:
        values[..., 3] = 65535
    return values[..., 0] if n_channels == 1 else values


@pytest.mark.parametrize("n_channels", [1, 3, 4])
@pytest.mark.parametrize("bits", range(1, 17))
def test_data_of_up_to_14_bits_are_noted_with_a_factor_that_fits(bits, n_channels):
    values = data_of(bits, n_channels)
    found = re.fullmatch(
        r"the largest value is (\d+) of 65535, as in (\d+)-bit data, so the image is dark; use (\d+)",
        note_on_range(values, "use {factor}") or "-",
    )
    assert (found is not None) == (bits <= 14)
    if found:
        largest, depth, factor = map(int, found.groups())
        assert largest == (1 << bits) - 1
        assert depth >= bits
        assert largest * factor <= 65535
        assert largest * factor > 65535 - factor or depth > bits


@pytest.mark.parametrize(
    "values",
    [np.zeros((20, 30), np.uint16), np.full((20, 30, 3), 9, np.uint8), np.ones((20, 30)), np.ones((15, 17), np.uint16)],
)
def test_black_images_other_types_and_few_pixels_have_no_note(values):
    assert note_on_range(values, "") == ""


@pytest.mark.parametrize(
    ("extension", "n_channels"), [("png", 1), ("png", 3), ("png", 4), ("tif", 1), ("tif", 3), ("pgm", 1)]
)
def test_the_note_of_the_command_has_a_remedy_that_works(command, tmp_path, n_channels, extension):
    values = data_of(12, n_channels)
    assert cv2.imwrite(str(tmp_path / f"a.{extension}"), values)
    result = command(f"a.{extension}", "-k", "3", "-o", "out")
    note = re.search(r"so the image is dark; scale it in Python: (.*)\n", result.stderr)
    assert f"a.{extension}: the largest value is 4095 of 65535, as in 12-bit data" in result.stderr
    out = tmp_path / "scaled.png"
    names = {"file": tmp_path / f"a.{extension}", "read_image": read_image, "quantize": quantize, "out": out}
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        exec(note[1], names)
    scaled = np.repeat(values[..., np.newaxis], 3, axis=2) if n_channels == 1 else values[..., [2, 1, 0]]
    assert np.array_equal(names["pixels"][..., :3], scaled * 16)
    assert len(quantize(out, 256).hex) == 16


def test_quantize_warns_as_the_note_of_the_file_says_until_the_pixels_are_scaled(tmp_path):
    cv2.imwrite(str(tmp_path / "a.png"), data_of(12))
    tifffile.imwrite(tmp_path / "known.tif", (data_of(12) / 65535).astype(np.float32), photometric="rgb")
    image = read_image(tmp_path / "a.png")
    with pytest.warns(UserWarning, match="as in 12-bit data") as caught:
        quantize(image, 2)
    assert str(caught[0].message) == image.notes[0]
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        quantize(replace(image, pixels=image.pixels * 16), 2)
        quantize(tmp_path / "known.tif", 2)


@pytest.mark.parametrize("dtype", [np.float32, np.uint32])
def test_tiffs_of_other_types_have_a_known_range_and_no_note(tmp_path, dtype):
    values = np.random.default_rng(0).uniform(0, 0.2, (20, 30, 3))
    values = values.astype(dtype) if dtype is np.float32 else (values * 2**32).astype(dtype)
    tifffile.imwrite(tmp_path / "a.tif", values, photometric="rgb")
    image = read_image(tmp_path / "a.tif")
    assert image.pixels.max() < 1 << 14
    assert image.notes == ()


def test_a_shared_run_has_the_note_of_each_image(command, tmp_path):
    for name in ("a", "b"):
        cv2.imwrite(str(tmp_path / f"{name}.png"), data_of(10))
    result = command("a.png", "b.png", "--shared", "-k", "3", "-o", "out")
    for name in ("a", "b"):
        assert f"{name}.png: the largest value is 1023 of 65535, as in 10-bit data" in result.stderr


@pytest.mark.parametrize("n_channels", [1, 3, 4])
def test_python_warns_of_arrays_with_a_remedy_that_works(n_channels):
    image = data_of(12, n_channels)
    with pytest.warns(UserWarning, match="the largest value is 4095 of 65535, as in 12-bit data") as caught:
        quantize(image, 3)
    assert [warning.filename for warning in caught] == [__file__]
    remedy = str(caught[0].message).partition("; ")[2]
    if n_channels == 4:
        assert remedy == "set image[..., :3] *= 16 first"
        image[..., :3] *= 16
    else:
        assert remedy == "pass image * 16"
        image = image * 16
    assert image[..., 0].max() == 65520
    quantize(image, 3)


def test_python_warns_of_files_and_of_images_of_pillow(tmp_path):
    Image.fromarray(data_of(12, 1)).save(tmp_path / "a.png")
    for image in (tmp_path / "a.png", read_image(tmp_path / "a.png")):
        with pytest.warns(UserWarning, match=r"pixels\[\.\.\., :3\] \*= 16; quantize\(pixels"):
            quantize(image, 3)
    with Image.open(tmp_path / "a.png") as image:
        with pytest.warns(UserWarning, match=r"pass np\.asarray\(image\) \* 16"):
            quantize(image, 3)
        quantize(np.asarray(image) * 16, 3)


def test_formats_that_state_their_bits_have_no_note(tmp_path):
    (tmp_path / "a.pgm").write_bytes(b"P5 30 20 4095\n" + data_of(12, 1).astype(">u2").tobytes())
    assert read_image(tmp_path / "a.pgm").notes == ()
    quantize(tmp_path / "a.pgm", 3)


def test_dark_values_that_a_gamma_brightens_have_no_note(tmp_path):
    values = data_of(12)
    linear = png(values, bits=16, chunks=png_chunk(b"gAMA", struct.pack(">I", 100_000)))
    assert "12-bit data" in read(tmp_path, png(values, bits=16), "png").notes[0]
    image = read(tmp_path, linear, "png")
    assert image.pixels.max() > 1 << 14
    assert image.notes == ("converted from gamma 1 (gAMA) to sRGB",)


@pytest.mark.parametrize(("maximum", "is_noted"), [(4095, False), (65534, False), (65535, True)])
def test_values_of_a_stated_maximum_have_no_note(tmp_path, maximum, is_noted):
    values = np.random.default_rng(0).integers(0, 200, (20, 30))
    data = f"P5\n30 20\n{maximum}\n".encode() + values.astype(">u2").tobytes()
    assert bool(read(tmp_path, data, "pgm").notes) == is_noted
