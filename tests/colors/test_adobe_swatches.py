"""Adobe's swatches: names, and channels as levels of 8 bits."""

import numpy as np
import pytest

from gmmquant import PaletteFileError
from gmmquant.colors.adobe_swatches import _to_8_bits, encode_ase, read_ase
from gmmquant.colors.palette import NamedPalette, Swatch


def test_every_level_is_restored_from_its_fraction():
    assert _to_8_bits(level / 255 for level in range(256)) == tuple(range(256))


def test_values_outside_by_rounding_are_the_nearest_level_and_others_are_refused():
    assert _to_8_bits([-0.49 / 255, 255.49 / 255, 127.51 / 255]) == (0, 255, 128)
    for level in (-0.51, -1.4, 255.51, 256.0, float("nan"), float("inf")):
        with pytest.raises(PaletteFileError, match="outside 0 to 1; get an undamaged copy"):
            _to_8_bits([0.5, level / 255])


def test_an_ase_file_restores_colours_and_names():
    colors = np.array([[1, 2, 3], [255, 0, 128]], dtype=np.uint8)
    swatches = list(read_ase(encode_ase(NamedPalette(colors, "Sky", None, ["Zürich blue", "\U0001f600"]))))
    assert swatches == [Swatch((1, 2, 3), "Zürich blue"), Swatch((255, 0, 128), "\U0001f600")]
