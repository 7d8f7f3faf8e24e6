"""Styles of the results on standard output: each is a subclass of `base.Reporter` and a flag of the command.

A new style is a module in this folder, its flag and its entry below, and a parameter of the command in `app`.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Annotated

from gmmquant.cli.options.declaration import flag

if TYPE_CHECKING:
    from gmmquant.cli.reporters.base import Reporter

Json = Annotated[bool, flag("--json", "Print the reports as one JSON array instead of tables.")]
JsonLines = Annotated[bool, flag("--json-lines", "Print one line of JSON per image, as soon as it is finished.")]

# Parameter of the command: module and class, which are imported on use.
REPORTERS = {
    "as_json": ("json_records", "JsonArrayReporter"),
    "json_lines": ("json_records", "JsonLinesReporter"),
    "quiet": ("base", "Reporter"),
    "table": ("table", "TableReporter"),
}


def reporter_class(name: str) -> type[Reporter]:
    """Return the class of an entry of `REPORTERS`."""
    module, attribute = REPORTERS[name]
    reporter: type[Reporter] = getattr(import_module(f"{__name__}.{module}"), attribute)
    return reporter
