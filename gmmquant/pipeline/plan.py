"""What is to be done: images become jobs, each with the names of all that is written for it.

Names are a function of the input alone: `cat.jpg` gives `cat_k7.png` for each k and `cat_report.json`, beside the
image or in the output folder, below which the folders of a tree are made again.
"""

from __future__ import annotations

import os
import unicodedata
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field, replace
from enum import Enum
from functools import cache
from pathlib import Path

from gmmquant.errors import OutputError
from gmmquant.pipeline.sources import Source
from gmmquant.pipeline.strategy import FitEach, Strategy
from gmmquant.report.outcome import Failure
from gmmquant.settings import AUTO, MAX_PIXELS, Settings
from gmmquant.system.filesystem import exists, is_folder
from gmmquant.system.paths import AnyPath, SourcePath, StandardInput, common_folder, identity, relative
from gmmquant.system.process import system_reason

# Longest file name, in bytes, that the usual file systems take, and the longest end that a name is given.
_MAX_NAME = 255
_LONGEST_END = "_kauto_layer0000.png"

# What the names of files begin with that images share.
SHARED = "shared"


class Existing(Enum):
    """What to do where an output exists."""

    REFUSE = "refuse"
    REPLACE = "replace"
    KEEP = "keep"


class Destination(Enum):
    """Where what is made goes."""

    FILES = "files"
    STANDARD_OUTPUT = "standard output"  # the image
    RECORD = "record"  # nothing but the record, by whoever asked for it


@dataclass(frozen=True)
class Products:
    """What is written of each fit.

    Attributes
    ----------
    format : str
        Format of the image, see `settings.OUTPUT_FORMATS`.
    optimize : bool
        Whether its file is made as small as can be, in more time.
    keep_metadata : bool
        Whether EXIF, XMP and comments of the input are kept.
    models : bool
    palettes : tuple of str
        Formats of palette files, see `settings.PALETTE_FORMATS`.
    maps : tuple of str
        See `settings.MAPS`.
    layers : bool
    images : bool
        Whether the recoloured image itself is.
    """

    format: str = "png"
    optimize: bool = False
    keep_metadata: bool = False
    models: bool = False
    palettes: tuple[str, ...] = ()
    maps: tuple[str, ...] = ()
    layers: bool = False
    images: bool = True

    def for_each_image(self) -> Products:
        """Return what is left for each image to write where one mixture is shared."""
        return replace(self, models=False, palettes=())

    def for_shared_report(self) -> Products:
        """Return what is written of a mixture that images share."""
        return Products(models=self.models, palettes=self.palettes, images=False)

    def names(self, stem: str, k: int | str) -> dict[str, str]:
        """Return the names of the files of a fit, by what they hold; of the layers, whose number is open, the first."""
        names = {"image": f"{stem}_k{k}.{self.format}"} if self.images else {}
        if self.models:
            names["model"] = f"{stem}_k{k}.gmm.json"
        names |= {f"palette {form}": f"{stem}_k{k}_palette.{form}" for form in self.palettes}
        names |= {f"map {what}": f"{stem}_k{k}_{what}.png" for what in self.maps}
        if self.layers:
            names["layer"] = layer_name(stem, k, 1)
        return names


def layer_name(stem: str, k: int | str, number: int) -> str:
    """Return the name of a layer, numbered from 1, the heaviest component first."""
    width = len(str(k)) if k != AUTO else 2
    return f"{stem}_k{k}_layer{number:0{max(width, 2)}}.png"


@dataclass(frozen=True)
class Task:
    """What is done with each image.

    Attributes
    ----------
    ks : sequence of int and "auto"
    settings : Settings
    existing : Existing
    max_pixels : int
    products : Products
    strategy : Strategy
        What becomes of an image at each k.
    keep_extension : bool
        Whether names keep the ending of the input: `cat.jpg_k7.png`.
    preserve_times : bool
        Whether what is written has the times of the input.
    shared : bool
        Whether one mixture is fitted to all images together.
    to : Destination
    """

    ks: Sequence[int | str]
    settings: Settings = field(default_factory=Settings)
    existing: Existing = Existing.REFUSE
    max_pixels: int = MAX_PIXELS
    products: Products = field(default_factory=Products)
    strategy: Strategy = field(default_factory=FitEach)
    keep_extension: bool = False
    preserve_times: bool = False
    shared: bool = False
    to: Destination = Destination.FILES


