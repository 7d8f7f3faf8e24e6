"""Mixtures about fixed means: against plain EM, moments computed one by one, and the laws of any fit."""

import numpy as np
import pytest
from helpers import cells_of, draw_from, log_joint_by_scipy, random_mixture
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.special import logsumexp

from gmmquant import ParameterError
from gmmquant.models.coarse_to_fine import best_start, descend, fit_with_means
from gmmquant.models.covariance import COVARIANCE_TYPES, FULL
from gmmquant.models.em import e_step, em, m_step
from gmmquant.models.gaussian import Gaussians
from gmmquant.models.starts import start_from_centers

KINDS = ["full", "tied", "diag", "spherical"]


def second_moment_about(X, weights, mean):
    """Return E[(x - mean) (x - mean)^T]."""
    return np.einsum("n,ni,nj->ij", weights, X - mean, X - mean) / weights.sum()


def pooled_as(covariance_type, matrices, weights):
    """Return matrices (K, d, d) under the constraint of a type, still as matrices."""
    d = matrices.shape[1]
    variances = np.diagonal(matrices, axis1=1, axis2=2)
    return {
        "full": matrices,
        "tied": np.broadcast_to(np.average(matrices, axis=0, weights=weights), matrices.shape),
        "diag": variances[:, :, np.newaxis] * np.eye(d),
        "spherical": variances.mean(axis=1)[:, np.newaxis, np.newaxis] * np.eye(d),
    }[covariance_type]


def plain_em(X, mixture, covariance_type, n_iter):
    """Run textbook EM with fixed means; return the mixture and the mean log-likelihoods."""
    weights, means, covariances = mixture
    trace = []
    for _ in range(n_iter):
        joint = log_joint_by_scipy(X, weights, means, covariances)
        log_density = logsumexp(joint, axis=1)
        trace.append(log_density.mean())
        responsibilities = np.exp(joint - log_density[:, np.newaxis])
        totals = responsibilities.sum(axis=0)
        matrices = [second_moment_about(X, r, mean) for r, mean in zip(responsibilities.T, means, strict=True)]
        weights, covariances = totals / len(X), pooled_as(covariance_type, np.array(matrices), totals)
    return (weights, means, covariances), trace


@pytest.mark.parametrize("covariance_type", KINDS)
def test_each_iteration_equals_one_of_plain_em_with_fixed_means(covariance_type):
    rng = np.random.default_rng(1)
    mixture = random_mixture(rng, 4, 3)
    X, means = draw_from(rng, mixture, 300), mixture[1] + rng.normal(scale=0.5, size=(4, 3))
    start = start_from_centers(cells_of(X), means, 0.0, COVARIANCE_TYPES[covariance_type], n_fixed=len(means))
    fit = em(cells_of(X), start, variance=0.0, tol=-1.0, max_iter=6, n_fixed=len(means))
    (weights, _, covariances), trace = plain_em(X, (start.weights, means, start.full_covariances()), covariance_type, 7)
    np.testing.assert_allclose(fit.trace, trace, rtol=1e-10)
    once_more = em(cells_of(X), fit.gaussians, variance=0.0, tol=-1.0, max_iter=1, n_fixed=len(means)).gaussians
    np.testing.assert_allclose(once_more.weights, weights, rtol=1e-8)
    np.testing.assert_allclose(once_more.full_covariances(), covariances, rtol=1e-8, atol=1e-12)


@pytest.mark.parametrize("covariance_type", KINDS)
def test_a_single_mean_gets_the_second_moment_about_it(levels, covariance_type):
    mean = np.array([[0.1, 0.7, 0.4]])
    options = {"variance": 1e-3, "tol": 1e-6, "max_iter": None}
    fit = fit_with_means(levels, mean, covariance_type=COVARIANCE_TYPES[covariance_type], **options)
    X, weights = levels[-1].positions(), levels[-1].weights
    matrix = second_moment_about(X, weights, mean[0]) + 1e-3 * np.eye(3)
    expected = pooled_as(covariance_type, matrix[np.newaxis], np.ones(1))
    np.testing.assert_allclose(fit.gaussians.full_covariances(), expected, rtol=1e-10, atol=1e-15)
    np.testing.assert_array_equal(fit.gaussians.weights, [1.0])


