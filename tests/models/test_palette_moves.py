"""KMeans with many clusters: merges against plain loops, moves judged one by one, long steps, and their laws."""

import numpy as np
import pytest
from helpers import cells_of, read_sample

from gmmquant import Settings
from gmmquant.colors.histogram import ColorHistogram
from gmmquant.models import budget
from gmmquant.models.codebook import refine
from gmmquant.models.kmeans import inertia, kmeans_plus_plus
from gmmquant.models.palette_kmeans import fit_codebook
from gmmquant.models.palette_moves import move_centers
from gmmquant.models.palette_starts import costs_of_merges, merge_clusters, merged_splits, principal_splits
from gmmquant.quantization.fitter import Fitter

MANY = budget.MANY_CLUSTERS


def error_of(cells, centers):
    return refine(cells, centers, tol=0.0, max_iter=0).trace[-1]


def clustered(n_clusters, seed=0):
    """Return samples (n, 3), their labels, and the weights and means of the clusters."""
    rng = np.random.default_rng(seed)
    X = rng.normal(size=(40 * n_clusters, 3))
    labels = np.concatenate([np.arange(n_clusters), rng.integers(n_clusters, size=39 * n_clusters)])
    weights = np.bincount(labels).astype(float)
    return X, labels, weights, np.array([X[labels == k].mean(axis=0) for k in range(n_clusters)])


def test_the_cost_of_a_merge_is_the_rise_of_the_squared_error():
    X, labels, weights, means = clustered(6)
    costs = costs_of_merges(weights, means)
    assert np.isinf(np.diagonal(costs)).all()
    for one, other in [(0, 1), (4, 2), (5, 3)]:
        both = np.isin(labels, [one, other])
        rise = ((X[both] - X[both].mean(axis=0)) ** 2).sum() - ((X[both] - means[labels[both]]) ** 2).sum()
        assert costs[one, other] == pytest.approx(rise, rel=1e-9)
        assert costs[other, one] == pytest.approx(rise, rel=1e-9)


@pytest.mark.parametrize("seed", range(5))
def test_merges_are_those_of_a_plain_loop_that_takes_the_cheapest_of_all_pairs(seed):
    rng = np.random.default_rng(seed)
    weights, means = rng.uniform(0.5, 20.0, 30), rng.normal(size=(30, 3))
    clusters = list(zip(weights.tolist(), means, strict=True))
    while len(clusters) > 7:
        pairs = [(i, j) for i in range(len(clusters)) for j in range(i)]
        cost = [
            v * w / (v + w) * ((m - n) ** 2).sum() for (v, m), (w, n) in ((clusters[i], clusters[j]) for i, j in pairs)
        ]
        i, j = pairs[int(np.argmin(cost))]
        (v, m), (w, n) = clusters[i], clusters[j]
        clusters = [c for k, c in enumerate(clusters) if k not in (i, j)] + [(v + w, (v * m + w * n) / (v + w))]
    merged = merge_clusters(weights, means, 7)
    np.testing.assert_allclose(sorted(merged.tolist()), sorted(m.tolist() for _, m in clusters), rtol=1e-9)


def test_merged_splits_are_better_than_as_many_splits_and_never_more_than_the_cells(levels):
    cells = levels[1]
    centers = merged_splits(cells, 100)
    assert centers.shape == (100, 3)
    assert error_of(cells, centers) < error_of(cells, principal_splits(cells, 100))
    few = cells_of(np.arange(15.0).reshape(5, 3))
    np.testing.assert_allclose(sorted(merged_splits(few, 8).tolist()), few.positions().tolist(), atol=1e-12)


def test_a_superfluous_center_moves_to_the_cluster_without_one_and_no_other_leaves_its_cluster():
    rng = np.random.default_rng(2)
    places = 100.0 * np.stack(np.meshgrid(*[np.arange(3)] * 3), axis=-1).reshape(-1, 3)
    cells = cells_of(np.repeat(places, 50, axis=0) + rng.normal(size=(1350, 3)))
    without = places.copy()
    without[26] = [1.0, 0.0, 0.0]  # the second center of the first cluster
    without[25] = places[25:].mean(axis=0)  # the only one of two
    found = move_centers(cells, without, rng, 3)
    distances = np.sqrt(((found[:, np.newaxis] - places) ** 2).sum(axis=2))
    assert sorted(distances.argmin(axis=1)) == list(range(27))
    assert distances.min(axis=1).max() < 1


