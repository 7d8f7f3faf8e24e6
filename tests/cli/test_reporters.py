"""Reporters, in process: the text of each outcome, for streams in memory and terminals of any width."""

import io
import json
import re
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

import colour
import numpy as np
import pytest
import typer
from cli_outcomes import PLANNED, SHARED, Screen, done, fit_of, plain, record_of
from hypothesis import example, given
from hypothesis import strategies as st
from rich.cells import cell_len
from rich.style import Style

from gmmquant.cli.app import app
from gmmquant.cli.reporters import REPORTERS, reporter_class
from gmmquant.cli.reporters.columns import Column, tables, width_of
from gmmquant.cli.reporters.facts import choice_line
from gmmquant.cli.reporters.palette_text import style_of
from gmmquant.cli.text import percent
from gmmquant.report.numbers import file_size
from gmmquant.report.outcome import Done, Failure, Skipped
from gmmquant.settings import DEFAULT_K


@dataclass
class Look:
    """A terminal, as environment variables that rich reads."""

    columns: int
    variables: tuple[tuple[str, str], ...] = ()

    def set(self, monkeypatch):
        for name in ("NO_COLOR", "FORCE_COLOR", "TTY_COMPATIBLE"):
            monkeypatch.delenv(name, raising=False)
        for name, value in (("COLUMNS", str(self.columns)), ("TERM", "xterm-256color"), ("COLORTERM", "truecolor")):
            monkeypatch.setenv(name, value)
        for name, value in self.variables:
            monkeypatch.setenv(name, value)


OUTCOMES = [done(), Skipped(Path("b.png")), Failure(Path("c.png"), "damaged"), SHARED, PLANNED]


def shown(name, outcomes, stream=None, **settings):
    """Return the text of a reporter for outcomes, and which outcomes need a message."""
    reporter = reporter_class(name)(stream or io.StringIO(), **settings)
    texts = [reporter.add(outcome) for outcome in outcomes]
    return "".join(text or "" for text in texts) + reporter.end(), [text is None for text in texts]


def table_at(look, monkeypatch, *fits, **settings):
    look.set(monkeypatch)
    Style.parse.cache_clear()  # a style keeps the codes of the first terminal that it was shown in
    text, _ = shown("table", [done(record_of(*fits, **settings))], Screen())
    return text


@pytest.mark.parametrize("name", REPORTERS)
@pytest.mark.parametrize("shared", [False, True])
def test_every_reporter_accepts_every_outcome_and_writes_nothing(name, shared):
    stream = io.StringIO()
    text, _ = shown(name, OUTCOMES, stream, n_images=3, shared=shared)
    assert isinstance(text, str)
    assert stream.getvalue() == ""


def test_quiet_shows_nothing():
    assert shown("quiet", OUTCOMES) == ("", [False] * len(OUTCOMES))


@pytest.mark.parametrize("n", [0, 1, 3])
def test_the_array_is_valid_json_for_any_number_of_records(n):
    images = [done(record_of(fit_of(2 + i)), f"{i}.png") for i in range(n)]
    text, messages = shown("as_json", [*images, Skipped(Path("b.png")), Failure(Path("c.png"), "damaged")])
    assert json.loads(text) == [image.record for image in images]
    assert not any(messages)


def test_the_array_of_a_shared_run_holds_only_the_shared_report():
    text, _ = shown("as_json", [done(), SHARED], shared=True)
    assert json.loads(text) == [SHARED.record]


def test_each_outcome_is_one_line_of_json_that_names_its_source():
    text, _ = shown("json_lines", OUTCOMES)
    lines = [json.loads(line) for line in text.splitlines()]
    assert [line["source"] for line in lines] == ["cat.jpg", "b.png", "c.png", "album", "cat.jpg"]
    assert [line["outcome"] for line in lines] == ["done", "skipped", "failed", "shared", "planned"]
    assert lines[0]["record"] == OUTCOMES[0].record


@pytest.mark.parametrize(
    ("settings", "is_table"),
    [
        ({"n_images": 1}, True),
        ({"n_images": 2}, False),
        ({"n_images": 2, "verbose": True}, True),
        ({"n_images": 1, "shared": True}, False),
        ({"n_images": 2, "verbose": True, "shared": True}, False),
    ],
)
def test_one_image_has_a_table_and_several_have_messages_unless_verbose(settings, is_table):
    text, (message,) = shown("table", [done()], **settings)
    assert message != is_table
    assert ("150 distinct colours" in text) == is_table
    assert ("wrote cat_k2.png, cat_report.json in out\n" in text) == is_table


