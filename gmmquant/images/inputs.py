"""What users pass as an image: an array, a PIL image, or a file as its path, its bytes or an open file."""

from __future__ import annotations

import io
import os
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO, NamedTuple, cast

import numpy as np
import numpy.typing as npt

from gmmquant.errors import ImageError, ParameterError
from gmmquant.images.decoded import Animation, DecodedImage
from gmmquant.images.pixels import refuse_mask
from gmmquant.images.value_range import (
    ALPHA_REMEDY,
    ARRAY_REMEDY,
    FILE_REMEDY,
    PILLOW_REMEDY,
    note_on_range,
)
from gmmquant.settings import MAX_PIXELS
from gmmquant.system.paths import local_path
from gmmquant.system.printable import printable
from gmmquant.system.user_warning import warn_user

if TYPE_CHECKING:
    from PIL import Image

    FileLike = str | os.PathLike[str] | bytes | BinaryIO
    ImageLike = npt.NDArray[Any] | Image.Image | DecodedImage | FileLike


class ImageInput(NamedTuple):
    """The pixels of an image, its animation if its frames are one below the other, and the file that it is from."""

    pixels: npt.NDArray[Any]
    animation: Animation | None = None
    source: Path | None = None


def read_image(
    source: FileLike, *, max_pixels: int = MAX_PIXELS, announce: Callable[[int], None] | None = None
) -> DecodedImage:
    """Read an image of any of the formats that the command reads, with all frames of an animation.

    The result is sRGB: colour profiles, code points, and gamma and primaries of a PNG are applied, and CMYK without a
    profile is converted by the decoder. `notes` of the result name what is not applied, and dark 16-bit values. The
    pixels are uint8, or uint16 if the file has more bits: integers of 32 bits, and floating-point values from 0 to 1,
    are rounded to 16.

    Parameters
    ----------
    source : path of a regular file, bytes, or binary file
        An open file is read from its beginning and left open. One that is not seekable is read from where it is.
    max_pixels : int
        An image that declares more pixels, all frames counted, is refused before it is decoded.
    announce : function of an int, optional
        Called once, before decoding, with the number of pixels that the header declares, all frames counted, if it is
        within the limit. A caller that shares memory with others can wait here. Its exceptions pass through.

    Raises
    ------
    ImageError
        If the file is not a regular file, not a supported image, too large (in pixels, or above 64 MiB + 16 bytes for
        each of `max_pixels`), damaged, or has floating-point values outside of 0 to 1. The message names the file. The
        image must end within 64 MiB + 16 bytes for each pixel that its header declares; bytes behind its end are
        ignored.
    ParameterError
        If an open file is closed or not binary, or `source` is a URL.
    OSError
        If the system cannot read it: a FileNotFoundError if there is none.
    """
    from gmmquant.images import files

    untyped = cast("object", source)
    if not (isinstance(untyped, (str, os.PathLike, bytes, bytearray, memoryview)) or hasattr(untyped, "read")):
        raise ParameterError(
            f"source is a {type(source).__name__}; pass the path, the bytes or an open file of an image"
        )
    if source == "":
        raise ParameterError("source is an empty text; pass the path of an image")
    if isinstance(source, str) and not os.path.exists(source):
        source = _local(source)
    name = _name_of(source)
    try:
        if isinstance(source, (str, os.PathLike)) and os.path.isdir(source):
            raise ImageError("is a folder; use an image file")
        decoded = files.read_image(_seekable(source, max_pixels), max_pixels=max_pixels, announce=announce)
    except ImageError as error:
        raise ImageError(f"{printable(name)}: {error}" if name else str(error)) from None
    return replace(decoded, source=_absolute(name))


