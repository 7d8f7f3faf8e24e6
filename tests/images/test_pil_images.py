"""A PIL image is the same image as its file: colour spaces and orientations that Pillow read are applied."""

import io

import numpy as np
import pytest
from helpers import SAMPLE_IMAGES
from icc_profiles import ADOBE_RGB, P3, grey_profile, ink_profile
from image_files import png, png_chunk, saved, with_alpha
from PIL import Image, ImageOps

from gmmquant import ImageError, ParameterError, Quantizer, quantize, transfer_colors
from gmmquant.images.inputs import image_input

PALE = np.random.default_rng(0).integers(0, 256, (9, 13, 3), dtype=np.uint8)

LOSSLESS = {"PNG": {}, "TIFF": {}, "WEBP": {"lossless": True, "exact": True}}


def opened(data):
    return Image.open(io.BytesIO(data))


def turned(orientation):
    exif = Image.Exif()
    exif[0x0112] = orientation
    return exif


def adobe_exif():
    exif = Image.Exif()
    exif[0x010F] = "a maker"
    exif.get_ifd(0x8769)[0xA001] = 2
    return exif


def assert_same(data, image=None):
    """Assert that a PIL image has the pixels of the file, whatever the number of channels of greys."""
    expected = image_input(data).pixels
    pixels = image_input(opened(data) if image is None else image).pixels
    np.testing.assert_array_equal(np.broadcast_to(pixels, expected.shape), expected)
    return expected


@pytest.mark.parametrize("file_format", LOSSLESS)
@pytest.mark.parametrize("orientation", range(1, 9))
def test_an_orientation_is_applied_once(file_format, orientation):
    data = saved(Image.fromarray(PALE), file_format, exif=turned(orientation), **LOSSLESS[file_format])
    pixels = assert_same(data)
    assert pixels.shape == ((13, 9, 3) if orientation > 4 else (9, 13, 3))
    image = opened(data)
    image.load()
    assert_same(data, image)
    assert_same(data, image.copy())
    assert_same(data, ImageOps.exif_transpose(opened(data)))


@pytest.mark.parametrize("file_format", LOSSLESS)
@pytest.mark.parametrize("profile", [P3, ADOBE_RGB])
@pytest.mark.parametrize("mode", ["RGB", "RGBA", "P", "L"])
def test_a_profile_is_applied(photo, veil, file_format, profile, mode):
    if file_format == "WEBP" and mode in ("P", "L"):
        pytest.skip("no WebP has this mode")
    image = with_alpha(photo, veil) if mode == "RGBA" else photo.convert(mode)
    options = LOSSLESS[file_format]
    data = saved(image, file_format, icc_profile=profile, exif=turned(8), **options)
    pixels = assert_same(data)
    if (mode, profile) != ("L", P3):  # greys of Display P3 are those of sRGB
        assert np.any(pixels != image_input(saved(image, file_format, exif=turned(8), **options)).pixels)


@pytest.mark.parametrize("make", [lambda photo: photo.convert("L"), lambda photo: photo.convert("LA")])
def test_a_profile_of_greys_is_applied(photo, make):
    assert_same(saved(make(photo), "PNG", icc_profile=grey_profile(1.0)))


def test_a_profile_of_greys_is_applied_to_16_bits():
    deep = (np.arange(40 * 50, dtype=np.uint16) * 30).reshape(40, 50)
    data = saved(Image.fromarray(deep), "PNG", icc_profile=grey_profile(1.0))
    assert assert_same(data).dtype == np.uint16


def test_a_profile_of_inks_is_applied(photo):
    assert_same(saved(photo.convert("CMYK"), "TIFF", icc_profile=ink_profile()))


@pytest.mark.parametrize("file_format", ["JPEG", "TIFF"])
@pytest.mark.parametrize("orientation", [1, 6])
def test_inks_without_a_profile_are_those_of_the_file(photo, file_format, orientation):
    assert_same(saved(photo.convert("CMYK"), file_format, exif=turned(orientation)))


def test_adobe_rgb_of_exif_is_applied():
    data = saved(Image.fromarray(PALE), "PNG", exif=adobe_exif())
    assert np.any(assert_same(data) != PALE)


@pytest.mark.parametrize(
    "chunks", [(b"gAMA", [100_000]), (b"cHRM", [31270, 32900, 68000, 32000, 26500, 69000, 15000, 6000])]
)
@pytest.mark.parametrize("is_srgb", [False, True])
def test_gamma_and_primaries_of_a_png_are_applied_unless_it_is_srgb(chunks, is_srgb):
    name, values = chunks
    stated = png_chunk(name, np.array(values, dtype=">u4").tobytes())
    stated += png_chunk(b"sRGB", b"\0") if is_srgb else b""
    assert np.any(assert_same(png(PALE, chunks=stated)) != PALE) != is_srgb


