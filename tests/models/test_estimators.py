"""The estimators beyond a single fit: starts and restarts, samples, distances, parameters by name, errors."""

import copy
import functools
import inspect
import itertools
import pickle

import numpy as np
import pytest
import sklearn.mixture
from helpers import (
    assert_identical_estimators,
    fitted_attributes,
    log_density_by_scipy,
    overlapping_samples,
    random_covariances,
)

from gmmquant import (
    ConvergenceWarning,
    GaussianMixture,
    GmmquantError,
    KMeans,
    NotFittedError,
    ParameterError,
    SingularCovarianceError,
)
from gmmquant.models.cells import Cells
from gmmquant.models.kmeans import random_centers

KINDS = ["full", "tied", "diag", "spherical"]
INITS = ["kmeans", "k-means++", "random_from_data", "random"]
PARAMETERS = ["weights_", "means_", "covariances_"]

each_kind = pytest.mark.parametrize("covariance_type", KINDS)
each_init = pytest.mark.parametrize("init_params", INITS)
converged_or_not = pytest.mark.filterwarnings("ignore:.*did not converge")


def samples(seed, d=2, n_components=3, n=300):
    return overlapping_samples(seed, d, n_components, n)


def blobs(seed, n=300, d=2, n_blobs=6, places=None):
    """Draw samples of many clusters in turn, so that a bad start leads to a bad fit."""
    rng = np.random.default_rng(seed)
    places = 8 * rng.normal(size=(n_blobs, d)) if places is None else np.array(places)
    return places[np.arange(n) % len(places)] + rng.normal(size=(n, d))


def matrices_of(fit):
    """Write the covariances of a fit as matrices (K, d, d)."""
    K, d = fit.means_.shape
    covariances = fit.covariances_
    if fit.covariance_type == "tied":
        return np.tile(covariances, (K, 1, 1))
    if fit.covariance_type == "full":
        return covariances
    return np.array([np.diag(np.broadcast_to(variances, d)) for variances in covariances])


# Starts


@converged_or_not
@pytest.mark.parametrize("weighted", [False, True])
@each_init
@each_kind
def test_every_start_has_the_moments_of_the_data_that_its_type_can_represent(covariance_type, init_params, weighted):
    X = samples(1, d=3)
    weight = np.random.default_rng(1).uniform(0.1, 3.0, len(X)) if weighted else np.ones(len(X))
    options = {
        "covariance_type": covariance_type,
        "init_params": init_params,
        "reg_covar": 0,
        "random_state": 0,
        "tol": 0,
    }
    for max_iter in (0, 5):
        fit = GaussianMixture(4, max_iter=max_iter, **options).fit(X, sample_weight=weight if weighted else None)
        assert fit.weights_.sum() == pytest.approx(1.0, abs=1e-12)
        np.testing.assert_allclose(fit.weights_ @ fit.means_, np.average(X, axis=0, weights=weight), rtol=1e-9)
        second = np.einsum("k,kij->ij", fit.weights_, matrices_of(fit))
        second += np.einsum("k,ki,kj->ij", fit.weights_, fit.means_, fit.means_)
        expected = np.einsum("n,ni,nj->ij", weight, X, X) / weight.sum()
        if covariance_type == "diag":
            second, expected = np.diag(second), np.diag(expected)
        elif covariance_type == "spherical":
            second, expected = np.trace(second), np.trace(expected)
        np.testing.assert_allclose(second, expected, rtol=1e-9, atol=1e-9)
        assert (np.diff(fit.lower_bounds_) >= -1e-12).all()


@pytest.mark.parametrize("weighted", [False, True])
@each_init
@each_kind
def test_every_start_leads_to_the_blobs(covariance_type, init_params, weighted):
    X = blobs(2, places=[[0.0, 0.0], [8.0, 0.0], [0.0, 12.0]])
    weight = np.random.default_rng(2).uniform(0.1, 3.0, len(X)) if weighted else None
    # Components that all resemble the overall distribution gain little at first, so the tolerance is small.
    options = {
        "covariance_type": covariance_type,
        "init_params": init_params,
        "n_init": 8,
        "max_iter": 1000,
        "tol": 1e-10,
    }
    fit = GaussianMixture(3, random_state=0, **options).fit(X, sample_weight=weight)
    labels = fit.predict(X)
    for k in range(3):
        mine = slice(k, None, 3)
        np.testing.assert_array_equal(labels[mine], labels[k])
        mean = np.average(X[mine], axis=0, weights=None if weight is None else weight[mine])
        np.testing.assert_allclose(fit.means_[labels[k]], mean, atol=0.05)


@each_init
@each_kind
def test_a_seed_repeats_a_fit_and_another_seed_starts_elsewhere(covariance_type, init_params):
    X = blobs(3)
    weight = np.random.default_rng(3).uniform(0.1, 3.0, len(X))

    def fit(random_state, max_iter):
        options = {"covariance_type": covariance_type, "init_params": init_params, "max_iter": max_iter, "tol": 0.1}
        return GaussianMixture(7, random_state=random_state, **options).fit(X, sample_weight=weight)

    assert_identical_estimators(fit(5, 500), fit(5, 500))
    assert not np.array_equal(fit(5, 0).means_, fit(6, 0).means_)


