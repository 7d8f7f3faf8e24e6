"""The main job over many images: do what is planned, and tell what became of each, in the order planned."""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterator
from contextlib import contextmanager
from dataclasses import asdict, replace
from functools import partial
from itertools import tee

from gmmquant.pipeline.image_job import (
    Watcher,
    guarded,
    read_json,
    refuse_other_settings,
    refused,
    run,
    settle,
    watch_nothing,
)
from gmmquant.pipeline.plan import Destination, Existing, Job, Plan, Task
from gmmquant.report.outcome import Done, Failure, Outcome, PlannedOutcome, Skipped
from gmmquant.system.atomic import sweep_temporaries
from gmmquant.system.executors.base import Executor, WorkerDied
from gmmquant.system.executors.serial import SerialExecutor
from gmmquant.system.filesystem import check_writable, exists, open_path
from gmmquant.system.paths import AnyPath, StandardInput, absolute, relative
from gmmquant.system.process import available_memory, system_reason
from gmmquant.system.threads import n_processors

_SERIAL = SerialExecutor()


def run_all(
    planned: Plan,
    watch: Watcher = watch_nothing,
    *,
    executor: Executor = _SERIAL,
    fail_fast: bool = False,
) -> Generator[Outcome, None, None]:
    """Do what is planned; yield what became of each image, in that order.

    After a failure that the rest would share, or with `fail_fast` after any, no more images are begun. Temporaries
    that killed runs left in an output folder are swept before the first image of that folder, and those of this run
    when it is stopped or its workers could have died unseen. `watch` is called where the work is done in this process.
    """
    task, folders, ended, swept = planned.task, set[AnyPath](), False, executor.may_run_twice
    # An item that is done again must not find what it wrote, so what exists is looked up here, as late as can be.
    settled = (_settled(entry, task) if isinstance(entry, Job) else entry for entry in planned.entries)
    told, taken = tee(settled if executor.may_run_twice else planned.entries)

    def on_result(outcome: Outcome | WorkerDied) -> None:
        nonlocal ended
        hopeless = isinstance(outcome, Failure) and outcome.hopeless
        ended = ended or hopeless or (fail_fast and isinstance(outcome, (Failure, WorkerDied)))

    def jobs() -> Iterator[Job]:
        for entry in taken:
            if isinstance(entry, Failure):
                on_result(entry)
            if ended:
                return
            if isinstance(entry, Job):
                if task.to is Destination.FILES and entry.folder not in folders:
                    folders.add(entry.folder)
                    sweep_temporaries(entry.folder)
                yield portable(entry, executor)

    work = partial(run, task=task, watch=executor.worker_callback(watch))
    outcomes = executor.map(work, jobs(), on_result)
    try:
        for entry in told:
            if not isinstance(entry, Job):
                outcome: Outcome = entry
            else:
                result = next(outcomes, None)
                if result is None:
                    return
                swept = swept or isinstance(result, WorkerDied)
                outcome = _died(entry, result) if isinstance(result, WorkerDied) else _as_asked(entry, result)
            yield outcome
    except BaseException:
        swept = True
        raise
    finally:
        outcomes.close()  # now, and not when garbage is collected: processes end before temporaries are swept
        for folder in folders if swept else ():
            sweep_temporaries(folder)


def _settled(job: Job, task: Task) -> Job | Skipped | Failure:
    return guarded(job, lambda: settle(job, task))


def portable(job: Job, executor: Executor) -> Job:
    """Return the job, with absolute paths if the executor may run it in processes with other working folders."""
    if not executor.may_run_twice:
        return job
    kept = None if job.kept is None else frozenset(map(absolute, job.kept))
    source = job.source if isinstance(job.source, StandardInput) else absolute(job.source)
    return replace(job, source=source, folder=absolute(job.folder), report=absolute(job.report), kept=kept)


def _as_asked(job: Job, outcome: Outcome) -> Outcome:
    """Name the files of an outcome as they were given, wherever the job was done."""
    if isinstance(outcome, Done):
        outcome = replace(outcome, written=[job.folder / path.name for path in outcome.written])
    return replace(outcome, source=job.source)


def _died(job: Job, died: WorkerDied) -> Failure:
    """Tell of an image whose process died."""
    return Failure(job.source, died.reason)


