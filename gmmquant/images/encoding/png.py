"""PNG: indexed where 256 entries suffice, an entry being a colour with an alpha value; animations as APNG.

The chunks are put together here, `png_rows` compresses rows of indices, Pillow those of true colour. The smallest file
is looked for by `palette_sorting` and `png_trials`, which asks oxipng. Layout: PNG specification, third edition (W3C,
2025), sections 5, 7.2, 9 and 11.
"""

from __future__ import annotations

import os
import pickle
import struct
import subprocess
import sys
from collections.abc import Callable, Iterator
from fractions import Fraction
from functools import cache
from itertools import count
from typing import Any

import numpy as np
import numpy.typing as npt
from PIL import Image

from gmmquant.errors import ImageError
from gmmquant.images.containers import METERS_PER_INCH, PNG_SIGNATURE, iterate_chunks, png_chunk
from gmmquant.images.decoded import Animation, Metadata
from gmmquant.images.encoding import png_trials
from gmmquant.images.encoding.frame_diff import changed_boxes, frames_of, milliseconds
from gmmquant.images.encoding.output_format import EncodeOptions, OutputFormat
from gmmquant.images.encoding.output_metadata import MARK, dpi_of, save_by_pillow
from gmmquant.images.encoding.palette_entries import Entries, entries_of, packed
from gmmquant.images.encoding.palette_sorting import orders, reordered, without_needless
from gmmquant.images.encoding.png_rows import compressed_rows, stored_rows
from gmmquant.images.recolor import ColorImage, IndexedImage
from gmmquant.system.threads import n_processors

# Pixels up to which, and entries from which on, true colour is tried: of a slope of 6,000 pixels, the 768 bytes of a
# palette may be the greater part.
_TINY_PIXELS, _MANY_ENTRIES = 1 << 14, 64

# The same limit with alpha and `optimize`: of a glow of 65,536 pixels, true colour is a third smaller.
_SMALL_PIXELS = 1 << 17

# Pixels above which oxipng, during which Python handles no signal, runs in a child process: calls of up to 0.3 s.
_LARGE_PIXELS = 1 << 19

_INDEXED, _TRUECOLOR, _TRUECOLOR_WITH_ALPHA = 3, 2, 6
_MAX_DELAY, _MAX_LOOP = 65535, 2**31 - 1
_KEEP_AND_REPLACE = b"\0\0"  # disposal and blending of a frame

# The mark: a text; where each byte counts, an ancillary private chunk, which other programs drop with a change.
# So it is in optimized files, and tells them from others.
_MARK, _SHORT_MARK = (b"tEXt", b"Software\0" + MARK.encode()), (b"gmQT", b"")


def encode_png(image: IndexedImage | ColorImage, options: EncodeOptions) -> bytes:
    """Encode an image as a PNG: with a palette where 256 entries suffice, otherwise in true colour.

    Of a tiny image of very many entries, true colour is tried too, unless the order of the palette is to be kept. An
    image without a visible pixel is in true colour if its pixels hide several colours, of which a palette keeps none.
    """
    entries = None
    if isinstance(image, IndexedImage) and not image.only_hides:
        entries = entries_of(image, keep_order=options.keep_order)
    if entries is None:
        return _true_color(image, options)
    files = [_smallest(entries, options) if options.optimize else _indexed(entries, options, bits_for(len(entries)))]
    max_pixels = _SMALL_PIXELS if options.optimize and (entries.alphas < 255).any() else _TINY_PIXELS
    if entries.labels.size <= max_pixels and len(entries) > _MANY_ENTRIES and not options.keep_order:
        files.append(_true_color(image, options))
    return min(files, key=len)


def bits_for(n_entries: int) -> int:
    """Return the fewest bits, 1, 2, 4 or 8, that number `n_entries` entries."""
    return next(bits for bits in (1, 2, 4, 8) if n_entries <= 1 << bits)


def _smallest(entries: Entries, options: EncodeOptions) -> bytes:
    """Return the smallest PNG of `entries` that is found: of several orders of them and depths, by oxipng.

    Eight bits may be smaller than the fewest, as compression finds repetitions of bytes.
    """
    if options.animation is not None:
        png = _indexed(entries, options, bits_for(len(entries)))
        return _by_oxipng("reduced", png, n_pixels=entries.labels.size, keep_order=options.keep_order)
    kept = [entries]
    if not options.keep_order:
        entries = without_needless(entries)
        kept = [entries, *(reordered(entries, order) for order in orders(entries))]
    fewest = bits_for(len(entries))
    depths = dict.fromkeys((fewest, 8))
    files = [[_indexed(each, options, bits, stored_rows) for each in kept] for bits in depths]
    return _by_oxipng("smallest", files, n_pixels=entries.labels.size, n_threads=n_processors())


