"""A decoded image file: pixels, animation and metadata."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt


@dataclass(frozen=True)
class Metadata:
    """The metadata of a file that can be kept.

    Attributes
    ----------
    dpi : (float, float) or None
        Resolution in pixels per inch, along width and height.
    has_profile : bool
        Whether the file named its colour space. The pixels are sRGB, and written files say so.
    exif : bytes
        A TIFF structure as in an eXIf chunk, without orientation and thumbnail; empty without EXIF.
    xmp : bytes
        An XMP packet without orientation and colour space; empty without XMP.
    comments : tuple of (keyword, text)
        Text entries, such as those of a PNG; the comment of a JPEG or GIF has the keyword "Comment".
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
        Duration of each frame in milliseconds.
    loop : int
        How many times the frames are played; 0 means forever. A GIF stores the repetitions after the first play, as
        Pillow's `info["loop"]`, so one less.
    """

    durations: tuple[float, ...]
    loop: int = 0

    @property
    def n_frames(self) -> int:
        """Number of frames."""
        return len(self.durations)


@dataclass(frozen=True, eq=False, repr=False)
class DecodedImage:
    """A decoded image.

    Attributes
    ----------
    pixels : ndarray of uint8 or uint16, shape (height, width, 3) or (height, width, 4)
        RGB or RGBA, sRGB, with the orientation applied and alpha not multiplied in. The frames of an animation are one
        below the other, and `height` is their total height.
    notes : tuple of str
        Messages for the user, such as that only the first page was read or that the decoder complained.
    metadata : Metadata
    animation : Animation or None
        None for a single image.
    source : Path or None
        The file that it was read from, if it has a name.
    format : str
        The format of the file, such as "JPEG"; empty if it is not known.
    """

    pixels: npt.NDArray[Any]
    notes: tuple[str, ...] = ()
    metadata: Metadata = field(default_factory=Metadata)
    animation: Animation | None = None
    source: Path | None = None
    format: str = ""

    def __array__(self, dtype: npt.DTypeLike | None = None, copy: bool | None = None) -> npt.NDArray[Any]:
        """Return the pixels, so that `np.asarray(image)` has them."""
        return array_of(self.pixels, dtype, copy)

    def __repr__(self) -> str:
        """Return size, channels and type in one line."""
        height, width, n_channels = self.pixels.shape
        frames = f", {self.animation.n_frames} frames" if self.animation else ""
        return f"<DecodedImage {width} x {height}, {'RGBA' if n_channels == 4 else 'RGB'}, {self.pixels.dtype}{frames}>"

    def _repr_png_(self) -> bytes:
        """Return the image, or its first frame, as notebooks show it."""
        from gmmquant.images.preview import preview_of_pixels

        n_frames = self.animation.n_frames if self.animation else 1
        return preview_of_pixels(self.pixels[: len(self.pixels) // n_frames])


def array_of(pixels: npt.NDArray[Any], dtype: npt.DTypeLike | None, copy: bool | None) -> npt.NDArray[Any]:
    """Return `pixels` as NumPy's protocol `__array__` asks for them."""
    if copy is False and dtype is not None and np.dtype(dtype) != pixels.dtype:
        raise ValueError(f"pixels of type {pixels.dtype} are copied to become {np.dtype(dtype)}; use copy=None")
    return np.array(pixels, dtype=dtype, copy=True) if copy else np.asarray(pixels, dtype=dtype)
