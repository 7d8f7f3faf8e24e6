"""The figures of images as CSV and Markdown: those of the records, and harmless whatever the names contain."""

import csv
import html
import io
import json
import re
import shutil
from html.parser import HTMLParser
from pathlib import Path

import pytest
from helpers import read_sample
from PIL import Image

from gmmquant import quantize
from gmmquant.cli.app import run
from gmmquant.report.csv_tables import CsvTables
from gmmquant.report.entry import Entry, entries_of
from gmmquant.report.markdown import Markdown, escaped
from gmmquant.report.record import fit_record, settings_record
from gmmquant.settings import Settings

CAT = read_sample("cat.jpg")

HOSTILE = [
    "=1+2.png",
    "-cmd|' /C calc'!A0.png",
    "@SUM(A1).png",
    "+1.png",
    "\t=1.png",
    'a",=1,"b.png',
    "<script>alert(1)</script>.png",
    "![x](http://x)|.png",
    "*a*_b_`c`[d](e).png",
    "a\nb\r\x1b[31m\u202egnp.png",
    "a|b\\|c.png",
    "www.x.example http://x.example.png",
    "1. x.png",
    "- x.png",
]


def record_of(path, ks=(2, 5), notes=()):
    fits = [fit_record(fit, {"image": f"{path}_k{fit.k}.png"}, n_bytes=1000 + fit.k) for fit in quantize(CAT, list(ks))]
    image = {"path": path, "bytes": 5000, "width": 451, "height": 300, "frames": 1, "pixels": 135300}
    image |= {"visible_pixels": 135300, "visible_weight": 135300.0, "distinct_colors": 30374, "bit_depth": 8}
    return {"image": image, "settings": {"seed": 3}, "notes": list(notes), "fits": fits}


def tables_of(*entries):
    tables = CsvTables()
    for entry in entries:
        tables.add(entry)
    return [
        list(csv.DictReader(io.StringIO(data.decode(), newline=""), strict=True)) for data in tables.finish().values()
    ]


def test_the_first_seed_and_the_one_that_was_kept_have_columns_of_their_own():
    record = record_of("cat.jpg")
    record["settings"] |= {"seed": 1, "n_seeds": 3}
    figures = [{"mean_log_likelihood": value} for value in (1.0, 3.0, 2.0)]
    record["fits"][0] |= {"best_seed": 2, "seeds": figures}
    first, *_ = tables_of(Entry(record))[0]
    assert (first["seed"], first["n_seeds"], first["best_seed"]) == ("1", "3", "2")
    assert (float(first["mean_log_likelihood_mean"]), float(first["mean_log_likelihood_sd"])) == (2.0, 1.0)


def test_every_figure_of_the_csv_tables_is_that_of_the_record():
    record = record_of("cat.jpg")
    fits, components = tables_of(Entry(record))
    for row, fit in zip(fits, record["fits"], strict=True):
        for name in ("log_likelihood", "mean_log_likelihood", "aic", "bic", "icl", "mse", "psnr"):
            assert float(row[name]) == fit[name]
        assert [row[name] for name in ("k", "n_iter", "converged")] == [str(fit["k"]), str(fit["n_iter"]), "true"]
        assert (row["image"], row["file"]) == ("cat.jpg", fit["files"]["image"])
        assert (row["image_bytes"], row["file_bytes"], row["best_seed"]) == ("5000", str(fit["bytes"]), "3")
        assert float(row["seconds"]) == pytest.approx(sum(fit["seconds"].values()))
        of_fit = [component for component in components if component["k"] == str(fit["k"])]
        columns = fit["components"]
        assert [component["hex"] for component in of_fit] == columns["hex"]
        assert [float(component["weight"]) for component in of_fit] == columns["weight"]
        assert [[float(part[f"mean_{i}"]) for i in (1, 2, 3)] for part in of_fit] == columns["mean"]
        upper = ("11", "12", "13", "22", "23", "33")
        assert [[float(part[f"covariance_{i}"]) for i in upper] for part in of_fit] == columns["covariance"]
        assert [part["component"] for part in of_fit] == [str(i + 1) for i in range(fit["k"])]


