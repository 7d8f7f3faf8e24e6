"""The record of one mixture shared by many pictures, as JSON under the schema `gmmquant-shared/1`.

Where a picture is drawn, its part is made: `picture_record`, which holds some numbers for each k and no pixels. The
figures of the whole are sums over those parts, and of nothing else. They are integers, or are added up exactly and
rounded once (`math.fsum`), so they do not depend on the order in which parts arrive.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from gmmquant.colors.color_sum import ColorCells
from gmmquant.fitting import Fit, Fitter
from gmmquant.models.selection import Choice
from gmmquant.outcomes import Failure
from gmmquant.places import Origin, Place, relative
from gmmquant.quantized import FitFigures
from gmmquant.quantizer import Quantizer
from gmmquant.report.record import Record, asked_record, finite, image_record
from gmmquant.version import __version__

SCHEMA = "gmmquant-shared/1"


def drawn_record(drawn: FitFigures, write_seconds: float, files: Mapping[str, Any], *, auto: bool = False) -> Record:
    """Return what the record tells of one picture at one k; `auto` and `files` as for `fit_record`."""
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


def picture_record(
    source: Origin, report: Place, quantizer: Quantizer, drawn: Sequence[Record], *, notes: Sequence[str] = ()
) -> Record:
    """Return the part of one picture: what it is, and a `drawn_record` for each k.

    `source`, `report` and `notes` as for `build_record`.
    """
    return {**image_record(source, report, quantizer), "notes": list(notes), "fits": list(drawn)}


def whole_figures(fit: Fit, fitter: Fitter, pictures: Sequence[Record], *, auto: bool = False) -> FitFigures:
    """Return the figures of a fit to all pictures together: sums of those of each, and the seconds of all the work.

    Parameters
    ----------
    fit : Fit
    fitter : Fitter
        What it was made by.
    pictures : sequence of dict
        The `picture_record` of each picture that was drawn by it.
    auto : bool
        Whether k was chosen.
    """
    n: list[int] = [picture["visible_pixels"] for picture in pictures]
    parts = [
        next(part for part in picture["fits"] if (part["k"], part["auto"]) == (fit.k, auto)) for picture in pictures
    ]

    def mean(values: Sequence[float]) -> float:
        """Return the mean over all pixels of what has these means over the pixels of each picture."""
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
        means_given=fit.given is not None,
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
    report: Place,
    fitter: Fitter,
    fits: Sequence[Record],
    pictures: Sequence[Record],
    *,
    n_fitted: int,
    failures: Sequence[Failure] = (),
    choice: Choice | None = None,
) -> Record:
    """Return the record of pictures that share one mixture; they stand in the order of their paths.

    Parameters
    ----------
    report : Path or RemotePath
        The report file: the record names pictures as seen from its folder.
    fitter : Fitter
        The colours of all pictures, and the settings.
    fits : sequence of dict
        The `fit_record` of the `whole_figures` for each k.
    pictures : sequence of dict
        The `picture_record` of each picture, in any order.
    n_fitted : int
        Number of pictures whose colours were fitted.
    failures : sequence of Failure
        The pictures that were not drawn.
    choice : Choice or None
        How k was chosen, where it was.
    """
    colors = fitter.colors
    return {
        "schema": SCHEMA,
        "version": __version__,
        "total": {
            "pictures": len(pictures),
            "pixels": sum(picture["pixels"] for picture in pictures),
            "visible_pixels": sum(picture["visible_pixels"] for picture in pictures),
        },
        "fitted": {
            "pictures": n_fitted,
            "visible_pixels": colors.n_pixels,
            "distinct_colors": colors.n_colors,  # None: more than a sum keeps apart, and fitted in so many cells
            "cells": colors.tree.n_colors if isinstance(colors, ColorCells) else None,
            "bit_depth": colors.bit_depth,
        },
        **asked_record(report, fitter, fits, choice, None),
        "fits": list(fits),
        "images": sorted(pictures, key=lambda picture: str(picture["path"])),
        "failed": [{"path": relative(f.source, report.parent), "reason": f.reason} for f in failures],
    }
