"""The objective at each iteration of each fit."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any

from gmmquant.report.plots.canvas import line_style, new_figure, styled
from gmmquant.report.plots.figures import FitFigures, Results, figures_of

if TYPE_CHECKING:
    from matplotlib.figure import Figure

_LABELS = {
    "gmm": "objective J, nats per pixel",
    "kmeans": "mean squared distance to a centre",
}


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
    for number, fit in enumerate(fits):
        style = line_style(number)
        levels = list(iterations(fit))
        x = [i for steps, _ in levels for i in steps]
        axes.plot(x, [J for _, objective in levels for J in objective], label=str(fit.k), **style)
        starts = [(steps[0], objective[0]) for steps, objective in levels if objective]
        axes.plot(*zip(*starts, strict=True), "o", markersize=5, markerfacecolor="white", color=style["color"])
    axes.set(xlabel="iteration (circle: start of a level)", ylabel=label)
    axes.xaxis.get_major_locator().set_params(integer=True)
    axes.legend(title="k", loc="center left", bbox_to_anchor=(1.0, 0.5), ncols=1 + len(fits) // 13)