def test_the_table_of_fits_has_every_setting_of_a_record():
    settings = {"strength": 0.3, "dither": "bayer", "keep_colors": ["#ff0000", "#00ff00"], "palette_order": "hue"}
    settings |= {"max_iter": 7, "color_depth": "rgb565", "resize": "50%"}
    record = record_of("cat.jpg")
    record["settings"] = settings_record(Settings(**settings), {}, Path("report.json"))
    record["settings"] |= {"reg_covar": 0.25, "keep_metadata": True}
    for fit in record["fits"]:  # as in an older record
        del fit["noise"], fit["reg_covar"]
    record |= {"version": "1.2.3", "digest": {"source": "ab", "settings": "cd"}}
    row = tables_of(Entry(record))[0][0]
    assert record["settings"].keys() <= row.keys()
    shown = settings | {
        "dither": "none",
        "keep_colors": "#ff0000,#00ff00",
        "alpha": "keep",
        "keep_metadata": "true",
        "reg_covar": 0.25,
    }
    shown |= {"version": "1.2.3", "digest_source": "ab", "digest_settings": "cd", "model": "", "palette": ""}
    assert {name: row[name] for name in shown} == {name: str(value) for name, value in shown.items()}
    of_fit = {"noise": 1.5, "reg_covar": 0.125}
    record["fits"][0] |= of_fit
    assert {name: float(tables_of(Entry(record))[0][0][name]) for name in of_fit} == of_fit
    assert [row["tol"] for row in tables_of(Entry(record))[0]] == [str(fit["tol"]) for fit in record["fits"]]


@pytest.mark.parametrize("name", ["model", "palette", "transfer_from"])
def test_other_inputs_in_a_table_are_paths_from_its_folder_or_colours(name):
    record = record_of("cat.jpg")
    for value, shown in [
        ("../a.json", "a.json"),
        ("../../a.json", "../a.json"),
        ("https://x.example/a.json", "https://x.example/a.json"),
        (["#000000", "#ffffff"], "#000000,#ffffff"),
        (None, ""),
    ]:
        record["settings"][name] = value
        assert {row[name] for row in tables_of(Entry(record, "sub"))[0]} == {shown}


def test_images_of_a_shared_mixture_have_their_own_digests_in_the_table():
    record = record_of("cat.jpg")
    record["digest"] = {"sources": "all", "settings": "cd"}
    of_image = {**record, "image": {**record["image"], "digest": "ab"}}
    rows = [*tables_of(Entry(record))[0], *tables_of(Entry(of_image))[0]]
    assert [row["digest_source"] for row in rows] == ["all", "all", "ab", "ab"]


@pytest.mark.parametrize("name", HOSTILE)
def test_no_cell_starts_a_formula_and_every_name_is_read_back(name):
    for table in tables_of(Entry(record_of(name, ks=[2]))):
        for row in table:
            assert row["image"].removeprefix("'") == name
            for cell in row.values():
                assert re.match(r"[=+@\t\r\n|]|-(?![\d.])", cell) is None


class _Tags(HTMLParser):
    def __init__(self):
        super().__init__()
        self.tags = []

    def handle_starttag(self, tag, attrs):
        self.tags.append(tag)


@pytest.mark.parametrize("name", HOSTILE)
def test_markdown_shows_names_and_notes_as_they_are(name):
    page = Markdown()
    page.add(Entry(record_of(name, ks=[2], notes=[name])))
    text = page.finish()["md"].decode("ascii")
    visible = "".join(
        c if c.isprintable() else f"\\x{ord(c):02x}" if ord(c) < 256 else f"\\u{ord(c):04x}" for c in name
    )
    shown = escaped(name)
    assert html.unescape(shown) == visible
    assert f"## {shown}\n" in text
    assert f"\n- {shown}\n" in text
    parser = _Tags()
    parser.feed(text)
    assert parser.tags == []
    for line in text.splitlines():
        if line.startswith("|"):
            assert len(re.findall(r"(?<!\\)\|", line)) in (3, 7)  # one more than columns
    assert re.search(r"[`*\[\]<>|\\](?!u|x)", shown) is None


def test_markdown_has_the_figures_of_the_record():
    record = record_of("cat.jpg")
    page = Markdown()
    page.add(Entry(record))
    text = page.finish()["md"].decode()
    assert "451 x 300, 30,374 distinct colours, 5,000 bytes" in text
    for fit in record["fits"]:
        row = next(line for line in text.splitlines() if line.startswith(f"| {fit['k']} |"))
        cells = [cell.strip() for cell in row.strip("|").split("|")]
        assert re.findall("#[0-9a-f]{6}", cells[1]) == fit["components"]["hex"]
        assert cells[2:5] == [f"{fit['mean_log_likelihood']:.4f}", f"{fit['psnr']:.2f} dB", f"{fit['mse']:.1f}"]
        assert f"{fit['bytes']:,} bytes ({fit['bytes'] / 5000:.0%})" in cells[5]


def test_markdown_says_which_numbers_of_colours_were_chosen_and_how():
    record = record_of("cat.jpg", (2, 3, 5))
    for fit, asked in zip(record["fits"], ("auto", "auto:4", 5), strict=True):
        fit |= {"asked": asked, "auto": asked != 5}
    page = Markdown()
    page.add(Entry(record))
    gallery, table = (text.splitlines() for text in page.finish()["md"].decode().split("\n\n")[3:5])
    named = ["k = 2, auto", "k = 3, auto:4", "k = 5"]
    assert [cell.strip() for cell in gallery[0].strip("|").split("|")] == ["original", *named]
    assert re.findall(r"!\[(k = [^\]]*)\]", gallery[2]) == named
    assert [line.split("|")[1].strip() for line in table[2:]] == ["2, auto", "3, auto:4", "5"]


