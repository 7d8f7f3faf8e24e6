"""The command in a process: its outputs, messages and exit codes."""

import gc
import hashlib
import json
import os
import re
import shlex
import shutil
import subprocess
import sys
from functools import partial

import numpy as np
import pytest
from helpers import median_palette, mixture_of
from PIL import Image
from running import in_a_terminal

import gmmquant
from gmmquant.cli.app import run
from gmmquant.cli.parser import gather_k
from gmmquant.cli.text import percent
from gmmquant.errors import ParameterError
from gmmquant.parsing import parse_k
from gmmquant.pipeline import image_job
from gmmquant.report.numbers import file_size


def digests(folder):
    """Return the digest of each file in a folder by name, without the times of reports."""
    result = {}
    for path in sorted(folder.iterdir()):
        data = path.read_bytes()
        if path.suffix == ".json":
            record = json.loads(data)
            for fit in record["fits"]:
                del fit["seconds"]
            data = json.dumps(record).encode()
        result[path.name] = hashlib.sha256(data).hexdigest()
    return result


@pytest.fixture
def flat(tmp_path, samples):
    return shutil.copy(samples / "flat.png", tmp_path / "flat.png")


@pytest.fixture
def grey(tmp_path, samples):
    return shutil.copy(samples / "grey.png", tmp_path / "grey.png")


# --- parsing of -k ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("arguments", "gathered"),
    [
        ("cat.jpg -k 2 3 7 20", "cat.jpg -k 2,3,7,20"),
        ("-k 2 3 7 20 cat.jpg", "-k 2,3,7,20 cat.jpg"),
        ("cat.jpg -k 2,3,7,20", "cat.jpg -k 2,3,7,20"),
        ("cat.jpg -k 2-8", "cat.jpg -k 2-8"),
        ("cat.jpg -k 2 4-6 8,9 dog.jpg", "cat.jpg -k 2,4-6,8,9 dog.jpg"),
        ("cat.jpg -k 2 -k 3", "cat.jpg -k 2 -k 3"),
        ("cat.jpg -k2", "cat.jpg -k 2"),
        ("cat.jpg -k2 3", "cat.jpg -k 2,3"),
        ("cat.jpg -k=2 3", "cat.jpg -k 2,3"),
        ("-k 2-8 auto cat.jpg", "-k 2-8,auto cat.jpg"),
        ("-k auto cat.jpg", "-k auto cat.jpg"),
        ("cat.jpg -k 2, 3", "cat.jpg -k 2,3"),
        ("cat.jpg --colors 2 3 -q", "cat.jpg -k 2,3 -q"),
        ("cat.jpg --colors=2 3", "cat.jpg -k 2,3"),
        ("-qk 2 3 cat.jpg", "-q -k 2,3 cat.jpg"),
        ("-k 2 -- 7", "-k 2 -- 7"),
        ("-- -k 2 3", "-- -k 2 3"),
        ("cat.jpg -k 2 3 --seed 5 7", "cat.jpg -k 2,3 --seed 5 7"),
        ("cat.jpg -k 2 3.png", "cat.jpg -k 2 3.png"),
        ("cat.jpg -k x", "cat.jpg -k x"),
        ("cat.jpg -k -1", "cat.jpg -k -1"),
        ("cat.jpg -k", "cat.jpg -k"),
        ("-o k 3", "-o k 3"),
        ("-ok 3", "-ok 3"),
    ],
)
def test_k_takes_every_integer_that_follows(arguments, gathered):
    assert gather_k(arguments.split()) == gathered.split()


@pytest.mark.parametrize(
    ("texts", "ks"),
    [
        (["2,3,7,20"], [2, 3, 7, 20]),
        (["2-4"], [2, 3, 4]),
        (["7", "2"], [7, 2]),
        (["3,3", "2-4"], [3, 2, 4]),
        (["1"], [1]),
        (["2-3,auto", "auto", "2"], [2, 3, "auto"]),
    ],
)
def test_repeated_ks_are_dropped_and_the_order_is_kept(texts, ks):
    assert parse_k(texts) == ks


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("0", "0"),
        ("0-3", "0"),
        ("-1", "-1"),
        ("4097", "4097"),
        ("100000000", "100000000"),
        ("3-2", "3-2"),
        ("x", "'x'"),
        ("1.5", "'1.5'"),
        ("1e2", "'1e2'"),
        ("", "''"),
        ("2,", "''"),
        ("2-", "'2-'"),
        ("2-x", "'2-x'"),
        ("1_0", "'1_0'"),
        ("٣", "'٣'"),
    ],
)
def test_an_invalid_number_of_colors_is_refused_with_its_value(text, shown):
    with pytest.raises(ParameterError, match=rf"k = {shown} .*(use|write)"):
        parse_k([text])


