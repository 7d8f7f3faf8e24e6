"""The choice of k by ICL, and the options of the model in the command."""

import json
import shutil

import numpy as np
import pytest
from helpers import mixture_of
from PIL import Image
from scipy.special import logsumexp
from scipy.stats import multivariate_normal

from gmmquant import GaussianMixture, Quantizer, Settings, quantize, read_image
from gmmquant.colors.histogram import ColorHistogram
from gmmquant.colors.spaces import SRGB
from gmmquant.models.gaussian import Gaussians
from gmmquant.models.inference import evaluate
from gmmquant.models.selection import Criteria, choose
from gmmquant.quantization.choose_k import AUTO_PATH, coarse_cells


def path_of(icls):
    return [Criteria(k, aic=-k, bic=-2 * k, icl=icl) for k, icl in icls.items()]


def test_the_fewest_components_that_keep_nine_tenths_of_the_gain_are_chosen():
    choice = choose(path_of({1: 0.0, 2: -80.0, 4: -89.9, 8: -90.1, 16: -100.0, 32: -95.0}))
    assert (choice.k, choice.lowest_icl, choice.lowest_bic) == (8, 16, 32)


def test_a_shrunken_mixture_needs_three_quarters_of_the_gain(samples):
    """Its ICL falls up to the end of the path, so that nine tenths would be kept by too many colours."""
    image = read_image(samples / "cat.jpg").pixels[::2, ::2]
    for settings, kept in ((Settings(noise=2, shrink=0.9), 0.75), (Settings(noise=2, shrink=0), 0.9)):
        choice = Quantizer(image, settings).choose_k()
        icls = {criteria.k: criteria.icl for criteria in choice.path}
        others = {k: icl for k, icl in icls.items() if k > 1}
        enough = icls[1] - kept * max(icls[1] - min(others.values()), 0)
        expected = min(k for k, icl in others.items() if icl <= max(enough, min(others.values())))
        assert (choice.k, choice.kept_gain) == (expected, kept)
    path = path_of({1: 0.0, 2: -80.0, 4: -89.9, 8: -90.1, 16: -100.0})
    assert [choose(path, kept).k for kept in (0.75, 0.9)] == [2, 8]


@pytest.mark.parametrize("shrink", [0.0, 0.9])
def test_one_component_is_shrunk_on_the_path_as_the_others_are_and_not_in_its_own_fit(samples, shrink):
    image = read_image(samples / "cat.jpg").pixels[::2, ::2]
    quantizer = Quantizer(image, noise=2, shrink=shrink, average="mean")
    pixels, alone = image.reshape(-1, 3) / 255, quantizer.fit(1)
    covariance = np.cov(pixels, rowvar=False, bias=True) + quantizer.fitter.variance * np.eye(3)
    np.testing.assert_allclose(alone.covariances[0], covariance, rtol=1e-9)
    shape = SRGB.component_shape()
    shrunken = (1 - shrink) * covariance + shrink * np.trace(covariance) / np.trace(shape) * shape / 3
    log_likelihood = multivariate_normal(pixels.mean(axis=0), shrunken).logpdf(pixels).sum()
    first, second = quantizer.choose_k().path[:2]
    assert first.icl == pytest.approx(9 * np.log(len(pixels)) - 2 * log_likelihood, rel=1e-9)
    assert second.icl < first.icl  # in one family, a second component gains
    assert (alone.icl < quantizer.fit(2).icl) == (shrink > 0)


def test_one_component_is_chosen_only_without_alternative():
    assert choose(path_of({1: 0.0, 2: 5.0, 4: 9.0})).k == 2
    assert choose(path_of({1: 0.0, 2: 5.0, 4: 3.0})).k == 2  # nothing is gained, so the fewest
    assert choose(path_of({1: 3.0})).k == 1


def blobs(n_colors, seed=0):
    """Return an image of well separated soft colours in equal parts."""
    rng = np.random.default_rng(seed)
    centers = rng.permutation(np.stack(np.meshgrid([40, 128, 215], [40, 128, 215], [40, 128, 215]), -1).reshape(-1, 3))
    pixels = centers[rng.integers(0, n_colors, 6000)] + rng.normal(0, 6, (6000, 3))
    return np.clip(np.rint(pixels), 0, 255).astype(np.uint8).reshape(60, 100, 3)


