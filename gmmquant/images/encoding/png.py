"""PNG: indexed where 256 entries suffice, an entry being a colour with an alpha value; animations as APNG.

The chunks are put together here; Pillow filters and compresses the rows of true colour, oxipng makes a finished file
smaller. Layout: PNG specification, third edition (W3C, 2025), sections 5, 7.2, 9 and 11.

Indices of a palette are not amounts, so the filters, which predict a value from its neighbours, mostly do harm; zlib
finds the repetitions of whole runs itself. That is why indexed rows are not filtered, at any depth: at 16 colours files
become a sixth smaller than with Pillow, which filters packed bits, in less time.
"""

from __future__ import annotations

import struct
import subprocess
import sys
import zlib
from collections.abc import Callable, Iterator
from fractions import Fraction
from itertools import count
from typing import Any

import numpy as np
import numpy.typing as npt
from PIL import Image

from gmmquant.errors import ImageError
from gmmquant.images.containers import METERS_PER_INCH, PNG_SIGNATURE, iterate_chunks, png_chunk
from gmmquant.images.decoded import Animation, Metadata
from gmmquant.images.encoding.frame_diff import changed_boxes, frames_of, milliseconds
from gmmquant.images.encoding.output_format import EncodeOptions, OutputFormat
from gmmquant.images.encoding.output_metadata import MARK, dpi_of, save_by_pillow
from gmmquant.images.encoding.palette_entries import Entries, entries_of, packed
from gmmquant.images.recolor import ColorImage, IndexedImage
from gmmquant.system.threads import for_each

# Pixels up to which, and entries from which on, true colour is tried: of a slope of 6,000 pixels, the 768 bytes of a
# palette may be the greater part.
_TINY_PIXELS, _MANY_ENTRIES = 1 << 14, 64

# Bytes of rows up to which two filters are tried, at the best level, as it costs nothing.
_TINY_BYTES = 1 << 14

# Level 5 of zlib takes half of the time of its level 6 and makes files 3 to 5 % larger: with it they would not stay
# within 15 % of what Pillow's `optimize` makes of every image.
_ZLIB_LEVEL, _BEST_ZLIB_LEVEL = 6, 9
_NO_FILTER, _PAETH = 0, 4

# Bytes that are compressed at once, and those before them that they can refer to.
_STRIP_BYTES, _WINDOW_BYTES = 1 << 20, 1 << 15

# Five images of 360,000 pixels in 2, 7, 16, 64 and 256 colours: level 2 of oxipng takes 0.3 s an image, level 4 1 s for
# files 0.3 to 3 % smaller, level 6 twice that for 0.4 % at most. All are 5 to 7 % smaller than filters and orders of
# the palette that we tried ourselves, 8 % than plain files. 16 colours become 1 to 2 % smaller in 8 bits than in 4.
_LEVEL = 4

# Pixels above which oxipng, during which Python handles no signal, runs in a child process: 0.4 s of work.
_LARGE_PIXELS = 1 << 18

_OXIPNG = """
import sys, oxipng
options = {name: False for name in sys.argv[2:]}
data = oxipng.optimize_from_memory(
    sys.stdin.buffer.read(), level=int(sys.argv[1]), strip=oxipng.StripChunks.none(), **options
)
sys.stdout.buffer.write(data)
"""

_INDEXED, _TRUECOLOR, _TRUECOLOR_WITH_ALPHA = 3, 2, 6
_MAX_DELAY, _MAX_LOOP = 65535, 2**31 - 1
_KEEP_AND_REPLACE = b"\0\0"  # disposal and blending of a frame

# The mark: a text; where each byte counts, an ancillary private chunk, which other programs drop with a change.
_MARK, _SHORT_MARK = (b"tEXt", b"Software\0" + MARK.encode()), (b"gmQT", b"")


def encode_png(image: IndexedImage | ColorImage, options: EncodeOptions) -> bytes:
    """Encode an image as a PNG: the smallest of those by its palette, at each depth that may pay, and in true colour.

    True colour is tried only of a tiny image of very many entries, unless the order of the palette is to be kept. An
    image without a visible pixel is in true colour if its pixels hide several colours, of which a palette keeps none.
    """
    entries = entries_of(image) if isinstance(image, IndexedImage) and not image.only_hides else None
    if entries is None:
        return _encode(image, None, 8, options)
    depths = {bits_for(len(entries))}
    if options.optimize and options.animation is None:
        depths.add(8)
    files = [_encode(image, entries, bits, options) for bits in sorted(depths)]
    if entries.labels.size <= _TINY_PIXELS and len(entries) > _MANY_ENTRIES and not options.keep_order:
        files.append(_encode(image, None, 8, options))
    return min(files, key=len)


def bits_for(n_entries: int) -> int:
    """Return the fewest bits, 1, 2, 4 or 8, that number `n_entries` entries."""
    return next(bits for bits in (1, 2, 4, 8) if n_entries <= 1 << bits)


