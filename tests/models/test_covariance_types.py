"""Full, tied, diagonal and spherical covariances: against scikit-learn, against plain loops, and the laws of each."""

import functools
import itertools
import math

import numpy as np
import pytest
import sklearn.mixture
from helpers import draw_from, em_step, random_covariances, random_mixture, read_only
from hypothesis import given, settings
from hypothesis import strategies as st

from gmmquant import GaussianMixture, SingularCovarianceError
from gmmquant.models.cells import Cells
from gmmquant.models.covariance import COVARIANCE_TYPES
from gmmquant.models.gaussian import Gaussians, natural_parameters
from gmmquant.models.inference import evaluate
from gmmquant.models.starts import start_from_centers
from gmmquant.models.sweep import most_probable

KINDS = ["full", "tied", "diag", "spherical"]
ARRAYS = ["weights_", "means_", "covariances_", "precisions_", "precisions_cholesky_"]

each_kind = pytest.mark.parametrize("covariance_type", KINDS)
converged_or_not = pytest.mark.filterwarnings("ignore:.*did not converge")


def pooled(matrices, covariance_type):
    """Reduce covariances, or precisions, (K, d, d) to the shape of a type."""
    if covariance_type == "full":
        return matrices
    if covariance_type == "tied":
        return matrices[0]
    variances = np.array([np.diag(matrix) for matrix in matrices])
    return variances if covariance_type == "diag" else variances[:, 0]


def as_matrices(values, covariance_type, n_components, d):
    """Write covariances of any type as a list of `n_components` matrices (d, d)."""
    if covariance_type == "full":
        return list(values)
    if covariance_type == "tied":
        return [values] * n_components
    return [np.diag(value) if covariance_type == "diag" else value * np.eye(d) for value in values]


def assert_close(ours, theirs, tolerance):
    """Compare arrays to a tolerance relative to the largest entry."""
    np.testing.assert_allclose(ours, theirs, rtol=0, atol=tolerance * np.abs(theirs).max())


def assert_same_fit(one, other, tolerance=1e-9):
    for name in ARRAYS:
        assert_close(getattr(one, name), getattr(other, name), tolerance)
    np.testing.assert_allclose(one.lower_bounds_, other.lower_bounds_, rtol=0, atol=tolerance)


def assert_identical_fit(one, other):
    for name in ARRAYS:
        np.testing.assert_array_equal(getattr(one, name), getattr(other, name))
    assert one.lower_bounds_ == other.lower_bounds_


# Against scikit-learn


@functools.cache
def grid_problem(covariance_type, d, n_components, scale):
    """Draw clusters about five widths apart, so that neighbours share samples, and a start close to them."""
    rng = np.random.default_rng([d, n_components])
    side = math.ceil(n_components ** (1 / d))
    corners = itertools.islice(itertools.product(range(side), repeat=d), n_components)
    places = 5.0 * np.array(list(corners)) + 2.0
    X = np.concatenate(
        [place + rng.normal(size=(40, d)) @ (np.eye(d) + 0.2 * rng.normal(size=(d, d))) for place in places]
    )
    weights = rng.uniform(0.5, 1.5, n_components)
    inverse = np.linalg.inv(random_covariances(rng, n_components, d))
    start = {
        "weights_init": weights / weights.sum(),
        "means_init": scale * (places + 0.5 * rng.normal(size=places.shape)),
        "precisions_init": pooled((inverse + inverse.transpose(0, 2, 1)) / (2 * scale**2), covariance_type),
    }
    return scale * X, start


@functools.cache
def both_fits(covariance_type, d, n_components, scale=1.0):
    """Fit ours and scikit-learn's from the same start for the same number of iterations."""
    X, start = grid_problem(covariance_type, d, n_components, scale)
    options = {"covariance_type": covariance_type, "reg_covar": 0, "tol": 0, "max_iter": 8, **start}
    return GaussianMixture(n_components, **options).fit(X), sklearn.mixture.GaussianMixture(
        n_components, **options
    ).fit(X)


