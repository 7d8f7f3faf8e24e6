"""Contact sheets: what is where on the page, and the same page in every format."""

import base64
import io
import math
import shutil
import subprocess
import sys
from xml.etree import ElementTree as ET

import numpy as np
import pypdfium2
import pytest
from helpers import assert_refused
from PIL import Image

from gmmquant.images.contact_sheet import encode, pdf
from gmmquant.images.contact_sheet.drawing import Picture, Rectangle, Text
from gmmquant.images.contact_sheet.encode import encode_sheet
from gmmquant.images.contact_sheet.fonts import raster_font
from gmmquant.images.contact_sheet.layout import Panel, Row, lay_out
from gmmquant.images.contact_sheet.palette import Palette, palette_items
from gmmquant.images.contact_sheet.pdf import pdf_font
from gmmquant.images.contact_sheet.raster import rasterize
from gmmquant.settings import SHEET_FORMATS

FONT = raster_font()
SIZES = [(451, 300), (300, 451), (32, 32), (4000, 500), (60, 2000), (1, 1), (600, 400)]
NAME = "a name that is longer than the page is wide " * 6


def palette(n_colors):
    weights = np.arange(n_colors, 0, -1) / (n_colors * (n_colors + 1) / 2)
    return Palette(tuple(f"#{40 * i % 4096:06x}" for i in range(n_colors)), tuple(weights))


def row(size, ks, name="cat.jpg", n_colors=None):
    """Return a row of noise, of all colours or of `n_colors`."""
    rng = np.random.default_rng(0)
    colors = rng.integers(0, 256, (size[0] * size[1] if n_colors is None else n_colors, 3), dtype=np.uint8)
    image = rng.choice(colors, size[::-1])
    panels = [Panel(image, "original", ("30,374 colours",))]
    for k in ks:
        captions = ("LL 4.3916", "PSNR 31.20 dB", "28.6 kB")
        panels.append(Panel(image, f"k = {k}", captions, palette(k)))
    return Row(name, f"{size[0]} x {size[1]}, 50.2 kB", size, tuple(panels))


def of_kind(drawing, kind):
    return [item for item in drawing.items if isinstance(item, kind)]


def box(item, font=FONT):
    """Return the corners of an item; those of a text without the letters that reach below the line."""
    if isinstance(item, Text):
        return item.x, item.y - 0.7 * item.size, item.x + font.width(item.text, item.size, bold=item.bold), item.y
    if isinstance(item, Picture):
        height, width = item.pixels.shape[:2]
        return item.x, item.y, item.x + width, item.y + height
    return item.x, item.y, item.x + item.width, item.y + item.height


def overlap(one, other):
    return one[0] < other[2] and other[0] < one[2] and one[1] < other[3] and other[1] < one[3]


@pytest.mark.parametrize("font", [FONT, pdf_font()], ids=["images", "pages"])
@pytest.mark.parametrize("ks", [[7], [2, 3, 7, 20], [2, 3, 4, 5, 6, 7, 8, 9, 10], [1, 256, 1000]], ids=len)
@pytest.mark.parametrize("size", SIZES, ids=str)
def test_nothing_overlaps_and_nothing_leaves_the_page(size, ks, font):
    for name in ("cat.jpg", NAME):
        (page,) = lay_out([row(size, ks, name)], "footer", font)
        texts, pictures = of_kind(page, Text), of_kind(page, Picture)
        boxes = [box(item, font) for item in (*texts, *pictures)]
        for number, each in enumerate(boxes):
            assert 40 <= each[0] < each[2] <= page.width - 40
            assert 40 <= each[1] < each[3] <= page.height - 40
            assert not any(overlap(each, other) for other in boxes[:number])
        for swatch in (item for item in of_kind(page, Rectangle) if item.fill not in ("#d4d4d4", "#f3f3f3")):
            assert not any(overlap(box(swatch), each) for each in boxes)
            assert box(swatch)[2] <= page.width - 40


