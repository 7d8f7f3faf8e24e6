"""HEIF and JPEG XL, against the pixels that were written, other encoders, and without the packages that read them."""

import io
import struct
import sys

import imagecodecs
import numpy as np
import pillow_heif
import pillow_jxl
import pytest
from box_files import avif_with_nclx
from color_oracle import by_colour_science
from icc_profiles import linear
from image_files import pillow, png, png_chunk, read, saved, with_alpha
from PIL import Image, ImageCms

from gmmquant import quantize
from gmmquant.errors import ImageError, ParameterError
from gmmquant.images.decoded import Metadata
from gmmquant.images.decoding.formats import jpegxl
from gmmquant.images.decoding.jxl_header import parse_jxl
from gmmquant.images.decoding.optional import import_decoder
from gmmquant.images.decoding.registry import _recognize, read_header
from gmmquant.images.encoding import jxl as jxl_format
from gmmquant.images.encoding.encode import encode_image, is_gmmquant_output
from gmmquant.images.files import read_image
from gmmquant.images.recolor import ColorImage

EXACT = {"quality": -1, "chroma": 444, "matrix_coefficients": 0}


def heif(*images, **options):
    """Return a HEIF without loss of images of Pillow."""
    file = pillow_heif.HeifFile()
    for image in images:
        file.add_from_pillow(image)
    buffer = io.BytesIO()
    file.save(buffer, **EXACT, **options)
    return buffer.getvalue()


def jxl(image, **options):
    buffer = io.BytesIO()
    image.copy().save(buffer, "JXL", **({"lossless": True} | options))
    return buffer.getvalue()


def stored(data):
    """Return a JPEG XL before its profile is applied: other encoders take 16 bits for linear light."""
    return jpegxl.decode(data, read_header(io.BytesIO(data)), lambda *size: None)


def box(kind, body):
    return struct.pack(">I4s", 8 + len(body), kind) + body


