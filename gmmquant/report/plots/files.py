"""All plots of a record, as files."""

from __future__ import annotations

from typing import Any

import numpy.typing as npt

from gmmquant.images.pixels import FlatImage
from gmmquant.parsing import in_names
from gmmquant.report.plots.canvas import encode_figure
from gmmquant.report.plots.cloud import plot_colors
from gmmquant.report.plots.criteria import plot_criteria
from gmmquant.report.plots.objective import plot_objective
from gmmquant.report.plots.palettes import plot_palettes
from gmmquant.report.record import Record


def plots(record: Record, original: npt.NDArray[Any], format: str) -> dict[str, bytes]:  # noqa: A002
    """Return the plots of a record as files, by name.

    Parameters
    ----------
    record : dict
        The record of an image; its `fits` are plotted.
    original : ndarray, shape (height, width[, channels])
        The image, sRGB.
    format : "svg", "pdf" or "png"

    Returns
    -------
    dict
        `objective`, `criteria`, `palettes`, and `colors_k7` and so on for each k that was asked for; nothing if no
        pixel is visible. The same record and image give the same bytes.

    Raises
    ------
    GmmquantError
        If matplotlib is not installed, or the format is another.
    """
    image = FlatImage.from_array(original)
    if not image.n_visible:
        return {}
    figures = {
        "objective": plot_objective(record),
        "criteria": plot_criteria(record),
        "palettes": plot_palettes(record),
    }
    figures |= {f"colors_k{in_names(fit['asked'])}": plot_colors(fit, image) for fit in record["fits"]}
    return {name: encode_figure(figure, format) for name, figure in figures.items()}
