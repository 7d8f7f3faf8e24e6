"""Accelerated EM, and fits from coarse cells to fine ones."""

import itertools

import numpy as np
import pytest
from helpers import draw_from, em_step, random_mixture, read_sample
from hypothesis import given, settings
from hypothesis import strategies as st

from gmmquant import ColorHistogram, Quantizer, Settings
from gmmquant.colors.spaces import SRGB
from gmmquant.models import budget, coarse_to_fine
from gmmquant.models.cells import Cells
from gmmquant.models.coarse_to_fine import best_start, descend, down_to_noise, levels_for
from gmmquant.models.convergence import tol_at_level
from gmmquant.models.covariance import COVARIANCE_TYPES, FULL
from gmmquant.models.em import em
from gmmquant.models.starts import make_start
from gmmquant.quantization.fitter import Fitter

KINDS = ["full", "tied", "diag", "spherical"]


def start_of(cells, n_components, seed=0, variance=0.0, covariance_type="full", init="kmeans"):
    return make_start(
        cells, n_components, init, np.random.default_rng(seed), variance, COVARIANCE_TYPES[covariance_type]
    )


# Acceleration


@pytest.mark.parametrize("covariance_type", KINDS)
@pytest.mark.parametrize("init", ["kmeans", "random_from_data"])
@pytest.mark.parametrize("seed", range(3))
def test_an_accelerated_fit_never_falls_and_ends_as_high_as_a_plain_one_in_fewer_iterations(
    covariance_type, init, seed
):
    rng = np.random.default_rng(seed)
    X = draw_from(rng, random_mixture(rng, 3, 2), 800)
    cells = Cells.from_samples(X, rng.uniform(0.5, 2.0, len(X)))
    start = start_of(cells, 3, seed, covariance_type=covariance_type, init=init)
    options = {"variance": 0.0, "tol": 1e-9, "max_iter": 5000}
    plain, fast = (em(cells, start, **options, accelerated=accelerated) for accelerated in (False, True))
    assert plain.converged
    assert fast.converged
    assert fast.trace[:2] == plain.trace[:2]
    assert np.diff(fast.trace).min() >= -1e-12
    assert fast.trace[-1] >= plain.trace[-1] - 1e-6
    assert fast.n_iter <= plain.n_iter + 5


@settings(max_examples=40)
@given(
    st.integers(0, 100_000),
    st.sampled_from(KINDS),
    st.sampled_from(["kmeans", "k-means++", "random_from_data", "random"]),
    st.sampled_from([1, 2, 6]),
)
def test_the_objective_of_an_accelerated_fit_never_falls(seed, covariance_type, init, n_components):
    rng = np.random.default_rng(seed)
    X = draw_from(rng, random_mixture(rng, 4, 3), 150)
    cells = Cells.from_samples(X, np.ones(150))
    start = start_of(cells, n_components, seed, 0.01, covariance_type, init)
    fit = em(cells, start, variance=0.01, tol=1e-9, max_iter=300, accelerated=True)
    assert np.diff(fit.trace).min(initial=0.0) >= -1e-12
    assert em_step(cells, fit.gaussians, 0.01)[1] == fit.trace[-1]


def test_acceleration_saves_most_iterations_on_a_photograph():
    histogram = ColorHistogram.from_pixels(read_sample("cat.jpg").reshape(-1, 3))
    cells = histogram.cells().merged(histogram.cubes(4))
    variance = histogram.rounding_variance
    options = {"variance": variance, "tol": 1e-7, "max_iter": 3000}
    start = start_of(cells, 7, variance=variance)
    plain, fast = (em(cells, start, **options, accelerated=accelerated) for accelerated in (False, True))
    assert np.diff(fast.trace).min() >= -1e-12
    assert fast.trace[-1] >= plain.trace[-1] - 1e-4
    assert fast.n_iter < 0.6 * plain.n_iter


def test_an_accelerated_fit_ends_with_an_iteration_without_momentum():
    rng = np.random.default_rng(8)
    cells = Cells.from_samples(draw_from(rng, random_mixture(rng, 3, 2), 400), np.ones(400))
    for seed in range(4):
        start, options = start_of(cells, 3, seed), {"variance": 0.0, "tol": 1e-5, "accelerated": True}
        fit = em(cells, start, max_iter=2000, **options)
        before = em(cells, start, max_iter=fit.n_iter - 1, **options)
        assert fit.converged
        assert not before.converged
        assert before.trace == fit.trace[:-1]
        stepped, _ = em_step(cells, before.gaussians, 0.0)
        np.testing.assert_array_equal(stepped.means, fit.gaussians.means)
        np.testing.assert_array_equal(stepped.covariances, fit.gaussians.covariances)
        assert 0 <= fit.trace[-1] - fit.trace[-2] < 1e-5


