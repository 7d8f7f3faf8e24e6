"""The decoding of one image: OpenCV's array or Pillow's as RGB or RGBA, 8 or 16 bits, the whole range used.

OpenCV decodes, as it keeps 16 bits and is fast. Pillow decodes what OpenCV gets wrong: TIFFs of up to 8 bits (whose
alpha OpenCV multiplies in or drops), BMPs (those of OS/2, of 16 bits a pixel or with masks come out wrong), JPEG 2000s
of up to 8 bits (grey with alpha, CMYK and YCC fail), and the inks of a CMYK file whose profile is to be applied.
Neither stretches values of 10 or 12 bits to 16, so that is done here.
"""

from __future__ import annotations

import io
import re
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt
from PIL import Image

from gmmquant.errors import ImageError
from gmmquant.images.decoding import isobmff
from gmmquant.images.decoding.decoder_stderr import captured_stderr, pillow_at_ease
from gmmquant.images.decoding.pnm import decode_pnm, stretched
from gmmquant.images.decoding.sniff import Header, damaged, unsupported_tiff
from gmmquant.images.exif import ORIENTATION

# How OpenCV (which speaks for libtiff), libpng and libjpeg begin what makes an image unusable, and what only makes it
# doubtful. Their warnings, of an odd colour profile or an unknown tag, are of no interest.
_FATAL = (b"[ERROR", b"libpng error", b"remature end of")
_DOUBTFUL = (b"Corrupt JPEG data", b"Inconsistent progression sequence", b"Invalid SOS parameters")

# A marker in a JPEG, other than those that stand within its packed pixels; the one that has no length, and the last.
_MARKER = re.compile(rb"\xff([^\x00\xff\xd0-\xd7])")
_ALONE, _END = b"\x01", b"\xd9"

# What a decoder of JPEG never reaches if it has had all pixels before.
_MORE = bytes(range(254, 0, -7))

# Pixels whose channels are swapped at a time: a second array for 12 million would cost 10 to 70 ms of fresh memory.
_BAND = 1 << 16


@dataclass(frozen=True)
class Decoded:
    """Pixels (height, width, 3 or 4) as stored, how to turn them (EXIF, 1 to 8), whether the decoder complained."""

    pixels: npt.NDArray[Any]
    orientation: int = 1
    doubtful: bool = False


def decode(data: bytes, header: Header, *, transparent_grey: int | None = None) -> Decoded:
    """Decode an image of one frame.

    Raises
    ------
    ImageError
        If it is damaged, or has pixels other than 8- or 16-bit integers.
    """
    if header.format == "TIFF":
        return Decoded(_decode_tiff(data, header))
    if header.pnm is not None:
        values = decode_pnm(data, header.pnm)
        if values is None:
            raise damaged("PNM")
        return Decoded(_rgb_from(values))
    if header.format == "BMP":
        return Decoded(_decode_with_pillow(data, "BMP"))
    if header.format == "JPEG2000":
        return Decoded(_decode_jpeg_2000(data, header))
    decoded, orientation, doubtful = decode_with_opencv(data)
    if decoded is None or (doubtful and header.format == "JPEG" and _ends_too_early(data, decoded)):
        raise damaged(header.format)
    if header.format == "AVIF":
        if decoded.dtype == np.uint16:
            decoded = stretched(decoded, (1 << isobmff.avif_bits(data)) - 1)
        # Pillow puts the turns that an AVIF's own boxes ask for, which alone count, into the EXIF block it returns.
        orientation = orientation_of(header.info.get("exif", b""))
    return Decoded(with_transparent_grey(to_rgb(decoded), transparent_grey), orientation, doubtful)


def decode_inks(data: bytes, header: Header) -> npt.NDArray[np.uint8]:
    """Decode a CMYK file to its inks (height, width, 4), 255 for all of an ink; a TIFF's turned the right way."""
    with opened_by_pillow(data, header.format) as image:
        return np.array(image if image.mode == "CMYK" else image.convert("CMYK"))


