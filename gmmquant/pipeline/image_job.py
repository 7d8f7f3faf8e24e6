"""Process one planned image: read, quantize at each k, write all outputs or none, return the outcome."""

from __future__ import annotations

import math
import os
from collections.abc import Callable, Mapping
from dataclasses import replace
from functools import partial
from pathlib import Path
from time import perf_counter
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from gmmquant.errors import ImageError
from gmmquant.images.decoded import DecodedImage
from gmmquant.images.decoding.reader import byte_limit
from gmmquant.images.decoding.registry import INPUT_FORMATS
from gmmquant.images.encoding.encode import encode_image, output_format
from gmmquant.images.encoding.output_format import OPAQUE
from gmmquant.images.files import read_image
from gmmquant.images.pixels import FlatImage, in_8_bits
from gmmquant.images.recolor import ColorImage, IndexedImage
from gmmquant.images.scaling import resized_frames
from gmmquant.parsing import MAX_K, largest_of
from gmmquant.pipeline.continued import check_outputs, continued_run, extended_record, is_kept
from gmmquant.pipeline.earlier_run import digest_of, refuse_changed, settings_of
from gmmquant.pipeline.exports import FileWriter, Outputs, write_products
from gmmquant.pipeline.failures import attempt
from gmmquant.pipeline.plan import Destination, Existing, Job, Task
from gmmquant.pipeline.reports import illustration_of, images_of, maps_of, stage_reports
from gmmquant.pipeline.sources import errors_of_reading
from gmmquant.pipeline.strategy import FitEach
from gmmquant.quantization.quantizer import Quantizer, Receiver, receive_nothing
from gmmquant.quantization.result import QuantizedImage
from gmmquant.report.notes import fit_notes
from gmmquant.report.outcome import Done, Failure, Outcome, Phase, Skipped
from gmmquant.report.record import Choices, Record, build_record, extended, fit_record
from gmmquant.system import threads
from gmmquant.system.atomic import HeldSet, OutputSet, writing
from gmmquant.system.executors.base import ignore
from gmmquant.system.filesystem import exists, make_folder, open_path
from gmmquant.system.paths import AnyPath, SourcePath
from gmmquant.system.process import keep_freed_memory

# From this size on, images are encoded in another thread while the next k is fitted.
_IN_BACKGROUND_PIXELS = 1 << 16

# Memory is reserved for larger images: 12 megapixels of a photograph took 264 to 300 MB, and more with 16 bits.
_LARGE_IMAGE_PIXELS, _BYTES_PER_PIXEL = 1_000_000, 40

# From this size on, an image's freed arrays are returned to the system.
_HUGE_IMAGE_PIXELS = 1 << 25


class Drawn(NamedTuple):
    """An image recoloured at one k: its files by content, the size of the image file, and its grey maps for a page."""

    fit: QuantizedImage
    files: dict[str, Any]
    n_bytes: int | None
    maps: dict[str, npt.NDArray[np.uint8]]


# Called with the source, k, the number of iterations and the objective; with a `Phase` in place of k between fits.
Watcher = Callable[[SourcePath, int | str, int, float], None]


def run(job: Job, admit: Callable[[int], None], *, task: Task, watch: Watcher = ignore) -> Outcome:
    """Run the job of one image; every error becomes a `Failure`, and then no output of the image is left behind.

    If the outputs were looked up before (`Job.kept`), this may be the second run of the job, and what the first one
    wrote is replaced. Otherwise, files that another run writes meanwhile stay. `admit(n_bytes)` is called before a
    large image is decoded, and returns when the memory is available.
    """
    started = perf_counter()

    def work() -> Done | Skipped | Failure:
        checked = check_outputs(job, task)
        if not isinstance(checked, Job):
            return checked
        done = _quantize(replace(checked, kept=job.kept), task, admit, watch)
        if isinstance(done, Skipped):
            return done
        nothing_written = task.to is Destination.FILES and not done.written
        if nothing_written and not job.in_shared_report:
            return Skipped(job.source, record=done.record, illustration=done.illustration)
        return done._replace(seconds=perf_counter() - started, kept=nothing_written)

    return attempt(job, work)


