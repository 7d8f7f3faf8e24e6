"""Run the notebooks and store their outputs.

    python docs/notebooks/run.py

Each notebook runs in a fresh interpreter, in its own folder, with the display formats of IPython: those that Jupyter
stores. No server and no kernel is needed.

Versions of matplotlib draw a figure with other pixels. A notebook names the version that drew its figures, and with
another version those that look the same are kept.
"""

import base64
import io
import os
import subprocess
import sys
import tempfile
from contextlib import chdir, redirect_stdout
from pathlib import Path
from typing import Any

import matplotlib as mpl
import nbformat
import numpy as np
from IPython.core.displayhook import DisplayHook
from IPython.core.displaypub import CapturingDisplayPublisher
from IPython.core.interactiveshell import InteractiveShell
from nbformat import NotebookNode
from nbformat.v4 import new_output
from PIL import Image

_DRAWN_BY = "matplotlib"  # the entry of a notebook's metadata with the version that drew its figures
_SIDE, _SAME = 20, 6  # of figures made small, and their largest mean difference from 0 to 255 if they look the same

HERE = Path(__file__).resolve().parent


class _RecordingHook(DisplayHook):
    """Keep the value of a cell's last line, in all formats, instead of printing it."""

    def __call__(self, result: object = None) -> None:
        if result is not None:
            data, metadata = self.compute_format_data(result)
            self.shell.recorded.append(("execute_result", data, metadata))


class _Shell(InteractiveShell):
    """A shell that prints nothing, asks nothing and keeps no history."""

    recorded: list[tuple[str, dict[str, Any], dict[str, Any]]]

    def init_history(self) -> None:
        super().init_history()
        self.history_manager.enabled = False

    def init_virtualenv(self) -> None:
        """Import the packages of this interpreter, not those of another environment that happens to be active."""


def notebooks() -> list[Path]:
    """Return the notebooks in the order of their names."""
    return sorted(HERE.glob("*.ipynb"))


def executed(path: Path) -> NotebookNode:
    """Return a notebook with the outputs that its code produces, run in a fresh interpreter."""
    with tempfile.TemporaryDirectory() as folder:
        output = Path(folder) / path.name
        environment = {**os.environ, "IPYTHONDIR": folder}
        command = [sys.executable, __file__, "--execute", str(path), str(output)]
        subprocess.run(command, check=True, env=environment)  # noqa: S603
        return nbformat.read(output, as_version=4)


def looks_the_same(one: NotebookNode, other: NotebookNode) -> bool:
    """Return whether the images of two outputs show the same, also if their fonts differ."""
    differences = np.abs(_small(one) - _small(other))
    return bool(differences.mean() <= _SAME)


def _small(output: NotebookNode) -> np.ndarray[Any, np.dtype[np.float64]]:
    image = Image.open(io.BytesIO(base64.b64decode(output.data["image/png"])))
    return np.asarray(image.convert("RGB").resize((_SIDE, _SIDE)), dtype=float)


def updated(stored: NotebookNode, made: NotebookNode) -> NotebookNode:
    """Return a notebook that was run, with the figures of the stored one if only the version of matplotlib differs.

    If one of them looks different, or the version is the same, all figures are those of the run.
    """
    pairs = list(zip(figures(stored), figures(made), strict=False))
    other_version = stored.metadata.get(_DRAWN_BY) not in (None, mpl.__version__)
    same_number = len(figures(stored)) == len(figures(made))
    if other_version and same_number and all(looks_the_same(*pair) for pair in pairs):
        for old, new in pairs:
            new.data["image/png"] = old.data["image/png"]
        made.metadata[_DRAWN_BY] = stored.metadata[_DRAWN_BY]
    else:
        made.metadata[_DRAWN_BY] = mpl.__version__
    return made


def figures(notebook: NotebookNode) -> list[NotebookNode]:
    """Return the outputs that are figures, in their order."""
    outputs = [output for cell in notebook.cells for output in cell.get("outputs", [])]
    return [output for output in outputs if output.get("data", {}).get("text/plain", "").endswith(" Axes>")]


def execute(path: Path) -> NotebookNode:
    """Run the cells of a notebook in this interpreter, in its folder, and return it with their outputs."""
    notebook = nbformat.read(path, as_version=4)
    shell = _Shell(displayhook_class=_RecordingHook, display_pub_class=CapturingDisplayPublisher)
    shell.recorded = []
    number = 0
    with chdir(path.parent):
        for cell in notebook.cells:
            if cell.cell_type == "code":
                number += 1
                cell.execution_count, cell.outputs = number, _outputs(shell, cell.source, number)
    nbformat.validate(notebook)
    return notebook


def _outputs(shell: _Shell, code: str, number: int) -> list[NotebookNode]:
    """Run a cell; return what it prints and shows."""
    shell.recorded.clear()
    shell.display_pub.outputs.clear()
    printed = io.StringIO()
    with redirect_stdout(printed):
        shell.run_cell(code, store_history=False).raise_error()
    outputs = []
    if printed.getvalue():
        outputs.append(new_output("stream", name="stdout", text=printed.getvalue()))
    outputs += [new_output("display_data", data=_texts(shown["data"])) for shown in shell.display_pub.outputs]
    outputs += [new_output(kind, data=_texts(data), execution_count=number) for kind, data, _ in shell.recorded]
    return outputs


def _texts(data: dict[str, Any]) -> dict[str, str]:
    """Return the formats of an output with bytes in base64, as a notebook stores them."""
    return {
        mime: base64.b64encode(value).decode("ascii") + "\n" if isinstance(value, bytes) else value
        for mime, value in data.items()
    }


def main() -> int:
    """Run all notebooks and write them with their outputs."""
    if sys.argv[1:2] == ["--execute"]:
        path, output = map(Path, sys.argv[2:])
        nbformat.write(execute(path), output)
        return 0
    for path in notebooks():
        nbformat.write(updated(nbformat.read(path, as_version=4), executed(path)), path)
    return 0


if __name__ == "__main__":
    sys.exit(main())
