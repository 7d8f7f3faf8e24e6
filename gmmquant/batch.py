"""The main job over files and folders: plan everything first, then do one picture after the other.

Names are a function of the input alone: `cat.jpg` gives `cat_k7.png` for each k and `cat_report.json`, beside the
picture or in the output folder.
"""

from __future__ import annotations

import errno
import hashlib
import math
import os
import re
import unicodedata
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Executor, Future
from dataclasses import dataclass, field, replace
from enum import Enum
from functools import partial
from pathlib import Path
from time import perf_counter
from typing import Any

import numpy as np

from gmmquant.colors.histogram import ColorHistogram
from gmmquant.errors import GmmquantError, ModelFileError, OutputError, ParameterError, PictureError
from gmmquant.images.files import ENDINGS, Picture, encode_png, is_own_output, read_picture
from gmmquant.images.pixels import FlatImage
from gmmquant.models.persistence import Model, model_to_json, read_model
from gmmquant.outputs import OutputSet, sweep_temporaries, writing
from gmmquant.process import system_reason
from gmmquant.quantized import QuantizedImage
from gmmquant.quantizer import Quantizer, Receiver
from gmmquant.report.record import Record, build_record, fit_record, to_json
from gmmquant.settings import AUTO, MAX_PIXELS, RECOLORINGS, Settings, check_k
from gmmquant.version import __version__

# Longest file name, in bytes, that the usual file systems take.
_MAX_NAME = 255

# The system's reasons for which the next picture would fail like this one.
_HOPELESS = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EROFS})

# Pixels above which a picture is encoded in a thread of its own. Four fits of a picture of 135,300 took 306 ms beside
# that thread and 274 alone, while all the encoding takes 13.
_LARGE = 1_000_000

Watcher = Callable[[Path, int | str, int, float], None]


def watch_nothing(source: Path, k: int | str, n_iter: int, objective: float) -> None:
    """Take note of an iteration of the fit of `source` at `k` by doing nothing."""


class Existing(Enum):
    """What to do where an output exists."""

    REFUSE = "refuse"
    REPLACE = "replace"
    KEEP = "keep"


@dataclass(frozen=True)
class AppliedModel:
    """A model that pictures are recoloured by, and the file it came from."""

    path: Path
    model: Model


@dataclass(frozen=True)
class Task:
    """What is done with each picture.

    Attributes
    ----------
    ks : sequence of int and "auto"
    settings : Settings
    existing : Existing
    max_pixels : int
    save_models : bool
        Whether a model file is written for each k.
    applied : AppliedModel or None
        A model to recolour by instead of fitting.
    """

    ks: Sequence[int | str]
    settings: Settings = field(default_factory=Settings)
    existing: Existing = Existing.REFUSE
    max_pixels: int = MAX_PIXELS
    save_models: bool = False
    applied: AppliedModel | None = None


@dataclass(frozen=True)
class Job:
    """One picture and what is to be written for it: images, and models if asked for, by k, and the report."""

    source: Path
    images: dict[int | str, Path]
    models: dict[int | str, Path]
    report: Path

    @property
    def outputs(self) -> list[Path]:
        """All files of the job; the report, which is written last, stands last."""
        return [*self.images.values(), *self.models.values(), self.report]


@dataclass(frozen=True)
class Failure:
    """A picture that could not be done, and why; `hopeless` if the rest of the batch would fail alike."""

    source: Path
    reason: str
    hopeless: bool = False


@dataclass(frozen=True)
class Skipped:
    """A picture whose outputs all exist."""

    source: Path


@dataclass(frozen=True)
class Done:
    """A picture that is done, its record, and what the user should know of it."""

    source: Path
    record: Record
    written: list[Path]
    notes: list[str] = field(default_factory=list)


