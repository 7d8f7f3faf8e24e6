"""Colour spaces that files state by code points, gamma, primaries or numbers, against colour-science and littlecms."""

import struct

import cv2
import numpy as np
import pytest
from box_files import avif_with_nclx, box, colr, jp2_with, with_item
from color_oracle import by_colour_science, iccp, levels
from icc_profiles import ADOBE_RGB, P3, linear
from image_files import apng, png, png_chunk, read, saved, with_alpha
from PIL import Image, ImageCms
from tiff_files import tiff

from gmmquant.images.decoding.code_points import _PRIMARIES
from gmmquant.images.decoding.isobmff import stated_space

SRGB_XY = (31270, 32900, 64000, 33000, 30000, 60000, 15000, 6000)
P3_XY = (31270, 32900, 68000, 32000, 26500, 69000, 15000, 6000)


def cicp(primaries, transfer, matrix=0, full=1):
    return png_chunk(b"cICP", bytes((primaries, transfer, matrix, full)))


def gama(value):
    return png_chunk(b"gAMA", struct.pack(">I", value))


def chrm(values):
    return png_chunk(b"cHRM", struct.pack(">8I", *values))


# --- code points ------------------------------------------------------------------------------------------------------


def test_primaries_are_those_of_the_standards(colour):
    names = {1: "ITU-R BT.709", 4: "ITU-R BT.470 - 525", 5: "ITU-R BT.470 - 625", 6: "SMPTE C", 9: "ITU-R BT.2020"}
    names |= {7: "SMPTE 240M", 11: "DCI-P3", 12: "Display P3"}
    for number, name in names.items():
        space = colour.RGB_COLOURSPACES[name]
        stated = np.reshape(_PRIMARIES[number][1], (4, 2))
        assert np.allclose(stated[1:], space.primaries, atol=1e-6), name
        assert np.allclose(stated[0], space.whitepoint, atol=1e-3), name


@pytest.mark.parametrize(
    ("code_points", "space", "name"),
    [
        ((12, 13), "Display P3", "Display P3"),
        ((9, 13), "ITU-R BT.2020", "BT.2020, sRGB"),
        ((9, 14), "ITU-R BT.2020", "BT.2020"),
        ((9, 1), "ITU-R BT.2020", "BT.2020, BT.709"),
        ((12, 2), "Display P3", "Display P3"),
        ((1, 8), "sRGB", "BT.709, linear"),
        ((1, 4), "sRGB", "BT.709, gamma 2.2"),
        ((6, 5), "SMPTE C", "BT.601 525, gamma 2.8"),
        ((11, 8), "DCI-P3", "DCI-P3, linear"),
    ],
)
@pytest.mark.parametrize("bits", [8, 16])
def test_code_points_are_applied_in_png(tmp_path, colour, colors, code_points, space, name, bits):
    light = {8: lambda values: values, 4: lambda values: values**2.2, 5: lambda values: values**2.8}
    pixels = colors if bits == 8 else colors.astype(np.uint16) * 257
    image = read(tmp_path, png(pixels, bits=bits, chunks=cicp(*code_points)))
    assert image.notes == (f"converted from {name} to sRGB",)
    assert image.metadata.has_profile
    assert image.pixels.dtype == pixels.dtype
    expected = by_colour_science(colour, pixels, space, light.get(code_points[1], linear))
    assert np.abs(levels(image.pixels) - expected).max() < 1.5
    assert np.abs(expected - colors).max() > 5


@pytest.mark.parametrize("mode", ["RGB", "RGBA"])
def test_code_points_are_applied_in_avif(tmp_path, colour, photo, veil, mode):
    image = photo if mode == "RGB" else with_alpha(photo, veil)
    data = saved(image, "AVIF", quality=100, subsampling="4:4:4")
    stored = read(tmp_path, data).pixels
    converted = read(tmp_path, avif_with_nclx(data, 12, 13))
    assert converted.notes == ("converted from Display P3 to sRGB",)
    expected = by_colour_science(colour, stored[..., :3], "Display P3", linear)
    assert np.abs(converted.pixels[..., :3] - expected).max() < 1.5
    assert np.array_equal(converted.pixels[..., 3:], stored[..., 3:])


