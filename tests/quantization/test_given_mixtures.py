"""Mixtures that were fitted elsewhere: saved models, loaded mixtures and those in memory, and their colour spaces."""

import json
import re

import numpy as np
import pytest
from helpers import read_sample
from PIL import Image

import gmmquant
from gmmquant import GaussianMixture, ParameterError, Quantizer, quantize
from gmmquant.colors.spaces import COLOR_SPACES
from gmmquant.models.scalar_validation import SPACE_NAMES
from gmmquant.models.serialization import Model, model_to_json, read_model
from gmmquant.settings import SPACES

CAT = read_sample("cat.jpg")[60:100, 120:180]


def assert_same(result, expected):
    np.testing.assert_array_equal(result.image, expected.image)
    assert result.log_likelihood == expected.log_likelihood


def test_a_fitted_or_loaded_mixture_recolours_like_the_saved_model(tmp_path):
    X = CAT.reshape(-1, 3) / 255
    mixture = GaussianMixture(5, covariance_type="tied", random_state=0).fit(X)
    mixture.save(tmp_path / "cat.gmm.json")
    loaded = GaussianMixture.load(tmp_path / "cat.gmm.json")
    quantizer = Quantizer(CAT)
    by_file = quantizer.apply(read_model(tmp_path / "cat.gmm.json").gaussians)
    for each in (mixture, loaded):
        assert_same(quantizer.apply(each), by_file)
    np.testing.assert_array_equal(by_file.labels.ravel(), mixture.predict(X))
    assert by_file.mean_log_likelihood == pytest.approx(mixture.score(X), rel=1e-9)


@pytest.mark.parametrize(
    "options",
    [
        ["--style", "faithful"],
        ["--space", "lab"],
        ["--method", "kmeans"],
        ["--keep-colors", "white"],
        ["--recolor", "soft"],
        ["--smooth", "2"],
    ],
    ids=" ".join,
)
def test_a_saved_model_draws_in_python_as_in_the_command(command, tmp_path, options):
    Image.fromarray(CAT).save(tmp_path / "cat.png")
    other = read_sample("rocket.jpg")[::8, ::8]
    Image.fromarray(other).save(tmp_path / "other.png")
    assert command("cat.png", "-k", "4", *options, "--save-model", "-o", "out").returncode == 0
    assert command("other.png", "--model", "out/cat_k4.gmm.json", "-o", "out").returncode == 0
    result = gmmquant.apply_model(other, tmp_path / "out/cat_k4.gmm.json")
    record = json.loads((tmp_path / "out/other_report.json").read_text())["fits"][0]
    np.testing.assert_array_equal(result.image, np.asarray(Image.open(tmp_path / "out/other_k4.png").convert("RGB")))
    assert result.mean_log_likelihood == pytest.approx(record["mean_log_likelihood"], rel=1e-12)
    if "soft" in options:
        nearest = gmmquant.apply_model(other, tmp_path / "out/cat_k4.gmm.json", recolor="nearest")
        assert len(np.unique(nearest.image.reshape(-1, 3), axis=0)) <= 4 < len(np.unique(result.image))


def test_a_mixture_of_another_space_is_refused_where_an_image_is_read_in_this_one(tmp_path, command):
    Image.fromarray(CAT).save(tmp_path / "cat.png")
    result, quantizer = quantize(CAT, 3, space="oklab"), Quantizer(CAT)
    own = quantizer.fit(3)
    message = "the mixture is of OKLab colours, not of sRGB; use Quantizer(image, space='oklab'), or apply_model"
    for call in (
        lambda: quantizer.apply(result),
        lambda: quantizer.maps(result),
        lambda: quantizer.layers(result),
        lambda: quantizer.transfer(own, result),
    ):
        with pytest.raises(ParameterError, match=re.escape(message)):
            call()
    assert command("cat.png", "-k", "3", "--space", "oklab", "--save-model", "-o", "out").returncode == 0
    loaded = GaussianMixture.load(tmp_path / "out/cat_k3.gmm.json")
    assert loaded.color_space_ == "oklab"
    with pytest.raises(ParameterError, match=re.escape(message)):
        quantizer.apply(loaded)
    loaded.save(tmp_path / "again.json")
    again = Quantizer(CAT, space="oklab").apply(GaussianMixture.load(tmp_path / "again.json"))
    assert again.mean_log_likelihood == pytest.approx(result.mean_log_likelihood, rel=1e-9)
    loaded.fit(CAT.reshape(-1, 3) / 255)
    assert not hasattr(loaded, "color_space_")


