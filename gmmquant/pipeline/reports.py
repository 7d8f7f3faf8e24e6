"""Stage the reports on one image, and gather the small images that files about several show."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import suppress
from typing import Any

import numpy as np
import numpy.typing as npt

from gmmquant.errors import GmmquantError
from gmmquant.images.files import read_image
from gmmquant.images.recolor import ColorImage, IndexedImage
from gmmquant.images.reduced import first_frame, reduced
from gmmquant.pipeline.earlier_run import EarlierRun, key_of
from gmmquant.pipeline.exports import Outputs
from gmmquant.pipeline.plan import Job
from gmmquant.report.outcome import Illustration
from gmmquant.report.record import Record, fit_key, to_json
from gmmquant.settings import MAX_PIXELS
from gmmquant.system.filesystem import exists, open_path
from gmmquant.system.paths import AnyPath, SourcePath

# Pixels of the small images: the size of a panel of a sheet, or of a preview.
_MAX_SMALL_PIXELS = 250_000

Image = IndexedImage | ColorImage


def stage_reports(
    job: Job,
    record: Record,
    original: npt.NDArray[np.uint8] | None,
    images: Sequence[Image | None],
    outputs: Outputs,
    *,
    command: str,
    earlier: EarlierRun | None,
    is_new: bool,
) -> None:
    """Stage the reports of an image: all if the record `is_new`, else those that do not exist.

    `original` and `images` are those of `images_of`. Reports of the `earlier` run are replaced.
    """

    def stage(path: AnyPath, data: bytes) -> None:
        if earlier is None:
            outputs.stage(path, data)
        elif path == earlier.report:
            outputs.stage(path, data, replaced=earlier.data)
        else:
            outputs.stage(path, data, replaced=_content(path) if exists(path) else None)

    missing = {name for name, path in job.reports.items() if is_new or not exists(path)}
    if "json" in missing:
        stage(job.report, to_json(record).encode("ascii"))
    if "html" in missing and original is not None:
        from gmmquant.report.html.page import html_page

        stage(job.reports["html"], html_page(record, original, images, command))
    if original is None or not missing:
        return
    for end in job.products.plots:
        from gmmquant.report.plots.files import plots

        for name, data in plots(record, original[: record["image"]["height"]], end).items():
            stage(job.plot(name, end), data)


def images_of(job: Job, record: Record, drawn: Mapping[int | str, Image]) -> list[Image | None]:
    """Return the image of each fit of a record: one just `drawn`, or that in its file; None if this cannot be read."""
    keys = {key_of(job, k): image for k, image in drawn.items()}
    return [
        keys[fit_key(fit)] if fit_key(fit) in keys else _image_in(fit["files"].get("image"), job)
        for fit in record["fits"]
    ]


def illustration_of(
    record: Record, original: npt.NDArray[np.uint8], images: Sequence[Image | None], *, in_sheet: bool
) -> Illustration:
    """Return small copies of the first frames of an image and its recoloured images, also for its row in a sheet."""
    height = record.get("image", record)["height"]  # an image of a shared record is not nested
    small = [None if image is None else reduced(first_frame(image, height), _MAX_SMALL_PIXELS) for image in images]
    row = None
    if in_sheet and "image" in record:
        from gmmquant.report.sheet import sheet_row

        row = sheet_row(record, original, images)
    return Illustration(reduced(first_frame(as_image(original), height), _MAX_SMALL_PIXELS).pixels, small, row)


def read_illustration(job: Job, record: Record, max_pixels: int) -> Illustration | None:
    """Read an image and its outputs again, for an illustration; None if the image cannot be read."""
    pixels = _pixels_of(job.source, max_pixels)
    if pixels is None:
        return None
    return illustration_of(record, pixels, images_of(job, record, {}), in_sheet=bool(job.products.sheets))


def as_image(pixels: npt.NDArray[np.uint8]) -> ColorImage:
    """Return pixels, RGB or RGBA, as an image."""
    return ColorImage(pixels[..., :3], pixels[..., 3] if pixels.shape[2] == 4 else None)


def in_8_bits(pixels: npt.NDArray[Any]) -> npt.NDArray[np.uint8]:
    """Return pixels of 8 or 16 bits in 8."""
    if pixels.dtype == np.uint8:
        return pixels
    return ((pixels.astype(np.uint32) * 255 + 32767) // 65535).astype(np.uint8)


def _image_in(name: str | None, job: Job) -> Image | None:
    pixels = None if name is None else _pixels_of(job.report.parent / name)
    return None if pixels is None else as_image(pixels)


def _pixels_of(path: SourcePath, max_pixels: int = MAX_PIXELS) -> npt.NDArray[np.uint8] | None:
    with suppress(OSError, GmmquantError), open_path(path) as file:
        return in_8_bits(read_image(file, max_pixels=max_pixels).pixels)
    return None


def _content(path: AnyPath) -> bytes:
    with open_path(path) as file:
        return file.read()
