"""The record of one mixture shared by many images, as JSON with the schema `gmmquant-shared/1`.

Its figures are sums of the statistics of the images (`ImageStatistics.total`), which are integers or are added exactly
and rounded once, so they do not depend on the order of the images.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from gmmquant.colors.color_sum import ColorCells
from gmmquant.models.selection import Choice
from gmmquant.quantization.fitter import Fit, Fitter
from gmmquant.quantization.quantizer import Quantizer
from gmmquant.quantization.result import ImageStatistics, RecoloredFit
from gmmquant.report.outcome import Failure
from gmmquant.report.record import Record, asked_record, finite, image_record
from gmmquant.settings import Settings
from gmmquant.system.paths import AnyPath, SourcePath, relative
from gmmquant.version import __version__

SCHEMA = "gmmquant-shared/1"


def shared_fit_record(result: RecoloredFit, files: Mapping[str, Any], *, auto: bool = False) -> Record:
    """Return the record of one image at one k; `auto` and `files` as for `fit_record`."""
    statistics = result.statistics
    return {
        "k": result.k,
        "auto": auto,
        "log_likelihood": result.log_likelihood,
        "mean_log_likelihood": result.mean_log_likelihood,
        "entropy": statistics.entropy,
        "mse": result.mse,
        "errors": statistics.errors,
        "psnr": finite(result.psnr),
        "pixels": statistics.counts.tolist(),
        "seconds": statistics.seconds,
        "files": dict(files),
    }


def shared_image_record(
    source: SourcePath,
    report: AnyPath,
    quantizer: Quantizer,
    fits: Sequence[Record],
    *,
    notes: Sequence[str] = (),
    digest: str | None = None,
) -> Record:
    """Return the record of one image: its size and colours, and a `shared_fit_record` for each k.

    `source`, `report` and `notes` as for `build_record`.
    """
    return {**image_record(source, report, quantizer), "digest": digest, "notes": list(notes), "fits": list(fits)}


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
    failures: Sequence[Failure] = (),
    choice: Choice | None = None,
    sample_size: int | None = None,
    digests: Mapping[str, str] | None = None,
) -> Record:
    """Return the record of images that share one mixture, in the order of their paths.

    Parameters
    ----------
    report : Path or RemotePath
        The report file. Paths in the record are relative to its folder.
    fitter : Fitter
        Holds the colours of all images, and the settings.
    fits : sequence of dict
        The `fit_record` of the `total_result` for each k.
    images : sequence of dict
        The `shared_image_record` of each image, in any order.
    n_fitted : int
        Number of images whose colours were fitted.
    failures : sequence of Failure
        The images that were not recoloured.
    choice : Choice or None
        The choice of k, if k was chosen.
    sample_size : int or None
        The number of images that the fit was limited to.
    digests : mapping or None
        SHA-256 of the digests of the images fitted (`sources`), and of all that decides the outputs (`settings`).
    """
    colors = fitter.colors
    return {
        "schema": SCHEMA,
        "version": __version__,
        "total": {
            "images": len(images),
            "pixels": sum(image["pixels"] for image in images),
            "visible_pixels": sum(image["visible_pixels"] for image in images),
        },
        "fitted": {
            "images": n_fitted,
            "visible_pixels": colors.n_pixels,
            "distinct_colors": colors.n_colors,  # None beyond the limit of a sum, which then has cells
            "cells": colors.tree.n_colors if isinstance(colors, ColorCells) else None,
            "bit_depth": colors.bit_depth,
            "sample_size": sample_size,
        },
        **asked_record(report, fitter, fits, choice, None),
        "digest": dict(digests or {}),
        "fits": list(fits),
        "images": sorted(images, key=lambda image: str(image["path"])),
        "failed": [{"path": relative(f.source, report.parent), "reason": f.reason} for f in failures],
    }
