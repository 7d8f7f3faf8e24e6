"""Turn sources into jobs, each with the names of its outputs.

Names depend on the source alone, by a template: `cat.jpg` gives `cat_k7.png` for each k, and `cat_report.json`. Outputs
go next to the image, or to the output folder, in the subfolders that the image was found in. The file of one image at
one k can be named: `out.png`, with `out_report.json`.
"""

from __future__ import annotations

import os
import unicodedata
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from enum import Enum
from functools import cache
from pathlib import Path
from typing import NamedTuple

from gmmquant.errors import OutputError
from gmmquant.parsing import in_names
from gmmquant.pipeline.names import fitting_stem, has_k, image_stem, report_stem
from gmmquant.pipeline.sources import Source
from gmmquant.pipeline.strategy import FitEach, Strategy
from gmmquant.report.outcome import Failure
from gmmquant.report.record import Record
from gmmquant.settings import DEFAULT_NAME, DEFAULT_OUTPUT_FORMAT, DEFAULT_REPORT, MAX_PIXELS, Settings
from gmmquant.system.filesystem import exists, is_folder
from gmmquant.system.paths import AnyPath, SourcePath, StandardInput, as_text, common_folder, identity, relative
from gmmquant.system.process import system_reason

# Plots of all k together, which change when a k is added.
PLOTS_OF_ALL_K = ("objective", "criteria", "palettes")


class Existing(Enum):
    """What is done if an output exists."""

    REFUSE = "refuse"
    REPLACE = "replace"
    KEEP = "keep"


class Destination(Enum):
    """Where the outputs go."""

    FILES = "files"
    STANDARD_OUTPUT = "standard output"  # the image only
    RECORD = "record"  # the record only, in memory


class Products(NamedTuple):
    """The files that are written for each fit."""

    format: str = DEFAULT_OUTPUT_FORMAT  # of the image; see `settings.OUTPUT_FORMATS`
    optimize: bool = False
    keep_metadata: bool = False
    models: bool = False
    palettes: tuple[str, ...] = ()  # see `settings.PALETTE_FORMATS`
    maps: tuple[str, ...] = ()  # see `settings.MAPS`
    layers: str | None = None  # see `settings.LAYERS`
    images: bool = True  # whether the recoloured image is written
    reports: tuple[str, ...] = (DEFAULT_REPORT,)  # see `settings.REPORTS`
    plots: tuple[str, ...] = ()  # see `settings.PLOT_FORMATS`
    sheets: tuple[str, ...] = ()  # see `settings.SHEET_FORMATS`; of all images together


class Task(NamedTuple):
    """What is done with every image."""

    ks: Sequence[int | str]  # numbers of colours, "auto" and "auto:DE"
    settings: Settings = Settings()
    existing: Existing = Existing.REFUSE
    max_pixels: int = MAX_PIXELS
    products: Products = Products()
    strategy: Strategy = FitEach()
    name: str = DEFAULT_NAME  # of the files of a fit: see `names.check_name`
    preserve_times: bool = False  # of the source, as the times of the outputs
    skip_if_larger: bool = False  # whether files that are not smaller than the source are left out
    illustrated: int = 0  # pixels of the small images of outcomes; 0: they have none
    command: str = ""  # the command line, for reports
    shared: bool = False  # whether one mixture is fitted to all images together
    to: Destination = Destination.FILES
    image_name: str | None = None  # of the only image at the only k, if it does not depend on the source


