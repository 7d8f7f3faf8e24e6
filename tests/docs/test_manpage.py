"""The manual page: it is generated, complete, and says to a formatter what it is to show."""

import runpy
import shutil
import subprocess
import zipfile

import pytest
import typer
from hatchling.builders.wheel import WheelBuilder

from gmmquant.cli import help as texts
from gmmquant.cli.app import app


@pytest.fixture(scope="module")
def generator(project):
    return runpy.run_path(str(project / "docs/manpage.py"))


@pytest.fixture(scope="module")
def parameters():
    return typer.main.get_command(app).params


def shown(page, width=1000):
    """Return a page as text without empty lines, words separated by single spaces."""
    command = ["groff", "-man", "-Tascii", "-P-cbou", f"-rLL={width}n"]
    result = subprocess.run(command, input=page, capture_output=True, text=True)
    assert (result.returncode, result.stderr) == (0, "")
    return " ".join(result.stdout.split())


needs_groff = pytest.mark.skipif(shutil.which("groff") is None, reason="groff not installed")


def test_the_manual_page_is_generated_from_the_command(generator, parameters):
    assert generator["PAGE"].read_text(encoding="ascii") == generator["page"](parameters)


@needs_groff
def test_the_manual_page_shows_every_option_with_its_help(generator, parameters):
    text = shown(generator["page"](parameters))
    for option in texts.options_of(parameters):
        term, help_text, value = texts.entry_of(option)
        assert f"{term.strip()} {value}".strip() + f" {help_text}" in text, option.name
    for command, purpose in texts.EXAMPLES.items():
        assert f"{command} {purpose}" in text


@needs_groff
@pytest.mark.parametrize("text", [".SH X", "'br", "a\\fBb\\*c\\", "--x-y '`^~\"$@", "a. .B b", "x\ny"])
def test_no_text_is_a_macro_or_an_escape(generator, text):
    page = f".TH X 1\n.SH S\n{generator['_text'](text)}\n.SH END\n"
    assert " ".join(text.split()) in shown(page)


def test_the_wheel_installs_the_manual_page_where_man_looks(project, tmp_path):
    (wheel,) = WheelBuilder(str(project)).build(directory=str(tmp_path), versions=["standard"])
    with zipfile.ZipFile(wheel) as archive:
        names = [name for name in archive.namelist() if name.endswith(".data/data/share/man/man1/gmmquant.1")]
        assert len(names) == 1
        assert archive.read(names[0]) == (project / "docs/gmmquant.1").read_bytes()
