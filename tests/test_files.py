"""Decoding and encoding of picture files, against Pillow as the second decoder."""

import io
import os
import socket
import struct
import warnings
import zlib
from concurrent.futures import ThreadPoolExecutor

import cv2
import numpy as np
import pytest
from PIL import Image, ImageOps

from gmmquant.errors import PictureError
from gmmquant.images import files
from gmmquant.images.files import encode_png, is_own_output, orient, read_picture


@pytest.fixture(scope="module")
def photo(samples):
    """A part of the cat, 40 x 60, RGB."""
    with Image.open(samples / "cat.jpg") as image:
        return image.crop((120, 60, 180, 100)).copy()


@pytest.fixture(scope="module")
def veil():
    """An alpha channel, 40 x 60, with fully transparent and fully opaque parts."""
    return Image.fromarray(np.tile(np.clip(np.arange(60) * 6 - 30, 0, 255), (40, 1)).astype(np.uint8))


def saved(image, kind, **options):
    buffer = io.BytesIO()
    image.save(buffer, kind, **options)
    return buffer.getvalue()


def read(tmp_path, data, name="picture"):
    path = tmp_path / name
    path.write_bytes(data)
    return read_picture(path)


def pillow(data, mode):
    with Image.open(io.BytesIO(data)) as image:
        return np.asarray(ImageOps.exif_transpose(image).convert(mode))


def png_chunk(kind, data):
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


def with_alpha(photo, veil):
    image = photo.convert("RGBA")
    image.putalpha(veil)
    return image


# --- every kind of file -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("kind", "options"),
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
def test_color_and_grey_files_decode_as_pillow_decodes_them(tmp_path, photo, kind, options, mode):
    data = saved(photo.convert(mode), kind, **options)
    picture = read(tmp_path, data)
    assert picture.pixels.shape == (40, 60, 3)
    assert picture.pixels.dtype == np.uint8
    assert picture.notes == ()
    # The two carry their own JPEG and WebP decoders, which may round the last bit in their own ways.
    tolerance = 2 if kind in ("JPEG", "WEBP") and not options.get("lossless") else 0
    assert np.abs(picture.pixels.astype(int) - pillow(data, "RGB")).max() <= tolerance


@pytest.mark.parametrize("kind", ["PNG", "GIF", "BMP", "TIFF"])
def test_palette_files_decode_as_pillow_decodes_them(tmp_path, photo, kind):
    data = saved(photo.quantize(20), kind)
    assert np.array_equal(read(tmp_path, data).pixels, pillow(data, "RGB"))


@pytest.mark.parametrize("kind", ["PNG", "TIFF", "BMP"])
def test_bilevel_files_decode_as_pillow_decodes_them(tmp_path, photo, kind):
    data = saved(photo.convert("1"), kind)
    assert np.array_equal(read(tmp_path, data).pixels, pillow(data, "RGB"))


@pytest.mark.parametrize(
    ("kind", "mode", "options"),
    [
        ("PNG", "RGBA", {}),
        ("PNG", "LA", {}),
        ("WEBP", "RGBA", {"lossless": True, "exact": True}),
        ("TIFF", "RGBA", {}),
        ("TIFF", "LA", {}),
        ("TIFF", "RGBA", {"compression": "tiff_lzw"}),
    ],
)
def test_alpha_is_kept_as_it_is_and_not_multiplied_in(tmp_path, photo, veil, kind, mode, options):
    data = saved(with_alpha(photo, veil).convert(mode), kind, **options)
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
    picture = read(tmp_path, data)
    assert (picture.pixels[..., 3] < 255).any()
    assert np.array_equal(picture.pixels, pillow(data, "RGBA"))


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
    for kind in ("PNG", "TIFF"):
        pixels = read(tmp_path, saved(Image.fromarray(grey), kind)).pixels
        assert np.array_equal(pixels[..., 1], grey)


@pytest.mark.parametrize("kind", ["PNG", "GIF", "WEBP", "TIFF"])
def test_of_several_frames_the_first_is_read_and_that_is_said(tmp_path, photo, kind):
    first = photo.quantize(20) if kind == "GIF" else photo
    second = photo.transpose(Image.Transpose.FLIP_LEFT_RIGHT)
    options = {"lossless": True} if kind == "WEBP" else {}
    data = saved(first, kind, save_all=True, append_images=[second], **options)
    picture = read(tmp_path, data)
    assert np.array_equal(picture.pixels[..., :3], pillow(data, "RGB"))
    assert picture.notes == ("has several frames or pages; only the first is used",)


