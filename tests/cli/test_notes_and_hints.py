"""Notes, hints and answers of the command: what a user may not expect, each in one line."""

import io
import json
import re
import shutil

import numpy as np
import pytest
from cli_outcomes import Screen, fit_of, record_of
from helpers import read_sample
from PIL import Image

from gmmquant.cli.parser import gather_lists
from gmmquant.cli.reporters.table import render
from gmmquant.cli.text import wrapped
from gmmquant.errors import ParameterError
from gmmquant.settings import MAPS, parse_choices


@pytest.fixture
def photo():
    return read_sample("cat.jpg")[100:260, 150:310]


@pytest.fixture
def blink(tmp_path):
    """An animated GIF of two frames."""
    frames = [Image.new("RGB", (8, 8), color) for color in ("red", "blue")]
    frames[0].save(tmp_path / "blink.gif", save_all=True, append_images=frames[1:], duration=100, loop=0)
    return "blink.gif"


# --- lists ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("arguments", "gathered"),
    [
        ("cat.jpg --report json html", "cat.jpg --report json,html"),
        ("--report json,csv html md cat.jpg", "--report json,csv,html,md cat.jpg"),
        ("--report=json html", "--report=json,html"),
        ("--maps labels entropy -q", "--maps labels,entropy -q"),
        ("--palette black white red cat.jpg", "--palette black,white,red cat.jpg"),
        ("--palette bw #ff0000 #0f0", "--palette bw,#ff0000,#0f0"),
        ("--keep-colors white black", "--keep-colors white,black"),
        ("--palette my.gpl red", "--palette my.gpl red"),
        ("--palette red taken", "--palette red taken"),
        ("--palette 1a1c2c B13E53 fff 123 cat.jpg", "--palette 1a1c2c,B13E53,fff,123 cat.jpg"),
        ("--keep-colors 1a1c2c b13e53", "--keep-colors 1a1c2c,b13e53"),
        ("--palette=1a1c2c,b13e53 f4f4f4", "--palette=1a1c2c,b13e53,f4f4f4"),
        ("--palette 1a1c2c 1a1c2 photo-000", "--palette 1a1c2c 1a1c2 photo-000"),
        ("--palette bw 0123", "--palette bw 0123"),
        ("--report none json", "--report none,json"),
        ("--report json none", "--report json,none"),
        ("--report none cat.jpg", "--report none cat.jpg"),
        ("--report json --report none", "--report json --report none"),
        ("--report xml json", "--report xml json"),
        ("--report", "--report"),
        ("--palette beef 123456", "--palette beef 123456"),
        ("-- --report json html", "-- --report json html"),
        ("--report json -q --report html", "--report json,html -q"),
        ("--maps=labels --maps loglik entropy", "--maps=labels,loglik,entropy"),
        ("--maps all labels", "--maps all,labels"),
        ("--palette bw --palette my.gpl", "--palette bw --palette my.gpl"),
    ],
)
def test_a_list_takes_the_known_words_that_follow(arguments, gathered):
    assert gather_lists(arguments.split()) == gathered.split()


@pytest.mark.parametrize("text", ["all", "all,labels", "labels, all", ["entropy", "all"]])
def test_all_among_the_words_of_a_list_is_all_of_them(text):
    assert parse_choices("maps", text, MAPS) == MAPS
    with pytest.raises(ParameterError, match="'shades' is unknown"):
        parse_choices("maps", "all,shades", MAPS)


