"""The prior on covariances: its penalty, its M-step, and fits with it."""

import numpy as np
import pytest
from helpers import draw_from, random_covariances, random_mixture, read_sample
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.optimize import minimize
from scipy.stats import invwishart

from gmmquant import ColorHistogram
from gmmquant.models.cells import Cells
from gmmquant.models.coarse_to_fine import best_start, descend, start_with_prior
from gmmquant.models.covariance import FULL, TIED
from gmmquant.models.em import e_step, em, m_step
from gmmquant.models.gaussian import Gaussians
from gmmquant.models.prior import CovariancePrior
from gmmquant.models.starts import make_start
from gmmquant.quantization.fitter import Fitter
from gmmquant.settings import Settings

VARIANCE, N = 0.02, 240


@pytest.fixture
def cells():
    rng = np.random.default_rng(1)
    return Cells.from_samples(draw_from(rng, random_mixture(rng, 4, 3), N), np.ones(N))


def mixture_of(rng, n_components=4, d=3):
    return Gaussians(*random_mixture(rng, n_components, d))


def prior_of(rng, weight=0.1):
    return CovariancePrior(random_covariances(rng, 1, 3)[0], weight)


def test_the_penalty_differs_between_mixtures_as_scipys_inverse_wishart_density_does():
    rng = np.random.default_rng(0)
    prior = prior_of(rng)
    samples = prior.weight * N  # the prior counts as many samples for each component
    density = invwishart(df=samples - 4, scale=samples * prior.scale)
    first, second = mixture_of(rng), mixture_of(rng)
    expected = sum(density.logpdf(covariance) for covariance in first.covariances)
    expected -= sum(density.logpdf(covariance) for covariance in second.covariances)
    assert prior.penalty(second) - prior.penalty(first) == pytest.approx(expected / N, rel=1e-10)


def test_the_penalty_is_0_where_all_covariances_are_the_priors_and_positive_elsewhere():
    rng = np.random.default_rng(2)
    prior, mixture = prior_of(rng), mixture_of(rng)
    same = Gaussians(mixture.weights, mixture.means, np.broadcast_to(prior.scale, (4, 3, 3)))
    assert prior.penalty(same) == pytest.approx(0, abs=1e-14)
    assert prior.penalty(mixture) > 0.01


def test_a_component_of_average_weight_is_drawn_by_the_shrinkage_to_a_shape_of_a_third_of_the_tied_variance():
    rng = np.random.default_rng(4)
    tied, scatter, shape = random_covariances(rng, 3, 3)
    start = Gaussians(np.full(5, 0.2), rng.normal(size=(5, 3)), tied, TIED)
    prior = CovariancePrior.towards(start, 0.7, shape)
    (shrunk,) = prior.shrunk(scatter[np.newaxis], np.array([0.2]))
    part = sum(np.linalg.eigvalsh(tied)) / sum(np.linalg.eigvalsh(shape)) / 3
    np.testing.assert_allclose(shrunk, 0.3 * scatter + 0.7 * part * shape, rtol=1e-12)


def test_a_start_with_a_prior_has_its_scale_as_covariances_and_no_penalty(cells):
    rng = np.random.default_rng(7)
    tied = make_start(cells, 4, "kmeans", rng, VARIANCE, TIED)
    limits = {"variance": VARIANCE, "tol": 1e-7, "max_iter": 100}
    start = start_with_prior(cells, tied, 0.5, **limits)
    converged = em(cells, tied, accelerated=True, **(limits | {"tol": 3e-8})).gaussians
    np.testing.assert_array_equal(start.prior.scale, CovariancePrior.towards(converged, 0.5, np.eye(3)).scale)
    np.testing.assert_array_equal(start.gaussians.means, converged.means)
    np.testing.assert_array_equal(start.gaussians.covariances, np.repeat(start.prior.scale[None], 4, axis=0))
    assert start.prior.penalty(start.gaussians) == pytest.approx(0, abs=1e-12)
    assert start.trace == pytest.approx([e_step(cells, start.gaussians, VARIANCE)[1]], abs=1e-12)


