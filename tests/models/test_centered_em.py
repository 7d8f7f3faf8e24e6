"""Groups that are many of their widths apart: EM by moments about each component's mean, and the clusters of KMeans."""

import numpy as np
import pytest
import sklearn.mixture

from gmmquant import GaussianMixture, KMeans, SingularCovarianceError
from gmmquant.models.cells import Cells
from gmmquant.models.centered_em import centered_e_step, centered_em, loses_digits
from gmmquant.models.covariance import COVARIANCE_TYPES
from gmmquant.models.em import e_step, em
from gmmquant.models.gaussian import Gaussians
from tests.helpers import cells_of, log_joint_by_scipy, overlapping_samples, random_covariances

TYPES = list(COVARIANCE_TYPES)
N_ITERATIONS = 25


def far_groups(seed, d, distance, n=400):
    """Draw samples of four groups about as wide as 1, two of which overlap, and return them with the groups' places."""
    rng = np.random.default_rng(seed)
    places = rng.normal(size=(4, d))
    places *= distance / np.linalg.norm(places, axis=1, keepdims=True)
    places[1] = places[0] + 2.5 / np.sqrt(d)
    factors = np.linalg.cholesky(random_covariances(rng, 4, d))
    groups = rng.integers(4, size=n)
    return places[groups] + np.einsum("nij,nj->ni", factors[groups], rng.normal(size=(n, d))), places


def start_at(places, covariance_type):
    """Return the arguments of a start at `places` with unit variances and equal weights."""
    K, d = places.shape
    shape = COVARIANCE_TYPES[covariance_type].shape(K, d)
    ones = np.broadcast_to(np.eye(d), shape) if COVARIANCE_TYPES[covariance_type].dense else np.ones(shape)
    return {
        "n_components": K,
        "covariance_type": covariance_type,
        "weights_init": np.full(K, 1 / K),
        "means_init": places,
        "precisions_init": ones,
    }


def em_by_differences(X, sample_weight, means, covariance_type, variance, n_iter):
    """Run EM by the formulas, with differences from the new means; return weights, means and full covariances."""
    K, d = means.shape
    weights, covariances = np.full(K, 1 / K), np.broadcast_to(np.eye(d), (K, d, d))
    for _ in range(n_iter):
        scores = log_joint_by_scipy(X, weights, means, covariances)
        scores -= variance / 2 * np.trace(np.linalg.inv(covariances), axis1=1, axis2=2)
        R = np.exp(scores - np.logaddexp.reduce(scores, axis=1, keepdims=True)) * sample_weight[:, np.newaxis]
        weights = R.sum(axis=0) / sample_weight.sum()
        means = np.array([mean + r @ (X - mean) / r.sum() for r, mean in zip(R.T, means, strict=True)])
        scatter = [(r[:, np.newaxis] * (X - m)).T @ (X - m) / r.sum() for r, m in zip(R.T, means, strict=True)]
        covariances = np.array(scatter) + variance * np.eye(d)
        if covariance_type == "tied":
            covariances = np.broadcast_to(np.einsum("k,kij->ij", weights, covariances), (K, d, d))
        elif covariance_type == "diag":
            covariances = covariances * np.eye(d)
        elif covariance_type == "spherical":
            covariances = np.eye(d) * np.trace(covariances, axis1=1, axis2=2)[:, np.newaxis, np.newaxis] / d
    return weights, means, covariances


@pytest.mark.filterwarnings("ignore::gmmquant.ConvergenceWarning")
@pytest.mark.parametrize("distance", [1e3, 1e4, 1e5, 1e6, 1e7])
@pytest.mark.parametrize("d", [1, 2, 5])
@pytest.mark.parametrize("covariance_type", TYPES)
def test_parameters_at_any_distance_are_those_of_the_plain_formulas(covariance_type, d, distance):
    X, places = far_groups(d, d, distance)
    sample_weight = np.random.default_rng(0).integers(1, 4, len(X)).astype(float)
    options = {"tol": 0, "max_iter": N_ITERATIONS, "reg_covar": 1e-3, **start_at(places, covariance_type)}
    fit = GaussianMixture(**options).fit(X, sample_weight=sample_weight)
    expected = em_by_differences(X, sample_weight, places, covariance_type, 1e-3, N_ITERATIONS)
    found = fit.weights_, fit.means_, fit.gaussians().full_covariances()
    np.testing.assert_allclose(found[0], expected[0], rtol=1e-7)
    np.testing.assert_allclose(found[1], expected[1], rtol=1e-13, atol=1e-7)
    np.testing.assert_allclose(found[2], expected[2], rtol=1e-7, atol=1e-7)


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("distance", [1e4, 1e6])
@pytest.mark.parametrize("d", [2, 3])
def test_a_full_fit_of_far_groups_equals_scikit_learns_from_the_same_start(d, distance):
    X, places = far_groups(7, d, distance)
    options = {"tol": 0, "max_iter": N_ITERATIONS, "reg_covar": 0.0, **start_at(places, "full")}
    ours, theirs = GaussianMixture(**options).fit(X), sklearn.mixture.GaussianMixture(**options).fit(X)
    np.testing.assert_allclose(ours.weights_, theirs.weights_, rtol=1e-7)
    np.testing.assert_allclose(ours.means_, theirs.means_, rtol=1e-13, atol=1e-7)
    np.testing.assert_allclose(ours.covariances_, theirs.covariances_, rtol=1e-7, atol=1e-7)


