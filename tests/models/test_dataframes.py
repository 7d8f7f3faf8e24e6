"""Estimators and data frames: names of features, results as data frames, diagrams in notebooks."""

import sys
import warnings

import numpy as np
import pandas as pd
import polars as pl
import pytest
import sklearn
from helpers import assert_refused
from sklearn.base import clone
from sklearn.cluster import KMeans as TheirKMeans
from sklearn.compose import ColumnTransformer
from sklearn.mixture import GaussianMixture as TheirMixture
from sklearn.pipeline import FeatureUnion, make_pipeline
from sklearn.preprocessing import StandardScaler

from gmmquant import ConvergenceWarning, GaussianMixture, KMeans, NotFittedError

X = np.random.default_rng(0).normal(size=(60, 3)) + np.repeat([[0, 0, 0], [6, 1, 2]], 30, axis=0)
NAMES = ["red", "green", "blue"]
FRAME = pd.DataFrame(X, columns=NAMES, index=[f"row {i}" for i in range(60)])

OURS = [GaussianMixture(2, random_state=0), KMeans(2, random_state=0)]
THEIRS = [TheirMixture(2, random_state=0), TheirKMeans(2, random_state=0)]
both = pytest.mark.parametrize("estimator", OURS, ids=["mixture", "kmeans"])
each_pair = pytest.mark.parametrize(("ours", "theirs"), list(zip(OURS, THEIRS, strict=True)), ids=["mixture", "kmeans"])


def caught(function, *arguments):
    """Return what a call does: the messages of its warnings, or the class of its error."""
    with warnings.catch_warnings(record=True) as found:
        warnings.simplefilter("always")
        try:
            function(*arguments)
        except (ValueError, TypeError) as error:
            return [type(error).__mro__[-4].__name__]
    return [str(warning.message) for warning in found]


@both
@pytest.mark.parametrize("frame", [FRAME, pl.DataFrame(X, schema=NAMES)], ids=["pandas", "polars"])
def test_a_fit_to_a_data_frame_is_that_to_its_values_and_keeps_its_names(estimator, frame):
    named, plain = clone(estimator).fit(frame), clone(estimator).fit(X)
    assert named.feature_names_in_.tolist() == NAMES
    assert named.feature_names_in_.dtype == object
    assert not hasattr(plain, "feature_names_in_")
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        np.testing.assert_array_equal(named.predict(frame), plain.predict(X))
        assert named.score(frame) == plain.score(X)
        np.testing.assert_array_equal(clone(estimator).fit_predict(frame), plain.predict(X))
        named.fit(frame)


def test_a_loaded_mixture_checks_the_names_of_the_frame_it_was_fitted_to(tmp_path):
    GaussianMixture(2, random_state=0).fit(FRAME.rename(columns={"blue": "bläu\n"})).save(tmp_path / "model.json")
    loaded = GaussianMixture.load(tmp_path / "model.json")
    assert loaded.feature_names_in_.tolist() == ["red", "green", "bläu\n"]
    assert_refused(["columns of X are not those"], loaded.predict, FRAME)
    GaussianMixture(2, random_state=0).fit(X).save(tmp_path / "model.json")
    assert not hasattr(GaussianMixture.load(tmp_path / "model.json"), "feature_names_in_")


@both
def test_a_refit_to_an_array_forgets_the_names(estimator):
    model = clone(estimator).fit(FRAME)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        model.fit(X).predict(X)
    assert not hasattr(model, "feature_names_in_")