class Input(NamedTuple):
    """An image that was read, its visible pixels of all frames, and the SHA-256 and the size of the file."""

    image: DecodedImage
    flat: FlatImage
    digest: str
    n_bytes: int


def read(source: SourcePath, task: Task, admit: Callable[[int], None]) -> Input:
    """Read an image, and resize it as the settings ask; `admit(n_bytes)` is called before a large one is decoded."""

    def announce(n_pixels: int) -> None:
        keep_freed_memory(large_arrays=n_pixels < _HUGE_IMAGE_PIXELS)
        if n_pixels > _LARGE_IMAGE_PIXELS:
            admit(n_pixels * _BYTES_PER_PIXEL)

    with errors_of_reading(), open_path(source, byte_limit(task.max_pixels)) as file:
        image, digest = read_image(file, max_pixels=task.max_pixels, announce=announce), digest_of(file)
        n_bytes = file.seek(0, os.SEEK_END)
    n_frames = 1 if image.animation is None else image.animation.n_frames
    pixels = resized_frames(image.pixels, n_frames, task.settings.resize, task.max_pixels)
    return Input(replace(image, pixels=pixels), FlatImage.from_array(pixels, n_frames), digest, n_bytes)


def _quantize(job: Job, task: Task, admit: Callable[[int], None], watch: Watcher) -> Done | Skipped:
    """Write the outputs of an image, except those of an earlier run that are kept."""
    watch(job.source, Phase(f"reading {job.source.name}"), 0, math.nan)
    image, flat, digest, n_bytes = read(job.source, task, admit)
    refuse_changed(job.source, job.report, job.earlier_digest, digest, is_shared=job.in_shared_report)
    notes_on_files: list[str] = []  # not in the record, as they are true of this run only
    earlier = continued_run(job, task, digest, notes_on_files.append)
    lossy, input_format = _is_lossy(image, flat, task), image.format
    notes = [*image.notes, *_losses(image, flat, task, lossy=lossy)]
    if flat.n_visible == 0:
        exports = " and without a palette or model" * bool(job.products.palettes or job.products.models)
        notes.append(f"every pixel is fully transparent: the image is written as it is, with zero colours{exports}")
    encode = partial(
        encode_image,
        format=job.products.format,
        metadata=image.metadata,
        animation=image.animation,
        keep_metadata=job.products.keep_metadata,
        optimize=job.products.optimize,
        keep_order=task.strategy.keeps_order or task.settings.palette_order is not None,
    )
    shows = bool(task.illustrated) or bool(job.reports.keys() - {"json"})
    original = in_8_bits(image.pixels) if shows else None
    del image  # to free its memory
    quantizer = Quantizer(flat, task.strategy.settings(task.settings))
    choices = {}
    for asked in (k for k in job.ks if isinstance(k, str)):
        watch(job.source, asked, 0, math.nan)
        choices[asked] = task.strategy.choose_k(quantizer, asked)
    limit = _most_colors(flat, task)
    if max(number_of_colors(k, choices) for k in job.ks) > limit < quantizer.histogram.n_colors:
        notes.append(f"{job.products.format} stores {limit} colours plus transparency: a larger k is drawn in {limit}")
    in_background = quantizer.shape[0] * quantizer.shape[1] >= _IN_BACKGROUND_PIXELS and threads.n_processors() > 1
    # Optimizing takes longer than fitting, and in this thread a signal ends it at once.
    in_background = in_background and not job.products.optimize
    with _outputs_of(job, task) as outputs, writing(in_background=in_background) as executor:
        writers = {k: FileWriter(executor, outputs, partial(is_kept, job, task), job.is_listed) for k in job.ks}
        results = _recolor(job, task, quantizer, choices, limit, encode, writers, watch)
        larger = ""
        if task.skip_if_larger:
            results, larger = _without_larger(job, task, results, n_bytes, outputs)
        if not results:
            return _not_smaller(job, task, f"{larger}, the image has {n_bytes:,}", input_format)
        record = _record_of(job, task, quantizer, results, notes, choices, digest, n_bytes, lossy=lossy)
        record, earlier = extended_record(earlier, record, task)
        if earlier is not None:  # a note on all fits together
            notes += [note for note in record["notes"] if note not in (*notes, *earlier.record["notes"])]
        recorded = all(job.is_listed(job.files(k)["image"]) for k in job.ks)
        is_new = earlier is None or record != earlier.record or not recorded
        drawn = {k: drawn.fit.recolored for k, drawn in results.items()} if shows else {}
        images = images_of(job, record, drawn, task.max_pixels) if shows else []
        maps = maps_of(job, record, {k: drawn.maps for k, drawn in results.items()}, task.max_pixels)
        if task.to is Destination.FILES and not job.in_shared_report:
            stage = partial(stage_reports, job, record, original, images, maps, outputs, command=task.command)
            stage(earlier=earlier, is_new=is_new, replaces=task.existing is Existing.REPLACE)
        written = outputs.commit()
    if larger:
        notes_on_files.append(f"not written, as the image has {n_bytes:,} bytes: {larger}")
    done = Done(
        job.source,
        record,
        written,
        [*notes, *notes_on_files],
        drawn=outputs.data if isinstance(outputs, HeldSet) else None,
    )
    if task.illustrated and original is not None:
        in_sheet = bool(job.products.sheets)
        small = illustration_of(record, original, images, task.illustrated, in_sheet=in_sheet)
        done = done._replace(illustration=small)
    return done._replace(statistics=[drawn.fit.statistics for drawn in results.values()])


