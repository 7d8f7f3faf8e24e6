"""Files about all images of a run: tables, an index, sheets. They are written at the end, from the outcomes."""

from __future__ import annotations

from collections.abc import Generator, Iterator, Mapping
from contextlib import closing
from pathlib import Path

from gmmquant.errors import ExistsError, GmmquantError
from gmmquant.pipeline.earlier_run import earlier_report, read_earlier_run
from gmmquant.pipeline.listed import counted, outputs_listed
from gmmquant.pipeline.names import stem_of_all
from gmmquant.pipeline.plan import Destination, Existing, Job, Plan, Task
from gmmquant.pipeline.reports import content_of_ours, read_illustration
from gmmquant.report.entry import Collector, entries_of
from gmmquant.report.outcome import (
    Done,
    Failure,
    Illustration,
    Outcome,
    PlannedOutcome,
    SharedReport,
    Skipped,
    Summary,
)
from gmmquant.report.record import Record, extension_of
from gmmquant.system.atomic import OutputSet
from gmmquant.system.filesystem import exists, make_folder
from gmmquant.system.paths import AnyPath, common_folder, relative
from gmmquant.system.process import system_reason, unexpected_reason

# Names of the files by content. Those about one image or a shared mixture start with its name, others with what --name
# adds to names, so that each variant of the images has its own.
_NAMES = {"csv": "report.csv", "components": "components.csv", "md": "report.md", "index": "report.html"}


def summary_files(planned: Plan) -> dict[str, AnyPath]:
    """Return the files about all images of a plan by content."""
    task, jobs = planned.task, planned.all_jobs
    if task.to is not Destination.FILES or not jobs:
        return {}
    about = planned.shared_job or (jobs[0] if len(planned.entries) == 1 else None)
    has_index = planned.shared_job is not None or about is None
    contents = {"csv": ["csv", "components"], "md": ["md"], "html": ["index"] if has_index else []}
    names = {content: _NAMES[content] for report in task.products.reports for content in contents.get(report, ())}
    names |= {f"sheet.{end}": f"sheet.{end}" for end in task.products.sheets}
    if about is None:
        return _of_all(_folder_of(jobs), task, names)
    return {content: about.folder / f"{about.stem}_{name}" for content, name in names.items()}


def _of_all(folder: AnyPath, task: Task, names: Mapping[str, str]) -> dict[str, AnyPath]:
    """Return the paths of files about several images of a folder, which start with the text of --name."""
    start = stem_of_all(task.name)
    return {content: folder / (f"{start}_{name}" if start else name) for content, name in names.items()}


def index_files(planned: Plan) -> dict[str, AnyPath]:
    """Return the files about all images of the folder of a plan's only image, which a run over several writes."""
    task, jobs = planned.task, planned.jobs
    is_alone = task.image_name is not None or "{stem}" not in task.name  # a name that no run over several has
    if planned.shared_job is not None or len(planned.entries) != 1 or not jobs or is_alone:
        return {}
    return _of_all(jobs[0].folder, task, {**_NAMES, **{f"sheet.{end}": f"sheet.{end}" for end in task.products.sheets}})


def _folder_of(jobs: list[Job]) -> AnyPath:
    """Return the folder of outputs that contains all others, or the working folder if there is none."""
    folders = {job.folder for job in jobs}
    common = common_folder(list(folders))
    inside = len(folders) == 1 or common in folders or not any(job.folder == job.source.parent for job in jobs)
    return common if inside else Path()


def planned_summary(planned: Plan) -> Iterator[PlannedOutcome]:
    """Yield the effect of a run on the files about all images, if there are any."""
    if files := list(summary_files(planned).values()):
        actions = {path: "replaced" if exists(path) else "new" for path in files}
        yield PlannedOutcome(files[0].parent, actions, is_read=False)


def summarized(planned: Plan, outcomes: Generator[Outcome, None, None]) -> Iterator[Outcome]:
    """Yield the outcomes of a plan, and then those of the files about all images, if the task asks for such files."""
    files = summary_files(planned)
    if not files:
        yield from outcomes
        return
    folder = next(iter(files.values())).parent
    collectors = list(_collectors(planned, files))
    jobs = {id(job.source): job for job in planned.jobs}
    added, failure, failed = False, None, set[str]()
    with closing(outcomes):
        for outcome in outcomes:
            yield outcome
            job = jobs.get(id(outcome.source))
            if isinstance(outcome, Failure) and outcome.is_image:
                for collector in collectors:
                    collector.add_failure(relative(outcome.source, folder), outcome.reason)
            if isinstance(outcome, Done) and planned.shared_job and outcome.illustration is not None:
                for collector in collectors:
                    collector.illustrate(outcome.record["path"], outcome.illustration)
            about = planned.shared_job or job
            try:
                record, illustration = _result_of(outcome, job, planned)
                if isinstance(outcome, Failure) and record is None:
                    failed.add(relative(outcome.source, folder))
                if record is None or about is None or failure is not None:
                    continue
                added = added or not isinstance(outcome, Failure)
                page = relative(about.reports["html"], folder) if "html" in about.reports else None
                for entry in entries_of(record, relative(about.report.parent, folder), page):
                    for collector in collectors:
                        collector.add(entry, illustration)
            except Exception as error:  # most likely of a report that was changed
                source = outcome.source if about is None else about.report
                failure = Failure(source, _reason(error), is_image=False)
    if failure is not None:
        yield failure
    elif added:
        for collector in collectors:
            written = _write(folder, files, collector, planned.task.existing, failed)
            if isinstance(written, Failure) or written.written:
                yield written


