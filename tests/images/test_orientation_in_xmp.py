"""An orientation that only XMP states, in every format that carries XMP."""

import numpy as np
import pytest
from icc_profiles import P3
from image_files import read, saved
from PIL import Image, PngImagePlugin
from tiff_files import tiff

from gmmquant.images.decoding.metadata import clean_metadata, xmp_orientation
from gmmquant.images.decoding.reader import StoredImage
from gmmquant.images.files import orient

FORMS = {
    "attribute": b'<x:xmpmeta xmlns:x="adobe:ns:meta/"><rdf:Description tiff:Orientation="%d" dc:a="b"/></x:xmpmeta>',
    "quotes": b"<x:xmpmeta xmlns:x='adobe:ns:meta/'><rdf:Description tiff:Orientation = '%d'/></x:xmpmeta>",
    "element": b'<x:xmpmeta xmlns:x="adobe:ns:meta/"><tiff:Orientation> %d </tiff:Orientation></x:xmpmeta>',
}
OPTIONS = {"WEBP": {"lossless": True}, "JPEG": {"quality": 95}}


def with_xmp(image, file_format, xmp, exif=None, **options):
    """Return a file with XMP, and with EXIF if there is any."""
    if exif is not None and file_format != "TIFF":
        options["exif"] = exif
    if file_format == "PNG":
        text = PngImagePlugin.PngInfo()
        text.add_itxt("XML:com.adobe.xmp", xmp.decode())
        return saved(image, file_format, pnginfo=text, **options)
    if file_format == "TIFF":
        return saved(image, file_format, tiffinfo={700: xmp, **(exif or {})}, **options)
    return saved(image, file_format, xmp=xmp, **OPTIONS[file_format], **options)


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("file_format", ["PNG", "WEBP", "TIFF", "JPEG"])
def test_an_orientation_in_xmp_is_applied_once(tmp_path, photo, file_format, orientation, form):
    xmp = FORMS[form] % orientation
    plain = read(tmp_path, with_xmp(photo, file_format, b"<x:xmpmeta/>")).pixels
    image = read(tmp_path, with_xmp(photo, file_format, xmp))
    assert np.array_equal(image.pixels, orient(plain, orientation))
    assert b"Orientation" not in image.metadata.xmp


@pytest.mark.parametrize("file_format", ["PNG", "WEBP", "TIFF", "JPEG"])
def test_the_orientation_in_exif_comes_before_that_in_xmp(tmp_path, photo, file_format):
    plain = read(tmp_path, with_xmp(photo, file_format, b"<x:xmpmeta/>")).pixels
    for stated in (1, 3, 8):
        exif = Image.Exif()
        exif[0x0112] = stated
        data = with_xmp(photo, file_format, FORMS["attribute"] % 6, exif=exif)
        assert np.array_equal(read(tmp_path, data).pixels, orient(plain, stated))
    exif = Image.Exif()
    exif[0x010F] = "a maker"
    data = with_xmp(photo, file_format, FORMS["attribute"] % 6, exif=exif)
    assert np.array_equal(read(tmp_path, data).pixels, orient(plain, 6))


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
def test_a_tiff_of_any_depth_is_rotated_once_by_its_xmp(tmp_path, dtype):
    pixels = np.random.default_rng(0).integers(0, 256, (5, 7, 3)).astype(dtype)
    for xmp in FORMS.values():
        assert np.array_equal(read(tmp_path, tiff(pixels, {700: xmp % 6})).pixels, orient(pixels, 6))
        for tag in (1, 8):
            data = tiff(pixels, {700: xmp % 6, 274: tag})
            assert np.array_equal(read(tmp_path, data).pixels, orient(pixels, tag))


def test_inks_of_a_tiff_with_a_profile_are_rotated_once_by_its_xmp(tmp_path, photo):
    from icc_profiles import ink_profile

    inks = photo.convert("CMYK")
    plain = read(tmp_path, saved(inks, "TIFF", icc_profile=ink_profile())).pixels
    data = saved(inks, "TIFF", icc_profile=ink_profile(), tiffinfo={700: FORMS["attribute"] % 6})
    assert np.array_equal(read(tmp_path, data).pixels, orient(plain, 6))


def test_resolution_turns_with_the_image(tmp_path, photo):
    data = with_xmp(photo, "JPEG", FORMS["attribute"] % 6, dpi=(300, 150))
    assert read(tmp_path, data).metadata.dpi == pytest.approx((150, 300))


def test_frames_are_rotated_and_converted(tmp_path, photo):
    options = {"save_all": True, "append_images": [photo.rotate(20)], "lossless": True, "icc_profile": P3}
    plain = read(tmp_path, saved(photo, "WEBP", **options)).pixels
    image = read(tmp_path, saved(photo, "WEBP", xmp=FORMS["attribute"] % 6, **options))
    frames = plain.reshape(2, 40, 60, 3)
    assert np.array_equal(image.pixels, np.concatenate([orient(frame, 6) for frame in frames]))


def test_only_boxes_rotate_an_avif(tmp_path, photo):
    plain = read(tmp_path, saved(photo, "AVIF")).pixels
    assert np.array_equal(read(tmp_path, saved(photo, "AVIF", xmp=FORMS["attribute"] % 6)).pixels, plain)


@pytest.mark.parametrize(
    "xmp",
    [
        b" " * 1_000_000 + FORMS["attribute"] % 6,
        b"<tiff:Orientation>" + b" " * 1_000_000 + b"6",
        b" tiff:Orientation" * 50_000,
        b" tiff:Orientation " + b" " * 1_000_000,
    ],
    ids=["spaces", "element", "names", "attribute"],
)
def test_long_runs_of_spaces_in_xmp_take_no_time(photo, xmp):
    stored = StoredImage(np.asarray(photo)[None], xmp=xmp)
    assert xmp_orientation(xmp) == (6 if b'"6"' in xmp else 1)
    assert clean_metadata(stored, 1, has_profile=False).xmp == xmp.replace(b' tiff:Orientation="6"', b"")


@pytest.mark.parametrize("value", [b"0", b"9", b"10", b"66", b"", b"-6", b"\xd9\xa6"])
def test_an_unknown_orientation_in_xmp_does_not_rotate(tmp_path, photo, value):
    xmp = FORMS["attribute"].replace(b"%d", value)
    assert np.array_equal(read(tmp_path, saved(photo, "WEBP", lossless=True, xmp=xmp)).pixels, np.asarray(photo))
