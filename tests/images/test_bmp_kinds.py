"""BMP of every header, depth and channel mask, against the values that were written, Pillow and OpenCV."""

import struct

import cv2
import numpy as np
import pytest
from image_files import pillow, read

from gmmquant.errors import ImageError
from gmmquant.images.files import read_image

BASE = np.array([[200, 40, 24], [32, 88, 200], [248, 240, 16], [16, 160, 64]], np.uint8)
INDEX = (np.add.outer(np.arange(12) // 3, np.arange(15) // 3) % 4).astype(np.uint8)
PIXELS = BASE[INDEX]


def rows_of(values):
    """Return rows from the bottom, each a multiple of four bytes."""
    return b"".join(row.tobytes() + b"\0" * (-len(row.tobytes()) % 4) for row in np.ascontiguousarray(values[::-1]))


def packed(bits):
    per_byte = 8 // bits
    padded = np.pad(INDEX, ((0, 0), (0, -INDEX.shape[1] % per_byte)))
    return sum(padded[:, n::per_byte] << (8 - bits * (n + 1)) for n in range(per_byte)).astype(np.uint8)


def bmp(bits, body, *, compression=0, size=40, masks=(), palette=b"", extra=b"", height=None, before=b"", dpi=0):
    """Return a BMP; `size` is that of the header, masks behind 40 bytes or within a longer header."""
    width, height = INDEX.shape[1], INDEX.shape[0] if height is None else height
    per_color = 3 if size == 12 else 4
    if size == 12:
        header = struct.pack("<IHHHH", size, width, height, 1, bits)
    else:
        fields = (size, width, height, 1, bits, compression, len(body), dpi, dpi, len(palette) // per_color, 0)
        header = struct.pack("<IiiHHIIiiII", *fields)[:size]
        header += struct.pack(f"<{len(masks)}I", *masks) + extra
        header = header.ljust(size, b"\0")
    start = len(before) + 14 + len(header) + len(palette)
    return before + b"BM" + struct.pack("<IHHI", start + len(body), 0, 0, start) + header + palette + body


def palette_of(n_bytes):
    return b"".join(bytes(color[::-1]).ljust(n_bytes, b"\0") for color in BASE.tolist())


def channels(values, masks):
    """Return pixels as numbers: the high bits of 8-bit channels under each mask."""
    words = np.zeros(values.shape[:2], np.uint64)
    for n, mask in enumerate(masks):
        if mask:
            bits, shift = mask.bit_count(), (mask & -mask).bit_length() - 1
            words |= (values[..., n].astype(np.uint64) >> (8 - bits)) << shift
    return words


def expected(values, masks):
    """Return each channel cut to its bits and stretched to 8."""
    found = []
    for n, mask in enumerate(masks):
        if mask:
            top = (1 << mask.bit_count()) - 1
            found.append(np.floor(255 * (values[..., n] >> (8 - mask.bit_count())).astype(float) / top + 0.5))
    return np.dstack(found).astype(np.uint8)


# --- palettes ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("bits", [2, 4, 8])
@pytest.mark.parametrize("size", [12, 16, 40, 64, 108, 124])
def test_palettes_of_every_depth_and_header_are_read(tmp_path, bits, size):
    data = bmp(bits, rows_of(packed(bits)), size=size, palette=palette_of(3 if size == 12 else 4))
    assert np.array_equal(read(tmp_path, data).pixels, PIXELS)
    if bits != 2 and size not in (16,):
        assert np.array_equal(pillow(data, "RGB"), PIXELS)


def test_two_colors_are_those_of_the_palette(tmp_path):
    bits = np.packbits(INDEX & 1, axis=1)
    data = bmp(1, rows_of(bits), palette=palette_of(4)[:8])
    assert np.array_equal(read(tmp_path, data).pixels, BASE[INDEX & 1])
    assert np.array_equal(pillow(data, "RGB"), BASE[INDEX & 1])


def test_entries_that_a_short_palette_lacks_are_black(tmp_path):
    data = bmp(8, rows_of(INDEX), palette=palette_of(4)[:12])
    assert np.array_equal(read(tmp_path, data).pixels, np.where(INDEX[..., None] == 3, 0, PIXELS))


def test_the_first_image_of_a_bitmap_array_is_read_with_a_note(tmp_path):
    palette, body = palette_of(3), rows_of(packed(4))
    for following, noted in ((0, False), (9999, True)):
        array = b"BA" + struct.pack("<IIHH", 40, following, 0, 0)
        image = read(tmp_path, bmp(4, body, size=12, palette=palette, before=array))
        assert np.array_equal(image.pixels, PIXELS)
        assert any("only the first is used" in note for note in image.notes) == noted


# --- runs -------------------------------------------------------------------------------------------------------------


def runs(bits):
    """Return runs of each row from the bottom: one literal, then pairs, with an end of line."""
    data = b""
    for row, colors in zip(INDEX[::-1].tolist(), PIXELS[::-1].tolist(), strict=True):
        if bits == 24:
            data += b"\0\3" + b"".join(bytes(color[::-1]) for color in colors[:3]) + b"\0"
        elif bits == 8:
            data += b"\0\3" + bytes(row[:3]) + b"\0"
        else:
            data += b"\0\3" + bytes([row[0] << 4 | row[1], row[2] << 4])
        for value, color in zip(row[3:], colors[3:], strict=True):
            data += b"\1" + (bytes(color[::-1]) if bits == 24 else bytes([value if bits == 8 else value << 4 | 7]))
        data += b"\0\0"
    return data


@pytest.mark.parametrize(("bits", "compression"), [(8, 1), (4, 2), (24, 4)])
@pytest.mark.parametrize("size", [40, 64])
def test_runs_of_every_depth_are_read(tmp_path, bits, compression, size):
    if bits == 24 and size == 40:
        return
    palette = b"" if bits == 24 else palette_of(4)
    data = bmp(bits, runs(bits) + b"\0\1", compression=compression, size=size, palette=palette)
    assert np.array_equal(read(tmp_path, data).pixels, PIXELS)
    if bits != 24:
        assert np.array_equal(pillow(data, "RGB"), PIXELS)
    data = bmp(bits, runs(bits), compression=compression, size=size, palette=palette)
    assert np.array_equal(read(tmp_path, data).pixels, PIXELS)


def test_a_delta_skips_pixels_which_have_the_first_color(tmp_path):
    body = b"\2\1" + b"\0\2\3\1" + b"\3\2" + b"\0\1"
    wanted = np.zeros(INDEX.shape, int)
    wanted[-1, :2], wanted[-2, 5:8] = 1, 2
    data = bmp(8, body, compression=1, palette=palette_of(4))
    assert np.array_equal(read(tmp_path, data).pixels, BASE[wanted])


def test_runs_that_leave_the_image_are_cut(tmp_path):
    body = b"\xff\1\0\0" * 12 + b"\5\1\0\1"
    wanted = np.ones(INDEX.shape, int)
    assert np.array_equal(read(tmp_path, bmp(8, body, compression=1, palette=palette_of(4))).pixels, BASE[wanted])


@pytest.mark.parametrize("cut", [3, 4, 30])
def test_runs_that_are_cut_short_are_damage(tmp_path, cut):
    with pytest.raises(ImageError, match="damaged or incomplete BMP"):
        read(tmp_path, bmp(8, runs(8)[:-cut], compression=1, palette=palette_of(4)))


# --- masks ------------------------------------------------------------------------------------------------------------

ALPHA = np.where(np.arange(15) < 8, 255, 96).astype(np.uint8)[None].repeat(12, 0)
RGBA = np.dstack([PIXELS, ALPHA])


@pytest.mark.parametrize(
    ("bits", "masks"),
    [
        (16, (0xF00, 0xF0, 0xF, 0xF000)),
        (16, (0x7C00, 0x3E0, 0x1F, 0x8000)),
        (16, (0xF800, 0x7E0, 0x1F, 0)),
        (16, (0x1F, 0x7E0, 0xF800, 0)),
        (16, (0xE0, 0x1C, 0x3, 0)),
        (24, (0xFF, 0xFF00, 0xFF0000, 0)),
        (32, (0xFF, 0xFF00, 0xFF0000, 0xFF000000)),
        (32, (0xFF0000, 0xFF00, 0xFF, 0)),
        (32, (0xFC0000, 0x3F000, 0xFC0, 0x3F)),
        (32, (0xFF000000, 0xFF0000, 0xFF00, 0xFF)),
    ],
)
@pytest.mark.parametrize("size", [40, 56, 108, 124])
def test_channels_under_any_mask_are_stretched_to_8_bits(tmp_path, bits, masks, size):
    words = channels(RGBA, masks).astype("<u4").view(np.uint8).reshape(12, 15, 4)[..., : bits // 8]
    compression = 6 if size == 40 and masks[3] else 3
    written = masks if compression == 6 or size > 40 else masks[:3]
    data = bmp(bits, rows_of(words.reshape(12, -1)), compression=compression, size=size, masks=written)
    assert np.array_equal(read(tmp_path, data).pixels, expected(RGBA, masks))


def test_masks_of_more_than_8_bits_give_16_bits(tmp_path):
    wide = np.random.default_rng(0).integers(0, 1024, (12, 15, 3)).astype(np.uint32)
    words = (wide[..., 0] << 20 | wide[..., 1] << 10 | wide[..., 2] | 1 << 30).astype("<u4")
    masks = (1023 << 20, 1023 << 10, 1023, 3 << 30)
    image = read(tmp_path, bmp(32, rows_of(words), compression=3, size=108, masks=masks))
    assert image.pixels.dtype == np.uint16
    assert np.array_equal(image.pixels[..., :3], np.floor(wide * 65535 / 1023 + 0.5).astype(np.uint16))
    assert (image.pixels[..., 3] == 65535 // 3).all()


def test_opencv_reads_the_same_alpha(tmp_path):
    data = cv2.imencode(".bmp", RGBA[..., [2, 1, 0, 3]])[1].tobytes()
    assert np.array_equal(read(tmp_path, data).pixels, RGBA)


def test_alpha_of_zero_everywhere_is_no_alpha_and_noted(tmp_path):
    masks = (0xFF0000, 0xFF00, 0xFF, 0xFF000000)
    for alpha, channels_read, noted in ((0, 3, True), (1, 4, False)):
        words = np.dstack([PIXELS[..., ::-1], np.full((12, 15), alpha, np.uint8)])
        image = read(tmp_path, bmp(32, rows_of(words), compression=3, size=108, masks=masks))
        assert image.pixels.shape == (12, 15, channels_read)
        assert np.array_equal(image.pixels[..., :3], PIXELS)
        assert any("taken as opaque" in note for note in image.notes) == noted


def test_a_bitmap_that_begins_at_the_top_is_not_turned(tmp_path):
    data = bmp(24, rows_of(PIXELS[::-1, :, ::-1].reshape(12, -1)), height=-12)
    assert np.array_equal(read(tmp_path, data).pixels, PIXELS)


# --- faults -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("options", "reason"),
    [
        ({"compression": 4}, "a BMP with a JPEG in it is not supported; save it as PNG"),
        ({"compression": 5}, "a BMP with a PNG in it is not supported"),
        ({"compression": 9}, "a BMP with compression 9 is not supported"),
        ({"compression": 3, "size": 64}, "a BMP with Huffman coding is not supported"),
        ({"compression": 1, "bits": 4}, "a BMP with runs of 4 bits is not supported"),
    ],
)
def test_a_compression_that_is_not_supported_is_named(tmp_path, options, reason):
    bits = options.pop("bits", 8)
    with pytest.raises(ImageError, match=reason):
        read(tmp_path, bmp(bits, bytes(400), palette=palette_of(4), **options))


@pytest.mark.parametrize("masks", [(0xF00, 0xF0, 0xF0, 0), (0xF0F, 0xF0, 0xF000, 0), (0x1F0000, 0xF0, 0xF, 0)])
def test_masks_that_overlap_have_gaps_or_leave_the_pixel_are_refused(tmp_path, masks):
    with pytest.raises(ImageError, match="not a supported image"):
        read(tmp_path, bmp(16, bytes(400), compression=3, size=108, masks=masks))


@pytest.mark.parametrize("bits", [1, 2, 4, 8, 16, 24, 32])
def test_pixels_that_are_cut_short_are_damage(tmp_path, bits):
    n_bytes = (15 * bits + 31) // 32 * 4 * 12
    palette = palette_of(4) if bits <= 8 else b""
    assert read(tmp_path, bmp(bits, bytes(n_bytes), palette=palette)).pixels.shape == (12, 15, 3)
    with pytest.raises(ImageError, match="damaged or incomplete BMP"):
        read(tmp_path, bmp(bits, bytes(n_bytes - 1), palette=palette))


def test_a_size_above_the_limit_is_refused_by_the_header_alone(tmp_path):
    path = tmp_path / "bomb.bmp"
    data = bytearray(bmp(8, b"\0\1", compression=1, palette=palette_of(4)))
    data[18:26] = struct.pack("<ii", 100_000, 100_000)
    path.write_bytes(data)
    with pytest.raises(ImageError, match="100000 x 100000 pixels is above the limit"):
        read_image(path)


@pytest.mark.parametrize(("width", "height"), [(0, 5), (-5, 5), (5, 0)])
def test_a_size_of_nothing_is_not_an_image(tmp_path, width, height):
    data = bytearray(bmp(24, bytes(1000)))
    data[18:26] = struct.pack("<ii", width, height)
    with pytest.raises(ImageError, match="not a supported image"):
        read(tmp_path, bytes(data))


def test_the_resolution_is_kept(tmp_path):
    image = read(tmp_path, bmp(24, rows_of(PIXELS[..., ::-1].reshape(12, -1)), dpi=11811))
    assert np.allclose(image.metadata.dpi, 300, atol=0.01)