def test_an_accelerated_fit_watches_each_iteration_and_ends_at_the_limit():
    rng = np.random.default_rng(9)
    cells = Cells.from_samples(draw_from(rng, random_mixture(rng, 3, 2), 400), np.ones(400))
    seen = []
    fit = em(
        cells, start_of(cells, 3), variance=0.0, tol=0.0, max_iter=9, accelerated=True, watch=lambda *s: seen.append(s)
    )
    assert (fit.n_iter, fit.converged) == (9, False)
    assert seen == list(enumerate(fit.trace))


# Levels


def options_of(histogram, **others):
    return {"variance": histogram.rounding_variance, "tol": 1e-4, "max_iter": 500, **others}


def start_at(levels, histogram, k, seed=0, restarts=2, covariance_type=FULL, **others):
    return best_start(
        levels,
        k,
        init="kmeans",
        restarts=restarts,
        rng=np.random.default_rng(seed),
        covariance_type=covariance_type,
        **options_of(histogram, **others),
    )


@pytest.mark.parametrize("covariance_type", KINDS)
@pytest.mark.parametrize("k", [1, 4, 20])
def test_the_objective_rises_from_level_to_level(levels, photograph, k, covariance_type):
    start = start_at(levels, photograph, k, covariance_type=COVARIANCE_TYPES[covariance_type])
    seen = []
    fit = descend(levels, start, **options_of(photograph), watch=lambda *step: seen.append(step))
    assert np.diff(fit.trace).min() >= -1e-9
    assert list(dict.fromkeys(fit.n_cells)) == [cells.weights.size for cells in levels]
    assert list(fit.n_cells) == sorted(fit.n_cells)
    assert len(fit.trace) == len(fit.n_cells) == fit.n_iter + len(levels)
    assert fit.trace[: start.n_iter + 1] == start.trace
    assert fit.converged
    assert em_step(levels[-1], fit.gaussians, photograph.rounding_variance)[1] == fit.trace[-1]
    counts = [n for n, _ in seen]
    assert (counts[0], counts[-1]) == (start.n_iter, fit.n_iter)
    assert all(later - earlier in (0, 1) for earlier, later in itertools.pairwise(counts))
    assert [objective for _, objective in seen] == list(fit.trace[start.n_iter :])


@pytest.mark.parametrize("k", [2, 7])
def test_a_descent_reaches_the_objective_of_a_fit_to_the_colours_from_the_same_start(levels, photograph, k):
    start = start_at(levels, photograph, k)
    fine = descend(levels, start, **options_of(photograph, tol=1e-7))
    direct = em(levels[-1], start.gaussians, **options_of(photograph, tol=1e-7))
    assert fine.trace[-1] >= direct.trace[-1] - 1e-3
    at_the_colours = fine.n_cells.count(levels[-1].weights.size) - 1
    assert at_the_colours < direct.n_iter


@pytest.mark.parametrize("max_iter", [1, 5, 14])
def test_iterations_of_all_levels_together_end_at_the_limit(levels, photograph, max_iter):
    start = start_at(levels, photograph, 7, max_iter=max_iter, tol=0.0)
    fit = descend(levels, start, **options_of(photograph, max_iter=max_iter, tol=0.0))
    assert (fit.n_iter, fit.converged) == (max_iter, False)
    assert fit.n_cells[-1] == photograph.n_colors


def sizes(levels):
    return [cells.weights.size for cells in levels]


