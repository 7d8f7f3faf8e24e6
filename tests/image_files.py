"""Image files with features that Pillow and OpenCV cannot write, and plain compositing of frames."""

import io
import struct
import zlib

import numpy as np
from PIL import Image, ImageOps

from gmmquant.images.files import read_image


def saved(image, file_format, **options):
    """Return the bytes of the file that Pillow writes for an image."""
    buffer = io.BytesIO()
    image.save(buffer, file_format, **options)
    return buffer.getvalue()


def read(folder, data, name="image", **options):
    """Write a file and read it as an image."""
    path = folder / name
    path.write_bytes(data)
    return read_image(path, **options)


def pillow(data, mode):
    """Decode a file with Pillow, with its orientation applied."""
    with Image.open(io.BytesIO(data)) as image:
        return np.asarray(ImageOps.exif_transpose(image).convert(mode))


def with_alpha(photo, veil):
    """Return a photo with an alpha channel."""
    image = photo.convert("RGBA")
    image.putalpha(veil)
    return image


def png_chunk(chunk_type, body):
    """Return a chunk of a PNG."""
    return struct.pack(">I", len(body)) + chunk_type + body + struct.pack(">I", zlib.crc32(chunk_type + body))


def png(pixels, *, bits=8, color_type=2, chunks=b"", late=b""):
    """Return a PNG of 8-bit or 16-bit pixels (h, w, channels), with chunks before and after them."""
    height, width = pixels.shape[:2]
    header = struct.pack(">IIBBBBB", width, height, bits, color_type, 0, 0, 0)
    body = png_chunk(b"IHDR", header) + chunks + png_chunk(b"IDAT", _packed(pixels)) + late
    return b"\x89PNG\r\n\x1a\n" + body + png_chunk(b"IEND", b"")


def apng(size, frames, *, loop=0, default=None, color_type=6, bits=8, chunks=b""):
    """Return an animated PNG.

    A frame is a dict of pixels (h, w, channels), at (x, y), delay (numerator, denominator), dispose and blend as in
    fcTL. A `default` image is shown by programs without animation; it is not a frame.
    """
    width, height = size
    data = png_chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, bits, color_type, 0, 0, 0)) + chunks
    data += png_chunk(b"acTL", struct.pack(">II", len(frames), loop))
    if default is not None:
        data += png_chunk(b"IDAT", _packed(default))
    order = 0
    for n, frame in enumerate(frames):
        (h, w), (x, y) = frame["pixels"].shape[:2], frame.get("at", (0, 0))
        ending = (*frame.get("delay", (1, 10)), frame.get("dispose", 0), frame.get("blend", 0))
        data += png_chunk(b"fcTL", struct.pack(">IIIIIHHBB", order, w, h, x, y, *ending))
        packed = _packed(frame["pixels"])
        if n == 0 and default is None:
            data += png_chunk(b"IDAT", packed)
        else:
            order += 1
            data += png_chunk(b"fdAT", struct.pack(">I", order) + packed)
        order += 1
    return b"\x89PNG\r\n\x1a\n" + data + png_chunk(b"IEND", b"")


def composed_apng(size, frames):
    """Compose the frames of an 8-bit APNG in floating point; return RGBA (n, h, w, 4)."""
    width, height = size
    canvas, shown = np.zeros((height, width, 4)), []
    for frame in frames:
        pixels = opaque(frame["pixels"]).astype(float)
        (h, w), (x, y) = pixels.shape[:2], frame.get("at", (0, 0))
        before = canvas.copy()
        for row in range(h):
            for column in range(w):
                above, below = pixels[row, column], canvas[y + row, x + column].copy()
                a, b = above[3] / 255, below[3] / 255
                total = a + b * (1 - a)
                if frame.get("blend", 0) == 0:
                    canvas[y + row, x + column] = above
                elif total > 0:
                    mixed = (above[:3] * a + below[:3] * b * (1 - a)) / total
                    canvas[y + row, x + column] = [*mixed, 255 * total]
        shown.append(np.rint(canvas))
        canvas = {0: canvas, 2: before}.get(frame.get("dispose", 0), canvas)
        if frame.get("dispose", 0) == 1:
            canvas[y : y + h, x : x + w] = 0
    return np.array(shown).astype(np.uint8)


