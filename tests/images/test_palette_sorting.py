"""Orders of a palette for PNG: the same pixels, neighbours near each other, and files that are smaller for it."""

import io
import itertools
import multiprocessing
import threading
import warnings
from dataclasses import replace

import cv2
import numpy as np
import oxipng
import pytest
from helpers import SAMPLE_IMAGES
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image
from waiting import GUARD_SECONDS

from gmmquant import quantize
from gmmquant.errors import ImageError
from gmmquant.images.encoding import palette_sorting, png, png_rows, png_trials
from gmmquant.images.encoding.encode import encode_image
from gmmquant.images.encoding.palette_entries import Entries
from gmmquant.images.recolor import IndexedImage


def entries_of(n, shape=(30, 40), seed=0):
    rng = np.random.default_rng(seed)
    labels = rng.integers(0, n, shape).astype(np.uint8)
    return Entries(labels, rng.integers(0, 256, (n, 3), dtype=np.uint8), rng.choice([0, 90, 255], n).astype(np.uint8))


def pixels_of(entries):
    return np.dstack([entries.colors[entries.labels], entries.alphas[entries.labels]])


def smooth_image(n, shape=(120, 160), seed=1):
    """Return an image whose index is a smooth surface, its palette shuffled, so that its own order is a bad one."""
    y, x = np.mgrid[: shape[0], : shape[1]] / 25
    surface = np.sin(y) + np.cos(x + y / 2) + 0.3 * np.sin(3 * x)
    levels = np.rint((surface - surface.min()) / np.ptp(surface) * (n - 1)).astype(np.intp)
    shuffled = np.random.default_rng(seed).permutation(n).astype(np.uint8)
    palette = np.random.default_rng(seed).integers(0, 256, (n, 3), dtype=np.uint8)
    return IndexedImage(shuffled[levels], palette)


@given(st.integers(1, 40), st.integers(0, 99))
@settings(max_examples=30, deadline=None)
def test_every_order_has_each_entry_once_those_with_alpha_first_and_keeps_the_pixels(n, seed):
    entries = entries_of(n, (9, 11), seed)
    for order in palette_sorting.orders(entries):
        assert sorted(order) == list(range(n))
        same = palette_sorting.reordered(entries, order)
        assert np.array_equal(pixels_of(same), pixels_of(entries))
        assert not (np.diff((same.alphas == 255).astype(int)) < 0).any()


def cost_of(order, counts):
    position = np.argsort(order)
    distance = np.rint(64 * np.sqrt(np.abs(position[:, np.newaxis] - position)))
    return (counts * distance).sum() / 2


def random_counts(n, seed):
    counts = np.random.default_rng(seed).integers(0, 50, (n, n)).astype(float)
    np.fill_diagonal(counts, 0)
    return counts + counts.T


@given(st.integers(1, 12), st.integers(0, 999))
@settings(deadline=None)
def test_no_exchange_of_two_entries_makes_an_exchanged_order_better(n, seed):
    counts = random_counts(n, seed)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(palette_sorting, "_MAX_ROUNDS", 1000)
        order = palette_sorting._exchanged(np.arange(n), counts)
    assert sorted(order) == list(range(n))
    assert cost_of(order, counts) <= cost_of(np.arange(n), counts)
    for i, j in itertools.combinations(range(n), 2):
        other = order.copy()
        other[[i, j]] = other[[j, i]]
        assert cost_of(other, counts) >= cost_of(order, counts)


@given(st.integers(1, 12), st.integers(0, 999))
@settings(deadline=None)
def test_no_move_of_an_entry_makes_a_moved_order_better(n, seed):
    counts, start = random_counts(n, seed), np.random.default_rng(seed).permutation(n)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(palette_sorting, "_MOVE_ROUNDS", 1000)
        order = palette_sorting._moved(start, counts)
    assert sorted(order) == list(range(n))
    assert cost_of(order, counts) <= cost_of(start, counts)
    for i, j in itertools.product(range(n), repeat=2):
        other = np.insert(np.delete(order, i), j, order[i])
        assert cost_of(other, counts) >= cost_of(order, counts)


