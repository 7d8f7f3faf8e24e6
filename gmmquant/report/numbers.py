"""Numbers as a reader sees them; the page holds each with full precision as well."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any

from gmmquant.system.printable import plural

# The typographic characters, by their codes: some look like others.
NONE, MINUS, TIMES = "\u2013", "\u2212", "\u00d7"
_KILO = 1000


def decimal(value: float | None, digits: int = 0) -> str:
    """Return a number with `digits` after the point, thousands apart and a true minus; a dash for None."""
    if value is None:
        return NONE
    text = f"{value:,.{digits}f}"
    if not text.strip("-0.,"):
        text = text.lstrip("-")
    return text.replace("-", MINUS)


def percent(share: float | None, digits: int = 1) -> str:
    """Return a share of 1 in per cent, without the sign."""
    return decimal(None if share is None else 100 * share, digits)


def file_size(n_bytes: int | None) -> str:
    """Return a number of bytes with three digits, in a decimal unit: 50.2 kB."""
    if n_bytes is None:
        return NONE
    if n_bytes < _KILO:
        return f"{n_bytes} bytes" if n_bytes != 1 else "1 byte"
    value, units = n_bytes / _KILO, ["kB", "MB", "GB", "TB"]
    while value >= _KILO - 0.5 and len(units) > 1:
        value, units = value / _KILO, units[1:]
    return f"{value:,.0f} {units[0]}" if value >= 99.95 else f"{value:#.3g} {units[0]}"


def pixel_size(width: int, height: int) -> str:
    """Return the size of an image: 451 by 300 pixels, with the sign."""
    return f"{decimal(width)} {TIMES} {decimal(height)} pixels"


def mean_difference(value: float) -> str:
    """Return a mean difference of colours, in hundredths of OKLab; a rounding error is 0."""
    return f"{round(value, 6):.3g}"


def series(texts: Sequence[Any]) -> str:
    """Return texts as a sentence lists them: 2, 3 and 7."""
    *most, last = map(str, texts)
    return f"{', '.join(most)} and {last}" if most else last


def setting(value: Any) -> str:
    """Return the value of a setting as text."""
    if value is None or value == []:
        return "not set"
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, (list, tuple)):
        return ", ".join(map(setting, value))
    return f"{value:.6g}" if isinstance(value, float) else str(value)


def ratio(part: float | None, whole: float | None) -> float | None:
    """Return part / whole; None if either is not known, or the whole is 0."""
    return part / whole if part is not None and whole else None


def full(value: float | None) -> str:
    """Return a number with full precision, as `float` reads it; empty for None."""
    return "" if value is None or not math.isfinite(value) else repr(value)


FILTERS: dict[str, Callable[..., Any]] = {
    "decimal": decimal,
    "percent": percent,
    "file_size": file_size,
    "plural": plural,
    "series": series,
    "setting": setting,
    "full": full,
}
