"""The sample images are what their script draws."""

import importlib.util
import shutil

import numpy as np
import pytest

from gmmquant.images.files import read_image


@pytest.fixture(scope="module")
def redrawn(samples, tmp_path_factory):
    folder = tmp_path_factory.mktemp("samples")
    script = shutil.copy(samples / "draw.py", folder / "draw.py")
    spec = importlib.util.spec_from_file_location("draw", script)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    module.main()
    return folder


@pytest.mark.parametrize(
    ("name", "shape", "dtype"),
    [
        ("alpha.png", (96, 96, 4), np.uint8),
        ("cutout.png", (120, 180, 4), np.uint8),
        ("sixteen.png", (64, 96, 3), np.uint16),
        ("grey.png", (64, 96, 3), np.uint8),
        ("flat.png", (64, 96, 3), np.uint8),
        ("ball.webp", (12 * 64, 96, 3), np.uint8),
    ],
)
def test_a_drawn_sample_is_what_the_script_draws(samples, redrawn, name, shape, dtype):
    kept, drawn = read_image(samples / name).pixels, read_image(redrawn / name).pixels
    assert kept.shape == shape
    assert kept.dtype == dtype
    assert np.array_equal(kept, drawn)
