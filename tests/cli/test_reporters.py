"""Reporters, in process: the text of each outcome, for streams in memory and terminals of any width."""

import io
import json
import re
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

import pytest
from cli_outcomes import PLANNED, SHARED, Screen, done, fit_of, plain, record_of

from gmmquant.cli.reporters import REPORTERS, reporter_class
from gmmquant.report.outcome import Failure, Skipped


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


def test_the_headings_fit_in_one_line_at_any_width(monkeypatch):
    for columns in range(50, 181, 10):
        lines = plain(table_at(Look(columns), monkeypatch, fit_of(2), fit_of(7), fit_of(20))).splitlines()
        assert lines[1].split()[0] == "k"
        assert lines[1].split()[-1] == "palette"
        assert set(lines[2].strip()) == {"─"}
        assert [line.split()[0] for line in lines if line.strip() and line.split()[0].isdigit()] == ["2", "7", "20"]
        assert max(map(len, lines)) <= columns
        assert not any(word.endswith("-") for word in lines[1].split())


def test_a_wider_terminal_never_shows_fewer_figures(monkeypatch):
    texts = [plain(table_at(Look(columns), monkeypatch, fit_of(7))) for columns in range(50, 181, 5)]
    headings = [set(text.splitlines()[1].split()) for text in texts]
    assert all(narrow <= wide for narrow, wide in pairwise(headings))
    fit = fit_of(7)
    row = next(line.split() for line in texts[-1].splitlines() if line.split()[:1] == ["7"])
    assert row[1:3] == [f"{fit['mean_log_likelihood']:.4f}", f"{fit['log_likelihood']:,.0f}"]
    assert row[3:6] == [f"{fit[name]:,.0f}" for name in ("aic", "bic", "icl")]
    assert row[6:10] == ["117", "yes", "1234.6", "0.75"]


def test_a_terminal_shows_swatches_and_no_color_shows_codes(monkeypatch):
    colored = table_at(Look(100), monkeypatch, fit_of(3))
    assert re.findall(r"\x1b\[48;2;(\d+;\d+;\d+)m", colored) == ["0;0;0", "1;2;3", "2;4;6"]
    uncolored = table_at(Look(100, (("NO_COLOR", "1"),)), monkeypatch, fit_of(3))
    assert "\x1b[48" not in uncolored
    assert "#000000 #010203 #020406" in plain(uncolored)


@pytest.mark.parametrize("n", [1, 3, 4, 300])
def test_a_file_shows_three_codes_and_the_number_of_the_others(n):
    text, _ = shown("table", [done(record_of(fit_of(n)))])
    row = next(line.split() for line in text.splitlines() if line.split()[:1] == [str(n)])
    codes = fit_of(n)["components"]["hex"]
    assert row[10:] == codes[:3] + ([f"+{n - 3}"] if n > 3 else [])
    assert all(line == line.rstrip() for line in text.splitlines())


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
    second = text.splitlines()[1]
    assert second == line if line is not None else second.split()[0] == "k"


def test_a_chosen_k_and_a_lowered_k_are_marked():
    text, _ = shown(
        "table", [done(record_of(fit_of(5, auto=True, asked="auto"), fit_of(7, k_fitted=3), fit_of(2, converged=None)))]
    )
    rows = [line.split() for line in text.splitlines()]
    assert ["auto", "5"] in [row[:2] for row in rows]
    assert ["7", "(3)"] in [row[:2] for row in rows]
    assert [row[7] for row in rows if row[:1] == ["2"]] == ["-"]


def test_verbose_lists_each_component_and_the_error_of_each_recoloring():
    fit = fit_of(3)
    text, _ = shown("table", [done(record_of(fit))], verbose=True)
    rows = [line.split() for line in text.splitlines()]
    for code in fit["components"]["hex"]:
        assert [code, "25.00", "%", "1,200", "25.5", "25.5", "25.5"] in rows
    assert "squared error, k = 3: posterior 1234.6, nearest 999.9\n" in text


def test_control_characters_in_names_are_escaped():
    text, _ = shown("table", [done(source="a\x1b[31m\nb.png")])
    assert text.startswith("a\\x1b[31m\\x0ab.png  20 x 10")
