"""Optimal transport between mixtures: against matrix roots of scipy, brute force, assignments, and its laws."""

import itertools

import numpy as np
import pytest
from helpers import cells_of, draw_from, log_joint_by_scipy, random_covariances, random_mixture
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.linalg import sqrtm
from scipy.optimize import linear_sum_assignment
from scipy.special import softmax
from scipy.stats import wasserstein_distance

from gmmquant import ParameterError, SingularCovarianceError
from gmmquant.models import transport
from gmmquant.models.cells import Cells
from gmmquant.models.covariance import COVARIANCE_TYPES
from gmmquant.models.gaussian import Gaussians
from gmmquant.models.transport import gaussian_maps, optimal_plan, squared_wasserstein, transport_between

law = settings(max_examples=30)
seeds = st.integers(0, 100_000)
dimensions = st.sampled_from([1, 2, 3, 5])
KINDS = ["full", "tied", "diag", "spherical"]


def mixture(rng, n_components, d, covariance_type="full"):
    """Draw a mixture of any type."""
    weights, means, covariances = random_mixture(rng, n_components, d)
    covariance_type = COVARIANCE_TYPES[covariance_type]
    scatter = covariances if covariance_type.dense else np.diagonal(covariances, axis1=1, axis2=2)
    return Gaussians(weights, means, covariance_type.pool(scatter, weights), covariance_type)


def reordered(gaussians, order):
    return Gaussians(gaussians.weights[order], gaussians.means[order], gaussians.covariances[order])


def points(X):
    return cells_of(X)


def bures_by_roots(mean0, covariance0, mean1, covariance1):
    """Return the squared distance of two Gaussians by its textbook formula."""
    root = sqrtm(covariance0)
    cross = sqrtm(root @ covariance1 @ root).real
    return ((mean0 - mean1) ** 2).sum() + np.trace(covariance0 + covariance1 - 2 * cross)


def map_by_roots(covariance0, covariance1):
    """Return A of the map between two Gaussians by its textbook formula."""
    root = sqrtm(covariance0).real
    inverse = np.linalg.inv(root)
    return inverse @ sqrtm(root @ covariance1 @ root).real @ inverse


# Two Gaussians


@law
@given(seeds, dimensions)
def test_distances_of_gaussians_equal_those_from_roots_of_scipy(seed, d):
    rng = np.random.default_rng(seed)
    (_, means0, covariances0), (_, means1, covariances1) = random_mixture(rng, 4, d), random_mixture(rng, 3, d)
    distances = squared_wasserstein(means0, covariances0, means1, covariances1)
    for (k, one), (j, other) in itertools.product(
        enumerate(zip(means0, covariances0, strict=True)), enumerate(zip(means1, covariances1, strict=True))
    ):
        assert distances[k, j] == pytest.approx(bures_by_roots(*one, *other), rel=1e-9)


def test_on_a_line_the_distance_is_that_of_means_and_standard_deviations():
    means, deviations = np.array([[0.0], [3.0]]), np.array([1.0, 0.0])
    distances = squared_wasserstein(means, deviations.reshape(2, 1, 1) ** 2, np.array([[1.0]]), np.array([[[4.0]]]))
    np.testing.assert_allclose(distances, [[1 + 1], [4 + 4]], rtol=1e-14)


def test_gaussians_that_differ_little_keep_the_digits_of_their_distance():
    """In the textbook formula 1e-18 would be lost in the rounding of traces."""
    rng = np.random.default_rng(0)
    axes = np.linalg.qr(rng.normal(size=(3, 3)))[0]
    one = axes * np.array([1.0, 2.0, 3.0]) ** 2 @ axes.T
    other = axes * (np.array([1.0, 2.0, 3.0]) + 1e-9) ** 2 @ axes.T
    (distance,) = squared_wasserstein(np.zeros((1, 3)), one[np.newaxis], np.zeros((1, 3)), other[np.newaxis])
    assert distance == pytest.approx(3e-18, rel=1e-4)


def test_many_pairs_are_computed_by_blocks(monkeypatch):
    rng = np.random.default_rng(1)
    (_, means0, covariances0), (_, means1, covariances1) = random_mixture(rng, 11, 3), random_mixture(rng, 7, 3)
    at_once = squared_wasserstein(means0, covariances0, means1, covariances1)
    monkeypatch.setattr(transport, "_MAX_PAIR_NUMBERS", 3 * covariances1.size)
    np.testing.assert_array_equal(squared_wasserstein(means0, covariances0, means1, covariances1), at_once)


