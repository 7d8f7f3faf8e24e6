"""Which images files about several list: names are compared as they are, however each kind of file writes them."""

import shutil

import pytest

from gmmquant.pipeline.listed import counted, images_listed

NAMES = ["=1+2.png", "-a.png", "'=b.png", 'q"u,o.png', "<b>&amp;.png", "sub/## x.png", "l\nf.png", "bidi\u202e.png"]


@pytest.fixture
def awkward(tmp_path, samples):
    for name in NAMES:
        (tmp_path / "in" / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(samples / "flat.png", tmp_path / "in" / name)
    return tmp_path / "in"


@pytest.mark.parametrize("report", ["csv", "md", "html"])
@pytest.mark.parametrize("output", [[], ["-o", "out"]])
def test_a_second_run_recognizes_every_name(command, awkward, tmp_path, report, output):
    options = ["in", "-r", *output, "--report", f"json,{report}", "-q"]
    for k in ("2", "3"):
        result = command(*options, "-k", k)
        assert (result.returncode, result.stderr) == (0, "")
    table = tmp_path / ("out" if output else "in") / f"report.{report}"
    assert len(images_listed(f".{report}", table.read_bytes())) == len(NAMES)


def test_a_shared_table_lists_no_entry_of_all_images(command, awkward, tmp_path):
    options = ["in", "-r", "-o", "out", "-k", "2", "--shared", "--report", "json,csv,md", "--skip-existing", "-q"]
    assert command(*options).returncode == 0
    for end in (".csv", ".md"):
        assert len(images_listed(end, (tmp_path / f"out/shared_report{end}").read_bytes())) == len(NAMES)
    (tmp_path / "out/-a_k2.png").unlink()
    assert command(*options).returncode == 0  # before, the entry of all images was counted as one more
    (awkward / "-a.png").unlink()
    refused = command(*options)
    assert "has ../in/-a.png, which this run has not" in refused.stderr


@pytest.mark.parametrize("kind", ["csv", "md", "html"])
def test_a_table_is_not_replaced_by_one_of_outputs_of_another_name(command, awkward, tmp_path, kind):
    options = ["in", "-r", "-k", "2", "-o", "out", "-q", "--report"]
    other = ["--name", "{stem}_other_k{k}", "--skip-existing"]
    assert command(*options, f"json,{kind}").returncode == 0
    before = (tmp_path / f"out/report.{kind}").read_bytes()
    for arguments in ([*options, kind, *other], [*options, "json", *other], [*options, kind, *other]):
        result = command(*arguments)
        if arguments[7] == kind:
            assert result.returncode == 1
            assert "which is not in the reports of this run; run first with" in result.stderr
        assert (tmp_path / f"out/report.{kind}").read_bytes() == before
    assert command(*options, kind, "--format", "webp").returncode == 0  # it adds to the same reports


def test_images_are_counted_after_the_first():
    assert counted(["a"]) == "a"
    assert counted(["a", "b"]) == "a and 1 more image"
    assert counted(["a", "b", "c"]) == "a and 2 more images"
