"""Profiles of 16-bit images, against colour-science and against littlecms with 8 bits."""

import io
import struct

import numpy as np
import pytest
from color_oracle import by_colour_science, iccp, levels
from icc_profiles import ADOBE_RGB, DISPLAY_P3, P3, grey_profile, icc, linear, rgb_profile
from image_files import png, read
from PIL import Image, ImageCms
from tiff_files import tiff

from gmmquant.images.decoding.deep_profiles import matrix_conversion


def deep_files(pixels, profile):
    """Return 16-bit files of RGB or RGBA pixels with a profile."""
    yield png(pixels, bits=16, color_type=2 if pixels.shape[2] == 3 else 6, chunks=iccp(profile))
    yield tiff(pixels, {34675: profile})


@pytest.mark.parametrize("channels", [3, 4])
@pytest.mark.parametrize(
    ("profile", "space", "light"),
    [
        (P3, "Display P3", linear),
        (ADOBE_RGB, "Adobe RGB (1998)", lambda values: values**2.19921875),
        (rgb_profile(DISPLAY_P3, 1.0, "linear P3"), "Display P3", lambda values: values),
    ],
)
def test_16_bit_images_are_converted_with_16_bits(tmp_path, colour, colors, profile, space, light, channels):
    noise = np.random.default_rng(1).integers(0, 257, colors.shape, dtype=np.uint16)
    pixels = colors.astype(np.uint16) * 255 + noise
    if channels == 4:
        pixels = np.dstack([pixels, pixels[..., 0]])
    expected = by_colour_science(colour, pixels[..., :3], space, light)
    for data in deep_files(pixels, profile):
        image = read(tmp_path, data)
        assert image.pixels.dtype == np.uint16
        assert len(image.notes) == 1
        assert image.notes[0].startswith("converted from ")
        assert image.notes[0].endswith(" to sRGB")
        assert image.metadata.has_profile
        difference = np.abs(levels(image.pixels[..., :3]) - expected)
        # Profiles state colours with four digits, which shows in the dark, where sRGB's curve is steep.
        assert difference.max() < 2
        assert difference.mean() < 0.05
        assert np.array_equal(image.pixels[..., 3:], pixels[..., 3:])


def test_16_bit_conversion_agrees_with_littlecms_at_8_bits(tmp_path, colors):
    sampled = (
        b"curv" + bytes(4) + struct.pack(">I256H", 256, *np.rint(65535 * np.linspace(0, 1, 256) ** 1.7).astype(int))
    )
    tags = dict.fromkeys((b"rTRC", b"gTRC", b"bTRC"), sampled)
    columns = {tag: _tag(P3, tag) for tag in (b"rXYZ", b"gXYZ", b"bXYZ")}
    profile = icc(b"RGB ", {**columns, **tags}, name="sampled curve")
    expected = read(tmp_path, png(colors, chunks=iccp(profile)))
    deep = read(tmp_path, png(colors.astype(np.uint16) * 257, bits=16, chunks=iccp(profile)))
    assert deep.notes == expected.notes == ("converted from sampled curve to sRGB",)
    assert np.abs(levels(deep.pixels) - expected.pixels).max() < 1.2


def _tag(profile, signature):
    (count,) = struct.unpack_from(">I", profile, 128)
    for n in range(count):
        name, start, length = struct.unpack_from(">4sII", profile, 132 + 12 * n)
        if name == signature:
            return profile[start : start + length]
    raise KeyError(signature)


def test_16_bit_greys_are_converted_by_a_grey_profile_with_16_bits(tmp_path, colour):
    ramp = np.arange(0, 65536, 8, dtype=np.uint16).reshape(64, 128, 1)
    for gamma in (1.0, 1.8):
        profile = grey_profile(gamma)
        expected = 65535 * colour.models.eotf_inverse_sRGB((ramp / 65535) ** gamma)
        for data in (png(ramp, bits=16, color_type=0, chunks=iccp(profile)), tiff(ramp, {34675: profile})):
            image = read(tmp_path, data)
            assert np.abs(image.pixels - expected).max() < 30
            assert image.notes == ("converted from some grey to sRGB",)


