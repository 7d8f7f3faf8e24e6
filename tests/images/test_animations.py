"""Animations: every frame compared with plain loops over pixels, and with OpenCV and ImageMagick."""

import io
import shutil
import struct
import subprocess

import numpy as np
import pytest
from helpers import animation_by_opencv
from image_files import apng, composed_apng, composed_gif, gif, opaque, png_chunk, read, saved, with_alpha
from PIL import Image

from gmmquant.errors import ImageError
from gmmquant.images.decoded import Animation
from gmmquant.images.decoding.apng import parse_apng
from gmmquant.images.files import orient

SIZE = WIDTH, HEIGHT = 12, 9


def random_rectangle(rng, full):
    width, height = SIZE if full else (int(rng.integers(1, WIDTH + 1)), int(rng.integers(1, HEIGHT + 1)))
    return width, height, (int(rng.integers(0, WIDTH - width + 1)), int(rng.integers(0, HEIGHT - height + 1)))


def random_gif(seed):
    """Draw a palette and six frames of every disposal, with and without transparency and local palettes."""
    rng = np.random.default_rng(seed)
    frames = []
    for n in range(6):
        width, height, at = random_rectangle(rng, full=n == 0 and seed % 2 == 0)
        frame = {"indices": rng.integers(0, 8, (height, width)), "at": at, "duration": int(rng.integers(0, 30))}
        frame["disposal"] = int(rng.integers(0, 4))
        if seed > 2 and rng.random() < 0.7:
            frame["transparent"] = int(rng.integers(0, 8))
        if seed > 4 and rng.random() < 0.4:
            frame["palette"] = rng.integers(0, 256, (8, 3))
        frames.append(frame)
    return rng.integers(0, 256, (8, 3)), frames


def random_apng(seed):
    """Draw six frames, RGB or RGBA, of every disposal and blending."""
    rng = np.random.default_rng(seed)
    frames = []
    for n in range(6):
        width, height, at = random_rectangle(rng, full=n == 0)
        pixels = rng.choice([0, 90, 200, 255], (height, width, 3 + seed % 2)).astype(np.uint8)
        delay = (int(rng.integers(0, 30)), int(rng.choice([0, 10, 1000])))
        ending = {"dispose": int(rng.integers(0, 3)), "blend": int(rng.integers(0, 2))}
        frames.append({"pixels": pixels, "at": at, "delay": delay, **ending})
    return frames


def frames_of(image):
    """Return the frames of an animation one by one, RGBA."""
    pixels = image.pixels
    return opaque(pixels.reshape(image.animation.n_frames, -1, *pixels.shape[1:]))


def frames_by_opencv(data):
    return np.array([opaque(frame)[..., [2, 1, 0, 3]] for frame in animation_by_opencv(data).frames])


@pytest.mark.parametrize("seed", range(12))
def test_the_frames_of_a_gif_are_composed_by_their_disposals(tmp_path, seed):
    palette, frames = random_gif(seed)
    image = read(tmp_path, gif(SIZE, palette, frames, loop=0, interlaced=seed % 3 == 0))
    expected = composed_gif(SIZE, palette, frames)
    assert image.pixels.shape == (6 * HEIGHT, WIDTH, 4 if (expected[..., 3] < 255).any() else 3)
    assert np.array_equal(frames_of(image), expected)
    assert image.animation == Animation(tuple(10.0 * frame["duration"] for frame in frames), 0)


@pytest.mark.parametrize("seed", range(12))
@pytest.mark.parametrize("with_default", [False, True])
def test_the_frames_of_an_apng_are_composed_by_their_disposals_and_blending(tmp_path, seed, with_default):
    frames = random_apng(seed)
    default = np.full((HEIGHT, WIDTH, 3 + seed % 2), 77, np.uint8) if with_default else None
    image = read(tmp_path, apng(SIZE, frames, loop=seed, default=default, color_type=6 if seed % 2 else 2))
    expected = composed_apng(SIZE, frames)
    found = frames_of(image)
    assert np.abs(found[..., 3].astype(int) - expected[..., 3]).max() <= 1
    visible = expected[..., 3] > 0
    assert np.abs(found[visible].astype(int) - expected[visible]).max() <= 1  # rounded at each frame, or at the last
    durations = tuple(
        1000 * numerator / (denominator or 100) for numerator, denominator in (f["delay"] for f in frames)
    )
    assert image.animation == Animation(durations, seed)


