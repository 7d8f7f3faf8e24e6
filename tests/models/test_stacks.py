"""A stack of mixtures, worked on side by side: each comes out as it does alone."""

import itertools

import numpy as np
import pytest
from helpers import draw_from, random_covariances, random_mixture
from hypothesis import given, settings
from hypothesis import strategies as st

from gmmquant.errors import GmmquantError, SingularCovarianceError
from gmmquant.models.cells import Cells
from gmmquant.models.covariance import COVARIANCE_TYPES, precisions_cholesky
from gmmquant.models.em import e_step, em, em_step, make_start, race, start_from_centers
from gmmquant.models.gaussian import Gaussians
from gmmquant.models.kmeans import center_scores, kmeans_plus_plus, lloyd
from gmmquant.models.scalar_validation import INIT_NAMES
from gmmquant.models.sweep import HARDMAX, SOFTMAX, sweep

KINDS = [*COVARIANCE_TYPES.values()]
VARIANCE = 0.02


def cells_of(n, seed=0):
    rng = np.random.default_rng(seed)
    return Cells.from_samples(draw_from(rng, random_mixture(rng, 4, 3), n), rng.uniform(0.5, 2.0, n))


def starts_of(cells, n_starts, n_components, covariance_type, seed=0, init="kmeans"):
    rng = np.random.default_rng(seed)
    return make_start(cells, n_components, init, rng, VARIANCE, covariance_type, stack=(n_starts,))


def assert_equal_mixtures(some, others):
    for name in ("weights", "means", "covariances"):
        np.testing.assert_allclose(getattr(some, name), getattr(others, name), rtol=1e-9, atol=1e-12)


@pytest.mark.parametrize("assign", [SOFTMAX, HARDMAX])
@pytest.mark.parametrize(("n", "n_components"), [(300, 5), (40_000, 8)])  # without boxes, and with
@pytest.mark.parametrize("with_scatter", [False, True])
def test_a_sweep_of_a_stack_is_the_sweep_of_each(assign, n, n_components, with_scatter):
    rng = np.random.default_rng(1)
    X = rng.normal(size=(n, 3)) * [5.0, 0.1, 0.1]
    X = X[X[:, 0].argsort()]  # in blocks that are small boxes, to which little is near
    cells = Cells.from_samples(X, np.ones(n), random_covariances(rng, n, 3, scale=0.01) if with_scatter else None)
    theta = np.stack([center_scores(5 * rng.normal(size=(n_components, 3)), cells.origin) for _ in range(3)])
    moments, objective = sweep(theta, cells, assign)
    assert (moments.shape, objective.shape) == ((3, n_components, 4), (3,))
    for place in range(3):
        alone, at = sweep(theta[place], cells, assign)
        np.testing.assert_allclose(moments[place], alone, rtol=1e-9, atol=1e-9)
        assert objective[place] == pytest.approx(float(at), rel=1e-12)


@pytest.mark.parametrize("covariance_type", KINDS, ids=lambda covariance_type: covariance_type.name)
def test_a_step_of_a_stack_is_the_step_of_each(covariance_type):
    cells = cells_of(500)
    starts = starts_of(cells, 3, 4, covariance_type)
    assert starts.covariances.shape == (3, *covariance_type.shape(4, 3))
    stepped, objective = em_step(cells, starts, VARIANCE)
    for place in range(3):
        alone, at = em_step(cells, starts.at(place), VARIANCE)
        assert_equal_mixtures(stepped.at(place), alone)
        assert objective[place] == pytest.approx(float(at), rel=1e-12)
    assert_equal_mixtures(Gaussians.stack([starts.at(place) for place in range(3)]), starts)


@pytest.mark.parametrize("n_clusters", [1, 2, 7])
def test_seeds_of_a_stack_are_those_of_one_start_after_the_other(n_clusters):
    cells, n_draws = cells_of(400), 1 + (n_clusters - 1) * (2 + int(np.log(n_clusters)))
    stack = kmeans_plus_plus(cells, n_clusters, np.random.default_rng(3), stack=(4,))
    for place in range(4):
        rng = np.random.default_rng(3)
        rng.random(place * n_draws)
        np.testing.assert_array_equal(stack[place], kmeans_plus_plus(cells, n_clusters, rng))


def test_centers_of_a_stack_rest_where_they_rest_alone():
    cells = cells_of(400)
    seeds = kmeans_plus_plus(cells, 6, np.random.default_rng(0), stack=(5,))
    seeds[2, :3] = seeds[2, 0] + 100.0  # three centers that nothing is near to
    together = lloyd(cells, seeds, tol=0.05, max_iter=100)
    alone = [lloyd(cells, seed, tol=0.05, max_iter=100) for seed in seeds]
    assert len({clusters.n_iter for clusters in alone}) > 1
    assert together.n_iter == max(clusters.n_iter for clusters in alone)
    for place, clusters in enumerate(alone):
        np.testing.assert_allclose(together.centers[place], clusters.centers, rtol=1e-9)


