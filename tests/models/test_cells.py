"""Merged cells against plain loops; blocks, which leave components out, against the full computation."""

import math

import numpy as np
import pytest
from helpers import em_step, log_joint_by_scipy, random_covariances, read_sample
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.special import logsumexp

from gmmquant import ColorHistogram, GaussianMixture
from gmmquant.colors.morton import encode
from gmmquant.models import cells as cells_module
from gmmquant.models.cells import Blocks, Cells, phi_rows
from gmmquant.models.covariance import COVARIANCE_TYPES, DIAG, FULL
from gmmquant.models.gaussian import Gaussians, log_joint, natural_parameters
from gmmquant.models.inference import evaluate
from gmmquant.models.kmeans import center_scores, cluster_moments
from gmmquant.models.sweep import MARGIN, most_probable, sweep

law = settings(max_examples=60)


def in_order(X):
    """Return samples (n, 3) in the order of the Morton codes of their positions in their bounding box."""
    low, high = X.min(axis=0), X.max(axis=0)
    return X[np.argsort(encode(((X - low) / (high - low) * 65535).astype(np.uint16)))]


def random_cells(rng, n, d=3, *, scattered, scale=1.0):
    """Draw clustered cells, those of dimension 3 in the order of colours."""
    X = rng.normal(scale=scale, size=(5, d))[rng.integers(0, 5, n)] + 0.2 * scale * rng.normal(size=(n, d))
    X = in_order(X) if d == 3 else X[np.lexsort(X.T)]
    inside = random_covariances(rng, n, d, (0.05 * scale) ** 2) if scattered else None
    return Cells.from_samples(X + 5.0, rng.uniform(0.2, 5.0, n), inside)


def random_gaussians(rng, n_components, cells, covariance_type=FULL):
    """Draw Gaussians about some of the cells, narrow ones and wide ones."""
    d = len(cells.origin)
    means = cells.positions()[rng.integers(0, cells.weights.size, n_components)]
    widths = np.exp(rng.uniform(math.log(0.02), math.log(2.0), n_components)) ** 2
    covariances = random_covariances(rng, n_components, d) * widths[:, np.newaxis, np.newaxis]
    if not covariance_type.dense:
        covariances = np.diagonal(covariances, axis1=1, axis2=2).copy()
    return Gaussians(rng.dirichlet(np.full(n_components, 0.5)), means, covariances, covariance_type)


def random_theta(rng, order, n_components, cells):
    """Draw coefficients of concave scores: of centers, or of Gaussians."""
    if order == "none":
        return center_scores(cells.positions()[rng.integers(0, cells.weights.size, n_components)], cells.origin)
    covariance_type = FULL if order == "dense" else DIAG
    return natural_parameters(random_gaussians(rng, n_components, cells, covariance_type), cells.origin)


each_order = pytest.mark.parametrize("order", ["none", "diagonal", "dense"])
with_or_without_scatter = pytest.mark.parametrize("scattered", [False, True], ids=["points", "groups"])


# Merging


def merged_by_loops(cells, starts):
    """Merge runs of cells one by one: weights, means and matrices of covariance."""
    d = len(cells.origin)
    rows, columns = np.triu_indices(d)
    ends = [*starts[1:], cells.weights.size]
    weights, means, matrices = [], [], []
    for start, end in zip(starts, ends, strict=True):
        weight = sum(float(cells.weights[i]) for i in range(start, end))
        mean = sum(cells.weights[i] * cells.offsets[:, i] for i in range(start, end)) / weight
        matrix = np.zeros((d, d))
        for i in range(start, end):
            inside = np.zeros((d, d))
            if cells.scatter is not None:
                inside[rows, columns] = inside[columns, rows] = cells.scatter[:, i]
            deviation = cells.offsets[:, i] - mean
            matrix += cells.weights[i] * (inside + np.outer(deviation, deviation)) / weight
        weights.append(weight)
        means.append(mean)
        matrices.append(matrix[rows, columns])
    return np.array(weights), np.array(means).T, np.array(matrices).T


