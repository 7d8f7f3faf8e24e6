"""Models as files: a loaded mixture equals the saved one digit by digit; other files are errors of one line."""

import errno
import io
import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from scipy.special import logsumexp
from scipy.stats import multivariate_normal

from gmmquant import GaussianMixture, ModelFileError, NotFittedError, OutputError, ParameterError, Quantizer
from gmmquant.models.gaussian import Gaussians
from gmmquant.models.serialization import SCHEMA, Model, model_to_json, read_model


def fitted(covariance_type="full", d=3):
    rng = np.random.default_rng(d)
    X = np.concatenate([rng.normal(center, 1, (200, d)) for center in (0, 6, 12)])
    return X, GaussianMixture(3, covariance_type=covariance_type, random_state=0).fit(X)


@pytest.mark.parametrize("covariance_type", ["full", "tied", "diag", "spherical"])
@pytest.mark.parametrize("d", [1, 3, 5])
def test_a_loaded_mixture_equals_the_saved_one_digit_by_digit(tmp_path, covariance_type, d):
    X, mixture = fitted(covariance_type, d)
    mixture.save(tmp_path / "model.json")
    loaded = GaussianMixture.load(tmp_path / "model.json")
    for name in ("weights_", "means_", "covariances_", "precisions_", "precisions_cholesky_"):
        np.testing.assert_array_equal(getattr(loaded, name), getattr(mixture, name))
    np.testing.assert_array_equal(loaded.predict_proba(X), mixture.predict_proba(X))
    assert loaded.score(X) == mixture.score(X)
    assert (loaded.n_components, loaded.covariance_type, loaded.n_features_in_) == (3, covariance_type, d)


@pytest.mark.parametrize("name", ["z.npz", "m.PKL", "m.joblib", "m.json.gz", "two\nlines.npy"])
def test_a_name_of_another_format_is_refused_with_a_remedy(tmp_path, name):
    with pytest.raises(ParameterError) as caught:
        fitted()[1].save(tmp_path / name)
    assert str(caught.value).endswith(
        f": a mixture is saved as JSON, not as {Path(name).suffix.lower()}; use a name that ends in .json"
    )
    assert "\n" not in str(caught.value)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("name", ["m.json", "m.JSON", "m", "folder.v2/m"])
def test_a_name_that_ends_in_json_or_has_no_ending_is_written(tmp_path, name):
    (tmp_path / "folder.v2").mkdir()
    fitted()[1].save(str(tmp_path / name))
    assert GaussianMixture.load(tmp_path / name).n_components == 3


def test_only_a_path_is_a_name_to_save_to():
    with pytest.raises(ParameterError, match=r"^path is a BytesIO; pass the name of a file that ends in \.json$"):
        fitted()[1].save(io.BytesIO())


def test_a_model_file_is_strict_json_without_code(tmp_path):
    fitted()[1].save(tmp_path / "model.json")
    text = (tmp_path / "model.json").read_text("ascii")
    record = json.loads(text)
    assert text == json.dumps(record, indent=1) + "\n"  # a number per line, for readers and comparisons
    assert record["schema"] == SCHEMA
    assert set(record) == {"schema", "version", "covariance_type", "weights", "means", "covariances"}


def test_a_model_is_read_with_the_other_entries_of_its_file(tmp_path):
    facts = {"color_space": "oklab", "exact": True, "feature_names": ["a", "b", "c"]}
    gaussians = Gaussians(np.ones(1), np.zeros((1, 3)), np.eye(3)[np.newaxis])
    (tmp_path / "model.json").write_text(model_to_json(Model(gaussians, facts), "1.2.3"))
    loaded = read_model(tmp_path / "model.json")
    assert loaded.facts == facts
    np.testing.assert_array_equal(loaded.gaussians.covariances, gaussians.covariances)


def test_saving_an_unfitted_mixture_fails_and_leaves_no_file(tmp_path):
    with pytest.raises(NotFittedError):
        GaussianMixture(2).save(tmp_path / "model.json")
    assert list(tmp_path.iterdir()) == []


