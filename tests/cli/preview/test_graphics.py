"""Sixels, the kitty protocol and half blocks: decoded, they are the labels and the palette that were shown."""

import shutil
import subprocess

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from PIL import Image
from terminal_decoders import decode_blocks, decode_sixel, kitty_images_in

from gmmquant.cli.preview.blocks import encode_blocks, nearest_of_256
from gmmquant.cli.preview.curve import curve, objectives_of
from gmmquant.cli.preview.draw import resized
from gmmquant.cli.preview.kitty import encode_kitty
from gmmquant.cli.preview.sixel import encode_sixel
from gmmquant.images.contact_sheet.scaling import panel_size
from gmmquant.images.reduced import nearest

SIZES = st.tuples(st.integers(1, 20), st.integers(1, 20))


@st.composite
def indexed(draw):
    """Labels, a palette of up to 256 colours, and which pixels are visible."""
    shape, k = draw(SIZES), draw(st.sampled_from([1, 2, 7, 256]))
    labels = draw(arrays(np.uint8, shape, elements=st.integers(0, k - 1)))
    return labels, draw(arrays(np.uint8, (k, 3))), draw(st.none() | arrays(np.bool_, shape))


@given(indexed())
@settings(max_examples=200)
def test_sixels_are_the_labels_and_the_palette_in_per_cent(image):
    labels, palette, visible = image
    indices, registers = decode_sixel(encode_sixel(labels, palette, visible))
    expected = labels.astype(int) if visible is None else np.where(visible, labels.astype(int), -1)
    assert np.array_equal(indices, expected)
    assert [registers[i] for i in range(len(palette))] == [
        tuple(int(level * 100 / 255 + 0.5) for level in color) for color in palette.tolist()
    ]


@pytest.mark.skipif(shutil.which("sixel2png") is None, reason="sixel2png not installed")
@pytest.mark.parametrize("k", [1, 2, 20, 256])
def test_another_program_decodes_sixels_to_the_same_image(k, tmp_path):
    rng = np.random.default_rng(k)
    labels = np.repeat(rng.integers(0, k, (37, 30)), 3, axis=1).astype(np.uint8)
    palette = rng.integers(0, 256, (k, 3)).astype(np.uint8)
    (tmp_path / "a.six").write_text(encode_sixel(labels, palette), encoding="ascii")
    subprocess.run(["sixel2png", "-i", tmp_path / "a.six", "-o", tmp_path / "a.png"], check=True)
    with Image.open(tmp_path / "a.png") as image:
        shown = np.asarray(image.convert("RGB")).astype(int)
    assert np.abs(shown - palette[labels]).max() <= 2  # per cent are 2.55 levels apart


def test_sixels_of_flat_areas_are_short():
    labels = np.zeros((300, 400), dtype=np.uint8)
    assert len(encode_sixel(labels, np.zeros((1, 3), dtype=np.uint8))) < 10 * 50 + 60


@pytest.mark.parametrize("n_bytes", [1, 3071, 3072, 3073, 10_000])
@pytest.mark.parametrize("columns", [None, 12])
def test_the_kitty_protocol_carries_the_file(n_bytes, columns):
    data = np.random.default_rng(n_bytes).bytes(n_bytes)
    ((controls, file),) = kitty_images_in(encode_kitty(data, columns))
    assert file == data
    assert controls["a"] == "T"
    assert (controls["f"], controls["q"], controls["C"]) == ("100", "2", "1")
    assert controls.get("c") == (None if columns is None else str(columns))


