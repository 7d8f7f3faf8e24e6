"""An output format: what it can store, what is refused or lost in it, how it is encoded and recognised."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import BinaryIO, Literal

import numpy as np
import numpy.typing as npt

from gmmquant.errors import ImageError
from gmmquant.images.decoded import Animation, Metadata
from gmmquant.images.encoding.frame_diff import milliseconds
from gmmquant.images.recolor import ColorImage, IndexedImage

# From this alpha value on a pixel is opaque where a format stores no partial transparency.
OPAQUE = 128


@dataclass(frozen=True)
class EncodeOptions:
    """How an image is encoded; for the attributes see `encode.encode_image`.

    What is not to be kept of the metadata has been removed from it.
    """

    metadata: Metadata
    animation: Animation | None = None
    optimize: bool = False
    keep_order: bool = False


@dataclass(frozen=True)
class OutputFormat:
    """An image format that can be written. Its module in `gmmquant.images.encoding` has it as `FORMAT`.

    Attributes
    ----------
    name : str
        Also the file extension.
    encode : callable
        Returns the bytes of an image; one without frames if `frames` is "first".
    signatures : tuple of bytes
        First bytes of the files of the format.
    is_marked : callable
        Whether an open file of the format, whose first bytes are the second argument, has gmmquant's mark.
    exact : bool
        Whether pixels are stored as they are.
    alpha : "full", "binary" or "none"
    frames : "animation", "pages" or "first"
        Whether frames are stored with their times, without, or only the first.
    time_unit_ms, max_time : int
        Unit of the times of frames and their limit in this unit; 0: any time can be stored.
    max_colors : int or None
        Entries of the palette; None if true colour can be stored too.
    max_side_pixels, max_bytes : int or None
        Limits of width and height, and of the uncompressed pixels at 4 bytes each.
    missing_metadata : tuple of "EXIF", "XMP" and "comments"
        What the format cannot store.
    cut_metadata : callable
        Warns of metadata that are too long to be stored.
    """

    name: str
    encode: Callable[[IndexedImage | ColorImage, EncodeOptions], bytes]
    signatures: tuple[bytes, ...]
    is_marked: Callable[[BinaryIO, bytes], bool]
    exact: bool = True
    alpha: Literal["full", "binary", "none"] = "full"
    frames: Literal["animation", "pages", "first"] = "first"
    time_unit_ms: int = 0
    max_time: int = 0
    max_colors: int | None = None
    max_side_pixels: int | None = None
    max_bytes: int | None = None
    missing_metadata: tuple[str, ...] = ()
    cut_metadata: Callable[[Metadata], tuple[str, ...]] = lambda metadata: ()

    def times(self, animation: Animation) -> list[int]:
        """Return the durations of the frames, rounded to `time_unit_ms`, in this unit."""
        return [min(round(duration / self.time_unit_ms), self.max_time) for duration in milliseconds(animation)]

    def check_size(self, width: int, height: int, n_frames: int = 1) -> None:
        """Raise an `ImageError` if the format cannot store an image of this size."""
        limit = self.max_side_pixels
        if limit is not None and max(width, height) > limit:
            raise ImageError(f"{width} x {height} pixels: a side is above the limit {limit} of {self.name}; choose png")
        n_bytes = 4 * width * height * (n_frames if self.frames == "pages" else 1)
        if self.max_bytes is not None and n_bytes > self.max_bytes:
            raise ImageError(f"{width} x {height} pixels may exceed the 4 GB limit of {self.name}; choose png")

    def refusal_of_colors(self, n_colors: int | None, *, transparent: bool = False) -> str:
        """Return why a palette of `n_colors` (None: true colour), with or without transparency, cannot be stored.

        The reason is empty if it can.
        """
        if self.max_colors is None:
            return ""
        limit = self.max_colors - transparent
        if n_colors is not None and n_colors <= limit:
            return ""
        found = "an image in true colour has more" if n_colors is None else f"not {n_colors}"
        beside = " beside transparency" if transparent else ""
        return f"{self.name} holds at most {limit} colours{beside}, {found}; choose a smaller k, or png, webp or tiff"

    def losses(
        self,
        *,
        alpha: npt.NDArray[np.uint8] | None = None,
        animation: Animation | None = None,
        metadata: Metadata | None = None,
    ) -> tuple[str, ...]:
        """Return a warning for each thing that the format cannot store of an image and of `metadata` to be kept."""
        name, notes = self.name, []
        if not self.exact:
            notes.append(f"{name} holds colours approximately: png and webp hold them exactly")
        if alpha is not None and self.alpha == "none" and (alpha < 255).any():
            notes.append(f"{name} holds no transparency: the image is put on white")
        if alpha is not None and self.alpha == "binary" and ((alpha > 0) & (alpha < 255)).any():
            notes.append(
                f"{name} holds no partial transparency: alpha from {OPAQUE} on becomes opaque, the rest transparent"
            )
        if animation is not None and animation.n_frames > 1:
            unit = self.time_unit_ms
            if self.frames == "first":
                notes.append(f"{name} holds one frame: only the first is written")
            elif self.frames == "pages":
                notes.append(f"{name} holds no times: the frames are written as pages")
            elif unit and self.times(animation) != [duration / unit for duration in milliseconds(animation)]:
                notes.append(f"{name} holds times in units of {unit} ms: the times of frames are rounded")
        if metadata is not None:
            found = {"EXIF": metadata.exif, "XMP": metadata.xmp, "comments": metadata.comments}
            missing = [what for what in self.missing_metadata if found[what]]
            if missing:
                notes.append(f"{name} holds no {' and no '.join(missing)}: png holds all")
            notes += self.cut_metadata(metadata)
        return tuple(notes)
