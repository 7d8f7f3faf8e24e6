"""Run the code of the example pages, compare its output with the pages, and draw their images.

    python docs/examples/run.py

A page is Markdown. Its ``python`` blocks run one after another, as one program, in the folder of the project. A
``text`` block shows the output of the Python block before it. Words and whole numbers must be equal, and decimals may
differ by one unit of their last digit. ``text within 2%`` allows every number of the block this relative difference
instead, for results that depend on the machine.
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
    """A Python block of a page: its code, its line in the page, the expected output, and the relative tolerance."""

    code: str
    line: int
    expected: str
    within: float | None


class Result(NamedTuple):
    """The steps of a page with their output, and the names that its code has defined."""

    printed: list[tuple[Step, str]]
    names: dict[str, Any]

    def differences(self) -> list[str]:
        """Return a line for each step whose output differs from the page."""
        return [
            f"line {step.line}: {why}"
            for step, out in self.printed
            if (why := difference(step.expected, out, step.within))
        ]


def pages() -> list[Path]:
    """Return the example pages in the order of their names, without the index."""
    return [path for path in sorted(HERE.glob("*.md")) if path.name != "README.md"]


def steps(text: str) -> Iterator[Step]:
    """Yield the Python blocks of a page, each with the text block that follows it, if any."""
    step = None
    for match in _BLOCK.finditer(text):
        language, within, body = match.groups()
        if language == "python":
            if step:
                yield step
            step = Step(body, text.count("\n", 0, match.start(3)) + 1, "", None)
        elif step is None or step.expected:
            raise ValueError(f"a text block without a Python block before it:\n{body}")
        else:
            step = step._replace(expected=body, within=float(within) / 100 if within else None)
    if step:
        yield step


def run(page: Path, folder: Path = PROJECT) -> Result:
    """Run a page in `folder`, which has the folders docs/ and sample_images/ of the project."""
    mpl.use("Agg")
    import matplotlib.pyplot as plt

    names: dict[str, Any] = {"__name__": page.stem}
    printed = []
    with chdir(folder), mpl.rc_context(), np.printoptions(legacy=False):
        try:
            for step in steps(page.read_text(encoding="utf-8")):
                out = io.StringIO()
                # Leading empty lines, so that an error names the line of the page.
                code = compile("\n" * (step.line - 1) + step.code, str(page), "exec")
                with redirect_stdout(out):
                    exec(code, names)  # noqa: S102
                printed.append((step, out.getvalue()))
        finally:
            plt.close("all")
    return Result(printed, names)


def difference(expected: str, printed: str, within: float | None = None) -> str | None:
    """Return the first difference between the expected and the printed text, or None.

    `within` is the relative difference that every number may have. Without it, whole numbers must be equal, and
    decimals may differ by one unit of the last expected digit.
    """
    if _words(expected) != _words(printed):
        return f"the page shows {expected!r}, but its code prints {printed!r}"
    for shown, real in zip(_NUMBER.finditer(expected), _NUMBER.finditer(printed), strict=True):
        a, b = _value(shown[0]), _value(real[0])
        last_digit = 10.0 ** (1 - len(shown[1])) if shown[1] else 0.0
        allowed = last_digit if within is None else within * abs(a)
        if not abs(a - b) <= allowed * (1 + 1e-9):
            return f"the page shows {shown[0]}, but its code prints {real[0]}: more than {allowed:g} apart"
    return None


def _words(text: str) -> list[str]:
    """Return the words with each number replaced by 0, without spaces, whose number depends on signs and digits."""
    return _NUMBER.sub("0", text).split()


def _value(number: str) -> float:
    return float(number.replace(",", ""))


def main() -> int:
    """Run all pages; return 1 if the output of one differs from the page."""
    failed = False
    for page in pages():
        for line in run(page).differences():
            failed = True
            sys.stderr.write(f"{page.name}, {line}\n")
    return int(failed)


if __name__ == "__main__":
    sys.exit(main())