def tiff(pixels, *, planar=1, extra=None, byte_order="<"):
    """Write an uncompressed 16-bit TIFF by hand, (h, w, channels), with the tags that no writer here offers."""
    height, width, channels = pixels.shape
    stored = pixels.astype(f"{byte_order}u2")
    data = (stored if planar == 1 else stored.transpose(2, 0, 1)).tobytes()
    size = len(data) // (1 if planar == 1 else channels)
    strips = [8 + i * size for i in range(1 if planar == 1 else channels)]
    end = 8 + len(data)
    values = [(256, width), (257, height), (258, [16] * channels), (259, 1), (262, 2), (273, strips), (277, channels)]
    values += [(278, height), (279, [size] * len(strips)), (284, planar)] + ([(338, extra)] if extra else [])
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


@pytest.mark.parametrize("byte_order", ["<", ">"])
def test_a_16_bit_tiff_by_hand_keeps_its_values_in_either_byte_order(tmp_path, byte_order):
    values = np.random.default_rng(0).integers(0, 65536, (7, 5, 3), dtype=np.uint16)
    assert np.array_equal(read(tmp_path, tiff(values, byte_order=byte_order)).pixels, values)


def test_alpha_that_is_multiplied_into_a_16_bit_tiff_is_taken_out_again(tmp_path):
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


def test_a_16_bit_tiff_in_planes_is_refused(tmp_path):
    values = np.zeros((7, 5, 3), dtype=np.uint16)
    with pytest.raises(PictureError, match="16-bit TIFF in separate planes is not supported; save it interleaved"):
        read(tmp_path, tiff(values, planar=2))


@pytest.mark.parametrize("bits", [1, 2, 4])
def test_grey_png_files_of_few_bits_decode_as_pillow_decodes_them(tmp_path, bits):
    levels = np.arange(1 << bits).repeat(9)
    packed = np.packbits(np.unpackbits(levels.astype(np.uint8)[:, np.newaxis], axis=1)[:, -bits:].ravel())
    header = struct.pack(">IIBBBBB", len(levels), 1, bits, 0, 0, 0, 0)
    chunks = [(b"IHDR", header), (b"IDAT", zlib.compress(b"\0" + packed.tobytes())), (b"IEND", b"")]
    data = b"\x89PNG\r\n\x1a\n" + b"".join(png_chunk(*chunk) for chunk in chunks)
    assert np.array_equal(read(tmp_path, data).pixels, pillow(data, "RGB"))


def test_cmyk_is_converted_as_pillow_converts_it(tmp_path, photo):
    for kind in ("JPEG", "TIFF"):
        data = saved(photo.convert("CMYK"), kind)
        assert np.abs(read(tmp_path, data).pixels.astype(int) - pillow(data, "RGB")).max() <= 2


@pytest.mark.parametrize("band", [1, 130, 100_000])
@pytest.mark.parametrize("mode", ["RGB", "RGBA"])
def test_channels_are_swapped_in_every_row_however_many_at_a_time(tmp_path, photo, veil, mode, band, monkeypatch):
    monkeypatch.setattr(files, "_BAND", band)
    data = saved(photo if mode == "RGB" else with_alpha(photo, veil), "PNG")
    np.testing.assert_array_equal(read(tmp_path, data).pixels, pillow(data, mode))


def test_pictures_can_be_read_in_threads(samples):
    expected = read_picture(samples / "cat.jpg").pixels
    with ThreadPoolExecutor(4) as pool:
        pictures = list(pool.map(read_picture, [samples / "cat.jpg"] * 40, timeout=60))
    assert all(np.array_equal(picture.pixels, expected) for picture in pictures)


def test_the_content_counts_and_not_the_ending(tmp_path, photo):
    data = saved(photo, "PNG")
    assert np.array_equal(read(tmp_path, data, "picture.jpg").pixels, pillow(data, "RGB"))


# --- orientation ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize(("kind", "options"), [("JPEG", {}), ("PNG", {}), ("WEBP", {"lossless": True}), ("TIFF", {})])
def test_exif_orientation_is_applied_as_pillow_applies_it(tmp_path, photo, kind, options, orientation):
    exif = Image.Exif()
    exif[0x0112] = orientation
    data = saved(photo, kind, exif=exif, **options)
    pixels, expected = read(tmp_path, data).pixels, pillow(data, "RGB")
    assert pixels.shape == expected.shape == ((40, 60, 3) if orientation < 5 else (60, 40, 3))
    assert np.abs(pixels.astype(int) - expected).max() <= (2 if kind == "JPEG" else 0)