@with_or_without_scatter
@pytest.mark.parametrize("d", [1, 2, 3, 5])
@pytest.mark.parametrize("n_runs", [1, 7, 40, 100])
def test_merged_cells_equal_those_of_plain_loops(n_runs, d, scattered):
    rng = np.random.default_rng(d)
    cells = random_cells(rng, 100, d, scattered=scattered)
    starts = np.array([0, *sorted(rng.choice(np.arange(1, 100), n_runs - 1, replace=False))])
    merged = cells.merged(starts)
    weights, means, scatter = merged_by_loops(cells, starts)
    np.testing.assert_allclose(merged.weights, weights, rtol=1e-13)
    np.testing.assert_allclose(merged.offsets, means, rtol=1e-11, atol=1e-13)
    np.testing.assert_allclose(merged.scatter, scatter, rtol=1e-11, atol=1e-13)
    np.testing.assert_array_equal(merged.origin, cells.origin)


@with_or_without_scatter
def test_cells_merged_in_several_rounds_equal_those_of_plain_loops(scattered):
    rng = np.random.default_rng(1)
    n_runs = 2 * cells_module._RUNS_AT_A_TIME + 3
    cells = random_cells(rng, 6000, scattered=scattered)
    starts = np.array([0, *sorted(rng.choice(np.arange(1, 6000), n_runs - 1, replace=False))])
    merged = cells.merged(starts)
    for expected, actual in zip(
        merged_by_loops(cells, starts), (merged.weights, merged.offsets, merged.scatter), strict=True
    ):
        np.testing.assert_allclose(actual, expected, rtol=1e-11, atol=1e-13)


@with_or_without_scatter
def test_merging_twice_equals_merging_once_and_keeps_weight_mean_and_covariance(scattered):
    rng = np.random.default_rng(2)
    cells = random_cells(rng, 500, scattered=scattered)
    first, second = np.arange(0, 500, 4), np.arange(0, 125, 5)
    twice, once = cells.merged(first).merged(second), cells.merged(first[second])
    for name in ("weights", "offsets", "scatter"):
        np.testing.assert_allclose(getattr(twice, name), getattr(once, name), rtol=1e-10, atol=1e-13)
    assert once.total_weight == pytest.approx(cells.total_weight, rel=1e-13)
    np.testing.assert_allclose(once.covariance, cells.covariance, rtol=1e-11)


@law
@given(st.integers(0, 10_000), st.booleans(), st.sampled_from([0.0, 0.01]))
def test_finer_cells_never_have_a_lower_objective_at_the_same_parameters(seed, scattered, variance):
    rng = np.random.default_rng(seed)
    cells = random_cells(rng, 300, scattered=scattered)
    gaussians = random_gaussians(rng, 5, cells, COVARIANCE_TYPES[["full", "diag"][seed % 2]])
    middle = np.unique([0, *rng.integers(0, 300, 80)])
    levels = [cells.merged(middle).merged(np.arange(0, middle.size, 6)), cells.merged(middle), cells]
    objectives = [em_step(level, gaussians, variance)[1] for level in levels]
    assert np.diff(objectives).min() >= -1e-12 * abs(objectives[0])


# Components that a block leaves out


@law
@given(
    seed=st.integers(0, 100_000),
    order=st.sampled_from(["none", "diagonal", "dense"]),
    scattered=st.booleans(),
    width=st.sampled_from([1, 7, 32]),
    margin=st.sampled_from([0.0, 2.0, 37.0]),
    d=st.sampled_from([1, 3, 4]),
)
def test_every_component_within_the_margin_of_a_cell_is_near_its_block(seed, order, scattered, width, margin, d):
    rng = np.random.default_rng(seed)
    cells = random_cells(rng, 200, d, scattered=scattered, scale=rng.choice([0.1, 1.0, 10.0]))
    n_rows = phi_rows(d, order)
    theta = random_theta(rng, order, 12, cells)
    assert theta.shape == (12, n_rows)
    blocks = Blocks.cut(cells, width, n_rows)
    for columns, near in zip(blocks.columns, blocks.near(theta, margin), strict=True):
        scores = theta @ cells.features(columns, n_rows)
        below = scores.max(axis=0) - scores
        rounding = 1e-10 * (1 + np.abs(theta) @ np.abs(cells.features(columns, n_rows))).max()
        out = np.setdiff1d(np.arange(12), np.arange(12)[near])
        assert out.size < 12
        assert (below[out] > margin - rounding).all()


@each_order
def test_near_components_do_not_depend_on_the_number_of_blocks_bounded_at_a_time(order, monkeypatch):
    rng = np.random.default_rng(6)
    cells = random_cells(rng, 1000, scattered=True)
    blocks = Blocks.cut(cells, 10, phi_rows(3, order))
    theta = random_theta(rng, order, 30, cells)
    at_once = list(blocks.near(theta, 5.0))
    assert len(at_once) == len(blocks.columns)
    assert any(near.size < 30 for near in at_once)
    monkeypatch.setattr(cells_module, "_BLOCKS_AT_A_TIME", 7)
    for one, other in zip(at_once, blocks.near(theta, 5.0), strict=True):
        np.testing.assert_array_equal(one, other)


