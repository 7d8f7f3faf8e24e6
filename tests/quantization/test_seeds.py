"""Fits from several seeds: the best is used, and the figures of all are those of separate runs."""

import json

import numpy as np
import pytest
from helpers import read_sample

from gmmquant import ParameterError, Quantizer, quantize
from gmmquant.parsing import parse_seeds

CAT = read_sample("cat.jpg")


@pytest.mark.parametrize(("method", "k"), [("gmm", 9), ("kmeans", 40)])
def test_the_figures_of_each_seed_are_those_of_a_run_with_it_and_the_best_is_used(method, k):
    options = {"method": method, "restarts": 1}
    result = quantize(CAT, k, seed=2, n_seeds=3, **options)
    separate = {seed: quantize(CAT, k, seed=seed, **options) for seed in (2, 3, 4)}
    assert [figures.seed for figures in result.fit.seeds] == [2, 3, 4]
    for figures in result.fit.seeds:
        alone = separate[figures.seed]
        assert figures.mean_log_likelihood == pytest.approx(alone.mean_log_likelihood, rel=1e-12)
        assert figures.objective == alone.fit.trace[-1]
    if method == "gmm":
        best = max(separate.values(), key=lambda each: each.mean_log_likelihood)
    else:
        best = min(separate.values(), key=lambda each: each.mse)
    assert len({each.fit.trace[-1] for each in separate.values()}) > 1
    np.testing.assert_array_equal(result.image, best.image)
    assert separate[2].fit.seeds == ()


@pytest.mark.parametrize("seed", ["1-5", (1, 5), [1, 2, 3], range(1, 6), np.arange(3), None, 1.5])
def test_several_seeds_are_answered_with_the_arguments_for_them(seed):
    with pytest.raises(ParameterError, match="use one of at least 0; seed=1, n_seeds=5 takes the best of"):
        quantize(CAT, 7, seed=seed)


def test_exact_colors_have_no_seeds():
    flat = np.repeat(np.arange(12, dtype=np.uint8).reshape(2, 2, 3) * 20, 4, axis=0)
    assert Quantizer(flat, n_seeds=3).fit(9).fit.seeds == ()


@pytest.mark.parametrize(("text", "seeds"), [("3", [3]), ("1-5", [1, 2, 3, 4, 5]), (" 7-7 ", [7])])
def test_seeds_are_a_number_or_a_range(text, seeds):
    assert list(parse_seeds(text)) == seeds


@pytest.mark.parametrize("text", ["", "x", "5-1", "-3", "1-2-3", "0-1000", "1.5", "9" * 30])
def test_other_texts_are_refused(text):
    with pytest.raises(ValueError, match=r"is not a seed; use|1 to 1000 seeds; use"):
        parse_seeds(text)


def test_the_command_reports_the_spread_over_seeds(command, samples, tmp_path):
    result = command(samples / "cat.jpg", "-k", "7", "--seed", "1-3", "--restarts", "1", "-o", "out")
    assert result.returncode == 0, result.stderr
    record = json.loads((tmp_path / "out/cat_report.json").read_text())
    (fit,) = record["fits"]
    values = [figures["mean_log_likelihood"] for figures in fit["seeds"]]
    assert fit["mean_log_likelihood"] == pytest.approx(max(values), rel=1e-12)
    assert f"mean {np.mean(values):.4f}, standard deviation {np.std(values, ddof=1):.4f}" in result.stderr
    assert (record["settings"]["seed"], record["settings"]["n_seeds"]) == (1, 3)


def test_the_note_on_seeds_of_kmeans_shows_the_squared_error_that_decides(command, samples, tmp_path):
    options = ["-k", "7", "--method", "kmeans", "--seed", "1-4", "--restarts", "1", "-o", "out"]
    result = command(samples / "cat.jpg", *options)
    (fit,) = json.loads((tmp_path / "out/cat_report.json").read_text())["fits"]
    values = [figures["objective"] for figures in fit["seeds"]]
    (note,) = (line for line in result.stderr.splitlines() if "seeds 1 to 4" in line)
    assert f"squared distance to a centre in sRGB at k = 7, seeds 1 to 4: mean {np.mean(values):.4g}," in note
    assert f"from {min(values):.4g} to {max(values):.4g}; " in note
    assert f"the fit of seed {fit['best_seed']}, the lowest, is kept" in note
    assert fit["seeds"][fit["best_seed"] - 1]["objective"] == min(values)


@pytest.mark.parametrize("options", [["--palette", "bw"], ["--seed", "3-1"]])
def test_seeds_without_an_effect_are_refused(command, samples, options):
    refused = command(samples / "cat.jpg", "--seed", "1-3", *options)
    assert (refused.returncode, refused.stderr.count("\n")) == (2, 1)
