"""Encoding of recoloured images, read back with Pillow, OpenCV and ImageMagick."""

import io
import os
import shutil
import struct
import subprocess
import threading
import time
import zlib

import cv2
import numpy as np
import pillow_jxl  # noqa: F401 (registers its format)
import pytest
from helpers import animation_by_opencv, read_sample
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image, ImageCms, ImageFile, PngImagePlugin

from gmmquant.errors import ImageError, ParameterError
from gmmquant.images import containers
from gmmquant.images.decoded import Animation, Metadata
from gmmquant.images.encoding import jpg, output_metadata, palette_entries, png, png_rows
from gmmquant.images.encoding.encode import encode_image, is_gmmquant_output, output_format
from gmmquant.images.recolor import ColorImage, IndexedImage
from gmmquant.settings import OUTPUT_FORMATS
from gmmquant.system import threads

EXACT = [file_format for file_format in OUTPUT_FORMATS if file_format != "jpg"]
READ_BY_OPENCV = [file_format for file_format in EXACT if file_format != "jxl"]
READ_BY_MAGICK = [file_format for file_format in EXACT if file_format not in ("avif", "jxl")]
ANIMATED = ["png", "webp", "gif"]

# ImageMagick, which some systems have under a name with its version only.
CONVERT = shutil.which("convert-im6")

# The second frame is the first again, the third differs in a part, the fourth everywhere.
FILM = Animation((100, 50, 30, 70), loop=3)


def random_image(n_colors, shape=(13, 19), alpha="no", seed=0):
    rng = np.random.default_rng([n_colors, seed])
    palette = rng.integers(0, 256, (n_colors, 3), dtype=np.uint8)
    labels = rng.integers(0, n_colors, shape).astype(np.uint8 if n_colors <= 256 else np.uint16)
    values = {"no": None, "binary": [0, 255], "partial": [0, 1, 77, 128, 254, 255]}[alpha]
    return IndexedImage(labels, palette, values and rng.choice(np.array(values, dtype=np.uint8), shape))


def film_of(n_colors, alpha="no", shape=(13, 19)):
    image = random_image(n_colors, (4 * shape[0], shape[1]), alpha)
    for values in (image.labels, *([] if image.alpha is None else [image.alpha])):
        frames = values.reshape(4, *shape)
        frames[2] = frames[1] = frames[0]
        frames[2, 3:6, 4:9] = frames[3, 3:6, 4:9]
    return image


def as_rgba(pixels):
    pixels = np.asarray(pixels)
    return pixels if pixels.shape[-1] == 4 else np.concatenate([pixels, np.full_like(pixels[..., :1], 255)], axis=-1)


def expected(image, file_format, n_frames):
    """Return the expected pixels of each frame, RGBA; the alpha of a GIF is binary."""
    pixels = as_rgba(image.pixels).copy()
    if file_format == "gif":
        pixels[..., 3] = np.where(pixels[..., 3] >= 128, 255, 0)
    return pixels.reshape(n_frames, -1, *pixels.shape[1:])


def assert_shows(frames, wanted, file_format):
    """Check that frames are the wanted ones; transparent pixels of a GIF have no colour."""
    frames, wanted = as_rgba(frames).copy(), wanted.copy()
    if file_format == "gif":
        frames[frames[..., 3] == 0] = wanted[wanted[..., 3] == 0] = 0
    assert frames.shape == wanted.shape
    assert np.array_equal(frames, wanted)


def by_pillow(data):
    with Image.open(io.BytesIO(data)) as image:
        frames, durations = [], []
        for number in range(getattr(image, "n_frames", 1)):
            image.seek(number)
            frames.append(np.asarray(image.convert("RGBA")))
            durations.append(image.info.get("duration"))
        return np.stack(frames), durations


def by_opencv(data):
    decoded = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_UNCHANGED)
    return to_rgb(decoded)[None]


def to_rgb(decoded):
    if decoded.ndim == 2:
        decoded = np.dstack([decoded] * 3)
    return decoded[..., [2, 1, 0, 3][: decoded.shape[2]]]


def by_magick(data, file_format, shape):
    command = [CONVERT, f"{file_format}:-", "-coalesce", "-depth", "8", "rgba:-"]
    raw = subprocess.run(command, input=data, capture_output=True, check=True).stdout
    return np.frombuffer(raw, np.uint8).reshape(-1, *shape, 4)


def chunks_of(png):
    position, chunks = 8, []
    while position < len(png):
        (size,) = struct.unpack_from(">I", png, position)
        chunks.append((png[position + 4 : position + 8], png[position + 8 : position + 8 + size]))
        position += 12 + size
    return chunks


def bits_and_type(png):
    return png[24], png[25]


# --- pixels -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("alpha", ["no", "binary", "partial"])
def test_an_optimized_webp_is_never_larger(alpha):
    for n_colors in (2, 16, 256):
        image = random_image(n_colors, alpha=alpha)
        assert len(encode_image(image, "webp", optimize=True)) <= len(encode_image(image, "webp"))


@pytest.mark.parametrize("optimize", [False, True])
@pytest.mark.parametrize("alpha", ["no", "binary", "partial"])
@pytest.mark.parametrize("file_format", EXACT)
def test_pillow_reads_every_pixel_and_alpha_back(file_format, alpha, optimize):
    for n_colors in (1, 2, 3, 16, 17, 256, 300):
        if optimize and n_colors in (3, 17, 300):
            continue
        image = random_image(n_colors, alpha=alpha)
        frames, _ = by_pillow(encode_image(image, file_format, optimize=optimize))
        assert_shows(frames, expected(image, file_format, 1), file_format)


@pytest.mark.parametrize("alpha", ["no", "binary", "partial"])
@pytest.mark.parametrize("file_format", READ_BY_OPENCV)
def test_opencv_reads_every_pixel_and_alpha_back(file_format, alpha):
    if file_format == "tiff" and alpha != "no":
        pytest.skip("OpenCV multiplies the alpha of a TIFF in")
    for n_colors in (1, 3, 16, 17, 256, 300):
        image = random_image(n_colors, alpha=alpha)
        assert_shows(by_opencv(encode_image(image, file_format)), expected(image, file_format, 1), file_format)


