"""The outcomes of images: done, skipped, failed or planned; and that of a shared mixture."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

from gmmquant.system.paths import AnyPath, SourcePath

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

    from gmmquant.images.contact_sheet.layout import Row
    from gmmquant.images.recolor import ColorImage, IndexedImage
    from gmmquant.quantization.result import ImageStatistics


# The reason of an image that is skipped because its outputs exist.
EXISTS = "its outputs exist"


class Illustration(NamedTuple):
    """Small copies of an image, uint8 (height, width, 3 or 4), and of its recoloured images; None where one is gone.

    `row` is its row of a sheet, if there is to be one.
    """

    original: npt.NDArray[np.uint8]
    images: Sequence[IndexedImage | ColorImage | None]
    row: Row | None = None


class Phase(str):
    """What is done with an image between fits, for progress: "reading cat.jpg", "writing cat_k7.png"."""

    __slots__ = ()


class Done(NamedTuple):
    """An image that was recoloured."""

    source: SourcePath
    record: dict[str, Any]  # see `report.record.build_record`
    written: list[AnyPath]
    notes: Sequence[str] = ()  # warnings about the image
    seconds: float = 0.0
    drawn: bytes | None = None  # the file for standard output, if that was asked for
    kept: bool = False  # whether all outputs existed and were kept; for a shared mixture the image is still recoloured
    statistics: Sequence[ImageStatistics] = ()  # for each k, in the order of the job
    illustration: Illustration | None = None  # if the task asks for it


class SharedReport(NamedTuple):
    """The record of a mixture that images share, and its files; `source` is the folder that contains the images."""

    source: SourcePath
    record: dict[str, Any]  # see `report.shared_record.build_shared_record`
    written: list[AnyPath]
    notes: Sequence[str] = ()  # on the fits
    kept: bool = False  # whether it is that of an earlier run, as there was nothing to do


class Summary(NamedTuple):
    """The files about all images of a run; `source` is the folder that contains them."""

    source: SourcePath
    written: list[AnyPath]


class Skipped(NamedTuple):
    """An image for which nothing is written."""

    source: SourcePath
    reason: str = EXISTS
    record: dict[str, Any] | None = None  # if it was fitted again, to compare the outputs
    illustration: Illustration | None = None
    drawn: bytes | None = None  # the image itself, for standard output, if the result would be larger
    earlier: dict[str, Any] | None = None  # the record in the report of an earlier run that is complete


class Failure(NamedTuple):
    """An image that failed, or the shared report if not `is_image`: the reason and the remedy in one line."""

    source: SourcePath
    reason: str
    hopeless: bool = False  # whether the images after it would fail for the same reason
    is_image: bool = True
    outputs_exist: bool = False  # whether the reason is an output that exists
    other_settings: str = ""  # the part of the reason that other images of an earlier run have too


class PlannedOutcome(NamedTuple):
    """The effect on each output ("new", "extended", "replaced" or "kept") of a run, and whether it reads the image."""

    source: SourcePath
    outputs: dict[AnyPath, str]
    is_read: bool


Outcome = Done | SharedReport | Summary | Skipped | Failure
