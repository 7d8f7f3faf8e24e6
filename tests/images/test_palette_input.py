"""Palettes as arrays, lists, files and names."""

from pathlib import Path

import numpy as np
import pytest
from helpers import read_sample
from PIL import Image

import gmmquant
from gmmquant import PaletteFileError, ParameterError, Quantizer, quantize, read_palette
from gmmquant.colors.named_palettes import NAMED_PALETTES

CAT = read_sample("cat.jpg")[60:100, 120:180]
COLORS = np.array([[15, 56, 15], [48, 98, 48], [139, 172, 15], [155, 188, 15]], np.uint8)
CODES = ["#0f380f", "#306230", "#8bac0f", "#9bbc0f"]

FORMS = {
    "array": COLORS,
    "integers": COLORS.astype(int),
    "triples": COLORS.tolist(),
    "tuples": list(map(tuple, COLORS.tolist())),
    "rows": list(COLORS),
    "codes": CODES,
    "text": ",".join(CODES),
    "mixed": [CODES[0], (48, 98, 48), "#8bac0f,#9bbc0f"],
    "name": "gameboy",
}


@pytest.mark.parametrize("form", [*FORMS, "file", "path"])
@pytest.mark.parametrize("k", [None, 2])
def test_a_palette_in_any_form_draws_as_its_array_does(tmp_path, form, k):
    (tmp_path / "p.hex").write_text("\n".join(CODES))
    palette = FORMS.get(form, str(tmp_path / "p.hex") if form == "file" else tmp_path / "p.hex")
    expected = Quantizer(CAT).fit_palette(COLORS, k)
    for result in (quantize(CAT, k, palette=palette), Quantizer(CAT).fit_palette(palette, k)):
        np.testing.assert_array_equal(result.image, expected.image)
        np.testing.assert_array_equal(result.palette, expected.palette)
    assert len(expected.palette) == (k or 4)


def test_several_numbers_of_colours_are_chosen_from_a_palette():
    several = quantize(CAT, [2, 3], palette="pico8")
    assert [len(result.palette) for result in several] == [2, 3]


def test_repeated_entries_of_a_palette_stay_in_their_order():
    assert quantize(CAT, palette=["red", "#000", "red", "#fff"]).hex == ["#ff0000", "#000000", "#ff0000", "#ffffff"]


@pytest.mark.parametrize("name", NAMED_PALETTES)
def test_a_name_is_read_as_its_codes(name):
    assert read_palette(name).tolist() == [list(bytes.fromhex(code)) for code in NAMED_PALETTES[name]]


def test_the_palette_of_an_image_is_read(tmp_path):
    image = Image.fromarray(np.array([[0, 1, 2, 3]], np.uint8))
    image.putpalette(COLORS.tobytes())
    image.save(tmp_path / "chart.png")
    np.testing.assert_array_equal(read_palette(tmp_path / "chart.png"), COLORS)


