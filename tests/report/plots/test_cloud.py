"""The plot of colours: the cloud and the ellipsoids are those of the image and of the fit, within their axes."""

import numpy as np
import pytest
from helpers import read_sample
from matplotlib.collections import Collection
from scipy.stats import multivariate_normal

from gmmquant import plot_colors, quantize
from gmmquant.colors.spaces import COLOR_SPACES
from gmmquant.images.pixels import FlatImage
from gmmquant.report.plots.cloud import rings, sampled_colors

CAT = read_sample("cat.jpg")
CHESS = np.uint8(255) * (np.indices((8, 8)).sum(axis=0) % 2).astype(np.uint8)


def colors_of(collection):
    """Return the colours of points in the order in which they were passed, (n, 3)."""
    return Collection.get_facecolor(collection)[:, :3]  # that of points in space is in the order of depth


def ellipsoid_axes(points, mean):
    """Return the directions and the lengths of the half axes of the ellipsoid through `points`, shortest first."""
    offsets = np.asarray(points) - mean
    rows, columns = np.triu_indices(3)
    quadratic = offsets[:, rows] * offsets[:, columns] * np.where(rows == columns, 1, 2)
    solution, *_ = np.linalg.lstsq(quadratic, np.ones(len(offsets)), rcond=None)
    matrix = np.empty((3, 3))
    matrix[rows, columns] = matrix[columns, rows] = solution
    inverse_squares, directions = np.linalg.eigh(matrix)
    return directions[:, ::-1], 1 / np.sqrt(inverse_squares[::-1])


@pytest.mark.parametrize("space", ["srgb", "oklab", "lab", "linear"])
def test_ellipsoids_are_two_standard_deviations_of_the_components(space):
    image = read_sample("cat.jpg")
    result = quantize(image, 3, space=space, style="likelihood")
    (axes,) = plot_colors(result, image).axes
    drawn = [np.array(line.get_data_3d()).T for line in axes.lines]
    assert len(drawn) == 3 * 3 * 2
    for number, (mean, covariance) in enumerate(zip(result.means, result.covariances, strict=True)):
        ring_points = np.concatenate(drawn[6 * number : 6 * number + 6])
        directions, lengths = ellipsoid_axes(ring_points, mean)
        variances, expected = np.linalg.eigh(covariance)
        np.testing.assert_allclose(lengths, 2 * np.sqrt(variances), rtol=1e-6)
        np.testing.assert_allclose(np.abs((directions * expected).sum(axis=0)), 1, rtol=1e-6)
    means = axes.collections[-1]
    np.testing.assert_allclose(np.transpose(means._offsets3d), result.means, rtol=1e-12)
    np.testing.assert_allclose(colors_of(means), result.palette / 255, atol=1e-9)


@pytest.mark.parametrize("space", ["srgb", pytest.param("lab", marks=pytest.mark.slow), "oklab"])
@pytest.mark.parametrize(("image", "k"), [(CAT, 300), (CHESS, 1), (CAT[:1, :1], 1)], ids=["cat", "chess", "pixel"])
def test_the_axes_hold_every_component_that_is_drawn_and_have_ticks_where_colours_are(space, image, k):
    result = quantize(image, k, space=space)
    (axes,) = plot_colors(result, image).axes
    limits = np.transpose([axes.get_xlim(), axes.get_ylim(), axes.get_zlim()])
    drawn = np.concatenate([np.transpose(line.get_data_3d()) for line in axes.lines])
    for points in (drawn, np.transpose(axes.collections[0]._offsets3d), result.means):
        assert (limits[0] <= points).all()
        assert (points <= limits[1]).all()
    axes.figure.draw_without_rendering()
    gamut = COLOR_SPACES[space].low, COLOR_SPACES[space].high
    for axis, view, least, most in zip((axes.xaxis, axes.yaxis, axes.zaxis), limits.T, *gamut, strict=True):
        ticks = axis.get_majorticklocs()
        assert len(ticks) > 1
        assert max(least, view[0]) <= min(ticks) < max(ticks) <= min(most, view[1])


def test_an_ellipsoid_that_reaches_out_of_the_gamut_is_within_the_axes_which_have_no_ticks_there():
    (axes,) = plot_colors(quantize(CHESS, 1), CHESS).axes
    for low, high in (axes.get_xlim(), axes.get_ylim(), axes.get_zlim()):
        assert low < -0.4
        assert high > 1.4
    assert [*axes.get_xticks()][:: len(axes.get_xticks()) - 1] == [0, 1]


def test_fits_of_one_space_have_the_same_axes():
    axes = plot_colors(quantize(CAT, [1, 7]), CAT).axes
    assert len({(each.get_xlim(), each.get_ylim(), each.get_zlim()) for each in axes}) == 1


