"""Moments and mixtures of clusters, against the plain formulas."""

import numpy as np
import pytest

from gmmquant.models.cells import Cells
from gmmquant.models.covariance import COVARIANCE_TYPES
from gmmquant.models.kmeans import cluster_moments
from gmmquant.models.starts import clusters_of


@pytest.mark.parametrize("kind", COVARIANCE_TYPES)
def test_the_mixture_of_labelled_clusters_has_their_shares_means_and_covariances(kind):
    rng = np.random.default_rng(0)
    X, weights, labels = rng.normal(size=(60, 3)), rng.uniform(0.5, 2.0, 60), rng.choice([0, 2], 60)
    centers = rng.normal(size=(3, 3))
    mixture = clusters_of(Cells.from_samples(X, weights), labels, centers, 0.01, COVARIANCE_TYPES[kind])
    full = np.empty((3, 3, 3))
    for k in (0, 2):
        mine = labels == k
        assert mixture.weights[k] == pytest.approx(weights[mine].sum() / weights.sum(), rel=1e-12)
        np.testing.assert_allclose(mixture.means[k], np.average(X[mine], axis=0, weights=weights[mine]), rtol=1e-10)
        full[k] = np.cov(X[mine].T, aweights=weights[mine], ddof=0) + 0.01 * np.eye(3)
    full[1] = np.cov(X.T, aweights=weights, ddof=0) + 0.01 * np.eye(3)  # no cells: as wide as all
    assert mixture.weights[1] == 0
    np.testing.assert_array_equal(mixture.means[1], centers[1])
    expected = {
        "full": full,
        "tied": np.tile(mixture.weights[0] * full[0] + mixture.weights[2] * full[2], (3, 1, 1)),
        "diag": full * np.eye(3),
        "spherical": np.trace(full, axis1=1, axis2=2)[:, np.newaxis, np.newaxis] / 3 * np.eye(3),
    }
    np.testing.assert_allclose(mixture.full_covariances(), expected[kind], rtol=1e-10, atol=1e-14)


def test_the_moments_of_many_cells_are_those_of_all_of_them():
    rng = np.random.default_rng(1)
    X, weights, labels = rng.normal(size=(70_000, 2)), rng.uniform(0.5, 2.0, 70_000), rng.integers(0, 3, 70_000)
    cells = Cells.from_samples(X, weights)
    features = np.vstack([np.ones(len(X)), (X - cells.origin).T])
    expected = [(features * weights)[:, labels == k].sum(axis=1) for k in range(3)]
    np.testing.assert_allclose(cluster_moments(cells, labels, 3, 3), expected, rtol=1e-10, atol=1e-8)