@pytest.mark.parametrize(
    ("arguments", "ks"),
    [
        (["flat.png", "-k", "2", "3"], [2, 3]),
        (["-k", "2,3", "flat.png"], [2, 3]),
        (["flat.png", "-k", "2-3"], [2, 3]),
        (["-k", "2", "-k", "3", "--seed", "1", "flat.png"], [2, 3]),
        (["-k2", "flat.png"], [2]),
        (["flat.png"], [16]),
    ],
)
def test_every_syntax_of_k_writes_an_image_for_each_k(command, tmp_path, flat, arguments, ks):
    result = command(*arguments, "-o", "out")
    assert result.returncode == 0, result.stderr
    expected = {f"flat_k{k}.png" for k in ks} | {"flat_report.json"}
    assert {path.name for path in (tmp_path / "out").iterdir()} == expected
    assert [fit["k"] for fit in json.loads((tmp_path / "out/flat_report.json").read_text())["fits"]] == ks


def test_two_dashes_end_the_list_of_k(command, tmp_path, samples):
    shutil.copy(samples / "flat.png", tmp_path / "7")
    result = command("-k", "2", "--", "7")
    assert result.returncode == 0, result.stderr
    assert {path.name for path in tmp_path.iterdir()} == {"7", "7_k2.png", "7_report.json"}


# --- usage errors -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("arguments", "reason"),
    [
        (["--seed", "x"], "'--seed': 'x' is not a seed; use a number such as 3, or a range such as 1-5"),
        (["--max-iter", "1.5"], "'--max-iter': '1.5' is not an integer; use one such as 8"),
        (["--tol", "small"], "'--tol': 'small' is not a number; use one such as 0.5"),
    ],
)
def test_a_value_that_is_not_a_number_is_named_with_its_option(command, flat, arguments, reason):
    result = command("flat.png", *arguments)
    assert (result.returncode, result.stderr) == (2, f"gmmquant: invalid value for {reason}; see gmmquant --help\n")


@pytest.mark.parametrize(
    "arguments",
    [
        [],
        ["-k", "2"],
        ["flat.png", "-k", "0"],
        ["flat.png", "-k", "-1"],
        ["flat.png", "-k", "x"],
        ["flat.png", "-k", "1.5"],
        ["flat.png", "-k", ""],
        ["flat.png", "-k", "100000000"],
        ["flat.png", "-k"],
        ["flat.png", "--seed", "-1"],
        ["flat.png", "--seed", "x"],
        ["flat.png", "--max-iter", "0"],
        ["flat.png", "--tol", "nan"],
        ["flat.png", "--tol", "-1"],
        ["flat.png", "--max-pixels", "0"],
        ["flat.png", "--no-such-option"],
        ["flat.png", "--force", "--skip-existing"],
        ["flat.png", "--quiet", "--verbose"],
        [""],
        ["flat.png", "-o", ""],
    ],
)
def test_a_usage_error_prints_one_line_exits_with_2_and_writes_nothing(command, tmp_path, flat, arguments):
    result = command(*arguments)
    assert result.returncode == 2
    assert result.stdout == ""
    assert result.stderr.startswith("gmmquant: ")
    assert result.stderr.count("\n") == 1
    assert [path.name for path in tmp_path.iterdir()] == ["flat.png"]


def test_an_image_is_not_written_to_a_terminal(clean_environment, tmp_path, flat):
    shown, code = in_a_terminal(["flat.png", "-k", "2", "-o", "-"], tmp_path, clean_environment, columns=200)
    message = "gmmquant: --output - would write an image to the terminal; redirect standard output"
    assert (code, shown.strip()) == (2, message)


def test_a_sheet_of_too_many_images_is_refused_before_any_work(monkeypatch, capsys, tmp_path, flat):
    shutil.copy(flat, tmp_path / "second.png")
    monkeypatch.setattr("gmmquant.cli.app._MAX_SHEET_ROWS", 1)
    assert run([str(tmp_path), "-k", "2", "-o", str(tmp_path), "--sheet", "pdf"]) == 2
    assert capsys.readouterr().err == (
        "gmmquant: --sheet holds at most 1 images, not 2; use --report html, or fewer images\n"
    )
    assert sorted(path.name for path in tmp_path.iterdir()) == ["flat.png", "second.png"]


