"""Image files read into RGB or RGBA arrays in sRGB, with all frames of an animation, and metadata."""

from __future__ import annotations

import io
import os
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from typing import Any, BinaryIO

import numpy as np
import numpy.typing as npt

from gmmquant.errors import ImageError, ParameterError
from gmmquant.images.decoded import DecodedImage
from gmmquant.images.decoding.metadata import clean_metadata, xmp_orientation
from gmmquant.images.decoding.profiles import convert_to_srgb
from gmmquant.images.decoding.reader import DamagedError, Header, byte_limit, check_size
from gmmquant.images.decoding.registry import INPUT_FORMATS, read_header
from gmmquant.images.value_range import FILE_REMEDY, WITHOUT_RANGE, note_on_range
from gmmquant.settings import MAX_PIXELS
from gmmquant.system.filesystem import check_bytes, open_regular

Conversion = Callable[[npt.NDArray[np.uint8]], npt.NDArray[Any]]


def read_image(
    source: str | os.PathLike[str] | BinaryIO,
    *,
    max_pixels: int = MAX_PIXELS,
    announce: Callable[[int], None] | None = None,
) -> DecodedImage:
    """Read an image file, which is a path or an open seekable file: see `gmmquant.images.inputs.read_image`.

    Its errors do not name the file. An open file that is not binary or not seekable raises a ParameterError.
    """
    return read_with_conversion(source, max_pixels=max_pixels, announce=announce)[0]


def read_with_conversion(
    source: str | os.PathLike[str] | BinaryIO,
    *,
    max_pixels: int = MAX_PIXELS,
    announce: Callable[[int], None] | None = None,
) -> tuple[DecodedImage, Conversion]:
    """Return an image as `read_image` does, and the conversion of further colours of the file, (n, 3), to sRGB."""

    def admit(width: int, height: int, n_frames: int) -> None:
        check_size(width, height, max_pixels, n_frames)
        if announce is not None:
            announce(width * height * n_frames)

    with _opened(source, byte_limit(max_pixels)) as file:
        header = read_header(file)
        check_size(*header.size, max_pixels, header.n_frames)
        data, is_cut = _read_needed(file, header)
    try:
        stored = INPUT_FORMATS[header.format].reader.decode(data, header, admit)
    except DamagedError:
        if is_cut:
            raise _too_long(header, len(data)) from None
        raise
    without_pixels = stored._replace(frames=np.empty(0, np.uint8))

    def to_srgb(colors: npt.NDArray[np.uint8]) -> npt.NDArray[Any]:
        frames = colors[np.newaxis, np.newaxis].copy()
        converted: npt.NDArray[Any] = convert_to_srgb(without_pixels._replace(frames=frames), data, header)[0]
        return converted.reshape(-1, 3)

    orientation = xmp_orientation(stored.xmp) if stored.orientation is None else stored.orientation
    may_be_dark = header.format in WITHOUT_RANGE and not stored.has_full_range
    frames, note, has_profile = convert_to_srgb(stored, data, header)
    frames = np.ascontiguousarray(orient(frames, orientation))
    pixels = frames.reshape(-1, *frames.shape[2:])
    dark = note_on_range(pixels, FILE_REMEDY) if may_be_dark else ""
    image = DecodedImage(
        pixels,
        (*stored.notes, *filter(None, (note, dark))),
        clean_metadata(stored, orientation, has_profile=has_profile),
        stored.animation,
        format=header.format,
    )
    return image, to_srgb


def _read_needed(file: BinaryIO, header: Header) -> tuple[bytes, bool]:
    """Return the beginning of a file that holds the image, and whether the limit has cut it off.

    A file of any size can state a small image. Memory is bounded by the size that the header states.
    """
    width, height = header.size
    limit = byte_limit(width * height * header.n_frames)
    if header.n_bytes is not None and header.n_bytes > limit:
        raise _too_long(header, limit)
    n_bytes = file.seek(0, os.SEEK_END)
    is_longer = header.n_bytes is None and n_bytes > limit
    file.seek(0)
    # Python allocates as many bytes as it is asked for, also if the file has fewer.
    return file.read(min(limit if header.n_bytes is None else header.n_bytes, n_bytes)), is_longer


def _too_long(header: Header, limit: int) -> ImageError:
    width, height = header.size
    return ImageError(
        f"the {header.format} image of {width} x {height} pixels does not end within {limit} bytes, the limit for its "
        "size; save it again"
    )


def orient(image: npt.NDArray[Any], orientation: int) -> npt.NDArray[Any]:
    """Rotate and mirror images (..., h, w, channels) as an EXIF `orientation`, 1 to 8, states.

    Any other value means 1, as in the standard (CIPA DC-008, tag 274).
    """
    if orientation in (5, 6, 7, 8):
        image = image.swapaxes(-3, -2)
    if orientation in (2, 3, 6, 7):
        image = image[..., ::-1, :]
    if orientation in (3, 4, 7, 8):
        image = image[..., ::-1, :, :]
    return image


def _opened(source: str | os.PathLike[str] | BinaryIO, limit: int) -> AbstractContextManager[BinaryIO]:
    """Open a path of at most `limit` bytes, or seek an open file to its beginning and leave it open."""
    if isinstance(source, (str, os.PathLike)):
        return open_regular(source, limit)
    untyped: object = source
    if isinstance(untyped, io.TextIOBase) or not source.seekable():
        raise ParameterError("the file to read must be binary and seekable; pass io.BytesIO of its bytes")
    check_bytes(source.seek(0, os.SEEK_END), limit)
    source.seek(0)
    return nullcontext(source)
