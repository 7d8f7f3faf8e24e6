"""The contact sheet of records: every figure on it is that of the record."""

import base64
import io
from itertools import islice
from xml.etree import ElementTree as ET

import numpy as np
import pytest
from helpers import needs_opencv_5, read_sample
from PIL import Image

from gmmquant import Quantizer, Settings, __version__
from gmmquant.images.encoding.encode import encode_image
from gmmquant.report.entry import entries_of
from gmmquant.report.record import fit_record, image_record
from gmmquant.report.shared_record import shared_fit_record, shared_image_record, total_result
from gmmquant.report.sheet import sheet, sheet_row


def row(image, ks, path="cat.jpg", n_bytes=50_163, **settings):
    """Quantize an image; return its record, as far as a sheet needs it, the image, and the recoloured images."""
    quantizer = Quantizer(image, Settings(**settings))
    results = [quantizer.fit(k) for k in ks]
    fits = [fit_record(r, {}, n_bytes=len(encode_image(r.recolored, "png"))) for r in results]
    return {"image": image_record(path, quantizer, n_bytes), "fits": fits}, image, [r.recolored for r in results]


def texts(rows):
    """Return the texts of a sheet from left to right, and from the top down."""
    found = ET.fromstring(sheet(rows, "svg")).findall("{*}text")
    return [text.text for text in sorted(found, key=lambda text: (float(text.get("x")), float(text.get("y"))))]


def pictures(rows):
    images = ET.fromstring(sheet(rows, "svg")).findall("{*}image")
    urls = (image.get("href").split(";base64,")[1] for image in images)
    return [np.asarray(Image.open(io.BytesIO(base64.b64decode(url))).convert("RGB")) for url in urls]


@pytest.fixture(scope="module")
def cat():
    return row(read_sample("cat.jpg"), [2, 3, 7, 20])


def test_every_figure_on_a_sheet_is_that_of_the_record(cat):
    record = cat[0]
    found = texts([cat])
    for fit in record["fits"]:
        start = found.index(f"k = {fit['k']}")
        log_likelihood, psnr, size = found[start + 1].split(", ")
        assert float(log_likelihood.removeprefix("LL ")) == pytest.approx(fit["mean_log_likelihood"], abs=5.1e-5)
        assert float(psnr.removeprefix("PSNR ").removesuffix(" dB")) == pytest.approx(fit["psnr"], abs=5.1e-3)
        assert float(size.removesuffix(" kB")) == pytest.approx(fit["bytes"] / 1000, abs=0.051)
    labelled = [text.split("  ") for text in found if text.startswith("#")]
    stated = [
        (color, n / record["image"]["pixels"])
        for fit in record["fits"]
        for color, n in zip(fit["components"]["hex"], fit["components"]["pixels"], strict=True)
    ]
    assert len(labelled) >= 2 + 3 + 7 + 6
    for color, percent in labelled:
        shares = [share for other, share in stated if other == color]
        assert any(float(percent.removesuffix("%")) / 100 == pytest.approx(share, abs=5.1e-4) for share in shares)
    assert {"cat.jpg", "451 x 300, 50.2 kB", "original", "30,374 colours", "+ 14"} <= set(found)
    assert any(text.endswith(f"gmmquant {__version__}") for text in found)


def test_the_first_panel_is_the_original_and_the_others_are_the_recolored_images(cat):
    record, original, recolored = cat
    two = {**record, "fits": record["fits"][:2]}
    first, *shown = pictures([(two, original, recolored[:2])])
    assert np.abs(first.astype(int) - original).mean() < 2
    for panel, image in zip(shown, recolored[:2], strict=True):
        np.testing.assert_array_equal(panel, image.pixels)


def test_a_sheet_has_a_row_for_each_image(cat):
    flat = row(read_sample("flat.png"), [2, 3, 7, 20], "over/there/flat.png", None)
    found = texts([cat, flat])
    assert len(pictures([cat, flat])) == 10
    assert {"cat.jpg", "flat.png", "96 x 64", "3 colours", "k = 7, 3 colours"} <= set(found)
    assert sheet([cat, flat], "png") == sheet(iter([sheet_row(*cat), sheet_row(*flat)]), "png")


