"""Styles: each is a set of other settings, which may still be set."""

import json
from dataclasses import asdict

import numpy as np
import pytest
from helpers import SAMPLE_IMAGES, antialiased_logo, read_sample
from PIL import Image

from gmmquant import ParameterError, quantize
from gmmquant.settings import STYLES, Settings

# What the documentation says that each style stands for.
OPTIONS = {
    "mixture": {"noise": 2.0, "shrink": 0.9, "average": "median"},
    "poster": {"noise": 2.0, "shrink": 0.9, "average": "median", "smooth": 2.0},
    "faithful": {"method": "kmeans", "space": "oklab", "dither": "floyd-steinberg", "average": "mode"},
    "likelihood": {"covariance": "full", "noise": 0.0, "shrink": 0.0, "search": "split-merge", "average": "mean"},
}


def as_options(values):
    return [part for name, value in values.items() for part in (f"--{name}", str(value))]


@pytest.mark.parametrize("style", OPTIONS)
def test_a_style_is_the_same_as_its_options(command, tmp_path, samples, style):
    named = command(samples / "cat.jpg", "-k", "5", "--style", style, "-o", "named")
    options = command(samples / "cat.jpg", "-k", "5", *as_options(OPTIONS[style]), "-o", "options")
    assert named.returncode == options.returncode == 0, named.stderr + options.stderr
    images = [(tmp_path / folder / "cat_k5.png").read_bytes() for folder in ("named", "options")]
    assert images[0] == images[1]
    settings = json.loads((tmp_path / "named" / "cat_report.json").read_text())["settings"]
    assert settings["style"] == style
    assert settings.items() >= OPTIONS[style].items()


@pytest.mark.parametrize("style", STYLES)
def test_every_setting_that_a_style_decides_may_be_set(style):
    others = {
        "method": "gmm",
        "covariance": "full",
        "noise": 1.5,
        "shrink": 0.25,
        "space": "lab",
        "average": "mode",
        "dither": "blue-noise",
        "smooth": 0.0,
    }
    assert asdict(Settings(style=style, **others)).items() >= others.items()


def test_a_textbook_fit_is_drawn_in_its_means():
    image = antialiased_logo()
    explicit = quantize(image, 5, covariance="full", noise=0, shrink=0)
    likelihood = quantize(image, 5, style="likelihood", search="none")
    np.testing.assert_array_equal(explicit.image, likelihood.image)
    assert explicit.log_likelihood == likelihood.log_likelihood
    np.testing.assert_array_equal(likelihood.palette, np.rint(255 * likelihood.means))


def test_what_a_style_decides_yields_to_what_is_set_and_contradicts_it():
    assert Settings(style="faithful", recolor="posterior").dither == "none"
    assert Settings(style="faithful", smooth=1.0).dither == "none"
    assert Settings(style="poster", dither="blue-noise").smooth == Settings(style="poster", recolor="soft").smooth == 0
    assert Settings(covariance="tied").shrink == 0
    assert Settings(style="faithful", method="gmm", noise=0, shrink=0).average == "mean"
    assert Settings(style="faithful").average == "mode"
    kmeans = Settings(method="kmeans")
    assert (kmeans.noise, kmeans.shrink, kmeans.average) == (0, 0, "mean")


@pytest.mark.parametrize("dither", ["floyd-steinberg", "blue-noise", "bayer"])
def test_dithering_takes_the_colours_of_the_faithful_style_unless_a_mixture_is_asked_for(dither):
    faithful = asdict(Settings(style="faithful", dither=dither))
    assert asdict(Settings(dither=dither)) == faithful | {"style": "mixture"}
    assert Settings(method="kmeans", dither=dither).space == "oklab"
    assert Settings(dither=dither, space="lab").method == "kmeans"
    for mixture in ({"method": "gmm"}, {"noise": 1.0}, {"covariance": "tied"}, {"shrink": 0.5}):
        settings = Settings(dither=dither, **mixture)
        assert (settings.method, settings.space) == ("gmm", "srgb")
    assert Settings(dither="posterior").method == "gmm"
    likelihood = Settings(style="likelihood", dither=dither)
    assert (likelihood.method, likelihood.space, likelihood.search) == ("gmm", "srgb", "split-merge")


def test_the_highest_likelihood_is_that_of_its_style():
    cat = read_sample("cat.jpg")
    assert quantize(cat, 7, style="likelihood").log_likelihood > quantize(cat, 7).log_likelihood


def test_an_unknown_style_is_refused_with_the_names_of_all(command):
    result = command("cat.jpg", "--style", "nice")
    assert result.returncode == 2
    assert "mixture, poster, faithful, likelihood" in result.stderr
    with pytest.raises(ParameterError, match="style = 'nice'"):
        Settings(style="nice")


@pytest.mark.parametrize("style", STYLES)
def test_help_shows_what_each_style_stands_for(command, clean_environment, style):
    text = " ".join(command("--help", env={**clean_environment, "COLUMNS": "200"}).stdout.split())
    for name, value in STYLES[style].items():
        typed = f"{value:g}" if isinstance(value, float) else value
        assert f"--{name} {typed}" in text


def test_a_saved_model_redraws_the_image_in_its_medians(command, tmp_path):
    Image.fromarray(antialiased_logo()).save(tmp_path / "logo.png")
    assert command("logo.png", "-k", "4", "--save-model", "-o", "fit").returncode == 0
    assert command("logo.png", "--model", "fit/logo_k4.gmm.json", "-o", "again").returncode == 0
    assert (tmp_path / "again" / "logo_k4.png").read_bytes() == (tmp_path / "fit" / "logo_k4.png").read_bytes()


@pytest.mark.parametrize("option", [("--noise", "1"), ("--init", "random")])
def test_an_option_that_kmeans_refuses_names_the_style_that_chose_kmeans(command, option):
    by_style = command("cat.jpg", "--style", "faithful", *option)
    assert by_style.returncode == 2
    assert f"leave out {option[0]} or --style faithful" in by_style.stderr
    assert "--method" not in by_style.stderr
    by_method = command("cat.jpg", "--style", "faithful", "--method", "kmeans", *option)
    assert f"leave out {option[0]} or --method kmeans" in by_method.stderr


def test_a_transfer_takes_the_mixtures_of_a_style_but_not_its_drawing(command, tmp_path, samples):
    likelihood = {name: value for name, value in OPTIONS["likelihood"].items() if name != "average"}
    transfer = (samples / "cat.jpg", "--transfer-from", samples / "rocket.jpg", "-k", "3")
    for folder, options in (("style", ("--style", "likelihood")), ("options", as_options(likelihood))):
        result = command(*transfer, *options, "-o", folder)
        assert result.returncode == 0, result.stderr
    images = [(tmp_path / folder / "cat_k3.png").read_bytes() for folder in ("style", "options")]
    assert images[0] == images[1]
    for style in ("poster", "faithful"):
        result = command(*transfer, "--style", style)
        assert result.returncode == 2
        assert f"leave out --style {style} or --transfer-from" in result.stderr


@pytest.mark.parametrize("style", STYLES)
def test_the_page_of_the_command_has_the_options_of_each_style(style):
    page = (SAMPLE_IMAGES.parent / "docs" / "cli.md").read_text()
    changed = STYLES[style] or {name: OPTIONS[style][name] for name in ("noise", "shrink", "average")}
    options = " ".join(
        f"--{name} {value:g}" if isinstance(value, float) else f"--{name} {value}" for name, value in changed.items()
    )
    assert f"| `{style}` | `{options}` |" in page
