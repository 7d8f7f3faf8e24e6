"""KMeans against scikit-learn's Lloyd from the same start, and the laws of weighted samples."""

import math
import warnings

import numpy as np
import pytest
import sklearn.cluster
from helpers import assert_refused, cells_of, read_only
from hypothesis import given, settings
from hypothesis import strategies as st

import gmmquant
from gmmquant import ConvergenceWarning, KMeans, NotFittedError, ParameterError
from gmmquant.models.cells import Cells, phi_rows
from gmmquant.models.kmeans import (
    center_scores,
    kmeans_plus_plus,
    lloyd,
    lloyd_step,
    nearest_squared_distances,
    relocate_empty,
    squared_distances,
)
from gmmquant.models.sweep import most_probable


def blobs(seed, n=400, d=3, n_blobs=5):
    """Draw samples of a few clusters, close enough that Lloyd needs several iterations."""
    rng = np.random.default_rng(seed)
    places = rng.normal(scale=2.0, size=(n_blobs, d))
    return places[rng.integers(0, n_blobs, n)] + rng.normal(size=(n, d))


def inertia_by_loops(X, centers, weight=None):
    """Sum weight times squared distance to the nearest center, one sample at a time."""
    weight = np.ones(len(X)) if weight is None else weight
    return math.fsum(
        w * min(math.fsum((a - b) ** 2 for a, b in zip(x, center, strict=True)) for center in centers)
        for x, w in zip(X, weight, strict=True)
    )


def assert_same_clustering(one, other, rtol=1e-9):
    np.testing.assert_allclose(one.cluster_centers_, other.cluster_centers_, rtol=rtol, atol=rtol)
    assert one.inertia_ == pytest.approx(other.inertia_, rel=rtol)


# Against scikit-learn


@pytest.mark.parametrize("d", [1, 2, 3, 5])
@pytest.mark.parametrize("n_clusters", [1, 2, 7])
@pytest.mark.parametrize("weighted", [False, True])
def test_fit_equals_scikit_learn_from_the_same_start(d, n_clusters, weighted):
    X = blobs(d, d=d) + 50.0
    weight = np.random.default_rng(d).uniform(0.1, 5.0, len(X)) if weighted else None
    init = X[:n_clusters]
    ours = KMeans(n_clusters, init=init, tol=0, max_iter=1000).fit(X, sample_weight=weight)
    theirs = sklearn.cluster.KMeans(n_clusters, init=init, tol=0, n_init=1, max_iter=1000, algorithm="lloyd")
    theirs.fit(X, sample_weight=weight)
    np.testing.assert_allclose(ours.cluster_centers_, theirs.cluster_centers_, rtol=1e-9)
    np.testing.assert_array_equal(ours.labels_, theirs.labels_)
    assert ours.inertia_ == pytest.approx(theirs.inertia_, rel=1e-9)
    new = blobs(99, d=d) + 50.0
    np.testing.assert_array_equal(ours.predict(new), theirs.predict(new))


def test_one_iteration_equals_one_iteration_of_scikit_learn():
    X = blobs(11)
    init = X[:6]
    with pytest.warns(ConvergenceWarning):
        ours = KMeans(6, init=init, tol=0, max_iter=1).fit(X)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        theirs = sklearn.cluster.KMeans(6, init=init, tol=0, n_init=1, max_iter=1, algorithm="lloyd").fit(X)
    np.testing.assert_allclose(ours.cluster_centers_, theirs.cluster_centers_, rtol=1e-12)
    assert ours.n_iter_ == 1


def test_a_single_cluster_is_the_mean_and_its_inertia_the_total_variance():
    X = blobs(12)
    fit = KMeans(1, random_state=0).fit(X)
    np.testing.assert_allclose(fit.cluster_centers_[0], X.mean(axis=0), rtol=1e-12)
    assert fit.inertia_ == pytest.approx(len(X) * X.var(axis=0).sum(), rel=1e-12)
    assert not fit.labels_.any()


# Results of a fit


