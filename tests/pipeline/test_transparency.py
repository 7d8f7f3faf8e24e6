"""Files with alpha through the command: nothing visible, hidden colours, shared mixtures, records."""

import io
import json

import cv2
import numpy as np
import pytest
from helpers import log_density_by_scipy, mixture_of, read_sample
from PIL import Image

from gmmquant import ImageError, ParameterError, Quantizer, quantize, transfer_colors
from gmmquant.images.files import read_image
from gmmquant.pipeline.loaded_strategy import load_transfer_image
from gmmquant.settings import Settings

MANY = np.dstack([read_sample("cat.jpg")[:24, :32], np.zeros((24, 32), np.uint8)])
BLACK = np.zeros((24, 32, 4), np.uint8)


@pytest.fixture
def clear(tmp_path):
    """A folder with two fully transparent images: one hides a photograph, one is black."""
    for name, image in (("many.png", MANY), ("black.png", BLACK)):
        Image.fromarray(image).save(tmp_path / name)
    return tmp_path


def record_at(path):
    return json.loads(path.read_text())


def test_a_fully_transparent_image_has_every_kind_of_report(command, clear):
    result = command("many.png", "-k", "3", "auto", "-o", "out", "--report", "json,csv,md,html", "--sheet", "png")
    assert result.returncode == 0, result.stderr
    names = {path.name for path in (clear / "out").iterdir()}
    assert {"many_report.json", "many_report.csv", "many_report.md", "many_report.html", "many_sheet.png"} <= names
    assert "Warning" not in command("many.png", "-k", "3", "-o", "maps", "--maps", "all").stderr


@pytest.mark.parametrize("file_format", ["png", "webp", "tiff", "bmp", "gif"])
def test_a_fully_transparent_file_is_written_as_it_is_with_zero_colours_and_a_note(command, clear, file_format):
    options = ("--format", file_format, "--maps", "all", "--layers", "exact", "--save-model", "--palette-out", "all")
    result = command("many.png", "-k", "2", "auto", *options, "-o", "out")
    assert result.returncode == 0
    assert (
        "many.png: every pixel is fully transparent: the image is written as it is, with zero colours" in result.stderr
    )
    record = record_at(clear / "out/many_report.json")
    assert record["image"]["visible_pixels"] == record["image"]["visible_weight"] == 0
    assert record["image"]["distinct_colors"] == 0
    assert any("fully transparent" in note for note in record["notes"])
    assert [(fit["k"], fit["k_fitted"], fit["auto"]) for fit in record["fits"]] == [(2, 0, False), (0, 0, True)]
    for fit in record["fits"]:
        assert (fit["components"]["hex"], fit["trace"], fit["mse"], fit["mean_log_likelihood"]) == ([], [], 0, None)
        assert (fit["files"].keys(), fit["files"]["layers"]) == ({"image", "maps", "layers"}, [])
        written = read_image(clear / "out" / fit["files"]["image"]).pixels
        if file_format == "gif":
            assert not written[..., 3].any()
        elif file_format == "bmp":  # where alpha 0 everywhere means that there is none
            np.testing.assert_array_equal(written, MANY[..., :3])
        else:
            np.testing.assert_array_equal(written, MANY)
    ends = ("", "_entropy.png", "_labels.png", "_loglik.png")
    names = {f"many_k{k}{end or '.' + file_format}" for k in ("2", "auto") for end in ends}
    assert {path.name for path in (clear / "out").iterdir()} == {*names, "many_report.json"}
    again = command("many.png", "-k", "2", "auto", *options, "-o", "out", "--skip-existing")
    assert again.returncode == 0
    assert "exist" in again.stderr


def test_a_fully_transparent_file_on_standard_output_is_the_image_or_its_record(command, clear):
    data = command("many.png", "-k", "3", "-q", "-o", "-", text=False)
    assert data.returncode == 0
    np.testing.assert_array_equal(np.asarray(Image.open(io.BytesIO(data.stdout))), MANY)
    (record,) = json.loads(command("many.png", "-k", "3", "-o", "-", "--json").stdout)
    assert record["fits"][0]["k_fitted"] == 0


def test_in_a_shared_mixture_a_fully_transparent_image_adds_nothing(command, clear, samples):
    # Of 16 bits, it does not turn the sum of 8-bit images into one of 16 bits.
    cv2.imwrite(
        str(clear / "deep.png"), np.dstack([MANY[..., :3].astype(np.uint16) * 250, MANY[..., 3].astype(np.uint16)])
    )
    both = command(".", samples / "flat.png", "-k", "2", "auto", "--shared", "-o", "both", "--save-model", "-q")
    alone = command(samples / "flat.png", "-k", "2", "auto", "--shared", "-o", "alone", "--save-model", "-q")
    assert both.returncode == alone.returncode == 0
    one, other = record_at(clear / "both/shared_report.json"), record_at(clear / "alone/shared_report.json")
    assert (clear / "both/flat_k2.png").read_bytes() == (clear / "alone/flat_k2.png").read_bytes()
    for fit, expected in zip(one["fits"], other["fits"], strict=True):
        for name in ("k", "log_likelihood", "bic", "icl", "mse", "components", "trace"):
            assert fit[name] == expected[name]
    assert (one["total"]["images"], one["fitted"]["images"]) == (4, 4)
    assert one["total"]["visible_weight"] == other["total"]["visible_weight"]
    for image in one["images"]:
        if image["visible_pixels"] == 0:
            assert [fit["pixels"] for fit in image["fits"]] == [
                [0] * len(fit["components"]["hex"]) for fit in one["fits"]
            ]
    np.testing.assert_array_equal(read_image(clear / "both/many_k2.png").pixels, MANY)


