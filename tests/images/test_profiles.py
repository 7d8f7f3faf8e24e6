"""Colour profiles: conversion against the formulas of the colour spaces; files with none, odd or broken ones."""

import io
import shutil
import struct
import subprocess
import sys
import zlib

import numpy as np
import pytest
from box_files import colr, jp2_with
from icc_profiles import (
    ADOBE,
    ADOBE_RGB,
    DISPLAY_P3,
    P3,
    SRGB_BY_HAND,
    converted,
    encoded,
    grey_profile,
    icc,
    ink_profile,
    rgb_profile,
)
from image_files import apng, gif, pillow, png, png_chunk, read, saved, with_alpha
from PIL import Image, ImageCms

from gmmquant.images.decoding import profiles
from gmmquant.images.decoding.profiles import convert_to_srgb, read_profile
from gmmquant.images.decoding.reader import Header, StoredImage

UNREADABLE = "the colour profile cannot be read; values are taken as sRGB"

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


def test_the_profile_of_a_jp2_is_applied(tmp_path, photo):
    image = read(tmp_path, jp2_with(saved(photo, "JPEG2000"), colr(2, P3)))
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


def test_greys_stored_as_colors_may_have_a_grey_profile(tmp_path, photo):
    grey = photo.convert("L")
    expected = read(tmp_path, saved(grey, "PNG", icc_profile=grey_profile(1.0)))
    for image in (grey.convert("RGB"), grey.convert("P"), grey.convert("RGBA")):
        found = read(tmp_path, saved(image, "PNG", icc_profile=grey_profile(1.0)))
        assert np.array_equal(found.pixels[..., :3], expected.pixels)
        assert found.notes == expected.notes == ("converted from some grey to sRGB",)


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


@pytest.mark.parametrize(("file_format", "options"), [("TIFF", {}), ("JPEG", {"quality": 100, "subsampling": 0})])
def test_a_profile_of_colors_or_greys_does_not_fit_inks(tmp_path, photo, file_format, options):
    inks = photo.convert("L").convert("RGB").convert("CMYK")
    plain = read(tmp_path, saved(inks, file_format, **options))
    for profile, name in ((P3, "Display P3"), (grey_profile(1.0), "some grey")):
        image = read(tmp_path, saved(inks, file_format, icc_profile=profile, **options))
        assert image.notes == (f"colour profile {name} does not fit the image; values are taken as sRGB",)
        assert np.array_equal(image.pixels, plain.pixels)


@pytest.mark.skipif(shutil.which("convert-im6") is None, reason="ImageMagick is not installed")
def test_inks_are_converted_as_imagemagick_converts_them(tmp_path, photo):
    data = saved(photo.convert("CMYK"), "TIFF", icc_profile=ink_profile())
    (tmp_path / "srgb.icc").write_bytes(ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes())
    options = ["-intent", "relative", "-black-point-compensation", "-profile", tmp_path / "srgb.icc"]
    command = ["convert-im6", "tiff:-", *options, "-depth", "8", "rgb:-"]
    by_magick = subprocess.run(command, input=data, capture_output=True, check=True).stdout
    pixels = read(tmp_path, data).pixels
    assert np.abs(pixels.astype(int) - np.frombuffer(by_magick, np.uint8).reshape(pixels.shape)).max() <= 2


def adobe_exif(color_space, rule):
    exif = Image.Exif()
    exif[0x010F] = "a maker"
    exif.get_ifd(0x8769)[0xA001] = color_space
    if rule:
        exif.get_ifd(0x8769)[0xA005] = {1: rule, 2: b"0100"}
    return exif


@pytest.mark.parametrize(
    ("color_space", "rule", "is_adobe_rgb"),
    [(0xFFFF, "R03", True), (2, "", True), (0xFFFF, "R98", False), (1, "R03", False), (0xFFFF, "", False)],
)
@pytest.mark.parametrize("file_format", ["PNG", "JPEG", "WEBP", "AVIF"])  # an AVIF states sRGB itself
def test_adobe_rgb_in_exif_is_converted(tmp_path, photo, file_format, color_space, rule, is_adobe_rgb):
    exif = adobe_exif(color_space, rule)
    stored = read(tmp_path, saved(photo, file_format)).pixels
    image = read(tmp_path, saved(photo, file_format, exif=exif))
    if not is_adobe_rgb or file_format == "AVIF":
        assert np.array_equal(image.pixels, stored)
        assert image.notes == ()
        return
    assert image.notes == ("converted from Adobe RGB (EXIF) to sRGB",)
    assert np.abs(image.pixels - converted(stored, ADOBE, 563 / 256)).max() < 2
    assert image.metadata.has_profile
    with_profile = read(tmp_path, saved(photo, file_format, exif=exif, icc_profile=P3))
    assert with_profile.notes == ("converted from Display P3 to sRGB",)
    grey = read(tmp_path, saved(photo.convert("L"), "JPEG", exif=exif))
    assert grey.notes == ()


