"""Checks of the arrays that estimators accept. A message gives the value, the limit and the remedy in one line.

Where scikit-learn's tests of estimators look for words in a message, these are in it.
"""

from __future__ import annotations

import math
import sys
from collections.abc import Iterator
from functools import cache
from itertools import chain
from typing import Any, TypeVar

import numpy as np
import numpy.typing as npt

from gmmquant.errors import NotFittedError, ParameterError

_Scalar = TypeVar("_Scalar", bound=np.generic)

FloatArray = npt.NDArray[np.float64]
IndexArray = npt.NDArray[np.intp]

# The largest absolute value in X: with it, sums of squares over any number of samples stay in the range of float64.
LARGEST = 1e145

_MAX_NESTING = 5  # of lists that are searched for masks: arrays here have at most three dimensions


class ArrayTypeError(ParameterError, TypeError):
    """An array holds objects that are not numbers."""


def check_array(name: str, value: npt.ArrayLike, shape: tuple[int, ...]) -> FloatArray:
    """Return `value` as a finite float64 array of exactly `shape`."""
    array = _as_floats(name, value)
    if array.shape != shape:
        raise ParameterError(f"{name} has shape {array.shape}; it must be {shape}")
    return array


def check_samples(X: npt.ArrayLike, n_features: int | None = None, estimator: object = None) -> FloatArray:
    """Return `X` as a finite float64 array of shape (n_samples, n_features) with at least one sample.

    `n_features` is that of the fit of `estimator`.
    """
    if X is None:
        raise ParameterError("X is None; pass an array of shape (n_samples, n_features)")
    array = _as_floats("X", X)
    if array.ndim != 2:
        one = "use X.reshape(-1, 1) for one feature or X.reshape(1, -1) for one sample"
        remedy = f". Reshape your data: {one}" if array.ndim < 2 else "; use X.reshape(-1, X.shape[-1]) for an image"
        raise ParameterError(f"X has {array.ndim} dimension(s); it must have shape (n_samples, n_features){remedy}")
    if array.size == 0:
        few = f"{array.shape[0]} sample(s)" if array.shape[0] == 0 else "0 feature(s)"
        raise ParameterError(
            f"X has {few} (shape={array.shape}) while a minimum of 1 is required; "
            "use at least one sample and one feature"
        )
    if n_features is not None and array.shape[1] != n_features:
        name = type(estimator).__name__
        raise ParameterError(
            f"X has {array.shape[1]} features, but {name} is expecting {n_features} features as input, as in its fit"
        )
    check_size("X", array)
    return array


def check_size(name: str, array: FloatArray) -> None:
    """Refuse values whose squares leave the range of float64."""
    largest = np.abs(array).max()
    if largest > LARGEST:
        raise ParameterError(
            f"{name} contains {largest:g} in size, above the limit {LARGEST:g}: "
            "its squares leave the range of float64; rescale the data"
        )


def check_weights(name: str, value: npt.ArrayLike, n: int, max_error: float) -> FloatArray:
    """Return `n` weights of at least 0 whose sum differs from 1 by at most `max_error`."""
    weights = check_array(name, value, (n,))
    if (weights < 0).any() or abs(weights.sum() - 1) > max_error:
        raise ParameterError(f"{name} sums to {weights.sum():g}; use weights of at least 0 that sum to 1")
    return weights


def check_sample_weight(sample_weight: npt.ArrayLike | None, n_samples: int) -> FloatArray:
    """Return finite weights of at least 0, shape (n_samples,), not all of them 0; ones by default."""
    if sample_weight is None:
        return np.ones(n_samples)
    weight = check_array("sample_weight", sample_weight, (n_samples,))
    if (weight < 0).any():
        raise ParameterError(f"sample_weight contains {weight.min()}; weights must be at least 0")
    if not weight.any():
        raise ParameterError("sample_weight is zero everywhere; give at least one sample a weight above 0")
    if np.ldexp(weight, -64).sum() > np.ldexp(np.finfo(np.float64).max, -64):
        raise ParameterError(
            f"sample_weight contains {weight.max():g}; its sum leaves the range of float64: scale it, only ratios count"
        )
    return weight


def weights_near_one(weight: FloatArray) -> FloatArray:
    """Return weights scaled by a power of two to at most 1, which changes no digit; sums of them stay in range."""
    return np.asarray(np.ldexp(weight, -np.frexp(weight.max())[1]))


def check_sample_covariance(sample_covariance: npt.ArrayLike | None, n: int, d: int) -> FloatArray | None:
    """Return finite symmetric matrices of shape (n, d, d) without negative variances, or None."""
    if sample_covariance is None:
        return None
    matrices = check_array("sample_covariance", sample_covariance, (n, d, d))
    smallest = np.diagonal(matrices, axis1=1, axis2=2).min()
    if smallest < 0 or not np.allclose(matrices, matrices.transpose(0, 2, 1)):
        raise ParameterError(
            "sample_covariance must hold symmetric matrices with variances of at least 0; "
            f"its smallest variance is {smallest:g}"
        )
    return matrices


