"""The main job on one planned image: read, quantize at each k, write all or nothing, and tell what became of it."""

from __future__ import annotations

import errno
import json
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
from gmmquant.errors import GmmquantError, ImageError, OutputError, ParameterError
from gmmquant.images.decoded import DecodedImage
from gmmquant.images.decoding.reader import byte_limit
from gmmquant.images.encoding.encode import encode_image, output_format
from gmmquant.images.files import read_image
from gmmquant.images.pixels import FlatImage
from gmmquant.models.selection import Choice
from gmmquant.pipeline.exports import write_products
from gmmquant.pipeline.plan import Destination, Existing, Job, Task
from gmmquant.quantization.quantizer import Quantizer, receive_nothing
from gmmquant.quantization.result import QuantizedImage
from gmmquant.report.outcome import Done, Failure, Outcome, Skipped
from gmmquant.report.record import Record, build_record, fit_record, settings_record, to_json
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
_LARGE = 1_000_000

# Memory that a large image takes: 12 megapixels of a photograph took 264 to 300 MB, of 16 bits more.
_BYTES_PER_PIXEL = 40

Result = TypeVar("Result")
Watcher = Callable[[SourcePath, int | str, int, float], None]


def watch_nothing(source: SourcePath, k: int | str, n_iter: int, objective: float) -> None:
    """Take note of an iteration of the fit of `source` at `k` by doing nothing."""


def run(job: Job, admit: Callable[[int], None], *, task: Task, watch: Watcher = watch_nothing) -> Outcome:
    """Do one image; every failure comes back as a `Failure`, with nothing of the image left behind.

    A job that was settled before may have been done before: what it wrote then is replaced. Where any other finds what
    another run wrote meanwhile, that stays (see `_outputs_of`). `admit(n_bytes)` is called before a large image is
    decoded, and returns when there is memory for it.
    """
    started = perf_counter()

    def work() -> Done | Skipped | Failure:
        settled = settle(job, task)
        if not isinstance(settled, Job):
            return settled
        kept = settled.kept or frozenset()
        # The image is held by nobody here: its memory is wanted.
        done = _quantize(job, read(job.source, task.max_pixels, admit), task, kept, watch)
        nothing_written = task.to is Destination.FILES and not done.written
        if nothing_written and not job.in_shared_report:
            return Skipped(job.source)
        return replace(done, seconds=perf_counter() - started, kept=nothing_written)

    return guarded(job, work)


def guarded(job: Job, work: Callable[[], Result]) -> Result | Failure:
    """Return what `work` on an image returns, or a `Failure` that says in a line why it cannot be done."""
    try:
        return work()
    except OutputError as error:
        return refused(job, str(error))
    except GmmquantError as error:
        return _failed(job, str(error))
    except OSError as error:
        return _failed(job, f"cannot write to {job.folder}: {system_reason(error)}", hopeless=error.errno in _HOPELESS)
    except MemoryError:
        return _failed(job, "not enough memory; scale the image down or ask for fewer colours")
    except Exception as error:  # a fault of ours, or of a library: the other images are still to be done
        return _failed(job, f"{type(error).__name__}: {error}; this is a fault of gmmquant, please report it")


def _failed(job: Job, reason: str, *, hopeless: bool = False) -> Failure:
    return Failure(job.source, reason, hopeless, is_image=not job.is_shared_report)


def settle(job: Job, task: Task) -> Job | Skipped | Failure:
    """Find out which outputs exist: return the job with those that are kept, or why nothing is to be done.

    A job that was settled can be done again: what it wrote the first time is replaced.
    """
    if task.to is not Destination.FILES or job.kept is not None:
        return job
    present = [path for path in job.outputs if exists(path)]
    keeps = task.existing is Existing.KEEP
    if keeps and len(present) == len(job.outputs) and _has_its_layers(job) and not job.in_shared_report:
        return Skipped(job.source)
    if present and task.existing is Existing.REFUSE:
        return refused(job, f"{present[0].name} exists")
    check_writable(job.folder)
    return replace(job, kept=frozenset(present) if keeps else frozenset())


def refused(job: Job, reason: str) -> Failure:
    """Return that outputs stand in the way of an image."""
    return _failed(job, f"{reason}; use --force to replace it or --skip-existing to keep it")


def read_json(path: AnyPath) -> Any:
    """Read a JSON file."""
    with open_path(path) as file:
        return json.load(file)


def flattened(image: DecodedImage) -> FlatImage:
    """Return the visible pixels of an image, all frames together."""
    return FlatImage.from_array(image.pixels, 1 if image.animation is None else image.animation.n_frames)


def _has_its_layers(job: Job) -> bool:
    """Tell whether the layers that the report names exist, if layers are wanted; without a report it is not known."""
    if not job.products.layers:
        return True
    try:
        fits = read_json(job.report)["fits"]
        names = [name for fit in fits for name in fit["files"]["layers"]]
    except (OSError, ValueError, TypeError, KeyError, RecursionError):
        return False
    return all(exists(job.folder / str(name)) for name in names)