@both
@pytest.mark.parametrize(
    ("columns", "part"),
    [
        (["red", "green", "alpha"], "not in the fit: 'alpha'; missing: 'blue'"),
        (["blue", "green", "red"], "another order of the same names"),
        (["a", "b", "c"], "not in the fit: 'a', 'b', 'c'"),
    ],
)
def test_other_names_than_those_of_the_fit_are_refused_and_the_remedy_works(estimator, columns, part):
    model = clone(estimator).fit(FRAME)
    other = FRAME.set_axis(columns, axis=1)
    methods = ["predict", "score", *(["transform"] if hasattr(model, "transform") else ["predict_proba", "bic"])]
    for method in methods:
        assert_refused([part, type(model).__name__, "feature_names_in_"], getattr(model, method), other)
    shuffled = FRAME[["blue", "red", "green"]]
    np.testing.assert_array_equal(model.predict(shuffled[list(model.feature_names_in_)]), model.predict(FRAME))


@both
def test_a_message_lists_a_few_of_many_names(estimator):
    wide = pd.DataFrame(np.tile(X, 4), columns=[f"x{i:02}" for i in range(12)])
    model = clone(estimator).fit(wide)
    assert_refused(
        ["'y00', 'y01', 'y02', 'y03', 'y04' and 7 more"], model.predict, wide.rename(columns=lambda n: "y" + n[1:])
    )


@both
def test_names_on_one_side_only_are_a_warning(estimator):
    with pytest.warns(UserWarning, match="X has no feature names, but .* was fitted to a data frame"):
        clone(estimator).fit(FRAME).predict(X)
    with pytest.warns(UserWarning, match="X has feature names, but .* was fitted to an array"):
        clone(estimator).fit(X).predict(FRAME)


@both
def test_every_method_warns_at_the_line_that_calls_it(estimator):
    names = {"predict", "score", "transform", "predict_proba", "score_samples", "aic", "bic", "icl"}
    for fitted, data in ((FRAME, X), (X, FRAME)):
        model = clone(estimator).fit(fitted)
        for name in names & set(dir(model)):
            with pytest.warns(UserWarning, match="feature names") as found:
                getattr(model, name)(data)
            assert {warning.filename for warning in found} == {__file__}, name
    limited = clone(estimator).set_params(max_iter=1, tol=0)
    for method in (limited.fit, limited.fit_predict):
        with pytest.warns(ConvergenceWarning) as found:
            method(X)
        assert {warning.filename for warning in found} == {__file__}


@each_pair
def test_names_are_checked_where_scikit_learn_checks_them(ours, theirs):
    numbered = pd.DataFrame(X)
    mixed = pd.DataFrame(X, columns=["a", 1, 2])
    others = [FRAME, X, numbered, FRAME.set_axis(["a", "b", "c"], axis=1), FRAME[NAMES[::-1]], pl.DataFrame(X)]
    for fitted in (FRAME, X, numbered):
        one, other = clone(ours).fit(fitted), clone(theirs).fit(fitted)
        assert hasattr(one, "feature_names_in_") == hasattr(other, "feature_names_in_")
        for data in others:
            mine, reference = caught(one.predict, data), caught(other.predict, data)
            assert len(mine) == len(reference), (mine, reference)
    assert caught(clone(theirs).fit, mixed)
    assert_refused(["2 of 3 column names", "astype(str)"], clone(ours).fit, mixed)


@pytest.mark.parametrize(("container", "library"), [("pandas", pd), ("polars", pl)])
def test_kmeans_returns_distances_as_the_data_frame_that_is_set(container, library):
    plain = KMeans(2, random_state=0).fit(FRAME)
    model = KMeans(2, random_state=0).set_output(transform=container).fit(FRAME)
    distances = model.transform(FRAME)
    assert type(distances) is library.DataFrame
    assert list(distances.columns) == ["kmeans0", "kmeans1"] == model.get_feature_names_out().tolist()
    np.testing.assert_array_equal(np.asarray(distances), plain.transform(FRAME))
    np.testing.assert_array_equal(np.asarray(clone(model).fit_transform(FRAME)), plain.transform(FRAME))
    assert type(clone(model).fit_transform(FRAME)) is library.DataFrame
    assert type(model.set_output(transform=None).transform(FRAME)) is library.DataFrame
    assert type(model.set_output(transform="default").transform(FRAME)) is np.ndarray


