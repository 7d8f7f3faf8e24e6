"""Data frames: the names of their features, and results as data frames. pandas and polars are not needed."""

from __future__ import annotations

import sys
from importlib import import_module
from typing import Any

import numpy as np
import numpy.typing as npt

from gmmquant.errors import ParameterError
from gmmquant.models.array_validation import FloatArray
from gmmquant.models.scalar_validation import check_choice

CONTAINERS = ("default", "pandas", "polars")

_MAX_NAMES = 5  # that a message lists


def feature_names(X: object) -> npt.NDArray[Any] | None:
    """Return the names of the columns of a data frame, an array of objects, or None if `X` has no names.

    A ParameterError is raised if some of them are strings and others are not.
    """
    columns = getattr(X, "columns", None)
    if columns is None or not hasattr(X, "__array__"):
        return None
    names = np.array(list(columns), dtype=object)
    n_strings = sum(isinstance(name, str) for name in names)
    if 0 < n_strings < names.size:
        raise ParameterError(
            f"{names.size - n_strings} of {names.size} column names of X are not strings; "
            "rename them with X.columns = X.columns.astype(str)"
        )
    return names if n_strings else None


def difference_of_names(names: npt.NDArray[Any], fitted: npt.NDArray[Any]) -> str | None:
    """Return how the `names` of features differ from those of the fit, or None if they are the same in one order."""
    if names.tolist() == fitted.tolist():
        return None
    unknown, missing = sorted(set(names) - set(fitted)), sorted(set(fitted) - set(names))
    parts = []
    if unknown:
        parts.append(f"not in the fit: {_listed(unknown)}")
    if missing:
        parts.append(f"missing: {_listed(missing)}")
    return "; ".join(parts) or "another order of the same names"


def container_of(estimator: object) -> str:
    """Return the container of an estimator's results: its own, or that of scikit-learn's configuration."""
    config = getattr(estimator, "_sklearn_output_config", {})
    if "transform" in config:
        return str(config["transform"])
    scikit_learn = sys.modules.get("sklearn")  # its configuration exists only after its import
    return str(scikit_learn.get_config()["transform_output"]) if scikit_learn else "default"


def in_container(values: FloatArray, container: str, names: npt.NDArray[Any], X: object) -> Any:
    """Return `values` (n_samples, n_columns) as a data frame with columns `names`, or as they are for "default".

    A pandas data frame has the index of `X`, if that is one.
    """
    check_choice("transform", container, CONTAINERS)
    if container == "default":
        return values
    try:
        library = import_module(container)
    except ModuleNotFoundError:
        raise ParameterError(
            f"transform = {container!r} needs {container}, which is not installed; use pip install {container}"
        ) from None
    if container == "polars":
        return library.DataFrame(values, schema=names.tolist(), orient="row")
    index = X.index if isinstance(X, library.DataFrame) else None
    return library.DataFrame(values, index=index, columns=names, copy=False)


def _listed(names: list[str]) -> str:
    shown = ", ".join(repr(name) for name in names[:_MAX_NAMES])
    return shown + (f" and {len(names) - _MAX_NAMES} more" if len(names) > _MAX_NAMES else "")
