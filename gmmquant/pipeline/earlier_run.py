"""Resuming a run: what the report of an earlier run says about its settings, sources and files.

Settings and sources decide what a run makes, so a run goes on with the files of an earlier one if its settings and the
SHA-256 of its sources are those of the report. Figures are not compared: their last digits depend on the processor.
"""

from __future__ import annotations

import hashlib
import json
import math
import os
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO

from gmmquant.errors import GmmquantError, ImageError, ParameterError
from gmmquant.pipeline.plan import Job, Task
from gmmquant.report.record import Record, settings_record
from gmmquant.settings import AUTO
from gmmquant.system.filesystem import exists, open_path
from gmmquant.system.paths import AnyPath, SourcePath, StandardInput, relative
from gmmquant.system.process import system_reason

REMEDY = "another --output, or --force instead of --skip-existing"

# Numbers of a model made on another processor agree to some 10 digits after hundreds of iterations.
_TOLERANCE = 1e-6


@dataclass(frozen=True)
class EarlierRun:
    """What a report says of the run that wrote it.

    Attributes
    ----------
    report : Path or RemotePath
    settings : dict
        Those of the record; of a shared one also `sample_size`.
    digests : dict
        SHA-256 of the settings, and of the source or the sources.
    layers : dict
        Names of the layers by k, "auto" where it was chosen.
    images : dict
        Of a shared report: the SHA-256 of each image by its path in the report, None if the image failed.
    n_fitted : int
        Of a shared report: the number of images that the mixture was fitted to.
    """

    report: AnyPath
    settings: Record
    digests: dict[str, str]
    layers: dict[int | str, list[str]]
    images: dict[str, str | None]
    n_fitted: int = 1

    def refuse_other_settings(self, settings: Record, digest: str) -> None:
        """Raise a `ParameterError` that names the first setting with another value than in the report."""
        for name, value in settings.items():
            if name in self.settings and self.settings[name] != value:
                option = "-k" if name == "k" else "--" + name.replace("_", "-")
                raise ParameterError(
                    f"{self.report.name} is of a run with {option} {_shown(self.settings[name])}, not {_shown(value)}; "
                    f"give the same options, {REMEDY}"
                )
        if digest != self.digests["settings"]:
            raise ParameterError(
                f"{self.report.name} is of a run with other --optimize or --keep-metadata, or with another content of "
                f"the file given by --model, --palette or --transfer-from; give the same, {REMEDY}"
            )

    def refuse_other_images(self, paths: Iterable[str]) -> None:
        """Raise a `ParameterError` that names an image which only one of the two shared runs has."""
        planned = set(paths)
        for path in sorted(planned ^ self.images.keys()):
            which = "without" if path in planned else "with"
            raise ParameterError(
                f"{self.report.name} is of a run {which} {path}, so its mixture is another; give the same images, "
                f"{REMEDY}"
            )

    def digest_of_image(self, source: SourcePath) -> str | None:
        """Return the digest in a shared report of an image; None if the image failed."""
        return self.images[relative(source, self.report.parent)]

    def refuse_changed(self, source: SourcePath, recorded: str, digest: str) -> None:
        """Raise an `ImageError` if the digest of a source is not the recorded one."""
        if digest != recorded:
            raise ImageError(changed_reason(source, self.report))

    def refuse_if_changed(self, source: SourcePath, recorded: str) -> None:
        """Raise an `ImageError` if a source changed; it is read only if its times are newer than those of the report.

        Files behind URLs are not asked, because each question is a round trip.
        """
        if isinstance(source, Path) and isinstance(self.report, Path):
            try:
                image, report = os.stat(source), os.stat(self.report)
            except OSError:  # reading the image will say why
                return
            if image.st_mtime_ns > report.st_mtime_ns or image.st_ctime_ns > report.st_ctime_ns:
                self.refuse_changed(source, recorded, digest_of_source(source))
        elif isinstance(source, StandardInput):
            self.refuse_changed(source, recorded, digest_of_source(source))

    def has_layers(self, job: Job) -> bool:
        """Return whether all layers exist that the report names for each k of a job."""
        names = [self.layers.get(k, []) for k in job.ks]
        return all(names) and all(exists(job.folder / name) for of_fit in names for name in of_fit)


