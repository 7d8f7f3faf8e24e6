"""What may be passed as an image: files in any form, arrays that are not images, animations."""

import io
import urllib.request

import numpy as np
import pytest
from helpers import read_sample
from PIL import Image

from gmmquant import DecodedImage, ImageError, ParameterError, Quantizer, quantize, read_image, transfer_colors
from gmmquant.images import files
from gmmquant.images.pixels import FlatImage

CAT = read_sample("cat.jpg")[60:100, 120:180]


class Stream(io.RawIOBase):
    """A stream of bytes that cannot be sought, such as a pipe."""

    def __init__(self, data):
        super().__init__()
        self.data = io.BytesIO(data)

    def readable(self):
        return True

    def readinto(self, buffer):
        return self.data.readinto(buffer)


class Named(io.BytesIO):
    """The content of a file, with its name, as of an open file."""

    def __init__(self, path):
        super().__init__(path.read_bytes())
        self.name = str(path)


def gif(n_frames=3, duration=70, loop=2):
    """Return a GIF whose frames are a part of the cat, moved by a pixel each, as bytes."""
    frames = [Image.fromarray(np.roll(CAT, n, axis=1)).quantize(16) for n in range(n_frames)]
    file = io.BytesIO()
    frames[0].save(file, "GIF", save_all=True, append_images=frames[1:], duration=duration, loop=loop)
    return file.getvalue()


FORMS = {
    "bytes": lambda data, path: data,
    "bytearray": lambda data, path: bytearray(data),
    "memoryview": lambda data, path: memoryview(data),
    "file in memory": lambda data, path: io.BytesIO(data),
    "open file": lambda data, path: Named(path),
    "stream": lambda data, path: Stream(data),
    "text": lambda data, path: str(path),
    "path": lambda data, path: path,
    "decoded": lambda data, path: read_image(path),
}


@pytest.mark.parametrize("form", FORMS)
def test_a_file_in_any_form_is_the_same_image(samples, form):
    path = samples / "alpha.png"
    expected = quantize(files.read_image(path).pixels, 3)
    result = quantize(FORMS[form](path.read_bytes(), path), 3)
    np.testing.assert_array_equal(result.image, expected.image)
    assert result.source == (path if form in ("open file", "text", "path", "decoded") else None)


@pytest.mark.parametrize("form", ["bytes", "file in memory", "stream"])
def test_a_damaged_file_without_a_name_is_an_image_error(form):
    with pytest.raises(ImageError, match=r"^not a supported image|^\S+: not a supported"):
        quantize(FORMS[form](b"text", None), 2)


def test_an_open_text_is_refused_with_a_remedy(tmp_path):
    (tmp_path / "x.png").write_text("text")
    with (tmp_path / "x.png").open() as file, pytest.raises(ParameterError, match="binary"):
        quantize(file, 2)


@pytest.mark.parametrize("name", ["x.png", "<b>\n\x1b[31m.png"])
def test_an_error_of_an_image_names_its_file_in_one_line(tmp_path, name):
    path = tmp_path / name
    path.write_text("text")
    for form in (path, str(path)):
        with pytest.raises(ImageError) as caught:
            read_image(form)
        assert str(caught.value).isprintable()
        assert str(caught.value).startswith(f"{tmp_path}/{name[:3]}")
        assert "not a supported image" in str(caught.value)


def test_a_folder_is_refused_as_one(tmp_path):
    with pytest.raises(ImageError, match=f"{tmp_path}: is a folder; use an image file"):
        read_image(tmp_path)


def test_a_missing_file_is_a_file_not_found_error(tmp_path):
    for read in (read_image, lambda path: quantize(path, 2)):
        with pytest.raises(FileNotFoundError, match="nope"):
            read(tmp_path / "nope.jpg")


# --- arrays that are not images ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("n_channels", [3, 4])
def test_a_list_of_colours_is_refused_and_not_taken_as_a_narrow_grey_image(n_channels):
    pixels = np.arange(40 * n_channels, dtype=np.uint8).reshape(-1, n_channels)
    remedy = rf"use image\.reshape\(height, width, {n_channels}\), or image\[\.\.\., np\.newaxis\]"
    for use in (lambda: quantize(pixels, 2), lambda: Quantizer(pixels), lambda: FlatImage.from_array(pixels)):
        with pytest.raises(ParameterError, match=remedy):
            use()
    grey = pixels[..., np.newaxis]
    narrow = Image.fromarray(pixels)
    for image in (quantize(grey, 256).image, quantize(narrow, 256).image):
        np.testing.assert_array_equal(image, np.repeat(grey, 3, axis=2))


