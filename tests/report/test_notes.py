"""Notes on fits: what the figures show, in one line for all k."""

import json
from dataclasses import replace

import numpy as np
import pytest
from helpers import read_sample
from PIL import Image, ImageDraw

from gmmquant import Quantizer, Settings
from gmmquant.report.notes import fit_notes

PLAIN = Settings(noise=0, shrink=0)


def logo():
    """Return an antialiased logo: a disc, a block and lines on white."""
    image = Image.new("RGB", (480, 360), "white")
    draw = ImageDraw.Draw(image)
    draw.ellipse((40, 40, 240, 240), fill="#e30613")
    draw.rectangle((200, 140, 440, 320), fill="#1d3557")
    for i in range(9):
        draw.line((20, 20 + 10 * i, 460, 60 + 30 * i), fill="#222222", width=5)
    return np.asarray(image.resize((160, 120), Image.Resampling.LANCZOS))


def notes_on(image, ks, settings, *, recoloring_chosen=False):
    quantizer = Quantizer(image, settings)
    fits = [quantizer.fit(k) for k in ks]
    notes = fit_notes(fits, quantizer.histogram, settings, choices={}, recoloring_chosen=recoloring_chosen)
    return fits, notes


def squared_error(image, fit, *, nearest):
    """Return the error of the image as it is drawn, or with the nearest colour of the palette for each pixel."""
    pixels, palette = image.reshape(-1, 3).astype(float), fit.palette.astype(float)
    distances = ((pixels[:, None] - palette) ** 2).sum(-1)
    return (distances.min(1) if nearest else distances[np.arange(len(pixels)), fit.labels.ravel()]).mean()


def test_an_error_several_times_that_of_the_nearest_colours_is_noted_in_one_line_for_all_k():
    image = logo()
    fits, notes = notes_on(image, [2, 6, 8], PLAIN)
    ratios = {fit.k: squared_error(image, fit, nearest=False) / squared_error(image, fit, nearest=True) for fit in fits}
    many = {k: ratio for k, ratio in ratios.items() if ratio >= 2.5}
    assert set(many) == {6, 8}
    (note,) = notes
    low, high = (f"{ratio:.1f}" for ratio in sorted(many.values()))
    assert f"the squared error is {low} to {high} times that of the nearest colours at k = 6, 8;" in note
    assert note.endswith("--recolor nearest draws these, --noise 2 --shrink 0.9 fits a smoother mixture")


@pytest.mark.parametrize(
    "settings",
    [Settings(noise=2, shrink=0.9), Settings(noise=0, shrink=0, recolor="nearest"), Settings(method="kmeans")],
    ids=["smoother", "nearest", "kmeans"],
)
def test_the_remedies_of_the_note_end_it(settings):
    assert notes_on(logo(), [6, 8], settings)[1] == []


def test_an_image_whose_errors_are_too_small_to_see_gets_no_note():
    image = logo() // 16 + 100
    assert (image.max() - image.min()) > 10
    _, notes = notes_on(image.astype(np.uint8), [6], PLAIN)
    assert not [note for note in notes if "squared error" in note]


def test_a_user_who_chose_the_recoloring_gets_no_advice_on_it():
    assert notes_on(logo(), [6], PLAIN, recoloring_chosen=True)[1] == []


def dark():
    return np.clip(np.random.default_rng(0).normal(3, 1, (40, 40, 3)), 0, 9).round().astype(np.uint8)


@pytest.mark.filterwarnings("ignore:components overlap")
def test_colours_that_are_equal_after_rounding_are_counted_in_one_line_for_all_k():
    fits, notes = notes_on(dark(), [8, 32, 64], Settings(noise=2, shrink=0.9))
    (note,) = (note for note in notes if "distinct" in note)
    distinct = {fit.k: len({tuple(color) for color in fit.palette.tolist()}) for fit in fits}
    assert any(n < 0.9 * k for k, n in distinct.items())
    shown = " and ".join(f"{n} of {k} colours at k = {k}" for k, n in distinct.items() if n < 0.9 * k)
    assert note == f"{shown} are distinct after rounding to 8 bits; --noise 0 or --method kmeans keeps more apart"