def test_a_file_is_not_a_word_of_a_list(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert gather_lists(["--palette", "red", "tan"]) == ["--palette", "red,tan"]
    (tmp_path / "tan").touch()
    assert gather_lists(["--palette", "red", "tan"]) == ["--palette", "red", "tan"]
    (tmp_path / "b13e53").mkdir()
    assert gather_lists(["--palette", "fff", "b13e53", "000"]) == ["--palette", "fff", "b13e53", "000"]


def test_codes_without_a_sign_are_colors_also_as_several_words(command, tmp_path, ramp):
    one = command(ramp, "--palette", "1a1c2c", "b13e53", "-o", "a")
    other = command(ramp, "--palette", "#1a1c2c,#b13e53", "-o", "b")
    assert one.returncode == other.returncode == 0, one.stderr
    assert (tmp_path / "a/ramp_k2.png").read_bytes() == (tmp_path / "b/ramp_k2.png").read_bytes()
    kept = command(ramp, "-k", "4", "--keep-colors", "1a1c2c", "b13e53", "--palette-out", "hex", "-o", "c")
    assert kept.returncode == 0, kept.stderr
    assert {"#1a1c2c", "#b13e53"} <= set((tmp_path / "c/ramp_k4_palette.hex").read_text().split())


def test_reports_and_colors_are_separated_by_commas_or_by_spaces(command, tmp_path, ramp):
    one = command(ramp, "--palette", "black", "white", "--report", "json", "md", "-o", "a")
    other = command(ramp, "--palette", "black,white", "--report", "json,md", "-o", "b")
    assert one.returncode == other.returncode == 0, one.stderr
    assert {path.name for path in (tmp_path / "a").iterdir()} == {path.name for path in (tmp_path / "b").iterdir()}


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["help"], "help is not a file; did you mean --help?"),
        (["version"], "version is not a file; did you mean --version?"),
        (["ramp.png", "--dither", "bayer", "none"], "none is not a file; --dither takes one value"),
        (["ramp.png", "--model", "a.json", "b.json"], "b.json is not an image; --model takes one file"),
        (["ramp.png", "--palette", "a.gpl", "b.GPL"], "b.GPL is not an image; --palette takes one file"),
        (["ramp.png", "--palette", "1", "2", "3"], "1 is not a palette; did you mean -k 1 2 3?"),
        (["ramp.png", "--palette", "2,3"], "2,3 is not a palette; did you mean -k 2,3?"),
        (["ramp.png", "--dither", "ordered"], "--dither ordered is unknown; did you mean bayer?"),
        (["ramp.png", "--dither", "fs"], "--dither fs is unknown; did you mean floyd-steinberg?"),
        (["ramp.png", "--method", "k-means"], "--method k-means is unknown; did you mean kmeans?"),
        (["ramp.png", "--palette", "pico-8"], "'pico-8' is not a colour, a palette or a file; did you mean pico8?"),
        (
            ["ramp.png", "--palette", "#ff00ff80,red"],
            "'#ff00ff80' is not a colour, a palette or a file; a palette has no alpha: use #ff00ff",
        ),
        (["ramp.png", "-k", "2..20"], "k = '2..20' is not a range; did you mean 2-20?"),
        (["ramp.png", "-k", "2:20"], "k = '2:20' is not a range; did you mean 2-20?"),
        (
            ["ramp.png", "-k", "3", "--palette", "gameboy", "--keep-colors", "red"],
            "--keep-colors: #ff0000 is not in the palette; use colours of it, or omit it",
        ),
        (
            ["ramp.png", "--style", "likelihood", "--method", "kmeans"],
            "--method kmeans fits no mixture, and --style likelihood needs one; leave out --style or --method kmeans",
        ),
        (["ramp.png", "--report", "none,json"], "--report none,json contradicts itself; leave out none, or all others"),
        (
            ["ramp.png", "--report", "json", "none"],
            "--report json,none contradicts itself; leave out none, or all others",
        ),
        (
            ["--install-completion", "tcsh"],
            "tcsh is not a shell with completion; use bash, zsh, fish, powershell or pwsh after --install-completion",
        ),
        (["ramp.png", "--plot"], "no such option: --plot (did you mean --plots?); see gmmquant --help"),
        (["ramp.png", "--colrs", "3"], "no such option: --colrs (did you mean --colors?); see gmmquant --help"),
    ],
)
def test_a_slip_is_answered_with_what_was_meant(command, ramp, arguments, message):
    result = command(*arguments)
    assert (result.returncode, result.stderr) == (2, f"gmmquant: {message}\n")


def test_a_file_without_content_is_called_empty(command, tmp_path):
    (tmp_path / "nothing.png").write_bytes(b"")
    assert "nothing.png: not a supported image; the file is empty\n" in command("nothing.png", "-k", "2").stderr


