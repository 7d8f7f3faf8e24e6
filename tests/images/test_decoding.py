"""Decoding of image files, compared with Pillow and ImageMagick, or with the values in files written by hand."""

import errno
import io
import os
import shutil
import socket
import struct
import subprocess
import sys
import warnings
import zlib
from concurrent.futures import ThreadPoolExecutor

import cv2
import numpy as np
import pytest
from image_files import pillow, png, png_chunk, read, saved, with_alpha
from PIL import Image
from waiting import GUARD_SECONDS

from gmmquant.errors import ImageError
from gmmquant.images.containers import iterate_boxes
from gmmquant.images.decoding import opencv
from gmmquant.images.decoding.decoder_stderr import captured_stderr
from gmmquant.images.decoding.formats import jpeg2000
from gmmquant.images.decoding.formats import png as png_format
from gmmquant.images.decoding.png_chunks import transparent_grey
from gmmquant.images.decoding.registry import INPUT_EXTENSIONS, INPUT_FORMATS, read_header
from gmmquant.images.files import orient, read_image

# --- every format -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("file_format", "options"),
    [
        ("PNG", {}),
        ("JPEG", {"quality": 90}),
        ("JPEG", {"quality": 95, "subsampling": 0, "progressive": True}),
        ("WEBP", {"lossless": True}),
        ("WEBP", {"quality": 80}),
        ("BMP", {}),
        ("TIFF", {}),
        ("TIFF", {"compression": "tiff_lzw"}),
        ("TIFF", {"compression": "tiff_adobe_deflate"}),
    ],
)
@pytest.mark.parametrize("mode", ["RGB", "L"])
def test_color_and_grey_files_decode_as_pillow_decodes_them(tmp_path, photo, file_format, options, mode):
    data = saved(photo.convert(mode), file_format, **options)
    image = read(tmp_path, data)
    assert image.pixels.shape == (40, 60, 3)
    assert image.pixels.dtype == np.uint8
    assert image.notes == ()
    # The two carry their own JPEG and WebP decoders, which may round the last bit differently.
    tolerance = 2 if file_format in ("JPEG", "WEBP") and not options.get("lossless") else 0
    assert np.abs(image.pixels.astype(int) - pillow(data, "RGB")).max() <= tolerance


@pytest.mark.parametrize("file_format", ["PNG", "GIF", "BMP", "TIFF"])
def test_palette_files_decode_as_pillow_decodes_them(tmp_path, photo, file_format):
    data = saved(photo.quantize(20), file_format)
    assert np.array_equal(read(tmp_path, data).pixels, pillow(data, "RGB"))


@pytest.mark.parametrize("file_format", ["PNG", "TIFF", "BMP"])
def test_bilevel_files_decode_as_pillow_decodes_them(tmp_path, photo, file_format):
    data = saved(photo.convert("1"), file_format)
    assert np.array_equal(read(tmp_path, data).pixels, pillow(data, "RGB"))


@pytest.mark.parametrize(
    ("file_format", "mode", "options"),
    [
        ("PNG", "RGBA", {}),
        ("PNG", "LA", {}),
        ("WEBP", "RGBA", {"lossless": True, "exact": True}),
        ("TIFF", "RGBA", {}),
        ("TIFF", "LA", {}),
        ("TIFF", "RGBA", {"compression": "tiff_lzw"}),
    ],
)
def test_alpha_is_kept_and_not_multiplied_into_the_colors(tmp_path, photo, veil, file_format, mode, options):
    data = saved(with_alpha(photo, veil).convert(mode), file_format, **options)
    assert np.array_equal(read(tmp_path, data).pixels, pillow(data, "RGBA"))


@pytest.mark.parametrize(
    ("mode", "transparency"),
    [("P", bytes(range(0, 200, 10))), ("P", 3), ("L", "first"), ("RGB", "first")],
)
def test_transparent_entries_and_colors_become_alpha(tmp_path, photo, mode, transparency):
    image = photo.quantize(20) if mode == "P" else photo.convert(mode)
    if transparency == "first":
        transparency = image.getpixel((0, 0))
    data = saved(image, "PNG", transparency=transparency)
    original = read(tmp_path, data)
    assert (original.pixels[..., 3] < 255).any()
    assert np.array_equal(original.pixels, pillow(data, "RGBA"))


def test_a_gif_keeps_its_transparent_color(tmp_path, photo):
    data = saved(photo.quantize(20), "GIF", transparency=3)
    pixels, expected = read(tmp_path, data).pixels, pillow(data, "RGBA")
    assert np.array_equal(pixels[..., 3], expected[..., 3])
    visible = expected[..., 3] > 0
    assert 0 < visible.sum() < visible.size
    assert np.array_equal(pixels[visible], expected[visible])


@pytest.mark.parametrize("ending", [".png", ".tiff"])
@pytest.mark.parametrize("channels", [1, 3, 4])
def test_16_bit_files_keep_all_their_bits(tmp_path, ending, channels):
    values = np.random.default_rng(0).integers(0, 65536, (30, 20, channels), dtype=np.uint16)
    stored = values[..., 0] if channels == 1 else values[..., [2, 1, 0, 3][:channels]]
    data = cv2.imencode(ending, stored)[1].tobytes()
    pixels = read(tmp_path, data).pixels
    assert pixels.dtype == np.uint16
    assert np.array_equal(pixels, np.repeat(values, 3, axis=2) if channels == 1 else values)


def test_a_16_bit_grey_file_has_the_values_that_pillow_reads(tmp_path):
    grey = np.random.default_rng(0).integers(0, 65536, (30, 20), dtype=np.uint16)
    for file_format in ("PNG", "TIFF"):
        pixels = read(tmp_path, saved(Image.fromarray(grey), file_format)).pixels
        assert np.array_equal(pixels[..., 1], grey)


def test_only_the_first_of_several_pages_is_read_with_a_note(tmp_path, photo):
    data = saved(photo, "TIFF", save_all=True, append_images=[photo.transpose(Image.Transpose.FLIP_LEFT_RIGHT)])
    image = read(tmp_path, data)
    assert np.array_equal(image.pixels, pillow(data, "RGB"))
    assert image.notes == ("the file contains several images or pages; only the first is used",)
    assert image.animation is None


