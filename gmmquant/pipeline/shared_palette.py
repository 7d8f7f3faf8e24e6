"""The main job over images that share one mixture: count the colours of all, fit, and recolour each by the fits.

The first pass over the images adds up their histograms, the second draws and writes them. The figures of the whole
are the sums of what the second finds in each image.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Generator, Iterable, Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

from gmmquant.colors.color_sum import Colors, add_up
from gmmquant.errors import ParameterError
from gmmquant.pipeline.batch import is_finished, portable, run_all
from gmmquant.pipeline.exports import write_mixture
from gmmquant.pipeline.image_job import (
    flattened,
    guarded,
    read,
    read_json,
    refuse_another,
    refuse_other_settings,
    refused,
)
from gmmquant.pipeline.plan import Destination, Existing, Job, Plan, Task
from gmmquant.pipeline.strategy import ApplyFits, fit_shared
from gmmquant.quantization.fitter import Fitter
from gmmquant.report.outcome import Done, Failure, Outcome, SharedReport, Skipped
from gmmquant.report.record import Record, fit_record, settings_record, to_json
from gmmquant.report.shared_record import build_shared_record, total_result
from gmmquant.settings import AUTO
from gmmquant.system.atomic import OutputSet
from gmmquant.system.executors.base import Executor, WorkerDied
from gmmquant.system.filesystem import check_writable, exists, make_folder
from gmmquant.system.paths import AnyPath, identity


@dataclass(frozen=True)
class Counted:
    """The colours of some images, and those that could not be counted."""

    colors: Colors | None
    failures: tuple[Failure, ...] = ()
    n_images: int = 0


def run_shared(
    planned: Plan,
    executor: Executor,
    counted_one: Callable[[], None],
    idle: Callable[[], None],
    *,
    sample_size: int | None = None,
    fail_fast: bool = False,
) -> Generator[Outcome, None, None]:
    """Fit one mixture for each k to all images and recolour them by it; yield what became of each, then the whole.

    Parameters
    ----------
    planned : Plan
        With a `shared_job`, and `in_shared_report` jobs.
    executor : Executor
    counted_one : callable
        Called for each image whose colours are counted.
    idle : callable
        Called now and then while mixtures are fitted.
    sample_size : int or None
        Count the colours of so many images only, spread evenly over all.
    fail_fast : bool
        Begin no more images after one has failed.
    """
    task, whole = planned.task, planned.shared_job
    assert whole is not None  # noqa: S101
    if is_finished(planned, sample_size):
        yield from (Skipped(entry.source) if isinstance(entry, Job) else entry for entry in planned.entries)
        return
    in_the_way = guarded(whole, lambda: _in_the_way(planned, whole))
    if in_the_way is not None:
        yield in_the_way
        return
    unreadable = len(planned.jobs) < len(planned.entries)
    counted = Counted(None)
    if not (fail_fast and unreadable):
        counted = _count_all(planned, executor, counted_one, sample_size=sample_size, fail_fast=fail_fast)
    failed = {identity(failure.source): failure for failure in counted.failures}
    entries = [_failed(entry, failed.get(identity(entry.source))) for entry in planned.entries]
    failures = [entry for entry in entries if isinstance(entry, Failure)]
    if counted.colors is None or (failures and fail_fast):
        yield from failures
        return
    fitter = Fitter(counted.colors, task.settings)
    keeps = task.to is Destination.FILES and task.existing is Existing.KEEP
    if keeps and isinstance(refusal := guarded(whole, lambda: _refuse_another_run(whole, fitter, counted)), Failure):
        yield refusal
        return
    strategy = fit_shared(fitter, task.ks, lambda *_: idle())
    if keeps and isinstance(refusal := guarded(whole, lambda: _refuse_another_fit(whole, strategy)), Failure):
        yield refusal
        return
    done: list[Done] = []
    failures = []
    with closing(
        run_all(Plan(entries, replace(task, strategy=strategy)), executor=executor, fail_fast=fail_fast)
    ) as outcomes:
        for outcome in outcomes:
            if isinstance(outcome, Done):
                done.append(outcome)
            if isinstance(outcome, Failure):
                failures.append(outcome)
            yield outcome
    # Where some failed, a report of more of them that exists is kept.
    if done and not (keeps and failures and exists(whole.report)):
        yield guarded(whole, lambda: _write_whole(whole, task, fitter, strategy, done, failures, counted.n_images))


def _refuse_another_run(whole: Job, fitter: Fitter, counted: Counted) -> None:
    """Refuse to go on with a run whose report tells of other options, or was fitted to other images."""
    refuse_other_settings(whole.report, {"k": list(whole.ks), **settings_record(fitter, {}, whole.report)})
    colors = fitter.colors
    fitted = {"images": counted.n_images, "visible_pixels": colors.n_pixels, "distinct_colors": colors.n_colors}
    try:
        earlier = read_json(whole.report)["fitted"]
        told = {name: earlier[name] for name in fitted}
    except (OSError, ValueError, TypeError, KeyError, RecursionError):
        return
    if told != fitted:
        raise ParameterError(
            f"{whole.report.name} is of a run fitted to {_told(told)}, not {_told(fitted)}; give the same images "
            "and --sample-size, another --output, or --force instead of --skip-existing"
        )


def _refuse_another_fit(whole: Job, strategy: ApplyFits) -> None:
    """Refuse to go on with a run whose report tells of other mixtures: as many pixels and colours may be others."""
    try:
        told = {fit["k"]: float(fit["trace"][-1]["objective"]) for fit in read_json(whole.report)["fits"]}
    except (OSError, ValueError, TypeError, KeyError, IndexError, RecursionError):
        return
    for k, fit in strategy.fits.items():
        # To the last bits it depends on the processor.
        if k in told and not math.isclose(told[k], fit.trace[-1], rel_tol=1e-9, abs_tol=1e-9):
            raise ParameterError(
                f"{whole.report.name} is of a run whose mixture of {k} came to {told[k]:.9g} nats a pixel, not "
                f"{fit.trace[-1]:.9g}: of other images; give the same, another --output, or --force instead of "
                "--skip-existing"
            )


def _told(fitted: Record) -> str:
    """Return in words what a mixture was fitted to."""
    colors = fitted["distinct_colors"]
    told = f"{fitted['images']} images of {fitted['visible_pixels']} pixels"
    return told if colors is None else f"{told} in {colors} colours"


def _count_all(
    planned: Plan, executor: Executor, counted_one: Callable[[], None], *, sample_size: int | None, fail_fast: bool
) -> Counted:
    """Count the colours of all images, or of so many that can be read."""
    counted, left = Counted(None), planned.jobs
    while left and (sample_size is None or counted.n_images < sample_size) and not (fail_fast and counted.failures):
        # Of a sample, others take the place of those that cannot be read.
        jobs, left = _spread(left, len(left) if sample_size is None else sample_size - counted.n_images)
        portables = (portable(job, executor) for job in jobs)
        counted = add(counted, _counted(executor, planned.task, portables, counted_one, fail_fast=fail_fast))
    return counted


def count(job: Job, admit: Callable[[int], None], *, task: Task) -> Counted:
    """Count the colours of an image."""
    colors = guarded(job, lambda: flattened(read(job.source, task.max_pixels, admit)).histogram())
    return Counted(None, (colors,)) if isinstance(colors, Failure) else Counted(colors, n_images=1)


def add(one: Counted, other: Counted) -> Counted:
    """Add up what was counted of some images and of others."""
    parts = [part.colors for part in (one, other) if part.colors is not None]
    colors = add_up(parts) if parts else None
    return Counted(colors, one.failures + other.failures, one.n_images + other.n_images)


def _counted(
    executor: Executor, task: Task, jobs: Iterable[Job], counted_one: Callable[[], None], *, fail_fast: bool
) -> Counted:
    """Count the colours of images; with `fail_fast` begin no more after one has failed, where that is seen."""
    ended = False

    def wanted() -> Iterator[Job]:
        for job in jobs:
            if ended:
                return
            yield job

    def on_result(part: Counted | WorkerDied | None) -> None:
        nonlocal ended
        failed = isinstance(part, WorkerDied) or (part is not None and bool(part.failures))
        ended = ended or (fail_fast and failed)
        counted_one()

    work = partial(count, task=task)
    return executor.total(work, wanted(), add, on_death=_died, on_result=on_result) or Counted(None)


def _failed(entry: Job | Failure, failure: Failure | None) -> Job | Failure:
    """Return what was planned, or why it failed to be counted, of the image as it was named."""
    return entry if failure is None else replace(failure, source=entry.source)


def _died(job: Job, died: WorkerDied) -> Counted:
    return Counted(None, (Failure(job.source, died.reason),))


def _spread(jobs: Sequence[Job], n: int) -> tuple[list[Job], list[Job]]:
    """Return `n` of the jobs, spread evenly over all, and the others."""
    n = min(n, len(jobs))
    chosen = {i * len(jobs) // n for i in range(n)}
    return [jobs[i] for i in sorted(chosen)], [job for i, job in enumerate(jobs) if i not in chosen]


def _in_the_way(planned: Plan, whole: Job) -> Failure | None:
    """Refuse the run if any of its outputs exists that may be neither replaced nor kept, or none can be written."""
    if planned.task.to is not Destination.FILES:
        return None
    check_writable(whole.folder)
    for job in (whole, *planned.jobs) if planned.task.existing is Existing.REFUSE else ():
        present = next((output for output in job.outputs if exists(output)), None)
        if present is not None:
            return refused(job, f"{present.name} exists")
    return None


def _write_whole(
    whole: Job,
    task: Task,
    fitter: Fitter,
    strategy: ApplyFits,
    done: Sequence[Done],
    failures: Sequence[Failure],
    n_fitted: int,
) -> SharedReport:
    """Write what the images have in common; the report is made anew even where other files were kept."""
    to_files = task.to is Destination.FILES
    if to_files:
        make_folder(whole.folder)
    records: list[Record] = []
    with OutputSet(overwrite=task.existing is not Existing.REFUSE) as outputs:

        def write(path: AnyPath, encode: Callable[..., bytes], *content: Any) -> None:
            data = encode(*content)
            if task.existing is Existing.KEEP and exists(path):
                refuse_another(path, data)
            else:
                outputs.stage(path, data)

        for index, k in enumerate(whole.ks):
            auto = k == AUTO
            fit = strategy.fits[strategy.choice.k if auto and strategy.choice is not None else int(k)]
            result = total_result(fit, fitter.settings, [outcome.statistics[index] for outcome in done])
            files = write_mixture(result, whole, k, write) if to_files else {}
            records.append(fit_record(result, files, auto=auto))
        images = [outcome.record for outcome in done]
        record = build_shared_record(
            whole.report, fitter, records, images, n_fitted=n_fitted, failures=failures, choice=strategy.choice
        )
        if to_files:
            outputs.stage(whole.report, to_json(record).encode("ascii"))
        written = outputs.commit()
    return SharedReport(whole.folder, record, written)
