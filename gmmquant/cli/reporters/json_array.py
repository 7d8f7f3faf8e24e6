"""One JSON array of all records."""

from __future__ import annotations

import textwrap

from gmmquant.cli.reporters.base import Reporter
from gmmquant.report.outcome import Done, Outcome, PlannedOutcome, SharedReport
from gmmquant.report.record import to_json


class JsonArrayReporter(Reporter):
    """Shows the records, or the one record of images that share a mixture, as the elements of a JSON array."""

    _n_records = 0

    def add(self, outcome: Outcome | PlannedOutcome) -> str:
        """Return the record of an outcome as the next element; nothing for outcomes without a record."""
        if not isinstance(outcome, SharedReport if self.shared else Done):
            return ""
        self._n_records += 1
        return ("[\n" if self._n_records == 1 else ",\n") + textwrap.indent(to_json(outcome.record).rstrip(), " ")

    def end(self) -> str:
        """Return the end of the array, which is valid JSON even if it is empty."""
        return "\n]\n" if self._n_records else "[]\n"
