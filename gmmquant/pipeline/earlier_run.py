"""Continue an earlier run: compare its report with the settings and sources of this run.

Settings and sources determine the outputs, so the files of an earlier run are kept, and its report gets the fits of
more numbers of colours, if it has the same settings and the same SHA-256 of the sources. Figures are not compared,
because their last digits depend on the processor.
"""

from __future__ import annotations

import hashlib
import json
import math
import os
import shlex
from collections.abc import Callable, Iterable, Iterator, Sequence
from itertools import chain
from pathlib import Path
from typing import Any, BinaryIO, NamedTuple

from gmmquant.colors.named_palettes import name_of
from gmmquant.errors import GmmquantError, ImageError, OtherSettingsError, ParameterError
from gmmquant.images.files import read_image
from gmmquant.pipeline.plan import Job, Task
from gmmquant.pipeline.sources import errors_of_reading
from gmmquant.report.record import EXTRA_INPUTS, Record, extended, fit_key, record_in_page, settings_record
from gmmquant.system.filesystem import exists, open_path
from gmmquant.system.paths import AnyPath, SourcePath, StandardInput, as_text, path_from_here, relative
from gmmquant.system.process import system_reason
from gmmquant.version import __version__

# A fit in a record: the k that was asked for, and the name of its image.
FitKey = tuple[int | str, str | None]

_MOST_SHOWN = 8  # values of a list in a message

REMEDY = "another --output or --name, or --force"

# The numbers of models from two processors agree to some 10 digits after hundreds of iterations.
_RELATIVE_TOLERANCE, _ABSOLUTE_TOLERANCE = 1e-6, 1e-9


