"""The interface of reporters, which show the results of a run."""

from __future__ import annotations

from typing import TextIO

from gmmquant.report.outcome import Outcome, PlannedOutcome


class Reporter:
    """Turns outcomes into the text of standard output. This one shows nothing.

    A reporter writes nothing to `stream`, where the text will go, but may look at its encoding, width and colours.
    """

    def __init__(
        self, stream: TextIO, *, n_images: int = 1, shared: bool = False, verbose: bool = False, stats: bool = False
    ) -> None:
        self.stream, self.n_images, self.shared, self.verbose, self.stats = stream, n_images, shared, verbose, stats

    def add(self, outcome: Outcome | PlannedOutcome) -> str | None:
        """Return the text of an outcome; None if a message on standard error shall show it."""
        return ""

    def end(self) -> str:
        """Return the text that ends the output, however the run ended."""
        return ""
