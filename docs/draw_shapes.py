"""Draw the sheets of docs/noise-and-shape.md: an original and its image in few colours by several options.

python docs/draw_shapes.py
"""

import io
import sys
from pathlib import Path

import numpy as np
import numpy.typing as npt
from PIL import Image, ImageDraw

from gmmquant import quantize, read_image

HERE = Path(__file__).resolve().parent
SAMPLES = HERE.parent / "sample_images"
SHEETS = HERE / "images" / "noise-and-shape"

# The columns of a sheet after the original.
COLUMNS = ({"style": "likelihood"}, {"shrink": 0.0}, {})
_WIDTH_PIXELS, _GAP_PIXELS = 300, 6


def logo() -> npt.NDArray[np.uint8]:
    """Return a drawing of four flat colours with antialiased edges."""
    scale = 8
    image = Image.new("RGB", (100 * scale, 66 * scale), "#ffffff")
    draw = ImageDraw.Draw(image)
    draw.ellipse([scale * v for v in (8, 8, 56, 56)], fill="#e30613")
    draw.rectangle([scale * v for v in (38, 26, 88, 58)], fill="#0b5fa5")
    draw.polygon([scale * v for v in (46, 6, 90, 18, 54, 42)], fill="#f7b500")
    return np.asarray(image.resize((100, 66), Image.Resampling.LANCZOS))


def as_jpeg(pixels: npt.NDArray[np.uint8], quality: int) -> npt.NDArray[np.uint8]:
    """Return an image after compression as JPEG."""
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, "JPEG", quality=quality)
    return np.asarray(Image.open(buffer))


def sheet(pixels: npt.NDArray[np.uint8], k: int) -> Image.Image:
    """Return the original and its images in `k` colours side by side."""
    images = [pixels, *(quantize(pixels, k, **options).image for options in COLUMNS)]
    height = _WIDTH_PIXELS * pixels.shape[0] // pixels.shape[1]
    row = Image.new("RGB", (len(images) * (_WIDTH_PIXELS + _GAP_PIXELS) - _GAP_PIXELS, height), "#ffffff")
    for index, image in enumerate(images):
        resampling = Image.Resampling.NEAREST if pixels.shape[1] < _WIDTH_PIXELS else Image.Resampling.BOX
        small = Image.fromarray(image).resize((_WIDTH_PIXELS, height), resampling)
        row.paste(small, (index * (_WIDTH_PIXELS + _GAP_PIXELS), 0))
    return row


def main(folder: Path = SHEETS) -> None:
    """Draw the sheets of the page into a folder."""
    folder.mkdir(parents=True, exist_ok=True)
    cat, rocket = (read_image(SAMPLES / name).pixels for name in ("cat.jpg", "rocket.jpg"))
    sheet(cat, 7).save(folder / "cat.jpg", quality=85)
    sheet(as_jpeg(rocket, 50), 16).save(folder / "rocket.jpg", quality=85)
    sheet(logo(), 5).save(folder / "logo.png", optimize=True)


if __name__ == "__main__":
    main(*map(Path, sys.argv[1:]))
