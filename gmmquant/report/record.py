"""The record of a picture: every figure of every fit, as JSON under the schema `gmmquant-report/1`."""

from __future__ import annotations

import json
import math
import os
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from gmmquant.colors.palette import hex_code
from gmmquant.colors.spaces import COLOR_SPACES
from gmmquant.models.selection import KEPT_GAIN, Choice
from gmmquant.quantized import QuantizedImage
from gmmquant.quantizer import Quantizer
from gmmquant.settings import AUTO, OF_FITS
from gmmquant.version import __version__

SCHEMA = "gmmquant-report/1"

Record = dict[str, Any]

# Settings that say how a mixture is started, and what may be given beside a picture.
_OF_STARTS = ("init", "restarts", "method")
_GIVEN = ("model", "palette", "transfer_to")


def build_record(
    source: Path,
    report: Path,
    quantizer: Quantizer,
    fits: Sequence[Record],
    *,
    notes: Sequence[str] = (),
    choice: Choice | None = None,
    given: Mapping[str, Path | Sequence[str]] | None = None,
) -> Record:
    """Return the record of one picture.

    Parameters
    ----------
    source, report : Path
        The picture and the report file; the record names the picture as seen from the report's folder.
    quantizer : Quantizer
        The picture made ready, for what it knows of pixels, colours and settings.
    fits : sequence of dict
        One `fit_record` for each k.
    notes : sequence of str
        What a person should know of the picture, as was said on standard error.
    choice : Choice or None
        How k was chosen, where it was.
    given : mapping or None
        What was given beside the picture, by what it is: `model`, `palette`, `transfer_to`; a file, or hex codes.
    """
    histogram = quantizer.histogram
    height, width = quantizer.shape
    return {
        "schema": SCHEMA,
        "version": __version__,
        "image": {
            "path": _relative(source, report.parent),
            "width": width,
            "height": height // quantizer.n_frames,
            "frames": quantizer.n_frames,
            "pixels": width * height,
            "visible_pixels": histogram.n_pixels,
            "distinct_colors": histogram.n_colors,
            "bit_depth": histogram.bit_depth,
        },
        "settings": {
            "k": [AUTO if fit["auto"] else fit["k"] for fit in fits],
            **settings_record(quantizer, given or {}, report),
        },
        "choice": None if choice is None else _choice_record(choice),
        "notes": list(notes),
        "fits": list(fits),
    }


def settings_record(quantizer: Quantizer, given: Mapping[str, Path | Sequence[str]], report: Path) -> Record:
    """Return all but k that influences what is made of a picture, as its record tells it."""
    settings = asdict(quantizer.settings)
    if "model" in given:  # nothing was fitted
        settings |= dict.fromkeys(OF_FITS)
    if "palette" in given:
        settings |= dict.fromkeys(_OF_STARTS)
    beside = {
        what: _relative(thing, report.parent) if isinstance(thing, Path) else list(thing)
        for what, thing in given.items()
    }
    return {
        **settings,
        "recolor": quantizer.settings.recoloring,
        "reg_covar": quantizer.histogram.variance_in(COLOR_SPACES[quantizer.settings.space]),
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


def fit_record(fit: QuantizedImage, write_seconds: float, files: Mapping[str, Any], *, auto: bool = False) -> Record:
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
        "covariance": fit.mixture.kind.name,
        "log_likelihood": fit.log_likelihood,
        "mean_log_likelihood": fit.mean_log_likelihood,
        "aic": fit.aic,
        "bic": fit.bic,
        "icl": fit.icl,
        "n_iter": fit.n_iter,
        "converged": fit.converged,
        "trace": [
            {"level": level, "objective": objective} for level, objective in zip(fit.n_cells, fit.trace, strict=True)
        ],
        "mse": fit.mse,
        "errors": fit.errors,
        "psnr": fit.psnr if math.isfinite(fit.psnr) else None,
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


def to_json(record: Record | list[Record]) -> str:
    """Write a record, or a list of them, as strict JSON in ASCII: full precision, no NaN, a newline at the end."""
    return json.dumps(record, indent=1, allow_nan=False) + "\n"


def _relative(path: Path, folder: Path) -> str:
    """Return `path` as seen from `folder`, links resolved; bytes that are not UTF-8 as escapes, for JSON is text."""
    place = os.path.join(os.path.realpath(path.parent), path.name)
    return os.fsencode(os.path.relpath(place, os.path.realpath(folder))).decode("utf-8", "backslashreplace")
