"""Previews of the outcomes of a run, in a terminal that is asked once what it shows."""

from __future__ import annotations

import shutil
from collections.abc import Mapping
from functools import cached_property
from typing import TextIO

from gmmquant.cli.preview.draw import Entry, note_of, preview
from gmmquant.cli.preview.terminal import Capabilities, detect
from gmmquant.report.outcome import Done


class Previewer:
    """Draws the image and the results of each outcome; arguments as for `detect`."""

    def __init__(self, stdin: TextIO, stdout: TextIO, environ: Mapping[str, str]) -> None:
        self._stdin, self._stdout, self._environ = stdin, stdout, environ

    @cached_property
    def _capabilities(self) -> Capabilities:
        return detect(self._stdin, self._stdout, self._environ)

    @property
    def note(self) -> str | None:
        """Why the terminal shows no previews; None if it shows them."""
        return note_of(self._capabilities)

    def drawn(self, outcome: Done) -> str:
        """Return the text that shows an outcome, empty if there is nothing to show."""
        if outcome.illustration is None or self.note:
            return ""
        fits = outcome.record["fits"]
        images = zip(fits, outcome.illustration.images, strict=True)
        results = [Entry(f"k = {fit['k']}", image, fit.get("trace", ())) for fit, image in images if image is not None]
        columns, rows = shutil.get_terminal_size((80, 24))
        entries = [Entry("original", outcome.illustration.original), *results]
        return preview(entries, self._capabilities, columns, rows, self._capabilities.cell_pixels)
