"""Mixtures as files: JSON under the schema `gmmquant-model/1`, full precision, nothing that is ever executed."""

from __future__ import annotations

import json
import math
import os
import stat
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from gmmquant.errors import ModelFileError, ParameterError, SingularCovarianceError
from gmmquant.models.array_validation import FloatArray, check_array
from gmmquant.models.covariance import COVARIANCE_TYPES, CovarianceType
from gmmquant.models.gaussian import Gaussians, natural_parameters

SCHEMA = "gmmquant-model/1"

# A mixture of 4096 full covariances of colours takes 1.5 MB.
MAX_MODEL_BYTES = 64_000_000


@dataclass(frozen=True)
class Model:
    """A mixture, and other entries of its file (`facts`), such as `color_space` and `exact` for models of images."""

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


def read_model(path: Path) -> Model:
    """Read a model file.

    Raises
    ------
    ModelFileError
        If it is not a model of this schema, or its parameters are not a mixture; the message names the entry.
    OSError
        If the system cannot read it.
    """
    if not stat.S_ISREG(os.stat(path).st_mode):
        raise ModelFileError("not a regular file; give a model that gmmquant saved")
    with open(path, "rb") as file:
        data = file.read(MAX_MODEL_BYTES + 1)
    if len(data) > MAX_MODEL_BYTES:
        raise ModelFileError(f"more than {MAX_MODEL_BYTES} bytes, the limit; give a model that gmmquant saved")
    try:
        record = json.loads(data, parse_constant=_refuse_constant)
    except (ValueError, RecursionError):
        raise ModelFileError("not JSON; give a model that gmmquant saved") from None
    if not isinstance(record, dict) or record.get("schema") != SCHEMA:
        found = record.get("schema") if isinstance(record, dict) else None
        raise ModelFileError(f"schema is {str(found)[:40]!r}, not {SCHEMA!r}; give a model that gmmquant saved")
    known = {"schema", "version", "covariance_type", "weights", "means", "covariances"}
    return Model(_read_gaussians(record), {name: value for name, value in record.items() if name not in known})


def _read_gaussians(record: dict[str, Any]) -> Gaussians:
    covariance_type = COVARIANCE_TYPES.get(str(record.get("covariance_type")))
    if covariance_type is None:
        raise ModelFileError(f"covariance_type must be one of {', '.join(COVARIANCE_TYPES)}")
    means = _numbers(record, "means", None)
    if means.ndim != 2 or means.size == 0:
        raise ModelFileError(f"means has shape {means.shape}; it must be (components, features)")
    K, d = means.shape
    weights = _numbers(record, "weights", (K,))
    if (weights < 0).any() or not math.isclose(weights.sum(), 1, rel_tol=1e-9):
        raise ModelFileError(f"weights sum to {weights.sum():g}; they must be at least 0 and sum to 1")
    gaussians = Gaussians(weights, means, _numbers(record, "covariances", covariance_type.shape(K, d)), covariance_type)
    _check_covariances(gaussians, covariance_type)
    return gaussians


def _check_covariances(gaussians: Gaussians, covariance_type: CovarianceType) -> None:
    if covariance_type.dense and not np.allclose(gaussians.covariances, np.swapaxes(gaussians.covariances, -1, -2)):
        raise ModelFileError("covariances must be symmetric")
    try:
        with np.errstate(all="ignore"):
            finite = bool(np.isfinite(natural_parameters(gaussians, gaussians.means[0])).all())
    except SingularCovarianceError:
        finite = False
    if not finite:
        raise ModelFileError("means and covariances must be of ordinary size, and covariances must have inverses")


def _numbers(record: dict[str, Any], name: str, shape: tuple[int, ...] | None) -> FloatArray:
    """Return an entry as a finite array of the given shape, or of any if that is None."""
    try:
        value = np.asarray(record.get(name))
        if value.dtype.kind not in "iuf":
            raise TypeError
        return check_array(name, value, value.shape if shape is None else shape)
    except ParameterError as error:
        raise ModelFileError(str(error)) from None
    except (TypeError, ValueError, OverflowError):
        raise ModelFileError(f"{name} is not an array of numbers") from None


def _refuse_constant(name: str) -> float:
    raise ValueError(f"{name} is not JSON")