def _recolor(
    job: Job,
    task: Task,
    quantizer: Quantizer,
    choices: Choices,
    limit: int,
    encode: Callable[..., bytes],
    writers: Mapping[int | str, FileWriter],
    watch: Watcher,
) -> dict[int | str, Drawn]:
    """Recolour an image at each k, in `limit` colours at most, and stage the files while the next k is fitted."""
    to_record = task.to is Destination.RECORD
    fits: dict[int | str, tuple[QuantizedImage, dict[str, Any], dict[str, npt.NDArray[np.uint8]]]] = {}
    numbers = {k: number_of_colors(k, choices) for k in writers}
    with task.strategy.fits_ahead(quantizer.fitter, (min(number, limit) for number in numbers.values())):
        # The largest k first: its image takes longest to encode, during which the others are fitted.
        for k, number in sorted(numbers.items(), key=lambda item: -item[1]):
            writer = writers[k]
            watch_fit = partial(watch, job.source, number)
            watch_fit(0, math.nan)
            receive = (
                receive_nothing if to_record else partial(_write, job, job.files(k)["image"], encode, writer, watch)
            )
            if len(fits) == len(writers) - 1:
                receive = partial(_receive_last, quantizer, receive)
            fit = task.strategy.recolor(quantizer, min(number, limit), watch_fit, receive)
            if number > limit:
                fit = replace(fit, fit=replace(fit.fit, k=number))
            files, greys = (
                ({}, {}) if to_record else write_products(quantizer, fit, job, k, writer, task.strategy.names)
            )
            on_page = greys if "html" in job.reports else {}
            fits[k] = fit, files, {name: grey.levels for name, grey in on_page.items()}
    results = {}
    for k, writer in writers.items():
        fit, files, maps = fits[k]
        fit = fit.with_seconds(write=writer.seconds())
        results[k] = Drawn(fit, files, writer.n_bytes(job.files(k)["image"]) if files else None, maps)
    return results