def test_images_that_share_a_mixture_have_one_table():
    text, messages = shown("table", [done(), SHARED], n_images=3, shared=True)
    assert messages == [True, False]
    assert text.startswith("album  3 images, 600 pixels, fitted to 2 of them, 150 distinct colours\n")
    assert text.endswith("wrote shared_report.json in out\n\n")


def test_a_dry_run_lists_each_output_with_its_effect():
    assert shown("table", [PLANNED]) == ("cat.jpg\n  out/a.png (new)\n  out/b.png (kept)\n", [False])


def codes_in(text):
    return re.findall("#[0-9a-f]{6}", plain(text))


def lines_of(text):
    return plain(text).splitlines()


@pytest.fixture(autouse=True)
def no_stated_width(monkeypatch):
    monkeypatch.delenv("COLUMNS", raising=False)


@pytest.mark.parametrize("columns", range(50, 201, 10))
@pytest.mark.parametrize("variables", [(), (("NO_COLOR", "1"),)])
def test_every_fit_has_one_row_of_figures_at_any_width(columns, variables, monkeypatch):
    fits = [fit_of(2), fit_of(7), fit_of(20)]
    text = table_at(Look(columns, variables), monkeypatch, *fits)
    lines = lines_of(text)
    assert max(map(len, lines)) <= columns
    heading = next(line.split() for line in lines if line.split()[:1] == ["k"])
    assert heading[:3] == ["k", "log-lik./px", "file"]
    assert not any(word.endswith("-") for word in heading)
    rows = [line.split() for line in lines if line[:2].strip().isdigit()]
    assert [row[:7] for row in rows] == [
        [str(fit["k"]), "4.2500", f"cat_k{fit['k']}.png", "1.23", "kB", "25", "%"] for fit in fits
    ]
    assert [row[7] for row in rows] == ["21.9"] * 3
    # The unit is in the heading where it has no room in the rows.
    assert (heading[3], {row[8:9] == ["dB"] for row in rows}) in (("PSNR", {True}), ("dB", {False}))


@pytest.mark.parametrize(("columns", "headings"), [(46, ["k", "log-lik./px", "file"]), (24, ["k", "log-lik./px"])])
def test_columns_without_room_are_left_out_from_the_right(columns, headings, monkeypatch):
    lines = lines_of(table_at(Look(columns), monkeypatch, fit_of(2), fit_of(20)))
    heading = next(number for number, line in enumerate(lines) if line.split()[:1] == ["k"])
    assert lines[heading].split() == headings
    assert max(map(len, lines[heading : heading + 6])) <= columns


@pytest.mark.parametrize("columns", range(50, 201, 10))
@pytest.mark.parametrize("variables", [(), (("NO_COLOR", "1"),)])
@pytest.mark.parametrize("n", [1, 2, 7, 20, 256, 4096])
def test_a_palette_shows_as_many_codes_as_the_width_holds_and_counts_the_others(columns, variables, n, monkeypatch):
    text = table_at(Look(columns, variables), monkeypatch, fit_of(n))
    codes, shown = fit_of(n)["components"]["hex"], codes_in(text)
    assert shown == codes[: len(shown)]
    (line,) = (line for line in lines_of(text) if "#" in line)
    more = int(line.rpartition("+ ")[2]) if "+" in line else 0
    assert len(shown) + more == n
    if more:
        assert len(line.rstrip()) + 9 > columns  # there is no room for one more


def test_a_wider_terminal_never_shows_fewer_colors_of_a_palette_of_seven(monkeypatch):
    numbers = [len(codes_in(table_at(Look(columns), monkeypatch, fit_of(7)))) for columns in range(50, 201)]
    assert all(narrow <= wide for narrow, wide in pairwise(numbers))
    assert (numbers[0], numbers[-1]) == (4, 7)


@given(st.integers(0, 0xFFFFFF))
@example(0x767676)
@example(0x0000FF)
def test_the_text_on_a_swatch_is_black_or_white_with_the_higher_contrast(number):
    color = f"#{number:06x}"
    ink, _, background = style_of(color).split()
    assert background == color

    def contrast(ink):
        dark, light = sorted(map(relative_luminance, (ink, color)))
        return (light + 0.05) / (dark + 0.05)

    assert contrast(ink) >= max(contrast("#000000"), contrast("#ffffff")) - 0.01
    assert contrast(ink) > 4.5


def relative_luminance(color):
    return colour.RGB_to_XYZ(np.array(list(bytes.fromhex(color[1:]))) / 255, "sRGB", apply_cctf_decoding=True)[1]


