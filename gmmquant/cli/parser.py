"""Parsing of `-k`, which takes every integer that follows it."""

from __future__ import annotations

import re
from collections.abc import Sequence

_K_OPTION = re.compile(r"-(?P<flags>[qvf]*)k=?(?P<short>.*)|--colors(=(?P<long>.*))?", re.DOTALL)
_K_VALUE = re.compile(r"(auto|[0-9]+(-[0-9]+)?)(,(auto|[0-9]+(-[0-9]+)?))*,?")


def gather_k(arguments: Sequence[str]) -> list[str]:
    """Return the arguments with `-k 2 3 7 20` rewritten to `-k 2,3,7,20`, since typer has no options that take a list.

    The list ends at `--`, or at the first argument that is not an integer, a range or `auto`.
    """
    gathered, rest = list[str](), list(arguments)
    while rest and rest[0] != "--":
        argument = rest.pop(0)
        option = _K_OPTION.fullmatch(argument)
        if option is None:
            gathered.append(argument)
            continue
        if option["flags"]:
            gathered.append(f"-{option['flags']}")
        attached = option["short"] or option["long"]
        values = [attached] if attached else [rest.pop(0) for _ in rest[:1]]
        while rest and _K_VALUE.fullmatch(rest[0]):
            values.append(rest.pop(0))
        gathered += ["-k", ",".join(value.strip(",") for value in values)] if values else ["-k"]
    return gathered + rest