def test_an_exact_image_and_one_without_a_file_have_no_such_figures():
    record, original, recolored = row(read_sample("flat.png"), [3])
    record["fits"][0]["bytes"] = None
    found = texts([(record, original, recolored)])
    caption = found[found.index("k = 3") + 1]
    assert caption == f"LL {record['fits'][0]['mean_log_likelihood']:.4f}, exact"


@pytest.mark.parametrize(("pixels", "share"), [(0, "0.0%"), (4, "<0.1%"), (6, "0.1%")])
def test_only_a_colour_without_a_pixel_has_a_share_of_0(pixels, share):
    record, original, recolored = row(read_sample("flat.png"), [2])
    record["fits"][0]["components"]["pixels"] = [10_000 - pixels, pixels]
    shares = [text.split()[-1] for text in texts([(record, original, recolored)]) if text.startswith("#")]
    assert shares[1] == share


def test_a_chosen_number_of_colors_says_how_it_was_asked_for():
    record, original, recolored = row(read_sample("flat.png"), [2])
    record["fits"][0] |= {"asked": "auto:2", "auto": True}
    assert "k = 2, auto:2" in texts([(record, original, recolored)])


def test_an_image_without_a_visible_pixel_has_a_sheet():
    record, original, recolored = row(np.zeros((8, 8, 4), dtype=np.uint8), [2])
    found = texts([(record, original, recolored)])
    assert "k = 2, 0 colours" in found
    assert not any("nan" in text or "None" in text for text in found)


def test_an_image_that_was_not_drawn_keeps_its_figures(cat):
    record, original, recolored = cat
    without = (record, original, [*recolored[:3], None])
    assert len(pictures([without])) == 4
    assert texts([without]) == texts([cat])


def test_of_an_animation_the_first_frame_is_shown():
    frames = np.random.default_rng(0).integers(0, 256, (3, 40, 60, 3), dtype=np.uint8)
    record, stacked, recolored = row(frames.reshape(120, 60, 3), [4])
    record["image"] |= {"height": 40, "frames": 3}
    original, drawn = pictures([(record, stacked, recolored)])
    factor = original.shape[0] // 40
    np.testing.assert_array_equal(original[::factor, ::factor], frames[0])
    np.testing.assert_array_equal(drawn[::factor, ::factor], recolored[0].pixels[:40])
    assert "60 x 40, first of 3 frames, 50.2 kB" in texts([(record, stacked, recolored)])


@pytest.mark.parametrize(
    ("path", "name"),
    [
        pytest.param("../a/b/猫.jpg", "猫.jpg", marks=needs_opencv_5),
        ("s3://bucket/b/cat.jpg", "cat.jpg"),
        ("-", "standard input"),
        ("<script>'\".jpg", "<script>'\".jpg"),
        ("a\u202egpj.exe", r"a\u202egpj.exe"),
        ("\x1b[31m.jpg", r"\x1b[31m.jpg"),
    ],
)
def test_a_row_has_the_name_of_its_file(path, name):
    flat = row(read_sample("flat.png"), [2], path)
    assert name in texts([flat])
    for kind in ("png", "webp", "pdf"):
        assert sheet([flat], kind)


def test_images_of_a_shared_mixture_have_their_own_figures_and_shares():
    first, second = (Quantizer(read_sample(name)) for name in ("cat.jpg", "coffee.png"))
    results = [first.fit(7)]
    results.append(second.recolor(results[0].fit))
    total = total_result(results[0].fit, Settings(), [result.statistics for result in results])
    images = [
        shared_image_record(path, quantizer, [shared_fit_record(result, {}, n_bytes=1234)])
        for path, quantizer, result in zip(("cat.jpg", "coffee.png"), (first, second), results, strict=True)
    ]
    record = {"schema": "gmmquant-shared/1", "fits": [fit_record(total, {})], "images": images}
    records = [entry.record for entry in islice(entries_of(record), 2)]
    originals = [read_sample("cat.jpg"), read_sample("coffee.png")]
    rows = [(r, o, [q.recolored]) for r, o, q in zip(records, originals, results, strict=True)]
    found = texts(rows)
    for result in results:
        assert f"LL {result.mean_log_likelihood:.4f}, PSNR {result.psnr:.2f} dB, 1.23 kB" in found
        counts = result.statistics.counts
        largest = counts.argmax()
        code = record["fits"][0]["components"]["hex"][largest]
        assert f"{code}  {counts[largest] / counts.sum():.1%}" in found
