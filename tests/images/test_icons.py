"""Icons of Windows and macOS: the largest image, whatever its kind, against Pillow and the values that were written."""

import io
import struct

import numpy as np
import pytest
from image_files import read, saved, with_alpha
from image_kinds import dib, icns, ico, padded, runs
from PIL import Image

from gmmquant.errors import ImageError
from gmmquant.images.decoding.registry import read_header
from gmmquant.images.files import read_image

# --- Windows ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("file_format", ["png", "bmp"])
def test_the_largest_image_of_an_icon_is_read_with_a_note(tmp_path, photo, veil, file_format):
    image = with_alpha(photo, veil).resize((48, 48))
    data = saved(image, "ICO", sizes=[(16, 16), (48, 48), (32, 32)], bitmap_format=file_format)
    icon = read(tmp_path, data)
    assert np.array_equal(icon.pixels, np.asarray(Image.open(io.BytesIO(data)).convert("RGBA")))
    assert np.array_equal(icon.pixels, np.asarray(image))
    assert icon.notes == ("the icon has 3 images; the largest, 48 x 48, is used",)


def test_a_side_of_256_is_the_largest_and_an_icon_of_one_image_has_no_note(tmp_path, photo):
    small = (255, 255, 32, saved(photo.resize((255, 255)), "PNG"))
    large = (256, 256, 32, saved(photo.resize((256, 256)), "PNG"))
    assert read(tmp_path, ico([small, large])).pixels.shape == (256, 256, 3)
    assert read(tmp_path, ico([large])).notes == ()


def test_of_images_of_one_size_that_of_most_bits_is_read(tmp_path, photo):
    colors = np.asarray(photo.resize((16, 16)))
    grey = np.repeat(colors[..., :1], 3, axis=2)
    data = ico(
        [
            (16, 16, 32, dib(np.dstack([colors[..., ::-1], np.full((16, 16), 255, np.uint8)]))),
            (16, 16, 24, dib(grey, bits=24)),
        ]
    )
    assert np.array_equal(read(tmp_path, data).pixels, colors)


@pytest.mark.parametrize("kind", [1, 2])
def test_the_mask_of_a_bitmap_without_alpha_is_its_alpha(tmp_path, photo, kind):
    colors = np.asarray(photo.resize((20, 12)))
    mask = (np.add.outer(np.arange(12), np.arange(20)) % 3 == 0).astype(np.uint8)
    wanted = np.dstack([colors, 255 * (1 - mask)])
    bgra = np.dstack([colors[..., ::-1], np.zeros((12, 20), np.uint8)])
    for data in (dib(colors[..., ::-1], mask, bits=24), dib(bgra, mask)):
        assert np.array_equal(read(tmp_path, ico([(20, 12, 24, data)], kind)).pixels, wanted)
    opaque = read(tmp_path, ico([(20, 12, 24, dib(colors[..., ::-1], bits=24))], kind))
    assert np.array_equal(opaque.pixels, colors)


@pytest.mark.parametrize("bits", [1, 4, 8])
def test_indexed_bitmaps_of_icons_are_read(tmp_path, bits):
    palette = np.random.default_rng(0).integers(0, 256, (1 << bits, 3), dtype=np.uint8)
    index = np.random.default_rng(1).integers(0, 1 << bits, (10, 24), dtype=np.uint8)
    stored = {1: np.packbits(index, axis=1), 4: index[:, ::2] << 4 | index[:, 1::2], 8: index}[bits]
    head = struct.pack("<IiiHHIIiiII", 40, 24, 20, 1, bits, 0, 0, 0, 0, 0, 0)
    head += b"".join(bytes((b, g, r, 0)) for r, g, b in palette.tolist())
    data = ico([(24, 10, bits, head + padded(stored) + bytes(40))])
    assert np.array_equal(read(tmp_path, data).pixels, palette[index])


def test_alpha_of_a_bitmap_counts_and_not_its_mask(tmp_path, photo, veil):
    rgba = np.asarray(with_alpha(photo, veil).resize((16, 16)))
    data = ico([(16, 16, 32, dib(rgba[..., [2, 1, 0, 3]], np.ones((16, 16), np.uint8)))])
    assert np.array_equal(read(tmp_path, data).pixels, rgba)


# --- macOS ------------------------------------------------------------------------------------------------------------


def test_the_largest_image_of_a_mac_icon_is_read(tmp_path, photo, veil):
    image = with_alpha(photo, veil).resize((128, 128))
    data = saved(image, "ICNS")
    icon = read(tmp_path, data)
    with Image.open(io.BytesIO(data)) as opened:
        assert np.array_equal(icon.pixels, np.asarray(opened.convert("RGBA")))
    assert "the largest, 1024 x 1024, is used" in icon.notes[0]


@pytest.mark.parametrize(
    ("kind", "mask", "side"), [(b"is32", b"s8mk", 16), (b"il32", b"l8mk", 32), (b"it32", b"t8mk", 128)]
)
@pytest.mark.parametrize("masked", [False, True])
def test_channels_in_runs_are_read_with_their_mask(tmp_path, photo, veil, kind, mask, side, masked):
    rgba = np.asarray(with_alpha(photo.quantize(8).convert("RGB"), veil).resize((side, side), Image.Resampling.NEAREST))
    planes = b"".join(runs(rgba[..., n]) for n in range(3))
    blocks = [(kind, (bytes(4) if kind == b"it32" else b"") + planes)]
    blocks += [(mask, rgba[..., 3].tobytes())] if masked else []
    data = icns([(b"TOC ", bytes(8)), *blocks])
    assert np.array_equal(read(tmp_path, data).pixels, rgba if masked else rgba[..., :3])
    if masked:
        with Image.open(io.BytesIO(data)) as opened:
            assert np.array_equal(np.asarray(opened.convert("RGBA")), rgba)


