"""The iterations of EM: momentum, discarded candidates, and trials of several starts."""

import itertools

import numpy as np
import pytest
from helpers import draw_from, em_step, random_mixture
from hypothesis import given, settings
from hypothesis import strategies as st

from gmmquant.errors import GmmquantError, SingularCovarianceError
from gmmquant.models.cells import Cells
from gmmquant.models.covariance import COVARIANCE_TYPES
from gmmquant.models.em import best_trial, e_step, em, iterate, m_step, nesterov_coefficient
from gmmquant.models.scalar_validation import INIT_NAMES
from gmmquant.models.starts import make_start, start_from_centers

TYPES = [*COVARIANCE_TYPES.values()]
VARIANCE = 0.02


def cells_of(n, seed=0):
    rng = np.random.default_rng(seed)
    return Cells.from_samples(draw_from(rng, random_mixture(rng, 4, 3), n), rng.uniform(0.5, 2.0, n))


def starts_of(cells, n_starts, n_components, covariance_type=TYPES[0], seed=0, init="kmeans"):
    rng = np.random.default_rng(seed)
    return [make_start(cells, n_components, init, rng, VARIANCE, covariance_type) for _ in range(n_starts)]


def first(n, cells, start, **options):
    return [*itertools.islice(iterate(cells, start, variance=VARIANCE, **options), n)]


def test_nesterovs_coefficient_starts_at_0_and_rises_towards_1():
    values = [nesterov_coefficient(n) for n in range(1000)]
    assert values[:4] == [0, 1 / 3, 1 / 2, 3 / 5]
    assert values == sorted(values)
    assert 0.99 < values[-1] < 1


@pytest.mark.parametrize("covariance_type", TYPES, ids=lambda covariance_type: covariance_type.name)
def test_an_em_step_is_an_e_step_and_an_m_step(covariance_type):
    cells = cells_of(200)
    (start,) = starts_of(cells, 1, 4, covariance_type)
    moments, objective = e_step(cells, start, VARIANCE)
    expected = m_step(moments, cells.origin, VARIANCE, start)
    stepped, before = em_step(cells, start, VARIANCE)
    assert before == objective
    np.testing.assert_array_equal(stepped.means, expected.means)
    np.testing.assert_array_equal(stepped.covariances, expected.covariances)


def test_the_second_iteration_extrapolates_the_moments_by_a_third():
    """The first gain gives a momentum of 1/3; `moments` are those before and after the first iteration."""
    cells = cells_of(200)
    (start,) = starts_of(cells, 1, 3)
    first_step, _ = em_step(cells, start, VARIANCE)
    moments = [e_step(cells, gaussians, VARIANCE)[0] for gaussians in (start, first_step)]
    expected = m_step(moments[1] + (moments[1] - moments[0]) / 3, cells.origin, VARIANCE, first_step)
    *_, second = first(3, cells, start, tol=0.0, accelerated=True)
    assert second.kept
    np.testing.assert_allclose(second.gaussians.means, expected.means, rtol=1e-12)
    np.testing.assert_allclose(second.gaussians.covariances, expected.covariances, rtol=1e-9)


@settings(max_examples=30)
@given(st.integers(0, 100_000), st.sampled_from(TYPES), st.sampled_from(INIT_NAMES))
def test_a_discarded_iteration_leaves_the_state_unchanged(seed, covariance_type, init):
    cells = cells_of(150, seed)
    (start,) = starts_of(cells, 1, 3, covariance_type, seed, init)
    states = first(60, cells, start, tol=1e-9, accelerated=True)
    for before, after in itertools.pairwise(states):
        if after.kept:
            assert after.objective >= before.objective - 1e-12
        else:
            assert after.gaussians is before.gaussians
            assert after.objective == before.objective
    assert states[0].kept
    assert states[1].kept