@pytest.mark.parametrize("n_colors", [2, 4, 8])
def test_the_number_of_separate_colours_is_found(n_colors):
    assert Quantizer(blobs(n_colors)).choose_k().k == n_colors
    assert quantize(blobs(n_colors), "auto").k == n_colors


def test_the_number_of_flat_colours_is_found(samples):
    choice = Quantizer(read_image(samples / "flat.png").pixels).choose_k()
    assert choice.k == choice.lowest_icl == choice.lowest_bic == 3
    assert [criteria.k for criteria in choice.path] == [1, 2, 3, 4]
    assert Quantizer(np.zeros((2, 2, 3), np.uint8)).choose_k().k == 1


@pytest.mark.parametrize(
    "image",
    [
        np.random.default_rng(0).integers(0, 8, (40, 40, 3)).astype(np.uint8),
        np.random.default_rng(0).integers(30000, 30200, (40, 40, 3)).astype(np.uint16),
        np.arange(70, dtype=np.uint8).reshape(7, 10),
    ],
    ids=["one cell of 5 bits", "one cell of 8 bits", "seventy greys"],
)
def test_images_of_low_contrast_get_smaller_cells(image):
    quantizer = Quantizer(image)
    assert coarse_cells(quantizer.histogram, quantizer.fitter.cells).weights.size >= min(
        quantizer.histogram.n_colors, 400
    )
    choice = quantizer.choose_k()
    assert [criteria.k for criteria in choice.path][:4] == [1, 2, 4, 8]