@converged_or_not
@pytest.mark.parametrize("scale", [1.0, 1e-3, 1e3])
@pytest.mark.parametrize("n_components", [1, 2, 3, 5, 10])
@pytest.mark.parametrize("d", [1, 2, 3, 8])
@each_kind
def test_a_fit_equals_scikit_learn_from_the_same_start_after_the_same_number_of_iterations(
    covariance_type, d, n_components, scale
):
    X, _ = grid_problem(covariance_type, d, n_components, scale)
    ours, theirs = both_fits(covariance_type, d, n_components, scale)
    assert ours.n_iter_ == theirs.n_iter_ == 8
    assert ours.score(X) == pytest.approx(theirs.score(X), rel=1e-9)
    assert ours.lower_bound_ == pytest.approx(theirs.score(X), rel=1e-9)
    for name in ARRAYS:
        assert_close(getattr(ours, name), getattr(theirs, name), 1e-7)


@converged_or_not
@pytest.mark.parametrize("n_components", [1, 3])
@pytest.mark.parametrize("d", [1, 2, 8])
@each_kind
def test_everything_learnt_and_answered_has_the_shape_it_has_in_scikit_learn(covariance_type, d, n_components):
    X, _ = grid_problem(covariance_type, d, n_components, 1.0)
    ours, theirs = both_fits(covariance_type, d, n_components)
    for name in [*ARRAYS, "n_features_in_", "n_iter_", "converged_", "lower_bound_"]:
        assert np.shape(getattr(ours, name)) == np.shape(getattr(theirs, name)), name
        assert np.asarray(getattr(ours, name)).dtype == np.asarray(getattr(theirs, name)).dtype, name
    for method in ["predict", "predict_proba", "score_samples", "score", "aic", "bic"]:
        assert np.shape(getattr(ours, method)(X)) == np.shape(getattr(theirs, method)(X)), method
    for drawn, expected in zip(ours.sample(7), theirs.sample(7), strict=True):
        assert drawn.shape == expected.shape


@converged_or_not
@pytest.mark.parametrize("n_components", [1, 3, 10])
@pytest.mark.parametrize("d", [1, 2, 3, 8])
@each_kind
def test_criteria_and_answers_equal_those_of_scikit_learn(covariance_type, d, n_components):
    X, _ = grid_problem(covariance_type, d, n_components, 1.0)
    ours, theirs = both_fits(covariance_type, d, n_components)
    new = np.concatenate([X[::3], 2 * X[::5]])
    assert ours.aic(new) == pytest.approx(theirs.aic(new), rel=1e-9)
    assert ours.bic(new) == pytest.approx(theirs.bic(new), rel=1e-9)
    np.testing.assert_allclose(ours.score_samples(new), theirs.score_samples(new), rtol=1e-8)
    np.testing.assert_allclose(ours.predict_proba(new), theirs.predict_proba(new), rtol=1e-6, atol=1e-9)
    np.testing.assert_array_equal(ours.predict(new), theirs.predict(new))


@converged_or_not
@pytest.mark.parametrize("d", [1, 3, 8])
@each_kind
def test_precisions_are_inverse_covariances_and_the_squares_of_their_upper_triangular_roots(covariance_type, d):
    fit, _ = both_fits(covariance_type, d, 5)
    triples = zip(
        *(
            as_matrices(getattr(fit, name), covariance_type, 5, d)
            for name in ["covariances_", "precisions_", "precisions_cholesky_"]
        ),
        strict=True,
    )
    for covariance, precision, root in triples:
        np.testing.assert_allclose(precision @ covariance, np.eye(d), atol=1e-10)
        np.testing.assert_allclose(root @ root.T, precision, rtol=1e-10, atol=1e-12)
        np.testing.assert_allclose(root, np.triu(root), atol=1e-13 * np.abs(root).max())
        assert (np.diag(root) > 0).all()