@dataclass(frozen=True)
class Job:
    """One image, or the mixture that all images share, and the outputs that are written for it."""

    source: SourcePath
    stem: str  # beginning of the names of the files of all fits
    folder: AnyPath
    stems: Mapping[int | str, str]  # beginning of the names of the files of each fit, by its k
    products: Products
    report: AnyPath
    in_shared_report: bool = False  # whether `report` is that of many images, and not written by this job
    # The outputs that exist and are kept, if they were looked up before the job is run. All others are then replaced,
    # so that the job can be run twice.
    kept: frozenset[AnyPath] | None = None
    earlier_digest: str | None = None  # SHA-256 of the source in the report of an earlier run
    listed: frozenset[str] = frozenset()  # the files of its fits in that report, which are kept without a comparison
    earlier_entry: Record | None = None  # of the image in that report, if it is a shared one
    path_in_record: str | None = None  # of the source; None: relative to the folder of the report
    image_name: str | None = None  # of the image; None: that of the files of the fit

    @property
    def ks(self) -> list[int | str]:
        """The numbers of colours, "auto" and "auto:DE"."""
        return list(self.stems)

    @property
    def is_shared_report(self) -> bool:
        """Whether this is not an image, but the mixture that all images share."""
        return not self.products.images

    def files(self, k: int | str) -> dict[str, AnyPath]:
        """Return the files of a fit by content, such as "image" or "palette gpl"; only the first of the layers."""
        products, start = self.products, self.stems[k]
        names = {"image": self.image_name or f"{start}.{products.format}"} if products.images else {}
        if products.models:
            names["model"] = f"{start}.gmm.json"
        names |= {f"palette {name}": f"{start}_palette.{name}" for name in products.palettes}
        names |= {f"map {name}": f"{start}_{name}.png" for name in products.maps}
        if products.layers == "exact":
            names["openraster"] = f"{start}.ora"
        files = {content: self.folder / name for content, name in names.items()}
        return files | {"layer": self.layer(k, 1)} if products.layers else files

    def layer(self, k: int | str, number: int) -> AnyPath:
        """Return the path of a layer, numbered from 1, the heaviest component first."""
        width = 2 if isinstance(k, str) else max(len(str(k)), 2)
        kind = "_exact" if self.products.layers == "exact" else ""
        return self.folder / f"{self.stems[k]}_layer{number:0{width}}{kind}.png"

    @property
    def outputs(self) -> list[AnyPath]:
        """All outputs whose names are known before the job is done, the reports last."""
        files = [path for k in self.ks for path in self.files(k).values()]
        return files if self.in_shared_report else [*files, *self.reports.values()]

    @property
    def reports(self) -> dict[str, AnyPath]:
        """The files on all fits together by content, such as "html". They change when a k is added."""
        products = self.products
        reports = {"json": self.report} if "json" in products.reports else {}
        if self.is_shared_report or self.in_shared_report:
            return reports
        if "html" in products.reports:
            reports["html"] = self.page
        plots = (*PLOTS_OF_ALL_K, *(f"colors_k{in_names(k)}" for k in self.stems))
        return reports | {f"{name}.{end}": self.plot(name, end) for end in products.plots for name in plots}

    @property
    def page(self) -> AnyPath:
        """The path of the HTML report of the image."""
        return self.folder / f"{self.stem}_report.html"

    def plot(self, name: str, format: str) -> AnyPath:  # noqa: A002
        """Return the path of a plot, see `report.plots.files`."""
        return self.folder / f"{self.stem}_{name}.{format}"

    @property
    def possible_outputs(self) -> list[AnyPath]:
        """All outputs that the job may write, including every layer."""
        ks = [k for k in self.ks if isinstance(k, int)] if self.products.layers else []
        return [*self.outputs, *(self.layer(k, number) for k in ks for number in range(1, k + 1))]

    @property
    def source_in_record(self) -> str:
        """The path of the source as written in the record."""
        return self.path_in_record or relative(self.source, self.report.parent)

    def output_in_record(self, output: AnyPath) -> str:
        """Return the path of an output as written in the record: relative to the folder of the report."""
        return output.name if output.parent == self.report.parent else relative(output, self.report.parent)

    def is_listed(self, output: AnyPath) -> bool:
        """Return whether the report of an earlier run lists an output, so that it is of the same settings."""
        return self.output_in_record(output) in self.listed


class Plan(NamedTuple):
    """Jobs and failed sources, in the order of the sources, and the job of the mixture that the images share."""

    entries: list[Job | Failure]
    task: Task
    shared_job: Job | None = None

    @property
    def jobs(self) -> list[Job]:
        """The jobs of images."""
        return [entry for entry in self.entries if isinstance(entry, Job)]

    @property
    def all_jobs(self) -> list[Job]:
        """The jobs of images, and that of the shared mixture."""
        return self.jobs if self.shared_job is None else [*self.jobs, self.shared_job]