def test_code_points_are_applied_to_every_frame_of_an_avif(tmp_path, colour, photo):
    data = saved(photo, "AVIF", quality=100, save_all=True, append_images=[photo.rotate(20)])
    assert data.count(b"colrnclx") == 2
    stored, converted = read(tmp_path, data), read(tmp_path, avif_with_nclx(data, 12, 13))
    assert converted.notes == ("converted from Display P3 to sRGB",)
    assert converted.animation.n_frames == 2
    expected = by_colour_science(colour, stored.pixels, "Display P3", linear)
    assert np.abs(converted.pixels - expected).max() < 1.5
    only_in_frames = data.replace(b"colrnclx", b"freenclx", 1)
    assert read(tmp_path, avif_with_nclx(only_in_frames, 12, 13)).notes == converted.notes


def test_the_code_points_of_an_avif_are_those_of_its_primary_item(tmp_path, photo, veil):
    data = saved(with_alpha(photo, veil), "AVIF", quality=100)
    data = with_item(data, b"av01", properties=box(b"colr", b"nclx" + struct.pack(">HHHB", 12, 13, 6, 0x80)))
    assert read(tmp_path, data).notes == ()
    first_item = data.index(b"\x01\x02\x83\x04", data.index(b"ipma"))  # its properties; the fourth is nclx
    other = data[:first_item] + b"\x01\x02\x83\x08" + data[first_item + 4 :]
    assert read(tmp_path, other).notes == ("converted from Display P3 to sRGB",)


def test_a_grid_without_code_points_has_those_of_its_tiles(tmp_path, photo, veil):
    data = avif_with_nclx(saved(with_alpha(photo, veil), "AVIF", quality=100), 12, 13)
    first_item = data.index(b"\x01\x02\x83\x04", data.index(b"ipma"))
    other = data[: first_item - 1] + b"\x03\x01\x02\x83" + data[first_item + 4 :]
    assert stated_space(other).profile == stated_space(data).profile != b""


def test_a_profile_of_an_avif_comes_before_its_code_points(tmp_path, photo):
    data = saved(photo, "AVIF", icc_profile=ADOBE_RGB)
    for primaries, transfer in ((9, 16), (12, 13)):
        image = read(tmp_path, avif_with_nclx(data, primaries, transfer) if b"colrnclx" in data else data)
        assert image.notes == ("converted from Adobe RGB by hand to sRGB",)


@pytest.mark.parametrize(
    ("code_points", "name"),
    [
        ((9, 16), "BT.2100 PQ"),
        ((9, 18), "BT.2100 HLG"),
        ((12, 16), "P3-D65, PQ"),
        ((2, 16), "BT.709, PQ"),
        ((1, 11), "BT.709, xvYCC"),
        ((77, 13), "primaries 77, sRGB"),
        ((1, 99), "BT.709, curve 99"),
    ],
)
@pytest.mark.parametrize("file_format", ["PNG", "AVIF"])
def test_code_points_that_are_not_applied_are_named(tmp_path, photo, code_points, name, file_format):
    if file_format == "PNG":
        stored, data, source = np.asarray(photo), png(np.asarray(photo), chunks=cicp(*code_points)), "cICP"
    else:
        plain = saved(photo, "AVIF")
        stored, data, source = read(tmp_path, plain).pixels, avif_with_nclx(plain, *code_points), "nclx"
    image = read(tmp_path, data)
    numbers = "/".join(map(str, code_points))
    assert image.notes == (f"colour space {name} ({source} {numbers}) is not applied; values are taken as sRGB",)
    assert np.array_equal(image.pixels, stored)
    assert not image.metadata.has_profile


@pytest.mark.parametrize("code_points", [(1, 13), (1, 1), (1, 6), (1, 2)])
def test_video_curves_and_unspecified_ones_are_srgb(tmp_path, photo, code_points):
    image = read(tmp_path, png(np.asarray(photo), chunks=cicp(*code_points)))
    assert np.array_equal(image.pixels, np.asarray(photo))
    assert (image.notes, image.metadata.has_profile) == ((), True)
    assert read(tmp_path, avif_with_nclx(saved(photo, "AVIF"), *code_points)).notes == ()


