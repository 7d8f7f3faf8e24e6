"""Colour profiles: conversion against the formulas of the colour spaces; files with none, odd or broken ones."""

import io
import shutil
import struct
import subprocess
import sys
import zlib

import numpy as np
import pytest
from image_files import apng, gif, pillow, png, png_chunk, read, saved, with_alpha
from PIL import Image, ImageCms

from gmmquant.images.decoding import profiles
from gmmquant.images.decoding.profiles import read_profile

# Colour spaces as CSS Color 4 gives them: linear RGB to CIE XYZ under D65.
SRGB = np.array(
    [[0.4123908, 0.3575843, 0.1804808], [0.2126390, 0.7151687, 0.0721923], [0.0193308, 0.1191948, 0.9505322]]
)
DISPLAY_P3 = np.array(
    [[0.4865709, 0.2656677, 0.1982173], [0.2289746, 0.6917385, 0.0792869], [0.0, 0.0451134, 1.0439444]]
)
ADOBE = np.array(
    [[0.5766690, 0.1855582, 0.1882286], [0.2973450, 0.6273636, 0.0752915], [0.0270314, 0.0706889, 0.9913375]]
)

# Bradford's adaptation from D65 to D50, as ICC profiles have their colours.
TO_D50 = np.array([[1.0478, 0.0229, -0.0501], [0.0295, 0.9905, -0.0171], [-0.0092, 0.0150, 0.7521]])


def linear(values):
    """Return the light that sRGB's values stand for, all in [0, 1]."""
    return np.where(values <= 0.04045, values / 12.92, ((values + 0.055) / 1.055) ** 2.4)


def encoded(light):
    light = np.clip(light, 0, 1)
    return np.where(light <= 0.0031308, light * 12.92, 1.055 * light ** (1 / 2.4) - 0.055)


def fixed(number):
    """Return a number as ICC's s15Fixed16."""
    return struct.pack(">i", round(number * 65536))


def curve(gamma):
    """Return a curve element: a power, or sRGB's if gamma is "srgb"."""
    if gamma == "srgb":
        return (
            b"para"
            + bytes(4)
            + struct.pack(">HH", 3, 0)
            + b"".join(fixed(v) for v in (2.4, 1 / 1.055, 0.055 / 1.055, 1 / 12.92, 0.04045))
        )
    return b"para" + bytes(4) + struct.pack(">HH", 0, 0) + fixed(gamma)


def icc(space, tags, *, name="by hand", device_class=b"mntr", pcs=b"XYZ "):
    """Write a profile of version 4 of ICC.1: a header, a table of tags, the tags."""
    text = name.encode("utf-16-be")
    described = b"mluc" + bytes(4) + struct.pack(">II2s2sII", 1, 12, b"en", b"US", len(text), 28) + text
    white = b"XYZ " + bytes(4) + fixed(0.9642) + fixed(1.0) + fixed(0.8249)
    tags = {b"desc": described, b"cprt": described, b"wtpt": white, **tags}
    table, body = struct.pack(">I", len(tags)), b""
    for tag, data in tags.items():
        data += bytes(-len(data) % 4)
        table += tag + struct.pack(">II", 128 + 4 + 12 * len(tags) + len(body), len(data))
        body += data
    header = struct.pack(">I4sI4s4s4s", 128 + len(table) + len(body), bytes(4), 0x04200000, device_class, space, pcs)
    header += struct.pack(">6H", 2024, 1, 1, 0, 0, 0) + b"acsp" + bytes(28)
    header += fixed(0.9642) + fixed(1.0) + fixed(0.8249)
    return header.ljust(128, b"\0") + table + body


def rgb_profile(matrix, gamma, name):
    """Write a profile of three primaries and one curve."""
    columns = TO_D50 @ matrix
    tags = {}
    for channel, column in zip(b"rgb", columns.T, strict=True):
        tags[bytes([channel]) + b"XYZ"] = b"XYZ " + bytes(4) + b"".join(fixed(value) for value in column)
        tags[bytes([channel]) + b"TRC"] = curve(gamma)
    return icc(b"RGB ", tags, name=name)