def decode_with_opencv(data: bytes) -> tuple[npt.NDArray[Any] | None, int, bool]:
    """Decode with OpenCV; return the array or None if damaged, the EXIF orientation, and whether to doubt the array."""
    decoded: Any  # None where OpenCV gives up, which its type hints do not say
    with captured_stderr() as captured:
        level = cv2.utils.logging.setLogLevel(cv2.utils.logging.LOG_LEVEL_ERROR)  # the user's may be silent
        try:
            decoded, kinds, metadata = cv2.imdecodeWithMetadata(
                np.frombuffer(data, dtype=np.uint8), flags=cv2.IMREAD_UNCHANGED
            )
        except cv2.error as error:
            if error.code == cv2.Error.StsNoMem:
                raise MemoryError from None
            return None, 1, False
        finally:
            cv2.utils.logging.setLogLevel(level)
    complaints = [line for line in captured if b"Orientation" not in line]
    if decoded is None or any(fatal in line for line in complaints for fatal in _FATAL):
        return None, 1, False
    exif = next((block for kind, block in zip(kinds, metadata, strict=True) if kind == cv2.IMAGE_METADATA_EXIF), None)
    orientation = 1 if exif is None else orientation_of(exif.tobytes())
    return decoded, orientation, any(word in line for line in complaints for word in _DOUBTFUL)


def _ends_too_early(data: bytes, decoded: npt.NDArray[Any]) -> bool:
    """Tell whether the packed pixels of a JPEG are cut short.

    libjpeg tells of the first fault it finds only. So it is asked for the image with something more at the end of the
    data: if that makes another image, there was room for it. Only faulty files are decoded twice.
    """
    end = _end_of_jpeg(data)
    if end is None:
        return True
    again, _, _ = decode_with_opencv(data[:end] + _MORE + data[end:])
    return again is None or not np.array_equal(again, decoded)


def _end_of_jpeg(data: bytes) -> int | None:
    """Return where the last marker of a JPEG stands, that of its end; None if it is not there."""
    position = 2
    while found := _MARKER.search(data, position):
        if found[1] == _END:
            return found.start()
        position = found.end()
        if found[1] != _ALONE:
            position += int.from_bytes(data[position : position + 2], "big")
    return None


def orientation_of(block: bytes) -> int:
    """Return the orientation that a block of EXIF data states; 1 if it states none or cannot be read."""
    exif = Image.Exif()
    try:
        with pillow_at_ease():
            exif.load(block)
        return int(exif.get(ORIENTATION, 1))
    except Exception:  # what camera and editor programs write here is often broken, and never worth an image
        return 1


@contextmanager
def opened_by_pillow(data: bytes, kind: str) -> Iterator[Image.Image]:
    """Open an image with Pillow; whatever fails in the block is damage, since the failures of its readers are many."""
    with captured_stderr():
        try:
            with pillow_at_ease(), Image.open(io.BytesIO(data), formats=(kind,)) as image:
                yield image
        except MemoryError:
            raise
        except Exception:
            raise damaged(kind) from None


