"""Mixtures of a palette that take the place of colours that no mixture reaches."""

import numpy as np
import pytest
from scipy.optimize import linprog, nnls

from gmmquant import Quantizer, quantize, read_palette
from gmmquant.colors.spaces import LINEAR, OKLAB, linear_to_oklab
from gmmquant.images.dithering import reach
from gmmquant.images.dithering.mixing import mixing_of
from gmmquant.models.gaussian import Gaussians

NAMES = ["pico8", "c64", "gameboy", "spectra6", "black,white,red", "black,white", "red"]


def prepared(name, n=40):
    """Return a palette, its mixing, its linear colours, and random linear colours."""
    palette = read_palette(name)
    mixing = mixing_of(palette, given=True)
    values = mixing.from_srgb(np.random.default_rng(7).random((n, 3)))
    return palette, mixing, mixing.from_srgb(palette / 255), values


def weights_of(mixture, corners):
    """Return weights of a mixture by linear programming, or None if it is none."""
    equations = np.vstack([corners.T, np.ones(len(corners))])
    found = linprog(np.zeros(len(corners)), A_eq=equations, b_eq=[*mixture, 1], bounds=(0, 1))
    return found.x if found.status == 0 else None


@pytest.mark.parametrize("name", NAMES)
def test_what_a_mixture_reaches_stays_and_the_rest_becomes_a_mixture(name):
    _, mixing, colors, values = prepared(name)
    moved = reach.reachable(values, colors, mixing)
    for value, mixture in zip(values, moved, strict=True):
        if weights_of(value, colors) is not None:
            np.testing.assert_array_equal(mixture, value)
        else:
            inward = mixture + 1e-6 * (colors.mean(axis=0) - mixture)
            assert weights_of(inward, colors) is not None
    shares = np.random.default_rng(1).dirichlet(np.ones(len(colors)), 20)
    np.testing.assert_allclose(reach.reachable(shares @ colors, colors, mixing), shares @ colors, atol=2e-3)
    np.testing.assert_array_equal(reach.reachable(colors, colors, mixing), colors)


@pytest.mark.parametrize("name", NAMES)
def test_hardly_any_of_many_mixtures_looks_nearer(name):
    _, mixing, colors, values = prepared(name)
    moved = reach.reachable(values, colors, mixing)
    rng = np.random.default_rng(2)
    shares = np.vstack([rng.dirichlet(np.full(len(colors), alpha), 20_000) for alpha in (0.05, 0.2, 1)])
    for value, mixture in zip(values, moved, strict=True):
        target = mixing.seen(value)
        best = np.linalg.norm(mixing.seen(shares @ colors) - target, axis=1).min()
        assert np.linalg.norm(mixing.seen(mixture) - target) <= best + 0.02


def test_many_colours_are_moved_about_as_few_are(monkeypatch):
    _, mixing, colors, values = prepared("c64", 400)
    few = reach.reachable(values, colors, mixing)
    monkeypatch.setattr(reach, "_MAX_EXACT_COLORS", 0)
    monkeypatch.setattr(reach, "_NODES", 7)
    coarse = linear_to_oklab(reach.reachable(values, colors, mixing)) - linear_to_oklab(few)
    assert 0 < np.linalg.norm(coarse, axis=1).max() < 0.15
    assert np.linalg.norm(coarse, axis=1).mean() < 0.02


def distance_to_mixtures(point, corners):
    """Return the distance to the nearest point of the hull, by non-negative least squares."""
    heavy = 1e4  # as the sum of weights must be 1
    weights, _ = nnls(np.vstack([corners.T, np.full(len(corners), heavy)]), [*point, heavy])
    return np.linalg.norm(weights @ corners - point)


@pytest.mark.parametrize(("n", "error"), [(300, 0.003), (3000, 0.02)])
def test_colours_beyond_fitted_ones_come_as_near_as_the_slack_to_a_mixture(n, error):
    rng = np.random.default_rng(5)
    palette = rng.integers(60, 200, (9, 3)).astype(np.uint8)
    mixing = mixing_of(palette, given=False)
    srgb = rng.random((n, 3))
    values, colors = mixing.from_srgb(srgb), mixing.from_srgb(palette / 255)
    np.testing.assert_allclose(mixing.to_srgb(values), srgb, atol=1e-6)
    moved = reach.reachable(values, colors, mixing)
    before, after = (
        np.array([distance_to_mixtures(point, mixing.looks(colors)) for point in mixing.looks(points[:80])])
        for points in (values, moved)
    )
    np.testing.assert_array_equal(moved[:80][before < mixing.slack / 2], values[:80][before < mixing.slack / 2])
    longest = np.linalg.norm(mixing.looks(np.eye(3)), axis=1).max()  # of a move, for its length where means are taken
    assert (before > 0.1).sum() > 20
    assert after.max() < longest * mixing.slack + error


@pytest.mark.parametrize(("dither", "share"), [("floyd-steinberg", 0.99), ("blue-noise", 0.88), ("bayer", 0.88)])
def test_a_light_yellow_beyond_fitted_colours_is_hardly_drawn_in_turquoise(dither, share):
    """Of these colours, only the turquoise is as light."""
    palette = np.array([[190, 156, 61], [77, 203, 226], [140, 110, 35], [60, 50, 20]], dtype=np.uint8)
    image = np.full((64, 64, 3), [215, 168, 58], dtype=np.uint8)
    image[:, 40:] = [70, 200, 220]
    quantizer = Quantizer(image, method="kmeans", space="oklab", dither=dither)
    covariances = np.repeat(1e-3 * np.eye(3)[np.newaxis], 4, axis=0)
    mixture = Gaussians(np.full(4, 0.25), OKLAB.from_srgb(palette / 255), covariances)
    labels = quantizer.apply(mixture).labels
    assert np.mean(labels[:, :36] == 0) > share
    assert np.mean(labels[:, 44:] == 1) > 0.9


def test_a_large_flat_palette_has_few_corners():
    greys = np.repeat(np.linspace(0, 1, 4096)[:, np.newaxis], 3, axis=1)
    corners, outside = reach._hull(greys, greys[:5])
    np.testing.assert_array_equal(np.sort(corners[:, 0]), [0, 1])
    assert outside.all()


@pytest.mark.parametrize("dither", ["floyd-steinberg", "blue-noise", "bayer"])
@pytest.mark.parametrize(
    ("color", "name"),
    [
        ((0, 0, 200), "pico8"),
        ((0, 0, 255), "pico8"),
        ((255, 0, 255), "pico8"),
        ((255, 0, 0), "c64"),
        ((200, 0, 0), "c64"),
        ((255, 0, 80), "gameboy"),
        ((0, 0, 255), "black,white,red"),
    ],
)
def test_a_vivid_area_looks_no_farther_from_its_colour_than_without_dithering(color, name, dither):
    image = np.full((64, 64, 3), color, dtype=np.uint8)

    def difference(pixels):
        mean = LINEAR.to_srgb(LINEAR.from_srgb(pixels / 255).mean(axis=(0, 1)))
        return np.linalg.norm(OKLAB.from_srgb(mean) - OKLAB.from_srgb(np.array(color) / 255))

    plain, dithered = (quantize(image, palette=name, dither=each).image for each in ("none", dither))
    assert difference(dithered) <= difference(plain) + 0.015
