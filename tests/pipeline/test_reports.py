"""Reports of the command: pages, indexes, sheets and plots, complete and of the same fits as the record."""

import base64
import errno
import io
import json
import re
import shutil

import numpy as np
import pytest
from PIL import Image

from gmmquant.cli.app import run
from gmmquant.cli.parser import with_formats
from gmmquant.cli.text import command_line
from gmmquant.errors import OutputError
from gmmquant.images.contact_sheet.encode import encode_sheet
from gmmquant.images.contact_sheet.layout import Panel, Row
from gmmquant.pipeline.batch import run_all
from gmmquant.pipeline.listed import images_listed
from gmmquant.pipeline.plan import Products, Task, plan
from gmmquant.pipeline.reports import is_report
from gmmquant.pipeline.sources import Reading, sources_of
from gmmquant.pipeline.summary import summarized
from gmmquant.report.csv_tables import CsvTables
from gmmquant.report.outcome import Done, Failure, Summary
from gmmquant.report.record import record_in_page
from gmmquant.report.sheet import SheetRows
from gmmquant.settings import ANY_K, SHEET_FORMATS


@pytest.fixture
def album(tmp_path, samples):
    for name, sample in (("a.png", "flat.png"), ("sub/b.png", "cutout.png"), ("c.jpg", "cat.jpg")):
        (tmp_path / "album" / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(samples / sample, tmp_path / "album" / name)
    return tmp_path / "album"


def names(folder):
    return {str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file()}


def test_all_reports_of_one_image_have_its_name(command, samples, tmp_path):
    options = ["-k", "2", "7", "--report", "all", "--sheet", "all", "--plots", "svg,png"]
    result = command(samples / "cat.jpg", *options, "-o", "out")
    assert result.returncode == 0, result.stderr
    plots = {
        f"cat_{name}.{end}"
        for name in ("objective", "criteria", "palettes", "colors_k2", "colors_k7")
        for end in ("svg", "png")
    }
    reports = {"cat_report.json", "cat_report.html", "cat_report.csv", "cat_components.csv", "cat_report.md"}
    sheets = {f"cat_sheet.{end}" for end in ("png", "webp", "svg", "pdf")}
    assert names(tmp_path / "out") == {"cat_k2.png", "cat_k7.png"} | plots | reports | sheets
    page = (tmp_path / "out/cat_report.html").read_text()
    sheet = (tmp_path / "out/cat_sheet.svg").read_text()
    for fit in json.loads((tmp_path / "out/cat_report.json").read_text())["fits"]:
        for code in fit["components"]["hex"]:
            assert code in page
            assert code in sheet
        assert f"{fit['mean_log_likelihood']:.4f}" in sheet
    assert "--plots svg,png -o out -k 2 7</code>" in page


def test_a_folder_of_sheets_plots_and_outputs_has_no_inputs(command, samples, tmp_path):
    options = ["-k", "2", "--sheet", "png,webp", "--plots", "png"]
    assert command(samples / "flat.png", *options, "-o", "out").returncode == 0
    again = command("out", "-k", "2", "-n")
    assert again.returncode == 1
    assert "only 7 images written by gmmquant in this folder" in again.stderr


def test_an_added_k_is_in_every_report_with_the_images_of_the_first_run(command, samples, tmp_path):
    options = ["-o", "out", "--report", "all", "--sheet", "svg", "--plots", "svg"]
    assert command(samples / "cat.jpg", "-k", "7", *options).returncode == 0
    added = command(samples / "cat.jpg", "-k", "2", *options)
    assert added.returncode == 0, added.stderr
    assert command(samples / "cat.jpg", "-k", "2", "7", *options[2:], "-o", "at_once").returncode == 0
    assert names(tmp_path / "out") == names(tmp_path / "at_once")
    for name in ("cat_sheet.svg", "cat_criteria.svg", "cat_objective.svg", "cat_palettes.svg"):
        assert (tmp_path / "out" / name).read_bytes() == (tmp_path / "at_once" / name).read_bytes()
    images = [
        re.findall(r"data:image/[a-z]+;base64,[^\"']+", (tmp_path / folder / "cat_report.html").read_text())
        for folder in ("out", "at_once")
    ]
    assert len(images[0]) == len(images[1]) >= 3


def test_a_report_that_is_missing_is_written_when_a_run_is_continued(command, samples, tmp_path):
    options = [samples / "cat.jpg", "-k", "2", "-o", "out"]
    assert command(*options).returncode == 0
    record = (tmp_path / "out/cat_report.json").read_bytes()
    assert command(*options, "--report", "json,html", "--skip-existing").returncode == 0
    assert names(tmp_path / "out") == {"cat_k2.png", "cat_report.json", "cat_report.html"}
    assert (tmp_path / "out/cat_report.json").read_bytes() == record
    page = (tmp_path / "out/cat_report.html").read_bytes()
    assert command(*options, "--report", "json,html", "--skip-existing").returncode == 0
    assert (tmp_path / "out/cat_report.html").read_bytes() == page


def test_a_folder_has_an_index_with_links_to_the_pages_and_the_failures(command, album, tmp_path):
    (album / "bad.png").write_bytes(b"\x89PNG\r\n\x1a\n bad")
    result = command("album", "-r", "-k", "2", "-o", "out", "--report", "html", "--sheet", "png")
    assert result.returncode == 1
    pages = {"a_report.html", "c_report.html", "sub/b_report.html"}
    images = {"a_k2.png", "c_k2.png", "sub/b_k2.png"}
    assert names(tmp_path / "out") == {"report.html", "sheet.png"} | pages | images
    index = (tmp_path / "out/report.html").read_text()
    assert {f"./{page}" for page in pages} == set(re.findall(r'href="(\./[^"#]+)"', index))
    assert "bad.png" in index
    assert index.count("data:image/") >= 6


def test_images_that_share_a_palette_have_one_index_and_one_sheet(command, album, tmp_path):
    options = ["--report", "html,json", "--sheet", "svg"]
    result = command("album", "-r", "-k", "3", "--shared", "-o", "out", *options)
    assert result.returncode == 0, result.stderr
    found = names(tmp_path / "out")
    assert {"shared_report.html", "shared_report.json", "shared_sheet.svg"} <= found
    assert not any(name.endswith("_report.html") for name in found - {"shared_report.html"})
    sheet = (tmp_path / "out/shared_sheet.svg").read_text()
    record = json.loads((tmp_path / "out/shared_report.json").read_text())
    for code in record["fits"][0]["components"]["hex"]:
        assert sheet.count(f'"{code}"') >= len(record["images"])


def test_without_a_report_nothing_of_reports_is_imported(command, samples, tmp_path):
    script = (
        "import sys\nfrom gmmquant.cli.app import run\n"
        f"assert run(['{samples / 'cat.jpg'}', '-k', '2', '-o', 'out', '-q']) == 0\n"
        "heavy = ('jinja2', 'matplotlib', 'gmmquant.report.html', 'gmmquant.report.plots', 'gmmquant.report.sheet',"
        " 'gmmquant.images.contact_sheet', 'gmmquant.cli.preview', 'gmmquant.report.csv_tables')\n"
        "assert not [name for name in sys.modules if name.startswith(heavy)]\n"
    )
    import subprocess
    import sys

    subprocess.run([sys.executable, "-c", script], cwd=tmp_path, check=True)


@pytest.mark.parametrize(
    ("arguments", "completed"),
    [
        (["a.png", "--sheet"], ["a.png", "--sheet", "png"]),
        (["--sheet", "a.jpg"], ["--sheet", "png", "a.jpg"]),
        (["--sheet", "svg,pdf", "a.png"], ["--sheet", "svg,pdf", "a.png"]),
        (["--plots", "-k", "2"], ["--plots", "svg", "-k", "2"]),
        (["--plots", "all"], ["--plots", "all"]),
        (["--sheet=webp"], ["--sheet=webp"]),
        (["--", "--sheet"], ["--", "--sheet"]),
    ],
)
def test_a_format_may_be_left_out(arguments, completed):
    assert with_formats(arguments) == completed


def test_the_command_line_of_a_report_has_no_passwords():
    typed = command_line(["s3://me:p@ss/word@host/a b.png?token=x", "-k", "2", "3", "--", "x.png"])
    assert typed.replace(ANY_K, "2 3") == "gmmquant 's3://host/a b.png?...' -k 2 3 -- x.png"


@pytest.mark.parametrize(
    "options",
    [
        ["-o", "-", "--sheet"],
        ["-o", "-", "--report", "html"],
        ["--preview", "--json"],
        ["--preview", "-q"],
        ["--shared", "--plots"],
        ["--report", "htm"],
        ["--sheet=jpg"],
    ],
)
def test_reports_that_contradict_other_options_are_refused(command, samples, tmp_path, options):
    refused = command(samples / "cat.jpg", "-k", "2", *options)
    assert (refused.returncode, refused.stdout, refused.stderr.count("\n")) == (2, "", 1)


def test_a_preview_outside_a_terminal_is_a_note(command, samples):
    result = command(samples / "cat.jpg", "-k", "2", "-o", "out", "--preview")
    assert result.returncode == 0
    assert "--preview needs a terminal" in result.stderr


# --- files that are not lost, and reports that do not lie -------------------------------------------------------------


def contents(folder):
    return {path.name: path.read_bytes() for path in folder.iterdir() if path.is_file()}


@pytest.mark.parametrize("options", [["--sheet"], ["--sheet", "--name", "{stem}"], ["--sheet", "--force"]])
def test_a_sheet_is_never_written_over_an_input_or_another_output(command, samples, tmp_path, options):
    (tmp_path / "in").mkdir()
    for name in ("a.png", "sheet.png"):
        shutil.copy(samples / "flat.png", tmp_path / "in" / name)
    folder = [] if "--name" not in options else ["-o", "out"]
    command("in", "-k", "2", *folder)
    before = contents(tmp_path / "in")
    refused = command("in", "-k", "3", *options, *folder)
    assert (refused.returncode, refused.stderr.count("\n")) == (2, 1)
    assert "sheet.png" in refused.stderr
    assert contents(tmp_path / "in") == before


@pytest.mark.parametrize("name", ["a_report.html", "a_report.md", "a_report.csv", "a_sheet.svg", "a_criteria.svg"])
def test_files_of_the_user_are_not_taken_for_reports(command, samples, tmp_path, name):
    shutil.copy(samples / "cat.jpg", tmp_path / "a.jpg")
    options = ["--report", "all", "--sheet", "svg", "--plots"]
    assert command("a.jpg", "-k", "2", *options).returncode == 0
    (tmp_path / name).write_bytes(b"mine")
    refused = command("a.jpg", "-k", "3", *options)
    assert refused.returncode == 1
    assert f"{name} exists, and is not a report of gmmquant" in refused.stderr
    assert (tmp_path / name).read_bytes() == b"mine"
    assert command("a.jpg", "-k", "3", *options, "--force").returncode == 0
    assert (tmp_path / name).read_bytes() != b"mine"


def test_two_formats_of_an_image_have_a_fit_each_in_the_report(command, samples, tmp_path):
    for end in ("png", "webp"):
        assert command(samples / "cat.jpg", "-k", "4", "-o", "out", "--format", end).returncode == 0
    fits = json.loads((tmp_path / "out/cat_report.json").read_text())["fits"]
    assert [fit["files"]["image"] for fit in fits] == ["cat_k4.png", "cat_k4.webp"]
    for fit in fits:
        assert fit["bytes"] == (tmp_path / "out" / fit["files"]["image"]).stat().st_size
    again = command(samples / "cat.jpg", "-k", "4", "-o", "out", "--format", "webp", "--skip-existing")
    assert "skipped" in again.stderr


def test_a_file_that_is_written_again_for_another_k_is_that_of_one_fit(command, samples, tmp_path):
    for k in ("2", "3"):
        assert command(samples / "cat.jpg", "-k", k, "-o", "out.png", "--report", "json", "--force").returncode == 0
    fits = json.loads((tmp_path / "out_report.json").read_text())["fits"]
    assert [(fit["k"], fit["files"]["image"]) for fit in fits] == [(3, "out.png")]


def test_a_page_alone_holds_the_record_to_which_a_k_is_added(command, samples, tmp_path):
    options = [samples / "cat.jpg", "-o", "out", "--report", "html"]
    assert command(*options, "-k", "2").returncode == 0
    assert command(*options, "-k", "3").returncode == 0
    assert command(*options, "-k", "4", "--skip-existing").returncode == 0
    assert names(tmp_path / "out") == {"cat_k2.png", "cat_k3.png", "cat_k4.png", "cat_report.html"}
    record = json.loads(record_in_page((tmp_path / "out/cat_report.html").read_bytes()))
    assert [fit["k"] for fit in record["fits"]] == [2, 3, 4]
    assert "skipped" in command(*options, "-k", "2", "3", "4", "--skip-existing").stderr


def test_a_page_that_lacks_a_fit_of_the_report_is_made_again(command, samples, tmp_path):
    options = [samples / "cat.jpg", "-o", "out"]
    assert command(*options, "-k", "2", "--report", "json,html").returncode == 0
    assert command(*options, "-k", "3").returncode == 0
    assert command(*options, "-k", "2", "3", "--report", "json,html", "--skip-existing").returncode == 0
    record = json.loads(record_in_page((tmp_path / "out/cat_report.html").read_bytes()))
    assert [fit["k"] for fit in record["fits"]] == [2, 3]


def test_earlier_images_are_on_the_page_without_loss(command, samples, tmp_path):
    options = [samples / "cat.jpg", "-o", "out", "--report", "json,html"]
    for k in ("2", "3"):
        assert command(*options, "-k", k).returncode == 0
    page = (tmp_path / "out/cat_report.html").read_text()
    found = [base64.b64decode(data) for data in re.findall(r"data:image/(?:png|webp);base64,([^\"']+)", page)]
    images = [np.asarray(Image.open(io.BytesIO(data)).convert("RGB")) for data in found]
    for k in (2, 3):
        drawn = np.asarray(Image.open(tmp_path / f"out/cat_k{k}.png").convert("RGB"))
        assert any(image.shape == drawn.shape and (image == drawn).all() for image in images)


def test_the_command_on_the_page_has_all_numbers_of_colors(command, samples, tmp_path):
    for k in ("2", "3"):
        command(samples / "cat.jpg", "-o", "out", "--report", "json,html", "-k", k)
    assert "--report json,html -k 2 3</code>" in (tmp_path / "out/cat_report.html").read_text()


def test_a_damaged_report_is_replaced_with_force(command, samples, tmp_path):
    assert command(samples / "cat.jpg", "-k", "2", "-o", "out").returncode == 0
    path = tmp_path / "out/cat_report.json"
    for change in ({"version": "0"}, {"fits": [{"asked": 2, "files": {}}]}, {"notes": None}):
        path.write_text(json.dumps({**json.loads(path.read_text()), **change}))
        assert command(samples / "cat.jpg", "-k", "2", "-o", "out", "--force").returncode == 0
        assert [fit["k"] for fit in json.loads(path.read_text())["fits"]] == [2]


def test_a_table_keeps_the_rows_of_images_that_fail_and_gets_new_ones(command, album, tmp_path):
    options = ["album", "-r", "-o", "out", "--report", "json,csv"]
    assert command(*options, "-k", "2").returncode == 0
    (album / "c.jpg").write_bytes(b"changed")
    shutil.copy(album / "a.png", album / "new.png")
    added = command(*options, "-k", "3")
    assert added.returncode == 1
    rows = (tmp_path / "out/report.csv").read_text().splitlines()[1:]
    found = sorted(tuple(row.split(",")[1:3]) for row in rows)
    expected = [(f"{name}_k{k}.png", str(k)) for name in ("a", "sub/b") for k in (2, 3)]
    assert found == sorted([*expected, ("c_k2.png", "2"), ("new_k3.png", "3")])


def test_a_table_that_would_lose_rows_is_refused_without_json(command, album, tmp_path):
    options = ["album", "-r", "-o", "out", "--report", "csv"]
    assert command(*options, "-k", "2").returncode == 0
    table = (tmp_path / "out/report.csv").read_bytes()
    for more in ([], ["--skip-existing"]):
        refused = command(*options, "-k", "3", *more)
        assert refused.returncode == 1
        assert "report.csv exists, and would lose what it has" in refused.stderr
        assert (tmp_path / "out/report.csv").read_bytes() == table


@pytest.mark.parametrize("end", SHEET_FORMATS)
@pytest.mark.parametrize("has_matplotlib", [True, False])
def test_a_sheet_is_recognized_as_ours(end, has_matplotlib, monkeypatch):
    if not has_matplotlib:
        monkeypatch.setattr("gmmquant.images.contact_sheet.pdf.pdf_font", lambda: None)
    row = Row("cat.jpg", "", (30, 30), (Panel(np.zeros((30, 30, 3), np.uint8), "original"),))
    data = encode_sheet([row], end, title="Sheet", footer="gmmquant 0.1.0")
    assert is_report(f".{end}", data)
    assert not is_report(f".{end}", data.replace(b"gmmquant", b"another_").replace(b"g\0m\0m\0q", b"a\0n\0o\0t"))


@pytest.mark.parametrize("report", ["csv", "md", "html"])
def test_a_file_about_more_images_is_not_replaced_by_one_about_fewer(command, album, tmp_path, report):
    options = ["-k", "2", "-o", "out", "--skip-existing", "--report", f"json,{report}"]
    assert command("album", "-r", *options).returncode == 0
    (table,) = (tmp_path / "out").glob(f"report.{report}")
    content = table.read_bytes()
    left_out = "sub/b.png" if report == "html" else "../album/sub/b.png"
    others = ["album/c.jpg", "album/a.png", Image.new("RGB", (8, 8), "red").save(album / "swapped.png") or "album"]
    for images in (["album"], others[:2], others):  # fewer of them, and as many
        refused = command(*images, *options)
        assert refused.returncode == 1
        assert refused.stderr == (
            f"gmmquant: out/report.{report} has {left_out}, which this run has not; run over all of its images, use "
            "another --output or --name, or --force to replace it\n"
        )
        assert table.read_bytes() == content
    (album / "swapped.png").unlink()
    (album / "sub/a=1, \n## x.png").write_bytes((album / "a.png").read_bytes())
    assert command("album", "-r", *options).returncode == 0
    assert len(images_listed(f".{report}", table.read_bytes())) == 4
    assert command("album", "-r", *options).returncode == 0  # all are recognized, whatever their names are


@pytest.mark.parametrize("report", ["csv", "md", "html"])
def test_an_image_that_is_gone_is_dropped_with_a_note(command, album, tmp_path, report):
    options = ["album", "-r", "-k", "2", "-o", "out", "--skip-existing", "--report", f"json,{report}"]
    assert command(*options).returncode == 0
    (album / "sub/b.png").rename(album / "sub/renamed.png")
    again = command(*options)
    assert again.returncode == 0
    left_out = "sub/b.png" if report == "html" else "../album/sub/b.png"
    assert f"gmmquant: report.{report} no longer has {left_out}, which does not exist\n" in again.stderr
    names = images_listed(f".{report}", (tmp_path / f"out/report.{report}").read_bytes())
    assert [name.rsplit("/")[-1] for name in names] == ["a.png", "c.jpg", "renamed.png"]
    album.rename(tmp_path / "moved")
    moved = command("moved", *options[1:])
    assert (moved.returncode, "no longer" in moved.stderr) == (0, False)


def test_images_that_are_compared_with_existing_files_are_in_the_table(command, album, tmp_path):
    assert command("album", "-r", "-k", "2", "-o", "out", "--report", "none").returncode == 0
    assert command("album", "-r", "-k", "2", "-o", "out", "--report", "csv", "--skip-existing").returncode == 0
    assert len((tmp_path / "out/report.csv").read_text().splitlines()) == 4


def test_a_dry_run_shows_the_files_about_all_images(command, album, tmp_path):
    planned = command("album", "-r", "-k", "2", "-o", "out", "-n", "--report", "csv", "--sheet")
    for name in ("report.csv", "components.csv", "sheet.png"):
        assert f"out/{name} (new)" in planned.stdout
    assert not (tmp_path / "out").exists()


def test_a_high_sheet_is_divided():
    rows = [Row(str(i), "", (30, 30), (Panel(np.zeros((30, 30, 3), np.uint8), "original"),)) for i in range(250)]
    collected = SheetRows(["webp", "svg"])
    collected._rows = rows
    found = collected.finish()
    assert list(found) == ["sheet.webp", "sheet.webp 2", "sheet.svg"]
    assert all(max(Image.open(io.BytesIO(found[name])).size) <= 16_383 for name in list(found)[:2])


def test_a_failure_of_a_report_about_all_images_leaves_the_images(command, album, tmp_path, monkeypatch):
    task = Task([2], products=Products(reports=("csv", "md")))
    monkeypatch.setattr("gmmquant.report.csv_tables.CsvTables.finish", lambda _: 1 / 0)
    monkeypatch.chdir(tmp_path)
    planned = plan(sources_of(["album"], Reading(recursive=True)), task, tmp_path / "o")
    outcomes = list(summarized(planned, run_all(planned)))
    assert [type(outcome) for outcome in outcomes] == [Done, Done, Done, Failure, Summary]
    assert "ZeroDivisionError" in outcomes[3].reason
    assert names(tmp_path / "o") == {"a_k2.png", "c_k2.png", "sub/b_k2.png", "report.md"}


def test_maps_are_on_the_page_of_this_run_and_of_earlier_ones(command, samples, tmp_path):
    options = [samples / "cat.jpg", "-o", "out", "--report", "json,html", "--maps", "entropy,loglik"]
    for k in ("2", "3"):
        assert command(*options, "-k", k).returncode == 0
    page = (tmp_path / "out/cat_report.html").read_text()
    record = json.loads((tmp_path / "out/cat_report.json").read_text())
    for fit in record["fits"]:
        for facts in fit["files"]["maps"].values():
            white = f"{facts['white']:,.2f}".replace("-", "\u2212")
            assert f"(black) to {white} {facts['unit']} (white)" in page
    assert page.count("<figure><img") == 4
    assert "(black)" not in html_page_without_maps(command, samples, tmp_path)


def html_page_without_maps(command, samples, tmp_path):
    assert command(samples / "cat.jpg", "-o", "plain", "--report", "html", "-k", "2").returncode == 0
    return (tmp_path / "plain/cat_report.html").read_text()


@pytest.mark.parametrize(
    ("error", "reason"),
    [
        (OSError(errno.ENOSPC, "No space left on device"), "cannot write the report: no space left on device"),
        (MemoryError(), "not enough memory for the report; the images are complete"),
        (
            ImportError("broken"),
            "a part of the program cannot be loaded (ImportError: broken); check the disk",
        ),
        (ValueError("a bug"), "cannot make the report: ValueError: a bug; the images are complete"),
        (OutputError("summary.csv was changed by another run"), "summary.csv was changed by another run"),
    ],
)
def test_a_report_that_cannot_be_made_is_one_line_and_the_images_are_complete(
    tmp_path, samples, monkeypatch, capsys, error, reason
):
    def fail(self):
        raise error

    monkeypatch.setattr(CsvTables, "finish", fail)
    arguments = [str(samples / "flat.png"), str(samples / "grey.png"), "-k", "2", "-o", str(tmp_path / "out")]
    assert run([*arguments, "--report", "csv", "-q"]) == 1
    shown = capsys.readouterr().err
    assert reason in shown
    assert shown.count("\n") == 1
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == ["flat_k2.png", "grey_k2.png"]