@pytest.mark.skipif(CONVERT is None, reason="ImageMagick is not installed")
@pytest.mark.parametrize("alpha", ["no", "partial"])
@pytest.mark.parametrize("file_format", READ_BY_MAGICK)
def test_imagemagick_reads_every_pixel_and_alpha_back(file_format, alpha):
    image = random_image(12, alpha=alpha)
    white = IndexedImage(image.labels, np.vstack([[[255] * 3], image.palette[1:]]).astype(np.uint8), image.alpha)
    data = encode_image(white, file_format, metadata=Metadata(has_profile=True))
    assert_shows(by_magick(data, file_format, (13, 19)), expected(white, file_format, 1), file_format)


@pytest.mark.parametrize("file_format", ["png", "webp", "tiff", "bmp"])
def test_true_color_is_stored_exactly(file_format):
    rng = np.random.default_rng(0)
    colors = rng.integers(0, 256, (40, 30, 3), dtype=np.uint8)
    for alpha in (None, rng.integers(0, 256, (40, 30), dtype=np.uint8)):
        image = ColorImage(colors, alpha)
        for animation in (None, FILM) if file_format in ANIMATED else (None,):
            n_frames = 1 if animation is None else 4
            frames, _ = by_pillow(encode_image(image, file_format, animation=animation, optimize=alpha is None))
            assert_shows(frames, expected(image, file_format, n_frames), file_format)


@pytest.mark.parametrize("shape", [(1, 1), (1, 9), (9, 1), (2, 7), (5, 8), (3, 17)])
@pytest.mark.parametrize(("n_colors", "bits"), [(1, 1), (2, 1), (3, 2), (4, 2), (5, 4), (16, 4), (17, 8), (256, 8)])
def test_an_indexed_png_has_the_fewest_bits_for_its_entries_at_every_width(n_colors, bits, shape):
    image = random_image(n_colors, shape)
    data = encode_image(image, "png", keep_order=True)
    assert bits_and_type(data) == (bits, 3)
    assert np.array_equal(by_pillow(data)[0][0, ..., :3], image.pixels)
    assert np.array_equal(by_opencv(data)[0], image.pixels)
    for keep_order in (False, True):
        small = encode_image(image, "png", optimize=True, keep_order=keep_order)
        assert np.array_equal(by_opencv(small)[0], image.pixels)


@pytest.mark.parametrize("shape", [(1, 1), (1, 9), (9, 1), (2, 7), (5, 8), (3, 17)])
@pytest.mark.parametrize(("n_colors", "bits"), [(1, 1), (2, 1), (3, 4), (16, 4), (17, 8), (256, 8)])
def test_an_indexed_bmp_has_the_fewest_bits_at_every_width(n_colors, bits, shape):
    image = random_image(n_colors, shape)
    data = encode_image(image, "bmp")
    assert struct.unpack_from("<H", data, 28) == (bits,)
    assert np.array_equal(by_pillow(data)[0][0, ..., :3], image.pixels)
    assert np.array_equal(by_opencv(data)[0], image.pixels)


@pytest.mark.parametrize(("n_colors", "alpha", "color_type"), [(7, "partial", 3), (300, "no", 2), (300, "partial", 6)])
def test_a_png_is_indexed_where_256_pairs_of_color_and_alpha_suffice(n_colors, alpha, color_type):
    assert bits_and_type(encode_image(random_image(n_colors, (40, 60), alpha), "png"))[1] == color_type


def test_unused_colors_do_not_prevent_an_indexed_png():
    image = random_image(1000, (10, 20))
    assert bits_and_type(encode_image(image, "png", keep_order=True)) == (8, 3)


@pytest.mark.parametrize("file_format", ["png", "gif"])
@pytest.mark.parametrize("optimize", [False, True])
def test_opaque_pixels_keep_the_indices_of_their_palette_if_its_order_is_kept(file_format, optimize):
    rng = np.random.default_rng(0)
    palette = rng.integers(0, 256, (12, 3), dtype=np.uint8)
    labels = rng.choice([1, 4, 7], (20, 30)).astype(np.uint8)  # others do not occur
    alpha = np.where(np.arange(30) < 10, 0, 255).astype(np.uint8) * np.ones((20, 1), np.uint8)
    image = IndexedImage(labels, palette, alpha)
    with Image.open(io.BytesIO(encode_image(image, file_format, keep_order=True, optimize=optimize))) as read:
        assert read.mode == "P"
        indices, stored = np.asarray(read), np.array(read.getpalette()).reshape(-1, 3)
        clear = read.info["transparency"]
    np.testing.assert_array_equal(indices[alpha == 255], labels[alpha == 255])
    np.testing.assert_array_equal(stored[:12], palette)
    if isinstance(clear, bytes):
        assert list(clear[:12]) == [255] * 12
        assert {clear[index] for index in indices[alpha == 0]} == {0}
    else:
        assert clear >= 12
        assert (indices[alpha == 0] >= 12).all()


def test_a_tiny_gradient_of_many_colors_is_written_in_true_color_unless_its_order_is_kept():
    ramp = np.arange(64 * 96).reshape(64, 96) // 24
    palette = np.stack([np.arange(256), 255 - np.arange(256), np.full(256, 90)], axis=1).astype(np.uint8)
    gradient = IndexedImage(ramp.astype(np.uint8), palette)
    for optimize in (False, True):
        free = encode_image(gradient, "png", optimize=optimize)
        kept = encode_image(gradient, "png", optimize=optimize, keep_order=True)
        true = encode_image(ColorImage(gradient.pixels), "png", optimize=optimize)
        assert (bits_and_type(free), bits_and_type(kept)) == ((8, 2), (8, 3))
        assert len(free) == len(true) < len(kept)
        assert np.array_equal(by_opencv(free)[0], gradient.pixels)
    large = IndexedImage(np.tile(gradient.labels, (3, 3)), palette)
    assert bits_and_type(encode_image(large, "png")) == (8, 3)


