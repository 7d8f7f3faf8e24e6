"""Layers that add up to the image: their colours, their alphas, their files, and the OpenRaster file."""

import io
import json
import zipfile
from xml.etree import ElementTree as ET

import numpy as np
import pytest
from helpers import SAMPLE_IMAGES, log_joint_by_scipy, random_covariances, read_sample
from PIL import Image
from scipy.optimize import minimize
from scipy.special import softmax

from gmmquant import ParameterError, Quantizer, Settings, read_image
from gmmquant.colors.spaces import COLOR_SPACES
from gmmquant.images import layers as layers_module
from gmmquant.images.layers import alpha_levels, covering, rounded
from gmmquant.images.unmixing import Unmixing, bounded, unmixed

CAT = read_sample("cat.jpg")[::4, ::4]
COFFEE = read_sample("coffee.png")[::6, ::6]
ALPHA = read_sample("alpha.png")

# Of the textbook fit, whatever the defaults are.
TEXTBOOK = {"covariance": "full", "noise": 0, "shrink": 0}


def random_shares(rng, n_components, n):
    """Draw shares (K, n) that sum to 1, some of them 0."""
    shares = rng.dirichlet(np.full(n_components, 0.4), size=n).T
    shares[shares < 0.02] = 0
    return shares / shares.sum(axis=0)


def energy(colors, shares, means, covariances):
    """Return the energy of colours (K, 3) of one pixel with `shares` (K,)."""
    offsets = colors - means
    return float(shares @ np.einsum("ki,kij,kj->k", offsets, np.linalg.inv(covariances), offsets))


# The colours of exact layers


def test_unmixed_colors_solve_the_equations_of_the_constrained_minimum():
    rng = np.random.default_rng(0)
    means, covariances = rng.random((4, 3)), random_covariances(rng, 4, 3, scale=0.01)
    shares, targets = random_shares(rng, 4, 50), rng.random((50, 3))
    colors = unmixed(shares, targets, means, covariances)
    for pixel in range(50):
        present = np.flatnonzero(shares[:, pixel])
        a, n = shares[present, pixel], 3 * present.size
        # The minimum of u^T H u / 2 - g^T u with A u = x has [H A^T; A 0] [u; lambda] = [g; x].
        H = np.zeros((n, n))
        for i, (share, covariance) in enumerate(zip(a, covariances[present], strict=True)):
            H[3 * i : 3 * i + 3, 3 * i : 3 * i + 3] = 2 * share * np.linalg.inv(covariance)
        A = np.hstack([share * np.eye(3) for share in a])
        system = np.block([[H, A.T], [A, np.zeros((3, 3))]])
        solution = np.linalg.lstsq(system, np.concatenate([H @ means[present].ravel(), targets[pixel]]), rcond=None)[0]
        np.testing.assert_allclose(colors[present, pixel].ravel(), solution[:n], rtol=1e-7, atol=1e-9)


def test_unmixed_colors_of_an_image_add_up_to_it_before_they_are_clipped():
    quantizer = Quantizer(CAT, **TEXTBOOK)
    fit = quantizer.fit(7)
    targets = quantizer.histogram.values
    shares = softmax(log_joint_by_scipy(targets, fit.weights, fit.means, fit.covariances), axis=1).T
    colors = unmixed(shares, targets, fit.means, fit.covariances)
    assert ((np.einsum("kn,kni->ni", shares, colors) - targets) ** 2).max() < 1e-27
    assert colors.min() < 0 or colors.max() > 1  # so this image needs bounds


def test_bounded_colors_keep_their_sums_and_those_inside_do_not_change():
    rng = np.random.default_rng(1)
    shares, targets = random_shares(rng, 5, 400), rng.random((400, 3))
    targets[:20] = rng.integers(0, 2, (20, 3))  # corners of the cube, which only equal colours reach
    shares[:, 20:40] = np.eye(5)[:, rng.integers(0, 5, 20)]
    colors = targets + rng.normal(scale=0.3, size=(5, 400, 3))
    colors -= np.einsum("kn,kni->ni", shares, colors) - targets
    inside = ((colors >= 0) & (colors <= 1)).all(axis=(0, 2))
    assert 0 < inside.sum() < 400
    moved = bounded(colors, shares, targets)
    assert moved.min() >= 0
    assert moved.max() <= 1
    np.testing.assert_allclose(np.einsum("kn,kni->ni", shares, moved), targets, atol=1e-12)
    np.testing.assert_allclose(moved[:, inside], colors[:, inside], atol=1e-12)


