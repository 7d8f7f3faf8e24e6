"""Another k, format or table is added to what a run with one mixture for many images has written."""

import json
import re

import numpy as np
import pytest
from shared_album import pixels_of, report, table, without_times

from gmmquant.report.numbers import file_size


def entries(record):
    """Return the fits of all images together and of each image by the k that was asked for, without times."""
    images = {image["path"]: image["fits"] for image in record["images"]}
    return {
        name: {str(fit["asked"]): without_times(fit) for fit in fits}
        for name, fits in {"all": record["fits"], **images}.items()
    }


@pytest.mark.parametrize("options", [[], ["--skip-existing"], ["--force"]])
def test_another_k_adds_to_the_report_what_a_run_with_all_k_has(command, finished, tmp_path, album, options):
    finished("--save-model")
    before = {path.name: path.read_bytes() for path in (tmp_path / "out").iterdir()}
    added = command("album", "-k", "5", "auto", "--shared", "--save-model", "-o", "out", *options)
    assert added.returncode == 0, added.stderr
    assert "no longer" not in added.stderr
    assert command("album", "-k", "3", "5", "auto", "--shared", "--save-model", "-o", "all").returncode == 0
    assert entries(report(tmp_path / "out")) == entries(report(tmp_path / "all"))
    for name in ("total", "fitted", "choices", "choice"):
        assert report(tmp_path / "out")[name] == report(tmp_path / "all")[name]
    assert report(tmp_path / "out")["settings"]["k"] == [fit["asked"] for fit in report(tmp_path / "out")["fits"]]
    for path in (tmp_path / "all").iterdir():
        if not path.name.endswith("_report.json"):
            assert (tmp_path / "out" / path.name).read_bytes() == path.read_bytes()
            assert before.get(path.name) in (None, path.read_bytes())


def test_files_about_all_images_have_every_k_of_a_shared_report(command, finished, tmp_path, album):
    finished()
    about_all = ["--report", "json", "csv", "html", "--sheet", "png"]
    assert command("album", "-k", "5", "--shared", "-o", "out", *about_all).returncode == 0
    rows = table(tmp_path / "out/shared_report.csv")
    assert [row["asked"] for row in rows] == ["3", "5"] * 11
    assert {row["file"] for row in rows} == {f"p{i}_k{k}.png" for i in range(10) for k in (3, 5)} | {""}
    sheet = {name: (tmp_path / name / "shared_sheet.png") for name in ("out", "all")}
    assert command("album", "-k", "3", "5", "--shared", "-o", "all", "--sheet", "png").returncode == 0
    np.testing.assert_array_equal(pixels_of(sheet["out"]), pixels_of(sheet["all"]))
    (tmp_path / "out/shared_report.csv").unlink()
    again = command("album", "-k", "5", "--shared", "-o", "out", *about_all, "--skip-existing")
    assert again.returncode == 0
    assert table(tmp_path / "out/shared_report.csv") == rows


def test_files_of_another_format_are_told_apart(command, finished, tmp_path, album):
    finished()
    assert command("album", "-k", "5", "--shared", "-o", "out").returncode == 0
    table_of_webp = command("album", "-k", "3", "--shared", "-o", "out", "--format", "webp").stdout
    record = report(tmp_path / "out")
    assert [fit["files"]["images"] for fit in record["fits"]] == ["{stem}_k3.png", "{stem}_k3.webp", "{stem}_k5.png"]
    names = [[fit["files"]["image"] for fit in image["fits"]] for image in record["images"]]
    assert names == [[f"p{i}_k3.png", f"p{i}_k3.webp", f"p{i}_k5.png"] for i in range(10)]
    sizes = [sum((tmp_path / "out" / name).stat().st_size for name in of_fit) for of_fit in zip(*names, strict=True)]
    rows = [" ".join(line.split()) for line in table_of_webp.splitlines() if re.match(r" *[0-9]", line)]
    for row, kind, size in zip(rows, ("png images", "webp images", "images"), sizes, strict=True):
        assert f" 10 {kind} {file_size(size)} " in row
    added = command("album", "-k", "3", "--shared", "-o", "out", "--report", "html", "--skip-existing")
    assert added.returncode == 0
    page = (tmp_path / "out/shared_report.html").read_text()
    assert re.findall(r'data-total="([^"]*)"', page) == ["5", "3 png", "3 webp"]
    assert "-k 3 5</code>" in page  # the command makes images of its own format


