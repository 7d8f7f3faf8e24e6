"""What was typed: `-k` with the integers that follow it, and texts as values."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any, get_args, get_origin

import typer
from typer.core import TyperCommand

from gmmquant.errors import ParameterError

_K_OPTION = re.compile(r"-(?P<flags>[qvf]*)k=?(?P<short>.*)|--colors(=(?P<long>.*))?", re.DOTALL)
_K_VALUE = re.compile(r"(auto|[0-9]+(-[0-9]+)?)(,(auto|[0-9]+(-[0-9]+)?))*,?")


def gather_k(arguments: Sequence[str]) -> list[str]:
    """Rewrite `-k 2 3 7 20` to `-k 2,3,7,20`: the parser knows no option that takes a list.

    The list goes on while arguments look like integers, ranges or `auto`; any other argument, or `--`, ends it.
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


class ListingCommand(TyperCommand):
    """A command whose `-k` takes every integer that follows."""

    def collect_usage_pieces(self, ctx: Any) -> list[str]:
        """Say what the command takes, as the line after `Usage:` shows it."""
        return ["[OPTIONS]", "IMAGE..."]

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        """Parse the arguments, the values of `-k` gathered."""
        if "" in args:
            raise ParameterError(
                "an argument is empty; give a file, a folder or a value, and mind unset shell variables"
            )
        for parameter in self.get_params(ctx):
            if hasattr(parameter, "get_runtime_param"):
                parameter.get_runtime_param = _PlainValue
        return super().parse_args(ctx, gather_k(args))


class _PlainValue:
    """Turns what was typed into the type that a parameter is annotated with.

    It stands in for typer's own conversion, for which newer versions load pydantic: 45 ms, more than numpy takes.
    """

    def coerce(self, value: Any, param: Any, ctx: Any) -> Any:
        """Return `value`, a text, several texts or a default, as the parameter's type has it."""
        kind = param.type_descriptor.annotation
        if value is None or value == ():
            return [] if param.multiple or param.nargs == -1 else None
        if get_origin(kind) is list:
            return [_convert(item, get_args(kind)[0], param, ctx) for item in value]
        return _convert(value, kind, param, ctx)


def _convert(value: Any, kind: type, param: Any, ctx: Any) -> Any:
    try:
        return kind(value)
    except ValueError:
        what = {int: "an integer", float: "a number"}.get(kind, kind.__name__)
        raise typer.BadParameter(f"{value!r} is not {what}", ctx=ctx, param=param) from None