def test_a_terminal_shows_swatches_with_their_codes(monkeypatch):
    colored = table_at(Look(100), monkeypatch, fit_of(3))
    backgrounds = re.findall(r"48;2;(\d+;\d+;\d+)m (#[0-9a-f]{6}) \x1b", colored)
    assert backgrounds == [("0;0;0", "#000000"), ("1;2;3", "#010203"), ("2;4;6", "#020406")]


@pytest.mark.parametrize("variables", [(("NO_COLOR", "1"),), (("TERM", "linux"), ("COLORTERM", ""))])
def test_without_colors_or_with_those_of_a_theme_codes_are_text(variables, monkeypatch):
    text = table_at(Look(100, variables), monkeypatch, fit_of(3))
    assert not re.search(r"\x1b\[[0-9;]*[34]8;", text)
    assert "#000000 #010203 #020406" in plain(text)


def test_a_file_has_no_control_codes_and_no_spaces_at_the_ends_of_lines():
    text, _ = shown("table", [done(record_of(fit_of(2), fit_of(300)))])
    assert "\x1b" not in text
    assert all(line == line.rstrip() for line in text.splitlines())
    assert "150 distinct colours" in text.splitlines()[0]


def test_a_stream_that_is_not_unicode_gets_only_its_characters(monkeypatch):
    Look(60).set(monkeypatch)
    stream = Screen()
    stream.encoding = "ascii"
    fit = fit_of(7, files={"image": f"{'n' * 200}_k7.png"})
    text, _ = shown("table", [done(record_of(fit))], stream)
    assert text.isascii()
    assert "...n" in text


@pytest.mark.parametrize("columns", [50, 80, 120])
def test_long_names_of_files_are_shortened_to_their_ends(columns, monkeypatch):
    fits = [fit_of(k, files={"image": f"{'猫' * 70}_k{k}.png"}) for k in (2, 20)]
    lines = table_at(Look(columns), monkeypatch, *fits)
    for k, line in zip((2, 20), (line for line in lines_of(lines) if " kB  25 %" in line), strict=True):
        assert re.search(rf"…猫+_k{k}\.png +1\.23 kB  25 %", line)
        assert cell_len(line) <= columns


def test_a_file_keeps_long_names_whole():
    name = f"{'n' * 200}_k7.png"
    text, _ = shown("table", [done(record_of(fit_of(7, files={"image": name})))])
    assert f"{name}  1.23 kB" in text


def test_sizes_and_per_cent_of_a_shared_mixture_are_sums_over_its_images():
    text, _ = shown("table", [SHARED], n_images=3, shared=True)
    assert "3 images  1.50 kB  12 %  21.9 dB" in text  # 0 + 500 + 1000 of three times 4000 bytes


def test_a_sum_with_an_unknown_size_is_left_out():
    images = [{"bytes": 4000, "fits": [{"bytes": n_bytes}]} for n_bytes in (500, None)]
    text, _ = shown("table", [SHARED._replace(record={**SHARED.record, "images": images})], n_images=2, shared=True)
    assert "3 images  21.9 dB" in text


def test_sizes_that_are_not_known_are_left_out():
    record = record_of(fit_of(2, bytes=None))
    record["image"]["bytes"] = None
    text, _ = shown("table", [done(record)])
    assert "cat_k2.png  21.9 dB" in text
    assert "%" not in text
    assert "B," not in text.splitlines()[0]


@pytest.mark.parametrize(
    ("n_bytes", "text"),
    [
        (0, "0 bytes"),
        (999, "999 bytes"),
        (1000, "1.00 kB"),
        (9_994, "9.99 kB"),
        (9_996, "10.0 kB"),
        (18_650, "18.6 kB"),
        (99_960, "100 kB"),
        (999_499, "999 kB"),
        (999_500, "1.00 MB"),
        (2_500_000_000, "2.50 GB"),
        (10**16, "10,000 TB"),
    ],
)
def test_sizes_have_three_digits(n_bytes, text):
    assert file_size(n_bytes) == text


@pytest.mark.parametrize(
    ("part", "whole", "text"), [(0, 7, "0.0 %"), (99, 1000, "9.9 %"), (996, 10_000, "10 %"), (25, 2, "1,250 %")]
)
def test_shares_are_in_per_cent(part, whole, text):
    assert percent(part, whole) == text