def test_bounded_colors_are_nearly_the_most_probable_ones_within_the_bounds():
    quantizer = Quantizer(COFFEE, **TEXTBOOK)
    fit = quantizer.fit(5)
    targets = quantizer.histogram.values
    shares = softmax(log_joint_by_scipy(targets, fit.weights, fit.means, fit.covariances), axis=1).T
    shares[shares < 1 / 255] = 0
    shares /= shares.sum(axis=0)
    colors = unmixed(shares, targets, fit.means, fit.covariances)
    outside = ((colors < 0) | (colors > 1)).any(axis=2) & (shares > 0)
    pixels = np.flatnonzero(outside.any(axis=0))[::15][:25]
    moved, ratios = bounded(colors, shares, targets), []
    for pixel in pixels:
        present = np.flatnonzero(shares[:, pixel])
        a, means, covariances = shares[present, pixel], fit.means[present], fit.covariances[present]
        A = np.hstack([share * np.eye(3) for share in a])
        best = minimize(
            lambda u, a=a, means=means, covariances=covariances: energy(u.reshape(-1, 3), a, means, covariances),
            moved[present, pixel].ravel(),
            bounds=[(0, 1)] * A.shape[1],
            constraints={"type": "eq", "fun": lambda u, A=A, pixel=pixel: A @ u - targets[pixel]},
            method="SLSQP",
        )
        ratios.append(energy(moved[present, pixel], a, means, covariances) / best.fun)
    assert len(ratios) == 25
    assert min(ratios) > 1 - 1e-3  # nothing is better than the minimum
    assert np.median(ratios) < 1.05


@pytest.mark.parametrize("space", ["linear", "lab", "oklab"])
def test_components_in_another_space_have_the_srgb_moments_of_their_colors(space):
    quantizer = Quantizer(CAT[::2, ::2], space=space, **TEXTBOOK)
    fit = quantizer.fit(4)
    histogram = quantizer.histogram
    points, values = histogram.points(COLOR_SPACES[space]), histogram.values
    found = Unmixing.from_colors(points, fit.mixture, histogram.channels, histogram.largest, 1e-4)
    positions = COLOR_SPACES[space].from_srgb(values)
    shares = softmax(log_joint_by_scipy(positions, fit.weights, fit.means, fit.covariances), axis=1)
    for share, mean, covariance in zip(shares.T, found.means, found.covariances, strict=True):
        weights = share * histogram.counts
        np.testing.assert_allclose(mean, np.average(values, axis=0, weights=weights), atol=1e-9)
        expected = np.cov(values.T, aweights=weights, ddof=0) + 1e-4 * np.eye(3)
        np.testing.assert_allclose(covariance, expected, atol=1e-9)


# Alphas


def test_levels_are_rounded_together():
    rng = np.random.default_rng(2)
    alpha = rng.integers(1, 256, 500).astype(np.uint8)
    exact = random_shares(rng, 6, 500) * alpha
    levels = rounded(exact, alpha)
    assert np.array_equal(levels.sum(axis=0), alpha)
    assert np.abs(levels - exact).max() < 1
    assert not levels[exact == 0].any()


def test_levels_of_many_components_add_up_to_the_color_of_their_shares():
    rng = np.random.default_rng(5)
    palette = rng.choice(np.array([0, 255], np.uint8), (60, 3))  # far apart: each level counts most
    alpha = rng.integers(60, 256, 800).astype(np.uint8)
    shares = random_shares(rng, 60, 800)
    levels = alpha_levels(shares, alpha, palette)
    assert np.array_equal(levels.sum(axis=0), alpha)
    assert not levels[shares == 0].any()

    def error(levels):
        return np.abs((levels - shares * alpha).T @ palette / 255).max(axis=1)

    assert error(levels).max() <= 0.5
    assert error(rounded(shares * alpha, alpha)).max() > 0.5  # without exchanges


def test_layers_that_cover_each_other_have_the_shares_of_layers_that_are_added():
    rng = np.random.default_rng(3)
    alpha = rng.integers(1, 256, 600).astype(np.uint8)
    alpha[:300] = 255
    levels = rounded(random_shares(rng, 7, 600) * alpha, alpha).astype(np.uint8)
    alphas, shares = covering(levels)
    assert not alphas[levels == 0].any()
    visible, weights = np.ones(600), np.zeros((7, 600))
    for layer in reversed(range(7)):
        weights[layer] = visible * alphas[layer] / 255
        visible = visible * (1 - alphas[layer] / 255)
    np.testing.assert_allclose(shares, weights / weights.sum(axis=0), atol=1e-12)
    composed = 255 * (1 - visible)
    assert np.array_equal(composed[:300], alpha[:300])
    assert np.array_equal(np.rint(composed), alpha)
    # What shines through the layers from each one up is right to half a level, so each share is to a level.
    assert np.abs(255 * weights - levels).max() <= 1 + 1e-9


