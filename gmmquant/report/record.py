"""The record of an image: the figures of every fit, as JSON with the schema `gmmquant-report/1`."""

from __future__ import annotations

import json
import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict
from itertools import groupby
from operator import itemgetter
from pathlib import Path
from typing import Any

import numpy as np

from gmmquant.models.array_validation import FloatArray
from gmmquant.models.selection import BoundedChoice, Choice
from gmmquant.parsing import hex_code, with_alpha
from gmmquant.quantization.fit import Fit
from gmmquant.quantization.fitter import Fitter
from gmmquant.quantization.quantizer import Quantizer
from gmmquant.quantization.result import ImageStatistics, RecoloredFit
from gmmquant.report.notes import FALLING, falling_likelihood, n_distinct
from gmmquant.report.outcome import Done, Outcome, PlannedOutcome, SharedReport, Skipped, Summary
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
EXTRA_INPUTS = ("model", "palette", "transfer_from")


def build_record(
    path: str,
    report: AnyPath,
    quantizer: Quantizer,
    fits: Sequence[Record],
    *,
    n_bytes: int | None = None,
    notes: Sequence[str] = (),
    choices: Choices | None = None,
    extra_inputs: Mapping[str, Path | Sequence[str]] | None = None,
    digests: Mapping[str, str] | None = None,
) -> Record:
    """Return the record of the image at `path`, a file of `n_bytes`, with the `fit_record` of each k in `fits`.

    `report` is the file of the record: paths of `extra_inputs`, the strategy's inputs, become relative to its folder.
    `digests` are the SHA-256 of the image ("source") and of everything else that decides its outputs ("settings").
    """
    return {
        "schema": SCHEMA,
        "version": __version__,
        "image": image_record(path, quantizer, n_bytes),
        **asked_record(report, quantizer.fitter, fits, choices or {}, extra_inputs or {}),
        "digest": dict(digests or {}),
        "notes": list(notes),
        "fits": list(fits),
    }


def extended(earlier: Record, record: Record, *, replaces: bool) -> Record:
    """Return an `earlier` record of the same image and settings with the fits of `record` as well, ordered by k.

    Both may be entries of an image in a shared record, which has the settings of all. If a fit is in both and not
    `replaces`, only its files are added, and the size that its image has now; if nothing is new, the earlier record is
    returned.
    """
    written = {name: (asked, name) for asked, name in map(fit_key, record["fits"]) if name is not None}
    # An image of the same name is no longer that of another fit.
    kept = [fit for fit in earlier["fits"] if written.get(fit_key(fit)[1] or "", fit_key(fit)) == fit_key(fit)]
    fits = {fit_key(fit): fit for fit in kept}
    for fit in record["fits"]:
        known = fits.get(fit_key(fit))
        fits[fit_key(fit)] = fit if known is None or replaces else _with_files_of(fit, known)
    if list(fits.values()) == earlier["fits"]:
        return earlier
    ordered = sorted(fits.values(), key=lambda fit: (fit["k"], str(fit["asked"])))
    notes = list(dict.fromkeys([*earlier["notes"], *record["notes"]]))
    merged = {**record, "notes": notes, "fits": ordered}
    if "settings" in record:
        means = [(fit["k"], fit["mean_log_likelihood"]) for fit in ordered]
        others = [note for note in notes if not note.startswith(FALLING)]
        merged["notes"] = [*others, *falling_likelihood(means, record["settings"]["shrink"])]
        choices = {choice["asked"]: choice for choice in (*earlier["choices"], *record["choices"])}
        merged["settings"] = {**record["settings"], "k": list(dict.fromkeys(fit["asked"] for fit in ordered))}
        merged |= {"choice": next(iter(choices.values()), None), "choices": list(choices.values())}
    return merged


def fit_key(fit: Record) -> tuple[int | str, str | None]:
    """Return the key of a fit: the k that was asked for, and the name of its image, as there may be several formats.

    The name of a shared fit is the template of those of its images.
    """
    return fit["asked"], fit["files"].get("image", fit["files"].get("images"))


def formats_apart(fits: Sequence[Record]) -> list[str]:
    """Return the extension of the image of each fit where several have the same k, else an empty text."""
    asked, names = zip(*map(fit_key, fits), strict=True) if fits else ((), ())
    return [extension_of(name) if asked.count(k) > 1 else "" for k, name in zip(asked, names, strict=True)]


