"""The main job on one planned image: read, quantize at each k, write all or nothing, and tell what became of it."""

from __future__ import annotations

import errno
import math
import os
from collections.abc import Callable, Sequence
from concurrent.futures import Executor, Future
from dataclasses import replace
from functools import partial
from pathlib import Path
from time import perf_counter
from typing import Any, TypeVar

from gmmquant.colors.histogram import ColorHistogram
from gmmquant.errors import GmmquantError, ImageError, OutputError
from gmmquant.images.decoded import DecodedImage
from gmmquant.images.decoding.reader import byte_limit
from gmmquant.images.encoding.encode import encode_image, output_format
from gmmquant.images.files import read_image
from gmmquant.images.pixels import FlatImage
from gmmquant.models.selection import Choice
from gmmquant.pipeline.earlier_run import (
    changed_reason,
    digest_of,
    read_earlier_run,
    refuse_other_content,
    settings_of,
)
from gmmquant.pipeline.exports import write_products
from gmmquant.pipeline.plan import Destination, Existing, Job, Task
from gmmquant.quantization.quantizer import Quantizer, receive_nothing
from gmmquant.quantization.result import QuantizedImage
from gmmquant.report.outcome import Done, Failure, Outcome, Skipped
from gmmquant.report.record import Record, build_record, fit_record, to_json
from gmmquant.settings import AUTO, largest_of
from gmmquant.system import threads
from gmmquant.system.atomic import HeldSet, OutputSet, writing
from gmmquant.system.filesystem import check_writable, exists, make_folder, open_path
from gmmquant.system.paths import AnyPath, SourcePath
from gmmquant.system.process import system_reason

# The system's reasons for which the next image would fail like this one.
_HOPELESS = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EROFS})

# Pixels above which an image is encoded in a thread of its own. Four fits of an image of 135,300 took 306 ms beside
# that thread and 274 alone, while all the encoding takes 13.
_LARGE_IMAGE_PIXELS = 1_000_000

# Memory that a large image takes: 12 megapixels of a photograph took 264 to 300 MB, of 16 bits more.
_BYTES_PER_PIXEL = 40

Result = TypeVar("Result")
Watcher = Callable[[SourcePath, int | str, int, float], None]


def watch_nothing(source: SourcePath, k: int | str, n_iter: int, objective: float) -> None:
    """Take note of an iteration of the fit of `source` at `k` by doing nothing."""


def run(job: Job, admit: Callable[[int], None], *, task: Task, watch: Watcher = watch_nothing) -> Outcome:
    """Do one image; every error becomes a `Failure`, with no file of the image left behind.

    If the outputs of a job were looked up before (`Job.kept`), it may be the second run of the job, and what the first
    one wrote is replaced. Otherwise, files that another run writes meanwhile stay. `admit(n_bytes)` is called before a
    large image is decoded, and returns when there is memory for it.
    """
    started = perf_counter()

    def work() -> Done | Skipped | Failure:
        checked = check_outputs(job, task)
        if not isinstance(checked, Job):
            return checked
        kept = checked.kept or frozenset()
        done = _quantize(replace(job, recorded=checked.recorded), task, kept, admit, watch)
        nothing_written = task.to is Destination.FILES and not done.written
        if nothing_written and not job.in_shared_report:
            return Skipped(job.source)
        return replace(done, seconds=perf_counter() - started, kept=nothing_written)

    return attempt(job, work)


def attempt(job: Job, work: Callable[[], Result]) -> Result | Failure:
    """Return the result of `work` on a job, or a `Failure` with the reason in one line."""
    try:
        return work()
    except OutputError as error:
        return refuse_existing(job, str(error))
    except GmmquantError as error:
        return _failure(job, str(error))
    except OSError as error:
        reason = f"cannot write to {job.folder}: {system_reason(error)}"
        return _failure(job, reason, hopeless=error.errno in _HOPELESS)
    except MemoryError:
        return _failure(job, "not enough memory; scale the image down or ask for fewer colours")
    except Exception as error:  # a bug, here or in a library: the other images are still to be done
        return _failure(job, f"{type(error).__name__}: {error}; this is a bug in gmmquant, please report it")


def _failure(job: Job, reason: str, *, hopeless: bool = False) -> Failure:
    return Failure(job.source, reason, hopeless, is_image=not job.is_shared_report)


def refuse_existing(job: Job, reason: str) -> Failure:
    """Return the failure of a job because of an output that exists."""
    return _failure(job, f"{reason}; use --force to replace it or --skip-existing to keep it")