@pytest.mark.parametrize("k", [2, 7, 64, 200])
def test_rounds_of_moves_never_raise_the_error(levels, k):
    cells = levels[1]
    start = kmeans_plus_plus(cells, k, np.random.default_rng(3))
    found = [move_centers(cells, start, np.random.default_rng(4), n_rounds) for n_rounds in (0, 1, 2, 4, 8)]
    errors = [error_of(cells, centers) for centers in (start, *found)]
    assert np.diff(errors).max() <= 0
    assert k < 64 or errors[-1] < 0.99 * errors[1]


def test_moves_do_better_than_as_many_iterations_of_lloyd(levels):
    cells = levels[1]
    start = kmeans_plus_plus(cells, 100, np.random.default_rng(5))
    moved = move_centers(cells, start, np.random.default_rng(6), 4)
    assert error_of(cells, moved) < 0.99 * refine(cells, start, tol=0.0, max_iter=18).trace[-1]


def test_fixed_centers_stay_through_moves(levels):
    start = kmeans_plus_plus(levels[1], 80, np.random.default_rng(7))
    found = move_centers(levels[1], start, np.random.default_rng(8), 5, n_fixed=9)
    np.testing.assert_array_equal(found[:9], start[:9])
    assert inertia(levels[1], found) < inertia(levels[1], start)


def test_a_fixed_center_stays_although_its_cluster_is_split():
    rng = np.random.default_rng(2)
    places = 100.0 * np.stack(np.meshgrid(*[np.arange(3)] * 3), axis=-1).reshape(-1, 3)
    cells = cells_of(np.repeat(places, 50, axis=0) + rng.normal(size=(1350, 3)))
    fixed = places[25:].mean(axis=0)  # the only center of two clusters
    start = np.concatenate([[fixed], places[:25], [[1.0, 0.0, 0.0]]])
    found = move_centers(cells, start, rng, 3, n_fixed=1)
    np.testing.assert_array_equal(found[0], fixed)
    assert inertia(cells, found) < 0.9 * inertia(cells, start)


def test_moves_leave_centers_on_all_of_few_distinct_cells():
    X = np.random.default_rng(9).integers(0, 9, (80, 3)).astype(float)
    cells = cells_of(np.unique(X, axis=0))
    centers = move_centers(cells, cells.positions(), np.random.default_rng(0), 5)
    np.testing.assert_allclose(centers, cells.positions(), atol=1e-12)


@pytest.mark.parametrize("k", [1, 20, 150])
def test_long_steps_never_raise_the_error_and_end_at_an_optimum_of_lloyd(levels, k):
    cells = levels[1]
    start = kmeans_plus_plus(cells, k, np.random.default_rng(k))
    fit = refine(cells, start, tol=0.0, max_iter=2000, long_steps=True)
    assert fit.converged
    assert np.diff(fit.trace).max() <= 0
    again = refine(cells, fit.centers, tol=0.0, max_iter=2000)
    assert again.trace[-1] >= fit.trace[-1] * (1 - 1e-3)


def test_long_steps_lower_the_error_more(levels):
    cells = levels[2]
    start = merged_splits(cells, 150)
    few = refine(cells, start, tol=0.0, max_iter=10, long_steps=True)
    assert few.trace[-1] < 0.998 * refine(cells, start, tol=0.0, max_iter=10).trace[-1]


@pytest.mark.parametrize("k", [MANY, 150])
def test_the_error_falls_from_level_to_level_and_more_starts_never_raise_it(levels, k):
    fits = [
        fit_codebook(levels, k, restarts=restarts, rng=np.random.default_rng(0), tol=1e-4, max_iter=200)
        for restarts in (1, 60)
    ]
    for fit in fits:
        assert fit.centers.shape == (k, 3)
        assert np.diff(fit.trace).max() <= 1e-12
        assert list(dict.fromkeys(fit.n_cells)) == [cells.weights.size for cells in levels[1:]]
        assert fit.converged
    assert fits[1].trace[-1] <= fits[0].trace[-1]