def test_a_file_that_is_no_model_of_colours_is_named(tmp_path):
    GaussianMixture(1).fit(np.arange(12.0).reshape(6, 2) ** 2).save(tmp_path / "two.json")
    with pytest.raises(gmmquant.ModelFileError, match=r"two\.json: not a model of colours: 2 features"):
        gmmquant.apply_model(CAT, tmp_path / "two.json")
    with pytest.raises(FileNotFoundError):
        gmmquant.apply_model(CAT, tmp_path / "none.json")
    with pytest.raises(TypeError, match="unexpected keyword argument 'space'"):
        gmmquant.apply_model(CAT, tmp_path / "two.json", space="lab")


@pytest.mark.parametrize(
    ("facts", "reason"),
    [
        ({"noise": "abc"}, "noise = 'abc'"),
        ({"palette": ["red"]}, "palette is not a list of 2 hex codes"),
        ({"color_space": "foo"}, "not a model of colours: colour space 'foo'"),
    ],
)
def test_every_error_about_a_model_is_one_of_its_file(tmp_path, facts, reason):
    path = tmp_path / "m\n.json"
    path.write_text(model_to_json(Model(Quantizer(CAT).fit(2).mixture, facts), "1"))
    with pytest.raises(gmmquant.ModelFileError) as caught:
        gmmquant.apply_model(CAT, path)
    assert str(caught.value).startswith(f"{tmp_path}/m\\x0a.json: {reason}")


@pytest.mark.parametrize("model", [GaussianMixture(2), quantize(CAT, 2), None, b"m.json", 3])
def test_a_model_that_is_no_path_is_refused_with_its_type(model):
    kind = type(model).__name__
    with pytest.raises(ParameterError, match=f"^model is a {kind}; pass the path of .*or use Quantizer"):
        gmmquant.apply_model(CAT, model)
    with pytest.raises(ParameterError, match=f"^path is a {kind}; pass the path of a saved mixture$"):
        GaussianMixture.load(model)


@pytest.mark.parametrize("name", ["k", "n_colors", "palette", "space", "method", "noise"])
def test_a_model_is_not_left_out_for_what_it_has_itself(name):
    with pytest.raises(TypeError, match=f"argument '{name}'; the mixture is that of the model, so omit it"):
        gmmquant.apply_model(CAT, "m.json", **{name: 3})


def test_the_seed_is_that_of_the_grain_and_is_refused_without_dithering(tmp_path):
    fitted = quantize(CAT, 4)
    fitted.save_model(tmp_path / "m.json")
    drawn = [gmmquant.apply_model(CAT, tmp_path / "m.json", dither="blue-noise", seed=seed) for seed in (0, 0, 5)]
    assert np.array_equal(drawn[0].labels, drawn[1].labels)
    assert not np.array_equal(drawn[0].labels, drawn[2].labels)
    with pytest.raises(ParameterError, match=r"^seed = 5 has no effect on a saved model with dither = 'none'"):
        gmmquant.apply_model(CAT, tmp_path / "m.json", seed=5)
    with pytest.raises(ParameterError, match=r"with dither = 'bayer'; use dither = 'blue-noise', or omit it$"):
        gmmquant.apply_model(CAT, tmp_path / "m.json", seed=5, dither="bayer")


