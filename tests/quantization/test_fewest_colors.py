"""`-k auto:DE`: the fewest colours with a mean OKLab difference of at most DE, compared with the plain definition."""

import json

import numpy as np
import pytest
from PIL import Image, ImageDraw

from gmmquant import ColorHistogram, ParameterError, Quantizer, Settings, quantize
from gmmquant.colors.color_sum import ColorCells, add_up
from gmmquant.parsing import in_names, largest_difference, parse_k
from gmmquant.quantization.fewest_colors import least, mean_difference
from gmmquant.quantization.fitter import Fitter

# From linear sRGB to the cone responses, and from their cube roots to OKLab, as published in Bjoern Ottosson's
# "A perceptual color space for image processing" (2020).
TO_LMS = np.array(
    [
        [0.4122214708, 0.5363325363, 0.0514459929],
        [0.2119034982, 0.6806995451, 0.1073969566],
        [0.0883024619, 0.2817188376, 0.6299787005],
    ]
)
TO_LAB = np.array(
    [
        [0.2104542553, 0.7936177850, -0.0040720468],
        [1.9779984951, -2.4285922050, 0.4505937099],
        [0.0259040371, 0.7827717662, -0.8086757660],
    ]
)


def oklab(values):
    """Return OKLab of sRGB values in [0, 1], (..., 3)."""
    linear = np.where(values <= 0.04045, values / 12.92, ((values + 0.055) / 1.055) ** 2.4)
    return np.cbrt(linear @ TO_LMS.T) @ TO_LAB.T


def difference(image, recolored):
    """Return the mean over the visible pixels of the distance in OKLab, in hundredths."""
    largest = np.iinfo(image.dtype).max
    distances = np.linalg.norm(oklab(image[..., :3] / largest) - oklab(recolored[..., :3] / 255), axis=-1)
    visible = image[..., 3] > 0 if image.shape[-1] == 4 else np.ones(image.shape[:2], bool)
    return 100 * distances[visible].mean()


def photograph(height=40, width=60, seed=0):
    """Return a smooth picture of several hues with grain."""
    rng = np.random.default_rng(seed)
    y, x = np.mgrid[:height, :width]
    waves = [np.sin(x / a + c) + np.cos(y / b - c) for a, b, c in ((9, 7, 0), (13, 5, 1), (6, 11, 2))]
    return np.clip(np.stack(waves, -1) * 45 + 128 + rng.normal(0, 6, (height, width, 3)), 0, 255).astype(np.uint8)


def street(scale=3):
    """Return a street of red, orange and white houses under a grey sky, antialiased."""
    image = Image.new("RGB", (240 * scale, 120 * scale), "#c9d3dc")
    draw = ImageDraw.Draw(image)
    draw.rectangle((0, 100 * scale, 240 * scale, 120 * scale), fill="#5d5f63")
    for i, wall in enumerate(["#b5342c", "#e08a2e", "#f2efe6", "#b5342c", "#f2efe6", "#e08a2e"]):
        left, top = 40 * i * scale, (36 + 9 * (i % 3)) * scale
        draw.rectangle((left, top, left + 39 * scale, 100 * scale), fill=wall)
        draw.polygon([(left, top), (left + 20 * scale, top - 16 * scale), (left + 39 * scale, top)], fill="#4a3b36")
        for x in (7, 24):
            for y in range(6, 40, 14):
                box = left + x * scale, top + y * scale, left + (x + 8) * scale, top + (y + 8) * scale
                draw.rectangle(box, fill="#37474f")
    grain = np.random.default_rng(0).normal(0, 3, (120, 240, 3))
    return np.clip(np.asarray(image.resize((240, 120), Image.Resampling.LANCZOS)) + grain, 0, 255).astype(np.uint8)


SETTINGS = {
    "plain mixture": Settings(noise=0, shrink=0),
    "shrunken mixture": Settings(noise=2, shrink=0.9),
    "nearest in OKLab": Settings(space="oklab", recolor="nearest", noise=0, shrink=0),
    "soft": Settings(recolor="soft", noise=2, shrink=0.9),
    "kmeans": Settings(method="kmeans"),
    "dithered kmeans in Lab": Settings(method="kmeans", dither="floyd-steinberg", space="lab"),
}


