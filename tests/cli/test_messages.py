"""Messages: their width, the files they name, and answers to options that would be misunderstood."""

import fcntl
import io
import os
import pty
import re
import shutil
import struct
import termios
from pathlib import Path

import pytest
from cli_outcomes import Screen, done, fit_of, plain, record_of

from gmmquant.cli import console, progress
from gmmquant.cli.console import Console, say
from gmmquant.cli.parser import has_empty, with_values_apart
from gmmquant.cli.progress import bar_for
from gmmquant.cli.reporters import reporter_class
from gmmquant.cli.written import written_files
from gmmquant.report.outcome import Done, Failure


@pytest.fixture
def flat(tmp_path, samples):
    shutil.copy(samples / "flat.png", tmp_path)
    return "flat.png"


@pytest.fixture
def narrow(monkeypatch):
    """Return a function that makes a terminal of a number of columns."""
    for name in ("NO_COLOR", "FORCE_COLOR", "TTY_COMPATIBLE", "TTY_INTERACTIVE"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("TERM", "xterm-256color")

    def of(columns):
        monkeypatch.setenv("COLUMNS", str(columns))
        return Screen()

    return of


# --- the summary ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("seconds", "speed"),
    [
        (2, "1.0 images a second"),
        (1.9, "1.1 images a second"),
        (2.4, "1.2 seconds an image"),
        (79, "39.5 seconds an image"),
    ],
)
def test_the_rate_of_the_summary_is_that_of_the_images_that_are_done(monkeypatch, seconds, speed):
    now = [100.0]
    monkeypatch.setattr(console, "monotonic", lambda: now[0])
    errors = io.StringIO()
    with Console(reporter_class("table")(io.StringIO(), n_images=4), [2], 4, stream=errors) as shown:
        for outcome in (done(), done(), Failure(Path("c.png"), "damaged"), Failure(Path("d.png"), "damaged")):
            shown.show(outcome)
        now[0] += seconds
        shown.finish()
    assert f"2 done, 2 failed in {seconds:.1f} s, {speed}\n" in errors.getvalue().replace(";", "\n")


# --- widths -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("columns", [20, 26, 30, 42, 45, 50, 56, 70, 100])
def test_the_bar_of_a_batch_cuts_the_name_first_and_never_the_count(narrow, monkeypatch, columns):
    now = [100.0]
    monkeypatch.setattr(progress, "monotonic", lambda: now[0])
    screen = narrow(columns)
    bar = bar_for(150, [2], screen)
    now[0] += 4
    bar.show_image("a_name_of_thirty_characters.png", 120, 8)
    shown = plain(screen.getvalue()).split("\r")[-1].rstrip("\n")
    assert len(shown) <= columns
    assert "120/150" in shown
    assert "2.0/s" in shown
    assert ("left" in shown) == (columns >= 42)
    assert ("…irty" in shown) == (columns == 70)
    assert ("a_name_of_thirty" in shown) == (columns == 100)


@pytest.mark.parametrize("columns", [36, 42, 50])
def test_the_bar_of_an_image_is_shorter_where_the_step_would_be_cut(narrow, columns):
    screen = narrow(columns)
    bar = bar_for(1, [2], screen)
    bar.show_fit("flat.png", 2, 0)
    bar.hide()
    lines = [line for line in re.split(r"[\r\n]+", plain(screen.getvalue())) if line.strip()]
    assert all("k = 2  iteration 0" in line and len(line) <= columns for line in lines)


def test_messages_have_the_width_of_their_own_stream(monkeypatch):
    monkeypatch.delenv("COLUMNS", raising=False)
    leader, follower = pty.openpty()
    fcntl.ioctl(follower, termios.TIOCSWINSZ, struct.pack("HHHH", 24, 50, 0, 0))
    with os.fdopen(follower, "w") as terminal:
        say("a message of many words that is longer than the lines of the terminal have columns", stream=terminal)
        lines = os.read(leader, 4096).decode().splitlines()
    os.close(leader)
    assert len(lines) == 2
    assert max(map(len, lines)) <= 50
    assert len(lines[0]) > 42


