"""Options that contradict each other: refused before any work, in one line with both and a remedy."""

import inspect
import shutil
import sys

import numpy as np
import pytest

import gmmquant
from gmmquant.cli.app import quantize, run
from gmmquant.settings import MAX_TRANSFER_K


@pytest.fixture
def folder(tmp_path, samples, monkeypatch):
    """The working folder, with two images, a model and a palette."""
    for name in ("flat.png", "grey.png"):
        shutil.copy(samples / name, tmp_path)
    assert run([str(tmp_path / "flat.png"), "-k", "2", "--save-model", "--report", "none", "-q"]) == 0
    (tmp_path / "flat_k2.png").unlink()
    (tmp_path / "flat_k2.gmm.json").rename(tmp_path / "model.json")
    (tmp_path / "two.hex").write_text("ff0000\n0000ff\n")
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.mark.parametrize(
    ("options", "reason"),
    [
        ("--force --skip-existing", "--force replaces existing outputs; leave out --skip-existing or --force"),
        ("--json --json-lines", "--json prints one array of records; leave out --json-lines or --json"),
        ("--dry-run --json", "--dry-run prints no records; leave out --json or --dry-run"),
        ("--preview --quiet", "--preview shows images; leave out --quiet or --preview"),
        ("--quiet --verbose", "--quiet prints only errors; leave out --verbose or --quiet"),
        ("--model model.json -k 2", "--model fits nothing; leave out -k or --model"),
        ("--model model.json --seed 1-3", "--seed has no effect on --model with --dither none; use --dither"),
        ("--model model.json --dither posterior --seed 1-3", "--model has no fits from several seeds; use one, or"),
        ("--model model.json --dither bayer --seed 3", "--seed has no effect on --model with --dither bayer; use"),
        ("--palette two.hex --seed 0", "--seed has no effect on --palette with --dither none; use --dither"),
        ("--palette two.hex -k 2 --seed 1-3", "--palette has no fits from several seeds; use one, or leave out --seed"),
        ("--palette two.hex --average mode", "--palette sets the colours; leave out --average or --palette"),
        ("--palette two.hex -k auto", "-k auto chooses colours by a fit, not from --palette; use numbers, as in -k 3"),
        ("--palette two.hex --keep-colors red", "--palette keeps all its colours; leave out --keep-colors, or choose"),
        ("--shared --model model.json", "--shared fits one mixture to all images; leave out --model or --shared"),
        ("--sample-size 9", "--sample-size has no effect without --shared; add --shared, or leave it out"),
        (
            "--transfer-from grey.png --average mode",
            "--transfer-from moves every colour; leave out --average or",
        ),
        ("--transfer-from grey.png --style poster", "--transfer-from moves every colour; leave out --style poster or"),
        ("--transfer-from grey.png -k auto:3", "-k auto:3 keeps the colours, --transfer-from moves them; use a number"),
        (
            f"--transfer-from grey.png -k {MAX_TRANSFER_K + 1}",
            f"k = {MAX_TRANSFER_K + 1} is above the limit of --transfer-from; use at most {MAX_TRANSFER_K}",
        ),
        ("--strength 0.5 --dither none", "--strength has no effect without dithering; add --dither blue-noise, or"),
        ("--method kmeans --init random", "--method kmeans chooses its starts itself; leave out --init or --method"),
        ("--covariance diag --shrink 0.5", "--shrink 0.5 has no effect on --covariance diag; leave out one of them"),
        ("--smooth 9", "--smooth 9 is too large; use a number from 0 to 4"),
        ("--resize 4", "--resize 4 is not a size; use 4x (the width), x4 or 4%, or 400% for 4 times the size"),
        ("--method kmeans --noise 2", "--method kmeans fits no mixture; leave out --noise or --method kmeans"),
        ("--alpha quantize --layers flat", "--alpha quantize fits colour and alpha together; leave out --layers or"),
        ("--alpha quantize -k auto", "-k auto chooses colours without alpha, not --alpha quantize; use numbers"),
        ("-k 2 --keep-colors red green blue", "k = 2 is below the 3 colours of --keep-colors; use at least -k 3"),
        ("-k 2 3 -o -", "--output - writes one image, not 2; choose one number of colours, as in -k 7"),
        ("grey.png -k 2 -o -", "--output - writes one image, not 2; name one image, or use a folder for --output"),
        ("-k 2 -o - --shared", "--output - writes one image, but --shared writes several; name a folder, or add"),
        ("-k 2 -o - --report json", "--output - writes no files; leave out --report or --output -"),
        ("-k 2 -o - --skip-if-larger --resize 9x", "--skip-if-larger with --output - passes on the image as it is;"),
    ],
)
def test_options_that_contradict_each_other_are_refused_with_a_remedy(folder, capsys, options, reason):
    names = sorted(path.name for path in folder.iterdir())
    capsys.readouterr()
    assert run(["flat.png", *options.split()]) == 2
    shown = capsys.readouterr()
    assert shown.out == ""
    assert shown.err.startswith(f"gmmquant: {reason}")
    assert shown.err.count("\n") == 1
    assert sorted(path.name for path in folder.iterdir()) == names


