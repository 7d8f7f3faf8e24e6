"""The page on the terminal: its table is that of the command."""

import re
import subprocess

import pytest
from helpers import blocks


def test_the_table_of_the_page_is_that_of_the_command(project, clean_environment, tmp_path):
    page = (project / "docs/terminal.md").read_text(encoding="utf-8")
    table = next(block for block in blocks(page, "text") if "log-lik./px" in block)
    name, *arguments = re.search(r"`(gmmquant sample_images/cat\.jpg [^`]*)` prints", page)[1].split()
    result = subprocess.run(
        [name, *arguments, "-o", tmp_path], cwd=project, env=clean_environment, capture_output=True, text=True
    )

    def figures(text):
        rows = re.findall(r"^\d.*", text, re.MULTILINE)
        assert len(rows) == 2
        return [[float(number) for number in re.findall(r"\d+(?:\.\d+)?(?= (?!%))", row)] for row in rows]

    for stated, printed in zip(figures(table), figures(result.stdout), strict=True):
        # Another processor rounds sums otherwise, and may find another optimum close by.
        assert stated == pytest.approx(printed, rel=0.03)

    def without_figures(text):  # another processor rounds them otherwise
        return re.sub(r"#[0-9a-f]{6}", "#", re.sub(r"\d+([.,]\d+)*", "0", text)).splitlines()

    assert without_figures(table) == without_figures(result.stdout)[: len(table.splitlines())]