@law
@given(seeds, dimensions)
def test_maps_of_gaussians_equal_those_from_roots_of_scipy_and_map_covariances(seed, d):
    rng = np.random.default_rng(seed)
    covariances0, covariances1 = random_covariances(rng, 5, d), random_covariances(rng, 5, d, scale=7.0)
    maps = gaussian_maps(covariances0, covariances1)
    np.testing.assert_allclose(maps @ covariances0 @ maps.transpose(0, 2, 1), covariances1, rtol=1e-9, atol=1e-10)
    for computed, one, other in zip(maps, covariances0, covariances1, strict=True):
        np.testing.assert_allclose(computed, map_by_roots(one, other), rtol=1e-8, atol=1e-8)


def test_a_narrow_gaussian_is_carried_over_to_rounding():
    axes = np.linalg.qr(np.random.default_rng(2).normal(size=(3, 3)))[0]
    narrow = axes * np.array([1e-8, 1e-2, 1.0]) @ axes.T
    wide = random_covariances(np.random.default_rng(3), 1, 3)[0]
    there = gaussian_maps(narrow, wide)
    np.testing.assert_allclose(there @ narrow @ there.T, wide, rtol=1e-7)


def test_a_singular_covariance_can_be_mapped_to_but_not_from():
    flat, round_ = np.diag([1.0, 0.0]), np.eye(2)
    np.testing.assert_allclose(gaussian_maps(round_, flat), flat, atol=1e-15)
    with pytest.raises(SingularCovarianceError, match="smallest variance 0"):
        gaussian_maps(flat, round_)


# Plans


@pytest.mark.parametrize("seed", range(5))
def test_with_equal_weights_the_plan_is_an_assignment(seed):
    costs = np.random.default_rng(seed).random((30, 30))
    rows, columns = linear_sum_assignment(costs)
    expected = np.zeros((30, 30))
    expected[rows, columns] = 1 / 30
    np.testing.assert_allclose(optimal_plan(np.full(30, 1 / 30), np.full(30, 1 / 30), costs), expected, atol=1e-14)


@law
@given(st.lists(st.integers(1, 3), min_size=1, max_size=3).filter(lambda parts: sum(parts) <= 6), seeds)
def test_the_plan_of_equal_weights_costs_as_much_as_the_best_assignment(parts, seed):
    """Weights of a few equal parts: brute force over all assignments of the parts."""
    rng = np.random.default_rng(seed)
    total = sum(parts)
    cuts = np.sort(rng.integers(0, total + 1, rng.integers(0, 3)))
    others = np.diff([0, *cuts, total])  # may hold zeros
    costs = rng.random((len(parts), len(others)))
    sources, targets = np.repeat(np.arange(len(parts)), parts), np.repeat(np.arange(len(others)), others)
    cheapest = min(costs[sources, list(order)].sum() for order in itertools.permutations(targets)) / total
    plan = optimal_plan(np.array(parts) / total, others / total, costs)
    assert (plan * costs).sum() == pytest.approx(cheapest, rel=1e-9)


@law
@given(seeds, st.integers(1, 12), st.integers(1, 12), st.sampled_from([1e-20, 1e-9, 1.0, 1e20]))
def test_on_a_line_the_plan_has_the_cost_of_matched_quantiles(seed, K0, K1, unit):
    rng = np.random.default_rng(seed)
    x, y, weights0, weights1 = rng.normal(size=K0), rng.normal(size=K1), *map(rng.dirichlet, (np.ones(K0), np.ones(K1)))
    costs = np.abs(x[:, np.newaxis] - y)
    expected = wasserstein_distance(x, y, weights0, weights1)
    assert (optimal_plan(weights0, weights1, unit * costs) * costs).sum() == pytest.approx(expected, rel=1e-9)


