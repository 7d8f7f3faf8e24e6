"""Recolouring by a fit: soft images, spaces, dithering, fixed palettes, colours of another image; maps and layers."""

import io
import json
import threading
import time
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pillow_jxl  # noqa: F401 (registers its format)
import pytest
from helpers import log_density_by_scipy, log_joint_by_scipy, read_sample
from PIL import Image
from scipy.special import softmax

from gmmquant import GaussianMixture, ParameterError, Quantizer, Settings, quantize, transfer_colors
from gmmquant.colors.spaces import COLOR_SPACES
from gmmquant.images.layers import alpha_levels
from gmmquant.images.maps import GreyMap, encode_grey_map, encode_label_map
from gmmquant.pipeline.exports import FileWriter
from gmmquant.settings import DITHERS, RECOLORINGS, SPACES
from gmmquant.system.atomic import OutputSet

CAT = read_sample("cat.jpg")[::3, ::3]
ALPHA = read_sample("alpha.png")
BLACK_WHITE_RED = np.array([[0, 0, 0], [255, 255, 255], [255, 0, 0]], dtype=np.uint8)


def posterior(fit, pixels):
    """Return the responsibilities of a fit for RGB pixels (n, 3), by scipy, shape (n, K)."""
    values = COLOR_SPACES[fit.fit.space].from_srgb(pixels / 255)
    return softmax(log_joint_by_scipy(values, fit.weights, fit.means, fit.covariances), axis=1)