def test_the_orientation_of_a_png_counts_even_after_its_pixels(tmp_path, photo):
    exif = Image.Exif()
    exif[0x0112] = 6
    data = saved(photo, "PNG")
    late = data[:-12] + png_chunk(b"eXIf", exif.tobytes().removeprefix(b"Exif\0\0")) + data[-12:]
    assert np.array_equal(read(tmp_path, late).pixels, pillow(saved(photo, "PNG", exif=exif), "RGB"))


@pytest.mark.parametrize("block", [b"", b"MM", b"MM\0*\xff\xff\xff\xff", b"II*\0\x08\0\0\0\x01\0\x12\x01\x02\0"])
def test_a_broken_exif_block_is_passed_over_in_silence(tmp_path, photo, block):
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
@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP", "TIFF"])
def test_a_file_with_an_unknown_orientation_is_left_as_it_is(tmp_path, photo, kind, orientation):
    exif = Image.Exif()
    exif[0x0112] = orientation
    assert read(tmp_path, saved(photo, kind, exif=exif)).pixels.shape == (40, 60, 3)


@pytest.mark.parametrize("orientation", [0, 9, 65535])
def test_an_unknown_orientation_leaves_the_picture_as_it_is(orientation):
    image = np.arange(24).reshape(2, 4, 3)
    assert np.array_equal(orient(image, orientation), image)


# --- what is refused --------------------------------------------------------------------------------------------------


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
def test_what_is_no_picture_is_refused(tmp_path, data):
    with pytest.raises(PictureError, match=r"not a supported picture|damaged or incomplete"):
        read(tmp_path, data, "picture.png")


