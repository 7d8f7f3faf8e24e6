"""The colours of an image as a cloud in their space, with the components as ellipsoids."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from gmmquant.colors.spaces import COLOR_SPACES
from gmmquant.errors import ParameterError
from gmmquant.images.inputs import image_input
from gmmquant.images.pixels import FlatImage
from gmmquant.models.array_validation import FloatArray
from gmmquant.report.plots.canvas import INK, new_figure, styled
from gmmquant.report.plots.figures import FitFigures, Results, figures_of
from gmmquant.system.printable import plural

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from gmmquant.images.inputs import ImageLike

N_DEVIATIONS = 2  # of the ellipsoids

_N_COLORS = 4000  # that are drawn at most
_MANY = 32  # components, from which on their rings are thin
_MAX_COLUMNS = 3
_MIN_ASPECT = 0.45  # shortest side of the box / longest
_MIN_HALF_SIDE = {"lab": 2.0}  # in units of the space; shorter ones have ticks of many digits
_MIN_HALF_SIDE_OF_UNIT = 0.02  # of the spaces with values from 0 to 1
_NARROW = 6  # multiple of these below which tick labels have more digits, and names stand further from the axes
_MORE_BINS = (5, 8)  # of an axis that would have one tick
_MARGIN = 0.08  # right of and above the axes, as a fraction of their cell
_MAX_TRIALS = 5  # of the size of the box
_MAX_EXCESS_PIXELS = 0.5

_AXES = {
    "srgb": ("red, sRGB", "green, sRGB", "blue, sRGB"),
    "linear": ("red, linear light", "green, linear light", "blue, linear light"),
    "lab": ("CIELAB L*", "a*", "b*"),
    "oklab": ("OKLab L", "a", "b"),
}


def plot_colors(results: Results, image: ImageLike | FlatImage) -> Figure:
    """Return a figure of the colours of an image in the space of the fit, with the components as ellipsoids.

    Each fit has axes of its own, which hold all points and ellipsoids of its space. The points are colours of pixels
    drawn at random, at most 4,000, always the same ones. The rings of an ellipsoid lie in the planes of its axes, 2
    standard deviations from the mean. Discs are the means, larger for a larger weight. Means and rings have the colour
    of the component in the image.

    Parameters
    ----------
    results : QuantizedImage, record, or an iterable of them
        What `quantize` or a `Quantizer` returns, the record of a fit, or a record with several fits.
    image : array, PIL image, path or FlatImage
        The original, as for `quantize`.

    Returns
    -------
    matplotlib.figure.Figure

    Raises
    ------
    GmmquantError
        If matplotlib is not installed, there is no result, or the image has no visible pixel.
    """
    fits = figures_of(results)
    colors = sampled_colors(image if isinstance(image, FlatImage) else FlatImage.from_array(image_input(image).pixels))
    n_columns = min(len(fits), _MAX_COLUMNS)
    n_rows = math.ceil(len(fits) / n_columns)
    with styled():
        # A layout engine does not see the labels of axes in three dimensions.
        figure = new_figure(4.8 * n_columns, 4.5 * n_rows, layout="none")
        right, top = 1 - _MARGIN / n_columns, 1 - _MARGIN / n_rows
        figure.subplots_adjust(left=0, right=right, bottom=0.05, top=top, wspace=_MARGIN)
        points = {space: COLOR_SPACES[space].from_srgb(colors) for space in {fit.space for fit in fits}}
        bounds = {space: _bounds(points[space], [fit for fit in fits if fit.space == space]) for space in points}
        zooms: dict[str, float] = {}
        for number, fit in enumerate(fits, start=1):
            axes = figure.add_subplot(n_rows, n_columns, number, projection="3d", computed_zorder=False)
            sides = _set_up(axes, fit, *bounds[fit.space])
            if fit.space not in zooms:  # the limits are the same for all fits in a space
                zooms[fit.space] = _fitting_zoom(axes, sides)
            axes.set_box_aspect(sides, zoom=zooms[fit.space])
            _draw(axes, fit, points[fit.space], colors)
    return figure


def sampled_colors(image: FlatImage, n_colors: int = _N_COLORS) -> FloatArray:
    """Return the colours of visible pixels drawn at random, sRGB in [0, 1], (n, 3): at most `n_colors`, each once."""
    histogram = image.histogram()
    if histogram.n_colors == 0:
        raise ParameterError("0 visible pixels cannot be plotted; pass an image with at least 1")
    weights = histogram.weights / histogram.total_weight
    drawn = np.random.default_rng(0).choice(histogram.n_colors, n_colors, p=weights)
    chosen = np.unique(drawn) if histogram.n_colors > n_colors else slice(None)
    return np.asarray(histogram.values[chosen])


def rings(
    mean: FloatArray, covariance: FloatArray, n_deviations: float = N_DEVIATIONS, n_points: int = 49
) -> Iterator[FloatArray]:
    """Yield three closed rings (n_points, 3) of an ellipsoid, one in each plane of two of its axes."""
    variances, directions = np.linalg.eigh(covariance)
    half_axes = n_deviations * np.sqrt(np.clip(variances, 0, None)) * directions
    angles = np.linspace(0, 2 * np.pi, n_points)
    circle = np.stack([np.cos(angles), np.sin(angles)], axis=1)
    for pair in ((1, 2), (0, 2), (0, 1)):
        yield mean + circle @ half_axes[:, pair].T


def _bounds(points: FloatArray, fits: Sequence[FitFigures]) -> tuple[FloatArray, FloatArray]:
    """Return the lowest and the highest corner of the box around the points and the ellipsoids of the fits."""
    low, high = points.min(axis=0), points.max(axis=0)
    for fit in fits:
        if len(fit.means):
            reach = N_DEVIATIONS * np.sqrt(np.clip(np.diagonal(fit.covariances, axis1=1, axis2=2), 0, None))
            low = np.minimum(low, (fit.means - reach).min(axis=0))
            high = np.maximum(high, (fit.means + reach).max(axis=0))
    return low, high


def _fitting_zoom(axes: Any, sides: FloatArray) -> float:
    """Return the size of the box, at most 1, at which the names of the axes lie within the cell of `axes`.

    Names keep their distance in points from the box, and no layout engine makes room for them.
    """
    cell = axes.get_position(original=True)  # `axes.bbox` is a square within it
    left, right = (axes.figure.bbox.width * x for x in (cell.x0, cell.x1 + _MARGIN * cell.width))
    bottom = axes.figure.bbox.height * (cell.y0 - _MARGIN / 2 * cell.height)
    zoom = 1.0
    for _ in range(_MAX_TRIALS):
        axes.set_box_aspect(sides, zoom=zoom)
        axes.figure.draw_without_rendering()
        names = [axis.label.get_window_extent() for axis in (axes.xaxis, axes.yaxis, axes.zaxis)]
        excess = max(max(n.x1 - right, left - n.x0, bottom - n.y0) for n in names)
        if excess <= _MAX_EXCESS_PIXELS:
            break
        zoom *= 1 - 2.2 * excess / (right - left)
    return zoom


def _set_up(axes: Any, fit: FitFigures, low: FloatArray, high: FloatArray) -> FloatArray:
    """Give axes their texts, limits around what lies between `low` and `high`, and ticks; return the sides of the box.

    Ellipsoids may reach out of the gamut, where numbers have no meaning and no ticks.
    """
    n_fitted = len(fit.means)
    title = f"k = {fit.label}" + (f", {plural(n_fitted, 'colour')}" if n_fitted != fit.k else "")
    axes.set(title=title, **dict(zip(("xlabel", "ylabel", "zlabel"), _AXES[fit.space], strict=True)))
    # One scale for all axes, as lengths and angles mean something.
    center, half = (low + high) / 2, (high - low) / 2
    shortest = _MIN_HALF_SIDE.get(fit.space, _MIN_HALF_SIDE_OF_UNIT)
    half = 1.05 * np.maximum(half, max(_MIN_ASPECT * half.max(), shortest))
    axes.set(**{f"{name}lim": (c - h, c + h) for name, c, h in zip("xyz", center, half, strict=True)})
    axes.xaxis.labelpad = 9
    is_narrow = half.max() < _NARROW * shortest
    if is_narrow:
        axes.yaxis.labelpad = axes.zaxis.labelpad = 11
    space = COLOR_SPACES[fit.space]
    for axis, extent, least, most in zip(
        (axes.xaxis, axes.yaxis, axes.zaxis), half, space.low, space.high, strict=True
    ):
        start, stop = axis.get_view_interval()
        for n_bins in (3 if is_narrow or extent < 0.6 * half.max() else 5, *_MORE_BINS):
            axis.get_major_locator().set_params(nbins=n_bins)
            ticks = [tick for tick in axis.get_majorticklocs() if max(least, start) <= tick <= min(most, stop)]
            if len(ticks) > 1:
                break
        axis.set_ticks(ticks)
    axes.view_init(elev=20, azim=-60)
    for axis in (axes.xaxis, axes.yaxis, axes.zaxis):
        axis.set_pane_color("#fafafa")
    return np.asarray(half)


def _draw(axes: Any, fit: FitFigures, points: FloatArray, colors: FloatArray) -> None:
    # In vector files the points are an image, as thousands of discs would make them large and slow.
    axes.scatter(*points.T, c=colors, s=5, alpha=0.5, linewidths=0, depthshade=False, rasterized=True, zorder=1)
    many = len(fit.means) > _MANY
    for mean, covariance, color in zip(fit.means, fit.covariances, fit.palette, strict=True):
        for ring in rings(mean, covariance, n_points=25 if many else 49):
            if not many:
                axes.plot(*ring.T, color=INK, linewidth=1.7, zorder=2)
            axes.plot(*ring.T, color=tuple(color), linewidth=0.6 if many else 1.0, zorder=3)
    if len(fit.means):
        style = {"edgecolors": INK, "linewidths": 0.5 if many else 0.8, "depthshade": False, "zorder": 4}
        axes.scatter(*fit.means.T, c=fit.palette, s=12 + 160 * fit.weights, **style)
