"""What a run leaves behind: figures that a report loses, reports that lack new figures, images of one output name."""

import csv
import json
import os
import re

import pytest
from PIL import Image


@pytest.fixture
def album(tmp_path):
    """A folder with two images of one output name, and two others."""
    folder = tmp_path / "album"
    folder.mkdir()
    for number, name in enumerate(("a.png", "b.bmp", "b.png", "c.png")):
        image = Image.new("RGB", (8, 8), (60 * number, 200, 90))
        image.paste((10, 20, 30), (0, 0, 4, 8))
        image.save(folder / name)
    return folder


def ks_in(report):
    return [fit["k"] for fit in json.loads(report.read_text())["fits"]]


def test_force_with_other_options_names_the_k_that_the_report_loses(command, samples, tmp_path):
    grey = samples / "grey.png"
    assert command(grey, "-k", "2", "3", "5", "-o", "out").returncode == 0
    forced = command(grey, "-k", "2", "--style", "poster", "-o", "out", "-f")
    assert forced.returncode == 0
    assert "grey_report.json no longer has k = 3, 5, which had other settings; their images stay\n" in forced.stderr
    assert ks_in(tmp_path / "out/grey_report.json") == [2]
    assert (tmp_path / "out/grey_k5.png").exists()
    assert "no longer" not in command(grey, "-k", "2", "--style", "poster", "-o", "out", "-f").stderr
    assert "no longer" not in command(grey, "-k", "2", "-o", "out", "-f").stderr  # the only fit is replaced


def test_force_names_the_k_of_an_earlier_version_of_the_image(command, album, tmp_path):
    image = album / "a.png"
    assert command(image, "-k", "1", "2", "-o", "out").returncode == 0
    Image.new("RGB", (8, 8), "red").save(image)
    forced = command(image, "-k", "1", "-o", "out", "-f")
    assert "a_report.json no longer has k = 2, which were of an earlier version of the image" in forced.stderr


def test_a_run_names_the_reports_that_it_does_not_update(command, samples, tmp_path):
    grey = samples / "grey.png"
    first = command(grey, "-k", "2", "-o", "out", "--report", "json,html,csv", "--sheet", "--plots")
    assert (first.returncode, first.stderr.count("not updated")) == (0, 0)
    note = "are not updated; add --skip-existing --report html,csv --plots svg --sheet png\n"
    second = command(grey, "-k", "3", "-o", "out")
    assert f"gmmquant: out/grey_report.html, out/grey_objective.svg and 5 more {note}" in second.stderr
    assert "not updated" not in command(grey, "-k", "3", "-o", "out", "--skip-existing").stderr  # nothing is written
    assert "not updated" not in command(grey, "-k", "4", "-o", "out", "-q").stderr
    options = ["--report", "html,csv", "--plots", "svg", "--sheet", "png"]
    assert "not updated" not in command(grey, "-k", "5", "-o", "out", *options).stderr
    with open(tmp_path / "out/grey_report.csv", newline="") as file:
        assert [row["k"] for row in csv.DictReader(file)] == ["2", "3", "4", "5"]


def test_pages_and_tables_of_a_folder_are_named_once(command, album):
    names = [album / "a.png", album / "c.png"]
    assert command(*names, "-k", "1", "-o", "out", "--report", "json,csv").returncode == 0
    note = "gmmquant: out/report.csv and out/components.csv are not updated; add --skip-existing --report csv\n"
    assert command(*names, "-k", "2", "-o", "out").stderr.count(note) == 1
    fewer = command(album / "a.png", album / "b.png", "-k", "3", "-o", "out")
    note = "components.csv are not updated; run over all images with --skip-existing --report csv\n"
    assert note in fewer.stderr


def test_the_options_that_a_note_names_bring_the_files_up_to_date(command, samples):
    grey = samples / "grey.png"
    assert command(grey, "-k", "2", "-o", "out", "--report", "json,html,csv", "--sheet").returncode == 0
    note = re.search(r"not updated; add (.*)", command(grey, "-k", "3", "-o", "out").stderr)
    assert command(grey, "-k", "3", "-o", "out", *note[1].split()).returncode == 0
    for more in (["--report", "md"], ["--report", "json", "--skip-existing"]):  # no image is drawn
        assert "not updated" not in command(grey, "-k", "3", "-o", "out", "--skip-existing", *more).stderr


