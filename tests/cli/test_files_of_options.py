"""Files that options would misread: names that begin with a dash, and URLs in place of local files."""

import shlex

import numpy as np
import pytest
from PIL import Image

from gmmquant import GaussianMixture, ParameterError, apply_model, read_palette


@pytest.mark.parametrize("name", ["-dash photo.png", "--photo.png", "-fox.png", "-kitten.png"])
def test_a_file_that_looks_like_an_option_is_answered_with_its_path(command, tmp_path, ramp, name):
    missing = command(name, "-k", "2")
    assert (missing.returncode, "did you mean" in missing.stderr) == (2, False)
    (tmp_path / ramp).rename(tmp_path / name)
    result = command("-k", "2", name)
    hint = f"(did you mean {shlex.quote(f'./{name}')}?)"
    assert result.stderr == f"gmmquant: no such option: {name} {hint}; see gmmquant --help\n"
    assert command(f"./{name}", "-k", "2").returncode == 0
    assert command("-k", "2", "-o", "a", "--", name).returncode == 0


def test_a_value_of_an_option_may_be_a_file_that_begins_with_a_dash(command, tmp_path, ramp):
    for _ in range(2):
        assert command(ramp, "-k", "2", "-f", "-o", "-out.png").returncode == 0
    (tmp_path / "--report=none").touch()
    assert command(ramp, "-k", "2", "--report=none", "-o", "a").returncode == 0


@pytest.mark.parametrize("option", ["--palette", "--keep-colors", "--model", "--transfer-from"])
@pytest.mark.parametrize("url", ["https://user:secret@example.org/list/a-16.hex?key=secret", "S3://bucket/b.png"])
def test_a_url_for_a_file_of_an_option_is_refused_as_it_was_typed(command, ramp, option, url):
    result = command(ramp, option, url)
    shown = url.replace("user:secret", "user").replace("?key=secret", "")
    message = f"gmmquant: {shown}: only input images are read from URLs; download it first\n"
    assert (result.returncode, result.stderr) == (2, message)


def test_a_url_for_a_list_is_refused_as_it_was_typed(command):
    result = command("@https://example.org/list.txt")
    message = "gmmquant: https://example.org/list.txt: only input images are read from URLs; download it first\n"
    assert (result.returncode, result.stderr) == (2, message)


def apply_to_black(model):
    return apply_model(np.zeros((2, 2, 3), dtype=np.uint8), model)


@pytest.mark.parametrize("read", [read_palette, GaussianMixture.load, apply_to_black])
def test_python_names_the_url_that_it_does_not_read(read):
    with pytest.raises(ParameterError, match=r"^https://example\.org/a\.hex: only input images are read from URLs"):
        read("https://example.org/a.hex")


def test_a_file_url_for_a_file_of_an_option_is_that_file(command, tmp_path, ramp):
    (tmp_path / "two.hex").write_text("1a1c2c\nb13e53\n")
    assert command(ramp, "--palette", f"file://{tmp_path}/two.hex").returncode == 0


@pytest.mark.parametrize(
    ("words", "formats"),
    {
        "--sheet client.png": "png, webp, svg, pdf",
        "--sheet=client.png": "png, webp, svg, pdf",
        "--sheet new/client.svg": "png, webp, svg, pdf",
        "--sheet png client.pdf": "png, webp, svg, pdf",
        "--plots fig.svg": "svg, pdf, png",
        "--report json page.html": "json, csv, md, html",
        "--report page.html": "json, csv, md, html",
        "--palette-out brand.gpl": "hex, json, gpl, css, ase, aco, pal, png",
        "--palette-out gpl brand.gpl": "hex, json, gpl, css, ase, aco, pal, png",
        "--maps map.png": "labels, entropy, loglik",
    }.items(),
)
def test_a_name_for_a_file_that_has_its_own_is_refused_before_any_work(command, samples, tmp_path, words, formats):
    option, name = words.replace("=", " ").split()[0], words.replace("=", " ").split()[-1]
    refused = command(samples / "flat.png", "-k", "2", "-o", "out", *words.split())
    assert (refused.returncode, refused.stdout) == (2, "")
    assert refused.stderr == (
        f"gmmquant: {option} {name} is a name; use one of {formats}, and --output and --name for names of files\n"
    )
    assert not (tmp_path / "out").exists()


