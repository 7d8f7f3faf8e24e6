"""Runs that add numbers of colours to the report of an earlier run, and variants under other names."""

import io
import json
import os
from pathlib import Path

import pytest
from PIL import Image

from gmmquant.errors import OutputError
from gmmquant.pipeline.names import check_name, fitting_stem, image_stem, report_stem
from gmmquant.report.record import extended
from gmmquant.system.atomic import OutputSet


def report(folder, stem="cat"):
    return json.loads((folder / f"{stem}_report.json").read_text())


def without_seconds(record):
    return {**record, "fits": [{**fit, "seconds": None} for fit in record["fits"]]}


def test_a_second_run_with_another_k_adds_to_the_report(command, samples, tmp_path):
    cat = samples / "cat.jpg"
    assert command(cat, "-k", "7", "2", "-o", "out").returncode == 0
    second = command(cat, "-k", "3", "auto:3", "-o", "out")
    assert second.returncode == 0, second.stderr
    assert command(cat, "-k", "2", "3", "7", "auto:3", "-o", "at_once").returncode == 0
    added, at_once = without_seconds(report(tmp_path / "out")), without_seconds(report(tmp_path / "at_once"))
    assert [fit["asked"] for fit in added["fits"]] == added["settings"]["k"]
    for record in (added, at_once):
        record["fits"].sort(key=lambda fit: str(fit["asked"]))
        record["settings"]["k"].sort(key=str)
        record["image"].pop("path")
    assert added == at_once


@pytest.mark.parametrize(
    ("options", "named"),
    [
        (["--method", "kmeans"], "with --method gmm, this run is with --method kmeans"),
        (["--seed", "1"], "with --seed 0, this run is with --seed 1"),
        (["--keep-metadata"], "without --keep-metadata, this run is with --keep-metadata"),
    ],
)
def test_other_settings_are_refused_with_their_name_and_nothing_changes(command, samples, tmp_path, options, named):
    cat = samples / "cat.jpg"
    assert command(cat, "-k", "2", "-o", "out").returncode == 0
    before = {path.name: path.read_bytes() for path in (tmp_path / "out").iterdir()}
    refused = command(cat, "-k", "3", "-o", "out", *options)
    assert refused.returncode == 1
    assert named in refused.stderr
    assert refused.stderr.count("\n") == 1
    assert {path.name: path.read_bytes() for path in (tmp_path / "out").iterdir()} == before
    assert command(cat, "-k", "3", "-o", "out", "--name", "{stem}_other_k{k}", *options).returncode == 0
    names = {path.name for path in (tmp_path / "out").iterdir()}
    assert names == {*before, "cat_other_k3.png", "cat_other_report.json"}


@pytest.mark.parametrize("shared", [(), ("--shared",)])
def test_a_refusal_names_files_of_options_by_paths_that_can_be_typed_here(command, samples, tmp_path, shared):
    (tmp_path / "brand").mkdir()
    (tmp_path / "elsewhere").mkdir()
    for name in ("old", "new"):
        (tmp_path / "brand" / f"{name}.hex").write_text("ff0000\n00ff00\n0000ff\n")
    options = (samples / "flat.png", *shared, "-o", tmp_path / "out/deep", "--skip-existing", "--palette")
    assert command(*options, "brand/old.hex").returncode == 0
    refused = command(*options, "brand/new.hex")
    assert refused.returncode == 1
    assert "was written with --palette brand/old.hex, this run is with --palette brand/new.hex; use" in refused.stderr
    outside = command(*options, "../brand/new.hex", cwd=tmp_path / "elsewhere").stderr
    assert f"was written with --palette {tmp_path}/brand/old.hex, this run is with --palette {tmp_path}" in outside
    assert "with --palette brand/old.hex, this run is without --palette" in command(*options[:-1], "-k", "3").stderr