def tiff(pixels, *, planar=1, extra=None, byte_order="<", photometric=2, bits=16, sample_format=1):
    """Write an uncompressed 16-bit TIFF by hand, (h, w, channels), with tags that Pillow and OpenCV do not write."""
    height, width, channels = pixels.shape
    stored = pixels.astype(f"{byte_order}u2")
    data = (stored if planar == 1 else stored.transpose(2, 0, 1)).tobytes()
    size = len(data) // (1 if planar == 1 else channels)
    strips = [8 + i * size for i in range(1 if planar == 1 else channels)]
    end = 8 + len(data)
    values = [
        (256, width),
        (257, height),
        (258, [bits] * channels),
        (259, 1),
        (262, photometric),
        (273, strips),
        (277, channels),
    ]
    values += [(278, height), (279, [size] * len(strips)), (284, planar)] + ([] if extra is None else [(338, extra)])
    values += [(339, [sample_format] * channels)] if sample_format != 1 else []
    entries, tail = b"", b""
    after = end + 2 + 12 * len(values) + 4
    for tag, value in values:
        items = value if isinstance(value, list) else [value]
        body = struct.pack(f"{byte_order}{len(items)}I", *items)
        if len(items) == 1:
            entries += struct.pack(f"{byte_order}HHI", tag, 4, 1) + body
        else:
            entries += struct.pack(f"{byte_order}HHII", tag, 4, len(items), after + len(tail))
            tail += body
    mark = b"II*\0" if byte_order == "<" else b"MM\0*"
    directory = struct.pack(f"{byte_order}H", len(values)) + entries + bytes(4)
    return mark + struct.pack(f"{byte_order}I", end) + data + directory + tail


def test_a_16_bit_tiff_with_white_at_zero_is_not_inverted(tmp_path):
    values = np.random.default_rng(0).integers(0, 65536, (7, 5, 1), dtype=np.uint16)
    for photometric, expected in ((0, 65535 - values), (1, values)):
        pixels = read(tmp_path, tiff(values, photometric=photometric)).pixels
        assert np.array_equal(pixels, np.repeat(expected, 3, axis=2))


@pytest.mark.parametrize("byte_order", ["<", ">"])
def test_a_16_bit_tiff_by_hand_keeps_its_values_in_either_byte_order(tmp_path, byte_order):
    values = np.random.default_rng(0).integers(0, 65536, (7, 5, 3), dtype=np.uint16)
    assert np.array_equal(read(tmp_path, tiff(values, byte_order=byte_order)).pixels, values)


def test_the_colors_of_a_16_bit_tiff_are_divided_by_associated_alpha(tmp_path):
    rng = np.random.default_rng(0)
    colors = rng.integers(0, 65536, (7, 5, 3))
    alpha = rng.integers(20_000, 65536, (7, 5, 1))
    alpha[0] = 0
    stored = np.dstack([np.rint(colors * alpha / 65535), alpha]).astype(np.uint16)
    pixels = read(tmp_path, tiff(stored, extra=1)).pixels
    assert np.array_equal(pixels[..., 3:], alpha)
    assert np.abs(pixels[1:, :, :3].astype(int) - colors[1:]).max() <= 2
    assert not pixels[0, :, :3].any()
    assert np.array_equal(read(tmp_path, tiff(stored, extra=2)).pixels, stored)
    assert np.array_equal(read(tmp_path, tiff(stored, extra=0)).pixels, stored[:, :, :3])


@pytest.mark.parametrize(
    ("bits", "photometric", "channels", "options"),
    [
        (16, 5, 4, {}),
        (16, 5, 4, {"planar": 2}),
        (16, 2, 3, {"sample_format": 2}),
        (10, 2, 3, {}),
        (12, 2, 3, {}),
        (14, 2, 3, {}),
    ],
)
def test_an_intact_tiff_of_an_unsupported_type_is_not_called_damaged(tmp_path, bits, photometric, channels, options):
    data = tiff(np.zeros((4, 4, channels), np.uint16), photometric=photometric, bits=bits, **options)
    with pytest.raises(
        ImageError, match=rf"this type of TIFF with {bits} bits per channel is not supported; convert it"
    ):
        read(tmp_path, data)


@pytest.mark.parametrize("mode", ["RGB", "I;16"])
def test_a_bigtiff_is_read_as_any_other(tmp_path, photo, mode):
    image = photo if mode == "RGB" else Image.fromarray(np.arange(2400, dtype=np.uint16).reshape(40, 60) * 27)
    data = saved(image, "TIFF", big_tiff=True)
    assert data.startswith(b"II+\0")
    assert np.array_equal(read(tmp_path, data).pixels, read(tmp_path, saved(image, "TIFF")).pixels)


@pytest.mark.parametrize("bits", [1, 2, 4])
def test_grey_png_files_of_few_bits_decode_as_pillow_decodes_them(tmp_path, bits):
    levels = np.arange(1 << bits).repeat(9)
    packed = np.packbits(np.unpackbits(levels.astype(np.uint8)[:, np.newaxis], axis=1)[:, -bits:].ravel())
    header = struct.pack(">IIBBBBB", len(levels), 1, bits, 0, 0, 0, 0)
    chunks = [(b"IHDR", header), (b"IDAT", zlib.compress(b"\0" + packed.tobytes())), (b"IEND", b"")]
    data = b"\x89PNG\r\n\x1a\n" + b"".join(png_chunk(*chunk) for chunk in chunks)
    assert np.array_equal(read(tmp_path, data).pixels, pillow(data, "RGB"))


def test_cmyk_is_converted_as_pillow_converts_it(tmp_path, photo):
    for file_format in ("JPEG", "TIFF"):
        data = saved(photo.convert("CMYK"), file_format)
        np.testing.assert_array_equal(read(tmp_path, data).pixels, pillow(data, "RGB"))