def box_means(image, side):
    """Return the means of squares of `side` pixels of an image (h, w, 3)."""
    h, w = (extent // side * side for extent in image.shape[:2])
    return image[:h, :w].reshape(h // side, side, w // side, side, 3).astype(float).mean(axis=(1, 3))


# Soft images, and the error of each recoloring


@pytest.mark.parametrize("space", SPACES)
def test_a_soft_image_is_the_mean_of_the_palette_by_the_responsibilities(space):
    fit = quantize(CAT, 6, recolor="soft", space=space)
    expected = posterior(fit, CAT.reshape(-1, 3)) @ fit.palette
    assert fit.image.dtype == np.uint8
    assert np.abs(fit.image.reshape(-1, 3) - expected).max() <= 0.5 + 1e-6


@pytest.mark.parametrize("method", ["gmm", "kmeans"])
@pytest.mark.parametrize("space", SPACES)
def test_the_error_of_each_recoloring_is_that_of_its_image(method, space):
    fits = {recoloring: quantize(CAT, 5, recolor=recoloring, method=method, space=space) for recoloring in RECOLORINGS}
    for recoloring, fit in fits.items():
        assert fit.recoloring == recoloring
        error = ((fit.image.astype(float) - CAT) ** 2).sum(axis=2).mean()
        assert fit.mse == pytest.approx(error, rel=1e-12)
        assert all(other.statistics.errors[recoloring] == pytest.approx(error, rel=1e-12) for other in fits.values())


def test_a_soft_image_keeps_alpha_and_the_colors_of_hidden_pixels():
    fit = quantize(ALPHA, 3, recolor="soft")
    assert np.array_equal(fit.image[..., 3], ALPHA[..., 3])
    hidden = ALPHA[..., 3] == 0
    assert np.array_equal(fit.image[hidden], ALPHA[hidden])


# Spaces


@pytest.mark.parametrize("space", SPACES)
def test_the_likelihood_is_of_densities_in_the_space_of_the_fit(space):
    fit = quantize(CAT, 4, space=space)
    values = COLOR_SPACES[space].from_srgb(CAT.reshape(-1, 3) / 255)
    expected = log_density_by_scipy(values, fit.weights, fit.means, fit.covariances).sum()
    assert fit.log_likelihood == pytest.approx(expected, rel=1e-9)
    assert fit.fit.space == space


@pytest.mark.parametrize("space", SPACES)
@pytest.mark.parametrize("image", ["cat", "sixteen", "alpha"])
def test_the_objective_never_falls_in_any_space(space, image):
    pixels = CAT if image == "cat" else read_sample("alpha.png")
    if image == "sixteen":
        pixels = read_sample("cat.jpg")[::4, ::4].astype(np.uint16) * 257
        pixels += np.random.default_rng(0).integers(0, 257, pixels.shape, dtype=np.uint16)
    trace = quantize(pixels, 5, space=space).fit.trace
    assert len(trace) > 3
    assert np.diff(trace).min() >= -1e-9 * max(1, np.abs(trace).max())


@pytest.mark.parametrize("space", SPACES)
def test_the_palette_is_the_means_in_srgb(space):
    fit = quantize(CAT, 8, space=space, average="mean")
    back = COLOR_SPACES[space].to_srgb(fit.means)
    assert np.array_equal(fit.palette, np.rint(255 * np.clip(back, 0, 1)))


@pytest.mark.parametrize("space", SPACES)
def test_an_image_of_few_colors_is_kept_exactly_in_any_space(space):
    flat = read_sample("flat.png")[..., :3]
    fit = quantize(flat, 7, space=space)
    assert fit.fit.exact
    assert np.array_equal(fit.image, flat)


def test_the_nearest_color_is_nearest_in_the_space_of_the_fit():
    fit = quantize(CAT, 9, method="kmeans", space="lab")
    lab = COLOR_SPACES["lab"].from_srgb
    distances = ((lab(CAT.reshape(-1, 1, 3) / 255) - lab(fit.palette / 255)) ** 2).sum(axis=2)
    assert np.array_equal(fit.labels.ravel(), distances.argmin(axis=1))


def test_a_number_of_colors_is_chosen_in_any_space():
    assert all(2 <= Quantizer(CAT, Settings(space=space)).choose_k().k <= 64 for space in SPACES)


# Dithering


@pytest.mark.parametrize("dither", DITHERS[1:])
def test_the_figures_of_a_dithered_image_are_those_of_its_pixels(dither):
    fit = quantize(CAT, 6, method="gmm", dither=dither)
    assert fit.dither == dither
    assert fit.recoloring == ("posterior" if dither == "posterior" else "nearest")
    assert fit.mse == pytest.approx(((fit.image.astype(float) - CAT) ** 2).sum(axis=2).mean(), rel=1e-12)
    assert np.array_equal(fit.statistics.counts, np.bincount(fit.labels.ravel(), minlength=6))
    plain = quantize(CAT, 6)
    assert np.array_equal(fit.palette, plain.palette)
    assert fit.log_likelihood == plain.log_likelihood
    assert fit.statistics.errors == plain.statistics.errors
    assert (
        not np.array_equal(fit.labels, quantize(CAT, 6, method="gmm", dither=dither, seed=1).labels)
        or dither == "floyd-steinberg"
    )


def test_local_means_of_posterior_dithering_approach_the_soft_image():
    cat = read_sample("cat.jpg")
    variants = ({"dither": "posterior"}, {}, {"recolor": "soft"})
    fits = [quantize(cat, 5, style="likelihood", **options) for options in variants]
    drawn, hard, soft = (fit.image for fit in fits)
    r = posterior(fits[0], cat.reshape(-1, 3))
    uniforms = np.random.default_rng(0).random((len(r), 1))
    independent = fits[0].palette[(r.cumsum(axis=1)[:, :-1] < uniforms).sum(axis=1)].reshape(cat.shape)
    for side, share in ((4, 0.6), (8, 0.4), (16, 0.25), (32, 0.15)):
        off, off_hard, off_independent = (
            np.abs(box_means(image, side) - box_means(soft, side)).mean() for image in (drawn, hard, independent)
        )
        assert off < share * off_hard
        assert off < 0.8 * off_independent  # blue noise is better than independent chance


def test_components_are_drawn_as_often_as_the_responsibilities_say():
    fit = quantize(CAT, 4, dither="posterior")
    r = posterior(fit, CAT.reshape(-1, 3))
    drawn = np.bincount(fit.labels.ravel(), minlength=4)
    spread = np.sqrt((r * (1 - r)).sum(axis=0))
    assert (np.abs(drawn - r.sum(axis=0)) < 5 * spread + 1).all()


@pytest.mark.parametrize("dither", DITHERS[1:])
@pytest.mark.parametrize("options", [{"palette": "pico8"}, {"k": 7}, {"k": 7, "method": "gmm"}], ids=str)
def test_strength_0_is_the_limit_of_small_strengths(dither, options):
    if dither == "posterior" and "k" in options:
        options = {"k": 7}
    none, *some = (quantize(CAT, dither=dither, strength=strength, **options).image for strength in (0, 0.01, 0.1, 1))
    changed = [(image != none).any(axis=-1).mean() for image in some]
    assert changed[0] < 0.02
    assert changed[0] < changed[1] < changed[2]


def test_strength_0_is_the_same_as_no_dithering_where_both_choose_alike():
    plain = quantize(CAT, 7)
    np.testing.assert_array_equal(quantize(CAT, 7, dither="posterior", strength=0).labels, plain.labels)


@pytest.mark.parametrize("dither", DITHERS[1:])
def test_hidden_pixels_are_not_dithered(dither):
    fit = quantize(ALPHA, 3, dither=dither)
    hidden = ALPHA[..., 3] == 0
    assert not fit.labels[hidden].any()
    assert fit.statistics.counts.sum() == (~hidden).sum()


@pytest.mark.parametrize(
    "settings",
    [
        {"recolor": "soft", "dither": "floyd-steinberg"},
        {"recolor": "nearest", "dither": "posterior"},
        {"recolor": "posterior", "dither": "blue-noise"},
        {"dither": "ordered"},
        {"strength": 1.5},
        {"strength": -1},
        {"noise": -1},
        {"noise": 65},
        {"shrink": 1},
        {"shrink": -0.1},
        {"space": "hsv"},
        {"recolor": "hard"},
    ],
)
def test_contradictory_settings_are_refused(settings):
    with pytest.raises(ParameterError):
        Settings(**settings)


# Fixed palettes

FIXED = np.array([[29, 53, 87], [230, 57, 70], [241, 250, 238], [168, 218, 220], [140, 100, 70]], np.uint8)


@pytest.mark.parametrize("space", SPACES)
def test_a_fixed_palette_keeps_its_colors_and_their_order(space):
    fit = Quantizer(CAT, Settings(space=space, recolor="nearest")).fit_palette(FIXED)
    assert np.array_equal(fit.palette, FIXED)
    there = COLOR_SPACES[space].from_srgb
    distances = ((there(CAT.reshape(-1, 1, 3) / 255) - there(FIXED / 255)) ** 2).sum(axis=2)
    assert np.array_equal(fit.labels.ravel(), distances.argmin(axis=1))


def test_weights_and_covariances_are_fitted_to_a_fixed_palette():
    fit = Quantizer(CAT, Settings(recolor="posterior")).fit_palette(FIXED)
    np.testing.assert_allclose(fit.means, FIXED / 255, rtol=0, atol=1e-15)
    assert np.diff(fit.fit.trace).min() >= -1e-12
    r = posterior(fit, CAT.reshape(-1, 3))
    assert np.array_equal(fit.labels.ravel(), r.argmax(axis=1))
    np.testing.assert_allclose(fit.weights, r.mean(axis=0), atol=2e-3)
    free = quantize(CAT, 5)
    assert fit.log_likelihood < free.log_likelihood
    # 4 weights and 5 covariances of 6 numbers; the means were not fitted.
    assert fit.aic == pytest.approx(2 * 34 - 2 * fit.log_likelihood)
    assert free.aic == pytest.approx(2 * 49 - 2 * free.log_likelihood)


# Colours of another image


def test_a_transfer_to_the_same_mixture_changes_nothing():
    quantizer = Quantizer(CAT)
    fit = quantizer.fit(5)
    moved = quantizer.transfer(fit, fit.mixture)
    assert np.abs(moved.image.astype(int) - CAT).max() <= 1
    assert moved.recoloring == "transfer"


@pytest.mark.parametrize("space", SPACES)
def test_a_transfer_gives_an_image_the_mean_and_spread_of_the_other(space):
    other = read_sample("coffee.png")[::4, ::4]
    settings = Settings(space=space)
    quantizer = Quantizer(CAT, settings)
    fit, target = quantizer.fit(1), Quantizer(other, settings).fit(1)
    moved = COLOR_SPACES[space].from_srgb(quantizer.transfer(fit, target.mixture).image.reshape(-1, 3) / 255)
    spread = np.sqrt(np.diagonal(target.covariances[0]))
    # Colours beyond the gamut are clipped, so the moments are met approximately.
    np.testing.assert_allclose((moved.mean(axis=0) - target.means[0]) / spread, 0, atol=0.15)
    np.testing.assert_allclose(moved.std(axis=0) / spread, 1, atol=0.2)


# Maps and layers


def test_the_entropy_map_is_the_entropy_of_predict_proba():
    quantizer = Quantizer(CAT)
    fit = quantizer.fit(6)
    entropy, density = quantizer.maps(fit)
    mixture = GaussianMixture(6)
    mixture.weights_, mixture.means_, mixture.covariances_ = fit.weights, fit.means, fit.covariances
    mixture.n_features_in_ = 3
    samples = CAT.reshape(-1, 3) / 255
    r = mixture.predict_proba(samples)
    with np.errstate(divide="ignore", invalid="ignore"):
        expected = -np.nansum(r * np.log2(r), axis=1)
    np.testing.assert_allclose(entropy.values.ravel(), expected, atol=1e-9)
    np.testing.assert_allclose(density.values.ravel(), mixture.score_samples(samples), atol=1e-9)
    assert (entropy.black, entropy.white) == (0, np.log2(6))


def grey_levels(data):
    with Image.open(io.BytesIO(data)) as image:
        assert image.mode == "I;16"
        return np.asarray(image), image.info


def test_the_values_of_a_grey_map_are_restored_by_its_scale():
    values = np.random.default_rng(0).normal(size=(20, 30))
    grey = GreyMap.of_log_density(values, None)
    levels, info = grey_levels(encode_grey_map(grey))
    assert (levels.min(), levels.max()) == (0, 65535)
    step = (grey.white - grey.black) / 65535
    assert np.abs(grey.black + levels * step - values).max() <= step / 2 * (1 + 1e-6)
    assert info["Description"] == f"nats: 0 is {grey.black!r}, 65535 is {grey.white!r}, linear between"


def test_a_map_of_equal_values_is_black():
    levels, _ = grey_levels(encode_grey_map(GreyMap.of_log_density(np.full((2, 3), 4.0), None)))
    assert not levels.any()
    levels, _ = grey_levels(encode_grey_map(GreyMap.of_entropy(np.zeros((2, 3)), 1)))
    assert not levels.any()


@pytest.mark.parametrize(
    ("n_colors", "mode"), [(1, "P"), (7, "P"), (255, "P"), (256, "P"), (257, "I;16"), (4096, "I;16")]
)
@pytest.mark.parametrize("hidden", [False, True])
def test_the_values_of_a_label_map_are_the_labels(n_colors, mode, hidden):
    rng = np.random.default_rng(n_colors)
    labels = rng.integers(0, n_colors, (40, 50)).astype(np.uint16)
    labels[0, 0] = n_colors - 1
    palette = rng.integers(0, 256, (n_colors, 3), dtype=np.uint8)
    visible = rng.random((40, 50)) < 0.7 if hidden else None
    data = encode_label_map(labels, palette, visible)
    with Image.open(io.BytesIO(data)) as image:
        assert image.mode == ("I;16" if hidden and n_colors == 256 else mode)
        values = np.asarray(image)
        if image.mode == "P":
            shown = np.asarray(image.convert("RGBA"))
            seen = np.full(labels.shape, True) if visible is None else visible
            assert np.array_equal(shown[seen], np.c_[palette[labels[seen]], np.full(seen.sum(), 255)])
            assert not shown[~seen, 3].any()
    assert np.array_equal(values, labels if visible is None else np.where(visible, labels, n_colors))


@pytest.mark.parametrize("space", ["srgb", "oklab"])
@pytest.mark.parametrize("image", ["cat", "alpha"])
def test_layers_add_up_to_the_soft_image(space, image):
    pixels = CAT if image == "cat" else ALPHA
    quantizer = Quantizer(pixels, Settings(recolor="soft", space=space))
    fit = quantizer.fit(12)
    layers = [layer.pixels.astype(float) for layer in quantizer.layers(fit)]
    assert len(layers) == 12
    alpha = np.full(pixels.shape[:2], 255) if fit.alpha is None else fit.alpha
    assert np.array_equal(sum(layer[..., 3] for layer in layers), alpha)
    added = sum(layer[..., :3] * layer[..., 3:] / 255 for layer in layers)
    soft = fit.image[..., :3] * (alpha / 255)[..., np.newaxis]
    assert np.abs(added - soft).max() <= 1
    for color, layer in zip(fit.palette, layers, strict=True):
        assert (layer[..., :3] == color).all()


def test_levels_sum_to_the_alpha_and_are_close_to_their_shares():
    rng = np.random.default_rng(0)
    r = rng.dirichlet(np.full(9, 0.3), size=2000).T
    alpha = rng.integers(0, 256, 2000).astype(np.uint8)
    palette = rng.integers(0, 256, (9, 3), dtype=np.uint8)
    levels = alpha_levels(r, alpha, palette)
    assert np.array_equal(levels.sum(axis=0, dtype=int), alpha)
    assert np.abs(levels - r * alpha).max() < 5
    assert np.abs((levels - r * alpha).T @ palette / 255).max() < 0.5


# The command


def test_all_additional_files_are_written_and_recorded(command, tmp_path, samples):
    options = ["--palette-out", "hex,json,gpl,css,ase,aco,png", "--maps", "labels,entropy,loglik", "--layers", "flat"]
    result = command(samples / "alpha.png", "-k", "3", *options, "--save-model", "-o", "out", "--json")
    assert result.returncode == 0, result.stderr
    (record,) = json.loads(result.stdout)
    files = record["fits"][0]["files"]
    recorded = [files["image"], files["model"], *files["palettes"].values(), *files["layers"]]
    recorded += [entry["file"] for entry in files["maps"].values()]
    assert {*recorded, "alpha_report.json"} == {path.name for path in (tmp_path / "out").iterdir()}
    assert files["layers"] == ["alpha_k3_layer01.png", "alpha_k3_layer02.png", "alpha_k3_layer03.png"]
    quantizer = Quantizer(ALPHA)
    entropy, _ = quantizer.maps(quantizer.fit(3))
    with Image.open(tmp_path / "out" / "alpha_k3_entropy.png") as image:
        scale = files["maps"]["entropy"]
        read = scale["black"] + np.asarray(image) * (scale["white"] - scale["black"]) / 65535
        description = image.info["Description"]
    seen = ALPHA[..., 3] > 0
    assert np.abs(read - entropy.values)[seen].max() < 1e-4
    assert (read[~seen] == scale["black"]).all()
    assert description.endswith("linear between; 0 where nothing is visible")


def test_additional_files_are_refused_and_kept_like_the_image(command, tmp_path, samples):
    arguments = (samples / "flat.png", "-k", "2", "auto", "--maps", "entropy", "--layers", "flat", "-o", "out")
    assert command(*arguments).returncode == 0
    before = {path.name: path.read_bytes() for path in (tmp_path / "out").iterdir()}
    assert "flat_k2_layer02.png" in before
    assert "flat_kauto_layer01.png" in before
    refused = command(*arguments)
    assert (refused.returncode, "exists" in refused.stderr) == (1, True)
    (tmp_path / "out" / "flat_k2_layer02.png").unlink()
    (tmp_path / "out" / "flat_k2_entropy.png").write_bytes(b"kept")
    resumed = command(*arguments, "--skip-existing")
    assert resumed.returncode == 0, resumed.stderr
    after = {path.name: path.read_bytes() for path in (tmp_path / "out").iterdir()}
    assert after == before | {"flat_k2_entropy.png": b"kept"}
    assert "skipped" in command(*arguments, "--skip-existing").stderr


@pytest.mark.parametrize(("image", "k"), [("grey.png", "auto"), ("flat.png", "7"), ("cat.jpg", "4")])
def test_missing_layers_are_written_and_the_others_kept(command, tmp_path, samples, image, k):
    stem, out = image.split(".")[0], tmp_path / "out"
    arguments = (samples / image, "-k", k, "--layers", "flat", "-o", "out", "--skip-existing")
    assert command(*arguments).returncode == 0
    before = {path.name: path.read_bytes() for path in out.iterdir()}
    again = command(*arguments)
    assert (again.returncode, again.stdout) == (0, "")
    assert "skipped" in again.stderr
    (out / f"{stem}_k{k}_layer02.png").unlink()
    (out / f"{stem}_k{k}_layer03.png").write_bytes(b"kept")
    result = command(*arguments)
    assert result.returncode == 0, result.stderr
    after = {path.name: path.read_bytes() for path in out.iterdir()}
    assert after == before | {f"{stem}_k{k}_layer03.png": b"kept"}


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--palette", "#fff,#000", "-k", "3"], "k = 3 is above the 2 colours of the palette; use at most"),
        (["--palette", "bw", "-k", "auto"], "-k auto chooses colours by a fit, not from --palette; use numbers"),
        (["--palette", "bw", "--keep-colors", "red"], "leave out --keep-colors, or choose some, as in -k 3"),
        (["--palette", "gamboy"], "'gamboy' is not a colour, a palette or a file"),
        (["--palette", "gamboy"], "did you mean gameboy?"),
        (["--palette", "bw", "-k", "1", "--keep-colors", "red"], "#ff0000 is not in the palette"),
        (["--keep-colors", "red,white,blue", "-k", "5", "2"], "k = 2 is below the 3 colours of --keep-colors"),
        (["--keep-colors", ",".join(f"#0000{i:02x}" for i in range(17))], "k = 16 (the default) is below the 17"),
        (["--keep-colors", "#ff"], "'#ff' is not a colour"),
        (["--keep-colors", "#e30613", "--color-depth", "rgb565", "-k", "3"], "use #e70410, the nearest"),
        (["--color-depth", "rgb565", "--recolor", "soft"], "--recolor soft mixes colours outside rgb565"),
        (["--color-depth", "rgb332"], "--color-depth rgb332 is unknown"),
        (["--palette-order", "size"], "--palette-order size is unknown"),
        (["--transfer-from", "rocket.jpg", "--keep-colors", "red"], "leave out --keep-colors"),
        (["--transfer-from", "rocket.jpg", "--color-depth", "rgb444"], "leave out --color-depth"),
        (["--model", "m.gmm.json", "--keep-colors", "red"], "leave out --keep-colors"),
        (["--palette", "#fff,#000", "--method", "kmeans"], "leave out --method"),
        (["--transfer-from", "rocket.jpg", "--dither", "posterior"], "leave out --dither"),
        (["--strength", "0.5"], "--strength has no effect without dithering; add --dither"),
        (["--method", "kmeans", "--init", "random"], "leave out --init"),
        (["--method", "kmeans", "--noise", "2"], "leave out --noise"),
        (["--covariance", "diag", "--shrink", "0.5"], "--shrink 0.5 has no effect on --covariance diag"),
        (["--shrink", "1"], "use a number below 1, or --covariance tied"),
        (["--transfer-from", "rocket.jpg", "--layers", "exact"], "leave out --layers"),
        (["--transfer-from", "rocket.jpg", "--smooth", "1"], "leave out --smooth"),
        (["--smooth", "1", "--dither", "blue-noise"], "--smooth 1 contradicts --dither blue-noise"),
        (["--smooth", "1", "--recolor", "soft"], "--smooth 1 contradicts --recolor soft"),
        (["--smooth", "5"], "--smooth 5 is too large; use a number from 0 to 4"),
        (["--transfer-from", "rocket.jpg", "-k", "2", "257"], "use at most 256"),
        (["--dither", "posterior", "--recolor", "nearest"], "which needs 'posterior'"),
        (["--format", "gif", "--recolor", "soft"], "gif stores at most 256 colours"),
        (["--format", "gif", "-k", "300"], "gif stores at most 256 colours"),
        (["--format", "tga"], "--format tga is unknown"),
        (["--maps", "entropy,depth"], "--maps depth is unknown"),
        (["--palette-out", "act"], "--palette-out act is unknown"),
        (["--palette", "#12"], "#12"),
        (["--space", "cmyk"], "--space cmyk is unknown"),
    ],
)
def test_wrong_usage_is_one_line_and_nothing_is_written(command, tmp_path, samples, arguments, words):
    result = command(samples / "grey.png", "-o", "out", *arguments)
    assert (result.returncode, result.stdout) == (2, "")
    assert words in result.stderr
    assert result.stderr.count("\n") == 1
    assert not (tmp_path / "out").exists()


