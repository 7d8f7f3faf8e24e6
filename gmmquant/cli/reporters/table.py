"""The table for people: a heading, a row for each k with its file and palette, statistics where they are asked for."""

from __future__ import annotations

from collections.abc import Sequence
from io import BytesIO, TextIOWrapper
from typing import TextIO

from rich.cells import cell_len
from rich.console import Console
from rich.text import Text

from gmmquant.cli.reporters.base import Reporter
from gmmquant.cli.reporters.columns import Column, heading_line, rows_of, shortened, tables, width_of
from gmmquant.cli.reporters.facts import (
    are_lossy,
    choice_line,
    file_name,
    heading,
    hint,
    lossy_formats,
    settings_line,
    written_line,
)
from gmmquant.cli.reporters.palette_text import columns_of, palette_text
from gmmquant.cli.reporters.statistics import (
    component_columns,
    name_of_k,
    note_on_iterations,
    reasons_to_stop,
    statistics_columns,
    swatches_of,
)
from gmmquant.cli.text import chosen_columns, percent, total, wrapped
from gmmquant.cli.written import file_names
from gmmquant.report.numbers import file_size
from gmmquant.report.outcome import Done, Outcome, PlannedOutcome, SharedReport, Skipped, Summary
from gmmquant.report.record import Record, codes_of, formats_apart
from gmmquant.system.printable import printable

# Width of the output where it is not a terminal, without the names of files: they are not shortened.
_FILE_COLUMNS = 110

# Palettes stand beside the figures if this number of colours has room there, otherwise below them.
_MIN_COLORS_BESIDE = 7

# Names of files have this width at least before they are shortened; longer ones are always shortened.
_MIN_NAME_COLUMNS, _MAX_NAME_COLUMNS = 12, 255

# Palettes below the figures are indented by this many columns.
_INDENT = 4

_GAP_COLUMNS = 2


class TableReporter(Reporter):
    """Shows the table of a single image, of a shared mixture, or of each image if the run is verbose."""

    _heading = ""  # the last one of a dry run
    _names_files = False  # whether files of this run were named

    def add(self, outcome: Outcome | PlannedOutcome) -> str | None:
        """Return the table of an outcome and the names of its files, or the files that would be written.

        With statistics, an image whose outputs exist has the table of its report.
        """
        if isinstance(outcome, PlannedOutcome):
            lines = (f"  {printable(str(path))} ({effect})\n" for path, effect in outcome.outputs.items())
            last, self._heading = self._heading, f"{printable(str(outcome.source))}\n"
            return f"{self._heading * (self._heading != last)}{''.join(lines)}"
        if isinstance(outcome, Skipped) and outcome.earlier is not None and (self.verbose or self.stats):
            name = str(outcome.source)
            try:
                return render(outcome.earlier, name, self.stream, statistics=self.stats, components=self.verbose)
            except (LookupError, TypeError, ValueError, AttributeError):  # a report that was changed
                return None
        if isinstance(outcome, SharedReport) and outcome.kept and not (self.verbose or self.stats):
            return ""
        alone = self.n_images == 1 or self.verbose or self.stats
        if isinstance(outcome, Summary):  # where the other files of the run are named
            return f"wrote {file_names(outcome.written)}\n" if self._names_files else None
        if not isinstance(outcome, SharedReport) and not (isinstance(outcome, Done) and alone and not self.shared):
            return None
        record, is_one = outcome.record, self.n_images == 1 and isinstance(outcome, Done)
        self._names_files = self._names_files or bool(outcome.written)
        return render(
            record,
            str(outcome.source),
            self.stream,
            statistics=self.stats,
            components=self.verbose,
            written=written_line(record, outcome.written, outcome.seconds if isinstance(outcome, Done) else 0.0),
            advice=hint(record, outcome.written) if is_one else None,
        )