@pytest.mark.parametrize(
    "image",
    [
        CAT / 255,
        (CAT / 255).astype(np.float32),
        CAT.astype(float),
        CAT.astype(np.int64),
        CAT.astype(np.uint32) * 257,
        CAT[..., 0] > 100,
    ],
)
def test_the_remedy_for_other_types_gives_the_same_image_and_not_black(image):
    with pytest.raises(ParameterError) as caught:
        quantize(image, 2)
    remedy = str(caught.value).partition("as in ")[2]
    converted = eval(remedy, {"np": np, "image": image})
    expected = np.where(image, 255, 0) if image.dtype == bool else CAT
    scale = 257 if converted.dtype == np.uint16 else 1
    np.testing.assert_array_equal(converted, expected.astype(int) * scale)


@pytest.mark.parametrize("image", [np.full((4, 5, 3), np.nan), -CAT.astype(int), CAT * 1e9])
def test_values_without_a_known_range_are_shown_and_get_no_conversion(image):
    with pytest.raises(
        ParameterError, match=r"and values from \S+ to \S+; use uint8 or uint16 with values from 0 to 255"
    ):
        quantize(image, 2)


# --- animations -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("form", FORMS)
def test_an_animation_is_drawn_in_the_same_colours_in_all_frames(tmp_path, form):
    path = tmp_path / "a.gif"
    path.write_bytes(gif())
    decoded = read_image(path)
    # Errors are not diffused from a frame to the next.
    result = quantize(FORMS[form](path.read_bytes(), path), 4, dither="floyd-steinberg")
    flat = FlatImage.from_array(decoded.pixels, 3)
    np.testing.assert_array_equal(result.image, Quantizer(flat, dither="floyd-steinberg").fit(4).image)
    assert (result.n_frames, result.frames.shape[:3], result.animation) == (3, (3, 40, 60), decoded.animation)
    np.testing.assert_array_equal(np.concatenate(result.frames), result.image)
    assert "60 x 40, 3 frames" in repr(result)


@pytest.mark.parametrize("name", ["b.gif", "b.webp", "b.png"])
def test_a_saved_animation_has_the_frames_and_times_of_the_result(tmp_path, name):
    result = quantize(gif(), 4, dither="bayer")
    result.save(tmp_path / name)
    again = read_image(tmp_path / name)
    assert again.animation == result.animation
    np.testing.assert_array_equal(again.pixels[..., :3], result.image[..., :3])


@pytest.mark.filterwarnings("ignore:bmp stores one frame")
def test_every_kind_of_result_keeps_the_animation():
    quantizer = Quantizer(gif())
    results = [quantizer.fit(3), quantizer.fit_palette("gameboy"), quantizer.apply(quantizer.fit(3))]
    results.append(quantizer.transfer(results[0], results[1]))
    assert [result.n_frames for result in results] == [3] * 4


def test_an_open_animation_of_pillow_is_refused_and_a_copy_is_one_frame():
    with Image.open(io.BytesIO(gif())) as image:
        image.seek(1)
        with pytest.raises(ParameterError, match=r"an animation of 3 frames; pass image\.copy\(\).*, or the path"):
            quantize(image, 4)
        expected = quantize(np.asarray(image.convert("RGB")), 4)
        np.testing.assert_array_equal(quantize(image.copy(), 4).image, expected.image)


def test_pages_are_no_frames_and_the_present_one_is_taken():
    file = io.BytesIO()
    pages = [Image.fromarray(CAT), Image.fromarray(CAT[::-1])]
    pages[0].save(file, "TIFF", save_all=True, append_images=pages[1:])
    with Image.open(file) as image:
        np.testing.assert_array_equal(quantize(image, 4).image, quantize(CAT, 4).image)


