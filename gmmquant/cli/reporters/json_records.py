"""Records as JSON: one array, or JSON Lines."""

from __future__ import annotations

import textwrap

from gmmquant.cli.reporters.base import Reporter
from gmmquant.report.outcome import Done, Outcome, PlannedOutcome, SharedReport
from gmmquant.report.record import outcome_line, to_json


class JsonArrayReporter(Reporter):
    """Shows the record of each image, or of the shared mixture, as an element of a JSON array."""

    _n_records = 0

    def add(self, outcome: Outcome | PlannedOutcome) -> str:
        """Return the record of an outcome as the next element of the array, if it has one."""
        if not isinstance(outcome, SharedReport if self.shared else Done):
            return ""
        self._n_records += 1
        return ("[\n" if self._n_records == 1 else ",\n") + textwrap.indent(to_json(outcome.record).rstrip(), " ")

    def end(self) -> str:
        """Return the end of the array, which is valid JSON even if it is empty."""
        return "\n]\n" if self._n_records else "[]\n"


class JsonLinesReporter(Reporter):
    """Shows every outcome as one line of JSON, schema `gmmquant-outcome/1`."""

    def add(self, outcome: Outcome | PlannedOutcome) -> str:
        """Return the line of an outcome."""
        return outcome_line(outcome)
