"""Split and merge: laws of the search, and its parts against plain EM and brute force."""

import itertools
import os
import subprocess
import sys
from dataclasses import replace

import numpy as np
import pytest
from helpers import SAMPLE_IMAGES, draw_from, random_mixture, read_sample
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.mixture import GaussianMixture as ScikitMixture

from gmmquant import ColorHistogram, ParameterError, Quantizer, Settings, quantize
from gmmquant.models import budget, coarse_to_fine, split_merge
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
    best = ScikitMixture(6, n_init=20, random_state=0).fit(X).score(X)
    assert stuck.trace[-1] < best - 0.3
    fit = em(cells, searched(cells, start, **options).gaussians, max_iter=500, **options)
    assert fit.trace[-1] > best - 0.01


def merged_by_hand(mixture, i, j):
    w, m, S = mixture.weights, mixture.means, mixture.covariances
    total = w[i] + w[j]
    mean = (w[i] * m[i] + w[j] * m[j]) / total
    spread = sum(w[k] * (S[k] + np.outer(m[k] - mean, m[k] - mean)) for k in (i, j)) / total
    rest = [k for k in range(len(w)) if k not in (i, j)]
    return Gaussians(
        np.append(w[rest], total), np.vstack([m[rest], mean]), np.concatenate([S[rest], spread[np.newaxis]])
    )


def test_pairs_are_merged_in_the_order_of_what_they_lose():
    cells = random_cells(3, n=400, K=6)
    mixture = em(cells, start_of(cells, 6, 3), variance=VARIANCE, tol=1e-8, max_iter=300).gaussians
    merges = list(split_merge._merges(cells, mixture, VARIANCE, 0))
    objectives = {
        (i, j): e_step(cells, merged_by_hand(mixture, i, j), VARIANCE)[1] for i in range(6) for j in range(i + 1, 6)
    }
    assert len(merges) == 6
    of_merges = [objectives[merge.kept, merge.lost] for merge in merges]
    assert of_merges[0] == max(objectives.values())
    assert of_merges == sorted(of_merges, reverse=True)
    for merge, expected in zip(merges, of_merges, strict=True):
        assert e_step(cells, merge.gaussians, VARIANCE)[1] == pytest.approx(expected, abs=1e-3)


def test_fixed_components_are_not_merged():
    cells = random_cells(5, n=400, K=6)
    mixture = em(cells, start_of(cells, 6, 5), variance=VARIANCE, tol=1e-8, max_iter=300).gaussians
    pairs = [(merge.kept, merge.lost) for merge in split_merge._merges(cells, mixture, VARIANCE, 2)]
    assert sorted(pairs) == list(itertools.combinations(range(2, 6), 2))


def test_a_component_without_cells_has_no_split_and_those_after_it_have():
    cells = random_cells(6, n=400)
    mixture = em(cells, start_of(cells, 3, 6), variance=VARIANCE, tol=1e-8, max_iter=300).gaussians
    means = mixture.means.copy()
    means[0] += 1e3
    mixture = Gaussians(mixture.weights, means, mixture.covariances)
    assert [split.component for split in split_merge._splits(cells, mixture, VARIANCE, range(3))] == [1, 2]


def test_the_cuts_of_a_component_do_not_depend_on_the_unit_of_the_weights():
    cells = random_cells(7)
    moments = split_merge._moments_of_parts(cells, 10, VARIANCE)
    assert len(moments) == 10
    for factor in (2.0**-20, 2.0**20):
        scaled = Cells(factor * cells.weights, cells.offsets, cells.scatter, cells.origin)
        np.testing.assert_array_equal(split_merge._moments_of_parts(scaled, 10, VARIANCE), factor * moments)