def test_each_method_of_starting_gives_another_start():
    X = blobs(4)
    starts = [GaussianMixture(6, init_params=name, random_state=0, max_iter=0).fit(X).means_ for name in INITS]
    for i, one in enumerate(starts):
        for other in starts[:i]:
            assert np.abs(np.sort(one, axis=0) - np.sort(other, axis=0)).max() > 1e-3


@pytest.mark.parametrize("init_params", ["kmeans", "k-means++", "random_from_data"])
def test_a_start_from_centers_gives_each_sample_to_one_component(init_params):
    X = blobs(5)
    start = GaussianMixture(6, init_params=init_params, random_state=0, max_iter=0).fit(X)
    np.testing.assert_allclose(len(X) * start.weights_, np.rint(len(X) * start.weights_), atol=1e-9)


def test_each_component_of_a_random_start_resembles_the_distribution_of_all_samples():
    X = samples(6, n=2000)
    start = GaussianMixture(4, init_params="random", random_state=0, max_iter=0).fit(X)
    np.testing.assert_allclose(start.weights_, 0.25, atol=0.02)
    # Responsibilities vary by about half of their mean: five standard errors of a weighted mean are below this.
    np.testing.assert_allclose(start.means_ - X.mean(axis=0), 0, atol=5 * X.std() / np.sqrt(len(X)))
    whole = np.cov(X, rowvar=False)
    np.testing.assert_allclose(start.covariances_, np.tile(whole, (4, 1, 1)), atol=0.15 * np.abs(whole).max())
    assert len(np.unique(start.means_, axis=0)) == 4


def test_random_centers_are_distinct_samples_drawn_in_proportion_to_weight():
    X = np.arange(5.0)[:, np.newaxis]
    weight = np.array([1.0, 6.0, 3.0, 0.0, 0.0])
    cells = Cells.from_samples(X, weight)
    rng = np.random.default_rng(0)
    first = np.rint([random_centers(cells, 1, rng)[0, 0] for _ in range(3000)]).astype(int)
    # Five standard errors of a share of 3000 draws are at most 5 * sqrt(0.25 / 3000) = 0.046.
    np.testing.assert_allclose(np.bincount(first, minlength=5) / 3000, weight / 10, atol=0.046)
    for _ in range(20):
        assert sorted(np.rint(random_centers(cells, 3, rng)[:, 0])) == [0, 1, 2]


@converged_or_not
@each_init
def test_more_starts_keep_the_mixture_with_the_highest_objective(init_params):
    X = blobs(7, n_blobs=8)
    options = {"init_params": init_params, "max_iter": 60, "tol": 1e-4, "reg_covar": 1e-3}
    rng = np.random.default_rng(7)
    single = [GaussianMixture(8, random_state=rng, **options).fit(X) for _ in range(6)]
    bounds = [fit.lower_bound_ for fit in single]
    assert max(bounds) > min(bounds) + 0.01
    assert np.argmax(bounds) > 0
    best = GaussianMixture(8, n_init=6, random_state=7, **options).fit(X)
    assert_identical_estimators(best, single[int(np.argmax(bounds))])


@pytest.mark.parametrize("init", ["k-means++", "random"])
def test_more_starts_keep_the_clusters_with_the_smallest_inertia(init):
    X = blobs(8, n_blobs=8)
    rng = np.random.default_rng(1)
    single = [KMeans(8, init=init, n_init=1, random_state=rng).fit(X) for _ in range(6)]
    inertias = [fit.inertia_ for fit in single]
    assert max(inertias) > 1.05 * min(inertias)
    assert np.argmin(inertias) > 0
    best = KMeans(8, init=init, n_init=6, random_state=1).fit(X)
    assert_identical_estimators(best, single[int(np.argmin(inertias))])


def test_kmeans_starts_ten_times_from_random_samples_and_once_otherwise_by_default():
    X = blobs(9)
    for init, n_init in (("random", 10), ("k-means++", 1)):
        told = KMeans(6, init=init, n_init=n_init, random_state=0).fit(X)
        assert_identical_estimators(KMeans(6, init=init, random_state=0).fit(X), told)
    assert_identical_estimators(KMeans(6, init=X[:6], n_init=5).fit(X), KMeans(6, init=X[:6], n_init=1).fit(X))


# No iterations, and warm starts


def start_of(X, covariance_type):
    """Return a start with three components in two dimensions."""
    rng = np.random.default_rng(10)
    precisions = np.linalg.inv(random_covariances(rng, 3, 2))
    precisions = (precisions + precisions.transpose(0, 2, 1)) / 2
    shape = {"full": (3, 2, 2), "tied": (2, 2), "diag": (3, 2), "spherical": (3,)}[covariance_type]
    inverse = (
        precisions
        if covariance_type == "full"
        else precisions[0]
        if covariance_type == "tied"
        else rng.uniform(0.5, 2.0, shape)
    )
    return {"weights_init": [0.2, 0.3, 0.5], "means_init": X[:3], "precisions_init": inverse}


@each_init
@each_kind
def test_initial_parameters_are_used_and_missing_ones_computed(covariance_type, init_params):
    X = samples(10)
    options = {"covariance_type": covariance_type, "init_params": init_params, "max_iter": 0, "random_state": 0}
    made = GaussianMixture(3, **options).fit(X)
    start = start_of(X, covariance_type).items()
    for some in map(dict, [*itertools.combinations(start, 1), *itertools.combinations(start, 2)]):
        fit = GaussianMixture(3, **options, **some).fit(X)
        for name in ("weights_", "means_", "precisions_"):
            expected = some.get(f"{name}init", getattr(made, name))
            np.testing.assert_allclose(getattr(fit, name), expected, rtol=1e-9, atol=1e-12)


