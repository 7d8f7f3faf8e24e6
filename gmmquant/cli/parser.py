"""Parsing of the arguments: `-k` takes every integer that follows it, and callbacks of the options convert values."""

from __future__ import annotations

import os
import re
import shlex
import stat
import sys
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from difflib import get_close_matches
from itertools import pairwise
from typing import Any, TextIO

from typer.core import TyperCommand, TyperOption

from gmmquant.cli.completion import without_shell
from gmmquant.cli.other_programs import answer_to
from gmmquant.colors.named_palettes import NAMED_PALETTES
from gmmquant.parsing import color_names, parse_hex, parse_hsl, parse_rgb, split_colors
from gmmquant.settings import ALL, MAPS, PALETTE_FORMATS, PLOT_FORMATS, REPORTS, SHEET_FORMATS

_K_OPTION = re.compile(r"-(?P<flags>[qvf]*)k=?(?P<short>.*)|--colors(=(?P<long>.*))?", re.DOTALL)
# Options of one letter with a value, after flags: -o=out is understood as -k=4 is.
_EQUALS_OPTION = re.compile(r"(?P<option>-[qvfrn0]*[oj])=(?P<value>.*)", re.DOTALL)
_EMPTY_VALUE = re.compile(r"-[qvfrn0]*[oj]=|--[a-z-]+=")
_K_ITEM = r"(auto(:[^,]*)?|[0-9]+(-[0-9]+)?)"
_K_VALUE = re.compile(f"{_K_ITEM}(,{_K_ITEM})*,?")

# Formats of the options that may stand alone; the first is then written.
_FORMATS_OF = {"--sheet": SHEET_FORMATS, "--plots": PLOT_FORMATS}

# Options whose values are lists with commas, and their words.
_WORDS_OF = {
    "--report": REPORTS,
    "--palette-out": PALETTE_FORMATS,
    "--sheet": SHEET_FORMATS,
    "--plots": PLOT_FORMATS,
    "--maps": MAPS,
}
_COLOR_LISTS = ("--palette", "--keep-colors")

# The key of the context's options with one value that were set more than once.
REPEATED = "gmmquant.repeated"

# Options that are spelled alike have most letters in common.
_LEAST_LIKENESS = 0.75


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


def with_values_apart(arguments: Sequence[str]) -> list[str]:
    """Return the arguments with `-o=out` and `-j=2` as an option and its value."""
    end = list(arguments).index("--") if "--" in arguments else len(arguments)
    apart = list[str]()
    for argument in arguments[:end]:
        match = _EQUALS_OPTION.fullmatch(argument)
        apart += [argument] if match is None else [match["option"], match["value"]]
    return [*apart, *arguments[end:]]


def has_empty(arguments: Sequence[str]) -> bool:
    """Return whether an argument or the value of an option is empty, as of a shell variable that is not set."""
    before = arguments[: list(arguments).index("--")] if "--" in arguments else arguments
    return "" in arguments or any(_EMPTY_VALUE.fullmatch(argument) for argument in before)


def gather_lists(arguments: Sequence[str]) -> list[str]:
    """Return the arguments with `--report json html` rewritten to `--report json,html`, as `gather_k` does with -k.

    An option that takes a list takes the words that follow, if all are known and none is a file. Lists of an option
    that is repeated are one list.
    """
    gathered, rest = list[str](), list(arguments)
    values: dict[str, int] = {}  # the index of the last value of an option
    while rest and rest[0] != "--":
        argument = rest.pop(0)
        name, sign, value = argument.partition("=")
        if name not in (*_WORDS_OF, *_COLOR_LISTS) or not (rest or sign):
            gathered.append(argument)
            continue
        value = value if sign else rest.pop(0)
        is_list = _is_list_of(name, value)
        if is_list or _is_none(name, value):
            while rest and _follows(name, rest[0]) and not os.path.lexists(rest[0]):
                value += f",{rest.pop(0)}"
        if is_list and name in values:
            gathered[values[name]] += f",{value}"
        else:
            gathered += [f"{name}={value}"] if sign else [name, value]
            values |= {name: len(gathered) - 1} if is_list else {}
    return gathered + rest


def _follows(option: str, word: str) -> bool:
    """Return whether a word after the first belongs to the list of an option, also if it cannot be in the list."""
    is_wrong = option in _WORDS_OF and is_new_file(word, _WORDS_OF[option])
    return is_wrong or _is_list_of(option, word) or _is_none(option, word)


def is_new_file(text: str, formats: Sequence[str]) -> bool:
    """Return whether a text is the name of a file that does not exist, in one of some formats of outputs."""
    ending = re.fullmatch(r"[^-@*?\[][^*?\[:]*\.([a-z]+)", text)
    return ending is not None and ending[1] in formats and not os.path.lexists(text)


def _is_none(option: str, word: str) -> bool:
    return (option, word) == ("--report", "none")


def _is_list_of(option: str, text: str) -> bool:
    """Return whether a text has only known words of an option, joined by commas."""
    if option in _WORDS_OF:
        return all(word in (*_WORDS_OF[option], ALL) for word in text.split(","))
    if text.startswith("-"):
        return False
    return all(
        word in NAMED_PALETTES or word.lower() in color_names() or parse_hex(word) or parse_rgb(word) or parse_hsl(word)
        for word in split_colors(text)
    )