def test_a_pandas_result_has_the_index_of_its_input():
    model = KMeans(2, random_state=0).set_output(transform="pandas").fit(FRAME)
    assert model.transform(FRAME).index.tolist() == FRAME.index.tolist()
    with pytest.warns(UserWarning):
        assert model.transform(X).index.tolist() == list(range(60))


def test_names_of_distances_are_those_of_scikit_learn():
    theirs = TheirKMeans(3).fit(FRAME).get_feature_names_out()
    ours = KMeans(3).fit(FRAME).get_feature_names_out(NAMES)
    assert ours.tolist() == theirs.tolist()
    assert ours.dtype == theirs.dtype
    with pytest.raises(NotFittedError):
        KMeans(3).get_feature_names_out()


def test_pipelines_unions_and_column_transformers_return_data_frames():
    pipeline = make_pipeline(StandardScaler(), KMeans(2, random_state=0)).set_output(transform="pandas")
    assert pipeline.fit_transform(FRAME).columns.tolist() == ["kmeans0", "kmeans1"]
    union = FeatureUnion([("scaled", StandardScaler()), ("near", KMeans(2, random_state=0))])
    assert union.set_output(transform="pandas").fit_transform(FRAME).columns.tolist() == [
        *(f"scaled__{name}" for name in NAMES),
        "near__kmeans0",
        "near__kmeans1",
    ]
    columns = ColumnTransformer([("near", KMeans(2, random_state=0), ["red", "blue"])], remainder="passthrough")
    assert columns.set_output(transform="pandas").fit_transform(FRAME).columns.tolist() == [
        "near__kmeans0",
        "near__kmeans1",
        "remainder__green",
    ]


def test_the_configuration_of_scikit_learn_counts_unless_the_estimator_has_its_own():
    model = KMeans(2, random_state=0).fit(FRAME)
    with sklearn.config_context(transform_output="pandas"):
        assert type(model.transform(FRAME)) is pd.DataFrame
        assert type(clone(model).set_output(transform="default").fit(FRAME).transform(FRAME)) is np.ndarray
    assert type(model.transform(FRAME)) is np.ndarray


def test_other_containers_are_refused_and_a_missing_one_is_named(monkeypatch):
    assert_refused(["transform = 'numpy'", "pandas"], KMeans(2).set_output, transform="numpy")
    model = KMeans(2, random_state=0).fit(X).set_output(transform="polars")
    monkeypatch.setitem(sys.modules, "polars", None)
    assert_refused(["pip install polars"], model.transform, X)


@both
def test_a_notebook_shows_the_diagram_of_scikit_learn_with_the_parameters_that_were_set(estimator):
    shown = estimator._repr_mimebundle_()
    assert shown["text/plain"] == repr(estimator)
    assert f"<pre>{estimator!r}</pre>" in shown["text/html"]
    with sklearn.config_context(display="text"):
        assert estimator._repr_mimebundle_() == {"text/plain": repr(estimator)}


@both
def test_without_scikit_learn_a_notebook_shows_the_plain_representation(estimator, monkeypatch):
    monkeypatch.setitem(sys.modules, "sklearn", None)
    monkeypatch.setitem(sys.modules, "sklearn.utils", None)
    assert estimator._repr_mimebundle_() == {"text/plain": repr(estimator)}
    model = clone_by_hand(estimator).fit(FRAME)
    assert model.predict(FRAME).shape == (60,)
    if hasattr(model, "transform"):
        assert type(model.transform(FRAME)) is np.ndarray


def clone_by_hand(estimator):
    return type(estimator)(**estimator.get_params())


# --- missing values ---------------------------------------------------------------------------------------------------


