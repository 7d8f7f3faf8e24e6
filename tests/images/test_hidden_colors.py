"""Colours under full transparency: kept in true colour, by two decoders; what an indexed file does with them."""

import io
import struct
import zlib
from dataclasses import replace

import cv2
import numpy as np
import pytest
from helpers import read_sample
from PIL import Image

from gmmquant import quantize, transfer_colors
from gmmquant.images.decoded import Animation
from gmmquant.images.encoding.encode import encode_image

MAGENTA = np.array([255, 0, 255], dtype=np.uint8)


def sprite(hidden="several", dtype=np.uint8, partial=False):
    """Return part of the cat, RGBA, of which a frame is fully transparent and hides one colour or several."""
    scale = np.iinfo(dtype).max // 255
    image = np.dstack([read_sample("cat.jpg")[60:100, 60:120], np.full((40, 60), 255)]).astype(np.int64)
    y, x = np.mgrid[:40, :60]
    clear = (np.abs(y - 20) > 12) | (np.abs(x - 30) > 20)
    image[clear, 3] = 0
    if hidden == "one":
        image[clear, :3] = MAGENTA
    if partial:  # more pairs of colour and alpha than a palette holds
        image[~clear, 3] = 1 + np.arange(np.count_nonzero(~clear)) % 255
    return (image * scale).astype(dtype)


def by_pillow(data):
    return np.asarray(Image.open(io.BytesIO(data)).convert("RGBA"))


def by_opencv(data):
    if data.startswith(b"II*"):  # OpenCV multiplies the colours of a TIFF by alpha
        return by_strips(data)
    return cv2.cvtColor(cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_UNCHANGED), cv2.COLOR_BGRA2RGBA)


def by_strips(tiff):
    """Return the pixels of a TIFF of deflated strips without predictor, RGBA."""
    (start,) = struct.unpack_from("<I", tiff, 4)
    (n,) = struct.unpack_from("<H", tiff, start)
    fields = [struct.unpack_from("<HHII", tiff, start + 2 + 12 * number) for number in range(n)]
    tags = {tag: (count, value) for tag, _, count, value in fields}
    offsets, sizes = (
        struct.unpack_from(f"<{tags[tag][0]}I", tiff, tags[tag][1]) if tags[tag][0] > 1 else (tags[tag][1],)
        for tag in (273, 279)
    )
    rows = b"".join(zlib.decompress(tiff[o : o + size]) for o, size in zip(offsets, sizes, strict=True))
    return np.frombuffer(rows, np.uint8).reshape(tags[257][1], tags[256][1], 4)


def color_type(png):
    return png[25]


decoders = pytest.mark.parametrize("decode", [by_pillow, by_opencv])
both = pytest.mark.parametrize("hidden", ["one", "several"])
TRUE_COLOR = [("png", {"recolor": "soft"}, False), ("png", {}, True), ("webp", {}, False), ("tiff", {}, False)]


@decoders
@both
@pytest.mark.parametrize("optimize", [False, True])
@pytest.mark.parametrize(("file_format", "options", "partial"), [*TRUE_COLOR, ("bmp", {}, False)])
def test_true_colour_keeps_hidden_colours_of_which_optimizing_drops_several(
    decode, hidden, optimize, file_format, options, partial
):
    image = sprite(hidden, partial=partial)
    result = quantize(image, 4, **options)
    data = encode_image(result.recolored, file_format, optimize=optimize)
    clear = image[..., 3] == 0
    read, expected = decode(data), result.image
    np.testing.assert_array_equal(expected[clear], image[clear])
    if optimize and hidden == "several":
        free = read[clear] if file_format == "png" else np.zeros_like(read[clear])
        shown = {(0, 0, 0), *map(tuple, expected[~clear][:, :3].tolist())}
        assert {tuple(color) for color in free[:, :3].tolist()} <= shown  # of what was hidden, nothing is left
        expected[clear] = np.column_stack([free[:, :3], np.zeros(len(free), np.uint8)])
    np.testing.assert_array_equal(read, expected)
    assert file_format != "png" or optimize or color_type(data) == 6