def spoilt(**changes):
    good = {
        "schema": SCHEMA,
        "version": "0.1.0",
        "color_space": "srgb",
        "covariance_type": "full",
        "weights": [0.5, 0.5],
        "means": [[0.1, 0.2, 0.3], [0.4, 0.5, 0.6]],
        "covariances": [np.eye(3).tolist()] * 2,
    }
    return json.dumps({**good, **changes})


HOSTILE = {
    "empty": ("", "not JSON"),
    "text": ("hello", "not JSON"),
    "pickle": (b"\x80\x04\x95\x00\x00\x00\x00\x00\x00\x00\x00cos\nsystem\n.", "not JSON"),
    "not UTF-8": (b'{"schema": "\xff\xfe\xff"}', "not JSON"),
    "deep": ("[" * 200_000, "not JSON"),
    "NaN": (spoilt().replace("0.1,", "NaN,"), "not JSON"),
    "a list": ("[1, 2]", "schema is 'None'"),
    "foreign": ('{"schema": "other/1"}', "schema is 'other/1', not 'gmmquant-model/1'"),
    "future": (spoilt(schema="gmmquant-model/2"), "schema is 'gmmquant-model/2'"),
    "no type": (spoilt(covariance_type="round"), "covariance_type = 'round' is unknown; use one of full, tied, diag"),
    "type list": (spoilt(covariance_type=["full"]), "is unknown; use one of full, tied, diag, spherical"),
    "no means": (spoilt(means=None), "means"),
    "no components": (spoilt(means=[]), "means has shape"),
    "ragged": (spoilt(means=[[0.1, 0.2, 0.3], [0.4]]), "means is not an array of numbers"),
    "words": (spoilt(means=[["a", "b", "c"]] * 2), "means is not an array of numbers"),
    "huge": (spoilt(means=[[1e999, 0, 0]] * 2).replace("Infinity", "1e999"), "means contains NaN or infinite values"),
    "large integer": (spoilt(weights=[10**400, 0]), "weights is not an array of numbers"),
    "weights": (spoilt(weights=[0.5, 0.6]), "weights sums to 1.1; use weights of at least 0"),
    "negative weight": (spoilt(weights=[1.5, -0.5]), "at least 0"),
    "too few weights": (spoilt(weights=[1.0]), "weights has shape (1,); it must be (2,)"),
    "shape": (spoilt(covariances=[[1, 1, 1]] * 2), "covariances has shape (2, 3); it must be (2, 3, 3)"),
    "singular": (spoilt(covariances=[np.zeros((3, 3)).tolist()] * 2), "covariances must have inverses"),
    "nearly weights": (spoilt(weights=[0.5, 0.5000001]), "weights sums to 1; use weights of at least 0 that sum to 1"),
    "numbers as words": (spoilt(weights=["0.5", "0.5"]), "weights is not an array of numbers"),
    "truths": (spoilt(weights=[True, False]), "weights is not an array of numbers"),
    "far means": (spoilt(means=[[1e200] * 3, [0, 0, 0]]), "must be of ordinary size"),
    "tiny covariances": (spoilt(covariances=[(1e-310 * np.eye(3)).tolist()] * 2), "must be of ordinary size"),
    "one name for three features": (spoilt(feature_names=["red"]), "feature_names must be 3 texts"),
    "names as numbers": (spoilt(feature_names=[1, 2, 3]), "feature_names must be 3 texts"),
    "asymmetric": (spoilt(covariances=[np.triu(np.ones((3, 3))).tolist()] * 2), "covariances must be symmetric"),
}


@pytest.mark.parametrize(("content", "reason"), HOSTILE.values(), ids=HOSTILE)
def test_a_damaged_foreign_or_hostile_model_is_refused_with_entry_and_reason(tmp_path, content, reason):
    path = tmp_path / "model.json"
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    with pytest.raises(ModelFileError) as caught:
        GaussianMixture.load(path)
    assert reason in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("name", ["/dev/zero", "pipe", "."])
