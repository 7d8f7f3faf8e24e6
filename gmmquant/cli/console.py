"""The standard streams of a run: results on standard output, messages and progress on standard error."""

from __future__ import annotations

import os
import select
import signal
import sys
from collections import Counter
from collections.abc import Iterable, Sequence
from time import monotonic
from typing import TYPE_CHECKING, Self, TextIO

from gmmquant.cli.printable import file_names, printable
from gmmquant.cli.progress import Bar, bar_for
from gmmquant.report.outcome import Done, Failure, Outcome, PlannedOutcome, SharedReport, Skipped
from gmmquant.system.process import signals_held, system_reason

if TYPE_CHECKING:
    from gmmquant.cli.reporters.base import Reporter
    from gmmquant.system.paths import SourcePath

# After this many lines, earlier lines are taken to have scrolled out of sight.
_SCREEN_LINES = 20

# Runs shorter than this many seconds do not report their speed.
_MIN_TIMED_SECONDS = 0.05

# Once the run is to end, a reader has this many seconds to take something.
_READER_SECONDS = 0.3


def say(text: str, *, stream: TextIO | None = None, wait: bool = True) -> None:
    """Write one line to standard error, made safe to show. Failures are ignored: there is nowhere to report them."""
    _write(stream or sys.stderr, f"gmmquant: {printable(text)}\n", wait=wait)


def emit(results: str | bytes, *, stream: TextIO | None = None, wait: bool = True) -> bool:
    """Write results to standard output; return False if they were lost, unless the reader closed the pipe.

    A slow reader is waited for, unless `wait` is false or a signal asks for an end.
    """
    reason = _write(stream or sys.stdout, results, wait=wait)
    if reason is not None:
        say(f"cannot write to standard output: {reason}")
    return reason is None


def _write(stream: TextIO, content: str | bytes, *, wait: bool) -> str | None:
    """Write and flush; return the system's reason for a failure other than a closed pipe."""
    try:
        descriptor = stream.fileno()
    except OSError:  # a stream in memory, by which a Python program replaced the system's
        _ = stream.write(content) if isinstance(content, str) else stream.buffer.write(content)
        return None
    data = content if isinstance(content, bytes) else content.encode(stream.encoding, stream.errors or "strict")
    try:
        stream.flush()
        _send(descriptor, memoryview(data), wait=wait)
    except OSError as error:
        # Python flushes the stream again when it exits, and must not fail then.
        os.dup2(os.open(os.devnull, os.O_WRONLY), descriptor)
        return None if isinstance(error, BrokenPipeError) else system_reason(error)
    return None


def _send(descriptor: int, data: memoryview, *, wait: bool) -> None:
    """Write all of `data` even if a signal asks for an end meanwhile, unless the reader is slow then."""
    with signals_held():
        while data:
            if select.select([], [descriptor], [], _READER_SECONDS)[1]:
                data = data[os.write(descriptor, data[: select.PIPE_BUF]) :]
            elif not wait or signal.sigpending():
                return


