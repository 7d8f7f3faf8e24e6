"""An output format: its limits and losses, its encoder, and the mark of its files."""

from __future__ import annotations

from collections.abc import Callable
from typing import BinaryIO, Literal, NamedTuple

import numpy as np
import numpy.typing as npt

from gmmquant.errors import ImageError
from gmmquant.images.decoded import Animation, Metadata
from gmmquant.images.encoding.frame_diff import milliseconds
from gmmquant.images.recolor import ColorImage, IndexedImage
from gmmquant.system.installation import Need

# From this alpha value on a pixel is opaque where a format stores no partial transparency.
OPAQUE = 128


class EncodeOptions(NamedTuple):
    """How an image is encoded: see `encode.encode_image`. `metadata` are those to be written.

    With `drops_hidden`, fully transparent pixels had several colours and may have any.
    """

    metadata: Metadata
    animation: Animation | None = None
    optimize: bool = False
    keep_order: bool = False
    drops_hidden: bool = False


class OutputFormat(NamedTuple):
    """An image format that can be written. Its module in `gmmquant.images.encoding` has it as `FORMAT`."""

    name: str  # also the file extension
    encode: Callable[[IndexedImage | ColorImage, EncodeOptions], bytes]
    signatures: tuple[bytes, ...]  # the first bytes of files of the format
    is_marked: Callable[[BinaryIO, bytes], bool]  # whether a file, with its first bytes, has gmmquant's mark
    exact: bool = True  # whether pixels are stored as they are
    alpha: Literal["full", "binary", "none"] = "full"
    frames: Literal["animation", "pages", "first"] = "first"  # with times, without, or only the first is encoded
    time_unit_ms: int = 0  # of the times of frames; 0: any time can be stored
    max_time: int = 0  # in this unit
    max_colors: int | None = None  # entries of the palette; None if true colour can be stored too
    max_side_pixels: int | None = None
    max_bytes: int | None = None  # of the uncompressed pixels, at 4 bytes each
    missing_metadata: tuple[str, ...] = ()  # of "EXIF", "XMP" and "comments", those that cannot be stored
    missing: Callable[[], Need | None] = lambda: None  # the package without which the format cannot be written here
    cut_metadata: Callable[[Metadata], tuple[str, ...]] = lambda metadata: ()  # warns of metadata that are too long

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
        plus = " plus transparency" if transparent else ""
        remedy = "choose png" if n_colors is None else "choose a smaller k, or png"  # true colour has no k
        return f"{self.name} stores at most {limit} colours{plus}, {found}; {remedy}, webp or tiff"

    def losses(
        self,
        *,
        alpha: npt.NDArray[np.uint8] | None = None,
        animation: Animation | None = None,
        metadata: Metadata | None = None,
    ) -> tuple[str, ...]:
        """Return a warning for each thing that the format cannot store of an image and of `metadata` to be kept."""
        name, unit = self.name, self.time_unit_ms
        alpha = np.empty(0, dtype=np.uint8) if alpha is None else alpha
        animation, metadata = animation or Animation(()), metadata or Metadata()
        is_animated = animation.n_frames > 1
        exact_times = [duration / (unit or 1) for duration in milliseconds(animation)]
        rounded = is_animated and unit and self.times(animation) != exact_times
        present = {"EXIF": metadata.exif, "XMP": metadata.xmp, "comments": metadata.comments}
        missing = [what for what in self.missing_metadata if present[what]]
        binary = f"alpha of {OPAQUE} or more becomes opaque, the rest transparent"
        losses = {
            "colours approximately: png and webp store them exactly": not self.exact,
            "no transparency: the image is put on white": self.alpha == "none" and (alpha < 255).any(),
            f"no partial transparency: {binary}": self.alpha == "binary" and ((alpha > 0) & (alpha < 255)).any(),
            "one frame: only the first is written": is_animated and self.frames == "first",
            "no durations: frames are written as pages": is_animated and self.frames == "pages",
            f"durations in units of {unit} ms: other durations are rounded": rounded,
            f"no {' and no '.join(missing)}: png stores them": missing,
        }
        warnings = (f"{name} stores {loss}" for loss, occurs in losses.items() if occurs)
        return (*warnings, *self.cut_metadata(metadata))
