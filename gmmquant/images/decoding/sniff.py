"""What the header of an image file says of it: kind, size, mode, and what Pillow finds on the way.

A file is judged by its content, not by its ending. Only the reader of the kind that its first bytes name is asked.
"""

from __future__ import annotations

import importlib
import io
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import IO, Any, BinaryIO, cast

import numpy as np
from PIL import Image

from gmmquant.errors import ImageError
from gmmquant.images.containers import PNG_SIGNATURE
from gmmquant.images.decoding import pnm
from gmmquant.images.decoding.decoder_stderr import pillow_at_ease
from gmmquant.images.decoding.png_chunks import read_png_header
from gmmquant.images.exif import ORIENTATION

_ENDINGS = {
    "PNG": (".png", ".apng"),
    "JPEG": (".jpg", ".jpeg", ".jpe", ".jfif"),
    "WEBP": (".webp",),
    "AVIF": (".avif", ".avifs"),
    "TIFF": (".tif", ".tiff"),
    "BMP": (".bmp", ".dib"),
    "GIF": (".gif",),
    "JPEG2000": (".jp2", ".j2k", ".j2c", ".jpc", ".jpf", ".jpx"),
    "PNM": (".pnm", ".pbm", ".pgm", ".ppm", ".pam"),
}
FORMATS = tuple(_ENDINGS)
ENDINGS = frozenset(ending for endings in _ENDINGS.values() for ending in endings)

# The frames that an animation may have: each takes some work, however small it is.
MAX_FRAMES = 10_000

# The longest side that OpenCV decodes.
_MAX_SIDE = 1 << 20

# Pillow's readers by the formats that they read.
_READERS = {
    "JPEG": "Jpeg",
    "WEBP": "WebP",
    "AVIF": "Avif",
    "TIFF": "Tiff",
    "BMP": "Bmp",
    "GIF": "Gif",
    "JPEG2000": "Jpeg2K",
}
_MAGIC = {
    PNG_SIGNATURE: "PNG",
    b"\xff\xd8\xff": "JPEG",
    b"RIFF": "WEBP",
    b"II*\0": "TIFF",
    b"MM\0*": "TIFF",
    b"II+\0": "TIFF",
    b"MM\0+": "TIFF",
    b"BM": "BMP",
    b"GIF8": "GIF",
    b"\0\0\0\x0cjP  ": "JPEG2000",
    b"\xff\x4f\xff\x51": "JPEG2000",
}

_BITS, _PHOTOMETRIC, _CHANNELS = 258, 262, 277
_PLANAR, _EXTRA_SAMPLES, _SAMPLE_FORMAT = 284, 338, 339
_WHITE_IS_ZERO, _BLACK_IS_ZERO, _RGB = 0, 1, 2
_GREY_MODES = ("1", "L", "LA", "I", "I;16", "I;16B", "I;16L")


@dataclass(frozen=True)
class Header:
    """What the header of an image file says of it.

    Attributes
    ----------
    format : str
        One of FORMATS.
    size : (width, height)
        As stored; a TIFF's as it is meant to be seen.
    mode : str
        Pillow's word for the channels.
    n_frames : int
        1 where that is told later, from the whole file.
    further_pages : bool
        Whether a TIFF has more pages than the first.
    info : mapping
        What Pillow found besides: "dpi", "exif", "icc_profile" and the like.
    tiff_tags : mapping
    pnm : PnmHeader or None
    """

    format: str
    size: tuple[int, int]
    mode: str = ""
    n_frames: int = 1
    further_pages: bool = False
    info: Mapping[str, Any] = field(default_factory=dict)
    tiff_tags: Mapping[int, Any] = field(default_factory=dict)
    pnm: pnm.PnmHeader | None = None

    @property
    def is_grey(self) -> bool:
        """Whether the file holds grey levels, with or without alpha."""
        return self.mode in _GREY_MODES

    @property
    def tiff_turned(self) -> bool:
        """Whether decoders swap the width and height of a TIFF as they turn it the right way."""
        return self.tiff_tags.get(ORIENTATION) in (5, 6, 7, 8)

    @property
    def bits_per_sample(self) -> int:
        """Of a TIFF; 1 where nothing is said, as the standard has it."""
        return int(np.max(self.tiff_tags.get(_BITS, 1)))

    @property
    def white_is_zero(self) -> bool:
        """Whether the grey levels of a TIFF count from white to black."""
        return bool(self.tiff_tags.get(_PHOTOMETRIC) == _WHITE_IS_ZERO)

    @property
    def is_plain_tiff(self) -> bool:
        """Whether a TIFF above 8 bits is of a kind that decoders know: grey, or 16-bit RGB or RGBA; of integers."""
        photometric, channels = self.tiff_tags.get(_PHOTOMETRIC), self.tiff_tags.get(_CHANNELS, 1)
        is_grey = photometric in (_WHITE_IS_ZERO, _BLACK_IS_ZERO) and channels == 1
        is_rgb = photometric == _RGB and channels in (3, 4) and self.bits_per_sample == 16
        return (is_grey or is_rgb) and bool(np.max(self.tiff_tags.get(_SAMPLE_FORMAT, 1)) == 1)

    @property
    def fourth_is_no_alpha(self) -> bool:
        """Whether a TIFF says of its fourth channel that it is something else than alpha."""
        return bool(np.atleast_1d(self.tiff_tags.get(_EXTRA_SAMPLES, 1))[0] == 0)

    @property
    def planar(self) -> bool:
        """Whether a TIFF keeps each channel in a plane of its own."""
        return bool(self.tiff_tags.get(_PLANAR, 1) == 2)

    @property
    def alpha_multiplied_in(self) -> bool:
        """Whether a TIFF's colours are multiplied by their alpha ("associated" alpha)."""
        return 1 in np.atleast_1d(self.tiff_tags.get(_EXTRA_SAMPLES, 0))


