"""The program: what no other code expects is one line, with exit code 1."""

import subprocess
import sys

import pytest
from waiting import GUARD_SECONDS

from gmmquant.system.process import unexpected_reason

PREPARATION = """
import sys
class Finder:
    def find_spec(name, path, target=None):
        if name == {name!r}:
            raise {error}
sys.meta_path.insert(0, Finder)
from gmmquant.__main__ import main
sys.argv[1:] = ["flat.png", "-k", "2"]
main()
"""


@pytest.mark.parametrize(
    "name", ["gmmquant.cli.app", "numpy", "gmmquant.images.encoding.png", "gmmquant.report.record"]
)
@pytest.mark.parametrize("error", ["ImportError('cannot map\\x1b[2J a segment')", "OSError(5, 'Input/output error')"])
def test_a_part_of_the_program_that_cannot_be_read_is_one_line(tmp_path, samples, clean_environment, name, error):
    code = PREPARATION.format(name=name, error=error)
    (tmp_path / "flat.png").write_bytes((samples / "flat.png").read_bytes())
    command = [sys.executable, "-c", code]
    result = subprocess.run(
        command, cwd=tmp_path, env=clean_environment, capture_output=True, text=True, timeout=GUARD_SECONDS
    )
    assert result.returncode == 1
    assert result.stderr.startswith("gmmquant: ")
    assert result.stderr.count("\n") == 1
    assert "cannot map\\x1b[2J a segment" in result.stderr or "nput/output error" in result.stderr
    assert "bug" not in result.stderr
    assert [path.name for path in tmp_path.iterdir()] == ["flat.png"]


def test_the_first_of_several_errors_of_an_import_is_told():
    try:
        try:
            raise OSError("failed to map\nsegment")
        except OSError as error:
            raise ImportError("Please read this\n\nlong advice") from error
    except ImportError as error:
        reason = unexpected_reason(error)
    assert reason == (
        "a part of the program cannot be loaded (OSError: failed to map segment); "
        "check the disk and memory, or install gmmquant again"
    )


def test_another_error_is_a_bug_in_one_line():
    assert unexpected_reason(KeyError("a\nb")) == r"KeyError: 'a\nb'; this is a bug in gmmquant, please report it"


def test_libraries_do_not_log_on_standard_error(clean_environment):
    code = (
        "import logging\n"
        "from gmmquant.cli.app import run\n"
        "run(['--version'])\n"
        "logging.getLogger('asyncio').error('Task exception was never retrieved')\n"
    )
    result = subprocess.run([sys.executable, "-c", code], env=clean_environment, capture_output=True, text=True)
    assert (result.returncode, result.stderr) == (0, "")
