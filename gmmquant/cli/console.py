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

from gmmquant.cli.advice import advice_on_format, advice_on_true_color
from gmmquant.cli.progress import Bar, bar_for
from gmmquant.cli.text import columns_of, wrapped
from gmmquant.cli.totals import Totals
from gmmquant.cli.written import file_names, written_files
from gmmquant.report.outcome import (
    EXISTS,
    Done,
    Failure,
    Outcome,
    Phase,
    PlannedOutcome,
    SharedReport,
    Skipped,
    Summary,
)
from gmmquant.system.printable import printable
from gmmquant.system.process import signals_held, system_reason

if TYPE_CHECKING:
    from gmmquant.cli.preview.outcomes import Preview
    from gmmquant.cli.reporters.base import Reporter
    from gmmquant.system.paths import SourcePath

# Failures that are more than this many lines back are listed again in the summary.
_SCREEN_LINES = 20

# Shorter runs do not report their speed.
_MIN_TIMED_SECONDS = 0.05

# A run that must end waits this long for a reader that does not read.
_READER_SECONDS = 0.3


def say(text: str, *, stream: TextIO | None = None, wait: bool = True) -> None:
    """Write one line to standard error. Failures are ignored, as there is nowhere to report them."""
    target = stream or sys.stderr
    _write(target, f"{_wrapped(f'gmmquant: {printable(text)}', target)}\n", wait=wait)


def _wrapped(line: str, stream: TextIO) -> str:
    """Return a line, between words in several for a terminal that is narrower."""
    return "\n".join(wrapped(line, columns_of(stream) if stream.isatty() else 0))


def emit(results: str | bytes, *, stream: TextIO | None = None, wait: bool = True) -> bool:
    """Write results to standard output; return False if that failed for another reason than a closed pipe.

    `wait` is whether to wait for a slow reader, until a signal ends the run.
    """
    reason = _write(stream or sys.stdout, results, wait=wait)
    if reason is not None:
        say(f"cannot write to standard output: {reason}")
    return reason is None


def _write(stream: TextIO, content: str | bytes, *, wait: bool) -> str | None:
    """Write and flush; return the system's reason for a failure other than a closed pipe."""
    try:
        descriptor = stream.fileno()
    except OSError:  # a Python program has replaced the stream by one in memory
        _ = stream.write(content) if isinstance(content, str) else stream.buffer.write(content)
        return None
    data = content if isinstance(content, bytes) else content.encode(stream.encoding, stream.errors or "strict")
    try:
        stream.flush()
        _send(descriptor, memoryview(data), wait=wait)
    except OSError as error:
        # Python flushes the stream again when it exits, which must not fail.
        os.dup2(os.open(os.devnull, os.O_WRONLY), descriptor)
        return None if isinstance(error, BrokenPipeError) else system_reason(error)
    return None


def _send(descriptor: int, data: memoryview, *, wait: bool) -> None:
    """Write all of `data`. A signal that arrives meanwhile cuts it off only if the reader does not read."""
    with signals_held():
        while data:
            if select.select([], [descriptor], [], _READER_SECONDS)[1]:
                data = data[os.write(descriptor, data[: select.PIPE_BUF]) :]
            elif not wait or signal.sigpending():
                return


