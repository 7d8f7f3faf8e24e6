"""The sizes of the images of a run, for its summary."""

from __future__ import annotations

from gmmquant.cli.text import percent
from gmmquant.report.numbers import file_size
from gmmquant.report.outcome import Done
from gmmquant.system.printable import printable


class Totals:
    """Adds up the bytes of the images that were read and written, where both are known, and collects the folders."""

    def __init__(self) -> None:
        self._n_read = self._n_written = 0
        self._folders = set[str]()

    def add(self, done: Done) -> None:
        """Add an image: its source and the image files that were written. Fits of earlier runs are not counted."""
        self._folders.update(str(path.parent) for path in done.written)
        names = {path.name for path in done.written}
        n_read = done.record.get("image", done.record)["bytes"]  # an image of a shared record is not nested
        images = [fit for fit in done.record["fits"] if fit["files"].get("image", "").rsplit("/", 1)[-1] in names]
        n_written = [fit["bytes"] for fit in images if fit["bytes"] is not None]
        if n_read and n_written:
            self._n_read += n_read
            self._n_written += sum(n_written)

    def __str__(self) -> str:
        """Return the sizes and the folder of the outputs; empty if nothing is known."""
        if not self._n_read:
            return ""
        share = percent(self._n_written, self._n_read)
        folders = printable(*self._folders) if len(self._folders) == 1 else f"{len(self._folders):,} folders"
        place = f" in {folders}" * (folders != ".")
        return f"{file_size(self._n_read)} read, {file_size(self._n_written)} of images written ({share}){place}"