@pytest.mark.parametrize("band", [1, 130, 100_000])
@pytest.mark.parametrize("mode", ["RGB", "RGBA"])
def test_channels_are_swapped_in_every_row_for_bands_of_any_height(tmp_path, photo, veil, mode, band, monkeypatch):
    monkeypatch.setattr(opencv, "_BAND_PIXELS", band)
    data = saved(photo if mode == "RGB" else with_alpha(photo, veil), "PNG")
    np.testing.assert_array_equal(read(tmp_path, data).pixels, pillow(data, mode))


def test_images_can_be_read_in_threads(samples):
    expected = read_image(samples / "cat.jpg").pixels
    with ThreadPoolExecutor(4) as pool:
        images = list(pool.map(read_image, [samples / "cat.jpg"] * 40, timeout=GUARD_SECONDS))
    assert all(np.array_equal(image.pixels, expected) for image in images)


def test_the_content_counts_and_not_the_extension(tmp_path, photo):
    data = saved(photo, "PNG")
    assert np.array_equal(read(tmp_path, data, "image.jpg").pixels, pillow(data, "RGB"))


# --- formats that few programs write --- ------------------------------------------------------------------------------


def test_every_format_that_pillow_writes_is_recognised_under_the_extensions_that_pillow_knows(photo):
    """Pillow's names and extensions, but for formats of three-dimensional and moving data that share its plugins."""
    names = {"PNG": "PNG", "JPEG": "JPEG", "WEBP": "WebP", "AVIF": "AVIF", "TIFF": "TIFF", "BMP": "BMP", "GIF": "GIF"}
    names |= {"JPEG2000": "JPEG 2000", "PPM": "PNM"}
    names |= {name: name for name in ("ICO", "ICNS", "PSD", "QOI", "DDS", "SGI", "PCX", "TGA")}
    Image.init()
    for extension, pillow_name in Image.registered_extensions().items():
        if pillow_name in names and extension not in (".pfm", ".j2c"):
            assert extension in INPUT_FORMATS[names[pillow_name]].extensions
    for pillow_name, name in names.items():
        if pillow_name not in ("ICO", "ICNS", "PSD"):  # of fixed sizes, or not written by Pillow
            header = read_header(io.BytesIO(saved(photo, pillow_name)))
            assert (header.format, header.size) == (name, (60, 40))
    assert set(names.values()) == set(INPUT_FORMATS) - {"PFM", "HEIF", "JPEG XL"}
    assert all(extension.startswith(".") and extension == extension.lower() for extension in INPUT_EXTENSIONS)


def test_the_extensions_of_images_are_known_without_decoders():
    code = "import gmmquant.images.decoding.registry, sys; print({'cv2', 'PIL', 'numpy'} & set(sys.modules))"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, check=True).stdout == b"set()\n"


@pytest.mark.parametrize("maximum", [1, 5, 100, 255, 256, 1000, 65535])
@pytest.mark.parametrize("digit", ["2", "3", "5", "6"])
def test_netpbm_values_are_stretched_to_the_whole_range(tmp_path, digit, maximum):
    channels = 1 if digit in "25" else 3
    values = np.random.default_rng(0).integers(0, maximum + 1, (7, 5, channels))
    values[0, 0], values[0, 1] = 0, maximum
    head = f"P{digit}\n# a comment\n5 7 # another\n{maximum}\n".encode()
    if digit in "23":
        body = "\n".join(" ".join(map(str, row.ravel())) for row in values).encode()
    else:
        body = values.astype(">u2" if maximum > 255 else "u1").tobytes()
    pixels = read(tmp_path, head + body).pixels
    top = 255 if maximum <= 255 else 65535
    assert pixels.dtype == (np.uint8 if top == 255 else np.uint16)
    assert np.abs(pixels - values * (top / maximum)).max() < 0.5 + 1e-9


@pytest.mark.parametrize("maximum", [255, 4095, 65535])
@pytest.mark.parametrize("channels", [1, 2, 3, 4])
def test_the_channels_of_a_pam_are_grey_or_colors_with_or_without_alpha(tmp_path, channels, maximum):
    values = np.random.default_rng(0).integers(0, maximum + 1, (7, 5, channels))
    tuple_type = ("GRAYSCALE", "GRAYSCALE_ALPHA", "RGB", "RGB_ALPHA")[channels - 1]
    head = f"P7\nWIDTH 5\nHEIGHT 7\n# so\nDEPTH {channels}\nMAXVAL {maximum}\nTUPLTYPE {tuple_type}\nENDHDR\n".encode()
    pixels = read(tmp_path, head + values.astype(">u2" if maximum > 255 else "u1").tobytes()).pixels
    expected = values if channels > 2 else values[..., [0, 0, 0, 1][: 3 + (channels == 2)]]
    top = 255 if maximum == 255 else 65535
    assert np.abs(pixels - expected * (top / maximum)).max() < 0.5 + 1e-9


def test_a_pam_of_inks_is_refused():
    head = b"P7\nWIDTH 1\nHEIGHT 1\nDEPTH 4\nMAXVAL 255\n%bENDHDR\n"
    assert read_header(io.BytesIO(head % b"")).size == (1, 1)
    with pytest.raises(
        ImageError, match=r"PAM with 4 channels and tuple type CM\?K is not supported; convert it to RGB"
    ):
        read_header(io.BytesIO(head % b"TUPLTYPE CM\x1bK\n"))


@pytest.mark.parametrize("first", [b"P6 1 2 255 " + bytes(6), b"P4 9 1\n\1\1", b"P5 1 1 256 12"])
def test_only_the_first_of_several_netpbm_images_is_read_with_a_note(tmp_path, first):
    assert read(tmp_path, first).notes == ()
    image = read(tmp_path, first + first)
    assert image.notes == ("the file contains several images or pages; only the first is used",)
    assert np.array_equal(image.pixels, read(tmp_path, first).pixels)


