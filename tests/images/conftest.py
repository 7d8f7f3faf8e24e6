"""Colours to convert, and an independent route."""

import warnings

import numpy as np
import pytest


@pytest.fixture(scope="session")
def colour():
    """colour-science."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        import colour
    return colour


@pytest.fixture
def colors():
    """Random colours with many dark ones, (40, 60, 3), uint8."""
    values = np.random.default_rng(0).integers(0, 256, (40, 60, 3), dtype=np.uint8)
    values[:10] //= 8
    return values
