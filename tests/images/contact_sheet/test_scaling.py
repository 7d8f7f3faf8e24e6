"""Images scaled to panels: pixel for pixel, by whole factors, or by the mean of the area in linear light."""

import numpy as np
import pytest

from gmmquant.colors.spaces import linear_to_srgb, srgb_to_linear
from gmmquant.images import scaling
from gmmquant.images.contact_sheet.scaling import checkerboard, panel_size, to_panel
from gmmquant.images.scaling import resized


def random_image(height, width, n_channels=3, seed=0):
    return np.random.default_rng(seed).integers(0, 256, (height, width, n_channels), dtype=np.uint8)


def area_mean(pixels, width, height):
    """Return the mean of linear light over the area of each pixel, by the plain formula: one pixel at a time."""
    h, w = pixels.shape[:2]
    linear = srgb_to_linear(pixels / 255)
    result = np.empty((height, width, 3))
    for i in range(height):
        rows = np.clip(
            np.minimum(np.arange(h) + 1, (i + 1) * h / height) - np.maximum(np.arange(h), i * h / height), 0, 1
        )
        for j in range(width):
            columns = np.clip(
                np.minimum(np.arange(w) + 1, (j + 1) * w / width) - np.maximum(np.arange(w), j * w / width), 0, 1
            )
            share = np.outer(rows, columns)
            result[i, j] = (share[..., np.newaxis] * linear).sum(axis=(0, 1)) / share.sum()
    return 255 * linear_to_srgb(result)


@pytest.mark.parametrize(
    ("size", "room", "expected"),
    [
        ((451, 300), (600, 420), (451, 300)),
        ((32, 32), (347, 420), (320, 320)),
        ((4000, 3000), (400, 420), (400, 300)),
        ((300, 9000), (400, 420), (14, 420)),
        ((9000, 1), (400, 420), (400, 1)),
        ((1, 1), (400, 420), (400, 400)),
    ],
)
def test_a_panel_is_a_whole_multiple_of_a_small_image_and_fits_a_large_one(size, room, expected):
    assert panel_size(*size, *room) == expected


def test_an_image_of_the_size_of_its_panel_is_shown_pixel_for_pixel():
    image = random_image(30, 45)
    np.testing.assert_array_equal(to_panel(image, 45, 30), image)


def test_a_small_image_is_enlarged_to_hard_squares():
    image = random_image(4, 6)
    panel = to_panel(image, 30, 20)
    assert panel.shape == (20, 30, 3)
    for offset in range(5):
        np.testing.assert_array_equal(panel[offset::5, offset::5], image)


@pytest.mark.parametrize(("width", "height"), [(7, 5), (20, 12), (1, 1), (10, 30), (23, 11)])
@pytest.mark.parametrize("chunk", [1, 100, 1 << 20])
def test_a_large_image_is_reduced_to_the_mean_of_each_area_in_any_chunks(width, height, chunk, monkeypatch):
    monkeypatch.setattr(scaling, "_CHUNK_PIXELS", chunk)
    image = random_image(30, 23)
    np.testing.assert_allclose(resized(image, width, height), area_mean(image, width, height), atol=0.51)


def test_dithered_black_and_white_become_the_grey_of_half_the_light():
    board = np.indices((40, 40)).sum(axis=0) % 2 * np.uint8(255)
    panel = to_panel(np.repeat(board[..., np.newaxis], 3, axis=2), 10, 10)
    assert np.unique(panel).tolist() == [188]


@pytest.mark.parametrize("size", [(40, 40), (20, 20), (80, 80)])
def test_a_transparent_image_shows_the_checkerboard_and_no_hidden_color(size):
    image = random_image(40, 40, 4)
    image[..., 3] = 0
    np.testing.assert_array_equal(to_panel(image, *size), checkerboard(*size))


def test_hidden_colors_do_not_tint_the_visible_pixels_beside_them():
    image = np.zeros((40, 40, 4), dtype=np.uint8)
    image[:, ::2] = (200, 30, 60, 255)
    image[:, 1::2] = (0, 255, 0, 0)
    small = resized(image, 20, 20)
    assert np.unique(small.reshape(-1, 4), axis=0).tolist() == [[200, 30, 60, 128]]


def test_an_opaque_alpha_channel_changes_nothing():
    image = random_image(40, 30)
    opaque = np.dstack([image, np.full((40, 30), 255, np.uint8)])
    for size in ((30, 40), (60, 80), (13, 17)):
        np.testing.assert_array_equal(to_panel(opaque, *size), to_panel(image, *size))