def test_a_failed_fit_keeps_the_mixture_and_its_space(tmp_path):
    saved = Model(quantize(CAT, 3, space="oklab").fit.mixture, {"color_space": "oklab"})
    (tmp_path / "m.json").write_text(model_to_json(saved, "1"))
    loaded = GaussianMixture.load(tmp_path / "m.json").set_params(reg_covar=0)
    with pytest.raises(gmmquant.SingularCovarianceError):
        loaded.fit(np.repeat(np.eye(3), 4, axis=0))
    loaded.save(tmp_path / "again.json")
    assert (loaded.color_space_, GaussianMixture.load(tmp_path / "again.json").color_space_) == ("oklab", "oklab")
    np.testing.assert_array_equal(loaded.means_, saved.gaussians.means)


@pytest.mark.parametrize("space", ["linear", "lab", "oklab"])
def test_a_loaded_mixture_without_a_space_is_one_of_srgb(tmp_path, space):
    mixture = GaussianMixture(3, random_state=0).fit(COLOR_SPACES[space].from_srgb(CAT.reshape(-1, 3) / 255))
    mixture.save(tmp_path / "m.json")
    loaded, quantizer = GaussianMixture.load(tmp_path / "m.json"), Quantizer(CAT, space=space)
    assert loaded.color_space_ is None
    with pytest.raises(ParameterError, match=f"states no colour space.* sRGB, not .*set its color_space_ = '{space}'"):
        quantizer.apply(loaded)
    loaded.color_space_ = space
    assert_same(quantizer.apply(loaded), quantizer.apply(mixture))
    loaded.save(tmp_path / "m.json")
    assert_same(quantizer.apply(GaussianMixture.load(tmp_path / "m.json")), quantizer.apply(mixture))
    assert gmmquant.apply_model(CAT, tmp_path / "m.json").fit.space == space


@pytest.mark.parametrize("space", ["Lab", "", 5])
def test_an_unknown_space_is_neither_saved_nor_loaded(tmp_path, space):
    mixture = GaussianMixture(2, random_state=0).fit(CAT.reshape(-1, 3) / 255)
    mixture.color_space_ = space
    names = "use one of srgb, linear, lab, oklab"
    with pytest.raises(ParameterError, match=f"^color_space_ = {space!r} is unknown; {names}$"):
        mixture.save(tmp_path / "m.json")
    assert not (tmp_path / "m.json").exists()
    (tmp_path / "m.json").write_text(model_to_json(Model(mixture.gaussians(), {"color_space": space}), "1"))
    with pytest.raises(gmmquant.ModelFileError, match=f"m.json: color_space = {space!r} is unknown; {names}$"):
        GaussianMixture.load(tmp_path / "m.json")


def test_the_spaces_of_a_mixture_are_those_of_fits():
    assert SPACE_NAMES == SPACES


def test_an_unknown_space_has_no_remedy_that_names_it():
    mixture = GaussianMixture(2, random_state=0).fit(CAT.reshape(-1, 3) / 255)
    mixture.color_space_ = "foo"
    with pytest.raises(ParameterError) as caught:
        Quantizer(CAT).apply(mixture)
    assert str(caught.value) == (
        "the mixture is of 'foo' colours, not of sRGB; set its color_space_ to one of srgb, linear, lab, oklab"
    )


@pytest.mark.parametrize("dither", ["none", "bayer", "floyd-steinberg"])
def test_a_given_mixture_is_one_of_em_unless_it_says_otherwise(tmp_path, dither):
    mixture = GaussianMixture(2, random_state=0).fit(CAT.reshape(-1, 3) / 255)
    mixture.save(tmp_path / "m.json")
    (tmp_path / "k.json").write_text(model_to_json(Model(mixture.gaussians(), {"method": "kmeans"}), "1"))
    quantizer = Quantizer(CAT, dither=dither, space="srgb")
    for result in (quantizer.apply(mixture), gmmquant.apply_model(CAT, tmp_path / "m.json", dither=dither)):
        assert (result.fit.method, "Gaussian mixture" in result._repr_html_()) == ("gmm", True)
    clusters = quantize(CAT, 2, method="kmeans", space="srgb")
    for result in (quantizer.apply(clusters), gmmquant.apply_model(CAT, tmp_path / "k.json", dither=dither)):
        assert result.fit.method == "kmeans"
