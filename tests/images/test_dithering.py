"""Dithering: against a plain double loop, brute force and statistics, and laws of all methods."""

import numpy as np
import pytest
from helpers import read_sample
from hypothesis import given, settings
from hypothesis import strategies as st

from gmmquant import ParameterError
from gmmquant.colors.spaces import linear_to_oklab
from gmmquant.images.dithering import color_grid, error_diffusion
from gmmquant.images.dithering import ordered as ordered_module
from gmmquant.images.dithering.color_grid import ColorGrid
from gmmquant.images.dithering.error_diffusion import BAND_LINES, WARM_UP_LINES, floyd_steinberg
from gmmquant.images.dithering.masks import bayer_mask, blue_noise_mask
from gmmquant.images.dithering.mixing import same
from gmmquant.images.dithering.ordered import ordered
from gmmquant.images.dithering.pixels import Pixels, nearest_labels, order_of_colors, principal_axes
from gmmquant.images.dithering.posterior import sample_labels
from gmmquant.models.kmeans import KMeans

law = settings(max_examples=25)

GREYS = np.repeat(np.linspace(0, 1, 256)[:, np.newaxis], 3, axis=1)
BLACK_AND_WHITE = np.array([[0.0, 0, 0], [1, 1, 1]])
CORNERS = np.indices((2, 2, 2)).reshape(3, -1).T.astype(float)


def nearest_by_brute_force(values, palette):
    return ((values[:, np.newaxis] - palette) ** 2).sum(axis=-1).argmin(axis=1)


def soft_shares(values, palette):
    """Return responsibilities (K, n) that overlap, some of them very small."""
    shares = np.exp(-30 * ((values[np.newaxis] - palette[:, np.newaxis]) ** 2).sum(axis=-1))
    return shares / shares.sum(axis=0)


def in_blocks(shares, width=37):
    """Yield responsibilities (K, n) by blocks of colours, without components of negligible share."""
    for start in range(0, shares.shape[1], width):
        columns = slice(start, min(start + width, shares.shape[1]))
        components = np.flatnonzero(shares[:, columns].max(axis=1) > 1e-12)
        yield columns, components, shares[components, columns]


def by_posterior(pixels, values, palette, **options):
    return sample_labels(pixels, in_blocks(soft_shares(values, palette)), palette, **options)


def blue_noise(*arguments, seed=0, **options):
    return ordered(*arguments, blue_noise_mask(seed=seed), **options)


def bayer(*arguments, seed=0, **options):
    """Dither by a pattern that is the same for every seed."""
    return ordered(*arguments, bayer_mask(), **options)


@pytest.fixture(autouse=True)
def coarse_grid(monkeypatch):
    """Use fewer cubes, which are filled faster; no law depends on their number."""
    monkeypatch.setattr(color_grid, "_MAX_CUBES", 1 << 14)


every_method = pytest.mark.parametrize("dither", [floyd_steinberg, blue_noise, bayer, by_posterior])
to_the_original = pytest.mark.parametrize("dither", [floyd_steinberg, blue_noise, bayer])


def random_image(seed, height, width, n_colors=40, K=6):
    """Return pixels, values and a palette, all at random."""
    rng = np.random.default_rng(seed)
    values, palette = rng.random((n_colors, 3)), rng.random((K, 3))
    return Pixels(rng.integers(n_colors, size=(height, width), dtype=np.uint32)), values, palette


def photograph(name, step=1):
    """Return a sample image as pixels and values."""
    image = read_sample(name)[::step, ::step, :3]
    colors, index = np.unique(image.reshape(-1, 3), axis=0, return_inverse=True)
    return Pixels(index.reshape(image.shape[:2]).astype(np.uint32)), colors / 255


def box_means(image, size):
    """Return the means of boxes of `size` x `size` pixels of an image (height, width, 3), at every position."""
    sums = np.pad(image.cumsum(axis=0).cumsum(axis=1), ((1, 0), (1, 0), (0, 0)))
    return (sums[size:, size:] - sums[:-size, size:] - sums[size:, :-size] + sums[:-size, :-size]) / size**2


def distance_of_means(labels, palette, wanted, size=8):
    """Return the root mean square distance of local means of a dithered image from the wanted ones."""
    difference = box_means(palette[labels] - wanted, size)
    return np.sqrt((difference**2).sum(axis=-1).mean())