def test_rings_hold_points_of_one_density():
    mean, covariance = np.array([0.3, 0.5, 0.2]), np.array([[4, 1, 0.5], [1, 3, 0.2], [0.5, 0.2, 1]])
    normal = multivariate_normal(mean, covariance)
    along = mean + 2 * np.sqrt(np.linalg.eigvalsh(covariance)[-1]) * np.linalg.eigh(covariance)[1][:, -1]
    for ring in rings(mean, covariance):
        np.testing.assert_allclose(normal.logpdf(ring), normal.logpdf(along), rtol=1e-9)
        np.testing.assert_allclose(ring[0], ring[-1], rtol=1e-12)


def test_the_cloud_shows_colors_of_the_image_in_the_space_of_the_fit():
    image = read_sample("cat.jpg")
    (axes,) = plot_colors(quantize(image, 2), image).axes
    points = axes.collections[0]
    assert points.get_rasterized()
    colors = np.rint(255 * np.transpose(points._offsets3d)).astype(int)
    known = {tuple(color) for color in image.reshape(-1, 3).tolist()}
    assert 1000 < len(colors) <= 4000
    assert {tuple(color) for color in colors.tolist()} <= known
    np.testing.assert_allclose(colors_of(points), colors / 255, atol=1e-9)
    assert axes.get_xlabel() == "red, sRGB"


@pytest.mark.parametrize("spaces", [["srgb"], ["oklab", "lab"], ["oklab", "lab", "srgb", "linear"]], ids=len)
@pytest.mark.parametrize("sample", ["alpha.png", "cat.jpg", "flat.png", "grey.png", "rocket.jpg"])
def test_the_names_of_the_axes_lie_within_the_figure_and_overlap_no_other_axes(sample, spaces):
    image = read_sample(sample)
    results = [quantize(image, 2, space=space) for space in spaces]
    figure = plot_colors(results, image)
    figure.draw_without_rendering()
    names = [[axis.label.get_window_extent() for axis in (a.xaxis, a.yaxis, a.zaxis)] for a in figure.axes]
    for of_axes in names:
        assert all(figure.bbox.x0 <= name.x0 < name.x1 <= figure.bbox.x1 for name in of_axes)
        assert all(figure.bbox.y0 <= name.y0 < name.y1 <= figure.bbox.y1 for name in of_axes)
    for axes, of_axes, after in zip(figure.axes, names, figure.axes[1:], strict=False):
        cell, cell_after = (each.get_position(original=True) for each in (axes, after))
        if cell.y0 == cell_after.y0:
            assert max(name.x1 for name in of_axes) <= cell_after.x0 * figure.bbox.width + 1


def test_few_colors_are_all_shown_and_transparent_ones_are_not():
    image = np.zeros((20, 20, 4), dtype=np.uint8)
    image[:10], image[10:] = (10, 20, 30, 0), (200, 100, 50, 255)
    np.testing.assert_allclose(sampled_colors(FlatImage.from_array(image)), [[200 / 255, 100 / 255, 50 / 255]])
    assert len(sampled_colors(FlatImage.from_array(read_sample("flat.png")))) == 3


def test_frequent_colors_are_shown_more_often():
    image = np.random.default_rng(0).integers(0, 256, (200, 200, 3), dtype=np.uint8)
    image[:100] = image[:1] // 2 * 2  # 200 colours of half of the pixels
    shown = np.rint(255 * sampled_colors(FlatImage.from_array(image), 500)).astype(int)
    frequent = {tuple(color) for color in image[0].tolist()}
    assert len(frequent & {tuple(color) for color in shown.tolist()}) > 0.6 * len(frequent)


@pytest.mark.parametrize("space", ["srgb", "linear", "oklab", "lab"])
def test_names_of_axes_overlap_no_numbers_on_the_cloud_of_a_single_colour(space):
    image = np.full((1, 1, 3), (127, 80, 20), np.uint8)
    figure = plot_colors(quantize(image, 1, space=space), image)
    figure.draw_without_rendering()
    (axes,) = figure.axes
    for axis in (axes.xaxis, axes.yaxis, axes.zaxis):
        name = axis.label.get_window_extent().get_points().mean(axis=0)
        low, high = axis.get_view_interval()
        shown = [tick.label1 for tick in axis.get_major_ticks() if low <= tick.get_loc() <= high]
        assert shown
        for label in shown:
            assert len(label.get_text()) <= 5
            box = label.get_window_extent()
            assert np.hypot(*(box.get_points().mean(axis=0) - name)) > 1.6 * box.height