def test_a_width_that_is_set_overrides_that_of_the_terminal(narrow):
    screen = narrow(60)
    say("a message of many words that is longer than the lines of the terminal have columns", stream=screen)
    assert max(map(len, screen.getvalue().splitlines())) in range(50, 61)


# --- the files that were written --------------------------------------------------------------------------------------


def of_files(record, *names):
    return written_files(record, [Path("out") / name for name in names])


MANY = record_of(
    *(
        fit_of(
            k,
            files={
                "image": f"below/cat_k{k}.png",
                "model": f"below/cat_k{k}.gmm.json",
                "palettes": {end: f"below/cat_k{k}_palette.{end}" for end in ("gpl", "png")},
                "maps": {"labels": {"file": f"below/cat_k{k}_labels.png"}},
                "layers": [f"below/cat_k{k}_layer0{number}.png" for number in (1, 2, 3)],
            },
        )
        for k in (2, 3)
    )
)
FILES = [
    f"cat_k{k}{end}"
    for k in (2, 3)
    for end in (
        *(".png", ".gmm.json", "_palette.gpl", "_palette.png", "_labels.png"),
        *(f"_layer0{number}.png" for number in (1, 2, 3)),
    )
]


def test_many_files_are_counted_by_kind_and_reports_are_named():
    names = [*FILES, "cat_report.json", "cat_report.html", "cat_objective.svg", "cat_criteria.svg"]
    assert of_files(MANY, *names) == (
        "2 images, 2 models, 4 palettes, 2 maps, 6 layers, cat_report.json, cat_report.html, 2 plots in out"
    )


def test_the_only_file_of_a_kind_is_named():
    names = [name for name in FILES if "k2" in name]
    assert of_files(MANY, *names, "cat_report.json") == (
        "cat_k2.png, cat_k2.gmm.json, 2 palettes, cat_k2_labels.png, 3 layers, cat_report.json in out"
    )


def test_few_files_are_named():
    assert of_files(MANY, *FILES[:4]) == "cat_k2.png, cat_k2.gmm.json, cat_k2_palette.gpl, cat_k2_palette.png in out"


def test_the_table_and_the_message_of_a_batch_count_alike():
    outcome = Done(Path("cat.jpg"), MANY, [Path("out") / name for name in FILES], seconds=1.0)
    texts = []
    for n_images in (1, 2):
        results, errors = io.StringIO(), io.StringIO()
        with Console(reporter_class("table")(results, n_images=n_images), [2], n_images, stream=errors) as shown:
            shown.show(outcome)
        texts.append(results.getvalue() + errors.getvalue())
    assert all("wrote 2 images, 2 models, 4 palettes, 2 maps, 6 layers in out, 1.00 s\n" in text for text in texts)


# --- options ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("arguments", "apart"),
    [
        ("a.png -o=out -k=4", "a.png -o out -k=4"),
        ("-qfo=out a.png", "-qfo out a.png"),
        ("-j=2 -o=a=b", "-j 2 -o a=b"),
        ("-o =out --output==out", "-o =out --output==out"),
        ("-- -o=out", "-- -o=out"),
    ],
)
def test_a_short_option_may_have_an_equals_sign(arguments, apart):
    assert with_values_apart(arguments.split()) == apart.split()


def test_an_output_after_an_equals_sign_is_a_folder_without_it(command, tmp_path, flat):
    assert command(flat, "-k=2", "-o=z6", "-j=1").returncode == 0
    assert (tmp_path / "z6" / "flat_k2.png").exists()
    assert not (tmp_path / "=z6").exists()