def _receive_last(quantizer: Quantizer, receive: Receiver, image: IndexedImage | ColorImage) -> None:
    """Free what only more fits would need before the last image is encoded: 1.4 bytes a pixel of noise."""
    quantizer.fitter.forget_levels()
    receive(image)


def _without_larger(
    job: Job, task: Task, results: Mapping[int | str, Drawn], n_bytes: int, outputs: Outputs
) -> tuple[dict[int | str, Drawn], str]:
    """Leave out the fits whose image files have `n_bytes` or more; return the others, and the sizes of these.

    An `ImageError` is raised if a file is to be replaced, and would stay.
    """
    larger = {k: drawn for k, drawn in results.items() if drawn.n_bytes is not None and drawn.n_bytes >= n_bytes}
    for k, drawn in larger.items():
        n_layers = len(drawn.files.get("layers", ()))
        for path in (*job.files(k).values(), *(job.layer(k, number) for number in range(1, n_layers + 1))):
            outputs.drop(path)
    left = {k: drawn for k, drawn in results.items() if k not in larger}
    sizes = ", ".join(f"{drawn.n_bytes:,} bytes at k = {k}" for k, drawn in larger.items())
    images = [job.files(k)["image"] for k in larger]
    replaces = task.to is Destination.FILES and task.existing is Existing.REPLACE
    if kept := ", ".join(path.name for path in images if replaces and exists(path)):  # it may be of another image
        remedy = "remove it, or leave out --skip-if-larger"
        raise ImageError(f"{sizes}, the image has {n_bytes:,}, but {kept} of an earlier run would stay; {remedy}")
    return left, sizes


def _not_smaller(job: Job, task: Task, reason: str, input_format: str) -> Skipped:
    """Return that no file of an image is smaller than it; on standard output it then takes the place of the result."""
    if task.to is not Destination.STANDARD_OUTPUT:
        return Skipped(job.source, reason)
    name = task.products.format
    if f".{name}" not in INPUT_FORMATS[input_format].extensions:
        raise ImageError(f"{reason}, but as {input_format} it cannot stand for {name}; leave out --skip-if-larger")
    with errors_of_reading(), open_path(job.source, byte_limit(task.max_pixels)) as file:
        return Skipped(job.source, f"{reason} and is passed on", drawn=file.read())


def _write(
    job: Job, path: AnyPath, encode: Callable[..., bytes], writer: FileWriter, watch: Watcher, *content: Any
) -> None:
    """Stage a recoloured image and report the phase, which takes longest where files are optimized."""
    phase = "optimizing" if job.products.optimize else "writing"
    watch(job.source, Phase(f"{phase} {path.name}"), 0, math.nan)
    writer.write(path, encode, *content)


def _is_lossy(image: DecodedImage, flat: FlatImage, task: Task) -> bool:
    """Return whether an image file differs from the recoloured image, of which the figures are."""
    if task.to is Destination.RECORD:
        return False
    output, alpha = output_format(task.products.format), flat.alpha
    cuts_alpha = output.alpha != "full" and alpha is not None and bool(((alpha > 0) & (alpha < 255)).any())
    cuts_frames = output.frames == "first" and image.animation is not None and image.animation.n_frames > 1
    return not output.exact or cuts_alpha or cuts_frames


