"""The page on sheets and plots: its images are what its script draws, and its code runs."""

import io
import re
import runpy
import shutil
import subprocess
from types import SimpleNamespace

import numpy as np
import pytest
from helpers import SAMPLE_IMAGES, blocks
from PIL import Image

pytestmark = pytest.mark.slow

PAGE = SAMPLE_IMAGES.parent / "docs" / "sheets-and-plots.md"
script = SimpleNamespace(**runpy.run_path(str(PAGE.parent / "draw_sheets.py")))


def small(image):
    return np.asarray(image.convert("RGB").resize((30, 20)), dtype=float)


def test_the_images_of_the_page_are_small_and_those_that_are_drawn():
    shown = re.findall(r"^!\[.+\]\(images/sheets-and-plots/(.+)\)$", PAGE.read_text(encoding="utf-8"), re.MULTILINE)
    drawn = script.drawn()
    assert sorted(shown) == sorted(drawn) == sorted(path.name for path in script.IMAGES.iterdir())
    for name, data in drawn.items():
        assert (script.IMAGES / name).stat().st_size < 150_000
        with Image.open(script.IMAGES / name) as old, Image.open(io.BytesIO(data)) as new:
            assert old.size == pytest.approx(new.size, abs=2), f"{name}: run python docs/draw_sheets.py"
            assert np.abs(small(old) - small(new)).mean() < 4


def test_the_python_of_the_page_runs(tmp_path, monkeypatch, clean_environment):
    shutil.copy(SAMPLE_IMAGES / "cat.jpg", tmp_path)
    monkeypatch.chdir(tmp_path)
    subprocess.run(["gmmquant", "cat.jpg", "-k", "2", "-q"], check=True, env=clean_environment)
    (code,) = blocks(PAGE.read_text(encoding="utf-8"), "python")
    exec(compile(code, PAGE.name, "exec"), {})
    assert {"criteria.pdf", "colors.png", "objective.svg"} <= {path.name for path in tmp_path.iterdir()}