@each_kind
def test_criteria_of_weighted_samples_equal_those_of_repeated_rows(covariance_type):
    X = draw_from(np.random.default_rng(3), random_mixture(np.random.default_rng(3), 3, 2), 150)
    counts = np.random.default_rng(4).integers(0, 4, len(X))
    fit = GaussianMixture(3, covariance_type=covariance_type, random_state=0, max_iter=500).fit(X, sample_weight=counts)
    repeated = np.repeat(X, counts, axis=0)
    for criterion in (fit.aic, fit.bic, fit.icl):
        assert criterion(X, sample_weight=counts) == pytest.approx(criterion(repeated), rel=1e-9)
    responsibilities = fit.predict_proba(repeated)
    entropy = -(responsibilities * np.log(np.where(responsibilities > 0, responsibilities, 1))).sum()
    assert entropy > 0.1
    assert fit.icl(repeated) == pytest.approx(fit.bic(repeated) + 2 * entropy, rel=1e-9)


# One step


def e_step_by_loops(X, inside, sample_weight, weights, means, matrices):
    """Return J and the responsibilities of samples that have a covariance `inside` each, by the formulas."""
    n, d = X.shape
    J, R = 0.0, np.zeros((n, len(weights)))
    for i in range(n):
        scores = []
        for weight, mean, matrix in zip(weights, means, matrices, strict=True):
            inverse = np.linalg.inv(matrix)
            distance = (X[i] - mean) @ inverse @ (X[i] - mean) + np.trace(inverse @ inside[i])
            scores.append(
                math.log(weight) - 0.5 * (d * math.log(2 * math.pi) + math.log(np.linalg.det(matrix)) + distance)
            )
        log_density = math.log(math.fsum(math.exp(score) for score in scores))
        J += sample_weight[i] * log_density / sum(sample_weight)
        R[i] = [math.exp(score - log_density) for score in scores]
    return J, R


def m_step_by_loops(X, inside, sample_weight, R, covariance_type):
    """Return weights, means and covariances of a type, by the formulas."""
    n, d = X.shape
    K = R.shape[1]
    totals, means = np.zeros(K), np.zeros((K, d))
    scatter, squares = np.zeros((K, d, d)), np.zeros((K, d))
    for k in range(K):
        for i in range(n):
            totals[k] += sample_weight[i] * R[i, k]
            means[k] += sample_weight[i] * R[i, k] * X[i]
        means[k] /= totals[k]
        for i in range(n):
            scatter[k] += sample_weight[i] * R[i, k] * (np.outer(X[i] - means[k], X[i] - means[k]) + inside[i])
            for j in range(d):
                squares[k, j] += sample_weight[i] * R[i, k] * ((X[i, j] - means[k, j]) ** 2 + inside[i][j, j])
    covariances = {
        "full": [scatter[k] / totals[k] for k in range(K)],
        "tied": sum(scatter) / sum(totals),
        "diag": [squares[k] / totals[k] for k in range(K)],
        "spherical": [sum(squares[k]) / (d * totals[k]) for k in range(K)],
    }[covariance_type]
    return totals / sum(sample_weight), means, np.array(covariances)


def step_problem(covariance_type, d, scattered, variance, n=60, K=3):
    """Draw samples, maybe with a covariance inside each, and overlapping Gaussians that were not fitted to them."""
    rng = np.random.default_rng([d, scattered])
    X = draw_from(rng, random_mixture(rng, K, d), n) + 7.0
    sample_weight = rng.uniform(0.1, 3.0, n)
    scatter = random_covariances(rng, n, d, scale=0.2) if scattered else None
    inside = (np.zeros((n, d, d)) if scatter is None else scatter) + variance * np.eye(d)
    weights, means, covariances = random_mixture(rng, K, d)
    gaussians = Gaussians(weights, means + 7.0, pooled(covariances, covariance_type), COVARIANCE_TYPES[covariance_type])
    return X, sample_weight, scatter, inside, gaussians