@given(st.lists(st.integers(1, 20), min_size=2, max_size=12), st.integers(1, 120))
def test_columns_are_divided_among_as_few_tables_as_fit_and_none_is_lost(widths, width):
    columns = [Column(f"{number:x}" * n, [""]) for number, n in enumerate(widths)]
    parts = tables(columns, width)
    assert [column for part in parts for column in part[1:]] == columns[1:]
    assert all(part[0] == columns[0] for part in parts)
    assert all(width_of(part) <= width or len(part) == 2 for part in parts)
    for part, following in pairwise(parts):  # one table for two of them would be too wide
        assert width_of([*part, *following[1:]]) > width


@pytest.mark.parametrize("columns", [50, 80, 120])
def test_statistics_are_shown_on_request_in_as_many_tables_as_the_width_needs(columns, monkeypatch):
    Look(columns).set(monkeypatch)
    fits = [fit_of(2), fit_of(20)]
    text, _ = shown("table", [done(record_of(*fits))], Screen(), stats=True)
    plain_text, _ = shown("table", [done(record_of(*fits))], Screen())
    headings = ["log-likelihood", "AIC", "BIC", "ICL", "iterations", "converged", "squared error", "seconds"]
    assert all(heading in text and heading not in plain_text for heading in headings)
    lines = lines_of(text)
    assert max(map(len, lines)) <= columns
    words = " ".join(" ".join(line.split()) for line in lines if line[:2] == "20")
    for figure in ("524,123", "-1,048,000", "-1,047,000", "-1,046,000", "117", "yes", "1234.6", "0.75"):
        assert figure in words


@pytest.mark.parametrize(
    ("max_iter", "n_iter", "reason"),
    [
        (5, 5, "--max-iter 5"),
        (None, 500, "500 iterations, the default of --max-iter,"),
        (None, 12, "the default limit of work, which --max-iter replaces,"),
    ],
)
def test_statistics_name_the_reason_to_stop_before_convergence(max_iter, n_iter, reason):
    fits = [fit_of(k, converged=False, n_iter=n_iter) for k in (2, 3)]
    text, _ = shown("table", [done(record_of(*fits, fit_of(7), max_iter=max_iter))], stats=True)
    assert f"\nk = 2, 3 stopped at {reason} before it converged\n" in text
    converged = [line.split()[6] for line in text.splitlines() if "524,123" in line]
    assert converged == ["no", "no", "yes"]


def test_several_images_have_tables_if_statistics_are_asked_for():
    text, (message,) = shown("table", [done()], n_images=2, stats=True)
    assert not message
    assert "log-likelihood" in text


def hint_in(record, stream=None, **settings):
    text, _ = shown("table", [done(record)], stream or Screen(), **settings)
    hints = re.findall(r"hint: .*", plain(text))
    assert len(hints) <= 1
    return hints[0] if hints else ""


def test_a_terminal_gets_one_hint_where_the_user_set_nothing_that_speaks_against_it(monkeypatch):
    Look(120).set(monkeypatch)
    default = record_of(fit_of(DEFAULT_K))
    assert re.search("-k auto:3 .*mean difference", hint_in(default))
    assert "--style faithful" in hint_in(record_of(fit_of(7)))
    assert "--report json,html" in hint_in(record_of(fit_of(7), fit_of(9)))
    assert hint_in(default, io.StringIO()) == ""
    assert hint_in(default, n_images=2, verbose=True) == ""
    assert hint_in(record_of(fit_of(7, asked="auto:3", auto=True))) == ""
    assert hint_in(record_of(fit_of(7, exact=True))) == ""
    assert hint_in(record_of(fit_of(7), style="poster")) == ""
    assert hint_in(record_of(fit_of(7), model="a.gmm.json")) == ""


def test_a_page_that_was_written_is_not_recommended(monkeypatch):
    Look(120).set(monkeypatch)
    outcome = done(record_of(fit_of(7), fit_of(9)))
    with_page = outcome._replace(written=[*outcome.written, Path("out/cat_report.html")])
    assert "hint" in shown("table", [outcome], Screen())[0]
    assert "hint" not in shown("table", [with_page], Screen())[0]


def test_every_option_of_a_hint_is_one_of_the_command(monkeypatch):
    Look(120).set(monkeypatch)
    hints = " ".join(hint_in(record_of(*map(fit_of, ks))) for ks in ((7,), (3, 7), (DEFAULT_K,)))
    command = typer.main.get_command(app)
    options = re.findall(r"(?<= )--?[a-z]+", hints)
    assert len(options) == 4
    assert set(options) <= {name for each in command.params for name in each.opts}