@each_kind
def test_without_iterations_the_start_is_kept_without_a_warning(covariance_type):
    X = samples(10)
    start = start_of(X, covariance_type)
    inverse = start["precisions_init"]
    fit = GaussianMixture(3, covariance_type=covariance_type, reg_covar=0, max_iter=0, **start).fit(X)
    np.testing.assert_array_equal(fit.weights_, start["weights_init"])
    np.testing.assert_array_equal(fit.means_, start["means_init"])
    np.testing.assert_allclose(fit.precisions_, inverse, rtol=1e-10)
    assert fit.covariances_.shape == inverse.shape
    assert (fit.n_iter_, fit.converged_) == (0, False)
    assert fit.lower_bounds_ == [fit.lower_bound_]
    expected = log_density_by_scipy(X, fit.weights_, fit.means_, matrices_of(fit)).mean()
    assert fit.lower_bound_ == pytest.approx(expected, rel=1e-10)


@converged_or_not
@each_init
@each_kind
def test_a_warm_start_continues_an_interrupted_fit_exactly(covariance_type, init_params):
    X = samples(11)
    weight = np.random.default_rng(11).uniform(0.1, 3.0, len(X))
    options = {"covariance_type": covariance_type, "init_params": init_params, "tol": 0, "random_state": 0}
    whole = GaussianMixture(3, max_iter=6, **options).fit(X, sample_weight=weight)
    halves = GaussianMixture(3, max_iter=3, warm_start=True, **options).fit(X, sample_weight=weight)
    first = halves.lower_bounds_
    assert first == whole.lower_bounds_[:4]
    halves.fit(X, sample_weight=weight)
    for name in PARAMETERS:
        np.testing.assert_array_equal(getattr(halves, name), getattr(whole, name))
    assert first[:-1] + halves.lower_bounds_ == whole.lower_bounds_
    assert halves.n_iter_ == 3


@converged_or_not
def test_without_a_warm_start_a_second_fit_starts_again():
    X = samples(12)
    fit = GaussianMixture(3, tol=0, max_iter=3, random_state=0).fit(X)
    again = copy.deepcopy(fit).fit(X)
    assert_identical_estimators(again, fit)


@converged_or_not
def test_warm_starts_converge_to_the_same_optimum_and_stay_there():
    X = samples(13)
    options = {"tol": 1e-9, "random_state": 0}
    whole = GaussianMixture(3, max_iter=5000, **options).fit(X)
    pieces = GaussianMixture(3, max_iter=7, warm_start=True, **options).fit(X)
    for _ in range(500):
        if not pieces.converged_:
            pieces.fit(X)
    assert pieces.converged_
    for name in PARAMETERS:
        np.testing.assert_allclose(getattr(pieces, name), getattr(whole, name), atol=1e-3)
    before = pieces.lower_bound_
    assert pieces.fit(X).lower_bound_ == pytest.approx(before, abs=1e-8)
    assert pieces.n_iter_ == 1


def test_a_warm_start_on_other_data_begins_with_the_previous_mixture():
    X, other = samples(14), samples(15)
    options = {"tol": 1e-6, "max_iter": 3000}
    warm = GaussianMixture(3, warm_start=True, random_state=0, **options).fit(X)
    learnt_before = {
        "weights_init": warm.weights_,
        "means_init": warm.means_,
        "precisions_init": np.linalg.inv(warm.covariances_),
    }
    warm.fit(other)
    cold = GaussianMixture(3, **options, **learnt_before).fit(other)
    for name in PARAMETERS:
        np.testing.assert_allclose(getattr(warm, name), getattr(cold, name), rtol=1e-6, atol=1e-9)


# Samples


@pytest.mark.parametrize("d", [1, 3])
@each_kind
def test_samples_have_the_weights_means_and_covariances_of_the_mixture(covariance_type, d):
    n = 60_000
    fit = GaussianMixture(3, covariance_type=covariance_type, random_state=1, max_iter=500).fit(samples(16, d=d) + 20)
    X, components = fit.sample(n)
    assert X.shape == (n, d)
    assert (np.diff(components) >= 0).all()
    counts = np.bincount(components, minlength=3)
    # Each bound is five standard errors of the quantity, for Gaussians of these parameters.
    assert (np.abs(counts - n * fit.weights_) <= 5 * np.sqrt(n * fit.weights_ * (1 - fit.weights_))).all()
    for k, matrix in enumerate(matrices_of(fit)):
        mine, variances = X[components == k], np.diag(matrix)
        assert (np.abs(mine.mean(axis=0) - fit.means_[k]) <= 5 * np.sqrt(variances / counts[k])).all()
        error = np.abs(np.cov(mine, rowvar=False, bias=True).reshape(d, d) - matrix)
        assert (error <= 5 * np.sqrt((np.outer(variances, variances) + matrix**2) / counts[k])).all()