def test_two_soft_colours_are_found_at_a_quarter_of_their_contrast():
    assert Quantizer((blobs(2) // 4 + 100).astype(np.uint8)).choose_k().k == 2


def test_the_runner_up_is_the_best_of_the_others():
    choice = choose(path_of({1: 0.0, 2: -95.0, 4: -100.0, 8: -99.0}))
    assert (choice.k, choice.runner_up, choice.lowest_icl) == (2, 4, 4)
    choice = choose(path_of({1: 0.0, 2: -80.0, 4: -100.0, 8: -99.0}))
    assert (choice.k, choice.runner_up, choice.lowest_icl) == (4, 8, 4)
    assert choose(path_of({1: 3.0})).runner_up == 1


def test_icl_and_not_bic_decides(samples):
    """If components overlap, the entropy of the responsibilities makes the two criteria differ."""
    choice = choose([Criteria(1, 0, 0, 0), Criteria(2, -10, -10, -9), Criteria(4, -90, -90, -5)])
    assert (choice.k, choice.lowest_icl, choice.lowest_bic) == (2, 2, 4)
    photograph = Quantizer(read_image(samples / "cat.jpg").pixels, style="likelihood").choose_k()
    assert all(criteria.icl > criteria.bic for criteria in photograph.path[1:])
    assert photograph.lowest_bic > photograph.lowest_icl

    def chosen_by(name):
        values = {criteria.k: getattr(criteria, name) for criteria in photograph.path}
        return min(k for k in values if values[k] <= values[1] - 0.9 * (values[1] - min(values.values())))

    assert photograph.k == chosen_by("icl") < chosen_by("bic")


def test_the_criteria_count_the_parameters_of_the_covariance_type():
    paths = [Quantizer(blobs(2), Settings(covariance=name)).choose_k().path for name in ("full", "spherical")]
    # At one component the fits differ in the covariance only: 6 parameters against 1, and a worse likelihood.
    for path, n_parameters in zip(paths, (9, 4), strict=True):
        first = path[0]
        assert first.bic - first.aic == pytest.approx(n_parameters * (np.log(6000) - 2))


@pytest.mark.parametrize("name", ["cat.jpg", pytest.param("rocket.jpg", marks=pytest.mark.slow)])
def test_the_choice_for_photographs_is_inside_the_path_and_stable_when_they_are_halved(samples, name):
    from PIL import Image

    with Image.open(samples / name) as image:
        halved = np.asarray(image.resize((image.width // 2, image.height // 2)))
        whole = np.asarray(image)
    first, second = (AUTO_PATH.index(Quantizer(original).choose_k().k) for original in (whole, halved))
    assert 0 < first < len(AUTO_PATH) - 1
    assert abs(first - second) <= 1


@pytest.mark.parametrize("bits", [3, 5, 8, None])
@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
def test_coarser_cells_keep_weight_mean_and_covariance_of_all_pixels(bits, dtype):
    pixels = np.random.default_rng(0).integers(0, np.iinfo(dtype).max + 1, (500, 3)).astype(dtype)
    histogram = ColorHistogram.from_pixels(pixels)
    cells = histogram.cells() if bits is None else histogram.cells().merged(histogram.cubes(bits))
    values = pixels / np.iinfo(dtype).max
    assert cells.total_weight == 500
    np.testing.assert_allclose(cells.origin, values.mean(axis=0), rtol=1e-12)
    np.testing.assert_allclose(cells.covariance, np.cov(values.T, bias=True), rtol=1e-9)
    if bits is not None:
        corners = pixels >> (8 * pixels.itemsize - bits)
        assert cells.weights.size == len(np.unique(corners, axis=0))


def test_a_cell_is_scored_by_the_mean_over_its_members():
    """Scores are quadratic, so that the mean over members is exact, whatever their distribution."""
    rng = np.random.default_rng(0)
    members = rng.normal(size=(40, 3))
    mixture = Gaussians(np.array([0.3, 0.7]), rng.normal(size=(2, 3)), np.stack([np.eye(3), 2 * np.eye(3)]))
    from gmmquant.models.cells import Cells
    from gmmquant.models.gaussian import log_joint

    scatter = np.cov(members.T, bias=True)[np.newaxis]
    cell = Cells.from_samples(members.mean(axis=0)[np.newaxis], np.ones(1), scatter)
    ((_, _, of_cell),) = log_joint(mixture, cell)
    ((_, _, of_members),) = log_joint(mixture, Cells.points(members, origin=np.zeros(3)))
    np.testing.assert_allclose(of_cell[:, 0], of_members.mean(axis=1), rtol=1e-12)
    assert evaluate(cell, mixture).log_likelihood == pytest.approx(logsumexp(of_members.mean(axis=1)))


# --- the command ------------------------------------------------------------------------------------------------------


@pytest.fixture
def grey(tmp_path, samples):
    return shutil.copy(samples / "grey.png", tmp_path / "grey.png")


def fits_of(tmp_path, name="grey"):
    return json.loads((tmp_path / f"{name}_report.json").read_text())["fits"]


def test_the_line_on_a_choice_mentions_a_lowest_icl_at_one_colour(command, tmp_path, samples, grey):
    shutil.copy(samples / "alpha.png", tmp_path / "alpha.png")
    result = command("alpha.png", "-k", "auto", "-o", "out", "--style", "likelihood")
    path = json.loads((tmp_path / "out" / "alpha_report.json").read_text())["choice"]["path"]
    assert min(path, key=lambda criteria: criteria["icl"])["k"] == 1
    assert "auto: k = 2, the fewest above one, as the ICL of coarse cells is lowest at one colour" in result.stdout
    result = command("grey.png", "-k", "auto", "-o", "out", "--noise", "0", "--shrink", "0")
    assert "the fewest colours that keep 90% of the gain in the ICL of coarse cells over one colour" in result.stdout


def test_auto_and_ranges_work_together_and_the_choice_is_explained_in_a_line(command, tmp_path, grey):
    result = command("grey.png", "-k", "3-4", "auto")
    assert result.returncode == 0, result.stderr
    record = json.loads((tmp_path / "grey_report.json").read_text())
    choice = record["choice"]
    assert record["settings"]["k"] == [3, 4, "auto"]
    assert [fit["auto"] for fit in record["fits"]] == [False, False, True]
    assert record["fits"][2]["k"] == choice["k"]
    assert record["fits"][2]["files"]["image"] == "grey_kauto.png"
    assert (tmp_path / "grey_kauto.png").exists()
    (line,) = [line for line in result.stdout.splitlines() if line.startswith("auto: ")]
    assert f"k = {choice['k']}" in line
    others = [criteria for criteria in choice["path"] if criteria["k"] != choice["k"]]
    assert f"runner-up {min(others, key=lambda criteria: criteria['icl'])['k']}; BIC is lowest at" in line
    path = choice["path"]
    gained = path[0]["icl"] - min(criteria["icl"] for criteria in path)
    enough = [criteria["k"] for criteria in path if criteria["icl"] <= path[0]["icl"] - choice["kept_gain"] * gained]
    assert choice["k"] == enough[0]


def test_a_number_below_that_of_the_kept_colors_is_no_alternative(command, tmp_path):
    colors = np.array([[255, 0, 0], [0, 255, 0], [0, 0, 255], [250, 250, 0], [9, 9, 9]], np.uint8)
    labels = np.random.default_rng(0).integers(0, 5, (30, 40))
    Image.fromarray(colors[labels]).save(tmp_path / "flat.png")
    Image.fromarray(colors[labels * 0]).save(tmp_path / "red.png")
    for name, kept, k, rest in (
        ("flat", "red,lime,blue", 5, "runner-up 4; BIC is lowest at"),
        ("red", "red", 1, "BIC is lowest at 1;"),
        ("red", "red,lime,blue", 3, "BIC is lowest at 3;"),
    ):
        result = command(f"{name}.png", "-k", "auto", "--keep-colors", kept, "-o", "out", "-f")
        assert result.returncode == 0, result.stderr
        assert f"auto: k = {k}, " in result.stdout
        assert f"; {rest}" in result.stdout


def test_auto_gives_the_same_image_as_the_chosen_number(command, tmp_path, grey):
    assert command("grey.png", "-k", "auto", "-o", "a").returncode == 0
    k = fits_of(tmp_path / "a")[0]["k"]
    assert command("grey.png", "-k", str(k), "-o", "b").returncode == 0
    assert (tmp_path / "a/grey_kauto.png").read_bytes() == (tmp_path / f"b/grey_k{k}.png").read_bytes()


@pytest.mark.parametrize("covariance", ["full", "tied", "diag", "spherical"])
def test_the_covariance_option_is_fitted_and_reported(command, tmp_path, grey, covariance):
    assert command("grey.png", "-k", "3", "--covariance", covariance).returncode == 0
    (fit,) = fits_of(tmp_path)
    assert fit["covariance"] == covariance
    _, _, matrices = mixture_of(fit)
    off_diagonal = matrices[:, ~np.eye(3, dtype=bool)]
    assert (np.abs(off_diagonal).max() > 0) == (covariance in ("full", "tied"))
    if covariance == "tied":
        assert np.array_equal(matrices[0], matrices[1])
    if covariance == "spherical":
        assert np.ptp(np.diagonal(matrices, axis1=1, axis2=2), axis=1).max() == 0
    with_counts = np.unique(read_image(grey).pixels.reshape(-1, 3), axis=0, return_counts=True)
    mixture = GaussianMixture(3, covariance_type=covariance, random_state=0).fit(
        with_counts[0] / 255, sample_weight=with_counts[1]
    )
    n = mixture._n_parameters()
    assert fit["aic"] == pytest.approx(2 * n - 2 * fit["log_likelihood"])


def test_restarts_reach_a_higher_likelihood_than_a_single_start(samples):
    pixels = read_image(samples / "alpha.png").pixels
    single, several = (
        np.array(
            [
                Quantizer(pixels, Settings(noise=0, shrink=0, restarts=n, seed=seed)).fit(7).fit.trace[-1]
                for seed in range(3)
            ]
        )
        for n in (1, 5)
    )
    assert (several >= single - 1e-9).all()
    assert (several > single + 1e-3).any()


@pytest.mark.parametrize("init", ["kmeans", "k-means++", "random_from_data", "random"])
def test_every_method_of_starting_gives_a_repeatable_fit(command, tmp_path, grey, init):
    for folder in ("a", "b"):
        assert command("grey.png", "-k", "3", "--init", init, "-o", folder).returncode == 0
    assert (tmp_path / "a/grey_k3.png").read_bytes() == (tmp_path / "b/grey_k3.png").read_bytes()
    traces = {json.dumps(fits_of(tmp_path / folder)[0]["trace"]) for folder in ("a", "b")}
    assert len(traces) == 1


def test_methods_of_starting_give_different_starts(samples):
    pixels = read_image(samples / "grey.png").pixels
    ways = ("kmeans", "k-means++", "random_from_data", "random")
    assert len({Quantizer(pixels, Settings(init=way)).fit(3).fit.trace[0] for way in ways}) == 4


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--covariance", "round"], "--covariance round is unknown; use one of full, tied, diag, spherical"),
        (["--init", "guess"], "--init guess is unknown; use one of kmeans, k-means++, random_from_data, random"),
        (["--restarts", "0"], "--restarts 0 is too small; use at least 1"),
    ],
)
def test_a_bad_model_option_is_a_usage_error_with_value_limit_and_remedy(command, grey, arguments, message):
    result = command("grey.png", "-k", "3", *arguments)
    assert (result.returncode, result.stderr) == (2, f"gmmquant: {message}\n")
