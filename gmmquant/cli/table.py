"""The record as a person reads it in a terminal: a heading, a table of fits, swatches of the palette."""

from __future__ import annotations

import io
from collections.abc import Mapping, Sequence
from typing import TextIO

from rich import box
from rich.console import Console
from rich.table import Table
from rich.text import Text

from gmmquant.cli.printable import printable
from gmmquant.report.record import Record
from gmmquant.settings import CHANNELS, SPACE_TITLES

# Columns where the output is no terminal: the table is some 100 wide, and a file has no edge.
_WIDTH_OF_FILES = 120

# Lines of swatches at most, and the room on the last of them for how many more there are.
_LINES, _ROOM_FOR_REST = 6, 6

# The narrowest and the widest line of swatches.
_SWATCHES = (8, 32)

# Columns that a narrow terminal does without, the first to go first.
_OPTIONAL = ("AIC", "log-lik.\ntotal", "sec-\nonds", "ICL", "BIC", "con-\nverged")


def render(record: Record, name: str, stream: TextIO, *, details: bool = False) -> str:
    """Return the text of what is shown of one image, colours included where `stream` can show them.

    Nothing is written to `stream`: its encoding, width and colours are looked at.

    Parameters
    ----------
    record : dict
    name : str
        What the image is called.
    stream : text stream
    details : bool
        Whether to list every component too.
    """
    target = Console(file=stream)
    width = target.width if target.is_terminal else _WIDTH_OF_FILES
    page = io.TextIOWrapper(io.BytesIO(), encoding=target.encoding, errors="backslashreplace")
    console = Console(file=page, force_terminal=target.is_terminal, width=width, highlight=False)
    colors = console.color_system is not None and not console.no_color
    console.print(heading(record, name))
    if manner(record):
        console.print(Text(manner(record)))
    console.print(fit_table(record, colors=colors, width=width))
    if record["choice"] is not None:
        console.print(Text(choice_line(record["choice"])))
    if details:
        for fit in record["fits"]:
            console.print(component_table(fit, colors=colors))
            console.print(Text(errors_line(fit)))
    page.seek(0)
    text = page.read()
    return text if target.is_terminal else "".join(f"{line.rstrip()}\n" for line in text.splitlines())


def heading(record: Record, name: str) -> Text:
    """Return the line that names the image, or the folder of many."""
    text = Text(printable(name), style="bold")
    if "total" in record:
        total, fitted = record["total"], record["fitted"]
        images = "1 image" if total["images"] == 1 else f"{total['images']:,} images"
        text.append(f"  {images}, {total['visible_pixels']:,} pixels", style="not bold")
        if fitted["images"] < total["images"]:
            text.append(f", fitted to {fitted['images']:,} of them", style="not bold")
        colors = f"{fitted['distinct_colors'] or fitted['cells']:,}"
        text.append(
            f", {colors} {'distinct colours' if fitted['distinct_colors'] else 'cells of colours'}", style="not bold"
        )
        return text
    image = record["image"]
    text.append(f"  {image['width']} x {image['height']}", style="not bold")
    colors = "colour" if image["distinct_colors"] == 1 else "colours"
    text.append(f", {image['distinct_colors']:,} distinct {colors}", style="not bold")
    if image["visible_pixels"] < image["pixels"]:
        text.append(f", {image['visible_pixels']:,} of {image['pixels']:,} pixels visible", style="not bold")
    if image["frames"] > 1:
        text.append(f", {image['frames']:,} frames", style="not bold")
    return text


def manner(record: Record) -> str:
    """Return what sets a run apart from the plain one: method, space, recolouring; empty of the plain one."""
    settings, parts = record["settings"], []
    fitted = [fit for fit in record["fits"] if not fit["exact"]]
    if settings["model"] is not None:
        parts.append(f"model {_name(settings['model'])}")
    if settings["palette"] is not None:
        parts.append("weights and covariances fitted to a given palette")
    if settings["method"] == "kmeans":
        parts.append("KMeans")
    if settings["space"] != "srgb":
        parts.append(f"fitted in {SPACE_TITLES[settings['space']]}, log-likelihoods of densities there")
    if settings["transfer_from"] is not None:
        parts.append(
            f"drawn in the colours of {_name(settings['transfer_from'])}; figures and palette are of the image's own "
            "mixture, the squared error is how far colours were moved"
        )
    for dither in dict.fromkeys(fit["dither"] for fit in fitted if fit["dither"] != "none"):
        part = "" if settings["strength"] == 1 else f" at {settings['strength']:g}"
        parts.append(f"dithered by {dither}{part}")
    if settings["dither"] == "none":
        ways = {"nearest": "nearest colours", "soft": "posterior mean colours"}
        parts += [ways[way] for way in dict.fromkeys(fit["recolor"] for fit in fitted) if way in ways]
    return "; ".join(parts)


def _name(path: str) -> str:
    """Return the name of a file without the folders that lead to it from the report."""
    return printable(path.rsplit("/", 1)[-1])


