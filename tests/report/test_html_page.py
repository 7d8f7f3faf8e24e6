"""The page of an image: figures of the record, text that cannot do harm, one file that needs no other."""

import io
import re
from base64 import b64decode

import numpy as np
import pytest
from helpers import read_sample
from PIL import Image
from report_pages import HOSTILE, check_self_contained, parsed, run_of, small_cat, values, without_record

from gmmquant.errors import ParameterError
from gmmquant.report.html.page import MAX_PIXELS, html_page
from gmmquant.report.numbers import decimal, file_size, percent, pixel_size, series, setting

KS = (2, 3, 7, 20)
COMMAND = "gmmquant cat.jpg -k 2 3 7 20 --report html"


@pytest.fixture(scope="module")
def cat():
    """The cat, its record and recoloured images."""
    image = small_cat()
    return image, *run_of(image, KS, notes=["one note", "another note"])


@pytest.fixture(scope="module")
def page(cat):
    image, record, images = cat
    return html_page(record, image, images, COMMAND)


def decoded(url):
    """Return an image of a page as Pillow decodes it."""
    return Image.open(io.BytesIO(b64decode(url.partition(",")[2])))


def test_the_page_is_one_file_that_allows_nothing_else(page):
    assert page.count(b'name="generator"') == 1
    check_self_contained(page)


def test_every_figure_of_the_table_is_that_of_the_record(page, cat):
    record, table = cat[1], parsed(page).one("table", class_="figures")
    digits = {"mean_log_likelihood": 4, "psnr": 2, "mse": 1, "seconds": 3}
    rows = table.one("tbody").all("tr")
    assert len(rows) == len(KS)
    for fit, row in zip(record["fits"], rows, strict=True):
        expected = {**fit, "seconds": sum(fit["seconds"].values())}
        assert values(row.one("th"))[0] == (str(fit["k"]), str(fit["k"]))
        names = {cell["data-figure"] for cell in row.all("td")}
        assert names >= {"k_fitted", "log_likelihood", "aic", "bic", "icl", "n_iter", "psnr", "mse", "bytes", "seconds"}
        for cell in row.all("td"):
            name = cell["data-figure"]
            if name == "converged":
                assert cell.text == ("yes" if fit["converged"] else "no")
                continue
            if name == "share":
                value, text = fit["bytes"] / record["image"]["bytes"], percent(fit["bytes"] / record["image"]["bytes"])
            else:
                value, text = expected[name], decimal(expected[name], digits.get(name, 0))
            assert [(float(exact), shown) for exact, shown in values(cell)] == [(value, text)], name


def test_each_palette_shows_the_components_of_the_record(page, cat):
    root = parsed(page)
    for index, fit in enumerate(cat[1]["fits"]):
        section = root.one("section", data_fit=str(index))
        components = fit["components"]
        buttons = section.all("button", data_component=True)
        assert [button["data-copy"] for button in buttons] == components["hex"]
        assert [button.one("code").text for button in buttons] == components["hex"]
        assert [button.one("rect")["fill"] for button in buttons] == components["hex"]
        shown = [values(button) for button in buttons]
        total = sum(components["pixels"])
        assert [float(share) for (share, _), _ in shown] == [pixels / total for pixels in components["pixels"]]
        assert [int(pixels) for _, (pixels, _) in shown] == components["pixels"]
        assert section.one("button", data_said=True)["data-copy"] == ", ".join(components["hex"])
        strip = section.one("svg", class_="strip").all("rect")
        assert sum(float(rect["width"]) for rect in strip) == pytest.approx(100, abs=0.02)


def test_the_indexed_images_of_a_page_have_the_exact_pixels(page, cat):
    figures = parsed(page).all("figure", class_="after")
    for figure, image in zip(figures, cat[2], strict=True):
        np.testing.assert_array_equal(np.asarray(decoded(figure.one("img")["src"]).convert("RGB")), image.pixels)


