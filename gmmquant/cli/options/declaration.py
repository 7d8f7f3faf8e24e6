"""How an option is made, and how a shell completes its value."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import typer


def option(*names: str, help: str, panel: str, **settings: Any) -> Any:  # noqa: A002  typer's name
    """Make an option without a default of its own to show, unless `settings` say so."""
    return typer.Option(*names, help=help, rich_help_panel=panel, **{"readable": False, **settings})


def one_of(choices: Sequence[str]) -> Callable[[str], list[str]]:
    """Return what a shell completes a value by."""

    def complete(incomplete: str) -> list[str]:
        return [choice for choice in choices if choice.startswith(incomplete)]

    return complete


def some_of(choices: Sequence[str]) -> Callable[[str], list[str]]:
    """Return what a shell completes the last of several values by, which have commas between them."""

    def complete(incomplete: str) -> list[str]:
        before, comma, last = incomplete.rpartition(",")
        named = before.split(",")
        return [before + comma + name for name in (*choices, "all") if name.startswith(last) and name not in named]

    return complete
