"""HEIF, also as HEIC: the main image, by pillow-heif, with 8 bits or 10 and 12 stretched to 16.

The library applies rotation, mirroring and cropping that boxes ask for; the orientation in EXIF does not count. Layout:
ISO/IEC 23008-12.
"""

from __future__ import annotations

import io
from typing import Any, BinaryIO

import numpy as np
import numpy.typing as npt

from gmmquant.errors import ImageError
from gmmquant.images.containers import iterate_boxes
from gmmquant.images.decoding.decoder_stderr import captured_stderr, lenient_pillow
from gmmquant.images.decoding.isobmff import other_images, stated_space
from gmmquant.images.decoding.media_boxes import images, stated_size
from gmmquant.images.decoding.opencv import stretched
from gmmquant.images.decoding.optional import import_decoder
from gmmquant.images.decoding.pillow import errors_as_damage
from gmmquant.images.decoding.reader import (
    Admit,
    Header,
    StoredImage,
    byte_limit,
    damaged,
    unused_images,
)

# The largest image that the decoder accepts, whatever our limit.
_MAX_PIXELS = 1 << 30

_SEVERAL_IMAGES = "the file contains several images; only the main one is used"

# A part that was written ends in fewer zeros.
_ZEROS = bytes(16)


def read_header(file: BinaryIO) -> Header:
    _library()
    coded_width, coded_height, _ = stated_size(file)
    file.seek(0)
    data = file.read(byte_limit(min(coded_width * coded_height, _MAX_PIXELS)))
    with captured_stderr(), lenient_pillow():
        try:
            image, n_images = _main_image(data)
        except MemoryError:
            raise
        except Exception:  # the library raises many types of exceptions
            raise ImageError(
                "this kind of HEIF is not supported, or the file is damaged; save it as PNG, JPEG or AVIF"
            ) from None
        info = {key: value for key, value in image.info.items() if value is not None}
    return Header("HEIF", image.size, image.mode, info=info, details=((coded_width, coded_height), n_images))


def decode(data: bytes, header: Header, admit: Admit) -> StoredImage:
    coded, n_images = header.details
    # Crops may show little of a large image.
    width, height = max(coded, header.size, key=lambda size: size[0] * size[1])
    admit(width, height, 1)
    with errors_as_damage("HEIF"):
        if any(_ends_in_zeros(b"".join(data[start:end] for start, end in parts)) for parts in images(data)):
            raise damaged("HEIF")
        pixels = _pixels(_main_image(data)[0])
    bits = int(header.info.get("bit_depth", 8))
    if bits > 8:
        pixels = stretched(pixels, (1 << bits) - 1)
    is_sequence = any(kind == b"moov" for kind, _, _ in iterate_boxes(data))
    notes = (_SEVERAL_IMAGES,) if n_images > 1 or is_sequence else ()
    notes = (*notes, *unused_images(other_images(data)))
    stored = StoredImage.with_info(pixels[np.newaxis], header, notes=notes, orientation=1)
    return stored.with_space(stated_space(data).unless_srgb())


def _library() -> Any:
    library = import_decoder("HEIF", "pillow-heif", "pillow_heif")
    library.options.DECODE_THREADS = 1  # images are decoded in parallel by processes
    return library


def _main_image(data: bytes) -> tuple[Any, int]:
    """Return the main image, not yet decoded, and the number of images."""
    found = _library().HeifFile(io.BytesIO(data), convert_hdr_to_8bit=False, hdr_to_16bit=False)
    return found[found.primary_index], len(found)


def _pixels(image: Any) -> npt.NDArray[Any]:
    """Decode an image to RGB or RGBA, with as many bits as it has."""
    pixels = np.array(image)
    if pixels.ndim == 2:
        pixels = pixels[..., np.newaxis]
    pixels = pixels[:, : image.size[0]]
    if pixels.shape[2] < 3:  # grey, or grey with alpha
        pixels = np.concatenate([pixels[..., [0, 0, 0]], pixels[..., 1:]], axis=2)
    if image.premultiplied_alpha:
        alpha = pixels[..., 3:].astype(np.uint32)
        colors = (pixels[..., :3] * np.uint32(1 << image.info["bit_depth"]) - pixels[..., :3]) // np.maximum(alpha, 1)
        pixels[..., :3] = np.minimum(colors, (1 << image.info["bit_depth"]) - 1)
    return pixels


def _ends_in_zeros(item: bytes) -> bool:
    """Return whether a part of an item that HEVC compresses was not written, which its decoder conceals.

    An item is parts behind their lengths, and a part ends with a bit that is 1 (ITU-T H.265, sections 7.3.2.11 and
    7.3.1.1). Items that are not laid out so, such as metadata, are left out.
    """
    position = 0
    while position + 4 <= len(item):
        length = int.from_bytes(item[position : position + 4])
        end = position + 4 + length
        if end > len(item) or (length < 2 and position == 0):
            return False
        if length < 2 or item[max(position + 4, end - len(_ZEROS)) : end] == _ZEROS:
            return True
        position = end
    return False