def test_samples_follow_the_random_state():
    X = samples(17)
    seeded = GaussianMixture(2, random_state=3, max_iter=500).fit(X)
    np.testing.assert_array_equal(seeded.sample(5)[0], seeded.sample(5)[0])
    moving = GaussianMixture(2, random_state=np.random.default_rng(3), max_iter=500).fit(X)
    assert not np.array_equal(moving.sample(5)[0], moving.sample(5)[0])
    one, component = seeded.sample()
    assert one.shape == (1, 2)
    assert component.shape == (1,)


def test_a_component_without_weight_is_never_drawn():
    X = np.repeat([[0.0, 0.0], [4.0, 1.0]], [30, 10], axis=0)
    fit = GaussianMixture(3, reg_covar=1e-4, random_state=0).fit(X)
    assert set(fit.sample(500)[1]) == set(np.flatnonzero(fit.weights_))
    assert np.count_nonzero(fit.weights_) == 2


# Results of fit_predict, transform and score


@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize(
    "estimator",
    [
        *(
            GaussianMixture(3, covariance_type=covariance_type, random_state=0, max_iter=500)
            for covariance_type in KINDS
        ),
        KMeans(3, random_state=0),
    ],
)
def test_to_fit_and_predict_is_to_fit_and_then_predict(estimator, weighted):
    X = samples(18)
    weight = np.random.default_rng(18).uniform(0.0, 3.0, len(X)) if weighted else None
    labels = copy.deepcopy(estimator).fit_predict(X, sample_weight=weight)
    np.testing.assert_array_equal(labels, estimator.fit(X, sample_weight=weight).predict(X))
    assert labels.shape == (len(X),)


@pytest.mark.parametrize("d", [1, 2, 4])
def test_kmeans_transforms_samples_into_their_distances_to_the_centers(d):
    X, new = blobs(19, d=d), blobs(20, d=d, n=50) + 30
    weight = np.random.default_rng(19).uniform(0.1, 3.0, len(X))
    fit = KMeans(4, random_state=0).fit(X, sample_weight=weight)
    distances = fit.transform(new)
    assert distances.shape == (50, 4)
    for i, x in enumerate(new):
        for k, center in enumerate(fit.cluster_centers_):
            assert distances[i, k] == pytest.approx(sum((a - b) ** 2 for a, b in zip(x, center, strict=True)) ** 0.5)
    np.testing.assert_array_equal(distances.argmin(axis=1), fit.predict(new))
    again = KMeans(4, random_state=0).fit_transform(X, sample_weight=weight)
    np.testing.assert_allclose(again, fit.transform(X), rtol=1e-12)


def test_kmeans_scores_minus_the_inertia():
    X, new = blobs(21), blobs(22, n=50)
    weight = np.random.default_rng(21).uniform(0.1, 3.0, len(X))
    fit = KMeans(4, random_state=0).fit(X, sample_weight=weight)
    assert fit.score(X, sample_weight=weight) == pytest.approx(-fit.inertia_, rel=1e-12)
    nearest = fit.transform(new).min(axis=1)
    assert fit.score(new) == pytest.approx(-(nearest**2).sum(), rel=1e-12)
    assert fit.score(new, sample_weight=weight[:50]) == pytest.approx(-(weight[:50] * nearest**2).sum(), rel=1e-12)


# Parameters by name, copies, randomness


TOLD = [
    GaussianMixture(
        3,
        covariance_type="diag",
        tol=1e-5,
        reg_covar=0.1,
        max_iter=7,
        n_init=2,
        init_params="random",
        weights_init=[0.2, 0.3, 0.5],
        means_init=[[0], [1], [2]],
        precisions_init=[[1], [1], [1]],
        random_state=4,
        warm_start=True,
    ),
    KMeans(3, init=[[0], [1], [2]], n_init=2, max_iter=7, tol=0.1, random_state=4),
]


@pytest.mark.parametrize("estimator", TOLD)
def test_parameters_are_the_arguments_of_the_constructor_by_name(estimator):
    parameters = estimator.get_params()
    assert list(parameters) == list(inspect.signature(type(estimator)).parameters)
    assert parameters == estimator.get_params(deep=False) == vars(estimator)
    rebuilt = type(estimator)(**parameters)
    assert rebuilt.get_params() == parameters
    changed = type(estimator)()
    assert changed.set_params(**parameters) is changed
    assert changed.get_params() == parameters
    assert changed.set_params() is changed


def test_repr_shows_parameters_that_differ_from_their_defaults():
    assert repr(GaussianMixture()) == "GaussianMixture()"
    assert repr(KMeans()) == "KMeans()"
    mixture = GaussianMixture(3, random_state=0, tol=0.5, warm_start=True)
    assert repr(mixture) == "GaussianMixture(n_components=3, tol=0.5, random_state=0, warm_start=True)"
    assert repr(KMeans(3, init="random", n_init=1)) == "KMeans(n_clusters=3, init='random', n_init=1)"


@pytest.mark.parametrize("estimator", TOLD)
def test_a_representation_is_the_expression_that_makes_the_estimator(estimator):
    rebuilt = eval(repr(estimator), {"GaussianMixture": GaussianMixture, "KMeans": KMeans})
    assert rebuilt.get_params() == estimator.get_params()


def test_a_parameter_set_by_name_is_used_by_the_next_fit():
    X = samples(23)
    estimator = GaussianMixture(2, random_state=0, max_iter=500).fit(X)
    estimator.set_params(n_components=3, covariance_type="tied", reg_covar=0.1)
    fresh = GaussianMixture(3, covariance_type="tied", reg_covar=0.1, random_state=0, max_iter=500).fit(X)
    assert_identical_estimators(estimator.fit(X), fresh)