def _indexed(
    entries: Entries, options: EncodeOptions, bits: int, compress: Callable[..., bytes] = compressed_rows
) -> bytes:
    """Return a PNG of entries, of which each index has `bits` bits."""
    tables = [(b"PLTE", entries.colors.tobytes())]
    if (entries.alphas < 255).any():  # up to the last that is not opaque
        tables.append((b"tRNS", entries.alphas[: np.flatnonzero(entries.alphas < 255)[-1] + 1].tobytes()))
    return _file(entries.labels, (bits, _INDEXED), tables, options, lambda labels: compress(packed(labels, bits)))


def _true_color(image: IndexedImage | ColorImage, options: EncodeOptions) -> bytes:
    """Return a PNG with a colour for each pixel."""

    def compress(pixels: npt.NDArray[np.uint8]) -> bytes:
        png = save_by_pillow(Image.fromarray(np.ascontiguousarray(pixels)), "PNG")
        return b"".join(data for kind, data in iterate_chunks(png) if kind == b"IDAT")

    pixels = image.pixels
    color_type = _TRUECOLOR if pixels.shape[2] == 3 else _TRUECOLOR_WITH_ALPHA
    png = _file(pixels, (8, color_type), [], options, compress)
    if not options.optimize:
        return png
    n_pixels, is_free = pixels.size // pixels.shape[2], options.drops_hidden and options.animation is None
    return _by_oxipng("reduced", png, n_pixels=n_pixels, keep_order=options.keep_order, free_hidden=is_free)


def _file(
    pixels: npt.NDArray[np.uint8],
    bits_and_type: tuple[int, int],
    tables: list[tuple[bytes, bytes]],
    options: EncodeOptions,
    compress: Callable[[npt.NDArray[np.uint8]], bytes],
) -> bytes:
    """Return pixels or labels as a PNG, with the chunks of a palette in `tables`."""
    frames = frames_of(pixels, options.animation)
    height, width = frames.shape[1:3]
    header = struct.pack(">IIBBBBB", width, height, *bits_and_type, 0, 0, 0)
    chunks = [(b"IHDR", header), *_metadata_chunks(options.metadata, short=options.optimize), *tables]
    animation = options.animation
    chunks += [(b"IDAT", compress(frames[0]))] if animation is None else _animated(frames, animation, compress)
    chunks.append((b"IEND", b""))
    return PNG_SIGNATURE + b"".join(png_chunk(*chunk) for chunk in chunks)


@cache
def _process_of_oxipng() -> int:
    """Return the first process that called oxipng, also in its forks."""
    return os.getpid()


def _by_oxipng(function: str, png: Any, *, n_pixels: int, **options: int) -> bytes:
    """Return the result of a function of `png_trials`, which is called in a child process for a large image.

    So it is in a fork of a process that has called oxipng: the fork lacks its threads, for which it would wait forever.
    """
    if n_pixels <= _LARGE_PIXELS and _process_of_oxipng() == os.getpid():
        try:
            data: bytes = getattr(png_trials, function)(png, **options)
        except RuntimeError as error:  # no thread can be started
            raise ImageError(f"optimizing failed: {error}; leave out --optimize") from None
        return data
    command = [sys.executable, "-P", png_trials.__file__]
    call = pickle.dumps((function, [png], options))
    result = subprocess.run(command, input=call, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, check=False)  # noqa: S603
    if result.returncode:
        raise ImageError(f"optimizing ended with exit code {result.returncode}; leave out --optimize")
    return result.stdout


def _animated(
    frames: npt.NDArray[Any], animation: Animation, compress: Callable[[npt.NDArray[np.uint8]], bytes]
) -> Iterator[tuple[bytes, bytes]]:
    """Yield the chunks of an animation, each frame after the first drawing only the box that changed."""
    numbers = count()
    yield b"acTL", struct.pack(">II", len(frames), min(max(animation.loop, 0), _MAX_LOOP))
    for frame, box, duration in zip(frames, changed_boxes(frames), milliseconds(animation), strict=True):
        number = next(numbers)
        seconds = min(duration / 1000, _MAX_DELAY)
        delay = Fraction(seconds).limit_denominator(int(_MAX_DELAY / max(seconds, 1))).as_integer_ratio()
        layout = struct.pack(">IIIIIHH", number, box.width, box.height, box.x, box.y, *delay)
        yield b"fcTL", layout + _KEEP_AND_REPLACE
        data = compress(box.of(frame))
        yield (b"fdAT", struct.pack(">I", next(numbers)) + data) if number else (b"IDAT", data)


def is_optimized(beginning: bytes) -> bool:
    """Return whether gmmquant optimized a PNG, by its first 4096 bytes."""
    return png_chunk(*_SHORT_MARK) in beginning


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


FORMAT = OutputFormat(
    "png",
    encode_png,
    signatures=(PNG_SIGNATURE,),
    is_marked=lambda file, beginning: any(png_chunk(*mark) in beginning for mark in (_MARK, _SHORT_MARK)),
    frames="animation",
)
