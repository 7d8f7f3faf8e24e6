"""Images made smaller for display, and images as data URLs."""

import io
from base64 import b64decode

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from gmmquant.colors.spaces import linear_to_srgb, srgb_to_linear
from gmmquant.images.embedded import embed, embed_thumbnail
from gmmquant.images.recolor import ColorImage, IndexedImage
from gmmquant.images.reduced import first_frame, reduced, reduced_shape


def decoded(embedded):
    return Image.open(io.BytesIO(b64decode(embedded.url.partition(",")[2])))


@given(st.integers(1, 20_000), st.integers(1, 20_000), st.integers(1, 2_000_000))
def test_a_reduced_shape_is_within_the_limit_and_keeps_the_aspect(height, width, limit):
    shape = reduced_shape(height, width, limit)
    assert 1 <= shape[0] <= height
    assert 1 <= shape[1] <= width
    assert shape[0] * shape[1] <= limit
    if height * width <= limit:
        assert shape == (height, width)
    elif min(shape) > 50:
        assert shape[1] / shape[0] == pytest.approx(width / height, rel=0.03)
        assert shape[0] * shape[1] > 0.9 * limit


def test_an_indexed_image_keeps_its_palette_and_the_labels_at_the_centres():
    labels = np.arange(36, dtype=np.uint8).reshape(6, 6)
    palette = np.arange(108, dtype=np.uint8).reshape(36, 3)
    alpha = labels * 7
    small = reduced(IndexedImage(labels, palette, alpha), 4)
    np.testing.assert_array_equal(small.labels, labels[1::3, 1::3])
    np.testing.assert_array_equal(small.alpha, alpha[1::3, 1::3])
    np.testing.assert_array_equal(small.palette, palette)


def test_other_colors_are_means_of_light_over_the_area_of_a_pixel():
    colors = np.random.default_rng(0).integers(0, 256, (12, 20, 3), dtype=np.uint8)
    small = reduced(ColorImage(colors), 3 * 5)
    means = srgb_to_linear(colors / 255).reshape(3, 4, 5, 4, 3).mean(axis=(1, 3))
    np.testing.assert_allclose(small.colors, 255 * linear_to_srgb(means), atol=0.51)


def test_what_is_transparent_does_not_color_its_neighbours():
    colors = np.array([[[200, 10, 10], [0, 255, 0]]], dtype=np.uint8).repeat(2, axis=0)
    alpha = np.array([[255, 0], [255, 0]], dtype=np.uint8)
    small = reduced(ColorImage(colors, alpha), 1)
    assert small.colors.tolist() == [[[200, 10, 10]]]
    assert small.alpha.tolist() == [[128]]


def test_the_first_frame_of_stacked_frames_is_the_upper_one():
    labels = np.arange(12, dtype=np.uint8).reshape(6, 2)
    palette = np.zeros((12, 3), dtype=np.uint8)
    np.testing.assert_array_equal(first_frame(IndexedImage(labels, palette, labels), 2).labels, labels[:2])
    colors = np.arange(36, dtype=np.uint8).reshape(6, 2, 3)
    np.testing.assert_array_equal(
        first_frame(ColorImage(colors, labels), 2).pixels, ColorImage(colors, labels).pixels[:2]
    )


@pytest.mark.parametrize("n_colors", [5, 300])
def test_an_embedded_indexed_image_has_exactly_its_pixels(n_colors):
    rng = np.random.default_rng(0)
    image = IndexedImage(
        rng.integers(0, n_colors, (300, 400)).astype(np.uint16), rng.integers(0, 256, (n_colors, 3), dtype=np.uint8)
    )
    embedded = embed(image, 10**6)
    assert embedded.is_lossless
    assert not embedded.is_reduced
    np.testing.assert_array_equal(np.asarray(decoded(embedded).convert("RGB")), image.pixels)


def test_true_color_is_exact_if_it_is_small_or_asked_for_and_a_jpeg_otherwise():
    colors = np.random.default_rng(0).integers(0, 256, (300, 400, 3), dtype=np.uint8)
    for image, lossless in ((colors[:100, :100], False), (colors, True)):
        embedded = embed(ColorImage(image), 10**6, lossless=lossless)
        assert embedded.is_lossless
        np.testing.assert_array_equal(np.asarray(decoded(embedded)), image)
    embedded = embed(ColorImage(colors), 60_000 * 2)
    assert not embedded.is_lossless
    assert decoded(embedded).format == "JPEG"
    assert embed(ColorImage(colors), 70_000).is_reduced


@pytest.mark.parametrize("shape", [(400, 600, 3), (600, 400, 4), (1, 5000, 3), (5000, 1, 3), (3, 2, 3), (1, 1, 4)])
def test_a_thumbnail_fits_a_square_and_takes_few_bytes(shape):
    pixels = np.random.default_rng(0).integers(0, 256, shape, dtype=np.uint8)
    thumbnail = embed_thumbnail(pixels, 80)
    assert min(thumbnail.width, thumbnail.height) >= 1
    assert max(thumbnail.width, thumbnail.height) <= 80
    assert decoded(thumbnail).size == (thumbnail.width, thumbnail.height)
