"""The record of results in memory, against that of the command."""

import json

import numpy as np
import pytest

from gmmquant import ParameterError, Quantizer, make_record, plot_criteria
from gmmquant.report.record import to_json


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


def test_results_of_other_settings_are_refused(samples):
    quantizer = Quantizer(samples / "grey.png")
    for name, other in [("method", "kmeans"), ("dither", "bayer")]:
        result = Quantizer(samples / "grey.png", **({"method": "gmm", "space": "srgb"} | {name: other})).fit(3)
        with pytest.raises(ParameterError, match=f"the result has {name} = '{other}', and the quantizer '"):
            make_record(quantizer, [quantizer.fit(2), result])


OPTIONS = [{"method": "kmeans"}, {"dither": "bayer"}, {"recolor": "soft"}, {"covariance": "tied", "shrink": 0}]


@pytest.mark.parametrize("options", OPTIONS, ids=str)
def test_results_of_the_settings_have_a_record(samples, options):
    quantizer = Quantizer(samples / "grey.png", **options)
    results = [quantizer.fit(3), quantizer.fit(1), quantizer.apply(quantizer.fit(2))]
    if "recolor" not in options:
        results.append(quantizer.fit_palette("bw"))
    assert len(make_record(quantizer, results)["fits"]) == len(results)
    flat = Quantizer(np.zeros((5, 6, 3), np.uint8), **options)
    assert make_record(flat, flat.fit(3))["image"]["bytes"] is None


def test_arguments_of_another_type_are_refused(samples):
    quantizer = Quantizer(samples / "grey.png")
    with pytest.raises(ParameterError, match="quantizer is a ndarray; pass the Quantizer of the image"):
        make_record(np.zeros((5, 6, 3), np.uint8), quantizer.fit(2))
    with pytest.raises(ParameterError, match="results is a int; pass a QuantizedImage"):
        make_record(quantizer, 3)
