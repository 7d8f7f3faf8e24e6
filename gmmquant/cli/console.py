"""What a run shows: results on standard output, everything else on standard error. The only place that prints."""

from __future__ import annotations

import os
import select
import signal
import sys
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from time import monotonic
from typing import TYPE_CHECKING, Self, TextIO

from gmmquant.cli.printable import printable
from gmmquant.cli.progress import Bar, bar_for
from gmmquant.report.outcome import Done, Failure, Outcome, PlannedOutcome, SharedReport, Skipped
from gmmquant.system.paths import AnyPath, SourcePath
from gmmquant.system.process import signals_held, system_reason

if TYPE_CHECKING:
    from gmmquant.report.record import Record

# Lines after which what was shown before them is taken to be out of sight.
_SCREENFUL = 20

# Seconds below which a run says nothing of how fast it was.
_INSTANT = 0.05

# Seconds in which whoever reads must take something, once the run is to end.
_PATIENCE = 0.3


def say(text: str, *, wait: bool = True) -> None:
    """Write one line to standard error, made safe to show; if there is none to write to, be quiet."""
    _write(sys.stderr, f"gmmquant: {printable(text)}\n", wait=wait)


def emit(results: str | bytes, *, wait: bool = True) -> bool:
    """Write results to standard output; False if they were lost, but for a reader who has gone and wants no more.

    A reader who keeps us waiting is waited for, unless `wait` is false or a signal asks for an end.
    """
    reason = _write(sys.stdout, results, wait=wait)
    if reason is not None:
        say(f"cannot write to standard output: {reason}")
    return reason is None


def _write(stream: TextIO, content: str | bytes, *, wait: bool) -> str | None:
    """Write and flush; return the system's reason for a failure other than a closed pipe."""
    try:
        descriptor = stream.fileno()
    except OSError:  # a stream in memory, as Python programs put in the place of the system's
        _ = stream.write(content) if isinstance(content, str) else stream.buffer.write(content)
        return None
    data = content if isinstance(content, bytes) else content.encode(stream.encoding, stream.errors or "strict")
    try:
        stream.flush()
        _send(descriptor, memoryview(data), wait=wait)
    except OSError as error:
        # What is left in the buffer would fail again when Python exits: let it go where nothing fails.
        os.dup2(os.open(os.devnull, os.O_WRONLY), descriptor)
        return None if isinstance(error, BrokenPipeError) else system_reason(error)
    return None


def _send(descriptor: int, data: memoryview, *, wait: bool) -> None:
    """Write `data`, whole even if a signal asks for an end meanwhile, unless whoever reads it then keeps us waiting."""
    with signals_held():
        while data:
            if select.select([], [descriptor], [], _PATIENCE)[1]:
                data = data[os.write(descriptor, data[: select.PIPE_BUF]) :]
            elif not wait or signal.sigpending():
                return


@dataclass(frozen=True)
class Manner:
    """How much is shown, and in what form: nothing but errors, every component too, records instead of tables."""

    quiet: bool = False
    verbose: bool = False
    as_json: bool = False
    as_json_lines: bool = False


