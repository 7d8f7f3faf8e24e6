"""GaussianMixture against scikit-learn's from the same start, against plain formulas, and the laws of EM."""

import math
import warnings

import numpy as np
import pytest
import sklearn.exceptions
import sklearn.mixture
from helpers import (
    assert_refused,
    cells_of,
    draw_from,
    em_step,
    log_density_by_scipy,
    log_joint_by_scipy,
    overlapping_samples,
    random_covariances,
    random_mixture,
    read_only,
)
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.special import logsumexp

from gmmquant import (
    ConvergenceWarning,
    GaussianMixture,
    KMeans,
    NotFittedError,
    ParameterError,
    SingularCovarianceError,
)
from gmmquant.models.cells import Cells
from gmmquant.models.em import em
from gmmquant.models.gaussian import Gaussians, natural_parameters
from gmmquant.models.inference import evaluate
from gmmquant.models.starts import start_from_centers
from gmmquant.models.sweep import most_probable


def samples(seed, d=3, n_components=3, n=400):
    return overlapping_samples(seed, d, n_components, n)


def start_of(X, n_components, seed=0):
    """Make a start that fits `X` badly: equal weights, samples as means, the covariance of all."""
    rng = np.random.default_rng(seed)
    precision = np.linalg.inv(np.cov(X, rowvar=False).reshape(X.shape[1], X.shape[1]))
    return {
        "weights_init": np.full(n_components, 1 / n_components),
        "means_init": X[rng.choice(len(X), n_components, replace=False)],
        "precisions_init": np.tile(precision, (n_components, 1, 1)),
    }


