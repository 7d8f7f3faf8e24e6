"""BMP, by Pillow: OpenCV decodes those of OS/2, with 16 bits a pixel or with channel masks wrongly."""

from __future__ import annotations

from gmmquant.images.decoding.pillow import decode_with_pillow
from gmmquant.images.decoding.reader import Admit, Header, StoredImage


def decode(data: bytes, header: Header, admit: Admit) -> StoredImage:
    admit(*header.size, 1)
    return StoredImage.with_info(decode_with_pillow(data, "BMP")[None], header)