@pytest.mark.parametrize(
    ("folder", "path", "expected"),
    [
        ("", "cat.jpg", "cat.jpg"),
        ("a/b", "../cat.jpg", "a/cat.jpg"),
        ("a", "/x/cat.jpg", "/x/cat.jpg"),
        ("a", "s3://b/../c", "s3://b/../c"),
        ("a", None, ""),
    ],
)
def test_paths_are_relative_to_the_folder_of_the_report(folder, path, expected):
    assert Entry({}, folder).path_of(path) == expected


# --- the command ------------------------------------------------------------------------------------------------------


def rows(path):
    return list(csv.DictReader(io.StringIO(path.read_text(), newline="")))


@pytest.fixture
def album(tmp_path, samples):
    for name, sample in (("a.png", "flat.png"), ("sub/=b.png", "cutout.png"), ("c.jpg", "cat.jpg")):
        (tmp_path / "album" / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "album" / name).write_bytes((samples / sample).read_bytes())
    return tmp_path / "album"


def test_one_image_has_reports_of_its_name(command, samples, tmp_path):
    result = command(samples / "cat.jpg", "-k", "2", "3", "-o", "out", "--report", "csv,md")
    assert result.returncode == 0, result.stderr
    names = {path.name for path in (tmp_path / "out").iterdir()}
    assert names == {"cat_k2.png", "cat_k3.png", "cat_report.csv", "cat_components.csv", "cat_report.md"}
    assert [row["file"] for row in rows(tmp_path / "out/cat_report.csv")] == ["cat_k2.png", "cat_k3.png"]


def test_several_images_have_one_table_with_paths_from_its_folder(command, album, tmp_path):
    result = command("album", "-r", "-k", "2", "-o", "out", "--report", "all", "-q")
    assert result.returncode == 0, result.stderr
    table = rows(tmp_path / "out/report.csv")
    assert [row["image"] for row in table] == ["../album/a.png", "../album/c.jpg", "../album/sub/=b.png"]
    assert [row["file"] for row in table] == ["a_k2.png", "c_k2.png", "sub/=b_k2.png"]
    for row in table:
        path = tmp_path / "out" / row["file"]
        record = json.loads(path.with_name(path.name.replace("_k2.png", "_report.json")).read_text())
        assert float(row["log_likelihood"]) == record["fits"][0]["log_likelihood"]
    assert (tmp_path / "out/report.md").read_text().count("\n## ") == 3


def test_no_report_is_written_with_none(command, samples, tmp_path):
    assert command(samples / "cat.jpg", "-k", "2", "-o", "out", "--report", "none").returncode == 0
    assert [path.name for path in (tmp_path / "out").iterdir()] == ["cat_k2.png"]


def test_a_table_is_complete_when_a_run_is_continued(command, album, tmp_path):
    options = ["album", "-r", "-k", "2", "-o", "out", "--report", "json,csv"]
    assert command(*options).returncode == 0
    table = (tmp_path / "out/report.csv").read_text()
    (tmp_path / "out/c_k2.png").unlink()
    assert command(*options, "--skip-existing").returncode == 0
    assert (tmp_path / "out/report.csv").read_text() == table
    more = command("album", "-r", "-k", "3", "-o", "out", "--report", "json,csv")
    assert more.returncode == 0, more.stderr
    assert [row["k"] for row in rows(tmp_path / "out/report.csv")] == ["2", "3"] * 3


def test_an_existing_table_is_refused_before_any_work(command, album, tmp_path):
    (tmp_path / "out").mkdir()
    (tmp_path / "out/report.csv").write_text("mine")
    refused = command("album", "-r", "-k", "2", "-o", "out", "--report", "csv")
    assert (refused.returncode, refused.stderr.count("\n")) == (1, 1)
    assert "report.csv exists, and is not a report of gmmquant; use another --output or" in refused.stderr
    assert [path.name for path in (tmp_path / "out").iterdir()] == ["report.csv"]
    assert command("album", "-r", "-k", "2", "-o", "out", "--report", "csv", "--force").returncode == 0
    assert len(rows(tmp_path / "out/report.csv")) == 3