def test_16_bit_greys_may_have_a_profile_of_colors(tmp_path, colour):
    ramp = np.arange(0, 65536, 8, dtype=np.uint16).reshape(64, 128, 1)
    image = read(tmp_path, png(ramp, bits=16, color_type=0, chunks=iccp(ADOBE_RGB)))
    expected = 65535 * colour.models.eotf_inverse_sRGB((ramp / 65535) ** 2.19921875)
    assert np.abs(image.pixels - expected).max() < 257
    assert (np.ptp(image.pixels.astype(int), axis=2) == 0).all()


def table_profile():
    """Write a profile of RGB whose table swaps red and blue, in Lab of a space close to sRGB."""
    srgb, lab = ImageCms.createProfile("sRGB"), ImageCms.createProfile("LAB")
    corners = np.stack(np.meshgrid(*[np.linspace(0, 255, 9)] * 3, indexing="ij"), axis=-1).reshape(1, -1, 3)
    grid = Image.fromarray(np.rint(corners[..., ::-1]).astype(np.uint8))
    values = np.asarray(ImageCms.profileToProfile(grid, srgb, lab, 1, "LAB")).astype(np.int8).astype(int)[0]
    values = np.column_stack([values[:, 0] & 255, values[:, 1] + 128, values[:, 2] + 128]).astype(np.uint8)
    identity = np.eye(3).ravel()
    table = b"mft1" + bytes(4) + bytes([3, 3, 9, 0]) + b"".join(struct.pack(">i", round(v * 65536)) for v in identity)
    ramp = bytes(range(256))
    # The curves and the matrix do not count.
    tags = {tag: _tag(P3, tag) for tag in (b"rXYZ", b"gXYZ", b"bXYZ", b"rTRC", b"gTRC", b"bTRC")}
    tags[b"A2B0"] = table + 3 * ramp + values.tobytes() + 3 * ramp
    return icc(b"RGB ", tags, name="a table", pcs=b"Lab ")


def test_16_bit_images_are_rounded_to_8_bits_for_a_profile_with_tables(tmp_path, colors):
    profile = table_profile()
    pixels = np.dstack([colors.astype(np.uint16) * 257, np.arange(2400, dtype=np.uint16).reshape(40, 60)])
    expected = ImageCms.profileToProfile(
        Image.fromarray(colors),
        io.BytesIO(profile),
        ImageCms.createProfile("sRGB"),
        renderingIntent=ImageCms.Intent.RELATIVE_COLORIMETRIC,
        flags=ImageCms.Flags.BLACKPOINTCOMPENSATION,
    )
    for data in deep_files(pixels, profile):
        image = read(tmp_path, data)
        assert image.notes == ("converted from a table to sRGB, with 8 bits per channel",)
        assert np.array_equal(image.pixels[..., :3], np.asarray(expected))
        # Alpha is 0 only where it was.
        assert np.array_equal(image.pixels[..., 3] == 0, pixels[..., 3] == 0)
        assert np.abs(image.pixels[..., 3] - pixels[..., 3] / 257).max() <= 1


def test_a_16_bit_image_whose_profile_has_no_black_at_0_is_rounded(tmp_path, colors):
    lifted = b"curv" + bytes(4) + struct.pack(">IHH", 2, 3000, 65535)
    columns = {tag: _tag(P3, tag) for tag in (b"rXYZ", b"gXYZ", b"bXYZ")}
    profile = icc(b"RGB ", {**columns, **dict.fromkeys((b"rTRC", b"gTRC", b"bTRC"), lifted)}, name="lifted")
    expected = read(tmp_path, png(colors, chunks=iccp(profile))).pixels
    image = read(tmp_path, png(colors.astype(np.uint16) * 257, bits=16, chunks=iccp(profile)))
    assert image.notes == ("converted from lifted to sRGB, with 8 bits per channel",)
    assert np.array_equal(image.pixels, expected)


def test_a_matrix_counts_only_without_a_table_of_colors():
    tags = {tag: _tag(P3, tag) for tag in (b"rXYZ", b"gXYZ", b"bXYZ", b"rTRC", b"gTRC", b"bTRC")}
    assert matrix_conversion(icc(b"RGB ", tags)) is not None
    for table in (b"A2B0", b"A2B1", b"D2B1"):
        assert matrix_conversion(icc(b"RGB ", {**tags, table: bytes(40)})) is None