@given(arrays(np.uint8, st.tuples(st.integers(1, 9), st.integers(1, 9), st.sampled_from([3, 4]))))
def test_half_blocks_are_the_pixels_in_true_color(pixels):
    lines = encode_blocks(pixels, true_color=True)
    rows = decode_blocks(lines)
    height, width = pixels.shape[:2]
    assert len(lines) == -(-height // 2)
    for y, row in enumerate(rows):
        assert len(row) == width
        for x, code in enumerate(row):
            is_shown = y < height and (pixels.shape[2] == 3 or pixels[y, x, 3] >= 128)
            assert code == ("2;{};{};{}".format(*pixels[y, x, :3]) if is_shown else None)
    assert all(line.endswith(("\x1b[0m", " ")) for line in lines)


def test_the_256_colors_of_terminals_are_their_own_nearest():
    levels = [0, 95, 135, 175, 215, 255]
    cube = np.array([(r, g, b) for r in levels for g in levels for b in levels], dtype=np.uint8)
    assert nearest_of_256(cube).tolist() == list(range(16, 232))
    greys = np.repeat(np.arange(8, 248, 10, dtype=np.uint8), 3).reshape(-1, 3)
    assert nearest_of_256(greys).tolist() == list(range(232, 256))


@given(SIZES, SIZES)
def test_images_are_enlarged_by_whole_factors_and_fit_their_room(size, room):
    width, height = panel_size(*size, *room)
    assert width <= room[0] or width == 1
    assert height <= room[1] or height == 1
    if room[0] >= size[0] and room[1] >= size[1]:
        assert width % size[0] == height % size[1] == 0
        assert width // size[0] == height // size[1]
        assert width + size[0] > room[0] or height + size[1] > room[1]  # no larger factor fits


@given(arrays(np.uint8, SIZES), st.integers(1, 4))
def test_enlarged_labels_are_repeated(labels, factor):
    height, width = labels.shape
    enlarged = nearest(labels, height * factor, width * factor)
    assert np.array_equal(enlarged, labels.repeat(factor, 0).repeat(factor, 1))


@given(arrays(np.uint8, SIZES), SIZES)
def test_reduced_labels_are_labels_of_the_image(labels, shape):
    reduced = nearest(labels, *shape)
    assert reduced.shape == shape
    assert set(np.unique(reduced)) <= set(np.unique(labels))


def test_reduced_pixels_have_the_mean_of_the_light_of_visible_ones():
    pixels = np.zeros((2, 2, 4), dtype=np.uint8)
    pixels[0] = (200, 0, 100, 255)
    pixels[1] = (0, 255, 100, 0)
    (((*color, alpha),),) = resized(pixels, (1, 1)).tolist()
    assert color == [200, 0, 100]
    assert alpha == 128
    both = resized(np.array([[[255, 0, 7]], [[0, 0, 7]]], dtype=np.uint8), (1, 1))
    assert both.tolist() == [[[188, 0, 7]]]  # half the light of 255


@given(arrays(np.uint8, st.tuples(st.integers(1, 9), st.integers(1, 9), st.just(3))), SIZES)
def test_resized_pixels_stay_within_the_levels_of_the_image(pixels, size):
    result = resized(pixels, size)
    assert result.shape == (*size[::-1], 3)
    for channel in range(3):
        assert pixels[..., channel].min() <= result[..., channel].min()
        assert result[..., channel].max() <= pixels[..., channel].max()


def heights_of(text):
    """Return the height, 0 to 3, of the dot in each column of a braille curve."""
    heights = []
    for character in text:
        bits = ord(character) - 0x2800
        for dots in ((0x40, 0x04, 0x02, 0x01), (0x80, 0x20, 0x10, 0x08)):
            here = [height for height, bit in enumerate(dots) if bits & bit]
            assert len(here) <= 1
            heights += here
    return heights


@given(st.lists(st.floats(-1e6, 1e6), min_size=2, max_size=60), st.integers(1, 20))
def test_a_curve_rises_while_the_objective_approaches_its_last_value(values, columns):
    for monotone in (sorted(values), sorted(values, reverse=True)):
        text = curve(monotone, columns)
        heights = heights_of(text)
        assert len(text) <= columns
        assert len(heights) == min(2 * columns, len(values))
        assert heights == sorted(heights)
        assert heights[-1] == 3
        if len(heights) == len(values) and monotone[0] != monotone[-1]:
            assert heights[0] == 0


def test_a_curve_needs_two_objectives():
    assert curve([], 9) == curve([1.0], 9) == ""
    assert objectives_of([{"level": 9, "objective": [1.0, 2.0]}, {"level": 99, "objective": [3.0]}]) == [1.0, 2.0, 3.0]