@pytest.mark.parametrize("number", ["7", "2-8", "2,3", "auto", "k=4"])
def test_a_number_among_the_images_is_asked_for_before_any_work(command, tmp_path, flat, number):
    for arguments in ((flat, number), (number, flat)):
        result = command(*arguments)
        assert (result.returncode, result.stdout) == (2, "")
        assert result.stderr == f"gmmquant: {number} is not a file; did you mean -k {number.removeprefix('k=')}?\n"
    assert sorted(path.name for path in tmp_path.iterdir()) == [flat.name]
    (tmp_path / number).write_bytes(flat.read_bytes())
    assert command(flat, "-n", "--", number).returncode == 0


def test_garbage_is_collected_while_images_are_processed(monkeypatch, tmp_path, flat):
    is_enabled = []
    original = image_job.read
    monkeypatch.setattr(image_job, "read", lambda *args: is_enabled.append(gc.isenabled()) or original(*args))
    gc.disable()
    try:
        assert run([str(flat), "-k", "2", "-o", str(tmp_path), "-q"]) == 0
    finally:
        gc.enable()
        gc.unfreeze()
    assert is_enabled == [True]


@pytest.mark.parametrize("name", ["out.png", "an out.webp", "out.jpeg"])
def test_an_output_without_an_option_is_asked_for(command, tmp_path, flat, name):
    result = command(flat, name, "-k", "2")
    remedy = f"use -o {shlex.quote(name)}"
    assert f"gmmquant: {name} does not exist; to write the image to it, {remedy}\n" in result.stderr
    assert result.returncode == 1
    assert command(flat, *shlex.split(remedy)[1:], "-k", "2").returncode == 0
    assert (tmp_path / name).is_file()
    assert "to write the image to it" not in command(flat, flat, name, "-k", "2").stderr


@pytest.mark.parametrize(
    ("option", "values"),
    [
        ("--maps", "labels, entropy, loglik or all"),
        ("--report", "json, csv, md, html (joined by commas), or none"),
        ("--covariance", "full, tied, diag, spherical"),
        ("-o", "folder, file (one image, one k), or - for standard output"),
        ("--noise", "uncertainty of the pixel values, in levels of 255"),
    ],
)
def test_a_missing_value_of_an_option_is_described(capsys, flat, option, values):
    assert run([str(flat), option]) == 2
    error = f"gmmquant: option '{option}' requires an argument: {values}; see gmmquant --help\n"
    assert capsys.readouterr().err == error


# --- outputs ----------------------------------------------------------------------------------------------------------


def test_the_cat_is_written_in_2_3_7_and_20_colors_with_exact_figures(command, tmp_path, samples):
    from scipy.special import logsumexp
    from scipy.stats import multivariate_normal

    result = command(samples / "cat.jpg", "-k", "2", "3", "7", "20", "-o", "out")
    assert result.returncode == 0, result.stderr
    record = json.loads((tmp_path / "out/cat_report.json").read_text())
    original = gmmquant.read_image(samples / "cat.jpg").pixels
    assert original.shape == (300, 451, 3)
    pixels = original.reshape(-1, 3) / 255
    assert record["schema"] == "gmmquant-report/1"
    assert record["image"]["pixels"] == record["image"]["visible_pixels"] == len(pixels)
    assert record["image"]["distinct_colors"] == len(np.unique(pixels, axis=0))
    for fit in record["fits"]:
        with Image.open(tmp_path / "out" / fit["files"]["image"]) as image:
            assert (image.mode, image.size) == ("P", (451, 300))
            recolored = np.asarray(image.convert("RGB"))
        weights, means, covariances = mixture_of(fit)
        joint = np.stack(
            [
                np.log(weight) + multivariate_normal(mean, covariance).logpdf(pixels)
                for weight, mean, covariance in zip(weights, means, covariances, strict=True)
            ]
        )
        assert fit["log_likelihood"] == pytest.approx(logsumexp(joint, axis=0).sum(), rel=1e-9)
        assert fit["mean_log_likelihood"] == pytest.approx(fit["log_likelihood"] / len(pixels), rel=1e-12)
        palette = median_palette(original.reshape(-1, 3), joint.argmax(axis=0), 255 * means)
        assert fit["components"]["hex"] == ["#" + bytes(color).hex() for color in palette]
        most_probable = palette[joint.argmax(axis=0)].reshape(original.shape)
        assert np.array_equal(recolored, most_probable)
        assert len(np.unique(recolored.reshape(-1, 3), axis=0)) <= fit["k"]
        error = ((original.astype(float) - recolored) ** 2).sum(axis=2).mean()
        assert fit["mse"] == pytest.approx(error, rel=1e-9)
        assert sum(fit["components"]["pixels"]) == len(pixels)
        assert weights.tolist() == sorted(weights, reverse=True)
        objectives = [objective for step in fit["trace"] for objective in step["objective"]]
        sizes = [step["level"] for step in fit["trace"]]
        assert sizes == sorted(sizes)
        # Cells are not finer than the noise.
        assert sizes[0] < sizes[-1] < record["image"]["distinct_colors"]
        assert len(objectives) == fit["n_iter"] + len(sizes)
        assert min(np.diff(objectives)) > -1e-9


