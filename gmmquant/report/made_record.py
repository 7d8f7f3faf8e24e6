"""The record of results in memory, for Python programs."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from gmmquant.errors import ParameterError
from gmmquant.quantization.quantizer import Quantizer
from gmmquant.quantization.result import QuantizedImage
from gmmquant.report.record import Record, build_record, fit_record


def make_record(quantizer: Quantizer, results: QuantizedImage | Iterable[QuantizedImage]) -> Record:
    """Return the record of results, as the command writes it: the figures of an image and of its fits.

    Parameters
    ----------
    quantizer : Quantizer
        That of the image. The settings of the record are its settings.
    results : QuantizedImage, or an iterable of them
        Results of this image. They are ordered as they are given.

    Returns
    -------
    dict
        What `json.dumps` and the plots take. It names no files, as none were written. The path is the name of the file
        that the image was read from, or empty.

    Raises
    ------
    ParameterError
        If there is no result, one is of another image, or an argument is of another type.
    """
    untyped: object = quantizer
    if not isinstance(untyped, Quantizer):
        raise ParameterError(
            f"quantizer is a {type(quantizer).__name__}; pass the Quantizer of the image, as in "
            "quantizer = Quantizer(image); make_record(quantizer, quantizer.fit(7))"
        )
    if not isinstance(results, (QuantizedImage, Iterable)):
        raise ParameterError(f"results is a {type(results).__name__}; pass a QuantizedImage, or a list of them")
    found = [results] if isinstance(results, QuantizedImage) else list(results)
    if not found:
        raise ParameterError("0 results have no record; pass at least 1")
    for result in found:
        quantizer.check_own(result)
    name = "" if quantizer.source is None else quantizer.source.name
    return build_record(name, Path("record"), quantizer, [fit_record(result, {}) for result in found])