def test_a_palette_file_of_another_content_is_refused_and_nothing_changes(command, samples, tmp_path):
    (tmp_path / "colors.hex").write_text("ff0000\n00ff00\n0000ff\n")
    arguments = [samples / "flat.png", "--palette", "colors.hex", "-o", "out"]
    assert command(*arguments, "-k", "2").returncode == 0
    before = {path.name: path.read_bytes() for path in (tmp_path / "out").iterdir()}
    (tmp_path / "colors.hex").write_text("ff0000\n00ff00\n0000fe\n")
    refused = command(*arguments, "-k", "3")
    assert refused.returncode == 1
    reason = "flat_report.json was written with another content of the file of --model, --palette or --transfer-from"
    assert f"{reason}; use the same file, " in refused.stderr
    assert refused.stderr.count("\n") == 1
    assert {path.name: path.read_bytes() for path in (tmp_path / "out").iterdir()} == before
    (tmp_path / "colors.hex").write_text("ff0000\n00ff00\n0000ff\n")
    assert command(*arguments, "-k", "3").returncode == 0


def test_optimize_changes_the_files_of_its_run_only_and_their_sizes_in_the_report(command, samples, tmp_path):
    arguments, out = [samples / "cat.jpg", "-o", "out", "--skip-existing"], tmp_path / "out"
    assert command(*arguments, "-k", "2", "3").returncode == 0
    plain = {path.name: path.read_bytes() for path in out.glob("*.png")}
    (out / "cat_k3.png").unlink()
    assert command(*arguments, "-k", "2", "3", "4", "--optimize").returncode == 0
    assert (out / "cat_k2.png").read_bytes() == plain["cat_k2.png"]
    assert (out / "cat_k3.png").stat().st_size < len(plain["cat_k3.png"])
    fits = report(out)["fits"]
    assert [fit["k"] for fit in fits] == [2, 3, 4]
    assert [fit["bytes"] for fit in fits] == [(out / fit["files"]["image"]).stat().st_size for fit in fits]


def test_a_json_report_begins_with_the_fits_of_a_page(command, samples, tmp_path):
    arguments = [samples / "grey.png", "-o", "out", "--report"]
    assert command(*arguments, "html", "-k", "2").returncode == 0
    assert command(*arguments, "html", "-k", "4").returncode == 0
    assert command(*arguments, "json", "-k", "2", "--skip-existing").returncode == 0
    assert [fit["k"] for fit in report(tmp_path / "out", "grey")["fits"]] == [2, 4]
    assert command(*arguments, "html", "-k", "3").returncode == 0
    assert [fit["k"] for fit in report(tmp_path / "out", "grey")["fits"]] == [2, 3, 4]
    assert "grey.png in 2, 3 and 4 colours" in (tmp_path / "out/grey_report.html").read_text()


def test_a_note_on_all_fits_is_that_of_the_fits_of_all_runs(command, samples, tmp_path):
    arguments = [samples / "cat.jpg", "-o", "out", "--resize", "100x", "--shrink", "0.95"]
    start = "the log-likelihood falls from k = 1 to 2"
    assert "falls" not in command(*arguments, "-k", "2").stderr
    assert f"cat.jpg: {start}" in command(*arguments, "-k", "1").stderr
    assert "falls" not in command(*arguments, "-k", "30").stderr
    (note,) = report(tmp_path / "out")["notes"]
    reason = "because fits of --shrink 0.95 do not maximise it, and a single one is not shrunken"
    assert note == f"{start}, {reason}; compare k with --style likelihood"
    again = command(*arguments, "-k", "1", "2", "30", "--force")
    assert [note] == report(tmp_path / "out")["notes"]
    assert again.stderr.count("falls") == 1


def test_a_dry_run_predicts_what_a_continued_run_changes(command, samples, tmp_path):
    arguments = [samples / "flat.png", samples / "grey.png", samples / "sixteen.png", "-o", "out", "--skip-existing"]
    reports = ["--report", "json,html"]
    assert command(*arguments, *reports, "-k", "2").returncode == 0
    for name in ("flat_report.json", "grey_k2.png", "sixteen_report.html"):
        (tmp_path / "out" / name).unlink()
    for ks in (["2"], ["2", "3"]):
        before = {path: path.stat().st_ino for path in (tmp_path / "out").iterdir()}
        predicted = command(*arguments, *reports, "-k", *ks, "-n", "--json-lines")
        lines = [json.loads(line) for line in predicted.stdout.splitlines()]
        actions = {tmp_path / path: action for line in lines for path, action in line["outputs"].items()}
        assert command(*arguments, *reports, "-k", *ks).returncode == 0
        found = {
            path: "new" if path not in before else "kept" if before[path] == path.stat().st_ino else "changed"
            for path in (tmp_path / "out").iterdir()
        }
        changed = {"extended": "changed", "replaced": "changed"}
        assert {path: changed.get(action, action) for path, action in actions.items()} == found


