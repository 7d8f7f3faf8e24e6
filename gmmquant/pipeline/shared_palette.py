"""The main job over images that share one mixture: count the colours of all, fit, and recolour each by the fits.

The first pass over the images adds up their histograms: the sum is the histogram of all pixels, so the fit to it is the
fit to all images side by side. The second pass writes the images, and the shared figures are sums of its figures.
"""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterable, Iterator, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Any

from gmmquant.colors.color_sum import Colors, add_up
from gmmquant.errors import ParameterError
from gmmquant.pipeline.batch import find_earlier_shared_run, is_finished, run_all, with_absolute_paths
from gmmquant.pipeline.earlier_run import REMEDY, EarlierRun, digest_of_all, refuse_other_content, settings_of
from gmmquant.pipeline.exports import write_mixture
from gmmquant.pipeline.image_job import attempt, flattened, read, refuse_existing
from gmmquant.pipeline.plan import Destination, Existing, Job, Plan, Task
from gmmquant.pipeline.strategy import ApplyFits, fit_shared
from gmmquant.quantization.fitter import Fitter
from gmmquant.report.outcome import Done, Failure, Outcome, SharedReport, Skipped
from gmmquant.report.record import Record, fit_record, to_json
from gmmquant.report.shared_record import build_shared_record, total_result
from gmmquant.settings import AUTO
from gmmquant.system.atomic import OutputSet
from gmmquant.system.executors.base import Executor, WorkerDied
from gmmquant.system.filesystem import check_writable, exists, make_folder
from gmmquant.system.paths import AnyPath, identity


@dataclass(frozen=True)
class Counted:
    """The colours of some images, the SHA-256 of each by its `identity`, and the images that could not be read."""

    colors: Colors | None = None
    digests: Mapping[str, str] = field(default_factory=dict)
    failures: tuple[Failure, ...] = ()


def run_shared(
    planned: Plan,
    executor: Executor,
    counted_one: Callable[[], None],
    idle: Callable[[], None],
    *,
    sample_size: int | None = None,
    fail_fast: bool = False,
) -> Generator[Outcome, None, None]:
    """Fit one mixture for each k to all images and recolour them; yield the outcomes, that of the shared report last.

    Parameters
    ----------
    planned : Plan
        With a `shared_job`.
    executor : Executor
    counted_one : callable
        Called for each image whose colours have been counted.
    idle : callable
        Called now and then while mixtures are fitted.
    sample_size : int or None
        Number of images to fit to, spread evenly over all; None: all.
    fail_fast : bool
        Start no more images after one has failed.
    """
    task, shared = planned.task, planned.shared_job
    assert shared is not None  # noqa: S101
    earlier = attempt(shared, lambda: find_earlier_shared_run(planned, sample_size))
    if isinstance(earlier, Failure):
        yield earlier
        return
    if earlier is not None and is_finished(planned):
        yield from (Skipped(entry.source) if isinstance(entry, Job) else entry for entry in planned.entries)
        return
    refusal = attempt(shared, lambda: _refuse_outputs(planned, shared))
    if refusal is not None:
        yield refusal
        return
    if earlier is not None:
        planned = replace(planned, entries=[_with_digest(entry, earlier) for entry in planned.entries])
    counted = Counted()
    if not (fail_fast and len(planned.jobs) < len(planned.entries)):
        counted = _count_all(planned, executor, counted_one, sample_size=sample_size, fail_fast=fail_fast)
    failed = {identity(failure.source): failure for failure in counted.failures}
    entries = [_or_failure(entry, failed.get(identity(entry.source))) for entry in planned.entries]
    failures = [entry for entry in entries if isinstance(entry, Failure)]
    if counted.colors is None or (failures and fail_fast):
        yield from failures
        return
    if earlier is not None:
        refusal = attempt(shared, partial(_refuse_other_sources, earlier, planned.jobs, counted.digests))
        if refusal is not None:
            yield refusal
            return
    fitter = Fitter(counted.colors, task.settings)
    strategy = fit_shared(fitter, task.ks, lambda *_: idle())
    done: list[Done] = []
    failures = []
    recoloring = Plan(entries, replace(task, strategy=strategy))
    with closing(run_all(recoloring, executor=executor, fail_fast=fail_fast)) as outcomes:
        for outcome in outcomes:
            if isinstance(outcome, Done):
                done.append(outcome)
            if isinstance(outcome, Failure):
                failures.append(outcome)
            yield outcome
    # If images failed, an existing report stays, because it may hold more of them.
    if done and not (failures and task.existing is Existing.KEEP and exists(shared.report)):
        build = partial(
            build_shared_record,
            shared.report,
            fitter,
            images=[outcome.record for outcome in done],
            n_fitted=len(counted.digests),
            failures=failures,
            choice=strategy.choice,
            sample_size=sample_size,
            digests={
                "sources": digest_of_all(counted.digests.values()),
                "settings": settings_of(task, shared.report)[1],
            },
        )
        compares = earlier is None
        yield attempt(shared, lambda: _write_shared(shared, task, fitter, strategy, done, build, compares=compares))


def _with_digest(entry: Job | Failure, earlier: EarlierRun) -> Job | Failure:
    """Return a job with the digest that the earlier run recorded for its image."""
    return replace(entry, recorded=earlier.digest_of_image(entry.source)) if isinstance(entry, Job) else entry