def test_outputs_are_written_beside_the_image_by_default(command, tmp_path, flat):
    (tmp_path / "sub").mkdir()
    shutil.move(flat, tmp_path / "sub/flat.png")
    assert command("sub/flat.png", "-k", "2").returncode == 0
    assert {path.name for path in (tmp_path / "sub").iterdir()} == {"flat.png", "flat_k2.png", "flat_report.json"}


def test_an_output_with_the_extension_of_an_image_is_a_file(command, tmp_path, grey):
    by_name = command(
        *(grey, "-k", "3", "-o", "new/out.png", "--report", "json"),
        *("--palette-out", "gpl", "--maps", "labels", "--layers", "flat"),
    )
    assert by_name.returncode == 0, by_name.stderr
    names = {path.name for path in (tmp_path / "new").iterdir()}
    layers = {f"out_layer{number:02}.png" for number in (1, 2, 3)}
    assert names == {"out.png", "out_report.json", "out_palette.gpl", "out_labels.png"} | layers
    assert command(grey, "-k", "3", "-o", "folder").returncode == 0
    assert (tmp_path / "new" / "out.png").read_bytes() == (tmp_path / "folder" / "grey_k3.png").read_bytes()
    record = json.loads((tmp_path / "new" / "out_report.json").read_text())
    assert record["fits"][0]["files"]["image"] == "out.png"
    for name, kind in (("a.webp", "WEBP"), ("b.JPG", "JPEG"), ("c.tif", "TIFF"), ("d.gif", "GIF")):
        assert command(grey, "-k", "auto", "-o", name).returncode == 0
        assert not (tmp_path / name).with_name(f"{name[0]}_report.json").exists()
        with Image.open(tmp_path / name) as image:
            assert image.format == kind


def test_a_named_output_is_replaced_only_by_force(command, tmp_path, grey):
    (tmp_path / "out.png").write_text("mine")
    assert command(grey, "-k", "3", "-o", "out.png").returncode == 1
    assert (tmp_path / "out.png").read_text() == "mine"
    assert command(grey, "-k", "3", "-o", "out.png", "--force").returncode == 0
    made = (tmp_path / "out.png").read_bytes()
    again = command(grey, "-k", "3", "-o", "out.png", "--skip-existing")
    assert (again.returncode, (tmp_path / "out.png").read_bytes()) == (0, made)


@pytest.mark.parametrize(
    ("arguments", "reason"),
    [
        (
            ("grey.png", "-k", "2", "3", "-o", "o.png"),
            "--output o.png is one file, but k = 2, 3 would give 2; name a folder",
        ),
        (
            ("grey.png", "flat.png", "-k", "2", "-o", "o.png"),
            "--output o.png is one file, but 2 images at k = 2 would give 2; name a folder",
        ),
        (("grey.png", "-k", "2", "-o", "o.png", "--shared"), "--output o.png is one file, but --shared writes"),
        (("grey.png", "-k", "2", "-o", "o.png", "--format", "gif"), "--format gif contradicts --output o.png"),
        (("grey.png", "-k", "2", "-o", "o.png", "--name", "{stem}"), "--name has no effect"),
        (
            ("grey.png", "-k", "2", "-o", "grey.png"),
            "would overwrite the input grey.png; use another --output, and move",
        ),
        (("grey.png", "-k", "2", "-o", "/dev/stdout"), "use --output - for standard output"),
    ],
)
def test_a_named_output_that_cannot_be_is_refused_before_any_work(command, tmp_path, grey, flat, arguments, reason):
    result = command(*arguments)
    assert result.returncode == 2
    assert reason in result.stderr
    assert sorted(path.name for path in tmp_path.iterdir()) == ["flat.png", "grey.png"]


def test_a_folder_may_have_the_name_of_an_image(command, tmp_path, grey):
    (tmp_path / "shots.png").mkdir()
    assert command(grey, "-k", "2", "3", "-o", "shots.png").returncode == 0
    assert command(grey, "-k", "2", "-o", "new.png/").returncode == 0
    assert (tmp_path / "shots.png" / "grey_k3.png").exists()
    assert (tmp_path / "new.png" / "grey_k2.png").exists()