def test_the_bits_of_a_pbm_are_black_where_they_are_1(tmp_path):
    bits = np.random.default_rng(0).integers(0, 2, (7, 11))
    expected = np.repeat(255 * (1 - bits[..., np.newaxis]), 3, axis=2)
    packed = b"P4 11 7\n" + np.packbits(bits, axis=1).tobytes()
    plain = b"P1\n11 7\n" + "\n".join("".join(map(str, row)) for row in bits).encode()
    for data in (packed, plain, plain.replace(b"0", b"0 ")):
        assert np.array_equal(read(tmp_path, data).pixels, expected)


@pytest.mark.parametrize(
    "data",
    [
        b"P6\n2 2\n255\n" + bytes(11),
        b"P5\n2 2\n256\n" + bytes(7),
        b"P4\n9 2\n" + bytes(3),
        b"P4 1 1",
        b"P5 1 1 1",
        b"P2\n2 2\n9\n1 2 3",
        b"P2\n2 2\n9\n1 2 3 10",
        b"P3\n1 1\n9\n1 2 x",
        b"P1\n2 2\n101",
        b"P1\n2 1\n1xx0",
        b"P6\n0 2\n255\n",
        b"P6\n2 2\n65536\n" + bytes(99),
        b"P6\n2 2\n0\n" + bytes(99),
        b"P6\n-2 2\n255\n" + bytes(99),
        b"P6\n2",
        b"P6\n" + b"#" * 70_000,
        b"P7\nWIDTH 2\nHEIGHT 2\nDEPTH 3\nMAXVAL 255\n" + bytes(12),
        b"P7\nWIDTH 2\nHEIGHT 2\nDEPTH 5\nMAXVAL 255\nENDHDR\n" + bytes(20),
        b"P7\nENDHDR\n",
    ],
)
def test_a_netpbm_image_that_is_broken_or_cut_short_is_refused(tmp_path, data):
    with pytest.raises(ImageError, match="damaged or incomplete PNM image"):
        read(tmp_path, data)


def test_a_netpbm_image_above_the_limit_is_refused_by_its_header(tmp_path):
    with pytest.raises(ImageError, match="999999999 x 999999999 pixels is above the limit 200000000"):
        read(tmp_path, b"P6 999999999 999999999 255\n")


@pytest.mark.parametrize("bare", [False, True])
@pytest.mark.parametrize("mode", ["L", "LA", "RGB", "RGBA"])
def test_jpeg_2000_decodes_as_it_was_written(tmp_path, photo, veil, mode, bare):
    image = with_alpha(photo, veil).convert(mode)
    pixels = read(tmp_path, saved(image, "JPEG2000", no_jp2=bare)).pixels
    assert np.array_equal(pixels, np.asarray(image.convert("RGBA" if "A" in mode else "RGB")))


@pytest.mark.parametrize("channels", [1, 3, 4])
def test_a_jpeg_2000_of_16_bits_keeps_them(tmp_path, channels):
    smooth = np.linspace(0, 65535, 70 * 80 * channels).reshape(70, 80, channels).astype(np.uint16)
    stored = smooth[..., 0] if channels == 1 else smooth[..., [2, 1, 0, 3][:channels]]
    data = cv2.imencode(".jp2", stored, [cv2.IMWRITE_JPEG2000_COMPRESSION_X1000, 1000])[1].tobytes()
    pixels = read(tmp_path, data).pixels
    assert pixels.dtype == np.uint16
    assert np.array_equal(pixels, np.repeat(smooth, 3, axis=2) if channels == 1 else smooth)


@pytest.mark.parametrize("bits", [4, 10, 12])
@pytest.mark.parametrize("file_format", ["jp2", "j2k"])
@pytest.mark.skipif(shutil.which("convert-im6") is None, reason="ImageMagick is not installed")
def test_jpeg_2000_of_other_bits_is_stretched_as_imagemagick_stretches_it(tmp_path, photo, file_format, bits):
    def magick(data, *arguments):
        return subprocess.run(["convert-im6", *arguments], input=data, capture_output=True, check=True).stdout

    data = magick(saved(photo, "PNG"), "png:-", "-depth", str(bits), f"{file_format}:-")
    expected = np.frombuffer(magick(data, f"{file_format}:-", "-depth", "16", "rgb:-"), np.uint16).reshape(40, 60, 3)
    pixels = read(tmp_path, data).pixels
    assert np.abs(pixels.astype(int) * (257 if bits <= 8 else 1) - expected).max() <= 1
    assert len(np.unique(pixels)) <= 1 << bits


def test_a_jp2_whose_codestream_states_another_size_than_its_header_is_refused(tmp_path, photo, monkeypatch):
    """A JP2 has a size in a box, and another in its codestream."""
    data = bytearray(saved(photo, "JPEG2000"))
    start = data.index(b"\xff\x4f\xff\x51") + 8
    data[start : start + 8] = struct.pack(">II", 60_000, 60_000)
    monkeypatch.setattr(jpeg2000, "decode_with_pillow", lambda data, name: pytest.fail("decoded"))
    with pytest.raises(ImageError, match="damaged or incomplete JPEG 2000 image"):
        read(tmp_path, bytes(data))


@pytest.mark.parametrize("bits", [8, 10, 12])
@pytest.mark.parametrize("channels", [3, 4])
def test_avif_values_are_stretched_to_the_whole_range(tmp_path, bits, channels):
    values = np.random.default_rng(0).integers(0, 1 << bits, (16, 20, channels))
    values[0, 0], values[0, 1] = 0, (1 << bits) - 1
    stored = values[..., [2, 1, 0, 3][:channels]].astype(np.uint8 if bits == 8 else np.uint16)
    options = [cv2.IMWRITE_AVIF_DEPTH, bits, cv2.IMWRITE_AVIF_QUALITY, 100]
    pixels = read(tmp_path, cv2.imencode(".avif", stored, options)[1].tobytes()).pixels
    top = 255 if bits == 8 else 65535
    assert pixels.dtype == (np.uint8 if bits == 8 else np.uint16)
    # Quality 100 keeps 8-bit RGB as it is, so the other depths differ by rounding only.
    assert np.abs(pixels - values * (top / ((1 << bits) - 1))).max() <= 0.5