@given(st.integers(1, 9), st.integers(1, 30), st.integers(1, 20), st.integers(0, 99))
@settings(max_examples=40)
def test_opencv_decodes_packed_and_filtered_rows(height, width, n_colors, seed):
    image = random_image(n_colors, (height, width), seed=seed)
    for number in (png_rows._PLAIN, png_rows._PAETH):
        bits = png.bits_for(n_colors)
        rows = zlib.compress(png_rows._filtered(palette_entries.packed(image.labels, bits), number))
        header = struct.pack(">IIBBBBB", width, height, bits, 3, 0, 0, 0)
        chunks = [(b"IHDR", header), (b"PLTE", image.palette.tobytes()), (b"IDAT", rows), (b"IEND", b"")]
        file = b"\x89PNG\r\n\x1a\n"
        for name, data in chunks:
            file += struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data))
        assert np.array_equal(by_opencv(file)[0], image.pixels)


@pytest.mark.parametrize("n_bytes", [1, 999, 1000, 1001, 70_000])
def test_strips_are_one_stream_as_short_as_a_single_strip_for_any_number_of_threads(n_bytes, monkeypatch):
    rng = np.random.default_rng(n_bytes)
    data = bytes(rng.integers(0, 4, n_bytes, dtype=np.uint8)) + 3 * bytes(rng.integers(0, 256, n_bytes, dtype=np.uint8))
    whole = png_rows._deflated(data)
    assert whole == zlib.compress(data, png_rows._ZLIB_LEVEL)
    monkeypatch.setattr(png_rows, "_STRIP_BYTES", 1000)
    strips = png_rows._deflated(data)
    assert zlib.decompress(strips) == data
    assert len(strips) <= 1.08 * len(whole) + 20
    monkeypatch.setattr(threads, "_MIN_ELEMENTS", 1)
    for n_threads in (1, 3):
        monkeypatch.setattr(threads, "_share", n_threads)
        assert png_rows._deflated(data) == strips


