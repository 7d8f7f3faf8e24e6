"""Split and merge: laws of the search, and its parts against plain EM and brute force."""

import numpy as np
import pytest
from helpers import draw_from, random_mixture, read_sample
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.mixture import GaussianMixture as ScikitMixture

from gmmquant import ColorHistogram, ParameterError, Quantizer, Settings, quantize
from gmmquant.models import budget, split_merge
from gmmquant.models.cells import Cells
from gmmquant.models.covariance import COVARIANCE_TYPES
from gmmquant.models.em import e_step, em
from gmmquant.models.gaussian import Gaussians
from gmmquant.models.split_merge import MIN_GAIN_NATS, split_and_merge
from gmmquant.models.starts import make_start, start_from_centers
from gmmquant.quantization.fitter import Fitter

KINDS = ["full", "diag", "spherical"]
VARIANCE = 1e-3


def random_cells(seed, n=200, K=4):
    rng = np.random.default_rng(seed)
    return Cells.from_samples(draw_from(rng, random_mixture(rng, K, 3), n), rng.uniform(0.5, 2.0, n))


def start_of(cells, K, seed, kind="full", fixed=None):
    rng = np.random.default_rng(seed)
    return make_start(cells, K, "random_from_data", rng, VARIANCE, COVARIANCE_TYPES[kind], fixed=fixed)


def searched(cells, start, **options):
    return split_and_merge(cells, start, **{"variance": VARIANCE, "tol": 1e-6, "max_scores": 10**7} | options)


@settings(max_examples=30)
@given(st.integers(0, 100_000), st.sampled_from(KINDS), st.integers(1, 6), st.integers(0, 2))
def test_a_search_never_ends_below_em_and_keeps_the_number_of_components(seed, kind, K, n_fixed):
    cells = random_cells(seed)
    fixed = cells.positions()[: min(n_fixed, K)]
    start = start_of(cells, K, seed, kind, fixed)
    plain = em(cells, start, variance=VARIANCE, tol=1e-6, max_iter=30, accelerated=True, n_fixed=len(fixed))
    fit = searched(cells, start, n_fixed=len(fixed))
    assert fit.trace[-1] >= plain.trace[-1]
    assert e_step(cells, fit.gaussians, VARIANCE)[1] == pytest.approx(fit.trace[-1], abs=1e-12)
    assert fit.gaussians.covariances.shape == start.covariances.shape
    assert fit.gaussians.weights.sum() == pytest.approx(1)
    np.testing.assert_array_equal(fit.gaussians.means[: len(fixed)], fixed)


def test_a_search_leaves_a_local_optimum_for_the_best_of_many_starts_of_scikit_learn():
    rng = np.random.default_rng(1)
    centers = np.array([[0.0, 0, 0], [9, 0, 0], [0, 9, 0], [60, 60, 0], [69, 60, 0], [60, 69, 0]])
    X = np.concatenate([rng.normal(center, 1.0, (150, 3)) for center in centers])
    cells = Cells.from_samples(X, np.ones(len(X)))
    # One component for three clusters, and five for the other three: EM alone cannot cross the gap.
    wrong = np.concatenate([[[3.0, 3, 0]], centers[3:], centers[3:5] + 0.5])
    start = start_from_centers(cells, wrong, 1e-6)
    options = {"variance": 1e-6, "tol": 1e-7}
    stuck = em(cells, start, max_iter=500, **options)
    best = max(ScikitMixture(6, n_init=20, random_state=0).fit(X).score(X), -np.inf)
    assert stuck.trace[-1] < best - 0.3
    fit = em(cells, searched(cells, start, **options).gaussians, max_iter=500, **options)
    assert fit.trace[-1] > best - 0.01


def test_the_first_merge_loses_least_of_all_pairs():
    cells = random_cells(3, n=400, K=6)
    mixture = em(cells, start_of(cells, 6, 3), variance=VARIANCE, tol=1e-8, max_iter=300).gaussians
    merge = next(split_merge._merges(cells, mixture, VARIANCE, 0))
    w, m, S = mixture.weights, mixture.means, mixture.covariances
    objectives = {}
    for i in range(6):
        for j in range(i + 1, 6):
            total = w[i] + w[j]
            mean = (w[i] * m[i] + w[j] * m[j]) / total
            spread = sum(w[k] * (S[k] + np.outer(m[k] - mean, m[k] - mean)) for k in (i, j)) / total
            rest = [k for k in range(6) if k not in (i, j)]
            merged = Gaussians(
                np.append(w[rest], total), np.vstack([m[rest], mean]), np.concatenate([S[rest], spread[np.newaxis]])
            )
            objectives[i, j] = e_step(cells, merged, VARIANCE)[1]
    assert max(objectives, key=objectives.get) == (merge.kept, merge.lost)
    assert e_step(cells, merge.gaussians, VARIANCE)[1] == pytest.approx(max(objectives.values()), abs=1e-3)


