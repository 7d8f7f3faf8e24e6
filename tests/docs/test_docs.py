"""The pages match the program: their commands run, and their figures, lists and links are right."""

import importlib
import json
import re
import runpy
import shutil
import subprocess
from itertools import pairwise
from types import SimpleNamespace

import numpy as np
import pytest
from helpers import blocks
from PIL import Image
from scipy import ndimage


@pytest.fixture(scope="module")
def readme(project):
    return (project / "README.md").read_text(encoding="utf-8")


@pytest.fixture(scope="module")
def drawing(project, tmp_path_factory):
    """The page on drawing, and a folder in which all of its commands were run."""
    script = runpy.run_path(str(project / "docs" / "draw.py"))
    folder = tmp_path_factory.mktemp("drawing")
    script["run_commands"](folder)
    return SimpleNamespace(folder=folder, **script)


@pytest.fixture(scope="module")
def workplace(project, tmp_path_factory):
    """A folder with the sample images."""
    folder = tmp_path_factory.mktemp("user")
    shutil.copytree(project / "sample_images", folder / "sample_images")
    return folder


@pytest.mark.parametrize("page", ["README.md", "docs/batches.md"])
def test_every_command_of_a_page_works(project, page, workplace, clean_environment):
    text = (project / page).read_text(encoding="utf-8")
    lines = [line for block in blocks(text, "sh") for line in block.splitlines()]
    commands = [line for line in lines if line.startswith("gmmquant ")]
    assert len(commands) >= 6
    assert all(line.startswith(("gmmquant ", "make ")) for line in lines)
    for line in commands:
        result = subprocess.run(
            ["sh", "-c", line], cwd=workplace, env=clean_environment, capture_output=True, text=True
        )
        assert result.returncode == 0, f"{line}: {result.stderr}"
        assert result.stdout or result.stderr or "> " in line


@pytest.mark.slow
def test_every_image_of_the_drawing_page_is_the_output_of_its_command(drawing):
    names = drawing.images()
    assert len(names) > 25
    assert {str(path.relative_to(drawing.IMAGES)) for path in drawing.IMAGES.rglob("*.*")} == set(names)
    for name in names:
        with Image.open(drawing.folder / name) as made, Image.open(drawing.IMAGES / name) as shown:
            assert made.size == shown.size
            assert (made.mode, getattr(made, "n_frames", 1)) == (shown.mode, getattr(shown, "n_frames", 1))
            # Another processor may find another optimum close by, and so another dithering.
            made_small, shown_small = (
                np.asarray(image.convert("I" if image.mode.startswith("I") else "RGBA").resize((20, 20)), float)
                for image in (made, shown)
            )
            assert np.abs(made_small - shown_small).mean() < 0.06 * max(shown_small.max(), 1)


@pytest.mark.slow
def test_the_errors_on_the_drawing_page_match_the_reports(drawing):
    rows = drawing.PAGE.read_text(encoding="utf-8").splitlines()
    checked = 0
    for above, row in pairwise(rows):
        if not row.startswith("| squared error"):
            continue
        names = re.findall(r"images/drawing/([^)]+)", above)
        stated = [float(number) for number in re.findall(r"squared error ([\d.]+)", row)]
        for name, error in zip(names, stated, strict=True):
            folder, file = name.split("/")
            report = json.loads((drawing.folder / folder / f"{file.split('_')[0]}_report.json").read_text())
            assert error == pytest.approx(report["fits"][0]["mse"], rel=0.15)
            checked += 1
    assert checked == 18


@pytest.mark.slow
def test_the_regions_and_sizes_of_smoothed_images_on_the_drawing_page_match_the_files(drawing):
    page = drawing.PAGE.read_text(encoding="utf-8")
    (rows,) = re.findall(r"^(\|.*\n\|.* regions \|\n\|.* bytes \|)$", page, flags=re.MULTILINE)
    paths = [drawing.folder / name for name in re.findall(r"images/drawing/([^)]+)", rows)]
    regions, sizes = ([int(number) for number in re.findall(rf"(\d+) {unit}", rows)] for unit in ("regions", "bytes"))
    for path, stated_regions, stated_size in zip(paths, regions, sizes, strict=True):
        with Image.open(path) as image:
            labels = np.asarray(image)
        n_regions = sum(ndimage.label(labels == label)[1] for label in np.unique(labels))
        assert n_regions == pytest.approx(stated_regions, rel=0.15)
        assert path.stat().st_size == pytest.approx(stated_size, rel=0.1)


@pytest.mark.slow
def test_the_file_sizes_on_the_drawing_page_match_the_files(drawing):
    rows = re.findall(r"^\| `(\w+)( --optimize)?` \| (\d+) \|", drawing.PAGE.read_text(encoding="utf-8"), re.MULTILINE)
    assert len(rows) == 7
    for extension, optimized, stated in rows:
        path = drawing.folder / "files" / ("optimized" if optimized else "") / f"cat_k16.{extension}"
        assert path.stat().st_size == pytest.approx(int(stated), rel=0.03)


