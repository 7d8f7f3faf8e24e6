"""The record of an image: compact, strict JSON that holds what was fitted."""

import json
import os

import numpy as np
import pytest
from helpers import mixture_of, read_sample

from gmmquant import Quantizer, Settings, quantize
from gmmquant.images.encoding.encode import encode_image
from gmmquant.report.record import covariances_of, fit_record, to_json

CAT = read_sample("cat.jpg")


@pytest.mark.filterwarnings("ignore::gmmquant.ConvergenceWarning")
@pytest.mark.parametrize("settings", [Settings(), Settings(style="likelihood", max_iter=40)], ids=lambda s: s.style)
def test_the_record_of_256_colors_is_smaller_than_the_image(settings):
    result = Quantizer(CAT, settings).fit(256)
    text = to_json({"fits": [fit_record(result, {"image": "cat_k256.png"})]})
    assert len(text) < len(encode_image(result.recolored, "png"))


def test_the_components_of_a_record_are_those_of_the_fit():
    result = quantize(CAT, 5)
    record = fit_record(result, {})
    weights, means, covariances = mixture_of(record)
    np.testing.assert_allclose(weights, result.weights, rtol=1e-14)
    np.testing.assert_allclose(means, result.means, rtol=1e-14)
    np.testing.assert_allclose(covariances, result.covariances, rtol=1e-14)
    np.testing.assert_array_equal(covariances_of(record["components"]), covariances)
    trace = [(step["level"], objective) for step in record["trace"] for objective in step["objective"]]
    assert trace == list(zip(result.fit.n_cells, result.fit.trace, strict=True))


@pytest.mark.parametrize(
    "value",
    [{}, [], {"a": []}, {"a": {}}, [[], {}], {"b": [[1, 2.5], [None, True]], "ü\n": "\x1b"}, [{"a": [1, {"b": 2}]}]],
)
def test_written_json_is_read_back_as_the_same_value(value):
    assert json.loads(to_json(value)) == value
    assert to_json(value).isascii()


@pytest.mark.parametrize("value", [float("nan"), [float("inf")], {"a": [[float("nan")]]}])
def test_values_that_json_cannot_hold_are_refused(value):
    with pytest.raises(ValueError, match="JSON"):
        to_json(value)


def test_the_sizes_of_the_files_are_recorded(command, tmp_path, samples):
    result = command(samples / "cat.jpg", "-k", "3", "5", "-o", "out")
    assert result.returncode == 0, result.stderr
    record = json.loads((tmp_path / "out/cat_report.json").read_text())
    assert record["image"]["bytes"] == os.path.getsize(samples / "cat.jpg")
    for fit in record["fits"]:
        assert fit["bytes"] == os.path.getsize(tmp_path / "out" / fit["files"]["image"])


def test_an_image_from_standard_input_has_a_size_and_an_unwritten_one_has_none(command, samples):
    data = (samples / "cat.jpg").read_bytes()
    with open(samples / "cat.jpg", "rb") as file:
        (record,) = json.loads(command("-", "-k", "2", "-o", "-", "--json", stdin=file).stdout)
    assert record["image"]["bytes"] == len(data)
    assert record["fits"][0]["bytes"] is None
