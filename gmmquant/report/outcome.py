"""What became of an image."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from gmmquant.system.paths import AnyPath, SourcePath

if TYPE_CHECKING:
    from gmmquant.quantization.result import ImageStatistics


@dataclass(frozen=True)
class Done:
    """An image that is done.

    Attributes
    ----------
    source : Path, RemotePath or StandardInput
    record : dict
        See `report.record.build_record`.
    written : list of Path or RemotePath
    notes : list of str
        What the user should know of it.
    seconds : float
        Time that it took.
    drawn : bytes or None
        The file that goes to standard output, where that was asked for.
    kept : bool
        Whether all its outputs existed and are kept; what they should be was made all the same, where it is shared.
    statistics : list of ImageStatistics
        For each k, in the order of the job.
    """

    source: SourcePath
    record: dict[str, Any]
    written: list[AnyPath]
    notes: list[str] = field(default_factory=list)
    seconds: float = 0.0
    drawn: bytes | None = None
    kept: bool = False
    statistics: list[ImageStatistics] = field(default_factory=list)


@dataclass(frozen=True)
class SharedReport:
    """What images that share a mixture have in common.

    Attributes
    ----------
    source : Path or RemotePath
        The folder that holds them all, or their outputs.
    record : dict
        See `report.shared_record.build_shared_record`.
    written : list of Path or RemotePath
    """

    source: SourcePath
    record: dict[str, Any]
    written: list[AnyPath]


@dataclass(frozen=True)
class Skipped:
    """An image whose outputs all exist."""

    source: SourcePath


@dataclass(frozen=True)
class Failure:
    """An image that was not done, and why: one line, with the remedy.

    Or, if `is_image` is false, that what images share was not written. `hopeless` means that the images after it
    would fail for the same reason.
    """

    source: SourcePath
    reason: str
    hopeless: bool = False
    is_image: bool = True


@dataclass(frozen=True)
class PlannedOutcome:
    """What would become of each output of an image, or of all that share a mixture: "new", "replaced" or "kept".

    `is_read` tells whether an image would be read for it.
    """

    source: SourcePath
    outputs: dict[AnyPath, str]
    is_read: bool


Outcome = Done | SharedReport | Skipped | Failure