def test_a_16_bit_apng_keeps_its_bits_and_a_palette_its_transparency(tmp_path):
    rng = np.random.default_rng(0)
    deep = [{"pixels": rng.integers(0, 65536, (HEIGHT, WIDTH, 3), dtype=np.uint16)} for _ in range(3)]
    image = read(tmp_path, apng(SIZE, deep, color_type=2, bits=16))
    assert image.pixels.dtype == np.uint16
    assert np.array_equal(image.pixels, np.concatenate([frame["pixels"] for frame in deep]))
    palette = rng.integers(0, 256, (4, 3), dtype=np.uint8)
    shared = png_chunk(b"PLTE", palette.tobytes()) + png_chunk(b"tRNS", bytes([255, 0, 255, 90]))
    indexed = [{"pixels": rng.integers(0, 4, (HEIGHT, WIDTH, 1), dtype=np.uint8)} for _ in range(2)]
    image = read(tmp_path, apng(SIZE, indexed, color_type=3, chunks=shared))
    labels = np.concatenate([frame["pixels"] for frame in indexed])[..., 0]
    entries = np.column_stack([palette, [255, 0, 255, 90]])
    assert np.array_equal(image.pixels, entries[labels])


def test_a_transparent_grey_level_of_an_apng_is_transparent_in_every_frame(tmp_path):
    frames = [{"pixels": np.arange(n, 108 + n, dtype=np.uint8).reshape(HEIGHT, WIDTH, 1)} for n in (0, 9)]
    image = read(tmp_path, apng(SIZE, frames, color_type=0, chunks=png_chunk(b"tRNS", b"\0\x40")))
    stored = np.concatenate([frame["pixels"] for frame in frames])[..., 0]
    assert np.array_equal(image.pixels[..., 3] == 0, stored == 0x40)


@pytest.mark.parametrize(
    ("file_format", "options"), [("WEBP", {"lossless": True}), ("AVIF", {"quality": 90}), ("GIF", {}), ("PNG", {})]
)
@pytest.mark.parametrize("mode", ["RGB", "RGBA"])
def test_what_pillow_writes_decodes_as_opencv_decodes_it(tmp_path, photo, veil, file_format, options, mode):
    image = photo if mode == "RGB" else with_alpha(photo, veil)
    if file_format == "GIF" and mode == "RGBA":
        pytest.skip("Pillow dithers half-transparent pixels")
    frames = [image, image.transpose(Image.Transpose.FLIP_LEFT_RIGHT), image.rotate(20)]
    data = saved(
        frames[0], file_format, save_all=True, append_images=frames[1:], duration=[100, 200, 50], loop=3, **options
    )
    original = read(tmp_path, data)
    found, expected = frames_of(original), frames_by_opencv(data)
    assert np.array_equal(found[..., 3], expected[..., 3])
    visible = found[..., 3] > 0
    assert np.abs(found[visible].astype(int) - expected[visible]).max() <= (2 if file_format == "AVIF" else 0)
    assert original.animation.durations == (100.0, 200.0, 50.0)
    # A GIF states the repetitions after the first time; Pillow does not read the loop of an AVIF.
    assert original.animation.loop == {"GIF": 4, "AVIF": 0}.get(file_format, 3)


@pytest.mark.skipif(shutil.which("convert-im6") is None, reason="ImageMagick is not installed")
def test_a_gif_that_is_optimised_decodes_as_imagemagick_coalesces_it(tmp_path, photo):
    frames = [
        photo.quantize(20),
        photo.rotate(3).quantize(30),
        photo.rotate(3).quantize(30),
        photo.rotate(90).quantize(7),
    ]
    data = saved(frames[0], "GIF", save_all=True, append_images=frames[1:], optimize=True, disposal=[1, 2, 1, 3])
    command = ["convert-im6", "gif:-", "-coalesce", "-depth", "8", "-alpha", "on", "rgba:-"]
    coalesced = subprocess.run(command, input=data, capture_output=True, check=True).stdout
    found = frames_of(read(tmp_path, data))
    expected = np.frombuffer(coalesced, np.uint8).reshape(found.shape)
    assert np.array_equal(found[..., 3], expected[..., 3])
    visible = found[..., 3] > 0
    assert np.array_equal(found[visible], expected[visible])


def test_an_animation_of_one_frame_is_an_image(tmp_path):
    palette, (first, *_) = random_gif(0)
    image = read(tmp_path, gif(SIZE, palette, [first], loop=0))
    assert image.animation is None
    assert image.pixels.shape == (HEIGHT, WIDTH, 3)
    image = read(tmp_path, apng(SIZE, random_apng(0)[:1], color_type=2))
    assert image.animation is None
    assert image.pixels.shape == (HEIGHT, WIDTH, 3)


def test_a_gif_without_a_loop_is_shown_once(tmp_path):
    palette, frames = random_gif(0)
    assert read(tmp_path, gif(SIZE, palette, frames)).animation.loop == 1
    assert read(tmp_path, gif(SIZE, palette, frames, loop=4)).animation.loop == 5