def test_the_order_of_a_chain_of_neighbours_is_the_chain():
    n, chain = 6, [3, 0, 5, 1, 4, 2]
    counts = np.zeros((n, n))
    for one, other in itertools.pairwise(chain):
        counts[one, other] = counts[other, one] = 10
    assert list(palette_sorting._exchanged(palette_sorting._grown(counts), counts)) in (chain, chain[::-1])
    assert list(palette_sorting._chained(counts)) in (chain, chain[::-1])


def test_adjacent_entries_are_counted_in_both_directions():
    labels = np.array([[0, 1, 1], [2, 1, 0]], dtype=np.uint8)
    counts = palette_sorting._adjacencies(Entries(labels, np.zeros((3, 3), np.uint8), np.full(3, 255, np.uint8)))
    assert counts.tolist() == [[0, 3, 1], [3, 0, 1], [1, 1, 0]]


def test_entries_that_are_equal_or_do_not_occur_are_left_out_and_the_others_keep_their_order():
    colors = np.array([[9, 9, 9], [1, 1, 1], [9, 9, 9], [5, 5, 5], [1, 1, 1]], dtype=np.uint8)
    alphas = np.array([255, 255, 255, 255, 80], dtype=np.uint8)
    entries = Entries(np.array([[2, 1, 4, 2]], dtype=np.uint8), colors, alphas)
    kept = palette_sorting.without_needless(entries)
    assert kept.colors.tolist() == [[9, 9, 9], [1, 1, 1], [1, 1, 1]]
    assert kept.alphas.tolist() == [255, 255, 80]
    assert np.array_equal(pixels_of(kept), pixels_of(entries))


@pytest.mark.parametrize("n_colors", [2, 4, 16, 60, 256])
def test_optimizing_a_smooth_image_beats_every_filter_of_its_own_order_and_keeps_its_pixels(n_colors):
    image = smooth_image(n_colors)
    small = encode_image(image, "png", optimize=True)
    decoded = np.asarray(Image.open(io.BytesIO(small)).convert("RGB"))
    assert np.array_equal(decoded, image.pixels)
    plain = encode_image(image, "png")
    names = ("NoOp", "Sub", "Up", "Paeth", "Entropy", "Bigrams", "BigEnt")
    assert len(small) <= min(len(png_trials.compressed(plain, name, 12)) for name in names)


