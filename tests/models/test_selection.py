"""Information criteria against scikit-learn's and the plain formulas."""

import math

import numpy as np
import pytest
import sklearn.mixture
from helpers import cells_of, draw_from, log_joint_by_scipy, random_mixture
from hypothesis import given
from hypothesis import strategies as st
from scipy.special import logsumexp

from gmmquant import GaussianMixture
from gmmquant.models.gaussian import Gaussians
from gmmquant.models.inference import evaluate
from gmmquant.models.selection import Choice, Criteria, choose, n_parameters


def fit_of_scikit_learn(d, n_components):
    rng = np.random.default_rng(10 * d + n_components)
    X = draw_from(rng, random_mixture(rng, n_components, d), 300)
    return X, sklearn.mixture.GaussianMixture(n_components, random_state=0, max_iter=500).fit(X)


@pytest.mark.parametrize("d", [1, 2, 3, 5])
@pytest.mark.parametrize("n_components", [1, 2, 4])
def test_aic_and_bic_equal_those_of_scikit_learn(d, n_components):
    X, theirs = fit_of_scikit_learn(d, n_components)
    free = n_parameters(n_components, d)
    criteria = Criteria.of(n_components, theirs.score(X) * len(X), 0.0, free, len(X))
    assert criteria.aic == pytest.approx(theirs.aic(X), rel=1e-12)
    assert criteria.bic == pytest.approx(theirs.bic(X), rel=1e-12)


@pytest.mark.parametrize("n_components", range(1, 6))
@pytest.mark.parametrize("d", range(1, 5))
def test_free_parameters_are_counted_one_by_one(n_components, d):
    weights = ["weight"] * n_components
    means = [(k, i) for k in range(n_components) for i in range(d)]
    covariances = [(k, i, j) for k in range(n_components) for i in range(d) for j in range(i + 1)]
    assert n_parameters(n_components, d) == len(weights) - 1 + len(means) + len(covariances)


def test_icl_equals_the_plain_formula():
    X, theirs = fit_of_scikit_learn(2, 4)
    mixture = (theirs.weights_, theirs.means_, theirs.covariances_)
    log_joint = log_joint_by_scipy(X, *mixture)
    log_density = logsumexp(log_joint, axis=1)
    entropy = 0.0
    for joint, density in zip(log_joint, log_density, strict=True):
        for value in joint:
            r = math.exp(value - density)
            entropy -= r * math.log(r) if r > 0 else 0.0
    # 4 components in 2 dimensions: 3 weights, 8 coordinates, 12 entries of covariances.
    expected = 23 * math.log(300) - 2 * log_density.sum() + 2 * entropy
    evaluation = evaluate(cells_of(X), Gaussians(*mixture))
    criteria = Criteria.of(4, evaluation.log_likelihood, evaluation.entropy, n_parameters(4, 2), len(X))
    assert criteria.icl == pytest.approx(expected, rel=1e-10)


def test_icl_is_bic_where_every_assignment_is_certain_and_above_it_elsewhere():
    for entropy in (0.0, 2.5):
        criteria = Criteria.of(1, -50.0, entropy, 5, 100)
        assert criteria.icl == criteria.bic + 2 * entropy


def test_bic_and_icl_find_the_number_of_well_separated_clusters():
    rng = np.random.default_rng(0)
    X = np.concatenate([rng.normal(loc, 0.5, (150, 2)) for loc in ([0, 0], [6, 0], [0, 6])])
    cells = cells_of(X)
    criteria = []
    for k in range(1, 6):
        evaluation = evaluate(cells, GaussianMixture(k, random_state=0, max_iter=500).fit(X).gaussians())
        criteria.append(Criteria.of(k, evaluation.log_likelihood, evaluation.entropy, n_parameters(k, 2), len(X)))
    assert min(criteria, key=lambda each: each.bic).k == 3
    assert min(criteria, key=lambda each: each.icl).k == 3


def path_of(icls):
    """Return a path of criteria with these ICL, in which the BIC is the negative ICL."""
    return tuple(Criteria(k, 0.0, -float(icl), float(icl)) for k, icl in enumerate(icls, 1))


@given(st.lists(st.integers(-50, 50), min_size=2, max_size=8), st.sampled_from([0.5, 0.75, 1.0]))
def test_the_smallest_k_above_one_that_keeps_the_gain_is_chosen(icls, kept_gain):
    choice = choose(path_of(icls), kept_gain)
    gain = max(icls[0] - min(icls[1:]), 0)
    keeps = [k for k, icl in enumerate(icls[1:], 2) if gain and icls[0] - icl >= kept_gain * gain]
    assert choice == Choice((keeps or [2])[0], path_of(icls), kept_gain)  # without a gain, the fewest
    assert choice.lowest_icl == 1 + icls.index(min(icls))
    assert choice.lowest_bic == 1 + icls.index(max(icls))
    others = [(icl, k) for k, icl in enumerate(icls, 1) if k not in (1, choice.k)]
    assert choice.runner_up == min(others, default=(0, choice.k))[1]


def test_one_component_is_chosen_if_there_is_no_other():
    choice = choose(path_of([3]), 0.75)
    assert choice == Choice(1, path_of([3]), 0.75)
    assert choice.runner_up == 1


def test_of_nothing_no_component_is_chosen():
    nothing = Choice(0, ())
    assert (nothing.lowest_icl, nothing.runner_up, nothing.lowest_bic) == (0, 0, 0)
