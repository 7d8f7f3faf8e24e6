"""Stage the reports on one image, and gather the small images that files about several show."""

from __future__ import annotations

import io
from collections.abc import Mapping, Sequence
from contextlib import suppress

import numpy as np
import numpy.typing as npt

from gmmquant.errors import ExistsError, GmmquantError
from gmmquant.images.encoding.encode import is_gmmquant_output
from gmmquant.images.files import read_image
from gmmquant.images.pixels import in_8_bits
from gmmquant.images.recolor import ColorImage, IndexedImage
from gmmquant.images.reduced import first_frame, reduced
from gmmquant.images.scaling import resized_frames
from gmmquant.parsing import in_names
from gmmquant.pipeline.earlier_run import EarlierRun, earlier_report, key_of, read_earlier_run
from gmmquant.pipeline.exports import Outputs
from gmmquant.pipeline.plan import Job, Task
from gmmquant.report.outcome import Illustration
from gmmquant.report.record import Record, asked_of, extension_of, fit_key, to_json
from gmmquant.settings import ANY_K, MAX_PIXELS
from gmmquant.system.filesystem import exists, open_path
from gmmquant.system.paths import AnyPath, SourcePath

Image = IndexedImage | ColorImage
Maps = Mapping[str, npt.NDArray[np.uint8]]

_MOST_INDEXED = 256

# How the reports of gmmquant start, and what a page has in its head.
CSV_STARTS = (b"image,file,k,", b"image,k,component,")
MARKDOWN_START = b"<!-- gmmquant"
HTML_MARK = b'<meta name="generator" content="gmmquant'


def stage_reports(
    job: Job,
    record: Record,
    original: npt.NDArray[np.uint8] | None,
    images: Sequence[Image | None],
    maps: Sequence[Maps],
    outputs: Outputs,
    *,
    command: str,
    earlier: EarlierRun | None,
    is_new: bool,
    replaces: bool,
) -> None:
    """Stage the reports of an image: all if the record `is_new`, else those that are missing or lack a fit.

    `original`, `images` and `maps` are those of the fits of the record: see `images_of` and `maps_of`. Reports of the
    `earlier` run are replaced, with `replaces` also other files.
    """

    def stage(path: AnyPath, data: bytes) -> None:
        if earlier is None or replaces:
            outputs.stage(path, data)
        elif path == earlier.report:
            outputs.stage(path, data, replaced=earlier.data)
        else:
            outputs.stage(path, data, replaced=content_of_ours(path) if exists(path) else None)

    stale = set(job.reports) if is_new else stale_reports(job, record)
    if original is not None:
        if "html" in stale:
            from gmmquant.report.html.page import html_page

            ks = asked_of(record["fits"], extension_of(job.files(job.ks[0])["image"].name))
            stage(job.reports["html"], html_page(record, original, images, command.replace(ANY_K, ks), maps))
        for end in job.products.plots if stale - {"html", "json"} else ():
            from gmmquant.report.plots.files import plots

            for name, data in plots(record, original[: record["image"]["height"]], end).items():
                stage(job.plot(name, end), data)
    if "json" in stale:  # last, as it tells the next run that the others are complete
        stage(job.report, to_json(record).encode("ascii"))


def stale_reports(job: Job, record: Record) -> set[str]:
    """Return the reports of a job that do not exist, or lack a fit of the record."""
    stale = {name for name, path in job.reports.items() if not exists(path)}
    if "html" in job.reports and "html" not in stale:
        page = read_earlier_run(job.reports["html"])
        if page is None or set(page.fits) != set(map(fit_key, record["fits"])):
            stale.add("html")
    names = [f"colors_k{in_names(fit['asked'])}" for fit in record["fits"] if record["image"]["visible_pixels"]]
    return stale | {f"{n}.{end}" for end in job.products.plots for n in names if not exists(job.plot(n, end))}


def reports_kept(job: Job) -> set[AnyPath]:
    """Return the reports that a job which continues an earlier run will not change: it adds no file to them."""
    earlier = read_earlier_run(earlier_report(job))
    if earlier is None or not all(job.is_listed(path) for k in job.ks for path in job.files(k).values()):
        return set()
    stale = stale_reports(job, earlier.record)
    return {path for name, path in job.reports.items() if name not in stale}


def content_of_ours(path: AnyPath) -> bytes:
    """Return the content of a report that gmmquant wrote; an `ExistsError` if it is another file."""
    with open_path(path) as file:
        content = file.read()
    if not is_report(path.suffix, content):
        raise ExistsError(f"{path.name} exists, and is not a report of gmmquant")
    return content