def bits_of(*fields):
    """Return fields of (value, number of bits), the first in the lowest bits."""
    number = position = 0
    for value, n_bits in fields:
        number |= value << position
        position += n_bits
    return number.to_bytes(position // 8 + 40, "little")


# --- pixels -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("encode", [heif, jxl])
@pytest.mark.parametrize("mode", ["RGB", "RGBA", "L", "LA"])
def test_files_without_loss_have_the_pixels_that_were_written(tmp_path, photo, veil, encode, mode):
    image = with_alpha(photo, veil).convert(mode)
    wanted = np.asarray(image.convert("RGB" if mode in ("L", "RGB") else "RGBA"))
    found = read(tmp_path, encode(image))
    tolerance = 1 if encode is heif and mode in ("L", "LA") else 0  # grey passes through a conversion of colours
    assert np.abs(found.pixels.astype(int) - wanted).max() <= tolerance
    assert found.notes == ()


@pytest.mark.parametrize("bits", [10, 12])
@pytest.mark.parametrize("channels", [3, 4])
def test_10_and_12_bits_of_a_heif_are_stretched_to_16(tmp_path, monkeypatch, bits, channels):
    monkeypatch.setattr(pillow_heif.options, "SAVE_HDR_TO_12_BIT", bits == 12)
    values = np.random.default_rng(0).integers(0, 65536, (64, 80, channels)).astype(np.uint16)
    buffer = io.BytesIO()
    pillow_heif.from_bytes("RGB;16" if channels == 3 else "RGBA;16", (80, 64), values.tobytes()).save(buffer, **EXACT)
    pixels = read(tmp_path, buffer.getvalue()).pixels
    stored = (values >> (16 - bits)).astype(float)
    assert pixels.dtype == np.uint16
    assert np.array_equal(pixels, np.floor(stored * 65535 / ((1 << bits) - 1) + 0.5).astype(np.uint16))


@pytest.mark.parametrize("shape", [(30, 20, 3), (30, 20, 4), (30, 20)])
def test_a_jpeg_xl_of_another_encoder_has_its_pixels(tmp_path, shape):
    values = np.random.default_rng(0).integers(0, 256, shape, dtype=np.uint8)
    pixels = read(tmp_path, imagecodecs.jpegxl_encode(values, lossless=True)).pixels
    assert np.array_equal(pixels, values if values.ndim == 3 else np.dstack([values] * 3))


def test_a_jpeg_xl_with_loss_is_near_what_another_decoder_reads(tmp_path, photo):
    data = jxl(photo, lossless=False, quality=90)
    wanted = imagecodecs.jpegxl_decode(data)
    assert np.abs(read(tmp_path, data).pixels.astype(int) - wanted).max() <= 2


def test_grey_of_16_bits_is_kept_and_colors_of_16_bits_are_noted(tmp_path):
    values = np.random.default_rng(0).integers(0, 65536, (30, 20, 3), dtype=np.uint16)
    grey = stored(imagecodecs.jpegxl_encode(values[..., 0].copy(), lossless=True))
    assert np.array_equal(grey.frames[0, ..., 1], values[..., 0])
    assert grey.notes == ()
    colors = stored(imagecodecs.jpegxl_encode(values, lossless=True))
    assert np.abs(colors.frames[0] * 257.0 - values).max() <= 257  # the decoder dithers
    assert colors.notes == ("the image has more than 8 bits per channel; only 8 are used",)


def test_a_jpeg_packed_without_loss_is_read_as_the_jpeg(tmp_path, photo):
    exif = Image.Exif()
    exif[0x0112] = 6
    data = saved(photo, "JPEG", quality=90, exif=exif)
    encoder = pillow_jxl.Encoder(mode="RGB", lossless=True, quality=100, decoding_speed=0, effort=3, use_container=True)
    packed = encoder(data, 60, 40, jpeg_encode=True)
    assert len(packed) < len(data) + 200
    assert np.array_equal(read(tmp_path, packed).pixels, read(tmp_path, data).pixels)
    assert read(tmp_path, packed).pixels.shape == (60, 40, 3)


# --- orientation, profiles, metadata, several images ------------------------------------------------------------------


def test_a_heif_is_turned_once(tmp_path, photo):
    pillow_heif.register_heif_opener()
    exif = Image.Exif()
    exif[0x0112], exif[271] = 6, "maker"
    found = read(tmp_path, saved(photo, "HEIF", exif=exif.tobytes(), **EXACT))
    assert np.array_equal(found.pixels, np.asarray(photo.transpose(Image.Transpose.ROTATE_270)))
    assert b"maker" in found.metadata.exif


def test_the_orientation_in_the_exif_of_a_jpeg_xl_does_not_count(tmp_path, photo):
    exif = Image.Exif()
    exif[0x0112], exif[271] = 6, "maker"
    found = read(tmp_path, jxl(photo, exif=exif.tobytes(), xmp=b"<x:xmpmeta/>"))
    assert np.array_equal(found.pixels, np.asarray(photo))
    assert b"maker" in found.metadata.exif
    assert found.metadata.xmp == b"<x:xmpmeta/>"


def test_the_profile_of_a_heif_is_applied_as_that_of_a_png(tmp_path, photo):
    lab = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    image = photo.copy()
    image.info["icc_profile"] = lab
    found = read(tmp_path, heif(image))
    assert np.array_equal(found.pixels, read(tmp_path, saved(photo, "PNG", icc_profile=lab)).pixels)
    assert found.metadata.has_profile


def test_the_code_points_of_a_heif_are_applied_as_those_of_a_png(tmp_path, photo):
    pillow_heif.register_heif_opener()
    data = saved(photo, "HEIF", **EXACT, color_primaries=12, transfer_characteristics=13)
    chunk = png_chunk(b"cICP", bytes((12, 13, 0, 1)))
    wanted = read(tmp_path, png(np.asarray(photo), chunks=chunk))
    assert not np.array_equal(wanted.pixels, np.asarray(photo))
    assert np.array_equal(read(tmp_path, data).pixels, wanted.pixels)
    assert read(tmp_path, data).notes == wanted.notes


def test_only_the_main_image_of_several_is_used_with_a_note(tmp_path, photo):
    found = read(tmp_path, heif(photo, photo.rotate(90, expand=True), primary_index=1))
    assert np.array_equal(found.pixels, np.asarray(photo.rotate(90, expand=True)))
    assert found.notes == ("the file contains several images; only the main one is used",)


def test_only_the_last_frame_of_an_animation_is_used_with_a_note(tmp_path):
    frames = np.random.default_rng(0).integers(0, 256, (3, 20, 30, 3), dtype=np.uint8)
    found = read(tmp_path, imagecodecs.jpegxl_encode(frames, lossless=True))
    assert np.array_equal(found.pixels, frames[-1])
    assert found.notes == ("the file is an animation; only its last frame is used",)


# --- recognition and headers ------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("brands", "name"),
    [
        ((b"heic", b"mif1"), "HEIF"),
        ((b"mif1", b"miaf", b"heix"), "HEIF"),
        ((b"mif1",), "HEIF"),
        ((b"mif1", b"miaf", b"avif"), "AVIF"),
        ((b"avif", b"mif1"), "AVIF"),
        ((b"msf1", b"avis", b"avif"), "AVIF"),
        ((b"isom", b"mp42"), None),
    ],
)
def test_the_brands_of_a_file_decide_between_heif_and_avif(brands, name):
    beginning = box(b"ftyp", brands[0] + bytes(4) + b"".join(brands)) + box(b"meta", b"avifheic")
    recognized = _recognize(beginning)
    assert (recognized and recognized.name) == name
    if name is None:
        with pytest.raises(ImageError, match="not a supported image"):
            read_header(io.BytesIO(beginning))


