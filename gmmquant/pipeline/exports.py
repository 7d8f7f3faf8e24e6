"""The files of a fit other than the image: the model, palettes, maps and layers."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from gmmquant.images.encoding.encode import encode_image
from gmmquant.pipeline.plan import Job, layer_name
from gmmquant.quantization.quantizer import Quantizer
from gmmquant.quantization.result import QuantizedImage, RecoloredFit
from gmmquant.version import __version__

# Writes what a function makes of some content to a path.
Write = Callable[..., None]


def write_products(quantizer: Quantizer, fit: QuantizedImage, job: Job, k: int | str, write: Write) -> dict[str, Any]:
    """Let `write` make the files of a fit, but for the image; return their names, for the record.

    `write(path, encode, *content)` writes the bytes that `encode` makes of `content`.
    """
    files: dict[str, Any] = {"image": job.path_in_report(job.files[k]["image"]), **write_mixture(fit, job, k, write)}
    if job.products.maps:
        files["maps"] = _write_maps(quantizer, fit, job, k, write)
    if job.products.layers:
        files["layers"] = []
        for number, layer in enumerate(quantizer.layers(fit), start=1):
            path = job.folder / layer_name(job.stem, k, number)
            write(path, encode_image, layer, "png")
            files["layers"].append(job.path_in_report(path))
    return files


def write_mixture(fit: RecoloredFit, job: Job, k: int | str, write: Write) -> dict[str, Any]:
    """Let `write` make the files of the mixture of a fit: model and palettes; return their names."""
    paths, forms = job.files[k], job.products.palettes
    files: dict[str, Any] = {}
    if job.products.models:
        write(paths["model"], _encode_model, fit)
        files["model"] = job.path_in_report(paths["model"])
    if forms:
        files["palettes"] = {form: job.path_in_report(paths[f"palette {form}"]) for form in forms}
        for form in forms:
            write(paths[f"palette {form}"], _encode_palette, fit, form, f"{job.stem} {len(fit.weights)}")
    return files


def _write_maps(quantizer: Quantizer, fit: QuantizedImage, job: Job, k: int | str, write: Write) -> dict[str, Any]:
    """Write the maps that are wanted; return for each its file, and what its values mean."""
    from gmmquant.images.maps import encode_grey_map, encode_label_map

    paths, maps = job.files[k], job.products.maps
    told: dict[str, Any] = {what: {"file": job.path_in_report(paths[f"map {what}"])} for what in maps}
    if "labels" in maps:
        write(paths["map labels"], encode_label_map, fit.labels, fit.palette, quantizer.visible)
    if {"entropy", "loglik"} & set(maps):
        for what, grey in zip(("entropy", "loglik"), quantizer.maps(fit), strict=True):
            if what in maps:
                write(paths[f"map {what}"], encode_grey_map, grey)
                told[what] |= {"unit": grey.unit, "black": grey.black, "white": grey.white}
    return told


def _encode_model(fit: RecoloredFit) -> bytes:
    from gmmquant.models.serialization import Model, model_to_json

    facts = {"color_space": fit.fit.space, "exact": fit.fit.exact, "recolor": fit.recoloring, "method": fit.fit.method}
    return model_to_json(Model(fit.mixture, facts), __version__).encode("ascii")


def _encode_palette(fit: RecoloredFit, form: str, name: str) -> bytes:
    from gmmquant.colors.palette_files import encode_palette
    from gmmquant.images.palette_image import encode_swatches

    if form == "png":
        return encode_swatches(fit.palette)
    return encode_palette(fit.palette, form, name=name, weights=fit.weights)