def test_the_report_names_the_image_relative_to_its_folder(command, tmp_path, flat):
    assert command("flat.png", "-k", "2", "-o", "a/b").returncode == 0
    record = json.loads((tmp_path / "a/b/flat_report.json").read_text())
    assert record["image"]["path"] == "../../flat.png"


def test_the_same_command_gives_the_same_bytes_for_any_number_of_threads(command, tmp_path, samples, clean_environment):
    images = [samples / name for name in ("cat.jpg", "sixteen.png", "grey.png")]
    for folder, threads in (("a", "1"), ("b", "2")):
        environment = {**clean_environment, "OPENBLAS_NUM_THREADS": threads, "PYTHONHASHSEED": threads}
        result = command(*images, "-k", "2", "20", "--max-iter", "30", "-o", folder, env=environment)
        assert result.returncode == 0
    assert digests(tmp_path / "a") == digests(tmp_path / "b")


@pytest.mark.skipif(not hasattr(os, "sched_setaffinity"), reason="the system has no such setting")
@pytest.mark.parametrize("options", [[], ["--style", "likelihood"], ["--method", "kmeans", "--keep-colors", "#ff0000"]])
def test_the_same_command_gives_the_same_bytes_on_one_processor_and_on_all(samples, tmp_path, options):
    processors = os.sched_getaffinity(0)
    for folder, some in (("one", {min(processors)}), ("all", processors)):
        command = [sys.executable, "-m", "gmmquant", samples / "cat.jpg", "-k", "2", "5", "9", *options, "-q"]
        subprocess.run(
            [*command, "-o", folder], cwd=tmp_path, preexec_fn=partial(os.sched_setaffinity, 0, some), check=True
        )
    assert digests(tmp_path / "one") == digests(tmp_path / "all")


def test_another_seed_starts_from_other_components(command, tmp_path, grey):
    for seed in ("0", "1"):
        assert command("grey.png", "-k", "7", "-o", seed, "--seed", seed).returncode == 0
    first, second = (json.loads((tmp_path / s / "grey_report.json").read_text()) for s in "01")
    assert first["fits"][0]["trace"][0] != second["fits"][0]["trace"][0]
    assert (first["settings"]["seed"], second["settings"]["seed"]) == (0, 1)


def test_max_iter_and_tol_end_the_fit(command, tmp_path, grey):
    assert command("grey.png", "-k", "7", "-o", "a", "--max-iter", "3").returncode == 0
    assert command("grey.png", "-k", "7", "-o", "b", "--tol", "0.5").returncode == 0
    stopped, loose = (json.loads((tmp_path / d / "grey_report.json").read_text())["fits"][0] for d in "ab")
    assert (stopped["n_iter"], stopped["converged"]) == (3, False)
    assert loose["converged"]
    assert loose["n_iter"] < 10


# --- existing outputs -------------------------------------------------------------------------------------------------


def test_a_second_run_refuses_to_overwrite_and_changes_nothing(command, tmp_path, flat):
    assert command("flat.png", "-k", "2", "3", "-o", "out").returncode == 0
    before = {path: (path.read_bytes(), path.stat().st_mtime_ns) for path in (tmp_path / "out").iterdir()}
    again = command("flat.png", "-k", "2", "3", "-o", "out")
    assert again.returncode == 1
    assert again.stderr == (
        "gmmquant: flat.png: flat_k2.png exists; use --force to replace it, --skip-existing to write what is missing, "
        "or another --name\n"
    )
    assert {path: (path.read_bytes(), path.stat().st_mtime_ns) for path in (tmp_path / "out").iterdir()} == before


def test_skip_existing_does_nothing_if_all_outputs_exist(command, tmp_path, flat):
    assert command("flat.png", "-k", "2", "-o", "out").returncode == 0
    before = {path: path.stat().st_mtime_ns for path in (tmp_path / "out").iterdir()}
    again = command("flat.png", "-k", "2", "-o", "out", "--skip-existing")
    assert (again.returncode, again.stdout) == (0, "")
    assert again.stderr == "gmmquant: flat.png: skipped, its outputs exist\n"
    assert {path: path.stat().st_mtime_ns for path in (tmp_path / "out").iterdir()} == before