@pytest.mark.parametrize("seed", range(5))
def test_each_center_is_the_weighted_mean_of_the_samples_nearest_to_it(seed):
    X = blobs(seed)
    weight = np.random.default_rng(seed).uniform(0.5, 2.0, len(X))
    fit = KMeans(6, tol=0, random_state=seed, max_iter=1000).fit(X, sample_weight=weight)
    distances = ((X[:, np.newaxis] - fit.cluster_centers_) ** 2).sum(axis=2)
    np.testing.assert_array_equal(fit.labels_, distances.argmin(axis=1))
    assert fit.inertia_ == pytest.approx(inertia_by_loops(X, fit.cluster_centers_, weight), rel=1e-12)
    for k, center in enumerate(fit.cluster_centers_):
        mine = fit.labels_ == k
        np.testing.assert_allclose(center, np.average(X[mine], axis=0, weights=weight[mine]), rtol=1e-10, atol=1e-12)


def test_fit_stops_at_the_first_shift_within_the_tolerance():
    X = blobs(13)
    cells = cells_of(X)
    tol = 0.02 * X.var(axis=0).mean()
    centers, steps = X[:6], 0
    while True:
        moved, steps = lloyd_step(cells, centers), steps + 1
        close = ((moved - centers) ** 2).sum() <= tol
        centers = moved
        if close:
            break
    fit = KMeans(6, init=X[:6], tol=0.02).fit(X)
    assert fit.n_iter_ == steps > 1
    np.testing.assert_array_equal(fit.cluster_centers_, centers)


def test_predict_of_the_samples_gives_the_labels():
    X = blobs(14)
    fit = KMeans(5, random_state=1).fit(X)
    np.testing.assert_array_equal(fit.predict(X), fit.labels_)
    np.testing.assert_array_equal([fit.predict(row[np.newaxis])[0] for row in X[:50]], fit.labels_[:50])


# Weights


@pytest.mark.parametrize("seed", range(3))
def test_weighted_fit_equals_fit_on_repeated_rows(seed):
    X = blobs(seed, n=150)
    counts = np.random.default_rng(seed).integers(1, 5, len(X))
    init = X[:5]
    weighted = KMeans(5, init=init, tol=0, max_iter=1000).fit(X, sample_weight=counts)
    repeated = KMeans(5, init=init, tol=0, max_iter=1000).fit(np.repeat(X, counts, axis=0))
    assert_same_clustering(weighted, repeated)
    np.testing.assert_array_equal(np.repeat(weighted.labels_, counts), repeated.labels_)


@pytest.mark.parametrize("init", ["k-means++", "rows"])
def test_a_sample_of_weight_zero_has_no_effect(init):
    X = blobs(15, n=200)
    weight = np.random.default_rng(15).uniform(0.5, 2.0, len(X))
    weight[::3] = 0.0
    X[::3] += 100.0
    kept = weight > 0
    options = {"init": X[kept][:4] if init == "rows" else init, "tol": 0, "random_state": 3, "max_iter": 1000}
    zeroed = KMeans(4, **options).fit(X, sample_weight=weight)
    without = KMeans(4, **options).fit(X[kept], sample_weight=weight[kept])
    assert_same_clustering(zeroed, without, rtol=1e-12)
    np.testing.assert_array_equal(zeroed.labels_[kept], without.labels_)
    assert zeroed.labels_.shape == (len(X),)


@pytest.mark.parametrize("factor", [1e-3, 7.0])
def test_scaling_all_weights_leaves_centers_and_scales_the_inertia(factor):
    X = blobs(16)
    weight = np.random.default_rng(16).uniform(0.5, 2.0, len(X))
    one = KMeans(5, init=X[:5], tol=0, max_iter=1000).fit(X, sample_weight=weight)
    other = KMeans(5, init=X[:5], tol=0, max_iter=1000).fit(X, sample_weight=factor * weight)
    np.testing.assert_allclose(other.cluster_centers_, one.cluster_centers_, rtol=1e-10)
    assert other.inertia_ == pytest.approx(factor * one.inertia_, rel=1e-10)


# Lloyd


@settings(max_examples=40)
@given(
    seed=st.integers(0, 10_000),
    n_clusters=st.integers(1, 6),
    n_values=st.sampled_from([2, 3, 50]),
    far=st.booleans(),
)
def test_no_step_of_lloyd_raises_the_inertia(seed, n_clusters, n_values, far):
    rng = np.random.default_rng(seed)
    X = rng.integers(0, n_values, (40, 2)).astype(float)
    weight = rng.uniform(0.1, 3.0, 40)
    cells = Cells.from_samples(X, weight)
    # Centers that start far away are empty at first.
    centers = X[rng.integers(0, 40, n_clusters)] + (100.0 * rng.integers(0, 2, (n_clusters, 1)) if far else 0.0)
    before = inertia_by_loops(X, centers, weight)
    for _ in range(8):
        centers = lloyd_step(cells, centers)
        after = inertia_by_loops(X, centers, weight)
        assert after <= before + 1e-9 * max(before, 1.0)
        before = after


