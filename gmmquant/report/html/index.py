"""The index of a folder: an entry for each image, with thumbnails, figures and a link to its page."""

from __future__ import annotations

import math
import os
from collections.abc import Iterable, Sequence
from typing import Any, NamedTuple
from urllib.parse import quote

import numpy as np
import numpy.typing as npt

from gmmquant.images.embedded import EmbeddedImage, embed_thumbnail
from gmmquant.report.entry import ALL_IMAGES, Collector, Entry
from gmmquant.report.html.rendering import render
from gmmquant.report.numbers import ratio
from gmmquant.report.outcome import Illustration
from gmmquant.report.record import Record, extension_of
from gmmquant.settings import ANY_K
from gmmquant.version import __version__

# The longer side of thumbnails in pixels: an entry with four results has less than 5 kB.
SIDE = 60

# Results of an entry that have a thumbnail.
_MAX_THUMBNAILS = 6

# What is kept of a fit, so that the index of thousands of images takes little memory.
_SHOWN = ("k", "auto", "asked", "bytes", "log_likelihood", "mean_log_likelihood", "mse", "psnr")

_STYLES, _SCRIPTS = ("base.css", "index.css"), ("start.js", "index.js")


class IndexEntry(NamedTuple):
    """An image of a folder.

    Attributes
    ----------
    name : str
    record : dict or None
        Its record, or its entry in the `images` of a shared record; None if it failed.
    reason : str
        Why it failed.
    page : str or None
        The path of its page, relative to the index.
    thumbnail : ndarray of uint8, shape (height, width, 3 or 4), or None
        The original, sRGB, of any size; `SIDE` pixels on the longer side are used.
    results : sequence of ndarray or None
        The recoloured image of each fit, likewise.
    """

    name: str
    record: Record | None = None
    reason: str = ""
    page: str | None = None
    thumbnail: npt.NDArray[np.uint8] | None = None
    results: Sequence[npt.NDArray[np.uint8] | None] = ()


class _Thumbnails(NamedTuple):
    original: EmbeddedImage | None
    results: Sequence[EmbeddedImage | None]


class _Result(NamedTuple):
    fit: Record
    asked: str
    extension: str  # of the file
    thumbnail: EmbeddedImage | None
    saved: float | None


class _Row(NamedTuple):
    name: str
    image: Record
    link: str | None
    thumbnail: EmbeddedImage | None
    results: Sequence[_Result]


class _Total(NamedTuple):
    """The results of all images at what was asked for: a number of colours, or "auto", and the format if several."""

    asked: str
    n_images: int
    n_bytes: int | None
    share: float | None
    mse: float | None
    psnr: float | None
    mean_log_likelihood: float | None


class HtmlIndex(Collector):
    """Collects the images of a folder; of each only small thumbnails are kept.

    `title` is the heading, as the name of the folder. `command` makes the files of an `extension` again.
    """

    def __init__(self, title: str = "Images", command: str | None = None, extension: str = "png") -> None:
        self._title, self._command, self._extension = title, command, extension
        self._rows: list[_Row] = []
        self._failed: list[IndexEntry] = []
        self._palettes: dict[str, list[str]] = {}  # of a shared mixture, by the k that was asked for
        self._thumbnails: dict[str, _Thumbnails] = {}  # of images whose records follow at the end

    def illustrate(self, path: str, illustration: Illustration) -> None:
        """Keep the thumbnails of an image until its entry is added."""
        self._thumbnails[path] = _illustrated(illustration)

    def add(self, entry: Entry, illustration: Illustration | None = None) -> None:
        """Add an image under its name, after that of its subfolder; of all images together only the palettes."""
        if entry.image == ALL_IMAGES:
            self._palettes = {str(fit["asked"]): fit["components"]["hex"] for fit in entry.record["fits"]}
            return
        if illustration is not None:
            self.illustrate(entry.record["image"]["path"], illustration)
        thumbnails = self._thumbnails.pop(entry.record["image"]["path"], _Thumbnails(None, ()))
        files = [entry.path_of(fit["files"].get("image")) for fit in entry.record["fits"]]
        page = entry.page or next(filter(None, files), None)
        self._add_row(IndexEntry(entry.name, entry.record, page=page), thumbnails)

    def add_failure(self, path: str, reason: str) -> None:
        """Add an image that failed."""
        self.add_entry(IndexEntry(path, None, reason))

    def add_entry(self, entry: IndexEntry) -> None:
        """Add an image, or one that failed."""
        if entry.record is None:
            self._failed.append(entry)
        else:
            self._add_row(entry, _thumbnails(entry.thumbnail, entry.results))

    def _add_row(self, entry: IndexEntry, thumbnails: _Thumbnails) -> None:
        row = _row(entry, thumbnails)
        slim = [result._replace(fit={name: result.fit.get(name) for name in _SHOWN}) for result in row.results]
        image = {name: value for name, value in row.image.items() if name != "fits"}
        self._rows.append(row._replace(image=image, results=slim))

    def finish(self) -> dict[str, bytes]:
        """Return the page by its content, "index": one HTML file that makes no request.

        A ParameterError is raised if Jinja2 is not installed.
        """
        results = [result for row in self._rows for result in row.results]
        ks = " ".join(dict.fromkeys(result.asked for result in results if result.extension == self._extension))
        rows = _told_apart(self._rows)
        page = render(
            "index.html",
            _STYLES,
            _SCRIPTS,
            version=__version__,
            title=self._title,
            rows=rows,
            failed=self._failed,
            totals=_totals(rows),
            palettes=self._palettes,
            n_pixels=sum(row.image["pixels"] for row in rows),
            n_bytes=_sum(row.image.get("bytes") for row in rows),
            command=None if self._command is None else self._command.replace(ANY_K, ks),
        )
        return {"index": page}


