"""Encode recoloured images in any of the output formats, and recognise the files that were encoded so.

Every file has gmmquant's mark and the kept metadata (see `output_metadata`). The same image gives the same bytes.
"""

from __future__ import annotations

from importlib import import_module
from pathlib import Path
from typing import BinaryIO

import numpy as np

from gmmquant.errors import ImageError, ParameterError
from gmmquant.images.decoded import Animation, Metadata
from gmmquant.images.encoding.frame_diff import frames_of
from gmmquant.images.encoding.output_format import EncodeOptions, OutputFormat
from gmmquant.images.recolor import ColorImage, IndexedImage
from gmmquant.settings import OUTPUT_FORMATS, parse_output_format
from gmmquant.system.installation import missing

# Bytes at the beginning of a file that are enough to find most formats' marks.
_BEGINNING_BYTES = 4096


def output_format(name: str) -> OutputFormat:
    """Return the entry of an output format, by one of its names; its module is loaded on first use."""
    found: OutputFormat = import_module(f"gmmquant.images.encoding.{parse_output_format(name)}").FORMAT
    return found


def encode_image(
    image: IndexedImage | ColorImage,
    format: str,  # noqa: A002
    *,
    metadata: Metadata | None = None,
    keep_metadata: bool = False,
    animation: Animation | None = None,
    optimize: bool = False,
    keep_order: bool = False,
) -> bytes:
    """Return an sRGB image as a file of a format of `settings.OUTPUT_FORMATS`, indexed where that can hold its colours.

    The resolution of `metadata` is always written where the format has one, and that the colours are sRGB if
    `has_profile`; `keep_metadata` adds EXIF, XMP and comments, as far as the format can store them. The frames of an
    `animation` stand one below the other in `image`. `optimize` takes time for a smaller file of the same visible
    pixels; `keep_order` keeps the palette as it is, with all its entries, where `optimize` would change it. An
    ImageError is raised if the format cannot store the number of colours or the size, a ParameterError if its package
    is missing.
    """
    found = output_format(format)
    if need := found.missing():
        raise ParameterError(missing(need))
    frames = frames_of(image.labels if isinstance(image, IndexedImage) else image.colors, animation)
    n_frames, height, width = frames.shape[:3]
    found.check_size(width, height, n_frames)
    if isinstance(image, ColorImage) and (reason := found.refusal_of_colors(None)):
        raise ImageError(reason)
    metadata = metadata or Metadata()
    if not keep_metadata:
        metadata = Metadata(metadata.dpi, metadata.has_profile)
    if n_frames == 1:
        animation = None
    elif found.frames == "first":
        image, animation = _first_frame(image, height), None
    kept = image.without_hidden() if optimize else image
    return found.encode(kept, EncodeOptions(metadata, animation, optimize, keep_order, drops_hidden=kept is not image))


def is_gmmquant_output(source: Path | BinaryIO) -> bool:
    """Return whether gmmquant wrote a file, by its mark; False if it cannot be read.

    A file that is open must be seekable and stays open. Little of it is read.
    """
    try:
        if isinstance(source, Path):
            if not source.is_file():
                return False
            with source.open("rb") as file:
                return is_gmmquant_output(file)
        source.seek(0)
        beginning = source.read(_BEGINNING_BYTES)
        formats = map(output_format, OUTPUT_FORMATS)
        return any(found.is_marked(source, beginning) for found in formats if beginning.startswith(found.signatures))
    except (OSError, ValueError):  # ValueError: a name with a NUL character
        return False


def _first_frame(image: IndexedImage | ColorImage, height: int) -> IndexedImage | ColorImage:
    alpha = None if image.alpha is None else image.alpha[:height]
    if isinstance(image, ColorImage):
        return ColorImage(image.colors[:height], alpha)
    hidden = image.hidden
    if hidden is not None and len(hidden) > 1 and alpha is not None:
        hidden = hidden[: np.count_nonzero(alpha == 0)]
    return IndexedImage(image.labels[:height], image.palette, alpha, hidden)