def test_an_empty_cluster_is_relocated_to_the_dearest_sample_and_the_inertia_falls():
    X = np.array([[0.0], [1.0], [2.0], [10.0]])
    weight = np.array([1.0, 1.0, 1.0, 2.0])
    cells = Cells.from_samples(X, weight)
    centers = np.array([[3.0], [500.0]])
    moved = lloyd_step(cells, centers)
    np.testing.assert_allclose(moved, [[(0 + 1 + 2 + 2 * 10) / 5], [10.0]])
    without_relocation = np.array([moved[0], centers[1]])
    assert inertia_by_loops(X, moved, weight) < inertia_by_loops(X, without_relocation, weight)
    fit = KMeans(2, init=centers, tol=0).fit(X, sample_weight=weight)
    np.testing.assert_allclose(fit.cluster_centers_, [[1.0], [10.0]])


@pytest.mark.parametrize("seed", range(5))
def test_relocating_empty_clusters_lowers_the_inertia(seed):
    X = blobs(seed)
    start = np.vstack([X[:3], np.full((3, 3), 1e3)])
    stuck = KMeans(3, init=X[:3], tol=0, max_iter=1000).fit(X)
    fit = KMeans(6, init=start, tol=0, max_iter=1000).fit(X)
    assert fit.inertia_ < stuck.inertia_
    assert np.unique(fit.labels_).tolist() == list(range(6))


def test_a_heavy_sample_costs_more_than_a_light_one_farther_away():
    cells = Cells(np.array([1.0, 5.0, 1.0]), np.array([[0.0, 3.0, 5.0]]), None, np.zeros(1))
    centers = np.array([[0.0], [100.0]])
    relocated = relocate_empty(cells, centers, centers, np.array([False, True]))
    assert relocated.tolist() == [[0.0], [3.0]]


def test_two_empty_clusters_are_relocated_to_two_different_samples():
    X = np.array([[0.0], [5.0], [9.0]])
    cells = Cells.from_samples(X, np.ones(3))
    moved = lloyd_step(cells, np.array([[0.0], [100.0], [200.0]]))
    assert sorted(moved[1:, 0].tolist()) == [5.0, 9.0]


def test_an_empty_cluster_keeps_its_center_if_all_distances_are_zero():
    X = np.array([[0.0], [0.0], [4.0]])
    cells = Cells.from_samples(X, np.ones(3))
    centers = np.array([[0.0], [4.0], [77.0]])
    np.testing.assert_allclose(lloyd_step(cells, centers), centers, atol=1e-14)


def test_relocation_leaves_clusters_with_samples_alone():
    cells = Cells.from_samples(np.array([[0.0], [1.0], [9.0]]), np.ones(3))
    moved, centers = np.array([[2.0], [50.0]]), np.array([[1.0], [50.0]])
    relocated = relocate_empty(cells, moved, centers, np.array([False, True]))
    np.testing.assert_allclose(relocated, [[2.0], [9.0]])
    np.testing.assert_array_equal(moved, [[2.0], [50.0]])


@pytest.mark.parametrize("value", [0.0, 0.1, -3.7])
def test_fewer_distinct_samples_than_clusters_end_at_inertia_zero(value):
    X = np.repeat([[value, value], [value + 1, value]], 5, axis=0)
    with pytest.warns(ConvergenceWarning, match="only 2 of n_clusters = 4 clusters contain samples"):
        fit = KMeans(4, random_state=0).fit(X)
    assert fit.inertia_ == pytest.approx(0.0, abs=1e-25)
    assert np.isfinite(fit.cluster_centers_).all()