@pytest.mark.parametrize("argument", ["-o=", "--output=", "--name=", "-qo="])
def test_an_option_without_its_value_is_refused(command, tmp_path, flat, argument):
    assert has_empty([argument])
    assert not has_empty(["--", argument])
    result = command(flat, "-k", "2", argument)
    assert (result.returncode, result.stderr) == (
        2,
        "gmmquant: an argument is empty; use a name or a value, or set its shell variable\n",
    )
    assert sorted(path.name for path in tmp_path.iterdir()) == ["flat.png"]


@pytest.mark.parametrize(
    ("output", "remedy"),
    [("ball.apng", "use ball.png, or ball.apng/"), ("a.qoi", "use png, webp,"), ("a.heic", "use png"), ("a.pgm", "")],
)
def test_an_output_with_the_extension_of_an_image_is_no_folder(command, tmp_path, flat, output, remedy):
    result = command(flat, "-k", "2", "-o", output)
    assert result.returncode == 2
    assert f"--output {output} looks like a file of another format; {remedy}" in result.stderr
    assert not (tmp_path / output).exists()


@pytest.mark.parametrize("option", ["--json", "--json-lines"])
@pytest.mark.parametrize("other", [["--format", "webp"], ["--optimize"], ["--keep-metadata"]])
def test_options_of_an_image_contradict_figures_on_standard_output(command, flat, option, other):
    result = command(flat, "-k", "2", "-o", "-", option, *other, "-q")
    assert (result.returncode, result.stdout) == (2, "")
    assert f"{option} with --output - prints figures, and no image; leave out {other[0]} or {option}" in result.stderr
    assert command(flat, "-k", "2", "-o", "-", option, "-q").returncode == 0


# --- files that are kept ----------------------------------------------------------------------------------------------


def test_optimize_says_that_it_leaves_files_that_are_kept(command, tmp_path, flat, samples):
    note = "gmmquant: --optimize changes no file that is kept; --force writes them again\n"
    run = [flat, "-k", "2", "-o", "out"]
    kept = [*run, "--skip-existing", "--optimize"]
    assert note not in command(*kept).stderr
    assert "changes no file" not in command(*kept).stderr  # it was optimized
    assert "changes no file" not in command(*kept, "-n").stderr
    assert note not in command(*run, "--force").stderr
    assert command(*kept).stderr.count(note) == 1
    assert note in command(*kept, "-n").stderr
    assert note not in command(*run, "--skip-existing").stderr
    assert note in command(*kept, "-k", "3").stderr
    assert note not in command(flat, "-k", "4", "-o", "out", "--optimize", "--skip-existing").stderr
    shutil.copy(samples / "grey.png", tmp_path)
    assert command("grey.png", *kept).stderr.count(note) == 1
    assert note not in command(*run, "--optimize", "--force").stderr


def test_files_without_a_mark_of_optimize_are_kept_with_a_condition(command, flat):
    run = [flat, "-k", "2", "-o", "out", "--format", "webp", "--optimize", "--skip-existing"]
    note = (
        "gmmquant: --optimize changes no file that is kept; if they were made without it, --force writes them again\n"
    )
    assert "changes no file" not in command(*run).stderr
    assert command(*run).stderr.count(note) == 1


def test_one_file_without_optimize_is_enough_for_the_note(command, flat, samples):
    run = ["-k", "2", "-o", "out"]
    assert command(flat, *run, "--optimize").returncode == 0
    assert command(samples / "grey.png", *run).returncode == 0
    again = command(flat, samples / "grey.png", *run, "--optimize", "--skip-existing")
    assert "--optimize changes no file that is kept; --force writes them again\n" in again.stderr


def test_names_without_an_extension_have_no_stray_dot(command, tmp_path, flat, samples):
    shutil.copy(samples / "flat.png", tmp_path / "bare")
    template = ["--name", "{stem}.{ext}_k{k}", "--save-model"]
    assert command(flat, "bare", "-k", "2", "-o", "out", "--shared", *template).returncode == 0
    assert {path.name for path in (tmp_path / "out").iterdir()} == {
        *("flat.png_k2.png", "bare_k2.png", "shared_report.json", "shared_k2.gmm.json")
    }
    assert command("bare", "-k", "2", "-o", "other", "--name", "{ext}.{stem}_k{k}").returncode == 0
    assert (tmp_path / "other" / "bare_k2.png").exists()