def errors_line(fit: Record) -> str:
    """Return the squared errors of the ways to recolour by a fit, without dithering."""
    told = ", ".join(f"{way} {error:.1f}" for way, error in fit["errors"].items())
    return f"squared error, k = {fit['k']}: {told}"


def fit_table(record: Record, *, colors: bool, width: int) -> Table:
    """Return the table of a record's fits, one row for each k; columns that do not fit `width` are left out."""
    columns = {
        "k": [
            ("auto " if fit["auto"] else "")
            + (f"{fit['k']}" if fit["k_fitted"] == fit["k"] else f"{fit['k']} ({fit['k_fitted']})")
            for fit in record["fits"]
        ],
        "log-lik.\nper pixel": [f"{fit['mean_log_likelihood']:.4f}" for fit in record["fits"]],
        "log-lik.\ntotal": [f"{fit['log_likelihood']:,.0f}" for fit in record["fits"]],
        "AIC": [f"{fit['aic']:,.0f}" for fit in record["fits"]],
        "BIC": [f"{fit['bic']:,.0f}" for fit in record["fits"]],
        "ICL": [f"{fit['icl']:,.0f}" for fit in record["fits"]],
        "itera-\ntions": [str(fit["n_iter"]) for fit in record["fits"]],
        "con-\nverged": [{True: "yes", False: "no", None: "-"}[fit["converged"]] for fit in record["fits"]],
        "squared\nerror": [f"{fit['mse']:.1f}" for fit in record["fits"]],
        "sec-\nonds": [f"{sum(fit['seconds'].values()):.2f}" for fit in record["fits"]],
    }
    narrowest, widest = _SWATCHES
    for name in _OPTIONAL:
        if _width(columns) + narrowest > width:
            del columns[name]
    per_line = min(max(width - _width(columns), narrowest), widest)
    table = _table()
    for name in columns:
        table.add_column(name, justify="right", no_wrap=True)
    table.add_column("palette", no_wrap=colors, overflow="fold")
    for row, fit in zip(zip(*columns.values(), strict=True), record["fits"], strict=True):
        table.add_row(*row, swatches(fit, per_line) if colors else hex_codes(fit))
    return table


def _width(columns: Mapping[str, Sequence[str]]) -> int:
    """Return the width of columns of text with a space on either side of each."""
    texts = ([*name.split("\n"), *cells] for name, cells in columns.items())
    return sum(max(map(len, column)) + 2 for column in texts)


def choice_line(choice: Record) -> str:
    """Return the line that explains a choice of k, with the runner-up, and what BIC would have said."""
    k, bic = choice["k"], choice["lowest_bic"]
    if choice["lowest_icl"] == 1 != k:
        gain = "though ICL is lowest at one colour: two are the fewest that are chosen"
    else:
        gain = f"the fewest colours that keep {choice['kept_gain']:.0%} of what ICL gains over one colour"
    aside = " (the most that were tried, as nearly always)" if bic == choice["path"][-1]["k"] != k else ""
    return f"auto: k = {k}, {gain}; runner-up {choice['runner_up']}; BIC is lowest at {bic}{aside}"


def component_table(fit: Record, *, colors: bool) -> Table:
    """Return the table of a fit's components."""
    table = _table()
    table.add_column(f"k = {fit['k']}")
    channels, scale = CHANNELS[fit["space"]], 255 if fit["space"] == "srgb" else 1
    for name in ("weight", "pixels", f"std. dev. of {channels}"):
        table.add_column(name, justify="right", overflow="fold")
    for component in fit["components"]:
        deviations = (scale * component["covariance"][i][i] ** 0.5 for i in range(3))
        swatch = Text("   " if colors else "", style=f"on {component['hex']}")
        table.add_row(
            swatch + Text(" " * colors + component["hex"]),
            f"{100 * component['weight']:.2f} %",
            f"{component['pixels']:,}",
            " ".join(f"{deviation:5.1f}" if scale > 1 else f"{deviation:7.4f}" for deviation in deviations),
        )
    return table


def swatches(fit: Record, per_line: int) -> Text:
    """Return the palette as colour blocks, heaviest component first, two columns wide where that fits a line."""
    colors = [component["hex"] for component in fit["components"]]
    width = 2 if 2 * len(colors) <= per_line else 1
    text = Text()
    shown = colors if len(colors) <= _LINES * per_line else colors[: _LINES * per_line - _ROOM_FOR_REST]
    for i, color in enumerate(shown):
        if i and i % per_line == 0:
            text.append("\n")
        text.append(" " * width, style=f"on {color}")
    if len(shown) < len(colors):
        text.append(f" +{len(colors) - len(shown)}")
    return text


def _table() -> Table:
    return Table(box=box.SIMPLE_HEAD, show_edge=False, pad_edge=False, collapse_padding=True, padding=(0, 1))


def hex_codes(fit: Record, most: int = 3) -> Text:
    """Return the `most` heaviest colours as hex codes, and how many more there are."""
    colors = [component["hex"] for component in fit["components"]]
    more = f" +{len(colors) - most}" if len(colors) > most else ""
    return Text(" ".join(colors[:most]) + more)