@pytest.mark.parametrize(
    ("output", "words"),
    [
        ("colours.ase", "looks like a palette; use --palette-out ase, or colours.ase/"),
        ("out.pgn", "is of no known format; did you mean out.png, or out.pgn/?"),
        ("clip.mp4", "looks like a file of another format; use png, webp,"),
        ("notes.MD", "looks like a file of another format"),
    ],
)
def test_a_folder_is_not_named_like_a_file(command, tmp_path, ramp, output, words):
    result = command(ramp, "-k", "2", "-o", output)
    assert (result.returncode, result.stderr.count("\n")) == (2, 1)
    assert words in result.stderr
    assert not (tmp_path / output).exists()
    assert command(ramp, "-k", "2", "-o", f"{output}/").returncode == 0


def test_a_folder_may_be_named_after_the_file_of_a_palette(command, tmp_path, ramp):
    (tmp_path / "game.gpl").write_text("GIMP Palette\n0 0 0\n255 255 255\n")
    assert command(ramp, "--palette", "game.gpl", "-o", "out_game.gpl").returncode == 0
    assert (tmp_path / "out_game.gpl" / "ramp_k2.png").exists()


@pytest.mark.parametrize("output", ["v1.2", "trip.2024", "2024.05.01", "a.b"])
def test_a_folder_may_have_a_dot(command, tmp_path, ramp, output):
    assert command(ramp, "-k", "2", "-o", output).returncode == 0
    assert (tmp_path / output / "ramp_k2.png").exists()


def test_an_option_that_is_repeated_has_a_note_unless_it_adds_up(command, ramp):
    twice = command(ramp, "-k", "2", "-o", "a", "--layers", "exact", "--layers", "flat")
    assert "--layers is set more than once; the last value is used\n" in twice.stderr
    lists = command(ramp, "-k", "2", "-k", "3", "-o", "b", "--maps", "labels", "--maps", "entropy", "-f", "-f")
    assert (lists.returncode, lists.stderr) == (0, "")
    kept = command(ramp, "-k", "4", "-o", "c", "--keep-colors", "red", "--keep-colors", "blue")
    assert "more than once" not in kept.stderr


def test_comments_of_a_list_are_no_names(command, tmp_path, ramp):
    (tmp_path / "# one.png").write_bytes((tmp_path / ramp).read_bytes())
    (tmp_path / "list.txt").write_text(f"# images\n{ramp}\n#two.png\n./# one.png\n")
    result = command("@list.txt", "-k", "2", "-o", "out")
    assert result.stderr.count("no such file") == 1
    assert {path.name for path in (tmp_path / "out").glob("*.png")} == {"ramp_k2.png", "# one_k2.png"}


@pytest.mark.parametrize("option", ["--model", "--palette", "--transfer-from", "--keep-colors"])
@pytest.mark.parametrize("content", [None, b"", b"not a palette, a model or an image"])
def test_a_file_of_an_option_that_cannot_be_used_is_wrong_usage(command, tmp_path, ramp, option, content):
    if content is not None:
        (tmp_path / "x.gpl").write_bytes(content)
    result = command(ramp, option, "x.gpl", "-o", "out")
    assert result.returncode == 2
    assert result.stderr.startswith("gmmquant: x.gpl: ")
    assert result.stderr.count("\n") == 1
    assert not (tmp_path / "out").exists()


def test_kept_colors_come_from_names_of_palettes_and_from_files(command, tmp_path, ramp):
    (tmp_path / "two.hex").write_text("#000000\n#ffffff\n")
    for value in ("bw", "two.hex"):
        result = command(ramp, "-k", "4", "--keep-colors", value, "-o", value.partition(".")[0])
        assert result.returncode == 0, result.stderr
        record = json.loads((tmp_path / value.partition(".")[0] / "ramp_report.json").read_text())
        assert record["settings"]["keep_colors"] == ["#000000", "#ffffff"]
        assert {"#000000", "#ffffff"} < set(record["fits"][0]["components"]["hex"])


# --- figures of what is in the file -----------------------------------------------------------------------------------