@pytest.mark.parametrize("n_distinct", [1, 3, 4, 5])
@pytest.mark.parametrize("init", ["k-means++", "random"])
def test_repeated_centers_warn_where_those_of_scikit_learn_do(n_distinct, init):
    X = np.repeat(np.arange(2.0 * n_distinct).reshape(-1, 2), 6, axis=0)
    warned = []
    for module in (gmmquant, sklearn.cluster):
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            module.KMeans(4, init=init, n_init=5, random_state=0).fit(X)
        warned.append([warning.category.__name__ for warning in caught])
    assert warned[0] == warned[1] == ["ConvergenceWarning"] * (n_distinct < 4)


def test_verbose_prints_the_iterations_of_scikit_learn_with_their_inertia(capsys):
    X = blobs(17)
    options = {"init": X[:4], "n_init": 1, "tol": 1e-3, "verbose": 1}
    sklearn.cluster.KMeans(4, algorithm="lloyd", **options).fit(X)
    theirs = capsys.readouterr().out.splitlines()
    ours_fit = KMeans(4, **options).fit(X, sample_weight=np.full(len(X), 3.0))
    ours = capsys.readouterr().out.splitlines()
    assert [line.split()[0] for line in ours] == [line.split()[0] for line in theirs]
    # scikit-learn prints the inertia before the centers move, we print it after.
    inertias = [[float(line.split()[3].rstrip(".")) for line in lines[1:-1]] for lines in (ours, theirs)]
    np.testing.assert_allclose(inertias[0][:-1], 3 * np.array(inertias[1][1:]), rtol=1e-4)
    assert inertias[0][-1] == pytest.approx(ours_fit.inertia_, rel=1e-5)
    assert str(ours_fit.n_iter_) in ours[-1]


def test_nothing_is_printed_without_verbose(capsys):
    KMeans(3, random_state=0).fit(blobs(1))
    assert capsys.readouterr().out == ""


def test_lloyd_reports_whether_it_converged():
    X = blobs(17)
    cells = cells_of(X)
    assert not lloyd(cells, X[:6], tol=0, max_iter=2).converged
    done = lloyd(cells, X[:6], tol=0, max_iter=1000)
    assert done.converged
    assert done.n_iter < 1000
    np.testing.assert_allclose(lloyd_step(cells, done.centers), done.centers, rtol=1e-12)


# Distances and seeding


@pytest.mark.parametrize("d", [1, 2, 4])
def test_scores_rank_centers_by_distance_and_distances_equal_plain_loops(d):
    rng = np.random.default_rng(d)
    X, points = rng.normal(loc=4.0, size=(60, d)), rng.normal(loc=4.0, size=(5, d))
    cells = Cells.from_samples(X, rng.uniform(size=60))
    plain = np.array([[((x - point) ** 2).sum() for x in X] for point in points])
    np.testing.assert_allclose(squared_distances(cells, points), plain, rtol=1e-11, atol=1e-13)
    np.testing.assert_allclose(nearest_squared_distances(cells, points), plain.min(axis=0), rtol=1e-11, atol=1e-13)
    theta = center_scores(points, cells.origin)
    np.testing.assert_array_equal(most_probable(theta, cells), plain.argmin(axis=0))
    scores = theta @ cells.features(slice(None), phi_rows(len(cells.origin), "none"))
    norms = ((X - cells.origin) ** 2).sum(axis=1)
    np.testing.assert_allclose(2 * scores, norms - plain, rtol=1e-10, atol=1e-10)


class ScriptedGenerator:
    """A generator that draws the same number each time."""

    def __init__(self, number):
        self.number = number

    def random(self, size):
        return np.full(size, self.number)


@pytest.mark.parametrize("number", [0.0, 0.25, 0.5, np.nextafter(1.0, 0.0)])
def test_seeding_never_draws_a_sample_of_weight_zero(number):
    X = np.arange(7.0)[:, np.newaxis]
    weight = np.array([0.0, 0.0, 0.1, 0.0, 0.7, 0.1, 0.0])
    cells = Cells(weight, X.T, None, np.zeros(1))
    seeds = kmeans_plus_plus(cells, 3, ScriptedGenerator(number))
    assert set(seeds[:, 0]) == {2.0, 4.0, 5.0}


def test_seeding_never_draws_a_sample_of_weight_zero_where_rounding_reaches_the_total():
    least = np.nextafter(0.0, 1.0)
    cells = Cells(np.array([least, 0.0]), np.array([[7.0, 8.0]]), None, np.zeros(1))
    assert kmeans_plus_plus(cells, 1, ScriptedGenerator(0.9)).tolist() == [[7.0]]


