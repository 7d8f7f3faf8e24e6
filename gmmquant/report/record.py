"""The record of an image: the figures of every fit, as JSON with the schema `gmmquant-report/1`."""

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
from gmmquant.quantization.result import RecoloredFit
from gmmquant.report.outcome import Done, Outcome, PlannedOutcome, SharedReport, Skipped
from gmmquant.settings import AUTO, OF_FITS, Settings
from gmmquant.system.paths import AnyPath, RemotePath, SourcePath, as_text, relative
from gmmquant.version import __version__

SCHEMA = "gmmquant-report/1"
OUTCOME_SCHEMA = "gmmquant-outcome/1"

Record = dict[str, Any]

# Settings that do not matter for a fixed palette, and the inputs that a run may have in addition to its images.
_OF_STARTS = ("init", "restarts", "method")
_EXTRA_INPUTS = ("model", "palette", "transfer_from")


def build_record(
    source: SourcePath,
    report: AnyPath,
    quantizer: Quantizer,
    fits: Sequence[Record],
    *,
    notes: Sequence[str] = (),
    choice: Choice | None = None,
    extra_inputs: Mapping[str, Path | Sequence[str]] | None = None,
    digests: Mapping[str, str] | None = None,
) -> Record:
    """Return the record of one image.

    Parameters
    ----------
    source, report : Path or RemotePath
        The image and the report file. Paths in the record are relative to the report's folder.
    quantizer : Quantizer
        Knows the pixels, the colours and the settings.
    fits : sequence of dict
        One `fit_record` for each k.
    notes : sequence of str
        The notes on the image that were printed on standard error.
    choice : Choice or None
        The choice of k, if k was chosen.
    extra_inputs : mapping or None
        The other inputs by name (`model`, `palette`, `transfer_from`): a file, or hex codes.
    digests : mapping or None
        SHA-256 of the bytes of the image (`source`), and of all that decides its outputs (`settings`).
    """
    return {
        "schema": SCHEMA,
        "version": __version__,
        "image": image_record(source, report, quantizer),
        **asked_record(report, quantizer.fitter, fits, choice, extra_inputs),
        "digest": dict(digests or {}),
        "notes": list(notes),
        "fits": list(fits),
    }


def image_record(source: SourcePath, report: AnyPath, quantizer: Quantizer) -> Record:
    """Return the size and the colours of an image."""
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
    extra_inputs: Mapping[str, Path | Sequence[str]] | None,
) -> Record:
    """Return the settings of `fits` and the choice of k."""
    ks = [AUTO if fit["auto"] else fit["k"] for fit in fits]
    return {
        "settings": {"k": ks, **settings_record(fitter.settings, extra_inputs or {}, report, fitter.variance)},
        "choice": None if choice is None else _choice_record(choice),
    }


def settings_record(
    settings: Settings,
    extra_inputs: Mapping[str, Path | Sequence[str]],
    report: AnyPath,
    variance: float | None = None,
) -> Record:
    """Return everything except k that influences the outputs of an image; `reg_covar` only if a `variance` is given."""
    values = asdict(settings)
    if "model" in extra_inputs:  # nothing was fitted
        values |= dict.fromkeys(OF_FITS)
    if "palette" in extra_inputs:
        values |= dict.fromkeys(_OF_STARTS)
    inputs = {
        name: relative(value, report.parent) if isinstance(value, (Path, RemotePath)) else list(value)
        for name, value in extra_inputs.items()
    }
    return {
        **values,
        "recolor": settings.recoloring,
        **({} if variance is None else {"reg_covar": variance}),
        **dict.fromkeys(_EXTRA_INPUTS),
        **inputs,
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


def fit_record(result: RecoloredFit, files: Mapping[str, Any], *, auto: bool = False) -> Record:
    """Return the record of one fit; `files` maps what was written to its name, `auto` tells whether k was chosen."""
    fit, statistics, covariances = result.fit, result.statistics, result.covariances
    return {
        "k": fit.k,
        "k_fitted": len(result.weights),
        "auto": auto,
        "exact": fit.exact,
        "method": fit.method,
        "recolor": result.recoloring,
        "dither": result.dither,
        "space": fit.space,
        "covariance": fit.mixture.covariance_type.name,
        "log_likelihood": result.log_likelihood,
        "mean_log_likelihood": result.mean_log_likelihood,
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
        "seconds": statistics.seconds,
        "components": [
            {
                "weight": float(result.weights[i]),
                "mean": result.means[i].tolist(),
                "hex": hex_code(result.palette[i]),
                "covariance": covariances[i].tolist(),
                "pixels": int(statistics.counts[i]),
            }
            for i in range(len(result.weights))
        ],
        "files": dict(files),
    }


def finite(value: float) -> float | None:
    """Return `value`, or None if it is infinite, which JSON cannot hold."""
    return value if math.isfinite(value) else None


def to_json(record: Record | list[Record]) -> str:
    """Return a record, or a list of them, as strict JSON in ASCII, with full precision and a newline at the end."""
    return json.dumps(record, indent=1, allow_nan=False) + "\n"


def outcome_line(outcome: Outcome | PlannedOutcome) -> str:
    """Return an outcome as one line of JSON, with the schema `gmmquant-outcome/1`."""
    line: dict[str, Any] = {"schema": OUTCOME_SCHEMA, "source": as_text(outcome.source)}
    if isinstance(outcome, SharedReport):
        line |= {"outcome": "shared", "written": [as_text(path) for path in outcome.written], "record": outcome.record}
    elif isinstance(outcome, Done):
        line |= {
            "outcome": "skipped" if outcome.kept else "done",
            "seconds": outcome.seconds,
            "written": [as_text(path) for path in outcome.written],
        }
        line["record"] = outcome.record
    elif isinstance(outcome, Skipped):
        line["outcome"] = "skipped"
    elif isinstance(outcome, PlannedOutcome):
        line |= {"outcome": "planned", "outputs": {as_text(path): action for path, action in outcome.outputs.items()}}
    else:
        line |= {"outcome": "failed", "reason": outcome.reason}
    return json.dumps(line, allow_nan=False) + "\n"
