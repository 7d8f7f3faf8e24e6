"""What icon files share: sizes of which the largest is read, and images in them that are files of other formats."""

from __future__ import annotations

import io

from gmmquant.images.decoding.reader import Admit, Header, StoredImage
from gmmquant.images.decoding.registry import INPUT_FORMATS, read_header

_EMBEDDED = ("PNG", "JPEG 2000")


def embedded_header(data: bytes) -> Header | None:
    """Return the header of a PNG or JPEG 2000 in an icon; None if it is of another format."""
    header = read_header(io.BytesIO(data))
    return header if header.format in _EMBEDDED else None


def decode_embedded(data: bytes, header: Header, admit: Admit) -> StoredImage:
    """Decode the first image of an embedded file."""
    stored = INPUT_FORMATS[header.format].reader.decode(data, header, admit)
    return stored._replace(frames=stored.frames[:1], animation=None)


def note_on_sizes(n_images: int, size: tuple[int, int]) -> tuple[str, ...]:
    """Return a note that the largest image is read, if there are several."""
    return (f"the icon has {n_images} images; the largest, {size[0]} x {size[1]}, is used",) if n_images > 1 else ()