def grey_profile(gamma):
    return icc(b"GRAY", {b"kTRC": curve(gamma)}, name="some grey")


def ink_profile():
    """Write a profile whose inks darken in Lab, L = 100 - 60 (c + m + y) / 3 - 40 k, and change a and b."""
    corners = np.stack(np.meshgrid(*[[0.0, 1.0]] * 4, indexing="ij"), axis=-1).reshape(-1, 4)
    c, m, y, k = corners.T
    lightness = np.maximum(100 - 20 * (c + m + y) - 40 * k, 0)
    lab = np.column_stack([lightness * 2.55, 128 + 60 * (m - c) * (1 - k), 128 + 60 * (y - m) * (1 - k)])
    identity = b"".join(fixed(v) for v in np.eye(3).ravel())
    ramp = bytes(range(256))
    table = b"mft1" + bytes(4) + bytes([4, 3, 2, 0]) + identity + 4 * ramp + np.rint(lab).astype(np.uint8).tobytes()
    return icc(b"CMYK", {b"A2B0": table + 3 * ramp}, name="four inks", device_class=b"prtr", pcs=b"Lab ")


P3 = rgb_profile(DISPLAY_P3, "srgb", "Display P3")
ADOBE_RGB = rgb_profile(ADOBE, 2.19921875, "Adobe RGB by hand")
UNREADABLE = "the colour profile cannot be read; values are taken as sRGB"
SRGB_BY_HAND = rgb_profile(SRGB, "srgb", "not what it is called")


def converted(pixels, matrix, gamma):
    """Bring 8-bit RGB to sRGB by the formulas."""
    values = pixels / 255
    light = linear(values) if gamma == "srgb" else values**gamma
    return 255 * encoded(light @ (np.linalg.inv(SRGB) @ matrix).T)


# --- converted --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("profile", "matrix", "gamma", "name"),
    [(P3, DISPLAY_P3, "srgb", "Display P3"), (ADOBE_RGB, ADOBE, 2.19921875, "Adobe RGB by hand")],
)
def test_colors_are_converted_by_the_formulas_of_their_spaces(tmp_path, profile, matrix, gamma, name):
    pixels = np.random.default_rng(0).integers(0, 256, (60, 80, 3), dtype=np.uint8)
    image = read(tmp_path, saved(Image.fromarray(pixels), "PNG", icc_profile=profile))
    assert image.notes == (f"converted from {name} to sRGB",)
    assert image.metadata.has_profile
    difference = np.abs(image.pixels - converted(pixels, matrix, gamma))
    # Where a curve is steep, in the dark, an adapted white of four digits shows in more than rounding.
    assert difference.max() < 3
    assert difference.mean() < 0.4
    assert np.abs(image.pixels.astype(int) - pixels).max() > 10


@pytest.mark.parametrize(
    ("file_format", "options"),
    [
        ("PNG", {}),
        ("WEBP", {"lossless": True, "exact": True}),
        ("AVIF", {"quality": 100, "subsampling": "4:4:4"}),
        ("TIFF", {}),
        ("JPEG", {"quality": 100, "subsampling": 0}),
    ],
)
@pytest.mark.parametrize("mode", ["RGB", "RGBA"])
def test_a_profile_is_applied_in_every_format_and_alpha_stays(tmp_path, photo, veil, file_format, options, mode):
    if (file_format, mode) == ("JPEG", "RGBA"):
        pytest.skip("no JPEG has alpha")
    image = photo if mode == "RGB" else with_alpha(photo, veil)
    plain = read(tmp_path, saved(image, file_format, **options)).pixels
    original = read(tmp_path, saved(image, file_format, icc_profile=P3, **options))
    assert original.notes == ("converted from Display P3 to sRGB",)
    assert np.array_equal(original.pixels[..., 3:], plain[..., 3:])
    assert np.abs(original.pixels[..., :3] - converted(plain[..., :3], DISPLAY_P3, "srgb")).max() < 3


