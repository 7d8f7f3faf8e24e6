"""Files of earlier runs that a run does not write: those that lack its figures, and those of a shared mixture."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from dataclasses import replace
from pathlib import Path

from gmmquant.errors import GmmquantError
from gmmquant.pipeline.earlier_run import read_earlier_run, settings_of
from gmmquant.pipeline.listed import images_left_out, images_listed, name_listed, other_output
from gmmquant.pipeline.names import report_stem
from gmmquant.pipeline.plan import PLOTS_OF_ALL_K, Destination, Existing, Job, Plan
from gmmquant.pipeline.reports import content_of_ours
from gmmquant.pipeline.summary import index_files, summary_files
from gmmquant.report.outcome import Done
from gmmquant.settings import PLOT_FORMATS, REPORTS, SHEET_FORMATS
from gmmquant.system.filesystem import exists
from gmmquant.system.paths import AnyPath, identity, relative

_MOST_NAMED = 3


def outdated_note(planned: Plan, done: Collection[str], reported: Collection[str] = ()) -> str:
    """Return a note on the files of earlier runs that lack the figures of a run, with the options that write them.

    `done` has the images that the run recoloured, by their `identity`, and `reported` those of which it only wrote
    reports: for these, only files that are older than an image are named. The note is empty if there are no such files,
    or if no options would update them. Remote files are not looked up.
    """
    if planned.task.to is not Destination.FILES or not (done or reported):
        return ""
    about_all = {*summary_files(_wider(planned)).values(), *index_files(_wider(planned)).values()}
    found = [
        (path, option)
        for path, option, jobs in _others(planned, {*done, *reported})
        if isinstance(path, Path) and exists(path) and (path not in about_all or _is_ours(path))
        if any(identity(job.source) in done or _is_older(path, job) for job in jobs)
        if (option[1] == "html" and path not in about_all) or _have_records(planned, jobs)
        if _may_be_replaced(planned, path, jobs, is_about_all=path in about_all)
    ]
    if not found:
        return ""
    names = [str(path) for path, _ in found]
    if len(names) > _MOST_NAMED:
        names = [*names[: _MOST_NAMED - 1], f"{len(names) - _MOST_NAMED + 1} more"]
    values: dict[str, dict[str, None]] = {}
    about = planned.jobs if planned.shared_job is None else [planned.shared_job]
    if planned.task.existing is not Existing.REPLACE and not any(job.reports for job in about):
        values["--report"] = {"json": None}  # without a report, a run continues none
    for _, (option, value) in found:
        values.setdefault(option, {})[value] = None
    options = " ".join(f"{option} {','.join(of_option)}" for option, of_option in values.items())
    *first, last = names
    subject = f"{', '.join(first)} and {last} are" if first else f"{last} is"
    has_others = any(_lists_others(planned, path) for path, _ in found if path in about_all)
    start = {Existing.REFUSE: "--skip-existing ", Existing.REPLACE: "--force "}.get(planned.task.existing, "")
    options = start + options
    return f"{subject} not updated; {'run over all images with' if has_others else 'add'} {options}"


def has_new_fits(done: Done) -> bool:
    """Return whether a run wrote a recoloured image, and not only reports of those that exist."""
    names = {fit["files"].get("image") for fit in done.record["fits"]}
    return any(path.name in names for path in done.written)


def mixed_note(planned: Plan) -> str:
    """Return a note that a run without --shared adds images to those of a shared mixture; empty if it does not.

    Remote folders are not looked up.
    """
    task = planned.task
    if task.to is not Destination.FILES or planned.shared_job is not None or "model" in task.strategy.inputs:
        return ""
    for folder in dict.fromkeys(job.folder for job in planned.jobs if isinstance(job.folder, Path)):
        report = folder / f"{report_stem(task.name, 'shared', '')}_report.json"
        try:
            earlier = read_earlier_run(report)
        except GmmquantError:
            continue
        if earlier and any(relative(job.source, folder) in earlier.images for job in planned.jobs):
            return f"{report} is of one palette for all; this run gives each image its own, --shared keeps one"
    return ""


def _is_older(path: Path, job: Job) -> bool:
    """Return whether a file is older than an image of a job."""
    images = (job.files(k)["image"] for k in job.ks)
    times = (image.stat().st_mtime_ns for image in images if isinstance(image, Path) and exists(image))
    return max(times, default=0) > path.stat().st_mtime_ns


def _have_records(planned: Plan, jobs: Sequence[Job]) -> bool:
    """Return whether there are reports with the fits of earlier runs, without which only --force replaces a file."""
    if planned.task.existing is Existing.REPLACE:
        return True
    if planned.shared_job is not None:
        return exists(planned.shared_job.report)
    return all(exists(job.report) or exists(job.page) for job in jobs)


def _may_be_replaced(planned: Plan, path: Path, jobs: Sequence[Job], *, is_about_all: bool) -> bool:
    """Return whether a run with the options of the note would not be refused because of other settings or names."""
    task = planned.task
    if task.existing is Existing.REPLACE:
        return True
    try:
        table = path.with_name(
            path.name.replace("components.csv", "report.csv")
        )  # a table of components has no outputs
        if is_about_all and exists(table) and other_output(_wider(planned), table, content_of_ours(table)) is not None:
            return False
        if planned.shared_job is None and not jobs[0].reports:  # a run that continues none did not compare them
            for report in filter(exists, (jobs[0].report, jobs[0].page)):
                if (earlier := read_earlier_run(report)) is not None:
                    earlier.refuse_other_settings(*settings_of(task, report))
    except (GmmquantError, OSError):
        return False
    return True


def _lists_others(planned: Plan, path: AnyPath) -> bool:
    """Return whether a file about all images has some that the run has not."""
    try:
        return bool(images_left_out(planned, path, content_of_ours(path))[0])
    except (GmmquantError, OSError):  # it cannot be read
        return False


def _is_ours(path: AnyPath) -> bool:
    try:
        return bool(content_of_ours(path))
    except (GmmquantError, OSError):
        return False


def _lists(planned: Plan, path: AnyPath) -> bool:
    """Return whether a file lists the only image of a run."""
    try:
        listed = images_listed(path.suffix, content_of_ours(path)) if isinstance(path, Path) and exists(path) else []
    except (GmmquantError, OSError):
        return False
    job = planned.jobs[0]
    return name_listed(path.suffix, relative(job.source, path.parent), relative(job.folder, path.parent)) in listed


def _others(planned: Plan, done: Collection[str]) -> Iterator[tuple[AnyPath, tuple[str, str], Sequence[Job]]]:
    """Yield the files that other options would write about images that are done, the option, its value, and jobs."""
    products = planned.task.products
    plots = [end for end in PLOT_FORMATS if end not in products.plots]
    jobs = [job for job in planned.jobs if identity(job.source) in done]
    for job in jobs if planned.shared_job is None else []:
        if "html" not in products.reports:
            yield job.page, ("--report", "html"), [job]
        for end in plots:
            yield from ((job.plot(name, end), ("--plots", end), [job]) for name in PLOTS_OF_ALL_K)
    written = summary_files(planned)
    others = [(content, path) for content, path in summary_files(_wider(planned)).items() if content not in written]
    of_folder = index_files(_wider(planned)).items()
    for content, path in (*others, *((content, path) for content, path in of_folder if _lists(planned, path))):
        if content.startswith("sheet."):
            yield path, ("--sheet", content.removeprefix("sheet.")), jobs
        else:
            yield path, ("--report", {"index": "html", "components": "csv"}.get(content, content)), jobs


def _wider(planned: Plan) -> Plan:
    """Return a plan with all reports and sheets."""
    entries = [
        replace(job, products=job.products._replace(reports=REPORTS)) if isinstance(job, Job) else job
        for job in planned.entries
    ]
    products = planned.task.products._replace(reports=REPORTS, sheets=SHEET_FORMATS)
    return planned._replace(entries=entries, task=planned.task._replace(products=products))