@pytest.mark.parametrize(("extension", "lossy"), [("png", False), ("webp", False), ("gif", True), ("jpg", True)])
def test_figures_that_are_not_of_the_file_are_marked(command, tmp_path, ramp, extension, lossy):
    result = command(ramp, "-k", "4", "-o", f"out.{extension}", "--report", "json")
    assert result.returncode == 0, result.stderr
    fit = json.loads((tmp_path / "out_report.json").read_text())["fits"][0]
    assert fit.get("lossy", False) is lossy
    assert ("PSNR*" in result.stdout) is lossy
    assert (f"* of the image before it is stored as {extension}\n" in result.stdout) is lossy
    assert ("the PSNR is that of the image before it is stored" in result.stderr) is lossy


def test_a_gif_without_partial_alpha_is_not_lossy(command, tmp_path, ramp):
    Image.open(tmp_path / ramp).convert("RGB").save(tmp_path / "opaque.png")
    assert "PSNR*" not in command("opaque.png", "-k", "4", "-o", "out.gif").stdout


def test_a_shared_table_marks_the_figures_too(command, tmp_path, ramp):
    result = command(ramp, "-k", "3", "--shared", "--format", "jpg", "-o", "out")
    assert "PSNR*" in result.stdout
    assert "* of the image before it is stored as jpg" in result.stdout


def test_a_report_with_a_lossy_fit_takes_one_of_another_format(command, tmp_path, ramp):
    for format_ in ("jpg", "png"):
        assert command(ramp, "-k", "3", "--format", format_, "-o", "out").returncode == 0
    record = json.loads((tmp_path / "out/ramp_report.json").read_text())
    assert sorted(fit.get("lossy", False) for fit in record["fits"]) == [False, True]
    rows = command(ramp, "-k", "3", "--format", "gif", "-o", "out").stdout
    assert re.search(r" PSNR +palette\n", rows), rows
    assert {name: bool(star) for name, star in re.findall(r"ramp_k3\.(\w+) .* dB(\*?) ", rows)} == {
        "jpg": True,
        "png": False,
        "gif": True,
    }


# --- notes ------------------------------------------------------------------------------------------------------------


def test_an_image_from_a_pipe_to_a_pipe_is_answered_with_the_option_for_it(command, tmp_path, ramp):
    data = (tmp_path / ramp).read_bytes()
    settings = {"input": data, "stdin": None, "text": False}
    piped = command("-", "-k", "3", **settings)
    assert piped.returncode == 0
    assert b"gmmquant: standard output has the figures; -o - writes the image there\n" in piped.stderr
    for options in (["-o", "-"], ["-o", "out"], ["--json"], ["-q"]):
        assert b"-o - writes" not in command("-", "-k", "2", *options, **settings).stderr


def test_only_an_animation_that_becomes_an_animated_png_has_a_note_once(command, tmp_path, blink, ramp):
    (tmp_path / "more.gif").write_bytes((tmp_path / blink).read_bytes())
    both = command(blink, "more.gif", "-k", "2", "-o", "both")
    assert both.stderr.count("is an animated PNG; --format gif keeps the format") == 1
    for options in (["--format", "png", "-o", "a"], ["--format", "gif", "-o", "b"], ["-o", "c.png"]):
        assert "animated PNG" not in command(blink, "-k", "2", *options).stderr
    assert "animated PNG" not in command(ramp, "-k", "2", "-o", "d").stderr


def test_a_png_that_is_in_true_colour_has_a_note_once(command, tmp_path, photo):
    y, x = np.mgrid[:160, :160]
    alpha = np.clip(255 * (1.3 - np.hypot(x - 80, y - 80) / 70), 0, 255).astype(np.uint8)
    for name in ("soft.png", "more.png"):
        Image.fromarray(np.dstack([photo, alpha])).save(tmp_path / name)
    Image.fromarray(photo).save(tmp_path / "opaque.png")
    both = command("soft.png", "more.png", "-k", "8", "16", "-o", "both")
    with Image.open(tmp_path / "both" / "soft_k8.png") as written:
        assert written.mode == "RGBA"
    assert both.stderr.count("is in true colour with alpha, as it has more than the 256 pairs") == 1
    many = command("opaque.png", "-k", "257", "--method", "kmeans", "-o", "many")
    assert "opaque_k257.png is in true colour, as a palette of png has at most 256 colours" in many.stderr
    for options in (["-k", "256", "--method", "kmeans"], ["-k", "4", "--recolor", "soft"]):
        assert "true colour" not in command("opaque.png", *options, "-o", "few", "--report", "none").stderr
    assert "true colour" not in command("soft.png", "-k", "8", "-o", "w", "--format", "webp").stderr


