"""PNG and animated PNG, by OpenCV; everything except the pixels is read from the chunks."""

from __future__ import annotations

import struct
from typing import Any, BinaryIO

import numpy as np
import numpy.typing as npt

from gmmquant.images.containers import PNG_SIGNATURE
from gmmquant.images.decoded import Animation
from gmmquant.images.decoding import png_chunks
from gmmquant.images.decoding.opencv import decode_with_opencv, to_rgb
from gmmquant.images.decoding.pillow import orientation_of
from gmmquant.images.decoding.reader import Admit, Header, StoredImage, damaged

# The colour types of a PNG: Pillow's name, and the bits that each may have.
_MODES = {
    0: ("L", (1, 2, 4, 8, 16)),
    2: ("RGB", (8, 16)),
    3: ("P", (1, 2, 4, 8)),
    4: ("LA", (8, 16)),
    6: ("RGBA", (8, 16)),
}

_OUT_OF_ORDER = "frames of the animation are missing or out of order; only its default image is used, as in browsers"

# More than any program writes: one for each of many short texts.
_MAX_CHUNKS_BEFORE_PIXELS = 10_000


def read_header(file: BinaryIO) -> Header | None:  # Pillow refuses files with long texts
    beginning = file.read(len(PNG_SIGNATURE) + 18)
    if beginning[8:16] != b"\0\0\0\x0dIHDR":
        return None
    width, height, bits, color_type = struct.unpack_from(">IIBB", beginning, 16)
    mode, possible_bits = _MODES.get(color_type, ("", ()))
    if not (width and height and bits in possible_bits):
        return None
    return Header("PNG", (width, height), mode, _find_announced_frames(file))


def _find_announced_frames(file: BinaryIO) -> int:
    """Return the number of frames that a chunk before the pixels states; 1 if there is none."""
    position = len(PNG_SIGNATURE)
    for _ in range(_MAX_CHUNKS_BEFORE_PIXELS):
        file.seek(position)
        length, chunk_type, n_frames = struct.unpack(">I4sI", file.read(12).ljust(12, b"\0"))
        if chunk_type == b"acTL":
            return max(int(n_frames), 1)
        if chunk_type in (b"IDAT", b"\0\0\0\0"):
            break
        position += 12 + length
    return 1


def decode(data: bytes, header: Header, admit: Admit) -> StoredImage:
    chunks = png_chunks.read_chunks(data)
    exif, transparent_grey = png_chunks.first(chunks, b"eXIf"), png_chunks.transparent_grey(chunks)
    n_frames = png_chunks.announced_frames(chunks)
    admit(*header.size, n_frames or 1)
    notes: tuple[str, ...] = ()
    if n_frames:
        frames, animation, notes = _decode_frames(data, header, n_frames, transparent_grey)
        orientation = orientation_of(exif)
    else:
        frame, orientation = _decode_frame(data, transparent_grey)
        frames, animation = frame[np.newaxis], None
    return StoredImage(
        frames,
        orientation,
        animation,
        notes,
        dpi=png_chunks.resolution(chunks),
        exif=exif,
        xmp=png_chunks.xmp(chunks),
        comments=tuple(png_chunks.texts(chunks)),
        **png_chunks.color_space(chunks)._asdict(),
    )


def _decode_frames(
    data: bytes, header: Header, n_frames: int, transparent_grey: int | None
) -> tuple[npt.NDArray[Any], Animation | None, tuple[str, ...]]:
    from gmmquant.images.decoding.apng import parse_apng, without_animation  # for animations only
    from gmmquant.images.decoding.compositing import animation_of, composite

    apng = parse_apng(data)
    if apng is not None and apng.size == header.size and apng.out_of_order:
        return _decode_frame(without_animation(data), transparent_grey)[0][np.newaxis], None, (_OUT_OF_ORDER,)
    if apng is None or apng.size != header.size or len(apng.controls) != n_frames:
        raise damaged("PNG")
    pixels = (_decode_frame(file, transparent_grey)[0] for file in apng.files())
    frames = zip(apng.controls, pixels, strict=True)
    return composite(apng.size, n_frames, frames), animation_of(apng.controls, apng.loop), ()


def _decode_frame(data: bytes, transparent_grey: int | None) -> tuple[npt.NDArray[Any], int | None]:
    """Decode a PNG to RGB or RGBA; return it with its orientation."""
    pixels, orientation, _ = decode_with_opencv(png_chunks.with_few_texts(data), "PNG")
    pixels = to_rgb(pixels)
    if transparent_grey is not None:  # which OpenCV ignores
        alpha = np.where(pixels[:, :, 0] == transparent_grey, 0, np.iinfo(pixels.dtype).max).astype(pixels.dtype)
        pixels = np.dstack([pixels[:, :, :3], alpha])
    return pixels, orientation