def test_a_model_that_is_not_a_regular_file_is_refused_at_once(tmp_path, name):
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(ModelFileError, match="not a regular file"):
        GaussianMixture.load(tmp_path / name)


def test_a_file_too_large_for_a_model_is_not_read_completely(tmp_path):
    with open(tmp_path / "large", "wb") as file:
        file.truncate(10_000_000_000)
    with pytest.raises(ModelFileError, match="more than 64000000 bytes"):
        GaussianMixture.load(tmp_path / "large")


def test_saving_again_replaces_the_file_and_a_missing_folder_is_named(tmp_path):
    first, second = fitted()[1], fitted(d=2)[1]
    first.save(tmp_path / "model.json")
    second.save(tmp_path / "model.json")
    np.testing.assert_array_equal(GaussianMixture.load(tmp_path / "model.json").means_, second.means_)
    with pytest.raises(OutputError, match=r"^\S+nowhere/model\.json: no such file or directory$") as caught:
        first.save(tmp_path / "nowhere/model.json")
    assert caught.value.errno == errno.ENOENT
    assert caught.value.filename == str(tmp_path / "nowhere/model.json")


# --- the command ------------------------------------------------------------------------------------------------------


@pytest.fixture
def images(tmp_path, samples):
    for name in ("grey.png", "alpha.png", "sixteen.png", "flat.png"):
        shutil.copy(samples / name, tmp_path / name)
    return tmp_path


@pytest.mark.parametrize("name", ["grey", "alpha", "sixteen", "flat"])
def test_a_saved_model_applied_in_a_new_process_gives_the_bytes_that_the_fit_gave(command, images, name):
    assert command(f"{name}.png", "-k", "7", "--save-model", "-o", "fit").returncode == 0
    result = command(f"{name}.png", "--model", f"fit/{name}_k7.gmm.json", "-o", "applied")
    assert result.returncode == 0, result.stderr
    (applied,) = (images / "applied").glob("*.png")
    assert applied.read_bytes() == (images / f"fit/{name}_k7.png").read_bytes()
    fit, again = (json.loads((images / d / f"{name}_report.json").read_text()) for d in ("fit", "applied"))
    assert fit["fits"][0]["log_likelihood"] == again["fits"][0]["log_likelihood"]
    assert fit["fits"][0]["files"]["model"] == f"{name}_k7.gmm.json"
    assert again["settings"]["model"] == f"../fit/{name}_k7.gmm.json"
    assert (again["fits"][0]["n_iter"], again["fits"][0]["converged"]) == (0, None)
    assert again["settings"]["restarts"] is None


def test_a_model_of_exact_colours_keeps_neighbours_apart(command, tmp_path):
    """The most probable component of a colour is a neighbour 1999 times as frequent; the nearest is its own."""
    pixels = np.full((40, 50), 100, np.uint8)
    pixels[0, 0] = 101
    Image.fromarray(pixels).save(tmp_path / "two.png")
    assert command("two.png", "-k", "2", "--save-model", "-o", "fit").returncode == 0
    assert command("two.png", "--model", "fit/two_k2.gmm.json", "-o", "applied").returncode == 0
    for folder in ("fit", "applied"):
        with Image.open(tmp_path / folder / "two_k2.png") as image:
            assert np.array_equal(np.asarray(image.convert("L")), pixels)