@pytest.mark.parametrize("font", [FONT, pdf_font()], ids=["images", "pages"])
@pytest.mark.parametrize("max_aspect", [math.inf, 2**0.5])
def test_a_foot_that_is_wider_than_the_page_is_continued_in_further_lines(font, max_aspect):
    foot = "Each of these words is on the page. And the page is as narrow as one of two narrow panels can be. So be it."
    rows = [row((3, 400), [2], f"image {number}") for number in range(2)]
    *_, page = lay_out(rows, foot, font, max_aspect)
    assert page.width < font.width(foot, 16)
    lines = [text for text in of_kind(page, Text) if text.size == 16 and text.text in foot and len(text.text) > 9]
    assert len(lines) > 1
    assert " ".join(line.text for line in lines) == foot
    boxes = [box(item, font) for item in (*of_kind(page, Text), *of_kind(page, Picture))]
    for number, each in enumerate(boxes):
        assert 40 <= each[0] < each[2] <= page.width - 40
        assert 40 <= each[1] < each[3] <= page.height - 40
        assert not any(overlap(each, other) for other in boxes[:number])


@pytest.mark.parametrize(("size", "side_by_side"), [((451, 300), 2), ((4000, 500), 1), ((300, 451), 2), ((32, 32), 2)])
def test_many_rows_of_few_panels_stand_side_by_side(size, side_by_side):
    rows = [row(size, [7], f"{number}.jpg") for number in range(12)]
    (page,) = lay_out(rows, "footer", FONT)
    names = [text for text in of_kind(page, Text) if text.text.endswith(".jpg")]
    tops = [text.y for text in names]
    assert [tops.count(top) for top in sorted(set(tops))] == [side_by_side] * (12 // side_by_side)
    assert [name.text for name in sorted(names, key=lambda text: (text.y, text.x))] == [each.name for each in rows]
    boxes = [box(item) for item in (*of_kind(page, Text), *of_kind(page, Picture))]
    for number, each in enumerate(boxes):
        assert 40 <= each[0] < each[2] <= page.width - 40
        assert not any(overlap(each, other) for other in boxes[:number])


@pytest.mark.parametrize(("n_fits", "n_lines"), [(1, 1), (4, 1), (5, 2), (9, 2), (19, 4)])
def test_more_panels_than_fit_legibly_are_divided_evenly_over_lines(n_fits, n_lines):
    (page,) = lay_out([row((451, 300), range(2, 2 + n_fits))], "", FONT)
    tops = [picture.y for picture in of_kind(page, Picture)]
    lines = [tops.count(top) for top in sorted(set(tops))]
    assert len(lines) == n_lines
    assert max(lines) - lines[-1] <= len(lines)


def test_all_panels_of_a_row_have_one_size_and_show_their_pixels():
    (page,) = lay_out([row((451, 300), [7])], "", FONT)
    shown = of_kind(page, Picture)
    image = row((451, 300), []).panels[0].pixels
    assert len(shown) == 2
    for picture in shown:
        np.testing.assert_array_equal(picture.pixels, image)


def test_the_rows_of_a_sheet_share_their_columns():
    (page,) = lay_out([row(size, [2, 3, 7, 20]) for size in SIZES], "", FONT)
    assert len(of_kind(page, Picture)) == 5 * len(SIZES)
    assert len({picture.x for picture in of_kind(page, Picture)}) == 5


@pytest.mark.parametrize("n_colors", [1, 2, 7, 8, 9, 20, 50, 256])
@pytest.mark.parametrize("size", [(600, 400), (300, 451)], ids=str)
def test_every_color_of_a_palette_is_shown_and_those_without_text_are_counted(n_colors, size):
    (page,) = lay_out([row(size, [n_colors, n_colors, n_colors, n_colors])], "", FONT)
    left = {picture.x for picture in of_kind(page, Picture)}
    first, second = sorted(left)[1:3]
    colors, weights = palette(n_colors)
    fills = [item.fill for item in of_kind(page, Rectangle) if first <= item.x < second and item.fill != "#d4d4d4"]
    assert fills == list(colors)
    texts = [item.text for item in of_kind(page, Text) if first <= item.x < second]
    labelled = [text for text in texts if text.startswith("#")]
    assert labelled == [f"{c}  {w:.1%}" for c, w in zip(colors, weights, strict=True)][: len(labelled)]
    assert len(labelled) >= min(n_colors, 6)
    counts = [text for text in texts if text.startswith("+")]
    assert counts == ([f"+ {n_colors - len(labelled)}"] if n_colors > len(labelled) else [])
    assert not counts or n_colors > 7


def test_a_missing_image_leaves_its_place_and_keeps_its_figures():
    whole = row((451, 300), [2, 7])
    missing = whole._replace(panels=(*whole.panels[:2], whole.panels[2]._replace(pixels=None)))
    (page,) = lay_out([missing], "", FONT)
    assert len(of_kind(page, Picture)) == 2
    assert "k = 7" in [text.text for text in of_kind(page, Text)]


def test_a_compact_row_is_small_and_makes_the_same_page_of_flat_images():
    large = np.zeros((3000, 4500, 3), dtype=np.uint8)
    large[:, 1500:3000], large[:, 3000:] = (200, 30, 60), (255, 255, 255)
    full = Row("n", "", (4500, 3000), (Panel(large, "original"), Panel(large, "k = 3"), Panel(large, "k = 4")))
    compact = full.compact()
    assert compact.panels[0].pixels.shape == (420, 630, 3)
    one, other = (lay_out([each], "", FONT)[0] for each in (full, compact))
    for a, b in zip(of_kind(one, Picture), of_kind(other, Picture), strict=True):
        np.testing.assert_array_equal(a.pixels, b.pixels)
    assert row((451, 300), [2]).compact().panels[0].pixels.shape == (300, 451, 3)


@pytest.mark.parametrize("copy", [(612, 408), (300, 200), (700, 467), (5, 3)], ids=str)
def test_small_copies_of_a_large_image_fill_its_panels(copy):
    width, height = copy
    small = np.full((height, width, 3), (200, 30, 60), dtype=np.uint8)
    (page,) = lay_out([Row("n", "", (4500, 3000), (Panel(small, "original"),)).compact()], "", FONT)
    (picture,) = of_kind(page, Picture)
    assert picture.pixels.shape == (420, 630, 3)
    assert np.unique(picture.pixels.reshape(-1, 3), axis=0).tolist() == [[200, 30, 60]]


def test_pages_have_the_shape_of_paper_and_keep_each_row_in_one_piece():
    rows = [row((451, 300), [2, 3, 7, 20], f"image {number}") for number in range(12)]
    pages = lay_out(rows, "footer", FONT, 2**0.5)
    assert len(pages) > 1
    names = [[text.text for text in of_kind(page, Text) if text.text.startswith("image")] for page in pages]
    assert [name for named in names for name in named] == [r.name for r in rows]
    for page, named in zip(pages, names, strict=True):
        assert page.height == round(2**0.5 * page.width)
        assert len(of_kind(page, Picture)) == 5 * len(named)
        assert max(box(item)[3] for item in page.items) <= page.height - 40


@pytest.mark.parametrize("kind", SHEET_FORMATS)
def test_the_same_rows_give_the_same_bytes(kind):
    rows = [row((64, 48), [2, 20])]
    first, second = (encode_sheet(rows, kind, title="t", footer="f") for _ in range(2))
    assert first == second


@pytest.mark.parametrize("n_colors", [None, 256])
def test_png_webp_and_svg_show_the_pixels_of_the_drawing(n_colors):
    rows = [row((400, 300), [2, 7], n_colors=n_colors)]
    (page,) = lay_out(rows, "f", FONT)
    pictures = of_kind(page, Picture)
    for kind in ("png", "webp"):
        image = np.asarray(Image.open(io.BytesIO(encode_sheet(rows, kind, title="t", footer="f"))))
        assert image.shape == (page.height, page.width, 3)
        for picture in pictures:
            x0, y0, x1, y1 = box(picture)
            np.testing.assert_array_equal(image[y0:y1, x0:x1], picture.pixels)
        swatch = next(item for item in of_kind(page, Rectangle) if item.fill == "#000028")
        assert image[swatch.y + 9, swatch.x + 9].tolist() == [0, 0, 0x28]
    root = ET.fromstring(encode_sheet(rows, "svg", title="t", footer="f"))
    images = root.findall("{*}image")
    for element, picture in zip(images, pictures, strict=True):
        assert [int(element.get(name)) for name in ("x", "y")] == [picture.x, picture.y]
        kind, data = element.get("href").removeprefix("data:image/").split(";base64,")
        shown = Image.open(io.BytesIO(base64.b64decode(data)))
        assert kind == shown.format.lower() == ("jpeg" if n_colors is None else "png")
        assert np.abs(np.asarray(shown.convert("RGB")).astype(int) - picture.pixels).mean() <= (n_colors is None) * 8
    texts = [element.text for element in root.findall("{*}text")]
    assert texts == [text.text for text in of_kind(page, Text)]


def test_an_svg_loads_nothing_and_hostile_text_in_it_is_text():
    hostile = "<script>alert(1)</script>&quot;\"'> \u202e]]>\x00\udcff.png"
    whole = row((32, 32), [2], hostile)
    document = encode_sheet([whole._replace(details=hostile)], "svg", title=hostile, footer=hostile)
    root = ET.fromstring(document)
    assert {element.tag.split("}")[1] for element in root.iter()} == {"svg", "title", "rect", "image", "text"}
    names = {name for element in root.iter() for name in element.attrib}
    assert not any(name.startswith("on") for name in names)
    assert all(element.get("href").startswith("data:image/png;base64,") for element in root.findall("{*}image"))
    assert root.find("{*}text").text == "<script>alert(1)</script>&quot;\"'> \\u202e]]>\\x00\\xff.png"


# With the bytes 10 and 13, and the signs (, ) and \\ of the syntax of PDF.
TITLE = "кошка čĊ ഊ ⠩ ⡜ (1).jpg"


@pytest.mark.parametrize("n_colors", [None, 2, 16, 200])
def test_a_pdf_has_its_texts_as_text_and_its_images_with_their_pixels(n_colors):
    rows = [row((400, 300), [2, 7], "кошка.jpg", n_colors)]
    (page,) = lay_out(rows, "footer", pdf_font())
    document = pypdfium2.PdfDocument(encode_sheet(rows, "pdf", title=TITLE, footer="footer"))
    assert document.get_metadata_dict()["Title"] == TITLE
    assert not document.get_metadata_dict()["CreationDate"]
    (sheet,) = document
    found = sheet.get_textpage().get_text_bounded()
    for text in of_kind(page, Text):
        for word in text.text.split():
            assert word in found
    images = list(sheet.get_objects(filter=[pypdfium2.raw.FPDF_PAGEOBJ_IMAGE]))
    assert len(images) == 3
    for image, picture in zip(images, of_kind(page, Picture), strict=True):
        stored = np.asarray(image.get_bitmap().to_pil().convert("RGB"))
        stored = stored if image.get_matrix().d > 0 else stored[::-1]
        assert stored.shape == picture.pixels.shape
        assert np.abs(stored.astype(int) - picture.pixels).mean() <= (n_colors is None) * 8
        left, bottom, right, top = (round(300 / 72 * length, 2) for length in image.get_bounds())
        assert (left, page.height - top, right, page.height - bottom) == pytest.approx(box(picture), abs=0.1)


def test_a_long_pdf_has_pages():
    rows = [row((451, 300), [2, 3, 7, 20]) for _ in range(6)]
    assert len(pypdfium2.PdfDocument(encode_sheet(rows, "pdf", title="t", footer="f"))) == 2


def test_without_matplotlib_the_pages_of_a_pdf_are_images(monkeypatch):
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    monkeypatch.setitem(sys.modules, "matplotlib.font_manager", None)
    monkeypatch.setattr(pdf, "pdf_font", pdf_font.__wrapped__)
    rows = [row((400, 300), [2, 999, 2000], n_colors=60)]  # pages of thousands of colours of palettes
    (page,) = lay_out(rows, "f", FONT, 2**0.5)
    data = encode_sheet(rows, "pdf", title=TITLE, footer="f")
    assert data == encode_sheet(rows, "pdf", title=TITLE, footer="f")
    document = pypdfium2.PdfDocument(data)
    (sheet,) = document
    whole, *shown = sheet.get_objects(filter=[pypdfium2.raw.FPDF_PAGEOBJ_IMAGE])
    assert whole.get_px_size() == (page.width, page.height)
    pictures = of_kind(page, Picture)
    expected = rasterize(page._replace(items=tuple(item for item in page.items if not isinstance(item, Picture))), FONT)
    for image, pixels in zip([whole, *shown], [expected, *(picture.pixels for picture in pictures)], strict=True):
        np.testing.assert_array_equal(np.asarray(image.get_bitmap().to_pil().convert("RGB")), pixels)
    assert document.get_metadata_dict()["Title"] == TITLE
    for filter_of_alpha in (b"JPX", b"SMask", b"DCT"):
        assert filter_of_alpha not in data
    if poppler := shutil.which("pdftoppm"):
        ran = subprocess.run([poppler, "-r", "300", "-"], input=data, capture_output=True, check=True)
        pages = [Image.open(io.BytesIO(ran.stdout)), Image.fromarray(rasterize(page, FONT))]
        seen, expected = (np.asarray(image.resize((70, 43), Image.Resampling.BOX)).astype(int) for image in pages)
        assert np.abs(seen - expected).mean() < 3
    drawn = sheet.render(scale=300 / 72).to_numpy()[..., ::-1].astype(int)
    for picture in pictures:
        x0, y0, x1, y1 = box(picture)
        # The image is drawn anew at a scale that is 1 but for rounding.
        assert np.abs(drawn[y0:y1, x0:x1].mean() - picture.pixels.mean()) < 2


def test_what_is_not_a_sheet_is_refused(monkeypatch):
    rows = [row((32, 32), [2])]
    assert_refused(["'gif'", "png, webp, svg, pdf"], encode_sheet, rows, "gif", title="t", footer="f")
    assert_refused(["0 images", "at least 1"], encode_sheet, [], "png", title="t", footer="f")
    monkeypatch.setattr(encode, "_MAX_HEIGHTS", {"png": 500, "webp": 300})
    for kind, limit in encode._MAX_HEIGHTS.items():
        assert_refused(["1 images is", f"limit {limit}", "svg"], encode_sheet, rows, kind, title="t", footer="f")


@pytest.mark.parametrize("n_colors", [3, 15, 40, 400])
def test_every_colour_has_a_frame_so_that_white_is_no_gap(n_colors):
    items, _ = palette_items(Palette(("#ffffff",) * n_colors, (1 / n_colors,) * n_colors), 10, 10, 300, FONT)
    shown = Image.new("RGB", (330, 400), "#fafafa")
    for item in items:
        if isinstance(item, Rectangle):
            shown.paste(item.fill, (item.x, item.y, item.x + item.width, item.y + item.height))
    pixels = np.asarray(shown)
    white, paper = (pixels == 255).all(axis=-1), (pixels == 250).all(axis=-1)
    assert white.any()
    for axis in (0, 1):
        for step in (1, -1):
            assert not (white & np.roll(paper, step, axis)).any()


def test_a_colour_with_alpha_stands_on_squares_that_it_covers_exactly():
    colors = ("#ff000080", "#00ff00", *["#0000ff40"] * 40)
    items, _ = palette_items(Palette(colors, (1 / 42,) * 42), 0, 0, 300, FONT)
    fills = {item.fill for item in items if isinstance(item, Rectangle)}
    assert {"#ff7f7f", "#e66666", "#00ff00", "#bfbfff", "#9999d9"} <= fills
    assert all(len(fill) == 7 for fill in fills)
    light, right, left = [item for item in items if isinstance(item, Rectangle) and item.fill in ("#ff7f7f", "#e66666")]
    assert light[:2] == (left.x, right.y)
    assert (right.x + right.width, right.y + right.height) == (light.x + light.width, left.y)
    assert (left.x + left.width, left.y + left.height) == (right.x, light.y + light.height)
    texts = [item for item in items if isinstance(item, Text)]
    assert texts[0].text == "#ff000080  2.4%"