def test_statistics_of_a_report_that_exists_are_shown_without_a_fit(command, samples, tmp_path):
    arguments = [samples / "grey.png", samples / "flat.png", "-k", "2", "3", "-o", "out", "--skip-existing"]
    first = command(*arguments, "--stats")
    again = command(*arguments, "--stats")
    assert "2 skipped" in again.stderr
    tables = [[line for line in run.stdout.splitlines() if line[:1].isdigit()] for run in (first, again)]
    assert tables[0] == tables[1]
    assert len(tables[0]) == 8
    assert command(*arguments).stdout == ""


@pytest.mark.parametrize("n_bytes", [5, 100, 1000])
def test_an_output_that_was_cut_is_not_kept(command, samples, tmp_path, n_bytes):
    arguments = [samples / "coffee.png", samples / "grey.png", "-k", "2", "-o", "out"]
    assert command(*arguments).returncode == 0
    image = tmp_path / "out/coffee_k2.png"
    whole = image.read_bytes()
    image.write_bytes(whole[:n_bytes])
    for options in ([], ["--dry-run"]):
        again = command(*arguments, "--skip-existing", *options)
        assert again.returncode == 1
        assert "coffee_k2.png is not kept, as it cannot be read" in again.stderr
    assert image.read_bytes() == whole[:n_bytes]
    Image.open(io.BytesIO(whole)).save(image, compress_level=0)  # by another program
    other = image.read_bytes()
    assert command(*arguments, "--skip-existing").returncode == 0
    assert image.read_bytes() == other != whole


@pytest.mark.parametrize(("old", "new"), [('"mse"', '"was_mse"'), ('"hex"', '"was_hex"')])
def test_a_report_that_was_changed_stops_no_other_image(command, samples, tmp_path, old, new):
    grey, flat = samples / "grey.png", samples / "flat.png"
    assert command(grey, "-k", "2", "-o", "out").returncode == 0
    report = tmp_path / "out/grey_report.json"
    report.write_text(report.read_text().replace(old, new))
    shown = command(grey, flat, "-k", "2", "-o", "out", "--skip-existing", "--stats", "-j", "1")
    assert shown.returncode == 0, shown.stderr
    assert "1 done, 1 skipped" in shown.stderr
    tables = command(grey, flat, "-k", "3", "-o", "out", "--skip-existing", "--report", "json,csv,md", "-j", "1")
    assert (tables.returncode, (tmp_path / "out/flat_k3.png").exists()) == (1, True)
    name = old.strip('"')
    assert f"out/grey_report.json: cannot make the report: KeyError: '{name}'; the images are complete" in tables.stderr
    assert "bug" not in tables.stderr
    assert not (tmp_path / "out/report.csv").exists()
    report.write_text(report.read_text().replace('"psnr"', '"was_psnr"'))
    sheet = command(grey, flat, "-k", "4", "-o", "out", "--skip-existing", "--sheet", "-j", "1")
    assert (sheet.returncode, (tmp_path / "out/flat_k4.png").exists()) == (1, True)
    assert "bug" not in sheet.stderr


def test_another_image_of_the_same_name_is_not_added(command, samples, tmp_path):
    for name in ("a", "b"):
        (tmp_path / name).mkdir()
    (tmp_path / "a/x.png").write_bytes((samples / "flat.png").read_bytes())
    (tmp_path / "b/x.png").write_bytes((samples / "cutout.png").read_bytes())
    assert command("a/x.png", "-k", "2", "-o", "out").returncode == 0
    refused = command("b/x.png", "-k", "3", "-o", "out")
    assert refused.returncode == 1
    assert "x_report.json is about a/x.png; use another --output" in refused.stderr
    assert not (tmp_path / "out/x_k3.png").exists()