class EarlierRun(NamedTuple):
    """A report, and its parts that a run which continues it must match."""

    report: AnyPath
    data: bytes
    record: Record
    settings: Record  # those of the record; of a shared one also `sample_size`
    digests: dict[str, str]  # SHA-256 of the settings, and of the source or the sources
    fits: dict[FitKey, list[str]]  # names of the layers of each fit
    images: dict[str, Record | None]  # in a shared report: the entry of each image by its path; None if it failed
    n_fitted: int = 1  # in a shared report: the number of images that the mixture was fitted to
    image: str | None = None  # the path of the image; None in a shared report

    def refuse_other_settings(self, settings: Record, digest: str) -> None:
        """Raise a `ParameterError` that names the first setting whose value differs from that in the report."""
        # Other settings follow from an input, so that its difference is the one to name.
        for name in (*EXTRA_INPUTS, *settings):
            earlier, now = (values.get(name) for values in (self.settings, settings))
            if name in self.settings and name in settings and earlier != now:
                raise OtherSettingsError(
                    self.report.name,
                    f"{_with(name, self._typed(self.settings))}, this run is {_with(name, self._typed(settings))}; "
                    f"use the same options, {REMEDY}",
                )
        if digest != self.digests["settings"]:
            raise ParameterError(
                f"{self.report.name} was written with another content of the file of --model, --palette or "
                f"--transfer-from; use the same file, {REMEDY}"
            )

    def refuse_other_images(self, paths: Sequence[str], can_be_read: Callable[[str], bool]) -> None:
        """Raise a `ParameterError` that names an image which only one of two shared runs has.

        An image that cannot be read is in no mixture: one that failed may be gone, and one that came may fail.
        """
        gone = {path for path, entry in self.images.items() if entry is not None}.difference(paths)
        for path in chain(sorted(gone), filter(can_be_read, (path for path in paths if path not in self.images))):
            which = "with" if path in gone else "without"
            raise ParameterError(
                f"{self.report.name} was written {which} {self.path_from_here(path)}, so its mixture differs; use the "
                f"same images, for more of them --model (after --save-model), {REMEDY}"
            )

    def _typed(self, settings: Record) -> Record:
        """Return settings whose files are named as they can be typed here, and not from the folder of the report."""
        files = {name: settings.get(name) for name in EXTRA_INPUTS}
        return {
            **settings,
            **{name: self.path_from_here(path) for name, path in files.items() if isinstance(path, str)},
        }

    def path_from_here(self, path: str) -> str:
        """Return a path of the report as it can be typed here: relative to the current folder, if it is below it."""
        if not isinstance(self.report, Path) or "://" in path:
            return path
        return path_from_here(Path(os.path.realpath(self.report.parent), path))

    def digest_of_image(self, source: SourcePath) -> str | None:
        """Return the digest of an image in a shared report; None if the image failed or is new."""
        entry = self.entry_of(source)
        return None if entry is None else entry["digest"]

    def entry_of(self, source: SourcePath) -> Record | None:
        """Return the entry of an image in a shared report; None if the image failed or is new."""
        return self.images.get(relative(source, self.report.parent))

    def is_about(self, source: SourcePath) -> bool:
        """Return whether the report names a source; a shared one always, as its images are compared by their paths."""
        return self.image in (None, relative(source, self.report.parent))

    def refuse_newer(self, source: SourcePath, earlier_digest: str | None) -> None:
        """Raise an `ImageError` if a source changed, or if the report is about another image.

        The source is read only if its times are newer than those of the report, or if it has another path. The times of
        remote files are not looked up, because each request takes a round trip.
        """
        is_newer = isinstance(source, StandardInput) or not self.is_about(source)
        if isinstance(source, Path) and isinstance(self.report, Path):
            try:
                image, report = os.stat(source), os.stat(self.report)
            except OSError:  # reading the image will report it
                return
            is_newer |= image.st_mtime_ns > report.st_mtime_ns or image.st_ctime_ns > report.st_ctime_ns
        if is_newer and earlier_digest is not None:
            with errors_of_reading(), open_path(source) as file:
                self.refuse_changed(source, earlier_digest, digest_of(file))

    def refuse_changed(self, source: SourcePath, earlier_digest: str | None, digest: str) -> None:
        """Raise an `ImageError` if a source has another digest than in the report; None: it is not in the report."""
        if not self.is_about(source) and earlier_digest not in (None, digest):
            raise ImageError(f"{self.report.name} is about {self.image_name(source)}; use {REMEDY}")
        refuse_changed(source, self.report, earlier_digest, digest, is_shared=self.image is None)

    def image_name(self, other: SourcePath) -> str:
        """Return the name of the image that the report is about, or its path from here if `other` has the same name."""
        path = self.image or ""
        name = path.rpartition("/")[2]
        return self.path_from_here(path) if name == other.name else name

    def is_complete(self, job: Job, k: int | str) -> bool:
        """Return whether the report lists all files of a job at one k, and they exist, also all layers."""
        names, listed = self.fits.get(key_of(job, k)), files_listed(self.record["fits"], job)
        if names is None or not all(job.output_in_record(p) in listed and exists(p) for p in job.files(k).values()):
            return False
        if not job.products.layers:
            return True
        exact = job.products.layers == "exact"
        of_kind = [name for name in names if name.endswith("_exact.png") == exact]
        return job.layer(k, 1).name in of_kind and all(exists(job.folder / name) for name in of_kind)

    def refuse_damaged(self, job: Job, max_pixels: int) -> None:
        """Raise an `ImageError` if a local image of a job is damaged, or of another width or height than its source.

        It is read only if its number of bytes is not that in the report.
        """
        entry = self.entry_of(job.source) if job.in_shared_report else {**self.record["image"], **self.record}
        sizes = {} if entry is None else {fit_key(fit): fit.get("bytes") for fit in entry["fits"]}
        for k in job.ks:
            path, size = job.files(k)["image"], sizes.get(key_of(job, k))
            if size is None or not isinstance(path, Path) or not exists(path) or path.stat().st_size == size:
                continue
            reason = _reason_against(path, entry or {}, max_pixels)
            if reason:
                raise ImageError(f"{path.name} is not kept, as it {reason}; remove it, or use --force to replace it")

    def extended(self, record: Record, *, replaces: bool) -> Record:
        """Return the report with the fits of this run: see `record.extended`; of a shared one without its images.

        A `ParameterError` is raised if it has other keys than a report of this version.
        """
        self.refuse_other_version()
        kinds = [_kind_of(fit) for fit in (*self.record["fits"], *record["fits"])]
        if self.record["schema"] != record["schema"] or any(kind != kinds[-1] for kind in kinds):
            raise _damaged(self.report)
        return extended(self.record, record, replaces=replaces)

    def refuse_other_version(self) -> None:
        """Raise a `ParameterError` if the report is not that of this version."""
        lists = all(isinstance(self.record.get(name), list) for name in ("notes", "choices"))
        if not lists or self.record.get("version") != __version__ or "schema" not in self.record:
            raise _damaged(self.report)


