"""BMP: indexed where 256 colours suffice and nothing is transparent; by OpenCV, with masks, for alpha."""

from __future__ import annotations

import struct

import cv2
import numpy as np
from PIL import Image

from gmmquant.images.containers import METERS_PER_INCH
from gmmquant.images.encoding.output_format import EncodeOptions, OutputFormat
from gmmquant.images.encoding.output_metadata import dpi_of, save_by_pillow
from gmmquant.images.encoding.palette_entries import Entries, opaque_entries, packed
from gmmquant.images.recolor import ColorImage, IndexedImage

# In the bytes 6 to 9, which are free to use.
_MARK = b"gmmq"


def encode_bmp(image: IndexedImage | ColorImage, options: EncodeOptions) -> bytes:
    """Encode an image as a BMP."""
    entries = opaque_entries(image)
    if image.alpha is not None:
        bmp = bytearray(cv2.imencode(".bmp", cv2.cvtColor(image.pixels, cv2.COLOR_RGBA2BGRA))[1])
    elif entries is not None:
        bmp = bytearray(_indexed(entries))
    else:
        bmp = bytearray(save_by_pillow(Image.fromarray(image.pixels), "BMP"))
    bmp[6:10] = _MARK
    per_meter = [round(dpi / METERS_PER_INCH) for dpi in dpi_of(options.metadata) or (0, 0)]
    struct.pack_into("<ii", bmp, 38, *per_meter)
    return bytes(bmp)


def _indexed(entries: Entries) -> bytes:
    """Return a BMP of 1, 4 or 8 bits (Pillow writes 8 only): a BITMAPINFOHEADER, the rows from bottom to top."""
    height, width = entries.labels.shape
    bits = next(bits for bits in (1, 4, 8) if len(entries) <= 1 << bits)
    rows = packed(entries.labels[::-1], bits)
    rows = np.pad(rows, ((0, 0), (0, -rows.shape[1] % 4)))
    colors = np.pad(entries.colors[:, ::-1], ((0, 0), (0, 1))).tobytes()
    start = 54 + len(colors)
    file = struct.pack("<2sIII", b"BM", start + rows.size, 0, start)
    info = struct.pack("<IiiHHIIiiII", 40, width, height, 1, bits, 0, rows.size, 0, 0, len(entries), 0)
    return file + info + colors + rows.tobytes()


FORMAT = OutputFormat(
    "bmp",
    encode_bmp,
    signatures=(b"BM",),
    is_marked=lambda file, beginning: beginning[6:10] == _MARK,
    max_bytes=(1 << 32) - (1 << 20),  # the size of the file has 32 bits
    missing_metadata=("EXIF", "XMP", "comments"),
)