@pytest.mark.parametrize("block", [b"\x03\x02\x04\0", b"\x02\x01\x04", b""])
def test_a_netscape_block_that_does_not_state_the_loop_is_ignored(tmp_path, block):
    palette, frames = random_gif(0)
    data = gif(SIZE, palette, frames, loop=4)
    assert data.count(b"\x03\x01\x04\0\0") == 1
    assert read(tmp_path, data.replace(b"\x03\x01\x04\0\0", block + b"\0")).animation.loop == 1


def test_a_gif_whose_first_frame_leaves_a_margin_is_transparent_there(tmp_path):
    frame = {"indices": np.ones((3, 4), int), "at": (5, 2)}
    pixels = read(tmp_path, gif(SIZE, np.full((8, 3), 200), [frame])).pixels
    inside = np.zeros((HEIGHT, WIDTH), bool)
    inside[2:5, 5:9] = True
    assert np.array_equal(pixels[..., 3] == 255, inside)
    assert (pixels[inside] == [200, 200, 200, 255]).all()


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("file_format", ["PNG", "WEBP"])
def test_the_orientation_is_applied_to_every_frame(tmp_path, photo, file_format, orientation):
    frames = [photo, photo.rotate(20)]
    options = {"append_images": frames[1:], "save_all": True} | ({"lossless": True} if file_format == "WEBP" else {})
    plain = read(tmp_path, saved(photo, file_format, **options)).pixels.reshape(2, 40, 60, 3)
    exif = Image.Exif()
    exif[0x0112] = orientation
    if file_format == "PNG":  # Pillow writes no EXIF data into animations
        data = saved(photo, file_format, **options)
        data = data[:33] + png_chunk(b"eXIf", exif.tobytes().removeprefix(b"Exif\0\0")) + data[33:]
    else:
        data = saved(photo, file_format, exif=exif, **options)
    turned = read(tmp_path, data).pixels
    assert np.array_equal(turned, np.concatenate([orient(frame, orientation) for frame in plain]))


def test_a_16_bit_apng_blends_with_16_bits(tmp_path):
    below = np.full((HEIGHT, WIDTH, 4), [60_000, 20, 300, 65535], np.uint16)
    above = np.full((HEIGHT, WIDTH, 4), [0, 40_000, 900, 20_000], np.uint16)
    image = read(tmp_path, apng(SIZE, [{"pixels": below}, {"pixels": above, "blend": 1}], bits=16))
    part = 20_000 / 65535
    expected = above[..., :3] * part + below[..., :3] * (1 - part)
    assert image.pixels.shape == (2 * HEIGHT, WIDTH, 3)
    assert np.abs(image.pixels[HEIGHT:] - expected).max() <= 0.5


def test_a_later_frame_beyond_the_canvas_of_a_gif_makes_it_larger(tmp_path):
    frames = [{"indices": np.zeros((HEIGHT, WIDTH), int)}, {"indices": np.ones((3, 4), int), "at": (10, 8)}]
    palette = np.repeat([[10], [200]], 3, axis=1)
    image = read(tmp_path, gif(SIZE, palette, frames))
    assert np.array_equal(frames_of(image), composed_gif((14, 11), palette, frames))


# --- files that are refused -------------------------------------------------------------------------------------------


def test_the_pixel_limit_counts_all_frames_before_decoding(tmp_path, photo):
    frames = random_apng(0)
    palette, drawn = random_gif(0)
    webp = saved(photo, "WEBP", save_all=True, append_images=[photo.rotate(20)])
    for data, n, (width, height) in (
        (apng(SIZE, frames, color_type=2), 6, SIZE),
        (gif(SIZE, palette, drawn), 6, SIZE),
        (webp, 2, (60, 40)),
    ):
        limit = n * width * height
        assert read(tmp_path, data, max_pixels=limit).animation.n_frames == n
        expected = f"{n} frames of {width} x {height} pixels is above the limit {limit - 1}; raise max_pixels"
        with pytest.raises(ImageError, match=expected):
            read(tmp_path, data, max_pixels=limit - 1)


def test_too_many_frames_are_refused_before_decoding(tmp_path):
    head = b"GIF89a" + struct.pack("<HHBBB", 1, 1, 0xF0, 0, 0) + bytes(6)
    frame = b"\x2c" + struct.pack("<HHHHB", 0, 0, 1, 1, 0) + b"\x02\x02\x44\x01\0"
    assert read(tmp_path, head + 7 * frame + b";").animation.n_frames == 7
    with pytest.raises(ImageError, match="more than 10000 frames is not supported; split it"):
        read(tmp_path, head + 10_001 * frame + b";")
    data = bytearray(apng(SIZE, random_apng(0), color_type=2))
    start = data.index(b"acTL")
    data[start : start + 16] = png_chunk(b"acTL", struct.pack(">II", 1_000_000_000, 0))[4:]
    with pytest.raises(ImageError, match="1000000000 frames of 12 x 9 pixels is above the limit"):
        read(tmp_path, bytes(data))