def test_skip_existing_writes_missing_outputs_and_keeps_the_others(command, tmp_path, flat):
    assert command("flat.png", "-k", "2", "3", "-o", "out").returncode == 0
    complete = digests(tmp_path / "out")
    (tmp_path / "out/flat_k3.png").unlink()
    (tmp_path / "out/flat_report.json").unlink()
    assert command("flat.png", "-k", "2", "3", "-o", "out", "--skip-existing").returncode == 0
    assert digests(tmp_path / "out") == complete
    (tmp_path / "out/flat_k3.png").unlink()
    shutil.copy(tmp_path / "flat.png", tmp_path / "out/flat_k2.png")
    assert command("flat.png", "-k", "2", "3", "-o", "out", "--skip-existing").returncode == 0
    assert (tmp_path / "out/flat_k2.png").read_bytes() == (tmp_path / "flat.png").read_bytes()
    after = digests(tmp_path / "out")
    assert {name: after[name] for name in after if name != "flat_k2.png"} == {
        name: complete[name] for name in complete if name != "flat_k2.png"
    }


def test_force_writes_the_same_bytes_again(command, tmp_path, grey):
    assert command("grey.png", "-k", "2", "7", "-o", "out").returncode == 0
    before = digests(tmp_path / "out")
    (tmp_path / "out/grey_k2.png").write_bytes(b"damaged")
    assert command("grey.png", "-k", "2", "7", "-o", "out", "--force").returncode == 0
    assert digests(tmp_path / "out") == before


def test_force_replaces_a_link_and_not_its_target(command, tmp_path, flat):
    (tmp_path / "precious").write_bytes(b"precious")
    (tmp_path / "out").mkdir()
    (tmp_path / "out/flat_k2.png").symlink_to(tmp_path / "precious")
    assert command("flat.png", "-k", "2", "-o", "out").returncode == 1
    assert command("flat.png", "-k", "2", "-o", "out", "--force").returncode == 0
    assert (tmp_path / "precious").read_bytes() == b"precious"
    assert not (tmp_path / "out/flat_k2.png").is_symlink()


# --- several images ---------------------------------------------------------------------------------------------------


def test_a_folder_means_its_images_without_outputs_of_gmmquant(command, tmp_path, samples):
    photos = tmp_path / "photos"
    photos.mkdir()
    shutil.copy(samples / "flat.png", photos / "a10.png")
    shutil.copy(samples / "flat.png", photos / "a2.PNG")
    shutil.copy(samples / "flat.png", photos / ".hidden.png")
    (photos / "notes.txt").write_text("no image")
    first = command("photos", "-k", "2")
    assert first.returncode == 0, first.stderr
    named = [line.split()[1] for line in first.stderr.splitlines()]
    assert named[:2] == ["photos/a2.PNG:", "photos/a10.png:"]
    written = {path.name for path in photos.iterdir()} - {"a10.png", "a2.PNG", ".hidden.png", "notes.txt"}
    assert written == {"a2_k2.png", "a2_report.json", "a10_k2.png", "a10_report.json"}
    second = command("photos", "-k", "2", "--skip-existing")
    assert second.returncode == 0
    assert {path.name for path in photos.iterdir()} - written == {"a10.png", "a2.PNG", ".hidden.png", "notes.txt"}


def test_bad_images_of_a_list_do_not_stop_the_others(command, tmp_path, samples, flat, grey):
    (tmp_path / "cut.jpg").write_bytes((samples / "cat.jpg").read_bytes()[:20_000])
    result = command("flat.png", "cut.jpg", "missing.png", "grey.png", "-k", "2", "-o", "out")
    assert result.returncode == 1
    flat, cut, missing, grey, summary = result.stderr.splitlines()
    assert re.fullmatch(r"gmmquant: flat.png: wrote flat_k2.png, flat_report.json in out, \d+\.\d\d s", flat)
    assert cut == "gmmquant: cut.jpg: damaged or incomplete JPEG image; get an undamaged copy"
    assert missing == "gmmquant: missing.png: no such file or directory"
    assert grey.startswith("gmmquant: grey.png: wrote grey_k2.png")
    assert re.fullmatch(r"gmmquant: 2 done, 2 failed in (0\.0 s|\d+\.\d s, \d+\.\d \w+ an? \w+); .*", summary)
    names = {path.name for path in (tmp_path / "out").iterdir()}
    assert names == {"flat_k2.png", "flat_report.json", "grey_k2.png", "grey_report.json"}


@pytest.mark.parametrize("other", ["A.PNG", "a.gif", "sub/a.png"])
def test_images_with_the_same_output_name_are_refused_before_any_work(command, tmp_path, samples, other):
    (tmp_path / "sub").mkdir()
    for name in ("a.png", other):
        shutil.copy(samples / "flat.png", tmp_path / name)
    result = command("a.png", other, "-k", "2", "-o", "out")
    assert result.returncode == 2
    assert result.stderr.count("\n") == 1
    assert "a.png" in result.stderr
    assert other in result.stderr
    assert ("--name" if other == "a.gif" else "--output") in result.stderr
    assert not (tmp_path / "out").exists()