@each_order
def test_every_component_within_the_margin_of_a_point_in_the_box_is_near_the_block(order):
    rng = np.random.default_rng(3)
    cells = random_cells(rng, 2000, scattered=False)
    n_rows = phi_rows(3, order)
    theta = random_theta(rng, order, 30, cells)
    blocks, n_out = Blocks.cut(cells, 100, n_rows), 0
    for columns, near in zip(blocks.columns, blocks.near(theta, 5.0), strict=True):
        low, high = cells.offsets[:, columns].min(axis=1), cells.offsets[:, columns].max(axis=1)
        corners = np.stack(np.meshgrid(*zip(low, high, strict=True)), axis=-1).reshape(-1, 3)
        box = np.concatenate([corners, rng.uniform(low, high, (500, 3))])
        scores = theta @ Cells.points(box, origin=np.zeros(3)).features(slice(None), n_rows)
        out = np.setdiff1d(np.arange(30), near)
        assert (scores.max(axis=0) - scores[out] > 5.0 - 1e-8).all()
        n_out += out.size
    assert n_out > 100


def test_most_components_are_left_out_of_most_blocks_of_a_photograph():
    cells = ColorHistogram.from_pixels(read_sample("cat.jpg").reshape(-1, 3)).cells()
    rng = np.random.default_rng(4)
    gaussians = Gaussians(
        np.full(200, 1 / 200),
        cells.positions()[rng.integers(0, cells.weights.size, 200)],
        np.tile(0.01**2 * np.eye(3), (200, 1, 1)),
    )
    theta = natural_parameters(gaussians, cells.origin)
    blocks = cells.blocks(*theta.shape)
    kept = sum(near.size for near in blocks.near(theta, MARGIN))
    assert kept < 0.4 * 200 * len(blocks.columns)


@pytest.fixture(scope="module")
def photograph():
    return ColorHistogram.from_pixels(read_sample("cat.jpg")[::2, ::2].reshape(-1, 3))


@each_order
@with_or_without_scatter
@pytest.mark.parametrize("n_components", [2, 20, 64, 256])
def test_sweep_over_a_photograph_is_the_full_computation(photograph, n_components, scattered, order):
    rng = np.random.default_rng(n_components)
    cells = photograph.cells()
    if scattered:
        cells = cells.merged(np.arange(0, photograph.n_colors, 2))
    if order == "none":
        theta = random_theta(rng, order, n_components, cells)
    else:
        covariances = random_covariances(rng, n_components, 3)
        covariances *= np.exp(rng.uniform(-8, -2, (n_components, 1, 1)))
        covariance_type = FULL if order == "dense" else DIAG
        covariances = covariances if covariance_type.dense else np.diagonal(covariances, axis1=1, axis2=2).copy()
        means = cells.positions()[rng.integers(0, cells.weights.size, n_components)]
        gaussians = Gaussians(rng.dirichlet(np.ones(n_components)), means, covariances, covariance_type)
        theta = natural_parameters(gaussians, cells.origin)
    blocks = cells.blocks(*theta.shape)
    if n_components >= (64 if scattered else 20) and order != "none":
        assert sum(near.size for near in blocks.near(theta, MARGIN)) < n_components * len(blocks.columns)
    moments, objective = sweep(theta, cells)
    phi = cells.features(slice(None), theta.shape[1])
    scores = theta @ phi
    value = logsumexp(scores, axis=0)
    scale = (np.abs(phi) * cells.weights).sum(axis=1)
    soft = (np.exp(scores - value) * cells.weights) @ phi.T
    np.testing.assert_allclose(moments / scale, soft / scale, rtol=0, atol=1e-12)
    assert objective == pytest.approx(np.average(value, weights=cells.weights), rel=1e-12)
    labels = most_probable(theta, cells)
    np.testing.assert_array_equal(labels, scores.argmax(axis=0))
    hard = (np.equal(labels, np.arange(n_components)[:, np.newaxis]) * cells.weights) @ phi.T
    clusters = cluster_moments(cells, labels, n_components, theta.shape[1])
    np.testing.assert_allclose(clusters / scale, hard / scale, rtol=0, atol=1e-12)


