"""Pictures of sheets as small files: exact where they have few colours, close to the pixels otherwise."""

import io

import numpy as np
import pytest
from helpers import read_sample
from PIL import Image

from gmmquant import quantize
from gmmquant.images.contact_sheet.pictures import in_few_colors, picture_file
from gmmquant.images.contact_sheet.scaling import to_panel
from gmmquant.images.encoding.encode import encode_image
from gmmquant.images.recolor import ColorImage
from gmmquant.images.scaling import resized

CAT = read_sample("cat.jpg")


def decoded(pixels):
    kind, data = picture_file(pixels)
    image = Image.open(io.BytesIO(data))
    assert image.format.lower() == kind
    return image, np.asarray(image.convert("RGB"))


def psnr(one, other):
    return 10 * np.log10(255**2 / np.mean((one.astype(float) - other) ** 2))


@pytest.mark.parametrize("n_colors", [1, 2, 3, 17, 256])
def test_a_picture_of_at_most_256_colours_is_indexed_and_exact(n_colors):
    rng = np.random.default_rng(n_colors)
    pixels = rng.choice(rng.integers(0, 256, (n_colors, 3), dtype=np.uint8), (40, 70))
    image, shown = decoded(pixels)
    assert image.mode in ("P", "1", "L")
    np.testing.assert_array_equal(shown, pixels)


@pytest.mark.parametrize("k", [3, 7, 16])
@pytest.mark.parametrize("dither", ["none", "floyd-steinberg"])
def test_a_reduced_result_is_indexed_and_keeps_the_colours_of_its_areas(k, dither):
    result = quantize(np.repeat(np.repeat(CAT, 3, axis=0), 3, axis=1), k, dither=dither)
    pixels = resized(result.image, 474, 315)
    image, shown = decoded(pixels)
    assert image.format == "PNG"
    assert psnr(shown, pixels) > 38
    lossless = io.BytesIO()
    Image.fromarray(pixels).save(lossless, "PNG")
    assert len(picture_file(pixels)[1]) < 0.6 * lossless.tell()
    if dither == "none":
        palette = {tuple(color) for color in result.palette.tolist()}
        flat = np.array([[tuple(color) in palette for color in line] for line in pixels.tolist()])
        assert flat.mean() > 0.3
        assert (shown == pixels).all(axis=2)[flat].mean() > 0.9


def test_a_photograph_is_a_jpeg_in_full_colour_resolution():
    image, shown = decoded(CAT)
    assert image.format == "JPEG"
    assert [layer[1:3] for layer in image.layer] == [(1, 1)] * 3
    assert psnr(shown, CAT) > 36


def test_enlarged_pixels_stay_exact_whatever_their_number_of_colours():
    for n_levels in (8, 256):  # close colours, of which 256 show all well, and any
        icon = 100 + np.random.default_rng(0).integers(0, n_levels, (32, 32, 3), dtype=np.uint8)
        pixels = to_panel(icon, 416, 416)
        np.testing.assert_array_equal(decoded(pixels)[1], pixels)


def test_a_photograph_between_bars_is_no_enlarged_picture():
    bars = np.zeros((300, CAT.shape[1], 3), np.uint8)
    framed = np.concatenate([bars, CAT, bars])
    _, shown = decoded(framed)
    assert psnr(shown[300:-300], CAT) > 33
    assert len(picture_file(framed)[1]) < 0.5 * len(encode_image(ColorImage(framed), "png"))


@pytest.mark.parametrize("shape", [(1, 1), (1, 300), (300, 1)])
def test_pictures_of_one_row_or_column_are_files(shape):
    pixels = np.random.default_rng(0).integers(0, 256, (*shape, 3), dtype=np.uint8)
    assert decoded(pixels)[1].shape == pixels.shape


def test_the_error_of_few_colours_is_that_of_their_pixels():
    indexed, error, of_others = in_few_colors(CAT)
    assert len(indexed.palette) <= 256
    errors = ((indexed.pixels.astype(float) - CAT) ** 2).sum(axis=2)
    assert (error, of_others) == pytest.approx((errors.mean(), errors[errors > 0].mean()))


def test_details_on_a_flat_ground_are_as_close_as_those_of_a_photograph():
    pixels = np.full((400, 400, 3), 255, np.uint8)
    pixels[:40, :40] = CAT[100:140, 100:140]
    pixels[200:240, 200:240] = CAT[:40, 200:240] // 2 + np.random.default_rng(0).integers(0, 50, (40, 40, 3), np.uint8)
    for part in (np.s_[:40, :40], np.s_[200:240, 200:240]):
        error = (decoded(pixels)[1][part].astype(float) - pixels[part]) ** 2
        assert error.mean() < 255**2 / 10**3
