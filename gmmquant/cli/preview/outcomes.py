"""The preview of an outcome: the original and the results, with captions from the record."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TextIO

from gmmquant.cli.preview.draw import Entry, note_of, preview_for
from gmmquant.cli.preview.terminal import Capabilities, detect
from gmmquant.cli.reporters.facts import file_name
from gmmquant.report.numbers import file_size
from gmmquant.report.outcome import Done
from gmmquant.report.record import Record


class Preview:
    """Shows outcomes in the terminal of `stdout`, whose capabilities are detected once.

    Arguments as for `terminal.detect`.
    """

    def __init__(self, stdin: TextIO, stdout: TextIO, environ: Mapping[str, str]) -> None:
        self._stdin, self._stdout, self._environ = stdin, stdout, environ
        self._capabilities: Capabilities | None = None

    def show(self, outcome: Done) -> tuple[str, str | None]:
        """Return the text that shows an outcome, if it is illustrated, and once a note if the terminal shows none."""
        note = None
        if self._capabilities is None:
            self._capabilities = detect(self._stdin, self._stdout, self._environ)
            note = note_of(self._capabilities)
        return preview_for(entries_of(outcome), self._capabilities), note


def entries_of(outcome: Done) -> list[Entry]:
    """Return the original and the results of an illustrated outcome; none if it is not, or where an image is gone."""
    if outcome.illustration is None:
        return []
    image, fits = outcome.record.get("image", outcome.record), outcome.record["fits"]
    facts = [file_name(image["path"])] + ([] if image["bytes"] is None else [file_size(image["bytes"])])
    entries = [Entry("  ".join(facts), outcome.illustration.original)]
    for fit, drawn in zip(fits, outcome.illustration.images, strict=True):
        if drawn is not None:
            entries.append(Entry(_caption(fit), drawn, fit.get("trace", ())))  # a fit that is shared has no trace here
    return entries


def _caption(fit: Record) -> str:
    facts = [f"k = {fit['k']}"]
    if fit["psnr"] is not None:
        facts.append(f"{fit['psnr']:.1f} dB")
    if fit["bytes"] is not None:
        facts.append(file_size(fit["bytes"]))
    return "  ".join(facts)