@pytest.mark.parametrize("seen", [same, linear_to_oklab])
@pytest.mark.parametrize("K", [2, 3, 9, 300, 1500])
@pytest.mark.parametrize("shape", ["cube", "slab", "line"])
def test_a_cube_has_the_label_of_the_colour_nearest_to_its_centre(K, shape, seen):
    rng = np.random.default_rng(K)
    spread = {"cube": np.eye(3), "slab": rng.random((3, 3)) * [[1], [1], [0.01]], "line": np.ones((3, 3)) / 3}[shape]
    palette = rng.random((K, 3)) @ spread
    grid = ColorGrid.of(palette, seen)
    assert grid.box.min() >= 0
    assert 24 <= grid.box.max() < 256
    cubes = rng.integers(np.floor(grid.box[:, 0]) + 1, size=(500, 3))
    centers = np.linalg.solve(grid.axes, (cubes + 0.5).T + grid.origin[:, np.newaxis]).T
    distances = ((seen(centers)[:, np.newaxis] - seen(palette)) ** 2).sum(axis=-1)
    labels = grid.label((cubes + 0.5).T.astype(np.float32))
    nearest = distances[np.arange(500), labels] <= distances.min(axis=1) + 1e-9
    held = (np.floor(grid.palette)[:, np.newaxis] == cubes).all(axis=-1).any(axis=0)
    assert nearest[~held].all()


def test_coordinates_keep_distances_and_a_colour_of_the_palette_its_label():
    rng = np.random.default_rng(0)
    palette = np.concatenate([rng.random((200, 3)), np.linspace(0, 1e-3, 4)[:, np.newaxis] * [1, 1, 1]])
    grid = ColorGrid.of(palette)
    here, there = grid.coordinates(palette[:100]), grid.coordinates(palette[100:200])
    ratio = np.linalg.norm(here - there, axis=0) / np.linalg.norm(palette[:100] - palette[100:200], axis=1)
    np.testing.assert_allclose(ratio, ratio[0], rtol=1e-4)
    inside = grid.inside(grid.coordinates(palette))
    np.testing.assert_array_equal(inside.T, grid.palette)
    cubes, first = np.unique(inside.astype(int), axis=1, return_index=True)
    assert 150 < cubes.shape[1] < 204
    np.testing.assert_array_equal(grid.label(inside)[first], first)


def plain_loop(grid, values, pixels, strength):
    """Diffuse errors as Floyd and Steinberg did, pixel by pixel; the grid gives the nearest label."""
    colors = grid.inside(grid.coordinates(values)).T[pixels.index]
    transposed = colors.shape[1] > colors.shape[0]
    seen = np.ones(colors.shape[:2], bool) if pixels.visible is None else pixels.visible
    if transposed:
        colors, seen = colors.transpose(1, 0, 2), seen.T
    height, width, _ = colors.shape
    labels = np.zeros((height, width), int)
    weight = [np.float32(strength / 16) * np.float32(n) for n in (5, 3, 1)]
    above = np.zeros((width, 3), np.float32)
    for y in range(height):
        step = 1 if y % 2 == 0 else -1
        errors, carried = np.zeros((width, 3), np.float32), np.zeros(3, np.float32)
        for x in range(width)[::step]:
            color = colors[y, x].copy()
            for neighbour, share in zip((x, x - step, x + step), weight, strict=True):
                color += above[neighbour] * share if 0 <= neighbour < width else np.float32(0)
            color = grid.inside((color + carried)[:, np.newaxis])
            labels[y, x] = grid.label(color)[0]
            errors[x] = (color[:, 0] - grid.palette[labels[y, x]]) * seen[y, x]
            carried = errors[x] * np.float32(strength * 7 / 16)
        above = errors
    labels[~seen] = 0
    return labels.T if transposed else labels


