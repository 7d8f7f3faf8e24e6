"""The help: short for -h, whole for --help, from the parameters of the command. Imports neither numpy nor rich."""

from __future__ import annotations

import os
import shutil
import textwrap
from collections.abc import Iterable, Iterator, Sequence
from typing import Any, NamedTuple, TextIO

from gmmquant.cli.options.declaration import shown
from gmmquant.settings import STYLES, Settings

USAGE = "gmmquant [OPTIONS] IMAGE..."
SUMMARY = "Redraw images in a few colours by fitting a Gaussian mixture to their pixels."
DESCRIPTION = (
    "For each k, KMeans clusters the pixels, EM refines the clusters into a mixture of k Gaussians, and each pixel "
    "gets the colour of its most probable component. The outputs are the recoloured images and a report with the "
    "log-likelihoods."
)
EXAMPLES = {
    "gmmquant cat.jpg -k 2 3 7 20": "cat_k2.png to cat_k20.png, a report",
    "gmmquant cat.jpg -k auto:3": "few colours, mean difference up to 3",
    "gmmquant cat.jpg -k 7 -o small.png": "one image, to a file",
    "gmmquant cat.jpg -k 16 --style faithful": "dithered, closest from a distance",
    "gmmquant cat.jpg --palette gameboy": "in colours of your choice",
    "gmmquant photos -k 8 -o out": "every image of a folder",
}
_FURTHER_EXAMPLES = {"gmmquant -k 5 -- 7": "a file named 7, in 5 colours"}
STYLES_TITLE = "Styles (for other options, which may still be set; all start from mixture)"
EXIT_CODES = {
    "0": "all images are done or were skipped",
    "1": "some images failed, or have outputs that were kept",
    "2": "wrong usage, or a file of an option cannot be used",
    "130, 143, 129": "stopped by INT, TERM, HUP",
}

# Options of the short help, by the names that it shows.
_MOST_USED = ("-k", "--style", "-o", "-f", "-r", "--palette", "--dither", "--preview", "--report", "--format")

EVERYDAY, _LAST, _OF_PROGRAM = "Everyday options", "Advanced fitting", "Help"
# Panels in the order of use. Others stand before those that are used least.
_PANELS = (EVERYDAY, "Colours", "Drawing", "Files", "Many images", "Additional outputs")
_LEAST_USED = (_LAST, _OF_PROGRAM)
_PROGRAM_OPTIONS = ("-h", "--help", "--version", "--install-completion", "--show-completion")

_INDENT_COLUMNS, _GAP_COLUMNS = 1, 2
_MIN_COLUMNS, _MAX_COLUMNS = 40, 110  # of all text; longer lines are hard to read
_MIN_TEXT_COLUMNS, _BELOW_COLUMNS = 32, 8  # with less room beside the names, texts stand below them, indented


class Entry(NamedTuple):
    """A term, such as the names of an option, its value if it has one, and the text that explains it."""

    term: str
    text: str
    value: str = ""


class Ink(NamedTuple):
    """Styles of text on a terminal with colours; on other streams text stays plain."""

    has_colors: bool = False

    def title(self, text: str) -> str:
        """Return a title in bold."""
        return self._in("1", text)

    def term(self, text: str) -> str:
        """Return what is typed as it stands, in bold cyan."""
        return self._in("1;36", text)

    def value(self, text: str) -> str:
        """Return the name of a value in yellow."""
        return self._in("33", text)

    def _in(self, codes: str, text: str) -> str:
        return f"\x1b[{codes}m{text}\x1b[0m" if self.has_colors and text else text


def columns_and_ink(stream: TextIO) -> tuple[int, Ink]:
    """Return the width and the styles of help on a stream."""
    columns = min(max(shutil.get_terminal_size((80, 24)).columns, _MIN_COLUMNS), _MAX_COLUMNS)
    plain = os.environ.get("NO_COLOR") or os.environ.get("TERM", "dumb") == "dumb"
    return columns, Ink(stream.isatty() and not plain)


def short_help(parameters: Iterable[Any], columns: int = 80, ink: Ink = Ink()) -> str:  # noqa: B008  immutable
    """Return the help of -h: usage, examples and the options that are used most; at most 25 lines of 80 columns."""
    by_name = {name: parameter for parameter in options_of(parameters) for name in parameter.opts}
    entries = [Entry(name, by_name[name].help.rstrip(".")) for name in _MOST_USED]
    examples = [Entry(command, text) for command, text in EXAMPLES.items()]
    return _page(
        f"{ink.title('Usage:')} {USAGE}",
        _wrapped(SUMMARY, columns),
        _definitions(examples, columns, ink),
        _definitions(entries, columns, ink),
        f"All options: {ink.term('gmmquant --help')}",
    )