@pytest.mark.parametrize("shared", [[], ["--shared"]])
@pytest.mark.parametrize("options", [["--report", "none"], ["--report", "none", "--force"], []])
def test_the_options_of_a_note_are_not_refused(command, album, options, shared):
    arguments = [album / "a.png", album / "c.png", "-o", "out", *shared]
    assert command(*arguments, "-k", "1", "--sheet").returncode == 0
    second = command(*arguments, "-k", "2", *options)
    note = re.search(r"not updated; add (.*)", second.stderr)[1]
    assert ("--force" in note) == ("--force" in options)
    again = command(*arguments, "-k", "2", *options[:2], *note.split())
    assert again.returncode == 0, again.stderr
    assert "not updated" not in again.stderr


def test_files_that_no_options_could_update_are_not_named(command, samples):
    arguments = [samples / "grey.png", "-o", "out", "--report", "none"]
    assert command(*arguments, "-k", "2", "--sheet", "--plots").returncode == 0
    assert "not updated" not in command(*arguments, "-k", "3").stderr
    assert "would lose what it has" in command(*arguments, "-k", "3", "--skip-existing", "--sheet").stderr
    assert "are not updated; add --force --plots svg --sheet png" in command(*arguments, "-k", "4", "--force").stderr


def test_a_run_that_writes_only_reports_names_files_older_than_its_images(command, samples, tmp_path):
    arguments = [samples / "grey.png", "-o", "out", "--skip-existing"]
    assert command(*arguments, "-k", "2", "--sheet").returncode == 0
    assert "not updated" not in command(*arguments, "-k", "2", "--report", "html").stderr
    assert command(*arguments, "-k", "3", "-q").returncode == 0
    for name, seconds in {"grey_sheet.png": 10, "grey_k2.png": 5, "grey_k3.png": 15}.items():
        os.utime(tmp_path / "out" / name, (seconds, seconds))
    sheet = "gmmquant: out/grey_sheet.png is not updated; add --sheet png\n"
    assert sheet in command(*arguments, "-k", "3", "--report", "json,html").stderr


def test_only_pages_of_images_that_a_run_recolours_are_named(command, album):
    assert command("album/a.png", "album/c.png", "-k", "1", "-o", "out", "--report", "json,html").returncode == 0
    more = command("album/a.png", "album/c.png", "album/b.png", "-k", "1", "-o", "out", "--skip-existing")
    assert "gmmquant: out/report.html is not updated; add --report html\n" in more.stderr
    assert command("album/a.png", "-k", "2", "-o", "out").returncode == 0
    rest = command("album/a.png", "album/c.png", "-k", "2", "-o", "out", "--skip-existing")
    assert "gmmquant: out/c_report.html and out/report.html are not updated; add --report html\n" in rest.stderr


def test_one_image_names_the_files_about_its_folder_that_list_it(command, album):
    reports = ["--report", "json,html,csv", "--sheet", "png"]
    assert command(album / "a.png", album / "c.png", "-k", "2", "-o", "out", *reports).returncode == 0
    one = command(album / "a.png", "-k", "3", "-o", "out", "--report", "json")
    assert "report.html" in one.stderr
    assert "run over all images with --skip-existing --report html,csv" in one.stderr
    other = command(album / "b.png", "-k", "3", "-o", "out")
    assert "not updated" not in other.stderr


def test_a_json_report_that_exists_is_kept_up_to_date_by_other_reports(command, samples, tmp_path):
    grey = samples / "grey.png"
    assert command(grey, "-k", "2", "-o", "out").returncode == 0
    refused = command(grey, "-k", "3", "--method", "kmeans", "--report", "html,csv", "-o", "out")
    assert refused.returncode == 1
    assert "grey_report.json was written with --method gmm" in refused.stderr
    assert command(grey, "-k", "3", "--report", "csv", "-o", "out").returncode == 0
    assert ks_in(tmp_path / "out/grey_report.json") == [2, 3]
    resumed = command(grey, "-k", "2", "4", "--report", "csv", "-o", "out", "--skip-existing")
    assert (resumed.returncode, ks_in(tmp_path / "out/grey_report.json")) == (0, [2, 3, 4])
    assert command(grey, "-k", "2", "--report", "csv", "-o", "new").returncode == 0
    assert not (tmp_path / "new/grey_report.json").exists()


