"""Picture files: decode (OpenCV) to an RGB or RGBA array, encode (Pillow) to an indexed PNG.

A file is judged by its content, not by its ending. What Pillow reads is the header alone (kind, size, frames);
the pixels and their orientation come from OpenCV, except where OpenCV loses the alpha channel.
"""

from __future__ import annotations

import io
import os
import stat
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO

import cv2
import numpy as np
import numpy.typing as npt
from PIL import Image, PngImagePlugin

from gmmquant.errors import PictureError
from gmmquant.images.recolor import recolor
from gmmquant.settings import MAX_PIXELS

FORMATS = ("PNG", "JPEG", "WEBP", "TIFF", "BMP", "GIF")
ENDINGS = frozenset({".png", ".jpg", ".jpeg", ".webp", ".tif", ".tiff", ".bmp", ".gif"})

_ORIENTATION_TAG = 0x0112
_MARK = "gmmquant"

# How libjpeg, libpng and OpenCV (which speaks for libtiff) begin an error. Their warnings, of an odd colour profile or
# an unknown tag, are of no interest.
_COMPLAINTS = (b"Corrupt JPEG data", b"libpng error", b"[ERROR")


@dataclass(frozen=True)
class Picture:
    """A decoded picture.

    Attributes
    ----------
    pixels : ndarray of uint8 or uint16, shape (height, width, 3) or (height, width, 4)
        RGB or RGBA as it is meant to be seen: orientation applied, alpha not multiplied in.
    notes : tuple of str
        What a person should know: only the first frame was read, the decoder complained.
    """

    pixels: npt.NDArray[Any]
    notes: tuple[str, ...] = ()


@dataclass(frozen=True)
class Header:
    """What the first bytes of a picture file say of it."""

    format: str
    mode: str
    size: tuple[int, int]
    animated: bool
    transparent_grey: int | None


def read_picture(path: str | os.PathLike[str], *, max_pixels: int = MAX_PIXELS) -> Picture:
    """Read a PNG, JPEG, WebP, TIFF, BMP or GIF (its first frame or page).

    Parameters
    ----------
    path : path of a regular file
    max_pixels : int
        A picture that declares more pixels is refused before it is decoded.

    Raises
    ------
    PictureError
        If the file is no regular file, no supported picture, too large, damaged, or has pixels other than 8- or 16-bit
        integers.
    OSError
        If the system cannot read it.
    """
    with _open_regular(path) as file:
        header = _read_header(file)
        width, height = header.size
        if width * height > max_pixels:
            raise PictureError(
                f"{width} x {height} pixels is above the limit {max_pixels}; raise it with --max-pixels, or scale down"
            )
        file.seek(0)
        data = file.read()
    decoded, orientation, complaint = _decode(data)
    if decoded is None or (header.format == "TIFF" and complaint):
        raise PictureError(f"damaged or incomplete {header.format} picture; get an undamaged copy")
    if decoded.dtype not in (np.uint8, np.uint16):
        raise PictureError(f"pixels of type {decoded.dtype} are not supported; convert the picture to 8 or 16 bits")
    notes = []
    if header.animated:
        notes.append("has several frames or pages; only the first is used")
    if complaint:
        notes.append("the decoder found errors in the file; parts of the picture may be wrong")
    if header.format == "TIFF":
        # OpenCV applies a TIFF's orientation itself, and multiplies alpha in, or drops it, at 8 bits.
        lossy = decoded.dtype == np.uint8 and header.mode in ("RGBA", "LA", "PA")
        pixels = _decode_alpha_with_pillow(data) if lossy else _to_rgb(decoded)
    else:
        pixels = orient(_with_transparent_grey(_to_rgb(decoded), header.transparent_grey), orientation)
    return Picture(np.ascontiguousarray(pixels), tuple(notes))


def orient(image: npt.NDArray[Any], orientation: int) -> npt.NDArray[Any]:
    """Turn an image (h, w, channels) stored with an EXIF `orientation`, 1 to 8, the way it is meant to be seen.

    Any other value means 1, as the standard has it (CIPA DC-008, tag 274).
    """
    if orientation in (5, 6, 7, 8):
        image = image.transpose(1, 0, 2)
    if orientation in (2, 3, 6, 7):
        image = image[:, ::-1]
    if orientation in (3, 4, 7, 8):
        image = image[::-1]
    return image


def encode_png(labels: npt.NDArray[Any], palette: npt.NDArray[np.uint8], alpha: npt.NDArray[np.uint8] | None) -> bytes:
    """Encode `labels` (h, w) into `palette` (K, 3) with `alpha` (h, w) as a PNG: indexed where 256 entries suffice.

    An entry is a colour with an alpha value; where more than 256 pairs occur the PNG is RGB or RGBA.
    """
    if alpha is not None:
        labels, palette, entry_alpha = _pair_with_alpha(labels, palette, alpha)
    else:
        entry_alpha = None
    if len(palette) <= 256:
        image = Image.fromarray(labels.astype(np.uint8, copy=False))
        image.putpalette(palette.tobytes())
    else:
        per_pixel = None if entry_alpha is None else entry_alpha[labels]
        image, entry_alpha = Image.fromarray(recolor(labels, palette, per_pixel)), None
    text = PngImagePlugin.PngInfo()
    text.add_text("Software", _MARK)
    options = {} if entry_alpha is None else {"transparency": entry_alpha.tobytes()}
    buffer = io.BytesIO()
    image.save(buffer, "PNG", pnginfo=text, **options)
    return buffer.getvalue()


