"""Which images and outputs a file about several lists, and which of them another run would leave out."""

from __future__ import annotations

import io
import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from posixpath import basename, dirname, join, normpath, splitext
from typing import NamedTuple
from urllib.parse import unquote

from gmmquant.errors import ExistsError, GmmquantError
from gmmquant.pipeline.earlier_run import earlier_report, read_earlier_run
from gmmquant.pipeline.names import fitting_stem, is_image_name, report_stem
from gmmquant.pipeline.plan import Job, Plan
from gmmquant.report.entry import ALL_IMAGES
from gmmquant.system.filesystem import exists
from gmmquant.system.paths import AnyPath, as_text, relative
from gmmquant.system.printable import printable

_HEADING = re.compile(r"^## (.*)$", re.MULTILINE)
_ENTRY = re.compile(r'<li class="entry" data-name="([^"]*)"')
_HEADING_AND_FILE = re.compile(r"^## (.*)$(?:\n(?!## ).*)*?\| \[[^\]\n]*\]\(([^)\n]*)\)", re.MULTILINE)
_ENTRY_AND_LINK = re.compile(r'<li class="entry" data-name="([^"]*)"(?:(?!</h3>).)*?<a href="([^"]*)"', re.DOTALL)


def images_listed(suffix: str, content: bytes) -> list[str]:
    """Return the images in a table, page or index about several, as `name_listed` has them; none for another kind."""
    text = content.decode("utf-8", "replace")
    names: list[str] = []
    if suffix == ".csv":
        names = [_without_apostrophe(row[0]) for row in _rows(text) if row][1:]
    elif suffix == ".md":
        names = [_plain(name) for name in _HEADING.findall(text)]
    elif suffix == ".html":
        names = [_plain(name) for name in _ENTRY.findall(text)]
    return [name for name in dict.fromkeys(names) if name != ALL_IMAGES]


def outputs_listed(suffix: str, content: bytes) -> Iterator[tuple[str, str]]:
    """Yield images as `images_listed` has them, each with an output or the page of it: paths from the file's folder."""
    text = content.decode("utf-8", "replace")
    if suffix == ".csv":
        columns, *rows = _rows(text)
        for row in (dict(zip(columns, cells, strict=False)) for cells in rows):
            if row.get("file"):  # a table of components has none
                yield _without_apostrophe(row["image"]), _without_apostrophe(row["file"])
    elif suffix in (".md", ".html"):
        for found in (_HEADING_AND_FILE if suffix == ".md" else _ENTRY_AND_LINK).finditer(text):
            yield _plain(found[1]), normpath(unquote(_plain(found[2])))


def _plain(text: str) -> str:
    """Return a text without the escapes of HTML."""
    from html import unescape  # for indices only

    return unescape(text)


def _rows(text: str) -> list[list[str]]:
    import csv

    try:
        return list(csv.reader(io.StringIO(text, newline="")))
    except csv.Error as error:
        raise ExistsError(f"cannot be read as a table: {error}") from None


def _without_apostrophe(cell: str) -> str:
    """Return a text without the apostrophe that keeps it from being a formula."""
    from gmmquant.report.csv_tables import FORMULA_STARTS  # for reports only

    return cell[1:] if cell.startswith("'") and cell[1:].lstrip(" ").startswith(FORMULA_STARTS) else cell


def name_listed(suffix: str, path: str, below: str) -> str:
    """Return the name of an image in a file: its path, or in an index that below the folder of its outputs.

    Both are relative to the folder of the file, `below` is the folder of the outputs.
    """
    if suffix == ".html":
        return printable(normpath(join(below, basename(path))))
    return printable(path) if suffix == ".md" else path


def images_left_out(planned: Plan, file: AnyPath, content: bytes) -> tuple[list[str], list[str]]:
    """Return the images that a file lists and a plan has not: those that exist or may, and those that are gone."""
    suffix, folder = file.suffix, file.parent
    try:
        listed = images_listed(suffix, content)
    except ExistsError as error:
        raise ExistsError(f"{file.name} {error}") from None
    names: set[str] = set()
    for entry in planned.entries:
        below = relative(entry.folder, folder) if isinstance(entry, Job) else ""
        names.add(name_listed(suffix, relative(entry.source, folder), below))
    left = [name for name in listed if name not in names]
    if left:  # images that were moved have other paths in their reports
        moved = {_name_in_report(suffix, job, folder) for job in planned.jobs}
        left = [name for name in left if name not in moved]
    known = planned.shared_job is None
    gone = {name: known and _is_gone(suffix, name, folder, planned.task.name) for name in left}
    return [name for name in left if not gone[name]], [name for name in left if gone[name]]