def test_images_of_one_output_name_fail_and_the_others_are_done(command, album, tmp_path):
    result = command("album", "-k", "2", "-o", "out")
    assert result.returncode == 1
    assert {path.name for path in (tmp_path / "out").glob("*.png")} == {"a_k2.png", "c_k2.png"}
    reason = "album/b.bmp and album/b.png would both write b_k2.png; use --name"
    for name in ("b.bmp", "b.png"):
        assert result.stderr.count(f"gmmquant: album/{name}: {reason}") == 1
    assert "2 done, 2 failed" in result.stderr
    renamed = command(album, "-k", "2", "-o", "all", "--name", "{stem}.{ext}_k{k}")
    assert (renamed.returncode, len(list((tmp_path / "all").glob("*.png")))) == (0, 4)


def test_a_shared_mixture_is_not_fitted_without_images_of_one_output_name(command, album, tmp_path):
    result = command(album, "-k", "2", "-o", "out", "--shared")
    assert (result.returncode, result.stderr.count("\n")) == (2, 1)
    assert not (tmp_path / "out").exists()


def test_outputs_that_exist_are_counted_apart_from_failures(command, album):
    (album / "b.bmp").unlink()
    assert command(album, "-k", "2", "-o", "out").returncode == 0
    (album / "broken.png").write_bytes(b"no image")
    again = command(album, "-k", "2", "-o", "out")
    assert again.returncode == 1
    assert again.stderr.splitlines()[-1].startswith("gmmquant: 3 exist, 1 failed in ")


@pytest.mark.parametrize("change", ["settings", "image", "sample"])
def test_a_shared_run_with_force_names_the_k_that_its_report_loses(command, album, tmp_path, change):
    names, shared = [album / "a.png", album / "c.png"], ["--shared", "-o", "out"]
    assert command(*names, "-k", "1", "2", *shared).returncode == 0
    refused = command(*names, "-k", "2", "3", *shared)
    assert "a_k2.png exists" in refused.stderr
    options = {"settings": ["--tol", "0.01"], "image": [], "sample": ["--sample-size", "2"]}[change]
    if change == "image":
        Image.new("RGB", (9, 9), "red").save(names[0])
    forced = command(*names, "-k", "2", "3", *shared, "-f", *options)
    assert forced.returncode == 0
    assert "shared_report.json no longer has k = 1; their images stay\n" in forced.stderr
    assert "no longer" not in command(*names, "-k", "2", "3", *shared, "-f").stderr


def test_a_run_that_forgot_shared_has_a_note(command, album, tmp_path):
    names, note = [album / "a.png", album / "c.png"], "out/shared_report.json is of one palette for all"
    assert note not in command(*names, "-k", "2", "-o", "out", "--shared").stderr
    assert note in command(*names, "-k", "3", "-o", "out").stderr
    assert note not in command(album / "b.png", "-k", "3", "-o", "out").stderr
    assert note not in command(*names, "-k", "2", "-o", "out", "--shared", "-f").stderr


def test_settings_that_differ_are_told_once_with_the_options_of_the_command(command, album):
    (album / "b.bmp").unlink()
    assert command("album", "-k", "2", "-o", "out", "--seed", "1-3").returncode == 0
    for seed in ("1-5", "1"):
        refused = command("album", "-k", "2", "-o", "out", "--seed", seed, "--skip-existing")
        difference = f"with --seed 1-3, this run is with --seed {seed}; use the same options, another --output"
        assert refused.stderr.count(difference) == 2
        assert f"gmmquant: album/a.png: a_report.json was written {difference}" in refused.stderr
        assert f"gmmquant: 2 more images were written {difference}" in refused.stderr
        assert "3 failed in" in refused.stderr
    shifted = command("album", "-k", "2", "-o", "out", "--seed", "2-4", "--skip-existing")
    assert "with --seed 1-3, this run is with --seed 2-4;" in shifted.stderr


def test_the_first_remedy_for_a_table_without_records_works(command, album, tmp_path):
    (album / "b.bmp").unlink()
    assert command("album", "-k", "1", "-o", "out", "--report", "csv").returncode == 0
    more = ["album", "-k", "2", "-o", "out", "--report", "csv,json"]
    remedy = "run first with the k and the options that it has and --skip-existing --report json alone, or use "
    assert remedy in command(*more).stderr
    assert command("album", "-k", "1", "-o", "out", "--skip-existing", "--report", "json").returncode == 0
    assert command(*more).returncode == 0
    with open(tmp_path / "out/report.csv", newline="") as file:
        assert [row["k"] for row in csv.DictReader(file)] == ["1", "2"] * 3
