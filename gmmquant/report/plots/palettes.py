"""The palettes of fits as bars, with the weights as widths."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from gmmquant.report.plots.canvas import EDGE, INK, new_figure, styled
from gmmquant.report.plots.figures import Results, figures_of

if TYPE_CHECKING:
    from matplotlib.figure import Figure

_INCHES = 8.0  # width
_MIN_WIDTH_OF_TEXT = 0.09  # weight from which on a colour has room for its hex code, which takes up to 0.086
_MIN_BARS_OF_TITLE = 3  # from which on the axis has room for its whole title
_LIGHT = 0.5  # brightness above which the text on a colour is dark


def plot_palettes(results: Results) -> Figure:
    """Return a figure of the palettes: a bar for each fit, in which the width of a colour is its component's weight.

    Colours of a weight of 9 % and more show their hex codes.

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
    with styled():
        figure = new_figure(_INCHES, 0.9 + 0.5 * len(fits))
        axes = figure.subplots()
        for row, fit in enumerate(fits):
            starts = np.cumsum(fit.weights) - fit.weights
            axes.barh(
                np.full(len(fit.weights), row), fit.weights, left=starts, height=0.8, color=fit.palette, linewidth=0
            )
            axes.barh(row, fit.weights.sum(), height=0.8, fill=False, edgecolor=EDGE, linewidth=0.6)
            for start, weight, code, color in zip(starts, fit.weights, fit.hex, fit.palette, strict=True):
                if weight >= _MIN_WIDTH_OF_TEXT:
                    ink = INK if color @ (0.299, 0.587, 0.114) > _LIGHT else "white"
                    axes.text(start + weight / 2, row, code, ha="center", va="center", size=8, color=ink)
        title = "number of colours k" if len(fits) >= _MIN_BARS_OF_TITLE else "k"
        axes.set(xlim=(0, 1), ylim=(len(fits) - 0.5, -0.5), xlabel="weight", ylabel=title)
        axes.set_yticks(range(len(fits)), [fit.label for fit in fits])
        axes.tick_params(axis="y", length=0)
        axes.grid(visible=False)
        axes.spines["left"].set_visible(False)
    return figure
