"""Images read from open files, and announced before they are decoded."""

import io
import os

import cv2
import numpy as np
import pytest
from image_files import apng, gif, pillow, saved
from PIL import Image

from gmmquant.errors import ImageError, ParameterError
from gmmquant.images.decoding import reader
from gmmquant.images.decoding.reader import byte_limit
from gmmquant.images.encoding.encode import encode_image, is_gmmquant_output
from gmmquant.images.files import read_image
from gmmquant.images.recolor import IndexedImage
from gmmquant.settings import OUTPUT_FORMATS

PILLOW_FORMATS = ["PNG", "JPEG", "WEBP", "AVIF", "TIFF", "BMP", "GIF", "JPEG2000", "PPM"]


def animated_gif(n_frames=3):
    frames = [{"indices": np.full((4, 6), n % 4)} for n in range(n_frames)]
    return gif((6, 4), [(0, 0, 0), (255, 0, 0), (0, 255, 0), (0, 0, 255)], frames)


def animated_png(n_frames=3):
    return apng((6, 4), [{"pixels": np.full((4, 6, 4), 20 * n + 100, np.uint8)} for n in range(n_frames)])


def animated_webp(n_frames=3):
    first, *others = (Image.new("RGB", (6, 4), (40 * n, 0, 0)) for n in range(n_frames))
    return saved(first, "WEBP", save_all=True, append_images=others, duration=100, lossless=True)


ANIMATIONS = [animated_gif, animated_png, animated_webp]


@pytest.mark.parametrize("file_format", PILLOW_FORMATS)
def test_an_open_file_is_read_like_a_path(tmp_path, photo, file_format):
    data = saved(photo, file_format)
    (tmp_path / "image").write_bytes(data)
    image, same = read_image(io.BytesIO(data)), read_image(tmp_path / "image")
    assert np.array_equal(image.pixels, same.pixels)
    assert (image.notes, image.metadata) == (same.notes, same.metadata)
    assert file_format in ("JPEG", "GIF", "JPEG2000", "AVIF", "WEBP") or np.array_equal(
        image.pixels, pillow(data, "RGB")
    )


def test_an_open_file_is_read_from_its_beginning_and_left_open(photo):
    data = saved(photo, "PNG")
    file = io.BytesIO(data)
    file.seek(100)
    assert np.array_equal(read_image(file).pixels, pillow(data, "RGB"))
    assert not file.closed


def test_an_open_file_has_the_same_limits(monkeypatch, photo):
    data = saved(photo, "PNG")
    with pytest.raises(ImageError, match="60 x 40 pixels is above the limit 2399"):
        read_image(io.BytesIO(data), max_pixels=2399)
    monkeypatch.setattr(reader, "BASE_BYTES", 0)
    monkeypatch.setattr(reader, "_BYTES_PER_PIXEL", 1)
    assert byte_limit(len(data)) == len(data)
    with pytest.raises(ImageError, match=f"a file of {len(data) + 1} bytes is above the limit {len(data)}"):
        read_image(io.BytesIO(data + b"x"), max_pixels=len(data))


@pytest.mark.parametrize("data", [b"", b"text", b"\x89PNG\r\n\x1a\n", b"GIF89a"])
def test_an_open_file_that_is_not_an_image_is_refused_like_a_path(tmp_path, data):
    (tmp_path / "image").write_bytes(data)
    with pytest.raises(ImageError) as of_disk:
        read_image(tmp_path / "image")
    with pytest.raises(ImageError) as of_memory:
        read_image(io.BytesIO(data))
    assert str(of_memory.value) == str(of_disk.value)


def test_a_pipe_or_a_file_of_text_is_refused_with_a_remedy():
    ours, theirs = os.pipe()
    with open(ours, "rb") as pipe, open(theirs, "wb"):
        for source in (pipe, io.StringIO("text")):
            with pytest.raises(ParameterError, match=r"io\.BytesIO"):
                read_image(source)


def test_an_error_of_the_system_passes_through(photo):
    class Broken(io.BytesIO):
        def read(self, size=-1):
            raise OSError("the line is dead")

    with pytest.raises(OSError, match="the line is dead"):
        read_image(Broken(saved(photo, "PNG")))


@pytest.mark.parametrize("file_format", OUTPUT_FORMATS)
def test_the_mark_is_found_in_an_open_file_at_any_position(file_format):
    palette = np.array([[0, 0, 0], [200, 100, 50]], np.uint8)
    output = io.BytesIO(encode_image(IndexedImage(np.eye(20, dtype=np.uint8), palette), file_format))
    output.seek(7)
    assert is_gmmquant_output(output)
    assert not output.closed
    foreign = io.BytesIO(saved(Image.new("RGB", (20, 20)), "JPEG" if file_format == "jpg" else file_format.upper()))
    assert not is_gmmquant_output(foreign)


# --- announcements ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("file_format", PILLOW_FORMATS)
def test_the_pixels_of_an_image_are_announced_once(photo, file_format):
    announced = []
    read_image(io.BytesIO(saved(photo, file_format)), announce=announced.append)
    assert announced == [photo.width * photo.height]


@pytest.mark.parametrize("make", ANIMATIONS)
@pytest.mark.parametrize("n_frames", [2, 5])
def test_all_frames_of_an_animation_are_announced(make, n_frames):
    announced = []
    image = read_image(io.BytesIO(make(n_frames)), announce=announced.append)
    assert announced == [n_frames * 6 * 4] == [image.pixels.shape[0] * image.pixels.shape[1]]


@pytest.mark.parametrize("make", [lambda: saved(Image.new("RGB", (6, 12)), "PNG"), *ANIMATIONS])
def test_an_image_above_the_limit_is_not_announced(make):
    announced = []
    read_image(io.BytesIO(make()), max_pixels=72, announce=announced.append)
    with pytest.raises(ImageError, match="above the limit 71"):
        read_image(io.BytesIO(make()), max_pixels=71, announce=announced.append)
    assert announced == [72]


@pytest.mark.parametrize("make", [lambda: saved(Image.new("RGB", (6, 12)), "JPEG"), *ANIMATIONS])
def test_nothing_is_decoded_before_the_announcement_returns(monkeypatch, make):
    def too_early(*_, **__):
        raise AssertionError("decoded")

    def stop(_):
        raise InterruptedError("stop")

    data = make()
    read_image(io.BytesIO(data))
    monkeypatch.setattr(cv2, "imdecodeWithMetadata", too_early)
    monkeypatch.setattr(Image.Image, "load", too_early)
    with pytest.raises(InterruptedError, match="stop"):
        read_image(io.BytesIO(data), announce=stop)
    with pytest.raises((AssertionError, ImageError), match=r"decoded|damaged"):
        read_image(io.BytesIO(data))