class OtherOutput(NamedTuple):
    """An output that a file lists, and whether it has the --name of this run, as that of another k has."""

    name: str
    has_same_name: bool


def other_output(planned: Plan, file: AnyPath, content: bytes) -> OtherOutput | None:
    """Return an output that a file lists, and that neither this plan nor the reports of its images have.

    Only the first one that exists is compared, since a run writes all that a file lists. None: there is no such output.
    """
    suffix, folder = file.suffix, file.parent
    jobs = {
        name_listed(suffix, relative(job.source, folder), relative(job.folder, folder)): job for job in planned.jobs
    }
    for image, name in outputs_listed(suffix, content):
        job = jobs.get(image)
        if job is None or not exists(folder / name):
            continue
        outputs = [job.page, *(job.files(k)["image"] for k in job.ks), *_recorded_outputs(planned, job)]
        if name in {relative(output, folder) for output in outputs}:
            return None
        extension = job.source.suffix.removeprefix(".")
        stem = fitting_stem(job.source.stem, planned.task.name, extension)
        return OtherOutput(name, is_image_name(planned.task.name, stem, extension, basename(name)))
    return None


def makes_all(planned: Plan, tables: Mapping[AnyPath, bytes]) -> bool:
    """Return whether a plan makes all outputs that tables list, so that these lose nothing; False for other files."""
    for file, content in tables.items():
        listed = {pair for pair in outputs_listed(file.suffix, content) if pair[0] != ALL_IMAGES}
        own = {
            (relative(job.source, file.parent), relative(job.files(k)["image"], file.parent))
            for job in planned.jobs
            for k in job.ks
        }
        if file.suffix != ".csv" or not listed <= own:
            return False
    return True


def _recorded_outputs(planned: Plan, job: Job) -> list[AnyPath]:
    """Return the images of a job in the report of an earlier run."""
    try:
        earlier = read_earlier_run(earlier_report(planned.shared_job or job))
        entry = None if earlier is None else earlier.entry_of(job.source) if planned.shared_job else earlier.record
    except (GmmquantError, KeyError):  # or the image is not in the shared report
        return []
    names = [] if entry is None else [fit["files"].get("image") for fit in entry["fits"]]
    return [job.report.parent / name for name in names if name]


def _name_in_report(suffix: str, job: Job, folder: AnyPath) -> str | None:
    """Return the name of an image as the record of an earlier run of its job has it, if there is one."""
    image = image_of(earlier_report(job))
    if image is None:
        return None
    return name_listed(suffix, _joined(relative(job.report.parent, folder), image), relative(job.folder, folder))


def _is_gone(suffix: str, name: str, folder: AnyPath, template: str) -> bool:
    """Return whether an image does not exist any more; False if that is not known, as of remote images."""
    path: str | None = name
    if suffix == ".html":  # an index has no paths of images, but their reports have
        stem, extension = splitext(basename(name))
        reports = folder / dirname(name)
        start = report_stem(template, stem, extension.removeprefix("."))
        images = (image_of(reports / f"{start}_report.{end}") for end in ("json", "html"))
        found = next((image for image in images if image is not None), None)
        path = None if found is None else _joined(dirname(name), found)
    if path is None or "://" in path or "\\" in path or not isinstance(folder, Path):  # "\\": escaped, and ambiguous
        return False
    return not exists(folder / path)


def image_of(report: AnyPath | None) -> str | None:
    """Return the path of the image in a report, relative to its folder; None if there is no report that can be read."""
    try:
        earlier = read_earlier_run(report)
    except GmmquantError:
        return None
    return None if earlier is None else earlier.image


def _joined(folder: str, path: str) -> str:
    return path if "://" in path else normpath(join(folder, path))


def counted(names: list[str]) -> str:
    """Return the first of some images, and how many more there are."""
    more = len(names) - 1
    return as_text(names[0]) + (f" and {more} more image{'s' if more > 1 else ''}" if more else "")
