"""Parameters of a mixture to scores and back, against scipy and the plain formulas."""

import numpy as np
import pytest
from helpers import log_density_by_scipy, log_joint_by_scipy, random_covariances, random_mixture
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import multivariate_normal

from gmmquant.errors import GmmquantError, SingularCovarianceError
from gmmquant.models.cells import Cells, phi_rows
from gmmquant.models.covariance import (
    COVARIANCE_TYPES,
    FULL,
    precisions,
    precisions_cholesky,
)
from gmmquant.models.em import keep_vanished, m_step
from gmmquant.models.gaussian import Gaussians, entropies, log_joint, natural_parameters
from gmmquant.models.mixture import _inverses
from gmmquant.models.starts import make_start
from gmmquant.models.sweep import softmax


def moments_by_loops(X, sample_weight, responsibilities, origin):
    """Sum weight * responsibility * (1, x, upper triangle of x x^T) over the samples, for each component."""
    n, K = responsibilities.shape
    d = X.shape[1]
    moments = np.zeros((K, 1 + d + d * (d + 1) // 2))
    for i in range(n):
        x = X[i] - origin
        phi = [1.0, *x, *(x[a] * x[b] for a in range(d) for b in range(a, d))]
        for k in range(K):
            moments[k] += sample_weight[i] * responsibilities[i, k] * np.array(phi)
    return moments


def m_step_by_loops(X, sample_weight, responsibilities, variance):
    """Return weights, means and covariances by their definitions: two passes, one sample at a time."""
    n, K = responsibilities.shape
    d = X.shape[1]
    weights, means, covariances = np.zeros(K), np.zeros((K, d)), np.zeros((K, d, d))
    for k in range(K):
        total = sum(sample_weight[i] * responsibilities[i, k] for i in range(n))
        weights[k] = total / sum(sample_weight)
        for i in range(n):
            means[k] += sample_weight[i] * responsibilities[i, k] * X[i] / total
        for i in range(n):
            difference = X[i] - means[k]
            covariances[k] += sample_weight[i] * responsibilities[i, k] * np.outer(difference, difference) / total
        covariances[k] += variance * np.eye(d)
    return weights, means, covariances


@pytest.mark.parametrize("d", [1, 2, 3, 5])
@pytest.mark.parametrize("n_components", [1, 4])
def test_scores_are_the_log_joint_densities_of_scipy(d, n_components):
    rng = np.random.default_rng(10 * d + n_components)
    mixture = random_mixture(rng, n_components, d)
    X = rng.normal(scale=3.0, size=(50, d))
    for origin in (np.zeros(d), rng.normal(size=d)):
        cells = Cells.points(X, origin=origin)
        scores = natural_parameters(Gaussians(*mixture), origin) @ cells.features(
            slice(None), phi_rows(len(cells.origin), "dense")
        )
        np.testing.assert_allclose(scores.T, log_joint_by_scipy(X, *mixture), rtol=1e-10, atol=1e-10)


@pytest.mark.parametrize("d", [1, 3])
def test_variance_of_a_sample_lowers_its_score_by_half_the_trace_of_the_precision(d):
    rng = np.random.default_rng(d)
    weights, means, covariances = random_mixture(rng, 3, d)
    X, variance, origin = rng.normal(size=(20, d)), 0.7, rng.normal(size=d)
    cells = Cells.points(X, origin=origin)
    scores = natural_parameters(Gaussians(weights, means, covariances), origin, variance)
    traces = np.array([np.trace(np.linalg.inv(covariance)) for covariance in covariances])
    expected = log_joint_by_scipy(X, weights, means, covariances) - 0.5 * variance * traces
    np.testing.assert_allclose(
        (scores @ cells.features(slice(None), phi_rows(len(cells.origin), "dense"))).T, expected, rtol=1e-10
    )


def test_variance_of_a_sample_gives_the_expected_log_density_over_that_variance():
    # Gauss-Hermite quadrature is exact for a log density, which is quadratic.
    nodes, node_weights = np.polynomial.hermite_e.hermegauss(5)
    weights, means, covariances = random_mixture(np.random.default_rng(3), 2, 1)
    variance, x = 0.4, 1.3
    points = x + np.sqrt(variance) * nodes[:, np.newaxis]
    expected = (node_weights / node_weights.sum()) @ log_joint_by_scipy(points, weights, means, covariances)
    theta = natural_parameters(Gaussians(weights, means, covariances), np.zeros(1), variance)
    np.testing.assert_allclose(theta @ [1.0, x, x * x], expected, rtol=1e-12)


def scores_of(gaussians, cells):
    """Return the scores by the linear form of the sweep and by whitened differences, both of shape (n, K)."""
    linear = natural_parameters(gaussians, cells.origin) @ cells.features(
        slice(None), phi_rows(len(cells.origin), "dense")
    )
    return linear.T, np.concatenate([scores for _, _, scores in log_joint(gaussians, cells)], axis=1).T


@pytest.mark.parametrize("d", [1, 2, 3, 5])
def test_whitened_differences_give_the_log_joint_densities_of_scipy_in_blocks(d):
    rng = np.random.default_rng(d)
    mixture = random_mixture(rng, 150, d)
    X = rng.normal(scale=3.0, size=(2400, d))
    cells = Cells.points(X, origin=rng.normal(size=d))
    blocks = list(log_joint(Gaussians(*mixture), cells))
    assert [index for columns, _, _ in blocks for index in range(columns.start, columns.stop)] == list(range(2400))
    assert len(blocks) > 1
    _, scores = scores_of(Gaussians(*mixture), cells)
    np.testing.assert_allclose(scores, log_joint_by_scipy(X, *mixture), rtol=1e-10, atol=1e-10)


def test_whitened_differences_do_not_cancel_where_components_are_narrow():
    rng = np.random.default_rng(8)
    means, width = rng.uniform(size=(4, 3)), 1e-6
    X = np.repeat(means, 5, axis=0) + width * rng.normal(size=(20, 3))
    gaussians = Gaussians(np.full(4, 0.25), means, np.tile(width**2 * np.eye(3), (4, 1, 1)))
    _, scores = scores_of(gaussians, Cells.points(X, origin=X.mean(axis=0)))
    squares = (((X[:, np.newaxis] - means) / width) ** 2).sum(axis=2)
    expected = np.log(0.25) - 1.5 * np.log(2 * np.pi * width**2) - 0.5 * squares
    own = np.repeat(np.arange(4), 5)
    np.testing.assert_allclose(scores[np.arange(20), own], expected[np.arange(20), own], rtol=1e-9)


def test_a_component_of_weight_zero_has_no_responsibility():
    _, means, covariances = random_mixture(np.random.default_rng(4), 3, 2)
    X = np.random.default_rng(5).normal(scale=100.0, size=(9, 2))
    gaussians = Gaussians(np.array([0.25, 0.0, 0.75]), means, covariances)
    expected = log_density_by_scipy(X, np.array([0.25, 0.75]), means[[0, 2]], covariances[[0, 2]])
    for scores in scores_of(gaussians, Cells.points(X, origin=np.ones(2))):
        responsibilities = scores.T.copy()
        log_density = softmax(responsibilities)
        assert (responsibilities[1] == 0.0).all()
        np.testing.assert_allclose(log_density, expected, rtol=1e-11)


@pytest.mark.parametrize("covariance_type", COVARIANCE_TYPES.values(), ids=COVARIANCE_TYPES)
@pytest.mark.parametrize("d", [1, 2, 5])
def test_precisions_invert_the_covariances_of_every_type(covariance_type, d):
    rng, K = np.random.default_rng(d), 4
    dense = random_covariances(rng, K, d)
    covariances = {
        "full": dense,
        "tied": dense[0],
        "diag": rng.uniform(0.1, 3.0, (K, d)),
        "spherical": rng.uniform(0.1, 3.0, K),
    }[covariance_type.name]
    factors = precisions_cholesky(covariances, covariance_type)
    inverse = precisions(factors, covariance_type)
    assert factors.shape == inverse.shape == covariances.shape == covariance_type.shape(K, d)
    gaussians = Gaussians(np.full(K, 1 / K), np.zeros((K, d)), covariances, covariance_type)
    inverted = Gaussians(np.full(K, 1 / K), np.zeros((K, d)), inverse, covariance_type)
    products = gaussians.full_covariances() @ inverted.full_covariances()
    np.testing.assert_allclose(products, np.tile(np.eye(d), (K, 1, 1)), rtol=1e-9, atol=1e-11)
    np.testing.assert_allclose(_inverses(inverse, K, d, covariance_type), covariances, rtol=1e-9, atol=1e-11)
    if covariance_type.dense:
        np.testing.assert_allclose(factors, np.triu(factors), atol=1e-14)


@pytest.mark.parametrize("d", [1, 2, 3, 5])
@pytest.mark.parametrize("variance", [0.0, 0.3])
def test_m_step_equals_the_plain_formulas(d, variance):
    rng = np.random.default_rng(d)
    n, K = 40, 3
    X = rng.normal(loc=5.0, size=(n, d))
    sample_weight, responsibilities = rng.uniform(0.1, 4.0, n), rng.dirichlet(np.ones(K), n)
    origin = sample_weight @ X / sample_weight.sum()
    moments = moments_by_loops(X, sample_weight, responsibilities, origin)
    previous = Gaussians(*random_mixture(rng, K, d))
    updated = m_step(moments, origin, variance, previous)
    weights, means, covariances = m_step_by_loops(X, sample_weight, responsibilities, variance)
    np.testing.assert_allclose(updated.weights, weights, rtol=1e-12)
    np.testing.assert_allclose(updated.means, means, rtol=1e-12)
    np.testing.assert_allclose(updated.covariances, covariances, rtol=1e-9, atol=1e-12)
    np.testing.assert_array_equal(updated.covariances, updated.covariances.transpose(0, 2, 1))


def test_component_without_samples_gets_weight_zero_and_stays_where_it_was():
    rng = np.random.default_rng(20)
    X, K = rng.normal(size=(30, 2)), 3
    responsibilities = np.zeros((30, K))
    responsibilities[:, [0, 2]] = rng.dirichlet(np.ones(2), 30)
    origin = X.mean(axis=0)
    previous = Gaussians(*random_mixture(rng, K, 2))
    moments = moments_by_loops(X, np.ones(30), responsibilities, origin)
    updated = m_step(moments, origin, 0.1, previous)
    assert updated.weights[1] == 0.0
    assert updated.weights.sum() == pytest.approx(1.0)
    np.testing.assert_array_equal(updated.means[1], previous.means[1])
    np.testing.assert_array_equal(updated.covariances[1], previous.covariances[1])
    _, means, covariances = m_step_by_loops(X, np.ones(30), responsibilities[:, [0, 2]], 0.1)
    np.testing.assert_allclose(updated.means[[0, 2]], means, rtol=1e-11, atol=1e-13)
    np.testing.assert_allclose(updated.covariances[[0, 2]], covariances, rtol=1e-10, atol=1e-13)


def test_keep_vanished_replaces_only_what_vanished():
    rng = np.random.default_rng(21)
    updated, previous = Gaussians(*random_mixture(rng, 3, 2)), Gaussians(*random_mixture(rng, 3, 2))
    kept = keep_vanished(updated, np.array([False, True, False]), previous)
    np.testing.assert_array_equal(kept.weights, [updated.weights[0], 0.0, updated.weights[2]])
    np.testing.assert_array_equal(kept.means, [updated.means[0], previous.means[1], updated.means[2]])
    np.testing.assert_array_equal(
        kept.covariances, [updated.covariances[0], previous.covariances[1], updated.covariances[2]]
    )


@settings(max_examples=30)
@given(
    weights=st.lists(st.sampled_from([1.0, 2.0, 3.0]), min_size=1, max_size=6),
    seed=st.integers(0, 1000),
)
def test_sorted_mixture_is_the_same_mixture_heaviest_first_and_ties_by_mean(weights, seed):
    rng = np.random.default_rng(seed)
    K = len(weights)
    means = rng.integers(0, 2, (K, 3)) + 0.001 * rng.permutation(K)[:, np.newaxis] * [0, 0, 1]
    gaussians = Gaussians(np.array(weights) / sum(weights), means, random_covariances(rng, K, 3))
    ordered = gaussians.taken(gaussians.order())
    rows = list(zip(gaussians.weights, map(tuple, means), gaussians.covariances.tolist(), strict=True))
    expected = sorted(rows, key=lambda row: (-row[0], row[1]))
    assert ordered.weights.tolist() == [row[0] for row in expected]
    assert list(map(tuple, ordered.means)) == [row[1] for row in expected]
    assert ordered.covariances.tolist() == [row[2] for row in expected]


@pytest.mark.parametrize("third", [np.zeros((2, 2)), np.ones((2, 2)), np.diag([1.0, -1e-3])])
def test_covariance_without_inverse_is_refused_with_component_cause_and_remedies(third):
    covariances = np.array([np.eye(2), 2 * np.eye(2), third])
    with pytest.raises(SingularCovarianceError) as caught:
        precisions_cholesky(covariances, FULL)
    assert isinstance(caught.value, ValueError)
    assert isinstance(caught.value, GmmquantError)
    message = str(caught.value)
    for part in ("component 2", "collapsed", "must be above 0", "fewer components", "larger reg_covar"):
        assert part in message
    assert "starting values" in message
    assert f"{np.linalg.eigvalsh(third).min():.3g}" in message


@pytest.mark.parametrize("kind", list(COVARIANCE_TYPES))
def test_entropies_are_those_of_scipy(kind):
    rng = np.random.default_rng(0)
    X = rng.normal(size=(60, 3)) * [1.0, 2.0, 0.5]
    mixture = make_start(Cells.from_samples(X, np.ones(60)), 4, "kmeans", rng, 0.1, COVARIANCE_TYPES[kind])
    expected = [multivariate_normal(cov=covariance).entropy() for covariance in mixture.full_covariances()]
    np.testing.assert_allclose(entropies(mixture), expected)