def test_an_exported_palette_gives_the_same_image(command, tmp_path, samples):
    fitted = command(
        samples / "cat.jpg",
        "-k",
        "6",
        "--method",
        "kmeans",
        "--palette-out",
        "gpl,ase,aco,css,hex,json,png",
        "-o",
        "out",
    )
    assert fitted.returncode == 0, fitted.stderr
    with Image.open(tmp_path / "out" / "cat_k6.png") as image:
        expected = np.asarray(image.convert("RGB"))
    for form in ("gpl", "ase", "aco", "css", "hex", "json", "png"):
        palette = tmp_path / "out" / f"cat_k6_palette.{form}"
        again = command(samples / "cat.jpg", "--palette", palette, "-o", form)
        assert again.returncode == 0, again.stderr
        with Image.open(tmp_path / form / "cat_k6.png") as image:
            assert np.array_equal(np.asarray(image.convert("RGB")), expected)


def test_a_model_keeps_its_space(command, tmp_path, samples):
    assert command(samples / "cat.jpg", "-k", "5", "--space", "oklab", "--save-model", "-o", "fit").returncode == 0
    applied = command(samples / "cat.jpg", "--model", "fit/cat_k5.gmm.json", "-o", "again", "--json")
    assert applied.returncode == 0, applied.stderr
    assert (tmp_path / "again" / "cat_k5.png").read_bytes() == (tmp_path / "fit" / "cat_k5.png").read_bytes()
    record, report = json.loads(applied.stdout)[0], json.loads((tmp_path / "fit" / "cat_report.json").read_text())
    assert record["fits"][0]["space"] == record["settings"]["space"] == "oklab"
    assert record["fits"][0]["log_likelihood"] == pytest.approx(report["fits"][0]["log_likelihood"], rel=1e-12)