def _collectors(planned: Plan, files: Mapping[str, AnyPath]) -> Iterator[Collector]:
    if "csv" in files:
        from gmmquant.report.csv_tables import CsvTables

        yield CsvTables()
    if "md" in files:
        from gmmquant.report.markdown import Markdown

        yield Markdown()
    if "index" in files:
        from gmmquant.report.html.index import HtmlIndex

        job = planned.jobs[0]
        extension = extension_of(job.files(job.ks[0])["image"].name)
        yield HtmlIndex(files["index"].parent.name or "Images", planned.task.command, extension)
    if planned.task.products.sheets:
        from gmmquant.report.sheet import SheetRows

        yield SheetRows(planned.task.products.sheets)


def _result_of(outcome: Outcome, job: Job | None, planned: Plan) -> tuple[Record | None, Illustration | None]:
    """Return the record and the small images of an outcome.

    Those of an image that was skipped, or that failed in this run, are in its report and files.
    """
    shared, task = planned.shared_job is not None, planned.task
    if isinstance(outcome, SharedReport):
        return _in_order_of_run(outcome.record, planned), None
    if shared:
        return None, None
    if isinstance(outcome, Done) or (isinstance(outcome, Skipped) and outcome.record is not None):
        return outcome.record, outcome.illustration
    if isinstance(outcome, (Skipped, Failure)) and job is not None:
        try:
            earlier = read_earlier_run(earlier_report(job))
        except (GmmquantError, OSError):
            return None, None
        if earlier is not None:
            illustration = read_illustration(job, earlier.record, task) if task.illustrated else None
            return earlier.record, illustration
    return None, None


def _in_order_of_run(record: Record, planned: Plan) -> Record:
    """Return a shared record with its images in the order of a plan, as other runs have them in files about all."""
    folder = planned.shared_job.report.parent if planned.shared_job is not None else Path()
    positions = {relative(job.source, folder): position for position, job in enumerate(planned.jobs)}
    images = sorted(record["images"], key=lambda image: positions.get(image["path"], len(positions)))
    return {**record, "images": images}


def _write(
    folder: AnyPath, files: Mapping[str, AnyPath], collector: Collector, existing: Existing, failed: set[str]
) -> Summary | Failure:
    """Write the files of a collector, all or none.

    Without --force, only reports of gmmquant are replaced, and no table that has figures of images that `failed`.
    """
    try:
        make_folder(folder)
        with OutputSet(overwrite=existing is Existing.REPLACE) as outputs:
            for content, data in collector.finish().items():
                path = files.get(content) or _numbered(files, content)
                replaced = content_of_ours(path) if existing is not Existing.REPLACE and exists(path) else None
                if replaced is not None and path.suffix == ".csv":
                    lost = sorted(failed.intersection(image for image, _ in outputs_listed(".csv", replaced)))
                    if lost:
                        raise ExistsError(f"{path.name} is kept, as it would lose {counted(lost)}, which failed")
                outputs.stage(path, data, replaced=replaced)
            return Summary(folder, outputs.commit())
    except Exception as error:
        return Failure(folder, _reason(error), is_image=False)


def _reason(error: Exception) -> str:
    """Return why files about all images are not written, in one line; the images are complete."""
    if isinstance(error, GmmquantError):
        return str(error)
    if isinstance(error, OSError):
        return f"cannot write the report: {system_reason(error)}"
    if isinstance(error, MemoryError):
        return "not enough memory for the report; the images are complete"
    if isinstance(error, ImportError):
        return f"{unexpected_reason(error)}; the images are complete"
    # A bug, or a record that was changed.
    return f"cannot make the report: {type(error).__name__}: {error}; the images are complete"


def _numbered(files: Mapping[str, AnyPath], content: str) -> AnyPath:
    """Return the path of a further part of a file, such as "sheet.png" for the content "sheet.png 2"."""
    first, _, number = content.partition(" ")
    path = files[first]
    return path.parent / f"{path.stem}_{number}{path.suffix}"
