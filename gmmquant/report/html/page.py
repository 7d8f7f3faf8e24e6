"""The page of an image: comparison, palettes, charts, the colours in space, all figures."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from gmmquant.images.embedded import JPEG_QUALITY, EmbeddedImage, embed
from gmmquant.images.recolor import ColorImage, IndexedImage
from gmmquant.images.reduced import first_frame
from gmmquant.report.html import cloud
from gmmquant.report.html.charts import Chart, k_charts, trace_chart
from gmmquant.report.html.rendering import render
from gmmquant.report.notes import transfer_remark
from gmmquant.report.numbers import decimal, mean_difference, pixel_size, ratio, series
from gmmquant.report.record import RECORD_END, RECORD_START, Record, codes_of, formats_apart, to_json, was_searched
from gmmquant.settings import CHANNELS, SPACE_TITLES
from gmmquant.system.printable import plural

# Pixels of an image above which it is shown reduced.
MAX_PIXELS = 1_500_000

# Distinct colours up to which the original is stored without loss: a drawing, which a JPEG would blur.
_FEW_COLORS = 256

_STYLES = ("base.css", "page.css", "compare.css")
_SCRIPTS = ("start.js", "compare.js", "copy.js", "cloud.js", "fits.js")

_MAP_TITLES = {"entropy": "Uncertainty: entropy of the responsibilities", "loglik": "Log-density of the mixture"}


class Swatch(NamedTuple):
    """A colour of a palette: its share of the pixels, their number, its place on the strip (start and width of 100)."""

    hex: str
    share: float
    pixels: int
    start: float
    width: float
    is_fixed: bool
    alpha: int
    code: str  # the colour, with its alpha if it is not opaque: `#rrggbb` or `#rrggbbaa`


class MapView(NamedTuple):
    """A grey map with its caption."""

    image: EmbeddedImage
    caption: str


class FitView(NamedTuple):
    """All that the page shows of one fit. `image` is None if its file is gone.

    `chosen` tells fits of the same k apart: what k was chosen for, as "auto:3", and the format if there are several.
    """

    record: Record
    label: str
    chosen: str
    image: EmbeddedImage | None
    swatches: Sequence[Swatch]
    trace: Chart | None
    is_searched: bool
    outlines: str
    maps: Sequence[MapView]
    share_of_source: float | None


def html_page(
    record: Record,
    original: npt.NDArray[np.uint8],
    images: Sequence[IndexedImage | ColorImage | None],
    command: str,
    maps: Sequence[Mapping[str, npt.NDArray[np.uint8]]] = (),
) -> bytes:
    """Return the page of an image as one HTML file that makes no request.

    Parameters
    ----------
    record : dict
        The record of the image.
    original : ndarray of uint8, shape (height, width, 3 or 4)
        The image, sRGB. The frames of an animation stand one below the other; the first is shown.
    images : sequence of IndexedImage, ColorImage or None
        The recoloured image of each fit of the record, in its order; None where its file is gone.
    command : str
        The command line that makes the images again.
    maps : sequence of dict
        The grey maps of each fit by name, uint8 (height, width), as far as they are wanted.

    Raises
    ------
    ParameterError
        If Jinja2 is not installed.
    """
    image, fits = record["image"], record["fits"]
    source: IndexedImage | ColorImage = ColorImage.from_pixels(original)
    if image["frames"] > 1:
        source = first_frame(source, image["height"])
        images = [None if each is None else first_frame(each, image["height"]) for each in images]
    few = image["distinct_colors"] is not None and image["distinct_colors"] <= _FEW_COLORS
    shown = embed(source, MAX_PIXELS, lossless=few)
    views = [
        _view(record, fit, each, of_fit, extension)
        for fit, each, of_fit, extension in zip(
            fits, images, maps or [{}] * len(fits), formats_apart(fits), strict=True
        )
    ]
    page = render(
        "page.html",
        _STYLES,
        _SCRIPTS,
        record=record,
        name=_name(image["path"]),
        title=f"{_name(image['path'])} in {series([fit['k'] for fit in fits])} colours" if fits else image["path"],
        facts=_facts(image),
        original=shown,
        remarks=_remarks(record, shown, views),
        transferred=transfer_remark(record["settings"]),
        fits=views,
        charts=k_charts(fits),
        points=cloud.packed_points(cloud.points(source.pixels)),
        spaces=[(SPACE_TITLES[space], CHANNELS[space]) for space in sorted({fit["space"] for fit in fits})],
        max_components=cloud.MAX_COMPONENTS,
        choices=[_choice(choice) for choice in record.get("choices") or ()],
        command=command,
    )
    # A data block is no script to browsers and policies. Another run reads it to add a number of colours.
    text = to_json(record).replace("<", r"\u003c")
    before, end, after = page.rpartition(b"</body>")
    return before + f"{RECORD_START}{text}{RECORD_END}\n".encode("ascii") + end + after


def _maps(record: Record, fit: Record, maps: Mapping[str, npt.NDArray[np.uint8]]) -> Iterator[MapView]:
    """Yield the maps of a fit; the record has their units and the values of black and white."""
    for name, levels in maps.items():
        facts = fit["files"]["maps"][name]
        title = _MAP_TITLES.get(name, name)
        caption = (
            f"{title}, {decimal(facts['black'], 2)} (black) to {decimal(facts['white'], 2)} {facts['unit']} (white)"
        )
        grey = np.repeat(levels[: record["image"]["height"], :, np.newaxis], 3, axis=2)
        yield MapView(embed(ColorImage(grey), MAX_PIXELS), caption)


def _view(
    record: Record,
    fit: Record,
    image: IndexedImage | ColorImage | None,
    maps: Mapping[str, npt.NDArray[np.uint8]],
    extension: str,
) -> FitView:
    label = decimal(fit["k"])
    if fit["k_fitted"] != fit["k"]:
        label += f" ({decimal(fit['k_fitted'])})"
    is_searched = was_searched(record["settings"], fit)
    return FitView(
        fit,
        label,
        ", ".join(filter(None, [str(fit["asked"]) if fit["auto"] else "", extension])),
        None if image is None else embed(image, MAX_PIXELS),
        swatches(fit["components"]),
        trace_chart(fit, is_searched=is_searched),
        is_searched,
        cloud.packed_outlines(cloud.outlines(fit)),
        list(_maps(record, fit, maps)),
        ratio(fit.get("bytes"), record["image"].get("bytes")),
    )


def swatches(components: Record) -> list[Swatch]:
    """Return the swatches of the components of a fit; their widths are 100 in total."""
    counts = np.array(components["pixels"], dtype=np.float64)
    shares = counts / (counts.sum() or 1.0)
    widths = 100 * shares
    starts = np.cumsum(widths) - widths
    fixed = components.get("fixed") or [False] * len(shares)
    places = (starts.round(3).tolist(), widths.round(3).tolist())
    alphas = components.get("alpha") or [255] * len(shares)
    drawn = (*places, fixed, alphas, codes_of(components))
    columns = (components["hex"], shares.tolist(), components["pixels"], *drawn)
    return [Swatch(*values) for values in zip(*columns, strict=True)]


def _name(path: str) -> str:
    """Return the name of a file, the last part of its path or URL."""
    return path.rstrip("/").rpartition("/")[2] or path


def _facts(image: Record) -> list[str]:
    """Return the facts of an image for the head of the page."""
    facts = [pixel_size(image["width"], image["height"])]
    if image["frames"] > 1:
        facts.append(plural(image["frames"], "frame"))
    if image["visible_pixels"] < image["pixels"]:
        facts.append(f"{decimal(image['visible_pixels'])} visible")
    if image["distinct_colors"] is not None:
        facts.append(plural(image["distinct_colors"], "distinct colour"))
    if image["bit_depth"] != 8:
        facts.append(f"{image['bit_depth']} bits per channel")
    return facts


def _remarks(record: Record, shown: EmbeddedImage, views: Sequence[FitView]) -> list[str]:
    """Return in which respects the page differs from the files, or the figures from those of one image."""
    image, remarks = record["image"], []
    if image["frames"] > 1:
        remarks.append(f"The first of {plural(image['frames'], 'frame')} is shown.")
    if shown.is_reduced:
        remarks.append(
            f"All images are shown reduced to {pixel_size(shown.width, shown.height)}; the palettes are exact, and the "
            "figures are those of the full size."
        )
    lossy = [view.label for view in views if view.image is not None and not view.image.is_lossless]
    what = ["the original"] * (not shown.is_lossless) + [f"k = {label}" for label in lossy]
    if what:
        kind = f"{'is a JPEG' if len(what) == 1 else 'are JPEGs'} of quality {JPEG_QUALITY}"
        remarks.append(f"On this page, {series(what)} {kind}.")
    return remarks


def _choice(choice: Record) -> str:
    """Return why a k was chosen."""
    if choice["criterion"] == "oklab":
        return (
            f"{choice['asked']} chose {plural(choice['k'], 'colour')}: mean OKLab difference "
            f"{mean_difference(choice['reached'])}, asked for at most {choice['bound']:g}."
        )
    return f"{choice['asked']} chose {plural(choice['k'], 'colour')} by ICL."
