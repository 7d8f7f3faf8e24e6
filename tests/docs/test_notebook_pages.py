"""The notebooks in docs/ run, and their outputs are those that their code produces."""

import base64
import copy
import io
import re
import runpy
from types import SimpleNamespace

import matplotlib as mpl
import nbformat
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
        if "image/png" in old.get("data", {}) and not runner.looks_the_same(old, new):
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


def with_png(notebook, cell_id, image):
    """Return a copy of a notebook with another image in the output of a cell."""
    found = copy.deepcopy(notebook)
    (cell,) = (cell for cell in found.cells if cell.id == cell_id)
    file = io.BytesIO()
    image.save(file, "PNG")
    cell.outputs[0].data["image/png"] = base64.b64encode(file.getvalue()).decode("ascii") + "\n"
    return found


@pytest.mark.parametrize("version", ["3.8.0", mpl.__version__])
def test_figures_of_another_version_of_matplotlib_are_kept_while_they_look_the_same(version):
    stored = nbformat.read(NOTEBOOKS / "quantize.ipynb", as_version=4)
    (figure,) = (cell.outputs[0] for cell in stored.cells if cell.id == "palette-plot")
    image = Image.open(io.BytesIO(base64.b64decode(figure.data["image/png"]))).convert("RGB")
    stored.metadata["matplotlib"] = version
    moved = with_png(stored, "palette-plot", image.transform(image.size, Image.Transform.AFFINE, (1, 0, 1, 0, 1, 0)))
    kept = runner.updated(stored, copy.deepcopy(moved))
    assert kept == (stored if version == "3.8.0" else moved)
    inverted = with_png(stored, "palette-plot", image.point(lambda value: 255 - value))
    other = runner.updated(stored, copy.deepcopy(inverted))
    assert other.cells == inverted.cells
    assert other.metadata["matplotlib"] == mpl.__version__
    pixels = with_png(stored, "side-by-side", image)  # not a figure of matplotlib
    assert runner.updated(stored, copy.deepcopy(pixels)).cells == pixels.cells


def test_a_notebook_names_the_matplotlib_that_drew_its_figures():
    stored = nbformat.read(NOTEBOOKS / "quantize.ipynb", as_version=4)
    assert len(runner.figures(stored)) == 4
    assert re.fullmatch(r"\d+\.\d+\.\d+", stored.metadata["matplotlib"])


def test_a_cell_that_fails_is_an_error(tmp_path):
    notebook = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell("1 / 0")])
    nbformat.write(notebook, tmp_path / "bad.ipynb")
    with pytest.raises(ZeroDivisionError):
        runner.execute(tmp_path / "bad.ipynb")
