"""The example pages run, print the text they show, draw their images, and state facts that hold."""

import re
import runpy
import shutil
from types import SimpleNamespace

import numpy as np
import pytest
from helpers import SAMPLE_IMAGES, log_density_by_scipy
from PIL import Image
from scipy.stats import norm

from gmmquant import ConvergenceWarning, GaussianMixture

EXAMPLES = SAMPLE_IMAGES.parent / "docs" / "examples"
IMAGES = SAMPLE_IMAGES.parent / "docs" / "images" / "examples"
PAGES = ["five-iterations", "the-cat", "two-gaussians-in-the-plane", "two-normals", "two-starts"]

runner = SimpleNamespace(**runpy.run_path(str(EXAMPLES / "run.py")))


def read(name):
    return (EXAMPLES / f"{name}.md").read_text(encoding="utf-8")


@pytest.fixture(scope="module")
def workplace(tmp_path_factory):
    """A folder with the example pages and sample images, without the drawn images."""
    folder = tmp_path_factory.mktemp("project")
    shutil.copytree(EXAMPLES, folder / "docs" / "examples")
    shutil.copytree(SAMPLE_IMAGES, folder / "sample_images")
    (folder / "docs" / "images" / "examples").mkdir(parents=True)
    return folder


@pytest.fixture(scope="module")
def run(workplace):
    """Run a page, once for all tests, and return what it printed and the names of its code."""
    results = {}

    def run_once(name):
        if name not in results:
            results[name] = runner.run(EXAMPLES / f"{name}.md", workplace)
        return results[name]

    return run_once


@pytest.fixture(scope="module")
def names(run):
    """Return the names of a page's code, as attributes."""
    return lambda name: SimpleNamespace(**run(name).names)


def test_every_example_page_is_tested():
    assert [page.stem for page in runner.pages()] == PAGES


@pytest.mark.parametrize("name", PAGES)
def test_a_page_shows_what_its_code_prints(run, name):
    result = run(name)
    assert result.differences() == []
    assert sum(bool(step.expected) for step, _ in result.printed) >= 2


@pytest.mark.parametrize("name", PAGES)
def test_a_page_draws_the_images_it_shows_and_ends_with_one(run, workplace, name):
    run(name)
    shown = re.findall(r"^!\[.+\]\(\.\./images/examples/(.+\.png)\)$", read(name), flags=re.MULTILINE)
    assert read(name).rstrip().endswith(f"/{name}.png)")
    drawn = [path.name for path in (workplace / "docs" / "images" / "examples").glob(f"{name}*.png")]
    assert sorted(shown) == sorted(drawn) == sorted(path.name for path in IMAGES.glob(f"{name}*.png"))
    for file in drawn:
        with Image.open(workplace / "docs" / "images" / "examples" / file) as new, Image.open(IMAGES / file) as old:
            assert new.size == old.size, f"{file} is not what the page draws: run make examples"
            assert len(new.convert("RGB").getcolors(maxcolors=2**24)) > 50


def test_the_index_links_every_page_with_its_image():
    index = read("README")
    for name in PAGES:
        title = read(name).splitlines()[0].removeprefix("# ")
        assert f"[{title}]({name}.md)" in index
        assert re.search(rf'\[<img src="../images/examples/{name}\.png"[^>]*>\]\({name}\.md\)', index)
    assert len(list(IMAGES.iterdir())) == len(PAGES) + 2


@pytest.mark.parametrize(
    ("expected", "printed", "within"),
    [
        ("mean 1.25", "mean 1.27", None),
        ("mean -1.25", "mean 1.25", None),
        ("1,000 points", "1,001 points", None),
        ("mean 1.25", "median 1.25", None),
        ("1.5 2.5", "1.5", None),
        ("equal: True", "equal: False", None),
        ("", "1.5", None),
        ("1.5", "", None),
        ("1.50", "nan", None),
        ("error 1633", "error 1670", 0.02),
        ("4.62", "4.65", 0.005),
    ],
)
def test_a_wrong_figure_is_detected(expected, printed, within):
    assert runner.difference(expected, printed, within)