def test_unspecified_code_points_state_nothing(tmp_path, photo):
    image = read(tmp_path, png(np.asarray(photo), chunks=cicp(2, 2)))
    assert (image.notes, image.metadata.has_profile) == ((), False)


def test_values_in_the_narrow_range_of_video_are_not_applied(tmp_path, photo):
    image = read(tmp_path, png(np.asarray(photo), chunks=cicp(12, 13, full=0)))
    note = "colour space Display P3, narrow range (cICP 12/13) is not applied; values are taken as sRGB"
    assert image.notes == (note,)


# --- precedence in PNG ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("chunks", "note"),
    [
        (
            cicp(12, 13) + iccp(ADOBE_RGB) + png_chunk(b"sRGB", b"\0") + gama(100_000),
            "converted from Display P3 to sRGB",
        ),
        (cicp(1, 13) + iccp(ADOBE_RGB) + gama(100_000), None),
        (iccp(ADOBE_RGB) + png_chunk(b"sRGB", b"\0") + gama(100_000), "converted from Adobe RGB by hand to sRGB"),
        (cicp(9, 16) + iccp(ADOBE_RGB), "converted from Adobe RGB by hand to sRGB"),
        (cicp(2, 2) + iccp(ADOBE_RGB), "converted from Adobe RGB by hand to sRGB"),
        (png_chunk(b"sRGB", b"\0") + gama(100_000) + chrm(P3_XY), None),
        (gama(100_000), "converted from gamma 1 (gAMA) to sRGB"),
        (gama(45455) + chrm(P3_XY), "converted from other primaries (cHRM) to sRGB"),
        (gama(51961) + chrm(P3_XY), "converted from gamma 0.51961 and primaries (gAMA, cHRM) to sRGB"),
        (
            cicp(9, 16) + png_chunk(b"sRGB", b"\0"),
            "colour space BT.2100 PQ (cICP 9/16) is not applied; values are taken as sRGB",
        ),
    ],
)
def test_the_space_of_a_png_is_by_cicp_then_iccp_then_srgb_then_gama_and_chrm(tmp_path, photo, chunks, note):
    assert read(tmp_path, png(np.asarray(photo), chunks=chunks)).notes == (() if note is None else (note,))


# --- gamma and primaries of PNG ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("gamma", [1.0, 0.55556, 0.51961, 0.35])
@pytest.mark.parametrize(("color_type", "bits"), [(0, 8), (0, 16), (2, 8), (2, 16), (3, 8), (4, 16), (6, 8)])
def test_gamma_is_applied_to_every_kind_of_png(tmp_path, colour, colors, gamma, color_type, bits):
    chunks = gama(round(gamma * 100_000))
    if color_type == 3:
        palette = colors.reshape(-1, 3)[:256]
        indices = np.arange(256, dtype=np.uint8).reshape(8, 32, 1)
        stored, shown, chunks = indices, palette[indices[..., 0]], chunks + png_chunk(b"PLTE", palette.tobytes())
    else:
        stored = colors if bits == 8 else colors.astype(np.uint16) * 257 + np.arange(60, dtype=np.uint16)[:, None]
        stored = {0: stored[..., :1], 2: stored, 4: stored[..., :2], 6: np.dstack([stored, stored[..., 0]])}[color_type]
        shown = stored[..., :3] if color_type in (2, 6) else stored[..., [0, 0, 0]]
    image = read(tmp_path, png(stored, bits=bits, color_type=color_type, chunks=chunks))
    expected = 255 * colour.models.eotf_inverse_sRGB((shown / np.iinfo(shown.dtype).max) ** (1 / gamma))
    assert np.abs(levels(image.pixels[..., :3]) - expected).max() < 1.1
    assert image.notes == (f"converted from gamma {gamma:g} (gAMA) to sRGB",)
    if color_type in (4, 6):
        assert np.array_equal(image.pixels[..., 3], stored[..., -1])