def test_a_small_original_has_the_exact_pixels_and_a_larger_one_says_that_it_has_not(cat):
    image, record, images = cat
    root = parsed(html_page(record, image, images, COMMAND))
    np.testing.assert_array_equal(np.asarray(decoded(root.one("figure", class_="before").one("img")["src"])), image)
    assert "JPEG" not in root.text
    full = read_sample("cat.jpg")
    root = parsed(html_page(record, full, images, COMMAND))
    shown = np.asarray(decoded(root.one("figure", class_="before").one("img")["src"])).astype(float)
    assert "On this page, the original is a JPEG of quality 90." in root.text
    assert ((shown - full) ** 2).sum(-1).mean() < 25


def test_a_large_image_is_shown_reduced_and_the_page_says_so():
    rng = np.random.default_rng(1)
    image = np.kron(rng.integers(0, 6, (70, 100, 3)), np.ones((18, 18, 1))).astype(np.uint8) * 50
    record, images = run_of(image, [3])
    root = parsed(html_page(record, image, images, COMMAND))
    width, height = (int(root.one(class_="stage")[f"data-{side}"]) for side in ("width", "height"))
    assert width * height <= MAX_PIXELS < image.shape[0] * image.shape[1]
    assert f"reduced to {pixel_size(width, height)};" in root.text
    result = decoded(root.one("figure", class_="after").one("img")["src"])
    assert result.size == (width, height) == decoded(root.one("figure", class_="before").one("img")["src"]).size
    colors = {tuple(color) for color in np.asarray(result.convert("RGB")).reshape(-1, 3).tolist()}
    assert colors <= {tuple(bytes.fromhex(code[1:])) for code in record["fits"][0]["components"]["hex"]}


def test_notes_settings_version_and_command_are_on_the_page(page, cat):
    record, root = cat[1], parsed(page)
    assert [item.text for item in root.one("section", class_="notes").all("li")] == record["notes"]
    shown = {entry.one("dt").text: entry.one("dd").text for entry in root.one("dl", class_="settings").all("div")}
    assert shown == {name.replace("_", " "): setting(value) for name, value in record["settings"].items()}
    assert root.one("div", class_="command").one("code").text == COMMAND
    assert root.one("div", class_="command").one("button")["data-copy"] == COMMAND
    assert f"gmmquant {record['version']}" in root.one("footer").text
    assert root.one("head").one("title").text == "cat.jpg in 2, 3, 7 and 20 colours"


def test_charts_across_k_need_several_k(page, cat):
    image, record, images = cat
    titles = [chart.one("figcaption").text for chart in parsed(page).one(class_="charts").all("figure")]
    assert titles == ["Log-likelihood", "Information criteria", "Squared error"]
    one = {**record, "fits": record["fits"][:1]}
    assert not parsed(html_page(one, image, images[:1], COMMAND)).all(class_="charts")


@pytest.mark.parametrize("text", HOSTILE)
def test_hostile_text_adds_no_element_and_shows_its_control_characters(cat, text):
    image, record, images = cat

    def skeleton(page):
        return [(element.tag, sorted(element.attributes)) for element in parsed(page).walk()]

    def with_text(value):
        settings = {**record["settings"], "palette": value}
        return {**record, "notes": [value], "settings": settings, "image": {**record["image"], "path": f"in/{value}"}}

    plain = html_page(with_text("plain"), image, images, "plain")
    hostile = html_page(with_text(text), image, images, text)
    assert skeleton(hostile) == skeleton(plain)
    root = check_self_contained(hostile)
    shown = root.one("section", class_="notes").one("bdi").text
    assert shown.isprintable()
    assert root.one("section", class_="notes").one("li").children[0].tag == "bdi"
    if text.isprintable():
        assert shown == text
        assert root.one("div", class_="command").one("button")["data-copy"] == text
    else:
        assert "\\x" in shown or "\\u" in shown
    outside = re.sub(rb"<(style|script)>.*?</\1>", b"", without_record(hostile), flags=re.DOTALL).decode()
    assert all(character.isprintable() or character == "\n" for character in outside)


