"""The input formats. A file's format is recognised by its first bytes, whatever its extension.

A new format is one entry in `INPUT_FORMATS` and one module in `formats`, the `Reader`. Readers are imported when a
file needs them, so that the extensions are known without OpenCV and Pillow.
"""

from __future__ import annotations

import importlib
import re
from typing import BinaryIO, NamedTuple, cast

from gmmquant.errors import ImageError
from gmmquant.images.decoding.reader import Header, Reader


class InputFormat(NamedTuple):
    """An input format; its name, in lower case and without spaces, is that of the reader's module.

    The images of a folder are found by the extensions, in lower case. The first bytes of a file match the regular
    expression `signature`. `plugin` is Pillow's plugin for the header; without one, the reader's `read_header` is used.
    """

    name: str
    extensions: tuple[str, ...]
    signature: bytes
    plugin: str = ""

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
        InputFormat("BMP", (".bmp", ".dib"), rb"BM|BA(?s:.{12})BM"),
        InputFormat("GIF", (".gif",), rb"GIF8[79]a"),
        InputFormat("JPEG 2000", (".jp2", ".j2k", ".j2c", ".jpc", ".jpf", ".jpx"), rb"\0\0\0\x0cjP  |\xff\x4f\xff\x51"),
        InputFormat("PNM", (".pnm", ".pbm", ".pgm", ".ppm", ".pam"), rb"P[1-7][\s#]"),
    )
}
INPUT_EXTENSIONS = frozenset(extension for entry in INPUT_FORMATS.values() for extension in entry.extensions)


def read_header(file: BinaryIO) -> Header:
    """Return the header at the beginning of a file; raise an `ImageError` if it is not a supported image."""
    beginning = file.read(16)  # more than any signature
    file.seek(0)
    header = None
    entry = next((entry for entry in INPUT_FORMATS.values() if re.match(entry.signature, beginning)), None)
    if entry is not None:
        from gmmquant.images.decoding.pillow import read_pillow_header

        watched = _WatchedFile(file)
        source = cast(BinaryIO, watched)
        try:
            if entry.plugin:
                header = read_pillow_header(source, entry.name, entry.plugin)
            else:
                header = entry.reader.read_header(source)
        except (ImageError, MemoryError):
            raise
        except Exception:  # Pillow raises many types of exceptions for broken headers
            if watched.failure is not None:
                raise watched.failure from None
    if header is None:
        *names, last = INPUT_FORMATS
        raise ImageError(f"not a supported image; use a {', '.join(names)} or {last} file")
    return header


class _WatchedFile:
    """A file that keeps the error of a failed read, which some readers of Pillow take for damage."""

    def __init__(self, file: BinaryIO) -> None:
        self.seek, self.tell, self._read = file.seek, file.tell, file.read
        self.failure: OSError | None = None

    def read(self, size: int = -1) -> bytes:
        try:
            return self._read(size)
        except OSError as error:
            self.failure = error
            raise