@pytest.mark.parametrize("distance", [1e6, 1e8])
@pytest.mark.parametrize("init", ["kmeans", "k-means++", "random_from_data"])
@pytest.mark.parametrize("covariance_type", TYPES)
def test_a_fit_from_a_start_of_its_own_has_the_variances_of_the_groups(covariance_type, init, distance):
    rng = np.random.default_rng(3)
    group = np.rint(2**20 * rng.normal(size=(150, 2))) / 2**20
    X = np.concatenate([group + np.array(place) * distance for place in [(0, 0), (3, 0), (0, 7)]])
    fit = GaussianMixture(3, covariance_type=covariance_type, init_params=init, n_init=5, random_state=0).fit(X)
    inside = np.cov(group.T, bias=True)
    expected = {"diag": inside * np.eye(2), "spherical": np.trace(inside) / 2 * np.eye(2)}.get(covariance_type, inside)
    variance = fit.reg_covar * np.eye(2)
    np.testing.assert_allclose(fit.gaussians().full_covariances(), [expected + variance] * 3, rtol=1e-7, atol=1e-8)


@pytest.mark.parametrize("covariance_type", TYPES)
def test_the_scatter_of_far_cells_counts_in_full(covariance_type):
    rng = np.random.default_rng(5)
    centers = np.array([[0.0, 0.0], [4e6, 1e6]])
    means, scatter = rng.normal(size=(60, 2)), random_covariances(rng, 60, 2)
    counts = rng.integers(1, 9, size=60).astype(float)
    X = np.concatenate([means + center for center in centers])
    fit = GaussianMixture(2, covariance_type=covariance_type, random_state=0).fit(
        X, sample_weight=np.tile(counts, 2), sample_covariance=np.tile(scatter, (2, 1, 1))
    )
    inside = np.cov(means.T, bias=True, fweights=counts.astype(int)) + np.average(scatter, axis=0, weights=counts)
    expected = {"diag": inside * np.eye(2), "spherical": np.trace(inside) / 2 * np.eye(2)}.get(covariance_type, inside)
    np.testing.assert_allclose(fit.gaussians().full_covariances(), [expected + 1e-6 * np.eye(2)] * 2, rtol=1e-7)


@pytest.mark.filterwarnings("ignore::gmmquant.ConvergenceWarning")
@pytest.mark.parametrize("covariance_type", TYPES)
def test_a_component_that_becomes_narrow_in_one_iteration_keeps_its_digits(covariance_type):
    rng = np.random.default_rng(11)
    group = rng.normal(size=(200, 2))
    X = np.concatenate([group, group + 5e6])
    options = start_at(np.array([[0.0, 0.0], [5e6, 5e6]]), covariance_type)
    options["precisions_init"] = options["precisions_init"] * 1e-10
    fit = GaussianMixture(max_iter=1, tol=0, reg_covar=0, **options).fit(X)
    np.testing.assert_allclose(fit.weights_, 0.5)
    inside = np.cov(group.T, bias=True)
    expected = {"diag": inside * np.eye(2), "spherical": np.trace(inside) / 2 * np.eye(2)}.get(covariance_type, inside)
    np.testing.assert_allclose(fit.gaussians().full_covariances(), [expected] * 2, rtol=1e-7, atol=1e-8)


@pytest.mark.filterwarnings("ignore::gmmquant.ConvergenceWarning")
@pytest.mark.parametrize("distance", [1e5, 1e7])
@pytest.mark.parametrize("covariance_type", TYPES)
def test_the_lower_bound_of_far_groups_never_falls_and_is_their_score(covariance_type, distance):
    X, places = far_groups(2, 3, distance)
    fit = GaussianMixture(max_iter=30, tol=0, reg_covar=0, **start_at(places, covariance_type)).fit(X)
    assert np.diff(fit.lower_bounds_).min() > -1e-9
    assert fit.lower_bound_ == pytest.approx(fit.score(X), abs=1e-9)


