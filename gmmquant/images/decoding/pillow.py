"""Headers, orientations and pixels read with Pillow, which decodes some formats that OpenCV gets wrong."""

from __future__ import annotations

import importlib
import io
from collections.abc import Iterator
from contextlib import contextmanager
from typing import BinaryIO, cast

import numpy as np
import numpy.typing as npt
from PIL import Image

from gmmquant.images.decoded import Animation
from gmmquant.images.decoding.decoder_stderr import captured_stderr, damage_ignored, lenient_pillow
from gmmquant.images.decoding.reader import BASE_BYTES, Header, StoredImage, damaged
from gmmquant.images.exif import ORIENTATION

# Formats whose animations Pillow decodes.
_ANIMATED = ("WebP", "AVIF")


class _BoundedFile:
    """A file that ends after `limit` bytes have been read in total, from anywhere in it."""

    def __init__(self, file: BinaryIO, limit: int) -> None:
        self.seek, self.tell, self._read, self._rest = file.seek, file.tell, file.read, limit

    def read(self, size: int = -1) -> bytes:
        data = self._read(self._rest if size < 0 else min(size, self._rest))
        self._rest -= len(data)
        return data


def read_pillow_header(file: BinaryIO, name: str, plugin: str, limit: int = BASE_BYTES) -> Header:
    """Return the header of a file of the format `name` by Pillow's `plugin`; its exceptions pass through.

    Pillow gets at most `limit` bytes: it reads any number of segments and tags, and holds them.
    """
    importlib.import_module(f"PIL.{plugin}ImagePlugin")  # otherwise Pillow would load all of its plugins
    bounded = cast(BinaryIO, _BoundedFile(file, limit))
    with lenient_pillow(), Image.open(bounded, formats=(name.upper().replace(" ", ""),)) as image:
        n_frames = int(getattr(image, "n_frames", 1)) if name in _ANIMATED else 1
        info = {str(key): value for key, value in image.info.items()}
        return Header(name, image.size, image.mode, n_frames, info)


def orientation_of(exif_block: bytes) -> int | None:
    """Return the orientation that a block of EXIF data states; None if there is none or it cannot be read."""
    exif = Image.Exif()
    with damage_ignored():
        exif.load(exif_block)
        return int(exif[ORIENTATION]) if ORIENTATION in exif else None
    return None


@contextmanager
def errors_as_damage(name: str) -> Iterator[None]:
    """Run the block with a lenient Pillow; any exception but MemoryError becomes the error of a damaged image."""
    with captured_stderr():
        try:
            with lenient_pillow():
                yield
        except MemoryError:
            raise
        except Exception:  # Pillow raises many types of exceptions for damaged data
            raise damaged(name) from None


@contextmanager
def opened_by_pillow(data: bytes, name: str) -> Iterator[Image.Image]:
    """Open a file with Pillow; exceptions in the block mean that it is damaged."""
    with errors_as_damage(name), Image.open(io.BytesIO(data), formats=(name.upper().replace(" ", ""),)) as image:
        yield image


@contextmanager
def _opened_without_xmp(data: bytes, name: str) -> Iterator[Image.Image]:
    """Open a file with Pillow, which would rotate a TIFF by the orientation in XMP; `read_image` does it for all."""
    with opened_by_pillow(data, name) as image:
        image.info.pop("xmp", None)
        yield image


def decode_with_pillow(data: bytes, name: str) -> npt.NDArray[np.uint8]:
    """Decode one image to RGB or RGBA, shape (h, w, 3 or 4)."""
    with _opened_without_xmp(data, name) as image:
        has_alpha = image.has_transparency_data or image.mode in ("LA", "La", "RGBA", "RGBa", "PA")
        return np.array(image.convert("RGBA" if has_alpha else "RGB"))


def decode_cmyk(data: bytes, name: str) -> npt.NDArray[np.uint8]:
    """Decode a CMYK file to its inks, shape (h, w, 4), 255 for full ink; Pillow applies the orientation of a TIFF."""
    with _opened_without_xmp(data, name) as image:
        return np.array(image if image.mode == "CMYK" else image.convert("CMYK"))


def decode_animation(data: bytes, header: Header, notes: tuple[str, ...] = ()) -> StoredImage:
    """Decode the full frames of an animation and their durations."""
    width, height = header.size
    mode = "RGBA" if header.mode in ("RGBA", "LA") else "RGB"
    frames = np.empty((header.n_frames, height, width, len(mode)), np.uint8)
    durations = []
    with opened_by_pillow(data, header.format) as image:
        for n in range(header.n_frames):
            image.seek(n)
            frames[n] = np.asarray(image.convert(mode))
            durations.append(float(image.info["duration"]))
    if mode == "RGBA" and (frames[..., 3] == 255).all():
        frames = frames[..., :3]
    animation = Animation(tuple(durations), int(header.info.get("loop", 0)))
    orientation = orientation_of(header.info.get("exif", b""))
    return StoredImage.with_info(frames, header, orientation=orientation, animation=animation, notes=notes)
