"""The blocked sweep against plain loops over cells and components."""

import math

import cv2
import numpy as np
import pytest
from helpers import random_covariances, random_mixture, read_only
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.special import logsumexp

from gmmquant.models.cells import Cells, phi_rows
from gmmquant.models.gaussian import Gaussians, natural_parameters
from gmmquant.models.sweep import (
    exp,
    exponentials,
    largest_scores,
    most_probable,
    softmax,
    sweep,
)

# Of OpenCV's exponential: two bits by Intel's routines, which not every build has.
PRECISION = 4.5e-16 if cv2.ipp.useIPP() else 4e-13


def phi_of(x, second_moment, order):
    """Write phi(x) out: 1, x and the diagonal or the upper triangle of the second moment, row by row."""
    d = len(x)
    features = [1.0, *x]
    if order == "diagonal":
        features += [second_moment[i][i] for i in range(d)]
    elif order == "dense":
        features += [second_moment[i][j] for i in range(d) for j in range(i, d)]
    return features


def sweep_by_loops(theta, X, weights, covariances, origin, order):
    """Compute moments and objective one cell and one component at a time."""
    K, F = theta.shape
    moments = [[0.0] * F for _ in range(K)]
    objective = 0.0
    for n in range(len(X)):
        x = X[n] - origin
        phi = phi_of(x, np.outer(x, x) + covariances[n], order)
        scores = [math.fsum(theta[k][f] * phi[f] for f in range(F)) for k in range(K)]
        value = math.log(math.fsum(math.exp(score) for score in scores))
        responsibilities = [math.exp(score - value) for score in scores]
        objective += weights[n] * value
        for k in range(K):
            for f in range(F):
                moments[k][f] += weights[n] * responsibilities[k] * phi[f]
    return np.array(moments), objective / sum(weights)


@pytest.mark.parametrize("order", ["none", "diagonal", "dense"])
@pytest.mark.parametrize("d", [1, 2, 3, 5])
@pytest.mark.parametrize("with_scatter", [False, True])
def test_sweep_equals_plain_loops(order, d, with_scatter):
    rng = np.random.default_rng(d)
    n, K = 60, 4
    X = rng.normal(loc=3.0, size=(n, d))
    weights = rng.uniform(0.2, 5.0, n)
    covariances = random_covariances(rng, n, d) if with_scatter else np.zeros((n, d, d))
    cells = Cells.from_samples(X, weights, covariances if with_scatter else None)
    theta = rng.normal(size=(K, phi_rows(d, order)))
    moments, objective = sweep(theta, cells)
    expected_moments, expected_objective = sweep_by_loops(theta, X, weights, covariances, cells.origin, order)
    np.testing.assert_allclose(moments, expected_moments, rtol=1e-11, atol=1e-11)
    assert objective == pytest.approx(expected_objective, rel=1e-12, abs=1e-12)


@pytest.mark.parametrize("with_scatter", [False, True])
def test_a_sweep_over_many_blocks_equals_one_over_a_single_block(with_scatter):
    rng = np.random.default_rng(5)
    X, weights = rng.normal(size=(1500, 3)), rng.uniform(size=1500)
    cells = Cells.from_samples(X, weights, random_covariances(rng, 1500, 3) if with_scatter else None)
    K = 200  # blocks of the smallest width, 256, the last one not full
    theta = natural_parameters(Gaussians(*random_mixture(rng, K, 3)), cells.origin)
    assert len(cells.blocks(*theta.shape).columns) > 4
    moments, objective = sweep(theta, cells)
    phi = cells.features(slice(None), phi_rows(len(cells.origin), "dense"))
    scores = theta @ phi
    log_density = logsumexp(scores, axis=0)
    responsibilities = np.exp(scores - log_density)
    np.testing.assert_allclose(moments, (responsibilities * weights) @ phi.T, rtol=1e-10, atol=1e-12)
    assert objective == pytest.approx(np.average(log_density, weights=weights), rel=1e-12)
    np.testing.assert_array_equal(most_probable(theta, cells), scores.argmax(axis=0))


@pytest.mark.parametrize(("n_cells", "n_components"), [(1, 1), (255, 4000), (256, 200), (257, 200), (40_000, 1)])
def test_blocks_cover_every_column_once_and_in_order(n_cells, n_components):
    cells = Cells.points(np.zeros((n_cells, 2)), origin=np.zeros(2))
    for n_rows in (3, 5, 6):
        blocks = cells.blocks(n_components, n_rows).columns
        assert [index for block in blocks for index in range(block.start, block.stop)] == list(range(n_cells))


@settings(max_examples=40)
@given(
    scores=st.lists(st.lists(st.floats(-1e4, 1e4), min_size=3, max_size=3), min_size=1, max_size=6),
)
def test_softmax_returns_logsumexp_and_columns_that_sum_to_one(scores):
    array = np.array(scores).T
    responsibilities = array.copy()
    log_sum = softmax(responsibilities)
    np.testing.assert_allclose(log_sum, logsumexp(array, axis=0), rtol=1e-13, atol=4e-16)  # two bits of a sum near 1
    np.testing.assert_allclose(responsibilities.sum(axis=0), 1.0, rtol=1e-14)
    np.testing.assert_allclose(responsibilities, np.exp(array - log_sum), rtol=1e-9, atol=1e-300)


@pytest.mark.parametrize("shape", [(1, 1), (1, 7), (3, 1), (5, 3), (16, 3072)])
def test_exponentials_equal_those_of_numpy(shape):
    x = np.random.default_rng(math.prod(shape)).uniform(-700, 0, shape)
    expected = np.exp(x)
    assert exp(x, x) is x
    np.testing.assert_allclose(x, expected, rtol=PRECISION)
    ends = np.array([[-np.inf, -1e300, 0.0, np.nan]])
    np.testing.assert_array_equal(exp(ends, np.empty_like(ends)), [[0.0, 0.0, 1.0, np.nan]])