@dataclass(frozen=True)
class Job:
    """One image and what is to be written for it.

    Attributes
    ----------
    source : Path, RemotePath or StandardInput
    stem : str
        What the names of its files begin with.
    folder : Path or RemotePath
        The folder that they go to.
    ks : sequence of int and "auto"
    products : Products
    report : Path or RemotePath
        The file of the record.
    in_shared_report : bool
        Whether the record is that of many images, which this job does not write.
    kept : frozenset of Path and RemotePath, or None
        The outputs that exist and are kept, if they were looked up before the job is run. The others are then replaced,
        so that the job can be run twice.
    recorded : str or None
        SHA-256 of the source in the report of an earlier run, whose files are kept as they are.
    """

    source: SourcePath
    stem: str
    folder: AnyPath
    ks: Sequence[int | str]
    products: Products
    report: AnyPath
    in_shared_report: bool = False
    kept: frozenset[AnyPath] | None = None
    recorded: str | None = None

    @property
    def is_shared_report(self) -> bool:
        """Whether this is no image, but what is written of all that share a mixture."""
        return not self.products.images

    @property
    def files(self) -> dict[int | str, dict[str, AnyPath]]:
        """Files by k and by what they hold."""
        names = {k: self.products.names(self.stem, k) for k in self.ks}
        return {k: {what: self.folder / name for what, name in own.items()} for k, own in names.items()}

    @property
    def outputs(self) -> list[AnyPath]:
        """All files of the job that can be named before it is done; the report, which is written last, stands last."""
        files = [path for files in self.files.values() for path in files.values()]
        return files if self.in_shared_report else [*files, self.report]

    @property
    def claimed(self) -> list[AnyPath]:
        """All files that the job may write, every layer too."""
        ks = [k for k in self.ks if k != AUTO] if self.products.layers else []
        layers = [self.folder / layer_name(self.stem, k, number) for k in ks for number in range(1, int(k) + 1)]
        return [*self.outputs, *layers]

    def path_in_report(self, output: AnyPath) -> str:
        """Return the name of an output as the record tells it: as seen from the folder of the report."""
        return output.name if output.parent == self.report.parent else relative(output, self.report.parent)


@dataclass(frozen=True)
class Plan:
    """What is to be done.

    Attributes
    ----------
    entries : list of Job and Failure
        Images, and what cannot be one, in the order given.
    task : Task
    shared_job : Job or None
        What is written of all images together, where they share a mixture.
    """

    entries: list[Job | Failure]
    task: Task
    shared_job: Job | None = None

    @property
    def jobs(self) -> list[Job]:
        """The images."""
        return [entry for entry in self.entries if isinstance(entry, Job)]


def plan(sources: Iterable[Source | Failure], task: Task, folder: AnyPath | None) -> Plan:
    """Turn images into jobs, in the order given, each once.

    Parameters
    ----------
    sources : iterable of Source and Failure
        See `inputs.sources_of`; failures stay where they are.
    task : Task
    folder : Path, RemotePath or None
        Where outputs go; None: beside each image, and what is shared into the folder that holds them all.

    Raises
    ------
    OutputError
        If `folder` is a file, two images would write the same file, or an output is the input of another job.
    """
    if folder is not None and exists(folder) and not is_folder(folder):
        raise OutputError(f"{folder} is a file, not a folder; give another --output")
    entries: list[Source | Failure] = []
    seen: set[str] = set()
    for source in sources:
        if isinstance(source, Source):
            try:
                name = identity(source.path)
            except OSError as error:  # the working folder is gone
                entries.append(Failure(source.path, system_reason(error)))
                continue
            if name in seen:
                continue
            seen.add(name)
        entries.append(source)
    images = [entry for entry in entries if isinstance(entry, Source)]
    whole = _whole(images, task, folder) if task.shared and images else None
    report = None if whole is None else whole.report
    jobs = [entry if isinstance(entry, Failure) else _job(entry, task, folder, report) for entry in entries]
    planned = Plan(jobs, task, whole)
    if task.to is Destination.FILES:
        refuse_clashes(planned.jobs if whole is None else [*planned.jobs, whole])
    return planned