@pytest.mark.parametrize("shape", [(30, 20), (17, 32), (32, 1), (1, 9)])
@pytest.mark.parametrize("strength", [1.0, 0.6])
@pytest.mark.parametrize("hidden", [False, True])
@pytest.mark.parametrize("mirrored", [0, 8])
@pytest.mark.parametrize("seen", [same, linear_to_oklab])
def test_within_a_band_errors_are_diffused_as_by_a_plain_double_loop(
    monkeypatch, shape, strength, hidden, mirrored, seen
):
    monkeypatch.setattr(error_diffusion, "WARM_UP_LINES", mirrored)
    monkeypatch.setattr(error_diffusion, "_typical_errors", lambda grid, colors, draws: np.zeros_like(colors))
    pixels, values, palette = random_image(1, *shape)
    if hidden:
        pixels = Pixels(pixels.index, np.random.default_rng(2).random(shape) < 0.8)
    labels = floyd_steinberg(pixels, values, palette, seen=seen, strength=strength)
    # Lines run along the shorter side, and their mirror image is above the first.
    axis = int(shape[1] > shape[0])
    lines = np.abs(np.arange(-mirrored, shape[axis]))
    more = Pixels(pixels.index.take(lines, axis), None if not hidden else pixels.visible.take(lines, axis))
    expected = plain_loop(ColorGrid.of(palette, seen), values, more, strength).take(range(mirrored, lines.size), axis)
    np.testing.assert_array_equal(labels, expected)
    assert (labels != nearest_by_brute_force(seen(values), seen(palette))[pixels.index]).any() or 1 in shape


