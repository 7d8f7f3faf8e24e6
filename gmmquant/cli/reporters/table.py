"""Tables for people: a heading, a row for each k, swatches of the palette."""

from __future__ import annotations

from io import BytesIO, TextIOWrapper
from typing import TextIO

from rich import box
from rich.console import Console
from rich.table import Table
from rich.text import Text

from gmmquant.cli.printable import file_names, printable
from gmmquant.cli.reporters.base import Reporter
from gmmquant.report.outcome import Done, Outcome, PlannedOutcome, SharedReport
from gmmquant.report.record import Record, covariances_of
from gmmquant.settings import CHANNELS, SPACE_TITLES

# Width of the output where it is not a terminal: the whole table fits.
_FILE_COLUMNS = 140

# The most lines of swatches, and the columns kept free on the last line for the number of further colours.
_MAX_SWATCH_LINES, _MORE_COLUMNS = 6, 6

# Columns of the narrowest and of the widest line of swatches.
_SWATCH_COLUMNS = (8, 32)

# Columns that a narrow terminal drops, in this order.
_OPTIONAL = ("AIC", "log-lik.", "seconds", "ICL", "BIC", "converged")


class TableReporter(Reporter):
    """Shows the table of a single image, of a shared mixture, or of each image if the run is verbose."""

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
    """Return the text that shows a record, for the encoding, width and colours of `stream`; write nothing.

    `name` is that of the image, or of the folder of images that share a mixture. `details` adds a table of components.
    """
    target = Console(file=stream)
    page = TextIOWrapper(BytesIO(), target.encoding, "backslashreplace")
    width = target.width if target.is_terminal else _FILE_COLUMNS
    console = Console(file=page, force_terminal=target.is_terminal, width=width, highlight=False, emoji=False)
    colors = console.color_system is not None and not console.no_color
    console.print(heading(record, name))
    if summary := settings_line(record):
        console.print(Text(summary))
    console.print(fit_table(record, colors=colors, width=width))
    for choice in record["choices"]:
        if choice["path"]:
            console.print(Text(choice_line(choice)))
    for fit in record["fits"] if details else ():
        console.print(component_table(fit, colors=colors))
        errors = ", ".join(f"{recoloring} {error:.1f}" for recoloring, error in fit["errors"].items())
        console.print(Text(f"squared error, k = {fit['k']}: {errors}"))
    page.seek(0)
    text = page.read()
    return text if target.is_terminal else "".join(f"{line.rstrip()}\n" for line in text.splitlines())


def heading(record: Record, name: str) -> Text:
    """Return the line with the name and size of an image, or of the folder of images that share a mixture."""
    if "total" in record:
        total, fitted = record["total"], record["fitted"]
        facts = ["1 image" if total["images"] == 1 else f"{total['images']:,} images"]
        facts.append(f"{total['visible_pixels']:,} pixels")
        if fitted["images"] < total["images"]:
            facts.append(f"fitted to {fitted['images']:,} of them")
        n_colors = fitted["distinct_colors"]
        facts.append(
            f"{n_colors:,} distinct colours" if n_colors is not None else f"{fitted['cells']:,} cells of colours"
        )
    else:
        image = record["image"]
        facts = [f"{image['width']} x {image['height']}"]
        facts.append(f"{image['distinct_colors']:,} distinct colour{'s' * (image['distinct_colors'] != 1)}")
        if image["visible_pixels"] < image["pixels"]:
            facts.append(f"{image['visible_pixels']:,} of {image['pixels']:,} pixels visible")
        if image["visible_weight"] < image["visible_pixels"]:
            facts.append(f"as visible as {image['visible_weight']:,.0f} opaque pixels")
        if image["frames"] > 1:
            facts.append(f"{image['frames']:,} frames")
    return Text(printable(name), style="bold").append(f"  {', '.join(facts)}", style="not bold")


def settings_line(record: Record) -> str:
    """Return the settings that are not the defaults: method, space, recolouring; empty if all are."""
    settings = record["settings"]
    model, source, space = settings["model"], settings["transfer_from"], settings["space"]
    parts = {
        f"model {_file_name(model)}": model,
        "fixed palette with fitted weights and covariances": settings["palette"],
        "KMeans": settings["method"] == "kmeans",
        f"fitted in {SPACE_TITLES[space]}, log-likelihoods of densities in that space": space != "srgb",
        f"colours transferred from {_file_name(source)}; figures and palette are those of the image's mixture, "
        "the squared error is the change of colours": source,
    }
    strength = "" if settings["strength"] is None else f" at {settings['strength']:g}"
    names = {} if settings["dither"] != "none" else {"nearest": "nearest colours", "soft": "posterior mean colours"}
    fitted = [fit for fit in record["fits"] if not fit["exact"]]
    parts |= {f"dithered by {fit['dither']}{strength}": True for fit in fitted if fit["dither"] != "none"}
    parts |= {names[fit["recolor"]]: True for fit in fitted if fit["recolor"] in names}
    if regions := [f"{fit['regions']:,}" for fit in fitted if "regions" in fit]:
        parts[f"smoothed at {settings['smooth']:g} into {' / '.join(regions)} regions"] = True
    return "; ".join(part for part, is_shown in parts.items() if is_shown)


