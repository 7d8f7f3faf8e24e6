"""One mixture for many images, with the command: a fit to all their pixels, one palette, one record."""

import io
import json
import os
import re
import resource
import shutil
import time

import numpy as np
import pytest
from helpers import SAMPLE_IMAGES
from PIL import Image
from shared_album import NAMES, contents, palette_of, pixels_of, report

from gmmquant import quantize
from gmmquant.pipeline.plan import Task, plan
from gmmquant.pipeline.shared_palette import run_shared
from gmmquant.pipeline.sources import Source
from gmmquant.report.outcome import Failure
from gmmquant.system.executors.processes import ProcessExecutor
from gmmquant.system.executors.serial import SerialExecutor


def test_the_shared_fit_is_that_of_one_image_with_all_pixels(command, tmp_path, album):
    result = command("album", "-k", "3", "12", "--shared", "-o", "out")
    assert result.returncode == 0, result.stderr
    together = np.concatenate([pixels_of(album / name) for name in NAMES])
    for fit, expected in zip(report(tmp_path / "out")["fits"], quantize(together, [3, 12]), strict=True):
        assert fit["log_likelihood"] == pytest.approx(expected.log_likelihood, rel=1e-9)
        assert fit["mse"] == pytest.approx(expected.mse, rel=1e-9)
        assert fit["components"]["pixels"] == expected.statistics.counts.tolist()
        drawn = np.concatenate([pixels_of(tmp_path / "out" / f"p{i}_k{expected.k}.png") for i in range(10)])
        np.testing.assert_array_equal(drawn, expected.image)
        for number in range(10):
            palette = palette_of(tmp_path / "out" / f"p{number}_k{expected.k}.png", expected.k)
            assert palette == expected.palette.ravel().tolist()


@pytest.mark.parametrize("options", [[], ["--optimize"], ["--dither", "floyd-steinberg"], ["--format", "gif"]])
def test_all_files_have_one_palette_in_one_order(command, tmp_path, album, options):
    Image.new("RGB", (40, 40), (250, 10, 10)).save(album / "red.png")
    command("album", "-k", "12", "--shared", "-o", "out", *options)
    palette = report(tmp_path / "out")["fits"][0]["components"]["hex"]
    for path in (tmp_path / "out").glob("*_k12.*"):
        found = palette_of(path, 12)
        assert ["#" + bytes(found[i : i + 3]).hex() for i in range(0, 36, 3)] == palette


def test_the_shared_figures_are_the_sums_of_those_of_the_images(command, tmp_path, album):
    command("album", "-k", "5", "--shared", "-o", "out")
    record = report(tmp_path / "out")
    (shared,) = record["fits"]
    parts = [image["fits"][0] for image in record["images"]]
    assert [image["path"] for image in record["images"]] == [f"../album/{name}" for name in NAMES]
    assert shared["log_likelihood"] == pytest.approx(sum(part["log_likelihood"] for part in parts), rel=1e-12)
    assert record["total"]["pixels"] == sum(image["pixels"] for image in record["images"])
    assert all((tmp_path / "out" / part["files"]["image"]).exists() for part in parts)
    assert sum(shared["components"]["weight"]) == pytest.approx(1)


def test_any_number_of_jobs_gives_the_same_bytes(command, tmp_path, album):
    products = ["--save-model", "--palette-out", "gpl,png", "--maps", "entropy", "--layers", "flat"]
    for options in (["--jobs", "1"], ["--jobs", "2"], ["--jobs", "3", "-q"]):
        out = f"out {options[1]}"
        assert command("album", "-k", "2", "auto", "--shared", "-o", out, *options, *products).returncode == 0
    one, *others = (contents(tmp_path / f"out {jobs}") for jobs in (1, 2, 3))
    assert others == [one, one]
    assert {"shared_k2.gmm.json", "shared_kauto_palette.gpl", "shared_k2_palette.png"} <= set(one)
    assert {"p3_k2.png", "p3_kauto_entropy.png", "p3_k2_layer02.png"} <= set(one)


def test_a_saved_model_draws_the_same_images(command, tmp_path, album):
    command("album", "-k", "6", "--shared", "-o", "out", "--save-model")
    command("album", "--model", "out/shared_k6.gmm.json", "-o", "again")
    for number in range(10):
        np.testing.assert_array_equal(
            pixels_of(tmp_path / "out" / f"p{number}_k6.png"), pixels_of(tmp_path / "again" / f"p{number}_k6.png")
        )


