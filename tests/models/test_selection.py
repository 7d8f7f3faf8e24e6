"""Information criteria against scikit-learn's and the plain formulas."""

import math

import numpy as np
import pytest
import sklearn.mixture
from helpers import draw_from, log_joint_by_scipy, random_mixture
from scipy.special import logsumexp

from gmmquant import GaussianMixture
from gmmquant.models.cells import Cells
from gmmquant.models.gaussian import Gaussians
from gmmquant.models.inference import evaluate
from gmmquant.models.selection import aic, bic, icl, n_parameters


def fit_of_scikit_learn(d, n_components):
    rng = np.random.default_rng(10 * d + n_components)
    X = draw_from(rng, random_mixture(rng, n_components, d), 300)
    return X, sklearn.mixture.GaussianMixture(n_components, random_state=0, max_iter=500).fit(X)


@pytest.mark.parametrize("d", [1, 2, 3, 5])
@pytest.mark.parametrize("n_components", [1, 2, 4])
def test_aic_and_bic_equal_those_of_scikit_learn(d, n_components):
    X, theirs = fit_of_scikit_learn(d, n_components)
    log_likelihood, free = theirs.score(X) * len(X), n_parameters(n_components, d)
    assert aic(log_likelihood, free) == pytest.approx(theirs.aic(X), rel=1e-12)
    assert bic(log_likelihood, free, len(X)) == pytest.approx(theirs.bic(X), rel=1e-12)


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
    evaluation = evaluate(Cells.from_samples(X, np.ones(len(X))), Gaussians(*mixture))
    value = icl(evaluation.log_likelihood, n_parameters(4, 2), len(X), evaluation.entropy)
    assert value == pytest.approx(expected, rel=1e-10)


def test_icl_is_bic_where_every_assignment_is_certain_and_above_it_elsewhere():
    assert icl(-50.0, 5, 100, 0.0) == bic(-50.0, 5, 100)
    assert icl(-50.0, 5, 100, 2.5) == bic(-50.0, 5, 100) + 5.0


def test_bic_and_icl_find_the_number_of_well_separated_clusters():
    rng = np.random.default_rng(0)
    X = np.concatenate([rng.normal(loc, 0.5, (150, 2)) for loc in ([0, 0], [6, 0], [0, 6])])
    cells = Cells.from_samples(X, np.ones(len(X)))
    scores = {}
    for k in range(1, 6):
        fit = GaussianMixture(k, random_state=0, max_iter=500).fit(X)
        evaluation = evaluate(cells, Gaussians(fit.weights_, fit.means_, fit.covariances_))
        free = n_parameters(k, 2)
        scores[k] = (
            bic(evaluation.log_likelihood, free, len(X)),
            icl(evaluation.log_likelihood, free, len(X), evaluation.entropy),
        )
    assert min(scores, key=lambda k: scores[k][0]) == 3
    assert min(scores, key=lambda k: scores[k][1]) == 3
