"""Names of built-in palettes."""

import pytest

from gmmquant.colors.named_palettes import NAMED_PALETTES, name_of


@pytest.mark.parametrize("name", NAMED_PALETTES)
def test_the_name_of_a_palette_is_found_by_its_codes_in_order(name):
    codes = [f"#{code}" for code in NAMED_PALETTES[name]]
    assert name_of(codes) == name
    assert name_of(tuple(codes)) == name
    assert name_of(codes[::-1]) is None
    assert name_of(codes[:-1]) is None


def test_colors_of_no_palette_have_no_name():
    assert name_of([]) is None
    assert name_of(["#123456"]) is None
