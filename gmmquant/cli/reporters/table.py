"""Tables for people: a heading, a row for each k, swatches of the palette."""

from __future__ import annotations

import io
from collections.abc import Mapping, Sequence
from typing import TextIO

from rich import box
from rich.console import Console
from rich.table import Table
from rich.text import Text

from gmmquant.cli.printable import file_names, printable
from gmmquant.cli.reporters.base import Reporter
from gmmquant.report.outcome import Done, Outcome, PlannedOutcome, SharedReport
from gmmquant.report.record import Record
from gmmquant.settings import CHANNELS, SPACE_TITLES

# Width of the page where the output is not a terminal: the whole table fits.
_FILE_COLUMNS = 140

# Most lines of swatches, and the room on the last of them for the number of further colours.
_MAX_SWATCH_LINES, _MORE_COLUMNS = 6, 6

# Columns of the narrowest and of the widest line of swatches.
_SWATCH_COLUMNS = (8, 32)

# Columns that a narrow terminal drops, in this order.
_OPTIONAL = ("AIC", "log-lik.", "seconds", "ICL", "BIC", "converged")


class TableReporter(Reporter):
    """Shows the table of a single image, of images that share a mixture, or of each image if the run is verbose."""

    def add(self, outcome: Outcome | PlannedOutcome) -> str | None:
        """Return the table of an outcome and the names of its files, or the files that would be written."""
        if isinstance(outcome, PlannedOutcome):
            lines = (f"  {printable(str(path))} ({effect})\n" for path, effect in outcome.outputs.items())
            return f"{printable(str(outcome.source))}\n{''.join(lines)}"
        alone = self.n_images == 1 or self.verbose
        if isinstance(outcome, SharedReport) or (isinstance(outcome, Done) and alone and not self.shared):
            table = render(outcome.record, str(outcome.source), self.stream, details=self.verbose)
            return f"{table}wrote {file_names(outcome.written)}\n\n"
        return None


def render(record: Record, name: str, stream: TextIO, *, details: bool = False) -> str:
    """Return the text that shows a record, with colours where `stream` can show them.

    Nothing is written to `stream`. Its encoding, width and colours decide how the text looks.

    Parameters
    ----------
    record : dict
    name : str
        Name of the image, or of the folder of images that share a mixture.
    stream : text stream
    details : bool
        Whether every component is listed too.
    """
    target = Console(file=stream)
    width = target.width if target.is_terminal else _FILE_COLUMNS
    page = io.TextIOWrapper(io.BytesIO(), encoding=target.encoding, errors="backslashreplace")
    console = Console(file=page, force_terminal=target.is_terminal, width=width, highlight=False, emoji=False)
    colors = console.color_system is not None and not console.no_color
    console.print(heading(record, name))
    if summary := settings_line(record):
        console.print(Text(summary))
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


def settings_line(record: Record) -> str:
    """Return the settings that are not the defaults: method, space, recolouring; empty if all are."""
    settings, parts = record["settings"], []
    fitted = [fit for fit in record["fits"] if not fit["exact"]]
    if settings["model"] is not None:
        parts.append(f"model {_name(settings['model'])}")
    if settings["palette"] is not None:
        parts.append("fixed palette, weights and covariances fitted to it")
    if settings["method"] == "kmeans":
        parts.append("KMeans")
    if settings["space"] != "srgb":
        parts.append(f"fitted in {SPACE_TITLES[settings['space']]}, log-likelihoods of densities there")
    if settings["transfer_from"] is not None:
        parts.append(
            f"drawn in the colours of {_name(settings['transfer_from'])}; figures and palette belong to the mixture of "
            "the image, the squared error tells how far colours were moved"
        )
    for dither in dict.fromkeys(fit["dither"] for fit in fitted if fit["dither"] != "none"):
        part = "" if settings["strength"] == 1 else f" at {settings['strength']:g}"
        parts.append(f"dithered by {dither}{part}")
    if settings["dither"] == "none":
        names = {"nearest": "nearest colours", "soft": "posterior mean colours"}
        parts += [names[name] for name in dict.fromkeys(fit["recolor"] for fit in fitted) if name in names]
    return "; ".join(parts)


def _name(path: str) -> str:
    """Return the name of a file without its folders."""
    return printable(path.rsplit("/", 1)[-1])


def errors_line(fit: Record) -> str:
    """Return the squared error of each recolouring by a fit, without dithering."""
    errors = ", ".join(f"{recoloring} {error:.1f}" for recoloring, error in fit["errors"].items())
    return f"squared error, k = {fit['k']}: {errors}"


def fit_table(record: Record, *, colors: bool, width: int) -> Table:
    """Return the table of the fits, one row for each k, without the optional columns that do not fit `width`."""
    columns = {
        "k": [
            ("auto " if fit["auto"] else "")
            + (f"{fit['k']}" if fit["k_fitted"] == fit["k"] else f"{fit['k']} ({fit['k_fitted']})")
            for fit in record["fits"]
        ],
        "log-lik./px": [f"{fit['mean_log_likelihood']:.4f}" for fit in record["fits"]],
        "log-lik.": [f"{fit['log_likelihood']:,.0f}" for fit in record["fits"]],
        "AIC": [f"{fit['aic']:,.0f}" for fit in record["fits"]],
        "BIC": [f"{fit['bic']:,.0f}" for fit in record["fits"]],
        "ICL": [f"{fit['icl']:,.0f}" for fit in record["fits"]],
        "iterations": [str(fit["n_iter"]) for fit in record["fits"]],
        "converged": [{True: "yes", False: "no", None: "-"}[fit["converged"]] for fit in record["fits"]],
        "sq. error": [f"{fit['mse']:.1f}" for fit in record["fits"]],
        "seconds": [f"{sum(fit['seconds'].values()):.2f}" for fit in record["fits"]],
    }
    narrowest, widest = _SWATCH_COLUMNS
    reserved = narrowest if colors else max(len(hex_codes(fit)) for fit in record["fits"])
    for name in _OPTIONAL:
        if _width(columns) + reserved > width:
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
    return sum(max(map(len, [name, *cells])) + 2 for name, cells in columns.items())


def choice_line(choice: Record) -> str:
    """Return the line that explains a choice of k, with the runner-up and the k of the lowest BIC."""
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
    shown = (
        colors
        if len(colors) <= _MAX_SWATCH_LINES * per_line
        else colors[: _MAX_SWATCH_LINES * per_line - _MORE_COLUMNS]
    )
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
    """Return the `most` heaviest colours as hex codes, and the number of the others."""
    colors = [component["hex"] for component in fit["components"]]
    more = f" +{len(colors) - most}" if len(colors) > most else ""
    return Text(" ".join(colors[:most]) + more)