def test_scatter_about_a_distant_mean_is_accurate():
    rng = np.random.default_rng(2)
    X = np.array([1e6, -1e6]) + rng.normal(size=(500, 2))
    mean = np.array([1e6 + 3.0, -1e6])
    (covariance,) = start_from_centers(cells_of(X), mean[np.newaxis], 0.0, n_fixed=1).covariances
    np.testing.assert_allclose(covariance, second_moment_about(X, np.ones(500), mean), rtol=1e-9)


@pytest.mark.parametrize("covariance_type", KINDS)
@pytest.mark.parametrize("k", [1, 2, 7, 24])
def test_the_objective_rises_from_level_to_level_and_the_means_stay_bit_for_bit(levels, photograph, k, covariance_type):
    means = np.random.default_rng(k).random((k, 3))
    seen = []
    options = {"variance": photograph.rounding_variance, "tol": 1e-4, "max_iter": 300}
    fit = fit_with_means(
        levels,
        means,
        covariance_type=COVARIANCE_TYPES[covariance_type],
        watch=lambda *step: seen.append(step[1]),
        **options,
    )
    assert np.diff(fit.trace).min() >= -1e-12
    assert fit.gaussians.means.tobytes() == means.tobytes()
    assert fit.gaussians.weights.sum() == pytest.approx(1.0, rel=1e-12)
    assert fit.trace[-1] == e_step(levels[-1], fit.gaussians, photograph.rounding_variance)[1]
    assert list(dict.fromkeys(fit.n_cells)) == [cells.weights.size for cells in levels]
    assert len(fit.trace) == len(fit.n_cells) == fit.n_iter + len(levels)
    assert seen == list(fit.trace)
    assert fit.converged


@settings(max_examples=40)
@given(st.integers(0, 100_000), st.sampled_from(KINDS), st.sampled_from([1, 2, 6, 20]), st.booleans(), st.booleans())
def test_the_objective_of_a_fit_about_fixed_means_never_falls(seed, covariance_type, k, accelerated, all_fixed):
    rng = np.random.default_rng(seed)
    n_fixed = k if all_fixed else k // 2
    X = draw_from(rng, random_mixture(rng, 4, 3), 150)
    cells = cells_of(X, rng.uniform(0.5, 2.0, 150))
    start = start_from_centers(
        cells, rng.normal(scale=4.0, size=(k, 3)), 0.01, COVARIANCE_TYPES[covariance_type], n_fixed=n_fixed
    )
    fit = em(cells, start, variance=0.01, tol=1e-9, max_iter=300, accelerated=accelerated, n_fixed=n_fixed)
    assert np.diff(fit.trace).min(initial=0.0) >= -1e-12


@pytest.mark.parametrize("covariance_type", KINDS)
@pytest.mark.parametrize("seed", range(3))
def test_momentum_reaches_the_objective_of_plain_em_in_fewer_iterations_and_empties_no_component(
    levels, photograph, covariance_type, seed
):
    cells, variance = levels[0], photograph.rounding_variance
    means = np.random.default_rng(seed).random((7, 3))
    start = start_from_centers(cells, means, variance, COVARIANCE_TYPES[covariance_type], n_fixed=len(means))
    options = {"variance": variance, "tol": 1e-6, "max_iter": 3000, "n_fixed": len(means)}
    plain, fast = (em(cells, start, **options, accelerated=accelerated) for accelerated in (False, True))
    assert fast.trace[-1] >= plain.trace[-1] - 2e-4
    assert fast.n_iter <= plain.n_iter + 5
    assert np.count_nonzero(fast.gaussians.weights) >= np.count_nonzero(plain.gaussians.weights > 1e-6)


def test_free_means_reach_at_least_the_objective_of_fixed_means(levels, photograph):
    options = {"variance": photograph.rounding_variance, "tol": 1e-6, "max_iter": 400}
    rng = np.random.default_rng(0)
    start = best_start(levels, 5, init="kmeans", restarts=1, rng=rng, covariance_type=FULL, **options)
    free = descend(levels, start, **options)
    held = fit_with_means(levels, free.gaussians.means, **options)
    further = em(levels[-1], held.gaussians, accelerated=True, **options)
    assert held.trace[-1] <= further.trace[-1]
    assert held.trace[-1] == pytest.approx(free.trace[-1], abs=1e-3)
    np.testing.assert_allclose(held.gaussians.covariances, free.gaussians.covariances, rtol=0.05, atol=1e-4)


