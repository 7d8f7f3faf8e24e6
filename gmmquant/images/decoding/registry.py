"""The input formats. A file's format is recognised by its first bytes, whatever its extension.

A new format is one entry in `INPUT_FORMATS` and one module in `formats`, the `Reader`. Readers are imported when a
file needs them, so that the extensions are known without OpenCV and Pillow.
"""

from __future__ import annotations

import importlib
import re
from dataclasses import dataclass
from typing import BinaryIO, cast

from gmmquant.errors import ImageError
from gmmquant.images.decoding.reader import Header, Reader


@dataclass(frozen=True)
class InputFormat:
    """An input format.

    Attributes
    ----------
    name : str
        In lower case and without spaces, the name of the reader's module.
    extensions : tuple of str
        In lower case; the images of a folder are found by them.
    signature : bytes
        Regular expression that the first bytes of a file match.
    """

    name: str
    extensions: tuple[str, ...]
    signature: bytes

    @property
    def reader(self) -> Reader:
        """The module that reads the format."""
        module = self.name.lower().replace(" ", "")
        return cast(Reader, importlib.import_module(f"gmmquant.images.decoding.formats.{module}"))


INPUT_FORMATS = {
    entry.name: entry
    for entry in (
        InputFormat("PNG", (".png", ".apng"), rb"\x89PNG\r\n\x1a\n"),
        InputFormat("JPEG", (".jpg", ".jpeg", ".jpe", ".jfif"), rb"\xff\xd8\xff"),
        InputFormat("WebP", (".webp",), rb"RIFF"),
        InputFormat("AVIF", (".avif", ".avifs"), rb"(?s:....)ftyp"),
        InputFormat("TIFF", (".tif", ".tiff"), rb"II[*+]\0|MM\0[*+]"),
        InputFormat("BMP", (".bmp", ".dib"), rb"BM"),
        InputFormat("GIF", (".gif",), rb"GIF8"),
        InputFormat("JPEG 2000", (".jp2", ".j2k", ".j2c", ".jpc", ".jpf", ".jpx"), rb"\0\0\0\x0cjP  |\xff\x4f\xff\x51"),
        InputFormat("PNM", (".pnm", ".pbm", ".pgm", ".ppm", ".pam"), rb"P[1-7][\s#]"),
    )
}
INPUT_EXTENSIONS = frozenset(extension for entry in INPUT_FORMATS.values() for extension in entry.extensions)

_SIGNATURE_BYTES = 16


def read_header(file: BinaryIO) -> Header:
    """Read the header of a file from its beginning.

    Raises
    ------
    ImageError
        If it is not a supported image.
    OSError
        If the system cannot read it.
    """
    beginning = file.read(_SIGNATURE_BYTES)
    file.seek(0)
    header = None
    entry = next((entry for entry in INPUT_FORMATS.values() if re.match(entry.signature, beginning)), None)
    if entry is not None:
        reader, watched = entry.reader, _WatchedFile(file)
        try:
            header = reader.read_header(cast(BinaryIO, watched))
        except (ImageError, MemoryError):
            raise
        except Exception:  # Pillow raises many types of exceptions for broken headers
            if watched.failure is not None:
                raise watched.failure from None
    if header is None:
        *names, last = INPUT_FORMATS
        raise ImageError(f"not a supported image; give a {', '.join(names)} or {last} file")
    return header


class _WatchedFile:
    """A file that keeps the error of a failed read, since some readers of Pillow take it for damage."""

    def __init__(self, file: BinaryIO) -> None:
        self.seek, self.tell, self._read = file.seek, file.tell, file.read
        self.failure: OSError | None = None

    def read(self, size: int = -1) -> bytes:
        try:
            return self._read(size)
        except OSError as error:
            self.failure = error
            raise
