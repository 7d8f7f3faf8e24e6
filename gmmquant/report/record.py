"""The record of an image: the figures of every fit, as JSON with the schema `gmmquant-report/1`."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from gmmquant.colors.palette import hex_code
from gmmquant.models.selection import BoundedChoice, Choice
from gmmquant.quantization.fitter import Fitter
from gmmquant.quantization.quantizer import Quantizer
from gmmquant.quantization.result import ImageStatistics, RecoloredFit
from gmmquant.report.notes import n_distinct
from gmmquant.report.outcome import Done, Outcome, PlannedOutcome, SharedReport, Skipped
from gmmquant.settings import OF_FITS, Settings
from gmmquant.system.paths import AnyPath, as_text, relative
from gmmquant.version import __version__

SCHEMA = "gmmquant-report/1"
OUTCOME_SCHEMA = "gmmquant-outcome/1"

Record = dict[str, Any]

# The choices of k by what was asked for: "auto", "auto:2".
Choices = Mapping[str, Choice | BoundedChoice]

# Settings that do not matter for a fixed palette.
_OF_STARTS = ("init", "restarts", "search", "method")

# The inputs that a run may have in addition to images.
_EXTRA_INPUTS = ("model", "palette", "transfer_from")


def build_record(
    path: str,
    report: AnyPath,
    quantizer: Quantizer,
    fits: Sequence[Record],
    *,
    notes: Sequence[str] = (),
    choices: Choices | None = None,
    extra_inputs: Mapping[str, Path | Sequence[str]] | None = None,
    digests: Mapping[str, str] | None = None,
) -> Record:
    """Return the record of the image at `path`, with the `fit_record` of each k in `fits`.

    `report` is the file of the record: paths of `extra_inputs`, the strategy's inputs, become relative to its folder.
    `digests` are the SHA-256 of the image ("source") and of everything else that decides its outputs ("settings").
    """
    return {
        "schema": SCHEMA,
        "version": __version__,
        "image": image_record(path, quantizer),
        **asked_record(report, quantizer.fitter, fits, choices or {}, extra_inputs or {}),
        "digest": dict(digests or {}),
        "notes": list(notes),
        "fits": list(fits),
    }


def image_record(path: str, quantizer: Quantizer) -> Record:
    """Return the path, the size and the numbers of colours of an image."""
    histogram = quantizer.histogram
    height, width = quantizer.shape
    return {
        "path": path,
        "width": width,
        "height": height // quantizer.n_frames,
        "frames": quantizer.n_frames,
        "pixels": width * height,
        "visible_pixels": histogram.n_pixels,
        "visible_weight": histogram.total_weight,
        "distinct_colors": histogram.n_colors,
        "bit_depth": histogram.bit_depth,
    }


def asked_record(
    report: AnyPath,
    fitter: Fitter,
    fits: Sequence[Record],
    choices: Choices,
    extra_inputs: Mapping[str, Path | Sequence[str]],
) -> Record:
    """Return the settings of `fits` and the choices of k; `choice` is the first of them."""
    ks = [fit["asked"] for fit in fits]
    records = [choice_record(asked, choice) for asked, choice in choices.items()]
    return {
        "settings": {"k": ks, **settings_record(fitter.settings, extra_inputs, report, fitter.variance)},
        "choice": records[0] if records else None,
        "choices": records,
    }


def choice_record(asked: str, choice: Choice | BoundedChoice) -> Record:
    """Return the record of a choice of k."""
    path = [entry._asdict() for entry in choice.path]
    if isinstance(choice, BoundedChoice):
        facts = {"criterion": "oklab", "k": choice.k, "bound": choice.bound, "reached": choice.difference}
        return {"asked": asked, **facts, "path": path}
    return {
        "asked": asked,
        "criterion": "icl",
        "k": choice.k,
        "kept_gain": choice.kept_gain,
        "runner_up": choice.runner_up,
        "lowest_icl": choice.lowest_icl,
        "lowest_bic": choice.lowest_bic,
        "path": path,
    }


def settings_record(
    settings: Settings, extra_inputs: Mapping[str, Path | Sequence[str]], report: AnyPath, variance: float | None = None
) -> Record:
    """Return everything except k that influences the outputs of an image; `variance`, if known, as `reg_covar`."""
    values = {**asdict(settings), "keep_colors": list(settings.keep_colors)}
    if "model" in extra_inputs:  # nothing was fitted
        values |= dict.fromkeys(("style", "snap", *OF_FITS))
    if "palette" in extra_inputs:
        values |= dict.fromkeys(_OF_STARTS)
    values["recolor"] = settings.recoloring
    if variance is not None:
        values["reg_covar"] = variance
    inputs = {
        name: relative(value, report.parent) if isinstance(value, Path) else list(value)
        for name, value in extra_inputs.items()
    }
    return {**values, **dict.fromkeys(_EXTRA_INPUTS), **inputs}


def fit_record(result: RecoloredFit, files: Mapping[str, Any], *, asked: int | str | None = None) -> Record:
    """Return the record of one fit.

    `files` are the paths of its files by content. `asked` is the k that was asked for, which may be "auto" or
    "auto:DE"; None: the number of the fit.
    """
    fit, statistics, covariances = result.fit, result.statistics, result.covariances
    return {
        "k": fit.k,
        "k_fitted": len(result.weights),
        "auto": isinstance(asked, str),
        "asked": fit.k if asked is None else asked,
        "exact": fit.exact,
        "distinct_colors": n_distinct(result),
        "method": fit.method,
        "recolor": result.recoloring,
        "dither": result.dither,
        "space": fit.space,
        "covariance": fit.mixture.covariance_type.name,
        "log_likelihood": result.log_likelihood,
        "mean_log_likelihood": finite(result.mean_log_likelihood),
        "aic": result.aic,
        "bic": result.bic,
        "icl": result.icl,
        "n_iter": fit.n_iter,
        "tol": fit.tol,
        "converged": fit.converged,
        "trace": [
            {"level": level, "objective": objective} for level, objective in zip(fit.n_cells, fit.trace, strict=True)
        ],
        "mse": result.mse,
        "errors": statistics.errors,
        "psnr": finite(result.psnr),
        **regions_record(statistics),
        "seconds": statistics.seconds,
        "components": [
            {
                "weight": float(result.weights[i]),
                "mean": result.means[i].tolist(),
                "hex": hex_code(result.palette[i]),
                "covariance": covariances[i].tolist(),
                "fixed": bool(fit.fixed is not None and fit.fixed[i]),
                "pixels": int(statistics.counts[i]),
            }
            for i in range(len(result.weights))
        ],
        "files": dict(files),
    }


def regions_record(statistics: ImageStatistics) -> Record:
    """Return the number of regions, if they were counted."""
    return {} if statistics.regions is None else {"regions": statistics.regions}


def finite(value: float) -> float | None:
    """Return `value`, or None if it is infinite or NaN, which JSON cannot hold."""
    return value if math.isfinite(value) else None


def to_json(record: Record | list[Record]) -> str:
    """Return a record, or a list of them, as strict JSON in ASCII, with full precision and a newline at the end."""
    return json.dumps(record, indent=1, allow_nan=False) + "\n"


def outcome_line(outcome: Outcome | PlannedOutcome) -> str:
    """Return an outcome as one line of JSON, with the schema `gmmquant-outcome/1`."""
    facts: dict[str, Any]
    if isinstance(outcome, Done):
        facts = {"outcome": "skipped" if outcome.kept else "done", "seconds": outcome.seconds}
    elif isinstance(outcome, SharedReport):
        facts = {"outcome": "shared"}
    elif isinstance(outcome, Skipped):
        facts = {"outcome": "skipped"}
    elif isinstance(outcome, PlannedOutcome):
        facts = {"outcome": "planned", "outputs": {as_text(path): action for path, action in outcome.outputs.items()}}
    else:
        facts = {"outcome": "failed", "reason": outcome.reason}
    if isinstance(outcome, (Done, SharedReport)):
        facts |= {"written": [as_text(path) for path in outcome.written], "record": outcome.record}
    line = {"schema": OUTCOME_SCHEMA, "source": as_text(outcome.source), **facts}
    return json.dumps(line, allow_nan=False) + "\n"