def test_images_after_an_option_without_a_value_are_images(command, samples, tmp_path):
    (tmp_path / "client.png").write_bytes((samples / "flat.png").read_bytes())
    for number, images in enumerate((["client.png"], ["*.png"], ["./client.png"], ["missing.jpg", "client.png"])):
        result = command("-k", "2", "-o", f"out{number}", "--sheet", *images)
        assert result.returncode == ("missing.jpg" in images), result.stderr
        assert list((tmp_path / f"out{number}").glob("*sheet.png"))


@pytest.mark.parametrize(("option", "values"), [("--layers", ["flat", "exact"]), ("--format", ["png", "webp"])])
def test_a_second_value_is_written_by_the_run_that_the_message_names(command, samples, tmp_path, option, values):
    run = [samples / "flat.png", "-k", "2", "-o", "out", "--report", "json,html"]
    refused = command(*run, option, *values)
    assert refused.returncode == 2
    again = refused.stderr.partition("; run again with ")[2].split()
    for more in ([option, values[0]], again):
        result = command(*run, *more)
        assert result.returncode == 0, result.stderr
    ends = {"exact": "flat_k2_layer01_exact.png", "webp": "flat_k2.webp"}
    assert (tmp_path / "out" / ends[values[1]]).exists()


@pytest.fixture
def chart(tmp_path):
    """A chart of four swatches that is stored as a JPEG, whatever its name says, and one that is stored exactly."""
    image = Image.new("RGB", (64, 16))
    for i, color in enumerate(("#ff0000", "#00c81e", "#1414dc", "#faf0e6")):
        image.paste(color, (16 * i, 0, 16 * (i + 1), 16))
    image.save(tmp_path / "chart.png", "JPEG", quality=90)
    image.save(tmp_path / "exact.png")
    return "chart.png"


def test_a_chart_of_lossy_compression_has_the_same_note_for_each_option(command, ramp, chart, tmp_path):
    n = len(read_palette(tmp_path / chart))
    assert n > 4
    note = (
        f"gmmquant: {chart}: JPEG has changed the swatches, and all {n} colours of it are used; save the chart as PNG "
        "for exact colours\n"
    )
    assert command(ramp, "--palette", chart, "-o", "a").stderr.startswith(note)
    kept = command(ramp, "--keep-colors", chart, "-k", str(n), "-o", "b")
    assert kept.returncode == 0
    assert kept.stderr.startswith(note)
    both = command(ramp, "--palette", chart, "--keep-colors", chart, "-k", str(n), "-o", "c")
    assert both.stderr.count(note) == 1
    exact = command(ramp, "--keep-colors", "exact.png", "-k", "5", "-o", "d")
    assert "swatches" not in exact.stderr
    assert "swatches" not in command(ramp, "--keep-colors", chart, "-k", str(n), "-o", "e", "-q").stderr


def test_more_colors_to_keep_than_k_by_lossy_compression_are_explained(command, ramp, chart, tmp_path):
    n = len(read_palette(tmp_path / chart))
    refused = command(ramp, "--keep-colors", chart, "-k", "4")
    assert (refused.returncode, refused.stderr.count("\n")) == (2, 1)
    start = f"gmmquant: k = 4 is below the {n} colours of --keep-colors; use at least -k {n}; {chart}: JPEG has changed"
    assert refused.stderr.startswith(start)
    assert command(ramp, "--keep-colors", "exact.png", "-k", "4", "-n").returncode == 0