@settings(max_examples=60)
@given(seeds, st.integers(1, 30), st.integers(1, 30), st.sampled_from([0, 4, 9, 15]), st.booleans())
def test_a_plan_sums_to_the_weights_however_small_or_absent_they_are(seed, K0, K1, decades, ties):
    rng = np.random.default_rng(seed)

    def weights_of(K):
        weights = rng.dirichlet(np.ones(K)) * 10.0 ** -(decades * rng.random(K))
        weights[rng.random(K) < 0.3] = 0.0
        weights[rng.integers(K)] = 1.0
        return weights / weights.sum() * (1 + 1e-13 * rng.normal())

    weights0, weights1 = weights_of(K0), weights_of(K1)
    costs = rng.integers(0, 3, (K0, K1)) if ties else rng.random((K0, K1)) * 10.0 ** rng.integers(-9, 9)
    plan = optimal_plan(weights0, weights1, costs)
    np.testing.assert_allclose(plan.sum(axis=1), weights0, atol=1e-12)
    np.testing.assert_allclose(plan.sum(axis=0), weights1, atol=1e-12)
    assert plan.min() >= 0
    assert np.count_nonzero(plan) <= np.count_nonzero(weights0) + np.count_nonzero(weights1) - 1
    assert not plan[weights0 == 0].any()
    assert not plan[:, weights1 == 0].any()
    np.testing.assert_array_equal(plan, optimal_plan(weights0, weights1, costs))


@pytest.mark.parametrize("seed", [21, 34])
def test_the_rounding_of_weights_over_many_decades_leaves_a_plan(seed):
    """If the omitted sum were that of a tiny weight, not of the largest, there would be no plan."""
    rng = np.random.default_rng(seed)
    weights0, weights1 = 10.0 ** -(16 * rng.random(19)), 10.0 ** -(16 * rng.random(24))
    weights0, weights1 = weights0 / weights0.sum(), weights1 / weights1.sum()
    plan = optimal_plan(weights0, weights1, rng.random((19, 24)))
    np.testing.assert_allclose(plan.sum(axis=1), weights0, atol=1e-12)
    np.testing.assert_allclose(plan.sum(axis=0), weights1, atol=1e-12)


def test_weights_are_scaled_to_sum_to_1():
    plan = optimal_plan(np.array([0.25, 0.75 + 5e-7]), np.array([0.5, 0.5 - 5e-7]), np.ones((2, 2)))
    assert plan.sum() == pytest.approx(1.0, abs=1e-14)


@pytest.mark.parametrize(
    ("weights0", "weights1", "costs", "reason"),
    [
        ([0.5, 0.6], [1.0], np.ones((2, 1)), "weights0 sums to 1.1"),
        ([1.0], [1.5, -0.5], np.ones((1, 2)), "weights1 sums to 1; use weights of at least 0"),
        ([1.0], [np.nan], np.ones((1, 1)), "weights1 contains NaN"),
        ([], [1.0], np.ones((0, 1)), "weights0 sums to 0"),
        ([1.0], [1.0], np.full((1, 1), np.inf), "costs contains NaN or infinite"),
        ([1.0], [1.0], np.ones((1, 2)), "costs has shape"),
    ],
)
def test_bad_weights_or_costs_of_a_plan_are_refused(weights0, weights1, costs, reason):
    with pytest.raises(ParameterError, match=reason):
        optimal_plan(np.array(weights0), np.array(weights1), costs)


# Two mixtures


@pytest.mark.parametrize("d", [1, 3])
def test_of_two_gaussians_the_map_is_affine_and_carries_mean_and_covariance(d):
    rng = np.random.default_rng(d)
    one, other = mixture(rng, 1, d), mixture(rng, 1, d)
    found = transport_between(one, other)
    X = rng.normal(scale=3.0, size=(500, d))
    A = map_by_roots(one.covariances[0], other.covariances[0]).reshape(d, d)
    np.testing.assert_allclose(found.map(points(X)), other.means[0] + (X - one.means[0]) @ A.T, rtol=1e-9, atol=1e-9)
    squared = bures_by_roots(one.means[0], one.covariances[0], other.means[0], other.covariances[0])
    assert found.distance == pytest.approx(np.sqrt(squared), rel=1e-10)
    whitened = np.linalg.solve(np.linalg.cholesky(np.cov(X.T, bias=True).reshape(d, d)), (X - X.mean(axis=0)).T).T
    Y = found.map(points(one.means[0] + whitened @ np.linalg.cholesky(one.covariances[0]).T))
    np.testing.assert_allclose(Y.mean(axis=0), other.means[0], atol=1e-12)
    np.testing.assert_allclose(np.cov(Y.T, bias=True).reshape(d, d), other.covariances[0], rtol=1e-9, atol=1e-10)