def test_a_note_says_that_a_file_keeps_hidden_colours(command, tmp_path):
    for hidden in ("one", "several"):
        Image.fromarray(sprite(hidden)).save(tmp_path / f"{hidden}.png")
    note = "webp keeps the hidden colours of transparent pixels; --optimize drops them"
    for arguments, is_noted in (
        (["several.png", "--format", "webp"], True),
        (["several.png", "--format", "webp", "--optimize"], False),
        (["one.png", "--format", "webp"], False),
        (["several.png"], False),
    ):
        assert (note in command(*arguments, "-k", "3", "-o", "out", "-f").stderr) == is_noted


@decoders
@pytest.mark.parametrize("optimize", [False, True])
def test_an_indexed_png_keeps_the_only_hidden_colour_in_its_transparent_entry(decode, optimize):
    image = sprite("one")
    result = quantize(image, 4)
    data = encode_image(result.recolored, "png", optimize=optimize)
    assert color_type(data) == 3
    np.testing.assert_array_equal(decode(data), result.image)
    np.testing.assert_array_equal(result.image[0, 0], [*MAGENTA, 0])


def test_an_indexed_png_is_no_larger_for_several_hidden_colours_which_it_drops():
    image = sprite("several")
    recolored = quantize(image, 4).recolored
    data = encode_image(recolored, "png")
    assert data == encode_image(replace(recolored, hidden=None), "png")
    assert color_type(data) == 3
    clear = image[..., 3] == 0
    assert len(np.unique(by_opencv(data)[clear], axis=0)) == 1


@both
def test_the_transparent_entry_of_a_gif_has_the_only_hidden_colour(hidden):
    data = encode_image(quantize(sprite(hidden), 4).recolored, "gif")
    indexed = Image.open(io.BytesIO(data))
    entry = indexed.info["transparency"]
    color = indexed.getpalette()[3 * entry : 3 * entry + 3]
    assert (color == MAGENTA.tolist()) == (hidden == "one")


def test_hidden_16_bit_colours_are_rounded():
    image = sprite("several", np.uint16)
    noise = np.random.default_rng(0).integers(-128, 129, (*image.shape[:2], 3))
    image[..., :3] = np.clip(image[..., :3].astype(int) + noise, 0, 65535)
    clear = image[..., 3] == 0
    result = quantize(image, 3)
    np.testing.assert_array_equal(result.image[clear][:, :3], np.rint(image[clear][:, :3] / 257))
    np.testing.assert_array_equal(by_opencv(encode_image(result.recolored, "webp"))[clear], result.image[clear])


@both
@pytest.mark.parametrize("options", [{}, {"recolor": "soft"}, {"dither": "floyd-steinberg"}, {"method": "kmeans"}])
def test_images_in_memory_and_for_pillow_have_them_too(hidden, options):
    image = sprite(hidden)
    result, clear = quantize(image, 3, **options), image[..., 3] == 0
    np.testing.assert_array_equal(result.image[clear], image[clear])
    np.testing.assert_array_equal(np.asarray(result.to_pil()), result.image)
    assert not result.labels[clear].any()
    moved = transfer_colors(image, read_sample("rocket.jpg"), 3)
    np.testing.assert_array_equal(moved[clear], image[clear])


@pytest.mark.parametrize("file_format", ["webp", "png", "tiff", "bmp"])
def test_every_frame_of_an_animation_keeps_its_own(file_format):
    frames = np.stack([sprite("several", partial=True), sprite("one", partial=True)])
    frames[1] = np.roll(frames[1], 7, axis=0)
    result = quantize(frames.reshape(-1, *frames.shape[2:]), 3)
    data = encode_image(result.recolored, file_format, animation=Animation((100.0, 100.0)))
    read = Image.open(io.BytesIO(data))
    for number in range(1 if file_format == "bmp" else 2):
        read.seek(number)
        shown, clear = np.asarray(read.convert("RGBA")), frames[number][..., 3] == 0
        np.testing.assert_array_equal(shown[..., 3] == 0, clear)
        np.testing.assert_array_equal(shown[clear], frames[number][clear])


# Nothing visible


@decoders
@both
@pytest.mark.parametrize("file_format", ["png", "webp", "tiff", "bmp", "gif"])
def test_a_fully_transparent_image_is_written_as_it_is(decode, hidden, file_format):
    image = sprite(hidden)
    image[..., 3] = 0
    if hidden == "one":
        image[..., :3] = MAGENTA
    data = encode_image(quantize(image, 4).recolored, file_format, optimize=file_format != "bmp")
    read = decode(data)
    assert not read[..., 3].any()
    if file_format != "gif":
        np.testing.assert_array_equal(read, image)
