"""The record of results in memory, against that of the command."""

import json

import numpy as np
import pytest
from helpers import SAMPLE_IMAGES
from scipy.special import logsumexp
from scipy.stats import multivariate_normal

from gmmquant import ParameterError, Quantizer, make_record, plot_criteria, quantize, read_image
from gmmquant.report.record import covariances_of, to_json


def without_times(record):
    return json.loads(json.dumps(record), object_hook=lambda entry: {k: v for k, v in entry.items() if k != "seconds"})


def test_a_record_of_results_is_that_of_the_command_without_its_files(command, tmp_path, samples):
    assert command(samples / "grey.png", "-k", "2", "4", "-o", "out").returncode == 0
    report = without_times(json.loads((tmp_path / "out/grey_report.json").read_text()))
    quantizer = Quantizer(samples / "grey.png")
    record = without_times(make_record(quantizer, [quantizer.fit(2), quantizer.fit(4)]))
    assert record.keys() == report.keys()
    assert record["image"] == {**report["image"], "path": "grey.png"}
    assert record["settings"].items() <= report["settings"].items()
    assert len(record["fits"]) == len(report["fits"]) == 2
    for ours, theirs in zip(record["fits"], report["fits"], strict=True):
        assert ours == {**theirs, "files": {}, "bytes": None}


def test_a_record_is_strict_json_and_can_be_plotted(samples):
    pytest.importorskip("matplotlib")
    quantizer = Quantizer(samples / "grey.png")
    record = make_record(quantizer, quantizer.fit(3))
    assert json.loads(to_json(record)) == record
    plot_criteria(record)


def test_a_record_needs_results_of_its_image(samples):
    quantizer = Quantizer(samples / "grey.png")
    with pytest.raises(ParameterError, match="0 results have no record; pass at least 1"):
        make_record(quantizer, [])
    with pytest.raises(ParameterError, match="pass a result of this image"):
        make_record(quantizer, Quantizer(np.zeros((5, 6, 3), np.uint8)).fit(1))


OTHERS = [
    *({"method": "kmeans"}, {"dither": "bayer", "method": "gmm"}, {"style": "likelihood"}, {"seed": 4}, {"n_seeds": 2}),
    *({"noise": 1.0}, {"shrink": 0.5}, {"smooth": 1.0}, {"recolor": "nearest"}, {"max_iter": 400}, {"tol": 1e-3}),
    *({"restarts": 2}, {"init": "k-means++"}, {"average": "mode"}, {"keep_colors": "red"}, {"palette_order": "hue"}),
    *({"color_depth": "rgb444"}, {"covariance": "diag", "shrink": 0.0}, {"search": "split-merge", "shrink": 0.0}),
]


@pytest.mark.parametrize("options", OTHERS, ids=str)
def test_results_of_other_settings_are_refused_and_taken_with_their_own(samples, options):
    image = samples / "grey.png"
    quantizer, result = Quantizer(image), quantize(image, 3, **options)
    with pytest.raises(ParameterError, match=f"the result has ({'|'.join(options)}) = .*, and the quantizer "):
        make_record(quantizer, [quantizer.fit(2), result])
    settings = make_record(Quantizer(image, result.settings), result)["settings"]
    assert all(settings[name] == value for name, value in options.items() if name != "keep_colors")


def test_a_fit_of_other_settings_is_refused_though_the_quantizer_drew_it(samples):
    quantizer = Quantizer(samples / "grey.png")
    with pytest.raises(ParameterError, match="the result has seed = 4, and the quantizer 0"):
        make_record(quantizer, quantizer.recolor(quantize(samples / "grey.png", 3, seed=4)))


def test_a_result_of_another_image_of_the_same_size_and_colours_is_refused():
    image = np.random.default_rng(0).integers(0, 256, (8, 9, 3), dtype=np.uint8)
    result = quantize(image, 3)
    for other in (image[::-1], 255 - image):
        with pytest.raises(ParameterError, match="the fit is to another image of this size"):
            make_record(Quantizer(other), result)
        with pytest.raises(ParameterError, match="the fit is to another image of this size"):
            Quantizer(other).maps(result)


def test_a_record_has_the_choice_of_k_that_quantize_made(samples):
    image = samples / "grey.png"
    quantizer, results = Quantizer(image), quantize(image, ["auto", 3, "auto:9"])
    record = make_record(quantizer, results)
    assert [fit["asked"] for fit in record["fits"]] == record["settings"]["k"] == ["auto", 3, "auto:9"]
    assert [choice["asked"] for choice in record["choices"]] == ["auto", "auto:9"]
    assert record["choice"]["k"] == results[0].k == quantizer.choose_k().k


def test_the_objective_of_a_fit_of_less_noise_follows_from_its_record():
    image = read_image(SAMPLE_IMAGES / "cat.jpg").pixels[..., :3]
    with pytest.warns(UserWarning, match="components overlap at k = 12"):
        result = quantize(image, 12, covariance="tied")
    fit = make_record(Quantizer(image, result.settings), result)["fits"][0]
    assert 0 < fit["noise"] < 2 and fit["noise"] == result.fit.noise
    colors, counts = np.unique(image.reshape(-1, 3), axis=0, return_counts=True)
    parts, covariances = fit["components"], covariances_of(fit["components"])
    logs = [
        np.log(weight)
        + multivariate_normal(mean, covariance).logpdf(colors / 255)
        - fit["reg_covar"] / 2 * np.trace(np.linalg.inv(covariance))
        for weight, mean, covariance in zip(parts["weight"], parts["mean"], covariances, strict=True)
    ]
    objective = counts @ logsumexp(logs, axis=0) / counts.sum()
    assert fit["trace"][-1]["objective"][-1] == pytest.approx(objective, abs=1e-9)


OPTIONS = [{"method": "kmeans"}, {"dither": "bayer"}, {"recolor": "soft"}, {"covariance": "tied", "shrink": 0}]


@pytest.mark.parametrize("options", OPTIONS, ids=str)
def test_results_of_the_settings_have_a_record(samples, options):
    quantizer = Quantizer(samples / "grey.png", **options)
    results = [quantizer.fit(3), quantizer.fit(1)]
    assert len(make_record(quantizer, results)["fits"]) == 2
    given = make_record(quantizer, quantizer.apply(results[0]))["settings"]
    assert (given["style"], given["noise"], given["covariance"]) == (None, None, None)
    if "recolor" not in options:
        drawn = quantizer.fit_palette("bw")
        assert make_record(quantizer, drawn)["settings"]["palette"] == ["#000000", "#ffffff"]
        with pytest.raises(ParameterError, match="of a fit and of a given palette; make a record of each"):
            make_record(quantizer, [results[0], drawn])
        with pytest.raises(ParameterError, match="the results are of several given palettes; make a record of each"):
            make_record(quantizer, [drawn, quantizer.fit_palette("red,blue")])
    flat = Quantizer(np.zeros((5, 6, 3), np.uint8), **options)
    assert make_record(flat, flat.fit(3))["image"]["bytes"] is None


def test_arguments_of_another_type_are_refused(samples):
    quantizer = Quantizer(samples / "grey.png")
    with pytest.raises(ParameterError, match="quantizer is a ndarray; pass the Quantizer of the image"):
        make_record(np.zeros((5, 6, 3), np.uint8), quantizer.fit(2))
    with pytest.raises(ParameterError, match="results is a int; pass a QuantizedImage"):
        make_record(quantizer, 3)
