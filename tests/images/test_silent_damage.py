"""Damage that decoders do not report, wherever the file itself can tell."""

import io
import struct
import zlib

import cv2
import numpy as np
import pytest
from helpers import read_sample
from image_files import read, saved, with_alpha
from image_kinds import icns, ico
from PIL import Image

from gmmquant.errors import ImageError
from gmmquant.images.decoding.jpeg_markers import find_end_marker
from gmmquant.images.decoding.registry import INPUT_FORMATS

PHOTO = Image.fromarray(read_sample("cat.jpg")[40:168, 60:220])
VEIL = Image.fromarray(np.tile(np.arange(160).clip(0, 255), (128, 1)).astype(np.uint8))
FRAMES = {"save_all": True, "append_images": [PHOTO.rotate(9), PHOTO.rotate(20)]}
DEEP = np.asarray(PHOTO).astype(np.uint16) * 256 + np.random.default_rng(0).integers(0, 256, (128, 160, 3), np.uint16)


def by_opencv(ending, *options):
    return cv2.imencode(ending, DEEP, list(options))[1].tobytes()


# Compressed files of every format that compresses, by format and kind.
COMPRESSED = {
    "PNG": saved(PHOTO, "PNG"),
    "PNG animated": saved(PHOTO, "PNG", **FRAMES),
    "JPEG": saved(PHOTO, "JPEG", quality=95),
    "JPEG progressive": saved(PHOTO, "JPEG", quality=95, progressive=True),
    "JPEG grey": saved(PHOTO.convert("L"), "JPEG", quality=98, optimize=True),
    "WebP": saved(PHOTO, "WEBP"),
    "WebP with alpha": saved(with_alpha(PHOTO, VEIL), "WEBP"),
    "WebP lossless": saved(PHOTO, "WEBP", lossless=True),
    "WebP animated": saved(PHOTO, "WEBP", **FRAMES),
    "WebP animated lossless": saved(PHOTO, "WEBP", lossless=True, **FRAMES),
    "AVIF": saved(PHOTO, "AVIF"),
    "AVIF with alpha": saved(with_alpha(PHOTO, VEIL), "AVIF"),
    "AVIF animated": saved(PHOTO, "AVIF", **FRAMES),
    "TIFF LZW": saved(PHOTO, "TIFF", compression="tiff_lzw"),
    "TIFF deflate": saved(PHOTO, "TIFF", compression="tiff_adobe_deflate"),
    "TIFF JPEG": saved(PHOTO, "TIFF", compression="jpeg"),
    "TIFF 16-bit LZW": by_opencv(".tiff", cv2.IMWRITE_TIFF_COMPRESSION, cv2.IMWRITE_TIFF_COMPRESSION_LZW),
    "TIFF 16-bit deflate": by_opencv(".tiff", cv2.IMWRITE_TIFF_COMPRESSION, cv2.IMWRITE_TIFF_COMPRESSION_DEFLATE),
    "GIF": saved(PHOTO.quantize(64), "GIF"),
    "GIF animated": saved(PHOTO, "GIF", **FRAMES),
    "JPEG 2000": saved(PHOTO, "JPEG2000"),
    "JPEG 2000 without boxes": saved(PHOTO, "JPEG2000", no_jp2=True),
    "JPEG 2000 in tiles": saved(PHOTO, "JPEG2000", tile_size=(50, 40)),
    "JPEG 2000 16-bit": by_opencv(".jp2"),
    "HEIF": saved(PHOTO, "HEIF"),
    "HEIF with alpha": saved(with_alpha(PHOTO, VEIL), "HEIF"),
    "JPEG XL": saved(PHOTO, "JXL"),
    "JPEG XL lossless": saved(with_alpha(PHOTO, VEIL), "JXL", lossless=True),
    "QOI": saved(PHOTO, "QOI"),
    "ICO": ico([(160, 128, 24, saved(PHOTO, "PNG"))]),
    "ICNS": icns([(b"ic07", saved(PHOTO, "PNG"))]),
}

# Formats that also tell by a checksum, whatever byte is wrong.
CHECKED = ("PNG", "PNG animated", "TIFF deflate", "TIFF 16-bit deflate")


def is_refused(folder, data):
    try:
        read(folder, data)
    except ImageError as error:
        assert "damaged or incomplete" in str(error) or "not a supported image" in str(error)
        return True
    return False


def pixels_of_tiff(data):
    """Return where the compressed pixels of a TIFF start and end; bits of its directory may tell nothing."""
    with Image.open(io.BytesIO(data)) as image:
        start, size = image.tag_v2[273], image.tag_v2[279]
    return min(start), max(a + b for a, b in zip(start, size, strict=True))


def test_every_format_that_compresses_is_here():
    assert {name for name in INPUT_FORMATS if any(kind.startswith(name) for kind in COMPRESSED)} == set(
        INPUT_FORMATS
    ) - {"BMP", "PNM", "PFM", "PSD", "DDS", "SGI", "PCX", "TGA"}


@pytest.mark.parametrize("kind", COMPRESSED)
@pytest.mark.parametrize("share", [0.3, 0.5, 0.7, 0.9, 0.97])
def test_a_file_whose_end_is_missing_or_was_never_written_is_refused(tmp_path, kind, share):
    data = COMPRESSED[kind]
    length = int(len(data) * share)
    assert not is_refused(tmp_path, data)
    assert is_refused(tmp_path, data[:length])
    assert is_refused(tmp_path, data[:length] + bytes(len(data) - length))