def test_an_output_never_replaces_the_target_of_a_linked_input(command, tmp_path, samples, flat):
    shutil.copy(samples / "grey.png", tmp_path / "flat_k2.png")
    (tmp_path / "link.png").symlink_to("flat_k2.png")
    result = command("flat.png", "link.png", "-k", "2", "--force")
    assert result.returncode == 1
    assert (tmp_path / "flat_k2.png").read_bytes() == (samples / "grey.png").read_bytes()


def test_an_output_never_replaces_an_input(command, tmp_path, samples, flat):
    shutil.copy(samples / "grey.png", tmp_path / "flat_k2.png")
    result = command("flat.png", "flat_k2.png", "-k", "2", "--force")
    assert result.returncode == 1
    assert "would overwrite the input flat_k2.png" in result.stderr
    assert (tmp_path / "flat_k2.png").read_bytes() == (samples / "grey.png").read_bytes()


def test_an_image_named_twice_is_processed_once(command, tmp_path, flat):
    result = command("flat.png", "./flat.png", "-k", "2")
    assert result.returncode == 0
    assert result.stdout.count("distinct colours") == 1


# --- results and messages ---------------------------------------------------------------------------------------------


def test_the_table_has_a_row_for_each_k_and_goes_to_standard_output(command, tmp_path, grey):
    result = command("grey.png", "-k", "2", "7")
    record = json.loads((tmp_path / "grey_report.json").read_text())
    assert result.stderr == ""
    lines = result.stdout.splitlines()
    n_bytes = (tmp_path / "grey.png").stat().st_size
    assert lines[0] == f"grey.png  96 x 64, {file_size(n_bytes)}, 250 distinct colours"
    for fit in record["fits"]:
        row = next(line.split() for line in lines if line.split()[:1] == [str(fit["k"])])
        written = (tmp_path / fit["files"]["image"]).stat().st_size
        assert row[1:3] == [f"{fit['mean_log_likelihood']:.4f}", fit["files"]["image"]]
        assert " ".join(row[3:7]) == f"{file_size(written)} {percent(written, n_bytes)}"
        assert row[7:9] == [f"{fit['psnr']:.1f}", "dB"]
        assert row[9] == fit["components"]["hex"][0]
    assert lines[-2].startswith("wrote 2 images, grey_report.json, ")


def test_quiet_prints_only_errors(command, flat):
    result = command("flat.png", "missing.png", "-k", "7", "-q")
    assert (result.returncode, result.stdout) == (1, "")
    assert result.stderr == "gmmquant: missing.png: no such file or directory\n"


def test_verbose_lists_every_component(command, tmp_path, flat):
    result = command("flat.png", "-k", "3", "-v")
    components = json.loads((tmp_path / "flat_report.json").read_text())["fits"][0]["components"]
    for code, weight in zip(components["hex"], components["weight"], strict=True):
        row = f"{code}  {100 * weight:.2f} %"
        assert row in result.stdout


def test_json_prints_one_array_of_reports_and_nothing_else(command, tmp_path, flat, grey):
    result = command("flat.png", "grey.png", "missing.png", "-k", "2", "7", "--json")
    reports = [json.loads((tmp_path / f"{stem}_report.json").read_text()) for stem in ("flat", "grey")]
    assert json.loads(result.stdout) == reports
    assert result.returncode == 1


def test_version_prints_the_version_of_the_package(command):
    result = command("--version")
    assert (result.returncode, result.stdout, result.stderr) == (0, f"gmmquant {gmmquant.__version__}\n", "")


@pytest.mark.parametrize("argument", ["-h", "--help", "--version"])
def test_help_and_version_import_nothing_heavy(argument, clean_environment, tmp_path):
    code = (
        "import sys\nfrom gmmquant.cli.app import run\nrun([sys.argv[1]])\n"
        "print(sorted({'numpy', 'cv2', 'scipy', 'PIL', 'matplotlib', 'rich'} & set(sys.modules)), file=sys.stderr)"
    )
    result = subprocess.run(
        [sys.executable, "-c", code, argument], capture_output=True, text=True, env=clean_environment, cwd=tmp_path
    )
    assert (result.returncode, result.stderr) == (0, "[]\n")


def test_the_cat_needs_less_than_200_megabytes(tmp_path, samples, clean_environment):
    arguments = [sys.executable, "-m", "gmmquant", samples / "cat.jpg", "-k", "2", "3", "7", "20", "-o", "out", "-q"]
    code = (
        "import resource, subprocess, sys\n"
        "subprocess.run(sys.argv[1:], check=True)\n"
        "print(resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss)"
    )
    result = subprocess.run(
        [sys.executable, "-c", code, *arguments], capture_output=True, text=True, env=clean_environment, cwd=tmp_path
    )
    assert result.stderr == ""
    assert 20_000 < int(result.stdout) < 200_000


