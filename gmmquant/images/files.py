"""Picture files: decode (OpenCV) to an RGB or RGBA array, encode (Pillow) to an indexed PNG.

A file is judged by its content, not by its ending. Pillow reads the header (kind, size, frames), OpenCV the pixels and
their orientation. TIFFs of up to 8 bits are left to Pillow, since OpenCV multiplies their alpha in or drops it.
"""

from __future__ import annotations

import io
import os
import stat
import threading
import warnings
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, BinaryIO

import cv2
import numpy as np
import numpy.typing as npt
from PIL import Image, PngImagePlugin

from gmmquant.errors import PictureError
from gmmquant.images.recolor import recolor
from gmmquant.settings import MAX_PIXELS
from gmmquant.threads import for_chunks

FORMATS = ("PNG", "JPEG", "WEBP", "TIFF", "BMP", "GIF")
ENDINGS = frozenset({".png", ".jpg", ".jpeg", ".webp", ".tif", ".tiff", ".bmp", ".gif"})

_ORIENTATION_TAG = 0x0112
_TIFF_BITS, _TIFF_PLANAR, _TIFF_EXTRA_SAMPLES = 258, 284, 338
_MARK = "gmmquant"

# How OpenCV (which speaks for libtiff), libpng and libjpeg begin what makes a picture unusable, and what only makes it
# doubtful. Their warnings, of an odd colour profile or an unknown tag, are of no interest.
_FATAL = (b"[ERROR", b"libpng error", b"remature end of")
_DOUBTFUL = (b"Corrupt JPEG data",)

# Pixels whose channels are swapped at a time: a second array for 12 million would cost 10 to 70 ms of fresh memory.
_BAND = 1 << 16

# The longest side that OpenCV decodes.
_MAX_SIDE = 1 << 20

# What the decoding of a picture borrows from the whole process: standard error, Pillow's limit, Python's warnings.
_process_state = threading.RLock()


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
    """What the header of a picture file says of it."""

    format: str
    size: tuple[int, int]
    animated: bool
    transparent_grey: int | None = None
    tiff_tags: Mapping[int, Any] = field(default_factory=dict)

    @property
    def bits_per_sample(self) -> int:
        """Of a TIFF; 1 where nothing is said, as the standard has it."""
        return int(np.max(self.tiff_tags.get(_TIFF_BITS, 1)))

    @property
    def planar(self) -> bool:
        """Whether a TIFF keeps each channel in a plane of its own."""
        return bool(self.tiff_tags.get(_TIFF_PLANAR, 1) == 2)

    @property
    def alpha_multiplied_in(self) -> bool:
        """Whether a TIFF's colours are multiplied by their alpha ("associated" alpha)."""
        return 1 in np.atleast_1d(self.tiff_tags.get(_TIFF_EXTRA_SAMPLES, 0))