@pytest.mark.parametrize("kind", CHECKED)
@pytest.mark.parametrize("share", [0.2, 0.4, 0.6, 0.8])
def test_a_wrong_bit_or_a_hole_is_found_where_the_format_has_checksums(tmp_path, kind, share):
    data = COMPRESSED[kind]
    start, end = pixels_of_tiff(data) if kind.startswith("TIFF") else (60, len(data))
    position = start + int((end - start) * share)
    flipped, holed = bytearray(data), bytearray(data)
    flipped[position] ^= 16
    holed[position : position + 64] = bytes(64)
    assert is_refused(tmp_path, bytes(flipped))
    assert is_refused(tmp_path, bytes(holed))


# --- JPEG -------------------------------------------------------------------------------------------------------------


def test_a_jpeg_ends_with_its_own_marker_and_not_with_that_of_a_thumbnail_or_of_the_next_image(tmp_path):
    data = COMPRESSED["JPEG"]
    small = saved(Image.new("RGB", (8, 8)), "JPEG")
    exif = b"\xff\xe1" + struct.pack(">H", len(small) + 2) + small
    with_thumbnail = data[:2] + exif + data[2:]
    assert find_end_marker(with_thumbnail) == len(with_thumbnail) - 2
    pixels = read(tmp_path, data).pixels
    for behind in (b"", bytes(500), small, b"\xff\xd8\xff\xe0 cut", bytes(range(256))):
        assert np.array_equal(read(tmp_path, with_thumbnail + behind).pixels, pixels)
    half = len(with_thumbnail) // 2
    for behind in (bytes(half), small, bytes(half) + small):
        assert is_refused(tmp_path, with_thumbnail[:half] + behind)


# --- WebP -------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("options", [{}, {"quality": 100}, {"quality": 0}, {"lossless": True}])
@pytest.mark.parametrize("color", ["white", "black", "grey"])
def test_a_flat_webp_whose_data_rightly_end_in_zeros_is_read(tmp_path, options, color):
    image = Image.new("RGB", (900, 900), color)
    image.paste(PHOTO, (0, 0))
    assert read(tmp_path, saved(image, "WEBP", **options)).pixels.shape == (900, 900, 3)


def test_zeros_at_the_end_of_a_flat_webp_are_counted():
    """Otherwise the test above would prove nothing."""
    data = saved(Image.new("RGB", (900, 900), "grey"), "WEBP", quality=100)
    assert len(data) - len(data.rstrip(b"\0")) > 64


# --- BMP and TIFF -----------------------------------------------------------------------------------------------------


def run_length_bmp(width, height, body, *, bits):
    palette = b"".join(bytes([level, level, level, 0]) for level in range(1 << bits))
    kind = 1 if bits == 8 else 2
    header = struct.pack("<IiiHHIIiiII", 40, width, height, 1, bits, kind, len(body), 2835, 2835, 0, 0)
    start = 14 + len(header) + len(palette)
    return b"BM" + struct.pack("<IHHI", start + len(body), 0, 0, start) + header + palette + body


@pytest.mark.parametrize("bits", [4, 8])
def test_a_bmp_of_runs_that_lacks_pixels_is_refused(tmp_path, bits):
    line = b"\x08\x12\0\0"
    whole = run_length_bmp(8, 4, line * 4 + b"\0\1", bits=bits)
    assert read(tmp_path, whole).pixels.shape == (4, 8, 3)
    for body in (line * 2, line * 2 + b"\0\1", line * 2 + bytes(10)):
        assert is_refused(tmp_path, run_length_bmp(8, 4, body, bits=bits))


def tiff_of_a_strip(strip):
    """A grey TIFF of 8 x 8 pixels that are deflated."""
    tags = [(256, 8), (257, 8), (258, 8), (259, 8), (262, 1), (273, 8), (277, 1), (278, 8), (279, len(strip))]
    entries = b"".join(
        struct.pack("<HHII", number, 4 if number in (273, 279) else 3, 1, value) for number, value in tags
    )
    start = 8 + len(strip) + len(strip) % 2
    data = b"II*\0" + struct.pack("<I", start) + strip + bytes(len(strip) % 2)
    return data + struct.pack("<H", len(tags)) + entries + bytes(4)


def test_only_a_wrong_checksum_of_a_deflated_strip_is_damage_and_not_a_missing_one(tmp_path):
    pixels = np.arange(64, dtype=np.uint8).reshape(8, 8)
    strip = zlib.compress(pixels.tobytes())
    for good in (strip, strip[:-4], strip + b"behind"):
        assert np.array_equal(read(tmp_path, tiff_of_a_strip(good)).pixels[..., 0], pixels)
    assert is_refused(tmp_path, tiff_of_a_strip(strip[:-1] + bytes([strip[-1] ^ 1])))


# --- JPEG 2000 --------------------------------------------------------------------------------------------------------


def test_the_last_part_of_a_jpeg_2000_may_extend_to_the_end_marker(tmp_path):
    data = bytearray(COMPRESSED["JPEG 2000"])
    start = data.index(b"\xff\x90\0\n") + 6
    data[start : start + 4] = bytes(4)
    assert read(tmp_path, bytes(data)).pixels.shape == (128, 160, 3)
    for cut in (data[: len(data) // 2], data[:-2], data[: len(data) // 2] + bytes(len(data) // 2)):
        assert is_refused(tmp_path, bytes(cut))
