"""Formats of one image that Pillow decodes, against the values written by other means, and what they refuse."""

import io
import struct

import numpy as np
import pytest
from image_files import pillow, read, saved, with_alpha
from image_kinds import made, pfm, psd
from PIL import Image, ImageFile

from gmmquant.errors import ImageError
from gmmquant.images.decoding.registry import read_header
from gmmquant.images.files import read_image


def plain_qoi(data):
    """Decode a QOI by its specification; return RGBA (h, w, 4)."""
    width, height = struct.unpack_from(">II", data, 4)
    pixels, seen, position = [], [(0, 0, 0, 0)] * 64, 14
    r, g, b, a = 0, 0, 0, 255
    while len(pixels) < width * height:
        byte, position, count = data[position], position + 1, 1
        if byte == 0xFE:
            r, g, b = data[position : position + 3]
            position += 3
        elif byte == 0xFF:
            r, g, b, a = data[position : position + 4]
            position += 4
        elif byte >> 6 == 0:
            r, g, b, a = seen[byte]
        elif byte >> 6 == 1:
            r, g, b = (r + (byte >> 4 & 3) - 2) % 256, (g + (byte >> 2 & 3) - 2) % 256, (b + (byte & 3) - 2) % 256
        elif byte >> 6 == 2:
            second, position, green = data[position], position + 1, (byte & 63) - 32
            r, g, b = (r + green + (second >> 4) - 8) % 256, (g + green) % 256, (b + green + (second & 15) - 8) % 256
        else:
            count = (byte & 63) + 1
        seen[(r * 3 + g * 5 + b * 7 + a * 11) % 64] = (r, g, b, a)
        pixels += [(r, g, b, a)] * count
    return np.array(pixels, np.uint8).reshape(height, width, 4)


KINDS = list(made(Image.new("RGB", (2, 2)), Image.new("L", (2, 2))))


