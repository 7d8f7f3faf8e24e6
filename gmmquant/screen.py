"""What a run shows: results on standard output, everything else on standard error. The only place that prints."""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Self, TextIO

from gmmquant.process import system_reason
from gmmquant.report.text import printable
from gmmquant.settings import AUTO

if TYPE_CHECKING:
    from rich.progress import Progress

    from gmmquant.batch import Done, Outcome
    from gmmquant.report.record import Record


def say(text: str) -> None:
    """Write one line to standard error, made safe to show; if there is none to write to, be quiet."""
    _write(sys.stderr, f"gmmquant: {printable(text)}\n")


def emit(text: str) -> bool:
    """Write results to standard output; False if they were lost, but for a reader who has gone and wants no more."""
    reason = _write(sys.stdout, text)
    if reason is not None:
        say(f"cannot write to standard output: {reason}")
    return reason is None


def _write(stream: TextIO, text: str) -> str | None:
    """Write and flush; return the system's reason for a failure other than a closed pipe."""
    try:
        stream.write(text)
        stream.flush()
    except OSError as error:
        # What is left in the buffer would fail again when Python exits: let it go where nothing fails.
        os.dup2(os.open(os.devnull, os.O_WRONLY), stream.fileno())
        return None if isinstance(error, BrokenPipeError) else system_reason(error)
    return None


class Screen:
    """What a run shows: results on standard output, everything else on standard error.

    Parameters
    ----------
    ks : sequence of int and "auto"
        What each picture is fitted at.
    n_pictures : int
    quiet : bool
        Show nothing but errors.
    verbose : bool
        Show every component too.
    as_json : bool
        Write the records to standard output instead of tables.
    """

    def __init__(self, ks: Sequence[int | str], n_pictures: int, *, quiet: bool, verbose: bool, as_json: bool) -> None:
        self._ks, self._n_pictures = list(ks), n_pictures
        self._quiet, self._verbose, self._as_json = quiet, verbose, as_json
        self._records: list[Record] = []
        self._tally = {"done": 0, "skipped": 0, "failed": 0}
        self._lost = False
        self._progress = None if quiet else _progress_bar()
        self._task = None if self._progress is None else self._progress.add_task("", total=n_pictures * len(ks))

    def watch(self, source: Path, k: int | str, n_iter: int, objective: float) -> None:
        """Move the progress bar to an iteration of a fit."""
        if self._progress is None or self._task is None:
            return
        from rich.markup import escape

        if n_iter == 0:
            self._progress.start()
        position = self._ks.index(k) if k in self._ks else self._ks.index(AUTO)
        done = sum(self._tally.values()) * len(self._ks) + position
        text = f"{printable(source.name)}  k = {k}  iteration {n_iter}"
        self._progress.update(self._task, completed=done, description=escape(text))

    def show(self, outcome: Outcome) -> None:
        """Show what became of a picture."""
        from gmmquant.batch import Done, Skipped

        if self._progress is not None:
            self._progress.stop()
        if isinstance(outcome, Done):
            self._tally["done"] += 1
            self._show_done(outcome)
        elif isinstance(outcome, Skipped):
            self._tally["skipped"] += 1
            self._note(f"{outcome.source}: skipped, its outputs exist")
        else:
            self._tally["failed"] += 1
            say(f"{outcome.source}: {outcome.reason}")

    def finish(self) -> bool:
        """Write the records, sum up a run over several pictures, and tell whether all went well."""
        if self._as_json:
            from gmmquant.report.record import to_json

            self._emit(to_json(self._records))
        not_tried = self._n_pictures - sum(self._tally.values())
        if self._n_pictures > 1:
            counts = {**self._tally, "not tried": not_tried}
            self._note(", ".join(f"{count} {what}" for what, count in counts.items() if count))
        return not (self._tally["failed"] or not_tried or self._lost)

    def __enter__(self) -> Self:
        """Show nothing yet."""
        return self

    def __exit__(self, *_: object) -> None:
        """Take the progress bar away, whatever ended the run."""
        if self._progress is not None:
            self._progress.stop()

    def _show_done(self, done: Done) -> None:
        for note in done.notes:
            self._note(f"{done.source}: {note}")
        if self._as_json:
            self._records.append(done.record)
        elif not self._quiet:
            self._show_table(done)

    def _show_table(self, done: Done) -> None:
        from gmmquant.report.terminal import render

        names = _listed([printable(path.name) for path in done.written])
        table = render(done.record, str(done.source), sys.stdout, details=self._verbose)
        self._emit(f"{table}wrote {names} in {printable(str(done.written[0].parent))}\n\n")

    def _emit(self, text: str) -> None:
        self._lost |= not emit(text)

    def _note(self, text: str) -> None:
        if not self._quiet:
            say(text)


def _listed(names: Sequence[str], most: int = 8) -> str:
    """Return names with commas between them; of more than `most`, the first, the last, and how many lie between."""
    if len(names) > most:
        names = [*names[: most - 1], f"{len(names) - most} more", names[-1]]
    return ", ".join(names)


def _progress_bar() -> Progress | None:
    """Return a progress bar on standard error, or None where that is no terminal."""
    if not sys.stderr.isatty():
        return None
    from rich.console import Console
    from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn

    console = Console(file=sys.stderr)
    if not console.is_interactive:
        return None
    columns = BarColumn(20), TimeElapsedColumn(), TextColumn("{task.description}")
    return Progress(*columns, console=console, transient=True)