def long_help(parameters: Sequence[Any], columns: int = 80, ink: Ink = Ink()) -> str:  # noqa: B008  immutable
    """Return the help of --help: all options in panels, examples, styles and exit codes."""
    (argument,) = (parameter for parameter in parameters if parameter.param_type_name == "argument")
    blocks = {"Arguments": [Entry(f"{argument.metavar}...", argument.help)]}
    blocks |= {title: [entry_of(option) for option in options] for title, options in panels(parameters)}
    blocks["Examples"] = [Entry(command, text) for command, text in (EXAMPLES | _FURTHER_EXAMPLES).items()]
    blocks[STYLES_TITLE] = style_entries()
    blocks["Exit codes"] = [Entry(*code) for code in EXIT_CODES.items()]
    parts = (
        f"{ink.title(_wrapped(title, columns))}\n{_definitions(entries, columns, ink)}"
        for title, entries in blocks.items()
    )
    usage = f"{ink.title('Usage:')} {USAGE}"
    return _page(usage, _wrapped(SUMMARY, columns), _wrapped(DESCRIPTION, columns), *parts)


def options_of(parameters: Iterable[Any]) -> Iterator[Any]:
    """Yield the parameters that are options, without hidden ones."""
    return (p for p in parameters if p.param_type_name == "option" and not p.hidden)


def panels(parameters: Iterable[Any]) -> list[tuple[str, list[Any]]]:
    """Return the options by the titles of their panels, those that are used most first."""
    found: dict[str, list[Any]] = {title: [] for title in _PANELS}
    for option in options_of(parameters):
        found.setdefault(panel(option), []).append(option)
    for title in _LEAST_USED:
        found[title] = found.pop(title, [])
    return [(title, options) for title, options in found.items() if options]


def panel(option: Any) -> str:
    """Return the title of the panel of an option."""
    if option.opts[-1] in _PROGRAM_OPTIONS:
        return _OF_PROGRAM
    return option.rich_help_panel or EVERYDAY


def names(option: Any) -> list[str]:
    """Return the names of an option, the short one first."""
    return sorted(option.opts, key=len)


def default_of(option: Any) -> str | None:
    """Return the default of an option, or None if it has none to show."""
    if isinstance(option.show_default, str):
        return option.show_default
    default = option.default[0] if isinstance(option.default, list) else option.default
    return None if default is None or isinstance(default, bool) else shown(default)


def entry_of(option: Any) -> Entry:
    """Return the entry of an option: names without a short one are indented by its width."""
    default = default_of(option)
    text = option.help if default is None else f"{option.help} Default: {default}."
    indent = "" if len(names(option)[0]) == 2 else "    "
    return Entry(f"{indent}{', '.join(names(option))}", text, option.metavar or "")


def style_entries() -> list[Entry]:
    """Return an entry for each style: what it changes in the options of the default one."""
    defaults = {name: getattr(Settings(), name) for name in ("noise", "shrink", "average")}
    return [
        Entry(style, " ".join(f"--{name} {shown(value)}" for name, value in (changes or defaults).items()))
        for style, changes in STYLES.items()
    ]


def _page(*parts: str) -> str:
    return "\n\n".join(parts) + "\n"


def _wrapped(text: str, columns: int, indent: int = 0) -> str:
    """Return text in lines of at most `columns`, all indented; words are not broken, also not at their hyphens."""
    space = " " * indent
    return textwrap.fill(
        text,
        columns,
        initial_indent=space,
        subsequent_indent=space,
        break_on_hyphens=False,
        break_long_words=False,
    )


def _definitions(entries: Sequence[Entry], columns: int, ink: Ink) -> str:
    """Return entries in two columns; the texts stand below the terms if there is little room beside them."""
    widths = [len(term) + bool(value) + len(value) for term, _, value in entries]
    indent = _INDENT_COLUMNS + max(widths) + _GAP_COLUMNS
    below = columns - indent < min(_MIN_TEXT_COLUMNS, max(len(text) for _, text, _ in entries))
    lines = []
    for (term, text, value), width in zip(entries, widths, strict=True):
        head = " " * _INDENT_COLUMNS + ink.term(term) + (f" {ink.value(value)}" if value else "")
        if below:
            lines += [head, _wrapped(text, columns, _BELOW_COLUMNS)]
        else:
            lines.append(head + " " * (max(widths) - width + _GAP_COLUMNS) + _wrapped(text, columns, indent)[indent:])
    return "\n".join(lines)


def usage_of(error: Any, parameters: Iterable[Any]) -> str:
    """Return the message of an error of typer; if an option lacks its value, it says what the option takes."""
    usage = error.format_message().rstrip(".")
    for parameter in parameters if usage.endswith("requires an argument") else ():
        if error.option_name in parameter.opts:
            text = parameter.help.rstrip(".")
            usage += f": {text.partition(': ')[2] or text[:1].lower() + text[1:]}"
    return f"{usage[:1].lower()}{usage[1:]}"
