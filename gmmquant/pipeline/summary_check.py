"""May a run write the files about all images? Those that exist must lose nothing."""

from __future__ import annotations

from pathlib import Path

from gmmquant.errors import ExistsError
from gmmquant.pipeline.earlier_run import REMEDY, earlier_report
from gmmquant.pipeline.listed import counted, image_of, images_left_out, makes_all, other_output
from gmmquant.pipeline.names import stem_of_all
from gmmquant.pipeline.plan import Existing, Plan, refuse_clashes
from gmmquant.pipeline.reports import content_of_ours
from gmmquant.pipeline.summary import summary_files
from gmmquant.report.outcome import Failure
from gmmquant.system.filesystem import exists
from gmmquant.system.paths import AnyPath, as_text


def check_summary(planned: Plan) -> str:
    """Raise an `OutputError` if a file about all images is another output or an input, or may not be replaced.

    An existing one of gmmquant may be with --force, or if every image with outputs has a report with its record, and
    this run has all images that the old file lists and that still exist. A note names those that do not; it is empty
    if there are none. A table may be replaced without records if this run makes all outputs that it lists.
    """
    files = summary_files(planned)
    if not files:
        return ""
    refuse_clashes(planned.all_jobs, about_all=files.values(), inputs=_inputs_of(planned))
    present = [path for path in files.values() if exists(path)]
    if not present or planned.task.existing is Existing.REPLACE:
        return ""
    remedy = REMEDY if planned.task.image_name is None else "another --output, or --force"
    try:
        contents = {path: content_of_ours(path) for path in present}
        left_out = {path: images_left_out(planned, path, content) for path, content in contents.items()}
    except ExistsError as error:
        raise ExistsError(f"{error}; use {remedy} to replace it") from None
    _refuse_files_of_an_image(planned, present)
    note = ""
    for path, (missing, gone) in left_out.items():
        if missing:
            raise ExistsError(
                f"{path} has {counted(missing)}, which this run has not; run over all of its images, use {remedy} to "
                "replace it"
            )
        if gone and not note:
            note = f"{path.name} no longer has {counted(gone)}, which {'do' if len(gone) > 1 else 'does'} not exist"
    others = {path: other_output(planned, path, content) for path, content in contents.items()}
    for path, other in others.items():
        if other is not None and not other.has_same_name:
            raise ExistsError(f"{path} has {other.name}, which is of another --name; use {remedy} to replace it")
    if planned.shared_job is not None:
        lossy = earlier_report(planned.shared_job) is None
    else:
        lossy = any(earlier_report(job) is None and any(map(exists, job.outputs)) for job in planned.jobs)
        lossy = lossy or not any(earlier_report(job) for job in planned.jobs)
    if lossy and planned.task.existing is Existing.KEEP and makes_all(planned, contents):
        return note
    if lossy:
        raise ExistsError(
            f"{present[0]} exists, and would lose what it has; {_way_to_keep(planned)}use {remedy} to replace it"
        )
    for path, other in others.items():
        if other is not None:
            raise ExistsError(
                f"{path} has {other.name}, which is not in the reports of this run; run first with its k and options "
                f"and --skip-existing --report json alone, or use {remedy} to replace it"
            )
    return note


def _way_to_keep(planned: Plan) -> str:
    """Return how a run would have the records that a file about all images needs, which one without reports ignores."""
    if planned.task.image_name is not None:
        return ""
    jobs = planned.jobs if planned.shared_job is None else [planned.shared_job]
    add = "" if planned.task.products.reports else "add --report json"
    if add and all(exists(job.report) for job in jobs):
        return f"{add}, or "
    alone = "alone, without --sheet" if planned.task.products.sheets else "alone"
    then = f", then {add} to this run" if add else ""
    return f"run first with the k and the options that it has and --skip-existing --report json {alone}{then}, or "


def _refuse_files_of_an_image(planned: Plan, present: list[AnyPath]) -> None:
    """Raise an `ExistsError` if files about several images exist that are of one whose name is the text of --name.

    Such are poster_report.html of poster.jpg, and that of all images with --name '{stem}_poster_k{k}'.
    """
    start = stem_of_all(planned.task.name)
    if planned.shared_job is not None or len(planned.entries) == 1 or not start:
        return
    reports = (present[0].parent / f"{start}_report.{end}" for end in ("json", "html"))
    if (image := next(filter(None, map(image_of, reports)), None)) is not None:
        raise ExistsError(f"{present[0]} is of {as_text(image)} alone; use {REMEDY} to replace it")


def _inputs_of(planned: Plan) -> list[AnyPath]:
    """Return the files that a run reads, except the images of its jobs: also images that failed before."""
    failed = [entry.source for entry in planned.entries if isinstance(entry, Failure)]
    inputs = (*failed, *planned.task.strategy.inputs.values())
    return [path for path in inputs if isinstance(path, Path)]