def key_of(job: Job, k: int | str) -> FitKey:
    """Return the key of a job's fit in records: see `record.fit_key`."""
    return k, job.output_in_record(job.files(k)["image"])


def files_listed(fits: Iterable[Record], job: Job) -> frozenset[str]:
    """Return the files in those of some records of fits that are of a job, as paths from the folder of the report."""
    keys = {key_of(job, k) for k in job.ks}
    return frozenset(name for fit in fits if fit_key(fit) in keys for name in files_in(fit["files"]))


def files_in(value: Any) -> Iterator[str]:
    """Yield the paths in the "files" of the record of a fit, those of maps without their units."""
    if isinstance(value, str):
        yield value
    elif isinstance(value, dict):
        yield from chain.from_iterable(map(files_in, [value["file"]] if "file" in value else value.values()))
    elif isinstance(value, list):
        yield from chain.from_iterable(map(files_in, value))


def _reason_against(path: Path, entry: Record, max_pixels: int) -> str:
    """Return why a file is not the recoloured image of a source with an `entry` in a record; empty if it may be."""
    try:
        with errors_of_reading(), open_path(path) as file:
            image = read_image(file, max_pixels=max_pixels)
    except ImageError as error:
        return f"cannot be read: {str(error).partition('; ')[0]}"  # the remedy is for inputs
    n_frames = 1 if image.animation is None else image.animation.n_frames
    height, width = image.pixels.shape[0] // n_frames, image.pixels.shape[1]
    expected = entry.get("width"), entry.get("height")
    return "" if expected == (width, height) else f"has {width} x {height} pixels, not {expected[0]} x {expected[1]}"


def earlier_report(job: Job) -> AnyPath | None:
    """Return the report of a job that holds the record of an earlier run, if there is one: JSON, or a page.

    A job without reports continues none.
    """
    if job.in_shared_report or not job.reports:
        return None
    return next((path for path in (job.report, *([] if job.is_shared_report else [job.page])) if exists(path)), None)


def read_earlier_run(report: AnyPath | None) -> EarlierRun | None:
    """Read the report of an earlier run; None if there is none, a `ParameterError` if it cannot be read."""
    if report is None:
        return None
    try:
        if not exists(report):
            return None
        with open_path(report) as file:
            data = file.read()
        text = record_in_page(data) if report.suffix == ".html" else data
        record = json.loads(text, parse_constant=_refuse_constant)
        settings, images, n_fitted = record["settings"], record.get("images", []), 1
        shared = "images" in record
        if shared:
            settings = {**settings, "sample_size": record["fitted"]["sample_size"]}
            n_fitted = record["fitted"]["images"]
            if record["total"]["images"] != len(images):
                raise ValueError
        digests = {name: str(record["digest"][name]) for name in ("settings", "sources" if shared else "source")}
        fits = {fit_key(fit): [str(name) for name in fit["files"].get("layers", [])] for fit in record["fits"]}
        entries = {image["path"]: image for image in images}
        if not all({"digest", "fits", "notes"} <= entry.keys() for entry in entries.values()):
            raise ValueError
        entries |= dict.fromkeys(image["path"] for image in record.get("failed", []))
        image = None if shared else str(record["image"]["path"])
        if not shared and not isinstance(record["image"]["visible_pixels"], int):
            raise ValueError
        return EarlierRun(report, data, record, {**settings}, digests, fits, entries, n_fitted, image)
    except OSError as error:
        raise ParameterError(
            f"{report.name} cannot be read: {system_reason(error)}; move it, or use {REMEDY}"
        ) from None
    except GmmquantError as error:
        raise ParameterError(f"{report.name} cannot be read: {error}") from None
    except (ValueError, TypeError, KeyError, AttributeError, RecursionError):
        raise _damaged(report) from None


def _damaged(report: AnyPath) -> ParameterError:
    return ParameterError(
        f"{report.name} is damaged, or not a report of this version of gmmquant; move it, or use {REMEDY}"
    )


def _kind_of(value: Any, name: str = "") -> Any:
    """Return the structure of a value of a record: keys and types, whether it is a list, and None for figures."""
    if isinstance(value, dict) and name != "files":
        optional = ("regions", "seeds", "best_seed", "fixed", "lossy")
        return {key: _kind_of(value[key], key) for key in sorted(value) if key not in optional}
    if isinstance(value, list) and name in ("hex", "weight", "mean", "covariance", "pixels"):
        return all(isinstance(entry, list) == (name in ("mean", "covariance")) for entry in value)
    is_figure = value is None or isinstance(value, (int, float)) or name == "asked"
    return None if is_figure else type(value).__name__