@pytest.mark.parametrize("covariance_type", KINDS)
@pytest.mark.parametrize(("K0", "K1", "d"), [(4, 3, 3), (2, 7, 1), (6, 6, 2), (3, 1, 5)])
def test_the_map_is_the_mean_over_components_and_where_they_go(covariance_type, K0, K1, d):
    rng = np.random.default_rng(K0)
    one, other = mixture(rng, K0, d, covariance_type), mixture(rng, K1, d)
    found = transport_between(one, other)
    X = rng.normal(scale=3.0, size=(300, d))
    joint = log_joint_by_scipy(X, one.weights, one.means, one.full_covariances())
    expected = np.zeros((300, d))
    for k, j in itertools.product(range(K0), range(K1)):
        A = map_by_roots(one.full_covariances()[k], other.covariances[j]).reshape(d, d)
        shares = softmax(joint, axis=1)[:, k] * found.plan[k, j] / one.weights[k]
        expected += shares[:, np.newaxis] * (other.means[j] + (X - one.means[k]) @ A.T)
    np.testing.assert_allclose(found.map(points(X)), expected, rtol=1e-8, atol=1e-8)


def test_cells_in_blocks_are_mapped_as_single_ones(levels):
    """In blocks of neighbours only near components are evaluated."""
    rng = np.random.default_rng(5)
    narrow = Gaussians(np.full(40, 1 / 40), rng.random((40, 3)), random_covariances(rng, 40, 3, scale=1e-4))
    found = transport_between(narrow, mixture(rng, 5, 3))
    cells = levels[-1]
    some = rng.choice(cells.weights.size, 50, replace=False)
    X = cells.positions()[some]
    alone = np.concatenate([found.map(Cells.points(x[np.newaxis], np.full(3, 0.5))) for x in X])
    np.testing.assert_allclose(found.map(cells)[some], alone, rtol=1e-7, atol=1e-7)


@pytest.mark.parametrize("covariance_type", KINDS)
def test_a_mixture_is_0_from_itself_and_stays_where_it_is(covariance_type):
    rng = np.random.default_rng(6)
    one = mixture(rng, 20, 3, covariance_type)
    found = transport_between(one, one)
    assert found.distance < 1e-12
    X = 1000 + rng.normal(scale=3.0, size=(500, 3))
    moved = Gaussians(one.weights, one.means + 1000, one.covariances, one.covariance_type)
    np.testing.assert_allclose(transport_between(moved, moved).map(points(X)), X, atol=1e-9)


@law
@given(seeds, dimensions)
def test_a_shifted_mixture_is_at_the_distance_of_the_shift(seed, d):
    rng = np.random.default_rng(seed)
    one, way = mixture(rng, 4, d), rng.normal(scale=4.0, size=d)
    found = transport_between(one, Gaussians(one.weights, one.means + way, one.covariances))
    assert found.distance == pytest.approx(np.linalg.norm(way), rel=1e-9)


@law
@given(seeds, dimensions)
def test_distances_satisfy_the_axioms_of_a_metric(seed, d):
    rng = np.random.default_rng(seed)
    one, two, three = (mixture(rng, int(rng.integers(1, 6)), d) for _ in range(3))

    def distance(a, b):
        return transport_between(a, b).distance

    assert distance(one, two) == pytest.approx(distance(two, one), rel=1e-9)
    assert distance(one, three) <= distance(one, two) + distance(two, three) + 1e-9
    means = one.weights @ one.means, two.weights @ two.means
    assert distance(one, two) >= np.linalg.norm(means[0] - means[1]) - 1e-9
    twice = Gaussians(np.repeat(one.weights / 2, 2), np.repeat(one.means, 2, axis=0), one.covariances.repeat(2, axis=0))
    assert distance(twice, two) == pytest.approx(distance(one, two), rel=1e-9)


def test_the_order_of_components_does_not_matter():
    rng = np.random.default_rng(7)
    one, other = mixture(rng, 8, 3), mixture(rng, 5, 3)
    X = rng.normal(scale=3.0, size=(200, 3))
    order0, order1 = rng.permutation(8), rng.permutation(5)
    found = transport_between(one, other)
    shuffled = transport_between(reordered(one, order0), reordered(other, order1))
    assert shuffled.distance == pytest.approx(found.distance, rel=1e-12)
    np.testing.assert_allclose(shuffled.plan, found.plan[order0][:, order1], atol=1e-13)
    np.testing.assert_allclose(shuffled.map(points(X)), found.map(points(X)), rtol=1e-9, atol=1e-9)