@pytest.mark.parametrize("settings", SETTINGS.values(), ids=SETTINGS)
def test_the_bound_holds_at_the_chosen_k_and_not_with_one_colour_less(settings):
    image = photograph()
    plain = Settings(**{**vars(settings), "dither": "none", "recolor": settings.recoloring})
    choice = Quantizer(image, settings).choose_k("auto:4")
    assert choice.difference <= choice.bound == 4
    assert 1 < choice.k < 256
    fewer, chosen = (difference(image, Quantizer(image, plain).fit(choice.k - less).image) for less in (1, 0))
    assert choice.difference == pytest.approx(chosen, rel=1e-4)
    assert chosen <= 4 < fewer
    assert {tried.k: tried.difference for tried in choice.path if tried.full}[choice.k - 1] == pytest.approx(
        fewer, 1e-4
    )


def test_a_smaller_bound_takes_more_colours_and_the_image_is_that_of_their_number():
    image = photograph()
    ks = [Quantizer(image, method="kmeans").choose_k(f"auto:{bound}").k for bound in (12, 8, 5)]
    assert ks == sorted(set(ks))
    chosen, numbered = (quantize(image, k, method="kmeans") for k in ("auto:8", ks[1]))
    np.testing.assert_array_equal(chosen.image, numbered.image)
    several = quantize(image, ["auto:8", 3, "auto"], method="kmeans", noise=0, shrink=0)
    assert [result.k for result in several][:2] == [ks[1], 3]


def test_16_bits_and_transparent_pixels_count_as_they_are_seen():
    image = np.dstack([photograph().astype(np.uint16) * 257 + 90, np.full((40, 60), 65535, np.uint16)])
    image[:10, :, :] = 0
    for settings in (Settings(method="kmeans"), Settings(noise=0, shrink=0, recolor="soft")):
        quantizer = Quantizer(image, settings)
        fit = quantizer.fit(5)
        assert mean_difference(quantizer.fitter, fit.fit) == pytest.approx(difference(image, fit.image), rel=1e-4)


def test_a_sum_of_too_many_colours_is_compared_by_its_cells():
    image = np.random.default_rng(0).integers(0, 65536, (60, 60, 3)).astype(np.uint16)
    cells = add_up([ColorHistogram.from_pixels(image.reshape(-1, 3))], limit=2000)
    assert isinstance(cells, ColorCells)
    fitter = Fitter(cells, Settings(method="kmeans"))
    fit = fitter.fit(6)
    values = cells.points().positions()
    nearest = ((values[:, None] - fit.palette / 255) ** 2).sum(-1).argmin(1)
    distances = np.linalg.norm(oklab(values) - oklab(fit.palette[nearest] / 255), axis=1)
    expected = 100 * np.average(distances, weights=cells.tree.counts)
    assert mean_difference(fitter, fit) == pytest.approx(expected, rel=1e-4)
    assert fitter.choose_k("auto:15").difference <= 15


def test_few_colours_are_kept_exactly_for_any_bound():
    image = np.arange(5, dtype=np.uint8).reshape(1, 5) * 50
    choice = Quantizer(image).choose_k("auto:0.001")
    assert (choice.k, choice.difference) == (5, 0)
    assert Quantizer(image[:, :1]).choose_k("auto:2").k == 1


def test_the_most_colours_are_taken_if_the_bound_cannot_be_reached():
    noise = np.random.default_rng(0).integers(0, 256, (20, 20, 3)).astype(np.uint8)
    choice = Quantizer(noise, method="kmeans").choose_k("auto:0.9")
    assert choice.k == 256
    assert choice.difference == pytest.approx(difference(noise, quantize(noise, 256, method="kmeans").image), rel=1e-4)
    assert choice.difference > 0.9


@pytest.mark.parametrize("start", [1, 5, 37, 256])
@pytest.mark.parametrize("threshold", [1, 2, 6, 36, 37, 38, 200, 256, 300])
def test_the_search_finds_the_threshold_from_any_start_in_few_steps(start, threshold):
    tried = []

    def reaches(k):
        tried.append(k)
        return k >= threshold

    assert least(reaches, start, 1, 256) == min(threshold, 256)
    assert len(set(tried)) <= 17
    assert all(1 <= k <= 256 for k in tried)