@pytest.mark.parametrize("variance", [0.0, 0.2])
@pytest.mark.parametrize("scattered", [False, True])
@pytest.mark.parametrize("d", [1, 2, 4])
@each_kind
def test_a_step_equals_the_plain_formulas(covariance_type, d, scattered, variance):
    X, sample_weight, scatter, inside, old = step_problem(covariance_type, d, scattered, variance)
    updated, objective = em_step(Cells.from_samples(X, sample_weight, scatter), old, variance)
    J, R = e_step_by_loops(
        X, inside, sample_weight, old.weights, old.means, as_matrices(old.covariances, covariance_type, 3, d)
    )
    weights, means, covariances = m_step_by_loops(X, inside, sample_weight, R, covariance_type)
    assert objective == pytest.approx(J, rel=1e-11)
    np.testing.assert_allclose(updated.weights, weights, rtol=1e-10)
    np.testing.assert_allclose(updated.means, means, rtol=1e-10)
    assert updated.covariances.shape == covariances.shape
    np.testing.assert_allclose(updated.covariances, covariances, rtol=1e-8, atol=1e-11)
    assert updated.covariance_type is old.covariance_type


def expected_log_likelihood(X, inside, sample_weight, R, weights, means, matrices):
    """Return what the M-step maximises: the mean of log weights + log densities, expected under R and `inside`."""
    total = 0.0
    for k, (weight, mean, matrix) in enumerate(zip(weights, means, matrices, strict=True)):
        inverse = np.linalg.inv(matrix)
        distances = np.einsum("ni,ij,nj->n", X - mean, inverse, X - mean) + np.einsum("ij,nij->n", inverse, inside)
        log_joint = math.log(weight) - 0.5 * (np.linalg.slogdet(2 * math.pi * matrix)[1] + distances)
        total += float(sample_weight * R[:, k] @ log_joint)
    return total / float(sample_weight.sum())


def nearby(covariances, covariance_type, rng, size):
    """Change covariances by about `size` of their width in a random direction that their type allows."""
    if covariance_type in ("diag", "spherical"):
        return covariances * np.exp(size * rng.normal(size=covariances.shape))
    roots = np.linalg.cholesky(covariances)
    direction = rng.normal(size=covariances.shape)
    direction = (direction + np.swapaxes(direction, -1, -2)) / 2
    direction /= np.linalg.norm(direction, ord=2, axis=(-2, -1), keepdims=True)
    return roots @ (np.eye(covariances.shape[-1]) + size * direction) @ np.swapaxes(roots, -1, -2)


@pytest.mark.parametrize("variance", [0.0, 0.2])
@pytest.mark.parametrize("d", [1, 3])
@each_kind
def test_the_m_step_maximises_over_weights_means_and_covariances_of_the_type(covariance_type, d, variance):
    X, sample_weight, scatter, inside, old = step_problem(covariance_type, d, True, variance)
    best, _ = em_step(Cells.from_samples(X, sample_weight, scatter), old, variance)
    _, R = e_step_by_loops(
        X, inside, sample_weight, old.weights, old.means, as_matrices(old.covariances, covariance_type, 3, d)
    )

    def objective(weights, means, covariances):
        matrices = as_matrices(covariances, covariance_type, 3, d)
        return expected_log_likelihood(X, inside, sample_weight, R, weights, means, matrices)

    rng = np.random.default_rng(5)
    highest = objective(best.weights, best.means, best.covariances)
    for size in [1e-4, 1e-2, 0.3] * 10:
        assert objective(best.weights, best.means, nearby(best.covariances, covariance_type, rng, size)) < highest
        assert objective(best.weights, best.means + size * rng.normal(size=(3, d)), best.covariances) < highest
        weights = best.weights * np.exp(size * rng.normal(size=3))
        assert objective(weights / weights.sum(), best.means, best.covariances) < highest