def test_a_fit_starts_where_there_are_eight_cells_a_component_or_at_the_finest_level(levels):
    assert sizes(levels_for(levels, 2, bounded=False)) == sizes(levels)
    for k in (sizes(levels)[0] // 8, sizes(levels)[0] // 8 + 1, sizes(levels)[1] // 8 + 1, sizes(levels)[-1]):
        chosen = sizes(levels_for(levels, k, bounded=False))
        assert chosen == [size for size in sizes(levels) if size >= 8 * k] or chosen == sizes(levels)[-1:]
        assert chosen == sizes(levels_for(levels, k, bounded=True))


@pytest.mark.parametrize("name", ["MAX_LEVEL_SCORES", "MAX_FINER_CELLS"])
@pytest.mark.parametrize("k", [2, 40])
def test_levels_out_of_reach_of_two_iterations_are_left_out_if_bounded(levels, k, name, monkeypatch):
    largest = sizes(levels)[-1]
    limit = 2 * largest * k if name == "MAX_LEVEL_SCORES" else largest
    whole = sizes(levels_for(levels, k, bounded=False))
    monkeypatch.setattr(budget, name, limit)
    assert sizes(levels_for(levels, k, bounded=True)) == whole
    monkeypatch.setattr(budget, name, limit - 1)
    assert sizes(levels_for(levels, k, bounded=True)) == whole[:-1]
    assert sizes(levels_for(levels, k, bounded=False)) == whole


def test_thousands_of_components_start_at_a_level_that_a_sweep_can_afford(levels, monkeypatch):
    coarsest, *_, finest = sizes(levels)
    k = finest // 8 + 1  # too many for the cells per component of any level
    assert sizes(levels_for(levels, k, bounded=True)) == [finest]
    monkeypatch.setattr(budget, "MAX_STARTING_SWEEP_SCORES", finest * k - 1)
    (chosen,) = sizes(levels_for(levels, k, bounded=True))
    assert k <= chosen < finest
    assert sizes(levels_for(levels, k, bounded=False)) == [finest]
    monkeypatch.setattr(budget, "MAX_STARTING_SWEEP_SCORES", 1)
    assert sizes(levels_for(levels, 2, bounded=True))[0] == coarsest


@pytest.mark.parametrize("k", [2, 40])
def test_work_at_a_level_is_bounded_unless_max_iter_is_set(levels, photograph, k, monkeypatch):
    start = start_at(levels, photograph, k, restarts=1)
    options = options_of(photograph, tol=0.0, max_iter=None)
    monkeypatch.setattr(budget, "MAX_LEVEL_SCORES", 3 * photograph.n_colors * k)
    assert descend(levels, start, **options).n_cells.count(photograph.n_colors) == 4
    obeyed = descend(levels, start, **{**options, "max_iter": 60})
    assert obeyed.n_iter == 60
    assert obeyed.n_cells.count(photograph.n_colors) > 4


@pytest.mark.parametrize(
    "n_colors",
    [30_000, 390_000, 420_000, *(pytest.param(n, marks=pytest.mark.slow) for n in (500_000, 700_000, 1_200_000))],
)
def test_the_finest_affordable_level_has_at_least_a_tenth_of_the_colours(n_colors):
    """No level is more than ten times larger than the next coarser one."""
    rng = np.random.default_rng(0)
    pixels = np.clip(rng.normal(128, 40, (2 * n_colors, 3)), 0, 255).astype(np.uint8)
    pixels = np.unique(pixels, axis=0)
    pixels = pixels[rng.permutation(len(pixels))[:n_colors]]
    levels = Fitter(ColorHistogram.from_pixels(pixels)).levels
    finest = sizes(levels_for(levels, 20, bounded=True))[-1]
    assert finest >= min(sizes(levels)[-1], 400_000) / 10


@pytest.mark.parametrize("max_iter", [None, 60, 200])
def test_every_level_leaves_iterations_to_the_next(levels, photograph, max_iter):
    """A tolerance that is never met does not keep a fit at its coarsest level."""
    start = start_at(levels, photograph, 7, tol=0.0)
    fit = descend(levels, start, **options_of(photograph, tol=0.0, max_iter=max_iter))
    for cells in levels:
        assert fit.n_cells.count(cells.weights.size) > 4
    assert fit.n_iter <= (max_iter or 500)
    loose = descend(levels, start, **options_of(photograph, tol=1e-3, max_iter=max_iter))
    assert fit.trace[-1] > loose.trace[-1]


def test_thousands_of_components_are_started_once(levels, photograph, monkeypatch):
    started = []
    monkeypatch.setattr(coarse_to_fine, "make_start", lambda *args: started.append(args) or make_start(*args))
    monkeypatch.setattr(budget, "MAX_SEEDING_SCORES", 3 * levels[0].weights.size * 5)
    for k, n_starts in ((4, 3), (5, 3), (6, 2), (16, 1)):
        started.clear()
        start_at(levels, photograph, k, restarts=9)
        assert len(started) == n_starts


@pytest.mark.parametrize("k", [2, 16, 200])
def test_the_tolerance_of_a_coarse_level_is_proportional_to_the_cost_of_its_iterations(levels, k):
    tols = [tol_at_level(0.01, size, sizes(levels)[-1], k) for size in sizes(levels)]
    costs = [cells.weights.size * k + 30_000 for cells in levels]
    np.testing.assert_allclose(tols[:-1], [0.01 * min(cost / min(costs[-1], 1_200_000), 1) for cost in costs[:-1]])
    assert tols[-1] == 0.01
    assert tols == sorted(tols)


def test_a_descent_can_have_a_single_level(photograph):
    cells = photograph.cells().merged(photograph.cubes(4))
    start = start_at([cells], photograph, 3)
    fit = descend([cells], start, **options_of(photograph))
    assert set(fit.n_cells) == {cells.weights.size}
    assert len(fit.trace) == fit.n_iter + 1
    assert np.diff(fit.trace).min() >= -1e-12


def test_the_start_with_the_highest_objective_of_those_tried_is_kept(levels, photograph):
    """The starts of a seed are a sequence: a longer one contains the shorter ones."""
    gains = []
    for seed in range(3):
        best = [start_at(levels, photograph, 12, seed, restarts).trace[-1] for restarts in range(1, 7)]
        assert best == sorted(best)
        gains.append(best[-1] - best[0])
    assert max(gains) > 0
    fit = start_at(levels, photograph, 12)
    assert 1 <= fit.n_iter <= budget.MAX_TRIAL_ITERATIONS


@settings(max_examples=15)
@given(st.integers(0, 10_000), st.integers(1, 9), st.sampled_from(KINDS), st.sampled_from([np.uint8, np.uint16]))
def test_levels_of_any_image_rise_to_its_colours(seed, k, covariance_type, dtype):
    rng = np.random.default_rng(seed)
    largest = np.iinfo(dtype).max
    values = rng.uniform(0.2, 0.8, (4, 3))[rng.integers(0, 4, 5000)] + rng.uniform(0.01, 0.1) * rng.normal(
        size=(5000, 3)
    )
    image = (np.clip(values, 0, 1) * largest).astype(dtype).reshape(50, 100, 3)
    quantizer = Quantizer(image, Settings(covariance=covariance_type, restarts=2, noise=0))
    quantized = quantizer.fit(k)
    result = quantized.fit
    assert np.diff(result.trace).min() >= (-1e-9 if dtype == np.uint8 else -1e-6)
    assert list(result.n_cells) == sorted(result.n_cells)
    assert len(set(result.n_cells)) > 1
    assert result.n_cells[-1] == quantizer.histogram.n_colors
    assert len(result.trace) == result.n_iter + len(set(result.n_cells))
    assert quantized.mean_log_likelihood >= result.trace[-1]


@pytest.mark.parametrize("noise", [0.5, 2.0, 6.0])
def test_cells_of_a_noisy_fit_are_the_coarsest_with_at_most_half_of_the_noise_as_scatter(noise):
    histogram = ColorHistogram.from_pixels(read_sample("cat.jpg").reshape(-1, 3))
    levels, variance = histogram.levels(histogram.cells()), histogram.variance_in(SRGB, noise)
    kept = down_to_noise(levels, variance)
    # What the means of the cells do not vary of the colours' variance is inside the cells.
    spreads = [np.cov(cells.positions().T, aweights=cells.weights, bias=True).trace() for cells in levels]
    fine = [spreads[-1] - spread <= 0.5 * 3 * variance for spread in spreads]
    assert fine[: len(kept)] == [False] * (len(kept) - 1) + [True]


def test_a_fit_without_noise_ends_at_the_colours_and_a_noisy_one_before():
    histogram = ColorHistogram.from_pixels(read_sample("cat.jpg").reshape(-1, 3))
    ends = [
        Fitter(histogram, Settings(noise=noise, max_iter=max_iter)).fit(3).n_cells[-1]
        for noise, max_iter in ((0, None), (2, None), (2, 40))
    ]
    assert ends[0] == ends[2] == histogram.n_colors > 4 * ends[1]
