"""An image in a file about several: its record, and paths relative to the folder of that file."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator
from posixpath import dirname, join, normpath
from typing import NamedTuple

from gmmquant.report.outcome import Illustration
from gmmquant.report.record import Record

# The facts of a shared fit that are also those of each image.
_SHARED = (
    "k_fitted",
    "asked",
    "method",
    "recolor",
    "dither",
    "space",
    "covariance",
    "noise",
    "reg_covar",
    "n_iter",
    "tol",
    "converged",
)

# The name of the entry of all images together.
ALL_IMAGES = "(all images)"


class Entry(NamedTuple):
    """The record of an image; paths from the file about several images to the record's folder, and to its page."""

    record: Record
    folder: str = ""
    page: str | None = None

    @property
    def image(self) -> str:
        """The path of the image."""
        return self.path_of(self.record["image"]["path"])

    @property
    def name(self) -> str:
        """The name of the image, below the folder of its files: "sub/cat.jpg"."""
        files = [fit["files"]["image"] for fit in self.record["fits"] if "image" in fit["files"]]
        folder = dirname(self.path_of(files[0])) if files else ""
        return normpath(join(folder, self.image.rsplit("/", 1)[-1]))

    def path_of(self, path: str | None) -> str:
        """Return a path of the record, or "" if there is none; absolute paths and URLs stay."""
        if path is None:
            return ""
        return path if "://" in path else normpath(join(self.folder, path))


class Collector(ABC):
    """Collects the images of a run for a file about all of them."""

    @abstractmethod
    def add(self, entry: Entry, illustration: Illustration | None = None) -> None:
        """Add an image, with small copies if there are any."""

    def illustrate(self, path: str, illustration: Illustration) -> None:  # noqa: B027  a table shows no image
        """Keep what is shown of an image whose entry follows later, by its path in the record."""

    def add_failure(self, path: str, reason: str) -> None:  # noqa: B027  a table has nothing to add
        """Add an image that failed; a table of results leaves it out."""

    @abstractmethod
    def finish(self) -> dict[str, bytes]:
        """Return the files by content."""


def entries_of(record: Record, folder: str = "", page: str | None = None) -> Iterator[Entry]:
    """Yield the entry of a record; that of a shared one for each image, and one for all images together."""
    if "image" in record:
        yield Entry(record, folder, page)
        return
    for image in record["images"]:
        fits = [
            {
                **{name: shared[name] for name in _SHARED if name in shared},
                **fit,
                "components": {**shared["components"], "pixels": fit["pixels"]},
            }
            for shared, fit in zip(record["fits"], image["fits"], strict=True)
        ]
        yield Entry({**record, "image": image, "notes": image["notes"], "fits": fits}, folder)
    sizes = {name: record["total"][name] for name in ("pixels", "visible_pixels", "visible_weight")}
    unknown = dict.fromkeys(("bytes", "width", "height", "frames", "bit_depth"))
    image = {"path": ALL_IMAGES, **unknown, **sizes, "distinct_colors": record["fitted"]["distinct_colors"]}
    yield Entry({**record, "image": image}, "")