def test_the_search_ends_at_a_crossing_where_the_difference_is_not_monotone():
    rng = np.random.default_rng(0)
    for _ in range(50):
        reached = rng.random(257) < np.linspace(0, 1, 257)
        start = int(rng.integers(1, 257))
        k = least(lambda k: bool(reached[k]), start, 1, 256)  # noqa: B023  called in this iteration
        assert (reached[k] and (k == 1 or not reached[k - 1])) or k == 256


def test_a_street_of_red_orange_and_white_houses_keeps_the_colour_of_each():
    image = street()
    walls = oklab(np.array([[0xB5, 0x34, 0x2C], [0xE0, 0x8A, 0x2E], [0xF2, 0xEF, 0xE6]]) / 255)

    def farthest(result):
        """Return the distance of the wall whose colour is missing the most."""
        distances = np.linalg.norm(walls[:, None] - oklab(result.palette / 255), axis=2)
        return 100 * distances.min(axis=1).max()

    for settings in (Settings(noise=2, shrink=0.9), Settings(method="kmeans")):
        quantizer = Quantizer(image, settings)
        k = quantizer.choose_k("auto:2").k
        assert k >= 6  # three walls, the sky, the street, and what is dark
        assert farthest(quantizer.fit(k)) < 3
        assert farthest(quantizer.fit(2)) > 10


@pytest.mark.parametrize(
    ("texts", "ks", "names"),
    [
        (["3,auto,auto:2", "auto:2.0", "auto:2.5"], [3, "auto", "auto:2", "auto:2.5"], "3 auto auto2 auto2.5"),
        (["auto:0.001", "auto:100"], ["auto:0.001", "auto:100"], "auto0.001 auto100"),
    ],
)
def test_bounds_are_parsed_once_each_and_have_names_of_their_own(texts, ks, names):
    assert parse_k(texts) == ks
    assert [in_names(k) for k in ks] == names.split()
    assert [largest_difference(k) for k in ks] == [
        float(k[5:]) if isinstance(k, str) and ":" in k else None for k in ks
    ]


@pytest.mark.parametrize("asked", [3, None, 2.5, ["auto"]])
def test_a_choice_of_k_is_a_text(asked):
    quantizer = Quantizer(np.zeros((4, 5), np.uint8))
    with pytest.raises(ParameterError, match=r"^k = .* is not a choice of k; use auto, or auto:DE"):
        quantizer.choose_k(asked)


@pytest.mark.parametrize(
    "text", ["auto:", "auto:x", "auto:0", "auto:-1", "auto:101", "auto:1e1", "auto:0.0001", "automatic"]
)
def test_a_bound_that_is_not_accepted_is_named_with_its_limits(text):
    with pytest.raises(
        ParameterError, match=f"k = '{text}' is not a choice of k; use auto, or auto:DE .* 0.001 to 100"
    ):
        quantize(photograph(), text)
    with pytest.raises(ParameterError, match=f"k = '{text}' is not"):
        parse_k([f"3,{text}"])


# --- the command ------------------------------------------------------------------------------------------------------


@pytest.fixture
def image(tmp_path):
    Image.fromarray(photograph()).save(tmp_path / "p.png")
    return photograph()


def record_in(folder, name="p_report.json"):
    return json.loads((folder / name).read_text())


def test_several_choices_have_their_own_files_lines_and_entries_in_the_record(command, tmp_path, image):
    result = command("p.png", "-k", "3", "auto", "auto:6", "auto:9.0", "--method", "kmeans", "-o", "out")
    assert result.returncode == 0, result.stderr
    record = record_in(tmp_path / "out")
    assert record["settings"]["k"] == [3, "auto", "auto:6", "auto:9"]
    assert [fit["asked"] for fit in record["fits"]] == record["settings"]["k"]
    assert [fit["auto"] for fit in record["fits"]] == [False, True, True, True]
    assert [choice["asked"] for choice in record["choices"]] == ["auto", "auto:6", "auto:9"]
    assert record["choice"] == record["choices"][0]
    assert [choice["criterion"] for choice in record["choices"]] == ["icl", "oklab", "oklab"]
    for fit, choice in zip(record["fits"][1:], record["choices"], strict=True):
        assert fit["k"] == choice["k"]
    for name, choice, bound in zip(("p_kauto6.png", "p_kauto9.png"), record["choices"][1:], (6, 9), strict=True):
        written = np.asarray(Image.open(tmp_path / "out" / name).convert("RGB"))
        assert choice["bound"] == bound
        assert choice["reached"] == pytest.approx(difference(image, written), rel=1e-4)
        assert choice["reached"] <= bound
        assert f"auto:{bound}: k = {choice['k']}, the fewest colours" in result.stdout
    assert (tmp_path / "out/p_kauto.png").exists()
    assert command("p.png", "-k", "3", "auto", "auto:6", "auto:9", "--method", "kmeans", "-o", "out").returncode == 1
    again = command("p.png", "-k", "auto:6", "--method", "kmeans", "-o", "out", "--skip-existing")
    assert again.returncode == 0, again.stderr