def test_palettes_with_many_colours_in_no_pixel_are_counted_in_one_line_for_all_k():
    image = read_sample("cat.jpg")
    fits, notes = notes_on(image, [20, 64, 128], Settings(average="mean"))
    in_image = {fit.k: len(np.unique(fit.image.reshape(-1, 3), axis=0)) for fit in fits}
    shown = " and ".join(f"{n} of {k} colours at k = {k}{repeating(k, fits)}" for k, n in in_image.items() if k > 20)
    assert "repeat" in shown
    assert in_image[20] == 20 and in_image[64] < 0.9 * 64
    assert notes == [f"pixels have only {shown}; --recolor nearest uses more"]
    assert notes_on(image, [64], Settings(recolor="nearest"))[1] == []
    assert notes_on(image, [64], Settings(recolor="soft"))[1] == []


def repeating(k, fits):
    """Return the part of a note on the colours of the palette with k entries that repeat others."""
    n = next(k - len(np.unique(fit.palette, axis=0)) for fit in fits if fit.k == k)
    return {0: "", 1: " (1 repeats another)"}.get(n, f" ({n} repeat others)")


def with_colors(fit, n_distinct, n_in_pixels):
    """Return a fit whose palette has so few distinct colours, so few of them in pixels."""
    colors = np.tile(np.minimum(np.arange(fit.k), n_distinct - 1)[:, None], 3).astype(np.uint8)
    counts = np.where(np.arange(fit.k) < n_in_pixels, 10, 0)
    return replace(fit, fit=replace(fit.fit, colors=colors), statistics=replace(fit.statistics, counts=counts))


def test_equal_colours_and_colours_in_no_pixel_are_in_one_note():
    settings = Settings(noise=2)
    quantizer = Quantizer(dark(), settings)
    numbers = {8: (6, 6), 10: (7, 1), 12: (12, 3), 16: (10, 9)}
    fits = [replace(with_colors(quantizer.fit(k), *n), recoloring="posterior") for k, n in numbers.items()]
    notes = fit_notes(fits, quantizer.histogram, settings, choices={}, recoloring_chosen=True)
    equal, unused = [note for note in notes if "colours at k" in note]
    assert equal.startswith(
        "6 of 8 colours at k = 8, 7 of 10 colours at k = 10 (1 in pixels) and 10 of 16 colours at k = 16 are distinct"
    )
    assert unused.startswith("pixels have only 3 of 12 colours at k = 12;")


@pytest.mark.parametrize("space", ["srgb", "oklab"])
@pytest.mark.parametrize("image", [dark(), np.tile(np.arange(60, dtype=np.uint8), (4, 1))], ids=["dark", "ramp"])
def test_the_colours_of_kmeans_are_distinct(image, space):
    fits, notes = notes_on(image, [8, 24, 48], Settings(method="kmeans", space=space))
    assert [len({tuple(color) for color in fit.palette.tolist()}) for fit in fits] == [8, 24, 48]
    assert notes == []


def test_equal_colours_of_a_fixed_palette_are_counted():
    settings = Settings(noise=0, shrink=0)
    quantizer = Quantizer(read_sample("grey.png"), settings)
    fit = quantizer.fit_palette(np.array([[0, 0, 0], [0, 0, 0], [250, 250, 250]], np.uint8))
    (note,) = fit_notes([fit, fit], quantizer.histogram, settings, choices={}, recoloring_chosen=False)
    assert note == "2 of 3 colours of the palette are distinct at k = 3; those that are equal keep their indices"


# --- the command ------------------------------------------------------------------------------------------------------


def test_the_record_and_the_console_have_the_notes(command, tmp_path):
    Image.fromarray(logo()).save(tmp_path / "logo.png")
    options = ("-k", "2", "8", "--noise", "0", "--shrink", "0")
    result = command("logo.png", *options, "-o", "out")
    record = json.loads((tmp_path / "out" / "logo_report.json").read_text())
    (note,) = record["notes"]
    assert f"gmmquant: logo.png: {note}\n" in result.stderr
    assert [fit["distinct_colors"] for fit in record["fits"]] == [2, 8]
    assert command("logo.png", *options, "--recolor", "posterior", "-o", "chosen").stderr == ""