def is_own_output(path: Path) -> bool:
    """Tell whether a file is a PNG that `encode_png` made, by the text entry near its beginning."""
    try:
        with _open_regular(path) as file:
            return b"tEXtSoftware\0" + _MARK.encode() in file.read(4096)
    except (OSError, PictureError):
        return False


def _open_regular(path: str | os.PathLike[str]) -> BinaryIO:
    """Open a regular file; refuse pipes, devices and sockets without waiting for them."""
    descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK)
    if not stat.S_ISREG(os.fstat(descriptor).st_mode):
        os.close(descriptor)
        raise PictureError("not a regular file; give a picture file or a folder")
    return os.fdopen(descriptor, "rb")


def _read_header(file: BinaryIO) -> Header:
    try:
        with _pillow_at_ease(), Image.open(file, formats=FORMATS) as image:
            key = image.info.get("transparency") if image.format == "PNG" else None
            return Header(
                format=str(image.format),
                mode=image.mode,
                size=image.size,
                animated=bool(getattr(image, "is_animated", False)),
                transparent_grey=key if image.mode in ("1", "L", "I;16") and isinstance(key, int) else None,
            )
    except MemoryError:
        raise
    except Exception:  # Pillow's readers fail on hostile headers in many ways, and each means the same to the user
        raise PictureError("not a supported picture; give a PNG, JPEG, WebP, TIFF, BMP or GIF file") from None


@contextmanager
def _pillow_at_ease() -> Iterator[None]:
    """Let Pillow read any header without a limit on pixels (ours is checked right after) and without warnings."""
    limit = Image.MAX_IMAGE_PIXELS
    Image.MAX_IMAGE_PIXELS = None
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        Image.MAX_IMAGE_PIXELS = limit


def _decode(data: bytes) -> tuple[npt.NDArray[Any] | None, int, bool]:
    """Decode with OpenCV; return the array or None, the EXIF orientation, and whether the decoder reported an error."""
    with _captured_stderr() as captured:
        try:
            decoded, kinds, metadata = cv2.imdecodeWithMetadata(
                np.frombuffer(data, dtype=np.uint8), flags=cv2.IMREAD_UNCHANGED
            )
        except cv2.error:
            decoded, kinds, metadata = None, (), ()
    exif = next((block for kind, block in zip(kinds, metadata, strict=True) if kind == cv2.IMAGE_METADATA_EXIF), None)
    orientation = 1 if exif is None else _orientation(exif.tobytes())
    return decoded, orientation, any(complaint in captured for complaint in _COMPLAINTS)


def _orientation(block: bytes) -> int:
    """Return the orientation that a block of EXIF data states; 1 if it states none or cannot be read."""
    exif = Image.Exif()
    try:
        with _pillow_at_ease():
            exif.load(block)
        return int(exif.get(_ORIENTATION_TAG, 1))
    except Exception:  # what camera and editor programs write here is often broken, and never worth a picture
        return 1


@contextmanager
def _captured_stderr() -> Iterator[bytearray]:
    """Collect what C libraries write to standard error: they know no other way to complain."""
    captured = bytearray()
    try:
        saved = os.dup(2)
    except OSError:  # no standard error: nobody to protect from the noise
        yield captured
        return
    reader, writer = os.pipe()
    os.set_blocking(writer, False)  # a decoder that says more than a pipe holds must not wait for us to read it
    os.dup2(writer, 2)
    os.close(writer)
    try:
        yield captured
    finally:
        os.dup2(saved, 2)
        os.close(saved)
        with os.fdopen(reader, "rb") as said:
            captured += said.read()


def _to_rgb(decoded: npt.NDArray[Any]) -> npt.NDArray[Any]:
    """Turn OpenCV's grey, BGR or BGRA into RGB or RGBA, shape (h, w, 3 or 4)."""
    if decoded.ndim == 2:
        return cv2.cvtColor(decoded, cv2.COLOR_GRAY2RGB)
    if decoded.shape[2] == 4:
        return cv2.cvtColor(decoded, cv2.COLOR_BGRA2RGBA)
    if decoded.shape[2] == 3:
        return cv2.cvtColor(decoded, cv2.COLOR_BGR2RGB)
    raise PictureError(f"{decoded.shape[2]} channels are not supported; convert the picture to grey, RGB or RGBA")


def _with_transparent_grey(image: npt.NDArray[Any], grey: int | None) -> npt.NDArray[Any]:
    """Add the alpha that a grey PNG declares by one transparent level, which OpenCV passes over."""
    if grey is None:
        return image
    alpha = np.where(image[:, :, 0] == grey, 0, np.iinfo(image.dtype).max).astype(image.dtype)
    return np.dstack([image[:, :, :3], alpha])


def _decode_alpha_with_pillow(data: bytes) -> npt.NDArray[np.uint8]:
    with _pillow_at_ease(), Image.open(io.BytesIO(data), formats=("TIFF",)) as image:
        return np.asarray(image.convert("RGBA"))


def _pair_with_alpha(
    labels: npt.NDArray[Any], palette: npt.NDArray[np.uint8], alpha: npt.NDArray[np.uint8]
) -> tuple[npt.NDArray[Any], npt.NDArray[np.uint8], npt.NDArray[np.uint8]]:
    """Make an entry of each pair of colour and alpha that occurs; return the labels, colours and alphas of entries."""
    pairs = labels.astype(np.uint32) << 8 | alpha
    used, index = np.unique(pairs, return_inverse=True)
    return index.reshape(labels.shape), palette[used >> 8], (used & 255).astype(np.uint8)