def test_a_jpeg_is_composed_onto_white_with_colors_in_full_resolution():
    y, x = np.mgrid[:32, :48]
    labels = ((x // 8 + y // 8) % 2).astype(np.uint8)
    palette = np.array([[200, 30, 30], [30, 30, 200]], dtype=np.uint8)
    alpha = np.repeat(np.array([0, 128, 255], dtype=np.uint8), 16)[None].repeat(32, axis=0)
    for image in (IndexedImage(labels, palette, alpha), ColorImage(palette[labels], alpha)):
        data = encode_image(image, "jpg")
        with Image.open(io.BytesIO(data)) as original:
            assert [(component[1], component[2]) for component in original.layer] == [(1, 1)] * 3
            shown = np.asarray(original).astype(float)
        share = alpha[..., None] / 255
        wanted = palette[labels] * share + 255 * (1 - share)
        assert np.abs(shown - wanted).max() < 12
        assert np.abs(shown[:, :12] - 255).max() <= 2
    assert len(encode_image(image, "jpg", optimize=True)) < len(data)


def test_noise_is_encoded_as_an_optimized_jpeg_and_the_buffer_of_pillow_is_left_as_it_was():
    usual = ImageFile.MAXBLOCK
    noise = ColorImage(255 * np.random.default_rng(0).integers(0, 2, (200, 200, 3), dtype=np.uint8))
    optimized = encode_image(noise, "jpg", optimize=True)
    assert len(optimized) > 2 * 200 * 200
    assert np.array_equal(by_pillow(optimized)[0], by_pillow(encode_image(noise, "jpg"))[0])
    assert usual == ImageFile.MAXBLOCK


def test_threads_that_optimize_jpegs_do_not_change_the_buffer_of_each_other(monkeypatch):
    usual, save, is_enough = ImageFile.MAXBLOCK, jpg.save_by_pillow, []

    def save_slowly(image, *arguments, **options):
        time.sleep(0.2)
        is_enough.append(2.4 * image.width * image.height <= ImageFile.MAXBLOCK)
        return save(image, *arguments, **options)

    monkeypatch.setattr(jpg, "save_by_pillow", save_slowly)
    threads = []
    for side in (160, 320):
        image = ColorImage(np.zeros((side, side, 3), np.uint8))
        threads.append(threading.Thread(target=encode_image, args=(image, "jpg"), kwargs={"optimize": True}))
        threads[-1].start()
        time.sleep(0.1)
    for thread in threads:
        thread.join()
    assert is_enough == [True, True]
    assert usual == ImageFile.MAXBLOCK


def test_transparent_colors_on_white_are_rounded_to_the_nearest():
    color, alpha = (grid.astype(np.uint8) for grid in np.mgrid[:256, :256])
    shown = np.asarray(jpg._on_white(np.stack([color, color, color, alpha], axis=2)))
    exact = (color.astype(int) * alpha + 255 * (255 - alpha.astype(int))) / 255
    assert np.array_equal(shown, np.rint(exact)[..., None].repeat(3, axis=2))  # 255 is odd: no halves


# --- animations -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("optimize", [False, True])
@pytest.mark.parametrize("alpha", ["no", "binary", "partial"])
@pytest.mark.parametrize("file_format", ANIMATED)
def test_every_frame_is_kept_with_its_duration_even_if_nothing_changes(file_format, alpha, optimize):
    for n_colors in (1, 2, 3, 16, 17, 256, 300):
        if (file_format, n_colors) == ("gif", 300) or (optimize and n_colors in (2, 17, 300)):
            continue
        image = film_of(n_colors, alpha)
        if (file_format, n_colors, alpha != "no") == ("gif", 256, True):
            image = IndexedImage(np.maximum(image.labels, 1), image.palette, image.alpha)
        data = encode_image(image, file_format, animation=FILM, optimize=optimize)
        wanted = expected(image, file_format, 4)
        frames, durations = by_pillow(data)
        assert durations == list(FILM.durations)
        assert_shows(frames, wanted, file_format)
        animation = animation_by_opencv(data)
        assert [int(duration) for duration in animation.durations] == list(FILM.durations)
        assert animation.loop_count == 3
        assert_shows(np.stack([to_rgb(frame) for frame in animation.frames]), wanted, file_format)


@pytest.mark.skipif(CONVERT is None, reason="ImageMagick is not installed")
@pytest.mark.parametrize("alpha", ["no", "binary"])
@pytest.mark.parametrize("file_format", ["gif", "webp"])
def test_imagemagick_shows_every_frame(file_format, alpha):
    image = film_of(9, alpha)
    if (file_format, alpha) == ("webp", "binary"):
        pytest.skip("ImageMagick 6 puts frames of a WebP over each other, though they say to replace")
    data = encode_image(image, file_format, animation=FILM)
    assert_shows(by_magick(data, file_format, (13, 19)), expected(image, file_format, 4), file_format)


def test_an_animated_png_is_indexed_with_one_palette_and_writes_only_what_changed():
    data = encode_image(film_of(16), "png", animation=FILM)
    names = [name for name, _ in chunks_of(data)]
    assert bits_and_type(data) == (4, 3)
    assert names == [b"IHDR", b"tEXt", b"PLTE", b"acTL", b"fcTL", b"IDAT", *[b"fcTL", b"fdAT"] * 3, b"IEND"]
    boxes = [struct.unpack_from(">IIII", body, 4) for name, body in chunks_of(data) if name == b"fcTL"]
    assert boxes == [(19, 13, 0, 0), (1, 1, 0, 0), (5, 3, 4, 3), (19, 13, 0, 0)]


@pytest.mark.parametrize("duration", [0, 0.4, 1000 / 30, 1001 / 30, 40, 65535, 65536.25, 1e6, 6.5e7, 1e12, -5, np.nan])
def test_a_png_states_times_to_a_ten_thousandth(duration):
    data = encode_image(film_of(3), "png", animation=Animation((duration, 40, 40, 40), 0))
    numerator, denominator = next(
        struct.unpack_from(">HH", body, 20) for name, body in chunks_of(data) if name == b"fcTL"
    )
    wanted = min(duration, 6.5535e7) if duration > 0 else 0
    assert numerator / denominator * 1000 == pytest.approx(wanted, rel=1e-4)


def test_a_webp_rounds_times_to_the_nearest_millisecond():
    data = encode_image(film_of(3), "webp", animation=Animation((100 / 6, 33.4, 2e9, 40), 0))
    found = animation_by_opencv(data).durations
    assert [int(duration) for duration in found] == [17, 33, 2**24 - 1, 40]


@pytest.mark.parametrize("file_format", ANIMATED)
@pytest.mark.parametrize("loop", [0, 1, 2, 65535])
def test_the_number_of_repetitions_is_kept(file_format, loop):
    data = encode_image(film_of(3), file_format, animation=Animation(FILM.durations, loop))
    assert animation_by_opencv(data).loop_count == loop


def test_a_gif_clears_its_frames_only_if_a_pixel_becomes_transparent():
    labels, palette = np.zeros((8, 5), np.uint8), np.array([[9, 8, 7]], dtype=np.uint8)
    covered = np.repeat(np.array([255, 0], dtype=np.uint8), 20).reshape(8, 5)
    disposals = []
    for alpha in (covered, covered[::-1]):
        image = IndexedImage(labels, palette, alpha)
        data = encode_image(image, "gif", animation=Animation((40, 40)))
        assert_shows(by_pillow(data)[0], expected(image, "gif", 2), "gif")
        disposals.append(
            [data[position + 3] >> 2 for position in range(len(data)) if data[position : position + 3] == b"!\xf9\x04"]
        )
    assert disposals == [[2, 2], [1, 1]]


def test_the_palette_of_a_gif_has_room_for_the_entry_of_unchanged_pixels():
    data = encode_image(film_of(16), "gif", animation=FILM, optimize=True)
    assert 2 << (data[10] & 7) == 32


def test_a_tiff_holds_frames_as_pages_and_a_bmp_or_jpeg_only_the_first():
    image = film_of(16, "binary")
    wanted = expected(image, "tiff", 4)
    assert np.array_equal(by_pillow(encode_image(image, "tiff", animation=FILM))[0], wanted)
    assert np.array_equal(by_pillow(encode_image(image, "bmp", animation=FILM))[0], wanted[:1])
    assert by_pillow(encode_image(image, "jpg", animation=FILM))[0].shape == wanted[:1].shape


@pytest.mark.parametrize("file_format", OUTPUT_FORMATS)
def test_one_frame_is_a_plain_image_and_rows_must_divide_into_frames(file_format):
    image = random_image(5)
    assert encode_image(image, file_format, animation=Animation((0,))) == encode_image(image, file_format)
    with pytest.raises(ParameterError, match="13 rows are not 2 frames"):
        encode_image(image, file_format, animation=Animation((40, 40)))


# --- limits of the formats --------------------------------------------------------------------------------------------


def test_a_gif_refuses_more_colors_than_it_holds():
    with pytest.raises(ImageError, match="gif stores at most 256 colours, not 300; choose a smaller k"):
        encode_image(random_image(300, (60, 60)), "gif")
    with pytest.raises(ImageError, match="gif stores at most 255 colours plus transparency, not 256"):
        encode_image(random_image(256, (60, 60), "binary"), "gif")
    encode_image(random_image(255, (60, 60), "partial"), "gif")
    with pytest.raises(ImageError, match="an image in true colour has more; choose"):
        encode_image(ColorImage(np.zeros((2, 2, 3), np.uint8)), "gif")


@pytest.mark.parametrize(("file_format", "side"), [("webp", 16383), ("gif", 65535), ("jpg", 65500)])
def test_a_side_above_the_limit_of_a_format_is_refused(file_format, side):
    palette = np.zeros((1, 3), np.uint8)
    encode_image(IndexedImage(np.zeros((1, side), np.uint8), palette), file_format)
    for shape in ((1, side + 1), (side + 1, 1)):
        with pytest.raises(ImageError, match=f"above the limit {side} of {file_format}; choose png"):
            encode_image(IndexedImage(np.zeros(shape, np.uint8), palette), file_format)


@pytest.mark.parametrize("file_format", ["bmp", "tiff"])
def test_more_than_4_gigabytes_are_refused_before_any_work(file_format):
    labels = np.broadcast_to(np.uint8(0), (1 << 15, 1 << 15))
    with pytest.raises(ImageError, match="4 GB"):
        encode_image(IndexedImage(labels, np.zeros((1, 3), np.uint8)), file_format)


def test_an_unknown_format_is_refused():
    for call in (lambda: encode_image(random_image(2), "jpeg2000"), lambda: output_format("jpeg2000")):
        with pytest.raises(ParameterError, match=rf"'jpeg2000' is unknown; use one of {', '.join(OUTPUT_FORMATS)}"):
            call()


@pytest.mark.parametrize(
    ("file_format", "alpha", "animation", "words"),
    [
        ("png", [0, 7], FILM, []),
        ("webp", [0, 7], FILM, []),
        ("tiff", [0, 7], None, []),
        ("tiff", None, FILM, ["pages"]),
        ("gif", [0, 255], FILM, []),
        ("gif", [0, 7], None, ["partial transparency"]),
        ("gif", None, Animation((33, 30)), ["units of 10 ms"]),
        ("gif", None, Animation((33,)), []),
        ("webp", None, Animation((100 / 3, 30)), ["units of 1 ms"]),
        ("webp", None, Animation((100 / 3,)), []),
        ("png", None, Animation((100 / 3, 30)), []),
        ("bmp", [0, 7], None, []),
        ("bmp", None, FILM, ["one frame"]),
        ("jpg", [255, 255], None, ["approximately"]),
        ("jpg", [0, 255], FILM, ["approximately", "on white", "one frame"]),
    ],
)
def test_each_loss_of_a_format_gives_a_warning_of_one_line(file_format, alpha, animation, words):
    notes = output_format(file_format).losses(alpha=alpha and np.array([alpha], dtype=np.uint8), animation=animation)
    assert len(notes) == len(words)
    assert all(word in note and "\n" not in note for word, note in zip(words, notes, strict=True))


@pytest.mark.parametrize("file_format", OUTPUT_FORMATS)
def test_metadata_too_long_for_a_segment_of_a_jpeg_give_a_warning(file_format):
    exif = Image.Exif()
    for length in (60_000, 70_000):
        exif[271] = "x" * length
        metadata = Metadata(exif=exif.tobytes()[6:], xmp=b"<x>" * (length // 3), comments=(("Comment", "c" * length),))
        notes = [note for note in output_format(file_format).losses(metadata=metadata) if "65533 bytes" in note]
        wanted = ["no EXIF and no XMP", "of a comment"] if (file_format, length) == ("jpg", 70_000) else []
        assert len(notes) == len(wanted)
        assert all(words in note for words, note in zip(wanted, notes, strict=True))
        data = encode_image(random_image(5), "jpg", metadata=metadata, keep_metadata=True)
        assert ((b"x" * length in data), (metadata.xmp in data)) == (length == 60_000, length == 60_000)


# --- metadata ---------------------------------------------------------------------------------------------------------


def known_metadata():
    exif = Image.Exif()
    exif[271], exif[0x0132] = "A maker", "2001:02:03 04:05:06"
    exif.get_ifd(0x8769)[0x829A] = 0.25
    return Metadata(
        dpi=(300, 150),
        has_profile=True,
        exif=exif.tobytes().removeprefix(b"Exif\0\0"),
        xmp=b'<x:xmpmeta xmlns:x="adobe:ns:meta/">\xc3\xa4</x:xmpmeta>',
        comments=(("Comment", "Grüße"), ("Title", "a Ω"), ("Software", "other")),
    )


@pytest.mark.parametrize("keep", [False, True])
@pytest.mark.parametrize("file_format", OUTPUT_FORMATS)
def test_resolution_and_color_space_are_always_written_and_the_rest_on_request(file_format, keep):
    metadata = known_metadata()
    data = encode_image(random_image(5), file_format, metadata=metadata, keep_metadata=keep)
    with Image.open(io.BytesIO(data)) as image:
        image.load()
        info, exif = image.info, image.getexif()
    if file_format in ("avif", "jxl"):
        assert (exif.get(282), exif.get(283), exif.get(296)) == (300, 150, 2)
    elif file_format not in ("webp", "gif"):
        assert info["dpi"] == pytest.approx((300, 150), abs=0.02)
    if file_format == "png":
        assert info["srgb"] == 0
        assert b"IDAT" in data[data.index(b"sRGB") :]
    elif file_format not in ("gif", "bmp", "jxl"):
        profile = ImageCms.ImageCmsProfile(io.BytesIO(info["icc_profile"]))
        assert "sRGB" in ImageCms.getProfileDescription(profile)
    if file_format not in ("gif", "bmp"):
        assert exif.get(271) == ("A maker" if keep else None)
        assert (metadata.xmp in data) == keep
    if file_format in ("png", "webp", "jpg"):
        assert exif.get_ifd(0x8769).get(0x829A) == (0.25 if keep else None)
    if file_format in ("png", "jpg", "gif", "tiff"):
        text = data.replace(b"Gr\xfc\xdfe", "Grüße".encode())
        assert (("Grüße".encode() in text), ("a Ω".encode() in text)) == (keep, keep)
    if file_format == "png":
        assert (data.count(b"Software"), b"other" in data) == (1, False)


@pytest.mark.parametrize("file_format", OUTPUT_FORMATS)
def test_no_metadata_are_added_that_the_input_did_not_have(file_format):
    with Image.open(io.BytesIO(encode_image(random_image(5), file_format))) as image:
        image.load()
        stated = set(image.info) - ({"icc_profile"} if file_format == "jxl" else set())  # which always states a space
        assert not {"icc_profile", "srgb", "xmp", "gamma"} & stated
        assert max(image.info.get("dpi", (0, 0))) <= (0 if file_format != "tiff" else 1)


@pytest.mark.parametrize(("dpi", "held"), [(0.49, False), (0.5, True), (65535, True), (65536, False)])
def test_a_resolution_is_held_within_the_limits_of_the_formats(dpi, held):
    assert (output_metadata.dpi_of(Metadata(dpi=(dpi, 72))), output_metadata.dpi_of(Metadata(dpi=(72, dpi)))) == (
        ((dpi, 72), (72, dpi)) if held else (None, None)
    )


@pytest.mark.parametrize("file_format", OUTPUT_FORMATS)
def test_metadata_that_are_broken_or_too_long_are_left_out(file_format):
    image, endless = random_image(5), Image.Exif()
    endless[271] = "x" * 70_000
    for metadata in (
        Metadata(exif=endless.tobytes()[6:]),
        Metadata(dpi=(np.nan, 72), exif=b"II*\0\xff\xff\xff\xff", comments=(("", ""), ("\0k" * 99, "a\0b\ud800"))),
        Metadata(dpi=(-1, 1e9), exif=b"nonsense", xmp=b"x" * 70_000, comments=(("Comment", "long " * 20_000),)),
        Metadata(dpi=(0, np.inf), exif=b"MM\0*\0\0\0\x08\xff\xff" + bytes(range(200))),
    ):
        data = encode_image(image, file_format, metadata=metadata, keep_metadata=True)
        frames, _ = by_pillow(data)
        if file_format != "jpg":
            assert_shows(frames, expected(image, file_format, 1), file_format)


def test_the_description_of_a_tiff_holds_that_of_the_exif_and_comments_each_once():
    exif = Image.Exif()
    exif[270] = "Bären".encode()
    comments = (("Comment", "zero\0 within"), ("Comment", "Bären"), ("Title", "a Ω"))
    metadata = Metadata(exif=exif.tobytes()[6:], comments=comments)
    with Image.open(io.BytesIO(encode_image(random_image(5), "tiff", metadata=metadata, keep_metadata=True))) as image:
        text = image.tag_v2[270].encode("latin-1").decode()
    assert text == "Bären\nzero within\nTitle: a Ω"


@pytest.mark.parametrize(
    ("keyword", "name"),
    [
        ("k" * 78 + " l", "k" * 78),
        (" a  b ", "a b"),
        ("k" * 100, "k" * 79),
        ("Ω", "?"),
        ("ä", "Comment"),
        (" ", "Comment"),
    ],
)
def test_a_keyword_of_a_png_has_at_most_79_bytes_and_no_forbidden_spaces(keyword, name):
    data = encode_image(random_image(5), "png", metadata=Metadata(comments=((keyword, "text"),)), keep_metadata=True)
    texts = [body.split(b"\0")[0].decode("latin-1") for name, body in chunks_of(data) if name == b"tEXt"]
    assert texts == ["Software", name]


def test_the_mark_of_the_input_is_not_kept_as_a_comment():
    comments = (("Comment", "gmmquant"), ("Comment", "of gmmquant"))
    data = encode_image(random_image(5), "png", metadata=Metadata(comments=comments), keep_metadata=True)
    assert [body for name, body in chunks_of(data) if name == b"tEXt"][1:] == [b"Comment\0of gmmquant"]


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize("file_format", OUTPUT_FORMATS)
def test_broken_exif_gives_no_warning_and_its_readable_tags_are_kept(file_format):
    exif = Image.Exif()
    exif[271], exif[272] = "A maker", "A model of a camera"
    block = exif.tobytes()[6:]
    for end in (len(block) - 9, len(block) - 20, 30, 12):
        metadata = Metadata(exif=block[:end])
        output_format(file_format).losses(metadata=metadata)
        data = encode_image(random_image(5), file_format, metadata=metadata, keep_metadata=True)
        if file_format in ("webp", "tiff", "jpg"):
            assert (b"A maker" in data) == (end >= len(block) - 20)


def test_a_long_comment_of_a_jpeg_is_cut_to_what_a_segment_holds():
    metadata = Metadata(comments=(("Comment", "long " * 20_000),))
    with Image.open(io.BytesIO(encode_image(random_image(5), "jpg", metadata=metadata, keep_metadata=True))) as image:
        assert image.info["comment"] == (b"long " * 20_000)[:65533]


def test_files_are_the_same_on_another_day(monkeypatch):
    profile = output_metadata._srgb_profile()
    assert profile[24:36] == struct.pack(">6H", 2000, 1, 1, 0, 0, 0)
    image, film = random_image(16, alpha="partial"), film_of(16)
    for file_format in OUTPUT_FORMATS:
        for each, animation in ((image, None), (film, FILM)):
            arguments = {"metadata": known_metadata(), "keep_metadata": True, "animation": animation}
            today = encode_image(each, file_format, **arguments)
            with monkeypatch.context() as patch:
                patch.setattr(time, "time", lambda: 4e9)
                patch.setattr(time, "localtime", lambda *_: time.gmtime(4_000_000_000))
                output_metadata._srgb_profile.cache_clear()
                assert encode_image(each, file_format, **arguments) == today


# --- the mark ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("file_format", OUTPUT_FORMATS)
def test_files_of_gmmquant_are_recognised_by_their_content_and_others_are_not(tmp_path, file_format):
    path = tmp_path / "file"
    long = Metadata(
        (72, 72), True, known_metadata().exif, b"<x>" * 9000, (("Comment", "c" * 9000), ("Software", "gmmquant?"))
    )
    for image, animation in (
        (random_image(256), None),
        (random_image(3, alpha="partial"), None),
        (film_of(9), FILM),
    ):
        for options in ({}, {"keep_metadata": True}, {"optimize": True, "keep_metadata": True}):
            path.write_bytes(encode_image(image, file_format, metadata=long, animation=animation, **options))
            assert is_gmmquant_output(path)
    Image.fromarray(random_image(30).pixels).save(path, {"jpg": "JPEG"}.get(file_format, file_format))
    assert not is_gmmquant_output(path)


def test_odd_files_are_not_recognised(tmp_path):
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "loop").symlink_to("loop")
    for name in ("missing", "pipe", "loop", ".", "a\0b"):
        assert not is_gmmquant_output(tmp_path / name)
    path = tmp_path / "odd"
    beginnings = [b"", b"BM", b"\x89PNG", b"GIF89a", b"\xff\xd8", b"II*\0", b"MM\0*", b"RIFF\0\0\0\0WEBP"]
    for beginning in beginnings:
        for rest in (b"", b"\0" * 3, b"\xff" * 5000, b"\0" * 5000, b"gmmquant" * 600, bytes(range(256)) * 20):
            path.write_bytes(beginning + rest)
            assert not is_gmmquant_output(path)


@pytest.mark.parametrize("file_format", ["tiff", "webp"])
def test_truncated_files_cause_no_error(tmp_path, file_format):
    data = encode_image(random_image(3, (4, 4)), file_format)
    for end in range(0, len(data), 31):
        (tmp_path / "cut").write_bytes(data[:end])
        assert is_gmmquant_output(tmp_path / "cut") in (False, True)
    assert not is_gmmquant_output(tmp_path / "cut")


def test_the_mark_of_a_webp_is_searched_in_a_limited_number_of_chunks(tmp_path, monkeypatch):
    (tmp_path / "film").write_bytes(encode_image(film_of(3), "webp", animation=FILM))
    for most in (6, 7):  # VP8X, ANIM and four frames stand before the mark
        monkeypatch.setattr(containers, "MAX_PARTS", most)
        assert is_gmmquant_output(tmp_path / "film") == (most == 7)


def test_the_mark_is_the_complete_name(tmp_path):
    image = Image.fromarray(random_image(3).pixels)
    for name in ("gmmquant", "gmmquant-viewer 2"):
        text, exif = PngImagePlugin.PngInfo(), Image.Exif()
        text.add_text("Software", name)
        exif[305] = name
        for file_format, options in (
            ("png", {"pnginfo": text}),
            ("gif", {"comment": name}),
            ("jpeg", {"comment": name}),
            ("tiff", {"software": name}),
            ("webp", {"exif": exif}),
        ):
            image.save(tmp_path / "image", file_format, **options)
            assert is_gmmquant_output(tmp_path / "image") == (name == "gmmquant"), file_format


def test_a_software_tag_that_is_not_a_text_is_not_the_mark(tmp_path):
    entry = struct.pack("<HHII", 305, 7, 9, 26)  # of bytes of any meaning
    (tmp_path / "image").write_bytes(b"II*\0\x08\0\0\0\x01\0" + entry + bytes(4) + b"gmmquant\0")
    assert not is_gmmquant_output(tmp_path / "image")
    entry = struct.pack("<HHII", 305, 2, 9, 26)
    (tmp_path / "image").write_bytes(b"II*\0\x08\0\0\0\x01\0" + entry + bytes(4) + b"gmmquant\0")
    assert is_gmmquant_output(tmp_path / "image")


def test_another_tag_of_a_tiff_is_not_the_mark(tmp_path):
    Image.fromarray(random_image(3).pixels).save(tmp_path / "image", "TIFF", tiffinfo={315: "gmmquant"})
    assert not is_gmmquant_output(tmp_path / "image")


# --- size -------------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def cat():
    """The cat in 16 colours, as two frames that differ in some pixels."""
    indexed = Image.fromarray(read_sample("cat.jpg")).resize((300, 200)).quantize(16)
    labels = np.asarray(indexed)
    other = np.where(np.indices(labels.shape).sum(axis=0) % 9, labels, labels[::-1])
    return IndexedImage(np.vstack([labels, other]), np.array(indexed.getpalette(), dtype=np.uint8).reshape(-1, 3))


@pytest.fixture(scope="module", params=[("cat.jpg", 16), ("cat.jpg", 256), ("coffee.png", 16), ("grey.png", 256)])
def quantized(request):
    """A sample in few colours, its palette unsorted, and the sizes of Pillow's files: indexed, true colour."""
    name, k = request.param
    pixels = Image.fromarray(read_sample(name)).convert("RGB").resize((160, 100))
    with_palette = pixels.quantize(k)
    palette = np.array(with_palette.getpalette(), dtype=np.uint8).reshape(-1, 3)
    sizes = []
    for image in (with_palette, with_palette.convert("RGB")):
        buffer = io.BytesIO()
        image.save(buffer, "PNG", optimize=True)
        sizes.append(len(buffer.getvalue()))
    return IndexedImage(np.asarray(with_palette), palette), *sizes


def test_an_optimized_png_is_never_larger_than_pillows(quantized):
    image, by_pillow_indexed, _ = quantized
    free, kept = (encode_image(image, "png", optimize=True, keep_order=keep) for keep in (False, True))
    assert len(free) <= len(kept) <= by_pillow_indexed
    for data in (free, kept):
        assert np.array_equal(by_opencv(data)[0], image.pixels)
    assert dict(chunks_of(kept))[b"PLTE"] == image.palette.tobytes()
    with Image.open(io.BytesIO(kept)) as original:
        assert np.array_equal(np.asarray(original), image.labels)


def test_a_plain_png_is_little_larger_than_pillows_best_and_smaller_than_in_true_color(quantized):
    image, indexed, true_color = quantized
    assert len(encode_image(image, "png")) < min(1.15 * indexed, true_color)


@pytest.mark.parametrize("file_format", ["webp", "tiff", "gif"])
def test_optimizing_makes_files_smaller(file_format, cat):
    film = Animation((40, 40)) if file_format == "gif" else None
    plain, small = (encode_image(cat, file_format, animation=film, optimize=optimize) for optimize in (False, True))
    assert len(small) < len(plain)


@pytest.mark.parametrize("n_colors", [2, 16, 100])
def test_an_optimized_png_of_noise_is_larger_than_pillows_by_its_mark_at_most(n_colors):
    image = random_image(n_colors, (70, 50))
    indexed, buffer = Image.fromarray(image.labels), io.BytesIO()
    indexed.putpalette(image.palette.tobytes())
    indexed.save(buffer, "PNG", optimize=True)
    small = encode_image(image, "png", optimize=True, keep_order=True)
    assert len(small) <= len(buffer.getvalue()) + 12


def test_a_gradient_of_a_shuffled_palette_gains_by_another_order():
    shuffled = np.random.default_rng(0).permutation(200).astype(np.uint8)
    labels = shuffled[np.add.outer(np.arange(60), np.arange(140))]
    palette = np.empty((200, 3), np.uint8)
    palette[shuffled] = np.arange(200)[:, None]
    free, kept = (
        encode_image(IndexedImage(labels, palette), "png", optimize=True, keep_order=keep) for keep in (False, True)
    )
    assert len(free) < 0.95 * len(kept)


def test_entries_that_do_not_occur_are_left_out_of_an_optimized_png():
    image = random_image(256, (120, 140))
    image = IndexedImage(image.labels // 2, image.palette)
    used = np.unique(image.labels).size
    chunks = dict(chunks_of(encode_image(image, "png", optimize=True)))
    assert len(chunks[b"PLTE"]) == 3 * used
    assert len(dict(chunks_of(encode_image(image, "png", optimize=True, keep_order=True)))[b"PLTE"]) == 768


@given(
    st.integers(1, 40), st.integers(1, 40), st.sampled_from([1, 2, 3, 16, 17, 200]), st.booleans(), st.integers(0, 9)
)
@settings(max_examples=30, deadline=None)
def test_an_optimized_png_is_never_larger_than_a_plain_one_and_the_same_each_time(height, width, n_colors, keep, seed):
    image = random_image(n_colors, (height, width))
    plain, *small = (encode_image(image, "png", optimize=optimize, keep_order=keep) for optimize in (False, True, True))
    assert small[0] == small[1]
    assert len(small[0]) <= len(plain)
    assert np.array_equal(by_opencv(small[0])[0], image.pixels)


@pytest.mark.parametrize("animation", [None, FILM])
@pytest.mark.parametrize("n_colors", [16, 300])
def test_optimizing_a_png_keeps_its_metadata(n_colors, animation):
    arguments = {"metadata": known_metadata(), "keep_metadata": True, "animation": animation}
    plain, small = (
        chunks_of(encode_image(film_of(n_colors), "png", optimize=optimize, **arguments)) for optimize in (False, True)
    )
    metadata_chunks = [b"sRGB", b"pHYs", b"tEXt", b"iTXt", b"eXIf"]
    kept = [chunk for chunk in plain if chunk[0] in metadata_chunks and chunk[1] != b"Software\0gmmquant"]
    assert [chunk for chunk in small if chunk[0] in metadata_chunks] == kept
    assert len(kept) == 6
    assert (b"gmQT", b"") in small


@pytest.mark.parametrize("n_colors", [5, 256, 300])
def test_large_images_are_optimized_in_another_process_to_the_same_bytes(monkeypatch, tmp_path, n_colors):
    image = random_image(n_colors, (50, 40), "no")
    near = encode_image(image, "png", optimize=True, keep_order=True)
    monkeypatch.setattr(png, "_LARGE_PIXELS", 0)
    assert encode_image(image, "png", optimize=True, keep_order=True) == near
    assert np.array_equal(by_opencv(encode_image(image, "png", optimize=True))[0], image.pixels)
    failing = tmp_path / "failing.py"
    failing.write_text("raise SystemExit(3)")
    monkeypatch.setattr(png.png_trials, "__file__", str(failing))
    with pytest.raises(ImageError, match="exit code 3; leave out --optimize"):
        encode_image(image, "png", optimize=True)


# --- the registry -----------------------------------------------------------------------------------------------------


def test_every_name_of_an_output_format_leads_to_its_entry():
    for name, others in OUTPUT_FORMATS.items():
        for each in (name, name.upper(), *others):
            assert output_format(each).name == name


@pytest.mark.parametrize("file_format", OUTPUT_FORMATS)
def test_files_have_the_signature_of_their_format_and_of_no_other(file_format):
    data = encode_image(random_image(3), file_format)
    assert [name for name in OUTPUT_FORMATS if data.startswith(output_format(name).signatures)] == [file_format]


@pytest.mark.parametrize(("text", "kind"), [("encoding error 1", MemoryError), ("encoding error 4", ValueError)])
def test_lack_of_memory_in_an_encoder_is_told_as_such(monkeypatch, text, kind):
    def fail(*arguments, **options):
        raise ValueError(text)

    monkeypatch.setattr(Image.Image, "save", fail)
    with pytest.raises(kind):
        output_metadata.save_by_pillow(Image.new("RGB", (2, 2)), "WEBP")


def test_a_part_of_pillow_that_cannot_be_loaded_is_named(monkeypatch):
    Image.init()
    monkeypatch.delitem(Image.SAVE, "WEBP")
    with pytest.raises(ImportError, match=r"^Pillow cannot load its part for WEBP$"):
        output_metadata.save_by_pillow(Image.new("RGB", (2, 2)), "WEBP")
