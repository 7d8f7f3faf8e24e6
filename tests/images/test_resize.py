"""Images resized before the fit: sizes as people expect them, and the mean of the light."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from gmmquant import Settings, quantize
from gmmquant.colors.spaces import linear_to_srgb, srgb_to_linear
from gmmquant.errors import ImageError, ParameterError
from gmmquant.images.scaling import resized, resized_frames
from gmmquant.parsing import resized_size


@pytest.mark.parametrize(
    ("resize", "expected"),
    [
        ("320x240", (320, 213)),
        ("100x240", (100, 67)),
        ("9999x240", (361, 240)),
        ("320x", (320, 213)),
        ("x240", (361, 240)),
        ("50%", (226, 150)),
        ("12.5%", (56, 38)),
        ("0.001%", (1, 1)),
        ("200%", (902, 600)),
    ],
)
def test_a_size_fits_the_image_into_a_box_or_sets_one_side_and_keeps_the_aspect(resize, expected):
    assert resized_size(resize, 451, 300) == expected


@given(st.integers(1, 9999), st.integers(1, 9999), st.integers(1, 999), st.integers(1, 999))
def test_a_resized_image_is_within_the_box_and_touches_a_side_of_it(width, height, box_width, box_height):
    size = resized_size(f"{box_width}x{box_height}", width, height)
    assert size[0] <= box_width
    assert size[1] <= box_height
    assert size[0] == box_width or size[1] == box_height


@pytest.mark.parametrize("resize", ["", "x", "0x5", "5x0", "0%", "-5x5", "5*5", "1e3x2", " 5x5", "5x5\n", "٣x٣", "<b>"])
def test_anything_else_is_refused_with_examples_in_one_line(resize):
    with pytest.raises(ParameterError, match="is not a size; use 320x240, 320x, x240 or 50%") as error:
        Settings(resize=resize)
    assert "\n" not in str(error.value)


def test_a_number_alone_is_answered_with_what_it_may_mean():
    with pytest.raises(ParameterError, match=r"'320' is not a size; use 320x \(the width\), x320 or 320%"):
        Settings(resize="320")


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
@pytest.mark.parametrize("n_channels", [1, 3, 4])
def test_each_new_pixel_has_the_mean_of_the_light_of_its_area_weighted_by_alpha(dtype, n_channels):
    largest = np.iinfo(dtype).max
    pixels = np.random.default_rng(0).integers(0, largest + 1, (12, 20, n_channels)).astype(dtype)
    result = resized(pixels, 5, 3)
    assert (result.dtype, result.shape) == (dtype, (3, 5, n_channels))
    blocks = (pixels / largest).reshape(3, 4, 5, 4, n_channels)
    alpha = blocks[..., 3:] if n_channels == 4 else np.ones_like(blocks[..., :1])
    light = (srgb_to_linear(blocks[..., :3]) * alpha).sum(axis=(1, 3)) / alpha.sum(axis=(1, 3))
    np.testing.assert_allclose(result[..., :3], largest * linear_to_srgb(light), atol=0.51 + 1e-6 * largest)
    if n_channels == 4:
        np.testing.assert_allclose(result[..., 3:], largest * alpha.mean(axis=(1, 3)), atol=0.51 + 1e-6 * largest)


def test_frames_are_resized_each_for_itself():
    frames = np.zeros((2, 10, 8, 3), dtype=np.uint8)
    frames[1] = 255
    small = resized_frames(frames.reshape(20, 8, 3), 2, "x3")
    assert small.shape == (6, 2, 3)
    assert not small[:3].any()
    assert (small[3:] == 255).all()


@pytest.mark.parametrize("shape", [(40, 30), (40, 30, 1), (40, 30, 3), (40, 30, 4)])
def test_quantize_resizes_first_and_larger_images_too(shape):
    image = np.random.default_rng(1).integers(0, 256, shape, dtype=np.uint8)
    image[..., -1] |= 1
    assert quantize(image, 3, resize="50%").labels.shape == (20, 15)
    assert quantize(image, 3, resize="60x").labels.shape == (80, 60)
    by_hand = resized_frames(image, 1, "x20")
    np.testing.assert_array_equal(quantize(image, 4, resize="x20").image, quantize(by_hand, 4).image)


def test_a_result_above_the_limit_of_pixels_is_refused():
    with pytest.raises(ImageError, match="above the limit"):
        resized_frames(np.zeros((10, 10, 3), np.uint8), 1, "999999x", max_pixels=10**6)