def test_the_table_has_the_space_and_the_dither(command, samples):
    plain = command(samples / "grey.png", "-k", "2", "-o", "a").stdout.splitlines()
    assert plain[1] == ""
    assert plain[2].startswith("k  log-lik./px")
    other = command(
        samples / "grey.png", "-k", "2", "-o", "b", "--space", "lab", "--dither", "posterior", "--strength", "0.5", "-v"
    ).stdout.splitlines()
    assert other[1] == "fitted in CIELAB, log-likelihoods of densities in that space; dithered by posterior at 0.5"
    assert any(line.startswith("squared error: posterior ") for line in other)


def test_a_run_with_other_options_does_not_resume_an_earlier_one(command, tmp_path, samples):
    grey = samples / "grey.png"
    assert command(grey, "-k", "2", "-o", "out").returncode == 0
    other = command(grey, "-k", "2", "3", "-o", "out", "--skip-existing", "--space", "lab")
    assert (other.returncode, other.stdout) == (1, "")
    assert (
        "grey_report.json was written with --space srgb, this run is with --space lab; use the same options"
        in other.stderr
    )
    assert len(list((tmp_path / "out").iterdir())) == 2
    same = command(grey, "-k", "2", "3", "-o", "out", "--skip-existing")
    assert same.returncode == 0, same.stderr
    finished = command(grey, "-k", "2", "-o", "out", "--skip-existing", "--space", "lab")
    assert (finished.returncode, "--space srgb, this run is with --space lab" in finished.stderr) == (1, True)