def test_if_an_image_cannot_be_read_only_that_image_fails(command, tmp_path, album):
    (album / "p4.png").write_bytes((album / "p4.png").read_bytes()[:300])
    result = command("album", "missing.png", "-k", "4", "--shared", "-o", "out")
    assert result.returncode == 1
    record = report(tmp_path / "out")
    assert len(record["images"]) == 9
    assert [failure["path"] for failure in record["failed"]] == ["../album/p4.png", "../missing.png"]
    assert "damaged" in record["failed"][0]["reason"]
    (album / "p4.png").unlink()
    command("album", "-k", "4", "--shared", "-o", "without")
    assert report(tmp_path / "without")["fits"][0]["components"] == record["fits"][0]["components"]
    assert result.stderr.splitlines()[-1].startswith("gmmquant: 9 done, 2 failed in ")


def test_a_sample_is_spread_over_the_images_and_all_are_recolored(command, tmp_path, album):
    command("album", "-k", "4", "--shared", "--sample-size", "3", "-o", "out")
    record = report(tmp_path / "out")
    assert record["fitted"]["images"] == 3
    assert record["total"]["images"] == 10
    chosen = np.concatenate([pixels_of(album / f"p{number}.png") for number in (0, 3, 6)])
    assert record["fitted"]["visible_pixels"] == len(chosen) * 90
    expected = quantize(chosen, 4)
    assert record["fits"][0]["components"]["mean"] == pytest.approx(expected.means, rel=1e-14)


def test_missing_files_are_written_with_the_same_bytes(command, tmp_path, album):
    arguments = ["album", "-k", "3", "9", "--shared", "-o", "out", "--save-model"]
    command(*arguments)
    undisturbed = contents(tmp_path / "out")
    again = command(*arguments, "--skip-existing")
    assert "10 skipped" in again.stderr
    for name in ("p2_k9.png", "shared_report.json", "shared_k3.gmm.json"):
        (tmp_path / "out" / name).unlink()
    kept = (tmp_path / "out/p0_k3.png").stat().st_mtime_ns
    assert command(*arguments, "--skip-existing").returncode == 0
    assert contents(tmp_path / "out") == undisturbed
    assert (tmp_path / "out/p0_k3.png").stat().st_mtime_ns == kept


@pytest.mark.parametrize("missing", [[], ["p2_k3.png"]])
@pytest.mark.parametrize(
    ("change", "message"),
    [
        (
            ["--method", "kmeans"],
            "shared_report.json was written with --method gmm, this run is with --method kmeans; use the same options",
        ),
        (
            "one more",
            "shared_report.json was written without album/another.png, so its mixture differs; use the same",
        ),
        (
            ["--tol", "0.01"],
            "shared_report.json was written without --tol, this run is with --tol 0.01; use the same options",
        ),
        ("one less", "shared_report.json was written with album/p9.png, so its mixture differs; use the same"),
        (
            "sample",
            "shared_report.json was written with --sample-size 4, this run is without --sample-size",
        ),
        ("report", "p0_k3.png exists, but was written for other images or options, or has changed; use another"),
    ],
)
def test_a_shared_run_does_not_resume_a_different_one(command, finished, tmp_path, album, change, message, missing):
    finished(*(["--sample-size", "4"] if change == "sample" else []))
    if change == "one more":
        shutil.copy(SAMPLE_IMAGES / "flat.png", album / "another.png")
    elif change == "one less":
        (album / "p9.png").unlink()
    elif change == "report":
        (tmp_path / "out/shared_report.json").unlink()
        change = ["--method", "kmeans"]
    for name in missing:
        (tmp_path / "out" / name).unlink()
    before = contents(tmp_path / "out")
    arguments = ["album", "-k", "3", "--shared", "-o", "out", "--skip-existing"]
    arguments += change if isinstance(change, list) else []
    if "use the same" in message:  # the images need not be read for it
        predicted = command(*arguments, "--dry-run")
        assert predicted.returncode == 1
        assert message in predicted.stderr
    result = command(*arguments)
    assert result.returncode == 1
    assert message in result.stderr
    after = contents(tmp_path / "out")
    assert {name: after[name] for name in before} == before
    if "report" in message:
        assert after == before