def planned_outcomes(planned: Plan, sample_size: int | None = None) -> Iterator[PlannedOutcome | Failure]:
    """Yield what would be read and written, without doing either; `sample_size` as in `collection.run_shared`."""
    finished = is_finished(planned, sample_size)
    jobs = planned.entries if planned.shared_job is None else [*planned.entries, planned.shared_job]
    for entry in jobs:
        yield entry if isinstance(entry, Failure) else guarded(entry, partial(_foreseen, entry, planned.task, finished))


def is_finished(planned: Plan, sample_size: int | None) -> bool:
    """Tell whether images that share a mixture are left as they are.

    That is so where all that would be made exists and is kept, and the report tells of the same options and images.
    """
    task, whole = planned.task, planned.shared_job
    keeps = task.to is Destination.FILES and task.existing is Existing.KEEP
    if whole is None or not keeps or task.products.layers:
        return False
    return _tells_of(whole.report, planned, sample_size) and all(
        exists(output) for job in (whole, *planned.jobs) for output in job.outputs
    )


def _tells_of(report: AnyPath, planned: Plan, sample_size: int | None) -> bool:
    """Tell whether a report of images that share a mixture is of such options and images as are planned."""
    asked = _asked(planned.task)
    try:
        record = read_json(report)
        images = {image["path"] for image in [*record["images"], *record["failed"]]}
        told = {name: record["settings"][name] for name in asked}
        n_read, n_fitted = len(record["images"]), record["fitted"]["images"]
    except (OSError, ValueError, TypeError, KeyError, RecursionError):
        return False
    # Of those that failed, some may have been counted, and failed later.
    fewest, most = (n if sample_size is None else min(n, sample_size) for n in (n_read, len(planned.entries)))
    same = images == {relative(entry.source, report.parent) for entry in planned.entries}
    return told == asked and same and n_fitted in range(fewest, most + 1)


def _asked(task: Task) -> dict[str, object]:
    """Return the settings of a shared report that are known before any image is read."""
    return {**asdict(task.settings), "recolor": task.settings.recoloring, "k": list(task.ks)}


def _foreseen(job: Job, task: Task, finished: bool) -> PlannedOutcome | Failure:
    if not job.is_shared_report:
        try:
            open_path(job.source, lazily=True).close()
        except OSError as error:
            return Failure(job.source, system_reason(error))
    outputs = job.outputs if task.to is Destination.FILES else []
    present = [path for path in outputs if exists(path)]
    if present and task.existing is Existing.REFUSE:
        return refused(job, f"{present[0].name} exists")
    fate = "replaced" if task.existing is Existing.REPLACE else "kept"
    fates = {path: fate if path in present else "new" for path in outputs}
    if job.is_shared_report and job.report in present and not finished:
        fates[job.report] = "replaced"  # it is made anew
    if task.existing is Existing.KEEP and job.is_shared_report and not finished:
        refuse_other_settings(job.report, _asked(task))
    if {"new", "replaced"} & set(fates.values()):
        check_writable(job.folder)
    to_do = not finished if task.shared else set(fates.values()) != {"kept"}
    return PlannedOutcome(job.source, fates, is_read=to_do and not job.is_shared_report)


@contextmanager
def executor_for(
    planned: Plan,
    n: int | None,
    idle: Callable[[], None],
    scheduler: str | None = None,
    note: Callable[[str], None] = lambda _: None,
) -> Iterator[Executor]:
    """Offer what does the work: this process for one image, up to `n` others (one a processor) for several.

    Half of the memory that there is may be taken for large images. With a `scheduler`, see `connect.dask_executor`.
    """
    n_jobs = len(planned.jobs)
    if scheduler is not None:
        from gmmquant.system.executors.dask.connect import dask_executor

        with dask_executor(scheduler, n, idle=idle, note=note) as cluster:
            yield cluster
    elif n_jobs < 2:
        yield SerialExecutor()
    else:
        from gmmquant.system.executors.processes import ProcessExecutor

        memory = available_memory()
        memory = None if memory is None else memory // 2
        yield ProcessExecutor(min(n or n_processors(), n_jobs), memory=memory, idle=idle)