def read_earlier_run(report: AnyPath) -> EarlierRun | None:
    """Read the report of an earlier run; None if there is none.

    Raises
    ------
    ParameterError
        If the file cannot be read, or is no such report.
    """
    try:
        if not exists(report):
            return None
        with open_path(report) as file:
            record = json.load(file)
        images = record.get("images", [])
        shared = "images" in record
        if shared and record["total"]["images"] != len(images):
            raise ValueError
        digests = {name: str(record["digest"][name]) for name in ("settings", "sources" if shared else "source")}
        n_fitted = record["fitted"]["images"] if shared else 1
        return EarlierRun(
            report,
            {**record["settings"], **({"sample_size": record["fitted"]["sample_size"]} if shared else {})},
            digests,
            {
                AUTO if fit["auto"] else fit["k"]: [str(n) for n in fit["files"].get("layers", [])]
                for fit in record["fits"]
            },
            {image["path"]: image["digest"] for image in images}
            | {image["path"]: None for image in record.get("failed", [])},
            n_fitted,
        )
    except OSError as error:
        raise ParameterError(f"{report.name} cannot be read: {system_reason(error)}; move it, give {REMEDY}") from None
    except GmmquantError as error:
        raise ParameterError(f"{report.name} cannot be read: {error}") from None
    except (ValueError, TypeError, KeyError, AttributeError, RecursionError):
        raise ParameterError(
            f"{report.name} is damaged, or not a report of this version of gmmquant; move it, give {REMEDY}"
        ) from None


def changed_reason(source: SourcePath, report: AnyPath) -> str:
    """Return the reason to refuse an image that is not the one of the report."""
    return f"{source.name} changed after {report.name} was written; give {REMEDY}"


def settings_of(task: Task, report: AnyPath) -> tuple[Record, str]:
    """Return the settings of a task as its record shows them, and the SHA-256 of all that decides the files of a fit.

    The digest covers the content of a model, a palette or an image to take colours from, not the name of its file.
    """
    strategy, products = task.strategy, task.products
    settings = settings_record(strategy.settings(task.settings), strategy.inputs(), report)
    by_value = {name: value for name, value in settings.items() if name not in strategy.inputs()}
    content = [by_value, strategy.digest, products.optimize, products.keep_metadata]
    return settings, hashlib.sha256(json.dumps(content, sort_keys=True).encode("ascii")).hexdigest()


def digest_of(file: BinaryIO) -> str:
    """Return the SHA-256 of a whole file."""
    file.seek(0)
    return hashlib.file_digest(file, "sha256").hexdigest()  # type: ignore[arg-type]  # it has `readinto`


def digest_of_source(source: SourcePath) -> str:
    """Return the SHA-256 of a source; an `ImageError` if it cannot be read."""
    try:
        with open_path(source) as file:
            return digest_of(file)
    except OSError as error:
        raise ImageError(system_reason(error)) from None


def digest_of_all(digests: Iterable[str]) -> str:
    """Return the SHA-256 of the digests of many sources, in whatever order they come."""
    return hashlib.sha256("\n".join(sorted(digests)).encode("ascii")).hexdigest()


def refuse_other_content(path: AnyPath, data: bytes) -> None:
    """Raise an `ImageError` if a file is not what this run would write: `data`, of a model but for rounding."""
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
    raise ImageError(f"{path.name} exists and is of a run of other images or options, or was changed; give {REMEDY}")


def _is_close(one: Any, other: Any) -> bool:
    """Return whether two JSON values are equal but for the rounding of numbers."""
    if isinstance(one, dict) and isinstance(other, dict):
        return one.keys() == other.keys() and all(_is_close(one[name], other[name]) for name in one)
    if isinstance(one, list) and isinstance(other, list):
        return len(one) == len(other) and all(map(_is_close, one, other))
    if isinstance(one, float) and isinstance(other, float):
        return math.isclose(one, other, rel_tol=_TOLERANCE, abs_tol=1e-9)
    return bool(one == other)


def _shown(value: object) -> str:
    """Return the value of a setting as it is typed."""
    if isinstance(value, list):
        return " ".join(map(str, value))
    return "default" if value is None else str(value)