def test_a_fit_is_not_added_to_a_report_that_lacks_an_image(command, finished, tmp_path, album):
    finished()
    record = report(tmp_path / "out")
    lost = record["images"].pop(4)
    record["failed"].append({"path": lost["path"], "reason": "no space left on device"})
    record["total"]["images"] -= 1
    (tmp_path / "out/shared_report.json").write_text(json.dumps(record))
    added = command("album", "-k", "5", "--shared", "-o", "out")
    assert added.returncode == 1
    assert "shared_report.json lacks album/p4.png, which failed in an earlier run; run again with -k 3 5" in (
        added.stderr
    )
    assert report(tmp_path / "out") == record
    assert command("album", "-k", "3", "5", "--shared", "-o", "out", "--skip-existing").returncode == 0
    assert set(map(len, entries(report(tmp_path / "out")).values())) == {2}


@pytest.mark.parametrize("kind", ["html", "csv", "md", "none"])
def test_a_shared_run_needs_no_report_in_json(command, tmp_path, album, kind):
    arguments = ["album", "-k", "3", "--shared", "-o", "out", "--report", kind]
    result = command(*arguments)
    assert (result.returncode, "bug" in result.stderr) == (0, False)
    assert "10 images" in result.stdout
    names = {path.name for path in (tmp_path / "out").iterdir()} - {f"p{number}_k3.png" for number in range(10)}
    of_kind = {"html": {"shared_report.html"}, "md": {"shared_report.md"}, "none": set()}
    assert names == of_kind.get(kind, {"shared_report.csv", "shared_components.csv"})
    more = command("album", "-k", "4", *arguments[3:])
    assert more.returncode == (0 if kind == "none" else 1)  # nothing has the figures of k = 3
    if kind != "none":
        assert "--skip-existing --report json alone, or use" in more.stderr
        assert command(*arguments[:-2], "--skip-existing", "--report", "json").returncode == 0
        assert command("album", "-k", "4", *arguments[3:]).returncode == 0
        assert [fit["k"] for fit in report(tmp_path / "out")["fits"]] == [3, 4]


def test_a_shared_report_in_json_is_kept_up_to_date_by_other_reports(command, finished, tmp_path, album):
    finished()
    for k, expected in (("5", [3, 5]), ("4", [3, 4, 5])):
        result = command("album", "-k", k, "--shared", "-o", "out", "--report", "html")
        assert result.returncode == 0, result.stderr
        assert [fit["k"] for fit in report(tmp_path / "out")["fits"]] == expected
        page = (tmp_path / "out/shared_report.html").read_text()
        assert re.findall(r'data-total="([^"]*)"', page) == list(map(str, expected))


def test_files_about_all_images_that_lack_a_fit_are_made_again_though_all_outputs_exist(command, tmp_path, album):
    arguments = ["album", "--shared", "-o", "out"]
    assert command(*arguments, "-k", "3", "--report", "json,html,csv").returncode == 0
    assert "not updated; add --skip-existing --report csv,html" in command(*arguments, "-k", "5").stderr
    again = command(*arguments, "-k", "5", "--report", "html,csv", "--skip-existing")
    assert again.returncode == 0
    assert {row["asked"] for row in table(tmp_path / "out/shared_report.csv")} == {"3", "5"}
    assert re.findall(r'data-total="([^"]*)"', (tmp_path / "out/shared_report.html").read_text()) == ["3", "5"]


def test_a_dry_run_of_a_shared_run_that_is_refused_changes_no_report(command, finished, tmp_path, album):
    finished()
    planned = command("album", "-k", "3", "5", "--shared", "-o", "out", "-n")
    assert planned.returncode == 1
    assert "extended" not in planned.stdout + planned.stderr


