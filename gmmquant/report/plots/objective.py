"""The objective at each iteration of each fit."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any

from gmmquant.report.plots.canvas import COLORS, line_colors, new_figure, styled, widen_flat
from gmmquant.report.plots.figures import FitFigures, Results, figures_of

if TYPE_CHECKING:
    from matplotlib.figure import Figure

_LABELS = {
    "gmm": "objective J, nats per pixel",
    "kmeans": "mean squared distance to a centre",
}

_MAX_TICKS = 16  # labels that the scale of many lines has room for


def plot_objective(results: Results) -> Figure:
    """Return a figure of the objective at each iteration, with a line for each fit.

    A circle is the start of a level. The cells of the next level are finer, and the objective of the same mixture
    differs on them. A search by splits and merges comes before the first iteration. Mixtures and clusters of KMeans
    have different objectives, and axes of their own.

    Parameters
    ----------
    results : QuantizedImage, record, or an iterable of them
        What `quantize` or a `Quantizer` returns, the record of a fit, or a record with several fits.

    Returns
    -------
    matplotlib.figure.Figure

    Raises
    ------
    GmmquantError
        If matplotlib is not installed, or there is no result.
    """
    fits = figures_of(results)
    methods = [method for method in _LABELS if any(fit.method == method for fit in fits)]
    with styled():
        figure = new_figure(6.4, 3.8 * len(methods))
        for axes, method in zip(figure.subplots(len(methods), squeeze=False)[:, 0], methods, strict=True):
            _draw(axes, [fit for fit in fits if fit.method == method], _LABELS[method])
    return figure


def iterations(fit: FitFigures) -> Iterator[tuple[range, tuple[float, ...]]]:
    """Yield the numbers of the iterations of each level, and the objective after each of them.

    A level starts where the one before it ends: with the same number, and the same mixture.
    """
    start = 0
    for _, objective in fit.trace:
        yield range(start, start + len(objective)), objective
        start += len(objective) - 1


def _draw(axes: Any, fits: Sequence[FitFigures], label: str) -> None:
    fits = sorted(fits, key=lambda fit: fit.k) if len(fits) > len(COLORS) else fits
    colors = line_colors(len(fits))
    for fit, color in zip(fits, colors, strict=True):
        levels = list(iterations(fit))
        x = [i for steps, _ in levels for i in steps]
        axes.plot(x, [J for _, objective in levels for J in objective], label=fit.label, color=color)
        starts = [(steps[0], objective[0]) for steps, objective in levels if objective]
        axes.plot(
            [i for i, _ in starts], [J for _, J in starts], "o", markersize=5, markerfacecolor="white", color=color
        )
    after = " after the search" if any(fit.is_searched for fit in fits) else ""
    axes.set(xlabel=f"iteration{after} (circle: start of a level)", ylabel=label)
    axes.xaxis.get_major_locator().set_params(integer=True)
    if not any(steps.stop > 1 for fit in fits for steps, _ in iterations(fit)):  # no iterations
        axes.set(xlim=(-0.5, 0.5), xticks=[0])
    widen_flat(axes)
    if len(fits) > len(COLORS):
        _draw_scale(axes, [fit.label for fit in fits], colors)
    else:
        axes.legend(title="k", loc="center left", bbox_to_anchor=(1.0, 0.5))


def _draw_scale(axes: Any, labels: Sequence[str], colors: Sequence[Any]) -> None:
    """Draw a scale of the colours of the lines, in steps of equal size, beside the axes."""
    from matplotlib.cm import ScalarMappable
    from matplotlib.colors import BoundaryNorm, ListedColormap

    edges = [number - 0.5 for number in range(len(labels) + 1)]
    shown = ScalarMappable(BoundaryNorm(edges, len(labels)), ListedColormap(list(colors)))
    scale = axes.figure.colorbar(shown, ax=axes, label="k", pad=0.02, drawedges=False)
    ticks = range(0, len(labels), -(-len(labels) // _MAX_TICKS))
    scale.set_ticks(list(ticks), labels=[labels[tick] for tick in ticks])
    scale.ax.minorticks_off()
    scale.outline.set_visible(False)
