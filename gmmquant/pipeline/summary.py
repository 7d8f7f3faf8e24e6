"""Files about all images of a run: tables of figures. They are written at the end, from the records of the images."""

from __future__ import annotations

from collections.abc import Generator, Iterable, Iterator
from contextlib import closing
from typing import Protocol

from gmmquant.errors import GmmquantError, OutputError
from gmmquant.pipeline.earlier_run import read_earlier_run
from gmmquant.pipeline.plan import Destination, Existing, Job, Plan
from gmmquant.report.entry import Entry, entries_of
from gmmquant.report.outcome import Done, Failure, Outcome, SharedReport, Skipped, Summary
from gmmquant.report.record import Record
from gmmquant.system.atomic import OutputSet
from gmmquant.system.filesystem import exists, make_folder
from gmmquant.system.paths import AnyPath, common_folder, relative
from gmmquant.system.process import system_reason


class Collector(Protocol):
    """Collects the entries of images, and returns the files about them by content."""

    def add(self, entry: Entry) -> None:
        """Add an image."""

    def finish(self) -> dict[str, bytes]:
        """Return the files."""


def summary_files(planned: Plan) -> dict[str, AnyPath]:
    """Return the files about all images of a plan by content, such as "csv"; those of one image have its name."""
    task = planned.task
    if task.to is not Destination.FILES or not planned.all_jobs:
        return {}
    jobs = planned.all_jobs
    about = planned.shared_job or (jobs[0] if len(planned.entries) == 1 else None)
    folder = about.folder if about else common_folder([job.folder for job in jobs])
    start = f"{about.stem}_" if about else ""
    names = {"csv": ["csv", "components"], "md": ["md"]}
    files = {"csv": "report.csv", "components": "components.csv", "md": "report.md"}
    contents = [content for report in task.products.reports for content in names.get(report, ())]
    return {content: folder / f"{start}{files[content]}" for content in contents}


def refuse_existing_summary(planned: Plan) -> None:
    """Raise an `OutputError` if a file about all images exists and may not be replaced.

    It may be if other outputs may, and if a k is added to the report of each image.
    """
    if planned.task.existing is not Existing.REFUSE or all(exists(job.report) for job in planned.jobs):
        return
    for path in summary_files(planned).values():
        if exists(path):
            raise OutputError(f"{path} exists; use --force to replace it, or another --output")


def summarized(planned: Plan, outcomes: Generator[Outcome, None, None]) -> Iterator[Outcome]:
    """Yield the outcomes of a plan, and then that of the files about all images, if the task asks for such files."""
    files = summary_files(planned)
    collectors = list(_collectors(files))
    jobs = {id(job.source): job for job in planned.jobs}
    folder = next(iter(files.values())).parent if files else None
    n_added = 0
    with closing(outcomes):
        for outcome in outcomes:
            yield outcome
            if folder is None:
                continue
            record = _record_of(outcome, jobs.get(id(outcome.source)), is_shared=planned.shared_job is not None)
            if record is not None:
                job = planned.shared_job or jobs[id(outcome.source)]
                n_added += 1
                for entry in entries_of(record, relative(job.report.parent, folder)):
                    for collector in collectors:
                        collector.add(entry)
    if folder is not None and n_added:
        yield _write(folder, files, collectors)


def _collectors(files: Iterable[str]) -> Iterator[Collector]:
    if "csv" in files:
        from gmmquant.report.csv_tables import CsvTables

        yield CsvTables()
    if "md" in files:
        from gmmquant.report.markdown import Markdown

        yield Markdown()


def _record_of(outcome: Outcome, job: Job | None, *, is_shared: bool) -> Record | None:
    """Return the record that an outcome stands for; that of a skipped image is in its report, if it has one."""
    if isinstance(outcome, SharedReport) or (isinstance(outcome, Done) and not is_shared):
        return outcome.record
    if isinstance(outcome, Skipped) and job is not None and not is_shared:
        try:
            earlier = read_earlier_run(job.report)
        except GmmquantError:
            return None
        return None if earlier is None else earlier.record
    return None


def _write(folder: AnyPath, files: dict[str, AnyPath], collectors: Iterable[Collector]) -> Summary | Failure:
    try:
        make_folder(folder)
        with OutputSet(overwrite=True) as outputs:
            for collector in collectors:
                for content, data in collector.finish().items():
                    outputs.stage(files[content], data)
            return Summary(folder, outputs.commit())
    except GmmquantError as error:
        return Failure(folder, str(error), is_image=False)
    except OSError as error:
        return Failure(folder, f"cannot write the report: {system_reason(error)}", is_image=False)