def _refuse_other_sources(earlier: EarlierRun, jobs: Sequence[Job], digests: Mapping[str, str]) -> None:
    """Refuse to go on with a run that was fitted to other images; the message names one that changed, if any did."""
    if digest_of_all(digests.values()) == earlier.digests["sources"]:
        return
    for job in jobs:
        digest = digests.get(identity(job.source))
        if digest is not None and job.recorded is not None:
            earlier.refuse_changed(job.source, job.recorded, digest)
    raise ParameterError(
        f"{earlier.report.name} is of a run fitted to {earlier.n_fitted} images, not to these {len(digests)}; give the "
        f"same images, {REMEDY}"
    )


def _count_all(
    planned: Plan, executor: Executor, counted_one: Callable[[], None], *, sample_size: int | None, fail_fast: bool
) -> Counted:
    """Count the colours of all images that can be read, or of `sample_size` of them."""
    counted, left = Counted(), planned.jobs
    while left and (sample_size is None or len(counted.digests) < sample_size) and not (fail_fast and counted.failures):
        # Other images replace those of a sample that cannot be read.
        jobs, left = _spread(left, len(left) if sample_size is None else sample_size - len(counted.digests))
        repeatable = executor.repeatable(jobs, with_absolute_paths)
        counted = add(counted, _counted(executor, planned.task, repeatable, counted_one, fail_fast=fail_fast))
    return counted


def count(job: Job, admit: Callable[[int], None], *, task: Task) -> Counted:
    """Count the colours of an image."""

    def counted() -> Counted:
        image, digest = read(job.source, task.max_pixels, admit)
        return Counted(flattened(image).histogram(), {identity(job.source): digest})

    result = attempt(job, counted)
    return Counted(failures=(result,)) if isinstance(result, Failure) else result


def add(one: Counted, other: Counted) -> Counted:
    """Add up the colours of some images and of others."""
    parts = [part.colors for part in (one, other) if part.colors is not None]
    colors = add_up(parts) if parts else None
    return Counted(colors, {**one.digests, **other.digests}, one.failures + other.failures)


def _counted(
    executor: Executor, task: Task, jobs: Iterable[Job], counted_one: Callable[[], None], *, fail_fast: bool
) -> Counted:
    """Count the colours of images; with `fail_fast`, start no more once the result of one is a failure."""
    stopped = False

    def wanted() -> Iterator[Job]:
        for job in jobs:
            if stopped:
                return
            yield job

    def on_result(part: Counted | WorkerDied | None) -> None:
        nonlocal stopped
        failed = isinstance(part, WorkerDied) or (part is not None and bool(part.failures))
        stopped = stopped or (fail_fast and failed)
        counted_one()

    work = partial(count, task=task)
    return executor.total(work, wanted(), add, on_death=_died, on_result=on_result) or Counted()


def _or_failure(entry: Job | Failure, failure: Failure | None) -> Job | Failure:
    """Return the entry, or the failure of its count under the path that was planned."""
    return entry if failure is None else replace(failure, source=entry.source)


def _died(job: Job, died: WorkerDied) -> Counted:
    return Counted(failures=(Failure(job.source, died.reason),))


def _spread(jobs: Sequence[Job], n: int) -> tuple[list[Job], list[Job]]:
    """Return `n` of the jobs, evenly spread, and the others."""
    n = min(n, len(jobs))
    chosen = {i * len(jobs) // n for i in range(n)}
    return [jobs[i] for i in sorted(chosen)], [job for i, job in enumerate(jobs) if i not in chosen]


def _refuse_outputs(planned: Plan, shared: Job) -> Failure | None:
    """Return a failure if an output exists that may be neither replaced nor kept, or if none can be written."""
    if planned.task.to is not Destination.FILES:
        return None
    check_writable(shared.folder)
    for job in (shared, *planned.jobs) if planned.task.existing is Existing.REFUSE else ():
        present = next((output for output in job.outputs if exists(output)), None)
        if present is not None:
            return refuse_existing(job, f"{present.name} exists")
    return None


def _write_shared(
    shared: Job,
    task: Task,
    fitter: Fitter,
    strategy: ApplyFits,
    done: Sequence[Done],
    build: Callable[..., Record],
    *,
    compares: bool,
) -> SharedReport:
    """Write the files of the shared mixture, and the report, which is always written again.

    `build` makes the record from the records of the fits. If it `compares`, an existing file must have the content that
    this run would write.
    """
    to_files = task.to is Destination.FILES
    if to_files:
        make_folder(shared.folder)
    records: list[Record] = []
    with OutputSet(overwrite=task.existing is not Existing.REFUSE) as outputs:

        def write(path: AnyPath, encode: Callable[..., bytes], *content: Any) -> None:
            if not (task.existing is Existing.KEEP and exists(path)):
                outputs.stage(path, encode(*content))
            elif compares:
                refuse_other_content(path, encode(*content))

        for index, k in enumerate(shared.ks):
            auto = k == AUTO
            fit = strategy.fits[strategy.choice.k if auto and strategy.choice is not None else int(k)]
            result = total_result(fit, fitter.settings, [outcome.statistics[index] for outcome in done])
            files = write_mixture(result, shared, k, write) if to_files else {}
            records.append(fit_record(result, files, auto=auto))
        record = build(fits=records)
        if to_files:
            outputs.stage(shared.report, to_json(record).encode("ascii"))
        written = outputs.commit()
    return SharedReport(shared.folder, record, written)