def test_softmax_of_a_score_of_minus_infinity_is_zero():
    scores = np.array([[-np.inf, -np.inf], [1.0, -2.0]])
    np.testing.assert_array_equal(softmax(scores), [1.0, -2.0])
    np.testing.assert_array_equal(scores, [[0.0, 0.0], [1.0, 1.0]])


def test_softmax_does_not_overflow_or_underflow():
    scores = np.array([[1e5, -1e5], [1e5 - 1.0, -1e5 - 1.0]])
    np.testing.assert_allclose(softmax(scores), np.array([1e5, -1e5]) + math.log1p(math.exp(-1.0)), rtol=1e-15)


def test_exponentials_are_never_too_small_for_full_precision():
    scores = np.array([[0.0, 5.0, -1000.0], [-1.0, -694.9, 0.0], [-1000.0, -735.0, -740.0]])
    exponentials(scores)
    assert scores.min() > np.finfo(np.float64).tiny
    assert scores.min() == pytest.approx(math.exp(-700.0), rel=PRECISION)
    np.testing.assert_allclose(scores[:2, 0], [1.0, math.exp(-1.0)], rtol=PRECISION)
    far = np.array([[0.0], [-1000.0]])
    softmax(far)
    assert far[1, 0] == 0.0


@pytest.mark.parametrize("n_components", [1, 2, 255, 256, 257, 3000])
def test_largest_scores_equal_those_of_numpy_with_the_first_in_ties(n_components):
    scores = np.random.default_rng(n_components).integers(-3, 3, (n_components, 40)).astype(float)
    scores[:, 0] = -np.inf
    scores[:-1, 1] = -1e300
    before = scores.copy()
    largest, rows = largest_scores(scores)
    np.testing.assert_array_equal(largest, before.max(axis=0))
    np.testing.assert_array_equal(rows, before.argmax(axis=0))
    np.testing.assert_array_equal(scores, before)


def test_cells_are_centred_on_the_weighted_mean():
    rng = np.random.default_rng(7)
    X, weights = rng.normal(loc=100.0, size=(50, 3)), rng.uniform(size=50)
    cells = Cells.from_samples(X, weights)
    np.testing.assert_allclose(cells.origin, np.average(X, axis=0, weights=weights), rtol=1e-13)
    np.testing.assert_allclose(cells.offsets.T + cells.origin, X, rtol=1e-13)
    assert cells.total_weight == pytest.approx(math.fsum(weights))


def test_cells_leave_out_samples_of_weight_zero():
    rng = np.random.default_rng(8)
    X, weights, covariances = rng.normal(size=(20, 2)), rng.uniform(0.5, 1.0, 20), random_covariances(rng, 20, 2)
    weights[[0, 7, 19]] = 0.0
    kept = weights > 0
    cells = Cells.from_samples(X, weights, covariances)
    without = Cells.from_samples(X[kept], weights[kept], covariances[kept])
    for name in ("weights", "offsets", "scatter", "origin"):
        np.testing.assert_array_equal(getattr(cells, name), getattr(without, name))


def test_covariance_of_cells_equals_that_of_repeated_samples():
    rng = np.random.default_rng(9)
    X, counts = rng.normal(loc=10.0, size=(30, 3)), rng.integers(1, 6, 30)
    cells = Cells.from_samples(X, counts.astype(float))
    np.testing.assert_allclose(
        cells.covariance, np.cov(np.repeat(X, counts, axis=0), rowvar=False, bias=True), rtol=1e-12
    )


def test_covariance_of_groups_equals_that_of_their_members():
    rng = np.random.default_rng(10)
    groups = [rng.normal(loc=rng.normal(size=3), size=(rng.integers(2, 9), 3)) for _ in range(12)]
    means = np.array([group.mean(axis=0) for group in groups])
    covariances = np.array([np.cov(group, rowvar=False, bias=True) for group in groups])
    cells = Cells.from_samples(means, np.array([float(len(group)) for group in groups]), covariances)
    members = np.concatenate(groups)
    np.testing.assert_allclose(cells.origin, members.mean(axis=0), rtol=1e-12)
    np.testing.assert_allclose(cells.covariance, np.cov(members, rowvar=False, bias=True), rtol=1e-11)


def test_features_of_a_group_are_the_mean_features_of_its_members():
    rng = np.random.default_rng(11)
    members = rng.normal(loc=2.0, size=(40, 3))
    group = Cells.from_samples(
        members.mean(axis=0)[np.newaxis], np.array([40.0]), np.cov(members, rowvar=False, bias=True)[np.newaxis]
    )
    points = Cells.points(members, origin=group.origin)
    np.testing.assert_allclose(
        group.features(slice(None), phi_rows(len(group.origin), "dense"))[:, 0],
        points.features(slice(None), phi_rows(len(points.origin), "dense")).mean(axis=1),
        rtol=1e-12,
        atol=1e-14,
    )


def test_sweep_leaves_its_inputs_unchanged():
    rng = np.random.default_rng(12)
    cells = Cells.from_samples(*map(read_only, (rng.normal(size=(30, 2)), np.ones(30), random_covariances(rng, 30, 2))))
    theta = read_only(rng.normal(size=(3, phi_rows(2, "dense"))))
    before = [array.copy() for array in (cells.weights, cells.offsets, cells.scatter)]
    sweep(theta, cells)
    for array, copy in zip((cells.weights, cells.offsets, cells.scatter), before, strict=True):
        np.testing.assert_array_equal(array, copy)