@pytest.mark.parametrize("broken", [b"x", b"", "text", P3[:200]])
def test_a_broken_profile_or_exif_changes_nothing(broken):
    image = Image.fromarray(PALE)
    image.info |= {"icc_profile": broken, "exif": b"Exif\0\0" + bytes(9), "gamma": "x", "chromaticity": (1,)}
    np.testing.assert_array_equal(image_input(image).pixels, PALE)


def test_an_image_without_a_stated_space_keeps_its_pixels():
    np.testing.assert_array_equal(image_input(Image.fromarray(PALE)).pixels, PALE)


def test_every_function_applies_profile_and_orientation():
    data = saved(Image.fromarray(PALE), "PNG", icc_profile=P3, exif=turned(6))
    np.testing.assert_array_equal(quantize(opened(data), 3).image, quantize(data, 3).image)
    np.testing.assert_array_equal(Quantizer(opened(data)).fit(2).image, Quantizer(data).fit(2).image)
    moved = transfer_colors(opened(data), opened(data), 2)
    np.testing.assert_array_equal(moved, transfer_colors(data, data, 2))
    assert moved.shape == (13, 9, 3)


@pytest.mark.parametrize("quote", ["'", '"'])
@pytest.mark.parametrize("file_format", ["WEBP", "TIFF"])
def test_an_orientation_of_xmp_is_applied_once(file_format, quote):
    stated = f"tiff:Orientation={quote}6{quote}"
    xmp = f"<x:xmpmeta xmlns:x='adobe:ns:meta/'><rdf:Description {stated}/></x:xmpmeta>".encode()
    options = {"tiffinfo": {700: xmp}} if file_format == "TIFF" else {"lossless": True, "xmp": xmp}
    assert assert_same(saved(Image.fromarray(PALE), file_format, **options)).shape == (13, 9, 3)


def after_a_with_block(path):
    with Image.open(path) as image:
        pass
    return image


def closed_after_loading(path):
    image = Image.open(path)
    image.load()
    image.close()
    return image


def with_a_closed_file(path):
    file = io.BytesIO(path.read_bytes())
    image = Image.open(file)
    file.close()
    return image


@pytest.mark.parametrize("closed", [after_a_with_block, closed_after_loading, with_a_closed_file])
@pytest.mark.parametrize("name", ["cat.jpg", "alpha.png", "a.gif"])
@pytest.mark.parametrize("use", [lambda image: quantize(image, 2), lambda image: transfer_colors(image, image, 2)])
def test_a_closed_image_is_refused_with_a_remedy(tmp_path, closed, name, use):
    path = SAMPLE_IMAGES / name
    if not path.exists():
        path = tmp_path / name
        Image.fromarray(PALE).save(path)
    with pytest.raises(ParameterError, match=r"^the (PIL image or its|file of the PIL image).* closed[;,] .*pass "):
        use(closed(path))


@pytest.mark.parametrize("file_format", ["JPEG", "WEBP", "PNG", "AVIF", "TIFF"])
def test_an_image_that_was_loaded_in_its_with_block_can_be_used_after_it(tmp_path, file_format):
    Image.fromarray(PALE).save(tmp_path / "a", file_format)
    with Image.open(tmp_path / "a") as image:
        image.load()
    np.testing.assert_array_equal(quantize(image, 2).image, quantize(tmp_path / "a", 2).image)


@pytest.mark.parametrize("n_frames", [1, 3])
def test_a_loaded_gif_whose_file_is_closed_is_refused_and_its_copy_is_one_frame(tmp_path, n_frames):
    frames = [Image.fromarray(PALE[..., 0] // 4 * 4 + n) for n in range(n_frames)]
    frames[0].save(tmp_path / "a.gif", save_all=True, append_images=frames[1:])
    with Image.open(tmp_path / "a.gif") as image:
        image.load()
    with pytest.raises(ParameterError, match=r"^the file of the PIL image is closed.*; pass image\.copy\(\) for"):
        quantize(image, 2)
    assert image_input(image.copy()).pixels.shape[:2] == PALE.shape[:2]
    if n_frames == 1:
        assert_same((tmp_path / "a.gif").read_bytes(), image.copy())


@pytest.mark.parametrize("name", ["cat.jpg", "coffee.png"])
def test_an_image_whose_file_is_damaged_is_an_image_error_that_names_it(tmp_path, name):
    data = (SAMPLE_IMAGES / name).read_bytes()[:-500]
    (tmp_path / name).write_bytes(data)
    for source, shown in [(tmp_path / name, str(tmp_path / name)), (io.BytesIO(data), "the PIL image")]:
        with Image.open(source) as image, pytest.raises(ImageError) as caught:
            quantize(image, 2)
        assert str(caught.value).startswith(f"{shown}: Pillow cannot decode it: image file is truncated")
        assert "\n" not in str(caught.value)
