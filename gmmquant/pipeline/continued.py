"""Outputs that exist: which are kept, refused or replaced, and which report gets the fits of this run."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path

from gmmquant.errors import GmmquantError, ImageError, OtherSettingsError, ParameterError
from gmmquant.images.decoding.reader import byte_limit
from gmmquant.images.files import read_image
from gmmquant.pipeline.earlier_run import (
    REMEDY,
    EarlierRun,
    digest_of_all,
    earlier_report,
    files_in,
    files_listed,
    key_of,
    read_earlier_run,
    refuse_changed,
    settings_of,
)
from gmmquant.pipeline.failures import failure_of, refuse_existing
from gmmquant.pipeline.names import shared_image_name
from gmmquant.pipeline.plan import Destination, Existing, Job, Plan, Task
from gmmquant.pipeline.reports import stale_reports
from gmmquant.pipeline.sources import errors_of_reading
from gmmquant.pipeline.summary import summary_files
from gmmquant.report.outcome import Failure, Skipped
from gmmquant.report.record import Record
from gmmquant.system.filesystem import check_writable, exists, is_empty, open_path
from gmmquant.system.paths import AnyPath, identity, relative


def check_outputs(job: Job, task: Task) -> Job | Skipped | Failure:
    """Look up which outputs exist: return the job with those to keep, or the outcome if there is nothing to do.

    If there is a report of an earlier run, it must have the same settings and the same image; what it has is not done
    again. The image is read for that only if its times are newer than those of the report.
    """
    if task.to is not Destination.FILES or job.kept is not None:
        return job
    present = [path for path in job.outputs if exists(path)]
    report = earlier_report(job)
    continues = report is not None and task.existing is not Existing.REPLACE
    others = [path for path in present if not (continues and path in job.reports.values())]
    if others and task.existing is Existing.REFUSE:
        if continues and not job.is_shared_report:
            _refuse_other_settings(job, task, report)
        return refuse_existing(job, f"{others[0].name} exists")
    if task.existing is Existing.KEEP and (empty := next(filter(is_empty, others), None)) is not None:
        return failure_of(job, f"{empty.name} is empty, so it is not kept; remove it, or use --force to replace it")
    if continues and not job.is_shared_report:  # for that see `find_earlier_shared_run`
        earlier = read_earlier_run(report)
        if earlier is not None:
            earlier.refuse_newer(job.source, earlier.digests["source"])
            earlier.refuse_other_settings(*settings_of(task, job.report))
            if task.existing is Existing.KEEP:
                earlier.refuse_damaged(job, task.max_pixels)
            left: Mapping[int | str, str] = {
                k: stem for k, stem in job.stems.items() if not earlier.is_complete(job, k)
            }
            if not left and not stale_reports(job, earlier.record):
                return Skipped(job.source, earlier=earlier.record)
            left = left or job.stems  # for a report that is missing
            job = replace(job, stems=left, earlier_digest=earlier.digests["source"])
            job = replace(job, listed=files_listed(earlier.record["fits"], job))
    check_writable(job.folder)
    return replace(job, kept=frozenset(others if task.existing is Existing.KEEP else ()))


def _refuse_other_settings(job: Job, task: Task, report: AnyPath | None) -> None:
    """Raise an `OtherSettingsError` if a report has other settings, so that --skip-existing would be refused too."""
    try:
        earlier = read_earlier_run(report)
        if earlier is not None:
            earlier.refuse_other_settings(*settings_of(task, job.report))
    except OtherSettingsError:
        raise
    except GmmquantError:  # that the outputs exist is reason enough
        return


def continued_run(job: Job, task: Task, digest: str, note: Callable[[str], None]) -> EarlierRun | None:
    """Return the run whose report gets the fits of this one: with --force only one of the same settings and image.

    `note` is called if its report then has no longer the figures of other fits.
    """
    if task.to is not Destination.FILES or job.in_shared_report:
        return None
    earlier = None
    try:
        earlier = read_earlier_run(earlier_report(job))
        if earlier is not None:
            earlier.refuse_changed(job.source, earlier.digests["source"], digest)
            earlier.refuse_other_settings(*settings_of(task, job.report))
    except (ParameterError, ImageError):
        if task.existing is Existing.REPLACE:
            if earlier is not None and (lost := _lost(earlier, job, digest)):
                note(lost)
            return None
        raise
    if earlier is not None and job.kept is not None and job.earlier_digest is None:
        own = {key_of(job, k) for k in job.ks}
        return None if own.issuperset(earlier.fits) else earlier  # None: it is that of the first run of this job
    return earlier


def _lost(earlier: EarlierRun, job: Job, digest: str) -> str:
    """Return the figures and files of an earlier run that are not in the report which replaces its own; or nothing."""
    name, changed = earlier.report.name, earlier.digests["source"] != digest
    if changed and not earlier.is_about(job.source):
        return f"{name} was about {earlier.image_name(job.source)}, whose figures are replaced"
    own = {key_of(job, k) for k in job.ks}
    ks = ", ".join(str(key[0]) for key in earlier.fits if key not in own)
    written = set(map(job.output_in_record, job.possible_outputs))
    listed = files_listed(earlier.record["fits"], job) - written
    left = sorted(path for path in listed if exists(job.report.parent / path))
    more = "" if len(left) < 2 else f" and {len(left) - 1} more file{'s' if len(left) > 2 else ''}"
    text = " and ".join([f"k = {ks}"] * bool(ks) + [f"{path}{more}" for path in left[:1]])
    reason = "were of an earlier version of the image" if changed else "had other settings"
    rest = "these files stay" if not ks else "their files stay" if left else "their images stay"
    return f"{name} no longer has {text}, which {reason}; {rest}" if text else ""


def extended_record(earlier: EarlierRun | None, record: Record, task: Task) -> tuple[Record, EarlierRun | None]:
    """Return a record with the fits of an earlier run, and that run; with --force one that does not fit is left out."""
    if earlier is None:
        return record, None
    replaces = task.existing is Existing.REPLACE
    try:
        return earlier.extended(record, replaces=replaces), earlier
    except ParameterError:
        if replaces:
            return record, None
        raise


def find_earlier_shared_run(planned: Plan, sample_size: int | None) -> EarlierRun | None:
    """Return the earlier run that a shared run continues, or None; raise an error if its options or images differ.

    Images are compared by their paths, and by their content if they are newer than the report. With --force a
    different run is replaced, and so is one of a sample, as the images outside of it are not compared before the fit.
    """
    task, shared = planned.task, planned.shared_job
    replaces = task.existing is Existing.REPLACE
    if shared is None or task.to is not Destination.FILES or (replaces and sample_size is not None):
        return None
    try:
        earlier = read_earlier_run(shared.report)
        if earlier is not None:
            settings, digest = settings_of(task, shared.report)
            earlier.refuse_other_version()
            earlier.refuse_other_settings({"sample_size": sample_size, **settings}, digest)
            entries = {relative(entry.source, shared.report.parent): entry for entry in planned.entries}
            earlier.refuse_other_images([*entries], lambda path: _can_be_read(entries[path], task))
            for job in planned.jobs:
                earlier.refuse_newer(job.source, earlier.digest_of_image(job.source))
                if task.existing is Existing.KEEP:
                    earlier.refuse_damaged(job, task.max_pixels)
    except (ParameterError, ImageError):
        if replaces:
            return None
        raise
    return earlier


def _can_be_read(entry: Job | Failure, task: Task) -> bool:
    if isinstance(entry, Failure):
        return False
    try:
        with errors_of_reading(), open_path(entry.source, byte_limit(task.max_pixels)) as file:
            read_image(file, max_pixels=task.max_pixels)
    except GmmquantError:
        return False
    return True


def is_finished(planned: Plan, earlier: EarlierRun) -> bool:
    """Return whether a shared run has nothing to do: its files exist, and the report of the earlier one lists them.

    With layers it is False, because their number is not known, and with files that show the images, which may lack one.
    """
    task = planned.task
    shows_images = task.products.sheets or "index" in summary_files(planned)
    if task.existing is not Existing.KEEP or task.products.layers or shows_images:
        return False
    keys = {(k, shared_image_name(task.name, k, task.products.format)) for k in task.ks}
    entries = [earlier.record, *filter(None, earlier.images.values())]
    listed = {name for entry in entries for fit in entry["fits"] for name in files_in(fit["files"])}
    outputs = ((job, path) for job in planned.all_jobs for path in job.outputs)
    return keys <= earlier.fits.keys() and all(
        exists(path) and (path in job.reports.values() or job.output_in_record(path) in listed) for job, path in outputs
    )


def continued_job(job: Job, earlier: EarlierRun) -> Job:
    """Return a job that extends the image's entry in a shared report, if it is in it; the files of that are kept."""
    entry = earlier.entry_of(job.source)
    if entry is None:
        return job
    listed = files_listed(entry["fits"], job)
    return replace(job, earlier_digest=entry["digest"], earlier_entry=entry, listed=listed)


