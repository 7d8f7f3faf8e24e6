"""Files of every format changed at random: each is read, or refused in one line; nothing is printed."""

import io
import random

import cv2
import numpy as np
import pytest
import tifffile
from image_files import read, saved, with_alpha
from image_kinds import dib, icns, ico, runs
from image_kinds import made as made_files
from PIL import Image

from gmmquant.errors import ImageError
from gmmquant.images.files import read_image as read_file


def originals(photo, veil):
    """Return files of all formats by name."""
    frames = {"save_all": True, "append_images": [photo.rotate(9), photo.rotate(20)]}
    exif = Image.Exif()
    exif[271], exif[0x0112] = "maker", 6
    made = {
        "png": saved(photo, "PNG", exif=exif),
        "rgba.png": saved(with_alpha(photo, veil), "PNG"),
        "apng": saved(photo, "PNG", **frames),
        "jpeg": saved(photo, "JPEG", exif=exif),
        "cmyk": saved(photo.convert("CMYK"), "JPEG"),
        "webp": saved(with_alpha(photo, veil), "WEBP", exif=exif),
        "animated webp": saved(photo, "WEBP", **frames),
        "avif": saved(photo, "AVIF", exif=exif),
        "animated avif": saved(photo, "AVIF", **frames),
        "tiff": saved(photo, "TIFF", exif=exif),
        "lzw tiff": saved(with_alpha(photo, veil), "TIFF", compression="tiff_lzw"),
        "bmp": saved(photo.quantize(20), "BMP"),
        "gif": saved(photo.quantize(20), "GIF", transparency=3),
        "animated gif": saved(photo, "GIF", **frames),
        "jp2": saved(photo, "JPEG2000"),
        "j2k": saved(with_alpha(photo, veil), "JPEG2000", no_jp2=True),
        "ppm": saved(photo, "PPM"),
        "pbm": b"P4 11 3\n" + bytes(range(6)),
        "plain pgm": b"P2 # so\n3 2\n9\n1 2 3 4 5 6",
        "pam": b"P7\nWIDTH 2\nHEIGHT 2\nDEPTH 3\nMAXVAL 100\nENDHDR\n" + bytes(range(12)),
    }
    made_by_hand = {name: data for name, (data, _) in made_files(photo, veil).items()}
    small = np.asarray(photo.resize((16, 16)))
    made_by_hand["bitmap icon"] = ico([(16, 16, 24, dib(small, np.eye(16, dtype=np.uint8), bits=24))])
    made_by_hand["png icon"] = ico([(60, 40, 24, made["png"])])
    made_by_hand["mac icon"] = icns([(b"is32", b"".join(runs(small[..., n]) for n in range(3)))])
    made |= made_by_hand
    made |= {"heif": saved(with_alpha(photo, veil), "HEIF"), "jxl": saved(photo, "JXL", exif=exif.tobytes())}
    for name, options in {"planar tiff": {"planarconfig": "separate"}, "float tiff": {"predictor": True}}.items():
        buffer, values = io.BytesIO(), np.asarray(photo)
        values = np.moveaxis(values, -1, 0).astype(np.uint16) if name == "planar tiff" else values.astype("f4") / 255
        tifffile.imwrite(buffer, values.copy(), photometric="rgb", compression="zlib", **options)
        made[name] = buffer.getvalue()
    deep = np.asarray(photo).astype(np.uint16) * 200
    return made | {ending: cv2.imencode(ending, deep)[1].tobytes() for ending in (".png", ".tiff", ".jp2")}


def changed(rng, data):
    """Return a file with some bytes set, removed, repeated, or cut off."""
    data = bytearray(data)
    for _ in range(rng.choice((1, 1, 2, 4, 10))):
        position = min(int(rng.expovariate(1 / 200)), len(data) - 1) if rng.random() < 0.5 else rng.randrange(len(data))
        operation = rng.random()
        if operation < 0.5:
            data[position] = rng.choice((0, 1, 127, 128, 255, rng.randrange(256)))
        elif operation < 0.7:
            data[position : position + 4] = rng.choice(
                (b"\xff\xff\xff\xff", bytes(4), b"\x7f\xff\xff\xff", b"\xff\xff\0\0")
            )
        elif operation < 0.8:
            del data[position : position + rng.randrange(1, 60)]
        elif operation < 0.9:
            data[position:position] = data[position : position + rng.randrange(1, 200)]
        else:
            del data[position + 1 :]
        data = data or bytearray(b"x")
    return bytes(data)


@pytest.mark.parametrize("seed", range(4))
def test_a_file_changed_at_random_is_an_image_or_refused_in_one_line(tmp_path, photo, veil, seed, capfd):
    rng = random.Random(seed)
    files = list(originals(photo, veil).values())
    capfd.readouterr()
    for data in rng.choices(files, k=300):
        try:
            image = read(tmp_path, changed(rng, data), max_pixels=1_000_000)
        except ImageError as error:
            assert "\n" not in str(error)
        else:
            height, width, channels = image.pixels.shape
            assert image.pixels.dtype in (np.uint8, np.uint16)
            assert 0 < height * width <= 1_000_000
            assert channels in (3, 4)
            assert image.animation is None or height % image.animation.n_frames == 0
    assert capfd.readouterr().err == ""


class Counted(io.BytesIO):
    """A file that notes the largest number of bytes that it was asked for."""

    most = 0

    def read(self, size=-1):
        self.most = max(self.most, size)
        return super().read(size)


def test_no_file_is_asked_for_more_bytes_than_it_has_because_python_allocates_them(photo, veil):
    for name, data in originals(photo, veil).items():
        file = Counted(data)
        read_file(file, max_pixels=10_000_000)
        # Signatures and headers are read in blocks.
        assert file.most <= max(len(data), 1 << 16), name
