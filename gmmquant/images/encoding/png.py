"""PNG: indexed where 256 entries suffice, an entry being a colour with an alpha value; animations as APNG.

The chunks are put together here. Indexed rows are compressed by `scanlines`; of truecolour, Pillow filters and
compresses the rows, and its file gives them. Layout: PNG specification, third edition (W3C, 2025), sections 5 and 11.
"""

from __future__ import annotations

import io
import struct
from collections.abc import Callable, Iterator
from fractions import Fraction
from itertools import count
from typing import Any

import numpy as np
import numpy.typing as npt
from PIL import Image

from gmmquant.images.containers import METERS_PER_INCH, PNG_SIGNATURE, iterate_chunks, png_chunk
from gmmquant.images.decoded import Animation, Metadata
from gmmquant.images.encoding.frame_diff import Box, changed_boxes, frames_of, milliseconds
from gmmquant.images.encoding.output_format import EncodeOptions, OutputFormat
from gmmquant.images.encoding.output_metadata import dpi_of
from gmmquant.images.encoding.palette_entries import Entries, entries_of, packed
from gmmquant.images.encoding.png_rows import bits_for, compressed, compressed_well, reordered_well
from gmmquant.images.encoding.signature import MARK
from gmmquant.images.recolor import ColorImage, IndexedImage

Compress = Callable[[npt.NDArray[np.uint8]], bytes]

# Pixels of an image, and entries of its palette, from which on true colour is tried.
_TINY, _MANY_ENTRIES = 1 << 14, 64

_INDEXED, _TRUECOLOR, _TRUECOLOR_WITH_ALPHA = 3, 2, 6
_MAX_DELAY, _MAX_LOOP = 65535, 2**31 - 1

# The mark: a text; where each byte counts, an ancillary private chunk, which other programs drop with a change.
_MARK, _SHORT_MARK = (b"tEXt", b"Software\0" + MARK.encode()), (b"gmQT", b"")


def encode_png(image: IndexedImage | ColorImage, options: EncodeOptions) -> bytes:
    """Encode an image as a PNG.

    A tiny image of very many entries is written in true colour where that is smaller and its palette's order is free:
    of a slope of 6,000 pixels, the 768 bytes of a palette may be the greater part.
    """
    entries = entries_of(image) if isinstance(image, IndexedImage) else None
    indexed = _encode(image, entries, options)
    if entries is None or options.keep_order or entries.labels.size > _TINY or len(entries) <= _MANY_ENTRIES:
        return indexed
    return min(indexed, _encode(image, None, options), key=len)


def _encode(image: IndexedImage | ColorImage, entries: Entries | None, options: EncodeOptions) -> bytes:
    """Encode an image by its `entries`, or in true colour."""
    animation, optimize = options.animation, options.optimize
    tables: list[tuple[bytes, bytes]] = []
    whole: bytes | None = None
    if entries is not None:
        if optimize and not options.keep_order:
            entries, whole = reordered_well(entries)
        pixels, bits, color_type = entries.labels, bits_for(len(entries)), _INDEXED
        tables = list(_tables(entries))
        compress = _indexed(bits, compressed_well if optimize else compressed)
    else:
        pixels, bits = image.pixels, 8
        color_type = _TRUECOLOR if pixels.shape[2] == 3 else _TRUECOLOR_WITH_ALPHA
        compress = _truecolor(optimize)
    frames = frames_of(pixels, animation)
    height, width = frames.shape[1:3]
    header = struct.pack(">IIBBBBB", width, height, bits, color_type, 0, 0, 0)
    chunks = [(b"IHDR", header), *_metadata_chunks(options.metadata, short=optimize), *tables]
    if animation is None:
        chunks.append((b"IDAT", whole if whole is not None else compress(frames[0])))
    else:
        chunks += _animated(frames, animation, compress)
    chunks.append((b"IEND", b""))
    return PNG_SIGNATURE + b"".join(png_chunk(*chunk) for chunk in chunks)