def test_few_centers_are_near_a_block_of_a_photograph():
    cells = ColorHistogram.from_pixels(read_sample("cat.jpg").reshape(-1, 3)).cells()
    theta = center_scores(cells.positions()[:: cells.weights.size // 200], cells.origin)
    blocks = cells.label_blocks(*theta.shape)
    assert sum(near.size for near in blocks.near(theta, 0.0)) < 0.4 * len(theta) * len(blocks.columns)


@with_or_without_scatter
def test_kept_features_equal_recomputed_ones(monkeypatch, scattered):
    cells = random_cells(np.random.default_rng(5), 500, scattered=scattered)
    kept = {
        (order, s): cells.features(slice(s, s + 90), phi_rows(3, order))
        for order in ("none", "diagonal", "dense")
        for s in (0, 100)
    }
    monkeypatch.setattr(cells_module, "_MAX_KEPT_FEATURES", 10)
    for (order, start), features in kept.items():
        np.testing.assert_array_equal(cells.features(slice(start, start + 90), phi_rows(3, order)), features)


# Computations on blocks


@pytest.mark.parametrize("covariance_type", ["full", "tied", "diag", "spherical"])
def test_evaluation_of_many_blocks_equals_that_of_scipy(covariance_type):
    rng = np.random.default_rng(6)
    X = in_order(np.concatenate([rng.normal(size=(1500, 3)), 0.01 * rng.normal(size=(1500, 3)) + 0.5]))
    weights = rng.integers(1, 20, len(X)).astype(float)
    K, d = 140, 3
    means = X[rng.integers(0, len(X), K)]
    widths = np.where(np.arange(K) % 3 > 0, 0.01, 1.5) ** 2
    made = COVARIANCE_TYPES[covariance_type]
    proportions = rng.dirichlet(np.ones(K))
    matrices = random_covariances(rng, K, d) * widths[:, np.newaxis, np.newaxis]
    covariances = made.pool(matrices if made.dense else np.diagonal(matrices, axis1=1, axis2=2), proportions)
    gaussians = Gaussians(proportions, means, covariances, made)
    cells = Cells.from_samples(X, weights)
    blocks = list(log_joint(gaussians, cells, MARGIN))
    assert len(blocks) > 8
    if covariance_type != "tied":
        assert min(components.size for _, components, _ in blocks) < K
    joint = log_joint_by_scipy(X, proportions, means, gaussians.full_covariances())
    log_density = logsumexp(joint, axis=1)
    entropy = weights @ (np.exp(joint - log_density[:, np.newaxis]) * (log_density[:, np.newaxis] - joint)).sum(axis=1)
    evaluation = evaluate(cells, gaussians)
    assert evaluation.log_likelihood == pytest.approx(weights @ log_density, rel=1e-9)
    assert evaluation.entropy == pytest.approx(entropy, rel=1e-9)


@pytest.mark.parametrize("covariance_type", ["full", "tied", "diag", "spherical"])
def test_the_order_of_samples_does_not_change_the_mixture(covariance_type):
    rng = np.random.default_rng(7)
    places = rng.uniform(0, 10, size=(40, 3))
    X = in_order(places[rng.integers(0, 40, 6000)] + 0.3 * rng.normal(size=(6000, 3)))
    order = rng.permutation(len(X))
    shapes = {"full": np.eye(3), "tied": np.eye(3), "diag": np.ones(3), "spherical": np.array(1.0)}
    precisions = (
        shapes[covariance_type] / 0.3**2
        if covariance_type == "tied"
        else np.array([shapes[covariance_type] / 0.3**2] * 40)
    )
    options = {"covariance_type": covariance_type, "means_init": places, "max_iter": 10, "tol": 0.0}
    options |= {"weights_init": np.full(40, 1 / 40), "precisions_init": precisions}
    with pytest.warns(match="converge"):
        sorted_fit = GaussianMixture(40, **options).fit(X)
    with pytest.warns(match="converge"):
        shuffled_fit = GaussianMixture(40, **options).fit(X[order])
    assert shuffled_fit.lower_bound_ == pytest.approx(sorted_fit.lower_bound_, abs=1e-8)
    for name in ("weights_", "means_", "covariances_"):
        np.testing.assert_allclose(getattr(shuffled_fit, name), getattr(sorted_fit, name), rtol=0, atol=1e-8)
    np.testing.assert_array_equal(shuffled_fit.predict(X), sorted_fit.predict(X))