class Console:
    """Shows the outcomes of a run: results by a reporter; messages, progress and a summary on standard error.

    Results go to the reporter's stream, messages and progress to `stream` (None: standard error). `n_to_count` is the
    number of images whose colours are counted before the first is recoloured. If `quiet`, only errors are printed.
    `preview` shows the images of outcomes, if it is not None. With `advises_format`, the first animation that was
    written in another format than its own has a note.
    """

    def __init__(
        self,
        reporter: Reporter,
        ks: Sequence[int | str] = (),
        n_images: int = 1,
        *,
        n_to_count: int = 0,
        quiet: bool = False,
        preview: Preview | None = None,
        advises_format: bool = False,
        stream: TextIO | None = None,
    ) -> None:
        self._reporter, self._ks, self._n_images, self._quiet = reporter, ks, n_images, quiet
        self._stream, self._preview = stream or sys.stderr, preview
        self._advice = [advice_on_format] * advises_format + [advice_on_true_color]  # each is given once
        self._n_counted, self._n_to_count = 0, n_to_count
        self._tally = Counter[str]()
        self._totals = Totals()
        self._failures: list[str] = []
        self._n_lines = 0  # since the first failure
        self._n_existing = 0  # images whose outputs exist
        self._kept = False  # whether a file of the run was kept
        self._of_other_settings = Counter[str]()  # images with outputs of other settings, by the difference
        self._started = monotonic()
        self._succeeded = True
        self._ended = False
        self._bar = Bar() if quiet else bar_for(n_images + n_to_count, ks, self._stream)

    def show_iteration(self, source: SourcePath, k: int | str, n_iter: int, objective: float) -> None:
        """Show an iteration of a fit in the progress bar, or a `Phase` in place of k."""
        if isinstance(k, Phase):
            self._bar.show_phase(k)
        else:
            self._bar.show_fit(source.name, k, n_iter)

    def refresh(self) -> None:
        """Update the time of the progress bar."""
        self._bar.refresh()

    def count(self) -> None:
        """Show in the progress bar that the colours of one more image are counted, and after the last, the fits."""
        self._n_counted += 1
        phase = "counting colours" if self._n_counted < self._n_to_count else "fitting the mixture"
        self._bar.show_image(phase, self._n_counted, self._n_counted)

    def show(self, outcome: Outcome) -> None:
        """Show the outcome of an image, or of a shared mixture."""
        if isinstance(outcome, Failure):
            self._show_failure(outcome)
        if isinstance(outcome, (Done, SharedReport)):
            for note in outcome.notes:
                self.note(f"{outcome.source}: {note}")
        if isinstance(outcome, Done):
            for advice_on in list(self._advice):
                if advice := advice_on(outcome):
                    self.note(f"{outcome.source}: {advice}")
                    self._advice.remove(advice_on)
        drawn = outcome.drawn if isinstance(outcome, (Done, Skipped)) else None
        if drawn is not None:
            self._emit(drawn)
        if drawn is None or isinstance(outcome, Skipped):
            text = self._report(outcome)
            message = _message(outcome, is_reported=text is not None)
            is_alone = isinstance(outcome, Skipped) and self._n_images == 1
            if isinstance(outcome, Summary) and not text:
                self.note(f"wrote {file_names(outcome.written)}")
            elif message and (is_alone or not self._bar.is_visible):
                self.note(f"{outcome.source}: {message}")
        if isinstance(outcome, Done) and self._preview is not None:
            self._show_images(outcome, self._preview)
        if isinstance(outcome, (SharedReport, Summary)) or (isinstance(outcome, Failure) and not outcome.is_image):
            return
        skipped = isinstance(outcome, Skipped) or (isinstance(outcome, Done) and outcome.kept)
        self._kept = self._kept or _keeps(outcome, self._ks)
        if isinstance(outcome, Failure):
            self._tally["exist" if outcome.outputs_exist else "failed"] += 1
        else:
            self._tally["skipped" if skipped else "done"] += 1
        if isinstance(outcome, Done) and not skipped:
            self._totals.add(outcome)
        if self._n_images > 1:
            n_shown = self._n_counted + self._tally.total()
            self._bar.show_image(outcome.source.name, n_shown, n_shown - self._tally["skipped"] - self._tally["exist"])

    @property
    def has_kept(self) -> bool:
        """Whether an output that exists was kept."""
        return self._kept

    def show_plan(self, planned: Iterable[PlannedOutcome | Failure]) -> bool:
        """Show what would be read and written; return whether everything can be read and written."""
        n_images, effects = 0, Counter[str]()
        for entry in planned:
            self._report(entry)
            if isinstance(entry, Failure):
                self._show_failure(entry)
            else:
                n_images += entry.is_read
                effects.update(entry.outputs.values())
        self._kept = effects["kept"] > 0
        self._show_existing()
        images = "1 image" if n_images == 1 else f"{n_images:,} images"
        outputs = _counts(effects, "new", "extended", "replaced", "kept") or "none"
        self.note(f"dry run, nothing was done; would read {images}; outputs: {outputs}")
        self._end_report()
        return self._succeeded

    def finish(self) -> bool:
        """Show a summary of a run over several images; return whether all of them succeeded."""
        self._bar.hide()
        self._end_report()
        self._show_existing()
        self._tally["not tried"] = self._n_images - self._tally.total()
        if self._n_images > 1:
            seconds = monotonic() - self._started
            timed = self._tally["done"] and seconds > _MIN_TIMED_SECONDS
            counts = _counts(self._tally, "done", "skipped", "exist", "failed", "not tried")
            speed = f", {_speed(self._tally['done'], seconds)}" if timed else ""
            self.note("; ".join(filter(None, (f"{counts} in {seconds:.1f} s{speed}", str(self._totals)))))
            if self._n_lines > _SCREEN_LINES:
                for failure in self._failures[:_SCREEN_LINES]:
                    self.note(f"failed: {failure}")
                if len(self._failures) > _SCREEN_LINES:
                    self.note(f"failed: {len(self._failures) - _SCREEN_LINES} more, listed above")
        return self._succeeded and not self._tally["not tried"]

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

    def _show_images(self, done: Done, preview: Preview) -> None:
        """Show the images of an outcome on standard output, or once a note that the terminal shows none."""
        self._bar.hide()
        try:
            text, note = preview.show(done)
        except Exception as error:  # the image is complete
            text, note = "", f"cannot draw a preview: {type(error).__name__}: {error}"
        if note is not None:
            self.note(note)
        if text:
            self._emit(text)

    def _show_failure(self, failure: Failure) -> None:
        self._succeeded = False
        self._n_existing += failure.outputs_exist
        if failure.outputs_exist and self._n_existing > 1:  # all others are counted in one line
            return
        self._of_other_settings[failure.other_settings] += 1
        if failure.other_settings and self._of_other_settings[failure.other_settings] > 1:
            return
        self._failures.append(f"{failure.source}: {failure.reason}")
        self._bar.hide()
        say(self._failures[-1], stream=self._stream)

    def _report(self, outcome: Outcome | PlannedOutcome) -> str | None:
        """Write the reporter's text for an outcome, and return it; None if a message is to be shown."""
        with signals_held():  # what the reporter has returned must be written
            text = self._reporter.add(outcome)
            if text:
                self._emit(text)
        return text

    def _end_report(self, *, wait: bool = True) -> None:
        if not self._ended:
            self._ended = True
            if text := self._reporter.end():
                self._emit(text, wait=wait)

    def _show_existing(self) -> None:
        """Show the number of images whose outputs exist, or have other settings, after the first."""
        if self._n_existing > 1:
            more = self._n_existing - 1
            images = "1 more image has" if more == 1 else f"{more:,} more images have"
            say(f"{images} outputs that exist; use --force, --skip-existing or another --name", stream=self._stream)

        for difference, number in self._of_other_settings.items():
            if difference and number > 1:
                images = "1 more image was" if number == 2 else f"{number - 1:,} more images were"
                say(f"{images} written {difference}", stream=self._stream)

    def _emit(self, results: str | bytes, *, wait: bool = True) -> None:
        if self._reporter.stream.isatty():
            self._bar.hide()
        self._succeeded &= emit(results, stream=self._reporter.stream, wait=wait)


