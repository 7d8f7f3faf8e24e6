"""The main job over many pictures: do what is planned, and tell what became of each, in the order planned."""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterator
from contextlib import contextmanager
from dataclasses import replace
from functools import partial
from itertools import tee

from gmmquant.errors import PictureError
from gmmquant.outcomes import Done, Failure, Foreseen, Outcome
from gmmquant.outputs import sweep_temporaries
from gmmquant.places import Place, StandardInput, absolute
from gmmquant.plan import Destination, Existing, Job, Plan, Task
from gmmquant.process import available_memory, system_reason
from gmmquant.single import Watcher, refused, run, settle, watch_nothing
from gmmquant.storage import exists, open_place
from gmmquant.threads import n_processors
from gmmquant.workers.base import InProcess, Lost, Workers

_HERE = InProcess()


def run_all(
    planned: Plan,
    watch: Watcher = watch_nothing,
    *,
    workers: Workers = _HERE,
    fail_fast: bool = False,
) -> Generator[Outcome, None, None]:
    """Do what is planned; yield what became of each picture, in that order.

    After a failure that the rest would share, or with `fail_fast` after any, no more pictures are begun. Temporaries
    that killed runs left in an output folder are swept before the first picture of that folder, and those of this run
    when it is stopped or its workers could have died unseen. `watch` is called where the work is done in this process.
    """
    task, homes, ended, swept = planned.task, set[Place](), False, False
    # An item that is done again must not find what it wrote, so what exists is looked up here, as late as can be.
    settled = (settle(entry, task) if isinstance(entry, Job) else entry for entry in planned.entries)
    told, taken = tee(settled if workers.may_repeat else planned.entries)

    def come(outcome: Outcome | Lost) -> None:
        nonlocal ended
        hopeless = isinstance(outcome, Failure) and outcome.hopeless
        ended = ended or hopeless or (fail_fast and isinstance(outcome, (Failure, Lost)))

    def jobs() -> Iterator[Job]:
        for entry in taken:
            if isinstance(entry, Failure):
                come(entry)
            if ended:
                return
            if isinstance(entry, Job):
                if task.to is Destination.FILES and entry.home not in homes:
                    homes.add(entry.home)
                    sweep_temporaries(entry.home)
                yield from_anywhere(entry) if workers.may_repeat else entry

    work = partial(run, task=task, watch=workers.heard(watch))
    outcomes = workers.map(work, jobs(), come)
    try:
        for entry in told:
            if not isinstance(entry, Job):
                outcome: Outcome = entry
            else:
                result = next(outcomes, None)
                if result is None:
                    return
                swept = swept or isinstance(result, Lost)
                outcome = _lost(entry, result) if isinstance(result, Lost) else _as_asked(entry, result)
            yield outcome
        swept = swept or workers.may_repeat
    except BaseException:
        swept = True
        raise
    finally:
        outcomes.close()  # in good time: a signal that comes when garbage is collected would be told as a fault
        for home in homes if swept else ():
            sweep_temporaries(home)


def from_anywhere(job: Job) -> Job:
    """Name the files of a job so that it can be done by processes in other folders."""
    kept = None if job.kept is None else frozenset(map(absolute, job.kept))
    source = job.source if isinstance(job.source, StandardInput) else absolute(job.source)
    return replace(job, source=source, home=absolute(job.home), report=absolute(job.report), kept=kept)


def _as_asked(job: Job, outcome: Outcome) -> Outcome:
    """Name the files of an outcome as they were given, wherever the job was done."""
    if isinstance(outcome, Done):
        outcome = replace(outcome, written=[job.home / path.name for path in outcome.written])
    return replace(outcome, source=job.source)


def _lost(job: Job, lost: Lost) -> Failure:
    """Tell of a picture whose process died."""
    return Failure(job.source, lost.reason)


def foresee(planned: Plan) -> Iterator[Foreseen | Failure]:
    """Yield what would be read and written, without doing either."""
    for entry in planned.entries:
        yield entry if isinstance(entry, Failure) else _foreseen(entry, planned.task)
    if planned.whole is not None:
        yield _outputs_foreseen(planned.whole, planned.task)


def _foreseen(job: Job, task: Task) -> Foreseen | Failure:
    try:
        open_place(job.source, lazily=True).close()
    except PictureError as error:
        return Failure(job.source, str(error))
    except OSError as error:
        return Failure(job.source, system_reason(error))
    return _outputs_foreseen(job, task)


def _outputs_foreseen(job: Job, task: Task) -> Foreseen | Failure:
    outputs = job.outputs if task.to is Destination.FILES else []
    present = [path for path in outputs if exists(path)]
    if present and task.existing is Existing.REFUSE:
        return refused(job, f"{present[0].name} exists")
    fate = "replaced" if task.existing is Existing.REPLACE else "kept"
    fates = {path: fate if path in present else "new" for path in outputs}
    if not job.products.pictures and job.report in present:  # the report of all pictures is always made anew
        fates[job.report] = "replaced"
    return Foreseen(job.source, fates, is_picture=job.products.pictures)


@contextmanager
def workers_for(
    planned: Plan,
    n: int | None,
    idle: Callable[[], None],
    scheduler: str | None = None,
    note: Callable[[str], None] = lambda _: None,
) -> Iterator[Workers]:
    """Offer what does the work: this process for one picture, up to `n` others (one a processor) for several.

    Half of the memory that there is may be taken for large pictures. With a `scheduler`, see `cluster.cluster_at`.
    """
    n_jobs = len(planned.jobs)
    if scheduler is not None:
        from gmmquant.workers.cluster.joining import cluster_at

        with cluster_at(scheduler, n, idle=idle, note=note) as cluster:
            yield cluster
    elif n_jobs < 2:
        yield InProcess()
    else:
        from gmmquant.workers.processes import Processes

        memory = available_memory()
        memory = None if memory is None else memory // 2
        yield Processes(min(n or n_processors(), n_jobs), memory=memory, idle=idle)
