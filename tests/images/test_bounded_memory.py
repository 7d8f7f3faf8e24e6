"""Memory before the size of an image is known, and after a small size is known, whatever follows in the file."""

import io
import os
import re
import struct
import subprocess
import sys
import zlib

import cv2
import numpy as np
import pytest
from image_files import png_chunk, read, saved
from image_kinds import file_of, icns, ico, psd
from PIL import Image

from gmmquant.errors import ImageError, PaletteFileError
from gmmquant.images.decoding import png_chunks
from gmmquant.images.decoding.av1 import largest_sequence
from gmmquant.images.decoding.media_boxes import frames, images, stated_size
from gmmquant.images.decoding.reader import MAX_FRAMES
from gmmquant.images.decoding.registry import INPUT_FORMATS, read_header
from gmmquant.images.files import read_image
from gmmquant.images.palette_image import load_palette

LIMIT_MEGABYTES = 300

MEASURE = """
import sys
from gmmquant import read_image
from gmmquant.errors import ImageError
try:
    print(read_image(sys.argv[1]).pixels.shape)
except ImageError as error:
    print(error)
print(next(line.split()[1] for line in open("/proc/self/status") if line.startswith("VmHWM:")))
"""


def read_and_measure(path):
    """Read an image in a process of its own; return its shape or the error, and the peak memory in megabytes."""
    done = subprocess.run([sys.executable, "-c", MEASURE, path], capture_output=True, text=True, check=True)
    assert done.stderr == ""
    outcome, peak = done.stdout.splitlines()
    return outcome, int(peak) / 1024


def replaced(data, old, new):
    """Replace bytes that occur once."""
    assert data.count(old) == 1
    return data.replace(old, new)


def jpeg_of(width, height):
    data = bytearray(saved(Image.new("RGB", (8, 8)), "JPEG"))
    start = data.index(b"\xff\xc0") + 5
    data[start : start + 4] = struct.pack(">HH", height, width)
    return bytes(data)


def webp_of(width, height):
    sides = b"".join(side.to_bytes(3, "little") for side in (width - 1, height - 1))
    chunk = b"VP8X" + struct.pack("<I", 10) + bytes([2, 0, 0, 0]) + sides + b"ANIM\6\0\0\0" + bytes(6)
    frame = saved(Image.new("RGB", (8, 8)), "WEBP", lossless=True)[12:]
    frame = bytes(6) + b"\7\0\0\7\0\0" + bytes(4) + frame
    chunk += 2 * (b"ANMF" + struct.pack("<I", len(frame)) + frame)
    return b"RIFF" + struct.pack("<I", len(chunk) + 4) + b"WEBP" + chunk


def avif_of(width, height):
    """An AVIF of 40 x 60 whose boxes state another size."""
    return replaced(
        saved(Image.new("RGB", (40, 60)), "AVIF"), struct.pack(">II", 40, 60), struct.pack(">II", width, height)
    )


def tiff_of(width, height, *, tile=None, more=()):
    tags = [(256, 4, width), (257, 4, height), (258, 3, 8), (259, 3, 1), (262, 3, 1), (277, 3, 1)]
    tags += [(273, 4, 8), (278, 4, height), (279, 4, 64)] if tile is None else []
    tags += [(322, 4, tile), (323, 4, tile), (324, 4, 8), (325, 4, 64)] if tile else []
    entries = [struct.pack("<HHII", number, kind, 1, value) for number, kind, value in tags] + list(more)
    return b"II*\0" + struct.pack("<I", 72) + bytes(64) + struct.pack("<H", len(entries)) + b"".join(entries) + bytes(4)


def gif_of(width, height):
    """A GIF of 43 bytes whose screen has one pixel and whose frame is cleared after it was shown."""
    return (
        b"GIF89a\1\0\1\0\x80\0\0" + bytes(6) + b"\x21\xf9\4\x08" + bytes(4)
        + b"," + struct.pack("<HHHHB", 0, 0, width, height, 0) + b"\2\2\x44\1\0;"
    )  # fmt: skip