@pytest.mark.parametrize("grey", [1, 3, 13, 40, 64, 90, 127, 200, 253])
def test_flat_greys_have_dots_from_the_first_line_and_no_seams(grey):
    pixels = Pixels(np.full((8 * BAND_LINES, 300), grey, np.uint32))
    white = floyd_steinberg(pixels, GREYS, BLACK_AND_WHITE) == 1
    if white.shape[1] > white.shape[0]:
        white = white.T
    share = grey / 255
    assert white.mean() == pytest.approx(share, rel=0.1, abs=0.01 * min(share, 1 - share) + 3e-4)
    bands = white[: len(white) // BAND_LINES * BAND_LINES].reshape(-1, BAND_LINES, white.shape[1])
    noise = 3 * np.sqrt(share * (1 - share) / bands[:, :4].size) + 0.1 * min(share, 1 - share)
    for lines in (bands[:, :4], bands[:, -4:], bands[:1, :12]):
        assert lines.mean() == pytest.approx(share, abs=2 * noise)


def test_faint_greys_get_their_dots_from_the_random_start(monkeypatch):
    pixels = Pixels(np.full((BAND_LINES, BAND_LINES), 2, np.uint32))
    assert floyd_steinberg(pixels, GREYS, BLACK_AND_WHITE).sum() >= 4
    monkeypatch.setattr(error_diffusion, "_typical_errors", lambda grid, colors, draws: np.zeros_like(colors))
    assert floyd_steinberg(pixels, GREYS, BLACK_AND_WHITE).sum() <= 1
    assert WARM_UP_LINES % 2 == BAND_LINES % 2 == 0


def test_errors_stay_bounded_for_colours_outside_the_palette():
    index = np.repeat(np.array([255, 0], np.uint32), 100)[:, np.newaxis].repeat(60, axis=1)
    palette = np.array([[0.0, 0, 0], [0.4, 0.4, 0.4], [0.2, 0.2, 0.2]])
    labels = floyd_steinberg(Pixels(index), GREYS, palette)
    assert (labels[:100] == 1).all()
    assert (labels[102:] == 0).all()


def test_a_mask_has_every_rank_once_and_a_blue_spectrum():
    mask = blue_noise_mask(64, 3)
    np.testing.assert_array_equal(np.sort(mask, axis=None), np.arange(64 * 64))
    frequencies = np.hypot(*np.meshgrid(np.fft.fftfreq(64), np.fft.fftfreq(64)))
    for share in (0.05, 0.2, 0.5, 0.9):
        dots = mask < share * mask.size
        power = np.abs(np.fft.fft2(dots - dots.mean())) ** 2 / (dots.size * dots.var())  # 1 for white noise
        # Dots of this share have this mean distance, and there are no longer waves.
        typical = min(np.sqrt(min(share, 1 - share)), 0.5)
        assert power[(frequencies > 0) & (frequencies < 0.5 * typical)].mean() < 0.15
        assert power[frequencies > typical].mean() > 0.9
    assert (mask != blue_noise_mask(64, 4)).any()
    assert not mask.flags.writeable


@pytest.mark.parametrize("size", [1, 2, 7])
def test_a_small_mask_has_every_rank_once(size):
    np.testing.assert_array_equal(np.sort(blue_noise_mask(size), axis=None), np.arange(size * size))


@pytest.mark.parametrize("bits", range(5))
def test_the_matrix_of_bayer_has_every_rank_once_and_its_bits_are_those_of_the_position(bits):
    size = 1 << bits
    mask = bayer_mask(size)
    np.testing.assert_array_equal(np.sort(mask, axis=None), np.arange(size * size))
    y, x = np.indices((size, size))
    ranks = np.zeros((size, size), dtype=int)
    for bit in range(bits):  # the lowest bits of a position are the highest of its rank
        pair = 2 * ((x ^ y) >> bit & 1) + (y >> bit & 1)
        ranks += pair << 2 * (bits - 1 - bit)
    np.testing.assert_array_equal(mask, ranks)
    assert not mask.flags.writeable


@pytest.mark.parametrize("sixteenths", range(17))
def test_a_grey_of_sixteenths_is_a_pattern_of_period_4_in_bayer(sixteenths):
    grey = np.full((1, 3), sixteenths / 16)
    white = bayer(Pixels(np.zeros((24, 40), np.uint32)), grey, BLACK_AND_WHITE) == 1
    assert (white.reshape(6, 4, 10, 4).sum(axis=(1, 3)) == sixteenths).all()
    assert (white == np.roll(white, (4, 4), axis=(0, 1))).all()


def test_the_picks_of_a_colour_have_its_mean():
    misses, nearer = [], []
    for seed in range(200):  # in a flat triangle far from the colour, a mean may be farther away
        rng = np.random.default_rng(seed)
        palette = rng.random((int(rng.integers(2, 13)), 3))
        values = rng.dirichlet(np.ones(len(palette)), size=5) @ palette
        index = np.arange(5, dtype=np.uint32).repeat(64)[:, np.newaxis].repeat(64, axis=1)
        chosen = palette[blue_noise(Pixels(index), values, palette)].reshape(5, -1, 3)
        widest = np.linalg.norm(palette[:, np.newaxis] - palette, axis=-1).max()
        misses.extend(np.linalg.norm(chosen.mean(axis=1) - values, axis=1) / widest)
        nearest = np.linalg.norm(values[:, np.newaxis] - palette, axis=2).min(axis=1) / widest
        nearer.extend(misses[-5:] <= nearest + 1e-6)
    assert np.mean(misses) < 0.012
    assert np.quantile(misses, 0.99) < 0.12
    assert np.mean(nearer) > 0.98


@to_the_original
@pytest.mark.parametrize("palette", [CORNERS, np.indices((3, 3, 3)).reshape(3, -1).T / 2])
def test_local_means_are_those_of_the_original(dither, palette):
    pixels, values = photograph("cat.jpg", 2)
    wanted = values[pixels.index]
    plain = distance_of_means(nearest_labels(values, palette)[pixels.index], palette, wanted)
    assert distance_of_means(dither(pixels, values, palette), palette, wanted) < 0.25 * plain
    half = distance_of_means(dither(pixels, values, palette, strength=0.5), palette, wanted)
    assert 0.25 * plain < half < 0.75 * plain


@to_the_original
@pytest.mark.parametrize("grey", [3, 5, 250, 252])
def test_faint_greys_are_not_lost(dither, grey):
    labels = dither(Pixels(np.full((128, 128), grey, np.uint32)), GREYS, BLACK_AND_WHITE)
    assert labels.mean() == pytest.approx(grey / 255, abs=1 / 128)
    assert 0 < labels.mean() < 1


def test_lists_get_shorter_where_there_are_very_many_colours(monkeypatch):
    index = np.arange(256, dtype=np.uint32).repeat(64)[np.newaxis].repeat(64, axis=0)
    shares = []
    for picks in (1 << 24, 256 * 32, 1):
        monkeypatch.setattr(ordered_module, "_MAX_TOTAL_PICKS", picks)
        means = blue_noise(Pixels(index), GREYS, BLACK_AND_WHITE).reshape(64, 256, 64).mean(axis=(0, 2))
        shares.append(len(np.unique(means)))
        np.testing.assert_allclose(means, GREYS[:, 0], atol=1 / 16)
    assert shares == [65, 33, 17]


@to_the_original
@pytest.mark.parametrize("color", [[0.5, 0.5, 0.35], [0.4, 0.5, 0.3], [0.55, 0.4, 0.35]])
def test_a_colour_between_others_does_not_prevent_their_mixture(dither, color):
    palette = np.concatenate([CORNERS, [[0.5, 0.5, 0.5]]])
    labels = dither(Pixels(np.zeros((64, 64), np.uint32)), np.array([color]), palette)
    np.testing.assert_allclose(palette[labels].mean(axis=(0, 1)), color, atol=0.02)


@to_the_original
@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize("strength", [1.0, 0.9])
def test_the_mean_of_a_flat_area_is_its_colour_but_for_the_dropped_part_of_the_error(dither, seed, strength):
    rng = np.random.default_rng(seed)
    palette = rng.random((8, 3))
    color = rng.dirichlet(np.ones(8)) @ palette
    labels = dither(Pixels(np.zeros((96, 96), np.uint32)), color[np.newaxis], palette, strength=strength)
    off = np.linalg.norm(palette[labels[16:80, 16:80]].mean(axis=(0, 1)) - color)
    nearest = np.linalg.norm(palette - color, axis=1).min()
    assert off < (1 - strength) * 2 * nearest + 0.02


@to_the_original
@pytest.mark.parametrize("strength", [1.0, 0.9])
def test_an_edge_keeps_its_place(dither, strength):
    palette = np.array([0.1, 0.3, 0.7, 0.9])[:, np.newaxis] * [1.0, 1, 1]
    left, right = 0.22, 0.79
    index = (np.indices((70, 90)).sum(axis=0) > 80).astype(np.uint32)
    labels = dither(Pixels(index), np.array([[left] * 3, [right] * 3]), palette, strength=strength)
    np.testing.assert_array_equal(labels >= 2, index == 1)
    assert len(np.unique(labels)) == 4


@to_the_original
def test_a_gradient_from_black_to_white_is_even(dither):
    index = np.arange(256, dtype=np.uint32).repeat(2)[np.newaxis].repeat(128, axis=0)
    labels = dither(Pixels(index), GREYS, BLACK_AND_WHITE)
    np.testing.assert_allclose(labels.reshape(128, 32, 16).mean(axis=(0, 2)), np.arange(3.5, 256, 8) / 255, atol=0.02)


def test_local_means_of_draws_are_posterior_means():
    pixels, values = photograph("cat.jpg", 2)
    palette = KMeans(9, random_state=0).fit(values).cluster_centers_
    shares = soft_shares(values, palette)
    wanted = (shares.T @ palette)[pixels.index]
    plain = distance_of_means(shares.argmax(axis=0)[pixels.index], palette, wanted)
    drawn = by_posterior(pixels, values, palette)
    at_random = (np.random.default_rng(0).random(pixels.index.shape) > shares.cumsum(axis=0)[:, pixels.index]).sum(0)
    assert distance_of_means(drawn, palette, wanted) < 0.4 * plain
    assert distance_of_means(drawn, palette, wanted) < 0.6 * distance_of_means(at_random, palette, wanted)


@pytest.mark.parametrize("strength", [1.0, 0.3])
def test_components_are_drawn_in_proportion_to_their_shares_however_rare(strength):
    shares = np.array([[0.5, 0.49, 0.0097, 0.0003, 0.0], [0.0, 1e-5, 2e-5, 0.2, 0.79997]]).T
    index = np.arange(2, dtype=np.uint32).repeat(600)[:, np.newaxis].repeat(1000, axis=1)
    palette = np.random.default_rng(0).random((5, 3))
    labels = sample_labels(Pixels(index), in_blocks(shares, 1), palette, strength=strength, seed=5)
    for color in range(2):
        counts = np.bincount(labels[index == color], minlength=5)
        expected = strength * shares[:, color]
        expected[shares[:, color].argmax()] += 1 - strength
        expected *= counts.sum()
        assert (np.abs(counts - expected) <= 5 * np.sqrt(expected) + 1e-9).all()


def test_draws_do_not_depend_on_the_blocks_of_colours():
    pixels, values, palette = random_image(0, 80, 70, n_colors=300)
    shares = soft_shares(values, palette)
    one = sample_labels(pixels, [(slice(0, 300), np.arange(6), shares)], palette)
    for width in (1, 7, 299):
        np.testing.assert_array_equal(sample_labels(pixels, in_blocks(shares, width), palette), one)


@every_method
def test_without_strength_labels_are_the_nearest_or_most_probable(dither):
    pixels, values, palette = random_image(3, 50, 40)
    expected = nearest_by_brute_force(values, palette)[pixels.index]
    if dither is floyd_steinberg:  # at any strength, it finds the nearest in the grid
        grid = ColorGrid.of(palette)
        expected = grid.label(grid.inside(grid.coordinates(values)))[pixels.index]
    np.testing.assert_array_equal(dither(pixels, values, palette, strength=0), expected)
    assert (dither(pixels, values, palette) != expected).mean() > 0.05


@every_method
@pytest.mark.parametrize("strength", [-0.1, 1.01, float("nan")])
def test_a_strength_out_of_range_is_refused(dither, strength):
    with pytest.raises(ParameterError, match="strength"):
        dither(*random_image(3, 5, 4), strength=strength)


@pytest.mark.parametrize("frame_height", [0, 7, -10])
def test_a_frame_height_that_does_not_divide_the_height_is_refused(frame_height):
    with pytest.raises(ParameterError, match="frame_height"):
        Pixels(np.zeros((20, 3), np.uint32), frame_height=frame_height)


@every_method
def test_a_palette_of_one_colour_gives_label_0(dither):
    pixels, values, palette = random_image(4, 20, 30, K=1)
    labels = dither(pixels, values, palette)
    assert (labels.dtype, labels.shape, labels.max()) == (np.uint8, (20, 30), 0)


@every_method
@pytest.mark.parametrize(("K", "dtype"), [(256, np.uint8), (257, np.uint16)])
def test_labels_have_the_narrowest_type(dither, K, dtype):
    pixels, values, palette = random_image(4, 40, 30, n_colors=1000, K=K)
    labels = dither(pixels, values, palette)
    assert labels.dtype == dtype
    assert labels.max() > 240


@to_the_original
def test_colours_of_the_palette_keep_their_labels(dither):
    pixels, values, _ = random_image(5, 70, 60, n_colors=900)
    labels = dither(pixels, values, values[::-1].copy())
    np.testing.assert_array_equal(labels, 899 - pixels.index)
    # Also next to an area that is dithered.
    pixels, values, palette = random_image(5, 200, 60)
    values[0] = palette[2]
    pixels.index[:100] = 0
    assert (dither(pixels, values, palette)[:100] == 2).all()


@every_method
@pytest.mark.parametrize(("height", "width"), [(50, 33), (33, 70), (1, 20), (100, 1)])
def test_a_frame_is_dithered_as_it_would_be_by_itself(dither, height, width):
    pixels, values, palette = random_image(6, 3 * height, width)
    pixels.index[2 * height :] = pixels.index[:height]
    visible = np.random.default_rng(0).random(pixels.index.shape) < 0.9
    visible[2 * height :] = visible[:height]
    for seen in (None, visible):
        together = dither(Pixels(pixels.index, seen, frame_height=height), values, palette, seed=2)
        frames = [slice(frame * height, (frame + 1) * height) for frame in range(3)]
        alone = [
            dither(Pixels(pixels.index[rows], None if seen is None else seen[rows]), values, palette, seed=2)
            for rows in frames
        ]
        np.testing.assert_array_equal(together, np.concatenate(alone))
        np.testing.assert_array_equal(together[frames[0]], together[frames[2]])


@every_method
@pytest.mark.parametrize("seed", range(4))
def test_invisible_pixels_do_not_change_the_others(dither, seed):
    pixels, values, palette = random_image(seed, 70, 50)
    visible = np.random.default_rng(0).random((70, 50)) < 0.7
    other = pixels.index.copy()
    other[~visible] = 11
    labels = dither(Pixels(pixels.index, visible), values, palette)
    np.testing.assert_array_equal(labels, dither(Pixels(other, visible), values, palette))
    assert not labels[~visible].any()
    assert (labels != dither(pixels, values, palette))[visible].any() or dither is not floyd_steinberg
    assert not dither(Pixels(pixels.index, np.zeros_like(visible)), values, palette).any()


def test_errors_spread_in_an_area_of_one_alpha_as_in_an_opaque_one():
    pixels, values, palette = random_image(3, 70, 50)
    expected = floyd_steinberg(pixels, values, palette)
    for alpha in (1, 128, 255):
        veiled = Pixels(pixels.index, alpha=np.full((70, 50), alpha, np.uint8))
        np.testing.assert_array_equal(floyd_steinberg(veiled, values, palette), expected)


def test_alpha_of_0_and_255_is_visibility():
    pixels, values, palette = random_image(4, 70, 50)
    visible = np.random.default_rng(0).random((70, 50)) < 0.7
    alpha = np.where(visible, 255, 0).astype(np.uint8)
    labels = floyd_steinberg(Pixels(pixels.index, visible), values, palette)
    np.testing.assert_array_equal(floyd_steinberg(Pixels(pixels.index, visible, alpha=alpha), values, palette), labels)


def test_the_errors_of_nearly_invisible_pixels_do_not_show_in_their_neighbours():
    pixels, values, palette = random_image(5, 70, 50)
    opaque = np.random.default_rng(0).random((70, 50)) < 0.6
    alpha, other = np.where(opaque, 255, 1).astype(np.uint8), pixels.index.copy()
    other[~opaque] = 11

    def share_that_differs(alpha):
        images = [floyd_steinberg(Pixels(index, alpha=alpha), values, palette) for index in (pixels.index, other)]
        return (images[0] != images[1])[opaque].mean()

    assert share_that_differs(alpha) < 0.03
    assert share_that_differs(None) > 0.1


@every_method
def test_one_seed_gives_one_image_and_another_seed_another(dither):
    pixels, values, palette = random_image(8, 60, 80)
    first, again, other = (dither(pixels, values, palette, seed=seed) for seed in (1, 1, 2))
    np.testing.assert_array_equal(first, again)
    assert (first != other).any() == (dither is not bayer)


@to_the_original
@pytest.mark.parametrize("scale", [128.0, 2.0**-9])
def test_a_colour_space_of_another_scale_gives_the_same_labels(dither, scale):
    pixels, values, palette = random_image(9, 60, 80)
    labels = dither(pixels, values, palette)
    np.testing.assert_array_equal(dither(pixels, scale * values, scale * palette), labels)
    far = dither(pixels, 100 * values - [0, 50, 50], 100 * palette - [0, 50, 50])
    means = [box_means(palette[some], 16) for some in (labels, far)]
    np.testing.assert_allclose(*means, atol=0.15)


@law
@given(
    st.integers(1, 70), st.integers(1, 70), st.integers(1, 9), st.integers(1, 9), st.booleans(), st.integers(0, 2**32)
)
def test_any_image_gets_labels_of_the_palette(height, width, n_colors, K, grey, seed):
    pixels, values, palette = random_image(seed, height, width, n_colors, K)
    if grey:
        values, palette = values[:, :1].repeat(3, axis=1), np.round(palette[:, :1], 1).repeat(3, axis=1)
    for dither in (floyd_steinberg, blue_noise, bayer, by_posterior):
        labels = dither(pixels, values, palette, seed=seed)
        assert labels.shape == (height, width)
        assert labels.max() < K


def test_order_of_colours_is_from_dark_to_light():
    palette = np.random.default_rng(0).random((20, 1)) * [1.0, 0.9, 0.8]
    assert (np.diff(palette[order_of_colors(palette)].sum(axis=1)) > 0).all()


@pytest.mark.parametrize("direction", [(1, 2, 3), (-3, 1, 1), (-1, -2, 0.5), (1, -4, 2)])
def test_the_first_axis_points_along_the_largest_spread_with_its_largest_component_positive(direction):
    unit = np.array(direction) / np.linalg.norm(direction)
    axes = principal_axes(np.linspace(-1, 1, 9)[:, np.newaxis] * unit + np.array([0.2, 0.5, 0.1]))
    meant = unit * np.sign(unit[np.abs(unit).argmax()])
    np.testing.assert_allclose(axes[0], meant, atol=1e-12)
    np.testing.assert_allclose(axes @ axes.T, np.eye(3), atol=1e-12)
    assert (axes[np.arange(3), np.abs(axes).argmax(axis=1)] > 0).all()
