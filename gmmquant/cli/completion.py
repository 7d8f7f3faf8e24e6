"""The shell whose completion is shown or installed, where its name follows the option."""

from __future__ import annotations

from collections.abc import Sequence

from gmmquant.errors import ParameterError

_OPTIONS = ("--install-completion", "--show-completion")
_SHELLS = ("bash", "zsh", "fish", "powershell", "pwsh")  # those of typer


def without_shell(arguments: Sequence[str]) -> tuple[list[str], dict[str, str]]:
    """Return the arguments without the shell after an option of completion, and that shell by the parameter's name.

    Typer's options take no value and detect the shell that runs the command; their callbacks accept a name.
    """
    rest = list(arguments)
    for i, argument in enumerate(rest[: rest.index("--") if "--" in rest else None]):
        option, sign, shell = argument.partition("=")
        if option not in _OPTIONS:
            continue
        rest[i] = option
        if not sign and rest[i + 1 : i + 2] and not rest[i + 1].startswith("-"):
            shell = rest.pop(i + 1)
        if not shell:
            return rest, {}
        if shell not in _SHELLS:
            raise ParameterError(
                f"{shell} is not a shell with completion; use {', '.join(_SHELLS[:-1])} or {_SHELLS[-1]} after {option}"
            )
        return rest, {option.removeprefix("--").replace("-", "_"): shell}
    return rest, {}