def read(source: SourcePath, max_pixels: int, admit: Callable[[int], None]) -> DecodedImage:
    """Read an image; what the system says against it is told like any other fault of the image."""

    def announce(n_pixels: int) -> None:
        if n_pixels > _LARGE:
            admit(n_pixels * _BYTES_PER_PIXEL)

    try:
        with open_path(source, byte_limit(max_pixels)) as file:
            return read_image(file, max_pixels=max_pixels, announce=announce)
    except OSError as error:
        raise ImageError(system_reason(error)) from None


def _quantize(job: Job, image: DecodedImage, task: Task, kept: frozenset[AnyPath], watch: Watcher) -> Done:
    """Make the outputs of an image, but for those `kept` from an earlier run."""
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
    del image  # its memory is wanted
    quantizer = Quantizer(flat, task.strategy.settings(task.settings))
    if job.report in kept:
        refuse_other_settings(job.report, settings_record(quantizer.fitter, task.strategy.inputs(), job.report))
        notes.append(f"{job.report.name} exists and is kept: it tells of an earlier run; use --force to renew it")
    if AUTO in task.ks:
        watch(job.source, AUTO, 0, math.nan)
    choice = task.strategy.choose_k(quantizer) if AUTO in task.ks else None
    fits: list[tuple[QuantizedImage, dict[str, Any], _FileWriter, bool]] = []
    is_large = quantizer.shape[0] * quantizer.shape[1] > _LARGE
    # Optimizing lasts longer than fitting, and in this thread a signal ends it at once.
    in_background = is_large and not products.optimize and threads.n_processors() > 1
    with _outputs_of(job, task) as outputs, writing(in_background=in_background) as executor:
        for k, paths in job.files.items():
            number = choice.k if choice is not None and k == AUTO else int(k)
            # A report tells of files as this run makes them, so those that are kept must be just that.
            compares = job.in_shared_report or job.report not in kept
            writer = _FileWriter(executor, outputs, partial(_keeps, job, task), compares=compares)
            watch_fit = partial(watch, job.source, number)
            watch_fit(0, math.nan)
            if task.to is Destination.RECORD:
                fit, files = task.strategy.draw(quantizer, number, watch_fit, receive_nothing), {}
            else:
                fit = task.strategy.draw(quantizer, number, watch_fit, partial(writer, paths["image"], encode))
                files = write_products(quantizer, fit, job, k, writer)
            fits.append((fit, files, writer, k == AUTO))
        results = [(fit.with_seconds(write=writer.seconds()), files, auto) for fit, files, writer, auto in fits]
        record = _record_of(job, task, quantizer, results, notes, choice)
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
) -> Record:
    """Return the record of an image, or its part of that of many; add to `notes` what the fits turned out to be."""
    if job.in_shared_report:
        from gmmquant.report.shared_record import shared_fit_record, shared_image_record

        fits = [shared_fit_record(result, files, auto=auto) for result, files, auto in results]
        return shared_image_record(job.source, job.report, quantizer, fits, notes=notes)
    kept_exactly = [result.k for result, *_ in results if result.fit.exact and len(result.weights) < result.k]
    if kept_exactly:
        notes.append(_few_colors(quantizer.histogram, kept_exactly))
    fits = [fit_record(result, files, auto=auto) for result, files, auto in results]
    extra_inputs = task.strategy.inputs()
    return build_record(job.source, job.report, quantizer, fits, notes=notes, choice=choice, extra_inputs=extra_inputs)


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


def refuse_other_settings(report: AnyPath, settings: Record) -> None:
    """Refuse to go on with a run whose report tells of other settings: its images and ours would not belong together.

    A report that cannot be read, or is of no known form, is not for us to judge.
    """
    try:
        earlier = read_json(report)["settings"]
        told = {name: earlier[name] for name in settings if name in earlier}
    except (OSError, ValueError, TypeError, KeyError, RecursionError):
        return
    for name, value in told.items():
        if value != settings[name]:
            raise ParameterError(
                f"{report.name} is of a run with {name} = {_said(value)}, not {_said(settings[name])}; give the same "
                "options, another --output, or --force instead of --skip-existing"
            )


def _said(value: object) -> str:
    """Return the value of a setting as a user knows it."""
    return "the default" if value is None else str(value)


def refuse_another(path: AnyPath, data: bytes) -> None:
    """Refuse to go on with a run beside a file that is not what this run makes of it."""
    with open_path(path) as file:
        if file.read() != data:
            raise ImageError(
                f"{path.name} exists and is of a run of other images or options, or was changed; give another "
                "--output, or --force instead of --skip-existing"
            )


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
                refuse_another(path, encode(*content))
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