@pytest.mark.parametrize(
    ("kind", "options"),
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
    ],
)
def test_a_picture_cut_short_anywhere_is_refused(tmp_path, photo, kind, options):
    data = saved(photo.quantize(20) if kind == "GIF" else photo, kind, **options)
    assert read(tmp_path, data).pixels.shape == (40, 60, 3)
    for length in [len(data) * i // 20 for i in range(1, 20)] + [len(data) - n for n in (1, 2, 4, 12)]:
        with pytest.raises(PictureError, match=r"damaged or incomplete|not a supported picture"):
            read(tmp_path, data[:length])


def test_a_png_with_a_wrong_checksum_or_damaged_data_is_refused(tmp_path, photo):
    data = saved(photo, "PNG")
    start = data.index(b"IDAT") + 4
    for position in range(start, len(data) - 16, 97):
        damaged = bytearray(data)
        damaged[position] ^= 0x10
        with pytest.raises(PictureError, match="damaged or incomplete PNG picture"):
            read(tmp_path, bytes(damaged))


@pytest.mark.parametrize("bits", [8, 16])
@pytest.mark.parametrize("level", [None, cv2.utils.logging.LOG_LEVEL_SILENT])
def test_a_damaged_tiff_is_refused_however_silent_opencv_is(tmp_path, photo, bits, level):
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
        with pytest.raises(PictureError, match="damaged or incomplete TIFF picture"):
            read(tmp_path, bytes(tiff))
        assert cv2.utils.logging.getLogLevel() == (previous if level is None else level)
    finally:
        cv2.utils.logging.setLogLevel(previous)


def test_a_jpeg_whose_data_end_too_early_is_refused_even_with_an_end_marker(tmp_path, photo):
    data = saved(photo, "JPEG", quality=95)
    for length in (len(data) - 1000, len(data) - 300):
        with pytest.raises(PictureError, match="damaged or incomplete JPEG picture"):
            read(tmp_path, data[:length] + data[-2:])


def test_a_jpeg_with_bytes_too_many_is_read_and_told_of(tmp_path, photo):
    data = saved(photo, "JPEG")
    picture = read(tmp_path, data[:-2] + bytes(40) + data[-2:])
    assert picture.notes == ("the decoder found errors in the file; parts of the picture may be wrong",)
    assert np.abs(picture.pixels.astype(int) - pillow(data, "RGB")).max() <= 2


def test_decoders_do_not_write_to_standard_error(tmp_path, photo, capfd):
    with pytest.raises(PictureError):
        read(tmp_path, saved(photo, "PNG")[:-100])
    with pytest.raises(PictureError):
        read(tmp_path, saved(photo, "TIFF")[:-100])
    os.write(2, b"still there")
    assert capfd.readouterr().err == "still there"


@pytest.mark.parametrize("values", [np.float32, np.int32])
def test_pixels_that_are_neither_8_nor_16_bits_are_refused(tmp_path, values):
    data = saved(Image.fromarray(np.ones((8, 8), dtype=values)), "TIFF")
    with pytest.raises(PictureError, match=r"pixels of type (float32|int32) are not supported; convert"):
        read(tmp_path, data)


def bomb(width, height):
    """A PNG of a few bytes that declares width x height pixels."""
    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    pixels = zlib.compress(bytes(1000))
    return b"\x89PNG\r\n\x1a\n" + png_chunk(b"IHDR", header) + png_chunk(b"IDAT", pixels) + png_chunk(b"IEND", b"")


def test_a_picture_above_the_limit_is_refused_by_its_header(tmp_path, photo):
    with pytest.raises(PictureError, match="20000 x 20000 pixels is above the limit 200000000"):
        read(tmp_path, bomb(20_000, 20_000))
    path = tmp_path / "small.png"
    path.write_bytes(saved(photo, "PNG"))
    with pytest.raises(PictureError, match="60 x 40 pixels is above the limit 2399; raise max_pixels"):
        read_picture(path, max_pixels=2399)
    assert read_picture(path, max_pixels=2400).pixels.shape == (40, 60, 3)
    assert Image.MAX_IMAGE_PIXELS is not None


def test_a_side_longer_than_the_decoder_takes_is_said(tmp_path):
    with pytest.raises(PictureError, match="1100000 x 1 pixels: a side is above the limit 1048576"):
        read(tmp_path, bomb(1_100_000, 1))


def test_only_regular_files_are_opened(tmp_path):
    os.mkfifo(tmp_path / "pipe")
    with socket.socket(socket.AF_UNIX) as server:
        server.bind(str(tmp_path / "socket"))
        for path in (tmp_path / "pipe", "/dev/null", "/dev/zero", tmp_path):
            with pytest.raises(PictureError, match="not a regular file"):
                read_picture(path)
        with pytest.raises(OSError, match="No such device or address"):
            read_picture(tmp_path / "socket")
    with pytest.raises(FileNotFoundError):
        read_picture(tmp_path / "missing")
    (tmp_path / "loop").symlink_to("loop")
    with pytest.raises(OSError, match="symbolic links"):
        read_picture(tmp_path / "loop")


# --- what is written --------------------------------------------------------------------------------------------------


def random_labels(n_colors, shape=(20, 30)):
    rng = np.random.default_rng(n_colors)
    palette = rng.integers(0, 256, (n_colors, 3), dtype=np.uint8)
    labels = rng.integers(0, n_colors, shape).astype(np.uint8 if n_colors <= 256 else np.uint16)
    return labels, palette


@pytest.mark.parametrize(("n_colors", "bits"), [(1, 1), (2, 1), (3, 2), (4, 2), (5, 4), (16, 4), (17, 8), (256, 8)])
def test_an_indexed_png_has_exactly_its_palettes_colors_in_the_fewest_bits(n_colors, bits):
    labels, palette = random_labels(n_colors)
    data = encode_png(labels, palette, None)
    depth, color_type = data[24], data[25]
    assert (depth, color_type) == (bits, 3)
    assert np.array_equal(pillow(data, "RGB"), palette[labels])
    assert np.array_equal(cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_COLOR)[..., ::-1], palette[labels])


@pytest.mark.parametrize(("n_colors", "levels", "color_type"), [(7, 3, 3), (60, 4, 3), (256, 2, 6), (300, 1, 6)])
def test_alpha_is_written_bit_for_bit_and_indexed_where_256_entries_suffice(n_colors, levels, color_type):
    labels, palette = random_labels(n_colors, (40, 60))
    alpha = np.random.default_rng(0).choice(np.linspace(0, 255, levels).astype(np.uint8), labels.shape)
    data = encode_png(labels, palette, alpha)
    assert data[25] == color_type
    assert np.array_equal(pillow(data, "RGBA"), np.dstack([palette[labels], alpha]))


def test_more_than_256_colors_are_written_as_they_are():
    labels, palette = random_labels(1000, (60, 60))
    data = encode_png(labels, palette, None)
    assert data[25] == 2
    assert np.array_equal(pillow(data, "RGB"), palette[labels])


def test_what_gmmquant_made_is_known_by_its_content(tmp_path, photo):
    (tmp_path / "own.png").write_bytes(encode_png(*random_labels(256), None))
    (tmp_path / "foreign.png").write_bytes(saved(photo, "PNG"))
    assert is_own_output(tmp_path / "own.png")
    assert not is_own_output(tmp_path / "foreign.png")
    assert not is_own_output(tmp_path / "missing.png")
    assert not is_own_output(tmp_path)
