"""The record of one mixture shared by many images, as JSON with the schema `gmmquant-shared/1`.

Its figures are sums of the statistics of the images (`ImageStatistics.total`), which are integers or are added exactly
and rounded once, so they do not depend on the order of the images.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from gmmquant.colors.color_sum import ColorCells
from gmmquant.quantization.fit import Fit
from gmmquant.quantization.fitter import Fitter
from gmmquant.quantization.quantizer import Quantizer
from gmmquant.quantization.result import ImageStatistics, RecoloredFit
from gmmquant.report.record import Choices, Record, asked_record, finite, image_record, regions_record
from gmmquant.settings import Settings
from gmmquant.system.paths import AnyPath
from gmmquant.version import __version__

SCHEMA = "gmmquant-shared/1"


def shared_fit_record(
    result: RecoloredFit, files: Mapping[str, Any], *, asked: int | str | None = None, n_bytes: int | None = None
) -> Record:
    """Return the record of one image at one k; arguments as for `fit_record`."""
    statistics = result.statistics
    return {
        "k": result.k,
        "auto": isinstance(asked, str),
        "asked": result.k if asked is None else asked,
        "log_likelihood": result.log_likelihood,
        "mean_log_likelihood": finite(result.mean_log_likelihood),
        "entropy": statistics.entropy,
        "mse": result.mse,
        "errors": statistics.errors,
        "psnr": finite(result.psnr),
        "pixels": statistics.counts.tolist(),
        **regions_record(statistics),
        "seconds": statistics.seconds,
        "bytes": n_bytes,
        "files": dict(files),
    }


def shared_image_record(
    path: str,
    quantizer: Quantizer,
    fits: Sequence[Record],
    *,
    n_bytes: int | None = None,
    notes: Sequence[str] = (),
    digest: str | None = None,
) -> Record:
    """Return the record of an image, with the `shared_fit_record` of each k; other arguments as for `build_record`.

    `digest` is the SHA-256 of the file.
    """
    return {**image_record(path, quantizer, n_bytes), "digest": digest, "notes": list(notes), "fits": list(fits)}


def total_result(fit: Fit, settings: Settings, images: Sequence[ImageStatistics]) -> RecoloredFit:
    """Return a shared fit with the statistics of all images together; its seconds include those of the fit."""
    recoloring, dither = fit.drawing(settings)
    total = ImageStatistics.total(images)
    seconds = {name: spent + fit.seconds.get(name, 0.0) for name, spent in total.seconds.items()}
    return RecoloredFit(fit, recoloring, dither, replace(total, seconds=seconds))


def build_shared_record(
    report: AnyPath,
    fitter: Fitter,
    fits: Sequence[Record],
    images: Sequence[Record],
    *,
    n_fitted: int,
    failed: Sequence[tuple[str, str]] = (),
    choices: Choices | None = None,
    sample_size: int | None = None,
    digests: Mapping[str, str] | None = None,
    extra_inputs: Mapping[str, Path | Sequence[str]] | None = None,
    notes: Sequence[str] = (),
) -> Record:
    """Return the record of images that share one mixture, in the order of their paths.

    `fitter` has the colours of the `n_fitted` images that were fitted, at most `sample_size`. `fits` are the
    `fit_record` of the `total_result` for each k, `images` the `shared_image_record` of each image, and `failed` path
    and reason of each image that was not recoloured. `digests` are the SHA-256 of the digests of the images fitted
    ("sources") and of everything else that decides the outputs ("settings"), `extra_inputs` as for `build_record`.
    """
    colors = fitter.colors
    return {
        "schema": SCHEMA,
        "version": __version__,
        "total": {
            "images": len(images),
            "pixels": sum(image["pixels"] for image in images),
            "visible_pixels": sum(image["visible_pixels"] for image in images),
            "visible_weight": math.fsum(image["visible_weight"] for image in images),
        },
        "fitted": {
            "images": n_fitted,
            "visible_pixels": colors.n_pixels,
            "visible_weight": colors.total_weight,
            "distinct_colors": colors.n_colors,  # None beyond the limit of a sum, which then has cells
            "cells": colors.tree.n_colors if isinstance(colors, ColorCells) else None,
            "bit_depth": colors.bit_depth,
            "sample_size": sample_size,
        },
        **asked_record(report, fitter, fits, choices or {}, extra_inputs or {}),
        "digest": dict(digests or {}),
        "notes": list(notes),
        "fits": list(fits),
        "images": sorted(images, key=lambda image: str(image["path"])),
        "failed": [{"path": path, "reason": reason} for path, reason in failed],
    }