def image_input(image: ImageLike) -> ImageInput:
    """Return the pixels of an image, all frames of an animation one below the other, and where they are from.

    A ParameterError is raised for anything that is not an image, for a PIL image without a known range of values, and
    for one that is an animation: it stands for one frame or all. A UserWarning names 16-bit values that are so small
    that the image is dark.
    """
    if isinstance(image, DecodedImage):
        if (note := note_on_range(image.pixels, FILE_REMEDY)) and note in image.notes:  # the pixels are as they were
            warn_user(note, UserWarning)
        return ImageInput(image.pixels, image.animation, image.source)
    # A PIL image exists only after its module was imported.
    pillow = sys.modules.get("PIL.Image")
    if pillow is not None and isinstance(image, pillow.Image):
        from gmmquant.images.pil_images import pixels_of

        name = _name_of(image, "filename")
        try:
            pixels = pixels_of(image)
        except ImageError as error:
            raise ImageError(f"{printable(name or 'the PIL image')}: {error}") from None
        _warn_of_range(pixels, PILLOW_REMEDY)
        return ImageInput(pixels, None, _absolute(name))
    if isinstance(image, (str, os.PathLike, bytes, bytearray, memoryview)) or hasattr(image, "read"):
        return image_input(read_image(cast("FileLike", image)))
    if not hasattr(image, "__array__"):
        raise ParameterError(
            f"image is a {type(image).__name__}; pass an array of pixels, a PIL image, or the path, the bytes or an "
            "open file of an image"
        )
    refuse_mask(image)
    array = np.asarray(image)
    _warn_of_range(array, ALPHA_REMEDY if array.ndim == 3 and array.shape[2] == 4 else ARRAY_REMEDY)
    return ImageInput(array)


def _warn_of_range(pixels: npt.NDArray[Any], remedy: str) -> None:
    if note := note_on_range(pixels, remedy):
        warn_user(note, UserWarning)


def to_array(image: ImageLike) -> npt.NDArray[Any]:
    """Return the pixels of a single image, as `image_input` does; a ParameterError is raised for an animation."""
    pixels, animation, source = image_input(image)
    if animation is not None and animation.n_frames > 1:
        name = "image" if source is None else printable(source.name)
        raise ParameterError(
            f"{name} is an animation of {animation.n_frames} frames; pass one frame, or read_image(path).pixels, which "
            "stacks all frames"
        )
    return pixels


def _local(source: str) -> Path:
    """Return the path that a text names, as a file:// URL or as it is; a ParameterError is raised for other URLs."""
    try:
        return local_path(source)
    except ParameterError:  # it shows the server
        is_web = source.partition(":")[0].lower() in ("http", "https", "ftp")
        opened = "urllib.request.urlopen(url)" if is_web else "fsspec.open(url).open()"
        raise ParameterError(f"source is a URL; pass a path, or an open file, such as {opened}") from None


def _name_of(source: object, attribute: str = "name") -> str | None:
    """Return the path of a file, or the name that an open one has as an attribute; None if it has none."""
    name = source if isinstance(source, (str, os.PathLike)) else getattr(source, attribute, None)
    return os.fspath(name) if isinstance(name, (str, os.PathLike)) and name else None


def _absolute(name: str | None) -> Path | None:
    """Return the absolute path of a name; None without one, or if the working folder is gone."""
    try:
        return None if name is None else Path(os.path.abspath(name))
    except OSError:
        return None


def _seekable(source: Any, max_pixels: int) -> str | os.PathLike[str] | BinaryIO:
    """Return a path as it is, and bytes or a stream as a seekable file."""
    from gmmquant.images.decoding.reader import byte_limit

    if isinstance(source, (bytes, bytearray, memoryview)):
        return io.BytesIO(source)
    if getattr(source, "closed", False) is True or not getattr(source, "readable", lambda: True)():
        raise ParameterError("the file is closed, or open for writing only; open it with mode 'rb', or pass its path")
    if isinstance(source, (str, os.PathLike, io.TextIOBase)) or getattr(source, "seekable", bool)():
        return cast("str | os.PathLike[str] | BinaryIO", source)
    data = source.read(byte_limit(max_pixels) + 1)
    if not isinstance(data, bytes):
        raise ParameterError("the file to read must be binary; open it with mode 'rb', or pass its bytes")
    return io.BytesIO(data)
