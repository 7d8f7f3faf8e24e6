"""Run the example pages: their code, against the figures they show; their images are drawn anew.

    python docs/examples/run.py

A page is Markdown. Its ``python`` blocks run one after another, as one program, in the folder of the project. A
``text`` block shows what the Python block before it prints: the same words, the same whole numbers, and decimals that
differ by no more than one unit of their last digit. Where machines may differ by more, the page says by how much, as in
``text within 2%``, which then holds for every number of the block.
"""

import io
import re
import sys
from collections.abc import Iterator
from contextlib import chdir, redirect_stdout
from pathlib import Path
from typing import Any, NamedTuple

import matplotlib as mpl
import numpy as np

HERE = Path(__file__).resolve().parent
PROJECT = HERE.parents[1]

_BLOCK = re.compile(r"^```(python|text)(?: within ([\d.]+)%)?\n(.*?)^```$", re.DOTALL | re.MULTILINE)
_NUMBER = re.compile(r"(?<![\w.#])-?\d+(?:,\d{3})*(\.\d+)?(?:e[-+]?\d+)?(?![\w.]*\w)")


class Step(NamedTuple):
    """A Python block of a page: its code, its line in the page, what the page says it prints, and how closely."""

    code: str
    line: int
    told: str
    within: float | None


class Result(NamedTuple):
    """What became of a page: each step with what it printed, and the names that its code left."""

    printed: list[tuple[Step, str]]
    names: dict[str, Any]

    def differences(self) -> list[str]:
        """Return a line for each step that printed something else than the page tells."""
        return [
            f"line {step.line}: {why}" for step, out in self.printed if (why := difference(step.told, out, step.within))
        ]


def pages() -> list[Path]:
    """Return the example pages, in the order of their names; the index is none."""
    return [path for path in sorted(HERE.glob("*.md")) if path.name != "README.md"]


def steps(text: str) -> Iterator[Step]:
    """Read the Python blocks of a page, each with the text block that follows it, if one does."""
    step = None
    for match in _BLOCK.finditer(text):
        language, within, body = match.groups()
        if language == "python":
            if step:
                yield step
            step = Step(body, text.count("\n", 0, match.start(3)) + 1, "", None)
        elif step is None or step.told:
            raise ValueError(f"a text block without a Python block before it:\n{body}")
        else:
            step = step._replace(told=body, within=float(within) / 100 if within else None)
    if step:
        yield step


def run(page: Path, folder: Path = PROJECT) -> Result:
    """Run a page in `folder`, which holds docs/ and sample_images/ as the project does."""
    mpl.use("Agg")
    import matplotlib.pyplot as plt

    names: dict[str, Any] = {"__name__": page.stem}
    printed = []
    with chdir(folder), mpl.rc_context(), np.printoptions(legacy=False):
        try:
            for step in steps(page.read_text(encoding="utf-8")):
                out = io.StringIO()
                # As many empty lines first, so that an error names the line of the page.
                code = compile("\n" * (step.line - 1) + step.code, str(page), "exec")
                with redirect_stdout(out):
                    exec(code, names)  # noqa: S102
                printed.append((step, out.getvalue()))
        finally:
            plt.close("all")
    return Result(printed, names)


def difference(told: str, printed: str, within: float | None = None) -> str | None:
    """Say where what was printed is not what the page tells, or return None.

    `within` is the relative difference allowed to every number. Without it, whole numbers are equal and decimals differ
    by at most one unit of the last digit told.
    """
    if _words(told) != _words(printed):
        return f"the page tells {told!r}, but its code prints {printed!r}"
    for shown, real in zip(_NUMBER.finditer(told), _NUMBER.finditer(printed), strict=True):
        a, b = _value(shown[0]), _value(real[0])
        last_digit = 10.0 ** (1 - len(shown[1])) if shown[1] else 0.0
        allowed = last_digit if within is None else within * abs(a)
        if not abs(a - b) <= allowed * (1 + 1e-9):
            return f"the page tells {shown[0]}, but its code prints {real[0]}: more than {allowed:g} apart"
    return None


def _words(text: str) -> list[str]:
    """Return the words, with a mark for each number; spaces, which give way to a sign or a digit, do not count."""
    return _NUMBER.sub("0", text).split()


def _value(number: str) -> float:
    return float(number.replace(",", ""))


def main() -> int:
    """Run all pages; return 1 if one of them tells something else than its code."""
    failed = False
    for page in pages():
        for line in run(page).differences():
            failed = True
            sys.stderr.write(f"{page.name}, {line}\n")
    return int(failed)


if __name__ == "__main__":
    sys.exit(main())
