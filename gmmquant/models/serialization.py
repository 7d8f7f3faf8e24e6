"""Mixtures as files: JSON under the schema `gmmquant-model/1`, full precision, nothing that is ever executed."""

from __future__ import annotations

import json
import os
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from gmmquant.errors import GmmquantError, ModelFileError, ParameterError, SingularCovarianceError
from gmmquant.models.array_validation import check_array, check_weights
from gmmquant.models.covariance import check_covariance_type
from gmmquant.models.gaussian import Gaussians, natural_parameters
from gmmquant.system.paths import local_path
from gmmquant.system.printable import printable

SCHEMA = "gmmquant-model/1"

# A mixture of 4096 full covariances of colours takes 1.5 MB.
MAX_MODEL_BYTES = 64_000_000


@dataclass(frozen=True, eq=False)
class Model:
    """A mixture, and other entries of its file (`facts`).

    They are `color_space`, `exact` and others of models of images, and `feature_names` of a fit to a data frame.
    """

    gaussians: Gaussians
    facts: dict[str, Any] = field(default_factory=dict)


def model_to_json(model: Model, version: str) -> str:
    """Return a model as JSON; `version` is that of the program."""
    gaussians = model.gaussians
    record = {
        "schema": SCHEMA,
        "version": version,
        **model.facts,
        "covariance_type": gaussians.covariance_type.name,
        "weights": gaussians.weights.tolist(),
        "means": gaussians.means.tolist(),
        "covariances": gaussians.covariances.tolist(),
    }
    return json.dumps(record, indent=1, allow_nan=False) + "\n"


def model_path(path: object, name: str = "path", remedy: str = "") -> Path:
    """Return the path of a model that a user passes as the argument `name`.

    A ParameterError is raised for a URL, and for an object that is not a path, with a `remedy` for its type.
    """
    if not isinstance(path, (str, os.PathLike)):
        raise ParameterError(f"{name} is a {type(path).__name__}; pass the path of a saved mixture{remedy}")
    return local_path(path)


@contextmanager
def errors_of_model(path: Path) -> Iterator[None]:
    """Turn all errors about the content of a model into ModelFileErrors that name its file."""
    try:
        yield
    except GmmquantError as error:
        raise ModelFileError(f"{printable(str(path))}: {error}") from None


def read_model(path: Path) -> Model:
    """Read a model file.

    ModelFileError is raised if it is not a model of this schema, or its parameters are not a mixture (the message names
    the entry), OSError if the system cannot read it.
    """
    if not stat.S_ISREG(os.stat(path).st_mode):
        raise ModelFileError("not a regular file; use a model that gmmquant saved")
    with open(path, "rb") as file:
        data = file.read(MAX_MODEL_BYTES + 1)
    if len(data) > MAX_MODEL_BYTES:
        raise ModelFileError(f"more than {MAX_MODEL_BYTES} bytes, the limit; use a model saved by gmmquant")
    try:
        record = json.loads(data, parse_constant=_refuse_constant)
    except (ValueError, RecursionError):
        raise ModelFileError("not JSON; use a model saved by gmmquant") from None
    if not isinstance(record, dict) or record.get("schema") != SCHEMA:
        found = record.get("schema") if isinstance(record, dict) else None
        raise ModelFileError(f"schema is {str(found)[:40]!r}, not {SCHEMA!r}; use a model saved by gmmquant")
    known = {"schema", "version", "covariance_type", "weights", "means", "covariances"}
    try:
        gaussians = _read_gaussians(record)
    except ParameterError as error:
        raise ModelFileError(str(error)) from None
    n_features = gaussians.means.shape[1]
    names = record.get("feature_names", [""] * n_features)
    if not isinstance(names, list) or [type(name) for name in names] != [str] * n_features:
        raise ModelFileError(f"feature_names must be {n_features} texts, one for each feature; correct or remove them")
    return Model(gaussians, {name: value for name, value in record.items() if name not in known})


def _read_gaussians(record: dict[str, Any]) -> Gaussians:
    covariance_type = check_covariance_type(str(record.get("covariance_type"))[:40])
    means = _numbers(record, "means")
    if means.ndim != 2 or means.size == 0:
        raise ModelFileError(f"means has shape {means.shape}; it must be (components, features)")
    K, d = means.shape
    gaussians = Gaussians(
        check_weights("weights", _numbers(record, "weights"), K, max_error=1e-9),
        check_array("means", means, (K, d)),
        check_array("covariances", _numbers(record, "covariances"), covariance_type.shape(K, d)),
        covariance_type,
    )
    if covariance_type.dense and not np.allclose(gaussians.covariances, np.swapaxes(gaussians.covariances, -1, -2)):
        raise ModelFileError("covariances must be symmetric; use a model saved by gmmquant")
    try:
        with np.errstate(all="ignore"):
            usable = bool(np.isfinite(natural_parameters(gaussians, gaussians.means[0])).all())
    except SingularCovarianceError:
        usable = False
    if not usable:
        raise ModelFileError(
            "means and covariances must be of ordinary size, and covariances must have inverses; fit the mixture again"
        )
    return gaussians


def _numbers(record: dict[str, Any], name: str) -> npt.NDArray[Any]:
    """Return an entry as an array of integers or floats."""
    try:
        value = np.asarray(record.get(name))
    except (ValueError, OverflowError):
        value = np.empty(0, dtype=object)
    if value.dtype.kind not in "iuf":
        raise ModelFileError(f"{name} is not an array of numbers; use a model saved by gmmquant")
    return value


def _refuse_constant(name: str) -> float:
    raise ValueError(name)
