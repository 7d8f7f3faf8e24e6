"""The notebooks in docs/ run, and their outputs are those that their code produces."""

import base64
import io
import re
import runpy
from types import SimpleNamespace

import nbformat
import numpy as np
import pytest
from helpers import SAMPLE_IMAGES
from PIL import Image

NOTEBOOKS = SAMPLE_IMAGES.parent / "docs" / "notebooks"
runner = SimpleNamespace(**runpy.run_path(str(NOTEBOOKS / "run.py")))
pages = SimpleNamespace(**runpy.run_path(str(NOTEBOOKS.parent / "examples" / "run.py")))

each_notebook = pytest.mark.parametrize("path", runner.notebooks(), ids=lambda path: path.stem)


def code_cells(notebook):
    return [cell for cell in notebook.cells if cell.cell_type == "code"]


def words(data):
    """Return the text of an output: of HTML what is read, without colours, which may differ in their last digits."""
    text = data.get("text/html", data.get("text/plain", ""))
    return re.sub(r"<[^>]*>|#[0-9a-f]{6}", " ", text)


def small(data):
    """Return the image of an output in 20 x 20 pixels."""
    image = Image.open(io.BytesIO(base64.b64decode(data["image/png"])))
    return np.asarray(image.convert("RGB").resize((20, 20)), dtype=float)


def differences(stored, made):
    """Return how two lists of outputs differ: in their kinds, their texts, or their images."""
    kinds = [[(output.output_type, sorted(output.get("data", {}))) for output in outputs] for outputs in (stored, made)]
    if kinds[0] != kinds[1]:
        return [f"the notebook holds {kinds[0]}, but its code makes {kinds[1]}"]
    found = []
    for old, new in zip(stored, made, strict=True):
        texts = [words({"text/plain": o.text} if o.output_type == "stream" else o.data) for o in (old, new)]
        # Another processor may find another optimum close by.
        found += filter(None, [pages.difference(*texts, within=0.25)])
        if "image/png" in old.get("data", {}) and np.abs(small(old.data) - small(new.data)).mean() > 6:
            found.append("another image")
    return found


def test_there_is_a_notebook():
    assert [path.stem for path in runner.notebooks()] == ["quantize"]


@each_notebook
def test_a_notebook_holds_the_outputs_of_its_code(path):
    stored = nbformat.read(path, as_version=4)
    made = runner.executed(path)
    assert [cell.source for cell in made.cells] == [cell.source for cell in stored.cells]
    for number, (old, new) in enumerate(zip(code_cells(stored), code_cells(made), strict=True), start=1):
        assert old.execution_count == new.execution_count == number
        assert differences(old.outputs, new.outputs) == [], old.source
        assert old.outputs, old.source


@each_notebook
def test_a_notebook_is_valid_and_small_and_names_no_machine(path):
    nbformat.validate(nbformat.read(path, as_version=4))
    text = path.read_text(encoding="utf-8")
    assert len(text) < 600_000
    assert not re.search(r"/home/|/tmp/|/Users/|/root/|object at 0x|Warning", text)


def test_a_changed_output_is_found():
    cells = code_cells(nbformat.read(NOTEBOOKS / "quantize.ipynb", as_version=4))
    by_name = {cell.id: cell.outputs for cell in cells}
    table, picture = by_name["table"], by_name["side-by-side"]
    changed = [nbformat.from_dict({**table[0], "text": table[0].text.replace("PSNR 2", "PSNR 9")})]
    assert differences(table, changed)
    assert differences(table, picture)
    assert differences(table, [])
    other = {**picture[0], "data": {**picture[0].data, "image/png": by_name["palette-plot"][0].data["image/png"]}}
    assert differences(picture, [nbformat.from_dict(other)]) == ["another image"]
    assert differences(picture, picture) == []


def test_a_cell_that_fails_is_an_error(tmp_path):
    notebook = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell("1 / 0")])
    nbformat.write(notebook, tmp_path / "bad.ipynb")
    with pytest.raises(ZeroDivisionError):
        runner.execute(tmp_path / "bad.ipynb")