@each_kind
def test_a_start_has_a_gaussian_for_each_cluster_and_weight_0_for_an_empty_one(covariance_type):
    rng = np.random.default_rng(6)
    X, sample_weight = rng.normal(size=(60, 2)) * [1.0, 3.0], rng.uniform(0.5, 2.0, 60)
    centers = np.array([[-1.0, 0.0], [1.0, 0.0], [50.0, 50.0]])
    start = start_from_centers(Cells.from_samples(X, sample_weight), centers, 0.01, COVARIANCE_TYPES[covariance_type])
    R = np.eye(3)[((X[:, np.newaxis] - centers) ** 2).sum(axis=2).argmin(axis=1)]
    inside = np.tile(0.01 * np.eye(2), (60, 1, 1))
    weights, means, covariances = m_step_by_loops(X, inside, sample_weight, R[:, :2], covariance_type)
    np.testing.assert_allclose(start.weights, [*weights, 0.0], rtol=1e-12)
    np.testing.assert_allclose(start.means, [*means, centers[2]], rtol=1e-10)
    _, _, whole = m_step_by_loops(X, inside, sample_weight, np.ones((60, 1)), covariance_type)
    expected = covariances if covariance_type == "tied" else np.concatenate([covariances, whole])
    np.testing.assert_allclose(start.covariances, expected, rtol=1e-9, atol=1e-12)


@pytest.mark.parametrize("scattered", [False, True])
@pytest.mark.parametrize("d", [1, 3])
@each_kind
def test_the_log_likelihood_that_is_reported_is_the_objective_of_the_e_step(covariance_type, d, scattered):
    X, sample_weight, scatter, inside, gaussians = step_problem(covariance_type, d, scattered, variance=0.0)
    cells = Cells.from_samples(X, sample_weight, scatter)
    matrices = as_matrices(gaussians.covariances, covariance_type, 3, d)
    J, R = e_step_by_loops(X, inside, sample_weight, gaussians.weights, gaussians.means, matrices)
    evaluation = evaluate(cells, gaussians)
    assert evaluation.log_likelihood == pytest.approx(J * sample_weight.sum(), rel=1e-10)
    assert evaluation.entropy == pytest.approx(-(sample_weight[:, np.newaxis] * R * np.log(R)).sum(), rel=1e-8)
    np.testing.assert_array_equal(most_probable(natural_parameters(gaussians, cells.origin), cells), R.argmax(axis=1))


# Laws of all types


def test_a_single_component_has_the_covariance_of_the_samples_under_the_constraint_of_its_type():
    X = draw_from(np.random.default_rng(7), random_mixture(np.random.default_rng(7), 2, 3), 200)
    covariance = np.cov(X, rowvar=False, bias=True)
    fits = {
        covariance_type: GaussianMixture(1, covariance_type=covariance_type, reg_covar=0).fit(X)
        for covariance_type in KINDS
    }
    np.testing.assert_allclose(fits["full"].covariances_, covariance[np.newaxis], rtol=1e-10)
    np.testing.assert_allclose(fits["tied"].covariances_, covariance, rtol=1e-10)
    np.testing.assert_allclose(fits["diag"].covariances_, np.diag(covariance)[np.newaxis], rtol=1e-10)
    np.testing.assert_allclose(fits["spherical"].covariances_, [np.trace(covariance) / 3], rtol=1e-10)
    J = {covariance_type: fit.lower_bound_ for covariance_type, fit in fits.items()}
    assert J["full"] == pytest.approx(J["tied"], rel=1e-12)
    assert J["full"] > J["diag"] > J["spherical"]


def test_of_a_single_feature_all_types_but_tied_make_the_same():
    X = draw_from(np.random.default_rng(8), random_mixture(np.random.default_rng(8), 3, 1), 300)
    options = {"reg_covar": 0.01, "random_state": 0, "max_iter": 500}
    full, diag, spherical = (
        GaussianMixture(3, covariance_type=k, **options).fit(X) for k in ("full", "diag", "spherical")
    )
    for other in (diag, spherical):
        np.testing.assert_allclose(other.covariances_.ravel(), full.covariances_.ravel(), rtol=1e-9)
        np.testing.assert_allclose(other.lower_bounds_, full.lower_bounds_, rtol=1e-11)


