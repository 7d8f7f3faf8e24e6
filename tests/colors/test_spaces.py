"""Colour spaces, against colour-science and against their own inverses."""

import warnings

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from gmmquant.colors.spaces import CHROMA_WEIGHT, COLOR_SPACES, LAB, LINEAR, OKLAB, SRGB

OTHERS = [LINEAR, LAB, OKLAB]
GRID = np.stack(np.meshgrid(*[np.linspace(0, 1, 18)] * 3, indexing="ij"), axis=-1).reshape(-1, 3)

colors = arrays(np.float64, (5, 3), elements=st.floats(0, 1))


@pytest.fixture(scope="module")
def oracle():
    """colour-science, with the matrices that follow from primaries and white instead of rounded ones."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        import colour
    space = colour.RGB_COLOURSPACES["sRGB"].copy()
    space.use_derived_transformation_matrices(True)
    xyz = colour.RGB_to_XYZ(GRID, space, apply_cctf_decoding=True)
    return {
        "linear": colour.cctf_decoding(GRID, function="sRGB"),
        "lab": colour.XYZ_to_Lab(xyz, space.whitepoint),
        "oklab": colour.XYZ_to_Oklab(xyz),
    }


@pytest.mark.parametrize("space", OTHERS, ids=lambda space: space.name)
def test_a_space_agrees_with_an_independent_library(space, oracle):
    np.testing.assert_allclose(space.from_srgb(GRID), oracle[space.name], atol=1e-6, rtol=0)


@pytest.mark.parametrize("space", COLOR_SPACES.values(), ids=COLOR_SPACES)
@given(srgb=colors)
def test_conversion_there_and_back_gives_the_same_color(space, srgb):
    np.testing.assert_allclose(space.to_srgb(space.from_srgb(srgb)), srgb, atol=1e-7, rtol=0)


@pytest.mark.parametrize("space", COLOR_SPACES.values(), ids=COLOR_SPACES)
def test_every_eight_bit_color_survives_the_conversion_there_and_back(space):
    srgb = np.random.default_rng(0).integers(0, 256, (20_000, 3))
    assert np.array_equal(np.rint(255 * space.to_srgb(space.from_srgb(srgb / 255))), srgb)


@pytest.mark.parametrize("space", COLOR_SPACES.values(), ids=COLOR_SPACES)
def test_colors_outside_the_gamut_are_not_clipped(space):
    outside = np.array([[1.2, -0.1, 0.5], [-0.2, 1.1, 1.3]])
    np.testing.assert_allclose(space.to_srgb(space.from_srgb(outside)), outside, atol=1e-6)


@pytest.mark.parametrize("space", COLOR_SPACES.values(), ids=COLOR_SPACES)
def test_the_bounds_hold_the_gamut_closely(space):
    values = space.from_srgb(GRID)
    spread = np.subtract(space.high, space.low)
    assert (values >= np.subtract(space.low, 1e-12)).all()
    assert (values <= np.add(space.high, 1e-12)).all()
    assert (np.ptp(values, axis=0) > 0.98 * spread).all()


def test_greys_are_neutral_in_lab():
    greys = LAB.from_srgb(np.repeat(np.linspace(0, 1, 11)[:, np.newaxis], 3, axis=1))
    np.testing.assert_allclose(greys[:, 1:], 0, atol=1e-10)
    np.testing.assert_allclose(greys[[0, -1], 0], [0, 100], atol=1e-10)


@pytest.mark.parametrize("space", COLOR_SPACES.values(), ids=COLOR_SPACES)
def test_rounding_scatter_is_the_covariance_of_many_rounded_colors(space):
    rng, variance = np.random.default_rng(0), (2 / 255) ** 2
    srgb = np.array([[0.5, 0.4, 0.3], [0.9, 0.2, 0.6]])
    for color, upper in zip(srgb, space.rounding_scatter(srgb, variance).T, strict=True):
        drawn = space.from_srgb(color + np.sqrt(variance) * rng.normal(size=(100_000, 3)))
        expected = np.cov(drawn, rowvar=False)[np.triu_indices(3)]
        np.testing.assert_allclose(upper, expected, atol=0.02 * np.abs(expected).max())


def test_in_srgb_rounding_scatter_is_the_variance_itself():
    np.testing.assert_allclose(
        SRGB.rounding_scatter(GRID, 1e-6), 1e-6 * np.tile([[1], [0], [0], [1], [0], [1]], len(GRID))
    )


@pytest.mark.parametrize("space", COLOR_SPACES.values(), ids=COLOR_SPACES)
def test_rounding_scatter_has_an_inverse_everywhere(space):
    upper = space.rounding_scatter(GRID, (1 / 65535) ** 2)
    matrices = np.empty((len(GRID), 3, 3))
    rows, columns = np.triu_indices(3)
    matrices[:, rows, columns] = matrices[:, columns, rows] = upper.T
    assert (np.linalg.eigvalsh(matrices)[:, 0] > 0).all()
    assert np.isfinite(upper).all()


@pytest.mark.parametrize("space", COLOR_SPACES.values(), ids=COLOR_SPACES)
def test_the_shape_of_components_is_wider_along_greys_and_a_sphere_across(space):
    black, white = space.from_srgb(np.array([[0.0] * 3, [1.0] * 3]))
    (across, same, along), axes = np.linalg.eigh(space.component_shape())
    assert across == pytest.approx(same) == pytest.approx(along / CHROMA_WEIGHT**2)
    assert abs(axes[:, 2] @ (white - black)) == pytest.approx(np.linalg.norm(white - black), rel=1e-5)
