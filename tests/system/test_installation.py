"""The hint for a missing package installs it, whichever tool installed gmmquant."""

import os
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

from gmmquant.system import installation
from gmmquant.system.installation import EXTRAS, Need, install_command, missing


def test_the_extras_are_those_of_the_package(project):
    declared = tomllib.loads((project / "pyproject.toml").read_text())["project"]["optional-dependencies"]
    packages = {name: {text.partition(">=")[0] for text in needed} for name, needed in declared.items()}
    assert packages == {name: set(modules) for name, modules in EXTRAS.items()}


@pytest.mark.parametrize(
    ("prefix", "command"),
    [
        ("/usr", "pip install 'gmmquant[plot,report]'"),
        ("/home/x/uv/tools-of-mine/gmmquant", "pip install 'gmmquant[plot,report]'"),
        ("/home/x/.local/share/pipx/venvs/gmmquant", "pipx inject gmmquant matplotlib jinja2"),
        ("/home/x/.local/share/uv/tools/gmmquant", "uv tool install --reinstall 'gmmquant[plot,report]'"),
    ],
)
def test_the_command_is_that_of_the_tool_whose_environment_it_is(prefix, command, monkeypatch):
    monkeypatch.setattr(installation, "is_installed", lambda module: False)
    assert install_command(["report", "plot", "report"], prefix) == command


@pytest.mark.parametrize(("file", "start"), [("pipx_metadata.json", "pipx inject"), ("uv-receipt.toml", "uv tool")])
def test_the_tool_is_known_by_its_file_in_a_folder_of_another_name(tmp_path, file, start):
    (tmp_path / file).touch()
    assert install_command(["plot"], str(tmp_path)).startswith(start)


def test_extras_that_are_installed_are_named_again_where_they_would_be_removed(monkeypatch):
    monkeypatch.setattr(installation, "is_installed", lambda module: module in ("matplotlib", "dask"))
    assert install_command(["report"], "/x/uv/tools/gmmquant").endswith("'gmmquant[plot,report]'")
    assert install_command(["report"], "/usr") == "pip install 'gmmquant[report]'"


def test_several_needs_are_one_message():
    one, other = Need("plots need matplotlib", "plot"), Need("jxl needs a package", "formats", "choose png")
    assert missing(one, other).startswith("plots need matplotlib, jxl needs a package: ")
    assert missing(one, other).endswith("'gmmquant[formats,plot]'")
    assert missing(other).endswith("'gmmquant[formats]', or choose png")


@pytest.mark.parametrize("prefix", ["usr", "pipx/venvs/gmmquant"])
def test_the_command_names_all_missing_extras_together(tmp_path, samples, prefix):
    code = (
        "import sys\n"
        "for name in ('matplotlib', 'jinja2', 'distributed', 'pillow_jxl'): sys.modules[name] = None\n"
        "sys.prefix = sys.argv.pop(1)\n"
        "from gmmquant.__main__ import main\n"
        "main()\n"
    )
    options = [samples / "flat.png", "--plots", "--report", "html", "--format", "jxl", "--scheduler", "local"]
    result = subprocess.run(
        [sys.executable, "-c", code, tmp_path / prefix, *options],
        capture_output=True,
        text=True,
        check=False,
        cwd=tmp_path,
        env={"PATH": os.environ["PATH"], "PYTHONPATH": str(Path(installation.__file__).parents[2])},
    )
    command = "pip install 'gmmquant[cluster,formats,plot,report]'"
    if prefix != "usr":
        command = "pipx inject gmmquant dask distributed fsspec pillow-heif pillow-jxl-plugin matplotlib jinja2"
    assert result.returncode == 2
    assert result.stderr == (
        "gmmquant: an HTML report needs Jinja2, plots need matplotlib, a cluster needs the package distributed, "
        f"jxl needs the package pillow-jxl-plugin: {command}\n"
    )
    assert list(tmp_path.iterdir()) == []