@pytest.mark.parametrize("mode", ["L", "RGB", "RGBA"])
def test_avif_decodes_as_pillow_decodes_it(tmp_path, photo, veil, mode):
    data = saved(with_alpha(photo, veil).convert(mode), "AVIF", quality=80)
    pixels = read(tmp_path, data).pixels
    assert np.abs(pixels.astype(int) - pillow(data, "RGBA" if mode == "RGBA" else "RGB")).max() <= 1


def bmp(pixels, bits, *, masks=(), upside_down=True):
    """Write a BMP of 16 or 32 bits a pixel, with the masks of its channels."""
    height, width = pixels.shape
    rows = [row.astype(f"<u{bits // 8}").tobytes() for row in (pixels[::-1] if upside_down else pixels)]
    body = b"".join(row + bytes(-len(row) % 4) for row in rows)
    signed = height if upside_down else -height
    header = struct.pack("<IiiHHIIiiII", 40, width, signed, 1, bits, 3 if masks else 0, len(body), 2835, 5670, 0, 0)
    header += b"".join(struct.pack("<I", mask) for mask in masks)
    return b"BM" + struct.pack("<IHHI", 14 + len(header) + len(body), 0, 0, 14 + len(header)) + header + body


@pytest.mark.parametrize(("widths", "masks"), [((5, 6, 5), (0xF800, 0x7E0, 0x1F)), ((5, 5, 5), ())])
@pytest.mark.parametrize("upside_down", [False, True])
def test_a_bmp_of_16_bits_a_pixel_uses_the_whole_range(tmp_path, widths, masks, upside_down):
    rng = np.random.default_rng(0)
    channels = [rng.integers(0, 1 << width, (7, 5)) for width in widths]
    stored = channels[0] << (widths[1] + widths[2]) | channels[1] << widths[2] | channels[2]
    pixels = read(tmp_path, bmp(stored, 16, masks=masks, upside_down=upside_down)).pixels
    expected = [255 * channel / ((1 << width) - 1) for channel, width in zip(channels, widths, strict=True)]
    assert np.abs(pixels - np.dstack(expected)).max() <= 1


@pytest.mark.parametrize("masks", [(), (0xFF0000, 0xFF00, 0xFF)])
def test_a_bmp_of_32_bits_without_a_mask_for_alpha_is_opaque(tmp_path, masks):
    values = np.random.default_rng(0).integers(0, 256, (7, 5, 3))
    stored = values[..., 0] << 16 | values[..., 1] << 8 | values[..., 2]
    assert np.array_equal(read(tmp_path, bmp(stored, 32, masks=masks)).pixels, values)


@pytest.mark.skipif(shutil.which("convert-im6") is None, reason="ImageMagick is not installed")
@pytest.mark.parametrize("options", [["bmp2:-"], ["-compress", "RLE", "bmp3:-"], ["bmp:-"]])
def test_old_and_packed_bmps_decode_as_they_were_written(tmp_path, photo, options):
    source = photo.quantize(20)
    command = ["convert-im6", "png:-", *options]
    data = subprocess.run(command, input=saved(source, "PNG"), capture_output=True, check=True).stdout
    assert np.array_equal(read(tmp_path, data).pixels, np.asarray(source.convert("RGB")))


@pytest.mark.parametrize("bits", [1, 2, 4, 8])
def test_a_transparent_grey_level_of_few_bits_becomes_alpha(tmp_path, bits):
    levels = np.arange(1 << bits).repeat(8)
    packed = np.packbits(np.unpackbits(levels.astype(np.uint8)[:, np.newaxis], axis=1)[:, -bits:].ravel())
    header = struct.pack(">IIBBBBB", len(levels), 1, bits, 0, 0, 0, 0)
    chunks = [(b"IHDR", header), (b"tRNS", b"\0\1"), (b"IDAT", zlib.compress(b"\0" + packed.tobytes())), (b"IEND", b"")]
    data = b"\x89PNG\r\n\x1a\n" + b"".join(png_chunk(*chunk) for chunk in chunks)
    assert np.array_equal(read(tmp_path, data).pixels[0, :, 3] == 0, levels == 1)


@pytest.mark.skipif(shutil.which("convert-im6") is None, reason="ImageMagick is not installed")
def test_a_tiff_of_12_bits_uses_the_whole_range(tmp_path, photo):
    def magick(data, *arguments):
        return subprocess.run(["convert-im6", *arguments], input=data, capture_output=True, check=True).stdout

    data = magick(saved(photo.convert("L"), "PNG"), "png:-", "-depth", "12", "tiff:-")
    expected = np.frombuffer(magick(data, "tiff:-", "-depth", "16", "gray:-"), np.uint16).reshape(40, 60)
    assert np.abs(read(tmp_path, data).pixels[..., 0] - expected.astype(int)).max() <= 1


def test_log_messages_of_pillow_are_not_printed(tmp_path, photo):
    data = saved(photo, "TIFF")
    samples = data.index(struct.pack("<HHI", 277, 3, 1)) + 8
    (tmp_path / "image").write_bytes(data[:samples] + b"\xff\0" + data[samples + 2 :])
    code = "import sys; from gmmquant import read_image\ntry: read_image(sys.argv[1])\nexcept Exception: pass"
    done = subprocess.run([sys.executable, "-c", code, tmp_path / "image"], capture_output=True, check=True)
    assert done.stderr == b""


def test_a_transparent_color_of_a_16_bit_png_becomes_alpha(tmp_path):
    values = np.random.default_rng(0).choice([1000, 2000, 3000], (6, 7, 3)).astype(np.uint16)
    values[0, 0] = key = (1000, 2000, 3000)
    pixels = read(tmp_path, png(values, bits=16, chunks=png_chunk(b"tRNS", struct.pack(">3H", *key)))).pixels
    assert np.array_equal(pixels[..., :3], values)
    assert np.array_equal(pixels[..., 3], np.where((values == key).all(axis=2), 0, 65535))