def fit_quietly(estimator, X, **options):
    """Fit, whether or not it converges."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        warnings.simplefilter("ignore", sklearn.exceptions.ConvergenceWarning)
        return estimator.fit(X, **options)


def parameters_of(fit):
    return fit.weights_, fit.means_, fit.covariances_


def assert_same_mixture(one, other, rtol=1e-9, atol=1e-12):
    for ours, theirs in zip(parameters_of(one), parameters_of(other), strict=True):
        np.testing.assert_allclose(ours, theirs, rtol=rtol, atol=atol)


def em_step_by_loops(X, sample_weight, weights, means, covariances, variance):
    """Run an E-step and an M-step of samples with a variance, by the formulas; also return J at the old parameters."""
    n, d = X.shape
    K = len(weights)
    log_joint = log_joint_by_scipy(X, weights, means, covariances)
    J, R = 0.0, np.zeros((n, K))
    for i in range(n):
        scores = [log_joint[i, k] - variance / 2 * np.trace(np.linalg.inv(covariances[k])) for k in range(K)]
        log_density = math.log(math.fsum(math.exp(score) for score in scores))
        J += sample_weight[i] * log_density / sum(sample_weight)
        R[i] = [math.exp(score - log_density) for score in scores]
    new_weights, new_means, new_covariances = np.zeros(K), np.zeros((K, d)), np.zeros((K, d, d))
    for k in range(K):
        r = sample_weight * R[:, k]
        new_weights[k] = r.sum() / sum(sample_weight)
        new_means[k] = sum(r[i] * X[i] for i in range(n)) / r.sum()
        scatter = sum(r[i] * np.outer(X[i] - new_means[k], X[i] - new_means[k]) for i in range(n))
        new_covariances[k] = scatter / r.sum() + variance * np.eye(d)
    return (new_weights, new_means, new_covariances), J


# One step


@pytest.mark.parametrize("d", [1, 2, 3, 5])
@pytest.mark.parametrize("variance", [0.0, 0.2])
def test_a_step_equals_the_plain_formulas(d, variance):
    rng = np.random.default_rng(d)
    X, sample_weight = samples(d, d, n=80) + 7.0, rng.uniform(0.1, 3.0, 80)
    weights, means, covariances = random_mixture(rng, 3, d)
    means = means + 7.0
    cells = Cells.from_samples(X, sample_weight)
    updated, objective = em_step(cells, Gaussians(weights, means, covariances), variance)
    expected, J = em_step_by_loops(X, sample_weight, weights, means, covariances, variance)
    assert objective == pytest.approx(J, rel=1e-11)
    np.testing.assert_allclose(updated.weights, expected[0], rtol=1e-10)
    np.testing.assert_allclose(updated.means, expected[1], rtol=1e-10)
    np.testing.assert_allclose(updated.covariances, expected[2], rtol=1e-8, atol=1e-11)


def groups_of(rng, n_groups=25, d=3):
    """Draw groups of points, each scattered about another center."""
    return [rng.normal(loc=2 * rng.normal(size=d), scale=0.4, size=(rng.integers(1, 8), d)) for _ in range(n_groups)]


def moments_of(groups):
    """Return the mean of each group, its number of members, and the covariance inside it."""
    means = np.array([group.mean(axis=0) for group in groups])
    scatter = np.array(
        [(group - mean).T @ (group - mean) / len(group) for group, mean in zip(groups, means, strict=True)]
    )
    return means, np.array([float(len(group)) for group in groups]), scatter


@pytest.mark.parametrize("variance", [0.0, 0.1])
def test_a_step_on_cells_equals_one_on_their_members_if_these_share_their_responsibilities(variance):
    rng = np.random.default_rng(30)
    groups = groups_of(rng)
    means, counts, scatter = moments_of(groups)
    mixture = random_mixture(rng, 3, 3)
    updated, objective = em_step(Cells.from_samples(means, counts, scatter), Gaussians(*mixture), variance)

    traces = np.array([np.trace(np.linalg.inv(covariance)) for covariance in mixture[2]])
    scores = np.array([log_joint_by_scipy(group, *mixture).mean(axis=0) - variance / 2 * traces for group in groups])
    log_density = logsumexp(scores, axis=1, keepdims=True)
    assert objective == pytest.approx(np.average(log_density[:, 0], weights=counts), rel=1e-11)
    R = np.repeat(np.exp(scores - log_density), counts.astype(int), axis=0)
    members = np.concatenate(groups)
    np.testing.assert_allclose(updated.weights, R.mean(axis=0), rtol=1e-10)
    for k in range(3):
        np.testing.assert_allclose(updated.means[k], np.average(members, axis=0, weights=R[:, k]), rtol=1e-9)
        covariance = np.cov(members, rowvar=False, bias=True, aweights=R[:, k]) + variance * np.eye(3)
        np.testing.assert_allclose(updated.covariances[k], covariance, rtol=1e-8, atol=1e-11)


def test_one_component_on_cells_is_the_mean_and_covariance_of_all_members():
    groups = groups_of(np.random.default_rng(31))
    means, counts, scatter = moments_of(groups)
    fit = GaussianMixture(1, reg_covar=0.05).fit(means, sample_weight=counts, sample_covariance=scatter)
    members = np.concatenate(groups)
    np.testing.assert_allclose(fit.means_[0], members.mean(axis=0), rtol=1e-11)
    covariance = np.cov(members, rowvar=False, bias=True) + 0.05 * np.eye(3)
    np.testing.assert_allclose(fit.covariances_[0], covariance, rtol=1e-10)


def test_objective_on_coarser_cells_is_a_lower_bound_of_that_on_finer_ones():
    rng = np.random.default_rng(32)
    groups = groups_of(rng, n_groups=24)
    coarse = [np.concatenate(groups[i : i + 3]) for i in range(0, 24, 3)]
    members = np.concatenate(groups)
    mixture = Gaussians(*random_mixture(rng, 3, 3))
    objectives = []
    for level in (coarse, groups, [member[np.newaxis] for member in members]):
        means, counts, scatter = moments_of(level)
        objectives.append(em_step(Cells.from_samples(means, counts, scatter), mixture, 0.01)[1])
    assert objectives[0] < objectives[1] < objectives[2]
    log_likelihood = log_density_by_scipy(members, mixture.weights, mixture.means, mixture.covariances).mean()
    assert objectives[2] < log_likelihood


def test_a_fit_on_cells_never_lowers_the_objective_and_differs_from_one_on_their_means():
    means, counts, scatter = moments_of(groups_of(np.random.default_rng(33), n_groups=60))
    options = {"n_components": 3, "random_state": 0, "tol": 1e-7, "max_iter": 500}
    fit = GaussianMixture(**options).fit(means, sample_weight=counts, sample_covariance=scatter)
    assert (np.diff(fit.lower_bounds_) >= -1e-12).all()
    points = GaussianMixture(**options).fit(means, sample_weight=counts)
    assert np.linalg.det(fit.covariances_).max() > np.linalg.det(points.covariances_).max()


# Against scikit-learn


@pytest.mark.parametrize("d", [1, 2, 3, 5])
@pytest.mark.parametrize("n_components", [1, 3])
def test_a_full_fit_equals_scikit_learn_from_the_same_start_after_the_same_number_of_iterations(d, n_components):
    X = samples(d, d, n_components) + 3.0
    options = {"tol": 0, "reg_covar": 0, "max_iter": 15 if n_components > 1 else 1, **start_of(X, n_components)}
    ours = fit_quietly(GaussianMixture(n_components, **options), X)
    theirs = fit_quietly(sklearn.mixture.GaussianMixture(n_components, **options), X)
    assert ours.n_iter_ == theirs.n_iter_ == options["max_iter"]
    assert_same_mixture(ours, theirs, rtol=1e-7, atol=1e-9)
    new = np.concatenate([X, 5 * samples(d + 50, d, n_components)])
    np.testing.assert_allclose(ours.score_samples(new), theirs.score_samples(new), rtol=1e-9)
    assert ours.score(X) == pytest.approx(theirs.score(X), rel=1e-9)
    assert ours.lower_bound_ == pytest.approx(theirs.score(X), rel=1e-9)
    np.testing.assert_array_equal(ours.predict(new), theirs.predict(new))
    np.testing.assert_allclose(ours.predict_proba(new), theirs.predict_proba(new), rtol=1e-7, atol=1e-10)


def test_a_fit_from_kmeans_finds_the_mixture_of_scikit_learn():
    rng = np.random.default_rng(35)
    X = draw_from(rng, (np.array([0.2, 0.3, 0.5]), 8 * np.eye(3), random_covariances(rng, 3, 3)), 600)
    options = {"n_components": 3, "tol": 1e-10, "reg_covar": 0, "max_iter": 1000, "random_state": 0}
    ours, theirs = GaussianMixture(**options).fit(X), sklearn.mixture.GaussianMixture(**options).fit(X)
    assert ours.score(X) == pytest.approx(theirs.score(X), rel=1e-9)
    np.testing.assert_allclose(np.sort(ours.weights_), np.sort(theirs.weights_), rtol=1e-5)


# Weights, order, position and shape of the data


@pytest.mark.parametrize("reg_covar", [0.0, 0.01])
def test_weighted_fit_equals_fit_on_repeated_rows(reg_covar):
    X = samples(40, n=150)
    counts = np.random.default_rng(40).integers(1, 5, len(X))
    options = {"n_components": 3, "reg_covar": reg_covar, "tol": 1e-6, "max_iter": 300, **start_of(X, 3)}
    weighted = GaussianMixture(**options).fit(X, sample_weight=counts)
    repeated = GaussianMixture(**options).fit(np.repeat(X, counts, axis=0))
    assert weighted.n_iter_ == repeated.n_iter_
    assert_same_mixture(weighted, repeated)
    np.testing.assert_allclose(weighted.lower_bounds_, repeated.lower_bounds_, rtol=1e-10)
    assert weighted.score(X, sample_weight=counts) == pytest.approx(repeated.score(np.repeat(X, counts, axis=0)))


def test_scaling_all_weights_does_not_change_the_fit():
    X = samples(42)
    weight = np.random.default_rng(42).uniform(0.5, 2.0, len(X))
    options = {"n_components": 3, "tol": 1e-6, "max_iter": 300, **start_of(X, 3)}
    one = GaussianMixture(**options).fit(X, sample_weight=weight)
    other = GaussianMixture(**options).fit(X, sample_weight=1e-3 * weight)
    assert_same_mixture(one, other)
    np.testing.assert_allclose(one.lower_bounds_, other.lower_bounds_, rtol=1e-10)


@pytest.mark.parametrize("shift", [1.0, -300.0, 1e4])
def test_translating_the_data_translates_the_means_and_leaves_the_objective(shift):
    X = samples(44)
    move = shift * np.array([1.0, -2.0, 0.5])
    options = {"n_components": 3, "random_state": 0, "tol": 1e-5, "max_iter": 300}
    here, there = GaussianMixture(**options).fit(X), GaussianMixture(**options).fit(X + move)
    np.testing.assert_allclose(there.means_ - move, here.means_, rtol=1e-7, atol=1e-7)
    np.testing.assert_allclose(there.weights_, here.weights_, rtol=1e-7)
    np.testing.assert_allclose(there.covariances_, here.covariances_, rtol=1e-7, atol=1e-8)
    np.testing.assert_allclose(there.lower_bounds_, here.lower_bounds_, rtol=1e-9)


def test_a_linear_map_of_the_data_maps_the_mixture_and_shifts_the_objective_by_its_log_determinant():
    X = samples(45, d=2)
    A = np.array([[3.0, 1.0], [-0.5, 0.2]])
    start = start_of(X, 3)
    mapped = {**start, "means_init": start["means_init"] @ A.T}
    mapped["precisions_init"] = np.linalg.inv(A @ np.linalg.inv(start["precisions_init"]) @ A.T)
    mapped["precisions_init"] = (mapped["precisions_init"] + mapped["precisions_init"].transpose(0, 2, 1)) / 2
    options = {"n_components": 3, "reg_covar": 0, "tol": 1e-6, "max_iter": 300}
    here = GaussianMixture(**options, **start).fit(X)
    there = GaussianMixture(**options, **mapped).fit(X @ A.T)
    np.testing.assert_allclose(there.means_, here.means_ @ A.T, rtol=1e-7, atol=1e-9)
    np.testing.assert_allclose(there.covariances_, A @ here.covariances_ @ A.T, rtol=1e-7, atol=1e-9)
    shifted = np.array(here.lower_bounds_) - math.log(abs(np.linalg.det(A)))
    np.testing.assert_allclose(there.lower_bounds_, shifted, rtol=1e-9)


LEANING = [[1.0, 0.4, 0.0], [0.4, 1.0, -0.3], [0.0, -0.3, 1.0]]


@pytest.mark.parametrize("offset", [0.0, 10.0])
def test_a_cluster_of_a_ten_thousandth_of_the_spread_is_recovered(offset):
    rng = np.random.default_rng(46)
    wide = rng.normal(size=(700, 3)) * [1.0, 0.5, 1.0] + [-3.0, -3.0, -3.0] + offset
    place = np.array([2.0, 3.0, 1.0]) + offset
    spread = np.concatenate([wide, np.tile(place, (300, 1))]).std()
    narrow = rng.multivariate_normal(place, (1e-4 * spread) ** 2 * np.array(LEANING), size=300)
    fit = GaussianMixture(2, reg_covar=0, random_state=0).fit(np.concatenate([narrow, wide]))
    order = np.argsort(fit.weights_)
    for k, part in zip(order, (narrow, wide), strict=True):
        assert fit.weights_[k] == pytest.approx(len(part) / 1000, rel=1e-6)
        np.testing.assert_allclose(fit.means_[k], part.mean(axis=0), rtol=1e-6)
        covariance = np.cov(part, rowvar=False, bias=True)
        np.testing.assert_allclose(fit.covariances_[k], covariance, rtol=0, atol=1e-6 * covariance.max())


# The objective


@st.composite
def degenerate_data(draw):
    """Draw samples with duplicates, flat directions, distant outliers and unequal weights."""
    rng = np.random.default_rng(draw(st.integers(0, 100_000)))
    n, d = draw(st.integers(6, 40)), draw(st.integers(1, 3))
    kind = draw(st.sampled_from(["lattice", "duplicates", "flat", "outlier", "smooth"]))
    X = rng.normal(size=(n, d))
    if kind == "lattice":
        X = rng.integers(0, 3, (n, d)).astype(float)
    elif kind == "duplicates":
        X = X[rng.integers(0, 4, n)]
    elif kind == "flat":
        X[:, -1] = 0.3
    elif kind == "outlier":
        X[0] += 1e3
    weight = rng.choice([1.0, 5.0, 400.0], n) if draw(st.booleans()) else np.ones(n)
    return X, weight


@settings(max_examples=100)
@given(
    data=degenerate_data(),
    n_components=st.integers(1, 5),
    reg_covar=st.sampled_from([1e-6, 1e-3, 0.3]),
    seed=st.integers(0, 3),
)
def test_objective_never_falls_and_no_covariance_is_narrower_than_reg_covar(data, n_components, reg_covar, seed):
    X, weight = data
    estimator = GaussianMixture(n_components, reg_covar=reg_covar, tol=1e-8, max_iter=40, random_state=seed)
    fit = fit_quietly(estimator, X, sample_weight=weight)
    trace = np.array(fit.lower_bounds_)
    assert np.isfinite(trace).all()
    assert np.diff(trace).min(initial=0.0) >= -1e-9 * max(1.0, abs(trace).max())
    assert np.linalg.eigvalsh(fit.covariances_).min() >= reg_covar * (1 - 1e-3)
    assert fit.weights_.sum() == pytest.approx(1.0, abs=1e-12)
    np.testing.assert_allclose(fit.predict_proba(X).sum(axis=1), 1.0, rtol=1e-12)


@settings(max_examples=60)
@given(data=degenerate_data(), n_components=st.integers(1, 4), seed=st.integers(0, 3))
def test_objective_never_falls_without_regularisation_or_the_collapse_is_reported(data, n_components, seed):
    X, weight = data
    try:
        fit = fit_quietly(
            GaussianMixture(n_components, reg_covar=0, tol=1e-8, max_iter=40, random_state=seed),
            X,
            sample_weight=weight,
        )
    except SingularCovarianceError:
        return
    assert np.diff(fit.lower_bounds_).min(initial=0.0) >= -1e-9


@pytest.mark.parametrize("reg_covar", [0.0, 0.05])
def test_trace_is_the_objective_at_the_start_and_after_each_iteration(reg_covar):
    X = samples(50, n=200)
    start = start_of(X, 3)
    options = {"n_components": 3, "reg_covar": reg_covar, **start}
    fit = GaussianMixture(**options, tol=1e-3, max_iter=200).fit(X)

    def objective(weights, means, covariances):
        traces = np.array([np.trace(np.linalg.inv(covariance)) for covariance in covariances])
        log_joint = log_joint_by_scipy(X, weights, means, covariances) - reg_covar / 2 * traces
        return logsumexp(log_joint, axis=1).mean()

    assert fit.converged_
    assert len(fit.lower_bounds_) == fit.n_iter_ + 1 > 3
    assert fit.lower_bound_ == fit.lower_bounds_[-1]
    assert fit.lower_bound_ == pytest.approx(objective(*parameters_of(fit)), rel=1e-9)
    first = (start["weights_init"], start["means_init"], np.linalg.inv(start["precisions_init"]))
    assert fit.lower_bounds_[0] == pytest.approx(objective(*first), rel=1e-9)
    for n_iter in range(1, 4):
        early = fit_quietly(GaussianMixture(**options, tol=0, max_iter=n_iter), X)
        assert fit.lower_bounds_[n_iter] == pytest.approx(objective(*parameters_of(early)), rel=1e-9)


def test_without_regularisation_the_objective_is_the_mean_log_likelihood():
    X = samples(51)
    fit = GaussianMixture(3, reg_covar=0, random_state=0).fit(X)
    assert fit.lower_bound_ == pytest.approx(log_density_by_scipy(X, *parameters_of(fit)).mean(), rel=1e-9)
    assert fit.lower_bound_ == pytest.approx(fit.score(X), rel=1e-12)


def test_with_regularisation_the_objective_is_below_the_mean_log_likelihood():
    X = samples(52)
    fit = GaussianMixture(3, reg_covar=0.05, random_state=0).fit(X)
    assert fit.lower_bound_ < fit.score(X)


def test_fit_stops_at_the_first_gain_below_the_tolerance():
    X = samples(53)
    fit = GaussianMixture(3, tol=1e-4, max_iter=500, **start_of(X, 3)).fit(X)
    gains = np.diff(fit.lower_bounds_)
    assert fit.converged_
    assert gains[-1] < 1e-4
    assert (gains[:-1] >= 1e-4).all()


def test_too_few_iterations_warn_and_still_give_a_fit():
    X = samples(54)
    with pytest.warns(ConvergenceWarning, match="max_iter = 3 iterations before meeting tol = 0") as caught:
        fit = GaussianMixture(3, tol=0, max_iter=3, **start_of(X, 3)).fit(X)
    assert caught[0].filename == __file__
    assert not fit.converged_
    assert fit.n_iter_ == 3
    assert len(fit.lower_bounds_) == 4


def test_the_watcher_is_called_with_every_objective_in_order():
    X = samples(55)
    cells = cells_of(X)
    start, seen = start_from_centers(cells, X[:3], 1e-6), []
    fit = em(cells, start, variance=1e-6, tol=1e-3, max_iter=50, watch=lambda *step: seen.append(step))
    assert seen == list(enumerate(fit.trace))
    assert fit.n_iter == len(seen) - 1


def test_more_components_than_distinct_samples_leave_the_others_without_weight():
    X = np.repeat([[0.0, 0.0], [4.0, 1.0]], [30, 10], axis=0)
    fit = GaussianMixture(4, reg_covar=1e-4, random_state=0).fit(X)
    two = fit.weights_ > 0
    assert sorted(fit.weights_[two]) == pytest.approx([0.25, 0.75])
    np.testing.assert_allclose(fit.covariances_[two], np.tile(1e-4 * np.eye(2), (2, 1, 1)), atol=1e-14)
    np.testing.assert_allclose(fit.score_samples(X), log_density_by_scipy(X, *parameters_of(fit)), rtol=1e-9)


@pytest.mark.parametrize("n_components", [3, 4, 5, 8])
@pytest.mark.parametrize("d", [1, 3])
def test_a_component_without_weight_raises_no_warning(n_components, d):
    X = np.zeros((20, d))
    X[0] = 1.0
    fit = GaussianMixture(n_components, random_state=0).fit(X)
    assert np.count_nonzero(fit.weights_) == 2


def test_duplicates_far_apart_have_the_regularisation_as_covariance_down_to_rounding():
    """About a common center, variances below some 1e-15 of the squared distance are rounding errors."""
    X = 1e6 * np.random.default_rng(0).random((4, 2)).repeat(10, axis=0)
    fit = GaussianMixture(4, random_state=0, reg_covar=100.0).fit(X)
    np.testing.assert_allclose(fit.covariances_, np.tile(100 * np.eye(2), (4, 1, 1)), atol=1e-15 * 1e12 * 4)


# Responsibilities, densities and the final evaluation


@pytest.mark.parametrize("d", [1, 2, 3, 5])
def test_densities_and_responsibilities_equal_those_of_scipy(d):
    X = samples(60 + d, d)
    fit = GaussianMixture(3, random_state=0, max_iter=500).fit(X)
    new = np.concatenate([X[:100], 4 * X[:50]])
    log_joint = log_joint_by_scipy(new, *parameters_of(fit))
    log_density = logsumexp(log_joint, axis=1)
    np.testing.assert_allclose(fit.score_samples(new), log_density, rtol=1e-9)
    responsibilities = fit.predict_proba(new)
    np.testing.assert_allclose(responsibilities, np.exp(log_joint - log_density[:, np.newaxis]), rtol=1e-8, atol=1e-12)
    np.testing.assert_allclose(responsibilities.sum(axis=1), 1.0, rtol=1e-13)
    np.testing.assert_array_equal(fit.predict(new), log_joint.argmax(axis=1))
    weight = np.random.default_rng(0).uniform(size=len(new))
    assert fit.score(new, sample_weight=weight) == pytest.approx(np.average(log_density, weights=weight), rel=1e-9)


def test_predictions_for_a_sample_do_not_depend_on_the_others():
    X = samples(65)
    fit = GaussianMixture(3, random_state=0, max_iter=500).fit(X)
    alone = np.array([fit.score_samples(row[np.newaxis])[0] for row in X[:40]])
    np.testing.assert_allclose(alone, fit.score_samples(X)[:40], rtol=1e-12)


@pytest.mark.parametrize("vanished", [False, True])
def test_evaluation_equals_scipy_and_the_plain_formula_of_entropy(vanished):
    rng = np.random.default_rng(66)
    X, sample_weight = samples(66), rng.integers(1, 50, 400).astype(float)
    weights, means, covariances = random_mixture(rng, 4, 3)
    if vanished:
        weights = np.array([0.5, 0.0, 0.2, 0.3])
    cells, gaussians = Cells.from_samples(X, sample_weight), Gaussians(weights, means, covariances)
    evaluation = evaluate(cells, gaussians)
    log_joint = log_joint_by_scipy(X, weights, means, covariances)
    log_density = logsumexp(log_joint, axis=1)
    assert evaluation.log_likelihood == pytest.approx(float(sample_weight @ log_density), rel=1e-9)
    entropy = 0.0
    for i in range(len(X)):
        for k in range(4):
            r = math.exp(log_joint[i, k] - log_density[i])
            if r > 0:
                entropy -= sample_weight[i] * r * math.log(r)
    assert evaluation.entropy == pytest.approx(entropy, rel=1e-9)
    labels = most_probable(natural_parameters(gaussians, cells.origin), cells)
    np.testing.assert_array_equal(labels, log_joint.argmax(axis=1))


def test_entropy_of_certain_assignments_is_zero_and_of_equal_ones_log_k():
    X = np.array([[0.0], [1000.0]])
    far = Gaussians(np.array([0.5, 0.5]), X, np.ones((2, 1, 1)))
    assert 0 <= evaluate(Cells.from_samples(X, np.ones(2)), far).entropy < 1e-290
    equal = Gaussians(np.full(4, 0.25), np.zeros((4, 1)), np.ones((4, 1, 1)))
    entropy = evaluate(Cells.from_samples(X[:1], np.array([7.0])), equal).entropy
    assert entropy == pytest.approx(7 * math.log(4), rel=1e-12)


# The estimator


def test_duplicates_without_regularisation_collapse_with_an_error_that_gives_a_remedy():
    X = np.repeat([[0.1, 0.7], [0.3, 0.2]], 10, axis=0)
    with pytest.raises(SingularCovarianceError) as caught:
        GaussianMixture(2, reg_covar=0, random_state=0).fit(X)
    assert isinstance(caught.value, ValueError)
    for part in ("component", "collapsed", "fewer components", "reg_covar", "starting values"):
        assert part in str(caught.value)


START = {
    "weights_init": np.array([0.5, 0.5]),
    "means_init": np.zeros((2, 2)),
    "precisions_init": np.tile(np.eye(2), (2, 1, 1)),
}
BAD_PARAMETERS = [
    ({"n_components": 0}, ("n_components = 0", "at least 1")),
    ({"n_components": 1.5}, ("n_components = 1.5", "integer")),
    ({"n_components": False}, ("n_components = False", "integer")),
    ({"n_components": 21}, ("n_components = 21", "20 sample", "at least as many")),
    ({"max_iter": -1}, ("max_iter = -1", "at least 0")),
    ({"max_iter": None}, ("max_iter = None", "integer")),
    ({"tol": -1.0}, ("tol = -1.0", "at least 0")),
    ({"tol": math.inf}, ("tol = inf", "finite")),
    ({"reg_covar": -1e-6}, ("reg_covar = -1e-06", "at least 0")),
    ({"reg_covar": math.nan}, ("reg_covar = nan", "finite")),
    ({"weights_init": [0.5, 0.6]}, ("weights_init sums to 1.1", "sum to 1")),
    ({"weights_init": [1.5, -0.5]}, ("weights_init sums to 1;", "at least 0")),
    ({"weights_init": [1.0]}, ("weights_init has shape (1,)", "(2,)")),
    ({"means_init": np.zeros((2, 3))}, ("means_init has shape (2, 3)", "(2, 2)")),
    ({"means_init": np.full((2, 2), np.nan)}, ("means_init contains NaN", "replace")),
    ({"precisions_init": np.eye(2)}, ("precisions_init has shape (2, 2)", "(2, 2, 2)")),
    (
        {"precisions_init": np.tile(np.diag([1.0, -2.0]), (2, 1, 1))},
        ("precisions_init must hold", "positive-definite", "-2"),
    ),
    ({"precisions_init": np.tile([[1.0, 0.5], [0.0, 1.0]], (2, 1, 1))}, ("precisions_init must hold symmetric",)),
]


@pytest.mark.parametrize(("parameters", "parts"), BAD_PARAMETERS)
def test_a_bad_parameter_is_refused_in_fit_with_value_limit_and_remedy(parameters, parts):
    assert_refused(parts, GaussianMixture(**{"n_components": 2, **parameters}).fit, samples(0, d=2, n=20))


BAD_ARRAYS = [
    (np.zeros(3), {}, ("1 dimension", "reshape(-1, 1)")),
    (np.zeros((2, 2, 3)), {}, ("3 dimension", "(n_samples, n_features); use X.reshape(-1, X.shape[-1]) for an image")),
    (np.zeros((0, 1)), {}, ("(0, 1)", "at least one sample")),
    (np.array([[0.0], [np.nan], [1.0]]), {}, ("NaN", "replace")),
    (np.arange(3.0)[:, np.newaxis], {"sample_weight": [1, 1]}, ("sample_weight", "(2,)", "(3,)")),
    (np.arange(3.0)[:, np.newaxis], {"sample_weight": [1, -2, 1]}, ("sample_weight", "-2.0", "at least 0")),
    (np.arange(3.0)[:, np.newaxis], {"sample_weight": [0, 0, 0]}, ("sample_weight", "above 0")),
    (np.arange(3.0)[:, np.newaxis], {"sample_weight": [0, 0, 4]}, ("1 sample", "n_components = 2")),
    (np.arange(3.0)[:, np.newaxis], {"sample_covariance": np.zeros((3, 1))}, ("sample_covariance", "(3, 1, 1)")),
]


@pytest.mark.parametrize(("X", "options", "parts"), BAD_ARRAYS)
def test_a_bad_array_is_refused_with_the_fault_and_the_remedy(X, options, parts):
    assert_refused(parts, GaussianMixture(2).fit, X, **options)


@pytest.mark.parametrize("method", ["predict", "predict_proba", "score_samples", "score"])
def test_questions_before_fit_are_refused(method):
    with pytest.raises(NotFittedError, match="this GaussianMixture is not fitted yet; call fit first"):
        getattr(GaussianMixture(), method)([[0.0]])


@pytest.mark.parametrize("method", ["predict", "predict_proba", "score_samples", "score"])
def test_questions_about_another_number_of_features_are_refused(method):
    fit = GaussianMixture(2, random_state=0).fit(samples(0))
    with pytest.raises(ParameterError, match=r"X has 2 features, but GaussianMixture is expecting 3 features as input"):
        getattr(fit, method)(np.zeros((4, 2)))


def test_constructor_stores_its_arguments_unchanged_and_unchecked():
    start = {name: value.tolist() for name, value in START.items()}
    rng = np.random.default_rng(0)
    estimator = GaussianMixture("two", tol=-1, reg_covar="none", max_iter=0, random_state=rng, **start)
    assert (estimator.n_components, estimator.tol, estimator.reg_covar, estimator.max_iter) == ("two", -1, "none", 0)
    assert estimator.random_state is rng
    for name, value in start.items():
        assert getattr(estimator, name) is value


def test_fit_leaves_parameters_and_input_arrays_unchanged():
    X = samples(72)
    weight, scatter = (
        np.random.default_rng(72).uniform(0.0, 2.0, 400),
        random_covariances(np.random.default_rng(0), 400, 3),
    )
    start = start_of(X, 3)
    locked = [read_only(array) for array in (X, weight, scatter)]
    locked_start = {name: read_only(value) for name, value in start.items()}
    fit = GaussianMixture(3, max_iter=500, **locked_start).fit(*locked[:1], None, *locked[1:])
    fit.predict(locked[0]), fit.predict_proba(locked[0]), fit.score(locked[0], sample_weight=locked[1])
    for array, copy in zip((X, weight, scatter), locked, strict=True):
        np.testing.assert_array_equal(array, copy)
    for name, value in start.items():
        assert getattr(fit, name) is locked_start[name]
        np.testing.assert_array_equal(getattr(fit, name), value)


@pytest.mark.parametrize("given_name", ["weights_init", "means_init", "precisions_init"])
def test_missing_parameters_of_the_start_are_computed_by_kmeans(given_name):
    X = samples(74)
    whole = start_by_plain_formulas(X)
    start = {given_name: start_of(X, 3)[given_name]}
    fit = fit_quietly(GaussianMixture(3, random_state=0, max_iter=1, reg_covar=0, tol=0, **start), X)
    start_mixture = {**whole, **start}
    expected = log_density_by_scipy(
        X, start_mixture["weights_init"], start_mixture["means_init"], np.linalg.inv(start_mixture["precisions_init"])
    ).mean()
    assert fit.lower_bounds_[0] == pytest.approx(expected, rel=1e-9)


def start_by_plain_formulas(X):
    """Cluster by KMeans with the seed 0 and take moments of its clusters."""
    centers = KMeans(3, random_state=0).fit(X).cluster_centers_
    labels = ((X[:, np.newaxis] - centers) ** 2).sum(axis=2).argmin(axis=1)
    parts = [X[labels == k] for k in range(3)]
    return {
        "weights_init": np.array([len(part) / len(X) for part in parts]),
        "means_init": np.array([part.mean(axis=0) for part in parts]),
        "precisions_init": np.array([np.linalg.inv(np.cov(part, rowvar=False, bias=True)) for part in parts]),
    }