def test_no_shrinkage_agrees_with_every_covariance(folder):
    for covariance in ("full", "tied", "diag", "spherical"):
        assert run(["flat.png", "-k", "2", "--covariance", covariance, "--shrink", "0", "-q", "-o", covariance]) == 0


# What a model leaves to choose: the order of its colours, and their rounding. The seed is that of a dither, too.
DRAWS = {"palette_order", "color_depth"}
VALUES = {
    "k": "2",
    "palette": "bw",
    "keep_colors": "red",
    "transfer_from": "grey.png",
    "init": "random",
    "covariance": "full",
    "search": "none",
    "method": "gmm",
    "space": "srgb",
}


def test_every_option_of_the_fit_is_refused_with_a_model(folder, capsys):
    of_fits = inspect.signature(quantize).parameters.values()
    names = [each.name for each in of_fits if str(each.annotation).startswith("options.model.")]
    assert {"seed", "restarts", "tol"} <= set(names)
    for name in sorted({*names, "average", "style", "save_model"} - DRAWS - {"model"}):
        option = "-k" if name == "k" else f"--{name.replace('_', '-')}"
        value = {"style": "poster", "average": "mode", "save_model": ""}.get(name, VALUES.get(name, "0"))
        value = "3" if name in ("restarts", "max_iter") else value
        capsys.readouterr()
        assert run(["flat.png", "--model", "model.json", option, *value.split(), "-n"]) == 2, option
        message = capsys.readouterr().err
        assert "; leave out" in message or "or leave out" in message
        assert option in message
        assert "--model" in message


@pytest.mark.parametrize("dither", ["floyd-steinberg", "blue-noise", "posterior", "bayer"])
def test_the_seed_is_taken_with_the_dithers_whose_images_it_changes(folder, samples, dither):
    shutil.copy(samples / "cat.jpg", folder)
    colors = "#d6c3ac,#8f684a,#362014"
    images = [gmmquant.quantize("cat.jpg", palette=colors, seed=seed, dither=dither).image for seed in range(2)]
    changes = not np.array_equal(*images)
    for fixed in (["--model", "model.json"], ["--palette", colors]):
        refused = run(["cat.jpg", *fixed, "--dither", dither, "--seed", "1", "-n", "-q"]) == 2
        assert refused is not changes


@pytest.mark.parametrize(
    ("options", "package", "extra"),
    [
        ("--report html", "jinja2", "report"),
        ("--plots", "matplotlib", "plot"),
        ("--scheduler local", "distributed", "cluster"),
        ("--format jxl", "pillow_jxl", "formats"),
    ],
)
def test_a_missing_package_is_named_with_its_extra_before_any_work(
    folder, capsys, monkeypatch, options, package, extra
):
    monkeypatch.setitem(sys.modules, package, None)
    capsys.readouterr()
    assert run(["flat.png", "-k", "2", *options.split()]) == 2
    shown = capsys.readouterr().err
    assert f"pip install 'gmmquant[{extra}]'" in shown
    assert shown.count("\n") == 1
    assert not list(folder.glob("flat_*"))
