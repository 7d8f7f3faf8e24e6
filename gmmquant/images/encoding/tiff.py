"""TIFF: compressed without loss, frames as pages; indexed where 256 colours suffice and nothing is transparent."""

from __future__ import annotations

import struct
from typing import Any

import numpy as np
from PIL import Image, TiffImagePlugin

from gmmquant.images.decoded import Metadata
from gmmquant.images.encoding.frame_diff import frames_of
from gmmquant.images.encoding.output_format import EncodeOptions, OutputFormat
from gmmquant.images.encoding.output_metadata import MARK, comments_of, exif_of, is_marked_tiff, save_by_pillow
from gmmquant.images.encoding.palette_entries import opaque_entries
from gmmquant.images.exif import DESCRIPTIVE
from gmmquant.images.recolor import ColorImage, IndexedImage

_DESCRIPTION, _COLOR_MAP, _XMP = 270, 320, 700
_BYTES = 1
_COMPRESSION = "tiff_adobe_deflate"

# Bytes that are compressed in one strip; with the 64 KB of Pillow files become larger.
_LARGE_STRIP_BYTES = 1 << 24


def encode_tiff(image: IndexedImage | ColorImage, options: EncodeOptions) -> bytes:
    """Encode an image as a TIFF."""
    entries = opaque_entries(image)
    frames = frames_of(image.pixels if entries is None else entries.labels, options.animation)
    pages = [Image.fromarray(frame) for frame in frames]
    if entries is not None:
        for page in pages:
            page.putpalette(entries.colors.tobytes())
    settings = {"software": MARK, "tiffinfo": _tags(options.metadata), "compression": _COMPRESSION}
    settings["strip_size"] = _LARGE_STRIP_BYTES if options.optimize else TiffImagePlugin.STRIP_SIZE
    settings |= {"save_all": True, "append_images": pages[1:]}
    return _with_full_color_maps(save_by_pillow(pages[0], "TIFF", options.metadata, **settings))


def _tags(metadata: Metadata) -> Any:
    """Return the tags for the kept metadata."""
    tags = TiffImagePlugin.ImageFileDirectory_v2()
    exif = exif_of(metadata)
    texts = {tag: exif[tag] for tag in DESCRIPTIVE if isinstance(exif.get(tag), str)}
    # One tag for the description in the EXIF and for comments; Pillow returns the bytes of a text as Latin-1.
    description = texts.pop(_DESCRIPTION, "").encode("latin-1", "replace")
    lines = [line.replace(b"\0", b"") for line in (description, *comments_of(metadata))]
    tags.update(texts)
    if any(lines):
        tags[_DESCRIPTION] = b"\n".join(dict.fromkeys(filter(None, lines))) + b"\0"
    if metadata.xmp:
        tags[_XMP], tags.tagtype[_XMP] = metadata.xmp, _BYTES
    return tags


def _with_full_color_maps(file: bytes) -> bytes:
    """Raise the 16-bit colours of each page from 256 times the 8-bit ones, as Pillow writes them, to 257 times.

    White would be 65280 of 65535 otherwise, which ImageMagick reads as 254.
    """
    tiff = bytearray(file)
    (offset,) = struct.unpack_from("<I", tiff, 4)
    while offset:
        (n_tags,) = struct.unpack_from("<H", tiff, offset)
        for number in range(n_tags):
            tag, _, n, value = struct.unpack_from("<HHII", tiff, offset + 2 + 12 * number)
            if tag == _COLOR_MAP:
                colors = np.frombuffer(tiff, dtype="<u2", count=n, offset=value)
                colors |= colors >> 8
        (offset,) = struct.unpack_from("<I", tiff, offset + 2 + 12 * n_tags)
    return bytes(tiff)


FORMAT = OutputFormat(
    "tiff",
    encode_tiff,
    signatures=(b"II*\0", b"MM\0*"),
    is_marked=lambda file, beginning: is_marked_tiff(file),  # the tag `Software`
    frames="pages",
    max_bytes=(1 << 32) - (1 << 20),  # offsets have 32 bits
)
