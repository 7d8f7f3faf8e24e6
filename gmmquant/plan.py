"""What is to be done: files and folders become jobs, each with the names of all that is written for it.

Names are a function of the input alone: `cat.jpg` gives `cat_k7.png` for each k and `cat_report.json`, beside the
picture or in the output folder.
"""

from __future__ import annotations

import os
import re
import unicodedata
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from enum import Enum
from pathlib import Path

from gmmquant.errors import OutputError
from gmmquant.images.reading.headers import ENDINGS
from gmmquant.images.writing.own import is_own_output
from gmmquant.process import system_reason
from gmmquant.settings import AUTO, MAX_PIXELS, Settings
from gmmquant.ways import PlainFit

# Longest file name, in bytes, that the usual file systems take, and the longest end that a name is given.
_MAX_NAME = 255
_LONGEST_END = "_kauto_layer0000.png"


class Existing(Enum):
    """What to do where an output exists."""

    REFUSE = "refuse"
    REPLACE = "replace"
    KEEP = "keep"


@dataclass(frozen=True)
class Products:
    """What is written of each fit.

    Attributes
    ----------
    format : str
        Format of the picture, see `settings.FORMATS`.
    optimize : bool
        Whether its file is made as small as can be, in more time.
    keep_metadata : bool
        Whether what the input says besides its pixels is carried over.
    models : bool
    palettes : tuple of str
        Formats of palette files, see `settings.PALETTE_FORMATS`.
    maps : tuple of str
        See `settings.MAPS`.
    layers : bool
    """

    format: str = "png"
    optimize: bool = False
    keep_metadata: bool = False
    models: bool = False
    palettes: tuple[str, ...] = ()
    maps: tuple[str, ...] = ()
    layers: bool = False

    def names(self, stem: str, k: int | str) -> dict[str, str]:
        """Return the names of the files of a fit, by what they hold; of the layers, whose number is open, the first."""
        names = {"image": f"{stem}_k{k}.{self.format}"}
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
    """What is done with each picture.

    Attributes
    ----------
    ks : sequence of int and "auto"
    settings : Settings
    existing : Existing
    max_pixels : int
    products : Products
    way : PlainFit
        What becomes of a picture at each k.
    """

    ks: Sequence[int | str]
    settings: Settings = field(default_factory=Settings)
    existing: Existing = Existing.REFUSE
    max_pixels: int = MAX_PIXELS
    products: Products = field(default_factory=Products)
    way: PlainFit = field(default_factory=PlainFit)


@dataclass(frozen=True)
class Job:
    """One picture and what is to be written for it: files by k and by what they hold, and the report."""

    source: Path
    stem: str
    files: dict[int | str, dict[str, Path]]
    report: Path

    @property
    def outputs(self) -> list[Path]:
        """All files of the job that can be named before it is done; the report, which is written last, stands last."""
        return [*(path for files in self.files.values() for path in files.values()), self.report]


@dataclass(frozen=True)
class Failure:
    """A picture that could not be done, and why; `hopeless` if the rest of the batch would fail alike."""

    source: Path
    reason: str
    hopeless: bool = False


def plan(inputs: Iterable[Path], task: Task, folder: Path | None) -> list[Job | Failure]:
    """Turn files and folders into jobs, and into failures where there is nothing to do, in the order given.

    Parameters
    ----------
    inputs : iterable of Path
        A folder stands for the pictures in it, in natural order; hidden files and what gmmquant made are left out.
    task : Task
    folder : Path or None
        Where outputs go; None: beside each picture.

    Raises
    ------
    OutputError
        If `folder` is a file, two pictures would write the same file, or an output is the input of another job.
    """
    if folder is not None and folder.exists() and not folder.is_dir():
        raise OutputError(f"{folder} is a file, not a folder; give another --output")
    planned: list[Job | Failure] = []
    seen: set[str] = set()
    for path in inputs:
        try:
            sources = pictures_in(path) if path.is_dir() else [path]
            identities = [os.path.abspath(source) for source in sources]
        except OSError as error:
            planned.append(Failure(path, system_reason(error)))
            continue
        if not sources:
            planned.append(Failure(path, "no pictures in this folder; give one with " + ", ".join(sorted(ENDINGS))))
        for source, identity in zip(sources, identities, strict=True):
            if identity not in seen:
                seen.add(identity)
                planned.append(job_for(source, task, folder))
    refuse_clashes([entry for entry in planned if isinstance(entry, Job)])
    return planned


def pictures_in(folder: Path) -> list[Path]:
    """Return the picture files of a folder, by their ending, in natural order; not those that gmmquant made."""
    names = sorted(os.listdir(folder), key=natural_key)
    paths = [folder / name for name in names if not name.startswith(".")]
    return [p for p in paths if p.suffix.lower() in ENDINGS and p.is_file() and not is_own_output(p)]


def natural_key(name: str) -> list[tuple[int, int, str]]:
    """Return a sort key that puts `cat2` before `cat10`."""
    return [(1, int(part), "") if part.isdecimal() else (0, 0, part) for part in re.split(r"(\d+)", name)]


def job_for(source: Path, task: Task, folder: Path | None) -> Job:
    """Name the outputs of a picture."""
    home = source.parent if folder is None else folder
    stem = fitting_stem(source.stem, _MAX_NAME - len(_LONGEST_END))
    names = {k: task.products.names(stem, k) for k in task.ks}
    files = {k: {what: home / name for what, name in own.items()} for k, own in names.items()}
    return Job(source, stem, files, home / f"{stem}_report.json")


def fitting_stem(stem: str, limit: int) -> str:
    """Return `stem` if it has at most `limit` bytes, else its beginning and a digest of the whole."""
    encoded = os.fsencode(stem)
    if len(encoded) <= limit:
        return stem
    import hashlib

    digest = "~" + hashlib.sha256(encoded).hexdigest()[:8]
    return encoded[: limit - len(digest)].decode("utf-8", "ignore") + digest


def refuse_clashes(jobs: Sequence[Job]) -> None:
    """Raise an `OutputError` if two jobs would write one name, or one would write over the picture of another.

    Names that differ only in case or in the form of an accent are one name on many file systems.
    """
    writers: dict[str, Job] = {}
    sources = {_folded(path): job for job in jobs for path in (job.source, Path(os.path.realpath(job.source)))}
    for job in jobs:
        for output in job.outputs:
            name = _folded(output)
            other = writers.setdefault(name, job)
            if other is not job:
                raise OutputError(
                    f"{other.source} and {job.source} would both write {output.name}; "
                    "give them different names or run them with different --output folders"
                )
            if name in sources:
                raise OutputError(
                    f"{job.source} would write over the input {sources[name].source}; use another --output folder"
                )


def _folded(path: Path) -> str:
    """Return the name of a directory entry in the form in which file systems that fold names compare it."""
    return unicodedata.normalize("NFC", os.path.join(os.path.realpath(path.parent), path.name)).lower()