@pytest.mark.parametrize(
    "size", [(1, 1), (8, 8), (512, 512), (100, 3), (640, 480), (9000, 2), (2, 9000), (300, 200), (160, 90), (264, 128)]
)
def test_the_header_of_a_jpeg_xl_is_parsed(size):
    width, height = size
    found = parse_jxl(imagecodecs.jpegxl_encode(np.zeros((height, width, 4), np.uint8)))
    assert (found.width, found.height, found.bits, found.n_extra) == (width, height, 8, 1)
    found = parse_jxl(imagecodecs.jpegxl_encode(np.zeros((2, height, width, 3), np.uint16)))
    assert (found.width, found.height, found.bits, found.is_animation) == (width, height, 16, True)


def test_a_turned_jpeg_xl_has_the_size_after_it():
    size = ((0, 1), (0, 2), (29, 9), (0, 3), (0, 2), (19, 9))
    rest = ((0, 1), (1, 1), (5, 3), (0, 3), (0, 1), (2, 2), (0, 1), (0, 2))
    found = parse_jxl(b"\xff\x0a" + bits_of(*size, *rest))
    assert found == (30, 20, 12, False, 0)


@pytest.mark.parametrize(
    ("is_float", "depth", "bits"), [(0, (3, 2), (13, 6)), (1, (1, 2), (0, 0)), (1, (3, 2), (23, 6))]
)
@pytest.mark.parametrize("preview", [(1, 1, (2, 2), (6, 5)), (1, 0, (1, 2), (99, 8)), None])
def test_the_depth_of_a_jpeg_xl_is_read_behind_all_optional_fields(is_float, depth, bits, preview):
    """The fields of ISO/IEC 18181-1, written one by one."""
    fields = [(0, 1), (0, 2), (19, 9), (0, 3), (0, 2), (29, 9)]  # 20 high, 30 wide
    fields += [(0, 1), (1, 1), (0, 3)]  # not all default, extra fields, orientation
    fields += [(1, 1), (1, 1), (4, 5), (1, 3)]  # an intrinsic size: in eights, with a ratio
    if preview is None:
        fields += [(0, 1)]
    else:
        has_preview, in_eights, *height = preview
        fields += [(has_preview, 1), (in_eights, 1), *height, (0, 3), *height]
    fields += [(1, 1), (0, 2), (0, 2), (0, 2), (0, 1)]  # an animation
    fields += [(is_float, 1), depth, bits, *([(7, 4)] if is_float else []), (0, 1), (2, 2), (3, 4)]
    wanted = {(0, (13, 6)): 14, (1, (0, 0)): 16, (1, (23, 6)): 24}[is_float, bits]
    assert parse_jxl(b"\xff\x0a" + bits_of(*fields)) == (30, 20, wanted, True, 5)