def test_an_image_that_could_not_be_read_may_be_gone_later(command, tmp_path, album):
    (album / "broken.png").write_bytes(b"no image")
    assert command("album", "-k", "3", "--shared", "-o", "out").returncode == 1
    (album / "broken.png").unlink()
    assert command("album", "-k", "5", "--shared", "-o", "out").returncode == 0
    assert [fit["k"] for fit in report(tmp_path / "out")["fits"]] == [3, 5]


def test_an_image_that_cannot_be_read_may_come_later(command, finished, tmp_path, album):
    finished()
    (album / "broken.png").write_bytes(b"no image")
    added = command("album", "-k", "5", "--shared", "-o", "out")
    assert added.returncode == 1
    assert "broken.png: not a supported" in added.stderr.replace("\n", " ")
    record = report(tmp_path / "out")
    assert [fit["k"] for fit in record["fits"]] == [3, 5]
    assert [failed["path"] for failed in record["failed"]] == ["../album/broken.png"]
    (album / "broken.png").write_bytes((album / "p0.png").read_bytes())
    before = {path.name: path.read_bytes() for path in (tmp_path / "out").iterdir()}
    mended = command("album", "-k", "7", "--shared", "-o", "out")
    assert mended.returncode == 1
    assert {path.name: path.read_bytes() for path in (tmp_path / "out").iterdir()} == before


def test_tables_of_a_finished_run_are_made_from_its_report(command, finished, tmp_path, album):
    finished()
    before = {path.name: path.stat().st_mtime_ns for path in (tmp_path / "out").iterdir()}
    options = ["album", "-k", "3", "--shared", "-o", "out", "--skip-existing"]
    again = command(*options, "--report", "json,csv,md")
    assert again.returncode == 0
    assert again.stdout == ""
    assert {name: (tmp_path / "out" / name).stat().st_mtime_ns for name in before} == before
    assert command("album", "-k", "3", "--shared", "-o", "all", "--report", "json,csv,md").returncode == 0
    for name in ("shared_report.csv", "shared_components.csv", "shared_report.md"):
        rows = [(tmp_path / folder / name).read_text().splitlines() for folder in ("out", "all")]
        assert len(rows[0]) == len(rows[1]) > 10
    shown = command(*options, "--stats").stdout
    assert f"{report(tmp_path / 'out')['fits'][0]['log_likelihood']:,.0f}" in shown


def test_images_of_their_own_palettes_beside_a_shared_one_are_noted(command, finished, tmp_path, album):
    finished("--save-model")
    note = "shared_report.json is of one palette for all; this run gives each image its own, --shared keeps one"
    assert note in command("album/p0.png", "-k", "5", "-o", "out").stderr
    (album / "p0.png").rename(album / "late.png")
    model = ["--model", "out/shared_k3.gmm.json"]
    assert "palette for all" not in command("album", *model, "-o", "out", "--skip-existing").stderr


@pytest.mark.parametrize("added", ["a.png", "q.png"])
def test_no_image_of_a_mixture_is_put_among_those_of_another(command, finished, tmp_path, album, added):
    out, arguments = finished(), ["album", "--shared", "-o", "out"]
    (album / added).write_bytes((album / "p3.png").read_bytes())
    assert command(*arguments, "-k", "4", "--force").returncode == 0
    before = {path.name: path.read_bytes() for path in out.iterdir()}
    refused = command(*arguments, "-k", "3", "--skip-existing")
    assert (refused.returncode, refused.stderr.count("was written for other images or options")) == (1, 10)
    assert {path.name: path.read_bytes() for path in out.iterdir()} == before


def test_an_interrupted_shared_run_is_continued_to_the_report_of_one_that_was_not(command, finished, tmp_path, album):
    out = finished()
    whole = {path.name: path.read_bytes() for path in out.iterdir()}
    expected = report(out)
    for name in ("shared_report.json", "p1_k3.png", "p7_k3.png"):
        (out / name).unlink()
    continued = command("album", "-k", "3", "--shared", "-o", "out", "--skip-existing")
    assert continued.returncode == 0, continued.stderr
    assert whole | {"shared_report.json": (out / "shared_report.json").read_bytes()} == {
        path.name: path.read_bytes() for path in out.iterdir()
    }
    assert [image["path"] for image in report(out)["images"]] == [image["path"] for image in expected["images"]]
    assert report(out)["total"] == expected["total"]