@pytest.mark.parametrize("content", [b"[]", b"{}", b"not JSON", b"\xff", b'{"settings": 3, "digest": {}, "fits": []}'])
@pytest.mark.parametrize("options", [[], ["--dry-run"]])
def test_a_damaged_report_is_refused_and_not_changed(command, tmp_path, samples, content, options):
    grey = samples / "grey.png"
    assert command(grey, "-k", "2", "-o", "out").returncode == 0
    (tmp_path / "out/grey_report.json").write_bytes(content)
    result = command(grey, "-k", "2", "4", "-o", "out", "--skip-existing", *options)
    assert result.returncode == 1
    assert "grey_report.json is damaged, or not a report of this version of gmmquant; move it, or use" in result.stderr
    assert (tmp_path / "out/grey_report.json").read_bytes() == content
    assert len(list((tmp_path / "out").iterdir())) == 2


def test_a_palette_with_a_repeated_color_keeps_its_indices(command, tmp_path, samples):
    result = command(samples / "grey.png", "--palette", "#000,#fff,#000,#888", "-o", "out")
    assert result.returncode == 0, result.stderr
    with Image.open(tmp_path / "out" / "grey_k4.png") as image:
        assert image.getpalette()[:12] == [0, 0, 0, 255, 255, 255, 0, 0, 0, 136, 136, 136]


def test_other_names_of_formats_and_all_are_accepted(command, tmp_path, samples):
    result = command(
        samples / "flat.png", "-k", "3", "--format", "TIF", "--maps", "all", "--palette-out", "all", "-o", "out"
    )
    assert result.returncode == 0, result.stderr
    names = {path.name for path in (tmp_path / "out").iterdir()}
    assert {"flat_k3.tiff", "flat_k3_labels.png", "flat_k3_loglik.png", "flat_k3_palette.aco"} <= names
    assert len(names) == 13


def test_shares_of_a_palette_are_those_of_the_pixels_in_the_report(command, tmp_path, samples):
    result = command(samples / "cat.jpg", "-k", "4", "--palette-out", "json", "-o", "out", "--json")
    assert result.returncode == 0, result.stderr
    palette = json.loads((tmp_path / "out" / "cat_k4_palette.json").read_text())
    components = json.loads(result.stdout)[0]["fits"][0]["components"]
    assert [entry["share"] for entry in palette["colors"]] == pytest.approx(
        [n_pixels / sum(components["pixels"]) for n_pixels in components["pixels"]], rel=1e-12
    )
    assert [entry["hex"] for entry in palette["colors"]] == components["hex"]


def test_shares_of_a_fixed_palette_are_those_of_its_pixels(command, tmp_path, samples):
    options = ["--palette", "gameboy", "--palette-out", "json", "-o", "out"]
    assert command(samples / "cat.jpg", *options).returncode == 0
    palette = json.loads((tmp_path / "out/cat_k4_palette.json").read_text())
    drawn = np.asarray(Image.open(tmp_path / "out/cat_k4.png").convert("RGB")).reshape(-1, 3)
    for entry in palette["colors"]:
        share = (drawn == list(bytes.fromhex(entry["hex"][1:]))).all(axis=1).mean()
        assert entry["share"] == pytest.approx(share, abs=1e-12)


def test_every_format_keeps_the_resolution_and_warns_of_losses(command, tmp_path, samples):
    with Image.open(samples / "grey.png") as image:
        exif = image.getexif()
        exif[270] = "rings"
        image.save(tmp_path / "grey.png", dpi=(150, 100), exif=exif)
    for form in ("png", "webp", "tiff", "bmp", "jpg", "avif", "jxl"):
        result = command("grey.png", "-k", "2", "--format", form, "--keep-metadata", "-o", form)
        assert result.returncode == 0, result.stderr
        assert ("bmp stores no EXIF" in result.stderr) == (form == "bmp")
        with Image.open(tmp_path / form / f"grey_k2.{form}") as made:
            exif = made.getexif()
            dpi = made.info.get("dpi") or (float(exif[282]), float(exif[283]))
        assert dpi == pytest.approx((150, 100), abs=0.02)


# Records of what was done