def check_outputs(job: Job, task: Task) -> Job | Skipped | Failure:
    """Look up which outputs exist: return the job with those to keep, or the outcome if there is nothing to do.

    With --skip-existing, the report of an earlier run must be of the same settings and the same image. The image is
    read for that only if its times are newer than those of the report.
    """
    if task.to is not Destination.FILES or job.kept is not None:
        return job
    present = [path for path in job.outputs if exists(path)]
    if present and task.existing is Existing.REFUSE:
        return refuse_existing(job, f"{present[0].name} exists")
    keeps, recorded = task.existing is Existing.KEEP, job.recorded
    if keeps and job.report in present and not job.is_shared_report:
        earlier = read_earlier_run(job.report)
        if earlier is not None:
            earlier.refuse_other_settings(*settings_of(task, job.report))
            recorded = earlier.digests["source"]
            earlier.refuse_if_changed(job.source, recorded)
            if len(present) == len(job.outputs) and (not job.products.layers or earlier.has_layers(job)):
                return Skipped(job.source)
    check_writable(job.folder)
    return replace(job, kept=frozenset(present) if keeps else frozenset(), recorded=recorded)


def flattened(image: DecodedImage) -> FlatImage:
    """Return the visible pixels of an image, all frames together."""
    return FlatImage.from_array(image.pixels, 1 if image.animation is None else image.animation.n_frames)


def read(source: SourcePath, max_pixels: int, admit: Callable[[int], None]) -> tuple[DecodedImage, str]:
    """Read an image; return it and the SHA-256 of its file. An error of the system becomes an `ImageError`."""

    def announce(n_pixels: int) -> None:
        if n_pixels > _LARGE_IMAGE_PIXELS:
            admit(n_pixels * _BYTES_PER_PIXEL)

    try:
        with open_path(source, byte_limit(max_pixels)) as file:
            return read_image(file, max_pixels=max_pixels, announce=announce), digest_of(file)
    except OSError as error:
        raise ImageError(system_reason(error)) from None


def _quantize(job: Job, task: Task, kept: frozenset[AnyPath], admit: Callable[[int], None], watch: Watcher) -> Done:
    """Write the outputs of an image, except those `kept` from an earlier run."""
    image, digest = read(job.source, task.max_pixels, admit)
    if job.recorded not in (None, digest):
        raise ImageError(changed_reason(job.source, job.report))
    animation, notes, products = image.animation, list(image.notes), job.products
    flat = flattened(image)
    encode = partial(
        encode_image,
        format=products.format,
        metadata=image.metadata,
        animation=animation,
        keep_metadata=products.keep_metadata,
        optimize=products.optimize,
        keep_order=task.strategy.keeps_order,
    )
    if task.to is not Destination.RECORD:
        kept_metadata = image.metadata if products.keep_metadata else None
        format = output_format(products.format)  # noqa: A001
        notes += format.losses(alpha=flat.alpha, animation=animation, metadata=kept_metadata)
        transparent = flat.alpha is not None and bool((flat.alpha < 255).any())
        if reason := format.refusal_of_colors(largest_of(task.ks), transparent=transparent):
            raise ImageError(reason)
    del image  # to free its memory
    quantizer = Quantizer(flat, task.strategy.settings(task.settings))
    if job.report in kept:
        notes.append(f"{job.report.name} exists and is kept: it is of an earlier run; use --force to replace it")
    if AUTO in task.ks:
        watch(job.source, AUTO, 0, math.nan)
    choice = task.strategy.choose_k(quantizer) if AUTO in task.ks else None
    fits: list[tuple[QuantizedImage, dict[str, Any], _FileWriter, bool]] = []
    is_large = quantizer.shape[0] * quantizer.shape[1] > _LARGE_IMAGE_PIXELS
    # Optimizing lasts longer than fitting, and in this thread a signal ends it at once.
    in_background = is_large and not products.optimize and threads.n_processors() > 1
    with _outputs_of(job, task) as outputs, writing(in_background=in_background) as executor:
        for k, paths in job.files.items():
            number = choice.k if choice is not None and k == AUTO else int(k)
            writer = _FileWriter(executor, outputs, partial(_keeps, job, task), compares=job.recorded is None)
            watch_fit = partial(watch, job.source, number)
            watch_fit(0, math.nan)
            if task.to is Destination.RECORD:
                fit, files = task.strategy.recolor(quantizer, number, watch_fit, receive_nothing), {}
            else:
                fit = task.strategy.recolor(quantizer, number, watch_fit, partial(writer, paths["image"], encode))
                files = write_products(quantizer, fit, job, k, writer)
            fits.append((fit, files, writer, k == AUTO))
        results = [(fit.with_seconds(write=writer.seconds()), files, auto) for fit, files, writer, auto in fits]
        record = _record_of(job, task, quantizer, results, notes, choice, digest)
        if task.to is Destination.FILES and not job.in_shared_report and job.report not in kept:
            outputs.stage(job.report, to_json(record).encode("ascii"))
        written = outputs.commit()
    statistics = [fit.statistics for fit, *_ in results]
    data = outputs.data if isinstance(outputs, HeldSet) else None
    return Done(job.source, record, written, notes, drawn=data, statistics=statistics)