def test_images_that_share_a_mixture_share_the_choice(command, tmp_path):
    (tmp_path / "album").mkdir()
    images = [photograph(seed=seed) // (1 + seed) for seed in range(3)]
    for number, each in enumerate(images):
        Image.fromarray(each).save(tmp_path / "album" / f"p{number}.png")
    result = command("album", "-k", "auto:6", "--method", "kmeans", "--shared", "-o", "out", "--layers", "flat")
    assert result.returncode == 0, result.stderr
    (choice,) = record_in(tmp_path / "out", "shared_report.json")["choices"]
    drawn = [np.asarray(Image.open(tmp_path / "out" / f"p{number}_kauto6.png").convert("RGB")) for number in range(3)]
    assert choice["reached"] == pytest.approx(difference(np.vstack(images), np.vstack(drawn)), rel=1e-4)
    assert choice["reached"] <= 6
    assert len(list((tmp_path / "out").glob("p1_kauto6_layer*.png"))) == choice["k"]


def test_a_bound_that_is_not_reached_is_noted(command, tmp_path):
    Image.fromarray(np.random.default_rng(0).integers(0, 256, (20, 20, 3)).astype(np.uint8)).save(
        tmp_path / "noise.png"
    )
    result = command("noise.png", "-k", "auto:0.9", "--method", "kmeans")
    (choice,) = record_in(tmp_path, "noise_report.json")["choices"]
    assert (
        "k = auto:0.9 is not reached: 256 colours, the most that are tried, have a mean difference of" in result.stderr
    )
    assert f"auto:0.9: k = 256, the most that are tried; mean OKLab difference {choice['reached']:.3g}" in result.stdout


def test_a_bound_contradicts_a_transfer_of_colours(command, image):
    result = command("p.png", "-k", "auto:2", "--transfer-from", "p.png")
    assert (result.returncode, result.stdout) == (2, "")
    assert "-k auto:2 keeps the colours, --transfer-from moves them; use a number, or auto" in result.stderr


def test_colours_to_keep_are_among_the_chosen_number(command, tmp_path, image):
    result = command("p.png", "-k", "auto:9", "--keep-colors", "#ff00ff,#00ff00", "--method", "kmeans", "-o", "out")
    assert result.returncode == 0, result.stderr
    record = record_in(tmp_path / "out")
    (fit,), (choice,) = record["fits"], record["choices"]
    assert {"#ff00ff", "#00ff00"} <= set(fit["components"]["hex"])
    written = np.asarray(Image.open(tmp_path / "out" / "p_kauto9.png").convert("RGB"))
    assert choice["reached"] == pytest.approx(difference(image, written), rel=1e-4)
    assert choice["reached"] <= 9
    assert min(tried["k"] for tried in choice["path"]) == 2


def test_a_bound_contradicts_a_palette(command, image):
    result = command("p.png", "-k", "auto:2", "--palette", "#000,#fff,#f00")
    assert (result.returncode, result.stdout) == (2, "")
    assert "-k auto:2 chooses colours by a fit, not from --palette; use numbers, as in -k 3" in result.stderr


def test_an_image_without_a_visible_pixel_has_no_colours(command, tmp_path):
    Image.fromarray(np.zeros((4, 5, 4), np.uint8)).save(tmp_path / "clear.png")
    result = command("clear.png", "-k", "auto:2", "auto")
    assert result.returncode == 0, result.stderr
    assert [choice["k"] for choice in record_in(tmp_path, "clear_report.json")["choices"]] == [0, 0]