def page_link(path: str) -> str:
    """Return a path as a relative URL, whatever characters it has (RFC 3986, section 4.2)."""
    return "./" + quote(os.fsencode(path))


def _illustrated(illustration: Illustration) -> _Thumbnails:
    images = [None if image is None else image.pixels for image in illustration.images[:_MAX_THUMBNAILS]]
    return _thumbnails(illustration.original, images)


def _thumbnails(original: npt.NDArray[np.uint8] | None, results: Sequence[npt.NDArray[np.uint8] | None]) -> _Thumbnails:
    small = [_thumbnail(pixels) for pixels in results[:_MAX_THUMBNAILS]]
    return _Thumbnails(_thumbnail(original), small)


def _row(entry: IndexEntry, thumbnails: _Thumbnails) -> _Row:
    record: Record = entry.record or {}
    image = record.get("image", record)  # an image of a shared record is not nested
    results = []
    for fit, thumbnail in zip(record["fits"], [*thumbnails.results, *[None] * len(record["fits"])], strict=False):
        share = ratio(fit.get("bytes"), image.get("bytes"))
        saved = None if share is None else 1 - share
        extension = extension_of(fit["files"].get("image"))
        results.append(_Result(fit, str(fit["asked"]), extension, thumbnail, saved))
    link = None if entry.page is None else page_link(entry.page)
    return _Row(entry.name, image, link, thumbnails.original, results)


def _told_apart(rows: Sequence[_Row]) -> list[_Row]:
    """Return the rows with the extension in what was asked for, where there are files of several formats at it."""
    extensions: dict[str, set[str]] = {}
    for row in rows:
        for result in row.results:
            extensions.setdefault(result.asked, set()).add(result.extension)
    apart = {asked for asked, of_asked in extensions.items() if len(of_asked) > 1}
    return [
        row._replace(
            results=[
                result._replace(asked=f"{result.asked} {result.extension}") if result.asked in apart else result
                for result in row.results
            ]
        )
        for row in rows
    ]


def _thumbnail(pixels: npt.NDArray[np.uint8] | None) -> EmbeddedImage | None:
    return None if pixels is None else embed_thumbnail(pixels, SIDE)


def _totals(rows: Sequence[_Row]) -> list[_Total]:
    """Return the figures of all images together, for each number of colours asked for."""
    groups: dict[str, list[tuple[Record, Record]]] = {}
    for row in rows:
        for result in row.results:
            groups.setdefault(result.asked, []).append((row.image, result.fit))
    return [
        _total(asked, groups[asked])
        for asked in sorted(groups, key=lambda asked: (not asked.isdigit(), len(asked), asked))
    ]


def _total(asked: str, group: Sequence[tuple[Record, Record]]) -> _Total:
    n_bytes = _sum(fit.get("bytes") for _, fit in group)
    pixels = sum(image["visible_pixels"] for image, _ in group)
    weight = math.fsum(image["visible_weight"] for image, _ in group)
    mse = ratio(math.fsum(fit["mse"] * image["visible_pixels"] for image, fit in group), pixels)
    likelihoods = [fit["log_likelihood"] for _, fit in group]
    known = all(value is not None and math.isfinite(value) for value in likelihoods)
    return _Total(
        asked,
        len(group),
        n_bytes,
        ratio(n_bytes, _sum(image.get("bytes") for image, _ in group)),
        mse,
        10 * math.log10(3 * 255**2 / mse) if mse else None,
        ratio(math.fsum(likelihoods), weight) if known else None,
    )


def _sum(values: Iterable[Any]) -> int | None:
    """Return the sum of sizes; None if one is not known."""
    known = list(values)
    return None if None in known else sum(known)
