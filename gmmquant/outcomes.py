"""What became of a picture."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from gmmquant.places import Origin, Place


@dataclass(frozen=True)
class Done:
    """A picture that is done.

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
    """

    source: Origin
    record: dict[str, Any]
    written: list[Place]
    notes: list[str] = field(default_factory=list)
    seconds: float = 0.0
    drawn: bytes | None = None
    kept: bool = False


@dataclass(frozen=True)
class Shared:
    """What pictures that share a mixture have in common.

    Attributes
    ----------
    source : Path or RemotePath
        The folder that holds them all, or their outputs.
    record : dict
        See `report.shared_record.build_shared_record`.
    written : list of Path or RemotePath
    """

    source: Origin
    record: dict[str, Any]
    written: list[Place]


@dataclass(frozen=True)
class Skipped:
    """A picture whose outputs all exist."""

    source: Origin


@dataclass(frozen=True)
class Failure:
    """A picture that was not done, and why: one line, with the remedy.

    Or, if `is_picture` is false, that what pictures share was not written. `hopeless` means that the pictures after it
    would fail for the same reason.
    """

    source: Origin
    reason: str
    hopeless: bool = False
    is_picture: bool = True


@dataclass(frozen=True)
class Foreseen:
    """What would become of each output of a picture, or of all that share a mixture: "new", "replaced" or "kept".

    `is_read` tells whether a picture would be read for it.
    """

    source: Origin
    outputs: dict[Place, str]
    is_read: bool


Outcome = Done | Shared | Skipped | Failure