def jp2_with(data, profile):
    """Put a colour specification with a profile (a "colr" box of method 2) instead of a JP2's."""
    start = data.index(b"colr") - 4
    (length,) = struct.unpack_from(">I", data, start)
    box = struct.pack(">I", 11 + len(profile)) + b"colr\x02\0\0" + profile
    header = data.index(b"jp2h") - 4
    (size,) = struct.unpack_from(">I", data, header)
    data = data[:start] + box + data[start + length :]
    return data[:header] + struct.pack(">I", size - length + len(box)) + data[header + 4 :]


def test_the_profile_of_a_jp2_is_applied(tmp_path, photo):
    image = read(tmp_path, jp2_with(saved(photo, "JPEG2000"), P3))
    assert image.notes == ("converted from Display P3 to sRGB",)
    assert np.abs(image.pixels - converted(np.asarray(photo), DISPLAY_P3, "srgb")).max() < 3


def test_every_frame_of_an_animation_is_converted(tmp_path, photo):
    frames = [photo, photo.rotate(20)]
    data = saved(photo, "WEBP", save_all=True, append_images=frames[1:], lossless=True, icc_profile=P3)
    image = read(tmp_path, data)
    assert image.animation.n_frames == 2
    stored = np.concatenate([np.asarray(frame) for frame in frames])
    assert np.abs(image.pixels - converted(stored, DISPLAY_P3, "srgb")).max() < 3


@pytest.mark.parametrize("file_format", ["PNG", "JPEG", "TIFF"])
def test_grey_levels_are_converted_by_a_grey_profile(tmp_path, file_format):
    levels = Image.fromarray(np.arange(256, dtype=np.uint8).reshape(8, 32).repeat(8, 0).repeat(8, 1))
    image = read(tmp_path, saved(levels, file_format, icc_profile=grey_profile(1.0)))
    assert image.notes == ("converted from some grey to sRGB",)
    expected = 255 * encoded(np.asarray(levels)[..., np.newaxis] / 255)
    assert np.abs(image.pixels - expected)[np.asarray(levels) > 3].max() <= 2


def test_a_grey_image_may_have_a_profile_of_colors(tmp_path, photo):
    image = read(tmp_path, saved(photo.convert("L"), "PNG", icc_profile=ADOBE_RGB))
    assert image.notes == ("converted from Adobe RGB by hand to sRGB",)
    stored = np.repeat(np.asarray(photo.convert("L"))[..., np.newaxis], 3, axis=2)
    assert np.abs(image.pixels - converted(stored, ADOBE, 2.19921875)).max() < 3


@pytest.mark.parametrize(("file_format", "options"), [("TIFF", {}), ("JPEG", {"quality": 100, "subsampling": 0})])
@pytest.mark.parametrize("orientation", [1, 6])
def test_inks_are_converted_by_their_profile(tmp_path, photo, file_format, options, orientation):
    exif = Image.Exif()
    exif[0x0112] = orientation
    inks = photo.convert("CMYK")
    profile = ink_profile()
    data = saved(inks, file_format, icc_profile=profile, exif=exif, **options)
    image = read(tmp_path, data)
    assert image.notes == ("converted from four inks to sRGB",)
    expected = ImageCms.profileToProfile(
        Image.fromarray(pillow(data, "CMYK"), "CMYK"),
        io.BytesIO(profile),
        ImageCms.createProfile("sRGB"),
        renderingIntent=ImageCms.Intent.RELATIVE_COLORIMETRIC,
        outputMode="RGB",
        flags=ImageCms.Flags.BLACKPOINTCOMPENSATION,
    )
    assert np.array_equal(image.pixels, np.asarray(expected))
    if orientation == 1:
        without = read(tmp_path, saved(inks, file_format, **options))
        assert without.notes == ()
        assert np.abs(without.pixels.astype(int) - image.pixels).max() > 30