@pytest.mark.parametrize("options", [["--skip-existing"], [], ["--seed", "1"]])
def test_an_older_image_is_not_taken_for_that_of_a_report(command, samples, tmp_path, options):
    # cat.png is older than the report, which is about cat.jpg and is complete.
    for name in ("cat.png", "cat.jpg"):
        (tmp_path / name).write_bytes((samples / ("flat.png" if name == "cat.png" else "grey.png")).read_bytes())
    for seconds, name in enumerate(("cat.png", "cat.jpg"), 1):
        os.utime(tmp_path / name, (seconds, seconds))
    assert command("cat.jpg", "-k", "2", "-o", "out").returncode == 0
    before = {path.name: path.read_bytes() for path in (tmp_path / "out").iterdir()}
    refused = command("cat.png", "-k", "2", "-o", "out", "--format", "webp", *options)
    assert refused.returncode == 1
    assert refused.stderr == (
        "gmmquant: cat.png: cat_report.json is about cat.jpg; use another --output or --name, or --force\n"
    )
    assert {path.name: path.read_bytes() for path in (tmp_path / "out").iterdir()} == before


def test_a_copy_of_an_image_continues_its_report(command, samples, tmp_path):
    for folder in ("a", "b"):
        (tmp_path / folder).mkdir()
        (tmp_path / folder / "x.png").write_bytes((samples / "flat.png").read_bytes())
    assert command("a/x.png", "-k", "2", "-o", "out").returncode == 0
    again = command("b/x.png", "-k", "2", "-o", "out", "--skip-existing")
    assert (again.returncode, again.stderr) == (0, "gmmquant: b/x.png: skipped, its outputs exist\n")
    assert command("b/x.png", "-k", "3", "-o", "out").returncode == 0
    assert [fit["k"] for fit in report(tmp_path / "out", "x")["fits"]] == [2, 3]


def test_force_names_the_image_whose_report_it_replaces(command, samples, tmp_path):
    assert command(samples / "flat.png", "-k", "2", "-o", "o.png", "--report", "json").returncode == 0
    forced = command(samples / "grey.png", "-k", "2", "-o", "o.png", "--report", "json", "--force")
    assert forced.returncode == 0
    assert "o_report.json was about flat.png, whose figures are replaced" in forced.stderr
    assert "about" not in str(report(tmp_path, "o")["notes"])
    again = command(samples / "grey.png", "-k", "2", "-o", "o.png", "--report", "json", "--force")
    assert again.stderr == ""


def test_force_replaces_a_fit_and_keeps_the_others_of_the_same_settings(command, samples, tmp_path):
    cat = samples / "cat.jpg"
    assert command(cat, "-k", "2", "3", "-o", "out").returncode == 0
    assert command(cat, "-k", "3", "-o", "out", "--force").returncode == 0
    assert [fit["k"] for fit in report(tmp_path / "out")["fits"]] == [2, 3]
    assert command(cat, "-k", "3", "-o", "out", "--force", "--seed", "1").returncode == 0
    assert [fit["k"] for fit in report(tmp_path / "out")["fits"]] == [3]


def test_an_empty_file_is_no_finished_output(command, samples, tmp_path):
    options = [samples / "flat.png", "-k", "2", "3", "-o", "out"]
    assert command(*options).returncode == 0
    (tmp_path / "out/flat_k2.png").write_bytes(b"")
    refused = command(*options, "--skip-existing")
    assert refused.returncode == 1
    assert "flat_k2.png is empty, so it is not kept; remove it, or use --force to replace it\n" in refused.stderr
    (tmp_path / "out/flat_k2.png").unlink()
    assert command(*options, "--skip-existing").returncode == 0
    assert (tmp_path / "out/flat_k2.png").stat().st_size > 0


