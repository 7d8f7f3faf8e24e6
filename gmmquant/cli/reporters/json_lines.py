"""JSON Lines: one line for each outcome."""

from __future__ import annotations

from gmmquant.cli.reporters.base import Reporter
from gmmquant.report.outcome import Outcome, PlannedOutcome
from gmmquant.report.record import outcome_line


class JsonLinesReporter(Reporter):
    """Shows every outcome as one line of JSON, schema `gmmquant-outcome/1`."""

    def add(self, outcome: Outcome | PlannedOutcome) -> str:
        """Return the line of an outcome."""
        return outcome_line(outcome)
