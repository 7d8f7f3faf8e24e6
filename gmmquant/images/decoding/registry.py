"""The input formats. A file's format is recognised by its first bytes, whatever its extension.

A new format is one entry in `INPUT_FORMATS` and one module in `formats`, the `Reader`. Readers are imported when a
file needs them, so that the extensions are known without OpenCV and Pillow.
"""

from __future__ import annotations

import importlib
import os
import re
from typing import BinaryIO, NamedTuple, cast

from gmmquant.errors import ImageError
from gmmquant.images.decoding.reader import Header, Reader


class InputFormat(NamedTuple):
    """An input format; its name, in lower case and without spaces, is that of the reader's module.

    The images of a folder are found by the extensions, in lower case. The first bytes of a file match the regular
    expression `signature`, and its brands, if it is of boxes, one of `brands`.
    """

    name: str
    extensions: tuple[str, ...]
    signature: bytes
    brands: tuple[bytes, ...] = ()

    @property
    def reader(self) -> Reader:
        """The module that reads the format."""
        module = self.name.lower().replace(" ", "")
        return cast(Reader, importlib.import_module(f"gmmquant.images.decoding.formats.{module}"))


# A file of boxes begins with its length, a name, its main brand, a version, and other brands (ISO/IEC 14496-12).
_BOXES = rb"(?s:.{4})ftyp"
_GENERIC_BRANDS = (b"mif1", b"msf1", b"mif2")
_HEVC_BRANDS = (b"heic", b"heix", b"heim", b"heis", b"hevc", b"hevx", b"hevm", b"hevs")
_HEIF_BRANDS = (*_HEVC_BRANDS, b"j2ki", b"vvic", b"jpeg", *_GENERIC_BRANDS)

# Headers of PCX and TGA are recognised by several fields, since their signatures are short or missing.
_PCX = rb"\x0a[\0\2\3\5][\0\1][\1\2\4\x08]"
_TGA = rb"(?s:.)[\0\1][\1-\3\x09-\x0b](?s:.{13})[\x08\x10\x18\x20][\0-\x3f]"

INPUT_FORMATS = {
    entry.name: entry
    for entry in (
        InputFormat("PNG", (".png", ".apng"), rb"\x89PNG\r\n\x1a\n"),
        InputFormat("JPEG", (".jpg", ".jpeg", ".jpe", ".jfif"), rb"\xff\xd8\xff"),
        InputFormat("WebP", (".webp",), rb"RIFF"),
        InputFormat("AVIF", (".avif", ".avifs"), _BOXES, brands=(b"avif", b"avis")),
        InputFormat("HEIF", (".heic", ".heif", ".heics", ".heifs", ".hif"), _BOXES, brands=_HEIF_BRANDS),
        InputFormat("JPEG XL", (".jxl",), rb"\xff\x0a|\0\0\0\x0cJXL "),
        InputFormat("TIFF", (".tif", ".tiff"), rb"II[*+]\0|MM\0[*+]"),
        InputFormat("BMP", (".bmp", ".dib"), rb"BM|BA(?s:.{12})BM"),
        InputFormat("GIF", (".gif",), rb"GIF8[79]a"),
        InputFormat("JPEG 2000", (".jp2", ".j2k", ".j2c", ".jpc", ".jpf", ".jpx"), rb"\0\0\0\x0cjP  |\xff\x4f\xff\x51"),
        InputFormat("PNM", (".pnm", ".pbm", ".pgm", ".ppm", ".pam"), rb"P[1-7][\s#]"),
        InputFormat("PFM", (".pfm",), rb"P[Ff]\s"),
        InputFormat("ICO", (".ico", ".cur"), rb"\0\0[\1\2]\0(?!\0\0)"),
        InputFormat("ICNS", (".icns",), rb"icns"),
        InputFormat("PSD", (".psd",), rb"8BPS"),
        InputFormat("QOI", (".qoi",), rb"qoif"),
        InputFormat("DDS", (".dds",), rb"DDS \x7c"),
        InputFormat("SGI", (".sgi", ".rgb", ".rgba", ".bw"), rb"\x01\xda[\0\1][\1\2]"),
        InputFormat("PCX", (".pcx",), _PCX),
        InputFormat("TGA", (".tga", ".icb", ".vda", ".vst"), _TGA),
    )
}
INPUT_EXTENSIONS = frozenset(extension for entry in INPUT_FORMATS.values() for extension in entry.extensions)

# What other files are, by their first bytes, and what to do with them.
_OTHER_FORMATS = {
    rb"#\?(?:RADIANCE|RGBE)\n": "Radiance HDR stores light without an upper limit; map its tones and save it as PNG",
    rb"\x76\x2f\x31\x01": "OpenEXR stores light without an upper limit; map its tones and save it as PNG",
}

# More than any signature, and room for many brands.
_SIGNATURE_BYTES = 256


def read_header(file: BinaryIO) -> Header:
    """Return the header at the beginning of a file; raise an `ImageError` if it is not a supported image."""
    beginning = file.read(_SIGNATURE_BYTES)
    file.seek(0)
    header = None
    entry = _recognize(beginning)
    if entry is not None:
        watched = _WatchedFile(file)
        try:
            header = entry.reader.read_header(cast(BinaryIO, watched))
        except (ImageError, MemoryError):
            raise
        except Exception:  # Pillow raises many types of exceptions for broken headers
            if watched.failure is not None:
                raise watched.failure from None
    if header is None:
        if not beginning:
            raise ImageError("not a supported image; the file is empty")
        other = (reason for signature, reason in _OTHER_FORMATS.items() if re.match(signature, beginning))
        raise ImageError(f"not a supported image; {next(other, 'use a PNG, JPEG, WebP, AVIF, TIFF, BMP or GIF file')}")
    return header


def _recognize(beginning: bytes) -> InputFormat | None:
    """Return the format of a file by its first bytes."""
    brand = _brand(beginning) if re.match(_BOXES, beginning) else b""
    for entry in INPUT_FORMATS.values():
        if re.match(entry.signature, beginning) and (not entry.brands or brand in entry.brands):
            return entry
    return None


def _brand(beginning: bytes) -> bytes:
    """Return the first brand of a file of boxes that names a coding of images, or else one that is generic."""
    end = min(int.from_bytes(beginning[:4]), len(beginning))
    brands = [beginning[8:12], *(beginning[start : start + 4] for start in range(16, end - 3, 4))]
    known = [brand for entry in INPUT_FORMATS.values() for brand in entry.brands]
    specific = [brand for brand in brands if brand in known and brand not in _GENERIC_BRANDS]
    return next(iter(specific or [brand for brand in brands if brand in known]), b"")


class _WatchedFile:
    """A file that keeps the error of a failed read, which some readers of Pillow take for damage.

    Python allocates as many bytes as a file is asked for, and headers state any length, so no more are asked for than
    the file has.
    """

    def __init__(self, file: BinaryIO) -> None:
        self.seek, self.tell, self._read = file.seek, file.tell, file.read
        self._n_bytes = file.seek(0, os.SEEK_END)
        file.seek(0)
        self.failure: OSError | None = None

    def read(self, size: int = -1) -> bytes:
        try:
            return self._read(min(size, max(0, self._n_bytes - self.tell())))
        except OSError as error:
            self.failure = error
            raise