@converged_or_not
@each_kind
def test_a_component_far_from_all_samples_gets_weight_0_and_does_not_change_the_others(covariance_type):
    X = draw_from(np.random.default_rng(9), random_mixture(np.random.default_rng(9), 2, 2), 200)
    precisions = np.tile(np.eye(2), (3, 1, 1))
    options = {"covariance_type": covariance_type, "reg_covar": 0, "tol": 0, "max_iter": 6}
    three = GaussianMixture(
        3,
        **options,
        weights_init=[0.2, 0.3, 0.5],
        means_init=[*X[:2], [1e6, 1e6]],
        precisions_init=pooled(precisions, covariance_type),
    ).fit(X)
    two = GaussianMixture(
        2,
        **options,
        weights_init=[0.4, 0.6],
        means_init=X[:2],
        precisions_init=pooled(precisions[:2], covariance_type),
    ).fit(X)
    np.testing.assert_allclose(three.weights_, [*two.weights_, 0.0], rtol=1e-9)
    np.testing.assert_allclose(three.means_, [*two.means_, [1e6, 1e6]], rtol=1e-9)
    ours, theirs = (as_matrices(fit.covariances_, covariance_type, 2, 2)[:2] for fit in (three, two))
    np.testing.assert_allclose(ours, theirs, rtol=1e-9, atol=1e-12)
    if covariance_type != "tied":
        np.testing.assert_array_equal(three.covariances_[2], pooled(precisions, covariance_type)[2])
    np.testing.assert_allclose(three.score_samples(X), two.score_samples(X), rtol=1e-9)
    assert not three.predict_proba(X)[:, 2].any()


@each_kind
def test_a_collapse_without_regularisation_is_an_error_and_with_it_a_fit(covariance_type):
    X = np.repeat([[0.1, 0.7], [0.3, 0.2]], 10, axis=0)
    with pytest.raises(
        SingularCovarianceError,
        match=r"(component \d|all components share) collapsed .*above 0\): use fewer components",
    ):
        GaussianMixture(2, covariance_type=covariance_type, reg_covar=0, random_state=0).fit(X)
    fit = GaussianMixture(2, covariance_type=covariance_type, reg_covar=1e-3, random_state=0).fit(X)
    for matrix in as_matrices(fit.covariances_, covariance_type, 2, 2):
        np.testing.assert_allclose(matrix, 1e-3 * np.eye(2), atol=1e-13)


# Laws


@st.composite
def problems(draw, max_components=3):
    """Draw samples of overlapping Gaussians, and numbers of components and iterations."""
    seed, d = draw(st.integers(0, 100_000)), draw(st.integers(1, 3))
    rng = np.random.default_rng(seed)
    X = draw_from(rng, random_mixture(rng, 3, d), 150)
    return X, draw(st.integers(1, max_components)), draw(st.integers(0, 10)), seed


def start_of(X, n_components, covariance_type, seed):
    """Make a start that fits `X` badly: samples as means, and the covariance of all."""
    rng = np.random.default_rng(seed)
    precision = np.linalg.inv(np.cov(X, rowvar=False).reshape(X.shape[1], X.shape[1]))
    return {
        "weights_init": rng.dirichlet(np.full(n_components, 9.0)),
        "means_init": X[rng.choice(len(X), n_components, replace=False)],
        "precisions_init": pooled(np.tile((precision + precision.T) / 2, (n_components, 1, 1)), covariance_type),
    }


@st.composite
def degenerate_samples(draw):
    """Draw samples with duplicates, flat directions, a distant outlier and unequal weights."""
    rng = np.random.default_rng(draw(st.integers(0, 100_000)))
    n, d = draw(st.integers(6, 40)), draw(st.integers(1, 3))
    X = rng.normal(size=(n, d))
    what = draw(st.sampled_from(["lattice", "duplicates", "flat", "outlier", "smooth"]))
    if what == "lattice":
        X = rng.integers(0, 3, (n, d)).astype(float)
    elif what == "duplicates":
        X = X[rng.integers(0, 4, n)]
    elif what == "flat":
        X[:, -1] = 0.3
    elif what == "outlier":
        X[0] += 1e3
    return X, rng.choice([1.0, 5.0, 400.0], n) if draw(st.booleans()) else np.ones(n)


law = settings(max_examples=20)