@pytest.mark.parametrize("covariance_type", TYPES)
def test_moments_about_the_means_are_those_about_the_origin_moved_there(covariance_type):
    rng = np.random.default_rng(4)
    X = overlapping_samples(4, 3, n=3000)
    cells = Cells.from_samples(X, rng.random(len(X)), random_covariances(rng, len(X), 3, 0.01))
    kind = COVARIANCE_TYPES[covariance_type]
    covariances = kind.pool(random_covariances(rng, 3, 3), np.ones(3))
    if not kind.dense:
        covariances = rng.uniform(1, 2, kind.shape(3, 3))
    gaussians = Gaussians(np.array([0.2, 0.3, 0.5]), X[:3], covariances, kind)
    moments, objective = e_step(cells, gaussians, 0.1)
    centered, same = centered_e_step(cells, gaussians, gaussians.means, 0.1)
    shifts = gaussians.means - cells.origin
    totals, first, second = moments[:, :1], moments[:, 1:4], moments[:, 4:]
    rows, columns = np.triu_indices(3) if kind.dense else (np.arange(3), np.arange(3))
    moved = second - shifts[:, rows] * first[:, columns] - first[:, rows] * shifts[:, columns]
    moved += totals * shifts[:, rows] * shifts[:, columns]
    expected = np.concatenate([totals, first - totals * shifts, moved], axis=1)
    np.testing.assert_allclose(centered, expected, rtol=1e-9, atol=1e-9 * cells.total_weight)
    assert same == pytest.approx(objective, rel=1e-12)


@pytest.mark.parametrize("covariance_type", TYPES)
def test_near_groups_are_fitted_by_the_sweep_to_the_last_bit(covariance_type):
    X = overlapping_samples(1, 2)
    kind = COVARIANCE_TYPES[covariance_type]
    covariances = np.broadcast_to(np.eye(2), kind.shape(3, 2)) if kind.dense else np.ones(kind.shape(3, 2))
    start = Gaussians(np.full(3, 1 / 3), X[:3], covariances, kind)
    one = centered_em(cells_of(X), start, variance=1e-6, tol=1e-5, max_iter=40)
    other = em(cells_of(X), start, variance=1e-6, tol=1e-5, max_iter=40)
    assert (one.trace, one.converged) == (other.trace, other.converged)
    np.testing.assert_array_equal(one.gaussians.covariances, other.gaussians.covariances)


def test_whether_digits_are_lost_does_not_depend_on_the_units_of_the_features():
    rng = np.random.default_rng(8)
    covariance, direction = random_covariances(rng, 1, 3), rng.normal(size=3)
    decisions = []
    for distance in np.geomspace(1e2, 1e6, 30):
        units = np.ldexp(1.0, rng.integers(-30, 30, size=3))
        mean = (distance * direction * units)[np.newaxis]
        scaled = covariance * units[:, np.newaxis] * units
        decisions.append(loses_digits(Gaussians(np.ones(1), mean, scaled), np.zeros(3)))
        assert decisions[-1] == loses_digits(Gaussians(np.ones(1), mean / units, covariance), np.zeros(3))
    assert decisions == sorted(decisions)
    assert set(decisions) == {False, True}


@pytest.mark.parametrize("covariance_type", TYPES)
def test_groups_of_equal_samples_collapse_at_any_distance(covariance_type):
    X = np.repeat([[0.1, 0.2], [1e8 / 3, 1 / 7]], 9, axis=0)
    with pytest.raises(SingularCovarianceError, match="collapsed onto too few distinct samples"):
        GaussianMixture(2, covariance_type=covariance_type, reg_covar=0, random_state=0).fit(X)


@pytest.mark.parametrize("covariance_type", ["full", "diag", "spherical"])
def test_a_component_of_one_sample_among_others_is_a_collapse(covariance_type):
    X = np.random.default_rng(0).uniform(size=(30, 3))
    options = start_at(np.array([X[0], [0.5] * 3]), covariance_type)
    options["precisions_init"] = np.stack([1e6 * options["precisions_init"][0], options["precisions_init"][1]])
    with pytest.raises(SingularCovarianceError, match="collapsed onto too few distinct samples"):
        GaussianMixture(reg_covar=0, **options).fit(X)


@pytest.mark.parametrize("distance", [1e2, 1e5, 1e7])
def test_clusters_of_far_groups_are_those_of_the_plain_formulas(distance):
    X, centers = far_groups(6, 2, distance)
    fit = KMeans(4, init=centers, tol=0).fit(X)
    for _ in range(fit.n_iter_):
        labels = ((X[:, np.newaxis] - centers) ** 2).sum(axis=2).argmin(axis=1)
        centers = np.array([center + (X[labels == k] - center).mean(axis=0) for k, center in enumerate(centers)])
    distances = np.sqrt(((X[:, np.newaxis] - centers) ** 2).sum(axis=2))
    np.testing.assert_array_equal(fit.labels_, labels)
    np.testing.assert_allclose(fit.cluster_centers_, centers, rtol=1e-14, atol=1e-8)
    assert fit.inertia_ == pytest.approx((distances.min(axis=1) ** 2).sum(), rel=1e-9)
    assert fit.score(X) == pytest.approx(-fit.inertia_, rel=1e-9)
    np.testing.assert_allclose(fit.transform(X), distances, rtol=1e-12, atol=1e-7)