# Exact layers


def layer_sum(layers):
    """Return the sum of layers, colours times alpha in 0..255, and the sum of their alphas."""
    pixels = [layer.pixels.astype(float) for layer in layers]
    return sum(layer[..., :3] * layer[..., 3:] / 255 for layer in pixels), sum(layer[..., 3] for layer in pixels)


def as_rgba(image):
    """Return an image as float RGB (h, w, 3) in 0..255, and alpha (h, w) in 0..255."""
    rgb = np.repeat(image[..., np.newaxis], 3, axis=2) if image.ndim == 2 else image[..., :3]
    alpha = image[..., 3] if image.ndim == 3 and image.shape[2] == 4 else np.full(rgb.shape[:2], 255)
    return rgb * (255 / np.iinfo(image.dtype).max), alpha


EXACT_CASES = {
    "full": (CAT, 7, TEXTBOOK),
    "default": (CAT, 7, {}),
    "smoothed": (CAT, 7, {"noise": 2, "shrink": 0.8}),
    "many": (ALPHA, 40, TEXTBOOK),
    "one": (CAT, 1, {}),
    "tied": (COFFEE, 6, {"covariance": "tied", "shrink": 0}),
    "diag": (COFFEE, 6, {"covariance": "diag", "shrink": 0}),
    "spherical": (COFFEE, 6, {"covariance": "spherical", "shrink": 0}),
    "kmeans": (COFFEE, 6, {"method": "kmeans"}),
    "linear": (COFFEE, 6, {"space": "linear"}),
    "lab": (COFFEE, 6, {"space": "lab"}),
    "oklab": (COFFEE, 6, {"space": "oklab"}),
    "alpha": (ALPHA, 12, {}),
    "grey": (read_sample("grey.png"), 5, {}),
    "few colours": (read_sample("flat.png"), 20, {}),
    "16 bits": (read_image(SAMPLE_IMAGES / "sixteen.png").pixels, 6, {}),
}


@pytest.mark.parametrize("case", EXACT_CASES)
def test_exact_layers_add_up_to_the_image_within_half_a_level(case):
    image, k, settings = EXACT_CASES[case]
    quantizer = Quantizer(image, Settings(**settings))
    fit = quantizer.fit(k)
    layers = list(quantizer.layers(fit, exact=True))
    assert len(layers) == len(fit.palette)
    colors, alpha = as_rgba(image)
    added, total = layer_sum(layers)
    assert np.array_equal(total, alpha)
    assert np.abs(added - colors * (alpha / 255)[..., np.newaxis]).max() <= 0.5 + 1e-9
    opaque = alpha == 255
    if image.dtype == np.uint8:
        assert np.array_equal(np.rint(added)[opaque], colors[opaque])
    for color, layer in zip(fit.palette, layers, strict=True):
        assert (layer.colors[layer.alpha == 0] == color).all()


def test_exact_layers_have_the_alphas_of_the_responsibilities():
    quantizer = Quantizer(CAT, **TEXTBOOK)
    fit = quantizer.fit(6)
    positions = CAT.reshape(-1, 3) / 255
    shares = softmax(log_joint_by_scipy(positions, fit.weights, fit.means, fit.covariances), axis=1)
    for share, layer in zip(shares.T, quantizer.layers(fit, exact=True), strict=True):
        assert np.abs(layer.alpha.ravel() - 255 * share).max() <= 1


def test_exact_layers_of_a_fixed_palette_add_up_to_the_image():
    palette = np.array([[0, 0, 0], [255, 255, 255], [200, 60, 20], [10, 200, 10]], dtype=np.uint8)
    quantizer = Quantizer(CAT)
    added, _ = layer_sum(quantizer.layers(quantizer.fit_palette(palette), exact=True))
    assert np.abs(added - CAT).max() <= 0.5 + 1e-9


def test_exact_layers_of_a_mixture_fitted_to_another_image_add_up_to_the_image():
    fit = Quantizer(COFFEE).fit(9)
    quantizer = Quantizer(CAT)
    added, _ = layer_sum(quantizer.layers(quantizer.apply(fit.mixture), exact=True))
    assert np.abs(added - CAT).max() <= 0.5 + 1e-9