class Screen:
    """What a run shows: results on standard output, everything else on standard error.

    Of one image its table, of several a line each, or a bar where standard error is a terminal, and a summary.

    Parameters
    ----------
    ks : sequence of int and "auto"
        What each image is fitted at.
    n_images : int
    manner : Manner
    to_count : int or None
        Where images share a mixture: how many are counted before they are drawn.
    """

    def __init__(self, ks: Sequence[int | str], n_images: int, manner: Manner, *, to_count: int | None = None) -> None:
        self._n_images, self._manner, self._shared = n_images, manner, to_count is not None
        self._n_counted = 0
        self._tally = {"done": 0, "skipped": 0, "failed": 0}
        self._failures: list[str] = []
        self._n_lines = 0  # shown since the first failure
        self._started = monotonic()
        self._all_well = True
        self._n_in_array = 0
        self._array_is_open = manner.as_json
        self._bar = Bar() if manner.quiet else bar_for(n_images + (to_count or 0), ks)

    def watch(self, source: SourcePath, k: int | str, n_iter: int, objective: float) -> None:
        """Move the progress bar to an iteration of a fit."""
        self._bar.move_to_fit(source.name, k, n_iter)

    def refresh(self) -> None:
        """Let the time of the progress bar go on."""
        self._bar.refresh()

    def count(self) -> None:
        """Show that the colours of one more image are counted."""
        self._n_counted += 1
        self._bar.move_to_image("counting colours", self._n_counted, self._n_counted)

    def show(self, outcome: Outcome) -> None:
        """Show what became of an image, or of all together."""
        if isinstance(outcome, SharedReport):
            self._show_shared(outcome)
        elif isinstance(outcome, Done):
            self._tally["skipped" if outcome.kept else "done"] += 1
            self._show_done(outcome)
        elif isinstance(outcome, Skipped):
            self._tally["skipped"] += 1
            self._tell(f"{outcome.source}: skipped, its outputs exist")
        else:
            if outcome.is_image:
                self._tally["failed"] += 1
            self._all_well = False
            self._failures.append(f"{outcome.source}: {outcome.reason}")
            self._bar.hide()
            say(self._failures[-1])
        if self._manner.as_json_lines:
            from gmmquant.report.record import outcome_line

            self._emit(outcome_line(outcome))
        told = self._n_counted + sum(self._tally.values())
        if self._n_images > 1 and not isinstance(outcome, SharedReport):
            self._bar.move_to_image(outcome.source.name, told, told - self._tally["skipped"])

    def finish(self) -> bool:
        """Sum up a run over several images, and tell whether all went well."""
        self._bar.hide()
        self._close_array()
        not_tried = self._n_images - sum(self._tally.values())
        if self._n_images > 1:
            counts = {**self._tally, "not tried": not_tried}
            told = ", ".join(f"{count:,} {what}" for what, count in counts.items() if count)
            seconds = monotonic() - self._started
            worked = self._tally["done"] + self._tally["failed"]
            pace = f", {worked / seconds:.1f} images a second" if self._tally["done"] and seconds > _INSTANT else ""
            self.note(f"{told} in {seconds:.1f} s{pace}")
            if self._n_lines > _SCREENFUL:
                for failure in self._failures[:_SCREENFUL]:
                    self.note(f"failed: {failure}")
                if len(self._failures) > _SCREENFUL:
                    self.note(f"failed: {len(self._failures) - _SCREENFUL} more, told of above")
        return self._all_well and not not_tried

    def __enter__(self) -> Self:
        """Show nothing yet."""
        return self

    def __exit__(self, *_: object) -> None:
        """Take the progress bar away and end what was begun, whatever ended the run."""
        self._bar.hide()
        self._close_array(wait=False)

    def _show_done(self, done: Done) -> None:
        for note in done.notes:
            self.note(f"{done.source}: {note}")
        if done.drawn is not None:
            self._emit(done.drawn)
        elif self._manner.as_json:
            if not self._shared:
                self._add_to_array(done.record)
        elif self._manner.quiet or self._manner.as_json_lines:
            pass
        elif not self._shared and (self._n_images == 1 or self._manner.verbose):
            self._show_table(done.record, str(done.source), done.written)
        elif done.kept:
            self._tell(f"{done.source}: kept, its outputs exist")
        else:
            self._tell(f"{done.source}: wrote {_names(done.written)}, {done.seconds:.2f} s")

    def _show_shared(self, shared: SharedReport) -> None:
        if self._manner.as_json:
            self._add_to_array(shared.record)
        elif not (self._manner.quiet or self._manner.as_json_lines):
            self._show_table(shared.record, str(shared.source), shared.written)

    def _show_table(self, record: Record, name: str, written: Sequence[AnyPath]) -> None:
        from gmmquant.cli.table import render

        self._bar.hide()
        table = render(record, name, sys.stdout, details=self._manner.verbose)
        self._emit(f"{table}wrote {_names(written)}\n\n")

    def _add_to_array(self, record: Record) -> None:
        """Write a record as one more of a JSON array."""
        from gmmquant.report.record import to_json

        indented = "".join(f" {line}\n" for line in to_json(record).splitlines())
        with signals_held():
            self._emit((",\n" if self._n_in_array else "[\n") + indented.rstrip("\n"))
            self._n_in_array += 1

    def _close_array(self, *, wait: bool = True) -> None:
        """End the array, which is one even if nothing is in it, whatever ended the run."""
        if self._array_is_open:
            self._array_is_open = False
            self._emit("\n]\n" if self._n_in_array else "[]\n", wait=wait)

    def _emit(self, results: str | bytes, *, wait: bool = True) -> None:
        if sys.stdout.isatty():
            self._bar.hide()
        self._all_well &= emit(results, wait=wait)

    def _tell(self, text: str) -> None:
        """Say what became of an image, where no bar does."""
        if not self._bar.is_seen:
            self.note(text)

    def note(self, text: str) -> None:
        """Say what the user should know, unless nothing but errors is wanted."""
        if not self._manner.quiet:
            self._bar.hide()
            self._n_lines += bool(self._failures)
            say(text)


def show_planned(foreseen: Iterable[PlannedOutcome | Failure], manner: Manner) -> bool:
    """Show what would be read and written; tell whether all of it can be."""
    from gmmquant.report.record import outcome_line

    n_images, all_well, fates = 0, True, dict.fromkeys(("new", "replaced", "kept"), 0)
    for entry in foreseen:
        if manner.as_json_lines:
            all_well &= emit(outcome_line(entry))
        if isinstance(entry, Failure):
            all_well = False
            say(f"{entry.source}: {entry.reason}")
            continue
        n_images += entry.is_read
        for fate in entry.outputs.values():
            fates[fate] += 1
        if not (manner.quiet or manner.as_json_lines):
            lines = (f"  {printable(str(path))} ({fate})\n" for path, fate in entry.outputs.items())
            all_well &= emit(f"{printable(str(entry.source))}\n{''.join(lines)}")
    if not manner.quiet:
        told = ", ".join(f"{count:,} {fate}" for fate, count in fates.items() if count) or "nothing"
        images = "1 image" if n_images == 1 else f"{n_images:,} images"
        say(f"nothing was done; to be read: {images}; to be written: {told}")
    return all_well


def _names(written: Sequence[AnyPath]) -> str:
    """Name what was written, and the folder."""
    names = _listed([printable(place.name) for place in written])
    return f"{names} in {printable(str(written[0].parent))}"


def _listed(names: Sequence[str], most: int = 8) -> str:
    """Return names with commas between them; of more than `most`, the first, the last, and how many lie between."""
    if len(names) > most:
        names = [*names[: most - 1], f"{len(names) - most} more", names[-1]]
    return ", ".join(names)
