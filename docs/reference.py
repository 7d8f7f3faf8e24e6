"""Updates the options in `docs/cli.md` from the command: their names, values, help texts and defaults, in panels.

The paragraphs below the help text of an option are written by hand and kept.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import typer

from gmmquant.cli.app import app
from gmmquant.cli.help import names, panel, panels

PAGE = Path(__file__).parent / "cli.md"
_START, _END = "<!-- options -->\n", "<!-- end of options -->\n"


def parameters() -> list[Any]:
    """Return the parameters of the command."""
    command = typer.main.get_command(app)
    with command.make_context("gmmquant", [], resilient_parsing=True) as context:
        return list(command.get_params(context))


def options() -> list[Any]:
    """Return the options of the command, in the order of the help."""
    return [option for _, of_panel in panels(parameters()) for option in of_panel]


def summary(option: Any) -> str:
    """Return the help of an option, and its default if it has one to show."""
    if isinstance(option.show_default, str):
        return f"{option.help} Default: {option.show_default}."
    default = option.default[0] if isinstance(option.default, list) else option.default
    if default is None or isinstance(default, bool):
        return option.help
    shown = f"`{default:g}`" if isinstance(default, float) else f"`{default}`"
    return f"{option.help} Default: {shown}."


def regenerated(page: str) -> str:
    """Return the page with updated options, without the paragraphs of options that no longer exist."""
    before, _, rest = page.partition(_START)
    written, _, after = rest.partition(_END)
    details = {}
    for section in re.split(r"^### ", written, flags=re.MULTILINE)[1:]:
        heading, _, text = section.partition("\n\n")
        _, _, detail = text.partition("\n\n")
        details[frozenset(re.findall(r"`(-[\w-]+)`", heading))] = re.sub(r"^## .*", "", detail, flags=re.M).strip()
    parts, last = [], ""
    for option in options():
        if panel(option) != last:
            last = panel(option)
            parts.append(f"## {last}")
        value = f" `{option.metavar}`" if option.metavar else ""
        parts.append(f"### {', '.join(f'`{name}`' for name in names(option))}{value}")
        parts.append(summary(option))
        if detail := details.get(frozenset(option.opts)):
            parts.append(detail)
    return f"{before}{_START}\n" + "\n\n".join(parts) + f"\n\n{_END}{after}"


if __name__ == "__main__":
    PAGE.write_text(regenerated(PAGE.read_text(encoding="utf-8")), encoding="utf-8")