def test_iterations_with_long_steps_keep_to_the_limit(levels):
    fit = fit_codebook(levels, MANY, restarts=1, rng=np.random.default_rng(0), tol=-1.0, max_iter=5)
    assert fit.n_iter == 5


def test_many_fixed_centers_are_the_first_of_a_fit(levels):
    fixed = np.random.default_rng(1).random((10, 3))
    fit = fit_codebook(levels, MANY, restarts=1, rng=np.random.default_rng(0), tol=1e-3, max_iter=None, fixed=fixed)
    np.testing.assert_array_equal(fit.centers[:10], fixed)
    assert fit.centers.shape == (MANY, 3)


@pytest.fixture(scope="module")
def cat():
    return ColorHistogram.from_pixels(read_sample("cat.jpg").reshape(-1, 3))


def test_levels_by_scatter_are_nested_of_the_sizes_asked_and_of_less_scatter(cat):
    cells = cat.cells()
    levels = cat.levels_by_scatter(cells, [500, 3000, cat.n_colors])
    assert levels[-1] is cells
    assert [level.weights.size for level in levels[:-1]] == pytest.approx([500, 3000], rel=0.1)
    for level in levels:
        assert level.weights.sum() == pytest.approx(cat.n_pixels, rel=1e-12)
        np.testing.assert_allclose(level.covariance, cells.covariance, rtol=1e-9, atol=1e-15)
    finer = np.cumsum(levels[1].weights)
    assert np.isin(np.cumsum(levels[0].weights), finer).all()

    def scatter(level):
        return (level.scatter[[0, 3, 5]].sum(axis=0) * level.weights).sum()

    (starts,) = cat.octrees([cat.n_pixels / 800])
    by_weight = cells.merged(starts)
    assert by_weight.weights.size >= levels[1].weights.size
    assert scatter(levels[1]) < scatter(by_weight)


def test_a_cube_is_whole_if_its_weight_times_squared_side_is_at_most_that_of_a_leaf(cat):
    (level, _) = cat.levels_by_scatter(cat.cells(), [2000])
    counts = np.rint(level.weights)
    starts = np.searchsorted(np.cumsum(cat.counts), np.cumsum(counts) - counts, side="right")
    nodes = []
    for bits in range(8):
        cubes = np.append(cat.cubes(bits), cat.n_colors)
        measure = np.add.reduceat(cat.counts, cubes[:-1]) * 0.25**bits
        children = np.diff(np.searchsorted(cat.cubes(bits + 1), cubes))
        nodes.append((measure, np.diff(np.searchsorted(starts, cubes)) <= 1, children > 1))
    largest = max(measure[whole & split].max(initial=0) for measure, whole, split in nodes)
    assert largest > 0
    for measure, whole, _ in nodes:
        assert whole[measure <= largest].all()


@pytest.mark.parametrize("space", ["srgb", "oklab"])
def test_a_fit_of_many_clusters_goes_through_levels_of_equal_scatter(cat, space):
    fitter = Fitter(cat, Settings(method="kmeans", space=space))
    fit = fitter.fit(MANY)
    n_cells = budget.MIN_PALETTE_CENTERS * budget.PALETTE_CELLS_PER_CENTER[1]
    assert fit.n_cells[0] == pytest.approx(n_cells, rel=0.1)
    assert fit.n_cells[-1] == cat.n_colors
    assert np.diff(fit.trace).max() <= 1e-12
    assert fit.trace[-1] < fitter.fit(MANY - 1).trace[-1]


def test_a_coarse_fitter_keeps_to_its_own_cells_with_many_clusters(cat):
    coarse = Fitter(cat, Settings(method="kmeans")).coarsened(2000)
    fit = coarse.fit(MANY)
    assert max(fit.n_cells) == coarse.cells.weights.size < cat.n_colors