def test_channels_with_alpha_first_and_files_of_jpeg_2000_are_read(tmp_path, photo, veil):
    rgba = np.asarray(with_alpha(photo, veil).resize((32, 32)))
    planes = b"ARGB" + b"".join(runs(rgba[..., n]) for n in (3, 0, 1, 2))
    assert np.array_equal(read(tmp_path, icns([(b"ic05", planes)])).pixels, rgba)
    jpeg2000 = saved(photo.resize((256, 256)), "JPEG2000")
    assert np.array_equal(read(tmp_path, icns([(b"ic08", jpeg2000)])).pixels, np.asarray(photo.resize((256, 256))))


# --- faults -----------------------------------------------------------------------------------------------------------


def bomb():
    """Return the beginning of a PNG that claims a large image."""
    data = bytearray(saved(Image.new("L", (1, 1)), "PNG"))
    data[16:24] = struct.pack(">II", 100_000, 100_000)
    return bytes(data)


@pytest.mark.parametrize("data", [ico([(16, 16, 32, bomb())]), icns([(b"ic07", bomb())])], ids=["ico", "icns"])
def test_an_image_in_an_icon_that_is_too_large_is_refused_by_its_own_header(tmp_path, data):
    (tmp_path / "icon").write_bytes(data)
    with pytest.raises(ImageError, match="100000 x 100000 pixels is above the limit"):
        read_image(tmp_path / "icon")


@pytest.mark.parametrize("n_bytes", [3, 5, 20, 60, 200])
def test_icons_that_are_cut_short_are_refused(tmp_path, photo, n_bytes):
    rgba = np.dstack([np.asarray(photo.resize((16, 16))), np.full((16, 16), 9, np.uint8)])
    noise = np.random.default_rng(0).integers(0, 256, (3, 16, 16), dtype=np.uint8)
    for data in (
        ico([(16, 16, 32, saved(photo.resize((16, 16)), "PNG"))]),
        ico([(16, 16, 32, dib(rgba))]),
        ico([(16, 16, 24, dib(rgba[..., :3], np.eye(16, dtype=np.uint8), bits=24))]),
        saved(photo.resize((16, 16)), "ICNS"),
        icns([(b"is32", b"".join(runs(plane) for plane in noise))]),
    ):
        with pytest.raises(ImageError, match=r"damaged or incomplete|not a supported image"):
            read(tmp_path, data[:-n_bytes])


def faulty_icons():
    """Return icons whose parts do not fit each other."""
    planes = b"".join(runs(np.full((16, 16), n, np.uint8)) for n in range(3))
    pixels = dib(np.full((16, 16, 3), 9, np.uint8), np.eye(16, dtype=np.uint8), bits=24)
    return {
        "a block behind the end": icns([(b"is32", planes)])[:12] + struct.pack(">I", 9999) + planes,
        "a short mask": icns([(b"is32", planes), (b"s8mk", bytes(255))]),
        "short runs": icns([(b"is32", planes[:-2])]),
        "a length of zero": icns([]) + b"is32" + bytes(4) + planes,
        "a PNG without a header": ico([(16, 16, 32, b"\x89PNG\r\n\x1a\n" + bytes(50))]),
        "a short mask of a bitmap": ico([(16, 16, 24, pixels[:-4])]),
        "no room for the rows": ico([(16, 16, 24, pixels[:200])]),
    }


@pytest.mark.parametrize("fault", faulty_icons())
def test_an_icon_whose_parts_do_not_fit_is_refused(tmp_path, fault):
    with pytest.raises(ImageError, match=r"damaged or incomplete|not a supported image|without images in colour"):
        read(tmp_path, faulty_icons()[fault])


def test_pixels_that_are_not_in_runs_are_read(tmp_path):
    values = np.random.default_rng(0).integers(0, 256, (16, 16, 3), dtype=np.uint8)
    data = icns([(b"is32", values.tobytes())])
    assert np.array_equal(read(tmp_path, data).pixels, values)
    with Image.open(io.BytesIO(data)) as opened:
        assert np.array_equal(np.asarray(opened.convert("RGB")), values)


def test_blocks_of_a_mac_icon_above_a_number_are_not_looked_for(tmp_path):
    planes = b"".join(runs(np.full((16, 16), n, np.uint8)) for n in range(3))
    many = [(b"name", b"")] * 1000
    with pytest.raises(ImageError, match="without images in colour"):
        read(tmp_path, icns([*many, (b"is32", planes)]))
    assert read(tmp_path, icns([*many[:99], (b"is32", planes)])).pixels.shape == (16, 16, 3)


def test_an_icon_without_images_or_colors_is_refused(tmp_path):
    with pytest.raises(ImageError, match="not a supported image"):
        read(tmp_path, ico([]) + bytes(30))
    with pytest.raises(ImageError, match="an ICNS without images in colour is not supported; save it as PNG"):
        read(tmp_path, icns([(b"ICN#", bytes(256))]))


def test_an_icon_within_an_icon_is_refused(tmp_path, photo):
    inner = icns([(b"ic07", saved(photo, "PNG"))])
    with pytest.raises(ImageError, match="not a supported image"):
        read(tmp_path, icns([(b"ic07", inner)]))


def test_a_cursor_and_a_targa_file_with_the_same_first_bytes_are_told_apart(photo):
    targa = saved(photo, "TGA")
    assert targa[:4] == b"\0\0\2\0"
    assert read_header(io.BytesIO(targa)).format == "TGA"
    assert read_header(io.BytesIO(ico([(60, 40, 0, saved(photo, "PNG"))], 2))).format == "ICO"