@pytest.mark.parametrize("kind", KINDS)
def test_the_parts_of_a_split_are_those_of_em_on_the_cells_of_the_component(kind):
    cells = random_cells(5)
    moments = split_merge._moments_of_parts(cells, split_merge.n_rows_for(cells, COVARIANCE_TYPES[kind]))
    assert len(moments) > 5
    np.testing.assert_allclose(
        moments.sum(axis=1), np.broadcast_to(moments[0].sum(axis=0), moments[:, 0].shape), atol=1e-9
    )
    previous = start_of(cells, 2, 0, kind)
    parts, objective = split_merge._fit_parts(cells, moments, VARIANCE, previous)
    fits = [
        em(
            cells,
            split_merge.m_step(pair, cells.origin, VARIANCE, previous),
            variance=VARIANCE,
            tol=0.0,
            max_iter=split_merge._PART_ITERATIONS,
        )
        for pair in moments
    ]
    best = max(fits, key=lambda fit: fit.trace[-1])
    assert objective == pytest.approx(best.trace[-1], abs=1e-9)
    np.testing.assert_allclose(parts.means, best.gaussians.means, rtol=1e-9)


def test_a_component_without_weight_finds_a_place():
    cells = random_cells(7, n=400, K=5)
    start = start_of(cells, 5, 7)
    start.weights[2] = 0.0
    start = Gaussians(start.weights / start.weights.sum(), start.means, start.covariances)
    plain = em(cells, start, variance=VARIANCE, tol=1e-8, max_iter=100)
    fit = searched(cells, start)
    assert plain.gaussians.weights.min() == 0
    assert fit.gaussians.weights.min() > 0.001
    assert fit.trace[-1] > plain.trace[-1] + MIN_GAIN_NATS


def test_a_search_stops_within_its_budget():
    cells = random_cells(9, n=400)
    start = start_of(cells, 6, 9)
    plain = em(cells, start, variance=VARIANCE, tol=1e-6, max_iter=30, accelerated=True)
    assert searched(cells, start, max_scores=0).trace == plain.trace[-1:]


def histogram_of(name):
    return ColorHistogram.from_pixels(read_sample(name).reshape(-1, 3))


@pytest.mark.parametrize(("name", "k"), [("cat.jpg", 3), ("cat.jpg", 7), ("rocket.jpg", 7)])
def test_a_search_finds_higher_likelihoods_in_photographs_and_more_starts_never_lower_ones(name, k):
    histogram = histogram_of(name)
    plain = Fitter(histogram, Settings(style="likelihood", search="none")).fit(k)
    ends = [Fitter(histogram, Settings(style="likelihood", restarts=n)).fit(k).trace[-1] for n in (1, 4, 8, 25)]
    assert ends[0] > plain.trace[-1] + 0.001
    assert ends == sorted(ends)


def test_a_searched_fit_rises_from_level_to_level_and_is_watched():
    seen = []
    fit = Quantizer(read_sample("cat.jpg"), style="likelihood").fit(7, lambda *step: seen.append(step)).fit
    assert np.diff(fit.trace).min() >= -1e-12
    values = [objective for _, objective in seen]
    starts = [i for i in range(len(values)) if values[i : i + len(fit.trace)] == list(fit.trace)]
    assert starts
    assert seen[starts[0] + len(fit.trace) - 1][0] == fit.n_iter


def test_kept_colours_stay_in_a_search():
    result = quantize(read_sample("cat.jpg"), 6, style="likelihood", keep_colors=["#000000", "#ff0000"])
    assert {(0, 0, 0), (255, 0, 0)} <= set(map(tuple, result.palette.tolist()))


def test_with_too_many_components_for_a_search_there_is_none(monkeypatch):
    histogram = histogram_of("cat.jpg")
    plain, searching = (
        Fitter(histogram, Settings(style="likelihood", search=name)) for name in ("none", "split-merge")
    )
    assert searching.fit(4).trace != plain.fit(4).trace
    monkeypatch.setattr(budget, "MAX_SEARCHED_SCORES", 4 * searching.levels[0].weights.size - 1)
    assert searching.fit(4).trace == plain.fit(4).trace


@pytest.mark.parametrize(
    ("others", "contradicted"),
    [
        ({}, "shrink = 0.9"),
        ({"method": "kmeans"}, "method = 'kmeans'"),
        ({"covariance": "tied"}, "covariance = 'tied'"),
        ({"style": "likelihood", "max_iter": 9}, "max_iter = 9"),
    ],
)
def test_a_search_that_something_else_contradicts_is_refused(others, contradicted):
    with pytest.raises(ParameterError, match=f"search = 'split-merge' contradicts {contradicted}; omit one"):
        Settings(search="split-merge", **others)
    by_style = {"style": "likelihood", "shrink": Settings(**others).shrink}
    assert Settings(**by_style | others).search == "none"
