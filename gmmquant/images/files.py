"""DecodedImage files read: to an RGB or RGBA array, with frames in time and what the file says besides.

Reading goes by stages, each a module: `headers` tells kind and size, `decode` the pixels of one image, `animations`
those of many frames, `profiles` brings colours to sRGB, `details` collects what else is said.
"""

from __future__ import annotations

import contextlib
import io
import os
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any, BinaryIO

import numpy as np
import numpy.typing as npt

from gmmquant.errors import ParameterError
from gmmquant.images.decoded import DecodedImage
from gmmquant.images.decoding import isobmff, png_chunks, pnm
from gmmquant.images.decoding.decode import decode, decode_inks
from gmmquant.images.decoding.metadata import read_metadata
from gmmquant.images.decoding.sniff import ENDINGS as ENDINGS
from gmmquant.images.decoding.sniff import FORMATS as FORMATS
from gmmquant.images.decoding.sniff import Header, check_size, damaged, read_header
from gmmquant.settings import MAX_PIXELS
from gmmquant.system.filesystem import check_bytes, open_regular

if TYPE_CHECKING:
    from gmmquant.images.decoding.animations import Film
    from gmmquant.images.decoding.profiles import Profile

_BYTES, _BYTES_PER_PIXEL = 1 << 26, 16


def announce_nothing(n_pixels: int) -> None:
    """Take note that an image of so many pixels is about to be decoded by doing nothing."""


def byte_limit(max_pixels: int) -> int:
    """Return how many bytes a file may have: more than any kind needs (RGBA of 16 bits has 8 a pixel).

    All are read at once.
    """
    return _BYTES + _BYTES_PER_PIXEL * max_pixels


def read_image(
    source: str | os.PathLike[str] | BinaryIO,
    *,
    max_pixels: int = MAX_PIXELS,
    announce: Callable[[int], None] = announce_nothing,
) -> DecodedImage:
    """Read a PNG, JPEG, WebP, AVIF, TIFF (its first page), BMP, GIF, JPEG 2000 or PNM, with all frames of an animation.

    A colour profile is applied to 8-bit images: what comes is sRGB. CMYK without a profile is converted as the
    decoder does.

    Parameters
    ----------
    source : path of a regular file, or binary file
        A file that is open must be seekable, such as `io.BytesIO`. It is read from its beginning and left open.
    max_pixels : int
        An image that declares more pixels, all frames counted, is refused before it is decoded.
    announce : function of an int
        Called once with the number of pixels that the header declares, all frames counted, when they are within the
        limit and before any is decoded: whoever shares memory with others can wait here. What it raises passes through.

    Raises
    ------
    ImageError
        If the file is no regular file, no supported image, too large (in pixels, or above 64 MiB and 16 bytes for
        each of `max_pixels`), damaged, or has pixels other than 8- or 16-bit integers.
    ParameterError
        If the file is open for text, or cannot be sought in.
    OSError
        If the system cannot read it.
    """

    def admit(width: int, height: int, n_frames: int = 1) -> None:
        check_size(width, height, max_pixels, n_frames)
        announce(width * height * n_frames)

    with _opened(source, byte_limit(max_pixels)) as file:
        header = read_header(file)
        check_size(*header.size, max_pixels)
        file.seek(0)
        data = file.read()
    found = png_chunks.ancillary(data) if header.format == "PNG" else {}
    if found is None:
        raise damaged(header.format)
    film = _decode_film(data, header, found, admit)
    if film is not None:
        frames, orientation, notes = film.frames, film.orientation, list(film.notes)
    else:
        admit(*header.size)
        decoded = decode(data, header, transparent_grey=png_chunks.transparent_grey(found))
        frames, orientation, notes = decoded.pixels[np.newaxis], decoded.orientation, []
        if header.further_pages or (header.pnm is not None and pnm.is_followed(data, header.pnm)):
            notes.append("has several frames or pages; only the first is used")
        if decoded.doubtful:
            notes.append("the decoder found errors in the file; parts of the image may be wrong")
    frames, note, has_profile = _in_srgb(frames, data, header, found)
    frames = orient(frames, orientation)
    n, height, width, channels = frames.shape
    metadata = read_metadata(
        data,
        header,
        found,
        has_profile=has_profile,
        turned=orientation in (5, 6, 7, 8) or header.tiff_turned,
        comment=b"" if film is None else film.comment,
    )
    return DecodedImage(
        np.ascontiguousarray(frames).reshape(n * height, width, channels),
        (*notes, *note),
        metadata,
        None if film is None else film.animation,
    )


