"""Orders of palettes against OpenCV's colour spaces; colours of a lower depth against the formulas of displays."""

from itertools import product

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gmmquant.colors.color_depth import distinct_colors, to_depth
from gmmquant.colors.palette_order import order_by_hue, order_by_luminance
from gmmquant.settings import COLOR_DEPTHS, bits_of, displayed, levels_of

CHANNELS = st.tuples(*[st.floats(0, 255)] * 3)
REDUCED = COLOR_DEPTHS[1:]


def lab_by_opencv(palette):
    return cv2.cvtColor((palette[np.newaxis] / 255).astype(np.float32), cv2.COLOR_RGB2Lab)[0]


@pytest.fixture(scope="module")
def palette():
    return np.random.default_rng(0).integers(0, 256, (60, 3), dtype=np.uint8)


def test_the_order_by_luminance_is_that_of_opencv(palette):
    lightness = lab_by_opencv(palette[order_by_luminance(palette)])[:, 0]
    assert np.diff(lightness).min() > -1e-2


def test_the_order_by_hue_has_the_greys_first_and_then_the_hue_angles_of_opencv(palette):
    greys = np.repeat(np.arange(0, 256, 51, dtype=np.uint8)[::-1, np.newaxis], 3, axis=1)
    ordered = np.concatenate([palette, greys])[order_by_hue(np.concatenate([palette, greys]))]
    lightness, a, b = lab_by_opencv(ordered).T
    n_greys = int((np.hypot(a, b) < 4).sum())
    assert n_greys >= len(greys)
    assert np.diff(lightness[:n_greys]).min() > 0
    assert np.diff(np.degrees(np.arctan2(b, a))[n_greys:] % 360).min() > -0.1


def test_red_comes_before_yellow_green_and_blue():
    named = np.array([[0, 0, 255], [0, 255, 0], [255, 0, 0], [255, 255, 0], [255, 255, 255], [0, 0, 0]], dtype=np.uint8)
    assert order_by_hue(named).tolist() == [5, 4, 2, 3, 1, 0]


@pytest.mark.parametrize("bits", range(1, 9))
def test_levels_repeat_the_bits_of_a_channel(bits):
    levels = levels_of(bits)
    assert (levels[0], levels[-1], len(levels)) == (0, 255, 1 << bits)
    assert [level >> 8 - bits for level in levels] == list(range(1 << bits))
    assert np.abs(np.array(levels) - np.arange(1 << bits) * 255 / ((1 << bits) - 1)).max() < 1


def test_rgb565_is_the_expansion_of_packed_words():
    """A display driver expands a word of 16 bits by shifts."""
    words = np.arange(1 << 16)
    red, green, blue = words >> 11, words >> 5 & 63, words & 31
    shown = np.stack([red << 3 | red >> 2, green << 2 | green >> 4, blue << 3 | blue >> 2], axis=1)
    assert np.array_equal(to_depth(shown, "rgb565"), shown)
    colors = np.random.default_rng(0).integers(0, 256, (300, 3))
    for color, nearest in zip(colors, to_depth(colors, "rgb565"), strict=True):
        distances = ((shown - color) ** 2).sum(axis=1)
        assert ((nearest.astype(int) - color) ** 2).sum() == distances.min()


@pytest.mark.parametrize("depth", COLOR_DEPTHS)
def test_a_single_color_is_shown_as_in_an_array(depth):
    colors = np.random.default_rng(1).integers(0, 256, (50, 3), dtype=np.uint8)
    for color, shown in zip(colors.tolist(), to_depth(colors, depth), strict=True):
        assert np.abs(np.array(displayed(tuple(color), depth)) - color).max() == np.abs(shown - np.array(color)).max()


@settings(max_examples=20, deadline=None)
@given(st.lists(CHANNELS, min_size=1, max_size=12), st.sampled_from(COLOR_DEPTHS), st.integers(0, 3))
def test_distinct_colors_are_those_of_the_depth_none_twice_and_each_the_nearest_that_is_free(values, depth, n_taken):
    values = np.array(values)
    taken = {tuple(color) for color in to_depth(values[:n_taken], depth).tolist()}
    colors = distinct_colors(values, depth, taken)
    used = set(taken)
    for value, color in zip(values, map(tuple, colors.tolist()), strict=True):
        assert all(level in levels_of(bits) for level, bits in zip(color, bits_of(depth), strict=True))
        assert color not in used
        channels = list(zip(bits_of(depth), value, strict=True))
        reach = 4 if depth == "rgb888" else 70
        near = [[level for level in levels_of(bits) if abs(level - x) < reach] for bits, x in channels]
        free = min(((np.array(other) - value) ** 2).sum() for other in product(*near) if other not in used)
        assert ((np.array(color) - value) ** 2).sum() == pytest.approx(free, rel=1e-9, abs=1e-9)
        used.add(color)


def test_all_colors_of_a_depth_can_be_used():
    colors = distinct_colors(np.zeros((4096, 3)), "rgb444")
    assert len(np.unique(colors, axis=0)) == 4096
    assert distinct_colors(np.zeros((1, 3)), "rgb444", map(tuple, colors.tolist())).tolist() == [[0, 0, 0]]


@pytest.mark.parametrize("order", [order_by_luminance, order_by_hue])
def test_equal_colors_stay_in_their_order(order):
    colors = np.array([[200, 30, 30], [30, 30, 200], [90, 90, 90]], dtype=np.uint8)
    numbers = np.random.default_rng(0).integers(0, 3, 300)
    first = order(colors)
    expected = np.concatenate([np.flatnonzero(numbers == number) for number in first])
    np.testing.assert_array_equal(order(colors[numbers]), expected)