def test_skip_existing_fits_only_what_is_missing(command, samples, tmp_path):
    cat = samples / "cat.jpg"
    assert command(cat, "-k", "2", "3", "-o", "out").returncode == 0
    first = report(tmp_path / "out")
    again = command(cat, "-k", "2", "3", "5", "-o", "out", "--skip-existing")
    assert again.returncode == 0, again.stderr
    second = report(tmp_path / "out")
    assert [fit["k"] for fit in second["fits"]] == [2, 3, 5]
    assert second["fits"][:2] == first["fits"]  # with their times
    assert "wrote cat_k5.png, cat_report.json in out" in again.stdout


def test_a_dry_run_shows_a_report_that_would_be_extended(command, samples, tmp_path):
    cat = samples / "cat.jpg"
    assert command(cat, "-k", "2", "-o", "out").returncode == 0
    planned = command(cat, "-k", "3", "-o", "out", "-n")
    assert "  out/cat_k3.png (new)\n  out/cat_report.json (extended)\n" in planned.stdout
    assert "outputs: 1 new, 1 extended" in planned.stderr


@pytest.mark.parametrize(
    "change",
    [
        lambda record: record["fits"][0].pop("icl"),
        lambda record: record["fits"].append({}),
        lambda record: record.update(version="0.0.0"),
        lambda record: record["fits"][0].update(mse=float("nan")),
    ],
)
def test_a_report_with_other_keys_or_of_another_version_is_refused_and_kept(command, samples, tmp_path, change):
    cat = samples / "cat.jpg"
    assert command(cat, "-k", "2", "-o", "out").returncode == 0
    record = report(tmp_path / "out")
    change(record)
    text = json.dumps(record)
    (tmp_path / "out/cat_report.json").write_text(text)
    refused = command(cat, "-k", "3", "-o", "out")
    assert refused.returncode == 1
    assert "cat_report.json is damaged, or not a report of this version" in refused.stderr
    assert (tmp_path / "out/cat_report.json").read_text() == text
    assert not (tmp_path / "out/cat_k3.png").exists()


@pytest.mark.parametrize(
    "change", [lambda image: image.pop("visible_pixels"), lambda image: image.update(visible_pixels="many")]
)
def test_a_damaged_report_of_a_finished_image_is_no_bug(command, samples, tmp_path, change):
    arguments = [samples / "flat.png", "-k", "2", "-o", "out"]
    assert command(*arguments).returncode == 0
    path = tmp_path / "out/flat_report.json"
    record = json.loads(path.read_text())
    change(record["image"])
    path.write_text(json.dumps(record))
    again = command(*arguments, "--skip-existing")
    assert again.returncode == 1
    assert "flat_report.json" in again.stderr
    assert "bug" not in again.stderr


def test_a_file_that_another_run_has_changed_meanwhile_is_not_replaced(tmp_path):
    file = tmp_path / "report"
    file.write_bytes(b"first")
    with OutputSet(overwrite=False) as outputs:
        outputs.stage(tmp_path / "image", b"image")
        outputs.stage(file, b"first and second", replaced=b"first")
        file.write_bytes(b"first and third")
        with pytest.raises(OutputError, match="changed by another run"):
            outputs.commit()
    assert {path.name: path.read_bytes() for path in tmp_path.iterdir()} == {"report": b"first and third"}


def test_a_fit_of_both_records_is_replaced_only_if_asked_for():
    def record(*fits, **more):
        settings = {"k": [], "shrink": 0}
        return {"settings": settings, "choices": [], "notes": [], "fits": list(fits), **more}

    facts = {"asked": 7, "k": 7, "bytes": 8, "mean_log_likelihood": 1.0}
    old = {**facts, "mse": 1, "files": {"image": "a"}}
    new = {**facts, "mse": 2, "files": {"image": "a", "model": "m"}}
    assert extended(record(old), record(new), replaces=True)["fits"] == [new]
    assert extended(record(old), record(new), replaces=False)["fits"] == [{**old, "files": new["files"]}]
    earlier = record(new)
    assert extended(earlier, record(old), replaces=False) is earlier
    two = {**old, "asked": "auto", "k": 2}
    assert extended(record(old, notes=["a"]), record(two, notes=["b", "a"]), replaces=True)["notes"] == ["a", "b"]


