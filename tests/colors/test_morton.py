"""Morton codes against bits interleaved one by one, and the order they give."""

from itertools import pairwise

import numpy as np
import pytest
from helpers import interleaved
from hypothesis import given, settings
from hypothesis import strategies as st

from gmmquant import ParameterError
from gmmquant.colors.morton import decode, encode

DTYPES = [np.uint8, np.uint16]
law = settings(max_examples=60)


@st.composite
def pixel_arrays(draw):
    """Draw arrays of pixels with any values, the extremes among them."""
    dtype = draw(st.sampled_from(DTYPES))
    largest = int(np.iinfo(dtype).max)
    channel = st.integers(0, largest) | st.sampled_from([0, 1, largest, largest // 2, largest // 2 + 1])
    return np.array(draw(st.lists(st.tuples(channel, channel, channel), min_size=1, max_size=30)), dtype=dtype)


@law
@given(pixel_arrays())
def test_a_code_is_the_bits_of_red_green_and_blue_interleaved(pixels):
    codes = encode(pixels)
    assert codes.dtype == (np.uint32 if pixels.dtype == np.uint8 else np.uint64)
    assert codes.tolist() == [interleaved(pixel, 8 * pixels.itemsize) for pixel in pixels]


@law
@given(pixel_arrays())
def test_decoding_restores_the_channels(pixels):
    channels = decode(encode(pixels), 8 * pixels.itemsize)
    assert channels.dtype == pixels.dtype
    np.testing.assert_array_equal(channels, pixels.T)


@pytest.mark.parametrize("n", [3 * (1 << 16) + 5, (1 << 20) + 5], ids=["one thread", "several threads"])
@pytest.mark.parametrize("dtype", DTYPES)
def test_pixels_of_more_than_one_chunk_are_encoded_as_they_are_alone(dtype, n):
    pixels = np.random.default_rng(0).integers(0, np.iinfo(dtype).max + 1, (n, 3)).astype(dtype)
    codes = encode(pixels)
    np.testing.assert_array_equal(decode(codes, 8 * pixels.itemsize), pixels.T)
    for index in (0, (1 << 16) - 1, 1 << 16, (1 << 17) + 1, len(pixels) - 1):
        assert int(codes[index]) == interleaved(pixels[index], 8 * pixels.itemsize)


@pytest.mark.parametrize("dtype", DTYPES)
def test_every_value_of_a_channel_has_its_own_bits(dtype):
    bits = 8 * np.dtype(dtype).itemsize
    values = np.arange(1 << bits).astype(dtype)
    for channel in range(3):
        pixels = np.zeros((len(values), 3), dtype=dtype)
        pixels[:, channel] = values
        codes = encode(pixels)
        assert (np.diff(codes.astype(np.int64)) > 0).all()
        assert int(np.bitwise_or.reduce(codes)) == sum(1 << (3 * bit + 2 - channel) for bit in range(bits))


@pytest.mark.parametrize("dtype", DTYPES)
def test_in_ascending_order_the_colours_of_each_cube_of_an_octree_stand_together(dtype):
    depth = 8 * np.dtype(dtype).itemsize
    colors = np.random.default_rng(1).integers(0, np.iinfo(dtype).max + 1, (800, 3)).astype(dtype)
    colors = colors[np.argsort(encode(colors))].astype(int)
    for bits in range(depth + 1):
        cubes = [tuple(cube) for cube in (colors >> (depth - bits)).tolist()]
        runs = [cube for i, cube in enumerate(cubes) if i == 0 or cube != cubes[i - 1]]
        assert len(runs) == len(set(cubes))
        # Within their parent, cubes are sorted by red, then green, then blue.
        for one, next_one in pairwise(runs):
            if [c >> 1 for c in one] == [c >> 1 for c in next_one]:
                assert [c & 1 for c in one] < [c & 1 for c in next_one]


@pytest.mark.parametrize("order", ["C", "F"])
def test_strided_and_locked_pixels_are_encoded_alike(order):
    pixels = np.random.default_rng(2).integers(0, 256, (50, 6)).astype(np.uint8, order=order)
    pixels.flags.writeable = False
    view = pixels[::-2, ::-2]
    assert encode(view).tolist() == [interleaved(pixel, 8) for pixel in view]


def test_codes_of_no_pixels_are_empty():
    codes = encode(np.zeros((0, 3), dtype=np.uint16))
    assert (codes.size, codes.dtype) == (0, np.uint64)
    assert decode(codes, 16).shape == (3, 0)


@pytest.mark.parametrize("dtype", [np.float32, np.int64, np.uint32, bool])
def test_other_types_are_refused_with_a_remedy(dtype):
    with pytest.raises(ParameterError, match=f"{np.dtype(dtype)} are not supported; convert them to uint8 or uint16"):
        encode(np.zeros((2, 3), dtype=dtype))