def test_a_shared_mixture_of_nothing_visible_has_no_components(command, clear):
    result = command(".", "-k", "2", "auto", "--shared", "-o", "out", "--save-model", "--palette-out", "hex")
    assert result.returncode == 0
    record = record_at(clear / "out/shared_report.json")
    assert [(fit["k"], fit["components"]["hex"]) for fit in record["fits"]] == [(2, []), (0, [])]
    assert (record["fitted"]["distinct_colors"], record["total"]["visible_pixels"]) == (0, 0)
    np.testing.assert_array_equal(read_image(clear / "out/black_kauto.png").pixels, BLACK)


def test_a_sample_of_images_in_which_nothing_is_visible_grows_until_something_is(command, clear, samples):
    (clear / "z.png").write_bytes((samples / "flat.png").read_bytes())
    result = command(".", "-k", "2", "--shared", "--sample-size", "1", "-o", "out", "-q")
    assert result.returncode == 0
    assert len(record_at(clear / "out/shared_report.json")["fits"][0]["components"]["hex"]) == 2


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"method": "kmeans", "dither": "floyd-steinberg"},
        {"recolor": "soft", "covariance": "tied"},
        {"space": "oklab", "noise": 2, "shrink": 0.5},
        {"covariance": "spherical"},
    ],
)
def test_in_python_the_result_is_the_image_with_an_empty_palette(options):
    for k in (3, "auto"):
        result = quantize(MANY, k, **options)
        np.testing.assert_array_equal(result.image, MANY)
        np.testing.assert_array_equal(np.asarray(result.to_pil()), MANY)
        assert (result.palette.shape, result.weights.shape, result.covariances.shape) == ((0, 3), (0,), (0, 3, 3))
        assert (result.log_likelihood, result.mse, result.bic) == (0, 0, 0)
        assert np.isnan(result.mean_log_likelihood)
        assert "0 colours" in repr(result)
    quantizer = Quantizer(MANY, **options)
    palette = np.array([[0, 0, 0], [9, 9, 9]], dtype=np.uint8)
    for other in (quantizer.fit_palette(palette), quantizer.transfer(quantizer.fit(2), quantize(MANY, 2).fit.mixture)):
        np.testing.assert_array_equal(other.image, MANY)
    np.testing.assert_array_equal(quantizer.recolor(quantizer.fitter.fit(2)).image, MANY)
    assert quantizer.choose_k().k == 0
    assert not list(quantizer.layers(quantizer.fit(2)))


def test_no_colours_can_be_taken_from_a_fully_transparent_image(clear):
    with pytest.raises(ParameterError, match="every pixel is fully transparent; use an image with a visible pixel"):
        transfer_colors(read_sample("flat.png"), MANY, 2)
    with pytest.raises(ImageError, match=r"many\.png: every pixel is fully transparent"):
        load_transfer_image(clear / "many.png", Settings())


def test_image_and_record_suffice_to_recompute_the_log_likelihood_of_an_image_with_alpha(command, samples, tmp_path):
    (record,) = json.loads(command(samples / "cutout.png", "-k", "4", "-o", "-", "--json").stdout)
    image = np.asarray(Image.open(samples / "cutout.png")).reshape(-1, 4)
    weights, (fit,) = (image[:, 3] / 255) ** 2, record["fits"]
    log_density = log_density_by_scipy(image[:, :3] / 255, *mixture_of(fit))
    assert record["image"]["visible_weight"] == pytest.approx(weights.sum(), rel=1e-12)
    assert fit["log_likelihood"] == pytest.approx(weights @ log_density, rel=1e-9)
    assert fit["mean_log_likelihood"] == pytest.approx(np.average(log_density, weights=weights), rel=1e-9)
    assert sum(fit["components"]["pixels"]) == np.count_nonzero(image[:, 3])
    free = 3 + 4 * 3 + 4 * 6
    assert fit["bic"] == pytest.approx(free * np.log(weights.sum()) - 2 * fit["log_likelihood"], rel=1e-9)


def test_images_with_alpha_share_the_mixture_of_one_image_of_all_pixels(command, samples, tmp_path):
    image = np.asarray(Image.open(samples / "cutout.png"))
    for number, part in enumerate(np.split(image, 4)):
        Image.fromarray(part).save(tmp_path / f"{number}.png")
    assert command(".", "-k", "6", "--shared", "--method", "kmeans", "-o", "out", "-q", "--jobs", "2").returncode == 0
    record, whole = record_at(tmp_path / "out/shared_report.json"), quantize(image, 6, method="kmeans")
    (fit,) = record["fits"]
    assert fit["components"]["hex"] == [f"#{bytes(c.tolist()).hex()}" for c in whole.palette]
    assert record["fitted"]["visible_weight"] == whole.statistics.weight
    assert record["total"]["visible_weight"] == pytest.approx(whole.statistics.weight, rel=1e-12)
    for name, value in (("log_likelihood", whole.log_likelihood), ("mse", whole.mse), ("bic", whole.bic)):
        assert fit[name] == pytest.approx(value, rel=1e-9)