def test_every_make_target_on_the_pages_exists(readme, project):
    pages = readme + (project / "CONTRIBUTING.md").read_text(encoding="utf-8")
    named = set(re.findall(r"(?:^|`)make ([\w-]+)(?![\w/-])", pages, flags=re.MULTILINE))
    targets = set(re.findall(r"^([\w-]+):", (project / "Makefile").read_text(encoding="utf-8"), flags=re.MULTILINE))
    assert {"demo", "test"} <= named <= targets


def test_the_python_of_the_readme_runs(readme, workplace, monkeypatch):
    monkeypatch.chdir(workplace)
    (code,) = blocks(readme, "python")
    names = {}
    exec(compile(code, "README.md", "exec"), names)
    assert names["result"].image.shape == (300, 451, 3)
    with Image.open(workplace / "seven.png") as saved:
        assert saved.mode == "P"
    assert names["mixture"].weights_.shape == (7,)


def test_the_python_of_the_page_on_figures_recomputes_the_log_likelihood(
    project, workplace, clean_environment, monkeypatch
):
    command = ["gmmquant", "sample_images/cutout.png", "-k", "8", "-o", "cutout", "-q"]
    subprocess.run(command, cwd=workplace, env=clean_environment, check=True)
    monkeypatch.chdir(workplace)
    (code,) = blocks((project / "docs/figures.md").read_text(encoding="utf-8"), "python")
    exec(compile(code, "figures.md", "exec"), {})


def test_the_table_of_the_readme_matches_the_output_of_the_command(readme, workplace, clean_environment):
    table = next(block for block in blocks(readme, "text") if "log-lik." in block)
    result = subprocess.run(
        ["gmmquant", "cat.jpg", "-k", "2", "3", "7", "20", "-o", "table"],
        cwd=workplace / "sample_images",
        env=clean_environment,
        capture_output=True,
        text=True,
    )

    def figures(text):
        rows = [line.split() for line in text.splitlines() if re.match(r"\s*\d+ +\d+\.", line)]
        return [(int(row[0]), row[2], float(row[1]), float(row[3]), float(row[7])) for row in rows]

    printed = figures(result.stdout)
    assert len(printed) == len(figures(table)) == 4
    for stated, shown in zip(figures(table), printed, strict=True):
        # Another processor rounds sums otherwise, and may find another optimum close by.
        assert stated[:2] == shown[:2]
        assert stated[2] == pytest.approx(shown[2], abs=0.02)
        assert stated[3] == pytest.approx(shown[3], rel=0.1)
        assert stated[4] == pytest.approx(shown[4], abs=0.5)


def test_the_option_reference_is_generated_and_each_help_is_short(project):
    reference = runpy.run_path(str(project / "docs/reference.py"))
    page = reference["PAGE"].read_text(encoding="utf-8")
    assert reference["regenerated"](page) == page
    options = reference["options"]()
    assert len(options) >= 40
    for option in options:
        is_of_typer = option.name.endswith("_completion")
        assert 0 < len(option.help) <= (80 if is_of_typer else 70), option.name
        for name in option.opts:
            assert f"`{name}`" in page, name


def test_readme_and_contributing_stay_short(project):
    lines = {name: len((project / name).read_text().splitlines()) for name in ("README.md", "CONTRIBUTING.md")}
    assert lines["README.md"] <= 110
    assert lines["CONTRIBUTING.md"] <= 80


def test_every_link_of_a_page_leads_to_a_file(project):
    pages = [*project.glob("*.md"), *project.glob("docs/**/*.md")]
    assert len(pages) > 10
    for page in pages:
        for target in re.findall(r"\]\((?!https?:)([^)#]+)", page.read_text(encoding="utf-8")):
            assert (page.parent / target).exists(), f"{page.name}: {target}"


def paths_in_tree(tree):
    """Return the paths of the files in a drawing of a folder, two spaces of indentation a level."""
    folders, paths = [], set()
    for line in tree.splitlines():
        name = line.split()[0]
        del folders[(len(line) - len(line.lstrip())) // 2 :]
        if name.endswith("/"):
            folders.append(name)
        else:
            paths.add("".join([*folders, name]))
    return paths


def test_the_architecture_page_lists_every_module_and_no_other(project):
    page = (project / "docs/architecture.md").read_text(encoding="utf-8")
    (tree,) = (block for block in blocks(page, "text") if block.startswith("gmmquant/"))
    modules = {str(path.relative_to(project)) for path in (project / "gmmquant").rglob("*.py")}
    packages = {path for path in modules if path.endswith("/__init__.py") and path.count("/") > 1}
    assert paths_in_tree(tree) == modules - packages


def test_every_function_of_the_table_of_decisions_exists(project):
    page = (project / "docs/decisions.md").read_text(encoding="utf-8")
    rows = [row.rsplit("|", 2)[1] for row in page.splitlines() if re.match(r"\|.*\|$", row)]
    named = [name.rsplit(".", 1) for row in rows for name in re.findall(r"`(\w[\w.]*\.\w+)`", row)]
    assert len(named) >= 15
    for module, name in named:
        assert hasattr(importlib.import_module(f"gmmquant.{module}"), name), f"{module}.{name}"