@pytest.mark.parametrize("exact", [False, True])
def test_layers_are_the_same_if_few_are_kept_at_a_time(monkeypatch, exact):
    quantizer = Quantizer(ALPHA)
    fit = quantizer.fit(5)
    whole = [layer.pixels for layer in quantizer.layers(fit, exact=exact)]
    monkeypatch.setattr(layers_module, "_MAX_ENTRIES", 1000)
    monkeypatch.setattr(layers_module, "_SHARES_AT_A_TIME", 100)
    parts = [layer.pixels for layer in quantizer.layers(fit, exact=exact)]
    assert np.array_equal(whole, parts)


# The OpenRaster file


def read_png(archive, path):
    """Return a PNG of an archive as float RGBA in 0..255."""
    with Image.open(io.BytesIO(archive.read(path))) as image:
        return np.asarray(image.convert("RGBA")).astype(float)


def composed(archive):
    """Return the layers of an OpenRaster file drawn over each other, as its specification says: colours times alpha."""
    image = ET.fromstring(archive.read("stack.xml"))
    (stack,) = image
    colors, alpha = np.zeros((int(image.get("h")), int(image.get("w")), 3)), 0.0
    for layer in reversed(stack):  # the first element is the topmost layer
        assert (layer.tag, layer.get("composite-op"), layer.get("opacity")) == ("layer", "svg:src-over", "1.0")
        assert (layer.get("x"), layer.get("y"), layer.get("visibility")) == ("0", "0", "visible")
        pixels = read_png(archive, layer.get("src"))
        part = pixels[..., 3:] / 255
        colors, alpha = part * pixels[..., :3] + (1 - part) * colors, part + (1 - part) * alpha
    return colors, 255 * alpha[..., 0]


@pytest.mark.parametrize(
    "case", ["full", "default", "many", "one", "kmeans", "oklab", "alpha", "few colours", "16 bits"]
)
def test_an_openraster_file_shows_the_image_in_any_program(case):
    image, k, settings = EXACT_CASES[case]
    quantizer = Quantizer(image, Settings(**settings))
    fit = quantizer.fit(k)
    colors, alpha = as_rgba(image)
    with zipfile.ZipFile(io.BytesIO(quantizer.openraster(fit))) as archive:
        assert archive.testzip() is None
        drawn, total = composed(archive)
        merged = read_png(archive, "mergedimage.png")
        n_layers = len(ET.fromstring(archive.read("stack.xml"))[0])
        assert sorted(archive.namelist()[1:]) == sorted(
            ["stack.xml", "mergedimage.png", "Thumbnails/thumbnail.png"]
            + [f"data/layer{number:04}.png" for number in range(1, n_layers + 1)]
        )
    assert n_layers == len(fit.palette)
    assert np.array_equal(np.rint(total), alpha)
    seen = alpha > 0
    assert np.abs(drawn - colors * (alpha / 255)[..., np.newaxis]).max() <= 1
    assert np.abs(drawn[seen] / total[seen, np.newaxis] * 255 - colors[seen]).max() <= 0.5 + 1e-9
    assert np.array_equal(merged[..., 3], alpha)
    if image.dtype == np.uint8:
        assert np.array_equal(merged[..., :3], colors)  # also the hidden colours of transparent pixels


def test_an_openraster_file_has_the_layout_of_its_specification():
    quantizer = Quantizer(read_sample("coffee.png"))
    fit = quantizer.fit(3)
    data = quantizer.openraster(fit)
    # A reader knows the type by these bytes: name and content of the first file, without compression.
    assert data[30:54] == b"mimetypeimage/openraster"
    with zipfile.ZipFile(io.BytesIO(data)) as archive:
        assert archive.infolist()[0].compress_type == zipfile.ZIP_STORED
        assert {entry.date_time for entry in archive.infolist()} == {(1980, 1, 1, 0, 0, 0)}
        assert {entry.compress_type for entry in archive.infolist()} <= {zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED}
        with Image.open(io.BytesIO(archive.read("Thumbnails/thumbnail.png"))) as thumbnail:
            assert max(thumbnail.size) == 256
            shape = np.array(thumbnail.size)
        assert np.abs(shape - np.array(quantizer.shape[::-1]) * 256 / max(quantizer.shape)).max() < 1
        names = [layer.get("name") for layer in ET.fromstring(archive.read("stack.xml"))[0]]
    codes = ["#" + bytes(color.tolist()).hex() for color in fit.palette]
    assert names == [f"{number} {code}" for number, code in enumerate(codes, start=1)][::-1]
    assert quantizer.openraster(fit) == data


def test_an_image_without_visible_pixels_has_no_layers():
    quantizer = Quantizer(np.zeros((3, 4, 4), dtype=np.uint8))
    fit = quantizer.fit(2)
    assert list(quantizer.layers(fit, exact=True)) == []
    with pytest.raises(ParameterError, match="every pixel is fully transparent"):
        quantizer.openraster(fit)