def check_finite_objective(name: str, value: float) -> None:
    """Refuse an objective that overflowed."""
    if not math.isfinite(value):
        raise ParameterError(f"the {name} is {value}: the data's squares leave the range of float64; rescale the data")


def check_enough_samples(weight: FloatArray, name: str, n_groups: int) -> None:
    """Refuse fewer samples of `weight` above 0 than groups."""
    n_samples = np.count_nonzero(weight)
    if n_samples < n_groups:
        raise ParameterError(f"X has {n_samples} sample(s) with weight; {name} = {n_groups} needs at least as many")


def check_fitted(estimator: object, attribute: str) -> None:
    """Refuse an estimator whose `fit` has not set `attribute` yet."""
    if not hasattr(estimator, attribute):
        raise not_fitted(f"this {type(estimator).__name__} is not fitted yet; call fit first")


def not_fitted(message: str) -> NotFittedError:
    """Return a NotFittedError, which is also scikit-learn's if that is imported: only then may it be expected."""
    theirs = getattr(sys.modules.get("sklearn.exceptions"), "NotFittedError", None)
    return NotFittedError(message) if theirs is None else _also(theirs)(message)


@cache
def _also(theirs: type[Exception]) -> type[NotFittedError]:
    """Return the NotFittedError of gmmquant that is also `theirs`; pickles of it are read without scikit-learn too."""
    members = {"__module__": NotFittedError.__module__, "__reduce__": lambda error: (not_fitted, error.args)}
    return type(NotFittedError.__name__, (NotFittedError, theirs), members)


def refuse_masked(name: str, value: object, remedy: str) -> None:
    """Refuse a masked entry, in an array or in lists of arrays: as an array it would be the value under its mask.

    `{filled}` in the remedy becomes the expression for an array with values in place of masked entries.
    """
    ma = sys.modules.get("numpy.ma")  # a masked array exists only after its import
    if ma is None:
        return
    n_masked = sum(np.count_nonzero(ma.getmaskarray(array)) for array in _instances_in(value, ma.MaskedArray))
    if n_masked:
        filled = f"{name if hasattr(value, 'filled') else f'np.ma.array({name})'}.filled(value)"
        raise ParameterError(
            f"{name} has {n_masked} masked value(s), and masks are not supported; {remedy.format(filled=filled)}"
        )


def _instances_in(value: object, kind: type) -> Iterator[Any]:
    """Yield the instances of `kind` in `value`, itself or in lists and tuples.

    Types are collected by functions in C: lists of a million rows of three numbers take 0.2 s, their conversion to an
    array as long.
    """
    level: list[Any] = [value]
    for _ in range(_MAX_NESTING):
        types = set(map(type, level))
        if any(issubclass(each, kind) for each in types):
            yield from (each for each in level if isinstance(each, kind))
        if not any(issubclass(each, (list, tuple)) for each in types):
            return
        level = list(chain.from_iterable(each for each in level if isinstance(each, (list, tuple))))


def _as_floats(name: str, value: npt.ArrayLike) -> FloatArray:
    rows = "leave masked rows out, set their sample_weight to 0, or " if name == "X" else ""
    refuse_masked(name, value, f"{rows}use {{filled}}")
    if hasattr(value, "toarray") and not hasattr(value, "__array__"):
        raise ParameterError(f"{name} is a {type(value).__name__}, and sparse input is not supported; use X.toarray()")
    try:
        array: npt.NDArray[Any] = np.asarray(value)
        if array.dtype.kind == "c":
            raise ParameterError(f"{name} contains complex numbers. Complex data not supported; use real numbers")
        array = array.astype(np.float64, copy=False)
    except TypeError as error:
        if _has_missing(value):
            raise _not_finite(name) from None
        raise ArrayTypeError(f"{name} cannot be converted to an array of numbers: {error}") from None
    except ParameterError:
        raise
    except ValueError as error:
        raise ParameterError(f"{name} cannot be converted to an array of numbers: {error}") from None
    if not np.isfinite(array).all():
        raise _not_finite(name)
    return array


def _has_missing(value: object) -> bool:
    """Return whether a value is pandas.NA."""
    pandas = sys.modules.get("pandas")
    return pandas is not None and bool(pandas.isna(np.asarray(value, dtype=object)).any())


def _not_finite(name: str) -> ParameterError:
    return ParameterError(f"{name} contains NaN or infinite values; remove or replace them")


def read_only(array: npt.NDArray[_Scalar]) -> npt.NDArray[_Scalar]:
    """Return a view of an array that cannot be written to; the array itself can."""
    view = array.view()
    view.flags.writeable = False
    return view