def drawn_image(n, shape):
    """Return flat shapes whose borders are mixed, as in a logo: few of the indices at most pixels, the others rare."""
    small = np.zeros(shape, dtype=np.uint8)
    height, width = shape
    for number, (across, down) in enumerate(((0.3, 0.4), (0.6, 0.5), (0.5, 0.75)), 1):
        center = (round(across * width), round(down * height))
        cv2.circle(small, center, height // 4, 60 * number, -1, cv2.LINE_AA)
    cv2.putText(small, "abc", (4, height - 4), cv2.FONT_HERSHEY_SIMPLEX, height / 90, 255, 1, cv2.LINE_AA)
    labels = np.round(small / 255 * (n - 1)).astype(np.uint8)
    return IndexedImage(labels, np.random.default_rng(n).integers(0, 256, (n, 3), dtype=np.uint8))


def grey_image(n, shape):
    """Return a smooth image in grey levels, which need no palette."""
    levels = np.linspace(0, 255, n).astype(np.uint8)
    return replace(smooth_image(n, shape), palette=np.repeat(levels[:, np.newaxis], 3, axis=1))


def colorful_image(n, shape):
    """Return an image of more colours than a palette holds, by its alpha."""
    image = smooth_image(n, shape)
    alpha = np.broadcast_to(np.linspace(0, 255, shape[1]).astype(np.uint8), shape)
    return replace(image, alpha=np.ascontiguousarray(alpha))


@pytest.mark.parametrize("shape", [(48, 48), (130, 160)])
@pytest.mark.parametrize("n_colors", [2, 3, 5, 16, 60, 250])
@pytest.mark.parametrize("draw", [smooth_image, drawn_image, grey_image, colorful_image])
def test_optimized_files_are_not_larger_than_by_oxipng_at_its_highest_level_of_the_same_indices(draw, n_colors, shape):
    image = draw(n_colors, shape)
    theirs = oxipng.optimize_from_memory(encode_image(image, "png"), level=6, strip=oxipng.StripChunks.all())
    small = encode_image(image, "png", optimize=True)
    assert len(small) <= len(theirs) + 12  # the mark
    assert np.array_equal(np.asarray(Image.open(io.BytesIO(small)).convert("RGBA")), rgba_of(image))


def rgba_of(image):
    return np.asarray(Image.fromarray(image.pixels).convert("RGBA"))


@pytest.mark.parametrize("name", ["alpha.png", "cutout.png", "flat.png", "grey.png", "sixteen.png"])
@pytest.mark.parametrize("k", [2, 16, 256])
def test_optimized_drawings_are_not_larger_than_by_oxipng_at_its_highest_level(name, k):
    result = quantize(SAMPLE_IMAGES / name, k)
    plain, small = io.BytesIO(), io.BytesIO()
    result.save(plain, format="png")
    result.save(small, format="png", optimize=True)
    assert len(small.getvalue()) <= len(oxipng.optimize_from_memory(plain.getvalue(), level=6))


@pytest.mark.parametrize("n_colors", [2, 16, 60])
def test_optimized_files_are_the_same_with_any_number_of_threads(monkeypatch, n_colors):
    image, files = smooth_image(n_colors), set()
    for n_threads in (1, 2, 7):
        monkeypatch.setattr(png, "n_processors", lambda n_threads=n_threads: n_threads)
        files.add(encode_image(image, "png", optimize=True))
    assert len(files) == 1


@pytest.mark.parametrize("n_colors", [16, 256])
def test_a_sample_of_a_png_has_a_quarter_of_its_rows_in_four_strips(n_colors):
    image = smooth_image(n_colors, (160, 500))
    sample = np.asarray(Image.open(io.BytesIO(png_trials._sample(encode_image(image, "png")))))
    strips = [image.labels[start : start + 10] for start in (15, 55, 95, 135)]
    assert np.array_equal(sample, np.concatenate(strips))


@pytest.mark.parametrize("shape", [(120, 160), (15, 5000)])
def test_an_image_of_few_pixels_or_rows_is_its_own_sample(shape):
    png = encode_image(smooth_image(16, shape), "png")
    assert png_trials._sample(png) == png


@pytest.mark.parametrize("optimize", [False, True])
def test_forks_of_a_process_that_has_written_a_png_write_pngs(optimize):
    image = smooth_image(40)
    own = encode_image(image, "png", optimize=optimize)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # of Python 3.12: there are threads
        with multiprocessing.get_context("fork").Pool(2) as pool:
            forks = [pool.apply_async(encode_image, (image, "png"), {"optimize": optimize}) for _ in range(3)]
            assert [fork.get(GUARD_SECONDS) for fork in forks] == [own] * 3
            pool.close()  # or it would send SIGTERM, of which its forks may have inherited a handler
            pool.join()


def test_a_palette_of_a_fixed_order_is_written_in_it():
    image = smooth_image(40)
    small = encode_image(image, "png", optimize=True, keep_order=True)
    palette = np.array(Image.open(io.BytesIO(small)).getpalette(), dtype=np.uint8).reshape(-1, 3)
    assert np.array_equal(palette, image.palette)


@pytest.mark.parametrize("limit", [0, 1 << 20])
def test_rows_compressed_by_libdeflate_or_by_zlib_are_the_same_rows(monkeypatch, limit):
    monkeypatch.setattr(png_rows, "_LIBDEFLATE_BYTES", limit)
    image = smooth_image(200, (150, 200))
    decoded = Image.open(io.BytesIO(encode_image(image, "png")))
    assert np.array_equal(np.asarray(decoded), image.labels)


def test_without_a_thread_the_smallest_file_is_refused_in_one_line(monkeypatch):
    def no_thread(thread):
        raise RuntimeError("can't start new thread")

    monkeypatch.setattr(threading.Thread, "start", no_thread)
    image = smooth_image(20)
    with pytest.raises(ImageError, match=r"^optimizing failed: can't start new thread; leave out --optimize$"):
        encode_image(image, "png", optimize=True)
    assert encode_image(image, "png")
