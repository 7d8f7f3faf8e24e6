"""ColorHistogram against counting by a dictionary, and its laws."""

import math
from collections import Counter

import numpy as np
import pytest
from helpers import in_morton_order, interleaved, read_sample
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import norm, uniform

from gmmquant import ColorHistogram, ParameterError
from gmmquant.colors import histogram as histogram_module
from gmmquant.colors.morton import encode

DTYPES = [np.uint8, np.uint16]
law = settings(max_examples=40)


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
    bits = 8 * pixels.itemsize
    counted = sorted(Counter(map(tuple, pixels.tolist())).items(), key=lambda item: interleaved(item[0], bits))
    assert list(map(tuple, histogram.colors.tolist())) == [color for color, _ in counted]
    assert histogram.counts.tolist() == [count for _, count in counted]


def assert_same_histogram(one, other):
    np.testing.assert_array_equal(one.codes, other.codes)
    np.testing.assert_array_equal(one.counts, other.counts)
    assert one.codes.dtype == other.codes.dtype
    assert one.counts.dtype == other.counts.dtype == np.int64
    assert one.bit_depth == other.bit_depth


@law
@given(pixel_arrays())
def test_histogram_counts_as_a_dictionary_does_in_morton_order(pixels):
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
    order = in_morton_order(colors, 8 * pixels.itemsize)
    histogram = ColorHistogram.from_pixels(pixels)
    np.testing.assert_array_equal(histogram.colors, colors[order])
    np.testing.assert_array_equal(histogram.counts, counts[order])


def test_a_table_counts_as_sorting_does(monkeypatch):
    pixels = read_sample("cat.jpg").reshape(-1, 3)
    sorted_histogram = ColorHistogram.from_pixels(pixels)
    monkeypatch.setattr(histogram_module, "_MANY_PIXELS", 1)
    table = ColorHistogram.from_pixels(pixels)
    for name in ("codes", "counts"):
        one, other = getattr(table, name), getattr(sorted_histogram, name)
        assert one.dtype == other.dtype
        np.testing.assert_array_equal(one, other)


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
def test_mapping_the_index_of_each_colour_to_the_pixels_restores_the_pixels(pixels):
    histogram = ColorHistogram.from_pixels(pixels)
    index = histogram.to_pixels(np.arange(histogram.n_colors, dtype=np.uint16), encode(pixels))
    assert index.dtype == np.uint16
    assert index.shape == (len(pixels),)
    np.testing.assert_array_equal(histogram.colors[index], pixels)
    np.testing.assert_array_equal(np.bincount(index, minlength=histogram.n_colors), histogram.counts)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("label_dtype", [np.uint8, np.int64, np.float32])
def test_labels_keep_their_type_when_they_are_mapped_to_pixels(dtype, label_dtype):
    pixels = random_pixels(1, dtype, 50, 2)
    histogram = ColorHistogram.from_pixels(pixels)
    labels = np.arange(histogram.n_colors).astype(label_dtype)
    assert histogram.to_pixels(labels, encode(pixels)).dtype == label_dtype


@pytest.mark.parametrize("dtype", DTYPES)
def test_a_subset_of_the_pixels_can_be_labelled(dtype):
    pixels = random_pixels(2, dtype)
    histogram = ColorHistogram.from_pixels(pixels)
    labels, codes = np.arange(histogram.n_colors), encode(pixels)
    np.testing.assert_array_equal(histogram.to_pixels(labels, codes[::7]), histogram.to_pixels(labels, codes)[::7])


@law
@given(st.data(), st.sampled_from(DTYPES), st.integers(0, 3))
def test_merged_histogram_is_that_of_all_pixels_together(data, dtype, n_others):
    parts = [data.draw(pixel_arrays(dtype)) for _ in range(1 + n_others)]
    first, *others = map(ColorHistogram.from_pixels, parts)
    before = first.counts.copy()
    assert_same_histogram(first.merged(*others), ColorHistogram.from_pixels(np.concatenate(parts)))
    np.testing.assert_array_equal(first.counts, before)


@law
@given(st.data())
def test_merging_histograms_of_both_depths_is_that_of_all_pixels_with_16_bits(data):
    eight, sixteen = (data.draw(pixel_arrays(dtype)) for dtype in DTYPES)
    merged = ColorHistogram.from_pixels(eight).merged(ColorHistogram.from_pixels(sixteen))
    deep = eight.astype(np.uint16) * 257
    assert_same_histogram(merged, ColorHistogram.from_pixels(np.concatenate([deep, sixteen])))


def test_the_same_colours_with_16_bits_are_exactly_the_same_values():
    grey = np.repeat(np.arange(256, dtype=np.uint8), 3).reshape(-1, 3)
    histogram = ColorHistogram.from_pixels(grey)
    np.testing.assert_array_equal(histogram.deepened().values, histogram.values)