# --- orientation ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize(
    ("file_format", "options"),
    [("JPEG", {}), ("PNG", {}), ("WEBP", {"lossless": True}), ("TIFF", {}), ("AVIF", {"quality": 100})],
)
def test_exif_orientation_is_applied_as_pillow_applies_it(tmp_path, photo, file_format, options, orientation):
    exif = Image.Exif()
    exif[0x0112] = orientation
    data = saved(photo, file_format, exif=exif, **options)
    pixels, expected = read(tmp_path, data).pixels, pillow(data, "RGB")
    assert pixels.shape == expected.shape == ((40, 60, 3) if orientation < 5 else (60, 40, 3))
    assert np.abs(pixels.astype(int) - expected).max() <= (2 if file_format in ("JPEG", "AVIF") else 0)


def test_the_orientation_of_a_png_counts_even_after_its_pixels(tmp_path, photo):
    exif = Image.Exif()
    exif[0x0112] = 6
    data = saved(photo, "PNG")
    late = data[:-12] + png_chunk(b"eXIf", exif.tobytes().removeprefix(b"Exif\0\0")) + data[-12:]
    assert np.array_equal(read(tmp_path, late).pixels, pillow(saved(photo, "PNG", exif=exif), "RGB"))


@pytest.mark.parametrize("block", [b"", b"MM", b"MM\0*\xff\xff\xff\xff", b"II*\0\x08\0\0\0\x01\0\x12\x01\x02\0"])
def test_a_broken_exif_block_is_ignored_silently(tmp_path, photo, block):
    data = saved(photo, "JPEG", exif=b"Exif\0\0" + block)
    with warnings.catch_warnings(record=True) as warned:
        warnings.simplefilter("always")
        assert read(tmp_path, data).pixels.shape == (40, 60, 3)
    assert not warned


@pytest.mark.parametrize("orientation", range(1, 9))
def test_a_tiff_with_alpha_is_oriented_as_pillow_orients_it(tmp_path, photo, veil, orientation):
    exif = Image.Exif()
    exif[0x0112] = orientation
    data = saved(with_alpha(photo, veil), "TIFF", exif=exif)
    assert np.array_equal(read(tmp_path, data).pixels, pillow(data, "RGBA"))


@pytest.mark.parametrize("orientation", range(1, 9))
def test_a_16_bit_tiff_is_oriented_once(tmp_path, orientation):
    grey = np.random.default_rng(0).integers(0, 65536, (3, 5), dtype=np.uint16)
    exif = Image.Exif()
    exif[0x0112] = orientation
    pixels = read(tmp_path, saved(Image.fromarray(grey), "TIFF", exif=exif)).pixels
    assert np.array_equal(pixels[..., 0], orient(grey[..., np.newaxis], orientation)[..., 0])


@pytest.mark.parametrize("orientation", [0, 9])
@pytest.mark.parametrize("file_format", ["JPEG", "PNG", "WEBP", "TIFF"])
def test_a_file_with_an_unknown_orientation_is_not_rotated(tmp_path, photo, file_format, orientation):
    exif = Image.Exif()
    exif[0x0112] = orientation
    assert read(tmp_path, saved(photo, file_format, exif=exif)).pixels.shape == (40, 60, 3)


@pytest.mark.parametrize("orientation", [0, 9, 65535])
def test_an_unknown_orientation_does_not_change_the_image(orientation):
    image = np.arange(24).reshape(2, 4, 3)
    assert np.array_equal(orient(image, orientation), image)


# --- files that are refused -------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"hello",
        b"<html><body>not found</body></html>",
        b"%PDF-1.7\n%\xe2\xe3\xcf\xd3\n1 0 obj",
        b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 10 10\nshowpage\n",
        b'<svg xmlns="http://www.w3.org/2000/svg" width="10" height="10"/>',
        b"\x89PNG\r\n\x1a\n",
        b"\xff\xd8\xff",
        b"GIF89a",
        bytes(np.random.default_rng(0).integers(0, 256, 4096, dtype=np.uint8)),
    ],
)
def test_a_file_that_is_not_an_image_is_refused(tmp_path, data):
    with pytest.raises(ImageError, match=r"not a supported image|damaged or incomplete"):
        read(tmp_path, data, "image.png")