@pytest.mark.parametrize("kind", KINDS)
def test_files_have_the_pixels_that_were_written(tmp_path, photo, veil, kind):
    data, wanted = made(photo, veil)[kind]
    pixels = read(tmp_path, data).pixels
    if pixels.dtype == np.uint16:
        assert (pixels % 257 == 0).all()
        pixels = (pixels // 257).astype(np.uint8)
    assert np.array_equal(pixels, wanted)


@pytest.mark.parametrize("mode", ["RGB", "RGBA"])
def test_a_qoi_has_the_pixels_of_its_specification(tmp_path, photo, veil, mode):
    image = photo if mode == "RGB" else with_alpha(photo, veil)
    data = saved(image, "QOI")
    assert np.array_equal(read(tmp_path, data).pixels, plain_qoi(data)[..., : len(mode)])


@pytest.mark.parametrize("pixel_format", ["DXT1", "DXT3", "DXT5", "BC2", "BC3"])
def test_compressed_textures_are_near_the_original(tmp_path, photo, veil, pixel_format):
    image = with_alpha(photo, veil)
    data = saved(image, "DDS", pixel_format=pixel_format)
    pixels = read(tmp_path, data).pixels
    assert np.array_equal(pixels, pillow(data, "RGBA"))
    visible = np.asarray(veil) == 255
    assert np.abs(pixels[visible][:, :3].astype(int) - np.asarray(photo)[visible]).mean() < 6


# --- alpha and notes --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("layers", [None, 0, 2])
def test_a_fourth_channel_of_a_psd_is_alpha_only_if_its_layers_say_so(tmp_path, photo, veil, layers):
    image = read(tmp_path, psd(np.asarray(with_alpha(photo, veil)), layers=layers))
    assert np.array_equal(image.pixels, np.asarray(photo))
    assert image.notes == ("a fourth channel is not the transparency of the image and is left out",)


def test_the_profile_of_a_psd_is_applied(tmp_path, photo):
    from PIL import ImageCms

    profile = ImageCms.ImageCmsProfile(ImageCms.createProfile("LAB")).tobytes()
    resource = b"8BIM" + struct.pack(">HHI", 1039, 0, len(profile)) + profile + b"\0" * (len(profile) % 2)
    assert read(tmp_path, psd(np.asarray(photo), resources=resource)).notes != ()


def test_alpha_of_zero_everywhere_in_a_tga_is_no_alpha(tmp_path, photo):
    image = photo.convert("RGBA")
    image.putalpha(0)
    found = read(tmp_path, saved(image, "TGA"))
    assert np.array_equal(found.pixels, np.asarray(photo))
    assert found.notes == ("the alpha of every pixel is 0, as in files without alpha; the image is taken as opaque",)


def test_16_bits_of_an_sgi_are_noted(tmp_path, photo, veil):
    assert read(tmp_path, made(photo, veil)["deep sgi"][0]).notes == (
        "the image has 16 bits per channel; only the higher 8 are used",
    )


def test_a_texture_of_several_sides_is_noted(tmp_path, photo):
    data = bytearray(saved(photo, "DDS"))
    data[112:116] = struct.pack("<I", 0x200)
    assert read(tmp_path, bytes(data)).notes == ("the file contains several images or pages; only the first is used",)


# --- floating point ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("order", ["<", ">"])
@pytest.mark.parametrize("shape", [(7, 5), (7, 5, 3)])
def test_floating_point_values_from_0_to_1_have_16_bits(tmp_path, order, shape):
    values = np.random.default_rng(0).random(shape).astype(np.float32)
    values.flat[:2] = 0, 1
    pixels = read(tmp_path, pfm(values, order)).pixels
    wanted = np.floor(values.astype(float) * 65535 + 0.5)
    assert pixels.dtype == np.uint16
    assert np.array_equal(pixels, np.dstack([wanted] * 3) if values.ndim == 2 else wanted)


@pytest.mark.parametrize(
    ("value", "reason"),
    [
        (np.nan, "non-finite pixels"),
        (np.inf, "non-finite pixels"),
        (-0.5, "floating-point pixels from -0.5 to 1, outside of 0 to 1"),
        (1000, "floating-point pixels from 0 to 1000, outside of 0 to 1; scale them, or save 16 bits"),
    ],
)
def test_floating_point_values_without_a_known_range_are_refused_with_it(tmp_path, value, reason):
    values = np.linspace(0, 1, 12, dtype=np.float32).reshape(3, 4)
    values[1, 1] = value
    with pytest.raises(ImageError, match=reason):
        read(tmp_path, pfm(values))


@pytest.mark.parametrize(
    ("beginning", "name"), [(b"#?RADIANCE\nFORMAT=", "Radiance HDR"), (b"\x76\x2f\x31\x01\2\0\0\0", "OpenEXR")]
)
def test_files_of_light_without_a_limit_are_refused_by_name(tmp_path, beginning, name):
    with pytest.raises(ImageError, match=f"not a supported image; {name} stores light without an upper limit"):
        read(tmp_path, beginning + bytes(100))


# --- refusals ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("options", "reason"),
    [
        ({"bits": 16}, "a PSD of 16 bits per channel is not supported; save it as 16-bit PNG or TIFF"),
        ({"version": 2}, "a PSB, a large document of Photoshop, is not supported"),
        ({"mode": 11}, "this kind of PSD is not supported, or the file is damaged; save it as PNG"),
    ],
)
def test_kinds_of_psd_that_are_not_read_are_named(tmp_path, photo, options, reason):
    with pytest.raises(ImageError, match=reason):
        read(tmp_path, psd(np.asarray(photo), **options))


def test_a_psd_of_endless_resources_is_refused(tmp_path, photo):
    resource = b"8BIM" + struct.pack(">HHI", 1000, 0, 0)
    with pytest.raises(ImageError, match="a PSD with more than 65536 image resources is not supported; save it again"):
        read(tmp_path, psd(np.asarray(photo), resources=resource * 65537))


