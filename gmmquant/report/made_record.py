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
        Results of this quantizer. They are ordered as they are given.

    Returns
    -------
    dict
        What `json.dumps` and the plots take. It names no files, as none were written. The path is the name of the file
        that the image was read from, or empty.

    Raises
    ------
    ParameterError
        If there is no result, one is of another image or of other settings, or an argument is of another type.
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
        _check_settings(quantizer, result)
    name = "" if quantizer.source is None else quantizer.source.name
    fits = [fit_record(result, {}) for result in found]
    return build_record(name, Path("record"), quantizer, fits, n_bytes=_size_of(quantizer.source))


def _check_settings(quantizer: Quantizer, result: QuantizedImage) -> None:
    """Raise a ParameterError if a result is of other settings than the Quantizer's, as far as it shows them."""
    settings, fit = quantizer.settings, result.fit
    is_fitted = fit.converged is not None and fit.fixed is None
    shown: list[tuple[str, str, str]] = []
    shown += [("method", fit.method, settings.method)] if is_fitted else []
    shown += [("dither", result.dither, settings.dither)] if result.dither != "none" else []
    for name, found, own in shown:
        if found != own:
            raise ParameterError(
                f"the result has {name} = {found!r}, and the quantizer {own!r}; pass a result of this quantizer"
            )


def _size_of(source: Path | None) -> int | None:
    """Return the size of the file that an image was read from, in bytes; None without one, or if it is gone."""
    try:
        return None if source is None else source.stat().st_size
    except OSError:
        return None