@pytest.mark.skipif(shutil.which("convert-im6") is None, reason="ImageMagick is not installed")
def test_inks_are_converted_as_imagemagick_converts_them(tmp_path, photo):
    data = saved(photo.convert("CMYK"), "TIFF", icc_profile=ink_profile())
    (tmp_path / "srgb.icc").write_bytes(ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes())
    options = ["-intent", "relative", "-black-point-compensation", "-profile", tmp_path / "srgb.icc"]
    command = ["convert-im6", "tiff:-", *options, "-depth", "8", "rgb:-"]
    by_magick = subprocess.run(command, input=data, capture_output=True, check=True).stdout
    pixels = read(tmp_path, data).pixels
    assert np.abs(pixels.astype(int) - np.frombuffer(by_magick, np.uint8).reshape(pixels.shape)).max() <= 2


@pytest.mark.parametrize("band", [1, 130])
def test_the_conversion_is_the_same_for_bands_of_any_height(tmp_path, photo, band, monkeypatch):
    expected = read_profile(P3).convert(np.asarray(photo))
    monkeypatch.setattr(profiles, "_BAND_PIXELS", band)
    assert np.array_equal(read_profile(P3).convert(np.asarray(photo)), expected)


# --- left as it is ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "profile", [SRGB_BY_HAND, ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()], ids=["hand", "cms"]
)
def test_a_profile_equivalent_to_srgb_does_not_change_the_pixels(tmp_path, photo, profile):
    image = read(tmp_path, saved(photo, "PNG", icc_profile=profile))
    assert np.array_equal(image.pixels, np.asarray(photo))
    assert image.notes == ()
    assert image.metadata.has_profile


def test_a_name_does_not_make_a_profile_srgb(tmp_path, photo):
    image = read(tmp_path, saved(photo, "PNG", icc_profile=rgb_profile(DISPLAY_P3, "srgb", "sRGB IEC61966-2.1")))
    assert image.notes == ("converted from sRGB IEC61966-2.1 to sRGB",)


def test_a_long_name_is_shortened_to_one_line(tmp_path, photo):
    image = read(tmp_path, saved(photo, "PNG", icc_profile=rgb_profile(ADOBE, 2.2, "many\nlines " * 40)))
    (note,) = image.notes
    assert note == "converted from many lines many lines many lines many li to sRGB"[: len(note)]
    assert "\n" not in note
    assert len(note) < 70


@pytest.mark.parametrize("color_type", [0, 2])
def test_16_bit_images_with_a_profile_are_unchanged_with_a_note(tmp_path, color_type):
    values = np.random.default_rng(0).integers(0, 65536, (8, 9, 1 + color_type), dtype=np.uint16)
    for profile, note, applied in (
        (P3, ("colour profile Display P3 is not applied to 16-bit images; values are taken as sRGB",), False),
        (SRGB_BY_HAND, (), True),
    ):
        chunk = png_chunk(b"iCCP", b"name\0\0" + zlib.compress(profile))
        image = read(tmp_path, png(values, bits=16, color_type=color_type, chunks=chunk))
        assert np.array_equal(image.pixels[..., : values.shape[2]], values)
        assert (image.notes, image.metadata.has_profile) == (note, applied)


@pytest.mark.parametrize("broken", [b"x" * 400, P3[:200], P3[:130] + bytes(len(P3) - 130), icc(b"Lab ", {})])
@pytest.mark.parametrize("file_format", ["PNG", "JPEG", "WEBP", "TIFF", "AVIF"])
def test_an_image_with_a_broken_profile_is_read_with_a_note(tmp_path, photo, file_format, broken, capfd):
    plain = read(tmp_path, saved(photo, file_format))
    image = read(tmp_path, saved(photo, file_format, icc_profile=broken))
    assert np.array_equal(image.pixels, plain.pixels)
    assert image.notes == (UNREADABLE,)
    assert not image.metadata.has_profile
    assert capfd.readouterr().err == ""


