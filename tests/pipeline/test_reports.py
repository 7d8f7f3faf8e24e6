"""Reports of the command: pages, indexes, sheets and plots, complete and of the same fits as the record."""

import json
import re
import shutil

import pytest

from gmmquant.cli.parser import with_formats
from gmmquant.cli.printable import command_line


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
    assert "-k 2 7 --report all" in page


def test_a_folder_of_sheets_plots_and_outputs_has_no_inputs(command, samples, tmp_path):
    options = ["-k", "2", "--sheet", "png,webp", "--plots", "png"]
    assert command(samples / "flat.png", *options, "-o", "out").returncode == 0
    again = command("out", "-k", "2", "-n")
    assert again.returncode == 1
    assert "no images in this folder" in again.stderr


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
        (["--sheet", "a.png"], ["--sheet", "png", "a.png"]),
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
    typed = command_line(["s3://me:secret@host/a b.png", "-k", "2"])
    assert typed == "gmmquant 's3://***@host/a b.png' -k 2"


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
