"""Checks of numbers and choices, without numpy. A message gives the value, the limit and the remedy in one line."""

from __future__ import annotations

import math
from collections.abc import Sequence
from numbers import Integral, Real
from typing import TYPE_CHECKING, Any, Literal, get_args

from gmmquant.errors import ParameterError

if TYPE_CHECKING:
    import numpy as np

    Integer = int | np.integer[Any]

CovarianceName = Literal["full", "tied", "diag", "spherical"]
InitName = Literal["kmeans", "k-means++", "random_from_data", "random"]
SPACE_NAMES = ("srgb", "linear", "lab", "oklab")
COVARIANCE_NAMES, INIT_NAMES = get_args(CovarianceName), get_args(InitName)


def check_integer(name: str, value: object, minimum: int, remedy: str = "") -> int:
    """Return `value` as an int of at least `minimum`; `remedy` ends the message of another type."""
    if isinstance(value, bool) or not isinstance(value, Integral):
        raise ParameterError(f"{name} = {value!r} is not an integer; use one of at least {minimum}{remedy}")
    if value < minimum:
        raise ParameterError(f"{name} = {value} is too small; use at least {minimum}")
    return int(value)


def check_non_negative(name: str, value: object) -> float:
    """Return `value` as a finite float of at least 0."""
    if isinstance(value, bool) or not isinstance(value, Real) or not math.isfinite(value) or value < 0:
        raise ParameterError(f"{name} = {value!r} is not a finite number of at least 0")
    return float(value)


def check_choice(name: str, value: object, choices: Sequence[str]) -> str:
    """Return `value`, one of `choices`."""
    if not isinstance(value, str) or value not in choices:
        raise ParameterError(f"{name} = {value!r} is unknown; use one of {', '.join(choices)}")
    return value