def refuse_other_sources(earlier: EarlierRun, jobs: Sequence[Job], digests: Mapping[str, str]) -> None:
    """Raise an error if the earlier run was fitted to other images; the message names one that changed, if any did."""
    if digest_of_all(digests.values()) == earlier.digests["sources"]:
        return
    for job in jobs:
        digest = digests.get(identity(job.source))
        if digest is not None:
            refuse_changed(job.source, job.report, earlier.digest_of_image(job.source), digest, is_shared=True)
    raise ParameterError(
        f"{earlier.report.name} was fitted to {earlier.n_fitted} images, not to these {len(digests)}; use the "
        f"same images, {REMEDY}"
    )


def extended_shared_record(earlier: EarlierRun, record: Record, *, replaces: bool) -> Record:
    """Return a shared record with the fits of an earlier run.

    A `ParameterError` is raised if images of this run lack those fits, as they failed then.
    """
    fits = earlier.extended(record, replaces=replaces)
    for image in record["images"]:
        if len(image["fits"]) < len(fits["fits"]):
            raise ParameterError(
                f"{earlier.report.name} lacks {earlier.path_from_here(image['path'])}, which failed in an earlier run; "
                f"run again with -k {' '.join(map(str, fits['settings']['k']))} --skip-existing"
            )
    return {**fits, **{name: record[name] for name in ("total", "fitted", "digest", "images", "failed")}}


def lost_fits(shared: Job) -> str:
    """Return which k the report of an earlier run has and this one has not; empty if there are none."""
    try:
        earlier = read_earlier_run(shared.report)
    except GmmquantError:
        return ""
    ks = [str(k) for k, _ in earlier.fits if k not in shared.ks] if earlier is not None else []
    return f"{shared.report.name} no longer has k = {', '.join(ks)}; their images stay" if ks else ""


def makes_again(planned: Plan) -> bool:
    """Return whether a run makes local outputs that exist again to compare them, as there is no report on them."""
    if planned.task.existing is not Existing.KEEP:
        return False
    local = (job for job in planned.jobs if isinstance(job.folder, Path))
    return any(any(map(exists, job.outputs)) and earlier_report(planned.shared_job or job) is None for job in local)


def is_kept(job: Job, task: Task, path: AnyPath) -> bool:
    """Return whether an output existed before the job and is kept; layers after the first are looked up now."""
    if task.existing is not Existing.KEEP:
        return False
    return path in job.kept if job.kept is not None and path in job.outputs else exists(path)