def test_a_frame_of_a_gif_that_makes_the_canvas_too_large_is_refused(tmp_path):
    palette, frames = random_gif(0)
    data = bytearray(gif(SIZE, palette, frames[:1]))
    start = data.index(b"\x2c", 13 + 24) + 5
    data[start : start + 4] = struct.pack("<HH", 65535, 65535)
    with pytest.raises(ImageError, match="65535 x 65535 pixels is above the limit"):
        read(tmp_path, bytes(data))


@pytest.mark.parametrize("file_format", ["WEBP", "AVIF", "GIF", "PNG"])
def test_an_animation_cut_short_anywhere_is_refused(tmp_path, photo, file_format):
    data = saved(photo, file_format, save_all=True, append_images=[photo.rotate(20), photo.rotate(40)])
    assert read(tmp_path, data).animation.n_frames == 3
    for length in [len(data) * i // 20 for i in range(1, 20)] + [len(data) - n for n in (1, 2, 4, 12)]:
        with pytest.raises(ImageError, match=r"damaged or incomplete|not a supported image"):
            read(tmp_path, data[:length])


def test_an_apng_with_a_damaged_frame_is_refused(tmp_path):
    data = apng(SIZE, random_apng(1))
    for position in range(data.index(b"fdAT") + 8, len(data) - 16, 41):
        damaged = bytearray(data)
        damaged[position] ^= 0x10
        with pytest.raises(ImageError, match="damaged or incomplete PNG image"):
            read(tmp_path, bytes(damaged))


@pytest.mark.parametrize("has_default", [False, True])
def test_an_apng_whose_frames_are_missing_or_out_of_order_shows_its_default_image_with_a_note(tmp_path, has_default):
    frames = [{"pixels": np.full((HEIGHT, WIDTH, 4), 90 + n, np.uint8)} for n in range(4)]
    default = np.full((HEIGHT, WIDTH, 4), 7, np.uint8)
    data = apng(SIZE, frames, default=default if has_default else None)
    first, second = (data.index(b"fdAT", start) - 4 for start in (0, data.index(b"fdAT") + 1))
    size = first + 12 + int.from_bytes(data[first : first + 4], "big")
    other = second + 12 + int.from_bytes(data[second : second + 4], "big")
    swapped = data[:first] + data[second:other] + data[size:second] + data[first:size] + data[other:]
    control = data.index(b"fcTL", size) - 4
    for broken in (swapped, data[:first] + data[size:], data[:control] + data[control + 38 :]):
        image = read(tmp_path, broken)
        assert np.array_equal(image.pixels, default if has_default else frames[0]["pixels"])
        assert image.animation is None
        assert image.notes == (
            "frames of the animation are missing or out of order; only its default image is used, as in browsers",
        )
        with pytest.raises(ImageError, match="damaged or incomplete PNG image"):
            read(tmp_path, broken[:-12])


@pytest.mark.parametrize(("chunk_type", "most"), [(b"PLTE", 768), (b"tRNS", 256)])
def test_an_apng_has_one_palette_of_at_most_256_entries(tmp_path, chunk_type, most):
    frames = [{"pixels": np.full((HEIGHT, WIDTH, 1), n, np.uint8)} for n in range(2)]
    others = png_chunk(b"PLTE", bytes(768)) if chunk_type == b"tRNS" else b""

    def made(chunks):
        return apng(SIZE, frames, color_type=3, chunks=others + chunks)

    assert read(tmp_path, made(png_chunk(chunk_type, bytes(most)))).animation.n_frames == 2
    assert parse_apng(made(png_chunk(chunk_type, bytes(most)))) is not None
    assert parse_apng(made(2 * png_chunk(chunk_type, bytes(3)))) is None
    assert parse_apng(made(png_chunk(chunk_type, bytes(most + 3)))) is None
    with pytest.raises(ImageError, match="damaged or incomplete PNG image"):
        read(tmp_path, made(2 * png_chunk(chunk_type, bytes(3))))


def test_a_frame_beyond_the_canvas_of_an_apng_is_refused(tmp_path):
    outside = [
        {"pixels": np.zeros((HEIGHT, WIDTH, 4), np.uint8)},
        {"pixels": np.zeros((3, 3, 4), np.uint8), "at": (10, 0)},
    ]
    with pytest.raises(ImageError, match="damaged or incomplete PNG image"):
        read(tmp_path, apng(SIZE, outside))


def test_pillow_reads_the_gifs_written_here(tmp_path):
    """Check the writer of the tests."""
    palette, frames = random_gif(0)
    with Image.open(io.BytesIO(gif(SIZE, palette, frames[:1]))) as image:
        assert np.array_equal(np.asarray(image.convert("RGBA")), composed_gif(SIZE, palette, frames[:1])[0])