# The command


def test_exact_layers_and_an_openraster_file_are_written_beside_flat_layers(command, tmp_path, samples):
    arguments = (samples / "alpha.png", "-k", "3", "-o", "out")
    assert command(*arguments, "--layers", "flat").returncode == 0
    flat = {path.name: path.read_bytes() for path in (tmp_path / "out").iterdir()}
    result = command(*arguments, "--layers", "exact", "--skip-existing")
    assert result.returncode == 0, result.stderr
    exact = [f"alpha_k3_layer{number:02}_exact.png" for number in (1, 2, 3)]
    after = {path.name: path.read_bytes() for path in (tmp_path / "out").iterdir()}
    assert after.keys() == flat.keys() | {*exact, "alpha_k3.ora"}
    assert all(after[name] == flat[name] for name in flat if name != "alpha_report.json")
    layers = json.loads(after["alpha_report.json"])["fits"][0]["files"]["layers"]
    assert layers == [name.replace("_exact", "") for name in exact] + exact
    added = 0
    for name in exact:
        pixels = np.asarray(Image.open(tmp_path / "out" / name)).astype(float)
        added += pixels[..., :3] * pixels[..., 3:] / 255
    assert np.abs(added - ALPHA[..., :3] * (ALPHA[..., 3:] / 255)).max() <= 0.5 + 1e-9
    forced = command(*arguments, "--layers", "exact", "--force", "--json")
    (record,) = json.loads(forced.stdout)
    assert record["fits"][0]["files"]["layers"] == exact
    assert record["fits"][0]["files"]["openraster"] == "alpha_k3.ora"
    assert "skipped" in command(*arguments, "--layers", "exact", "--skip-existing").stderr
    # The report now names exact layers, and says nothing of flat ones.
    (tmp_path / "out/alpha_k3_layer02.png").unlink()
    assert command(*arguments, "--layers", "flat", "--skip-existing").returncode == 0
    assert (tmp_path / "out/alpha_k3_layer02.png").read_bytes() == flat["alpha_k3_layer02.png"]


def test_missing_files_of_exact_layers_are_written(command, tmp_path, samples):
    arguments = (samples / "alpha.png", "-k", "2", "--layers", "exact", "-o", "out")
    assert command(*arguments).returncode == 0
    before = {path.name: path.read_bytes() for path in (tmp_path / "out").iterdir()}
    for missing in ("alpha_k2.ora", "alpha_k2_layer02_exact.png"):
        (tmp_path / "out" / missing).unlink()
    planned = command(*arguments, "--skip-existing", "--dry-run")
    assert "alpha_k2.ora" in planned.stdout + planned.stderr
    assert not (tmp_path / "out/alpha_k2.ora").exists()
    assert command(*arguments, "--skip-existing").returncode == 0
    assert {path.name: path.read_bytes() for path in (tmp_path / "out").iterdir()} == before
    refused = command(*arguments)
    assert (refused.returncode, "exists" in refused.stderr) == (1, True)


def test_exact_layers_of_an_animation_and_a_shared_mixture_add_up_to_the_images(command, tmp_path, samples):
    result = command(
        samples / "ball.webp", samples / "flat.png", "-k", "4", "--shared", "--layers", "exact", "-o", "out"
    )
    assert result.returncode == 0, result.stderr
    for source in ("ball.webp", "flat.png"):
        colors, alpha = as_rgba(read_image(samples / source).pixels)
        stem = source.split(".")[0]
        files = [tmp_path / "out" / f"{stem}_k4_layer{number:02}_exact.png" for number in range(1, 5)]
        pixels = [np.asarray(Image.open(file)).astype(float) for file in files]
        added = sum(layer[..., :3] * layer[..., 3:] / 255 for layer in pixels)
        assert np.abs(added - colors * (alpha / 255)[..., np.newaxis]).max() <= 0.5 + 1e-9
        with zipfile.ZipFile(tmp_path / "out" / f"{stem}_k4.ora") as archive:
            assert np.abs(composed(archive)[0] - colors * (alpha / 255)[..., np.newaxis]).max() <= 1
    assert not list((tmp_path / "out").glob("shared*.ora"))


@pytest.mark.parametrize("arguments", [["--layers", "both"], ["--layers", "exact", "-o", "-"]])
def test_unknown_layers_and_layers_for_standard_output_are_refused(command, samples, arguments):
    result = command(samples / "flat.png", "-k", "2", *arguments)
    assert (result.returncode, result.stderr.count("\n")) == (2, 1)
    assert "layers" in result.stderr