def gif(size, palette, frames, *, loop=None, comment=b"", interlaced=False):
    """Return a GIF.

    A frame is a dict of indices (h, w), at (x, y), duration in hundredths of a second, disposal as in the file,
    transparent (an index) and a local palette.
    """
    bits = _bits(palette)
    data = b"GIF89a" + struct.pack("<HHBBB", *size, 0xF0 | (bits - 1), 1, 0) + np.asarray(palette, np.uint8).tobytes()
    if loop is not None:
        data += b"\x21\xff\x0bNETSCAPE2.0\x03\x01" + struct.pack("<H", loop) + b"\0"
    if comment:
        data += b"\x21\xfe" + bytes([len(comment)]) + comment + b"\0"
    for frame in frames:
        indices, local, transparent = frame["indices"], frame.get("palette"), frame.get("transparent")
        flags = frame.get("disposal", 0) << 2 | (transparent is not None)
        data += b"\x21\xf9\x04" + struct.pack("<BHB", flags, frame.get("duration", 10), transparent or 0) + b"\0"
        height, width = indices.shape
        flags = 0x40 * interlaced | (0 if local is None else 0x80 | (_bits(local) - 1))
        data += b"\x2c" + struct.pack("<HHHHB", *frame.get("at", (0, 0)), width, height, flags)
        data += b"" if local is None else np.asarray(local, np.uint8).tobytes()
        rows = [row for start, step in ((0, 8), (4, 8), (2, 4), (1, 2)) for row in range(start, height, step)]
        data += _codes(indices[rows] if interlaced else indices, bits if local is None else _bits(local))
    return data + b";"


def composed_gif(size, palette, frames):
    """Compose the frames of a GIF on a transparent canvas; return RGBA (n, h, w, 4)."""
    width, height = size
    canvas, shown = np.zeros((height, width, 4), np.uint8), []
    for frame in frames:
        before = canvas.copy()
        colors = np.asarray(frame.get("palette", palette), np.uint8)
        x, y = frame.get("at", (0, 0))
        h, w = frame["indices"].shape
        for (row, column), entry in np.ndenumerate(frame["indices"]):
            if entry != frame.get("transparent"):
                canvas[y + row, x + column] = [*colors[entry], 255]
        shown.append(canvas.copy())
        if frame.get("disposal") == 3:
            canvas = before
        if frame.get("disposal") == 2:
            canvas[y : y + h, x : x + w] = 0
    return np.array(shown)


def opaque(pixels):
    """Return RGB or RGBA pixels as RGBA."""
    if pixels.shape[-1] == 4:
        return pixels
    return np.concatenate([pixels, np.full((*pixels.shape[:-1], 1), np.iinfo(pixels.dtype).max, pixels.dtype)], axis=-1)


def _packed(pixels):
    stored = pixels.astype(">u2") if pixels.dtype == np.uint16 else pixels
    return zlib.compress(b"".join(b"\0" + row.tobytes() for row in stored))


def _bits(palette):
    return (len(palette) - 1).bit_length()


def _codes(indices, bits):
    """Return LZW codes of single pixels: the table is cleared before codes would need another bit."""
    bits = max(bits, 2)
    clear = 1 << bits
    codes = []
    for n, entry in enumerate(indices.ravel()):
        codes += [clear] if n % (clear - 2) == 0 else []
        codes.append(int(entry))
    stream = "".join(f"{code:0{bits + 1}b}"[::-1] for code in [*codes, clear + 1])
    data = bytes(int(stream[i : i + 8][::-1], 2) for i in range(0, len(stream), 8))
    blocks = [data[i : i + 255] for i in range(0, len(data), 255)]
    return bytes([bits]) + b"".join(bytes([len(block)]) + block for block in blocks) + b"\0"