@pytest.mark.parametrize(
    ("expected", "printed", "within"),
    [
        ("mean 1.25\n", "mean 1.26\n", None),
        ("mean  0.00", "mean -0.00", None),
        ("[[1.0, 2.5], [3.1, 4.0]]", "[[1.1, 2.5], [3.0, 4.0]]", None),
        ("999.9 pixels", "1,000.0 pixels", None),
        ("error 1633", "error 1660", 0.02),
    ],
)
def test_a_figure_may_differ_within_the_tolerance_of_the_page(expected, printed, within):
    assert runner.difference(expected, printed, within) is None


def test_a_page_is_split_into_steps_of_code_and_output():
    page = "# T\n\n```python\na = 1\n```\n\n```python\nprint(a)\n```\n\n```text within 2%\n1\n```\n\n```sh\nls\n```\n"
    assert list(runner.steps(page)) == [("a = 1\n", 4, "", None), ("print(a)\n", 8, "1\n", 0.02)]
    with pytest.raises(ValueError, match="without a Python block"):
        list(runner.steps("```text\n1\n```\n"))


def test_two_normals_are_recovered_within_sampling_error(names):
    page = names("two-normals")
    assert page.X.shape == (2000, 1)
    np.testing.assert_allclose(page.means, [0, 5], atol=2 * 0.032)
    np.testing.assert_allclose(page.deviations, [1, 1], atol=2 * 0.022)
    np.testing.assert_allclose(page.weights, [0.5, 0.5], atol=0.01)
    assert max(*page.errors_of_means, *page.errors_of_deviations) < 2
    assert (round(1000**-0.5, 3), round(2000**-0.5, 3)) == (0.032, 0.022)


def test_the_curves_drawn_for_two_normals_are_weighted_normal_densities(names):
    page = names("two-normals")
    np.testing.assert_allclose(page.parts, page.weights * norm.pdf(page.x, page.means, page.deviations), atol=1e-12)


def test_two_gaussians_are_recovered_within_sampling_error(names):
    page = names("two-gaussians-in-the-plane")
    assert [len(draw) for draw in page.draws] == [1000, 1000]
    np.testing.assert_allclose(page.sampling_errors, [[0.032] * 2, [0.022] * 2], atol=0.0005)
    assert np.all(np.abs(page.means - [[4, 3], [2, 5]]) < 2 * page.sampling_errors)
    np.testing.assert_allclose(page.covariances, [[[1, 0.7], [0.7, 1]], [[0.5, 0.4], [0.4, 0.5]]], rtol=0.1)
    # An ellipse of two standard deviations holds 86%.
    for mean, covariance, draw in zip(page.true_means, page.true_covariances, page.draws, strict=True):
        whitened = np.linalg.solve(np.linalg.cholesky(covariance), (draw - mean).T)
        assert np.mean((whitened**2).sum(axis=0) < 4) == pytest.approx(1 - np.exp(-2), abs=0.03)
    assert round(1 - np.exp(-2), 2) == 0.86


def test_five_iterations_have_the_known_log_likelihoods(names):
    page = names("five-iterations")
    assert [len(page.X), *page.counts] == [2000, 400, 600, 1000]
    np.testing.assert_allclose(page.log_likelihoods, [-8.05, -4.73, -4.73, -4.73, -4.73], atol=0.02)
    gains = np.diff(page.log_likelihoods)
    assert np.all(gains > 0)
    assert gains[0] > 0.99 * gains.sum()  # the first iteration gains nearly everything