def test_a_file_is_preferred_to_a_name_and_a_path_is_never_a_name(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(FileNotFoundError):
        read_palette(Path("gameboy"))
    Path("gameboy").write_text("#ff0000")
    assert read_palette("gameboy").tolist() == [[255, 0, 0]]


@pytest.mark.parametrize(
    ("palette", "error", "message"),
    [
        (COLORS / 255, ParameterError, r"palette has type float64; use integers.*np\.rint\(255 \* palette\)"),
        (COLORS[:, :2], ParameterError, r"palette has shape \(4, 2\)"),
        (COLORS + 200.0, ParameterError, "palette has type float64"),
        (COLORS.astype(int) + 200, ParameterError, "palette contains 256; use integers from 0 to 255"),
        ([], ParameterError, "contains no colours"),
        ([(1, 2)], ParameterError, r"\[?\(1, 2\)\]? is not a colour; use a hex code"),
        ([(1, 2, 300)], ParameterError, r"\(1, 2, 300\) is not a colour"),
        ((1, 2, 3), ParameterError, "1 is not a colour"),
        (["#ff00ff00"], ParameterError, "'#ff00ff00' is not a colour"),
        ("pico-8", ParameterError, "pico8"),
        (7, ParameterError, "palette is a int; pass an array"),
        (b"gameboy", ParameterError, "palette is a bytes"),
        ("none.gpl", FileNotFoundError, "none"),
    ],
)
def test_what_is_not_a_palette_is_refused_with_a_remedy(palette, error, message):
    for use in (lambda: quantize(CAT, palette=palette), lambda: Quantizer(CAT).fit_palette(palette)):
        with pytest.raises(error, match=message):
            use()


def test_an_error_of_a_palette_names_its_file(tmp_path):
    (tmp_path / "p.gpl").write_text("GIMP Palette\n1 2 300\n")
    with pytest.raises(PaletteFileError, match=r"p\.gpl: line 2: '1 2 300' is not a colour"):
        read_palette(tmp_path / "p.gpl")


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"k": "auto"}, "k = 'auto' chooses colours by a fit, not from a palette"),
        ({"k": 5}, "k = 5 is above the 4 colours of the palette"),
        ({"method": "kmeans"}, "method = 'kmeans' has no effect with a palette"),
        ({"n_seeds": 3}, "n_seeds = 3 has no effect with a palette"),
        ({"keep_colors": [CODES[0]]}, "keep_colors has no effect on a palette without k"),
    ],
)
def test_an_argument_without_effect_on_a_palette_is_refused(options, message):
    with pytest.raises(ParameterError, match=message):
        quantize(CAT, palette="gameboy", **options)
    quantize(CAT, 2, palette="gameboy", keep_colors=[CODES[0]])


@pytest.mark.parametrize("colors", [[(255, 0, 0)], np.array([[255, 0, 0]], np.uint8), ["red"], "red", ("#f00",)])
def test_colours_to_keep_are_taken_in_any_form(colors):
    result = quantize(CAT, 4, keep_colors=colors)
    assert "#ff0000" in result.hex
    assert gmmquant.Settings(keep_colors=colors) == gmmquant.Settings(keep_colors=["#ff0000"])


@pytest.mark.parametrize("colors", [(255, 0, 0), np.array([255, 0, 0]), [(1, 2, 256)], [(0.5, 0, 0)], 7, [None]])
def test_colours_to_keep_that_are_not_colours_are_refused(colors):
    with pytest.raises(ParameterError, match=r"is not a (colour|list of colours)"):
        quantize(CAT, 4, keep_colors=colors)


@pytest.mark.parametrize("options", [{}, {"dither": "bayer"}, {"recolor": "posterior", "space": "oklab"}])
@pytest.mark.parametrize("k", [None, 3])
def test_a_palette_draws_as_the_command_does(command, tmp_path, samples, options, k):
    arguments = [part for name, value in options.items() for part in (f"--{name}", value)]
    arguments += [] if k is None else ["-k", str(k)]
    done = command(samples / "grey.png", "--palette", "gameboy", *arguments, "-o", "out.png", "--report", "none")
    assert done.returncode == 0, done.stderr
    with Image.open(tmp_path / "out.png") as image:
        drawn = np.asarray(image.convert("RGB"))
    np.testing.assert_array_equal(drawn, quantize(samples / "grey.png", k, palette="gameboy", **options).image)


@pytest.mark.parametrize("source", [["#fff", "red"], np.zeros((2, 3), np.uint8), 7])
def test_a_palette_to_read_is_a_text_or_a_path(source):
    with pytest.raises(ParameterError, match=f"source is a {type(source).__name__}; pass a file"):
        read_palette(source)


@pytest.mark.parametrize("value", [300, -1])
def test_a_value_of_a_palette_that_is_no_colour_is_named(value):
    with pytest.raises(ParameterError, match=f"palette contains {value}; use integers from 0 to 255"):
        quantize(CAT, palette=np.array([[0, 0, 0], [0, value, 0]], dtype=np.int64))