@converged_or_not
@each_kind
@settings(law, max_examples=60)
@given(
    data=degenerate_samples(),
    n_components=st.integers(1, 5),
    reg_covar=st.sampled_from([0.0, 1e-6, 1e-3, 0.3]),
    init_params=st.sampled_from(["kmeans", "k-means++", "random", "random_from_data"]),
    seed=st.integers(0, 3),
)
def test_the_objective_never_falls_unless_a_collapse_is_reported(
    covariance_type, data, n_components, reg_covar, init_params, seed
):
    X, weight = data
    d = X.shape[1]
    options = {
        "covariance_type": covariance_type,
        "reg_covar": reg_covar,
        "init_params": init_params,
        "random_state": seed,
    }
    try:
        fit = GaussianMixture(n_components, tol=1e-8, max_iter=30, **options).fit(X, sample_weight=weight)
    except SingularCovarianceError:
        assert reg_covar == 0
        return
    trace = np.array(fit.lower_bounds_)
    assert np.isfinite(trace).all()
    narrowest = [
        np.linalg.eigvalsh(matrix).min() for matrix in as_matrices(fit.covariances_, covariance_type, n_components, d)
    ]
    assert min(narrowest) >= reg_covar * (1 - 1e-3)
    # A covariance E[x x^T] - m m^T is exact to some rounding errors of the squares about the center of the data.
    rounding = 20 * np.finfo(float).eps * np.ptp(X) ** 2 / min(narrowest)
    assert np.diff(trace).min(initial=0.0) >= -1e-9 * max(1.0, np.abs(trace).max()) - rounding
    assert fit.weights_.sum() == pytest.approx(1.0, abs=1e-12)
    np.testing.assert_allclose(fit.predict_proba(X).sum(axis=1), 1.0, rtol=1e-12)


@converged_or_not
@each_kind
@law
@given(problem=problems(), reg_covar=st.sampled_from([0.0, 0.05]))
def test_the_order_of_the_samples_does_not_matter(covariance_type, problem, reg_covar):
    X, n_components, max_iter, seed = problem
    options = {"covariance_type": covariance_type, "reg_covar": reg_covar, "tol": 0, "max_iter": max_iter}
    estimator = GaussianMixture(n_components, **options, **start_of(X, n_components, covariance_type, seed))
    shuffled = np.random.default_rng(seed).permutation(X)
    assert_same_fit(estimator.fit(X), GaussianMixture(**estimator.get_params()).fit(shuffled))


@converged_or_not
@each_kind
@law
@given(problem=problems(), reg_covar=st.sampled_from([0.0, 0.05]), shift=st.sampled_from([-3.0, 50.0, 1e3]))
def test_shifting_the_samples_shifts_the_means_only(covariance_type, problem, reg_covar, shift):
    X, n_components, max_iter, seed = problem
    move = shift * np.array([1.0, -2.0, 0.5])[: X.shape[1]]
    options = {
        "covariance_type": covariance_type,
        "reg_covar": reg_covar,
        "tol": 0,
        "max_iter": max_iter,
        "random_state": seed,
    }
    here = GaussianMixture(n_components, **options).fit(X)
    there = GaussianMixture(n_components, **options).fit(X + move)
    there.means_ = there.means_ - move
    assert_same_fit(there, here, tolerance=1e-8)


@converged_or_not
@each_kind
@law
@given(problem=problems(), scale=st.sampled_from([1e-4, 0.1, 30.0, 1e5]))
def test_scaling_the_samples_scales_the_mixture_and_shifts_the_log_likelihood_by_d_log_scale(
    covariance_type, problem, scale
):
    X, n_components, max_iter, seed = problem
    start = start_of(X, n_components, covariance_type, seed)
    scaled = {
        "weights_init": start["weights_init"],
        "means_init": scale * start["means_init"],
        "precisions_init": start["precisions_init"] / scale**2,
    }
    options = {"covariance_type": covariance_type, "reg_covar": 0, "tol": 0, "max_iter": max_iter}
    one = GaussianMixture(n_components, **options, **start).fit(X)
    other = GaussianMixture(n_components, **options, **scaled).fit(scale * X)
    assert_close(other.weights_, one.weights_, 1e-9)
    assert_close(other.means_, scale * one.means_, 1e-9)
    assert_close(other.covariances_, scale**2 * one.covariances_, 1e-9)
    shift = X.shape[1] * math.log(scale)
    np.testing.assert_allclose(np.array(other.lower_bounds_) + shift, one.lower_bounds_, atol=1e-9)
    assert other.score(scale * X) + shift == pytest.approx(one.score(X), abs=1e-9)