@pytest.mark.parametrize(
    ("options", "note"),
    [
        (["--optimize", "--format", "bmp"], "--optimize makes no bmp smaller"),
        (["--optimize", "--format", "gif"], "--optimize has no effect on gif images without animation"),
        (["--style", "poster", "--dither", "bayer"], "--style poster smooths nothing with --dither bayer"),
        (["--style", "poster", "--recolor", "soft"], "--style poster smooths nothing with --recolor soft"),
        (["--optimize", "-o", "still.gif"], "--optimize has no effect on gif images without animation"),
    ],
)
def test_an_option_without_effect_or_at_a_cost_has_a_note(command, ramp, options, note):
    assert note in command(ramp, "-k", "2", "-o", "out", *options).stderr
    assert note not in command(ramp, "-k", "2", "-o", "other", *options, "-q").stderr


@pytest.mark.parametrize(("kind", "shared"), [("none", []), ("md", []), ("none", ["--shared"])])
def test_outputs_that_exist_without_a_record_are_made_again_with_a_note(command, ramp, tmp_path, kind, shared):
    note = "gmmquant: --skip-existing makes existing outputs again to compare them; --report json avoids that\n"
    shutil.copy(tmp_path / ramp, tmp_path / "other.png")
    options = ["-k", "2", "-o", "out", "--skip-existing", *shared, "--report"]
    assert note not in command(ramp, *options, kind).stderr  # there is none
    assert note in command(ramp, "other.png", *options, kind).stderr


def test_a_report_that_is_asked_for_is_no_advice_on_outputs_without_one(command, ramp, tmp_path):
    assert command(ramp, "-k", "2", "-o", "out").returncode == 0
    (tmp_path / "out/ramp_report.json").unlink()
    again = command(ramp, "-k", "2", "-o", "out", "--skip-existing", "--report", "json,html")
    assert again.returncode == 0
    assert "--report json avoids" not in again.stderr


def test_a_run_that_keeps_no_file_is_not_told_that_optimize_changes_none(command, ramp):
    arguments = [ramp, "-o", "out", "--optimize"]
    assert command(ramp, "-o", "out", "-k", "2").returncode == 0
    assert "changes no file" not in command(*arguments, "-k", "2", "--format", "webp", "--force").stderr
    assert "changes no file" not in command(*arguments, "-k", "3").stderr
    assert "--optimize changes no file that is kept" in command(*arguments, "-k", "2", "--skip-existing").stderr


def test_outputs_of_a_report_that_exists_are_not_made_again(command, ramp, tmp_path):
    assert command(ramp, "-k", "2", "-o", "out").returncode == 0
    again = command(ramp, "-k", "2", "-o", "out", "--skip-existing", "--report", "csv")
    assert "makes existing outputs again" not in again.stderr
    assert "skipped" in again.stderr
    shutil.copy(tmp_path / ramp, tmp_path / "other.png")
    assert command("other.png", "-k", "2", "-o", "out", "--report", "none").returncode == 0
    some = command(ramp, "other.png", "-k", "2", "-o", "out", "--skip-existing", "--report", "csv")
    assert "makes existing outputs again" in some.stderr


@pytest.mark.parametrize("option", ["--json", "--json-lines"])
def test_figures_on_standard_output_in_place_of_the_image_are_noted(command, ramp, option):
    result = command(ramp, "-k", "2", "-o", "-", option)
    assert f"no image is written; leave out {option} for the image" in result.stderr
    assert json.loads(result.stdout)
    assert command(ramp, "-k", "2", "-o", "-", option, "-q").stderr == ""