def test_images_that_share_a_mixture_get_one_note_for_all(command, tmp_path):
    (tmp_path / "album").mkdir()
    for name in ("a", "b"):
        Image.fromarray(dark()[:: 1 if name == "a" else -1]).save(tmp_path / "album" / f"{name}.png")
    result = command("album", "-k", "32", "--noise", "2", "--shrink", "0.9", "--shared", "-o", "out")
    record = json.loads((tmp_path / "out" / "shared_report.json").read_text())
    (note,) = (note for note in record["notes"] if "distinct" in note)
    assert "of 32 colours at k = 32 are distinct after rounding to 8 bits" in note
    assert result.stderr.count(note) == 1
    assert f"gmmquant: out: {note}\n" in result.stderr


def test_fits_that_the_limit_of_iterations_ended_are_noted_in_one_line():
    image = read_sample("cat.jpg")[60:100, 120:180]
    settings = Settings(max_iter=1)
    quantizer = Quantizer(image, settings)
    fits = [quantizer.recolor(quantizer.fitter.fit(k)) for k in (5, 9)]
    assert not any(fit.fit.converged for fit in fits)
    notes = fit_notes(fits, quantizer.histogram, settings, choices={}, recoloring_chosen=False)
    assert "--max-iter 1 ended the fit before it converged at k = 5, 9; raise it, or leave it out" in notes
    assert not any("converged" in note for note in notes_on(image, [5, 9], Settings())[1])


def test_the_command_prints_the_note_on_iterations_and_no_warning_of_python(command, samples):
    result = command(samples / "cat.jpg", "-k", "3", "--max-iter", "1", "-o", "out")
    assert result.returncode == 0
    assert "--max-iter 1 ended the fit before it converged at k = 3" in result.stderr + result.stdout
    transferred = command(
        samples / "cat.jpg", "-k", "3", "--max-iter", "1", "--transfer-from", samples / "rocket.jpg", "-o", "t"
    )
    assert transferred.returncode == 0
    assert "Warning" not in result.stderr + transferred.stderr


# --- which k a note is about ------------------------------------------------------------------------------------------


def grey_and_red(ks, **options):
    """Return the notes on a grey ramp drawn in the best of grey and red, for each k."""
    ramp = np.linspace(60, 190, 32 * 32 * 3).reshape(32, 32, 3).astype(np.uint8)
    settings = Settings(**options)
    quantizer = Quantizer(ramp, settings)
    fits = [quantizer.fit_palette(["#808080", "#ff0000", "#00ff00"], k) for k in ks]
    return fit_notes(fits, quantizer.histogram, settings, choices={}, recoloring_chosen=False)


def test_a_note_names_its_k_if_there_are_several():
    note = "one colour of the palette covers nearly all pixels"
    assert sum(text.startswith(f"{note} at k = 2, 3; try ") for text in grey_and_red([2, 3])) == 1
    assert sum(text.startswith(f"{note}; try ") for text in grey_and_red([3])) == 1


def test_kept_colours_in_no_pixel_are_noted_with_their_k():
    pixels = np.random.default_rng(0).integers(90, 110, (30, 40, 3), dtype=np.uint8)
    pixels[:4, :4] = 0, 0, 0
    kept = {"keep_colors": ["#e30613", "#000000"]}
    fits, notes = notes_on(pixels, [3, 4], Settings(**kept))
    red = [fit.palette.tolist().index([0xE3, 0x06, 0x13]) for fit in fits]
    assert [int(fit.statistics.counts[index]) for fit, index in zip(fits, red, strict=True)] == [0, 0]
    assert "#e30613 is in no pixel of k = 3, 4" in notes
    assert not any("in no pixel" in note for note in notes_on(pixels, [3], Settings(keep_colors=["#000000"]))[1])
    assert not any("in no pixel" in note for note in notes_on(pixels, [3], Settings(recolor="soft", **kept))[1])
