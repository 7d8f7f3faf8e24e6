"""Quantize many images: run the jobs of a plan and yield their outcomes in the order of the plan."""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterator
from contextlib import contextmanager
from dataclasses import replace
from functools import partial
from itertools import tee
from pathlib import Path

from gmmquant.pipeline.continued import check_outputs, find_earlier_shared_run, is_finished
from gmmquant.pipeline.failures import attempt
from gmmquant.pipeline.image_job import Watcher, run
from gmmquant.pipeline.plan import Destination, Existing, Job, Plan, Task
from gmmquant.pipeline.reports import reports_kept
from gmmquant.pipeline.sources import errors_of_reading
from gmmquant.report.outcome import Done, Failure, Outcome, PlannedOutcome, Skipped
from gmmquant.system.atomic import sweep_temporaries
from gmmquant.system.executors.base import Executor, WorkerDied, ignore
from gmmquant.system.executors.serial import SerialExecutor
from gmmquant.system.filesystem import examine, exists
from gmmquant.system.paths import AnyPath, StandardInput, absolute
from gmmquant.system.process import available_memory
from gmmquant.system.threads import at_most, n_processors

_SERIAL = SerialExecutor()


def run_all(
    planned: Plan, watch: Watcher = ignore, *, executor: Executor = _SERIAL, fail_fast: bool = False
) -> Generator[Outcome, None, None]:
    """Run the jobs of a plan and yield the outcome of each image, in the order of the plan.

    No more images are started after a failure that the others would share, or after any failure with `fail_fast`.
    Temporary files of killed runs are removed from an output folder before its first image, and those of killed
    processes of this run at the end if the folder is on this machine. `watch` is called only if the work is done in
    this process.
    """
    task, folders, stopped = planned.task, set[AnyPath](), False
    yielded, started = tee(executor.repeatable(planned.entries, partial(_repeatable, task)))

    def on_result(outcome: Outcome | WorkerDied) -> None:
        nonlocal stopped
        hopeless = isinstance(outcome, Failure) and outcome.hopeless
        stopped = stopped or hopeless or (fail_fast and isinstance(outcome, (Failure, WorkerDied)))

    def jobs() -> Iterator[Job]:
        for entry in started:
            if isinstance(entry, Failure):
                on_result(entry)
            if stopped:
                return
            if isinstance(entry, Job):
                if task.to is Destination.FILES and entry.folder not in folders:
                    folders.add(entry.folder)
                    sweep_temporaries(entry.folder)
                yield entry

    outcomes = executor.map(partial(run, task=task, watch=executor.worker_callback(watch)), jobs(), on_result)
    try:
        for planned_entry, entry in zip(planned.entries, yielded, strict=True):
            if not isinstance(entry, Job):
                yield entry
                continue
            result = next(outcomes, None)
            if result is None:
                return
            if isinstance(result, WorkerDied):
                result = Failure(entry.source, result.reason)
            yield _with_planned_paths(planned_entry, result)
    finally:
        outcomes.close()  # now, not when garbage is collected: processes end before temporaries are removed
        for folder in folders:
            if isinstance(folder, Path):  # temporaries of this run in a remote storage are too new to be swept
                sweep_temporaries(folder)


def _repeatable(task: Task, entry: Job | Failure) -> Job | Outcome:
    """Return a job that may be repeated anywhere, or its outcome if there is nothing to do.

    Its outputs are looked up: the second run of a job must not take the files of the first one for those of an earlier
    run.
    """
    checked = attempt(entry, partial(check_outputs, entry, task)) if isinstance(entry, Job) else entry
    return with_absolute_paths(checked) if isinstance(checked, Job) else checked


def with_absolute_paths(job: Job) -> Job:
    """Return the job for a process with another working folder."""
    kept = None if job.kept is None else frozenset(map(absolute, job.kept))
    source = job.source if isinstance(job.source, StandardInput) else absolute(job.source)
    return replace(job, source=source, folder=absolute(job.folder), report=absolute(job.report), kept=kept)


def _with_planned_paths(job: Job | Failure, outcome: Outcome) -> Outcome:
    """Return the outcome with the paths of the planned job, which may be relative."""
    if isinstance(outcome, Done) and isinstance(job, Job):
        outcome = outcome._replace(written=[job.folder / path.name for path in outcome.written])
    return outcome._replace(source=job.source)


def planned_outcomes(planned: Plan, sample_size: int | None = None) -> Iterator[PlannedOutcome | Failure]:
    """Yield what a run would read and write, without doing either; `sample_size` as in `shared_palette.run_shared`."""
    shared, finished = planned.shared_job, False
    if shared is not None:
        found = attempt(shared, partial(find_earlier_shared_run, planned, sample_size))
        if isinstance(found, Failure):
            yield found
            return
        finished = found is not None and is_finished(planned, found)
    refused = False
    for entry in planned.entries if shared is None else [*planned.entries, shared]:
        if isinstance(entry, Failure):
            yield entry
        elif finished:
            yield PlannedOutcome(entry.source, dict.fromkeys(entry.outputs, "kept"), is_read=False)
        elif not (refused and entry is shared):  # if an output of an image exists, nothing is done
            outcome = attempt(entry, partial(_planned_outcome, entry, planned.task))
            refused = refused or (isinstance(outcome, Failure) and outcome.outputs_exist)
            yield outcome


def _planned_outcome(job: Job, task: Task) -> PlannedOutcome | Failure:
    checked = check_outputs(job, task)
    if isinstance(checked, Failure):
        return checked
    if isinstance(checked, Job) and not job.is_shared_report:
        with errors_of_reading():
            examine(job.source, ignore)
    outputs = job.outputs if task.to is Destination.FILES else []
    kept = set(outputs) if isinstance(checked, Skipped) else set(checked.kept or ())
    continues = isinstance(checked, Job) and (checked.earlier_digest is not None or job.is_shared_report)
    if isinstance(checked, Job) and checked.earlier_digest is not None:
        kept |= reports_kept(checked)
    actions = {path: "kept" if path in kept else "replaced" if exists(path) else "new" for path in outputs}
    if continues and task.existing is not Existing.REPLACE and actions.get(job.report) == "replaced":
        actions[job.report] = "extended"
    return PlannedOutcome(job.source, actions, is_read=isinstance(checked, Job) and not job.is_shared_report)


@contextmanager
def executor_for(
    planned: Plan,
    n: int | None,
    idle: Callable[[], None],
    scheduler: str | None = None,
    note: Callable[[str], None] = ignore,
) -> Iterator[Executor]:
    """Provide the executor: this process for one image, up to `n` worker processes for several; None: one a processor.

    This process uses at most `n` processors, too. Large images may take half of the available memory together. With a
    `scheduler`, see `connect.dask_executor`.
    """
    n_jobs = len(planned.jobs)
    if scheduler is not None:
        from gmmquant.system.executors.dask.connect import dask_executor

        with dask_executor(scheduler, n, idle=idle, note=note) as cluster:
            yield cluster
        return
    with at_most(n):
        if n_jobs < 2:
            yield SerialExecutor()
        else:
            from gmmquant.system.executors.processes import ProcessExecutor

            memory = available_memory()
            yield ProcessExecutor(min(n or n_processors(), n_jobs), memory=memory and memory // 2, idle=idle)
