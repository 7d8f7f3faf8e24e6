"""The contact sheet of records: the original and the recoloured images side by side, with their figures."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from gmmquant.errors import ParameterError
from gmmquant.images.contact_sheet.encode import encode_sheet
from gmmquant.images.contact_sheet.layout import Panel, Row
from gmmquant.images.contact_sheet.palette import Palette
from gmmquant.images.recolor import ColorImage, IndexedImage
from gmmquant.report.entry import Collector, Entry
from gmmquant.report.numbers import file_size
from gmmquant.report.outcome import Illustration
from gmmquant.report.record import Record, codes_of, formats_apart
from gmmquant.version import __version__

SheetRow = tuple[Record, npt.NDArray[np.uint8], Sequence[IndexedImage | ColorImage | None]]

# The caption above the palette of an image with transferred colours, which has other ones.
_OF_ORIGINAL = "palette of the original:"

_FOOTER = "LL: mean log-likelihood of a pixel, in nats. Percentages: shares of the pixels."


class SheetRows(Collector):
    """Collects the rows of images for sheets of some `formats`."""

    def __init__(self, formats: Sequence[str]) -> None:
        self._formats = formats
        self._rows: list[Row] = []
        self._small: dict[str, Illustration] = {}

    def illustrate(self, path: str, illustration: Illustration) -> None:
        """Keep the copies of an image until its row is added."""
        self._small[path] = illustration

    def add(self, entry: Entry, illustration: Illustration | None = None) -> None:
        """Add the row of an image, unless there are no copies of it."""
        illustration = illustration or self._small.pop(entry.record["image"]["path"], None)
        if illustration is not None:
            row = illustration.row or sheet_row(entry.record, illustration.original, illustration.images)
            self._rows.append(row._replace(name=entry.name))

    def finish(self) -> dict[str, bytes]:
        """Return the sheets by their contents, "sheet.png", "sheet.png 2" and so on; none if there are no rows."""
        found = {}
        for end in self._formats if self._rows else ():
            for number, data in enumerate(_parts(self._rows, end), start=1):
                found[f"sheet.{end}" + (f" {number}" if number > 1 else "")] = data
        return found


def _parts(rows: Sequence[Row], format: str) -> list[bytes]:  # noqa: A002
    """Return the sheet of some rows; several, if one would be higher than the format allows."""
    try:
        return [sheet(rows, format)]
    except ParameterError:
        if len(rows) < 2:
            raise
    half = (len(rows) + 1) // 2
    return [*_parts(rows[:half], format), *_parts(rows[half:], format)]


def sheet(rows: Iterable[SheetRow | Row], format: str) -> bytes:  # noqa: A002
    """Return a contact sheet as a file, with a row for each image.

    Parameters
    ----------
    rows : iterable of (record, original, recolored), or of `sheet_row` of these
        See `sheet_row`.
    format : "png", "webp", "svg" or "pdf"

    Returns
    -------
    bytes
        The same for the same rows.

    Raises
    ------
    ParameterError
        If the format is another, there are no rows, or the sheet is larger than the format allows.
    """
    compact = [row if isinstance(row, Row) else sheet_row(*row) for row in rows]
    title = compact[0].name if len(compact) == 1 else f"{len(compact)} images"
    return encode_sheet(compact, format, title=title, footer=f"{_FOOTER} gmmquant {__version__}")


def sheet_row(
    record: Record, original: npt.NDArray[np.uint8], recolored: Sequence[IndexedImage | ColorImage | None]
) -> Row:
    """Return the row of an image: small copies of its images, and the texts around them.

    Parameters
    ----------
    record : dict
        The record of the image; see `entry.entries_of` for images of a shared mixture.
    original : ndarray of uint8, shape (height, width, 3 or 4)
        The image, sRGB. Of an animation, whose frames stand one below the other, the first frame is shown.
    recolored : sequence of IndexedImage, ColorImage or None
        The recoloured image of each fit of the record, or None where there is none.
    """
    image = record["image"]
    width, height = image["width"], image["height"]
    panels = [Panel(original[:height], "original", tuple(_original_captions(image)))]
    for fit, drawn, extension in zip(record["fits"], recolored, formats_apart(record["fits"]), strict=True):
        pixels = None if drawn is None else drawn.pixels[:height]
        title = ", ".join(filter(None, [_title(fit), extension]))
        captions = (*_captions(fit), *([_OF_ORIGINAL] if fit["recolor"] == "transfer" else []))
        panels.append(Panel(pixels, title, captions, _palette(fit)))
    return Row(_name(image["path"]), ", ".join(_details(image)), (width, height), tuple(panels)).compact()


def _name(path: str) -> str:
    """Return the last part of a path or URL; "-" is standard input."""
    return "standard input" if path == "-" else path.rstrip("/").rsplit("/", 1)[-1]


def _details(image: Record) -> Iterator[str]:
    yield f"{image['width']} x {image['height']}"
    if image["frames"] > 1:
        yield f"first of {image['frames']} frames"
    if image.get("bytes") is not None:
        yield file_size(image["bytes"])


def _original_captions(image: Record) -> Iterator[str]:
    if image["distinct_colors"] is not None:
        yield f"{image['distinct_colors']:,} colour{'' if image['distinct_colors'] == 1 else 's'}"


def _title(fit: Record) -> str:
    """Return the requested number of colours, how it was chosen, and that of the fit if it differs."""
    n_fitted = fit["k_fitted"]
    chosen = f", {fit['asked']}" if fit["auto"] else ""
    found = f", {n_fitted} colour{'' if n_fitted == 1 else 's'}" if n_fitted != fit["k"] else ""
    return f"k = {fit['k']}{chosen}{found}"


def _captions(fit: Record) -> Iterator[str]:
    if fit["mean_log_likelihood"] is not None:
        yield f"LL {fit['mean_log_likelihood']:.4f}"
    yield "exact" if fit["psnr"] is None else f"PSNR {fit['psnr']:.2f} dB"
    if fit["bytes"] is not None:
        yield file_size(fit["bytes"])


def _palette(fit: Record) -> Palette:
    """Return the colours with their shares of the pixels, the most frequent first."""
    components: dict[str, Any] = fit["components"]
    total = max(sum(components["pixels"]), 1)
    shares = [(n / total, number, code) for number, (code, n) in enumerate(_counted(components))]
    ordered = sorted(shares, key=lambda share: (-share[0], share[1]))
    return Palette(tuple(code for *_, code in ordered), tuple(share for share, *_ in ordered))


def _counted(components: dict[str, Any]) -> Iterator[tuple[str, int]]:
    return zip(codes_of(components), components["pixels"], strict=True)