def test_a_profile_that_does_not_fit_the_image_gives_a_note(tmp_path, photo):
    for profile, name in ((grey_profile(1.8), "some grey"), (ink_profile(), "four inks")):
        image = read(tmp_path, saved(photo, "PNG", icc_profile=profile))
        assert np.array_equal(image.pixels, np.asarray(photo))
        assert image.notes == (f"colour profile {name} does not fit the image; values are taken as sRGB",)


@pytest.mark.parametrize(
    ("chunks", "applied", "notes"),
    [
        (png_chunk(b"sRGB", b"\0"), True, ()),
        (png_chunk(b"cICP", bytes((1, 13, 0, 1))), True, ()),
        (
            png_chunk(b"sRGB", b"\0") + png_chunk(b"cICP", bytes((12, 13, 0, 1))),
            False,
            ("colour space 12/13 (cICP) is not applied; values are taken as sRGB",),
        ),
        (png_chunk(b"iCCP", b"name\0\0junk"), False, (UNREADABLE,)),
        (png_chunk(b"iCCP", b"name\0\0" + zlib.compress(bytes(1 << 25))), False, (UNREADABLE,)),
        (png_chunk(b"gAMA", struct.pack(">I", 45455)), False, ()),
        (
            png_chunk(b"cICP", bytes((9, 16, 0, 1))),
            False,
            ("colour space 9/16 (cICP) is not applied; values are taken as sRGB",),
        ),
    ],
)
def test_chunks_of_a_png_may_state_its_color_space(tmp_path, photo, chunks, applied, notes):
    image = read(tmp_path, png(np.asarray(photo), chunks=chunks))
    assert np.array_equal(image.pixels, np.asarray(photo))
    assert (image.metadata.has_profile, image.notes) == (applied, notes)


def test_a_file_without_a_profile_has_none(tmp_path, photo):
    frames = [{"pixels": np.asarray(photo)}] * 2
    for data in (saved(photo, "PNG"), saved(photo, "JPEG"), apng((60, 40), frames, color_type=2)):
        assert not read(tmp_path, data).metadata.has_profile
    assert not read(tmp_path, gif((4, 4), np.eye(4, 3), [{"indices": np.eye(4, dtype=int)}])).metadata.has_profile


def test_littlecms_is_loaded_for_a_profile_only(samples):
    code = (
        "import sys; from gmmquant import read_image; read_image(sys.argv[1]); read_image(sys.argv[2])\n"
        "sys.exit('PIL.ImageCms' in sys.modules)"
    )
    subprocess.run([sys.executable, "-c", code, samples / "cat.jpg", samples / "coffee.png"], check=True)


def test_a_png_with_another_gamma_or_other_primaries_than_srgb_gives_a_note(tmp_path):
    pixels = np.full((2, 2, 3), 100, np.uint8)
    primaries = (31270, 32900, 64000, 33000, 30000, 60000, 15000, 6000)

    def notes(*stated):
        return read(tmp_path, png(pixels, chunks=b"".join(png_chunk(*chunk) for chunk in stated))).notes

    def gamma(value):
        return b"gAMA", struct.pack(">I", value)

    assert notes(gamma(45455), (b"cHRM", struct.pack(">8I", *primaries))) == ()
    assert notes(gamma(47000)) == notes(gamma(44000)) == notes(gamma(0)) == notes((b"gAMA", b"")) == ()
    assert notes(gamma(100_000)) == ("gamma 1 (gAMA) is not applied; values are taken as sRGB",)
    assert notes(gamma(55556)) == ("gamma 0.55556 (gAMA) is not applied; values are taken as sRGB",)
    other = (b"cHRM", struct.pack(">8I", *primaries[:2], 68000, 32000, *primaries[4:]))
    assert notes(other) == ("colour space with other primaries (cHRM) is not applied; values are taken as sRGB",)
    assert notes(gamma(100_000), other, (b"sRGB", b"\0")) == ()
