"""Files of formats that few programs write: icons, textures, old and floating-point images."""

import struct

import numpy as np
import pillow_heif
import pillow_jxl  # noqa: F401 (registers its format)
from image_files import saved, with_alpha

pillow_heif.register_heif_opener()


def psd(pixels, *, bits=8, mode=3, layers=None, version=1, packed=False, resources=b""):
    """Return a PSD of planes (h, w, channels); `layers` is the number of layers that it states."""
    height, width, channels = pixels.shape
    head = b"8BPS" + struct.pack(">H6xHIIHH", version, channels, height, width, bits, mode)
    section = b"" if layers is None else struct.pack(">Ih", 2, layers)
    parts = [b"", resources, section]
    body = b"".join(struct.pack(">I", len(part)) + part for part in parts)
    planes = np.moveaxis(pixels, -1, 0)
    if not packed:
        return head + body + struct.pack(">H", 0) + planes.astype(f">u{bits // 8}").tobytes()
    rows = [bytes((len(row) - 1,)) + row.tobytes() for plane in planes for row in plane]
    counts = b"".join(struct.pack(">H", len(row)) for row in rows)
    return head + body + struct.pack(">H", 1) + counts + b"".join(rows)


def sgi(pixels):
    """Return an uncompressed SGI of 16 bits per channel."""
    height, width, channels = pixels.shape
    head = struct.pack(">HBBHHHHII", 474, 0, 2, 3, width, height, channels, 0, 65535).ljust(512, b"\0")
    return head + np.moveaxis(pixels[::-1], -1, 0).astype(">u2").tobytes()


def pfm(values, order="<"):
    height, width = values.shape[:2]
    kind = "PF" if values.ndim == 3 else "Pf"
    head = f"{kind}\n{width} {height}\n{'-' if order == '<' else ''}1.0\n".encode()
    return head + values[::-1].astype(f"{order}f4").tobytes()


def ico(images, kind=1):
    """Return an icon of (width, height, bits, data)."""
    start = 6 + 16 * len(images)
    entries, body = b"", b""
    for width, height, bits, data in images:
        entries += struct.pack("<BBBBHHII", width % 256, height % 256, 0, 0, 1, bits, len(data), start + len(body))
        body += data
    return struct.pack("<HHH", 0, kind, len(images)) + entries + body


def dib(pixels, mask=None, *, bits=32, palette=None):
    """Return a bitmap as in an icon: BGRA (h, w, 4), BGR or indices (h, w), with the mask below."""
    height, width = pixels.shape[:2]
    head = struct.pack(
        "<IiiHHIIiiII", 40, width, 2 * height, 1, bits, 0, 0, 0, 0, 0 if palette is None else len(palette), 0
    )
    head += b"" if palette is None else b"".join(bytes((b, g, r, 0)) for r, g, b in palette)
    mask = np.zeros((height, width), np.uint8) if mask is None else mask
    return head + padded(pixels) + padded(np.packbits(mask, axis=1))


def padded(values):
    return b"".join(row.tobytes() + b"\0" * (-row.nbytes % 4) for row in np.ascontiguousarray(values[::-1]))


def icns(blocks):
    body = b"".join(kind + struct.pack(">I", 8 + len(data)) + data for kind, data in blocks)
    return b"icns" + struct.pack(">I", 8 + len(body)) + body


def runs(plane):
    """Return a channel in runs: repetitions of three and more, and the rest as it is."""
    values, data, position = plane.ravel().tolist(), b"", 0
    while position < len(values):
        count = 1
        while count < 130 and position + count < len(values) and values[position + count] == values[position]:
            count += 1
        if count >= 3:
            data += bytes((count + 125, values[position]))
            position += count
        else:
            data += bytes((0, values[position]))
            position += 1
    return data


def made(photo, veil):
    """Return files of all these formats with the pixels that they hold."""
    rgba, few = with_alpha(photo, veil), photo.quantize(20)
    grey, colors = photo.convert("L"), np.asarray(photo)
    deep = colors[..., ::-1].astype(np.uint16) * 256 + 77
    return {
        "psd": (psd(colors), colors),
        "packed psd": (psd(colors, packed=True), colors),
        "grey psd": (psd(colors[..., :1], mode=1), colors[..., [0, 0, 0]]),
        "rgba psd": (psd(np.asarray(rgba), layers=-1), np.asarray(rgba)),
        "qoi": (saved(photo, "QOI"), colors),
        "rgba qoi": (saved(rgba, "QOI"), np.asarray(rgba)),
        "dds": (saved(photo, "DDS"), colors),
        "rgba dds": (saved(rgba, "DDS"), np.asarray(rgba)),
        "sgi": (saved(photo, "SGI"), colors),
        "rgba sgi": (saved(rgba, "SGI"), np.asarray(rgba)),
        "grey sgi": (saved(grey, "SGI"), np.asarray(grey.convert("RGB"))),
        "deep sgi": (sgi(deep), deep >> 8),
        "pcx": (saved(photo, "PCX"), colors),
        "indexed pcx": (saved(few, "PCX"), np.asarray(few.convert("RGB"))),
        "bilevel pcx": (saved(photo.convert("1"), "PCX"), np.asarray(photo.convert("1").convert("RGB"))),
        "tga": (saved(photo, "TGA"), colors),
        "rgba tga": (saved(rgba, "TGA"), np.asarray(rgba)),
        "tga in runs": (saved(rgba, "TGA", compression="tga_rle"), np.asarray(rgba)),
        "indexed tga": (saved(few, "TGA"), np.asarray(few.convert("RGB"))),
        "grey tga": (saved(grey, "TGA"), np.asarray(grey.convert("RGB"))),
        "pfm": (pfm(colors / 255), colors),
    }


def file_of(name, image):
    """Return an image as a file of an input format, by its name."""
    pixels = np.asarray(image)
    if name == "PSD":
        return psd(pixels)
    if name == "PFM":
        return pfm(pixels / 255)
    if name == "ICO":
        return ico([(image.width, image.height, 24, saved(image, "PNG"))])
    if name == "ICNS":
        return icns([(b"ic07", saved(image, "PNG"))])
    return saved(image, {"PNM": "PPM", "JPEG XL": "JXL"}.get(name, name.upper().replace(" ", "")))
