"""What a way to show results has to offer."""

from __future__ import annotations

from typing import TextIO

from gmmquant.report.outcome import Outcome, PlannedOutcome


class Reporter:
    """Turns outcomes into the text of standard output. This one shows nothing.

    Parameters
    ----------
    stream : text stream
        Where the text will go. A reporter looks at its encoding, width and colours, and writes nothing.
    n_images : int
        Number of images of the run.
    shared : bool
        Whether the images share one mixture.
    verbose : bool
    """

    def __init__(self, stream: TextIO, *, n_images: int = 1, shared: bool = False, verbose: bool = False) -> None:
        self.stream, self.n_images, self.shared, self.verbose = stream, n_images, shared, verbose

    def add(self, outcome: Outcome | PlannedOutcome) -> str | None:
        """Return the text of one outcome. None leaves it to a message on standard error."""
        return ""

    def end(self) -> str:
        """Return the text that ends the output, however the run ended."""
        return ""
