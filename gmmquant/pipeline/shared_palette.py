"""Quantize images that share one mixture: count the colours of all, fit, and recolour each image by the fits.

The first pass adds up the histograms of the images. The sum is the histogram of all pixels, so the fit to it is the fit
to all images side by side. The second pass writes the images, and the shared figures are sums of their figures.
"""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterable, Iterator, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path

from gmmquant.colors.color_sum import Colors, add_up
from gmmquant.colors.histogram import ColorHistogram
from gmmquant.models.em import Watcher
from gmmquant.models.selection import BoundedChoice, Choice
from gmmquant.pipeline.batch import run_all, with_absolute_paths
from gmmquant.pipeline.continued import (
    check_outputs,
    continued_job,
    extended_shared_record,
    find_earlier_shared_run,
    is_finished,
    is_kept,
    lost_fits,
    refuse_other_sources,
)
from gmmquant.pipeline.earlier_run import EarlierRun, digest_of_all, files_in, settings_of
from gmmquant.pipeline.exports import FileWriter, write_mixture
from gmmquant.pipeline.failures import attempt
from gmmquant.pipeline.image_job import number_of_colors, read, recoloring_is_chosen
from gmmquant.pipeline.names import shared_image_name
from gmmquant.pipeline.plan import Destination, Existing, Job, Plan, Task
from gmmquant.pipeline.strategy import FitEach, Strategy
from gmmquant.quantization.fit import Fit
from gmmquant.quantization.fitter import Fitter
from gmmquant.quantization.quantizer import Quantizer, Receiver
from gmmquant.quantization.result import QuantizedImage, RecoloredFit
from gmmquant.report.notes import fit_notes
from gmmquant.report.outcome import Done, Failure, Outcome, SharedReport, Skipped
from gmmquant.report.record import Record, fit_record, to_json
from gmmquant.report.shared_record import build_shared_record, total_result
from gmmquant.system.atomic import OutputSet, writing
from gmmquant.system.executors.base import Executor, WorkerDied, ignore
from gmmquant.system.filesystem import check_writable, exists, make_folder
from gmmquant.system.paths import as_text, identity, relative


@dataclass(frozen=True)
class ApplyFits(Strategy):
    """Recolour by fits to many images together: the fits by k, and the choices of k for "auto" and "auto:DE"."""

    fits: Mapping[int, Fit]
    choices: Mapping[str, Choice | BoundedChoice] = field(default_factory=dict)

    def choose_k(self, quantizer: Quantizer, asked: str) -> Choice | BoundedChoice:
        """Return the choice of k for all images together."""
        return self.choices[asked]

    def recolor(self, quantizer: Quantizer, k: int, watch: Watcher, receive: Receiver) -> QuantizedImage:
        """Recolour by the fit for `k`; the seconds of the result are those spent on this image."""
        return quantizer.recolor(replace(self.fits[k], seconds=dict.fromkeys(self.fits[k].seconds, 0.0)), receive)


@dataclass(frozen=True)
class Counted:
    """The colours of some images, the SHA-256 of each by its `identity`, and the images that could not be read."""

    colors: Colors | None = None
    digests: Mapping[str, str] = field(default_factory=dict)
    failures: tuple[Failure, ...] = ()