def test_a_texture_of_light_without_a_limit_is_refused(tmp_path, photo):
    data = bytearray(saved(photo, "DDS", pixel_format="BC5"))
    assert data[84:88] == b"DX10"
    data[128:132] = struct.pack("<I", 95)
    with pytest.raises(ImageError, match="a DDS in BC6H stores light without an upper limit; map its tones"):
        read(tmp_path, bytes(data))


@pytest.mark.parametrize(("kind", "size"), [("qoi", ">II"), ("pfm", None)])
def test_an_image_without_pixels_is_refused(tmp_path, photo, veil, kind, size):
    data, (position, _) = made(photo, veil)[kind][0], SIZE_FIELDS[kind]
    if size is None:
        data = data.replace(b"60 40", b"60 0", 1)
    else:
        data = data[:position] + struct.pack(size, 60, 0) + data[position + struct.calcsize(size) :]
    with pytest.raises(ImageError, match=r"not a supported image|damaged or incomplete|not supported"):
        read(tmp_path, data)


@pytest.mark.parametrize("kind", [kind for kind in KINDS if kind != "pfm"] + ["tiff", "gif"])
@pytest.mark.parametrize("step", ["__init__", "load"])
def test_running_out_of_memory_is_not_taken_for_damage(tmp_path, photo, veil, kind, step, monkeypatch):
    files = made(photo, veil) | {"tiff": (saved(photo.convert("CMYK"), "TIFF"),), "gif": (saved(photo, "GIF"),)}
    (tmp_path / "image").write_bytes(files[kind][0])

    def fail(*_):
        raise MemoryError

    monkeypatch.setattr(ImageFile.ImageFile, step, fail)
    with pytest.raises(MemoryError):
        read_image(tmp_path / "image")


@pytest.mark.parametrize("kind", KINDS)
def test_files_that_are_cut_short_are_refused(tmp_path, photo, veil, kind):
    data = made(photo, veil)[kind][0]
    for length in (19, 68, len(data) // 2, len(data) - 60):
        with pytest.raises(ImageError) as caught:
            read(tmp_path, data[:length])
        assert "\n" not in str(caught.value)


SIZE_FIELDS = {"psd": (14, ">II"), "qoi": (4, ">II"), "dds": (12, "<II"), "pfm": (3, None)}
SIZE_FIELDS |= {"sgi": (6, ">HH"), "pcx": (8, "<HH"), "tga in runs": (12, "<HH")}


@pytest.mark.parametrize("kind", SIZE_FIELDS)
def test_a_size_above_the_limit_is_refused_by_the_header_alone(tmp_path, photo, veil, kind):
    data, (position, layout) = bytearray(made(photo, veil)[kind][0]), SIZE_FIELDS[kind]
    if layout is None:
        data = bytearray(bytes(data).replace(b"60 40", b"60000 40000", 1))
    else:
        data[position : position + struct.calcsize(layout)] = struct.pack(layout, 60000, 60000)
    if kind.startswith("tga"):
        data[-18:] = b"TRUEVISION-XFILE.\0"
    (tmp_path / "bomb").write_bytes(data)
    with pytest.raises(ImageError, match="pixels is above the limit"):
        read_image(tmp_path / "bomb")


def test_a_tga_must_fit_the_length_of_the_file(photo):
    data = saved(photo, "TGA")
    assert read_header(io.BytesIO(data)).format == "TGA"
    for changed in (
        data[:100],
        b"\0\0\2" + bytes(9) + b"\1\0\1\0\x18\xc0" + bytes(9),
        b"\0\0\2" + bytes(15) + bytes(99),
        data[:1] + b"\1" + data[2:],  # a palette of no bits
        data[:1] + b"\0\1" + data[3:16] + b"\x08" + data[17:],  # indices without a palette
    ):
        with pytest.raises(ImageError, match="not a supported image"):
            read_header(io.BytesIO(changed))


def test_texts_are_not_taken_for_formats_with_weak_signatures():
    for text in (b"P7 is a film\n", b"PFM\n", b"a\0\2", b"icns", b"\n\5\1\x08", b"BA", b"BM"):
        with pytest.raises(ImageError):
            read_header(io.BytesIO(text))
