"""Helpers that declare options: flags, options with a value, and how a shell completes the value."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

import typer

from gmmquant.errors import ParameterError
from gmmquant.settings import STYLES, Settings, parse_choices

# Words of other programs for values of options.
_OTHER_WORDS = {
    **dict.fromkeys(("fs", "floyd", "diffusion", "error-diffusion", "atkinson", "sierra", "stucki"), "floyd-steinberg"),
    **dict.fromkeys(("ordered", "o8x8", "matrix"), "bayer"),
    **dict.fromkeys(("noise", "random"), "blue-noise"),
    **dict.fromkeys(("off", "no"), "none"),
    **dict.fromkeys(("em", "gaussian", "mixture"), "gmm"),
    **dict.fromkeys(("cielab", "l*a*b*"), "lab"),
}


def flag(names: str, text: str, panel: str | None = None, **settings: Any) -> Any:
    """Declare an option without a value. Without a `panel` it stands among the everyday options of the help.

    `names` is such as "-f, --force", and `text` is the help.
    """
    return typer.Option(*names.split(", "), help=text, rich_help_panel=panel, metavar="", **settings)


def option(
    names: str,
    metavar: str,
    text: str,
    panel: str | None = None,
    *,
    default: str | bool = True,
    choices: Sequence[str] = (),
    several: bool = False,
    convert: Callable[[Any], Any] | None = None,
    complete: Callable[[str], list[str]] | None = None,
) -> Any:
    """Declare an option with a value; `names`, `text` and `panel` as for `flag`.

    `default` describes a default that is not a value. A shell completes the value by `choices`, which also end a help
    with a colon; `several` of them may be joined by commas. `convert` is called with the text of the value, or with the
    default if that is not None; it may raise a ValueError. `complete` completes a value that has no `choices`.
    """
    if text.endswith(":"):
        text = f"{text} {', '.join(choices)}{' or all' if several else ''}."
    if several:
        convert = partial(parse_several, names.lstrip("-"), choices=choices)
    elif choices and convert is None:
        convert = partial(_suggest, names, choices)
    if choices:
        complete = complete_several(choices) if several else _complete_one(choices)
    return typer.Option(
        *names.split(", "),
        metavar=metavar,
        help=text,
        rich_help_panel=panel,
        show_default=default,
        autocompletion=complete,
        callback=None if convert is None else _callback(convert),
    )


def parse_several(name: str, text: str, choices: Sequence[str]) -> tuple[str, ...]:
    """Return values as `parse_choices`; raise a `ParameterError` if one is the name of a file, as --output has."""
    for part in text.split(","):
        if part not in choices and ("." in part or "/" in part):
            known = ", ".join(choices)
            raise ParameterError(
                f"{name} = {part!r} is a name; use one of {known}, and --output and --name for names of files"
            )
    return parse_choices(name, text, choices)


def _suggest(option_name: str, choices: Sequence[str], text: str) -> str:
    """Return a value; if it is unknown, raise a `ParameterError` with a similar one. The settings refuse all others."""
    if text not in choices:
        from difflib import get_close_matches

        word = text.lower()
        near = [_OTHER_WORDS[word]] if word in _OTHER_WORDS else get_close_matches(word, choices, 1)
        if near and near[0] in choices:
            raise ParameterError(f"{option_name} {text} is unknown; did you mean {near[0]}?")
    return text


# Where colours are for dithering, see `Settings`.
DITHERED = "faithful and dithering (not posterior)"


def by_style(setting: str) -> str:
    """Return the default of a setting that the style decides: that of the default style, and what others set."""
    default = getattr(Settings(), setting)
    others = {style: values[setting] for style, values in STYLES.items() if values.get(setting, default) != default}
    return "; ".join([shown(default), *(f"{style}: {shown(value)}" for style, value in others.items())])


def shown(value: object) -> str:
    """Return the value of an option as it is typed."""
    return f"{value:g}" if isinstance(value, float) else str(value)


def integer(text: str) -> int:
    """Return `text`, or a default, as an integer."""
    try:
        return int(text)
    except ValueError:
        raise ValueError(f"{text!r} is not an integer; use one such as 8") from None


def number(text: str) -> float:
    """Return `text`, or a default, as a number."""
    try:
        return float(text)
    except ValueError:
        raise ValueError(f"{text!r} is not a number; use one such as 0.5") from None


def positive(text: str) -> int:
    """Return `text`, or a default, as an integer of at least 1."""
    if integer(text) < 1:
        raise ValueError(f"{text} is too small; use at least 1")
    return int(text)


def _callback(convert: Callable[[Any], Any]) -> Callable[..., Any]:
    def callback(ctx: typer.Context, parameter: typer.CallbackParam, value: Any) -> Any:
        try:
            return None if value is None else convert(value)
        except ParameterError:
            raise
        except ValueError as error:
            raise typer.BadParameter(str(error), ctx=ctx, param=parameter) from None  # type: ignore[arg-type]

    return callback


def _complete_one(choices: Sequence[str]) -> Callable[[str], list[str]]:
    return lambda incomplete: [choice for choice in choices if choice.startswith(incomplete)]


def complete_several(choices: Sequence[str]) -> Callable[[str], list[str]]:
    """Return a function that completes the last of some `choices` joined by commas."""

    def complete(incomplete: str) -> list[str]:
        before, comma, last = incomplete.rpartition(",")
        named = before.split(",")
        return [before + comma + name for name in (*choices, "all") if name.startswith(last) and name not in named]

    return complete
