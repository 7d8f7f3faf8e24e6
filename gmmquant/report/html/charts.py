"""Charts of a record: where each line, tick and label lies. The template `chart.svg` draws them."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from typing import NamedTuple

from gmmquant.report.html.scales import Tick, count_scale, iteration_scale, nice_scale
from gmmquant.report.numbers import decimal
from gmmquant.report.record import Record
from gmmquant.system.printable import plural

# The area of a chart in its drawing of 360 x 224 units.
LEFT, RIGHT, TOP, BOTTOM = 50, 346, 30, 180

# Width of a character of a label, in units of the drawing.
_CHARACTER = 6.2

_MEGA = 10**6

Figure = Callable[[Record], float | None]


class Mark(NamedTuple):
    """A value on a curve. `fit` is the position of its fit in the record, or None."""

    x: float
    y: float
    text: str
    fit: int | None = None


class Curve(NamedTuple):
    """A line through values; `key` names its style."""

    name: str
    key: str
    path: str
    marks: Sequence[Mark]


class Band(NamedTuple):
    """The iterations at one level. `label` is drawn, or empty if there is no room."""

    x: float
    width: float
    label: str
    text: str


class Chart(NamedTuple):
    """A chart. `description` says the same in words, for those who do not see it."""

    title: str
    description: str
    x_title: str
    y_title: str
    x_ticks: Sequence[Tick]
    y_ticks: Sequence[Tick]
    curves: Sequence[Curve]
    bands: Sequence[Band] = ()


def trace_chart(fit: Record, *, is_searched: bool = False) -> Chart | None:
    """Return the objective at the start of each level and after each iteration; None if nothing was fitted.

    `is_searched` is whether a search, which is not drawn, came before.
    """
    levels = [(part["level"], [value for value in part["objective"] if _finite(value)]) for part in fit["trace"]]
    levels = [(n_cells, values) for n_cells, values in levels if values]
    if sum(len(values) for _, values in levels) < 2:
        return None
    n_iterations = sum(len(values) - 1 for _, values in levels)
    x, x_ticks = iteration_scale(n_iterations, LEFT, RIGHT)
    y, y_ticks = nice_scale([value for _, values in levels for value in values], BOTTOM, TOP)
    curves, bands, first = [], [], 0
    for n_cells, values in levels:
        name = plural(n_cells, "cell")
        places = [(x(first + i), y(value)) for i, value in enumerate(values)]
        curves.append(Curve(name, "trace", _path(places), [Mark(*places[0], ""), Mark(*places[-1], "")]))
        last = first + len(values) - 1
        width = x(last) - x(first)
        text = f"{name}: {plural(len(values) - 1, 'iteration')}, {decimal(values[0], 4)} to {decimal(values[-1], 4)}"
        bands.append(Band(x(first), width, name if len(name) * _CHARACTER < width else "", text))
        first = last
    is_error = fit["method"] == "kmeans"
    what = "Mean squared distance" if is_error else "Objective J"
    unit = f"units of {fit['space']} squared" if is_error else "nats per pixel"
    return Chart(
        f"{what} per iteration" + (" after the search" if is_searched else ""),
        f"{what} in {unit}, at levels of {'; '.join(band.text for band in bands)}.",
        "Iteration",
        unit,
        x_ticks,
        y_ticks,
        curves,
        bands,
    )


def k_charts(fits: Sequence[Record]) -> list[Chart]:
    """Return the figures of several fits against their number of colours; none for a single number."""
    if len({fit["k"] for fit in fits}) < 2:
        return []
    values = [fit[name] for fit in fits for name in ("aic", "bic", "icl") if _finite(fit[name])]
    size = max(map(abs, values), default=0)
    unit, factor = ("millions", _MEGA) if size >= 2 * _MEGA else ("thousands", 1000) if size >= 2000 else ("", 1)

    def figure(name: str, factor: int = 1) -> Figure:
        return lambda fit: None if fit[name] is None else fit[name] / factor

    criteria = {name.upper(): (name, figure(name, factor)) for name in ("aic", "bic", "icl")}
    likelihood, error = ({"": ("single", figure(name))} for name in ("mean_log_likelihood", "mse"))
    charts = [
        _k_chart(fits, "Log-likelihood", "nats per pixel", likelihood, digits=4),
        _k_chart(fits, "Information criteria", f"{unit}, lower is better".lstrip(", "), criteria, digits=3),
        _k_chart(fits, "Squared error", "mean over pixels, squared levels of 255", error, digits=1),
    ]
    return [chart for chart in charts if chart is not None]


def _k_chart(
    fits: Sequence[Record],
    title: str,
    unit: str,
    curves: Mapping[str, tuple[str, Figure]],
    *,
    digits: int,
) -> Chart | None:
    """Return the chart of `curves`, each a key and a figure of a fit by its name."""
    # An image without a visible pixel has 0 colours, which a logarithmic axis does not show.
    order = sorted((i for i in range(len(fits)) if fits[i]["k"] > 0), key=lambda i: fits[i]["k"])
    found = {
        name: [(i, value) for i in order if (value := figure(fits[i])) is not None and _finite(value)]
        for name, (_, figure) in curves.items()
    }
    values = [value for series in found.values() for _, value in series]
    if not values:
        return None
    x, x_ticks = count_scale([fits[i]["k"] for i in order], LEFT + 12, RIGHT - 6)
    y, y_ticks = nice_scale(values, BOTTOM, TOP)
    drawn = []
    for name, series in found.items():
        marks = [
            Mark(
                x(fits[i]["k"]), y(value), f"k = {fits[i]['k']}: {name} {decimal(value, digits)}".replace("  ", " "), i
            )
            for i, value in series
        ]
        drawn.append(Curve(name, curves[name][0], _path([mark[:2] for mark in marks]), marks))
    words = "; ".join(mark.text for curve in drawn for mark in curve.marks)
    return Chart(title, f"{title} by number of colours, {unit}: {words}.", "Colours k", unit, x_ticks, y_ticks, drawn)


def _path(points: Sequence[tuple[float, float]]) -> str:
    return "M" + "L".join(f"{x:g} {y:g}" for x, y in points)


def _finite(value: float | None) -> bool:
    return value is not None and math.isfinite(value)