Outcome = Done | Skipped | Failure


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
    stem = fitting_stem(source.stem, _MAX_NAME - len("_kauto.gmm.json"))
    images = {k: home / f"{stem}_k{k}.png" for k in task.ks}
    models = {k: home / f"{stem}_k{k}.gmm.json" for k in task.ks if task.save_models}
    return Job(source, images, models, home / f"{stem}_report.json")


def fitting_stem(stem: str, limit: int) -> str:
    """Return `stem` if it has at most `limit` bytes, else its beginning and a digest of the whole."""
    encoded = os.fsencode(stem)
    if len(encoded) <= limit:
        return stem
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


def run_all(planned: Iterable[Job | Failure], task: Task, watch: Watcher = watch_nothing) -> Iterator[Outcome]:
    """Do one picture after the other, in the order planned; stop after a failure that the rest would share.

    Temporaries that killed runs left in an output folder are swept before the first picture of that folder.
    """
    swept: set[Path] = set()
    for entry in planned:
        if isinstance(entry, Failure):
            yield entry
            continue
        home = entry.report.parent
        if home not in swept:
            sweep_temporaries(home)
            swept.add(home)
        outcome = run(entry, task, watch)
        yield outcome
        if isinstance(outcome, Failure) and outcome.hopeless:
            return


def run(job: Job, task: Task, watch: Watcher = watch_nothing) -> Outcome:
    """Do one picture; every failure comes back as a `Failure`, with nothing of the picture left behind."""
    try:
        present = {path for path in job.outputs if os.path.lexists(path)}
        if len(present) == len(job.outputs) and task.existing is Existing.KEEP:
            return Skipped(job.source)
        if present and task.existing is Existing.REFUSE:
            raise OutputError(f"{next(path.name for path in job.outputs if path in present)} exists")
        kept = present if task.existing is Existing.KEEP else set()
        return _quantize(job, _read(job.source, task.max_pixels), task, kept, watch)
    except OutputError as error:
        return Failure(job.source, f"{error}; use --force to replace it or --skip-existing to keep it")
    except GmmquantError as error:
        return Failure(job.source, str(error))
    except OSError as error:
        reason = f"cannot write to {job.report.parent}: {system_reason(error)}"
        return Failure(job.source, reason, hopeless=error.errno in _HOPELESS)
    except MemoryError:
        return Failure(job.source, "not enough memory; scale the picture down or ask for fewer colours")


def _read(source: Path, max_pixels: int) -> Picture:
    """Read a picture; what the system says against it is told like any other fault of the picture."""
    try:
        return read_picture(source, max_pixels=max_pixels)
    except OSError as error:
        raise PictureError(system_reason(error)) from None


def _quantize(job: Job, picture: Picture, task: Task, kept: set[Path], watch: Watcher) -> Done:
    """Make the outputs of a picture, but for those `kept` from an earlier run."""
    flat, notes = FlatImage.from_array(picture.pixels), list(picture.notes)
    del picture  # its memory is wanted
    quantizer = Quantizer(flat, _settings(task))
    if job.report in kept:
        notes.append(f"{job.report.name} exists and is kept: it tells of an earlier run; use --force to renew it")
    if AUTO in task.ks:
        watch(job.source, AUTO, 0, math.nan)
    choice = quantizer.choose_k() if AUTO in task.ks else None
    fits: list[tuple[QuantizedImage, dict[str, str], list[Future[float]], bool]] = []
    job.report.parent.mkdir(parents=True, exist_ok=True)
    large = quantizer.shape[0] * quantizer.shape[1] > _LARGE
    with OutputSet(overwrite=task.existing is Existing.REPLACE) as outputs, writing(in_background=large) as writer:
        for k, path in job.images.items():
            written = list[Future[float]]()
            write = partial(_write, writer, outputs, kept, written, path, encode_png)
            number = choice.k if choice is not None and k == AUTO else int(k)
            fit = _fit(quantizer, task, number, partial(watch, job.source, number), write)
            files = {"image": path.name}
            if k in job.models:
                files["model"] = job.models[k].name
                _write(writer, outputs, kept, written, job.models[k], _encode_model, fit)
            fits.append((fit, files, written, k == AUTO))
        records = [
            fit_record(fit, sum(seconds.result() for seconds in written), files, auto=auto)
            for fit, files, written, auto in fits
        ]
        too_many = [fit.k for fit, *_ in fits if fit.k_fitted < fit.k]
        if too_many:
            notes.append(_few_colors(quantizer.histogram, too_many))
        applied = None if task.applied is None else task.applied.path
        record = build_record(job.source, job.report, quantizer, records, notes=notes, choice=choice, model=applied)
        if job.report not in kept:
            outputs.stage(job.report, to_json(record).encode("ascii"))
        outputs.commit()
    return Done(job.source, record, [path for path in job.outputs if path not in kept], notes)