def _encode(image: IndexedImage | ColorImage, entries: Entries | None, bits: int, options: EncodeOptions) -> bytes:
    """Return an image as a PNG of its `entries` in `bits` bits, or in true colour."""
    pixels: npt.NDArray[np.uint8]
    if entries is not None:
        pixels, color_type, tables = entries.labels, _INDEXED, [(b"PLTE", entries.colors.tobytes())]
        if (entries.alphas < 255).any():  # up to the last that is not opaque
            tables.append((b"tRNS", entries.alphas[: np.flatnonzero(entries.alphas < 255)[-1] + 1].tobytes()))
    else:
        pixels, tables = image.pixels, []
        color_type = _TRUECOLOR if pixels.shape[2] == 3 else _TRUECOLOR_WITH_ALPHA

    def compress(pixels: npt.NDArray[np.uint8]) -> bytes:
        if entries is not None:
            return _compressed(packed(pixels, bits))
        png = save_by_pillow(Image.fromarray(np.ascontiguousarray(pixels)), "PNG")
        return b"".join(data for kind, data in iterate_chunks(png) if kind == b"IDAT")

    frames = frames_of(pixels, options.animation)
    height, width = frames.shape[1:3]
    header = struct.pack(">IIBBBBB", width, height, bits, color_type, 0, 0, 0)
    chunks = [(b"IHDR", header), *_metadata_chunks(options.metadata, short=options.optimize), *tables]
    animation = options.animation
    chunks += [(b"IDAT", compress(frames[0]))] if animation is None else _animated(frames, animation, compress)
    chunks.append((b"IEND", b""))
    png = PNG_SIGNATURE + b"".join(png_chunk(*chunk) for chunk in chunks)
    if not options.optimize:
        return png
    keep_depth = entries is not None and bits > bits_for(len(entries))
    return _optimized(png, len(pixels) * width, keep_depth=keep_depth, keep_order=options.keep_order)


def _optimized(png: bytes, n_pixels: int, *, keep_depth: bool, keep_order: bool) -> bytes:
    """Return a PNG of the same pixels and metadata, made smaller by oxipng; it stays indexed or in true colour."""
    refused = ["grayscale_reduction"] + ["bit_depth_reduction"] * keep_depth
    in_order = [*refused, "palette_reduction", "color_type_reduction"]
    attempts = [in_order] if keep_order else [in_order, refused]
    if n_pixels <= _LARGE_PIXELS:  # here both are tried: some images are smaller in their order
        import oxipng  # takes a few milliseconds, and few files are optimized

        options: list[dict[str, Any]] = [dict.fromkeys(attempt, False) for attempt in attempts]
        none = oxipng.StripChunks.none()
        return min((oxipng.optimize_from_memory(png, level=_LEVEL, strip=none, **each) for each in options), key=len)
    command = [sys.executable, "-P", "-c", _OXIPNG, str(_LEVEL), *attempts[-1]]
    result = subprocess.run(command, input=png, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, check=False)  # noqa: S603
    if result.returncode:
        raise ImageError(f"oxipng ended with exit code {result.returncode}; leave out --optimize")
    return result.stdout


def _compressed(rows: npt.NDArray[np.uint8]) -> bytes:
    """Return the rows (height, n_bytes) of indices as the data of a PNG."""
    if rows.size > _TINY_BYTES:
        return _deflated(_filtered(rows, _NO_FILTER).tobytes())
    return min((zlib.compress(_filtered(rows, each).data, _BEST_ZLIB_LEVEL) for each in (_NO_FILTER, _PAETH)), key=len)


def _deflated(data: bytes) -> bytes:
    """Return `data` as a zlib stream (RFC 1950), of strips that are compressed in threads.

    A strip can refer to the end of the one before, and ends at a byte, which makes the stream
    of 12 megapixels 0.1 % longer.
    """
    starts = range(0, len(data), _STRIP_BYTES)
    strips = [b""] * len(starts)

    def deflate(number: int) -> None:
        start, is_last = starts[number], number == len(starts) - 1
        raw = zlib.compressobj(_ZLIB_LEVEL, wbits=-zlib.MAX_WBITS, zdict=data[max(start - _WINDOW_BYTES, 0) : start])
        strip = raw.compress(data[start : start + _STRIP_BYTES])
        strips[number] = strip + raw.flush(zlib.Z_FINISH if is_last else zlib.Z_SYNC_FLUSH)

    for_each(deflate, range(len(starts)), len(data))
    header = zlib.compress(b"", _ZLIB_LEVEL)[:2]
    return b"".join([header, *strips, struct.pack(">I", zlib.adler32(data))])


def _filtered(rows: npt.NDArray[np.uint8], number: int) -> npt.NDArray[np.uint8]:
    """Return rows, each after the number of its filter, less what this filter predicts of each byte."""
    return np.insert(rows if number == _NO_FILTER else rows - _paeth(rows), 0, number, axis=1)


def _paeth(rows: npt.NDArray[np.uint8]) -> npt.NDArray[np.uint8]:
    """Return the neighbour of each byte, left, above or in the corner, that is nearest to left + above - corner."""
    left, up, corner = (np.zeros_like(rows) for _ in range(3))
    left[:, 1:], up[1:], corner[1:, 1:] = rows[:, :-1], rows[:-1], rows[:-1, :-1]
    to_left, to_up = (np.subtract(one, corner, dtype=np.int16) for one in (up, left))
    to_corner = np.abs(to_left + to_up)
    to_left, to_up = np.abs(to_left), np.abs(to_up)
    near_left = (to_left <= to_up) & (to_left <= to_corner)
    return np.where(near_left, left, np.where(to_up <= to_corner, up, corner))


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
