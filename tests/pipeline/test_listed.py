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
    other = ["--name", "{stem}_all_k{k}"]
    assert command(*options, f"json,{kind}", *other).returncode == 0
    before = (tmp_path / f"out/all_all_report.{kind}").read_bytes()
    for reports in (kind, "json", f"json,{kind}"):
        result = command(*options, reports, "--skip-existing", "--name", "all_{stem}_k{k}")
        assert result.returncode == (reports != "json")
        assert ("which is of another --name; use" in result.stderr) == (reports != "json")
        assert (tmp_path / f"out/all_all_report.{kind}").read_bytes() == before
    assert command(*options, kind, "--format", "webp", *other).returncode == 0  # it adds to the same reports


def test_images_are_counted_after_the_first():
    assert counted(["a"]) == "a"
    assert counted(["a", "b"]) == "a and 1 more image"
    assert counted(["a", "b", "c"]) == "a and 2 more images"


def test_a_table_that_cannot_be_read_is_neither_replaced_nor_in_the_way(command, samples, tmp_path):
    names = [samples / "grey.png", samples / "flat.png"]
    assert command(*names, "-k", "2", "-o", "out", "--report", "json,csv").returncode == 0
    table = tmp_path / "out/report.csv"
    table.write_bytes(table.read_bytes() + b'"' + b"x" * (1 << 18))
    before = table.read_bytes()
    refused = command(*names, "-k", "3", "-o", "out", "--report", "json,csv")
    assert refused.returncode == 1
    assert "report.csv cannot be read as a table: field larger than field limit" in refused.stderr
    assert command(*names, "-k", "3", "-o", "out").returncode == 0
    assert table.read_bytes() == before


def test_a_file_of_another_program_is_not_said_to_be_out_of_date(command, samples, tmp_path):
    names = [samples / "grey.png", samples / "flat.png"]
    assert command(*names, "-k", "2", "-o", "out").returncode == 0
    (tmp_path / "out/report.csv").write_text("hello")
    assert "not updated" not in command(*names, "-k", "3", "-o", "out").stderr


@pytest.mark.parametrize("reports", ["csv", "csv,json"])
@pytest.mark.parametrize("shared", [[], ["--shared"]])
def test_the_same_run_makes_a_table_again_whose_images_have_no_record(command, samples, tmp_path, reports, shared):
    arguments = [samples / "grey.png", samples / "flat.png", "-o", "out", *shared, "--report"]
    assert command(*arguments, "csv", "-k", "2", "3").returncode == 0
    (table,) = (tmp_path / "out").glob("*report.csv")
    before = [row.split(",")[:5] for row in table.read_text().splitlines()]
    refused = command(*arguments, reports, "-k", "2", "4", "--skip-existing")
    assert (refused.returncode, "would lose what it has" in refused.stderr) == (1, True)
    again = command(*arguments, reports, "-k", "2", "3", "--skip-existing")
    assert again.returncode == 0, again.stderr
    assert [row.split(",")[:5] for row in table.read_text().splitlines()] == before


def test_a_table_keeps_the_figures_of_images_that_are_refused(command, samples, tmp_path):
    arguments = [samples / "grey.png", samples / "flat.png", "-k", "2", "-o", "out", "--report", "csv"]
    assert command(*arguments).returncode == 0
    before = (tmp_path / "out/report.csv").read_bytes()
    (tmp_path / "out/flat_k2.png").unlink()
    other = command(*arguments, "--skip-existing", "--recolor", "nearest", "--seed", "1")
    assert (tmp_path / "out/report.csv").read_bytes() == before
    assert "report.csv is kept, as it would lose " in other.stderr
    assert "grey.png, which failed\n" in other.stderr


def test_the_remedy_for_a_sheet_without_records_works(command, samples):
    arguments = [samples / "flat.png", "-k", "2", "-o", "out"]
    assert command(*arguments, "--report", "none", "--sheet").returncode == 0
    refused = command(*arguments, "--skip-existing", "--sheet")
    remedy = "run first with the k and the options that it has and --skip-existing --report json alone, without --sheet"
    assert remedy in refused.stderr
    assert command(*arguments, "--skip-existing", "--report", "json").returncode == 0
    assert command(*arguments, "--skip-existing", "--sheet").returncode == 0