@pytest.mark.parametrize(
    ("names", "line"),
    [
        (["cat_k2.png", "cat_report.json"], "wrote cat_k2.png, cat_report.json in out, 1.50 s"),
        (["cat_k2.png", "cat_k7.png", "cat_report.json"], "wrote 2 images, cat_report.json in out, 1.50 s"),
        (["cat_k2.png", "cat_k7.png"], "wrote 2 images in out, 1.50 s"),
        (["cat_report.json"], "wrote cat_report.json in out, 1.50 s"),
    ],
)
def test_the_last_line_names_the_files_that_the_table_does_not(names, line):
    outcome = Done(Path("cat.jpg"), record_of(fit_of(2), fit_of(7)), [Path("out") / name for name in names])
    text, _ = shown("table", [outcome._replace(seconds=1.5)])
    assert line in text.splitlines()


@pytest.mark.parametrize(
    ("changes", "settings", "line"),
    [
        ({}, {}, None),
        ({}, {"method": "kmeans"}, "KMeans"),
        ({"dither": "posterior"}, {"dither": "posterior", "strength": 0.5}, "dithered by posterior at 0.5"),
        ({"dither": "blue-noise"}, {"dither": "blue-noise"}, "dithered by blue-noise"),
        ({"recolor": "soft"}, {}, "posterior mean colours"),
        ({"recolor": "nearest"}, {}, "nearest colours"),
        ({"recolor": "nearest", "exact": True}, {}, None),
        ({}, {"model": "../a/cat.gmm.json"}, "model cat.gmm.json"),
    ],
)
def test_the_second_line_names_the_settings_that_are_not_the_defaults(changes, settings, line):
    text, _ = shown("table", [done(record_of(fit_of(2, **changes), **settings))])
    assert text.splitlines()[1] == (line or "")


def test_a_chosen_k_and_a_lowered_k_are_marked():
    text, _ = shown(
        "table", [done(record_of(fit_of(5, auto=True, asked="auto"), fit_of(7, k_fitted=3), fit_of(2, converged=None)))]
    )
    rows = [line.split() for line in text.splitlines()]
    assert ["auto", "5"] in [row[:2] for row in rows]
    assert ["7", "(3)"] in [row[:2] for row in rows]


def test_verbose_lists_each_component_and_the_error_of_each_recoloring():
    fit = fit_of(3)
    text, _ = shown("table", [done(record_of(fit))], verbose=True)
    rows = [line.split() for line in text.splitlines()]
    for code in fit["components"]["hex"]:
        assert [code, "25.00", "%", "1,200", "25.5", "25.5", "25.5"] in rows
    assert "squared error: posterior 1234.6, nearest 999.9\n" in text


def test_control_characters_in_names_are_escaped():
    text, _ = shown("table", [done(source="a\x1b[31m\nb.png")])
    assert text.startswith("a\\x1b[31m\\x0ab.png  20 x 10")


@pytest.mark.parametrize(
    ("settings", "changes", "is_noted"),
    [
        ({"search": "split-merge"}, {}, True),
        ({"search": "split-merge"}, {"exact": True}, False),
        ({"search": "split-merge"}, {"method": "kmeans"}, False),
        ({"search": "split-merge", "palette": "two.hex"}, {}, False),
        ({"search": "none"}, {}, False),
    ],
)
def test_iterations_after_a_search_have_a_note(settings, changes, is_noted):
    text, _ = shown("table", [done(record_of(fit_of(2, **changes), **settings))], stats=True)
    assert ("iterations: those after the search by splits and merges, which is not counted" in text) == is_noted


def test_a_difference_that_is_a_rounding_error_is_shown_as_0():
    choice = {"asked": "auto:2", "criterion": "oklab", "k": 3, "bound": 2.0, "reached": 1.96e-16}
    assert choice_line(choice) == "auto:2: k = 3, the fewest colours; mean OKLab difference 0"
    assert choice_line({**choice, "reached": 1.23456}).endswith(" 1.23")


def test_the_line_on_a_choice_without_gain_names_the_colours_that_are_kept():
    path = [{"k": 3, "icl": 1.0}, {"k": 4, "icl": 2.0}]
    choice = {"asked": "auto", "criterion": "icl", "k": 4, "path": path, "kept_gain": 0.75}
    found = {"lowest_icl": 3, "lowest_bic": 4, "runner_up": 3}
    start = "auto: k = 4, the fewest above 3, as the ICL of coarse cells is lowest at 3 colours; runner-up 3;"
    assert choice_line({**choice, **found}).startswith(start)
    gain = "k = 4, the fewest colours that keep 75% of the gain in the ICL of coarse cells over 3 colours"
    assert gain in choice_line({**choice, **found, "lowest_icl": 4})