@both
@pytest.mark.parametrize("missing", [pd.NA, None, np.nan])
@pytest.mark.parametrize("dtype", ["Float64", object])
def test_a_missing_value_of_a_data_frame_is_refused_as_nan(estimator, missing, dtype):
    frame = FRAME.astype(dtype)
    frame.iloc[3, 1] = missing
    for use in (clone(estimator).fit, clone(estimator).fit(FRAME).predict):
        with pytest.raises(ValueError, match="X contains NaN or infinite values; remove or replace them"):
            use(frame)


def test_a_text_in_a_data_frame_with_missing_values_is_named():
    frame = FRAME.astype(object)
    frame.iloc[2, 0] = "red"
    with pytest.raises(ValueError, match="could not convert string to float: 'red'"):
        KMeans(2).fit(frame)


@both
@pytest.mark.parametrize("argument", ["X", "sample_weight"])
def test_a_masked_array_is_refused_with_a_remedy(estimator, argument):
    values = {"X": X, "sample_weight": np.ones(60)}
    mask = np.zeros(values[argument].shape, dtype=bool)
    mask[5:7] = True
    values[argument] = np.ma.masked_array(values[argument], mask)
    remedy = "leave masked rows out" if argument == "X" else r"use sample_weight\.filled"
    with pytest.raises(ValueError, match=rf"^{argument} has \d+ masked value\(s\), .*{remedy}"):
        clone(estimator).fit(**values)
    if argument == "X":
        for use in ("predict", "transform", "score"):
            if hasattr(estimator, use):
                with pytest.raises(ValueError, match="masked"):
                    getattr(clone(estimator).fit(X), use)(values["X"])


@both
@pytest.mark.parametrize("as_rows", [list, tuple, lambda array: [list(row) for row in array]])
def test_rows_with_masks_are_refused_with_a_remedy(estimator, as_rows):
    masked = np.ma.masked_array(X, mask=np.arange(X.size).reshape(X.shape) == 5)
    for use in (clone(estimator).fit, clone(estimator).fit(X).predict):
        with pytest.raises(ValueError, match=r"^X has 1 masked value\(s\), .* use np\.ma\.array\(X\)\.filled\(value\)"):
            use(as_rows(masked))
    with pytest.raises(ValueError, match=r"^sample_weight has 1 masked value\(s\), .*np\.ma\.array\(sample_weight\)"):
        clone(estimator).fit(X, sample_weight=list(np.ma.masked_array(np.ones(60), mask=np.arange(60) == 7)))
    start = "init" if isinstance(estimator, KMeans) else "means_init"
    with pytest.raises(ValueError, match=rf"^{start} has {X.shape[1]} masked value\(s\)"):
        clone(estimator).set_params(**{start: [np.ma.masked_all(X.shape[1]), *X[:1]]}).fit(X)


def test_matrices_with_masks_are_refused_with_a_remedy():
    covariance = np.ma.masked_array(np.eye(X.shape[1]), mask=np.eye(X.shape[1]))
    with pytest.raises(ValueError, match=rf"^sample_covariance has {60 * X.shape[1]} masked value\(s\)"):
        GaussianMixture(2).fit(X, sample_covariance=[covariance] * 60)
    with pytest.raises(ValueError, match=rf"^precisions_init has {2 * X.shape[1]} masked value\(s\)"):
        GaussianMixture(2, precisions_init=[covariance] * 2).fit(X)


def test_rows_without_a_masked_value_are_an_array():
    rows = list(np.ma.masked_array(X, mask=False))
    np.testing.assert_array_equal(KMeans(2, random_state=0).fit_predict(rows), KMeans(2, random_state=0).fit_predict(X))


@pytest.mark.parametrize("kind", [list, tuple])
def test_nested_lists_of_any_depth_are_answered(kind):
    value = 1.0
    for _ in range(100):
        value = kind([value])
    cyclic = []
    cyclic.append(cyclic)
    for samples in (value, cyclic):
        with pytest.raises(ValueError, match=r"^X "):
            KMeans(1).fit(samples)