# --- files that were written ------------------------------------------------------------------------------------------


@pytest.mark.parametrize("options", [[], ["--shared"], ["--stats"]])
def test_all_files_are_named_on_the_same_stream(command, flat, samples, options):
    images = [flat, samples / "grey.png"] if options else [flat]
    result = command(*images, "-k", "2", "-o", "out", "--sheet", "--report", "json,csv", *options)
    files = [name for line in result.stdout.splitlines() if line.startswith("wrote ") for name in line.split()]
    start = {"--shared": "shared_", "--stats": ""}.get(*options, "flat_") if options else "flat_"
    assert {f"{start}sheet.png", f"{start}report.csv,"} <= set(files)
    assert "sheet.png" not in result.stderr
    several = command(flat, samples / "grey.png", "-k", "3", "-o", "out2", "--sheet")
    assert "gmmquant: wrote sheet.png in out2\n" in several.stderr
    assert "wrote" not in several.stdout
    assert "wrote" not in command(flat, "-k", "3", "-o", "out3", "--sheet", "--json").stdout
    quiet = command(flat, "-k", "3", "-o", "out4", "--sheet", "-q")
    assert (quiet.stdout, quiet.stderr) == ("", "")


def test_the_current_folder_is_not_named(command, flat, samples, tmp_path):
    shutil.copy(samples / "flat.png", tmp_path / "own.png")
    one = command("own.png", "-k", "2", "-o", "poster.png", "--sheet")
    assert re.search(r"^wrote poster\.png, \d+\.\d\d s$", one.stdout, re.MULTILINE)
    assert "wrote poster_sheet.png\n" in one.stdout
    shutil.copy(samples / "grey.png", tmp_path / "grey.png")
    several = command("own.png", "grey.png", "-k", "2", "--report", "csv")
    assert re.search(r"own_k2\.png, \d+\.\d\d s$", several.stderr, re.MULTILINE)
    assert "wrote report.csv, components.csv\n" in several.stderr
    assert re.search(r"of images written \(.* %\)$", several.stderr, re.MULTILINE)


def test_a_palette_has_the_name_of_its_file_once(command, flat, tmp_path):
    for arguments, stem, name in (
        (["-o", "logo 8.png"], "logo 8", "logo 8"),
        (["--name", "brand8", "-o", "a"], "brand8", "brand8"),
        (["-o", "a"], "flat_k2", "flat 2"),
    ):
        result = command(flat, "-k", "2", "--palette-out", "gpl,css", *arguments)
        assert result.returncode == 0
        (palette,) = tmp_path.rglob(f"{stem}_palette.gpl")
        assert f"Name: {name}\n" in palette.read_text()
        assert f"--{name.replace(' ', '-')}-1:" in palette.with_suffix(".css").read_text()


@pytest.mark.parametrize("option", ["--maps", "--layers", "--model", "--palette", "--name", "-k", "-j", "--report"])
@pytest.mark.parametrize("following", [["-o", "out"], ["--noise=2"], ["--force"]])
def test_an_option_takes_no_other_option_for_its_value(command, samples, option, following):
    refused = command(samples / "flat.png", option, *following)
    assert refused.returncode == 2
    assert f"{option} needs a value; {following[0].partition('=')[0]} after it is an option" in refused.stderr


def test_standard_output_and_names_after_a_hyphen_are_values(command, samples, tmp_path):
    assert command(samples / "flat.png", "-k", "2", "-o", "-", text=False).returncode == 0
    assert command(samples / "flat.png", "-k", "2", "-o", "-name", "--report", "none").returncode == 0
