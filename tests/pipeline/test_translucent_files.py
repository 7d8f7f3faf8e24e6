"""`--alpha quantize` through the command: files, records, reports, and options that contradict it."""

import csv
import json

import numpy as np
import pytest
from image_shadows import icon, seen_error
from PIL import Image

ICON = icon()


@pytest.fixture
def drawn(command, tmp_path):
    """The files of an icon in 6 and 30 entries, with all reports."""
    Image.fromarray(ICON).save(tmp_path / "icon.png")
    reports = ("--report", "json,csv,md,html", "--sheet", "png")
    result = command("icon.png", "-k", "6", "30", "--alpha", "quantize", *reports, "-o", "out", "--verbose")
    assert result.returncode == 0, result.stderr
    return tmp_path / "out", result.stdout


def pixels_of(path):
    with Image.open(path) as image:
        return image.mode, np.asarray(image.convert("RGBA"))


def test_files_and_figures_agree(drawn):
    folder, _ = drawn
    record = json.loads((folder / "icon_report.json").read_text())
    assert record["settings"]["alpha"] == "quantize"
    for fit in record["fits"]:
        mode, pixels = pixels_of(folder / fit["files"]["image"])
        assert mode == "P"
        assert fit["mse"] == pytest.approx(seen_error(ICON, pixels))
        rgb, alphas = zip(*(((*bytes.fromhex(code[1:]),), a) for code, a in entries_of(fit)), strict=True)
        entries = np.column_stack([rgb, alphas]).astype(np.uint8)
        np.testing.assert_array_equal(np.unique(pixels[pixels[..., 3] > 0], axis=0), np.unique(entries, axis=0))
        assert len(entries) + 1 <= fit["k"]


def entries_of(fit):
    return zip(fit["components"]["hex"], fit["components"]["alpha"], strict=True)


def test_every_report_shows_alpha(drawn):
    folder, shown = drawn
    fit = json.loads((folder / "icon_report.json").read_text())["fits"][0]
    codes = [code if a == 255 else f"{code}{a:02x}" for code, a in entries_of(fit)]
    translucent = next(code for code in codes if len(code) == 9)
    assert "colour and alpha fitted together" in shown
    assert shown.count(translucent) == 2  # in the palette and among the components
    assert all(f"`{code}`" in (folder / "icon_report.md").read_text() for code in codes)
    page = (folder / "icon_report.html").read_text()
    assert all(f"<code>{code}</code>" in page for code in codes)
    assert page.count("fill-opacity") == 3 * sum(
        a < 255 for each in json.loads((folder / "icon_report.json").read_text())["fits"] for _, a in entries_of(each)
    )
    assert page.count("</path><rect") == page.count("fill-opacity") / 3
    with (folder / "icon_components.csv").open() as file:
        rows = [row for row in csv.DictReader(file) if row["k"] == "6"]
    assert [(row["hex"], int(row["alpha"])) for row in rows] == list(entries_of(fit))


def test_a_run_with_another_alpha_does_not_continue_it(command, drawn, tmp_path):
    result = command("icon.png", "-k", "7", "-o", "out")
    assert result.returncode == 1
    assert "alpha" in result.stderr
    assert not (tmp_path / "out" / "icon_k7.png").exists()


def test_pairs_that_are_kept_exactly_are_noted_as_such(command, tmp_path):
    image = ICON.copy()
    image[..., 3] &= 192
    image[..., :3] &= 128
    Image.fromarray(image).save(tmp_path / "few.png")
    result = command("few.png", "-k", "200", "--alpha", "quantize", "-o", "out")
    n_pairs = len(np.unique(image[image[..., 3] > 0], axis=0))
    assert f"{n_pairs} distinct colours with alpha, fewer than k = 200: they are kept" in result.stderr
    _, pixels = pixels_of(tmp_path / "out" / "few_k200.png")
    visible = image[..., 3] > 0
    np.testing.assert_array_equal(pixels[visible], image[visible])


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (("--palette", "gameboy"), "--alpha quantize fits colour and alpha together; leave out --palette"),
        (("--transfer-from", "icon.png"), "leave out --transfer-from"),
        (("--shared",), "leave out --shared"),
        (("--maps", "all"), "leave out --maps"),
        (("--layers", "flat"), "leave out --layers"),
        (("--palette-out", "all"), "leave out --palette-out"),
        (("--save-model",), "leave out --save-model"),
        (("--model", "icon.png"), "leave out --model"),
        (("-k", "auto"), "-k auto chooses colours without alpha, not --alpha quantize; use numbers"),
        (("--dither", "bayer"), "--alpha quantize contradicts --dither bayer"),
        (("--space", "lab"), "--alpha quantize contradicts --space lab"),
        (("--recolor", "soft"), "--alpha quantize contradicts --recolor soft"),
        (("--seed", "1-3"), "--alpha quantize contradicts several seeds; use one seed"),
    ],
    ids=lambda value: value[0] if isinstance(value, tuple) else "",
)
def test_a_contradiction_is_one_line(command, tmp_path, options, message):
    Image.fromarray(ICON).save(tmp_path / "icon.png")
    result = command("icon.png", "--alpha", "quantize", *options)
    assert result.returncode == 2
    assert message in result.stderr
    assert result.stderr.count("\n") == 1


def test_a_png_in_true_colour_because_of_its_alpha_names_the_option_that_indexes_it(command, tmp_path):
    Image.fromarray(icon(160, blur=9.0)).save(tmp_path / "icon.png")
    advice = "--alpha quantize makes it indexed"
    assert advice in command("icon.png", "-k", "64", "-o", "kept").stderr
    assert advice not in command("icon.png", "-k", "64", "--dither", "bayer", "-o", "dithered").stderr
    assert advice not in command("icon.png", "-k", "300", "-o", "many").stderr
    shared = command("icon.png", "-k", "64", "--shared", "-o", "shared")
    assert shared.returncode == 0
    assert "in true colour with alpha" in shared.stderr
    assert advice not in shared.stderr
    result = command("icon.png", "-k", "64", "--alpha", "quantize", "-o", "indexed")
    assert result.stderr == ""
    assert pixels_of(tmp_path / "indexed" / "icon_k64.png")[0] == "P"