def test_five_single_iterations_equal_a_plain_loop_and_one_fit(names):
    page = names("five-iterations")
    np.testing.assert_allclose(page.log_likelihoods, page.by_hand, rtol=0, atol=1e-9)
    start = {"weights_init": [1 / 3] * 3, "means_init": page.start, "precisions_init": np.ones((3, 2))}
    once = GaussianMixture(3, covariance_type="diag", reg_covar=0, max_iter=5, tol=0, **start)
    with pytest.warns(ConvergenceWarning):
        once.fit(page.X)
    np.testing.assert_allclose(page.log_likelihoods, once.lower_bounds_[:5], rtol=0, atol=1e-12)
    assert len(page.path) == 6
    np.testing.assert_allclose(page.path[5][0], once.means_, rtol=0, atol=1e-12)
    np.testing.assert_allclose(page.path[5][1], once.covariances_, rtol=0, atol=1e-12)
    np.testing.assert_allclose([once.means_, once.covariances_], [page.means, page.variances], rtol=0, atol=1e-9)


def test_two_starts_converge_to_the_same_maximum(names):
    page = names("two-starts")
    ends = [path[-1][np.argsort(path[-1][:, 0])] for path in page.paths.values()]
    np.testing.assert_allclose(*ends, atol=1e-3)
    assert page.curves["clever"][-1] == pytest.approx(page.curves["poor"][-1], abs=1e-8)
    np.testing.assert_array_equal(page.paths["poor"][0], [[10, 20], [0, 20]])
    assert page.curves["poor"][0] < -100 < page.curves["clever"][0]
    assert all(np.all(np.diff(curve) > -1e-9) for curve in page.curves.values())
    assert 0 < len(page.curves["poor"]) - len(page.curves["clever"]) < 10  # the poor start needs a few iterations more
    for name, fit in {"clever": page.clever, "poor": page.poor}.items():
        density = log_density_by_scipy(page.X, fit.weights_, fit.means_, fit.covariances_)
        assert page.curves[name][-1] == pytest.approx(density.mean(), abs=1e-9)


def test_two_starts_recover_the_truth_within_sampling_error(names):
    page = names("two-starts")
    assert len(page.X) == 1000
    for fit in (page.clever, page.poor):
        order = np.argsort(fit.means_[:, 0])
        np.testing.assert_allclose(fit.weights_[order], [0.3, 0.7], atol=2 * 0.0145)
        for k, (mean, variances, n) in enumerate([((0, 0), (1, 10), 300), ((10, 10), (10, 1), 700)]):
            variances = np.array(variances)
            assert np.all(np.abs(fit.means_[order[k]] - mean) < 2 * np.sqrt(variances / n))
            covariance = fit.covariances_[order[k]]
            assert np.all(np.abs(np.diagonal(covariance) - variances) < 2 * variances * np.sqrt(2 / n))
            assert abs(covariance[0, 1]) < 2 * np.sqrt(10 / n)


def test_every_stage_of_the_cat_page_improves_the_fit(names):
    page = names("the-cat")
    stages = [page.inertia(page.cells, centers) for centers in [*page.centers, page.clusters]]
    assert np.all(np.diff(stages) < 0)
    assert np.all(np.diff(page.fit.trace) > -1e-9)
    assert [small.k for small in page.images] == [2, 3, 7, 20]
    assert np.all(np.diff([small.mean_log_likelihood for small in page.images]) > 0)
    assert np.all(np.diff([small.mse for small in page.images]) < 0)
    assert 0 < page.images[2].mean_log_likelihood - page.fit.trace[-1] < 0.1  # quantize ends a little higher
    assert len(page.some) == page.counts.sum() / 60


def test_quantize_fits_as_well_as_the_steps_of_the_cat_page(names):
    page = names("the-cat")
    assert page.images[2].fit.trace[-1] > page.fit.trace[-1] - 0.01
    assert page.images[2].fit.n_cells[-1] == len(page.colors)
    for small in page.images:
        assert len(np.unique(small.image.reshape(-1, 3), axis=0)) == small.k