def test_a_page_of_the_cat_is_small(cat):
    full = read_sample("cat.jpg")
    record, images = run_of(full, KS)
    page = html_page(record, full, images, COMMAND)
    root = parsed(page)
    assert len(page) < 400_000
    assert sum(len(root.one(tag).raw_text) for tag in ("style", "script")) < 60_000


def test_an_image_whose_file_is_gone_leaves_its_figures(cat):
    image, record, images = cat
    root = parsed(html_page(record, image, [None, *images[1:]], COMMAND))
    first, second = root.all("figure", class_="after")[:2]
    assert not first.all("img")
    assert "2 colours is gone" in first.text
    assert second.all("img")
    assert len(root.one("table", class_="figures").one("tbody").all("tr")) == len(KS)


@pytest.mark.parametrize("settings", [{"recolor": "soft"}, {"space": "oklab"}, {"method": "kmeans"}], ids=str)
def test_other_fits_have_pages_too(settings):
    image = small_cat()
    record, images = run_of(image, [2, 5], **settings)
    root = check_self_contained(html_page(record, image, images, COMMAND))
    assert len(root.all("section", class_="fit")) == 2
    assert ("converted to sRGB point by point" in root.text) == ("space" in settings)
    assert ("Mean squared distance per iteration" in root.text) == ("method" in settings)


@pytest.mark.parametrize(("shrink", "ks", "n_pages"), [(0.9, [1, 3], 1), (0.0, [1, 3], 0)])
def test_the_hint_on_the_objective_names_the_penalty_of_shrunken_mixtures(shrink, ks, n_pages):
    image = small_cat()
    record, images = run_of(image, ks, shrink=shrink)
    text = parsed(html_page(record, image, images, COMMAND)).text
    assert text.count("J spreads each colour by its rounding or by the noise") == len(ks)
    assert text.count("by the noise, less the penalty of --shrink, so it lies below") == n_pages


def test_a_transparent_image_keeps_its_alpha(samples):
    image = read_sample("cutout.png")
    record, images = run_of(image, [3], name="cutout.png")
    root = parsed(html_page(record, image, images, COMMAND))
    for img in root.one(class_="stage").all("img"):
        np.testing.assert_array_equal(np.asarray(decoded(img["src"]).convert("RGBA"))[..., 3], image[..., 3])


def test_an_image_without_a_visible_pixel_has_a_page():
    image = np.zeros((6, 8, 4), dtype=np.uint8)
    record, images = run_of(image, [3])
    check_self_contained(html_page(record, image, images, COMMAND))


def test_the_first_frame_of_an_animation_is_shown(cat):
    image, record, images = cat
    animated = {**record, "image": {**record["image"], "frames": 2}}
    twice = [type(each)(np.concatenate([each.labels, each.labels[::-1]]), each.palette) for each in images]
    root = parsed(html_page(animated, np.concatenate([image, image[::-1]]), twice, COMMAND))
    assert "The first of 2 frames is shown." in root.text
    np.testing.assert_array_equal(np.asarray(decoded(root.one("figure", class_="before").one("img")["src"])), image)


def test_without_jinja2_the_error_names_the_remedy(cat, monkeypatch):
    image, record, images = cat
    monkeypatch.setattr("gmmquant.report.html.rendering.is_installed", {"jinja2": False}.__getitem__)
    with pytest.raises(ParameterError, match=r"^[^\n]*pip install 'gmmquant\[report\]'$"):
        html_page(record, image, images, COMMAND)


def test_numbers_are_written_as_they_are_read():
    assert decimal(-1234567.89, 1) == "\u22121,234,567.9"
    assert decimal(-0.0001, 2) == "0.00"
    assert decimal(None) == "\u2013"
    sizes = {1: "1 byte", 999: "999 bytes", 1000: "1.00 kB", 50163: "50.2 kB", 999499: "999 kB", 999500: "1.00 MB"}
    assert {n_bytes: file_size(n_bytes) for n_bytes in sizes} == sizes
    assert series([2, 3, 7]) == "2, 3 and 7"
    assert series([2]) == "2"
