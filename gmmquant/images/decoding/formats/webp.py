"""WebP: single images by OpenCV, animations by Pillow."""

from __future__ import annotations

from gmmquant.images.decoding.opencv import decode_with_opencv, to_rgb
from gmmquant.images.decoding.pillow import decode_animation
from gmmquant.images.decoding.reader import Admit, Header, StoredImage


def decode(data: bytes, header: Header, admit: Admit) -> StoredImage:
    if header.n_frames > 1:
        return decode_animation(data, header, admit)
    admit(*header.size, 1)
    pixels, orientation, _ = decode_with_opencv(data, "WebP")
    return StoredImage.with_info(to_rgb(pixels)[None], header, orientation=orientation)
