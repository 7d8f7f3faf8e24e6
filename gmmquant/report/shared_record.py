"""The record of one mixture shared by many images, as JSON under the schema `gmmquant-shared/1`.

Where an image is drawn, its part is made: `shared_image_record`, which holds some numbers for each k and no pixels. The
figures of the whole are sums over those parts, and of nothing else. They are integers, or are added up exactly and
rounded once (`math.fsum`), so they do not depend on the order in which parts arrive.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from gmmquant.colors.color_sum import ColorCells
from gmmquant.models.selection import Choice
from gmmquant.quantization.fitter import Fit, Fitter
from gmmquant.quantization.quantizer import Quantizer
from gmmquant.quantization.result import FitFigures
from gmmquant.report.outcome import Failure
from gmmquant.report.record import Record, asked_record, finite, image_record
from gmmquant.system.paths import AnyPath, SourcePath, relative
from gmmquant.version import __version__

SCHEMA = "gmmquant-shared/1"


def drawn_record(drawn: FitFigures, write_seconds: float, files: Mapping[str, Any], *, auto: bool = False) -> Record:
    """Return what the record tells of one image at one k; `auto` and `files` as for `fit_record`."""
    return {
        "k": drawn.k,
        "auto": auto,
        "log_likelihood": drawn.log_likelihood,
        "mean_log_likelihood": drawn.mean_log_likelihood,
        "entropy": drawn.entropy,
        "mse": drawn.mse,
        "errors": drawn.errors,
        "psnr": finite(drawn.psnr),
        "pixels": drawn.counts.tolist(),
        "seconds": {**drawn.seconds, "write": write_seconds},
        "files": dict(files),
    }


def shared_image_record(
    source: SourcePath, report: AnyPath, quantizer: Quantizer, drawn: Sequence[Record], *, notes: Sequence[str] = ()
) -> Record:
    """Return the part of one image: what it is, and a `drawn_record` for each k.

    `source`, `report` and `notes` as for `build_record`.
    """
    return {**image_record(source, report, quantizer), "notes": list(notes), "fits": list(drawn)}


def whole_figures(fit: Fit, fitter: Fitter, images: Sequence[Record], *, auto: bool = False) -> FitFigures:
    """Return the figures of a fit to all images together: sums of those of each, and the seconds of all the work.

    Parameters
    ----------
    fit : Fit
    fitter : Fitter
        What it was made by.
    images : sequence of dict
        The `shared_image_record` of each image that was drawn by it.
    auto : bool
        Whether k was chosen.
    """
    n: list[int] = [image["visible_pixels"] for image in images]
    parts = [next(part for part in image["fits"] if (part["k"], part["auto"]) == (fit.k, auto)) for image in images]

    def mean(values: Sequence[float]) -> float:
        """Return the mean over all pixels of what has these means over the pixels of each image."""
        return math.fsum(value * n_pixels for value, n_pixels in zip(values, n, strict=True)) / sum(n)

    def seconds(name: str) -> float:
        return math.fsum(part["seconds"][name] for part in parts)

    recoloring, dither = fit.drawn_as(fitter.settings)
    spent_before = {**fit.seconds, "recolor": 0.0, "write": 0.0}
    return FitFigures(
        k=fit.k,
        method=fit.method,
        recoloring=recoloring,
        dither=dither,
        mixture=fit.mixture,
        space=fit.space,
        palette=fit.palette,
        counts=np.sum([part["pixels"] for part in parts], axis=0),
        means_fixed=fit.given is not None,
        exact=fit.exact,
        trace=fit.trace,
        n_cells=fit.n_cells,
        n_iter=fit.n_iter,
        tol=fit.tol,
        converged=fit.converged,
        log_likelihood=math.fsum(part["log_likelihood"] for part in parts),
        entropy=math.fsum(part["entropy"] for part in parts),
        mse=mean([part["mse"] for part in parts]),
        errors={way: mean([part["errors"][way] for part in parts]) for way in parts[0]["errors"]},
        seconds={name: spent + seconds(name) for name, spent in spent_before.items()},
    )


def build_shared_record(
    report: AnyPath,
    fitter: Fitter,
    fits: Sequence[Record],
    images: Sequence[Record],
    *,
    n_fitted: int,
    failures: Sequence[Failure] = (),
    choice: Choice | None = None,
) -> Record:
    """Return the record of images that share one mixture; they stand in the order of their paths.

    Parameters
    ----------
    report : Path or RemotePath
        The report file: the record names images as seen from its folder.
    fitter : Fitter
        The colours of all images, and the settings.
    fits : sequence of dict
        The `fit_record` of the `whole_figures` for each k.
    images : sequence of dict
        The `shared_image_record` of each image, in any order.
    n_fitted : int
        Number of images whose colours were fitted.
    failures : sequence of Failure
        The images that were not drawn.
    choice : Choice or None
        How k was chosen, where it was.
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
            "distinct_colors": colors.n_colors,  # None: more than a sum keeps apart, and fitted in so many cells
            "cells": colors.tree.n_colors if isinstance(colors, ColorCells) else None,
            "bit_depth": colors.bit_depth,
        },
        **asked_record(report, fitter, fits, choice, None),
        "fits": list(fits),
        "images": sorted(images, key=lambda image: str(image["path"])),
        "failed": [{"path": relative(f.source, report.parent), "reason": f.reason} for f in failures],
    }