def _job(source: Source, task: Task, folder: AnyPath | None, shared_report: AnyPath | None) -> Job:
    """Name the outputs of an image."""
    target = source.path.parent if folder is None else folder / source.below
    stem = fitting_stem(source.path.name if task.keep_extension else source.path.stem, _MAX_NAME - len(_LONGEST_END))
    if shared_report is not None:
        products = task.products.for_each_image()
        return Job(source.path, stem, target, task.ks, products, shared_report, in_shared_report=True)
    return Job(source.path, stem, target, task.ks, task.products, target / f"{stem}_report.json")


def _whole(images: Sequence[Source], task: Task, folder: AnyPath | None) -> Job:
    """Name what is written of all images together."""
    target = common_folder([image.path.parent for image in images]) if folder is None else folder
    return Job(target, SHARED, target, task.ks, task.products.for_shared_report(), target / f"{SHARED}_report.json")


def fitting_stem(stem: str, limit: int) -> str:
    """Return `stem` if it has at most `limit` bytes, else its beginning and a digest of the whole."""
    encoded = os.fsencode(stem)
    if len(encoded) <= limit:
        return stem
    import hashlib

    digest = "~" + hashlib.sha256(encoded).hexdigest()[:8]
    return encoded[: limit - len(digest)].decode("utf-8", "ignore") + digest


def refuse_clashes(jobs: Sequence[Job]) -> None:
    """Raise an `OutputError` if two jobs would write one name, or one would write over the image of another.

    Names that differ only in case or in the form of an accent are one name on many file systems.
    """
    folded = _folding()
    writers: dict[str, Job] = {}
    sources = {folded(path): job for job in jobs if not job.is_shared_report for path in _names_of(job.source)}
    clashes: list[tuple[Job, Job, AnyPath]] = []
    for job in jobs:
        for output in job.claimed:
            name = folded(output)
            other = writers.setdefault(name, job)
            if other is not job:
                clashes.append((other, job, output))
                break
            if name in sources:
                raise OutputError(
                    f"{job.source} would write over the input {sources[name].source}; use another --output folder"
                )
    if clashes:
        raise OutputError(_clash(*clashes[0], n_others=len(clashes) - 1))


def _names_of(source: SourcePath) -> list[AnyPath]:
    """Return the place of an image, and what it links to."""
    if isinstance(source, StandardInput):
        return []
    return [source, Path(os.path.realpath(source))] if isinstance(source, Path) else [source]


def _clash(one: Job, other: Job, output: AnyPath, n_others: int) -> str:
    """Say which inputs would write one name, and how to avoid it."""
    more = f", and {n_others} other{'s' if n_others > 1 else ''} would" if n_others else ""
    if other.is_shared_report:
        remedy = "rename the image, or give another --output"
    elif one.source.parent != other.source.parent:
        remedy = "name the folder that holds them all, with -r, or give each its own --output"
    elif one.source.suffix.lower() != other.source.suffix.lower():
        remedy = "give --keep-extension, which names outputs cat.jpg_k7.png and so on, or rename one"
    else:
        remedy = "rename one, or give each its own --output"
    return f"{one.source} and {other.source} would both write {output.name}{more}; {remedy}"


def _folding() -> Callable[[AnyPath], str]:
    """Return what names a directory entry in the form in which file systems that fold names compare it."""
    real = cache(os.path.realpath)

    def folded(path: AnyPath) -> str:
        if not isinstance(path, Path):
            return identity(path)
        return unicodedata.normalize("NFC", os.path.join(real(path.parent), path.name)).lower()

    return folded