class Console:
    """Shows the outcomes of a run: results by a reporter, and messages, progress and a summary on standard error.

    Parameters
    ----------
    reporter : Reporter
        Its stream is where results go.
    ks : sequence of int and "auto"
    n_images : int
    n_to_count : int
        Number of images whose colours are counted before any is drawn.
    quiet : bool
        Whether only errors are printed.
    stream : text stream or None
        Where messages and progress go; None: standard error.
    """

    def __init__(
        self,
        reporter: Reporter,
        ks: Sequence[int | str] = (),
        n_images: int = 1,
        *,
        n_to_count: int = 0,
        quiet: bool = False,
        stream: TextIO | None = None,
    ) -> None:
        self._reporter, self._n_images, self._quiet = reporter, n_images, quiet
        self._stream = stream or sys.stderr
        self._n_counted = 0
        self._tally = {"done": 0, "skipped": 0, "failed": 0}
        self._failures: list[str] = []
        self._n_lines = 0  # since the first failure
        self._started = monotonic()
        self._succeeded = True
        self._ended = False
        self._bar = Bar() if quiet else bar_for(n_images + n_to_count, ks, self._stream)

    def show_iteration(self, source: SourcePath, k: int | str, n_iter: int, objective: float) -> None:
        """Move the progress bar to an iteration of a fit."""
        self._bar.show_fit(source.name, k, n_iter)

    def refresh(self) -> None:
        """Update the time of the progress bar."""
        self._bar.refresh()

    def count(self) -> None:
        """Show that the colours of one more image are counted."""
        self._n_counted += 1
        self._bar.show_image("counting colours", self._n_counted, self._n_counted)

    def show(self, outcome: Outcome) -> None:
        """Show the outcome of an image, or of all together."""
        if isinstance(outcome, Done):
            for note in outcome.notes:
                self.note(f"{outcome.source}: {note}")
        elif isinstance(outcome, Failure):
            self._show_failure(outcome)
        if isinstance(outcome, Done) and outcome.drawn is not None:
            self._emit(outcome.drawn)
        else:
            is_shown = self._report(outcome)
            is_silent = isinstance(outcome, Done) and not is_shown
            if (isinstance(outcome, Skipped) or is_silent) and not self._bar.is_visible:
                self.note(f"{outcome.source}: {_message(outcome)}")
        if isinstance(outcome, SharedReport) or (isinstance(outcome, Failure) and not outcome.is_image):
            return
        skipped = isinstance(outcome, Skipped) or (isinstance(outcome, Done) and outcome.kept)
        self._tally["failed" if isinstance(outcome, Failure) else "skipped" if skipped else "done"] += 1
        if self._n_images > 1:
            n_shown = self._n_counted + sum(self._tally.values())
            self._bar.show_image(outcome.source.name, n_shown, n_shown - self._tally["skipped"])

    def preview(self, planned: Iterable[PlannedOutcome | Failure]) -> bool:
        """Show what would be read and written; return whether all of it can be."""
        n_images, effects = 0, Counter[str]()
        for entry in planned:
            self._report(entry)
            if isinstance(entry, Failure):
                self._show_failure(entry)
            else:
                n_images += entry.is_read
                effects.update(entry.outputs.values())
        outputs = ", ".join(f"{effects[name]:,} {name}" for name in ("new", "replaced", "kept") if effects[name])
        images = "1 image" if n_images == 1 else f"{n_images:,} images"
        self.note(f"dry run, nothing was done; would read {images}; outputs: {outputs or 'none'}")
        self._end_report()
        return self._succeeded

    def finish(self) -> bool:
        """Show a summary of a run over several images; return whether all of them succeeded."""
        self._bar.hide()
        self._end_report()
        n_not_tried = self._n_images - sum(self._tally.values())
        if self._n_images > 1:
            counts = {**self._tally, "not tried": n_not_tried}
            seconds = monotonic() - self._started
            worked = self._tally["done"] + self._tally["failed"]
            timed = self._tally["done"] and seconds > _MIN_TIMED_SECONDS
            self.note(
                f"{', '.join(f'{count:,} {name}' for name, count in counts.items() if count)} in {seconds:.1f} s"
                + (f", {worked / seconds:.1f} images a second" if timed else "")
            )
            if self._n_lines > _SCREEN_LINES:
                for failure in self._failures[:_SCREEN_LINES]:
                    self.note(f"failed: {failure}")
                if len(self._failures) > _SCREEN_LINES:
                    self.note(f"failed: {len(self._failures) - _SCREEN_LINES} more, listed above")
        return self._succeeded and not n_not_tried

    def note(self, text: str) -> None:
        """Print a message, unless the run is quiet."""
        if not self._quiet:
            self._bar.hide()
            self._n_lines += bool(self._failures)
            say(text, stream=self._stream)

    def __enter__(self) -> Self:
        """Return the console."""
        return self

    def __exit__(self, *_: object) -> None:
        """Hide the progress bar and end the results, however the run ended."""
        self._bar.hide()
        self._end_report(wait=False)

    def _show_failure(self, failure: Failure) -> None:
        self._succeeded = False
        self._failures.append(f"{failure.source}: {failure.reason}")
        self._bar.hide()
        say(self._failures[-1], stream=self._stream)

    def _report(self, outcome: Outcome | PlannedOutcome) -> bool:
        """Write what the reporter makes of an outcome; return whether it shows the outcome."""
        with signals_held():  # what the reporter counts as shown is written
            text = self._reporter.add(outcome)
            if text:
                self._emit(text)
        return text is not None

    def _end_report(self, *, wait: bool = True) -> None:
        if not self._ended:
            self._ended = True
            if text := self._reporter.end():
                self._emit(text, wait=wait)

    def _emit(self, results: str | bytes, *, wait: bool = True) -> None:
        if self._reporter.stream.isatty():
            self._bar.hide()
        self._succeeded &= emit(results, stream=self._reporter.stream, wait=wait)


def _message(outcome: Outcome) -> str:
    """Return the message of an image that the results do not show."""
    if not isinstance(outcome, Done):
        return "skipped, its outputs exist"
    if outcome.kept:
        return "kept, its outputs exist"
    return f"wrote {file_names(outcome.written)}, {outcome.seconds:.2f} s"