def test_the_m_step_finds_the_covariances_that_a_general_optimizer_finds(cells):
    """The expected objective of a component, less its part of the penalty, as a function of a Cholesky factor."""
    rng = np.random.default_rng(3)
    prior, start = prior_of(rng), make_start(cells, 3, "kmeans", rng, VARIANCE)
    moments, _ = e_step(cells, start, VARIANCE)
    updated = m_step(moments, cells.origin, VARIANCE, start, prior=prior)
    plain = m_step(moments, cells.origin, VARIANCE, start)
    np.testing.assert_array_equal(updated.means, plain.means)
    np.testing.assert_array_equal(updated.weights, plain.weights)
    for weight, scatter, covariance in zip(plain.weights, plain.covariances, updated.covariances, strict=True):

        def loss(entries, weight=weight, scatter=scatter):
            factor = np.zeros((3, 3))
            factor[np.tril_indices(3)] = entries
            precision = factor @ factor.T
            total = weight * scatter + prior.weight * prior.scale
            log_det = 2 * np.log(np.abs(np.diag(factor))).sum()
            return 0.5 * (np.trace(precision @ total) - (weight + prior.weight) * log_det)

        found = minimize(loss, np.eye(3)[np.tril_indices(3)], method="BFGS", options={"gtol": 1e-9})
        factor = np.zeros((3, 3))
        factor[np.tril_indices(3)] = found.x
        np.testing.assert_allclose(covariance, np.linalg.inv(factor @ factor.T), rtol=1e-4, atol=1e-6)


@settings(max_examples=30)
@given(st.integers(0, 100_000), st.sampled_from([0.1, 0.5, 0.8, 0.99]), st.booleans(), st.sampled_from([0, 2, 4]))
def test_the_penalized_objective_never_falls(seed, shrinkage, accelerated, n_fixed):
    rng = np.random.default_rng(seed)
    cells = Cells.from_samples(draw_from(rng, random_mixture(rng, 4, 3), 150), rng.uniform(0.5, 2.0, 150))
    start = make_start(cells, 4, "kmeans", rng, VARIANCE)
    tied, shape = make_start(cells, 4, "kmeans", rng, VARIANCE, TIED), random_covariances(rng, 1, 3)[0]
    prior = CovariancePrior.towards(tied, shrinkage, shape)
    limits = {"variance": VARIANCE, "tol": 1e-7, "max_iter": 60, "n_fixed": n_fixed}
    fit = em(cells, start, prior=prior, accelerated=accelerated, **limits)
    assert np.diff(fit.trace).min() > -1e-12
    assert fit.trace[-1] == pytest.approx(
        e_step(cells, fit.gaussians, VARIANCE)[1] - prior.penalty(fit.gaussians), abs=1e-12
    )


@pytest.fixture(scope="module")
def histogram():
    return ColorHistogram.from_pixels(read_sample("cat.jpg").reshape(-1, 3))


def fitted(histogram, **options):
    return Fitter(histogram, Settings(**options)).fit(7)


def test_all_covariances_approach_the_scale_as_the_shrinkage_approaches_1(cells):
    limits = {"variance": VARIANCE, "tol": 1e-9, "max_iter": 200}
    start = best_start(
        [cells],
        3,
        init="kmeans",
        restarts=1,
        rng=np.random.default_rng(0),
        covariance_type=FULL,
        shrinkage=0.9999,
        **limits,
    )
    fit = descend([cells], start, **limits)
    np.testing.assert_allclose(
        fit.gaussians.covariances, np.repeat(start.prior.scale[None], 3, axis=0), rtol=0.01, atol=1e-3
    )


def test_more_shrinkage_brings_the_covariances_closer_together(histogram):
    def spread(fit):
        return np.log(np.linalg.det(fit.mixture.covariances)).std()

    spreads = [spread(fitted(histogram, shrink=shrinkage)) for shrinkage in (0.0, 0.3, 0.6, 0.9)]
    assert spreads == sorted(spreads, reverse=True)
    assert spreads[-1] < 0.3 * spreads[0]


@pytest.mark.parametrize("options", [{"shrink": 0.8}, {"noise": 2.0}, {"shrink": 0.8, "noise": 2.0, "space": "oklab"}])
def test_the_objective_of_an_image_never_falls_from_level_to_level(histogram, options):
    fit = fitted(histogram, **options)
    assert len(set(fit.n_cells)) > 1
    assert np.diff(fit.trace).min() > -1e-12
    assert len(fit.trace) == len(fit.n_cells) == fit.n_iter + len(set(fit.n_cells))


def test_a_fixed_palette_keeps_its_colours_under_the_prior(histogram):
    palette = np.array([[20, 20, 20], [160, 120, 90], [240, 230, 220]], dtype=np.uint8)
    fitter = Fitter(histogram, Settings(shrink=0.8, noise=2.0))
    fit = fitter.fit_palette(palette)
    np.testing.assert_allclose(fit.mixture.means, palette / 255, atol=1e-15)
    assert np.diff(fit.trace).min() > -1e-12


@pytest.mark.parametrize("method", ["kmeans", "gmm"])
def test_shrinkage_has_no_effect_on_kmeans_or_on_other_covariance_types(histogram, method):
    for covariance in ("full", "diag") if method == "kmeans" else ("tied", "diag", "spherical"):
        plain, shrunk = (fitted(histogram, method=method, covariance=covariance, shrink=s) for s in (0.0, 0.8))
        np.testing.assert_array_equal(plain.mixture.covariances, shrunk.mixture.covariances)
        assert plain.trace == shrunk.trace