def run_shared(
    planned: Plan,
    executor: Executor,
    on_counted: Callable[[], None],
    idle: Callable[[], None],
    *,
    sample_size: int | None = None,
    fail_fast: bool = False,
) -> Generator[Outcome, None, None]:
    """Fit one mixture for each k to all images and recolour them; yield the outcomes, that of the shared report last.

    The fits are to `sample_size` images, spread evenly over all, or to all if it is None. `on_counted()` is called when
    the colours of an image have been counted, `idle()` from time to time during the fits. With `fail_fast`, no more
    images are started after a failure.
    """
    task, shared = planned.task, planned.shared_job
    assert shared is not None  # noqa: S101
    earlier = attempt(shared, lambda: find_earlier_shared_run(planned, sample_size))
    if isinstance(earlier, Failure):
        yield earlier
        return
    if earlier is not None and is_finished(planned, earlier):
        yield from (Skipped(entry.source) if isinstance(entry, Job) else entry for entry in planned.entries)
        yield SharedReport(shared.folder, earlier.record, [], kept=True)
        return
    refusal = attempt(shared, lambda: _refuse_outputs(planned, shared))
    if refusal is not None:
        yield refusal
        return

    counted = Counted()
    if not (fail_fast and len(planned.jobs) < len(planned.entries)):
        counted = _count_all(planned, executor, on_counted, sample_size=sample_size, fail_fast=fail_fast)
    entries = _with_failures(planned.entries, counted.failures)
    failures = [entry for entry in entries if isinstance(entry, Failure)]
    if not counted.digests or (failures and fail_fast):
        yield from failures
        return
    if earlier is not None:
        refusal = attempt(shared, partial(refuse_other_sources, earlier, planned.jobs, counted.digests))
        if refusal is not None and task.existing is not Existing.REPLACE:
            yield refusal
            return
        earlier = earlier if refusal is None else None
    if earlier is not None:
        entries = [continued_job(entry, earlier) if isinstance(entry, Job) else entry for entry in entries]

    colors = ColorHistogram.empty() if counted.colors is None else counted.colors
    task = task._replace(settings=task.strategy.settings(task.settings))
    fitter = Fitter(colors, task.settings)
    strategy = fit_shared(fitter, task.ks, idle, task.strategy)
    outcomes: list[Outcome] = []
    unknown: list[Job | Failure] = [e for e in entries if isinstance(e, Job) and _has_unknown(e, task)]
    compared = {id(entry) for entry in unknown}
    for part in filter(None, (unknown, [entry for entry in entries if id(entry) not in compared])):
        recoloring = Plan(part, task._replace(strategy=strategy))
        with closing(run_all(recoloring, executor=executor, fail_fast=fail_fast)) as running:
            for outcome in running:
                yield outcome
                if isinstance(outcome, (Done, Skipped)):
                    outcome = outcome._replace(illustration=None)  # of up to 100 kB, for the consumer only
                outcomes.append(outcome)
        if part is unknown and any(isinstance(outcome, Failure) for outcome in outcomes):
            return  # no images of this mixture are put among those of another
    positions = {id(entry.source): position for position, entry in enumerate(entries)}
    outcomes.sort(key=lambda outcome: positions[id(outcome.source)])
    done = [outcome for outcome in outcomes if isinstance(outcome, Done)]
    failures = [outcome for outcome in outcomes if isinstance(outcome, Failure)]

    # If images failed, a report that they are in is kept.
    known = set() if earlier is None else {image["path"] for image in earlier.record["images"]}
    if done and known <= {outcome.record["path"] for outcome in done}:
        to_files, folder = task.to is Destination.FILES, shared.report.parent
        paths = [relative(failure.source, folder) if to_files else as_text(failure.source) for failure in failures]
        build = partial(
            build_shared_record,
            shared.report,
            fitter,
            extra_inputs=task.strategy.inputs,
            images=[outcome.record for outcome in done],
            n_fitted=len(counted.digests),
            failed=[(path, failure.reason) for path, failure in zip(paths, failures, strict=True)],
            choices=strategy.choices,
            sample_size=sample_size,
            digests={
                "sources": digest_of_all(counted.digests.values()),
                "settings": settings_of(task, shared.report)[1],
            },
        )
        note = partial(
            fit_notes,
            colors=fitter.colors,
            settings=task.settings,
            choices=strategy.choices,
            recoloring_chosen=recoloring_is_chosen(task),
        )
        yield attempt(shared, lambda: _write_shared(shared, task, strategy, done, note, build, earlier))


def _refuse_outputs(planned: Plan, shared: Job) -> Failure | None:
    """Return a failure if an output exists that may be neither replaced nor kept; an OSError if none can be written."""
    if planned.task.to is not Destination.FILES:
        return None
    check_writable(shared.folder)
    jobs = (shared, *planned.jobs) if planned.task.existing is Existing.REFUSE else ()
    checked = (check_outputs(job, planned.task) for job in jobs)
    return next((refusal for refusal in checked if isinstance(refusal, Failure)), None)


def _has_unknown(job: Job, task: Task) -> bool:
    """Return whether a local image of a job exists that is kept, but not listed in a report, so that it is compared."""
    images = (job.files(k)["image"] for k in job.ks)
    is_unknown = (isinstance(path, Path) and not job.is_listed(path) and exists(path) for path in images)
    return task.to is Destination.FILES and task.existing is Existing.KEEP and any(is_unknown)


def _with_failures(entries: Sequence[Job | Failure], failures: Iterable[Failure]) -> list[Job | Failure]:
    """Return the entries of a plan, with `failures` in place of their jobs and under the planned paths."""
    failed = {identity(failure.source): failure for failure in failures}
    found = [(entry, failed.get(identity(entry.source))) for entry in entries]
    return [entry if failure is None else failure._replace(source=entry.source) for entry, failure in found]


def _count_all(
    planned: Plan, executor: Executor, on_counted: Callable[[], None], *, sample_size: int | None, fail_fast: bool
) -> Counted:
    """Count the colours of all images that can be read, or of `sample_size` of them."""
    counted, left = Counted(), planned.jobs
    while left and not (fail_fast and counted.failures):
        # Images of the sample that cannot be read are replaced by others, and a sample without a visible pixel grows.
        missing = len(left) if sample_size is None else sample_size - len(counted.digests)
        if missing <= 0 and counted.colors is not None:
            break
        jobs, left = _spread(left, max(missing, 1))
        repeatable = executor.repeatable(jobs, with_absolute_paths)
        counted = add(counted, _count_jobs(executor, planned.task, repeatable, on_counted, fail_fast=fail_fast))
    return counted