def read_picture(path: str | os.PathLike[str], *, max_pixels: int = MAX_PIXELS) -> Picture:
    """Read a PNG, JPEG, WebP, TIFF, BMP or GIF (its first frame or page).

    Colour profiles are not looked at: values are taken as sRGB. CMYK is converted as the decoder does.

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
        _check_size(*header.size, max_pixels)
        file.seek(0)
        data = file.read()
    if header.format == "TIFF":
        pixels, doubtful = _decode_tiff(data, header), False
    else:
        decoded, orientation, doubtful = _decode(data)
        if decoded is None:
            raise _damaged(header)
        pixels = orient(_with_transparent_grey(_to_rgb(decoded), header.transparent_grey), orientation)
    notes = []
    if header.animated:
        notes.append("has several frames or pages; only the first is used")
    if doubtful:
        notes.append("the decoder found errors in the file; parts of the picture may be wrong")
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
                size=image.size,
                animated=bool(getattr(image, "is_animated", False)),
                transparent_grey=key if image.mode in ("1", "L", "I;16") and isinstance(key, int) else None,
                tiff_tags=dict(getattr(image, "tag_v2", {})) if image.format == "TIFF" else {},
            )
    except MemoryError:
        raise
    except Exception:  # Pillow's readers fail on hostile headers in many ways, and each means the same to the user
        raise PictureError("not a supported picture; give a PNG, JPEG, WebP, TIFF, BMP or GIF file") from None


def _check_size(width: int, height: int, max_pixels: int) -> None:
    if width * height > max_pixels:
        raise PictureError(
            f"{width} x {height} pixels is above the limit {max_pixels}; raise max_pixels (--max-pixels), "
            "or scale the picture down"
        )
    if max(width, height) > _MAX_SIDE:
        raise PictureError(f"{width} x {height} pixels: a side is above the limit {_MAX_SIDE}; cut the picture up")


def _damaged(header: Header) -> PictureError:
    return PictureError(f"damaged or incomplete {header.format} picture; get an undamaged copy")


@contextmanager
def _pillow_at_ease() -> Iterator[None]:
    """Let Pillow read any header without a limit on pixels (ours is checked right after) and without warnings."""
    with _process_state, warnings.catch_warnings():
        warnings.simplefilter("ignore")
        limit = Image.MAX_IMAGE_PIXELS
        Image.MAX_IMAGE_PIXELS = None
        try:
            yield
        finally:
            Image.MAX_IMAGE_PIXELS = limit


def _decode(data: bytes) -> tuple[npt.NDArray[Any] | None, int, bool]:
    """Decode with OpenCV; return the array or None if damaged, the EXIF orientation, and whether to doubt the array."""
    decoded: Any  # None where OpenCV gives up, which its type hints do not say
    with _captured_stderr() as captured:
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
    complaints = [line for line in captured.splitlines() if b"Orientation" not in line]
    if decoded is None or any(fatal in line for line in complaints for fatal in _FATAL):
        return None, 1, False
    exif = next((block for kind, block in zip(kinds, metadata, strict=True) if kind == cv2.IMAGE_METADATA_EXIF), None)
    orientation = 1 if exif is None else _orientation(exif.tobytes())
    return decoded, orientation, any(word in line for line in complaints for word in _DOUBTFUL)


def _decode_tiff(data: bytes, header: Header) -> npt.NDArray[Any]:
    """Decode a TIFF, which both libraries turn the right way themselves: up to 8 bits with Pillow, else with OpenCV."""
    if header.bits_per_sample <= 8:
        try:
            with _captured_stderr(), _pillow_at_ease(), Image.open(io.BytesIO(data), formats=("TIFF",)) as image:
                has_alpha = image.has_transparency_data or image.mode in ("LA", "La", "RGBA", "RGBa", "PA")
                return np.asarray(image.convert("RGBA" if has_alpha else "RGB"))
        except MemoryError:
            raise
        except Exception:  # as for headers
            raise _damaged(header) from None
    if header.planar:
        raise PictureError("16-bit TIFF in separate planes is not supported; save it interleaved (contiguous)")
    decoded, _, _ = _decode(data)
    if decoded is None:
        raise _damaged(header)
    pixels = _to_rgb(decoded)
    return _divide_by_alpha(pixels) if header.alpha_multiplied_in and pixels.shape[2] == 4 else pixels


def _divide_by_alpha(pixels: npt.NDArray[Any]) -> npt.NDArray[Any]:
    """Undo the multiplication of 16-bit colours by their alpha; what is fully transparent has no colour, and gets 0."""
    alpha = pixels[:, :, 3:].astype(np.float64)
    colors = np.divide(pixels[:, :, :3] * 65535.0, alpha, out=np.zeros(pixels[:, :, :3].shape), where=alpha > 0)
    return np.dstack([np.rint(np.minimum(colors, 65535)).astype(pixels.dtype), pixels[:, :, 3]])


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
    with _process_state:
        yield from _capture_stderr(captured)


def _capture_stderr(captured: bytearray) -> Iterator[bytearray]:
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
    """Turn OpenCV's grey, BGR or BGRA into RGB or RGBA, shape (h, w, 3 or 4); colours in place."""
    if decoded.dtype not in (np.uint8, np.uint16):
        raise PictureError(f"pixels of type {decoded.dtype} are not supported; convert the picture to 8 or 16 bits")
    if decoded.ndim == 2:
        return cv2.cvtColor(decoded, cv2.COLOR_GRAY2RGB)
    height, width, channels = decoded.shape
    if channels not in (3, 4):
        raise PictureError(f"{channels} channels are not supported; convert the picture to grey, RGB or RGBA")
    swap = cv2.COLOR_BGR2RGB if channels == 3 else cv2.COLOR_BGRA2RGBA
    step = max(_BAND // width, 1)
    for rows in (slice(start, start + step) for start in range(0, height, step)):
        decoded[rows] = cv2.cvtColor(decoded[rows], swap)
    return decoded


def _with_transparent_grey(image: npt.NDArray[Any], grey: int | None) -> npt.NDArray[Any]:
    """Add the alpha that a grey PNG declares by one transparent level, which OpenCV passes over."""
    if grey is None:
        return image
    alpha = np.where(image[:, :, 0] == grey, 0, np.iinfo(image.dtype).max).astype(image.dtype)
    return np.dstack([image[:, :, :3], alpha])


def _pair_with_alpha(
    labels: npt.NDArray[Any], palette: npt.NDArray[np.uint8], alpha: npt.NDArray[np.uint8]
) -> tuple[npt.NDArray[Any], npt.NDArray[np.uint8], npt.NDArray[np.uint8]]:
    """Make an entry of each pair of colour and alpha that occurs; return the labels, colours and alphas of entries."""
    pairs = (labels.astype(np.uint32) << 8 | alpha).ravel()
    occurs = np.zeros(len(palette) << 8, dtype=np.bool_)

    def note(chunk: slice) -> None:
        occurs[pairs[chunk]] = True

    for_chunks(note, pairs.size)
    used = np.flatnonzero(occurs)
    entries = np.zeros(occurs.size, dtype=np.min_scalar_type(used.size - 1))
    entries[used] = np.arange(used.size)
    index = np.empty(pairs.size, dtype=entries.dtype)
    for_chunks(lambda chunk: np.take(entries, pairs[chunk], out=index[chunk], mode="clip"), pairs.size)
    return index.reshape(labels.shape), palette[used >> 8], (used & 255).astype(np.uint8)