def _losses(image: DecodedImage, flat: FlatImage, task: Task, *, lossy: bool) -> tuple[str, ...]:
    """Return a warning for everything that the output format cannot store; refuse too many colours.

    The first one adds which image the figures are of, if the file is `lossy`.
    """
    if task.to is Destination.RECORD:
        return ()
    output = output_format(task.products.format)
    if reason := output.refusal_of_colors(largest_of(task.ks) if flat.n_visible else 0):
        raise ImageError(reason)
    metadata = image.metadata if task.products.keep_metadata else None
    is_still = image.animation is None or image.animation.n_frames == 1
    is_unused = task.products.optimize and output.name == "gif" and is_still
    unused = ["--optimize has no effect on gif images without animation"] * is_unused
    hides_several = flat.n_visible > 0 and flat.hidden is not None and len(flat.hidden) > 1
    is_indexed = output.name == "png" and task.settings.recolor != "soft"
    if hides_several and output.alpha == "full" and not is_indexed and not task.products.optimize:
        unused.append(f"{output.name} keeps the hidden colours of transparent pixels; --optimize drops them")
    losses = output.losses(alpha=flat.alpha, animation=image.animation, metadata=metadata)
    if lossy:
        losses = (f"{losses[0]}; the PSNR is that of the image before it is stored", *losses[1:])
    return (*losses, *unused)


def _most_colors(flat: FlatImage, task: Task) -> int:
    """Return the most colours that a fit to an image may have so that its file holds them and the transparency.

    There is no limit to given palettes and models: of these, only the colours that occur take an entry.
    """
    limit = output_format(task.products.format).max_colors
    clear = flat.alpha is not None and bool((flat.alpha < OPAQUE).any())
    is_fitted = isinstance(task.strategy, FitEach) and task.to is not Destination.RECORD
    return limit - 1 if limit is not None and clear and is_fitted else MAX_K


def _record_of(
    job: Job,
    task: Task,
    quantizer: Quantizer,
    results: Mapping[int | str, Drawn],
    notes: list[str],
    choices: Choices,
    digest: str,
    n_bytes: int,
    *,
    lossy: bool,
) -> Record:
    """Return the record of an image, or its entry in a shared one; the notes on its fits are added to `notes`."""
    path, mark = job.source_in_record, {"lossy": True} if lossy else {}
    if job.in_shared_report:
        from gmmquant.report.shared_record import shared_fit_record, shared_image_record

        fits = [shared_fit_record(fit, files, asked=k, n_bytes=n) | mark for k, (fit, files, n, _) in results.items()]
        entry = shared_image_record(path, quantizer, fits, n_bytes=n_bytes, notes=notes, digest=digest)
        replaces = task.existing is Existing.REPLACE
        return entry if job.earlier_entry is None else extended(job.earlier_entry, entry, replaces=replaces)
    recolored = [drawn.fit for drawn in results.values()]
    chosen = recoloring_is_chosen(task)
    notes += fit_notes(recolored, quantizer.histogram, quantizer.settings, choices=choices, recoloring_chosen=chosen)
    record = build_record(
        path,
        job.report,
        quantizer,
        [fit_record(fit, files, asked=k, n_bytes=n) | mark for k, (fit, files, n, _) in results.items()],
        n_bytes=n_bytes,
        notes=notes,
        choices=choices,
        extra_inputs=task.strategy.inputs,
        digests={"source": digest, "settings": settings_of(task, job.report)[1]},
    )
    record["settings"]["keep_metadata"] = task.products.keep_metadata
    return record


def _outputs_of(job: Job, task: Task) -> Outputs:
    """Return the set that outputs are staged in: of files, or in memory for standard output."""
    if task.to is not Destination.FILES:
        return HeldSet()
    make_folder(job.folder)
    times = None
    if task.preserve_times and isinstance(job.source, Path):
        with errors_of_reading():
            status = os.stat(job.source)
        times = status.st_atime_ns, status.st_mtime_ns
    overwrite = task.existing is Existing.REPLACE or job.kept is not None
    return OutputSet(overwrite=overwrite, keep=task.existing is Existing.KEEP and not overwrite, times=times)


def number_of_colors(k: int | str, choices: Choices) -> int:
    """Return `k`, or the chosen number if it is "auto" or "auto:DE"."""
    return choices[k].k if isinstance(k, str) else k


def recoloring_is_chosen(task: Task) -> bool:
    """Return whether the user chose how images are recoloured."""
    return task.settings.recolor is not None or task.settings.dither != "none"
