"""How reports name the fits of an image, and what their palettes are the colours of."""

import copy
import csv

import numpy as np
import pytest
from PIL import Image, ImageDraw
from report_pages import html_index, parsed, run_of, small_cat

from gmmquant.report.html.index import IndexEntry
from gmmquant.report.html.page import html_page


@pytest.fixture(scope="module")
def chosen():
    """The record of four fits with the same or another k, as `-k 8 auto auto:3 auto:2` has them, and their images."""
    image = small_cat()
    record, images = run_of(image, [3, 3, 3, 5])
    for fit, asked in zip(record["fits"], (3, "auto", "auto:3", "auto:2"), strict=True):
        fit |= {"asked": asked, "auto": isinstance(asked, str), "files": {"image": f"cat_k{asked}.png"}}
    return image, record, images


def buttons(root):
    return [label.text for label in root.one("fieldset", class_="picker").all("label")]


def test_each_button_heading_and_row_of_a_page_says_what_was_asked_for(chosen):
    image, record, images = chosen
    root = parsed(html_page(record, image, images, "gmmquant"))
    assert buttons(root) == ["3", "3auto", "3auto:3", "5auto:2"]
    rows = [row.one("th").text for row in root.all("tr", data_row=True)]
    assert rows == ["3", "3 auto", "3 auto:3", "5 auto:2"]
    titles = [section.one("h2").text for section in root.all("section", class_="fit")]
    assert titles[2:] == ["3 colours chosen by auto:3", "5 colours chosen by auto:2"]
    captions = [figure.one("figcaption").text for figure in root.all("figure", class_="after")]
    assert captions == ["k = 3", "k = 3, auto", "k = 3, auto:3", "k = 5, auto:2"]


def test_files_of_several_formats_have_buttons_of_their_own(chosen):
    image, record, images = copy.deepcopy(chosen)
    for fit, extension in zip(record["fits"], ("png", "gif"), strict=False):
        fit |= {"asked": 3, "auto": False, "files": {"image": f"cat_k3.{extension}"}}
    record["fits"], images = record["fits"][:2], images[:2]
    assert buttons(parsed(html_page(record, image, images, "gmmquant"))) == ["3png", "3gif"]


def test_each_result_of_an_index_has_its_number_of_colours_and_what_was_asked_for(chosen):
    image, record, images = chosen
    entry = IndexEntry("cat.jpg", record, "", "cat.html", image, [each.pixels for each in images])
    results = parsed(html_index([entry])).one("li", class_="entry").all("li", data_asked=True)
    names = [result.one("b").text for result in results]
    assert names == ["3 colours", "3 colours, auto", "3 colours, auto:3", "5 colours, auto:2"]


# --- transferred colours ----------------------------------------------------------------------------------------------


@pytest.fixture
def transferred(command, tmp_path):
    """The standard output of a run that transfers the colours of a logo with a hostile name."""
    Image.fromarray(small_cat()).save(tmp_path / "cat.png")
    logo = Image.new("RGB", (60, 40), "white")
    ImageDraw.Draw(logo).rectangle((10, 10, 40, 30), fill="#1d3557")
    logo.save(tmp_path / "<b>.png")
    options = ("-k", "3", "--transfer-from", "<b>.png", "--sheet", "svg", "--report", "html", "md", "csv")
    result = command("cat.png", *options)
    assert result.returncode == 0, result.stderr
    return result.stdout


REMARK = "transferred from <b>.png; figures and palette are those of the image's mixture"


def test_every_report_on_transferred_colours_says_that_the_palette_is_that_of_the_original(transferred, tmp_path):
    folder = tmp_path
    assert f"colours {REMARK}" in transferred
    root = parsed((folder / "cat_report.html").read_bytes())
    assert f"Colours {REMARK}" in root.text
    assert root.one("div", class_="palette").one("h3").text == "Palette of the original"
    markdown = (folder / "cat_report.md").read_text()
    assert "| k | palette of the original |" in markdown
    assert "<b>" not in markdown
    assert "palette of the original:" in (folder / "cat_sheet.svg").read_text()
    for name in ("cat_report.csv", "cat_components.csv"):
        with (folder / name).open(newline="") as file:
            rows = list(csv.DictReader(file))
        assert {row["recolor"] for row in rows} == {"transfer"}
    with (folder / "cat_report.csv").open(newline="") as file:
        assert [row["transfer_from"] for row in csv.DictReader(file)] == ["<b>.png"]


def test_reports_without_a_transfer_have_a_plain_palette(chosen):
    image, record, images = chosen
    root = parsed(html_page(record, image, images, "gmmquant"))
    assert "transferred" not in root.one("main").text.replace("transfer from", "")
    assert {palette.one("h3").text for palette in root.all("div", class_="palette")} == {"Palette"}
    assert np.all([fit["recolor"] == "posterior" for fit in record["fits"]])
