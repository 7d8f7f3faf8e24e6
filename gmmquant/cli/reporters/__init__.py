"""Ways to show results on standard output: each is a class like `base.Reporter`, and a flag of the command.

A new one is a module here, its flag and its entry below, and a parameter of the command in `app`.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Annotated

from gmmquant.cli.options.declaration import flag

if TYPE_CHECKING:
    from gmmquant.cli.reporters.base import Reporter

Json = Annotated[bool, flag("--json", "Print the reports as one JSON array instead of tables.")]
JsonLines = Annotated[bool, flag("--json-lines", "Print a line of JSON for each image as it is finished.")]

# Module and class by the parameter of the command that asks for it. They are imported when they are used.
REPORTERS = {
    "as_json": ("json_array", "JsonArrayReporter"),
    "json_lines": ("json_lines", "JsonLinesReporter"),
    "quiet": ("base", "Reporter"),
    "table": ("table", "TableReporter"),
}


def reporter_class(name: str) -> type[Reporter]:
    """Return the class of an entry of `REPORTERS`."""
    module, attribute = REPORTERS[name]
    reporter: type[Reporter] = getattr(import_module(f"{__name__}.{module}"), attribute)
    return reporter
