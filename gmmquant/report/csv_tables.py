"""The figures of images as two tables of comma-separated values: a row per image and k, and a row per component.

Texts are safe to open in a spreadsheet: one that would start a formula gets an apostrophe in front.
"""

from __future__ import annotations

import csv
import io
import statistics
from collections.abc import Iterable, Iterator
from typing import Any

from gmmquant.report.entry import Collector, Entry
from gmmquant.report.outcome import Illustration
from gmmquant.report.record import Record

_OF_IMAGE = ("width", "height", "frames", "pixels", "visible_pixels", "visible_weight", "distinct_colors", "bit_depth")
_OF_FIT = (
    *("k", "k_fitted", "asked", "method", "space", "covariance", "recolor", "dither"),
    *("log_likelihood", "mean_log_likelihood", "aic", "bic", "icl", "n_iter", "tol", "converged", "mse", "psnr"),
    "regions",
)
_OF_SETTINGS = (
    *("seed", "style", "noise", "reg_covar", "shrink", "search", "init", "restarts", "max_iter", "average", "smooth"),
    *("strength", "keep_colors", "palette_order", "color_depth", "alpha", "resize", "n_seeds", "keep_metadata"),
)
_INPUTS = ("transfer_from", "model", "palette")
_OF_SEEDS = ("best_seed", "mean_log_likelihood_mean", "mean_log_likelihood_sd")
FIT_COLUMNS = (
    *("image", "file", *_OF_FIT, *_OF_SETTINGS, *_OF_SEEDS),
    *("seconds", "image_bytes", "file_bytes", *_OF_IMAGE, *_INPUTS),
    *("version", "digest_source", "digest_settings"),
)
_NUMBERS = (
    *("mean_1", "mean_2", "mean_3"),
    *("covariance_11", "covariance_12", "covariance_13", "covariance_22", "covariance_23", "covariance_33"),
)
COMPONENT_COLUMNS = (
    *("image", "k", "component", "hex", "weight", "pixels", "fixed", "space", "alpha"),
    *(*_NUMBERS, "recolor"),  # with "transfer", colours of the original and not of the result
)

# A spreadsheet takes a text that starts with one of these for a formula, also after white space.
FORMULA_STARTS = tuple("=+-@\t\r\n|")


class CsvTables(Collector):
    """Collects the rows of images; `finish` returns both tables."""

    def __init__(self) -> None:
        self._fits, self._components = _Table(FIT_COLUMNS), _Table(COMPONENT_COLUMNS)

    def add(self, entry: Entry, illustration: Illustration | None = None) -> None:
        """Add the rows of an image."""
        self._fits.add(fit_rows(entry))
        self._components.add(component_rows(entry))

    def finish(self) -> dict[str, bytes]:
        """Return the tables by their contents, "csv" (the fits) and "components", UTF-8 as RFC 4180 has it."""
        return {"csv": self._fits.encoded(), "components": self._components.encoded()}


class _Table:
    def __init__(self, columns: tuple[str, ...]) -> None:
        self._text = io.StringIO(newline="")
        self._writer = csv.DictWriter(self._text, columns, restval="")
        self._writer.writeheader()

    def add(self, rows: Iterable[dict[str, Any]]) -> None:
        for row in rows:
            self._writer.writerow({name: _cell(value) for name, value in row.items()})

    def encoded(self) -> bytes:
        return self._text.getvalue().encode("utf-8", "backslashreplace")


def fit_rows(entry: Entry) -> Iterator[dict[str, Any]]:
    """Yield a row for each fit of an image; figures have full precision, and "" stands for a missing value."""
    record = entry.record
    image = {name: record["image"][name] for name in _OF_IMAGE}
    for fit in record["fits"]:
        yield {
            "image": entry.image,
            "file": entry.path_of(fit["files"].get("image")),
            **{name: fit[name] for name in _OF_FIT if name in fit},
            **{name: _text_of(record["settings"].get(name)) for name in _OF_SETTINGS},
            # of the fit, or of an older record
            **{name: fit.get(name, record["settings"].get(name)) for name in ("noise", "reg_covar")},
            **_seeds_of(fit, record["settings"]),
            **{name: _input_of(entry, record["settings"].get(name)) for name in _INPUTS},
            "version": record.get("version"),
            **_digests_of(record),
            "seconds": sum(fit["seconds"].values()),
            "image_bytes": record["image"]["bytes"],
            "file_bytes": fit["bytes"],
            **image,
        }


def _digests_of(record: Record) -> dict[str, Any]:
    """Return the digests of an image, or of all images together, and of the settings."""
    digests = record.get("digest", {})
    source = record["image"].get("digest", digests.get("source", digests.get("sources")))
    return {"digest_source": source, "digest_settings": digests.get("settings")}


def _text_of(value: Any) -> Any:
    """Return a setting for a cell; several colours have commas between them."""
    return ",".join(value) if isinstance(value, list) else value


def _input_of(entry: Entry, value: Any) -> Any:
    """Return another input of a fit: its path from the folder of the table, or the colours that were typed."""
    return entry.path_of(value) if isinstance(value, str) else _text_of(value)


def _seeds_of(fit: Record, settings: Record) -> dict[str, Any]:
    """Return the seed of the fit that was kept, and the mean and standard deviation of the likelihoods from several."""
    values = [figures["mean_log_likelihood"] for figures in fit.get("seeds", ())]
    spread = {_OF_SEEDS[1]: statistics.mean(values), _OF_SEEDS[2]: statistics.stdev(values)} if values else {}
    return {"best_seed": fit.get("best_seed", settings["seed"]), **spread}


def component_rows(entry: Entry) -> Iterator[dict[str, Any]]:
    """Yield a row for each component of each fit of an image, numbered from 1."""
    for fit in entry.record["fits"]:
        yield from _components_of(entry.image, fit)


def _components_of(image: str, fit: Record) -> Iterator[dict[str, Any]]:
    columns = fit["components"]
    fixed = columns.get("fixed", [False] * len(columns["hex"]))
    alphas = columns.get("alpha", [None] * len(columns["hex"]))
    shown = [columns[name] for name in ("hex", "weight", "pixels", "mean", "covariance")]
    parts = zip(*shown, fixed, alphas, strict=True)
    for number, (code, weight, pixels, mean, covariance, is_fixed, alpha) in enumerate(parts, start=1):
        numbers = dict(zip(_NUMBERS, (*mean, *covariance), strict=True))
        facts = {"component": number, "hex": code, "weight": weight, "pixels": pixels, "fixed": is_fixed}
        yield {
            "image": image,
            "k": fit["k"],
            "space": fit["space"],
            "alpha": alpha,
            "recolor": fit["recolor"],
            **facts,
            **numbers,
        }


def _cell(value: Any) -> Any:
    """Return a value as it is written: texts are no formulas, booleans are lower case."""
    if value is None:
        return ""
    if isinstance(value, bool):
        return str(value).lower()
    return f"'{value}" if isinstance(value, str) and value.lstrip(" ").startswith(FORMULA_STARTS) else value