@pytest.mark.parametrize("bits", [8, 16])
def test_primaries_are_applied_with_the_stated_gamma(tmp_path, colour, colors, bits):
    pixels = colors if bits == 8 else colors.astype(np.uint16) * 257
    for gamma, light in ((45455, linear), (None, linear), (50000, np.square)):
        chunks = chrm(P3_XY) + (b"" if gamma is None else gama(gamma))
        image = read(tmp_path, png(pixels, bits=bits, chunks=chunks))
        expected = by_colour_science(colour, pixels, "Display P3", light)
        assert np.abs(levels(image.pixels) - expected).max() < 1.5
        assert image.metadata.has_profile


def test_primaries_of_an_apng_are_applied_to_its_frames(tmp_path, colour, colors):
    frames = [{"pixels": colors}, {"pixels": colors[::-1]}]
    image = read(tmp_path, apng((60, 40), frames, color_type=2, chunks=cicp(12, 13)))
    expected = by_colour_science(colour, np.concatenate([colors, colors[::-1]]), "Display P3", linear)
    assert np.abs(image.pixels - expected).max() < 1.5


def test_greys_of_a_png_with_other_primaries_stay_grey(tmp_path):
    ramp = np.arange(256, dtype=np.uint8).reshape(8, 32, 1)
    pixels = read(tmp_path, png(ramp, color_type=0, chunks=chrm(P3_XY))).pixels
    assert np.array_equal(pixels, ramp.repeat(3, axis=2))
    pixels = read(tmp_path, png(ramp, color_type=0, chunks=chrm((31000, 31600, *P3_XY[2:])) + gama(55556))).pixels
    assert (np.ptp(pixels.astype(int), axis=2) == 0).all()


def test_a_gamma_and_primaries_about_srgb_are_srgb(tmp_path, photo):
    pixels = np.asarray(photo)
    for chunks in (gama(45455), gama(47000), gama(44000), gama(0), png_chunk(b"gAMA", b""), chrm(SRGB_XY)):
        image = read(tmp_path, png(pixels, chunks=chunks))
        assert np.array_equal(image.pixels, pixels)
        assert (image.notes, image.metadata.has_profile) == ((), False)


def test_an_absurd_gamma_or_absurd_primaries_are_not_applied(tmp_path, photo):
    pixels = np.asarray(photo)
    for chunks, name in (
        (gama(1), "gamma 1e-05 (gAMA)"),
        (gama(0xFFFFFFFF), "gamma 42949.7 (gAMA)"),
        (chrm((0,) * 8), "other primaries (cHRM)"),
        (chrm((31270, 32900) * 4), "other primaries (cHRM)"),
        (chrm((31270, 0, *P3_XY[2:])), "other primaries (cHRM)"),
        (chrm((0xFFFFFFFF,) * 8), "other primaries (cHRM)"),
    ):
        image = read(tmp_path, png(pixels, chunks=chunks))
        assert np.array_equal(image.pixels, pixels)
        assert image.notes == (f"{name} is not applied; values are taken as sRGB",)


# --- TIFF -------------------------------------------------------------------------------------------------------------


def rationals(values):
    return [(round(100_000 * value), 100_000) for value in values]


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
def test_primaries_and_curves_of_a_tiff_are_applied(tmp_path, colour, colors, dtype):
    pixels = colors if dtype == np.uint8 else colors.astype(np.uint16) * 257
    tags = {318: rationals((0.3127, 0.329)), 319: rationals((0.68, 0.32, 0.265, 0.69, 0.15, 0.06))}
    size = 256 if dtype == np.uint8 else 65536
    squares = np.rint(65535 * np.linspace(0, 1, size) ** 2).astype("<u2")
    for stated, space, light, name in (
        (tags, "Display P3", linear, "other primaries (TIFF)"),
        ({301: squares}, "sRGB", np.square, "a curve (TIFF)"),
        ({301: np.tile(squares, 3)}, "sRGB", np.square, "a curve (TIFF)"),
        ({**tags, 301: squares}, "Display P3", np.square, "other primaries and a curve (TIFF)"),
    ):
        image = read(tmp_path, tiff(pixels, stated))
        assert image.notes == (f"converted from {name} to sRGB",)
        expected = by_colour_science(colour, pixels, space, light)
        assert np.abs(levels(image.pixels) - expected).max() < 1.5
    with_profile = read(tmp_path, tiff(pixels, {**tags, 34675: ADOBE_RGB}))
    assert with_profile.notes == ("converted from Adobe RGB by hand to sRGB",)


