"""Text that fonts can show: other characters escaped, long names shortened in the middle."""

import cv2
import numpy as np
import pytest
from helpers import needs_opencv_5

from gmmquant.images.contact_sheet.fonts import OpenCVFont, PillowFont, raster_font, shortened, shown
from gmmquant.images.contact_sheet.pdf import PdfFont

RASTER_FONTS = [OpenCVFont(), PillowFont()] if hasattr(cv2, "FontFace") else [PillowFont()]
FONTS = [*RASTER_FONTS, PdfFont()]
each_font = pytest.mark.parametrize("font", FONTS, ids=lambda font: type(font).__name__)


@each_font
def test_ascii_is_shown_as_it_is(font):
    text = "".join(map(chr, range(32, 127)))
    assert shown(text, font) == text


@each_font
@pytest.mark.parametrize(
    ("character", "code"),
    [
        ("\u202e", r"\u202e"),
        ("\u2066", r"\u2066"),
        ("\u200b", r"\u200b"),
        ("\n", r"\x0a"),
        ("\x1b", r"\x1b"),
        ("\x00", r"\x00"),
        ("\u2028", r"\u2028"),
        ("\udcff", r"\xff"),
        ("\ud800", r"\ud800"),
        ("\ufffe", r"\ufffe"),
        ("\ue000", r"\ue000"),
    ],
)
def test_characters_that_hide_or_reorder_others_are_visible_as_codes(font, character, code):
    assert shown(f"cat{character}gpj.exe", font) == f"cat{code}gpj.exe"


@needs_opencv_5
@pytest.mark.parametrize("text", ["été", "Größe", "Žižek", "кошка", "γάτα", "猫の写真", "高清图片"])
def test_the_font_of_images_has_the_letters_of_many_languages(text):
    assert shown(text, OpenCVFont()) == text


@pytest.mark.parametrize("text", ["été", "Größe", "Žižek", "кошка", "γάτα"])
def test_the_font_of_pages_has_latin_greek_and_cyrillic_letters(text):
    assert shown(text, PdfFont()) == text


def test_letters_that_a_font_lacks_are_codes_and_two_names_never_become_one():
    assert shown("猫", PillowFont()) == r"\u732b"
    assert shown("😀", RASTER_FONTS[0]) == r"\U0001f600"
    assert shown("猫", PillowFont()) != shown("犬", PillowFont())


@needs_opencv_5
def test_a_decomposed_name_is_shown_as_a_composed_one():
    assert shown("e\u0301te\u0301", OpenCVFont()) == "été"


@each_font
@pytest.mark.parametrize("bold", [False, True])
def test_a_long_name_keeps_its_start_and_its_end_within_the_width(font, bold):
    name = "holiday in the mountains, the long way round, part 17 of 112 (final).jpg"
    for width in (120, 200, 350):
        short = shortened(name, font, 20, width, bold=bold)
        assert font.width(short, 20, bold=bold) <= width
        start, end = short.split("...")
        assert name.startswith(start)
        assert name.endswith(end)
        assert len(end) + 1 >= len(start) >= 1  # but for a space
        longer = name[: len(start) + 3] + "..." + name[-len(end) - 3 :]
        assert font.width(longer, 20, bold=bold) > width
    assert shortened("cat.jpg", font, 20, 200, bold=bold) == "cat.jpg"


@each_font
def test_bold_and_large_text_is_wider(font):
    text = "log-likelihood"
    assert font.width(text, 20) < font.width(text, 20, bold=True)
    assert font.width(text, 40) == pytest.approx(2 * font.width(text, 20), rel=0.05)


@pytest.mark.parametrize("font", RASTER_FONTS, ids=lambda font: type(font).__name__)
@pytest.mark.parametrize("bold", [False, True])
def test_text_is_drawn_in_its_color_within_its_width_and_on_its_baseline(font, bold):
    canvas = np.full((80, 400, 3), 255, dtype=np.uint8)
    font.draw(canvas, 20, 50, "EXACT HE", 24, "#d02030", bold=bold)
    rows, columns = np.nonzero((canvas != 255).any(axis=2))
    assert (rows.max(), columns.min()) == (pytest.approx(49, abs=1), pytest.approx(21, abs=2))
    assert columns.max() - 20 == pytest.approx(font.width("EXACT HE", 24, bold=bold), abs=4)
    inked = np.unique(canvas[rows, columns], axis=0)
    assert [0xD0, 0x20, 0x30] in inked.tolist()


@needs_opencv_5
def test_without_the_font_of_opencv_that_of_pillow_is_used(monkeypatch):
    monkeypatch.delattr(cv2, "FontFace")
    assert isinstance(raster_font.__wrapped__(), PillowFont)
    monkeypatch.undo()
    assert isinstance(raster_font.__wrapped__(), OpenCVFont)
