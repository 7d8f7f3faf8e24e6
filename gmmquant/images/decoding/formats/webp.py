"""WebP: single images by OpenCV, animations by Pillow."""

from __future__ import annotations

from gmmquant.images.decoding.opencv import decode_with_opencv, to_rgb
from gmmquant.images.decoding.pillow import decode_animation, orientation_of
from gmmquant.images.decoding.reader import Admit, Header, StoredImage


def decode(data: bytes, header: Header, admit: Admit) -> StoredImage:
    if header.n_frames > 1:
        frames, animation = decode_animation(data, header, admit)
        orientation = orientation_of(header.info.get("exif", b""))
        return StoredImage.with_info(frames, header, orientation=orientation, animation=animation)
    admit(*header.size, 1)
    decoded = decode_with_opencv(data, "WebP")
    return StoredImage.with_info(to_rgb(decoded.pixels)[None], header, orientation=decoded.orientation)