def test_shared_figures_have_a_row_for_each_image_and_one_for_all(command, album, tmp_path):
    result = command("album", "-r", "-k", "2", "--shared", "-o", "out", "--report", "json,csv,md")
    assert result.returncode == 0, result.stderr
    table = rows(tmp_path / "out/shared_report.csv")
    record = json.loads((tmp_path / "out/shared_report.json").read_text())
    assert [row["image"] for row in table] == [image["path"] for image in record["images"]] + ["(all images)"]
    likelihoods = [float(row["log_likelihood"]) for row in table]
    assert sum(likelihoods[:-1]) == pytest.approx(likelihoods[-1])
    components = rows(tmp_path / "out/shared_components.csv")
    (fit,) = record["fits"]
    assert [row["hex"] for row in components] == fit["components"]["hex"] * 4
    of_images = [int(row["pixels"]) for row in components[:-2]]
    assert [sum(of_images[0::2]), sum(of_images[1::2])] == fit["components"]["pixels"]
    assert len(list(entries_of(record))) == 4


def test_an_older_file_in_a_store_does_not_stay_unnoticed_either(capsys, tmp_path):
    Image.effect_noise((40, 40), 60).save(tmp_path / "a.png")
    arguments = [str(tmp_path / "a.png"), "-k", "5", "-o", "memory://older", "--report", "none", "-q"]
    assert run(arguments) == 0
    Image.new("1", (40, 40)).save(tmp_path / "a.png", optimize=True)
    assert run([*arguments, "--force", "--skip-if-larger"]) == 1
    assert "a_k5.png of an earlier run would stay; remove it, or leave out" in capsys.readouterr().err


def test_files_that_are_not_smaller_than_the_image_are_left_out(command, samples, tmp_path):
    result = command(samples / "flat.png", "-k", "2", "3", "-o", "out", "--skip-if-larger")
    assert result.returncode == 0
    source = (samples / "flat.png").stat().st_size
    assert command(samples / "flat.png", "-k", "2", "3", "-o", "all").returncode == 0
    expected = {path.name for path in (tmp_path / "all").glob("*.png") if path.stat().st_size < source}
    found = {path.name for path in (tmp_path / "out").glob("*.png")} if (tmp_path / "out").exists() else set()
    assert found == expected
    Image.new("1", (40, 40)).save(tmp_path / "small.png", optimize=True)
    (tmp_path / "old").mkdir()
    shutil.copy(tmp_path / "all/flat_k2.png", tmp_path / "old/small_k2.png")
    late = command("small.png", "-k", "2", "3", "-o", "old", "--skip-if-larger", "--force", "--report", "none")
    reason = "but small_k2.png of an earlier run would stay; remove it, or leave out --skip-if-larger"
    assert (late.returncode, late.stderr.count(reason)) == (1, 1)
    assert [path.name for path in (tmp_path / "old").iterdir()] == ["small_k2.png"]
    again = command(samples / "cat.jpg", "-k", "256", "7", "-o", "photo", "--skip-if-larger", "--palette-out", "hex")
    command(samples / "cat.jpg", "-k", "256", "-o", "kept", "--report", "none")
    size = f"{(tmp_path / 'kept/cat_k256.png').stat().st_size:,} bytes at k = 256"
    assert f"not written, as the image has 50,163 bytes: {size}" in again.stderr
    names = {path.name for path in (tmp_path / "photo").iterdir()}
    assert names == {"cat_k7.png", "cat_k7_palette.hex", "cat_report.json"}
    record = json.loads((tmp_path / "photo/cat_report.json").read_text())
    assert [fit["k"] for fit in record["fits"]] == record["settings"]["k"] == [7]
    none = command(samples / "cat.jpg", "-k", "256", "-o", "none", "--skip-if-larger")
    assert (none.returncode, none.stdout) == (0, "")
    assert f"skipped, {size}, the image has 50,163" in none.stderr
    assert list((tmp_path / "none").iterdir()) == []


def test_on_standard_output_an_image_takes_the_place_of_a_larger_result(command, samples, tmp_path):
    arguments = ["-k", "16", "-o", "-", "--skip-if-larger"]
    small = command(samples / "coffee.png", *arguments, text=False)
    assert (small.returncode, small.stderr) == (0, b"")
    (tmp_path / "small.png").write_bytes(small.stdout)
    (tmp_path / "again.jpg").write_bytes(small.stdout)
    again = command("again.jpg", *arguments, text=False)
    assert (again.returncode, again.stdout) == (0, small.stdout)
    size = f"{len(small.stdout):,}"
    assert f"again.jpg: skipped, {size} bytes at k = 16, the image has {size} and is passed on".encode() in again.stderr
    other = command(samples / "cat.jpg", "-k", "256", *arguments[2:])
    assert (other.returncode, other.stdout) == (1, "")
    assert "as JPEG it cannot stand for png; leave out --skip-if-larger" in other.stderr
    resized = command("small.png", *arguments, "--resize", "50%")
    assert resized.returncode == 2
    assert "leave out --resize or --skip-if-larger" in resized.stderr
