"""The record of results in memory, for Python programs."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import fields
from pathlib import Path

from gmmquant.errors import ParameterError
from gmmquant.quantization.quantizer import Quantizer
from gmmquant.quantization.result import QuantizedImage
from gmmquant.report.record import Record, build_record, fit_record
from gmmquant.settings import OF_FITS, Settings


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
        If there is no result, one is of another image or of other settings, some are fits and others are of a palette
        or a mixture that was given, or an argument is of another type.

    Notes
    -----
    Images are compared by size, visible pixels, their weight, and the squared error that the labels of the result have.
    A result that `quantize` or `apply_model` returned has its settings: pass `Quantizer(image, result.settings)`.
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
    palette = _palette_of(found)
    fits = [fit_record(result, {}, asked=result.asked) for result in found]
    record = build_record(
        name,
        Path("record"),
        quantizer,
        fits,
        n_bytes=_size_of(quantizer.source),
        choices={result.asked: result.choice for result in found if result.asked and result.choice is not None},
        extra_inputs={"palette": palette} if palette else {},
    )
    if _is_given(found[0]):  # nothing was fitted, as with the command's --model
        record["settings"] |= dict.fromkeys(("style", "average", *OF_FITS))
    return record


def _check_settings(quantizer: Quantizer, result: QuantizedImage) -> None:
    """Raise a ParameterError if a result was fitted or drawn by other settings than the Quantizer's."""
    own, fit = quantizer.settings, result.fit
    was_fitted = fit.converged is not None
    for settings in (result.settings, fit.settings if was_fitted else None):
        for field in fields(Settings) if settings is not None else ():
            found, expected = getattr(settings, field.name), getattr(own, field.name)
            if found != expected:
                raise ParameterError(
                    f"the result has {field.name} = {found!r}, and the quantizer {expected!r}; pass a result of this "
                    "quantizer, or Quantizer(image, result.settings)"
                )


def _palette_of(results: Sequence[QuantizedImage]) -> tuple[str, ...]:
    """Return the palette that was given for all results, or an empty tuple; refuse results of several origins."""
    origins = {_origin(result): None for result in results}
    if len(origins) > 1:
        names = list(dict.fromkeys(name for name, _ in origins))
        found = " and of ".join(names) if len(names) > 1 else "several given palettes"
        raise ParameterError(f"the results are of {found}; make a record of each")
    return next(iter(origins))[1]


def _origin(result: QuantizedImage) -> tuple[str, tuple[str, ...]]:
    """Return what a palette is made from, in words, and the palette that was given, if any."""
    if result.fit.given:
        return "a given palette", result.fit.given
    return ("a given mixture" if _is_given(result) else "a fit"), ()


def _is_given(result: QuantizedImage) -> bool:
    """Return whether the mixture of a result was fitted elsewhere."""
    return result.fit.converged is None


def _size_of(source: Path | None) -> int | None:
    """Return the size of the file that an image was read from, in bytes; None without one, or if it is gone."""
    try:
        return None if source is None else source.stat().st_size
    except OSError:
        return None
