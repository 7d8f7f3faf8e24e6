"""The record of an image: every figure of every fit, as JSON under the schema `gmmquant-report/1`."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from gmmquant.colors.palette import hex_code
from gmmquant.models.selection import KEPT_GAIN, Choice
from gmmquant.quantization.fitter import Fitter
from gmmquant.quantization.quantizer import Quantizer
from gmmquant.quantization.result import FitFigures
from gmmquant.report.outcome import Done, Outcome, PlannedOutcome, SharedReport, Skipped
from gmmquant.settings import AUTO, OF_FITS
from gmmquant.system.paths import AnyPath, RemotePath, SourcePath, as_text, relative
from gmmquant.version import __version__

SCHEMA = "gmmquant-report/1"
OUTCOME_SCHEMA = "gmmquant-outcome/1"

Record = dict[str, Any]

# Settings that say how a mixture is started, and what may be given beside an image.
_OF_STARTS = ("init", "restarts", "method")
_GIVEN = ("model", "palette", "transfer_from")


def build_record(
    source: SourcePath,
    report: AnyPath,
    quantizer: Quantizer,
    fits: Sequence[Record],
    *,
    notes: Sequence[str] = (),
    choice: Choice | None = None,
    given: Mapping[str, Path | Sequence[str]] | None = None,
) -> Record:
    """Return the record of one image.

    Parameters
    ----------
    source, report : Path or RemotePath
        The image and the report file; the record names the image as seen from the report's folder.
    quantizer : Quantizer
        The image made ready, for what it knows of pixels, colours and settings.
    fits : sequence of dict
        One `fit_record` for each k.
    notes : sequence of str
        What a person should know of the image, as was said on standard error.
    choice : Choice or None
        How k was chosen, where it was.
    given : mapping or None
        What was given beside the image, by what it is: `model`, `palette`, `transfer_from`; a file, or hex codes.
    """
    return {
        "schema": SCHEMA,
        "version": __version__,
        "image": image_record(source, report, quantizer),
        **asked_record(report, quantizer.fitter, fits, choice, given),
        "notes": list(notes),
        "fits": list(fits),
    }


def image_record(source: SourcePath, report: AnyPath, quantizer: Quantizer) -> Record:
    """Return what a record tells of an image itself."""
    histogram = quantizer.histogram
    height, width = quantizer.shape
    return {
        "path": relative(source, report.parent),
        "width": width,
        "height": height // quantizer.n_frames,
        "frames": quantizer.n_frames,
        "pixels": width * height,
        "visible_pixels": histogram.n_pixels,
        "distinct_colors": histogram.n_colors,
        "bit_depth": histogram.bit_depth,
    }


def asked_record(
    report: AnyPath,
    fitter: Fitter,
    fits: Sequence[Record],
    choice: Choice | None,
    given: Mapping[str, Path | Sequence[str]] | None,
) -> Record:
    """Return what a record tells of the settings of its `fits`, and of how k was chosen."""
    ks = [AUTO if fit["auto"] else fit["k"] for fit in fits]
    return {
        "settings": {"k": ks, **settings_record(fitter, given or {}, report)},
        "choice": None if choice is None else _choice_record(choice),
    }


def settings_record(fitter: Fitter, given: Mapping[str, Path | Sequence[str]], report: AnyPath) -> Record:
    """Return all but k that influences what is made of an image, as its record tells it."""
    settings = asdict(fitter.settings)
    if "model" in given:  # nothing was fitted
        settings |= dict.fromkeys(OF_FITS)
    if "palette" in given:
        settings |= dict.fromkeys(_OF_STARTS)
    beside = {
        what: relative(thing, report.parent) if isinstance(thing, (Path, RemotePath)) else list(thing)
        for what, thing in given.items()
    }
    return {
        **settings,
        "recolor": fitter.settings.recoloring,
        "reg_covar": fitter.variance,
        **dict.fromkeys(_GIVEN),
        **beside,
    }


def _choice_record(choice: Choice) -> Record:
    return {
        "criterion": "icl",
        "k": choice.k,
        "kept_gain": KEPT_GAIN,
        "runner_up": choice.runner_up,
        "lowest_icl": choice.lowest_icl,
        "lowest_bic": choice.lowest_bic,
        "path": [asdict(criteria) for criteria in choice.path],
    }


def fit_record(fit: FitFigures, write_seconds: float, files: Mapping[str, Any], *, auto: bool = False) -> Record:
    """Return the record of one fit, its k chosen if `auto`; `files` maps what was written to its name."""
    covariances = fit.covariances
    return {
        "k": fit.k,
        "k_fitted": fit.k_fitted,
        "auto": auto,
        "exact": fit.exact,
        "method": fit.method,
        "recolor": fit.recoloring,
        "dither": fit.dither,
        "space": fit.space,
        "covariance": fit.mixture.covariance_type.name,
        "log_likelihood": fit.log_likelihood,
        "mean_log_likelihood": fit.mean_log_likelihood,
        "aic": fit.aic,
        "bic": fit.bic,
        "icl": fit.icl,
        "n_iter": fit.n_iter,
        "tol": fit.tol,
        "converged": fit.converged,
        "trace": [
            {"level": level, "objective": objective} for level, objective in zip(fit.n_cells, fit.trace, strict=True)
        ],
        "mse": fit.mse,
        "errors": fit.errors,
        "psnr": finite(fit.psnr),
        "seconds": {**fit.seconds, "write": write_seconds},
        "components": [
            {
                "weight": float(fit.weights[i]),
                "mean": fit.means[i].tolist(),
                "hex": hex_code(fit.palette[i]),
                "covariance": covariances[i].tolist(),
                "pixels": int(fit.counts[i]),
            }
            for i in range(fit.k_fitted)
        ],
        "files": dict(files),
    }


def finite(value: float) -> float | None:
    """Return a number that JSON can hold: None for what is infinite."""
    return value if math.isfinite(value) else None


def to_json(record: Record | list[Record]) -> str:
    """Write a record, or a list of them, as strict JSON in ASCII: full precision, no NaN, a newline at the end."""
    return json.dumps(record, indent=1, allow_nan=False) + "\n"


def outcome_line(outcome: Outcome | PlannedOutcome) -> str:
    """Write what became of an image, or would, as one line of JSON: schema `gmmquant-outcome/1`."""
    told: dict[str, Any] = {"schema": OUTCOME_SCHEMA, "source": as_text(outcome.source)}
    if isinstance(outcome, SharedReport):
        told |= {"outcome": "shared", "written": [as_text(path) for path in outcome.written], "record": outcome.record}
    elif isinstance(outcome, Done):
        told |= {
            "outcome": "skipped" if outcome.kept else "done",
            "seconds": outcome.seconds,
            "written": [as_text(path) for path in outcome.written],
        }
        told["record"] = outcome.record
    elif isinstance(outcome, Skipped):
        told["outcome"] = "skipped"
    elif isinstance(outcome, PlannedOutcome):
        told |= {"outcome": "planned", "outputs": {as_text(path): fate for path, fate in outcome.outputs.items()}}
    else:
        told |= {"outcome": "failed", "reason": outcome.reason}
    return json.dumps(told, allow_nan=False) + "\n"