@pytest.mark.parametrize("seed", range(20))
def test_seeding_draws_only_samples_with_weight_and_each_distinct_one_once(seed):
    rng = np.random.default_rng(seed)
    X = rng.normal(size=(30, 2))
    weight = np.where(rng.random(30) < 0.6, 0.0, rng.uniform(0.1, 1.0, 30))
    kept = {tuple(row) for row in X[weight > 0]}
    cells = Cells(weight, X.T, None, np.zeros(2))
    seeds = kmeans_plus_plus(cells, len(kept), np.random.default_rng(seed))
    assert {tuple(row) for row in seeds} == kept


def test_seeding_repeats_samples_if_too_few_are_distinct():
    cells = Cells.from_samples(np.array([[1.0], [1.0], [2.0]]), np.ones(3))
    seeds = kmeans_plus_plus(cells, 5, np.random.default_rng(0))
    assert set(seeds[:, 0]) == {1.0, 2.0}


def test_first_seed_is_drawn_in_proportion_to_weight():
    cells = Cells.from_samples(np.array([[0.0], [1.0], [2.0]]), np.array([1.0, 6.0, 3.0]))
    rng = np.random.default_rng(0)
    draws = np.array([kmeans_plus_plus(cells, 1, rng)[0, 0] for _ in range(3000)])
    shares = np.bincount(np.rint(draws).astype(int), minlength=3) / len(draws)
    np.testing.assert_allclose(shares, [0.1, 0.6, 0.3], atol=0.04)


def single_draw_seeding(X, n_clusters, rng):
    """Draw k-means++ seeds with one candidate a step, as in the basic form of the paper."""
    seeds = [X[rng.integers(len(X))]]
    for _ in range(1, n_clusters):
        closest = np.min([((X - seed) ** 2).sum(axis=1) for seed in seeds], axis=0)
        seeds.append(X[rng.choice(len(X), p=closest / closest.sum())])
    return np.array(seeds)


def test_greedy_seeding_beats_the_average_of_single_draws():
    X = blobs(18, n=300, n_blobs=8)
    cells = cells_of(X)
    rng = np.random.default_rng(18)

    def cost(seeds):
        return float(nearest_squared_distances(cells, seeds).sum())

    greedy = [cost(kmeans_plus_plus(cells, 8, rng)) for _ in range(40)]
    single = [cost(single_draw_seeding(X, 8, rng)) for _ in range(40)]
    assert np.mean(greedy) < 0.95 * np.mean(single)


def test_each_further_seed_is_the_better_of_two_drawn_by_weight_times_squared_distance():
    # From a first seed at 0, nine units of weight at 1 are as likely as one unit at 3; a seed at 1 leaves less.
    cells = Cells.from_samples(np.array([[0.0], [1.0], [3.0]]), np.array([1e9, 9.0, 1.0]))
    rng = np.random.default_rng(1)
    second = np.array([kmeans_plus_plus(cells, 2, rng)[1, 0] for _ in range(3000)])
    assert set(np.rint(second)) == {1.0, 3.0}
    assert np.mean(second > 2) == pytest.approx(0.25, abs=0.03)


# The estimator


BAD_PARAMETERS = [
    ({"n_clusters": 0}, ("n_clusters = 0", "at least 1")),
    ({"n_clusters": 2.5}, ("n_clusters = 2.5", "integer", "at least 1")),
    ({"n_clusters": True}, ("n_clusters = True", "integer")),
    ({"n_clusters": 11}, ("n_clusters = 11", "10 sample", "at least as many")),
    ({"max_iter": 0}, ("max_iter = 0", "at least 1")),
    ({"tol": -1e-3}, ("tol = -0.001", "at least 0")),
    ({"tol": float("nan")}, ("tol = nan", "at least 0")),
    ({"tol": "small"}, ("tol = 'small'", "at least 0")),
    ({"init": "randon"}, ("init = 'randon'", "'k-means++'", "'random'")),
    ({"n_init": 0}, ("n_init = 0", "at least 1")),
    ({"init": np.zeros((3, 2))}, ("init has shape (3, 2)", "(2, 2)")),
    ({"init": np.full((2, 2), np.nan)}, ("init contains NaN", "replace")),
]