def test_colors_that_a_heif_stores_times_alpha_are_divided_by_it(tmp_path):
    alpha = np.array([[0, 1, 51, 128, 254, 255]], np.uint8).repeat(8, axis=0)
    colors = np.random.default_rng(0).integers(0, 256, (8, 6, 3), dtype=np.uint8)
    product = np.rint(colors * (alpha[..., None] / 255)).astype(np.uint8)
    file = pillow_heif.from_bytes("RGBa", (6, 8), np.dstack([product, alpha]).tobytes())
    buffer = io.BytesIO()
    file.save(buffer, **EXACT)
    pixels = read(tmp_path, buffer.getvalue()).pixels
    assert np.array_equal(pixels[..., 3], alpha)
    error = np.abs(pixels[..., :3].astype(float) - colors)
    assert (error <= 1 + 255 / (2 * np.maximum(alpha, 1.0)[..., None]))[alpha > 0].all()


# --- refusals ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("encode", "module", "package"), [(heif, "pillow_heif", "pillow-heif"), (jxl, "pillow_jxl", "pillow-jxl-plugin")]
)
def test_without_its_package_a_file_is_refused_with_the_extra(tmp_path, photo, monkeypatch, encode, module, package):
    data = encode(photo)
    monkeypatch.setitem(sys.modules, module, None)
    with pytest.raises(ImageError, match=rf"images need the package {package}: pip install 'gmmquant\[formats\]'"):
        read(tmp_path, data)


