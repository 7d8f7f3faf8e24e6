"""The strength of masks in given colours: from the nearest colour to the light of the image, without steps."""

import numpy as np
import pytest

from gmmquant import quantize
from gmmquant.colors.spaces import LINEAR
from gmmquant.images.dithering.ordered import _targets

STRENGTHS = (0, 0.25, 0.5, 0.75, 1)
MASKS = pytest.mark.parametrize("dither", ["bayer", "blue-noise"])


def ramp():
    """Return a ramp of the 256 greys, in areas of 16 x 64 pixels."""
    greys = np.repeat(np.arange(256, dtype=np.uint8), 16)
    return np.broadcast_to(greys[np.newaxis, :, np.newaxis], (64, greys.size, 3)).copy()


def light_of_greys(dither, strength, palette="bw"):
    """Return the mean linear light of each of the 256 greys of the ramp."""
    drawn = quantize(ramp(), palette=palette, dither=dither, strength=strength).image
    return LINEAR.from_srgb(drawn / 255)[..., 0].mean(axis=0).reshape(256, 16).mean(axis=1)


@MASKS
@pytest.mark.parametrize("palette", ["bw", ["#000", "#777", "#fff"], ["#000", "#fff", "#f00"]])
def test_a_ramp_has_no_step_at_any_strength_but_zero(dither, palette):
    for strength in STRENGTHS[1:]:
        light = light_of_greys(dither, strength, palette)
        assert np.diff(light).max() < 0.05 / strength
        assert np.diff(light).min() > -0.03  # of the mask, which has few ranks in an area


@MASKS
def test_each_grey_goes_from_its_nearest_colour_to_its_own_light_as_the_strength_grows(dither):
    light = np.array([light_of_greys(dither, strength) for strength in STRENGTHS])
    own = LINEAR.from_srgb(np.arange(256) / 255)
    assert set(light[0]) == {0, 1}
    assert np.abs(light[-1] - own).max() < 0.03
    towards = np.where(light[0] == 1, -1, 1)
    assert (np.diff(light, axis=0) * towards).min() > -0.03
    distance = np.abs(light - own).mean(axis=1)
    assert (np.diff(distance) < -0.01).all()
    assert (np.diff(light.mean(axis=1)) < -0.03).all()  # more greys are nearest to white than to black


@pytest.mark.parametrize("strength", [0.1, 0.5, 0.9])
def test_the_mean_to_show_is_the_same_on_both_sides_of_a_border(strength):
    rng = np.random.default_rng(0)
    palettes = [np.array([[0, 0, 0], [0.6, 0, 0], [0.66, 0.66, 0]]), *(rng.random((K, 3)) for K in range(2, 9))]
    for palette in palettes:
        one, other = palette[:2]
        middle = (one + other) / 2 + np.cross(other - one, rng.random((50, 3)))  # as near to one as to the other
        step = 1e-7 * (other - one)
        values = np.stack([middle - step, middle + step])
        nearest = np.square(values[:, :, np.newaxis] - palette).sum(axis=3).argmin(axis=2)
        at_border = (nearest == [[0], [1]]).all(axis=0)
        sides = [
            _targets(side[at_border], palette, near[at_border], lambda colors: colors, strength)
            for side, near in zip(values, nearest, strict=True)
        ]
        np.testing.assert_allclose(*sides, atol=0.02)


def test_colours_of_the_palette_are_kept_at_any_strength():
    palette = np.array([[0, 0, 0], [255, 0, 0], [255, 0, 0], [90, 90, 90], [255, 255, 255]], dtype=np.uint8)
    image = np.repeat(palette, 64, axis=0).reshape(5, 64, 3)
    for strength in STRENGTHS:
        assert np.array_equal(quantize(image, palette=palette, dither="bayer", strength=strength).image, image)