def _record_of(
    job: Job,
    task: Task,
    quantizer: Quantizer,
    results: Sequence[tuple[QuantizedImage, dict[str, Any], bool]],
    notes: list[str],
    choice: Choice | None,
    digest: str,
) -> Record:
    """Return the record of an image, or its entry in a shared one; add to `notes` the k with too few colours."""
    if job.in_shared_report:
        from gmmquant.report.shared_record import shared_fit_record, shared_image_record

        fits = [shared_fit_record(result, files, auto=auto) for result, files, auto in results]
        return shared_image_record(job.source, job.report, quantizer, fits, notes=notes, digest=digest)
    kept_exactly = [result.k for result, *_ in results if result.fit.exact and len(result.weights) < result.k]
    if kept_exactly:
        notes.append(_few_colors(quantizer.histogram, kept_exactly))
    fits = [fit_record(result, files, auto=auto) for result, files, auto in results]
    return build_record(
        job.source,
        job.report,
        quantizer,
        fits,
        notes=notes,
        choice=choice,
        extra_inputs=task.strategy.inputs(),
        digests={"source": digest, "settings": settings_of(task, job.report)[1]},
    )


def _outputs_of(job: Job, task: Task) -> OutputSet | HeldSet:
    """Return what takes the outputs: files, or what is held for standard output."""
    if task.to is not Destination.FILES:
        return HeldSet()
    make_folder(job.folder)
    times = _times_of(job.source) if task.preserve_times else None
    overwrite = task.existing is Existing.REPLACE or job.kept is not None
    return OutputSet(overwrite=overwrite, keep=task.existing is Existing.KEEP and not overwrite, times=times)


def _times_of(source: SourcePath) -> tuple[int, int] | None:
    """Return when a file of this machine was read and written last, in nanoseconds."""
    if not isinstance(source, Path):
        return None
    try:
        status = os.stat(source)
    except OSError as error:
        raise ImageError(system_reason(error)) from None
    return status.st_atime_ns, status.st_mtime_ns


def _keeps(job: Job, task: Task, path: AnyPath) -> bool:
    """Tell whether an output exists and is kept; not what a settled job itself wrote when it was done before."""
    if task.existing is not Existing.KEEP:
        return False
    return path in job.kept if job.kept is not None and path in job.outputs else exists(path)


class _FileWriter:
    """Lets an executor encode and stage the files of a fit, but for those that are kept, and counts the seconds.

    If it `compares`, what is kept must be what it would be now: an earlier run may have had other options.
    """

    def __init__(
        self,
        executor: Executor,
        outputs: OutputSet | HeldSet,
        keeps: Callable[[AnyPath], bool],
        *,
        compares: bool = False,
    ) -> None:
        self._executor, self._outputs, self._keeps, self._compares = executor, outputs, keeps, compares
        self._staged: list[Future[float]] = []

    def __call__(self, path: AnyPath, encode: Callable[..., bytes], *content: Any) -> None:
        """Stage what `encode` makes of `content` as `path`; do nothing if that exists and is kept."""

        def stage() -> float:
            started = perf_counter()
            if is_kept:
                refuse_other_content(path, encode(*content))
            else:
                self._outputs.stage(path, encode(*content))
            return perf_counter() - started

        is_kept = self._keeps(path)
        if not is_kept or self._compares:
            if len(self._staged) > 1:  # what waits holds its arrays: of many layers, two at a time
                self._staged[-2].result()
            self._staged.append(self._executor.submit(stage))

    def seconds(self) -> float:
        """Wait for all files to be staged; return how long that took in all."""
        return sum(seconds.result() for seconds in self._staged)


def _few_colors(histogram: ColorHistogram, ks: Sequence[int]) -> str:
    colors = "1 distinct colour" if histogram.n_colors == 1 else f"{histogram.n_colors} distinct colours"
    rounded = "" if histogram.bit_depth == 8 else ", rounded to 8 bits"
    return f"{colors}, fewer than k = {', '.join(map(str, ks))}: the exact colours are kept{rounded}"