def test_a_transfer_recolours_one_image_with_the_colours_of_all_frames():
    with pytest.raises(ParameterError, match="image is an animation of 3 frames; pass one frame"):
        transfer_colors(gif(), CAT, 2)
    frames = read_image(gif()).pixels
    np.testing.assert_array_equal(transfer_colors(CAT, gif(), 2), transfer_colors(CAT, frames, 2))


@pytest.mark.parametrize("source", [7, None, CAT])
def test_what_is_not_a_file_is_refused_with_its_type(source):
    with pytest.raises(
        ParameterError, match=rf"source is a {type(source).__name__}; pass the path, the bytes or an open"
    ):
        read_image(source)


@pytest.mark.parametrize("image", ["cat.jpg", [[1, 2]], read_image(gif())])
def test_only_an_array_is_flattened(image):
    with pytest.raises(ParameterError, match=rf"^image is a {type(image).__name__}; pass an array, as read_image"):
        FlatImage.from_array(image)


@pytest.mark.parametrize(
    ("url", "opened"),
    [
        ("https://user:secret@example.org/a.png", r"urllib\.request\.urlopen\(url\)"),
        ("s3://bucket/a.png", r"fsspec\.open\(url\)\.open\(\)"),
        ("SFTP://user:secret@example.org/a.png", r"fsspec\.open\(url\)\.open\(\)"),
    ],
)
@pytest.mark.parametrize("use", [read_image, lambda url: quantize(url, 2)])
def test_a_url_is_refused_with_a_remedy_and_not_shown(url, opened, use):
    with pytest.raises(ParameterError, match=rf"^source is a URL; pass a path, or an open file, such as {opened}$"):
        use(url)


@pytest.mark.parametrize("scheme", ["file", "FILE", "local"])
def test_a_url_of_this_machine_is_its_file(samples, scheme):
    path = samples / "cat.jpg"
    decoded = read_image(f"{scheme}://{path}")
    assert decoded.source == path
    np.testing.assert_array_equal(decoded.pixels, read_image(path).pixels)
    assert quantize(f"{scheme}://{path}", 2).source == path
    with pytest.raises(FileNotFoundError, match="nope"):
        read_image(f"{scheme}://{path.parent}/nope.jpg")


def test_an_opened_url_of_another_storage_is_its_image(samples):
    fsspec = pytest.importorskip("fsspec")
    with fsspec.open("memory://a.jpg", "wb") as file:
        file.write((samples / "cat.jpg").read_bytes())
    with fsspec.open("memory://a.jpg").open() as file:
        np.testing.assert_array_equal(read_image(file).pixels, read_image(samples / "cat.jpg").pixels)


def test_an_opened_url_is_its_image(samples):
    with urllib.request.urlopen((samples / "cat.jpg").as_uri()) as file:
        np.testing.assert_array_equal(read_image(file).pixels, read_image(samples / "cat.jpg").pixels)


def test_a_file_whose_path_looks_like_a_url_is_read(tmp_path, samples, monkeypatch):
    (tmp_path / "a:").mkdir()
    (tmp_path / "a:" / "b.jpg").write_bytes((samples / "cat.jpg").read_bytes())
    monkeypatch.chdir(tmp_path)
    np.testing.assert_array_equal(read_image("a://b.jpg").pixels, read_image(samples / "cat.jpg").pixels)


def closed_file(path):
    with open(path, "rb") as file:
        pass
    return file


def closed_bytes(path):
    file = io.BytesIO(path.read_bytes())
    file.close()
    return file


def open_for_writing(path):
    return path.open("ab")


@pytest.mark.parametrize("unusable", [closed_file, closed_bytes, open_for_writing])
@pytest.mark.parametrize("use", [read_image, lambda file: quantize(file, 2)])
def test_a_file_that_cannot_be_read_is_refused_with_a_remedy(tmp_path, unusable, use):
    (tmp_path / "cat.png").write_bytes(b"")
    file = unusable(tmp_path / "cat.png")
    with pytest.raises(ParameterError, match=r"^the file is closed, or open for writing only; open it with mode 'rb'"):
        use(file)
    file.close()


def test_a_decoded_image_is_an_array_of_its_pixels(samples):
    decoded = read_image(samples / "cat.jpg")
    assert isinstance(decoded, DecodedImage)
    np.testing.assert_array_equal(np.asarray(decoded), decoded.pixels)
    assert np.asarray(decoded, dtype=float).dtype == float
