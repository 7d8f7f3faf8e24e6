"""The best k of many centers: against all subsets, and the laws of any choice."""

from itertools import combinations

import numpy as np
import pytest
from helpers import cells_of
from hypothesis import given, settings
from hypothesis import strategies as st

from gmmquant.models.subset import best_subset


def problem(seed):
    rng = np.random.default_rng(seed)
    n, P = int(rng.integers(20, 200)), int(rng.integers(6, 14))
    return rng.random((n, 3)), rng.uniform(0.5, 2.0, n), rng.random((P, 3)), int(rng.integers(1, 6))


def error(X, weights, centers, chosen):
    distances = ((X[:, np.newaxis] - centers[list(chosen)]) ** 2).sum(axis=2)
    return weights @ distances.min(axis=1)


def chosen_of(seed, required=()):
    X, weights, centers, k = problem(seed)
    return best_subset([cells_of(X, weights)], centers, k, np.random.default_rng(0), required)


def test_the_choice_is_the_best_of_all_subsets():
    ratios = []
    for seed in range(60):
        X, weights, centers, k = problem(seed)
        best = min(error(X, weights, centers, subset) for subset in combinations(range(len(centers)), k))
        ratios.append(error(X, weights, centers, chosen_of(seed)) / best)
    assert np.count_nonzero(np.array(ratios) > 1 + 1e-9) <= 2
    assert max(ratios) < 1.05


def test_the_choice_with_required_centers_is_the_best_of_those_that_have_them():
    for seed in range(0, 60, 4):
        X, weights, centers, k = problem(seed)
        required = list(range(k // 2))
        subsets = (s for s in combinations(range(len(centers)), k) if set(required) <= set(s))
        best = min(error(X, weights, centers, subset) for subset in subsets)
        chosen = chosen_of(seed, required)
        assert set(required) <= set(chosen.tolist())
        assert error(X, weights, centers, chosen) <= best * 1.05


@settings(max_examples=40)
@given(st.integers(0, 10_000))
def test_no_exchange_of_one_center_lowers_the_error(seed):
    X, weights, centers, k = problem(seed)
    chosen = chosen_of(seed).tolist()
    assert chosen == sorted(set(chosen))
    least = error(X, weights, centers, chosen)
    for index in range(k):
        for other in set(range(len(centers))) - set(chosen):
            exchanged = [*chosen[:index], other, *chosen[index + 1 :]]
            assert error(X, weights, centers, exchanged) >= least * (1 - 1e-8)


def test_the_choice_is_the_same_for_coarse_cells_and_improved_on_finer_ones(levels):
    centers = np.random.default_rng(3).random((30, 3))
    chosen = best_subset(levels, centers, 6, np.random.default_rng(0))
    X, weights = levels[1].positions(), levels[1].weights
    coarse = best_subset(levels[:1], centers, 6, np.random.default_rng(0))
    assert error(X, weights, centers, chosen) <= error(X, weights, centers, coarse) * (1 + 1e-12)


@pytest.mark.parametrize("k", [1, 3, 9])
def test_as_many_centers_as_there_are_may_be_chosen(k):
    X = np.random.default_rng(0).random((50, 3))
    chosen = best_subset([cells_of(X)], X[:9], k, np.random.default_rng(0))
    assert len(chosen) == k
