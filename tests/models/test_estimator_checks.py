"""scikit-learn's own checks of estimators, run on ours."""

import pickle
import subprocess
import sys
import warnings

import numpy as np
import pytest
import scipy.sparse
from sklearn.exceptions import NotFittedError as TheirNotFittedError
from sklearn.utils.estimator_checks import check_estimator

from gmmquant import GaussianMixture, KMeans, NotFittedError, ParameterError

# Random starts are drawn among the samples, so a repeated sample and one with twice the weight start otherwise;
# scikit-learn's KMeans fails it as well.
BY_CHANCE = {KMeans: {"check_sample_weight_equivalence_on_dense_data"}, GaussianMixture: set()}


@pytest.mark.parametrize("estimator", [KMeans(2), GaussianMixture()])
def test_an_estimator_passes_scikit_learns_checks(estimator):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        checks = check_estimator(estimator, on_fail=None, on_skip=None)
    assert len(checks) > 40
    failed = {check["check_name"]: check["exception"] for check in checks if check["status"] == "failed"}
    assert failed.keys() <= BY_CHANCE[type(estimator)], failed


@pytest.mark.parametrize("estimator", [KMeans(2), GaussianMixture()])
def test_an_estimator_that_is_not_fitted_raises_both_errors(estimator):
    with pytest.raises(TheirNotFittedError, match="is not fitted yet; call fit first") as caught:
        estimator.predict([[0.0]])
    assert isinstance(caught.value, NotFittedError)
    again = pickle.loads(pickle.dumps(caught.value))
    assert (type(again), again.args) == (type(caught.value), caught.value.args)


def test_the_error_needs_no_scikit_learn():
    code = (
        "import sys, gmmquant\ntry: gmmquant.KMeans(2).predict([[0.0]])\nexcept gmmquant.NotFittedError as error: "
        "print(type(error).__mro__[1].__name__, 'sklearn' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "GmmquantError False\n"


@pytest.mark.parametrize("kind", [scipy.sparse.csr_matrix, scipy.sparse.coo_array])
def test_sparse_input_is_refused_with_a_remedy(kind):
    sparse = kind(np.eye(4))
    with pytest.raises(
        ParameterError, match=rf"X is a {kind.__name__}, and sparse input is not supported; use X\.toarr"
    ):
        KMeans(2).fit(sparse)
    KMeans(2, random_state=0).fit(sparse.toarray())