def _refuse_constant(name: str) -> None:
    raise ValueError(f"{name} is not JSON")


def refuse_changed(
    source: SourcePath, report: AnyPath, earlier_digest: str | None, digest: str, *, is_shared: bool
) -> None:
    """Raise an `ImageError` if a source has another digest than in the report; None: it is not in the report.

    The outputs of one image can be replaced alone, but not those of a shared mixture.
    """
    if earlier_digest in (None, digest):
        return
    remedy = REMEDY
    if not is_shared:
        elsewhere = not isinstance(source, StandardInput) and report.parent != source.parent
        folder = f" and --output {shlex.quote(as_text(path_from_here(report.parent)))}" * elsewhere
        remedy = f"--force with this image alone{folder}, or another --output or --name"
    raise ImageError(f"{source.name} changed after {report.name} was written; use {remedy}")


def settings_of(task: Task, report: AnyPath) -> tuple[Record, str]:
    """Return the settings of a task as in its record, and the SHA-256 of everything that determines the files of a fit.

    The digest covers the content of a model, a palette or an image to take colours from, but not the name of its file.
    """
    strategy = task.strategy
    settings = settings_record(strategy.settings(task.settings), strategy.inputs, report)
    settings["keep_metadata"] = task.products.keep_metadata
    by_value = {name: value for name, value in settings.items() if name not in strategy.inputs}
    content = [by_value, strategy.digest]
    return settings, hashlib.sha256(json.dumps(content, sort_keys=True).encode("ascii")).hexdigest()


def digest_of(file: BinaryIO) -> str:
    """Return the SHA-256 of an open file."""
    file.seek(0)
    return hashlib.file_digest(file, "sha256").hexdigest()  # type: ignore[arg-type]  # it has `readinto`


def digest_of_all(digests: Iterable[str]) -> str:
    """Return the SHA-256 of the digests of many sources, the same for any order."""
    return hashlib.sha256("\n".join(sorted(digests)).encode("ascii")).hexdigest()


def refuse_other_content(path: AnyPath, data: bytes) -> None:
    """Raise an `ImageError` if a file has other content than `data`; in models, numbers may differ by rounding."""
    with open_path(path) as file:
        earlier = file.read()
    if earlier == data:
        return
    if path.suffix == ".json":
        try:
            if _is_close(json.loads(earlier), json.loads(data)):
                return
        except (ValueError, RecursionError):
            pass
    raise ImageError(f"{path.name} exists, but was written for other images or options, or has changed; use {REMEDY}")


def _is_close(one: Any, other: Any) -> bool:
    """Return whether two JSON values are equal except for the rounding of numbers."""
    if isinstance(one, dict) and isinstance(other, dict):
        return one.keys() == other.keys() and all(_is_close(one[name], other[name]) for name in one)
    if isinstance(one, list) and isinstance(other, list):
        return len(one) == len(other) and all(map(_is_close, one, other))
    if isinstance(one, float) and isinstance(other, float):
        return math.isclose(one, other, rel_tol=_RELATIVE_TOLERANCE, abs_tol=_ABSOLUTE_TOLERANCE)
    return bool(one == other)


def _with(name: str, settings: Record) -> str:
    """Return a setting and its value as on the command line, after "with" or "without"."""
    value = settings[name]
    if name in ("seed", "n_seeds"):
        name, value = "seed", _seeds(settings.get("seed"), settings.get("n_seeds"))
    option = "-k" if name == "k" else "--" + name.replace("_", "-")
    if value is None or value is False or value == []:
        return f"without {option}"
    if isinstance(value, list):
        shown, more = value[:_MOST_SHOWN], len(value) - _MOST_SHOWN
        value = name_of(value) or " ".join(map(str, shown)) + f" and {more} more" * (more > 0)
    return f"with {option}" if value is True else f"with {option} {value}"


def _seeds(first: Any, number: Any) -> Any:
    """Return the seeds of a record as on the command line: 3, or 1-5."""
    several = isinstance(first, int) and isinstance(number, int) and number > 1
    return f"{first}-{first + number - 1}" if several else first
