"""EXIF texts written with the bytes that they were read from.

Pillow reads texts as Latin-1 and writes ASCII, so texts in UTF-8 or Latin-1 would lose their letters with accents.
Format: CIPA DC-008 (EXIF), TIFF 6.0.
"""

from __future__ import annotations

from PIL import Image

ORIENTATION, EXIF, GPS = 0x0112, 0x8769, 0x8825

# Tags of the first directory that describe the image and not the file: name, description, make, model, date, artist,
# computer, ratings, copyright; title, comment, author, keywords and subject as Windows writes them.
DESCRIPTIVE = (269, 270, 271, 272, 306, 315, 316, 18246, 18249, 33432, *range(0x9C9B, 0x9CA0))


class _Text(str):
    """A text that is written with the bytes that it was read from."""

    __slots__ = ()

    def encode(self, encoding: str = "latin-1", errors: str = "strict") -> bytes:
        return super().encode("latin-1", "replace")


def keep_bytes_of_texts(exif: Image.Exif) -> None:
    """Make Pillow write the texts of `exif` with the bytes that they were read from."""
    for directory in (exif, *(exif.get_ifd(tag) for tag in (EXIF, GPS) if tag in exif)):
        for tag, value in list(directory.items()):
            if isinstance(value, str) and not value.isascii():
                directory[tag] = _Text(value)