@pytest.mark.parametrize("estimator", [GaussianMixture(3, random_state=0, max_iter=500), KMeans(3, random_state=0)])
def test_fit_returns_the_estimator_and_does_not_depend_on_previous_fits(estimator):
    first, second = samples(70), samples(71, d=4, n=50)
    fresh = copy.deepcopy(estimator).fit(second)
    assert estimator.fit(first) is estimator
    assert_identical_estimators(estimator.fit(second), fresh)
    assert vars(estimator).keys() == vars(fresh).keys()
    assert estimator.n_features_in_ == 4


@pytest.mark.parametrize("make", [functools.partial(GaussianMixture, 4, max_iter=500), functools.partial(KMeans, 6)])
def test_the_same_random_state_gives_the_same_fit(make):
    X = samples(73)
    first, *others = [make(random_state=state).fit(X) for state in (3, 3, np.random.default_rng(3))]
    for other in others:
        assert_identical_estimators(first, other)


@pytest.mark.parametrize("estimator", [GaussianMixture(), KMeans()])
def test_an_unknown_parameter_is_refused_with_the_known_names(estimator):
    with pytest.raises(ParameterError) as caught:
        estimator.set_params(n_colours=3)
    for part in (type(estimator).__name__, "'n_colours'", *estimator.get_params()):
        assert part in str(caught.value)


@pytest.mark.parametrize(
    "estimator",
    [
        *(
            GaussianMixture(3, covariance_type=covariance_type, random_state=0, max_iter=500)
            for covariance_type in KINDS
        ),
        KMeans(3, random_state=0),
    ],
)
def test_a_fit_survives_pickling(estimator):
    X = samples(24)
    thawed = pickle.loads(pickle.dumps(estimator.fit(X)))
    assert_identical_estimators(thawed, estimator)
    np.testing.assert_array_equal(thawed.predict(X), estimator.predict(X))
    assert thawed.score(X) == estimator.score(X)


@pytest.mark.parametrize(
    "make",
    [
        lambda state: GaussianMixture(6, init_params="random_from_data", random_state=state, tol=0.1),
        lambda state: KMeans(6, init="random", n_init=1, random_state=state),
    ],
)
def test_a_legacy_random_state_repeats_from_the_same_seed_and_moves_on(make):
    X = blobs(25)
    assert_identical_estimators(make(np.random.RandomState(3)).fit(X), make(np.random.RandomState(3)).fit(X))
    estimator = make(np.random.RandomState(3))
    first = copy.deepcopy(fitted_attributes(estimator.fit(X)))
    assert any(not np.array_equal(value, first[name]) for name, value in fitted_attributes(estimator.fit(X)).items())


def test_a_legacy_random_state_draws_other_samples_each_time():
    fit = GaussianMixture(2, random_state=np.random.RandomState(3), max_iter=500).fit(samples(26))
    assert not np.array_equal(fit.sample(5)[0], fit.sample(5)[0])


# Errors and warnings


BEFORE_FIT = [
    *(
        (GaussianMixture(), name)
        for name in ["aic", "bic", "icl", "predict", "predict_proba", "score", "score_samples"]
    ),
    *((KMeans(), name) for name in ["predict", "score", "transform"]),
]


@pytest.mark.parametrize("error", [NotFittedError, ValueError, AttributeError, GmmquantError])
@pytest.mark.parametrize(("estimator", "method"), BEFORE_FIT)
def test_methods_before_fit_raise_a_value_error_that_is_an_attribute_error_too(estimator, method, error):
    with pytest.raises(error, match=f"this {type(estimator).__name__} is not fitted yet; call fit first"):
        getattr(estimator, method)([[0.0]])


def test_a_sample_before_fit_is_refused():
    with pytest.raises(NotFittedError, match="this GaussianMixture is not fitted yet; call fit first"):
        GaussianMixture().sample()


@pytest.mark.parametrize(("estimator", "method"), BEFORE_FIT)
def test_a_question_about_another_number_of_features_is_refused(estimator, method):
    fit = copy.deepcopy(estimator).set_params(random_state=0).fit(samples(27))
    with pytest.raises(
        ParameterError, match=rf"X has 3 features, but {type(estimator).__name__} is expecting 2 features as input"
    ):
        getattr(fit, method)(np.zeros((4, 3)))


@pytest.mark.parametrize("n_init", [1, 3])
@each_kind
def test_too_few_iterations_warn_at_the_line_that_called_fit_with_limit_and_remedies(covariance_type, n_init):
    X = samples(28)
    with pytest.warns(ConvergenceWarning, match="max_iter = 2 iterations before meeting tol = 0;") as caught:
        GaussianMixture(3, covariance_type=covariance_type, n_init=n_init, tol=0, max_iter=2, random_state=0).fit(X)
    assert len(caught) == 1
    assert caught[0].filename == __file__
    assert issubclass(caught[0].category, UserWarning)
    for remedy in ("n_init", "init_params", "degenerate"):
        assert remedy in str(caught[0].message)


