"""The index of a folder: figures of the records, totals, text that cannot do harm, few bytes an entry."""

import math
import re
from urllib.parse import unquote

import numpy as np
import pytest
from helpers import read_sample
from report_pages import HOSTILE, check_self_contained, html_index, parsed, run_of, small_cat, values

from gmmquant.report.html.index import IndexEntry
from gmmquant.report.numbers import decimal, percent

KS = (2, 7)


def entry_of(name, image, ks=KS, n_bytes=50_163):
    record, images = run_of(image, ks, name=name, n_bytes=n_bytes)
    return IndexEntry(name, record, "", f"{name}.html", image, [each.pixels for each in images])


@pytest.fixture(scope="module")
def entries():
    """Three images and one that failed."""
    cat = small_cat()
    return [
        entry_of("cat.jpg", cat),
        entry_of("Bright.png", 255 - cat[:50], n_bytes=20_000),
        IndexEntry("torn.jpg", None, "the file ends early"),
        entry_of("cutout.png", np.ascontiguousarray(read_sample("cutout.png")[::2, ::2]), n_bytes=24_554),
    ]


@pytest.fixture(scope="module")
def root(entries):
    return check_self_contained(html_index(entries, title="photographs", command="gmmquant photographs"))


def test_each_entry_shows_the_figures_of_its_record(root, entries):
    done = [entry for entry in entries if entry.record]
    shown = root.all("li", class_="entry")
    assert [item["data-name"] for item in shown] == [entry.name for entry in done]
    for item, entry in zip(shown, done, strict=True):
        assert item.one("h3").one("a")["href"] == f"./{entry.page}"
        assert item["data-pixels"] == str(entry.record["image"]["pixels"])
        results = item.all("li", data_asked=True)
        for result, fit in zip(results, entry.record["fits"], strict=True):
            (n_bytes, size), (psnr, psnr_text), (likelihood, likelihood_text) = values(result)
            assert int(n_bytes) == fit["bytes"]
            assert size.endswith(f", {decimal(100 * (fit['bytes'] / entry.record['image']['bytes'] - 1))} %")
            assert float(psnr) == fit["psnr"]
            assert psnr_text == f"{decimal(fit['psnr'], 2)} dB"
            assert float(likelihood) == fit["mean_log_likelihood"]
            assert likelihood_text == f"{decimal(fit['mean_log_likelihood'], 4)} nats"
        assert len(item.all("img")) == 1 + len(KS)


def test_totals_are_those_of_all_images_as_if_they_were_one(root, entries):
    records = [entry.record for entry in entries if entry.record]
    for index, row in enumerate(root.one("table", class_="totals").one("tbody").all("tr")):
        assert row.one("th").text == str(KS[index])
        fits = [record["fits"][index] for record in records]
        images = [record["image"] for record in records]
        n_bytes = sum(fit["bytes"] for fit in fits)
        pixels = [image["visible_pixels"] for image in images]
        mse = np.average([fit["mse"] for fit in fits], weights=pixels)
        weight = sum(image["visible_weight"] for image in images)
        expected = [
            n_bytes,
            n_bytes / sum(image["bytes"] for image in images),
            10 * math.log10(255**2 / (mse / 3)),
            mse,
            sum(fit["log_likelihood"] for fit in fits) / weight,
        ]
        shown = values(row)
        assert [float(value) for value, _ in shown] == pytest.approx(expected)
        assert shown[1][1] == percent(expected[1])


def test_failures_are_listed_with_their_reasons(root):
    failed = root.one("section", class_="failed")
    assert [(item.one("dt").text, item.one("dd").text) for item in failed.all("div")] == [
        ("torn.jpg", "the file ends early")
    ]
    assert "1 failed" in root.one("header").text


@pytest.mark.parametrize("text", HOSTILE)
def test_hostile_names_and_reasons_add_no_element(entries, text):
    def page(name):
        first = entries[0]._replace(name=name, page=f"{name}.html")
        return html_index([first, IndexEntry(name, None, name)], title=name, command=name)

    def skeleton(page):
        return [(element.tag, sorted(element.attributes)) for element in parsed(page).walk()]

    assert skeleton(page(text)) == skeleton(page("plain"))
    root = check_self_contained(page(text))
    link = root.one("h3").one("a")
    assert link.one("bdi").text.isprintable()
    assert re.fullmatch(r"\./[A-Za-z0-9_.~/%-]+", link["href"])
    assert unquote(link["href"], errors="surrogateescape") == f"./{text}.html"


def test_thousands_of_entries_stay_light(entries):
    cat = read_sample("cat.jpg")
    record, images = run_of(cat, (2, 3, 7, 20))
    entry = IndexEntry("cat.jpg", record, "", "cat.html", cat, [each.pixels for each in images])
    few, many = (html_index([entry] * n) for n in (10, 40))
    assert (len(many) - len(few)) / 30 < 5000
    assert b"content-visibility: auto" in many


def test_an_entry_without_images_or_sizes_has_a_row(entries):
    record = entries[0].record
    unknown = {**record["image"], "bytes": None}
    fits = [{**fit, "bytes": None, "psnr": None, "mse": 0.0} for fit in record["fits"]]
    root = parsed(html_index([IndexEntry("x", {**record, "image": unknown, "fits": fits})]))
    item = root.one("li", class_="entry")
    assert not item.all("img")
    assert not item.all("a")
    assert "exact" in item.text


def test_images_of_a_shared_record_are_entries_too(entries):
    record = entries[0].record
    image = {**record["image"], "fits": record["fits"]}
    own, shared = (html_index([entries[0]._replace(record=each)]) for each in (record, image))
    assert own == shared


def test_a_folder_without_images_has_an_index():
    assert "0 images" in check_self_contained(html_index([])).text