def test_components_have_the_order_of_the_means(levels, photograph):
    options = {"variance": photograph.rounding_variance, "tol": 1e-6, "max_iter": 200}
    means = np.random.default_rng(3).random((6, 3))
    order = np.array([3, 0, 5, 1, 4, 2])
    fit, other = (fit_with_means(levels, each, **options).gaussians for each in (means, means[order]))
    np.testing.assert_allclose(other.weights, fit.weights[order], rtol=1e-6)
    np.testing.assert_allclose(other.covariances, fit.covariances[order], rtol=1e-6, atol=1e-9)


def test_a_mean_without_nearest_samples_can_gain_weight():
    """A few distant samples surround many: no sample is nearest to the second mean, but it gains the distant ones."""
    rng = np.random.default_rng(4)
    X = np.concatenate([rng.normal(scale=0.02, size=(300, 1)), rng.normal(scale=5.0, size=(100, 1))])
    means, cells = np.array([[0.0], [50.0]]), cells_of(X)
    start = start_from_centers(cells, means, 1e-6, n_fixed=len(means))
    np.testing.assert_allclose(start.weights, np.array([400, 1]) / 401)
    np.testing.assert_allclose(start.covariances[1], second_moment_about(X, np.ones(400), means[1]), rtol=1e-6)
    fit = fit_with_means([cells], means, variance=1e-6, tol=1e-9, max_iter=2000)
    assert fit.gaussians.weights[1] == pytest.approx(0.25, abs=0.02)


@pytest.mark.parametrize("covariance_type", KINDS)
def test_a_mean_far_from_all_samples_has_little_weight(levels, photograph, covariance_type):
    means = np.array([levels[0].origin, [4.0, -3.0, 5.0]])
    options = {"variance": photograph.rounding_variance, "tol": 1e-6, "max_iter": 300}
    fit = fit_with_means(levels, means, covariance_type=COVARIANCE_TYPES[covariance_type], **options)
    assert 0 <= fit.gaussians.weights[1] < 0.05
    assert np.isfinite(fit.gaussians.covariances).all()


@pytest.mark.parametrize("covariance_type", KINDS)
def test_more_means_than_cells_and_repeated_ones_are_fitted(covariance_type):
    X = np.array([[0.0, 0.0], [1.0, 0.5], [1.0, 0.0]])
    means = np.concatenate([X, X, [[0.5, 0.5]]])
    options = {"variance": 1e-4, "tol": 1e-7, "max_iter": 500}
    fit = fit_with_means([cells_of(X)], means, covariance_type=COVARIANCE_TYPES[covariance_type], **options)
    assert np.diff(fit.trace).min() >= -1e-12
    assert fit.gaussians.means.tobytes() == means.tobytes()
    assert fit.gaussians.weights.sum() == pytest.approx(1.0)


@pytest.mark.parametrize(
    ("means", "reason"),
    [
        (np.zeros((0, 3)), "shape"),
        (np.zeros((2, 4)), "shape"),
        (np.array([[0.0, np.nan, 0.0]]), "NaN"),
        (np.array([[0.0, 0.0, -1e200]]), "1e\\+200 in size"),
    ],
)
def test_means_that_cannot_be_held_are_refused(levels, means, reason):
    with pytest.raises(ParameterError, match=reason):
        fit_with_means(levels, means, variance=1e-6, tol=1e-4, max_iter=5)


def test_a_component_of_negative_extrapolated_weight_gets_weight_0_and_the_others_sum_to_1():
    previous = Gaussians(np.full(3, 1 / 3), np.zeros((3, 1)), np.ones((3, 1, 1)))
    moments = np.array([[-2.0, 1.0, 1.0], [3.0, 0.0, 3.0], [1.0, 2.0, 5.0]])
    for n_fixed in (0, 1, len(previous.means)):
        updated = m_step(moments, np.zeros(1), 0.1, previous, n_fixed=n_fixed)
        np.testing.assert_array_equal(updated.weights, [0.0, 0.75, 0.25])