def test_a_shared_run_is_not_resumed_with_other_images_of_the_same_sizes(command, finished, tmp_path, album):
    arguments = ["album", "-k", "3", "--shared", "-o", "out", "--skip-existing"]
    finished()
    Image.fromarray(255 - pixels_of(album / "p4.png")).save(album / "p4.png")
    (tmp_path / "out/p4_k3.png").unlink()
    before = contents(tmp_path / "out")
    result = command(*arguments)
    assert result.returncode == 1
    assert "p4.png changed after shared_report.json was written; use another --output" in result.stderr
    assert contents(tmp_path / "out") == before


@pytest.mark.parametrize("colors", [1, 2])
def test_a_shared_run_is_not_resumed_with_others_of_the_same_numbers_of_pixels_and_colors(
    command, tmp_path, album, colors
):
    for number, name in enumerate(NAMES):
        noise = np.random.default_rng(number).integers(0, 256, (20, 30, 3), dtype=np.uint8)
        Image.fromarray(noise // 64 * 64 if colors == 2 else noise).save(album / name)
    arguments = ["album", "-k", "3", "--shared", "-o", "out", "--skip-existing"]
    command(*arguments)
    Image.fromarray(pixels_of(album / "p4.png")[..., ::-1] // 2 * 2).save(album / "p4.png")
    (tmp_path / "out/p4_k3.png").unlink()
    before = contents(tmp_path / "out")
    result = command(*arguments)
    assert result.returncode == 1
    assert "p4.png changed after shared_report.json was written" in result.stderr
    assert contents(tmp_path / "out") == before


@pytest.mark.parametrize("images", ["Infinity", "3.7", '"ten"', "null", "[]"])
def test_a_report_with_another_value_for_a_number_is_not_resumed(command, finished, tmp_path, album, images):
    arguments = ["album", "-k", "3", "--shared", "-o", "out", "--skip-existing"]
    finished()
    path = tmp_path / "out/shared_report.json"
    path.write_text(re.sub(r'"images": 10', f'"images": {images}', path.read_text()))
    result = command(*arguments)
    assert "Traceback" not in result.stderr
    assert "10 skipped" not in result.stderr


def test_a_finished_run_of_the_same_sample_is_skipped(command, tmp_path, album):
    (album / "p0.png").write_bytes(b"no image")
    arguments = ["album", "-k", "3", "--shared", "--sample-size", "4", "-o", "out", "--skip-existing"]
    assert command(*arguments).returncode == 1
    (album / "p0.png").unlink()
    assert command(*arguments).returncode == 0  # the mixture is not of p0.png
    shutil.rmtree(tmp_path / "out")
    assert command(*arguments).returncode == 0
    assert "9 skipped" in command(*arguments).stderr


@pytest.mark.parametrize("name", ["p3_k3.png", "shared_k3.gmm.json"])
def test_without_a_report_a_changed_file_is_refused(command, finished, tmp_path, album, name):
    arguments = ["album", "-k", "3", "--shared", "-o", "out", "--save-model"]
    finished("--save-model")
    for missing in ("p2_k3.png", "shared_report.json"):
        (tmp_path / "out" / missing).unlink()
    (tmp_path / "out" / name).write_text("mine")
    before = contents(tmp_path / "out")
    result = command(*arguments, "--skip-existing")
    assert result.returncode == 1
    assert "exists, but was written for other images or options, or has changed; use another --output" in result.stderr
    after = contents(tmp_path / "out")
    assert {name: after[name] for name in before} == before


@pytest.mark.parametrize("name", ["p3_k3.png", "shared_k3.gmm.json"])
def test_with_a_report_of_the_same_images_files_are_kept_without_a_comparison(command, finished, tmp_path, album, name):
    arguments = ["album", "-k", "3", "--shared", "-o", "out", "--save-model"]
    finished("--save-model")
    complete = contents(tmp_path / "out")
    (tmp_path / "out/p2_k3.png").unlink()
    mine = b"mine"
    if name.endswith(".png"):
        written = io.BytesIO()
        Image.fromarray(pixels_of(tmp_path / "out" / name)).save(written, "png")
        mine = written.getvalue()
    (tmp_path / "out" / name).write_bytes(mine)
    assert command(*arguments, "--skip-existing").returncode == 0
    found = contents(tmp_path / "out")
    if name.endswith(".png"):
        assert found["shared_report.json"]["images"][3]["fits"][0].pop("bytes") == len(mine)
        complete["shared_report.json"]["images"][3]["fits"][0].pop("bytes")
    assert found == {**complete, name: mine}


@pytest.mark.parametrize("jobs", ["1", "2"])
def test_a_changed_image_outside_the_sample_is_refused(command, tmp_path, album, jobs):
    """At once if its times are newer than the report's, otherwise when it is read."""
    arguments = ["album", "-k", "3", "--shared", "-o", "out", "--sample-size", "2", "--jobs", jobs, "--skip-existing"]
    command(*arguments)
    (tmp_path / "out/p3_k3.png").unlink()
    Image.fromarray(255 - pixels_of(album / "p4.png")).save(album / "p4.png")
    later = (tmp_path / "out/shared_report.json").stat().st_mtime_ns + 10**9
    os.utime(album / "p4.png", ns=(later, later))
    before = contents(tmp_path / "out")
    for options in (["--dry-run"], []):
        result = command(*arguments, *options)
        assert result.returncode == 1
        assert result.stderr.startswith("gmmquant: out: p4.png changed after shared_report.json was written")
        assert contents(tmp_path / "out") == before
    future = time.time_ns() + 10**12
    for path in (tmp_path / "out").iterdir():
        os.utime(path, ns=(future, future))
    result = command(*arguments)
    assert result.returncode == 1
    assert "gmmquant: album/p4.png: p4.png changed after shared_report.json was written" in result.stderr
    after = contents(tmp_path / "out")
    assert {name: after[name] for name in before} == before


@pytest.mark.parametrize("missing", ["p2_k3.png", "shared_report.json"])
def test_a_run_is_resumed_with_a_mixture_that_another_processor_fitted(command, finished, tmp_path, album, missing):
    """The last digits of all numbers differ, as on another processor."""
    arguments = ["album", "-k", "3", "--shared", "-o", "out", "--save-model"]
    finished("--save-model")
    (tmp_path / "out" / missing).unlink()
    for path in (tmp_path / "out").glob("*.json"):
        digits = re.compile(r"(0\.\d{12})\d+")
        path.write_text(digits.sub(lambda number: number[1] + "7", path.read_text()))
    model = (tmp_path / "out/shared_k3.gmm.json").read_bytes()
    result = command(*arguments, "--skip-existing")
    assert (result.returncode, "refuse" in result.stderr) == (0, False), result.stderr
    assert (tmp_path / "out/shared_k3.gmm.json").read_bytes() == model
    assert (tmp_path / "out" / missing).exists()


def test_missing_layers_are_written(command, tmp_path, album):
    arguments = ["album", "-k", "2", "--shared", "-o", "out", "--layers", "flat"]
    command(*arguments)
    before = contents(tmp_path / "out")
    (tmp_path / "out/p0_k2_layer02.png").unlink()
    command(*arguments, "--skip-existing")
    assert contents(tmp_path / "out") == before


def test_with_fail_fast_no_images_are_counted_after_an_unreadable_one(command, tmp_path, album):
    (album / "p0.png").write_bytes(b"no image")
    result = command("album", "-k", "3", "--shared", "-o", "out", "--fail-fast", "--jobs", "1")
    assert result.returncode == 1
    assert "1 failed, 9 not tried" in result.stderr
    assert not (tmp_path / "out").exists()
    (tmp_path / "empty").mkdir()
    assert "1 failed, 10 not tried" in command("empty", "album", "-k", "3", "--shared", "--fail-fast").stderr


def test_unreadable_images_of_a_sample_are_replaced_by_others(command, tmp_path, album):
    for name in ("p0.png", "p3.png"):
        (album / name).write_bytes(b"no image")
    command("album", "-k", "3", "--shared", "--sample-size", "3", "-o", "out")
    record = report(tmp_path / "out")
    assert record["fitted"]["images"] == 3
    assert record["total"]["images"] == 8


@pytest.mark.parametrize("jobs", [1, 2])
def test_with_fail_fast_only_images_that_are_already_running_are_counted_after_a_failure(album, tmp_path, jobs):
    (album / "p0.png").write_bytes(b"no image")
    planned = plan([Source(album / name) for name in NAMES], Task([3], shared=True), tmp_path / "out")
    executor = SerialExecutor() if jobs == 1 else ProcessExecutor(jobs)
    counted = []
    outcomes = list(run_shared(planned, executor, lambda: counted.append(1), lambda: None, fail_fast=True))
    assert [type(outcome) for outcome in outcomes] == [Failure]
    assert len(counted) <= jobs


@pytest.mark.parametrize("missing", [None, "out/p2_k3.png", "out/shared_report.json", "out/shared_k3.gmm.json", "out"])
@pytest.mark.parametrize("options", [[], ["--skip-existing"], ["--force"]])
def test_a_dry_run_predicts_the_actions_of_a_shared_run(command, finished, tmp_path, album, missing, options):
    arguments = ["album", "-k", "3", "--shared", "-o", "out", "--save-model", *options]
    finished("--save-model")
    if missing == "out":
        shutil.rmtree(tmp_path / "out")
    elif missing is not None:
        (tmp_path / missing).unlink()
    before = {path: path.stat().st_ino for path in tmp_path.rglob("*")}
    predicted = command(*arguments, "--dry-run", "--json-lines")
    result = command(*arguments)
    assert predicted.returncode == result.returncode == int(not options and missing != "out")
    lines = [json.loads(line) for line in predicted.stdout.splitlines()]
    actions = {tmp_path / name: action for line in lines for name, action in line.get("outputs", {}).items()}
    if result.returncode == 0:
        changed = {path for path in tmp_path.rglob("*.*") if before.get(path) != path.stat().st_ino}
        assert changed == {path for path, action in actions.items() if action != "kept"}
        n_read = 0 if options == ["--skip-existing"] and missing is None else 10
        assert f"would read {n_read} images" in predicted.stderr


def test_a_failure_of_the_shared_report_is_not_counted_as_an_image(command, tmp_path, album):
    arguments = ["album", "-k", "3", "--shared", "-o", "out", "--palette-out", "hex"]
    command(*arguments)
    (tmp_path / "out/shared_k3_palette.hex").write_text("mine")
    (tmp_path / "out/p4_k3.png").unlink()
    (tmp_path / "out/shared_report.json").unlink()
    result = command(*arguments, "--skip-existing")
    assert result.returncode == 1
    assert result.stderr.splitlines()[-1].startswith("gmmquant: 1 done, 9 skipped in ")
    for path in (tmp_path / "out").glob("p*"):
        path.unlink()
    again = command(*arguments)
    assert again.returncode == 1
    assert again.stderr.splitlines()[-1].startswith("gmmquant: 10 not tried in ")


@pytest.mark.parametrize("options", [[], ["--json"], ["--json-lines"], ["-o", "-", "--json-lines"]])
def test_images_with_kept_outputs_are_skipped_in_every_style_of_results(command, finished, tmp_path, album, options):
    to_files = "-" not in options
    finished()
    (tmp_path / "out/p4_k3.png").unlink()
    result = command("album", "-k", "3", "--shared", *(["-o", "out", "--skip-existing"] if to_files else []), *options)
    assert result.returncode == 0
    counts = "1 done, 9 skipped in " if to_files else "10 done in "
    assert result.stderr.splitlines()[-1].startswith(f"gmmquant: {counts}")
    if "--json-lines" in options:
        outcomes = [json.loads(line)["outcome"] for line in result.stdout.splitlines()]
        assert outcomes.count("skipped") == 9 * to_files
        assert outcomes.count("done") == 10 - 9 * to_files


def test_if_images_fail_a_report_of_more_images_is_kept(command, finished, tmp_path, album):
    arguments = ["album", "-k", "3", "--shared", "-o", "out"]
    finished()
    before = contents(tmp_path / "out")
    (tmp_path / "out/p5_k3.png").unlink()
    limit = os.path.getsize(tmp_path / "out/p0_k3.png") // 8
    file_size = lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (limit, limit))  # noqa: E731
    assert command(*arguments, "--skip-existing", preexec_fn=file_size).returncode == 1
    assert contents(tmp_path / "out")["shared_report.json"] == before["shared_report.json"]


def test_a_dry_run_counts_the_images_and_lists_the_shared_files(command, tmp_path, album):
    result = command("album", "-k", "3", "--shared", "-o", "out", "--save-model", "--sheet", "--dry-run")
    assert result.returncode == 0
    assert "\nout\n  out/shared_k3.gmm.json (new)\n  out/shared_report.json (new)\n" in result.stdout
    assert "  out/shared_sheet.png (new)" in result.stdout
    assert result.stdout.count("\nout\n") == 1
    assert result.stderr == "gmmquant: dry run, nothing was done; would read 10 images; outputs: 13 new\n"
    assert os.listdir(tmp_path) == ["album"]


def test_outputs_that_exist_are_refused_before_any_work(command, tmp_path, album):
    (tmp_path / "out").mkdir()
    (tmp_path / "out/p7_k3.png").write_text("mine")
    result = command("album", "-k", "3", "--shared", "-o", "out")
    assert result.returncode == 1
    assert "p7_k3.png exists; use --force" in result.stderr
    assert os.listdir(tmp_path / "out") == ["p7_k3.png"]
    assert command("album", "-k", "3", "--shared", "-o", "out", "--force").returncode == 0


def test_subfolders_are_kept_and_the_record_has_their_paths(command, tmp_path, album):
    (album / "deep/er").mkdir(parents=True)
    shutil.copy(album / "p1.png", album / "deep/er/p1.png")
    command("album", "-r", "-k", "3", "--shared", "-o", "out")
    record = report(tmp_path / "out")
    deep = next(image for image in record["images"] if image["path"].endswith("er/p1.png"))
    assert deep["fits"][0]["files"]["image"] == "deep/er/p1_k3.png"
    assert (tmp_path / "out/deep/er/p1_k3.png").read_bytes() == (tmp_path / "out/p1_k3.png").read_bytes()


def test_without_an_output_folder_the_report_is_in_the_common_folder(command, tmp_path, album):
    (tmp_path / "other").mkdir()
    shutil.copy(SAMPLE_IMAGES / "flat.png", tmp_path / "other/flat.png")
    command("album/p1.png", "other/flat.png", "-k", "3", "--shared")
    record = report(tmp_path)
    assert [image["fits"][0]["files"]["image"] for image in record["images"]] == [
        "album/p1_k3.png",
        "other/flat_k3.png",
    ]
    assert (album / "p1_k3.png").exists()


def test_the_record_can_go_to_standard_output(command, finished, tmp_path, album):
    finished()
    result = command("album", "missing.png", "-k", "3", "--shared", "-o", "-", "--json")
    assert result.returncode == 1
    (record,) = json.loads(result.stdout)
    assert [image["path"] for image in record["images"]] == [f"album/{name}" for name in NAMES]
    assert [failure["path"] for failure in record["failed"]] == ["missing.png"]
    assert record["fits"][0]["components"] == report(tmp_path / "out")["fits"][0]["components"]
    assert sorted(os.listdir(tmp_path)) == ["album", "out"]


def test_the_table_shows_the_shared_fit_and_json_lines_end_with_it(command, tmp_path, album):
    table = command("album", "-k", "3", "--shared", "-o", "out").stdout
    assert table.startswith("out  10 images, ")
    lines = [
        json.loads(line)
        for line in command("album", "-k", "3", "--shared", "-o", "o", "--json-lines").stdout.splitlines()
    ]
    assert [line["outcome"] for line in lines] == ["done"] * 10 + ["shared"]
    assert lines[-1]["record"]["fits"][0]["k"] == 3


def test_images_of_8_and_16_bits_share_a_mixture(command, tmp_path, album):
    shutil.copy(SAMPLE_IMAGES / "sixteen.png", album / "sixteen.png")
    result = command("album", "-k", "3", "--shared", "-o", "out")
    assert result.returncode == 0, result.stderr
    assert report(tmp_path / "out")["fitted"]["bit_depth"] == 16


@pytest.mark.parametrize(
    ("arguments", "option"),
    [
        (["--sample-size", "3"], "--shared"),
        (["--shared", "--sample-size", "0"], "sample"),
        (["--shared", "--model", "m.gmm.json"], "--model"),
        (["--shared", "-k", "3", "-o", "-"], "--shared"),
        (["--shared", "--transfer-from", "cat.jpg"], "--transfer-from"),
    ],
)
def test_options_that_contradict_a_shared_mixture_are_wrong_usage(command, album, arguments, option):
    result = command("album", *arguments)
    assert result.returncode == 2
    assert option in result.stderr
    assert result.stderr.count("\n") == 1
