"""Options of other programs, and options with one hyphen, are answered with what to use here."""

import re
import shlex

import pytest
from typer.main import get_command

from gmmquant.cli.app import app, run
from gmmquant.cli.other_programs import ANSWERS, answer_to


@pytest.fixture(scope="module")
def options():
    """The names of all options of the command."""
    command = get_command(app)
    return {name for parameter in command.params for name in parameter.opts if name.startswith("-")}


@pytest.fixture
def flat(samples, tmp_path, monkeypatch):
    """An image in the working folder, which has nothing else."""
    (tmp_path / "flat.png").write_bytes((samples / "flat.png").read_bytes())
    monkeypatch.chdir(tmp_path)
    return "flat.png"


def test_every_option_of_another_program_is_answered_in_one_line(flat, tmp_path, capsys):
    for name, answer in ANSWERS.items():
        assert run([flat, f"{name}=3"]) == 2
        assert capsys.readouterr().err == f"gmmquant: no such option: {name}; {answer}; see gmmquant --help\n"
    assert [path.name for path in tmp_path.iterdir()] == [flat]


def test_no_option_is_taken_for_one_of_another_program_and_answers_name_options_that_exist(options):
    assert not options & ANSWERS.keys()
    named = {word for answer in ANSWERS.values() for word in re.findall(r"(?<![\w}-])--?[a-z][a-z-]*", answer)}
    assert named <= options
    assert not any(answer_to(name, options) for name in options)


_OPTION_WITH_A_VALUE = r"(?:use |or |in )(-[a-z-]+ (?:'[^']*'|(?!for|or|and|in)[a-z0-9%-]+))(?=$|,| or)"


def test_values_in_answers_are_values_of_their_options(flat, capsys):
    found = {text for answer in ANSWERS.values() for text in re.findall(_OPTION_WITH_A_VALUE, answer)}
    assert {"--maps labels", "--dither bayer", "--resize 50%", "--name '{stem}-small'", "-k auto"} <= found
    for text in sorted(found):
        name = shlex.split(text)
        code = run([flat, *name, "-n", "-q"])
        assert code == 0, f"{text}: {capsys.readouterr().err}"


@pytest.mark.parametrize(
    ("name", "answer"),
    {
        "--labels": "use --maps labels",
        "--n-segments": "use -k",
        "--posterize": "use --color-depth",
        "--remap": "use --palette",
        "--unique-colors": "use --palette-out",
        "--importance-map": "an alpha channel weighs pixels by (alpha / 255)^2",
        "--use-colormap": "use --palette",
        "+dither": "images are not dithered unless --dither is set",
    }.items(),
)
def test_a_known_name_has_its_answer(name, answer):
    assert ANSWERS[name] == answer


@pytest.mark.parametrize(
    ("arguments", "answer"),
    [
        ("-colors 8 flat.png", "-colors (did you mean --colors?)"),
        ("-force flat.png", "-force (did you mean --force?)"),
        ("flat.png -format webp", "-format (did you mean --format?)"),
        ("flat.png -output=out", "-output (did you mean --output?)"),
        ("-ordered-dither o8x8 flat.png", "-ordered-dither; use --dither bayer"),
        ("-colorspace Lab flat.png", "-colorspace; use --space"),
        ("-s1 flat.png", "-s1; use --tol for fewer iterations, or --method kmeans"),
        ("flat.png -O3", "-O3; use --optimize"),
        ("flat.png --sheet -montage", "-montage; use --sheet"),
    ],
)
def test_an_option_with_one_hyphen_is_not_read_as_letters(flat, tmp_path, capsys, arguments, answer):
    assert run(arguments.split()) == 2
    assert capsys.readouterr().err == f"gmmquant: no such option: {answer}; see gmmquant --help\n"
    assert [path.name for path in tmp_path.iterdir()] == [flat]


@pytest.mark.parametrize("arguments", ["-o -force", "-o +dither", "-fo grid", "-qf -o labels", "-oslides", "-qfn"])
def test_values_and_letters_together_are_no_such_names(flat, arguments, capsys):
    assert run([flat, "-k", "2", "-n", *arguments.split()]) == 0, capsys.readouterr().err


def test_a_file_comes_before_an_option_of_its_name(flat, tmp_path, capsys):
    (tmp_path / flat).rename(tmp_path / "-s1.png")
    assert run(["-s1.png", "-k", "2"]) == 2
    assert "did you mean ./-s1.png?" in capsys.readouterr().err