def read_header(file: BinaryIO) -> Header:
    """Read the header of a file from its beginning.

    Raises
    ------
    ImageError
        If it is no supported image.
    OSError
        If the system cannot read it.
    """
    beginning = file.read(32)
    if pnm.is_pnm(beginning):
        file.seek(0)
        found = pnm.read_pnm_header(file.read(pnm.HEADER_BYTES))
        if found is None:
            raise damaged("PNM")
        return Header("PNM", (found.width, found.height), "L" if found.channels < 3 else "RGB", pnm=found)
    kind = _kind(beginning)
    if kind == "PNG":  # Pillow would refuse those with long texts
        size, mode = read_png_header(beginning)
        if mode:
            return Header(kind, size, mode)
    if kind is not None:
        file.seek(0)
        watched = _Watched(file)
        try:
            return _ask_pillow(watched, kind)
        except MemoryError:
            raise
        except Exception:  # Pillow's readers fail on hostile headers in many ways, all meaning the same
            if watched.failure is not None:
                raise watched.failure from None
            if kind == "TIFF" and (bits := _tiff_bits(file)) > 8:
                raise unsupported_tiff(bits) from None
    raise ImageError("not a supported image; give a PNG, JPEG, WebP, AVIF, TIFF, BMP, GIF, JPEG 2000 or PNM file")


def check_size(width: int, height: int, max_pixels: int, n_frames: int = 1) -> None:
    """Refuse an image larger than the limit on pixels, all frames counted, or than the decoder takes."""
    if width * height * n_frames > max_pixels:
        frames = "" if n_frames == 1 else f"{n_frames} frames of "
        raise ImageError(
            f"{frames}{width} x {height} pixels is above the limit {max_pixels}; raise max_pixels (--max-pixels), "
            "or scale the image down"
        )
    if n_frames > MAX_FRAMES:
        raise ImageError(f"more than {MAX_FRAMES} frames; cut the animation up")
    if max(width, height) > _MAX_SIDE:
        raise ImageError(f"{width} x {height} pixels: a side is above the limit {_MAX_SIDE}; cut the image up")


def damaged(kind: str) -> ImageError:
    """Return the error of an image whose data are broken."""
    return ImageError(f"damaged or incomplete {kind} image; get an undamaged copy")


def unsupported_tiff(bits: int) -> ImageError:
    """Return the error of a TIFF that is as good as any other, but of a kind that is not decoded."""
    return ImageError(
        f"TIFF of {bits} bits a value of this kind is not supported; convert it to grey or RGB of 8 or 16 bits"
    )


def _tiff_bits(file: BinaryIO) -> int:
    """Return the bits of a value of a TIFF that Pillow does not know; 0 if it is broken."""
    from PIL.TiffImagePlugin import ImageFileDirectory_v2

    try:
        file.seek(0)
        beginning = file.read(16)
        directory = ImageFileDirectory_v2(beginning if b"+" in beginning[:4] else beginning[:8])
        file.seek(directory.next)
        with pillow_at_ease():
            directory.load(cast(IO[bytes], file))
            return int(np.max(directory.get(_BITS, 1))) if _PHOTOMETRIC in directory else 0
    except MemoryError:
        raise
    except Exception:  # as above
        return 0


def _kind(beginning: bytes) -> str | None:
    if beginning[4:8] == b"ftyp":
        return "AVIF"
    return next((kind for magic, kind in _MAGIC.items() if beginning.startswith(magic)), None)


class _Watched:
    """A file that remembers how the system failed to read it, which some of Pillow's readers take for damage."""

    def __init__(self, file: BinaryIO) -> None:
        self.seek, self.tell, self._read = file.seek, file.tell, file.read
        self.failure: OSError | None = None

    def read(self, size: int = -1) -> bytes:
        try:
            return self._read(size)
        except OSError as error:
            self.failure = error
            raise


def _ask_pillow(file: _Watched, kind: str) -> Header:
    # Otherwise Pillow would load the readers of all the formats there are, to find some of these.
    importlib.import_module(f"PIL.{_READERS[kind]}ImagePlugin")
    if kind == "JPEG2000":  # Pillow asks a file for as many bytes as a box claims, and a file makes room for them
        file = _Watched(io.BytesIO(file.read()))
    with pillow_at_ease(), Image.open(cast(BinaryIO, file), formats=(kind,)) as image:
        several = kind in ("WEBP", "AVIF")
        return Header(
            format=kind,  # a JPEG with further images (MPO) is one: they are previews and maps
            size=image.size,
            mode=image.mode,
            n_frames=int(getattr(image, "n_frames", 1)) if several else 1,
            further_pages=kind == "TIFF" and bool(getattr(image, "is_animated", False)),
            info={str(key): value for key, value in image.info.items()},
            tiff_tags=dict(getattr(image, "tag_v2", {})) if kind == "TIFF" else {},
        )
