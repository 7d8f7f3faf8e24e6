"""Arguments of the command, and numbers of the tables, as text; the width of text."""

from __future__ import annotations

import os
import re
import shlex
import textwrap
from collections.abc import Iterable, Sequence
from typing import TextIO

from gmmquant.cli.parser import gather_k
from gmmquant.settings import ANY_K

_MIN_COLUMNS, _USUAL_COLUMNS = 40, 80

# A setting and its value in a message; k stays as it is.
_SETTING = re.compile(r"(?<![-\w])([a-z][a-z_-]{2,}) = ('[^']*'|[-+.\w]+)")

# A setting without a value in a message.
_SETTING_ALONE = re.compile(r"(?<![-\w./])(keep_colors|color_depth)(?=: | or it)")


def command_line(arguments: Sequence[str]) -> str:
    """Return the command as it would be typed, without passwords of servers.

    `ANY_K` stands for the numbers of colours, which a report may have of several runs.
    """
    gathered = gather_k(arguments)
    typed = [text for i, text in enumerate(gathered) if text != "-k" and gathered[i - 1 : i] != ["-k"]]
    options, end, names = typed, [], []
    if "--" in typed:
        start = typed.index("--")
        options, end, names = typed[:start], ["--"], typed[start + 1 :]
    safe = shlex.join(["gmmquant", *map(_without_secrets, options)])
    rest = shlex.join([*end, *map(_without_secrets, names)])
    return f"{safe} -k {ANY_K}" + (f" {rest}" if rest else "")


def _without_secrets(argument: str) -> str:
    """Return an argument without the user and the query of a URL, which may be secrets."""
    match = re.fullmatch(r"([a-z][a-z0-9+.-]*://)(?:.*@)?([^?]*)(\?.*)?", argument, re.DOTALL | re.IGNORECASE)
    return argument if match is None else match[1] + match[2] + ("?..." if match[3] else "")


def in_options(message: str) -> str:
    """Return a message about settings, such as "color_depth = 'x' is unknown", about the options of the command."""
    message = _SETTING_ALONE.sub(lambda match: f"--{match[1].replace('_', '-')}", message)
    return _SETTING.sub(lambda match: f"--{match[1].replace('_', '-')} {match[2].strip(chr(39))}", message)


def wrapped(line: str, columns: int) -> list[str]:
    """Return a line as lines of at most `columns`, divided between words; a longer word stays whole. 0: no limit."""
    if len(line) <= columns or not columns:
        return [line]
    return textwrap.wrap(line, columns, subsequent_indent="  ", break_long_words=False, break_on_hyphens=False)


def chosen_columns() -> int | None:
    """Return the width of text that the variable COLUMNS sets, at least 40; None if it sets none."""
    text = os.environ.get("COLUMNS", "")
    return max(int(text), _MIN_COLUMNS) if re.fullmatch("[1-9][0-9]{0,4}", text) else None


def columns_of(stream: TextIO) -> int:
    """Return the width of a terminal: that of the variable COLUMNS, or that of the stream; 80 if it has none.

    `shutil.get_terminal_size` looks at standard output, also where that is a file and messages go to a terminal.
    """
    text = os.environ.get("COLUMNS", "")
    if re.fullmatch("[1-9][0-9]{0,4}", text):
        return int(text)
    try:
        return os.get_terminal_size(stream.fileno()).columns or _USUAL_COLUMNS
    except (OSError, ValueError):  # it is in memory, closed, or no terminal
        return _USUAL_COLUMNS


def percent(part: int, whole: int) -> str:
    """Return a part of a whole of at least 1 in per cent, with one digit below 10 per cent."""
    share = 100 * part / whole
    return f"{share:.1f} %" if share < 9.95 else f"{share:,.0f} %"


def total(numbers: Iterable[int | None]) -> int | None:
    """Return the sum of numbers, or None if one of them is not known, or if there are none."""
    known = list(numbers)
    return sum(number for number in known if number is not None) if known and None not in known else None