START = {"weights_init": [0.5, 0.5], "means_init": [[0.0, 0.0], [1.0, 1.0]], "precisions_init": [np.eye(2)] * 2}
BAD_PARAMETERS = [
    (GaussianMixture(2, covariance_type="round"), ("covariance_type = 'round'", *KINDS)),
    (GaussianMixture(2, covariance_type=None), ("covariance_type = None", *KINDS)),
    (GaussianMixture(2, init_params="best"), ("init_params = 'best'", *INITS)),
    (GaussianMixture(2, init_params=None), ("init_params = None", *INITS)),
    (GaussianMixture(2, init_params="best", **START), ("init_params = 'best'", *INITS)),
    (GaussianMixture(2, n_init=0), ("n_init = 0", "too small", "at least 1")),
    (GaussianMixture(2, n_init=1.0), ("n_init = 1.0", "not an integer", "at least 1")),
    (GaussianMixture(2, max_iter=-1), ("max_iter = -1", "too small", "at least 0")),
    (GaussianMixture(2, random_state=-1), ("random_state = -1", "at least 0", "Generator")),
    (GaussianMixture(2, random_state="one"), ("random_state = 'one'", "at least 0", "Generator")),
    (GaussianMixture(2, random_state=0.5), ("random_state = 0.5", "at least 0", "Generator")),
    (KMeans(2, init="best"), ("init = 'best'", "'k-means++'", "'random'", "array of centers")),
    (KMeans(2, n_init=0), ("n_init = 0", "too small", "at least 1")),
    (KMeans(2, n_init="many"), ("n_init = 'many'", "not an integer", "at least 1")),
    (KMeans(2, init=[[0, 0], [1, 1]], n_init=0), ("n_init = 0", "too small", "at least 1")),
    (KMeans(2, random_state=-1), ("random_state = -1", "at least 0", "Generator")),
    (KMeans(21), ("n_clusters = 21", "20 sample", "at least as many")),
    *(
        (GaussianMixture(21, init_params=name), ("n_components = 21", "20 sample", "at least as many"))
        for name in INITS
    ),
    *(
        (GaussianMixture(2, covariance_type=covariance_type, precisions_init=value), ("precisions_init", *parts))
        for covariance_type, value, parts in [
            ("full", np.eye(2), ("(2, 2)", "(2, 2, 2)")),
            ("tied", np.ones((2, 2, 2)), ("(2, 2, 2)", "must be (2, 2)")),
            ("diag", np.ones((3, 2)), ("(3, 2)", "must be (2, 2)")),
            ("spherical", np.ones((2, 2)), ("(2, 2)", "must be (2,)")),
            ("tied", np.diag([1.0, -2.0]), ("symmetric positive-definite", "-2")),
            ("tied", np.array([[1.0, 0.5], [0.0, 1.0]]), ("symmetric",)),
            ("diag", np.array([[1.0, 1.0], [-3.0, 1.0]]), ("above 0", "-3")),
            ("spherical", np.array([1.0, 0.0]), ("above 0", "is 0")),
            ("spherical", np.array([1.0, np.nan]), ("NaN", "replace")),
        ]
    ),
]


@pytest.mark.parametrize(("estimator", "parts"), BAD_PARAMETERS)
def test_a_bad_parameter_is_refused_by_fit_in_one_line_with_value_limit_and_remedy(estimator, parts):
    with pytest.raises(ParameterError) as caught:
        estimator.fit(samples(29, n=20))
    assert isinstance(caught.value, ValueError)
    assert "\n" not in str(caught.value)
    for part in parts:
        assert part in str(caught.value)
    assert not fitted_attributes(estimator)


@pytest.mark.parametrize("n_samples", [0, -3, 2.0, True])
def test_a_number_of_samples_that_is_not_a_positive_integer_is_refused(n_samples):
    fit = GaussianMixture(2, random_state=0, max_iter=500).fit(samples(30))
    with pytest.raises(ParameterError, match=f"n_samples = {n_samples} is .*at least 1"):
        fit.sample(n_samples)


# The ends of the range of float64


@pytest.mark.parametrize("weight", [1e-295, 1e305])
@each_init
@each_kind
def test_equal_weights_of_any_size_give_the_mixture_without_weights(covariance_type, init_params, weight):
    X = samples(31)
    options = {"covariance_type": covariance_type, "init_params": init_params, "random_state": 0, "max_iter": 500}
    plain = GaussianMixture(3, **options).fit(X)
    weighted = GaussianMixture(3, **options).fit(X, sample_weight=np.full(len(X), weight))
    for name in PARAMETERS:
        np.testing.assert_allclose(getattr(weighted, name), getattr(plain, name), rtol=1e-7, atol=1e-9)
    np.testing.assert_allclose(weighted.lower_bounds_, plain.lower_bounds_, rtol=1e-10)


@pytest.mark.parametrize("weight", [1e-295, 1e305])
@pytest.mark.parametrize("init", ["k-means++", "random"])
def test_equal_weights_of_any_size_give_the_clusters_without_weights(init, weight):
    X = 1e-3 * samples(32)
    plain = KMeans(4, init=init, random_state=0).fit(X)
    weighted = KMeans(4, init=init, random_state=0).fit(X, sample_weight=np.full(len(X), weight))
    np.testing.assert_allclose(weighted.cluster_centers_, plain.cluster_centers_, rtol=1e-9)
    np.testing.assert_array_equal(weighted.labels_, plain.labels_)
    assert weighted.inertia_ == pytest.approx(weight * plain.inertia_, rel=1e-9)


