"""The space of dithering: the weight on chroma, and that means are of light."""

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from gmmquant.colors.spaces import LINEAR, OKLAB
from gmmquant.images.dithering.mixing import chroma_weight, mixing_of

GREYS = np.repeat(np.linspace(0, 1, 2001)[:, np.newaxis], 3, axis=1)
colors = st.tuples(*[st.integers(0, 255)] * 3)


def nearest_to_greys(palette, weight):
    """Return the colour of a palette (K, 3), in OKLab with a weight on chroma, that is nearest to each of GREYS."""
    scale = [1, weight, weight]
    distances = ((OKLAB.from_srgb(GREYS)[:, np.newaxis] - OKLAB.from_srgb(palette / 255)) * scale) ** 2
    return distances.sum(axis=-1).argmin(axis=1)


@settings(max_examples=100)
@given(st.lists(colors, min_size=1, max_size=5), st.lists(st.integers(1, 254), max_size=3))
def test_a_grey_between_two_is_never_nearest_to_a_vivid_colour(vivid, greys):
    palette = np.array([(0, 0, 0), (255, 255, 255), *[(grey,) * 3 for grey in greys], *vivid], dtype=float)
    lab = OKLAB.from_srgb(palette / 255)
    chroma = np.hypot(*lab[:, 1:].T)
    assume((chroma[2 + len(greys) :] >= 0.1).all())
    weight = chroma_weight(lab)
    assert (nearest_to_greys(palette, 1.001 * weight) < 2 + len(greys)).all()
    if weight > 0.8 * 1.02:  # it is the least such weight
        assert (nearest_to_greys(palette, 0.98 * weight) >= 2 + len(greys)).any()


@pytest.mark.parametrize(
    ("codes", "weight"),
    [
        ("000000 ffffff ff0000", 1.876),
        ("000000 ffffff 0000ff", 1.589),
        ("000000 ffffff", 0.8),
        ("000000 ff0000 00ff00", 0.8),
        ("ff0000", 0.8),
    ],
)
def test_the_weight_on_chroma_follows_from_the_palette(codes, weight):
    palette = np.array([tuple(bytes.fromhex(code)) for code in codes.split()], dtype=np.uint8)
    assert chroma_weight(OKLAB.from_srgb(palette / 255)) == pytest.approx(weight, abs=1e-3)


def test_given_colours_are_mixed_in_light_and_fitted_ones_in_oklab():
    rng = np.random.default_rng(0)
    palette = rng.integers(256, size=(40, 3)).astype(np.uint8)
    fitted, given_ones = (mixing_of(palette, given=given) for given in (False, True))
    weight = chroma_weight(OKLAB.from_srgb(palette / 255))
    oklab = OKLAB.from_srgb(palette / 255)
    np.testing.assert_allclose(fitted.seen(fitted.from_srgb(palette / 255)), oklab * [1, 0.65, 0.65])
    np.testing.assert_array_equal(given_ones.from_srgb(palette / 255), LINEAR.from_srgb(palette / 255))
    np.testing.assert_allclose(given_ones.seen(LINEAR.from_srgb(palette / 255)), oklab * [1, weight, weight], atol=1e-9)
