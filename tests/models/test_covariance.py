"""Inverses of covariances, and the errors of those without one."""

import numpy as np
import pytest

from gmmquant import SingularCovarianceError
from gmmquant.models.covariance import COVARIANCE_TYPES, precisions_cholesky


@pytest.mark.parametrize("kind", COVARIANCE_TYPES)
@pytest.mark.parametrize("smallest", [0.0, -1.0])
def test_a_variance_of_zero_or_less_is_a_collapse_of_its_component(kind, smallest):
    covariance_type = COVARIANCE_TYPES[kind]
    matrices = np.tile(np.eye(3), (2, 1, 1))
    matrices[1] *= smallest
    if kind == "tied":
        covariances = matrices[1]
    else:
        covariances = matrices if covariance_type.dense else np.diagonal(matrices, axis1=1, axis2=2)
    name = "the covariance that all components share" if kind == "tied" else "component 1"
    with pytest.raises(SingularCovarianceError, match=f"^{name} collapsed .* of its covariance {smallest:.3g}, must"):
        precisions_cholesky(covariances, covariance_type)