def with_formats(arguments: Sequence[str]) -> list[str]:
    """Return the arguments with the usual format after `--sheet` and `--plots`, where none follows."""
    rest, completed = list(arguments), list[str]()
    while rest:
        completed.append(rest.pop(0))
        if completed[-1] == "--":
            return completed + rest
        choices = _FORMATS_OF.get(completed[-1])
        if choices and not (rest and _is_format(rest[0], choices)):
            completed.append(choices[0])
    return completed


def _is_format(text: str, choices: Sequence[str]) -> bool:
    """Return whether a text names formats, or is no file but a word of letters, or a name: both are a wrong format."""
    if all(part in (*choices, ALL) for part in text.split(",")) or is_new_file(text, choices):
        return True
    return re.fullmatch("[a-z,]+", text) is not None and not os.path.lexists(text)


def is_number_of_colors(text: str) -> bool:
    """Return whether a text is numbers of colours, such as 7, 2-8, 2,3,7 or auto."""
    return _K_VALUE.fullmatch(text) is not None


def _file_like_an_option(arguments: Sequence[str], options: Mapping[str, Any]) -> str | None:
    """Return the first argument that would be read as an option and names a file, as `*.jpg` may; None without one.

    `options` are typer's by name. An argument after an option with a value is that value.
    """
    for previous, argument in pairwise(["", *arguments]):
        is_value = previous in options and options[previous].takes_value
        is_option = len(argument) <= 2 or not argument.startswith("-") or argument.partition("=")[0] in options
        has_ending = re.search(r"\.[A-Za-z]\w*$", argument) is not None  # as no group of options has
        if has_ending and not (is_value or is_option) and os.path.lexists(argument):
            return argument
    return None


def _without_values(arguments: Sequence[str], options: Mapping[str, Any]) -> Iterator[str]:
    """Yield the arguments that may be options: those that begin as one, and are not the value of the one before.

    `options` are typer's by name. A word with two hyphens is no value.
    """
    for previous, argument in pairwise(["", *arguments]):
        is_value = previous in options and options[previous].takes_value and previous not in _FORMATS_OF
        if argument.startswith(("-", "+")) and (argument.startswith("--") or not is_value):
            yield argument


def _without_value(arguments: Sequence[str], options: Mapping[str, Any]) -> tuple[str, str] | None:
    """Return the first option with a value that another option follows instead, and that option; None without one.

    `options` are typer's by name. Another argument that starts with a hyphen may be a value.
    """
    rest = list(arguments)
    while rest and rest[0] != "--":
        argument = rest.pop(0)
        if rest and argument in options and options[argument].takes_value:
            value = rest.pop(0)
            if value.partition("=")[0] in options:
                return argument, value.partition("=")[0]
    return None


def _is_pipe(stream: TextIO | None) -> bool:
    """Return whether a stream is a pipe, or a file that was redirected to it."""
    try:
        mode = os.fstat(stream.fileno()).st_mode if stream else 0
    except (OSError, ValueError):  # closed, or replaced
        return False
    return stat.S_ISFIFO(mode) or stat.S_ISREG(mode)


class Command(TyperCommand):
    """A command that parses as typer does, except that only the callbacks of its parameters convert values.

    Typer's conversion would load pydantic, which takes 45 ms: a tenth of a run on a small image.
    """

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        """Set the parameters of `ctx` from the arguments; return those that are left over, which are none."""
        if ctx.resilient_parsing:  # the shell asks for completions
            return super().parse_args(ctx, args)
        before = args[: args.index("--") if "--" in args else None]
        parser = self.make_parser(ctx)
        options = {**parser._long_opt, **parser._short_opt}
        if file := _file_like_an_option(before, options):
            ctx.fail(f"No such option: {file} (did you mean {shlex.quote(f'./{file}')}?)")
        for argument in _without_values(before, options):
            if answer := answer_to(argument, options):
                ctx.fail(f"No such option: {answer}")
        for argument in before:
            name = argument.partition("=")[0]
            if name.startswith("--") and name not in parser._long_opt:
                longer = [option for option in parser._long_opt if option.startswith(name)]
                alike = longer or get_close_matches(name, parser._long_opt, n=1, cutoff=_LEAST_LIKENESS)
                ctx.fail(f"No such option: {name}" + "".join(f" (did you mean {other}?)" for other in alike[:1]))
        args, shell = without_shell(args)
        gathered = gather_k(gather_lists(with_formats(with_values_apart(args))))
        if missing := _without_value(gathered, options):
            ctx.fail("{} needs a value; {} after it is an option".format(*missing))
        values, _, present = parser.parse_args(gathered)
        values |= shell
        counts = Counter(parameter for parameter in present if isinstance(parameter, TyperOption))
        ctx.meta[REPEATED] = [
            option.opts[-1] for option, n in counts.items() if n > 1 and not (option.multiple or option.is_flag)
        ]
        # In the order of the arguments, so that --show-completion ends the run before a missing image does.
        parameters: list[Any] = list(dict.fromkeys([*present, *self.get_params(ctx)]))
        for parameter in sorted(parameters, key=lambda parameter: not parameter.is_eager):
            value, source = parameter.consume_value(ctx, values)
            ctx.set_parameter_source(parameter.name, source)
            if parameter.required and not value:
                hint = "; use - for standard input" if parameter.name == "image" and _is_pipe(sys.stdin) else ""
                ctx.fail(f"Missing argument {parameter.get_error_hint()}{hint}")
            if parameter.callback is not None:
                value = parameter.callback(ctx, parameter, value)
            if parameter.expose_value:
                ctx.params[parameter.name] = value
        return []