def _file_name(path: str | None) -> str:
    return printable((path or "").rsplit("/", 1)[-1])


def fit_table(record: Record, *, colors: bool, width: int) -> Table:
    """Return the table of the fits, one row for each k, without the optional columns that do not fit `width`."""
    fits = record["fits"]
    rows = [_cells(fit) for fit in fits]
    widths = {name: max(len(name), *(len(row[name]) for row in rows)) + 2 for name in rows[0]}
    narrowest, widest = _SWATCH_COLUMNS
    reserved = narrowest if colors else max(len(hex_codes(fit)) for fit in fits)
    for name in _OPTIONAL:
        if sum(widths.values()) + reserved > width:
            del widths[name]
    per_line = min(max(width - sum(widths.values()), narrowest), widest)
    table = _table()
    for name in widths:
        table.add_column(name, justify="right", no_wrap=True)
    table.add_column("palette", no_wrap=colors, overflow="fold")
    for row, fit in zip(rows, fits, strict=True):
        table.add_row(*map(row.get, widths), swatches(fit, per_line) if colors else hex_codes(fit))
    return table


def _cells(fit: Record) -> dict[str, str]:
    """Return the cells of a fit's row by the names of their columns, without the palette."""
    fitted = "" if fit["k_fitted"] == fit["k"] else f" ({fit['k_fitted']})"
    return {
        "k": f"{fit['asked']} " * fit["auto"] + f"{fit['k']}{fitted}",
        "log-lik./px": "-" if fit["mean_log_likelihood"] is None else f"{fit['mean_log_likelihood']:.4f}",
        "log-lik.": f"{fit['log_likelihood']:,.0f}",
        "AIC": f"{fit['aic']:,.0f}",
        "BIC": f"{fit['bic']:,.0f}",
        "ICL": f"{fit['icl']:,.0f}",
        "iterations": str(fit["n_iter"]),
        "converged": {True: "yes", False: "no", None: "-"}[fit["converged"]],
        "sq. error": f"{fit['mse']:.1f}",
        "seconds": f"{sum(fit['seconds'].values()):.2f}",
    }


def choice_line(choice: Record) -> str:
    """Return the line that explains a choice of k: by ICL with the runner-up and the k of the lowest BIC."""
    k = choice["k"]
    if choice["criterion"] == "oklab":
        reached = f"mean OKLab difference {choice['reached']:.3g}"
        fewest = "the fewest colours" if choice["reached"] <= choice["bound"] else "the most that are tried"
        return f"{choice['asked']}: k = {k}, {fewest}; {reached}"
    bic = choice["lowest_bic"]
    if choice["lowest_icl"] == 1 != k:
        reason = "the minimum, as ICL is lowest at one colour"
    else:
        reason = f"the fewest colours that keep {choice['kept_gain']:.0%} of the gain in ICL over one colour"
    aside = " (the largest k tried, as usual)" if bic == choice["path"][-1]["k"] != k else ""
    figures = f"runner-up {choice['runner_up']}; BIC is lowest at {bic}{aside}"
    return f"auto: k = {k}, {reason}; {figures}; a statistical choice, while auto:3 bounds what the eye sees"


def component_table(fit: Record, *, colors: bool) -> Table:
    """Return the table of a fit's components, in the 0..255 units of sRGB or the units of the space."""
    table = _table()
    table.add_column(f"k = {fit['k']}")
    scale, digits = (255, "5.1f") if fit["space"] == "srgb" else (1, "7.4f")
    for name in ("weight", "pixels", f"std. dev. of {CHANNELS[fit['space']]}"):
        table.add_column(name, justify="right", overflow="fold")
    parts = fit["components"]
    for code, weight, pixels, covariance in zip(
        parts["hex"], parts["weight"], parts["pixels"], covariances_of(parts), strict=True
    ):
        deviations = scale * covariance.diagonal() ** 0.5
        table.add_row(
            Text("   " if colors else "", style=f"on {code}") + Text(" " * colors + code),
            f"{100 * weight:.2f} %",
            f"{pixels:,}",
            " ".join(f"{deviation:{digits}}" for deviation in deviations),
        )
    return table


def swatches(fit: Record, per_line: int) -> Text:
    """Return the palette as colour blocks, heaviest component first, each two columns wide if they fit in one line."""
    colors = fit["components"]["hex"]
    width = 2 if 2 * len(colors) <= per_line else 1
    most = _MAX_SWATCH_LINES * per_line
    shown = colors if len(colors) <= most else colors[: most - _MORE_COLUMNS]
    text = Text()
    for i, color in enumerate(shown):
        if i and i % per_line == 0:
            text.append("\n")
        text.append(" " * width, style=f"on {color}")
    return text.append(f" +{len(colors) - len(shown)}" if len(shown) < len(colors) else "")


def hex_codes(fit: Record, most: int = 3) -> Text:
    """Return the `most` heaviest colours as hex codes, and the number of the others."""
    colors = fit["components"]["hex"]
    more = f" +{len(colors) - most}" if len(colors) > most else ""
    return Text(" ".join(colors[:most]) + more)


def _table() -> Table:
    return Table(box=box.SIMPLE_HEAD, show_edge=False, pad_edge=False, collapse_padding=True, padding=(0, 1))
