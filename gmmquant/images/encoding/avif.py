"""AVIF without loss, by OpenCV, which keeps the RGB of each pixel, also below full transparency."""

from __future__ import annotations

import cv2
import numpy as np

from gmmquant.errors import ImageError
from gmmquant.images.encoding.output_format import EncodeOptions, OutputFormat
from gmmquant.images.encoding.output_metadata import is_marked_within, profile_of, signed_exif
from gmmquant.images.recolor import ColorImage, IndexedImage

# At a quality of 100, OpenCV stores RGB and not YUV. A megapixel of 16 colours took 0.7 s at speed 7; at speed 5 it
# took 4.4 s, for a file smaller by a quarter. An indexed PNG has half of these bytes.
_LOSSLESS = 100
_FAST, _SMALL = 7, 5


def encode_avif(image: IndexedImage | ColorImage, options: EncodeOptions) -> bytes:
    """Encode an image as an AVIF."""
    pixels, metadata = image.pixels, options.metadata
    swap = cv2.COLOR_RGB2BGR if pixels.shape[2] == 3 else cv2.COLOR_RGBA2BGRA
    blocks = {
        cv2.IMAGE_METADATA_EXIF: signed_exif(metadata),
        cv2.IMAGE_METADATA_XMP: metadata.xmp,
        cv2.IMAGE_METADATA_ICCP: profile_of(metadata),
    }
    present = {kind: np.frombuffer(block, np.uint8) for kind, block in blocks.items() if block}
    speed = _SMALL if options.optimize else _FAST
    settings = [cv2.IMWRITE_AVIF_QUALITY, _LOSSLESS, cv2.IMWRITE_AVIF_SPEED, speed]
    done, file = cv2.imencodeWithMetadata(
        ".avif", cv2.cvtColor(pixels, swap), list(present), list(present.values()), settings
    )
    if not done:
        raise ImageError("the AVIF cannot be encoded; choose png")
    return file.tobytes()


FORMAT = OutputFormat(
    "avif",
    encode_avif,
    signatures=(b"\0\0\0\x20ftypavif",),
    is_marked=is_marked_within,
    max_side_pixels=65535,
    missing_metadata=("comments",),
)