def test_a_model_applied_to_another_image_reports_the_likelihood_that_scipy_gives(command, images):
    assert command("alpha.png", "-k", "3", "--save-model").returncode == 0
    assert command("grey.png", "--model", "alpha_k3.gmm.json").returncode == 0
    fit = json.loads((images / "grey_report.json").read_text())["fits"][0]
    with Image.open(images / "grey.png") as image:
        pixels = np.asarray(image.convert("RGB")).reshape(-1, 3) / 255
    model = read_model(images / "alpha_k3.gmm.json").gaussians
    joint = [
        np.log(weight) + multivariate_normal(mean, covariance).logpdf(pixels)
        for weight, mean, covariance in zip(model.weights, model.means, model.covariances, strict=True)
    ]
    assert fit["log_likelihood"] == pytest.approx(logsumexp(joint, axis=0).sum(), rel=1e-9)
    palette = np.array([list(bytes.fromhex(code[1:])) for code in fit["components"]["hex"]], dtype=np.uint8)
    with Image.open(images / "grey_k3.png") as image:
        recolored = np.asarray(image.convert("RGB")).reshape(-1, 3)
    assert np.array_equal(recolored, palette[np.argmax(joint, axis=0)])


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (b"hello", "not JSON; use a model saved by gmmquant"),
        (None, "no such file or directory"),
        (spoilt(color_space="xyz").encode(), "not a model of colours: colour space 'xyz'"),
        (spoilt(means=[[5.0] * 3, [0.5] * 3]).encode(), "not a model of sRGB colours: a mean of 5, and values of sRGB"),
        (
            spoilt(covariances=[(1e-200 * np.eye(3)).tolist()] * 2).encode(),
            "not a model of sRGB colours: a variance of 1e-200 of the range",
        ),
        (
            spoilt(
                covariance_type="tied",
                weights=[1 / 5000] * 5000,
                means=[[0.5] * 3] * 5000,
                covariances=np.eye(3).tolist(),
            ).encode(),
            "k = 5000 is too large; use at most 4096",
        ),
        (
            spoilt(means=[[0.1], [0.2]], covariances=[[[1.0]], [[1.0]]]).encode(),
            "not a model of colours: 1 features, and colours have 3",
        ),
    ],
)
def test_a_bad_model_ends_the_command_with_one_line_and_exit_2(command, images, content, reason):
    if content is not None:
        (images / "model.json").write_bytes(content)
    result = command("grey.png", "--model", "model.json", "-o", "out")
    assert (result.returncode, result.stdout) == (2, "")
    assert result.stderr.startswith(f"gmmquant: model.json: {reason}")
    assert result.stderr.count("\n") == 1
    assert not (images / "out").exists()


def test_a_mixture_saved_in_python_recolours_in_the_command_as_in_python(command, images):
    with Image.open(images / "grey.png") as image:
        pixels = np.asarray(image.convert("RGB"))
    mixture = GaussianMixture(3, random_state=0).fit(pixels.reshape(-1, 3) / 255)
    mixture.save(images / "m.json")
    result = command("grey.png", "--model", "m.json", "-o", "out")
    assert result.returncode == 0, result.stderr
    with Image.open(images / "out/grey_k3.png") as image:
        np.testing.assert_array_equal(np.asarray(image.convert("RGB")), Quantizer(pixels).apply(mixture).image)
    GaussianMixture(3, random_state=0).fit(pixels.reshape(-1, 3)).save(images / "m.json")
    result = command("grey.png", "--model", "m.json", "-o", "again")
    assert (result.returncode, result.stderr.count("\n")) == (2, 1)
    assert result.stderr.rstrip().endswith("and values of sRGB go from 0 to 1; fit it to pixels / 255")


def test_a_model_is_not_fitted(command, images):
    for arguments in (["-k", "3"], ["--save-model"], ["--restarts", "1"], ["--covariance", "full"], ["--tol", "1"]):
        result = command("grey.png", "--model", "model.json", *arguments)
        assert result.returncode == 2
        assert "--model fits nothing" in result.stderr


def test_loading_needs_no_image_library(tmp_path, clean_environment):
    fitted()[1].save(tmp_path / "model.json")
    code = (
        "import sys\nfrom gmmquant import GaussianMixture\nGaussianMixture.load(sys.argv[1])\n"
        "print(sorted({'cv2', 'PIL', 'scipy', 'typer', 'rich'} & set(sys.modules)))"
    )
    result = subprocess.run(
        [sys.executable, "-c", code, tmp_path / "model.json"], capture_output=True, text=True, env=clean_environment
    )
    assert (result.stdout, result.stderr) == ("[]\n", "")