def is_report(suffix: str, content: bytes) -> bool:
    """Return whether a file has the marks of a report that gmmquant writes."""
    if suffix in (".png", ".webp"):
        return is_gmmquant_output(io.BytesIO(content))
    if suffix == ".pdf":
        content = content.replace(b"\0", b"")  # its texts may be in UTF-16
    marks = {".csv": CSV_STARTS, ".md": (MARKDOWN_START,), ".html": (HTML_MARK,), ".json": (b'"gmmquant-',)}
    known = marks.get(suffix, (b"gmmquant",))
    return any(content.startswith(mark) if suffix in (".csv", ".md") else mark in content for mark in known)


def images_of(job: Job, record: Record, drawn: Mapping[int | str, Image], max_pixels: int) -> list[Image | None]:
    """Return the image of each fit of a record: one just `drawn`, or that in its file; None if this cannot be read."""
    keys = {key_of(job, k): image for k, image in drawn.items()}
    return [
        keys[fit_key(fit)] if fit_key(fit) in keys else _image_in(fit["files"].get("image"), job, max_pixels)
        for fit in record["fits"]
    ]


def maps_of(job: Job, record: Record, drawn: Mapping[int | str, Maps], max_pixels: int) -> list[Maps]:
    """Return the grey maps of each fit of a record by name, (height, width), for a page: as `images_of`."""
    if "html" not in job.reports:
        return []
    keys = {key_of(job, k): maps for k, maps in drawn.items()}
    found: list[Maps] = []
    for fit in record["fits"]:
        of_fit = dict(keys.get(fit_key(fit), {}))
        for name, facts in fit["files"].get("maps", {}).items():
            if "unit" in facts and name not in of_fit:
                image = _image_in(facts["file"], job, max_pixels)
                of_fit |= {} if image is None else {name: image.pixels[..., 0]}
        found.append(of_fit)
    return found


def illustration_of(
    record: Record,
    original: npt.NDArray[np.uint8],
    images: Sequence[Image | None],
    max_pixels: int,
    *,
    in_sheet: bool,
) -> Illustration:
    """Return small copies of the first frames of an image and its recoloured images, also for its row in a sheet.

    They have at most `max_pixels`, those of the row more.
    """
    height = record.get("image", record)["height"]  # an image of a shared record is not nested
    small = [None if image is None else reduced(first_frame(image, height), max_pixels) for image in images]
    row = None
    if in_sheet and "image" in record:
        from gmmquant.report.sheet import sheet_row

        row = sheet_row(record, original, images)
    return Illustration(reduced(first_frame(ColorImage.from_pixels(original), height), max_pixels).pixels, small, row)


def read_illustration(job: Job, record: Record, task: Task) -> Illustration | None:
    """Read an image and its outputs again, for an illustration; None if the image cannot be read."""
    pixels = _pixels_of(job.source, task.max_pixels)
    if pixels is None:
        return None
    pixels = resized_frames(pixels, record.get("image", record)["frames"], task.settings.resize)
    images = images_of(job, record, {}, task.max_pixels)
    return illustration_of(record, pixels, images, task.illustrated, in_sheet=bool(job.products.sheets))


def _image_in(name: str | None, job: Job, max_pixels: int) -> Image | None:
    """Return the image in a file below the folder of the report, indexed if it has few colours and no alpha."""
    if name is None or name.startswith("/") or ".." in name.split("/"):
        return None
    pixels = _pixels_of(job.report.parent / name, max_pixels)
    if pixels is None or pixels.shape[2] == 4:
        return None if pixels is None else ColorImage.from_pixels(pixels)
    codes = pixels.astype(np.uint32) @ np.array([1 << 16, 1 << 8, 1], dtype=np.uint32)
    label_of = np.zeros(1 << 24, dtype=np.uint8)  # by code: sorting 12 megapixels takes a second
    label_of[codes] = 1
    found = np.flatnonzero(label_of)
    if len(found) > _MOST_INDEXED:
        return ColorImage.from_pixels(pixels)
    palette = np.column_stack([found >> 16, found >> 8 & 255, found & 255]).astype(np.uint8)
    label_of[found] = np.arange(len(found))
    return IndexedImage(label_of.take(codes), palette)


def _pixels_of(path: SourcePath, max_pixels: int = MAX_PIXELS) -> npt.NDArray[np.uint8] | None:
    with suppress(OSError, GmmquantError), open_path(path) as file:
        return in_8_bits(read_image(file, max_pixels=max_pixels).pixels)
    return None