@converged_or_not
@each_kind
@law
@given(problem=problems(), reg_covar=st.sampled_from([0.0, 0.05]))
def test_a_weighted_fit_equals_that_of_repeated_rows(covariance_type, problem, reg_covar):
    X, n_components, max_iter, seed = problem
    counts = np.random.default_rng(seed).integers(1, 5, len(X))
    options = {"covariance_type": covariance_type, "reg_covar": reg_covar, "tol": 0, "max_iter": max_iter}
    start = start_of(X, n_components, covariance_type, seed)
    weighted = GaussianMixture(n_components, **options, **start).fit(X, sample_weight=counts)
    repeated = GaussianMixture(n_components, **options, **start).fit(np.repeat(X, counts, axis=0))
    assert_same_fit(weighted, repeated)


@converged_or_not
@each_kind
@law
@given(problem=problems(), init_params=st.sampled_from(["kmeans", "k-means++", "random", "random_from_data"]))
def test_a_sample_of_weight_zero_has_no_effect(covariance_type, problem, init_params):
    X, n_components, max_iter, seed = problem
    weight = np.random.default_rng(seed).uniform(0.5, 2.0, len(X))
    weight[::3] = 0.0
    X[::3] += 100.0
    kept = weight > 0
    options = {
        "covariance_type": covariance_type,
        "tol": 0,
        "max_iter": max_iter,
        "init_params": init_params,
        "random_state": seed,
    }
    zeroed = GaussianMixture(n_components, **options).fit(X, sample_weight=weight)
    assert_identical_fit(zeroed, GaussianMixture(n_components, **options).fit(X[kept], sample_weight=weight[kept]))


@converged_or_not
@each_kind
@law
@given(
    problem=problems(),
    other=problems(),
    init_params=st.sampled_from(["kmeans", "k-means++", "random", "random_from_data"]),
)
def test_a_fit_depends_on_the_seed_and_the_samples_but_not_on_previous_fits(
    covariance_type, problem, other, init_params
):
    X, n_components, max_iter, seed = problem
    options = {
        "covariance_type": covariance_type,
        "tol": 0,
        "max_iter": max_iter,
        "init_params": init_params,
        "random_state": seed,
    }
    estimator = GaussianMixture(n_components, **options).fit(other[0])
    fresh = GaussianMixture(n_components, **options).fit(X)
    assert estimator.fit(X) is estimator
    assert vars(estimator).keys() == vars(fresh).keys()
    assert_identical_fit(estimator, fresh)
    assert estimator.n_features_in_ == X.shape[1]
    assert (estimator.n_iter_, estimator.converged_) == (fresh.n_iter_, fresh.converged_)


@converged_or_not
@each_kind
@settings(law, max_examples=10)
@given(problem=problems())
def test_a_fit_does_not_change_its_arguments(covariance_type, problem):
    X, n_components, max_iter, seed = problem
    rng = np.random.default_rng(seed)
    given_arrays = {
        "X": X,
        "sample_weight": rng.uniform(0.0, 2.0, len(X)),
        "sample_covariance": random_covariances(rng, *X.shape),
        **start_of(X, n_components, covariance_type, seed),
    }
    locked = {name: read_only(array) for name, array in given_arrays.items()}
    start = {name: locked[name] for name in ("weights_init", "means_init", "precisions_init")}
    fit = GaussianMixture(n_components, covariance_type=covariance_type, tol=0, max_iter=max_iter, **start)
    fit.fit(locked["X"], sample_weight=locked["sample_weight"], sample_covariance=locked["sample_covariance"])
    fit.predict_proba(locked["X"]), fit.icl(locked["X"], sample_weight=locked["sample_weight"])
    for name, array in given_arrays.items():
        np.testing.assert_array_equal(locked[name], array)
    for name, array in start.items():
        assert getattr(fit, name) is array