def _tables(entries: Entries) -> Iterator[tuple[bytes, bytes]]:
    """Yield the colours, and the alphas up to the last that is not opaque."""
    yield b"PLTE", entries.colors.tobytes()
    if (entries.alphas < 255).any():
        yield b"tRNS", entries.alphas[: np.flatnonzero(entries.alphas < 255)[-1] + 1].tobytes()


def _indexed(bits: int, compress: Compress) -> Compress:
    return lambda labels: compress(packed(labels, bits))


def _truecolor(optimize: bool) -> Compress:
    """Let Pillow compress pixels (height, width, 3 or 4)."""

    def compress(pixels: npt.NDArray[np.uint8]) -> bytes:
        buffer = io.BytesIO()
        Image.fromarray(np.ascontiguousarray(pixels)).save(buffer, "PNG", optimize=optimize)
        return b"".join(data for kind, data in iterate_chunks(buffer.getbuffer()) if kind == b"IDAT")

    return compress


def _animated(frames: npt.NDArray[Any], animation: Animation, compress: Compress) -> Iterator[tuple[bytes, bytes]]:
    """Yield the chunks of an animation, each frame but the first being the box that changed, put over what was."""
    numbers = count()
    yield b"acTL", struct.pack(">II", len(frames), min(max(animation.loop, 0), _MAX_LOOP))
    for frame, box, duration in zip(frames, changed_boxes(frames), milliseconds(animation), strict=True):
        number = next(numbers)
        yield b"fcTL", _frame_control(number, box, duration)
        data = compress(box.of(frame))
        yield (b"fdAT", struct.pack(">I", next(numbers)) + data) if number else (b"IDAT", data)


def _frame_control(number: int, box: Box, duration: float) -> bytes:
    seconds = min(duration / 1000, _MAX_DELAY)
    delay = Fraction(seconds).limit_denominator(int(_MAX_DELAY / max(seconds, 1)))
    keep, replace = 0, 0  # dispose and blend
    return struct.pack(
        ">IIIIIHHBB",
        *(number, box.width, box.height, box.x, box.y, delay.numerator, delay.denominator, keep, replace),
    )


def _metadata_chunks(metadata: Metadata, *, short: bool) -> Iterator[tuple[bytes, bytes]]:
    """Yield the chunks of the metadata, gmmquant's mark (`short` or readable) before the texts."""
    if metadata.has_profile:
        yield b"sRGB", b"\0"
    dpi = dpi_of(metadata)
    if dpi is not None:
        yield b"pHYs", struct.pack(">IIB", *(round(value / METERS_PER_INCH) for value in dpi), 1)
    yield _SHORT_MARK if short else _MARK
    for keyword, text in metadata.comments:
        # Up to 79 bytes, with single spaces between words and none at the ends.
        name = b" ".join(keyword.encode("latin-1", "replace").split())[:79].rstrip()
        if not name.isascii() or not name.decode().isprintable() or not name:
            name = b"Comment"
        if name != b"Software" and not text.startswith(MARK):
            yield _text(name, text.replace("\0", ""))
    if metadata.xmp:
        yield b"iTXt", b"XML:com.adobe.xmp\0\0\0\0\0" + metadata.xmp
    if metadata.exif[:4] in (b"II*\0", b"MM\0*"):
        yield b"eXIf", metadata.exif


def _text(keyword: bytes, text: str) -> tuple[bytes, bytes]:
    try:
        return b"tEXt", keyword + b"\0" + text.encode("latin-1")
    except UnicodeEncodeError:
        return b"iTXt", keyword + b"\0\0\0\0\0" + text.encode("utf-8", "replace")


def _is_marked(beginning: bytes) -> bool:
    """Return whether the mark is among the first bytes; its length tells it from a longer text that begins alike."""
    return any(struct.pack(">I", len(body)) + name + body in beginning for name, body in (_MARK, _SHORT_MARK))


FORMAT = OutputFormat(
    "png",
    encode_png,
    signatures=(PNG_SIGNATURE,),
    is_marked=lambda file, beginning: _is_marked(beginning),
    frames="animation",
)