def orient(image: npt.NDArray[Any], orientation: int) -> npt.NDArray[Any]:
    """Turn images (..., h, w, channels) stored with an EXIF `orientation`, 1 to 8, the way they are meant to be seen.

    Any other value means 1, as the standard has it (CIPA DC-008, tag 274).
    """
    if orientation in (5, 6, 7, 8):
        image = image.swapaxes(-3, -2)
    if orientation in (2, 3, 6, 7):
        image = image[..., ::-1, :]
    if orientation in (3, 4, 7, 8):
        image = image[..., ::-1, :, :]
    return image


def _decode_film(
    data: bytes, header: Header, found: dict[bytes, list[bytes]], admit: Callable[[int, int, int], None]
) -> Film | None:
    """Decode what may be an animation; None if it is an image. What takes them apart is loaded for them only."""
    if header.format != "GIF" and header.n_frames == 1 and b"acTL" not in found:
        return None
    from gmmquant.images.decoding.animations import decode_film

    return decode_film(data, header, found, admit)


def _in_srgb(
    frames: npt.NDArray[Any], data: bytes, header: Header, found: dict[bytes, list[bytes]]
) -> tuple[npt.NDArray[Any], list[str], bool]:
    """Bring frames to sRGB by the profile of the file; return them, what to note, and whether a profile was heeded."""
    if png_chunks.is_srgb(found):
        return frames, [], True
    packed = _packed_profile(data, header, found)
    if packed is None:
        foreign = png_chunks.foreign_color_space(found)
        note = [] if foreign is None else [f"{foreign} is not applied; values are taken as sRGB"]
        return frames, note, False
    from gmmquant.images.decoding.profiles import read_profile

    profile = read_profile(packed)
    if profile is None:
        return frames, ["the colour profile cannot be read; values are taken as sRGB"], False
    if profile.is_srgb:
        return frames, [], True
    if frames.dtype != np.uint8:
        note = [f"colour profile {profile.name} is not applied to 16-bit images; values are taken as sRGB"]
        return frames, note, False
    converted = _converted(frames, data, header, profile)
    if converted is None:
        note = [f"colour profile {profile.name} does not fit the image; values are taken as sRGB"]
        return frames, note, False
    return converted, [f"converted from {profile.name} to sRGB"], True


def _packed_profile(data: bytes, header: Header, found: dict[bytes, list[bytes]]) -> bytes | None:
    if header.format == "PNG":
        return png_chunks.profile(found)
    if header.format == "JPEG2000":
        stream = isobmff.read_codestream(data)
        return None if stream is None else stream.profile
    packed = header.info.get("icc_profile")
    return packed if isinstance(packed, bytes) else None


def _converted(frames: npt.NDArray[Any], data: bytes, header: Header, profile: Profile) -> npt.NDArray[Any] | None:
    """Convert frames, in place or from the inks that the file holds; None if the profile does not fit them."""
    if profile.mode == "CMYK" and header.mode == "CMYK":
        return profile.convert(decode_inks(data, header))[np.newaxis]
    from gmmquant.images.decoding.profiles import apply_to

    stack = frames.reshape(-1, *frames.shape[2:])
    return frames if apply_to(stack, profile, grey=header.is_grey) else None


@contextlib.contextmanager
def _opened(source: str | os.PathLike[str] | BinaryIO, limit: int) -> Iterator[BinaryIO]:
    """Open a file, of at most `limit` bytes; one that is open already is sought to its beginning, and stays open."""
    if isinstance(source, (str, os.PathLike)):
        with open_regular(source, limit) as file:
            yield file
        return
    given: object = source  # whatever its type says
    if isinstance(given, io.TextIOBase) or not source.seekable():
        raise ParameterError("a file to read from must be binary and seekable; give io.BytesIO of its bytes")
    check_bytes(source.seek(0, os.SEEK_END), limit)
    source.seek(0)
    yield source
