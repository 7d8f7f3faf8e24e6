"""Decoding with OpenCV, which is fast and keeps 16 bits, and the scaling of values to 8 or 16 bits.

OpenCV returns 10 and 12 bits unscaled, ignores profiles, and reports damage on standard error only.
"""

from __future__ import annotations

from typing import Any

import cv2
import numpy as np
import numpy.typing as npt

from gmmquant.errors import ImageError
from gmmquant.images.decoding.decoder_stderr import captured_stderr
from gmmquant.images.decoding.pillow import orientation_of
from gmmquant.images.decoding.reader import damaged

# Text in the messages of OpenCV (also for libtiff), libpng and libjpeg about images that are unusable, and about those
# that may have wrong pixels. Their other warnings, such as odd profiles and unknown tags, are dropped.
_FATAL = (b"[ERROR", b"libpng error", b"remature end of")
_DOUBTFUL = (b"Corrupt JPEG data", b"Inconsistent progression sequence", b"Invalid SOS parameters")

# Channels are swapped in bands: a second array for 12 million pixels would cost 10 to 70 ms of fresh memory.
_BAND_PIXELS = 1 << 16


def decode_with_opencv(data: bytes, name: str) -> tuple[npt.NDArray[Any], int | None, bool]:
    """Decode a file of the format `name` that stores one image.

    Return OpenCV's array (grey, BGR or BGRA), the EXIF orientation if there is one, and whether the decoder reported
    errors.
    """
    pixels: Any  # None if OpenCV fails, against its type hints
    with captured_stderr() as captured:
        level = cv2.utils.logging.setLogLevel(cv2.utils.logging.LOG_LEVEL_ERROR)  # the user may have set it to silent
        try:
            pixels, types, blocks = cv2.imdecodeWithMetadata(np.frombuffer(data, np.uint8), flags=cv2.IMREAD_UNCHANGED)
        except cv2.error as error:
            raise (MemoryError if error.code == cv2.Error.StsNoMem else damaged(name)) from None
        finally:
            cv2.utils.logging.setLogLevel(level)
    lines = [line for line in captured if b"Orientation" not in line]
    if pixels is None or any(text in line for line in lines for text in _FATAL):
        raise damaged(name)
    exif = [block for type_, block in zip(types, blocks, strict=True) if type_ == cv2.IMAGE_METADATA_EXIF]
    orientation = orientation_of(exif[0].tobytes()) if exif else None
    return pixels, orientation, any(text in line for line in lines for text in _DOUBTFUL)


def to_rgb(decoded: npt.NDArray[Any]) -> npt.NDArray[Any]:
    """Convert OpenCV's grey, BGR or BGRA to RGB or RGBA, shape (h, w, 3 or 4); BGR and BGRA in place."""
    if decoded.dtype not in (np.uint8, np.uint16):
        raise ImageError(f"pixels of type {decoded.dtype} are not supported; convert the image to 8 or 16 bits")
    if decoded.ndim == 2:
        return cv2.cvtColor(decoded, cv2.COLOR_GRAY2RGB)
    height, width, channels = decoded.shape
    if channels not in (3, 4):
        raise ImageError(f"{channels} channels are not supported; convert the image to grey, RGB or RGBA")
    swap = cv2.COLOR_BGR2RGB if channels == 3 else cv2.COLOR_BGRA2RGBA
    step = max(_BAND_PIXELS // width, 1)
    for rows in (slice(start, start + step) for start in range(0, height, step)):
        decoded[rows] = cv2.cvtColor(decoded[rows], swap)
    return decoded


def stretched(values: npt.NDArray[Any], maximum: int) -> npt.NDArray[Any]:
    """Scale integers from 0..`maximum` to the range of uint8, or of uint16 if `maximum` > 255; clip larger ones."""
    dtype = np.uint8 if maximum <= 255 else np.uint16
    top = int(np.iinfo(dtype).max)
    if maximum == top:
        return values.astype(dtype)
    table = ((np.arange(maximum + 1, dtype=np.uint64) * top + maximum // 2) // maximum).astype(dtype)
    return np.asarray(table[np.minimum(values, maximum)])