def plan(sources: Iterable[Source | Failure], task: Task, folder: AnyPath | None) -> Plan:
    """Turn sources into jobs, in their order and each once; failures keep their positions.

    Outputs go to `folder`. If it is None, they go next to each image, and the shared report goes to the folder that
    contains all images. An `OutputError` is raised if `folder` is a file, if the image has a name but there are
    several, or if all jobs would write the same files as others or replace a source. If only some would, these fail, as
    the names of outputs do not depend on other images.
    """
    if folder is not None and exists(folder) and not is_folder(folder):
        raise OutputError(f"{folder} is a file, not a folder; use another --output")
    if len(task.ks) > 1 and not has_k(task.name):
        raise OutputError(f"--name {task.name} is the same for all k; add {{k}}, as in {DEFAULT_NAME}")
    distinct = list(_without_repetitions(sources))
    if len(distinct) > 1 and not task.image_name and "{stem}" not in task.name:
        raise OutputError(f"--name {task.name} is the same for all images; add {{stem}}, as in {DEFAULT_NAME}")
    if task.image_name and task.shared:
        raise OutputError(
            f"--output {task.image_name} is one file, but --shared writes the image and a report; name a folder"
        )
    if task.image_name and (len(distinct) > 1 or len(task.ks) > 1):
        n_files, ks = len(distinct) * len(task.ks), ", ".join(map(str, task.ks))
        number = f"{len(distinct)} images at " if len(distinct) > 1 else ""
        raise OutputError(
            f"--output {task.image_name} is one file, but {number}k = {ks} would give {n_files}; name a folder, or use "
            "one image and one k"
        )
    images = [entry.path for entry in distinct if isinstance(entry, Source)]
    shared_job = _shared_job(images, task, folder) if task.shared and images else None
    entries = [entry if isinstance(entry, Failure) else _job(entry, task, folder, shared_job) for entry in distinct]
    planned = Plan(entries, task, shared_job)
    if task.to is not Destination.FILES:
        return planned
    reasons = refuse_clashes(planned.all_jobs, spares_others=shared_job is None)
    failed = [Failure(e.source, reasons[id(e)]) if isinstance(e, Job) and id(e) in reasons else e for e in entries]
    return planned._replace(entries=failed)


def _without_repetitions(entries: Iterable[Source | Failure]) -> Iterator[Source | Failure]:
    """Yield each source once, and all failures."""
    seen: set[str] = set()
    for entry in entries:
        if isinstance(entry, Source):
            try:
                name = identity(entry.path)
            except OSError as error:  # the working folder is gone
                yield Failure(entry.path, system_reason(error))
                continue
            if name in seen:
                continue
            seen.add(name)
        yield entry


def _job(source: Source, task: Task, folder: AnyPath | None, shared_job: Job | None) -> Job:
    path = source.path
    target = path.parent if folder is None else folder if task.image_name else folder / source.below
    extension = path.suffix.removeprefix(".")
    stem = fitting_stem(path.stem, task.name, extension)
    of_report = report_stem(task.name, stem, extension)
    stems = {k: image_stem(task.name, stem, extension, k) for k in task.ks}
    if task.image_name:
        of_report = task.image_name.rpartition(".")[0]
        stems = dict.fromkeys(task.ks, of_report)
    report = _report(of_report, target, task)
    products = task.products
    if shared_job is None:
        products = products._replace(reports=_reports(report, products.reports))
    job = Job(path, of_report, target, stems, products, report, image_name=task.image_name)
    if task.to is not Destination.FILES:
        job = replace(job, path_in_record=as_text(path))
    if shared_job is None:
        return job
    products = task.products._replace(models=False, palettes=())
    return replace(job, products=products, report=shared_job.report, in_shared_report=True)


def _shared_job(images: Sequence[SourcePath], task: Task, folder: AnyPath | None) -> Job:
    target = common_folder([path.parent for path in images]) if folder is None else folder
    asked = task.products
    stems = {k: image_stem(task.name, "shared", "", k) for k in task.ks}
    stem = report_stem(task.name, "shared", "")
    report = _report(stem, target, task)
    reports = _reports(report, asked.reports)
    products = Products(models=asked.models, palettes=asked.palettes, images=False, reports=reports)
    return Job(target, stem, target, stems, products, report)


def _reports(report: AnyPath, asked: tuple[str, ...]) -> tuple[str, ...]:
    """Return the reports of a job, if any: a JSON `report` that exists is kept up to date, whatever others show."""
    if asked and "json" not in asked:
        with suppress(OSError):  # checking the outputs will report it
            if exists(report):
                return ("json", *asked)
    return asked