@pytest.mark.parametrize("power", [-990, -1, 1, 990])
def test_multiplying_all_weights_by_a_power_of_two_changes_no_digit(power):
    X = samples(33)
    weight = np.random.default_rng(33).uniform(0.1, 3.0, len(X))
    for estimator in (GaussianMixture(3, random_state=0, max_iter=500), KMeans(3, random_state=0)):
        one = copy.deepcopy(estimator).fit(X, sample_weight=weight)
        other = copy.deepcopy(estimator).fit(X, sample_weight=np.ldexp(weight, power))
        for name in {"weights_", "means_", "covariances_", "lower_bounds_", "cluster_centers_"} & fitted_attributes(
            one
        ).keys():
            np.testing.assert_array_equal(getattr(other, name), getattr(one, name))


@pytest.mark.parametrize("scale", [1e160, 1e300])
@pytest.mark.parametrize(
    "estimator",
    [
        *(
            GaussianMixture(3, covariance_type=covariance_type, init_params=init)
            for covariance_type in KINDS
            for init in INITS
        ),
        GaussianMixture(3, max_iter=0),
        KMeans(3),
        KMeans(3, init="random"),
    ],
)
def test_samples_whose_squares_overflow_are_refused_with_the_remedy_and_the_estimator_stays_unfitted(estimator, scale):
    estimator.set_params(random_state=0)
    with pytest.raises(ParameterError, match="squares leave the range of float64; rescale the data"):
        estimator.fit(scale * blobs(34))
    assert not fitted_attributes(estimator)


@pytest.mark.parametrize("method", ["predict", "predict_proba", "score_samples", "score", "bic", "aic"])
def test_a_fitted_mixture_refuses_samples_whose_squares_overflow(method):
    mixture = GaussianMixture(3, random_state=0).fit(blobs(34))
    with pytest.raises(ParameterError, match=r"X contains .* above the limit 1e\+145"):
        getattr(mixture, method)(1e160 * blobs(34))


@pytest.mark.parametrize("method", ["predict", "transform", "score"])
def test_fitted_clusters_refuse_samples_whose_squares_overflow(method):
    clusters = KMeans(3, random_state=0).fit(blobs(34))
    with pytest.raises(ParameterError, match=r"X contains .* above the limit 1e\+145"):
        getattr(clusters, method)(1e160 * blobs(34))


def test_the_score_depends_on_the_ratios_of_weights_alone():
    X = samples(33)
    mixture = GaussianMixture(3, random_state=0, max_iter=500).fit(X)
    assert mixture.score(X, sample_weight=np.full(len(X), 2.0**1010)) == mixture.score(X)


def test_a_sample_of_negligible_weight_does_not_count():
    X, weight = np.arange(4.0)[:, np.newaxis], np.array([1e306, 1e306, 1e-295, 1e-295])
    for estimator in (GaussianMixture(3), GaussianMixture(3, init_params="random_from_data"), KMeans(3, init="random")):
        with pytest.raises(ParameterError, match=r"X has 2 sample\(s\) with weight"):
            estimator.fit(X, sample_weight=weight)


def test_weights_whose_sum_leaves_the_range_of_float64_are_refused():
    X = samples(33)
    for estimator in (GaussianMixture(3), KMeans(3)):
        with pytest.raises(ParameterError, match="its sum leaves the range of float64"):
            estimator.fit(X, sample_weight=np.full(len(X), 1.7e308))


def test_the_cholesky_factors_of_the_precisions_are_triangular_to_the_bit():
    mixture = GaussianMixture(3, random_state=0).fit(np.random.default_rng(3).normal(size=(200, 5)))
    np.testing.assert_array_equal(mixture.precisions_cholesky_, np.triu(mixture.precisions_cholesky_))


@each_kind
def test_samples_whose_squares_only_just_fit_are_fitted(covariance_type):
    X = blobs(35)
    options = {"covariance_type": covariance_type, "random_state": 0, "max_iter": 500, "reg_covar": 0}
    here, there = GaussianMixture(3, **options).fit(X), GaussianMixture(3, **options).fit(1e140 * X)
    np.testing.assert_allclose(there.means_, 1e140 * here.means_, rtol=1e-6)
    assert there.lower_bound_ == pytest.approx(here.lower_bound_ - 2 * np.log(1e140), rel=1e-9)


@pytest.mark.parametrize(
    ("changes", "X"),
    [
        ({"n_components": 3}, np.random.default_rng(0).normal(size=(40, 2))),
        ({"covariance_type": "tied"}, np.random.default_rng(0).normal(size=(40, 2))),
        ({}, np.random.default_rng(0).normal(size=(40, 3))),
    ],
)
def test_a_warm_start_does_not_go_on_with_a_mixture_of_another_shape(changes, X):
    mixture = GaussianMixture(2, covariance_type="diag", warm_start=True, random_state=0)
    mixture.fit(np.random.default_rng(1).normal(size=(40, 2)))
    with pytest.raises(ParameterError, match="warm_start continues 2 components of 2 features, diag, not"):
        mixture.set_params(**changes).fit(X)


def test_setting_parameters_does_not_change_a_fitted_mixture():
    X = np.random.default_rng(0).normal(size=(40, 2))
    mixture = GaussianMixture(2, covariance_type="diag", random_state=0).fit(X)
    before = mixture.score_samples(X)
    np.testing.assert_array_equal(mixture.set_params(covariance_type="tied").score_samples(X), before)


