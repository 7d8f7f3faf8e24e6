"""Files about all images of a run: tables, an index. They are written at the end, from the outcomes of the images."""

from __future__ import annotations

from collections.abc import Generator, Iterator
from contextlib import closing

from gmmquant.errors import GmmquantError, OutputError
from gmmquant.pipeline.earlier_run import earlier_report, read_earlier_run
from gmmquant.pipeline.plan import Destination, Existing, Job, Plan, refuse_clashes
from gmmquant.pipeline.reports import read_illustration
from gmmquant.report.entry import Collector, entries_of
from gmmquant.report.outcome import Done, Failure, Illustration, Outcome, PlannedOutcome, SharedReport, Skipped, Summary
from gmmquant.report.record import Record
from gmmquant.system.atomic import OutputSet
from gmmquant.system.filesystem import exists, make_folder
from gmmquant.system.paths import AnyPath, common_folder, relative
from gmmquant.system.process import system_reason

# Names of the files by content. Those about one image or a shared mixture start with its name.
_NAMES = {"csv": "report.csv", "components": "components.csv", "md": "report.md", "index": "report.html"}


def summary_files(planned: Plan) -> dict[str, AnyPath]:
    """Return the files about all images of a plan by content."""
    task, jobs = planned.task, planned.all_jobs
    if task.to is not Destination.FILES or not jobs:
        return {}
    about = planned.shared_job or (jobs[0] if len(planned.entries) == 1 else None)
    folder = about.folder if about else common_folder([job.folder for job in jobs])
    has_index = planned.shared_job is not None or about is None
    contents = {"csv": ["csv", "components"], "md": ["md"], "html": ["index"] if has_index else []}
    start = f"{about.stem}_" if about else ""
    wanted = [content for report in task.products.reports for content in contents.get(report, ())]
    names = {content: _NAMES[content] for content in wanted}
    names |= {f"sheet.{end}": f"sheet.{end}" for end in task.products.sheets}
    return {content: folder / f"{start}{name}" for content, name in names.items()}


def check_summary(planned: Plan) -> None:
    """Raise an `OutputError` if a file about all images is another output or an input, or may not be replaced.

    An existing one may be if other outputs may, and if a k is added to the report of each image.
    """
    files = summary_files(planned).values()
    refuse_clashes(planned.all_jobs, about_all=files)
    if planned.task.existing is Existing.REFUSE and None in map(earlier_report, planned.jobs):
        for path in files:
            if exists(path):
                raise OutputError(f"{path} exists; use --force to replace it, or another --output")


def planned_summary(planned: Plan) -> Iterator[PlannedOutcome]:
    """Yield the effect of a run on the files about all images, if there are any."""
    if files := list(summary_files(planned).values()):
        actions = {path: "replaced" if exists(path) else "new" for path in files}
        yield PlannedOutcome(files[0].parent, actions, is_read=False)


def summarized(planned: Plan, outcomes: Generator[Outcome, None, None]) -> Iterator[Outcome]:
    """Yield the outcomes of a plan, and then that of the files about all images, if the task asks for such files."""
    files = summary_files(planned)
    if not files:
        yield from outcomes
        return
    folder = next(iter(files.values())).parent
    collectors = list(_collectors(planned, files))
    jobs = {id(job.source): job for job in planned.jobs}
    added = False
    of_shared: dict[str, Illustration] = {}  # by the paths in the record
    with closing(outcomes):
        for outcome in outcomes:
            yield outcome
            job = jobs.get(id(outcome.source))
            if isinstance(outcome, Failure) and outcome.is_image:
                for collector in collectors:
                    collector.add_failure(relative(outcome.source, folder), outcome.reason)
                continue
            if isinstance(outcome, Done) and planned.shared_job and outcome.illustration is not None:
                of_shared[outcome.record["path"]] = outcome.illustration
            record, illustration = _result_of(outcome, job, planned)
            about = planned.shared_job or job
            if record is None or about is None:
                continue
            added = True
            page = relative(about.reports["html"], folder) if "html" in about.reports else None
            for entry in entries_of(record, relative(about.report.parent, folder), page):
                small = illustration or of_shared.get(entry.record["image"]["path"])
                for collector in collectors:
                    collector.add(entry, small)
    if added:
        yield _write(folder, files, collectors)


def _collectors(planned: Plan, files: dict[str, AnyPath]) -> Iterator[Collector]:
    if "csv" in files:
        from gmmquant.report.csv_tables import CsvTables

        yield CsvTables()
    if "md" in files:
        from gmmquant.report.markdown import Markdown

        yield Markdown()
    if "index" in files:
        from gmmquant.report.html.index import HtmlIndex

        yield HtmlIndex(files["index"].parent.name or "Images", planned.task.command)
    if planned.task.products.sheets:
        from gmmquant.report.sheet import SheetRows

        yield SheetRows(planned.task.products.sheets)


def _result_of(outcome: Outcome, job: Job | None, planned: Plan) -> tuple[Record | None, Illustration | None]:
    """Return the record and the small images of an outcome; those of a skipped image are in its report and files."""
    shared, task = planned.shared_job is not None, planned.task
    if isinstance(outcome, SharedReport):
        return outcome.record, None
    if isinstance(outcome, Done) and not shared:
        return outcome.record, outcome.illustration
    if isinstance(outcome, Skipped) and job is not None and not shared:
        try:
            earlier = read_earlier_run(earlier_report(job))
        except GmmquantError:
            return None, None
        if earlier is not None:
            illustration = read_illustration(job, earlier.record, task.max_pixels) if task.illustrated else None
            return earlier.record, illustration
    return None, None


def _write(folder: AnyPath, files: dict[str, AnyPath], collectors: list[Collector]) -> Summary | Failure:
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