def test_a_terminal_shows_a_progress_bar_and_then_swatches(tmp_path, grey, clean_environment):
    environment = {**clean_environment, "TERM": "xterm-256color", "COLORTERM": "truecolor"}
    shown, code = in_a_terminal(["grey.png", "-k", "7", "60"], tmp_path, environment)
    assert code == 0
    assert re.search(r"k = 60  iteration \d+  grey\.png", shown)
    *_, last = re.finditer(r"iteration \d+", shown)
    assert shown.rindex("\x1b[?25h") > last.start()  # the cursor is visible again
    *_, table = shown.partition("\x1b[1mgrey.png")
    assert last[0] not in table
    record = json.loads((tmp_path / "grey_report.json").read_text())
    for code in record["fits"][0]["components"]["hex"]:
        red, green, blue = bytes.fromhex(code[1:])
        assert re.search(rf"\x1b\[[0-9;]*48;2;{red};{green};{blue}m {code} ", table)


@pytest.mark.parametrize("columns", [60, 80, 90, 100, 120, 200])
def test_each_k_has_a_row_and_the_first_colors_of_its_palette_at_any_width(
    tmp_path, samples, clean_environment, columns
):
    environment = {**clean_environment, "TERM": "xterm-256color", "COLORTERM": "truecolor"}
    arguments = [samples / "cat.jpg", "-k", "2", "7", "20", "40", "--max-iter", "3", "-o", "out", "--force"]
    shown, code = in_a_terminal(arguments, tmp_path, environment, columns)
    assert code == 0
    record = json.loads((tmp_path / "out/cat_report.json").read_text())
    table = shown.partition("palette")[2] or shown.partition("PSNR")[2]
    palettes = [re.findall("#[0-9a-f]{6}", line) for line in table.splitlines() if "#" in line]
    assert len(palettes) == 4
    rows = [re.sub(r"\x1b\[[^a-zA-Z]*[a-zA-Z]", "", line).rstrip() for line in shown.splitlines()]
    for fit, palette in zip(record["fits"], palettes, strict=True):
        assert palette == fit["components"]["hex"][: len(palette)]
        assert len(palette) >= min(fit["k"], 5)
        assert any(row.split()[:2] == [str(fit["k"]), f"{fit['mean_log_likelihood']:.4f}"] for row in rows)


def test_no_color_and_dumb_terminals_are_respected(tmp_path, flat, grey, clean_environment):
    shown, code = in_a_terminal(["flat.png", "-k", "2"], tmp_path, {**clean_environment, "NO_COLOR": "1"})
    assert code == 0
    assert "\x1b[48" not in shown
    assert "#f4f1de" in shown
    shown, code = in_a_terminal(["grey.png", "-k", "2"], tmp_path, {**clean_environment, "TERM": "dumb"})
    assert code == 0
    assert "\x1b" not in shown


def test_there_is_no_progress_bar_if_standard_error_is_not_a_terminal(command, grey):
    result = command("grey.png", "-k", "7")
    assert result.stderr == ""
    assert "\x1b" not in result.stdout


def test_an_image_with_fewer_colors_than_k_keeps_them_exactly(command, tmp_path, flat, samples):
    result = command("flat.png", "-k", "7")
    assert result.returncode == 0
    assert result.stderr == "gmmquant: flat.png: 3 distinct colours, fewer than k = 7: the exact colours are kept\n"
    fit = json.loads((tmp_path / "flat_report.json").read_text())["fits"][0]
    assert (fit["k"], fit["k_fitted"], fit["exact"], fit["mse"], fit["psnr"]) == (7, 3, True, 0.0, None)
    assert set(fit["components"]["hex"]) == {"#f4f1de", "#3d405b", "#e07a5f"}
    assert all(np.isfinite(fit[name]) for name in ("log_likelihood", "mean_log_likelihood", "aic", "bic", "icl"))
    with Image.open(tmp_path / "flat_k7.png") as made, Image.open(samples / "flat.png") as drawn:
        assert np.array_equal(np.asarray(made.convert("RGB")), np.asarray(drawn.convert("RGB")))


def test_warnings_of_pillow_are_never_printed():
    code = (
        "import warnings; from gmmquant.cli.app import run; run(['--version'])\n"
        "warnings.warn_explicit('odd', UserWarning, 'TiffImagePlugin.py', 1, module='PIL.TiffImagePlugin')"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stderr == ""