def test_a_model_of_exact_colors_can_be_dithered(command, tmp_path, samples):
    assert command(samples / "flat.png", "-k", "9", "--save-model", "-o", "fit").returncode == 0
    model = ("--model", "fit/flat_k9.gmm.json")
    for options, expected in (
        ((), ("nearest", "none")),
        (("--dither", "floyd-steinberg"), ("nearest", "floyd-steinberg")),
    ):
        result = command(samples / "cat.jpg", *model, *options, "-o", "out", "--force", "--json")
        assert result.returncode == 0, result.stderr
        record = json.loads(result.stdout)[0]
        (fit,) = record["fits"]
        assert (fit["recolor"], fit["dither"], fit["exact"]) == (*expected, False)
        assert (record["settings"]["recolor"], record["settings"]["dither"]) == expected
    posterior = command(samples / "cat.jpg", *model, "--recolor", "posterior", "-o", "p", "--json")
    assert json.loads(posterior.stdout)[0]["fits"][0]["recolor"] == "posterior"


def test_the_table_mentions_no_dithering_if_all_colors_are_kept(command, samples):
    shown = command(samples / "flat.png", "-k", "3", "--dither", "blue-noise", "-o", "out").stdout
    assert "dithered" not in shown
    assert "3" in shown


def test_a_transfer_has_no_regions_of_a_smoothed_image():
    quantizer = Quantizer(CAT, smooth=1.0)
    fit = quantizer.fit(3)
    assert fit.statistics.regions > 0
    assert quantizer.transfer(fit, fit.mixture).statistics.regions is None


def test_a_transfer_does_not_claim_to_keep_exact_colors(command, samples):
    result = command(samples / "flat.png", "-k", "7", "--transfer-from", samples / "coffee.png", "-o", "out", "--json")
    assert result.returncode == 0, result.stderr
    (record,) = json.loads(result.stdout)
    assert not record["fits"][0]["exact"]
    assert record["notes"] == []
    assert "kept" not in result.stderr


def test_the_error_of_a_transfer_is_the_distance_that_colors_move():
    quantizer = Quantizer(CAT, Settings(method="gmm", dither="floyd-steinberg"))
    target = Quantizer(read_sample("coffee.png")[::4, ::4]).fit(5).mixture
    moved = quantizer.transfer(quantizer.fit(5), target)
    assert moved.mse == pytest.approx(((moved.image.astype(float) - CAT) ** 2).sum(axis=2).mean(), rel=1e-12)
    plain = quantize(CAT, 5)
    assert moved.dither == "none"
    assert np.array_equal(moved.labels, plain.labels)
    assert np.array_equal(moved.statistics.counts, plain.statistics.counts)


def test_a_model_can_be_dithered_with_another_seed(command, samples):
    assert command(samples / "grey.png", "-k", "2", "--save-model", "-o", "fit").returncode == 0
    arguments = (samples / "grey.png", "--model", "fit/grey_k2.gmm.json", "--dither", "posterior", "--json")
    first, same, other = (command(*arguments, "--seed", seed, "-o", f"{n}") for n, seed in enumerate("334"))
    assert first.returncode == 0, first.stderr
    assert json.loads(first.stdout)[0]["settings"]["seed"] == 3
    errors = [json.loads(result.stdout)[0]["fits"][0]["mse"] for result in (first, same, other)]
    assert errors[0] == errors[1] != errors[2]


def test_a_model_of_kmeans_keeps_its_method(command, samples):
    assert command(samples / "grey.png", "-k", "3", "--method", "kmeans", "--save-model", "-o", "fit").returncode == 0
    result = command(samples / "grey.png", "--model", "fit/grey_k3.gmm.json", "-o", "out", "--json")
    assert json.loads(result.stdout)[0]["fits"][0]["method"] == "kmeans"


@pytest.mark.parametrize("palette", [np.zeros((2, 3)), np.zeros((0, 3), np.uint8), np.zeros(3, np.uint8)])
def test_an_invalid_palette_is_refused(palette):
    with pytest.raises(ParameterError, match="palette has"):
        Quantizer(CAT).fit_palette(palette)


def test_a_fixed_palette_gets_the_nearest_colors_by_default():
    assert Quantizer(CAT).fit_palette(FIXED).recoloring == "nearest"
    assert Quantizer(CAT, Settings(recolor="posterior")).fit_palette(FIXED).recoloring == "posterior"
    assert Quantizer(CAT, Settings(dither="posterior")).fit_palette(FIXED).recoloring == "posterior"


@pytest.mark.parametrize("kind", ["full", "tied", "diag", "spherical"])
def test_a_fixed_palette_has_covariances_of_the_chosen_type(kind):
    fit = Quantizer(CAT, Settings(covariance=kind)).fit_palette(FIXED)
    assert fit.mixture.covariance_type.name == kind


@pytest.mark.parametrize("space", SPACES)
def test_the_covariance_of_one_component_is_that_of_the_colors_and_of_their_rounding(space):
    fit = quantize(CAT, 1, space=space, noise=0)
    there, srgb = COLOR_SPACES[space], CAT.reshape(-1, 3) / 255
    rounding = there.rounding_scatter(srgb, 1 / (2 * np.pi * np.e * 255**2)).mean(axis=1)
    expected = np.cov(there.from_srgb(srgb), rowvar=False, bias=True)[np.triu_indices(3)] + rounding
    np.testing.assert_allclose(fit.covariances[0][np.triu_indices(3)], expected, rtol=1e-9)


@pytest.mark.parametrize("space", SPACES)
def test_a_number_of_clear_colors_is_found_in_any_space(space):
    rng = np.random.default_rng(0)
    centers = np.array([[40, 40, 40], [200, 60, 60], [60, 200, 60], [220, 220, 90]])
    image = np.clip(centers[rng.integers(0, 4, (60, 60))] + rng.normal(scale=4, size=(60, 60, 3)), 0, 255)
    assert Quantizer(image.astype(np.uint8), Settings(space=space)).choose_k().k == 4


@pytest.mark.parametrize("space", SPACES)
@pytest.mark.parametrize("dither", ["floyd-steinberg", "blue-noise"])
def test_areas_of_a_given_palette_have_the_light_of_the_original_in_every_space(space, dither):
    ramp = np.repeat(np.linspace(10, 245, 96).round().astype(np.uint8)[np.newaxis, :, np.newaxis], 96, axis=0)
    ramp = np.repeat(ramp, 3, axis=2)
    linear = COLOR_SPACES["linear"].from_srgb
    drawn = Quantizer(ramp, Settings(space=space, dither=dither)).fit_palette(BLACK_WHITE_RED[:2]).image
    assert np.abs(box_means(linear(drawn / 255), 32) - box_means(linear(ramp / 255), 32)).mean() < 0.01