@pytest.mark.parametrize(("parameters", "parts"), BAD_PARAMETERS)
def test_a_bad_parameter_is_refused_in_fit_with_value_limit_and_remedy(parameters, parts):
    assert_refused(parts, KMeans(**{"n_clusters": 2, **parameters}).fit, blobs(0, n=10, d=2))


BAD_ARRAYS = [
    (np.zeros(4), None, ("1 dimension", "reshape(-1, 1)")),
    (np.zeros((2, 2, 2)), None, ("3 dimension", "(n_samples, n_features)")),
    (np.zeros((0, 2)), None, ("(0, 2)", "at least one sample")),
    (np.zeros((2, 0)), None, ("(2, 0)", "one feature")),
    (np.array([[0.0], [np.inf]]), None, ("infinite", "remove or replace")),
    (np.array([[0.0], [np.nan]]), None, ("NaN", "remove or replace")),
    (np.zeros((3, 1)), [1, 2], ("sample_weight", "(2,)", "(3,)")),
    (np.zeros((3, 1)), [1, 2, -0.5], ("sample_weight", "-0.5", "at least 0")),
    (np.zeros((3, 1)), [0, 0, 0], ("sample_weight", "zero everywhere", "above 0")),
    (np.zeros((3, 1)), [1, np.nan, 1], ("sample_weight", "NaN", "replace")),
    (np.arange(3.0)[:, np.newaxis], [0, 0, 1], ("1 sample", "n_clusters = 2", "at least as many")),
]


@pytest.mark.parametrize(("X", "weight", "parts"), BAD_ARRAYS)
def test_a_bad_array_is_refused_with_the_fault_and_the_remedy(X, weight, parts):
    assert_refused(parts, KMeans(2).fit, X, sample_weight=weight)


def test_predict_before_fit_is_refused():
    with pytest.raises(NotFittedError, match="this KMeans is not fitted yet; call fit first") as caught:
        KMeans().predict([[0.0]])
    assert isinstance(caught.value, ValueError)
    assert isinstance(caught.value, AttributeError)


def test_predict_of_another_number_of_features_is_refused():
    fit = KMeans(2, random_state=0).fit(blobs(0, d=3))
    with pytest.raises(ParameterError, match=r"X has 2 features, but KMeans is expecting 3 features as input"):
        fit.predict(np.zeros((1, 2)))


def test_too_few_iterations_warn_and_still_give_a_fit():
    X = blobs(19)
    with pytest.warns(ConvergenceWarning, match="max_iter = 2 iterations before meeting tol = 0") as caught:
        fit = KMeans(6, init=X[:6], tol=0, max_iter=2).fit(X)
    assert caught[0].filename == __file__
    assert fit.n_iter_ == 2
    assert fit.inertia_ == pytest.approx(inertia_by_loops(X, fit.cluster_centers_))


def test_constructor_stores_its_arguments_unchanged_and_unchecked():
    init = [[0, 1], [2, 3]]
    rng = np.random.default_rng(0)
    estimator = KMeans("many", init=init, max_iter=-3, tol="small", random_state=rng)
    assert estimator.n_clusters == "many"
    assert estimator.init is init
    assert (estimator.max_iter, estimator.tol) == (-3, "small")
    assert estimator.random_state is rng


def test_fit_leaves_parameters_and_input_arrays_unchanged():
    X, weight, init = blobs(22), np.random.default_rng(22).uniform(0.0, 2.0, 400), blobs(23)[:4]
    weight[:5] = 0.0
    locked = [read_only(array) for array in (X, weight, init)]
    estimator = KMeans(4, init=locked[2])
    estimator.fit(locked[0], sample_weight=locked[1]).predict(locked[0])
    assert estimator.init is locked[2]
    for array, copy in zip((X, weight, init), locked, strict=True):
        np.testing.assert_array_equal(array, copy)


def test_lists_and_integers_are_accepted_as_samples():
    fit = KMeans(2, init=[[0], [9]]).fit([[0], [1], [8], [9]])
    np.testing.assert_allclose(fit.cluster_centers_, [[0.5], [8.5]])
    assert fit.inertia_ == pytest.approx(1.0)
    assert fit.labels_.tolist() == [0, 0, 1, 1]