def test_the_profile_of_a_gif_is_applied_to_every_frame(tmp_path, photo):
    frames = [photo.quantize(16), photo.rotate(90).resize((60, 40)).quantize(16)]
    data = saved(frames[0], "GIF", save_all=True, append_images=frames[1:])
    blocks = b"".join(bytes([len(part)]) + part for part in (P3[n : n + 255] for n in range(0, len(P3), 255)))
    start = 13 + 3 * (2 << (data[10] & 7))
    with_profile = data[:start] + b"\x21\xff\x0bICCRGBG1012" + blocks + b"\0" + data[start:]
    image, stored = read(tmp_path, with_profile), read(tmp_path, data)
    assert image.animation.n_frames == 2
    assert image.notes == ("converted from Display P3 to sRGB",)
    assert np.abs(image.pixels - converted(stored.pixels, DISPLAY_P3, "srgb")).max() < 2


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
@pytest.mark.parametrize("make", [lambda frames: frames[:, ::-1], lambda frames: frames], ids=["view", "plain"])
def test_frames_of_a_reader_may_be_read_only_or_views(dtype, make):
    values = np.random.default_rng(0).integers(0, 256, (2, 8, 9, 4)).astype(dtype)
    expected, _, _ = convert_to_srgb(
        StoredImage(make(values.copy()).copy(), profile=P3), b"", Header("", (9, 8), "RGBA")
    )
    frames = make(values.copy())
    frames.flags.writeable = False
    result, _, applied = convert_to_srgb(StoredImage(frames, profile=P3), b"", Header("", (9, 8), "RGBA"))
    assert applied
    assert np.array_equal(result, expected)
    assert not np.array_equal(result, make(values))


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


def test_a_16_bit_image_with_a_profile_equivalent_to_srgb_is_unchanged(tmp_path):
    values = np.random.default_rng(0).integers(0, 65536, (8, 9, 3), dtype=np.uint16)
    image = read(tmp_path, png(values, bits=16, chunks=png_chunk(b"iCCP", b"name\0\0" + zlib.compress(SRGB_BY_HAND))))
    assert np.array_equal(image.pixels, values)
    assert (image.notes, image.metadata.has_profile) == ((), True)


@pytest.mark.parametrize("broken", [b"x" * 400, P3[:200], P3[:130] + bytes(len(P3) - 130), icc(b"RGB ", {})])
@pytest.mark.parametrize("file_format", ["PNG", "JPEG", "WEBP", "TIFF", "AVIF"])
def test_an_image_with_a_broken_profile_is_read_with_a_note(tmp_path, photo, file_format, broken, capfd):
    plain = read(tmp_path, saved(photo, file_format))
    image = read(tmp_path, saved(photo, file_format, icc_profile=broken))
    assert np.array_equal(image.pixels, plain.pixels)
    assert image.notes == (UNREADABLE,)
    assert not image.metadata.has_profile
    assert capfd.readouterr().err == ""


def test_a_profile_that_does_not_fit_the_image_gives_a_note(tmp_path, photo):
    lab = ImageCms.ImageCmsProfile(ImageCms.createProfile("LAB")).tobytes()
    for profile, name in (
        (grey_profile(1.8), "some grey"),
        (ink_profile(), "four inks"),
        (lab, "Lab identity built-in"),
        (icc(b"XYZ ", {}, name="an XYZ space", device_class=b"spac"), "an XYZ space"),
        (icc(b"RGB ", {}, name="a link", device_class=b"link", pcs=b"RGB "), "a link"),
        (icc(b"RGB ", {}, name="named colours", device_class=b"nmcl"), "named colours"),
        (icc(b"Lab ", {}, name="an effect", device_class=b"abst", pcs=b"Lab "), "an effect"),
        (icc(b"6CLR", {}, name="six inks", device_class=b"prtr", pcs=b"Lab "), "six inks"),
    ):
        image = read(tmp_path, saved(photo, "PNG", icc_profile=profile))
        assert np.array_equal(image.pixels, np.asarray(photo))
        assert image.notes == (f"colour profile {name} does not fit the image; values are taken as sRGB",)
        assert not image.metadata.has_profile


@pytest.mark.parametrize(
    ("chunks", "applied", "notes"),
    [
        (png_chunk(b"sRGB", b"\0"), True, ()),
        (png_chunk(b"cICP", bytes((1, 13, 0, 1))), True, ()),
        (png_chunk(b"iCCP", b"name\0\0junk"), False, (UNREADABLE,)),
        (png_chunk(b"iCCP", b"name\0\0" + zlib.compress(bytes(1 << 25))), False, (UNREADABLE,)),
        (png_chunk(b"gAMA", struct.pack(">I", 45455)), False, ()),
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
