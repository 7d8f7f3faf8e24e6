"""Centers of least squared error: against brute force, plain loops and scikit-learn, and their laws."""

import itertools
import json
import shutil

import numpy as np
import pytest
import sklearn.cluster
from helpers import cells_of, read_sample
from hypothesis import given, settings
from hypothesis import strategies as st

from gmmquant import Quantizer, Settings, quantize
from gmmquant.models.codebook import refine
from gmmquant.models.kmeans import center_scores, inertia, kmeans_plus_plus
from gmmquant.models.palette_kmeans import _without_nearest, fit_codebook
from gmmquant.models.palette_starts import principal_splits, split_clusters
from gmmquant.models.palette_trials import Moves, costs_of_removal, search
from gmmquant.models.sweep import most_probable

law = settings(max_examples=40)


def mean_error(cells, centers):
    """Return the mean squared distance of all samples in the cells to the nearest center."""
    inside = 0.0 if cells.scatter is None else float((cells.scatter[[0, 3, 5]].sum(axis=0) * cells.weights).sum())
    return (inertia(cells, centers) + inside) / cells.total_weight


@law
@given(st.lists(st.tuples(st.integers(-50, 50), st.integers(1, 9)), min_size=2, max_size=12, unique_by=lambda p: p[0]))
def test_on_a_line_the_first_split_is_optimal(points):
    X = np.array([[x] for x, _ in points], dtype=float)
    weights = np.array([w for _, w in points], dtype=float)
    cells = cells_of(X, weights)
    order = np.argsort(X[:, 0])
    errors = []
    for cut in range(1, len(X)):
        parts = order[:cut], order[cut:]
        means = [np.average(X[part, 0], weights=weights[part]) for part in parts]
        errors.append(sum((weights[p] * (X[p, 0] - m) ** 2).sum() for p, m in zip(parts, means, strict=True)))
    assert inertia(cells, principal_splits(cells, 2)) <= min(errors) * (1 + 1e-9) + 1e-9


def test_splits_find_separate_clusters_and_end_with_single_cells():
    rng = np.random.default_rng(0)
    corners = np.array(list(itertools.product([0.0, 10.0], [0.0, 20.0], [0.0, 40.0])))
    X = np.repeat(corners, 20, axis=0) + rng.normal(size=(160, 3))
    centers = principal_splits(cells_of(X), 8)
    means = X.reshape(8, 20, 3).mean(axis=1)
    np.testing.assert_allclose(sorted(centers.tolist()), sorted(means.tolist()), rtol=1e-12)
    assert sorted(map(tuple, principal_splits(cells_of(corners), 20))) == sorted(map(tuple, corners))


@pytest.mark.parametrize("k", [1, 2, 7, 40])
def test_the_error_never_rises_and_equals_that_of_plain_distances(levels, k):
    cells = levels[1]
    start = kmeans_plus_plus(cells, k, np.random.default_rng(k))
    seen = []
    fit = refine(cells, start, tol=1e-6, max_iter=500, watch=lambda *step: seen.append(step))
    assert fit.converged
    assert np.diff(fit.trace).max() <= 0
    assert fit.trace[0] == pytest.approx(mean_error(cells, start), rel=1e-9)
    assert mean_error(cells, fit.centers) <= fit.trace[-1] * (1 + 1e-12)
    assert seen == list(enumerate(fit.trace))
    assert fit.n_cells == (cells.weights.size,) * len(fit.trace)


@pytest.mark.parametrize("k", [3, 12])
def test_from_the_same_start_the_error_is_about_that_of_scikit_learn(levels, k):
    cells = levels[-1]
    start = kmeans_plus_plus(cells, k, np.random.default_rng(0))
    fit = refine(cells, start, tol=1e-7, max_iter=1000)
    theirs = sklearn.cluster.KMeans(k, init=start, n_init=1, tol=0, max_iter=1000).fit(
        cells.positions(), sample_weight=cells.weights
    )
    assert inertia(cells, fit.centers) == pytest.approx(theirs.inertia_, rel=0.01)


@pytest.mark.parametrize("max_iter", [0, 1, 3])
def test_iterations_end_at_the_limit(levels, max_iter):
    start = kmeans_plus_plus(levels[0], 9, np.random.default_rng(0))
    fit = refine(levels[0], start, tol=0.0, max_iter=max_iter)
    assert (fit.n_iter, fit.converged) == (max_iter, False)


def test_the_cost_of_a_center_is_the_rise_of_the_error_without_it(levels):
    cells = levels[0]
    centers = kmeans_plus_plus(cells, 9, np.random.default_rng(1))
    labels, costs = costs_of_removal(cells, centers)
    np.testing.assert_array_equal(labels, most_probable(center_scores(centers, cells.origin), cells))
    for k in range(9):
        without = np.delete(centers, k, axis=0)
        rise = (inertia(cells, without) - inertia(cells, centers)) / cells.total_weight
        assert costs[k] == pytest.approx(rise, rel=1e-9, abs=1e-15)