@pytest.mark.parametrize(("dtype", "largest"), [(np.uint8, 255), (np.uint16, 65535)])
def test_values_are_the_colours_over_the_largest_value(dtype, largest):
    pixels = random_pixels(4, dtype)
    histogram = ColorHistogram.from_pixels(pixels)
    assert histogram.largest == largest
    assert histogram.values.dtype == np.float64
    colors = np.unique(pixels, axis=0)
    np.testing.assert_array_equal(histogram.values, colors[in_morton_order(colors, histogram.bit_depth)] / largest)
    assert histogram.values.min() == 0.0
    assert histogram.values.max() == 1.0


@pytest.mark.parametrize("dtype", DTYPES)
def test_a_gaussian_of_the_rounding_variance_has_the_entropy_of_one_step(dtype):
    largest = np.iinfo(dtype).max
    variance = ColorHistogram.from_pixels(random_pixels(5, dtype)).rounding_variance
    step = uniform(0, 1 / largest)
    assert norm(scale=math.sqrt(variance)).entropy() == pytest.approx(step.entropy(), rel=1e-12)
    assert variance == pytest.approx(1 / (2 * math.pi * math.e * largest**2), rel=1e-12)


# Octrees


def octree_by_recursion(members, counts, colors, bits, depth, limit):
    """Return the lists of colours in the leaves: a cube is divided as long as it counts more than `limit`."""
    if bits == depth or sum(counts[i] for i in members) <= limit:
        return [members]
    children = {}
    for i in members:
        children.setdefault(interleaved(colors[i] >> (depth - bits - 1), bits + 1), []).append(i)
    return [
        leaf
        for _, child in sorted(children.items())
        for leaf in octree_by_recursion(child, counts, colors, bits + 1, depth, limit)
    ]


def leaves_of(histogram, limits):
    """Return for each limit the first colour of each leaf among all colours."""
    absolute, trees = np.arange(histogram.n_colors), []
    for starts in histogram.octrees(limits):
        absolute = absolute[starts]
        trees.append(absolute)
    return trees


@st.composite
def clustered_histograms(draw):
    """Draw histograms of colours that crowd, with counts of 1 to thousands."""
    rng = np.random.default_rng(draw(st.integers(0, 100_000)))
    dtype = draw(st.sampled_from(DTYPES))
    largest, n = np.iinfo(dtype).max, draw(st.integers(1, 60))
    spread = draw(st.sampled_from([0.5, 3.0, largest / 10]))
    colors = np.clip(rng.integers(0, largest, 3) + spread * rng.normal(size=(n, 3)), 0, largest).astype(dtype)
    return ColorHistogram.from_pixels(np.repeat(colors, rng.geometric(draw(st.sampled_from([0.02, 0.5])), n), axis=0))


@law
@given(clustered_histograms(), st.lists(st.integers(0, 400), min_size=1, max_size=4).map(sorted))
def test_leaves_of_an_octree_are_those_of_recursive_division(histogram, limits):
    trees = leaves_of(histogram, limits)
    assert len(trees) == len(limits)
    members = list(range(histogram.n_colors))
    for starts, limit in zip(trees, limits, strict=True):
        leaves = octree_by_recursion(
            members, histogram.counts.tolist(), histogram.colors, 0, histogram.bit_depth, limit
        )
        assert [i for leaf in leaves for i in leaf] == members
        assert starts.tolist() == [leaf[0] for leaf in leaves]


def test_siblings_that_count_just_the_limit_together_are_one_leaf():
    colors = np.array([[8, 8, 8], [8, 9, 9], [200, 0, 0]], dtype=np.uint8)
    histogram = ColorHistogram.from_pixels(np.repeat(colors, [3, 4, 9], axis=0))
    assert [tree.tolist() for tree in leaves_of(histogram, [6, 7, 15, 16])] == [[0, 1, 2], [0, 2], [0, 2], [0]]


@pytest.mark.parametrize("name", ["cat.jpg", "rocket.jpg"])
def test_leaves_of_octrees_are_light_nested_and_as_large_as_their_limit_allows(name):
    histogram = ColorHistogram.from_pixels(read_sample(name).reshape(-1, 3))
    limits = [histogram.n_pixels / share for share in (10_000, 1200, 150)]
    finer = np.arange(histogram.n_colors)
    for starts, limit in zip(leaves_of(histogram, limits), limits, strict=True):
        assert starts[0] == 0
        assert (np.diff(starts) > 0).all()
        assert np.isin(starts, finer).all()
        counts = np.add.reduceat(histogram.counts, starts)
        sizes = np.diff(starts, append=histogram.n_colors)
        assert counts.sum() == histogram.n_pixels
        assert (sizes[counts > limit] == 1).all()
        for bits in range(8):
            cubes = histogram.cubes(bits)
            whole = np.add.reduceat(histogram.counts, cubes) <= limit
            leaves = np.diff(np.searchsorted(starts, np.append(cubes, histogram.n_colors)))
            assert (leaves[whole] <= 1).all()
        finer = starts


