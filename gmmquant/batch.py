"""The main job over files and folders: do one planned picture after the other, and tell what became of each."""

from __future__ import annotations

import errno
import json
import math
import os
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Executor, Future
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from time import perf_counter
from typing import Any

import numpy as np
import numpy.typing as npt

from gmmquant.artifacts import write_products
from gmmquant.colors.histogram import ColorHistogram
from gmmquant.errors import GmmquantError, OutputError, ParameterError, PictureError
from gmmquant.images.files import read_picture
from gmmquant.images.picture import Metadata, Picture
from gmmquant.images.pixels import FlatImage
from gmmquant.images.writing.encode import encode_picture, what_is_lost
from gmmquant.outputs import OutputSet, sweep_temporaries, writing
from gmmquant.plan import Existing, Failure, Job, Task
from gmmquant.process import system_reason
from gmmquant.quantized import QuantizedImage
from gmmquant.quantizer import Quantizer
from gmmquant.report.record import Record, build_record, fit_record, settings_record, to_json
from gmmquant.settings import AUTO

# The system's reasons for which the next picture would fail like this one.
_HOPELESS = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EROFS})

# Pixels above which a picture is encoded in a thread of its own. Four fits of a picture of 135,300 took 306 ms beside
# that thread and 274 alone, while all the encoding takes 13.
_LARGE = 1_000_000

Watcher = Callable[[Path, int | str, int, float], None]


def watch_nothing(source: Path, k: int | str, n_iter: int, objective: float) -> None:
    """Take note of an iteration of the fit of `source` at `k` by doing nothing."""


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
        if task.existing is Existing.KEEP and len(present) == len(job.outputs) and _has_its_layers(job, task):
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


def _has_its_layers(job: Job, task: Task) -> bool:
    """Tell whether the layers that the report names exist, if layers are wanted; without a report it is not known."""
    if not task.products.layers:
        return True
    try:
        fits = json.loads(job.report.read_bytes())["fits"]
        names = [name for fit in fits for name in fit["files"]["layers"]]
    except (OSError, ValueError, TypeError, KeyError, RecursionError):
        return False
    return all(os.path.lexists(job.report.parent / str(name)) for name in names)


def _quantize(job: Job, picture: Picture, task: Task, kept: set[Path], watch: Watcher) -> Done | Skipped:
    """Make the outputs of a picture, but for those `kept` from an earlier run."""
    animation, notes, products = picture.animation, list(picture.notes), task.products
    flat = FlatImage.from_array(picture.pixels, 1 if animation is None else animation.n_frames)
    encode = partial(
        encode_picture,
        format=products.format,
        metadata=picture.metadata,
        animation=animation,
        keep_metadata=products.keep_metadata,
        optimize=products.optimize,
        keep_order=task.way.keeps_order,
    )
    kept_metadata = picture.metadata if products.keep_metadata else Metadata()
    notes += what_is_lost(products.format, alpha=flat.alpha, animation=animation, metadata=kept_metadata)
    del picture  # its memory is wanted
    _refuse_for_gif(products.format, flat.alpha, task.ks)
    quantizer = Quantizer(flat, task.way.settings(task.settings))
    if job.report in kept:
        refuse_other_settings(job.report, settings_record(quantizer, task.way.told(), job.report))
        notes.append(f"{job.report.name} exists and is kept: it tells of an earlier run; use --force to renew it")
    if AUTO in task.ks:
        watch(job.source, AUTO, 0, math.nan)
    choice = quantizer.choose_k() if AUTO in task.ks else None
    fits: list[tuple[QuantizedImage, dict[str, Any], _FileWriter, bool]] = []
    job.report.parent.mkdir(parents=True, exist_ok=True)
    large = quantizer.shape[0] * quantizer.shape[1] > _LARGE
    with OutputSet(overwrite=task.existing is Existing.REPLACE) as outputs, writing(in_background=large) as executor:
        for k, paths in job.files.items():
            number = choice.k if choice is not None and k == AUTO else int(k)
            writer = _FileWriter(executor, outputs, keep=task.existing is Existing.KEEP)
            watch_fit = partial(watch, job.source, number)
            watch_fit(0, math.nan)
            fit = task.way.draw(quantizer, number, watch_fit, partial(writer, paths["image"], encode))
            files = write_products(quantizer, fit, products, job, k, writer)
            fits.append((fit, files, writer, k == AUTO))
        records = [fit_record(fit, writer.seconds(), files, auto=auto) for fit, files, writer, auto in fits]
        kept_exactly = [fit.k for fit, *_ in fits if fit.exact and fit.k_fitted < fit.k]
        if kept_exactly:
            notes.append(_few_colors(quantizer.histogram, kept_exactly))
        record = build_record(
            job.source, job.report, quantizer, records, notes=notes, choice=choice, given=task.way.told()
        )
        written = [path for _, _, writer, _ in fits for path in writer.paths]
        if job.report not in kept:
            outputs.stage(job.report, to_json(record).encode("ascii"))
            written.append(job.report)
        outputs.commit()
    if not written:
        return Skipped(job.source)
    return Done(job.source, record, written, notes)


def refuse_other_settings(report: Path, settings: Record) -> None:
    """Refuse to go on with a run whose report tells of other settings: its pictures and ours would not belong together.

    A report that cannot be read, or is of no known form, is not for us to judge.
    """
    try:
        earlier = json.loads(report.read_bytes())["settings"]
        told = {name: earlier[name] for name in settings if name in earlier}
    except (OSError, ValueError, TypeError, KeyError, RecursionError):
        return
    for name, value in told.items():
        if value != settings[name]:
            raise ParameterError(
                f"{report.name} is of a run with {name} = {value}, not {settings[name]}; give the same options, "
                "another --output, or --force instead of --skip-existing"
            )


class _FileWriter:
    """Lets an executor encode and stage the files of a fit, but for those that are kept, and counts the seconds."""

    def __init__(self, executor: Executor, outputs: OutputSet, *, keep: bool) -> None:
        self._executor, self._outputs, self._keep = executor, outputs, keep
        self._staged: list[Future[float]] = []
        self.paths: list[Path] = []

    def __call__(self, path: Path, encode: Callable[..., bytes], *content: Any) -> None:
        """Stage what `encode` makes of `content` as `path`; do nothing if that exists and is kept."""

        def stage() -> float:
            started = perf_counter()
            self._outputs.stage(path, encode(*content))
            return perf_counter() - started

        if not (self._keep and os.path.lexists(path)):
            if len(self._staged) > 1:  # what waits holds its arrays: of many layers, two at a time
                self._staged[-2].result()
            self.paths.append(path)
            self._staged.append(self._executor.submit(stage))

    def seconds(self) -> float:
        """Wait for all files to be staged; return how long that took in all."""
        return sum(seconds.result() for seconds in self._staged)


def _refuse_for_gif(form: str, alpha: npt.NDArray[np.uint8] | None, ks: Sequence[int | str]) -> None:
    """Refuse before any work what a GIF cannot hold beside transparency."""
    if form == "gif" and 256 in ks and alpha is not None and (alpha < 255).any():
        raise PictureError("a gif holds 255 colours beside transparency, not 256; give a smaller k, or png, webp, tiff")


def _few_colors(histogram: ColorHistogram, ks: Sequence[int]) -> str:
    colors = "1 distinct colour" if histogram.n_colors == 1 else f"{histogram.n_colors} distinct colours"
    rounded = "" if histogram.bit_depth == 8 else ", rounded to 8 bits"
    return f"{colors}, fewer than k = {', '.join(map(str, ks))}: the exact colours are kept{rounded}"