def test_a_superfluous_center_moves_to_a_cluster_without_one():
    rng = np.random.default_rng(2)
    places = np.array([[0.0, 0, 0], [100, 0, 0], [130, 0, 0]])
    X = np.repeat(places, 200, axis=0) + rng.normal(size=(600, 3))
    cells = cells_of(X)
    stuck = refine(cells, np.array([[-1.0, 0, 0], [1, 0, 0], [115, 0, 0]]), tol=1e-9, max_iter=100)
    assert stuck.trace[-1] > 100
    moved, n_moved = Moves(cells, stuck.centers, 0).draw(rng, 3)
    assert n_moved == 1
    free = refine(cells, moved, tol=1e-9, max_iter=100)
    np.testing.assert_allclose(np.sort(free.centers[:, 0]), [0, 100, 130], atol=0.5)
    assert Moves(cells, free.centers, 0).draw(rng, 3)[1] == 0


def test_the_gain_of_a_split_is_the_fall_of_the_error_and_that_of_the_best_cut_across_the_axis(levels):
    cells = levels[0]
    centers = kmeans_plus_plus(cells, 9, np.random.default_rng(3))
    labels = most_probable(center_scores(centers, cells.origin), cells)
    gains, halves = split_clusters(cells, labels, 12)  # the last three are empty
    np.testing.assert_array_equal(halves % 12, labels)
    assert not gains[9:].any()
    for k in range(9):
        X, weights, upper = cells.offsets[:, labels == k].T, cells.weights[labels == k], halves[labels == k] >= 12
        centered = X - np.average(X, axis=0, weights=weights)
        along = centered @ np.linalg.eigh(np.cov(X.T, aweights=weights))[1][:, -1]

        def error(chosen, X=X, weights=weights):
            return weights[chosen] @ ((X[chosen] - np.average(X[chosen], axis=0, weights=weights[chosen])) ** 2).sum(1)

        everything = np.ones(len(X), dtype=bool)
        falls = [error(everything) - error(along <= cut) - error(along > cut) for cut in np.sort(along)[:-1]]
        fall = error(everything) - error(upper) - error(~upper)
        # The gain counts the distance along the axis only.
        assert max(falls) * (1 + 1e-9) >= fall >= gains[k] * cells.total_weight * (1 - 1e-9)
        assert gains[k] * cells.total_weight > 0.9 * max(falls)


@pytest.mark.parametrize("k", [2, 7, 20, 60])
def test_more_trials_and_more_starts_never_end_with_a_higher_error(levels, k):
    start = kmeans_plus_plus(levels[0], k, np.random.default_rng(4))
    found = [search(levels[0], start, np.random.default_rng(5), n_trials) for n_trials in (0, 1, 5, 20)]
    errors = [refine(levels[0], centers, tol=0.0, max_iter=0).trace[-1] for centers in found]
    assert (np.diff(errors) <= 0).all()
    fits = [
        fit_codebook(levels, k, restarts=restarts, rng=np.random.default_rng(6), tol=1e-4, max_iter=None)
        for restarts in (1, 2, 4, 9)
    ]
    assert (np.diff([fit.trace[-1] for fit in fits]) <= 0).all()


def test_a_fit_is_watched_from_the_search_to_its_end(levels):
    seen = []
    fit = fit_codebook(
        levels,
        5,
        restarts=1,
        rng=np.random.default_rng(0),
        tol=1e-4,
        max_iter=None,
        watch=lambda *step: seen.append(step),
    )
    iterations, errors = zip(*seen, strict=True)
    assert set(errors) <= set(fit.trace)
    assert (np.diff(errors) <= 0).all()
    assert (np.diff(iterations) >= 0).all()
    assert seen[-1] == (fit.n_iter, fit.trace[-1])


def test_kept_centers_replace_the_nearest_ones_of_a_start():
    centers = np.array([[0.0, 0, 0], [1, 0, 0], [5, 0, 0], [9, 0, 0]])
    kept = _without_nearest(centers, np.array([[6.0, 0, 0], [-1, 0, 0], [100, 0, 0]]), 2)
    np.testing.assert_array_equal(kept, centers[[1, 3]])
    np.testing.assert_array_equal(_without_nearest(centers, np.array([[6.0, 0, 0]]), 4), centers)


def test_kept_centers_stay_in_a_search(levels):
    start = kmeans_plus_plus(levels[0], 20, np.random.default_rng(7))
    found = search(levels[0], start, np.random.default_rng(8), 30, n_fixed=5)
    np.testing.assert_array_equal(found[:5], start[:5])
    assert inertia(levels[0], found) < inertia(levels[0], start)


@pytest.mark.parametrize("k", [1, 2, 5, 16, 60])
def test_the_error_falls_from_level_to_level(levels, k):
    fit = fit_codebook(levels, k, restarts=3, rng=np.random.default_rng(0), tol=1e-4, max_iter=200)
    assert fit.centers.shape == (k, 3)
    assert np.diff(fit.trace).max() <= 1e-12
    assert list(dict.fromkeys(fit.n_cells)) == [cells.weights.size for cells in levels]
    assert len(fit.trace) == len(fit.n_cells) == fit.n_iter + len(levels)
    assert fit.converged