def test_optimizing_an_animated_gif_has_an_effect_and_no_note(command, blink):
    assert "no effect" not in command(blink, "-k", "2", "-o", "out", "--optimize", "--format", "gif").stderr


def test_colours_moved_to_another_image_are_not_told_to_be_fewer(command, ramp):
    result = command(ramp, "-k", "1", "--transfer-from", ramp, "--format", "gif", "-o", "out")
    assert "gif stores at most 256 colours, an image in true colour has more; choose png, webp or tiff" in result.stderr


@pytest.mark.parametrize(
    ("size", "sizes"), [("64", "64x (the width), x64 or 64%"), ("0", "320x240, 320x, x240 or 50%")]
)
def test_a_size_of_one_number_is_answered_with_that_number(command, ramp, size, sizes):
    assert f"--resize {size} is not a size; use {sizes}" in command(ramp, "--resize", size, "-o", "out").stderr


@pytest.mark.parametrize("template", ["{stem}_k{k}.{ext}", "{k}.{ext}"])
def test_a_name_that_ends_with_the_extension_of_the_input_is_refused(command, ramp, template):
    result = command(ramp, "-k", "2", "--name", template, "-o", "out")
    assert result.returncode == 2
    assert "ends with the extension of the input" in result.stderr
    assert command(ramp, "-k", "2", "--name", "{stem}.{ext}_k{k}", "-o", "out").returncode == 0


@pytest.mark.parametrize(
    "options", [["--style", "poster"], ["--optimize"], ["--skip-existing"], ["--skip-existing", "--report", "html"]]
)
def test_options_with_an_effect_have_no_note(command, tmp_path, options):
    Image.new("RGB", (4, 4)).save(tmp_path / "black.png")
    result = command("black.png", "-k", "1", "-o", "out", *options)
    assert (result.returncode, result.stderr) == (0, "")


def test_the_reason_of_a_skipped_image_is_in_its_line(command, tmp_path, ramp):
    def line(*options):
        return json.loads(command(ramp, "-k", "3", "--json-lines", "-q", "-o", "out", *options).stdout)

    assert line()["outcome"] == "done"
    assert line("--skip-existing") | {"reason": "its outputs exist"} == line("--skip-existing")
    (tmp_path / "tiny.png").write_bytes(b"")
    Image.new("RGB", (2, 2), "red").save(tmp_path / ramp, optimize=True)
    failed, skipped = (line("--skip-if-larger", "--force", "-o", folder) for folder in ("out", "empty"))
    assert (failed["outcome"], skipped["outcome"]) == ("failed", "skipped")
    assert "bytes at k = 3, the image has" in skipped["reason"]
    assert "of an earlier run would stay; remove it, or leave out --skip-if-larger" in failed["reason"]


def test_a_fit_that_max_iter_ended_is_named_without_stats(command, samples, tmp_path):
    stopped = command(samples / "cat.jpg", "-k", "3", "--max-iter", "1", "-o", "a")
    assert "k = 3 stopped at --max-iter 1 before it converged" in stopped.stdout
    assert "--max-iter" not in command(samples / "cat.jpg", "-k", "3", "-o", "b").stdout


# --- tables -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("columns", "widest"), [("50", 50), ("10", 40), ("", 118), ("x", 118), ("300", 300)])
def test_tables_in_a_pipe_obey_columns(command, samples, clean_environment, columns, widest):
    environment = {**clean_environment, "COLUMNS": columns}
    shown = command(samples / "grey.png", "-k", "30", "-o", "out", env=environment).stdout
    rows = shown.splitlines()[3:-2]
    assert max(map(len, rows)) <= widest
    assert max(map(len, rows)) > widest - 20 or widest == 300


def test_names_of_files_are_not_broken_on_a_narrow_terminal():
    written = f"wrote {', '.join(f'a_long_name_of_an_image_k{k}.png' for k in (2, 3, 5))} in out, 0.10 s"
    text = render(record_of(), "cat.jpg", Screen(), written=written)
    for k in (2, 3, 5):
        assert f"a_long_name_of_an_image_k{k}.png" in text
    lines = wrapped(written, 40)
    assert all(len(line) <= 40 for line in lines)
    assert " ".join(line.strip() for line in lines) == written
    assert wrapped("wrote " + "x" * 50, 40) == ["wrote", "  " + "x" * 50]