def test_primaries_of_srgb_and_broken_ones_do_not_change_a_tiff(tmp_path, colors):
    for tags in (
        {318: rationals((0.3127, 0.329)), 319: rationals((0.64, 0.33, 0.3, 0.6, 0.15, 0.06))},
        {319: rationals((0.68, 0.32, 0.265, 0.69, 0.15, 0.06))},
        {318: [(1, 0)] * 2, 319: [(1, 0)] * 6},
        {318: [(0, 1)] * 2, 319: [(0, 1)] * 6},
        {301: np.arange(7, dtype="<u2")},
        {301: np.arange(768, dtype="<u2")},
    ):
        assert np.array_equal(read(tmp_path, tiff(colors, tags)).pixels, colors)


# --- JPEG 2000 --------------------------------------------------------------------------------------------------------


def enumerated(number):
    return colr(1, struct.pack(">I", number))


@pytest.mark.parametrize("bits", [8, 16])
def test_romm_rgb_of_a_jp2_is_converted(tmp_path, colour, colors, bits):
    values = np.concatenate([colors, colors[:10] // 4])
    if bits == 8:
        data = saved(Image.fromarray(values), "JPEG2000")
    else:
        values = values.astype(np.uint16) * 257
        data = cv2.imencode(".jp2", values[..., ::-1], [cv2.IMWRITE_JPEG2000_COMPRESSION_X1000, 1000])[1].tobytes()
        values = read(tmp_path, data).pixels
    image = read(tmp_path, jp2_with(data, enumerated(21)))
    assert image.notes == ("converted from ROMM RGB to sRGB",)
    space = colour.RGB_COLOURSPACES["ROMM RGB"]
    expected = by_colour_science(colour, values, space, space.cctf_decoding)
    assert np.abs(levels(image.pixels) - expected).max() < (1.3 if bits == 8 else 0.8)


def test_code_points_of_a_jp2_are_applied(tmp_path, colour, photo):
    box = colr(5, struct.pack(">HHHB", 12, 13, 0, 0x80))
    image = read(tmp_path, jp2_with(saved(photo, "JPEG2000"), box))
    assert image.notes == ("converted from Display P3 to sRGB",)
    expected = by_colour_science(colour, np.asarray(photo), "Display P3", linear)
    assert np.abs(image.pixels - expected).max() < 1.5


@pytest.mark.parametrize(
    ("mode", "number", "note"),
    [
        ("RGB", 16, None),
        ("L", 17, None),
        ("RGB", 14, "colour space CIELab (JPEG 2000's 14) is not applied; values are taken as sRGB"),
        ("RGB", 20, "colour space e-sRGB (JPEG 2000's 20) is not applied; values are taken as sRGB"),
        ("RGB", 11, "colour space CMY (JPEG 2000's 11) is not applied; values are taken as sRGB"),
        ("RGB", 99, "colour space unknown (JPEG 2000's 99) is not applied; values are taken as sRGB"),
    ],
)
def test_other_spaces_of_a_jp2_are_named(tmp_path, photo, mode, number, note):
    image = photo.convert(mode)
    read_image = read(tmp_path, jp2_with(saved(image, "JPEG2000"), enumerated(number)))
    assert np.array_equal(read_image.pixels, np.asarray(image.convert("RGB")))
    assert read_image.notes == (() if note is None else (note,))


def test_a_profile_or_an_applied_space_of_a_jp2_comes_before_another(tmp_path, photo):
    data = saved(photo, "JPEG2000")
    for specifications, notes in (
        ((enumerated(14), colr(2, P3)), ("converted from Display P3 to sRGB",)),
        ((enumerated(16), colr(3, P3)), ("converted from Display P3 to sRGB",)),
        ((enumerated(14), enumerated(16)), ()),
    ):
        assert read(tmp_path, jp2_with(data, *specifications)).notes == notes


# --- CIELAB -----------------------------------------------------------------------------------------------------------


def test_a_tiff_of_cielab_is_converted_and_says_so(tmp_path, colour, photo):
    srgb, lab = ImageCms.createProfile("sRGB"), ImageCms.createProfile("LAB")
    image = ImageCms.profileToProfile(photo, srgb, lab, 1, "LAB")
    lab_profile = ImageCms.ImageCmsProfile(lab).tobytes()
    for profile, end in (
        (None, ""),
        (lab_profile, ""),
        (P3, "; the colour profile does not fit the image"),
        (b"x" * 200, "; the colour profile does not fit the image"),
    ):
        options = {} if profile is None else {"icc_profile": profile}
        result = read(tmp_path, saved(image, "TIFF", **options))
        assert result.notes == (f"converted from CIELAB (D50) to sRGB{end}",)
        assert np.abs(result.pixels.astype(int) - np.asarray(photo)).max() <= 6
        assert result.metadata.has_profile


# --- BMP --------------------------------------------------------------------------------------------------------------


def bmp(pixels, light, gammas, *, kind=bytes(4), size=108):
    """Return a BMP whose header has the light of the primaries (3, 3) and gammas."""
    height, width = pixels.shape[:2]
    header = struct.pack("<IiiHHIIiiII", size, width, height, 1, 24, 0, 0, 0, 0, 0, 0).ljust(56, b"\0") + kind
    header += struct.pack("<9i", *np.rint(np.ravel(light) * 2**30).astype(int))
    header += struct.pack("<3I", *(round(gamma * 2**16) for gamma in gammas))
    rows = b"".join(row.tobytes() + bytes(-row.nbytes % 4) for row in pixels[::-1, :, ::-1])
    start = 14 + size
    return b"BM" + struct.pack("<IHHI", start + len(rows), 0, 0, start) + header.ljust(size, b"\0") + rows


@pytest.mark.parametrize("size", [108, 124])
def test_calibrated_spaces_of_a_bmp_are_applied(tmp_path, colour, colors, size):
    light = {name: colour.RGB_COLOURSPACES[name].matrix_RGB_to_XYZ.T for name in ("sRGB", "Display P3")}
    for space, gamma, curve, name in (
        ("Display P3", 2.2, linear, "other primaries (BMP)"),
        ("Display P3", 0, linear, "other primaries (BMP)"),
        ("sRGB", 1.0, lambda values: values, "gamma 1 (BMP)"),
        ("Display P3", 2.0, np.square, "gamma 0.5 and primaries (BMP)"),
    ):
        image = read(tmp_path, bmp(colors, light[space], [gamma] * 3, size=size))
        assert image.notes == (f"converted from {name} to sRGB",)
        assert np.abs(image.pixels - by_colour_science(colour, colors, space, curve)).max() < 1.6


def test_other_bmps_are_srgb(tmp_path, colour, colors):
    srgb, p3 = (colour.RGB_COLOURSPACES[name].matrix_RGB_to_XYZ.T for name in ("sRGB", "Display P3"))
    for light, gammas, kind in (
        (srgb, (2.2, 2.2, 2.2), bytes(4)),
        (srgb * 0, (0, 0, 0), bytes(4)),
        (-p3, (0, 0, 0), bytes(4)),
        (p3, (1, 1, 1), b"BGRs"),
        (p3, (1, 1, 1), b" niW"),
    ):
        image = read(tmp_path, bmp(colors, light, gammas, kind=kind))
        assert np.array_equal(image.pixels, colors)
        assert image.notes == ()
    image = read(tmp_path, bmp(colors, srgb, (2.2, 1.8, 2.2)))
    assert image.notes == ("a gamma for each channel (BMP) is not applied; values are taken as sRGB",)
