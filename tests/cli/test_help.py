"""The help: short and long, on pipes and terminals of any width."""

import io
import re
import shlex
import shutil
import subprocess

import pytest
import typer
from cli_outcomes import Screen, plain
from running import in_a_terminal

from gmmquant.cli import help as texts
from gmmquant.cli.app import app
from gmmquant.settings import STYLES


@pytest.fixture(scope="module")
def parameters():
    return typer.main.get_command(app).params


def one_line(text):
    return " ".join(text.split())


def test_the_short_help_has_at_most_25_lines_of_80_columns(command):
    result = command("-h")
    assert (result.returncode, result.stderr) == (0, "")
    lines = result.stdout.splitlines()
    assert lines[0].startswith("Usage: gmmquant")
    assert len(lines) <= 25
    assert max(map(len, lines)) <= 80
    assert "gmmquant --help" in lines[-1]


def test_the_short_help_shows_six_examples_and_ten_options_with_their_help(parameters):
    lines = texts.short_help(parameters).splitlines()
    assert sum(line.startswith(" gmmquant ") for line in lines) == len(texts.EXAMPLES) == 6
    by_name = {name: option for option in texts.options_of(parameters) for name in option.opts}
    options = [line.split(maxsplit=1) for line in lines if line.startswith(" -")]
    assert len(options) == 10
    for name, text in options:
        assert by_name[name].help.rstrip(".") == text


@pytest.mark.parametrize("example", [*texts.EXAMPLES, *texts._FURTHER_EXAMPLES])
def test_every_example_of_the_help_runs(command, tmp_path, samples, example):
    (tmp_path / "photos").mkdir()
    for target in ("cat.jpg", "photos/a.jpg", "7"):
        shutil.copy(samples / "cat.jpg", tmp_path / target)
    name, *arguments = shlex.split(example)
    result = command(*arguments)
    assert name == "gmmquant"
    assert (result.returncode, result.stderr) == (0, "")


def test_the_examples_write_what_they_say(command, tmp_path, samples):
    shutil.copy(samples / "cat.jpg", tmp_path / "cat.jpg")
    for example, text in list(texts.EXAMPLES.items())[:3]:
        assert command(*shlex.split(example)[1:], "--force").returncode == 0
        for name in re.findall(r"\S+\.png", f"{example} {text}"):
            assert (tmp_path / name).exists(), name


def test_an_example_of_a_bound_calls_it_a_mean_difference():
    (text,) = (text for example, text in texts.EXAMPLES.items() if "auto:3" in example)
    assert "mean difference" in text


@pytest.mark.parametrize("columns", [40, 50, 80, 110])
def test_the_long_help_shows_every_option_with_its_value_help_and_default(parameters, columns):
    page = texts.long_help(parameters, columns)
    text = one_line(page)
    for option in texts.options_of(parameters):
        names = ", ".join(texts.names(option))
        assert f"{names} {option.metavar or ''}".rstrip() + f" {option.help}" in text, option.name
        if (default := texts.default_of(option)) is not None:
            assert f"{option.help} Default: {default}." in text, option.name
    for style in STYLES:
        assert f"{style} --" in text
    assert "<" not in page
    assert all(len(line) <= columns for line in page.splitlines())


def test_the_long_help_goes_from_much_used_to_little_used_panels(parameters):
    titles = [title for title, _ in texts.panels(parameters)]
    assert titles[:2] == ["Everyday options", "Colours"]
    assert titles[-2:] == ["Advanced fitting", "Help"]
    page = texts.long_help(parameters)
    positions = [page.index(f"\n{title}\n") for title in titles]
    assert positions == sorted(positions)
    listed = [option for _, options in texts.panels(parameters) for option in options]
    assert sorted(map(id, listed)) == sorted(map(id, texts.options_of(parameters)))


@pytest.mark.parametrize("render", [texts.short_help, texts.long_help])
def test_a_terminal_gets_the_same_text_in_colors(parameters, render):
    colored, uncolored = render(parameters, 80, texts.Ink(has_colors=True)), render(parameters, 80)
    assert "\x1b" not in uncolored
    assert "\x1b[1;36m" in colored
    assert plain(colored) == uncolored


@pytest.mark.parametrize(
    ("stream", "variables", "has_colors"),
    [
        (Screen(), {"TERM": "xterm"}, True),
        (Screen(), {"TERM": "xterm", "NO_COLOR": "1"}, False),
        (Screen(), {"TERM": "dumb"}, False),
        (io.StringIO(), {"TERM": "xterm"}, False),
    ],
)
def test_only_a_terminal_with_colors_gets_them(monkeypatch, stream, variables, has_colors):
    monkeypatch.delenv("NO_COLOR", raising=False)
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    assert texts.columns_and_ink(stream)[1].has_colors is has_colors


@pytest.mark.parametrize("columns", [50, 100])
def test_the_help_has_the_width_of_the_terminal(tmp_path, clean_environment, columns):
    environment = {**clean_environment, "TERM": "xterm-256color"}
    shown, code = in_a_terminal(["-h"], tmp_path, environment, columns)
    assert code == 0
    widest = max(map(len, plain(shown).splitlines()))
    assert columns * 0.75 < widest <= columns


def test_help_that_cannot_be_written_is_a_failure(command):
    with open("/dev/full", "w") as full:
        result = command("--help", capture_output=False, stdout=full, stderr=subprocess.PIPE)
    message = "gmmquant: cannot write to standard output: no space left on device\n"
    assert (result.returncode, result.stderr) == (1, message)


def test_short_flags_of_help_may_be_joined_and_win_over_missing_images(command):
    assert command("-qh").stdout == command("-h").stdout
    assert command("-k", "3", "--help").stdout == command("--help").stdout