def test_samples_of_separate_components_become_samples_of_the_other_mixture():
    rng = np.random.default_rng(8)
    far, order = 40.0 * np.eye(3), np.array([1, 0, 2])
    one = Gaussians(np.array([0.5, 0.3, 0.2]), far, random_covariances(rng, 3, 3))
    other = Gaussians(one.weights[order], 20 + far[order], random_covariances(rng, 3, 3, scale=4.0))
    X = draw_from(rng, (one.weights, one.means, one.covariances), 40_000)
    Y = transport_between(one, other).map(points(X))
    nearest = ((Y[:, np.newaxis] - other.means) ** 2).sum(axis=2).argmin(axis=1)
    for j in range(3):
        part = Y[nearest == j]
        assert len(part) / len(Y) == pytest.approx(other.weights[j], abs=0.01)
        np.testing.assert_allclose(part.mean(axis=0), other.means[j], atol=0.1)
        np.testing.assert_allclose(np.cov(part.T), other.covariances[j], atol=0.3)


def test_the_mean_is_mapped_to_the_mean_also_of_overlapping_components():
    rng = np.random.default_rng(9)
    one, other = mixture(rng, 5, 2), mixture(rng, 3, 2)
    X = draw_from(rng, (one.weights, one.means, one.covariances), 200_000)
    np.testing.assert_allclose(
        transport_between(one, other).map(points(X)).mean(axis=0), other.weights @ other.means, atol=0.02
    )


def test_vanished_components_have_no_effect():
    rng = np.random.default_rng(10)
    one, other = mixture(rng, 4, 3), mixture(rng, 3, 3)

    def with_one_more(gaussians):
        return Gaussians(
            np.append(gaussians.weights, 0.0),
            np.vstack([gaussians.means, [[0.0, 0.0, 0.0]]]),
            np.concatenate([gaussians.covariances, random_covariances(rng, 1, 3)]),
        )

    X = rng.normal(scale=3.0, size=(200, 3))
    found, more = transport_between(one, other), transport_between(with_one_more(one), with_one_more(other))
    assert more.distance == pytest.approx(found.distance, rel=1e-12)
    np.testing.assert_allclose(more.plan[:-1, :-1], found.plan, atol=1e-14)
    assert not more.plan[-1].any()
    assert not more.plan[:, -1].any()
    np.testing.assert_allclose(more.map(points(X)), found.map(points(X)), rtol=1e-12, atol=1e-12)


def test_a_component_too_light_for_the_plan_is_mapped_to_the_nearest_component():
    narrow = np.full((3, 1, 1), 1e-4)
    one = Gaussians(np.array([1.0, 1e-18]), np.array([[0.0], [10.0]]), narrow[:2])
    other = Gaussians(np.array([0.5, 0.5, 0.0]), np.array([[1.0], [9.0], [10.0]]), narrow)
    moved = transport_between(one, other).map(points(np.array([[0.0], [10.0]])))
    np.testing.assert_allclose(moved, [[5.0], [9.0]], rtol=1e-9)


def test_mixtures_of_other_dimensions_and_too_many_components_are_refused(monkeypatch):
    rng = np.random.default_rng(11)
    one, other = mixture(rng, 2, 3), mixture(rng, 2, 2)
    with pytest.raises(ParameterError, match="3 and 2 features"):
        transport_between(one, other)
    with pytest.raises(ParameterError, match="2 features, the mixtures 3"):
        transport_between(one, one).map(points(rng.normal(size=(5, 2))))
    monkeypatch.setattr(transport, "MAX_PAIRS", 3)
    monkeypatch.setattr(transport, "squared_wasserstein", None)  # refused before any work
    with pytest.raises(
        ParameterError, match=r"2 x 2 components are 4 pairs, above the limit of 3 .*; use mixtures with fewer"
    ):
        transport_between(one, one)
    monkeypatch.undo()
    monkeypatch.setattr(transport, "MAX_PAIRS", 4)
    transport_between(one, one)
    collapsed = Gaussians(np.ones(1), np.zeros((1, 2)), np.zeros((1, 2, 2)))
    with pytest.raises(SingularCovarianceError, match="smallest variance"):
        transport_between(collapsed, other)