def _counts(counter: Counter[str], *names: str) -> str:
    """Return a text such as "3 done, 1 failed", without the counts that are zero."""
    counts = [
        f"{counter[name]:,} {name}{'s' * (name == 'exist' and counter[name] == 1)}" for name in names if counter[name]
    ]
    return ", ".join(counts)


def _speed(n_images: int, seconds: float) -> str:
    """Return the images a second, or for fewer than one the seconds an image."""
    if n_images >= seconds:
        return f"{n_images / seconds:.1f} images a second"
    return f"{seconds / n_images:.1f} seconds an image"


def _keeps(outcome: Outcome, ks: Sequence[int | str]) -> bool:
    """Return whether a file at one of `ks` existed and was kept."""
    if not isinstance(outcome, Done):
        return isinstance(outcome, Skipped) and outcome.reason == EXISTS
    names = {path.name for path in outcome.written}
    images = [fit["files"].get("image") for fit in outcome.record["fits"] if fit.get("asked") in ks]
    return outcome.drawn is None and any(image and image.rsplit("/", 1)[-1] not in names for image in images)


def _message(outcome: Outcome, *, is_reported: bool) -> str | None:
    """Return the message for an image that is skipped, or that is done and not in the results."""
    if isinstance(outcome, Skipped):
        return f"skipped, {outcome.reason}"
    if is_reported or not isinstance(outcome, Done):
        return None
    if outcome.kept:
        return "kept, its outputs exist"
    names = {path.name for path in outcome.written}
    fits = [fit for fit in outcome.record["fits"] if fit["files"].get("image") in names]
    chosen = "".join(f"{fit['asked']}: k = {fit['k']}, " for fit in fits if isinstance(fit.get("asked"), str))
    return f"{chosen}wrote {written_files(outcome.record, outcome.written)}, {outcome.seconds:.2f} s"