def test_octrees_of_a_photograph_have_a_few_hundred_leaves_whatever_its_contrast():
    pixels = read_sample("cat.jpg").reshape(-1, 3)
    for dull in (pixels, pixels // 8 + 100):
        (starts,) = leaves_of(ColorHistogram.from_pixels(dull), [len(pixels) / 150])
        assert 150 <= starts.size <= 1200


@pytest.mark.parametrize("bits", [0, 1, 5, 8, 16])
@pytest.mark.parametrize("dtype", DTYPES)
def test_cubes_are_the_runs_of_colours_that_agree_in_their_first_bits(dtype, bits):
    histogram = ColorHistogram.from_pixels(random_pixels(7, dtype))
    bits = min(bits, histogram.bit_depth)
    corners = [tuple(color) for color in (histogram.colors.astype(int) >> (histogram.bit_depth - bits)).tolist()]
    starts = histogram.cubes(bits).tolist()
    assert starts == [i for i in range(len(corners)) if i == 0 or corners[i] != corners[i - 1]]
    assert len(starts) == len(set(corners))


@pytest.mark.parametrize("dtype", [np.float64, np.int32, np.int8, np.uint32, bool])
def test_pixels_of_another_type_are_refused_with_the_type_and_a_remedy(dtype):
    with pytest.raises(ParameterError, match=f"{np.dtype(dtype)} are not supported; convert them to uint8 or uint16"):
        ColorHistogram.from_pixels(np.zeros((4, 3), dtype=dtype))


@pytest.mark.parametrize("shape", [(4, 5, 3), (4,), (4, 4), (4, 1)])
def test_pixels_of_another_shape_are_refused_with_a_remedy(shape):
    with pytest.raises(ParameterError, match=r"^pixels has shape \(4.*; use \(n_pixels, 3\), or FlatImage\.from"):
        ColorHistogram.from_pixels(np.zeros(shape, dtype=np.uint8))


@pytest.mark.parametrize(
    ("pixels", "alpha", "message"),
    [
        ([[1, 2, 3]], None, r"pixels is a list; pass an array, as in np\.array\(pixels, dtype=np\.uint8\)"),
        (None, None, "pixels is a NoneType; pass an array"),
        (b"abc", None, "pixels is a bytes; pass an array"),
        (
            np.ones((2, 3), np.uint8),
            [255, 9],
            r"alpha is a list; pass an array, as in np\.array\(alpha, ",
        ),
        (np.ones((2, 3), np.uint8), np.ones(2), "alpha has type float64; use uint8 with values from 1 to 255"),
        (np.ones((2, 3), np.uint8), np.full(2, 300, np.uint16), "alpha has type uint16; use uint8"),
        (np.ones((2, 3), np.uint8), np.ones(3, np.uint8), r"alpha has shape \(3,\); use \(2,\), one value for each"),
        (np.ones((2, 3), np.uint8), np.ones((2, 1), np.uint8), r"alpha has shape \(2, 1\); use \(2,\)"),
    ],
)
def test_pixels_and_alpha_of_other_types_and_shapes_are_refused_with_a_remedy(pixels, alpha, message):
    with pytest.raises(ParameterError, match=f"^{message}"):
        ColorHistogram.from_pixels(pixels, alpha)


def test_histogram_of_no_pixels_is_empty():
    histogram = ColorHistogram.from_pixels(np.zeros((0, 3), dtype=np.uint8))
    assert (histogram.n_colors, histogram.n_pixels) == (0, 0)


@pytest.mark.parametrize("dtype", DTYPES)
def test_pixels_are_left_unchanged(dtype):
    pixels = random_pixels(6, dtype)
    locked = pixels.copy()
    locked.flags.writeable = False
    histogram = ColorHistogram.from_pixels(locked)
    codes = encode(locked)
    codes.flags.writeable = False
    before = codes.copy()
    histogram.to_pixels(np.zeros(histogram.n_colors), codes)
    ColorHistogram.from_codes(codes, histogram.bit_depth)
    np.testing.assert_array_equal(codes, before)
    np.testing.assert_array_equal(locked, pixels)


@given(st.integers(1, 60))
def test_labels_are_counted_alike_in_parts_of_any_size(part):
    rng = np.random.default_rng(part)
    histogram = ColorHistogram.from_pixels(rng.integers(0, 256, (300, 3), dtype=np.uint8))
    labels = rng.integers(0, 5, histogram.n_colors)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(histogram_module, "_CHUNK_COLORS", part)
        assert histogram.count(labels, 7).tolist() == [int(histogram.counts[labels == n].sum()) for n in range(7)]


def test_an_empty_histogram_has_no_pixels_and_adds_none():
    empty, histogram = ColorHistogram.empty(), ColorHistogram.from_pixels(np.array([[1, 2, 3]] * 4, dtype=np.uint8))
    assert (empty.n_pixels, empty.n_colors, empty.bit_depth) == (0, 0, 8)
    for merged in (empty.merged(histogram), histogram.merged(empty)):
        assert merged.colors.tolist() == [[1, 2, 3]]
        assert merged.counts.tolist() == [4]
        assert merged.codes.dtype == histogram.codes.dtype
        assert merged.counts.dtype == histogram.counts.dtype
