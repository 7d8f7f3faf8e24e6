"""Parsing of the arguments: `-k` takes every integer that follows it, and callbacks of the options convert values."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any

from typer.core import TyperCommand

_K_OPTION = re.compile(r"-(?P<flags>[qvf]*)k=?(?P<short>.*)|--colors(=(?P<long>.*))?", re.DOTALL)
_K_ITEM = r"(auto(:[^,]*)?|[0-9]+(-[0-9]+)?)"
_K_VALUE = re.compile(f"{_K_ITEM}(,{_K_ITEM})*,?")


def gather_k(arguments: Sequence[str]) -> list[str]:
    """Return the arguments with `-k 2 3 7 20` rewritten to `-k 2,3,7,20`, since typer has no options that take a list.

    The list ends at `--`, or at the first argument that is not an integer, a range, `auto` or `auto:DE`.
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


class Command(TyperCommand):
    """A command that parses as typer does, except that only the callbacks of its parameters convert values.

    Typer's conversion would load pydantic, which takes 45 ms: a tenth of a run on a small image.
    """

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        """Set the parameters of `ctx` from the arguments; return those that are left over, which are none."""
        if ctx.resilient_parsing:  # the shell asks for completions
            return super().parse_args(ctx, args)
        values, _, present = self.make_parser(ctx).parse_args(gather_k(args))
        # In the order of the arguments, so that --show-completion ends the run before a missing image does.
        parameters: list[Any] = list(dict.fromkeys([*present, *self.get_params(ctx)]))
        for parameter in sorted(parameters, key=lambda parameter: not parameter.is_eager):
            value, source = parameter.consume_value(ctx, values)
            ctx.set_parameter_source(parameter.name, source)
            if parameter.required and not value:
                ctx.fail(f"Missing argument {parameter.get_error_hint()}")
            if parameter.callback is not None:
                value = parameter.callback(ctx, parameter, value)
            if parameter.expose_value:
                ctx.params[parameter.name] = value
        return []