@pytest.mark.parametrize("encode", [heif, jxl])
@pytest.mark.parametrize("n_bytes", [1, 5, 60])
def test_files_that_are_cut_short_are_refused(tmp_path, photo, encode, n_bytes):
    data = encode(photo)
    for length in (len(data) - n_bytes, len(data) // 2, 20 + n_bytes):
        with pytest.raises(ImageError) as caught:
            read(tmp_path, data[:length])
        assert "\n" not in str(caught.value)


def test_a_jpeg_xl_above_the_limit_is_refused_by_the_header_alone(tmp_path):
    side = (99_999, 18)
    (tmp_path / "bomb.jxl").write_bytes(b"\xff\x0a" + bits_of((0, 1), (2, 2), side, (1, 3), (1, 1)))
    with pytest.raises(ImageError, match="100000 x 100000 pixels is above the limit"):
        read_image(tmp_path / "bomb.jxl")


def test_a_jpeg_xl_of_many_channels_is_refused(tmp_path):
    small = ((0, 1), (0, 2), (9, 9), (1, 3))
    many = ((0, 1), (0, 1), (0, 1), (0, 2), (1, 1), (3, 2), (999, 12))
    with pytest.raises(ImageError, match="JPEG XL with 1000 extra channels is above the limit 16"):
        read(tmp_path, b"\xff\x0a" + bits_of(*small, *many))


def test_a_large_image_that_a_crop_hides_counts_in_full(tmp_path, photo):
    data = bytearray(heif(photo.resize((61, 41))))
    position = data.index(b"ispe") + 8
    data[position : position + 8] = struct.pack(">II", 30_000, 30_000)
    with pytest.raises(ImageError, match=r"30000 x 30000 pixels is above the limit|not supported"):
        read(tmp_path, bytes(data))


def test_a_heif_of_other_codings_is_refused_in_one_line(tmp_path, photo):
    data = heif(photo).replace(b"hvc1", b"xxxx")
    with pytest.raises(ImageError, match="this kind of HEIF is not supported, or the file is damaged"):
        read(tmp_path, data)


@pytest.mark.parametrize(
    ("message", "reason"), [("libx.so: cannot open it\\nin x", "libx.so: cannot open it"), ("", "ImportError")]
)
def test_a_decoder_that_cannot_be_loaded_is_named_with_the_reason(tmp_path, monkeypatch, message, reason):
    (tmp_path / "broken_decoder.py").write_text(f"raise ImportError('{message}')")
    monkeypatch.syspath_prepend(tmp_path)
    with pytest.raises(ImageError) as caught:
        import_decoder("HEIF", "pillow-heif", "broken_decoder")
    remedy = f"reinstall it, as it cannot be loaded ({reason})"
    assert str(caught.value) == f"HEIF images need the package pillow-heif; {remedy}"


def test_a_heif_for_which_memory_is_missing_is_not_damaged(tmp_path, photo, monkeypatch):
    data = heif(photo)

    def fail(*_, **__):
        raise MemoryError

    monkeypatch.setattr(pillow_heif, "HeifFile", fail)
    with pytest.raises(MemoryError):
        read(tmp_path, data)


def test_the_reader_of_jpeg_xl_knows_every_mode_of_its_decoder(photo, veil):
    for mode in ("L", "LA", "RGB", "RGBA"):
        _, info, *_ = pillow_jxl.Decoder(num_threads=0)(jxl(with_alpha(photo, veil).convert(mode)))
        assert info.mode in jpegxl._CHANNELS
    assert pillow(jxl(photo), "RGB").shape == (40, 60, 3)


# --- colour spaces ----------------------------------------------------------------------------------------------------


def test_code_points_of_a_heif_are_applied(tmp_path, colour, photo):
    data = heif(photo)
    assert data.count(b"colrnclx") == 1
    converted = read(tmp_path, avif_with_nclx(data, 12, 13))
    assert converted.notes == ("converted from Display P3 to sRGB",)
    expected = by_colour_science(colour, np.asarray(photo), "Display P3", linear)
    assert np.abs(converted.pixels - expected).max() < 1.5
    bright = read(tmp_path, avif_with_nclx(data, 9, 16))
    assert bright.notes == ("colour space BT.2100 PQ (nclx 9/16) is not applied; values are taken as sRGB",)
    assert np.array_equal(bright.pixels, np.asarray(photo))


def test_a_gain_map_of_a_jpeg_xl_is_named(tmp_path, photo):
    data = jxl(photo)
    if not data.startswith(b"\0\0\0\x0cJXL "):
        data = b"\0\0\0\x0cJXL \r\n\x87\n" + box(b"ftyp", b"jxl \0\0\0\0jxl ") + box(b"jxlc", data)
    image = read(tmp_path, data + box(b"jhgm", bytes(20)))
    assert image.notes == ("the file also has an HDR gain map; only the image itself is used",)
    assert np.array_equal(image.pixels, np.asarray(photo))


def test_a_depth_map_of_a_heif_is_named(tmp_path, photo, veil):
    data = heif(with_alpha(photo, veil))
    alpha = b"urn:mpeg:hevc:2015:auxid:1"
    assert alpha in data
    image = read(tmp_path, data.replace(alpha, alpha[:-1] + b"2"))
    assert image.notes == ("the file also has a depth map; only the image itself is used",)
    assert np.array_equal(image.pixels, np.asarray(photo))


# --- writing ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("alpha", [False, True])
@pytest.mark.parametrize("optimize", [False, True])
def test_a_written_jpeg_xl_has_its_pixels_for_another_decoder_and_ours(tmp_path, alpha, optimize):
    colors = np.random.default_rng(0).integers(0, 256, (20, 30, 3), dtype=np.uint8)
    opacity = np.random.default_rng(1).choice(np.array([0, 1, 128, 255], np.uint8), (20, 30)) if alpha else None
    image = ColorImage(colors, opacity)
    data = encode_image(image, "jxl", metadata=Metadata(dpi=(300, 150)), optimize=optimize)
    image = image.without_hidden() if optimize else image
    assert np.array_equal(imagecodecs.jpegxl_decode(data), image.pixels)
    found = read(tmp_path, data)
    assert np.array_equal(found.pixels, image.pixels)
    assert found.metadata.dpi == (300, 150)
    assert not found.metadata.has_profile
    assert data == encode_image(image, "jxl", metadata=Metadata(dpi=(300, 150)), optimize=optimize)


def test_the_mark_is_found_behind_a_profile_and_long_metadata(photo):
    image = ColorImage(np.asarray(photo))
    metadata = Metadata(has_profile=True, xmp=b"<x:xmpmeta>" + bytes(200_000), exif=b"")
    for file_format in ("avif", "jxl"):
        data = encode_image(image, file_format, metadata=metadata, keep_metadata=True)
        assert is_gmmquant_output(io.BytesIO(data))
        assert not is_gmmquant_output(io.BytesIO(data.replace(b"gmmquant", b"GMMQUANT")))


def test_without_its_package_a_jpeg_xl_is_not_written(tmp_path, photo, monkeypatch):
    monkeypatch.setattr(jxl_format, "is_installed", lambda name: False)
    message = r"^jxl needs the package pillow-jxl-plugin: pip install 'gmmquant\[formats\]'"
    with pytest.raises(ParameterError, match=message):
        encode_image(ColorImage(np.asarray(photo)), "jxl")
    with pytest.raises(ParameterError, match=message):
        quantize(np.asarray(photo), 2).save(tmp_path / "a.jxl")
    assert not list(tmp_path.iterdir())
