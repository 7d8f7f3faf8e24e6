"""What an image file holds: pixels, the frames of an animation, and what the file says besides."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy.typing as npt


@dataclass(frozen=True)
class Metadata:
    """What a file says besides its pixels, as far as it can be carried over.

    Attributes
    ----------
    dpi : (float, float) or None
        Resolution, in pixels an inch, along the width and the height.
    has_profile : bool
        Whether the file named its colour space. The pixels are sRGB by now, and what is written says so.
    exif : bytes
        A TIFF structure, as in an eXIf chunk, without orientation and thumbnail; empty if there is none.
    xmp : bytes
        An XMP packet without orientation; empty if there is none.
    comments : tuple of (keyword, text)
        Textual entries, such as those of a PNG; the comment of a JPEG or GIF has the keyword "Comment".
    """

    dpi: tuple[float, float] | None = None
    has_profile: bool = False
    exif: bytes = b""
    xmp: bytes = b""
    comments: tuple[tuple[str, str], ...] = ()


@dataclass(frozen=True)
class Animation:
    """The frames of an animation in time.

    Attributes
    ----------
    durations : tuple of float
        How long each frame is shown, in milliseconds.
    loop : int
        How often the whole is shown; 0: for ever.
    """

    durations: tuple[float, ...]
    loop: int = 0

    @property
    def n_frames(self) -> int:
        """Number of frames."""
        return len(self.durations)


@dataclass(frozen=True)
class DecodedImage:
    """A decoded image.

    Attributes
    ----------
    pixels : ndarray of uint8 or uint16, shape (height, width, 3) or (height, width, 4)
        RGB or RGBA, sRGB, as it is meant to be seen: orientation applied, alpha not multiplied in. The frames of an
        animation stand one below the other, so that `height` is that of all of them together.
    notes : tuple of str
        What a person should know: only the first page was read, the decoder complained.
    metadata : Metadata
    animation : Animation or None
        None of a single image.
    """

    pixels: npt.NDArray[Any]
    notes: tuple[str, ...] = ()
    metadata: Metadata = field(default_factory=Metadata)
    animation: Animation | None = None