def render(
    record: Record,
    name: str,
    stream: TextIO,
    *,
    statistics: bool = False,
    components: bool = False,
    written: str = "",
    advice: str | None = None,
) -> str:
    """Return the text that shows a record, for the encoding, width and colours of `stream`; write nothing.

    `name` is that of the image, or of the folder of images that share a mixture. `statistics` and `components` add
    tables, `written` and, on a terminal, `advice` are the last lines.
    """
    target = Console(file=stream)
    page = TextIOWrapper(BytesIO(), target.encoding, "backslashreplace")
    width = target.width if target.is_terminal else chosen_columns() or _FILE_COLUMNS + _longest_name(record)
    console = Console(file=page, force_terminal=target.is_terminal, width=width, highlight=False, emoji=False)
    # Sixteen colours are those of the terminal's theme, and show no palette.
    colors = not console.no_color and console.color_system in ("256", "truecolor", "windows")
    is_unicode = console.encoding.startswith("utf")

    def print_lines(*lines: Text | str) -> None:
        for line in lines:
            console.print(Text(line) if isinstance(line, str) else line, soft_wrap=not target.is_terminal)

    def print_table(title: Text, rows: Sequence[Text]) -> None:
        columns = max(line.cell_len for line in (title, *rows))
        print_lines("", title, ("─" if is_unicode else "-") * columns, *rows)

    print_lines(heading(record, name))
    if summary := settings_line(record):
        print_lines(summary)
    print_table(*fit_table(record, colors=colors, width=width, mark="…" if is_unicode else "..."))
    if formats := lossy_formats(record):
        print_lines(f"* of the image before it is stored as {' or '.join(formats)}")
    if statistics:
        for columns in tables(statistics_columns(record["fits"]), width):
            print_table(heading_line(columns), rows_of(columns))
        print_lines(*note_on_iterations(record))
    if statistics or record["settings"]["max_iter"] is not None:
        print_lines(*reasons_to_stop(record))
    if components:
        for fit in record["fits"]:
            print_table(*_component_table(fit, colors=colors))
            errors = ", ".join(f"{recoloring} {error:.1f}" for recoloring, error in fit["errors"].items())
            print_lines(f"squared error: {errors}")
    last = [choice_line(choice) for choice in record["choices"] if choice["path"]]
    last += wrapped(written, width if target.is_terminal else 0) if written else []
    last += [f"hint: {advice}"] if advice is not None and target.is_terminal else []
    print_lines("", *last, *[""] * bool(last))
    page.seek(0)
    text = page.read()
    return text if target.is_terminal else "".join(f"{line.rstrip()}\n" for line in text.splitlines())


def fit_table(record: Record, *, colors: bool, width: int, mark: str) -> tuple[Text, list[Text]]:
    """Return the headings and the lines of the fits: a row for each k.

    A palette stands at the end of its row if there is room for several colours, otherwise on a line below. If the
    figures do not fit `width`, the names of files are shortened, and then columns left out from the right. `mark`
    stands for the missing part of a name.
    """
    fits = record["fits"]
    codes = [codes_of(fit["components"]) for fit in fits]
    figures = _figures(record, _MAX_NAME_COLUMNS, mark)
    room = width - width_of(figures) - _GAP_COLUMNS
    if columns_of(max(codes, key=len)[:_MIN_COLORS_BESIDE], swatches=colors) <= room:
        palettes = [palette_text(each, room, swatches=colors) for each in codes]
        rows = [_joined(row, palette) for row, palette in zip(rows_of(figures), palettes, strict=True)]
        return heading_line(figures, "palette"), rows
    if width_of(figures) > width:
        narrower = max(_longest_name(record) - (width_of(figures) - width), _MIN_NAME_COLUMNS)
        figures = _figures(record, narrower, mark, unit_in_heading=True)
        while width_of(figures) > width and len(figures) > 1:
            del figures[-1]
    palettes = [palette_text(each, width - _INDENT, swatches=colors) for each in codes]
    lines = zip(
        rows_of(figures), (_joined(" " * (_INDENT - _GAP_COLUMNS), palette) for palette in palettes), strict=True
    )
    return heading_line(figures), [line for pair in lines for line in pair]