def test_some_fit_discards_an_iteration_and_the_trace_has_kept_ones_only():
    taken_back = 0
    for seed in range(12):
        cells = cells_of(150, seed)
        (start,) = starts_of(cells, 1, 3, seed=seed)
        states = first(60, cells, start, tol=0.0, accelerated=True)
        kept = [state.objective for state in states if state.kept]
        taken_back += len(states) - len(kept)
        fit = em(cells, start, variance=VARIANCE, tol=0.0, max_iter=len(kept) - 1, accelerated=True)
        assert list(fit.trace) == kept
    assert taken_back > 0


def test_plain_em_keeps_every_iteration():
    cells = cells_of(150)
    assert all(state.kept for state in first(80, cells, starts_of(cells, 1, 4)[0], tol=0.0))


@settings(max_examples=40)
@given(st.integers(0, 100_000), st.sampled_from(TYPES), st.sampled_from(INIT_NAMES), st.sampled_from([0.0, 1e-3]))
def test_the_best_trial_is_that_of_the_start_with_the_highest_objective(seed, covariance_type, init, tol):
    cells = cells_of(150, seed)
    starts = starts_of(cells, 4, 3, covariance_type, seed, init)
    alone = [first(13, cells, start, tol=tol, accelerated=True) for start in starts]
    side_by_side = enumerate(zip(*alone, strict=True), start=1)
    n_states = next((n for n, states in side_by_side if all(state.converged for state in states)), 13)
    expected = max((states[:n_states] for states in alone), key=lambda states: states[-1].objective)
    won = best_trial(cells, starts, variance=VARIANCE, tol=tol, max_iter=12)
    assert won.trace == tuple(state.objective for state in expected if state.kept)
    np.testing.assert_array_equal(won.gaussians.means, expected[-1].gaussians.means)
    assert won.converged == (n_states < 13 or all(states[-1].converged for states in alone))
    assert won.trace[-1] == e_step(cells, won.gaussians, VARIANCE)[1]


def test_trials_end_when_all_starts_have_converged():
    cells = cells_of(200)
    won = best_trial(cells, starts_of(cells, 3, 1), variance=VARIANCE, tol=1e-6, max_iter=50)
    assert won.converged
    assert won.n_iter <= 2


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_an_objective_that_is_not_finite_is_an_error(value, monkeypatch):
    cells = cells_of(100)
    starts = starts_of(cells, 3, 2)
    monkeypatch.setattr("gmmquant.models.em.e_step", lambda *arguments: (e_step(*arguments)[0], value))
    with pytest.raises(GmmquantError, match="objective"):
        best_trial(cells, starts, variance=VARIANCE, tol=0.0, max_iter=3)


@pytest.mark.parametrize("value", [np.nan, -np.inf])
def test_a_candidate_that_overflows_is_discarded(value, monkeypatch):
    cells, steps = cells_of(100), []

    def broken(*arguments):
        moments, objective = e_step(*arguments)
        steps.append(objective)
        return moments, value if len(steps) == 3 else objective

    (start,) = starts_of(cells, 1, 2)
    monkeypatch.setattr("gmmquant.models.em.e_step", broken)
    assert [state.kept for state in first(5, cells, start, tol=0.0, accelerated=True)] == [
        True,
        True,
        False,
        True,
        True,
    ]


def test_a_start_that_collapses_without_momentum_is_an_error():
    """Two points have no spread across the line between them: without variance the mixture on them collapses."""
    cells = Cells.from_samples(np.array([[0.0, 0.0], [1.0, 1.0], [0.0, 1.0], [5.0, 5.0]]), np.ones(4))
    centers = np.array([[[0.3, 0.6], [5.0, 5.0]], [[0.3, 0.6], [2.0, 2.0]]])
    starts = [start_from_centers(cells, some, 0.5) for some in centers]
    with pytest.raises(SingularCovarianceError, match="component 1 collapsed"):
        best_trial(cells, starts, variance=0.0, tol=0.0, max_iter=500)