def test_text_is_refused_with_the_name_of_the_argument():
    with pytest.raises(ParameterError, match=r"X cannot be converted to an array of numbers: .*'red'"):
        KMeans(2).fit([["red"], ["blue"]])


@pytest.mark.parametrize("covariance", [[[1.0, 0.5], [0.0, 1.0]], [[-1.0, 0.0], [0.0, 1.0]]])
def test_a_covariance_of_a_sample_without_symmetry_or_with_a_negative_variance_is_refused(covariance):
    X = np.arange(8.0).reshape(4, 2)
    with pytest.raises(ParameterError, match="sample_covariance must hold symmetric matrices"):
        GaussianMixture(1).fit(X, sample_covariance=[covariance] * 4)


def test_complex_numbers_are_refused():
    with pytest.raises(ParameterError, match="X contains complex numbers"):
        GaussianMixture().fit(np.ones((5, 2)) * 1j)


def test_the_error_of_a_collapsed_tied_covariance_names_the_shared_covariance():
    X = np.outer(np.arange(8.0), [1.0, 1.0])
    with pytest.raises(SingularCovarianceError, match="the covariance that all components share collapsed"):
        GaussianMixture(2, covariance_type="tied", reg_covar=0, random_state=0).fit(X)


# Progress


@pytest.mark.parametrize("interval", [1, 4])
@pytest.mark.parametrize("verbose", [1, 2])
def test_verbose_prints_the_starts_iterations_and_ends_that_scikit_learn_prints(verbose, interval, capsys):
    """Lines begin with the words of scikit-learn's, in their order. Convergence may differ by one step."""
    X, n_lines = samples(3), []
    options = {"n_init": 2, "tol": 0, "max_iter": 9, "reg_covar": 0, "verbose": verbose, "verbose_interval": interval}
    for mixture in (GaussianMixture, sklearn.mixture.GaussianMixture):
        with pytest.warns(UserWarning, match="did not converge"):
            mixture(3, random_state=0, **options).fit(X)
        lines = capsys.readouterr().out.splitlines()
        n_lines.append([(line.split()[0], "did not converge" in line) for line in lines])
    assert n_lines[0] == n_lines[1]
    assert len(n_lines[0]) == 2 * (2 + 9 // interval)


def test_verbose_2_adds_the_gain_of_each_iteration_and_the_lower_bound(capsys):
    fit = GaussianMixture(3, random_state=0, verbose=2, verbose_interval=2).fit(samples(3))
    begin, *iterations, end = capsys.readouterr().out.splitlines()
    assert begin == "Initialization 1"
    gains = [float(line.split("gain ")[1].split(",")[0]) for line in iterations]
    bounds = fit.lower_bounds_
    expected = [bounds[n] - bounds[n - 1] for n in range(2, fit.n_iter_ + 1, 2)]
    np.testing.assert_allclose(gains, expected, atol=1e-5)
    assert end.startswith(f"Initialization 1 converged: {fit.n_iter_} iterations, lower bound {fit.lower_bound_:.5f}")


@pytest.mark.parametrize("verbose", [True, np.int64(1), np.int64(2)])
def test_verbose_may_be_a_bool_or_a_numpy_integer(verbose, capsys):
    GaussianMixture(2, random_state=0, verbose=verbose).fit(samples(3))
    assert ("lower bound" in capsys.readouterr().out) == (verbose > 1)


@pytest.mark.parametrize("options", [{"verbose": -1}, {"verbose_interval": 0}, {"verbose": "loud"}])
def test_verbosity_outside_its_range_is_refused(options):
    with pytest.raises(ParameterError, match=next(iter(options))):
        GaussianMixture(2, **options).fit(samples(3))


def test_a_mixture_prints_nothing_without_verbose(capsys):
    GaussianMixture(3, random_state=0).fit(samples(3))
    assert capsys.readouterr().out == ""


@pytest.mark.parametrize("n", [1, 5, 200_000])
def test_responsibilities_are_c_ordered_like_those_of_scikit_learn(n):
    X = samples(4, n=max(n, 300))
    mixture = GaussianMixture(3, random_state=0).fit(X[:300])
    responsibilities = mixture.predict_proba(X[:n])
    assert responsibilities.flags.c_contiguous
    assert responsibilities.shape == (n, 3)
    np.testing.assert_allclose(responsibilities.sum(axis=1), 1.0)
    np.testing.assert_array_equal(responsibilities.argmax(axis=1), mixture.predict(X[:n]))


@pytest.mark.parametrize("estimator", [KMeans(2), GaussianMixture(2)], ids=str)
def test_a_missing_array_is_named(estimator):
    with pytest.raises(ParameterError, match=r"^X is None; pass an array of shape \(n_samples, n_features\)$"):
        estimator.fit(None)


def test_messages_list_all_that_is_accepted():
    samples = np.arange(8.0).reshape(4, 2)
    with pytest.raises(ParameterError, match="n_init = 'x' is not an integer; use one of at least 1, or 'auto'"):
        KMeans(2, n_init="x").fit(samples)
    with pytest.raises(ParameterError, match=r"is not a seed; use an integer .*, a Generator, a RandomState or None"):
        GaussianMixture(2, random_state="a").fit(samples)