@pytest.mark.parametrize("k", [4, 16, 64])
def test_the_error_is_at_most_that_of_the_best_of_many_starts_of_scikit_learn(levels, k):
    levels = levels[:-1]  # not to the distinct colours, which take scikit-learn four times as long
    cells = levels[-1]
    theirs = sklearn.cluster.KMeans(k, n_init=5, random_state=0).fit(cells.positions(), sample_weight=cells.weights)
    for seed in range(2):
        rng = np.random.default_rng(seed)
        fit = fit_codebook(levels, k, restarts=4, rng=rng, tol=1e-4, max_iter=200)
        assert inertia(cells, fit.centers) <= 1.02 * theirs.inertia_


@pytest.mark.parametrize("k", [2, 20])
@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
def test_pixels_get_the_nearest_colour_of_the_palette(k, dtype):
    image = read_sample("cat.jpg")[::5, ::5].astype(dtype) * (1 if dtype == np.uint8 else 257)
    result = quantize(image, k, method="kmeans")
    distances = ((image[:, :, None] / np.iinfo(dtype).max * 255.0 - result.palette) ** 2).sum(axis=-1)
    chosen = np.take_along_axis(distances, result.labels[:, :, None].astype(int), axis=2)[:, :, 0]
    np.testing.assert_allclose(chosen, distances.min(axis=2), atol=1e-9)
    assert result.mse == pytest.approx(chosen.mean(), rel=1e-12)
    assert (result.fit.method, result.recoloring) == ("kmeans", "nearest")
    mixtures = [quantize(image, k, recolor=recolor) for recolor in (None, "nearest")]
    assert [mixture.recoloring for mixture in mixtures] == ["posterior", "nearest"]
    assert result.mse < mixtures[1].mse < mixtures[0].mse


def test_a_kmeans_result_describes_its_clusters_as_gaussians():
    image = read_sample("cat.jpg")[::3, ::3]
    quantizer = Quantizer(image, Settings(method="kmeans"))
    result = quantizer.fit(5)
    pixels, labels = image.reshape(-1, 3) / 255, result.labels.ravel()
    for i in range(5):
        members = pixels[labels == i]
        assert result.weights[i] == pytest.approx(len(members) / len(pixels), rel=0.02)
        np.testing.assert_allclose(result.means[i], members.mean(axis=0), atol=2e-3)
        np.testing.assert_allclose(result.covariances[i], np.cov(members.T, bias=True), atol=5e-4)


def test_the_command_fits_by_kmeans_and_reports_it(command, tmp_path, samples):
    shutil.copy(samples / "rocket.jpg", tmp_path / "rocket.jpg")
    errors = {}
    for folder, options in (("a", ["--method", "kmeans"]), ("b", ["--recolor", "nearest"]), ("c", [])):
        result = command("rocket.jpg", "-k", "7", "-o", folder, *options)
        assert result.returncode == 0
        record = json.loads((tmp_path / folder / "rocket_report.json").read_text())
        (fit,) = record["fits"]
        assert (fit["method"], fit["recolor"]) == (
            "kmeans" if folder == "a" else "gmm",
            "posterior" if folder == "c" else "nearest",
        )
        assert (record["settings"]["method"], record["settings"]["recolor"]) == (
            fit["method"],
            fit["recolor"],
        )
        errors[folder] = fit["mse"]
    assert errors["a"] < errors["b"] < errors["c"]
    for option in ("--method", "--recolor"):
        wrong = command("rocket.jpg", "-k", "7", "-o", "d", option, "best")
        assert wrong.returncode == 2
        assert "unknown" in wrong.stderr


def test_a_model_of_clusters_recolours_by_the_nearest_colour_by_default(command, tmp_path, samples):
    shutil.copy(samples / "rocket.jpg", tmp_path / "rocket.jpg")
    assert command("rocket.jpg", "-k", "7", "--method", "kmeans", "--save-model", "-o", "a").returncode == 0
    for folder, options, expected in (("b", [], "nearest"), ("c", ["--recolor", "posterior"], "posterior")):
        assert command("rocket.jpg", "--model", "a/rocket_k7.gmm.json", "-o", folder, *options).returncode == 0
        record = json.loads((tmp_path / folder / "rocket_report.json").read_text())
        assert record["fits"][0]["recolor"] == record["settings"]["recolor"] == expected
    same = [(tmp_path / folder / "rocket_k7.png").read_bytes() for folder in "ab"]
    assert same[0] == same[1]


@pytest.mark.parametrize("max_iter", [1, 3, 40])
def test_iterations_of_all_levels_together_keep_to_the_limit(levels, max_iter):
    fit = fit_codebook(levels, 7, restarts=1, rng=np.random.default_rng(0), tol=-1.0, max_iter=max_iter)
    assert fit.n_iter == max_iter