@pytest.mark.parametrize("covariance_type", KINDS, ids=lambda covariance_type: covariance_type.name)
@pytest.mark.parametrize("init", INIT_NAMES)
def test_starts_of_a_stack_differ_and_are_mixtures(covariance_type, init):
    starts = starts_of(cells_of(300), 3, 4, covariance_type, init=init)
    np.testing.assert_allclose(starts.weights.sum(axis=-1), 1.0)
    for some, others in itertools.combinations(range(3), 2):
        assert not np.allclose(starts.means[some], starts.means[others])


def without_repetitions(trace):
    return [objective for objective, _ in itertools.groupby(trace)]


@settings(max_examples=40)
@given(st.integers(0, 100_000), st.sampled_from(KINDS), st.sampled_from(INIT_NAMES), st.sampled_from([0.0, 1e-3]))
def test_a_race_is_won_by_the_start_that_comes_highest_alone(seed, covariance_type, init, tol):
    cells = cells_of(150, seed)
    starts = starts_of(cells, 4, 3, covariance_type, seed, init)
    options = {"variance": VARIANCE, "tol": tol, "max_iter": 12}
    alone = [race(cells, Gaussians.stack([starts.at(place)]), **options) for place in range(4)]
    won = race(cells, starts, **options)
    assert np.diff(won.trace).min(initial=0.0) >= -1e-12
    assert won.trace[-1] >= max(fit.trace[-1] for fit in alone) - 1e-9
    # Who comes to rest early goes on in company.
    assert any(won.trace[: len(fit.trace)] == pytest.approx(fit.trace, abs=1e-9) for fit in alone)
    assert won.trace[-1] == pytest.approx(float(e_step(cells, won.gaussians, VARIANCE)[1]), abs=1e-9)
    assert len(won.trace) <= 13
    for place, fit in enumerate(alone):
        fast = em(cells, starts.at(place), **options, accelerated=True)
        steps = without_repetitions(fit.trace)
        np.testing.assert_allclose(steps, without_repetitions(fast.trace)[: len(steps)], rtol=1e-9)


@pytest.mark.parametrize("seed", range(8))
def test_a_race_of_one_ends_where_its_fit_ends(seed):
    """Both end by an iteration without momentum alone."""
    cells = cells_of(300, seed)
    starts = starts_of(cells, 1, 4, KINDS[0], seed)
    options = {"variance": VARIANCE, "tol": 1e-4, "max_iter": 500}
    won, fast = race(cells, starts, **options), em(cells, starts.at(0), **options, accelerated=True)
    assert won.converged
    assert fast.converged
    np.testing.assert_allclose(without_repetitions(won.trace), without_repetitions(fast.trace), rtol=1e-9)


def test_a_race_ends_when_none_of_the_starts_gains_any_more():
    cells = cells_of(200)
    won = race(cells, starts_of(cells, 3, 1, KINDS[0]), variance=VARIANCE, tol=1e-6, max_iter=50)
    assert won.converged
    assert won.n_iter <= 2


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
@pytest.mark.parametrize("iteration", [0, 1, 3])
def test_an_objective_that_is_no_number_is_told_of_and_wins_nothing(value, iteration, monkeypatch):
    cells, steps = cells_of(100), []

    def broken(*arguments):
        moments, objective = e_step(*arguments)
        steps.append(objective)
        return moments, np.where([True, False, True], objective, value) if len(steps) == iteration + 1 else objective

    monkeypatch.setattr("gmmquant.models.em.e_step", broken)
    with pytest.raises(GmmquantError, match="objective"):
        race(cells, starts_of(cells, 3, 2, KINDS[0]), variance=VARIANCE, tol=0.0, max_iter=3)


def test_a_start_that_collapses_without_momentum_is_told_of():
    """Two points have no spread beside the line between them: without variance the mixture on them collapses."""
    cells = Cells.from_samples(np.array([[0.0, 0.0], [1.0, 1.0], [0.0, 1.0], [5.0, 5.0]]), np.ones(4))
    centers = np.array([[[0.3, 0.6], [5.0, 5.0]], [[0.3, 0.6], [2.0, 2.0]]])
    starts = start_from_centers(cells, centers, 0.5)
    with pytest.raises(SingularCovarianceError, match="component 1 collapsed"):
        race(cells, starts, variance=0.0, tol=0.0, max_iter=500)


def test_which_covariances_collapsed_is_told():
    side = [1.6, 2.9, 0.5]
    with pytest.raises(SingularCovarianceError) as caught:  # of which rounding leaves the smallest variance above 0
        precisions_cholesky(np.stack([np.outer(side, side), np.eye(3)]), COVARIANCE_TYPES["full"])
    np.testing.assert_array_equal(caught.value.collapsed, [True, False])
    for covariance_type, smallest in (
        ("full", [[1, 0, 2], [-1, 3, 1]]),
        ("spherical", [[1, 0, 2], [-1, 3, 1]]),
        ("tied", [0, 2]),
    ):
        values = np.array(smallest, dtype=float)
        covariances = values[..., np.newaxis, np.newaxis] * np.eye(2) if covariance_type != "spherical" else values
        with pytest.raises(SingularCovarianceError) as caught:
            precisions_cholesky(covariances, COVARIANCE_TYPES[covariance_type])
        np.testing.assert_array_equal(caught.value.collapsed, values <= 0)