def _figures(record: Record, name_columns: int, mark: str, *, unit_in_heading: bool = False) -> list[Column]:
    """Return the columns of k, the mean log-likelihood, the file and the PSNR in decibels."""
    fits = record["fits"]
    means = [fit["mean_log_likelihood"] for fit in fits]
    files = _file_column([shortened(name, name_columns, mark) for name in _file_names(record)], *_bytes_of(record))
    return [
        Column("k", [name_of_k(fit) for fit in fits]),
        Column("log-lik./px", ["-" if mean is None else f"{mean:.4f}" for mean in means]),
        *([files] if any(files.cells) else []),
        _psnr_column(fits, are_lossy(record), unit_in_heading=unit_in_heading),
    ]


def _psnr_column(fits: Sequence[Record], lossy: Sequence[bool], *, unit_in_heading: bool) -> Column:
    """Return the column of the PSNR, with a star for files that differ from the images: in the heading if all do."""
    heading, unit = ("dB", "") if unit_in_heading else ("PSNR", " dB")
    values = ["exact" if fit["psnr"] is None else f"{fit['psnr']:.1f}{unit}" for fit in fits]
    if all(lossy):
        return Column(f"{heading}*", values)
    star = " " if any(lossy) else ""
    stars = ["*" if is_lossy else star for is_lossy in lossy]
    return Column(f"{heading}{star}", [f"{value}{mark}" for value, mark in zip(values, stars, strict=True)])


def _longest_name(record: Record) -> int:
    return max(map(cell_len, _file_names(record)))


def _file_names(record: Record) -> list[str]:
    """Return the name of the image of each fit, or the number of images that share the fit."""
    if "total" not in record:
        return [file_name(fit["files"].get("image")) for fit in record["fits"]]
    n_images = record["total"]["images"]
    kinds = [f"{name} image".strip() for name in formats_apart(record["fits"])]
    return [f"{n_images:,} {kind}{'' if n_images == 1 else 's'}" for kind in kinds]


def _bytes_of(record: Record) -> tuple[list[int | None], int | None]:
    """Return the bytes of the image or images of each fit, and of their sources; None if they are not known."""
    if "total" not in record:
        return [fit["bytes"] for fit in record["fits"]], record["image"]["bytes"]
    images = record["images"]
    written = [total(image["fits"][i]["bytes"] for image in images) for i in range(len(record["fits"]))]
    return written, total(image["bytes"] for image in images)


def _file_column(names: Sequence[str], n_bytes: Sequence[int | None], source_bytes: int | None) -> Column:
    """Return the column of names, sizes, and per cent of the source's size; sizes that are not known are left out."""
    parts = [
        Column("", names, is_text=True),
        Column("", ["" if n is None else file_size(n) for n in n_bytes]),
        Column("", ["" if n is None or not source_bytes else percent(n, source_bytes) for n in n_bytes]),
    ]
    rows = rows_of([part for part in parts if any(part.cells)] or parts[:1])
    return Column("file", [row.plain for row in rows], is_text=True)


def _component_table(fit: Record, *, colors: bool) -> tuple[Text, list[Text]]:
    """Return the headings and the rows of a fit's components."""
    figures, swatches = component_columns(fit), swatches_of(fit, colors=colors)
    indent = max(map(cell_len, (f"k = {fit['k']}", *(swatch.plain for swatch in swatches))))
    rows = [_joined(swatch, row) for swatch, row in zip(swatches, rows_of(figures), strict=True)]
    title = f"k = {fit['k']}".ljust(indent)
    return heading_line([Column(title, []), *figures]), rows


def _joined(left: Text | str, right: Text) -> Text:
    return Text(end="").append(left).append(" " * _GAP_COLUMNS).append(right)