@pytest.mark.parametrize("dither", ["floyd-steinberg", "blue-noise", "bayer"])
def test_a_cat_in_black_white_and_red_is_not_red_where_it_is_grey(dither):
    chroma = np.linalg.norm(COLOR_SPACES["oklab"].from_srgb(CAT / 255)[..., 1:], axis=-1)
    red = Quantizer(CAT, Settings(dither=dither)).fit_palette(BLACK_WHITE_RED).labels == 2
    assert red[chroma < 0.02].mean() < 0.05
    assert 0.1 < red.mean() < 0.25  # 0.77 by distances in OKLab


def test_black_in_a_map_of_log_densities_is_the_lowest_visible_one():
    quantizer = Quantizer(ALPHA)
    _, density = quantizer.maps(quantizer.fit(3))
    seen = density.values[ALPHA[..., 3] > 0]
    assert (density.black, density.white) == (seen.min(), seen.max())


def test_pixels_of_which_nothing_is_visible_have_no_values_in_maps_and_are_drawn_black():
    quantizer = Quantizer(ALPHA)
    hidden = ALPHA[..., 3] == 0
    for grey in quantizer.maps(quantizer.fit(3)):
        assert np.array_equal(np.isnan(grey.values), hidden)
        assert not grey.levels[hidden].any()
        assert not grey_levels(encode_grey_map(grey))[0][hidden].any()


def test_another_seed_gives_kmeans_another_start():
    noise = np.random.default_rng(0).integers(0, 256, (60, 60, 3), dtype=np.uint8)
    palettes = [quantize(noise, 12, method="kmeans", seed=seed).palette.tolist() for seed in (0, 0, 1)]
    assert palettes[0] == palettes[1] != palettes[2]


def test_the_record_of_an_animation_has_the_size_of_a_frame(command, samples):
    (record,) = json.loads(command(samples / "ball.webp", "-k", "3", "-o", "out", "--json").stdout)
    image = record["image"]
    assert [image[name] for name in ("width", "height", "frames", "pixels")] == [96, 64, 12, 96 * 64 * 12]
    fit = quantize(np.concatenate([read_sample("grey.png")] * 2), 3)
    assert record["fits"][0]["errors"].keys() == fit.statistics.errors.keys()


def test_the_errors_in_the_record_are_those_of_the_fit(command, samples):
    (record,) = json.loads(command(samples / "cat.jpg", "-k", "5", "-o", "out", "--json").stdout)
    assert record["fits"][0]["errors"] == pytest.approx(quantize(read_sample("cat.jpg"), 5).statistics.errors)


def test_deviations_are_shown_in_the_units_of_the_space(command, samples):
    shown = command(samples / "grey.png", "-k", "2", "--space", "lab", "-v", "-o", "out").stdout
    fit = quantize(read_sample("grey.png"), 2, space="lab")
    lightness = np.sqrt(fit.covariances[:, 0, 0])
    assert "std. dev. of L*, a*, b*" in shown
    assert all(f"{deviation:7.4f}".strip() in shown for deviation in lightness)


def test_the_limit_of_a_transfer_is_checked_before_any_work():
    with pytest.raises(ParameterError, match="k = 257 is above the limit of a transfer; use at most 256"):
        transfer_colors(CAT, CAT, 257)
    assert np.abs(transfer_colors(CAT, CAT, 2).astype(int) - CAT).max() <= 1


# Files of maps and layers


@pytest.mark.parametrize(("n_colors", "hidden", "mode"), [(300, False, "I;16"), (256, True, "I;16"), (256, False, "P")])
def test_the_mode_of_a_label_map_depends_on_the_palette_and_not_on_the_labels(n_colors, hidden, mode):
    labels = np.array([[0, 3, 7]], dtype=np.uint16)
    palette = np.zeros((n_colors, 3), dtype=np.uint8)
    visible = np.array([[True, True, not hidden]])
    with Image.open(io.BytesIO(encode_label_map(labels, palette, visible))) as image:
        assert image.mode == mode
        assert np.asarray(image).tolist() == [[0, 3, n_colors if hidden else 7]]


def test_at_most_two_files_wait_to_be_written(tmp_path):
    drawn, written, most = [], [], 0

    def encode(number):
        time.sleep(0.002)
        written.append(number)
        return b"layer"

    with OutputSet(overwrite=False) as outputs, ThreadPoolExecutor(1) as executor:
        writer = FileWriter(executor, outputs, lambda path: False)
        for number in range(12):
            drawn.append(number)
            writer.write(tmp_path / f"{number}", encode, number)
            most = max(most, len(drawn) - len(written))
        writer.seconds()
    assert written == drawn
    assert most <= 2


def test_a_file_that_takes_long_is_encoded_in_the_calling_thread(tmp_path):
    kept = tmp_path / "kept"

    def encode():
        return threading.current_thread().name.encode()

    with OutputSet(overwrite=False) as outputs, ThreadPoolExecutor(1) as executor:
        writer = FileWriter(executor, outputs, lambda path: path == kept)
        for path in (tmp_path / "here", kept):
            writer.write_here(path, encode)
        assert writer.seconds() > 0
        outputs.commit()
    assert (tmp_path / "here").read_bytes() == encode()
    assert not kept.exists()


@pytest.mark.parametrize("n_components", [9, 64, 200])
@pytest.mark.parametrize("spread", [0.02, 0.3, 50])
def test_layers_of_any_mixture_add_up_to_its_mean_within_half_a_level(n_components, spread):
    rng = np.random.default_rng(n_components)
    r = rng.dirichlet(np.full(n_components, spread), size=500).T
    r[1] += 1e-9
    r[0, :100] = 0  # no share, no level
    r /= r.sum(axis=0)
    alpha = rng.integers(0, 256, 500).astype(np.uint8)
    palette = rng.integers(0, 256, (n_components, 3), dtype=np.uint8)
    levels = alpha_levels(r, alpha, palette)
    assert np.array_equal(levels.sum(axis=0, dtype=int), alpha)
    assert not levels[r == 0].any()
    assert np.abs((levels - r * alpha).T @ palette / 255).max() < 0.5


# Kept colours, subsets, orders and depths of palettes in files


def palette_of(path):
    with Image.open(path) as image:
        entries = np.array(image.getpalette()).reshape(-1, 3)
        return entries, np.asarray(image)