def _spread(jobs: Sequence[Job], n: int) -> tuple[list[Job], list[Job]]:
    """Return `n` of the jobs, evenly spread, and the others."""
    n = min(n, len(jobs))
    chosen = {i * len(jobs) // n for i in range(n)}
    return [jobs[i] for i in sorted(chosen)], [job for i, job in enumerate(jobs) if i not in chosen]


def _count_jobs(
    executor: Executor, task: Task, jobs: Iterable[Job], on_counted: Callable[[], None], *, fail_fast: bool
) -> Counted:
    """Count the colours of images; with `fail_fast`, start no more after a failure."""
    stopped = False

    def until_stopped() -> Iterator[Job]:
        for job in jobs:
            if stopped:
                return
            yield job

    def on_result(part: Counted | WorkerDied | None) -> None:
        nonlocal stopped
        failed = isinstance(part, WorkerDied) or (part is not None and bool(part.failures))
        stopped = stopped or (fail_fast and failed)
        on_counted()

    def on_death(job: Job, died: WorkerDied) -> Counted:
        return Counted(failures=(Failure(job.source, died.reason),))

    work = partial(count, task=task)
    return executor.total(work, until_stopped(), add, on_death=on_death, on_result=on_result) or Counted()


def count(job: Job, admit: Callable[[int], None], *, task: Task) -> Counted:
    """Count the colours of an image, if any pixel is visible."""

    def work() -> Counted:
        image = read(job.source, task, admit)
        histogram = image.flat.histogram() if image.flat.n_visible else None
        return Counted(histogram, {identity(job.source): image.digest})

    result = attempt(job, work)
    return Counted(failures=(result,)) if isinstance(result, Failure) else result


def add(one: Counted, other: Counted) -> Counted:
    """Return the colours, digests and failures of both."""
    parts = [part.colors for part in (one, other) if part.colors is not None]
    colors = add_up(parts) if parts else None
    return Counted(colors, {**one.digests, **other.digests}, one.failures + other.failures)


def fit_shared(
    fitter: Fitter,
    ks: Sequence[int | str],
    idle: Callable[[], None] = ignore,
    strategy: Strategy = FitEach(),  # noqa: B008  immutable
) -> ApplyFits:
    """Fit one mixture for each of `ks`, numbers or "auto" and "auto:DE", by a strategy.

    `idle()` is called after iterations of EM.
    """
    choices = {k: fitter.choose_k(k) for k in ks if isinstance(k, str)}
    numbers = dict.fromkeys(number_of_colors(k, choices) for k in ks)
    with strategy.fits_ahead(fitter, numbers):
        fits = {k: strategy.fit(fitter, k, lambda *_: idle()) for k in numbers}
    return ApplyFits(fits, choices, keeps_order=True, names=strategy.names)


def _write_shared(
    shared: Job,
    task: Task,
    strategy: ApplyFits,
    done: list[Done],
    note: Callable[[Sequence[RecoloredFit]], list[str]],
    build: Callable[..., Record],
    earlier: EarlierRun | None,
) -> SharedReport:
    """Write the files of the shared mixture, and the report, with the fits of an `earlier` run.

    `note(fits)` returns the notes on the fits, `build(fits=..., notes=...)` the record.
    """
    to_files = task.to is Destination.FILES
    if to_files:
        make_folder(shared.folder)
    records: list[Record] = []
    results: list[RecoloredFit] = []
    overwrite = task.existing is not Existing.REFUSE
    with OutputSet(overwrite=overwrite) as outputs, writing(in_background=False) as this_thread:
        fits = [] if earlier is None else earlier.record["fits"]
        shared = replace(shared, listed=frozenset(name for fit in fits for name in files_in(fit["files"])))
        for index, k in enumerate(shared.ks):
            writer = FileWriter(this_thread, outputs, partial(is_kept, shared, task), shared.is_listed)
            fit = strategy.fits[number_of_colors(k, strategy.choices)]
            result = total_result(fit, task.settings, [outcome.statistics[index] for outcome in done])
            files: Record = {}
            if to_files:
                files["images"] = shared_image_name(task.name, k, task.products.format)
                files |= write_mixture(result, shared, k, writer, task.strategy.names)
            results.append(result)
            records.append(fit_record(result, files, asked=k))
        notes = note(results)
        record = build(fits=records, notes=notes)
        lost = ""  # true of this run only, so not in the record
        record["settings"]["keep_metadata"] = task.products.keep_metadata
        if earlier is not None:
            record = extended_shared_record(earlier, record, replaces=task.existing is Existing.REPLACE)
            notes += [note for note in record["notes"] if note not in (*notes, *earlier.record["notes"])]
        elif to_files and shared.reports:
            lost = lost_fits(shared)
        if to_files and shared.reports:
            replaced = None if earlier is None or overwrite else earlier.data
            outputs.stage(shared.report, to_json(record).encode("ascii"), replaced=replaced)
        written = outputs.commit()
    return SharedReport(shared.folder, record, written, [*notes, *filter(None, [lost])])