@pytest.mark.parametrize("settings", [{}, {"palette": "my.gpl"}, {"model": "cat.gmm.json"}, {"palette_order": "hue"}])
def test_a_palette_is_listed_in_the_order_of_all_files_also_with_colors_that_no_pixel_has(settings):
    fit = fit_of(4)
    fit["components"]["pixels"] = [0, 5, 0, 7]
    shown = render(record_of(fit, **settings), "cat.jpg", io.StringIO())
    assert " ".join(fit["components"]["hex"]) in shown


def test_the_table_of_a_model_has_the_order_of_its_report_and_its_image(command, tmp_path, samples):
    shutil.copy(samples / "sixteen.png", tmp_path)
    assert command(samples / "cat.jpg", "-k", "3", "--save-model", "-o", ".").returncode == 0
    table = command("sixteen.png", "--model", "cat_k3.gmm.json", "-v").stdout
    components = json.loads((tmp_path / "sixteen_report.json").read_text())["fits"][0]["components"]
    assert 0 in components["pixels"][:2]
    assert " ".join(components["hex"]) in table
    assert re.findall("^(#[0-9a-f]{6}) ", table, re.MULTILINE) == components["hex"]
    with Image.open(tmp_path / "sixteen_k3.png") as image:
        entries = np.array(image.getpalette()).reshape(-1, 3)[:3]
    assert ["#" + bytes(entry.tolist()).hex() for entry in entries] == components["hex"]


def test_one_blank_line_ends_the_table_of_an_image_that_is_skipped(command, ramp):
    run = [ramp, "-k", "2", "-o", "d", "--stats"]
    table = command(*run).stdout
    skipped = command(*run, "--skip-existing").stdout
    assert skipped.endswith("\n\n")
    assert not skipped.endswith("\n\n\n")
    assert skipped.rstrip() == table.rpartition("wrote ")[0].rstrip()


def test_an_output_that_is_named_alone_is_an_input_without_a_note(command, tmp_path, ramp):
    note = "was written by gmmquant; quote a pattern, as in '*.png', to leave such files out"
    assert command(ramp, "-k", "3", "-o", "few.png").returncode == 0
    alone = command("few.png", "-k", "2", "-o", "a")
    assert (alone.returncode, alone.stderr) == (0, "")
    together = command("few.png", ramp, "-k", "2", "-o", "b")
    assert f"few.png {note}" in together.stderr


def test_a_posterior_dither_of_one_color_is_noted(command, tmp_path):
    pixels = np.linspace(60, 190, 32 * 32 * 3).reshape(32, 32, 3).astype(np.uint8)
    Image.fromarray(pixels).save(tmp_path / "grey.png")
    note = "one colour of the palette covers nearly all pixels; try --space oklab, or --dither bayer"
    assert note in command("grey.png", "--palette", "#808080,#ff0000", "--dither", "posterior", "-o", "a").stderr
    assert "nearly all" not in command("grey.png", "--palette", "bw", "--dither", "bayer", "-o", "b").stderr
    assert "nearly all" not in command("grey.png", "--palette", "red,red,#f00", "-o", "c").stderr


def test_statistics_of_an_image_without_a_visible_pixel_are_dashes(command, tmp_path):
    Image.new("RGBA", (6, 4)).save(tmp_path / "clear.png")
    result = command("clear.png", "-k", "3", "--stats", "--report", "json", "html", "--plots", "svg", "-o", "out")
    assert result.returncode == 0, result.stderr
    assert re.search(r"3 \(0\)( +-){7} +[0-9.]+\n", result.stdout), result.stdout
    page = (tmp_path / "out/clear_report.html").read_text()
    for name in ("log_likelihood", "aic", "bic", "icl", "converged"):
        assert f'<td data-figure="{name}">\u2013</td>' in page
    assert not list((tmp_path / "out").glob("*.svg"))
