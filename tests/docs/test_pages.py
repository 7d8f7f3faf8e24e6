"""The commands and the code of the tutorial, the recipes and the reference run, in the order of each page."""

import re
import shlex
import shutil

import numpy as np
import pytest
from PIL import Image

RECIPES = ("palette", "small-png", "poster", "e-ink", "pixel-art", "brand-colours", "folder", "cluster", "notebook")
PAGES = (
    *("index", "records", "tutorial"),
    *(pytest.param(f"recipes/{name}", marks=pytest.mark.slow) for name in (*RECIPES, "science")),
)

# Lines that set up an environment, which the tests have.
INSTALLATION = {"python3 -m venv .venv", "source .venv/bin/activate", "pip install '.[report]'"}


@pytest.fixture
def workplace(project, tmp_path):
    """A folder with the sample images."""
    shutil.copytree(project / "sample_images", tmp_path / "sample_images")
    return tmp_path


@pytest.fixture
def follow(project, workplace, clean_environment, command_server, monkeypatch):
    """Return a function that runs everything on a page, and returns the number of commands and of blocks of code."""
    monkeypatch.chdir(workplace)

    def follow(page):
        text = (project / "docs" / f"{page}.md").read_text(encoding="utf-8")
        commands, names = [], {}
        code = re.findall(r"^```(sh|python)\n(.*?)^```", text, flags=re.DOTALL | re.MULTILINE)
        for language, block in code:
            if language == "python":
                exec(compile(block, page, "exec"), names)
                continue
            commands += [line for line in block.splitlines() if line not in INSTALLATION]
            for line in block.splitlines():
                if line not in INSTALLATION:
                    name, *arguments = shlex.split(line)
                    assert name == "gmmquant", line
                    result = command_server.run(arguments, workplace, clean_environment)
                    assert result.returncode == 0, f"{line}: {result.stderr}"
                    assert "is in no pixel" not in result.stderr, line  # a kept colour in vain
        return len(commands), sum(language == "python" for language, _ in code)

    return follow


@pytest.mark.parametrize("page", PAGES)
def test_everything_on_a_page_runs(page, follow):
    if page == "records":
        follow("index")  # which has the command that writes the report
    assert sum(follow(page)) >= 1


def test_every_recipe_is_run_and_is_in_the_list_of_recipes(project):
    pages = {path.stem for path in (project / "docs/recipes").glob("*.md")} - {"index"}
    listed = re.findall(r"\]\(([\w-]+)\.md\)", (project / "docs/recipes/index.md").read_text(encoding="utf-8"))
    assert pages == set(listed) == {*RECIPES, "science"}
    assert len(listed) == len(pages)


def test_the_images_on_pixel_art_are_those_that_the_page_makes(project, workplace, follow):
    follow("recipes/pixel-art")
    shown = sorted((project / "docs/images/recipes").iterdir())
    assert len(shown) == 3
    for path in shown:
        with Image.open(path) as old, Image.open(workplace / path.name) as new:
            difference = np.asarray(old.convert("RGB"), float) - np.asarray(new.convert("RGB"), float)
            # Another processor may find another optimum close by.
            assert np.abs(difference).mean() < 8
            assert len(old.getcolors()) <= 16


def test_the_tutorial_names_the_number_of_colours_that_is_chosen(project, tmp_path, clean_environment, command_server):
    text = (project / "docs/tutorial.md").read_text(encoding="utf-8")
    (stated,) = re.findall(r"It takes (\d+)\s+colours here", text)
    arguments = [str(project / "sample_images/cat.jpg"), "-k", "auto:3", "-o", "first", "-q"]
    assert command_server.run(arguments, tmp_path, clean_environment).returncode == 0
    with Image.open(tmp_path / "first/cat_kauto3.png") as image:
        assert len(image.getcolors()) == pytest.approx(int(stated), abs=1)
