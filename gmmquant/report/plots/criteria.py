"""Likelihood, criteria and error against the number of colours."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import cycle
from typing import TYPE_CHECKING, Any

from gmmquant.report.plots.canvas import COLORS, INK, new_figure, styled, widen_flat
from gmmquant.report.plots.figures import FitFigures, Results, Tried, comparable, figures_of, tried_by_auto
from gmmquant.settings import SPACE_TITLES

if TYPE_CHECKING:
    from matplotlib.figure import Figure

# Criteria of the fits to coarse cells.
_TRIED: dict[str, Any] = {"linestyle": "--", "linewidth": 1.0, "marker": ".", "markersize": 3, "alpha": 0.7}

# The largest ratio of two numbers of colours that a linear axis shows well. The axis of more is logarithmic.
_MAX_RATIO = 12

# The width of a digit and the least gap between two labels, as parts of the axis.
_DIGIT, _GAP = 0.03, 0.015

_CRITERIA = ("aic", "bic", "icl")

# Styles of the lines of several methods, spaces or images.
_LINES = ("-", ":", "-.")


def plot_criteria(results: Results) -> Figure:
    """Return a figure of the log-likelihood, the criteria and the squared error against k.

    The log-likelihood and AIC, BIC and ICL are divided by the number of visible pixels (their weight, if some are
    translucent). Of the log-likelihood more is better, of the others less. The criteria of the fits to coarse cells by
    which `auto` chose k, which only a record has, are thin dashed lines. Results of several methods, colour spaces or
    images, and other results of the same k, have lines of their own.

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
    series = comparable(figures_of(results))
    ks = [fit.k for fits in series for fit in fits]
    tried = tried_by_auto(results)
    with styled():
        figure = new_figure(10.5, 3.6)
        likelihood, criteria, error = figure.subplots(1, 3)
        for fits, name, line, color in zip(series, _names(series), cycle(_LINES), cycle(COLORS), strict=False):
            _draw(likelihood, fits, "log_likelihood", f"o{line}", color=color, label=name)
            _draw(error, fits, "mse", f"o{line}", color=color if len(series) > 1 else COLORS[6])
            for criterion, marker, of_criterion in zip(_CRITERIA, "svo", COLORS[1:], strict=False):
                label = criterion.upper() if fits is series[0] else None
                _draw(criteria, fits, criterion, f"{marker}{line}", color=of_criterion, label=label, markersize=5)
        likelihood.set(title="log-likelihood: higher is better", ylabel="nats per pixel")
        if len(series) > 1:
            likelihood.legend()
        if tried:
            for criterion, color in zip(_CRITERIA, COLORS[1:], strict=False):
                _draw(criteria, tried, criterion, color=color, **_TRIED)
            criteria.plot([], [], color=INK, label="tried by auto", **_TRIED)
        criteria.set(title="criteria: lower is better", ylabel="nats per pixel")
        criteria.legend()
        error.set(title="squared error: lower is better", ylabel="mean over pixels, levels² (0 to 255)", ylim=(0, None))
        for axes in (likelihood, criteria, error):
            if axes is not error:  # it starts at 0
                widen_flat(axes)
            _set_axis_of_k(axes, ks, [entry.k for entry in tried])
    return figure


def _draw(axes: Any, fits: Sequence[FitFigures | Tried], name: str, *marker: str, **style: Any) -> None:
    """Draw the figures called `name` against k."""
    axes.plot([fit.k for fit in fits], [getattr(fit, name) for fit in fits], *marker, **style)


def _names(series: Sequence[Sequence[FitFigures]]) -> list[str]:
    """Return the names of the lines: method and colour space, with numbers if several are the same."""
    names = [f"{fits[0].method}, {SPACE_TITLES[fits[0].space]}" for fits in series]
    return [f"{name} ({names[: i + 1].count(name)})" if names.count(name) > 1 else name for i, name in enumerate(names)]


def _set_axis_of_k(axes: Any, fitted: Sequence[int], tried: Sequence[int]) -> None:
    """Set the scale of the axis of k, and ticks at fits as far as there is room, then at numbers that auto tried."""
    distinct = sorted({*fitted, *tried})
    is_wide = distinct[-1] > _MAX_RATIO * max(distinct[0], 1) and distinct[0] > 0
    axes.set_xlabel("number of colours k" + (" (log scale)" if is_wide else ""))
    if is_wide:
        axes.set_xscale("log", base=2)
        axes.set_xlim(distinct[0] / 1.2, distinct[-1] * 1.2)
    else:
        margin = 0.05 * (distinct[-1] - distinct[0]) or 0.5
        axes.set_xlim(distinct[0] - margin, distinct[-1] + margin)
    place = axes.transLimits.transform(axes.transScale.transform([(k, 1) for k in distinct]))[:, 0]
    places, ticks = dict(zip(distinct, place, strict=True)), list[int]()
    for k in [max(fitted), *sorted(fitted), *sorted(tried)]:
        if all(abs(places[k] - places[tick]) >= _GAP + _DIGIT * len(f"{k}{tick}") / 2 for tick in ticks):
            ticks.append(k)
    axes.set_xticks(sorted(ticks), [str(k) for k in sorted(ticks)])
    axes.minorticks_off()
