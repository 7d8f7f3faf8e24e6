"""Palettes, maps and layers of an earlier run that its report does not list, and outputs that were cut or exchanged."""

import json
from dataclasses import replace

import pytest
from PIL import Image

from gmmquant.pipeline import continued, earlier_run
from gmmquant.pipeline.continued import makes_again
from gmmquant.pipeline.plan import Existing, Task, plan
from gmmquant.pipeline.sources import Source
from gmmquant.system.paths import parse_path

EXPORTS = ["--palette-out", "gpl", "--maps", "labels", "--layers", "flat", "--save-model"]


def contents(folder):
    return {path.name: path.read_bytes() for path in folder.iterdir()}


def of_run(command, tmp_path, *arguments):
    """Return the files of a run in a fresh folder."""
    assert command(*arguments, "-o", "fresh").returncode == 0
    return contents(tmp_path / "fresh")


def test_a_run_does_not_take_over_side_files_of_other_settings(command, samples, tmp_path):
    image, options = samples / "flat.png", ["-k", "2", "--recolor", "nearest"]
    expected = of_run(command, tmp_path, image, *options, "--palette-out", "gpl")
    assert command(samples / "grey.png", "-k", "2", "-o", "out", "--name", "flat_k{k}", *EXPORTS).returncode == 0
    (tmp_path / "out/flat_report.json").unlink()
    (tmp_path / "out/flat_k2.png").unlink()
    assert command(image, *options, "-o", "out").returncode == 0
    before = contents(tmp_path / "out")
    assert before["flat_k2_palette.gpl"] != expected["flat_k2_palette.gpl"]
    for exports in EXPORTS[:2], EXPORTS[2:4], EXPORTS[4:6], EXPORTS[6:]:
        refused = command(image, *options, "-o", "out", "--skip-existing", *exports)
        assert refused.returncode == 1
        assert "exists, but was written for other images or options" in refused.stderr
        assert contents(tmp_path / "out") == before
    assert command(image, *options, "-o", "out", "--force", "--palette-out", "gpl").returncode == 0
    assert contents(tmp_path / "out")["flat_k2_palette.gpl"] == expected["flat_k2_palette.gpl"]


def test_side_files_of_the_same_settings_are_kept_and_listed_again(command, samples, tmp_path):
    arguments = [samples / "flat.png", "-k", "2", "-o", "out"]
    assert command(*arguments, *EXPORTS).returncode == 0
    before = contents(tmp_path / "out")
    assert command(*arguments, "--force").returncode == 0  # the report lists its own files only
    again = command(*arguments, *EXPORTS, "--skip-existing")
    assert again.returncode == 0, again.stderr
    after = contents(tmp_path / "out")
    files = [json.loads(report["flat_report.json"])["fits"][0]["files"] for report in (before, after)]
    assert files[0] == files[1]
    assert before | {"flat_report.json": after["flat_report.json"]} == after
    assert "skipped, its outputs exist" in command(*arguments, *EXPORTS, "--skip-existing").stderr


def test_force_with_other_options_names_the_side_files_that_it_leaves(command, samples, tmp_path):
    arguments = [samples / "flat.png", "-k", "2", "-o", "out"]
    assert command(*arguments, *EXPORTS[:4]).returncode == 0
    note = (
        "flat_report.json no longer has flat_k2_labels.png and 1 more file, which had other settings; these files stay"
    )
    assert note in command(*arguments, "--seed", "1", "--force").stderr
    assert command(*arguments, "-f", *EXPORTS[:4]).returncode == 0
    assert command(*arguments[:2], "3", "-o", "out", *EXPORTS[:4]).returncode == 0
    forced = command(*arguments, "--seed", "1", "--force", *EXPORTS[:2])
    assert "no longer has k = 3 and flat_k2_labels.png, which had other settings; their files stay" in forced.stderr


@pytest.mark.parametrize("options", [[], ["--shared"]])
def test_an_output_that_was_cut_or_exchanged_is_not_kept(command, samples, tmp_path, options):
    arguments = [samples / "coffee.png", samples / "flat.png", "-k", "2", "-o", "out", *options]
    assert command(*arguments).returncode == 0
    image = tmp_path / "out/coffee_k2.png"
    whole = image.read_bytes()
    image.write_bytes(whole[:200])
    cut = command(*arguments, "--skip-existing")
    reason = "cannot be read: damaged or incomplete PNG image; remove it, or use --force to replace it\n"
    assert (cut.returncode, f"coffee_k2.png is not kept, as it {reason}" in cut.stderr) == (1, True)
    Image.new("RGB", (5, 7)).save(image)
    exchanged = command(*arguments, "--skip-existing")
    with Image.open(samples / "coffee.png") as source:
        size = " x ".join(map(str, source.size))
    reason = f"coffee_k2.png is not kept, as it has 5 x 7 pixels, not {size}; remove it, or use --force to replace it\n"
    assert (exchanged.returncode, reason in exchanged.stderr) == (1, True)
    image.unlink()
    assert command(*arguments, "--skip-existing").returncode == 0
    assert image.read_bytes() == whole


def test_an_output_above_the_usual_limit_of_pixels_is_not_taken_for_a_damaged_one(command, samples, tmp_path):
    arguments = [samples / "flat.png", "-k", "2", "-o", "out"]
    assert command(*arguments).returncode == 0
    report = tmp_path / "out/flat_report.json"
    record = json.loads(report.read_text())
    record["image"] |= {"width": 15_000, "height": 15_000}
    report.write_text(json.dumps(record))
    Image.new("1", (15_000, 15_000)).save(tmp_path / "out/flat_k2.png")
    again = command(*arguments, "--skip-existing", "--max-pixels", "300000000")
    assert (again.returncode, again.stderr) == (0, f"gmmquant: {samples / 'flat.png'}: skipped, its outputs exist\n")
    assert "is not kept, as it cannot be read: 15000 x 15000" in command(*arguments, "--skip-existing").stderr


def test_a_shared_run_compares_side_files_that_its_report_does_not_list(command, samples, tmp_path):
    arguments = [samples / "flat.png", samples / "grey.png", "-k", "2", "-o", "out", "--shared"]
    assert command(*arguments, *EXPORTS).returncode == 0
    before = contents(tmp_path / "out")
    assert command(*arguments, "--force").returncode == 0
    for name, kind in {"shared_k2_palette.gpl": EXPORTS[:2], "grey_k2_labels.png": EXPORTS[2:4]}.items():
        (tmp_path / "out" / name).write_bytes(b"of other settings")
        refused = command(*arguments, *kind, "--skip-existing")
        assert (refused.returncode, f"{name} exists, but was written for other" in refused.stderr) == (1, True)
        (tmp_path / "out" / name).write_bytes(before[name])
    assert command(*arguments, *EXPORTS, "--skip-existing").returncode == 0
    after = contents(tmp_path / "out")
    assert before | {"shared_report.json": after["shared_report.json"]} == after


def test_the_note_on_outputs_without_a_report_asks_no_store(samples, tmp_path, monkeypatch):
    asked = []
    planned = plan([Source(samples / "flat.png")], Task([2], existing=Existing.KEEP), tmp_path)
    (job,) = planned.jobs
    for module in (continued, earlier_run):
        monkeypatch.setattr(module, "exists", asked.append)
    makes_again(planned)
    assert asked.pop() == job.outputs[-1]
    asked.clear()
    remote = parse_path("s3://bucket/out")
    makes_again(planned._replace(entries=[replace(job, folder=remote, report=remote / "flat_report.json")]))
    assert asked == []
