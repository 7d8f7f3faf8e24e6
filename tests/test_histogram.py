"""ColorHistogram against counting by a dictionary, and its laws."""

from collections import Counter

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gmmquant import ColorHistogram, ParameterError
from gmmquant.colors.histogram import pack

DTYPES = [np.uint8, np.uint16]
law = settings(deadline=None, derandomize=True, max_examples=40)


def random_pixels(seed, dtype, n=500, n_values=6):
    """Draw pixels that repeat, with the extreme values among them."""
    rng = np.random.default_rng(seed)
    largest = np.iinfo(dtype).max
    values = np.array([0, 1, largest, largest - 1, largest // 2, 77])[:n_values]
    return values[rng.integers(0, len(values), (n, 3))].astype(dtype)


@st.composite
def pixel_arrays(draw, dtype=None):
    """Draw arrays of pixels, of few values or many."""
    chosen = draw(st.sampled_from(DTYPES)) if dtype is None else dtype
    channel = st.integers(0, np.iinfo(chosen).max) if draw(st.booleans()) else st.sampled_from([0, 3, 255])
    rows = draw(st.lists(st.tuples(channel, channel, channel), min_size=1, max_size=40))
    return np.array(rows, dtype=chosen)


def assert_counts(histogram, pixels):
    counted = sorted(Counter(map(tuple, pixels.tolist())).items())
    assert list(map(tuple, histogram.colors.tolist())) == [color for color, _ in counted]
    assert histogram.counts.tolist() == [count for _, count in counted]


def assert_same_histogram(one, other):
    np.testing.assert_array_equal(one.keys, other.keys)
    np.testing.assert_array_equal(one.counts, other.counts)
    assert one.keys.dtype == other.keys.dtype
    assert one.counts.dtype == other.counts.dtype == np.int64
    assert one.bit_depth == other.bit_depth


@law
@given(pixel_arrays())
def test_histogram_counts_as_a_dictionary_does_in_ascending_order(pixels):
    histogram = ColorHistogram.from_pixels(pixels)
    assert_counts(histogram, pixels)
    assert histogram.n_pixels == len(pixels)
    assert histogram.n_colors == len(set(map(tuple, pixels.tolist())))
    assert histogram.colors.dtype == pixels.dtype
    assert histogram.bit_depth == 8 * pixels.dtype.itemsize


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("n_values", [1, 6])
def test_histogram_equals_numpy_unique(dtype, n_values):
    pixels = random_pixels(0, dtype, 5000, n_values)
    colors, counts = np.unique(pixels, axis=0, return_counts=True)
    histogram = ColorHistogram.from_pixels(pixels)
    np.testing.assert_array_equal(histogram.colors, colors)
    np.testing.assert_array_equal(histogram.counts, counts)


@law
@given(pixel_arrays(), st.integers(0, 100))
def test_order_of_the_pixels_does_not_matter(pixels, seed):
    shuffled = np.random.default_rng(seed).permutation(pixels)
    assert_same_histogram(ColorHistogram.from_pixels(shuffled), ColorHistogram.from_pixels(pixels))


@law
@given(pixel_arrays())
def test_histogram_of_the_distinct_colours_repeated_by_their_counts_is_the_histogram(pixels):
    histogram = ColorHistogram.from_pixels(pixels)
    repeated = np.repeat(histogram.colors, histogram.counts, axis=0)
    assert_same_histogram(ColorHistogram.from_pixels(repeated), histogram)


@law
@given(pixel_arrays())
def test_index_of_each_colour_brought_to_the_pixels_gives_the_pixels_back(pixels):
    histogram = ColorHistogram.from_pixels(pixels)
    index = histogram.to_pixels(np.arange(histogram.n_colors, dtype=np.uint16), pixels)
    assert index.dtype == np.uint16
    assert index.shape == (len(pixels),)
    np.testing.assert_array_equal(histogram.colors[index], pixels)
    np.testing.assert_array_equal(np.bincount(index, minlength=histogram.n_colors), histogram.counts)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("label_dtype", [np.uint8, np.int64, np.float32])
def test_labels_keep_their_type_on_the_way_to_pixels(dtype, label_dtype):
    pixels = random_pixels(1, dtype, 50, 2)
    histogram = ColorHistogram.from_pixels(pixels)
    labels = np.arange(histogram.n_colors).astype(label_dtype)
    assert histogram.to_pixels(labels, pixels).dtype == label_dtype


@pytest.mark.parametrize("dtype", DTYPES)
def test_some_of_the_pixels_can_be_labelled_alone(dtype):
    pixels = random_pixels(2, dtype)
    histogram = ColorHistogram.from_pixels(pixels)
    labels = np.arange(histogram.n_colors)
    np.testing.assert_array_equal(histogram.to_pixels(labels, pixels[::7]), histogram.to_pixels(labels, pixels)[::7])


@law
@given(st.data(), st.sampled_from(DTYPES), st.integers(0, 3))
def test_merged_histogram_is_that_of_all_pixels_together(data, dtype, n_others):
    parts = [data.draw(pixel_arrays(dtype)) for _ in range(1 + n_others)]
    first, *others = map(ColorHistogram.from_pixels, parts)
    before = first.counts.copy()
    assert_same_histogram(first.merged(*others), ColorHistogram.from_pixels(np.concatenate(parts)))
    np.testing.assert_array_equal(first.counts, before)


def test_merging_histograms_of_different_depths_is_refused_with_both_depths_and_a_remedy():
    eight, sixteen = (ColorHistogram.from_pixels(random_pixels(3, dtype)) for dtype in DTYPES)
    with pytest.raises(ParameterError, match=r"\[8, 16\] bits cannot be merged; bring the pictures to one depth"):
        eight.merged(sixteen)


@pytest.mark.parametrize(("dtype", "largest"), [(np.uint8, 255), (np.uint16, 65535)])
def test_values_are_the_colours_over_the_largest_value(dtype, largest):
    pixels = random_pixels(4, dtype)
    histogram = ColorHistogram.from_pixels(pixels)
    assert histogram.largest == largest
    assert histogram.values.dtype == np.float64
    np.testing.assert_array_equal(histogram.values, np.unique(pixels, axis=0) / largest)
    assert histogram.values.min() == 0.0
    assert histogram.values.max() == 1.0


@pytest.mark.parametrize("dtype", DTYPES)
def test_rounding_variance_is_that_of_a_uniform_error_of_one_step(dtype):
    largest = np.iinfo(dtype).max
    histogram = ColorHistogram.from_pixels(random_pixels(5, dtype))
    errors = (np.arange(10_000) + 0.5) / 10_000 - 0.5
    assert histogram.rounding_variance == pytest.approx(np.mean((errors / largest) ** 2), rel=1e-7)


@law
@given(pixel_arrays())
def test_packed_colours_are_in_the_order_of_red_then_green_then_blue(pixels):
    keys = pack(pixels)
    base = int(np.iinfo(pixels.dtype).max) + 1
    assert keys.tolist() == [(red * base + green) * base + blue for red, green, blue in pixels.tolist()]


@pytest.mark.parametrize("dtype", [np.float64, np.int32, np.int8, np.uint32, bool])
def test_pixels_of_another_type_are_refused_with_the_type_and_a_remedy(dtype):
    with pytest.raises(ParameterError, match=f"{np.dtype(dtype)} are not supported; convert them to uint8 or uint16"):
        ColorHistogram.from_pixels(np.zeros((4, 3), dtype=dtype))


def test_histogram_of_no_pixels_is_empty():
    histogram = ColorHistogram.from_pixels(np.zeros((0, 3), dtype=np.uint8))
    assert (histogram.n_colors, histogram.n_pixels) == (0, 0)


@pytest.mark.parametrize("dtype", DTYPES)
def test_pixels_are_left_unchanged(dtype):
    pixels = random_pixels(6, dtype)
    locked = pixels.copy()
    locked.flags.writeable = False
    histogram = ColorHistogram.from_pixels(locked)
    histogram.to_pixels(np.zeros(histogram.n_colors), locked)
    np.testing.assert_array_equal(locked, pixels)