def asked_of(fits: Iterable[Record], extension: str) -> str:
    """Return what was asked for in the fits whose images have an extension, as it is typed: "3 7 auto"."""
    return " ".join(dict.fromkeys(str(fit["asked"]) for fit in fits if extension_of(fit_key(fit)[1]) == extension))


def extension_of(name: str | None) -> str:
    """Return the extension of the name of an image, without the dot."""
    return (name or "").rpartition(".")[2]


def _with_files_of(fit: Record, known: Record) -> Record:
    """Return the `known` record of a fit with the files of another as well, of which there may be several layers."""
    layers = [*known["files"].get("layers", ()), *fit["files"].get("layers", ())]
    files = {**known["files"], **fit["files"], **({"layers": list(dict.fromkeys(layers))} if layers else {})}
    return {**known, "bytes": fit["bytes"], "files": files}


def image_record(path: str, quantizer: Quantizer, n_bytes: int | None) -> Record:
    """Return the path, the size and the numbers of colours of an image, a file of `n_bytes`."""
    histogram = quantizer.histogram
    height, width = quantizer.shape
    return {
        "path": path,
        "bytes": n_bytes,
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


def was_searched(settings: Record, fit: Record) -> bool:
    """Return whether a search by splits and merges came before the iterations of a fit, by the settings of its record.

    Exact colours, and weights of a given palette, need no search.
    """
    searched = settings.get("search") == "split-merge" and settings.get("palette") is None
    return searched and fit["method"] == "gmm" and not fit["exact"] and fit["converged"] is not None


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
        values |= dict.fromkeys(("style", "average", *OF_FITS))
    if "palette" in extra_inputs:
        values |= dict.fromkeys(_OF_STARTS)
    values["recolor"] = settings.recoloring
    if variance is not None:
        values["reg_covar"] = variance
    inputs = {
        name: relative(value, report.parent) if isinstance(value, Path) else list(value)
        for name, value in extra_inputs.items()
    }
    return {**values, **dict.fromkeys(EXTRA_INPUTS), **inputs}


def fit_record(
    result: RecoloredFit, files: Mapping[str, Any], *, asked: int | str | None = None, n_bytes: int | None = None
) -> Record:
    """Return the record of one fit.

    `files` are the paths of its files by content, and `n_bytes` is the size of the image file, if there is one. `asked`
    is the k that was asked for, which may be "auto" or "auto:DE"; None: the number of the fit.
    """
    fit, statistics = result.fit, result.statistics
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
        "noise": fit.noise,
        "reg_covar": fit.variance,
        "log_likelihood": result.log_likelihood,
        "mean_log_likelihood": finite(result.mean_log_likelihood),
        "aic": result.aic,
        "bic": result.bic,
        "icl": result.icl,
        "n_iter": fit.n_iter,
        "tol": fit.tol,
        "converged": fit.converged,
        **({"best_seed": fit.seed, "seeds": [figures._asdict() for figures in fit.seeds]} if fit.seeds else {}),
        "trace": trace_record(fit),
        "mse": result.mse,
        "errors": statistics.errors,
        "psnr": finite(result.psnr),
        **regions_record(statistics),
        "seconds": statistics.seconds,
        "bytes": n_bytes,
        "components": components_record(result),
        "files": dict(files),
    }


def trace_record(fit: Fit) -> list[Record]:
    """Return the objective after every iteration, by level: the number of cells."""
    steps = zip(fit.n_cells, fit.trace, strict=True)
    return [
        {"level": level, "objective": [objective for _, objective in of_level]}
        for level, of_level in groupby(steps, key=itemgetter(0))
    ]


def components_record(result: RecoloredFit) -> Record:
    """Return the components in columns, which have an entry for each component.

    A covariance is the upper triangle of its matrix, row by row. Floats have 15 significant digits.
    """
    fixed, covariances = result.fit.fixed, result.covariances
    columns = {
        "weight": result.weights,
        "mean": result.means,
        "covariance": covariances[:, *np.triu_indices(covariances.shape[1])],
    }
    return {
        "hex": [hex_code(color) for color in result.palette],
        **({} if result.fit.alphas is None else {"alpha": result.fit.alphas.tolist()}),
        **{name: _rounded(column.tolist()) for name, column in columns.items()},
        "pixels": result.statistics.counts.tolist(),
        **({} if fixed is None or not fixed.any() else {"fixed": fixed.tolist()}),
    }