def test_each_try_starts_from_as_many_components_and_a_split_raises_what_a_merge_left():
    cells = random_cells(11, n=600, K=8)
    mixture = em(cells, start_of(cells, 6, 11), variance=VARIANCE, tol=1e-8, max_iter=300).gaussians
    merges = [merge.gaussians for merge in split_merge._merges(cells, mixture, VARIANCE, 0)]
    starts = []

    def improve(start, max_iter):
        starts.append(start)
        return em(cells, start, variance=VARIANCE, tol=1e-6, max_iter=max_iter)

    fits = list(split_merge._tries(mixture, improve, cells, VARIANCE, 0))
    assert [len(fit.gaussians.weights) for fit in fits] == [6] * (1 + split_merge._N_MERGES)
    for merged, start in zip(merges, starts[-split_merge._N_MERGES :], strict=True):
        assert e_step(cells, start, VARIANCE)[1] > e_step(cells, merged, VARIANCE)[1]
        # One component was replaced by two parts, the second of which is the last one, with its weight and mean.
        replaced = np.flatnonzero((start.means[:-1] != merged.means).any(axis=1)).item()
        parts = [replaced, -1]
        assert start.weights[parts].sum() == pytest.approx(merged.weights[replaced])
        mean = np.average(start.means[parts], axis=0, weights=start.weights[parts])
        np.testing.assert_allclose(mean, merged.means[replaced], atol=0.15)


def test_a_narrow_component_is_found_inside_a_wide_one():
    rng = np.random.default_rng(2)
    X = np.concatenate([rng.normal(0, 0.1, (300, 3)), rng.normal(0, 3.0, (300, 3))])
    cells = Cells.from_samples(X, np.ones(600))
    moments = split_merge._moments_of_parts(cells, 10, 1e-6)
    previous = start_of(cells, 2, 0)
    parts, objective = split_merge._fit_parts(cells, moments, 1e-6, previous)
    true = Gaussians(np.full(2, 0.5), np.zeros((2, 3)), np.stack([0.01 * np.eye(3), 9.0 * np.eye(3)]))
    assert objective > e_step(cells, true, 1e-6)[1] - 0.01
    np.testing.assert_allclose(sorted(np.sqrt(np.trace(parts.covariances, axis1=1, axis2=2) / 3)), [0.1, 3], rtol=0.1)


@pytest.mark.parametrize("kind", KINDS)
def test_the_parts_of_a_split_are_those_of_em_on_the_cells_of_the_component(kind):
    cells = random_cells(5)
    moments = split_merge._moments_of_parts(cells, split_merge.n_rows_for(cells, COVARIANCE_TYPES[kind]), VARIANCE)
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


def test_a_search_stops_within_its_budget(monkeypatch):
    cells = random_cells(9, n=400)
    start = start_of(cells, 6, 9)
    plain = em(cells, start, variance=VARIANCE, tol=1e-6, max_iter=30, accelerated=True)
    assert searched(cells, start, max_scores=0).trace == plain.trace[-1:]
    n_tries = 0

    def counted(*arguments, of=split_merge._tries):
        nonlocal n_tries
        for fit in of(*arguments):
            n_tries += 1
            yield fit

    monkeypatch.setattr(split_merge, "_tries", counted)
    optimum = searched(cells, start).gaussians
    for max_scores, expected in ((1, 1), (10**7, 1 + split_merge._N_MERGES)):
        n_tries = 0
        searched(cells, optimum, max_scores=max_scores)
        assert n_tries == expected


def test_changes_are_chosen_on_the_cells_to_rank(monkeypatch):
    cells, coarser, seen = random_cells(9, n=400), random_cells(9, n=200), []
    monkeypatch.setattr(split_merge, "_tries", lambda *arguments: seen.append(arguments[2]) or iter(()))
    searched(cells, start_of(cells, 4, 9), ranking=coarser)
    assert seen == [coarser]


def histogram_of(name):
    return ColorHistogram.from_pixels(read_sample(name).reshape(-1, 3))


@pytest.mark.parametrize(("name", "k"), [("cat.jpg", 3), ("cat.jpg", 7), ("rocket.jpg", 7)])
def test_a_search_finds_higher_likelihoods_in_photographs_and_more_starts_never_lower_ones(name, k):
    histogram = histogram_of(name)
    plain = Fitter(histogram, Settings(style="likelihood", search="none")).fit(k)
    ends = [Fitter(histogram, Settings(style="likelihood", restarts=n)).fit(k).trace[-1] for n in (1, 4, 8, 25)]
    assert ends[0] > plain.trace[-1] + 0.001
    assert ends == sorted(ends)


@pytest.mark.parametrize("k", [3, 16, 64, 128])
def test_a_search_does_not_lower_the_likelihood_of_a_small_image(k):
    histogram = ColorHistogram.from_pixels(
        np.ascontiguousarray(read_sample("cat.jpg")[100:164, 100:164]).reshape(-1, 3)
    )
    fits = [Fitter(histogram, Settings(style="likelihood", search=name)).fit(k) for name in ("none", "split-merge")]
    assert fits[1].trace[-1] > fits[0].trace[-1] + (0.001 if k == 3 else 0.01)