def _report(stem: str, folder: AnyPath, task: Task) -> AnyPath:
    """Return the path of a report; without files, paths in the record are relative to the working folder."""
    return (folder if task.to is Destination.FILES else Path()) / f"{stem}_report.json"


def refuse_clashes(
    jobs: Sequence[Job],
    about_all: Iterable[AnyPath] = (),
    inputs: Iterable[AnyPath] = (),
    *,
    spares_others: bool = False,
) -> dict[int, str]:
    """Raise an `OutputError` if two jobs would write the same file, or if an output is the source of a job.

    If that `spares_others`, and there are any, the reasons of the jobs that would do so are returned by their `id`. The
    files `about_all` images are outputs as well, and `inputs` are read too.
    Names that differ only in case or in the form of an accent are the same on many file systems.
    """
    resolve = cache(os.path.realpath)

    def folded(path: AnyPath) -> str:
        if not isinstance(path, Path):
            return identity(path)
        return unicodedata.normalize("NFC", os.path.join(resolve(path.parent), path.name)).lower()

    sources = {folded(path): job for job in jobs if not job.is_shared_report for path in _names_of(job.source)}
    writers: dict[str, Job] = {}
    clashes: list[_Clash] = []
    for job in jobs:
        for output in job.possible_outputs:
            name = folded(output)
            other = writers.setdefault(name, job)
            if other is not job:
                clashes.append(_clash_of_outputs(other, job, output))
                break
            if name in sources:
                clashes.append(_clash_with_input(job, sources[name]))
                break
    for path in about_all:
        name = folded(path)
        if name in writers:
            raise OutputError(
                f"{path} would be both an output of {writers[name].source} and the {path.stem} of this run; "
                "use another --name, or another --output"
            )
        if name in sources or name in map(folded, inputs):
            raise OutputError(f"{path}, about all images, would overwrite an input; use another --output")
    clashing = {id(job): clash.reason() for clash in reversed(clashes) for job in clash.jobs}
    if clashes and not (spares_others and len(clashing) < len(jobs)):
        raise OutputError(clashes[0].reason(n_others=len(clashes) - 1))
    return clashing


def _names_of(source: SourcePath) -> list[AnyPath]:
    """Return the path of an image, and that of the file which it links to."""
    if isinstance(source, StandardInput):
        return []
    return [source, Path(os.path.realpath(source))] if isinstance(source, Path) else [source]


class _Clash(NamedTuple):
    """The jobs that may not be done because of an output, the fact, and a remedy."""

    jobs: tuple[Job, ...]
    fact: str
    remedy: str

    def reason(self, n_others: int = 0) -> str:
        """Return a message that names the images; `n_others` is the number of other images that clash."""
        others = "1 other image clashes" if n_others == 1 else f"{n_others:,} other images clash"
        return f"{self.fact}{f', and {others} too' if n_others else ''}; {self.remedy}"


def _clash_of_outputs(one: Job, other: Job, output: AnyPath) -> _Clash:
    """Return the clash of two jobs that would write the same file; those of a shared mixture stay in one run."""
    shared = one.in_shared_report
    apart, these = ("rename one", "") if shared else ("use a separate --output for each", " for these")
    if other.is_shared_report:
        remedy = "rename the image, or use another --output"
    elif one.source.parent != other.source.parent:
        remedy = f"name their common folder with -r, or {apart}"
    elif one.source.suffix.lower() != other.source.suffix.lower():
        name = "--name '{stem}.{ext}_k{k}'"
        remedy = f"use {name}{these}, which names outputs such as cat.jpg_k7.png, or rename one"
    else:
        remedy = "rename one" if shared else f"rename one, or {apart}"
    return _Clash((one, other), f"{one.source} and {other.source} would both write {output.name}", remedy)


def _clash_with_input(job: Job, other: Job) -> _Clash:
    """Return the clash of a job with its own source, or with that of another, which can be done."""
    remedy = "use another --name, or a folder for --output"
    if job.image_name:
        remedy = "use another --output, and move it over the input when it is done"
    return _Clash((job,), f"{job.source} would overwrite the input {other.source}", remedy)
