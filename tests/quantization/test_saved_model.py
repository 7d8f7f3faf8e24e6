"""The mixture of a result as an estimator and as a file, against scipy and the command."""

import json

import numpy as np
import pytest
from helpers import SAMPLE_IMAGES, assert_refused, read_sample
from scipy.stats import multivariate_normal
from typer.testing import CliRunner

from gmmquant import GaussianMixture, OutputError, ParameterError, apply_model, make_record, quantize
from gmmquant.cli.app import app
from gmmquant.quantization.quantizer import Quantizer
from gmmquant.report.record import covariances_of

CAT = read_sample("cat.jpg")[60:120, 120:200]
OPTIONS = [{}, {"space": "oklab"}, {"space": "lab", "covariance": "diag"}, {"space": "linear"}, {"method": "kmeans"}]


@pytest.mark.parametrize("options", OPTIONS, ids=str)
def test_posteriors_of_the_estimator_are_those_of_the_figures_of_the_record(options):
    quantizer = Quantizer(CAT, **options)
    result = quantizer.fit(5)
    components = make_record(quantizer, [result])["fits"][0]["components"]
    points = result.fit.to_space(CAT).reshape(-1, 3)
    joint = np.array(
        [
            np.log(weight) + multivariate_normal(mean, covariance).logpdf(points)
            for weight, mean, covariance in zip(
                components["weight"], components["mean"], covariances_of(components), strict=True
            )
        ]
    )
    log_density = np.logaddexp.reduce(joint)
    estimator = result.to_estimator()
    np.testing.assert_allclose(estimator.predict_proba(points), np.exp(joint - log_density).T, rtol=1e-7, atol=1e-12)
    np.testing.assert_allclose(estimator.score_samples(points), log_density, rtol=1e-9)
    assert estimator.score(points) == pytest.approx(result.mean_log_likelihood, rel=1e-9)
    if "method" not in options:
        np.testing.assert_array_equal(estimator.predict(points), result.labels.ravel())
    assert estimator.color_space_ == options.get("space", "srgb")


@pytest.mark.parametrize(
    "options",
    [[], ["--space", "oklab", "--recolor", "soft"], ["--color-depth", "rgb444", "--covariance", "diag"]],
    ids=str,
)
def test_a_saved_model_is_the_file_of_save_model_and_draws_the_same_image(options, tmp_path):
    source = SAMPLE_IMAGES / "cat.jpg"
    ran = CliRunner().invoke(app, [str(source), "-k", "4", *options, "--save-model", "-o", str(tmp_path / "out")])
    assert ran.exit_code == 0, ran.output
    keywords = {name[2:].replace("-", "_"): value for name, value in zip(options[::2], options[1::2], strict=True)}
    result = quantize(source, 4, **keywords)
    result.save_model(tmp_path / "own.json")
    (of_command,) = (tmp_path / "out").glob("*.gmm.json")
    assert (tmp_path / "own.json").read_bytes() == of_command.read_bytes()
    np.testing.assert_array_equal(apply_model(source, tmp_path / "own.json").image, result.image)


def test_a_saved_model_and_the_estimator_are_one_mixture(tmp_path):
    result = quantize(CAT, 3, space="lab")
    result.save_model(tmp_path / "a.json")
    result.to_estimator().save(tmp_path / "b.json")
    loaded = [GaussianMixture.load(tmp_path / name) for name in ("a.json", "b.json")]
    for each in (*loaded, result.to_estimator()):
        np.testing.assert_array_equal(each.means_, result.means)
        np.testing.assert_array_equal(each.weights_, result.weights)
        assert each.color_space_ == "lab"
    assert "recolor" not in json.loads((tmp_path / "b.json").read_text())


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16, np.float32, np.float64])
def test_colours_of_every_type_are_points_of_the_space(dtype):
    fit = quantize(CAT, 2, space="oklab").fit
    scale = 1 if np.dtype(dtype).kind == "f" else np.iinfo(dtype).max
    white = np.full((2, 4, 3), scale, dtype=dtype)
    np.testing.assert_allclose(fit.to_space(white), np.broadcast_to([1, 0, 0], (2, 4, 3)), atol=2e-4)
    np.testing.assert_allclose(fit.to_space(fit.palette), fit.centers)


@pytest.mark.parametrize("colors", [np.zeros((2, 4), np.uint8), np.zeros((2, 3), np.int32), 7, ["a", "b", "c"]])
def test_what_is_not_colours_has_no_points(colors):
    assert_refused(["pass uint8, uint16 or floats"], quantize(CAT, 2).fit.to_space, colors)


@pytest.mark.parametrize("value", [255.0, -0.1, np.nan, np.inf])
def test_floats_outside_0_to_1_are_refused(value):
    assert_refused(["from 0 to 1, as in colors / 255"], quantize(CAT, 2).fit.to_space, np.array([value, 0.5, 0.5]))


def test_results_without_a_mixture_of_colours_are_refused(tmp_path):
    hidden = quantize(np.zeros((4, 4, 4), np.uint8), 2)
    translucent = quantize(SAMPLE_IMAGES / "alpha.png", 4, alpha="quantize")
    for result, remedy in ((hidden, "at least 1"), (translucent, "alpha = 'keep'")):
        with pytest.raises(ParameterError, match=remedy):
            result.to_estimator()
        with pytest.raises(ParameterError, match=remedy):
            result.save_model(tmp_path / "a.json")
    result = quantize(CAT, 2)
    with pytest.raises(ParameterError, match=r"ends in \.json"):
        result.save_model(tmp_path / "a.npz")
    with pytest.raises(OutputError, match="is a folder"):
        result.save_model(tmp_path)
    assert list(tmp_path.iterdir()) == []