def test_kept_colors_and_their_order_are_in_every_file(command, tmp_path, samples):
    options = [
        "--keep-colors",
        "white,#e30613",
        "--palette-order",
        "given",
        "--palette-out",
        "hex,json",
        "--save-model",
    ]
    arguments = [*options, "--maps", "labels", "--layers", "flat", "-k", "5", "-o", "out"]
    assert command(samples / "cat.jpg", *arguments).returncode == 0
    report = json.loads((tmp_path / "out" / "cat_report.json").read_text())
    (fit,) = report["fits"]
    assert report["settings"]["keep_colors"] == ["#ffffff", "#e30613"]
    assert (report["settings"]["palette_order"], report["settings"]["recolor"]) == ("given", "nearest")
    codes = fit["components"]["hex"]
    assert codes[:2] == ["#ffffff", "#e30613"]
    assert fit["components"]["fixed"] == [True, True, False, False, False]
    assert (tmp_path / "out" / "cat_k5_palette.hex").read_text().split() == codes
    entries, labels = palette_of(tmp_path / "out" / "cat_k5.png")
    assert ["#" + bytes(entry.tolist()).hex() for entry in entries[:5]] == codes
    assert np.bincount(labels.ravel(), minlength=5).tolist() == fit["components"]["pixels"]
    assert np.array_equal(palette_of(tmp_path / "out" / "cat_k5_labels.png")[1], labels)
    with Image.open(tmp_path / "out" / "cat_k5_layer02.png") as layer:
        assert layer.convert("RGBA").getpixel((0, 0))[:3] == (227, 6, 19)

    assert command(samples / "cat.jpg", "--skip-existing", *arguments).returncode == 0
    other = command(samples / "cat.jpg", "--skip-existing", "--keep-colors", "red", *arguments[2:])
    assert (other.returncode, "--keep-colors #ffffff #e30613" in other.stderr) == (1, True)


@pytest.mark.parametrize("options", [["--keep-colors", "white,red", "--space", "oklab"], ["--color-depth", "rgb444"]])
def test_a_saved_model_gives_the_same_colors(command, tmp_path, samples, options):
    assert command(samples / "cat.jpg", *options, "-k", "8", "--save-model", "-o", "out").returncode == 0
    model = tmp_path / "out" / "cat_k8.gmm.json"
    assert command(samples / "cat.jpg", "--model", model, "-o", "again").returncode == 0
    one, other = (palette_of(tmp_path / folder / "cat_k8.png") for folder in ("out", "again"))
    assert all(map(np.array_equal, one, other))
    damaged = json.loads(model.read_text()) | {"palette": ["#fff"]}
    model.write_text(json.dumps(damaged))
    result = command(samples / "cat.jpg", "--model", model, "-o", "third")
    assert (result.returncode, result.stderr.count("\n")) == (2, 1)
    assert "palette is not a list of 8 hex codes" in result.stderr


def test_a_saved_model_of_exact_colors_gives_the_same_image_at_a_lower_depth(command, tmp_path, samples):
    options = ["--color-depth", "rgb444", "-k", "256", "--save-model", "-o", "out"]
    result = command(samples / "grey.png", *options)
    assert result.returncode == 0
    assert "the exact colours are kept" not in result.stderr
    assert "are rounded to rgb444" in result.stderr
    model = tmp_path / "out" / "grey_k256.gmm.json"
    assert command(samples / "grey.png", "--model", model, "-o", "again").returncode == 0
    n_colors = len(json.loads(model.read_text())["weights"])
    (entries, labels), (other_entries, other_labels) = (
        palette_of(tmp_path / folder / f"grey_k{n}.png") for folder, n in (("out", 256), ("again", n_colors))
    )
    assert np.array_equal(entries[labels], other_entries[other_labels])


def test_a_model_of_a_soft_image_is_drawn_by_its_components_at_a_lower_depth(command, tmp_path, samples):
    assert command(samples / "cat.jpg", "-k", "3", "--recolor", "soft", "--save-model", "-o", "out").returncode == 0
    model = tmp_path / "out" / "cat_k3.gmm.json"
    arguments = [samples / "cat.jpg", "--model", model, "--color-depth", "rgb444", "-o", "again", "--json"]
    result = command(*arguments)
    assert result.returncode == 0, result.stderr
    assert json.loads(result.stdout)[0]["fits"][0]["recolor"] == "posterior"
    refused = command(*arguments, "--recolor", "soft", "--force")
    assert (refused.returncode, "mixes colours outside rgb444" in refused.stderr) == (2, True)


def test_shared_images_get_the_best_colors_of_a_palette_together(command, tmp_path, samples):
    images = [samples / "cat.jpg", samples / "flat.png"]
    result = command(*images, "--shared", "--palette", "html16", "-k", "3", "5", "-o", "out")
    assert result.returncode == 0, result.stderr
    report = json.loads((tmp_path / "out" / "shared_report.json").read_text())
    assert len(report["settings"]["palette"]) == 16
    assert [fit["recolor"] for fit in report["fits"]] == ["nearest", "nearest"]
    assert report["settings"]["recolor"] == "nearest"
    assert report["fits"][0]["mse"] > report["fits"][1]["mse"]
    for fit in report["fits"]:
        codes = fit["components"]["hex"]
        assert [code for code in report["settings"]["palette"] if code in codes] == codes
        for image in images:
            entries, _ = palette_of(tmp_path / "out" / f"{image.stem}_k{fit['k']}.png")
            assert ["#" + bytes(entry.tolist()).hex() for entry in entries[: fit["k"]]] == codes


def test_a_file_comes_before_a_palette_of_its_name(command, tmp_path, samples):
    (tmp_path / "bw").write_text("#ff0000\n")
    command(samples / "grey.png", "--palette", "bw", "-o", "file")
    command(samples / "grey.png", "--palette", "BW", "-o", "name")
    (tmp_path / "gameboy").mkdir()
    command(samples / "grey.png", "--palette", "gameboy", "-o", "folder")
    assert (tmp_path / "folder" / "grey_k4.png").exists()
    assert (tmp_path / "file" / "grey_k1.png").exists()
    assert (tmp_path / "name" / "grey_k2.png").exists()


def test_colors_to_keep_of_a_palette_are_chosen(command, tmp_path, samples):
    result = command(
        samples / "cat.jpg", "--palette", "html16", "-k", "3", "--keep-colors", "fuchsia", "--json", "-o", "out"
    )
    (fit,) = json.loads(result.stdout)[0]["fits"]
    assert "#ff00ff" in fit["components"]["hex"]