def test_a_search_gives_the_same_fit_for_any_number_of_threads():
    script = """
from gmmquant import quantize
image = quantize("sample_images/coffee.png", 20, style="likelihood")
print(image.fit.trace[-1].hex(), [mean.hex() for mean in image.means.ravel().tolist()])
"""
    outputs = [
        subprocess.run(
            [sys.executable, "-c", script],
            env=os.environ | {"OPENBLAS_NUM_THREADS": threads, "OMP_NUM_THREADS": threads},
            cwd=SAMPLE_IMAGES.parent,
            capture_output=True,
            check=True,
        ).stdout
        for threads in ("1", "2")
    ]
    assert outputs[0] == outputs[1]


def test_of_several_searches_the_one_that_ends_highest_is_kept(monkeypatch):
    histogram, ends = histogram_of("cat.jpg"), []

    def descended(levels, start, of=coarse_to_fine.descend, **options):
        # The first fit to all levels is made the better one.
        fit = of(levels, start, **options)
        if "watch" not in options:
            return fit
        fit = fit if ends else replace(fit, trace=(*fit.trace[:-1], fit.trace[-1] + 1))
        ends.append(fit.trace[-1])
        return fit

    monkeypatch.setattr(coarse_to_fine, "descend", descended)
    monkeypatch.setattr(coarse_to_fine, "MIN_GAIN_NATS", -1.0)
    fit = Fitter(histogram, Settings(style="likelihood", restarts=5)).fit(3)
    assert len(ends) == 2
    assert fit.trace[-1] == max(ends) == ends[0]
    monkeypatch.undo()
    ends.clear()
    monkeypatch.setattr(coarse_to_fine, "descend", descended)
    Fitter(histogram, Settings(style="likelihood", restarts=5)).fit(3)
    assert len(ends) == 1  # the second search ends at the same optimum


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


def test_fixed_means_stay_at_every_level_of_a_search(levels):
    fixed = np.array([[0.0, 0, 0], [1.0, 0, 0]])
    fit = coarse_to_fine.fit_by_search(
        levels[:2],
        4,
        init="kmeans",
        restarts=1,
        rng=np.random.default_rng(0),
        covariance_type=COVARIANCE_TYPES["full"],
        variance=1e-6,
        tol=1e-4,
        max_iter=3,
        fixed=fixed,
    )
    np.testing.assert_array_equal(fit.gaussians.means[:2], fixed)


def test_with_too_many_components_for_a_search_there_is_none(monkeypatch):
    histogram = histogram_of("cat.jpg")
    plain, searching = (
        Fitter(histogram, Settings(style="likelihood", search=name)) for name in ("none", "split-merge")
    )
    assert searching.fit(4).trace != plain.fit(4).trace
    monkeypatch.setattr(budget, "MAX_SEARCHED_SCORES", 4 * searching.levels[0].weights.size - 1)
    assert searching.fit(4).trace == plain.fit(4).trace


def test_the_limit_of_iterations_is_that_of_the_em_after_the_search():
    histogram = histogram_of("cat.jpg")
    plain = Fitter(histogram, Settings(style="likelihood", search="none")).fit(12)
    limits = (1, 5, 5000)
    fits = [Fitter(histogram, Settings(style="likelihood", tol=1e-9, max_iter=limit)).fit(12) for limit in limits]
    assert [fit.n_iter for fit in fits[:2]] == [1, 5]
    objectives = [fit.trace[-1] for fit in fits]
    assert objectives == sorted(objectives)
    assert objectives[0] > plain.trace[-1]  # the search is not cut short
    assert fits[-1].converged


@pytest.mark.parametrize(
    ("others", "contradicted"),
    [
        ({}, "shrink = 0.9; use shrink = 0"),
        ({"method": "kmeans"}, "method = 'kmeans'; use 'gmm'"),
        ({"covariance": "tied"}, "covariance = 'tied'; use 'full'"),
    ],
)
def test_a_search_that_something_else_contradicts_is_refused(others, contradicted):
    with pytest.raises(ParameterError, match=f"search = 'split-merge' contradicts {contradicted}"):
        Settings(search="split-merge", **others)
    by_style = {"style": "likelihood", "shrink": Settings(**others).shrink}
    assert Settings(**by_style | others).search == "none"