def codes_of(components: Record) -> list[str]:
    """Return the colours of a record's components as `#rrggbb`, and with alpha below 255 as `#rrggbbaa`."""
    return with_alpha(components["hex"], components.get("alpha"))


def covariances_of(components: Record) -> FloatArray:
    """Return the covariances of a record's components, shape (K, d, d)."""
    upper = np.array(components["covariance"]).reshape(len(components["weight"]), -1)
    d = math.isqrt(2 * upper.shape[1])
    full = np.empty((len(upper), d, d))
    rows, columns = np.triu_indices(d)
    full[:, rows, columns] = full[:, columns, rows] = upper
    return full


def _rounded(value: Any) -> Any:
    """Return floats, in nested lists, with 15 significant digits."""
    return [_rounded(item) for item in value] if isinstance(value, list) else float(f"{value:.15g}")


def regions_record(statistics: ImageStatistics) -> Record:
    """Return the number of regions, if they were counted."""
    return {} if statistics.regions is None else {"regions": statistics.regions}


def finite(value: float) -> float | None:
    """Return `value`, or None if it is infinite or NaN, which JSON cannot hold."""
    return value if math.isfinite(value) else None


def to_json(record: Record | list[Record]) -> str:
    """Return a record, or a list of them, as strict JSON in ASCII, with a newline at the end."""
    return _indented(record, "\n") + "\n"


def _indented(value: Any, newline: str) -> str:
    """Return a value as JSON: one line for each entry of an object and of a list, but lists of scalars in one line.

    Their commas have no space after them: hundreds of colours have thousands of numbers.
    """
    inner = newline + " "
    if isinstance(value, dict) and value:
        entries = [f"{json.dumps(name)}: {_indented(entry, inner)}" for name, entry in value.items()]
        return f"{{{inner}{f',{inner}'.join(entries)}{newline}}}"
    if isinstance(value, list) and any(isinstance(entry, (dict, list)) for entry in value):
        return f"[{inner}{f',{inner}'.join(_indented(entry, inner) for entry in value)}{newline}]"
    return json.dumps(value, allow_nan=False, separators=(",", ": "))


# Where the record stands in an HTML report.
RECORD_START, RECORD_END = '<script type="application/json" id="record">', "</script>"


def record_in_page(page: bytes) -> bytes:
    """Return the JSON of the record in an HTML report; a ValueError if there is none."""
    _, start, rest = page.rpartition(RECORD_START.encode("ascii"))
    text, end, _ = rest.partition(RECORD_END.encode("ascii"))
    if not (start and end):
        raise ValueError("the page has no record")
    return text


def outcome_line(outcome: Outcome | PlannedOutcome) -> str:
    """Return an outcome as one line of JSON, with the schema `gmmquant-outcome/1`."""
    facts: dict[str, Any]
    if isinstance(outcome, Done):
        facts = {"outcome": "done", "seconds": outcome.seconds}
        if outcome.kept:
            facts |= {"outcome": "skipped", "reason": Skipped(outcome.source).reason}
    elif isinstance(outcome, SharedReport):
        facts = {"outcome": "shared"}
    elif isinstance(outcome, Summary):
        facts = {"outcome": "summary", "written": [as_text(path) for path in outcome.written]}
    elif isinstance(outcome, Skipped):
        facts = {"outcome": "skipped", "reason": outcome.reason}
    elif isinstance(outcome, PlannedOutcome):
        facts = {"outcome": "planned", "outputs": {as_text(path): action for path, action in outcome.outputs.items()}}
    else:
        facts = {"outcome": "failed", "reason": outcome.reason}
    if isinstance(outcome, (Done, SharedReport)):
        facts |= {"written": [as_text(path) for path in outcome.written], "record": outcome.record}
    line = {"schema": OUTCOME_SCHEMA, "source": as_text(outcome.source), **facts}
    return json.dumps(line, allow_nan=False) + "\n"