@pytest.mark.parametrize(
    ("template", "expected"),
    [
        ("{stem}_k{k}", ("cat_k7", "cat")),
        ("{stem}.{ext}_k{k}", ("cat.jpg_k7", "cat.jpg")),
        ("{k}-{stem}", ("7-cat", "cat")),
        ("k{k}_{stem}", ("k7_cat", "cat")),
        ("{stem}_kmeans_k{k}", ("cat_kmeans_k7", "cat_kmeans")),
        ("{k}", ("7", "cat")),
    ],
)
def test_a_template_names_the_files_of_a_fit_and_of_all_fits(template, expected):
    assert check_name(template) == template
    assert (image_stem(template, "cat", "jpg", 7), report_stem(template, "cat", "jpg")) == expected


def test_fields_in_a_stem_are_not_replaced():
    assert image_stem("{stem}_k{k}", "{k}{ext}", "jpg", 7) == "{k}{ext}_k7"


@pytest.mark.parametrize("template", ["{stam}_k{k}", "{stem", "a/{stem}", "", ".{stem}", "{stem}{}", "{{stem}}"])
def test_a_wrong_template_is_refused_before_any_work(command, samples, template):
    with pytest.raises(ValueError, match=r"fields of a name|names a folder|hidden or empty"):
        check_name(template)
    refused = command(samples / "flat.png", "-k", "2", "--name", template)
    assert (refused.returncode, refused.stdout, refused.stderr.count("\n")) == (2, "", 1)


@pytest.mark.parametrize(
    ("arguments", "missing"),
    [
        (["flat.png", "-k", "2", "3", "--name", "{stem}"], "add {k}"),
        (["flat.png", "cutout.png", "-k", "2", "--name", "x{k}"], "add {stem}"),
    ],
)
def test_a_template_without_the_field_that_differs_is_refused(command, samples, arguments, missing):
    refused = command(*(samples / text if text.endswith(".png") else text for text in arguments))
    assert refused.returncode == 2
    assert missing in refused.stderr


@pytest.mark.parametrize("template", ["{stem}_k{k}", "a long beginning {stem}.{ext}.{k}"])
def test_the_longest_name_fits_the_usual_file_systems(template):
    stem = fitting_stem("é" * 200, template, "jpg")
    longest = image_stem(template, stem, "jpg", "auto:99.999") + "_layer000_exact.png"
    assert len(longest.encode()) <= 255
    assert Path(longest).name == longest


def test_more_than_one_image_with_existing_outputs_is_one_more_line(command, samples, tmp_path):
    (tmp_path / "in").mkdir()
    for number in range(4):
        (tmp_path / f"in/{number}.png").write_bytes((samples / "flat.png").read_bytes())
    assert command("in", "-k", "2", "-o", "out").returncode == 0
    for options in ([], ["-n"]):
        refused = command("in", "-k", "2", "-o", "out", *options)
        first, second, *_ = refused.stderr.splitlines()
        assert refused.returncode == 1
        assert first.startswith("gmmquant: in/0.png: 0_k2.png exists; use --force")
        assert second.startswith("gmmquant: 3 more images have outputs that exist; use --force")


def test_a_report_of_another_palette_names_both(command, samples):
    command(samples / "grey.png", "--palette", "pico8", "-o", "out")
    other = command(samples / "grey.png", "--palette", "c64", "-o", "out", "--skip-existing").stderr
    assert "was written with --palette pico8, this run is with --palette c64; use the same options" in other
    many = ",".join(f"#{i:02x}0000" for i in range(10, 20))
    listed = command(samples / "grey.png", "--palette", many, "-o", "out").stderr
    assert "with --palette #0a0000 #0b0000" in listed
    assert "#110000 and 2 more; use the same options" in listed


def test_the_heading_names_a_palette(command, samples):
    assert "palette pico8" in command(samples / "grey.png", "--palette", "pico8", "-o", "out").stdout
    assert "palette of 2 colours" in command(samples / "grey.png", "--palette", "#123,#456", "-o", "two").stdout
