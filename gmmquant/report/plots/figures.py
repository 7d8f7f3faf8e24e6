"""The figures of fits that plots show, from results in memory or from records."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from gmmquant.errors import ParameterError
from gmmquant.models.array_validation import FloatArray
from gmmquant.quantization.result import RecoloredFit
from gmmquant.report.record import Record, covariances_of, fit_record, formats_apart, was_searched

# A result or the record of a fit; several of them; or a record, which has several.
Results = RecoloredFit | Mapping[str, Any] | Iterable["RecoloredFit | Mapping[str, Any]"]


class Tried(NamedTuple):
    """The criteria of a fit to coarse cells, in nats per pixel."""

    k: int
    aic: float
    bic: float
    icl: float


class FitFigures(NamedTuple):
    """The figures of a fit.

    `trace` has the number of cells and the objective after each iteration for each level. Likelihood and criteria are
    divided by the weight of the visible pixels, in nats per pixel, and NaN where there is none. `is_searched` is
    whether a search by splits and merges came before the iterations, as far as the record tells. `label` has k, what
    was asked for if that was not a number, and the format of the image if there are several: "3, auto:4, webp".
    `weight` is that of the visible pixels.
    """

    k: int
    method: str
    space: str
    trace: tuple[tuple[int, tuple[float, ...]], ...]
    log_likelihood: float
    aic: float
    bic: float
    icl: float
    mse: float
    hex: tuple[str, ...]
    weights: FloatArray
    means: FloatArray
    covariances: FloatArray
    label: str
    is_searched: bool = False
    weight: float = math.nan

    @property
    def palette(self) -> npt.NDArray[np.float64]:
        """The colours, sRGB in [0, 1], shape (K, 3)."""
        return np.array([list(bytes.fromhex(code[1:])) for code in self.hex], dtype=float).reshape(-1, 3) / 255


def figures_of(results: object) -> list[FitFigures]:
    """Return the figures of a result, of the record of a fit, of all fits of a record, or of each of several.

    A ParameterError is raised if there are none, or for anything else.
    """
    if isinstance(results, RecoloredFit):
        return [_of_record(fit_record(results, {}))]
    if isinstance(results, Mapping):
        settings = results.get("settings", {})
        fits = results.get("fits", [results])
        formats = formats_apart(fits) if "fits" in results else [""] * len(fits)
        found = [_of_record(fit, extension, settings) for fit, extension in zip(fits, formats, strict=True)]
    elif isinstance(results, str) or not isinstance(results, Iterable):
        raise ParameterError(f"{results!r} is not a result; pass what quantize returns, or a record")
    else:
        found = [figures for result in results for figures in figures_of(result)]
    if not found:
        raise ParameterError("0 results cannot be plotted; pass at least 1")
    return found


def comparable(fits: Iterable[FitFigures]) -> list[list[FitFigures]]:
    """Return the series of fits that can be compared between numbers of colours, each in ascending order of k.

    A series has one method, one colour space and images of one size. Other figures of a k that it has start another
    one, as results of another image or of other settings do.
    """
    series: list[list[FitFigures]] = []
    for fit in fits:
        latest = next((each for each in reversed(series) if _kind(each[0]) == _kind(fit)), None)
        if latest is None or any(each.k == fit.k and _differ(each, fit) for each in latest):
            series.append([fit])
        else:
            latest.append(fit)
    return [sorted(each, key=lambda fit: fit.k) for each in series]


def _kind(fit: FitFigures) -> tuple[str, str, str]:
    """Return method and space of a fit, and the weight of the pixels without the rounding errors of its division."""
    return fit.method, fit.space, f"{fit.weight:.9g}"


def _differ(fit: FitFigures, other: FitFigures) -> bool:
    """Return whether two fits have different figures, and are not one that was asked for or written twice."""
    return not np.allclose(
        [fit.log_likelihood, fit.icl], [other.log_likelihood, other.icl], rtol=1e-12, atol=0, equal_nan=True
    )


def tried_by_auto(results: object) -> list[Tried]:
    """Return the criteria of the numbers of colours that `auto` tried, if `results` is a record with such a choice."""
    if not isinstance(results, Mapping) or not results.get("fits"):
        return []
    weight = _weight(results["fits"][0])
    paths = [choice["path"] for choice in results.get("choices") or () if choice["criterion"] == "icl"]
    return [Tried(e["k"], e["aic"] / weight, e["bic"] / weight, e["icl"] / weight) for path in paths[:1] for e in path]


def _of_record(fit: Record, extension: str = "", settings: Record | None = None) -> FitFigures:
    try:
        components = fit["components"]
        n_components = len(components["weight"])
        weight = _weight(fit)
        return FitFigures(
            k=fit["k"],
            method=fit["method"],
            space=fit["space"],
            trace=tuple((level["level"], tuple(level["objective"])) for level in fit["trace"]),
            log_likelihood=fit["log_likelihood"] / weight,
            aic=fit["aic"] / weight,
            bic=fit["bic"] / weight,
            icl=fit["icl"] / weight,
            mse=fit["mse"],
            hex=tuple(components["hex"]),
            weights=np.array(components["weight"], dtype=float),
            means=np.array(components["mean"], dtype=float).reshape(-1, 3),
            covariances=covariances_of(components) if n_components else np.empty((0, 3, 3)),
            label=", ".join(filter(None, [str(fit["k"]), str(fit["asked"]) if fit.get("auto") else "", extension])),
            is_searched=was_searched(settings or {}, fit),
            weight=weight,
        )
    except KeyError as error:
        raise ParameterError(f"a record without {error} is not that of a fit; pass one of its `fits`") from None


def _weight(fit: Record) -> float:
    """Return the weight of the visible pixels: their number, if all are opaque; NaN without any."""
    mean = fit["mean_log_likelihood"]
    if mean is None:
        return math.nan
    return float(fit["log_likelihood"] / mean if mean else sum(fit["components"]["pixels"]) or math.nan)