@pytest.mark.parametrize(
    ("file_format", "options"),
    [
        ("PNG", {}),
        ("JPEG", {}),
        ("JPEG", {"progressive": True}),
        ("WEBP", {}),
        ("WEBP", {"lossless": True}),
        ("BMP", {}),
        ("TIFF", {}),
        ("TIFF", {"compression": "tiff_lzw"}),
        ("GIF", {}),
        ("AVIF", {}),
        ("JPEG2000", {}),
        ("JPEG2000", {"no_jp2": True}),
        ("PPM", {}),
    ],
)
def test_an_image_cut_short_anywhere_is_refused(tmp_path, photo, file_format, options):
    data = saved(photo.quantize(20) if file_format == "GIF" else photo, file_format, **options)
    assert read(tmp_path, data).pixels.shape == (40, 60, 3)
    for length in [len(data) * i // 20 for i in range(1, 20)] + [len(data) - n for n in (1, 2, 4, 12)]:
        with pytest.raises(ImageError, match=r"damaged or incomplete|not a supported image"):
            read(tmp_path, data[:length])


def test_a_png_with_a_wrong_checksum_or_damaged_data_is_refused(tmp_path, photo):
    data = saved(photo, "PNG")
    start = data.index(b"IDAT") + 4
    for position in range(start, len(data) - 16, 97):
        damaged = bytearray(data)
        damaged[position] ^= 0x10
        with pytest.raises(ImageError, match="damaged or incomplete PNG image"):
            read(tmp_path, bytes(damaged))


@pytest.mark.parametrize("bits", [8, 16])
@pytest.mark.parametrize("level", [None, cv2.utils.logging.LOG_LEVEL_SILENT])
def test_a_damaged_tiff_is_refused_even_if_opencv_reports_nothing(tmp_path, photo, bits, level):
    pixels = np.asarray(photo) if bits == 8 else np.asarray(photo).astype(np.uint16) * 257
    options = [cv2.IMWRITE_TIFF_COMPRESSION, cv2.IMWRITE_TIFF_COMPRESSION_LZW]
    tiff = bytearray(cv2.imencode(".tiff", pixels, options)[1].tobytes())
    assert read(tmp_path, bytes(tiff)).pixels.shape == (40, 60, 3)
    middle = len(tiff) // 2
    tiff[middle : middle + 40] = bytes(40)
    previous = cv2.utils.logging.getLogLevel()
    try:
        if level is not None:
            cv2.utils.logging.setLogLevel(level)
        with pytest.raises(ImageError, match="damaged or incomplete TIFF image"):
            read(tmp_path, bytes(tiff))
        assert cv2.utils.logging.getLogLevel() == (previous if level is None else level)
    finally:
        cv2.utils.logging.setLogLevel(previous)


def test_a_jpeg_whose_pixels_are_cut_short_is_refused_even_with_an_end_marker(tmp_path, photo):
    data = saved(photo, "JPEG", quality=95)
    for length in (len(data) - 1000, len(data) - 300):
        with pytest.raises(ImageError, match="damaged or incomplete JPEG image"):
            read(tmp_path, data[:length] + data[-2:])


def test_a_jpeg_with_surplus_bytes_is_read_with_a_note(tmp_path, photo):
    data = saved(photo, "JPEG")
    image = read(tmp_path, data[:-2] + bytes(40) + data[-2:])
    assert image.notes == ("the decoder found errors in the file; parts of the image may be wrong",)
    assert np.abs(image.pixels.astype(int) - pillow(data, "RGB")).max() <= 2


@pytest.mark.parametrize("options", [{}, {"progressive": True}, {"subsampling": 0, "restart_marker_rows": 1}])
def test_a_jpeg_cut_short_is_refused_even_if_the_decoder_reports_another_fault(tmp_path, photo, options):
    data = saved(photo, "JPEG", quality=90, **options)
    frame = data.index(b"\xff\xc2" if "progressive" in options else b"\xff\xc0")
    odd = data[:frame] + bytes(5) + data[frame:]
    image = read(tmp_path, odd)
    assert image.notes == ("the decoder found errors in the file; parts of the image may be wrong",)
    assert np.array_equal(image.pixels, read(tmp_path, data).pixels)
    start = odd.index(b"\xff\xda")
    for length in [start + (len(odd) - start) * i // 10 for i in range(3, 10)]:
        for end in (b"\xff\xd9", b""):
            with pytest.raises(ImageError, match="damaged or incomplete JPEG image"):
                read(tmp_path, odd[:length].rstrip(b"\xff") + end)


def test_lines_of_other_code_on_standard_error_are_passed_on_and_not_taken_for_damage(capfd):
    others = b"[ERROR] a program's own\n[ERROR:0@1.500] global cap.cpp:3 open a camera\n  > and more\nlibpng\nlast"
    decoders = b"libpng error: bad\n[ERROR:0@1.500] global grfmt_tiff.cpp:117 TIFF_Error no\n> expected: a\n\n"
    with captured_stderr() as lines:
        os.write(2, decoders + others)
    assert b"".join(lines) == decoders
    assert capfd.readouterr().err.encode() == others


def test_an_image_is_read_while_others_write_to_standard_error(tmp_path, photo, capfd, monkeypatch):
    decoder = cv2.imdecodeWithMetadata

    def disturbed(*arguments, **options):
        os.write(2, b"[ERROR] of something else\n")
        return decoder(*arguments, **options)

    monkeypatch.setattr(cv2, "imdecodeWithMetadata", disturbed)
    assert read(tmp_path, saved(photo, "PNG")).pixels.shape == (40, 60, 3)
    assert capfd.readouterr().err == "[ERROR] of something else\n"


@pytest.mark.parametrize("closed", [(2,), (0, 1, 2)])
def test_damage_is_found_even_where_standard_error_is_closed(tmp_path, photo, closed):
    data = saved(photo, "JPEG", quality=95)
    (tmp_path / "good").write_bytes(data)
    (tmp_path / "bad").write_bytes(data[: len(data) // 2] + b"\xff\xd9")
    code = (
        "import os, sys; from gmmquant import read_image; from gmmquant.errors import ImageError\n"
        f"for stream in {closed}: os.close(stream)\n"
        "read_image(sys.argv[1])\n"
        "try: read_image(sys.argv[2])\n"
        "except ImageError: code = 3\n"
        "else: code = 4\n"
        "try: os.fstat(2)\n"
        "except OSError: os._exit(code)\n"
        "os._exit(5)"
    )
    command = [sys.executable, "-c", code, tmp_path / "good", tmp_path / "bad"]
    assert subprocess.run(command).returncode == 3


def test_no_descriptor_stays_open_when_no_pipe_can_be_opened(monkeypatch):
    def refuse():
        raise OSError(errno.EMFILE, "Too many open files")

    before = os.listdir("/dev/fd")
    with monkeypatch.context() as context:
        context.setattr(os, "pipe", refuse)
        with pytest.raises(OSError, match="Too many open files"), captured_stderr():
            pass
    assert set(os.listdir("/dev/fd")) <= set(before)  # what other tests dropped may go meanwhile


def test_standard_error_is_back_even_if_no_descriptor_can_be_closed_without_an_error(monkeypatch, capfd):
    close = os.close

    def close_and_fail(descriptor):
        close(descriptor)
        raise OSError(errno.EIO, "Input/output error")

    with monkeypatch.context() as context:
        context.setattr(os, "close", close_and_fail)
        with captured_stderr() as lines:
            os.write(2, b"libpng error: bad\n")
    os.write(2, b"still there")
    assert lines == [b"libpng error: bad\n"]
    assert capfd.readouterr().err == "still there"


def test_decoders_do_not_write_to_standard_error(tmp_path, photo, capfd):
    with pytest.raises(ImageError):
        read(tmp_path, saved(photo, "PNG")[:-100])
    with pytest.raises(ImageError):
        read(tmp_path, saved(photo, "TIFF")[:-100])
    os.write(2, b"still there")
    assert capfd.readouterr().err == "still there"


def test_signed_pixels_are_refused(tmp_path):
    data = saved(Image.fromarray(np.ones((8, 8), dtype=np.int32)), "TIFF")
    with pytest.raises(ImageError, match=r"pixels of type int32 are not supported; convert"):
        read(tmp_path, data)


def bomb(width, height):
    """A PNG of a few bytes that declares width x height pixels."""
    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    pixels = zlib.compress(bytes(1000))
    return b"\x89PNG\r\n\x1a\n" + png_chunk(b"IHDR", header) + png_chunk(b"IDAT", pixels) + png_chunk(b"IEND", b"")


def test_an_image_above_the_limit_is_refused_by_its_header(tmp_path, photo):
    with pytest.raises(ImageError, match="20000 x 20000 pixels is above the limit 200000000"):
        read(tmp_path, bomb(20_000, 20_000))
    path = tmp_path / "small.png"
    path.write_bytes(saved(photo, "PNG"))
    with pytest.raises(ImageError, match="60 x 40 pixels is above the limit 2399; raise max_pixels"):
        read_image(path, max_pixels=2399)
    assert read_image(path, max_pixels=2400).pixels.shape == (40, 60, 3)
    assert Image.MAX_IMAGE_PIXELS is not None


def test_a_side_longer_than_opencv_decodes_is_refused(tmp_path):
    with pytest.raises(ImageError, match="1100000 x 1 pixels has a side above the limit 1048576"):
        read(tmp_path, bomb(1_100_000, 1))


def test_only_regular_files_are_opened(tmp_path):
    os.mkfifo(tmp_path / "pipe")
    with socket.socket(socket.AF_UNIX) as server:
        server.bind(str(tmp_path / "socket"))
        for path in (tmp_path / "pipe", "/dev/null", "/dev/zero", tmp_path):
            with pytest.raises(ImageError, match="not a regular file"):
                read_image(path)
        with pytest.raises(OSError, match="No such device or address"):
            read_image(tmp_path / "socket")
    with pytest.raises(FileNotFoundError):
        read_image(tmp_path / "missing")
    (tmp_path / "loop").symlink_to("loop")
    with pytest.raises(OSError, match="symbolic links"):
        read_image(tmp_path / "loop")


def test_a_file_of_more_bytes_than_the_limit_on_pixels_can_need_is_refused_unread(tmp_path, photo):
    path = tmp_path / "large.png"
    path.write_bytes(saved(photo, "PNG"))
    os.truncate(path, 67_108_864 + 16 * 2400)
    assert read_image(path, max_pixels=2400).pixels.shape == (40, 60, 3)
    with pytest.raises(ImageError, match="a file of 67147264 bytes is above the limit 67147248; raise max_pixels"):
        read_image(path, max_pixels=2399)


def test_a_disk_error_while_the_header_is_read_passes_through(photo):
    class Failing(io.BytesIO):
        def read(self, size=-1):
            if size < 0 or self.tell() + size > 32:
                raise OSError(errno.EIO, "Input/output error")
            return super().read(size)

    for file_format in ("JPEG", "TIFF", "WEBP", "AVIF", "JPEG2000"):
        with pytest.raises(OSError, match="Input/output error"):
            read_header(Failing(saved(photo, file_format)))


def test_a_png_whose_chunk_claims_gigabytes_is_refused_before_it_is_decoded(tmp_path, photo, monkeypatch):
    data = bytearray(saved(photo, "PNG"))
    start = data.index(b"IDAT") - 4
    data[start : start + 4] = b"\x7f\xff\xff\xff"
    monkeypatch.setattr(png_format, "decode_with_opencv", lambda data, name: pytest.fail("decoded"))
    with pytest.raises(ImageError, match="damaged or incomplete PNG image"):
        read(tmp_path, bytes(data))


def test_a_jp2_whose_box_claims_gigabytes_is_refused_in_little_memory(tmp_path, photo):
    data = bytearray(saved(photo, "JPEG2000"))
    start = data.index(b"jp2h") - 4
    data[start : start + 4] = b"\x7f\xff\xff\xff"
    (tmp_path / "image").write_bytes(data)
    code = (
        "import resource, sys; from gmmquant import read_image; from gmmquant.errors import ImageError\n"
        "resource.setrlimit(resource.RLIMIT_AS, (2_000_000_000,) * 2)\n"
        "try: read_image(sys.argv[1])\n"
        "except ImageError: sys.exit(3)"
    )
    assert subprocess.run([sys.executable, "-c", code, tmp_path / "image"]).returncode == 3


# --- boxes, and levels of few bits ------------------------------------------------------------------------------------


def test_boxes_have_lengths_of_32_or_64_bits_or_extend_to_the_end():
    wide = struct.pack(">I4sQ", 1, b"wide", 19) + b"abc"
    assert list(iterate_boxes(struct.pack(">I4s", 10, b"some") + b"xy" + wide)) == [(b"some", 8, 10), (b"wide", 26, 29)]
    assert list(iterate_boxes(wide + struct.pack(">I4s", 0, b"rest") + b"to the end")) == [
        (b"wide", 16, 19),
        (b"rest", 27, 37),
    ]


@pytest.mark.parametrize(
    "data",
    [
        struct.pack(">I4s", 2, b"tiny"),
        struct.pack(">I4sQ", 1, b"wide", 15),
        struct.pack(">I4sQ", 1, b"wide", 1 << 63),
        struct.pack(">I4s", 99, b"long"),
    ],
)
def test_a_box_with_an_invalid_length_ends_the_iteration(data):
    assert list(iterate_boxes(data + bytes(16))) == []


def test_a_transparent_grey_level_is_cut_to_the_bits_of_the_image():
    for bits, expected in ((2, 255), (8, 255), (16, 65535)):
        found = {b"IHDR": [struct.pack(">IIBBBBB", 1, 1, bits, 0, 0, 0, 0)], b"tRNS": [b"\xff\xff"]}
        assert transparent_grey(found) == expected