def jp2_of(width, height, *, tile=None, channels=3):
    tile = tile or max(width, height)
    siz = struct.pack(">HIIIIIIIIH", 0, width, height, 0, 0, tile, tile, 0, 0, channels) + b"\7\1\1" * channels
    cod, qcd = bytes((0, 0, 0, 1, 0, 5, 4, 4, 0, 1)), bytes([0x40]) + bytes([72] * 16)
    head = b"".join(
        marker + struct.pack(">H", len(body) + 2) + body
        for marker, body in ((b"\xff\x51", siz), (b"\xff\x52", cod), (b"\xff\x5c", qcd))
    )
    n_tiles = min(-(-width // tile) * -(-height // tile), 65535)
    parts = (b"\xff\x90" + struct.pack(">HHIBB", 10, n, 15, 0, 1) + b"\xff\x93\x80" for n in range(n_tiles))
    return b"\xff\x4f" + head + b"".join(parts) + b"\xff\xd9"


def png_of(width, height):
    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + png_chunk(b"IHDR", header) + png_chunk(b"IDAT", b"") + png_chunk(b"IEND", b"")


def bmp_of(width, height):
    data = bytearray(saved(Image.new("RGB", (8, 8)), "BMP"))
    data[18:26] = struct.pack("<II", width, height)
    return bytes(data)


def jxl_of(width, height):
    """A header of JPEG XL: each side as its kind, 18 bits of its value less one, and no ratio; everything default."""
    number = 2 << 1 | (height - 1) << 3 | 2 << 24 | (width - 1) << 26 | 1 << 44
    return b"\xff\x0a" + number.to_bytes(40, "little")


def of_a_size(name, position, layout, *sides):
    """A file of 8 x 8 pixels that states other sides, behind the property of its size if it has one."""
    data = bytearray(file_of(name, Image.new("RGB", (8, 8), "teal")))
    if position is None:
        position = data.index(b"ispe") + 8
    data[position : position + struct.calcsize(layout)] = struct.pack(layout, *sides)
    return bytes(data) + (b"TRUEVISION-XFILE.\0" if name == "TGA" else b"")


# For every input format: a small file that states a size.
FILES_OF_A_SIZE = {
    "PNG": png_of,
    "JPEG": jpeg_of,
    "WebP": webp_of,
    "AVIF": avif_of,
    "TIFF": tiff_of,
    "BMP": bmp_of,
    "GIF": gif_of,
    "JPEG 2000": jp2_of,
    "PNM": lambda width, height: f"P6 {width} {height} 255 ".encode(),
    "HEIF": lambda width, height: of_a_size("HEIF", None, ">II", width, height),
    "JPEG XL": jxl_of,
    "PFM": lambda width, height: f"Pf\n{width} {height}\n-1\n".encode(),
    "ICO": lambda width, height: ico([(16, 16, 24, png_of(width, height))]),
    "ICNS": lambda width, height: icns([(b"ic07", png_of(width, height))]),
    "PSD": lambda width, height: of_a_size("PSD", 14, ">II", height, width),
    "QOI": lambda width, height: of_a_size("QOI", 4, ">II", width, height),
    "DDS": lambda width, height: of_a_size("DDS", 12, "<II", height, width),
    "SGI": lambda width, height: of_a_size("SGI", 6, ">HH", width, height),
    "PCX": lambda width, height: of_a_size("PCX", 8, "<HH", width - 1, height - 1),
    "TGA": lambda width, height: of_a_size("TGA", 12, "<HH", width, height),
}

# Files of every input format.
SMALL_FILES = {name: file_of(name, Image.new("RGB", (6, 4), "teal")) for name in INPUT_FORMATS}

# Formats whose pixels are not compressed, or in which zeros are valid pixels of any code.
ZEROS_ARE_PIXELS = ("BMP", "PNM", "TIFF", "PFM", "PSD", "DDS", "SGI", "PCX", "TGA")


@pytest.mark.parametrize("name", INPUT_FORMATS)
def test_a_small_file_that_states_a_huge_image_is_refused_in_little_memory(tmp_path, name):
    width, height = (40_000, 60_000) if name == "JPEG" else (65_535, 65_535)
    (tmp_path / "bomb").write_bytes(FILES_OF_A_SIZE[name](width, height))
    outcome, peak = read_and_measure(tmp_path / "bomb")
    assert f"{width} x {height} pixels is above the limit 200000000" in outcome
    assert peak < LIMIT_MEGABYTES


@pytest.mark.parametrize("name", INPUT_FORMATS)
def test_a_gigabyte_behind_an_image_takes_no_memory(tmp_path, name):
    path = tmp_path / "long"
    path.write_bytes(SMALL_FILES[name])
    os.truncate(path, 1 << 30)
    outcome, peak = read_and_measure(path)
    assert outcome == "(4, 6, 3)"
    assert peak < LIMIT_MEGABYTES


@pytest.mark.parametrize("name", INPUT_FORMATS)
def test_an_image_whose_end_is_a_gigabyte_of_zeros_is_refused_in_little_memory(tmp_path, name, photo):
    path = tmp_path / "endless"
    data = file_of(name, photo)
    path.write_bytes(data[:33] + struct.pack(">I4s", 1 << 29, b"junk") if name == "PNG" else data[: len(data) // 2])
    os.truncate(path, 1 << 30)
    outcome, peak = read_and_measure(path)
    if name in ZEROS_ARE_PIXELS:
        assert outcome == "(40, 60, 3)"
    else:
        assert re.search("damaged or incomplete|does not end within|not a supported", outcome)
    assert peak < LIMIT_MEGABYTES


@pytest.mark.parametrize(
    "data",
    [
        pytest.param(jp2_of(255, 257, tile=1), id="JPEG 2000 with a tile for each pixel"),
        pytest.param(tiff_of(1, 1, tile=1 << 15), id="TIFF with a tile of a gigapixel"),
        pytest.param(
            tiff_of(1, 1, more=[struct.pack("<HHII", n, 7, 1 << 17, 8) for n in range(40_000, 44_000)])
            + bytes(1 << 18),
            id="TIFF with thousands of tags that share their values",
        ),
    ],
)
def test_a_small_image_whose_parts_would_take_much_memory_is_refused_or_takes_little(tmp_path, data):
    (tmp_path / "bomb").write_bytes(data)
    outcome, peak = read_and_measure(tmp_path / "bomb")
    assert "damaged or incomplete" in outcome or outcome == "(1, 1, 3)"
    assert peak < LIMIT_MEGABYTES


def test_an_avif_whose_data_are_larger_than_its_boxes_state_is_refused(tmp_path):
    data = saved(Image.new("RGB", (1500, 1100)), "AVIF", speed=10)
    assert read(tmp_path, data).pixels.shape == (1100, 1500, 3)
    with pytest.raises(ImageError, match="damaged or incomplete AVIF image"):
        read(tmp_path, replaced(data, struct.pack(">II", 1500, 1100), struct.pack(">II", 1, 1)))


@pytest.mark.parametrize("options", [{}, {"save_all": True, "append_images": [Image.new("RGB", (301, 77))]}])
def test_the_sizes_in_the_boxes_and_in_the_data_of_an_avif_agree(options):
    data = saved(Image.new("RGB", (301, 77), "red"), "AVIF", exif=b"II*\0\x08\0\0\0\0\0\0\0\0\0", **options)
    n_frames = 2 if options else 1
    assert stated_size(io.BytesIO(data)) == (301, 77, n_frames)
    parts = [part for item in images(data) for part in item] + list(frames(data))
    assert len(list(frames(data))) == (n_frames if options else 0)
    assert {largest_sequence(data[start:end]) for start, end in parts} == {(301, 77), (0, 0)}
    assert max(end for _, end in parts) == len(data)


def test_no_palette_is_read_from_a_gif_whose_frame_is_far_larger_than_its_screen(tmp_path, monkeypatch):
    (tmp_path / "palette.gif").write_bytes(gif_of(65_535, 65_535))
    monkeypatch.setattr(Image, "open", lambda *_, **__: pytest.fail("opened by Pillow"))
    with pytest.raises(PaletteFileError, match="65535 x 65535 pixels is above the limit"):
        load_palette(tmp_path / "palette.gif")


@pytest.mark.parametrize("option", ["--palette", "--transfer-from"])
def test_a_gif_for_colors_whose_frame_is_far_larger_than_its_screen_is_refused(tmp_path, option, command, photo):
    photo.save(tmp_path / "image.png")
    (tmp_path / "colors.gif").write_bytes(gif_of(65_535, 65_535))
    done = command("image.png", option, "colors.gif")
    assert done.returncode == 2
    assert "65535 x 65535 pixels is above the limit" in done.stderr


def test_a_gif_is_as_large_as_its_screen_and_all_of_its_frames():
    data = gif_of(3, 2)
    frame = data[data.index(b"\x21\xf9") : -1]
    two = data[:-1] + replaced(frame, struct.pack("<HHHH", 0, 0, 3, 2), struct.pack("<HHHH", 5, 9, 3, 2)) + b";behind"
    header = read_header(io.BytesIO(two))
    assert (header.size, header.n_frames, header.n_bytes) == ((8, 11), 2, len(two) - 6)
    many = data[:-1] + frame * (MAX_FRAMES + 5) + b";"
    assert read_header(io.BytesIO(many)).n_frames == MAX_FRAMES + 1


@pytest.mark.parametrize("n_frames", [2, 7])
def test_the_frames_of_an_animated_png_are_known_from_its_header(n_frames):
    shown = [Image.new("RGB", (6, 4), (n * 30, 0, 0)) for n in range(n_frames)]
    data = saved(shown[0], "PNG", save_all=True, append_images=shown[1:])
    assert read_header(io.BytesIO(data)).n_frames == n_frames
    assert read_header(io.BytesIO(saved(shown[0], "PNG"))).n_frames == 1


def test_a_webp_header_has_what_pillow_finds(photo, veil):
    shown = {"save_all": True, "append_images": [photo.rotate(9), photo.rotate(20)], "loop": 3}
    texts = {"exif": b"II*\0\x08\0\0\0\0\0\0\0\0\0", "xmp": b"<x/>", "icc_profile": bytes(128)}
    transparent = photo.convert("RGBA")
    transparent.putalpha(veil)
    for image in (photo, transparent):
        for options in ({}, {"lossless": True}, texts, shown, shown | texts):
            data = saved(image, "WEBP", **options)
            header = read_header(io.BytesIO(data))
            with Image.open(io.BytesIO(data)) as expected:
                assert header.size == expected.size
                assert header.mode == expected.mode
                assert header.n_frames == expected.n_frames
                assert header.n_bytes == len(data)
                for key in ("exif", "xmp", "icc_profile"):
                    assert header.info.get(key) == expected.info.get(key)
                assert header.n_frames == 1 or header.info["loop"] == expected.info["loop"]


def test_a_tiff_is_read_up_to_the_end_of_its_first_page(photo):
    data = saved(photo, "TIFF", compression="tiff_lzw", save_all=True, append_images=[photo.rotate(90)])
    header = read_header(io.BytesIO(data))
    assert header.n_bytes < len(data) * 0.7
    assert np.array_equal(read_image(io.BytesIO(data)).pixels, np.asarray(photo))


EMPTY_BOX = struct.pack(">I4s", 8, b"free")


@pytest.mark.parametrize(
    ("name", "filler", "position"),
    [
        ("PNG", png_chunk(b"abCd", b""), 33),
        ("GIF", b"\x21\x01\0", -1),
        ("JPEG", b"\xff\xfe\0\2", 2),
        ("JPEG", b"\xff\xfe\0\2", -2),
        ("JPEG 2000", EMPTY_BOX, SMALL_FILES["JPEG 2000"].index(b"jp2h") - 4),
    ],
)
def test_an_image_of_a_million_empty_parts_is_refused(name, filler, position):
    data = SMALL_FILES[name]
    few, many = (data[:position] + filler * number + data[position:] for number in (5, 1_100_000))
    assert read_image(io.BytesIO(few)).pixels.shape == (4, 6, 3)
    with pytest.raises(ImageError, match="damaged or incomplete"):
        read_image(io.BytesIO(many))


@pytest.mark.parametrize("name", ["", "a", "ab"])
def test_a_psd_has_as_many_resources_as_there_are_identifiers(name):
    pixels = np.full((4, 6, 3), 40, dtype=np.uint8)
    resource = b"8BIM\x03\xe8" + (bytes([len(name)]) + name.encode()).ljust(2 + 2 * (len(name) // 2), b"\0")
    resource += struct.pack(">I", 3) + b"abc\0"
    np.testing.assert_array_equal(read_image(io.BytesIO(psd(pixels, resources=resource * 65_536))).pixels, pixels)
    with pytest.raises(ImageError, match="more than 65536 image resources"):
        read_image(io.BytesIO(psd(pixels, resources=resource * 65_537)))


def test_a_jpeg_with_more_than_32_megabytes_before_its_pixels_is_refused():
    data = SMALL_FILES["JPEG"]
    exif = b"\xff\xe1" + struct.pack(">H", 60_008) + b"Exif\0\0" + bytes(60_000)
    assert read_image(io.BytesIO(data[:2] + exif * 3 + data[2:])).pixels.shape == (4, 6, 3)
    with pytest.raises(ImageError, match=r"bytes before the pixels are above the limit 33554432; save it again"):
        read_image(io.BytesIO(data[:2] + exif * 560 + data[2:]))


def test_a_png_is_decoded_without_more_than_32_compressed_texts():
    data = SMALL_FILES["PNG"]
    text = png_chunk(b"zTXt", b"a\0\0" + zlib.compress(bytes(1 << 12)))
    several = [data[:33] + text * number + data[33:] for number in (32, 33, 5000)]
    assert png_chunks.with_few_texts(several[0]) is several[0]
    for many in several[1:]:
        few = png_chunks.with_few_texts(many)
        assert few == several[0]
        np.testing.assert_array_equal(read_image(io.BytesIO(many)).pixels, read_image(io.BytesIO(data)).pixels)
    wrong = bytearray(several[2])
    wrong[-20] ^= 1  # in the pixels or their checksum
    with pytest.raises(ImageError, match="damaged or incomplete"):
        read_image(io.BytesIO(bytes(wrong)))


RUN_AND_MEASURE = """
import sys
from gmmquant.cli.app import run
code = run(sys.argv[1:])
print(code, next(line.split()[1] for line in open("/proc/self/status") if line.startswith("VmHWM:")))
"""


def test_a_large_image_of_one_color_takes_8_bytes_a_pixel(tmp_path):
    side = 6000
    cv2.imwrite(str(tmp_path / "large.png"), np.full((side, side, 3), 90, np.uint8))
    command = [sys.executable, "-c", RUN_AND_MEASURE, "large.png", "-k", "16", "-q"]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=True)
    code, peak = done.stdout.split()
    assert (code, done.stderr) == ("0", "")
    assert int(peak) * 1024 < 8 * side * side + 150_000_000