def _write(
    writer: Executor,
    outputs: OutputSet,
    kept: set[Path],
    written: list[Future[float]],
    path: Path,
    encode: Callable[..., bytes],
    *content: Any,
) -> None:
    """Let `writer` stage what `encode` makes of `content`, if `path` is not `kept`; it tells the seconds it took."""

    def stage() -> float:
        started = perf_counter()
        outputs.stage(path, encode(*content))
        return perf_counter() - started

    if path not in kept:
        written.append(writer.submit(stage))


def _encode_model(fit: QuantizedImage) -> bytes:
    return model_to_json(Model(fit.mixture, _facts(fit)), __version__).encode("ascii")


def _facts(fit: QuantizedImage) -> dict[str, Any]:
    """Return what a model file says besides the mixture."""
    return {"color_space": "srgb", "exact": fit.exact, "recolor": fit.recoloring}


def _settings(task: Task) -> Settings:
    """Return the settings of a task: under a model, pixels get their colours as in the fit it came from."""
    own = None if task.applied is None else task.applied.model.facts.get("recolor")
    if task.settings.recolor is None and own in RECOLORINGS:
        return replace(task.settings, recolor=own)
    return task.settings


def _fit(
    quantizer: Quantizer, task: Task, k: int, watch: Callable[[int, float], None], receive: Receiver
) -> QuantizedImage:
    watch(0, math.nan)
    if task.applied is None:
        return quantizer.fit(k, watch, receive)
    model = task.applied.model
    return quantizer.apply(model.gaussians, exact=model.facts.get("exact") is True, receive=receive)


def load_model(path: Path) -> AppliedModel:
    """Read a model of pictures; every fault is a `ModelFileError` that names the file."""
    try:
        model = read_model(path)
        K, d = model.gaussians.means.shape
        if d != 3 or model.facts.get("color_space") != "srgb":
            raise ModelFileError(f"not a model of sRGB colours ({d} features); give one that --save-model wrote")
        check_k(K)
        variances = np.diagonal(model.gaussians.full_covariances(), axis1=1, axis2=2)
        if np.abs(model.gaussians.means - 0.5).max() > 1 or variances.min() < 1e-12 or variances.max() > 1:
            raise ModelFileError("means or covariances are not of colours in [0, 1]; give one that --save-model wrote")
    except OSError as error:
        raise ModelFileError(f"{path}: {system_reason(error)}") from None
    except (ModelFileError, ParameterError) as error:
        raise ModelFileError(f"{path}: {error}") from None
    return AppliedModel(path, model)


def _few_colors(histogram: ColorHistogram, ks: Sequence[int]) -> str:
    colors = "1 distinct colour" if histogram.n_colors == 1 else f"{histogram.n_colors} distinct colours"
    rounded = "" if histogram.bit_depth == 8 else ", rounded to 8 bits"
    return f"{colors}, fewer than k = {', '.join(map(str, ks))}: the exact colours are kept{rounded}"


def _folded(path: Path) -> str:
    """Return the name of a directory entry in the form in which file systems that fold names compare it."""
    return unicodedata.normalize("NFC", os.path.join(os.path.realpath(path.parent), path.name)).lower()
