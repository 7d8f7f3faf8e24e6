"""Fixtures shared by the tests of the command."""

import numpy as np
import pytest
from PIL import Image


@pytest.fixture
def ramp(tmp_path):
    """An image of 40 x 30 pixels whose right half is partly transparent."""
    pixels = np.zeros((30, 40, 4), dtype=np.uint8)
    pixels[..., 0] = np.linspace(0, 255, 40).astype(np.uint8)
    pixels[..., 1] = np.linspace(0, 200, 30).astype(np.uint8)[:, np.newaxis]
    pixels[..., 3] = np.where(np.arange(40) < 20, 255, 100)
    Image.fromarray(pixels).save(tmp_path / "ramp.png")
    return "ramp.png"
