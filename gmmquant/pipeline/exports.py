"""Write the files of a fit: models, palettes, maps and layers."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from concurrent.futures import Executor, Future
from functools import partial
from time import perf_counter
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

from gmmquant.images.encoding.encode import encode_image
from gmmquant.pipeline.earlier_run import refuse_other_content
from gmmquant.pipeline.plan import Job
from gmmquant.quantization.quantizer import Quantizer
from gmmquant.quantization.result import QuantizedImage, RecoloredFit
from gmmquant.quantization.saved_model import encode_model
from gmmquant.system.atomic import HeldSet, OutputSet
from gmmquant.system.filesystem import examine
from gmmquant.system.paths import AnyPath

if TYPE_CHECKING:
    from gmmquant.images.maps import GreyMap

Outputs = OutputSet | HeldSet


class FileWriter:
    """Encodes and stages the files of a fit with an executor, except those to keep, and adds up the seconds.

    A kept file that no report lists (`is_listed`) must have the content that this run would write: the options of an
    earlier run are not known.
    """

    def __init__(
        self,
        executor: Executor,
        outputs: Outputs,
        is_kept: Callable[[AnyPath], bool],
        is_listed: Callable[[AnyPath], bool] = lambda path: True,
    ) -> None:
        self._executor, self._outputs, self._is_kept, self._is_listed = executor, outputs, is_kept, is_listed
        self._staged: list[Future[float]] = []
        self._seconds_here = 0.0
        self._sizes: dict[AnyPath, int] = {}

    def write(self, path: AnyPath, encode: Callable[..., bytes], *content: Any) -> None:
        """Stage `encode(*content)` as the file at `path`, unless that is kept."""
        is_kept = self._is_kept(path)
        if is_kept and self._is_listed(path):
            return

        def stage() -> float:
            started = perf_counter()
            handle = refuse_other_content if is_kept else self._outputs.stage
            data = encode(*content)
            handle(path, data)
            self._sizes[path] = len(data)
            return perf_counter() - started

        if len(self._staged) > 1:  # each waiting file holds its arrays, so at most two layers wait
            self._staged[-2].result()
        self._staged.append(self._executor.submit(stage))

    def write_here(self, path: AnyPath, encode: Callable[..., bytes], *content: Any) -> None:
        """Do the same, but encode in this thread, where a signal stops what takes long."""
        if not self._is_kept(path) or not self._is_listed(path):
            started = perf_counter()
            data = encode(*content)
            self._seconds_here += perf_counter() - started
            self.write(path, bytes, data)

    def seconds(self) -> float:
        """Wait until all files are staged, and return the seconds that this took in total."""
        return self._seconds_here + sum(seconds.result() for seconds in self._staged)

    def n_bytes(self, path: AnyPath) -> int:
        """Return the size of a file that is staged or kept."""
        return self._sizes[path] if path in self._sizes else examine(path, lambda file: file.seek(0, os.SEEK_END))


def write_products(
    quantizer: Quantizer,
    fit: QuantizedImage,
    job: Job,
    k: int | str,
    writer: FileWriter,
    names: Mapping[str, str] = MappingProxyType({}),
) -> tuple[dict[str, Any], dict[str, GreyMap]]:
    """Write the files of a fit except the image; return the paths of all for the record, and the grey maps.

    `names` are those of colours by hex code, for palette files.
    """
    paths, maps = job.files(k), job.products.maps
    drawn: dict[str, GreyMap] = {}
    files: dict[str, Any] = {"image": job.output_in_record(paths["image"]), **write_mixture(fit, job, k, writer, names)}
    if maps:
        from gmmquant.images.maps import encode_grey_map, encode_label_map

        files["maps"] = {name: {"file": job.output_in_record(paths[f"map {name}"])} for name in maps}
        if "labels" in maps:
            writer.write(paths["map labels"], encode_label_map, fit.labels, fit.palette, quantizer.visible)
        if "entropy" in maps or "loglik" in maps:
            for name, grey in zip(("entropy", "loglik"), quantizer.maps(fit), strict=True):
                if name in maps:
                    drawn[name] = grey
                    writer.write(paths[f"map {name}"], encode_grey_map, grey)
                    files["maps"][name] |= {"unit": grey.unit, "black": grey.black, "white": grey.white}
    if job.products.layers:
        exact = job.products.layers == "exact"
        files["layers"] = []
        for number, layer in enumerate(quantizer.layers(fit, exact=exact), start=1):
            path = job.layer(k, number)
            writer.write(path, encode_image, layer, "png")
            files["layers"].append(job.output_in_record(path))
        if exact and files["layers"]:
            writer.write_here(paths["openraster"], quantizer.openraster, fit)
            files["openraster"] = job.output_in_record(paths["openraster"])
    return files, drawn


def write_mixture(
    fit: RecoloredFit, job: Job, k: int | str, writer: FileWriter, names: Mapping[str, str] = MappingProxyType({})
) -> dict[str, Any]:
    """Write the model and the palettes of a fit, unless it has no components; return their paths for the record."""
    if len(fit.weights) == 0:
        return {}
    paths, palettes = job.files(k), job.products.palettes
    files: dict[str, Any] = {}
    if job.products.models:
        writer.write(paths["model"], encode_model, fit)
        files["model"] = job.output_in_record(paths["model"])
    if palettes:
        from gmmquant.colors.palette_files import encode_palette
        from gmmquant.images.palette_image import ALL_FORMATS

        files["palettes"] = {name: job.output_in_record(paths[f"palette {name}"]) for name in palettes}
        encode = partial(
            encode_palette,
            name=f"{job.stem} {len(fit.weights)}" if job.stems[k] != job.stem else job.stem,
            shares=fit.shares,
            names=names,
            formats=ALL_FORMATS,
        )
        for name in palettes:
            writer.write(paths[f"palette {name}"], encode, fit.palette, name)
    return files