def to_rgb(decoded: npt.NDArray[Any]) -> npt.NDArray[Any]:
    """Turn OpenCV's grey, BGR or BGRA into RGB or RGBA, shape (h, w, 3 or 4); colours in place."""
    if decoded.dtype not in (np.uint8, np.uint16):
        raise ImageError(f"pixels of type {decoded.dtype} are not supported; convert the image to 8 or 16 bits")
    if decoded.ndim == 2:
        return cv2.cvtColor(decoded, cv2.COLOR_GRAY2RGB)
    height, width, channels = decoded.shape
    if channels not in (3, 4):
        raise ImageError(f"{channels} channels are not supported; convert the image to grey, RGB or RGBA")
    swap = cv2.COLOR_BGR2RGB if channels == 3 else cv2.COLOR_BGRA2RGBA
    step = max(_BAND // width, 1)
    for rows in (slice(start, start + step) for start in range(0, height, step)):
        decoded[rows] = cv2.cvtColor(decoded[rows], swap)
    return decoded


def with_transparent_grey(image: npt.NDArray[Any], grey: int | None) -> npt.NDArray[Any]:
    """Add the alpha that a grey PNG declares by one transparent level, which OpenCV passes over."""
    if grey is None:
        return image
    alpha = np.where(image[:, :, 0] == grey, 0, np.iinfo(image.dtype).max).astype(image.dtype)
    return np.dstack([image[:, :, :3], alpha])


def _decode_tiff(data: bytes, header: Header) -> npt.NDArray[Any]:
    """Decode a TIFF, which both libraries turn the right way themselves: up to 8 bits with Pillow, else with OpenCV."""
    if header.bits_per_sample <= 8:
        return _decode_with_pillow(data, "TIFF")
    if header.planar:
        raise ImageError("16-bit TIFF in separate planes is not supported; save it interleaved (contiguous)")
    decoded, _, _ = decode_with_opencv(data)
    if decoded is None:
        raise damaged("TIFF") if header.is_plain_tiff else unsupported_tiff(header.bits_per_sample)
    pixels = to_rgb(decoded)
    if header.fourth_is_no_alpha:
        pixels = pixels[:, :, :3]
    if header.bits_per_sample < 16:  # OpenCV shifts them up
        pixels = stretched(pixels >> (16 - header.bits_per_sample), (1 << header.bits_per_sample) - 1)
    if header.white_is_zero:  # which OpenCV does not heed
        pixels[:, :, :3] = np.iinfo(pixels.dtype).max - pixels[:, :, :3]
    return _divide_by_alpha(pixels) if header.alpha_multiplied_in and pixels.shape[2] == 4 else pixels


def _decode_jpeg_2000(data: bytes, header: Header) -> npt.NDArray[Any]:
    stream = isobmff.read_codestream(data)
    if stream is None or (stream.width, stream.height) != header.size:
        raise damaged("JPEG2000")
    if stream.bits <= 8:
        pixels = _decode_with_pillow(data, "JPEG2000")
        if stream.bits < 8 and stream.plain:  # Pillow shifts them up
            pixels = stretched(pixels >> (8 - stream.bits), (1 << stream.bits) - 1)
        return pixels
    if not stream.plain or stream.channels == 2 or stream.bits > 16:
        raise ImageError(f"JPEG 2000 of {stream.bits} bits that is not plain grey, RGB or RGBA; convert it to 8 bits")
    decoded, _, _ = decode_with_opencv(data)
    if decoded is None or decoded.dtype != np.uint16:
        raise damaged("JPEG2000")
    return to_rgb(stretched(decoded, (1 << stream.bits) - 1))


def _decode_with_pillow(data: bytes, kind: str) -> npt.NDArray[np.uint8]:
    with opened_by_pillow(data, kind) as image:
        has_alpha = image.has_transparency_data or image.mode in ("LA", "La", "RGBA", "RGBa", "PA")
        return np.array(image.convert("RGBA" if has_alpha else "RGB"))


def _divide_by_alpha(pixels: npt.NDArray[Any]) -> npt.NDArray[Any]:
    """Undo the multiplication of 16-bit colours by their alpha; what is fully transparent has no colour, and gets 0."""
    alpha = pixels[:, :, 3:].astype(np.float64)
    colors = np.divide(pixels[:, :, :3] * 65535.0, alpha, out=np.zeros(pixels[:, :, :3].shape), where=alpha > 0)
    return np.dstack([np.rint(np.minimum(colors, 65535)).astype(pixels.dtype), pixels[:, :, 3]])


def _rgb_from(values: npt.NDArray[Any]) -> npt.NDArray[Any]:
    """Return grey, grey and alpha, RGB or RGBA, (h, w, 1 to 4), as RGB or RGBA."""
    channels = values.shape[2]
    return values if channels > 2 else values[:, :, [0, 0, 0] if channels == 1 else [0, 0, 0, 1]]
